//! The stored forms of settlements and of what is settled of a date.

use serde::{Deserialize, Serialize};

use crate::domain::books::settlement::{BankReceipt, ChannelSettlement, Settled, SettledDate};
use crate::domain::ids::{ChannelId, SettlementId};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::store::StoreError;
use crate::store::record::codes::Code;
use crate::store::record::{Fields, decode, decode_head, encode, millis};

const SETTLEMENTS: Fields = Fields { table: "settlements" };
const SETTLED: Fields = Fields { table: "settled_dates" };

/// What guards and indexes a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct SettlementHead<'a> {
    pub version: u32,
    pub channel: ChannelId,
    pub bank_references: Vec<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct HeadRecord<'a> {
    version: u32,
    channel: &'a str,
    receipts: Vec<ReceiptRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ReceiptRecord<'a> {
    bank_reference: &'a str,
    received_minor: i64,
    received_on: u32,
    at: u64,
    by: &'a str,
}

/// Begins with the fields of [`HeadRecord`].
#[derive(Serialize, Deserialize)]
struct SettlementRecord<'a> {
    #[serde(borrow)]
    head: HeadRecord<'a>,
    from: u32,
    to: u32,
    currency: u8,
    expected: SettledRecord,
    state: u8,
    reasons: Vec<&'a str>,
    opened_at: u64,
    agreed_at: Option<u64>,
    accounting_sequence: u16,
}

#[derive(Serialize, Deserialize)]
struct SettledRecord {
    principal_minor: i64,
    fee_minor: i64,
    net_minor: i64,
}

#[derive(Serialize, Deserialize)]
struct DateRecord {
    version: u32,
    settled: SettledRecord,
    by: u64,
}

impl SettledRecord {
    const fn of(settled: &Settled) -> Self {
        let Settled { principal_minor, fee_minor, net_minor } = *settled;
        Self { principal_minor, fee_minor, net_minor }
    }

    const fn read(&self) -> Settled {
        let Self { principal_minor, fee_minor, net_minor } = *self;
        Settled { principal_minor, fee_minor, net_minor }
    }
}

/// The stored form of a settlement. Its id is its key.
pub(in crate::store) fn settlement_bytes(settlement: &ChannelSettlement) -> Vec<u8> {
    let receipts = settlement.receipts.iter().map(|receipt| ReceiptRecord {
        bank_reference: &receipt.bank_reference,
        received_minor: receipt.received_minor,
        received_on: receipt.received_on.yyyymmdd(),
        at: millis(receipt.at),
        by: &receipt.by,
    });
    encode(&SettlementRecord {
        head: HeadRecord {
            version: settlement.version,
            channel: settlement.channel.as_str(),
            receipts: receipts.collect(),
        },
        from: settlement.from.yyyymmdd(),
        to: settlement.to.yyyymmdd(),
        currency: settlement.currency.number(),
        expected: SettledRecord::of(&settlement.expected),
        state: settlement.state.number(),
        reasons: settlement.reasons.iter().map(String::as_str).collect(),
        opened_at: millis(settlement.opened_at),
        agreed_at: settlement.agreed_at.map(millis),
        accounting_sequence: settlement.accounting_sequence,
    })
}

pub(in crate::store) fn read_settlement_head(
    bytes: &[u8],
) -> Result<SettlementHead<'_>, StoreError> {
    let head: HeadRecord<'_> = decode_head(SETTLEMENTS.table, bytes)?;
    Ok(SettlementHead {
        version: head.version,
        channel: ChannelId::from_stored(head.channel),
        bank_references: head.receipts.iter().map(|receipt| receipt.bank_reference).collect(),
    })
}

pub(in crate::store) fn read_settlement(
    id: SettlementId,
    bytes: &[u8],
) -> Result<ChannelSettlement, StoreError> {
    let fields = SETTLEMENTS;
    let record: SettlementRecord<'_> = decode(fields.table, bytes)?;
    let receipt = |receipt: &ReceiptRecord<'_>| {
        Ok::<_, StoreError>(BankReceipt {
            bank_reference: receipt.bank_reference.to_owned(),
            received_minor: receipt.received_minor,
            received_on: fields.date(receipt.received_on)?,
            at: fields.time(receipt.at)?,
            by: receipt.by.to_owned(),
        })
    };
    Ok(ChannelSettlement {
        id,
        version: record.head.version,
        channel: ChannelId::from_stored(record.head.channel),
        from: fields.date(record.from)?,
        to: fields.date(record.to)?,
        currency: fields.currency(record.currency)?,
        receipts: record.head.receipts.iter().map(receipt).collect::<Result<_, _>>()?,
        expected: record.expected.read(),
        state: fields.code("state", record.state)?,
        reasons: record.reasons.into_iter().map(str::to_owned).collect(),
        opened_at: fields.time(record.opened_at)?,
        agreed_at: fields.time_option(record.agreed_at)?,
        accounting_sequence: record.accounting_sequence,
    })
}

/// The stored form of what is settled of a date. Its key is channel, date and currency.
pub(in crate::store) fn settled_bytes(date: &SettledDate) -> Vec<u8> {
    encode(&DateRecord {
        version: date.version,
        settled: SettledRecord::of(&date.settled),
        by: date.by.as_u64(),
    })
}

pub(in crate::store) fn read_settled_version(bytes: &[u8]) -> Result<u32, StoreError> {
    decode_head(SETTLED.table, bytes)
}

pub(in crate::store) fn read_settled(
    channel: &ChannelId,
    date: BusinessDate,
    currency: Currency,
    bytes: &[u8],
) -> Result<SettledDate, StoreError> {
    let record: DateRecord = decode(SETTLED.table, bytes)?;
    Ok(SettledDate {
        version: record.version,
        channel: channel.clone(),
        date,
        currency,
        settled: record.settled.read(),
        by: SettlementId::from_u64(record.by),
    })
}
