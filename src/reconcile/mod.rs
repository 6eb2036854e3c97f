//! Holds a channel's statement against our clearing records, however large both are.
//!
//! Both files are read once, each by a thread of its own, into small rows that are spread over
//! partitions by their key; partitions are joined one by one, in a table that fits in the cache.
//! What our channel order number leaves over is joined again by the channel's own number. Memory is
//! bounded: rows past the budget go to temporary files. Agreement becomes sums and a set of lines;
//! only the rest becomes rows, in the order of the statement. The rules are `domain`'s; the layouts
//! are `codec`'s. Upholds I-10: it ends with the sums of all classes held against what was read.
//! Must not know channels, stores, or what is done about a difference.

mod differences;
mod findings;
pub mod form;
mod join;
mod load;
mod partitions;
mod row;
mod search;
mod source;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::codec::layout::{Layout, Problem};
use crate::domain::books::reconcile::{Key, Tally, Tolerance, Totals};
use crate::domain::time::BusinessDate;
use crate::reconcile::findings::{Dates, Findings, Order};
use crate::reconcile::join::{ALL_PARTITIONS, Join};
use crate::reconcile::load::{Loaded, Side, Spread, load};
use crate::reconcile::partitions::{Budget, Sealed};
use crate::reconcile::row::ROW_BYTES;
use crate::reconcile::source::Named;

pub use self::differences::{Difference, Text};
pub use self::findings::LineSet;
pub use self::load::Unread;
pub use self::search::{has_rows, numbers_named};
pub use self::source::{is_like, is_of};

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

/// What is held against what.
pub struct Request<'a> {
    pub statement: &'a Path,
    pub layout: &'a Layout,
    /// The layout's summary, where it lies beside a statement that is no archive.
    pub summary: Option<&'a Path>,
    pub records: &'a Path,
    pub records_layout: &'a Layout,
    /// The statement's date. Where it is given, a line of another date is bad; where it is not, it
    /// is the latest that a line has. Records of later dates may match and need not.
    pub date: Option<BusinessDate>,
    pub tolerance: Tolerance,
    /// Whether records of earlier dates are carried over: they may match and need not, since their
    /// own date's run has told them.
    pub carried: bool,
    /// The most differences that are told; where there are more, none is.
    pub differences_max: u64,
    pub memory_bytes: u64,
    /// Where temporary files go.
    pub folder: &'a Path,
    /// Spreads the keys; the outcome does not depend on it.
    pub seed: u64,
}

/// What was found, beside the differences.
#[derive(Debug)]
pub struct Report {
    pub totals: Totals,
    /// What was read of each side; equals the sums of all classes (I-10).
    pub theirs: Tally,
    pub ours: Tally,
    /// The statement's lines that agree with one of our records.
    pub agreed: LineSet,
    /// Lines of the statement's file, headings included.
    pub lines: u32,
    /// What is wrong with the file as a whole and was kept: a wrong total, a cut-off end.
    pub problems: Vec<(u32, Problem)>,
    /// Whether a total of the channel's counts the lines, and has their number. Without it a file
    /// that was cut off at a line's end looks like a short day.
    pub is_counted: bool,
    /// The numbers in rows that say nothing that is compared.
    pub unread: Unread,
    /// Verdicts that were given as rows.
    pub differences: u64,
    /// Bytes that went to temporary files.
    pub spilled_bytes: u64,
}

impl Report {
    /// Whether nothing is left to do.
    pub fn is_agreed(&self) -> bool {
        self.totals.is_agreed() && self.problems.is_empty()
    }
}

