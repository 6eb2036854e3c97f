//! The books: the rows of a success.
//!
//! A succeeded order has one [`Transaction`]; from it come one clearing record (the channel's debt
//! to us on a day, less its fee) and an accounting request for each booking event (I-7).

pub mod accounting;
pub mod clearing;
pub mod day_close;
pub mod difference;
pub mod reconcile;
pub mod reconciliation;
pub mod settlement;
pub mod statement;

use crate::domain::attempt::{Operation, Source};
use crate::domain::ids::{ChannelId, ChannelOrderNo, MerchantId, OrderId};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::{BusinessDate, Timestamp};

/// One success, append-only: the source document of everything booked for it (S8, S9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub order: OrderId,
    /// The operation that moved the money.
    pub movement: Operation,
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
    /// The channel's own words, card data masked: the original transcript.
    pub transcript: String,
}
