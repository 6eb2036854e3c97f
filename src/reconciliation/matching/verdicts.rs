//! The findings of a join: sums of all rows, and the rows that are no plain match.

use std::io;

use crate::domain::books::reconcile::{Class, MatchKey, Tally, Totals, Verdict};
use crate::domain::time::BusinessDate;
use crate::reconciliation::matching::partitions::{Budget, Partitions};
use crate::reconciliation::matching::row::{Place, ROW_BYTES, Row};

/// Partitions that keep an order: of verdicts, and of what one key left over.
pub const ORDERED: usize = 64;

/// One bit for each line of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineSet(Vec<u64>);

impl LineSet {
    /// Of lines 1 to `lines`.
    pub fn of(lines: u32) -> Self {
        Self(vec![0; lines as usize / 64 + 1])
    }

    pub fn add(&mut self, line: u32) {
        let word = &mut self.0[line as usize / 64];
        let bit = 1 << (line % 64);
        assert!(*word & bit == 0, "I-10: a line has exactly one verdict");
        *word |= bit;
    }

    pub fn contains(&self, line: u32) -> bool {
        self.0.get(line as usize / 64).is_some_and(|word| word >> (line % 64) & 1 == 1)
    }

    pub fn merge(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            assert!(*word & more == 0, "I-10: a line has exactly one verdict");
            *word |= more;
        }
    }

    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The set as bytes: bit `line % 8` of byte `line / 8`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        bytes
    }

    /// Reads back what [`Self::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let word = |chunk: &[u8]| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        };
        Self(bytes.chunks(8).map(word).collect())
    }
}

/// Bytes of a packed verdict.
pub const VERDICT_BYTES: usize = 1 + 2 * Place::BYTES;
/// A verdict as it is kept: its sides by their places.
pub type VerdictBytes = [u8; VERDICT_BYTES];

const BY_REFERENCE: u8 = 1 << 5;
const IS_STRANGER: u8 = 1 << 6;

fn pack(verdict: &Verdict<Place>, is_stranger: bool) -> VerdictBytes {
    let mut bytes = [0; VERDICT_BYTES];
    bytes[0] = verdict.class as u8
        | (u8::from(verdict.key == MatchKey::Reference) * BY_REFERENCE)
        | (u8::from(is_stranger) * IS_STRANGER);
    let (line, record) = (verdict.line.unwrap_or_default(), verdict.record.unwrap_or_default());
    bytes[1..1 + Place::BYTES].copy_from_slice(&line.pack());
    bytes[1 + Place::BYTES..].copy_from_slice(&record.pack());
    bytes
}

/// The verdict, and whether it is about a line whose order number no record has.
pub fn unpack(bytes: &VerdictBytes) -> (Verdict<Place>, bool) {
    let side = |at: usize| {
        let place = Place::unpack(*bytes[at..].first_chunk().expect("two places"));
        (place.line > 0).then_some(place)
    };
    let is = |mark: u8| bytes[0] & mark != 0;
    let verdict = Verdict {
        class: Class::ALL[usize::from(bytes[0] & (BY_REFERENCE - 1))],
        key: if is(BY_REFERENCE) { MatchKey::Reference } else { MatchKey::OrderNo },
        line: side(1),
        record: side(1 + Place::BYTES),
    };
    (verdict, is(IS_STRANGER))
}

/// The order of what is found: by the statement's line, then what only we have, by our row.
#[derive(Debug, Clone, Copy)]
pub struct ListingOrder {
    pub theirs: u32,
    pub ours: u32,
}

impl ListingOrder {
    /// The place of a row among those of its side, spread over [`ORDERED`] partitions.
    fn partition(rows: u64, at: u64) -> usize {
        let place = u128::from(at) * ORDERED as u128 / (u128::from(rows) + 1);
        usize::try_from(place).expect("a partition's number")
    }

    fn of_verdict(self, verdict: &Verdict<Place>) -> usize {
        let theirs = u64::from(self.theirs);
        let record = verdict.record.map_or(0, |record| u64::from(record.line));
        let at = verdict.line.map_or(theirs + record, |line| u64::from(line.line));
        Self::partition(theirs + u64::from(self.ours), at)
    }
}

