//! Backups of the books, also while a daemon writes them, and their restore.
//!
//! A backup is a folder with `segments/`, where each segment is copied once, and `state/`, which
//! has the manifest and the journal as they were at one moment and is replaced whole. It contains
//! every row that a daemon answered before the backup began.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::store::StoreError;

use super::files::{Files, failed_io, make_folder};
use super::manifest::{self, ManifestFile};
use super::segment::{self, Segment, SegmentEntry};
use super::snapshot::Snapshot;

const STATE: &str = "state";
/// The next state is written here before it is renamed.
const NEXT: &str = "state.next";
/// The state before, while the next one is renamed.
const LAST: &str = "state.last";

/// The most states that are tried: a segment may be compacted while it is copied, and then there is
/// a newer state.
const STATES_MAX: u32 = 100;

/// The result of a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Rows in segments.
    pub rows: u64,
    pub segments: usize,
    /// Rows in the journal alone.
    pub journalled: u64,
    /// The number of segments that were copied, and their length in bytes.
    pub copied: usize,
    pub copied_bytes: u64,
}

/// Copies the books in `books` into the folder `to`, which holds an earlier backup of them or
/// nothing.
pub fn back_up(books: &Path, to: &Path) -> Result<BackupReport, StoreError> {
    let (from, to) = (Files::of(books), Files::of(to));
    make_folder(&to.path(segment::FOLDER))?;
    let mut report = BackupReport::default();
    for _ in 0..STATES_MAX {
        let snapshot = Snapshot::of(&from)?;
        if !copy_segments(&from, &to, &snapshot.segments, &mut report)? {
            continue;
        }
        keep_state(&to, &snapshot)?;
        remove_others(&to, &snapshot.segments)?;
        report.segments = snapshot.segments.len();
        report.rows = snapshot.segments.iter().map(|segment| segment.rows).sum();
        report.journalled = snapshot.groups()?.iter().map(|group| group.len() as u64).sum();
        return Ok(report);
    }
    let source = io::Error::other("its segments are compacted faster than they are copied");
    Err(failed_io(format!("cannot back up `{}`", books.display()), source))
}

/// Copies the segments that are missing; `false` if one was compacted meanwhile.
fn copy_segments(
    from: &Files,
    to: &Files,
    segments: &[SegmentEntry],
    report: &mut BackupReport,
) -> Result<bool, StoreError> {
    for entry in segments {
        if Segment::is_whole(to, entry) {
            continue;
        }
        let name = entry.name();
        match copy_durably(&from.path(&name), &to.path(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(failed_io(format!("cannot copy `{name}`"), source)),
            Ok(bytes) => {
                report.copied += 1;
                report.copied_bytes += bytes;
            }
        }
        if !Segment::is_whole(to, entry) {
            return Err(StoreError::NotWhole {
                what: format!("`{}` is not the file that was written", from.path(&name).display()),
                known: format!("it had {} rows", entry.rows),
            });
        }
    }
    let folder = File::open(to.path(segment::FOLDER)).and_then(|folder| folder.sync_all());
    folder.map_err(|source| failed_io("cannot sync the backup".to_owned(), source))?;
    Ok(true)
}

/// Writes the state beside the last one, and replaces that.
fn keep_state(to: &Files, snapshot: &Snapshot) -> Result<(), StoreError> {
    let keep = || {
        let (next, last) = (to.path(NEXT), to.path(LAST));
        for left_behind in [&next, &last] {
            if left_behind.exists() && to.path(STATE).exists() {
                fs::remove_dir_all(left_behind)?;
            }
        }
        fs::create_dir(&next)?;
        write_durably(&next.join(manifest::NAME), &snapshot.manifest)?;
        for (name, bytes) in snapshot.journal.files() {
            write_durably(&next.join(name), bytes)?;
        }
        File::open(&next)?.sync_all()?;
        if to.path(STATE).exists() {
            fs::rename(to.path(STATE), &last)?;
        }
        fs::rename(&next, to.path(STATE))?;
        File::open(to.folder())?.sync_all()?;
        if last.exists() { fs::remove_dir_all(&last) } else { Ok(()) }
    };
    keep().map_err(|source| failed_io("cannot write the backup".to_owned(), source))
}

/// Removes the segments that the state does not name.
fn remove_others(to: &Files, segments: &[SegmentEntry]) -> Result<(), StoreError> {
    let known: BTreeSet<String> = segments.iter().map(SegmentEntry::name).collect();
    let remove = || {
        for file in fs::read_dir(to.path(segment::FOLDER))? {
            let file = file?;
            let name = format!("{}/{}", segment::FOLDER, file.file_name().to_string_lossy());
            if !known.contains(&name) {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    };
    remove().map_err(|source| failed_io("cannot clear the backup".to_owned(), source))
}

/// Makes books in the folder `books`, which must be absent, from a backup. The store knows that
/// they are a copy: see [`EmbeddedStore::is_copy`](super::EmbeddedStore::is_copy).
pub fn restore(from: &Path, books: &Path) -> Result<BackupReport, StoreError> {
    let io = |source| failed_io(format!("cannot restore to `{}`", books.display()), source);
    if books.exists() {
        return Err(io(io::ErrorKind::AlreadyExists.into()));
    }
    // A backup that was cut off while it replaced its state has the state before.
    let state = [STATE, LAST].map(|name| from.join(name)).into_iter().find(|state| state.exists());
    let state = state.ok_or_else(|| StoreError::NotWhole {
        what: format!("`{}` has no backup of books", from.display()),
        known: "a whole one has the folder `state`".to_owned(),
    })?;
    let known = ManifestFile::read(&Files::of(&state))?.ok_or_else(|| StoreError::NotWhole {
        what: format!("there is no manifest in `{}`", state.display()),
        known: "nothing can be said of the rest".to_owned(),
    })?;
    let (from, to) = (Files::of(from), Files::of(books));
    make_folder(&to.path(segment::FOLDER))?;
    let mut report = BackupReport::default();
    let segments = &known.manifest.segments;
    if !copy_segments(&from, &to, segments, &mut report)? {
        return Err(known.not_whole("a segment of the backup is missing".to_owned()));
    }
    let copy = || {
        // The manifest comes last: without it the folder cannot be opened.
        for name in super::journal::FILES.into_iter().chain([manifest::NAME]) {
            copy_durably(&state.join(name), &to.path(name))?;
        }
        File::open(books)?.sync_all()
    };
    copy().map_err(io)?;
    report.segments = segments.len();
    report.rows = segments.iter().map(|segment| segment.rows).sum();
    let restored = Snapshot::of(&to)?;
    report.journalled = restored.groups()?.iter().map(|group| group.len() as u64).sum();
    Ok(report)
}

fn copy_durably(from: &Path, to: &Path) -> io::Result<u64> {
    let next = to.with_extension("next");
    let bytes = fs::copy(from, &next)?;
    File::open(&next)?.sync_all()?;
    fs::rename(next, to)?;
    Ok(bytes)
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)?;
    File::open(path)?.sync_all()
}
