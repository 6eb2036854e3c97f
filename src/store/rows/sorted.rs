//! Every store that keeps sorted bytes reads its rows in the same way.
//!
//! A [`SortedStore`] says how its bytes are looked at and how a commit is carried out; what a
//! [`Store`] reads follows from that, once for all of them.

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
use crate::domain::time::{BusinessDate, Due};
use crate::store::{
    Backlog, CommitError, ContradictionPlace, FoundRow, Store, StoreError, StoreFuture,
};

use super::SortedBytes;

/// A store whose rows are sorted bytes.
pub(in crate::store) trait SortedStore: Send + Sync {
    /// The bytes, while they are looked at.
    type Bytes<'a>: SortedBytes;

    /// See [`Store::commit`].
    fn write_batch(&self, batch: Batch) -> StoreFuture<'_, Result<(), CommitError>>;

    /// See [`Store::lease`].
    fn lease_numbers(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>>;

    /// Reads a row or two by their keys, on the spot.
    fn look<T, F>(&self, read: F) -> StoreFuture<'_, Result<T, StoreError>>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&Self::Bytes<'a>) -> Result<T, StoreError> + Send + 'static;

    /// Reads a page, which may take longer.
    fn list<T, F>(&self, read: F) -> StoreFuture<'_, Result<T, StoreError>>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&Self::Bytes<'a>) -> Result<T, StoreError> + Send + 'static;
}

