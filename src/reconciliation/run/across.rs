//! Lines of one number in the statements of several dates: a payment stands in one, and what takes
//! it back in another, because the channel carried its reversal out when its day had ended.
//!
//! Such lines are netted as those of one statement are, wherever no record of ours has the number.
//! When one of them is gone from a later revision, the other is only theirs again.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::books::difference::{
    ContradictedMoney, Difference, Finding, days_after, days_before,
};
use crate::domain::books::reconcile::{Class, Item, Judge, MatchKey, Tolerance};
use crate::domain::ids::ChannelOrderNo;
use crate::engine::{CommitRounds, EngineError};

use super::BatchRun;
use super::evidence::{VerdictsByNumber, line_of};
use crate::reconciliation::{PAGE, ReconciliationError};

/// Lines of other dates' statements by their number, the earliest date first.
pub(super) type LinesOfOtherDates = BTreeMap<ChannelOrderNo, Vec<Difference>>;

impl BatchRun<'_> {
    /// Lines of the dates near this one that name one of the numbers and match no record of ours:
    /// those that are open, and those that cancel another.
    pub(super) async fn lines_of_other_dates(
        &self,
        numbers: &BTreeSet<ChannelOrderNo>,
    ) -> Result<LinesOfOtherDates, ReconciliationError> {
        let mut elsewhere = LinesOfOtherDates::new();
        if numbers.is_empty() {
            return Ok(elsewhere);
        }
        let days = self.context.statement.carry_days.max(1);
        let before = (1..=days).rev().map(|day| days_before(self.date, day));
        for other in before.chain((1..=days).map(|day| days_after(self.date, day))) {
            let mut after = None;
            // Bounded by the differences of the date: each page goes on after the last.
            loop {
                let channel = self.context.channel.clone();
                let page =
                    self.books.store().differences_of_lines(channel, other, after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.line.as_ref().map(|line| line.digest);
                for row in page.into_iter().filter(may_cancel) {
                    let number = number_of(&row).filter(|number| numbers.contains(number));
                    if let Some(number) = number {
                        elsewhere.entry(number).or_default().push(row);
                    }
                }
            }
        }
        Ok(elsewhere)
    }
}

/// Whether it is a line alone that is open, or cancels another one.
fn may_cancel(row: &Difference) -> bool {
    let stands = match row.class {
        Class::OnlyTheirs => row.state.is_open(),
        Class::Netted => true,
        _ => false,
    };
    stands && row.record.is_none()
}

fn number_of(row: &Difference) -> Option<ChannelOrderNo> {
    ChannelOrderNo::parse(&row.line.as_ref()?.order_no)
}

fn item_of(row: &Difference) -> Option<Item> {
    row.line.as_ref()?.item
}

/// A line of this date by its place in the file, or the row of another date's.
#[derive(Debug, Clone, Copy)]
enum LinePlace<'row> {
    Here(u32),
    There(&'row Difference),
}

/// The lines of one number, less those that cancel each other within a date.
#[derive(Debug)]
struct Split<'row> {
    across: Vec<LinePlace<'row>>,
    alone: Vec<LinePlace<'row>>,
}

type PlacedItem<'row> = (Item, LinePlace<'row>);

impl<'row> Split<'row> {
    fn of(here: Vec<PlacedItem<'row>>, rows: &'row [Difference]) -> Self {
        let date = |row: &Difference| row.line.as_ref().map(|line| line.date);
        let there = |row: &'row Difference| item_of(row).map(|item| (item, LinePlace::There(row)));
        let dates = rows.chunk_by(|left, right| date(left) == date(right));
        let dates = dates.map(|rows| rows.iter().filter_map(there).collect());
        let left = dates.chain([here]).flat_map(|of_date| cancel(of_date).1).collect();
        let (across, alone) = cancel(left);
        let places = |all: Vec<PlacedItem<'row>>| all.into_iter().map(|(_, place)| place).collect();
        Self { across: places(across), alone: places(alone) }
    }
}

