//! Order ids from leased ranges: unique across nodes and restarts, without a write for each.
//!
//! What was leased is in the books. Where the books may be older than the world (a restored backup,
//! a copy), numbers leap over all that may have been given out by now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::domain::effect::Alert;
use crate::domain::ids::{ChannelId, ChannelOrderNo, ORDERS_PER_SECOND_MAX, OrderId};
use crate::domain::time::{BusinessDate, ClearingCalendar, Present, Timestamp};
use crate::engine::{Engine, EngineError};
use crate::store::{CommitError, Store};
use crate::telemetry;

/// How many numbers one lease takes: at 10,000 orders a second, one write a second.
const RANGE: u32 = 10_000;
/// How far another machine's clock may have been ahead of ours when it gave out numbers.
const AHEAD: Duration = Duration::from_secs(60 * 60);
const DAY_S: u64 = 86_400;
/// The oldest backup whose every day since is passed over, in days.
const LEAP_DAYS_MAX: u32 = 1_000;

#[derive(Debug, Clone, Copy, Default)]
struct NumberRange {
    yymmdd: u32,
    next: u64,
    end: u64,
}

/// Gives out order ids of one node. The date is UTC's; the date never goes back, even if the clock
/// does, and is never more than a day ahead of the date that is borne out.
pub struct OrderNumbers {
    store: Arc<dyn Store>,
    node: u16,
    current: Mutex<NumberRange>,
    /// One lease at a time: the calls that wait take from what it brings.
    leasing: tokio::sync::Mutex<()>,
}

impl OrderNumbers {
    /// `node` 0 to 999, another one for each process that shares a store.
    pub fn new(store: Arc<dyn Store>, node: u16) -> Self {
        assert!(node <= 999, "the settings allow nodes 0 to 999");
        let current = Mutex::new(NumberRange::default());
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
            let first = self.store.lease(day, self.node, RANGE).await?;
            *self.lock() = NumberRange { yymmdd: day, next: first, end: first + u64::from(RANGE) };
        }
    }

    /// Passes over every number that may have been given out by now at so many a second, on a
    /// machine whose clock was an hour ahead at most. Done twice it passes over no more.
    ///
    /// The days between what the books bear out and what the clock says may be the next ids' days.
    pub async fn leap(&self, present: &Present, per_second: u32) -> Result<(), CommitError> {
        let until = present.now().plus(AHEAD);
        let last = utc().date_of(until);
        let per_second = u64::from(per_second.min(ORDERS_PER_SECOND_MAX));
        let mut date = present.today(&utc()).min(utc().date_of(present.now()));
        for _ in 0..LEAP_DAYS_MAX {
            if date >= last {
                break;
            }
            self.leap_to(yymmdd(date), DAY_S * per_second).await?;
            date = date.next();
        }
        self.leap_to(yymmdd(last), second_of_day(until) * per_second).await
    }

    /// Passes over this number, if it may have been given out by now and could be again.
    pub async fn pass(&self, number: OrderId, now: Timestamp) -> Result<(), CommitError> {
        let (day, sequence) = (number.yymmdd(), number.sequence());
        let until = now.plus(AHEAD);
        let seconds = match day {
            day if day == day_of(until) => second_of_day(until),
            day if day == day_of(now) => DAY_S,
            // Numbers of past days are not given out any more.
            _ => return Ok(()),
        };
        let is_passed = {
            let range = self.lock();
            (range.yymmdd, range.next) > (day, sequence)
        };
        if is_passed || sequence > seconds * u64::from(ORDERS_PER_SECOND_MAX) {
            return Ok(());
        }
        self.leap_to(day, sequence).await
    }

    /// Whether a number was made by this node, or would be by one that works as this node.
    pub fn are_of_this_node(&self, number: OrderId, now: Timestamp) -> bool {
        number.node() == self.node && number.yymmdd() <= day_of(now.plus(AHEAD))
    }

    /// From here on a day's numbers are above `last`.
    async fn leap_to(&self, day: u32, last: u64) -> Result<(), CommitError> {
        let _turn = self.leasing.lock().await;
        let given = self.store.lease(day, self.node, 1).await?;
        let mut left = last.saturating_sub(given);
        while left > 0 {
            let step = u32::try_from(left).unwrap_or(u32::MAX);
            self.store.lease(day, self.node, step).await?;
            left -= u64::from(step);
        }
        let mut range = self.lock();
        if range.yymmdd == day {
            range.end = range.next;
        }
        Ok(())
    }

    fn take(&self, today: u32) -> Option<OrderId> {
        let mut range = self.lock();
        if range.yymmdd < today || range.next >= range.end {
            return None;
        }
        let sequence = range.next;
        range.next += 1;
        Some(OrderId::compose(range.yymmdd, self.node, sequence))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, NumberRange> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id before all that this and other nodes give out from the UTC day of a moment on.
pub fn before_day_of(moment: Timestamp) -> OrderId {
    OrderId::compose(yymmdd(utc().date_of(moment)), 0, 0)
}

/// The id that comes before all ids of the day so many days before `newest`'s.
pub fn days_before(newest: OrderId, days: u32) -> OrderId {
    let day = BusinessDate::from_yyyymmdd(20_000_000 + newest.yymmdd());
    let first = (0..days).fold(day, |day, _| day.map(BusinessDate::previous));
    first.map_or(newest, |day| OrderId::compose(yymmdd(day), 0, 0))
}

/// An id some `count` numbers before `newest`, and of its day. A
/// restart leaves the rest of a range unused, so it goes one range further.
pub fn recent(newest: OrderId, count: u32) -> OrderId {
    let sequence = newest.as_u64() % OrderId::compose(0, 1, 0).as_u64();
    let back = u64::from(count + RANGE).min(sequence);
    OrderId::from_u64(newest.as_u64() - back)
}

/// The calendar of order ids.
const fn utc() -> ClearingCalendar {
    ClearingCalendar { zone: TimeZone::UTC, cut_off: jiff::civil::Time::midnight() }
}

/// The seconds of the day in UTC that have begun.
fn second_of_day(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis() / 1_000).unwrap_or(0) % DAY_S + 1
}

/// The date that numbers made at this moment have, as `YYMMDD`.
pub(super) fn day_of(at: Timestamp) -> u32 {
    yymmdd(utc().date_of(at))
}

fn yymmdd(date: BusinessDate) -> u32 {
    date.yyyymmdd() % 1_000_000
}

impl Engine {
    /// Passes over every number that may have been given out by now, `per_second` of them in each
    /// second of the day: these books do not know of them.
    pub async fn leap_numbers(&self, per_second: u32) -> Result<(), EngineError> {
        let leapt = self.numbers.leap(&self.clock.present(), per_second).await;
        leapt.map_err(|error| self.commit_error(&error))
    }

    /// A trusted message names a number that is not in the books. If this node made the number, the
    /// books are older than the world: an alert is raised, and the number is not given out again.
    pub async fn report_foreign_number(
        &self,
        number: ChannelOrderNo,
        channel: &ChannelId,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        if !self.numbers.are_of_this_node(number.order, now) {
            return Ok(());
        }
        let what = Alert::BooksBehind;
        telemetry::count_alert(what);
        tracing::error!(
            channel.name = %channel, channel.order_no = %number, alert = what.name(),
            "{}", what.meaning()
        );
        let passed = self.numbers.pass(number.order, now).await;
        passed.map_err(|error| self.commit_error(&error))
    }
}

#[cfg(test)]
mod tests;
