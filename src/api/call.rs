//! One call of the API: the id under which its answer and its log lines are found, and the trace
//! that it is a part of.
//!
//! Upholds I-11: a caller's own id stands in the log, so one that holds a card number, or that is
//! not short and plain, is not taken: the call gets an id of ours, as one without any does.

use std::sync::{Arc, OnceLock};

use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, Request};
use tracing::Instrument as _;

use crate::api::language::Language;
use crate::clock::{Timekeeper, stopwatch};
use crate::domain::card::luhn_fits;
use crate::domain::card::words::holds_card_number;
use crate::domain::ids::CallerId;
use crate::entropy::Entropy;
use crate::telemetry::spans::{self, OpenSpan, SpanFact, SpanKind};
use crate::telemetry::trace::{self, TraceContext};

/// The header in which a call's id comes, and in which its answer has it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The methods that a span is named by.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// The longest id of a caller's own, in characters.
pub const REQUEST_ID_LENGTH_MAX: usize = 64;

tokio::task_local! {
    static CALL: ApiCall;
    /// Of calls that are made in this process for a visitor.
    static VISITOR_LANGUAGE: Language;
}

/// A call that is being answered.
#[derive(Debug)]
pub struct ApiCall {
    /// Plain text, whether it came or was drawn.
    id: HeaderValue,
    /// Its place in a trace, until it is answered there.
    trace: Option<TraceContext>,
    /// That in which its problems are told.
    language: Language,
    /// What its span tells; only where spans are made.
    span: Option<CallSpan>,
    seen: Option<Arc<CallFacts>>,
}

/// The span of a call, until it is answered.
#[derive(Debug)]
struct CallSpan {
    open: OpenSpan,
    method: Method,
}

/// What is learnt of a call while it is answered.
#[derive(Debug, Default)]
struct CallFacts {
    /// The route's template: a path holds ids, and may hold anything.
    route: OnceLock<String>,
    caller: OnceLock<CallerId>,
}

impl ApiCall {
    pub fn begin<B>(request: &Request<B>, entropy: &Entropy, clock: &Timekeeper) -> Self {
        let headers = request.headers();
        let id = headers.get(REQUEST_ID).filter(|id| is_fit(id)).cloned();
        let id = id.unwrap_or_else(|| draw_id(entropy));
        let trace = TraceContext::of(headers, entropy.draw() | 1);
        let language = Language::of(headers);
        let Some(queue) = spans::queue() else {
            return Self { id, trace, language, span: None, seen: None };
        };
        let place = trace.unwrap_or_else(|| queue.trace());
        let open = queue.of_call(&place, clock.now());
        let span = open.map(|open| CallSpan { open, method: request.method().clone() });
        let seen = span.is_some().then(Arc::default);
        Self { id, trace: Some(place), language, span, seen }
    }

    /// Answers the call under its id, which the answer and every log line of it then have.
    pub async fn answer<E>(
        mut self,
        answering: impl Future<Output = Result<Response, E>>,
    ) -> Result<Response, E> {
        let (id, place) = (self.id.clone(), self.trace.take());
        let span_to_end = self.span.take().map(|span| (span, self.seen.clone(), stopwatch()));
        // Of the highest level, so that the id stands in every line that is logged at all.
        let span = tracing::error_span!(
            "call",
            request.id = text(&id),
            trace.id = place.as_ref().map(TraceContext::trace_id)
        );
        let answering = trace::within(place, CALL.scope(self, answering));
        let mut answer = answering.instrument(span).await?;
        if let Some((span, seen, began)) = span_to_end {
            let told = (text(&id), answer.status().as_u16());
            span.end(&seen.unwrap_or_default(), told, began.elapsed());
        }
        answer.headers_mut().insert(REQUEST_ID, id);
        Ok(answer)
    }
}

impl CallSpan {
    fn end(self, seen: &CallFacts, (id, status): (&str, u16), took: std::time::Duration) {
        let method = self.method.as_str();
        // A method of a caller's own making is no name.
        let method = if METHODS.contains(&method) { method } else { "HTTP" };
        let route = seen.route.get().map(String::as_str);
        let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        let mut facts = vec![
            ("http.request.method", SpanFact::Text(method.to_owned())),
            ("http.response.status_code", SpanFact::Number(status.into())),
            ("switchyard.request.id", SpanFact::Text(id.to_owned())),
        ];
        facts.extend(route.map(|route| ("http.route", SpanFact::Text(route.to_owned()))));
        let caller = seen.caller.get().map(|caller| SpanFact::Text(caller.to_string()));
        facts.extend(caller.map(|caller| ("switchyard.caller", caller)));
        self.open.end((SpanKind::Server, name), took, status >= 500, facts);
    }
}

/// The call's route is known.
pub fn has_route(route: &str) {
    seen(|facts| drop(facts.route.set(route.to_owned())));
}

/// The call's caller is known.
pub fn has_caller(caller: &CallerId) {
    seen(|facts| drop(facts.caller.set(caller.clone())));
}

fn seen(tell: impl FnOnce(&CallFacts)) {
    if spans::queue().is_some() {
        // Without a call, as at a sign-in of the console, there is nothing to tell.
        let _ = CALL.try_with(|call| call.seen.as_deref().map(tell));
    }
}

/// The id of the call that is being answered here, if one is.
pub fn request_id() -> Option<String> {
    CALL.try_with(|call| text(&call.id).to_owned()).ok()
}

/// The language in which whoever is answered here is told of a problem.
pub fn language() -> Language {
    let visitors = VISITOR_LANGUAGE.try_with(|language| *language);
    let language = visitors.or_else(|_| CALL.try_with(|call| call.language));
    language.unwrap_or(Language::English)
}

/// Answers a call of this process in the language of the visitor for whom it is made.
pub fn in_language<T>(
    language: Language,
    answering: impl Future<Output = T>,
) -> impl Future<Output = T> {
    VISITOR_LANGUAGE.scope(language, answering)
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}

fn is_fit(id: &HeaderValue) -> bool {
    let text = text(id);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=REQUEST_ID_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(is_plain)
        && !holds_card_number(text, luhn_fits)
}

fn draw_id(entropy: &Entropy) -> HeaderValue {
    let drawn = format!("{:016x}{:016x}", entropy.draw(), entropy.draw());
    HeaderValue::try_from(drawn).expect("hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(given: &str) -> String {
        let request = Request::builder().header(REQUEST_ID, given).body(()).expect("a request");
        let clock = crate::clock::Clock::System.into();
        text(&ApiCall::begin(&request, &Entropy::seeded(1), &clock).id).to_owned()
    }

    #[test]
    fn i_11_an_id_of_a_callers_own_is_taken_where_it_may_stand_in_the_log() {
        for given in ["a", "7f3c-order_17.2", &"x".repeat(REQUEST_ID_LENGTH_MAX)] {
            assert_eq!(id_of(given), given);
        }
        let long = "x".repeat(REQUEST_ID_LENGTH_MAX + 1);
        let wrong =
            ["", "a b", "a\"b", "é", &long, "4111111111111111", "order-4111-1111-1111-1111"];
        for given in wrong {
            let drawn = id_of(given);
            assert_eq!(drawn.len(), 32, "{given}");
            assert!(drawn.bytes().all(|byte| byte.is_ascii_hexdigit()), "{drawn}");
        }
    }
}
