//! Settlements: the money that the bank has received, compared with the statements.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};

use crate::api::auth::{MayInspect, MayOperate};
use crate::api::channels::channel_id;
use crate::api::dto::json;
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::forms::REFERENCE_LENGTH_MAX;
use crate::api::input::json::{Json, JsonFields};
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, order, read_json};
use crate::api::page::listing;
use crate::api::reconciliation::body::SettlementBody;
use crate::api::{ApiState, run_detached};
use crate::domain::books::settlement::{BankReceipt, ReceiptSubmission, SettlementRefusal};
use crate::domain::ids::{ChannelId, SettlementId};
use crate::domain::time::{BusinessDate, Timestamp};
use crate::reconciliation::suspense::SettlementError;

/// `POST /v1/channels/{id}/settlements`: a receipt of the bank's.
pub async fn record(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let channel = channel_id(&state, &id)?;
    let received = read(&body, channel, seat.name().to_string(), state.engine.clock().now())?;
    let recorded =
        run_detached(async move { Ok(state.settlements.record(received).await?) }).await?;
    let status = if recorded.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok(json(status, &SettlementBody::from(&recorded.settlement)))
}

/// `GET /v1/channels/{id}/settlements?after=&limit=`
pub async fn of_channel(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (after, limit) = Query::of(&uri).page("an id of 19 digits", SettlementId::parse)?;
    let channel = channel_id(&state, &id)?;
    let rows = state.engine.store().settlements(channel, after, limit).await?;
    Ok(listing("settlements", &rows, limit, |row| row.id.to_string(), SettlementBody::from))
}

/// `GET /v1/settlements/{id}`
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let row = state.engine.store().settlement(parsed(&id)?).await?;
    let row = row.ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &SettlementBody::from(&row)))
}

/// `POST /v1/settlements/{id}/check`: against what the statements of its dates say now.
pub async fn check(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    JsonFields::parse_or_empty(&body)?.finish()?;
    let id = parsed(&id)?;
    let checked =
        run_detached(async move { Ok(state.settlements.check(id, seat.name().as_str()).await?) });
    Ok(json(StatusCode::OK, &SettlementBody::from(&checked.await?)))
}

fn parsed(id: &str) -> Result<SettlementId, ApiError> {
    SettlementId::parse(id).ok_or_else(missing)
}

fn missing() -> ApiError {
    ApiError::not_found("no settlement has this id")
}

fn read(
    body: &[u8],
    channel: ChannelId,
    by: String,
    at: Timestamp,
) -> Result<ReceiptSubmission, ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let from = date(&mut fields, "from")?.ok_or_else(|| fields.missing("from"))?;
    let to = date(&mut fields, "to")?.unwrap_or(from);
    let currency = order::currency(&mut fields)?;
    let received_minor = amount(&mut fields)?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._:/-".contains(letter);
    let reference = order::plain(&mut fields, "bank_reference", REFERENCE_LENGTH_MAX, plain)?;
    let bank_reference = reference.ok_or_else(|| fields.missing("bank_reference"))?;
    let received_on = date(&mut fields, "received_on")?;
    let received_on = received_on.ok_or_else(|| fields.missing("received_on"))?;
    fields.finish()?;
    let receipt = BankReceipt { bank_reference, received_minor, received_on, at, by };
    Ok(ReceiptSubmission { channel, from, to, currency, receipt })
}

fn date(fields: &mut JsonFields<'_>, name: &'static str) -> Result<Option<BusinessDate>, ApiError> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    let date = text.is_ascii().then(|| BusinessDate::parse(&text)).flatten();
    date.map(Some).ok_or_else(|| fields.invalid(name, "a date YYYY-MM-DD is expected"))
}

/// Signed: negative where the bank paid the channel.
fn amount(fields: &mut JsonFields<'_>) -> Result<i64, ApiError> {
    match fields.value("amount") {
        None => Err(fields.missing("amount")),
        Some(Json::Integer(minor)) => Ok(minor),
        Some(Json::Huge) => Err(SettlementError::from(SettlementRefusal::TooLarge).into()),
        Some(_) => {
            let detail = "an integer of minor units is expected, without fraction";
            Err(ApiError::of_field(ProblemCode::InvalidAmount, "amount", detail))
        }
    }
}

impl From<SettlementError> for ApiError {
    fn from(error: SettlementError) -> Self {
        let detail = error.to_string();
        match error {
            SettlementError::Refused(refusal) => match refusal {
                SettlementRefusal::Differs { field } => {
                    Self::of_field(ProblemCode::BankReferenceConflict, field, detail)
                }
                SettlementRefusal::EndsBeforeItBegins | SettlementRefusal::TooManyDates => {
                    Self::of_field(ProblemCode::InvalidField, "to", detail)
                }
                SettlementRefusal::TooLarge => {
                    Self::of_field(ProblemCode::InvalidAmount, "amount", detail)
                }
                SettlementRefusal::TooManyReceipts => Self::new(ProblemCode::WrongPhase, detail),
            },
            SettlementError::NoSuchSettlement => missing(),
            SettlementError::NoSuchChannel => crate::api::channels::unknown_channel(),
            SettlementError::Engine(error) => error.into(),
        }
    }
}
