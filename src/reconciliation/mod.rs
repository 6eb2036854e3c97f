//! Statements come into the books, what they say beside our records is carried, suspended and
//! balanced, what the bank has received settles them, and a day is reported.
//!
//! Stands between the engine and those who give it work. `domain` decides what a difference means;
//! `matching` compares both sides; `incoming` takes statements in, `run` writes its findings in
//! bounded chunks, and `suspense` has the differences and settlements that wait for money or a
//! person. After a crash every chunk is known by its rows' keys, so that a run that died is run
//! again and books nothing twice (I-7, I-10). Must not know requests of the API.

pub mod incoming;
pub mod matching;
pub mod report;
pub mod suspense;

mod books;
mod error;
mod run;

pub use self::books::{ChannelBooks, StatementRules};
pub use self::error::{InboxError, ReconciliationError};

/// Rows that one look into the store brings.
const PAGE: usize = 500;
/// The name of a revision that has no file: the channel says that nothing happened on its date. No
/// file in the inbox can have it.
pub const NOTHING: &str = "(nothing)";
/// The actor of what no person asked for.
pub const OWN_NAME: &str = "switchyard";
