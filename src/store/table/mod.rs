//! The tables: one file has a table's keys, stored form, guards and reads.
//!
//! What each says of itself is in [`Table`](super::row::Table); [`TABLES`] has all of them. A read
//! is a function of `dyn Store` and stands with its table, once for all stores.

mod accounting;
pub(super) mod audit;
/// What the books keep beside orders.
mod books {
    pub(super) mod agreed;
    pub(super) mod clearing_days;
    pub(super) mod day_close;
    pub(super) mod difference;
    pub(super) mod found;
    pub(super) mod reconciliation;
    pub(super) mod settled_date;
    pub(super) mod settlement;
    pub(super) mod statement;
}
mod clearing;
mod contradiction;
mod delivery;
pub(super) mod lease;
mod notice;
mod order;
mod reversal;
mod transaction;
mod view;

#[cfg(test)]
pub(super) mod tests;

use crate::domain::write_set::WriteSet;

use super::plan::CommitPlan;
use super::row::AnyTable;
use accounting::AccountingRequests;
use audit::Audit;
use books::agreed::AgreedLines;
use books::clearing_days::ShutDays;
use books::day_close::DayCloses;
use books::difference::Differences;
use books::found::FoundDifferences;
use books::reconciliation::Reconciliations;
use books::settled_date::SettledDates;
use books::settlement::Settlements;
use books::statement::Statements;
use clearing::Clearing;
use contradiction::Contradictions;
use notice::CoreNotices;
use order::Orders;
use reversal::Reversals;
use transaction::Transactions;

pub(super) use view::in_flight;

/// Every table. A write set's rows are checked in this order: days are shut before the clearing
/// records, which that holds for too.
pub(super) static TABLES: [AnyTable; 17] = [
    AnyTable::of::<Orders>(),
    AnyTable::of::<Reversals>(),
    AnyTable::of::<Transactions>(),
    AnyTable::of::<ShutDays>(),
    AnyTable::of::<DayCloses>(),
    AnyTable::of::<Clearing>(),
    AnyTable::of::<AccountingRequests>(),
    AnyTable::of::<CoreNotices>(),
    AnyTable::of::<Contradictions>(),
    AnyTable::of::<Statements>(),
    AnyTable::of::<FoundDifferences>(),
    AnyTable::of::<AgreedLines>(),
    AnyTable::of::<Reconciliations>(),
    AnyTable::of::<Differences>(),
    AnyTable::of::<Settlements>(),
    AnyTable::of::<SettledDates>(),
    AnyTable::of::<Audit>(),
];

/// A write set as guarded writes of bytes, encoded.
pub(super) fn plan(writes: &WriteSet) -> CommitPlan {
    let mut plan = CommitPlan::new();
    for table in &TABLES {
        (table.plan)(writes, &mut plan);
    }
    plan
}

/// What lies under a letter, for whoever reads of it in an error.
pub(super) fn table_name(letter: u8) -> &'static str {
    let letters = TABLES.iter().flat_map(|table| table.letters);
    let known = letters.chain([&lease::LETTERS]).find(|(known, _)| *known == letter);
    known.map_or("rows of an unknown table", |(_, name)| name)
}
