//! The accounting requests: where each delivery stands, and an operator's retry.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};

use crate::api::auth::{MayInspect, MayOperate};
use crate::api::dto::{AccountingBody, OrderBody, json};
use crate::api::error::ApiError;
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, read_json};
use crate::api::page::listing;
use crate::api::{ApiState, run_detached};
use crate::domain::books::accounting::{DeliveryStatus, RequestId};
use crate::domain::command::Decider;

/// `GET /v1/accounting-requests?state=&after=&limit=`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let which =
        query.parsed("state", "owed, acknowledged, parked or withdrawn", DeliveryStatus::parse)?;
    let (after, limit) = query.page("an id: 19 digits, -, a number", RequestId::parse)?;
    let rows = state.engine.store().accounting_requests(which, after, limit).await?;
    Ok(listing("accounting_requests", &rows, limit, |row| row.id.to_string(), AccountingBody::from))
}

/// `GET /v1/accounting-requests/{id}`
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let id = RequestId::parse(&id).ok_or_else(missing)?;
    let request = state.engine.store().accounting_request(id).await?.ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &AccountingBody::from(&request)))
}

/// `POST /v1/accounting-requests/{id}/retry`: parked or owed, it is due now.
pub async fn retry(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse_or_empty(&body)?;
    let reason = state.reason(&mut fields)?;
    fields.finish()?;
    let id = RequestId::parse(&id).ok_or_else(missing)?;
    let decider = Decider {
        actor: seat.name().to_string(),
        approver: None,
        reason: reason.unwrap_or_default(),
    };
    let due =
        run_detached(async move { Ok(state.engine.retry_accounting(id, &decider).await?) }).await?;
    Ok(json(StatusCode::OK, &AccountingBody::from(&due.ok_or_else(missing)?)))
}

/// `POST /v1/accounting-requests/{id}/withdraw`: gives up a request that accounting refuses, and
/// the refund or void that waits for it.
pub async fn withdraw(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse(&body)?;
    let reason = state.reason(&mut fields)?;
    let reason = reason.ok_or_else(|| fields.missing("reason"))?;
    fields.finish()?;
    let id = RequestId::parse(&id).ok_or_else(missing)?;
    let decider = Decider { actor: seat.name().to_string(), approver: None, reason };
    let order = run_detached(async move { Ok(state.engine.withdraw(id, decider).await?) }).await?;
    Ok(json(StatusCode::OK, &OrderBody::from(&order)))
}

fn missing() -> ApiError {
    ApiError::not_found("no accounting request has this id")
}
