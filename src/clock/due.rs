//! Which rows are due: those whose time has come, and those that a clock ahead of its time dated.

use std::time::Duration;

use crate::clock::Timekeeper;
use crate::domain::time::Timestamp;

/// What is due at one look. Rows that were written while the clock was ahead may say a time that is
/// a year off; they are known by a time that lies further ahead than any wait of theirs can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    now: Timestamp,
    /// The longest wait that is ever set for such rows.
    longest: Duration,
    stamped_until: Option<Timestamp>,
}

impl Due {
    /// Up to when rows are read to find what is due.
    pub fn horizon(&self) -> Timestamp {
        self.stamped_until.map_or(self.now, |until| until.plus(self.longest))
    }

    /// Whether a row that says this time may go now.
    pub fn is_due(&self, due_at: Timestamp) -> bool {
        let cannot_be = self.stamped_until.is_some() && due_at > self.now.plus(self.longest);
        due_at <= self.now || cannot_be
    }

    /// How many rows are read to find `wanted`: rows that wait for their own time may stand before
    /// those that a wrong clock has dated.
    pub fn rows_read(&self, wanted: usize, most: usize) -> usize {
        if self.stamped_until.is_some() { most.max(wanted) } else { wanted }
    }
}

impl Timekeeper {
    /// What is due now of rows whose longest wait this is.
    pub fn due(&self, longest: Duration) -> Due {
        Due { now: self.now(), longest, stamped_until: self.stamped_until() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_wait_can_have_set_is_due() {
        let at = |second: i64| Timestamp::from_millis(1_795_334_400_000 + second * 1_000);
        let longest = Duration::from_secs(600);
        let sound = Due { now: at(0), longest, stamped_until: None };
        let year = 365 * 86_400;
        for (second, is_due) in [(-1, true), (0, true), (1, false), (600, false), (year, false)] {
            assert_eq!(sound.is_due(at(second)), is_due, "{second}");
        }
        assert_eq!((sound.horizon(), sound.rows_read(5, 1_000)), (at(0), 5));
        let back = Due { stamped_until: Some(at(year)), ..sound };
        for (second, is_due) in [(0, true), (1, false), (600, false), (601, true), (year, true)] {
            assert_eq!(back.is_due(at(second)), is_due, "{second}");
        }
        assert_eq!((back.horizon(), back.rows_read(5, 1_000)), (at(year + 600), 1_000));
    }
}
