//! The store of simulations and tests: deterministic, in memory, with faults on request.
//!
//! It upholds the same guards as the others, through the same [`Plan`] and the same stored forms,
//! so that a simulation also passes every row through encoding. It has no threads; its futures are
//! ready at once, and do their work when they are first polled. It must not know who uses it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::batch::{AuditEntry, Batch, Contradiction, CoreNotice};
use crate::domain::books::Transaction;
use crate::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::day_close::DayClose;
use crate::domain::books::difference::Difference;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::settlement::{ChannelSettlement, SettledDate};
use crate::domain::books::statement::StatementRevision;
use crate::domain::flow::order::Order;
use crate::domain::flow::reversal::ReversalEntry;
use crate::domain::ids::{
    BatchId, CallerId, CallerOrderId, ChannelId, ChannelOrderNo, DifferenceId, OrderId,
    SettlementId,
};
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::keys;
use crate::store::plan::{Found, Plan, lease_step};
use crate::store::rows::{self, Scan, SortedBytes, Visit};
use crate::store::{CommitError, FoundRow, Store, StoreError, StoreFuture};

/// Called with each batch right after it was written.
pub type CommitObserver = Box<dyn Fn(&Batch) + Send + Sync>;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The store in memory. Clones share their rows.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    observers: Mutex<Vec<Arc<CommitObserver>>>,
}

#[derive(Default)]
struct State {
    rows: Rows,
    audit_next: u64,
    failed: bool,
    faults: FaultPlan,
}

#[derive(Default)]
struct FaultPlan {
    /// Commits that still succeed before one fails, and whether that one's rows are found later.
    fail_after: Option<(u64, FailedRows)>,
    busy: u64,
}

/// What became of the rows of a commit that failed. Both happen to a real disk: whoever was told
/// of the failure does not know which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedRows {
    Lost,
    Written,
}

/// A handle that makes a [`MemoryStore`] misbehave.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn faults(&self) -> Faults {
        Faults { shared: Arc::clone(&self.shared) }
    }

    /// Shows every batch to `observer` after it was written. The observer may read the store.
    pub fn on_commit(&self, observer: CommitObserver) {
        lock(&self.shared.observers).push(Arc::new(observer));
    }

    fn write(&self, batch: &Batch) -> Result<(), CommitError> {
        let mut state = lock(&self.shared.state);
        let fault = state.admit()?;
        let State { rows, audit_next, .. } = &mut *state;
        if *audit_next == 0 {
            // Places are counted from 1 in every store.
            *audit_next = 1;
        }
        let stored = |key: &[u8]| -> Found { Ok(rows.get(key).cloned()) };
        let writes = Plan::of(batch).check(audit_next, &stored)?;
        if fault != Some(FailedRows::Lost) {
            for (key, value) in writes {
                match value {
                    Some(value) => rows.insert(key, value),
                    None => rows.remove(&key),
                };
            }
        }
        if fault.is_some() {
            state.failed = true;
            return Err(failed());
        }
        drop(state);
        let observers = lock(&self.shared.observers).clone();
        for observer in observers {
            observer(batch);
        }
        Ok(())
    }

    fn take_lease(&self, yymmdd: u32, node: u16, count: u32) -> Result<u64, CommitError> {
        let mut state = lock(&self.shared.state);
        let fault = state.admit()?;
        let key = keys::lease_key(yymmdd, node);
        let stored = state.rows.get(&key).map(Vec::as_slice);
        let (first, row) = lease_step(stored, count).map_err(CommitError::Failed)?;
        if fault != Some(FailedRows::Lost) {
            state.rows.insert(key, row);
        }
        if fault.is_some() {
            state.failed = true;
            return Err(failed());
        }
        Ok(first)
    }

    fn read<T, F>(&self, read: F) -> StoreFuture<'_, Result<T, StoreError>>
    where
        T: Send + 'static,
        F: FnOnce(&Rows) -> Result<T, StoreError> + Send + 'static,
    {
        Box::pin(async move { read(&lock(&self.shared.state).rows) })
    }
}

