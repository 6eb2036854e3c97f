//! Logs and metrics: their set-up, their names, and how an error is written down.
//!
//! Upholds I-11: nothing that can hold a card number is ever a field of a log or a label. Labels
//! come from closed sets (channel ids, our own words), so that the number of series stays bounded.

pub mod backlog;
pub mod bound;
mod catalogue;
pub mod spans;
pub mod trace;
pub mod workers;

use std::error::Error;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

pub use catalogue::{METRICS, Metric, MetricKind, MetricUnit};

use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::domain::agreement::AgreementState;
use crate::domain::closed_set;
use crate::domain::cluster::{Incarnation, MemberState, Queue, Roster, Work};
use crate::domain::effect::Alert;
use crate::domain::ids::{ChannelId, SHARDS};
use crate::domain::order::{Order, OrderKind, OrderStatus};
use crate::domain::outcome::Outcome;
use crate::domain::payment_code::PaymentCodeState;
use crate::domain::time::Timestamp;
use crate::domain::verification::VerificationVerdict;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    Text,
    Json,
}

/// Starts logging to standard error at the given level. A second call changes nothing.
///
/// Colours go to a terminal alone. A line that cannot be written is dropped: there is no other
/// place to say so, and whoever logs must not die of it.
pub fn start_logs(form: LogForm, level: tracing::Level) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false)
        .with_target(false);
    // A subscriber may be there already, in tests and in the demo: then it stays.
    let _ = match form {
        LogForm::Text => builder.try_init().is_ok(),
        LogForm::Json => {
            builder.json().flatten_event(true).with_span_list(false).try_init().is_ok()
        }
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

/// Tells whoever collects what the metrics mean, and begins those whose labels are known: a counter
/// that first appears with its first event hides that event from a rule about its growth.
pub fn describe_metrics() {
    for Metric { name, kind, meaning, .. } in METRICS {
        match kind {
            MetricKind::Counter => describe_counter!(name, meaning),
            MetricKind::Gauge => describe_gauge!(name, meaning),
            MetricKind::Histogram => describe_histogram!(name, meaning),
        }
    }
    for what in Alert::ALL {
        counter!("switchyard_alerts_total", "what" => what.name()).increment(0);
    }
    for status in OrderStatus::ALL.into_iter().filter(|status| status.is_final()) {
        counter!("switchyard_orders_total", "status" => status.name()).increment(0);
    }
    for state in AgreementState::ALL {
        counter!("switchyard_agreements_total", "state" => state.name()).increment(0);
    }
    for state in [PaymentCodeState::Sent, PaymentCodeState::Unknown, PaymentCodeState::Refused] {
        counter!("switchyard_payment_codes_total", "state" => state.name()).increment(0);
    }
    for verdict in VerificationVerdict::ALL {
        counter!("switchyard_verifications_total", "verdict" => verdict.name()).increment(0);
    }
    for cause in RefusalCause::ALL {
        counter!("switchyard_callers_refused_total", "cause" => cause.name()).increment(0);
    }
    for result in ["idle_closed", "refused"] {
        counter!("switchyard_connections_total", "result" => result).increment(0);
    }
    for result in ["exported", "refused", "dropped"] {
        spans::count_spans(result, 0);
    }
    for to in ["accounting", "core"] {
        for result in ["acknowledged", "deferred", "parked"] {
            counter!("switchyard_deliveries_total", "to" => to, "result" => result).increment(0);
        }
    }
}

/// The end of a payment order, if it has just ended.
pub fn count_end(order: &Order) {
    if order.status.is_final() && order.instruction.kind == OrderKind::Payment {
        counter!("switchyard_orders_total", "status" => order.status.name()).increment(1);
    }
}

/// What a request about an agreement came to.
pub fn count_agreement(state: AgreementState) {
    counter!("switchyard_agreements_total", "state" => state.name()).increment(1);
}

/// What a request for the code of a payment came to.
pub fn count_payment_code(state: PaymentCodeState) {
    counter!("switchyard_payment_codes_total", "state" => state.name()).increment(1);
}

/// The end of a card verification.
pub fn count_verification(verdict: VerificationVerdict) {
    counter!("switchyard_verifications_total", "verdict" => verdict.name()).increment(1);
}

/// A counter and a histogram for each key that has occurred. Their labels are hashed once, and not
/// for each call.
struct SeriesTable<K>(RwLock<Vec<(K, Counter, Histogram)>>);

impl<K: PartialEq> SeriesTable<K> {
    fn count(&self, key: K, took: Duration, register: impl FnOnce(&K) -> (Counter, Histogram)) {
        let add = |(_, counter, histogram): &(K, Counter, Histogram)| {
            counter.increment(1);
            histogram.record(took);
        };
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = table.iter().find(|known| known.0 == key) {
            return add(known);
        }
        drop(table);
        let (counter, histogram) = register(&key);
        let fresh = (key, counter, histogram);
        add(&fresh);
        // Two that come at once are two handles of the same numbers.
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(fresh);
    }
}

/// Counts the requests to one channel, and how long they take.
pub struct CallMetrics {
    channel: ChannelId,
    /// By the request's word and its outcome's.
    series: SeriesTable<(&'static str, &'static str)>,
}

impl CallMetrics {
    pub const fn of(channel: ChannelId) -> Self {
        Self { channel, series: SeriesTable(RwLock::new(Vec::new())) }
    }

    /// One request: what it came to and how long it took.
    pub fn count(&self, request: &'static str, outcome: &Outcome, took: Duration) {
        self.series.count((request, outcome.name()), took, |(request, outcome)| {
            let channel = self.channel.as_str().to_owned();
            let counter = counter!(
                "switchyard_channel_requests_total",
                "channel" => channel.clone(), "request" => *request, "outcome" => *outcome
            );
            let times = histogram!(
                "switchyard_channel_seconds", "channel" => channel, "request" => *request
            );
            (counter, times)
        });
    }
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

closed_set! {
    /// What happened on a TCP link of a channel.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LinkEvent {
        Connected => "connected",
        /// Signed on: requests may go.
        Up => "up",
        Down => "down",
        /// A reply came after its request had been given up.
        LateReply => "late_reply",
        /// Too many late replies waited to be weighed.
        LateReplyDropped => "late_reply_dropped",
        /// A reply that answers nothing we remember.
        UnmatchedReply => "unmatched_reply",
        /// The other side asked something, for instance whether the line is alive.
        Request => "request",
        Unreadable => "unreadable",
    }
}

pub fn count_link(channel: &ChannelId, event: LinkEvent) {
    link_events(channel, event).increment(1);
}

/// Begins the counters of a channel's links: the first link that goes down must be seen to.
pub fn begin_links(channel: &ChannelId) {
    for event in LinkEvent::ALL {
        link_events(channel, event).increment(0);
    }
}

fn link_events(channel: &ChannelId, event: LinkEvent) -> Counter {
    let channel = channel.as_str().to_owned();
    counter!("switchyard_channel_link_events_total", "channel" => channel, "event" => event.name())
}

/// Something that a person should look at.
pub fn count_alert(what: Alert) {
    counter!("switchyard_alerts_total", "what" => what.name()).increment(1);
}

/// A delivery to accounting or to the core: `acknowledged`, `deferred` or `parked`.
pub fn count_delivery(to: &'static str, result: &'static str) {
    counter!("switchyard_deliveries_total", "to" => to, "result" => result).increment(1);
}

/// Counts the answered calls of one route of our API, and how long they take.
pub struct RouteMetrics {
    route: String,
    /// By the answer's status.
    series: SeriesTable<u16>,
}

impl RouteMetrics {
    pub fn of(route: &str) -> Self {
        Self { route: route.to_owned(), series: SeriesTable(RwLock::new(Vec::new())) }
    }

    pub fn count(&self, status: u16, took: Duration) {
        self.series.count(status, took, |status| {
            let route = self.route.clone();
            let counter = counter!(
                "switchyard_api_requests_total",
                "route" => route.clone(), "status" => status.to_string()
            );
            (counter, histogram!("switchyard_api_seconds", "route" => route))
        });
    }
}

closed_set! {
    /// Why a caller was refused.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum RefusalCause {
        NoKey => "no_key",
        UnknownKey => "unknown_key",
        /// The key's caller has called too often.
        Rate => "rate",
        /// The key's caller may do other things.
        Role => "role",
        /// The key's caller is bound to a certificate, and none was shown.
        NoCertificate => "no_certificate",
        /// Another one was shown.
        OtherCertificate => "other_certificate",
    }
}

