//! Decodes stored bytes and encodes them again, without a store.
//!
//! The content of a disk is input: any byte string must give a row or [`StoreError::Damaged`]. A
//! check of files, and the tests that feed arbitrary bytes to every decoder, ask this of every
//! table.

use super::table::TABLES;
use super::{StoreError, embedded};

/// A key that every table can read: the order id, channel, text or BIN `6216261`, then the date
/// 1685-02-01, whose bytes make a sequence, and a text with that of an attempt behind them; claim
/// and place, then a currency, a fact or an order id.
const ANY_KEY: &[u8] = b"?6216261\0\x01\x01\x1d\x19\x01\0\0\0\0\0\0\0\x01";

/// The names of the kinds of rows.
pub fn row_kinds() -> impl ExactSizeIterator<Item = &'static str> {
    TABLES.iter().map(|table| table.name)
}

/// Decodes a row of a kind and encodes it again: the result is the input, unless the input used
/// more bytes than it needs. The row's key is made up.
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

/// Reads one file of the journal; returns the number of rows that it would write or remove.
pub fn reread_journal(bytes: &[u8]) -> Result<usize, StoreError> {
    embedded::journal_rows(bytes)
}
