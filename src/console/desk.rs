//! A visit: who looks at which page, in which language; and the page that is laid before them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use minijinja::Value;

use super::Console;
use super::call::{CallAnswer, CallMaker};
use super::sent::{LedTo, MARK_LENGTH, ONCE};
use super::session::OperatorSession;
use crate::api::auth::{Peer, Seat};
use crate::api::input::{BodyLimits, media_type, read_body};
use crate::api::language::{Language, has_text};
use crate::clock::stopwatch;
use crate::codec::sign::hex_lower;
use crate::config::checked::Role;
use crate::domain::money::{Currency, parse_major};

/// The cookie of a session, and that of a visitor's language.
pub const SESSION_COOKIE: &str = "sy-console";
pub const LANGUAGE_COOKIE: &str = "sy-language";
/// What the name of a form's token is.
pub const TOKEN: &str = "token";

/// The pages that the frame leads to: name, path, and the letter that opens it behind `g`.
const PLACES: [(&str, &str, &str); 13] = [
    ("today", "/console", "t"),
    ("orders", "/console/orders", "o"),
    ("unknowns", "/console/unknowns", "u"),
    ("channels", "/console/channels", "c"),
    ("routes", "/console/routes", "r"),
    ("bins", "/console/bins", "b"),
    ("reconciliation", "/console/reconciliation", "d"),
    ("settlement", "/console/settlement", "s"),
    ("accounting", "/console/accounting", "a"),
    ("notices", "/console/notices", "n"),
    ("approvals", "/console/approvals", "p"),
    ("audit", "/console/audit", "l"),
    ("settings", "/console/settings", "i"),
];

/// An answer instead of the page: a problem, or the way to sign in.
pub struct Stop(Box<Response>);

impl From<Response> for Stop {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Stop {
    fn into_response(self) -> Response {
        *self.0
    }
}

pub type PageResult = Result<Response, Stop>;

/// The value of a cookie.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(key, _)| key.trim() == name);
    named.next().map(|(_, value)| value.trim())
}

/// The pairs of a query or form; of two of one name the last one counts.
pub fn pairs(text: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(text).into_owned().collect()
}

/// The language that a request asks for, and whether it has just been chosen.
pub fn language(headers: &HeaderMap, query: &BTreeMap<String, String>) -> (Language, bool) {
    let chosen = query.get("lang").and_then(|tag| Language::parse(tag));
    let kept = cookie(headers, LANGUAGE_COOKIE).and_then(Language::parse);
    (chosen.or(kept).unwrap_or_else(|| Language::of(headers)), chosen.is_some())
}

