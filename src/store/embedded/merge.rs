//! Reads several sorted sources as one, upwards or downwards: for each key, the newest source's
//! row.

use std::collections::btree_map;
use std::iter::Rev;
use std::vec;

use crate::store::StoreError;
use crate::store::plan::PrefixedKey;

use super::segment::{BackwardCursor, SegmentCursor};

/// A key with its value, or with `None` if it was removed.
pub(super) type LayerRow = (Vec<u8>, Option<Vec<u8>>);

/// The way in which rows are read; all sources of a merge go the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// A cursor over rows in key order, or from the last to the first.
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
    LayerDown {
        row: (&'a PrefixedKey, &'a Option<Vec<u8>>),
        rest: Rev<btree_map::Range<'a, PrefixedKey, Option<Vec<u8>>>>,
    },
    Segment(SegmentCursor),
    SegmentDown(BackwardCursor),
}

impl RowSource<'_> {
    fn key(&self) -> &[u8] {
        match self {
            Self::Copied { row: (key, _), .. } => key,
            Self::Layer { row: (key, _), .. } | Self::LayerDown { row: (key, _), .. } => key,
            Self::Segment(cursor) => cursor.key(),
            Self::SegmentDown(cursor) => cursor.key(),
        }
    }

    fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Copied { row: (_, value), .. } => value.as_deref(),
            Self::Layer { row: (_, value), .. } | Self::LayerDown { row: (_, value), .. } => {
                value.as_deref()
            }
            Self::Segment(cursor) => cursor.value(),
            Self::SegmentDown(cursor) => cursor.value(),
        }
    }

    /// Advances to the next row; `false` after the last one.
    fn advance(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Copied { row, rest } => Ok(rest.next().map(|next| *row = next).is_some()),
            Self::Layer { row, rest } => Ok(rest.next().map(|next| *row = next).is_some()),
            Self::LayerDown { row, rest } => Ok(rest.next().map(|next| *row = next).is_some()),
            Self::Segment(cursor) => cursor.advance(),
            Self::SegmentDown(cursor) => cursor.retreat(),
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
    direction: Direction,
}

impl<'a> Merge<'a> {
    /// Starts at the first row of that direction. `sources` has the newest first.
    pub(super) fn of(sources: Vec<RowSource<'a>>, direction: Direction) -> Self {
        let mut merge = Self { sources, current: 0, key: Vec::new(), direction };
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
        let mut next = 0;
        for at in 1..self.sources.len() {
            let (one, best) = (self.sources[at].key(), self.sources[next].key());
            let is_before = match self.direction {
                Direction::Up => one < best,
                Direction::Down => one > best,
            };
            if is_before {
                next = at;
            }
        }
        self.current = next;
    }
}
