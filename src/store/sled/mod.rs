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
//!   is replayed before the store opens (see `journal`, `layers`, `merger`).
//! - **Durable means `fdatasync`.** On Linux sled's `flush` only calls `sync_file_range`, which
//!   promises nothing after a loss of power; so the merger then syncs the file `db` through its
//!   own handle. Values that make a page larger than a quarter of a segment would go to files of
//!   their own (`blobs/`); the segment is chosen so that this needs a megabyte, and such a file is
//!   synced too.
//! - **No read sees what is not durable.** A group is laid over the tree after its sync, and before
//!   anyone is answered: reads wait for nothing, and whoever was answered finds what was written.
//! - **A failed write or sync is the end.** It is never tried again and never answered with
//!   success: after it the kernel may have dropped the pages and call the next sync a success.
//!   Every later commit is refused; reads show the rows as they were before the failed group.
//! - **Nothing less than there was.** sled recovers what it can from a damaged file and is silent
//!   about the rest. A manifest beside the tree says how many rows each table has and their sum
//!   (see `manifest`, `sums`), and a mark says how far the journal goes. Opening reads every row
//!   once and is refused where anything is missing, older than it was, or changed.
//! - **One process.** sled locks its file; a second opener is told so.

mod disk;
mod files;
mod journal;
mod layers;
mod manifest;
mod merger;
mod sums;
mod writer;

#[cfg(test)]
mod power_cuts;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::ids::OrderId;
use crate::domain::write_set::WriteSet;
use crate::store::table::in_flight;
use crate::store::{CommitError, Look, Store, StoreError, StoreFuture, StoreRead};
use disk::{Disk, Release};
use files::Files;
use layers::Layers;
use writer::{Writer, WriterRequest};

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
    pub merge_keys: usize,
}

impl Default for SledSettings {
    fn default() -> Self {
        Self {
            queue_max: 4_096,
            group_max: 256,
            cache_bytes: 256 * 1024 * 1024,
            merge_keys: 16_384,
        }
    }
}

/// What a folder has, as far as it can be told without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BooksContent {
    /// No store was made in it, or its making was cut off.
    Nothing,
    /// A store in which nothing was ever written.
    NoRows,
    Rows,
}

/// The embedded store. Dropping it ends the writer after what waits has been written.
pub struct SledStore {
    // Dropped in this order: reads end, the writer writes what waits, the folder is let go.
    rows: Arc<Layers>,
    left: Arc<[(OrderId, u8)]>,
    writer: Writer,
    is_copy: Arc<AtomicBool>,
    _release: Release,
}

impl SledStore {
    /// Opens the store in `folder`, or makes a new one. Blocks, for seconds if the books are large.
    ///
    /// Refused if another process has the folder open, if a newer version has written it, or if
    /// anything that was durable is missing in it ([`StoreError::NotWhole`]).
    pub fn open(folder: &Path, settings: &SledSettings) -> Result<Self, StoreError> {
        let disk = Disk::open(&Files::of(folder), settings)?;
        let release = disk.release()?;
        let is_copy = disk.is_copy();
        let rows = disk.layers();
        let left = in_flight(&*rows)?.into();
        let writer = Writer::start(disk, settings)?;
        Ok(Self { rows, left, writer, is_copy, _release: release })
    }

    /// What the store in `folder` has, without opening it.
    pub fn content(folder: &Path) -> Result<BooksContent, StoreError> {
        let Some(file) = manifest::ManifestFile::read(&Files::of(folder))? else {
            return Ok(BooksContent::Nothing);
        };
        let manifest = &file.manifest;
        let has_rows = manifest.sums.rows() > 0 || journal::is_written(folder, manifest.to)?;
        Ok(if has_rows { BooksContent::Rows } else { BooksContent::NoRows })
    }

    /// Whether the folder is a copy or was restored: its original may have given out numbers that
    /// are not in it. It stays so, over starts too, until [`Self::numbers_have_leapt`].
    pub fn is_copy(&self) -> bool {
        self.is_copy.load(Ordering::Relaxed)
    }

    /// The numbers that the original may have given out are passed over, durably. The folder keeps
    /// that in mind from the next time on that rows are merged.
    pub fn numbers_have_leapt(&self) {
        self.is_copy.store(false, Ordering::Relaxed);
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
    fn commit(&self, writes: WriteSet) -> StoreFuture<'_, Result<(), CommitError>> {
        Box::pin(
            async move { self.writer.ask(|reply| WriterRequest::commit(&writes, reply)).await },
        )
    }

    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>> {
        let ask = move |reply| WriterRequest::Lease { yymmdd, node, count, reply };
        Box::pin(async move { self.writer.ask(ask).await })
    }

    fn left_in_flight(&self) -> Arc<[(OrderId, u8)]> {
        Arc::clone(&self.left)
    }

    /// The bytes of a row or two are in memory as a rule.
    fn show<'a>(&'a self, look: Look<'a>) -> StoreRead<'a, ()> {
        Box::pin(async move {
            look(&*self.rows);
            Ok(())
        })
    }

    /// On a thread that may block.
    fn show_page(&self, look: Look<'static>) -> StoreRead<'_, ()> {
        Box::pin(async move {
            let rows = Arc::clone(&self.rows);
            on_a_thread(move || look(&*rows)).await
        })
    }
}
