//! What the books are kept in: one trait, which every store upholds in the same way.
//!
//! Upholds I-9 (caller order ids are unique), I-12 (`commit` returns only when the rows would
//! survive the loss of power), and the guards that [`Batch`] names. A store knows rows, not rules.

pub mod memory;
pub mod reread;
pub mod sled;

mod keys;
mod plan;
mod record;
mod rows;

use std::pin::Pin;

use crate::domain::batch::{AuditEntry, Batch, Claim, Contradiction, CoreNotice};
use crate::domain::books::Transaction;
use crate::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::day_close::DayClose;
use crate::domain::books::difference::Difference;
use crate::domain::books::reconcile::Class;
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

/// A future that a store returns; boxed, so that the store is chosen at start.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A line of a batch's listing: its place, the class as it was found, the difference as it is now.
pub type FoundRow = (u32, Class, Difference);

/// What a contradiction is known by: order, attempt, claim, and its place among those.
pub type ContradictionPlace = (OrderId, u8, Claim, u8);

/// How many things wait to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// They are tried again by themselves.
    pub owed: u64,
    /// They were refused, and wait for a person.
    pub parked: u64,
}

/// Why a batch was not written. Nothing of it is then.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A row has changed since it was loaded: load again and decide again.
    #[error("a row has changed since it was loaded")]
    Conflict,
    /// The caller has used this order id before.
    #[error("the caller's order id belongs to order {existing}")]
    Duplicate { existing: OrderId },
    /// Too many commits wait: answer 503 and let the caller come back.
    #[error("the store's queue is full")]
    Busy,
    /// A write or fsync failed. It is never tried again; the process must stop taking orders.
    /// Whether the batch will be found after a restart is not known. With [`StoreError::Damaged`]
    /// inside, the store goes on: only the row that the batch was to replace does not read.
    #[error("the store has failed and takes no more writes")]
    Failed(#[source] StoreError),
}

/// Why rows could not be read, or the store not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{context}")]
    Io {
        context: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{context}: {detail}")]
    Backend { context: &'static str, detail: String },
    /// A stored row does not read back: the file is damaged, or written by a newer version.
    #[error("a stored row of `{table}` does not read back: {detail}")]
    Damaged { table: &'static str, detail: String },
    /// Something that was durable is missing or is not as it was written. Nothing is opened: books
    /// with less in them would take orders a second time.
    #[error(
        "the books are not whole: {what}; {known}. Put back what is missing, or restore the backup \
         of the whole data folder; an emptied one would take and charge the same orders again"
    )]
    NotWhole { what: String, known: String },
}

/// The most rows that one page of a listing has.
pub const PAGE_MAX: usize = 1_000;

/// Where the books are kept. Listings are in key order, and go on after the last key of a page.
/// What is read is durable: no answer rests on a row that a loss of power could take back (I-12).
pub trait Store: Send + Sync {
    /// Writes all of the batch durably, or nothing. A future that is dropped after its first poll
    /// may still be carried out.
    fn commit(&self, batch: Batch) -> StoreFuture<'_, Result<(), CommitError>>;

    fn order(&self, id: OrderId) -> StoreFuture<'_, Result<Option<Order>, StoreError>>;