impl State {
    /// Counts a commit against the faults in force; tells whether it is the one that fails.
    fn admit(&mut self) -> Result<Option<FailedRows>, CommitError> {
        if self.failed {
            return Err(failed());
        }
        if self.faults.busy > 0 {
            self.faults.busy -= 1;
            return Err(CommitError::Busy);
        }
        match &mut self.faults.fail_after {
            Some((0, rows)) => {
                let rows = *rows;
                self.faults.fail_after = None;
                Ok(Some(rows))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

impl Faults {
    /// After `commits` further commits, one fails, and the store takes none from then on until
    /// [`Self::restart`].
    pub fn fail_after(&self, commits: u64, rows: FailedRows) {
        lock(&self.shared.state).faults.fail_after = Some((commits, rows));
    }

    /// The next commit fails, and the store takes none from then on until [`Self::restart`].
    pub fn fail_next_commit(&self, rows: FailedRows) {
        self.fail_after(0, rows);
    }

    /// The next `commits` commits find the queue full.
    pub fn busy(&self, commits: u64) {
        lock(&self.shared.state).faults.busy = commits;
    }

    /// Opens the store again after a failure, with the rows that it has.
    pub fn restart(&self) {
        let mut state = lock(&self.shared.state);
        state.failed = false;
        state.faults = FaultPlan::default();
    }
}

fn failed() -> CommitError {
    let detail = "a fault was asked for".to_owned();
    CommitError::Failed(StoreError::Backend { context: "the memory store has failed", detail })
}

/// A panic of an observer leaves the rows whole, so what it poisoned is used on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SortedBytes for Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        for (key, value) in self.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
            if visit(key, value)? == Scan::Enough {
                break;
            }
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn commit(&self, batch: Batch) -> StoreFuture<'_, Result<(), CommitError>> {
        Box::pin(async move { self.write(&batch) })
    }

    fn order(&self, id: OrderId) -> StoreFuture<'_, Result<Option<Order>, StoreError>> {
        self.read(move |rows| rows::order(rows, id))
    }

    fn order_by_caller(
        &self,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> StoreFuture<'_, Result<Option<Order>, StoreError>> {
        self.read(move |rows| rows::order_by_caller(rows, &caller, &caller_order_id))
    }

    fn orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.read(move |rows| rows::orders(rows, after, limit))
    }

