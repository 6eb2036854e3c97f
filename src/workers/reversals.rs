//! Works the temp reversal table: due inquiries, reversals and undos, each channel by itself, so
//! that one stuck channel delays no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::reversal::ReversalEntry;
use crate::domain::time::DueWindow;
use crate::engine::{Engine, EngineError};
use crate::store::StoreError;
use crate::telemetry;
use crate::workers::driver::{Tasks, Worker};
use crate::workers::{KeysInFlight, PAGE};

/// Works the due entries of the temp reversal table; those in flight finish at a stop.
pub struct ReversalWorker {
    engine: Arc<Engine>,
    /// Entries of one channel that are worked at the same time.
    in_flight_max: usize,
    /// The entries of each channel that are being worked.
    lanes: BTreeMap<ChannelId, KeysInFlight<OrderId>>,
}

impl ReversalWorker {
    pub const fn new(engine: Arc<Engine>, in_flight_max: usize) -> Self {
        Self { engine, in_flight_max, lanes: BTreeMap::new() }
    }

    /// Starts work on what is due at one channel, as far as it has room.
    async fn look(&mut self, channel: &ChannelId, tasks: &mut Tasks) -> Result<usize, EngineError> {
        let (engine, mut begun) = (&self.engine, 0);
        let lane = self.lanes.entry(channel.clone()).or_default();
        if lane.len() >= self.in_flight_max {
            return Ok(0);
        }
        let due = DueWindow::at(engine.clock().now(), engine.channels().longest_wait(channel))
            .of_shards(engine.reversal_shards(channel));
        // Entries in work may still be due, and the first due one need not be the oldest: a whole
        // page is read, however little room there is.
        let mut due = engine.store().due_reversals(channel.clone(), due, PAGE).await?;
        // A channel that was away meets what waits for it in the order in which it went wrong.
        due.sort_by_key(|entry| (entry.opened_at, entry.order));
        for entry in due {
            if lane.len() >= self.in_flight_max {
                break;
            }
            let Some(hold) = lane.hold(&entry.order) else { continue };
            let engine = Arc::clone(engine);
            begun += 1;
            tasks.spawn(async move {
                let worked = work(&engine, &entry).await;
                drop(hold);
                // A place is free: an entry that had to wait may start now.
                engine.signals().reversals.notify_one();
                worked
            });
        }
        Ok(begun)
    }
}

impl Worker for ReversalWorker {
    const NAME: &'static str = "reversals";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        let mut begun = 0;
        for channel in self.engine.channels().ids() {
            match self.look(&channel, tasks).await {
                Ok(rows) => begun += rows,
                // The others' entries lie there, too.
                Err(error @ EngineError::Store(StoreError::Unavailable { .. })) => {
                    tasks.fail("the temp reversal table cannot be reached", &error);
                    break;
                }
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::error!(
                        channel.name = %channel, error,
                        "the temp reversal table cannot be read; it is looked through again"
                    );
                    tasks.report(error);
                }
            }
        }
        begun
    }

    fn signal(&mut self) -> impl Future<Output = ()> + Send {
        self.engine.signals().reversals.notified()
    }
}

async fn work(engine: &Engine, entry: &ReversalEntry) -> Result<(), String> {
    match engine.work(entry).await {
        Ok(worked) => tracing::debug!(order.id = %entry.order, ?worked, "an entry was worked"),
        // Evidence came first, or an operator did: the entry has moved on without us.
        Err(EngineError::Refused(refusal)) => {
            tracing::debug!(order.id = %entry.order, %refusal, "an entry had moved on");
        }
        Err(error) => {
            let error = telemetry::chain(&error);
            tracing::warn!(
                order.id = %entry.order, error,
                "an entry could not be worked; it is due again later"
            );
            return Err(error);
        }
    }
    Ok(())
}