/// Why there is no report. Nothing was half-done: nothing is done until there is one.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be unpacked: {problem}", path.display())]
    Packed { path: PathBuf, problem: String },
    #[error("{}, line {line}: {problem}", path.display())]
    Line { path: PathBuf, line: u32, problem: Problem },
    #[error("{name} is the file of {date} by its name, so it is another day's")]
    OtherDay { name: String, date: BusinessDate },
    #[error("{} has more than {LINES_MAX} lines", path.display())]
    TooManyLines { path: PathBuf },
    #[error("{} has more than {BAD_LINES_MAX} lines that cannot be read", path.display())]
    TooManyBadLines { path: PathBuf },
    #[error(
        "there are {found} differences, more than {max}: it is another day's or channel's file"
    )]
    TooManyDifferences { found: u64, max: u64 },
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

/// Nobody watches.
pub struct Unwatched;

impl Watch for Unwatched {
    fn read(&self, _bytes: u64) {}
    fn joined(&self, _parts: u64) {}
}

/// Reads both files, joins them, and calls `take` with every difference in order: by the
/// statement's line, then, for what only we have, by our row.
pub fn reconcile(
    request: &Request<'_>,
    watch: &dyn Watch,
    take: &mut dyn FnMut(&Difference<'_>) -> io::Result<()>,
) -> Result<Report, ReconcileError> {
    let budget = Budget::new(request.memory_bytes, request.folder);
    let (mut theirs, mut ours) = load_both(request, &budget, watch)?;
    let is_counted = check_summary(request, &mut theirs)?;
    let order = Order { theirs: theirs.lines, ours: ours.lines };
    let date = request.date.or(theirs.last_date);
    let dates = Dates { statement: date, carried: request.carried };
    let new = || Findings::new(order, dates, &budget);
    let first = Joining { request, key: Key::OrderNo, budget: &budget };
    let mut found = first.run(&theirs.rows, &ours.rows, &new, watch)?;
    let mut totals = Totals::default();
    let mut agreed = LineSet::of(theirs.lines);
    let mut rows = Vec::new();
    let (mut left_theirs, mut left_ours) = (Vec::new(), Vec::new());
    if let Some(first) = found.first_mut() {
        for bad in theirs.bad.drain(..) {
            first.bad_line(bad).map_err(|source| ReconcileError::Spill { source })?;
        }
    }
    let mut finish = |mut findings: Findings<'_>| {
        findings.finish();
        totals.merge(&findings.totals);
        agreed.merge(&findings.agreed);
        findings.count
    };
    let mut differences = 0;
    for findings in found {
        let mut findings = findings;
        let empty = new();
        left_theirs.push(std::mem::replace(&mut findings.left_theirs, empty.left_theirs).seal());
        left_ours.push(std::mem::replace(&mut findings.left_ours, empty.left_ours).seal());
        rows.push(std::mem::replace(&mut findings.rows, empty.rows).seal());
        differences += finish(findings);
    }
    let second = Joining { request, key: Key::Reference, budget: &budget };
    for findings in second.left_over((&mut theirs, &left_theirs), (&mut ours, &left_ours), &new)? {
        let mut findings = findings;
        rows.push(std::mem::replace(&mut findings.rows, new().rows).seal());
        differences += finish(findings);
    }
    let report = Report {
        totals,
        theirs: theirs.tally,
        ours: ours.tally,
        agreed,
        lines: theirs.lines,
        problems: std::mem::take(&mut theirs.problems),
        is_counted,
        unread: std::mem::take(&mut theirs.unread),
        differences,
        spilled_bytes: 0,
    };
    assert_eq!(
        report.totals.sides(),
        (report.theirs, report.ours),
        "I-10: the classes sum to what was read of both sides"
    );
    if differences > request.differences_max {
        let max = request.differences_max;
        return Err(ReconcileError::TooManyDifferences { found: differences, max });
    }
    let told = differences::tell(&rows, (&mut theirs, request.layout.encoding), &mut ours, take)?;
    assert_eq!(told, differences, "I-10: every verdict that is no match is told");
    Ok(Report { spilled_bytes: budget.spilled(), ..report })
}

