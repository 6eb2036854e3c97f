//! The channel's date and the clearing day of its cut, computed once a minute.
//!
//! Every order needs both, and a civil date costs more than the rest of a ledger entry. Both change
//! at whole minutes only, so one number holds the last result and the minute for which it is valid.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil;
use jiff::tz::{TimeZone, offset};

use crate::domain::time::{BusinessDate, ClearingCalendar, Timestamp};

const MINUTE_MS: i64 = 60_000;
/// Bits of the date in the number: 9999-12-31 as `YYYYMMDD` needs 27.
const DATE_BITS: u32 = 27;

/// A moment's place in the channel's calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChannelDay {
    /// The civil date in the channel's time zone.
    pub today: BusinessDate,
    /// The day on which the channel settles work of this moment.
    pub settles: BusinessDate,
}

pub(super) struct Calendar {
    clearing: ClearingCalendar,
    /// Minute since 1970, whether it lies after the cut (one bit), and the civil date.
    last: AtomicU64,
}

impl Calendar {
    /// Cut at a whole minute.
    pub fn new(clearing: ClearingCalendar) -> Self {
        Self { clearing, last: AtomicU64::new(0) }
    }

    pub fn day(&self, now: Timestamp) -> ChannelDay {
        let minute = u64::try_from(now.as_millis() / MINUTE_MS).unwrap_or(0);
        let last = self.last.load(Ordering::Relaxed);
        if last >> (DATE_BITS + 1) == minute
            && let Some(day) = unpack(last)
        {
            return day;
        }
        let settles = self.clearing.date_of(now);
        let today = BusinessDate::new(self.civil(now).date());
        let after_cut = u64::from(settles != today);
        let packed = (minute << 1 | after_cut) << DATE_BITS | u64::from(today.yyyymmdd());
        self.last.store(packed, Ordering::Relaxed);
        ChannelDay { today, settles }
    }

    /// The wall clock in the channel's time zone.
    pub fn civil(&self, moment: Timestamp) -> civil::DateTime {
        moment.civil(&self.clearing.zone)
    }
}

/// UnionPay's clearing day ends at 23:00 in Beijing (UTC+8 without summer time since 1991).
pub fn unionpay_calendar() -> ClearingCalendar {
    ClearingCalendar { zone: beijing_zone(), cut_off: civil::time(23, 0, 0, 0) }
}

fn beijing_zone() -> TimeZone {
    TimeZone::fixed(offset(8))
}

/// A cut-off, Beijing time, that is more than eleven hours away in both directions: for runs on the
/// machine's clock whose clearing day must not end before they do.
pub fn cut_off_far_from(now: Timestamp) -> civil::Time {
    let hour = now.civil(&beijing_zone()).hour();
    civil::time((hour + 12) % 24, 0, 0, 0)
}

fn unpack(packed: u64) -> Option<ChannelDay> {
    let number = u32::try_from(packed & ((1 << DATE_BITS) - 1)).ok()?;
    let today = BusinessDate::from_yyyymmdd(number)?;
    let after_cut = packed >> DATE_BITS & 1 == 1;
    let settles = if after_cut { today.civil().tomorrow().ok()? } else { today.civil() };
    Some(ChannelDay { today, settles: BusinessDate::new(settles) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beijing(cut_off: civil::Time) -> Calendar {
        Calendar::new(ClearingCalendar { cut_off, ..unionpay_calendar() })
    }

    #[test]
    fn a_far_cut_off_leaves_eleven_hours_on_both_sides() {
        const HOUR_MS: i64 = 3_600_000;
        for minute in 0..24 * 60 {
            let now = 20_779_i64 * 86_400_000 + minute * MINUTE_MS;
            let calendar = beijing(cut_off_far_from(Timestamp::from_millis(now)));
            let settles = |millis| calendar.day(Timestamp::from_millis(millis)).settles;
            assert_eq!(settles(now), settles(now + 11 * HOUR_MS), "{minute}");
            assert_eq!(settles(now), settles(now - 11 * HOUR_MS), "{minute}");
            assert_ne!(settles(now), settles(now + 12 * HOUR_MS), "{minute}");
        }
    }

    #[test]
    fn the_answer_is_the_same_from_memory_and_changes_at_the_cut() {
        let calendar = Calendar::new(unionpay_calendar());
        // 2026-11-22 is the 20,779th day since 1970; 15:00 UTC is 23:00 in Beijing.
        let cut = 20_779_i64 * 86_400_000 + 15 * 3_600_000;
        let rows = [
            (cut - 1, "2026-11-22", "2026-11-22"),
            (cut, "2026-11-22", "2026-11-23"),
            (cut + 3_599_999, "2026-11-22", "2026-11-23"),
            (cut + 3_600_000, "2026-11-23", "2026-11-23"),
        ];
        for (millis, today, settles) in rows {
            for _ in 0..2 {
                let day = calendar.day(Timestamp::from_millis(millis));
                assert_eq!(day.today.to_string(), today, "{millis}");
                assert_eq!(day.settles.to_string(), settles, "{millis}");
            }
        }
        let calendar = beijing(civil::Time::midnight());
        for (millis, today, _) in rows {
            let day = calendar.day(Timestamp::from_millis(millis));
            assert_eq!((day.today.to_string(), day.settles), (today.to_owned(), day.today));
        }
    }
}
