//! What is kept of a channel's own words, and of a request's: card data masked, bounded in length.
//!
//! For protocols whose messages have no field list of their own. It upholds I-11; what card data is
//! and how it is found stands in [`crate::domain::card::words`].

use std::borrow::Cow;

use crate::channel::{ChannelRequest, ReplyMeaning, TRANSCRIPT_BYTES_MAX};
use crate::domain::card::words::{CardEcho, mask_echo, mask_values};

/// What is looked at beyond the limit, so that no number is cut before it is recognised: the
/// longest card number with every digit and joint escaped.
const MARGIN_BYTES: usize = 256;

/// What stands in place of a secret in a request's words.
pub const MASK: &str = "***";

/// The characters of a signature that are shown where what it covers is masked.
const SIGNATURE_SHOWN: usize = 12;

/// The body of a reply as a transcript: without the card's number, CVV, expiry and owner in any
/// spelling, and without whatever else looks like a card number and is none of `known`.
///
/// Control characters become blanks, bytes that are no UTF-8 become U+FFFD.
pub fn keep_words(body: &[u8], echo: CardEcho<'_>, known: &[&str]) -> String {
    let seen = &body[..body.len().min(TRANSCRIPT_BYTES_MAX + MARGIN_BYTES)];
    cut_words(match std::str::from_utf8(seen) {
        Ok(whole) => mask_echo(whole, echo, known),
        Err(_) => mask_echo(&String::from_utf8_lossy(seen), echo, known),
    })
}

/// As much of them as is kept.
pub fn cut_words(mut words: String) -> String {
    let mut end = words.len().min(TRANSCRIPT_BYTES_MAX);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    words.truncate(end);
    words
}

/// A signature as it is shown: whole where all that it covers is shown, else its beginning. A whole
/// one would prove or refute each guess at what is masked, and a card number has but nine digits to
/// guess; the beginning is enough to find the request by in the channel's log.
pub fn signature_shown(signature: &str, covers_shown: bool) -> Cow<'_, str> {
    match signature.char_indices().nth(SIGNATURE_SHOWN) {
        Some((end, _)) if !covers_shown => Cow::Owned(format!("{}…", &signature[..end])),
        Some(_) | None => Cow::Borrowed(signature),
    }
}

/// The channel's number of a transaction is kept as it came, unless it is the card's number.
pub fn mask_reference(understood: ReplyMeaning, request: &ChannelRequest) -> ReplyMeaning {
    let echo = request.echo().number();
    let holds_it = understood.outcome.reference().is_some_and(|text| echo.has_number_in(text));
    if !holds_it {
        return understood;
    }
    let masked = mask_values(understood.outcome.reference().unwrap_or_default(), echo);
    ReplyMeaning { outcome: understood.outcome.with_reference(masked), ..understood }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::card::{CardInput, Pan};
    use proptest::prelude::*;

    fn card() -> CardInput {
        let pan = Pan::parse("4111111111111111").expect("a test number");
        let mut card = CardInput::of_number(pan);
        (card.holder, card.phone) = (Some("张三".to_owned()), Some("13800138000".to_owned()));
        card
    }

    #[test]
    fn i_11_what_the_request_knew_is_masked_even_inside_other_digits() {
        let body = "x994111111111111111y 13800138000 张三".as_bytes();
        let words = keep_words(body, CardEcho::of(&card()), &[]);
        assert_eq!(words, "x994111********1111y 1********** 张*");
    }

    #[test]
    fn a_transcript_is_short_plain_text() {
        let body = format!("{}4111111111111111", "é".repeat(TRANSCRIPT_BYTES_MAX / 2 - 4));
        let words = keep_words(body.as_bytes(), CardEcho::NONE, &[]);
        assert!(words.len() <= TRANSCRIPT_BYTES_MAX);
        assert!(words.ends_with("411111**"), "a number that is cut was recognised first");
        assert_eq!(keep_words(b"a\0b\xff", CardEcho::NONE, &[]), "a b\u{fffd}");
    }

    #[test]
    fn i_11_a_signature_is_whole_only_where_all_that_it_covers_is_shown() {
        let whole = "MEUCIQDg9vXgr6S3kZ1tYw==";
        assert_eq!(signature_shown(whole, true), whole);
        assert_eq!(signature_shown(whole, false), "MEUCIQDg9vXg…");
        assert_eq!(signature_shown("0123456789ab", false), "0123456789ab");
        assert_eq!(signature_shown("", false), "");
    }

    proptest! {
        #[test]
        fn no_body_breaks_it(body in proptest::collection::vec(any::<u8>(), 0..6_000)) {
            let words = keep_words(&body, CardEcho::of(&card()), &[]);
            prop_assert!(words.len() <= TRANSCRIPT_BYTES_MAX);
        }
    }
}
