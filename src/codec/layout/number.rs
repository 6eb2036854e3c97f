//! Amounts and dates as statements write them, read digit by digit: this is the hot part.

use crate::domain::money::AMOUNT_MINOR_MAX;
use crate::domain::time::BusinessDate;

/// Digits behind the point that sums of a column keep.
pub const SUM_DIGITS: u32 = 6;

/// How a column writes an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whole minor units, `1234`.
    Minor,
    /// Major units with a point, `12.34`.
    Major,
}

/// A number as it is written: its sign or letter, and its digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    letter: Option<u8>,
    whole: u64,
    /// The digits behind the point as a number, and how many they are.
    fraction: u64,
    digits: u32,
}

/// Reads `[CD+-]digits[.digits]`, at most eighteen digits in each part.
fn decimal(text: &[u8]) -> Option<Decimal> {
    let (mark, digits) = match text {
        [mark @ (b'C' | b'D' | b'+' | b'-'), rest @ ..] => (Some(*mark), rest),
        _ => (None, text),
    };
    let mut number = Decimal {
        negative: mark == Some(b'-'),
        letter: mark.filter(u8::is_ascii_alphabetic),
        whole: 0,
        fraction: 0,
        digits: 0,
    };
    let mut at = 0;
    while let Some(digit) = digits.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|d| *d < 10) {
        if at >= 18 {
            return None;
        }
        number.whole = number.whole * 10 + u64::from(digit);
        at += 1;
    }
    if at == 0 {
        return None;
    }
    match &digits[at..] {
        [] => {}
        [b'.', rest @ ..] if !rest.is_empty() && rest.len() <= 18 => {
            for byte in rest {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                number.fraction = number.fraction * 10 + u64::from(digit);
            }
            number.digits = u32::try_from(rest.len()).ok()?;
        }
        _ => return None,
    }
    Some(number)
}

/// A signed amount in minor units with the letter that stood before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetteredAmount {
    pub minor: i64,
    pub letter: Option<u8>,
}

/// Reads an amount. Digits beyond the minor unit must be zeros, unless `rounds`: then half is
/// rounded away from zero. `None` if it is no number, or larger than an amount can be.
pub fn amount(text: &[u8], unit: Unit, exponent: u8, rounds: bool) -> Option<LetteredAmount> {
    let number = decimal(text)?;
    let places = match unit {
        Unit::Minor => 0,
        Unit::Major => u32::from(exponent),
    };
    let (kept, up) = if number.digits <= places {
        (number.fraction * 10_u64.pow(places - number.digits), false)
    } else {
        let scale = 10_u64.pow(number.digits - places);
        let rest = number.fraction % scale;
        if rest != 0 && !rounds {
            return None;
        }
        (number.fraction / scale, rest >= scale / 2 && rest != 0)
    };
    let scaled = number.whole.checked_mul(10_u64.pow(places))?;
    let minor = i64::try_from(scaled.checked_add(kept + u64::from(up))?).ok()?;
    let minor = (minor <= AMOUNT_MINOR_MAX).then_some(minor)?;
    Some(LetteredAmount {
        minor: if number.negative { -minor } else { minor },
        letter: number.letter,
    })
}

/// A column's value for a sum of it: scaled by ten to the [`SUM_DIGITS`]. A letter D is a minus.
/// Also gives how many digits stood behind the point.
pub fn scaled(text: &[u8]) -> Option<(i128, u32)> {
    let number = decimal(text)?;
    let fraction = i128::from(number.fraction);
    let fraction = if number.digits <= SUM_DIGITS {
        fraction * 10_i128.pow(SUM_DIGITS - number.digits)
    } else {
        let cut = 10_i128.pow(number.digits - SUM_DIGITS);
        (fraction % cut == 0).then_some(fraction / cut)?
    };
    let value = i128::from(number.whole) * 10_i128.pow(SUM_DIGITS) + fraction;
    let negative = number.negative || number.letter == Some(b'D');
    Some((if negative { -value } else { value }, number.digits))
}

/// Whether a sum is what a footer says, which may show fewer digits: half rounds away from zero.
pub fn is_sum(sum: i128, said: i128, digits: u32) -> bool {
    let scale = 10_i128.pow(SUM_DIGITS.saturating_sub(digits));
    let rounded = (sum.abs() + scale / 2) / scale * scale;
    said == if sum < 0 { -rounded } else { rounded }
}

/// How a column writes a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateForm {
    /// `2026-11-22`; a time may follow.
    Dashed,
    /// `20261122`; a time may follow.
    Plain,
    /// `1122`: of the year that puts it nearest to the statement's date. A time may follow.
    MonthDay,
}

