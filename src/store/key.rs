//! The keys of the stores that keep sorted bytes: a letter for the table, then the row's identity.
//!
//! Numbers are big-endian and texts end in a zero byte, so that keys sort as their values do and no
//! key is a prefix of another one. Keys are short on purpose, since their length costs time in
//! every payment.

use crate::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use crate::domain::time::{BusinessDate, Timestamp};

use super::StoreError;
use super::form::{damaged, millis};

/// The form of all keys, which the manifest of a store on disk names.
pub(super) const LAYOUT: u8 = 1;

/// A key that is being built.
pub(super) struct Key(pub Vec<u8>);

impl Key {
    pub(super) fn of(table: u8) -> Self {
        let mut bytes = Vec::with_capacity(32);
        bytes.push(table);
        Self(bytes)
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    pub(super) fn number<const N: usize>(mut self, big_endian: [u8; N]) -> Self {
        self.0.extend_from_slice(&big_endian);
        self
    }

    pub(super) fn order(self, order: OrderId) -> Self {
        self.number(order.as_u64().to_be_bytes())
    }

    pub(super) fn channel_order_no(self, number: ChannelOrderNo) -> Self {
        self.order(number.order).number([number.attempt])
    }

    pub(super) fn channel(self, channel: &ChannelId) -> Self {
        self.text(channel.as_str())
    }

    pub(super) fn date(self, date: BusinessDate) -> Self {
        self.number(date.yyyymmdd().to_be_bytes())
    }

    pub(super) fn time(self, time: Timestamp) -> Self {
        self.number(millis(time).to_be_bytes())
    }
}

/// The key of a row whose identity is its order, or another number of that sequence, alone.
pub(super) fn order_key(table: u8, order: OrderId) -> Vec<u8> {
    Key::of(table).order(order).0
}

/// The rest of a key of ours that is being read.
pub(super) struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// Everything after the table's letter.
    pub(super) fn of(key: &'a [u8]) -> Self {
        Self(key.get(1..).unwrap_or_default())
    }

    /// Everything from a place on.
    pub(super) fn from(key: &'a [u8], at: usize) -> Self {
        Self(key.get(at..).unwrap_or_default())
    }

    pub(super) fn number<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (number, rest) = self.0.split_first_chunk::<N>().ok_or_else(wrong_key)?;
        self.0 = rest;
        Ok(*number)
    }

    pub(super) fn order(&mut self) -> Result<OrderId, StoreError> {
        self.number().map(u64::from_be_bytes).map(OrderId::from_u64)
    }

    pub(super) fn channel_order_no(&mut self) -> Result<ChannelOrderNo, StoreError> {
        let (order, [attempt]) = (self.order()?, self.number()?);
        Ok(ChannelOrderNo { order, attempt })
    }

    pub(super) fn date(&mut self) -> Result<BusinessDate, StoreError> {
        let number = self.number().map(u32::from_be_bytes)?;
        BusinessDate::from_yyyymmdd(number)
            .ok_or_else(|| damaged("keys", "a date is not a date of the calendar"))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, StoreError> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(wrong_key)?;
        let text = std::str::from_utf8(&self.0[..end]).map_err(|_| wrong_key())?;
        self.0 = &self.0[end + 1..];
        Ok(text)
    }

    pub(super) fn channel(&mut self) -> Result<ChannelId, StoreError> {
        self.text().map(ChannelId::from_stored)
    }
}

fn wrong_key() -> StoreError {
    damaged("keys", "a key is shorter than its table's")
}

/// The bounds of all keys that begin with `prefix`: from it, to the first key that does not.
pub(super) fn bounds(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut end = prefix.to_vec();
    while end.pop_if(|last| *last == u8::MAX).is_some() {}
    let last = end.last_mut().expect("a prefix begins with its table's letter");
    *last += 1;
    (prefix.to_vec(), end)
}

/// The key directly after `key`, from which a listing goes on.
pub(super) fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_values_do() {
        let id = |sequence| OrderId::compose(261_122, 1, sequence);
        assert!(order_key(b'o', id(255)) < order_key(b'o', id(256)));
        let texts = |first, second| Key::of(b'C').text(first).text(second).0;
        assert_ne!(texts("a", "11"), texts("a1", "1"));
        assert!(texts("a", "1") < texts("a", "11"));
        let day = |channel, yyyymmdd| {
            let date = BusinessDate::from_yyyymmdd(yyyymmdd).expect("a date");
            Key::of(b'D').channel(&ChannelId::from_stored(channel)).date(date).0
        };
        assert!(day("a", 20_261_231) < day("a", 20_270_101));
        assert!(day("a", 20_270_101) < day("ab", 20_261_231));
        assert!(!day("ab", 20_261_231).starts_with(&Key::of(b'D').text("a").0));
    }

    #[test]
    fn bounds_hold_exactly_what_begins_with_the_prefix() {
        let (from, to) = bounds(b"ab");
        assert_eq!((from.as_slice(), to.as_slice()), (&b"ab"[..], &b"ac"[..]));
        assert_eq!(bounds(b"a\xff\xff").1, b"b");
        assert!(after(b"a".to_vec()) > b"a".to_vec());
    }

    #[test]
    fn a_key_that_is_too_short_or_says_no_date_is_damage() {
        let damage = |read: Result<(), StoreError>| matches!(read, Err(StoreError::Damaged { .. }));
        assert!(damage(Parts::of(b"O123").order().map(drop)));
        assert!(damage(Parts::of(b"").order().map(drop)));
        assert!(damage(Parts::of(b"Dbank").channel().map(drop)));
        for date in [&b"d"[..], &[b'd', 0, 0, 0, 1], &[255; 5]] {
            assert!(damage(Parts::of(date).date().map(drop)), "{date:?}");
        }
    }
}
