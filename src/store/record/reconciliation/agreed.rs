//! The stored form of a batch's agreed lines: bytes that only their reader knows, cut into parts.
//!
//! A million lines make more than a megabyte. The tree writes a page at once, and a page holds up
//! to seventeen rows or so, hence parts of a size at which a page stays within sled's log.

use crate::store::StoreError;
use crate::store::record::{FORM, damaged};

/// Every part but the last has so many bytes; the last one has fewer, and may have none.
const PART_BYTES: usize = 32 * 1024;
const TABLE: &str = "agreed_lines";

/// Cuts agreed lines into parts, in order.
pub(in crate::store) fn agreed_parts(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = lines.len() / PART_BYTES;
    (0..=whole).map(move |part| {
        let from = part * PART_BYTES;
        &lines[from..lines.len().min(from + PART_BYTES)]
    })
}

/// The stored form of a part. Its key is the batch and the part's place.
pub(in crate::store) fn agreed_part(part: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(part.len() + 1);
    bytes.push(FORM);
    bytes.extend_from_slice(part);
    bytes
}

/// Reads a part, without a copy.
pub(in crate::store) fn read_agreed_part(bytes: &[u8]) -> Result<&[u8], StoreError> {
    match bytes.split_first() {
        None => Err(damaged(TABLE, "it is empty")),
        Some((&FORM, part)) if part.len() > PART_BYTES => {
            Err(damaged(TABLE, "it is longer than a part"))
        }
        Some((&FORM, part)) => Ok(part),
        Some((form, _)) => Err(damaged(TABLE, &format!("it has the unknown form {form}"))),
    }
}

/// Whether no part follows.
pub(in crate::store) fn is_last_agreed_part(part: &[u8]) -> bool {
    part.len() < PART_BYTES
}
