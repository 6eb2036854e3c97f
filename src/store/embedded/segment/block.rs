//! Blocks: rows in key order, compressed together.
//!
//! A key is written without the prefix that it shares with the key before it, since neighbours
//! begin alike. Every sixteenth key is written whole, and the places of those follow the rows, so
//! that a row is found without reading all before it. Then comes the key up to which the block
//! reaches: the next block's first. If a key below it is not in the block, no other block has it
//! either.
//!
//! A frame in the file is: length as stored `u32`, length of the content `u32`, CRC-32 `u32`, all
//! big-endian, then the content, compressed with LZ4. The CRC covers the segment's number and the
//! frame's place too, so that a block in the wrong place is recognised.

use std::ops::Range;
use std::sync::Arc;

use crate::store::StoreError;
use crate::store::form::damaged;
use crate::store::sorted::StoreResult;

/// The bytes of rows at which a block ends. Larger blocks compress better and need fewer entries of
/// the index; smaller ones make the read of a single row cheaper.
const BLOCK_BYTES: usize = 32 * 1024;
/// The number of rows, the first with its whole key, that are read one after another.
const STRETCH_ROWS: usize = 16;
pub(super) const FRAME_HEAD_BYTES: usize = 12;

/// The head of a frame.
pub(super) struct FrameHead {
    stored: u32,
    content: u32,
    sum: u32,
}

/// The block that is being filled.
#[derive(Default)]
pub(super) struct BlockBuilder {
    content: Vec<u8>,
    first: Vec<u8>,
    last: Vec<u8>,
    rows: usize,
    /// The places of the stretches.
    stretches: Vec<u32>,
}

impl BlockBuilder {
    pub(super) fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.content.len() >= BLOCK_BYTES
    }

    /// Adds a row after the last one; without a value the key is removed.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        if self.is_empty() {
            self.first = key.to_vec();
        }
        if self.rows.is_multiple_of(STRETCH_ROWS) {
            self.last.clear();
            self.stretches.push(length(self.content.len()));
        }
        self.rows += 1;
        let shared = key.iter().zip(&self.last).take_while(|(one, other)| one == other).count();
        put_number(&mut self.content, shared);
        put_number(&mut self.content, key.len() - shared);
        put_number(&mut self.content, value.map_or(0, |value| value.len() + 1));
        self.content.extend_from_slice(&key[shared..]);
        self.content.extend_from_slice(value.unwrap_or_default());
        self.last.clear();
        self.last.extend_from_slice(key);
    }

    /// Appends the block's frame to the bytes that are written at `at`, begins the next block, and
    /// returns this one's first key. `until` is the next block's first key; empty for the last
    /// block.
    pub(super) fn end(
        &mut self,
        until: &[u8],
        segment: u64,
        at: u64,
        out: &mut Vec<u8>,
    ) -> Vec<u8> {
        for place in &self.stretches {
            self.content.extend_from_slice(&place.to_be_bytes());
        }
        self.content.extend_from_slice(until);
        self.content.extend_from_slice(&length(self.stretches.len()).to_be_bytes());
        self.content.extend_from_slice(&length(until.len()).to_be_bytes());
        self.stretches.clear();
        self.rows = 0;
        let start = out.len();
        out.resize(
            start + FRAME_HEAD_BYTES + lz4_flex::block::get_maximum_output_size(self.content.len()),
            0,
        );
        let body = &mut out[start + FRAME_HEAD_BYTES..];
        let stored = lz4_flex::block::compress_into(&self.content, body)
            .expect("there is room for content that does not compress");
        out.truncate(start + FRAME_HEAD_BYTES + stored);
        let content = length(self.content.len());
        let sum = checksum(segment, at, content, &out[start + FRAME_HEAD_BYTES..]);
        out[start..start + 4].copy_from_slice(&length(stored).to_be_bytes());
        out[start + 4..start + 8].copy_from_slice(&content.to_be_bytes());
        out[start + 8..start + 12].copy_from_slice(&sum.to_be_bytes());
        self.content.clear();
        std::mem::take(&mut self.first)
    }
}

