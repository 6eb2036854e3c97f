//! Reading closes, statements, reconciliations, differences and settlements.

use crate::domain::books::day_close::DayClose;
use crate::domain::books::difference::Difference;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::settlement::{ChannelSettlement, SettledDate};
use crate::domain::books::statement::StatementRevision;
use crate::domain::ids::{BatchId, ChannelId, ChannelOrderNo, DifferenceId, OrderId, SettlementId};
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, Due};
use crate::store::keys::books as keys;
use crate::store::keys::{bounds, number_at, order_at};
use crate::store::{FoundRow, PAGE_MAX, record};

use super::{Read, Scan, SortedBytes, due_page, onward, page};

pub(in crate::store) fn closed_through(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
) -> Read<Option<BusinessDate>> {
    let held = bytes.get(&keys::closed_through_key(channel))?;
    held.map(|held| keys::date_in(&held)).transpose()
}

pub(in crate::store) fn day_close(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    date: BusinessDate,
) -> Read<Option<DayClose>> {
    let row = bytes.get(&keys::close_key(channel, date))?;
    row.map(|row| record::read_close(channel, date, &row)).transpose()
}

pub(in crate::store) fn statement_revisions(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    date: BusinessDate,
) -> Read<Vec<StatementRevision>> {
    let prefix = keys::statement_prefix(channel, date);
    let at = prefix.len();
    page(bytes, bounds(&prefix), PAGE_MAX, |key, row| {
        let revision = number_at(key, at).map(u16::from_be_bytes)?;
        record::read_statement(channel, date, revision, row).map(Some)
    })
}

pub(in crate::store) fn reconciliation(
    bytes: &impl SortedBytes,
    id: BatchId,
) -> Read<Option<Reconciliation>> {
    let row = bytes.get(&keys::reconciliation_key(id))?;
    row.map(|row| record::read_reconciliation(id, &row)).transpose()
}

pub(in crate::store) fn reconciliations(
    bytes: &impl SortedBytes,
    channel: Option<&ChannelId>,
    date: Option<BusinessDate>,
    after: Option<BatchId>,
    limit: usize,
) -> Read<Vec<Reconciliation>> {
    let prefix = match channel {
        Some(channel) => keys::reconciliations_prefix(channel, date),
        None => vec![keys::RECONCILIATION],
    };
    let at = prefix.len();
    let last = after.map(|id| listed(&prefix, id.chain()));
    // A batch keeps its channel and date, so an index entry is never out of date.
    page(bytes, onward(&prefix, last), limit, |key, row| {
        let id = BatchId::of(order_at(key, at)?);
        if channel.is_some() {
            return reconciliation(bytes, id);
        }
        record::read_reconciliation(id, row).map(Some)
    })
}

/// The key of a listing's entry that ends in a number.
fn listed(prefix: &[u8], number: OrderId) -> Vec<u8> {
    [prefix, number.as_u64().to_be_bytes().as_slice()].concat()
}

/// How often a unique index entry is looked up, when its row has given it up meanwhile: another
/// row has it then, or none.
const LOOKS_MAX: usize = 8;

/// The row that has a unique index entry. `read` reads it from its number.
fn holder<T>(
    bytes: &impl SortedBytes,
    entry: &[u8],
    table: &[u8],
    read: impl Fn(OrderId, &[u8]) -> Read<T>,
) -> Read<Option<T>> {
    for _ in 0..LOOKS_MAX {
        let Some(held) = bytes.get(entry)? else { return Ok(None) };
        let key = [table, &held].concat();
        let Some(row) = bytes.get(&key)? else { continue };
        if keys::entries_of(&key, &row)?.unique.contains(entry) {
            return read(order_at(&held, 0)?, &row).map(Some);
        }
    }
    Ok(None)
}

pub(in crate::store) fn current_reconciliation(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    date: BusinessDate,
) -> Read<Option<Reconciliation>> {
    let entry = keys::current_key(channel, date);
    holder(bytes, &entry, &[keys::RECONCILIATION], |id, row| {
        record::read_reconciliation(BatchId::of(id), row)
    })
}

pub(in crate::store) fn running_reconciliations(
    bytes: &impl SortedBytes,
) -> Read<Vec<Reconciliation>> {
    page(bytes, bounds(&[keys::RUNNING]), PAGE_MAX, |index, _| {
        let id = BatchId::of(order_at(index, 1)?);
        pointed(bytes, &keys::reconciliation_key(id), index, |row| {
            record::read_reconciliation(id, row)
        })
    })
}

/// The row that an index entry points to, if the entry is still the row's.
fn pointed<T>(
    bytes: &impl SortedBytes,
    row_key: &[u8],
    index: &[u8],
    read: impl FnOnce(&[u8]) -> Read<T>,
) -> Read<Option<T>> {
    let Some(row) = bytes.get(row_key)? else { return Ok(None) };
    let entries = keys::entries_of(row_key, &row)?;
    let is_its_own = entries.plain.contains(index) || entries.unique.contains(index);
    is_its_own.then(|| read(&row)).transpose()
}

pub(in crate::store) fn agreed_lines(
    bytes: &impl SortedBytes,
    id: BatchId,
) -> Read<Option<Vec<u8>>> {
    let prefix = keys::agreed_prefix(id);
    let (from, to) = bounds(&prefix);
    let mut lines = Vec::new();
    let (mut next, mut is_whole) = (0_u32, false);
    bytes.scan(&from, &to, &mut |key, row| {
        let part = record::read_agreed_part(row)?;
        if key != keys::agreed_key(id, next) {
            return Err(record::damaged("agreed_lines", "a part is missing"));
        }
        lines.extend_from_slice(part);
        is_whole = record::is_last_agreed_part(part);
        next += 1;
        Ok(if is_whole { Scan::Enough } else { Scan::On })
    })?;
    match (next, is_whole) {
        (0, _) => Ok(None),
        (_, true) => Ok(Some(lines)),
        (_, false) => Err(record::damaged("agreed_lines", "its last part is missing")),
    }
}

