//! Signs requests and verifies what the channel sends, as a channel file describes it.
//!
//! The same description serves both directions: a header's parts are written when signing, and
//! matched when verifying (see `seal`).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::document::MessageBody;
use super::keys::{SigningKey, VerifyingKey};
use super::path::Inside;
use super::seal::{Facts, Headers, Seal, SignedPart, TimestampUnit};
use crate::domain::time::Timestamp;

/// One request that is about to be signed.
pub struct UnsignedRequest<'m> {
    pub method: &'m str,
    /// With its query.
    pub path: &'m str,
    /// Of the URL, with its port where it is given.
    pub host: &'m str,
    /// Those that are sent whether anything is signed or not.
    pub headers: &'m [(HeaderName, HeaderValue)],
    /// Asked for only where something is signed.
    pub nonce: &'m dyn Fn() -> String,
    pub now: Timestamp,
    /// The member that is signed where the signature does not name one: of replies alone.
    pub member: Option<&'m Inside>,
}

/// A signed request's headers and body.
pub struct SignedRequest {
    pub headers: Vec<(HeaderName, String)>,
    pub body: Vec<u8>,
    /// The text that was signed.
    pub message: Zeroizing<Vec<u8>>,
    /// As it stands in a header or in the body.
    pub signature: String,
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
        if seal.over.contains(&SignedPart::Element) {
            // The places of elements are those of the bytes that were just written.
            document = document
                .map(|_| MessageBody::parse(&body, seal.form))
                .transpose()
                .map_err(|_| "the written body cannot be read back".to_owned())?;
        }
        let (timestamp, nonce) = (self.timestamp_unit.write(outgoing.now), (outgoing.nonce)());
        let mut facts = Facts {
            body: &body,
            document: document.as_ref(),
            member: outgoing.member,
            headers: Headers::Written(outgoing.headers),
            timestamp: &timestamp,
            nonce: &nonce,
            now: outgoing.now,
            host: outgoing.host,
            method: outgoing.method,
            path: outgoing.path,
            key: self.key.bytes(),
            key_id: &self.key_id,
            signature: "",
        };
        let message = seal.message(&facts).ok_or_else(|| seal.why_unsigned(&facts))?;
        let signature = self.key.sign(&message).ok_or("the key refuses to sign")?;
        let signature = seal.encoding.write(&signature);
        facts.signature = &signature;
        let mut headers = Vec::with_capacity(seal.headers.len());
        for (name, parts) in &seal.headers {
            let written: Option<String> = parts.iter().map(|part| facts.text(part)).collect();
            headers.push((name.clone(), written.ok_or("the request has not what a header has")?));
        }
        if let Some(field) = &seal.field {
            let mut document =
                document.ok_or("a request without a body has no field to sign in")?;
            document.set(field, &signature).ok_or("the body has no place for its signature")?;
            body = document.encode(seal.form.charset)?;
        }
        Ok(SignedRequest { headers, body, message, signature })
    }
}

/// How what the channel sends is verified.
#[derive(Debug)]
pub struct Verification {
    /// Several are good at once, so that the channel can change its key; by their ids where the
    /// channel says which one it used.
    pub keys: Vec<(String, VerifyingKey)>,
    pub seal: Seal,
    /// How far its time may be from ours, where that matters.
    pub max_age: Option<Duration>,
}

/// A message that is to be proven.
pub struct Received<'m> {
    pub headers: &'m HeaderMap,
    pub body: &'m [u8],
    /// A file that is the whole body is none.
    pub document: Option<&'m MessageBody>,
    /// The member in which its code stands.
    pub member: Option<&'m Inside>,
    pub now: Timestamp,
    pub line: RequestLine<'m>,
}

/// Method, path with its query, and host of a request; nothing of what only comes back.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestLine<'m> {
    pub method: &'m str,
    pub path: &'m str,
    pub host: &'m str,
}

/// The signatures, and their facts, in a message's headers.
#[derive(Default)]
struct SignatureHeaders<'h> {
    signatures: Vec<&'h str>,
    timestamp: Option<&'h str>,
    nonce: Option<&'h str>,
    key_id: Option<&'h str>,
}

