//! What is kept of a channel's own words: card data masked, bounded in length.
//!
//! For protocols whose replies have no field list of their own. It upholds I-11 by the look of the
//! digits: a run that could be a card number is one.

use crate::channel::VOUCHER_BYTES_MAX;
use crate::domain::card::{PAN_LENGTH_MAX, PAN_LENGTH_MIN, luhn_fits, mask};

/// What is looked at beyond the limit, so that no number is cut before it is recognised.
const MARGIN_BYTES: usize = 64;

/// The body of a reply as a voucher.
///
/// Every run of twelve or more digits that passes the Luhn check keeps its first six and last four,
/// also when it is written in groups; so does every echo of `private` (card number, name, identity
/// number, phone). Control characters become blanks, bytes that are no UTF-8 become U+FFFD.
pub fn keep_words<'p>(body: &[u8], private: impl Iterator<Item = &'p str>) -> String {
    let seen = &body[..body.len().min(VOUCHER_BYTES_MAX + MARGIN_BYTES)];
    let mut text = String::from_utf8_lossy(seen).into_owned();
    for secret in private.filter(|secret| !secret.is_empty()) {
        if text.contains(secret) {
            text = text.replace(secret, &hide(secret));
        }
    }
    let mut text = mask_card_numbers(&text);
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, " ");
    }
    let mut end = text.len().min(VOUCHER_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// A long text keeps its ends, a short one (a name, a phone number) its first character.
fn hide(secret: &str) -> String {
    if secret.chars().count() >= PAN_LENGTH_MIN {
        return mask(secret);
    }
    let kept = |(place, character)| if place == 0 { character } else { '*' };
    secret.chars().enumerate().map(kept).collect()
}

/// Masks what looks like a card number: first each run of digits, then each chain of runs that
/// single blanks or dashes join.
pub fn mask_card_numbers(text: &str) -> String {
    let by_run = mask_runs(text, |_| false, usize::MAX);
    mask_runs(&by_run, |byte| matches!(byte, b' ' | b'-'), PAN_LENGTH_MAX)
}

/// Masks each run of 12 to `digits_max` digits that passes the Luhn check. A byte for which
/// `is_joint` holds belongs to a run when it stands alone between two digits.
fn mask_runs(text: &str, is_joint: impl Fn(u8) -> bool, digits_max: usize) -> String {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut out = String::with_capacity(text.len());
    let mut written = 0;
    let mut at = 0;
    while at < bytes.len() {
        if !is_digit(at) {
            at += 1;
            continue;
        }
        let start = at;
        while is_digit(at) || (at < bytes.len() && is_joint(bytes[at]) && is_digit(at + 1)) {
            at += 1;
        }
        let run = &text[start..at];
        let digits: Vec<u8> = run.bytes().filter(u8::is_ascii_digit).collect();
        if (PAN_LENGTH_MIN..=digits_max).contains(&digits.len()) && luhn_fits(&digits) {
            out.push_str(&text[written..start]);
            push_masked(&mut out, run, digits.len());
            written = at;
        }
    }
    out.push_str(&text[written..]);
    out
}

/// The run with all but its first six and last four digits as stars.
fn push_masked(out: &mut String, run: &str, digits: usize) {
    let mut place = 0;
    for character in run.chars() {
        let is_digit = character.is_ascii_digit();
        let hidden = is_digit && place >= 6 && place + 4 < digits;
        out.push(if hidden { '*' } else { character });
        place += usize::from(is_digit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn i_11_card_numbers_are_masked_wherever_they_stand() {
        let rows = [
            (r#"{"card":"4111111111111111"}"#, r#"{"card":"411111******1111"}"#),
            ("6216261000000000018", "621626*********0018"),
            ("4111 1111 1111 1111", "4111 11** **** 1111"),
            ("4111-1111-1111-1111 x", "4111-11**-****-1111 x"),
            ("7 4111111111111111", "7 411111******1111"),
            ("4111111111111112", "4111111111111112"),
            ("00000000018", "00000000018"),
            ("卡4111111111111111号", "卡411111******1111号"),
            ("", ""),
        ];
        for (text, expected) in rows {
            assert_eq!(mask_card_numbers(text), expected);
        }
    }

    #[test]
    fn i_11_what_the_request_knew_is_masked_even_inside_other_digits() {
        let body = "x994111111111111111y 13800138000 张三".as_bytes();
        let private = ["4111111111111111", "13800138000", "张三"];
        let words = keep_words(body, private.into_iter());
        assert_eq!(words, "x99411111******1111y 1********** 张*");
    }

    #[test]
    fn a_voucher_is_short_plain_text() {
        let body = format!("{}4111111111111111", "é".repeat(VOUCHER_BYTES_MAX / 2 - 4));
        let words = keep_words(body.as_bytes(), std::iter::empty());
        assert!(words.len() <= VOUCHER_BYTES_MAX);
        assert!(words.ends_with("411111**"), "a number that is cut was recognised first");
        assert_eq!(keep_words(b"a\0b\xff", std::iter::empty()), "a b\u{fffd}");
    }

    proptest! {
        #[test]
        fn no_body_breaks_it(body in proptest::collection::vec(any::<u8>(), 0..6_000)) {
            prop_assert!(keep_words(&body, std::iter::empty()).len() <= VOUCHER_BYTES_MAX);
        }
    }
}
