//! Values of the domain as the columns of a table hold them, in PostgreSQL's binary form.
//!
//! Words stand as text, money and numbers of orders as `bigint`, moments as `timestamptz`, lists as
//! `json`. What does not read back is damage, as in a stored row.

use jiff::civil;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::bin::Bin;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{
    AgreementId, ApprovalId, BatchId, CallerId, CallerOrderId, ChannelId, DifferenceId,
    MerchantCategory, MerchantId, OrderId, SettlementId, VerificationId,
};
use crate::domain::money::AmountMinor;
use crate::domain::time::{BusinessDate, Timestamp};

/// Milliseconds from 1970 to PostgreSQL's first moment, 2000-01-01T00:00:00Z.
const EPOCH_MILLIS: i64 = 946_684_800_000;
const EPOCH_DATE: civil::Date = civil::date(2000, 1, 1);
/// What a NUL becomes, which a text of PostgreSQL cannot hold.
const NUL: &str = "\u{2400}";

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum SqlType {
    Smallint,
    Integer,
    Bigint,
    Boolean,
    Text,
    Bytea,
    Date,
    Moment,
    Json,
}

impl SqlType {
    /// As SQL names it.
    pub(in crate::store) const fn name(self) -> &'static str {
        self.facts().0
    }

    /// The number that PostgreSQL's protocol has for it.
    pub(in crate::store) const fn oid(self) -> u32 {
        self.facts().1
    }

    /// What stands in a field of it, for a person.
    pub(in crate::store) fn words(self, value: &[u8]) -> String {
        let words = match self {
            Self::Smallint => i16::take(value).map(|number| number.to_string()),
            Self::Integer => i32::take(value).map(|number| number.to_string()),
            Self::Bigint => i64::take(value).map(|number| number.to_string()),
            Self::Boolean => bool::take(value).map(|value| value.to_string()),
            Self::Date => BusinessDate::take(value).map(|date| date.to_string()),
            Self::Moment => Timestamp::take(value).map(Timestamp::rfc3339),
            Self::Text | Self::Json => String::take(value),
            Self::Bytea => None,
        };
        words.unwrap_or_else(|| value.escape_ascii().to_string())
    }

    const fn facts(self) -> (&'static str, u32) {
        match self {
            Self::Smallint => ("smallint", 21),
            Self::Integer => ("integer", 23),
            Self::Bigint => ("bigint", 20),
            Self::Boolean => ("boolean", 16),
            Self::Text => ("text", 25),
            Self::Bytea => ("bytea", 17),
            Self::Date => ("date", 1082),
            Self::Moment => ("timestamptz", 1184),
            Self::Json => ("json", 114),
        }
    }
}

/// A value that a column takes.
pub(in crate::store) trait ToColumn {
    const TYPE: SqlType;

    /// Adds its bytes.
    fn put(&self, out: &mut Vec<u8>);

    /// Adds it as a field: how many bytes, then those; -1 where there is no value.
    fn field(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        self.put(out);
        let bytes = i32::try_from(out.len() - at - 4).expect("a row has at most some megabytes");
        out[at..at + 4].copy_from_slice(&bytes.to_be_bytes());
    }
}

/// A value as a column gives it back.
pub(in crate::store) trait FromColumn: Sized {
    /// `None` where the bytes are no such value.
    fn take(bytes: &[u8]) -> Option<Self>;

    fn take_field(bytes: Option<&[u8]>) -> Option<Self> {
        Self::take(bytes?)
    }
}

impl<T: ToColumn> ToColumn for Option<T> {
    const TYPE: SqlType = T::TYPE;

