//! Times by date at which a channel takes no orders, as it has announced them.

use jiff::civil;
use jiff::tz::TimeZone;

use crate::domain::time::Timestamp;

/// Why a text is not a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MaintenanceError {
    #[error("is not of the form `YYYY-MM-DD HH:MM to HH:MM`")]
    Form,
    #[error("has a date or a time that no calendar has")]
    Calendar,
    #[error("has a time that its time zone has twice or never that day")]
    Ambiguous,
    #[error("ends before it begins")]
    Order,
}

/// From a moment, which belongs to it, until another one, which does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaintenanceWindow {
    from: Timestamp,
    until: Timestamp,
}

impl MaintenanceWindow {
    /// Reads `2026-12-01 02:00 to 04:00`, or with another day behind the `to`
    /// (`2026-12-01 22:00 to 2026-12-02 04:00`), in the zone.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, MaintenanceError> {
        let (from, until) = text.split_once(" to ").ok_or(MaintenanceError::Form)?;
        let (day, time) = from.split_once(' ').ok_or(MaintenanceError::Form)?;
        let (last_day, last_time) = until.split_once(' ').unwrap_or((day, until));
        let (from, until) = (moment(day, time, zone)?, moment(last_day, last_time, zone)?);
        if from < until { Ok(Self { from, until }) } else { Err(MaintenanceError::Order) }
    }

    pub const fn until(self) -> Timestamp {
        self.until
    }

    pub fn contains(self, moment: Timestamp) -> bool {
        (self.from..self.until).contains(&moment)
    }
}

fn moment(day: &str, time: &str, zone: &TimeZone) -> Result<Timestamp, MaintenanceError> {
    let is_like = |text: &str, form: &str| {
        let fits = |(found, wanted): (u8, u8)| match wanted {
            b'0' => found.is_ascii_digit(),
            _ => found == wanted,
        };
        text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
    };
    if !is_like(day, "0000-00-00") || !is_like(time, "00:00") {
        return Err(MaintenanceError::Form);
    }
    let day: civil::Date = day.parse().map_err(|_| MaintenanceError::Calendar)?;
    let time: civil::Time = time.parse().map_err(|_| MaintenanceError::Calendar)?;
    let zoned = zone.to_ambiguous_zoned(day.to_datetime(time));
    let zoned = zoned.unambiguous().map_err(|_| MaintenanceError::Ambiguous)?;
    Ok(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String), MaintenanceError> {
        let zone = TimeZone::get("Europe/Berlin").expect("the zone is compiled in");
        let window = MaintenanceWindow::parse(text, &zone)?;
        Ok((window.from.rfc3339(), window.until.rfc3339()))
    }

    #[test]
    fn a_window_is_two_moments_of_a_zone() {
        let rows = [
            ("2026-12-01 02:00 to 04:00", "2026-12-01T01:00:00.000Z", "2026-12-01T03:00:00.000Z"),
            (
                "2026-07-01 22:30 to 2026-07-02 04:00",
                "2026-07-01T20:30:00.000Z",
                "2026-07-02T02:00:00.000Z",
            ),
        ];
        for (text, from, until) in rows {
            assert_eq!(read(text), Ok((from.to_owned(), until.to_owned())), "{text}");
        }
        let wrong = [
            ("2026-12-01 04:00 to 02:00", MaintenanceError::Order),
            ("2026-12-01 04:00 to 04:00", MaintenanceError::Order),
            ("2026-12-01 02:00-04:00", MaintenanceError::Form),
            ("2026-12-01 2:00 to 4:00", MaintenanceError::Form),
            ("02:00 to 04:00", MaintenanceError::Form),
            ("2026-12-01 02:00 to 2026-12-02", MaintenanceError::Form),
            ("2026-12-01 02:00 to 24:00", MaintenanceError::Calendar),
            ("2026-02-30 02:00 to 04:00", MaintenanceError::Calendar),
            // Summer time begins and ends.
            ("2026-03-29 02:30 to 04:00", MaintenanceError::Ambiguous),
            ("2026-10-25 01:00 to 02:30", MaintenanceError::Ambiguous),
            ("", MaintenanceError::Form),
        ];
        for (text, expected) in wrong {
            assert_eq!(read(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn its_first_moment_belongs_to_it_and_its_last_does_not() {
        let window =
            MaintenanceWindow::parse("2026-12-01 02:00 to 04:00", &TimeZone::UTC).expect("one");
        let millisecond = std::time::Duration::from_millis(1);
        assert!(window.contains(window.from) && !window.contains(window.until));
        assert!(!window.contains(window.from.minus(millisecond)));
        assert!(window.contains(window.until.minus(millisecond)));
    }
}
