//! The operator's console: pages of plain HTML at `/console`, in Chinese and English.
//!
//! Every page is made of answers of the API, which it asks in this process, as the caller whose key
//! opened the session: roles, checks and refusals are the API's own, and each page leads to the
//! JSON of its calls. A page reads no store and asks no engine. Reading needs no script.
//!
//! Upholds I-11: the key is not kept, only its digest, which the settings have too; no form sends a
//! card number, and none stands in a URL.

mod call;
mod chart;
mod desk;
mod once;
mod pages;
mod sent;
mod session;
mod sign_in;
mod tries;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderValue, header};

use crate::api::{ApiState, ServedPages, router};
use crate::config::server::ListenerKind;
use crate::entropy::Entropy;
use session::Sessions;
use tries::Tries;
use views::Views;

/// Nothing is loaded from elsewhere, nothing runs inline, nobody frames a page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What all pages share.
struct Console {
    /// The API's own routes, asked in this process.
    calls: Router,
    state: Arc<ApiState>,
    sessions: Sessions,
    views: Views,
    entropy: Entropy,
    tries: Tries,
    has_tls: bool,
}

/// The console's routes, for the API's listener.
pub fn routes(state: Arc<ApiState>, entropy: Entropy) -> ServedPages {
    let settings = &state.settings;
    let console = Console {
        calls: router(Arc::clone(&state), ListenerKind::Api, ServedPages::new()),
        sessions: Sessions::new(settings.console.idle_end),
        views: Views::new(settings.console.zone.clone()),
        entropy,
        tries: Tries::new(),
        has_tls: settings.server.api.tls.is_some(),
        state,
    };
    let console = Arc::new(console);
    Router::new()
        .route("/console/style.css", get(views::style))
        .route("/console/console.js", get(views::script))
        .route("/console/login", get(sign_in::show).post(sign_in::take))
        .route("/console/logout", axum::routing::post(sign_in::leave))
        .merge(pages::routes(&console))
        .layer(middleware::from_fn(guard))
        .with_state(console)
}

/// Adds what keeps a browser from doing more with a page than is meant.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // With less, a browser says at no form how it has come: see `sign_in::came_by_tls`.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