pub fn count_refused_caller(cause: RefusalCause) {
    counter!("switchyard_callers_refused_total", "cause" => cause.name()).increment(1);
}

closed_set! {
    /// What a TLS handshake with a caller came to.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum HandshakeResult {
        Done => "done",
        /// What the two of them speak or believe does not fit.
        Failed => "failed",
        TimedOut => "timed_out",
        /// The caller speaks plain HTTP.
        PlainHttp => "plain_http",
        /// The caller went without a word, as a look whether the port is open does.
        NothingSent => "nothing_sent",
    }
}

pub fn count_handshake(listener: &'static str, result: HandshakeResult) {
    handshakes(listener, result).increment(1);
}

/// Begins a listener's counters, which stay 0 without TLS.
pub fn begin_handshakes(listener: &'static str) {
    for result in HandshakeResult::ALL {
        handshakes(listener, result).increment(0);
    }
}

fn handshakes(listener: &'static str, result: HandshakeResult) -> Counter {
    counter!(
        "switchyard_tls_handshakes_total", "listener" => listener, "result" => result.name()
    )
}

/// What a gauge is set to whose subject is gone. The recorder forgets no series, so that
/// [`without_gone`] leaves it out of what is shown.
const GONE: f64 = f64::NAN;

/// The metrics as the recorder shows them, without the gauges whose subject is gone: a rule must
/// not wake anybody for a limit or a certificate that a reload has taken away.
pub fn without_gone(shown: &str) -> String {
    shown.split_inclusive('\n').filter(|line| !line.trim_end().ends_with(" NaN")).collect()
}

