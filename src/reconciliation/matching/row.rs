//! A line or record as 48 bytes: the compared values, and the place of its words.
//!
//! The key is exact where it is short: up to 36 digits, or 15 bytes of anything. A longer one is
//! 126 bits of its SHA-256: that two of ten million such keys collide has a chance of one in 10^24.

use crate::codec::crypto::digest::Digest;
use crate::domain::attempt::Operation;
use crate::domain::books::reconcile::{Item, Status};
use crate::domain::ids::{ChannelOrderNo, ORDER_ID_DIGITS};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;

/// Bytes of a row.
pub const ROW_BYTES: usize = 48;
/// Digits of our channel order numbers.
pub const NUMBER_DIGITS: usize = ORDER_ID_DIGITS + 2;

const COMPARED: std::ops::Range<usize> = 16..32;
const HAS_FEE: u16 = 1 << 4;
const HAS_REFERENCE: u16 = 1 << 9;
const IS_STRANGER: u16 = 1 << 10;
/// Bytes 16 to 32 without the marks that say nothing about the item.
const COMPARED_MASK: u128 = !(((HAS_REFERENCE | IS_STRANGER) as u128) << 112);
const AMOUNT_MASK: u64 = (1 << 48) - 1;
const YEAR_BASE: u32 = 2_000;
const TAG: u32 = 126;
const LENGTH: u32 = 120;

/// Where a row stands on its side. The side finds the row's words again by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// From 1, in the order of the side: a line of a file, or a record's ordinal.
    pub line: u32,
    /// Where its text begins in the file, or the number of the record's order.
    pub at: u64,
    /// The rest of what finds it, where `at` is not enough.
    pub tag: u32,
}

impl Place {
    pub const BYTES: usize = 16;

    pub fn pack(self) -> [u8; Self::BYTES] {
        let bits = u128::from(self.line) | u128::from(self.at) << 32 | u128::from(self.tag) << 96;
        bits.to_le_bytes()
    }

    pub fn unpack(bytes: [u8; Self::BYTES]) -> Self {
        let bits = u128::from_le_bytes(bytes);
        Self { line: bits as u32, at: (bits >> 32) as u64, tag: (bits >> 96) as u32 }
    }
}

/// A row of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row([u8; ROW_BYTES]);

/// The bits that stand for a key; 0 for none.
pub fn key_of(text: &[u8]) -> u128 {
    if text.is_empty() {
        return 0;
    }
    if text.len() <= 36
        && let Some(number) = digits(text)
    {
        return 1 << TAG | (text.len() as u128) << LENGTH | number;
    }
    if text.len() <= 15 {
        let bytes = text.iter().fold(0, |bytes, byte| bytes << 8 | u128::from(*byte));
        return 2 << TAG | (text.len() as u128) << LENGTH | bytes;
    }
    let digest = Digest::Sha256.of(&[text]);
    let bytes = digest.first_chunk().expect("SHA-256 has 32 bytes");
    3 << TAG | u128::from_le_bytes(*bytes) >> 2
}

/// The key of a channel order number, which is that of its digits.
pub fn key_of_number(number: ChannelOrderNo) -> u128 {
    let digits = u128::from(number.order.as_u64()) * 100 + u128::from(number.attempt);
    1 << TAG | (NUMBER_DIGITS as u128) << LENGTH | digits
}

/// The number that at most 36 digits write.
fn digits(text: &[u8]) -> Option<u128> {
    // Eighteen digits fit in 64 bits, whose arithmetic is a fraction of the cost.
    let (high, low) = text.split_at(text.len().saturating_sub(18));
    let half = |text: &[u8]| {
        text.iter().try_fold(0_u64, |number, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then(|| number.wrapping_mul(10).wrapping_add(u64::from(digit)))
        })
    };
    Some(u128::from(half(high)?) * 1_000_000_000_000_000_000 + u128::from(half(low)?))
}

/// Spreads keys over 64 bits; by the seed, nobody can choose keys that fall together.
pub fn spread(key: u128, seed: u64) -> u64 {
    let (low, high) = (key as u64, (key >> 64) as u64);
    let mixed = (low ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ mixed >> 32 ^ high).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let mixed = (mixed ^ mixed >> 32 ^ seed).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    mixed ^ mixed >> 33
}

