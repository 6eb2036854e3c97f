//! Payers' codes (付款码): what a wallet shows in place of a card.
//!
//! Upholds I-11: a whole code is in memory for the call alone, and cannot be printed.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The code that a payer's wallet shows (付款码). Whoever has it can take money with it, once and for
/// a minute or so: it is in memory for the call alone, as a CVV is (I-11).
#[derive(PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PayerCode(String);

impl PayerCode {
    /// WeChat Pay's codes have 18 digits, Alipay's 16 to 24, UnionPay's 19; some of Alipay's begin
    /// with letters and are longer.
    pub const LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;

    /// `None` if the text is not 16 to 64 letters and digits.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = Self::LENGTHS.contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| Self(text.to_owned()))
    }

    /// The whole code, for the one who encodes the channel's request.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn masked(&self) -> MaskedCode {
        MaskedCode::of(&self.0)
    }
}

impl fmt::Debug for PayerCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PayerCode({})", self.masked().as_str())
    }
}

/// A payer's code of which its beginning, which tells the wallet, and the last four are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedCode(String);

impl MaskedCode {
    /// How many characters of the beginning are left.
    pub const BEGINNING: usize = 2;

    /// Masks a code, or a text of the store that was masked: nothing more can travel on.
    pub fn of(text: &str) -> Self {
        let length = text.chars().count();
        let kept = |place| place < Self::BEGINNING || (length >= 16 && place + 4 >= length);
        let shown = text.chars().enumerate();
        Self(shown.map(|(place, character)| if kept(place) { character } else { '*' }).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the code began with this: at most [`Self::BEGINNING`] characters.
    pub fn begins_with(&self, beginning: &str) -> bool {
        self.0.starts_with(beginning)
    }
}

/// The facts that an order keeps of its payer's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFacts {
    pub masked: MaskedCode,
    /// Keyed, to compare a repeated order with (I-9).
    pub digest: u128,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i_11_a_code_shows_its_beginning_and_its_last_four() {
        let code = PayerCode::parse("130000000000001234").expect("18 digits");
        assert_eq!(code.masked().as_str(), "13************1234");
        assert_eq!(format!("{code:?}"), "PayerCode(13************1234)");
        assert_eq!(MaskedCode::of(code.masked().as_str()), code.masked());
        assert!(code.masked().begins_with("13") && !code.masked().begins_with("28"));
        assert_eq!(MaskedCode::of("28763").as_str(), "28***");
        for wrong in ["", "123456789012345", "1234567890 12345678", &"1".repeat(65)] {
            assert_eq!(PayerCode::parse(wrong), None, "{wrong}");
        }
    }
}
