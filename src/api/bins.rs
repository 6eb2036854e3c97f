//! The BIN table: look-ups by prefix, its versions, refresh and rollback.
//!
//! Upholds I-11: a prefix has twelve digits at most, so no card number stands in a URL, and the
//! faults of a refused table repeat nothing that they found. Work that blocks on the disk runs
//! where blocking is allowed.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::auth::{MayAsk, MayInspect, MayOperate, Seat};
use crate::api::dto::{MomentText, json};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::forms::PREFIX_LENGTH_MIN;
use crate::api::input::json::{Json, JsonFields};
use crate::api::input::query::Query;
use crate::api::input::{BodyLimits, PathSegment, media_type, read_body, read_json, unsupported};
use crate::api::{ApiState, run_detached};
use crate::codec::word;
use crate::domain::bin::{BIN_LENGTH_MAX, Brand, PAN_LENGTH_MAX, PAN_LENGTH_MIN, StatedDate};
use crate::domain::time::Timestamp;
use crate::domain::write_set::AuditEntry;
use crate::engine::shared_settings::SharedChangeError;
use crate::store::PublishError;
use crate::tables::bin::{
    LiveBinTable, Occasion, RefreshOptions, RefreshRefusal, RefreshReport, RollbackRefusal,
    RollbackReport, RollbackTarget, RowView, SOURCE_BYTES_MAX, StatedText, VersionError,
    VersionInfo, fetch_table, is_url, public_source,
};
use crate::telemetry;

/// The source of a table that came in the body.
const UPLOADED: &str = "uploaded";
/// What `as_of` takes.
const A_DATE: &str = "a date as YYYY, YYYY-MM or YYYY-MM-DD";
/// Types of a body that is a table.
const TABLE_TYPES: [&str; 4] =
    ["text/csv", "text/plain", "application/octet-stream", "application/vnd.ms-excel"];

/// A look-up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BinLookup")]
pub struct LookupBody<'row> {
    /// The digits that were asked for.
    prefix: &'row str,
    /// One row at most for each card length.
    rows: Vec<RowView<'row>>,
    /// Where no row fits and the prefix lies in a range of which only the brand is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::BrandWord>")]
    brand: Option<&'static str>,
    /// Longer BINs lie inside the prefix: more digits may give another answer.
    has_longer_bins: bool,
    /// The version of the table.
    version: u32,
}

/// `GET /v1/bins/{prefix}?length=`
pub async fn lookup(
    State(state): State<Arc<ApiState>>,
    MayAsk(_): MayAsk,
    PathSegment(prefix): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    if prefix.len() > BIN_LENGTH_MAX {
        let detail = "send 6 to 12 digits; a card number must never stand in a URL";
        return Err(ApiError::new(ProblemCode::BinTooLong, detail));
    }
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || prefix.len() < PREFIX_LENGTH_MIN {
        return Err(Query::invalid("prefix", "6 to 12 digits are expected"));
    }
    let mut query = Query::of(&uri);
    let lengths = PAN_LENGTH_MIN..=PAN_LENGTH_MAX;
    let read = |text: &str| {
        let length = text.parse::<u8>().ok();
        length.filter(|length| lengths.contains(&usize::from(*length)))
    };
    let pan_length = query.parsed("length", "a card length of 12 to 19", read)?;
    query.finish()?;
    let active = state.bins.current();
    let matches = active.table.lookup_prefix(prefix.as_bytes(), pan_length);
    let dated = active.dated(state.engine.clock().now());
    let rows: Vec<RowView<'_>> = matches.rows().map(|row| RowView::of(row, dated)).collect();
    let bare = Brand::of_bare_range(prefix.as_bytes()).filter(|_| rows.is_empty());
    if rows.is_empty() && bare.is_none() && !matches.has_longer_bins {
        return Err(ApiError::not_found("the BIN table has no row for this prefix"));
    }
    let has_longer_bins = matches.has_longer_bins;
    let version = active.version;
    let brand = bare.map(Brand::name);
    let body = LookupBody { prefix: &prefix, rows, brand, has_longer_bins, version };
    Ok(json(StatusCode::OK, &body))
}

/// The table in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BinTable")]
pub struct TableBody<'table> {
    /// Its version; 0 is the shipped one.
    version: u32,
    /// How many rows.
    rows: usize,
    /// Changes of issuers' names.
    issuer_changes: usize,
    /// The date of the facts of all rows that state no other.
    as_of: StatedText,
    /// Whole days since then.
    age_days: u32,
    /// Where it came from.
    source: &'table str,
    /// Its SHA-256.
    sha256: &'table str,
    /// Absent for the shipped table of a fresh installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<MomentText>,
    /// Whoever took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<&'table str>,
    /// Problems of the folder of versions, for people.
    problems: Vec<String>,
    /// Its history.
    versions: Vec<VersionInfo>,
}

