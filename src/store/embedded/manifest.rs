//! The manifest: which segments make up the books, and which part of the journal they contain.
//!
//! Whenever a layer has become a segment or segments were compacted, a new manifest is written
//! beside the last one, and replaces it when it is durable. Every file that it names is durable
//! before.
//!
//! It also records its place: the file's own inode and time of birth. Every copy of the folder, and
//! every older manifest copied over a newer one, has others. The file holds two copies of the
//! content, each with its checksum; one readable copy is enough.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::form::damaged;
use crate::store::key::LAYOUT;

use super::files::{Files, failed_io};
use super::segment::{self, SegmentEntry};

pub(super) const NAME: &str = "manifest";
/// The next manifest is written here before it is renamed.
const NEXT: &str = "manifest.next";
/// A process that has the folder open holds this file's lock.
pub(super) const LOCK: &str = "lock";
const MAGIC: &[u8; 8] = b"SWMANI01";
/// Room for each of the two copies with its head: for more than a thousand segments.
const COPY_BYTES: usize = 64 * 1024;
const HEAD_BYTES: usize = 16;

/// The store's knowledge of its own folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The form of all keys and rows.
    layout: u8,
    /// The generations of the journal up to this one are in the segments.
    pub(super) flushed: u64,
    /// The number of the next segment.
    pub(super) next_segment: u64,
    /// The oldest first.
    pub(super) segments: Vec<SegmentEntry>,
    written_at_ms: i64,
    inode: u64,
    born_ns: u64,
    path: String,
    /// Whether the folder is a copy whose numbers have not leapt yet.
    pub(super) is_copy: bool,
}

/// The manifest with the folder that it lies in.
pub(super) struct ManifestFile {
    files: Files,
    pub(super) manifest: Manifest,
}

impl ManifestFile {
    /// Reads the folder's manifest; `None` if it has none.
    pub(super) fn read(files: &Files) -> Result<Option<Self>, StoreError> {
        let path = files.path(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(failed_io(format!("cannot read `{}`", path.display()), error));
            }
        };
        let copies = [bytes.get(..COPY_BYTES), bytes.get(COPY_BYTES..)];
        let read = copies.into_iter().flatten().find_map(copy);
        let mut manifest = read.ok_or_else(|| {
            let what = format!("neither copy in `{}` reads", path.display());
            StoreError::NotWhole { what, known: "nothing can be said of the rest".to_owned() }
        })?;
        if manifest.layout != LAYOUT {
            return Err(damaged("layout", "it is of another version"));
        }
        let place = place(
            &File::open(&path)
                .and_then(|file| file.metadata())
                .map_err(|e| failed_io(format!("cannot read `{}`", path.display()), e))?,
        );
        manifest.is_copy |= place != (manifest.inode, manifest.born_ns);
        Ok(Some(Self { files: files.clone(), manifest }))
    }

    /// The manifest of a new folder. Nothing is written yet.
    pub(super) fn new(files: &Files) -> Self {
        let manifest = Manifest { next_segment: 1, ..Manifest::default() };
        Self { files: files.clone(), manifest }
    }

    /// Whether another process works in the folder that this one was copied from. Only a folder on
    /// this machine can be checked.
    pub(super) fn original_in_use(&self) -> Option<PathBuf> {
        let original = PathBuf::from(&self.manifest.path);
        let here = fs::canonicalize(self.files.folder()).ok();
        if !self.manifest.is_copy || here.as_deref() == Some(&original) {
            return None;
        }
        let lock = File::open(original.join(LOCK)).ok()?;
        // Closing the file releases the lock.
        matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)).then_some(original)
    }

    /// Refuses a folder in which a file is missing. Segments are checked when they are opened.
    pub(super) fn check_files(&self) -> Result<(), StoreError> {
        for name in ["journal-a", "journal-b", "journal-mark"] {
            if !self.files.path(name).is_file() {
                return Err(self.not_whole(format!("the file `{name}` is missing")));
            }
        }
        Ok(())
    }

    /// Checks a folder without a manifest: it is new, or its first start was cut off before
    /// anything was answered. So it must be empty.
    pub(super) fn check_new(&self, is_journalled: bool) -> Result<(), StoreError> {
        let segments = fs::read_dir(self.files.path(segment::FOLDER));
        if is_journalled || segments.is_ok_and(|mut files| files.next().is_some()) {
            let what = "the file `manifest` is missing, yet there are rows".to_owned();
            return Err(self.not_whole(what));
        }
        Ok(())
    }

    /// The refusal of a folder in which something is missing, with the manifest's facts about it.
    pub(super) fn not_whole(&self, what: String) -> StoreError {
        let Manifest { segments, written_at_ms, .. } = &self.manifest;
        let at = Timestamp::from_millis(*written_at_ms).rfc3339();
        let rows: u64 = segments.iter().map(|segment| segment.rows).sum();
        let known = format!("{rows} rows lay in {} segments at {at}", segments.len());
        StoreError::NotWhole {
            what: format!("{what} (in `{}`)", self.files.folder().display()),
            known,
        }
    }

    /// Writes, durably, which segments make up the books, the oldest first, and the generation up
    /// to which they contain the journal.
    pub(super) fn write(
        &mut self,
        flushed: u64,
        next_segment: u64,
        segments: Vec<SegmentEntry>,
    ) -> Result<(), StoreError> {
        let folder = self.files.folder();
        let context = || format!("cannot write the manifest in `{}`", folder.display());
        let io = |source| failed_io(context(), source);
        let _left_behind = fs::remove_file(self.files.path(NEXT));
        let file = self.files.make(NEXT).map_err(io)?;
        let (inode, born_ns) = place(&file.metadata().map_err(io)?);
        let path = fs::canonicalize(folder).map_err(io)?;
        let manifest = Manifest {
            layout: LAYOUT,
            flushed,
            next_segment,
            segments,
            written_at_ms: Clock::System.now().as_millis(),
            inode,
            born_ns,
            path: path.to_string_lossy().into_owned(),
            is_copy: self.manifest.is_copy,
        };
        let copy = copy_bytes(&manifest)?;
        file.write_at(&copy, 0).map_err(io)?;
        file.write_at(&copy, COPY_BYTES as u64).map_err(io)?;
        file.sync().map_err(io)?;
        self.files.rename(NEXT, NAME).map_err(io)?;
        self.files.sync_folder(".").map_err(io)?;
        self.manifest = manifest;
        Ok(())
    }
}