/// Holds the statement against the summary that comes beside it. Says whether it is counted, there
/// or in its own footer.
fn check_summary(
    request: &Request<'_>,
    theirs: &mut Loaded<'_, '_>,
) -> Result<bool, ReconcileError> {
    let is_counted = theirs.decoder.is_counted();
    let Some(summary) = &request.layout.summary else { return Ok(is_counted) };
    let named = Named { pattern: Some(&summary.member), date: request.date };
    let text = source::summary(request.statement, request.summary, named)?;
    let Some(text) = text else { return Ok(is_counted) };
    let (problems, counts) = summary.check(&text, theirs.decoder.said(), request.layout.currency);
    // The summary is another file: what it says otherwise is told, and refuses nothing.
    theirs.problems.extend(problems.into_iter().map(|problem| (theirs.lines, problem)));
    Ok(is_counted || counts)
}

/// One thread for each side.
fn load_both<'a, 'budget>(
    request: &Request<'a>,
    budget: &'budget Budget,
    watch: &dyn Watch,
) -> Result<(Loaded<'a, 'budget>, Loaded<'a, 'budget>), ReconcileError> {
    let spread = Spread { seed: request.seed };
    let read = |bytes: u64| watch.read(bytes);
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| {
            let named = Named { pattern: request.layout.member.as_deref(), date: request.date };
            let file = source::open(request.statement, named, budget)?;
            let from = (file, request.statement, Side::Theirs);
            load(from, request.layout, request.date, spread, budget, &read)
        });
        let unnamed = Named { pattern: None, date: None };
        let ours = source::open(request.records, unnamed, budget).and_then(|file| {
            let layout = request.records_layout;
            load((file, request.records, Side::Ours), layout, None, spread, budget, &read)
        });
        let theirs = theirs.join().unwrap_or(Err(ReconcileError::Died))?;
        Ok((theirs, ours?))
    })
}

/// Joins by one key.
struct Joining<'a, 'budget> {
    request: &'a Request<'a>,
    key: Key,
    budget: &'budget Budget,
}

impl<'budget> Joining<'_, 'budget> {
    /// Every partition, by two threads; what each has found.
    fn run(
        &self,
        theirs: &Sealed<'_, ROW_BYTES>,
        ours: &Sealed<'_, ROW_BYTES>,
        new: &(dyn Fn() -> Findings<'budget> + Sync),
        watch: &dyn Watch,
    ) -> Result<Vec<Findings<'budget>>, ReconcileError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut join = Join::new(self.key, self.request.seed, self.request.tolerance);
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
            ends.into_iter().map(|end| end.unwrap_or(Err(ReconcileError::Died))).collect()
        })
    }

    /// What the first key left over of both sides, by the second one.
    fn left_over(
        &self,
        theirs: (&mut Loaded<'_, 'budget>, &[Sealed<'_, ROW_BYTES>]),
        ours: (&mut Loaded<'_, 'budget>, &[Sealed<'_, ROW_BYTES>]),
        new: &(dyn Fn() -> Findings<'budget> + Sync),
    ) -> Result<Vec<Findings<'budget>>, ReconcileError> {
        let rows = |left: &[Sealed<'_, ROW_BYTES>]| left.iter().map(Sealed::rows).sum::<u64>();
        if rows(theirs.1) == 0 && rows(ours.1) == 0 {
            return Ok(Vec::new());
        }
        // Where one side has none, there is nothing to find: the rows' texts need not be read.
        let wanted = rows(theirs.1) > 0 && rows(ours.1) > 0;
        let spread = Spread { seed: self.request.seed };
        let budget = self.budget;
        let (theirs, ours) = std::thread::scope(|scope| {
            let theirs = scope.spawn(move || {
                differences::by_reference(theirs.0, theirs.1, wanted, spread, budget)
            });
            let ours = differences::by_reference(ours.0, ours.1, wanted, spread, budget);
            (theirs.join().unwrap_or(Err(ReconcileError::Died)), ours)
        });
        self.run(&theirs?, &ours?, new, &Unwatched)
    }
}

#[cfg(test)]
mod tests;