    fn open_orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.read(move |rows| rows::open_orders(rows, after, limit))
    }

    fn follow_ups(
        &self,
        of: OrderId,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.read(move |rows| rows::follow_ups(rows, of, after, limit))
    }

    fn transaction(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<Transaction>, StoreError>> {
        self.read(move |rows| rows::transaction(rows, order))
    }

    fn reversal(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<ReversalEntry>, StoreError>> {
        self.read(move |rows| rows::reversal(rows, order))
    }

    fn reversals(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>> {
        self.read(move |rows| rows::reversals(rows, after, limit))
    }

    fn due_reversals(
        &self,
        channel: ChannelId,
        now: Timestamp,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>> {
        self.read(move |rows| rows::due_reversals(rows, &channel, now, limit))
    }

    fn contradictions(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Vec<Contradiction>, StoreError>> {
        self.read(move |rows| rows::contradictions(rows, order))
    }

    fn clearing(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<(OrderId, u8)>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ClearingRecord>, StoreError>> {
        self.read(move |rows| rows::clearing(rows, &channel, date, after, limit))
    }

    fn accounting_request(
        &self,
        id: RequestId,
    ) -> StoreFuture<'_, Result<Option<AccountingRequest>, StoreError>> {
        self.read(move |rows| rows::accounting_request(rows, id))
    }

    fn accounting_requests(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<RequestId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>> {
        self.read(move |rows| rows::accounting_requests(rows, status, after, limit))
    }

    fn due_accounting(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>> {
        self.read(move |rows| rows::due_accounting(rows, now, limit))
    }

    fn notice(&self, order: OrderId) -> StoreFuture<'_, Result<Option<CoreNotice>, StoreError>> {
        self.read(move |rows| rows::notice(rows, order))
    }

    fn due_notices(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<CoreNotice>, StoreError>> {
        self.read(move |rows| rows::due_notices(rows, now, limit))
    }

    fn audit(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<(u64, AuditEntry)>, StoreError>> {
        self.read(move |rows| rows::audit(rows, after, limit))
    }

    fn closed_through(
        &self,
        channel: ChannelId,
    ) -> StoreFuture<'_, Result<Option<BusinessDate>, StoreError>> {
        self.read(move |rows| rows::books::closed_through(rows, &channel))
    }

    fn day_close(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Option<DayClose>, StoreError>> {
        self.read(move |rows| rows::books::day_close(rows, &channel, date))
    }

    fn statement_revisions(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Vec<StatementRevision>, StoreError>> {
        self.read(move |rows| rows::books::statement_revisions(rows, &channel, date))
    }

    fn reconciliation(
        &self,
        id: BatchId,
    ) -> StoreFuture<'_, Result<Option<Reconciliation>, StoreError>> {
        self.read(move |rows| rows::books::reconciliation(rows, id))
    }

    fn reconciliations(
        &self,
        channel: Option<ChannelId>,
        date: Option<BusinessDate>,
        after: Option<BatchId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Reconciliation>, StoreError>> {
        self.read(move |rows| {
            rows::books::reconciliations(rows, channel.as_ref(), date, after, limit)
        })
    }

    fn current_reconciliation(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Option<Reconciliation>, StoreError>> {
        self.read(move |rows| rows::books::current_reconciliation(rows, &channel, date))
    }

    fn running_reconciliations(&self) -> StoreFuture<'_, Result<Vec<Reconciliation>, StoreError>> {
        self.read(rows::books::running_reconciliations)
    }

    fn agreed_lines(&self, id: BatchId) -> StoreFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        self.read(move |rows| rows::books::agreed_lines(rows, id))
    }

    fn found_differences(
        &self,
        batch: BatchId,
        after: Option<u32>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<FoundRow>, StoreError>> {
        self.read(move |rows| rows::books::found_differences(rows, batch, after, limit))
    }

    fn difference(
        &self,
        id: DifferenceId,
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
        self.read(move |rows| rows::books::difference(rows, id))
    }

    fn difference_of_record(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        number: ChannelOrderNo,
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
        self.read(move |rows| rows::books::difference_of_record(rows, &channel, date, number))
    }

    fn difference_of_line(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        digest: [u8; 16],
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
        self.read(move |rows| rows::books::difference_of_line(rows, &channel, date, digest))
    }

    fn differences_of_records(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<ChannelOrderNo>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.read(move |rows| {
            rows::books::differences_of_records(rows, &channel, date, after, limit)
        })
    }

    fn differences_of_lines(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<[u8; 16]>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.read(move |rows| rows::books::differences_of_lines(rows, &channel, date, after, limit))
    }

    fn open_differences(
        &self,
        channel: ChannelId,
        after: Option<DifferenceId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.read(move |rows| rows::books::open_differences(rows, &channel, after, limit))
    }

    fn due_differences(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.read(move |rows| rows::books::due_differences(rows, now, limit))
    }

    fn settlement(
        &self,
        id: SettlementId,
    ) -> StoreFuture<'_, Result<Option<ChannelSettlement>, StoreError>> {
        self.read(move |rows| rows::books::settlement(rows, id))
    }

    fn settlements(
        &self,
        channel: ChannelId,
        after: Option<SettlementId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ChannelSettlement>, StoreError>> {
        self.read(move |rows| rows::books::settlements(rows, &channel, after, limit))
    }

    fn settlement_by_receipt(
        &self,
        channel: ChannelId,
        bank_reference: String,
    ) -> StoreFuture<'_, Result<Option<ChannelSettlement>, StoreError>> {
        self.read(move |rows| rows::books::settlement_by_receipt(rows, &channel, &bank_reference))
    }

    fn settled_date(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        currency: Currency,
    ) -> StoreFuture<'_, Result<Option<SettledDate>, StoreError>> {
        self.read(move |rows| rows::books::settled_date(rows, &channel, date, currency))
    }

    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>> {
        Box::pin(async move { self.take_lease(yymmdd, node, count) })
    }
}

#[cfg(test)]
mod tests;
