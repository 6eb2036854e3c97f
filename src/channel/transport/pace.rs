//! Holds a channel to its agreed rate and number of requests in flight, or this node to its part of
//! them.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::cluster::NodePart;

/// The agreed load of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceTerms {
    pub requests_per_second: NonZeroU32,
    /// How many may come at once after a quiet time.
    pub burst: NonZeroU32,
    /// How many requests may be on their way at once.
    pub in_flight: NonZeroU32,
    /// How long a request waits for its turn before it is given up, unsent.
    pub wait_max: Duration,
}

impl PaceTerms {
    /// How many nodes can have a part of it at the same time.
    pub fn nodes_max(&self) -> u32 {
        self.requests_per_second.min(self.burst).min(self.in_flight).get()
    }

    /// What a node has of it; `None` where that lets nothing pass.
    fn part(self, part: NodePart) -> Option<Self> {
        let of = |whole: NonZeroU32| NonZeroU32::new(part.of(whole.get()));
        Some(Self {
            requests_per_second: of(self.requests_per_second)?,
            burst: of(self.burst)?,
            in_flight: of(self.in_flight)?,
            ..self
        })
    }
}

/// The gate that every request to one channel passes.
pub struct Pace {
    terms: PaceTerms,
    /// Shared by all the terms that a channel has had: what is in flight is in flight.
    gate: Arc<Gate>,
}

struct Gate {
    places: Places,
    /// Without one nothing passes.
    rate: ArcSwapOption<Rate>,
}

/// So many requests a second, and so many at once.
struct Rate {
    of: (NonZeroU32, NonZeroU32),
    limiter: DefaultDirectRateLimiter,
}

impl Rate {
    fn of(terms: PaceTerms) -> Self {
        let of = (terms.requests_per_second, terms.burst);
        Self { of, limiter: RateLimiter::direct(Quota::per_second(of.0).allow_burst(of.1)) }
    }

    /// With nothing saved up: of a part that was larger before, or another node's, all may have
    /// been used just now.
    fn from_now_on(terms: PaceTerms) -> Self {
        let rate = Self::of(terms);
        // A whole burst fits into the limiter, so this cannot fail.
        let _taken = rate.limiter.check_n(terms.burst);
        rate
    }
}

/// Places for requests in flight, as many as are agreed now.
struct Places {
    free: Semaphore,
    /// How many there are, taken ones included.
    agreed: Mutex<usize>,
    /// Places that are to go when those who have them leave: fewer were agreed meanwhile.
    surplus: AtomicUsize,
}

/// A request's place. It is given back when dropped.
pub struct PacePermit<'p> {
    permit: Option<SemaphorePermit<'p>>,
    places: &'p Places,
}

impl Drop for PacePermit<'_> {
    fn drop(&mut self) {
        let one_less = |surplus: usize| surplus.checked_sub(1);
        let goes = self.places.surplus.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
        if let (Ok(_), Some(permit)) = (goes, self.permit.take()) {
            permit.forget();
        }
    }
}

impl Places {
    fn new(agreed: usize) -> Self {
        let (free, surplus) = (Semaphore::new(agreed), AtomicUsize::new(0));
        Self { free, agreed: Mutex::new(agreed), surplus }
    }

    fn resize(&self, agreed: usize) {
        let mut now = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        if agreed >= *now {
            let more = agreed - *now;
            // Those who were to lose their place keep it first.
            let kept = |surplus: usize| Some(surplus - surplus.min(more));
            let before = self.surplus.fetch_update(Ordering::AcqRel, Ordering::Acquire, kept);
            self.free.add_permits(more - before.unwrap_or_default().min(more));
        } else {
            let fewer = *now - agreed;
            let taken = fewer - self.free.forget_permits(fewer);
            self.surplus.fetch_add(taken, Ordering::AcqRel);
        }
        *now = agreed;
    }
}

impl Pace {
    pub fn new(terms: PaceTerms) -> Self {
        let places = Places::new(terms.in_flight.get() as usize);
        let rate = ArcSwapOption::from_pointee(Rate::of(terms));
        Self { terms, gate: Arc::new(Gate { places, rate }) }
    }

