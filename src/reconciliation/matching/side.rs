//! A side of a run: an iterator of rows that can show the words of single ones again. A file is
//! one; the pages of a store are another.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::codec::layout::{DecodedLine, Decoder, Layout, OnBad, StatementProblem};
use crate::domain::bin::CardType;
use crate::domain::books::reconcile::{Side, StatementLine};
use crate::domain::card::words::mask_cards;
use crate::domain::ids::ChannelOrderNo;
use crate::domain::time::BusinessDate;
use crate::reconciliation::matching::partitions::Budget;
use crate::reconciliation::matching::row::{NUMBER_DIGITS, Place, Row, key_of};
use crate::reconciliation::matching::source::{self, FilePattern, Line, LineError, Lines};
use crate::reconciliation::matching::{
    BAD_LINES_MAX, LINE_BYTES_MAX, LINES_MAX, MatchError, Watch,
};

/// Numbers of unread rows that are kept.
const UNREAD_MAX: usize = 1 << 22;
/// Lines whose cards are looked at: each costs whoever looks a row of the store.
const CARDS_SAMPLED_MAX: usize = 1 << 12;
/// Characters of a bad line that are shown.
const BAD_TEXT_LENGTH_MAX: usize = 1_000;

/// The rows of one side, each once, in the side's order.
pub trait Rows: Iterator<Item = Result<Row, MatchError>> {
    /// The end of the side. Called once, when the last row has been given.
    fn end(&mut self) -> Result<SideEnd, MatchError>;

    /// The words of a row, or of a bad line, as they are written. Asked for in any order, mostly in
    /// the side's own.
    fn side_at(&mut self, place: Place) -> Result<Side, MatchError>;
}

/// A side's totals and problems, known at its end.
#[derive(Debug, Default)]
pub struct SideEnd {
    /// The last place's line: a file's lines, headings included, or the number of records.
    pub lines: u32,
    /// Lines that cannot be read and were kept.
    pub bad: Vec<Place>,
    /// Problems of the side as a whole that refused nothing, with the line that shows each.
    pub problems: Vec<(u32, StatementProblem)>,
    /// Whether a total of the channel's counts the lines, and has their number.
    pub is_counted: bool,
    pub unread: SkippedNumbers,
    /// What single lines say of their cards.
    pub cards: CardSample,
}

/// Lines that name a card's type, by the order number that they have: all of them, or of many some
/// that lie evenly over the file.
#[derive(Debug, Clone)]
pub struct CardSample {
    lines: Vec<(ChannelOrderNo, CardType)>,
    /// Of so many such lines one is kept.
    step: u32,
    /// Those that were passed over since.
    passed: u32,
}

impl Default for CardSample {
    fn default() -> Self {
        Self { lines: Vec::new(), step: 1, passed: 0 }
    }
}

impl CardSample {
    pub fn lines(&self) -> &[(ChannelOrderNo, CardType)] {
        &self.lines
    }

    #[inline]
    fn add(&mut self, order_no: &[u8], card_type: CardType) {
        self.passed += 1;
        if self.passed == self.step {
            self.passed = 0;
            self.keep(order_no, card_type);
        }
    }

    #[cold]
    fn keep(&mut self, order_no: &[u8], card_type: CardType) {
        let number = std::str::from_utf8(order_no).ok().and_then(ChannelOrderNo::parse);
        self.lines.extend(number.map(|number| (number, card_type)));
        if self.lines.len() == CARDS_SAMPLED_MAX {
            let mut place = 0;
            self.lines.retain(|_| {
                place += 1;
                place % 2 == 0
            });
            self.step = self.step.saturating_mul(2);
        }
    }
}

/// The order numbers that stand in rows which say nothing that is compared: rows that the layout
/// passes over, and rows that cannot be read.
#[derive(Debug, Clone, Default)]
pub struct SkippedNumbers {
    keys: HashSet<u128>,
    /// There were more than are kept.
    is_cut: bool,
}

impl SkippedNumbers {
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

/// A channel's statement as it lies on the disk.
#[derive(Debug, Clone, Copy)]
pub struct StatementInput<'a> {
    pub path: &'a Path,
    pub layout: &'a Layout,
    /// The layout's summary, where it lies beside a statement that is no archive.
    pub summary: Option<&'a Path>,
    /// The statement's date, where it is known: a line of another one is bad.
    pub date: Option<BusinessDate>,
}