impl Row {
    /// `None` if an amount or a fee has more than twelve digits.
    #[inline]
    pub fn new(key: u128, item: &Item, has_reference: bool, place: Place) -> Option<Self> {
        let flags = item.movement as u16
            | (item.status as u16) << 3
            | (u16::from(item.fee_minor.is_some()) * HAS_FEE)
            | (item.currency as u16) << 5
            | (u16::from(has_reference) * HAS_REFERENCE);
        let (amount, fee) = (item.amount_minor, item.fee_minor.unwrap_or(0));
        // Twelve digits and a sign fit in six bytes.
        let short = |minor: i64| u128::from(minor as u64 & AMOUNT_MASK);
        let compared = short(amount)
            | short(fee) << 48
            | u128::from(pack_date(item.date)) << 96
            | u128::from(flags) << 112;
        let mut bytes = [0; ROW_BYTES];
        bytes[..16].copy_from_slice(&key.to_le_bytes());
        bytes[COMPARED].copy_from_slice(&compared.to_le_bytes());
        bytes[32..].copy_from_slice(&place.pack());
        let fits = |minor: i64| minor << 16 >> 16 == minor;
        (fits(amount) && fits(fee)).then_some(Self(bytes))
    }

    pub const fn of_bytes(bytes: &[u8; ROW_BYTES]) -> Self {
        Self(*bytes)
    }

    pub const fn bytes(&self) -> &[u8; ROW_BYTES] {
        &self.0
    }

    pub fn key(&self) -> u128 {
        key_at(&self.0)
    }

    pub fn with_key(mut self, key: u128) -> Self {
        self.0[..16].copy_from_slice(&key.to_le_bytes());
        self
    }

    pub fn item(&self) -> Item {
        let flags = self.flags();
        let place = |shift: u16, mask: u16| usize::from(flags >> shift & mask);
        Item {
            movement: Operation::ALL[place(0, 7)],
            amount_minor: self.amount_minor(),
            fee_minor: (flags & HAS_FEE != 0).then_some(self.fee_minor()),
            currency: Currency::ALL[place(5, 15)],
            status: if place(3, 1) == 0 { Status::Succeeded } else { Status::Failed },
            date: unpack_date(self.packed_date()),
        }
    }

    pub fn amount_minor(&self) -> i64 {
        self.word_at(16) << 16 >> 16
    }

    /// 0 if none is said.
    pub fn fee_minor(&self) -> i64 {
        self.word_at(20) >> 16
    }

    /// The place of the currency in [`Currency::ALL`].
    pub fn currency_index(&self) -> usize {
        usize::from(self.flags() >> 5 & 15)
    }

    /// Its date, packed: a later one is a larger number.
    pub fn packed_date(&self) -> u16 {
        u16::from_le_bytes([self.0[28], self.0[29]])
    }

    pub fn place(&self) -> Place {
        Place::unpack(*self.0.last_chunk().expect("a row has 48 bytes"))
    }

    pub fn has_reference(&self) -> bool {
        self.flags() & HAS_REFERENCE != 0
    }

    /// Whether no record has the order number of this line.
    pub fn is_stranger(&self) -> bool {
        self.flags() & IS_STRANGER != 0
    }

    /// The row as a line whose order number no record has.
    pub fn as_stranger(mut self) -> Self {
        let flags = self.flags() | IS_STRANGER;
        self.0[30..32].copy_from_slice(&flags.to_le_bytes());
        self
    }

    fn word_at(&self, at: usize) -> i64 {
        i64::from_le_bytes(*self.0[at..].first_chunk().expect("a row has 48 bytes"))
    }

    fn flags(&self) -> u16 {
        u16::from_le_bytes([self.0[30], self.0[31]])
    }
}

/// The key of a packed row.
pub fn key_at(bytes: &[u8; ROW_BYTES]) -> u128 {
    u128::from_le_bytes(*bytes.first_chunk().expect("a row has 48 bytes"))
}

