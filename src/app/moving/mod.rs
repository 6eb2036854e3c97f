//! Moves the books between a data folder and a database, either way.
//!
//! Both sides are marked, so that no daemon opens them. The rows of each kind go in pages; where a
//! move is cut off, the next run goes on behind the last page that the target has. Then what
//! follows from the rows is made, and both sides are read once more: only if they have the same
//! rows is the target opened, and the source stays closed.

mod digest;
mod folder;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::ChannelId;
use crate::domain::write_set::AuditEntry;
use crate::store::postgres::DatabaseBooks;
use crate::store::whole::{
    GivenNumbers, MoveMark, MoveRole, MoveState, in_columns, kind_name, kinds, row_name,
};
use crate::store::{CommitError, PAGE_MAX, RowPage, Store, StoreError, StoredRow};

use super::folder::FolderError;
use digest::{Differing, KindDigest, NamedRows, digest_of};

pub use folder::FolderBooks;

/// So many order numbers of each day and node are passed over.
const NUMBERS_PASSED: u64 = 10_000;
/// The most differences that are named one by one.
const NAMED_MAX: usize = 100;

/// Why the books were not moved. What was said of the marks holds: a daemon opens neither side that
/// has one.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("rows cannot be added to the folder")]
    Rows(#[source] CommitError),
    #[error("{0}")]
    Refused(String),
    #[error(
        "the sides differ in {count} rows; nothing was opened. Empty the target, take the mark off \
         the source with `--abandon`, and move again"
    )]
    Differences { count: usize, named: Vec<String> },
}

/// One side of a move.
pub enum BooksPlace {
    Folder(FolderBooks),
    Database(Box<DatabaseBooks>, String),
}

/// What was moved of a kind of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedKind {
    pub name: &'static str,
    pub rows: u64,
    /// Equal on both sides.
    pub digest: String,
}

/// Is told of the rows that are done, and of how many there are to do.
pub type MoveProgress<'a> = &'a dyn Fn(u64, u64);

impl BooksPlace {
    fn name(&self) -> String {
        match self {
            Self::Folder(folder) => folder.name(),
            Self::Database(_, url) => format!("the database {url}"),
        }
    }

    async fn mark(&self) -> Result<Option<MoveMark>, MoveError> {
        match self {
            Self::Folder(folder) => folder.mark(),
            Self::Database(database, _) => Ok(database.mark().await?),
        }
    }

    async fn set_mark(&self, mark: Option<&MoveMark>) -> Result<(), MoveError> {
        match self {
            Self::Folder(folder) => folder.set_mark(mark),
            Self::Database(database, _) => Ok(database.set_mark(mark).await?),
        }
    }

    async fn begin(&mut self, mark: &MoveMark, entry: &AuditEntry) -> Result<(), MoveError> {
        match self {
            Self::Folder(folder) => folder.begin(mark, entry).await,
            Self::Database(database, _) => Ok(database.begin(mark, entry).await?),
        }
    }

    fn store(&self) -> Result<&dyn Store, MoveError> {
        Ok(match self {
            Self::Folder(folder) => folder.store()?,
            Self::Database(database, _) => &**database,
        })
    }

    async fn count(&self) -> Result<u64, MoveError> {
        match self {
            Self::Folder(folder) => folder.count().await,
            Self::Database(database, _) => Ok(database.count_whole().await?),
        }
    }

    async fn add(&self, kind: usize, page: &RowPage, mark: &MoveMark) -> Result<(), MoveError> {
        match self {
            Self::Folder(folder) => folder.add(kind, &page.rows, mark).await,
            Self::Database(database, _) => Ok(database.add_whole(kind, &page.rows, mark).await?),
        }
    }

    async fn complete(
        &self,
        numbers: &[GivenNumbers],
        key_prints: &BTreeMap<String, String>,
    ) -> Result<(), MoveError> {
        match self {
            Self::Folder(folder) => folder.complete(numbers).await,
            Self::Database(database, _) => Ok(database.complete(numbers, key_prints).await?),
        }
    }

    /// The channels that an operator has switched off.
    async fn switched_off(&self) -> Result<BTreeSet<ChannelId>, MoveError> {
        match self {
            Self::Folder(folder) => Ok(folder.switches()?.off()),
            Self::Database(database, _) => Ok(database.switched_off().await?),
        }
    }

    /// Makes these the ones that are switched off.
    async fn switch_off(&self, channels: &BTreeSet<ChannelId>) -> Result<(), MoveError> {
        match self {
            Self::Folder(folder) => folder.switch_off(channels),
            Self::Database(database, _) => Ok(database.switch_off(channels).await?),
        }
    }

    /// Whether a place without a mark has no books any more.
    fn is_emptied(&self) -> bool {
        match self {
            Self::Folder(folder) => folder.store.is_none(),
            // It keeps its mark.
            Self::Database(..) => false,
        }
    }

    /// Closes the side that the books were moved from.
    async fn close(&mut self, mark: &MoveMark) -> Result<(), MoveError> {
        match self {
            Self::Folder(folder) => folder.put_aside(),
            Self::Database(database, _) => Ok(database
                .set_mark(Some(&MoveMark { state: MoveState::Whole, ..mark.clone() }))
                .await?),
        }
    }
}

