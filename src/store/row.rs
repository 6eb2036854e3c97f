//! The definition of a table's rows, and the reads and plans that follow from it for every table.
//!
//! A read skips an index entry whose row has changed meanwhile: the row is then found under its
//! next entry.

use std::collections::BTreeSet;

use crate::domain::ids::Shards;
use crate::domain::time::DueWindow;
use crate::domain::write_set::WriteSet;

use super::form::millis;
use super::head::{Entries, Head, identity};
use super::key::{Parts, bounds};
use super::plan::CommitPlan;
use super::sorted::{Scan, SortedRows, StoreResult, onward, page};
use super::sql::Tables;
use super::sql::step::{Answer, SqlPlan, Step, insert};
use super::sql::table::{ColumnPart, Rest, SqlFields, SqlTable};
#[cfg(test)]
use super::table::tests::SampleTable as Listed;
use super::{CommitError, PAGE_MAX, StoreRead};
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

    /// The index entries that a stored row has. Tables that count versions read its head for it.
    fn entries(_key: &[u8], _bytes: &[u8]) -> StoreResult<Entries> {
        Ok(Entries::default())
    }

    /// Adds the table's part of a write set, with its guards.
    fn plan(writes: &WriteSet, plan: &mut CommitPlan);

    /// The statements of a commit that the table has in SQL, in the order in which they are carried
    /// out.
    fn sql_steps() -> Vec<Step>;

    /// Adds what a write set has for those.
    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError>;

    /// The tables in SQL, beside its own, that have a part of each row, as statements that add it.
    fn sql_parts() -> Vec<Step> {
        Vec::new()
    }

    /// Adds what a row has for those. The first of them is the step 1.
    fn sql_put_parts(_row: &Self::Row, _plan: &mut SqlPlan) {}

    /// The row as it comes back from its columns, which do not hold every character.
    fn through_columns(row: <Self as Table>::Row) -> StoreResult<<Self as Table>::Row>
    where
        Self: Sized
            + for<'a> SqlTable<Written<'a> = &'a <Self as Table>::Row, Row = <Self as Table>::Row>,
    {
        through_columns::<Self>(&row)
    }

    /// What lies in tables of its own in SQL and follows from this table's rows.
    const SQL_FOLLOWING: &'static [Following] = &[];
}

/// A table in SQL whose rows follow from those of another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Following {
    pub table: &'static str,
    /// The columns that follow; others have what the schema says.
    pub columns: &'static str,
    /// The query that shows those columns of every row that there has to be.
    pub rows: &'static str,
}

/// A table whose rows count their versions, and may have index entries.
pub(super) trait Versioned: Table {
    fn version(row: &Self::Row) -> u32;

    /// The version that guards a stored row, and its index entries.
    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head>;
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
type PageReader = for<'a> fn(&'a Tables, Option<Vec<u8>>, usize) -> StoreRead<'a, RowPage>;

/// A row in its stored form: what the stores of sorted bytes keep, and others give and take where
/// rows go from one to the other as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    pub key: Vec<u8>,
    pub bytes: Vec<u8>,
}

impl StoredRow {
    /// What names the row within its table.
    pub fn identity(&self) -> &[u8] {
        identity(&self.key)
    }
}

/// Rows of a table, in an order of their store's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowPage {
    pub rows: Vec<StoredRow>,
    /// What the next page begins behind, in the store that has shown this one.
    pub last: Option<Vec<u8>>,
}

/// A page of a table in a store of sorted bytes.
pub(super) fn bytes_page(
    rows: SortedRows<'_>,
    table: &AnyTable,
    after: Option<&[u8]>,
    limit: usize,
) -> StoreResult<RowPage> {
    let mut found = Vec::new();
    for (letter, _) in &table.letters[..table.row_letters] {
        let last = after.map(|identity| [&[*letter], identity].concat());
        found.extend(page(rows, onward(&[*letter], last), limit, |key, bytes| {
            Ok(Some(StoredRow { key: key.to_vec(), bytes: bytes.to_vec() }))
        })?);
    }
    found.sort_by(|one, other| one.identity().cmp(other.identity()));
    found.truncate(limit);
    let last = found.last().map(|row| row.identity().to_vec());
    Ok(RowPage { rows: found, last })
}

