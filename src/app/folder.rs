//! The data folder as a whole: initialised once, private to its owner, recognised by its marker.
//!
//! The first start writes the marker first and completes it last, with fingerprints of the keys
//! that the folder is used with. A folder that was in use is never initialised again: if its
//! marker, its books or a key is missing, or a key is another one, the daemon does not start.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::move_mark;
use crate::store::StoreError;
use crate::store::embedded::{BooksContent, EmbeddedStore};
use crate::store::whole::MoveMark;

/// Where the books lie, below the data folder.
pub const BOOKS: &str = "books";
/// Where they lie, for nobody, once they were moved to a database.
pub const MOVED: &str = "books.moved";
/// Where the keys lie.
pub const KEYS: &str = "keys";
const MARKER: &str = "installation";
const FIRST_LINE: &str = "a data folder of switchyard, and the fingerprints of its keys";
/// The permission bits of group and others.
const OF_OTHERS: u32 = 0o077;

/// Why the data folder cannot be used. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("the data folder: `{}` cannot be read or written", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the data folder was in use, yet `{}` is missing: restore the backup of the whole data \
         folder",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error("`{}` cannot be parsed: restore the backup of the whole data folder", path.display())]
    Form { path: PathBuf },
    #[error(
        "`{}` holds books of the embedded store, and store.url names a database: leave store.url \
         empty, or name a data folder without books",
        path.display()
    )]
    OtherBooks { path: PathBuf },
    #[error(
        "`{}` is not there: books in a database are backed up by the database's own means \
         (pg_basebackup, pg_dump); copy the data folder's other files beside them",
        path.display()
    )]
    NoBooks { path: PathBuf },
    #[error("the data folder `{}` is closed: {mark}", path.display())]
    Moving { path: PathBuf, mark: MoveMark },
    #[error(
        "the books of this folder were moved to a database (as they were then, they lie in `{}`): \
         name the database in store.url",
        path.display()
    )]
    Moved { path: PathBuf },
    #[error(transparent)]
    Books(#[from] StoreError),
}

/// The data folder of one daemon.
pub struct DataFolder {
    path: PathBuf,
    /// Fingerprints of keys, by the keys' names; empty during the first start.
    keys: BTreeMap<String, String>,
}

