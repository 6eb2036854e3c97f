//! Looks for what the books teach of the BIN table, and proposes it to a person.
//!
//! Fees come from the open differences, refusals from the orders of the last week, both read anew
//! at each round, by one node of several. What channels say of a card each node has heard by itself
//! and hands over here: a word that is lost with its process is said again.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::bin::proposal::{BinFact, BinProposal, BinProposalId};
use crate::domain::bin::{BinRow, BinTable};
use crate::domain::cluster::Work;
use crate::domain::lessons::{FactTally, Lesson, RefusalTally, of_fee, row_of};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::order_filter::OrderFilter;
use crate::domain::outcome::Reason;
use crate::domain::time::Timestamp;
use crate::domain::write_set::WriteSet;
use crate::engine::{CommitRounds, Engine, EngineError};
use crate::store::StoreError;
use crate::tables::bin::{ActiveTable, LiveBinTable};
use crate::workers::PAGE;
use crate::workers::driver::{Tasks, Worker};

/// A round reads differences and orders, and hurries nobody.
pub const EVERY: Duration = Duration::from_secs(60 * 60);
/// The refusals that count, and the words of channels.
const SAID_WITHIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The pages that one round reads of each channel's differences, and of one look for orders.
const PAGES_MAX: usize = 100;
/// The rows whose cards one round looks for among those that were taken.
const ROWS_LOOKED_FOR_MAX: usize = 50;
/// The digits of a card that orders are looked for by.
const FIRST_DIGITS: usize = 6;
/// The proposals that may be open: a person who has a thousand to decide needs no more.
const OPEN_MAX: usize = 1_000;

/// The orders of a row's issuer, or of cards that begin as its own do, that a channel has taken.
fn taken_of(row: &BinRow, from: Option<Timestamp>) -> OrderFilter {
    let taken =
        OrderFilter { from, status: Some(OrderStatus::Succeeded), ..OrderFilter::default() };
    match row.bin.as_str().get(..FIRST_DIGITS) {
        Some(first_six) => OrderFilter { first_six: Some(first_six.to_owned()), ..taken },
        None => OrderFilter { issuer_code: Some(row.issuer_code.clone()), ..taken },
    }
}

/// Proposes what the books teach.
pub struct BinLessonWorker {
    engine: Arc<Engine>,
    bins: Arc<LiveBinTable>,
}

impl BinLessonWorker {
    pub const fn new(engine: Arc<Engine>, bins: Arc<LiveBinTable>) -> Self {
        Self { engine, bins }
    }

    /// Gives how many proposals were written.
    async fn look(&self, tasks: &Tasks) -> Result<usize, EngineError> {
        let since = self.engine.clock().now().minus(SAID_WITHIN);
        let mut lessons = self.engine.lessons().take(since);
        if self.engine.holds(&Work::BinTable) {
            lessons.extend(self.of_fees(tasks).await?);
            lessons.extend(self.of_refusals(tasks).await?);
        } else if lessons.is_empty() {
            return Ok(0);
        }
        let table = self.bins.current();
        let mut written = 0;
        let mut open = self.settle(&table.table).await?;
        for lesson in lessons {
            if tasks.is_stop_requested() {
                break;
            }
            if self.propose(&table, lesson, &mut open).await? {
                written += 1;
            }
        }
        Ok(written)
    }

