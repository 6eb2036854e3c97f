//! Rows spread over partitions, in memory within a budget and in a temporary file past it.
//!
//! Each partition fills a block of its own, so that writing touches few cache lines; full blocks
//! stay in memory while the budget lasts. Rows of one partition keep their order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const BLOCK_BYTES_MAX: usize = 16 * 1024;

/// How much memory rows may take, shared by all partitions of one run; and where the rest goes.
pub struct Budget {
    left: AtomicI64,
    whole: u64,
    folder: PathBuf,
    spilled: AtomicU64,
}

impl Budget {
    pub fn new(bytes: u64, folder: &Path) -> Self {
        Self {
            left: AtomicI64::new(i64::try_from(bytes).unwrap_or(i64::MAX)),
            whole: bytes,
            folder: folder.to_owned(),
            spilled: AtomicU64::new(0),
        }
    }

    /// Bytes that went to temporary files.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// The most that one partition may be when it is joined.
    pub const fn whole(&self) -> u64 {
        self.whole
    }

    fn take(&self, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = self.left.fetch_sub(bytes, Ordering::Relaxed);
        if before < bytes {
            self.left.fetch_add(bytes, Ordering::Relaxed);
        }
        before >= bytes
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(i64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    /// A file that is gone when it is closed, whatever ends the process.
    pub fn temporary_file(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.folder)
    }
}

enum Block {
    Memory(Vec<u8>),
    Disk { offset: u64, length: usize },
}

/// Partitions being filled with rows of `N` bytes.
pub struct Partitions<'budget, const N: usize> {
    budget: &'budget Budget,
    filling: Vec<Vec<u8>>,
    full: Vec<Vec<Block>>,
    block_bytes: usize,
    file: Option<File>,
    written: u64,
}

/// Partitions that are whole; each is taken once.
pub struct SealedPartitions<'budget, const N: usize> {
    budget: &'budget Budget,
    blocks: Vec<Mutex<Vec<Block>>>,
    file: Option<File>,
    rows: u64,
}

impl<'budget, const N: usize> Partitions<'budget, N> {
    pub fn new(budget: &'budget Budget, count: usize) -> Self {
        // Blocks being filled are not counted, so a small budget has small ones.
        let share = usize::try_from(budget.whole / 8).unwrap_or(usize::MAX) / count;
        let rows = (share.min(BLOCK_BYTES_MAX) / N).max(8);
        Self {
            budget,
            filling: (0..count).map(|_| Vec::new()).collect(),
            full: (0..count).map(|_| Vec::new()).collect(),
            block_bytes: rows * N,
            file: None,
            written: 0,
        }
    }

    pub fn push(&mut self, partition: usize, row: &[u8; N]) -> io::Result<()> {
        let filling = &mut self.filling[partition];
        if filling.capacity() == 0 {
            filling.reserve_exact(self.block_bytes);
        }
        filling.extend_from_slice(row);
        if filling.len() >= self.block_bytes { self.close_block(partition) } else { Ok(()) }
    }

    fn close_block(&mut self, partition: usize) -> io::Result<()> {
        if self.budget.take(self.block_bytes) {
            let block = std::mem::take(&mut self.filling[partition]);
            self.full[partition].push(Block::Memory(block));
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.budget.temporary_file()?),
        };
        let block = &mut self.filling[partition];
        file.write_all_at(block, self.written)?;
        self.full[partition].push(Block::Disk { offset: self.written, length: block.len() });
        self.written += block.len() as u64;
        self.budget.spilled.fetch_add(block.len() as u64, Ordering::Relaxed);
        block.clear();
        Ok(())
    }

    pub fn seal(mut self) -> SealedPartitions<'budget, N> {
        let mut rows = 0;
        for (filling, full) in self.filling.iter_mut().zip(&mut self.full) {
            let last = std::mem::take(filling);
            rows += full.len() * (self.block_bytes / N) + last.len() / N;
            if !last.is_empty() {
                full.push(Block::Memory(last));
            }
        }
        SealedPartitions {
            budget: self.budget,
            blocks: self.full.into_iter().map(Mutex::new).collect(),
            file: self.file,
            rows: rows as u64,
        }
    }
}

impl<const N: usize> SealedPartitions<'_, N> {
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Moves the rows of a partition to the end of `rows`.
    pub fn take(&self, partition: usize, rows: &mut Vec<u8>) -> io::Result<()> {
        self.read(partition, rows)?;
        for block in self.blocks(partition).drain(..) {
            if let Block::Memory(bytes) = block {
                self.budget.give_back(bytes.len());
            }
        }
        Ok(())
    }

    /// Copies the rows of a partition that was not taken yet to the end of `rows`.
    pub fn read(&self, partition: usize, rows: &mut Vec<u8>) -> io::Result<()> {
        for block in self.blocks(partition).iter() {
            match (block, &self.file) {
                (Block::Memory(bytes), _) => rows.extend_from_slice(bytes),
                (Block::Disk { offset, length }, Some(file)) => {
                    let start = rows.len();
                    rows.resize(start + length, 0);
                    file.read_exact_at(&mut rows[start..], *offset)?;
                }
                (Block::Disk { .. }, None) => unreachable!("what is on disk is in the file"),
            }
        }
        Ok(())
    }

    fn blocks(&self, partition: usize) -> MutexGuard<'_, Vec<Block>> {
        self.blocks[partition].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a partition that was not taken yet.
    pub fn bytes(&self, partition: usize) -> u64 {
        let blocks = self.blocks(partition);
        let length = |block: &Block| match block {
            Block::Memory(bytes) => bytes.len() as u64,
            Block::Disk { length, .. } => *length as u64,
        };
        blocks.iter().map(length).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_order_from_memory_and_disk() {
        for bytes in [0, 100_000, 1 << 30] {
            let budget = Budget::new(bytes, &std::env::temp_dir());
            let mut partitions = Partitions::<8>::new(&budget, 4);
            for number in 0_u64..40_000 {
                let partition = usize::try_from(number % 3).expect("small");
                partitions.push(partition, &number.to_le_bytes()).expect("written");
            }
            let sealed = partitions.seal();
            assert_eq!(sealed.rows(), 40_000);
            assert_eq!(budget.spilled() == 0, bytes == 1 << 30, "{bytes}");
            for partition in 0..4_u64 {
                let mut rows = Vec::new();
                let place = usize::try_from(partition).expect("small");
                assert_eq!(sealed.bytes(place) % 8, 0);
                sealed.read(place, &mut rows).expect("read");
                rows.clear();
                sealed.take(place, &mut rows).expect("read");
                assert_eq!(sealed.bytes(place), 0);
                let numbers = rows.as_chunks::<8>().0.iter().map(|row| u64::from_le_bytes(*row));
                let wanted = (0..40_000).filter(|number| number % 3 == partition);
                assert!(numbers.eq(wanted), "partition {partition} with {bytes} bytes");
            }
        }
    }
}
