//! Keeps orders away from a channel that keeps failing, and tells how well it does.
//!
//! Only what the channel did wrong counts: a cardholder's error never lowers its success rate.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::route::health::{HealthMark, SuccessRate};
use crate::domain::time::Timestamp;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerTerms {
    /// Faults of the channel in a row that open it, at least 1.
    pub failures: u32,
    pub open_for: Duration,
}

/// That orders are kept away from now on, or go again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerChange {
    Opened,
    Closed,
}

/// Whether an order may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Open,
    /// It goes to see whether the channel works: the only one. Where nodes share the channel, if
    /// they agree.
    Probe,
    Shut,
}

impl BreakerChange {
    const fn between(was_open: bool, is_open: bool) -> Option<Self> {
        match (was_open, is_open) {
            (false, true) => Some(Self::Opened),
            (true, false) => Some(Self::Closed),
            (false, false) | (true, true) => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct BreakerState {
    in_a_row: u32,
    open_until: Option<Timestamp>,
    /// The other nodes are to be told of `open_until`.
    is_news: bool,
    /// For how long it was opened, by the terms of then.
    open_for: Duration,
    /// After its time an open breaker lets one request through to see.
    probing: bool,
    success_rate: SuccessRate,
}

impl BreakerState {
    /// Whether an open breaker keeps orders away still. None is open for longer than was agreed: a
    /// later moment was read off a clock that has been set back since.
    fn holds(&self, until: Timestamp, now: Timestamp) -> bool {
        now < until && until <= now.plus(self.open_for)
    }
}

/// The breaker of one channel. Its terms are the channel file's at each call; what it has seen
/// outlasts them.
pub struct Breaker {
    state: Mutex<BreakerState>,
}

impl Breaker {
    pub fn new(now: Timestamp) -> Self {
        let success_rate = SuccessRate::initial(now);
        let state = BreakerState {
            in_a_row: 0,
            open_until: None,
            is_news: false,
            open_for: Duration::ZERO,
            probing: false,
            success_rate,
        };
        Self { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether orders are kept away now.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let state = self.lock();
        state.open_until.is_some_and(|until| state.holds(until, now) || state.probing)
    }

    /// Whether an order may go: after its time, an open breaker lets exactly one through.
    pub fn admits(&self, now: Timestamp) -> Admission {
        let mut state = self.lock();
        match state.open_until {
            None => Admission::Open,
            Some(until) if state.holds(until, now) || state.probing => Admission::Shut,
            Some(_) => {
                state.probing = true;
                Admission::Probe
            }
        }
    }

    /// The nodes have agreed on who sends the probe, and are shut until then: this one, if `ours`.
    pub fn probe_is_claimed(&self, ours: bool, until: Timestamp, open_for: Duration) {
        let mut state = self.lock();
        state.probing = ours;
        (state.open_until, state.open_for) = (Some(until), open_for);
    }

    /// The probe is not sent: another order may be it.
    pub fn gives_probe_up(&self) {
        self.lock().probing = false;
    }

    /// What the other nodes are to be told, once: until when it is open.
    pub fn news(&self) -> Option<Option<Timestamp>> {
        let mut state = self.lock();
        std::mem::take(&mut state.is_news).then_some(state.open_until)
    }

    /// Tells the news again, since nobody has heard them.
    pub fn keeps_news(&self) {
        self.lock().is_news = true;
    }

    /// Takes what another node has told, unless this one has news itself.
    pub fn learn(
        &self,
        open_until: Option<Timestamp>,
        open_for: Duration,
    ) -> Option<BreakerChange> {
        let mut state = self.lock();
        if state.is_news || state.open_until == open_until {
            return None;
        }
        let was_open = state.open_until.is_some();
        (state.open_until, state.open_for) = (open_until, open_for);
        if open_until.is_none() {
            (state.in_a_row, state.probing) = (0, false);
        }
        BreakerChange::between(was_open, open_until.is_some())
    }

    /// Counts what a result says, as the terms have it now; tells what changes by it. A probe that
    /// fails leaves an open breaker open.
    pub fn record(
        &self,
        mark: HealthMark,
        terms: BreakerTerms,
        now: Timestamp,
    ) -> Option<BreakerChange> {
        let mut state = self.lock();
        let probing = std::mem::replace(&mut state.probing, false);
        state.success_rate = state.success_rate.after(mark, now);
        let before = state.open_until;
        if mark.proves_alive() {
            state.in_a_row = 0;
            state.open_until = None;
        } else if mark == HealthMark::Fault {
            state.in_a_row = state.in_a_row.saturating_add(1);
            if probing || state.in_a_row >= terms.failures {
                state.open_until = Some(now.plus(terms.open_for));
                state.open_for = terms.open_for;
            }
        }
        state.is_news |= state.open_until != before;
        BreakerChange::between(before.is_some(), state.open_until.is_some())
    }

    /// The recent success rate in millionths.
    pub fn success_rate_ppm(&self, now: Timestamp) -> u32 {
        self.lock().success_rate.ppm(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::{Approval, Decline, NotSentCause, Outcome, Reason, UnknownCause};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    /// A breaker with its terms.
    struct Desk(Breaker, BreakerTerms);

    fn opening_after(failures: u32) -> Desk {
        Desk(Breaker::new(at(0)), BreakerTerms { failures, open_for: Duration::from_secs(5) })
    }

    impl Desk {
        fn record(&self, outcome: &Outcome, now: Timestamp) -> Option<BreakerChange> {
            self.0.record(HealthMark::of(outcome), self.1, now)
        }
    }

    /// Whether one may go, as a probe or as any order.
    fn admits(breaker: &Breaker, now: Timestamp) -> bool {
        breaker.admits(now) != Admission::Shut
    }

    impl std::ops::Deref for Desk {
        type Target = Breaker;

        fn deref(&self) -> &Breaker {
            &self.0
        }
    }

    #[test]
    fn other_terms_hold_from_the_next_result_on() {
        let Desk(breaker, terms) = opening_after(10);
        let lost = HealthMark::Fault;
        for _ in 0..3 {
            breaker.record(lost, terms, at(0));
        }
        assert!(!breaker.is_open(at(0)));
        let stricter = BreakerTerms { failures: 4, open_for: Duration::from_secs(60) };
        breaker.record(lost, stricter, at(1));
        assert!(breaker.is_open(at(60)) && !breaker.is_open(at(61)), "what was counted counts");
    }

    fn declined(reason: Reason) -> Outcome {
        Outcome::Declined(Decline { reason, code: "x".into(), elsewhere: false })
    }

    #[test]
    fn it_opens_after_faults_in_a_row_and_probes_with_one() {
        let breaker = opening_after(2);
        let lost = Outcome::Unknown(UnknownCause::TimedOut);
        assert_eq!(breaker.record(&lost, at(0)), None);
        assert!(admits(&breaker, at(0)));
        assert_eq!(breaker.record(&lost, at(0)), Some(BreakerChange::Opened));
        assert!(!admits(&breaker, at(4)) && breaker.is_open(at(4)));
        assert!(admits(&breaker, at(5)), "one goes through to see");
        assert!(!admits(&breaker, at(5)), "and only one");
        assert_eq!(breaker.record(&lost, at(6)), None, "it was open, and stays it");
        assert!(!admits(&breaker, at(10)), "the probe failed: open again");
        assert!(admits(&breaker, at(11)));
        let good = Outcome::Approved(Approval::default());
        assert_eq!(breaker.record(&good, at(11)), Some(BreakerChange::Closed));
        assert_eq!(breaker.record(&good, at(11)), None);
        assert!(admits(&breaker, at(11)) && !breaker.is_open(at(11)));
    }

    /// Two nodes with one channel.
    #[test]
    fn nodes_open_together_and_one_probes() {
        let (first, second) = (opening_after(2), opening_after(2));
        let lost = Outcome::Unknown(UnknownCause::TimedOut);
        first.record(&lost, at(0));
        assert_eq!(first.news(), None, "nothing has changed");
        first.record(&lost, at(0));
        assert_eq!((first.news(), first.news()), (Some(Some(at(5))), None));
        let open_for = second.1.open_for;
        assert_eq!(second.learn(Some(at(5)), open_for), Some(BreakerChange::Opened));
        assert_eq!(second.learn(Some(at(5)), open_for), None);
        assert!(!admits(&second, at(4)) && second.news().is_none(), "it is no news of its own");
        assert_eq!(
            (first.admits(at(5)), second.admits(at(5))),
            (Admission::Probe, Admission::Probe)
        );
        first.probe_is_claimed(true, at(10), open_for);
        second.probe_is_claimed(false, at(10), open_for);
        assert!(!admits(&first, at(9)) && !admits(&second, at(9)));
        let good = Outcome::Approved(Approval::default());
        assert_eq!(first.record(&good, at(9)), Some(BreakerChange::Closed));
        assert_eq!(first.learn(Some(at(10)), open_for), None, "it knows better");
        assert_eq!(first.news(), Some(None));
        assert_eq!(second.learn(None, open_for), Some(BreakerChange::Closed));
        assert!(admits(&first, at(9)) && admits(&second, at(9)));
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_no_channel_shut() {
        let breaker = opening_after(1);
        breaker.record(&Outcome::Unknown(UnknownCause::TimedOut), at(400 * 86_400));
        assert!(breaker.is_open(at(400 * 86_400)));
        assert!(!breaker.is_open(at(10)) && admits(&breaker, at(10)));
    }

    #[test]
    fn a_cardholders_error_is_no_fault_of_the_channel() {
        let breaker = opening_after(1);
        breaker.record(&declined(Reason::InsufficientFunds), at(0));
        breaker.record(&declined(Reason::WrongCredentials), at(0));
        assert_eq!(breaker.success_rate_ppm(at(0)), 1_000_000);
        breaker.record(&Outcome::NotSent(NotSentCause::NoRateLeft), at(0));
        assert!(!breaker.is_open(at(0)));
        breaker.record(&declined(Reason::ChannelUnavailable), at(0));
        assert!(breaker.is_open(at(0)) && breaker.success_rate_ppm(at(0)) < 1_000_000);
    }
}