/// A file as a side.
pub struct FileRows<'a> {
    lines: Lines,
    reading: FileDecoder<'a>,
    /// The statement whose summary the end is compared with.
    statement: Option<StatementInput<'a>>,
    watch: &'a dyn Watch,
    text: Vec<u8>,
}

struct FileDecoder<'a> {
    path: PathBuf,
    layout: &'a Layout,
    decoder: Decoder<'a>,
    /// A failure on a statement has moved no money; one of our records is a success that the
    /// channel claims.
    is_statement: bool,
    line: u32,
    is_cut: bool,
    first_bad: Option<(u32, StatementProblem)>,
    end: SideEnd,
}

impl<'a> FileRows<'a> {
    /// Opens a statement.
    pub fn statement(
        file: StatementInput<'a>,
        budget: &Budget,
        watch: &'a dyn Watch,
    ) -> Result<Self, MatchError> {
        let named = FilePattern { pattern: file.layout.member.as_deref(), date: file.date };
        let lines = Lines::new(source::open(file.path, named, budget)?);
        let reading = FileDecoder::new(file.path, file.layout, file.date, true);
        Ok(Self { lines, reading, statement: Some(file), watch, text: Vec::new() })
    }

    /// Opens exported clearing records, with the layout of such exports.
    pub fn records(
        path: &Path,
        layout: &'a Layout,
        budget: &Budget,
        watch: &'a dyn Watch,
    ) -> Result<Self, MatchError> {
        let unnamed = FilePattern { pattern: None, date: None };
        let lines = Lines::new(source::open(path, unnamed, budget)?);
        let reading = FileDecoder::new(path, layout, None, false);
        Ok(Self { lines, reading, statement: None, watch, text: Vec::new() })
    }

    /// Holds the statement against the summary that comes beside it. Says whether it is counted,
    /// there or in its own footer.
    fn check_summary(&mut self) -> Result<bool, MatchError> {
        let is_counted = self.reading.decoder.is_counted();
        let Some(file) = self.statement else { return Ok(is_counted) };
        let Some(summary) = &file.layout.summary else { return Ok(is_counted) };
        let named = FilePattern { pattern: Some(&summary.member), date: file.date };
        let text = source::summary(file.path, file.summary, named)?;
        let Some(text) = text else { return Ok(is_counted) };
        let said = self.reading.decoder.line_totals();
        let (problems, counts) = summary.check(&text, said, file.layout.currency);
        // The summary is another file: a difference from it is reported, and refuses nothing.
        let line = self.reading.line;
        self.reading.end.problems.extend(problems.into_iter().map(|problem| (line, problem)));
        Ok(is_counted || counts)
    }
}

impl Iterator for FileRows<'_> {
    type Item = Result<Row, MatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // Ends with a row, with what refuses the file, or with its end.
        loop {
            let line = match self.lines.next_line(|bytes| self.watch.read(bytes)) {
                Ok(line) => line?,
                Err(stop) => return Some(Err(self.reading.stopped(stop))),
            };
            if let Some(row) = self.reading.take(line).transpose() {
                return Some(row);
            }
        }
    }
}

impl Rows for FileRows<'_> {
    fn end(&mut self) -> Result<SideEnd, MatchError> {
        self.reading.finish()?;
        self.reading.end.is_counted = self.check_summary()?;
        self.reading.end.lines = self.reading.line;
        Ok(std::mem::take(&mut self.reading.end))
    }

    fn side_at(&mut self, place: Place) -> Result<Side, MatchError> {
        let read = source::line_at(self.lines.file(), place.at, &mut self.text);
        read.map_err(|source| MatchError::Spill { source })?;
        let encoding = self.reading.layout.encoding;
        let side = Side {
            line: place.line,
            order_no: String::new(),
            reference: String::new(),
            item: None,
            unreadable: None,
        };
        match self.reading.decoder.read_again(&self.text, place.line) {
            Ok(DecodedLine::Line(found)) => Ok(Side {
                order_no: encoding.decode(found.order_no),
                reference: encoding.decode(found.reference),
                item: Some(found.item),
                ..side
            }),
            Ok(DecodedLine::Passed | DecodedLine::Silent(_)) => {
                let source = std::io::Error::other("the file was changed while it was read");
                Err(MatchError::Read { path: self.reading.path.clone(), source })
            }
            Err(problem) => {
                let text = mask_cards(&encoding.decode(&self.text));
                let text = text.chars().take(BAD_TEXT_LENGTH_MAX).collect();
                Ok(Side { unreadable: Some((problem.to_string(), text)), ..side })
            }
        }
    }
}

