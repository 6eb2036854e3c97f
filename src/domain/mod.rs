//! The rules of payments, as pure values and functions.
//!
//! Nothing in here does I/O, reads a clock, draws a random number, awaits, or depends on the order
//! of a hash map: a command and the loaded rows go in; rows to write and effects owed come out. So
//! every rule can be tested as a table, and a run can be repeated from its seed. The invariants
//! I-1 to I-14 are listed in `docs/INVARIANTS.md`; their numbers stand in the assertions here.

pub mod agreement;
pub mod bin;
pub mod card;
pub mod card_service;
pub mod closed_set;
pub mod cluster;
pub mod fee;
pub mod ids;
pub mod instrument;
pub mod money;
pub mod outcome;
pub mod payee_account;
pub mod payer_code;
pub mod payment_code;
pub mod time;
pub mod verification;

pub mod attempt;
pub mod books;
pub mod terms;
pub mod order;
pub mod event;
pub mod order_filter;
pub mod reversal;
pub mod approval;
pub mod lessons;
pub mod route;
pub mod report;

pub mod write_set;
pub mod command;
pub mod effect;
pub mod flow;
pub mod audit;

pub(crate) use self::closed_set::closed_set;
