//! Asks the channels for the statements that should be there, until they are.
//!
//! What has landed is in the inbox, so nothing is remembered here; a date is asked for again after
//! the waits of the channel's file, and no longer than it looks back.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::reconciliation::incoming::{FetchError, StatementDesk};
use crate::telemetry;
use crate::workers::{InFlight, Stop, reap};

/// Downloads that run at once: each may hold a whole day in memory.
const IN_FLIGHT_MAX: usize = 2;

/// Runs until asked to stop.
pub async fn run(desk: Arc<StatementDesk>, look_every: Duration, mut stop: Stop) {
    let working: InFlight<(ChannelId, BusinessDate)> = InFlight::default();
    let mut tasks = JoinSet::new();
    while !stop.is_asked() {
        reap(&mut tasks, "statements");
        let looked = Arc::clone(&desk);
        // The inbox is on the disk.
        let due = tokio::task::spawn_blocking(move || looked.due()).await.unwrap_or_default();
        for (channel, date) in due {
            if working.len() >= IN_FLIGHT_MAX {
                break;
            }
            let Some(claim) = working.claim(&(channel.clone(), date)) else { continue };
            let desk = Arc::clone(&desk);
            tasks.spawn(async move {
                fetch(&desk, &channel, date).await;
                drop(claim);
            });
        }
        tokio::select! {
            biased;
            () = stop.asked() => {}
            () = tokio::time::sleep(look_every) => {}
        }
    }
    // What was being downloaded is asked for again at the next start.
    tasks.shutdown().await;
}

async fn fetch(desk: &StatementDesk, channel: &ChannelId, date: BusinessDate) {
    match desk.fetch(channel, date).await {
        Ok(fetched) => tracing::info!(
            channel.name = %channel,
            clearing.date = %date,
            files = fetched.files.len(),
            "a statement has landed"
        ),
        Err(error @ FetchError::NotYet { .. }) => {
            let (channel, date) = (channel.as_str(), date.to_string());
            // Often nothing happened on it; how long one is missing is seen at the API.
            tracing::info!(channel.name = channel, clearing.date = date, %error, "asked for later");
        }
        Err(error) => {
            let error = telemetry::chain(&error);
            tracing::error!(
                channel.name = %channel,
                clearing.date = %date,
                error,
                "a statement could not be downloaded; it is asked for again"
            );
        }
    }
}
