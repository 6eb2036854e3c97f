//! The segments that make up the books, and the flush of a layer into one of them.
//!
//! A segment is written and synced before the manifest names it, and the manifest is durable before
//! anyone reads the segment, before the journal that has the same rows is written over, and before
//! a segment that it no longer names is removed. So at every moment a loss of power leaves a
//! manifest whose segments are whole, and the journal behind it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::store::StoreError;
use crate::store::plan::{PrefixedKey, Writes};
use crate::store::table::scattered_letters;

use super::EmbeddedSettings;
use super::files::{Files, make_folder};
use super::index::{BlockIndex, IndexSum};
use super::layers::{Layers, SegmentList, Segments};
use super::manifest::ManifestFile;
use super::merge::{Direction, Merge, RowSource};
use super::segment::{self, BlockCache, Segment, SegmentEntry, SegmentShare, SegmentWriter};

/// How many times as many segments as are compacted at once may wait for a compaction under way.
/// Past that commits wait for it, since a read goes through all of them.
const WAITING_COMPACTIONS_MAX: usize = 4;

/// Is called with the number of rows done, and of all.
pub type Progress<'a> = &'a dyn Fn(u64, u64);

/// The treatment of the index at opening.
#[derive(Clone, Copy)]
pub(super) enum IndexUse<'a> {
    /// The index is checked against the segments, and repaired.
    AsFound,
    /// The whole index is rebuilt.
    Anew(Progress<'a>),
}

/// The folder's segments.
pub(super) struct Catalog {
    files: Files,
    shared: SegmentShare,
    layers: Arc<Layers>,
    /// Held while the list of segments changes.
    manifest: Mutex<ManifestFile>,
    next_number: AtomicU64,
    is_copy: Arc<AtomicBool>,
    compacted_at_once: usize,
    /// Whether a compaction is under way, and who waits for one.
    compacting: Mutex<bool>,
    compacted: Condvar,
    /// A manifest could not be written or synced: whether it is durable is unknown, and a later
    /// sync that succeeds would not tell either. Nothing more is flushed (I-12).
    failed: AtomicBool,
    /// The store is closed: a compaction that is under way gives up.
    stopped: AtomicBool,
}

