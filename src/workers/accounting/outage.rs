//! Outages of accounting, and the requests that may go before their time after one.
//!
//! During an outage every request waits longer after each try, up to half an hour. When accounting
//! answers again, a request that was tried before that moment need not sit its wait out. What fails
//! after it does: a request that accounting cannot take is never tried in a loop.

use std::time::Duration;

use crate::config::checked::DeliverySettings;
use crate::domain::books::accounting::Delivery;
use crate::domain::time::Timestamp;

/// So many failures in a row, without an answer between them, are an outage.
const FAILURES_OF_AN_OUTAGE: u32 = 3;
/// The least time between two ends of outages, so that one that answers only now and then is not
/// asked by everybody each time.
const RECOVERY_PAUSE: Duration = Duration::from_secs(30);

/// The state of accounting by the last deliveries.
#[derive(Debug, Default)]
pub(super) struct Outage {
    failures: u32,
    is_down: bool,
    recovered_at: Option<Timestamp>,
}

impl Outage {
    /// Accounting could not be reached, or took nothing. True where an outage begins.
    pub(super) fn failed(&mut self) -> bool {
        self.failures = self.failures.saturating_add(1);
        let begins = !self.is_down && self.failures >= FAILURES_OF_AN_OUTAGE;
        self.is_down |= begins;
        begins
    }

    /// Accounting answered, be it with a refusal. True where this ends an outage.
    pub(super) fn answered(&mut self, now: Timestamp) -> bool {
        self.failures = 0;
        let rested = self.recovered_by(now).is_none_or(|at| now.since(at) >= RECOVERY_PAUSE);
        let ends = self.is_down && rested;
        if ends {
            self.is_down = false;
            self.recovered_at = Some(now);
        }
        ends
    }

    /// Up to when owed requests are looked at, if that is later than now: while an outage's backlog
    /// is worked off.
    pub(super) fn horizon(&self, now: Timestamp, settings: &DeliverySettings) -> Timestamp {
        self.recovered_by(now).map_or(now, |at| at.plus(settings.longest_wait()))
    }

    /// Whether a request may go now: the request is due, or its last try was before the outage's
    /// end.
    pub(super) fn lets_go(
        &self,
        delivery: &Delivery,
        now: Timestamp,
        settings: &DeliverySettings,
    ) -> bool {
        let wait = settings.wait(delivery.tries.max(1));
        let tried_before = |at: Timestamp| delivery.due_at <= at.plus(wait);
        delivery.due_at <= now || self.recovered_by(now).is_some_and(tried_before)
    }

    /// When the last outage ended. A moment ahead of us was read off a clock that has been set back
    /// since: the requests that were tried before it cannot be told by their time any more.
    fn recovered_by(&self, now: Timestamp) -> Option<Timestamp> {
        self.recovered_at.filter(|at| *at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::DueWindow;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn settings() -> DeliverySettings {
        DeliverySettings {
            url: None,
            timeout: Duration::from_secs(1),
            in_flight: std::num::NonZeroU32::MIN,
            waits: [1, 60, 1_800].map(Duration::from_secs).to_vec(),
        }
    }

    /// As a delivery stands that was tried so often, last at this second.
    fn tried(tries: u32, second: i64) -> Delivery {
        let due_at = at(second).plus(settings().wait(tries));
        Delivery { tries, due_at, ..Delivery::owed(at(0)) }
    }

    #[test]
    fn an_outage_ends_with_the_first_answer_and_lets_go_what_had_failed() {
        let mut outage = Outage::default();
        let begins: Vec<bool> = (0..5).map(|_| outage.failed()).collect();
        assert_eq!(begins, [false, false, true, false, false], "it begins once");
        let settings = settings();
        let waiting = tried(5, 3_000);
        assert_eq!(outage.horizon(at(3_600), &settings), at(3_600));
        assert!(!outage.lets_go(&waiting, at(3_600), &settings));
        assert!(outage.answered(at(3_600)));
        assert_eq!(outage.horizon(at(3_600), &settings), at(5_400));
        let due = DueWindow::at(at(9_000), settings.longest_wait());
        let read = due.by(outage.horizon(at(9_000), &settings));
        assert_eq!(read, due, "a look never falls behind");
        assert!(outage.lets_go(&waiting, at(3_600), &settings));
        // What fails from now on waits for its time, however short or long.
        for tries in 1..=6 {
            assert!(!outage.lets_go(&tried(tries, 3_601), at(3_601), &settings), "{tries}");
        }
        assert!(outage.lets_go(&tried(1, 3_601), at(3_602), &settings), "it is due");
        // The clock is set back to before the end: what fails now was not tried before it.
        assert_eq!(outage.horizon(at(60), &settings), at(60));
        assert!(!outage.lets_go(&tried(1, 60), at(60), &settings));
    }

    #[test]
    fn single_failures_are_no_outage_and_ends_keep_their_distance() {
        let mut outage = Outage::default();
        for second in 0..10 {
            outage.failed();
            outage.failed();
            assert!(!outage.answered(at(second)), "another one was taken in between");
        }
        let down = |outage: &mut Outage| {
            for _ in 0..3 {
                outage.failed();
            }
        };
        down(&mut outage);
        assert!(outage.answered(at(100)));
        down(&mut outage);
        assert!(!outage.answered(at(110)), "too early");
        assert!(!outage.answered(at(129)));
        assert!(outage.answered(at(130)), "it was not forgotten");
        assert!(!outage.answered(at(200)));
    }
}