/// `GET /v1/bin-table`
pub async fn table(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let bins = Arc::clone(&state.bins);
    let versions = blocking(move || bins.versions()).await?.map_err(|error| disk(&error))?;
    let active = state.bins.current();
    let body = TableBody {
        version: active.version,
        rows: active.table.len(),
        issuer_changes: active.table.issuers().all().len(),
        as_of: StatedText(active.as_of),
        age_days: active.as_of.age_days(state.engine.clock().now()),
        source: &active.source,
        sha256: &active.sha256,
        since: active.since_ms.map(|millis| MomentText(Timestamp::from_millis(millis))),
        who: active.who.as_deref(),
        problems: state.bins.problems().iter().map(ToString::to_string).collect(),
        versions,
    };
    Ok(json(StatusCode::OK, &body))
}

/// A table on its way in.
struct TableUpload {
    bytes: Vec<u8>,
    source: String,
    as_of: Option<StatedDate>,
    force: bool,
}

/// `POST /v1/bin-table/refresh`: from a named source, or from the body itself.
pub async fn refresh(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let kind = media_type(&parts.headers);
    let incoming = match kind.as_deref() {
        Some(kind) if TABLE_TYPES.contains(&kind) => {
            read_upload(&state, &parts.uri, &parts.headers, body).await?
        }
        _ => {
            let body = read_json(&parts, body, state.body_limits()).await?;
            fetch_named(&state, &body).await?
        }
    };
    let report = run_detached(async move { take(&state, &seat, incoming).await });
    Ok(json(StatusCode::OK, &report.await?))
}

async fn read_upload(
    state: &ApiState,
    uri: &Uri,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<TableUpload, ApiError> {
    let mut query = Query::of(uri);
    let force = query.parsed("force", "true or false", |text| text.parse().ok())?;
    let as_of = query.parsed("as_of", A_DATE, StatedDate::parse)?;
    query.finish()?;
    let limits = BodyLimits { bytes_max: SOURCE_BYTES_MAX, ..state.body_limits() };
    let bytes = read_body(headers, body, limits).await?;
    if bytes.is_empty() {
        return Err(unsupported("the body is empty; send a table, or JSON that names a source"));
    }
    let force = force.unwrap_or(false);
    Ok(TableUpload { bytes: bytes.into(), source: UPLOADED.to_owned(), as_of, force })
}

async fn fetch_named(state: &ApiState, body: &[u8]) -> Result<TableUpload, ApiError> {
    let mut fields = JsonFields::parse_or_empty(body)?;
    let source = fields.text("source")?.map(std::borrow::Cow::into_owned);
    let force = fields.boolean("force")?.unwrap_or(false);
    let as_of = match fields.text("as_of")? {
        None => None,
        Some(text) => {
            let date = StatedDate::parse(&text);
            Some(date.ok_or_else(|| fields.invalid("as_of", format!("{A_DATE} is expected")))?)
        }
    };
    let missing = fields.missing("source");
    fields.finish()?;
    let source = source.or_else(|| state.settings.bin_table.source.clone()).ok_or(missing)?;
    let refuse = |detail: String| {
        ApiError::new(ProblemCode::BinTableRefused, detail).with("reason", "not_fetched".into())
    };
    let bytes = if is_url(&source) {
        fetch_table(&source).await.map_err(|error| refuse(telemetry::chain(&error)))?
    } else {
        let path = state.settings.base.join(&source);
        let read = blocking(move || read_file(path)).await?;
        read.map_err(|error| refuse(format!("the file cannot be read: {}", error.kind())))?
    };
    Ok(TableUpload { bytes, source, as_of, force })
}

/// Reads one byte more than is taken, so that a larger file is seen to be larger.
fn read_file(path: PathBuf) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(SOURCE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks the table and makes it the live one, or leaves everything as it is.
async fn take(
    state: &Arc<ApiState>,
    seat: &Seat,
    incoming: TableUpload,
) -> Result<RefreshReport, ApiError> {
    let settings = &state.settings.bin_table;
    let options = RefreshOptions {
        min_rows: settings.min_rows,
        max_removed_percent: settings.max_removed_percent,
        versions_kept: settings.versions_kept,
        force: incoming.force,
        as_of: incoming.as_of,
        ..RefreshOptions::default()
    };
    let source = public_source(&incoming.source);
    let subject = format!("{source}, {} bytes", incoming.bytes.len());
    if let Some(shared) = &state.shared {
        let TableUpload { bytes, source, .. } = incoming;
        let refreshed = shared.refresh(bytes, source, seat.name().as_str(), options).await;
        return refreshed.map_err(|error| shared_error(error, refusal_error));
    }
    let change = move |bins: &LiveBinTable, occasion: Occasion<'_>| {
        bins.refresh(&incoming.bytes, &incoming.source, occasion, &options)
    };
    let report =
        change_table(state, seat, change).await?.map_err(|refusal| refusal_error(&refusal))?;
    let reason = format!(
        "version {} from {subject}; forced: {}; unchanged: {}",
        report.version, report.forced, report.unchanged
    );
    keep_in_audit(state, seat, "bin_table.refresh", report.version, reason).await?;
    Ok(report)
}

/// `POST /v1/bin-table/rollback`
pub async fn rollback(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let target = rollback_target(&body)?;
    let report = run_detached(async move { go_back(&state, &seat, target).await });
    Ok(json(StatusCode::OK, &report.await?))
}

/// Makes an earlier version the live one, and keeps who did it.
async fn go_back(
    state: &Arc<ApiState>,
    seat: &Seat,
    target: RollbackTarget,
) -> Result<RollbackReport, ApiError> {
    if let Some(shared) = &state.shared {
        let rolled = shared.roll_back(target, seat.name().as_str()).await;
        return rolled.map_err(|error| shared_error(error, rollback_error));
    }
    let change = move |bins: &LiveBinTable, occasion: Occasion<'_>| bins.rollback(target, occasion);
    let report: RollbackReport =
        change_table(state, seat, change).await?.map_err(|refusal| rollback_error(&refusal))?;
    let reason = format!("from version {}", report.previous_version);
    keep_in_audit(state, seat, "bin_table.rollback", report.version, reason).await?;
    Ok(report)
}

fn rollback_target(body: &[u8]) -> Result<RollbackTarget, ApiError> {
    let mut fields = JsonFields::parse_or_empty(body)?;
    let target = match fields.value("version") {
        None => RollbackTarget::Previous,
        Some(Json::Integer(version)) => match u32::try_from(version) {
            Ok(version) => RollbackTarget::Version(version),
            Err(_) => return Err(fields.invalid("version", "the number of a version is expected")),
        },
        Some(_) => return Err(fields.invalid("version", "the number of a version is expected")),
    };
    fields.finish()?;
    Ok(target)
}

/// Runs a change of the table where it may block, in the name of the caller.
async fn change_table<T: Send + 'static>(
    state: &Arc<ApiState>,
    seat: &Seat,
    change: impl FnOnce(&LiveBinTable, Occasion<'_>) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let bins = Arc::clone(&state.bins);
    let who = seat.name().clone();
    let now_ms = state.engine.clock().now().as_millis();
    blocking(move || change(&bins, Occasion { who: who.as_str(), now_ms })).await
}

async fn keep_in_audit(
    state: &ApiState,
    seat: &Seat,
    action: &str,
    version: u32,
    reason: String,
) -> Result<(), ApiError> {
    let entry = AuditEntry {
        at: state.engine.clock().now(),
        actor: seat.name().to_string(),
        action: action.to_owned(),
        subject: format!("version {version}"),
        reason,
    };
    Ok(state.engine.audit(entry).await?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a call on the BIN table has panicked; the live table stays");
        ApiError::new(ProblemCode::Internal, "the call has panicked; the live table stays")
    })
}

