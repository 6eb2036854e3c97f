//! One call of the API: the id under which its answer and its log lines are found, and the trace
//! that it is a part of.
//!
//! Upholds I-11: a caller's own id stands in the log, so one that holds a card number, or that is
//! not short and plain, is not taken: the call gets an id of ours, as one without any does.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Instrument as _;

use crate::domain::card::luhn_fits;
use crate::domain::card::words::holds_card_number;
use crate::entropy::Entropy;
use crate::telemetry::trace::TraceContext;

/// The header in which a call's id comes, and in which its answer has it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id of a caller's own, in characters.
pub const REQUEST_ID_LENGTH_MAX: usize = 64;

tokio::task_local! {
    static CALL: ApiCall;
}

/// A call that is being answered.
#[derive(Debug)]
pub struct ApiCall {
    /// Plain text, whether it came or was drawn.
    id: HeaderValue,
    trace: Option<TraceContext>,
}

impl ApiCall {
    pub fn begin(headers: &HeaderMap, entropy: &Entropy) -> Self {
        let id = headers.get(REQUEST_ID).filter(|id| is_fit(id)).cloned();
        let trace = TraceContext::of(headers, entropy.draw() | 1);
        Self { id: id.unwrap_or_else(|| draw_id(entropy)), trace }
    }

    /// Answers the call under its id, which the answer and every log line of it then have.
    pub async fn answer<E>(
        self,
        answering: impl Future<Output = Result<Response, E>>,
    ) -> Result<Response, E> {
        let id = self.id.clone();
        // Of the highest level, so that the id stands in every line that is logged at all.
        let span = tracing::error_span!(
            "call",
            request.id = text(&id),
            trace.id = self.trace.as_ref().map(TraceContext::trace_id)
        );
        let mut answer = CALL.scope(self, answering).instrument(span).await?;
        answer.headers_mut().insert(REQUEST_ID, id);
        Ok(answer)
    }
}

/// The id of the call that is being answered here, if one is.
pub fn request_id() -> Option<String> {
    CALL.try_with(|call| text(&call.id).to_owned()).ok()
}

/// The trace that it is a part of.
pub fn trace() -> Option<TraceContext> {
    CALL.try_with(|call| call.trace.clone()).ok().flatten()
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
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, given.parse().expect("a header"));
        text(&ApiCall::begin(&headers, &Entropy::seeded(1)).id).to_owned()
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
