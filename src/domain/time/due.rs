//! Which rows that wait are due.

use std::time::Duration;

use crate::domain::ids::Shards;
use crate::domain::time::Timestamp;

/// A row may be written, with its longest wait, by a moment that comes after that of the look which
/// finds it, and a clock is set back by seconds often.
const SLACK: Duration = Duration::from_secs(60);

/// The rows that are due at one look: those whose time has come, and those that say a time further
/// ahead than any wait of theirs. A clock ahead of its time has dated those, and nobody else finds
/// them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueWindow {
    now: Timestamp,
    bound: Timestamp,
    shards: Shards,
}

impl DueWindow {
    /// `longest`: the longest wait that any rule sets for such rows. Rows that are dated more than
    /// a minute beyond it are due.
    pub fn at(now: Timestamp, longest: Duration) -> Self {
        Self { now, bound: now.plus(longest.saturating_add(SLACK)), shards: Shards::EVERY }
    }

    /// The same with what comes due by a later moment; never less, never beyond the longest wait.
    pub fn by(self, moment: Timestamp) -> Self {
        Self { now: moment.clamp(self.now, self.bound), ..self }
    }

    /// The same of these shards alone.
    pub const fn of_shards(self, shards: Shards) -> Self {
        Self { shards, ..self }
    }

    /// The shards whose rows are looked at.
    pub const fn shards(&self) -> Shards {
        self.shards
    }

    /// Up to when, it included, the time of rows has come.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Rows that are dated later than this were dated wrong.
    pub const fn bound(&self) -> Timestamp {
        self.bound
    }

    /// Whether a row that says this time may go now.
    pub fn is_due(&self, due_at: Timestamp) -> bool {
        due_at <= self.now || due_at > self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_wait_can_have_set_is_due() {
        let at = |second: i64| Timestamp::from_millis(1_795_334_400_000 + second * 1_000);
        let due = DueWindow::at(at(0), Duration::from_secs(600));
        let year = 365 * 86_400;
        for (second, is_due) in
            [(-1, true), (0, true), (1, false), (660, false), (661, true), (year, true)]
        {
            assert_eq!(due.is_due(at(second)), is_due, "{second}");
        }
        for (moment, now) in [(-5, 0), (0, 0), (60, 60), (year, 660)] {
            let other = due.by(at(moment));
            assert_eq!((other.now(), other.bound()), (at(now), due.bound()), "{moment}");
        }
        let ever = DueWindow::at(at(0), Duration::MAX);
        assert!(!ever.is_due(at(year)) && !ever.is_due(Timestamp::from_millis(i64::MAX)));
    }
}
