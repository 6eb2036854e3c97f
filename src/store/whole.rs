//! Books at rest, row by row as they are: how they are read from one store, and added to another
//! whatever their versions are. No guard is asked; who moves books compares both sides afterwards.
//!
//! Rows go in their stored form. What follows from a row (index entries, what one row alone may
//! have) is made anew on the other side.

use std::fmt;

use crate::domain::closed_set;
use crate::domain::write_set::{AuditEntry, WriteSet};

use super::embedded::EmbeddedStore;
use super::head::identity;
use super::key::{Parts, bounds};
use super::row::{AnyTable, Following, RowPage, StoredRow, bytes_page};
use super::sorted::{Scan, SortedRows, StoreResult};
use super::sql::read::field;
use super::table::{TABLES, lease, table_name};
use super::{CommitError, Store, StoreError, StoreRead};

closed_set! {
    /// What a place is to a move.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum MoveRole {
        /// The books go from here.
        Source = 1 => "source",
        /// They come here.
        Target = 2 => "target",
    }
}

closed_set! {
    /// How far a move is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum MoveState {
        /// Rows are still to be added or compared.
        UnderWay = 1 => "under_way",
        /// Both sides have the same rows.
        Whole = 2 => "whole",
    }
}

/// The mark in a place from which books go, or to which they come: no daemon opens it then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveMark {
    /// The same on both sides.
    pub id: String,
    pub role: MoveRole,
    pub state: MoveState,
    /// The other side, for a person.
    pub other: String,
    /// The table that rows are added to, by its place among all.
    pub kind: usize,
    /// What the next page of it begins behind.
    pub last: Option<Vec<u8>>,
}

/// Why a daemon does not open a place, and what to do.
impl fmt::Display for MoveMark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other = &self.other;
        match (self.role, self.state) {
            (MoveRole::Target, _) => write!(
                out,
                "the books of {other} are being moved here; run `switchyard store move` again \
                 until it says that they are whole"
            ),
            (MoveRole::Source, MoveState::UnderWay) => write!(
                out,
                "the books are being moved from here to {other}; run `switchyard store move` again \
                 until it says that they are whole, or give it up with `--abandon`"
            ),
            (MoveRole::Source, MoveState::Whole) => {
                write!(out, "the books were moved from here to {other}; start the daemon on those")
            }
        }
    }
}

/// How many order numbers of a day and node were given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenNumbers {
    pub yymmdd: u32,
    pub node: u16,
    pub given: u64,
}

/// The most that is told of one kind.
const FOUND_MAX: usize = 1_000;

/// How many kinds of rows there are. A kind is named by its place.
pub const fn kinds() -> usize {
    TABLES.len()
}

/// The name of a kind of rows.
pub fn kind_name(kind: usize) -> &'static str {
    TABLES[kind].name
}

pub(super) fn table_of(kind: usize) -> &'static AnyTable {
    &TABLES[kind]
}

/// What names a row, for a person. No key has a card number.
pub fn row_name(kind: usize, row: &StoredRow) -> String {
    let key =
        (TABLES[kind].key_words)(row).unwrap_or_else(|_| row.identity().escape_ascii().to_string());
    format!("{} {key}", TABLES[kind].name)
}

/// The row as it is once it was in columns of a database, which do not hold every character.
///
/// # Errors
/// A row that cannot be decoded.
pub fn in_columns(kind: usize, row: StoredRow) -> StoreResult<StoredRow> {
    let bytes = (TABLES[kind].in_columns)(&row.key, &row.bytes)?;
    Ok(StoredRow { bytes, ..row })
}

impl dyn Store + '_ {
    /// A page of the rows of a kind as they are stored, in an order of the store's own.
    pub fn whole_page(
        &self,
        kind: usize,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> StoreRead<'_, RowPage> {
        match self.tables() {
            Some(tables) => (TABLES[kind].sql_page)(tables, after, limit),
            None => self.list(move |rows| bytes_page(rows, &TABLES[kind], after.as_deref(), limit)),
        }
    }

    /// The order numbers that were given out, of each day and node.
    pub fn given_numbers(&self) -> StoreRead<'_, Vec<GivenNumbers>> {
        if let Some(tables) = self.tables() {
            return Box::pin(async move {
                let read = |values: Vec<Option<&[u8]>>| {
                    Ok(GivenNumbers {
                        yymmdd: field(&values, 0)?,
                        node: field(&values, 1)?,
                        given: field(&values, 2)?,
                    })
                };
                let sql = "SELECT yymmdd, node, given FROM order_numbers";
                tables.query(sql, Vec::new(), read).await
            });
        }
        self.list(|rows| {
            let (mut found, (from, to)) = (Vec::new(), bounds(&[lease::LETTERS.0]));
            rows.scan(&from, &to, &mut |key, value| {
                let mut parts = Parts::of(key);
                found.push(GivenNumbers {
                    yymmdd: parts.number().map(u32::from_be_bytes)?,
                    node: parts.number().map(u16::from_be_bytes)?,
                    given: Parts::from(value, 0).number().map(u64::from_be_bytes)?,
                });
                Ok(Scan::On)
            })?;
            Ok(found)
        })
    }
}

