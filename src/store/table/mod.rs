//! The tables: one file has a table's keys, stored form, guards and reads.
//!
//! What each says of itself is in [`Table`](super::row::Table); [`TABLES`] has all of them. A read
//! is a function of `dyn Store` and stands with its table, once for all stores.

mod accounting;
mod agreement;
mod approval;
pub(super) mod audit;
mod bin_proposal;
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
mod card;
mod clearing;
mod contradiction;
mod delivery;
mod event;
pub(super) mod families;
pub(super) mod lease;
mod notice;
mod order;
mod payment_code;
mod reversal;
mod transaction;
mod verification;
mod view;

#[cfg(test)]
pub(super) mod tests;

use std::sync::LazyLock;

use crate::domain::write_set::WriteSet;

use super::CommitError;
use super::plan::CommitPlan;
use super::row::AnyTable;
use super::sorted::StoreResult;
use super::sql::step::{SqlPlan, Step};
use accounting::AccountingRequests;
use agreement::Agreements;
use approval::Approvals;
use audit::Audit;
use bin_proposal::BinProposals;
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
use event::OrderEvents;
use notice::CoreNotices;
use order::Orders;
use payment_code::PaymentCodes;
use reversal::Reversals;
use transaction::Transactions;
use verification::Verifications;

pub use agreement::AgreementPage;
pub use order::OrderPage;
pub(super) use view::in_flight;

/// Every table. A write set's rows are checked in this order: days are shut before the clearing
/// records, which that holds for too.
pub(super) static TABLES: [AnyTable; 23] = [
    AnyTable::of::<Orders, _>(),
    AnyTable::of::<Reversals, _>(),
    AnyTable::of::<Transactions, _>(),
    AnyTable::of::<ShutDays, _>(),
    AnyTable::of::<DayCloses, _>(),
    AnyTable::of::<Clearing, _>(),
    AnyTable::of::<AccountingRequests, _>(),
    AnyTable::of::<CoreNotices, _>(),
    AnyTable::of::<Contradictions, _>(),
    AnyTable::of::<OrderEvents, _>(),
    AnyTable::of::<Statements, _>(),
    AnyTable::of::<FoundDifferences, _>(),
    AnyTable::of::<AgreedLines, _>(),
    AnyTable::of::<Reconciliations, _>(),
    AnyTable::of::<Differences, _>(),
    AnyTable::of::<Settlements, _>(),
    AnyTable::of::<SettledDates, _>(),
    AnyTable::of::<Verifications, _>(),
    AnyTable::of::<Agreements, _>(),
    AnyTable::of::<PaymentCodes, _>(),
    AnyTable::of::<Approvals, _>(),
    AnyTable::of::<BinProposals, _>(),
    AnyTable::of::<Audit, _>(),
];

/// A write set as guarded writes of bytes, encoded.
pub(super) fn plan(writes: &WriteSet) -> CommitPlan {
    let mut plan = CommitPlan::new();
    for table in &TABLES {
        (table.plan)(writes, &mut plan);
    }
    plan
}

/// The steps of a commit in SQL, and where those of each table begin.
static STEPS: LazyLock<(Vec<Step>, Vec<usize>)> = LazyLock::new(|| {
    let (mut steps, mut begins) = (Vec::new(), Vec::new());
    for table in &TABLES {
        begins.push(steps.len());
        steps.extend((table.sql_steps)());
    }
    (steps, begins)
});

/// The statements of a commit, in their order.
pub(super) fn sql_steps() -> &'static [Step] {
    &STEPS.0
}

/// A write set as rows for those.
pub(super) fn sql_plan(writes: &WriteSet) -> Result<SqlPlan, CommitError> {
    let mut plan = SqlPlan::default();
    for (table, base) in TABLES.iter().zip(&STEPS.1) {
        plan.base = *base;
        (table.sql_plan)(writes, &mut plan)?;
    }
    Ok(plan)
}

/// The tables, by the first byte of their keys, whose keys come in no order of time.
pub(super) fn scattered_letters() -> Vec<u8> {
    TABLES.iter().flat_map(|table| table.scattered).copied().collect()
}

/// Whether a table's keys come in no order of time.
pub(super) fn is_scattered(letter: u8) -> bool {
    static SCATTERED: LazyLock<Vec<u8>> = LazyLock::new(scattered_letters);
    SCATTERED.contains(&letter)
}

/// Whether a stored row reads back; entries of indexes always do.
pub(super) fn check_row(key: &[u8], bytes: &[u8]) -> StoreResult<()> {
    let letter = key.first().copied().unwrap_or_default();
    let of = |table: &&AnyTable| {
        table.letters[..table.row_letters].iter().any(|(known, _)| *known == letter)
    };
    TABLES.iter().find(of).map_or(Ok(()), |table| (table.reread)(key, bytes).map(drop))
}

/// What lies under a letter, for whoever reads of it in an error.
pub(super) fn table_name(letter: u8) -> &'static str {
    let letters = TABLES.iter().flat_map(|table| table.letters);
    let known = letters.chain([&lease::LETTERS]).find(|(known, _)| *known == letter);
    known.map_or("rows of an unknown table", |(_, name)| name)
}
