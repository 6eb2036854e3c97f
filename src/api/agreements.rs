//! Agreements: a card is bound once by a code that its holder gets by SMS.
//!
//! Upholds I-9 as payments do, and I-11: what is shown is the masked card and the masked phone,
//! never a token, and a code goes to the channel and nowhere else.

mod asked;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::{MayAsk, MaySend, Seat};
use crate::api::dto::{CardBody, MomentText, Text, json};
use crate::api::error::ApiError;
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, order, read_json};
use crate::api::page::page;
use crate::api::payments::refusal;
use crate::api::payments::wait::Wait;
use crate::codec::word;
use crate::domain::agreement::{Agreement, AgreementState};
use crate::domain::card::words::CardEcho;
use crate::domain::closed_set::ClosedSet as _;
use crate::domain::ids::AgreementId;
use crate::domain::outcome::{Reason, UnknownCause};
use crate::domain::time::Present;
use crate::engine::AgreementAnswer;
use asked::AgreementQuestion;

/// The form of a state as it is shown: those that are kept, and the one that a date makes.
struct ShownState;

impl JsonSchema for ShownState {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AgreementState".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let shown = AgreementState::NAMES.iter().copied().chain(["expired"]);
        json_schema!({ "type": "string", "enum": Vec::from_iter(shown) })
    }
}

/// An agreement as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Agreement")]
pub struct AgreementBody<'row> {
    /// Our number of it.
    id: Text<AgreementId>,
    /// The caller's own id.
    order_id: &'row str,
    /// The merchant, as it was sent: its orders can name the agreement.
    merchant_id: &'row str,
    /// How it stands; `expired`: it was active, and its date has passed.
    #[schemars(with = "ShownState")]
    state: &'static str,
    /// The card, as far as it may be shown.
    card: CardBody<'row>,
    /// Masked.
    phone: &'row str,
    /// The channel that keeps the card's token.
    channel: &'row str,
    /// How many codes were sent.
    codes_sent: u8,
    /// How many codes were refused.
    codes_refused: u8,
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
    /// The channel's own words, card data masked; for operators and auditors, where one is asked
    /// for.
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<&'row str>,
    /// When the channel lets it end.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<MomentText>,
    /// When it was durable.
    created_at: MomentText,
    /// When it changed last.
    changed_at: MomentText,
}

/// A page of agreements, by id.
#[derive(JsonSchema)]
#[schemars(rename = "AgreementPage")]
#[allow(dead_code, reason = "it is written row by row; the document has its form")]
pub struct AgreementPageBody<'row> {
    /// The agreements.
    agreements: Vec<AgreementBody<'row>>,
    /// The `after` of the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What `GET /v1/agreements` answers: one that was asked for by its own id, or those of a merchant
/// or a card.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Agreements")]
#[allow(dead_code, reason = "each is written by itself; the document has both")]
pub enum AgreementsBody<'row> {
    One(Box<AgreementBody<'row>>),
    Page(AgreementPageBody<'row>),
}

impl<'row> AgreementBody<'row> {
    fn of(row: &'row Agreement, present: &Present) -> Self {
        Self {
            id: Text(row.id),
            order_id: row.asked.caller_order_id.as_str(),
            merchant_id: row.asked.merchant_id.as_str(),
            state: if row.has_expired(present) { "expired" } else { row.state.name() },
            card: CardBody::from(&row.asked.card),
            phone: &row.asked.phone,
            channel: row.channel.as_str(),
            codes_sent: row.codes_sent,
            codes_refused: row.codes_refused,
            reason: row.reason.map(Reason::name),
            unknown_cause: row.unknown_cause.map(UnknownCause::name),
            code: row.code.as_deref(),
            transcript: None,
            ends_at: row.ends_at.map(MomentText),
            created_at: MomentText(row.created_at),
            changed_at: MomentText(row.changed_at),
        }
    }
}

/// `POST /v1/agreements`
pub async fn create(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, &state);
    let body = read_json(&parts, body, state.body_limits()).await?;
    let new = order::read_agreement(&body, seat.name(), state.field_rules())?;
    drop(body);
    let echo = CardEcho::of(&new.card);
    state.refuse_card_number("order_id", new.caller_order_id.as_str(), echo)?;
    state.refuse_card_number("merchant_id", new.merchant_id.as_str(), echo)?;
    state.refuse_when_closed()?;
    let opened = state.intake.open_agreement(new, wait.patience.until).await.map_err(refusal)?;
    Ok(answer(&state, wait, &opened))
}

