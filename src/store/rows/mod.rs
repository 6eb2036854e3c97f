//! Reading rows back, for the stores that keep sorted bytes.
//!
//! Every function asks a [`SortedBytes`] and decodes; none knows which store it reads. An index
//! entry whose row has moved on in the meantime is passed over: the row is then found under its
//! next entry.

mod books;
pub(super) mod sorted;

use std::collections::BTreeSet;

use crate::domain::batch::{AuditEntry, Contradiction, CoreNotice};
use crate::domain::books::Transaction;
use crate::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::flow::order::Order;
use crate::domain::flow::reversal::ReversalEntry;
use crate::domain::ids::{CallerId, CallerOrderId, ChannelId, ChannelOrderNo, OrderId};
use crate::domain::time::{BusinessDate, Due, Timestamp};
use crate::store::keys;
use crate::store::record;
use crate::store::{Backlog, ContradictionPlace, PAGE_MAX, StoreError};

type Read<T> = Result<T, StoreError>;

/// Whether a scan goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    On,
    Enough,
}

/// What a scan shows its pairs to.
pub(super) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Read<Scan> + 'a;

/// Keys and values in key order.
pub(super) trait SortedBytes {
    fn get(&self, key: &[u8]) -> Read<Option<Vec<u8>>>;

    /// Shows the pairs of `from` (with it) to `to` (without it) in order, until told that it is
    /// enough.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Read<()>;
}

/// A page of what lies between `from` and `to`: `read` gives a row, or `None` to pass a pair over.
fn page<T>(
    bytes: &impl SortedBytes,
    (from, to): (Vec<u8>, Vec<u8>),
    limit: usize,
    mut read: impl FnMut(&[u8], &[u8]) -> Read<Option<T>>,
) -> Read<Vec<T>> {
    let limit = limit.min(PAGE_MAX);
    let mut rows = Vec::new();
    if limit == 0 {
        return Ok(rows);
    }
    bytes.scan(&from, &to, &mut |key, value| {
        rows.extend(read(key, value)?);
        Ok(if rows.len() < limit { Scan::On } else { Scan::Enough })
    })?;
    Ok(rows)
}

/// The bounds of a listing that goes on after `last`.
fn onward(prefix: &[u8], last: Option<Vec<u8>>) -> (Vec<u8>, Vec<u8>) {
    let (from, to) = keys::bounds(prefix);
    (last.map_or(from, keys::after), to)
}

/// A page of an index by time: what is due, and behind it what is dated too far ahead.
fn due_page<T>(
    bytes: &impl SortedBytes,
    prefix: &[u8],
    due: Due,
    limit: usize,
    mut read: impl FnMut(&[u8]) -> Read<Option<T>>,
) -> Read<Vec<T>> {
    let behind = |moment: Timestamp| {
        let millis = u64::try_from(moment.as_millis()).expect("a timestamp lies in 1970 or later");
        [prefix, &(millis + 1).to_be_bytes()].concat()
    };
    let (begin, end) = keys::bounds(prefix);
    let mut rows = page(bytes, (begin, behind(due.now())), limit, |index, _| read(index))?;
    let rest = limit.saturating_sub(rows.len());
    rows.extend(page(bytes, (behind(due.bound()), end), rest, |index, _| read(index))?);
    Ok(rows)
}

/// Looks among the open orders first: an order moves from there to the final ones, never back, so
/// it cannot be missed while it moves.
pub(super) fn order(bytes: &impl SortedBytes, id: OrderId) -> Read<Option<Order>> {
    let row = match bytes.get(&keys::order_key(keys::OPEN, id))? {
        Some(row) => Some(row),
        None => bytes.get(&keys::order_key(keys::FINAL, id))?,
    };
    row.map(|row| record::read_order(id, &row)).transpose()
}

pub(super) fn order_by_caller(
    bytes: &impl SortedBytes,
    caller: &CallerId,
    caller_order_id: &CallerOrderId,
) -> Read<Option<Order>> {
    match bytes.get(&keys::caller_key(caller, caller_order_id))? {
        Some(stored) => order(bytes, keys::order_at(&stored, 0)?),
        None => Ok(None),
    }
}

fn orders_of(
    bytes: &impl SortedBytes,
    table: u8,
    after: Option<OrderId>,
    limit: usize,
) -> Read<Vec<Order>> {
    let last = after.map(|order| keys::order_key(table, order));
    page(bytes, onward(&[table], last), limit, |key, row| {
        record::read_order(keys::order_at(key, 1)?, row).map(Some)
    })
}

