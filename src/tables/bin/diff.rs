//! The changes from an old table to a new one, key by key.
//!
//! Pure: two tables in, the difference out. Whether it is suspicious is judged in `refresh.rs`.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::domain::bin::{Bin, BinRow, BinTable, IssuerChange, IssuerChanges, StatedDate};

/// The key of a row that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    pub bin: Bin,
    pub pan_length: u8,
}

impl Serialize for RowKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut key = serializer.serialize_struct("RowKey", 2)?;
        key.serialize_field("bin", self.bin.as_str())?;
        key.serialize_field("pan_length", &self.pan_length)?;
        key.end()
    }
}

/// The keys that differ, each list in the order of the table. A kept key can be both changed and
/// renamed: a bank that is taken over gets another code and another name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableDiff {
    pub added: Vec<RowKey>,
    pub removed: Vec<RowKey>,
    /// Kept, with another issuer code, card type or brand: routes and fees depend on these.
    pub changed: Vec<RowKey>,
    /// Kept, with another issuer name.
    pub renamed: Vec<RowKey>,
    /// Kept, with the same issuer name and another card name.
    pub relabelled: Vec<RowKey>,
    /// Kept, and retired from another date on than before.
    pub retired: Vec<RowKey>,
    /// Changes of issuers' names that were not there before.
    pub issuer_changes_added: usize,
    /// Changes of issuers' names that are there no more.
    pub issuer_changes_removed: usize,
}

/// The sizes of the lists of a `TableDiff`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[schemars(rename = "BinTableDiff")]
pub struct DiffCounts {
    /// Rows that were not there before.
    pub added: usize,
    /// Rows that are there no more.
    pub removed: usize,
    /// Rows with another issuer code, type or brand.
    pub changed: usize,
    /// Rows with another issuer name.
    pub renamed: usize,
    /// Rows with another card name.
    pub relabelled: usize,
    /// Rows with another date of retirement, or none.
    pub retired: usize,
    /// Changes of issuers' names that were not there before.
    pub issuer_changes_added: usize,
    /// Changes of issuers' names that are there no more.
    pub issuer_changes_removed: usize,
}

impl TableDiff {
    /// Walks both tables side by side: each is sorted by key.
    pub fn between(old_table: &BinTable, new_table: &BinTable) -> Self {
        let mut diff = Self {
            issuer_changes_added: lacking(new_table.issuers(), old_table.issuers()),
            issuer_changes_removed: lacking(old_table.issuers(), new_table.issuers()),
            ..Self::default()
        };
        let mut olds = old_table.rows().iter().peekable();
        let mut news = new_table.rows().iter().peekable();
        loop {
            let order = match (olds.peek(), news.peek()) {
                (None, None) => return diff,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.key().cmp(&new.key()),
            };
            match order {
                Ordering::Less => diff.removed.extend(olds.next().map(|row| key_of(row))),
                Ordering::Greater => diff.added.extend(news.next().map(|row| key_of(row))),
                Ordering::Equal => {
                    if let (Some(old), Some(new)) = (olds.next(), news.next()) {
                        let retired = |table: &BinTable, row| table.marks(row).retired;
                        if retired(old_table, old) != retired(new_table, new) {
                            diff.retired.push(key_of(new));
                        }
                        diff.compare(old, new);
                    }
                }
            }
        }
    }

    pub fn counts(&self) -> DiffCounts {
        DiffCounts {
            added: self.added.len(),
            removed: self.removed.len(),
            changed: self.changed.len(),
            renamed: self.renamed.len(),
            relabelled: self.relabelled.len(),
            retired: self.retired.len(),
            issuer_changes_added: self.issuer_changes_added,
            issuer_changes_removed: self.issuer_changes_removed,
        }
    }

    fn compare(&mut self, old: &BinRow, new: &BinRow) {
        let same_kind = old.card_type == new.card_type && old.brands == new.brands;
        if old.issuer_code != new.issuer_code || !same_kind {
            self.changed.push(key_of(new));
        }
        if old.issuer_name != new.issuer_name {
            self.renamed.push(key_of(new));
        } else if old.card_name != new.card_name {
            self.relabelled.push(key_of(new));
        }
    }
}

/// How many changes of one list another one lacks, or has otherwise.
fn lacking(these: &IssuerChanges, others: &IssuerChanges) -> usize {
    let others: BTreeSet<_> = others.all().iter().map(told).collect();
    these.all().iter().filter(|change| !others.contains(&told(change))).count()
}

fn told(change: &IssuerChange) -> (&str, &str, &str, StatedDate) {
    (&change.issuer_code, &change.old_name, &change.new_name, change.date)
}

fn key_of(row: &BinRow) -> RowKey {
    let (bin, pan_length) = row.key();
    RowKey { bin, pan_length }
}