    fn put(&self, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn field(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.field(out),
            None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn take(bytes: &[u8]) -> Option<Self> {
        T::take(bytes).map(Some)
    }

    fn take_field(bytes: Option<&[u8]>) -> Option<Self> {
        bytes.map_or(Some(None), <Self as FromColumn>::take)
    }
}

/// Types that lie in a column as another one does: how they become it, and how they come back.
macro_rules! column_as {
    ($($type:ty as $stored:ty: |$value:ident| $to:expr, |$back:ident| $from:expr;)+) => { $(
        impl ToColumn for $type {
            const TYPE: SqlType = <$stored as ToColumn>::TYPE;

            fn put(&self, out: &mut Vec<u8>) {
                let $value = self;
                ToColumn::put(&$to, out);
            }
        }

        impl FromColumn for $type {
            fn take(bytes: &[u8]) -> Option<Self> {
                let $back = <$stored as FromColumn>::take(bytes)?;
                $from
            }
        }
    )+ };
}

macro_rules! number_column {
    ($($number:ty: $sql:ident;)+) => { $(
        impl ToColumn for $number {
            const TYPE: SqlType = SqlType::$sql;

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }

        impl FromColumn for $number {
            fn take(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_be_bytes)
            }
        }
    )+ };
}

number_column! {
    i16: Smallint;
    i32: Integer;
    i64: Bigint;
}

column_as! {
    u8 as i16: |number| i16::from(*number), |stored| Self::try_from(stored).ok();
    u16 as i32: |number| i32::from(*number), |stored| Self::try_from(stored).ok();
    u32 as i64: |number| i64::from(*number), |stored| Self::try_from(stored).ok();
    // Numbers of orders fit until the year 2092, and nothing else is counted so far.
    u64 as i64: |number| i64::try_from(*number).unwrap_or(i64::MAX),
        |stored| Self::try_from(stored).ok();
    OrderId as u64: |id| id.as_u64(), |stored| Some(Self::from_u64(stored));
    BatchId as u64: |id| id.as_u64(), |stored| Some(Self::from_u64(stored));
    DifferenceId as u64: |id| id.as_u64(), |stored| Some(Self::from_u64(stored));
    SettlementId as u64: |id| id.as_u64(), |stored| Some(Self::from_u64(stored));
    AgreementId as u64: |id| id.as_u64(), |stored| Some(Self::from_u64(stored));
    ApprovalId as u64: |id| id.as_u64(), |stored| Some(Self::from_u64(stored));
    VerificationId as u64: |id| id.as_u64(), |stored| Some(Self::from_u64(stored));
    AmountMinor as i64: |amount| amount.get(), |stored| Self::new(stored).ok();
    MerchantCategory as u16: |category| category.number(), |stored| Self::from_number(stored);
    ChannelId as String: |id| id.as_str(), |stored| Some(Self::from_stored(&stored));
    CallerId as String: |id| id.as_str(), |stored| Some(Self::from_stored(&stored));
    CallerOrderId as String: |id| id.as_str(), |stored| Some(Self::from_stored(&stored));
    MerchantId as String: |id| id.as_str(), |stored| Some(Self::from_stored(&stored));
    Bin as String: |bin| bin.as_str(), |stored| Self::parse(&stored).ok();
    u128 as Vec<u8>: |digest| digest.to_le_bytes(),
        |stored| stored.try_into().ok().map(Self::from_le_bytes);
}

impl ToColumn for bool {
    const TYPE: SqlType = SqlType::Boolean;

    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl FromColumn for bool {
    fn take(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

impl ToColumn for &str {
    const TYPE: SqlType = SqlType::Text;

    fn put(&self, out: &mut Vec<u8>) {
        match self.contains('\0') {
            true => out.extend_from_slice(self.replace('\0', NUL).as_bytes()),
            false => out.extend_from_slice(self.as_bytes()),
        }
    }
}

impl ToColumn for String {
    const TYPE: SqlType = SqlType::Text;

    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }
}

impl FromColumn for String {
    fn take(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }
}

impl ToColumn for Vec<u8> {
    const TYPE: SqlType = SqlType::Bytea;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl ToColumn for &[u8] {
    const TYPE: SqlType = SqlType::Bytea;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl FromColumn for Vec<u8> {
    fn take(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

impl<const N: usize> ToColumn for [u8; N] {
    const TYPE: SqlType = SqlType::Bytea;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> FromColumn for [u8; N] {
    fn take(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

impl<T: StoredNumber> ToColumn for T {
    const TYPE: SqlType = SqlType::Text;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.stored_name().as_bytes());
    }
}

impl<T: StoredNumber> FromColumn for T {
    fn take(bytes: &[u8]) -> Option<Self> {
        Self::from_stored_name(std::str::from_utf8(bytes).ok()?)
    }
}

impl ToColumn for Timestamp {
    const TYPE: SqlType = SqlType::Moment;

    fn put(&self, out: &mut Vec<u8>) {
        ((self.as_millis() - EPOCH_MILLIS) * 1_000).put(out);
    }
}

impl FromColumn for Timestamp {
    fn take(bytes: &[u8]) -> Option<Self> {
        let micros = i64::take(bytes)?;
        let millis = micros.checked_div(1_000)?.checked_add(EPOCH_MILLIS)?;
        let time = Self::from_millis(millis);
        (micros % 1_000 == 0 && time.as_millis() == millis).then_some(time)
    }
}

impl ToColumn for BusinessDate {
    const TYPE: SqlType = SqlType::Date;

    fn put(&self, out: &mut Vec<u8>) {
        Self::new(EPOCH_DATE).days_until(*self).put(out);
    }
}

impl FromColumn for BusinessDate {
    fn take(bytes: &[u8]) -> Option<Self> {
        let days = jiff::Span::new().try_days(i32::take(bytes)?).ok()?;
        EPOCH_DATE.checked_add(days).ok().map(Self::new)
    }
}

/// A list or a report, as JSON.
pub(in crate::store) struct SqlJson<T>(pub T);

impl<T: Serialize> ToColumn for SqlJson<T> {
    const TYPE: SqlType = SqlType::Json;

    fn put(&self, out: &mut Vec<u8>) {
        let text = serde_json::to_string(&self.0).expect("lists of numbers and texts");
        match text.contains("\\u0000") {
            true => out.extend_from_slice(without_nul(&text).as_bytes()),
            false => out.extend_from_slice(text.as_bytes()),
        }
    }
}

/// The database takes the escape of a NUL, and then cannot show it.
fn without_nul(json: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(json.len()), json);
    while let Some(at) = rest.find('\\') {
        kept.push_str(&rest[..at]);
        let length = if rest[at..].starts_with("\\u0000") { 6 } else { 2 };
        kept.push_str(if length == 6 { NUL } else { &rest[at..at + 2] });
        rest = &rest[at + length..];
    }
    kept + rest
}

impl<T: DeserializeOwned> FromColumn for SqlJson<T> {
    fn take(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().map(Self)
    }
}

/// A value that stands in JSON by its name, and by its number where rows are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Named<T>(pub T);

impl<T: StoredNumber> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match to.is_human_readable() {
            true => to.serialize_str(self.0.stored_name()),
            false => to.serialize_u8(self.0.number()),
        }
    }
}

impl<'de, T: StoredNumber> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = match from.is_human_readable() {
            true => T::from_stored_name(&String::deserialize(from)?),
            false => T::from_number(u8::deserialize(from)?),
        };
        value.map(Self).ok_or_else(|| D::Error::custom("no such value"))
    }
}

/// A date that stands in JSON as `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct JsonDate(pub BusinessDate);

impl Serialize for JsonDate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for JsonDate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let date = BusinessDate::parse(&String::deserialize(from)?);
        date.map(Self).ok_or_else(|| D::Error::custom("it is no date"))
    }
}

