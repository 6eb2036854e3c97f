//! Codes of payments: the channel sends one to the payer's phone, and the payment with the same
//! order id brings it.
//!
//! Upholds I-9 (a repeat gets the same answer, unless another code is asked for) and I-11: neither
//! the code, nor the phone, nor a digit of the card is in an answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::{MayAsk, MaySend};
use crate::api::dto::{MomentText, Text, json};
use crate::api::error::ApiError;
use crate::api::input::query::Query;
use crate::api::input::{order, read_json};
use crate::api::payments::refusal;
use crate::api::payments::wait::Wait;
use crate::codec::word;
use crate::domain::card::words::CardEcho;
use crate::domain::closed_set::ClosedSet as _;
use crate::domain::ids::{AgreementId, ChannelOrderNo};
use crate::domain::outcome::{Reason, UnknownCause};
use crate::domain::payment_code::{CodeCall, CodePayer, PaymentCode, PaymentCodeState};
use crate::domain::time::Present;
use crate::engine::intake::NamedPayer;

pub(super) const PATH: &str = "/v1/payment-codes";

/// The state of a code that no payment can name any more, for its age.
const ENDED: &str = "ended";

/// The form of a state as it is shown: those that are kept, and the one that time makes.
struct ShownCodeState;

impl JsonSchema for ShownCodeState {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PaymentCodeState".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let shown = PaymentCodeState::NAMES.iter().copied().chain([ENDED]);
        json_schema!({ "type": "string", "enum": Vec::from_iter(shown) })
    }
}

/// The code of a payment as it is shown: never the code itself.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PaymentCode")]
pub struct PaymentCodeBody<'row> {
    /// The caller's own id of the order to come.
    order_id: &'row str,
    /// What the order is: a payment or a pre-authorisation.
    #[schemars(with = "word::CodedKindWord")]
    kind: &'static str,
    /// The merchant, as it was sent.
    merchant_id: &'row str,
    /// The order's amount, in minor units.
    amount: i64,
    /// The order's currency.
    currency: &'static str,
    /// The agreement that the order will be by, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<Text<AgreementId>>,
    /// What the last request for a code came to; `spent`: the order has come, `ended`: it came
    /// too late, or not at all.
    #[schemars(with = "ShownCodeState")]
    state: &'static str,
    /// The channel that was asked, to which the order will go.
    channel: &'row str,
    /// The number that the order will have at the channel; absent where no code can have come.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_order_no: Option<Text<ChannelOrderNo>>,
    /// How often the channel was asked for a code.
    requests: u8,
    /// Why its last request did not go well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::ReasonWord>")]
    reason: Option<&'static str>,
    /// Why nothing is known of its last request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::UnknownCauseWord>")]
    unknown_cause: Option<&'static str>,
    /// The channel's code, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'row str>,
    /// Until when the order can come with it; absent where no code can have come.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<MomentText>,
    /// When it was durable.
    created_at: MomentText,
    /// When it changed last.
    changed_at: MomentText,
}

impl<'row> PaymentCodeBody<'row> {
    fn of(row: &'row PaymentCode, present: &Present) -> Self {
        Self {
            order_id: row.asked.caller_order_id.as_str(),
            kind: row.asked.kind.name(),
            merchant_id: row.asked.merchant_id.as_str(),
            amount: row.asked.amount.get(),
            currency: row.asked.currency.name(),
            agreement: match row.asked.payer {
                CodePayer::Card { .. } => None,
                CodePayer::Agreement(id) => Some(Text(id)),
            },
            state: if row.has_ended(present) { ENDED } else { row.state.name() },
            channel: row.channel.as_str(),
            channel_order_no: row.payable().map(CodeCall::channel_order_no).map(Text),
            requests: row.requests,
            reason: row.reason.map(Reason::name),
            unknown_cause: row.unknown_cause.map(UnknownCause::name),
            code: row.code.as_deref(),
            ends_at: row.ends_at().map(MomentText),
            created_at: MomentText(row.created_at),
            changed_at: MomentText(row.changed_at),
        }
    }
}

/// `POST /v1/payment-codes`
pub async fn create(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, &state);
    let body = read_json(&parts, body, state.body_limits()).await?;
    let new = order::read_payment_code(&body, seat.name(), state.field_rules())?;
    drop(body);
    let echo = match &new.by {
        NamedPayer::Card(card) => CardEcho::of(card),
        NamedPayer::Agreement { .. } => CardEcho::NONE,
    };
    state.refuse_card_numbers(&new.asked, echo)?;
    state.refuse_when_closed()?;
    let sent = state.intake.send_payment_code(new, wait.patience.until).await.map_err(refusal)?;
    let body = PaymentCodeBody::of(&sent.code, &state.engine.clock().present());
    Ok(wait.dress(json(status(sent.code.state), &body), sent.is_repeat))
}

/// `GET /v1/payment-codes?order_id=`
pub async fn by_order_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (id, caller) = Query::of(&uri).callers_id("an id of an order is needed")?;
    let caller = seat.asks_of(caller);
    let found = state.engine.store().payment_code(caller, id).await?;
    let visible = found.filter(|row| seat.may_see_of(&row.asked.caller));
    let row = visible.ok_or_else(|| ApiError::not_found("no code was asked for under this id"))?;
    let row = state.engine.settle_code(row).await?;
    let body = PaymentCodeBody::of(&row, &state.engine.clock().present());
    Ok(json(StatusCode::OK, &body))
}

/// 200 with what the channel has said, 202 with what is open.
const fn status(state: PaymentCodeState) -> StatusCode {
    match state {
        PaymentCodeState::Sent | PaymentCodeState::Refused | PaymentCodeState::Spent => {
            StatusCode::OK
        }
        PaymentCodeState::Sending | PaymentCodeState::Unknown => StatusCode::ACCEPTED,
    }
}
