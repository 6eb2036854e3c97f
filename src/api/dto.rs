//! The JSON forms of what is in the books. Amounts are integers in minor units, times RFC 3339.
//!
//! The forms borrow from the rows and hold no rule. Upholds I-11: a card is its masked number and
//! what the BIN table says of it; sealed numbers and vouchers have no form here.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::api::error::{ApiError, ProblemCode};
use crate::codec::json_text::write_json;
use crate::codec::sign::hex_lower;
use crate::codec::voucher::Voucher;
use crate::domain::bin::Brand;
use crate::domain::books::accounting::AccountingRequest;
use crate::domain::books::clearing::ClearingTotals;
use crate::domain::books::day_close::DayClose;
use crate::domain::card::CardFacts;
use crate::domain::flow::attempt::Attempt;
use crate::domain::flow::order::{Order, OrderKind, SettlementMode};
use crate::domain::flow::reversal::{HistoryLine, ReversalEntry};
use crate::domain::ids::{AgreementId, MerchantCategory};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::money::Currency;
use crate::domain::outcome::Objection;
use crate::domain::time::Timestamp;
use crate::domain::write_set::{AuditEntry, CoreNotice};

pub use crate::codec::clearing::ClearingRow as ClearingBody;
pub use crate::codec::texts::{MomentText, Text};

/// Bytes that an answer about one order usually needs.
const ORDER_BYTES: usize = 1_024;

/// An answer with a JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(ORDER_BYTES);
    if let Err(error) = write_json(&mut bytes, body) {
        tracing::error!(%error, "an answer could not be written as JSON");
        let detail = "the answer could not be written";
        return axum::response::IntoResponse::into_response(ApiError::new(
            ProblemCode::Internal,
            detail,
        ));
    }
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Between us and the core nothing may keep what was paid with which card.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One order with everything that was tried for it.
#[derive(Serialize)]
#[serde(rename = "order")]
pub struct OrderBody<'order> {
    id: Text<crate::domain::ids::OrderId>,
    order_id: &'order str,
    /// Who asked for it, where others' orders are shown too.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'order str>,
    kind: &'static str,
    /// The order that it refers to, or the channel order number that an undo takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    amount: i64,
    currency: &'static str,
    settlement: &'static str,
    /// Of an escrow payment: the part that has been handed to the merchant.
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<i64>,
    /// Of a payment or capture: the sum of its refunds and voids, those under way included.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<i64>,
    /// Of a pre-authorisation: the sum of its captures, those under way included.
    #[serde(skip_serializing_if = "Option::is_none")]
    captured: Option<i64>,
    /// Of a pre-authorisation: whether it is let go, or about to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    voided: Option<bool>,
    /// The orders that refer to it, where the caller asked for it by its id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    follow_ups: Vec<FollowUpBody<'order>>,
    merchant_id: &'order str,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_category: Option<Text<MerchantCategory>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_fee: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<CardBody<'order>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<Text<AgreementId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<PayerBody<'order>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'order str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_order_no: Option<Text<crate::domain::ids::ChannelOrderNo>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_reference: Option<&'order str>,
    attempts: Vec<AttemptBody<'order>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clearing_date: Option<Text<crate::domain::time::BusinessDate>>,
    created_at: MomentText,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<MomentText>,
}

impl<'order> From<&'order Order> for OrderBody<'order> {
    fn from(order: &'order Order) -> Self {
        let speaking = order.speaking();
        let paid_in = order.instruction.kind.is_paid_in();
        let escrow = paid_in && order.instruction.settlement_mode == SettlementMode::Escrow;
        let hold = order.instruction.kind == OrderKind::Preauth;
        let instrument = order.instruction.instrument.as_ref();
        let code = instrument.and_then(InstrumentFacts::code);
        Self {
            id: Text(order.id),
            order_id: order.instruction.caller_order_id.as_str(),
            caller: None,
            kind: order.instruction.kind.name(),
            of: match order.instruction.kind {
                OrderKind::Undo { of } => Some(of.to_string()),
                kind => kind.original().map(|of| of.to_string()),
            },
            status: order.status.name(),
            reason: order.reason.map(|reason| reason.name()),
            amount: order.instruction.amount.get(),
            currency: order.instruction.currency.name(),
            settlement: order.instruction.settlement_mode.name(),
            released: escrow.then_some(order.released_minor),
            refunded: paid_in.then_some(order.claims.refunded_minor),
            captured: hold.then_some(order.claims.captured_minor),
            voided: hold.then_some(order.claims.refunded_minor > 0),
            follow_ups: Vec::new(),
            merchant_id: order.instruction.merchant_id.as_str(),
            merchant_category: order.instruction.merchant_category.map(Text),
            merchant_fee: order.instruction.merchant_fee_minor,
            card: order.instruction.card().map(CardBody::from),
            agreement: instrument.and_then(InstrumentFacts::agreement).map(Text),
            payer: code.map(|code| PayerBody { code: code.masked.as_str() }),
            channel: speaking.map(|attempt| attempt.channel.as_str()),
            channel_order_no: speaking.map(|one| Text(order.channel_order_no(one.number))),
            channel_reference: speaking.and_then(|one| one.channel_reference.as_deref()),
            attempts: order.attempts.iter().map(|one| AttemptBody::of(order, one)).collect(),
            clearing_date: order.clearing_date.map(Text),
            created_at: MomentText(order.created_at),
            finished_at: order.finished_at.map(MomentText),
        }
    }
}

