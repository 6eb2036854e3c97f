//! The JSON forms of what is in the books. Amounts are integers in minor units, times RFC 3339.
//!
//! The forms borrow from the rows and hold no rule. Upholds I-11: a card is its masked number and
//! what the BIN table says of it; sealed numbers and vouchers have no form here.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::error::{ApiError, ProblemCode};
use crate::codec::json_text::write_json;
use crate::codec::sign::hex_lower;
use crate::codec::voucher::Voucher;
use crate::codec::word;
use crate::domain::attempt::Attempt;
use crate::domain::bin::Brand;
use crate::domain::books::accounting::AccountingRequest;
use crate::domain::books::clearing::ClearingTotals;
use crate::domain::books::day_close::DayClose;
use crate::domain::card::CardFacts;
use crate::domain::ids::{AgreementId, MerchantCategory};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::money::Currency;
use crate::domain::order::{Order, OrderKind, SettlementMode};
use crate::domain::outcome::Objection;
use crate::domain::payee_account::AccountFacts;
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
#[derive(Serialize, JsonSchema)]
#[serde(rename = "order")]
#[schemars(rename = "Order")]
pub struct OrderBody<'order> {
    /// Our number of it.
    id: Text<crate::domain::ids::OrderId>,
    /// The caller's own id.
    order_id: &'order str,
    /// Who asked for it, where others' orders are shown too.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'order str>,
    /// What it is; `undo` is ours.
    #[schemars(with = "word::OrderKindWord")]
    kind: &'static str,
    /// The order that it refers to, or the channel order number that an undo takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    /// How it stands: `succeeded`, `failed` and `reversed` are final.
    #[schemars(with = "word::OrderStatusWord")]
    status: &'static str,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::ReasonWord>")]
    reason: Option<&'static str>,
    /// In minor units.
    amount: i64,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// When the merchant gets the money.
    #[schemars(with = "word::SettlementModeWord")]
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
    /// The merchant, as it was sent.
    merchant_id: &'order str,
    /// The merchant's category, as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_category: Option<Text<MerchantCategory>>,
    /// The fee that the core charges its merchant, as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_fee: Option<i64>,
    /// The card, as far as it may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<CardBody<'order>>,
    /// The agreement that it named in place of a card.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<Text<AgreementId>>,
    /// Of an order by a code: who showed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<PayerBody<'order>>,
    /// Of a payout to an account: whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    payee: Option<PayeeBody<'order>>,
    /// The channel of the attempt that speaks for it: the one that succeeded, else the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'order str>,
    /// Our number of that attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_order_no: Option<Text<crate::domain::ids::ChannelOrderNo>>,
    /// The channel's own number of that attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_reference: Option<&'order str>,
    /// All attempts, oldest first.
    attempts: Vec<AttemptBody<'order>>,
    /// The channel's day, once it has succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    clearing_date: Option<Text<crate::domain::time::BusinessDate>>,
    /// When it was durable.
    created_at: MomentText,
    /// When it became final.
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
            payee: instrument.and_then(InstrumentFacts::account).map(PayeeBody::from),
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FollowUp")]
struct FollowUpBody<'order> {
    /// Our number of it.
    id: Text<crate::domain::ids::OrderId>,
    /// The caller's own id.
    order_id: &'order str,
    /// What it is.
    #[schemars(with = "word::OrderKindWord")]
    kind: &'static str,
    /// In minor units.
    amount: i64,
    /// How it stands.
    #[schemars(with = "word::OrderStatusWord")]
    status: &'static str,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::ReasonWord>")]
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

/// Who showed a code.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Payer")]
struct PayerBody<'order> {
    /// The first two and the last four characters of the code.
    code: &'order str,
}

/// Whose account a payout goes to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Payee")]
struct PayeeBody<'order> {
    /// The account's id, of which no more is shown than its owner knows it by.
    account: &'order str,
    /// What that id is.
    #[schemars(with = "word::AccountKindWord")]
    kind: &'static str,
}

impl<'order> From<&'order AccountFacts> for PayeeBody<'order> {
    fn from(account: &'order AccountFacts) -> Self {
        Self { account: account.masked.as_str(), kind: account.kind.name() }
    }
}

/// A card as it may be shown, with the facts that the BIN table has.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Card")]
pub struct CardBody<'order> {
    /// The first six and the last four digits.
    masked: &'order str,
    /// The BIN in whose row it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    bin: Option<&'order str>,
    /// The issuer's code, as in the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_code: Option<&'order str>,
    /// The issuer's name of today.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_name: Option<&'order str>,
    /// The card's name, as in the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    card_name: Option<&'order str>,
    /// What kind of card it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::CardTypeWord>")]
    card_type: Option<&'static str>,
    /// The brand in whose range the number lies: the first of `brands`. Alone where no row fits and
    /// only the brand is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::BrandWord>")]
    brand: Option<&'static str>,
    /// Every scheme that takes the card.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<word::BrandWord>")]
    brands: Vec<&'static str>,
}

