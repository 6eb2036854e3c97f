//! Orders from the newest to the oldest, by what is asked of them: a page looks at a bounded number
//! of rows, and says how far it looked.
//!
//! No key but the order's number leads to its row, so that a payment pays nothing for being found.
//! Numbers begin with their date: a time bounds them. The rest is read, most of it by its first
//! fields alone.

use std::cmp::Reverse;
use std::time::Duration;

use memchr::memmem::Finder;

use crate::domain::flow::filter::OrderFilter;
use crate::domain::flow::order::Order;
use crate::domain::ids::{CallerId, ChannelId, MerchantId, OrderId};
use crate::domain::time::Timestamp;
use crate::store::key::{Parts, order_key};
use crate::store::row::Table;
use crate::store::sorted::{Scan, SortedRows, StoreResult};
use crate::store::sql::Tables;
use crate::store::sql::read::{Parameter, field, page_limit, parameter, parameters};
use crate::store::sql::table::SqlTable;
use crate::store::table::transaction::transactions_back;
use crate::store::{PAGE_MAX, Store, StoreError, StoreRead};

use super::form::read_order_facts;
use super::{FINAL, OPEN, Orders, order_of};

/// The most rows of a kind that a page looks at: a hundredth of a second's work, or two.
const LOOKED_MAX: usize = 20_000;

/// How far the moments of two orders of one day and node may be in another order than their
/// numbers: calls that came at once draw their numbers one after another.
const DISORDER: Duration = Duration::from_secs(600);
/// So many numbers are passed over at once where the orders at both ends are too new.
const STRIDE: u64 = 5_000;
/// The most such steps of a page.
const STEPS_MAX: usize = 500;
/// The numbers of one day and node.
const OF_A_DAY: u64 = 10_000_000_000;

/// A page of orders, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPage {
    pub orders: Vec<Order>,
    /// Where the next page begins behind; `None` where all was looked at.
    pub next: Option<OrderId>,
    /// When the last order that was looked at was created, if there is a next page.
    pub looked_until: Option<Timestamp>,
}

/// Which orders of how many rows: the first number, and the one behind the last.
type IdRange = (OrderId, OrderId);

/// The orders of one letter that a look has found.
struct Looked {
    found: Vec<Order>,
    /// The last order that was looked at, if the look ended before the range.
    until: Option<(OrderId, Timestamp)>,
    /// The parts of the range that were looked at.
    ranges: Vec<IdRange>,
}

impl dyn Store + '_ {
    /// Orders that a filter takes, the newest number first, below `before`. A page ends when it has
    /// `limit` orders or has looked at some ten thousand; it may be empty and not the last.
    pub fn search_orders(
        &self,
        filter: OrderFilter,
        before: Option<OrderId>,
        limit: usize,
    ) -> StoreRead<'_, OrderPage> {
        let (from, to) = filter.id_range();
        let range = (from, before.map_or(to, |before| before.min(to)));
        let limit = limit.clamp(1, PAGE_MAX);
        if let Some(tables) = self.tables() {
            return Box::pin(page_of_tables(tables, filter, range, limit));
        }
        self.list(move |rows| page_of(rows, &filter, range, limit))
    }
}

/// The open orders are read first, so that one that ends meanwhile is seen twice rather than not at
/// all; its final row stands.
fn page_of(
    rows: SortedRows<'_>,
    filter: &OrderFilter,
    (from, to): IdRange,
    limit: usize,
) -> StoreResult<OrderPage> {
    let open = look_back(rows, OPEN, filter, (from, to), limit)?;
    let from = open.until.map_or(from, |(until, _)| until);
    let ended = look_back(rows, FINAL, filter, (from, to), limit)?;
    let until = ended.until.or(open.until);
    let from = until.map_or(from, |(until, _)| until);
    let mut orders = ended.found;
    orders.extend(open.found.into_iter().filter(|order| order.id >= from));
    for range in ended.ranges {
        orders.extend(by_words(rows, filter, range)?);
    }
    // The sort is stable, so of two rows of one order the final one, which came first, stays.
    orders.sort_by_key(|order| Reverse(order.id));
    orders.dedup_by_key(|order| order.id);
    Ok(cut(orders, until, limit))
}

/// A page of orders that were found down to `until`.
fn cut(mut orders: Vec<Order>, mut until: Option<(OrderId, Timestamp)>, limit: usize) -> OrderPage {
    if orders.len() > limit || (orders.len() == limit && until.is_some()) {
        orders.truncate(limit);
        until = orders.last().map(|order| (order.id, order.created_at));
    }
    let (next, looked_until) = until.unzip();
    OrderPage { orders, next, looked_until }
}

