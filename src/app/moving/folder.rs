//! The books of a data folder as one side of a move.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::app::folder::{BOOKS, FolderError, MOVED};
use crate::app::move_mark;
use crate::channel::registry::{BadSwitches, Switches};
use crate::domain::ids::ChannelId;
use crate::domain::write_set::AuditEntry;
use crate::store::StoredRow;
use crate::store::embedded::{BooksContent, EmbeddedSettings, EmbeddedStore};
use crate::store::whole::{GivenNumbers, MoveMark, MoveRole};

use super::MoveError;

/// Books in a data folder, which this process has for itself.
pub struct FolderBooks {
    data: PathBuf,
    pub(super) store: Option<EmbeddedStore>,
}

impl FolderBooks {
    /// Takes the books of a data folder. Where there are none, they are made once a mark stands.
    ///
    /// # Errors
    /// If a daemon works on them, or they are not whole.
    pub fn open(data: &Path) -> Result<Self, MoveError> {
        let books = data.join(BOOKS);
        let is_there = EmbeddedStore::content(&books)? != BooksContent::Nothing;
        let mut folder = Self { data: data.to_owned(), store: None };
        let comes_here = |mark: &MoveMark| mark.role == MoveRole::Target;
        if is_there || folder.mark()?.as_ref().is_some_and(comes_here) {
            folder.take()?;
        }
        Ok(folder)
    }

    fn take(&mut self) -> Result<(), MoveError> {
        let books = self.data.join(BOOKS);
        let store = EmbeddedStore::open(&books, &EmbeddedSettings::default())?;
        if store.is_copy() {
            return Err(MoveError::Refused(format!(
                "`{}` is a copy or was restored, and its order numbers have yet to leap: start the \
                 daemon on it once, stop it, and move then",
                self.data.display()
            )));
        }
        self.store = Some(store);
        Ok(())
    }

    pub(super) fn name(&self) -> String {
        format!("the data folder `{}`", self.data.display())
    }

    fn io(&self, source: io::Error) -> MoveError {
        MoveError::Folder(FolderError::Io { path: self.data.join(move_mark::MARK), source })
    }

    pub(super) fn mark(&self) -> Result<Option<MoveMark>, MoveError> {
        move_mark::read(&self.data).map_err(|source| self.io(source))
    }

    pub(super) fn set_mark(&self, mark: Option<&MoveMark>) -> Result<(), MoveError> {
        move_mark::write(&self.data, mark).map_err(|source| self.io(source))
    }

    pub(super) async fn begin(
        &mut self,
        mark: &MoveMark,
        entry: &AuditEntry,
    ) -> Result<(), MoveError> {
        if mark.role == MoveRole::Source && self.data.join(MOVED).exists() {
            return Err(MoveError::Refused(format!(
                "`{}` is there from an earlier move; put it aside first",
                self.data.join(MOVED).display()
            )));
        }
        // The line first: behind the mark, a run that goes on would not write it.
        if let (Some(store), MoveRole::Source) = (&self.store, mark.role) {
            store.note(entry).await.map_err(MoveError::Rows)?;
        }
        self.set_mark(Some(mark))?;
        if self.store.is_none() { self.take() } else { Ok(()) }
    }

    pub(super) fn store(&self) -> Result<&EmbeddedStore, MoveError> {
        let none = || MoveError::Refused(format!("{} has no books", self.name()));
        self.store.as_ref().ok_or_else(none)
    }

    pub(super) async fn count(&self) -> Result<u64, MoveError> {
        match &self.store {
            Some(store) => Ok(store.count_whole().await?),
            None => Ok(0),
        }
    }

    pub(super) async fn add(
        &self,
        kind: usize,
        rows: &[StoredRow],
        mark: &MoveMark,
    ) -> Result<(), MoveError> {
        self.store()?.add_whole(kind, rows).await.map_err(MoveError::Rows)?;
        self.set_mark(Some(mark))
    }

    pub(super) async fn complete(&self, numbers: &[GivenNumbers]) -> Result<(), MoveError> {
        for one in numbers {
            self.store()?.pass_numbers(*one).await.map_err(MoveError::Rows)?;
        }
        Ok(())
    }

    pub(super) fn switches(&self) -> Result<Switches, MoveError> {
        let unreadable = |BadSwitches { file, line, text }| {
            MoveError::Refused(format!("{file}:{line}: {text}; mend or remove the file"))
        };
        Switches::load(&self.data).map_err(unreadable)
    }

    pub(super) fn switch_off(&self, channels: &BTreeSet<ChannelId>) -> Result<(), MoveError> {
        let switches = self.switches()?;
        if switches.off() == *channels {
            return Ok(());
        }
        let set = switches.set_off(channels.clone());
        set.map_err(|source| FolderError::Io { path: switches.path().to_owned(), source }.into())
    }

    /// Puts the books that are elsewhere now out of a daemon's way.
    pub(super) fn put_aside(&mut self) -> Result<(), MoveError> {
        self.store = None;
        let (books, aside) = (self.data.join(BOOKS), self.data.join(MOVED));
        match fs::rename(&books, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && aside.exists() => {}
            Err(source) => return Err(FolderError::Io { path: aside, source }.into()),
            // No loss of power leaves books without a mark.
            Ok(()) => {
                let synced = File::open(&self.data).and_then(|folder| folder.sync_all());
                synced.map_err(|source| FolderError::Io { path: self.data.clone(), source })?;
            }
        }
        self.set_mark(None)
    }
}
