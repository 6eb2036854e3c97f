//! The journal: where a group of writes becomes durable, in one write and one `fdatasync`.
//!
//! Two files take turns. One is written while the layer that the other one covers settles into the
//! tree; then they change places, and the older is written over from its start. Blocks that were
//! written before need no metadata when they are synced again, which halves the time of a sync, so
//! a file grows by a megabyte of zeros at a time and never shrinks.
//!
//! A file is a run of frames: generation `u64`, sequence `u32`, length of the body `u32`, CRC-32 of
//! these and the body `u32`, all big-endian, then the body. A generation is one turn of one file
//! and never comes again, so that what an earlier turn left behind is told apart. Replaying the
//! files in the order of their generations is right even where a layer had settled already: every
//! later generation is there to be replayed after it.
//!
//! A frame that does not read ends its file: it was never synced, so never answered (I-12). If a
//! frame of the same turn reads after it, it was synced, and the file is damaged.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::store::StoreError;
use crate::store::plan::Writes;
use crate::store::record;

const NAMES: [&str; 2] = ["journal-a", "journal-b"];
const HEADER_BYTES: usize = 20;
/// How much a file grows at once.
const GROWTH_BYTES: u64 = 1024 * 1024;
/// Stands in the place of a value's length where the key is removed.
const REMOVED: u32 = u32::MAX;

/// The two files, one of them being written.
pub(super) struct Journal {
    files: [Turn; 2],
    current: usize,
    generation: u64,
    sequence: u32,
    /// The frame being built; kept for its room.
    frame: Vec<u8>,
}

struct Turn {
    file: File,
    /// Where the next frame goes.
    end: u64,
    /// How far the file has been written, in this turn or before.
    written: u64,
}

/// A file's frames, as they were found.
struct Found {
    generation: u64,
    groups: Vec<Writes>,
}

impl Journal {
    /// Opens or makes the files, and gives what they hold, merged, for the tree.
    pub(super) fn open(folder: &Path) -> Result<(Self, Writes), StoreError> {
        let mut files = Vec::with_capacity(NAMES.len());
        let mut found = Vec::with_capacity(NAMES.len());
        let mut left = Vec::with_capacity(NAMES.len());
        for name in NAMES {
            let path = folder.join(name);
            let context = || format!("cannot open the journal `{}`", path.display());
            let io = |source| StoreError::Io { context: context(), source };
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(io(error)),
            };
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.open(&path).map_err(io)?;
            file.sync_all().map_err(io)?;
            found.push(read(&bytes)?);
            left.push(if bytes.is_empty() { 0 } else { newest_frame(&bytes) });
            files.push(Turn { file, end: 0, written: bytes.len() as u64 });
        }
        // Where a first frame was torn, what is left behind it is older than the other file.
        let newest = found.iter().map(|file| file.generation).max().unwrap_or(0);
        if left.iter().any(|generation| *generation > newest) {
            return Err(record::damaged("journal", "the first group of a file does not read"));
        }
        found.sort_by_key(|file| file.generation);
        // A turn whose first frame was torn by a loss of power is not seen, so one is passed over.
        let generation = found.last().map_or(0, |file| file.generation) + 2;
        let owed = found.into_iter().flat_map(|file| file.groups).flatten().collect();
        let files = files.try_into().unwrap_or_else(|_| unreachable!("one for each name"));
        Ok((Self { files, current: 0, generation, sequence: 0, frame: Vec::new() }, owed))
    }

    /// Writes a group behind the last one. It is durable only after [`Self::sync`].
    pub(super) fn append(&mut self, writes: &Writes) -> Result<(), StoreError> {
        fill(&mut self.frame, self.generation, self.sequence, writes);
        let turn = &mut self.files[self.current];
        turn.write(&self.frame).map_err(|source| failed("cannot write the journal", source))?;
        self.sequence += 1;
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let synced = self.files[self.current].file.sync_data();
        synced.map_err(|source| failed("cannot sync the journal", source))
    }

    /// The other file's turn. What it held must have settled.
    pub(super) fn turn(&mut self) {
        self.current = 1 - self.current;
        self.files[self.current].end = 0;
        self.generation += 1;
        self.sequence = 0;
    }

    /// Empties both files, one after the other, so that a loss of power tears one at most. All that
    /// they held must have settled.
    pub(super) fn clear(&mut self) -> Result<(), StoreError> {
        for _ in 0..NAMES.len() {
            self.turn();
            self.append(&Writes::new())?;
            self.sync()?;
        }
        self.turn();
        Ok(())
    }
}

