//! The way in: a caller's key opens a session, which the browser then names by a cookie.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use minijinja::Value;

use super::Console;
use super::desk::{
    PageVisit, SESSION_COOKIE, TOKEN, cookie, html_response, keep_language, language, link, pairs,
    see,
};
use super::session::OperatorSession;
use crate::api::auth::Peer;
use crate::api::input::{BodyLimits, read_body};
use crate::api::language::Language;
use crate::codec::sign::{equal_in_constant_time, hex_lower};
use crate::config::checked::Role;

/// The cookie that the form of the key must repeat: another site can't know it.
const FORM_COOKIE: &str = "sy-sign-in";
const ROUTE: &str = "/console/login";
/// Addresses whose tries are remembered before those that have none left to wait for are dropped.
const ADDRESSES_MAX: usize = 10_000;

/// `GET /console/login`
pub async fn show(State(console): State<Arc<Console>>, request: Request) -> Response {
    let query = pairs(request.uri().query().unwrap_or_default().as_bytes());
    form(&console, request.headers(), &query, StatusCode::OK, None)
}

/// The form, with a problem of the try before.
fn form(
    console: &Console,
    headers: &HeaderMap,
    query: &BTreeMap<String, String>,
    status: StatusCode,
    problem: Option<&str>,
) -> Response {
    let (language, is_chosen) = language(headers, query);
    let known = cookie(headers, FORM_COOKIE).filter(|known| known.len() == 64);
    let token = known.map_or_else(|| secret(console), str::to_owned);
    let languages: Vec<_> = Language::ALL
        .map(|one| (one.name(), link(ROUTE, query, &[("lang", one.name())]), one == language))
        .into();
    let values = BTreeMap::from([
        ("lang", Value::from(language.name())),
        ("languages", Value::from_serialize(languages)),
        ("page", Value::from("login")),
        ("next", Value::from(query.get("next").cloned().unwrap_or_default())),
        ("problem", Value::from_serialize(problem)),
        ("form_token", Value::from(token.clone())),
    ]);
    let mut response = html_response(console.views.render("login.html", &values));
    *response.status_mut() = status;
    set_cookie(&mut response, console, headers, (FORM_COOKIE, &token), "; Path=/console/login");
    if is_chosen {
        keep_language(&mut response, language);
    }
    response
}

/// `POST /console/login`
pub async fn take(State(console): State<Arc<Console>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let peer = Arc::clone(parts.extensions.get::<Arc<Peer>>().expect("the server names it"));
    let server = &console.state.settings.server;
    let limits = BodyLimits { bytes_max: server.body_bytes_max, timeout: server.request_timeout };
    let fields = match read_body(&parts.headers, body, limits).await {
        Ok(bytes) => pairs(&bytes),
        Err(error) => {
            let (status, none) = (error.code().status(), BTreeMap::new());
            return form(&console, &parts.headers, &none, status, Some("login.broken"));
        }
    };
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let again = |status, problem| {
        let next = [("next".to_owned(), field("next").to_owned())].into();
        form(&console, &parts.headers, &next, status, Some(problem))
    };
    let known = cookie(&parts.headers, FORM_COOKIE).unwrap_or_default();
    if known.is_empty() || !equal_in_constant_time(known.as_bytes(), field(TOKEN).as_bytes()) {
        return again(StatusCode::FORBIDDEN, "problem.token");
    }
    if console.sign_ins.len() > ADDRESSES_MAX {
        console.sign_ins.retain_recent();
    }
    if console.sign_ins.check_key(&peer.address).is_err() {
        return again(StatusCode::TOO_MANY_REQUESTS, "login.too_often");
    }
    let admitted = console.state.callers.sign_in(field("key"), (&peer, ROUTE));
    let (key, seat) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            let problem = match error.code().status() {
                StatusCode::FORBIDDEN => "login.forbidden",
                StatusCode::TOO_MANY_REQUESTS => "login.too_often",
                _ => "login.unknown",
            };
            return again(error.code().status(), problem);
        }
    };
    let mut forms = [0; 32];
    console.entropy.fill(&mut forms);
    let session =
        OperatorSession::new(seat.name().to_string(), key, seat.has(Role::Operator), &forms);
    let id = secret(&console);
    console.sessions.begin(&id, session, console.state.engine.clock().now());
    let mut response = see(next_page(field("next")));
    let place = (SESSION_COOKIE, id.as_str());
    set_cookie(&mut response, &console, &parts.headers, place, "; Path=/console");
    response
}

/// `POST /console/logout`
pub async fn leave(visit: PageVisit, headers: HeaderMap, request: Request) -> Response {
    if let Err(stop) = visit.form(request).await {
        return axum::response::IntoResponse::into_response(stop);
    }
    if let Some(id) = cookie(&headers, SESSION_COOKIE) {
        visit.console.sessions.end(id);
    }
    let mut response = see(ROUTE);
    let over = "; Path=/console; Max-Age=0";
    set_cookie(&mut response, &visit.console, &headers, (SESSION_COOKIE, ""), over);
    response
}

/// A page of ours to go on to, and nobody else's.
fn next_page(wanted: &str) -> &str {
    let rest = wanted.strip_prefix("/console");
    let is_ours = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    if is_ours && wanted.bytes().all(|byte| byte.is_ascii_graphic()) { wanted } else { "/console" }
}

/// A text that nobody can guess.
fn secret(console: &Console) -> String {
    let mut bytes = [0; 32];
    console.entropy.fill(&mut bytes);
    hex_lower(&bytes)
}

/// A cookie that scripts do not see and other sites do not send. Where TLS leads to us, whoever
/// ends it, it never goes without: a browser says by `Origin` how it has come.
fn set_cookie(
    response: &mut Response,
    console: &Console,
    headers: &HeaderMap,
    (name, value): (&str, &str),
    rest: &str,
) {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let by_tls = console.has_tls || origin.is_some_and(|origin| origin.starts_with("https://"));
    let secure = if by_tls { "; Secure" } else { "" };
    let text = format!("{name}={value}; HttpOnly; SameSite=Strict{secure}{rest}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::next_page;

    #[test]
    fn one_goes_on_to_our_own_pages_alone() {
        for ours in ["/console", "/console/unknowns?phase=operator", "/console?lang=zh"] {
            assert_eq!(next_page(ours), ours);
        }
        for others in
            ["", "//evil.example", "https://evil.example", "/consolex", "/console\r\nA: b"]
        {
            assert_eq!(next_page(others), "/console", "{others:?}");
        }
    }
}
