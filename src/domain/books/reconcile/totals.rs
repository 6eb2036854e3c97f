//! Sums by class and currency, which together are the sums of both sides (I-10).

use crate::domain::books::reconcile::{Class, Item};
use crate::domain::money::Currency;

const CURRENCIES: usize = Currency::ALL.len();

/// How many, and how much. 128 bits hold any number of rows of the largest amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    pub count: u64,
    pub amount_minor: i128,
    /// Absent fees count as zero.
    pub fee_minor: i128,
}

impl Sums {
    pub fn add(&mut self, item: &Item) {
        self.count += 1;
        self.amount_minor += i128::from(item.amount_minor);
        self.fee_minor += i128::from(item.fee_minor.unwrap_or(0));
    }

    /// Takes away what was added before.
    pub fn take(&mut self, item: &Item) {
        assert!(self.count > 0, "I-10: only what was added is taken away");
        self.count -= 1;
        self.amount_minor -= i128::from(item.amount_minor);
        self.fee_minor -= i128::from(item.fee_minor.unwrap_or(0));
    }

    /// Less what another sum, which is a part of this one, has.
    pub fn less(&self, part: &Self) -> Self {
        Self {
            count: self.count - part.count,
            amount_minor: self.amount_minor - part.amount_minor,
            fee_minor: self.fee_minor - part.fee_minor,
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.amount_minor += other.amount_minor;
        self.fee_minor += other.fee_minor;
    }
}

/// The sums of one side by currency, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally([Sums; CURRENCIES]);

impl Tally {
    /// Builds up again what [`Self::iter`] gave, each currency once.
    pub fn from_sums(sums: impl IntoIterator<Item = (Currency, Sums)>) -> Self {
        let mut tally = Self::default();
        for (currency, sums) in sums {
            tally.0[currency as usize] = sums;
        }
        tally
    }

    pub fn add(&mut self, item: &Item) {
        self.0[item.currency as usize].add(item);
    }

    /// Adds a row by the place of its currency in [`Currency::ALL`].
    pub fn add_plain(&mut self, currency: usize, amount_minor: i64, fee_minor: i64) {
        let sums = &mut self.0[currency];
        sums.count += 1;
        sums.amount_minor += i128::from(amount_minor);
        sums.fee_minor += i128::from(fee_minor);
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sums, more)| sums.merge(more));
    }

    /// Rows of every currency.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|sums| sums.count).sum()
    }

    /// The currencies that occur, with their sums.
    pub fn iter(&self) -> impl Iterator<Item = (Currency, Sums)> {
        let rows = Currency::ALL.into_iter().zip(self.0);
        rows.filter(|(_, sums)| sums.count > 0)
    }
}

/// The sums of both sides in one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassTotals {
    pub theirs: Sums,
    pub ours: Sums,
}

/// Sums by currency and class. A pair of two currencies counts on each side in that side's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    rows: Vec<[ClassTotals; Class::COUNT]>,
    /// Lines that cannot be read have no amount that anyone knows.
    pub bad_lines: u64,
    /// Records of a date after the statement's, which it need not have: not due yet.
    pub not_due: Tally,
}

impl Default for Totals {
    fn default() -> Self {
        let rows = vec![<[ClassTotals; Class::COUNT]>::default(); CURRENCIES];
        Self { rows, bad_lines: 0, not_due: Tally::default() }
    }
}

impl Totals {
    /// Builds up again what [`Self::iter`] gave, each currency and class once, with the rest.
    pub fn from_rows(
        rows: impl IntoIterator<Item = (Currency, Class, ClassTotals)>,
        bad_lines: u64,
        not_due: Tally,
    ) -> Self {
        let mut totals = Self { bad_lines, not_due, ..Self::default() };
        for (currency, class, row) in rows {
            totals.rows[currency as usize][class.index()] = row;
        }
        totals
    }

    pub fn add(&mut self, class: Class, line: Option<&Item>, record: Option<&Item>) {
        assert!(line.is_some() || record.is_some(), "I-10: a verdict is about something");
        if let Some(item) = line {
            self.rows[item.currency as usize][class.index()].theirs.add(item);
        }
        if let Some(item) = record {
            self.rows[item.currency as usize][class.index()].ours.add(item);
        }
    }

    /// Moves a line without a record from one class to another, with the record that was found for
    /// it: more was learnt of it than its own statement says.
    pub fn reclassify(&mut self, line: &Item, from: Class, to: Class, record: Option<&Item>) {
        self.rows[line.currency as usize][from.index()].theirs.take(line);
        self.add(to, Some(line), record);
    }

    /// Adds pairs that agree, whose sums are the same on both sides.
    pub fn add_matched(&mut self, matched: &Tally) {
        for (row, sums) in self.rows.iter_mut().zip(&matched.0) {
            row[Class::Matched.index()].theirs.merge(sums);
            row[Class::Matched.index()].ours.merge(sums);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (row, more) in self.rows.iter_mut().zip(&other.rows) {
            for (class, more) in row.iter_mut().zip(more) {
                class.theirs.merge(&more.theirs);
                class.ours.merge(&more.ours);
            }
        }
        self.bad_lines += other.bad_lines;
        self.not_due.merge(&other.not_due);
    }

    pub fn get(&self, currency: Currency, class: Class) -> ClassTotals {
        self.rows[currency as usize][class.index()]
    }

    /// The rows that are not empty, by currency and then by class.
    pub fn iter(&self) -> impl Iterator<Item = (Currency, Class, ClassTotals)> {
        Currency::ALL.into_iter().flat_map(move |currency| {
            let row = Class::ALL.into_iter().map(move |class| (currency, class));
            row.map(|(currency, class)| (currency, class, self.get(currency, class)))
                .filter(|(_, _, totals)| totals.theirs.count + totals.ours.count > 0)
        })
    }

    /// Verdicts in a class, whatever the currency: pairs count once.
    pub fn count(&self, class: Class) -> u64 {
        let rows = self.rows.iter().map(|row| row[class.index()]);
        let (theirs, ours) = rows.fold((0, 0), |(theirs, ours), totals| {
            (theirs + totals.theirs.count, ours + totals.ours.count)
        });
        if class == Class::BadLine { self.bad_lines } else { theirs.max(ours) }
    }

    /// The sums of the classes by side, to be compared with the rows that were read (I-10).
    pub fn sides(&self) -> (Tally, Tally) {
        let (mut theirs, mut ours) = (Tally::default(), self.not_due);
        for (place, row) in self.rows.iter().enumerate() {
            for totals in row {
                theirs.0[place].merge(&totals.theirs);
                ours.0[place].merge(&totals.ours);
            }
        }
        (theirs, ours)
    }

    /// Whether nothing is left to do: every verdict is an agreement.
    pub fn is_agreed(&self) -> bool {
        Class::ALL.into_iter().all(|class| class.is_agreement() || self.count(class) == 0)
    }
}
