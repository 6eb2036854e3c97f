//! The embedded store: a journal, segments and an index in one folder, one writer.
//!
//! Upholds I-9 and I-12 as follows:
//! - **One writer thread** takes all waiting commits, checks each one's guards against the rows and
//!   the group's earlier ones, writes the group as one frame of a journal, syncs it, and answers
//!   them all. A full queue refuses at once.
//! - **A journal in front.** A group costs one sequential write and one `fdatasync`. Its rows are
//!   kept in memory as a layer; a full layer is written, sorted and compressed, as a segment, which
//!   never changes: an order that is accepted and paid meanwhile is written there once. Then the
//!   layer's journal is overwritten. Segments are compacted, many into one, so that there are never
//!   many (a log-structured merge tree: O'Neil, Cheng, Gawlick and O'Neil, 1996).
//! - **Only durable rows are read.** A group is laid over the segments after its sync, and before
//!   it is answered: reads wait for nothing, and a caller that was answered finds its rows.
//! - **A failed write or sync is the end.** It is never tried again and never answered with
//!   success: after it the kernel may have dropped the pages and call the next sync a success.
//!   Every later commit is refused; reads show the rows as they were before the failed group.
//! - **No loss goes unnoticed.** The manifest names every segment with its length and its checksum,
//!   and a mark counts the journal's frames: a folder with a missing, older or foreign file is
//!   refused. A block's own checksum reveals damage within a segment whenever the block is read:
//!   its rows are then an error, never absent.
//! - **sled is an index** of where blocks begin, and never the only copy: see `index`.
//! - **One process.** It holds a lock; a second opener is told so.

mod backup;
mod catalog;
mod disk;
mod files;
mod flusher;
mod index;
mod journal;
mod layers;
mod manifest;
mod merge;
mod segment;
mod snapshot;
mod verify;

mod writer;

#[cfg(test)]
mod power_cuts;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::ids::OrderId;
use crate::domain::write_set::WriteSet;
use crate::store::plan::CommitPlan;
use crate::store::table::in_flight;
use crate::store::{CommitError, RowQuery, Store, StoreError, StoreFuture, StoreRead};
use catalog::IndexUse;
use disk::Disk;
use files::Files;
use layers::Layers;
use writer::{Writer, WriterRequest};

pub use backup::{BackupReport, back_up, restore};
pub use catalog::Progress;
pub(super) use journal::rows_in as journal_rows;
pub use verify::{VerifyReport, verify};

/// The settings of the embedded store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// The most commits that may wait for the writer; further ones are refused as busy.
    pub queue_max: usize,
    /// The most commits that are made durable together.
    pub group_max: usize,
    /// The memory for segments and their index, in bytes.
    pub cache_bytes: u64,
    /// The number of keys at which a layer is written as a segment. Until then its rows are in
    /// memory and in the journal.
    pub layer_keys: usize,
    /// The number of segments of a level that are compacted into one of the next; 2 or more. Fewer
    /// make reads cheaper, more make compaction cheaper.
    pub compacted_at_once: usize,
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self {
            queue_max: 4_096,
            group_max: 256,
            cache_bytes: 128 * 1024 * 1024,
            layer_keys: 65_536,
            // With it 10 million payments are rewritten three times.
            compacted_at_once: 12,
        }
    }
}

/// The content of a folder, as far as it can be told without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BooksContent {
    /// No store was made in the folder, or its making was cut off.
    Nothing,
    /// A store in which no row was ever written.
    NoRows,
    Rows,
}

/// The embedded store. Dropping it ends the writer after the waiting commits are written.
pub struct EmbeddedStore {
    // Dropped in this order: reads end, the writer writes the waiting commits and releases the
    // folder.
    rows: Arc<Layers>,
    left: Arc<[(OrderId, u8)]>,
    writer: Writer,
    is_copy: Arc<AtomicBool>,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, or makes a new one. Blocks, for a second or two if the last
    /// process was killed.
    ///
    /// Refused if another process has the folder open, if a newer version wrote it, or if a durable
    /// file or row is missing in it ([`StoreError::NotWhole`]).
    pub fn open(folder: &Path, settings: &EmbeddedSettings) -> Result<Self, StoreError> {
        Self::open_with(folder, settings, IndexUse::AsFound)
    }

    fn open_with(
        folder: &Path,
        settings: &EmbeddedSettings,
        index: IndexUse<'_>,
    ) -> Result<Self, StoreError> {
        let disk = Disk::open(&Files::of(folder), settings, index)?;
        let is_copy = disk.is_copy();
        let rows = disk.layers();
        let left = in_flight(&*rows)?.into();
        let writer = Writer::start(disk, settings)?;
        Ok(Self { rows, left, writer, is_copy })
    }

    /// The same with a rebuilt index. `progress` is called with the rows done, and all rows.
    pub fn rebuild(
        folder: &Path,
        settings: &EmbeddedSettings,
        progress: Progress<'_>,
    ) -> Result<Self, StoreError> {
        Self::open_with(folder, settings, IndexUse::Anew(progress))
    }

    /// The content of the store in `folder`, without opening it.
    pub fn content(folder: &Path) -> Result<BooksContent, StoreError> {
        let Some(file) = manifest::ManifestFile::read(&Files::of(folder))? else {
            return Ok(BooksContent::Nothing);
        };
        let manifest = &file.manifest;
        let has_rows =
            !manifest.segments.is_empty() || journal::is_written(folder, manifest.flushed)?;
        Ok(if has_rows { BooksContent::Rows } else { BooksContent::NoRows })
    }

    /// Writes keys and values as they are, durably.
    pub(in crate::store) async fn add_pairs(
        &self,
        pairs: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<(), CommitError> {
        let mut plan = CommitPlan::new();
        plan.own(move |check| {
            pairs.into_iter().for_each(|(key, value)| check.write(key, value));
            Ok(())
        });
        self.writer.ask(|reply| WriterRequest::Commit { plan, reply }).await
    }

    /// Whether the folder is a copy or was restored: its original may have given out numbers that
    /// are not in it. It stays so, over starts too, until [`Self::numbers_have_leapt`].
    pub fn is_copy(&self) -> bool {
        self.is_copy.load(Ordering::Relaxed)
    }

    /// Records that the numbers that the original may have given out are skipped, durably. The
    /// folder itself records it when the next layer is flushed.
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

impl Store for EmbeddedStore {
    fn commit<'a>(&'a self, writes: &'a WriteSet) -> StoreFuture<'a, Result<(), CommitError>> {
        Box::pin(async move { self.writer.ask(|reply| WriterRequest::commit(writes, reply)).await })
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

    /// A row or two are in memory as a rule, so they are read on the spot.
    fn show<'a>(&'a self, look: RowQuery<'a>) -> StoreRead<'a, ()> {
        Box::pin(async move {
            look(&*self.rows);
            Ok(())
        })
    }

    /// Reads on a thread that may block.
    fn show_page(&self, look: RowQuery<'static>) -> StoreRead<'_, ()> {
        Box::pin(async move {
            let rows = Arc::clone(&self.rows);
            on_a_thread(move || look(&*rows)).await
        })
    }
}
