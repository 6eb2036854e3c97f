//! The stored forms of what is delivered until acknowledged: accounting requests and core notices.

use serde::{Deserialize, Serialize};

use crate::domain::batch::CoreNotice;
use crate::domain::books::accounting::{
    AccountingRequest, Delivery, DeliveryStatus, Entry, RequestId, SourceDocument,
};
use crate::domain::ids::{
    ChannelId, ChannelOrderNo, DifferenceId, MerchantId, OrderId, SettlementId,
};
use crate::domain::time::Timestamp;
use crate::store::StoreError;

use super::codes::Code;
use super::{
    Fields, decode, decode_head, decode_longer, decode_longer_head, encode, encode_longer, millis,
    text, wrong,
};

const ACCOUNTING: Fields = Fields { table: "accounting_requests" };
const NOTICES: Fields = Fields { table: "notices" };

/// What guards and indexes a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeliveryHead {
    pub version: u32,
    pub status: DeliveryStatus,
    pub due_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct HeadRecord {
    version: u32,
    status: u8,
    due_at: u64,
}

/// Begins with the fields of [`HeadRecord`].
#[derive(Serialize, Deserialize)]
struct DeliveryRecord<'a> {
    head: HeadRecord,
    tries: u32,
    acknowledged_at: Option<u64>,
    last_error: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct AccountingRecord<'a> {
    #[serde(borrow)]
    delivery: DeliveryRecord<'a>,
    /// `None` where it is the chain's own first order, which the key names.
    order: Option<u64>,
    event: u8,
    voucher: u8,
    channel: &'a str,
    /// `None` where it is the chain's own first order.
    source_order: Option<u64>,
    source_attempt: u8,
    channel_reference: Option<&'a str>,
    merchant_id: &'a str,
    currency: u8,
    entries: Vec<EntryRecord<'a>>,
    business_date: u32,
    created_at: u64,
}

#[derive(Serialize, Deserialize)]
struct EntryRecord<'a> {
    side: u8,
    account: &'a str,
    amount_minor: i64,
}

#[derive(Serialize, Deserialize)]
struct NoticeRecord<'a> {
    #[serde(borrow)]
    delivery: DeliveryRecord<'a>,
    url: &'a str,
    created_at: u64,
}

impl<'a> DeliveryRecord<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        Self {
            head: HeadRecord {
                version: delivery.version,
                status: delivery.status.number(),
                due_at: millis(delivery.due_at),
            },
            tries: delivery.tries,
            acknowledged_at: delivery.acknowledged_at.map(millis),
            last_error: delivery.last_error.as_deref(),
        }
    }

    fn read(&self, fields: Fields) -> Result<Delivery, StoreError> {
        Ok(Delivery {
            status: fields.code("status", self.head.status)?,
            tries: self.tries,
            due_at: fields.time(self.head.due_at)?,
            acknowledged_at: fields.time_option(self.acknowledged_at)?,
            last_error: text(self.last_error),
            version: self.head.version,
        })
    }
}

fn head_of(fields: Fields, head: HeadRecord) -> Result<DeliveryHead, StoreError> {
    Ok(DeliveryHead {
        version: head.version,
        status: fields.code("status", head.status)?,
        due_at: fields.time(head.due_at)?,
    })
}

/// The source document of a request that is about no order; the first form's fields for one are
/// then blank.
#[derive(Serialize, Deserialize)]
struct DocumentRecord<'a> {
    kind: u8,
    number: u64,
    /// The merchant of a difference, or the bank's reference of a settlement.
    #[serde(borrow)]
    text: Option<&'a str>,
}

const DIFFERENCE: u8 = 1;
const SETTLEMENT: u8 = 2;