/// Adds the cookie that keeps a chosen language.
pub fn keep_language(response: &mut Response, language: Language) {
    let text = format!(
        "{LANGUAGE_COOKIE}={}; Path=/console; Max-Age=31536000; SameSite=Lax; HttpOnly",
        language.name()
    );
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// The way to another page.
pub fn see(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let value = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/console"));
    response.headers_mut().insert(header::LOCATION, value);
    response
}

/// A path and its query, with these pairs changed; an empty value goes.
pub fn link(path: &str, query: &BTreeMap<String, String>, changed: &[(&str, &str)]) -> String {
    let mut pairs = query.clone();
    for (key, value) in changed {
        pairs.insert((*key).to_owned(), (*value).to_owned());
    }
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    let text = text.finish();
    if text.is_empty() { path.to_owned() } else { format!("{path}?{text}") }
}

/// Somebody who has signed in looks at a page or sends a form.
pub struct PageVisit {
    pub console: Arc<Console>,
    pub session: Arc<OperatorSession>,
    /// Whose key it is now.
    seat: Arc<Seat>,
    peer: Arc<Peer>,
    language: (Language, bool),
    uri: Uri,
    pub query: BTreeMap<String, String>,
    /// A call of the visit waits for a second person, so that its page must not say it is done.
    is_held: AtomicBool,
}

/// The session that a cookie names, and whose it is. One whose key is known no more, or was not for
/// a while, or may no longer look at everything, ends.
fn signed_in(console: &Console, headers: &HeaderMap) -> Option<(Arc<OperatorSession>, Arc<Seat>)> {
    let id = cookie(headers, SESSION_COOKIE)?;
    let now = (console.state.engine.clock().now(), stopwatch());
    let session = console.sessions.find(id, now)?;
    let goes_on = |seat: &Arc<Seat>| *seat.tenure() == session.tenure && seat.may_see_all();
    let seat = console.state.callers.seat(&session.key).filter(goes_on);
    if seat.is_none() {
        console.sessions.end(id);
    }
    Some((session, seat?))
}

impl FromRequestParts<Arc<Console>> for PageVisit {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Self, Response> {
        let found = signed_in(console, &parts.headers);
        let query = pairs(parts.uri.query().unwrap_or_default().as_bytes());
        let Some((session, seat)) = found else {
            // A form that was sent too late is not sent again behind somebody's back.
            let wanted = match parts.method {
                Method::GET => parts.uri.path_and_query().map_or("", |path| path.as_str()),
                _ => "",
            };
            let wanted = BTreeMap::from([("next".to_owned(), wanted.to_owned())]);
            return Err(see(&link("/console/login", &wanted, &[])));
        };
        let peer = parts.extensions.get::<Arc<Peer>>().expect("the server names it");
        Ok(Self {
            console: Arc::clone(console),
            session,
            seat,
            peer: Arc::clone(peer),
            language: language(&parts.headers, &query),
            uri: parts.uri.clone(),
            query,
            is_held: AtomicBool::new(false),
        })
    }
}

impl PageVisit {
    fn maker(&self) -> CallMaker<'_> {
        let (key, language) = (self.session.key, self.language());
        CallMaker { calls: &self.console.calls, key, peer: &self.peer, language }
    }

    pub fn language(&self) -> Language {
        self.language.0
    }

    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// A value of the query that is there and not empty.
    pub fn asked(&self, key: &str) -> Option<&str> {
        self.query.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The path of a call, with those of these keys that the page was asked with.
    pub fn call_path(&self, path: &str, keys: &[&str]) -> String {
        let asked = self.query.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        link(path, &asked.map(|(key, value)| (key.clone(), value.clone())).collect(), &[])
    }

    /// Passes a request on as it is.
    pub async fn pass(&self, request: Request) -> Response {
        self.maker().raw(request).await
    }

    /// A call whose refusal is for the caller to judge.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> CallAnswer {
        let answer = self.maker().send(method, path, body).await;
        let is_held = answer.status == StatusCode::ACCEPTED && answer.body["approval"].is_object();
        self.is_held.fetch_or(is_held, Ordering::Relaxed);
        answer
    }

    /// A call that changes something, or a question with a body. A refusal is shown as a page.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value, Stop> {
        let answer = self.try_send(method, path, Some(body)).await;
        self.accepted(answer)
    }

    /// The answer's body, or the page of its refusal.
    pub fn accepted(&self, answer: CallAnswer) -> Result<serde_json::Value, Stop> {
        let answer = self.still_known(answer)?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(self.problem(answer.status, &answer.body).into())
    }

    /// The answer, for a page that shows its refusal itself; the way to sign in where the key is
    /// known no more.
    pub fn still_known(&self, answer: CallAnswer) -> Result<CallAnswer, Stop> {
        match answer.status {
            StatusCode::UNAUTHORIZED => Err(see("/console/login").into()),
            _ => Ok(answer),
        }
    }

    /// The page of a problem that the API has answered.
    fn problem(&self, status: StatusCode, body: &serde_json::Value) -> Response {
        let shown = PageView::new(self, "problem").show_refused(status, body);
        shown.unwrap_or_else(IntoResponse::into_response)
    }

    /// The fields of a form, whose token must be that of its own path.
    pub async fn form(&self, request: Request) -> Result<BTreeMap<String, String>, Stop> {
        self.form_of_many(request).await.map(|(_, fields)| fields)
    }

    /// The same of a form that may be larger than an order.
    pub async fn form_within(
        &self,
        request: Request,
        bytes_max: usize,
    ) -> Result<BTreeMap<String, String>, Stop> {
        self.read_form(request, bytes_max).await.map(|(_, fields)| fields)
    }

    /// The same of a form in which several rows were chosen: their ids, and the other fields.
    pub async fn form_of_many(
        &self,
        request: Request,
    ) -> Result<(Vec<String>, BTreeMap<String, String>), Stop> {
        let bytes_max = self.console.state.settings.server.body_bytes_max;
        self.read_form(request, bytes_max).await
    }

    async fn read_form(
        &self,
        request: Request,
        bytes_max: usize,
    ) -> Result<(Vec<String>, BTreeMap<String, String>), Stop> {
        let (parts, body) = request.into_parts();
        let bytes = self.read_bytes(&parts.headers, body, bytes_max).await?;
        let mut fields = pairs(&bytes);
        if !self.has_token(parts.uri.path(), &fields) {
            return Err(self.refuse(StatusCode::FORBIDDEN, "problem.token"));
        }
        for name in [TOKEN, ONCE, "id"] {
            fields.remove(name);
        }
        let chosen = form_urlencoded::parse(&bytes).filter(|(name, _)| name == "id");
        Ok((chosen.map(|(_, id)| id.into_owned()).collect(), fields))
    }

    /// The body of a form that is no larger than an order.
    pub async fn form_bytes(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Stop> {
        self.read_bytes(headers, body, self.console.state.settings.server.body_bytes_max).await
    }

    async fn read_bytes(
        &self,
        headers: &HeaderMap,
        body: Body,
        bytes_max: usize,
    ) -> Result<Bytes, Stop> {
        if media_type(headers).as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(self.refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "problem.no_form"));
        }
        let timeout = self.console.state.settings.server.request_timeout;
        let limits = BodyLimits { bytes_max, timeout };
        let bytes = read_body(headers, body, limits).await;
        bytes.map_err(|error| {
            self.problem(error.code().status(), &error.body(self.language())).into()
        })
    }

    /// Whether a form's token is that of this path.
    pub fn has_token(&self, path: &str, fields: &BTreeMap<String, String>) -> bool {
        self.session.has_token(path, fields.get(TOKEN).map(String::as_str).unwrap_or_default())
    }

    /// A refusal of the console's own, as a page: this text.
    pub fn refuse(&self, status: StatusCode, key: &str) -> Stop {
        self.problem(status, &serde_json::json!({ "title": self.language().text(key) })).into()
    }

    /// The same of a field that cannot be read: what was expected there.
    pub fn unreadable(&self, field: &str, key: &str) -> Stop {
        let title = self.language().text(key);
        let problem = serde_json::json!({ "title": title, "field": field });
        self.problem(StatusCode::UNPROCESSABLE_ENTITY, &problem).into()
    }

    /// An amount of a form or filter in minor units: its fields have it in major ones, with its
    /// currency. `None` where none was filled in.
    pub fn amount(&self, fields: &BTreeMap<String, String>) -> Result<Option<i64>, Stop> {
        let filled = |name: &str| fields.get(name).filter(|text| !text.trim().is_empty());
        let Some(amount) = filled("amount") else { return Ok(None) };
        let currency = filled("currency").map_or("CNY", |text| text.trim());
        let Some(currency) = Currency::parse(currency) else {
            return Err(self.unreadable("currency", "problem.currency"));
        };
        let minor = parse_major(amount.trim(), currency);
        minor.map(Some).map_err(|_| self.unreadable("amount", "problem.amount"))
    }

    /// A whole number of a form. `None` where none was filled in.
    pub fn number(
        &self,
        fields: &BTreeMap<String, String>,
        name: &str,
    ) -> Result<Option<u32>, Stop> {
        let filled = fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let number = filled.map(|text| text.parse().map_err(|_| text)).transpose();
        number.map_err(|_| self.unreadable(name, "problem.number"))
    }

    /// The beginning of the date of a field, in the operator's zone, so many days later. `None`
    /// where none was filled in.
    pub fn date(
        &self,
        fields: &BTreeMap<String, String>,
        name: &str,
        days: i32,
    ) -> Result<Option<String>, Stop> {
        let filled = fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let Some(text) = filled else { return Ok(None) };
        let begins = beginning(text, days, &self.console.state.settings.console.zone);
        begins.map(Some).ok_or_else(|| self.unreadable(name, "problem.date"))
    }

    /// The page of those of many calls that were refused; the others were carried out.
    pub fn refused(&self, asked: usize, refused: Vec<(String, CallAnswer)>) -> Stop {
        let of = |(id, answer): &(String, CallAnswer)| {
            let problem = &answer.body;
            serde_json::json!({ "id": id, "problem": problem })
        };
        let mut page = PageView::new(self, "refused");
        page.put("asked", asked);
        page.put("refused", refused.iter().map(of).collect::<Vec<_>>());
        let mut response = page.show().unwrap_or_else(IntoResponse::into_response);
        *response.status_mut() =
            refused.first().map_or(StatusCode::CONFLICT, |(_, answer)| answer.status);
        response.into()
    }

    /// Back to a page, which says what was done; or to what waits for a second person, if a call
    /// has come to that.
    pub fn done(&self, path: &str, said: &str) -> Response {
        let (path, said) = match self.is_held.load(Ordering::Relaxed) {
            true => ("/console/approvals", "held"),
            false => (path, said),
        };
        let (plain, query) = path.split_once('?').unwrap_or((path, ""));
        let path = link(plain, &pairs(query.as_bytes()), &[("said", said)]);
        let mut response = see(&path);
        response.extensions_mut().insert(LedTo(path));
        response
    }

    pub fn page(&self, name: &'static str) -> PageView<'_> {
        PageView::new(self, name)
    }
}

