//! The stored form of an order with its attempts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::attempt::Attempt;
use crate::domain::closed_set::StoredNumber;
use crate::domain::fee::Fee;
use crate::domain::ids::{
    AgreementId, CallerId, CallerOrderId, ChannelId, ChannelOrderNo, MerchantCategory, MerchantId,
    OrderId,
};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::order::{Candidate, Claims, Instruction, Order, OrderKind, RouteVerdict};
use crate::domain::order_filter::OrderFacts;
use crate::domain::outcome::Objection;
use crate::domain::payee_account::{AccountDigests, AccountFacts, MaskedAccount};
use crate::domain::payer_code::{CodeFacts, MaskedCode};
use crate::store::StoreError;
use crate::store::form::{StoredFields, decode, decode_head, encode, millis, text, wrong};

use super::TABLE;
use crate::store::table::card::{
    CardRecord, SealedRecord, card_record, read_card, read_sealed, sealed_record,
};

const FIELDS: StoredFields = StoredFields { table: TABLE };

#[derive(Serialize, Deserialize)]
struct OrderRecord<'a> {
    version: u32,
    status: u8,
    created_at: u64,
    #[serde(borrow)]
    caller: &'a str,
    caller_order_id: &'a str,
    kind: KindRecord,
    merchant_id: &'a str,
    amount_minor: i64,
    currency: u8,
    settlement: u8,
    merchant_category: Option<u16>,
    merchant_fee_minor: Option<i64>,
    instrument: Option<InstrumentRecord<'a>>,
    description: Option<&'a str>,
    notify_url: Option<&'a str>,
    reason: Option<u8>,
    attempts: Vec<AttemptRecord<'a>>,
    route: Option<RouteRecord<'a>>,
    candidates: Vec<CandidateRecord<'a>>,
    released_minor: i64,
    /// `None` while nothing has been drawn from it: one byte for six.
    claims: Option<ClaimsRecord>,
    sealed_pan: Option<SealedRecord<'a>>,
    accounting_sequence: u16,
    clearing_date: Option<u32>,
    charged: Option<FeeRecord<'a>>,
    finished_at: Option<u64>,
}

/// The first fields of an [`OrderRecord`], by which most orders are passed over in a search.
#[derive(Deserialize)]
struct OrderHead<'a> {
    _version: u32,
    status: u8,
    created_at: u64,
    #[serde(borrow)]
    caller: &'a str,
    _caller_order_id: &'a str,
    kind: KindRecord,
    merchant_id: &'a str,
    amount_minor: i64,
    currency: u8,
    _settlement: u8,
    _merchant_category: Option<u16>,
    _merchant_fee_minor: Option<i64>,
    instrument: Option<InstrumentRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct RouteRecord<'a> {
    #[serde(borrow)]
    rule: &'a str,
    place: u16,
    bin_table: u32,
    kept: Vec<&'a str>,
    struck: Vec<(&'a str, &'a str)>,
}

/// `postcard` numbers the variants by their place: new ones are added at the end.
#[derive(Serialize, Deserialize)]
enum KindRecord {
    Payment,
    Undo {
        #[serde(with = "postcard::fixint::le")]
        order: u64,
        attempt: u8,
    },
    Release {
        #[serde(with = "postcard::fixint::le")]
        order: u64,
    },
    Preauth,
    Capture {
        #[serde(with = "postcard::fixint::le")]
        order: u64,
    },
    Refund {
        #[serde(with = "postcard::fixint::le")]
        order: u64,
    },
    Void {
        #[serde(with = "postcard::fixint::le")]
        order: u64,
    },
    Payout,
}

#[derive(Serialize, Deserialize)]
struct ClaimsRecord {
    refunded_minor: i64,
    captured_minor: i64,
    from_escrow_minor: i64,
    contradicted_minor: i64,
    given_back_minor: i64,
    fee_back_minor: i64,
}

#[derive(Serialize, Deserialize)]
struct FeeRecord<'a> {
    minor: i64,
    rule: &'a str,
    refund: u8,
}

/// Numbered by place, as kinds are.
#[derive(Serialize, Deserialize)]
enum InstrumentRecord<'a> {
    #[serde(borrow)]
    Card(CardRecord<'a>),
    Agreement {
        #[serde(with = "postcard::fixint::le")]
        id: u64,
        card: CardRecord<'a>,
    },
    Code {
        masked: &'a str,
        digest: [u8; 16],
    },
    Account {
        kind: u8,
        masked: &'a str,
        id: [u8; 16],
        name: Option<[u8; 8]>,
    },
}

