//! The notices to the core: where each delivery stands, and an operator's retry.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};

use crate::api::auth::{MayInspect, MayOperate};
use crate::api::dto::{NoticeBody, json};
use crate::api::error::ApiError;
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, order, read_json};
use crate::api::page::listing;
use crate::api::{ApiState, run_detached};
use crate::domain::books::accounting::DeliveryStatus;
use crate::domain::command::Decider;
use crate::domain::ids::OrderId;

/// `GET /v1/notices?state=&after=&limit=`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let which = query.parsed("state", "owed, acknowledged or parked", |text| {
        DeliveryStatus::parse(text).filter(|status| *status != DeliveryStatus::Withdrawn)
    })?;
    let (after, limit) = query.page("an id, 19 digits", OrderId::parse)?;
    let rows = state.engine.store().notices(which, after, limit).await?;
    Ok(listing("notices", &rows, limit, |row| row.order.to_string(), NoticeBody::from))
}

/// `GET /v1/notices/{id}`, by the order's id.
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let id = OrderId::parse(&id).ok_or_else(missing)?;
    let notice = state.engine.store().notice(id).await?.ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &NoticeBody::from(&notice)))
}

/// `POST /v1/notices/{id}/retry`: whatever became of it, it is sent now.
pub async fn retry(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse_or_empty(&body)?;
    let reason = order::plain(&mut fields, "reason", order::REASON_LENGTH_MAX, |_| true)?;
    fields.finish()?;
    let id = OrderId::parse(&id).ok_or_else(missing)?;
    let decider = Decider {
        actor: seat.name().to_string(),
        approver: None,
        reason: reason.unwrap_or_default(),
    };
    let due =
        run_detached(async move { Ok(state.engine.retry_notice(id, &decider).await?) }).await?;
    Ok(json(StatusCode::OK, &NoticeBody::from(&due.ok_or_else(missing)?)))
}

fn missing() -> ApiError {
    ApiError::not_found("no order of this id has a notice")
}
