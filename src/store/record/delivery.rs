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
use super::{Fields, decode, decode_head, encode, millis, text};

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
    unanswered: bool,
}

#[derive(Serialize, Deserialize)]
struct AccountingRecord<'a> {
    #[serde(borrow)]
    delivery: DeliveryRecord<'a>,
    event: u8,
    voucher: u8,
    channel: &'a str,
    source: SourceRecord<'a>,
    currency: u8,
    entries: Vec<EntryRecord<'a>>,
    business_date: u32,
    created_at: u64,
}

/// `postcard` numbers the variants by their place: new ones are added at the end.
#[derive(Serialize, Deserialize)]
enum SourceRecord<'a> {
    Order {
        /// `None` where it is the chain's own first order, which the key names.
        order: Option<u64>,
        /// Whose attempt it is; `None` where it is the chain's own first order.
        attempt_order: Option<u64>,
        attempt: u8,
        channel_reference: Option<&'a str>,
        merchant_id: &'a str,
    },
    Difference {
        difference: u64,
        merchant_id: Option<&'a str>,
    },
    Settlement {
        settlement: u64,
        bank_reference: &'a str,
    },
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
            unanswered: delivery.unanswered,
        }
    }

    fn read(&self, fields: Fields) -> Result<Delivery, StoreError> {
        Ok(Delivery {
            status: fields.code("status", self.head.status)?,
            tries: self.tries,
            due_at: fields.time(self.head.due_at)?,
            acknowledged_at: fields.time_option(self.acknowledged_at)?,
            last_error: text(self.last_error),
            unanswered: self.unanswered,
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

/// The stored form of an accounting request. Its id is its key.
pub(crate) fn accounting_bytes(request: &AccountingRequest) -> Vec<u8> {
    encode(&AccountingRecord {
        delivery: DeliveryRecord::of(&request.delivery),
        event: request.event.number(),
        voucher: request.voucher.number(),
        channel: request.channel.as_str(),
        source: source_record(request.id.chain, &request.source),
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
    })
}

fn source_record(chain: OrderId, source: &SourceDocument) -> SourceRecord<'_> {
    let other = |order: OrderId| (order != chain).then(|| order.as_u64());
    match source {
        SourceDocument::Order { order, channel_order_no, channel_reference, merchant_id } => {
            SourceRecord::Order {
                order: other(*order),
                attempt_order: other(channel_order_no.order),
                attempt: channel_order_no.attempt,
                channel_reference: channel_reference.as_deref(),
                merchant_id: merchant_id.as_str(),
            }
        }
        SourceDocument::Difference { difference, merchant_id } => SourceRecord::Difference {
            difference: difference.as_u64(),
            merchant_id: merchant_id.as_ref().map(MerchantId::as_str),
        },
        SourceDocument::Settlement { settlement, bank_reference } => {
            SourceRecord::Settlement { settlement: settlement.as_u64(), bank_reference }
        }
    }
}

fn read_source(chain: OrderId, record: &SourceRecord<'_>) -> SourceDocument {
    let order_of = |stored: Option<u64>| stored.map_or(chain, OrderId::from_u64);
    match *record {
        SourceRecord::Order { order, attempt_order, attempt, channel_reference, merchant_id } => {
            SourceDocument::Order {
                order: order_of(order),
                channel_order_no: ChannelOrderNo { order: order_of(attempt_order), attempt },
                channel_reference: text(channel_reference),
                merchant_id: MerchantId::from_stored(merchant_id),
            }
        }
        SourceRecord::Difference { difference, merchant_id } => SourceDocument::Difference {
            difference: DifferenceId::from_u64(difference),
            merchant_id: merchant_id.map(MerchantId::from_stored),
        },
        SourceRecord::Settlement { settlement, bank_reference } => SourceDocument::Settlement {
            settlement: SettlementId::from_u64(settlement),
            bank_reference: bank_reference.to_owned(),
        },
    }
}

pub(crate) fn read_accounting_head(bytes: &[u8]) -> Result<DeliveryHead, StoreError> {
    head_of(ACCOUNTING, decode_head(ACCOUNTING.table, bytes)?)
}

pub(crate) fn read_accounting(
    id: RequestId,
    bytes: &[u8],
) -> Result<AccountingRequest, StoreError> {
    let record: AccountingRecord<'_> = decode(ACCOUNTING.table, bytes)?;
    let entry = |stored: &EntryRecord<'_>| {
        Ok::<_, StoreError>(Entry {
            side: ACCOUNTING.code("side", stored.side)?,
            account: stored.account.to_owned(),
            amount_minor: ACCOUNTING.signed(stored.amount_minor)?,
        })
    };
    Ok(AccountingRequest {
        id,
        event: ACCOUNTING.code("event", record.event)?,
        voucher: ACCOUNTING.code("voucher", record.voucher)?,
        channel: ChannelId::from_stored(record.channel),
        source: read_source(id.chain, &record.source),
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
