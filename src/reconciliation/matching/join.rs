//! Joins both sides' rows of one partition by their key.
//!
//! A partition fits in the cache, so the table of its keys does too: that is what makes the join
//! fast. Nearly all keys have one row on each side; only the others are gathered into groups.

use crate::domain::books::reconcile::{Class, Item, Judge, MatchKey, Tolerance, Verdict};
use crate::reconciliation::matching::MatchError;
use crate::reconciliation::matching::partitions::SealedPartitions;
use crate::reconciliation::matching::row::{ROW_BYTES, Row, is_same, key_at, line_at, spread};
use crate::reconciliation::matching::verdicts::Findings;

/// Partitions of rows by their key, and of those that have none.
const PARTITIONS: usize = 1_024;
const KEYLESS: usize = 64;
/// Partitions of a side.
pub const ALL_PARTITIONS: usize = PARTITIONS + KEYLESS;

type RowBytes = [u8; ROW_BYTES];

/// The partition of a row, whoever draws the seed.
pub fn partition_of(row: &Row, seed: u64) -> usize {
    match row.key() {
        0 => PARTITIONS + line_at(row.bytes()) as usize % KEYLESS,
        key => (spread(key, seed) >> 54) as usize,
    }
}

/// Joins partitions; keeps its buffers between them.
pub struct Join {
    key: MatchKey,
    seed: u64,
    judge: Judge,
    theirs: Vec<u8>,
    ours: Vec<u8>,
    /// Places in `ours` plus one, by key; 0 is free.
    table: Vec<u32>,
    /// By place in `ours`: the first line with its key, plus one.
    partner: Vec<u32>,
    /// Further rows: the place of the first record with the key, and the row's own place.
    more_theirs: Vec<(u32, u32)>,
    more_ours: Vec<(u32, u32)>,
    /// Lines with a key that we do not have.
    strangers: Vec<u32>,
}

impl Join {
    pub fn new(key: MatchKey, seed: u64, tolerance: Tolerance) -> Self {
        Self {
            key,
            seed,
            judge: Judge::new(tolerance),
            theirs: Vec::new(),
            ours: Vec::new(),
            table: Vec::new(),
            partner: Vec::new(),
            more_theirs: Vec::new(),
            more_ours: Vec::new(),
            strangers: Vec::new(),
        }
    }

    /// Takes partition `number` of both sides and finds what becomes of each of its rows.
    pub fn partition(
        &mut self,
        number: usize,
        theirs: &SealedPartitions<'_, ROW_BYTES>,
        ours: &SealedPartitions<'_, ROW_BYTES>,
        limit: u64,
        findings: &mut Findings<'_>,
    ) -> Result<(), MatchError> {
        let spill = |source| MatchError::Spill { source };
        // Half a budget: the other half may still be in use.
        if theirs.bytes(number) + ours.bytes(number) > limit / 2 {
            return Err(MatchError::Skewed);
        }
        let (mut their_bytes, mut our_bytes) =
            (std::mem::take(&mut self.theirs), std::mem::take(&mut self.ours));
        their_bytes.clear();
        our_bytes.clear();
        theirs.take(number, &mut their_bytes).map_err(spill)?;
        ours.take(number, &mut our_bytes).map_err(spill)?;
        let (lines, records) =
            (their_bytes.as_chunks::<ROW_BYTES>().0, our_bytes.as_chunks::<ROW_BYTES>().0);
        let done = if number < PARTITIONS {
            self.build(records);
            self.probe(lines, records);
            self.judge_all(lines, records, findings)
        } else {
            alone(lines, records, self.key, findings)
        };
        (self.theirs, self.ours) = (their_bytes, our_bytes);
        done.map_err(spill)
    }

    fn build(&mut self, records: &[RowBytes]) {
        let slots = (records.len() * 2).next_power_of_two().max(16);
        self.table.clear();
        self.table.resize(slots, 0);
        self.more_ours.clear();
        for (at, record) in (0_u32..).zip(records) {
            let (slot, first) = self.find(key_at(record), records);
            match first {
                Some(first) => self.more_ours.push((first, at)),
                None => self.table[slot] = at + 1,
            }
        }
    }

