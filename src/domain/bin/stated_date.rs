//! A date as precisely as a source states it: a year, a month or a day.

use std::fmt;

use jiff::civil;
use jiff::tz::TimeZone;

use crate::domain::time::{BusinessDate, Timestamp};

/// `2018`, `2018-06` or `2018-06-30`, of the years 1000 to 9999. Sorts like its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatedDate {
    year: i16,
    /// 0 where only a year is stated.
    month: i8,
    /// 0 where no day is stated.
    day: i8,
}

impl StatedDate {
    /// Reads `YYYY`, `YYYY-MM` or `YYYY-MM-DD`; `None` for anything else, and for a day that no
    /// calendar has.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut next = |width: usize| match parts.next() {
            None => Some(0),
            Some(part) => {
                let is_number = part.len() == width && part.bytes().all(|b| b.is_ascii_digit());
                part.parse::<i16>().ok().filter(|number| is_number && *number > 0)
            }
        };
        let (year, month, day) = (next(4)?, next(2)?, next(2)?);
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        civil::Date::new(year, month.max(1), day.max(1)).ok()?;
        (parts.next().is_none() && year >= 1_000).then_some(Self { year, month, day })
    }

    /// The day, in UTC, of a moment.
    pub fn of(moment: Timestamp) -> Self {
        let date = moment.civil(&TimeZone::UTC).date();
        Self { year: date.year(), month: date.month(), day: date.day() }
    }

    /// The first day that it can mean.
    pub fn first_day(self) -> BusinessDate {
        let date = civil::Date::new(self.year, self.month.max(1), self.day.max(1));
        BusinessDate::new(date.expect("the constructors keep it inside the calendar"))
    }

    /// Whole days, in UTC, since the first day that it can mean; 0 where that lies ahead.
    pub fn age_days(self, now: Timestamp) -> u32 {
        let days = self.first_day().days_until(Self::of(now).first_day());
        u32::try_from(days).unwrap_or(0)
    }

    /// Whether it lies behind `other`, however precise both are.
    pub fn is_after(self, other: Self) -> bool {
        let stated = |mine: i8, others: i8| (mine > 0 && others > 0).then_some((mine, others));
        let parts = [
            Some((i32::from(self.year), i32::from(other.year))),
            stated(self.month, other.month).map(|(one, two)| (one.into(), two.into())),
            stated(self.day, other.day).map(|(one, two)| (one.into(), two.into())),
        ];
        let parts: Vec<(i32, i32)> = parts.into_iter().map_while(|part| part).collect();
        let differing = parts.into_iter().find(|(mine, others)| mine != others);
        differing.is_some_and(|(mine, others)| mine > others)
    }
}

/// The form that [`StatedDate::parse`] reads.
impl fmt::Display for StatedDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}", self.year)?;
        for part in [self.month, self.day].into_iter().take_while(|part| *part > 0) {
            write!(formatter, "-{part:02}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_as_precise_as_its_text() {
        for text in ["2018", "2018-06", "2018-06-30", "2024-02-29"] {
            assert_eq!(StatedDate::parse(text).map(|date| date.to_string()).as_deref(), Some(text));
        }
        for text in ["", "18", "0999", "2018-", "2018-6", "2018-13", "2018-00", "2023-02-29"]
            .into_iter()
            .chain(["2018-06-30-01", "+201", "2018-+6", "2018年"])
        {
            assert_eq!(StatedDate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_is_after_another_where_it_cannot_be_the_same() {
        let date = |text| StatedDate::parse(text).expect("a date");
        for (one, two, after) in [
            ("2024", "2023", true),
            ("2023", "2023-05", false),
            ("2023-05", "2023", false),
            ("2023-06", "2023-05-31", true),
            ("2023-05-31", "2023-06", false),
            ("2023-05-31", "2023-05-30", true),
            ("2023-05-31", "2023-05-31", false),
            ("2022-12-31", "2023", false),
        ] {
            assert_eq!(date(one).is_after(date(two)), after, "{one} after {two}");
        }
    }

    #[test]
    fn an_age_is_counted_from_the_first_day_it_can_mean() {
        // 2026-11-22T08:00:00Z
        let now = Timestamp::from_millis(1_795_334_400_000);
        let age = |text| StatedDate::parse(text).expect("a date").age_days(now);
        assert_eq!((age("2026-11-22"), age("2026-11-21"), age("2026-11")), (0, 1, 21));
        assert_eq!((age("2026"), age("2027")), (325, 0));
        assert_eq!(StatedDate::of(now).to_string(), "2026-11-22");
    }
}
