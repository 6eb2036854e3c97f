//! What the tree must hold, kept apart from the tree: sled recovers what it can from a damaged file
//! and says nothing of the rest, so what was durable is written down beside it and held against it
//! when the folder is opened.
//!
//! The manifest says what the tree has when the journal's generations up to `to` are in it. It is
//! written **before** a layer goes into the tree, so at every moment a loss of power leaves one of
//! two things: the tree as the last manifest says, or the tree on its way to what this one says and
//! the whole journal of `from` to `to` beside it. Replayed, both are the same.
//!
//! It also names the place: the manifest's own inode and birth, written into it. Every copy of the
//! folder, and every older manifest laid over a newer one, has others. Two copies of the content
//! lie in the file, each with its checksum; one that reads is enough.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::store::StoreError;

use super::disk::failed_io;
use super::files::Files;
use super::sums::TableSums;

const NAME: &str = "manifest";
/// Where the next one is written before it takes the name.
const NEXT: &str = "manifest.next";
const MAGIC: &[u8; 8] = b"SWMANI01";
/// Room for each of the two copies, their head included.
const COPY_BYTES: usize = 16 * 1024;
const HEAD_BYTES: usize = 16;

/// What the store knows of its own folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The generations of the journal that may be in the tree in part: they are replayed.
    pub(super) from: u64,
    /// The last of them. The sums are those of the tree with all of it.
    pub(super) to: u64,
    pub(super) sums: TableSums,
    written_at_ms: i64,
    /// sled's snapshot and the length of its log, when this was written.
    snapshot: u64,
    log_bytes: u64,
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
        Self { files: files.clone(), manifest: Manifest::default() }
    }

    /// Whether another process works in the folder that this one was copied from. Only a folder on
    /// this machine can be looked at.
    pub(super) fn original_in_use(&self) -> Option<PathBuf> {
        let original = PathBuf::from(&self.manifest.path);
        let here = fs::canonicalize(self.files.folder()).ok();
        if !self.manifest.is_copy || here.as_deref() == Some(&original) {
            return None;
        }
        let log = File::open(original.join("db")).ok()?;
        // Closing the file gives the lock back.
        matches!(log.try_lock(), Err(fs::TryLockError::WouldBlock)).then_some(original)
    }

    /// Refuses a folder in which a file is missing or shorter than it was, before sled looks at it:
    /// sled would write into what it finds.
    pub(super) fn check_files(&self) -> Result<(), StoreError> {
        for name in ["db", "conf", "journal-a", "journal-b", "journal-mark"] {
            if !self.files.path(name).is_file() {
                return Err(self.not_whole(format!("the file `{name}` is missing")));
            }
        }
        let bytes = self.log_bytes();
        if bytes < self.manifest.log_bytes {
            let before = self.manifest.log_bytes;
            return Err(self.not_whole(format!("`db` has {bytes} bytes and had {before}")));
        }
        let snapshot = self.manifest.snapshot;
        if self.snapshot() < snapshot {
            return Err(self.not_whole(format!("the file `snap.{snapshot:016X}` is missing")));
        }
        Ok(())
    }

    /// The refusal of a folder in which something is missing, with what is known of it.
    pub(super) fn not_whole(&self, what: String) -> StoreError {
        let Manifest { sums, written_at_ms, .. } = &self.manifest;
        let at = Timestamp::from_millis(*written_at_ms).rfc3339();
        let known = format!("{} rows were merged at {at}", sums.rows());
        StoreError::NotWhole {
            what: format!("{what} (in `{}`)", self.files.folder().display()),
            known,
        }
    }

    /// Writes down, durably, what the tree has once all of `from` to `to` is in it.
    pub(super) fn write(&mut self, from: u64, to: u64, sums: TableSums) -> Result<(), StoreError> {
        let folder = self.files.folder();
        let context = || format!("cannot write the manifest in `{}`", folder.display());
        let io = |source| failed_io(context(), source);
        let _left_behind = fs::remove_file(self.files.path(NEXT));
        let file = self.files.make(NEXT).map_err(io)?;
        let (inode, born_ns) = place(&file.metadata().map_err(io)?);
        let path = fs::canonicalize(folder).map_err(io)?;
        let manifest = Manifest {
            from,
            to,
            sums,
            written_at_ms: Clock::System.now().as_millis(),
            snapshot: self.snapshot(),
            log_bytes: self.log_bytes(),
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

    fn log_bytes(&self) -> u64 {
        fs::metadata(self.files.path("db")).map_or(0, |log| log.len())
    }

    /// The newest of sled's snapshots, by the number in its name; 0 if there is none.
    fn snapshot(&self) -> u64 {
        let names = fs::read_dir(self.files.folder()).into_iter().flatten().flatten();
        let number = |name: &str| u64::from_str_radix(name.strip_prefix("snap.")?, 16).ok();
        names.filter_map(|file| number(file.file_name().to_str()?)).max().unwrap_or(0)
    }
}

/// The inode of a file and the moment at which it was made; 0 where the file system keeps none.
fn place(file: &fs::Metadata) -> (u64, u64) {
    let born = file.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    (file.ino(), born.and_then(|born| u64::try_from(born.as_nanos()).ok()).unwrap_or(0))
}

/// Magic, length and CRC-32 of the content, then the content, filled up with zeros.
fn copy_bytes(manifest: &Manifest) -> Result<Vec<u8>, StoreError> {
    let content = postcard::to_stdvec(manifest).map_err(|error| StoreError::Backend {
        context: "cannot write the manifest",
        detail: error.to_string(),
    })?;
    if content.len() > COPY_BYTES - HEAD_BYTES {
        let detail = "its content is longer than its room: is the folder's path?".to_owned();
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
        let mut sums = TableSums::default();
        sums.add(b"Oa", b"1");
        let mut file = ManifestFile::new(&Files::of(folder));
        file.write(3, 5, sums).expect("it is written");
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
        ManifestFile::new(&Files::of(folder))
            .write(1, 1, TableSums::default())
            .expect("it is written");
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
        // Written anew in its own place it is still a copy, until someone has dealt with it.
        let mut file =
            ManifestFile::read(&Files::of(other)).expect("it reads").expect("a manifest");
        file.write(2, 2, TableSums::default()).expect("it is written");
        assert!(is_copy(other));
        file.manifest.is_copy = false;
        file.write(2, 2, TableSums::default()).expect("it is written");
        assert!(!is_copy(other));
        // An older manifest, laid over a newer one in place.
        let older = fs::read(folder.join(NAME)).expect("the file");
        let mut file =
            ManifestFile::read(&Files::of(folder)).expect("it reads").expect("a manifest");
        file.write(3, 3, TableSums::default()).expect("it is written");
        fs::write(folder.join(NAME), older).expect("the file");
        assert!(is_copy(folder));
    }
}
