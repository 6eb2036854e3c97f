//! Signs requests and verifies replies, as a channel file describes it.
//!
//! What is signed is put together from a fixed list of parts and is never evaluated: a body passes
//! through here unread. Keys are parsed once. Must not know what a body means.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName};
use zeroize::Zeroizing;

use super::template::{Part as TemplatePart, split};
use crate::codec::certificate::Certificate;
use crate::codec::form::Fields;
use crate::codec::pem::parse_pem;
use crate::codec::sign::{HmacKey, KeyError, RsaSigner, RsaVerifier, hex_lower};
use crate::domain::time::Timestamp;

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC (RFC 2104) with SHA-256 and a shared key.
    HmacSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2).
    RsaSha256,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Lower case when written, either case when read.
    Hex,
    Base64,
}

impl Encoding {
    fn write(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex_lower(bytes),
            Self::Base64 => BASE64.encode(bytes),
        }
    }

    fn read(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => read_hex(text),
            Self::Base64 => BASE64.decode(text).ok(),
        }
    }
}

fn read_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|half| u8::try_from(half).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// The unit of the timestamp that goes with a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    Seconds,
    Milliseconds,
}

impl TimestampUnit {
    /// Since 1970, as digits.
    pub fn write(self, now: Timestamp) -> String {
        match self {
            Self::Seconds => (now.as_millis() / 1_000).to_string(),
            Self::Milliseconds => now.as_millis().to_string(),
        }
    }
}

/// Where a signature stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Header(HeaderName),
    /// A field of a form.
    Field(String),
}

/// A part of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Literal(String),
    /// The body's bytes, as they travel.
    Body,
    /// The text of the timestamp header.
    Timestamp,
    /// `POST`, `GET` or `PUT`.
    Method,
    /// The URL's path, from the first slash behind the host.
    Path,
    /// The form's fields but the signature, without the empty ones, sorted by the bytes of their
    /// names and written `name=value&name=value`, not percent-encoded.
    SortedFields,
}

impl Part {
    /// The words of `over`.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("body", Self::Body),
        ("timestamp", Self::Timestamp),
        ("method", Self::Method),
        ("path", Self::Path),
        ("sorted_fields", Self::SortedFields),
    ];
}

/// Reads `over`. The error says what is wrong with it.
pub fn parse_over(text: &str) -> Result<Vec<Part>, String> {
    let parts = split(text).map_err(|mistake| mistake.problem)?;
    let read = |part| match part {
        TemplatePart::Literal(text) => Ok(Part::Literal(text.to_owned())),
        TemplatePart::Expression(word) => {
            let known = Part::WORDS.into_iter().find(|(name, _)| *name == word);
            known.map(|(_, part)| part).ok_or_else(|| format!("`{word}` is not a word of `over`"))
        }
    };
    parts.into_iter().map(read).collect()
}

/// What there is to sign in one message.
#[derive(Clone, Copy)]
pub struct Message<'m> {
    pub body: &'m [u8],
    pub timestamp: &'m str,
    pub method: &'m str,
    pub path: &'m str,
    /// The form's fields; `None` where the body is no form.
    pub fields: Option<&'m Fields>,
}

impl Message<'_> {
    /// The bytes that are signed, wiped when dropped: a body may hold card data.
    fn bytes(&self, over: &[Part], place: &Place) -> Zeroizing<Vec<u8>> {
        let sorted = if over.contains(&Part::SortedFields) {
            self.sorted_fields(place)
        } else {
            Zeroizing::new(String::new())
        };
        let pieces: Vec<&[u8]> = over
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.as_bytes(),
                Part::Body => self.body,
                Part::Timestamp => self.timestamp.as_bytes(),
                Part::Method => self.method.as_bytes(),
                Part::Path => self.path.as_bytes(),
                Part::SortedFields => sorted.as_bytes(),
            })
            .collect();
        Zeroizing::new(pieces.concat())
    }

    fn sorted_fields(&self, place: &Place) -> Zeroizing<String> {
        let signature = match place {
            Place::Field(name) => Some(name.as_str()),
            Place::Header(_) => None,
        };
        let mut text = Zeroizing::new(String::with_capacity(self.body.len() + 512));
        for (key, value) in self.fields.into_iter().flat_map(Fields::iter) {
            if value.is_empty() || Some(key) == signature {
                continue;
            }
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(key);
            text.push('=');
            text.push_str(value);
        }
        text
    }
}

/// A key that signs what we send.
#[derive(Debug)]
pub enum SigningKey {
    Hmac(Box<HmacKey>),
    Rsa(Box<RsaSigner>),
}

impl SigningKey {
    /// `text` is the shared key itself, or the PEM text of a private key.
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, String> {
        match algorithm {
            Algorithm::HmacSha256 => parse_shared(text).map(|key| Self::Hmac(Box::new(key))),
            Algorithm::RsaSha256 => {
                let signer = RsaSigner::from_pem(text).map_err(|error| error.to_string())?;
                Ok(Self::Rsa(Box::new(signer)))
            }
        }
    }
}

/// A key that proves what the channel sends.
#[derive(Debug)]
pub enum VerifyingKey {
    Hmac(Box<HmacKey>),
    Rsa(Box<RsaVerifier>),
}

impl VerifyingKey {
    /// `text` is the shared key itself, or the PEM text of a public key or a certificate. The
    /// certificate is only a wrapper here: the file pins its key, so its dates prove nothing.
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, String> {
        match algorithm {
            Algorithm::HmacSha256 => parse_shared(text).map(|key| Self::Hmac(Box::new(key))),
            Algorithm::RsaSha256 => {
                let verifier = parse_public_key(text).map_err(|error| error.to_string())?;
                Ok(Self::Rsa(Box::new(verifier)))
            }
        }
    }

