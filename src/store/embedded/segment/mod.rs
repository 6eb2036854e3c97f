//! Segments: immutable files of sorted rows, in which durable rows rest for good.
//!
//! A segment holds the rows of one layer, or of several segments that were compacted into it: for
//! each key the latest value, or its removal. Of two segments the newer one's row counts.
//!
//! The file: the blocks, one after another; the list of their first keys and places; the facts (the
//! number of rows, the first and last key of each table, the filter); the trailer, which has the
//! places and checksums of list and facts. The manifest has the trailer's checksum, so that another
//! file in a segment's place is recognised when the store is opened. A block's own checksum is
//! verified at every read.

mod block;
mod filter;
mod writer;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::store::StoreError;
use crate::store::form::damaged;
use crate::store::sorted::StoreResult;

use super::files::Files;
use super::index::{BlockIndex, BlockPlace, IndexSum};
use block::{BackwardRows, BlockCursor, FRAME_HEAD_BYTES, FrameHead, RowBlock, wrong_block};
use filter::KeyFilter;

pub(super) use writer::SegmentWriter;

/// The folder of segments.
pub(super) const FOLDER: &str = "segments";
const MAGIC: &[u8; 8] = b"SWSEGM01";
const TRAILER_BYTES: usize = 44;

/// A segment's entry in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentEntry {
    /// Never used again in a folder.
    pub number: u64,
    /// The number of compactions of its rows.
    pub level: u8,
    pub bytes: u64,
    pub rows: u64,
    /// The checksum of the file's trailer.
    pub checksum: u32,
}

impl SegmentEntry {
    /// The file's name below the store's folder.
    pub(super) fn name(&self) -> String {
        name_of(self.number)
    }
}

fn name_of(number: u64) -> String {
    format!("{FOLDER}/{number:010}")
}

/// A segment's description of itself.
#[derive(Debug, Default, Serialize, Deserialize)]
struct SegmentFacts {
    index: IndexSum,
    /// In the order of their letters.
    tables: Vec<TableFacts>,
    /// The filter of keys that are not in order of time.
    filter: KeyFilter,
}

/// The rows of a table, which is the first byte of its keys.
#[derive(Debug, Serialize, Deserialize)]
struct TableFacts {
    letter: u8,
    rows: u64,
    first: Vec<u8>,
    last: Vec<u8>,
}

/// The place and the checksum of a part of the file.
#[derive(Debug, Clone, Copy)]
struct Part {
    at: u64,
    length: u32,
    sum: u32,
}

/// The end of the file.
struct Trailer {
    list: Part,
    facts: Part,
}

/// Blocks that were read before, by segment and place.
pub(super) struct BlockCache(quick_cache::sync::Cache<(u64, u64), Arc<RowBlock>, BlockWeight>);

/// A block weighs as much as its memory.
#[derive(Clone)]
struct BlockWeight;

impl quick_cache::Weighter<(u64, u64), Arc<RowBlock>> for BlockWeight {
    fn weight(&self, _: &(u64, u64), block: &Arc<RowBlock>) -> u64 {
        block.bytes() as u64
    }
}

impl BlockCache {
    /// A cache of this many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        const USUAL_BYTES: u64 = 32 * 1024;
        let blocks = usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX).max(16);
        Self(quick_cache::sync::Cache::with_weighter(blocks, bytes, BlockWeight))
    }
}

/// A segment, open for reading.
pub(super) struct Segment {
    pub entry: SegmentEntry,
    file: File,
    path: PathBuf,
    list: Part,
    facts: SegmentFacts,
    /// Without it the list of blocks gives their places, and each block is read from the file.
    shared: Option<SegmentShare>,
    /// The list of blocks, read when the index has failed.
    places: OnceLock<Vec<BlockPlace>>,
}

/// The parts that a store's segments share.
#[derive(Clone)]
pub(super) struct SegmentShare {
    pub index: Arc<BlockIndex>,
    pub cache: Arc<BlockCache>,
}

impl Segment {
    /// Opens a segment of the manifest, and reads everything but its blocks. `None` if the file is
    /// not the one that was written.
    pub(super) fn open(
        files: &Files,
        entry: &SegmentEntry,
        shared: Option<&SegmentShare>,
    ) -> io::Result<Option<Self>> {
        let path = files.path(&entry.name());
        let file = File::open(&path)?;
        if file.metadata()?.len() != entry.bytes || entry.bytes < TRAILER_BYTES as u64 {
            return Ok(None);
        }
        let mut trailer = [0; TRAILER_BYTES];
        file.read_exact_at(&mut trailer, entry.bytes - TRAILER_BYTES as u64)?;
        let Some(Trailer { list, facts }) = Trailer::read(&trailer, entry.checksum) else {
            return Ok(None);
        };
        let Some(facts) = facts.read(&file)?.and_then(|bytes| postcard::from_bytes(&bytes).ok())
        else {
            return Ok(None);
        };
        let (entry, shared, places) = (entry.clone(), shared.cloned(), OnceLock::new());
        Ok(Some(Self { entry, file, path, list, facts, shared, places }))
    }