impl<'order> OrderBody<'order> {
    /// With the name of its caller.
    pub fn with_caller(mut self, order: &'order Order) -> Self {
        self.caller = Some(order.instruction.caller.as_str());
        self
    }

    /// With the refunds, voids and captures that refer to it, whatever became of them.
    pub fn with_follow_ups(mut self, orders: impl Iterator<Item = &'order Order>) -> Self {
        self.follow_ups = orders.map(FollowUpBody::from).collect();
        self
    }
}

/// A refund, void or capture, in short.
#[derive(Serialize)]
struct FollowUpBody<'order> {
    id: Text<crate::domain::ids::OrderId>,
    order_id: &'order str,
    kind: &'static str,
    amount: i64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl<'order> From<&'order Order> for FollowUpBody<'order> {
    fn from(order: &'order Order) -> Self {
        Self {
            id: Text(order.id),
            order_id: order.instruction.caller_order_id.as_str(),
            kind: order.instruction.kind.name(),
            amount: order.instruction.amount.get(),
            status: order.status.name(),
            reason: order.reason.map(|reason| reason.name()),
        }
    }
}

/// Who showed a code, which may be shown masked only.
#[derive(Serialize)]
struct PayerBody<'order> {
    code: &'order str,
}

/// A card as it may be shown, with the facts that the BIN table has.
#[derive(Serialize)]
pub struct CardBody<'order> {
    masked: &'order str,
    #[serde(flatten)]
    facts: Option<CardFactsBody<'order>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum CardFactsBody<'order> {
    Row(CardRow<'order>),
    Bare(BareCard),
}

/// Where no row of the table fits and only the brand is public.
#[derive(Serialize)]
struct BareCard {
    brand: &'static str,
    brands: [&'static str; 1],
}

#[derive(Serialize)]
struct CardRow<'order> {
    bin: &'order str,
    issuer_code: &'order str,
    issuer_name: &'order str,
    card_name: &'order str,
    card_type: &'static str,
    /// The brand in whose range the number lies: the first of `brands`.
    brand: &'static str,
    brands: Vec<&'static str>,
}

impl<'order> From<&'order CardFacts> for CardBody<'order> {
    fn from(card: &'order CardFacts) -> Self {
        let row = card.row.as_deref().map(|row| CardRow {
            bin: row.bin.as_str(),
            issuer_code: &row.issuer_code,
            issuer_name: &row.issuer_name,
            card_name: &row.card_name,
            card_type: row.card_type.name(),
            brand: row.brands.first.name(),
            brands: row.brands.iter().map(Brand::name).collect(),
        });
        let masked = card.masked.as_str();
        let bare = || {
            let brand = Brand::of_bare_range(masked.as_bytes())?.name();
            Some(CardFactsBody::Bare(BareCard { brand, brands: [brand] }))
        };
        Self { masked, facts: row.map(CardFactsBody::Row).or_else(bare) }
    }
}

#[derive(Serialize)]
struct AttemptBody<'order> {
    channel: &'order str,
    channel_order_no: Text<crate::domain::ids::ChannelOrderNo>,
    operation: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_reference: Option<&'order str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'order str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_cause: Option<&'static str>,
    /// Why the last message about it was not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    objection: Option<&'order str>,
    sent_at: MomentText,
    /// When a verified word first showed that the channel has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<MomentText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<MomentText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<&'static str>,
}

impl<'order> AttemptBody<'order> {
    fn of(order: &Order, attempt: &'order Attempt) -> Self {
        Self {
            channel: attempt.channel.as_str(),
            channel_order_no: Text(order.channel_order_no(attempt.number)),
            operation: attempt.operation.name(),
            state: attempt.state.name(),
            channel_reference: attempt.channel_reference.as_deref(),
            code: attempt.code.as_deref(),
            reason: attempt.reason.map(|reason| reason.name()),
            unknown_cause: attempt.unknown_cause.map(|cause| cause.name()),
            objection: attempt.objection.as_ref().map(Objection::as_str),
            sent_at: MomentText(attempt.sent_at),
            acknowledged_at: attempt.acknowledged_at.map(MomentText),
            ended_at: attempt.ended_at.map(MomentText),
            ended_by: attempt.ended_by.map(|source| source.name()),
        }
    }
}

/// One row of the temp reversal table.
#[derive(Serialize)]
pub struct ReversalBody<'row> {
    id: Text<crate::domain::ids::OrderId>,
    attempt: u8,
    channel: &'row str,
    amount: i64,
    currency: &'static str,
    phase: &'static str,
    step: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<MomentText>,
    opened_at: MomentText,
    /// How long it has been open, in milliseconds.
    age_ms: u128,
    pending: bool,
    /// Whether a reversal that has left may still be carried out, or was, without a word.
    reversal_sent: bool,
    reversals_unanswered: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reversal_left_at: Option<MomentText>,
    /// Until then a success is not believed: the reversal may undo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reversible_until: Option<MomentText>,
    reversal_refused: bool,
    reversals_exhausted: bool,
    inquiries: u32,
    reversals: u32,
    history: Vec<HistoryBody<'row>>,
}

