//! The steps of a commit: the statements of each table, and the rows that a write set has for them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use crate::domain::ids::OrderId;
use crate::store::CommitError;
use crate::store::sql::table::{ColumnPart, SqlColumn, SqlTable, names};
use crate::store::sql::value::{SqlType, ToColumn};

/// What the rows that a step's statement returns say of those that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Answer {
    /// Each must come back: it was written, or was as it had to be.
    Held,
    /// None may come back: each that does was refused.
    Refused,
    /// Nothing.
    Nothing,
}

/// One statement of a commit. Its parameters are arrays, one for each column; `$n` are they.
#[derive(Debug)]
pub(in crate::store) struct Step {
    pub sql: String,
    /// The same with less work, for rows none of whose keys is taken: it fails as a whole where
    /// one is, and returns nothing.
    pub unless_taken: Option<String>,
    pub parameters: Vec<SqlType>,
    pub answer: Answer,
}

impl Step {
    /// A statement of a table's own. `{rows}` in it stands for the rows, `unnest(…) AS u(…)`, and
    /// `{unnest}` for those without their names.
    pub(in crate::store) fn own(sql: &str, columns: &[(&str, SqlType)], answer: Answer) -> Self {
        let parameters: Vec<SqlType> = columns.iter().map(|(_, sql)| *sql).collect();
        let named: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let rows = format!("{{unnest}} AS u({})", named.join(", "));
        let sql = sql.replace("{rows}", &rows).replace("{unnest}", &unnest(&parameters));
        Self { sql, unless_taken: None, parameters, answer }
    }
}

fn unnest(parameters: &[SqlType]) -> String {
    let arrays = (1..).zip(parameters).map(|(n, sql)| format!("${n}::{}[]", sql.name()));
    format!("unnest({})", arrays.collect::<Vec<_>>().join(", "))
}

fn of<T: SqlTable>(parts: &[ColumnPart]) -> Vec<&'static SqlColumn> {
    T::COLUMNS.iter().filter(|column| parts.contains(&column.part)).collect()
}

fn types(columns: &[&SqlColumn]) -> Vec<SqlType> {
    columns.iter().map(|column| column.sql).collect()
}

/// The rows that are new.
pub(in crate::store) fn insert<T: SqlTable>(answer: Answer) -> Step {
    let (key, all) = (of::<T>(&[ColumnPart::Key]), T::COLUMNS.iter().collect::<Vec<_>>());
    let parameters = types(&all);
    let rows = format!(
        "INSERT INTO {} ({}) SELECT * FROM {}",
        T::SQL_NAME,
        names(all.iter().copied(), ""),
        unnest(&parameters),
    );
    let key = names(key.iter().copied(), "");
    let sql = format!("{rows} ON CONFLICT DO NOTHING RETURNING {key}");
    Step { sql, unless_taken: Some(rows), parameters, answer }
}

fn matches(key: &[&SqlColumn]) -> String {
    let equal = key.iter().map(|column| format!("t.{0} = u.{0}", column.name));
    equal.collect::<Vec<_>>().join(" AND ")
}

/// The rows that replace one of the version `was`.
pub(in crate::store) fn update<T: SqlTable>() -> Step {
    let (key, changing) = (of::<T>(&[ColumnPart::Key]), of::<T>(&[ColumnPart::Changing]));
    let both: Vec<&SqlColumn> = key.iter().chain(&changing).copied().collect();
    let mut parameters = types(&both);
    parameters.push(SqlType::Bigint);
    let set = changing.iter().map(|column| format!("{0} = u.{0}", column.name));
    let sql = format!(
        "UPDATE {} t SET {} FROM {} AS u({}, was) WHERE {} AND t.version = u.was{} RETURNING {}",
        T::SQL_NAME,
        set.collect::<Vec<_>>().join(", "),
        unnest(&parameters),
        names(both.iter().copied(), ""),
        matches(&key),
        T::UPDATE_IF,
        names(key.iter().copied(), "t."),
    );
    Step { sql, unless_taken: None, parameters, answer: Answer::Held }
}

/// The rows as they are now, whether they are there or not. No row may be there twice.
pub(in crate::store) fn upsert<T: SqlTable>() -> Step {
    let (key, changing) = (of::<T>(&[ColumnPart::Key]), of::<T>(&[ColumnPart::Changing]));
    let all: Vec<&SqlColumn> = T::COLUMNS.iter().collect();
    let parameters = types(&all);
    let set = changing.iter().map(|column| format!("{0} = EXCLUDED.{0}", column.name));
    let sql = format!(
        "INSERT INTO {} AS t ({}) SELECT * FROM {} ON CONFLICT ({}) DO UPDATE SET {} \
         WHERE ({}) IS DISTINCT FROM ({})",
        T::SQL_NAME,
        names(all.iter().copied(), ""),
        unnest(&parameters),
        names(key.iter().copied(), ""),
        set.collect::<Vec<_>>().join(", "),
        names(changing.iter().copied(), "t."),
        names(changing.iter().copied(), "EXCLUDED."),
    );
    Step { sql, unless_taken: None, parameters, answer: Answer::Nothing }
}

