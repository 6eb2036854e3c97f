//! What a channel was asked in the last 24 hours and what came of it, in slots of five minutes.
//!
//! It is this process's own memory, for people who look at a day: no decision rests on it, and it
//! begins anew with the process. A channel has 288 slots at most, of some hundred bytes each.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::route::health::HealthMark;
use crate::domain::time::Timestamp;

/// The length of a slot.
pub const SLOT_SECONDS: i64 = 300;
const SLOT_MS: i64 = SLOT_SECONDS * 1_000;
/// 24 hours.
const SLOTS_MAX: usize = 24 * 3_600 / SLOT_SECONDS as usize;
/// Requests are counted by the first of these times, in milliseconds, within which they ended.
const WITHIN_MS: [u32; 15] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000];

/// The requests of some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrafficSums {
    /// Carried out by the channel.
    pub done: u64,
    /// Answered properly, with an answer that depended on the card or the order.
    pub answered: u64,
    /// Failed by the channel's own fault.
    pub faults: u64,
    /// Not sent, or of no bearing on the channel. They count in nothing else here.
    pub others: u64,
    took_ms: u64,
    max_ms: u32,
    within: [u32; WITHIN_MS.len()],
}

impl TrafficSums {
    fn count(&mut self, mark: HealthMark, took: Duration) {
        match mark {
            HealthMark::Success => self.done += 1,
            HealthMark::Answered => self.answered += 1,
            HealthMark::Fault => self.faults += 1,
            HealthMark::Nothing => {
                self.others += 1;
                return;
            }
        }
        let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        self.took_ms = self.took_ms.saturating_add(millis.into());
        self.max_ms = self.max_ms.max(millis);
        if let Some(place) = WITHIN_MS.iter().position(|bound| millis <= *bound) {
            self.within[place] = self.within[place].saturating_add(1);
        }
    }

    fn add(&mut self, other: &Self) {
        self.done += other.done;
        self.answered += other.answered;
        self.faults += other.faults;
        self.others += other.others;
        self.took_ms = self.took_ms.saturating_add(other.took_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
        for (sum, more) in self.within.iter_mut().zip(other.within) {
            *sum = sum.saturating_add(more);
        }
    }

    /// Requests that the channel answered for.
    pub const fn requests(&self) -> u64 {
        self.done + self.answered + self.faults
    }

    /// Those that did not fail by the channel's own fault, in millionths; `None` without any.
    pub fn success_rate_ppm(&self) -> Option<u64> {
        let requests = self.requests();
        (requests > 0).then(|| (requests - self.faults) * 1_000_000 / requests)
    }

    pub fn mean_ms(&self) -> Option<u64> {
        self.took_ms.checked_div(self.requests())
    }

    /// A time within which 95 of 100 ended: the bound of a class of times, or the longest of all.
    pub fn p95_ms(&self) -> Option<u32> {
        let requests = self.requests();
        let wanted = (requests * 95).div_ceil(100);
        let mut sum = 0;
        let bound = WITHIN_MS.iter().zip(self.within).find(|(_, count)| {
            sum += u64::from(*count);
            sum >= wanted
        });
        (requests > 0).then(|| bound.map_or(self.max_ms, |(bound, _)| (*bound).min(self.max_ms)))
    }

    /// The longest.
    pub fn max_ms(&self) -> Option<u32> {
        (self.requests() > 0).then_some(self.max_ms)
    }
}

/// Five minutes of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrafficSlot {
    /// Counted from 1970.
    number: i64,
    pub sums: TrafficSums,
}

impl TrafficSlot {
    pub fn begins_at(&self) -> Timestamp {
        Timestamp::from_millis(self.number.saturating_mul(SLOT_MS))
    }
}

/// The last 24 hours of a channel.
#[derive(Debug)]
pub struct Traffic {
    since: Timestamp,
    /// Those in which something was asked, by number.
    slots: Mutex<VecDeque<TrafficSlot>>,
}

impl Traffic {
    pub const fn new(since: Timestamp) -> Self {
        Self { since, slots: Mutex::new(VecDeque::new()) }
    }

