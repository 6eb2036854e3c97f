//! The folder on disk: opening it, making groups durable in it, reading its rows.
//!
//! The only file that knows sled's own files: `db` (the log), `conf`, `snap.*` (written and synced
//! by sled while it opens), `blobs/` (values too large for the log). Beside them lie the journal's
//! and the manifest, which says what must be there.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::store::StoreError;
use crate::store::form::damaged;
use crate::store::key::{LAYOUT, LAYOUT_FORM, bounds};
use crate::store::plan::Writes;
use crate::store::row::Table;
use crate::store::sorted::SortedBytes;
use crate::store::table::audit::{Audit, place_of};

use super::SledSettings;
use super::files::{Files, StoreFile};
use super::journal::{Journal, JournalContent};
use super::layers::Layers;
use super::manifest::{Manifest, ManifestFile};
use super::merger::Merger;
use super::sums::TableSums;

/// The size of sled's log segments, in bytes; a folder keeps the one it was made with. sled moves a
/// page larger than a quarter of it to a file of its own, and a page holds up to 17 rows or so:
/// with 4 MiB the rows of a page may have 60 KB each, far more than ours as a rule.
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;

/// Where sled keeps values that are too large for its log.
const BLOBS: &str = "blobs";

/// The recent rows may grow to so many times the size at which they are to be merged, while the
/// last ones still are. Then commits wait for the merger.
const RECENT_LAYERS_MAX: usize = 8;

/// What the writer writes to: the journal, and the layers over the tree.
pub(super) struct Disk {
    journal: Journal,
    layers: Arc<Layers>,
    /// The keys of the recent layer.
    recent_keys: usize,
    merge_keys: usize,
    merger: Merger,
    /// A write or sync has failed. What lies in the layers may never have become durable.
    failed: bool,
    /// The next free place of the audit trail, as it was when the folder was opened.
    audit_next: u64,
    is_copy: Arc<AtomicBool>,
    log_path: PathBuf,
}

/// sled's side of the folder: the tree, and what must be done so that it survives the loss of
/// power.
pub(super) struct Base {
    db: ::sled::Db,
    /// Our own handle on sled's log, for `fdatasync`.
    log: StoreFile,
    files: Files,
    blobs_synced: BTreeSet<String>,
    manifest: ManifestFile,
    is_copy: Arc<AtomicBool>,
}

impl Disk {
    /// Opens a folder, or makes a new one. What the manifest knows and the folder does not have is
    /// a refusal: the files that are there first, then the journal, then every row of the tree.
    pub(super) fn open(files: &Files, settings: &SledSettings) -> Result<Self, StoreError> {
        let folder = files.folder();
        make_folder(folder)?;
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
        let mut base = Base::open(files, settings, manifest)?;
        let (mut journal, turns) = Journal::open(files)?;
        let last = if is_new { base.check_new(&turns)? } else { base.replay(&turns)? };
        base.sync_folders().map_err(|source| {
            failed_io(format!("cannot open the store in `{}`", folder.display()), source)
        })?;
        // A turn whose first frame was torn by a loss of power is not seen, so one is passed over.
        journal.begin(last + 2);
        base.merge(&Writes::new(), last + 1..=last + 1)?;
        let audit_next = base.audit_next()?;
        let layers = Arc::new(Layers::over((*base.db).clone()));
        let is_copy = base.is_copy();
        let merger = Merger::start(base, Arc::clone(&layers))?;
        Ok(Self {
            journal,
            layers,
            recent_keys: 0,
            merge_keys: settings.merge_keys.max(1),
            merger,
            failed: false,
            audit_next,
            is_copy,
            log_path: folder.join("db"),
        })
    }