/// The stored form of an accounting request. Its id is its key.
pub(crate) fn accounting_bytes(request: &AccountingRequest) -> Vec<u8> {
    let other = |order: OrderId| (order != request.id.chain).then(|| order.as_u64());
    let (of, document) = match &request.source {
        SourceDocument::Order { order, channel_order_no, channel_reference, merchant_id } => {
            let number = *channel_order_no;
            let reference = channel_reference.as_deref();
            (Some((*order, number, reference, merchant_id.as_str())), None)
        }
        SourceDocument::Difference { difference, merchant_id } => {
            let text = merchant_id.as_ref().map(MerchantId::as_str);
            let number = difference.as_u64();
            (None, Some(DocumentRecord { kind: DIFFERENCE, number, text }))
        }
        SourceDocument::Settlement { settlement, bank_reference } => {
            let (number, text) = (settlement.as_u64(), Some(bank_reference.as_str()));
            (None, Some(DocumentRecord { kind: SETTLEMENT, number, text }))
        }
    };
    let record = AccountingRecord {
        delivery: DeliveryRecord::of(&request.delivery),
        order: of.and_then(|(order, ..)| other(order)),
        event: request.event.number(),
        voucher: request.voucher.number(),
        channel: request.channel.as_str(),
        source_order: of.and_then(|(_, number, ..)| other(number.order)),
        source_attempt: of.map_or(0, |(_, number, ..)| number.attempt),
        channel_reference: of.and_then(|(_, _, reference, _)| reference),
        merchant_id: of.map_or("", |(.., merchant)| merchant),
        currency: request.currency.number(),
        entries: request
            .entries
            .iter()
            .map(|entry| EntryRecord {
                side: entry.side.number(),
                account: &entry.account,
                amount_minor: entry.amount_minor,
            })
            .collect(),
        business_date: request.business_date.yyyymmdd(),
        created_at: millis(request.created_at),
    };
    match document {
        None => encode(&record),
        document @ Some(_) => encode_longer(&record, &document),
    }
}

pub(crate) fn read_accounting_head(bytes: &[u8]) -> Result<DeliveryHead, StoreError> {
    head_of(ACCOUNTING, decode_longer_head(ACCOUNTING.table, bytes)?)
}

pub(crate) fn read_accounting(
    id: RequestId,
    bytes: &[u8],
) -> Result<AccountingRequest, StoreError> {
    let (record, document): (AccountingRecord<'_>, Option<DocumentRecord<'_>>) =
        decode_longer(ACCOUNTING.table, bytes)?;
    let order = |stored: Option<u64>| stored.map_or(id.chain, OrderId::from_u64);
    let entry = |stored: &EntryRecord<'_>| {
        Ok::<_, StoreError>(Entry {
            side: ACCOUNTING.code("side", stored.side)?,
            account: stored.account.to_owned(),
            amount_minor: ACCOUNTING.signed(stored.amount_minor)?,
        })
    };
    let source = match document {
        None => SourceDocument::Order {
            order: order(record.order),
            channel_order_no: ChannelOrderNo {
                order: order(record.source_order),
                attempt: record.source_attempt,
            },
            channel_reference: text(record.channel_reference),
            merchant_id: MerchantId::from_stored(record.merchant_id),
        },
        Some(DocumentRecord { kind: DIFFERENCE, number, text }) => SourceDocument::Difference {
            difference: DifferenceId::from_u64(number),
            merchant_id: text.map(MerchantId::from_stored),
        },
        Some(DocumentRecord { kind: SETTLEMENT, number, text: Some(reference) }) => {
            let bank_reference = reference.to_owned();
            let settlement = SettlementId::from_u64(number);
            SourceDocument::Settlement { settlement, bank_reference }
        }
        Some(_) => return Err(wrong(ACCOUNTING.table, "source")),
    };
    Ok(AccountingRequest {
        id,
        event: ACCOUNTING.code("event", record.event)?,
        voucher: ACCOUNTING.code("voucher", record.voucher)?,
        channel: ChannelId::from_stored(record.channel),
        source,
        currency: ACCOUNTING.currency(record.currency)?,
        entries: record.entries.iter().map(entry).collect::<Result<_, _>>()?,
        business_date: ACCOUNTING.date(record.business_date)?,
        created_at: ACCOUNTING.time(record.created_at)?,
        delivery: record.delivery.read(ACCOUNTING)?,
    })
}

/// The stored form of a notice to the core. Its order's id is its key.
pub(crate) fn notice_bytes(notice: &CoreNotice) -> Vec<u8> {
    encode(&NoticeRecord {
        delivery: DeliveryRecord::of(&notice.delivery),
        url: &notice.url,
        created_at: millis(notice.created_at),
    })
}

pub(crate) fn read_notice_head(bytes: &[u8]) -> Result<DeliveryHead, StoreError> {
    head_of(NOTICES, decode_head(NOTICES.table, bytes)?)
}

pub(crate) fn read_notice(order: OrderId, bytes: &[u8]) -> Result<CoreNotice, StoreError> {
    let record: NoticeRecord<'_> = decode(NOTICES.table, bytes)?;
    Ok(CoreNotice {
        order,
        url: record.url.to_owned(),
        created_at: NOTICES.time(record.created_at)?,
        delivery: record.delivery.read(NOTICES)?,
    })
}
