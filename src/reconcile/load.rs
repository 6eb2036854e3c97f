//! Reads one side into partitions of packed rows.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use crate::codec::layout::{Decoder, Layout, OnBad, Problem, Read};
use crate::domain::books::reconcile::{Item, StatementLine, Tally};
use crate::domain::ids::ORDER_ID_DIGITS;
use crate::domain::time::BusinessDate;
use crate::reconcile::partitions::{Budget, Partitions, Sealed};
use crate::reconcile::row::{ROW_BYTES, Row, key_of, spread};
use crate::reconcile::source::{Line, Stop, each_line};
use crate::reconcile::{BAD_LINES_MAX, LINE_BYTES_MAX, LINES_MAX, ReconcileError};

/// Partitions of rows by their key, and of those that have none.
pub const PARTITIONS: usize = 1_024;
pub const KEYLESS: usize = 64;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Theirs,
    Ours,
}

impl Side {
    /// A line as this side means it: a failure on a statement has moved no money; one of ours is a
    /// success that the channel claims.
    pub fn mean(self, item: Item) -> Item {
        match self {
            Self::Theirs => item.as_said(),
            Self::Ours => item,
        }
    }
}

/// One side, read.
pub struct Loaded<'layout, 'budget> {
    pub file: File,
    pub side: Side,
    /// Bound to the file's header: reads single lines again.
    pub decoder: Decoder<'layout>,
    pub rows: Sealed<'budget, ROW_BYTES>,
    pub tally: Tally,
    /// Lines of the file, headings included.
    pub lines: u32,
    /// Lines that were kept as they stand, with their places.
    pub bad: Vec<(u32, u64)>,
    /// What is wrong with the file as a whole, with the line that says so.
    pub problems: Vec<(u32, Problem)>,
    pub last_date: Option<BusinessDate>,
    pub unread: Unread,
}

/// The order numbers that stand in rows which say nothing that is compared: rows that the layout
/// passes over, and rows that cannot be read.
#[derive(Debug, Clone, Default)]
pub struct Unread {
    keys: HashSet<u128>,
    /// There were more than are kept.
    is_cut: bool,
}

impl Unread {
    /// Whether such a row may name the number.
    pub fn names(&self, order_no: &str) -> bool {
        self.is_cut || self.keys.contains(&key_of(order_no.as_bytes()))
    }

    fn add(&mut self, number: &[u8]) {
        if number.is_empty() {
            return;
        }
        if self.keys.len() < UNREAD_MAX {
            self.keys.insert(key_of(number));
        } else {
            self.is_cut = true;
        }
    }
}

/// Runs of digits in a text that are as long as one of our channel order numbers.
pub fn numbers_in(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.windows(NUMBER_DIGITS).filter(|window| window.iter().all(u8::is_ascii_digit))
}

/// What every row of a run is spread by.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub seed: u64,
}

impl Spread {
    /// The partition of a key.
    pub fn partition(self, key: u128, line: u32) -> usize {
        if key == 0 {
            return PARTITIONS + line as usize % KEYLESS;
        }
        (spread(key, self.seed) >> 54) as usize
    }
}

/// Numbers of unread rows that are kept.
const UNREAD_MAX: usize = 1 << 22;
/// Digits of our channel order numbers.
const NUMBER_DIGITS: usize = ORDER_ID_DIGITS + 2;

struct Loading<'layout, 'budget> {
    side: Side,
    decoder: Decoder<'layout>,
    on_bad_line: OnBad,
    on_bad_file: OnBad,
    first_bad: Option<(u32, Problem)>,
    unread: Unread,
    rows: Partitions<'budget, ROW_BYTES>,
    spread: Spread,
    tally: Tally,
    line: u32,
    bad: Vec<(u32, u64)>,
    problems: Vec<(u32, Problem)>,
    last_date: Option<BusinessDate>,
    is_cut: bool,
}