impl FrameHead {
    pub(super) fn read(bytes: [u8; FRAME_HEAD_BYTES]) -> Self {
        let number = |at: usize| u32::from_be_bytes(std::array::from_fn(|nth| bytes[at + nth]));
        Self { stored: number(0), content: number(4), sum: number(8) }
    }

    /// The number of bytes after the head.
    pub(super) fn body_bytes(&self) -> usize {
        self.stored as usize
    }

    /// Reads the block whose body follows the head.
    pub(super) fn block(&self, segment: u64, at: u64, body: &[u8]) -> StoreResult<RowBlock> {
        if checksum(segment, at, self.content, body) != self.sum {
            return Err(wrong_block(segment, at, "its checksum does not hold"));
        }
        let content = lz4_flex::block::decompress(body, self.content as usize)
            .map_err(|_| wrong_block(segment, at, "it does not unpack"))?;
        let frame_bytes = (FRAME_HEAD_BYTES + body.len()) as u64;
        RowBlock::of(content, frame_bytes)
            .ok_or_else(|| wrong_block(segment, at, "its end does not read"))
    }
}

/// The error of a damaged block, with its place.
pub(super) fn wrong_block(segment: u64, at: u64, what: &str) -> StoreError {
    damaged("segments", &format!("the block at byte {at} of segment {segment}: {what}"))
}

/// A block's content, unpacked.
pub(super) struct RowBlock {
    content: Vec<u8>,
    rows_end: usize,
    stretches: usize,
    until: Range<usize>,
    frame_bytes: u64,
}

impl RowBlock {
    fn of(content: Vec<u8>, frame_bytes: u64) -> Option<Self> {
        let end = content.len().checked_sub(8)?;
        let number = |at: usize| Some(u32::from_be_bytes(*content.get(at..)?.first_chunk()?));
        let (stretches, until) = (number(end)? as usize, number(end + 4)? as usize);
        let until = end.checked_sub(until)?..end;
        let rows_end = until.start.checked_sub(stretches.checked_mul(4)?)?;
        Some(Self { content, rows_end, stretches, until, frame_bytes })
    }

    /// The place of a stretch, and the key of its first row.
    fn stretch(&self, nth: usize) -> Option<(usize, &[u8])> {
        let place = self.content.get(self.rows_end + nth * 4..)?.first_chunk()?;
        let place = u32::from_be_bytes(*place) as usize;
        let rows = &self.content[..self.rows_end];
        let mut at = place;
        let shared = take_number(rows, &mut at)?;
        let own = take_number(rows, &mut at)?;
        take_number(rows, &mut at)?;
        let key = rows.get(at..at.checked_add(own)?)?;
        (shared == 0).then_some((place, key))
    }

    /// The length of its frame in the file.
    pub(super) fn frame_bytes(&self) -> u64 {
        self.frame_bytes
    }

    /// Its memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.content.len()
    }

    /// Whether the block, whose first key is not after `key`, has `key` if the segment has it.
    pub(super) fn reaches(&self, key: &[u8]) -> bool {
        let until = &self.content[self.until.clone()];
        until.is_empty() || key < until
    }

    /// Whether the block, whose first key is below `key`, has the last row below `key`, if the
    /// segment has one.
    pub(super) fn reaches_to(&self, key: &[u8]) -> bool {
        let until = &self.content[self.until.clone()];
        until.is_empty() || key <= until
    }

    /// Whether no block follows.
    pub(super) fn is_last(&self) -> bool {
        self.until.is_empty()
    }
}

/// A cursor over a block's rows.
pub(super) struct BlockCursor {
    block: Arc<RowBlock>,
    next: usize,
    key: Vec<u8>,
    value: Option<Range<usize>>,
}