impl Turn {
    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let end = self.end + frame.len() as u64;
        if end > self.written {
            let zeros = vec![0; usize::try_from(GROWTH_BYTES).expect("a megabyte fits")];
            while end > self.written {
                self.file.write_all_at(&zeros, self.written)?;
                self.written += GROWTH_BYTES;
            }
        }
        self.file.write_all_at(frame, self.end)?;
        self.end = end;
        Ok(())
    }
}

fn failed(context: &str, source: io::Error) -> StoreError {
    StoreError::Io { context: context.to_owned(), source }
}

/// Builds a frame in the place of the last one.
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

/// How many rows a file's last turn writes or removes.
pub(in crate::store) fn rows_in(bytes: &[u8]) -> Result<usize, StoreError> {
    Ok(read(bytes)?.groups.iter().map(Writes::len).sum())
}

/// The newest generation that a file has a frame of, wherever it stands.
fn newest_frame(bytes: &[u8]) -> u64 {
    let generation = |from| Frame::at(&bytes[from..]).map_or(0, |frame| frame.generation);
    if generation(0) > 0 {
        return generation(0);
    }
    (0..bytes.len()).map(generation).max().unwrap_or(0)
}

/// Reads the frames of a file's last turn.
fn read(bytes: &[u8]) -> Result<Found, StoreError> {
    let mut found = Found { generation: 0, groups: Vec::new() };
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
    let tagged = rest.windows(tag.len()).enumerate().filter(|(_, bytes)| *bytes == tag);
    if next > 0 && tagged.map(|(from, _)| from).any(|from| later(&from)) {
        return Err(record::damaged("journal", "a group in its middle does not read"));
    }
    Ok(found)
}

