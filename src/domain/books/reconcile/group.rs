//! The verdicts on the lines and records that share one key. One of ours satisfies one of theirs.
//!
//! A group is nearly always one and one. Where it is not, what agrees is paired first, then what
//! moves money the same way, then the rest: so a line that was printed twice leaves one match and
//! one duplicate, whichever of the two is spoiled. Pairing sorts, so a hostile file in which all
//! lines share a key costs no more than its sorting.

use std::cmp::Ordering;

use crate::domain::books::reconcile::{Class, Item, MatchKey, Status, Tolerance, Verdict, compare};

/// Judges groups; keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Judge {
    tolerance: Tolerance,
    lines: Vec<u32>,
    records: Vec<u32>,
    kept_lines: Vec<u32>,
    kept_records: Vec<u32>,
    /// The directions of money that lines, and records, of this group were seen to have.
    line_ways: MoneyDirections,
    record_ways: MoneyDirections,
}

/// Directions of money that one side of a group has. A failure moves none: it counts as a direction
/// of its own, so that no success is taken for its duplicate.
#[derive(Debug, Clone, Copy, Default)]
struct MoneyDirections([bool; 4]);

impl MoneyDirections {
    /// Whether this is the first item in its direction; the direction counts as seen from now on.
    fn is_first(&mut self, item: &Item) -> bool {
        let place = match (item.status, direction(item)) {
            (Status::Failed, _) => 3,
            (Status::Succeeded, 1..) => 0,
            (Status::Succeeded, 0) => 1,
            (Status::Succeeded, _) => 2,
        };
        !std::mem::replace(&mut self.0[place], true)
    }
}

impl Judge {
    pub fn new(tolerance: Tolerance) -> Self {
        Self { tolerance, ..Self::default() }
    }

    /// The class of a pair that was brought together by `key`.
    pub fn pair(&self, line: &Item, record: &Item, key: MatchKey) -> Class {
        let class = compare(line, record, self.tolerance);
        match (key, class) {
            (MatchKey::Reference, Class::Matched | Class::MatchedLate | Class::Shifted) => {
                Class::MatchedWeak
            }
            (MatchKey::OrderNo | MatchKey::Reference, class) => class,
        }
    }

    /// Adds one verdict for each line and each record, or one for both of a pair, by their places
    /// among those that are given.
    ///
    /// `lines` and `records` are in the order of their files, so the first of several keeps its
    /// place and the later ones are the duplicates. The channel's own number may stand on several
    /// lines (a payment and its refunds), so nothing is a duplicate by it, and only what moves
    /// money the same way is paired by it.
    pub fn judge(
        &mut self,
        lines: &[Item],
        records: &[Item],
        key: MatchKey,
        verdicts: &mut Vec<Verdict<u32>>,
    ) {
        let before = verdicts.len();
        (self.line_ways, self.record_ways) =
            (MoneyDirections::default(), MoneyDirections::default());
        self.lines.clear();
        self.lines.extend((0..).take(lines.len()));
        self.records.clear();
        self.records.extend((0..).take(records.len()));
        self.pair_by(lines, records, key, verdicts, |item| {
            (direction(item), item.currency as i64, item.status as i64, item.amount_minor)
        });
        self.pair_by(lines, records, key, verdicts, |item| {
            (direction(item), 0, item.status as i64, 0)
        });
        self.pair_by(lines, records, key, verdicts, |item| (direction(item), 0, 0, 0));
        if key == MatchKey::OrderNo {
            self.pair_by(lines, records, key, verdicts, |_| (0, 0, 0, 0));
        }
        let paired = verdicts.len() - before;
        if records.is_empty() && self.lines.len() > 1 {
            self.net(lines, key, verdicts);
        }
        for at in &self.lines {
            let class =
                match self.line_ways.is_first(&lines[*at as usize]) || key == MatchKey::Reference {
                    true => Class::OnlyTheirs,
                    false => Class::DuplicateTheirs,
                };
            verdicts.push(Verdict { class, key, line: Some(*at), record: None });
        }
        for at in &self.records {
            let item = &records[*at as usize];
            let class = match self.record_ways.is_first(item) || key == MatchKey::Reference {
                true => Class::OnlyOurs,
                false => Class::DuplicateOurs,
            };
            verdicts.push(Verdict { class, key, line: None, record: Some(*at) });
        }
        assert_eq!(
            verdicts.len() - before + paired,
            lines.len() + records.len(),
            "I-10: each line and each record has exactly one verdict"
        );
    }

