//! Card numbers and card data as checked values that cannot be printed whole.
//!
//! Upholds I-11: `Pan`, `Cvv` and `CardInput` have no `Debug` or `Display` that shows a digit
//! beyond the first six and the last four, and they wipe their memory when dropped.
//! [`words`] finds card data in what others wrote.

use std::fmt;
use std::sync::Arc;

use jiff::tz::{TimeZone, offset};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::domain::bin::{Bin, BinRow, CardType, PAN_LENGTH_MAX, PAN_LENGTH_MIN};
use crate::domain::time::Present;

pub mod words;

/// Why a text is not a card number. Never carries the text itself (I-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PanError {
    #[error("the card number has a character that is not a digit")]
    NotDigits,
    #[error("a card number has 12 to 19 digits")]
    Length,
    #[error("the card number's check digit (Luhn, ISO/IEC 7812-1 annex B) does not fit")]
    Luhn,
}

/// A card number: 12 to 19 digits. The last one is the Luhn check digit, but where that is waived.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Pan {
    digits: String,
}

impl Pan {
    /// Checks length, digits and check digit, in that order of precedence: digits, length, Luhn.
    pub fn parse(text: &str) -> Result<Self, PanError> {
        let pan = Self::of_digits(text)?;
        if luhn_fits(text.as_bytes()) { Ok(pan) } else { Err(PanError::Luhn) }
    }

    /// The same without the check digit: for ranges that have none, and for what was checked once.
    pub fn of_digits(text: &str) -> Result<Self, PanError> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PanError::NotDigits);
        }
        if !(PAN_LENGTH_MIN..=PAN_LENGTH_MAX).contains(&text.len()) {
            return Err(PanError::Length);
        }
        Ok(Self { digits: text.to_owned() })
    }

    /// The whole number, for the one who encodes a channel request or looks up its BIN.
    pub fn expose(&self) -> &str {
        &self.digits
    }

    /// First six and last four digits, the rest as stars: what may be stored and shown.
    pub fn masked(&self) -> MaskedPan {
        MaskedPan(mask(&self.digits))
    }
}

impl fmt::Debug for Pan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pan({})", mask(&self.digits))
    }
}

/// The ranges whose issuers do not keep to the Luhn check: none, unless the settings name them.
#[derive(Debug, Clone, Default)]
pub struct LuhnWaiver {
    bins: Vec<Bin>,
}

impl LuhnWaiver {
    pub const fn of(bins: Vec<Bin>) -> Self {
        Self { bins }
    }

    /// Checks as [`Pan::parse`] does, without the check digit where a range waives it.
    pub fn parse(&self, text: &str) -> Result<Pan, PanError> {
        match Pan::parse(text) {
            Err(PanError::Luhn) if self.bins.iter().any(|bin| text.starts_with(bin.as_str())) => {
                Pan::of_digits(text)
            }
            parsed => parsed,
        }
    }
}

/// A card number of which only the first six and last four digits are left.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MaskedPan(String);

impl MaskedPan {
    /// Takes an already masked number back from the store.
    ///
    /// More than ten digits in clear are masked again, so a mistake upstream cannot travel on.
    pub fn from_stored(text: &str) -> Self {
        let clear = text.bytes().filter(u8::is_ascii_digit).count();
        if clear > 10 { Self(mask(text)) } else { Self(text.to_owned()) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MaskedPan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The card verification value: 3 or 4 digits. In memory for one call only, never at rest (I-11).
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Cvv(String);

impl Cvv {
    /// `None` if the text is not 3 or 4 digits.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| Self(text.to_owned()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Cvv {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cvv(***)")
    }
}

/// A code that a cardholder got by SMS: 4 to 8 digits. In memory for one call only, never at rest
/// (I-11).
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SmsCode(String);

impl SmsCode {
    /// `None` if the text is not 4 to 8 digits.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (4..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| Self(text.to_owned()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SmsCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SmsCode(***)")
    }
}

/// A channel's token for a card, and the phone of its holder. At rest it is sealed (I-11).
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct CardToken {
    text: String,
    phone: String,
}

impl CardToken {
    /// The longest token, in characters.
    pub const LENGTH_MAX: usize = 128;

