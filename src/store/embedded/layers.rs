//! Every row of the store as one map: the rows that are durable in the journal alone, laid over the
//! segments.
//!
//! New rows go into the `recent` layer. A full one becomes the `flushing` layer, which the flusher
//! writes as a segment, and which is read until that segment is, so that no reader notices the
//! change. A row is read from the newest layer or segment that has it.

use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::store::StoreError;
use crate::store::plan::Writes;
use crate::store::sorted::{Scan, SortedBytes, Visit};

use super::merge::{Direction, LayerRow, Merge, RowSource};
use super::segment::Segment;

/// The number of keys of the recent layer that a scan copies at first under the lock, and the most
/// that it copies: twice as many each time. The visits happen outside of the lock, so that a
/// visitor may read again, and a writer waits for no visitor.
const COPIED_KEYS: [usize; 2] = [64, 1024];

/// The last key of each table, by its letter; empty where there is none. A new order's keys lie
/// behind them, so that nothing need be looked through for them.
struct LastKeys(Vec<Vec<u8>>);

impl LastKeys {
    fn none() -> Self {
        Self(vec![Vec::new(); usize::from(u8::MAX) + 1])
    }

    fn of(&self, letter: u8) -> &[u8] {
        &self.0[usize::from(letter)]
    }

    /// Whether a key lies behind all that its table has.
    fn are_before(&self, key: &[u8]) -> bool {
        key.first().is_none_or(|letter| key > self.of(*letter))
    }

    fn reach(&mut self, key: &[u8]) {
        let Some(letter) = key.first() else { return };
        let last = &mut self.0[usize::from(*letter)];
        if key > last.as_slice() {
            last.clear();
            last.extend_from_slice(key);
        }
    }
}

/// The segments of the books, the newest first.
pub(super) struct SegmentList {
    segments: Vec<Arc<Segment>>,
    last: LastKeys,
}

pub(super) type Segments = Arc<SegmentList>;

impl SegmentList {
    /// The list of segments that are given newest first.
    pub(super) fn of(segments: Vec<Arc<Segment>>) -> Segments {
        let mut last = LastKeys::none();
        for segment in &segments {
            let keys = (0..=u8::MAX).filter_map(|letter| segment.last_key(letter));
            keys.for_each(|key| last.reach(key));
        }
        Arc::new(Self { segments, last })
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Arc<Segment>> {
        self.segments.iter()
    }

    /// The last key of a table.
    pub(super) fn last_key(&self, letter: u8) -> Option<&[u8]> {
        Some(self.last.of(letter)).filter(|key| !key.is_empty())
    }

    /// `false` if no segment has a row of this key.
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        !self.last.are_before(key) && self.iter().any(|segment| segment.may_have(key))
    }

