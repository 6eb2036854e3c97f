//! The channel's own words as they are kept: the fields of a message with card data taken out.
//!
//! Upholds I-11. The fields stand in byte order of their names, which is the order in which they
//! were signed. Values that hold card data by their name are hidden; in all others what looks like
//! a card number is masked, unless a believed message says by its field's name that it is something
//! else.

use crate::channel::TRANSCRIPT_BYTES_MAX;
use crate::channel::protocol::transcript::{MASK, cut_words};
use crate::codec::form::Fields;
use crate::domain::card::mask;
use crate::domain::card::words::{is_secret_name, mask_cards};

use super::trust::SIGNER_CERTIFICATE;

/// Fields that are never kept, in clear or encrypted.
const HIDDEN: [&str; 14] = [
    "cardTransData",
    "certifId",
    "customerInfo",
    "customerNm",
    "cvn2",
    "encryptPubKeyCert",
    "encryptedInfo",
    "expired",
    "phoneNo",
    "pin",
    "smsCode",
    "tn",
    "token",
    "tokenPayData",
];
/// Card numbers: masked when they come as digits, hidden when encrypted.
const CARD_NUMBERS: [&str; 3] = ["accNo", "payCardNo", "virtualCardNo"];
/// Long digits that are no card number.
pub(super) const IDENTIFIERS: [&str; 12] = [
    "certId",
    "encryptCertId",
    "merId",
    "orderId",
    "origOrderId",
    "origQryId",
    "origTxnTime",
    "preAuthId",
    "queryId",
    "signature",
    "txnAmt",
    "txnTime",
];

/// The words of a message. `signer_serial` stands for the signer's certificate and means that the
/// message is believed.
pub(super) fn transcript(fields: &Fields, signer_serial: Option<&str>) -> String {
    let mut words = String::with_capacity(1_024);
    append(&mut words, fields, signer_serial);
    cut_words(words)
}

/// The words of a message that is not believed, after the reason.
pub(super) fn rejected_transcript(reason: &str, fields: &Fields) -> String {
    let mut words = format!("not believed: {reason}; ");
    append(&mut words, fields, None);
    cut_words(words)
}

/// The words of a request whose fields are masked already; what its free texts hold is masked here.
pub(super) fn sent(url: &str, fields: &Fields) -> String {
    let mut words = format!("POST {url}\n");
    append(&mut words, fields, Some(""));
    cut_words(words)
}

/// The same fields with what holds card data by its name hidden; a card number keeps its ends, and
/// a certificate is named only: `certId` tells which.
pub(super) fn without_card_data(fields: &Fields) -> Fields {
    let shown = |(key, value): (&str, &str)| {
        let is_certificate = key == SIGNER_CERTIFICATE;
        let shown = if is_certificate { "(PEM)".to_owned() } else { shown_value(key, value) };
        (key.to_owned(), shown)
    };
    let shown: Vec<(String, String)> = fields.iter().map(shown).collect();
    shown.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// Whether a field holds card data, by its name.
fn is_card_data(key: &str) -> bool {
    HIDDEN.contains(&key) || CARD_NUMBERS.contains(&key) || is_secret_name(key)
}

/// A value as it may be seen, by its field's name.
fn shown_value(key: &str, value: &str) -> String {
    if HIDDEN.contains(&key) || is_secret_name(key) {
        MASK.to_owned()
    } else if CARD_NUMBERS.contains(&key) {
        let clear = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*');
        if clear { mask(value) } else { MASK.to_owned() }
    } else {
        value.to_owned()
    }
}

fn append(words: &mut String, fields: &Fields, signer_serial: Option<&str>) {
    let believed = signer_serial.is_some();
    for (place, (key, value)) in fields.iter().enumerate() {
        if words.len() > TRANSCRIPT_BYTES_MAX {
            return;
        }
        if place > 0 {
            words.push('&');
        }
        words.push_str(&mask_cards(key));
        words.push('=');
        if key == SIGNER_CERTIFICATE {
            words.push_str("serial:");
            words.push_str(signer_serial.unwrap_or(MASK));
        } else if is_card_data(key) || believed && IDENTIFIERS.contains(&key) {
            words.push_str(&shown_value(key, value));
        } else {
            words.push_str(&mask_cards(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().copied().collect()
    }

    #[test]
    fn i_11_a_transcript_has_no_card_data() {
        let message = fields(&[
            ("accNo", "6216261000000000018"),
            ("customerInfo", "e2N2bjI9MTIzfQ=="),
            ("orderId", "261122001000000000901"),
            ("payCardNo", "AbCd+/=="),
            ("reqReserved", "card 6216 2610 0000 0000 018 said"),
            ("respMsg", "成功[0000000]"),
            ("signPubKeyCert", "-----BEGIN CERTIFICATE-----\nAA"),
            ("tokenPayData", "{token=6235240000020757577&trId=1}"),
        ]);
        assert_eq!(
            transcript(&message, Some("68759663125")),
            "accNo=621626*********0018&customerInfo=***&orderId=261122001000000000901\
             &payCardNo=***&reqReserved=card 6216 26** **** ***0 018 said&respMsg=成功[0000000]\
             &signPubKeyCert=serial:68759663125&tokenPayData=***"
        );
        assert_eq!(
            rejected_transcript("no", &fields(&[("orderId", "6216261000000000018")])),
            "not believed: no; orderId=621626*********0018"
        );
    }

    #[test]
    fn i_11_no_spelling_brings_a_card_number_through() {
        for spelling in [
            "6216261000000000018",
            "6216-2610-0000-0000-018",
            "x6216261000000000018y",
            "６２１６２６１００００００００００１８",
            "{pan=6216261000000000018}",
        ] {
            for (key, value) in [("respMsg", spelling), (spelling, "x"), ("merId", spelling)] {
                let words = rejected_transcript("no", &fields(&[(key, value)]));
                let clear = words.chars().filter(|character| character.is_numeric()).count();
                assert!(clear <= 10, "{words}");
            }
        }
    }

    #[test]
    fn a_transcript_is_short_and_on_one_line() {
        let message = fields(&[("a", &"成".repeat(TRANSCRIPT_BYTES_MAX)), ("b", "x\ny")]);
        assert!(transcript(&message, Some("1")).len() <= TRANSCRIPT_BYTES_MAX);
        assert_eq!(transcript(&fields(&[("b", "x\ny")]), Some("1")), "b=x y");
        assert_eq!(transcript(&fields(&[]), None), "");
    }
}
