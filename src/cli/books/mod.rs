//! Commands that read and correct the books of the running daemon: `switchyard accounting`,
//! `audit`, `transaction`, `contradiction`, `difference`, `settlement`, `report`.

pub mod accounting;
pub mod audit;
pub mod contradiction;
pub mod difference;
pub mod report;
pub mod settlement;
pub mod transaction;