/// Moves the books, or goes on where an earlier run was cut off. `key_prints` are those of the data
/// folder's keys; `entry` is the line of the audit trail that goes with the books, and `id` names
/// the move if it is a new one.
///
/// # Errors
/// If a side is at work, the target has books of its own, the keys do not fit, a row is damaged,
/// or the sides differ in the end.
pub async fn move_books(
    (from, to): (&mut BooksPlace, &mut BooksPlace),
    key_prints: &BTreeMap<String, String>,
    (entry, id): (&AuditEntry, String),
    progress: MoveProgress<'_>,
) -> Result<Vec<MovedKind>, MoveError> {
    let (source, mut target) = match (from.mark().await?, to.mark().await?) {
        (source, Some(target)) if is_whole(from, source.as_ref(), &target) => {
            if let Some(source) = source {
                from.close(&source).await?;
            }
            to.set_mark(None).await?;
            return Ok(Vec::new());
        }
        (source, target) => {
            if let BooksPlace::Database(database, _) = &*from {
                database.check_has_all().await?;
            }
            begin((from, to), (source, target), key_prints, (entry, id)).await?
        }
    };
    let all = from.count().await?;
    copy((from, to), &mut target, &|done| progress(done, all * 3)).await?;
    let passed = |one: &GivenNumbers| GivenNumbers { given: one.given + NUMBERS_PASSED, ..*one };
    let numbers = from.store()?.given_numbers().await?;
    let numbers: Vec<_> = numbers.iter().map(passed).collect();
    to.switch_off(&from.switched_off().await?).await?;
    to.complete(&numbers, key_prints).await?;
    let moved = compare((from, to), &|done| progress(all + done, all * 3)).await?;
    to.set_mark(Some(&MoveMark { state: MoveState::Whole, ..target })).await?;
    from.close(&source).await?;
    to.set_mark(None).await?;
    Ok(moved)
}

/// Whether only the marks of a move are left to do. Where the source has lost its mark and has
/// books, somebody may have gone on with them: a second place with the same books is not opened.
fn is_whole(from: &BooksPlace, source: Option<&MoveMark>, target: &MoveMark) -> bool {
    let is_target = target.role == MoveRole::Target && target.state == MoveState::Whole;
    is_target && source.map_or_else(|| from.is_emptied(), |source| source.id == target.id)
}

/// Marks both sides, the source first, or finds the marks of this move on them.
async fn begin(
    (from, to): (&mut BooksPlace, &mut BooksPlace),
    marks: (Option<MoveMark>, Option<MoveMark>),
    key_prints: &BTreeMap<String, String>,
    (entry, id): (&AuditEntry, String),
) -> Result<(MoveMark, MoveMark), MoveError> {
    let source = match marks {
        (Some(source), Some(target)) => {
            let fit = source.id == target.id
                && (source.role, target.role) == (MoveRole::Source, MoveRole::Target);
            // What has gone to one place as a whole goes to no second one.
            if !fit || source.state == MoveState::Whole {
                return Err(MoveError::Refused(format!("{}: {source}", from.name())));
            }
            return Ok((source, target));
        }
        (None, Some(target)) => {
            return Err(MoveError::Refused(format!("{}: {target}", to.name())));
        }
        (Some(source), None)
            if source.role == MoveRole::Target || source.state == MoveState::Whole =>
        {
            return Err(MoveError::Refused(format!("{}: {source}", from.name())));
        }
        (source, None) => source,
    };
    from.store()?;
    check_keys(from, to, key_prints).await?;
    let has = to.count().await?;
    if has > 0 {
        return Err(MoveError::Refused(format!(
            "{} has books of its own, {has} rows; books are moved to where there are none",
            to.name()
        )));
    }
    let mark = |role, other| MoveMark {
        id: id.clone(),
        role,
        state: MoveState::UnderWay,
        other,
        kind: 0,
        last: None,
    };
    let marks = (mark(MoveRole::Source, to.name()), mark(MoveRole::Target, from.name()));
    match source {
        None => from.begin(&marks.0, entry).await?,
        // Another target may have a mark of the earlier run: it is no side of this move.
        Some(_) => from.set_mark(Some(&marks.0)).await?,
    }
    to.begin(&marks.1, entry).await?;
    Ok(marks)
}

/// The keys of the data folder are those that the database was used with, if it was.
async fn check_keys(
    from: &BooksPlace,
    to: &BooksPlace,
    key_prints: &BTreeMap<String, String>,
) -> Result<(), MoveError> {
    for place in [from, to] {
        let BooksPlace::Database(database, _) = place else { continue };
        for (name, print) in database.key_prints().await? {
            if key_prints.get(&name) != Some(&print) {
                return Err(MoveError::Refused(format!(
                    "{} was used with another key `{name}` than the data folder has: move with the \
                     data folder whose keys belong to the books",
                    place.name()
                )));
            }
        }
    }
    Ok(())
}

