//! The BIN table: look-ups by prefix, its versions, refresh and rollback.
//!
//! Upholds I-11: a prefix has twelve digits at most, so no card number stands in a URL, and the
//! faults of a refused table repeat nothing that they found. Work that blocks on the disk runs
//! where blocking is allowed.

mod changes;
pub mod proposals;

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
use crate::api::held;
use crate::api::input::forms::PREFIX_LENGTH_MIN;
use crate::api::input::json::{Json, JsonFields};
use crate::api::input::order::reason_of_query;
use crate::api::input::query::Query;
use crate::api::input::{BodyLimits, PathSegment, media_type, read_body, read_json, unsupported};
use crate::api::{ApiState, run_detached};
use crate::codec::word;
use crate::domain::approval::{HeldAction, HeldBinTable};
use crate::domain::bin::{BIN_LENGTH_MAX, Brand, PAN_LENGTH_MAX, PAN_LENGTH_MIN, StatedDate};
use crate::domain::card::words::CardEcho;
use crate::domain::command::Decider;
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

pub use changes::{ChangesBody, NameChangesBody, changes, issuer_changes};

/// The largest table that waits for a second person: it is a row of the store until then.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The source of a table that came in the body.
const UPLOADED: &str = "uploaded";
const FORCE_NEEDS: &str = "a table that is forced needs a reason";
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
    by: Option<&'table str>,
    /// Why, where somebody has said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'table str>,
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
        by: active.by.as_deref(),
        reason: active.reason.as_deref(),
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
    /// There, if it is to overrule.
    force: bool,
    reason: Option<String>,
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
    if incoming.force && state.settings.four_eyes.forced_bin_table {
        return hold_forced(state, &seat, incoming).await;
    }
    let report = run_detached(async move { take(&state, &seat, incoming).await });
    Ok(json(StatusCode::OK, &report.await?))
}

/// Takes a table that looks right, whoever wants to force it; one that looks wrong waits for a
/// second person, with the very bytes that were looked at.
async fn hold_forced(
    state: Arc<ApiState>,
    seat: &Arc<Seat>,
    incoming: TableUpload,
) -> Result<Response, ApiError> {
    let incoming = TableUpload { force: false, ..incoming };
    let options = options_of(&state, &incoming);
    let weighed = change_table(&state, (seat.name().as_str(), None), move |bins, occasion| {
        let weighed = bins.weigh(&incoming.bytes, &incoming.source, occasion, &options);
        (weighed.map(drop), bins.current().version, incoming)
    });
    let (weighed, version, incoming) = weighed.await?;
    let complaint = match weighed {
        Err(refusal) if refusal.yields_to_force() => refusal.to_string(),
        Err(refusal) => return Err(refusal_error(&refusal)),
        Ok(()) => {
            let seat = Arc::clone(seat);
            let report = run_detached(async move { take(&state, &seat, incoming).await });
            return Ok(json(StatusCode::OK, &report.await?));
        }
    };
    if incoming.bytes.len() > HELD_BYTES_MAX {
        let detail = "a table of more than 8 MB cannot wait for a second person; send it as CSV";
        return Err(ApiError::new(ProblemCode::BodyTooLarge, detail));
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &incoming.bytes);
    let asked_for = HeldBinTable {
        sha256: digest.as_ref().try_into().expect("SHA-256 has 32 bytes"),
        length: incoming.bytes.len() as u64,
        source: public_source(&incoming.source),
        as_of: incoming.as_of,
        version,
        complaint,
        bytes: Some(incoming.bytes),
    };
    let reason = incoming.reason.unwrap_or_default();
    held::ask(state, seat, HeldAction::BinTable(asked_for), reason).await
}

/// Takes the table of a request that a second person has approved: the line for the audit trail, or
/// what has changed since it was asked.
pub(in crate::api) async fn take_held(
    state: &Arc<ApiState>,
    held: &HeldBinTable,
    decider: &Decider,
) -> Result<Result<Option<AuditEntry>, String>, ApiError> {
    let Some(bytes) = held.bytes.clone() else {
        let detail = "the bytes of the request are gone: it was decided meanwhile";
        return Err(ApiError::new(ProblemCode::ApprovalDecided, detail));
    };
    let (source, reason) = (held.source.clone(), reason_of(decider).map(str::to_owned));
    let incoming = TableUpload { bytes, source, as_of: held.as_of, force: true, reason };
    match make_live(state, decider, incoming, Some(held.version)).await? {
        Ok((_, line)) => Ok(Ok(line)),
        Err(refusal) => Ok(Err(refusal.to_string())),
    }
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
    let reason = reason_of_query(&mut query)?;
    query.finish()?;
    state.refuse_card_number("reason", reason.as_deref(), CardEcho::NONE)?;
    let force = force.unwrap_or(false);
    if force && reason.is_none() {
        return Err(Query::invalid("reason", FORCE_NEEDS));
    }
    let limits = BodyLimits { bytes_max: SOURCE_BYTES_MAX, ..state.body_limits() };
    let bytes = read_body(headers, body, limits).await?;
    if bytes.is_empty() {
        return Err(unsupported("the body is empty; send a table, or JSON that names a source"));
    }
    Ok(TableUpload { bytes: bytes.into(), source: UPLOADED.to_owned(), as_of, force, reason })
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
    let reason = state.reason(&mut fields)?;
    let missing = fields.missing("source");
    fields.finish()?;
    if force && reason.is_none() {
        return Err(ApiError::of_field(ProblemCode::MissingField, "reason", FORCE_NEEDS));
    }
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
    Ok(TableUpload { bytes, source, as_of, force, reason })
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
    let (actor, reason) = (seat.name().to_string(), incoming.reason.clone().unwrap_or_default());
    let decider = Decider { actor, approver: None, reason };
    let made = make_live(state, &decider, incoming, None).await?;
    let (report, line) = made.map_err(|refusal| refusal_error(&refusal))?;
    if let Some(line) = line {
        state.engine.audit(line).await?;
    }
    Ok(report)
}

