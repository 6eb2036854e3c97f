//! Holds a channel's statement against our clearing records, however large both are.
//!
//! A side is an iterator of small rows: a file, or the store's pages. Both sides are read once,
//! each by a thread of its own, and spread over partitions by their key; partitions are joined one
//! by one, in a table that fits in the cache. Rows that our channel order number leaves over are
//! joined again by the channel's own number. Memory is bounded: rows past the budget go to
//! temporary files. Agreement becomes sums and a set of lines; only the rest becomes verdicts, in
//! the order of the statement. The rules are `domain`'s; the layouts are `codec`'s. Upholds I-10:
//! it ends with the sums of all classes held against what was read. Must know neither channels nor
//! stores, nor how a difference is handled.

pub mod form;
mod join;
mod matched;
mod partitions;
mod row;
mod search;
mod side;
mod source;
mod verdicts;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::codec::layout::StatementProblem;
use crate::domain::books::reconcile::{MatchKey, Tally, Tolerance, Totals};
use crate::domain::time::BusinessDate;
use crate::reconciliation::matching::join::{ALL_PARTITIONS, Join, partition_of};
use crate::reconciliation::matching::matched::by_reference;
use crate::reconciliation::matching::partitions::{Partitions, SealedPartitions};
use crate::reconciliation::matching::row::{ROW_BYTES, unpack_date};
use crate::reconciliation::matching::verdicts::{Dates, Findings, ListingOrder};

pub use self::matched::{LateRecord, MatchedSides};
pub use self::partitions::Budget;
pub use self::row::{Place, Row, key_of_number};
pub use self::search::{has_rows, numbers_named};
pub use self::side::{CardSample, FileRows, Rows, SideEnd, SkippedNumbers, StatementInput};
pub use self::source::{is_like, is_of};
pub use self::verdicts::LineSet;

/// Bytes of memory that rows take before they go to temporary files.
pub const MEMORY_BYTES: u64 = 1024 * 1024 * 1024;
/// Lines of one file.
pub const LINES_MAX: u32 = 1 << 30;
/// Bytes of one line; a longer one is a bad line.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines that are kept although they cannot be read; more, and the layout is another one.
pub const BAD_LINES_MAX: usize = 1_000_000;
/// One for each side; joining shares them.
const THREADS: usize = 2;

/// How both sides are held against each other.
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    /// The statement's date. Where it is not given it is the latest that a line has. Records of
    /// later dates may match and need not.
    pub date: Option<BusinessDate>,
    pub tolerance: Tolerance,
    /// Whether records of earlier dates are carried over: they may match and need not, since their
    /// own date's run has told them.
    pub carried: bool,
    /// The most differences that are told; where there are more, none is.
    pub differences_max: u64,
    /// Spreads the keys; the outcome does not depend on it.
    pub seed: u64,
}

/// The result of a match, beside the differences.
#[derive(Debug)]
pub struct MatchReport {
    pub totals: Totals,
    /// The rows that were read of each side; equal to the sums of all classes (I-10).
    pub theirs: Tally,
    pub ours: Tally,
    /// The statement's lines that agree with one of our records.
    pub agreed: LineSet,
    /// Lines of the statement's file, headings included.
    pub lines: u32,
    /// Problems of the file as a whole that refused nothing: a wrong total, a cut-off end.
    pub problems: Vec<(u32, StatementProblem)>,
    /// Whether a total of the channel's counts the lines, and has their number. Without it a file
    /// that was cut off at a line's end looks like a short day.
    pub is_counted: bool,
    /// Verdicts that were told.
    pub differences: u64,
    /// Bytes that went to temporary files.
    pub spilled_bytes: u64,
    /// What lines of the statement say of their cards.
    pub cards: CardSample,
}

impl MatchReport {
    /// Whether nothing is left to do.
    pub fn is_agreed(&self) -> bool {
        self.totals.is_agreed() && self.problems.is_empty()
    }
}

/// Why there is no report. Nobody acts on a match before its report.
#[derive(Debug, thiserror::Error)]
pub enum MatchError {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be unpacked: {problem}", path.display())]
    Packed { path: PathBuf, problem: String },
    #[error("{}, line {line}: {problem}", path.display())]
    Line { path: PathBuf, line: u32, problem: StatementProblem },
    #[error("{name} is the file of another day, {date}, by its name")]
    OtherDay { name: String, date: BusinessDate },
    #[error("{} has more than {LINES_MAX} lines", path.display())]
    TooManyLines { path: PathBuf },
    #[error("{} has more than {BAD_LINES_MAX} lines that cannot be read", path.display())]
    TooManyBadLines { path: PathBuf },
    #[error("{found} differences are more than {max}: the file belongs to another day or channel")]
    TooManyDifferences { found: u64, max: u64 },
    /// A side that is no file.
    #[error("our records cannot be read")]
    Records {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("too many rows have one key for the memory that was given")]
    Skewed,
    #[error("a temporary file cannot be written or read")]
    Spill { source: io::Error },
    #[error("a difference cannot be written")]
    Write { source: io::Error },
    #[error("a thread has panicked")]
    Died,
}

/// How far it is: bytes read, of both files; then parts joined, of [`JOINED`].
pub trait Watch: Sync {
    fn read(&self, bytes: u64);
    fn joined(&self, parts: u64);
}

/// Parts that a run joins by the first key.
pub const JOINED: u64 = ALL_PARTITIONS as u64;

/// Reports progress to nobody.
pub struct NoWatch;

impl Watch for NoWatch {
    fn read(&self, _bytes: u64) {}
    fn joined(&self, _parts: u64) {}
}

