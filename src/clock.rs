//! The only place that reads the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// Where the present moment comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock, which may jump either way.
    System,
    /// A clock that follows the runtime's timers, so that paused timers pause it: for simulations.
    Runtime { started: tokio::time::Instant, epoch: Timestamp },
    /// A clock that only its owner moves.
    Manual(Arc<AtomicI64>),
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
        }
    }
}

/// A moment of the machine's steady clock, for measuring how long something took.
pub fn stopwatch() -> Instant {
    Instant::now()
}