impl BlockCursor {
    /// A cursor before the first row.
    pub(super) fn over(block: Arc<RowBlock>) -> Self {
        Self { block, next: 0, key: Vec::new(), value: None }
    }

    /// A cursor at the first row whose key is not below `key`; `None` if the block has none.
    pub(super) fn seek(block: Arc<RowBlock>, key: &[u8]) -> StoreResult<Option<Self>> {
        let wrong = || damaged("segments", "a place in a block is none of its rows'");
        // The last stretch that begins at the key or before it; the first one if none does.
        let (mut low, mut high) = (0, block.stretches.max(1));
        while high - low > 1 {
            let middle = low.midpoint(high);
            let (_, first) = block.stretch(middle).ok_or_else(wrong)?;
            if first <= key {
                low = middle;
            } else {
                high = middle;
            }
        }
        let (next, _) = block.stretch(low).ok_or_else(wrong)?;
        let mut cursor = Self { block, next, key: Vec::new(), value: None };
        while cursor.advance()? {
            if cursor.key() >= key {
                return Ok(Some(cursor));
            }
        }
        Ok(None)
    }

    pub(super) fn block(&self) -> &Arc<RowBlock> {
        &self.block
    }

    /// Advances to the next row; `false` after the last one.
    pub(super) fn advance(&mut self) -> StoreResult<bool> {
        if self.next >= self.block.rows_end {
            return Ok(false);
        }
        self.step().ok_or_else(|| damaged("segments", "a row is longer than its block"))?;
        Ok(true)
    }

    fn step(&mut self) -> Option<()> {
        let rows = &self.block.content[..self.block.rows_end];
        let mut at = self.next;
        let shared = take_number(rows, &mut at)?;
        let own = take_number(rows, &mut at)?;
        let value = take_number(rows, &mut at)?;
        if shared > self.key.len() {
            return None;
        }
        let key_end = at.checked_add(own)?;
        self.key.truncate(shared);
        self.key.extend_from_slice(rows.get(at..key_end)?);
        let end = key_end.checked_add(value.saturating_sub(1))?;
        rows.get(key_end..end)?;
        self.value = (value > 0).then_some(key_end..end);
        self.next = end;
        Some(())
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        self.value.clone().map(|value| &self.block.content[value])
    }
}

/// A block's rows from the last to the first. A key is written by what it shares with the one
/// before it, so the block is read through once.
pub(super) struct BackwardRows {
    block: Arc<RowBlock>,
    keys: Vec<u8>,
    first_end: usize,
    /// The places of keys and values; the last one is the present row's.
    rows: Vec<(Range<usize>, Option<Range<usize>>)>,
}

impl BackwardRows {
    /// The rows whose keys are below `key`.
    pub(super) fn below(block: Arc<RowBlock>, key: &[u8]) -> StoreResult<Self> {
        let (mut keys, mut rows) = (Vec::with_capacity(4 * 1024), Vec::with_capacity(256));
        let mut cursor = BlockCursor::over(Arc::clone(&block));
        while cursor.advance()? && cursor.key() < key {
            let from = keys.len();
            keys.extend_from_slice(cursor.key());
            rows.push((from..keys.len(), cursor.value.clone()));
        }
        let first_end = rows.first().map_or(0, |(first, _): &(Range<usize>, _)| first.end);
        Ok(Self { block, keys, first_end, rows })
    }

