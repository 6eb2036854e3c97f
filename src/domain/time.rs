//! Moments, business dates and cut-offs as values. Reading the clock is `crate::clock`'s work.

mod due;
mod present;

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

pub use due::DueWindow;
pub use present::Present;

/// The length of `2026-11-22T08:00:00.000Z`.
const RFC3339_BYTES: usize = 24;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// Year, month and day of a count of days since 1970-01-01, in the calendar of RFC 3339.
///
/// Years are counted from March, so that the day that leap years add is their last, and in eras of
/// 400 years, which all have the same number of days.
const fn civil_of_days(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let since_march_0000 = days + 719_468;
    let (era, in_era) = (since_march_0000 / ERA, since_march_0000 % ERA);
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * in_year + 2) / 153;
    let day = in_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + (month <= 2) as u64, month, day)
}

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Any count of milliseconds is brought into the years 1970 to 9999, so that nothing overflows.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(0, 253_370_764_800_000))
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// How long ago `earlier` was; nothing if it lies ahead (clocks jump).
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// The civil date and time in a zone.
    pub fn civil(self, zone: &TimeZone) -> civil::DateTime {
        jiff::Timestamp::from_millisecond(self.0)
            .expect("the constructor keeps it inside the civil calendar")
            .to_zoned(zone.clone())
            .datetime()
    }

    /// Reads an RFC 3339 moment, or a date `YYYY-MM-DD`, whose beginning in UTC it then is.
    pub fn parse(text: &str) -> Option<Self> {
        const DATE_BYTES: usize = 10;
        let moment: jiff::Timestamp = match text.len() {
            DATE_BYTES => {
                let date: civil::Date = text.parse().ok()?;
                date.to_zoned(TimeZone::UTC).ok()?.timestamp()
            }
            _ => text.parse().ok()?,
        };
        Some(Self::from_millis(moment.as_millisecond()))
    }

    /// RFC 3339 in UTC with milliseconds, for instance `2026-11-22T08:00:00.000Z`.
    pub fn rfc3339(self) -> String {
        let text = self.rfc3339_bytes();
        std::str::from_utf8(&text).expect("they are digits and signs").to_owned()
    }

    /// The bytes of the same. Every answer has several of them, so the date is worked out here: of
    /// UTC nothing but the calendar's rule need be known.
    pub fn rfc3339_bytes(self) -> [u8; RFC3339_BYTES] {
        let millis = u64::try_from(self.0).unwrap_or(0);
        let (days, in_day) = (millis / DAY_MILLIS, millis % DAY_MILLIS);
        let (year, month, day) = civil_of_days(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |range: std::ops::Range<usize>, mut number: u64| {
            for digit in text[range].iter_mut().rev() {
                *digit += (number % 10) as u8;
                number /= 10;
            }
        };
        put(0..4, year);
        put(5..7, month);
        put(8..10, day);
        put(11..13, in_day / 3_600_000);
        put(14..16, in_day / 60_000 % 60);
        put(17..19, in_day / 1_000 % 60);
        put(20..23, in_day % 1_000);
        text
    }
}

/// A day of the books, in a channel's calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusinessDate(civil::Date);

impl BusinessDate {
    pub const fn new(date: civil::Date) -> Self {
        Self(date)
    }

    pub const fn civil(self) -> civil::Date {
        self.0
    }

    /// Reads `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 10 && text.as_bytes()[4] == b'-';
        fits.then(|| text.parse().ok().map(Self)).flatten()
    }

    /// The day after; the last day of the calendar has none, and stays.
    pub fn next(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(self.0))
    }

    /// The day before; the first day of the calendar has none, and stays.
    pub fn previous(self) -> Self {
        Self(self.0.yesterday().unwrap_or(self.0))
    }

    /// How many days `other` lies ahead; negative where it lies behind.
    pub fn days_until(self, other: Self) -> i32 {
        self.0.until(other.0).map_or(i32::MAX, |span| span.get_days())
    }

    /// The date as the number `YYYYMMDD`, which sorts like the date.
    pub fn yyyymmdd(self) -> u32 {
        let date = self.0;
        date.year().unsigned_abs() as u32 * 10_000
            + date.month().unsigned_abs() as u32 * 100
            + date.day().unsigned_abs() as u32
    }

    /// Reads back what [`Self::yyyymmdd`] gave.
    pub fn from_yyyymmdd(number: u32) -> Option<Self> {
        let year = i16::try_from(number / 10_000).ok()?;
        let month = i8::try_from(number / 100 % 100).ok()?;
        let day = i8::try_from(number % 100).ok()?;
        civil::Date::new(year, month, day).ok().map(Self)
    }

    /// The date that a channel's `MMDD` means: the year that puts it nearest to `near`.
    ///
    /// Channels write settlement dates without a year, so that 31 December and 1 January meet.
    pub fn from_mmdd(mmdd: &str, near: Self) -> Option<Self> {
        if mmdd.len() != 4 || !mmdd.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (month, day) = (mmdd[..2].parse().ok()?, mmdd[2..].parse().ok()?);
        let year = near.0.year();
        let distance = |date: &civil::Date| {
            let days = near.0.until(*date).map_or(i32::MAX, |span| span.get_days());
            days.unsigned_abs()
        };
        (year - 1..=year + 1)
            .filter_map(|year| civil::Date::new(year, month, day).ok())
            .min_by_key(distance)
            .map(Self)
    }
}