/// The beginning of a date in the operator's zone, so many days later.
fn beginning(text: &str, days: i32, zone: &TimeZone) -> Option<String> {
    let mut date: Date = text.parse().ok()?;
    for _ in 0..days {
        date = date.tomorrow().ok()?;
    }
    let begins = date.to_zoned(zone.clone()).ok()?;
    Some(begins.timestamp().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string())
}

/// The fields of a form as the members of a call: those that were filled in.
pub fn members(fields: &BTreeMap<String, String>, keys: &[&str]) -> serde_json::Value {
    let filled = keys.iter().filter_map(|key| {
        let value = fields.get(*key).map(|value| value.trim()).filter(|value| !value.is_empty())?;
        Some(((*key).to_owned(), serde_json::Value::from(value)))
    });
    serde_json::Value::Object(filled.collect())
}

/// A page on its way.
pub struct PageView<'visit> {
    visit: &'visit PageVisit,
    name: &'static str,
    values: BTreeMap<&'static str, Value>,
    /// The calls that it is made of.
    calls: Vec<String>,
}

impl<'visit> PageView<'visit> {
    fn new(visit: &'visit PageVisit, name: &'static str) -> Self {
        Self { visit, name, values: BTreeMap::new(), calls: Vec::new() }
    }

    pub fn put(&mut self, name: &'static str, value: impl serde::Serialize) {
        self.values.insert(name, Value::from_serialize(value));
    }

