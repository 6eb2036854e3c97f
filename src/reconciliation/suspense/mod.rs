//! Suspense: differences that were carried too long and are balanced, and the bank's money that
//! settles the statements.

mod difference;
mod settlement;

pub use self::difference::DifferenceDesk;
pub use self::settlement::{RecordedReceipt, SettlementDesk, SettlementError};
