//! Rows come back from the columns that they are written as, and every statement gets the
//! parameters that it has.

use std::fmt::Debug;

use crate::domain::order::Order;
use crate::domain::write_set::{EntryChange, WriteSet};
use crate::store::CommitError;
use crate::store::row::{Table, through_columns};
use crate::store::sql::step::SqlPlan;
use crate::store::sql::table::{ColumnPart, Rest, SqlTable};
use crate::store::table::accounting::AccountingRequests;
use crate::store::table::agreement::Agreements;
use crate::store::table::approval::Approvals;
use crate::store::table::audit::Audit;
use crate::store::table::bin_proposal::BinProposals;
use crate::store::table::books::clearing_days::ShutDays;
use crate::store::table::books::day_close::DayCloses;
use crate::store::table::books::difference::Differences;
use crate::store::table::books::found::FoundDifferences;
use crate::store::table::books::reconciliation::Reconciliations;
use crate::store::table::books::settled_date::SettledDates;
use crate::store::table::books::settlement::Settlements;
use crate::store::table::books::statement::Statements;
use crate::store::table::clearing::Clearing;
use crate::store::table::contradiction::Contradictions;
use crate::store::table::event::OrderEvents;
use crate::store::table::notice::CoreNotices;
use crate::store::table::order::Orders;
use crate::store::table::payment_code::PaymentCodes;
use crate::store::table::reversal::Reversals;
use crate::store::table::transaction::Transactions;
use crate::store::table::verification::Verifications;
use crate::store::table::{TABLES, sql_plan, sql_steps};

use super::{SampleTable, samples};

fn comes_back<R: Debug + PartialEq + 'static, T>()
where
    T: SampleTable + Table<Row = R> + for<'a> SqlTable<Written<'a> = &'a R, Row = R>,
{
    for row in T::fixed() {
        assert_eq!(through_columns::<T>(&row).ok().as_ref(), Some(&row), "{}", T::SQL_NAME);
        let mut fields = Vec::new();
        for part in [ColumnPart::Key, ColumnPart::Fixed, ColumnPart::Changing] {
            T::put(&row, part, &mut fields);
        }
        let mut rest = Rest(&fields);
        T::COLUMNS.iter().for_each(|column| assert!(rest.field().is_some(), "{}", column.name));
        assert!(rest.0.is_empty(), "{}: more fields than columns", T::SQL_NAME);
    }
}

#[test]
fn every_row_comes_back_from_its_columns() {
    comes_back::<_, Audit>();
    comes_back::<_, Transactions>();
    comes_back::<_, Clearing>();
    comes_back::<_, Contradictions>();
    comes_back::<_, OrderEvents>();
    comes_back::<_, Reversals>();
    comes_back::<_, CoreNotices>();
    comes_back::<_, AccountingRequests>();
    comes_back::<_, ShutDays>();
    comes_back::<_, DayCloses>();
    comes_back::<_, Statements>();
    comes_back::<_, Reconciliations>();
    comes_back::<_, Differences>();
    comes_back::<_, FoundDifferences>();
    comes_back::<_, Settlements>();
    comes_back::<_, SettledDates>();
    comes_back::<_, Verifications>();
    comes_back::<_, Agreements>();
    comes_back::<_, PaymentCodes>();
    comes_back::<_, Approvals>();
    comes_back::<_, BinProposals>();
    for order in Orders::fixed() {
        assert_eq!(Orders::through_columns(order.clone()).ok(), Some(order));
    }
}