/// Days until the last certificate of one use ends, negative after it; `None` where there is none
/// any more. Its owner is a `channel` or a `listener`, by name.
pub fn gauge_certificate(owner: (&'static str, &str), usage: &'static str, days_left: Option<i64>) {
    let days = days_left.map_or(GONE, |days| f64::from(i32::try_from(days).unwrap_or(i32::MAX)));
    gauge!("switchyard_certificate_days_left", owner.0 => owner.1.to_owned(), "which" => usage)
        .set(days);
}

/// How far the clock is ahead of what is borne out, in milliseconds, and whether it is doubted.
pub fn gauge_clock(lead_ms: i64, is_doubted: bool) {
    // Milliseconds of a clock's error lie far below what an `f64` holds exactly.
    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    gauge!("switchyard_clock_lead_seconds").set(lead_ms as f64 / 1_000.0);
    gauge!("switchyard_clock_doubted").set(f64::from(u8::from(is_doubted)));
}

/// Whether a reload waits for a person's yes.
pub fn gauge_reload_held(is_held: bool) {
    gauge!("switchyard_reload_held").set(f64::from(u8::from(is_held)));
}

/// How long the store took to make a group of commits durable.
pub fn observe_sync(took: Duration) {
    histogram!("switchyard_store_sync_seconds").record(took);
}

/// The disk of the data folder: what may still be written there, and its size, in bytes.
pub fn gauge_disk(free_bytes: u64, size_bytes: u64) {
    // A petabyte lies below what an `f64` holds exactly.
    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    let (free, size) = (free_bytes as f64, size_bytes as f64);
    gauge!("switchyard_disk_free_bytes").set(free);
    gauge!("switchyard_disk_size_bytes").set(size);
}

/// When the process began, and of which version it is.
pub fn gauge_start(now: Timestamp) {
    gauge!("switchyard_start_seconds").set(seconds_of(now));
    gauge!("switchyard_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// A moment in whole seconds since 1970, which lie far below what an `f64` holds exactly.
fn seconds_of(moment: Timestamp) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    let seconds = (moment.as_millis() / 1_000) as f64;
    seconds
}

fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Whether accounting answers.
pub fn gauge_accounting(is_up: bool) {
    gauge!("switchyard_accounting_up").set(flag(is_up));
}

/// A channel's switch.
pub fn gauge_enabled(channel: &ChannelId, enabled: bool) {
    let channel = channel.as_str().to_owned();
    gauge!("switchyard_channel_enabled", "channel" => channel).set(flag(enabled));
}

/// Whether orders are kept away from a channel that keeps failing.
pub fn gauge_breaker(channel: &ChannelId, open: bool) {
    let channel = channel.as_str().to_owned();
    gauge!("switchyard_channel_breaker_open", "channel" => channel).set(flag(open));
}

/// The nodes that share the books, and the shards of each queue that this one works.
pub fn gauge_nodes(roster: &Roster, me: Incarnation) {
    for state in MemberState::ALL {
        let nodes = roster.members.iter().filter(|one| roster.state_of(one) == state).count();
        gauge!("switchyard_nodes", "state" => state.name()).set(number(nodes as u64));
    }
    for queue in Queue::ALL {
        let shard = |work: &&Work| matches!(work, Work::Shard(of, _) if *of == queue);
        let shards = roster.held_by(me).filter(shard).count();
        gauge!("switchyard_node_shards", "queue" => queue.name()).set(number(shards as u64));
    }
}

/// A process that has its books to itself is a node that works everything.
pub fn gauge_only_node() {
    gauge!("switchyard_nodes", "state" => MemberState::Alive.name()).set(1.0);
    for queue in Queue::ALL {
        gauge!("switchyard_node_shards", "queue" => queue.name()).set(f64::from(SHARDS));
    }
}

/// Whether orders are taken, and how large and how old the BIN table is; asked for when somebody
/// collects.
pub fn gauge_readiness(ready: bool, (bin_rows, bin_age_days): (usize, u32)) {
    gauge!("switchyard_ready").set(flag(ready));
    gauge!("switchyard_bin_table_rows").set(number(bin_rows as u64));
    gauge!("switchyard_bin_table_age_days").set(f64::from(bin_age_days));
}

/// A connection that had to make room, or found none: `idle_closed` or `refused`.
pub fn count_connection(result: &'static str) {
    counter!("switchyard_connections_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_its_section_in_the_manual_and_no_other() {
        let manual = include_str!("../docs/OPERATIONS.md");
        let (_, alerts) = manual.split_once("\n## Alerts\n").expect("its section");
        let alerts = alerts.split("\n## ").next().expect("never empty");
        let words = alerts.split_whitespace().collect::<Vec<_>>().join(" ");
        for alert in Alert::ALL {
            let head = format!("### `{}` {} *Cause:* ", alert.name(), alert.meaning());
            assert!(words.contains(&head), "docs/OPERATIONS.md lacks {head}");
        }
        for part in ["\n### ", "*Cause:* ", "*What to do:* "] {
            assert_eq!(alerts.matches(part).count(), Alert::ALL.len(), "{part}");
        }
    }

    #[test]
    fn handles_that_are_kept_count_the_same_series() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let took = Duration::from_secs(1);
        metrics::with_local_recorder(&recorder, || {
            let channel = ChannelId::from_stored("bank");
            let calls = CallMetrics::of(channel.clone());
            let outcome = Outcome::NotFound { code: "34".to_owned() };
            for calls in [&calls, &calls, &CallMetrics::of(channel)] {
                calls.count("inquiry", &outcome, took);
            }
            let route = RouteMetrics::of("/v1/payments");
            for status in [200, 401, 200] {
                route.count(status, took);
            }
        });
        let text = handle.render();
        for line in [
            "switchyard_channel_requests_total{channel=\"bank\",request=\"inquiry\",\
             outcome=\"not_found\"} 3",
            "switchyard_channel_seconds_count{channel=\"bank\",request=\"inquiry\"} 3",
            "switchyard_api_requests_total{route=\"/v1/payments\",status=\"200\"} 2",
            "switchyard_api_requests_total{route=\"/v1/payments\",status=\"401\"} 1",
            "switchyard_api_seconds_count{route=\"/v1/payments\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_gauge_goes_with_its_subject_and_comes_back_with_it() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let shown = |limit_minor| {
            metrics::with_local_recorder(&recorder, || {
                let channel = ChannelId::parse("bank").expect("an id");
                let kind = crate::domain::attempt::VolumeKind::Charges;
                backlog::gauge_day_limit(&channel, kind, limit_minor, 95);
                let owner = ("channel", "bank");
                gauge_certificate(owner, "signing", limit_minor.map(|_| 2));
            });
            without_gone(&handle.render())
        };
        let lines = [
            "switchyard_channel_day_limit_left_ratio{channel=\"bank\",kind=\"charges\"} ",
            "switchyard_certificate_days_left{channel=\"bank\",which=\"signing\"} 2",
        ];
        for limit_minor in [Some(100), None, Some(100)] {
            let text = shown(limit_minor);
            for line in lines {
                assert_eq!(text.contains(line), limit_minor.is_some(), "{line}\n{text}");
            }
        }
    }

    #[test]
    fn what_a_rule_asks_the_growth_of_is_there_before_it_grows() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            begin_links(&ChannelId::parse("bank").expect("an id"));
            let report = workers::WorkerReport::new("reversals");
            report.begins(Timestamp::from_millis(7_000));
            report.ends(Timestamp::from_millis(8_000), 0, Duration::ZERO, false);
        });
        let text = handle.render();
        for line in [
            "switchyard_channel_link_events_total{channel=\"bank\",event=\"down\"} 0",
            // Of a worker whose rounds have all failed.
            "switchyard_worker_last_success_seconds{worker=\"reversals\"} 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
