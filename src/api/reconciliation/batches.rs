//! Reconciliation batches: the findings of a run, and running a date again.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};

use crate::api::auth::{MayInspect, MayOperate};
use crate::api::channels::channel_id;
use crate::api::dto::json;
use crate::api::error::ApiError;
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, read_json_body};
use crate::api::page::listing;
use crate::api::reconciliation::body::BatchBody;
use crate::api::{ApiState, run_detached};
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::ids::BatchId;
use crate::domain::write_set::AuditEntry;

/// `GET /v1/reconciliations?channel=&date=&after=&limit=`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let channel = query.text("channel");
    let date = query.optional_date()?;
    let (after, limit) = query.page("an id of 19 digits", BatchId::parse)?;
    if date.is_some() && channel.is_none() {
        return Err(Query::invalid("channel", "a date is one of a channel"));
    }
    let channel = channel.map(|id| channel_id(&state, &id)).transpose()?;
    let rows = state.engine.store().reconciliations(channel, date, after, limit).await?;
    Ok(listing("reconciliations", &rows, limit, |row| row.id.to_string(), BatchBody::from))
}

/// `GET /v1/reconciliations/{batch}`
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    Ok(json(StatusCode::OK, &BatchBody::from(&load(&state, &id).await?)))
}

/// `POST /v1/channels/{id}/reconciliations?date=`: runs the newest statement of the date again.
pub async fn run_again(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let mut query = Query::of(&parts.uri);
    let date = query.date()?;
    query.finish()?;
    let body = read_json_body(&parts.headers, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse_or_empty(&body)?;
    let reason = state.reason(&mut fields)?;
    fields.finish()?;
    let channel = channel_id(&state, &id)?;
    let batch = run_detached(async move {
        let actor = seat.name().to_string();
        let entry = AuditEntry {
            at: state.engine.clock().now(),
            actor: actor.clone(),
            approver: None,
            action: "reconciliation.run".to_owned(),
            subject: format!("{channel} {date}"),
            reason: reason.unwrap_or_default(),
        };
        state.engine.audit(entry).await?;
        Ok(state.imports.run(&channel, date, &actor).await?)
    });
    Ok(json(StatusCode::CREATED, &BatchBody::from(&batch.await?)))
}

/// The batch of a path.
pub async fn load(state: &ApiState, id: &str) -> Result<Reconciliation, ApiError> {
    let missing = || ApiError::not_found("no batch has this id");
    let id = BatchId::parse(id).ok_or_else(missing)?;
    state.engine.store().reconciliation(id).await?.ok_or_else(missing)
}