pub(in crate::store) fn found_differences(
    bytes: &impl SortedBytes,
    batch: BatchId,
    after: Option<u32>,
    limit: usize,
) -> Read<Vec<FoundRow>> {
    let prefix = keys::found_prefix(batch);
    let at = prefix.len();
    let last = after.map(|ordinal| keys::found_key(batch, ordinal));
    page(bytes, onward(&prefix, last), limit, |key, row| {
        let ordinal = number_at(key, at).map(u32::from_be_bytes)?;
        let found = record::read_found(batch, ordinal, row)?;
        let difference = difference(bytes, found.difference)?
            .ok_or_else(|| record::damaged("found_differences", "its difference is missing"))?;
        Ok(Some((ordinal, found.class, difference)))
    })
}

pub(in crate::store) fn difference(
    bytes: &impl SortedBytes,
    id: DifferenceId,
) -> Read<Option<Difference>> {
    let row = bytes.get(&keys::difference_key(id))?;
    row.map(|row| record::read_difference(id, &row)).transpose()
}

pub(in crate::store) fn difference_of_record(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    date: BusinessDate,
    number: ChannelOrderNo,
) -> Read<Option<Difference>> {
    difference_with(bytes, &keys::by_record_key(channel, date, number))
}

pub(in crate::store) fn difference_of_line(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    date: BusinessDate,
    digest: [u8; 16],
) -> Read<Option<Difference>> {
    difference_with(bytes, &keys::by_line_key(channel, date, digest))
}

fn difference_with(bytes: &impl SortedBytes, entry: &[u8]) -> Read<Option<Difference>> {
    holder(bytes, entry, &[keys::DIFFERENCE], |id, row| {
        record::read_difference(DifferenceId::of(id), row)
    })
}

pub(in crate::store) fn differences_of_records(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    date: BusinessDate,
    after: Option<ChannelOrderNo>,
    limit: usize,
) -> Read<Vec<Difference>> {
    let last = after.map(|number| keys::by_record_key(channel, date, number));
    let prefix = keys::by_record_prefix(channel, date);
    page(bytes, onward(&prefix, last), limit, |entry, _| difference_with(bytes, entry))
}

pub(in crate::store) fn differences_of_lines(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    date: BusinessDate,
    after: Option<[u8; 16]>,
    limit: usize,
) -> Read<Vec<Difference>> {
    let last = after.map(|digest| keys::by_line_key(channel, date, digest));
    let prefix = keys::by_line_prefix(channel, date);
    page(bytes, onward(&prefix, last), limit, |entry, _| difference_with(bytes, entry))
}

/// The difference that an index entry points to; its number stands at `at`.
fn pointed_difference(
    bytes: &impl SortedBytes,
    index: &[u8],
    at: usize,
) -> Read<Option<Difference>> {
    let id = DifferenceId::of(order_at(index, at)?);
    pointed(bytes, &keys::difference_key(id), index, |row| record::read_difference(id, row))
}

pub(in crate::store) fn open_differences(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    after: Option<DifferenceId>,
    limit: usize,
) -> Read<Vec<Difference>> {
    let prefix = keys::unsettled_prefix(channel);
    let last = after.map(|id| listed(&prefix, id.chain()));
    page(bytes, onward(&prefix, last), limit, |index, _| {
        pointed_difference(bytes, index, prefix.len())
    })
}

pub(in crate::store) fn due_differences(
    bytes: &impl SortedBytes,
    due: Due,
    limit: usize,
) -> Read<Vec<Difference>> {
    due_page(bytes, &[keys::CARRIED_DUE], due, limit, |index| pointed_difference(bytes, index, 9))
}

pub(in crate::store) fn settlement(
    bytes: &impl SortedBytes,
    id: SettlementId,
) -> Read<Option<ChannelSettlement>> {
    let row = bytes.get(&keys::settlement_key(id))?;
    row.map(|row| record::read_settlement(id, &row)).transpose()
}

pub(in crate::store) fn settlements(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    after: Option<SettlementId>,
    limit: usize,
) -> Read<Vec<ChannelSettlement>> {
    let prefix = keys::settlements_prefix(channel);
    let at = prefix.len();
    let last = after.map(|id| listed(&prefix, id.chain()));
    // A settlement keeps its channel, so an index entry is never out of date.
    page(bytes, onward(&prefix, last), limit, |index, _| {
        settlement(bytes, SettlementId::of(order_at(index, at)?))
    })
}

pub(in crate::store) fn settlement_by_receipt(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    bank_reference: &str,
) -> Read<Option<ChannelSettlement>> {
    let entry = keys::receipt_key(channel, bank_reference);
    holder(bytes, &entry, &[keys::SETTLEMENT], |id, row| {
        record::read_settlement(SettlementId::of(id), row)
    })
}

pub(in crate::store) fn settled_date(
    bytes: &impl SortedBytes,
    channel: &ChannelId,
    date: BusinessDate,
    currency: Currency,
) -> Read<Option<SettledDate>> {
    let row = bytes.get(&keys::settled_key(channel, date, currency))?;
    row.map(|row| record::read_settled(channel, date, currency, &row)).transpose()
}
