//! Reads several sorted sources as one: for each key, the newest source's row.

use std::collections::btree_map;
use std::vec;

use crate::store::StoreError;
use crate::store::plan::PrefixedKey;

use super::segment::SegmentCursor;

/// A key with its value, or with `None` if it was removed.
pub(super) type LayerRow = (Vec<u8>, Option<Vec<u8>>);

/// A cursor over rows in key order.
pub(super) enum RowSource<'a> {
    /// Copied from a layer that may change meanwhile.
    Copied {
        row: LayerRow,
        rest: vec::IntoIter<LayerRow>,
    },
    /// A layer that no longer changes.
    Layer {
        row: (&'a PrefixedKey, &'a Option<Vec<u8>>),
        rest: btree_map::Range<'a, PrefixedKey, Option<Vec<u8>>>,
    },
    Segment(SegmentCursor),
}

impl RowSource<'_> {
    fn key(&self) -> &[u8] {
        match self {
            Self::Copied { row: (key, _), .. } => key,
            Self::Layer { row: (key, _), .. } => key,
            Self::Segment(cursor) => cursor.key(),
        }
    }

    fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Copied { row: (_, value), .. } => value.as_deref(),
            Self::Layer { row: (_, value), .. } => value.as_deref(),
            Self::Segment(cursor) => cursor.value(),
        }
    }

    /// Advances to the next row; `false` after the last one.
    fn advance(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Copied { row, rest } => Ok(rest.next().map(|next| *row = next).is_some()),
            Self::Layer { row, rest } => Ok(rest.next().map(|next| *row = next).is_some()),
            Self::Segment(cursor) => cursor.advance(),
        }
    }
}

/// A cursor over several sources as one.
pub(super) struct Merge<'a> {
    /// The newest first; those that have ended are removed.
    sources: Vec<RowSource<'a>>,
    /// The source of the present row.
    current: usize,
    key: Vec<u8>,
}

impl<'a> Merge<'a> {
    /// Starts at the first row. `sources` has the newest first.
    pub(super) fn of(sources: Vec<RowSource<'a>>) -> Self {
        let mut merge = Self { sources, current: 0, key: Vec::new() };
        merge.choose();
        merge
    }

    /// The present row; `None` after the last one.
    pub(super) fn row(&self) -> Option<(&[u8], Option<&[u8]>)> {
        self.sources.get(self.current).map(|source| (source.key(), source.value()))
    }

    /// Advances to the next key.
    pub(super) fn advance(&mut self) -> Result<(), StoreError> {
        let Some(source) = self.sources.get(self.current) else { return Ok(()) };
        self.key.clear();
        self.key.extend_from_slice(source.key());
        let mut at = 0;
        while let Some(source) = self.sources.get_mut(at) {
            if source.key() == self.key && !source.advance()? {
                self.sources.remove(at);
            } else {
                at += 1;
            }
        }
        self.choose();
        Ok(())
    }

    /// Of sources with the same key the newest has the row.
    fn choose(&mut self) {
        let mut least = 0;
        for at in 1..self.sources.len() {
            if self.sources[at].key() < self.sources[least].key() {
                least = at;
            }
        }
        self.current = least;
    }
}
