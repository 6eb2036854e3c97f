//! Signed posts of ours: Standard Webhooks (www.standardwebhooks.com), symmetric signatures.
//!
//! `webhook-id` names the notice and is the same at every try, `webhook-timestamp` is the second
//! of this try, and `webhook-signature` holds one `v1,<base64>` for each key, parted by blanks.
//! Each is HMAC-SHA256 over `<id>.<timestamp>.<body>`. A receiver takes the message if one of them
//! fits a key of its own, so that keys are changed without a moment between them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::sign::HmacKey;

/// The header that names a notice.
pub const ID_HEADER: &str = "webhook-id";
/// The header that says when a try was made, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header of the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// What the text of a key begins with.
const KEY_PREFIX: &str = "whsec_";
/// The bytes of a key: 24 to 64, as the specification asks for.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A key that signs notices. Its text is `whsec_` and the base64 of 24 to 64 bytes.
#[derive(Debug, Clone)]
pub struct WebhookKey(HmacKey);

/// Why a text is no key. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key for notices is `whsec_` and the base64 of 24 to 64 bytes")]
pub struct WebhookKeyError;

impl WebhookKey {
    pub fn parse(text: &str) -> Result<Self, WebhookKeyError> {
        let encoded = text.strip_prefix(KEY_PREFIX).ok_or(WebhookKeyError)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| WebhookKeyError)?);
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(WebhookKeyError);
        }
        Ok(Self(HmacKey::new(&bytes)))
    }

    /// The text of a key of these bytes.
    pub fn text_of(bytes: &[u8; 32]) -> Zeroizing<String> {
        let encoded = Zeroizing::new(STANDARD.encode(bytes));
        Zeroizing::new(format!("{KEY_PREFIX}{}", encoded.as_str()))
    }

    fn tag(&self, id: &str, at_s: i64, body: &[u8]) -> [u8; 32] {
        let time = at_s.to_string();
        self.0.tag(&[id.as_bytes(), b".", time.as_bytes(), b".", body])
    }

    /// Whether one of the signatures in the header's value is this key's, compared in constant
    /// time. How old a message may be is for the receiver to say.
    pub fn has_signed(&self, signatures: &str, id: &str, at_s: i64, body: &[u8]) -> bool {
        let time = at_s.to_string();
        let pieces = [id.as_bytes(), b".", time.as_bytes(), b".", body];
        let tags = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        tags.filter_map(|tag| STANDARD.decode(tag).ok())
            .any(|tag| self.0.verify(&pieces, &tag).is_ok())
    }
}

/// The value of the signatures' header: one of each key, in their order.
pub fn signatures(keys: &[WebhookKey], id: &str, at_s: i64, body: &[u8]) -> String {
    let one = |key: &WebhookKey| format!("v1,{}", STANDARD.encode(key.tag(id, at_s, body)));
    keys.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    #[test]
    fn the_specifications_own_example_is_signed_alike() {
        let key = WebhookKey::parse(KEY).expect("a key");
        let signed = signatures(std::slice::from_ref(&key), ID, 1_614_265_330, BODY);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(key.has_signed(&signed, ID, 1_614_265_330, BODY));
        assert!(!key.has_signed(&signed, ID, 1_614_265_331, BODY));
        assert!(!key.has_signed(&signed, "msg_2", 1_614_265_330, BODY));
        assert!(!key.has_signed(&signed, ID, 1_614_265_330, b"{}"));
        assert!(!key.has_signed("", ID, 1_614_265_330, BODY));
    }

    #[test]
    fn either_of_two_keys_is_enough() {
        let keys = [[1; 32], [2; 32]].map(|bytes| WebhookKey::text_of(&bytes));
        let keys = keys.map(|text| WebhookKey::parse(&text).expect("a key"));
        let signed = signatures(&keys, ID, 1, BODY);
        assert!(keys.iter().all(|key| key.has_signed(&signed, ID, 1, BODY)), "{signed}");
        let third = WebhookKey::parse(KEY).expect("a key");
        assert!(!third.has_signed(&signed, ID, 1, BODY));
    }

    #[test]
    fn a_text_that_is_no_key_is_refused() {
        let short = STANDARD.encode([0; 23]);
        let long = STANDARD.encode([0; 65]);
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_*"] {
            assert!(WebhookKey::parse(text).is_err(), "{text}");
        }
        for encoded in [short, long] {
            assert!(WebhookKey::parse(&format!("whsec_{encoded}")).is_err(), "{encoded}");
        }
    }
}
