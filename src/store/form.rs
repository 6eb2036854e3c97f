//! The stored form of a row, and the reading of its fields.
//!
//! A stored row is one byte that names its form, then its fields in `postcard` (compact, not
//! self-describing: a field is added under a new form byte). The row does not repeat its key (order
//! id, channel, date, sequence). The fields that a store needs without reading the whole row come
//! first: the version that guards it, and those of its index.
//!
//! A row that cannot be decoded is [`StoreError::Damaged`], never a panic, since the content of a
//! disk is input. Errors name the table and the field, never the bytes (I-11).

use serde::{Deserialize, Serialize};

use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::{BusinessDate, Timestamp};

use super::StoreError;
use crate::domain::closed_set::StoredNumber;

/// The form of every row. A table whose form changes gets a second struct, a number of its own and
/// a conversion.
pub(super) const FORM: u8 = 1;

/// The length of a usual row, so that encoding allocates once.
const USUAL_LENGTH: usize = 320;

pub(super) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_LENGTH);
    bytes.push(FORM);
    postcard::to_extend(record, bytes)
        .expect("a record of numbers, texts and lists always encodes into memory")
}

/// Decodes a whole row; bytes left over are damage too.
pub(super) fn decode<'a, T: Deserialize<'a>>(
    table: &'static str,
    bytes: &'a [u8],
) -> Result<T, StoreError> {
    let (record, rest) = take(table, bytes)?;
    if rest.is_empty() { Ok(record) } else { Err(damaged(table, "it is longer than its fields")) }
}

/// Decodes the first fields of a row.
pub(super) fn decode_head<'a, T: Deserialize<'a>>(
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

pub(super) fn wrong(table: &'static str, field: &str) -> StoreError {
    damaged(table, &format!("`{field}` has no such value"))
}

/// Decodes stored values, and names the field that cannot be decoded.
#[derive(Clone, Copy)]
pub(super) struct StoredFields {
    pub table: &'static str,
}

impl StoredFields {
    pub(super) fn code<T: StoredNumber>(self, field: &str, code: u8) -> Result<T, StoreError> {
        T::from_number(code).ok_or_else(|| wrong(self.table, field))
    }

    pub(super) fn code_option<T: StoredNumber>(
        self,
        field: &str,
        code: Option<u8>,
    ) -> Result<Option<T>, StoreError> {
        code.map(|code| self.code(field, code)).transpose()
    }

    pub(super) fn amount(self, minor: i64) -> Result<AmountMinor, StoreError> {
        AmountMinor::new(minor).map_err(|_| wrong(self.table, "amount"))
    }

    /// An amount of either sign, never zero.
    pub(super) fn signed(self, minor: i64) -> Result<i64, StoreError> {
        let size = minor.checked_abs().unwrap_or(i64::MAX);
        self.amount(size).map(|_| minor)
    }

    pub(super) fn currency(self, code: u8) -> Result<Currency, StoreError> {
        self.code("currency", code)
    }

    pub(super) fn date(self, yyyymmdd: u32) -> Result<BusinessDate, StoreError> {
        BusinessDate::from_yyyymmdd(yyyymmdd).ok_or_else(|| wrong(self.table, "date"))
    }

    /// The stored moment; one outside of [`Timestamp`]'s range is damage.
    pub(super) fn time(self, millis: u64) -> Result<Timestamp, StoreError> {
        let whole = i64::try_from(millis).map_err(|_| wrong(self.table, "time"))?;
        let time = Timestamp::from_millis(whole);
        if time.as_millis() == whole { Ok(time) } else { Err(wrong(self.table, "time")) }
    }

    pub(super) fn time_option(self, millis: Option<u64>) -> Result<Option<Timestamp>, StoreError> {
        millis.map(|millis| self.time(millis)).transpose()
    }
}

/// A moment as it is stored: unsigned, so that it takes six bytes.
pub(super) fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millis()).expect("a timestamp lies in 1970 or later")
}

/// Copies a stored text.
pub(super) fn text(stored: Option<&str>) -> Option<String> {
    stored.map(str::to_owned)
}