/// Which records are due.
#[derive(Debug, Clone, Copy)]
pub struct Dates {
    /// Records of a later date are not due.
    pub statement: Option<BusinessDate>,
    /// Nor are those of an earlier one, which are carried over.
    pub carried: bool,
}

impl Dates {
    fn is_due(self, date: Option<BusinessDate>) -> bool {
        let Some(statement) = self.statement else { return true };
        date.is_none_or(|date| date == statement || (date < statement && !self.carried))
    }
}

/// The findings of one thread.
pub struct Findings<'budget> {
    order: ListingOrder,
    dates: Dates,
    pub totals: Totals,
    /// Plain matches, which are not in the totals yet.
    pub matched: Tally,
    pub agreed: LineSet,
    pub rows: Partitions<'budget, VERDICT_BYTES>,
    pub count: u64,
    /// Rows that the first key left over and the second one may match, in the order of its file.
    pub left_theirs: Partitions<'budget, ROW_BYTES>,
    pub left_ours: Partitions<'budget, ROW_BYTES>,
}

impl<'budget> Findings<'budget> {
    pub fn new(order: ListingOrder, dates: Dates, budget: &'budget Budget) -> Self {
        Self {
            order,
            dates,
            totals: Totals::default(),
            matched: Tally::default(),
            agreed: LineSet::of(order.theirs),
            rows: Partitions::new(budget, ORDERED),
            count: 0,
            left_theirs: Partitions::new(budget, ORDERED),
            left_ours: Partitions::new(budget, ORDERED),
        }
    }

    /// Two rows that are the same in all that is compared.
    pub fn same(&mut self, line: &Row) {
        self.matched.add_plain(line.currency_index(), line.amount_minor(), line.fee_minor());
        self.agreed.add(line.place().line);
    }

    pub fn pair(
        &mut self,
        class: Class,
        key: MatchKey,
        line: &Row,
        record: &Row,
    ) -> io::Result<()> {
        self.totals.add(class, Some(&line.item()), Some(&record.item()));
        if class.is_agreement() {
            self.agreed.add(line.place().line);
        }
        if class == Class::Matched {
            return Ok(());
        }
        let (line, record) = (Some(line.place()), Some(record.place()));
        self.keep(&Verdict { class, key, line, record }, false)
    }

    /// A line without a record. A line that has no record by the first key may have one by the
    /// second.
    pub fn line(&mut self, class: Class, key: MatchKey, line: &Row) -> io::Result<()> {
        let place = line.place();
        if key == MatchKey::OrderNo && class == Class::OnlyTheirs && line.has_reference() {
            let partition =
                ListingOrder::partition(u64::from(self.order.theirs), u64::from(place.line));
            return self.left_theirs.push(partition, line.bytes());
        }
        self.totals.add(class, Some(&line.item()), None);
        let verdict = Verdict { class, key, line: Some(place), record: None };
        self.keep(&verdict, line.is_stranger())
    }

    /// A record without a line.
    pub fn record(&mut self, class: Class, key: MatchKey, record: &Row) -> io::Result<()> {
        let (place, item) = (record.place(), record.item());
        if key == MatchKey::OrderNo && class == Class::OnlyOurs && record.has_reference() {
            let partition =
                ListingOrder::partition(u64::from(self.order.ours), u64::from(place.line));
            return self.left_ours.push(partition, record.bytes());
        }
        if class == Class::OnlyOurs && !self.dates.is_due(item.date) {
            self.totals.not_due.add(&item);
            return Ok(());
        }
        self.totals.add(class, None, Some(&item));
        self.keep(&Verdict { class, key, line: None, record: Some(place) }, false)
    }

    pub fn bad_line(&mut self, line: Place) -> io::Result<()> {
        self.totals.bad_lines += 1;
        let (class, key) = (Class::BadLine, MatchKey::OrderNo);
        self.keep(&Verdict { class, key, line: Some(line), record: None }, false)
    }

    fn keep(&mut self, verdict: &Verdict<Place>, is_stranger: bool) -> io::Result<()> {
        self.count += 1;
        self.rows.push(self.order.of_verdict(verdict), &pack(verdict, is_stranger))
    }
}