    /// Whether the file is as it was written, as far as can be told without reading its blocks.
    pub(super) fn is_whole(files: &Files, entry: &SegmentEntry) -> bool {
        matches!(Self::open(files, entry, None), Ok(Some(_)))
    }

    pub(super) fn number(&self) -> u64 {
        self.entry.number
    }

    /// The segment's sum in a complete index.
    pub(super) fn index_sum(&self) -> IndexSum {
        self.facts.index
    }

    /// The number of a table's keys in the segment.
    pub(super) fn rows_of(&self, letter: u8) -> u64 {
        self.table(letter).map_or(0, |table| table.rows)
    }

    /// The last key of a table.
    pub(super) fn last_key(&self, letter: u8) -> Option<&[u8]> {
        self.table(letter).map(|table| table.last.as_slice())
    }

    fn table(&self, letter: u8) -> Option<&TableFacts> {
        let tables = &self.facts.tables;
        tables.binary_search_by_key(&letter, |table| table.letter).ok().map(|at| &tables[at])
    }

    /// `false` if the segment has no row of this key.
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        let Some(table) = key.first().and_then(|letter| self.table(*letter)) else { return false };
        let within = key >= table.first.as_slice() && key <= table.last.as_slice();
        within && (!is_scattered(table.letter) || self.facts.filter.may_have(key))
    }

    /// Whether a key of the segment may lie between two bounds, the second excluded.
    fn may_reach(&self, from: &[u8], to: &[u8]) -> bool {
        let within =
            |table: &TableFacts| table.last.as_slice() >= from && table.first.as_slice() < to;
        self.facts.tables.iter().any(within)
    }

    /// The row of a key: outer `None` if the segment has none, inner `None` if it was removed.
    pub(super) fn get(&self, key: &[u8]) -> StoreResult<Option<Option<Vec<u8>>>> {
        if !self.may_have(key) {
            return Ok(None);
        }
        let Some(block) = self.block_of(key)? else { return Ok(None) };
        let row = BlockCursor::seek(block, key)?.filter(|row| row.key() == key);
        Ok(row.map(|row| row.value().map(<[u8]>::to_vec)))
    }

    /// The block that has the key, if the segment has it.
    fn block_of(&self, key: &[u8]) -> StoreResult<Option<Arc<RowBlock>>> {
        Ok(self.locate(key)?.map(|(_, block)| block))
    }

    /// The same, with the place of the next block. `None` if the key comes before all rows.
    fn locate(&self, key: &[u8]) -> StoreResult<Option<(u64, Arc<RowBlock>)>> {
        let first = self.facts.tables.first().map(|table| table.first.as_slice());
        if first.is_none_or(|first| key < first) {
            return Ok(None);
        }
        if let Some(shared) = &self.shared
            && self.places.get().is_none()
        {
            match shared.index.find(self.number(), key) {
                Ok(Some(place)) => {
                    let at = place.at;
                    if let Ok((next, block)) = self.cached(at)
                        && begins_with(&block, &place.first)
                        && block.reaches(key)
                    {
                        return Ok(Some((next, block)));
                    }
                }
                Ok(None) => {}
                Err(why) => tracing::error!(
                    %why, "the index cannot be read; the segment's own list is read"
                ),
            }
        }
        // The index is damaged or incomplete.
        let places = self.listed()?;
        let behind = places.partition_point(|place| place.first.as_slice() <= key);
        let Some(place) = behind.checked_sub(1).map(|at| &places[at]) else { return Ok(None) };
        self.cached(place.at).map(Some)
    }

    /// The block that has the last row below the key, if the segment has one.
    fn locate_below(&self, key: &[u8]) -> StoreResult<Option<Arc<RowBlock>>> {
        if let Some(shared) = &self.shared
            && self.places.get().is_none()
        {
            match shared.index.find_below(self.number(), key) {
                Ok(Some(place)) => {
                    if let Ok((_, block)) = self.cached(place.at)
                        && begins_with(&block, &place.first)
                        && block.reaches_to(key)
                    {
                        return Ok(Some(block));
                    }
                }
                Ok(None) => {}
                Err(why) => tracing::error!(
                    %why, "the index cannot be read; the segment's own list is read"
                ),
            }
            let first = self.facts.tables.first().map(|table| table.first.as_slice());
            if first.is_none_or(|first| key <= first) {
                return Ok(None);
            }
        }
        // The index is damaged or incomplete.
        let places = self.listed()?;
        let behind = places.partition_point(|place| place.first.as_slice() < key);
        let place = behind.checked_sub(1).map(|at| &places[at]);
        place.map(|place| self.cached(place.at).map(|(_, block)| block)).transpose()
    }

    /// The list of blocks at the segment's end, kept after its first use.
    fn listed(&self) -> StoreResult<&[BlockPlace]> {
        if self.places.get().is_none() {
            let places = self.places()?;
            if self.shared.is_some() {
                tracing::warn!(
                    segment = self.number(),
                    "the index led to no readable block; the segment's own list is read from now on"
                );
            }
            return Ok(self.places.get_or_init(|| places));
        }
        Ok(self.places.get().map_or(&[], Vec::as_slice))
    }

    /// Reads the list of blocks.
    pub(super) fn places(&self) -> StoreResult<Vec<BlockPlace>> {
        let bytes = self.list.read(&self.file).map_err(|e| self.failed(e))?;
        let list = bytes.and_then(|bytes| postcard::from_bytes::<Vec<(Vec<u8>, u64)>>(&bytes).ok());
        let list = list.ok_or_else(|| {
            damaged("segments", &format!("the list of blocks of segment {}", self.number()))
        })?;
        Ok(list.into_iter().map(|(first, at)| BlockPlace { first, at }).collect())
    }

    fn cached(&self, at: u64) -> StoreResult<(u64, Arc<RowBlock>)> {
        let key = (self.number(), at);
        let cache = self.shared.as_ref().map(|shared| &shared.cache.0);
        if let Some(block) = cache.and_then(|cache| cache.get(&key)) {
            return Ok((at + block.frame_bytes(), block));
        }
        let block = Arc::new(self.block_at(at)?);
        if let Some(cache) = cache {
            cache.insert(key, Arc::clone(&block));
        }
        Ok((at + block.frame_bytes(), block))
    }

    fn block_at(&self, at: u64) -> StoreResult<RowBlock> {
        let number = self.number();
        let mut head = [0; FRAME_HEAD_BYTES];
        let body_at = at + FRAME_HEAD_BYTES as u64;
        if body_at > self.list.at {
            return Err(wrong_block(number, at, "it lies behind the last one"));
        }
        self.file.read_exact_at(&mut head, at).map_err(|e| self.failed(e))?;
        let head = FrameHead::read(head);
        if body_at + head.body_bytes() as u64 > self.list.at {
            return Err(wrong_block(number, at, "its length is wrong"));
        }
        let mut body = vec![0; head.body_bytes()];
        self.file.read_exact_at(&mut body, body_at).map_err(|e| self.failed(e))?;
        head.block(number, at, &body)
    }

    /// Visits the rows of a block, and checks them against the list of blocks.
    pub(super) fn read_block(
        &self,
        place: &BlockPlace,
        until: Option<&[u8]>,
        show: &mut ShowRow<'_>,
    ) -> StoreResult<()> {
        let wrong = |what| Err(wrong_block(self.number(), place.at, what));
        let block = Arc::new(self.block_at(place.at)?);
        if until.is_none() != block.is_last() || until.is_some_and(|until| block.reaches(until)) {
            return wrong("another block follows than the one that was written");
        }
        let mut last = Vec::new();
        let mut cursor = BlockCursor::over(block);
        while cursor.advance()? {
            let follows = if last.is_empty() {
                cursor.key() == place.first
            } else {
                cursor.key() > last.as_slice()
            };
            if !follows {
                return wrong("its rows are not in their order");
            }
            show(cursor.key(), cursor.value());
            last.clear();
            last.extend_from_slice(cursor.key());
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::Io { context: format!("cannot read `{}`", self.path.display()), source }
    }

    /// The rows from a key on, if any lies before `to`; through the cache.
    pub(super) fn rows_from(
        self: &Arc<Self>,
        from: &[u8],
        to: &[u8],
    ) -> StoreResult<Option<SegmentCursor>> {
        if !self.may_reach(from, to) {
            return Ok(None);
        }
        let (next, block) = match self.locate(from)? {
            Some(found) => found,
            None => self.cached(0)?,
        };
        let segment = Arc::clone(self);
        if let Some(rows) = BlockCursor::seek(Arc::clone(&block), from)? {
            return Ok(Some(SegmentCursor { segment, rows, next, cached: true }));
        }
        if block.is_last() {
            return Ok(None);
        }
        // All of the block lies before the key, and all of the next one after it.
        let (after, block) = self.cached(next)?;
        let rows = BlockCursor::over(block);
        let mut cursor = SegmentCursor { segment, rows, next: after, cached: true };
        Ok(cursor.advance()?.then_some(cursor))
    }

    /// The rows below `to` from the last to the first, if any lies at `from` or after it; through
    /// the cache.
    pub(super) fn rows_below(
        self: &Arc<Self>,
        from: &[u8],
        to: &[u8],
    ) -> StoreResult<Option<BackwardCursor>> {
        if !self.may_reach(from, to) {
            return Ok(None);
        }
        let Some(block) = self.locate_below(to)? else { return Ok(None) };
        let rows = BackwardRows::below(block, to)?;
        let is_within = !rows.is_empty() && rows.key() >= from;
        let (segment, from) = (Arc::clone(self), from.to_vec());
        Ok(is_within.then_some(BackwardCursor { segment, rows, from }))
    }

    /// All rows from the first on, without the cache: for reading the whole segment once.
    pub(super) fn all_rows(self: &Arc<Self>) -> StoreResult<Option<SegmentCursor>> {
        let block = self.block_at(0)?;
        let next = block.frame_bytes();
        let rows = BlockCursor::over(Arc::new(block));
        let mut cursor = SegmentCursor { segment: Arc::clone(self), rows, next, cached: false };
        Ok(cursor.advance()?.then_some(cursor))
    }
}