impl Catalog {
    /// Opens the segments that the manifest names, removes others, and repairs the index.
    pub(super) fn open(
        files: &Files,
        manifest: ManifestFile,
        settings: &EmbeddedSettings,
        index_use: IndexUse<'_>,
    ) -> Result<Self, StoreError> {
        let folder = files.path(segment::FOLDER);
        make_folder(&folder)?;
        remove_strangers(files, &manifest.manifest.segments)?;
        let progress: Progress<'_> = match index_use {
            IndexUse::AsFound => &|_, _| {},
            IndexUse::Anew(progress) => {
                BlockIndex::remove(files)?;
                progress
            }
        };
        let (index, indexed) = BlockIndex::open(files, settings.cache_bytes / 4)?;
        let index = Arc::new(index);
        let cache = Arc::new(BlockCache::new(settings.cache_bytes / 4 * 3));
        let shared = SegmentShare { index, cache };
        let mut segments = Vec::with_capacity(manifest.manifest.segments.len());
        for entry in &manifest.manifest.segments {
            segments.push(Arc::new(open_segment(files, &manifest, entry, &shared)?));
        }
        segments.reverse();
        make_index_whole(&shared.index, &indexed, &segments, progress)?;
        Ok(Self {
            files: files.clone(),
            shared,
            layers: Arc::new(Layers::over(SegmentList::of(segments))),
            next_number: AtomicU64::new(manifest.manifest.next_segment),
            is_copy: Arc::new(AtomicBool::new(manifest.manifest.is_copy)),
            manifest: Mutex::new(manifest),
            compacted_at_once: settings.compacted_at_once.max(2),
            compacting: Mutex::new(false),
            compacted: Condvar::new(),
            failed: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        })
    }

    pub(super) fn layers(&self) -> &Arc<Layers> {
        &self.layers
    }

    /// Whether the folder is a copy; false again after its numbers have leapt.
    pub(super) fn is_copy(&self) -> &Arc<AtomicBool> {
        &self.is_copy
    }

    /// The last key in segments of a table whose rows are never removed.
    pub(super) fn last_key(&self, letter: u8) -> Option<Vec<u8>> {
        self.layers.segments().last_key(letter).map(<[u8]>::to_vec)
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// A failed change leaves the manifest as it was, so a poisoned lock is still used.
    fn manifest(&self) -> MutexGuard<'_, ManifestFile> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a layer as a segment. The journal's generations up to `generation` are not needed
    /// after that.
    pub(super) fn flush(&self, layer: &Writes, generation: u64) -> Result<(), StoreError> {
        let older = self.layers.segments();
        let scattered = scattered_letters();
        let count = |letter: &u8| {
            let bounds = [[*letter], [letter + 1]].map(|bound| PrefixedKey::from(bound.to_vec()));
            layer.range::<PrefixedKey, _>(&bounds[0]..&bounds[1]).count() as u64
        };
        // The removal of a key that no segment has needs no row.
        let counts = |(key, value): &(&PrefixedKey, &Option<Vec<u8>>)| {
            value.is_some() || older.may_have(key)
        };
        let mut rows = layer.iter().filter(counts).peekable();
        let fresh = if rows.peek().is_some() {
            let mut writer = self.begin(scattered.iter().map(count).sum());
            for (key, value) in rows {
                writer.push(key, value.as_deref())?;
            }
            self.end(writer, 0)?
        } else {
            None
        };
        let mut manifest = self.manifest();
        // Since the layer was read, segments can only have been compacted.
        let current = self.layers.segments();
        let segments = fresh.into_iter().chain(current.iter().cloned()).collect();
        let segments = SegmentList::of(segments);
        self.write(&mut manifest, &segments, generation)?;
        self.layers.flushed(segments);
        Ok(())
    }

    /// Compacts until no level has too many segments.
    pub(super) fn compact(&self) -> Result<(), StoreError> {
        let _under_way = self.begin_compaction();
        self.compact_below(u8::MAX)
    }

    fn begin_compaction(&self) -> CompactionGuard<'_> {
        *self.compacting() = true;
        CompactionGuard(self)
    }

    /// Waits while a compaction is under way and has too many small segments before it. One that
    /// has failed holds nobody back.
    pub(super) fn wait_for_compaction(&self) {
        let most = self.compacted_at_once * WAITING_COMPACTIONS_MAX;
        let is_behind = |under_way: &mut bool| {
            let segments = self.layers.segments();
            *under_way && segments.iter().filter(|segment| segment.entry.level == 0).count() >= most
        };
        let waited = self.compacted.wait_while(self.compacting(), is_behind);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn compacting(&self) -> MutexGuard<'_, bool> {
        self.compacting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compacts the lowest level, however few segments it has.
    #[cfg(test)]
    pub(super) fn compact_all(&self) -> Result<(), StoreError> {
        let segments = self.layers.segments();
        let lowest = segments.iter().next().map_or(0, |segment| segment.entry.level);
        let chosen: Vec<_> =
            segments.iter().filter(|one| one.entry.level == lowest).cloned().collect();
        if chosen.is_empty() { Ok(()) } else { self.compact_segments(&chosen) }
    }

    /// The same for the levels below `level`: a large compaction lets the small ones go first.
    fn compact_below(&self, level: u8) -> Result<(), StoreError> {
        while let Some(chosen) = self.due_below(level) {
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.compact_segments(&chosen)?;
        }
        Ok(())
    }

    /// The segments of the lowest level that has too many, the newest first.
    fn due_below(&self, level: u8) -> Option<Vec<Arc<Segment>>> {
        let segments = self.layers.segments();
        (0..level).take_while(|level| segments.iter().any(|s| s.entry.level >= *level)).find_map(
            |level| {
                let of = segments.iter().filter(|segment| segment.entry.level == level);
                let of: Vec<_> = of.cloned().collect();
                (of.len() >= self.compacted_at_once).then_some(of)
            },
        )
    }

    fn compact_segments(&self, chosen: &[Arc<Segment>]) -> Result<(), StoreError> {
        let level = chosen.first().map_or(0, |segment| segment.entry.level);
        let numbers: BTreeSet<u64> = chosen.iter().map(|segment| segment.number()).collect();
        let before = self.layers.segments();
        let from_chosen = before.iter().skip_while(|one| !numbers.contains(&one.number()));
        let older = SegmentList::of(from_chosen.skip(chosen.len()).cloned().collect());
        let scattered = scattered_letters();
        let count = |letter: &u8| chosen.iter().map(|s| s.rows_of(*letter)).sum::<u64>();
        let mut writer = self.begin(scattered.iter().map(count).sum());
        let mut sources = Vec::with_capacity(chosen.len());
        for segment in chosen {
            sources.extend(segment.all_rows()?.map(RowSource::Segment));
        }
        let mut merge = Merge::of(sources, Direction::Up);
        let mut rows = 0_u64;
        while let Some((key, value)) = merge.row() {
            if value.is_some() || older.may_have(key) {
                writer.push(key, value)?;
            }
            merge.advance()?;
            rows += 1;
            if rows.is_multiple_of(ROWS_BETWEEN_LOOKS) {
                self.compact_below(level)?;
                if self.stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
        }
        let merged = self.end(writer, level + 1)?;
        let mut manifest = self.manifest();
        let current = self.layers.segments();
        let newer = current.iter().take_while(|one| !numbers.contains(&one.number()));
        let behind = current.iter().skip_while(|one| !numbers.contains(&one.number()));
        let behind = behind.filter(|one| !numbers.contains(&one.number()));
        let segments = newer.cloned().chain(merged).chain(behind.cloned()).collect();
        let segments = SegmentList::of(segments);
        let generation = manifest.manifest.flushed;
        self.write(&mut manifest, &segments, generation)?;
        self.layers.compacted(segments);
        drop(manifest);
        // Whoever is about to wait sees the segments or is told of them.
        drop(self.compacting());
        self.compacted.notify_all();
        for segment in chosen {
            self.shared.index.take_out(segment.number()).unwrap_or_else(|why| {
                tracing::warn!(%why, "the index keeps entries of a segment that is gone");
            });
            // Readers of the segment still have it open.
            self.files.remove(&segment.entry.name()).map_err(|source| StoreError::Io {
                context: "cannot remove a segment that was compacted".to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    fn begin(&self, scattered: u64) -> SegmentWriter {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        SegmentWriter::new(&self.files, number, scattered)
    }

    /// Completes a segment and opens it; `None` if it has no row.
    fn end(&self, writer: SegmentWriter, level: u8) -> Result<Option<Arc<Segment>>, StoreError> {
        let Some((entry, places)) = writer.end(level)? else { return Ok(None) };
        self.files.sync_folder(segment::FOLDER).map_err(|source| StoreError::Io {
            context: "cannot sync the folder of segments".to_owned(),
            source,
        })?;
        // A segment whose entries are incomplete is read by its own list.
        self.shared.index.add(entry.number, &places).unwrap_or_else(|why| {
            tracing::error!(%why, "the index does not take a segment's blocks");
        });
        let manifest = self.manifest();
        let opened = open_segment(&self.files, &manifest, &entry, &self.shared)?;
        Ok(Some(Arc::new(opened)))
    }

    /// Writes the list of segments, durably.
    fn write(
        &self,
        manifest: &mut ManifestFile,
        segments: &Segments,
        generation: u64,
    ) -> Result<(), StoreError> {
        manifest.manifest.is_copy = self.is_copy.load(Ordering::Relaxed);
        let next = self.next_number.load(Ordering::Relaxed);
        let entries = segments.iter().rev().map(|segment| segment.entry.clone()).collect();
        if self.failed.load(Ordering::Relaxed) {
            return Err(StoreError::Backend {
                context: "the manifest could not be written before",
                detail: "what is journalled is flushed when the store is opened again".to_owned(),
            });
        }
        let written = manifest.write(generation, next, entries);
        if written.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        written
    }
}

/// A compaction that is under way.
struct CompactionGuard<'c>(&'c Catalog);

impl Drop for CompactionGuard<'_> {
    fn drop(&mut self) {
        *self.0.compacting() = false;
        self.0.compacted.notify_all();
    }
}

/// The rows after which a large compaction checks for a smaller one.
const ROWS_BETWEEN_LOOKS: u64 = 10_000;

fn open_segment(
    files: &Files,
    manifest: &ManifestFile,
    entry: &SegmentEntry,
    shared: &SegmentShare,
) -> Result<Segment, StoreError> {
    match Segment::open(files, entry, Some(shared)) {
        Ok(Some(segment)) => Ok(segment),
        Ok(None) => {
            let what = format!("the file `{}` is not the one that was written", entry.name());
            Err(manifest.not_whole(what))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(manifest.not_whole(format!("the file `{}` is missing", entry.name())))
        }
        Err(source) => {
            let context = format!("cannot read `{}`", files.path(&entry.name()).display());
            Err(StoreError::Io { context, source })
        }
    }
}

/// Removes segments that no manifest names: their writing or their removal was cut off.
fn remove_strangers(files: &Files, known: &[SegmentEntry]) -> Result<(), StoreError> {
    let io = |source| StoreError::Io {
        context: format!("cannot look through `{}`", files.path(segment::FOLDER).display()),
        source,
    };
    let known: BTreeSet<String> = known.iter().map(SegmentEntry::name).collect();
    for file in fs::read_dir(files.path(segment::FOLDER)).map_err(io)? {
        let name =
            format!("{}/{}", segment::FOLDER, file.map_err(io)?.file_name().to_string_lossy());
        if !known.contains(&name) {
            files.remove(&name).map_err(io)?;
        }
    }
    Ok(())
}

/// Compares the index with the segments, and rebuilds entries that differ. A segment that the index
/// fails to take is read by its own list.
fn make_index_whole(
    index: &BlockIndex,
    indexed: &[(u64, IndexSum)],
    segments: &[Arc<Segment>],
    progress: Progress<'_>,
) -> Result<(), StoreError> {
    let tell = |why: StoreError| {
        tracing::error!(%why, "the index cannot be repaired; segments are read by their own lists");
    };
    for (number, _) in indexed {
        if !segments.iter().any(|segment| segment.number() == *number) {
            index.take_out(*number).unwrap_or_else(tell);
        }
    }
    let wanting: Vec<_> = segments
        .iter()
        .filter(|segment| !indexed.contains(&(segment.number(), segment.index_sum())))
        .collect();
    let all: u64 = wanting.iter().map(|segment| segment.entry.rows).sum();
    if all > 0 {
        tracing::info!(segments = wanting.len(), rows = all, "the store's index is being repaired");
    }
    let mut done = 0;
    for segment in wanting {
        let places = segment.places()?;
        let made = index.take_out(segment.number());
        made.and_then(|()| index.add(segment.number(), &places)).unwrap_or_else(tell);
        done += segment.entry.rows;
        progress(done, all);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn catalog(folder: &std::path::Path) -> Catalog {
        let files = Files::of(folder);
        let settings = EmbeddedSettings { compacted_at_once: 2, ..EmbeddedSettings::default() };
        let manifest = ManifestFile::new(&files);
        Catalog::open(&files, manifest, &settings, IndexUse::AsFound).expect("an empty folder")
    }

    fn flush(catalog: &Catalog, times: u8) {
        for key in 0..times {
            let row = (vec![b'O', key].into(), Some(vec![key]));
            catalog.flush(&Writes::from([row]), u64::from(key)).expect("a segment");
        }
    }

    #[test]
    fn commits_wait_for_a_compaction_that_is_behind_and_for_none_that_has_failed() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = catalog(folder.path());
        flush(&catalog, 12);
        // None is under way: the last one may have failed.
        catalog.wait_for_compaction();
        let under_way = catalog.begin_compaction();
        let (begin, begun) = channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                begin.send(()).expect("the test lives");
                catalog.wait_for_compaction();
                catalog.layers.segments().iter().count()
            });
            begun.recv().expect("the thread lives");
            catalog.compact_below(u8::MAX).expect("segments that read");
            assert!(waiting.join().expect("no panic") < 8, "there was room again");
        });
        flush(&catalog, 12);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| catalog.wait_for_compaction());
            drop(under_way);
            waiting.join().expect("no panic");
        });
    }
}