pub(super) fn open_orders(
    bytes: &impl SortedBytes,
    after: Option<OrderId>,
    limit: usize,
) -> Read<Vec<Order>> {
    orders_of(bytes, keys::OPEN, after, limit)
}

/// Merges the open and the final orders. The open ones are read first, so that an order that moves
/// meanwhile is seen twice rather than not at all; the later row stands.
pub(super) fn orders(
    bytes: &impl SortedBytes,
    after: Option<OrderId>,
    limit: usize,
) -> Read<Vec<Order>> {
    let open = orders_of(bytes, keys::OPEN, after, limit)?;
    let mut all = orders_of(bytes, keys::FINAL, after, limit)?;
    all.extend(open);
    // The sort is stable, so of two rows of one order the final one, which came first, stays.
    all.sort_by_key(|order| order.id);
    all.dedup_by_key(|order| order.id);
    all.truncate(limit.min(PAGE_MAX));
    Ok(all)
}

pub(super) fn follow_ups(
    bytes: &impl SortedBytes,
    of: OrderId,
    after: Option<OrderId>,
    limit: usize,
) -> Read<Vec<Order>> {
    let prefix = keys::follow_up_prefix(of);
    let at = prefix.len();
    let last = after.map(|last| keys::follow_up_key(of, last));
    page(bytes, onward(&prefix, last), limit, |index, _| order(bytes, keys::order_at(index, at)?))
}

pub(super) fn transaction(bytes: &impl SortedBytes, order: OrderId) -> Read<Option<Transaction>> {
    let row = bytes.get(&keys::transaction_key(order))?;
    row.map(|row| record::read_transaction(order, &row)).transpose()
}

pub(super) fn transactions(
    bytes: &impl SortedBytes,
    after: Option<OrderId>,
    limit: usize,
) -> Read<Vec<Transaction>> {
    let last = after.map(keys::transaction_key);
    page(bytes, onward(&[keys::TRANSACTION], last), limit, |key, row| {
        record::read_transaction(keys::order_at(key, 1)?, row).map(Some)
    })
}

/// A clearing record without a transaction of its number is a contradicted claim.
pub(super) fn transactions_of_day(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    date: BusinessDate,
    after: Option<ChannelOrderNo>,
    limit: usize,
) -> Read<Vec<Transaction>> {
    let prefix = keys::clearing_prefix(channel, date);
    let at = prefix.len();
    let last = after.map(|number| keys::clearing_key(channel, date, number));
    page(bytes, onward(&prefix, last), limit, |key, _| {
        let [attempt] = keys::number_at(key, at + 8)?;
        let number = ChannelOrderNo { order: keys::order_at(key, at)?, attempt };
        let kept = transaction(bytes, number.order)?;
        Ok(kept.filter(|kept| kept.channel_order_no == number))
    })
}

pub(super) fn reversal(bytes: &impl SortedBytes, order: OrderId) -> Read<Option<ReversalEntry>> {
    let row = bytes.get(&keys::order_key(keys::REVERSAL, order))?;
    row.map(|row| record::read_entry(order, &row)).transpose()
}

pub(super) fn reversals(
    bytes: &impl SortedBytes,
    after: Option<OrderId>,
    limit: usize,
) -> Read<Vec<ReversalEntry>> {
    let last = after.map(|order| keys::order_key(keys::REVERSAL, order));
    page(bytes, onward(&[keys::REVERSAL], last), limit, |key, row| {
        record::read_entry(keys::order_at(key, 1)?, row).map(Some)
    })
}

/// The row that an index entry points to, if the entry is still the row's.
fn indexed(bytes: &impl SortedBytes, row_key: &[u8], index: &[u8]) -> Read<Option<Vec<u8>>> {
    match bytes.get(row_key)? {
        Some(row) if keys::due_key(row_key, &row)?.as_deref() == Some(index) => Ok(Some(row)),
        Some(_) | None => Ok(None),
    }
}

pub(super) fn due_reversals(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    due: Due,
    limit: usize,
) -> Read<Vec<ReversalEntry>> {
    let prefix = keys::reversal_due_prefix(channel.as_str());
    let identity = prefix.len() + 8;
    due_page(bytes, &prefix, due, limit, |index| {
        let order = keys::order_at(index, identity)?;
        let row = indexed(bytes, &keys::order_key(keys::REVERSAL, order), index)?;
        row.map(|row| record::read_entry(order, &row)).transpose()
    })
}