impl DataFolder {
    /// Initialises an empty folder, or recognises one that was in use. `beside_database`: the books
    /// lie in a database, and none may lie here.
    pub fn open(path: &Path, beside_database: bool) -> Result<Self, FolderError> {
        let io = |source| FolderError::Io { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        close_to_others(path);
        let marker = path.join(MARKER);
        let keys = match fs::read_to_string(&marker) {
            Ok(text) => Some(parse(&text).ok_or(FolderError::Form { path: marker.clone() })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(FolderError::Io { path: marker, source }),
        };
        let mark = path.join(move_mark::MARK);
        if let Some(mark) =
            move_mark::read(path).map_err(|source| FolderError::Io { path: mark, source })?
        {
            return Err(FolderError::Moving { path: path.to_owned(), mark });
        }
        let books = path.join(BOOKS);
        let held = EmbeddedStore::content(&books)?;
        if beside_database && held != BooksContent::Nothing {
            return Err(FolderError::OtherBooks { path: books });
        }
        let Some(keys) = keys else {
            if path.join(KEYS).exists() || books.exists() {
                return Err(FolderError::Missing { path: marker });
            }
            let mut folder = Self { path: path.to_owned(), keys: BTreeMap::new() };
            folder.write(BTreeMap::new())?;
            return Ok(folder);
        };
        match held {
            // The first start was cut off before anything was answered.
            BooksContent::Nothing | BooksContent::NoRows if keys.is_empty() => {}
            BooksContent::Rows if keys.is_empty() => {
                return Err(FolderError::Form { path: marker });
            }
            BooksContent::Nothing if !beside_database && path.join(MOVED).exists() => {
                return Err(FolderError::Moved { path: path.join(MOVED) });
            }
            BooksContent::Nothing if !beside_database => {
                return Err(FolderError::Missing { path: books });
            }
            BooksContent::Nothing | BooksContent::NoRows | BooksContent::Rows => {}
        }
        Ok(Self { path: path.to_owned(), keys })
    }

    /// The fingerprints of the keys that a folder was used with.
    ///
    /// # Errors
    /// If the folder was not used yet, or its marker cannot be read.
    pub fn fingerprints(path: &Path) -> Result<BTreeMap<String, String>, FolderError> {
        let marker = path.join(MARKER);
        match fs::read_to_string(&marker) {
            Ok(text) => parse(&text).ok_or(FolderError::Form { path: marker }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FolderError::Missing { path: marker })
            }
            Err(source) => Err(FolderError::Io { path: marker, source }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The fingerprint of a key that the folder was used with.
    pub fn fingerprint(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// Completes the first start, or records keys that were added since. The books must be open.
    pub fn keep(&mut self, keys: BTreeMap<String, String>) -> Result<(), FolderError> {
        let mut all = self.keys.clone();
        all.extend(keys);
        if all == self.keys { Ok(()) } else { self.write(all) }
    }

    fn write(&mut self, keys: BTreeMap<String, String>) -> Result<(), FolderError> {
        let path = self.path.join(MARKER);
        let fresh = self.path.join(format!("{MARKER}.next"));
        let lines = keys.iter().map(|(name, fingerprint)| format!("{name} {fingerprint}\n"));
        let text = format!("{FIRST_LINE}\n{}", lines.collect::<String>());
        let write = || {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| FolderError::Io { path: path.clone(), source })?;
        self.keys = keys;
        Ok(())
    }
}

fn parse(text: &str) -> Option<BTreeMap<String, String>> {
    let mut lines = text.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let pair = |line: &str| {
        let (name, fingerprint) = line.split_once(' ')?;
        let is_hex = fingerprint.len() == 16 && fingerprint.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then(|| (name.to_owned(), fingerprint.to_owned()))
    };
    lines.map(pair).collect()
}

/// Takes the permissions of group and others away. The daemon may not own every file, so one that
/// cannot be changed is logged, and the daemon goes on.
fn close_to_others(folder: &Path) {
    let (mut closed, mut left) = (0_u64, 0_u64);
    let open = |found: &fs::Metadata| found.permissions().mode() & OF_OTHERS != 0;
    // Others do not reach files in a closed folder, whatever the files' own permissions are.
    let was_open = fs::symlink_metadata(folder).is_ok_and(|found| open(&found));
    let mut waiting = vec![folder.to_owned()];
    // Bounded by the folder's files; links are not followed.
    while let Some(path) = waiting.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_symlink() {
            continue;
        }
        if open(&found) {
            let mode = found.permissions().mode();
            match fs::set_permissions(&path, Permissions::from_mode(mode & !OF_OTHERS)) {
                Ok(()) => closed += 1,
                Err(_) => left += 1,
            }
        }
        if found.is_dir() {
            let inside = fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(inside.map(|file| file.path()));
        }
    }
    let folder = folder.display();
    if was_open && closed > 0 {
        tracing::warn!(closed, %folder, "the data folder was open to others; it is closed now");
    }
    if left > 0 {
        tracing::error!(
            left, %folder,
            "files of the data folder are another user's and open to others; close them"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_whole_or_not_at_all() {
        let line = "seal 0123456789abcdef";
        let whole = format!("{FIRST_LINE}\n{line}\n");
        let keys = parse(&whole).expect("a marker");
        assert_eq!(keys.get("seal").map(String::as_str), Some("0123456789abcdef"));
        assert_eq!(parse(&format!("{FIRST_LINE}\n")), Some(BTreeMap::new()));
        for bad in ["", line, &whole[1..], &whole[..whole.len() - 3], &format!("{whole}digest\n")] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
