//! The spans of requests to channels, where spans are made.

use std::time::Duration;

use crate::channel::ChannelRequest;
use crate::clock::Timekeeper;
use crate::domain::ids::ChannelId;
use crate::domain::outcome::Outcome;
use crate::telemetry::spans::{self, OpenSpan, SpanFact, SpanKind};
use crate::telemetry::trace;

/// A request begins, at the place in a trace of whoever asks.
pub fn open(clock: &Timekeeper) -> Option<OpenSpan> {
    spans::queue()?.below(trace::current().as_ref(), clock.now())
}

/// It has come to an outcome.
pub fn end(
    span: Option<OpenSpan>,
    channel: &ChannelId,
    request: &ChannelRequest,
    outcome: &Outcome,
    took: Duration,
) {
    let Some(span) = span else { return };
    let number = request.stated().channel_order_no.to_string();
    let facts = vec![
        ("switchyard.channel", SpanFact::Text(channel.to_string())),
        ("switchyard.request", SpanFact::Word(request.name())),
        ("switchyard.outcome", SpanFact::Word(outcome.name())),
        ("switchyard.channel_order_no", SpanFact::Text(number)),
    ];
    let has_failed = matches!(outcome, Outcome::Unknown(_) | Outcome::NotSent(_));
    span.end((SpanKind::Client, request.name()), took, has_failed, facts);
}