/// The line of a packed row.
pub fn line_at(bytes: &[u8; ROW_BYTES]) -> u32 {
    u32::from_le_bytes([bytes[32], bytes[33], bytes[34], bytes[35]])
}

/// Whether two packed rows say the same of everything that is compared.
pub fn is_same(left: &[u8; ROW_BYTES], right: &[u8; ROW_BYTES]) -> bool {
    let compared = |bytes: &[u8; ROW_BYTES]| {
        let bytes = bytes[COMPARED].first_chunk().expect("sixteen bytes");
        u128::from_le_bytes(*bytes) & COMPARED_MASK
    };
    compared(left) == compared(right)
}

/// Year, month and day in 16 bits, for the years 2000 to 2127; 0 for none.
fn pack_date(date: Option<BusinessDate>) -> u16 {
    let number = date.map_or(0, BusinessDate::yyyymmdd);
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    let year = year.saturating_sub(YEAR_BASE).min(127);
    u16::try_from(year << 9 | month << 5 | day).expect("seven, four and five bits")
}

/// The date of [`Row::packed_date`].
pub fn unpack_date(bits: u16) -> Option<BusinessDate> {
    let bits = u32::from(bits);
    let (year, month, day) = (bits >> 9, bits >> 5 & 15, bits & 31);
    BusinessDate::from_yyyymmdd((year + YEAR_BASE) * 10_000 + month * 100 + day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_exact_or_digests() {
        let keys = ["1", "01", "261122001000000000901", "a", "A", "4200001234202611228765432109"];
        for (place, key) in keys.iter().enumerate() {
            for other in &keys[place + 1..] {
                assert_ne!(key_of(key.as_bytes()), key_of(other.as_bytes()), "{key} {other}");
            }
        }
        assert_eq!(key_of(b""), 0);
        assert_eq!(key_of(&[b'9'; 36]) >> 126, 1);
        assert_eq!(key_of(&[b'9'; 37]) >> 126, 3);
        assert_eq!(key_of(b"0123456789abcde") >> 126, 2);
        for text in ["261122001000000000901", "000000000000000000199"] {
            let number = ChannelOrderNo::parse(text).expect("a number");
            assert_eq!(key_of_number(number), key_of(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_row_comes_back_as_it_was(
            key in any::<u128>(),
            movement in prop::sample::select(&Operation::ALL[..]),
            amount_minor in -999_999_999_999_i64..=999_999_999_999,
            fee_minor in prop::option::of(-999_999_999_999_i64..=999_999_999_999),
            currency in prop::sample::select(&Currency::ALL[..]),
            failed in any::<bool>(),
            dated in any::<bool>(),
            has_reference in any::<bool>(),
            line in any::<u32>(),
            at in any::<u64>(),
            tag in any::<u32>(),
        ) {
            let status = if failed { Status::Failed } else { Status::Succeeded };
            let date = BusinessDate::from_yyyymmdd(20_261_231).filter(|_| dated);
            let item = Item { movement, amount_minor, fee_minor, currency, status, date };
            let place = Place { line, at, tag };
            let row = Row::new(key, &item, has_reference, place).expect("twelve digits");
            prop_assert_eq!((row.key(), row.item(), row.place()), (key, item, place));
            prop_assert_eq!((row.has_reference(), row.is_stranger()), (has_reference, false));
            prop_assert_eq!(Currency::ALL[row.currency_index()], currency);
            prop_assert_eq!((key_at(row.bytes()), line_at(row.bytes())), (key, line));
            let elsewhere = Place { line: 1, ..place };
            let other = Row::new(2, &item, !has_reference, elsewhere).expect("twelve digits");
            prop_assert!(is_same(row.bytes(), other.as_stranger().bytes()));
            prop_assert!(other.as_stranger().is_stranger());
            prop_assert_eq!(other.with_key(key).key(), key);
            let changed = Item { amount_minor: amount_minor ^ 1, ..item };
            let other = Row::new(key, &changed, has_reference, place).expect("twelve digits");
            prop_assert!(!is_same(row.bytes(), other.bytes()));
            let large = Item { amount_minor: amount_minor + (1 << 60), ..item };
            prop_assert_eq!(Row::new(key, &large, has_reference, place), None);
        }
    }
}
