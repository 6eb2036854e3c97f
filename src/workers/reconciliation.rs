//! Runs the statements that have landed, and suspends what has been carried over for too long.
//!
//! What is to be done is known from the inbox and the books alone: a run that a crash has cut off
//! is found again here.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::books::difference::LONGEST_CARRIED;
use crate::domain::cluster::Work;
use crate::domain::ids::ChannelId;
use crate::domain::time::DueWindow;
use crate::engine::Engine;
use crate::reconciliation::incoming::{ImportDesk, LandedStatement};
use crate::reconciliation::suspense::DifferenceDesk;
use crate::telemetry;
use crate::workers::driver::{Tasks, Worker};
use crate::workers::{KeysInFlight, PAGE};

/// Channels whose statements are run at once: each takes two threads and much memory.
const IN_FLIGHT_MAX: usize = 1;

/// Runs statements, and suspends what is due.
pub struct ReconciliationWorker {
    engine: Arc<Engine>,
    imports: Arc<ImportDesk>,
    differences: Arc<DifferenceDesk>,
    in_flight: KeysInFlight<ChannelId>,
    /// The channels whose batches that were cut off have been ended since this node does their
    /// work.
    recovered: BTreeSet<ChannelId>,
}

impl ReconciliationWorker {
    pub fn new(
        engine: Arc<Engine>,
        imports: Arc<ImportDesk>,
        differences: Arc<DifferenceDesk>,
    ) -> Self {
        let (in_flight, recovered) = (KeysInFlight::default(), BTreeSet::new());
        Self { engine, imports, differences, in_flight, recovered }
    }

    /// Ends the batches that an earlier process or another node has left running.
    async fn recover(&mut self, tasks: &mut Tasks) {
        let engine = &self.engine;
        let holds = |channel: &ChannelId| engine.holds(&Work::Reconciliation(channel.clone()));
        let ours: BTreeSet<_> = self.engine.channels().ids().into_iter().filter(holds).collect();
        self.recovered.retain(|channel| ours.contains(channel));
        if ours == self.recovered {
            return;
        }
        let is_new = |channel: &ChannelId| holds(channel) && !self.recovered.contains(channel);
        match self.imports.recover(is_new).await {
            Ok(()) => self.recovered = ours,
            Err(error) => {
                tasks.fail("reconciliations that were cut off could not be ended", &error);
            }
        }
    }
}

impl Worker for ReconciliationWorker {
    const NAME: &'static str = "reconciliation";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        self.recover(tasks).await;
        let waiting = self.imports.landed_statements().await.unwrap_or_else(|error| {
            tasks.fail("the inbox could not be looked through", &error);
            Vec::new()
        });
        let mut begun = 0;
        for one in waiting {
            if self.in_flight.len() >= IN_FLIGHT_MAX {
                break;
            }
            if !self.recovered.contains(&one.channel) {
                continue;
            }
            let Some(hold) = self.in_flight.hold(&one.channel) else { continue };
            let imports = Arc::clone(&self.imports);
            begun += 1;
            tasks.spawn(async move {
                let taken = take(&imports, &one).await;
                drop(hold);
                taken
            });
        }
        if self.engine.holds(&Work::Suspense) {
            begun += suspend(&self.differences, tasks).await;
        }
        begun
    }

    /// A run that is cut off is found, and run again, at the next start.
    fn end(&mut self, tasks: Tasks) -> impl Future<Output = ()> + Send {
        tasks.cut_off()
    }
}

async fn take(imports: &ImportDesk, waiting: &LandedStatement) -> Result<(), String> {
    let (channel, date) = (&waiting.channel, waiting.date);
    match imports.import_landed(waiting).await {
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
            return Err(error);
        }
    }
    Ok(())
}

/// Until nothing is due: a page that is not full was the last one. Gives how many were suspended.
async fn suspend(differences: &DifferenceDesk, tasks: &mut Tasks) -> usize {
    let mut suspended = 0;
    loop {
        // A difference whose age moves money waits until its age is borne out.
        let present = differences.clock().present();
        let due = DueWindow::at(present.now(), LONGEST_CARRIED).by(present.proven());
        match differences.expire(due, PAGE).await {
            Ok(rows) => {
                suspended += rows;
                if rows < PAGE {
                    return suspended;
                }
            }
            Err(error) => {
                tasks.fail("differences that are due could not be suspended", &error);
                return suspended;
            }
        }
    }
}