impl<'order> From<&'order CardFacts> for CardBody<'order> {
    fn from(card: &'order CardFacts) -> Self {
        let masked = card.masked.as_str();
        let Some(row) = card.row.as_deref() else {
            let brand = Brand::of_bare_range(masked.as_bytes()).map(Brand::name);
            let brands = brand.into_iter().collect();
            return Self {
                masked,
                bin: None,
                issuer_code: None,
                issuer_name: None,
                card_name: None,
                card_type: None,
                brand,
                brands,
            };
        };
        Self {
            masked,
            bin: Some(row.bin.as_str()),
            issuer_code: Some(&row.issuer_code),
            issuer_name: Some(&row.issuer_name),
            card_name: Some(&row.card_name),
            card_type: Some(row.card_type.name()),
            brand: Some(row.brands.first.name()),
            brands: row.brands.iter().map(Brand::name).collect(),
        }
    }
}

/// An attempt.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
struct AttemptBody<'order> {
    /// The channel that it went to.
    channel: &'order str,
    /// Our number there.
    channel_order_no: Text<crate::domain::ids::ChannelOrderNo>,
    /// What was asked.
    #[schemars(with = "word::OperationWord")]
    operation: &'static str,
    /// How it stands.
    #[schemars(with = "word::AttemptStateWord")]
    state: &'static str,
    /// The channel's own number, from its first message that names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_reference: Option<&'order str>,
    /// The channel's code, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'order str>,
    /// Our word for the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::ReasonWord>")]
    reason: Option<&'static str>,
    /// Why nothing was known, at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::UnknownCauseWord>")]
    unknown_cause: Option<&'static str>,
    /// Why the last message about it was not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    objection: Option<&'order str>,
    /// When it was about to leave.
    sent_at: MomentText,
    /// When its code was asked for, under its number: the channel names it by this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    announced_at: Option<MomentText>,
    /// When a verified word first showed that the channel has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<MomentText>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<MomentText>,
    /// By which evidence it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::SourceWord>")]
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
            announced_at: attempt.announced_at.map(MomentText),
            acknowledged_at: attempt.acknowledged_at.map(MomentText),
            ended_at: attempt.ended_at.map(MomentText),
            ended_by: attempt.ended_by.map(|source| source.name()),
        }
    }
}

/// The sums of one currency.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Totals")]
pub struct TotalsBody {
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// How many records.
    records: u64,
    /// The sum of the principals, in minor units.
    principal: i64,
    /// The sum of the fees, in minor units.
    fee: i64,
    /// The sum of the nets, in minor units.
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DayClose")]
pub struct CloseBody<'row> {
    /// When.
    at: MomentText,
    /// Whoever closed it.
    by: &'row str,
    /// The SHA-256 of the export's bytes.
    sha256: String,
    /// The sums of each currency.
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Accounting")]
pub struct AccountingBody<'row> {
    #[serde(flatten)]
    voucher: Voucher<'row>,
    /// How it stands.
    #[schemars(with = "word::DeliveryStatusWord")]
    state: &'static str,
    /// How often it was posted.
    tries: u32,
    /// When it is posted next.
    due_at: MomentText,
    /// When accounting took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<MomentText>,
    /// What the last try came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'row str>,
    /// Whether a try may have been booked.
    unanswered: bool,
}

/// A notice to the core, and how far its delivery is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Notice")]
pub struct NoticeBody<'row> {
    /// The order that it tells of.
    id: Text<crate::domain::ids::OrderId>,
    /// Where it goes.
    url: &'row str,
    /// When it was owed.
    created_at: MomentText,
    /// How it stands.
    #[schemars(with = "word::DeliveryStatusWord")]
    state: &'static str,
    /// How often it was posted.
    tries: u32,
    /// When it is posted next.
    due_at: MomentText,
    /// When the core took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<MomentText>,
    /// What the last try came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'row str>,
}

impl<'row> From<&'row CoreNotice> for NoticeBody<'row> {
    fn from(notice: &'row CoreNotice) -> Self {
        Self {
            id: Text(notice.order),
            url: &notice.url,
            created_at: MomentText(notice.created_at),
            state: notice.delivery.status.name(),
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
            state: request.delivery.status.name(),
            tries: request.delivery.tries,
            due_at: MomentText(request.delivery.due_at),
            acknowledged_at: request.delivery.acknowledged_at.map(MomentText),
            last_error: request.delivery.last_error.as_deref(),
            unanswered: request.delivery.unanswered,
        }
    }
}

/// One line of the audit trail.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct AuditBody<'row> {
    /// Its place in the trail.
    place: u64,
    /// When.
    at: MomentText,
    /// The caller who did it.
    actor: &'row str,
    /// The second person, where one had to approve it.
    #[serde(skip_serializing_if = "Option::is_none")]
    approver: Option<&'row str>,
    /// A stable word, such as `reversal.resolve`.
    action: &'row str,
    /// What it was done to.
    subject: &'row str,
    /// The reason, as it was given.
    reason: &'row str,
}

impl<'row> From<&'row (u64, AuditEntry)> for AuditBody<'row> {
    fn from((place, entry): &'row (u64, AuditEntry)) -> Self {
        Self {
            place: *place,
            at: MomentText(entry.at),
            actor: &entry.actor,
            approver: entry.approver.as_deref(),
            action: &entry.action,
            subject: &entry.subject,
            reason: &entry.reason,
        }
    }
}
