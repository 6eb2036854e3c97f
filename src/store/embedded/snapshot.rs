//! The books as they are at one moment, read from a folder that another process may be writing.
//!
//! Segments never change, and the manifest is replaced whole. The mark is read before the journal's
//! files, and of these only the groups that it counts are taken: they were written whole before the
//! mark was. If the manifest has changed meanwhile, everything is read again.

use std::fs;
use std::io;

use crate::store::StoreError;
use crate::store::plan::Writes;

use super::files::{Files, failed_io};
use super::journal::{self, JournalCopy};
use super::manifest::ManifestFile;
use super::segment::SegmentEntry;

/// The tries to read the folder without a change meanwhile. A busy daemon writes a manifest every
/// few hundred milliseconds, and reading takes some tens.
const READS_MAX: u32 = 100;

/// Everything but the segments' content.
pub(super) struct Snapshot {
    pub segments: Vec<SegmentEntry>,
    /// The content of the manifest file.
    pub manifest: Vec<u8>,
    pub journal: JournalCopy,
}

impl Snapshot {
    /// Reads the state of a folder.
    pub(super) fn of(files: &Files) -> Result<Self, StoreError> {
        for _ in 0..READS_MAX {
            let before = manifest_bytes(files)?;
            let known = ManifestFile::read(files)?.ok_or_else(|| StoreError::NotWhole {
                what: format!("there is no manifest in `{}`", files.folder().display()),
                known: "nothing can be said of the rest".to_owned(),
            })?;
            let journal = journal::copy(files, known.manifest.flushed)?;
            if let Some(journal) = journal
                && manifest_bytes(files)? == before
            {
                let segments = known.manifest.segments;
                return Ok(Self { segments, manifest: before, journal });
            }
        }
        let source = io::Error::other("it changes while it is read");
        Err(failed_io(format!("cannot read the journal in `{}`", files.folder().display()), source))
    }

    /// The groups that are in the journal alone.
    pub(super) fn groups(&self) -> Result<Vec<Writes>, StoreError> {
        self.journal.groups()
    }
}

fn manifest_bytes(files: &Files) -> Result<Vec<u8>, StoreError> {
    let path = files.path(super::manifest::NAME);
    fs::read(&path).map_err(|source| failed_io(format!("cannot read `{}`", path.display()), source))
}
