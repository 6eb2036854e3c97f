//! The keys of the stores that keep sorted bytes: a letter for the table, then the row's identity.
//!
//! Numbers are big-endian and texts end in a zero byte, so that keys sort as their values do and no
//! key is the beginning of another one. The layout is kept small on purpose, since every key costs
//! a payment time:
//! - an order lies under [`OPEN`] until it is final and under [`FINAL`] from then on, so that no
//!   marker says which orders recovery must look at. It moves once and never back (I-5);
//! - the caller's order id, and what a refund, void or capture refers to, are written with an
//!   order's first version only;
//! - the three tables that are worked by time have an index entry exactly while a row is due, and
//!   what it must be follows from the row ([`due_key`]).
//!
//! What the books keep beside orders has its keys in [`books`].

pub(super) mod books;

use crate::domain::books::accounting::{DeliveryStatus, RequestId};
use crate::domain::ids::{CallerId, CallerOrderId, ChannelId, ChannelOrderNo, OrderId};
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::ContradictionPlace;
use crate::store::StoreError;
use crate::store::record;

/// Orders that are not final.
pub(super) const OPEN: u8 = b'o';
/// Orders that are final.
pub(super) const FINAL: u8 = b'O';
/// Order ids by caller and the caller's order id.
const CALLER: u8 = b'C';
/// Refunds, voids and captures by the order that they refer to; the key says all.
const FOLLOW_UP: u8 = b'f';
pub(super) const TRANSACTION: u8 = b'T';
const CLEARING: u8 = b'L';
pub(super) const REVERSAL: u8 = b'R';
const REVERSAL_DUE: u8 = b'r';
pub(super) const ACCOUNTING: u8 = b'A';
pub(super) const ACCOUNTING_DUE: u8 = b'a';
/// Accounting requests that were refused and wait for an operator.
pub(super) const ACCOUNTING_PARKED: u8 = b'p';
pub(super) const NOTICE: u8 = b'N';
pub(super) const NOTICE_DUE: u8 = b'n';
/// Notices that were given up and wait for an operator.
pub(super) const NOTICE_PARKED: u8 = b'u';
pub(super) const CONTRADICTION: u8 = b'X';
pub(super) const AUDIT: u8 = b'U';
const LEASE: u8 = b'S';
/// The form of the whole layout.
pub(super) const LAYOUT: &[u8] = b"!layout";
/// What [`LAYOUT`] holds.
pub(super) const LAYOUT_FORM: u8 = 1;

/// A key in the making.
struct Key(Vec<u8>);

