//! Amounts as channels write them: what the digits stand for depends on the currency.
//!
//! No floating point comes near them. A zero-decimal currency (JPY) is written without a point, one
//! of three decimals (KWD) with up to three digits behind it.

use crate::domain::money::Currency;

/// In which form a channel writes amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountForm {
    /// Digits, in minor units.
    Minor,
    /// Digits in major units with a point, and at most the currency's decimals behind it.
    Decimal,
}

impl AmountForm {
    /// The amount in minor units of its currency; `None` for what is none.
    pub fn minor(self, text: &str, currency: Currency) -> Option<i64> {
        read_amount(
            text,
            match self {
                Self::Minor => 0,
                Self::Decimal => usize::from(currency.exponent()),
            },
        )
    }
}

/// An amount that came before anybody had looked up its order, and so its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenAmount {
    text: String,
    form: AmountForm,
}

impl WrittenAmount {
    /// `None` for what is no amount in any currency.
    pub fn read(text: &str, form: AmountForm) -> Option<Self> {
        let decimals = match form {
            AmountForm::Minor => 0,
            AmountForm::Decimal => usize::from(Currency::EXPONENT_MAX),
        };
        read_amount(text, decimals).map(|_| Self { text: text.to_owned(), form })
    }

    /// In minor units of this currency; `None` where it has more decimals than the currency.
    pub fn minor(&self, currency: Currency) -> Option<i64> {
        self.form.minor(&self.text, currency)
    }
}

/// Reads digits with at most `decimals` digits behind a point.
fn read_amount(text: &str, decimals: usize) -> Option<i64> {
    let (major, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let has_point = text.len() > major.len();
    let fits = !major.is_empty() && rest.len() <= decimals && rest.is_empty() != has_point;
    if !(fits && digits(major) && digits(rest)) {
        return None;
    }
    // The digits that the currency has and the text has not are zeros.
    let missing = (rest.len()..decimals).map(|_| b'0');
    let digits = major.bytes().chain(rest.bytes()).chain(missing);
    digits
        .map(|digit| i64::from(digit - b'0'))
        .try_fold(0_i64, |minor, digit| minor.checked_mul(10)?.checked_add(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_without_floating_point() {
        let rows = [
            ("1230", 0, Some(1230)),
            ("12.30", 2, Some(1230)),
            ("12.3", 2, Some(1230)),
            ("12", 2, Some(1200)),
            ("0.01", 2, Some(1)),
            ("12.345", 2, None),
            ("12.345", 3, Some(12_345)),
            ("12.3", 0, None),
            ("12.", 2, None),
            (".5", 2, None),
            ("-1", 0, None),
            ("+1", 0, None),
            ("1e3", 2, None),
            ("1 2", 0, None),
            ("99999999999999999999", 0, None),
            ("", 0, None),
        ];
        for (text, decimals, expected) in rows {
            assert_eq!(read_amount(text, decimals), expected, "{text}");
        }
    }

    #[test]
    fn the_same_digits_are_another_amount_in_another_currency() {
        let read = |text, form| WrittenAmount::read(text, form).expect("an amount");
        let decimal = read("1230", AmountForm::Decimal);
        let rows = [(Currency::Cny, 123_000), (Currency::Jpy, 1_230), (Currency::Kwd, 1_230_000)];
        for (currency, minor) in rows {
            assert_eq!(decimal.minor(currency), Some(minor), "{}", currency.name());
            assert_eq!(read("1230", AmountForm::Minor).minor(currency), Some(1_230));
        }
        let thousandths = read("1.230", AmountForm::Decimal);
        assert_eq!(thousandths.minor(Currency::Kwd), Some(1_230));
        // A yen has no cent, and a yuan no thousandth.
        assert_eq!(thousandths.minor(Currency::Cny), None);
        assert_eq!(read("12.3", AmountForm::Decimal).minor(Currency::Jpy), None);
        assert_eq!(WrittenAmount::read("1.2345", AmountForm::Decimal), None);
        assert_eq!(WrittenAmount::read("1.23", AmountForm::Minor), None);
    }
}
