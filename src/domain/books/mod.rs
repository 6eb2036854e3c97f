//! The books: what a success leaves behind.
//!
//! A succeeded order has one [`Transaction`]; from it come one clearing record (what the channel
//! owes us on which day, less its fee) and an accounting request for each booking event (I-7).

pub mod accounting;
pub mod clearing;
pub mod day_close;
pub mod difference;
pub mod reconcile;
pub mod reconciliation;
pub mod report;
pub mod settlement;
pub mod statement;

use crate::domain::flow::attempt::{Operation, Source};
use crate::domain::ids::{ChannelId, ChannelOrderNo, MerchantId, OrderId};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::{BusinessDate, Timestamp};

/// What moved money at a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Movement {
    Payment,
    /// A success taken back because our books had already ended otherwise (I-5).
    Undo,
    Refund,
    /// A payment or capture cancelled on its clearing day, or a pre-authorisation let go.
    Void,
    /// An amount held on the card; no money has moved.
    Preauth,
    /// A held amount, or a part of it, charged.
    Capture,
}

impl Movement {
    pub const ALL: [Self; 6] =
        [Self::Payment, Self::Undo, Self::Refund, Self::Void, Self::Preauth, Self::Capture];

    /// What an operation moves when it succeeds.
    pub const fn of(operation: Operation) -> Self {
        match operation {
            Operation::Payment => Self::Payment,
            Operation::Undo => Self::Undo,
            Operation::Refund => Self::Refund,
            Operation::Void => Self::Void,
            Operation::Preauth => Self::Preauth,
            Operation::Capture => Self::Capture,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Undo => "undo",
            Self::Refund => "refund",
            Self::Void => "void",
            Self::Preauth => "preauth",
            Self::Capture => "capture",
        }
    }

    /// +1 where the channel owes us more by it, -1 where less, 0 where no money moves.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Payment | Self::Capture => 1,
            Self::Undo | Self::Refund | Self::Void => -1,
            Self::Preauth => 0,
        }
    }
}

/// One success, append-only: the source document of everything booked for it (S8, S9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub order: OrderId,
    pub movement: Movement,
    pub channel: ChannelId,
    pub channel_order_no: ChannelOrderNo,
    pub channel_reference: Option<String>,
    pub merchant_id: MerchantId,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub clearing_date: BusinessDate,
    pub at: Timestamp,
    /// How the success became known.
    pub source: Source,
    /// The channel's own words, card data masked: the original voucher.
    pub voucher: String,
}