fn disk(error: &VersionError) -> ApiError {
    tracing::error!(error = %telemetry::chain(error), "the BIN table's folder cannot be used");
    ApiError::new(ProblemCode::Internal, "the folder of the BIN table's versions cannot be used")
}

/// The faults come with their lines, the first hundred of them.
fn refusal_error(refusal: &RefreshRefusal) -> ApiError {
    if let RefreshRefusal::Versions(error) = refusal {
        return disk(error);
    }
    let error = ApiError::new(ProblemCode::BinTableRefused, refusal.to_string());
    let error = error.with("reason", refusal.code().into());
    match refusal.faults().map(serde_json::to_value) {
        Some(Ok(faults)) => error.with("faults", faults),
        Some(Err(_)) | None => error,
    }
}

/// Why a table that all nodes share was not changed, or not yet here. What was published is in the
/// audit trail.
fn shared_error<R: std::error::Error + 'static>(
    error: SharedChangeError<R>,
    refused: impl FnOnce(&R) -> ApiError,
) -> ApiError {
    match error {
        SharedChangeError::Refused(refusal) => refused(&refusal),
        SharedChangeError::Store(error)
        | SharedChangeError::Publish(PublishError::Store(error)) => error.into(),
        SharedChangeError::Publish(PublishError::Overtaken)
        | SharedChangeError::NotLoaded { .. }
        | SharedChangeError::NotYet { .. } => {
            let detail = telemetry::chain(&error);
            ApiError::new(ProblemCode::WrongPhase, detail)
        }
        SharedChangeError::Died => ApiError::new(ProblemCode::Internal, telemetry::chain(&error)),
    }
}

fn rollback_error(refusal: &RollbackRefusal) -> ApiError {
    if let RollbackRefusal::Versions(error) = refusal {
        return disk(error);
    }
    let error = ApiError::new(ProblemCode::RollbackRefused, refusal.to_string());
    error.with("reason", refusal.code().into())
}