    /// What the fees of statements teach.
    async fn of_fees(&self, tasks: &Tasks) -> Result<Vec<Lesson>, StoreError> {
        let (store, now) = (self.engine.store(), self.engine.clock().now());
        let mut tally = FactTally::default();
        for channel in self.engine.channels().ids() {
            let mut after = None;
            for _ in 0..PAGES_MAX {
                let page = store.open_differences(channel.clone(), after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                for difference in &page {
                    let Some(record) = &difference.record else { continue };
                    let Some(order) = store.order(record.channel_order_no.order).await? else {
                        continue;
                    };
                    let terms = self.engine.channels().terms_at(&channel, order.created_at);
                    let found =
                        terms.and_then(|terms| of_fee(difference, &order, &terms.fees, now));
                    if let (Some((fact, evidence)), Some(row)) = (found, row_of(&order)) {
                        tally.learn(row, fact, evidence);
                    }
                }
                if tasks.is_stop_requested() {
                    break;
                }
            }
        }
        Ok(tally.take_borne_out())
    }

    /// What channels' refusals teach: rows of which many cards were refused as cards that there are
    /// not, and none was taken.
    async fn of_refusals(&self, tasks: &Tasks) -> Result<Vec<Lesson>, StoreError> {
        let from = Some(self.engine.clock().now().minus(SAID_WITHIN));
        let refused =
            OrderFilter { from, reason: Some(Reason::InvalidCard), ..OrderFilter::default() };
        let mut tally = RefusalTally::default();
        self.each_order(&refused, tasks, |order| {
            tally.learn(order);
            true
        })
        .await?;
        let mut lessons = Vec::new();
        for (row, evidence) in tally.borne_out().take(ROWS_LOOKED_FOR_MAX) {
            let taken = taken_of(&row, from);
            let is_other = |order: &Order| row_of(order).is_none_or(|one| one.key() != row.key());
            if self.each_order(&taken, tasks, is_other).await? {
                lessons.push((row, BinFact::Retired, evidence));
            }
        }
        Ok(lessons)
    }

    /// Looks at every order that a filter takes, until `look` has seen enough. True if it has seen
    /// all of them.
    async fn each_order(
        &self,
        filter: &OrderFilter,
        tasks: &Tasks,
        mut look: impl FnMut(&Order) -> bool,
    ) -> Result<bool, StoreError> {
        let mut before = None;
        for _ in 0..PAGES_MAX {
            let page = self.engine.store().search_orders(filter.clone(), before, PAGE).await?;
            if !page.orders.iter().all(&mut look) || tasks.is_stop_requested() {
                return Ok(false);
            }
            let Some(next) = page.next else { return Ok(true) };
            before = Some(next);
            tokio::task::yield_now().await;
        }
        Ok(false)
    }

    /// Ends the open proposals that the table has settled, and tells how many stay open.
    async fn settle(&self, table: &BinTable) -> Result<usize, EngineError> {
        let (mut open, mut after) = (0, None);
        loop {
            let page = self.engine.store().bin_proposals(true, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(open) };
            after = Some(last.id);
            for proposal in &page {
                let ended = proposal.overtaken(self.engine.clock().now());
                match ended.filter(|_| proposal.id.is_settled_by(table)) {
                    Some(ended) => {
                        self.write(ended).await?;
                    }
                    None => open += 1,
                }
            }
        }
    }

    /// Opens a proposal, or gives it more evidence. False where there is nothing new.
    async fn propose(
        &self,
        table: &ActiveTable,
        (taught_of, fact, evidence): Lesson,
        open: &mut usize,
    ) -> Result<bool, EngineError> {
        let (now, version) = (self.engine.clock().now(), table.version);
        let (bin, pan_length) = taught_of.key();
        let Some(row) = table.table.row(bin, pan_length) else { return Ok(false) };
        let id = BinProposalId::of(row, fact);
        if id.is_settled_by(&table.table) {
            return Ok(false);
        }
        let known = self.engine.store().bin_proposal(id).await?;
        let was_open = known.as_ref().is_some_and(BinProposal::is_open);
        if !was_open && *open >= OPEN_MAX {
            return Ok(false);
        }
        let next = match known {
            Some(known) => known.learn(evidence, version, now),
            None => Some(BinProposal::open((fact, row, version), evidence, now)),
        };
        let Some(next) = next else { return Ok(false) };
        let is_written = self.write(next).await?;
        if is_written && !was_open {
            *open += 1;
            tracing::info!(proposal = %id, "the books teach another fact than the BIN table has");
        }
        Ok(is_written)
    }

    /// False if a person or another node was quicker: the next round looks again.
    async fn write(&self, proposal: BinProposal) -> Result<bool, EngineError> {
        let writes = WriteSet { bin_proposals: vec![proposal], ..WriteSet::default() };
        self.engine.write(&mut CommitRounds::default(), writes).await
    }
}

impl Worker for BinLessonWorker {
    const NAME: &'static str = "bin_lessons";
    /// A start has other things to read first.
    const AT_START: bool = false;

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        if !self.engine.takes_orders() {
            return 0;
        }
        self.look(tasks).await.unwrap_or_else(|error| {
            tasks.fail("what the books teach of the BIN table is not known", &error);
            0
        })
    }
}
