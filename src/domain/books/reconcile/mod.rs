//! Reconciliation: a channel's statement compared with our clearing records.
//!
//! The statement leads (S22). Every line of it and every clearing record that is due end in exactly
//! one [`Class`], and the sums by class are the sums of both sides (I-10). One of our records
//! satisfies one of their lines. Principal is compared to the minor unit; only fees may differ, by
//! what the channel's file tolerates. This folder must not know layouts, files or stores: callers
//! pass the lines and records of one key at a time.

mod group;
mod net;
mod totals;

use crate::domain::attempt::Operation;
use crate::domain::bin::CardType;
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::closed_set;
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;

pub use self::group::Judge;
pub use self::net::{OrderedAmount, Proof, net};
pub use self::totals::{ClassTotals, Sums, Tally, Totals};

closed_set! {
    /// The end of an operation, by the side that reports it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Status {
        Succeeded = 1 => "succeeded",
        /// No money moved: the channel lists a failure, or our order did not end as a success.
        Failed = 2 => "failed",
    }
}

/// The values of a statement line or clearing record that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    pub movement: Operation,
    /// Signed from our side, in minor units: money that we receive is positive.
    pub amount_minor: i64,
    /// The fee that the channel keeps, negative where it gives a fee back. `None`: absent, not
    /// compared.
    pub fee_minor: Option<i64>,
    pub currency: Currency,
    pub status: Status,
    /// The settlement or clearing date. `None`: not said, not compared.
    pub date: Option<BusinessDate>,
}

impl Item {
    /// The item of a record of ours. A contradicted record is a success that our order does not
    /// have.
    pub const fn of(record: &ClearingRecord) -> Self {
        Self {
            movement: record.movement,
            amount_minor: record.principal_minor,
            fee_minor: Some(record.fee_minor),
            currency: record.currency,
            status: match record.state {
                ClearingState::Due => Status::Succeeded,
                ClearingState::Contradicted => Status::Failed,
            },
            date: Some(record.date),
        }
    }

    /// The item as a statement reports it: a failure has moved no money, whatever amount it names.
    pub fn as_reported(&self) -> Self {
        match self.status {
            Status::Succeeded => *self,
            Status::Failed => Self { amount_minor: 0, fee_minor: Some(0), ..*self },
        }
    }
}

/// One line of a statement in our words, borrowed from its text.
///
/// Our own side is read into it too where it comes from a file: both are rows of one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementLine<'text> {
    /// From 1, as an editor counts the file.
    pub line: u32,
    /// Our channel order number, as the channel wrote it. Empty if absent.
    pub order_no: &'text [u8],
    /// The channel's own number. Empty if absent.
    pub reference: &'text [u8],
    /// The type that the channel gives the card, where the line names one.
    pub card_type: Option<CardType>,
    pub item: Item,
}

/// One side of a verdict in its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Its line in its file, from 1; 0 where it comes from none.
    pub line: u32,
    /// Our channel order number, as the side writes it. Empty if absent.
    pub order_no: String,
    /// The channel's own number. Empty if absent.
    pub reference: String,
    /// `None` for a line that cannot be read.
    pub item: Option<Item>,
    /// Why it cannot be read, and its text, card numbers masked (I-11).
    pub unreadable: Option<(String, String)>,
}

/// How a line, a record, or a pair of them ends. Each is given by its place among those that were
/// judged, by its place on its side, or in its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<T> {
    pub class: Class,
    /// By what both were brought together, where there are both.
    pub key: MatchKey,
    pub line: Option<T>,
    pub record: Option<T>,
}

impl<T> Verdict<T> {
    /// The same verdict with its sides given otherwise.
    pub fn map<U>(self, mut side: impl FnMut(T) -> U) -> Verdict<U> {
        let Self { class, key, line, record } = self;
        Verdict { class, key, line: line.map(&mut side), record: record.map(side) }
    }
}

closed_set! {
    /// By what a line and a record were brought together.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum MatchKey {
        /// Our channel order number.
        OrderNo = 1 => "order_no",
        /// The channel's own number, for what the first key left over.
        Reference = 2 => "reference",
    }
}