/// A write set with a row of each table.
fn of_every_table() -> WriteSet {
    let mut writes = WriteSet {
        orders: Orders::fixed(),
        entries: Reversals::fixed().into_iter().map(EntryChange::Put).collect(),
        transactions: Transactions::fixed(),
        accounting: AccountingRequests::fixed(),
        notices: CoreNotices::fixed(),
        contradictions: Contradictions::fixed(),
        events: OrderEvents::fixed(),
        audit: Audit::fixed().into_iter().map(|(_, entry)| entry).collect(),
        closes: DayCloses::fixed(),
        statements: Statements::fixed(),
        reconciliations: Reconciliations::fixed(),
        found: FoundDifferences::fixed(),
        differences: Differences::fixed(),
        settlements: Settlements::fixed(),
        settled: SettledDates::fixed(),
        verifications: Verifications::fixed(),
        agreements: Agreements::fixed(),
        payment_codes: PaymentCodes::fixed(),
        approvals: Approvals::fixed(),
        bin_proposals: BinProposals::fixed(),
        ..WriteSet::default()
    };
    writes.orders.dedup_by_key(|order| order.id);
    writes
}

fn plan(writes: &WriteSet) -> Result<SqlPlan, CommitError> {
    sql_plan(writes)
}

#[test]
fn every_row_has_the_parameters_of_its_statement() {
    let planned = plan(&of_every_table()).expect("rows that stand beside each other");
    assert!(planned.rows.len() > 20, "{} rows", planned.rows.len());
    for row in &planned.rows {
        let step = &sql_steps()[row.step];
        let mut rest = Rest(&row.fields);
        for _ in &step.parameters {
            assert!(rest.field().is_some(), "too few for {}", step.sql);
        }
        assert!(rest.0.is_empty(), "too many for {}", step.sql);
        for sql in [Some(&step.sql), step.unless_taken.as_ref()].into_iter().flatten() {
            assert!(sql.contains(&format!("${}", step.parameters.len())), "{sql}");
        }
    }
}

#[test]
fn several_versions_of_a_row_are_written_once_and_a_gap_is_a_conflict() {
    let mut first = samples::order();
    first.version = 1;
    let version = |version| Order { version, ..first.clone() };
    let orders = |versions: &[u32]| WriteSet {
        orders: versions.iter().map(|one| version(*one)).collect(),
        ..WriteSet::default()
    };
    let rows = |versions: &[u32]| plan(&orders(versions)).map(|planned| planned.rows.len());
    assert_eq!(rows(&[1]).ok(), rows(&[1, 2, 3]).ok());
    assert_eq!(rows(&[2]).ok(), rows(&[2, 3]).ok());
    assert!(matches!(rows(&[1, 3]), Err(CommitError::Conflict)));
    assert!(matches!(rows(&[1, 1]), Err(CommitError::Conflict)));
    assert!(matches!(rows(&[0]), Err(CommitError::Conflict)));
}

/// Tables of the schema that are no rows of the books: what belongs to a database and its nodes,
/// and stays there when the books are moved.
const OF_THE_DATABASE: [&str; 15] = [
    "schema_steps",
    "moves",
    "nodes",
    "work_leases",
    "writers",
    "channel_locks",
    "setting_versions",
    "setting_head",
    "cluster_epoch",
    "statement_files",
    "statement_parts",
    "channel_volumes",
    "channel_breakers",
    "channels_off",
    "link_keys",
];

/// Those that a move fills in its own way: numbers are passed over, prints must fit, and the trail
/// goes on behind its last line.
const FILLED: [&str; 3] = ["order_numbers", "key_prints", "audit_head"];

#[test]
fn every_table_of_the_schema_moves_or_belongs_to_the_database() {
    let schema = include_str!("../../postgres/schema.sql");
    let made = schema.lines().filter_map(|line| line.strip_prefix("CREATE TABLE "));
    let made: Vec<&str> = made.filter_map(|line| line.split([' ', '(']).next()).collect();
    let of_rows = TABLES.iter().flat_map(|table| {
        let following = table.following.iter().map(|one| one.table);
        [table.sql_name].into_iter().chain(following)
    });
    // The orders' own part.
    let known: Vec<&str> =
        of_rows.chain(["attempts"]).chain(OF_THE_DATABASE).chain(FILLED).collect();
    for table in &made {
        assert!(known.contains(table), "nobody says whether `{table}` moves with the books");
    }
    for table in known {
        assert!(made.contains(&table), "the schema makes no `{table}`");
    }
}
