//! What the database has acknowledged, as the node's own folder remembers it: a database that knows
//! less at the next start was restored from a backup, or is another one. And which incarnation of
//! the node wrote it: the folder's lock proves that this one is gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const NAME: &str = "database_tokens";

/// The incarnation, then the last number of each writer, a line for each, in a file of the data
/// folder.
pub(super) struct TokenFile(PathBuf);

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tokens {
    /// 0 before the first start.
    pub incarnation: i64,
    /// By writer.
    pub lasts: Vec<i64>,
}

impl TokenFile {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self(folder.join(NAME))
    }

    pub(super) fn read(&self) -> io::Result<Tokens> {
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tokens::default()),
            read => read?,
        };
        let numbers = text.lines().map(|line| line.parse().map_err(io::Error::other));
        let numbers = numbers.collect::<io::Result<Vec<i64>>>()?;
        let (incarnation, lasts) = numbers.split_first().ok_or(io::ErrorKind::InvalidData)?;
        Ok(Tokens { incarnation: *incarnation, lasts: lasts.to_vec() })
    }

    /// Replaces the file where a number has changed. It says at least what was acknowledged a
    /// moment ago.
    pub(super) fn write(&self, tokens: &Tokens) -> io::Result<()> {
        if self.read().is_ok_and(|kept| kept == *tokens) {
            return Ok(());
        }
        let next = self.0.with_extension("next");
        let numbers = [tokens.incarnation].into_iter().chain(tokens.lasts.iter().copied());
        let lines: String = numbers.map(|number| format!("{number}\n")).collect();
        fs::write(&next, lines)?;
        fs::rename(&next, &self.0)
    }

    /// Forgets what an accepted loss has taken.
    pub(super) fn forget(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}