/// The same, where it is wanted over this version alone; with the line for the audit trail, which a
/// store that nodes share writes by itself.
async fn make_live(
    state: &Arc<ApiState>,
    decider: &Decider,
    incoming: TableUpload,
    over: Option<u32>,
) -> Result<Result<(RefreshReport, Option<AuditEntry>), RefreshRefusal>, ApiError> {
    let options = RefreshOptions { over, ..options_of(state, &incoming) };
    let source = format!("{}, {} bytes", public_source(&incoming.source), incoming.bytes.len());
    let who = match &decider.approver {
        Some(approver) => format!("{}, approved by {approver}", decider.actor),
        None => decider.actor.clone(),
    };
    if let Some(shared) = &state.shared {
        let TableUpload { bytes, source, .. } = incoming;
        return match shared.refresh(bytes, source, (&who, reason_of(decider)), options).await {
            Ok(report) => Ok(Ok((report, None))),
            Err(SharedChangeError::Refused(refusal)) => Ok(Err(refusal)),
            Err(error) => Err(shared_error(error, refusal_error)),
        };
    }
    let change = move |bins: &LiveBinTable, occasion: Occasion<'_>| {
        bins.refresh(&incoming.bytes, &incoming.source, occasion, &options)
    };
    let report = match change_table(state, (&who, reason_of(decider)), change).await? {
        Ok(report) => report,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut subject = format!("version {} from {source}", report.version);
    for (is_so, word) in [(report.forced, "forced"), (report.unchanged, "unchanged")] {
        if is_so {
            subject = format!("{subject}, {word}");
        }
    }
    let line = audit_line(state, decider, "bin_table.refresh", subject);
    Ok(Ok((report, Some(line))))
}

fn options_of(state: &ApiState, incoming: &TableUpload) -> RefreshOptions {
    let settings = &state.settings.bin_table;
    RefreshOptions {
        min_rows: settings.min_rows,
        max_removed_percent: settings.max_removed_percent,
        versions_kept: settings.versions_kept,
        force: incoming.force,
        as_of: incoming.as_of,
        ..RefreshOptions::default()
    }
}

/// `POST /v1/bin-table/rollback`
pub async fn rollback(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let (target, reason) = rollback_asked(&state, &body)?;
    let decider = Decider { actor: seat.name().to_string(), approver: None, reason };
    let report = run_detached(async move { go_back(&state, &decider, target).await });
    Ok(json(StatusCode::OK, &report.await?))
}

/// Makes an earlier version the live one, and keeps who did it and why.
async fn go_back(
    state: &Arc<ApiState>,
    decider: &Decider,
    target: RollbackTarget,
) -> Result<RollbackReport, ApiError> {
    let by = (decider.actor.as_str(), reason_of(decider));
    if let Some(shared) = &state.shared {
        let rolled = shared.roll_back(target, by).await;
        return rolled.map_err(|error| shared_error(error, rollback_error));
    }
    let change = move |bins: &LiveBinTable, occasion: Occasion<'_>| bins.rollback(target, occasion);
    let report: RollbackReport =
        change_table(state, by, change).await?.map_err(|error| rollback_error(&error))?;
    let subject = format!("version {} from version {}", report.version, report.previous_version);
    state.engine.audit(audit_line(state, decider, "bin_table.rollback", subject)).await?;
    Ok(report)
}

fn rollback_asked(state: &ApiState, body: &[u8]) -> Result<(RollbackTarget, String), ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let target = match fields.value("version") {
        None => RollbackTarget::Previous,
        Some(Json::Integer(version)) => match u32::try_from(version) {
            Ok(version) => RollbackTarget::Version(version),
            Err(_) => return Err(fields.invalid("version", "the number of a version is expected")),
        },
        Some(_) => return Err(fields.invalid("version", "the number of a version is expected")),
    };
    let reason = state.reason(&mut fields)?.ok_or_else(|| fields.missing("reason"))?;
    fields.finish()?;
    Ok((target, reason))
}

/// The reason, where one was given.
fn reason_of(decider: &Decider) -> Option<&str> {
    Some(decider.reason.as_str()).filter(|reason| !reason.is_empty())
}

/// Runs a change of the table where it may block, in somebody's name and for their reason.
async fn change_table<T: Send + 'static>(
    state: &Arc<ApiState>,
    (who, reason): (&str, Option<&str>),
    change: impl FnOnce(&LiveBinTable, Occasion<'_>) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let bins = Arc::clone(&state.bins);
    let (who, reason) = (who.to_owned(), reason.map(str::to_owned));
    let now_ms = state.engine.clock().now().as_millis();
    let change = move || change(&bins, Occasion { who: &who, reason: reason.as_deref(), now_ms });
    blocking(change).await
}

fn audit_line(state: &ApiState, decider: &Decider, action: &str, subject: String) -> AuditEntry {
    AuditEntry {
        at: state.engine.clock().now(),
        actor: decider.actor.clone(),
        approver: decider.approver.clone(),
        action: action.to_owned(),
        subject,
        reason: decider.reason.clone(),
    }
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
