//! Versioned stored forms of rows, with conversions to and from domain values.
//!
//! A stored row is one byte that names its form, then its fields in `postcard` (compact, not
//! self-describing: a field is added under a new form byte). What the key says (order id,
//! channel, date, sequence) is not said again in the row. Fields that a store must see without
//! reading the whole row stand first: the version that guards it, and what its index is made of.
//!
//! A row that does not read back is [`StoreError::Damaged`], never a panic: what lies on a disk is
//! input. Errors name the table and the field, never the bytes (I-11).

mod books;
mod codes;
mod delivery;
mod entry;
mod order;
mod reconciliation;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::StoreError;
use codes::Code;

pub(super) use books::{
    audit_bytes, claim_code, clearing_bytes, contradiction_bytes, read_audit, read_clearing,
    read_contradiction, read_transaction, transaction_bytes,
};
pub(super) use delivery::{
    accounting_bytes, notice_bytes, read_accounting, read_accounting_head, read_notice,
    read_notice_head,
};
pub(super) use entry::{entry_bytes, read_entry, read_entry_head};
pub(super) use order::{order_bytes, read_order, read_order_version};
pub(super) use reconciliation::{
    agreed_part, agreed_parts, close_bytes, currency_code, difference_bytes, found_bytes,
    is_last_agreed_part, read_agreed_part, read_close, read_difference, read_difference_head,
    read_found, read_reconciliation, read_reconciliation_head, read_settled, read_settled_version,
    read_settlement, read_settlement_head, read_statement, reconciliation_bytes, settled_bytes,
    settlement_bytes, statement_bytes,
};

/// The form of every row. A table whose form changes gets a second struct, a number of its own and
/// a conversion.
const FORM: u8 = 1;

/// Room for a usual row, so that encoding allocates once.
const USUAL_LENGTH: usize = 320;

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_LENGTH);
    bytes.push(FORM);
    postcard::to_extend(record, bytes)
        .expect("a record of numbers, texts and lists always encodes into memory")
}

/// Reads a whole row; bytes left over are damage too.
fn decode<'a, T: Deserialize<'a>>(table: &'static str, bytes: &'a [u8]) -> Result<T, StoreError> {
    let (record, rest) = take(table, bytes)?;
    if rest.is_empty() { Ok(record) } else { Err(damaged(table, "it is longer than its fields")) }
}

/// Reads the first fields of a row.
fn decode_head<'a, T: Deserialize<'a>>(
    table: &'static str,
    bytes: &'a [u8],
) -> Result<T, StoreError> {
    take(table, bytes).map(|(head, _)| head)
}

fn take<'a, T: Deserialize<'a>>(
    table: &'static str,
    bytes: &'a [u8],
) -> Result<(T, &'a [u8]), StoreError> {
    match bytes.split_first() {
        None => Err(damaged(table, "it is empty")),
        Some((&FORM, fields)) => postcard::take_from_bytes(fields)
            .map_err(|error| damaged(table, &format!("its fields do not read: {error}"))),
        Some((form, _)) => Err(damaged(table, &format!("it has the unknown form {form}"))),
    }
}

pub(super) fn damaged(table: &'static str, detail: &str) -> StoreError {
    StoreError::Damaged { table, detail: detail.to_owned() }
}

fn wrong(table: &'static str, field: &str) -> StoreError {
    damaged(table, &format!("`{field}` has no such value"))
}

/// Reads values back from their stored form, naming the field that does not read.
#[derive(Clone, Copy)]
struct Fields {
    table: &'static str,
}

impl Fields {
    fn code<T: Code>(self, field: &str, code: u8) -> Result<T, StoreError> {
        T::from_number(code).ok_or_else(|| wrong(self.table, field))
    }

    fn code_option<T: Code>(self, field: &str, code: Option<u8>) -> Result<Option<T>, StoreError> {
        code.map(|code| self.code(field, code)).transpose()
    }

    fn amount(self, minor: i64) -> Result<AmountMinor, StoreError> {
        AmountMinor::new(minor).map_err(|_| wrong(self.table, "amount"))
    }

    /// An amount of either sign, never zero.
    fn signed(self, minor: i64) -> Result<i64, StoreError> {
        let size = minor.checked_abs().unwrap_or(i64::MAX);
        self.amount(size).map(|_| minor)
    }

    fn currency(self, code: u8) -> Result<Currency, StoreError> {
        self.code("currency", code)
    }

    fn date(self, yyyymmdd: u32) -> Result<BusinessDate, StoreError> {
        BusinessDate::from_yyyymmdd(yyyymmdd).ok_or_else(|| wrong(self.table, "date"))
    }

    /// A moment as it was written; one that [`Timestamp`] would have to bend is damage.
    fn time(self, millis: u64) -> Result<Timestamp, StoreError> {
        let whole = i64::try_from(millis).map_err(|_| wrong(self.table, "time"))?;
        let time = Timestamp::from_millis(whole);
        if time.as_millis() == whole { Ok(time) } else { Err(wrong(self.table, "time")) }
    }

    fn time_option(self, millis: Option<u64>) -> Result<Option<Timestamp>, StoreError> {
        millis.map(|millis| self.time(millis)).transpose()
    }
}

/// A moment as it is stored: unsigned, so that it takes six bytes.
fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millis()).expect("a timestamp lies in 1970 or later")
}

/// Takes a text back as our own value.
fn text(stored: Option<&str>) -> Option<String> {
    stored.map(str::to_owned)
}
