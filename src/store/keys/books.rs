//! The keys of what the books keep beside orders: closes, statements, reconciliations, differences
//! and settlements.
//!
//! All of their index entries follow from the row ([`entries_of`]). Some can be one row's only:
//! the current reconciliation of a date, a difference's record and its line, a bank receipt. They
//! hold the identity of the row that has them.

use std::collections::BTreeSet;

use crate::domain::books::difference::DifferenceState;
use crate::domain::books::reconciliation::BatchState;
use crate::domain::ids::{BatchId, ChannelId, ChannelOrderNo, DifferenceId, SettlementId};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::store::StoreError;
use crate::store::record;

use super::{Key, number_at};

const CLOSE: u8 = b'D';
/// The last closed date of a channel.
const CLOSED_THROUGH: u8 = b'd';
const STATEMENT: u8 = b'V';
pub(in crate::store) const RECONCILIATION: u8 = b'B';
/// Reconciliations by channel.
const OF_CHANNEL: u8 = b'b';
/// Reconciliations by channel and date.
const OF_DATE: u8 = b'k';
/// The current reconciliation of a channel and date.
const CURRENT: u8 = b'c';
pub(in crate::store) const RUNNING: u8 = b'g';
const FOUND: u8 = b'F';
/// The lines that agreed, in parts. They stand at the end of all keys, so that no page of the tree
/// that a payment writes has such large rows beside its own.
const AGREED: u8 = b'z';
pub(in crate::store) const DIFFERENCE: u8 = b'E';
/// Differences by our record.
const BY_RECORD: u8 = b'e';
/// Differences by the statement's line.
const BY_LINE: u8 = b'i';
/// Differences that are carried or suspended, by channel.
const UNSETTLED: u8 = b'j';
/// Carried differences by the end of their time.
pub(in crate::store) const CARRIED_DUE: u8 = b'w';
pub(in crate::store) const SETTLEMENT: u8 = b'M';
/// Settlements by channel.
const SETTLEMENT_OF: u8 = b'm';
/// Settlements by the bank's number of a receipt.
const RECEIPT: u8 = b'q';
pub(in crate::store) const SETTLED: u8 = b'Z';

impl Key {
    fn channel(self, channel: &str) -> Self {
        self.text(channel)
    }

    fn date(self, date: BusinessDate) -> Self {
        self.number(date.yyyymmdd().to_be_bytes())
    }
}

fn of_date(table: u8, channel: &str, date: BusinessDate) -> Key {
    Key::of(table).channel(channel).date(date)
}

pub(in crate::store) fn close_key(channel: &ChannelId, date: BusinessDate) -> Vec<u8> {
    of_date(CLOSE, channel.as_str(), date).0
}

pub(in crate::store) fn closed_through_key(channel: &ChannelId) -> Vec<u8> {
    Key::of(CLOSED_THROUGH).channel(channel.as_str()).0
}

/// What the keys of a date's statement revisions begin with.
pub(in crate::store) fn statement_prefix(channel: &ChannelId, date: BusinessDate) -> Vec<u8> {
    of_date(STATEMENT, channel.as_str(), date).0
}

pub(in crate::store) fn statement_key(
    channel: &ChannelId,
    date: BusinessDate,
    revision: u16,
) -> Vec<u8> {
    Key(statement_prefix(channel, date)).number(revision.to_be_bytes()).0
}

pub(in crate::store) fn reconciliation_key(id: BatchId) -> Vec<u8> {
    Key::of(RECONCILIATION).order(id.chain()).0
}

/// What the index entries of a channel's reconciliations begin with, of a date or of all.
pub(in crate::store) fn reconciliations_prefix(
    channel: &ChannelId,
    date: Option<BusinessDate>,
) -> Vec<u8> {
    match date {
        Some(date) => of_date(OF_DATE, channel.as_str(), date).0,
        None => Key::of(OF_CHANNEL).channel(channel.as_str()).0,
    }
}

pub(in crate::store) fn current_key(channel: &ChannelId, date: BusinessDate) -> Vec<u8> {
    of_date(CURRENT, channel.as_str(), date).0
}

/// What the keys of the parts of a batch's agreed lines begin with.
pub(in crate::store) fn agreed_prefix(batch: BatchId) -> Vec<u8> {
    Key::of(AGREED).order(batch.chain()).0
}

pub(in crate::store) fn agreed_key(batch: BatchId, part: u32) -> Vec<u8> {
    Key(agreed_prefix(batch)).number(part.to_be_bytes()).0
}

/// What the keys of a batch's listing begin with.
pub(in crate::store) fn found_prefix(batch: BatchId) -> Vec<u8> {
    Key::of(FOUND).order(batch.chain()).0
}

pub(in crate::store) fn found_key(batch: BatchId, ordinal: u32) -> Vec<u8> {
    Key(found_prefix(batch)).number(ordinal.to_be_bytes()).0
}

pub(in crate::store) fn difference_key(id: DifferenceId) -> Vec<u8> {
    Key::of(DIFFERENCE).order(id.chain()).0
}

/// What the index entries of a date's records begin with.
pub(in crate::store) fn by_record_prefix(channel: &ChannelId, date: BusinessDate) -> Vec<u8> {
    of_date(BY_RECORD, channel.as_str(), date).0
}

pub(in crate::store) fn by_record_key(
    channel: &ChannelId,
    date: BusinessDate,
    number: ChannelOrderNo,
) -> Vec<u8> {
    Key(by_record_prefix(channel, date)).order(number.order).number([number.attempt]).0
}

