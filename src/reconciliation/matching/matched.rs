//! The matcher's result: sums, and the verdicts that are no plain match, in the order of the
//! statement. Records that single lines lead to afterwards go into the same sums.

use std::collections::HashMap;

use crate::domain::books::reconcile::{
    Class, Item, Judge, MatchKey, Side, Tally, Tolerance, Totals, Verdict,
};
use crate::reconciliation::matching::partitions::{Budget, SealedPartitions};
use crate::reconciliation::matching::row::{Place, ROW_BYTES, Row, key_of, line_at};
use crate::reconciliation::matching::side::{Rows, SideEnd};
use crate::reconciliation::matching::verdicts::{
    Findings, LineSet, ORDERED, VERDICT_BYTES, VerdictBytes, unpack,
};
use crate::reconciliation::matching::{MatchError, MatchReport};

/// A record of ours that was found, or came to be, by what lines say whose number no record had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateRecord {
    /// The verdicts on all lines of the number, as [`MatchedSides::each_stranger`] gave them.
    pub lines: Vec<Verdict<Side>>,
    pub record: Side,
}

/// The rows of a side that one key has left over.
type Remainder<'budget> = SealedPartitions<'budget, ROW_BYTES>;

/// Both sides, held together.
pub struct MatchedSides<'a, T, O> {
    pub(super) theirs: &'a mut T,
    pub(super) ours: &'a mut O,
    pub(super) their_end: SideEnd,
    pub(super) their_tally: Tally,
    pub(super) our_tally: Tally,
    pub(super) verdicts: Vec<SealedPartitions<'a, VERDICT_BYTES>>,
    pub(super) totals: Totals,
    pub(super) agreed: LineSet,
    pub(super) differences: u64,
    pub(super) tolerance: Tolerance,
    /// By its line, what a late record has made of a line's verdict.
    pub(super) late: HashMap<u32, Verdict<Side>>,
    pub(super) budget: &'a Budget,
}

impl<'a, T: Rows, O: Rows> MatchedSides<'a, T, O> {
    /// Takes what one thread has found; gives what its key has left over of both sides.
    pub(super) fn gather(&mut self, findings: Findings<'a>) -> (Remainder<'a>, Remainder<'a>) {
        let Findings { mut totals, matched, agreed, rows, count, left_theirs, left_ours, .. } =
            findings;
        totals.add_matched(&matched);
        self.totals.merge(&totals);
        self.agreed.merge(&agreed);
        self.differences += count;
        self.verdicts.push(rows.seal());
        (left_theirs.seal(), left_ours.seal())
    }

    /// The end of the statement: its totals and problems.
    pub const fn statement_end(&self) -> &SideEnd {
        &self.their_end
    }

    /// Calls `take` with the verdict on every line that only they have and whose number none of our
    /// records has, in the order of the statement. Amounts are as they are written.
    pub fn each_stranger(
        &mut self,
        mut take: impl FnMut(Verdict<Side>) -> Result<(), MatchError>,
    ) -> Result<(), MatchError> {
        for partition in 0..ORDERED {
            for (verdict, is_stranger) in self.partition(partition)? {
                if let (Some(place), true) = (verdict.line, is_stranger) {
                    let line = Some(self.theirs.side_at(place)?);
                    take(Verdict { class: verdict.class, key: verdict.key, line, record: None })?;
                }
            }
        }
        Ok(())
    }

    /// Takes a record to the lines that it was found for: as if it had been among ours.
    pub fn add(&mut self, late: LateRecord) {
        let LateRecord { lines, record } = late;
        let Some(own) = record.item else { return };
        let items: Vec<Item> = lines.iter().filter_map(item_of).collect();
        assert_eq!(items.len(), lines.len(), "a line that cannot be read is no stranger");
        let mut verdicts = Vec::new();
        Judge::new(self.tolerance).judge(&items, &[own], MatchKey::OrderNo, &mut verdicts);
        self.our_tally.add(&own);
        let mut record = Some(record);
        for Verdict { class, key, line, record: pair } in verdicts {
            let line = line.map(|at| at as usize).expect("a group's record has a line");
            let ours = pair.and_then(|_| record.take());
            let item = &items[line];
            self.totals.reclassify(item, lines[line].class, class, ours.as_ref().and(Some(&own)));
            let number = lines[line].line.as_ref().map_or(0, |side| side.line);
            if class.is_agreement() {
                self.agreed.add(number);
            }
            self.differences -= u64::from(class == Class::Matched);
            self.late.insert(number, Verdict { class, key, line: None, record: ours });
        }
    }