#[derive(Serialize, Deserialize)]
struct AttemptRecord<'a> {
    number: u8,
    channel: &'a str,
    operation: u8,
    state: u8,
    sent_at: u64,
    channel_reference: Option<&'a str>,
    acknowledged_at: Option<u64>,
    code: Option<&'a str>,
    reason: Option<u8>,
    unknown_cause: Option<u8>,
    objection: Option<&'a str>,
    unresolved_at: Option<u64>,
    ended_at: Option<u64>,
    ended_by: Option<u8>,
    #[serde(borrow)]
    sealed_pan: Option<SealedRecord<'a>>,
    announced_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct CandidateRecord<'a> {
    channel: &'a str,
    keeps_pan: bool,
}

pub(super) fn order_bytes(order: &Order) -> Vec<u8> {
    encode(&OrderRecord {
        version: order.version,
        status: order.status.number(),
        created_at: millis(order.created_at),
        caller: order.instruction.caller.as_str(),
        caller_order_id: order.instruction.caller_order_id.as_str(),
        kind: kind_record(order.instruction.kind),
        merchant_id: order.instruction.merchant_id.as_str(),
        amount_minor: order.instruction.amount.get(),
        currency: order.instruction.currency.number(),
        settlement: order.instruction.settlement_mode.number(),
        merchant_category: order.instruction.merchant_category.map(MerchantCategory::number),
        merchant_fee_minor: order.instruction.merchant_fee_minor,
        instrument: order.instruction.instrument.as_ref().map(instrument_record),
        description: order.instruction.description.as_deref(),
        notify_url: order.instruction.notify_url.as_deref(),
        reason: order.reason.map(StoredNumber::number),
        attempts: order.attempts.iter().map(attempt_record).collect(),
        route: order.route.as_deref().map(route_record),
        candidates: order.candidates.iter().map(candidate_record).collect(),
        released_minor: order.released_minor,
        claims: claims_record(order.claims),
        sealed_pan: order.sealed_pan.as_ref().map(sealed_record),
        accounting_sequence: order.accounting_sequence,
        clearing_date: order.clearing_date.map(|date| date.yyyymmdd()),
        charged: order.charged.as_ref().map(fee_record),
        finished_at: order.finished_at.map(millis),
    })
}

fn route_record(route: &RouteVerdict) -> RouteRecord<'_> {
    let struck = route.struck.iter();
    RouteRecord {
        rule: &route.rule,
        place: route.place,
        bin_table: route.bin_table,
        kept: route.kept.iter().map(ChannelId::as_str).collect(),
        struck: struck.map(|(channel, reason)| (channel.as_str(), reason.as_str())).collect(),
    }
}

fn read_route(record: &RouteRecord<'_>) -> RouteVerdict {
    let struck = record.struck.iter();
    let struck =
        struck.map(|(channel, reason)| (ChannelId::from_stored(channel), (*reason).to_owned()));
    RouteVerdict {
        rule: record.rule.to_owned(),
        place: record.place,
        bin_table: record.bin_table,
        kept: record.kept.iter().map(|channel| ChannelId::from_stored(channel)).collect(),
        struck: struck.collect(),
    }
}

fn claims_record(claims: Claims) -> Option<ClaimsRecord> {
    (claims != Claims::default()).then_some(ClaimsRecord {
        refunded_minor: claims.refunded_minor,
        captured_minor: claims.captured_minor,
        from_escrow_minor: claims.from_escrow_minor,
        contradicted_minor: claims.contradicted_minor,
        given_back_minor: claims.given_back_minor,
        fee_back_minor: claims.fee_back_minor,
    })
}

fn read_claims(record: ClaimsRecord) -> Claims {
    Claims {
        refunded_minor: record.refunded_minor,
        captured_minor: record.captured_minor,
        from_escrow_minor: record.from_escrow_minor,
        contradicted_minor: record.contradicted_minor,
        given_back_minor: record.given_back_minor,
        fee_back_minor: record.fee_back_minor,
    }
}

fn fee_record(fee: &Fee) -> FeeRecord<'_> {
    FeeRecord { minor: fee.minor, rule: &fee.rule, refund: fee.refund.number() }
}

fn read_fee(record: &FeeRecord<'_>) -> Result<Fee, StoreError> {
    let refund = FIELDS.code("refund", record.refund)?;
    Ok(Fee { minor: record.minor, rule: record.rule.to_owned(), refund })
}

fn read_category(number: u16) -> Result<MerchantCategory, StoreError> {
    MerchantCategory::from_number(number).ok_or_else(|| wrong(TABLE, "merchant_category"))
}

