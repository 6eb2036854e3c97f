//! Four eyes: requests for a second person, and what the second person says.
//!
//! Handlers ask by [`crate::api::held`]; [`carry_out`] does it when a second person has approved,
//! by the code that does it at once where one person is enough.

mod carry_out;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};

use crate::api::auth::{MayInspect, MayOperate};
use crate::api::dto::json;
use crate::api::error::{ApiError, NO_SUCH_APPROVAL, ProblemCode};
use crate::api::held::ApprovalBody;
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, read_json};
use crate::api::page::listing;
use crate::api::{ApiState, run_detached};
use crate::domain::approval::ApprovalRequest;
use crate::domain::ids::ApprovalId;

/// `GET /v1/approvals?state=&after=&limit=`: those that wait, the oldest first; or all, the newest
/// first.
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let which = |text: &str| match text {
        "waiting" => Some(true),
        "all" => Some(false),
        _ => None,
    };
    let waiting = query.parsed("state", "waiting or all", which)?.unwrap_or(true);
    let (after, limit) = query.page("an id of 19 digits", ApprovalId::parse)?;
    let store = state.engine.store();
    let rows = match waiting {
        true => store.waiting_approvals(after, limit).await?,
        false => store.approvals(after, limit).await?,
    };
    let present = state.engine.clock().present();
    let place = |row: &ApprovalRequest| row.id.to_string();
    Ok(listing("approvals", &rows, limit, place, |row| ApprovalBody::of(row, &present)))
}

/// `GET /v1/approvals/{id}`
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let request = state.engine.load_approval(parsed(&id)?).await?;
    Ok(shown(&state, &request))
}

/// `POST /v1/approvals/{id}/approve`: a second person says yes, and it is carried out.
pub async fn approve(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (id, reason) = read_decision(&state, &id, request).await?;
    let (by, inner) = (seat.operator(), Arc::clone(&state));
    let done = run_detached(async move { carry_out::carry_out(&inner, id, by, reason).await });
    Ok(shown(&state, &done.await?))
}

/// `POST /v1/approvals/{id}/refuse`: a second person says no.
pub async fn refuse(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (id, reason) = read_decision(&state, &id, request).await?;
    let reason = reason.ok_or_else(|| {
        ApiError::of_field(ProblemCode::MissingField, "reason", "the field is required")
    })?;
    let by = seat.operator();
    let inner = Arc::clone(&state);
    let done =
        run_detached(async move { Ok(inner.engine.refuse_approval(id, &by, &reason).await?) });
    Ok(shown(&state, &done.await?))
}

/// `POST /v1/approvals/{id}/withdraw`: whoever asked takes it back.
pub async fn withdraw(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (id, reason) = read_decision(&state, &id, request).await?;
    let by = seat.operator();
    let inner = Arc::clone(&state);
    let done = run_detached(async move {
        Ok(inner.engine.withdraw_approval(id, &by, reason.as_deref()).await?)
    });
    Ok(shown(&state, &done.await?))
}

async fn read_decision(
    state: &ApiState,
    id: &str,
    request: Request,
) -> Result<(ApprovalId, Option<String>), ApiError> {
    let (parts, body) = request.into_parts();
    let id = parsed(id)?;
    let body = read_json(&parts, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse_or_empty(&body)?;
    let reason = state.reason(&mut fields)?;
    fields.finish()?;
    Ok((id, reason))
}

fn shown(state: &ApiState, request: &ApprovalRequest) -> Response {
    let present = state.engine.clock().present();
    json(StatusCode::OK, &ApprovalBody::of(request, &present))
}

fn parsed(id: &str) -> Result<ApprovalId, ApiError> {
    ApprovalId::parse(id).ok_or_else(|| ApiError::not_found(NO_SUCH_APPROVAL))
}