/// Reads a whole file. `date`: the statement's, where it is known beforehand.
pub fn load<'layout, 'budget>(
    (file, path, side): (File, &Path, Side),
    layout: &'layout Layout,
    date: Option<BusinessDate>,
    spread: Spread,
    budget: &'budget Budget,
    watch: &dyn Fn(u64),
) -> Result<Loaded<'layout, 'budget>, ReconcileError> {
    let mut loading = Loading {
        side,
        decoder: Decoder::new(layout, date),
        on_bad_line: layout.on_bad_line,
        on_bad_file: layout.on_bad_file,
        first_bad: None,
        unread: Unread::default(),
        rows: Partitions::new(budget, PARTITIONS + KEYLESS),
        spread,
        tally: Tally::default(),
        line: 0,
        bad: Vec::new(),
        problems: Vec::new(),
        last_date: None,
        is_cut: false,
    };
    let said = |line, problem| ReconcileError::Line { path: path.to_owned(), line, problem };
    let done = each_line(&file, watch, |line| loading.take(line));
    done.map_err(|stop| match stop {
        Stop::Read(source) => ReconcileError::Read { path: path.to_owned(), source },
        Stop::TooLong => said(loading.line + 1, Problem::TooLong { limit: LINE_BYTES_MAX }),
        Stop::Told(Refusal::Problem(problem)) => said(loading.line, problem),
        Stop::Told(Refusal::Lines) => ReconcileError::TooManyLines { path: path.to_owned() },
        Stop::Told(Refusal::Bad) => ReconcileError::TooManyBadLines { path: path.to_owned() },
        Stop::Told(Refusal::Spill(source)) => ReconcileError::Spill { source },
    })?;
    if let Err(problem) = loading.decoder.finish(loading.is_cut) {
        if loading.on_bad_file == OnBad::Refuse || !problem.can_be_kept() {
            return Err(said(loading.line, problem));
        }
        loading.problems.push((loading.line, problem));
    }
    if let Some((line, problem)) = loading.first_bad.take()
        && loading.decoder.is_unread()
        && !problem.is_foreign_kind()
    {
        // Not one of its rows is what the layout says: it is another one's.
        return Err(said(line, problem));
    }
    let doubt = loading.decoder.doubt();
    loading.problems.extend(doubt.map(|problem| (loading.line, problem)));
    Ok(Loaded {
        file,
        side,
        decoder: loading.decoder,
        rows: loading.rows.seal(),
        tally: loading.tally,
        lines: loading.line,
        bad: loading.bad,
        problems: loading.problems,
        last_date: loading.last_date,
        unread: loading.unread,
    })
}

/// Why a line ends the reading.
enum Refusal {
    Problem(Problem),
    Lines,
    Bad,
    Spill(std::io::Error),
}

impl Loading<'_, '_> {
    fn take(&mut self, line: Line<'_>) -> Result<(), Refusal> {
        if self.line == LINES_MAX {
            return Err(Refusal::Lines);
        }
        self.line += 1;
        self.is_cut = line.is_cut;
        if line.text.len() > LINE_BYTES_MAX {
            return self.keep(Problem::TooLong { limit: LINE_BYTES_MAX }, line);
        }
        match self.decoder.read(line.text, self.line) {
            Ok(Read::Passed) => Ok(()),
            Ok(Read::Silent(number)) => {
                self.unread.add(number);
                Ok(())
            }
            Ok(Read::Line(mut found)) => {
                found.item = self.side.mean(found.item);
                let key = key_of(found.order_no);
                let row = row_of(&found, key, line.offset);
                self.tally.add(&row.item);
                if found.item.date > self.last_date {
                    self.last_date = found.item.date;
                }
                let partition = self.spread.partition(key, row.line);
                self.rows.push(partition, &row.pack()).map_err(Refusal::Spill)
            }
            Err(problem) => self.keep(problem, line),
        }
    }

    fn keep(&mut self, problem: Problem, line: Line<'_>) -> Result<(), Refusal> {
        let on_bad = if problem.is_of_line() { self.on_bad_line } else { self.on_bad_file };
        if on_bad == OnBad::Refuse || !problem.can_be_kept() {
            return Err(Refusal::Problem(problem));
        }
        if self.bad.len() + self.problems.len() >= BAD_LINES_MAX {
            return Err(Refusal::Bad);
        }
        if problem.is_of_line() {
            self.bad.push((self.line, line.offset));
            numbers_in(line.text).for_each(|number| self.unread.add(number));
            self.first_bad.get_or_insert((self.line, problem));
        } else {
            self.problems.push((self.line, problem));
        }
        Ok(())
    }
}

/// A line as a row with the given key.
pub fn row_of(found: &StatementLine<'_>, key: u128, offset: u64) -> Row {
    let has_reference = !found.reference.is_empty();
    Row { key, item: found.item, has_reference, line: found.line, offset }
}
