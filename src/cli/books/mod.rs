//! The books of the running daemon, read and put right: `switchyard accounting`, `audit`,
//! `transaction`, `contradiction`, `difference`, `settlement`, `report`.

pub mod accounting;
pub mod audit;
pub mod contradiction;
pub mod difference;
pub mod report;
pub mod settlement;
pub mod transaction;