fn kind_record(kind: OrderKind) -> KindRecord {
    match kind {
        OrderKind::Payment => KindRecord::Payment,
        OrderKind::Undo { of } => {
            KindRecord::Undo { order: of.order.as_u64(), attempt: of.attempt }
        }
        OrderKind::Release { of } => KindRecord::Release { order: of.as_u64() },
        OrderKind::Preauth => KindRecord::Preauth,
        OrderKind::Payout => KindRecord::Payout,
        OrderKind::Capture { of } => KindRecord::Capture { order: of.as_u64() },
        OrderKind::Refund { of } => KindRecord::Refund { order: of.as_u64() },
        OrderKind::Void { of } => KindRecord::Void { order: of.as_u64() },
    }
}

impl<'a> InstrumentRecord<'a> {
    const fn card(&self) -> Option<&CardRecord<'a>> {
        match self {
            Self::Card(card) | Self::Agreement { card, .. } => Some(card),
            Self::Code { .. } | Self::Account { .. } => None,
        }
    }

    /// The digest of an account's id.
    const fn account(&self) -> Option<u128> {
        match self {
            Self::Account { id, .. } => Some(u128::from_le_bytes(*id)),
            Self::Card(_) | Self::Agreement { .. } | Self::Code { .. } => None,
        }
    }
}

fn instrument_record(instrument: &InstrumentFacts) -> InstrumentRecord<'_> {
    match instrument {
        InstrumentFacts::Card(card) => InstrumentRecord::Card(card_record(card)),
        InstrumentFacts::Agreement { id, card } => {
            InstrumentRecord::Agreement { id: id.as_u64(), card: card_record(card) }
        }
        InstrumentFacts::Code(code) => InstrumentRecord::Code {
            masked: code.masked.as_str(),
            digest: code.digest.to_le_bytes(),
        },
        InstrumentFacts::Account(AccountFacts { kind, masked, digests }) => {
            let name = (digests.name != 0).then(|| digests.name.to_le_bytes());
            let (masked, id) = (masked.as_str(), digests.id.to_le_bytes());
            InstrumentRecord::Account { kind: kind.number(), masked, id, name }
        }
    }
}

fn attempt_record(attempt: &Attempt) -> AttemptRecord<'_> {
    AttemptRecord {
        number: attempt.number,
        channel: attempt.channel.as_str(),
        operation: attempt.operation.number(),
        state: attempt.state.number(),
        sent_at: millis(attempt.sent_at),
        channel_reference: attempt.channel_reference.as_deref(),
        acknowledged_at: attempt.acknowledged_at.map(millis),
        code: attempt.code.as_deref(),
        reason: attempt.reason.map(StoredNumber::number),
        unknown_cause: attempt.unknown_cause.map(StoredNumber::number),
        objection: attempt.objection.as_ref().map(Objection::as_str),
        unresolved_at: attempt.unresolved_at.map(millis),
        ended_at: attempt.ended_at.map(millis),
        ended_by: attempt.ended_by.map(StoredNumber::number),
        sealed_pan: attempt.sealed_pan.as_ref().map(sealed_record),
        announced_at: attempt.announced_at.map(millis),
    }
}

fn candidate_record(candidate: &Candidate) -> CandidateRecord<'_> {
    CandidateRecord { channel: candidate.channel.as_str(), keeps_pan: candidate.keeps_pan }
}

/// The version alone, which guards a commit.
pub(super) fn read_order_version(bytes: &[u8]) -> Result<u32, StoreError> {
    decode_head(TABLE, bytes)
}

/// The facts by which an order is passed over, and when it was created.
pub(super) fn read_order_facts(bytes: &[u8]) -> Result<OrderFacts<'_>, StoreError> {
    let head: OrderHead<'_> = decode_head(TABLE, bytes)?;
    let card = head.instrument.as_ref().and_then(InstrumentRecord::card);
    Ok(OrderFacts {
        created_at: FIELDS.time(head.created_at)?,
        status: FIELDS.code("status", head.status)?,
        caller: head.caller,
        kind: read_kind(&head.kind).name(),
        merchant_id: head.merchant_id,
        amount_minor: head.amount_minor,
        currency: FIELDS.currency(head.currency)?,
        masked: card.map(|card| card.masked),
        pan_digest: card.map(|card| u128::from_le_bytes(card.pan)),
        account_digest: head.instrument.as_ref().and_then(InstrumentRecord::account),
        issuer_code: card.and_then(|card| card.row.as_ref()).map(|row| row.issuer_code),
    })
}

