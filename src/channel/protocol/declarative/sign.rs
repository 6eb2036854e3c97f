//! Signs requests and verifies what the channel sends, as a channel file describes it.
//!
//! What is signed and what headers say is put together from a fixed list of parts and is never
//! evaluated: a body passes through here unread. The same description serves both directions: a
//! header's parts are written when signing, and matched when verifying.

use http::{HeaderMap, HeaderName};
use zeroize::Zeroizing;

use super::document::MessageBody;
use super::format::BodyForm;
use super::keys::{Encoding, SigningKey, VerifyingKey};
use super::parts::{TemplatePart, split};
use crate::codec::crypto::digest::Digest;
use crate::codec::form::Fields;
use crate::domain::time::Timestamp;

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

/// A part of what is signed, or of a header that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedPart {
    Literal(String),
    /// The body's bytes, as they travel.
    Body,
    /// A digest of these bytes.
    BodyDigest(Digest, Encoding),
    /// The moment of sending.
    Timestamp,
    /// 32 hexadecimal digits that are new in each request.
    Nonce,
    /// `POST`, `GET` or `PUT`.
    Method,
    /// The URL's path, from the first slash behind the host, with its query.
    Path,
    /// The values at the body's top but the signature, without the empty ones, sorted by the bytes
    /// of their names and written `name=value&name=value`, not percent-encoded.
    SortedFields,
    /// One child of the outermost XML element, its tags included, as it travels.
    Element,
    /// The shared key, for plain digests.
    Key,
    /// Which key signed.
    KeyId,
    /// The signature itself, in headers.
    Signature,
}

