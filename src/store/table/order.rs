//! Orders with their attempts.
//!
//! An order lies under [`OPEN`] until it is final and under [`FINAL`] from then on, so that no
//! marker says which orders recovery must look at. It moves once and never back (I-5). The caller's
//! order id (I-9), and what a refund, void or capture refers to, are written with its first version
//! only.

mod form;
mod search;
pub(super) mod sql;

use crate::domain::ids::{CallerId, CallerOrderId, OrderId};
use crate::domain::order::Order;
use crate::domain::write_set::WriteSet;
use crate::store::head::Entries;
use crate::store::key::{Key, Parts, order_key};
use crate::store::plan::{CommitPlan, PlanCheck, check_version};
use crate::store::row::{Following, Table, get, list_rows, through_columns};
use crate::store::sorted::{SortedRows, StoreResult, onward, page};
use crate::store::sql::read::{list_parameter, parameters};
use crate::store::sql::step::{Answer, SqlPlan, Step, insert};
use crate::store::{CommitError, PAGE_MAX, Store, StoreRead};

use sql::Attempts;

use form::{order_bytes, read_order, read_order_version};

pub use search::OrderPage;

const TABLE: &str = "orders";

pub(super) const OPEN: u8 = b'o';
const FINAL: u8 = b'O';
const CALLER: u8 = b'C';
const FOLLOW_UP: u8 = b'f';

pub(in crate::store) struct Orders;

impl Table for Orders {
    type Row = Order;

    const NAME: &'static str = TABLE;
    const LETTERS: &'static [(u8, &'static str)] = &[
        (OPEN, "open orders"),
        (FINAL, "final orders"),
        (CALLER, "callers' order ids"),
        (FOLLOW_UP, "follow-ups"),
    ];
    const ROW_LETTERS: usize = 2;
    const SCATTERED: &'static [u8] = &[CALLER];

    fn key(order: &Order) -> Vec<u8> {
        order_key(if order.status.is_final() { FINAL } else { OPEN }, order.id)
    }

    fn encode(order: &Order) -> Vec<u8> {
        order_bytes(order)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<Order> {
        read_order(Parts::of(key).order()?, bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        read_order_version(bytes)?;
        let asked = Self::decode(key, bytes)?.instruction;
        let mut entries = Entries::default();
        entries.unique.push(caller_key(&asked.caller, &asked.caller_order_id));
        if let Some(original) = asked.kind.original().filter(|_| asked.kind.is_follow_up()) {
            entries.add(order_key(FOLLOW_UP, original), key);
        }
        Ok(entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        for order in &writes.orders {
            let step = OrderStep::of(order);
            plan.own(move |check| step.check(check));
        }
    }

    fn sql_steps() -> Vec<Step> {
        sql::steps()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        sql::plan(writes, plan)
    }

    fn sql_parts() -> Vec<Step> {
        vec![insert::<Attempts>(Answer::Nothing)]
    }

    fn sql_put_parts(order: &Order, plan: &mut SqlPlan) {
        for attempt in &order.attempts {
            plan.insert::<Attempts>(1, (order.id, attempt));
        }
    }

    fn through_columns(order: Order) -> StoreResult<Order> {
        let attempts = order.attempts.iter();
        let attempts = attempts.map(|one| through_columns::<Attempts>((order.id, one)));
        Ok(Order {
            attempts: attempts.collect::<StoreResult<_>>()?,
            ..through_columns::<Self>(&order)?
        })
    }

    /// Of rows that no node of this database has written, none is in the hands of one.
    const SQL_FOLLOWING: &'static [Following] = &[Following {
        table: "in_flight",
        columns: "order_id, attempt",
        rows: "SELECT order_id, number FROM attempts WHERE state = 'sending'",
    }];
}

/// An order that is to be written.
struct OrderStep {
    id: OrderId,
    version: u32,
    is_final: bool,
    /// Given with version 1 only.
    caller_key: Option<Vec<u8>>,
    /// The same, where it follows up another order.
    follow_up_key: Option<Vec<u8>>,
    row: Vec<u8>,
}

impl OrderStep {
    fn of(order: &Order) -> Self {
        let first = order.version == 1;
        let asked = &order.instruction;
        let original = asked.kind.original().filter(|_| first && asked.kind.is_follow_up());
        Self {
            id: order.id,
            version: order.version,
            is_final: order.status.is_final(),
            caller_key: first.then(|| caller_key(&asked.caller, &asked.caller_order_id)),
            follow_up_key: original.map(|of| follow_up_key(of, order.id)),
            row: order_bytes(order),
        }
    }

