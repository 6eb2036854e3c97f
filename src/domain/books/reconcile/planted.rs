//! Ledgers and statements made for tests, with the class that each row must end in.
//!
//! Knows how each class comes about, and nothing of how it is found.

use proptest::prelude::*;

use super::{Class, Item, Status};
use crate::domain::attempt::Operation;
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;

/// A row of either side, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantedRow {
    pub order_no: String,
    pub reference: String,
    pub item: Item,
}

/// Both sides, and what must be found: (class, line, record), places from 0.
#[derive(Debug, Clone, Default)]
pub struct PlantedSides {
    pub lines: Vec<PlantedRow>,
    pub records: Vec<PlantedRow>,
    pub wanted: Vec<(Class, Option<usize>, Option<usize>)>,
}

/// The classes that come from rows; a bad line comes from a file, and what another date's statement
/// has matched is known to the books alone.
const PLANTED: [Class; 14] = [
    Class::Matched,
    Class::MatchedLate,
    Class::MatchedWeak,
    Class::AmountOver,
    Class::AmountShort,
    Class::FeeDiffers,
    Class::StatusDiffers,
    Class::CurrencyDiffers,
    Class::OnlyTheirs,
    Class::OnlyOurs,
    Class::DuplicateTheirs,
    Class::DuplicateOurs,
    Class::Shifted,
    Class::Netted,
];

pub fn date(day: u32) -> BusinessDate {
    BusinessDate::from_yyyymmdd(20_261_100 + day).expect("a day of November")
}

/// The statement's date.
pub fn statement_date() -> BusinessDate {
    date(20)
}

impl PlantedSides {
    fn push(&mut self, class: Class, line: Option<PlantedRow>, record: Option<PlantedRow>) {
        let at = |rows: &mut Vec<PlantedRow>, row: Option<PlantedRow>| {
            row.map(|row| {
                rows.push(row);
                rows.len() - 1
            })
        };
        let line = at(&mut self.lines, line);
        let record = at(&mut self.records, record);
        self.wanted.push((class, line, record));
    }

    /// Adds what makes `class` appear, from one honest record. `by` is 1 or more.
    fn plant(&mut self, class: Class, number: u64, movement: Operation, amount: i64, by: i64) {
        let item = Item {
            movement,
            amount_minor: movement.sign() * amount,
            fee_minor: Some(movement.sign() * (amount / 200)),
            currency: Currency::Cny,
            status: Status::Succeeded,
            date: Some(statement_date()),
        };
        let row = PlantedRow {
            order_no: format!("26112000{number:011}01"),
            reference: format!("R{number:09}"),
            item,
        };
        let (mut line, mut record) = (row.clone(), row.clone());
        match class {
            Class::Matched => {}
            Class::MatchedLate => record.item.date = Some(date(19 - (by % 5) as u32)),
            Class::MatchedWeak => line.order_no = String::new(),
            Class::AmountOver => line.item.amount_minor += by,
            Class::AmountShort => line.item.amount_minor -= by,
            Class::FeeDiffers => line.item.fee_minor = Some(amount / 200 + by + amount),
            Class::StatusDiffers => {
                line.item = Item { status: Status::Failed, ..line.item }.as_reported();
            }
            Class::CurrencyDiffers => line.item.currency = Currency::Hkd,
            Class::Shifted => record.item.date = Some(date(21)),
            Class::OnlyTheirs => return self.push(class, Some(line), None),
            Class::OnlyOurs => return self.push(class, None, Some(record)),
            Class::DuplicateTheirs => {
                self.push(Class::Matched, Some(row), Some(record));
                return self.push(class, Some(line), None);
            }
            Class::DuplicateOurs => {
                self.push(Class::Matched, Some(line), Some(row));
                return self.push(class, None, Some(record));
            }
            Class::Netted => {
                line.item.movement = Operation::Payment;
                line.item.amount_minor = amount;
                line.item.fee_minor = Some(by);
                let back = Item {
                    movement: Operation::Void,
                    amount_minor: -amount,
                    fee_minor: Some(-by),
                    ..line.item
                };
                self.push(class, Some(line), None);
                return self.push(class, Some(PlantedRow { item: back, ..row }), None);
            }
            Class::BadLine | Class::DuplicateElsewhere => unreachable!("no row alone makes it"),
        }
        self.push(class, Some(line), Some(record));
    }

    /// Shuffles each side; what duplicates another stays behind it.
    fn shuffle(mut self, keys: &[u64]) -> Self {
        let order = |length: usize, of: &dyn Fn(usize) -> u64| {
            let mut places: Vec<usize> = (0..length).collect();
            places.sort_by_key(|place| (of(*place), *place));
            places
        };
        // Rows of one number share their sorting key, so they keep their order.
        let key = |rows: &[PlantedRow], place: usize| {
            let number: u64 = rows[place].reference[1..].parse().unwrap_or(0);
            keys[usize::try_from(number).expect("small") % keys.len()]
        };
        let lines = order(self.lines.len(), &|place| key(&self.lines, place));
        let records = order(self.records.len(), &|place| key(&self.records, place).rotate_left(17));
        let moved = |order: &[usize], old: Option<usize>| {
            old.map(|old| order.iter().position(|place| *place == old).expect("a permutation"))
        };
        for (_, line, record) in &mut self.wanted {
            *line = moved(&lines, *line);
            *record = moved(&records, *record);
        }
        self.lines = lines.iter().map(|place| self.lines[*place].clone()).collect();
        self.records = records.iter().map(|place| self.records[*place].clone()).collect();
        self.wanted.sort_by_key(|(_, line, record)| (line.is_none(), *line, *record));
        self
    }
}

/// Any ledger with any differences planted in it.
pub fn planted(rows_max: usize) -> impl Strategy<Value = PlantedSides> {
    let row = (
        prop::sample::select(&PLANTED[..]),
        prop::sample::select(&Operation::ALL[..]),
        1_i64..1_000_000_000,
        1_i64..1_000,
    );
    (prop::collection::vec(row, 0..rows_max), prop::collection::vec(any::<u64>(), 1..64)).prop_map(
        |(rows, keys)| {
            let mut planted = PlantedSides::default();
            for (number, (class, movement, amount, by)) in (1..).zip(rows) {
                planted.plant(class, number, movement, amount, by);
            }
            planted.shuffle(&keys)
        },
    )
}
