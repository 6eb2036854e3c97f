//! The stored form of a difference.

use serde::{Deserialize, Serialize};

use crate::domain::books::difference::{
    Difference, DifferenceEvent, DifferenceState, Gap, LineSide, RecordSide,
};
use crate::domain::ids::{BatchId, ChannelId, ChannelOrderNo, DifferenceId, OrderId};
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::StoreError;
use crate::store::record::codes::Code;
use crate::store::record::{Fields, decode, decode_head, encode, millis, text, wrong};

use super::ItemRecord;

const TABLE: &str = "differences";
const FIELDS: Fields = Fields { table: TABLE };

/// What guards and indexes a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct DifferenceHead {
    pub version: u32,
    pub state: DifferenceState,
    pub channel: ChannelId,
    pub due_at: Option<Timestamp>,
    pub line: Option<(BusinessDate, [u8; 16])>,
    pub record: Option<(BusinessDate, ChannelOrderNo)>,
}

#[derive(Serialize, Deserialize)]
struct HeadRecord<'a> {
    version: u32,
    state: u8,
    channel: &'a str,
    due_at: Option<u64>,
    line: Option<LineKeyRecord>,
    record: Option<RecordKeyRecord>,
}

#[derive(Serialize, Deserialize)]
struct LineKeyRecord {
    date: u32,
    digest: [u8; 16],
}

#[derive(Serialize, Deserialize)]
struct RecordKeyRecord {
    date: u32,
    order: u64,
    attempt: u8,
}

/// Begins with the fields of [`HeadRecord`].
#[derive(Serialize, Deserialize)]
struct DifferenceRecord<'a> {
    #[serde(borrow)]
    head: HeadRecord<'a>,
    class: u8,
    key: u8,
    /// What the head does not say of the line; there exactly if the head has one.
    line: Option<LineRecord<'a>>,
    /// What the head does not say of the record; there exactly if the head has one.
    record: Option<OwnRecord<'a>>,
    found_by: u64,
    changed_by: u64,
    opened_at: u64,
    held: Vec<GapRecord>,
    accounting_sequence: u16,
    remedy: Option<(u8, &'a str)>,
    history: Vec<(u64, &'a str)>,
}

#[derive(Serialize, Deserialize)]
struct LineRecord<'a> {
    line: u32,
    order_no: &'a str,
    reference: &'a str,
    item: Option<ItemRecord>,
    unreadable: Option<(&'a str, &'a str)>,
}

#[derive(Serialize, Deserialize)]
struct OwnRecord<'a> {
    #[serde(borrow)]
    reference: Option<&'a str>,
    item: ItemRecord,
}

#[derive(Serialize, Deserialize)]
struct GapRecord {
    currency: u8,
    principal_minor: i64,
    fee_minor: i64,
}

fn head_record(difference: &Difference) -> HeadRecord<'_> {
    HeadRecord {
        version: difference.version,
        state: difference.state.number(),
        channel: difference.channel.as_str(),
        due_at: difference.due_at.map(millis),
        line: difference
            .line
            .as_ref()
            .map(|line| LineKeyRecord { date: line.date.yyyymmdd(), digest: line.digest }),
        record: difference.record.as_ref().map(|record| RecordKeyRecord {
            date: record.date.yyyymmdd(),
            order: record.channel_order_no.order.as_u64(),
            attempt: record.channel_order_no.attempt,
        }),
    }
}

/// The stored form of a difference. Its id is its key.
pub(in crate::store) fn difference_bytes(difference: &Difference) -> Vec<u8> {
    encode(&DifferenceRecord {
        head: head_record(difference),
        class: difference.class.number(),
        key: difference.key.number(),
        line: difference.line.as_ref().map(|line| LineRecord {
            line: line.line,
            order_no: &line.order_no,
            reference: &line.reference,
            item: line.item.as_ref().map(ItemRecord::of),
            unreadable: line.unreadable.as_ref().map(|(why, text)| (why.as_str(), text.as_str())),
        }),
        record: difference.record.as_ref().map(|record| OwnRecord {
            reference: record.reference.as_deref(),
            item: ItemRecord::of(&record.item),
        }),
        found_by: difference.found_by.as_u64(),
        changed_by: difference.changed_by.as_u64(),
        opened_at: millis(difference.opened_at),
        held: difference
            .held
            .iter()
            .map(|gap| GapRecord {
                currency: gap.currency.number(),
                principal_minor: gap.principal_minor,
                fee_minor: gap.fee_minor,
            })
            .collect(),
        accounting_sequence: difference.accounting_sequence,
        remedy: difference.remedy.as_ref().map(|(remedy, why)| (remedy.number(), why.as_str())),
        history: difference.history.iter().map(|event| (millis(event.at), &*event.what)).collect(),
    })
}

