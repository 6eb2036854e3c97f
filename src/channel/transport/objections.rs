//! Says in the log which messages are not believed and why, and never more often than a person can
//! read: whoever sends garbage must not be able to fill the disk with it.
//!
//! A notice may come from anybody, so notices and answers have a watch each: a flood of the ones
//! hides nothing of the others. What is left out is counted and said with the next line.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::stopwatch;
use crate::domain::ids::ChannelId;

/// Lines of one watch in one [`WINDOW`].
const LINES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct LogWindow {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

/// One watch over one kind of messages of one channel.
#[derive(Debug, Default)]
pub struct ObjectionLog {
    told: Mutex<LogWindow>,
}

impl ObjectionLog {
    /// Writes a warning, or counts it. `what` names the kind of message: `a payment's reply`.
    pub fn warn(&self, channel: &ChannelId, what: &str, reason: &str) {
        if let Some(left_out) = self.turn(stopwatch()) {
            tracing::warn!(
                channel.name = %channel, about = what, reason, left_out,
                "a message proves nothing and is not believed"
            );
        }
    }

    /// How many lines were left out since the last one; `None` if this one is left out too.
    fn turn(&self, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = told.since.is_none_or(|since| now.duration_since(since) >= WINDOW);
        if is_over {
            (told.since, told.lines) = (Some(now), 0);
        }
        if told.lines >= LINES_MAX {
            told.left_out = told.left_out.saturating_add(1);
            return None;
        }
        told.lines += 1;
        Some(std::mem::take(&mut told.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_objections_gives_a_few_lines_and_a_count() {
        let log = ObjectionLog::default();
        let begin = stopwatch();
        let told = (0..1_000).filter(|_| log.turn(begin).is_some()).count();
        assert_eq!(told, LINES_MAX as usize);
        let later = begin + WINDOW;
        assert_eq!(log.turn(later), Some(1_000 - u64::from(LINES_MAX)));
        assert_eq!(log.turn(later), Some(0));
    }
}
