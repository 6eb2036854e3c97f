//! The notices to the core: where each delivery stands, and an operator's retry.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};

use crate::api::auth::{MayInspect, MayOperate, Seat};
use crate::api::dto::{NoticeBody, json};
use crate::api::error::{ApiError, Code};
use crate::api::input::json::Fields;
use crate::api::input::query::Query;
use crate::api::input::{Segment, order, read_json};
use crate::api::page::{next_of, page};
use crate::api::{ApiState, to_its_end};
use crate::domain::batch::{AuditEntry, Batch, CoreNotice};
use crate::domain::books::accounting::DeliveryStatus;
use crate::domain::ids::OrderId;
use crate::store::CommitError;

/// How often a retry is written again because a worker had just written the row.
const CONFLICTS_MAX: u32 = 8;

/// `GET /v1/notices?status=&after=&limit=`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let status = query.parsed("status", "owed, acknowledged or parked", |text| {
        DeliveryStatus::parse(text).filter(|status| *status != DeliveryStatus::Withdrawn)
    })?;
    let after = query.parsed("after", "an id, 19 digits", OrderId::parse)?;
    let limit = query.limit()?;
    query.finish()?;
    let rows = state.engine.store().notices(status, after, limit).await?;
    let next = next_of(&rows, limit, |row| row.order.to_string());
    Ok(page("notices", rows.iter().map(NoticeBody::from), next))
}

/// `GET /v1/notices/{id}`, by the order's id.
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let notice = load(&state, &id).await?;
    Ok(json(StatusCode::OK, &NoticeBody::from(&notice)))
}

/// `POST /v1/notices/{id}/retry`: whatever became of it, it is sent now.
pub async fn retry(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts.headers, body, state.body_limits()).await?;
    let mut fields = Fields::parse_or_empty(&body)?;
    let reason = order::plain(&mut fields, "reason", order::REASON_LENGTH_MAX, |_| true)?;
    fields.finish()?;
    let notice = to_its_end(async move { make_due(&state, &seat, &id, reason).await }).await?;
    Ok(json(StatusCode::OK, &NoticeBody::from(&notice)))
}

/// Writes the row as owed and due, with who wanted it and why. One that was acknowledged is sent
/// again too: a core that lost it may ask for it.
async fn make_due(
    state: &ApiState,
    seat: &Seat,
    id: &str,
    reason: Option<String>,
) -> Result<CoreNotice, ApiError> {
    for _ in 0..CONFLICTS_MAX {
        let mut notice = load(state, id).await?;
        let now = state.engine.clock().now();
        notice.delivery.status = DeliveryStatus::Owed;
        notice.delivery.acknowledged_at = None;
        notice.delivery.due_at = now;
        notice.delivery.version += 1;
        let entry = AuditEntry {
            at: now,
            actor: seat.name().to_string(),
            action: "notice.retry".to_owned(),
            subject: notice.order.to_string(),
            reason: reason.clone().unwrap_or_default(),
        };
        let notices = vec![notice.clone()];
        let batch = Batch { notices, audit: vec![entry], ..Batch::default() };
        match state.engine.store().commit(batch).await {
            Ok(()) => {
                state.engine.signals().notices.notify_one();
                return Ok(notice);
            }
            Err(CommitError::Conflict) => {}
            Err(error) => return Err(state.engine.commit_error(&error).into()),
        }
    }
    Err(ApiError::new(Code::QueueFull, "the row changes too fast just now; come back soon"))
}

async fn load(state: &ApiState, id: &str) -> Result<CoreNotice, ApiError> {
    let missing = || ApiError::not_found("no order of this id has a notice");
    let id = OrderId::parse(id).ok_or_else(missing)?;
    state.engine.store().notice(id).await?.ok_or_else(missing)
}