fn read_head(head: &HeadRecord<'_>) -> Result<DifferenceHead, StoreError> {
    let line = |line: &LineKeyRecord| Ok::<_, StoreError>((FIELDS.date(line.date)?, line.digest));
    let record = |record: &RecordKeyRecord| {
        let order = OrderId::from_u64(record.order);
        let number = ChannelOrderNo { order, attempt: record.attempt };
        Ok::<_, StoreError>((FIELDS.date(record.date)?, number))
    };
    Ok(DifferenceHead {
        version: head.version,
        state: FIELDS.code("state", head.state)?,
        channel: ChannelId::from_stored(head.channel),
        due_at: FIELDS.time_option(head.due_at)?,
        line: head.line.as_ref().map(line).transpose()?,
        record: head.record.as_ref().map(record).transpose()?,
    })
}

pub(in crate::store) fn read_difference_head(bytes: &[u8]) -> Result<DifferenceHead, StoreError> {
    read_head(&decode_head(TABLE, bytes)?)
}

pub(in crate::store) fn read_difference(
    id: DifferenceId,
    bytes: &[u8],
) -> Result<Difference, StoreError> {
    let record: DifferenceRecord<'_> = decode(TABLE, bytes)?;
    let head = read_head(&record.head)?;
    let gap = |gap: &GapRecord| {
        let GapRecord { currency, principal_minor, fee_minor } = *gap;
        let currency = FIELDS.currency(currency)?;
        Ok::<_, StoreError>(Gap { currency, principal_minor, fee_minor })
    };
    let event = |(at, what): &(u64, &str)| {
        Ok::<_, StoreError>(DifferenceEvent { at: FIELDS.time(*at)?, what: (*what).to_owned() })
    };
    let remedy = |(remedy, why): (u8, &str)| {
        Ok::<_, StoreError>((FIELDS.code("remedy", remedy)?, why.to_owned()))
    };
    Ok(Difference {
        id,
        version: head.version,
        channel: head.channel,
        class: FIELDS.code("class", record.class)?,
        key: FIELDS.code("key", record.key)?,
        line: read_line(head.line, record.line.as_ref())?,
        record: read_own(head.record, record.record.as_ref())?,
        state: head.state,
        found_by: BatchId::from_u64(record.found_by),
        changed_by: BatchId::from_u64(record.changed_by),
        opened_at: FIELDS.time(record.opened_at)?,
        due_at: head.due_at,
        held: record.held.iter().map(gap).collect::<Result<_, _>>()?,
        accounting_sequence: record.accounting_sequence,
        remedy: record.remedy.map(remedy).transpose()?,
        history: record.history.iter().map(event).collect::<Result<_, _>>()?,
    })
}

fn read_line(
    key: Option<(BusinessDate, [u8; 16])>,
    record: Option<&LineRecord<'_>>,
) -> Result<Option<LineSide>, StoreError> {
    let ((date, digest), record) = match (key, record) {
        (Some(key), Some(record)) => (key, record),
        (None, None) => return Ok(None),
        (Some(_), None) | (None, Some(_)) => return Err(wrong(TABLE, "line")),
    };
    Ok(Some(LineSide {
        date,
        digest,
        line: record.line,
        order_no: record.order_no.to_owned(),
        reference: record.reference.to_owned(),
        item: record.item.as_ref().map(|item| item.read(FIELDS)).transpose()?,
        unreadable: record.unreadable.map(|(why, text)| (why.to_owned(), text.to_owned())),
    }))
}

fn read_own(
    key: Option<(BusinessDate, ChannelOrderNo)>,
    record: Option<&OwnRecord<'_>>,
) -> Result<Option<RecordSide>, StoreError> {
    let ((date, channel_order_no), record) = match (key, record) {
        (Some(key), Some(record)) => (key, record),
        (None, None) => return Ok(None),
        (Some(_), None) | (None, Some(_)) => return Err(wrong(TABLE, "record")),
    };
    Ok(Some(RecordSide {
        date,
        channel_order_no,
        reference: text(record.reference),
        item: record.item.read(FIELDS)?,
    }))
}
