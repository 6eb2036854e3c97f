//! How a reconciliation is told to others: its sums as JSON, its list as rows of CSV.
//!
//! One form for the command that works on files and for the daemon's API, so that whoever reads one
//! reads the other.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::codec::cell::inert;
use crate::codec::word;
use crate::domain::books::reconcile::{Class, ClassTotals, Side, Sums, Tally, Totals, Verdict};
use crate::domain::money::Currency;

/// A sum as JSON has it; one that does not fit in 64 bits is a text, never rounded.
pub struct WideInteger(pub i128);

impl JsonSchema for WideInteger {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "WideInteger".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer" })
    }
}

impl Serialize for WideInteger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(sum) => serializer.serialize_i64(sum),
            Err(_) => serializer.collect_str(&self.0),
        }
    }
}

/// How many, and how much.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Sums")]
pub struct SumsForm {
    /// How many rows.
    count: u64,
    /// The sum of the amounts, in minor units.
    amount: WideInteger,
    /// The sum of the fees, in minor units.
    fee: WideInteger,
}

impl From<&Sums> for SumsForm {
    fn from(sums: &Sums) -> Self {
        let (amount, fee) = (WideInteger(sums.amount_minor), WideInteger(sums.fee_minor));
        Self { count: sums.count, amount, fee }
    }
}

/// A class.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClassSums")]
struct ClassForm {
    /// What came of the comparison.
    #[schemars(with = "word::ClassWord")]
    class: &'static str,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// The statement's side.
    theirs: SumsForm,
    /// Our side.
    ours: SumsForm,
}

/// One side's sums in a currency.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SideSums")]
struct SideForm {
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// The sums in it.
    sums: SumsForm,
}

fn sides(tally: &Tally) -> Vec<SideForm> {
    let row = |(currency, sums): (Currency, Sums)| SideForm {
        currency: currency.name(),
        sums: SumsForm::from(&sums),
    };
    tally.iter().map(row).collect()
}

/// The sums of a run.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatementSums")]
pub struct SummaryForm {
    /// The sums by class and currency.
    classes: Vec<ClassForm>,
    /// How many lines cannot be read.
    bad_lines: u64,
    /// Our records of later dates.
    not_due: Vec<SideForm>,
    /// All lines that were read.
    theirs: Vec<SideForm>,
    /// All records that were read.
    ours: Vec<SideForm>,
}

impl SummaryForm {
    pub fn of(totals: &Totals, theirs: &Tally, ours: &Tally) -> Self {
        let class = |(currency, class, totals): (Currency, Class, ClassTotals)| ClassForm {
            class: class.name(),
            currency: currency.name(),
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

/// The columns of the list: both sides' values, the statement's first.
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

/// Adds the fields of a verdict to a row of CSV, one for each of [`COLUMNS`].
pub fn list(verdict: &Verdict<Side>, row: &mut csv::ByteRecord, numbers: &mut itoa::Buffer) {
    let is_pair = verdict.line.is_some() && verdict.record.is_some();
    row.push_field(verdict.class.name().as_bytes());
    row.push_field(if is_pair { verdict.key.name().as_bytes() } else { b"" });
    list_side(verdict.line.as_ref(), row, numbers);
    list_side(verdict.record.as_ref(), row, numbers);
    let unreadable = verdict.line.as_ref().and_then(|line| line.unreadable.as_ref());
    let (problem, text) = unreadable.map_or(("", ""), |(problem, text)| (problem, text));
    row.push_field(problem.as_bytes());
    row.push_field(inert(text).as_bytes());
}

fn list_side(side: Option<&Side>, row: &mut csv::ByteRecord, numbers: &mut itoa::Buffer) {
    let line = side.map(|side| i64::from(side.line)).filter(|line| *line > 0);
    let mut number = |row: &mut csv::ByteRecord, number: Option<i64>| {
        row.push_field(number.map_or("", |number| numbers.format(number)).as_bytes());
    };
    number(row, line);
    let Some((side, item)) = side.and_then(|side| Some((side, side.item?))) else {
        (1..SIDE_COLUMNS).for_each(|_| row.push_field(b""));
        return;
    };
    row.push_field(inert(&side.order_no).as_bytes());
    row.push_field(inert(&side.reference).as_bytes());
    row.push_field(item.movement.name().as_bytes());
    number(row, Some(item.amount_minor));
    number(row, item.fee_minor);
    row.push_field(item.currency.name().as_bytes());
    row.push_field(item.status.name().as_bytes());
    let date = item.date.map(|date| date.to_string()).unwrap_or_default();
    row.push_field(date.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::Operation;
    use crate::domain::books::reconcile::{Item, MatchKey, Status};

    #[test]
    fn what_a_channel_has_written_is_no_formula_in_the_list() {
        let item = Item {
            movement: Operation::Refund,
            amount_minor: -100,
            fee_minor: Some(-1),
            currency: Currency::Cny,
            status: Status::Succeeded,
            date: None,
        };
        let line = Side {
            line: 7,
            order_no: "=1+1".to_owned(),
            reference: "-5".to_owned(),
            item: Some(item),
            unreadable: Some(("no amount".to_owned(), "@SUM(A1)".to_owned())),
        };
        let (class, key) = (Class::OnlyTheirs, MatchKey::OrderNo);
        let verdict = Verdict { class, key, line: Some(line), record: None };
        let (mut row, mut numbers) = (csv::ByteRecord::new(), itoa::Buffer::new());
        list(&verdict, &mut row, &mut numbers);
        let cell = |name: &str| {
            let place = COLUMNS.iter().position(|one| *one == name).expect("a column");
            String::from_utf8_lossy(&row[place]).into_owned()
        };
        assert_eq!((cell("order_no"), cell("reference")), ("'=1+1".into(), "'-5".into()));
        assert_eq!(cell("text"), "'@SUM(A1)");
        // Numbers of ours stay numbers.
        assert_eq!((cell("amount"), cell("fee")), ("-100".into(), "-1".into()));
    }
}
