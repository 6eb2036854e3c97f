//! Digests of the rows of one kind: whatever order they come in, equal rows have equal digests.
//!
//! A row's digest is the SHA-256 of its stored form with its key. Those are added up, in buckets by
//! the key, so that where two sides differ only few rows have to be looked at again.

use std::collections::BTreeMap;

use crate::codec::sign::{hex_lower, sha256};
use crate::store::StoredRow;

/// A power of two.
const BUCKETS: usize = 1 << 12;

/// The sum of rows' digests, as a number of 256 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct DigestSum([u64; 4]);

impl DigestSum {
    fn add(&mut self, digest: &[u8; 32]) {
        let (words, _) = digest.as_chunks::<8>();
        let mut carry = false;
        for (sum, word) in self.0.iter_mut().zip(words) {
            let (once, over) = sum.overflowing_add(u64::from_le_bytes(*word));
            let (twice, again) = once.overflowing_add(u64::from(carry));
            (*sum, carry) = (twice, over || again);
        }
    }

    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// The digest of a row's stored form and key.
pub(super) fn digest_of(row: &StoredRow) -> [u8; 32] {
    let key = row.identity();
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes();
    sha256(&[&length[..], key, &row.bytes].concat())
}

fn bucket_of(key: &[u8]) -> usize {
    let hash = sha256(key);
    usize::from(u16::from_be_bytes([hash[0], hash[1]])) % BUCKETS
}

/// What was read of a kind of rows.
pub(super) struct KindDigest {
    pub rows: u64,
    buckets: Vec<(u64, DigestSum)>,
}

impl KindDigest {
    pub(super) fn new() -> Self {
        Self { rows: 0, buckets: vec![(0, DigestSum::default()); BUCKETS] }
    }

    pub(super) fn add(&mut self, row: &StoredRow) {
        self.rows += 1;
        let (rows, sum) = &mut self.buckets[bucket_of(row.identity())];
        *rows += 1;
        sum.add(&digest_of(row));
    }

    /// All rows in one digest, in hexadecimal.
    pub(super) fn hex(&self) -> String {
        let mut all = DigestSum::default();
        self.buckets.iter().for_each(|(_, sum)| all.add(&sum.bytes()));
        hex_lower(&all.bytes())
    }

    /// The buckets in which the other side has other rows.
    pub(super) fn differing(&self, other: &Self) -> Differing {
        let pairs = self.buckets.iter().zip(&other.buckets);
        Differing(pairs.map(|(one, other)| one != other).collect())
    }
}

/// Where two sides differ.
pub(super) struct Differing(Vec<bool>);

impl Differing {
    pub(super) fn is_nowhere(&self) -> bool {
        !self.0.contains(&true)
    }

    pub(super) fn has(&self, row: &StoredRow) -> bool {
        self.0[bucket_of(row.identity())]
    }
}

/// The rows of one side by their keys, with their digests and how a person names them.
pub(super) type NamedRows = BTreeMap<Vec<u8>, ([u8; 32], String)>;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, bytes: &str) -> StoredRow {
        StoredRow { key: key.as_bytes().to_vec(), bytes: bytes.as_bytes().to_vec() }
    }

    fn of(rows: &[StoredRow]) -> KindDigest {
        let mut digest = KindDigest::new();
        rows.iter().for_each(|row| digest.add(row));
        digest
    }

    #[test]
    fn the_order_of_rows_is_no_difference_and_everything_else_is() {
        let (one, two) = (row("Aone", "1"), row("Atwo", "2"));
        let both = of(&[one.clone(), two.clone()]);
        assert_eq!(both.hex(), of(&[two.clone(), one.clone()]).hex());
        assert!(both.differing(&of(&[two.clone(), one.clone()])).is_nowhere());
        // An order that has ended lies under another letter, and is the same order.
        assert_eq!(digest_of(&one), digest_of(&row("Bone", "1")));
        for other in [
            of(std::slice::from_ref(&one)),
            of(&[one.clone(), row("Atwo", "3")]),
            of(&[one.clone(), two.clone(), two]),
            of(&[one.clone(), row("Atw", "o2")]),
            of(&[row("Aone", "2"), row("Atwo", "1")]),
        ] {
            assert_ne!(both.hex(), other.hex());
            assert!(!both.differing(&other).is_nowhere());
        }
    }

    #[test]
    fn sums_carry_over() {
        let mut sum = DigestSum([u64::MAX, u64::MAX, 0, u64::MAX]);
        let mut one = [0; 32];
        one[0] = 1;
        sum.add(&one);
        assert_eq!(sum, DigestSum([0, 0, 1, u64::MAX]));
        sum.add(&[u8::MAX; 32]);
        assert_eq!(sum, DigestSum([u64::MAX, u64::MAX, 0, u64::MAX]));
    }
}
