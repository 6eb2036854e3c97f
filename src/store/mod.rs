//! The store of the books: one trait, which every store upholds in the same way.
//!
//! Upholds I-9 (caller order ids are unique), I-12 (`commit` returns only when the rows would
//! survive the loss of power), and the guards that [`WriteSet`] names. A store has rows, and no
//! rules.
//!
//! [`Store`] has what differs between stores. Every read is a function of `dyn Store`, written
//! once, beside its table's keys and stored form (`table/`). Both stores keep sorted bytes; one
//! that has tables of its own answers a read beside the first answer, in the same file.

pub mod cluster;
mod limits;
mod cluster_state;
pub mod memory;
pub mod reread;
pub mod embedded;
pub mod postgres;

mod form;
mod head;
mod key;
mod plan;
mod row;
mod sorted;
mod sql;
mod table;
pub mod whole;

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::books::difference::Difference;
use crate::domain::books::reconcile::Class;
use crate::domain::ids::OrderId;
use crate::domain::write_set::{ReportedEnd, WriteSet};

pub use cluster::Cluster;
pub use cluster_state::{ClusterState, PublishError};
pub use limits::SharedLimits;
pub use row::{RowPage, StoredRow};
pub use sorted::{Scan, SortedBytes, Visit};
pub use sql::Tables;
pub use table::{AgreementPage, OrderPage};

/// A future that a store returns; boxed, so that the store is chosen at start.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The result of a read.
pub type StoreRead<'a, T> = StoreFuture<'a, Result<T, StoreError>>;

/// A query over rows, which keeps its result itself.
pub type RowQuery<'a> = Box<dyn FnOnce(&dyn SortedBytes) + Send + 'a>;

/// A line of a batch's listing: its place, the class that the batch found, and the present
/// difference.
pub type FoundRow = (u32, Class, Difference);

/// The identity of a contradiction: order, attempt, claim, and its place among those.
pub type ContradictionPlace = (OrderId, u8, ReportedEnd, u8);

/// The numbers of deliveries that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Deliveries that are tried again by themselves.
    pub owed: u64,
    /// Deliveries that were refused, and wait for an operator.
    pub parked: u64,
}

/// Why a write set was not written. Nothing of it is written then.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A row has changed since it was loaded: load again and decide again.
    #[error("a row has changed since it was loaded")]
    Conflict,
    /// The caller has used this order id before.
    #[error("the caller's order id belongs to order {existing}")]
    Duplicate { existing: OrderId },
    /// Too many commits wait: answer 503, so that the caller comes back.
    #[error("the store's queue is full")]
    Busy,
    /// The store cannot be reached at present, and nothing was written: as [`Self::Busy`].
    #[error("the store cannot be reached; nothing was written")]
    Unavailable(#[source] StoreError),
    /// This process has lost its lease of the books, and another one may have taken over. This
    /// process can never write again: it must end. A commit that was under way may be found.
    #[error("this process has lost its lease of the books")]
    Fenced,
    /// A write or fsync failed. It is never tried again; the process must stop taking orders.
    /// Whether the write set is found after a restart is unknown. With [`StoreError::Damaged`]
    /// inside, the store goes on: only the row that the write set was to replace cannot be decoded.
    #[error("the store has failed and accepts no more writes")]
    Failed(#[source] StoreError),
}

/// Why rows could not be read, or the store could not be opened.
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
    /// The store cannot be reached just now.
    #[error("the store cannot be reached: {detail}")]
    Unavailable { detail: String },
    /// A stored row cannot be decoded: the file is damaged, or written by a newer version.
    #[error("a stored row of `{table}` cannot be decoded: {detail}")]
    Damaged { table: &'static str, detail: String },
    /// A durable file or row is missing or is not as it was written. Nothing is opened: incomplete
    /// books would take orders a second time.
    #[error(
        "the books are not whole: {what}; {known}. Put back what is missing, or restore the backup \
         of the whole data folder; an emptied one would take and charge the same orders again"
    )]
    NotWhole { what: String, known: String },
}