/// `POST /v1/agreements/{id}/code`: another code.
pub async fn send_code(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, &state);
    let body = read_json(&parts, body, state.body_limits()).await?;
    let card = order::read_code_again(&body, state.field_rules())?;
    drop(body);
    state.refuse_when_closed()?;
    let id = own(&state, &seat, &id).await?.id;
    let sent = state.engine.send_agreement_code(id, card, wait.patience.until).await?;
    Ok(answer(&state, wait, &sent))
}

/// `POST /v1/agreements/{id}/confirm`
pub async fn confirm(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, &state);
    let body = read_json(&parts, body, state.body_limits()).await?;
    let given = order::read_confirmation(&body, state.field_rules())?;
    drop(body);
    state.refuse_when_closed()?;
    let id = own(&state, &seat, &id).await?.id;
    let confirmed = state.engine.confirm_agreement(id, given, wait.patience.until).await?;
    Ok(answer(&state, wait, &confirmed))
}

/// `POST /v1/agreements/{id}/end`
pub async fn end(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, &state);
    let body = read_json(&parts, body, state.body_limits()).await?;
    JsonFields::parse_or_empty(&body)?.finish()?;
    state.refuse_when_closed()?;
    let id = own(&state, &seat, &id).await?.id;
    let ended = state.engine.end_agreement(id, wait.patience.until).await?;
    Ok(answer(&state, wait, &ended))
}

/// `GET /v1/agreements/{id}`
pub async fn by_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let id = AgreementId::parse(&id).ok_or_else(no_such_agreement)?;
    show(&state, &seat, state.engine.store().agreement(id).await?).await
}

/// `GET /v1/agreements?order_id=`, and `GET /v1/agreements?merchant_id=&first_six=&last_four=&…`:
/// those of a merchant or a card that the caller may see.
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    uri: Uri,
) -> Result<Response, ApiError> {
    match AgreementQuestion::of_query(&state, &seat, Query::of(&uri))? {
        Ok(question) => list(&state, question).await,
        Err(query) => {
            let needed = "an id of an agreement is needed; or merchant_id, first_six or last_four \
                          for a list";
            let (id, caller) = query.callers_id(needed)?;
            let caller = seat.asks_of(caller);
            let found = state.engine.store().agreement_by_caller(caller, id).await?;
            show(&state, &seat, found).await
        }
    }
}

/// `POST /v1/agreements/search`: the list with the question in the body, where a whole card number
/// may stand.
pub async fn search(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    list(&state, AgreementQuestion::of_body(&state, &seat, &body)?).await
}

async fn list(state: &ApiState, question: AgreementQuestion) -> Result<Response, ApiError> {
    let AgreementQuestion { filter, after, limit } = question;
    let found = state.engine.store().search_agreements(filter, after, limit).await?;
    let present = state.engine.clock().present();
    let bodies = found.agreements.iter().map(|row| AgreementBody::of(row, &present));
    Ok(page("agreements", bodies, found.next.map(|id| id.to_string())))
}

async fn show(
    state: &ApiState,
    seat: &Seat,
    found: Option<Agreement>,
) -> Result<Response, ApiError> {
    let visible = found.filter(|row| seat.may_see_of(&row.asked.caller));
    let row = visible.ok_or_else(no_such_agreement)?;
    let row = state.engine.look_at_agreement(row).await?;
    let words = Some(row.transcript.as_str());
    let words = words.filter(|words| seat.may_see_all() && !words.is_empty());
    let body = AgreementBody::of(&row, &state.engine.clock().present());
    Ok(json(StatusCode::OK, &AgreementBody { transcript: words, ..body }))
}

/// The caller's own agreement of this id, to be changed: another one's does not exist for it.
async fn own(state: &ApiState, seat: &Seat, id: &str) -> Result<Agreement, ApiError> {
    let id = AgreementId::parse(id).ok_or_else(no_such_agreement)?;
    let found = state.engine.store().agreement(id).await?;
    found.filter(|row| seat.asked_of_own(&row.asked.caller)).ok_or_else(no_such_agreement)
}

fn answer(state: &ApiState, wait: Wait, answer: &AgreementAnswer) -> Response {
    let row = &answer.agreement;
    let body = AgreementBody::of(row, &state.engine.clock().present());
    wait.dress(json(status(row), &body), answer.is_repeat)
}

/// Of an answer to whoever changes it: 200 with what the channel has said, 202 with what is open.
const fn status(row: &Agreement) -> StatusCode {
    match row.state {
        AgreementState::CodeSent
        | AgreementState::Active
        | AgreementState::Failed
        | AgreementState::Ended => StatusCode::OK,
        AgreementState::SendingCode
        | AgreementState::CodeUnknown
        | AgreementState::Confirming
        | AgreementState::Unknown
        | AgreementState::Ending => StatusCode::ACCEPTED,
    }
}

fn no_such_agreement() -> ApiError {
    ApiError::not_found("no agreement has this id")
}
