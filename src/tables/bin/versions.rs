//! The kept versions of the BIN table: files beside each other, and the history that names them.
//!
//! `<data>/bin-table/` holds `000001.csv`, `000002.csv`, … in our own format, `history` with one
//! JSON line for each change, and `lock`. A version file is written under another name, made
//! durable, renamed, and its folder made durable before the history names it; so a version that
//! the history names is whole or damaged by something else, and its SHA-256 tells which. Daemon and
//! command line may both write: each change is made under the lock, and readers need none.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::diff::DiffCounts;
use super::read::{ReadOptions, TableFormat, UnreadableTable, read_table};
use super::text::TextEncoding;
use super::view::StatedText;
use crate::domain::bin::BinTable;

/// The version of the table that is compiled in. No file has it.
pub const SHIPPED_VERSION: u32 = 0;
const FOLDER: &str = "bin-table";
const HISTORY: &str = "history";
const LOCK: &str = "lock";
/// There where the folder is a copy of what nodes share.
const SHARED: &str = "shared";
const SHARED_SAYS: &str = "the table is that of a store which nodes share: POST \
    /v1/bin-table/refresh and /rollback of any node change it for all";

/// The action that a line of the history records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum VersionAction {
    Refresh,
    Rollback,
}

/// One line of the history: who made which version the live one, when, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// The version that became the live one; 0 is the shipped table.
    pub version: u32,
    /// How it came into force.
    pub action: VersionAction,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: i64,
    /// Whoever brought it.
    pub by: String,
    /// Why, where somebody has said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A path or a URL without its query; for a rollback, where that version came from.
    pub source: String,
    /// Of the version file, in lower-case hexadecimal.
    pub sha256: String,
    /// How many rows it has.
    pub rows: usize,
    /// Changes of issuers' names.
    pub issuer_changes: usize,
    /// The date of the facts of all rows that state no other.
    pub as_of: StatedText,
    /// Against the table that was live before.
    pub counts: DiffCounts,
    /// Whether a refusal as suspicious was overruled.
    pub forced: bool,
}

/// Why the folder of versions cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}", path = path.display())]
pub struct VersionError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A damaged or missing file of the folder, which was passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionProblem {
    #[error("line {line} of the history of BIN tables is damaged and was passed over")]
    HistoryLine { line: usize },
    #[error("version {version} of the BIN table is missing")]
    Missing { version: u32 },
    #[error("version {version} of the BIN table cannot be read: {kind}")]
    Unreadable { version: u32, kind: io::ErrorKind },
    #[error("version {version} of the BIN table does not have its recorded SHA-256")]
    Digest { version: u32 },
    #[error("version {version} of the BIN table is not valid: {cause}")]
    Invalid { version: u32, cause: UnreadableTable },
}

/// The history as it stands: its records, and which versions are to be tried in which order.
#[derive(Debug, Default)]
pub(super) struct History {
    pub records: Vec<VersionRecord>,
    pub problems: Vec<VersionProblem>,
    /// The size of the file that was read, in bytes.
    pub bytes: u64,
}

impl History {
    /// The versions that were live, the live one last; a rollback takes those after its target
    /// out, so that a version an operator rejected never comes back by itself.
    pub(super) fn succession(&self) -> Vec<u32> {
        let mut versions = vec![SHIPPED_VERSION];
        for record in &self.records {
            let known = versions.iter().position(|version| *version == record.version);
            match (record.action, known) {
                (VersionAction::Rollback, Some(place)) => versions.truncate(place + 1),
                (VersionAction::Rollback | VersionAction::Refresh, _) => {
                    versions.push(record.version);
                }
            }
        }
        versions
    }

    /// A number that no version of the history has.
    pub(super) fn next_version(&self) -> u32 {
        let recorded = self.records.iter().map(|record| record.version);
        recorded.max().unwrap_or(SHIPPED_VERSION) + 1
    }

    /// The record that made this version: its source and its digest.
    pub(super) fn origin(&self, version: u32) -> Option<&VersionRecord> {
        let made = |record: &&VersionRecord| {
            record.version == version && record.action == VersionAction::Refresh
        };
        self.records.iter().find(made)
    }
}

/// The folder of versions below a data folder. Nothing is created until something is written.
#[derive(Debug)]
pub(super) struct VersionFolder {
    path: PathBuf,
}

/// The right to change the folder, for as long as it lives. The holder only does bounded work on
/// the disk, so the wait for it is bounded too; the system gives it back when a process dies.
pub(super) struct FolderLock {
    _file: File,
}

impl VersionFolder {
    pub(super) fn below(data_dir: &Path) -> Self {
        Self { path: data_dir.join(FOLDER) }
    }

