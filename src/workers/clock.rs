//! Looks at the clock: follows what bears it out, says when it is doubted, and keeps the last
//! moment of the books for the next start.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clock::{ClockStanding, Doubt, Timekeeper, stopwatch};
use crate::domain::time::Timestamp;
use crate::telemetry;
use crate::workers::driver::{Tasks, Worker};

pub const EVERY: Duration = Duration::from_secs(1);
/// How old the kept moment may become: a start after a crash lags behind by as much.
const KEPT_EVERY: Duration = Duration::from_secs(10);
/// A step of the clock that is worth a line in the log, in milliseconds.
const STEP_MS: i64 = 2_000;

/// The result of a look at the clock.
struct Sighting {
    doubt: Option<Doubt>,
    clock: Timestamp,
    at: Instant,
}

/// Looks at the clock; the moment of the stop is kept.
pub struct ClockWorker {
    clock: Timekeeper,
    data: PathBuf,
    kept_at: Option<Instant>,
    before: Option<Sighting>,
}

impl ClockWorker {
    pub const fn new(clock: Timekeeper, data: PathBuf) -> Self {
        Self { clock, data, kept_at: None, before: None }
    }
}

impl Worker for ClockWorker {
    const NAME: &'static str = "clock";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        let sighting = look(&self.clock, self.before.as_ref());
        let changed = self.before.as_ref().is_none_or(|old| old.doubt != sighting.doubt);
        self.before = Some(sighting);
        if !changed && self.kept_at.is_some_and(|at| at.elapsed() < KEPT_EVERY) {
            return 0;
        }
        keep(&self.clock, &self.data, tasks).await;
        self.kept_at = Some(stopwatch());
        1
    }

    async fn end(&mut self, mut tasks: Tasks) {
        keep(&self.clock, &self.data, &mut tasks).await;
    }
}

fn look(clock: &Timekeeper, before: Option<&Sighting>) -> Sighting {
    let standing = clock.look();
    let lead_ms = standing.clock.as_millis() - standing.present.proven().as_millis();
    telemetry::gauge_clock(lead_ms, standing.doubt.is_some());
    let at = stopwatch();
    if let Some(before) = before {
        let passed = before.clock.plus(at.duration_since(before.at));
        let by_ms = standing.clock.as_millis() - passed.as_millis();
        if by_ms.abs() > STEP_MS {
            tracing::warn!(by_ms, "the clock jumped; what is sent ages by the steady clock");
        }
    }
    if before.map(|before| before.doubt) != Some(standing.doubt) {
        log_standing(&standing, before.is_none());
    }
    Sighting { doubt: standing.doubt, clock: standing.clock, at }
}

fn log_standing(standing: &ClockStanding, is_first: bool) {
    let clock = standing.clock.rfc3339();
    let borne_out = standing.present.proven().rfc3339();
    match standing.doubt {
        None if is_first => {}
        None => tracing::info!(clock, borne_out, "the clock is borne out again"),
        Some(Doubt::Ahead) => tracing::error!(
            clock,
            borne_out,
            "the clock is ahead of what is borne out: no day is closed and nothing comes of age by \
             it until channels' dates bear it out, it is set right, or an operator confirms it"
        ),
        Some(Doubt::Behind) => tracing::error!(
            clock,
            borne_out,
            "the clock is behind what was borne out: time goes on from there until a channel's \
             date agrees with the clock, it is set right, or an operator confirms it"
        ),
        Some(Doubt::Contradicted) => tracing::error!(
            clock,
            borne_out,
            "channels' dates are earlier than the clock: no day is closed and nothing comes of age \
             beyond them until others agree with it, it is set right, or an operator confirms it"
        ),
    }
}

async fn keep(clock: &Timekeeper, data: &Path, tasks: &mut Tasks) {
    let (last, data) = (clock.last_seen(), data.to_owned());
    let written = tokio::task::spawn_blocking(move || last.write(&data)).await;
    if let Ok(Err(error)) = written {
        tasks.fail("the last moment of the books is not kept; a start will lag", &error);
    }
}