/// The orders under a letter, from the newest on.
fn look_back(
    rows: SortedRows<'_>,
    letter: u8,
    filter: &OrderFilter,
    (from, to): IdRange,
    limit: usize,
) -> StoreResult<Looked> {
    let (mut found, mut until, mut looked, mut ranges) = (Vec::new(), None, 0, Vec::new());
    let number = filter.number.as_ref().map(|number| Finder::new(number.as_str()));
    let too_old = filter.from.map(|from| from.minus(DISORDER));
    let mut to = Some(to);
    // Each round ends with the range, with the page, or with a day of a node.
    while let Some(before) = to.take() {
        let before = pass_over(rows, letter, filter, (from, before))?;
        let (first, last) = (order_key(letter, from), order_key(letter, before));
        let mut end = from;
        rows.scan_back(&first, &last, &mut |key, row| {
            let facts = read_order_facts(row)?;
            let id = Parts::of(key).order()?;
            looked += 1;
            if too_old.is_some_and(|too_old| facts.created_at < too_old) && looked < LOOKED_MAX {
                // So are all before it, of its day and node.
                (to, end) = (Some(day_of(id)).filter(|day| *day > from), id);
                return Ok(Scan::Enough);
            }
            // A row that has not the number somewhere is not read.
            let may = number.as_ref().is_none_or(|number| number.find(row).is_some());
            if may && filter.takes_facts(&facts) {
                found.extend(Some(Orders::decode(key, row)?).filter(|order| filter.takes(order)));
            }
            if found.len() < limit && looked < LOOKED_MAX {
                return Ok(Scan::On);
            }
            (until, end) = (Some((id, facts.created_at)), id);
            Ok(Scan::Enough)
        })?;
        ranges.push((end, before));
    }
    Ok(Looked { found, until, ranges })
}

/// The first number of the same day and node.
const fn day_of(id: OrderId) -> OrderId {
    OrderId::from_u64(id.as_u64() / OF_A_DAY * OF_A_DAY)
}

/// The number behind which the orders are not newer than what is asked for, or are about so: within
/// a day of a node, numbers and moments go together.
fn pass_over(
    rows: SortedRows<'_>,
    letter: u8,
    filter: &OrderFilter,
    (from, to): IdRange,
) -> StoreResult<OrderId> {
    let Some(bound) = filter.to.map(|to| to.plus(DISORDER)) else { return Ok(to) };
    let is_new = |found: (OrderId, Timestamp)| Some(found.0).filter(|_| found.1 > bound);
    let newest = |from, to| end_of(rows, letter, (from, to), RangeEnd::Newest);
    let Some(mut last) = newest(from, to)?.and_then(is_new) else { return Ok(to) };
    for _ in 0..STEPS_MAX {
        let floor = day_of(last).max(from);
        let goal = OrderId::from_u64(last.as_u64().saturating_sub(STRIDE));
        let mut next = if goal > floor { newest(floor, goal)? } else { None };
        if next.is_none() {
            next = end_of(rows, letter, (floor, last), RangeEnd::Oldest)?;
        }
        if next.is_none() {
            next = newest(from, floor)?;
        }
        let Some(passed) = next.and_then(is_new) else { break };
        last = passed;
    }
    Ok(last)
}

enum RangeEnd {
    Oldest,
    Newest,
}

/// The order at one end of a range, and when it was created.
fn end_of(
    rows: SortedRows<'_>,
    letter: u8,
    (from, to): IdRange,
    which: RangeEnd,
) -> StoreResult<Option<(OrderId, Timestamp)>> {
    let (mut found, from, to) = (None, order_key(letter, from), order_key(letter, to));
    let mut visit = |key: &[u8], row: &[u8]| {
        found = Some((Parts::of(key).order()?, read_order_facts(row)?.created_at));
        Ok(Scan::Enough)
    };
    match which {
        RangeEnd::Oldest => rows.scan(&from, &to, &mut visit)?,
        RangeEnd::Newest => rows.scan_back(&from, &to, &mut visit)?,
    }
    Ok(found)
}

/// The orders whose number stands in the channel's words about their success.
fn by_words(rows: SortedRows<'_>, filter: &OrderFilter, range: IdRange) -> StoreResult<Vec<Order>> {
    let Some(number) = &filter.number else { return Ok(Vec::new()) };
    let others = OrderFilter { number: None, ..filter.clone() };
    let named = transactions_back(rows, range, number)?;
    let orders = named.into_iter().map(|id| order_of(rows, id));
    orders
        .filter_map(|order| {
            order.map(|order| order.filter(|order| others.takes(order))).transpose()
        })
        .collect()
}