    /// Creates the folder if need be and waits until no other process or thread changes it.
    pub(super) fn lock(&self) -> Result<FolderLock, VersionError> {
        fs::create_dir_all(&self.path).map_err(|source| failed("create", &self.path, source))?;
        if let Some(parent) = self.path.parent() {
            sync_folder(parent)?;
        }
        let path = self.path.join(LOCK);
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|source| failed("open", &path, source))?;
        file.lock().map_err(|source| failed("lock", &path, source))?;
        Ok(FolderLock { _file: file })
    }

    /// The same for a change that is this machine's own.
    pub(super) fn lock_own(&self) -> Result<FolderLock, VersionError> {
        let lock = self.lock()?;
        let path = self.path.join(SHARED);
        if path.exists() {
            let source = io::Error::other(SHARED_SAYS);
            return Err(failed("change the table below", &self.path, source));
        }
        Ok(lock)
    }

    /// Reads the history; none is an empty one. A torn or damaged line is told and passed over.
    pub(super) fn history(&self) -> Result<History, VersionError> {
        let path = self.path.join(HISTORY);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(History::default()),
            Err(source) => return Err(failed("read", &path, source)),
        };
        let mut history = History { bytes: bytes.len() as u64, ..History::default() };
        for (place, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(record) => history.records.push(record),
                Err(_) => history.problems.push(VersionProblem::HistoryLine { line: place + 1 }),
            }
        }
        Ok(history)
    }

    /// The size of the history now, in bytes: the history only grows, so another size is another
    /// state.
    pub(super) fn history_bytes(&self) -> Result<u64, VersionError> {
        let path = self.path.join(HISTORY);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(failed("read", &path, source)),
        }
    }

    /// Reads a version and holds it against its recorded digest and against every check.
    pub(super) fn read(&self, version: u32, sha256: &str) -> Result<BinTable, VersionProblem> {
        let bytes = fs::read(self.version_path(version)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => VersionProblem::Missing { version },
            kind => VersionProblem::Unreadable { version, kind },
        })?;
        if sha256_hex(&bytes) != sha256 {
            return Err(VersionProblem::Digest { version });
        }
        let options =
            ReadOptions { format: Some(TableFormat::Csv), encoding: Some(TextEncoding::Utf8) };
        let read = read_table(&bytes, options);
        read.map(|read| read.table).map_err(|cause| VersionProblem::Invalid { version, cause })
    }

    /// Makes a new version durable under a number that neither file nor history ever had.
    pub(super) fn write(
        &self,
        lock: &FolderLock,
        history: &History,
        bytes: &[u8],
    ) -> Result<u32, VersionError> {
        let kept = self.files()?.into_keys().max().unwrap_or(SHIPPED_VERSION) + 1;
        let version = history.next_version().max(kept);
        self.write_as(lock, version, bytes)?;
        Ok(version)
    }

    /// Makes a version durable under its number, over whatever had it.
    pub(super) fn write_as(
        &self,
        _lock: &FolderLock,
        version: u32,
        bytes: &[u8],
    ) -> Result<(), VersionError> {
        self.write_whole(&self.version_path(version), bytes)
    }

    /// Puts these records in place of the whole history, durably. Answers its size.
    pub(super) fn replace_history(
        &self,
        _lock: &FolderLock,
        records: &[VersionRecord],
    ) -> Result<u64, VersionError> {
        let mut lines = Vec::new();
        for record in records {
            let line = serde_json::to_vec(record).expect("a record has only texts and numbers");
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        self.write_whole(&self.path.join(HISTORY), &lines)?;
        Ok(lines.len() as u64)
    }

    /// Says whose folder it is from now on: of this machine, or of a store that nodes share. Then
    /// nothing is changed here but what the store says.
    pub(super) fn mark_shared(&self, is_shared: bool) -> Result<(), VersionError> {
        let path = self.path.join(SHARED);
        if is_shared {
            return self.write_whole(&path, SHARED_SAYS.as_bytes());
        }
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(&self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(failed("remove", &path, source)),
        }
    }

    /// A new file beside, made durable, then a rename.
    fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<(), VersionError> {
        let unfinished = path.with_extension("tmp");
        let write = || -> io::Result<()> {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, path)
        };
        write().map_err(|source| failed("write", path, source))?;
        sync_folder(&self.path)
    }

    /// Appends a record durably. A torn line before it, left by a crash, is closed first. Answers
    /// the size of the history after it.
    pub(super) fn record(
        &self,
        _lock: &FolderLock,
        record: &VersionRecord,
    ) -> Result<u64, VersionError> {
        let path = self.path.join(HISTORY);
        let mut line = serde_json::to_vec(record).expect("a record has only texts and numbers");
        line.push(b'\n');
        let mut append = || -> io::Result<u64> {
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
            let before = file.metadata()?.len();
            if before > 0 {
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    line.insert(0, b'\n');
                }
            }
            file.write_all(&line)?;
            file.sync_all()?;
            Ok(before + line.len() as u64)
        };
        let bytes = append().map_err(|source| failed("write", &path, source))?;
        sync_folder(&self.path)?;
        Ok(bytes)
    }

    /// Removes the oldest version files beyond `kept_max`, but none of `needed`.
    pub(super) fn prune(
        &self,
        _lock: &FolderLock,
        kept_max: usize,
        needed: &[u32],
    ) -> Result<(), VersionError> {
        let kept = self.files()?;
        let excess = kept.len().saturating_sub(kept_max);
        for (version, path) in kept.iter().take(excess) {
            if !needed.contains(version) {
                fs::remove_file(path).map_err(|source| failed("remove", path, source))?;
            }
        }
        Ok(())
    }

    /// The version files, by number.
    pub(super) fn files(&self) -> Result<BTreeMap<u32, PathBuf>, VersionError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(source) => return Err(failed("read", &self.path, source)),
        };
        let mut kept = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(|source| failed("read", &self.path, source))?.path();
            if path.extension().is_some_and(|extension| extension == "csv")
                && let Some(version) =
                    path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok())
            {
                kept.insert(version, path);
            }
        }
        Ok(kept)
    }

    fn version_path(&self, version: u32) -> PathBuf {
        self.path.join(format!("{version:06}.csv"))
    }
}

/// The SHA-256 of some bytes in lower-case hexadecimal.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes the names in a folder durable: a renamed file may be gone after a power loss without it.
fn sync_folder(path: &Path) -> Result<(), VersionError> {
    let sync = || {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path)?.sync_all()
    };
    sync().map_err(|source| failed("make durable", path, source))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> VersionError {
    VersionError { action, path: path.to_owned(), source }
}