    /// Takes out the lines that cancel each other: one that moves money, and one that moves the
    /// same money back, fee included.
    fn net(&mut self, lines: &[Item], key: MatchKey, verdicts: &mut Vec<Verdict<u32>>) {
        let size = |item: &Item| {
            let way = item.amount_minor.signum();
            (item.currency as i64, way * item.amount_minor, way * item.fee_minor.unwrap_or(0))
        };
        let moves = |at: &u32, way: i64| {
            let item = &lines[*at as usize];
            item.status == Status::Succeeded && item.amount_minor.signum() == way
        };
        let sorted = |all: &[u32], way: i64| {
            let mut some: Vec<u32> = all.iter().copied().filter(|at| moves(at, way)).collect();
            some.sort_by_key(|at| (size(&lines[*at as usize]), *at));
            some
        };
        let (paid, back) = (sorted(&self.lines, 1), sorted(&self.lines, -1));
        let (mut next_paid, mut next_back) = (0, 0);
        self.kept_lines.clear();
        // Ends with the shorter list: every round takes one of a list.
        while next_paid < paid.len() && next_back < back.len() {
            let (one, other) = (paid[next_paid], back[next_back]);
            match size(&lines[one as usize]).cmp(&size(&lines[other as usize])) {
                Ordering::Less => next_paid += 1,
                Ordering::Greater => next_back += 1,
                Ordering::Equal => {
                    self.kept_lines.extend([one, other]);
                    (next_paid, next_back) = (next_paid + 1, next_back + 1);
                }
            }
        }
        self.kept_lines.sort_unstable();
        let netted = |at: &u32| self.kept_lines.binary_search(at).is_ok();
        self.lines.retain(|at| !netted(at));
        let gone = self.kept_lines.drain(..);
        verdicts.extend(gone.map(|at| Verdict {
            class: Class::Netted,
            key,
            line: Some(at),
            record: None,
        }));
    }

    /// Pairs what has the same measure, in the order of the files; leaves the rest in place.
    fn pair_by(
        &mut self,
        lines: &[Item],
        records: &[Item],
        key: MatchKey,
        verdicts: &mut Vec<Verdict<u32>>,
        measure: impl Fn(&Item) -> (i8, i64, i64, i64),
    ) {
        if self.lines.is_empty() || self.records.is_empty() {
            return;
        }
        // Items that agree in every word stand at the same place of both sorted lists.
        let order = |item: &Item| (measure(item), item.fee_minor, item.date);
        self.lines.sort_by_key(|at| (order(&lines[*at as usize]), *at));
        self.records.sort_by_key(|at| (order(&records[*at as usize]), *at));
        self.kept_lines.clear();
        self.kept_records.clear();
        let (mut next_line, mut next_record) = (0, 0);
        // Ends with the shorter list: every round takes one of a list.
        while next_line < self.lines.len() && next_record < self.records.len() {
            let (line, record) = (self.lines[next_line], self.records[next_record]);
            let (theirs, ours) = (&lines[line as usize], &records[record as usize]);
            match measure(theirs).cmp(&measure(ours)) {
                Ordering::Less => {
                    self.kept_lines.push(line);
                    next_line += 1;
                }
                Ordering::Greater => {
                    self.kept_records.push(record);
                    next_record += 1;
                }
                Ordering::Equal => {
                    let class = self.pair(theirs, ours, key);
                    self.line_ways.is_first(theirs);
                    self.record_ways.is_first(ours);
                    verdicts.push(Verdict { class, key, line: Some(line), record: Some(record) });
                    next_line += 1;
                    next_record += 1;
                }
            }
        }
        self.kept_lines.extend_from_slice(&self.lines[next_line..]);
        self.kept_records.extend_from_slice(&self.records[next_record..]);
        self.kept_lines.sort_unstable();
        self.kept_records.sort_unstable();
        std::mem::swap(&mut self.lines, &mut self.kept_lines);
        std::mem::swap(&mut self.records, &mut self.kept_records);
    }
}

/// Which way money moves by it; a failure moves none, but meant to.
const fn direction(item: &Item) -> i8 {
    match item.movement.sign() {
        1.. => 1,
        0 => 0,
        _ => -1,
    }
}
