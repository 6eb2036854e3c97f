//! Calls of the API, made in this process by whoever has signed in.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt as _;

use crate::api::auth::{KeyDigest, Peer};
use crate::api::call::in_language;
use crate::api::language::Language;

/// What the API answered.
pub struct CallAnswer {
    pub status: StatusCode,
    pub body: Value,
}

/// Who makes a call, and from where.
pub struct CallMaker<'call> {
    pub calls: &'call Router,
    pub key: KeyDigest,
    pub peer: &'call Arc<Peer>,
    /// That in which the API's problems are told.
    pub language: Language,
}

impl CallMaker<'_> {
    /// The answer as it is, for whoever passes it on. A path that is none is a `GET` of nothing.
    pub async fn raw(&self, mut request: Request) -> Response {
        // What the way to us has left there, the parts of our own path among it, is not the call's.
        *request.extensions_mut() = http::Extensions::new();
        request.extensions_mut().insert(self.key);
        request.extensions_mut().insert(Arc::clone(self.peer));
        match in_language(self.language, self.calls.clone().oneshot(request)).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }

    /// A call, with a body of JSON or without any.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> CallAnswer {
        let bytes = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = Request::new(bytes);
        *request.method_mut() = method;
        let Ok(uri) = path.parse() else {
            return CallAnswer { status: StatusCode::NOT_FOUND, body: Value::Null };
        };
        *request.uri_mut() = uri;
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        let (parts, body) = self.raw(request).await.into_parts();
        let bytes = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
        CallAnswer {
            status: parts.status,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }
}
