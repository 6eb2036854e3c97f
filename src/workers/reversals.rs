//! Works the temp reversal table: due inquiries, reversals and undos, each channel by itself, so
//! that one stuck channel delays no other.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::domain::flow::reversal::ReversalEntry;
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::time::Due;
use crate::engine::{Engine, EngineError};
use crate::telemetry;
use crate::workers::{InFlight, PAGE, Stop, next_round, reap};

/// How the temp reversal table is worked.
#[derive(Debug, Clone, Copy)]
pub struct ReversalWork {
    /// The longest time between two looks; a signal brings the next one at once.
    pub look_every: Duration,
    /// Entries of one channel that are worked at the same time.
    pub in_flight: NonZeroU32,
}

/// The entries of one channel that are being worked.
#[derive(Default)]
struct Lane {
    working: InFlight<OrderId>,
}

/// Runs until asked to stop, then lets what is in flight finish.
pub async fn run(engine: Arc<Engine>, work: ReversalWork, mut stop: Stop) {
    let mut lanes: BTreeMap<ChannelId, Arc<Lane>> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    while !stop.is_asked() {
        for channel in engine.channels().ids() {
            let lane = Arc::clone(lanes.entry(channel.clone()).or_default());
            if let Err(error) = look(&engine, &channel, &lane, work, &mut tasks).await {
                tracing::error!(
                    channel.name = %channel,
                    error = %telemetry::chain(&error),
                    "the temp reversal table cannot be read; it is looked through again"
                );
            }
        }
        reap(&mut tasks, "reversals");
        next_round(&engine.signals().reversals, work.look_every, &mut stop).await;
    }
    while tasks.join_next().await.is_some() {}
}

/// Starts work on what is due at one channel, as far as it has room.
async fn look(
    engine: &Arc<Engine>,
    channel: &ChannelId,
    lane: &Arc<Lane>,
    work: ReversalWork,
    tasks: &mut JoinSet<()>,
) -> Result<(), EngineError> {
    let room = (work.in_flight.get() as usize).saturating_sub(lane.working.len());
    if room == 0 {
        return Ok(());
    }
    let due = Due::at(engine.clock().now(), engine.channels().longest_wait(channel));
    // What is being worked may still be due, and what came due first need not be the oldest: a
    // whole page is read, however little room there is.
    let mut due = engine.store().due_reversals(channel.clone(), due, PAGE).await?;
    // A channel that was away meets what waits for it in the order in which it went wrong.
    due.sort_by_key(|entry| (entry.opened_at, entry.order));
    for entry in due {
        if lane.working.len() >= work.in_flight.get() as usize {
            break;
        }
        let Some(claim) = lane.working.claim(&entry.order) else { continue };
        let engine = Arc::clone(engine);
        tasks.spawn(async move {
            work_one(&engine, &entry).await;
            drop(claim);
            // A place is free: what could not be started before may be now.
            engine.signals().reversals.notify_one();
        });
    }
    Ok(())
}

async fn work_one(engine: &Engine, entry: &ReversalEntry) {
    match engine.work(entry).await {
        Ok(worked) => tracing::debug!(order.id = %entry.order, ?worked, "an entry was worked"),
        // Evidence came first, or an operator did: the entry has moved on without us.
        Err(EngineError::Refused(refusal)) => {
            tracing::debug!(order.id = %entry.order, %refusal, "an entry had moved on");
        }
        Err(error) => tracing::warn!(
            order.id = %entry.order,
            error = %telemetry::chain(&error),
            "an entry could not be worked; it is due again later"
        ),
    }
}
