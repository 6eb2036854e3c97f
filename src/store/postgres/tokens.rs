//! What the database has acknowledged, as the node's own folder remembers it: a database that knows
//! less at the next start was restored from a backup, or is another one. And which incarnation of
//! the node wrote it: the folder's lock proves that this one is gone, but not so in a copy of the
//! folder, and not for another node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const NAME: &str = "database_tokens";

/// A file of the data folder: node, incarnation and the folder's place in its first line, then the
/// last number of each writer, a line for each.
pub(super) struct TokenFile {
    file: PathBuf,
    node: u16,
    folder: String,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tokens {
    /// 0 before the first start, and in a copy of the folder.
    pub incarnation: i64,
    /// By writer.
    pub lasts: Vec<i64>,
}

impl TokenFile {
    /// That of a node in its data folder.
    pub(super) fn of(node: u16, folder: &Path) -> Self {
        let place = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        Self { file: folder.join(NAME), node, folder: place.display().to_string() }
    }

    /// What this node has written; nothing where another one has.
    pub(super) fn read(&self) -> io::Result<Tokens> {
        let text = match fs::read_to_string(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tokens::default()),
            read => read?,
        };
        let mut lines = text.lines();
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        let mut words = lines.next().ok_or_else(damaged)?.splitn(3, ' ');
        let mut word = || words.next().ok_or_else(damaged);
        let (node, incarnation, folder) = (word()?, word()?, word()?);
        if node.parse::<u16>().map_err(io::Error::other)? != self.node {
            return Ok(Tokens::default());
        }
        let incarnation = incarnation.parse().map_err(io::Error::other)?;
        let lasts = lines.map(|line| line.parse().map_err(io::Error::other));
        Ok(Tokens {
            incarnation: if folder == self.folder { incarnation } else { 0 },
            lasts: lasts.collect::<io::Result<_>>()?,
        })
    }

    /// Replaces the file where a number has changed. It says at least what was acknowledged a
    /// moment ago.
    pub(super) fn write(&self, tokens: &Tokens) -> io::Result<()> {
        if self.read().is_ok_and(|kept| kept == *tokens) {
            return Ok(());
        }
        let next = self.file.with_extension("next");
        let head = format!("{} {} {}\n", self.node, tokens.incarnation, self.folder);
        let lines = tokens.lasts.iter().map(|number| format!("{number}\n"));
        fs::write(&next, [head].into_iter().chain(lines).collect::<String>())?;
        fs::rename(&next, &self.file)
    }

    /// Forgets what an accepted loss has taken.
    pub(super) fn forget(&self) -> io::Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_folder_and_another_node_prove_nothing() {
        let scratch = tempfile::tempdir().expect("a folder");
        let (own, copy) = (scratch.path().join("own"), scratch.path().join("a copy"));
        fs::create_dir(&own).expect("a folder");
        fs::create_dir(&copy).expect("a folder");
        let file = TokenFile::of(7, &own);
        assert_eq!(file.read().expect("none yet"), Tokens::default());
        let tokens = Tokens { incarnation: 3, lasts: vec![12, 0] };
        file.write(&tokens).expect("it is written");
        assert_eq!(file.read().expect("readable"), tokens);
        assert_eq!(TokenFile::of(8, &own).read().expect("readable"), Tokens::default());
        fs::copy(own.join(NAME), copy.join(NAME)).expect("a copy");
        let copied = TokenFile::of(7, &copy).read().expect("readable");
        assert_eq!(copied, Tokens { incarnation: 0, ..tokens });
        for damaged in ["", "7", "7 x /own", "7 3 /own\nx"] {
            fs::write(own.join(NAME), damaged).expect("a file");
            assert!(file.read().is_err(), "{damaged}");
        }
    }
}