    fn order_by_caller(
        &self,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> StoreFuture<'_, Result<Option<Order>, StoreError>>;

    /// Orders by id.
    fn orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>>;

    /// Orders that are not final, by id: what recovery goes through.
    fn open_orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>>;

    /// Refunds, voids and captures that refer to an order, by id.
    fn follow_ups(
        &self,
        of: OrderId,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>>;

    fn transaction(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<Transaction>, StoreError>>;

    /// Transactions by order.
    fn transactions(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Transaction>, StoreError>>;

    /// The transactions that a channel clears on a date, by channel order number.
    fn transactions_of_day(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<ChannelOrderNo>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Transaction>, StoreError>>;

    fn reversal(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<ReversalEntry>, StoreError>>;

    /// The temp reversal table, by order id.
    fn reversals(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>>;

    /// A channel's entries that are due, the longest due first; behind them what is dated wrong.
    fn due_reversals(
        &self,
        channel: ChannelId,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>>;

    fn contradictions(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Vec<Contradiction>, StoreError>>;

    /// Contradictions of all orders, by order, attempt and claim.
    fn all_contradictions(
        &self,
        after: Option<ContradictionPlace>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Contradiction>, StoreError>>;

    /// A channel's clearing records of one date, by channel order number.
    fn clearing(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<(OrderId, u8)>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ClearingRecord>, StoreError>>;

    fn accounting_request(
        &self,
        id: RequestId,
    ) -> StoreFuture<'_, Result<Option<AccountingRequest>, StoreError>>;

    /// Accounting requests by id, of one status or of all.
    fn accounting_requests(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<RequestId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>>;

    /// How many accounting requests are owed, and how many are parked.
    fn accounting_backlog(&self) -> StoreFuture<'_, Result<Backlog, StoreError>>;

    /// Owed accounting requests that are due, the longest due first; behind them what is dated
    /// wrong.
    fn due_accounting(
        &self,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>>;

    fn notice(&self, order: OrderId) -> StoreFuture<'_, Result<Option<CoreNotice>, StoreError>>;

    /// Notices to the core by order, of one status or of all.
    fn notices(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<CoreNotice>, StoreError>>;

    /// Owed notices to the core that are due, the longest due first; behind them what is dated
    /// wrong.
    fn due_notices(
        &self,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<CoreNotice>, StoreError>>;

    /// The audit trail, oldest first, from the given place on.
    fn audit(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<(u64, AuditEntry)>, StoreError>>;

    /// The last closed clearing day of a channel: it takes no clearing record of it or before.
    fn closed_through(
        &self,
        channel: ChannelId,
    ) -> StoreFuture<'_, Result<Option<BusinessDate>, StoreError>>;

    fn day_close(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Option<DayClose>, StoreError>>;

    /// The statements of a channel and date, by revision.
    fn statement_revisions(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Vec<StatementRevision>, StoreError>>;

    fn reconciliation(
        &self,
        id: BatchId,
    ) -> StoreFuture<'_, Result<Option<Reconciliation>, StoreError>>;

    /// Reconciliations by id, of a channel and date or of all. A date without a channel is not
    /// looked at.
    fn reconciliations(
        &self,
        channel: Option<ChannelId>,
        date: Option<BusinessDate>,
        after: Option<BatchId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Reconciliation>, StoreError>>;

    fn current_reconciliation(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Option<Reconciliation>, StoreError>>;

    /// Reconciliations that have begun and not ended, by id.
    fn running_reconciliations(&self) -> StoreFuture<'_, Result<Vec<Reconciliation>, StoreError>>;

    /// Which lines agreed in a batch, as it was written.
    fn agreed_lines(&self, id: BatchId) -> StoreFuture<'_, Result<Option<Vec<u8>>, StoreError>>;

    /// What a batch found, by its place in the listing: the class as it was found, and the
    /// difference as it is now.
    fn found_differences(
        &self,
        batch: BatchId,
        after: Option<u32>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<FoundRow>, StoreError>>;

    fn difference(
        &self,
        id: DifferenceId,
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>>;

    /// The difference that has a record of ours.
    fn difference_of_record(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        number: ChannelOrderNo,
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>>;

    /// The difference that has a line of a statement.
    fn difference_of_line(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        digest: [u8; 16],
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>>;

    /// Differences that have a record of a date, by channel order number.
    fn differences_of_records(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<ChannelOrderNo>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>>;

    /// Differences that have a line of a date's statement, by digest.
    fn differences_of_lines(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<[u8; 16]>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>>;

    /// Differences of a channel that are carried or suspended, by id.
    fn open_differences(
        &self,
        channel: ChannelId,
        after: Option<DifferenceId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>>;

    /// Carried differences whose time is over, the longest due first; behind them what is dated
    /// wrong.
    fn due_differences(
        &self,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>>;

    fn settlement(
        &self,
        id: SettlementId,
    ) -> StoreFuture<'_, Result<Option<ChannelSettlement>, StoreError>>;

    /// A channel's settlements, by id.
    fn settlements(
        &self,
        channel: ChannelId,
        after: Option<SettlementId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ChannelSettlement>, StoreError>>;

    /// The settlement that has a receipt of the bank's.
    fn settlement_by_receipt(
        &self,
        channel: ChannelId,
        bank_reference: String,
    ) -> StoreFuture<'_, Result<Option<ChannelSettlement>, StoreError>>;

    fn settled_date(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        currency: Currency,
    ) -> StoreFuture<'_, Result<Option<SettledDate>, StoreError>>;

    /// Takes the next `count` sequence numbers of a day and node, durably, and returns the first.
    ///
    /// The first number of all is 1. Numbers that a crash leaves unused are never given out again.
    /// `yymmdd` 0 to 999999.
    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>>;
}
