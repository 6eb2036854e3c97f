//! Says it once when a channel's breaker or switch changes, in the log and in the metrics.

use crate::channel::transport::breaker::BreakerChange;
use crate::domain::ids::ChannelId;
use crate::domain::outcome::Outcome;
use crate::telemetry;

/// A breaker has opened or closed with this outcome, or stays as it was.
pub fn breaker(channel: &ChannelId, change: Option<BreakerChange>, outcome: &Outcome) {
    let Some(change) = change else { return };
    telemetry::gauge_breaker(channel, change == BreakerChange::Opened);
    let outcome = outcome.name();
    match change {
        BreakerChange::Opened => tracing::warn!(
            channel.name = %channel,
            outcome,
            "the channel keeps failing; it gets no orders until its breaker lets one through to see"
        ),
        BreakerChange::Closed => tracing::info!(
            channel.name = %channel, outcome, "the channel works; it gets orders again"
        ),
    }
}

/// The same where another node has told it.
pub fn breaker_elsewhere(channel: &ChannelId, change: Option<BreakerChange>) {
    let Some(change) = change else { return };
    telemetry::gauge_breaker(channel, change == BreakerChange::Opened);
    match change {
        BreakerChange::Opened => tracing::warn!(
            channel.name = %channel, "the channel keeps failing at another node; it gets no orders"
        ),
        BreakerChange::Closed => tracing::info!(
            channel.name = %channel, "the channel works at another node; it gets orders again"
        ),
    }
}

/// An operator has thrown a switch, which was so before.
pub fn switch(channel: &ChannelId, was_on: bool, is_on: bool) {
    telemetry::gauge_enabled(channel, is_on);
    match (was_on, is_on) {
        (false, true) => tracing::info!(channel.name = %channel, "the channel is switched on"),
        (true, false) => tracing::warn!(
            channel.name = %channel, "the channel is switched off; it gets no new orders"
        ),
        (true, true) | (false, false) => {}
    }
}

/// How a channel stands after its files were read.
pub fn standing(channel: &ChannelId, is_on: bool, breaker_is_open: bool) {
    telemetry::gauge_enabled(channel, is_on);
    telemetry::gauge_breaker(channel, breaker_is_open);
}