/// Rows as the target will show them.
async fn page_for(
    target: &BooksPlace,
    from: &BooksPlace,
    kind: usize,
    after: Option<Vec<u8>>,
) -> Result<RowPage, MoveError> {
    let mut page = from.store()?.whole_page(kind, after, PAGE_MAX).await?;
    if matches!(target, BooksPlace::Database(..)) && matches!(from, BooksPlace::Folder(_)) {
        let rows = page.rows.into_iter().map(|row| in_columns(kind, row));
        page.rows = rows.collect::<Result<_, _>>()?;
    }
    Ok(page)
}

async fn copy(
    (from, to): (&BooksPlace, &BooksPlace),
    mark: &mut MoveMark,
    progress: &dyn Fn(u64),
) -> Result<(), MoveError> {
    let mut done = 0;
    while mark.kind < kinds() {
        let page = page_for(to, from, mark.kind, mark.last.take()).await?;
        let kind = mark.kind;
        match &page.last {
            Some(last) => mark.last = Some(last.clone()),
            None => mark.kind += 1,
        }
        to.add(kind, &page, mark).await?;
        done += u64::try_from(page.rows.len()).unwrap_or(0);
        progress(done);
    }
    Ok(())
}

/// Reads both sides whole, and names the rows in which they differ.
async fn compare(
    (from, to): (&BooksPlace, &BooksPlace),
    progress: &dyn Fn(u64),
) -> Result<Vec<MovedKind>, MoveError> {
    let (mut moved, mut done, mut named) = (Vec::new(), 0, Vec::new());
    for kind in 0..kinds() {
        let mut read = async |place| {
            let mut digest = KindDigest::new();
            each(to, place, kind, &mut |row| digest.add(row), &mut |rows| {
                done += rows;
                progress(done);
            })
            .await?;
            Ok::<_, MoveError>(digest)
        };
        let (source, target) = (read(from).await?, read(to).await?);
        let differing = source.differing(&target);
        if !differing.is_nowhere() {
            let found = differences((from, to), kind, &differing).await?;
            if found.is_empty() {
                named.push(format!("{}: a row is there twice", kind_name(kind)));
            }
            named.extend(found);
        }
        moved.push(MovedKind { name: kind_name(kind), rows: source.rows, digest: source.hex() });
    }
    if named.is_empty() {
        return Ok(moved);
    }
    let count = named.len();
    named.truncate(NAMED_MAX);
    Err(MoveError::Differences { count, named })
}

/// Visits all rows of a kind, as the target shows them.
async fn each(
    target: &BooksPlace,
    place: &BooksPlace,
    kind: usize,
    visit: &mut dyn FnMut(&StoredRow),
    progress: &mut dyn FnMut(u64),
) -> Result<(), MoveError> {
    let mut after = None;
    loop {
        let page = page_for(target, place, kind, after).await?;
        page.rows.iter().for_each(&mut *visit);
        progress(u64::try_from(page.rows.len()).unwrap_or(0));
        match page.last {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

async fn differences(
    (from, to): (&BooksPlace, &BooksPlace),
    kind: usize,
    differing: &Differing,
) -> Result<Vec<String>, MoveError> {
    let read = async |place| {
        let mut rows = NamedRows::new();
        let mut keep = |row: &StoredRow| {
            if differing.has(row) {
                let named = (digest_of(row), row_name(kind, row));
                rows.insert(row.identity().to_vec(), named);
            }
        };
        each(to, place, kind, &mut keep, &mut |_| {}).await?;
        Ok::<_, MoveError>(rows)
    };
    let (source, target) = (read(from).await?, read(to).await?);
    let mut named = Vec::new();
    for (key, (digest, name)) in &source {
        match target.get(key) {
            None => named.push(format!("{name}: it is missing in {}", to.name())),
            Some((other, _)) if other != digest => named.push(format!("{name}: it differs")),
            Some(_) => {}
        }
    }
    let alone = target.iter().filter(|(key, _)| !source.contains_key(*key));
    named.extend(alone.map(|(_, (_, name))| format!("{name}: it is in {} alone", to.name())));
    Ok(named)
}

/// Takes the mark off books from which a move was begun that will not be whole.
///
/// # Errors
/// If there is no such mark: what is moved here, or was moved from here, stays closed. So does what
/// the target has all of, whose opening the next run completes.
pub async fn abandon(from: &BooksPlace, to: &BooksPlace) -> Result<(), MoveError> {
    match from.mark().await? {
        Some(mark) if (mark.role, mark.state) == (MoveRole::Source, MoveState::UnderWay) => {
            if to.mark().await?.is_some_and(|target| is_whole(from, Some(&mark), &target)) {
                return Err(MoveError::Refused(format!(
                    "{} has all of the books: run `switchyard store move` again, which opens them \
                     there",
                    to.name()
                )));
            }
            from.set_mark(None).await
        }
        Some(mark) => Err(MoveError::Refused(format!("{}: {mark}", from.name()))),
        None => Err(MoveError::Refused(format!("no move goes from {}", from.name()))),
    }
}