impl DateForm {
    /// Characters of a date.
    pub const fn length(self) -> usize {
        match self {
            Self::Dashed => 10,
            Self::Plain => 8,
            Self::MonthDay => 4,
        }
    }
}

/// Reads a date. `near` is needed for a date without a year.
pub fn date(text: &[u8], form: DateForm, near: Option<BusinessDate>) -> Option<BusinessDate> {
    match form {
        DateForm::Dashed => {
            let text = std::str::from_utf8(text.get(..10)?).ok()?;
            text.is_ascii().then(|| BusinessDate::parse(text)).flatten()
        }
        DateForm::Plain => {
            let digits = text.get(..8)?;
            let number = digits.iter().try_fold(0_u32, |number, byte| {
                byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
            })?;
            BusinessDate::from_yyyymmdd(number)
        }
        DateForm::MonthDay => {
            BusinessDate::from_mmdd(std::str::from_utf8(text.get(..4)?).ok()?, near?)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minor(text: &str, unit: Unit, rounds: bool) -> Option<i64> {
        amount(text.as_bytes(), unit, 2, rounds).map(|written| written.minor)
    }

    #[test]
    fn amounts_are_exact_or_nothing() {
        let rows = [
            ("12.34", Unit::Major, Some(1_234)),
            ("12", Unit::Major, Some(1_200)),
            ("-0.1", Unit::Major, Some(-10)),
            ("1.230", Unit::Major, Some(123)),
            ("1.234", Unit::Major, None),
            ("1234", Unit::Minor, Some(1_234)),
            ("12.34", Unit::Minor, None),
            ("000000476800", Unit::Minor, Some(476_800)),
            ("D000000002861", Unit::Minor, Some(2_861)),
            ("999999999999", Unit::Minor, Some(999_999_999_999)),
            ("1000000000000", Unit::Minor, None),
            ("9999999999999999999", Unit::Minor, None),
            ("", Unit::Minor, None),
            ("-", Unit::Minor, None),
            ("1.", Unit::Major, None),
            (".5", Unit::Major, None),
            ("1e3", Unit::Major, None),
            ("1 2", Unit::Minor, None),
        ];
        for (text, unit, wanted) in rows {
            assert_eq!(minor(text, unit, false), wanted, "{text}");
        }
        let rounded = [("0.00499", 0), ("0.00500", 1), ("-0.00500", -1), ("0.60000", 60)];
        for (text, wanted) in rounded {
            assert_eq!(minor(text, Unit::Major, true), Some(wanted), "{text}");
        }
    }

    #[test]
    fn sums_are_held_against_fewer_digits() {
        let sum = |text: &str| scaled(text.as_bytes()).expect("a number");
        assert_eq!(sum("-1.50000"), (-1_500_000, 5));
        assert_eq!(sum("D12"), (-12_000_000, 0));
        assert!(is_sum(1_234_500, 1_230_000, 2));
        assert!(is_sum(1_235_000, 1_240_000, 2) && is_sum(-1_235_000, -1_240_000, 2));
        assert!(!is_sum(1_235_000, 1_230_000, 2) && !is_sum(1_234_500, 1_234_000, 5));
    }

    #[test]
    fn dates_are_read_in_their_form() {
        let day = BusinessDate::from_yyyymmdd(20_261_231);
        assert_eq!(date(b"2026-12-31 10:00:00", DateForm::Dashed, None), day);
        assert_eq!(date(b"20261231", DateForm::Plain, None), day);
        assert_eq!(date(b"1231235959", DateForm::MonthDay, BusinessDate::parse("2027-01-01")), day);
        assert_eq!(date(b"1231", DateForm::MonthDay, None), None);
        for broken in [&b"2026-13-01"[..], b"202", b"2026\xE8\xB4\xA6-1-1", b"20261301"] {
            assert_eq!(date(broken, DateForm::Dashed, None), None);
            assert_eq!(date(broken, DateForm::Plain, None), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in -999_999_999_999_i64..=999_999_999_999) {
            let sign = if value < 0 { "-" } else { "" };
            let (whole, part) = (value.abs() / 100, value.abs() % 100);
            let text = format!("{sign}{whole}.{part:02}");
            prop_assert_eq!(minor(&text, Unit::Major, false), Some(value));
            prop_assert_eq!(minor(&value.to_string(), Unit::Minor, false), Some(value));
            prop_assert_eq!(scaled(text.as_bytes()), Some((i128::from(value) * 10_000, 2)));
        }
    }
}
