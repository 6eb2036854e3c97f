//! Counts what waits, for the metrics: entries of the temp reversal table, the outbox, and what the
//! books still need. Changes nothing.

mod books;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::channel::registry::{ChannelStatus, Registry};
use crate::domain::approval::HeldKind;
use crate::domain::attempt::{Operation, VolumeKind};
use crate::domain::books::accounting::DeliveryStatus;
use crate::domain::ids::ChannelId;
use crate::domain::reversal::{Phase, ReversalEntry};
use crate::domain::route::rates::{RateRow, RateScope};
use crate::domain::time::Timestamp;
use crate::engine::Engine;
use crate::store::{Store, StoreError};
use crate::telemetry::backlog::{self as gauges, AgeBand};
use crate::workers::PAGE;
use crate::workers::driver::{Tasks, Worker};

use books::BookGauges;

/// The books are looked at in every sixth round: their state changes with days.
const BOOKS_EVERY: u32 = 6;

/// The table's entries of one channel.
#[derive(Default)]
struct OpenEntries {
    phases: BTreeMap<Phase, u64>,
    ages: BTreeMap<AgeBand, u64>,
    oldest: Duration,
    due: u64,
}

impl OpenEntries {
    fn add(&mut self, entry: &ReversalEntry, now: Timestamp) {
        let age = now.since(entry.opened_at);
        *self.phases.entry(entry.phase).or_default() += 1;
        *self.ages.entry(AgeBand::of(age)).or_default() += 1;
        self.oldest = self.oldest.max(age);
        self.due += u64::from(entry.due_at.is_some_and(|due_at| due_at <= now));
    }

    fn show(&self, channel: &ChannelId) {
        let count = |entries: Option<&u64>| entries.copied().unwrap_or(0);
        for phase in Phase::ALL {
            gauges::gauge_reversals(channel, phase, count(self.phases.get(&phase)));
        }
        for age in AgeBand::ALL {
            gauges::gauge_reversals_of_age(channel, age, count(self.ages.get(&age)));
        }
        gauges::gauge_due_reversals(channel, self.oldest, self.due);
    }
}

/// Counts what waits, and sets the metrics.
pub struct BacklogWorker {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    /// A series does not go: a channel that had entries once is counted for as long as we run.
    channels: BTreeSet<ChannelId>,
    rounds: u32,
    books: BookGauges,
}

impl BacklogWorker {
    pub fn new(engine: Arc<Engine>, registry: Arc<Registry>) -> Self {
        let (channels, books) = (BTreeSet::new(), BookGauges::default());
        Self { engine, registry, channels, rounds: 0, books }
    }

    /// Gives how many rows were counted.
    async fn count(&mut self) -> Result<usize, StoreError> {
        let rows = self.count_entries().await?;
        let store = self.engine.store().as_ref();
        let now = self.engine.clock().now();
        let owed = Some(DeliveryStatus::Owed);
        let waiting = store.accounting_backlog().await?;
        let first = store.accounting_requests(owed, None, PAGE).await?;
        let oldest = oldest(first.iter().map(|request| request.created_at), now);
        gauges::gauge_outbox("accounting", (waiting.owed, waiting.parked), oldest);
        let waiting = store.notice_backlog().await?;
        let first = store.notices(owed, None, PAGE).await?;
        let oldest = self::oldest(first.iter().map(|notice| notice.created_at), now);
        gauges::gauge_outbox("core", (waiting.owed, waiting.parked), oldest);
        self.count_approvals().await?;
        for channel in self.registry.statuses() {
            show_channel(&channel);
            self.show_rates(&channel.id);
            if self.rounds.is_multiple_of(BOOKS_EVERY) {
                self.books.look(&self.engine, &channel).await?;
            }
        }
        self.rounds = self.rounds.wrapping_add(1);
        Ok(rows)
    }

    /// Of the operations that begin with a card: the others have no route.
    fn show_rates(&self, channel: &ChannelId) {
        let rows = self.registry.rates(channel).unwrap_or_default();
        let of_operation = |row: &&RateRow| row.speaks && row.scope == RateScope::Operation;
        let rows: Vec<&RateRow> = rows.iter().filter(of_operation).collect();
        for operation in Operation::ALL.into_iter().filter(|one| one.begins_with_card()) {
            let row = rows.iter().find(|row| row.situation.operation == operation);
            gauges::gauge_order_success(channel, operation, row.map(|row| row.ppm));
        }
    }

    /// One page is enough: a person decides each, so more wake people all the same. What has
    /// expired waits no more, although nobody has touched it.
    async fn count_approvals(&self) -> Result<(), StoreError> {
        let present = self.engine.clock().present();
        let mut rows = self.engine.store().waiting_approvals(None, PAGE).await?;
        rows.retain(|row| row.standing(&present).is_waiting());
        for kind in HeldKind::ALL {
            let count = rows.iter().filter(|row| row.action.kind() == kind).count();
            gauges::gauge_approvals(kind, count as u64);
        }
        let open = self.engine.store().bin_proposals(true, None, PAGE).await?;
        gauges::gauge_bin_proposals(open.len() as u64);
        gauges::gauge_oldest_approval(oldest(rows.iter().map(|row| row.asked_at), present.now()));
        Ok(())
    }

    async fn count_entries(&mut self) -> Result<usize, StoreError> {
        let store: &dyn Store = self.engine.store().as_ref();
        let now = self.engine.clock().now();
        let mut open: BTreeMap<ChannelId, OpenEntries> = BTreeMap::new();
        let (mut after, mut rows) = (None, 0);
        // Bounded by the table; each page goes on after the last.
        loop {
            let page = store.reversals(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.order);
            rows += page.len();
            for entry in page {
                open.entry(entry.channel.clone()).or_default().add(&entry, now);
            }
        }
        self.channels.extend(self.engine.channels().ids());
        self.channels.extend(open.keys().cloned());
        for channel in &self.channels {
            open.remove(channel).unwrap_or_default().show(channel);
        }
        Ok(rows)
    }
}

impl Worker for BacklogWorker {
    const NAME: &'static str = "backlog";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        self.count().await.unwrap_or_else(|error| {
            tasks.fail("what waits cannot be counted; the metrics stay as they were", &error);
            0
        })
    }
}

/// The greatest age, 0 without one. Rows are listed by ids, which are given out in order of time:
/// where more wait than a page has, an older one may be missed that belongs to a younger id.
fn oldest(made: impl Iterator<Item = Timestamp>, now: Timestamp) -> Duration {
    made.map(|at| now.since(at)).max().unwrap_or_default()
}

fn show_channel(status: &ChannelStatus) {
    gauges::gauge_channel(&status.id, status.success_rate_ppm, status.has_room);
    let charges = (status.per_day_minor, status.used_today_minor);
    let payouts = (status.payouts_per_day_minor, status.payouts_today_minor);
    for (kind, (limit, used)) in [(VolumeKind::Charges, charges), (VolumeKind::Payouts, payouts)] {
        gauges::gauge_day_limit(&status.id, kind, limit, used);
    }
}
