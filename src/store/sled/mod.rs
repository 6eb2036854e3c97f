//! The embedded store: a journal and sled 0.34.7 in one folder, one tree, one writer.
//!
//! Upholds I-9 and I-12 by these choices:
//! - **One writer thread** takes whatever commits wait, checks each one's guards against the rows
//!   and the group's earlier ones, writes the group as one frame of a journal, syncs it, and
//!   answers all of them. A full queue refuses at once.
//! - **A journal in front of the tree.** A group costs one sequential write and one `fdatasync`.
//!   Journalled rows lie in memory over the tree, and a second thread copies them into it later,
//!   many groups at once, in key order: an order that is accepted and paid meanwhile is written
//!   there once. When a layer is in the tree its journal is written over; after a crash the journal
//!   is replayed before the store opens (see `journal`, `layers`, `settler`).
//! - **Durable means `fdatasync`.** On Linux sled's `flush` only calls `sync_file_range`, which
//!   promises nothing after a loss of power; so the settler then syncs the file `db` through its
//!   own handle. Values that make a page larger than a quarter of a segment would go to files of
//!   their own (`blobs/`); the segment is chosen so that this needs a megabyte, and such a file is
//!   synced too.
//! - **No read sees what is not durable.** Between write and sync a row can be found. A
//!   read of a key that the group under way writes, and every listing, waits for the group's end
//!   (see `barrier`); other reads wait for nothing.
//! - **A failed write or sync is the end.** It is never tried again and never answered with
//!   success: after it the kernel may have dropped the pages and call the next sync a success.
//!   Every later commit is refused, and so is every read that could rest on the failed group.
//! - **One process.** sled locks its file; a second opener is told so.

mod barrier;
mod disk;
mod journal;
mod layers;
mod settler;
mod writer;

use std::path::Path;
use std::sync::Arc;

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
use crate::store::rows;
use crate::store::{CommitError, FoundRow, Store, StoreError, StoreFuture};
use barrier::Barrier;
use disk::{Disk, Reader, Release};
use writer::{Ask, Writer};

pub(super) use journal::rows_in as journal_rows;

/// What can be chosen about the embedded store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SledSettings {
    /// The most commits that may wait for the writer; past it a commit is refused as busy.
    pub queue_max: usize,
    /// The most commits that are made durable together.
    pub group_max: usize,
    /// How much of the books sled keeps in memory, in bytes.
    pub cache_bytes: u64,
    /// How many keys wait in the journal until they are copied into the tree.
    pub settle_keys: usize,
}

impl Default for SledSettings {
    fn default() -> Self {
        Self {
            queue_max: 4_096,
            group_max: 256,
            cache_bytes: 256 * 1024 * 1024,
            settle_keys: 16_384,
        }
    }
}

/// The embedded store. Dropping it ends the writer after what waits has been written.
pub struct SledStore {
    // Dropped in this order: reads end, the writer writes what waits, the folder is let go.
    reader: Arc<Reader>,
    writer: Writer,
    _release: Release,
}

impl SledStore {
    /// Opens the store in `folder`, or makes a new one. Blocks, for seconds if the books are large.
    ///
    /// Refused if another process has the folder open, or if a newer version has written it.
    pub fn open(folder: &Path, settings: &SledSettings) -> Result<Self, StoreError> {
        let disk = Disk::open(folder, settings)?;
        let release = disk.release()?;
        let barrier = Arc::new(Barrier::new());
        let reader = Arc::new(Reader::new(disk.layers(), Arc::clone(&barrier)));
        let writer = Writer::start(disk, barrier, settings)?;
        Ok(Self { reader, writer, _release: release })
    }

    /// Reads a row or two by their keys, on the spot: their bytes are in memory as a rule.
    fn look<T, F>(&self, read: F) -> StoreFuture<'_, Result<T, StoreError>>
    where
        T: Send + 'static,
        F: FnOnce(&disk::Look<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        Box::pin(async move {
            let (found, wait) = self.reader.look(read);
            self.reader.barrier().wait(wait).await?;
            found
        })
    }

    /// Reads a page, on a thread that may block.
    fn list<T, F>(&self, read: F) -> StoreFuture<'_, Result<T, StoreError>>
    where
        T: Send + 'static,
        F: FnOnce(&disk::Look<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        Box::pin(async move {
            let reader = Arc::clone(&self.reader);
            let (found, wait) = on_a_thread(move || reader.look(read)).await?;
            self.reader.barrier().wait(wait).await?;
            found
        })
    }
}

async fn on_a_thread<T, F>(work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Backend {
        context: "a read was broken off",
        detail: error.to_string(),
    })
}

