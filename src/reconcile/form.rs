//! How a reconciliation is told to others: its sums as JSON, its list as rows of CSV.
//!
//! One form for the command that works on files and for the daemon's API, so that whoever reads one
//! reads the other.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::domain::books::reconcile::{Class, ClassTotals, Item, Key, Sums, Tally, Totals};
use crate::domain::money::Currency;

/// A sum as JSON has it; one that does not fit in 64 bits is a text, never rounded.
pub struct Whole(pub i128);

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(sum) => serializer.serialize_i64(sum),
            Err(_) => serializer.collect_str(&self.0),
        }
    }
}

/// How many, and how much.
#[derive(Serialize)]
pub struct SumsForm {
    count: u64,
    amount: Whole,
    fee: Whole,
}

impl From<&Sums> for SumsForm {
    fn from(sums: &Sums) -> Self {
        let (amount, fee) = (Whole(sums.amount_minor), Whole(sums.fee_minor));
        Self { count: sums.count, amount, fee }
    }
}

#[derive(Serialize)]
struct ClassForm {
    class: &'static str,
    currency: &'static str,
    theirs: SumsForm,
    ours: SumsForm,
}

/// One side's sums in a currency.
#[derive(Serialize)]
struct SideForm {
    currency: &'static str,
    sums: SumsForm,
}

fn sides(tally: &Tally) -> Vec<SideForm> {
    let row = |(currency, sums): (Currency, Sums)| SideForm {
        currency: currency.code(),
        sums: SumsForm::from(&sums),
    };
    tally.iter().map(row).collect()
}

/// The sums of a run.
#[derive(Serialize)]
pub struct SummaryForm {
    classes: Vec<ClassForm>,
    bad_lines: u64,
    not_due: Vec<SideForm>,
    theirs: Vec<SideForm>,
    ours: Vec<SideForm>,
}

impl SummaryForm {
    pub fn of(totals: &Totals, theirs: &Tally, ours: &Tally) -> Self {
        let class = |(currency, class, totals): (Currency, Class, ClassTotals)| ClassForm {
            class: class.name(),
            currency: currency.code(),
            theirs: SumsForm::from(&totals.theirs),
            ours: SumsForm::from(&totals.ours),
        };
        Self {
            classes: totals.iter().map(class).collect(),
            bad_lines: totals.bad_lines,
            not_due: sides(&totals.not_due),
            theirs: sides(theirs),
            ours: sides(ours),
        }
    }
}

/// The columns of the list: what both sides say, the statement's first.
pub const COLUMNS: [&str; 22] = [
    "class",
    "matched_by",
    "line",
    "order_no",
    "reference",
    "operation",
    "amount",
    "fee",
    "currency",
    "status",
    "settle_date",
    "record",
    "our_order_no",
    "our_reference",
    "our_operation",
    "our_amount",
    "our_fee",
    "our_currency",
    "our_status",
    "our_date",
    "problem",
    "text",
];
/// Columns of one side.
const SIDE_COLUMNS: usize = 9;

/// One side of a listed verdict.
pub struct ListedSide<'a> {
    /// Its line in its file, from 1; `None` where it comes from no file.
    pub line: Option<u32>,
    pub order_no: Cow<'a, str>,
    pub reference: &'a str,
    pub item: &'a Item,
}

/// A verdict that is more than a plain match.
pub struct Listed<'a> {
    pub class: Class,
    pub key: Key,
    pub theirs: Option<ListedSide<'a>>,
    pub ours: Option<ListedSide<'a>>,
    /// A line that cannot be read: its number, why, and its text with card numbers masked (I-11).
    pub bad: Option<(u32, &'a str, &'a str)>,
}

impl Listed<'_> {
    /// By what both sides were brought together; nothing where there is one alone.
    pub fn matched_by(&self) -> Option<&'static str> {
        (self.theirs.is_some() && self.ours.is_some()).then(|| self.key.name())
    }

    /// Adds its fields to a row of CSV, one for each of [`COLUMNS`].
    pub fn fill(&self, row: &mut csv::ByteRecord, numbers: &mut itoa::Buffer) {
        row.push_field(self.class.name().as_bytes());
        row.push_field(self.matched_by().unwrap_or_default().as_bytes());
        match (&self.theirs, self.bad) {
            (None, Some((line, _, _))) => {
                row.push_field(numbers.format(line).as_bytes());
                (1..SIDE_COLUMNS).for_each(|_| row.push_field(b""));
            }
            (side, _) => fill_side(row, side.as_ref(), numbers),
        }
        fill_side(row, self.ours.as_ref(), numbers);
        let (problem, text) = self.bad.map_or(("", ""), |(_, problem, text)| (problem, text));
        row.push_field(problem.as_bytes());
        row.push_field(text.as_bytes());
    }
}

fn fill_side(row: &mut csv::ByteRecord, side: Option<&ListedSide<'_>>, numbers: &mut itoa::Buffer) {
    let Some(side) = side else {
        (0..SIDE_COLUMNS).for_each(|_| row.push_field(b""));
        return;
    };
    let item = side.item;
    let mut number = |row: &mut csv::ByteRecord, number: Option<i64>| {
        row.push_field(number.map_or("", |number| numbers.format(number)).as_bytes());
    };
    number(row, side.line.map(i64::from));
    row.push_field(side.order_no.as_bytes());
    row.push_field(side.reference.as_bytes());
    row.push_field(item.movement.name().as_bytes());
    number(row, Some(item.amount_minor));
    number(row, item.fee_minor);
    row.push_field(item.currency.code().as_bytes());
    row.push_field(item.status.name().as_bytes());
    let date = item.date.map(|date| date.to_string()).unwrap_or_default();
    row.push_field(date.as_bytes());
}
