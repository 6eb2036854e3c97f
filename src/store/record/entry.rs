//! The stored form of an entry of the temp reversal table.

use serde::{Deserialize, Serialize};

use crate::domain::flow::reversal::{HistoryLine, ReversalEntry};
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::time::Timestamp;
use crate::store::StoreError;

use super::codes::Code;
use super::{Fields, decode, decode_head, encode, millis};

const TABLE: &str = "reversals";
const FIELDS: Fields = Fields { table: TABLE };

/// What guards and indexes an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHead<'a> {
    pub version: u32,
    pub due_at: Option<Timestamp>,
    pub channel: &'a str,
}

#[derive(Serialize, Deserialize)]
struct HeadRecord<'a> {
    version: u32,
    due_at: Option<u64>,
    channel: &'a str,
}

/// Begins with the fields of [`HeadRecord`].
#[derive(Serialize, Deserialize)]
struct EntryRecord<'a> {
    #[serde(borrow)]
    head: HeadRecord<'a>,
    attempt: u8,
    amount_minor: i64,
    currency: u8,
    phase: u8,
    step: u16,
    opened_at: u64,
    pending: bool,
    reversal_left_at: Option<u64>,
    reversal_ends_at: Option<u64>,
    reversals_unanswered: u32,
    reversal_refused: bool,
    reversals_exhausted: bool,
    inquiries: u32,
    reversals: u32,
    history: Vec<(u64, &'a str)>,
}

/// The stored form of an entry. Its order's id is its key.
pub(crate) fn entry_bytes(entry: &ReversalEntry) -> Vec<u8> {
    encode(&EntryRecord {
        head: HeadRecord {
            version: entry.version,
            due_at: entry.due_at.map(millis),
            channel: entry.channel.as_str(),
        },
        attempt: entry.attempt,
        amount_minor: entry.amount.get(),
        currency: entry.currency.number(),
        phase: entry.phase.number(),
        step: entry.step,
        opened_at: millis(entry.opened_at),
        pending: entry.pending,
        reversal_left_at: entry.reversal_left_at.map(millis),
        reversal_ends_at: entry.reversal_ends_at.map(millis),
        reversals_unanswered: entry.reversals_unanswered,
        reversal_refused: entry.reversal_refused,
        reversals_exhausted: entry.reversals_exhausted,
        inquiries: entry.inquiries,
        reversals: entry.reversals,
        history: entry.history.iter().map(|line| (millis(line.at), &*line.what)).collect(),
    })
}

pub(crate) fn read_entry_head(bytes: &[u8]) -> Result<EntryHead<'_>, StoreError> {
    let head: HeadRecord<'_> = decode_head(TABLE, bytes)?;
    let due_at = FIELDS.time_option(head.due_at)?;
    Ok(EntryHead { version: head.version, due_at, channel: head.channel })
}

pub(crate) fn read_entry(order: OrderId, bytes: &[u8]) -> Result<ReversalEntry, StoreError> {
    let record: EntryRecord<'_> = decode(TABLE, bytes)?;
    let line = |(at, what): &(u64, &str)| {
        Ok::<_, StoreError>(HistoryLine { at: FIELDS.time(*at)?, what: (*what).to_owned() })
    };
    Ok(ReversalEntry {
        order,
        attempt: record.attempt,
        version: record.head.version,
        channel: ChannelId::from_stored(record.head.channel),
        amount: FIELDS.amount(record.amount_minor)?,
        currency: FIELDS.currency(record.currency)?,
        phase: FIELDS.code("phase", record.phase)?,
        step: record.step,
        due_at: FIELDS.time_option(record.head.due_at)?,
        opened_at: FIELDS.time(record.opened_at)?,
        pending: record.pending,
        reversal_left_at: FIELDS.time_option(record.reversal_left_at)?,
        reversal_ends_at: FIELDS.time_option(record.reversal_ends_at)?,
        reversals_unanswered: record.reversals_unanswered,
        reversal_refused: record.reversal_refused,
        reversals_exhausted: record.reversals_exhausted,
        inquiries: record.inquiries,
        reversals: record.reversals,
        history: record.history.iter().map(line).collect::<Result<_, _>>()?,
    })
}