    /// From when on it was counted.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// One request: its bearing, and how long it took.
    pub fn count(&self, mark: HealthMark, now: Timestamp, took: Duration) {
        let number = now.as_millis() / SLOT_MS;
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // What a clock that was ahead has counted happened before now, whatever it showed.
        let mut ahead = TrafficSums::default();
        let kept = slots.partition_point(|slot| slot.number <= number);
        slots.drain(kept..).for_each(|slot| ahead.add(&slot.sums));
        if slots.back().is_none_or(|last| last.number < number) {
            slots.push_back(TrafficSlot { number, sums: TrafficSums::default() });
            // By their number alone, a clock a day ahead would end slots that are of this day.
            while slots.len() > SLOTS_MAX {
                slots.pop_front();
            }
        }
        if let Some(slot) = slots.back_mut() {
            slot.sums.add(&ahead);
            slot.sums.count(mark, took);
        }
    }

    /// The slots of the 24 hours before `now` in which something was asked, oldest first.
    pub fn slots(&self, now: Timestamp) -> Vec<TrafficSlot> {
        let number = now.as_millis() / SLOT_MS;
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let first = number - SLOTS_MAX as i64;
        slots.iter().filter(|slot| slot.number > first).copied().collect()
    }
}

/// All of these slots together.
pub fn sum(slots: &[TrafficSlot]) -> TrafficSums {
    let mut sums = TrafficSums::default();
    slots.iter().for_each(|slot| sums.add(&slot.sums));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn requests_are_summed_by_slot_and_a_day_is_kept() {
        let begin = Timestamp::from_millis(SLOT_MS * 1_000_000);
        let traffic = Traffic::new(begin);
        for number in 0..400_u32 {
            let now = begin.plus(Duration::from_secs(300) * number);
            traffic.count(HealthMark::Success, now, 40 * MS);
            traffic.count(HealthMark::Fault, now, 900 * MS);
            traffic.count(HealthMark::Nothing, now, 30_000 * MS);
        }
        let now = begin.plus(Duration::from_secs(300) * 399);
        let slots = traffic.slots(now);
        assert_eq!(slots.len(), 288);
        assert_eq!(slots.last().map(TrafficSlot::begins_at), Some(now));
        let day = sum(&slots);
        assert_eq!((day.requests(), day.others), (2 * 288, 288));
        assert_eq!(day.success_rate_ppm(), Some(500_000));
        assert_eq!((day.mean_ms(), day.p95_ms(), day.max_ms()), (Some(470), Some(900), Some(900)));
        let later = now.plus(Duration::from_secs(12 * 3_600));
        assert_eq!(traffic.slots(later).len(), 144, "the half of a day is over");
    }

    #[test]
    fn without_requests_there_is_no_rate_and_a_clock_set_back_loses_none() {
        let sums = TrafficSums::default();
        assert_eq!((sums.success_rate_ppm(), sums.mean_ms()), (None, None));
        assert_eq!((sums.p95_ms(), sums.max_ms()), (None, None));
        let begin = Timestamp::from_millis(SLOT_MS * 1_000);
        let traffic = Traffic::new(begin);
        traffic.count(HealthMark::Answered, begin, MS);
        traffic.count(HealthMark::Answered, begin.minus(3_600_000 * MS), MS);
        assert_eq!(sum(&traffic.slots(begin)).answered, 2);
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_while_neither_ends_a_day_nor_dates_what_follows() {
        let begin = Timestamp::from_millis(SLOT_MS * 1_000_000);
        let traffic = Traffic::new(begin);
        traffic.count(HealthMark::Success, begin, MS);
        traffic.count(HealthMark::Fault, begin.plus(3 * 86_400_000 * MS), MS);
        let right = begin.plus(600_000 * MS);
        traffic.count(HealthMark::Success, right, MS);
        let slots = traffic.slots(right);
        let sums: Vec<_> =
            slots.iter().map(|slot| (slot.begins_at(), slot.sums.requests())).collect();
        assert_eq!(sums, [(begin, 1), (right, 2)]);
    }

    #[test]
    fn most_requests_ended_within_a_bound() {
        let begin = Timestamp::from_millis(SLOT_MS * 1_000);
        let traffic = Traffic::new(begin);
        for took in 1..=100_u32 {
            traffic.count(HealthMark::Success, begin, MS * took);
        }
        assert_eq!(sum(&traffic.slots(begin)).p95_ms(), Some(100));
        traffic.count(HealthMark::Success, begin, MS * 100_000);
        assert_eq!(sum(&traffic.slots(begin)).max_ms(), Some(100_000));
    }
}
