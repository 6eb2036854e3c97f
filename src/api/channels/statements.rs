//! Channels' statements: the files of a date that have landed, and asking for a statement now.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use super::channel_id;
use crate::api::auth::{MayInspect, MayOperate};
use crate::api::dto::{MomentText, json};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::PathSegment;
use crate::api::input::query::Query;
use crate::api::{ApiState, run_detached};
use crate::domain::time::BusinessDate;
use crate::domain::write_set::AuditEntry;
use crate::reconciliation::InboxError;
use crate::reconciliation::incoming::{FetchError, InboxFile};
use crate::telemetry;

/// What has landed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LandedStatements")]
pub struct LandedBody<'row> {
    /// The channel.
    channel: &'row str,
    /// The clearing date.
    date: String,
    /// The files in the inbox.
    files: Vec<FileBody<'row>>,
    /// Why there is none, if it was asked for without success since the process started.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<MissingBody>,
}

/// A file.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatementFile")]
struct FileBody<'row> {
    /// Its name in the inbox.
    name: &'row str,
    /// The SHA-256 of its content.
    sha256: &'row str,
}

/// Why there is none.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MissingStatement")]
struct MissingBody {
    /// How often it was asked for in vain.
    failures: usize,
    /// When it was asked for last.
    last_at: MomentText,
    /// What came of it.
    problem: String,
}

/// What was fetched.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FetchedStatements")]
pub struct FetchedBody<'row> {
    /// The channel.
    channel: &'row str,
    /// The clearing date.
    date: String,
    /// The files.
    files: &'row [InboxFile],
}

/// `GET /v1/channels/{id}/statements?date=`
pub async fn of_date(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (channel, date) = (channel_id(&state, &id)?, date(&uri)?);
    let landed = state.statements.files_of(&channel, date).await.map_err(disk)?;
    let standing = state.statements.standing(&channel, date);
    let body = LandedBody {
        channel: channel.as_str(),
        date: date.to_string(),
        files: landed.iter().map(|(name, sha256)| FileBody { name, sha256 }).collect(),
        missing: standing.map(|standing| MissingBody {
            failures: standing.failures,
            last_at: MomentText(standing.last_at),
            problem: standing.problem,
        }),
    };
    Ok(json(StatusCode::OK, &body))
}

/// `POST /v1/channels/{id}/statements/fetch?date=`: asks the channel now.
pub async fn fetch(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (channel, date) = (channel_id(&state, &id)?, date(&uri)?);
    let asked = channel.clone();
    let fetched = run_detached(async move {
        let fetched = state.statements.fetch(&asked, date).await;
        let entry = AuditEntry {
            at: state.engine.clock().now(),
            actor: seat.name().to_string(),
            approver: None,
            action: "statement.fetch".to_owned(),
            subject: format!("{asked} {date}"),
            reason: fetched.as_ref().map_or_else(FetchError::name, |_| "landed").to_owned(),
        };
        state.engine.audit(entry).await?;
        fetched.map_err(refused)
    });
    let fetched = fetched.await?;
    let (channel, date, files) = (channel.as_str(), date.to_string(), &fetched.files[..]);
    Ok(json(StatusCode::OK, &FetchedBody { channel, date, files }))
}

fn date(uri: &Uri) -> Result<BusinessDate, ApiError> {
    let mut query = Query::of(uri);
    let date = query.date()?;
    query.finish()?;
    Ok(date)
}

/// The problem says in `reason` what kind of no it is.
fn refused(error: FetchError) -> ApiError {
    match error {
        FetchError::Land(land) => disk(land),
        FetchError::Died => task_failed(),
        FetchError::UnknownChannel
        | FetchError::NoStatements
        | FetchError::DateOpen
        | FetchError::NotYet { .. }
        | FetchError::Refused { .. }
        | FetchError::Unbelieved { .. }
        | FetchError::Encode(_)
        | FetchError::Transport(_) => {
            let detail = telemetry::chain(&error);
            ApiError::new(ProblemCode::NoStatement, detail).with("reason", error.name().into())
        }
    }
}

fn disk(error: InboxError) -> ApiError {
    if let InboxError::Store(error) = error {
        return error.into();
    }
    tracing::error!(error = %telemetry::chain(&error), "the inbox of statements cannot be used");
    ApiError::new(ProblemCode::Internal, "the inbox of statements cannot be read or written")
}

fn task_failed() -> ApiError {
    ApiError::new(ProblemCode::Internal, "the call has panicked; ask for the statement again")
}