    /// The same gate under other terms, once [`Self::enforce`] is called: what is in flight stays
    /// counted, and an unchanged rate goes on where it is.
    #[must_use]
    pub fn under(&self, terms: PaceTerms) -> Self {
        Self { terms, gate: Arc::clone(&self.gate) }
    }

    pub const fn terms(&self) -> PaceTerms {
        self.terms
    }

    /// Puts its terms in force, or a node's part of them. Tells whether no more is on its way than
    /// they allow.
    ///
    /// A changed rate begins with a whole burst; of what nodes share it begins with nothing.
    pub fn enforce(&self, part: Option<NodePart>) -> bool {
        let terms = part.map_or(Some(self.terms), |part| self.terms.part(part));
        let rate = terms.map(|terms| (terms.requests_per_second, terms.burst));
        let before = self.gate.rate.load().as_ref().map(|rate| rate.of);
        if rate != before {
            let begin = if part.is_some() { Rate::from_now_on } else { Rate::of };
            self.gate.rate.store(terms.map(|terms| Arc::new(begin(terms))));
        }
        self.gate.places.resize(terms.map_or(0, |terms| terms.in_flight.get() as usize));
        self.gate.places.surplus.load(Ordering::Acquire) == 0
    }

    /// Waits for a turn, at most `wait_max`; `None` if none came. Hold the turn while in flight.
    pub async fn turn(&self) -> Option<PacePermit<'_>> {
        let Gate { places, rate } = &*self.gate;
        // The common case takes no timer: there is a place, and the rate allows it.
        if let Ok(permit) = places.free.try_acquire() {
            let turn = self.permit(permit);
            if rate.load().as_ref()?.limiter.check().is_ok() {
                return Some(turn);
            }
        }
        let waiting = async {
            // Without a part there is nothing to wait for.
            rate.load().as_ref()?;
            let turn = self.permit(places.free.acquire().await.ok()?);
            loop {
                let waited_for = rate.load_full()?;
                waited_for.limiter.until_ready().await;
                // Another rate may have come into force meanwhile.
                if rate.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, &waited_for)) {
                    return Some(turn);
                }
            }
        };
        tokio::time::timeout(self.terms.wait_max, waiting).await.ok().flatten()
    }

    /// Waits until the rate allows one more request of whoever has a turn, at most `wait_max`.
    pub async fn again(&self) -> bool {
        let waiting = async {
            let waited_for = self.gate.rate.load_full()?;
            waited_for.limiter.until_ready().await;
            Some(())
        };
        tokio::time::timeout(self.terms.wait_max, waiting).await.ok().flatten().is_some()
    }

    fn permit<'p>(&'p self, permit: SemaphorePermit<'p>) -> PacePermit<'p> {
        PacePermit { permit: Some(permit), places: &self.gate.places }
    }

    /// Whether a request would find a place at once.
    pub fn has_room(&self) -> bool {
        self.gate.places.free.available_permits() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(in_flight: u32, burst: u32) -> PaceTerms {
        let number = |n| NonZeroU32::new(n).expect("positive");
        PaceTerms {
            requests_per_second: number(1),
            burst: number(burst),
            in_flight: number(in_flight),
            wait_max: Duration::from_millis(20),
        }
    }

    fn pace(in_flight: u32, burst: u32) -> Pace {
        Pace::new(terms(in_flight, burst))
    }

    #[tokio::test]
    async fn other_terms_count_what_is_in_flight() {
        let old = pace(2, 10);
        let (first, second) = (old.turn().await, old.turn().await);
        assert!(first.is_some() && second.is_some());
        let fewer = old.under(terms(1, 10));
        assert!(!fewer.has_room());
        assert!(!fewer.enforce(None), "more are on their way");
        drop(first);
        assert!(!fewer.has_room() && fewer.turn().await.is_none(), "one is still on its way");
        drop(second);
        let only = fewer.turn().await;
        assert!(only.is_some() && fewer.turn().await.is_none(), "one place is left");
        let more = fewer.under(terms(3, 10));
        assert!(more.enforce(None));
        let others = (more.turn().await, more.turn().await);
        assert!(others.0.is_some() && others.1.is_some() && more.turn().await.is_none());
        // Places that were to go are kept when more are agreed again before that.
        more.under(terms(1, 10)).enforce(None);
        more.under(terms(3, 10)).enforce(None);
        drop((only, others));
        let again = (more.turn().await, more.turn().await, more.turn().await);
        assert!(again.0.is_some() && again.1.is_some() && again.2.is_some());
        assert!(more.turn().await.is_none());
    }

    #[tokio::test]
    async fn an_unchanged_rate_goes_on_and_a_changed_one_begins_anew() {
        let old = pace(10, 1);
        assert!(old.turn().await.is_some() && old.turn().await.is_none());
        let (same, other) = (old.under(terms(20, 1)), old.under(terms(10, 2)));
        same.enforce(None);
        assert!(same.turn().await.is_none());
        other.enforce(None);
        assert!(other.turn().await.is_some());
    }

    #[tokio::test]
    async fn a_node_is_held_to_its_part() {
        let whole = PaceTerms { requests_per_second: NonZeroU32::MAX, ..terms(3, 3) };
        let pace = Pace::new(whole);
        assert_eq!(pace.terms().nodes_max(), 3);
        let on_their_way = (pace.turn().await, pace.turn().await, pace.turn().await);
        assert!(on_their_way.0.is_some() && on_their_way.1.is_some() && on_their_way.2.is_some());
        assert!(!pace.enforce(Some(NodePart::at(0, 2))), "three are on their way");
        drop(on_their_way.0);
        assert!(pace.enforce(Some(NodePart::at(0, 2))) && !pace.has_room());
        drop((on_their_way.1, on_their_way.2));
        let two = (pace.turn().await, pace.turn().await);
        assert!(two.0.is_some() && two.1.is_some() && pace.turn().await.is_none());
        drop(two);
        assert!(pace.enforce(Some(NodePart::at(3, 4))) && !pace.has_room());
        assert!(pace.turn().await.is_none(), "it has no part");
        assert!(pace.enforce(Some(NodePart::at(1, 3))) && pace.turn().await.is_some());
    }

    /// What another node has used of the whole just now must not be used again.
    #[tokio::test]
    async fn a_part_of_a_rate_begins_with_nothing() {
        let pace = Pace::new(terms(10, 4));
        for of_nodes in [2, 1, 2] {
            pace.enforce(Some(NodePart::at(0, of_nodes)));
            assert!(pace.has_room() && pace.turn().await.is_none(), "of {of_nodes}");
        }
    }

    /// Whoever waits when a smaller part comes into force goes by that one.
    #[tokio::test]
    async fn who_waits_goes_by_the_rate_in_force() {
        let (rate, wait_max) = (NonZeroU32::new(20).expect("positive"), Duration::from_secs(20));
        let whole = PaceTerms { requests_per_second: rate, wait_max, ..terms(9, 1) };
        let pace = Pace::new(whole);
        drop(pace.turn().await);
        let waits = async { pace.turn().await.is_some() };
        let shrinks = async {
            tokio::task::yield_now().await;
            pace.enforce(Some(NodePart::NONE));
        };
        let (has_passed, ()) = tokio::join!(waits, shrinks);
        assert!(!has_passed);
    }

    #[tokio::test]
    async fn no_more_are_in_flight_than_agreed() {
        let pace = pace(1, 10);
        let first = pace.turn().await;
        assert!(first.is_some() && !pace.has_room());
        assert!(pace.turn().await.is_none());
        drop(first);
        assert!(pace.turn().await.is_some());
    }

    #[tokio::test]
    async fn no_more_leave_in_a_second_than_agreed() {
        let pace = pace(10, 2);
        assert!(pace.turn().await.is_some());
        assert!(pace.turn().await.is_some());
        assert!(pace.turn().await.is_none());
    }
}