/// What the index entries of a date's lines begin with.
pub(in crate::store) fn by_line_prefix(channel: &ChannelId, date: BusinessDate) -> Vec<u8> {
    of_date(BY_LINE, channel.as_str(), date).0
}

pub(in crate::store) fn by_line_key(
    channel: &ChannelId,
    date: BusinessDate,
    digest: [u8; 16],
) -> Vec<u8> {
    Key(by_line_prefix(channel, date)).number(digest).0
}

/// What the index entries of a channel's open differences begin with.
pub(in crate::store) fn unsettled_prefix(channel: &ChannelId) -> Vec<u8> {
    Key::of(UNSETTLED).channel(channel.as_str()).0
}

pub(in crate::store) fn settlement_key(id: SettlementId) -> Vec<u8> {
    Key::of(SETTLEMENT).order(id.chain()).0
}

/// What the index entries of a channel's settlements begin with.
pub(in crate::store) fn settlements_prefix(channel: &ChannelId) -> Vec<u8> {
    Key::of(SETTLEMENT_OF).channel(channel.as_str()).0
}

pub(in crate::store) fn receipt_key(channel: &ChannelId, bank_reference: &str) -> Vec<u8> {
    Key::of(RECEIPT).channel(channel.as_str()).text(bank_reference).0
}

pub(in crate::store) fn settled_key(
    channel: &ChannelId,
    date: BusinessDate,
    currency: Currency,
) -> Vec<u8> {
    of_date(SETTLED, channel.as_str(), date).number([record::currency_code(currency)]).0
}

/// What a table keeps, for whoever reads of it in an error.
pub(in crate::store) fn table_name(table: u8) -> &'static str {
    match table {
        CLOSE | CLOSED_THROUGH => "closed days",
        STATEMENT => "statements",
        RECONCILIATION => "reconciliations",
        FOUND | AGREED => "findings of reconciliations",
        DIFFERENCE => "differences",
        SETTLEMENT | SETTLED => "settlements",
        _ => "index entries",
    }
}

/// The index entries that a row has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Entries {
    /// Each ends in the row's identity and holds nothing.
    pub plain: BTreeSet<Vec<u8>>,
    /// Each can be one row's only and holds its identity.
    pub unique: BTreeSet<Vec<u8>>,
}

/// The index entries of a row, which follow from it. `key` is the row's own.
pub(in crate::store) fn entries_of(key: &[u8], row: &[u8]) -> Result<Entries, StoreError> {
    let (&table, identity) = key.split_first().expect("a key begins with its table");
    let mut entries = Entries::default();
    let Entries { plain, unique } = &mut entries;
    let named = |mut prefix: Vec<u8>| {
        prefix.extend_from_slice(identity);
        prefix
    };
    match table {
        RECONCILIATION => {
            let head = record::read_reconciliation_head(row)?;
            plain.insert(named(reconciliations_prefix(&head.channel, None)));
            plain.insert(named(reconciliations_prefix(&head.channel, Some(head.date))));
            match head.state {
                BatchState::Running => drop(plain.insert(named(vec![RUNNING]))),
                BatchState::Current => {
                    unique.insert(current_key(&head.channel, head.date));
                }
                BatchState::Superseded | BatchState::Abandoned => {}
            }
        }
        DIFFERENCE => {
            let head = record::read_difference_head(row)?;
            if head.state.is_open() {
                plain.insert(named(unsettled_prefix(&head.channel)));
            }
            if let (DifferenceState::Carried, Some(due_at)) = (head.state, head.due_at) {
                plain.insert(named(Key::of(CARRIED_DUE).time(due_at).0));
            }
            let record = head.record;
            unique.extend(record.map(|(date, no)| by_record_key(&head.channel, date, no)));
            let line = head.line;
            unique.extend(line.map(|(date, digest)| by_line_key(&head.channel, date, digest)));
        }
        SETTLEMENT => {
            let head = record::read_settlement_head(row)?;
            plain.insert(named(settlements_prefix(&head.channel)));
            let references = head.bank_references.into_iter();
            unique.extend(references.map(|reference| receipt_key(&head.channel, reference)));
        }
        _ => {}
    }
    Ok(entries)
}

/// The date that a [`closed_through_key`] holds.
pub(in crate::store) fn date_in(bytes: &[u8]) -> Result<BusinessDate, StoreError> {
    let number = number_at(bytes, 0).map(u32::from_be_bytes)?;
    BusinessDate::from_yyyymmdd(number)
        .ok_or_else(|| record::damaged("closes", "the last closed date is no date"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_dates_and_texts_sort_as_their_values_do() {
        let channel = ChannelId::from_stored;
        let date = |number| BusinessDate::from_yyyymmdd(number).expect("a date");
        let (first, second) = (date(20_261_231), date(20_270_101));
        assert!(close_key(&channel("a"), first) < close_key(&channel("a"), second));
        assert!(close_key(&channel("a"), second) < close_key(&channel("ab"), first));
        let own = statement_prefix(&channel("a"), first);
        assert!(
            statement_key(&channel("a"), first, 256) > statement_key(&channel("a"), first, 255)
        );
        assert!(!statement_key(&channel("ab"), first, 1).starts_with(&own));
        assert_ne!(receipt_key(&channel("a"), "b"), receipt_key(&channel("ab"), ""));
    }

    #[test]
    fn a_last_closed_date_that_is_none_is_damage() {
        for bytes in [&[][..], &[0, 0, 0, 1], &[255; 4]] {
            assert!(matches!(date_in(bytes), Err(StoreError::Damaged { .. })), "{bytes:?}");
        }
    }
}