impl SignedPart {
    const WORDS: [(&'static str, Self); 14] = [
        ("body", Self::Body),
        ("body_md5", Self::BodyDigest(Digest::Md5, Encoding::Hex)),
        ("body_sha256", Self::BodyDigest(Digest::Sha256, Encoding::Hex)),
        ("body_sha256_base64", Self::BodyDigest(Digest::Sha256, Encoding::Base64)),
        ("body_sm3", Self::BodyDigest(Digest::Sm3, Encoding::Hex)),
        ("timestamp", Self::Timestamp),
        ("nonce", Self::Nonce),
        ("method", Self::Method),
        ("path", Self::Path),
        ("sorted_fields", Self::SortedFields),
        ("element", Self::Element),
        ("key", Self::Key),
        ("key_id", Self::KeyId),
        ("signature", Self::Signature),
    ];

    /// Whether it holds the message's content, so that a signature over it proves the message.
    pub const fn is_content(&self) -> bool {
        matches!(self, Self::Body | Self::BodyDigest(..) | Self::SortedFields | Self::Element)
    }
}

/// Reads a text of parts. `value` gives the file's own constants. The error says what is wrong.
pub fn parse_parts(
    text: &str,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<SignedPart>, String> {
    let parts = split(text).map_err(|mistake| mistake.problem)?;
    let read = |part| match part {
        TemplatePart::Literal(text) => Ok(SignedPart::Literal(text.to_owned())),
        TemplatePart::Expression(word) => {
            let known = SignedPart::WORDS.into_iter().find(|(name, _)| *name == word);
            let known = known.map(|(_, part)| part);
            known.or_else(|| value(word).map(SignedPart::Literal)).ok_or_else(|| {
                let known: Vec<&str> = SignedPart::WORDS.iter().map(|(name, _)| *name).collect();
                format!("`{word}` is not a word of signatures ({})", known.join(", "))
            })
        }
    };
    parts.into_iter().map(read).collect()
}

/// The parts that signing and verifying share.
#[derive(Debug)]
pub struct Seal {
    /// The text that is signed, in parts.
    pub over: Vec<SignedPart>,
    /// Headers of the request, or those in which a reply brings its signature.
    pub headers: Vec<(HeaderName, Vec<SignedPart>)>,
    /// The value at the body's top that is the signature, if it is no header.
    pub field: Option<String>,
    /// Further values that are not signed.
    pub exclude: Vec<String>,
    /// Whether values that are there and empty are signed too.
    pub keeps_empty: bool,
    /// The element that is signed.
    pub element: Option<String>,
    pub encoding: Encoding,
    /// How the messages are written that it is on.
    pub form: BodyForm,
}

impl Seal {
    /// Whether what is signed, or the signature itself, stands inside a message that is a document.
    pub fn needs_document(&self) -> bool {
        let inside =
            |part: &SignedPart| matches!(part, SignedPart::SortedFields | SignedPart::Element);
        self.field.is_some() || self.over.iter().any(inside)
    }

    fn needs_bytes(&self) -> bool {
        let parts = self.over.iter().chain(self.headers.iter().flat_map(|(_, parts)| parts));
        let mut parts = parts.filter(|part| part.is_content());
        parts.any(|part| *part != SignedPart::SortedFields)
    }

    /// The bytes that are signed, wiped when dropped: a body may hold card data.
    fn message(
        &self,
        facts: &Facts<'_>,
        document: Option<&MessageBody>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let mut out = Zeroizing::new(Vec::with_capacity(facts.body.len() + 256));
        for part in &self.over {
            match part {
                SignedPart::SortedFields => {
                    let fields = document?.top_fields()?;
                    self.push_sorted(&fields, &mut out)?;
                }
                SignedPart::Element => {
                    let span = document?.element(self.element.as_deref()?)?;
                    out.extend_from_slice(facts.body.get(span)?);
                }
                SignedPart::Body => out.extend_from_slice(facts.body),
                SignedPart::Literal(_)
                | SignedPart::BodyDigest(..)
                | SignedPart::Timestamp
                | SignedPart::Nonce
                | SignedPart::Method
                | SignedPart::Path
                | SignedPart::Key
                | SignedPart::KeyId
                | SignedPart::Signature => out.extend_from_slice(facts.text(part).as_bytes()),
            }
        }
        Some(out)
    }

    fn push_sorted(&self, fields: &Fields, out: &mut Vec<u8>) -> Option<()> {
        let charset = self.form.charset;
        let start = out.len();
        for (key, value) in fields.iter() {
            let is_left_out = (value.is_empty() && !self.keeps_empty)
                || self.field.as_deref() == Some(key)
                || self.exclude.iter().any(|name| name == key);
            if is_left_out {
                continue;
            }
            if out.len() > start {
                out.push(b'&');
            }
            out.extend_from_slice(&charset.encode(key)?);
            out.push(b'=');
            out.extend_from_slice(&charset.encode(value)?);
        }
        Some(())
    }
}

/// The facts of one message that a signature may cover.
#[derive(Default)]
struct Facts<'m> {
    body: &'m [u8],
    timestamp: &'m str,
    nonce: &'m str,
    method: &'m str,
    path: &'m str,
    key: &'m str,
    key_id: &'m str,
    signature: &'m str,
}

impl Facts<'_> {
    /// A part that is a short text; content is nothing here.
    fn text(&self, part: &SignedPart) -> String {
        match part {
            SignedPart::Literal(text) => text.clone(),
            SignedPart::BodyDigest(digest, encoding) => encoding.write(&digest.of(&[self.body])),
            SignedPart::Timestamp => self.timestamp.to_owned(),
            SignedPart::Nonce => self.nonce.to_owned(),
            SignedPart::Method => self.method.to_owned(),
            SignedPart::Path => self.path.to_owned(),
            SignedPart::Key => self.key.to_owned(),
            SignedPart::KeyId => self.key_id.to_owned(),
            SignedPart::Signature => self.signature.to_owned(),
            SignedPart::Body | SignedPart::SortedFields | SignedPart::Element => String::new(),
        }
    }
}

/// One request that is about to be signed.
pub struct UnsignedRequest<'m> {
    pub method: &'m str,
    /// With its query.
    pub path: &'m str,
    /// Asked for only where something is signed.
    pub nonce: &'m dyn Fn() -> String,
    pub now: Timestamp,
}

/// A signed request's headers and body.
pub struct SignedRequest {
    pub headers: Vec<(HeaderName, String)>,
    pub body: Vec<u8>,
}

/// How our requests are signed.
#[derive(Debug)]
pub struct Signing {
    pub key: SigningKey,
    pub key_id: String,
    pub seal: Seal,
    pub timestamp_unit: TimestampUnit,
}