/// Sentences about what does not follow from the rows that it has to follow from.
type Unfollowed = Vec<String>;

/// What no constraint of the schema holds, each with a query that shows what breaks it.
const SQL_HOLDS: [(&str, &str); 3] = [
    (
        "I-7: the sums of an accounting request are not those of its entries",
        "SELECT 'request ' || r.chain || '-' || r.sequence FROM accounting_requests r \
         WHERE (r.debit_minor, r.credit_minor) <> (SELECT \
         coalesce(sum(e.amount_minor) FILTER (WHERE e.side = 'debit'), 0), \
         coalesce(sum(e.amount_minor) FILTER (WHERE e.side = 'credit'), 0) \
         FROM accounting_entries e WHERE e.chain = r.chain AND e.sequence = r.sequence)",
    ),
    (
        "the audit trail's next place is taken",
        "SELECT next::text FROM audit_head WHERE next <> \
         (SELECT coalesce(max(place), 0) + 1 FROM audit)",
    ),
    (
        "an attempt is of no order",
        "SELECT 'order ' || a.order_id FROM attempts a \
         WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = a.order_id)",
    ),
];

impl dyn Store + '_ {
    /// What does not follow from the rows: index entries, or what one row alone may have, that are
    /// missing or too many. At most a thousand are told of each kind.
    pub fn unfollowed(&self) -> StoreRead<'_, Unfollowed> {
        if let Some(tables) = self.tables() {
            return Box::pin(async move {
                let words = |values: Vec<Option<&[u8]>>| field::<String>(&values, 0);
                let mut found = Vec::new();
                for Following { table, columns, rows } in
                    TABLES.iter().flat_map(|one| one.following)
                {
                    let own = format!("SELECT {columns} FROM {table}");
                    for (what, sql) in [
                        ("lacks", format!("{rows} EXCEPT {own}")),
                        ("has too much", format!("{own} EXCEPT {rows}")),
                    ] {
                        let sql =
                            format!("SELECT row_to_json(q)::text FROM ({sql}) AS q LIMIT 1000");
                        let rows = tables.query(&sql, Vec::new(), words).await?;
                        found.extend(rows.iter().map(|row| format!("`{table}` {what}: {row}")));
                    }
                }
                for (what, sql) in SQL_HOLDS {
                    let rows =
                        tables.query(&format!("{sql} LIMIT 1000"), Vec::new(), words).await?;
                    found.extend(rows.iter().map(|row| format!("{what}: {row}")));
                }
                Ok(found)
            });
        }
        self.list(|rows| {
            let mut found = Vec::new();
            for table in &TABLES {
                found.extend(unindexed(rows, table)?);
            }
            Ok(found)
        })
    }
}

/// The same of a table in sorted bytes.
fn unindexed(rows: SortedRows<'_>, table: &AnyTable) -> StoreResult<Unfollowed> {
    let (mut found, mut due, mut has) = (Vec::new(), 0_u64, 0_u64);
    let (own, index) = table.letters.split_at(table.row_letters);
    for (letter, _) in own {
        let (from, to) = bounds(&[*letter]);
        rows.scan(&from, &to, &mut |key, bytes| {
            let entries = (table.entries)(key, bytes)?;
            let plain = entries.plain.into_iter().map(|entry| (entry, &[][..]));
            let unique = entries.unique.into_iter().map(|entry| (entry, identity(key)));
            for (entry, value) in plain.chain(unique) {
                due += 1;
                if rows.get(&entry)?.as_deref() != Some(value) && found.len() < FOUND_MAX {
                    let row = StoredRow { key: key.to_vec(), bytes: bytes.to_vec() };
                    let name = (table.key_words)(&row)?;
                    let entry = table_name(entry[0]);
                    found.push(format!("{} {name} is not among the {entry}", table.name));
                }
            }
            Ok(Scan::On)
        })?;
    }
    for (letter, _) in index {
        let (from, to) = bounds(&[*letter]);
        rows.scan(&from, &to, &mut |_, _| {
            has += 1;
            Ok(Scan::On)
        })?;
    }
    if has > due {
        found.push(format!("{} have {} index entries too many", table.name, has - due));
    }
    Ok(found)
}