/// The callback for the rows of a block; the value of a removed key is `None`.
type ShowRow<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// Whether a block's first row has this key.
fn begins_with(block: &Arc<RowBlock>, first: &[u8]) -> bool {
    let mut cursor = BlockCursor::over(Arc::clone(block));
    matches!(cursor.advance(), Ok(true)) && cursor.key() == first
}

/// A cursor over a segment's rows, from one of them on.
pub(super) struct SegmentCursor {
    segment: Arc<Segment>,
    rows: BlockCursor,
    /// The place of the next block.
    next: u64,
    cached: bool,
}

impl SegmentCursor {
    /// Advances to the next row; `false` after the last one.
    pub(super) fn advance(&mut self) -> StoreResult<bool> {
        loop {
            if self.rows.advance()? {
                return Ok(true);
            }
            if self.rows.block().is_last() {
                return Ok(false);
            }
            let (next, block) = if self.cached {
                self.segment.cached(self.next)?
            } else {
                let block = self.segment.block_at(self.next)?;
                (self.next + block.frame_bytes(), Arc::new(block))
            };
            (self.next, self.rows) = (next, BlockCursor::over(block));
        }
    }

    pub(super) fn key(&self) -> &[u8] {
        self.rows.key()
    }

    /// `None` if the key was removed.
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.rows.value()
    }
}

