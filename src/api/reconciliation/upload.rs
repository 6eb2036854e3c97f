//! A statement's file, handed in: written to the disk as it comes, then taken into the books.
//!
//! A statement of a busy day is longer than memory should be, so that its body has a limit of its
//! own and never stands in memory whole. A caller that hangs up before the end leaves nothing; one
//! that hangs up after it cancels nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::api::auth::{MayOperate, Seat};
use crate::api::channels::channel_id;
use crate::api::dto::{Text, json};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, media_type, unsupported};
use crate::api::reconciliation::body::BatchBody;
use crate::api::{ApiState, run_detached};
use crate::codec::sign::hex_lower;
use crate::domain::books::statement::StatementOrigin;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::AuditEntry;
use crate::reconciliation::ReconciliationError;
use crate::reconciliation::incoming::{ImportResult, StatementUpload, UploadContent};

/// Files that are handed in at once; each takes as much of the disk as the limit allows.
const PLACES: usize = 4;
/// The name of a file that comes without one.
const NAME: &str = "statement";

/// The places for files that are being handed in. A place has a file's name of its own, so that
/// what a crash leaves is written over.
pub struct Uploads {
    free: Mutex<Vec<usize>>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { free: Mutex::new((0..PLACES).collect()) }
    }
}

/// A file that is being handed in; gone when it is dropped, unless it was taken into the books.
struct Spool {
    state: Arc<ApiState>,
    place: usize,
    path: PathBuf,
}

impl Spool {
    fn begin(state: &Arc<ApiState>, folder: &Path) -> Result<Self, ApiError> {
        let free = state.uploads.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let place = free.ok_or_else(|| {
            ApiError::new(
                ProblemCode::QueueFull,
                "too many statements are being handed in; this one was not taken",
            )
        })?;
        let path = folder.join(format!("upload-{place}"));
        Ok(Self { state: Arc::clone(state), place, path })
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Usually it has been moved away.
        let _ = std::fs::remove_file(&self.path);
        let mut free = self.state.uploads.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(self.place);
    }
}

/// A file that was handed in.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ImportedStatement")]
pub struct ImportedBody<'row> {
    /// The channel.
    channel: &'row str,
    /// The clearing date.
    date: Text<BusinessDate>,
    /// Its name in the inbox.
    name: &'row str,
    /// The SHA-256 of its content.
    sha256: String,
    /// How long it is.
    bytes: u64,
    /// Which revision of its date it is, from 1.
    revision: u16,
    /// Whether this content is new; if not, the batch is the one that is current.
    is_new: bool,
    /// What it was reconciled in.
    batch: BatchBody<'row>,
}

impl<'row> From<&'row ImportResult> for ImportedBody<'row> {
    fn from(imported: &'row ImportResult) -> Self {
        let revision = &imported.revision;
        Self {
            channel: revision.channel.as_str(),
            date: Text(revision.date),
            name: &revision.name,
            sha256: hex_lower(&revision.sha256),
            bytes: revision.bytes,
            revision: revision.revision,
            is_new: imported.is_new,
            batch: BatchBody::from(&imported.batch),
        }
    }
}

/// `POST /v1/channels/{id}/statements?date=[&name=]`: the body is the file.
pub async fn hand_in(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let mut query = Query::of(&parts.uri);
    let date = query.date()?;
    let name = query.text("name").map_or_else(|| NAME.to_owned(), std::borrow::Cow::into_owned);
    query.finish()?;
    if media_type(&parts.headers).is_some_and(|kind| kind.starts_with("multipart/")) {
        return Err(unsupported("send the file itself as the body, not a form with it"));
    }
    let channel = channel_id(&state, &id)?;
    let shared = Arc::clone(&state);
    let folder =
        tokio::task::spawn_blocking(move || shared.imports.work_folder().map(Path::to_owned));
    let folder = folder.await.map_err(|_| ReconciliationError::Died)??;
    let spool = Spool::begin(&state, &folder)?;
    let limits = UploadLimits {
        bytes_max: state.settings.server.statement_bytes_max,
        pause_max: state.settings.server.request_timeout,
    };
    write_body(&parts.headers, body, &spool.path, limits).await?;
    let content = UploadContent::File(spool.path.clone());
    let (origin, by) = (StatementOrigin::Upload, seat.name().to_string());
    let incoming = StatementUpload { channel, date, name, content, origin, by };
    let imported = run_detached(async move {
        let imported = import(&state, &seat, incoming).await;
        drop(spool);
        imported
    });
    let imported = imported.await?;
    let status = if imported.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &ImportedBody::from(&imported)))
}

async fn import(
    state: &ApiState,
    seat: &Seat,
    incoming: StatementUpload,
) -> Result<ImportResult, ApiError> {
    let subject = format!("{} {}", incoming.channel, incoming.date);
    let imported = state.imports.import(incoming).await;
    let reason = match &imported {
        Ok(imported) => {
            format!("revision {}, batch {}", imported.revision.revision, imported.batch.id)
        }
        Err(error) => error.name().to_owned(),
    };
    let entry = AuditEntry {
        at: state.engine.clock().now(),
        actor: seat.name().to_string(),
        approver: None,
        action: "statement.upload".to_owned(),
        subject,
        reason,
    };
    state.engine.audit(entry).await?;
    Ok(imported?)
}

#[derive(Clone, Copy)]
struct UploadLimits {
    bytes_max: u64,
    /// Between two pieces of the body: a large one may take its time, as long as it comes.
    pause_max: Duration,
}

async fn write_body(
    headers: &HeaderMap,
    mut body: Body,
    path: &Path,
    limits: UploadLimits,
) -> Result<(), ApiError> {
    let too_large = || {
        let detail = format!("at most {} bytes are taken", limits.bytes_max);
        ApiError::new(ProblemCode::BodyTooLarge, detail)
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: u64| length > limits.bytes_max)
    {
        return Err(too_large());
    }
    let failed = |error: std::io::Error| {
        tracing::error!(%error, "a statement that is handed in cannot be written");
        ApiError::new(ProblemCode::Internal, "the file cannot be written; nothing of it was kept")
    };
    let mut file = File::create(path).await.map_err(failed)?;
    let mut left = limits.bytes_max;
    // Ends with the body, which the limit bounds.
    loop {
        let frame = match tokio::time::timeout(limits.pause_max, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => {
                let detail = "the body broke off before its end; nothing was done";
                return Err(ApiError::new(ProblemCode::RequestTimeout, detail));
            }
            Err(_) => {
                let detail = "the body did not go on in time; nothing was done";
                return Err(ApiError::new(ProblemCode::RequestTimeout, detail));
            }
        };
        // A frame without data is a trailer, which means nothing here.
        let Ok(data) = frame.into_data() else { continue };
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        left = left.checked_sub(length).ok_or_else(too_large)?;
        file.write_all(&data).await.map_err(failed)?;
    }
    if left == limits.bytes_max {
        return Err(ApiError::new(ProblemCode::StatementRefused, "the file is empty")
            .with("reason", "empty".into()));
    }
    file.flush().await.map_err(failed)
}
