//! Asks the channels for the statements that should be there, until they are.
//!
//! What has landed is in the inbox, so nothing is remembered here; a date is asked for again after
//! the waits of the channel's file, and no longer than it looks back.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::cluster::Work;
use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::engine::Engine;
use crate::reconciliation::InboxError;
use crate::reconciliation::incoming::{FetchError, StatementDesk};
use crate::telemetry;
use crate::workers::KeysInFlight;
use crate::workers::driver::{Tasks, Worker};

/// Downloads that run at once: each may hold a whole day in memory.
const IN_FLIGHT_MAX: usize = 2;

/// Asks for the statements that are due.
pub struct StatementWorker {
    engine: Arc<Engine>,
    desk: Arc<StatementDesk>,
    in_flight: KeysInFlight<(ChannelId, BusinessDate)>,
}

impl StatementWorker {
    pub fn new(engine: Arc<Engine>, desk: Arc<StatementDesk>) -> Self {
        Self { engine, desk, in_flight: KeysInFlight::default() }
    }
}

impl Worker for StatementWorker {
    const NAME: &'static str = "statements";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        // What another node has fetched is not asked for again.
        let mut behind = BTreeSet::new();
        for channel in self.engine.channels().ids() {
            let is_ours = self.engine.holds(&Work::Reconciliation(channel.clone()));
            if is_ours && let Err(error) = self.desk.bring(&channel).await {
                tasks.fail("statements of other nodes could not be fetched", &error);
                // The store is away for all of them; a damaged file is one channel's.
                if matches!(error, InboxError::Store(_)) {
                    return 0;
                }
                behind.insert(channel);
            }
        }
        let looked = Arc::clone(&self.desk);
        // The inbox is on the disk.
        let due = tokio::task::spawn_blocking(move || looked.due()).await.unwrap_or_default();
        let mut begun = 0;
        for (channel, date) in due {
            if self.in_flight.len() >= IN_FLIGHT_MAX {
                break;
            }
            let is_ours = self.engine.holds(&Work::Reconciliation(channel.clone()));
            if !is_ours || behind.contains(&channel) {
                continue;
            }
            let Some(hold) = self.in_flight.hold(&(channel.clone(), date)) else { continue };
            let desk = Arc::clone(&self.desk);
            begun += 1;
            tasks.spawn(async move {
                let fetched = fetch(&desk, &channel, date).await;
                drop(hold);
                fetched
            });
        }
        begun
    }

    /// An unfinished download is asked for again at the next start.
    fn end(&mut self, tasks: Tasks) -> impl Future<Output = ()> + Send {
        tasks.cut_off()
    }
}

async fn fetch(
    desk: &StatementDesk,
    channel: &ChannelId,
    date: BusinessDate,
) -> Result<(), String> {
    match desk.fetch(channel, date).await {
        Ok(fetched) => tracing::info!(
            channel.name = %channel,
            clearing.date = %date,
            files = fetched.files.len(),
            "the channel's statement is fetched"
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
            return Err(error);
        }
    }
    Ok(())
}