/// A cursor over a segment's rows, from one of them down to a key.
pub(super) struct BackwardCursor {
    segment: Arc<Segment>,
    rows: BackwardRows,
    from: Vec<u8>,
}

impl BackwardCursor {
    /// Goes to the row before; `false` before the first one.
    pub(super) fn retreat(&mut self) -> StoreResult<bool> {
        if self.rows.retreat() {
            return Ok(true);
        }
        let first = self.rows.first().to_vec();
        if first <= self.from {
            return Ok(false);
        }
        let Some(block) = self.segment.locate_below(&first)? else { return Ok(false) };
        self.rows = BackwardRows::below(block, &first)?;
        Ok(!self.rows.is_empty())
    }

    pub(super) fn key(&self) -> &[u8] {
        self.rows.key()
    }

    /// `None` if the key was removed.
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.rows.value()
    }
}

impl Part {
    /// `None` if the part is not as it was written.
    fn read(self, file: &File) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; self.length as usize];
        file.read_exact_at(&mut bytes, self.at)?;
        Ok((crc32fast::hash(&bytes) == self.sum).then_some(bytes))
    }

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.at.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
        out.extend_from_slice(&self.sum.to_be_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (at, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        *bytes = rest;
        let (length, sum) = (u32::from_be_bytes(*length), u32::from_be_bytes(*sum));
        Some(Self { at: u64::from_be_bytes(*at), length, sum })
    }
}

impl Trailer {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TRAILER_BYTES);
        bytes.extend_from_slice(MAGIC);
        self.list.put(&mut bytes);
        self.facts.put(&mut bytes);
        let sum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// The trailer's checksum, which the manifest has.
    fn checksum(bytes: &[u8]) -> u32 {
        bytes.last_chunk().map_or(0, |sum| u32::from_be_bytes(*sum))
    }

    fn read(bytes: &[u8], checksum: u32) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let (list, facts) = (Part::take(&mut rest)?, Part::take(&mut rest)?);
        let found = Self { list, facts };
        (found.bytes() == bytes && Self::checksum(bytes) == checksum).then_some(found)
    }
}

/// Whether a table's keys are not in order of time, so that every segment may have any of them.
fn is_scattered(letter: u8) -> bool {
    crate::store::table::is_scattered(letter)
}
