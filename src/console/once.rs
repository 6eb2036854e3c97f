//! A form is carried out once: what was sent a second time (a double click, the way back and once
//! more) leads to where the first led, and says so.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};

use super::desk::{PageVisit, pairs};
use super::sent::{LedTo, MARK_LENGTH, ONCE};
use crate::api::run_detached;

/// Carries a form out unless it has been, also where its sender hangs up meanwhile: a second click
/// makes a browser drop the first request and wait for the second, which waits for the first's end.
/// A form that was refused may be sent again.
pub async fn carry_out_once(visit: PageVisit, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let bytes = match visit.form_bytes(&parts.headers, body).await {
        Ok(bytes) => bytes,
        Err(stop) => return stop.into_response(),
    };
    let fields = pairs(&bytes);
    let mark = fields.get(ONCE).filter(|mark| mark.len() == MARK_LENGTH).cloned();
    let path = parts.uri.path().to_owned();
    let Some(mark) = mark.filter(|_| visit.has_token(&path, &fields)) else {
        return visit.refuse(StatusCode::FORBIDDEN, "problem.token").into_response();
    };
    let end = visit.session.sent.of((mark, path));
    let request = Request::from_parts(parts, Body::from(bytes));
    run_detached(async move {
        let mut end = end.lock().await;
        if let Some(path) = &*end {
            return Ok(visit.done(path, "already"));
        }
        let response = next.run(request).await;
        *end = response.extensions().get::<LedTo>().map(|led| led.0.clone());
        Ok(response)
    })
    .await
    .unwrap_or_else(IntoResponse::into_response)
}
