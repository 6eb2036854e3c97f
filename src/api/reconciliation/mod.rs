//! Reconciliation as operators see it: statements handed in, batches, differences, settlements, the
//! daily report.

pub mod batches;
pub mod body;
pub mod days;
pub mod differences;
mod error;
pub mod report;
pub mod settlements;
pub mod upload;
