//! Order ids from leased segments: unique across nodes and restarts, without a write for each.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;

use crate::domain::ids::OrderId;
use crate::domain::time::{BusinessDate, ClearingCalendar, Present};
use crate::store::{CommitError, Store};

/// How many numbers one lease takes: at 10,000 orders a second, one write a second.
const SEGMENT: u32 = 10_000;

#[derive(Debug, Clone, Copy, Default)]
struct Segment {
    yymmdd: u32,
    next: u64,
    end: u64,
}

/// Gives out order ids of one node. The date is UTC's; it never goes back, even if the clock
/// does, and never runs further ahead than a day of what is borne out.
pub struct OrderNumbers {
    store: Arc<dyn Store>,
    node: u16,
    current: Mutex<Segment>,
    /// One lease at a time: those who wait take from what it brings.
    leasing: tokio::sync::Mutex<()>,
}

impl OrderNumbers {
    /// `node` 0 to 999, another one for each process that shares a store.
    pub fn new(store: Arc<dyn Store>, node: u16) -> Self {
        assert!(node <= 999, "the settings allow nodes 0 to 999");
        let current = Mutex::new(Segment::default());
        Self { store, node, current, leasing: tokio::sync::Mutex::new(()) }
    }

    /// An id that was never given out before.
    pub async fn next(&self, present: &Present) -> Result<OrderId, CommitError> {
        let today = yymmdd(present.today(&utc()));
        // Bounded: a lease is won or waited for in each round, and each brings thousands.
        loop {
            if let Some(id) = self.take(today) {
                return Ok(id);
            }
            let _turn = self.leasing.lock().await;
            if let Some(id) = self.take(today) {
                return Ok(id);
            }
            let day = self.lock().yymmdd.max(today);
            let first = self.store.lease(day, self.node, SEGMENT).await?;
            *self.lock() = Segment { yymmdd: day, next: first, end: first + u64::from(SEGMENT) };
        }
    }

    fn take(&self, today: u32) -> Option<OrderId> {
        let mut segment = self.lock();
        if segment.yymmdd < today || segment.next >= segment.end {
            return None;
        }
        let sequence = segment.next;
        segment.next += 1;
        Some(OrderId::compose(segment.yymmdd, self.node, sequence))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Segment> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calendar of order ids.
const fn utc() -> ClearingCalendar {
    ClearingCalendar { zone: TimeZone::UTC, cut_off: jiff::civil::Time::midnight() }
}

fn yymmdd(date: BusinessDate) -> u32 {
    date.yyyymmdd() % 1_000_000
}

#[cfg(test)]
mod tests;
