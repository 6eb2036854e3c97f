//! Every metric that there is: the one place that says its name, kind, labels, unit and meaning.
//! `/metrics` tells the meaning as `# HELP`; `docs/METRICS.md` adds what to do.

use crate::domain::closed_set;

closed_set! {
    /// What kind of number a metric is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum MetricKind {
        /// It only grows, from 0 at the start of the process.
        Counter => "counter",
        Gauge => "gauge",
        /// In buckets.
        Histogram => "histogram",
    }
}

closed_set! {
    /// What a metric's number counts.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum MetricUnit {
        /// Things, one by one: orders, rows, calls.
        Count => "count",
        /// 1 where it is so, else 0.
        Flag => "0 or 1",
        Seconds => "seconds",
        Days => "days",
        Bytes => "bytes",
        /// From 0 to 1.
        Ratio => "ratio",
        /// Of the currency that a label names.
        MinorUnits => "minor units",
    }
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub unit: MetricUnit,
    /// The names that its series can have. Their values come from closed sets: channel ids, and
    /// our own words.
    pub labels: &'static [&'static str],
    pub meaning: &'static str,
}

type Labels = &'static [&'static str];

const fn counts(name: &'static str, labels: Labels, meaning: &'static str) -> Metric {
    let (kind, unit) = (MetricKind::Counter, MetricUnit::Count);
    Metric { name, kind, unit, labels, meaning }
}

const fn is_at(
    name: &'static str,
    labels: Labels,
    unit: MetricUnit,
    meaning: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Gauge, unit, labels, meaning }
}

const fn takes(name: &'static str, labels: Labels, meaning: &'static str) -> Metric {
    let (kind, unit) = (MetricKind::Histogram, MetricUnit::Seconds);
    Metric { name, kind, unit, labels, meaning }
}

use MetricUnit::{Bytes, Count, Days, Flag, MinorUnits, Ratio, Seconds};

