//! Card verifications: no money, an answer with its reason.
//!
//! Upholds I-9 as payments do, and I-11: of what was sent nothing is shown again but which elements
//! there were.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::{MayAsk, MaySend, Seat};
use crate::api::dto::{MomentText, Text, json};
use crate::api::error::ApiError;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, order, read_json};
use crate::api::payments::refusal;
use crate::api::payments::wait::Wait;
use crate::codec::word;
use crate::domain::card::words::CardEcho;
use crate::domain::ids::{ChannelOrderNo, VerificationId};
use crate::domain::verification::{CardVerification, VerificationRequest};

/// A verification as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Verification")]
pub struct VerificationBody<'row> {
    /// Our number of it.
    id: Text<VerificationId>,
    /// The caller's own id.
    order_id: &'row str,
    /// The merchant, as it was sent.
    merchant_id: &'row str,
    /// The elements that were given.
    elements: Vec<&'static str>,
    /// Absent while a channel is being asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::VerdictWord>")]
    verdict: Option<&'static str>,
    /// Why, in a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::ReasonWord>")]
    reason: Option<&'static str>,
    /// Why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::UnknownCauseWord>")]
    unknown_cause: Option<&'static str>,
    /// The channel of the last try.
    channel: &'row str,
    /// Our number of the last try.
    channel_order_no: Text<ChannelOrderNo>,
    /// The channel's code, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'row str>,
    /// When it was durable.
    created_at: MomentText,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<MomentText>,
}

impl<'row> From<&'row CardVerification> for VerificationBody<'row> {
    fn from(row: &'row CardVerification) -> Self {
        let end = row.end.as_ref();
        Self {
            id: Text(row.id),
            order_id: row.asked.caller_order_id.as_str(),
            merchant_id: row.asked.merchant_id.as_str(),
            elements: row.asked.elements().collect(),
            verdict: end.map(|end| end.verdict.name()),
            reason: end.and_then(|end| end.reason).map(|reason| reason.name()),
            unknown_cause: end.and_then(|end| end.unknown_cause).map(|cause| cause.name()),
            channel: row.channel.as_str(),
            channel_order_no: Text(row.channel_order_no()),
            code: end.and_then(|end| end.code.as_deref()),
            created_at: MomentText(row.created_at),
            finished_at: end.map(|end| MomentText(end.at)),
        }
    }
}

/// `POST /v1/verifications`
pub async fn create(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, &state);
    let body = read_json(&parts, body, state.body_limits()).await?;
    let (caller_order_id, merchant_id, card) =
        order::read_verification(&body, state.field_rules())?;
    drop(body);
    let echo = CardEcho::of(&card);
    state.refuse_card_number("order_id", caller_order_id.as_str(), echo)?;
    state.refuse_card_number("merchant_id", merchant_id.as_str(), echo)?;
    state.refuse_when_closed()?;
    let digests = state.engine.vault().digests(&card);
    let caller = seat.name().clone();
    let asked = VerificationRequest { caller, caller_order_id, merchant_id, digests };
    let answer = state.intake.verify(asked, card, wait.patience.until).await.map_err(refusal)?;
    Ok(wait.dress(answered(&answer.verification), answer.is_repeat))
}

/// `GET /v1/verifications/{id}`
pub async fn by_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let id = VerificationId::parse(&id).ok_or_else(no_such_verification)?;
    show(&state, &seat, state.engine.store().verification(id).await?).await
}

/// `GET /v1/verifications?order_id=`
pub async fn by_order_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (id, caller) = Query::of(&uri).callers_id("an id of a verification is needed")?;
    let caller = seat.asks_of(caller);
    let found = state.engine.store().verification_by_caller(caller, id).await?;
    show(&state, &seat, found).await
}

async fn show(
    state: &ApiState,
    seat: &Seat,
    found: Option<CardVerification>,
) -> Result<Response, ApiError> {
    let visible = found.filter(|row| seat.may_see_of(&row.asked.caller));
    let row = visible.ok_or_else(no_such_verification)?;
    let row = state.engine.end_if_lost(row).await?;
    Ok(json(StatusCode::OK, &VerificationBody::from(&row)))
}

/// The answer to whoever asked for it: 200 with an end, 202 while a channel is being asked.
fn answered(row: &CardVerification) -> Response {
    let status = if row.end.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    json(status, &VerificationBody::from(row))
}

fn no_such_verification() -> ApiError {
    ApiError::not_found("no verification has this id")
}
