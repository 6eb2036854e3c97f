//! The definition of a table's rows, and the reads and plans that follow from it for every table.
//!
//! A read skips an index entry whose row has changed meanwhile: the row is then found under its
//! next entry.

use std::collections::BTreeSet;

use crate::domain::ids::Shards;
use crate::domain::time::DueWindow;
use crate::domain::write_set::WriteSet;

use super::form::millis;
use super::key::{Parts, bounds};
use super::plan::CommitPlan;
use super::sorted::{Scan, SortedRows, StoreResult, onward, page};
use super::sql::step::{SqlPlan, Step};
#[cfg(test)]
use super::table::tests::SampleTable as Listed;
use super::{CommitError, PAGE_MAX};
/// A listed table; in tests it has samples too.
#[cfg(not(test))]
use Table as Listed;

/// A kind of row: its key, its stored form, and its guard in a commit.
pub(super) trait Table {
    type Row;

    /// The table's name in errors.
    const NAME: &'static str;

    /// The first bytes of its keys, the rows' own first, each with the name of its content for the
    /// error about books that are not whole.
    const LETTERS: &'static [(u8, &'static str)];

    const LETTER: u8 = Self::LETTERS[0].0;

    /// The number of letters, from the first, that are of rows; the others are of its index.
    const ROW_LETTERS: usize = 1;

    /// The first bytes of keys that are not in order of time and that are often looked up in vain:
    /// a store keeps a filter for them.
    const SCATTERED: &'static [u8] = &[];

    fn key(row: &Self::Row) -> Vec<u8>;

    /// Encodes the fields that are not in the key.
    fn encode(row: &Self::Row) -> Vec<u8>;

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<Self::Row>;

    /// Reads the fields that a store needs, without reading the whole row.
    fn reads_head(_key: &[u8], _bytes: &[u8]) -> StoreResult<()> {
        Ok(())
    }

    /// Adds the table's part of a write set, with its guards.
    fn plan(writes: &WriteSet, plan: &mut CommitPlan);

    /// The statements of a commit that the table has in SQL, in the order in which they are carried
    /// out.
    fn sql_steps() -> Vec<Step>;

    /// Adds what a write set has for those.
    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError>;
}

/// A table whose rows count their versions, and may have index entries.
pub(super) trait Versioned: Table {
    fn version(row: &Self::Row) -> u32;

    /// The version that guards a stored row, and its index entries.
    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head>;
}

/// See [`Versioned::head`].
#[derive(Debug)]
pub(super) struct Head {
    pub version: u32,
    pub entries: Entries,
}

/// The index entries that a row has.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Each ends in the row's identity, which is its key without the letter, and has an empty
    /// value.
    pub plain: Vec<Vec<u8>>,
    /// Each belongs to one row only, and its value is that row's identity.
    pub unique: Vec<Vec<u8>>,
}

impl Entries {
    /// Adds an entry with this prefix to those of the row with this key.
    pub(super) fn add(&mut self, mut prefix: Vec<u8>, key: &[u8]) {
        prefix.extend_from_slice(identity(key));
        self.plain.push(prefix);
    }

    fn has(&self, entry: &[u8]) -> bool {
        self.plain.iter().chain(&self.unique).any(|own| own == entry)
    }
}

/// A key without its table's letter.
pub(super) fn identity(key: &[u8]) -> &[u8] {
    key.get(1..).unwrap_or_default()
}

/// Adds rows that must not exist yet.
pub(super) fn plan_new<T: Table>(rows: &[T::Row], plan: &mut CommitPlan) {
    for row in rows {
        plan.insert(T::key(row), T::encode(row));
    }
}

/// Adds rows that are each new with version 1, or replace the previous version.
pub(super) fn plan_put<'a, T: Versioned>(
    rows: impl IntoIterator<Item = &'a T::Row>,
    plan: &mut CommitPlan,
) where
    T::Row: 'a,
{
    for row in rows {
        plan.put(T::key(row), T::version(row), T::encode(row), T::head);
    }
}

/// The row with this key.
pub(super) fn get<T: Table>(rows: SortedRows<'_>, key: &[u8]) -> StoreResult<Option<T::Row>> {
    rows.get(key)?.map(|row| T::decode(key, &row)).transpose()
}

/// A table's rows whose keys have this prefix, in order, after the key `after`.
pub(super) fn list_rows<T: Table>(
    rows: SortedRows<'_>,
    prefix: &[u8],
    after: Option<Vec<u8>>,
    limit: usize,
) -> StoreResult<Vec<T::Row>> {
    page(rows, onward(prefix, after), limit, |key, row| T::decode(key, row).map(Some))
}

/// The rows that index entries between two bounds point to. The row's identity begins at `at` in
/// each entry.
pub(super) fn list_indexed<T: Versioned>(
    rows: SortedRows<'_>,
    bounds: (Vec<u8>, Vec<u8>),
    at: usize,
    limit: usize,
) -> StoreResult<Vec<T::Row>> {
    list_indexed_of::<T>(rows, bounds, at, limit, |_| Ok(true))
}