/// The same of a table in SQL.
fn sql_page<T, R: Send + 'static>(
    tables: &Tables,
    after: Option<Vec<u8>>,
    limit: usize,
) -> StoreRead<'_, RowPage>
where
    T: Table<Row = R> + SqlTable<Row = R>,
{
    Box::pin(async move {
        let (rows, last) = tables.page::<T>(after, limit).await?;
        let stored = |row: &R| StoredRow { key: T::key(row), bytes: T::encode(row) };
        Ok(RowPage { rows: rows.iter().map(stored).collect(), last })
    })
}

/// A row that was written as columns and read from them.
pub(super) fn through_columns<T: SqlTable>(row: T::Written<'_>) -> StoreResult<T::Row> {
    let mut fields = Vec::with_capacity(512);
    for part in [ColumnPart::Key, ColumnPart::Fixed, ColumnPart::Changing] {
        T::put(row, part, &mut fields);
    }
    let mut rest = Rest(&fields);
    let values = T::COLUMNS.iter().map(|_| rest.field().expect("a field for each column"));
    T::read(&SqlFields { table: T::SQL_NAME, columns: T::COLUMNS, values: values.collect() })
}

fn in_columns<T, R: 'static>(key: &[u8], bytes: &[u8]) -> StoreResult<Vec<u8>>
where
    T: Table<Row = R> + for<'a> SqlTable<Written<'a> = &'a R, Row = R>,
{
    Ok(T::encode(&T::through_columns(T::decode(key, bytes)?)?))
}

/// The statements that add whole rows, whatever their versions are: of the table itself, then of
/// those that have a part of them.
fn whole_steps<T: Table + SqlTable>() -> Vec<Step> {
    let mut steps = vec![insert::<T>(Answer::Nothing)];
    steps.extend(T::sql_parts());
    steps
}

/// The columns of a row's key, each with its value.
fn key_words<T, R: 'static>(row: &StoredRow) -> StoreResult<String>
where
    T: Table<Row = R> + for<'a> SqlTable<Written<'a> = &'a R, Row = R>,
{
    let mut fields = Vec::new();
    T::put(&T::decode(&row.key, &row.bytes)?, ColumnPart::Key, &mut fields);
    let mut rest = Rest(&fields);
    let key = T::COLUMNS.iter().filter(|column| column.part == ColumnPart::Key);
    let words = key.map(|column| {
        let value = rest.field().flatten().unwrap_or_default();
        format!("{} {}", column.name, column.sql.words(value))
    });
    Ok(words.collect::<Vec<_>>().join(", "))
}

fn plan_whole<T, R: 'static>(rows: &[StoredRow]) -> StoreResult<SqlPlan>
where
    T: Table<Row = R> + for<'a> SqlTable<Written<'a> = &'a R, Row = R>,
{
    let mut plan = SqlPlan::default();
    for row in rows {
        let row = T::decode(&row.key, &row.bytes)?;
        plan.insert::<T>(0, &row);
        T::sql_put_parts(&row, &mut plan);
    }
    Ok(plan)
}

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
    pub entries: fn(&[u8], &[u8]) -> StoreResult<Entries>,
    pub sql_page: PageReader,
    pub in_columns: RowReader,
    pub whole_steps: fn() -> Vec<Step>,
    pub plan_whole: fn(&[StoredRow]) -> StoreResult<SqlPlan>,
    pub key_words: fn(&StoredRow) -> StoreResult<String>,
    pub sql_name: &'static str,
    pub following: &'static [Following],
    #[cfg(test)]
    pub samples: super::table::tests::Samples,
}

impl AnyTable {
    pub(super) const fn of<T, R: Send + 'static>() -> Self
    where
        T: Listed + Table<Row = R> + for<'a> SqlTable<Written<'a> = &'a R, Row = R>,
    {
        Self {
            name: T::NAME,
            letters: T::LETTERS,
            row_letters: T::ROW_LETTERS,
            scattered: T::SCATTERED,
            plan: T::plan,
            sql_steps: T::sql_steps,
            sql_plan: T::sql_plan,
            reread: reread::<T>,
            entries: T::entries,
            sql_page: sql_page::<T, R>,
            in_columns: in_columns::<T, R>,
            whole_steps: whole_steps::<T>,
            plan_whole: plan_whole::<T, R>,
            key_words: key_words::<T, R>,
            sql_name: T::SQL_NAME,
            following: T::SQL_FOLLOWING,
            #[cfg(test)]
            samples: super::table::tests::Samples::of::<T>(),
        }
    }
}

fn reread<T: Table>(key: &[u8], bytes: &[u8]) -> StoreResult<Vec<u8>> {
    T::entries(key, bytes)?;
    Ok(T::encode(&T::decode(key, bytes)?))
}
