//! The store's access to its files: every file that must survive a loss of power is written,
//! renamed and synced here and nowhere else, so that a test can watch each step and cut the power
//! before it.
//!
//! sled writes the index's files by itself; none of them needs to survive.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::stopwatch;
use crate::store::StoreError;
use crate::telemetry;

/// A step that changes the result of a loss of power. Names are relative to the store's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileStep<'a> {
    /// A file is made, empty.
    Make {
        name: &'a str,
    },
    Write {
        name: &'a str,
        at: u64,
        bytes: &'a [u8],
    },
    /// The file's content becomes durable. Its name does so only with its folder.
    Sync {
        name: &'a str,
    },
    Rename {
        from: &'a str,
        to: &'a str,
    },
    /// A name is removed; its file goes when no process has it open any more.
    Remove {
        name: &'a str,
    },
    /// The names in a folder become durable; `.` is the store's own, `..` the one around it.
    SyncFolder {
        name: &'a str,
    },
}

/// Is called before every step, and may refuse it: then the step is not taken.
pub(super) trait FileWatch: Send + Sync {
    fn before(&self, step: &FileStep<'_>) -> io::Result<()>;
}

/// The files of one folder.
#[derive(Clone)]
pub(super) struct Files {
    folder: Arc<Path>,
    watch: Option<Arc<dyn FileWatch>>,
}

/// A file that is open for writing.
pub(super) struct StoreFile {
    file: File,
    name: String,
    watch: Option<Arc<dyn FileWatch>>,
}

impl Files {
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.into(), watch: None }
    }

    #[cfg(test)]
    pub(super) fn watched(folder: &Path, watch: Arc<dyn FileWatch>) -> Self {
        Self { folder: folder.into(), watch: Some(watch) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Opens an existing file.
    pub(super) fn open(&self, name: &str) -> io::Result<StoreFile> {
        let file = File::options().read(true).write(true).open(self.path(name))?;
        Ok(StoreFile { file, name: name.to_owned(), watch: self.watch.clone() })
    }

    /// Makes a new file that only its owner can read.
    pub(super) fn make(&self, name: &str) -> io::Result<StoreFile> {
        before(self.watch.as_ref(), &FileStep::Make { name })?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(self.path(name))?;
        Ok(StoreFile { file, name: name.to_owned(), watch: self.watch.clone() })
    }

    /// Renames a file, replacing one of the new name.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        before(self.watch.as_ref(), &FileStep::Rename { from, to })?;
        fs::rename(self.path(from), self.path(to))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        before(self.watch.as_ref(), &FileStep::Remove { name })?;
        fs::remove_file(self.path(name))
    }

    pub(super) fn sync_folder(&self, name: &str) -> io::Result<()> {
        before(self.watch.as_ref(), &FileStep::SyncFolder { name })?;
        File::open(self.path(name))?.sync_all()
    }
}

impl StoreFile {
    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        before(self.watch.as_ref(), &FileStep::Write { name: &self.name, at, bytes })?;
        self.file.write_all_at(bytes, at)
    }

    /// Makes the file's content and its length durable: `fdatasync`.
    pub(super) fn sync(&self) -> io::Result<()> {
        before(self.watch.as_ref(), &FileStep::Sync { name: &self.name })?;
        let began = stopwatch();
        let synced = self.file.sync_data();
        telemetry::observe_sync(began.elapsed());
        synced
    }

    pub(super) fn metadata(&self) -> io::Result<fs::Metadata> {
        self.file.metadata()
    }
}

fn before(watch: Option<&Arc<dyn FileWatch>>, step: &FileStep<'_>) -> io::Result<()> {
    watch.map_or(Ok(()), |watch| watch.before(step))
}

/// Makes a folder that only its owner can read.
pub(super) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| failed_io(format!("cannot make the folder `{}`", folder.display()), e))
}

pub(super) fn failed_io(context: String, source: io::Error) -> StoreError {
    StoreError::Io { context, source }
}
