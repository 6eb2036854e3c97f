//! Backups of the whole data folder: the books as they are at one moment, and the files beside
//! them.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::SystemTime;

use super::folder::{BOOKS, FolderError};
use crate::store::embedded::{self, BackupReport};

/// Where the files beside the books lie in a backup.
const FILES: &str = "files";

/// Copies the data folder `data` into the folder `to`, which holds an earlier backup of it or
/// nothing. A daemon may be working on `data`. The keys are copied too: guard the backup as well as
/// the original.
pub fn back_up(data: &Path, to: &Path) -> Result<BackupReport, FolderError> {
    let io = |source| FolderError::Io { path: to.to_owned(), source };
    if !data.join(BOOKS).is_dir() {
        return Err(FolderError::NoBooks { path: data.join(BOOKS) });
    }
    make_folder(to).map_err(io)?;
    let report = embedded::back_up(&data.join(BOOKS), &to.join(BOOKS))?;
    mirror(data, &to.join(FILES), &[BOOKS]).map_err(io)?;
    Ok(report)
}

/// Makes the data folder `data`, which must be absent or empty, from a backup. A daemon that starts
/// on it skips every order number that the original may have given out since.
pub fn restore(from: &Path, data: &Path) -> Result<BackupReport, FolderError> {
    let io = |source| FolderError::Io { path: data.to_owned(), source };
    if fs::read_dir(data).is_ok_and(|mut files| files.next().is_some()) {
        return Err(io(io::Error::other("the folder is not empty; name a new one")));
    }
    for part in [FILES, BOOKS] {
        if !from.join(part).is_dir() {
            return Err(FolderError::Missing { path: from.join(part) });
        }
    }
    make_folder(data).map_err(io)?;
    // The marker is copied last: a folder whose restore was cut off does not start.
    let report = embedded::restore(&from.join(BOOKS), &data.join(BOOKS))?;
    mirror(&from.join(FILES), data, &[BOOKS]).map_err(io)?;
    Ok(report)
}

/// Makes `to` a copy of `from`, except for the names in `but`. A file of the same length and
/// modification time is not copied again; a file that `from` does not have is removed.
fn mirror(from: &Path, to: &Path, but: &[&str]) -> io::Result<()> {
    make_folder(to)?;
    let mut names = Vec::new();
    for file in fs::read_dir(from)? {
        let file = file?;
        let name = file.file_name();
        if but.iter().any(|but| name == **but) {
            continue;
        }
        let (here, there) = (file.path(), to.join(&name));
        match file.file_type() {
            Ok(kind) if kind.is_dir() => mirror(&here, &there, &[])?,
            Ok(_) if is_alike(&here, &there) => {}
            // The file may be gone by now: a daemon replaces files under the same name.
            Ok(_) => match copy(&here, &there) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                copied => copied?,
            },
            Err(error) => return Err(error),
        }
        names.push(name);
    }
    for file in fs::read_dir(to)? {
        let file = file?;
        let is_kept = names.contains(&file.file_name());
        if is_kept || but.iter().any(|but| file.file_name() == **but) {
            continue;
        }
        if file.file_type()?.is_dir() {
            fs::remove_dir_all(file.path())?;
        } else {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

fn is_alike(one: &Path, other: &Path) -> bool {
    let of = |path: &Path| -> Option<(u64, SystemTime)> {
        let found = fs::metadata(path).ok()?;
        Some((found.len(), found.modified().ok()?))
    };
    of(one).is_some_and(|about| of(other) == Some(about))
}

/// Copies a file with its permissions and modification time, durably.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let next = to.with_extension("copying");
    let _left_behind = fs::remove_file(&next);
    fs::copy(from, &next)?;
    let file = fs::File::open(&next)?;
    file.set_modified(fs::metadata(from)?.modified()?)?;
    file.sync_all()?;
    fs::rename(next, to)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