    /// The newest row of a key; `None` if there is none, or if it was removed.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if self.last.are_before(key) {
            return Ok(None);
        }
        for segment in self.iter() {
            if let Some(found) = segment.get(key)? {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

struct LayerStack {
    recent: Writes,
    /// Of the recent layer, the flushing one and those before.
    last: LastKeys,
    flushing: Option<Arc<Writes>>,
    segments: Segments,
}

pub(super) struct Layers {
    stack: RwLock<LayerStack>,
}

impl Layers {
    pub(super) fn over(segments: Segments) -> Self {
        let (recent, last) = (Writes::new(), LastKeys::none());
        let stack = LayerStack { recent, last, flushing: None, segments };
        Self { stack: RwLock::new(stack) }
    }

    /// Adds a group to the recent rows, and returns the number of their keys. It is readable from
    /// here on, so it must be durable (I-12).
    pub(super) fn add(&self, writes: Writes) -> usize {
        let mut stack = self.write();
        writes.keys().for_each(|key| stack.last.reach(key));
        stack.recent.extend(writes);
        stack.recent.len()
    }

    /// Hands the recent rows over for flushing. The previous layer must have been flushed.
    pub(super) fn hand_over(&self) -> Arc<Writes> {
        let mut stack = self.write();
        assert!(stack.flushing.is_none(), "one layer is flushed at a time");
        let flushing = Arc::new(std::mem::take(&mut stack.recent));
        stack.flushing = Some(Arc::clone(&flushing));
        flushing
    }

    /// Replaces the layer that was handed over by segments in which its rows are durable.
    pub(super) fn flushed(&self, segments: Segments) {
        let mut stack = self.write();
        stack.flushing = None;
        stack.segments = segments;
    }

    /// Replaces the segments by others with the same rows.
    pub(super) fn compacted(&self, segments: Segments) {
        self.write().segments = segments;
    }

    pub(super) fn segments(&self) -> Segments {
        Arc::clone(&self.read().segments)
    }

    /// No holder leaves the layers half-changed, so a poisoned lock is still used.
    fn read(&self) -> RwLockReadGuard<'_, LayerStack> {
        self.stack.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, LayerStack> {
        self.stack.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next part of a scan.
    fn slice(&self, from: &Bound<Vec<u8>>, to: &[u8], copied: usize) -> LayerSlice {
        let from = from.as_ref().map(Vec::as_slice);
        let stack = self.read();
        let range = stack.recent.range::<[u8], _>((from, Bound::Excluded(to)));
        let recent: Vec<LayerRow> =
            range.take(copied).map(|(key, value)| (key.to_vec(), value.clone())).collect();
        let (flushing, segments) = (stack.flushing.clone(), Arc::clone(&stack.segments));
        let until = (recent.len() == copied).then(|| recent.last().map(|(key, _)| key.clone()));
        LayerSlice { recent, until: until.flatten(), flushing, segments }
    }

    /// The same of a scan from the last row to the first.
    fn slice_below(&self, from: &[u8], to: &[u8], copied: usize) -> LayerSlice {
        let stack = self.read();
        let range = stack.recent.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let range = range.rev().take(copied);
        let recent: Vec<LayerRow> =
            range.map(|(key, value)| (key.to_vec(), value.clone())).collect();
        let (flushing, segments) = (stack.flushing.clone(), Arc::clone(&stack.segments));
        let until = (recent.len() == copied).then(|| recent.last().map(|(key, _)| key.clone()));
        LayerSlice { recent, until: until.flatten(), flushing, segments }
    }
}

/// A part of all rows, at one moment. Its rows of the recent layer are in the scan's direction.
struct LayerSlice {
    recent: Vec<LayerRow>,
    /// The last key that it has of the recent layer, if there may be more.
    until: Option<Vec<u8>>,
    flushing: Option<Arc<Writes>>,
    segments: Segments,
}

impl LayerSlice {
    /// Visits the rows up to the slice's end.
    fn show(
        self,
        from: &Bound<Vec<u8>>,
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<Scan, StoreError> {
        let mut sources = Vec::with_capacity(4);
        let mut rest = self.recent.into_iter();
        sources.extend(rest.next().map(|row| RowSource::Copied { row, rest }));
        if let Some(layer) = &self.flushing {
            let from = from.as_ref().map(Vec::as_slice);
            let mut rest = layer.range::<[u8], _>((from, Bound::Excluded(to)));
            sources.extend(rest.next().map(|row| RowSource::Layer { row, rest }));
        }
        let (Bound::Included(first) | Bound::Excluded(first)) = from else {
            return Ok(Scan::Enough);
        };
        for segment in self.segments.iter() {
            sources.extend(segment.rows_from(first, to)?.map(RowSource::Segment));
        }
        let mut merge = Merge::of(sources, Direction::Up);
        while let Some((key, value)) = merge.row() {
            let ends = key >= to || self.until.as_ref().is_some_and(|until| key > until.as_slice());
            if ends {
                break;
            }
            let is_past = matches!(from, Bound::Excluded(last) if key == last.as_slice());
            if let Some(value) = value
                && !is_past
                && visit(key, value)? == Scan::Enough
            {
                return Ok(Scan::Enough);
            }
            merge.advance()?;
        }
        Ok(Scan::On)
    }

    /// Visits the rows down to the slice's end.
    fn show_back(self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<Scan, StoreError> {
        let mut sources = Vec::with_capacity(4);
        let mut rest = self.recent.into_iter();
        sources.extend(rest.next().map(|row| RowSource::Copied { row, rest }));
        if let Some(layer) = &self.flushing {
            let range = layer.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
            let mut rest = range.rev();
            sources.extend(rest.next().map(|row| RowSource::LayerDown { row, rest }));
        }
        for segment in self.segments.iter() {
            sources.extend(segment.rows_below(from, to)?.map(RowSource::SegmentDown));
        }
        let mut merge = Merge::of(sources, Direction::Down);
        while let Some((key, value)) = merge.row() {
            if key < from || self.until.as_ref().is_some_and(|until| key < until.as_slice()) {
                break;
            }
            if let Some(value) = value
                && visit(key, value)? == Scan::Enough
            {
                return Ok(Scan::Enough);
            }
            merge.advance()?;
        }
        Ok(Scan::On)
    }
}

impl SortedBytes for Layers {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let stack = self.read();
        if !stack.last.are_before(key) {
            let flushing = stack.flushing.as_ref();
            let above = stack.recent.get(key).or_else(|| flushing.and_then(|layer| layer.get(key)));
            if let Some(value) = above {
                return Ok(value.clone());
            }
        }
        let segments = Arc::clone(&stack.segments);
        drop(stack);
        segments.get(key)
    }

    /// Visits the pairs from `from` (included) to `to` (excluded) in order.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut from = Bound::Included(from.to_vec());
        let [mut copied, most] = COPIED_KEYS;
        loop {
            let (Bound::Included(first) | Bound::Excluded(first)) = &from else { return Ok(()) };
            if first.as_slice() >= to {
                return Ok(());
            }
            let slice = self.slice(&from, to, copied);
            let until = slice.until.clone();
            if slice.show(&from, to, visit)? == Scan::Enough {
                return Ok(());
            }
            let Some(until) = until else { return Ok(()) };
            from = Bound::Excluded(until);
            copied = (copied * 2).min(most);
        }
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut to = to.to_vec();
        let [mut copied, most] = COPIED_KEYS;
        while from < to.as_slice() {
            let slice = self.slice_below(from, &to, copied);
            let until = slice.until.clone();
            if slice.show_back(from, &to, visit)? == Scan::Enough {
                return Ok(());
            }
            let Some(until) = until else { return Ok(()) };
            to = until;
            copied = (copied * 2).min(most);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
