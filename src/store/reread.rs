//! Reads stored bytes and writes them again, without a store around them.
//!
//! What lies on a disk is input: any byte string must give a row or [`StoreError::Damaged`]. Here
//! that is asked of every table by whoever only has bytes: a check of files, and the tests that
//! feed any bytes to every decoder.

use super::table::TABLES;
use super::{StoreError, embedded};

/// A key that reads as every table's: the order id or channel `channel`, then the date 1685-01-01,
/// whose bytes make a sequence, and an attempt, claim and place, then a currency or an order id.
const ANY_KEY: &[u8] = b"?channel\0\x01\x01\x1c\xb5\x01\0\0\0\0\0\0\0\x01";

/// What kinds of rows there are.
pub fn row_kinds() -> impl ExactSizeIterator<Item = &'static str> {
    TABLES.iter().map(|table| table.name)
}

/// Reads a row of a kind and gives the bytes that it is stored as: those that were read, unless
/// they were written in more bytes than they need. Its key is made up.
pub fn reread_row(kind: &str, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let table = TABLES.iter().find(|table| table.name == kind);
    let Some(table) = table else {
        return Err(StoreError::Backend {
            context: "no such kind of row",
            detail: kind.to_owned(),
        });
    };
    (table.reread)(ANY_KEY, bytes)
}

/// Reads one file of the journal; answers how many rows it would write or remove.
pub fn reread_journal(bytes: &[u8]) -> Result<usize, StoreError> {
    embedded::journal_rows(bytes)
}
