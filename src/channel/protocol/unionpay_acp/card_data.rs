//! The cardholder's data as UnionPay takes it: field `customerInfo` and encrypted values.
//!
//! Upholds I-11: texts in between are wiped, and an error names the field, never the value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::domain::card::{CardInput, Cvv, Expiry, SmsCode};

use super::identity::EncryptionIdentity;

/// `certifTp` of an identity card, which is meant where a number comes without its kind.
const IDENTITY_CARD: &str = "01";

/// Encrypts one value; the error names the field.
pub(super) fn encrypt(
    identity: &EncryptionIdentity,
    field: &'static str,
    plain: &str,
) -> Result<String, String> {
    identity.encrypt(plain).map_err(|error| format!("{field}: {error}"))
}

/// What a request tells of a cardholder.
#[derive(Default)]
pub(super) struct Cardholder<'c> {
    pub holder: Option<&'c str>,
    pub id_type: Option<&'c str>,
    pub id_number: Option<&'c str>,
    pub phone: Option<&'c str>,
    pub cvv: Option<&'c Cvv>,
    pub expiry: Option<Expiry>,
    /// The code that was sent to the phone: sent as a plain key (facts §4).
    pub sms_code: Option<&'c SmsCode>,
}

impl<'c> Cardholder<'c> {
    pub fn of(card: &'c CardInput) -> Self {
        Self {
            holder: card.holder.as_deref(),
            id_type: card.id_type.as_deref(),
            id_number: card.id_number.as_deref(),
            phone: card.phone.as_deref(),
            cvv: card.cvv.as_ref(),
            expiry: card.expiry,
            sms_code: None,
        }
    }

    /// Whether nothing is told.
    pub fn is_empty(&self) -> bool {
        // A kind of document says nothing without its number.
        let Self { holder, id_type: _, id_number, phone, cvv, expiry, sms_code } = self;
        let texts = [holder, id_number, phone].into_iter().all(Option::is_none);
        texts && cvv.is_none() && expiry.is_none() && sms_code.is_none()
    }

    /// Whether something of it is encrypted, where the merchant encrypts.
    pub fn has_secrets(&self) -> bool {
        self.phone.is_some() || self.cvv.is_some() || self.expiry.is_some()
    }
}

/// Base64 of `{k=v&k=v}`; `None` if the core sent nothing but the card number.
///
/// `phoneNo`, `cvn2` and `expired` are encrypted together under `encryptedInfo`; a merchant without
/// encryption sends them as plain keys (facts §4).
pub(super) fn customer_info(
    person: &Cardholder<'_>,
    encryption: Option<&EncryptionIdentity>,
) -> Result<Option<Zeroizing<String>>, String> {
    let mut plain = Pairs::default();
    if let Some(number) = person.id_number {
        plain.add("certifTp", person.id_type.unwrap_or(IDENTITY_CARD))?;
        plain.add("certifId", number)?;
    }
    plain.add_some("customerNm", person.holder)?;
    plain.add_some("smsCode", person.sms_code.map(SmsCode::expose))?;
    let mut sensitive = Pairs::default();
    sensitive.add_some("phoneNo", person.phone)?;
    sensitive.add_some("cvn2", person.cvv.map(Cvv::expose))?;
    if let Some(expiry) = person.expiry {
        sensitive.add("expired", &Zeroizing::new(expiry.yymm()))?;
    }
    if !sensitive.0.is_empty() {
        match encryption {
            Some(identity) => {
                plain.append("encryptedInfo", &encrypt(identity, "encryptedInfo", &sensitive.0)?);
            }
            None => plain.append_all(&sensitive),
        }
    }
    if plain.0.is_empty() {
        return Ok(None);
    }
    let text = Zeroizing::new(format!("{{{}}}", *plain.0));
    Ok(Some(Zeroizing::new(STANDARD.encode(text.as_bytes()))))
}

/// `k=v&k=v`.
#[derive(Default)]
struct Pairs(Zeroizing<String>);

impl Pairs {
    fn add_some(&mut self, key: &'static str, value: Option<&str>) -> Result<(), String> {
        value.map_or(Ok(()), |value| self.add(key, value))
    }

    /// A value must not close what it stands in, or a name could add a field.
    fn add(&mut self, key: &'static str, value: &str) -> Result<(), String> {
        let value = value.trim();
        let breaks = |character: char| "&={}[]".contains(character) || character.is_control();
        if value.contains(breaks) {
            return Err(format!("{key}: a character in it cannot be sent to this channel"));
        }
        if !value.is_empty() {
            self.append(key, value);
        }
        Ok(())
    }

    fn append(&mut self, key: &str, value: &str) {
        let separator = if self.0.is_empty() { "" } else { "&" };
        // A new buffer each time: the old one is wiped, which a growing one would not be.
        self.0 = Zeroizing::new(format!("{}{separator}{key}={value}", *self.0));
    }

    fn append_all(&mut self, others: &Self) {
        let separator = if self.0.is_empty() { "" } else { "&" };
        self.0 = Zeroizing::new(format!("{}{separator}{}", *self.0, *others.0));
    }
}
