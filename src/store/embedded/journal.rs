//! The journal: makes a group of writes durable, with one write and one `fdatasync`.
//!
//! Two files take turns. One is written while the layer that the other one covers is flushed into a
//! segment; then they change places, and the older is written over from its start. Blocks that
//! were written before need no metadata when they are synced again, which halves the time of a
//! sync, so a file grows by a megabyte of zeros at a time and never shrinks.
//!
//! A file is a run of frames: generation `u64`, sequence `u32`, length of the body `u32`, CRC-32 of
//! these and the body `u32`, all big-endian, then the body. A generation is one turn of one file
//! and is never used again, so that remains of an earlier turn are recognised. The manifest says
//! which generations have been flushed; the later ones are replayed in order.
//!
//! A frame that cannot be read ends its file: it was never synced, so never answered (I-12). If a
//! frame of the same turn can be read after it, it was synced, and the file is damaged. A third
//! file shows the loss of a file's *last* frames: after each sync the number of frames is written
//! to `journal-mark`. That file is not synced, so after a loss of power it may count fewer frames
//! than there are, and never more.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use memchr::memmem;

use crate::store::StoreError;
use crate::store::form::damaged;
use crate::store::plan::Writes;

use super::files::{Files, StoreFile};

const NAMES: [&str; 2] = ["journal-a", "journal-b"];
const MARK_NAME: &str = "journal-mark";
/// Every file of the journal.
pub(super) const FILES: [&str; 3] = [NAMES[0], NAMES[1], MARK_NAME];
const MARK_BYTES: usize = 20;
const HEADER_BYTES: usize = 20;
/// The bytes by which a file grows at once.
const GROWTH_BYTES: u64 = 1024 * 1024;
/// The value's length of a removed key.
const REMOVED: u32 = u32::MAX;

/// The two files, one of them being written.
pub(super) struct Journal {
    files: [JournalFile; 2],
    mark: StoreFile,
    current: usize,
    generation: u64,
    sequence: u32,
    /// The number of frames of the generation before.
    before: u32,
    /// The frame that is being built; kept for its allocation.
    frame: Vec<u8>,
}

struct JournalFile {
    file: StoreFile,
    /// The place of the next frame.
    end: u64,
    /// The end of the written part of the file, in this turn or before.
    written: u64,
}

/// A file's frames at opening.
struct FileFrames {
    generation: u64,
    groups: Vec<Writes>,
    /// A group before the last one cannot be read.
    is_damaged: bool,
}

/// The numbers of frames that were durable; zero in a new folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    generation: u64,
    /// The frames of this generation.
    frames: u32,
    /// The frames of the generation before.
    before: u32,
}

/// The content of the files when the folder is opened.
pub(super) struct JournalContent {
    found: Vec<FileFrames>,
    /// The newest generation of any frame, wherever it lies, among those that may need a replay.
    left: u64,
    mark: Mark,
}

impl Journal {
    /// Opens or makes the files, and returns their content. Generations up to `flushed` are not
    /// needed any more.
    pub(super) fn open(disk: &Files, flushed: u64) -> Result<(Self, JournalContent), StoreError> {
        let mut files = Vec::with_capacity(NAMES.len());
        let mut turns = JournalContent { found: Vec::new(), left: 0, mark: Mark::default() };
        for name in NAMES {
            let (file, bytes) = open(disk, name)?;
            let found = read(&bytes)?;
            turns.left = turns.left.max(newest_frame(&bytes, flushed));
            turns.found.extend((found.generation > 0).then_some(found));
            files.push(JournalFile { file, end: 0, written: bytes.len() as u64 });
        }
        turns.found.sort_by_key(|file| file.generation);
        let (mark, bytes) = open(disk, MARK_NAME)?;
        match Mark::read(&bytes) {
            Some(found) => turns.mark = found,
            None => tracing::warn!(
                "`{MARK_NAME}` cannot be read; a loss of the last groups would not be noticed"
            ),
        }
        let files = files.try_into().unwrap_or_else(|_| unreachable!("one for each name"));
        let journal = Self {
            files,
            mark,
            current: 0,
            generation: 0,
            sequence: 0,
            before: 0,
            frame: Vec::new(),
        };
        Ok((journal, turns))
    }

