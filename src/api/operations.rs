//! Answers for operations: liveness, readiness, metrics, the meaning of each problem, and the audit
//! trail.

pub mod clock;
pub mod nodes;
pub mod settings;
pub mod today;
pub mod workers;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::{AuditBody, json};
use crate::api::error::{ApiError, ProblemCode, manual};
use crate::api::input::PathSegment;
use crate::api::input::query::Query;
use crate::api::language::Language;
use crate::api::page::{listing, page};
use crate::clock::Doubt;
use crate::codec::texts::WordForm;
use crate::tables::bin::StatedText;
use crate::telemetry;

const PLAIN: &str = "text/plain; charset=utf-8";

/// `GET /healthz`: the process answers, and nothing is wrong that only a new one can mend. Whether
/// it should get orders is another question.
pub async fn health(State(state): State<Arc<ApiState>>) -> Response {
    if state.engine.takes_orders() {
        return text(PLAIN, "ok\n".to_owned());
    }
    let mut failed = text(PLAIN, "the store has failed; the process ends\n".to_owned());
    *failed.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    failed
}

/// `/readyz`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Readiness")]
pub struct ReadinessBody {
    /// Whether orders are taken.
    ready: bool,
    /// Why not: `starting`, `stopping`, `store_failed`, `store_unavailable`, `bin_table_empty`,
    /// `settings_not_loaded`.
    reasons: Vec<&'static str>,
    /// Doubts of the clock, which close nothing.
    #[schemars(with = "Vec<WordForm<Doubt>>")]
    doubts: Vec<&'static str>,
    /// The date of the facts of the BIN table.
    bin_table_as_of: StatedText,
    /// Days since then, which close nothing either.
    bin_table_age_days: u32,
}

/// `GET /readyz`: 200 where orders are taken, else 503 with every reason why not. A doubted clock
/// is no such reason, since no order's truth rests on it; the answer lists the doubt beside them.
pub async fn readiness(State(state): State<Arc<ApiState>>) -> Response {
    let reasons = bars(&state);
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let doubts = state.engine.clock().doubt().map(Doubt::name).into_iter().collect();
    let as_of = state.bins.current().as_of;
    let body = ReadinessBody {
        ready,
        reasons,
        doubts,
        bin_table_as_of: StatedText(as_of),
        bin_table_age_days: as_of.age_days(state.engine.clock().now()),
    };
    json(status, &body)
}

/// Why no orders are taken; empty where they are.
fn bars(state: &ApiState) -> Vec<&'static str> {
    let bars = [
        (!state.ready.load(Ordering::Relaxed), "starting"),
        (state.stopping.load(Ordering::Relaxed), "stopping"),
        (!state.engine.takes_orders(), "store_failed"),
        (!state.engine.store().is_reachable(), "store_unavailable"),
        (state.bins.current().table.is_empty(), "bin_table_empty"),
        (is_behind(state), "settings_not_loaded"),
    ];
    bars.into_iter().filter(|bar| bar.0).map(|bar| bar.1).collect()
}

/// Whether this node cannot run the settings that the others do.
fn is_behind(state: &ApiState) -> bool {
    state.shared.as_ref().is_some_and(|shared| shared.problem().is_some())
}

/// `GET /metrics`, as Prometheus reads them.
pub async fn metrics(State(state): State<Arc<ApiState>>) -> Response {
    let bins = state.bins.current();
    let age_days = bins.as_of.age_days(state.engine.clock().now());
    telemetry::gauge_readiness(bars(&state).is_empty(), (bins.table.len(), age_days));
    let shown = telemetry::without_gone(&state.metrics.render());
    text("text/plain; version=0.0.4; charset=utf-8", shown)
}

/// `GET /errors?language=`: the meaning of every problem, and its remedy.
pub async fn problems(headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    told(&headers, &uri, manual)
}

/// `GET /errors/{code}?language=`: the same of one problem, whose `type` is this path.
pub async fn problem(
    PathSegment(name): PathSegment,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let code = ProblemCode::parse(&name);
    let code = code.ok_or_else(|| ApiError::not_found("no problem has this code"))?;
    told(&headers, &uri, |language| code.manual(language))
}

/// A page of problems in the language that is asked for.
fn told(
    headers: &HeaderMap,
    uri: &Uri,
    page: impl FnOnce(Language) -> &'static str,
) -> Result<Response, ApiError> {
    let mut query = Query::of(uri);
    let language = query.language(headers)?;
    query.finish()?;
    let mut response = text(PLAIN, page(language).to_owned());
    let tag = HeaderValue::from_static(language.name());
    response.headers_mut().insert(header::CONTENT_LANGUAGE, tag);
    Ok(response)
}

fn text(kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// `GET /v1/audit?order=&after=&limit=`, oldest first, or newest first.
pub async fn audit(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let newest = query.parsed("order", "oldest or newest", |text| match text {
        "oldest" => Some(false),
        "newest" => Some(true),
        _ => None,
    })?;
    let (after, limit) = query.page("the place of an entry", |text| text.parse::<u64>().ok())?;
    let store = state.engine.store();
    if newest == Some(true) {
        let before = match after {
            Some(place) => place,
            None => store.audit_last().await?.saturating_add(1),
        };
        let rows_before = usize::try_from(before.saturating_sub(1)).unwrap_or(usize::MAX);
        let first = before.saturating_sub(1).saturating_sub(limit as u64);
        let mut rows = store.audit(Some(first), limit.min(rows_before)).await?;
        rows.reverse();
        let next =
            rows.last().map(|row| row.0).filter(|place| *place > 1).map(|place| place.to_string());
        return Ok(page("entries", rows.iter().map(AuditBody::from), next));
    }
    let rows = store.audit(after, limit).await?;
    Ok(listing("entries", &rows, limit, |row| row.0.to_string(), AuditBody::from))
}
