//! Says in the log which messages are not believed and why, and never more often than a person can
//! read.
//!
//! A notice may come from anybody, so notices and answers have a watch each: a flood of the ones
//! hides nothing of the others.

use crate::clock::stopwatch;
use crate::domain::ids::ChannelId;
use crate::telemetry::bound::LineBound;

/// One watch over one kind of messages of one channel.
#[derive(Debug, Default)]
pub struct ObjectionLog(LineBound);

impl ObjectionLog {
    /// Writes a warning, or counts it. `what` names the kind of message: `a payment's reply`.
    pub fn warn(&self, channel: &ChannelId, what: &str, reason: &str) {
        if let Some(left_out) = self.0.turn(stopwatch()) {
            tracing::warn!(
                channel.name = %channel, about = what, reason, left_out,
                "a message proves nothing and is not believed"
            );
        }
    }
}