impl EmbeddedStore {
    /// How many rows of all kinds there are.
    pub async fn count_whole(&self) -> Result<u64, StoreError> {
        let letters = || TABLES.iter().flat_map(|table| &table.letters[..table.row_letters]);
        let store: &dyn Store = self;
        let count = store.list(move |rows| {
            let mut count = 0;
            for (letter, _) in letters() {
                let (from, to) = bounds(&[*letter]);
                rows.scan(&from, &to, &mut |_, _| {
                    count += 1;
                    Ok(Scan::On)
                })?;
            }
            Ok(count)
        });
        count.await
    }

    /// Adds rows as they are, with their index entries. Rows that are there are written over, so
    /// that a page can be added twice.
    pub async fn add_whole(&self, kind: usize, rows: &[StoredRow]) -> Result<(), CommitError> {
        let mut pairs = Vec::with_capacity(rows.len() * 3);
        for row in rows {
            let read = (TABLES[kind].entries)(&row.key, &row.bytes);
            let entries = read.map_err(CommitError::Failed)?;
            let own = identity(&row.key);
            pairs.extend(entries.plain.into_iter().map(|entry| (entry, Vec::new())));
            pairs.extend(entries.unique.into_iter().map(|entry| (entry, own.to_vec())));
            pairs.push((row.key.clone(), row.bytes.clone()));
        }
        self.add_pairs(pairs).await
    }

    /// Adds a line to the audit trail.
    pub async fn note(&self, entry: &AuditEntry) -> Result<(), CommitError> {
        let audit = vec![entry.clone()];
        self.commit(&WriteSet { audit, ..WriteSet::default() }).await
    }

    /// Passes over order numbers: those of the day and node are above it from here on.
    pub async fn pass_numbers(&self, numbers: GivenNumbers) -> Result<(), CommitError> {
        let GivenNumbers { yymmdd, node, given } = numbers;
        let known = (self as &dyn Store).given_numbers().await.map_err(CommitError::Failed)?;
        let known = known.iter().find(|one| (one.yymmdd, one.node) == (yymmdd, node));
        let mut left = given.saturating_sub(known.map_or(0, |one| one.given));
        while left > 0 {
            let step = u32::try_from(left).unwrap_or(u32::MAX);
            self.lease(yymmdd, node, step).await?;
            left -= u64::from(step);
        }
        Ok(())
    }
}

/// Why two places cannot have the same rows.
pub(super) fn already_there(kind: usize) -> StoreError {
    StoreError::Backend {
        context: "rows cannot be added",
        detail: format!("some {} are there already, and not of this move", kind_name(kind)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::sorted::{SortedBytes, Visit};

    struct Pairs(BTreeMap<Vec<u8>, Vec<u8>>);

    impl SortedBytes for Pairs {
        fn get(&self, key: &[u8]) -> StoreResult<Option<Vec<u8>>> {
            Ok(self.0.get(key).cloned())
        }

        fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> StoreResult<()> {
            for (key, value) in self.0.range(from.to_vec()..to.to_vec()) {
                if visit(key, value)? == Scan::Enough {
                    break;
                }
            }
            Ok(())
        }

        fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> StoreResult<()> {
            for (key, value) in self.0.range(from.to_vec()..to.to_vec()).rev() {
                if visit(key, value)? == Scan::Enough {
                    break;
                }
            }
            Ok(())
        }
    }

    #[test]
    fn index_entries_that_are_missing_or_too_many_are_told() {
        let orders = &TABLES[0];
        let mut pairs = Pairs(BTreeMap::new());
        let row = StoredRow {
            key: (orders.samples.keys)()[0].clone(),
            bytes: (orders.samples.fixed)()[0].clone(),
        };
        let entries = (orders.entries)(&row.key, &row.bytes).expect("a row that reads back");
        let [caller] = entries.unique.as_slice() else { panic!("one caller's id") };
        pairs.0.insert(row.key.clone(), row.bytes.clone());
        let told = unindexed(&pairs, orders).expect("readable");
        assert!(told[0].contains("is not among the callers' order ids"), "{told:?}");
        pairs.0.insert(caller.clone(), row.identity().to_vec());
        let plain = entries.plain.into_iter().map(|entry| (entry, Vec::new()));
        pairs.0.extend(plain);
        assert!(unindexed(&pairs, orders).expect("readable").is_empty());
        pairs.0.insert(caller.clone(), b"another".to_vec());
        assert_eq!(unindexed(&pairs, orders).expect("readable").len(), 1);
        pairs.0.insert(caller.clone(), row.identity().to_vec());
        pairs.0.insert([caller, &b"more"[..]].concat(), row.identity().to_vec());
        let told = unindexed(&pairs, orders).expect("readable");
        assert_eq!(told, ["orders have 1 index entries too many"]);
    }
}
