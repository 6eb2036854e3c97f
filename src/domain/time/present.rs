//! The present as far as evidence bears it out, and the questions that rules ask of it.
//! `crate::clock` gives it.
//!
//! A machine's clock jumps: a wrong battery clock at boot, a hand on it, a guest that slept. Stamps
//! and waits go by it all the same, since it is right nearly always. Decisions that can do lasting
//! harm ask for more: an age counts only as far as it is borne out, a day is over only when that
//! is.

use std::time::Duration;

use crate::domain::time::{BusinessDate, ClearingCalendar, Timestamp};

/// The present moment, in three readings of which no rule may take one for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    now: Timestamp,
    proven: Timestamp,
    steady_for: Duration,
}

impl Present {
    /// `now` is what the clock shows; `proven` the latest moment that evidence bears out; for
    /// `steady_for` what the clock shows has gone with the machine's steady clock, without a jump.
    pub const fn new(now: Timestamp, proven: Timestamp, steady_for: Duration) -> Self {
        Self { now, proven, steady_for }
    }

    /// A present that nobody doubts.
    pub const fn certain(now: Timestamp) -> Self {
        Self { now, proven: now, steady_for: Duration::ZERO }
    }

    /// The clock's time: for stamps, and for the moment at which a wait ends.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The latest moment that is borne out: a day that is over by it is over. The moment may lie
    /// behind `now`, by little after every start, and by much where the clock is doubted.
    pub const fn proven(&self) -> Timestamp {
        self.proven
    }

    /// The time that has passed at least since something was stamped `of`: the answer to a rule of
    /// age.
    ///
    /// Two bounds hold, and the better one counts. The moment that is borne out lies so long after
    /// the stamp. And a stamp of this run of the clock is as old as the clock shows, while one of
    /// before its last jump is at least as old as that jump: so a stamp of a clock that ran ahead,
    /// or one made under doubt, comes of age too.
    pub fn age(&self, of: Timestamp) -> Duration {
        let of_this_run = match of <= self.now {
            true => self.now.since(of).min(self.steady_for),
            false => self.steady_for,
        };
        self.proven.since(of).max(of_this_run)
    }

    /// The same as it was when something was stamped `then`: a question that was asked then is
    /// answered as of then, however late the answer comes. A clock that has been set back behind
    /// `then` no longer tells how long ago that was, so nothing is borne out.
    pub fn age_at(&self, of: Timestamp, then: Timestamp) -> Duration {
        match then <= self.now {
            true => self.age(of).saturating_sub(self.now.since(then)),
            false => Duration::ZERO,
        }
    }

    /// When something stamped `of` can have happened at the latest: a stamp ahead of the clock was
    /// made before its last jump.
    fn latest(&self, of: Timestamp) -> Timestamp {
        match of <= self.now {
            true => of,
            false => self.now.minus(self.steady_for),
        }
    }

    /// The business date of something stamped `of`. A clock that runs ahead carries nothing
    /// further than into the day after the one that is borne out.
    pub fn business_date(&self, calendar: &ClearingCalendar, of: Timestamp) -> BusinessDate {
        let bound = calendar.date_of(self.proven).next();
        calendar.date_of(self.latest(of)).min(bound)
    }

    /// The business dates that something stamped `of` may be of: by the clock, and by what is borne
    /// out. They differ where the clock is doubted, and for a moment at a day's end.
    pub fn dates(&self, calendar: &ClearingCalendar, of: Timestamp) -> [BusinessDate; 2] {
        [self.latest(of), of.min(self.proven)].map(|moment| calendar.date_of(moment))
    }

    /// The business date of what happens now, bounded in the same way.
    pub fn today(&self, calendar: &ClearingCalendar) -> BusinessDate {
        self.business_date(calendar, self.now)
    }

    /// Whether it is borne out that a business date is over.
    pub fn is_over(&self, calendar: &ClearingCalendar, date: BusinessDate) -> bool {
        date < calendar.date_of(self.proven)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil;
    use jiff::tz::TimeZone;

    use super::*;

    const HOUR: u64 = 3_600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis((1_795_334_400 + seconds) * 1_000)
    }

    fn present(now: i64, proven: i64, steady_for: u64) -> Present {
        Present::new(at(now), at(proven), Duration::from_secs(steady_for))
    }