/// The rows of the version `was` that go.
pub(in crate::store) fn delete<T: SqlTable>() -> Step {
    let key = of::<T>(&[ColumnPart::Key]);
    let mut parameters = types(&key);
    parameters.push(SqlType::Bigint);
    let sql = format!(
        "DELETE FROM {} t USING {} AS u({}, was) WHERE {} AND t.version = u.was RETURNING {}",
        T::SQL_NAME,
        unnest(&parameters),
        names(key.iter().copied(), ""),
        matches(&key),
        names(key.iter().copied(), "t."),
    );
    Step { sql, unless_taken: None, parameters, answer: Answer::Held }
}

/// A row for a step, encoded.
#[derive(Debug, Clone)]
pub(in crate::store) struct StepRow {
    /// The step's place among all.
    pub step: usize,
    /// Each field as it stands in an array: how many bytes, then those.
    pub fields: Vec<u8>,
    /// So many bytes of the fields name the row.
    pub key: usize,
}

impl StepRow {
    pub(in crate::store) fn key(&self) -> &[u8] {
        &self.fields[..self.key]
    }
}

/// The rows of one write set, and what they rest on.
#[derive(Debug, Default)]
pub(in crate::store) struct SqlPlan {
    pub rows: Vec<StepRow>,
    /// Digests of what two write sets of one group may not both have. Two of one digest that are
    /// not the same only come into two groups.
    pub touched: BTreeSet<u64>,
    /// New orders with what their callers name them by.
    pub callers: Vec<(OrderId, String, String)>,
    /// Whether days are shut: no group that has not seen it may be under way then.
    pub shuts: bool,
    /// Where the steps of the table begin that has the plan.
    pub base: usize,
}

type PlanResult = Result<(), CommitError>;

impl SqlPlan {
    /// Names what no other write set of the group may have; tells whether it is named anew.
    pub(in crate::store) fn touch(&mut self, what: &'static str, key: &[u8]) -> bool {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        self.touched.insert(hasher.hash_one((what, key)))
    }

    /// Adds a row for the table's step at this place: its key, then its other fields.
    pub(in crate::store) fn add(&mut self, step: usize, key: &[&dyn Field], others: &[&dyn Field]) {
        let mut fields = Vec::with_capacity(64);
        key.iter().for_each(|field| field.add(&mut fields));
        let key = fields.len();
        others.iter().for_each(|field| field.add(&mut fields));
        self.rows.push(StepRow { step: self.base + step, fields, key });
    }

    /// Adds what can be one row's only, for the table's step at this place: the key that names it,
    /// then whose it is.
    pub(in crate::store) fn claim(
        &mut self,
        step: usize,
        what: &'static str,
        key: &[&dyn Field],
        of: &dyn Field,
    ) -> PlanResult {
        self.add(step, key, &[of]);
        let last = self.rows.len() - 1;
        let key = self.rows[last].key().to_vec();
        if self.touch(what, &key) {
            return Ok(());
        }
        let row = &self.rows[last];
        let same = |other: &&StepRow| other.step == row.step && other.key() == row.key();
        match self.rows[..last].iter().find(same) {
            Some(other) if other.fields != row.fields => return Err(CommitError::Conflict),
            Some(_) => drop(self.rows.pop()),
            None => {}
        }
        Ok(())
    }

    /// A row of a table, with these parts of it; `was` stands behind them.
    fn row<T: SqlTable>(
        &mut self,
        step: usize,
        row: T::Written<'_>,
        parts: &[ColumnPart],
        was: Option<u32>,
    ) {
        let mut fields = Vec::with_capacity(256);
        T::put(row, ColumnPart::Key, &mut fields);
        let key = fields.len();
        parts.iter().for_each(|part| T::put(row, *part, &mut fields));
        if let Some(was) = was {
            was.field(&mut fields);
        }
        self.rows.push(StepRow { step: self.base + step, fields, key });
    }

    pub(in crate::store) fn insert<T: SqlTable>(&mut self, step: usize, row: T::Written<'_>) {
        self.row::<T>(step, row, &[ColumnPart::Fixed, ColumnPart::Changing], None);
    }

    pub(in crate::store) fn update<T: SqlTable>(
        &mut self,
        step: usize,
        row: T::Written<'_>,
        was: u32,
    ) {
        self.row::<T>(step, row, &[ColumnPart::Changing], Some(was));
    }