    /// Begins a generation that no file has a frame of. Earlier ones must have been flushed.
    pub(super) fn begin(&mut self, generation: u64) {
        self.generation = generation;
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Writes a group after the last one. It is durable only after [`Self::sync`].
    pub(super) fn append(&mut self, writes: &Writes) -> Result<(), StoreError> {
        fill(&mut self.frame, self.generation, self.sequence, writes);
        let turn = &mut self.files[self.current];
        turn.write(&self.frame).map_err(|source| failed("cannot write the journal", source))?;
        self.sequence += 1;
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let synced = self.files[self.current].file.sync();
        synced.map_err(|source| failed("cannot sync the journal", source))?;
        let Self { generation, sequence, before, .. } = *self;
        let mark = Mark { generation, frames: sequence, before };
        let marked = self.mark.write_at(&mark.bytes(), 0);
        marked.map_err(|source| failed("cannot mark the journal's end", source))
    }

    /// Changes to the other file, whose generation must have been flushed.
    pub(super) fn turn(&mut self) {
        self.current = 1 - self.current;
        self.files[self.current].end = 0;
        self.generation += 1;
        self.before = std::mem::take(&mut self.sequence);
    }
}

/// Whether the journal in a folder has groups of a generation after `flushed`.
pub(super) fn is_written(folder: &Path, flushed: u64) -> Result<bool, StoreError> {
    let path = folder.join(MARK_NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => {
            let context = format!("cannot open the journal `{}`", path.display());
            return Err(StoreError::Io { context, source });
        }
    };
    let mark = Mark::read(&bytes);
    Ok(mark.is_none_or(|mark| mark.generation > flushed && mark.frames > 0))
}

/// The journal up to its mark, at one moment.
pub(super) struct JournalCopy {
    files: [Vec<u8>; 2],
    mark: Vec<u8>,
}

/// Copies the journal in a folder that another process may be writing: the groups after the
/// generation `flushed` that are durable when this begins. `None` if it changed too much meanwhile.
pub(super) fn copy(files: &Files, flushed: u64) -> Result<Option<JournalCopy>, StoreError> {
    let read = |name: &str| {
        let path = files.path(name);
        fs::read(&path).map_err(|source| StoreError::Io {
            context: format!("cannot read the journal `{}`", path.display()),
            source,
        })
    };
    let mark_bytes = read(MARK_NAME)?;
    let Some(mark) = Mark::read(&mark_bytes) else { return Ok(None) };
    let mut copies = [read(NAMES[0])?, read(NAMES[1])?];
    let owed = [(mark.generation, mark.frames), (mark.generation.saturating_sub(1), mark.before)];
    let mut missing =
        owed.map(|(generation, frames)| if generation > flushed { frames } else { 0 });
    for copy in &mut copies {
        let generation = Frame::at(copy).map_or(0, |frame| frame.generation);
        // A later generation has begun since the mark was read, and is not needed.
        let nth = owed.iter().position(|(known, _)| *known == generation);
        let frames = nth.map_or(0, |nth| std::mem::take(&mut missing[nth]));
        let length = (0..frames).try_fold(0, |at, _| {
            let frame = Frame::at(&copy[at..]).filter(|frame| frame.generation == generation)?;
            Some(at + frame.len())
        });
        let Some(length) = length else { return Ok(None) };
        copy.truncate(length);
    }
    Ok((missing == [0, 0]).then_some(JournalCopy { files: copies, mark: mark_bytes }))
}

impl JournalCopy {
    /// The files by their names.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let files = NAMES.into_iter().zip(self.files.iter().map(Vec::as_slice));
        files.chain([(MARK_NAME, self.mark.as_slice())])
    }

    /// The groups, the oldest first.
    pub(super) fn groups(&self) -> Result<Vec<Writes>, StoreError> {
        let mut found = Vec::with_capacity(NAMES.len());
        for bytes in &self.files {
            found.push(self::read(bytes)?);
        }
        found.sort_by_key(|file| file.generation);
        Ok(found.into_iter().flat_map(|file| file.groups).collect())
    }
}