impl Store for SledStore {
    fn commit(&self, batch: Batch) -> StoreFuture<'_, Result<(), CommitError>> {
        Box::pin(async move { self.writer.ask(|reply| Ask::commit(&batch, reply)).await })
    }

    fn order(&self, id: OrderId) -> StoreFuture<'_, Result<Option<Order>, StoreError>> {
        self.look(move |rows| rows::order(rows, id))
    }

    fn order_by_caller(
        &self,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> StoreFuture<'_, Result<Option<Order>, StoreError>> {
        self.look(move |rows| rows::order_by_caller(rows, &caller, &caller_order_id))
    }

    fn orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.list(move |rows| rows::orders(rows, after, limit))
    }

    fn open_orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.list(move |rows| rows::open_orders(rows, after, limit))
    }

    fn follow_ups(
        &self,
        of: OrderId,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.list(move |rows| rows::follow_ups(rows, of, after, limit))
    }

    fn transaction(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<Transaction>, StoreError>> {
        self.look(move |rows| rows::transaction(rows, order))
    }

    fn reversal(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<ReversalEntry>, StoreError>> {
        self.look(move |rows| rows::reversal(rows, order))
    }

    fn reversals(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>> {
        self.list(move |rows| rows::reversals(rows, after, limit))
    }

    fn due_reversals(
        &self,
        channel: ChannelId,
        now: Timestamp,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>> {
        self.list(move |rows| rows::due_reversals(rows, &channel, now, limit))
    }

    fn contradictions(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Vec<Contradiction>, StoreError>> {
        self.list(move |rows| rows::contradictions(rows, order))
    }

    fn clearing(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<(OrderId, u8)>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ClearingRecord>, StoreError>> {
        self.list(move |rows| rows::clearing(rows, &channel, date, after, limit))
    }

    fn accounting_request(
        &self,
        id: RequestId,
    ) -> StoreFuture<'_, Result<Option<AccountingRequest>, StoreError>> {
        self.look(move |rows| rows::accounting_request(rows, id))
    }

    fn accounting_requests(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<RequestId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>> {
        self.list(move |rows| rows::accounting_requests(rows, status, after, limit))
    }

    fn due_accounting(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>> {
        self.list(move |rows| rows::due_accounting(rows, now, limit))
    }

    fn notice(&self, order: OrderId) -> StoreFuture<'_, Result<Option<CoreNotice>, StoreError>> {
        self.look(move |rows| rows::notice(rows, order))
    }

    fn due_notices(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<CoreNotice>, StoreError>> {
        self.list(move |rows| rows::due_notices(rows, now, limit))
    }

    fn audit(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<(u64, AuditEntry)>, StoreError>> {
        self.list(move |rows| rows::audit(rows, after, limit))
    }

    fn closed_through(
        &self,
        channel: ChannelId,
    ) -> StoreFuture<'_, Result<Option<BusinessDate>, StoreError>> {
        self.look(move |rows| rows::books::closed_through(rows, &channel))
    }

    fn day_close(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Option<DayClose>, StoreError>> {
        self.look(move |rows| rows::books::day_close(rows, &channel, date))
    }

    fn statement_revisions(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Vec<StatementRevision>, StoreError>> {
        self.list(move |rows| rows::books::statement_revisions(rows, &channel, date))
    }

    fn reconciliation(
        &self,
        id: BatchId,
    ) -> StoreFuture<'_, Result<Option<Reconciliation>, StoreError>> {
        self.look(move |rows| rows::books::reconciliation(rows, id))
    }

    fn reconciliations(
        &self,
        channel: Option<ChannelId>,
        date: Option<BusinessDate>,
        after: Option<BatchId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Reconciliation>, StoreError>> {
        self.list(move |rows| {
            rows::books::reconciliations(rows, channel.as_ref(), date, after, limit)
        })
    }

    fn current_reconciliation(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreFuture<'_, Result<Option<Reconciliation>, StoreError>> {
        self.look(move |rows| rows::books::current_reconciliation(rows, &channel, date))
    }

    fn running_reconciliations(&self) -> StoreFuture<'_, Result<Vec<Reconciliation>, StoreError>> {
        self.list(|rows| rows::books::running_reconciliations(rows))
    }

    fn agreed_lines(&self, id: BatchId) -> StoreFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        self.list(move |rows| rows::books::agreed_lines(rows, id))
    }

    fn found_differences(
        &self,
        batch: BatchId,
        after: Option<u32>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<FoundRow>, StoreError>> {
        self.list(move |rows| rows::books::found_differences(rows, batch, after, limit))
    }

    fn difference(
        &self,
        id: DifferenceId,
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
        self.look(move |rows| rows::books::difference(rows, id))
    }

    fn difference_of_record(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        number: ChannelOrderNo,
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
        self.look(move |rows| rows::books::difference_of_record(rows, &channel, date, number))
    }

    fn difference_of_line(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        digest: [u8; 16],
    ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
        self.look(move |rows| rows::books::difference_of_line(rows, &channel, date, digest))
    }

    fn differences_of_records(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<ChannelOrderNo>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.list(move |rows| {
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
        self.list(move |rows| rows::books::differences_of_lines(rows, &channel, date, after, limit))
    }

    fn open_differences(
        &self,
        channel: ChannelId,
        after: Option<DifferenceId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.list(move |rows| rows::books::open_differences(rows, &channel, after, limit))
    }

    fn due_differences(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
        self.list(move |rows| rows::books::due_differences(rows, now, limit))
    }

    fn settlement(
        &self,
        id: SettlementId,
    ) -> StoreFuture<'_, Result<Option<ChannelSettlement>, StoreError>> {
        self.look(move |rows| rows::books::settlement(rows, id))
    }

    fn settlements(
        &self,
        channel: ChannelId,
        after: Option<SettlementId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ChannelSettlement>, StoreError>> {
        self.list(move |rows| rows::books::settlements(rows, &channel, after, limit))
    }

    fn settlement_by_receipt(
        &self,
        channel: ChannelId,
        bank_reference: String,
    ) -> StoreFuture<'_, Result<Option<ChannelSettlement>, StoreError>> {
        self.look(move |rows| rows::books::settlement_by_receipt(rows, &channel, &bank_reference))
    }

    fn settled_date(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        currency: Currency,
    ) -> StoreFuture<'_, Result<Option<SettledDate>, StoreError>> {
        self.look(move |rows| rows::books::settled_date(rows, &channel, date, currency))
    }

    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>> {
        let ask = move |reply| Ask::Lease { yymmdd, node, count, reply };
        Box::pin(async move { self.writer.ask(ask).await })
    }
}
