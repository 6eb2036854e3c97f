//! Settlement: what the channel's statement says beside what the bank received (账实核对; S25, S26).

use crate::domain::ids::{ChannelId, SettlementId};
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, Timestamp};

/// Where a settlement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettlementState {
    /// The bank's receipts equal the statement's net: it is booked.
    Agreed,
    /// They do not; nothing is booked until they do.
    Differs,
}

impl SettlementState {
    pub const ALL: [Self; 2] = [Self::Agreed, Self::Differs];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Differs => "differs",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
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
    /// What the statements of the dates say and earlier settlements have not settled.
    pub expected: Settled,
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
pub struct Settled {
    pub principal_minor: i64,
    pub fee_minor: i64,
    /// `principal_minor - fee_minor`.
    pub net_minor: i64,
}

/// What has been settled of a channel's clearing date in a currency, over all settlements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledDate {
    /// Counts the writes of the row, from 1.
    pub version: u32,
    pub channel: ChannelId,
    pub date: BusinessDate,
    pub currency: Currency,
    pub settled: Settled,
    /// The settlement that changed it last.
    pub by: SettlementId,
}
