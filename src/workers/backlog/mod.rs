//! Counts open and owed rows for the metrics: entries of the temp reversal table, and accounting
//! requests. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::flow::reversal::Phase;
use crate::domain::ids::ChannelId;
use crate::domain::time::Timestamp;
use crate::engine::Engine;
use crate::store::StoreError;
use crate::telemetry;
use crate::workers::PAGE;
use crate::workers::driver::{Tasks, Worker};

/// The table's entries of one channel.
#[derive(Default)]
struct OpenEntries {
    phases: BTreeMap<Phase, u64>,
    oldest: Option<Timestamp>,
}

/// Counts open entries and owed requests, and sets the metrics.
pub struct BacklogWorker {
    engine: Arc<Engine>,
    /// A series does not go: a channel that had entries once is counted for as long as we run.
    channels: BTreeSet<ChannelId>,
}

impl BacklogWorker {
    pub const fn new(engine: Arc<Engine>) -> Self {
        Self { engine, channels: BTreeSet::new() }
    }
}

impl Worker for BacklogWorker {
    const NAME: &'static str = "backlog";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        count(&self.engine, &mut self.channels).await.unwrap_or_else(|error| {
            let what = "open entries and requests cannot be counted; the metrics stay as they were";
            tasks.fail(what, &error);
            0
        })
    }
}

/// Gives how many rows were counted.
async fn count(engine: &Engine, channels: &mut BTreeSet<ChannelId>) -> Result<usize, StoreError> {
    let mut open: BTreeMap<ChannelId, OpenEntries> = BTreeMap::new();
    let (mut after, mut rows) = (None, 0);
    // Bounded by the table; each page goes on after the last.
    loop {
        let page = engine.store().reversals(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.order);
        rows += page.len();
        for entry in page {
            let of_channel = open.entry(entry.channel).or_default();
            *of_channel.phases.entry(entry.phase).or_default() += 1;
            let oldest = of_channel.oldest.get_or_insert(entry.opened_at);
            *oldest = (*oldest).min(entry.opened_at);
        }
    }
    channels.extend(engine.channels().ids());
    channels.extend(open.keys().cloned());
    let now = engine.clock().now();
    for channel in channels.iter() {
        let of_channel = open.remove(channel).unwrap_or_default();
        for phase in Phase::ALL {
            let entries = of_channel.phases.get(&phase).copied().unwrap_or(0);
            telemetry::gauge_reversals(channel, phase, entries);
        }
        let age = of_channel.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        telemetry::gauge_oldest_reversal(channel, age);
    }
    let backlog = engine.store().accounting_backlog().await?;
    telemetry::gauge_accounting_requests("owed", backlog.owed);
    telemetry::gauge_accounting_requests("parked", backlog.parked);
    Ok(rows)
}