    /// Calls `take` with every verdict that is no plain match, by the statement's line, then, for
    /// what only we have, by our record. A failure on a statement has moved no money.
    pub fn report(
        mut self,
        mut take: impl FnMut(Verdict<Side>) -> Result<(), MatchError>,
    ) -> Result<MatchReport, MatchError> {
        let sides = self.totals.sides();
        let read = (self.their_tally, self.our_tally);
        assert_eq!(sides, read, "I-10: the classes sum to what was read of both sides");
        let mut told = 0;
        for partition in 0..ORDERED {
            for (verdict, _) in self.partition(partition)? {
                let verdict = self.with_sides(&verdict)?;
                if verdict.class != Class::Matched {
                    told += 1;
                    take(verdict)?;
                }
            }
        }
        assert_eq!(told, self.differences, "I-10: every verdict that is no match is told");
        let SideEnd { lines, problems, is_counted, cards, .. } = self.their_end;
        Ok(MatchReport {
            totals: self.totals,
            theirs: self.their_tally,
            ours: self.our_tally,
            agreed: self.agreed,
            lines,
            problems,
            is_counted,
            differences: self.differences,
            spilled_bytes: self.budget.spilled(),
            cards,
        })
    }

    /// A verdict in the words of both sides.
    fn with_sides(&mut self, verdict: &Verdict<Place>) -> Result<Verdict<Side>, MatchError> {
        let mut line = verdict.line.map(|place| self.theirs.side_at(place)).transpose()?;
        if let Some(item) = line.as_mut().and_then(|line| line.item.as_mut()) {
            *item = item.as_reported();
        }
        let late = verdict.line.and_then(|place| self.late.remove(&place.line));
        if let Some(late) = late {
            return Ok(Verdict { line, ..late });
        }
        let record = verdict.record.map(|place| self.ours.side_at(place)).transpose()?;
        Ok(Verdict { class: verdict.class, key: verdict.key, line, record })
    }

    /// The verdicts of a partition in their order.
    fn partition(&self, number: usize) -> Result<Vec<(Verdict<Place>, bool)>, MatchError> {
        let mut bytes = Vec::new();
        for part in &self.verdicts {
            let read = part.read(number, &mut bytes);
            read.map_err(|source| MatchError::Spill { source })?;
        }
        let packed: &[VerdictBytes] = bytes.as_chunks().0;
        let mut rows: Vec<(Verdict<Place>, bool)> = packed.iter().map(unpack).collect();
        let line = |place: Option<Place>| place.map_or(0, |place| place.line);
        rows.sort_unstable_by_key(|(row, _)| {
            (row.line.is_none(), line(row.line), line(row.record))
        });
        Ok(rows)
    }
}

fn item_of(verdict: &Verdict<Side>) -> Option<Item> {
    Some(verdict.line.as_ref()?.item?.as_reported())
}

/// Spreads what the first key left over of one side by the second key.
///
/// Where `wanted` is not set nothing can be found, and no words are read: the rows are without a
/// key.
pub fn by_reference<'budget>(
    side: &mut impl Rows,
    left: &[SealedPartitions<'_, ROW_BYTES>],
    wanted: bool,
    spread: super::Spread<'budget>,
) -> Result<SealedPartitions<'budget, ROW_BYTES>, MatchError> {
    let spill = |source| MatchError::Spill { source };
    let (mut found, mut bytes) = (spread.partitions(), Vec::new());
    for partition in 0..ORDERED {
        bytes.clear();
        for part in left {
            part.take(partition, &mut bytes).map_err(spill)?;
        }
        // In the side's own order, so that it is read from its beginning to its end.
        let mut rows: Vec<&[u8; ROW_BYTES]> = bytes.as_chunks().0.iter().collect();
        rows.sort_unstable_by_key(|row| line_at(row));
        for row in rows.into_iter().map(Row::of_bytes) {
            let key = match wanted {
                true => key_of(side.side_at(row.place())?.reference.as_bytes()),
                false => 0,
            };
            spread.push(&row.with_key(key), &mut found)?;
        }
    }
    Ok(found.seal())
}
