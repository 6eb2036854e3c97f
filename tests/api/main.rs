//! The HTTP API over real sockets: a store in memory, a channel whose answers the test gives.
//!
//! The files mirror `src/api/`. Nothing here waits for a time: calls are held and let go, and what
//! happens behind them is waited for by its trace in the store.

mod gateway;
mod slow_store;
#[path = "../support/mod.rs"]
mod support;
mod unionpay;

mod accounting;
mod agreements;
mod approvals;
mod bins;
mod books;
mod channels;
mod contract;
mod limits;
mod notices;
mod orders;
mod payment_codes;
mod payments;
mod proposals;
mod rates;
mod reconciliation;
mod refusals;
mod reload;
mod reversals;
mod today;
mod verifications;
mod workers;
