//! A channel's statement of a clearing day: the ledger's finished work, with planted differences if
//! the settings ask for them.
//!
//! A reversed success has two lines with the sum zero, or none: channels differ. The second line
//! belongs to the statement of the day on which the reversal was carried out.
//!
//! Of a format only the differences that its lines can show are known here: `dialect::statement`
//! writes it. Differences are drawn by seed and order number, so that one seed plants the same ones
//! again, and each is listed: a reconciliation must find exactly these.

use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;

use super::chance::Chance;
use super::ledger::{EntryKind, EntryState, LedgerEntry, LedgerSnapshot};
use super::settings::{BankSettings, BankStyle, DialectSettings, ReversedLines};
use super::state::SimulatorState;

/// Added to the running number of a line without an order.
const FOREIGN_TRACES: u64 = 900_000_000_000;

/// A way in which a statement's line differs from the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The line is left out.
    Missing,
    /// A line about an order that does not exist.
    Foreign,
    /// The amount is one minor unit more.
    Amount,
    /// The fee is one minor unit more.
    Fee,
    /// The line stands twice.
    Repeated,
    /// The line stands in the next date's statement instead.
    ShiftedOut,
    /// A line of the date before, missing from that date's statement.
    ShiftedIn,
    /// The line says that it failed.
    Status,
    /// The line is in another currency.
    Currency,
    /// The line that takes another one back is left out.
    ReversalMissing,
}

/// The differences that every format's lines can show.
pub(super) const EVERYWHERE: [DifferenceKind; 6] = [
    DifferenceKind::Missing,
    DifferenceKind::Foreign,
    DifferenceKind::Amount,
    DifferenceKind::Fee,
    DifferenceKind::Repeated,
    DifferenceKind::ShiftedOut,
];

/// The differences that the lines of a dialect's format can show.
fn kinds_of(dialect: &DialectSettings) -> Vec<DifferenceKind> {
    let (has_status, has_currency) = match dialect {
        DialectSettings::UnionPayAcp(_) => (false, false),
        DialectSettings::Bank(BankSettings { style, .. }) => match style {
            BankStyle::Harbour(_) | BankStyle::Quarry { .. } => (true, true),
            BankStyle::Meadow { .. } => (true, false),
            BankStyle::Canyon { .. } => (false, true),
        },
        DialectSettings::Iso8583(_) => (true, true),
    };
    let status = has_status.then_some(DifferenceKind::Status);
    let currency = has_currency.then_some(DifferenceKind::Currency);
    EVERYWHERE.into_iter().chain(status).chain(currency).collect()
}

/// One planted difference.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PlantedDifference {
    pub order_no: String,
    pub kind: DifferenceKind,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChannelStatementLine {
    pub entry: LedgerEntry,
    /// The entry that it refers to, if any.
    pub original: Option<LedgerEntry>,
    /// Its own status; false only if that difference is planted.
    pub succeeded: bool,
    /// The line takes its entry back under the entry's own numbers.
    pub takes_back: bool,
}

impl ChannelStatementLine {
    /// Whether the line pays the merchant, or charges it.
    pub fn pays_merchant(&self) -> bool {
        match self.entry.kind {
            EntryKind::Charge | EntryKind::Capture => !self.takes_back,
            EntryKind::Undo | EntryKind::Refund | EntryKind::Preauth | EntryKind::Payout => false,
        }
    }

    /// Whether the line's fee is charged to the merchant; else it is given back.
    pub fn charges_fee(&self) -> bool {
        self.pays_merchant() || self.entry.kind == EntryKind::Payout
    }

    /// The line's fee, positive where it is charged to the merchant.
    pub fn fee_minor(&self) -> i64 {
        if self.charges_fee() { self.entry.fee_minor } else { -self.entry.fee_minor }
    }
}

/// Why there is no statement of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoStatement {
    /// Its clearing day is not over.
    NotYet,
    /// Nothing happened in it.
    Nothing,
}

/// One clearing day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChannelStatement {
    pub date: BusinessDate,
    pub lines: Vec<ChannelStatementLine>,
    pub planted: Vec<PlantedDifference>,
}

impl SimulatorState {
    /// The statement of a date whose day is over.
    pub fn closed_statement(&self, date: BusinessDate) -> Result<ChannelStatement, NoStatement> {
        if date >= self.ledger.settling(self.now()) {
            return Err(NoStatement::NotYet);
        }
        self.statement(date).ok_or(NoStatement::Nothing)
    }

