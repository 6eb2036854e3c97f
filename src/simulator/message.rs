//! A request and a reply over HTTP as the simulator's dialects see them.

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};

/// One request as it came.
pub(in crate::simulator) struct HttpRequest {
    pub method: Method,
    pub path: String,
    /// Without its question mark; empty if there is none.
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One reply, before the network's faults.
#[derive(Debug)]
pub(in crate::simulator) struct HttpReply {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

impl HttpReply {
    /// A body of one kind, without further headers.
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))];
        Self { status, headers, body: body.into() }
    }
}
