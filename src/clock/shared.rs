//! The clock of a store that several nodes share, as this process shows it between two looks.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::clock::{Clock, LeaseAsked};
use crate::domain::time::Timestamp;

/// A difference that one look makes good at most, so that the time neither leaps nor stands still.
/// Milliseconds; a twentieth of the time between two looks.
const SLEW_MAX_MS: i64 = 100;
/// A clock that is behind by more leaps: the machine has slept, or the store's clock was set.
/// Milliseconds.
const STEP_MS: i64 = 2_000;

/// The store's clock, carried on by this process's steady clock: what the machine's own clock shows
/// does not matter.
#[derive(Debug)]
pub struct SharedClock {
    machine: Clock,
    /// Milliseconds on top of the steady clock's count.
    ahead_ms: AtomicI64,
    /// The last look has found a step: one that takes long to be made good is told once.
    is_told: AtomicBool,
}

/// What a look at the store's clock has found that is no drift: how much more it shows than this
/// process did. Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStep(pub i64);

impl SharedClock {
    /// A clock that shows what the store said when it was asked for the first time.
    pub fn begin(machine: Clock, asked: LeaseAsked, said: Timestamp) -> Self {
        let (ahead_ms, is_told) = (AtomicI64::new(0), AtomicBool::new(false));
        let clock = Self { machine, ahead_ms, is_told };
        let (ahead_ms, _) = clock.measure(asked, said);
        clock.ahead_ms.store(ahead_ms, Ordering::Release);
        clock
    }

    pub(super) const fn machine(&self) -> &Clock {
        &self.machine
    }

    pub(super) fn now(&self) -> Timestamp {
        let ahead_ms = self.ahead_ms.load(Ordering::Acquire);
        Timestamp::from_millis(self.machine.steady_ms().saturating_add(ahead_ms))
    }

    /// Follows what the store said to a question that was asked then. It said so somewhere between
    /// question and answer: less is no difference. Tells of a step when it is first seen.
    pub(super) fn follow(&self, asked: LeaseAsked, said: Timestamp) -> Option<ClockStep> {
        let (measured, within) = self.measure(asked, said);
        let ahead_ms = self.ahead_ms.load(Ordering::Acquire);
        let difference = measured.saturating_sub(ahead_ms);
        let difference = difference - difference.clamp(-within, within);
        let is_step = difference.abs() > STEP_MS;
        let slewed = difference.clamp(-SLEW_MAX_MS, SLEW_MAX_MS);
        // Never backwards: what was dated stays in order.
        let change = if is_step && difference > 0 { difference } else { slewed };
        self.ahead_ms.store(ahead_ms.saturating_add(change), Ordering::Release);
        let was_told = self.is_told.swap(is_step, Ordering::AcqRel);
        (is_step && !was_told).then_some(ClockStep(difference))
    }

    /// The store's clock on top of the steady clock's count, and within how much that is certain.
    fn measure(&self, asked: LeaseAsked, said: Timestamp) -> (i64, i64) {
        let answered = self.machine.steady_ms();
        let within = (answered - asked.steady_ms).max(0) / 2;
        (said.as_millis() - asked.steady_ms - within, within)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::NodeLease;

    fn machine() -> (Arc<AtomicI64>, Clock) {
        let millis = Arc::new(AtomicI64::new(50_000));
        (Arc::clone(&millis), Clock::Manual(millis))
    }

    fn asked(clock: &SharedClock) -> LeaseAsked {
        NodeLease::by(clock.machine.clone()).asks()
    }

    fn begun() -> (Arc<AtomicI64>, SharedClock) {
        let (millis, machine) = machine();
        let asked = NodeLease::by(machine.clone()).asks();
        millis.fetch_add(10, Ordering::SeqCst);
        let clock = SharedClock::begin(machine, asked, Timestamp::from_millis(1_000_005));
        (millis, clock)
    }

    #[test]
    fn it_shows_the_stores_time_whatever_the_machine_shows() {
        let (millis, clock) = begun();
        assert_eq!(clock.now().as_millis(), 1_000_010);
        millis.fetch_add(500, Ordering::SeqCst);
        assert_eq!(clock.now().as_millis(), 1_000_510);
    }

    #[test]
    fn a_slow_answer_is_no_difference_and_drift_is_made_good_little_by_little() {
        let (millis, clock) = begun();
        let question = asked(&clock);
        millis.fetch_add(3_000, Ordering::SeqCst);
        assert_eq!(clock.follow(question, Timestamp::from_millis(1_000_011)), None);
        assert_eq!(clock.now().as_millis(), 1_003_010);
        let slow = |by: i64| clock.follow(asked(&clock), Timestamp::from_millis(1_003_010 + by));
        assert_eq!(slow(250), None);
        assert_eq!(clock.now().as_millis(), 1_003_110);
        assert_eq!(slow(-1_900), None);
        assert_eq!(clock.now().as_millis(), 1_003_010);
    }

    #[test]
    fn a_machine_that_slept_leaps_and_a_store_that_was_set_back_is_waited_for() {
        let (_millis, clock) = begun();
        let said = |millis| clock.follow(asked(&clock), Timestamp::from_millis(millis));
        assert_eq!(said(1_060_010), Some(ClockStep(60_000)));
        assert_eq!(clock.now().as_millis(), 1_060_010);
        assert_eq!(said(1_060_010), None);
        assert_eq!(said(1_000_010), Some(ClockStep(-60_000)));
        assert_eq!(clock.now().as_millis(), 1_059_910);
        assert_eq!(said(1_000_010), None, "it was told");
        assert_eq!(clock.now().as_millis(), 1_059_810);
    }
}
