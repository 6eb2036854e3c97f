//! What each worker's rounds come to, for operators and for metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::domain::time::Timestamp;
use crate::telemetry::seconds_of;

/// What failed last, of a worker's round or of a row that it worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFailure {
    pub at: Timestamp,
    pub error: String,
}

/// A worker's last round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerRound {
    /// `None` before the first round.
    pub began_at: Option<Timestamp>,
    /// `None` while the first round goes on; else when the last one ended.
    pub ended_at: Option<Timestamp>,
    /// How many rows the last round that has ended worked, or began to work.
    pub rows: usize,
    /// When the next one is due by the timer; a signal may bring it earlier.
    pub next_at: Option<Timestamp>,
    /// Failures since the start of the process.
    pub failures: u64,
    pub last_failure: Option<WorkerFailure>,
}

/// The rounds of one worker.
#[derive(Debug)]
pub struct WorkerReport {
    /// One word for logs, metrics and the API.
    pub name: &'static str,
    round: Mutex<WorkerRound>,
}

impl WorkerReport {
    /// The report of a worker that has done nothing yet.
    pub fn new(name: &'static str) -> Arc<Self> {
        counter!("switchyard_worker_rows_total", "worker" => name).increment(0);
        counter!("switchyard_worker_failures_total", "worker" => name).increment(0);
        Arc::new(Self { name, round: Mutex::default() })
    }

    pub fn round(&self) -> WorkerRound {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, WorkerRound> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn waits_until(&self, next_at: Option<Timestamp>) {
        self.lock().next_at = next_at;
    }

    pub fn begins(&self, now: Timestamp) {
        let is_first = self.lock().began_at.replace(now).is_none();
        if is_first {
            // A worker that never has a good round is found by the age of its first one.
            self.gauge_success(now);
        }
    }

    fn gauge_success(&self, at: Timestamp) {
        gauge!("switchyard_worker_last_success_seconds", "worker" => self.name).set(seconds_of(at));
    }

    /// A round has ended, after this long; `is_success` where nothing failed in it.
    pub fn ends(&self, now: Timestamp, rows: usize, lasted: Duration, is_success: bool) {
        {
            let mut round = self.lock();
            (round.ended_at, round.rows) = (Some(now), rows);
        }
        let worker = self.name;
        histogram!("switchyard_worker_round_seconds", "worker" => worker).record(lasted);
        counter!("switchyard_worker_rows_total", "worker" => worker).increment(rows as u64);
        if is_success {
            self.gauge_success(now);
        }
    }

    pub fn failed(&self, at: Timestamp, error: String) {
        counter!("switchyard_worker_failures_total", "worker" => self.name).increment(1);
        let mut round = self.lock();
        round.failures += 1;
        round.last_failure = Some(WorkerFailure { at, error });
    }
}

/// The reports of all workers that this process has started.
#[derive(Debug, Default)]
pub struct WorkerReports(Mutex<Vec<Arc<WorkerReport>>>);

impl WorkerReports {
    pub fn add(&self, report: Arc<WorkerReport>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }

    /// In the order in which they were started.
    pub fn all(&self) -> Vec<Arc<WorkerReport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
