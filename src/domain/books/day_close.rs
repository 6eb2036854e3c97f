//! The close of a clearing day: from then on its records stand, and their totals with them.

use crate::domain::books::clearing::ClearingTotals;
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, Timestamp};

/// A closed clearing day of a channel. Append-only; days are closed in order, and what succeeds
/// later goes to the first day that is still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayClose {
    pub channel: ChannelId,
    pub date: BusinessDate,
    /// By currency, in its order.
    pub totals: Vec<(Currency, ClearingTotals)>,
    /// SHA-256 of the day's records as they are exported as CSV, heading included.
    pub sha256: [u8; 32],
    /// The name of the API key's owner; `switchyard` where the time did it.
    pub by: String,
    pub at: Timestamp,
}
