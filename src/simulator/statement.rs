//! What a channel's statement of a clearing day says: the ledger's finished work, with differences
//! where they are asked for.
//!
//! Knows no format: a dialect writes it down. Differences are drawn by seed and order number, so
//! that one seed plants the same ones again, and each is listed: a reconciliation must find exactly
//! these.

use crate::domain::time::BusinessDate;

use super::chance::Chance;
use super::ledger::{EntryKind, EntryState, LedgerEntry, LedgerSnapshot};
use super::running::Running;

/// A way in which a statement's line differs from the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The line is left out.
    Missing,
    /// A line about an order that nobody has.
    Foreign,
    /// The amount is one minor unit more.
    Amount,
    /// The fee is one minor unit more.
    Fee,
    /// The line stands twice.
    Repeated,
}

impl DifferenceKind {
    const ALL: [Self; 5] = [Self::Missing, Self::Foreign, Self::Amount, Self::Fee, Self::Repeated];
}

/// One planted difference.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Planted {
    pub order_no: String,
    pub kind: DifferenceKind,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatementLine {
    pub entry: LedgerEntry,
    /// What it refers to, where it refers to something.
    pub original: Option<LedgerEntry>,
}

impl StatementLine {
    /// Whether the merchant is paid by it, or pays.
    pub fn pays_merchant(&self) -> bool {
        match self.entry.kind {
            EntryKind::Charge | EntryKind::Capture => true,
            EntryKind::Undo | EntryKind::Refund | EntryKind::Preauth => false,
        }
    }
}

/// One clearing day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub date: BusinessDate,
    pub lines: Vec<StatementLine>,
    pub planted: Vec<Planted>,
}

impl Running {
    /// The statement of a date; `None` if nothing happened in it.
    pub fn statement(&self, date: BusinessDate) -> Option<Statement> {
        let ledger = self.ledger.snapshot(self.now());
        let lines = true_lines(&ledger, date);
        let parts = u16::from(self.settings.differences_percent) * 100;
        let mut statement = Statement { date, lines: Vec::new(), planted: Vec::new() };
        for line in lines {
            let order_no = line.entry.order_no.clone();
            let mut chance = Chance::of(self.settings.seed, "statement", &order_no, 0);
            if !chance.hits(parts) {
                statement.lines.push(line);
                continue;
            }
            let place = chance.below(DifferenceKind::ALL.len() as u64) as usize;
            statement.plant(line, DifferenceKind::ALL[place]);
        }
        (!statement.lines.is_empty() || !statement.planted.is_empty()).then_some(statement)
    }
}

impl Statement {
    fn plant(&mut self, line: StatementLine, kind: DifferenceKind) {
        let mut order_no = line.entry.order_no.clone();
        match kind {
            DifferenceKind::Missing => {}
            DifferenceKind::Foreign => {
                let mut foreign = line.clone();
                // Order numbers are digits only, so nobody has this one.
                foreign.entry.order_no = format!("{order_no}F");
                order_no = foreign.entry.order_no.clone();
                self.lines.extend([line, foreign]);
            }
            DifferenceKind::Amount => {
                let mut other = line;
                other.entry.amount_minor += 1;
                self.lines.push(other);
            }
            DifferenceKind::Fee => {
                let mut other = line;
                other.entry.fee_minor += 1;
                self.lines.push(other);
            }
            DifferenceKind::Repeated => self.lines.extend([line.clone(), line]),
        }
        self.planted.push(Planted { order_no, kind });
    }

    /// The planted differences as JSON, one a line.
    pub fn planted_lines(&self) -> String {
        let line = |planted: &Planted| {
            serde_json::to_string(planted).expect("plain fields always encode") + "\n"
        };
        self.planted.iter().map(line).collect()
    }
}

/// What moved money on a date, in the order of processing. What was reversed has no line, on either
/// side; what was undone has two.
fn true_lines(ledger: &LedgerSnapshot, date: BusinessDate) -> Vec<StatementLine> {
    let date = date.to_string();
    let stands = |entry: &&LedgerEntry| {
        matches!(entry.state, EntryState::Approved | EntryState::Undone)
            && entry.settle_date == date
    };
    let original = |entry: &LedgerEntry| ledger.get(entry.original.as_deref()?).cloned();
    let mut lines: Vec<StatementLine> = ledger
        .entries()
        .iter()
        .filter(stands)
        .map(|entry| StatementLine { entry: entry.clone(), original: original(entry) })
        .filter(|line| match line.entry.kind {
            EntryKind::Charge | EntryKind::Capture | EntryKind::Refund => true,
            // An undone authorisation moved nothing, like the authorisation.
            EntryKind::Undo => {
                line.original.as_ref().is_some_and(|one| one.kind != EntryKind::Preauth)
            }
            EntryKind::Preauth => false,
        })
        .collect();
    lines.sort_by_key(|line| line.entry.trace);
    lines
}