impl<'h> SignatureHeaders<'h> {
    /// Keeps what stands in a word's place; of two words of one kind, which counts would be a
    /// guess, but for signatures.
    fn keep(&mut self, part: &SignedPart, word: &'h str) -> bool {
        let place = match part {
            SignedPart::Signature => {
                self.signatures.push(word);
                return true;
            }
            SignedPart::Timestamp => &mut self.timestamp,
            SignedPart::Nonce => &mut self.nonce,
            SignedPart::KeyId => &mut self.key_id,
            SignedPart::Literal(_)
            | SignedPart::Body
            | SignedPart::BodyDigest(..)
            | SignedPart::Moment(..)
            | SignedPart::Method
            | SignedPart::Path
            | SignedPart::PathOnly
            | SignedPart::Query
            | SignedPart::Header(_)
            | SignedPart::SortedFields
            | SignedPart::Element
            | SignedPart::At(_)
            | SignedPart::Key => return true,
        };
        place.replace(word).is_none_or(|before| before == word)
    }

    fn facts<'m>(&self, received: &Received<'m>, key: &'m VerifyingKey) -> Facts<'m>
    where
        'h: 'm,
    {
        Facts {
            document: received.document,
            member: received.member,
            timestamp: self.timestamp.unwrap_or_default(),
            nonce: self.nonce.unwrap_or_default(),
            key: key.bytes(),
            key_id: self.key_id.unwrap_or_default(),
            now: received.now,
            method: received.line.method,
            path: received.line.path,
            host: received.line.host,
            ..Facts::came(received.headers, received.body)
        }
    }
}

impl Verification {
    /// The text that the channel must have signed for this message to be believed, by the first of
    /// its keys that it may be of; `None` where the message has not what is signed.
    pub fn message(&self, received: &Received<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let captured = self.capture_headers(received).ok()?;
        let fits =
            |(id, _): &&(String, VerifyingKey)| captured.key_id.is_none_or(|named| named == id);
        let (_, key) = self.keys.iter().find(fits)?;
        self.seal.message(&captured.facts(received, key))
    }

    /// The signatures that a message brings, read.
    fn signatures(
        &self,
        received: &Received<'_>,
        captured: &SignatureHeaders<'_>,
    ) -> Result<Vec<Vec<u8>>, &'static str> {
        let in_field = self.seal.field.as_ref().and_then(|field| received.document?.value(field));
        let found = in_field.as_deref().map_or(&captured.signatures[..], |_| &[]);
        let found = in_field.as_deref().into_iter().chain(found.iter().copied());
        let mut signatures = Vec::new();
        let mut any = false;
        for text in found {
            any = true;
            signatures.extend(self.seal.encoding.read(text));
        }
        if !any {
            return Err("it brings no signature");
        }
        if signatures.is_empty() {
            return Err("its signature is not of the encoding that the file says");
        }
        Ok(signatures)
    }

    /// Whether one of the keys signed this text with a signature that the message brings: for
    /// whoever looks for the text that was signed.
    pub fn proves_text(&self, received: &Received<'_>, text: &[u8]) -> bool {
        let captured = self.capture_headers(received);
        let signatures = captured.and_then(|captured| self.signatures(received, &captured));
        let signatures = signatures.unwrap_or_default();
        self.keys.iter().any(|(_, key)| signatures.iter().any(|one| key.proves(text, one)))
    }

    fn capture_headers<'h>(
        &self,
        received: &Received<'h>,
    ) -> Result<SignatureHeaders<'h>, &'static str> {
        let mut captured = SignatureHeaders::default();
        for (name, parts) in &self.seal.headers {
            let value = Headers::Came(received.headers)
                .only(name)
                .ok_or("a header of the signature is missing, or there twice")?;
            let fits = match &self.seal.header_list {
                Some(separator) if parts.len() > 1 => {
                    capture_list(parts, separator, value, &mut captured)
                }
                Some(_) | None => capture(parts, value, &mut captured),
            };
            if !fits {
                return Err("a header of the signature is not of the form that the file says");
            }
        }
        Ok(captured)
    }

    /// Proves that one of the keys signed this message; the error says why it does not, and quotes
    /// nothing of it.
    pub fn prove(&self, received: &Received<'_>) -> Result<(), &'static str> {
        let captured = self.capture_headers(received)?;
        let signatures = self.signatures(received, &captured)?;
        let named = |id: &str| captured.key_id.is_none_or(|named| named == id);
        if !self.keys.iter().any(|(id, _)| named(id)) {
            return Err("it names a key that the file does not list");
        }
        let signed = self.keys.iter().any(|(id, key)| {
            if !named(id) {
                return false;
            }
            let message = self.seal.message(&captured.facts(received, key));
            message.is_some_and(|message| signatures.iter().any(|one| key.proves(&message, one)))
        });
        if !signed {
            return Err("its signature fits none of the channel's keys");
        }
        self.check_age(captured.timestamp, received.now)
    }

    /// The time is signed: the reader has seen to it.
    fn check_age(&self, timestamp: Option<&str>, now: Timestamp) -> Result<(), &'static str> {
        let Some(limit) = self.max_age else { return Ok(()) };
        let sent = timestamp.and_then(read_moment).ok_or("its time cannot be read")?;
        let apart = now.as_millis().abs_diff(sent);
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        if apart <= limit { Ok(()) } else { Err("it is signed at a time too far from now") }
    }
}

