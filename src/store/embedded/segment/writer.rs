//! Writes a segment, from its first row to its trailer.

use crate::store::StoreError;

use super::super::files::{Files, StoreFile};
use super::super::index::BlockPlace;
use super::block::BlockBuilder;
use super::filter::KeyFilter;
use super::{Part, SegmentEntry, SegmentFacts, TableFacts, Trailer, is_scattered, name_of};

/// The bytes that are gathered for one write.
const WRITE_BYTES: usize = 1024 * 1024;
/// The bytes after which the file is synced, so that a large segment never keeps the disk busy for
/// long: the journal's syncs wait behind it.
const SYNC_BYTES: u64 = 16 * 1024 * 1024;

/// A segment that is being written.
pub(in super::super) struct SegmentWriter {
    files: Files,
    /// Made with the first write.
    file: Option<StoreFile>,
    number: u64,
    block: BlockBuilder,
    places: Vec<BlockPlace>,
    facts: SegmentFacts,
    rows: u64,
    /// The bytes that are not written yet, and their place.
    gathered: Vec<u8>,
    written: u64,
    synced: u64,
}

impl SegmentWriter {
    /// Begins a segment with at most this many keys that are not in order of time.
    pub(in super::super) fn new(files: &Files, number: u64, scattered: u64) -> Self {
        let filter = KeyFilter::for_keys(scattered);
        Self {
            files: files.clone(),
            file: None,
            number,
            block: BlockBuilder::default(),
            places: Vec::new(),
            facts: SegmentFacts { filter, ..SegmentFacts::default() },
            rows: 0,
            gathered: Vec::new(),
            written: 0,
            synced: 0,
        }
    }

    /// Adds a row after the last one.
    pub(in super::super) fn push(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        if self.block.is_full() {
            self.end_block(key);
            if self.gathered.len() >= WRITE_BYTES {
                self.write()?;
            }
        }
        self.block.push(key, value);
        self.rows += 1;
        let letter = key.first().copied().unwrap_or_default();
        match self.facts.tables.last_mut().filter(|table| table.letter == letter) {
            Some(table) => {
                table.rows += 1;
                table.last.clear();
                table.last.extend_from_slice(key);
            }
            None => {
                let (first, last) = (key.to_vec(), key.to_vec());
                self.facts.tables.push(TableFacts { letter, rows: 1, first, last });
            }
        }
        if is_scattered(letter) {
            self.facts.filter.add(key);
        }
        Ok(())
    }

    /// Completes the file and makes its content durable; its name becomes durable with its folder.
    /// `None`, and no file, if it has no row.
    pub(in super::super) fn end(
        mut self,
        level: u8,
    ) -> Result<Option<(SegmentEntry, Vec<BlockPlace>)>, StoreError> {
        if self.block.is_empty() {
            return Ok(None);
        }
        self.end_block(&[]);
        let list: Vec<_> = self.places.iter().map(|place| (&place.first, place.at)).collect();
        let list = self.part(&postcard::to_stdvec(&list).map_err(encoding)?);
        let facts = postcard::to_stdvec(&self.facts).map_err(encoding)?;
        let trailer = Trailer { list, facts: self.part(&facts) }.bytes();
        self.gathered.extend_from_slice(&trailer);
        self.write()?;
        self.sync()?;
        let entry = SegmentEntry {
            number: self.number,
            level,
            bytes: self.written,
            rows: self.rows,
            checksum: Trailer::checksum(&trailer),
        };
        Ok(Some((entry, self.places)))
    }

    fn end_block(&mut self, until: &[u8]) {
        let at = self.written + self.gathered.len() as u64;
        let first = self.block.end(until, self.number, at, &mut self.gathered);
        self.facts.index.add(&first, at);
        self.places.push(BlockPlace { first, at });
    }

    fn part(&mut self, bytes: &[u8]) -> Part {
        let at = self.written + self.gathered.len() as u64;
        self.gathered.extend_from_slice(bytes);
        let length = u32::try_from(bytes.len()).expect("a list of blocks has less than 4 GiB");
        Part { at, length, sum: crc32fast::hash(bytes) }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.files.make(&name_of(self.number)).map_err(failed)?),
        };
        file.write_at(&self.gathered, self.written).map_err(failed)?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        if self.written - self.synced >= SYNC_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.synced = self.written;
        self.file.as_ref().map_or(Ok(()), |file| file.sync().map_err(failed))
    }
}

fn failed(source: std::io::Error) -> StoreError {
    StoreError::Io { context: "cannot write a segment".to_owned(), source }
}

fn encoding(error: postcard::Error) -> StoreError {
    StoreError::Backend { context: "cannot write a segment", detail: error.to_string() }
}
