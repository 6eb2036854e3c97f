//! Spans for a collector of traces, as OTLP over HTTP has them in JSON: which calls came, which
//! channels were asked and what was posted, each with its trace.
//!
//! Off, which is the default, none is made: whoever could make one looks at one pointer. On, a span
//! waits in memory within a bound until a worker posts it, and one that finds no room is dropped
//! and counted: a trace explains, and nothing waits for it. Upholds I-11: a span holds our own
//! words, ids, a caller's name and a route's template; never a body, a path, a query or card data.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::counter;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::domain::time::Timestamp;
use crate::telemetry::trace::TraceContext;

/// The spans that wait at most.
const WAITING_MAX: usize = 8_192;
/// The spans of one post at most.
pub const POST_SPANS_MAX: usize = 512;

static QUEUE: OnceLock<SpanQueue> = OnceLock::new();

/// Has the process make spans from now on, of so many of a hundred traces that begin here. Their
/// ids follow from `seed`, which nobody else must have. Once: a second call changes nothing.
pub fn begin(sample_percent: u64, seed: u64) -> &'static SpanQueue {
    QUEUE.get_or_init(|| SpanQueue::new(sample_percent, seed))
}

/// Where spans go, if they go anywhere.
pub fn queue() -> Option<&'static SpanQueue> {
    QUEUE.get()
}

/// What a span tells of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanFact {
    Word(&'static str),
    Text(String),
    Number(i64),
}

impl SpanFact {
    /// As proto3's JSON has it: 64-bit integers are texts.
    fn value(&self) -> Value {
        match self {
            Self::Word(word) => json!({ "stringValue": word }),
            Self::Text(text) => json!({ "stringValue": text }),
            Self::Number(number) => json!({ "intValue": number.to_string() }),
        }
    }
}

/// Which side of a call we were on, with OTLP's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// We answered.
    Server = 2,
    /// We asked.
    Client = 3,
}

/// Something that took a while and has ended.
#[derive(Debug)]
pub struct EndedSpan {
    /// Its own place in its trace.
    place: TraceContext,
    parent: Option<u64>,
    name: Cow<'static, str>,
    kind: SpanKind,
    began_at: Timestamp,
    took: Duration,
    has_failed: bool,
    facts: Vec<(&'static str, SpanFact)>,
}

impl EndedSpan {
    fn value(&self) -> Value {
        let began_ns = i128::from(self.began_at.as_millis()) * 1_000_000;
        let ended_ns = began_ns + i128::try_from(self.took.as_nanos()).unwrap_or(i128::MAX / 2);
        let facts =
            self.facts.iter().map(|(key, fact)| json!({ "key": key, "value": fact.value() }));
        let mut span = json!({
            "traceId": self.place.trace_id(),
            "spanId": hex(self.place.span_id()),
            "name": self.name,
            "kind": self.kind as u8,
            "startTimeUnixNano": began_ns.to_string(),
            "endTimeUnixNano": ended_ns.to_string(),
            "attributes": facts.collect::<Vec<_>>(),
            "status": if self.has_failed { json!({ "code": 2 }) } else { json!({}) },
        });
        if let Some(parent) = self.parent {
            span["parentSpanId"] = hex(parent).into();
        }
        span
    }
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}

/// Who has made the spans: the names and values of the resource's attributes.
pub type SpanResource = Vec<(&'static str, String)>;

/// The body of a post.
pub fn body(resource: &SpanResource, spans: &[EndedSpan]) -> Vec<u8> {
    let of_resource =
        resource.iter().map(|(key, text)| json!({ "key": key, "value": { "stringValue": text } }));
    let body = json!({ "resourceSpans": [{
        "resource": { "attributes": of_resource.collect::<Vec<_>>() },
        "scopeSpans": [{
            "scope": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
            "spans": spans.iter().map(EndedSpan::value).collect::<Vec<_>>(),
        }],
    }] });
    body.to_string().into_bytes()
}

/// How many spans a collector that has answered 2xx did not take.
pub fn rejected(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let told = &answer["partialSuccess"]["rejectedSpans"];
    told.as_u64().or_else(|| told.as_str()?.parse().ok()).unwrap_or(0)
}

/// Counts spans by what became of them: `exported`, `refused` (the collector did not take them, or
/// was not reached) or `dropped` (too many waited).
pub fn count_spans(result: &'static str, spans: usize) {
    counter!("switchyard_spans_total", "result" => result).increment(spans as u64);
}

/// The spans that wait to be posted.
#[derive(Debug)]
pub struct SpanQueue {
    sample_percent: u64,
    /// What the next id is made of.
    next: AtomicU64,
    waiting: Mutex<Vec<EndedSpan>>,
    /// Told when a whole post waits.
    is_much: Notify,
}

impl SpanQueue {
    pub fn new(sample_percent: u64, seed: u64) -> Self {
        let next = AtomicU64::new(seed);
        Self { sample_percent, next, waiting: Mutex::default(), is_much: Notify::new() }
    }

    /// An id that is not zero, and that this process has not had: SplitMix64, a bijection.
    pub fn id(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut id = self.next.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        id ^= id >> 31;
        if id == 0 { self.id() } else { id }
    }

    /// A trace that begins here. Whether it is recorded follows from its id.
    pub fn trace(&self) -> TraceContext {
        let (high, low) = (self.id(), self.id());
        TraceContext::begin((high, low), self.id(), low % 100 < self.sample_percent)
    }

    /// The span of a call that has come with this place in its trace.
    pub fn of_call(&'static self, place: &TraceContext, now: Timestamp) -> Option<OpenSpan> {
        self.open(place.clone(), place.parent(), now)
    }

    /// A span below this place, or one that begins a trace of its own.
    pub fn below(&'static self, above: Option<&TraceContext>, now: Timestamp) -> Option<OpenSpan> {
        match above {
            Some(above) => self.open(above.below(self.id()), Some(above.span_id()), now),
            None => self.open(self.trace(), None, now),
        }
    }

    fn open(
        &'static self,
        place: TraceContext,
        parent: Option<u64>,
        began_at: Timestamp,
    ) -> Option<OpenSpan> {
        place.is_sampled().then_some(OpenSpan { queue: self, place, parent, began_at })
    }

    fn add(&self, span: EndedSpan) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            drop(waiting);
            return count_spans("dropped", 1);
        }
        waiting.push(span);
        if waiting.len() == POST_SPANS_MAX {
            self.is_much.notify_one();
        }
    }

