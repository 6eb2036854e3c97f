//! Clearing records: a channel's debt to us for one transaction on one clearing date.

use crate::domain::attempt::Operation;
use crate::domain::books::Transaction;
use crate::domain::closed_set;
use crate::domain::fee::Fee;
use crate::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, Timestamp};

closed_set! {
    /// Where a clearing record stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum ClearingState {
        /// The channel owes it; its statement has not been matched yet.
        Due = 1 => "due",
        /// The channel claims a success that our order does not have (I-5); its undo is owed.
        Contradicted = 2 => "contradicted",
    }
}

/// One line that a channel's statement should have. Signed from our side: money that we receive is
/// positive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearingRecord {
    pub channel: ChannelId,
    pub date: BusinessDate,
    pub order: OrderId,
    pub channel_order_no: ChannelOrderNo,
    pub channel_reference: Option<String>,
    pub movement: Operation,
    pub currency: Currency,
    pub principal_minor: i64,
    /// The fee that the channel keeps; negative where it gives a fee back.
    pub fee_minor: i64,
    /// `principal_minor - fee_minor`.
    pub net_minor: i64,
    pub fee_rule: String,
    pub state: ClearingState,
    pub at: Timestamp,
}

impl ClearingRecord {
    /// The record of a transaction that moved money. `fee` is what the channel charges for it, or
    /// gives back where money goes back.
    pub fn of(transaction: &Transaction, state: ClearingState, fee: Fee) -> Self {
        let sign = transaction.movement.sign();
        let principal_minor = sign * transaction.amount.get();
        let fee_minor = transaction.movement.fee_sign() * fee.minor;
        Self {
            channel: transaction.channel.clone(),
            date: transaction.clearing_date,
            order: transaction.order,
            channel_order_no: transaction.channel_order_no,
            channel_reference: transaction.channel_reference.clone(),
            movement: transaction.movement,
            currency: transaction.currency,
            principal_minor,
            fee_minor,
            net_minor: principal_minor - fee_minor,
            fee_rule: fee.rule,
            state,
            at: transaction.at,
        }
    }
}

/// Sums of a channel's clearing records of one date and currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClearingTotals {
    pub records: u64,
    pub principal_minor: i64,
    pub fee_minor: i64,
    pub net_minor: i64,
}

impl ClearingTotals {
    /// Adds one record. 64 bits hold nine million records of the largest amount.
    pub fn add(&mut self, record: &ClearingRecord) {
        self.records += 1;
        self.principal_minor += record.principal_minor;
        self.fee_minor += record.fee_minor;
        self.net_minor += record.net_minor;
        assert_eq!(
            self.net_minor,
            self.principal_minor - self.fee_minor,
            "I-7: net is principal less fee in every sum"
        );
    }
}
