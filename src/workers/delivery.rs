//! Posts one thing that is owed to another system, and says what became of it.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::{Client, StatusCode};

use crate::clock::stopwatch;
use crate::config::checked::DeliverySettings;
use crate::domain::books::accounting::{Delivery, DeliveryStatus};
use crate::domain::time::Timestamp;
use crate::telemetry::spans::{self, OpenSpan, SpanFact, SpanKind};
use crate::telemetry::trace::TraceContext;

/// The most of a receiver's words that is kept for operators, in characters.
pub const LAST_ERROR_CHARS_MAX: usize = 200;
/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The result of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostResult {
    Acknowledged,
    /// The receiver refuses this, and would again: an operator must look.
    Refused(String),
    /// The receiver was not reached, or asks for patience: it may take the delivery at another
    /// time.
    Later(String),
    /// The delivery was sent without a clear answer: the receiver may have taken it.
    Unanswered(String),
}

/// A client that follows no redirect and uses no proxy of the environment.
pub fn client(timeout: Duration) -> Result<Client, String> {
    client_with(crate::channel::transport::tls::client_config(&[])?, timeout)
}

/// The same with TLS settings of its own.
pub fn client_with(tls: rustls::ClientConfig, timeout: Duration) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .build()
        .map_err(|error| crate::telemetry::chain(&error))
}

/// What a post is about, for its trace.
pub struct PostFacts {
    /// `accounting` or `core`.
    pub to: &'static str,
    /// The place of its order in a trace, if it is known.
    pub place: Option<TraceContext>,
    /// When it begins.
    pub now: Timestamp,
}

/// A try of a delivery, in the trace of its order.
pub struct PostSpan {
    facts: PostFacts,
    span: Option<OpenSpan>,
    began: Instant,
}

impl PostSpan {
    pub fn begin(facts: PostFacts) -> Self {
        let span = spans::queue().and_then(|queue| queue.below(facts.place.as_ref(), facts.now));
        Self { facts, span, began: stopwatch() }
    }

    /// By these the receiver goes on below it.
    pub fn headers(&self) -> Vec<(HeaderName, String)> {
        let place = self.span.as_ref().map(OpenSpan::place).or(self.facts.place.as_ref());
        place.map(TraceContext::headers).unwrap_or_default()
    }

    /// What became of it; so many were delivered by that one post.
    pub fn end(self, posted: &PostResult, deliveries: usize) {
        let Some(span) = self.span else { return };
        let mut told = vec![
            ("switchyard.to", SpanFact::Word(self.facts.to)),
            ("switchyard.result", SpanFact::Word(result(posted))),
        ];
        if deliveries > 1 {
            let count = i64::try_from(deliveries).unwrap_or(i64::MAX);
            told.push(("switchyard.vouchers", SpanFact::Number(count)));
        }
        let has_failed = *posted != PostResult::Acknowledged;
        span.end((SpanKind::Client, "delivery"), self.began.elapsed(), has_failed, told);
    }
}

/// Posts JSON once. One of the headers names the post, so that a repeat is harmless for a receiver
/// that remembers it.
pub async fn post(
    client: &Client,
    url: &str,
    body: Vec<u8>,
    headers: Vec<(HeaderName, String)>,
    facts: PostFacts,
) -> PostResult {
    let span = PostSpan::begin(facts);
    let headers = headers.into_iter().chain(span.headers());
    let posted = answered(request(client, url, body, headers)).await;
    span.end(&posted, 1);
    posted
}

fn request(
    client: &Client,
    url: &str,
    body: Vec<u8>,
    headers: impl IntoIterator<Item = (HeaderName, String)>,
) -> reqwest::RequestBuilder {
    let mut request = client.post(url).header(CONTENT_TYPE, "application/json").body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request
}

async fn answered(request: reqwest::RequestBuilder) -> PostResult {
    match request.send().await {
        Ok(response) => {
            let status = response.status();
            match status.as_u16() {
                200..=299 => PostResult::Acknowledged,
                // "Already there" is what a repeated request hopes to hear.
                409 => PostResult::Acknowledged,
                425 | 429 => PostResult::Later(format!("it answered {status}")),
                408 => PostResult::Unanswered(format!("it answered {status}")),
                400..=499 => PostResult::Refused(format!("it answered {status}")),
                _ => PostResult::Unanswered(format!("it answered {status}")),
            }
        }
        Err(error) => silence(error),
    }
}