    /// `None` if the token is empty, too long, or not of visible ASCII characters.
    pub fn parse(text: &str, phone: &str) -> Option<Self> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self { text: text.to_owned(), phone: phone.to_owned() })
    }

    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The phone that gets the codes of its payments.
    pub fn phone(&self) -> &str {
        &self.phone
    }
}

impl fmt::Debug for CardToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CardToken(***)")
    }
}

/// A card's expiry month. A card is good through the last day of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    /// Four-digit year, 2000 to 2099: cards print two digits.
    pub year: i16,
    /// 1 to 12.
    pub month: i8,
}

impl Expiry {
    /// Reads `YYMM`, the order that ISO 8583 field 14 and UnionPay use.
    pub fn parse_yymm(text: &str) -> Option<Self> {
        if text.len() != 4 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let year = 2000 + text[..2].parse::<i16>().ok()?;
        let month = text[2..].parse::<i8>().ok()?;
        (1..=12).contains(&month).then_some(Self { year, month })
    }

    /// `YYMM`.
    pub fn yymm(self) -> String {
        format!("{:02}{:02}", self.year % 100, self.month)
    }

    /// Whether the card's last good month is over everywhere on earth.
    pub fn has_passed(self, present: &Present) -> bool {
        let latest = present.proven().civil(&TimeZone::fixed(offset(-12)));
        self.is_before(latest.year(), latest.month())
    }

    /// Whether the card's last good month lies before the given civil year and month.
    pub fn is_before(self, year: i16, month: i8) -> bool {
        (self.year, self.month) < (year, month)
    }
}

/// The core's data about the card. All but the masked number leaves memory with the call. One copy
/// exists, which is shared and wiped at its end.
pub struct CardInput {
    pub pan: Pan,
    pub expiry: Option<Expiry>,
    pub cvv: Option<Cvv>,
    pub holder: Option<String>,
    /// The kind of identity document, in the channel's two-digit code (`01` = identity card).
    pub id_type: Option<String>,
    pub id_number: Option<String>,
    pub phone: Option<String>,
}

impl CardInput {
    /// A card of which no more than the number is known.
    pub const fn of_number(pan: Pan) -> Self {
        Self {
            pan,
            expiry: None,
            cvv: None,
            holder: None,
            id_type: None,
            id_number: None,
            phone: None,
        }
    }
}

impl fmt::Debug for CardInput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CardInput({:?})", self.pan)
    }
}

impl Drop for CardInput {
    fn drop(&mut self) {
        self.holder.zeroize();
        self.id_type.zeroize();
        self.id_number.zeroize();
        self.phone.zeroize();
    }
}

/// A card number encrypted for the time that its channel may still need it, or another secret of a
/// row (I-11).
#[derive(Clone, PartialEq, Eq)]
pub struct SealedPan {
    /// Which key opens it.
    pub key_id: String,
    pub nonce: [u8; 12],
    /// AES-256-GCM ciphertext and tag.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for SealedPan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SealedPan({}, {} bytes)", self.key_id, self.bytes.len())
    }
}

/// Keyed digests of what the core sent about the card, to compare a repeated order with (I-9)
/// without keeping it. Zero means that the field was absent. The CVV is not among them: three
/// digits can be guessed from any digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CardDigests {
    pub pan: u128,
    pub expiry: u64,
    pub holder: u64,
    pub id_type: u64,
    pub id_number: u64,
    pub phone: u64,
}

/// The facts that an order keeps of its card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFacts {
    pub masked: MaskedPan,
    pub digests: CardDigests,
    /// The BIN table's row, as it was when the order was accepted; `None` if no row fitted.
    pub row: Option<Arc<BinRow>>,
}

