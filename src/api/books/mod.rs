//! The books as they are kept: transactions with their vouchers, and what was said against them.

pub mod contradictions;
pub mod transactions;
