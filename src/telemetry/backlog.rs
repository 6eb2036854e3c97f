//! What waits, as the books and the channels' states have it: set by a worker's rounds, and never
//! when somebody collects.

use std::time::Duration;

use metrics::gauge;

use crate::domain::approval::HeldKind;
use crate::domain::attempt::{Operation, VolumeKind};
use crate::domain::books::difference::DifferenceState;
use crate::domain::closed_set;
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::domain::report::Suspense;
use crate::domain::reversal::Phase;
use crate::telemetry::{GONE, flag, number};

closed_set! {
    /// How long an entry of the temp reversal table has been open.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum AgeBand {
        Minutes => "under_5m",
        Hour => "under_1h",
        Day => "under_1d",
        Older => "over_1d",
    }
}

impl AgeBand {
    pub const fn of(age: Duration) -> Self {
        match age.as_secs() {
            0..300 => Self::Minutes,
            300..3_600 => Self::Hour,
            3_600..86_400 => Self::Day,
            86_400.. => Self::Older,
        }
    }
}

fn owned(channel: &ChannelId) -> String {
    channel.as_str().to_owned()
}

/// How many entries of a phase the temp reversal table has for a channel.
pub fn gauge_reversals(channel: &ChannelId, phase: Phase, entries: u64) {
    gauge!("switchyard_reversals_open", "channel" => owned(channel), "phase" => phase.name())
        .set(number(entries));
}

/// How many of a channel's entries have been open for so long.
pub fn gauge_reversals_of_age(channel: &ChannelId, age: AgeBand, entries: u64) {
    gauge!("switchyard_reversals_by_age", "channel" => owned(channel), "age" => age.name())
        .set(number(entries));
}

/// How long the channel's oldest entry has been open, and how many entries are due.
pub fn gauge_due_reversals(channel: &ChannelId, oldest: Duration, due: u64) {
    gauge!("switchyard_reversals_oldest_seconds", "channel" => owned(channel))
        .set(oldest.as_secs_f64());
    gauge!("switchyard_reversals_due", "channel" => owned(channel)).set(number(due));
}

/// Where the outbox's rows go: `accounting` or `core`.
pub fn gauge_outbox(to: &'static str, (owed, parked): (u64, u64), oldest: Duration) {
    for (status, rows) in [("owed", owed), ("parked", parked)] {
        gauge!("switchyard_outbox_rows", "to" => to, "status" => status).set(number(rows));
    }
    gauge!("switchyard_outbox_oldest_seconds", "to" => to).set(oldest.as_secs_f64());
}

/// Clearing days of a channel that should have been closed; closed ones without a batch in force.
pub fn gauge_days(channel: &ChannelId, not_closed: u32, not_reconciled: u32) {
    gauge!("switchyard_days_not_closed", "channel" => owned(channel)).set(f64::from(not_closed));
    gauge!("switchyard_days_not_reconciled", "channel" => owned(channel))
        .set(f64::from(not_reconciled));
}

/// A channel's open differences of a state.
pub fn gauge_differences(channel: &ChannelId, state: DifferenceState, rows: u64) {
    gauge!("switchyard_differences_open", "channel" => owned(channel), "state" => state.name())
        .set(number(rows));
}

/// What suspense holds for a channel's differences in a currency: what others owe us, and what we
/// hold for others.
pub fn gauge_suspense(channel: &ChannelId, currency: Currency, held: &Suspense) {
    for (side, minor) in [("receivable", held.receivable_minor), ("payable", held.payable_minor)] {
        // Sums beyond 2^53 lose their last digits, which nobody is woken for.
        #[allow(clippy::cast_precision_loss, reason = "a metric")]
        let minor = minor as f64;
        let (channel, currency) = (owned(channel), currency.name());
        gauge!(
            "switchyard_suspense_minor_units",
            "channel" => channel, "currency" => currency, "side" => side
        )
        .set(minor);
    }
}

/// How long a channel's oldest difference has been in suspense.
pub fn gauge_oldest_suspense(channel: &ChannelId, age: Duration) {
    gauge!("switchyard_suspense_oldest_seconds", "channel" => owned(channel))
        .set(age.as_secs_f64());
}

/// Requests of a kind that wait for a second person.
pub fn gauge_approvals(kind: HeldKind, rows: u64) {
    gauge!("switchyard_approvals_waiting", "kind" => kind.name()).set(number(rows));
}

/// Proposals to the BIN table that wait for a person.
pub fn gauge_bin_proposals(rows: u64) {
    gauge!("switchyard_bin_proposals_open").set(number(rows));
}

/// How long the oldest of them has waited.
pub fn gauge_oldest_approval(age: Duration) {
    gauge!("switchyard_approval_oldest_seconds").set(age.as_secs_f64());
}

/// How a channel does, and whether its pace lets a request leave at once. The rate is in parts per
/// million.
pub fn gauge_channel(channel: &ChannelId, success_rate_ppm: u32, has_room: bool) {
    gauge!("switchyard_channel_success_ratio", "channel" => owned(channel))
        .set(f64::from(success_rate_ppm) / 1_000_000.0);
    gauge!("switchyard_channel_has_room", "channel" => owned(channel)).set(flag(has_room));
}

/// How a channel does on orders of an operation, in parts per million; `None` where too few of late
/// have shown it.
pub fn gauge_order_success(channel: &ChannelId, operation: Operation, rate_ppm: Option<u32>) {
    let ratio = rate_ppm.map_or(GONE, |ppm| f64::from(ppm) / 1_000_000.0);
    let (channel, operation) = (owned(channel), operation.name());
    gauge!("switchyard_channel_order_success_ratio", "channel" => channel, "operation" => operation)
        .set(ratio);
}

/// What is left of a channel's limit of the day, of which it may have none. Both amounts are in
/// minor units.
pub fn gauge_day_limit(
    channel: &ChannelId,
    kind: VolumeKind,
    limit_minor: Option<i64>,
    used_minor: i64,
) {
    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    let left = limit_minor.map_or(GONE, |limit_minor| {
        (1.0 - used_minor as f64 / limit_minor.max(1) as f64).clamp(0.0, 1.0)
    });
    let (channel, kind) = (owned(channel), kind.name());
    gauge!("switchyard_channel_day_limit_left_ratio", "channel" => channel, "kind" => kind)
        .set(left);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_of_the_band_that_its_name_says() {
        let bands = [0, 299, 300, 3_599, 3_600, 86_399, 86_400, 31_536_000];
        let bands = bands.map(|seconds| AgeBand::of(Duration::from_secs(seconds)).name());
        let expected = ["under_5m", "under_1h", "under_1d", "over_1d"];
        assert_eq!(bands.to_vec(), expected.map(|name| [name, name]).concat());
    }
}