impl CardFacts {
    pub fn card_type(&self) -> Option<CardType> {
        self.row.as_ref().map(|row| row.card_type)
    }
}

/// Whether the last digit is the Luhn check digit of those before it (ISO/IEC 7812-1 annex B).
pub fn luhn_fits(digits: &[u8]) -> bool {
    luhn_sum(digits, false).is_multiple_of(10)
}

/// The digit that makes `payload` followed by it pass the Luhn check. `payload` holds ASCII digits.
pub fn luhn_digit(payload: &str) -> char {
    let digit = (10 - luhn_sum(payload.as_bytes(), true) % 10) % 10;
    char::from(b'0' + digit as u8)
}

/// Sums the digits from the right, doubling every second one, starting at once if `double_first`.
fn luhn_sum(digits: &[u8], double_first: bool) -> u32 {
    let mut double = double_first;
    let mut sum = 0;
    for byte in digits.iter().rev() {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        let doubled = digit * 2;
        sum += if !double { digit } else { doubled / 10 + doubled % 10 };
        double = !double;
    }
    sum
}

/// First six and last four characters, stars between; a short text shows its first six at most.
pub fn mask(text: &str) -> String {
    let length = text.chars().count();
    let mut shown = String::with_capacity(text.len());
    for (place, character) in text.chars().enumerate() {
        let kept = place < 6 || (length > 10 && place + 4 >= length);
        shown.push(if kept { character } else { '*' });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pan_needs_digits_then_length_then_luhn() {
        let rows = [
            ("4111111111111111", None),
            ("6216261000000000018", None),
            ("411111111111111x", Some(PanError::NotDigits)),
            ("41111111111", Some(PanError::Length)),
            ("41111111111111111111", Some(PanError::Length)),
            ("4111111111111112", Some(PanError::Luhn)),
            ("", Some(PanError::Length)),
        ];
        for (text, expected) in rows {
            assert_eq!(Pan::parse(text).err(), expected, "{}", mask(text));
        }
    }

    #[test]
    fn the_check_digit_is_waived_for_ranges_that_are_named() {
        let bins = ["621626", "95"].map(|text| Bin::parse(text).expect("a BIN"));
        let waiver = LuhnWaiver::of(bins.to_vec());
        let rows = [
            ("6216261000000000019", None),
            ("6216261000000000018", None),
            ("955880000000000001", None),
            ("6216271000000000019", Some(PanError::Luhn)),
            ("62162610000000000191", Some(PanError::Length)),
            ("621626100000000001x", Some(PanError::NotDigits)),
        ];
        for (text, expected) in rows {
            assert_eq!(waiver.parse(text).err(), expected, "{}", mask(text));
        }
        let strict = LuhnWaiver::default().parse("6216261000000000019");
        assert_eq!(strict.err(), Some(PanError::Luhn));
    }

    #[test]
    fn i_11_debug_shows_ten_digits_at_most() {
        let pan = Pan::parse("6216261000000000018").expect("a test number");
        assert_eq!(format!("{pan:?}"), "Pan(621626*********0018)");
        assert_eq!(pan.masked().as_str(), "621626*********0018");
        assert_eq!(MaskedPan::from_stored(pan.expose()).as_str(), "621626*********0018");
    }

    #[test]
    fn the_luhn_digit_makes_a_number_fit() {
        for payload in ["411111111111111", "621626100000000001", "0", "7992739871"] {
            let whole = format!("{payload}{}", luhn_digit(payload));
            assert!(luhn_fits(whole.as_bytes()), "{payload}");
        }
    }

    #[test]
    fn an_expiry_is_good_through_its_month() {
        let expiry = Expiry::parse_yymm("2911").expect("a month");
        assert_eq!(expiry.yymm(), "2911");
        assert!(!expiry.is_before(2029, 11));
        assert!(expiry.is_before(2029, 12));
        assert_eq!(Expiry::parse_yymm("2913"), None);
        assert_eq!(Expiry::parse_yymm("29-1"), None);
    }
}
