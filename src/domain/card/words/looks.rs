//! The looks of long digits that are no card number.

use std::ops::Range;

/// A moment in one of the forms that channels write, or milliseconds of the Unix epoch.
pub(super) fn is_moment(digits: &str) -> bool {
    let part = |range: Range<usize>| digits.get(range).and_then(|part| part.parse::<u32>().ok());
    let clock = |at: usize, with_seconds: bool| {
        part(at..at + 2).is_some_and(|hour| hour < 24)
            && part(at + 2..at + 4).is_some_and(|minute| minute < 60)
            && (!with_seconds || part(at + 4..at + 6).is_some_and(|second| second <= 60))
    };
    let short_date = || {
        part(0..2).is_some_and(|year| (20..40).contains(&year)) && is_month_and_day(&digits[2..6])
    };
    if !digits.is_ascii() {
        return false;
    }
    match digits.len() {
        12 => (is_date(&digits[..8]) && clock(8, false)) || (short_date() && clock(6, true)),
        13 => digits.starts_with('1') && matches!(digits.as_bytes()[1], b'6'..=b'9'),
        14 | 17 => is_date(&digits[..8]) && clock(8, true),
        _ => false,
    }
}

/// `YYYYMMDD` of this century's first half or the last decades before it.
pub(super) fn is_date(digits: &str) -> bool {
    let year = digits.get(..4).and_then(|year| year.parse::<u32>().ok());
    digits.len() == 8
        && digits.is_ascii()
        && year.is_some_and(|year| (1970..2060).contains(&year))
        && is_month_and_day(&digits[4..])
}

fn is_month_and_day(digits: &str) -> bool {
    let part = |range: Range<usize>| digits.get(range).and_then(|part| part.parse::<u32>().ok());
    part(0..2).is_some_and(|month| (1..=12).contains(&month))
        && part(2..4).is_some_and(|day| (1..=31).contains(&day))
}