    /// The key of the block's first row; empty if that is not below the key that was asked for.
    pub(super) fn first(&self) -> &[u8] {
        &self.keys[..self.first_end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Goes to the row before; `false` before the first one.
    pub(super) fn retreat(&mut self) -> bool {
        self.rows.pop();
        !self.rows.is_empty()
    }

    pub(super) fn key(&self) -> &[u8] {
        self.rows.last().map_or(&[], |(key, _)| &self.keys[key.clone()])
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        let value = self.rows.last().and_then(|(_, value)| value.clone());
        value.map(|value| &self.block.content[value])
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a block has less than 4 GiB")
}

fn checksum(segment: u64, at: u64, content: u32, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&segment.to_be_bytes());
    sum.update(&at.to_be_bytes());
    sum.update(&content.to_be_bytes());
    sum.update(body);
    sum.finalize()
}

/// Writes seven bits a byte, the lowest first; the highest bit says that more follow.
fn put_number(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7F {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut number = 0_usize;
    // Five bytes hold the 32 bits that a length has at the most.
    for shift in [0, 7, 14, 21, 28] {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn frame(rows: &BTreeMap<Vec<u8>, Option<Vec<u8>>>, until: &[u8]) -> Vec<u8> {
        let (mut builder, mut out) = (BlockBuilder::default(), Vec::new());
        rows.iter().for_each(|(key, value)| builder.push(key, value.as_deref()));
        builder.end(until, 7, 40, &mut out);
        out
    }

    fn block(frame: &[u8], segment: u64, at: u64) -> StoreResult<RowBlock> {
        let (head, body) = frame.split_first_chunk().expect("a head");
        FrameHead::read(*head).block(segment, at, body)
    }

    proptest! {
        #[test]
        fn a_block_gives_back_its_rows(
            rows in proptest::collection::btree_map(
                proptest::collection::vec(0..4_u8, 0..12),
                proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
                1..100,
            ),
            until in proptest::collection::vec(any::<u8>(), 0..6),
        ) {
            let frame = frame(&rows, &until);
            let block = Arc::new(block(&frame, 7, 40).expect("a whole block"));
            prop_assert_eq!(block.is_last(), until.is_empty());
            prop_assert!(block.is_last() || !block.reaches(&until));
            for key in rows.keys().chain([&until, &vec![2, 2]]) {
                let found = BlockCursor::seek(Arc::clone(&block), key).expect("rows that read");
                let found = found.map(|row| (row.key().to_vec(), row.value().map(<[u8]>::to_vec)));
                let expected = rows.range(key.clone()..).next();
                prop_assert_eq!(found, expected.map(|(key, value)| (key.clone(), value.clone())));
            }
            let (mut cursor, mut found) = (BlockCursor::over(block), BTreeMap::new());
            while cursor.advance().expect("rows that read") {
                found.insert(cursor.key().to_vec(), cursor.value().map(<[u8]>::to_vec));
            }
            prop_assert_eq!(&found, &rows);
            let block = Arc::clone(cursor.block());
            for key in rows.keys().chain([&until, &vec![9]]) {
                let mut back = BackwardRows::below(Arc::clone(&block), key).expect("they read");
                let mut expected = rows.range(..key.clone());
                while !back.is_empty() {
                    let row = expected.next_back().map(|(key, value)| (&key[..], value.as_deref()));
                    prop_assert_eq!(Some((back.key(), back.value())), row);
                    back.retreat();
                }
                prop_assert_eq!(expected.next(), None);
            }
        }

        #[test]
        fn any_bytes_are_rows_or_damage(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(block) = RowBlock::of(bytes, 0) {
                let block = Arc::new(block);
                let _found = BlockCursor::seek(Arc::clone(&block), b"key");
                let mut cursor = BlockCursor::over(block);
                while matches!(cursor.advance(), Ok(true)) {}
            }
        }
    }

    #[test]
    fn a_changed_or_a_moved_block_is_damage() {
        let rows = BTreeMap::from([(b"Oa".to_vec(), Some(b"1".to_vec()))]);
        let whole = frame(&rows, b"Ob");
        assert!(block(&whole, 7, 40).is_ok());
        for (segment, at) in [(8, 40), (7, 41)] {
            assert!(block(&whole, segment, at).is_err(), "another place");
        }
        for at in 4..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let (head, body) = changed.split_first_chunk().expect("a head");
            let read = FrameHead::read(*head).block(7, 40, body);
            assert!(matches!(read, Err(StoreError::Damaged { .. })), "byte {at}");
        }
    }
}