impl<'a> FileDecoder<'a> {
    fn new(
        path: &Path,
        layout: &'a Layout,
        date: Option<BusinessDate>,
        is_statement: bool,
    ) -> Self {
        Self {
            path: path.to_owned(),
            layout,
            decoder: Decoder::new(layout, date),
            is_statement,
            line: 0,
            is_cut: false,
            first_bad: None,
            end: SideEnd::default(),
        }
    }

    fn refused(&self, line: u32, problem: StatementProblem) -> MatchError {
        MatchError::Line { path: self.path.clone(), line, problem }
    }

    #[cold]
    fn stopped(&self, stop: LineError) -> MatchError {
        match stop {
            LineError::Read(source) => MatchError::Read { path: self.path.clone(), source },
            LineError::TooLong => {
                self.refused(self.line + 1, StatementProblem::TooLong { limit: LINE_BYTES_MAX })
            }
        }
    }

    /// The row of a line, if it has one.
    #[inline]
    fn take(&mut self, line: Line<'_>) -> Result<Option<Row>, MatchError> {
        if self.line == LINES_MAX {
            return Err(MatchError::TooManyLines { path: self.path.clone() });
        }
        self.line += 1;
        self.is_cut = line.is_cut;
        if line.text.len() > LINE_BYTES_MAX {
            return self.keep(StatementProblem::TooLong { limit: LINE_BYTES_MAX }, line);
        }
        match self.decoder.read(line.text, self.line) {
            Ok(DecodedLine::Passed) => Ok(None),
            Ok(DecodedLine::Silent(number)) => {
                self.end.unread.add(number);
                Ok(None)
            }
            Ok(DecodedLine::Line(found)) => match self.row(&found, line.offset) {
                Some(row) => {
                    if let Some(card_type) = found.card_type {
                        self.end.cards.add(found.order_no, card_type);
                    }
                    Ok(Some(row))
                }
                None => self.keep(StatementProblem::Amount, line),
            },
            Err(problem) => self.keep(problem, line),
        }
    }

    fn row(&self, found: &StatementLine<'_>, offset: u64) -> Option<Row> {
        let item = if self.is_statement { found.item.as_reported() } else { found.item };
        let place = Place { line: found.line, at: offset, tag: 0 };
        Row::new(key_of(found.order_no), &item, !found.reference.is_empty(), place)
    }

    #[cold]
    fn keep(
        &mut self,
        problem: StatementProblem,
        line: Line<'_>,
    ) -> Result<Option<Row>, MatchError> {
        let is_of_line = problem.is_of_line();
        let on_bad = if is_of_line { self.layout.on_bad_line } else { self.layout.on_bad_file };
        if on_bad == OnBad::Refuse || !problem.can_be_kept() {
            return Err(self.refused(self.line, problem));
        }
        if self.end.bad.len() + self.end.problems.len() >= BAD_LINES_MAX {
            return Err(MatchError::TooManyBadLines { path: self.path.clone() });
        }
        if is_of_line {
            self.end.bad.push(Place { line: self.line, at: line.offset, tag: 0 });
            numbers_in(line.text).for_each(|number| self.end.unread.add(number));
            self.first_bad.get_or_insert((self.line, problem));
        } else {
            self.end.problems.push((self.line, problem));
        }
        Ok(None)
    }

    /// Says whether the file is whole.
    fn finish(&mut self) -> Result<(), MatchError> {
        if let Err(problem) = self.decoder.finish(self.is_cut) {
            if self.layout.on_bad_file == OnBad::Refuse || !problem.can_be_kept() {
                return Err(self.refused(self.line, problem));
            }
            self.end.problems.push((self.line, problem));
        }
        if let Some((line, problem)) = self.first_bad.take()
            && self.decoder.is_unread()
            && !problem.is_foreign_kind()
        {
            // None of its rows fits the layout: the file belongs to another layout.
            return Err(self.refused(line, problem));
        }
        let doubt = self.decoder.doubt();
        self.end.problems.extend(doubt.map(|problem| (self.line, problem)));
        Ok(())
    }
}
