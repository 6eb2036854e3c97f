//! Orders from the newest to the oldest, by what is asked of them: a page looks at a bounded number
//! of rows, and says how far it looked.
//!
//! No key but the order's number leads to its row, so that a payment pays nothing for being found.
//! Numbers begin with their date: a time bounds them. The rest is read, most of it by its first
//! fields alone.

mod sql;

use std::cmp::Reverse;
use std::time::Duration;

use memchr::memmem::Finder;

use crate::domain::ids::OrderId;
use crate::domain::order::Order;
use crate::domain::order_filter::OrderFilter;
use crate::domain::payment_code::CODE_LASTS;
use crate::domain::time::Timestamp;
use crate::store::key::{Parts, order_key};
use crate::store::row::Table;
use crate::store::sorted::{Scan, SortedRows, StoreResult};
use crate::store::table::transaction::transactions_back;
use crate::store::{PAGE_MAX, Store, StoreRead};

use self::sql::page_of_tables;
use super::form::read_order_facts;
use super::{FINAL, OPEN, Orders, order_of};

/// The most rows of a kind that a page looks at: a hundredth of a second's work, or two.
const LOOKED_MAX: usize = 20_000;

/// How far the moments of two orders of one day and node may be in another order than their
/// numbers: calls that came at once draw their numbers one after another, and the number of an
/// order that brings a code by SMS was drawn for the code.
const DISORDER: Duration = Duration::from_secs(600 + CODE_LASTS.as_secs());
/// The most days of a node that a page passes over.
const PASSED_MAX: usize = 64;
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

/// Which orders: the first number, and the one behind the last.
type IdRange = (OrderId, OrderId);

/// An order, and when it was created.
type Found = (OrderId, Timestamp);

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
    let too_old = too_old(filter);
    let mut to = Some(to);
    // Each round ends with the range, with the page, or with a day of a node.
    while let Some(before) = to.take() {
        let before = pass_over(rows, letter, filter, (from, before))?;
        let (first, last) = (order_key(letter, from), order_key(letter, before));
        let mut end = from;
        rows.scan_back(&first, &last, &mut |key, row| {
            looked += 1;
            // A row that has not the number somewhere is not read.
            let may = number.as_ref().is_none_or(|number| number.find(row).is_some());
            if !may && too_old.is_none() && looked < LOOKED_MAX {
                return Ok(Scan::On);
            }
            let facts = read_order_facts(row)?;
            let id = Parts::of(key).order()?;
            if too_old.is_some_and(|too_old| facts.created_at < too_old) && looked < LOOKED_MAX {
                // So are all before it, of its day and node.
                (to, end) = (Some(day_of(id)).filter(|day| *day > from), id);
                return Ok(Scan::Enough);
            }
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
    (from, mut to): IdRange,
) -> StoreResult<OrderId> {
    let Some(too_new) = too_new(filter) else { return Ok(to) };
    for _ in 0..PASSED_MAX {
        let newest = end_of(rows, letter, (from, to), RangeEnd::Newest)?;
        let Some((newest, _)) = newest.filter(|found| found.1 >= too_new) else { break };
        let floor = day_of(newest).max(from);
        let oldest = end_of(rows, letter, (floor, to), RangeEnd::Oldest)?;
        if oldest.is_some_and(|found| found.1 >= too_new) {
            to = floor;
            continue;
        }
        let mut halving = Halving::of(floor, newest);
        while let Some(range) = halving.asks() {
            halving.hears(end_of(rows, letter, range, RangeEnd::Newest)?, too_new);
        }
        return Ok(halving.found());
    }
    Ok(to)
}

/// From which moment on an order is too new for what is asked.
fn too_new(filter: &OrderFilter) -> Option<Timestamp> {
    filter.to.map(|to| to.plus(DISORDER + Duration::from_millis(1)))
}

/// Before which moment an order is too old for what is asked.
fn too_old(filter: &OrderFilter) -> Option<Timestamp> {
    filter.from.map(|from| from.minus(DISORDER))
}

/// Looks for the first number of a day and node from which on all orders are of a moment or later,
/// as far as numbers and moments go together: each answer halves the numbers that are left.
struct Halving {
    low: u64,
    high: u64,
}

impl Halving {
    /// Among these numbers, of which the second is an order's that is of the moment or later.
    const fn of(floor: OrderId, newest: OrderId) -> Self {
        Self { low: floor.as_u64(), high: newest.as_u64() }
    }

    /// The range whose last order tells more; `None` at the end.
    fn asks(&self) -> Option<IdRange> {
        let middle = self.low + self.high.checked_sub(self.low)? / 2;
        (self.low < self.high).then(|| (OrderId::from_u64(self.low), OrderId::from_u64(middle + 1)))
    }

    /// Takes the last order of the range that was asked for.
    fn hears(&mut self, last: Option<Found>, since: Timestamp) {
        let middle = self.low + (self.high - self.low) / 2;
        match last {
            Some((id, at)) if at >= since => self.high = id.as_u64(),
            Some(_) | None => self.low = middle + 1,
        }
    }

    const fn found(&self) -> OrderId {
        OrderId::from_u64(self.high)
    }
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
) -> StoreResult<Option<Found>> {
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