    /// Adds rows that must not exist yet, for the table's step at this place.
    pub(in crate::store) fn append<'a, T: SqlTable>(
        &mut self,
        step: usize,
        rows: impl IntoIterator<Item = T::Written<'a>>,
    ) -> PlanResult {
        let from = self.rows.len();
        for row in rows {
            self.insert::<T>(step, row);
            let last = self.rows.len() - 1;
            let key = self.rows[last].key().to_vec();
            if !self.touch(T::SQL_NAME, &key)
                && self.rows[from..last].iter().any(|row| row.key() == key)
            {
                return Err(CommitError::Conflict);
            }
        }
        Ok(())
    }

    /// Adds rows that count their versions, for the three steps of [`versioned`] from this place
    /// on. Several versions of one row are folded into the last.
    pub(in crate::store) fn replace<'a, T: SqlTable>(
        &mut self,
        steps: usize,
        rows: impl IntoIterator<Item = (u32, VersionChange<'a, T>)>,
    ) -> PlanResult {
        for (was, key, change) in fold::<T>(rows)? {
            self.touch(T::SQL_NAME, &key);
            match change {
                VersionChange::Put(row) if was == 0 => self.insert::<T>(steps + 2, row),
                VersionChange::Put(row) => self.update::<T>(steps + 1, row, was),
                VersionChange::Remove(mut fields) => {
                    was.field(&mut fields);
                    self.rows.push(StepRow { step: self.base + steps, fields, key: key.len() });
                }
            }
        }
        Ok(())
    }
}

/// Fields as they stand in a row.
pub(in crate::store) fn key_fields(fields: &[&dyn Field]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    fields.iter().for_each(|field| field.add(&mut bytes));
    bytes
}

/// The last versions of rows, each with whether its first one is among them.
pub(in crate::store) fn latest<R, K: Ord>(
    rows: &[R],
    key: impl Fn(&R) -> K,
    version: impl Fn(&R) -> u32,
) -> Vec<(&R, bool)> {
    let mut places: BTreeMap<K, usize> = BTreeMap::new();
    let mut kept: Vec<(&R, bool)> = Vec::with_capacity(rows.len());
    for row in rows {
        match places.entry(key(row)) {
            Entry::Vacant(free) => {
                free.insert(kept.len());
                kept.push((row, version(row) == 1));
            }
            Entry::Occupied(taken) => kept[*taken.get()].0 = row,
        }
    }
    kept
}

/// A value that a step is given, whatever its type.
pub(in crate::store) trait Field {
    fn add(&self, out: &mut Vec<u8>);
}

impl<T: ToColumn> Field for T {
    fn add(&self, out: &mut Vec<u8>) {
        self.field(out);
    }
}

/// The steps of a table that counts versions: remove, replace, add.
pub(in crate::store) fn versioned<T: SqlTable>() -> [Step; 3] {
    [delete::<T>(), update::<T>(), insert::<T>(Answer::Held)]
}

/// What becomes of a row that counts its versions.
pub(in crate::store) enum VersionChange<'a, T: SqlTable> {
    Put(T::Written<'a>),
    /// The row with this key goes.
    Remove(Vec<u8>),
}

/// A row that is left of a write set's changes: the version that it follows, its key, the change.
type Folded<'a, T> = (u32, Vec<u8>, VersionChange<'a, T>);

/// The last change of each row.
fn fold<'a, T: SqlTable>(
    rows: impl IntoIterator<Item = (u32, VersionChange<'a, T>)>,
) -> Result<Vec<Folded<'a, T>>, CommitError> {
    let mut kept: Vec<(u32, Folded<'a, T>)> = Vec::new();
    let mut places: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for (version, change) in rows {
        let mut key = Vec::with_capacity(32);
        // A row that goes says its version, one that is put the next one.
        let (was, now) = match &change {
            VersionChange::Put(row) => {
                T::put(*row, ColumnPart::Key, &mut key);
                (version.checked_sub(1).ok_or(CommitError::Conflict)?, version)
            }
            // No row is of the version 0.
            VersionChange::Remove(_) if version == 0 => return Err(CommitError::Conflict),
            VersionChange::Remove(fields) => {
                key.extend_from_slice(fields);
                (version, 0)
            }
        };
        match places.get(&key) {
            None => {
                places.insert(key.clone(), kept.len());
                kept.push((now, (was, key, change)));
            }
            Some(place) => {
                let (last, row) = &mut kept[*place];
                if *last != was {
                    return Err(CommitError::Conflict);
                }
                (*last, row.2) = (now, change);
            }
        }
    }
    let stays = |(now, (was, ..)): &(u32, Folded<'a, T>)| *now != 0 || *was != 0;
    Ok(kept.into_iter().filter(stays).map(|(_, row)| row).collect())
}