impl std::fmt::Display for BusinessDate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// When a channel's clearing day ends, and in which time zone.
///
/// UnionPay's day D runs from 23:00 on D-1 to 23:00 on D, Beijing time; WeChat Pay's and Alipay's
/// is the calendar day, which is the cut-off `00:00`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClearingCalendar {
    pub zone: TimeZone,
    pub cut_off: civil::Time,
}

impl ClearingCalendar {
    /// The clearing date of a moment.
    pub fn date_of(&self, moment: Timestamp) -> BusinessDate {
        let local = moment.civil(&self.zone);
        let after_cut = self.cut_off != civil::Time::midnight() && local.time() >= self.cut_off;
        let date = if after_cut { local.date().tomorrow() } else { Ok(local.date()) };
        BusinessDate(date.unwrap_or(local.date()))
    }

    /// The moment at which a clearing date begins; the one of the next date is its end. `None`
    /// outside of what moments can be.
    pub fn beginning_of(&self, date: BusinessDate) -> Option<Timestamp> {
        let from_midnight = self.cut_off == civil::Time::midnight();
        let day = if from_midnight { date.0 } else { date.0.yesterday().ok()? };
        let moment = day.to_datetime(self.cut_off).to_zoned(self.zone.clone()).ok()?;
        Some(Timestamp::from_millis(moment.timestamp().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().expect("RFC 3339");
        Timestamp::from_millis(moment.as_millisecond())
    }

    fn union_pay() -> ClearingCalendar {
        let zone = TimeZone::get("Asia/Shanghai").expect("the zone is compiled in");
        ClearingCalendar { zone, cut_off: civil::time(23, 0, 0, 0) }
    }

    #[test]
    fn the_cut_off_begins_the_next_clearing_day() {
        let rows = [
            ("2026-11-22T14:59:59.999Z", "2026-11-22"),
            ("2026-11-22T15:00:00Z", "2026-11-23"),
            ("2026-12-31T15:00:00Z", "2027-01-01"),
            ("2026-11-21T16:00:00Z", "2026-11-22"),
        ];
        for (text, expected) in rows {
            assert_eq!(union_pay().date_of(moment(text)).to_string(), expected, "{text}");
        }
        let calendar = ClearingCalendar { cut_off: civil::Time::midnight(), ..union_pay() };
        assert_eq!(calendar.date_of(moment("2026-11-22T15:59:59Z")).to_string(), "2026-11-22");
        assert_eq!(calendar.date_of(moment("2026-11-22T16:00:00Z")).to_string(), "2026-11-23");
    }

    #[test]
    fn a_date_begins_where_the_one_before_it_ends() {
        let midnight = ClearingCalendar { cut_off: civil::Time::midnight(), ..union_pay() };
        for calendar in [union_pay(), midnight] {
            for text in ["2026-11-22", "2027-01-01", "2028-02-29"] {
                let date = BusinessDate::parse(text).expect("a date");
                let begins = calendar.beginning_of(date).expect("a moment");
                assert_eq!(calendar.date_of(begins), date);
                let before = Timestamp::from_millis(begins.as_millis() - 1);
                assert_eq!(
                    calendar.date_of(before),
                    BusinessDate(date.0.yesterday().expect("one"))
                );
            }
        }
    }

    #[test]
    fn a_date_without_a_year_takes_the_nearest() {
        let rows = [
            ("1231", "2027-01-01", Some("2026-12-31")),
            ("0101", "2026-12-31", Some("2027-01-01")),
            ("0615", "2026-06-20", Some("2026-06-15")),
            ("0229", "2027-03-01", Some("2028-02-29")),
            ("1301", "2026-06-20", None),
            ("٠٠", "2026-06-20", None),
        ];
        for (mmdd, near, expected) in rows {
            let near = BusinessDate::parse(near).expect("a date");
            let found = BusinessDate::from_mmdd(mmdd, near).map(|date| date.to_string());
            assert_eq!(found.as_deref(), expected, "{mmdd}");
        }
    }

    #[test]
    fn a_date_is_a_sortable_number_and_back() {
        let date = BusinessDate::parse("2026-11-22").expect("a date");
        assert_eq!(date.yyyymmdd(), 20_261_122);
        assert_eq!(BusinessDate::from_yyyymmdd(20_261_122), Some(date));
        assert_eq!(BusinessDate::from_yyyymmdd(20_261_322), None);
        assert_eq!(BusinessDate::parse("2026-1-2"), None);
        assert_eq!((date.next().yyyymmdd(), date.previous().yyyymmdd()), (20_261_123, 20_261_121));
        let last = BusinessDate::from_yyyymmdd(99_991_231).expect("a date");
        assert_eq!(last.next(), last);
    }

    #[test]
    fn a_moment_is_written_as_rfc_3339_in_utc() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_334_400_007, "2026-11-22T08:00:00.007Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).rfc3339(), text);
        }
        // Every day that a moment can have.
        for day in 0..=253_370_764_800_000 / 86_400_000 {
            let moment = Timestamp::from_millis(day * 86_400_000 + day % 86_400_000);
            let date = moment.civil(&TimeZone::UTC).date().to_string();
            assert_eq!(moment.rfc3339()[..10], *date);
        }
    }

    #[test]
    fn time_never_runs_out_of_its_range() {
        let end = Timestamp::from_millis(i64::MAX);
        assert!(end.rfc3339().starts_with("9999-"), "{}", end.rfc3339());
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    }
}
