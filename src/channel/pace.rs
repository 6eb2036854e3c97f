//! Holds a channel to its agreed rate and number of requests in flight.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

/// What was agreed about a channel's load.
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
    rate: DefaultDirectRateLimiter,
    in_flight: Semaphore,
    wait_max: Duration,
}

impl Pace {
    pub fn new(terms: PaceTerms) -> Self {
        let quota = Quota::per_second(terms.requests_per_second).allow_burst(terms.burst);
        Self {
            rate: RateLimiter::direct(quota),
            in_flight: Semaphore::new(terms.in_flight.get() as usize),
            wait_max: terms.wait_max,
        }
    }

    /// Waits for a turn, at most `wait_max`; `None` if none came. Hold the turn while in flight.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The common case takes no timer: there is a place, and the rate allows it.
        if let Ok(permit) = self.in_flight.try_acquire()
            && self.rate.check().is_ok()
        {
            return Some(permit);
        }
        let waiting = async {
            let permit = self.in_flight.acquire().await.ok()?;
            self.rate.until_ready().await;
            Some(permit)
        };
        tokio::time::timeout(self.wait_max, waiting).await.ok().flatten()
    }

    /// Whether a request would find a place at once.
    pub fn has_room(&self) -> bool {
        self.in_flight.available_permits() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(in_flight: u32, burst: u32) -> Pace {
        let number = |n| NonZeroU32::new(n).expect("positive");
        Pace::new(PaceTerms {
            requests_per_second: number(1),
            burst: number(burst),
            in_flight: number(in_flight),
            wait_max: Duration::from_millis(20),
        })
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