    /// Whether the folder is a copy, until someone says that its numbers have leapt.
    pub(super) fn is_copy(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_copy)
    }

    pub(super) fn layers(&self) -> Arc<Layers> {
        Arc::clone(&self.layers)
    }

    /// A handle that waits, when it is dropped, until the folder can be opened again.
    pub(super) fn release(&self) -> Result<Release, StoreError> {
        // A handle of its own, since a lock belongs to the opening and not to the file.
        let log = File::open(&self.log_path);
        let log = log.map_err(|e| failed_io("cannot open the log".to_owned(), e))?;
        Ok(Release { log })
    }

    pub(super) fn audit_next(&self) -> u64 {
        self.audit_next
    }

    pub(super) fn stored(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.layers.get(key)
    }

    /// Makes a group durable, all of it or nothing, and only then lets it be read. After a failure
    /// nothing more may be promised.
    pub(super) fn write(&mut self, writes: Writes) -> Result<(), StoreError> {
        let written = self.try_write(writes);
        self.failed |= written.is_err();
        written
    }

    fn try_write(&mut self, writes: Writes) -> Result<(), StoreError> {
        self.journal.append(&writes)?;
        self.journal.sync()?;
        self.recent_keys = self.layers.add(writes);
        let busy = self.merger.is_busy()?;
        if self.recent_keys < self.merge_keys {
            return Ok(());
        }
        if busy {
            if self.recent_keys / RECENT_LAYERS_MAX < self.merge_keys {
                return Ok(());
            }
            self.merger.wait()?;
        }
        self.hand_over()
    }

    /// Lets the recent rows be merged, and takes the other journal. Nothing may be merging.
    fn hand_over(&mut self) -> Result<(), StoreError> {
        self.merger.begin(self.layers.hand_over(), self.journal.generation())?;
        self.recent_keys = 0;
        self.journal.turn();
        Ok(())
    }

    /// Merges everything, so that the next start need not. The empty layer after the last one lets
    /// the manifest say that nothing is to be replayed.
    fn merge_all(&mut self) -> Result<(), StoreError> {
        for _ in 0..2 {
            self.merger.wait()?;
            self.hand_over()?;
        }
        self.merger.wait()
    }
}

impl Drop for Disk {
    /// What cannot be merged now is merged from the journal when the folder is opened again.
    fn drop(&mut self) {
        if self.failed || std::thread::panicking() {
            return;
        }
        if let Err(error) = self.merge_all() {
            tracing::warn!(%error, "the store is closed with its journal not merged");
        }
    }
}

impl Base {
    fn open(
        files: &Files,
        settings: &SledSettings,
        manifest: ManifestFile,
    ) -> Result<Self, StoreError> {
        let folder = files.folder();
        let config = ::sled::Config::new()
            .path(folder)
            .cache_capacity(settings.cache_bytes)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(None);
        let db = guarded(&manifest, || config.open().map_err(|error| open_error(folder, error)))?;
        let io =
            |source| failed_io(format!("cannot open the store in `{}`", folder.display()), source);
        let log = files.open("db").map_err(io)?;
        let is_copy = Arc::new(AtomicBool::new(manifest.manifest.is_copy));
        Ok(Self { db, log, files: files.clone(), blobs_synced: BTreeSet::new(), manifest, is_copy })
    }

