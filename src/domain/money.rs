//! Amounts in minor units and currencies. No floating point comes near them.

use std::fmt;

use crate::domain::closed_set;

/// The largest amount: twelve digits, the width of ISO 8583 field 4 and of UnionPay's `txnAmt`.
pub const AMOUNT_MINOR_MAX: i64 = 999_999_999_999;

/// Why a number is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("an amount is at least 1 minor unit")]
    NotPositive,
    #[error("an amount is at most 999999999999 minor units (twelve digits)")]
    TooLarge,
}

/// A positive amount in minor units of its currency (fen, cents), 1 to 999,999,999,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AmountMinor(i64);

impl AmountMinor {
    pub fn new(minor: i64) -> Result<Self, AmountError> {
        if minor < 1 {
            return Err(AmountError::NotPositive);
        }
        if minor > AMOUNT_MINOR_MAX {
            return Err(AmountError::TooLarge);
        }
        Ok(Self(minor))
    }

    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for AmountMinor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

closed_set! {
    /// A currency of ISO 4217 that we can route: its name is its alphabetic code. An unlisted one
    /// has no known exponent. Behind each the numeric code, and the digits of the minor unit.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Currency: (&'static str, u8) {
        Cny = 1 => "CNY" ("156", 2),
        Hkd = 2 => "HKD" ("344", 2),
        Mop = 3 => "MOP" ("446", 2),
        Twd = 4 => "TWD" ("901", 2),
        Usd = 5 => "USD" ("840", 2),
        Eur = 6 => "EUR" ("978", 2),
        Gbp = 7 => "GBP" ("826", 2),
        Jpy = 8 => "JPY" ("392", 0),
        Krw = 9 => "KRW" ("410", 0),
        Sgd = 10 => "SGD" ("702", 2),
        Thb = 11 => "THB" ("764", 2),
        Aud = 12 => "AUD" ("036", 2),
        Kwd = 13 => "KWD" ("414", 3),
    }
}

impl Currency {
    /// The most decimal digits that a minor unit of any currency stands for.
    pub const EXPONENT_MAX: u8 = 3;

    /// As a channel writes it: three letters, small ones too (Stripe), or three digits.
    pub fn parse_any(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|currency| {
            currency.name().eq_ignore_ascii_case(code) || currency.numeric() == code
        })
    }

    /// Three digits, for instance `156`.
    pub const fn numeric(self) -> &'static str {
        self.facts().0
    }

    /// An amount for people: 12345 of CNY is `123.45 CNY`.
    pub fn words(self, minor: i64) -> String {
        format!("{} {}", major(minor.into(), Some(self)), self.name())
    }

    /// How many decimal digits the minor unit stands for, 0 to [`Self::EXPONENT_MAX`].
    pub const fn exponent(self) -> u8 {
        self.facts().1
    }
}

/// Why a text is no amount of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MajorTextError {
    #[error(
        "write an amount of {} in major units, as {}: digits, and a point before their parts",
        .0.name(), major(i128::from(123_450_i32), Some(*.0))
    )]
    NoAmount(Currency),
    #[error(
        "an amount of {} has {} decimals at most; {} is its smallest unit",
        .0.name(), .0.exponent(), major(1, Some(*.0))
    )]
    TooFine(Currency),
    #[error("an amount of {} has at most twelve digits, its decimals among them", .0.name())]
    TooLarge(Currency),
}

/// An amount as people write it, in major units, in minor ones: `12.3` of CNY is 1230. It may be
/// negative, since the bank's money goes both ways; nothing else that could be meant in two ways is
/// read: no groups of digits, no comma, no sign of a currency, no exponent, no bare point.
///
/// # Errors
/// What the text lacks or has too much of. It is not repeated.
pub fn parse_major(text: &str, currency: Currency) -> Result<i64, MajorTextError> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = match digits.split_once('.') {
        Some((whole, part)) if !part.is_empty() => (whole, part),
        Some(_) => return Err(MajorTextError::NoAmount(currency)),
        None => (digits, ""),
    };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) {
        return Err(MajorTextError::NoAmount(currency));
    }
    let exponent = usize::from(currency.exponent());
    if part.len() > exponent {
        return Err(MajorTextError::TooFine(currency));
    }
    let minor = format!("{whole}{part:0<exponent$}").parse::<i64>();
    let minor = minor.ok().filter(|minor| *minor <= AMOUNT_MINOR_MAX);
    minor.map(|minor| sign * minor).ok_or(MajorTextError::TooLarge(currency))
}