/// The same of the identities that are wanted.
fn list_indexed_of<T: Versioned>(
    rows: SortedRows<'_>,
    bounds: (Vec<u8>, Vec<u8>),
    at: usize,
    limit: usize,
    wanted: impl Fn(Parts<'_>) -> StoreResult<bool>,
) -> StoreResult<Vec<T::Row>> {
    page(rows, bounds, limit, |entry, _| {
        if !wanted(Parts::from(entry, at))? {
            return Ok(None);
        }
        let key = [&[T::LETTER], entry.get(at..).unwrap_or_default()].concat();
        let Some(row) = rows.get(&key)? else { return Ok(None) };
        let is_its_own = T::head(&key, &row)?.entries.has(entry);
        is_its_own.then(|| T::decode(&key, &row)).transpose()
    })
}

/// The due rows of an index by time whose entries have this prefix: those whose time has come,
/// followed by those that are dated too far ahead.
pub(super) fn due_rows<T: Versioned>(
    rows: SortedRows<'_>,
    prefix: &[u8],
    due: DueWindow,
    limit: usize,
) -> StoreResult<Vec<T::Row>> {
    let behind = |moment| [prefix, &(millis(moment) + 1).to_be_bytes()].concat();
    let at = prefix.len() + 8;
    let (begin, end) = bounds(prefix);
    // Every row that waits is known by a number of the orders' sequence, or begins with one.
    let shards = due.shards();
    let wanted =
        |mut identity: Parts<'_>| Ok(shards == Shards::EVERY || shards.has(identity.order()?));
    let list = |bounds, limit| list_indexed_of::<T>(rows, bounds, at, limit, wanted);
    let mut found = list((begin, behind(due.now())), limit)?;
    let rest = limit.saturating_sub(found.len());
    found.extend(list((behind(due.bound()), end), rest)?);
    Ok(found)
}

/// The rows after `after` in order of their keys, from an index of another order: the whole index
/// is read for the smallest keys. `still` tells whether a row belongs to it.
pub(super) fn smallest<T: Versioned>(
    rows: SortedRows<'_>,
    (from, to): (Vec<u8>, Vec<u8>),
    at: usize,
    after: Option<&[u8]>,
    limit: usize,
    still: impl Fn(&T::Row) -> bool,
) -> StoreResult<Vec<T::Row>> {
    let limit = limit.min(PAGE_MAX);
    let mut keys = BTreeSet::new();
    rows.scan(&from, &to, &mut |entry, _| {
        let key = [&[T::LETTER], entry.get(at..).unwrap_or_default()].concat();
        if after.is_none_or(|after| key.as_slice() > after) {
            keys.insert(key);
            if keys.len() > limit {
                keys.pop_last();
            }
        }
        Ok(Scan::On)
    })?;
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        found.extend(get::<T>(rows, &key)?.filter(&still));
    }
    Ok(found)
}

/// The most look-ups of a unique index entry whose row gave it up meanwhile: then another row has
/// it, or none.
const LOOKS_MAX: usize = 8;

/// The row that has a unique index entry.
pub(super) fn holder<T: Versioned>(
    rows: SortedRows<'_>,
    entry: &[u8],
) -> StoreResult<Option<T::Row>> {
    for _ in 0..LOOKS_MAX {
        let Some(held) = rows.get(entry)? else { return Ok(None) };
        let key = [&[T::LETTER], held.as_slice()].concat();
        let Some(row) = rows.get(&key)? else { continue };
        if T::head(&key, &row)?.entries.has(entry) {
            return T::decode(&key, &row).map(Some);
        }
    }
    Ok(None)
}

type RowReader = fn(&[u8], &[u8]) -> StoreResult<Vec<u8>>;

/// A table without its types, for code that goes through all tables.
pub(super) struct AnyTable {
    pub name: &'static str,
    pub letters: &'static [(u8, &'static str)],
    pub row_letters: usize,
    pub scattered: &'static [u8],
    pub plan: fn(&WriteSet, &mut CommitPlan),
    pub sql_steps: fn() -> Vec<Step>,
    pub sql_plan: fn(&WriteSet, &mut SqlPlan) -> Result<(), CommitError>,
    pub reread: RowReader,
    #[cfg(test)]
    pub samples: super::table::tests::Samples,
}

impl AnyTable {
    pub(super) const fn of<T: Listed>() -> Self {
        Self {
            name: T::NAME,
            letters: T::LETTERS,
            row_letters: T::ROW_LETTERS,
            scattered: T::SCATTERED,
            plan: T::plan,
            sql_steps: T::sql_steps,
            sql_plan: T::sql_plan,
            reread: reread::<T>,
            #[cfg(test)]
            samples: super::table::tests::Samples::of::<T>(),
        }
    }
}

fn reread<T: Table>(key: &[u8], bytes: &[u8]) -> StoreResult<Vec<u8>> {
    T::reads_head(key, bytes)?;
    Ok(T::encode(&T::decode(key, bytes)?))
}
