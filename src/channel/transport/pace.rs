//! Holds a channel to its agreed rate and number of requests in flight.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

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

/// The gate that every request to one channel passes.
pub struct Pace {
    terms: PaceTerms,
    rate: Arc<DefaultDirectRateLimiter>,
    /// Shared by all the terms that a channel has had: what is in flight is in flight.
    places: Arc<Places>,
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
        let agreed = terms.in_flight.get() as usize;
        let places = Places {
            free: Semaphore::new(agreed),
            agreed: Mutex::new(agreed),
            surplus: AtomicUsize::new(0),
        };
        Self { rate: Arc::new(limiter(terms)), places: Arc::new(places), terms }
    }

    /// The same gate under other terms, once [`Self::enforce`] is called: what is in flight stays
    /// counted, and an unchanged rate goes on where it is. A changed one begins with a whole burst.
    #[must_use]
    pub fn under(&self, terms: PaceTerms) -> Self {
        let rate = |terms: PaceTerms| (terms.requests_per_second, terms.burst);
        let rate = if rate(terms) == rate(self.terms) {
            Arc::clone(&self.rate)
        } else {
            Arc::new(limiter(terms))
        };
        Self { terms, rate, places: Arc::clone(&self.places) }
    }

    pub const fn terms(&self) -> PaceTerms {
        self.terms
    }

    /// Gives as many places as its terms say.
    pub fn enforce(&self) {
        self.places.resize(self.terms.in_flight.get() as usize);
    }

    /// Waits for a turn, at most `wait_max`; `None` if none came. Hold the turn while in flight.
    pub async fn turn(&self) -> Option<PacePermit<'_>> {
        // The common case takes no timer: there is a place, and the rate allows it.
        if let Ok(permit) = self.places.free.try_acquire() {
            let turn = self.permit(permit);
            if self.rate.check().is_ok() {
                return Some(turn);
            }
        }
        let waiting = async {
            let turn = self.permit(self.places.free.acquire().await.ok()?);
            self.rate.until_ready().await;
            Some(turn)
        };
        tokio::time::timeout(self.terms.wait_max, waiting).await.ok().flatten()
    }

    fn permit<'p>(&'p self, permit: SemaphorePermit<'p>) -> PacePermit<'p> {
        PacePermit { permit: Some(permit), places: &self.places }
    }

    /// Whether a request would find a place at once.
    pub fn has_room(&self) -> bool {
        self.places.free.available_permits() > 0
    }
}

fn limiter(terms: PaceTerms) -> DefaultDirectRateLimiter {
    let quota = Quota::per_second(terms.requests_per_second).allow_burst(terms.burst);
    RateLimiter::direct(quota)
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
        fewer.enforce();
        drop(first);
        assert!(!fewer.has_room() && fewer.turn().await.is_none(), "one is still on its way");
        drop(second);
        let only = fewer.turn().await;
        assert!(only.is_some() && fewer.turn().await.is_none(), "one place is left");
        let more = fewer.under(terms(3, 10));
        more.enforce();
        let others = (more.turn().await, more.turn().await);
        assert!(others.0.is_some() && others.1.is_some() && more.turn().await.is_none());
        // Places that were to go are kept when more are agreed again before that.
        more.under(terms(1, 10)).enforce();
        more.under(terms(3, 10)).enforce();
        drop((only, others));
        let again = (more.turn().await, more.turn().await, more.turn().await);
        assert!(again.0.is_some() && again.1.is_some() && again.2.is_some());
        assert!(more.turn().await.is_none());
    }

    #[tokio::test]
    async fn an_unchanged_rate_goes_on_and_a_changed_one_begins_anew() {
        let old = pace(10, 1);
        assert!(old.turn().await.is_some() && old.turn().await.is_none());
        assert!(old.under(terms(20, 1)).turn().await.is_none());
        assert!(old.under(terms(10, 2)).turn().await.is_some());
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