    /// The oldest spans that wait, as many as one post takes.
    pub fn take(&self) -> Vec<EndedSpan> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(POST_SPANS_MAX);
        waiting.drain(..count).collect()
    }

    /// Returns when a whole post waits.
    pub async fn is_much(&self) {
        self.is_much.notified().await;
    }
}

/// A span whose end is still to come; one that is dropped is never told.
#[derive(Debug)]
pub struct OpenSpan {
    queue: &'static SpanQueue,
    place: TraceContext,
    parent: Option<u64>,
    began_at: Timestamp,
}

impl OpenSpan {
    /// Its place, below which others go on.
    pub fn place(&self) -> &TraceContext {
        &self.place
    }

    /// It has ended, after this long.
    pub fn end(
        self,
        (kind, name): (SpanKind, impl Into<Cow<'static, str>>),
        took: Duration,
        has_failed: bool,
        facts: Vec<(&'static str, SpanFact)>,
    ) {
        let Self { queue, place, parent, began_at } = self;
        let name = name.into();
        queue.add(EndedSpan { place, parent, name, kind, began_at, took, has_failed, facts });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(sample_percent: u64) -> &'static SpanQueue {
        Box::leak(Box::new(SpanQueue::new(sample_percent, 7)))
    }

    fn end(span: OpenSpan) {
        let facts = vec![("status", SpanFact::Number(200)), ("caller", SpanFact::Text("c".into()))];
        span.end((SpanKind::Client, "post"), Duration::from_micros(1_500), true, facts);
    }

    #[test]
    fn a_span_is_written_as_otlp_has_it_in_json() {
        let queue = queue(100);
        let now = Timestamp::from_millis(1_795_334_400_123);
        let call = TraceContext::begin((0xabc, 0xdef), 0x13, true);
        let span = queue.below(Some(&call), now).expect("it is sampled");
        let id = hex(span.place().span_id());
        end(span);
        let body = body(&vec![("service.name", "switchyard".to_owned())], &queue.take());
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let of_us = &body["resourceSpans"][0];
        let service = json!([{ "key": "service.name", "value": { "stringValue": "switchyard" } }]);
        assert_eq!(of_us["resource"]["attributes"], service);
        assert_eq!(of_us["scopeSpans"][0]["scope"]["name"], "switchyard");
        let expected = json!([{
            "traceId": "0000000000000abc0000000000000def",
            "spanId": id,
            "parentSpanId": "0000000000000013",
            "name": "post",
            "kind": 3,
            "startTimeUnixNano": "1795334400123000000",
            "endTimeUnixNano": "1795334400124500000",
            "attributes": [
                { "key": "status", "value": { "intValue": "200" } },
                { "key": "caller", "value": { "stringValue": "c" } },
            ],
            "status": { "code": 2 },
        }]);
        assert_eq!(of_us["scopeSpans"][0]["spans"], expected);
    }

    #[test]
    fn a_trace_is_sampled_whole_or_not_at_all() {
        let (none, some, all) = (queue(0), queue(30), queue(100));
        let now = Timestamp::from_millis(0);
        assert!(none.below(None, now).is_none());
        let sampled = (0..10_000).filter(|_| some.trace().is_sampled()).count();
        assert!((2_700..=3_300).contains(&sampled), "{sampled}");
        // Whoever began the trace has decided, whatever we would have.
        let sampled = all.trace();
        assert!(none.of_call(&sampled, now).is_some() && none.below(Some(&sampled), now).is_some());
        assert!(all.of_call(&none.trace(), now).is_none());
    }

    #[test]
    fn no_id_is_given_out_twice() {
        let queue = queue(0);
        let ids: std::collections::BTreeSet<u64> = (0..10_000).map(|_| queue.id()).collect();
        assert!(ids.len() == 10_000 && !ids.contains(&0));
    }

    #[test]
    fn more_than_wait_at_most_are_dropped() {
        let queue = queue(100);
        for _ in 0..WAITING_MAX + 10 {
            end(queue.below(None, Timestamp::from_millis(0)).expect("sampled"));
        }
        let mut taken = 0;
        while let count @ 1.. = queue.take().len() {
            assert!(count <= POST_SPANS_MAX);
            taken += count;
        }
        assert_eq!(taken, WAITING_MAX);
    }

    #[test]
    fn what_a_collector_rejects_is_read_in_either_form() {
        assert_eq!(rejected(b"{}"), 0);
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedSpans":"3"}}"#), 3);
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedSpans":4,"errorMessage":"x"}}"#), 4);
        assert_eq!(rejected(b"thanks"), 0);
    }
}
