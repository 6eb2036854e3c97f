//! The index: the places of each segment's blocks, in sled.
//!
//! It is never the only copy. Its answers are checked against the blocks: a block names the key up
//! to which it reaches, and each segment has the list of its blocks at its end. When the store is
//! opened, the entries of each segment are counted and summed; those of a segment that are
//! incomplete are rebuilt, and so is the whole index if sled cannot read its files. The index is
//! never synced. It lies on the disk, behind a cache of its own, so that memory does not grow with
//! the books.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::store::StoreError;
use crate::store::key::bounds;

use super::files::Files;

/// The folder of sled's files.
pub(super) const FOLDER: &str = "index";

/// The tries, a millisecond apart, to get sled's lock at opening: the store has a lock of its own,
/// so that only threads of a store that was just dropped can hold sled's.
const LOCK_LOOKS_MAX: u32 = 2_000;

/// The place of a block, by its first key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockPlace {
    pub first: Vec<u8>,
    pub at: u64,
}

/// The number of a segment's entries, and their sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct IndexSum {
    pub blocks: u64,
    sum: u64,
}

impl IndexSum {
    pub(super) fn add(&mut self, first: &[u8], at: u64) {
        self.blocks += 1;
        self.sum = self.sum.wrapping_add(mixed_sum(first, &at.to_be_bytes()));
    }
}

/// A sum of a key and a value from their CRC-32, mixed since sums of plain CRCs can cancel out.
pub(super) fn mixed_sum(key: &[u8], value: &[u8]) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(key.len() as u64).to_be_bytes());
    crc.update(key);
    crc.update(value);
    let mut mixed = u64::from(crc.finalize()).wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// sled's side of the folder.
pub(super) struct BlockIndex {
    db: ::sled::Db,
}

impl BlockIndex {
    /// Opens the index, with the sums of its segments; an empty one if sled cannot read all of its
    /// files.
    pub(super) fn open(
        files: &Files,
        cache_bytes: u64,
    ) -> Result<(Self, Vec<(u64, IndexSum)>), StoreError> {
        let read = || {
            let index = Self::try_open(files, cache_bytes)?;
            let sums = index.sums()?;
            Ok((index, sums))
        };
        read().or_else(|why: StoreError| {
            tracing::warn!(%why, "the store's index cannot be read and is rebuilt");
            Self::remove(files)?;
            read()
        })
    }

    /// Removes the index. The store that uses it must be closed.
    pub(super) fn remove(files: &Files) -> Result<(), StoreError> {
        match fs::remove_dir_all(files.path(FOLDER)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::Io { context: "cannot remove the index".to_owned(), source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn try_open(files: &Files, cache_bytes: u64) -> Result<Self, StoreError> {
        let config = ::sled::Config::new()
            .path(files.path(FOLDER))
            .cache_capacity(cache_bytes)
            .flush_every_ms(None);
        let mut looks = 0;
        loop {
            match catch_panic(|| config.open()) {
                Err(StoreError::Io { source, .. })
                    if looks < LOCK_LOOKS_MAX
                        && source.to_string().starts_with("could not acquire lock") =>
                {
                    looks += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
                opened => return opened.map(|db| Self { db }),
            }
        }
    }

    /// Adds a segment's blocks.
    pub(super) fn add(&self, segment: u64, places: &[BlockPlace]) -> Result<(), StoreError> {
        catch_panic(|| {
            for BlockPlace { first, at } in places {
                self.db.insert(entry(segment, first), &at.to_be_bytes())?;
            }
            self.db.flush().map(drop)
        })
    }

    /// Removes a segment's blocks.
    pub(super) fn take_out(&self, segment: u64) -> Result<(), StoreError> {
        let (from, to) = bounds(&segment.to_be_bytes());
        catch_panic(|| {
            for pair in self.db.range(from..to) {
                self.db.remove(pair?.0)?;
            }
            Ok(())
        })
    }

    /// The segments that have entries, with their sums.
    fn sums(&self) -> Result<Vec<(u64, IndexSum)>, StoreError> {
        let mut found: Vec<(u64, IndexSum)> = Vec::new();
        catch_panic(|| {
            for pair in self.db.iter() {
                let (key, value) = pair?;
                let (segment, first) = key.split_first_chunk().unwrap_or((&[0; 8], &[]));
                let segment = u64::from_be_bytes(*segment);
                if found.last().is_none_or(|(last, _)| *last != segment) {
                    found.push((segment, IndexSum::default()));
                }
                if let Some((_, sum)) = found.last_mut() {
                    sum.add(first, value.first_chunk().map_or(0, |at| u64::from_be_bytes(*at)));
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The last block of a segment whose first key is not after `key`, by the index.
    pub(super) fn find(&self, segment: u64, key: &[u8]) -> Result<Option<BlockPlace>, StoreError> {
        let (from, to) = (segment.to_be_bytes(), entry(segment, key));
        let found =
            catch_panic(|| self.db.range::<&[u8], _>(&from[..]..=&to[..]).next_back().transpose())?;
        Ok(found.and_then(|pair| place_of(&pair)))
    }

    /// The last block of a segment whose first key is below `key`, by the index.
    pub(super) fn find_below(
        &self,
        segment: u64,
        key: &[u8],
    ) -> Result<Option<BlockPlace>, StoreError> {
        let (from, to) = (segment.to_be_bytes(), entry(segment, key));
        let found =
            catch_panic(|| self.db.range::<&[u8], _>(&from[..]..&to[..]).next_back().transpose())?;
        Ok(found.and_then(|pair| place_of(&pair)))
    }
}

fn place_of((key, value): &(::sled::IVec, ::sled::IVec)) -> Option<BlockPlace> {
    let first = key.get(size_of::<u64>()..)?.to_vec();
    Some(BlockPlace { first, at: u64::from_be_bytes(*value.first_chunk()?) })
}

fn entry(segment: u64, first: &[u8]) -> Vec<u8> {
    [&segment.to_be_bytes(), first].concat()
}

/// Turns a panic of sled over damaged files into an error.
fn catch_panic<T>(work: impl FnOnce() -> ::sled::Result<T>) -> Result<T, StoreError> {
    const CONTEXT: &str = "the store's index fails";
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(::sled::Error::Io(source))) => {
            Err(StoreError::Io { context: CONTEXT.to_owned(), source })
        }
        Ok(Err(error)) => Err(StoreError::Backend { context: CONTEXT, detail: error.to_string() }),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            let why = words.unwrap_or("it gives no reason").lines().next().unwrap_or_default();
            Err(StoreError::Backend { context: CONTEXT, detail: why.to_owned() })
        }
    }
}
