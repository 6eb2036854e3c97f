//! What the database has acknowledged, as the node's own folder remembers it: a database that knows
//! less at the next start was restored from a backup, or is another one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const NAME: &str = "database_tokens";

/// The last number of each writer, a line for each, in a file of the data folder.
pub(super) struct TokenFile(PathBuf);

impl TokenFile {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self(folder.join(NAME))
    }

    /// The numbers, by writer; none before the first start.
    pub(super) fn read(&self) -> io::Result<Vec<i64>> {
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read?,
        };
        text.lines().map(|line| line.parse().map_err(io::Error::other)).collect()
    }

    /// Replaces the file where a number has changed. It says at least what was acknowledged a
    /// moment ago.
    pub(super) fn write(&self, lasts: &[i64]) -> io::Result<()> {
        if self.read().is_ok_and(|kept| kept == lasts) {
            return Ok(());
        }
        let next = self.0.with_extension("next");
        let lines: String = lasts.iter().map(|last| format!("{last}\n")).collect();
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