impl Signing {
    /// Writes and signs a body. The error never quotes a value.
    pub fn apply(
        &self,
        document: Option<MessageBody>,
        outgoing: &UnsignedRequest<'_>,
    ) -> Result<SignedRequest, String> {
        let seal = &self.seal;
        let mut document = document;
        let mut body = match &document {
            Some(document) if seal.needs_bytes() || seal.field.is_none() => {
                document.encode(seal.form.charset)?
            }
            Some(_) | None => Vec::new(),
        };
        if seal.element.is_some() {
            // The places of elements are those of the bytes that were just written.
            document = document
                .map(|_| MessageBody::parse(&body, seal.form))
                .transpose()
                .map_err(|_| "the written body cannot be read back".to_owned())?;
        }
        let (timestamp, nonce) = (self.timestamp_unit.write(outgoing.now), (outgoing.nonce)());
        let mut facts = Facts {
            body: &body,
            timestamp: &timestamp,
            nonce: &nonce,
            method: outgoing.method,
            path: outgoing.path,
            key: self.key.text(),
            key_id: &self.key_id,
            signature: "",
        };
        let message = seal.message(&facts, document.as_ref());
        let message = message.ok_or("the body has not what is signed")?;
        let signature = seal.encoding.write(&self.key.sign(&message));
        facts.signature = &signature;
        let write = |parts: &Vec<SignedPart>| parts.iter().map(|part| facts.text(part)).collect();
        let headers =
            seal.headers.iter().map(|(name, parts)| (name.clone(), write(parts))).collect();
        if let Some(field) = &seal.field {
            let mut document =
                document.ok_or("a request without a body has no field to sign in")?;
            document.set_top(field, &signature);
            body = document.encode(seal.form.charset)?;
        }
        Ok(SignedRequest { headers, body })
    }
}

/// How what the channel sends is verified.
#[derive(Debug)]
pub struct Verification {
    /// Several are good at once, so that the channel can change its key; by their ids where the
    /// channel says which one it used.
    pub keys: Vec<(String, VerifyingKey)>,
    pub seal: Seal,
}

/// The signature, and its facts, in a message's headers.
#[derive(Default)]
struct SignatureHeaders<'h> {
    signature: Option<&'h str>,
    timestamp: Option<&'h str>,
    nonce: Option<&'h str>,
    key_id: Option<&'h str>,
}

impl Verification {
    /// Proves that one of the keys signed this message; the error says why it does not, and quotes
    /// nothing of it. A file that is the whole body is no document.
    pub fn prove(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        document: Option<&MessageBody>,
    ) -> Result<(), &'static str> {
        let mut captured = SignatureHeaders::default();
        for (name, parts) in &self.seal.headers {
            let value = only_value(headers, name)
                .ok_or("a header of the signature is missing, or there twice")?;
            if !capture(parts, value, &mut captured) {
                return Err("a header of the signature is not of the form that the file says");
            }
        }
        let in_field = self.seal.field.as_ref().and_then(|name| document?.top(name));
        let signature = in_field.as_deref().or(captured.signature);
        let signature = signature.ok_or("it brings no signature")?;
        let signature = self.seal.encoding.read(signature);
        let signature =
            signature.ok_or("its signature is not of the encoding that the file says")?;
        let named = |id: &str| captured.key_id.is_none_or(|named| named == id);
        if !self.keys.iter().any(|(id, _)| named(id)) {
            return Err("it names a key that the file does not list");
        }
        let signed = self.keys.iter().any(|(id, key)| {
            if !named(id) {
                return false;
            }
            let facts = Facts {
                body,
                timestamp: captured.timestamp.unwrap_or_default(),
                nonce: captured.nonce.unwrap_or_default(),
                key: key.text(),
                key_id: captured.key_id.unwrap_or_default(),
                ..Facts::default()
            };
            let message = self.seal.message(&facts, document);
            message.is_some_and(|message| key.proves(&message, &signature))
        });
        if signed { Ok(()) } else { Err("its signature fits none of the channel's keys") }
    }
}

/// Reads a header's value by its parts: literal texts must stand there, words are what is between.
fn capture<'h>(parts: &[SignedPart], value: &'h str, captured: &mut SignatureHeaders<'h>) -> bool {
    let mut rest = value;
    for (index, part) in parts.iter().enumerate() {
        if let SignedPart::Literal(text) = part {
            let Some(after) = rest.strip_prefix(text.as_str()) else { return false };
            rest = after;
            continue;
        }
        let end = match parts.get(index + 1) {
            Some(SignedPart::Literal(text)) => rest.find(text.as_str()),
            Some(_) | None => Some(rest.len()),
        };
        let Some(end) = end else { return false };
        let (word, after) = rest.split_at(end);
        rest = after;
        match part {
            SignedPart::Signature => captured.signature = Some(word),
            SignedPart::Timestamp => captured.timestamp = Some(word),
            SignedPart::Nonce => captured.nonce = Some(word),
            SignedPart::KeyId => captured.key_id = Some(word),
            SignedPart::Literal(_)
            | SignedPart::Body
            | SignedPart::BodyDigest(..)
            | SignedPart::Method
            | SignedPart::Path
            | SignedPart::SortedFields
            | SignedPart::Element
            | SignedPart::Key => {}
        }
    }
    rest.is_empty()
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