/// Every metric that there is, in the order of `docs/METRICS.md`.
pub const METRICS: [Metric; 56] = [
    // What is promised to the core.
    is_at("switchyard_ready", &[], Flag, "1 while the daemon takes orders, as /readyz says"),
    counts(
        "switchyard_orders_total",
        &["status"],
        "payment orders that have ended: succeeded, failed, reversed",
    ),
    counts(
        "switchyard_verifications_total",
        &["verdict"],
        "card verifications that have ended: matches, differs, refused, unknown",
    ),
    counts(
        "switchyard_agreements_total",
        &["state"],
        "changes of agreements, by the state that they came to",
    ),
    counts(
        "switchyard_payment_codes_total",
        &["state"],
        "codes of payments that channels were asked to send: sent, unknown, refused",
    ),
    counts("switchyard_api_requests_total", &["route", "status"], "answered calls of the API"),
    takes("switchyard_api_seconds", &["route"], "how long a call of the API took"),
    counts(
        "switchyard_callers_refused_total",
        &["cause"],
        "calls whose caller was refused: no_key, unknown_key, no_certificate, other_certificate, \
         rate, role",
    ),
    counts(
        "switchyard_connections_total",
        &["result"],
        "connections to our API that made room (idle_closed), or found none for their address \
         (refused)",
    ),
    counts(
        "switchyard_tls_handshakes_total",
        &["listener", "result"],
        "handshakes with callers: done, failed, timed_out, plain_http (the caller spoke plain \
         HTTP), nothing_sent",
    ),
    counts("switchyard_alerts_total", &["what"], "alerts, each of which a person should look at"),
    // What nobody knows yet.
    is_at(
        "switchyard_reversals_open",
        &["channel", "phase"],
        Count,
        "entries of the temp reversal table",
    ),
    is_at(
        "switchyard_reversals_by_age",
        &["channel", "age"],
        Count,
        "the same entries by how long they have been open: under_5m, under_1h, under_1d, over_1d",
    ),
    is_at(
        "switchyard_reversals_oldest_seconds",
        &["channel"],
        Seconds,
        "the age of the channel's oldest entry, 0 without one",
    ),
    is_at(
        "switchyard_reversals_due",
        &["channel"],
        Count,
        "entries whose next inquiry, reversal or undo is due, and waits to be sent",
    ),
    // The channels.
    counts(
        "switchyard_channel_requests_total",
        &["channel", "request", "outcome"],
        "requests to a channel, by outcome",
    ),
    takes(
        "switchyard_channel_seconds",
        &["channel", "request"],
        "how long a request to a channel took",
    ),
    is_at(
        "switchyard_channel_success_ratio",
        &["channel"],
        Ratio,
        "the share of the channel's last requests without a fault of its own: its health",
    ),
    is_at(
        "switchyard_channel_order_success_ratio",
        &["channel", "operation"],
        Ratio,
        "the channel's success rate on orders of the operation; absent while too few have shown it",
    ),
    is_at(
        "switchyard_channel_breaker_open",
        &["channel"],
        Flag,
        "1 from the moment when the channel has failed so often that it gets no orders, until one \
         goes well",
    ),
    is_at(
        "switchyard_channel_enabled",
        &["channel"],
        Flag,
        "the channel's switch: 1 on, 0 off or without a file",
    ),
    is_at(
        "switchyard_channel_has_room",
        &["channel"],
        Flag,
        "1 while the channel's pace lets a request leave at once",
    ),
    is_at(
        "switchyard_channel_day_limit_left_ratio",
        &["channel", "kind"],
        Ratio,
        "the part of the day's limit that is left, of charges and of payouts; absent without a \
         limit",
    ),
    counts(
        "switchyard_channel_notices_total",
        &["channel", "result"],
        "a channel's notices: taken, or why not",
    ),
    counts(
        "switchyard_channel_link_events_total",
        &["channel", "event"],
        "TCP links: connected, up, down, late_reply, late_reply_dropped, unmatched_reply, request, \
         unreadable",
    ),
    is_at(
        "switchyard_certificate_days_left",
        &["channel", "listener", "which"],
        Days,
        "days until the last certificate of a use ends, negative after it: a channel's signing, \
         encryption, root, intermediate, signer, tls; a listener's server (the first of its chain \
         to end) and client_root",
    ),
    is_at("switchyard_bin_table_rows", &[], Count, "rows of the BIN table in force"),
    is_at(
        "switchyard_bin_table_age_days",
        &[],
        Days,
        "days since the facts of the BIN table in force were stated",
    ),
    // The outbox: what accounting and the core are owed.
    is_at(
        "switchyard_outbox_rows",
        &["to", "status"],
        Count,
        "accounting requests and notices to the core that wait: owed is tried again by itself, \
         parked was refused",
    ),
    is_at(
        "switchyard_outbox_oldest_seconds",
        &["to"],
        Seconds,
        "the age of the oldest one that is owed, 0 without one; looked for among the first 256",
    ),
    counts(
        "switchyard_deliveries_total",
        &["to", "result"],
        "tries to deliver to accounting and core: acknowledged, deferred, parked",
    ),
    is_at(
        "switchyard_accounting_up",
        &[],
        Flag,
        "0 from the third failed post in a row until accounting answers; absent where \
         accounting.url is not set",
    ),
    // The books.
    is_at(
        "switchyard_days_not_closed",
        &["channel"],
        Days,
        "clearing days whose time to be closed has come, and that are open; at most 32 before the \
         first close",
    ),
    is_at(
        "switchyard_days_not_reconciled",
        &["channel"],
        Days,
        "of the last 14 closed clearing days those that have records and no batch in force",
    ),
    counts(
        "switchyard_statements_total",
        &["channel", "result"],
        "statements that were asked for: landed, or why not",
    ),
    is_at(
        "switchyard_differences_open",
        &["channel", "state"],
        Count,
        "differences that are carried or suspended; counted up to 16384 of a channel",
    ),
    is_at(
        "switchyard_suspense_minor_units",
        &["channel", "currency", "side"],
        MinorUnits,
        "money that suspense holds for open differences: receivable is owed to us, payable is \
         owed by us",
    ),
    is_at(
        "switchyard_suspense_oldest_seconds",
        &["channel"],
        Seconds,
        "the age of the oldest difference in suspense, 0 without one",
    ),
    is_at(
        "switchyard_approvals_waiting",
        &["kind"],
        Count,
        "requests that wait for a second person, or were approved and not carried out; counted up \
         to a thousand",
    ),
    is_at(
        "switchyard_bin_proposals_open",
        &[],
        Count,
        "proposals to the BIN table that wait for a person; counted up to 256",
    ),
    is_at(
        "switchyard_approval_oldest_seconds",
        &[],
        Seconds,
        "the age of the oldest request that waits for a second person, 0 without one",
    ),
    // Machine and store.
    takes(
        "switchyard_store_sync_seconds",
        &[],
        "how long the store took to make a group of commits durable: the journal's sync, or the \
         database's COMMIT",
    ),
    is_at(
        "switchyard_disk_free_bytes",
        &[],
        Bytes,
        "what the daemon may still write on the disk of the data folder",
    ),
    is_at("switchyard_disk_size_bytes", &[], Bytes, "the size of that disk"),
    is_at(
        "switchyard_reload_held",
        &[],
        Flag,
        "1 while a reload is held since it would move more orders than the settings allow",
    ),
    is_at(
        "switchyard_clock_doubted",
        &[],
        Flag,
        "1 while the machine's clock is doubted, and days stay open",
    ),
    is_at(
        "switchyard_clock_lead_seconds",
        &[],
        Seconds,
        "how far the clock is ahead of what is borne out",
    ),
    is_at("switchyard_nodes", &["state"], Count, "nodes that share the books, by how they stand"),
    is_at(
        "switchyard_node_shards",
        &["queue"],
        Count,
        "shards of the queue that this node works, of 64",
    ),
    // The workers.
    is_at(
        "switchyard_worker_last_success_seconds",
        &["worker"],
        Seconds,
        "when the worker's last round without a failure ended, in seconds since 1970; until one \
         has, when its first began",
    ),
    takes(
        "switchyard_worker_round_seconds",
        &["worker"],
        "how long a round of the worker took; work that it began may go on behind it",
    ),
    counts(
        "switchyard_worker_rows_total",
        &["worker"],
        "rows that the worker has worked or begun to work",
    ),
    counts(
        "switchyard_worker_failures_total",
        &["worker"],
        "failures in the worker's rounds, each with its line in the log",
    ),
    counts(
        "switchyard_spans_total",
        &["result"],
        "spans for the collector of traces: exported, refused (it did not take them, or was not \
         reached), dropped (too many waited)",
    ),
    is_at(
        "switchyard_build_info",
        &["version"],
        Flag,
        "always 1; the label has the program's version",
    ),
    is_at(
        "switchyard_start_seconds",
        &[],
        Seconds,
        "when the process began, in seconds since 1970",
    ),
];
