//! The close of a clearing day: from then on its records stand, and their totals with them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::books::clearing::{ClearingRecord, ClearingTotals};
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, ClearingCalendar, Timestamp};

/// A closed clearing day of a channel. Append-only; days are closed in order, and what succeeds
/// later goes to the first day that is still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayClose {
    pub channel: ChannelId,
    pub date: BusinessDate,
    /// By currency, in its order.
    pub totals: Vec<(Currency, ClearingTotals)>,
    /// SHA-256 of the day's records as they are exported as CSV, heading included.
    pub sha256: [u8; 32],
    /// The name of the API key's owner; `switchyard` where the time did it.
    pub by: String,
    pub at: Timestamp,
}

/// How far a channel's clearing days are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClearingDays {
    /// The last closed one.
    pub closed_through: Option<BusinessDate>,
    /// The last day that takes no records any more: it is closed, or is about to be summed up.
    pub shut_through: Option<BusinessDate>,
}

/// The date under which a record is written that belongs to `date`: a late one goes to the first
/// day that still takes records.
pub fn open_date(date: BusinessDate, shut_through: Option<BusinessDate>) -> BusinessDate {
    shut_through.map_or(date, |shut| date.max(shut.next()))
}

/// The last date that may be closed at `now`, so long after its cut-off. With no time after it, the
/// last date that has ended.
pub fn closable_through(
    calendar: &ClearingCalendar,
    close_after: Duration,
    now: Timestamp,
) -> BusinessDate {
    let after_ms = i64::try_from(close_after.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::from_millis(now.as_millis().saturating_sub(after_ms));
    calendar.date_of(before).previous()
}

/// The sums of a day's records, by currency.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DayTotals(BTreeMap<Currency, ClearingTotals>);

impl DayTotals {
    pub fn add(&mut self, records: &[ClearingRecord]) {
        for record in records {
            self.0.entry(record.currency).or_default().add(record);
        }
    }

    /// By currency, in its order.
    pub fn into_list(self) -> Vec<(Currency, ClearingTotals)> {
        self.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil;
    use jiff::tz::TimeZone;

    use super::*;

    fn date(text: &str) -> BusinessDate {
        BusinessDate::parse(text).expect("a date")
    }

    #[test]
    fn what_is_late_goes_to_the_first_open_day() {
        let closed = Some(date("2026-12-31"));
        for (own, closed, expected) in [
            ("2026-12-31", None, "2026-12-31"),
            ("2026-12-31", closed, "2027-01-01"),
            ("2026-11-22", closed, "2027-01-01"),
            ("2027-01-01", closed, "2027-01-01"),
            ("2027-01-02", closed, "2027-01-02"),
        ] {
            assert_eq!(open_date(date(own), closed), date(expected), "{own} {closed:?}");
        }
    }

    #[test]
    fn a_day_may_be_closed_some_time_after_its_cut_off() {
        let zone = TimeZone::get("Asia/Shanghai").expect("the zone is compiled in");
        let calendar = ClearingCalendar { zone, cut_off: civil::time(23, 0, 0, 0) };
        let moment = |text: &str| {
            let moment: jiff::Timestamp = text.parse().expect("RFC 3339");
            Timestamp::from_millis(moment.as_millisecond())
        };
        // The 22nd ends at 15:00 UTC.
        let eight_hours = Duration::from_secs(8 * 3_600);
        for (now, after, expected) in [
            ("2026-11-22T14:59:59.999Z", Duration::ZERO, "2026-11-21"),
            ("2026-11-22T15:00:00Z", Duration::ZERO, "2026-11-22"),
            ("2026-11-22T22:59:59.999Z", eight_hours, "2026-11-21"),
            ("2026-11-22T23:00:00Z", eight_hours, "2026-11-22"),
        ] {
            assert_eq!(closable_through(&calendar, after, moment(now)), date(expected), "{now}");
        }
    }
}
