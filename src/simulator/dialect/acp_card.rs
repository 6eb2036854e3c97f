//! The sensitive fields of an ACP request: decrypted, checked, and reduced to a masked number.
//!
//! `accNo` may be RSA-encrypted with the platform's encryption certificate, which `encryptCertId`
//! names. `customerInfo` is base64 of `{k=v&…}`, in which `encryptedInfo` holds phone number, CVN2
//! and expiry, encrypted in the same way. No decrypted value is kept (I-11).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use zeroize::Zeroizing;

use crate::codec::FieldLimits;
use crate::codec::form::Fields;
use crate::domain::card::{Cvv, Expiry, MaskedPan, Pan};

use super::super::agreements::CardKnown;
use super::super::keys::SimulatorKeys;
use super::super::person::{is_mobile, is_somebody};

pub const FORMAT: &str = "10";
const WRONG_NUMBER: &str = "61";
const WRONG_SECRET: &str = "65";
const WRONG_PERSON: &str = "66";
const EXPIRED: &str = "73";

/// The card data after the check, masked.
pub struct AcpCard {
    pub masked: MaskedPan,
    /// As agreements know it.
    pub known: CardKnown,
    /// The code that declines the card data, if they alone decline the charge.
    pub problem: Option<&'static str>,
}

/// Decrypts and checks the card data of a charge; the error is the code of a malformed request.
pub fn judge(keys: &SimulatorKeys, fields: &Fields, today: Date) -> Result<AcpCard, &'static str> {
    let encrypts = match fields.get("encryptCertId") {
        None => false,
        Some(serial) if serial == keys.encryption_serial => true,
        Some(_) => return Err(FORMAT),
    };
    let number = fields.get("accNo").ok_or("13")?;
    let number = if encrypts { open(keys, number)? } else { Zeroizing::new(number.to_owned()) };
    let (masked, known) = (MaskedPan::from_stored(&number), CardKnown::of(&number));
    if Pan::parse(&number).is_err() {
        return Ok(AcpCard { masked, known, problem: Some(WRONG_NUMBER) });
    }
    let problem = match fields.get("customerInfo") {
        None => None,
        Some(text) => customer_problem(keys, text, encrypts, today)?,
    };
    Ok(AcpCard { masked, known, problem })
}

/// The code by SMS that a request brings in `customerInfo`, where it is a plain key.
pub fn sms_code(fields: &Fields) -> Result<Option<String>, &'static str> {
    let Some(text) = fields.get("customerInfo") else { return Ok(None) };
    let plain = Zeroizing::new(STANDARD.decode(text).map_err(|_| FORMAT)?);
    let customer = Fields::decode_line(&plain, FieldLimits::MESSAGE).map_err(|_| FORMAT)?;
    Ok(customer.get("smsCode").map(str::to_owned))
}

/// Base64, RSA, UTF-8.
fn open(keys: &SimulatorKeys, text: &str) -> Result<Zeroizing<String>, &'static str> {
    let cipher = STANDARD.decode(text).map_err(|_| FORMAT)?;
    let plain = keys.decryptor.decrypt(&cipher).map_err(|_| FORMAT)?;
    let text = std::str::from_utf8(&plain).map_err(|_| FORMAT)?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn customer_problem(
    keys: &SimulatorKeys,
    text: &str,
    encrypts: bool,
    today: Date,
) -> Result<Option<&'static str>, &'static str> {
    let plain = Zeroizing::new(STANDARD.decode(text).map_err(|_| FORMAT)?);
    if !(plain.starts_with(b"{") && plain.ends_with(b"}")) {
        return Err(FORMAT);
    }
    let customer = Fields::decode_line(&plain, FieldLimits::MESSAGE).map_err(|_| FORMAT)?;
    let sealed = match customer.get("encryptedInfo") {
        None => None,
        Some(_) if !encrypts => return Err(FORMAT),
        Some(cipher) => {
            let opened = open(keys, cipher)?;
            let limits = FieldLimits::MESSAGE;
            Some(Fields::decode_line(opened.as_bytes(), limits).map_err(|_| FORMAT)?)
        }
    };
    let get = |key| sealed.as_ref().and_then(|sealed| sealed.get(key)).or(customer.get(key));
    Ok(data_problem(get, today))
}

fn data_problem<'a>(
    get: impl Fn(&'static str) -> Option<&'a str>,
    today: Date,
) -> Option<&'static str> {
    if let Some(text) = get("expired") {
        let Some(expiry) = Expiry::parse_yymm(text) else { return Some(WRONG_SECRET) };
        if expiry.is_before(today.year(), today.month()) {
            return Some(EXPIRED);
        }
    }
    if get("cvn2").is_some_and(|text| Cvv::parse(text).is_none()) {
        return Some(WRONG_SECRET);
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let wrong_phone = |text: &str| !is_mobile(text);
    let wrong_document = |text: &str| text.len() != 2 || !digits(text);
    let wrong_person = get("phoneNo").is_some_and(wrong_phone)
        || get("certifTp").is_some_and(wrong_document)
        || get("certifTp").is_some() != get("certifId").is_some()
        || get("certifTp").zip(get("certifId")).is_some_and(|(kind, id)| !is_somebody(kind, id));
    wrong_person.then_some(WRONG_PERSON)
}