pub(super) fn contradictions(bytes: &impl SortedBytes, order: OrderId) -> Read<Vec<Contradiction>> {
    let prefix = keys::contradiction_prefix(order);
    let at = prefix.len();
    page(bytes, keys::bounds(&prefix), PAGE_MAX, |key, row| {
        record::read_contradiction(order, keys::number_at(key, at)?, row).map(Some)
    })
}

pub(super) fn all_contradictions(
    bytes: &impl SortedBytes,
    after: Option<ContradictionPlace>,
    limit: usize,
) -> Read<Vec<Contradiction>> {
    let last = after.map(keys::contradiction_key);
    page(bytes, onward(&[keys::CONTRADICTION], last), limit, |key, row| {
        let order = keys::order_at(key, 1)?;
        record::read_contradiction(order, keys::number_at(key, 9)?, row).map(Some)
    })
}

pub(super) fn clearing(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    date: BusinessDate,
    after: Option<(OrderId, u8)>,
    limit: usize,
) -> Read<Vec<ClearingRecord>> {
    let prefix = keys::clearing_prefix(channel, date);
    let at = prefix.len();
    let number = |(order, attempt)| ChannelOrderNo { order, attempt };
    let last = after.map(|last| keys::clearing_key(channel, date, number(last)));
    page(bytes, onward(&prefix, last), limit, |key, row| {
        let [attempt] = keys::number_at(key, at + 8)?;
        let number = ChannelOrderNo { order: keys::order_at(key, at)?, attempt };
        record::read_clearing(channel, date, number, row).map(Some)
    })
}

pub(super) fn accounting_request(
    bytes: &impl SortedBytes,
    id: RequestId,
) -> Read<Option<AccountingRequest>> {
    let row = bytes.get(&keys::accounting_key(id))?;
    row.map(|row| record::read_accounting(id, &row)).transpose()
}

fn request_at(key: &[u8], at: usize) -> Read<RequestId> {
    let sequence = u16::from_be_bytes(keys::number_at(key, at + 8)?);
    Ok(RequestId { chain: keys::order_at(key, at)?, sequence })
}

pub(super) fn accounting_requests(
    bytes: &impl SortedBytes,
    status: Option<DeliveryStatus>,
    after: Option<RequestId>,
    limit: usize,
) -> Read<Vec<AccountingRequest>> {
    match status {
        Some(DeliveryStatus::Owed) => owed_requests(bytes, after, limit),
        Some(DeliveryStatus::Parked) => parked_requests(bytes, after, limit),
        Some(DeliveryStatus::Acknowledged | DeliveryStatus::Withdrawn) | None => {
            let last = after.map(keys::accounting_key);
            page(bytes, onward(&[keys::ACCOUNTING], last), limit, |key, row| {
                let request = record::read_accounting(request_at(key, 1)?, row)?;
                let wanted = status.is_none_or(|status| request.delivery.status == status);
                Ok(wanted.then_some(request))
            })
        }
    }
}

/// Owed requests by id: the index is by time, so all of it is looked through for the smallest ids.
/// It is short unless the accounting system is down, and holds keys only.
fn owed_requests(
    bytes: &impl SortedBytes,
    after: Option<RequestId>,
    limit: usize,
) -> Read<Vec<AccountingRequest>> {
    let limit = limit.min(PAGE_MAX);
    let mut smallest = BTreeSet::new();
    let (from, to) = keys::bounds(&[keys::ACCOUNTING_DUE]);
    bytes.scan(&from, &to, &mut |index, _| {
        let id = request_at(index, 9)?;
        if after.is_none_or(|after| id > after) {
            smallest.insert(id);
            if smallest.len() > limit {
                smallest.pop_last();
            }
        }
        Ok(Scan::On)
    })?;
    let mut requests = Vec::with_capacity(smallest.len());
    for id in smallest {
        let request = accounting_request(bytes, id)?;
        requests.extend(request.filter(|kept| kept.delivery.status == DeliveryStatus::Owed));
    }
    Ok(requests)
}

fn parked_requests(
    bytes: &impl SortedBytes,
    after: Option<RequestId>,
    limit: usize,
) -> Read<Vec<AccountingRequest>> {
    let last = after.map(|id| {
        let mut key = keys::accounting_key(id);
        key[0] = keys::ACCOUNTING_PARKED;
        key
    });
    page(bytes, onward(&[keys::ACCOUNTING_PARKED], last), limit, |index, _| {
        let id = request_at(index, 1)?;
        let row = indexed(bytes, &keys::accounting_key(id), index)?;
        row.map(|row| record::read_accounting(id, &row)).transpose()
    })
}

