//! What decisions and recovery read: an order with everything of it, in one read, and orders that
//! were left behind.

use crate::domain::attempt::AttemptState;
use crate::domain::command::{OriginalView, View};
use crate::domain::ids::OrderId;
use crate::domain::order::{Order, OrderKind};
use crate::store::form::damaged;
use crate::store::key::{Parts, bounds};
use crate::store::row::Table;
use crate::store::sorted::{Scan, SortedRows, StoreResult};
use crate::store::sql::Tables;
use crate::store::sql::read::{STANDS, after_id, page_limit, parameter, parameters};
use crate::store::sql::table::{SqlFields, SqlTable, composites, names};
use crate::store::{PAGE_MAX, Store, StoreError, StoreRead};

use super::contradiction::{Contradictions, contradictions_of};
use super::order::{OPEN, Orders, order_of};
use super::reversal::{Reversals, reversal_of};
use super::transaction::{Transactions, transaction_of};

/// How often an order is looked at that changes under every look.
const LOOKS_MAX: usize = 16;

/// The attempts that are in flight, by order. A row that does not read is counted as one, so that
/// whoever looks for the attempt meets the damage.
pub(in crate::store) fn in_flight(rows: SortedRows<'_>) -> StoreResult<Vec<(OrderId, u8)>> {
    let (mut found, (from, to)) = (Vec::new(), bounds(&[OPEN]));
    rows.scan(&from, &to, &mut |key, row| {
        let id = Parts::of(key).order()?;
        let sending = Orders::decode(key, row).map_or(Some(0), |order| sending(&order));
        found.extend(sending.map(|number| (id, number)));
        Ok(Scan::On)
    })?;
    Ok(found)
}

/// The attempt of an order that is in flight.
fn sending(order: &Order) -> Option<u8> {
    let open = order.unresolved().filter(|attempt| attempt.state == AttemptState::Sending);
    open.map(|attempt| attempt.number)
}

impl dyn Store + '_ {
    /// An order with its entry, its contradictions, its transaction and what it refers to, as they
    /// were at one moment. What is shut is not looked at.
    pub fn view(&self, id: OrderId) -> StoreRead<'_, Option<View>> {
        if let Some(tables) = self.tables() {
            return Box::pin(view_of(tables, id));
        }
        self.look(move |rows| {
            // A commit may come between two rows: only what was read while the order's version
            // stood still belongs together.
            for _ in 0..LOOKS_MAX {
                let Some(order) = order_of(rows, id)? else { return Ok(None) };
                let view = View {
                    entry: reversal_of(rows, id)?,
                    contradictions: contradictions_of(rows, id)?,
                    transaction: transaction_of(rows, id)?,
                    original: original_of(rows, &order)?,
                    shut_through: None,
                    order,
                };
                if order_of(rows, id)?.is_some_and(|now| now.version == view.order.version) {
                    return Ok(Some(view));
                }
            }
            Err(StoreError::Backend {
                context: "an order cannot be read",
                detail: format!("{id} changes under every look"),
            })
        })
    }

    /// Orders whose attempt in flight was left behind by a process that is gone, by id.
    pub fn orphans(&self, after: Option<OrderId>, limit: usize) -> StoreRead<'_, Vec<Order>> {
        if let Some(tables) = self.tables() {
            return Box::pin(async move {
                let rest = format!(
                    "JOIN in_flight h ON h.order_id = t.id WHERE NOT {STANDS} AND t.id > $1 \
                     ORDER BY t.id LIMIT $2"
                );
                let parameters = vec![parameter(after_id(after)), page_limit(limit)];
                tables.rows::<Orders>(&rest, parameters).await
            });
        }
        let left = self.left_in_flight();
        self.list(move |rows| {
            let mut found = Vec::new();
            let behind = left.iter().filter(|(id, _)| after.is_none_or(|after| *id > after));
            for (id, number) in behind {
                let order = order_of(rows, *id)?;
                found.extend(order.filter(|order| sending(order) == Some(*number)));
                if found.len() >= limit.min(PAGE_MAX) {
                    break;
                }
            }
            Ok(found)
        })
    }
}

/// What a follow-up or an undo refers to. Releases are final from their first row on.
fn original_of(rows: SortedRows<'_>, order: &Order) -> StoreResult<Option<OriginalView>> {
    let kind = order.instruction.kind;
    let refers = kind.is_follow_up() || matches!(kind, OrderKind::Undo { .. });
    let Some(id) = kind.original().filter(|_| refers) else { return Ok(None) };
    let transaction = transaction_of(rows, id)?;
    let order = order_of(rows, id)?;
    let order = order.ok_or_else(|| damaged("orders", "what an order refers to is missing"))?;
    Ok(Some(OriginalView { order, transaction }))
}

/// The same in SQL: one statement shows an order, what it refers to, and all of both.
async fn view_of(tables: &Tables, id: OrderId) -> Result<Option<View>, StoreError> {
    let part = |columns, rest| format!("ARRAY(SELECT ROW({}) FROM {rest})", names(columns, "p."));
    let sql = format!(
        "SELECT {}, {}, {}, {} FROM orders t WHERE t.id = ANY(ARRAY[$1, (SELECT o.original \
         FROM orders o WHERE o.id = $1 AND o.kind IN ('capture', 'refund', 'void', 'undo'))])",
        Orders::selected(),
        part(Reversals::COLUMNS, "reversal_entries p WHERE p.order_id = t.id"),
        part(
            Contradictions::COLUMNS,
            "contradictions p WHERE p.order_id = t.id \
             ORDER BY p.attempt, p.reported = 'failure', p.ordinal LIMIT 1000",
        ),
        part(Transactions::COLUMNS, "transactions p WHERE p.order_id = t.id"),
    );
    let mut found = tables.query(&sql, parameters![id], read_view).await?;
    let Some(place) = found.iter().position(|view| view.order.id == id) else { return Ok(None) };
    let mut view = found.swap_remove(place);
    let kind = view.order.instruction.kind;
    if kind.is_follow_up() || matches!(kind, OrderKind::Undo { .. }) {
        let original = found.pop();
        let original =
            original.ok_or_else(|| damaged("orders", "what an order refers to is missing"))?;
        let View { order, transaction, .. } = original;
        view.original = Some(OriginalView { order, transaction });
    }
    Ok(Some(view))
}

/// An order with its entry, contradictions and transaction, these last as lists of rows.
fn read_view(mut values: Vec<Option<&[u8]>>) -> Result<View, StoreError> {
    let transaction = rows_of::<Transactions>(values.pop().flatten())?.pop();
    let contradictions = rows_of::<Contradictions>(values.pop().flatten())?;
    let entry = rows_of::<Reversals>(values.pop().flatten())?.pop();
    let order = Orders::read_selected(values)?;
    Ok(View { order, entry, contradictions, transaction, original: None, shut_through: None })
}

fn rows_of<T: SqlTable>(array: Option<&[u8]>) -> Result<Vec<T::Row>, StoreError> {
    let rows = array.and_then(composites).ok_or_else(|| damaged(T::SQL_NAME, "it is no list"))?;
    rows.into_iter().map(|row| T::read(&SqlFields::of_composite::<T>(row)?)).collect()
}