    pub(super) fn is_copy(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_copy)
    }

    /// A folder without a manifest is new, or its first start was cut off before anything was
    /// answered: then it holds nothing. Gives the newest generation that may have been used.
    fn check_new(&mut self, turns: &JournalContent) -> Result<u64, StoreError> {
        let rows = self.count()?.rows();
        if rows > 0 || turns.has_rows() {
            let what = format!("the file `manifest` is missing, yet there are {rows} rows");
            return Err(self.manifest.not_whole(what));
        }
        self.check_layout()?;
        Ok(turns.newest())
    }

    /// Brings what the journal has into the tree, and holds the tree against the manifest. Gives
    /// the newest generation that may have been used.
    fn replay(&mut self, turns: &JournalContent) -> Result<u64, StoreError> {
        let Manifest { from, to, .. } = self.manifest.manifest;
        if let Some(what) = turns.missing_after(to) {
            return Err(self.manifest.not_whole(what));
        }
        // A layer may be in the tree in part; writing it again makes it whole.
        let begun = turns.rows(from..=to);
        self.put(&begun)?;
        let found = self.count()?;
        if let Some(what) = self.manifest.manifest.sums.difference(&found) {
            return Err(self.manifest.not_whole(format!("found are {what}")));
        }
        self.check_layout()?;
        let newest = turns.newest_after(to);
        let owed = turns.rows(to + 1..=newest);
        if !owed.is_empty() {
            self.merge(&owed, to + 1..=newest)?;
            tracing::info!(keys = owed.len(), "the journal of the last run has been merged");
        }
        Ok(turns.newest().max(to))
    }

    /// The sums of every row: tables are counted side by side, on two threads or more.
    fn count(&self) -> Result<TableSums, StoreError> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
        let next = AtomicUsize::new(0);
        guarded(&self.manifest, || {
            std::thread::scope(|scope| {
                let shares: Vec<_> =
                    (0..threads).map(|_| scope.spawn(|| self.count_tables(&next))).collect();
                let mut sums = TableSums::default();
                for share in shares {
                    // A panic in sled goes on to whoever asked.
                    let counted = share.join().unwrap_or_else(|panic| resume_unwind(panic));
                    sums.join(&counted?);
                }
                Ok(sums)
            })
        })
    }

    /// The sums of the tables that nobody else has taken; a table is the first byte of its keys.
    fn count_tables(&self, next: &AtomicUsize) -> Result<TableSums, StoreError> {
        let mut sums = TableSums::default();
        loop {
            // No table has the last byte.
            let table = u8::try_from(next.fetch_add(1, Ordering::Relaxed));
            let Some(table) = table.ok().filter(|table| *table < u8::MAX) else {
                return Ok(sums);
            };
            let (from, to) = bounds(&[table]);
            for pair in self.db.range(from..to) {
                let (key, value) = pair.map_err(failed("cannot read every row"))?;
                sums.add(&key, &value);
            }
        }
    }

    /// Marks a new folder with the layout of our keys, and refuses one that is not ours.
    fn check_layout(&mut self) -> Result<(), StoreError> {
        match self.db.get(LAYOUT).map_err(failed("cannot read the layout"))? {
            Some(form) if form.as_ref() == [LAYOUT_FORM] => Ok(()),
            Some(_) => Err(damaged("layout", "it is of another version")),
            None if self.db.is_empty() => {
                let form: &[u8] = &[LAYOUT_FORM];
                self.db.insert(LAYOUT, form).map_err(failed("cannot write the layout"))?;
                // The manifest that is written next speaks of a tree that has it.
                self.flush()
            }
            None => Err(damaged("layout", "it is missing, yet there are rows")),
        }
    }

    /// New files and their folders, once: sled does not sync them itself.
    fn sync_folders(&self) -> io::Result<()> {
        self.log.sync()?;
        self.files.open("conf")?.sync()?;
        for folder in [BLOBS, ".", ".."] {
            self.files.sync_folder(folder)?;
        }
        Ok(())
    }

    fn audit_next(&self) -> Result<u64, StoreError> {
        let (from, to) = bounds(&[Audit::LETTER]);
        let last = self.db.range(from..to).next_back().transpose();
        match last.map_err(failed("cannot read the audit trail"))? {
            Some((key, _)) => Ok(place_of(&key)? + 1),
            None => Ok(1),
        }
    }

    /// Copies a layer into the tree and makes it durable there. `turns` are the generations of the
    /// journal that hold it. What the tree will have then is written down first.
    pub(super) fn merge(
        &mut self,
        layer: &Writes,
        turns: RangeInclusive<u64>,
    ) -> Result<(), StoreError> {
        let mut sums = self.manifest.manifest.sums.clone();
        for (key, value) in layer {
            if let Some(old) = self.db.get(key).map_err(failed("cannot read"))? {
                sums.take(key, &old);
            }
            if let Some(value) = value {
                sums.add(key, value);
            }
        }
        self.manifest.manifest.is_copy = self.is_copy.load(Ordering::Relaxed);
        // The manifest says how long the log is: it must not say more than is durable of it.
        self.log.sync().map_err(|e| failed_io("cannot sync the log".to_owned(), e))?;
        self.manifest.write(*turns.start(), *turns.end(), sums)?;
        self.put(layer)
    }

    /// Writes rows and makes them durable. Row by row, since the journal is what makes a group
    /// whole, and a sled batch would hold up every reader.
    fn put(&mut self, layer: &Writes) -> Result<(), StoreError> {
        if layer.is_empty() {
            return Ok(());
        }
        for (key, value) in layer {
            match value {
                Some(value) => self.db.insert(key, value.as_slice()),
                None => self.db.remove(key),
            }
            .map_err(failed("cannot write"))?;
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.db.flush().map_err(failed("cannot flush"))?;
        self.sync_blobs().map_err(|e| failed_io("cannot sync a large row".to_owned(), e))?;
        self.log.sync().map_err(|e| failed_io("cannot sync the log".to_owned(), e))
    }

    /// Syncs files of large rows that have appeared. There are none as a rule, and looking costs a
    /// few microseconds.
    fn sync_blobs(&mut self) -> io::Result<()> {
        let mut present = BTreeSet::new();
        for file in fs::read_dir(self.files.path(BLOBS))? {
            present.insert(file?.file_name().to_string_lossy().into_owned());
        }
        if present == self.blobs_synced {
            return Ok(());
        }
        for name in present.difference(&self.blobs_synced) {
            match self.files.open(&format!("{BLOBS}/{name}")) {
                Ok(file) => file.sync()?,
                // sled has replaced the page meanwhile, by one that is in the log or listed here.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.files.sync_folder(BLOBS)?;
        self.blobs_synced = present;
        Ok(())
    }
}

/// How often, a millisecond apart, a dropped store looks whether sled has let go of its lock.
const RELEASE_LOOKS_MAX: u32 = 2_000;

/// Waits, when it is dropped, until sled's own threads have let go of the lock: they may hold it a
/// moment longer than the store itself, and who opens the folder next would be refused.
pub(super) struct Release {
    log: File,
}

impl Drop for Release {
    fn drop(&mut self) {
        for _ in 0..RELEASE_LOOKS_MAX {
            // Closing the file, right after this, gives the lock back.
            if self.log.try_lock().is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The folder, readable by its owner alone.
fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| failed_io(format!("cannot make the folder `{}`", folder.display()), e))
}

/// Runs what may make sled panic over damaged files, and makes a refusal of it.
fn guarded<T>(
    manifest: &ManifestFile,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Err(StoreError::Backend { detail, .. })) if detail.contains("corrupt") => {
            Err(manifest.not_whole(format!("sled cannot read its files: {detail}")))
        }
        Ok(done) => done,
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            let why = words.unwrap_or("it gives no reason").lines().next().unwrap_or_default();
            Err(manifest.not_whole(format!("sled cannot read its files: {why}")))
        }
    }
}

pub(super) fn failed_io(context: String, source: io::Error) -> StoreError {
    StoreError::Io { context, source }
}

pub(super) fn failed(context: &'static str) -> impl Fn(::sled::Error) -> StoreError {
    move |error| match error {
        ::sled::Error::Io(source) => failed_io(context.to_owned(), source),
        other => StoreError::Backend { context, detail: other.to_string() },
    }
}

/// sled says in words only that its lock is taken.
fn open_error(folder: &Path, error: ::sled::Error) -> StoreError {
    let locked = matches!(&error, ::sled::Error::Io(source)
        if source.to_string().starts_with("could not acquire lock"));
    if locked {
        return StoreError::Backend {
            context: "the store is open in another process",
            detail: format!("`{}` can have only one at a time", folder.display()),
        };
    }
    failed("cannot open the store")(error)
}