/// Opens or makes a file, and returns its content.
fn open(files: &Files, name: &str) -> Result<(StoreFile, Vec<u8>), StoreError> {
    let path = files.path(name);
    let io = |source| StoreError::Io {
        context: format!("cannot open the journal `{}`", path.display()),
        source,
    };
    let file = match files.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => files.make(name),
        opened => opened,
    }
    .map_err(io)?;
    let bytes = fs::read(&path).map_err(io)?;
    file.sync().map_err(io)?;
    Ok((file, bytes))
}

impl JournalContent {
    /// The newest generation of the mark and of any frame.
    pub(super) fn newest(&self) -> u64 {
        self.left.max(self.mark.generation)
    }

    /// Whether the files have any row, of whatever generation.
    pub(super) fn has_rows(&self) -> bool {
        let mut groups = self.found.iter().flat_map(|file| &file.groups);
        groups.any(|group| !group.is_empty()) || self.mark.frames > 0
    }

    /// The rows of some generations, the later over the earlier.
    pub(super) fn rows(&self, generations: RangeInclusive<u64>) -> Writes {
        let of = self.found.iter().filter(|file| generations.contains(&file.generation));
        of.flat_map(|file| &file.groups).flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// The newest generation with frames after `flushed`, or `flushed` itself.
    pub(super) fn newest_after(&self, flushed: u64) -> u64 {
        self.found.last().map_or(flushed, |file| file.generation.max(flushed))
    }

    /// Describes the groups that are missing after the generation `flushed`.
    pub(super) fn missing_after(&self, flushed: u64) -> Option<String> {
        let newest = self.newest_after(flushed);
        if self.left > newest {
            return Some("the first group of a journal cannot be read".to_owned());
        }
        let frames = |generation: u64| {
            let file = self.found.iter().find(|file| file.generation == generation);
            file.map(|file| file.groups.len())
        };
        if self.found.iter().any(|file| file.generation > flushed && file.is_damaged) {
            return Some("a group in the middle of a journal cannot be read".to_owned());
        }
        if let Some(gone) = (flushed + 1..=newest).find(|generation| frames(*generation).is_none())
        {
            return Some(format!("turn {gone} of the journal is missing"));
        }
        let Mark { generation, frames: of_it, before } = self.mark;
        let marked = [(generation.saturating_sub(1), before), (generation, of_it)];
        marked.into_iter().filter(|(generation, _)| *generation > flushed).find_map(
            |(generation, known)| {
                let found = frames(generation).unwrap_or(0);
                (found < known as usize).then(|| {
                    format!("turn {generation} of the journal has {found} of {known} groups")
                })
            },
        )
    }
}

impl Mark {
    fn bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..8].copy_from_slice(&self.generation.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.frames.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.before.to_be_bytes());
        let sum = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// An empty file belongs to a new folder.
    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let (generation, tail) = bytes.split_first_chunk::<8>()?;
        let number =
            |from: usize| tail.get(from..from + 4)?.try_into().ok().map(u32::from_be_bytes);
        let generation = u64::from_be_bytes(*generation);
        let mark = Self { generation, frames: number(0)?, before: number(4)? };
        (mark.bytes()[..] == *bytes).then_some(mark)
    }
}

impl JournalFile {
    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let end = self.end + frame.len() as u64;
        if end > self.written {
            let zeros = vec![0; usize::try_from(GROWTH_BYTES).expect("a megabyte fits")];
            while end > self.written {
                self.file.write_at(&zeros, self.written)?;
                self.written += GROWTH_BYTES;
            }
        }
        self.file.write_at(frame, self.end)?;
        self.end = end;
        Ok(())
    }
}

fn failed(context: &str, source: io::Error) -> StoreError {
    StoreError::Io { context: context.to_owned(), source }
}