/// An amount in major units: 12345 of CNY is `123.45`. One that has no currency of ours stays as it
/// is.
pub fn major(minor: i128, currency: Option<Currency>) -> String {
    let digits = currency.map_or(0, |currency| usize::from(currency.exponent()));
    let text = minor.unsigned_abs().to_string();
    let text = format!("{text:0>width$}", width = digits + 1);
    let (whole, part) = text.split_at(text.len() - digits);
    let sign = if minor < 0 { "-" } else { "" };
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_one_to_twelve_digits() {
        assert_eq!(AmountMinor::new(0), Err(AmountError::NotPositive));
        assert_eq!(AmountMinor::new(-1), Err(AmountError::NotPositive));
        assert_eq!(AmountMinor::new(1).map(AmountMinor::get), Ok(1));
        assert_eq!(AmountMinor::new(AMOUNT_MINOR_MAX).map(AmountMinor::get), Ok(AMOUNT_MINOR_MAX));
        assert_eq!(AmountMinor::new(AMOUNT_MINOR_MAX + 1), Err(AmountError::TooLarge));
    }

    #[test]
    fn what_is_shown_reads_back() {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        let mut random = fastrand::Rng::with_seed(seed);
        for currency in Currency::ALL {
            let edges = [0, 1, -1, 9, 10, 99, 100, 999, 1_000, AMOUNT_MINOR_MAX, -AMOUNT_MINOR_MAX];
            let drawn = (0..2_000).map(|_| {
                let most = 10_i64.pow(random.u32(0..12));
                random.i64(-most..=most)
            });
            for minor in edges.into_iter().chain(drawn) {
                let shown = major(minor.into(), Some(currency));
                assert_eq!(parse_major(&shown, currency), Ok(minor), "{shown}, SEED={seed}");
                // Zeros that say nothing may be left out, and nothing may stand beside it.
                let short = shown.trim_end_matches('0').trim_end_matches('.');
                if shown.contains('.') {
                    assert_eq!(parse_major(short, currency), Ok(minor), "{short}, SEED={seed}");
                }
                for beside in [" ", "+", "0x", ",", ".", "e1", "\u{a5}", currency.name(), "\u{664}"]
                {
                    for wrong in [format!("{beside}{shown}"), format!("{shown}{beside}")] {
                        assert!(parse_major(&wrong, currency).is_err(), "{wrong}, SEED={seed}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_could_be_meant_in_two_ways_is_no_amount() {
        use MajorTextError::{NoAmount, TooFine, TooLarge};
        let read = |text: &str| parse_major(text, Currency::Cny);
        for text in ["", "-", ".", ".5", "5.", "1,234.00", "1_000", "--1", "1.2.3", "-.5", "1.-5"] {
            assert_eq!(read(text), Err(NoAmount(Currency::Cny)), "{text}");
        }
        assert_eq!(read("1.234"), Err(TooFine(Currency::Cny)));
        assert_eq!(read("1.000"), Err(TooFine(Currency::Cny)));
        assert_eq!(parse_major("1.0", Currency::Jpy), Err(TooFine(Currency::Jpy)));
        assert_eq!(parse_major("1.234", Currency::Kwd), Ok(1_234));
        assert_eq!(read("9999999999.99"), Ok(AMOUNT_MINOR_MAX));
        for text in ["10000000000", "99999999999999999999999", "-10000000000.00"] {
            assert_eq!(read(text), Err(TooLarge(Currency::Cny)), "{text}");
        }
        let told = TooFine(Currency::Jpy).to_string();
        assert_eq!(told, "an amount of JPY has 0 decimals at most; 1 is its smallest unit");
        let told = NoAmount(Currency::Cny).to_string();
        assert!(told.contains("as 1234.50: digits"), "{told}");
    }

    #[test]
    fn currency_codes_are_distinct_and_read_back() {
        for currency in Currency::ALL {
            assert_eq!(Currency::parse(currency.name()), Some(currency));
            for written in [currency.name(), currency.numeric(), &currency.name().to_lowercase()] {
                assert_eq!(Currency::parse_any(written), Some(currency));
            }
            let same = |other: &Currency| other.numeric() == currency.numeric();
            assert_eq!(Currency::ALL.iter().filter(|other| same(other)).count(), 1);
        }
        assert_eq!(Currency::parse("XXX"), None);
    }
}
