//! Settlement: the channel's statement compared with the money that the bank received (账实核对; S25,
//! S26).
//!
//! Bookings are one by one, and a channel settles in one sum (S18): a settlement closes clearing
//! dates, and is booked only when the bank's receipts equal the unsettled money of the dates'
//! statements. So every date is settled once, whatever overlaps, and a revised statement leaves
//! exactly its change to be settled.

mod check;
#[cfg(test)]
mod tests;

use crate::domain::books::reconcile::Sums;
use crate::domain::closed_set;
use crate::domain::ids::{ChannelId, SettlementId};
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, Timestamp};

pub use self::check::{
    DateFacts, ReceiptSubmission, SettlementChange, SettlementRefusal, check, expected, open,
    receive, same_content,
};

/// Clearing dates that one settlement may span: a quarter.
pub const DATES_MAX: usize = 92;
/// Receipts that one settlement may have.
pub const RECEIPTS_MAX: usize = 100;
/// The largest receipt, in minor units: a thousand of the largest orders, and safe in every JSON.
pub const RECEIVED_MINOR_MAX: i64 = 999_999_999_999_999;

closed_set! {
    /// Where a settlement stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum SettlementState {
        /// The bank's receipts equal the statement's net: the settlement is booked.
        Agreed = 1 => "agreed",
        /// They do not; nothing is booked until they do.
        Differs = 2 => "differs",
    }
}

/// One receipt of the bank's, for the channel's clearing dates `from` to `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankReceipt {
    /// The bank's own number of it, unique for the channel: the same one again changes nothing.
    pub bank_reference: String,
    /// Negative where the bank paid the channel.
    pub received_minor: i64,
    pub received_on: BusinessDate,
    pub at: Timestamp,
    pub by: String,
}

/// A channel's settlement of some clearing dates in one currency. Several receipts may make it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSettlement {
    pub id: SettlementId,
    /// Counts the writes of the row, from 1.
    pub version: u32,
    pub channel: ChannelId,
    pub from: BusinessDate,
    pub to: BusinessDate,
    pub currency: Currency,
    /// At least one.
    pub receipts: Vec<BankReceipt>,
    /// The money of the dates' statements that earlier settlements have not settled.
    pub expected: SettledAmounts,
    pub state: SettlementState,
    /// Why it differs, in words for people: a date without a statement, too much, too little.
    pub reasons: Vec<String>,
    pub opened_at: Timestamp,
    pub agreed_at: Option<Timestamp>,
    /// The number of its last accounting request; 0 if it has none.
    pub accounting_sequence: u16,
}

/// Principal, fee and net: of a date that is settled, or of what is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SettledAmounts {
    pub principal_minor: i64,
    pub fee_minor: i64,
    /// `principal_minor - fee_minor`.
    pub net_minor: i64,
}

impl SettledAmounts {
    pub const fn new(principal_minor: i64, fee_minor: i64) -> Option<Self> {
        match principal_minor.checked_sub(fee_minor) {
            Some(net_minor) => Some(Self { principal_minor, fee_minor, net_minor }),
            None => None,
        }
    }

    /// The amounts of a statement's sums; `None` beyond 64 bits.
    pub fn of(sums: &Sums) -> Option<Self> {
        let principal_minor = i64::try_from(sums.amount_minor).ok()?;
        Self::new(principal_minor, i64::try_from(sums.fee_minor).ok()?)
    }

    /// `None` beyond 64 bits.
    pub fn plus(self, other: Self) -> Option<Self> {
        let principal_minor = self.principal_minor.checked_add(other.principal_minor)?;
        Self::new(principal_minor, self.fee_minor.checked_add(other.fee_minor)?)
    }

    /// `None` beyond 64 bits.
    pub fn less(self, other: Self) -> Option<Self> {
        let principal_minor = self.principal_minor.checked_sub(other.principal_minor)?;
        Self::new(principal_minor, self.fee_minor.checked_sub(other.fee_minor)?)
    }

    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The settled money of a channel's clearing date in a currency, over all settlements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledDate {
    /// Counts the writes of the row, from 1.
    pub version: u32,
    pub channel: ChannelId,
    pub date: BusinessDate,
    pub currency: Currency,
    pub settled: SettledAmounts,
    /// The settlement that changed it last.
    pub by: SettlementId,
}
