//! Amounts in minor units and currencies. No floating point comes near them.

use std::fmt;

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

/// A currency of ISO 4217 that we can route. A closed list: an unlisted one has no known exponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Currency {
    Cny,
    Hkd,
    Mop,
    Twd,
    Usd,
    Eur,
    Gbp,
    Jpy,
    Krw,
    Sgd,
    Thb,
    Aud,
    Kwd,
}

impl Currency {
    pub const ALL: [Self; 13] = [
        Self::Cny,
        Self::Hkd,
        Self::Mop,
        Self::Twd,
        Self::Usd,
        Self::Eur,
        Self::Gbp,
        Self::Jpy,
        Self::Krw,
        Self::Sgd,
        Self::Thb,
        Self::Aud,
        Self::Kwd,
    ];

    /// The most decimal digits that a minor unit of any currency stands for.
    pub const EXPONENT_MAX: u8 = 3;

    /// The alphabetic code, the numeric code, and the number of decimal digits (ISO 4217).
    const fn facts(self) -> (&'static str, &'static str, u8) {
        match self {
            Self::Cny => ("CNY", "156", 2),
            Self::Hkd => ("HKD", "344", 2),
            Self::Mop => ("MOP", "446", 2),
            Self::Twd => ("TWD", "901", 2),
            Self::Usd => ("USD", "840", 2),
            Self::Eur => ("EUR", "978", 2),
            Self::Gbp => ("GBP", "826", 2),
            Self::Jpy => ("JPY", "392", 0),
            Self::Krw => ("KRW", "410", 0),
            Self::Sgd => ("SGD", "702", 2),
            Self::Thb => ("THB", "764", 2),
            Self::Aud => ("AUD", "036", 2),
            Self::Kwd => ("KWD", "414", 3),
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|currency| currency.code() == code)
    }

    /// As a channel writes it: three letters or three digits.
    pub fn parse_any(code: &str) -> Option<Self> {
        Self::parse(code)
            .or_else(|| Self::ALL.into_iter().find(|currency| currency.numeric() == code))
    }

    /// Three letters, for instance `CNY`.
    pub const fn code(self) -> &'static str {
        self.facts().0
    }

    /// Three digits, for instance `156`.
    pub const fn numeric(self) -> &'static str {
        self.facts().1
    }

    /// How many decimal digits the minor unit stands for, 0 to [`Self::EXPONENT_MAX`].
    pub const fn exponent(self) -> u8 {
        self.facts().2
    }
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
            assert_eq!(Currency::parse(currency.code()), Some(currency));
            let same = |other: &Currency| other.numeric() == currency.numeric();
            assert_eq!(Currency::ALL.iter().filter(|other| same(other)).count(), 1);
        }
        assert_eq!(Currency::parse("XXX"), None);
    }
}