    fn check(self, check: &mut PlanCheck<'_>) -> Result<(), CommitError> {
        let (open, closed) = (order_key(OPEN, self.id), order_key(FINAL, self.id));
        if let Some(caller_key) = &self.caller_key
            && let Some(stored) = check.find(caller_key)?
        {
            let existing = Parts::from(&stored, 0).order().map_err(CommitError::Failed)?;
            // The same order under the same id is a repeated commit, not another order.
            let same = existing == self.id;
            let duplicate = CommitError::Duplicate { existing };
            return Err(if same { CommitError::Conflict } else { duplicate });
        }
        let (was_open, found) = match check.find(&open)? {
            Some(row) => (true, Some(row)),
            None => (false, check.find(&closed)?),
        };
        let stored = found.as_deref().map(read_order_version).transpose();
        check_version(stored.map_err(CommitError::Failed)?, self.version)?;
        if found.is_some() && !was_open && !self.is_final {
            // A final order stays final (I-5): whoever writes it as open has not seen its end.
            return Err(CommitError::Conflict);
        }
        if let Some(caller_key) = self.caller_key {
            check.write(caller_key, self.id.as_u64().to_be_bytes().to_vec());
        }
        if let Some(index) = self.follow_up_key {
            check.write(index, Vec::new());
        }
        if was_open && self.is_final {
            check.remove(open.clone());
        }
        check.write(if self.is_final { closed } else { open }, self.row);
        Ok(())
    }
}

fn caller_key(caller: &CallerId, caller_order_id: &CallerOrderId) -> Vec<u8> {
    Key::of(CALLER).text(caller.as_str()).text(caller_order_id.as_str()).0
}

fn follow_up_key(original: OrderId, follow_up: OrderId) -> Vec<u8> {
    Key::of(FOLLOW_UP).order(original).order(follow_up).0
}

/// Looks among the open orders first: an order moves from there to the final ones, never back, so
/// it cannot be missed while it moves.
pub(super) fn order_of(rows: SortedRows<'_>, id: OrderId) -> StoreResult<Option<Order>> {
    match get::<Orders>(rows, &order_key(OPEN, id))? {
        Some(order) => Ok(Some(order)),
        None => get::<Orders>(rows, &order_key(FINAL, id)),
    }
}

impl dyn Store + '_ {
    pub fn order(&self, id: OrderId) -> StoreRead<'_, Option<Order>> {
        match self.tables() {
            Some(tables) => tables.order("WHERE t.id = $1", parameters![id]),
            None => self.look(move |rows| order_of(rows, id)),
        }
    }

    /// Those of these orders that have ended.
    pub fn ended(&self, ids: Vec<OrderId>) -> StoreRead<'_, Vec<Order>> {
        if let Some(tables) = self.tables() {
            let which = "WHERE t.id = ANY($1) AND t.finished_at IS NOT NULL";
            return Box::pin(tables.rows::<Orders>(which, vec![list_parameter(ids)]));
        }
        self.list(move |rows| {
            let orders = ids.iter().map(|id| order_of(rows, *id));
            let ended = |order: &Order| order.status.is_final();
            orders.filter_map(|order| order.map(|order| order.filter(ended)).transpose()).collect()
        })
    }

    pub fn order_by_caller(
        &self,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> StoreRead<'_, Option<Order>> {
        match self.tables() {
            Some(tables) => tables.order(
                "WHERE t.caller = $1 AND t.caller_order_id = $2",
                parameters![caller, caller_order_id],
            ),
            None => {
                self.look(move |rows| match rows.get(&caller_key(&caller, &caller_order_id))? {
                    Some(stored) => order_of(rows, Parts::from(&stored, 0).order()?),
                    None => Ok(None),
                })
            }
        }
    }

    /// Orders by id. The open ones are read first, so that an order that becomes final meanwhile is
    /// seen twice rather than not at all; the later row stands.
    pub fn orders(&self, after: Option<OrderId>, limit: usize) -> StoreRead<'_, Vec<Order>> {
        if let Some(tables) = self.tables() {
            return tables.orders("t.id > $1", after, limit, None);
        }
        self.list(move |rows| {
            let key = |table| after.map(|order| order_key(table, order));
            let open = list_rows::<Orders>(rows, &[OPEN], key(OPEN), limit)?;
            let mut all = list_rows::<Orders>(rows, &[FINAL], key(FINAL), limit)?;
            all.extend(open);
            // The sort is stable, so of two rows of one order the final one, which came first,
            // stays.
            all.sort_by_key(|order| order.id);
            all.dedup_by_key(|order| order.id);
            all.truncate(limit.min(PAGE_MAX));
            Ok(all)
        })
    }

    /// Orders that are not final, by id.
    pub fn open_orders(&self, after: Option<OrderId>, limit: usize) -> StoreRead<'_, Vec<Order>> {
        if let Some(tables) = self.tables() {
            return tables.orders("t.id > $1 AND t.finished_at IS NULL", after, limit, None);
        }
        let after = after.map(|order| order_key(OPEN, order));
        self.list(move |rows| list_rows::<Orders>(rows, &[OPEN], after, limit))
    }

    /// Refunds, voids and captures that refer to an order, by id.
    pub fn follow_ups(
        &self,
        of: OrderId,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<Order>> {
        if let Some(tables) = self.tables() {
            let which = "t.id > $1 AND t.original = $3 AND t.kind IN ('refund', 'void', 'capture')";
            return tables.orders(which, after, limit, Some(of));
        }
        self.list(move |rows| {
            let prefix = order_key(FOLLOW_UP, of);
            let last = after.map(|last| follow_up_key(of, last));
            page(rows, onward(&prefix, last), limit, |index, _| {
                order_of(rows, Parts::from(index, prefix.len()).order()?)
            })
        })
    }
}
