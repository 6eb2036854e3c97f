//! Callers' input, read into checked values: bodies within their bounds, JSON, queries, orders.
//!
//! Knows HTTP and the domain's values, no store and no channel. Nothing here writes anything, so a
//! bad input ends before there is anything to undo.

pub mod forms;
pub mod json;
pub mod order;
pub mod query;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::query::Query;

/// How much of a body is read, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    pub bytes_max: usize,
    /// From the last byte of the header to the last byte of the body.
    pub timeout: Duration,
}

/// Reads a whole body within its limits.
pub async fn read_body(
    headers: &HeaderMap,
    body: Body,
    limits: BodyLimits,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        let detail = format!("at most {} bytes are taken", limits.bytes_max);
        ApiError::new(ProblemCode::BodyTooLarge, detail)
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced = announced.and_then(|length| length.parse::<u64>().ok());
    if announced
        .is_some_and(|length| usize::try_from(length).map_or(true, |l| l > limits.bytes_max))
    {
        return Err(too_large());
    }
    let collecting = Limited::new(body, limits.bytes_max).collect();
    match tokio::time::timeout(limits.timeout, collecting).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            Err(ApiError::new(ProblemCode::MalformedJson, "the body broke off before its end"))
        }
        Err(_) => {
            let detail = "the body did not come whole in time; nothing was done";
            Err(ApiError::new(ProblemCode::RequestTimeout, detail))
        }
    }
}

/// A body's type without parameters, in lower case.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Reads the JSON of a call that has nothing in its query: what stands there is refused, since it
/// was meant to say something.
pub async fn read_json(parts: &Parts, body: Body, limits: BodyLimits) -> Result<Bytes, ApiError> {
    Query::of(&parts.uri).finish()?;
    read_json_body(&parts.headers, body, limits).await
}

/// Reads a body that must say that it is JSON. An empty one need not.
pub async fn read_json_body(
    headers: &HeaderMap,
    body: Body,
    limits: BodyLimits,
) -> Result<Bytes, ApiError> {
    let kind = media_type(headers);
    let is_json = kind.as_deref().is_some_and(|kind| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    });
    if kind.is_some() && !is_json {
        return Err(unsupported("send application/json"));
    }
    let bytes = read_body(headers, body, limits).await?;
    if !is_json && !bytes.is_empty() {
        return Err(unsupported("say Content-Type: application/json"));
    }
    Ok(bytes)
}

/// The refusal of a body of another type.
pub fn unsupported(advice: &'static str) -> ApiError {
    ApiError::new(ProblemCode::UnsupportedMediaType, advice)
}

/// The one variable part of a path, decoded.
pub struct PathSegment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathSegment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(segment)) => Ok(Self(segment)),
            Err(_) => Err(ApiError::not_found("the path cannot be read")),
        }
    }
}
