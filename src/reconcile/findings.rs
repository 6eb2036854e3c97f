//! What joining finds: sums of everything, rows only of what is not a plain match.

use std::io;

use crate::domain::books::reconcile::{Class, Key, Tally, Totals};
use crate::domain::time::BusinessDate;
use crate::reconcile::partitions::{Budget, Partitions};
use crate::reconcile::row::{Packed, ROW_BYTES, Row, amount_at, currency_at, line_at};

/// Bytes of a packed difference.
pub const DIFFERENCE_BYTES: usize = 26;
/// Partitions that keep an order: of differences, and of what one key left over.
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

/// A verdict that is kept as a row: where both texts stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub class: Class,
    pub key: Key,
    /// The statement's line and its place in the file.
    pub line: Option<(u32, u64)>,
    /// The same of our record.
    pub record: Option<(u32, u64)>,
}

impl Found {
    fn pack(&self) -> [u8; DIFFERENCE_BYTES] {
        let mut bytes = [0; DIFFERENCE_BYTES];
        bytes[0] = self.class as u8;
        bytes[1] = self.key as u8;
        let (line, record) = (self.line.unwrap_or_default(), self.record.unwrap_or_default());
        bytes[2..6].copy_from_slice(&line.0.to_le_bytes());
        bytes[6..10].copy_from_slice(&record.0.to_le_bytes());
        bytes[10..18].copy_from_slice(&line.1.to_le_bytes());
        bytes[18..].copy_from_slice(&record.1.to_le_bytes());
        bytes
    }

    pub fn unpack(bytes: &[u8; DIFFERENCE_BYTES]) -> Self {
        let short = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let long = |at: usize| u64::from(short(at)) | u64::from(short(at + 4)) << 32;
        let side = |line: u32, offset: u64| (line > 0).then_some((line, offset));
        Self {
            class: Class::ALL[usize::from(bytes[0])],
            key: if bytes[1] == Key::OrderNo as u8 { Key::OrderNo } else { Key::Reference },
            line: side(short(2), long(10)),
            record: side(short(6), long(18)),
        }
    }
}

/// The order of what is found: by the statement's line, then what only we have, by our row.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub theirs: u32,
    pub ours: u32,
}

impl Order {
    /// The place of a row among those of its side, spread over [`ORDERED`] partitions.
    fn partition(rows: u64, at: u64) -> usize {
        let place = u128::from(at) * ORDERED as u128 / (u128::from(rows) + 1);
        usize::try_from(place).expect("a partition's number")
    }

    fn of_found(self, found: &Found) -> usize {
        let theirs = u64::from(self.theirs);
        let record = found.record.map_or(0, |(record, _)| u64::from(record));
        let at = found.line.map_or(theirs + record, |(line, _)| u64::from(line));
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

/// What one thread finds.
pub struct Findings<'budget> {
    order: Order,
    dates: Dates,
    pub totals: Totals,
    matched: Tally,
    pub agreed: LineSet,
    pub rows: Partitions<'budget, DIFFERENCE_BYTES>,
    pub count: u64,
    /// What the first key left over and the second one may find, in the order of its file.
    pub left_theirs: Partitions<'budget, ROW_BYTES>,
    pub left_ours: Partitions<'budget, ROW_BYTES>,
}

impl<'budget> Findings<'budget> {
    pub fn new(order: Order, dates: Dates, budget: &'budget Budget) -> Self {
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
    pub fn same(&mut self, line: &Packed) {
        self.matched.add_plain(currency_at(line), amount_at(line, 16), amount_at(line, 22));
        self.agreed.add(line_at(line));
    }

    pub fn pair(&mut self, class: Class, key: Key, line: &Row, record: &Row) -> io::Result<()> {
        self.totals.add(class, Some(&line.item), Some(&record.item));
        if class.is_agreement() {
            self.agreed.add(line.line);
        }
        if class == Class::Matched {
            return Ok(());
        }
        let (line, record) = (Some((line.line, line.offset)), Some((record.line, record.offset)));
        self.keep(Found { class, key, line, record })
    }

    /// A line without a record. What only they have by the first key may be found by the second.
    pub fn line(&mut self, class: Class, key: Key, line: &Row) -> io::Result<()> {
        if key == Key::OrderNo && class == Class::OnlyTheirs && line.has_reference {
            let rows = u64::from(self.order.theirs);
            let partition = Order::partition(rows, u64::from(line.line));
            return self.left_theirs.push(partition, &line.pack());
        }
        self.totals.add(class, Some(&line.item), None);
        self.keep(Found { class, key, line: Some((line.line, line.offset)), record: None })
    }

    /// A record without a line.
    pub fn record(&mut self, class: Class, key: Key, record: &Row) -> io::Result<()> {
        if key == Key::OrderNo && class == Class::OnlyOurs && record.has_reference {
            let rows = u64::from(self.order.ours);
            let partition = Order::partition(rows, u64::from(record.line));
            return self.left_ours.push(partition, &record.pack());
        }
        if class == Class::OnlyOurs && !self.dates.is_due(record.item.date) {
            self.totals.not_due.add(&record.item);
            return Ok(());
        }
        self.totals.add(class, None, Some(&record.item));
        self.keep(Found { class, key, line: None, record: Some((record.line, record.offset)) })
    }

    pub fn bad_line(&mut self, line: (u32, u64)) -> io::Result<()> {
        self.totals.bad_lines += 1;
        self.keep(Found {
            class: Class::BadLine,
            key: Key::OrderNo,
            line: Some(line),
            record: None,
        })
    }

    fn keep(&mut self, found: Found) -> io::Result<()> {
        self.count += 1;
        self.rows.push(self.order.of_found(&found), &found.pack())
    }

    /// Brings the sums of plain matches to the others.
    pub fn finish(&mut self) {
        let matched = std::mem::take(&mut self.matched);
        self.totals.add_matched(&matched);
    }
}
