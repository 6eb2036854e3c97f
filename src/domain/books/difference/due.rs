//! Until when a difference is carried over.

use std::time::Duration;

use jiff::Span;
use jiff::civil;

use crate::domain::time::{BusinessDate, ClearingCalendar, Timestamp};

/// The most days that a channel file can have a difference carried for.
pub const CARRY_DAYS_MAX: u16 = 31;
/// Longer than any difference is carried: so many days, its own and the one on which its last ends,
/// of a clearing date that lies ten days ahead at most, and a day for a clock not borne out.
pub const LONGEST_CARRIED: Duration = Duration::from_secs(45 * 24 * 60 * 60);

/// The date so many days later; the last one of the calendar if there is none.
pub fn days_after(date: BusinessDate, days: u16) -> BusinessDate {
    let later = date.civil().checked_add(Span::new().days(i64::from(days)));
    BusinessDate::new(later.unwrap_or(civil::Date::MAX))
}

/// The date so many days earlier; the first one of the calendar if there is none.
pub fn days_before(date: BusinessDate, days: u16) -> BusinessDate {
    let earlier = date.civil().checked_sub(Span::new().days(i64::from(days)));
    BusinessDate::new(earlier.unwrap_or(civil::Date::MIN))
}

/// The end of the last clearing day on which a difference of `date` still waits for statements.
pub fn carried_until(calendar: &ClearingCalendar, date: BusinessDate, days: u16) -> Timestamp {
    let last = days_after(date, days).civil();
    let midnight = calendar.cut_off == civil::Time::midnight();
    let day = if midnight { last.tomorrow().unwrap_or(last) } else { last };
    let end = day.to_datetime(calendar.cut_off).to_zoned(calendar.zone.clone());
    let millis = end.map_or(i64::MAX, |end| end.timestamp().as_millisecond());
    Timestamp::from_millis(millis)
}
