//! How many order numbers of a day and node were given out.

use crate::store::key::{Key, Parts};
use crate::store::sorted::StoreResult;

pub(in crate::store) const LETTERS: (u8, &str) = (b'S', "leases of numbers");

pub(in crate::store) fn lease_key(yymmdd: u32, node: u16) -> Vec<u8> {
    Key::of(LETTERS.0).number(yymmdd.to_be_bytes()).number(node.to_be_bytes()).0
}

/// The next numbers of a lease: what was given out so far, and what to write for `count` more.
pub(in crate::store) fn lease_step(
    stored: Option<&[u8]>,
    count: u32,
) -> StoreResult<(u64, Vec<u8>)> {
    let given = match stored {
        None => 0,
        Some(bytes) => u64::from_be_bytes(Parts::from(bytes, 0).number()?),
    };
    let after = given.saturating_add(u64::from(count));
    Ok((given + 1, after.to_be_bytes().to_vec()))
}
