//! A filter of a segment's keys, for tables whose keys are not in order of time.
//!
//! A Bloom filter of one cache line a key (Putze, Sanders and Singler, "Cache-, hash- and
//! space-efficient Bloom filters", 2007): a key sets six bits of one 64-byte line. With ten bits a
//! key about one look-up in seventy for a key that is not there is in vain.

use serde::{Deserialize, Serialize};

use super::super::index::mixed_sum;

const LINE_BYTES: usize = 64;
const KEYS_A_LINE: u64 = 51;
const BITS_A_KEY: u32 = 6;

/// The filter of one segment.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct KeyFilter {
    lines: Vec<u8>,
}

impl KeyFilter {
    /// A filter with room for this many keys.
    pub(super) fn for_keys(keys: u64) -> Self {
        let lines = usize::try_from(keys.div_ceil(KEYS_A_LINE)).expect("a filter fits in memory");
        Self { lines: vec![0; lines * LINE_BYTES] }
    }

    pub(super) fn add(&mut self, key: &[u8]) {
        for (at, bit) in places(self.lines.len(), key) {
            self.lines[at] |= bit;
        }
    }

    /// `false` if the key was never added.
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        places(self.lines.len(), key).all(|(at, bit)| self.lines[at] & bit != 0)
    }
}

/// The bytes and bits of a key; none if there are no lines.
fn places(bytes: usize, key: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let lines = (bytes / LINE_BYTES) as u64;
    let hash = mixed_sum(key, &[]);
    // The upper half chooses the line; after another mix, nine bits each choose the bits in it.
    let line = ((hash >> 32) * lines) >> 32;
    let bits = (hash ^ (hash << 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let count = if lines == 0 { 0 } else { BITS_A_KEY };
    (0..count).map(move |nth| {
        let bit = (bits >> (nth * 9 + 8)) & 0x1FF;
        let at = line * LINE_BYTES as u64 + bit / 8;
        (usize::try_from(at).expect("it lies in the filter"), 1 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_never_missed_and_little_else_is_found() {
        let mut filter = KeyFilter::for_keys(10_000);
        let key = |nth: u32| format!("core\0order-{nth}\0").into_bytes();
        (0..10_000).for_each(|nth| filter.add(&key(nth)));
        assert!((0..10_000).all(|nth| filter.may_have(&key(nth))));
        let in_vain = (10_000..110_000).filter(|nth| filter.may_have(&key(*nth))).count();
        assert!(in_vain < 3_000, "{in_vain} of 100,000 are found in vain");
        assert!(KeyFilter::for_keys(0).may_have(b"anything"), "one without lines says nothing");
    }
}