    /// The statement of a date as it stands; `None` if nothing happened in it.
    pub fn statement(&self, date: BusinessDate) -> Option<ChannelStatement> {
        let ledger = self.ledger.snapshot(self.now());
        let reversed = self.settings.reversed_lines;
        let true_lines = |date| true_lines(&ledger, date, reversed);
        let kinds = kinds_of(&self.settings.dialect);
        let mut statement = ChannelStatement { date, lines: Vec::new(), planted: Vec::new() };
        let before = date.civil().yesterday().ok().map(BusinessDate::new);
        for line in before.map(true_lines).unwrap_or_default() {
            if self.difference(&line, &kinds) == Some(DifferenceKind::ShiftedOut) {
                statement.plant(line, DifferenceKind::ShiftedIn);
            }
        }
        for line in true_lines(date) {
            match self.difference(&line, &kinds) {
                Some(kind) => statement.plant(line, kind),
                None => statement.lines.push(line),
            }
        }
        (!statement.lines.is_empty() || !statement.planted.is_empty()).then_some(statement)
    }

    /// The difference of a line: it depends on the seed and the order number alone.
    fn difference(
        &self,
        line: &ChannelStatementLine,
        kinds: &[DifferenceKind],
    ) -> Option<DifferenceKind> {
        let parts = u16::from(self.settings.differences_percent) * 100;
        let mut chance = Chance::of(self.settings.seed, "statement", &line.entry.order_no, 0);
        let place = |chance: &mut Chance| chance.below(kinds.len() as u64) as usize;
        match (chance.hits(parts), line.entry.state) {
            (false, _) => None,
            // Another difference in one of two lines would count as two.
            (true, EntryState::Reversed) => {
                line.takes_back.then_some(DifferenceKind::ReversalMissing)
            }
            (true, _) => Some(kinds[place(&mut chance)]),
        }
    }
}

impl ChannelStatement {
    fn plant(&mut self, line: ChannelStatementLine, kind: DifferenceKind) {
        let mut order_no = line.entry.order_no.clone();
        match kind {
            DifferenceKind::Missing
            | DifferenceKind::ShiftedOut
            | DifferenceKind::ReversalMissing => {}
            DifferenceKind::ShiftedIn => self.lines.push(line),
            DifferenceKind::Foreign => {
                let mut foreign = line.clone();
                // No order number ends like this, and no channel's count reaches so far.
                foreign.entry.order_no = format!("{order_no}F");
                foreign.entry.trace += FOREIGN_TRACES;
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
            DifferenceKind::Status => {
                self.lines.push(ChannelStatementLine { succeeded: false, ..line });
            }
            DifferenceKind::Currency => {
                let mut other = line;
                let is_cny = other.entry.currency == Currency::Cny.name();
                other.entry.currency =
                    if is_cny { Currency::Hkd.name() } else { Currency::Cny.name() };
                self.lines.push(other);
            }
        }
        self.planted.push(PlantedDifference { order_no, kind });
    }

    /// The planted differences as JSON, one a line.
    pub fn planted_lines(&self) -> String {
        let line = |planted: &PlantedDifference| {
            serde_json::to_string(planted).expect("plain fields always encode") + "\n"
        };
        self.planted.iter().map(line).collect()
    }
}

/// The movements of money on a date, in the order of processing. An undone charge has two lines,
/// under a number each.
fn true_lines(
    ledger: &LedgerSnapshot,
    date: BusinessDate,
    reversed: ReversedLines,
) -> Vec<ChannelStatementLine> {
    let date = date.to_string();
    let original = |entry: &LedgerEntry| ledger.get(entry.original.as_deref()?).cloned();
    let line = |entry: &LedgerEntry, takes_back| ChannelStatementLine {
        entry: entry.clone(),
        original: original(entry),
        succeeded: true,
        takes_back,
    };
    let listed = |entry: &&LedgerEntry| reversed == ReversedLines::Both && entry.took_money();
    let stands = |entry: &&LedgerEntry| match entry.state {
        EntryState::Approved | EntryState::Undone => entry.settle_date == date,
        EntryState::Reversed => entry.settle_date == date && listed(entry),
        EntryState::Working | EntryState::Declined => false,
    };
    let taken_back =
        |entry: &&LedgerEntry| entry.reversed_on.as_ref() == Some(&date) && listed(entry);
    let entries = || ledger.entries().iter();
    let mut lines: Vec<ChannelStatementLine> = entries()
        .filter(stands)
        .map(|entry| line(entry, false))
        .chain(entries().filter(taken_back).map(|entry| line(entry, true)))
        .filter(|line| match line.entry.kind {
            EntryKind::Charge | EntryKind::Capture | EntryKind::Refund | EntryKind::Payout => true,
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
