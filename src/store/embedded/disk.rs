//! The folder on disk: opening it, making groups durable in it, reading its rows.
//!
//! It contains the journal's files, the manifest, `segments/`, the index in `index/`, and `lock`,
//! which is held by the process that has the store open.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::store::StoreError;
use crate::store::plan::Writes;
use crate::store::row::Table;
use crate::store::sorted::SortedBytes;
use crate::store::table::audit::{Audit, place_of};

use super::EmbeddedSettings;
use super::catalog::{Catalog, IndexUse};
use super::files::{Files, failed_io, make_folder};
use super::flusher::Flusher;
use super::journal::Journal;
use super::layers::Layers;
use super::manifest::{LOCK, ManifestFile};

/// The recent rows may grow to this many times the size at which they are flushed, while the
/// previous layer still is. Then commits wait for the flusher.
const RECENT_LAYERS_MAX: usize = 8;

/// The writer's target: the journal, and the layers over the segments.
pub(super) struct Disk {
    // Dropped in this order: the lock is released last.
    flusher: Flusher,
    journal: Journal,
    catalog: Arc<Catalog>,
    /// The number of keys in the recent layer.
    recent_keys: usize,
    layer_keys: usize,
    /// A write or sync has failed. Rows of the layers may never have become durable.
    failed: bool,
    /// The next free place of the audit trail, as it was when the folder was opened.
    audit_next: u64,
    _lock: File,
}

impl Disk {
    /// Opens a folder, or makes a new one. A folder without a file that the manifest names is
    /// refused.
    pub(super) fn open(
        files: &Files,
        settings: &EmbeddedSettings,
        index: IndexUse<'_>,
    ) -> Result<Self, StoreError> {
        let folder = files.folder();
        make_folder(folder)?;
        let lock = lock(folder)?;
        let known = ManifestFile::read(files)?;
        if let Some(known) = &known {
            known.check_files()?;
            if let Some(original) = known.original_in_use() {
                return Err(StoreError::Backend {
                    context: "the folder is a copy, and a process works in the one it was made of",
                    detail: format!("stop the one in `{}` first", original.display()),
                });
            }
        }
        let is_new = known.is_none();
        let manifest = known.unwrap_or_else(|| ManifestFile::new(files));
        let flushed = manifest.manifest.flushed;
        let (mut journal, found) = Journal::open(files, flushed)?;
        if is_new {
            manifest.check_new(found.has_rows())?;
        } else if let Some(what) = found.missing_after(flushed) {
            return Err(manifest.not_whole(what));
        }
        let catalog = Arc::new(Catalog::open(files, manifest, settings, index)?);
        for folder in [".", ".."] {
            files.sync_folder(folder).map_err(|source| {
                failed_io(format!("cannot open the store in `{}`", folder), source)
            })?;
        }
        let owed = found.rows(flushed + 1..=found.newest_after(flushed));
        if !owed.is_empty() {
            tracing::info!(keys = owed.len(), "the journal of the last run is flushed");
        }
        // A turn whose first frame was torn by a loss of power is not found, so one is skipped.
        let last = found.newest().max(flushed);
        journal.begin(last + 2);
        catalog.flush(&owed, last + 1)?;
        let audit_last = catalog.last_key(Audit::LETTER).map(|key| place_of(&key)).transpose()?;
        let flusher = Flusher::start(Arc::clone(&catalog))?;
        Ok(Self {
            flusher,
            journal,
            catalog,
            recent_keys: 0,
            layer_keys: settings.layer_keys.max(1),
            failed: false,
            audit_next: audit_last.map_or(1, |last| last + 1),
            _lock: lock,
        })
    }

    /// Whether the folder is a copy; false again after its numbers have leapt.
    pub(super) fn is_copy(&self) -> Arc<AtomicBool> {
        Arc::clone(self.catalog.is_copy())
    }

    pub(super) fn layers(&self) -> Arc<Layers> {
        Arc::clone(self.catalog.layers())
    }

    pub(super) fn audit_next(&self) -> u64 {
        self.audit_next
    }

    pub(super) fn stored(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.catalog.layers().get(key)
    }

    /// Makes a group durable, all of it or nothing, and then readable. After a failure no further
    /// write is accepted.
    pub(super) fn write(&mut self, writes: Writes) -> Result<(), StoreError> {
        let written = self.try_write(writes);
        self.failed |= written.is_err();
        written
    }

    fn try_write(&mut self, writes: Writes) -> Result<(), StoreError> {
        self.journal.append(&writes)?;
        self.journal.sync()?;
        self.recent_keys = self.catalog.layers().add(writes);
        let busy = self.flusher.is_busy()?;
        if self.recent_keys < self.layer_keys {
            return Ok(());
        }
        if busy {
            if self.recent_keys / RECENT_LAYERS_MAX < self.layer_keys {
                return Ok(());
            }
            self.flusher.wait()?;
        }
        self.catalog.wait_for_compaction();
        self.hand_over()
    }

    /// Hands the recent rows over for flushing, and changes to the other journal. No layer may be
    /// flushing.
    fn hand_over(&mut self) -> Result<(), StoreError> {
        self.flusher.begin(self.catalog.layers().hand_over(), self.journal.generation())?;
        self.recent_keys = 0;
        self.journal.turn();
        Ok(())
    }

    /// Flushes everything, so that the next start has nothing to flush.
    fn flush_all(&mut self) -> Result<(), StoreError> {
        self.flusher.wait()?;
        self.hand_over()?;
        self.flusher.wait()
    }
}

impl Drop for Disk {
    /// Rows that cannot be flushed now are flushed from the journal when the folder is opened
    /// again.
    fn drop(&mut self) {
        if self.failed || std::thread::panicking() {
            return;
        }
        if let Err(error) = self.flush_all() {
            tracing::warn!(%error, "the store is closed with its journal not flushed");
        }
    }
}

/// Locks the folder for this process.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let io = |source| failed_io(format!("cannot lock `{}`", folder.display()), source);
    let mut options = File::options();
    let file = options.create(true).write(true).truncate(false).mode(0o600);
    let file = file.open(folder.join(LOCK)).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::Backend {
            context: "the store is open in another process",
            detail: format!("`{}` can have only one at a time", folder.display()),
        }),
        Err(fs::TryLockError::Error(source)) => Err(io(source)),
    }
}
