//! The same in SQL: along the numbers' own index, one statement for the rows that a page looks at.
//!
//! Where a time is asked for, what lies outside of it is found by halving: within a day of a node,
//! numbers and moments go together.

use crate::domain::ids::{CallerId, ChannelId, MerchantId, OrderId};
use crate::domain::order::Order;
use crate::domain::order_filter::OrderFilter;
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::sql::Tables;
use crate::store::sql::read::{Parameter, field, page_limit, parameter, parameters};
use crate::store::sql::table::SqlTable;
use crate::store::table::order::Orders;

use super::{
    Found, Halving, IdRange, LOOKED_MAX, OrderPage, PASSED_MAX, cut, day_of, too_new, too_old,
};

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
    AND ($18::bytea IS NULL OR t.account_digest = $18) \
    AND ($19::text IS NULL OR t.reason = $19) \
    AND ($20::text IS NULL OR t.caller_order_id = $20 \
         OR EXISTS (SELECT FROM attempts a WHERE a.order_id = t.id AND a.channel_reference = $20) \
         OR EXISTS (SELECT FROM transactions x WHERE x.order_id = t.id AND x.transcript ~ $21))";

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
        filter.account_digest,
        filter.reason,
        number,
        words,
    ]
}

/// A page of the orders that a filter takes, the newest number first.
pub(super) async fn page_of_tables(
    tables: &Tables,
    filter: OrderFilter,
    (from, to): IdRange,
    limit: usize,
) -> Result<OrderPage, StoreError> {
    let (mut orders, mut before, mut until) = (Vec::new(), to, None);
    for _ in 0..PASSED_MAX {
        let (range, rest) = match next_part(tables, &filter, (from, before)).await? {
            NextPart::Nothing => return Ok(cut(orders, None, limit)),
            NextPart::All(range) => (Some(range), None),
            NextPart::Some(range, rest) => (range, Some(rest)),
        };
        if let Some(range) = range {
            let part = part_of(tables, &filter, range, limit - orders.len()).await?;
            orders.extend(part.orders);
            if part.next.is_some() || rest.is_none() {
                return Ok(cut(orders, part.next.zip(part.looked_until), limit));
            }
        }
        before = rest.map_or(before, |(floor, _)| floor);
        until = rest;
    }
    Ok(cut(orders, until, limit))
}

/// Which orders are looked at next.
enum NextPart {
    /// There are none.
    Nothing,
    /// All that are left.
    All(IdRange),
    /// These of a day and node, if any; then go on below its first number. With the moment of the
    /// last order of it.
    Some(Option<IdRange>, Found),
}

/// Passes over the orders of the newest day and node that are not of the time that is asked for.
async fn next_part(
    tables: &Tables,
    filter: &OrderFilter,
    (from, to): IdRange,
) -> Result<NextPart, StoreError> {
    let (too_new, too_old) = (too_new(filter), too_old(filter));
    if too_new.is_none() && too_old.is_none() {
        return Ok(NextPart::All((from, to)));
    }
    let Some(newest) = end_of(tables, (from, to), "DESC").await? else {
        return Ok(NextPart::Nothing);
    };
    let floor = day_of(newest.0).max(from);
    let oldest = end_of(tables, (floor, to), "ASC").await?.unwrap_or(newest);
    let passed = (floor, oldest.1);
    let is_out = too_old.is_some_and(|too_old| newest.1 < too_old)
        || too_new.is_some_and(|too_new| oldest.1 >= too_new);
    if is_out {
        return Ok(NextPart::Some(None, passed));
    }
    let end = match too_new.filter(|too_new| newest.1 >= *too_new) {
        Some(too_new) => first_since(tables, floor, newest.0, too_new).await?,
        None => to,
    };
    match too_old.filter(|too_old| oldest.1 < *too_old) {
        Some(too_old) => {
            let begin = first_since(tables, floor, newest.0, too_old).await?;
            Ok(NextPart::Some((begin < end).then_some((begin, end)), passed))
        }
        None => Ok(NextPart::All((from, end))),
    }
}

/// The first order of a range (`ASC`), or the last one (`DESC`).
async fn end_of(
    tables: &Tables,
    (from, to): IdRange,
    way: &str,
) -> Result<Option<Found>, StoreError> {
    let sql = format!(
        "SELECT o.id, o.created_at FROM orders o WHERE o.id >= $1 AND o.id < $2 \
         ORDER BY o.id {way} LIMIT 1"
    );
    let read = |values: Vec<Option<&[u8]>>| Ok((field(&values, 0)?, field(&values, 1)?));
    Ok(tables.query(&sql, parameters![from, to], read).await?.pop())
}

/// The first number of a day and node from which on all orders are of `since` or later; `newest`
/// is one of those.
async fn first_since(
    tables: &Tables,
    floor: OrderId,
    newest: OrderId,
    since: Timestamp,
) -> Result<OrderId, StoreError> {
    let mut halving = Halving::of(floor, newest);
    while let Some(range) = halving.asks() {
        halving.hears(end_of(tables, range, "DESC").await?, since);
    }
    Ok(halving.found())
}

/// One statement.
async fn part_of(
    tables: &Tables,
    filter: &OrderFilter,
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
    all.extend(which(filter));
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