#[derive(Serialize)]
struct HistoryBody<'row> {
    at: MomentText,
    what: &'row str,
}

impl<'row> ReversalBody<'row> {
    pub fn of(entry: &'row ReversalEntry, now: Timestamp) -> Self {
        let line =
            |line: &'row HistoryLine| HistoryBody { at: MomentText(line.at), what: &line.what };
        Self {
            id: Text(entry.order),
            attempt: entry.attempt,
            channel: entry.channel.as_str(),
            amount: entry.amount.get(),
            currency: entry.currency.name(),
            phase: entry.phase.name(),
            step: entry.step,
            due_at: entry.due_at.map(MomentText),
            opened_at: MomentText(entry.opened_at),
            age_ms: now.since(entry.opened_at).as_millis(),
            pending: entry.pending,
            reversal_sent: entry.reversals_unanswered > 0,
            reversals_unanswered: entry.reversals_unanswered,
            reversal_left_at: entry.reversal_left_at.map(MomentText),
            reversible_until: entry.reversible_until().map(MomentText),
            reversal_refused: entry.reversal_refused,
            reversals_exhausted: entry.reversals_exhausted,
            inquiries: entry.inquiries,
            reversals: entry.reversals,
            history: entry.history.iter().map(line).collect(),
        }
    }
}

/// The sums of one currency.
#[derive(Serialize)]
pub struct TotalsBody {
    currency: &'static str,
    records: u64,
    principal: i64,
    fee: i64,
    net: i64,
}

impl From<(&Currency, &ClearingTotals)> for TotalsBody {
    fn from((currency, totals): (&Currency, &ClearingTotals)) -> Self {
        Self {
            currency: currency.name(),
            records: totals.records,
            principal: totals.principal_minor,
            fee: totals.fee_minor,
            net: totals.net_minor,
        }
    }
}

/// The close of a clearing day.
#[derive(Serialize)]
pub struct CloseBody<'row> {
    at: MomentText,
    by: &'row str,
    sha256: String,
    totals: Vec<TotalsBody>,
}

impl<'row> From<&'row DayClose> for CloseBody<'row> {
    fn from(close: &'row DayClose) -> Self {
        Self {
            at: MomentText(close.at),
            by: &close.by,
            sha256: hex_lower(&close.sha256),
            totals: close.totals.iter().map(|(a, b)| TotalsBody::from((a, b))).collect(),
        }
    }
}

/// One accounting request with where its delivery stands.
#[derive(Serialize)]
pub struct AccountingBody<'row> {
    #[serde(flatten)]
    voucher: Voucher<'row>,
    status: &'static str,
    tries: u32,
    due_at: MomentText,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<MomentText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'row str>,
    unanswered: bool,
}

/// A notice to the core, and how far its delivery is.
#[derive(Serialize)]
pub struct NoticeBody<'row> {
    /// The order that it tells of.
    id: Text<crate::domain::ids::OrderId>,
    url: &'row str,
    created_at: MomentText,
    status: &'static str,
    tries: u32,
    due_at: MomentText,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<MomentText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'row str>,
}

impl<'row> From<&'row CoreNotice> for NoticeBody<'row> {
    fn from(notice: &'row CoreNotice) -> Self {
        Self {
            id: Text(notice.order),
            url: &notice.url,
            created_at: MomentText(notice.created_at),
            status: notice.delivery.status.name(),
            tries: notice.delivery.tries,
            due_at: MomentText(notice.delivery.due_at),
            acknowledged_at: notice.delivery.acknowledged_at.map(MomentText),
            last_error: notice.delivery.last_error.as_deref(),
        }
    }
}

impl<'row> From<&'row AccountingRequest> for AccountingBody<'row> {
    fn from(request: &'row AccountingRequest) -> Self {
        Self {
            voucher: Voucher::from(request),
            status: request.delivery.status.name(),
            tries: request.delivery.tries,
            due_at: MomentText(request.delivery.due_at),
            acknowledged_at: request.delivery.acknowledged_at.map(MomentText),
            last_error: request.delivery.last_error.as_deref(),
            unanswered: request.delivery.unanswered,
        }
    }
}

/// One line of the audit trail.
#[derive(Serialize)]
pub struct AuditBody<'row> {
    place: u64,
    at: MomentText,
    actor: &'row str,
    action: &'row str,
    subject: &'row str,
    reason: &'row str,
}

impl<'row> From<&'row (u64, AuditEntry)> for AuditBody<'row> {
    fn from((place, entry): &'row (u64, AuditEntry)) -> Self {
        Self {
            place: *place,
            at: MomentText(entry.at),
            actor: &entry.actor,
            action: &entry.action,
            subject: &entry.subject,
            reason: &entry.reason,
        }
    }
}