/// Builds a frame in place of the last one.
fn fill(frame: &mut Vec<u8>, generation: u64, sequence: u32, writes: &Writes) {
    frame.clear();
    frame.resize(HEADER_BYTES, 0);
    for (key, value) in writes {
        put_length(frame, key.len());
        match value {
            Some(value) => put_length(frame, value.len()),
            None => frame.extend_from_slice(&REMOVED.to_be_bytes()),
        }
        frame.extend_from_slice(key);
        frame.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    let body = u32::try_from(frame.len() - HEADER_BYTES).expect("a group has less than 4 GiB");
    frame[..8].copy_from_slice(&generation.to_be_bytes());
    frame[8..12].copy_from_slice(&sequence.to_be_bytes());
    frame[12..16].copy_from_slice(&body.to_be_bytes());
    let sum = checksum(&frame[..16], &frame[HEADER_BYTES..]);
    frame[16..20].copy_from_slice(&sum.to_be_bytes());
}

fn put_length(frame: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).ok().filter(|length| *length != REMOVED);
    frame.extend_from_slice(&length.expect("a row has less than 4 GiB").to_be_bytes());
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(head);
    sum.update(body);
    sum.finalize()
}

/// A frame at the start of some bytes.
struct Frame<'a> {
    generation: u64,
    sequence: u32,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    fn at(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let (generation, tail) = head.split_first_chunk::<8>()?;
        let number =
            |from: usize| tail[from..from + 4].first_chunk().map(|n| u32::from_be_bytes(*n));
        let body = rest.get(..usize::try_from(number(4)?).ok()?)?;
        let generation = u64::from_be_bytes(*generation);
        let whole = generation > 0 && checksum(&head[..16], body) == number(8)?;
        whole.then_some(Self { generation, sequence: number(0)?, body })
    }

    const fn len(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// The number of rows that a file's last turn writes or removes.
pub(in crate::store) fn rows_in(bytes: &[u8]) -> Result<usize, StoreError> {
    let found = read(bytes)?;
    if found.is_damaged {
        return Err(damaged("journal", "a group in its middle cannot be read"));
    }
    Ok(found.groups.iter().map(Writes::len).sum())
}

/// The most generations of frames after the last flushed one: both files' turns, and one that each
/// opening skips.
const GENERATIONS_OWED: u64 = 4;

/// The newest generation after `flushed` of any frame of a file, wherever it lies; 0 if there is
/// none.
fn newest_frame(bytes: &[u8], flushed: u64) -> u64 {
    let first = Frame::at(bytes).map_or(0, |frame| frame.generation);
    if first > 0 {
        return first;
    }
    let has = |generation: &u64| {
        let tag = generation.to_be_bytes();
        memmem::find_iter(bytes, &tag).any(|at| Frame::at(&bytes[at..]).is_some())
    };
    (flushed + 1..=flushed + GENERATIONS_OWED).rev().find(has).unwrap_or(0)
}

/// Reads the frames of a file's last turn.
fn read(bytes: &[u8]) -> Result<FileFrames, StoreError> {
    let mut found = FileFrames { generation: 0, groups: Vec::new(), is_damaged: false };
    let mut rest = bytes;
    let mut next = 0;
    while let Some(frame) = Frame::at(rest) {
        if next == 0 {
            found.generation = frame.generation;
        }
        if frame.generation != found.generation || frame.sequence != next {
            break;
        }
        found.groups.push(group(frame.body)?);
        rest = &rest[frame.len()..];
        next += 1;
    }
    let tag = found.generation.to_be_bytes();
    let later = |from: &usize| {
        let frame = Frame::at(&rest[*from..]);
        frame.is_some_and(|frame| frame.generation == found.generation && frame.sequence > next)
    };
    // A turn that has been flushed may be damaged: the next one's first group was torn over it.
    found.is_damaged = next > 0 && memmem::find_iter(rest, &tag).any(|from| later(&from));
    Ok(found)
}

/// Reads a group whose checksum holds.
fn group(mut body: &[u8]) -> Result<Writes, StoreError> {
    let mut writes = Writes::new();
    while !body.is_empty() {
        let (key, value) =
            pair(&mut body).ok_or_else(|| damaged("journal", "a row is longer than its group"))?;
        writes.insert(key.into(), value);
    }
    Ok(writes)
}

fn pair(body: &mut &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let key = take_length(body)?;
    let value = take_length(body)?;
    let key = body.split_off(..usize::try_from(key).ok()?)?.to_vec();
    if value == REMOVED {
        return Some((key, None));
    }
    let value = body.split_off(..usize::try_from(value).ok()?)?.to_vec();
    Some((key, Some(value)))
}

fn take_length(body: &mut &[u8]) -> Option<u32> {
    body.split_off(..4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