/// The result of a call without an answer: nothing left where no connection was made.
fn silence(error: reqwest::Error) -> PostResult {
    let was_reached = !error.is_connect();
    let text = crate::telemetry::chain(&error.without_url());
    let text = text.chars().take(LAST_ERROR_CHARS_MAX).collect();
    if was_reached { PostResult::Unanswered(text) } else { PostResult::Later(text) }
}

/// Posts JSON once, and gives status and body of the answer; else what its absence proves.
pub async fn exchange(
    client: &Client,
    url: &str,
    body: Vec<u8>,
    headers: Vec<(HeaderName, String)>,
) -> Result<(StatusCode, Vec<u8>), PostResult> {
    let request = request(client, url, body, headers);
    let mut response = request.send().await.map_err(silence)?;
    let status = response.status();
    let mut answer = Vec::new();
    // Bounded by `ANSWER_BYTES_MAX`.
    while let Some(piece) = response.chunk().await.map_err(silence)? {
        if answer.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(PostResult::Unanswered("the answer has no end".to_owned()));
        }
        answer.extend_from_slice(&piece);
    }
    Ok((status, answer))
}

/// The delivery after one try.
pub fn after(
    delivery: &Delivery,
    posted: &PostResult,
    settings: &DeliverySettings,
    now: Timestamp,
) -> Delivery {
    let tries = delivery.tries.saturating_add(1);
    let mut next = Delivery { tries, version: delivery.version + 1, ..delivery.clone() };
    match posted {
        PostResult::Acknowledged => {
            next.status = DeliveryStatus::Acknowledged;
            next.acknowledged_at = Some(now);
            next.last_error = None;
            next.unanswered = false;
        }
        PostResult::Refused(text) => {
            next.status = DeliveryStatus::Parked;
            next.last_error = Some(text.clone());
        }
        PostResult::Later(text) | PostResult::Unanswered(text) => {
            next.due_at = now.plus(settings.wait(tries));
            next.last_error = Some(text.clone());
            next.unanswered |= matches!(posted, PostResult::Unanswered(_));
        }
    }
    next
}

/// The word that metrics count a try under.
pub const fn result(posted: &PostResult) -> &'static str {
    match posted {
        PostResult::Acknowledged => "acknowledged",
        PostResult::Refused(_) => "parked",
        PostResult::Later(_) | PostResult::Unanswered(_) => "deferred",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_waits_longer_each_time_and_a_refusal_is_parked() {
        let now = Timestamp::from_millis(1_000);
        let settings = DeliverySettings {
            url: None,
            timeout: Duration::from_secs(1),
            in_flight: std::num::NonZeroU32::MIN,
            waits: vec![Duration::from_secs(1), Duration::from_secs(5)],
        };
        let mut delivery = Delivery::owed(now);
        for (tries, wait_ms) in [(1, 1_000), (2, 5_000), (3, 5_000)] {
            delivery = after(&delivery, &PostResult::Later("no".into()), &settings, now);
            assert_eq!((delivery.tries, delivery.version), (tries, tries + 1));
            assert_eq!(delivery.due_at.as_millis(), 1_000 + wait_ms);
            assert_eq!((delivery.status, delivery.unanswered), (DeliveryStatus::Owed, false));
        }
        delivery = after(&delivery, &PostResult::Unanswered("502".into()), &settings, now);
        delivery = after(&delivery, &PostResult::Later("no".into()), &settings, now);
        assert!(delivery.unanswered, "what was sent once may have been taken for good");
        let parked = after(&delivery, &PostResult::Refused("400".into()), &settings, now);
        assert_eq!((parked.status, parked.unanswered), (DeliveryStatus::Parked, true));
        let done = after(&parked, &PostResult::Acknowledged, &settings, now);
        assert_eq!((done.status, done.last_error), (DeliveryStatus::Acknowledged, None));
        assert!(!done.unanswered);
    }
}