closed_set! {
    /// How a line, a record, or a pair of them ends (I-10).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Class {
        Matched = 1 => "matched",
        /// The line agrees with a record of an earlier date, which was carried over.
        MatchedLate = 2 => "matched_late",
        /// The line agrees by the channel's own number only.
        MatchedWeak = 3 => "matched_weak",
        /// The line gives us more than our record, or takes less.
        AmountOver = 4 => "amount_over",
        /// The line gives us less than our record, or takes more.
        AmountShort = 5 => "amount_short",
        FeeDiffers = 6 => "fee_differs",
        /// One says success and the other does not, or they name different operations.
        StatusDiffers = 7 => "status_differs",
        CurrencyDiffers = 8 => "currency_differs",
        OnlyTheirs = 9 => "only_theirs",
        OnlyOurs = 10 => "only_ours",
        /// A further line with the number of an earlier one.
        DuplicateTheirs = 11 => "duplicate_theirs",
        /// A further record with the number of an earlier one.
        DuplicateOurs = 12 => "duplicate_ours",
        /// The line agrees with a record of a later date: the channel's day ended after ours.
        Shifted = 13 => "shifted",
        /// A line that cannot be read, kept as it stands.
        BadLine = 14 => "bad_line",
        /// Lines of one number that cancel each other, where we have no record of it.
        Netted = 15 => "netted",
        /// A line whose number another date's statement has matched: the same money, told again.
        DuplicateElsewhere = 16 => "duplicate_elsewhere",
    }
}

impl Class {
    pub const COUNT: usize = 16;

    /// Whether both sides say the same and nothing is left to do.
    pub const fn is_agreement(self) -> bool {
        match self {
            Self::Matched | Self::MatchedLate | Self::MatchedWeak => true,
            Self::AmountOver
            | Self::AmountShort
            | Self::FeeDiffers
            | Self::StatusDiffers
            | Self::CurrencyDiffers
            | Self::OnlyTheirs
            | Self::OnlyOurs
            | Self::DuplicateTheirs
            | Self::DuplicateOurs
            | Self::Shifted
            | Self::BadLine
            | Self::Netted
            | Self::DuplicateElsewhere => false,
        }
    }

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A channel's tolerance in comparisons, from its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tolerance {
    /// By how much a fee may differ, in minor units. Never for principal.
    pub fee_minor: i64,
}

/// The class of a line and the record it was brought together with.
///
/// The gravest difference names the pair: another currency makes amounts incomparable, and a
/// failure has no amount to compare. Dates decide only between pairs that agree.
pub fn compare(line: &Item, record: &Item, tolerance: Tolerance) -> Class {
    assert!(tolerance.fee_minor >= 0, "a tolerance is a distance");
    if line.currency != record.currency {
        return Class::CurrencyDiffers;
    }
    if line.status != record.status || !is_same_operation(line.movement, record.movement) {
        return Class::StatusDiffers;
    }
    match line.amount_minor.cmp(&record.amount_minor) {
        std::cmp::Ordering::Greater => return Class::AmountOver,
        std::cmp::Ordering::Less => return Class::AmountShort,
        std::cmp::Ordering::Equal => {}
    }
    if let (Some(theirs), Some(ours)) = (line.fee_minor, record.fee_minor)
        && theirs.abs_diff(ours) > tolerance.fee_minor.unsigned_abs()
    {
        return Class::FeeDiffers;
    }
    match (line.date, record.date) {
        (Some(theirs), Some(ours)) if ours < theirs => Class::MatchedLate,
        (Some(theirs), Some(ours)) if ours > theirs => Class::Shifted,
        (Some(_) | None, Some(_) | None) => Class::Matched,
    }
}

/// An undo is our word: a channel carries it out, and lists it, as a void or as a refund.
pub fn is_same_operation(theirs: Operation, ours: Operation) -> bool {
    theirs == ours
        || (ours == Operation::Undo && matches!(theirs, Operation::Void | Operation::Refund))
}

#[cfg(test)]
pub mod planted;
#[cfg(test)]
mod tests;
