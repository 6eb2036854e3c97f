//! The accounting requests: where each delivery stands, and an operator's retry.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};

use crate::api::auth::{MayInspect, MayOperate, Seat};
use crate::api::dto::{AccountingBody, OrderBody, json};
use crate::api::error::{ApiError, Code};
use crate::api::input::json::Fields;
use crate::api::input::query::Query;
use crate::api::input::{Segment, read_json};
use crate::api::page::{next_of, page};
use crate::api::{ApiState, to_its_end};
use crate::domain::batch::{AuditEntry, Batch};
use crate::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use crate::domain::command::Decider;
use crate::store::CommitError;

/// How often a retry is written again because a worker had just written the row.
const CONFLICTS_MAX: u32 = 8;

/// `GET /v1/accounting-requests?status=&after=&limit=`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let status =
        query.parsed("status", "owed, acknowledged, parked or withdrawn", DeliveryStatus::parse)?;
    let after = query.parsed("after", "an id: 19 digits, -, a number", RequestId::parse)?;
    let limit = query.limit()?;
    query.finish()?;
    let rows = state.engine.store().accounting_requests(status, after, limit).await?;
    let next = next_of(&rows, limit, |row| row.id.to_string());
    Ok(page("accounting_requests", rows.iter().map(AccountingBody::from), next))
}

/// `GET /v1/accounting-requests/{id}`
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let request = load(&state, &id).await?;
    Ok(json(StatusCode::OK, &AccountingBody::from(&request)))
}

/// `POST /v1/accounting-requests/{id}/retry`: parked or owed, it is due now.
pub async fn retry(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts.headers, body, state.body_limits()).await?;
    let mut fields = Fields::parse_or_empty(&body)?;
    let reason = state.reason(&mut fields)?;
    fields.finish()?;
    let request = to_its_end(async move { make_due(&state, &seat, &id, reason).await }).await?;
    Ok(json(StatusCode::OK, &AccountingBody::from(&request)))
}

/// `POST /v1/accounting-requests/{id}/withdraw`: gives up a request that accounting refuses, and
/// the refund or void that waits for it.
pub async fn withdraw(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts.headers, body, state.body_limits()).await?;
    let mut fields = Fields::parse(&body)?;
    let reason = state.reason(&mut fields)?;
    let reason = reason.ok_or_else(|| fields.missing("reason"))?;
    fields.finish()?;
    let missing = || ApiError::not_found("no accounting request has this id");
    let id = RequestId::parse(&id).ok_or_else(missing)?;
    let decider = Decider { actor: seat.name().to_string(), reason };
    let order = to_its_end(async move { Ok(state.engine.withdraw(id, decider).await?) }).await?;
    Ok(json(StatusCode::OK, &OrderBody::from(&order)))
}

/// Writes the row as owed and due, with who wanted it and why.
async fn make_due(
    state: &ApiState,
    seat: &Seat,
    id: &str,
    reason: Option<String>,
) -> Result<AccountingRequest, ApiError> {
    for _ in 0..CONFLICTS_MAX {
        let mut request = load(state, id).await?;
        let now = state.engine.clock().now();
        match request.delivery.status {
            DeliveryStatus::Owed | DeliveryStatus::Parked => {}
            DeliveryStatus::Withdrawn => {
                let detail = "the request was withdrawn with the order that waited for it";
                return Err(ApiError::new(Code::WrongPhase, detail));
            }
            DeliveryStatus::Acknowledged => {
                let detail = "accounting has acknowledged the request already";
                return Err(ApiError::new(Code::WrongPhase, detail));
            }
        }
        request.delivery.status = DeliveryStatus::Owed;
        request.delivery.due_at = now;
        request.delivery.version += 1;
        let entry = AuditEntry {
            at: now,
            actor: seat.name().to_string(),
            action: "accounting.retry".to_owned(),
            subject: request.id.to_string(),
            reason: reason.clone().unwrap_or_default(),
        };
        let accounting = vec![request.clone()];
        let batch = Batch { accounting, audit: vec![entry], ..Batch::default() };
        match state.engine.store().commit(batch).await {
            Ok(()) => {
                state.engine.signals().accounting.notify_one();
                return Ok(request);
            }
            Err(CommitError::Conflict) => {}
            Err(error) => return Err(state.engine.commit_error(&error).into()),
        }
    }
    Err(ApiError::new(Code::QueueFull, "the row changes too fast just now; come back soon"))
}

async fn load(state: &ApiState, id: &str) -> Result<AccountingRequest, ApiError> {
    let missing = || ApiError::not_found("no accounting request has this id");
    let id = RequestId::parse(id).ok_or_else(missing)?;
    state.engine.store().accounting_request(id).await?.ok_or_else(missing)
}
