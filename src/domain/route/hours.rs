//! Hours of the day in a time zone, as rules and channels give them.

use std::fmt;

use jiff::tz::TimeZone;

use crate::domain::time::Timestamp;

/// Minutes of a civil day; the end of a window that lasts until midnight.
const DAY_MINUTES: u16 = 24 * 60;

/// Why a text is not a window of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("is not of the form HH:MM-HH:MM")]
    Form,
    #[error("begins and ends at the same time")]
    Empty,
}

/// A part of the day, whole minutes: its first minute belongs to it, its end does not.
///
/// A window whose end lies before its start runs over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayWindow {
    /// Minute of the day, 0 to 1,439.
    from: u16,
    /// Minute of the day, 0 to 1,440.
    to: u16,
}

impl DayWindow {
    /// Reads `HH:MM-HH:MM`, for instance `08:00-20:00`, `22:00-06:00` or `00:00-24:00`.
    pub fn parse(text: &str) -> Result<Self, WindowError> {
        let (from, to) = text.split_once('-').ok_or(WindowError::Form)?;
        let from = minute_of(from).filter(|minute| *minute < DAY_MINUTES);
        let (from, to) = from.zip(minute_of(to)).ok_or(WindowError::Form)?;
        if from == to { Err(WindowError::Empty) } else { Ok(Self { from, to }) }
    }

    const fn contains(self, minute: u16) -> bool {
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            self.from <= minute || minute < self.to
        }
    }
}

impl fmt::Display for DayWindow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(formatter, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

/// `HH:MM` as a minute of the day, up to `24:00`.
fn minute_of(text: &str) -> Option<u16> {
    let two = |digits: &str| {
        let fits = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (two(hour)?, two(minute)?);
    let of_day = hour * 60 + minute;
    (minute < 60 && of_day <= DAY_MINUTES).then_some(of_day)
}

/// Parts of the day in one zone. Without a window it holds no moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Hours {
    pub windows: Vec<DayWindow>,
    pub zone: TimeZone,
}

impl Hours {
    /// Whether a moment lies in one of the windows.
    pub fn contains(&self, moment: Timestamp) -> bool {
        let minute = self.minute_of_day(moment);
        self.windows.iter().any(|window| window.contains(minute))
    }

    /// The minute that a clock in the zone shows. Only the zone's offset is asked for: a whole
    /// civil date for each rule would cost more than it is worth.
    fn minute_of_day(&self, moment: Timestamp) -> u16 {
        let instant = jiff::Timestamp::from_millisecond(moment.as_millis())
            .expect("a timestamp is inside the civil calendar");
        let offset_seconds = i64::from(self.zone.to_offset(instant).seconds());
        let local_seconds = moment.as_millis().div_euclid(1_000) + offset_seconds;
        let minute = local_seconds.rem_euclid(86_400) / 60;
        u16::try_from(minute).expect("a day has 1,440 minutes")
    }
}

/// The windows and the zone, for instance `08:00-12:00, 14:00-18:00 (Asia/Shanghai)`.
impl fmt::Display for Hours {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows: Vec<String> = self.windows.iter().map(DayWindow::to_string).collect();
        let zone = self.zone.iana_name().unwrap_or("fixed offset");
        write!(formatter, "{} ({zone})", windows.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(zone: &str, windows: &[&str]) -> Hours {
        let window = |text: &&str| DayWindow::parse(text).expect("a window");
        Hours {
            windows: windows.iter().map(window).collect(),
            zone: TimeZone::get(zone).expect("the zone is compiled in"),
        }
    }

    fn moment(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().expect("RFC 3339");
        Timestamp::from_millis(moment.as_millisecond())
    }

    #[test]
    fn a_window_is_two_times_of_the_day() {
        let rows = [
            ("08:00-20:00", Ok("08:00-20:00")),
            ("22:30-06:15", Ok("22:30-06:15")),
            ("00:00-24:00", Ok("00:00-24:00")),
            ("23:00-00:00", Ok("23:00-00:00")),
            ("08:00-08:00", Err(WindowError::Empty)),
            ("24:00-08:00", Err(WindowError::Form)),
            ("08:00-24:01", Err(WindowError::Form)),
            ("08:60-09:00", Err(WindowError::Form)),
            ("8:00-9:00", Err(WindowError::Form)),
            ("08:00", Err(WindowError::Form)),
            ("08:00-09:00-10:00", Err(WindowError::Form)),
            ("+8:00-09:00", Err(WindowError::Form)),
            ("٠٨:00-09:00", Err(WindowError::Form)),
            ("", Err(WindowError::Form)),
        ];
        for (text, expected) in rows {
            let read = DayWindow::parse(text).map(|window| window.to_string());
            assert_eq!(read, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_moment_is_in_the_hours_of_the_zone() {
        let day = hours("Asia/Shanghai", &["08:00-20:00"]);
        let night = hours("Asia/Shanghai", &["22:00-06:00"]);
        let pieces = hours("Asia/Shanghai", &["00:00-01:00", "23:59-24:00"]);
        let summer = hours("Europe/Berlin", &["08:00-09:00"]);
        let rows = [
            (&day, "2026-11-21T23:59:59.999Z", false),
            (&day, "2026-11-22T00:00:00Z", true),
            (&day, "2026-11-22T11:59:59.999Z", true),
            (&day, "2026-11-22T12:00:00Z", false),
            (&night, "2026-11-22T13:59:59Z", false),
            (&night, "2026-11-22T14:00:00Z", true),
            (&night, "2026-11-22T16:00:00Z", true),
            (&night, "2026-11-22T22:00:00Z", false),
            (&pieces, "2026-11-22T15:58:59Z", false),
            (&pieces, "2026-11-22T15:59:00Z", true),
            (&pieces, "2026-11-22T16:30:00Z", true),
            (&pieces, "2026-11-22T17:00:00Z", false),
            (&summer, "2026-01-15T07:30:00Z", true),
            (&summer, "2026-07-15T07:30:00Z", false),
            (&summer, "2026-07-15T06:30:00Z", true),
            (&night, "1970-01-01T00:00:00Z", false),
        ];
        for (hours, text, expected) in rows {
            assert_eq!(hours.contains(moment(text)), expected, "{text} in {hours}");
        }
        assert!(!hours("UTC", &[]).contains(moment("2026-11-22T00:00:00Z")));
    }
}