impl Key {
    fn of(table: u8) -> Self {
        let mut bytes = Vec::with_capacity(32);
        bytes.push(table);
        Self(bytes)
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    fn number<const N: usize>(mut self, big_endian: [u8; N]) -> Self {
        self.0.extend_from_slice(&big_endian);
        self
    }

    fn order(self, order: OrderId) -> Self {
        self.number(order.as_u64().to_be_bytes())
    }

    fn time(self, time: Timestamp) -> Self {
        let millis = u64::try_from(time.as_millis()).expect("a timestamp lies in 1970 or later");
        self.number(millis.to_be_bytes())
    }
}

/// The key of a row that is known by its order alone.
pub(super) fn order_key(table: u8, order: OrderId) -> Vec<u8> {
    Key::of(table).order(order).0
}

pub(super) fn caller_key(caller: &CallerId, caller_order_id: &CallerOrderId) -> Vec<u8> {
    Key::of(CALLER).text(caller.as_str()).text(caller_order_id.as_str()).0
}

/// What the keys of an order's follow-ups begin with.
pub(super) fn follow_up_prefix(original: OrderId) -> Vec<u8> {
    order_key(FOLLOW_UP, original)
}

pub(super) fn follow_up_key(original: OrderId, follow_up: OrderId) -> Vec<u8> {
    Key(follow_up_prefix(original)).order(follow_up).0
}

pub(super) fn transaction_key(order: OrderId) -> Vec<u8> {
    order_key(TRANSACTION, order)
}

/// What the keys of a channel's clearing records of one date begin with.
pub(super) fn clearing_prefix(channel: &ChannelId, date: BusinessDate) -> Vec<u8> {
    Key::of(CLEARING).text(channel.as_str()).number(date.yyyymmdd().to_be_bytes()).0
}

pub(super) fn clearing_key(
    channel: &ChannelId,
    date: BusinessDate,
    number: ChannelOrderNo,
) -> Vec<u8> {
    Key(clearing_prefix(channel, date)).order(number.order).number([number.attempt]).0
}

pub(super) fn accounting_key(id: RequestId) -> Vec<u8> {
    Key::of(ACCOUNTING).order(id.chain).number(id.sequence.to_be_bytes()).0
}

pub(super) fn contradiction_prefix(order: OrderId) -> Vec<u8> {
    order_key(CONTRADICTION, order)
}

pub(super) fn contradiction_key(place: ContradictionPlace) -> Vec<u8> {
    let (order, attempt, claim, ordinal) = place;
    Key(contradiction_prefix(order)).number([attempt, record::claim_code(claim), ordinal]).0
}

pub(super) fn audit_key(place: u64) -> Vec<u8> {
    Key::of(AUDIT).number(place.to_be_bytes()).0
}

pub(super) fn lease_key(yymmdd: u32, node: u16) -> Vec<u8> {
    Key::of(LEASE).number(yymmdd.to_be_bytes()).number(node.to_be_bytes()).0
}

/// What the keys of a channel's due entries begin with.
pub(super) fn reversal_due_prefix(channel: &str) -> Vec<u8> {
    Key::of(REVERSAL_DUE).text(channel).0
}

/// The index entry that a row has while it waits for its time or for a person; `None` while it has
/// none. `key` is the row's own key: its identity is repeated at the index entry's end.
pub(super) fn due_key(key: &[u8], row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let (&table, identity) = key.split_first().expect("a key begins with its table");
    let index = match table {
        REVERSAL => {
            let head = record::read_entry_head(row)?;
            head.due_at.map(|due_at| Key(reversal_due_prefix(head.channel)).time(due_at))
        }
        ACCOUNTING => {
            let head = record::read_accounting_head(row)?;
            match head.status {
                DeliveryStatus::Owed => Some(Key::of(ACCOUNTING_DUE).time(head.due_at)),
                DeliveryStatus::Parked => Some(Key::of(ACCOUNTING_PARKED)),
                DeliveryStatus::Acknowledged | DeliveryStatus::Withdrawn => None,
            }
        }
        NOTICE => {
            let head = record::read_notice_head(row)?;
            match head.status {
                DeliveryStatus::Owed => Some(Key::of(NOTICE_DUE).time(head.due_at)),
                DeliveryStatus::Parked => Some(Key::of(NOTICE_PARKED)),
                DeliveryStatus::Acknowledged | DeliveryStatus::Withdrawn => None,
            }
        }
        _ => None,
    };
    Ok(index.map(|mut index| {
        index.0.extend_from_slice(identity);
        index.0
    }))
}

/// The version of a guarded row.
pub(super) fn version_of(key: &[u8], row: &[u8]) -> Result<u32, StoreError> {
    match key.first() {
        Some(&REVERSAL) => record::read_entry_head(row).map(|head| head.version),
        Some(&ACCOUNTING) => record::read_accounting_head(row).map(|head| head.version),
        Some(&NOTICE) => record::read_notice_head(row).map(|head| head.version),
        Some(&books::RECONCILIATION) => {
            record::read_reconciliation_head(row).map(|head| head.version)
        }
        Some(&books::DIFFERENCE) => record::read_difference_head(row).map(|head| head.version),
        Some(&books::SETTLEMENT) => record::read_settlement_head(row).map(|head| head.version),
        Some(&books::SETTLED) => record::read_settled_version(row),
        _ => record::read_order_version(row),
    }
}

/// The bounds of all keys that begin with `prefix`: from it, to the first key that does not.
pub(super) fn bounds(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut end = prefix.to_vec();
    while end.pop_if(|last| *last == u8::MAX).is_some() {}
    let last = end.last_mut().expect("a prefix begins with its table's letter");
    *last += 1;
    (prefix.to_vec(), end)
}

/// What a table keeps, for whoever reads of it in an error.
pub(super) fn table_name(table: u8) -> &'static str {
    match table {
        OPEN => "open orders",
        FINAL => "final orders",
        CALLER => "callers' order ids",
        FOLLOW_UP => "follow-ups",
        TRANSACTION => "transactions",
        CLEARING => "clearing records",
        REVERSAL => "reversal entries",
        ACCOUNTING => "accounting requests",
        NOTICE => "notices",
        CONTRADICTION => "contradictions",
        AUDIT => "lines of the audit trail",
        LEASE => "leases of numbers",
        REVERSAL_DUE | ACCOUNTING_DUE | ACCOUNTING_PARKED | NOTICE_DUE | NOTICE_PARKED => {
            "entries of what is due"
        }
        _ => books::table_name(table),
    }
}

/// The key that follows `key` at once: where a listing goes on after it.
pub(super) fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// The order id that stands at `at` in a key of ours.
pub(super) fn order_at(key: &[u8], at: usize) -> Result<OrderId, StoreError> {
    number_at::<8>(key, at).map(u64::from_be_bytes).map(OrderId::from_u64)
}

/// The bytes of a number that stands at `at` in a key of ours.
pub(super) fn number_at<const N: usize>(key: &[u8], at: usize) -> Result<[u8; N], StoreError> {
    key.get(at..at + N)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| record::damaged("keys", "a key is shorter than its table's"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_values_do() {
        let id = |sequence| OrderId::compose(261_122, 1, sequence);
        assert!(order_key(OPEN, id(255)) < order_key(OPEN, id(256)));
        let (short, long) = (CallerId::from_stored("a"), CallerId::from_stored("a1"));
        let own = CallerOrderId::from_stored("1");
        let other = CallerOrderId::from_stored("11");
        assert_ne!(caller_key(&short, &other), caller_key(&long, &own));
        assert!(caller_key(&short, &own) < caller_key(&short, &other));
    }

    #[test]
    fn bounds_hold_exactly_what_begins_with_the_prefix() {
        let (from, to) = bounds(b"ab");
        assert_eq!((from.as_slice(), to.as_slice()), (&b"ab"[..], &b"ac"[..]));
        assert_eq!(bounds(b"a\xff\xff").1, b"b");
        assert!(after(b"a".to_vec()) > b"a".to_vec());
    }

    #[test]
    fn a_key_that_is_too_short_is_damage() {
        assert!(matches!(order_at(b"O123", 1), Err(StoreError::Damaged { .. })));
    }
}