    /// Makes a call, and lays its answer on the page under this name.
    pub async fn ask(&mut self, name: &'static str, path: &str) -> Result<serde_json::Value, Stop> {
        let answer = self.visit.try_send(Method::GET, path, None).await;
        let body = self.visit.accepted(answer)?;
        self.calls.push(path.to_owned());
        self.put(name, &body);
        Ok(body)
    }

    /// The same; what the API does not have is left out of the page.
    pub async fn ask_if_there(
        &mut self,
        name: &'static str,
        path: &str,
    ) -> Result<serde_json::Value, Stop> {
        let answer = self.visit.try_send(Method::GET, path, None).await;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(serde_json::Value::Null);
        }
        let body = self.visit.accepted(answer)?;
        self.calls.push(path.to_owned());
        self.put(name, &body);
        Ok(body)
    }

    /// A page of a listing, with the way to the next one.
    pub async fn list(&mut self, name: &'static str, path: &str) -> Result<(), Stop> {
        let body = self.ask(name, path).await?;
        let (path, query) = (self.visit.path(), &self.visit.query);
        self.put("first_page", link(path, query, &[("after", ""), ("said", "")]));
        if let Some(next) = body.get("next") {
            let next = next.as_str().map_or_else(|| next.to_string(), str::to_owned);
            let next = link(path, query, &[("after", &next), ("said", "")]);
            self.put("next_page", next);
        }
        Ok(())
    }

    /// The page with a refusal on it, as a problem of the API, and with that status.
    pub fn show_refused(mut self, status: StatusCode, problem: &serde_json::Value) -> PageResult {
        self.put("problem", problem);
        let mut response = self.show()?;
        *response.status_mut() = status;
        Ok(response)
    }

    /// The page as HTML.
    pub fn show(mut self) -> PageResult {
        let visit = self.visit;
        let (path, query) = (visit.path(), &visit.query);
        let languages: Vec<_> = Language::ALL
            .map(|one| {
                let href = link(path, query, &[("lang", one.name()), ("said", "")]);
                (one.name(), href, one == visit.language())
            })
            .into();
        self.put("languages", languages);
        self.put("places", PLACES);
        // The place below whose path the page lies.
        let of_statements = ["/console/batches/", "/console/differences"];
        let path = match of_statements.iter().any(|begin| path.starts_with(begin)) {
            true => "/console/reconciliation",
            false => path,
        };
        let is_below = |href: &str| {
            let rest = path.strip_prefix(href);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let places = PLACES.iter().filter(|(_, href, _)| is_below(href));
        self.put("place", places.max_by_key(|(_, href, _)| href.len()).map(|place| place.0));
        self.put("page", self.name);
        self.put("lang", visit.language().name());
        self.put("path", path);
        self.put("query", query);
        self.put("caller", visit.seat.name().as_str());
        self.put("may_operate", visit.seat.has(Role::Operator));
        let link = |call: &String| (call.clone(), format!("/console/json{call}"));
        let calls: Vec<_> = self.calls.iter().map(link).collect();
        self.put("calls", calls);
        if let Some(said) = visit.asked("said").filter(|said| has_text(&format!("said.{said}"))) {
            self.put("said", said);
        }
        let (session, console) = (Arc::clone(&visit.session), Arc::clone(&visit.console));
        let token = move |action: String| {
            // Each form has a mark of its own: several of a page may lead to one path.
            let mut once = [0; MARK_LENGTH / 2];
            console.entropy.fill(&mut once);
            let fields = [(TOKEN, session.token(&action)), (ONCE, hex_lower(&once))];
            let fields = fields.map(|(name, value)| {
                format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">")
            });
            Value::from_safe_string(fields.concat())
        };
        self.values.insert("token", Value::from_function(token));
        let name = format!("{}.html", self.name);
        let mut response = visit.console.views.page(&name, &self.values, visit.language());
        if visit.language.1 {
            keep_language(&mut response, visit.language());
        }
        Ok(response)
    }
}