/// Reads a group whose checksum holds.
fn group(mut body: &[u8]) -> Result<Writes, StoreError> {
    let mut writes = Writes::new();
    while !body.is_empty() {
        let (key, value) = pair(&mut body)
            .ok_or_else(|| record::damaged("journal", "a row is longer than its group"))?;
        writes.insert(key, value);
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
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A folder that goes with the value.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("switchyard-journal-{}-{name}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).expect("a scratch folder");
            Self(folder)
        }

        fn owed(&self) -> Writes {
            Journal::open(&self.0).expect("a journal that reads").1
        }

        /// Changes a file's bytes.
        fn spoil(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
            let path = self.0.join(name);
            let mut bytes = fs::read(&path).expect("the file");
            change(&mut bytes);
            fs::write(&path, bytes).expect("the file");
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _removed = fs::remove_dir_all(&self.0);
        }
    }

    fn writes(pairs: &[(&str, Option<&str>)]) -> Writes {
        let bytes = |text: &str| text.as_bytes().to_vec();
        pairs.iter().map(|(key, value)| (bytes(key), value.map(bytes))).collect()
    }

    fn append(journal: &mut Journal, pairs: &[(&str, Option<&str>)]) {
        journal.append(&writes(pairs)).expect("it is written");
        journal.sync().expect("it is synced");
    }

    #[test]
    fn what_was_written_is_found_with_the_last_value_of_each_key() {
        let folder = Folder::new("found");
        let (mut journal, owed) = Journal::open(&folder.0).expect("a new journal");
        assert!(owed.is_empty());
        append(&mut journal, &[("a", Some("1")), ("b", Some("1"))]);
        append(&mut journal, &[("a", None), ("c", Some(""))]);
        journal.turn();
        append(&mut journal, &[("b", Some("2"))]);
        let expected = writes(&[("a", None), ("b", Some("2")), ("c", Some(""))]);
        assert_eq!(folder.owed(), expected);
        assert_eq!(folder.owed(), expected, "reading changes nothing");
    }

    #[test]
    fn a_file_written_over_gives_its_new_turn_only() {
        let folder = Folder::new("over");
        let (mut journal, _) = Journal::open(&folder.0).expect("a new journal");
        // Frames of equal length, so that an old one begins right where a new one ends.
        append(&mut journal, &[("a", Some("1"))]);
        append(&mut journal, &[("b", Some("1"))]);
        journal.turn();
        append(&mut journal, &[("c", Some("2"))]);
        journal.turn();
        append(&mut journal, &[("d", Some("3"))]);
        assert_eq!(folder.owed(), writes(&[("c", Some("2")), ("d", Some("3"))]));
        journal.clear().expect("it is cleared");
        assert_eq!(folder.owed(), Writes::new());
        let (mut journal, _) = Journal::open(&folder.0).expect("a journal");
        append(&mut journal, &[("e", Some("4"))]);
        assert_eq!(folder.owed(), writes(&[("e", Some("4"))]));
    }

    #[test]
    fn i_12_a_torn_last_group_was_never_answered() {
        let first = [("a", Some("1"))];
        for cut in 0..HEADER_BYTES + 8 + 2 {
            let folder = Folder::new(&format!("torn-{cut}"));
            let (mut journal, _) = Journal::open(&folder.0).expect("a new journal");
            append(&mut journal, &first);
            let whole = HEADER_BYTES + 8 + 2;
            append(&mut journal, &[("b", Some("2"))]);
            folder.spoil(NAMES[0], |bytes| bytes[whole + cut..].fill(0));
            assert_eq!(folder.owed(), writes(&first), "cut at {cut}");
        }
    }

    #[test]
    fn i_12_a_flipped_bit_before_the_last_group_is_damage() {
        let folder = Folder::new("flipped");
        let (mut journal, _) = Journal::open(&folder.0).expect("a new journal");
        for value in ["1", "2", "3"] {
            append(&mut journal, &[("a", Some(value))]);
        }
        let frame = HEADER_BYTES + 8 + 2;
        folder.spoil(NAMES[0], |bytes| bytes[frame + HEADER_BYTES] ^= 1);
        let refused = Journal::open(&folder.0).map(|(_, owed)| owed);
        let told = refused.expect_err("a synced group is gone").to_string();
        assert!(told.contains("journal"), "{told}");
    }

    #[test]
    fn i_12_a_flipped_bit_in_the_first_of_many_groups_is_damage() {
        let folder = Folder::new("first");
        let (mut journal, _) = Journal::open(&folder.0).expect("a new journal");
        for value in ["1", "2"] {
            append(&mut journal, &[("a", Some(value))]);
        }
        folder.spoil(NAMES[0], |bytes| bytes[HEADER_BYTES] ^= 1);
        let refused = Journal::open(&folder.0).map(|(_, owed)| owed);
        let told = refused.expect_err("synced groups are gone").to_string();
        assert!(told.contains("journal"), "{told}");
    }

    #[test]
    fn a_turn_whose_first_frame_is_torn_never_lends_its_generation() {
        let folder = Folder::new("lent");
        let (mut journal, _) = Journal::open(&folder.0).expect("a new journal");
        append(&mut journal, &[("a", Some("1"))]);
        journal.turn();
        append(&mut journal, &[("b", Some("1"))]);
        journal.turn();
        append(&mut journal, &[("c", Some("1"))]);
        // As if the only frame of the newest turn had been torn.
        folder.spoil(NAMES[0], |bytes| bytes[3] ^= 1);
        let (mut journal, _) = Journal::open(&folder.0).expect("a journal");
        append(&mut journal, &[("e", Some("1"))]);
        assert_eq!(folder.owed(), writes(&[("b", Some("1")), ("e", Some("1"))]));
    }

    #[test]
    fn a_large_group_grows_the_file() {
        let folder = Folder::new("large");
        let (mut journal, _) = Journal::open(&folder.0).expect("a new journal");
        let large = Writes::from([(b"k".to_vec(), Some(vec![7; 3 * 1024 * 1024]))]);
        journal.append(&large).expect("it is written");
        journal.append(&writes(&[("a", Some("1"))])).expect("it is written");
        let mut expected = large;
        expected.extend(writes(&[("a", Some("1"))]));
        assert_eq!(folder.owed(), expected);
    }
}