impl<S: SortedStore> Store for S {
    fn commit(&self, batch: Batch) -> StoreFuture<'_, Result<(), CommitError>> {
        self.write_batch(batch)
    }

    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>> {
        self.lease_numbers(yymmdd, node, count)
    }

    fn order(&self, id: OrderId) -> StoreFuture<'_, Result<Option<Order>, StoreError>> {
        self.look(move |rows| super::order(rows, id))
    }

    fn order_by_caller(
        &self,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> StoreFuture<'_, Result<Option<Order>, StoreError>> {
        self.look(move |rows| super::order_by_caller(rows, &caller, &caller_order_id))
    }

    fn orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.list(move |rows| super::orders(rows, after, limit))
    }

    fn open_orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.list(move |rows| super::open_orders(rows, after, limit))
    }

    fn follow_ups(
        &self,
        of: OrderId,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.list(move |rows| super::follow_ups(rows, of, after, limit))
    }

    fn transaction(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<Transaction>, StoreError>> {
        self.look(move |rows| super::transaction(rows, order))
    }

    fn transactions(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Transaction>, StoreError>> {
        self.list(move |rows| super::transactions(rows, after, limit))
    }

    fn transactions_of_day(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<ChannelOrderNo>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Transaction>, StoreError>> {
        self.list(move |rows| super::transactions_of_day(rows, &channel, date, after, limit))
    }

    fn reversal(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<ReversalEntry>, StoreError>> {
        self.look(move |rows| super::reversal(rows, order))
    }

    fn reversals(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>> {
        self.list(move |rows| super::reversals(rows, after, limit))
    }

    fn due_reversals(
        &self,
        channel: ChannelId,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>> {
        self.list(move |rows| super::due_reversals(rows, &channel, due, limit))
    }

    fn contradictions(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Vec<Contradiction>, StoreError>> {
        self.list(move |rows| super::contradictions(rows, order))
    }

    fn all_contradictions(
        &self,
        after: Option<ContradictionPlace>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Contradiction>, StoreError>> {
        self.list(move |rows| super::all_contradictions(rows, after, limit))
    }

    fn clearing(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<(OrderId, u8)>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ClearingRecord>, StoreError>> {
        self.list(move |rows| super::clearing(rows, &channel, date, after, limit))
    }

    fn accounting_request(
        &self,
        id: RequestId,
    ) -> StoreFuture<'_, Result<Option<AccountingRequest>, StoreError>> {
        self.look(move |rows| super::accounting_request(rows, id))
    }

    fn accounting_requests(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<RequestId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>> {
        self.list(move |rows| super::accounting_requests(rows, status, after, limit))
    }

    fn accounting_backlog(&self) -> StoreFuture<'_, Result<Backlog, StoreError>> {
        self.list(|rows| super::accounting_backlog(rows))
    }

    fn due_accounting(
        &self,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>> {
        self.list(move |rows| super::due_accounting(rows, due, limit))
    }

    fn notice(&self, order: OrderId) -> StoreFuture<'_, Result<Option<CoreNotice>, StoreError>> {
        self.look(move |rows| super::notice(rows, order))
    }

    fn notices(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<CoreNotice>, StoreError>> {
        self.list(move |rows| super::notices(rows, status, after, limit))
    }

    fn due_notices(
        &self,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<CoreNotice>, StoreError>> {
        self.list(move |rows| super::due_notices(rows, due, limit))
    }

    fn audit(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<(u64, AuditEntry)>, StoreError>> {
        self.list(move |rows| super::audit(rows, after, limit))
    }

    fn closed_through(
        &self,
        channel: ChannelId,
    ) -> StoreFuture<'_, Result<Option<BusinessDate>, StoreError>> {
        self.look(move |rows| super::books::closed_through(rows, &channel))
    }

    fn day_close(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Option<DayClose>, StoreError>> {
        self.look(move |rows| super::books::day_close(rows, &channel, date))
    }

    fn statement_revisions(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Vec<StatementRevision>, StoreError>> {
        self.list(move |rows| super::books::statement_revisions(rows, &channel, date))
    }

    fn reconciliation(
        &self,
        id: BatchId,
    ) -> StoreFuture<'_, Result<Option<Reconciliation>, StoreError>> {
        self.look(move |rows| super::books::reconciliation(rows, id))
    }

    fn reconciliations(
        &self,
        channel: Option<ChannelId>,
        date: Option<BusinessDate>,
        after: Option<BatchId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Reconciliation>, StoreError>> {
        self.list(move |rows| {
            super::books::reconciliations(rows, channel.as_ref(), date, after, limit)
        })
    }

    fn current_reconciliation(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Option<Reconciliation>, StoreError>> {
        self.look(move |rows| super::books::current_reconciliation(rows, &channel, date))
    }

    fn running_reconciliations(&self) -> StoreFuture<'_, Result<Vec<Reconciliation>, StoreError>> {
        self.list(|rows| super::books::running_reconciliations(rows))
    }

    fn agreed_lines(&self, id: BatchId) -> StoreFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        self.list(move |rows| super::books::agreed_lines(rows, id))
    }

    fn found_differences(
        &self,
        batch: BatchId,
        after: Option<u32>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<FoundRow>, StoreError>> {
        self.list(move |rows| super::books::found_differences(rows, batch, after, limit))
    }

    fn difference(
        &self,
        id: DifferenceId,
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
        self.look(move |rows| super::books::difference(rows, id))
    }

    fn difference_of_record(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        number: ChannelOrderNo,
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
        self.look(move |rows| super::books::difference_of_record(rows, &channel, date, number))
    }

    fn difference_of_line(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        digest: [u8; 16],
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
        self.look(move |rows| super::books::difference_of_line(rows, &channel, date, digest))
    }

    fn differences_of_records(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<ChannelOrderNo>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.list(move |rows| {
            super::books::differences_of_records(rows, &channel, date, after, limit)
        })
    }

    fn differences_of_lines(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<[u8; 16]>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.list(move |rows| {
            super::books::differences_of_lines(rows, &channel, date, after, limit)
        })
    }

    fn open_differences(
        &self,
        channel: ChannelId,
        after: Option<DifferenceId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.list(move |rows| super::books::open_differences(rows, &channel, after, limit))
    }

    fn due_differences(
        &self,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.list(move |rows| super::books::due_differences(rows, due, limit))
    }

    fn settlement(
        &self,
        id: SettlementId,
    ) -> StoreFuture<'_, Result<Option<ChannelSettlement>, StoreError>> {
        self.look(move |rows| super::books::settlement(rows, id))
    }

    fn settlements(
        &self,
        channel: ChannelId,
        after: Option<SettlementId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ChannelSettlement>, StoreError>> {
        self.list(move |rows| super::books::settlements(rows, &channel, after, limit))
    }

    fn settlement_by_receipt(
        &self,
        channel: ChannelId,
        bank_reference: String,
    ) -> StoreFuture<'_, Result<Option<ChannelSettlement>, StoreError>> {
        self.look(move |rows| super::books::settlement_by_receipt(rows, &channel, &bank_reference))
    }

    fn settled_date(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        currency: Currency,
    ) -> StoreFuture<'_, Result<Option<SettledDate>, StoreError>> {
        self.look(move |rows| super::books::settled_date(rows, &channel, date, currency))
    }
}