/// Reads both sides once and joins them.
pub fn reconcile<'a, T: Rows + Send, O: Rows>(
    theirs: &'a mut T,
    ours: &'a mut O,
    comparison: &Comparison,
    budget: &'a Budget,
    watch: &dyn Watch,
) -> Result<MatchedSides<'a, T, O>, MatchError> {
    let spread = Spread { seed: comparison.seed, budget };
    let (mut read, records) = both(|| load(theirs, spread), || load(ours, spread))?;
    let order = ListingOrder { theirs: read.end.lines, ours: records.end.lines };
    let date = comparison.date.or(read.last_date);
    let dates = Dates { statement: date, carried: comparison.carried };
    let new = || Findings::new(order, dates, budget);
    let first = KeyJoin { comparison, key: MatchKey::OrderNo, budget };
    let mut found = first.run(&read.rows, &records.rows, &new, watch)?;
    if let Some(first) = found.first_mut() {
        for bad in read.end.bad.drain(..) {
            first.bad_line(bad).map_err(|source| MatchError::Spill { source })?;
        }
    }
    let mut matched = MatchedSides {
        theirs,
        ours,
        their_end: read.end,
        their_tally: read.tally,
        our_tally: records.tally,
        verdicts: Vec::new(),
        totals: Totals::default(),
        agreed: LineSet::of(order.theirs),
        differences: 0,
        tolerance: comparison.tolerance,
        late: HashMap::new(),
        budget,
    };
    let (mut left_theirs, mut left_ours) = (Vec::new(), Vec::new());
    for findings in found {
        let (theirs, ours) = matched.gather(findings);
        left_theirs.push(theirs);
        left_ours.push(ours);
    }
    let rows = |left: &[SealedPartitions<'_, ROW_BYTES>]| {
        left.iter().map(SealedPartitions::rows).sum::<u64>()
    };
    let (their_rows, our_rows) = (rows(&left_theirs), rows(&left_ours));
    if their_rows > 0 || our_rows > 0 {
        // Where one side has none there is nothing to find, and no words need be read.
        let wanted = their_rows > 0 && our_rows > 0;
        let (left_theirs, left_ours) = both(
            || by_reference(matched.theirs, &left_theirs, wanted, spread),
            || by_reference(matched.ours, &left_ours, wanted, spread),
        )?;
        let second = KeyJoin { key: MatchKey::Reference, ..first };
        for findings in second.run(&left_theirs, &left_ours, &new, &NoWatch)? {
            matched.gather(findings);
        }
    }
    let (found, max) = (matched.differences, comparison.differences_max);
    if found > max {
        return Err(MatchError::TooManyDifferences { found, max });
    }
    Ok(matched)
}

/// One thread for each side; an error of theirs comes first.
fn both<A: Send, B>(
    theirs: impl FnOnce() -> Result<A, MatchError> + Send,
    ours: impl FnOnce() -> Result<B, MatchError>,
) -> Result<(A, B), MatchError> {
    std::thread::scope(|scope| {
        let theirs = scope.spawn(theirs);
        let ours = ours();
        Ok((theirs.join().unwrap_or(Err(MatchError::Died))?, ours?))
    })
}

/// The seed by which rows are spread over partitions, and the memory that the partitions may take.
#[derive(Clone, Copy)]
struct Spread<'budget> {
    seed: u64,
    budget: &'budget Budget,
}

impl<'budget> Spread<'budget> {
    fn partitions(self) -> Partitions<'budget, ROW_BYTES> {
        Partitions::new(self.budget, ALL_PARTITIONS)
    }

    fn push(
        self,
        row: &Row,
        partitions: &mut Partitions<'budget, ROW_BYTES>,
    ) -> Result<(), MatchError> {
        let pushed = partitions.push(partition_of(row, self.seed), row.bytes());
        pushed.map_err(|source| MatchError::Spill { source })
    }
}

/// One side, read.
struct LoadedSide<'budget> {
    rows: SealedPartitions<'budget, ROW_BYTES>,
    tally: Tally,
    last_date: Option<BusinessDate>,
    end: SideEnd,
}

fn load<'budget>(
    side: &mut impl Rows,
    spread: Spread<'budget>,
) -> Result<LoadedSide<'budget>, MatchError> {
    let (mut rows, mut tally, mut last_date) = (spread.partitions(), Tally::default(), 0);
    for row in side.by_ref() {
        let row = row?;
        tally.add_plain(row.currency_index(), row.amount_minor(), row.fee_minor());
        last_date = last_date.max(row.packed_date());
        spread.push(&row, &mut rows)?;
    }
    let last_date = unpack_date(last_date);
    Ok(LoadedSide { rows: rows.seal(), tally, last_date, end: side.end()? })
}

/// Joins by one key.
#[derive(Clone, Copy)]
struct KeyJoin<'a, 'budget> {
    comparison: &'a Comparison,
    key: MatchKey,
    budget: &'budget Budget,
}

impl<'budget> KeyJoin<'_, 'budget> {
    /// Joins every partition, by two threads; gives the findings of each.
    fn run(
        &self,
        theirs: &SealedPartitions<'_, ROW_BYTES>,
        ours: &SealedPartitions<'_, ROW_BYTES>,
        new: &(dyn Fn() -> Findings<'budget> + Sync),
        watch: &dyn Watch,
    ) -> Result<Vec<Findings<'budget>>, MatchError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut join = Join::new(self.key, self.comparison.seed, self.comparison.tolerance);
            let mut findings = new();
            // Ends with the partitions: every round takes one.
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= ALL_PARTITIONS {
                    return Ok(findings);
                }
                join.partition(number, theirs, ours, self.budget.whole(), &mut findings)?;
                watch.joined(1);
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            // All are waited for, whatever the first one says.
            let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            ends.into_iter().map(|end| end.unwrap_or(Err(MatchError::Died))).collect()
        })
    }
}

#[cfg(test)]
mod tests;
