//! Keys and values in key order, and the scans of listings.

use super::key::{after, bounds};
use super::{PAGE_MAX, StoreError};

pub(super) type StoreResult<T> = Result<T, StoreError>;

/// Whether a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    On,
    Enough,
}

/// The callback that a scan gives its pairs to.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<Scan, StoreError> + 'a;

/// Keys and values in key order, during a read.
pub trait SortedBytes {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the pairs from `from` (included) to `to` (excluded) in order, until the visitor
    /// stops.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// The same from the last pair to the first.
    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;
}

/// The argument of a read.
pub(super) type SortedRows<'a> = &'a dyn SortedBytes;

/// A page of the pairs between `from` and `to`: `read` returns a row, or `None` to skip the pair.
pub(super) fn page<T>(
    rows: SortedRows<'_>,
    (from, to): (Vec<u8>, Vec<u8>),
    limit: usize,
    mut read: impl FnMut(&[u8], &[u8]) -> StoreResult<Option<T>>,
) -> StoreResult<Vec<T>> {
    let limit = limit.min(PAGE_MAX);
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    rows.scan(&from, &to, &mut |key, value| {
        found.extend(read(key, value)?);
        Ok(if found.len() < limit { Scan::On } else { Scan::Enough })
    })?;
    Ok(found)
}

/// The bounds of a listing that goes on after `last`.
pub(super) fn onward(prefix: &[u8], last: Option<Vec<u8>>) -> (Vec<u8>, Vec<u8>) {
    let (from, to) = bounds(prefix);
    (last.map_or(from, after), to)
}
