//! Runs the statements that have landed, and suspends what has been carried over for too long.
//!
//! What is to be done is known from the inbox and the books alone: a run that a crash has cut off
//! is found again here.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::domain::books::difference::LONGEST_CARRIED;
use crate::domain::ids::ChannelId;
use crate::domain::time::Due;
use crate::reconciliation::{Backoffice, BackofficeError, Waiting};
use crate::telemetry;
use crate::workers::{InFlight, PAGE, Stop, reap};

/// Channels whose statements are run at once: each takes two threads and much memory.
const IN_FLIGHT_MAX: usize = 1;

/// Runs until asked to stop.
pub async fn run(backoffice: Arc<Backoffice>, look_every: Duration, mut stop: Stop) {
    let working: InFlight<ChannelId> = InFlight::default();
    let mut tasks = JoinSet::new();
    if let Err(error) = backoffice.recover().await {
        report("reconciliations that were cut off could not be ended", &error);
    }
    while !stop.is_asked() {
        reap(&mut tasks, "reconciliation");
        let waiting = backoffice.waiting().await.unwrap_or_else(|error| {
            report("the inbox could not be looked through", &error);
            Vec::new()
        });
        for one in waiting {
            if working.len() >= IN_FLIGHT_MAX {
                break;
            }
            let Some(claim) = working.claim(&one.channel) else { continue };
            let backoffice = Arc::clone(&backoffice);
            tasks.spawn(async move {
                take(&backoffice, &one).await;
                drop(claim);
            });
        }
        suspend(&backoffice).await;
        tokio::select! {
            biased;
            () = stop.asked() => {}
            () = tokio::time::sleep(look_every) => {}
        }
    }
    // A run that is cut off here is found, and run again, at the next start.
    tasks.shutdown().await;
}

async fn take(backoffice: &Backoffice, waiting: &Waiting) {
    let (channel, date) = (&waiting.channel, waiting.date);
    match backoffice.take_landed(waiting).await {
        Ok(None) => {}
        Ok(Some(batch)) => tracing::info!(
            channel.name = %channel,
            clearing.date = %date,
            batch.id = %batch.id,
            differences = batch.report.differences,
            "a statement is reconciled"
        ),
        Err(error) => {
            let error = telemetry::chain(&error);
            tracing::error!(
                channel.name = %channel,
                clearing.date = %date,
                error,
                "a statement could not be reconciled; it is tried again"
            );
        }
    }
}

/// Until nothing is due: a page that is not full was the last one.
async fn suspend(backoffice: &Backoffice) {
    loop {
        // What moves money because of its age waits until that is borne out.
        let present = backoffice.engine().clock().present();
        let due = Due::at(present.now(), LONGEST_CARRIED).by(present.proven());
        match backoffice.expire(due, PAGE).await {
            Ok(PAGE) => {}
            Ok(_) => return,
            Err(error) => return report("differences that are due could not be suspended", &error),
        }
    }
}

fn report(what: &str, error: &BackofficeError) {
    let error = telemetry::chain(error);
    tracing::error!(error, "{what}");
}
