//! The state that a running simulator's connections, delayed work and notices share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use crate::domain::time::Timestamp;

use super::agreements::AgreementBook;
use super::faults::{Counters, Faults, Repeats, RequestPlan};
use super::ledger::Ledger;
use super::settings::SimulatorSettings;

/// Posts of notices that are under way at one time.
const POSTS_MAX: usize = 64;

pub(super) struct SimulatorState {
    pub settings: SimulatorSettings,
    pub ledger: Ledger,
    pub agreements: AgreementBook,
    pub counters: Counters,
    pub client: reqwest::Client,
    pub posts: Semaphore,
    faults: ArcSwap<Faults>,
    repeats: Repeats,
    stop: watch::Receiver<bool>,
    notices_waiting: AtomicUsize,
}

impl SimulatorState {
    pub fn new(
        settings: SimulatorSettings,
        client: reqwest::Client,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            ledger: Ledger::new(settings.fee_rate_ppm, settings.late_arrivals)
                .with_calendar(settings.calendar.clone())
                .with_refund_fees_kept(settings.keeps_refund_fees),
            agreements: AgreementBook::default(),
            counters: Counters::default(),
            client,
            posts: Semaphore::new(POSTS_MAX),
            faults: ArcSwap::from_pointee(settings.faults),
            repeats: Repeats::default(),
            stop,
            notices_waiting: AtomicUsize::new(0),
            settings,
        }
    }

    pub fn now(&self) -> Timestamp {
        (self.settings.clock)()
    }

    pub fn faults(&self) -> Faults {
        **self.faults.load()
    }

    pub fn set_faults(&self, faults: Faults) {
        self.faults.store(std::sync::Arc::new(faults));
    }

    pub fn plan(&self, operation: &str, order_no: &str) -> RequestPlan {
        self.repeats.plan(&self.faults.load(), self.settings.seed, operation, order_no)
    }

    /// How many plans there were for `operation` of this order number; calm times draw none.
    pub fn times_asked(&self, operation: &str, order_no: &str) -> u32 {
        self.repeats.times(self.settings.seed, operation, order_no)
    }

    /// Returns when the simulator is told to stop, or dropped.
    pub async fn stopped(&self) {
        // An error means that the handle is gone, which also means stop.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// Waits; returns whether the whole time passed before the simulator was stopped.
    pub async fn sleep(&self, duration: Duration) -> bool {
        if duration.is_zero() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(duration) => true,
            () = self.stopped() => false,
        }
    }

    pub fn notices_waiting(&self) -> usize {
        self.notices_waiting.load(Ordering::Acquire)
    }

    pub fn begin_notice(&self) {
        self.notices_waiting.fetch_add(1, Ordering::AcqRel);
    }

    pub fn end_notice(&self) {
        self.notices_waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
