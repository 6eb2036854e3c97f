//! `switchyard transaction`, `contradiction`, `difference`, `settlement`, `report`: the books of
//! the running daemon, read and put right.

pub mod contradiction;
pub mod difference;
pub mod report;
pub mod settlement;
pub mod transaction;
