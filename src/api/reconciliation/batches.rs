//! Reconciliation batches: what a run of a statement found, and running a date again.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use serde_json::json as value;

use crate::api::auth::{MayInspect, MayOperate};
use crate::api::channels::{channel_id, unknown_channel};
use crate::api::dto::json;
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, read_json};
use crate::api::page::listing;
use crate::api::reconciliation::body::BatchBody;
use crate::api::reconciliation::differences;
use crate::api::{ApiState, run_detached};
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::ids::BatchId;
use crate::domain::write_set::AuditEntry;
use crate::reconciliation::BackofficeError;
use crate::reconciliation::matching::ReconcileError;
use crate::telemetry;

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
    let body = read_json(&parts.headers, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse_or_empty(&body)?;
    let reason = state.reason(&mut fields)?;
    fields.finish()?;
    let channel = channel_id(&state, &id)?;
    let batch = run_detached(async move {
        let actor = seat.name().to_string();
        let entry = AuditEntry {
            at: state.engine.clock().now(),
            actor: actor.clone(),
            action: "reconciliation.run".to_owned(),
            subject: format!("{channel} {date}"),
            reason: reason.unwrap_or_default(),
        };
        state.engine.audit(entry).await?;
        Ok(state.backoffice.run(&channel, date, &actor).await?)
    });
    Ok(json(StatusCode::CREATED, &BatchBody::from(&batch.await?)))
}

/// The batch of a path.
pub async fn load(state: &ApiState, id: &str) -> Result<Reconciliation, ApiError> {
    let missing = || ApiError::not_found("no batch has this id");
    let id = BatchId::parse(id).ok_or_else(missing)?;
    state.engine.store().reconciliation(id).await?.ok_or_else(missing)
}

impl From<BackofficeError> for ApiError {
    fn from(error: BackofficeError) -> Self {
        let (name, detail) = (error.name(), error.to_string());
        match error {
            BackofficeError::UnknownChannel { .. } => unknown_channel(),
            BackofficeError::NoStatements { .. }
            | BackofficeError::NoLayout { .. }
            | BackofficeError::DateOpen { .. }
            | BackofficeError::NoFile { .. } => {
                Self::new(ProblemCode::NoStatement, detail).with("reason", name.into())
            }
            BackofficeError::StandsElsewhere { date } => {
                Self::new(ProblemCode::StatementRefused, detail)
                    .with("reason", name.into())
                    .with("stands_under", date.to_string().into())
            }
            BackofficeError::Name => Query::invalid("name", detail),
            BackofficeError::TooManyRevisions => Self::new(ProblemCode::WrongPhase, detail),
            BackofficeError::Refused { batch, problem } => {
                refused(&problem).with("batch", batch.to_string().into())
            }
            BackofficeError::NoSuchDifference { .. } => differences::missing(),
            BackofficeError::Balance(refusal) => refusal.into(),
            BackofficeError::Store(error) => error.into(),
            BackofficeError::Engine(error) => error.into(),
            BackofficeError::Failed(_)
            | BackofficeError::Land(_)
            | BackofficeError::Io { .. }
            | BackofficeError::Died => {
                tracing::error!(
                    error = %telemetry::chain(&error),
                    "a statement could not be reconciled; it can be run again"
                );
                Self::new(
                    ProblemCode::Internal,
                    "the statement could not be reconciled; run it again",
                )
            }
        }
    }
}

/// Why the file is refused, by its line where there is one; never with the place that it lies in.
fn refused(problem: &ReconcileError) -> ApiError {
    let refusal = |reason: &'static str, detail: String| {
        ApiError::new(ProblemCode::StatementRefused, detail).with("reason", reason.into())
    };
    match problem {
        ReconcileError::Line { line, problem, .. } => {
            let fault = value!([{ "line": line, "problem": problem.to_string() }]);
            refusal("line", format!("line {line}: {problem}")).with("faults", fault)
        }
        ReconcileError::OtherDay { .. } => refusal("other_day", problem.to_string()),
        ReconcileError::Packed { problem, .. } => {
            refusal("packed", format!("the file cannot be unpacked: {problem}"))
        }
        ReconcileError::TooManyLines { .. } => {
            refusal("too_many_lines", "the file has too many lines".to_owned())
        }
        ReconcileError::TooManyBadLines { .. } => {
            refusal("too_many_bad_lines", "too many lines of it cannot be read".to_owned())
        }
        ReconcileError::TooManyDifferences { .. } => {
            refusal("too_many_differences", problem.to_string())
        }
        ReconcileError::Read { .. }
        | ReconcileError::Records { .. }
        | ReconcileError::Skewed
        | ReconcileError::Spill { .. }
        | ReconcileError::Write { .. }
        | ReconcileError::Died => {
            tracing::error!(error = %telemetry::chain(problem), "a statement cannot be read");
            ApiError::new(
                ProblemCode::Internal,
                "the statement could not be reconciled; run it again",
            )
        }
    }
}