/// A moment that stands in JSON by RFC 3339.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct JsonMoment(pub Timestamp);

impl Serialize for JsonMoment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.rfc3339())
    }
}

impl<'de> Deserialize<'de> for JsonMoment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let moment: jiff::Timestamp =
            String::deserialize(from)?.parse().map_err(D::Error::custom)?;
        Ok(Self(Timestamp::from_millis(moment.as_millisecond())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<T: ToColumn + FromColumn>(value: &T) -> Option<T> {
        let mut field = Vec::new();
        value.field(&mut field);
        let length = i32::from_be_bytes(field[..4].try_into().expect("four bytes"));
        T::take_field(usize::try_from(length).ok().map(|_| &field[4..]))
    }

    #[test]
    fn moments_and_dates_are_those_of_postgresql() {
        let bytes = |value: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            value(&mut bytes);
            bytes
        };
        let moment = Timestamp::from_millis(EPOCH_MILLIS + 1);
        assert_eq!(bytes(&|out| moment.put(out)), 1_000_i64.to_be_bytes());
        let date = BusinessDate::new(civil::date(2000, 2, 1));
        assert_eq!(bytes(&|out| date.put(out)), 31_i32.to_be_bytes());
    }

    #[test]
    fn values_come_back() {
        for millis in [0, EPOCH_MILLIS - 1, 1_795_334_400_007, i64::MAX] {
            let moment = Timestamp::from_millis(millis);
            assert_eq!(back(&moment), Some(moment));
        }
        for number in [10_101, 19_991_231, 20_261_129, 99_991_231] {
            let date = BusinessDate::from_yyyymmdd(number).expect("a date");
            assert_eq!(back(&date), Some(date), "{number}");
        }
        assert_eq!(back(&None::<u16>), Some(None));
        assert_eq!(back(&Some(u16::MAX)), Some(Some(u16::MAX)));
        assert_eq!(back(&u128::MAX), Some(u128::MAX));
        assert_eq!(back(&"a\0b".to_owned()), Some("a\u{2400}b".to_owned()));
        let listed = back(&SqlJson(vec!["a\0\"\0b".to_owned(), "\\u0000".to_owned()]));
        let kept = ["a\u{2400}\"\u{2400}b".to_owned(), "\\u0000".to_owned()];
        assert_eq!(listed.map(|SqlJson(texts)| texts), Some(kept.to_vec()));
    }

    #[test]
    fn what_no_value_has_written_is_damage() {
        assert_eq!(u8::take(&300_i16.to_be_bytes()), None);
        assert_eq!(OrderId::take(&(-1_i64).to_be_bytes()), None);
        assert_eq!(i64::take(&[0; 7]), None);
        assert_eq!(Timestamp::take(&1_i64.to_be_bytes()), None);
        assert_eq!(Timestamp::take(&i64::MIN.to_be_bytes()), None);
        assert_eq!(BusinessDate::take(&i32::MAX.to_be_bytes()), None);
        assert_eq!(String::take(&[0xff]), None);
        assert_eq!(bool::take(&[2]), None);
        assert_eq!(u8::take_field(None), None);
    }
}
