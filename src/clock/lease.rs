//! How long a node may act on its lease of the books, by its own clocks.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// A node's lease of the books, as this process counts it.
///
/// It is counted from before the store was asked for it, by the steady clock and by the machine's:
/// the steady one never jumps and stands still while the machine sleeps, the other one goes on.
/// Whichever went further counts.
#[derive(Debug)]
pub struct NodeLease {
    clock: Clock,
    steady_end_ms: AtomicI64,
    wall_end_ms: AtomicI64,
}

/// The moment before a store was asked for a lease, or for its time.
#[derive(Debug, Clone, Copy)]
pub struct LeaseAsked {
    pub(super) steady_ms: i64,
    pub(super) wall_ms: i64,
}

impl NodeLease {
    /// A lease that is not in force before it was renewed for the first time.
    pub(super) const fn by(clock: Clock) -> Self {
        let (steady_end_ms, wall_end_ms) = (AtomicI64::new(i64::MIN), AtomicI64::new(i64::MIN));
        Self { clock, steady_end_ms, wall_end_ms }
    }

    /// Now, before the store is asked.
    pub fn asks(&self) -> LeaseAsked {
        self.clock.asks()
    }

    /// The store has granted what was asked for then: it is acted on for so long.
    pub fn renewed(&self, asked: LeaseAsked, acts_for: Duration) {
        let millis = i64::try_from(acts_for.as_millis()).unwrap_or(i64::MAX);
        self.steady_end_ms.store(asked.steady_ms.saturating_add(millis), Ordering::Release);
        self.wall_end_ms.store(asked.wall_ms.saturating_add(millis), Ordering::Release);
    }

    /// Whether this process may act for the books now.
    pub fn is_in_force(&self) -> bool {
        let now = self.asks();
        now.steady_ms < self.steady_end_ms.load(Ordering::Acquire)
            && now.wall_ms < self.wall_end_ms.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Timekeeper;
    use crate::domain::time::Timestamp;

    const EIGHT: Duration = Duration::from_secs(8);

    #[test]
    fn a_lease_ends_by_itself_and_counts_from_before_it_was_asked_for() {
        let millis = Arc::new(AtomicI64::new(1_000));
        let lease = NodeLease::by(Clock::Manual(Arc::clone(&millis)));
        assert!(!lease.is_in_force(), "nobody has granted it");
        let asked = lease.asks();
        millis.store(4_000, Ordering::SeqCst);
        lease.renewed(asked, EIGHT);
        millis.store(8_999, Ordering::SeqCst);
        assert!(lease.is_in_force());
        millis.store(9_000, Ordering::SeqCst);
        assert!(!lease.is_in_force());
        lease.renewed(lease.asks(), EIGHT);
        assert!(lease.is_in_force());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_of_the_machine_ends_it_although_the_steady_clock_stood_still() {
        let by_ms = Arc::new(AtomicI64::new(0));
        let of = Box::new(Clock::runtime(Timestamp::from_millis(1_795_358_400_000)));
        let lease = NodeLease::by(Clock::Wrong { of, by_ms: Arc::clone(&by_ms) });
        lease.renewed(lease.asks(), EIGHT);
        by_ms.store(8_000, Ordering::SeqCst);
        assert!(!lease.is_in_force());
        // A clock that is set back prolongs nothing.
        lease.renewed(lease.asks(), EIGHT);
        by_ms.store(0, Ordering::SeqCst);
        tokio::time::advance(EIGHT).await;
        assert!(!lease.is_in_force());
    }

    #[test]
    fn a_process_acts_without_a_lease_until_one_begins() {
        let keeper: Timekeeper = Clock::Manual(Arc::new(AtomicI64::new(1_000))).into();
        assert!(keeper.may_act() && keeper.lease().is_none());
        let copy = keeper.clone();
        keeper.begin_lease();
        assert!(!copy.may_act());
        let lease = copy.lease().expect("it has begun");
        lease.renewed(lease.asks(), EIGHT);
        assert!(keeper.may_act());
    }
}