/// Counts the entries of the two indexes; no row is read.
pub(super) fn accounting_backlog(bytes: &impl SortedBytes) -> Read<Backlog> {
    let count = |prefix: u8| {
        let (mut entries, (from, to)) = (0, keys::bounds(&[prefix]));
        bytes.scan(&from, &to, &mut |_, _| {
            entries += 1;
            Ok(Scan::On)
        })?;
        Ok(entries)
    };
    Ok(Backlog { owed: count(keys::ACCOUNTING_DUE)?, parked: count(keys::ACCOUNTING_PARKED)? })
}

pub(super) fn due_accounting(
    bytes: &impl SortedBytes,
    due: Due,
    limit: usize,
) -> Read<Vec<AccountingRequest>> {
    due_page(bytes, &[keys::ACCOUNTING_DUE], due, limit, |index| {
        let id = request_at(index, 9)?;
        let row = indexed(bytes, &keys::accounting_key(id), index)?;
        row.map(|row| record::read_accounting(id, &row)).transpose()
    })
}

pub(super) fn notice(bytes: &impl SortedBytes, order: OrderId) -> Read<Option<CoreNotice>> {
    let row = bytes.get(&keys::order_key(keys::NOTICE, order))?;
    row.map(|row| record::read_notice(order, &row)).transpose()
}

pub(super) fn notices(
    bytes: &impl SortedBytes,
    status: Option<DeliveryStatus>,
    after: Option<OrderId>,
    limit: usize,
) -> Read<Vec<CoreNotice>> {
    let onward_in = |table| onward(&[table], after.map(|order| keys::order_key(table, order)));
    match status {
        Some(DeliveryStatus::Owed) => owed_notices(bytes, after, limit),
        Some(DeliveryStatus::Parked) => {
            page(bytes, onward_in(keys::NOTICE_PARKED), limit, |index, _| {
                let order = keys::order_at(index, 1)?;
                let row = indexed(bytes, &keys::order_key(keys::NOTICE, order), index)?;
                row.map(|row| record::read_notice(order, &row)).transpose()
            })
        }
        Some(DeliveryStatus::Acknowledged | DeliveryStatus::Withdrawn) | None => {
            page(bytes, onward_in(keys::NOTICE), limit, |key, row| {
                let notice = record::read_notice(keys::order_at(key, 1)?, row)?;
                let wanted = status.is_none_or(|status| notice.delivery.status == status);
                Ok(wanted.then_some(notice))
            })
        }
    }
}

/// Owed notices by order: as [`owed_requests`].
fn owed_notices(
    bytes: &impl SortedBytes,
    after: Option<OrderId>,
    limit: usize,
) -> Read<Vec<CoreNotice>> {
    let limit = limit.min(PAGE_MAX);
    let mut smallest = BTreeSet::new();
    let (from, to) = keys::bounds(&[keys::NOTICE_DUE]);
    bytes.scan(&from, &to, &mut |index, _| {
        let order = keys::order_at(index, 9)?;
        if after.is_none_or(|after| order > after) {
            smallest.insert(order);
            if smallest.len() > limit {
                smallest.pop_last();
            }
        }
        Ok(Scan::On)
    })?;
    let mut notices = Vec::with_capacity(smallest.len());
    for order in smallest {
        let kept = notice(bytes, order)?;
        notices.extend(kept.filter(|kept| kept.delivery.status == DeliveryStatus::Owed));
    }
    Ok(notices)
}

pub(super) fn due_notices(
    bytes: &impl SortedBytes,
    due: Due,
    limit: usize,
) -> Read<Vec<CoreNotice>> {
    due_page(bytes, &[keys::NOTICE_DUE], due, limit, |index| {
        let order = keys::order_at(index, 9)?;
        let row = indexed(bytes, &keys::order_key(keys::NOTICE, order), index)?;
        row.map(|row| record::read_notice(order, &row)).transpose()
    })
}

pub(super) fn audit(
    bytes: &impl SortedBytes,
    after: Option<u64>,
    limit: usize,
) -> Read<Vec<(u64, AuditEntry)>> {
    let last = after.map(keys::audit_key);
    page(bytes, onward(&[keys::AUDIT], last), limit, |key, row| {
        let place = u64::from_be_bytes(keys::number_at(key, 1)?);
        Ok(Some((place, record::read_audit(row)?)))
    })
}