    /// The slot of a key, and the first record that has it.
    fn find(&self, key: u128, records: &[RowBytes]) -> (usize, Option<u32>) {
        let mask = self.table.len() - 1;
        let mut slot = spread(key, self.seed) as usize & mask;
        // Half of the slots are free, so one is met.
        loop {
            match self.table[slot] {
                0 => return (slot, None),
                at if key_at(&records[at as usize - 1]) == key => return (slot, Some(at - 1)),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn probe(&mut self, lines: &[RowBytes], records: &[RowBytes]) {
        self.partner.clear();
        self.partner.resize(records.len(), 0);
        self.more_theirs.clear();
        self.strangers.clear();
        for (at, line) in (0_u32..).zip(lines) {
            match self.find(key_at(line), records).1 {
                Some(first) if self.partner[first as usize] == 0 => {
                    self.partner[first as usize] = at + 1;
                }
                Some(first) => self.more_theirs.push((first, at)),
                None => self.strangers.push(at),
            }
        }
    }

    fn judge_all(
        &mut self,
        lines: &[RowBytes],
        records: &[RowBytes],
        findings: &mut Findings<'_>,
    ) -> std::io::Result<()> {
        self.judge_groups(lines, records, findings)?;
        let partners = std::mem::take(&mut self.partner);
        for (partner, record) in partners.iter().zip(records) {
            match *partner {
                // A further record of a key, or the first one of a group: judged above.
                JUDGED => {}
                0 => findings.record(Class::OnlyOurs, self.key, &Row::of_bytes(record))?,
                line => {
                    let line = &lines[line as usize - 1];
                    if self.key == MatchKey::OrderNo && is_same(line, record) {
                        findings.same(&Row::of_bytes(line));
                        continue;
                    }
                    let (line, record) = (Row::of_bytes(line), Row::of_bytes(record));
                    if self.key == MatchKey::Reference {
                        // By the second key, what moves money another way is no pair.
                        judge_group(&mut self.judge, self.key, &[line], &[record], findings)?;
                        continue;
                    }
                    let class = self.judge.pair(&line.item(), &record.item(), self.key);
                    findings.pair(class, self.key, &line, &record)?;
                }
            }
        }
        self.partner = partners;
        self.judge_strangers(lines, findings)
    }

    /// The keys that several rows of one side have.
    fn judge_groups(
        &mut self,
        lines: &[RowBytes],
        records: &[RowBytes],
        findings: &mut Findings<'_>,
    ) -> std::io::Result<()> {
        self.more_theirs.sort_unstable();
        self.more_ours.sort_unstable();
        let (mut next_line, mut next_record) = (0, 0);
        let (mut group_lines, mut group_records) = (Vec::new(), Vec::new());
        // Every round takes all further rows of the smallest key that is left.
        loop {
            let of = |more: &[(u32, u32)], next: usize| more.get(next).map(|row| row.0);
            let line = of(&self.more_theirs, next_line);
            let record = of(&self.more_ours, next_record);
            let Some(first) = line.into_iter().chain(record).min() else { return Ok(()) };
            group_lines.clear();
            group_records.clear();
            group_records.push(Row::of_bytes(&records[first as usize]));
            let partner = std::mem::replace(&mut self.partner[first as usize], JUDGED);
            if partner > 0 {
                group_lines.push(Row::of_bytes(&lines[partner as usize - 1]));
            }
            while of(&self.more_theirs, next_line) == Some(first) {
                let at = self.more_theirs[next_line].1;
                group_lines.push(Row::of_bytes(&lines[at as usize]));
                next_line += 1;
            }
            while of(&self.more_ours, next_record) == Some(first) {
                let at = self.more_ours[next_record].1 as usize;
                self.partner[at] = JUDGED;
                group_records.push(Row::of_bytes(&records[at]));
                next_record += 1;
            }
            judge_group(&mut self.judge, self.key, &group_lines, &group_records, findings)?;
        }
    }

    fn judge_strangers(
        &mut self,
        lines: &[RowBytes],
        findings: &mut Findings<'_>,
    ) -> std::io::Result<()> {
        let key = |at: &u32| key_at(&lines[*at as usize]);
        self.strangers.sort_unstable_by_key(|at| (key(at), *at));
        for group in self.strangers.chunk_by(|left, right| key(left) == key(right)) {
            let rows: Vec<Row> =
                group.iter().map(|at| Row::of_bytes(&lines[*at as usize])).collect();
            judge_group(&mut self.judge, self.key, &rows, &[], findings)?;
        }
        Ok(())
    }
}

/// Stands in the place of a partner where the rows have their verdict already.
const JUDGED: u32 = u32::MAX;

fn judge_group(
    judge: &mut Judge,
    key: MatchKey,
    lines: &[Row],
    records: &[Row],
    findings: &mut Findings<'_>,
) -> std::io::Result<()> {
    let items = |rows: &[Row]| -> Vec<Item> { rows.iter().map(Row::item).collect() };
    let mut verdicts = Vec::with_capacity(lines.len() + records.len());
    judge.judge(&items(lines), &items(records), key, &mut verdicts);
    for Verdict { class, line, record, .. } in verdicts {
        let line = line.map(|at| lines[at as usize]);
        let record = record.map(|at| &records[at as usize]);
        match (line, record) {
            (Some(line), Some(record)) => findings.pair(class, key, &line, record)?,
            (Some(line), None) if key == MatchKey::OrderNo && records.is_empty() => {
                findings.line(class, key, &line.as_stranger())?;
            }
            (Some(line), None) => findings.line(class, key, &line)?,
            (None, Some(record)) => findings.record(class, key, record)?,
            (None, None) => unreachable!("a verdict is about something"),
        }
    }
    Ok(())
}

/// Rows without the key: nothing can be found by it.
fn alone(
    lines: &[RowBytes],
    records: &[RowBytes],
    key: MatchKey,
    findings: &mut Findings<'_>,
) -> std::io::Result<()> {
    for line in lines {
        findings.line(Class::OnlyTheirs, key, &Row::of_bytes(line))?;
    }
    for record in records {
        findings.record(Class::OnlyOurs, key, &Row::of_bytes(record))?;
    }
    Ok(())
}