    #[test]
    fn an_age_is_what_evidence_bears_out() {
        let hour = 3_600;
        // now, proven, steady for, the stamp, the age; all in seconds.
        let rows = [
            // A sound clock.
            (600, 600, 600, 0, 600),
            (600, 600, 0, 0, 600),
            // It jumped ahead by an hour a second ago: what was sent before is not an hour older.
            (hour + 10, 10, 1, 0, 10),
            // Sent under the doubtful clock: as old as that clock says, while it does not jump.
            (hour + 700, 700, 690, hour + 100, 600),
            // A start under doubt, and a stamp of an earlier process: only what is borne out.
            (hour, 0, 5, 0, 5),
            (hour, 5, 5, 0, 5),
            // The clock was set back: what it stamped ahead is as old as that at least.
            (600, 600, 300, 20 * hour, 300),
            (600, 600, 0, 20 * hour, 0),
            // A lag of some seconds after a start makes nothing older.
            (100, 90, 5, 98, 2),
        ];
        for (now, proven, steady_for, of, expected) in rows {
            let age = present(now, proven, steady_for).age(at(of));
            let row = (now, proven, steady_for, of);
            assert_eq!(age, Duration::from_secs(expected), "{row:?}");
        }
    }

    #[test]
    fn an_age_of_an_earlier_moment_leaves_out_what_has_passed_since() {
        let now = present(600, 600, 600);
        assert_eq!(now.age_at(at(0), at(600)), Duration::from_secs(600));
        assert_eq!(now.age_at(at(0), at(590)), Duration::from_secs(590));
        assert_eq!(now.age_at(at(500), at(400)), Duration::ZERO);
        // It was set back since: how long ago it was asked is not known.
        assert_eq!(now.age_at(at(0), at(601)), Duration::ZERO);
    }

    #[test]
    fn an_age_is_never_more_than_what_has_passed() {
        // Each history: the clock shows `error` more than the truth from the given second on, and
        // nothing bears it out. A stamp is made at every second, and its age asked for at every
        // later one.
        let histories: [&[(i64, i64)]; 4] = [
            &[(0, 0), (30, 86_400)],
            &[(0, 0), (20, 400 * 86_400), (40, 0)],
            &[(0, 72_000), (50, 0)],
            &[(0, 0), (10, -3_600), (30, 7_200), (45, 60)],
        ];
        for history in histories {
            let error = |second: i64| history.iter().rfind(|(from, _)| *from <= second).copied();
            for stamped in 0..60 {
                let (_, of) = error(stamped).expect("each begins at 0");
                for second in stamped..60 {
                    let (since, by) = error(second).expect("each begins at 0");
                    let steady_for = u64::try_from(second - since).expect("it began before");
                    // A proven moment never runs ahead of the truth.
                    let now = present(second + by, second, steady_for);
                    let age = now.age(at(stamped + of));
                    let passed = Duration::from_secs((second - stamped).unsigned_abs());
                    let early = of < 0;
                    assert!(age <= passed || early, "{history:?} {stamped} {second} {age:?}");
                }
            }
        }
    }

    #[test]
    fn a_clock_ahead_moves_dates_by_one_day_at_most_and_ends_none() {
        let zone = TimeZone::get("Asia/Shanghai").expect("the zone is compiled in");
        let calendar = ClearingCalendar { zone, cut_off: civil::time(23, 0, 0, 0) };
        let today = calendar.date_of(at(0));
        let year = 400 * 24 * HOUR;
        for ahead in [0, 20 * HOUR, 3 * 24 * HOUR, year] {
            let now = present(i64::try_from(ahead).expect("a year"), 0, 60);
            let seen = now.today(&calendar);
            assert!(seen == today || seen == today.next(), "{ahead} s ahead: {seen}");
            assert!(!now.is_over(&calendar, today), "{ahead} s ahead");
            assert!(now.is_over(&calendar, today.previous()));
        }
        // What is stamped a year ahead may be of then, and of today.
        let stamp = at(400 * 86_400);
        let doubted = present(400 * 86_400, 0, 60);
        assert_eq!(doubted.dates(&calendar, stamp), [calendar.date_of(stamp), today]);
        // Set right again: what was stamped a year ahead happened today at the latest.
        let right = present(60, 60, 30);
        assert_eq!(right.business_date(&calendar, stamp), today);
        assert_eq!(right.dates(&calendar, stamp), [today; 2]);
    }
}
