//! Logs and metrics: their set-up, their names, and how an error is written down.
//!
//! Upholds I-11: nothing that can hold a card number is ever a field of a log or a label. Labels
//! come from closed sets (channel ids, our own words), so that the number of series stays bounded.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::domain::effect::Alert;
use crate::domain::flow::order::{Order, OrderKind};
use crate::domain::ids::ChannelId;
use crate::domain::outcome::Outcome;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    Text,
    Json,
}

/// Starts logging to standard error at the given level. A second call changes nothing.
pub fn start_logs(form: LogForm, level: tracing::Level) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A subscriber may be there already, in tests and in the demo: then it stays.
    let _ = match form {
        LogForm::Text => builder.try_init().is_ok(),
        LogForm::Json => builder.json().flatten_event(true).try_init().is_ok(),
    };
}

/// An error with everything that caused it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, ": {cause}").expect("writing to a string cannot fail");
        source = cause.source();
    }
    text
}

/// The end of a payment order, if it has just ended.
pub fn count_end(order: &Order) {
    if order.status.is_final() && order.kind == OrderKind::Payment {
        counter!("switchyard_orders_total", "status" => order.status.name()).increment(1);
    }
}

/// One request to a channel: what it came to and how long it took.
pub fn count_call(channel: &ChannelId, request: &'static str, outcome: &Outcome, took: Duration) {
    let channel = channel.as_str().to_owned();
    counter!(
        "switchyard_channel_requests_total",
        "channel" => channel.clone(), "request" => request, "outcome" => outcome.name()
    )
    .increment(1);
    histogram!("switchyard_channel_seconds", "channel" => channel, "request" => request)
        .record(took);
}

/// A channel's notice: taken, or why not.
pub fn count_notice(channel: &ChannelId, result: &'static str) {
    let channel = channel.as_str().to_owned();
    counter!("switchyard_channel_notices_total", "channel" => channel, "result" => result)
        .increment(1);
}

/// A request for a channel's statement: `landed`, or why not.
pub fn count_statement(channel: &ChannelId, result: &'static str) {
    let channel = channel.as_str().to_owned();
    counter!("switchyard_statements_total", "channel" => channel, "result" => result).increment(1);
}

/// What happened on a TCP link of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkEvent {
    Connected,
    /// Signed on: requests may go.
    Up,
    Down,
    /// A reply came after its request had been given up.
    LateReply,
    /// Too many late replies waited to be weighed.
    LateReplyDropped,
    /// A reply that answers nothing we remember.
    UnmatchedReply,
    /// The other side asked something, for instance whether the line is alive.
    Request,
    Unreadable,
}

impl LinkEvent {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Up => "up",
            Self::Down => "down",
            Self::LateReply => "late_reply",
            Self::LateReplyDropped => "late_reply_dropped",
            Self::UnmatchedReply => "unmatched_reply",
            Self::Request => "request",
            Self::Unreadable => "unreadable",
        }
    }
}

pub fn count_link(channel: &ChannelId, event: LinkEvent) {
    let channel = channel.as_str().to_owned();
    counter!("switchyard_channel_link_events_total", "channel" => channel, "event" => event.name())
        .increment(1);
}

/// Something that a person should look at.
pub fn count_alert(what: Alert) {
    counter!("switchyard_alerts_total", "what" => what.name()).increment(1);
}

/// A delivery to accounting or to the core: `acknowledged`, `deferred` or `parked`.
pub fn count_delivery(to: &'static str, result: &'static str) {
    counter!("switchyard_deliveries_total", "to" => to, "result" => result).increment(1);
}

/// One answered call of our own API.
pub fn count_api(route: &str, status: u16, took: Duration) {
    let route = route.to_owned();
    let status = status.to_string();
    counter!("switchyard_api_requests_total", "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!("switchyard_api_seconds", "route" => route).record(took);
}

/// Days until the last certificate of one use of a channel ends; negative after it.
pub fn gauge_certificate(channel: &ChannelId, usage: &'static str, days_left: i64) {
    let channel = channel.as_str().to_owned();
    let days = i32::try_from(days_left).unwrap_or(i32::MAX);
    gauge!("switchyard_certificate_days_left", "channel" => channel, "which" => usage)
        .set(f64::from(days));
}

/// How far the clock is ahead of what is borne out, in milliseconds, and whether it is doubted.
pub fn gauge_clock(lead_ms: i64, is_doubted: bool) {
    // Milliseconds of a clock's error lie far below what an `f64` holds exactly.
    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    gauge!("switchyard_clock_lead_seconds").set(lead_ms as f64 / 1_000.0);
    gauge!("switchyard_clock_doubted").set(f64::from(u8::from(is_doubted)));
}

/// How many entries the temp reversal table has for a channel.
pub fn gauge_reversals(channel: &ChannelId, entries: usize) {
    let channel = channel.as_str().to_owned();
    gauge!("switchyard_reversals_open", "channel" => channel)
        .set(f64::from(u32::try_from(entries).unwrap_or(u32::MAX)));
}
