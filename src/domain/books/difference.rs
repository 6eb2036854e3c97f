//! Differences (差错): carried over (隔日), put in suspense (挂账), balanced (平账).
//!
//! A difference has one number for as long as it lives, whichever batches see it: it is known by
//! our record (channel, date, channel order number) and by the statement's line (channel, date,
//! digest of what the line says). A batch that finds it again changes it, and books only the change
//! (S27, S28).

mod change;
mod due;
mod gap;
#[cfg(test)]
mod tests;

use crate::domain::books::reconcile::{Class, Item, MatchKey};
use crate::domain::closed_set;
use crate::domain::ids::{BatchId, ChannelId, ChannelOrderNo, DifferenceId};
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, Timestamp};

pub use self::change::{
    BalanceRefusal, Balancing, Change, ContradictedMoney, Finding, Moment, Run,
};
pub use self::due::{CARRY_DAYS_MAX, LONGEST_CARRIED, carried_until, days_after, days_before};
pub use self::gap::{gaps, settles};

closed_set! {
    /// Where a difference stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum DifferenceState {
        /// The difference waits for later statements, records or revisions until its time is over.
        Carried = 1 => "carried",
        /// Its money is held in suspense, as receivable or payable, until a person decides.
        Suspended = 2 => "suspended",
        /// A person has decided; nothing is held any more.
        Balanced = 3 => "balanced",
        /// The difference ended without a person: it matched later, or a later batch no longer
        /// finds it.
        Cleared = 4 => "cleared",
    }
}

impl DifferenceState {
    /// Whether something is still to be done about it.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Carried | Self::Suspended => true,
            Self::Balanced | Self::Cleared => false,
        }
    }
}

closed_set! {
    /// Where the money of a difference goes when a person balances it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Remedy {
        /// The channel puts it right in a later settlement: back to its pending clearing.
        Channel = 1 => "channel",
        /// The merchant gets it, or bears it.
        Merchant = 2 => "merchant",
        /// The money is the channel's fee after all.
        FeeCost = 3 => "fee_cost",
        /// We keep it, or bear it.
        ProfitOrLoss = 4 => "profit_or_loss",
        /// No money hangs on it.
        Acknowledge = 5 => "acknowledge",
    }
}

/// The statement's side of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSide {
    /// The date of the statement that it stands in.
    pub date: BusinessDate,
    /// What the line says, as a digest: the same words on another place of a reissued file are the
    /// same line. The n-th of several equal lines has its own.
    pub digest: [u8; 16],
    /// Its place in the revision that the batch read, from 1.
    pub line: u32,
    pub order_no: String,
    pub reference: String,
    /// `None` for a line that cannot be read.
    pub item: Option<Item>,
    /// Why it cannot be read, and its text, card numbers masked (I-11).
    pub unreadable: Option<(String, String)>,
}

/// Our side of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSide {
    /// The clearing date of the record.
    pub date: BusinessDate,
    pub channel_order_no: ChannelOrderNo,
    pub reference: Option<String>,
    pub item: Item,
}

/// The gap between statement and records in one currency: theirs less ours. A positive principal is
/// money that the channel pays and nobody has a claim to; a positive fee is one that it keeps and
/// we did not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub currency: Currency,
    pub principal_minor: i64,
    pub fee_minor: i64,
}

/// One thing that happened to a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferenceEvent {
    pub at: Timestamp,
    /// The event in a few words; with the person and the reason where a person caused it.
    pub what: String,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub id: DifferenceId,
    /// Counts the writes of the row, from 1.
    pub version: u32,
    pub channel: ChannelId,
    pub class: Class,
    /// By what both sides were brought together, where there are both.
    pub key: MatchKey,
    pub line: Option<LineSide>,
    pub record: Option<RecordSide>,
    pub state: DifferenceState,
    /// The batch that saw it first, and the last one that changed it.
    pub found_by: BatchId,
    pub changed_by: BatchId,
    pub opened_at: Timestamp,
    /// When it is put in suspense, while it is carried.
    pub due_at: Option<Timestamp>,
    /// The money that suspense holds for it now, one gap for each currency.
    pub held: Vec<Gap>,
    /// The number of its last accounting request; 0 if it has none.
    pub accounting_sequence: u16,
    /// The person's remedy, and the reason.
    pub remedy: Option<(Remedy, String)>,
    /// The oldest first, at most [`HISTORY_MAX`]; the middle of a longer one is left out.
    pub history: Vec<DifferenceEvent>,
}

/// Events that a difference keeps.
pub const HISTORY_MAX: usize = 32;