pub(super) fn read_order(id: OrderId, bytes: &[u8]) -> Result<Order, StoreError> {
    let record: OrderRecord<'_> = decode(TABLE, bytes)?;
    Ok(Order {
        id,
        version: record.version,
        instruction: Instruction {
            caller: CallerId::from_stored(record.caller),
            caller_order_id: CallerOrderId::from_stored(record.caller_order_id),
            kind: read_kind(&record.kind),
            merchant_id: MerchantId::from_stored(record.merchant_id),
            amount: FIELDS.amount(record.amount_minor)?,
            currency: FIELDS.currency(record.currency)?,
            settlement_mode: FIELDS.code("settlement", record.settlement)?,
            merchant_category: record.merchant_category.map(read_category).transpose()?,
            merchant_fee_minor: record.merchant_fee_minor,
            instrument: record.instrument.map(read_instrument).transpose()?,
            description: text(record.description),
            notify_url: text(record.notify_url),
        },
        status: FIELDS.code("status", record.status)?,
        reason: FIELDS.code_option("reason", record.reason)?,
        attempts: read_attempts(&record.attempts)?,
        route: record.route.as_ref().map(|route| Arc::new(read_route(route))),
        candidates: record.candidates.iter().map(read_candidate).collect(),
        released_minor: record.released_minor,
        claims: record.claims.map(read_claims).unwrap_or_default(),
        sealed_pan: record.sealed_pan.as_ref().map(read_sealed),
        accounting_sequence: record.accounting_sequence,
        clearing_date: record.clearing_date.map(|date| FIELDS.date(date)).transpose()?,
        charged: record.charged.as_ref().map(read_fee).transpose()?,
        created_at: FIELDS.time(record.created_at)?,
        finished_at: FIELDS.time_option(record.finished_at)?,
    })
}

fn read_kind(record: &KindRecord) -> OrderKind {
    let id = OrderId::from_u64;
    match *record {
        KindRecord::Payment => OrderKind::Payment,
        KindRecord::Undo { order, attempt } => {
            OrderKind::Undo { of: ChannelOrderNo { order: id(order), attempt } }
        }
        KindRecord::Release { order } => OrderKind::Release { of: id(order) },
        KindRecord::Preauth => OrderKind::Preauth,
        KindRecord::Payout => OrderKind::Payout,
        KindRecord::Capture { order } => OrderKind::Capture { of: id(order) },
        KindRecord::Refund { order } => OrderKind::Refund { of: id(order) },
        KindRecord::Void { order } => OrderKind::Void { of: id(order) },
    }
}

fn read_instrument(record: InstrumentRecord<'_>) -> Result<InstrumentFacts, StoreError> {
    match record {
        InstrumentRecord::Card(card) => Ok(read_card(TABLE, card)?.into()),
        InstrumentRecord::Agreement { id, card } => Ok(InstrumentFacts::Agreement {
            id: AgreementId::from_u64(id),
            card: read_card(TABLE, card)?,
        }),
        InstrumentRecord::Code { masked, digest } => Ok(InstrumentFacts::Code(CodeFacts {
            masked: MaskedCode::of(masked),
            digest: u128::from_le_bytes(digest),
        })),
        InstrumentRecord::Account { kind, masked, id, name } => {
            let name = name.map_or(0, u64::from_le_bytes);
            Ok(InstrumentFacts::Account(AccountFacts {
                kind: FIELDS.code("account_kind", kind)?,
                masked: MaskedAccount::of(masked),
                digests: AccountDigests { id: u128::from_le_bytes(id), name },
            }))
        }
    }
}

/// An attempt is found by its place, so its number must be that place.
fn read_attempts(records: &[AttemptRecord<'_>]) -> Result<Vec<Attempt>, StoreError> {
    let mut attempts = Vec::with_capacity(records.len());
    for (place, record) in records.iter().enumerate() {
        if usize::from(record.number) != place + 1 {
            return Err(wrong(TABLE, "attempts"));
        }
        attempts.push(read_attempt(record)?);
    }
    Ok(attempts)
}

fn read_attempt(record: &AttemptRecord<'_>) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        number: record.number,
        channel: ChannelId::from_stored(record.channel),
        operation: FIELDS.code("operation", record.operation)?,
        state: FIELDS.code("state", record.state)?,
        sent_at: FIELDS.time(record.sent_at)?,
        announced_at: FIELDS.time_option(record.announced_at)?,
        channel_reference: text(record.channel_reference),
        acknowledged_at: FIELDS.time_option(record.acknowledged_at)?,
        code: text(record.code),
        reason: FIELDS.code_option("reason", record.reason)?,
        unknown_cause: FIELDS.code_option("unknown_cause", record.unknown_cause)?,
        objection: record.objection.map(Objection::new),
        unresolved_at: FIELDS.time_option(record.unresolved_at)?,
        ended_at: FIELDS.time_option(record.ended_at)?,
        ended_by: FIELDS.code_option("ended_by", record.ended_by)?,
        sealed_pan: record.sealed_pan.as_ref().map(read_sealed),
    })
}

fn read_candidate(record: &CandidateRecord<'_>) -> Candidate {
    Candidate { channel: ChannelId::from_stored(record.channel), keeps_pan: record.keeps_pan }
}