/// The most rows that one page of a listing has.
pub const PAGE_MAX: usize = 1_000;

/// The store of the books. Listings are in key order, and go on after the last key of a page. Every
/// row that is read is durable: no answer rests on a row that a loss of power could undo (I-12).
///
/// The reads are functions of `dyn Store`, in `table/`.
pub trait Store: Send + Sync {
    /// Writes all of the write set durably, or nothing. A future that is dropped after its first
    /// poll may still be carried out.
    fn commit<'a>(&'a self, writes: &'a WriteSet) -> StoreFuture<'a, Result<(), CommitError>>;

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

    /// The attempts, by order and number, that no call carries out any more: they were in flight
    /// when this process opened the store, or in an incarnation that stands no more. Sorted by
    /// order.
    fn left_in_flight(&self) -> Arc<[(OrderId, u8)]>;

    /// Whether the store was in reach when it was last looked for.
    fn is_reachable(&self) -> bool {
        true
    }

    /// The tables of a store that has such: they answer all reads, and no rows are shown.
    fn tables(&self) -> Option<&Tables> {
        None
    }

    /// The nodes that share these books. `None` where one process has them to itself.
    fn cluster(&self) -> Option<&dyn Cluster> {
        None
    }

    /// The files that those nodes share. `None` where files are one machine's own.
    fn cluster_state(&self) -> Option<&dyn ClusterState> {
        None
    }

    /// Runs a query that reads a row or two by their keys, on the spot.
    fn show<'a>(&'a self, look: RowQuery<'a>) -> StoreRead<'a, ()>;

    /// Runs a query that reads a page, which may take longer.
    fn show_page(&self, look: RowQuery<'static>) -> StoreRead<'_, ()>;
}

/// A store for a thread that may block: pages are read on that thread, too, since handing one to
/// another thread costs more than reading its rows.
pub struct BlockingReads(pub Arc<dyn Store>);

impl Store for BlockingReads {
    fn commit<'a>(&'a self, writes: &'a WriteSet) -> StoreFuture<'a, Result<(), CommitError>> {
        self.0.commit(writes)
    }

    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>> {
        self.0.lease(yymmdd, node, count)
    }

    fn left_in_flight(&self) -> Arc<[(OrderId, u8)]> {
        self.0.left_in_flight()
    }

    fn is_reachable(&self) -> bool {
        self.0.is_reachable()
    }

    fn tables(&self) -> Option<&Tables> {
        self.0.tables()
    }

    fn cluster(&self) -> Option<&dyn Cluster> {
        self.0.cluster()
    }

    fn cluster_state(&self) -> Option<&dyn ClusterState> {
        self.0.cluster_state()
    }

    fn show<'a>(&'a self, look: RowQuery<'a>) -> StoreRead<'a, ()> {
        self.0.show(look)
    }

    fn show_page(&self, look: RowQuery<'static>) -> StoreRead<'_, ()> {
        self.0.show(look)
    }
}

impl dyn Store + '_ {
    /// Reads a row or two by their keys.
    fn look<'a, T: Send + 'a>(
        &'a self,
        read: impl FnOnce(&dyn SortedBytes) -> Result<T, StoreError> + Send + 'a,
    ) -> StoreRead<'a, T> {
        Box::pin(async move {
            let mut found = None;
            self.show(Box::new(|rows| found = Some(read(rows)))).await?;
            found.expect("a store that shows its rows or says why not")
        })
    }

    /// Reads a page.
    fn list<'a, T: Send + 'static>(
        &'a self,
        read: impl FnOnce(&dyn SortedBytes) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreRead<'a, T> {
        Box::pin(async move {
            let (sender, found) = oneshot::channel();
            self.show_page(Box::new(|rows| drop(sender.send(read(rows))))).await?;
            found.await.expect("a store that shows its rows or says why not")
        })
    }
}