    fn proves(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(key) => key.verify(&[message], signature).is_ok(),
            Self::Rsa(key) => key.verify(message, signature).is_ok(),
        }
    }
}

/// A line end behind the key is the editor's, not the key's.
fn parse_shared(text: &str) -> Result<HmacKey, String> {
    let key = text.trim_end_matches(['\r', '\n']);
    if key.is_empty() {
        return Err("the shared key is empty".to_owned());
    }
    Ok(HmacKey::new(key.as_bytes()))
}

fn parse_public_key(text: &str) -> Result<RsaVerifier, KeyError> {
    let blocks = parse_pem(text)?;
    let key = blocks.iter().find(|b| matches!(b.label(), "PUBLIC KEY" | "RSA PUBLIC KEY"));
    match key {
        Some(block) => RsaVerifier::from_der(&block.contents),
        None => Certificate::from_pem(text).map_err(|_| KeyError::PublicKey)?.verifier(),
    }
}

/// How our requests are signed.
#[derive(Debug)]
pub struct Signing {
    pub key: SigningKey,
    pub over: Vec<Part>,
    pub encoding: Encoding,
    pub place: Place,
    pub timestamp_header: Option<HeaderName>,
    pub timestamp_unit: TimestampUnit,
}

impl Signing {
    /// The signature's text.
    pub fn sign(&self, message: &Message<'_>) -> String {
        let bytes = message.bytes(&self.over, &self.place);
        match &self.key {
            SigningKey::Hmac(key) => self.encoding.write(&key.tag(&[&bytes])),
            SigningKey::Rsa(key) => self.encoding.write(&key.sign(&bytes)),
        }
    }
}

/// How the channel's replies are verified.
#[derive(Debug)]
pub struct Verification {
    /// Several are good at once, so that the channel can change its key.
    pub keys: Vec<VerifyingKey>,
    pub over: Vec<Part>,
    pub encoding: Encoding,
    pub place: Place,
    pub timestamp_header: Option<HeaderName>,
}

impl Verification {
    /// Whether one of the keys signed this reply. `fields` is the reply's form, if it is one.
    pub fn proves(&self, headers: &HeaderMap, body: &[u8], fields: Option<&Fields>) -> bool {
        let header = |name: &HeaderName| only_value(headers, name);
        let signature = match &self.place {
            Place::Header(name) => header(name),
            Place::Field(name) => fields.and_then(|fields| fields.get(name)),
        };
        let timestamp = match &self.timestamp_header {
            Some(name) => header(name),
            None => Some(""),
        };
        let (Some(signature), Some(timestamp)) = (signature, timestamp) else { return false };
        let Some(signature) = self.encoding.read(signature) else { return false };
        let message = Message { body, timestamp, method: "", path: "", fields };
        let bytes = message.bytes(&self.over, &self.place);
        self.keys.iter().any(|key| key.proves(&bytes, &signature))
    }
}

/// The header's value if there is exactly one: of two, which was signed would be a guess.
fn only_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: Message<'_> =
        Message { body: b"", timestamp: "", method: "", path: "", fields: None };

    #[test]
    fn an_hmac_signature_matches_rfc_4231() {
        let signing = |encoding| Signing {
            key: SigningKey::parse(Algorithm::HmacSha256, "Jefe\n").expect("a key"),
            over: parse_over("what do ya want {{ body }}").expect("parts"),
            encoding,
            place: Place::Header(HeaderName::from_static("x-signature")),
            timestamp_header: None,
            timestamp_unit: TimestampUnit::Seconds,
        };
        // RFC 4231 §4.3, test case 2.
        let message = Message { body: b"for nothing?", ..EMPTY };
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signing(Encoding::Hex).sign(&message), hex);
        let base64 = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
        assert_eq!(signing(Encoding::Base64).sign(&message), base64);
    }

    #[test]
    fn signed_fields_are_sorted_and_neither_empty_nor_the_signature() {
        let fields: Fields =
            [("b", "2&="), ("sign", "x"), ("a", "1"), ("c", ""), ("B", "3")].into_iter().collect();
        let message = Message { fields: Some(&fields), ..EMPTY };
        let over = parse_over("<{{ sorted_fields }}>").expect("parts");
        let bytes = message.bytes(&over, &Place::Field("sign".to_owned()));
        assert_eq!(&**bytes, b"<B=3&a=1&b=2&=>");
    }

    #[test]
    fn over_has_a_fixed_list_of_words() {
        let whole = "{{method}} {{ path }}\n{{ timestamp }}{{ body }}";
        assert_eq!(parse_over(whole).expect("parts").len(), 6);
        for wrong in ["{{ bdy }}", "{{ body", "{{ body | upper }}", "{{ card.number }}"] {
            assert!(parse_over(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hexadecimal_is_read_in_pairs() {
        assert_eq!(read_hex("00fFa1"), Some(vec![0, 255, 161]));
        assert_eq!(read_hex(""), Some(Vec::new()));
        for wrong in ["0", "0g", "+1", "é"] {
            assert_eq!(read_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_empty_key_is_refused() {
        assert!(SigningKey::parse(Algorithm::HmacSha256, "\n").is_err());
        assert!(VerifyingKey::parse(Algorithm::RsaSha256, "no key").is_err());
    }
}