/// The inode of a file and its time of birth; 0 if the file system keeps none.
fn place(file: &fs::Metadata) -> (u64, u64) {
    let born = file.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    (file.ino(), born.and_then(|born| u64::try_from(born.as_nanos()).ok()).unwrap_or(0))
}

/// Magic, length and CRC-32 of the content, then the content, padded with zeros.
fn copy_bytes(manifest: &Manifest) -> Result<Vec<u8>, StoreError> {
    let content = postcard::to_stdvec(manifest).map_err(|error| StoreError::Backend {
        context: "cannot write the manifest",
        detail: error.to_string(),
    })?;
    if content.len() > COPY_BYTES - HEAD_BYTES {
        let detail = "its content is longer than its room: too many segments, or the folder's path"
            .to_owned();
        return Err(StoreError::Backend { context: "cannot write the manifest", detail });
    }
    let length = u32::try_from(content.len()).expect("it is shorter than its room");
    let mut copy = Vec::with_capacity(COPY_BYTES);
    copy.extend_from_slice(MAGIC);
    copy.extend_from_slice(&length.to_be_bytes());
    copy.extend_from_slice(&crc32fast::hash(&content).to_be_bytes());
    copy.extend_from_slice(&content);
    copy.resize(COPY_BYTES, 0);
    Ok(copy)
}

fn copy(bytes: &[u8]) -> Option<Manifest> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let content = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let whole = crc32fast::hash(content) == u32::from_be_bytes(*sum);
    whole.then(|| postcard::from_bytes(content).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn one_copy_that_reads_is_enough_and_none_is_a_refusal() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = scratch.path();
        assert!(ManifestFile::read(&Files::of(folder)).expect("an empty folder").is_none());
        let segment = SegmentEntry { number: 4, level: 1, bytes: 100, rows: 3, checksum: 7 };
        let mut file = ManifestFile::new(&Files::of(folder));
        file.write(3, 5, vec![segment]).expect("it is written");
        let read = || {
            ManifestFile::read(&Files::of(folder)).map(|read| read.expect("a manifest").manifest)
        };
        assert_eq!(read().expect("it reads"), file.manifest);
        let path = folder.join(NAME);
        let whole = fs::read(&path).expect("the file");
        for (spoilt, reads) in [(vec![0], true), (vec![1], true), (vec![0, 1], false)] {
            let mut bytes = whole.clone();
            spoilt.iter().for_each(|copy| bytes[copy * COPY_BYTES + 20] ^= 1);
            fs::write(&path, &bytes).expect("the file");
            assert_eq!(read().is_ok(), reads, "spoilt {spoilt:?}");
        }
        for length in [0, 1, HEAD_BYTES + 3] {
            fs::write(&path, &whole[..length]).expect("the file");
            assert!(matches!(read(), Err(StoreError::NotWhole { .. })), "cut at {length}");
        }
    }

    #[test]
    fn a_copy_knows_that_it_is_one() {
        let scratch = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let (folder, other) = (scratch[0].path(), scratch[1].path());
        ManifestFile::new(&Files::of(folder)).write(1, 1, Vec::new()).expect("it is written");
        let is_copy = |folder: &Path| {
            ManifestFile::read(&Files::of(folder))
                .expect("it reads")
                .expect("a manifest")
                .manifest
                .is_copy
        };
        assert!(!is_copy(folder));
        fs::copy(folder.join(NAME), other.join(NAME)).expect("a copy");
        assert!(is_copy(other));
        // Rewritten in its own place it is still a copy, until the copy was dealt with.
        let mut file =
            ManifestFile::read(&Files::of(other)).expect("it reads").expect("a manifest");
        file.write(2, 2, Vec::new()).expect("it is written");
        assert!(is_copy(other));
        file.manifest.is_copy = false;
        file.write(2, 2, Vec::new()).expect("it is written");
        assert!(!is_copy(other));
        // An older manifest, copied over a newer one in place.
        let older = fs::read(folder.join(NAME)).expect("the file");
        let mut file =
            ManifestFile::read(&Files::of(folder)).expect("it reads").expect("a manifest");
        file.write(3, 3, Vec::new()).expect("it is written");
        fs::write(folder.join(NAME), older).expect("the file");
        assert!(is_copy(folder));
    }
}
