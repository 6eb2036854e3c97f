//! Reads for whoever checks whole books: rows by page, in an order of the store's own, and the rows
//! of orders that are looked at together.

use crate::domain::agreement::Agreement;
use crate::domain::books::Transaction;
use crate::domain::books::accounting::AccountingRequest;
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::day_close::{ClearingDays, DayClose};
use crate::domain::books::difference::Difference;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::settlement::{ChannelSettlement, SettledDate};
use crate::domain::event::OrderEvent;
use crate::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use crate::domain::order::Order;
use crate::domain::reversal::ReversalEntry;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{AuditEntry, Contradiction, CoreNotice, FoundDifference};
use crate::store::key::{bounds, order_key};
use crate::store::row::{Table, bytes_page, get};
use crate::store::sorted::{Scan, StoreResult};
use crate::store::sql::read::list_parameter;
use crate::store::sql::table::SqlTable;
use crate::store::{Store, StoreRead};

use super::TABLES;
use super::accounting::AccountingRequests;
use super::agreement::Agreements;
use super::audit::Audit;
use super::books::clearing_days::ShutDays;
use super::books::day_close::DayCloses;
use super::books::difference::Differences;
use super::books::found::FoundDifferences;
use super::books::reconciliation::Reconciliations;
use super::books::settled_date::SettledDates;
use super::books::settlement::Settlements;
use super::clearing::{Clearing, key_of};
use super::contradiction::Contradictions;
use super::event::OrderEvents;
use super::notice::CoreNotices;
use super::order::Orders;
use super::reversal::Reversals;
use super::transaction::Transactions;

/// Rows of a page, and what the next one begins behind.
pub type Paged<R> = (Vec<R>, Option<Vec<u8>>);

fn rows_behind<T, R: Send + 'static>(
    store: &dyn Store,
    after: Option<Vec<u8>>,
    limit: usize,
) -> StoreRead<'_, Paged<R>>
where
    T: Table<Row = R> + SqlTable<Row = R> + 'static,
{
    if let Some(tables) = store.tables() {
        return Box::pin(tables.page::<T>(after, limit));
    }
    let table = TABLES.iter().find(|table| table.name == <T as Table>::NAME);
    let table = table.expect("each table is listed");
    store.list(move |rows| {
        let page = bytes_page(rows, table, after.as_deref(), limit)?;
        let read = page.rows.iter().map(|row| T::decode(&row.key, &row.bytes));
        Ok((read.collect::<StoreResult<_>>()?, page.last))
    })
}

/// The rows whose keys begin with these numbers of orders, or of what is numbered as they are.
fn rows_of<'a, T, R: Send + 'static>(store: &'a dyn Store, ids: &[OrderId]) -> StoreRead<'a, Vec<R>>
where
    T: Table<Row = R> + SqlTable<Row = R> + 'static,
{
    let ids = ids.to_vec();
    if let Some(tables) = store.tables() {
        let key = T::COLUMNS[0].name;
        return Box::pin(async move {
            let rest = format!("WHERE t.{key} = ANY($1)");
            tables.rows::<T>(&rest, vec![list_parameter(ids)]).await
        });
    }
    store.list(move |rows| {
        let mut found = Vec::new();
        for id in ids {
            for (letter, _) in &T::LETTERS[..T::ROW_LETTERS] {
                let (from, to) = bounds(&order_key(*letter, id));
                rows.scan(&from, &to, &mut |key, bytes| {
                    found.push(T::decode(key, bytes)?);
                    Ok(Scan::On)
                })?;
            }
        }
        Ok(found)
    })
}

macro_rules! reads {
    ($($page:ident: $table:ty, $row:ty;)+; $($of:ident: $of_table:ty, $of_row:ty;)+) => {
        /// Rows of every kind that a check reads: by page behind another one, and by the number
        /// that their key begins with.
        impl dyn Store + '_ {
            $(
                #[doc = concat!("A page of `", stringify!($row), "`.")]
                pub fn $page(
                    &self,
                    after: Option<Vec<u8>>,
                    limit: usize,
                ) -> StoreRead<'_, Paged<$row>> {
                    rows_behind::<$table, _>(self, after, limit)
                }
            )+
            $(
                #[doc = concat!("The `", stringify!($of_row), "` of these numbers.")]
                pub fn $of(&self, ids: &[OrderId]) -> StoreRead<'_, Vec<$of_row>> {
                    rows_of::<$of_table, _>(self, ids)
                }
            )+
        }
    };
}

reads! {
    page_of_orders: Orders, Order;
    page_of_entries: Reversals, ReversalEntry;
    page_of_transactions: Transactions, Transaction;
    page_of_notices: CoreNotices, CoreNotice;
    page_of_contradictions: Contradictions, Contradiction;
    page_of_requests: AccountingRequests, AccountingRequest;
    page_of_clearing: Clearing, ClearingRecord;
    page_of_closes: DayCloses, DayClose;
    page_of_clearing_days: ShutDays, (ChannelId, ClearingDays);
    page_of_differences: Differences, Difference;
    page_of_found: FoundDifferences, FoundDifference;
    page_of_settlements: Settlements, ChannelSettlement;
    page_of_settled: SettledDates, SettledDate;
    page_of_events: OrderEvents, OrderEvent;
    page_of_audit: Audit, (u64, AuditEntry);
    ;
    orders_of: Orders, Order;
    entries_of: Reversals, ReversalEntry;
    transactions_of: Transactions, Transaction;
    notices_of: CoreNotices, CoreNotice;
    contradictions_of_orders: Contradictions, Contradiction;
    requests_of_chains: AccountingRequests, AccountingRequest;
    differences_of: Differences, Difference;
    reconciliations_of: Reconciliations, Reconciliation;
    settlements_of: Settlements, ChannelSettlement;
    agreements_of: Agreements, Agreement;
}

impl dyn Store + '_ {
    /// Clearing records by their keys.
    pub fn clearing_records(
        &self,
        keys: Vec<(ChannelId, BusinessDate, ChannelOrderNo)>,
    ) -> StoreRead<'_, Vec<ClearingRecord>> {
        let Some(tables) = self.tables() else {
            return self.list(move |rows| {
                let read = |(channel, date, number): &(_, _, _)| {
                    get::<Clearing>(rows, &key_of(channel, *date, *number)).transpose()
                };
                keys.iter().filter_map(read).collect()
            });
        };
        let parameters = vec![
            list_parameter(keys.iter().map(|(channel, ..)| channel.clone()).collect()),
            list_parameter(keys.iter().map(|(_, date, _)| *date).collect()),
            list_parameter(keys.iter().map(|(.., number)| number.order).collect()),
            list_parameter(keys.iter().map(|(.., number)| number.attempt).collect()),
        ];
        tables.list::<Clearing>(
            "JOIN unnest($1::text[], $2::date[], $3::bigint[], $4::smallint[]) \
             AS u(channel, date, attempt_order, attempt) ON t.channel = u.channel \
             AND t.date = u.date AND t.attempt_order = u.attempt_order AND t.attempt = u.attempt",
            parameters,
        )
    }
}
