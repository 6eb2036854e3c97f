//! A line or record as 44 bytes: what is compared, and where its text stands.
//!
//! The key is exact where it is short: up to 36 digits, or 15 bytes of anything. A longer one is
//! 126 bits of its SHA-256: that two of ten million such keys collide has a chance of one in 10^24.

use crate::codec::crypto::digest::Digest;
use crate::domain::books::Movement;
use crate::domain::books::reconcile::{Item, Status};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;

/// Bytes of a packed row.
pub const ROW_BYTES: usize = 44;
/// A packed row.
pub type Packed = [u8; ROW_BYTES];

const COMPARED: std::ops::Range<usize> = 16..32;
const HAS_FEE: u16 = 1 << 4;
const HAS_REFERENCE: u16 = 1 << 9;
/// Bytes 16 to 32 without the mark that says nothing about the item.
const COMPARED_MASK: u128 = !((HAS_REFERENCE as u128) << 112);
const YEAR_BASE: u32 = 2_000;

/// A row of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub key: u128,
    pub item: Item,
    pub has_reference: bool,
    /// From 1.
    pub line: u32,
    /// Where its text begins in the file.
    pub offset: u64,
}

/// The bits that stand for a key; 0 for none.
pub fn key_of(text: &[u8]) -> u128 {
    const TAG: u32 = 126;
    const LENGTH: u32 = 120;
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
    pub fn pack(&self) -> Packed {
        let item = &self.item;
        let flags = item.movement as u16
            | (item.status as u16) << 3
            | (u16::from(item.fee_minor.is_some()) * HAS_FEE)
            | (item.currency as u16) << 5
            | (u16::from(self.has_reference) * HAS_REFERENCE);
        let mut bytes = [0; ROW_BYTES];
        bytes[..16].copy_from_slice(&self.key.to_le_bytes());
        // Twelve digits and a sign fit in six bytes.
        bytes[16..22].copy_from_slice(&item.amount_minor.to_le_bytes()[..6]);
        bytes[22..28].copy_from_slice(&item.fee_minor.unwrap_or(0).to_le_bytes()[..6]);
        bytes[28..30].copy_from_slice(&pack_date(item.date).to_le_bytes());
        bytes[30..32].copy_from_slice(&flags.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.line.to_le_bytes());
        bytes[36..].copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }

    pub fn unpack(bytes: &Packed) -> Self {
        let flags = u16::from_le_bytes([bytes[30], bytes[31]]);
        let fee = amount_at(bytes, 22);
        let place = |shift: u16, mask: u16| usize::from(flags >> shift & mask);
        let item = Item {
            movement: Movement::ALL[place(0, 7)],
            amount_minor: amount_at(bytes, 16),
            fee_minor: (flags & HAS_FEE != 0).then_some(fee),
            currency: Currency::ALL[place(5, 15)],
            status: if place(3, 1) == 0 { Status::Succeeded } else { Status::Failed },
            date: unpack_date(u16::from_le_bytes([bytes[28], bytes[29]])),
        };
        Self {
            key: key_at(bytes),
            item,
            has_reference: flags & HAS_REFERENCE != 0,
            line: line_at(bytes),
            offset: u64::from_le_bytes(*bytes.last_chunk().expect("a row has 44 bytes")),
        }
    }
}

pub fn key_at(bytes: &Packed) -> u128 {
    u128::from_le_bytes(*bytes.first_chunk().expect("a row has 44 bytes"))
}

pub fn line_at(bytes: &Packed) -> u32 {
    u32::from_le_bytes([bytes[32], bytes[33], bytes[34], bytes[35]])
}

/// The amount at 16, or the fee at 22.
pub fn amount_at(bytes: &Packed, at: usize) -> i64 {
    let high = if bytes[at + 5] & 0x80 == 0 { 0 } else { 0xFF };
    let low = &bytes[at..at + 6];
    i64::from_le_bytes([low[0], low[1], low[2], low[3], low[4], low[5], high, high])
}

/// The place of the currency in [`Currency::ALL`].
pub fn currency_at(bytes: &Packed) -> usize {
    usize::from(u16::from_le_bytes([bytes[30], bytes[31]]) >> 5 & 15)
}

/// Whether two rows say the same of everything that is compared.
pub fn is_same(left: &Packed, right: &Packed) -> bool {
    let compared = |bytes: &Packed| {
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

fn unpack_date(bits: u16) -> Option<BusinessDate> {
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
    }

    proptest! {
        #[test]
        fn a_row_comes_back_as_it_was(
            key in any::<u128>(),
            movement in prop::sample::select(&Movement::ALL[..]),
            amount_minor in -999_999_999_999_i64..=999_999_999_999,
            fee_minor in prop::option::of(-999_999_999_999_i64..=999_999_999_999),
            currency in prop::sample::select(&Currency::ALL[..]),
            failed in any::<bool>(),
            dated in any::<bool>(),
            has_reference in any::<bool>(),
            line in any::<u32>(),
            offset in any::<u64>(),
        ) {
            let status = if failed { Status::Failed } else { Status::Succeeded };
            let date = BusinessDate::from_yyyymmdd(20_261_231).filter(|_| dated);
            let item = Item { movement, amount_minor, fee_minor, currency, status, date };
            let row = Row { key, item, has_reference, line, offset };
            let packed = row.pack();
            prop_assert_eq!(Row::unpack(&packed), row);
            prop_assert_eq!(Currency::ALL[currency_at(&packed)], currency);
            let other = Row { has_reference: !has_reference, line: 1, key: 2, ..row };
            prop_assert!(is_same(&packed, &other.pack()));
            let other = Row { item: Item { amount_minor: amount_minor ^ 1, ..item }, ..row };
            prop_assert!(!is_same(&packed, &other.pack()));
        }
    }
}