/// Parts lines that cancel each other from the others.
fn cancel(lines: Vec<PlacedItem<'_>>) -> (Vec<PlacedItem<'_>>, Vec<PlacedItem<'_>>) {
    let items: Vec<Item> = lines.iter().map(|(item, _)| *item).collect();
    let mut verdicts = Vec::new();
    Judge::new(Tolerance::default()).judge(&items, &[], MatchKey::OrderNo, &mut verdicts);
    let netted = verdicts.iter().filter(|verdict| verdict.class == Class::Netted);
    let netted: BTreeSet<u32> = netted.filter_map(|verdict| verdict.line).collect();
    let (gone, left): (Vec<_>, Vec<_>) = (0..).zip(lines).partition(|(at, _)| netted.contains(at));
    let lines = |some: Vec<(u32, _)>| some.into_iter().map(|(_, line)| line).collect();
    (lines(gone), lines(left))
}

/// The rows of another date among the places, by the class that they have so far.
fn rows_of<'row>(places: &[LinePlace<'row>], is_netted: bool) -> Vec<&'row Difference> {
    let row = |place: &LinePlace<'row>| match place {
        LinePlace::There(row) => Some(*row),
        LinePlace::Here(_) => None,
    };
    let rows = places.iter().filter_map(row);
    rows.filter(|row| (row.class == Class::Netted) == is_netted).collect()
}

impl BatchRun<'_> {
    /// Nets the lines that only they have with those of other dates. The other dates' rows clear at
    /// once, these lines when they are written.
    pub(super) async fn net_across(
        &mut self,
        named: &VerdictsByNumber,
        elsewhere: &LinesOfOtherDates,
    ) -> Result<(), ReconciliationError> {
        for (number, rows) in elsewhere {
            // One of the lines is about our record.
            if self.books.record_of(&self.context.channel, self.date, *number).await?.is_some() {
                continue;
            }
            let lines = named.get(number).into_iter().flatten();
            let lines = lines.filter_map(line_of);
            let here = lines.map(|(line, item)| (item, LinePlace::Here(line.line))).collect();
            let split = Split::of(here, rows);
            self.netted.extend(split.across.iter().filter_map(|place| match place {
                LinePlace::Here(line) => Some(*line),
                LinePlace::There(_) => None,
            }));
            self.put_across(&rows_of(&split.across, false), Class::Netted).await?;
        }
        Ok(())
    }

    /// Lines of this date are gone that had cancelled lines of other dates: those are only theirs
    /// again.
    pub(super) async fn part_across(
        &mut self,
        gone: &[Difference],
    ) -> Result<(), ReconciliationError> {
        let numbers: BTreeSet<ChannelOrderNo> = gone.iter().filter_map(number_of).collect();
        let elsewhere = self.lines_of_other_dates(&numbers).await?;
        for (number, rows) in &elsewhere {
            let alone = rows_of(&Split::of(Vec::new(), rows).alone, true);
            if alone.is_empty() {
                continue;
            }
            self.put_across(&alone, Class::OnlyTheirs).await?;
            let mut chunk = self.chunk();
            for row in gone.iter().filter(|row| number_of(row) == Some(*number)) {
                let row = chunk.latest(row.clone());
                chunk.lose_line(&row).await?;
            }
            // The rows are as they were read: the next run finds later changes.
            if !self.commit_chunk(&mut CommitRounds::default(), chunk).await? {
                return Err(EngineError::Contended.into());
            }
        }
        Ok(())
    }

    async fn put_across(
        &mut self,
        rows: &[&Difference],
        class: Class,
    ) -> Result<(), ReconciliationError> {
        let mut tries = CommitRounds::default();
        loop {
            let mut chunk = self.chunk();
            for row in rows {
                let (key, line, record) = (MatchKey::OrderNo, row.line.clone(), None);
                let claimed = ContradictedMoney::Nothing;
                let finding = Finding { class, key, line, record, claimed, elsewhere: None };
                chunk.take(finding, None).await?;
            }
            if self.commit_chunk(&mut tries, chunk).await? {
                return Ok(());
            }
        }
    }
}
