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

    /// How many decimal digits the minor unit stands for, 0 to [`Self::EXPONENT_MAX`].
    pub const fn exponent(self) -> u8 {
        self.facts().1
    }
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
