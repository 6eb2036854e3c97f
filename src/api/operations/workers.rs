//! How the workers stand.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::{MomentText, json};
use crate::api::error::ApiError;
use crate::api::input::query::Query;
use crate::telemetry::workers::{WorkerFailure, WorkerReport};

/// What failed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WorkerFailure")]
struct FailureBody {
    /// When.
    at: MomentText,
    /// Why, with its causes.
    error: String,
}

/// A worker.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Worker")]
struct WorkerBody {
    /// Its name, as in the metrics.
    name: &'static str,
    /// When its last round began; null before the first.
    began_at: Option<MomentText>,
    /// When it ended.
    ended_at: Option<MomentText>,
    /// How many rows it worked or began to work.
    rows: usize,
    /// When the timer brings the next round; null where a signal alone does.
    next_at: Option<MomentText>,
    /// How many failures there were since the start of the process.
    failures: u64,
    /// What failed last, or null.
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

/// The workers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Workers")]
pub struct WorkersBody {
    /// The workers that this process has started.
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