/// Milliseconds since 1970 of a time: up to eleven digits are seconds, more are milliseconds;
/// anything else is ISO 8601 with its zone, or a date of HTTP.
fn read_moment(text: &str) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        return if text.len() <= 11 { number.checked_mul(1_000) } else { Some(number) };
    }
    let moment = text.parse::<jiff::Timestamp>().ok();
    let moment = moment.or_else(|| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp()));
    moment.map(|moment| moment.as_millisecond())
}

/// One item of a header that is a list: what stands around its word.
struct ListItem<'p> {
    before: &'p str,
    word: &'p SignedPart,
    after: &'p str,
}

/// The items of such a header, as its texts and the sign between them say.
fn list_items<'p>(parts: &'p [SignedPart], separator: &str) -> Vec<ListItem<'p>> {
    let text = |part: Option<&'p SignedPart>| match part {
        Some(SignedPart::Literal(text)) => text.as_str(),
        _ => "",
    };
    let item = |(at, word): (usize, &'p SignedPart)| {
        let before = text(at.checked_sub(1).and_then(|before| parts.get(before)));
        let before = before.rsplit(separator).next().unwrap_or_default().trim_start();
        let after = text(parts.get(at + 1)).split(separator).next().unwrap_or_default();
        ListItem { before, word, after: after.trim_end() }
    };
    let words = parts.iter().enumerate();
    words.filter(|(_, part)| !matches!(part, SignedPart::Literal(_))).map(item).collect()
}

/// Whether each word of such a header has a name before it, by which its item is found. A header
/// that is a word alone is no list.
pub fn names_items(parts: &[SignedPart], separator: &str) -> bool {
    parts.len() < 2 || list_items(parts, separator).iter().all(|item| !item.before.is_empty())
}

/// Reads a header that is a list: each of its items that is written as one of the file's is that
/// one, and the others are the channel's own affair.
fn capture_list<'h>(
    parts: &[SignedPart],
    separator: &str,
    value: &'h str,
    captured: &mut SignatureHeaders<'h>,
) -> bool {
    let items = list_items(parts, separator);
    value.split(separator).map(str::trim).all(|text| {
        let found = items.iter().find_map(|item| {
            let word = text.strip_prefix(item.before)?.strip_suffix(item.after)?;
            Some((item.word, word))
        });
        found.is_none_or(|(part, word)| captured.keep(part, word))
    })
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
        if !captured.keep(part, word) {
            return false;
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_the_forms_that_channels_write() {
        let rows = [
            ("1795334400", Some(1_795_334_400_000)),
            ("1795334400123", Some(1_795_334_400_123)),
            ("2026-11-22T08:00:00Z", Some(1_795_334_400_000)),
            ("2026-11-22T16:00:00+08:00", Some(1_795_334_400_000)),
            ("20261122T080000Z", Some(1_795_334_400_000)),
            ("Sun, 22 Nov 2026 08:00:00 GMT", Some(1_795_334_400_000)),
            // Without a zone it is no moment.
            ("2026-11-22T08:00:00", None),
            ("", None),
            ("now", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in rows {
            assert_eq!(read_moment(text), expected, "{text}");
        }
    }
}
