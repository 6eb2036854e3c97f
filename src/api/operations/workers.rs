//! How the workers stand.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::{MomentText, json};
use crate::api::error::ApiError;
use crate::api::input::query::Query;
use crate::telemetry::workers::{WorkerFailure, WorkerReport};

#[derive(Serialize)]
struct FailureBody {
    at: MomentText,
    error: String,
}

#[derive(Serialize)]
struct WorkerBody {
    name: &'static str,
    began_at: Option<MomentText>,
    ended_at: Option<MomentText>,
    rows: usize,
    next_at: Option<MomentText>,
    failures: u64,
    last_failure: Option<FailureBody>,
}

impl From<&WorkerReport> for WorkerBody {
    fn from(report: &WorkerReport) -> Self {
        let round = report.round();
        let failure = |WorkerFailure { at, error }| FailureBody { at: MomentText(at), error };
        Self {
            name: report.name,
            began_at: round.began_at.map(MomentText),
            ended_at: round.ended_at.map(MomentText),
            rows: round.rows,
            next_at: round.next_at.map(MomentText),
            failures: round.failures,
            last_failure: round.last_failure.map(failure),
        }
    }
}

#[derive(Serialize)]
struct WorkersBody {
    workers: Vec<WorkerBody>,
}

/// `GET /v1/workers`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let workers = state.workers.all().iter().map(|report| WorkerBody::from(&**report)).collect();
    Ok(json(StatusCode::OK, &WorkersBody { workers }))
}