/// What a filter asks of a row; `$1` to `$4` are the page's.
const WHICH: &str = "\
    ($5::timestamptz IS NULL OR t.created_at >= $5) \
    AND ($6::timestamptz IS NULL OR t.created_at < $6) \
    AND ($7::text IS NULL OR t.caller = $7) \
    AND ($8::text IS NULL OR t.status = $8) \
    AND ($9::text IS NULL OR t.kind = $9) \
    AND ($10::text IS NULL OR EXISTS (SELECT FROM attempts a \
         WHERE a.order_id = t.id AND a.channel = $10)) \
    AND ($11::text IS NULL OR t.merchant_id = $11) \
    AND ($12::bigint IS NULL OR t.amount_minor >= $12) \
    AND ($13::bigint IS NULL OR t.amount_minor <= $13) \
    AND ($14::text IS NULL OR t.currency = $14) \
    AND ($15::text IS NULL OR t.issuer_code = $15) \
    AND ($16::text IS NULL OR t.card_masked LIKE $16) \
    AND ($17::bytea IS NULL OR t.pan_digest = $17) \
    AND ($18::text IS NULL OR t.reason = $18) \
    AND ($19::text IS NULL OR t.caller_order_id = $19 \
         OR EXISTS (SELECT FROM attempts a WHERE a.order_id = t.id AND a.channel_reference = $19) \
         OR EXISTS (SELECT FROM transactions x WHERE x.order_id = t.id AND x.transcript ~ $20))";

fn which(filter: &OrderFilter) -> Vec<Parameter> {
    let number = filter.number.as_ref().map(|number| number.as_str());
    // The characters of a number mean themselves, but for the dot.
    let words = number.map(|number| {
        let plain = number.replace('.', "\\.");
        format!("(^|[^0-9A-Za-z]){plain}($|[^0-9A-Za-z])")
    });
    let masked = (filter.first_six.is_some() || filter.last_four.is_some()).then(|| {
        let [first, last] = [&filter.first_six, &filter.last_four]
            .map(|digits| digits.as_deref().unwrap_or_default());
        format!("{first}%{last}")
    });
    parameters![
        filter.from,
        filter.to,
        filter.caller.as_ref().map(CallerId::as_str),
        filter.status,
        filter.kind,
        filter.channel.as_ref().map(ChannelId::as_str),
        filter.merchant_id.as_ref().map(MerchantId::as_str),
        filter.amount_from,
        filter.amount_to,
        filter.currency,
        filter.issuer_code.as_deref(),
        masked,
        filter.pan_digest,
        filter.reason,
        number,
        words,
    ]
}

/// The same in SQL: one statement, along the numbers' own index.
async fn page_of_tables(
    tables: &Tables,
    filter: OrderFilter,
    (from, to): IdRange,
    limit: usize,
) -> Result<OrderPage, StoreError> {
    let sql = format!(
        "SELECT x.*, w.id, w.created_at FROM (SELECT 1) one \
         LEFT JOIN LATERAL (SELECT o.id, o.created_at FROM orders o WHERE o.id < $2 AND o.id >= $1 \
             ORDER BY o.id DESC OFFSET $4 LIMIT 1) w ON true \
         LEFT JOIN LATERAL (SELECT {} FROM orders t \
             WHERE t.id < $2 AND t.id >= COALESCE(w.id, $1) AND {WHICH} \
             ORDER BY t.id DESC LIMIT $3) x ON true \
         ORDER BY x.id DESC",
        Orders::selected(),
    );
    let last_looked = u64::try_from(LOOKED_MAX - 1).unwrap_or(u64::MAX);
    let mut all = vec![parameter(from), parameter(to), page_limit(limit), parameter(last_looked)];
    all.extend(which(&filter));
    let read = |mut values: Vec<Option<&[u8]>>| {
        let end = values.split_off(values.len() - 2);
        let until: Option<OrderId> = field(&end, 0)?;
        let at: Option<Timestamp> = field(&end, 1)?;
        let is_order = values.first().is_some_and(Option::is_some);
        let order = is_order.then(|| Orders::read_selected(values)).transpose()?;
        Ok((order, until.zip(at)))
    };
    let rows = tables.query(&sql, all, read).await?;
    let until = rows.first().and_then(|(_, until)| *until);
    let orders: Vec<Order> = rows.into_iter().filter_map(|(order, _)| order).collect();
    let is_full = orders.len() == limit;
    let until = until.or_else(|| {
        let last = orders.last().filter(|_| is_full);
        last.map(|order| (order.id, order.created_at))
    });
    Ok(cut(orders, until, limit))
}
