//! The way in: a caller's key opens a session, which the browser then names by a cookie.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use minijinja::Value;

use super::Console;
use super::desk::{
    PageVisit, SESSION_COOKIE, TOKEN, cookie, keep_language, language, link, pairs, see,
};
use super::session::OperatorSession;
use super::tries;
use crate::api::auth::Peer;
use crate::api::input::{BodyLimits, read_body};
use crate::api::language::Language;
use crate::clock::stopwatch;
use crate::codec::sign::{equal_in_constant_time, hex_lower};

/// The cookie that the form of the key must repeat: another site can't know it.
const FORM_COOKIE: &str = "sy-sign-in";
const ROUTE: &str = "/console/login";
/// The cookie of a browser that has signed in before, and for how long, in seconds.
const BROWSER_COOKIE: &str = "sy-browser";
const BROWSER_KNOWN_FOR_S: u32 = 180 * 24 * 60 * 60;

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
    let mut response = console.views.page("login.html", &values, language);
    if response.status().is_success() {
        *response.status_mut() = status;
    }
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
    let known = cookie(&parts.headers, BROWSER_COOKIE);
    if !console.tries.admit(known, peer.address, &console.state.callers) {
        return again(StatusCode::TOO_MANY_REQUESTS, "login.too_often");
    }
    let admitted = console.state.callers.sign_in(field("key"), (&peer, ROUTE));
    let (key, tenure) = match admitted {
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
    let session = OperatorSession::new((key, tenure), &forms);
    let id = secret(&console);
    console.sessions.begin(&id, session, (console.state.engine.clock().now(), stopwatch()));
    let mut response = see(next_page(field("next")));
    let place = (SESSION_COOKIE, id.as_str());
    set_cookie(&mut response, &console, &parts.headers, place, "; Path=/console");
    let mark = tries::mark(key, &console.entropy);
    let rest = format!("; Path=/console/login; Max-Age={BROWSER_KNOWN_FOR_S}");
    set_cookie(&mut response, &console, &parts.headers, (BROWSER_COOKIE, &mark), &rest);
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
/// ends it, it never goes without.
fn set_cookie(
    response: &mut Response,
    console: &Console,
    headers: &HeaderMap,
    (name, value): (&str, &str),
    rest: &str,
) {
    let secure = if console.has_tls || came_by_tls(headers) { "; Secure" } else { "" };
    let text = format!("{name}={value}; HttpOnly; SameSite=Strict{secure}{rest}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Whether a browser has come by https: it says so itself with `Origin` at each form and with
/// `Referer` behind a page of ours, or a proxy that ended its TLS says so. Any of them is enough:
/// who lies gets a cookie that their own browser sends back less often.
fn came_by_tls(headers: &HeaderMap) -> bool {
    let says = |name: &str, told: fn(&str) -> bool| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split([',', ';'])).any(|value| told(value.trim()))
    };
    let begins_so =
        |text: &str| text.get(..8).is_some_and(|it| it.eq_ignore_ascii_case("https://"));
    says("origin", begins_so)
        || says("referer", begins_so)
        || says("x-forwarded-proto", |proto| proto.eq_ignore_ascii_case("https"))
        || says("forwarded", |pair| {
            let proto = pair.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("proto"));
            proto.is_some_and(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("https"))
        })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{came_by_tls, next_page};

    #[test]
    fn a_browser_has_come_by_tls_where_it_or_its_proxy_says_so() {
        for (name, value, by_tls) in [
            ("origin", "https://switchyard.example", true),
            ("origin", "http://switchyard.example", false),
            ("origin", "null", false),
            ("referer", "https://switchyard.example/console/login", true),
            ("referer", "http://switchyard.example/https://", false),
            ("x-forwarded-proto", "https", true),
            ("x-forwarded-proto", "https, http", true),
            ("x-forwarded-proto", "http", false),
            ("forwarded", "for=192.0.2.60;proto=https;by=203.0.113.43", true),
            ("forwarded", "for=192.0.2.60;Proto=\"HTTPS\"", true),
            ("forwarded", "host=https", false),
            ("x-nothing", "https", false),
        ] {
            let name = HeaderName::from_static(name);
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            assert_eq!(came_by_tls(&headers), by_tls, "{headers:?}");
        }
    }

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
