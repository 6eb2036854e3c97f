//! What is in the tree, as a count and a sum for each table: two trees with the same rows have the
//! same sums, in whatever order the rows were written.
//!
//! A row's part of the sum comes from the CRC-32 of its key and value, so what is lost, doubled or
//! older than it was changes the sum but for one chance in 2^32. That is enough against damage; it
//! is no protection against someone who forges rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::store::key::LAYOUT;
use crate::store::table::table_name;

/// One table: how many rows, and their sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct TableSum {
    rows: u64,
    sum: u64,
}

/// The sums of all tables that have rows, by the letter of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableSums(BTreeMap<u8, TableSum>);

impl TableSums {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        let Some(table) = table_of(key) else { return };
        let of = self.0.entry(table).or_default();
        of.rows += 1;
        of.sum = of.sum.wrapping_add(part(key, value));
    }

    /// Takes out a row that was added.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) {
        let Some(table) = table_of(key) else { return };
        let of = self.0.entry(table).or_default();
        of.rows = of.rows.wrapping_sub(1);
        of.sum = of.sum.wrapping_sub(part(key, value));
        if *of == TableSum::default() {
            self.0.remove(&table);
        }
    }

    /// Adds rows that were summed up elsewhere.
    pub(super) fn join(&mut self, other: &Self) {
        for (table, more) in &other.0 {
            let of = self.0.entry(*table).or_default();
            of.rows += more.rows;
            of.sum = of.sum.wrapping_add(more.sum);
        }
    }

    /// How many rows all tables have.
    pub(super) fn rows(&self) -> u64 {
        self.0.values().map(|table| table.rows).fold(0, u64::wrapping_add)
    }

    /// Where `found` is something else, in words; `None` if it is the same.
    pub(super) fn difference(&self, found: &Self) -> Option<String> {
        let tables = self.0.keys().chain(found.0.keys());
        let tables: std::collections::BTreeSet<u8> = tables.copied().collect();
        let of = |sums: &Self, table| sums.0.get(table).copied().unwrap_or_default();
        let told: Vec<String> = tables
            .iter()
            .filter(|table| of(self, table) != of(found, table))
            .map(|table| {
                let (known, found) = (of(self, table).rows, of(found, table).rows);
                let name = table_name(*table);
                if known == found {
                    format!("of {known} {name} some are not as they were written")
                } else {
                    format!("{found} of {known} {name}")
                }
            })
            .collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

/// The table that a key belongs to; the layout's own row belongs to none.
fn table_of(key: &[u8]) -> Option<u8> {
    key.first().copied().filter(|_| key != LAYOUT)
}

/// A row's part of its table's sum. The CRC is mixed, since sums of plain CRCs can cancel out.
fn part(key: &[u8], value: &[u8]) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(key.len() as u64).to_be_bytes());
    crc.update(key);
    crc.update(value);
    let mut mixed = u64::from(crc.finalize()).wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(rows: &[(&[u8], &[u8])]) -> TableSums {
        let mut sums = TableSums::default();
        rows.iter().for_each(|(key, value)| sums.add(key, value));
        sums
    }

    #[test]
    fn the_order_of_writing_does_not_count_and_what_is_taken_out_leaves_nothing() {
        let whole = sums(&[(b"Oa", b"1"), (b"Ob", b"2"), (b"Ta", b"")]);
        assert_eq!(whole, sums(&[(b"Ta", b""), (b"Ob", b"2"), (b"Oa", b"1")]));
        let mut less = whole.clone();
        less.take(b"Ta", b"");
        assert_eq!(less, sums(&[(b"Oa", b"1"), (b"Ob", b"2")]));
        assert_eq!((whole.rows(), less.rows()), (3, 2));
        let mut joined = less;
        joined.join(&sums(&[(b"Ta", b"")]));
        assert_eq!(joined, whole);
        assert_eq!(sums(&[(LAYOUT, b"1")]), TableSums::default());
    }

    #[test]
    fn a_lost_an_older_and_a_moved_value_are_told_apart() {
        let whole = sums(&[(b"Oa", b"1"), (b"Ob", b"2")]);
        assert_eq!(whole.difference(&whole), None);
        let told = |found: TableSums| whole.difference(&found).expect("something else");
        assert_eq!(told(sums(&[(b"Oa", b"1")])), "1 of 2 final orders");
        for other in [
            sums(&[(b"Oa", b"1"), (b"Ob", b"1")]),
            sums(&[(b"Oa", b"2"), (b"Ob", b"1")]),
            sums(&[(b"Oa", b""), (b"Ob", b"12")]),
            sums(&[(b"Oa1", b""), (b"Ob", b"2")]),
        ] {
            let words = "of 2 final orders some are not as they were written";
            assert_eq!(told(other), words);
        }
    }
}
