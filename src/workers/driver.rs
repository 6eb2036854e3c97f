//! Drives a worker: rounds by timer and by signal, until a stop is asked for.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use crate::clock::{Timekeeper, stopwatch};
use crate::telemetry;
use crate::telemetry::workers::WorkerReport;
use crate::workers::StopSignal;

/// Work that is done in rounds.
pub trait Worker: Send + 'static {
    /// One word for logs, metrics and the API.
    const NAME: &'static str;
    /// Whether the first round is at the start; else the timer begins it.
    const AT_START: bool = true;

    /// Looks once for what is due, in bounded pages, and works it, or starts tasks that do. Gives
    /// how many rows that were. A round never stops at one failure: that row is due again later.
    fn round(&mut self, tasks: &mut Tasks) -> impl Future<Output = usize> + Send;

    /// Returns when the next round is due before its time. Dropped and called again at will.
    fn signal(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Ends the worker after its last round: the tasks in flight finish.
    fn end(&mut self, tasks: Tasks) -> impl Future<Output = ()> + Send {
        tasks.finish()
    }
}

/// The tasks that a worker's rounds have in flight, and the report of its failures.
pub struct Tasks {
    running: JoinSet<Result<(), String>>,
    report: Arc<WorkerReport>,
    clock: Timekeeper,
    stop: StopSignal,
    /// Whether something has failed since the round began.
    has_failed: bool,
    /// What the log says of rounds that go on failing.
    logged: Option<String>,
}

impl Tasks {
    /// Works a row in a task of its own. The task logs its own error.
    pub fn spawn(&mut self, work: impl Future<Output = Result<(), String>> + Send + 'static) {
        self.running.spawn(work);
    }

    /// Whether the round should end early.
    pub fn is_stop_requested(&self) -> bool {
        self.stop.is_requested()
    }

    /// Logs a failure, once while it lasts, and reports it.
    pub fn fail(&mut self, what: &'static str, error: &dyn Error) {
        let error = telemetry::chain(error);
        if self.is_news(&error) {
            tracing::error!(worker = self.report.name, error, "{what}");
        }
        self.report(error);
    }

    /// Whether a failure is another one than the last rounds had.
    fn is_news(&mut self, error: &str) -> bool {
        let is_news = self.logged.as_deref() != Some(error);
        self.logged = Some(error.to_owned());
        is_news
    }

    /// Reports a failure that is in the log.
    pub fn report(&mut self, error: String) {
        self.has_failed = true;
        self.report.failed(self.clock.now(), error);
    }

    /// Takes the results of tasks that have ended; a panic in one ends that one alone.
    fn record_end(&mut self, ended: Result<Result<(), String>, JoinError>) {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.report(error),
            Err(error) if error.is_panic() => {
                tracing::error!(
                    worker = self.report.name,
                    "a task of a worker has panicked; its row is due again later"
                );
                self.report("a task has panicked".to_owned());
            }
            Err(_) => {}
        }
    }

    /// Waits for the tasks in flight.
    pub async fn finish(mut self) {
        while let Some(ended) = self.running.join_next().await {
            self.record_end(ended);
        }
    }

    /// Cuts the tasks in flight off: the next start finds their rows.
    pub async fn cut_off(mut self) {
        self.running.shutdown().await;
    }
}

/// Runs a worker until a stop is asked for. `every`: the longest pause between two rounds; without
/// one its signal alone brings them.
pub async fn drive<W: Worker>(
    mut worker: W,
    every: Option<Duration>,
    report: Arc<WorkerReport>,
    clock: Timekeeper,
    stop: StopSignal,
) {
    let mut stopped = stop.clone();
    let running = JoinSet::new();
    let mut tasks = Tasks { running, report, clock, stop, has_failed: false, logged: None };
    let mut is_due = W::AT_START;
    while !tasks.is_stop_requested() {
        if is_due {
            one_round(&mut worker, &mut tasks).await;
        }
        is_due = true;
        tasks.report.waits_until(every.map(|every| tasks.clock.now().plus(every)));
        let timer = async {
            match every {
                Some(every) => tokio::time::sleep(every).await,
                None => std::future::pending().await,
            }
        };
        // Signals that came during the round count.
        tokio::select! {
            biased;
            () = stopped.requested() => {}
            () = worker.signal() => {}
            () = timer => {}
        }
    }
    worker.end(tasks).await;
}

async fn one_round(worker: &mut impl Worker, tasks: &mut Tasks) {
    let began = stopwatch();
    tasks.report.begins(tasks.clock.now());
    tasks.has_failed = false;
    while let Some(ended) = tasks.running.try_join_next() {
        tasks.record_end(ended);
    }
    let rows = worker.round(tasks).await;
    if !tasks.has_failed {
        tasks.logged = None;
    }
    tasks.report.ends(tasks.clock.now(), rows, began.elapsed(), !tasks.has_failed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    struct Failing(&'static [Option<&'static str>]);

    impl Worker for Failing {
        const NAME: &'static str = "failing";

        async fn round(&mut self, tasks: &mut Tasks) -> usize {
            let Some((now, later)) = self.0.split_first() else { return 0 };
            self.0 = later;
            if let Some(error) = now {
                let is_news = tasks.is_news(error);
                tasks.report((*error).to_owned());
                return usize::from(is_news);
            }
            0
        }
    }

    #[tokio::test]
    async fn a_failure_that_lasts_is_logged_once() {
        const AWAY: Option<&str> = Some("the database is away");
        let report = WorkerReport::new(Failing::NAME);
        let (_ask, stop) = StopSignal::new();
        let (clock, running) = (Clock::System.into(), JoinSet::new());
        let mut tasks = Tasks { running, report, clock, stop, has_failed: false, logged: None };
        let mut worker = Failing(&[AWAY, AWAY, Some("another one"), AWAY, None, AWAY]);
        let mut logged = Vec::new();
        for _ in 0..6 {
            one_round(&mut worker, &mut tasks).await;
            logged.push(tasks.report.round().rows);
        }
        assert_eq!(logged, [1, 0, 1, 1, 0, 1]);
    }
}
