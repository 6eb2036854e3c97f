//! The only place that reads the time, and that judges how far it is to be believed.
//!
//! A [`Clock`] reads; a [`Timekeeper`] holds what it reads against evidence and gives a
//! [`crate::domain::time::Present`], which is what rules ask.

mod last_seen;
mod lease;
mod shared;
mod timekeeper;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

pub use last_seen::{ClockBaseline, LastSeen};
pub use lease::{LeaseAsked, NodeLease};
pub use shared::{ClockStep, SharedClock};
pub use timekeeper::{ClockStanding, Confirmation, Doubt, HostClock, Timekeeper, Witness};

/// Where readings come from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock, which may jump either way.
    System,
    /// A clock that follows the runtime's timers, so that paused timers pause it: for simulations.
    Runtime { started: tokio::time::Instant, epoch: Timestamp },
    /// A clock that only its owner moves.
    Manual(Arc<AtomicI64>),
    /// Another clock that shows so many milliseconds more, or less, than it should: for drills and
    /// tests of what a wrong clock does. The steady clock beneath it stays right.
    Wrong { of: Box<Clock>, by_ms: Arc<AtomicI64> },
    /// The clock of the store that this node shares with others.
    Shared(Arc<SharedClock>),
}

impl Clock {
    /// A clock that reads `epoch` now and moves with the runtime's timers.
    pub fn runtime(epoch: Timestamp) -> Self {
        Self::Runtime { started: tokio::time::Instant::now(), epoch }
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door of the machine's clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Runtime { started, epoch } => epoch.plus(started.elapsed()),
            Self::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
            Self::Wrong { of, by_ms } => {
                let shown_ms = of.now().as_millis().saturating_add(by_ms.load(Ordering::SeqCst));
                Timestamp::from_millis(shown_ms)
            }
            Self::Shared(clock) => clock.now(),
        }
    }

    /// Milliseconds of the steady clock, counted from a moment of its own: it never jumps, and
    /// stands still while the machine sleeps.
    fn steady_ms(&self) -> i64 {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let millis =
            |elapsed: std::time::Duration| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        match self {
            Self::System => millis(BEGAN.get_or_init(stopwatch).elapsed()),
            Self::Runtime { started, .. } => millis(started.elapsed()),
            Self::Manual(by_hand) => by_hand.load(Ordering::SeqCst),
            Self::Wrong { of, .. } => of.steady_ms(),
            Self::Shared(clock) => clock.machine().steady_ms(),
        }
    }

    /// The machine's clock beneath it.
    fn machine(&self) -> &Self {
        match self {
            Self::Shared(clock) => clock.machine(),
            Self::System | Self::Runtime { .. } | Self::Manual(_) | Self::Wrong { .. } => self,
        }
    }

    /// The moment before a store is asked for its time.
    pub fn asks(&self) -> LeaseAsked {
        LeaseAsked { steady_ms: self.steady_ms(), wall_ms: self.machine().now().as_millis() }
    }
}

/// A moment of the machine's steady clock, for measuring how long something took.
pub fn stopwatch() -> Instant {
    Instant::now()
}
