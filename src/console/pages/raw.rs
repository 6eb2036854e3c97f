//! The calls that pages are made of, as the API answers them.

use axum::extract::Request;
use axum::response::Response;
use http::header;

use crate::console::desk::PageVisit;

/// `GET /console/json/v1/…`: the call, for whoever has signed in. `form=csv` asks for a stream of
/// lines, where the call has one.
pub async fn json(visit: PageVisit, mut request: Request) -> Response {
    let wanted = request.uri().path_and_query().map_or("", |path| path.as_str());
    let call = wanted.strip_prefix("/console/json").unwrap_or_default();
    let (call, as_csv) = match call.strip_suffix("&form=csv") {
        Some(call) => (call, true),
        None => (call, false),
    };
    if let (true, Ok(uri)) = (call.starts_with("/v1/"), call.parse()) {
        *request.uri_mut() = uri;
    }
    let headers = request.headers_mut();
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::ACCEPT);
    if as_csv {
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("text/csv"));
    }
    visit.pass(request).await
}
