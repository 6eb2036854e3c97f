//! The stored forms of append-only rows: transactions, clearing records, contradictions, audit.

use serde::{Deserialize, Serialize};

use crate::domain::batch::{AuditEntry, Claim, Contradiction};
use crate::domain::books::Transaction;
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::ids::{ChannelId, ChannelOrderNo, MerchantId, OrderId};
use crate::domain::time::BusinessDate;
use crate::store::StoreError;

use super::codes::Code;
use super::{Fields, decode, encode, millis, text};

const TRANSACTIONS: Fields = Fields { table: "transactions" };
const CLEARING: Fields = Fields { table: "clearing" };
const CONTRADICTIONS: Fields = Fields { table: "contradictions" };
const AUDIT: Fields = Fields { table: "audit" };

#[derive(Serialize, Deserialize)]
struct TransactionRecord<'a> {
    movement: u8,
    channel: &'a str,
    /// `None` where the attempt belongs to the transaction's own order, which the key names.
    attempt_order: Option<u64>,
    attempt: u8,
    channel_reference: Option<&'a str>,
    merchant_id: &'a str,
    amount_minor: i64,
    currency: u8,
    clearing_date: u32,
    at: u64,
    source: u8,
    voucher: &'a str,
}

#[derive(Serialize, Deserialize)]
struct ClearingForm<'a> {
    /// `None` where the record's order is the one its channel order number names.
    order: Option<u64>,
    channel_reference: Option<&'a str>,
    movement: u8,
    currency: u8,
    principal_minor: i64,
    fee_minor: i64,
    net_minor: i64,
    fee_rule: &'a str,
    state: u8,
    at: u64,
}

#[derive(Serialize, Deserialize)]
struct ContradictionRecord<'a> {
    source: u8,
    at: u64,
    voucher: &'a str,
    #[serde(borrow)]
    channel_reference: Option<&'a str>,
    undo: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct AuditRecord<'a> {
    at: u64,
    actor: &'a str,
    action: &'a str,
    subject: &'a str,
    reason: &'a str,
}

/// The stored form of a transaction. Its order's id is its key.
pub(crate) fn transaction_bytes(transaction: &Transaction) -> Vec<u8> {
    let number = transaction.channel_order_no;
    encode(&TransactionRecord {
        movement: transaction.movement.number(),
        channel: transaction.channel.as_str(),
        attempt_order: (number.order != transaction.order).then(|| number.order.as_u64()),
        attempt: number.attempt,
        channel_reference: transaction.channel_reference.as_deref(),
        merchant_id: transaction.merchant_id.as_str(),
        amount_minor: transaction.amount.get(),
        currency: transaction.currency.number(),
        clearing_date: transaction.clearing_date.yyyymmdd(),
        at: millis(transaction.at),
        source: transaction.source.number(),
        voucher: &transaction.voucher,
    })
}

pub(crate) fn read_transaction(order: OrderId, bytes: &[u8]) -> Result<Transaction, StoreError> {
    let fields = TRANSACTIONS;
    let record: TransactionRecord<'_> = decode(fields.table, bytes)?;
    Ok(Transaction {
        order,
        movement: fields.code("movement", record.movement)?,
        channel: ChannelId::from_stored(record.channel),
        channel_order_no: ChannelOrderNo {
            order: record.attempt_order.map_or(order, OrderId::from_u64),
            attempt: record.attempt,
        },
        channel_reference: text(record.channel_reference),
        merchant_id: MerchantId::from_stored(record.merchant_id),
        amount: fields.amount(record.amount_minor)?,
        currency: fields.currency(record.currency)?,
        clearing_date: fields.date(record.clearing_date)?,
        at: fields.time(record.at)?,
        source: fields.code("source", record.source)?,
        voucher: record.voucher.to_owned(),
    })
}

/// The stored form of a clearing record. Its key is channel, date and channel order number.
pub(crate) fn clearing_bytes(record: &ClearingRecord) -> Vec<u8> {
    let other = record.order != record.channel_order_no.order;
    encode(&ClearingForm {
        order: other.then(|| record.order.as_u64()),
        channel_reference: record.channel_reference.as_deref(),
        movement: record.movement.number(),
        currency: record.currency.number(),
        principal_minor: record.principal_minor,
        fee_minor: record.fee_minor,
        net_minor: record.net_minor,
        fee_rule: &record.fee_rule,
        state: record.state.number(),
        at: millis(record.at),
    })
}

pub(crate) fn read_clearing(
    channel: &ChannelId,
    date: BusinessDate,
    channel_order_no: ChannelOrderNo,
    bytes: &[u8],
) -> Result<ClearingRecord, StoreError> {
    let form: ClearingForm<'_> = decode(CLEARING.table, bytes)?;
    Ok(ClearingRecord {
        channel: channel.clone(),
        date,
        order: form.order.map_or(channel_order_no.order, OrderId::from_u64),
        channel_order_no,
        channel_reference: text(form.channel_reference),
        movement: CLEARING.code("movement", form.movement)?,
        currency: CLEARING.currency(form.currency)?,
        principal_minor: form.principal_minor,
        fee_minor: form.fee_minor,
        net_minor: form.net_minor,
        fee_rule: form.fee_rule.to_owned(),
        state: CLEARING.code("state", form.state)?,
        at: CLEARING.time(form.at)?,
    })
}

/// The number that stands for a claim in its contradiction's key.
pub(crate) fn claim_code(claim: Claim) -> u8 {
    claim.number()
}

/// The stored form of a contradiction. Its key is order, attempt, claim and its place among them.
pub(crate) fn contradiction_bytes(contradiction: &Contradiction) -> Vec<u8> {
    encode(&ContradictionRecord {
        source: contradiction.source.number(),
        at: millis(contradiction.at),
        voucher: &contradiction.voucher,
        channel_reference: contradiction.channel_reference.as_deref(),
        undo: contradiction.undo.map(OrderId::as_u64),
    })
}

pub(crate) fn read_contradiction(
    order: OrderId,
    [attempt, claim, ordinal]: [u8; 3],
    bytes: &[u8],
) -> Result<Contradiction, StoreError> {
    let fields = CONTRADICTIONS;
    let record: ContradictionRecord<'_> = decode(fields.table, bytes)?;
    Ok(Contradiction {
        order,
        attempt,
        claim: fields.code("claim", claim)?,
        ordinal,
        source: fields.code("source", record.source)?,
        at: fields.time(record.at)?,
        voucher: record.voucher.to_owned(),
        channel_reference: record.channel_reference.map(str::to_owned),
        undo: record.undo.map(OrderId::from_u64),
    })
}

/// The stored form of an audit entry. Its place in the trail is its key.
pub(crate) fn audit_bytes(entry: &AuditEntry) -> Vec<u8> {
    encode(&AuditRecord {
        at: millis(entry.at),
        actor: &entry.actor,
        action: &entry.action,
        subject: &entry.subject,
        reason: &entry.reason,
    })
}

pub(crate) fn read_audit(bytes: &[u8]) -> Result<AuditEntry, StoreError> {
    let record: AuditRecord<'_> = decode(AUDIT.table, bytes)?;
    Ok(AuditEntry {
        at: AUDIT.time(record.at)?,
        actor: record.actor.to_owned(),
        action: record.action.to_owned(),
        subject: record.subject.to_owned(),
        reason: record.reason.to_owned(),
    })
}
