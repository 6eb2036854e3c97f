//! What suspense holds: differences that were carried too long and are balanced, and the bank's
//! money that settles what the statements say.

mod difference;
mod settlement;

pub use self::difference::DifferenceDesk;
pub use self::settlement::{RecordedReceipt, SettlementDesk, SettlementError};
