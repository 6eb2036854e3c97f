//! What a signature covers, and where it stands: a fixed list of parts that are put together and
//! never evaluated. A body passes through here unread.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use super::document::MessageBody;
use super::filters::{moment_in, parse_time_filter};
use super::format::{BodyForm, BodyFormat};
use super::keys::Encoding;
use super::parts::{TemplatePart, split};
use super::path::{Inside, Path, PathPlace};
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
    /// The same as `strftime` writes it in a zone; of requests only.
    Moment(String, TimeZone),
    /// 32 hexadecimal digits that are new in each request.
    Nonce,
    /// `POST`, `GET` and so on.
    Method,
    /// The URL's path, from the first slash behind the host, with its query.
    Path,
    /// The same without its query.
    PathOnly,
    /// What stands behind the question mark; nothing where there is none.
    Query,
    /// The text of a header that goes with the message.
    Header(HeaderName),
    /// The values at the top of the body, or of one object in it, but for the signature and the
    /// empty ones, sorted by the bytes of their names and written `name=value&name=value`.
    SortedFields,
    /// One member of the body as it travels.
    Element,
    /// One value of the body.
    At(Path),
    /// The shared key, for plain digests.
    Key,
    /// Which key signed.
    KeyId,
    /// The signature itself, in headers.
    Signature,
}

impl SignedPart {
    const WORDS: [(&'static str, Self); 16] = [
        ("body", Self::Body),
        ("body_md5", Self::BodyDigest(Digest::Md5, Encoding::Hex)),
        ("body_sha256", Self::BodyDigest(Digest::Sha256, Encoding::Hex)),
        ("body_sha256_base64", Self::BodyDigest(Digest::Sha256, Encoding::Base64)),
        ("body_sm3", Self::BodyDigest(Digest::Sm3, Encoding::Hex)),
        ("timestamp", Self::Timestamp),
        ("nonce", Self::Nonce),
        ("method", Self::Method),
        ("path", Self::Path),
        ("path_only", Self::PathOnly),
        ("query", Self::Query),
        ("sorted_fields", Self::SortedFields),
        ("element", Self::Element),
        ("key", Self::Key),
        ("key_id", Self::KeyId),
        ("signature", Self::Signature),
    ];

    /// Whether it holds the message's content, so that a signature over it proves the message.
    pub const fn is_content(&self) -> bool {
        self.is_bytes() || matches!(self, Self::SortedFields | Self::Element | Self::At(_))
    }

    /// Whether it is made of the whole body as it travels.
    pub const fn is_bytes(&self) -> bool {
        matches!(self, Self::Body | Self::BodyDigest(..))
    }

    fn parse(
        word: &str,
        format: BodyFormat,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let known = Self::WORDS.into_iter().find(|(name, _)| *name == word);
        if let Some((_, part)) = known {
            return Ok(part);
        }
        if let Some(name) = word.strip_prefix("header.") {
            let name = HeaderName::from_bytes(name.as_bytes());
            return name.map(Self::Header).map_err(|_| format!("`{word}` is no header"));
        }
        if let Some(name) = word.strip_prefix('/') {
            // A form's names have no slash before them.
            let path = if format == BodyFormat::Form { name } else { word };
            let path = Path::parse(path, format).map_err(|problem| format!("`{word}` {problem}"));
            return path.map(Self::At);
        }
        let moment = word.split_once('|').filter(|(name, _)| name.trim() == "timestamp");
        if let Some(read) = moment.and_then(|(_, filter)| parse_time_filter(filter)) {
            return read.map(|(form, zone)| Self::Moment(form, zone)).map_err(str::to_owned);
        }
        value(word).map(Self::Literal).ok_or_else(|| {
            let known: Vec<&str> = Self::WORDS.iter().map(|(name, _)| *name).collect();
            format!("`{word}` is not a word of signatures ({})", known.join(", "))
        })
    }
}

/// Reads a text of parts. `value` gives the file's own constants. The error says what is wrong.
pub fn parse_parts(
    text: &str,
    format: BodyFormat,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<SignedPart>, String> {
    let parts = split(text).map_err(|mistake| mistake.problem)?;
    let read = |part| match part {
        TemplatePart::Literal(text) => Ok(SignedPart::Literal(text.to_owned())),
        TemplatePart::Expression(word) => SignedPart::parse(word, format, value),
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
    /// Where the headers are lists, what stands between their items.
    pub header_list: Option<String>,
    /// The value of the body that is the signature, if it is no header.
    pub field: Option<Inside>,
    /// The object whose values `sorted_fields` are, where it is not the top.
    pub sorted_in: Option<Inside>,
    /// Further values that are not signed.
    pub exclude: Vec<String>,
    /// Whether values that are there and empty are signed too.
    pub keeps_empty: bool,
    /// The name under which the shared key is sorted among the values.
    pub key_field: Option<String>,
    /// The member that is signed; without it, of a reply, the one in which its code stands.
    pub element: Option<Inside>,
    pub encoding: Encoding,
    /// How the messages are written that it is on.
    pub form: BodyForm,
}

impl Seal {
    /// Whether what is signed, or the signature itself, stands inside a message that is a document.
    pub fn needs_document(&self) -> bool {
        let inside = |part: &SignedPart| part.is_content() && !part.is_bytes();
        self.field.is_some() || self.over.iter().any(inside)
    }

    /// Whether the member that is signed is the one in which a reply's code stands.
    pub fn follows_code(&self) -> bool {
        self.element.is_none() && self.over.contains(&SignedPart::Element)
    }

    /// Why a message has nothing that could be signed, as far as is known.
    pub fn why_unsigned(&self, facts: &Facts<'_>) -> String {
        let unwritten = facts.document.and_then(|one| one.encode(self.form.charset).err());
        unwritten.unwrap_or_else(|| "the request has not what is signed".to_owned())
    }

    pub fn needs_bytes(&self) -> bool {
        let parts = self.over.iter().chain(self.headers.iter().flat_map(|(_, parts)| parts));
        let mut parts = parts.filter(|part| part.is_content());
        parts.any(|part| part.is_bytes() || *part == SignedPart::Element)
    }

    /// Whether the value at a place of the body is signed.
    pub fn covers(&self, place: &PathPlace) -> bool {
        let inside = |one: &Option<Inside>| one.as_ref().is_none_or(|one| one.holds(place));
        self.over.iter().any(|part| match part {
            SignedPart::SortedFields => inside(&self.sorted_in) && self.sorts(place),
            SignedPart::Element => inside(&self.element),
            SignedPart::At(path) => path.places.contains(place),
            other => other.is_bytes(),
        })
    }

    /// Whether a value is one of the sorted ones, or stands inside one: what is left out of them,
    /// and an attribute of XML, anyone could change.
    fn sorts(&self, place: &PathPlace) -> bool {
        let steps = match place {
            PathPlace::Named(name) if self.form.format == BodyFormat::Form => vec![name.clone()],
            other => other.steps(),
        };
        // An XML path names the outermost element first.
        let front = usize::from(self.form.format == BodyFormat::Xml);
        let above = match &self.sorted_in {
            None => front,
            Some(Inside::Top(_)) => front + 1,
            Some(Inside::At(parent)) => parent.steps().len(),
        };
        let is_attribute = steps.iter().any(|step| step.starts_with('@'));
        let own = self.field.as_ref().and_then(|field| field.name_in(self.sorted_in.as_ref()));
        steps
            .get(above)
            .is_some_and(|name| !self.exclude.contains(name) && own.as_ref() != Some(name))
            && !(is_attribute && self.form.format == BodyFormat::Xml)
    }

    /// The bytes that are signed, wiped when dropped: a body may hold card data.
    pub fn message(&self, facts: &Facts<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let charset = self.form.charset;
        let mut out = Zeroizing::new(Vec::with_capacity(facts.body.len() + 256));
        for part in &self.over {
            match part {
                SignedPart::SortedFields => {
                    let fields = facts.document?.fields_in(self.sorted_in.as_ref())?;
                    self.push_sorted(&fields, facts.key, &mut out)?;
                }
                SignedPart::Element => {
                    let member = self.element.as_ref().or(facts.member)?;
                    out.extend_from_slice(&facts.document?.raw(member, facts.body, charset)?);
                }
                SignedPart::At(path) => {
                    let text = facts.document?.first_text(path)?;
                    out.extend_from_slice(&charset.encode(&text.unwrap_or_default())?);
                }
                SignedPart::Body => out.extend_from_slice(facts.body),
                SignedPart::Key => out.extend_from_slice(facts.key),
                SignedPart::Literal(_)
                | SignedPart::BodyDigest(..)
                | SignedPart::Timestamp
                | SignedPart::Moment(..)
                | SignedPart::Nonce
                | SignedPart::Method
                | SignedPart::Path
                | SignedPart::PathOnly
                | SignedPart::Query
                | SignedPart::Header(_)
                | SignedPart::KeyId
                | SignedPart::Signature => out.extend_from_slice(facts.text(part)?.as_bytes()),
            }
        }
        Some(out)
    }

    fn push_sorted(&self, fields: &Fields, key: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let charset = self.form.charset;
        let start = out.len();
        let mut push = |name: &[u8], value: &[u8]| {
            if out.len() > start {
                out.push(b'&');
            }
            out.extend_from_slice(name);
            out.push(b'=');
            out.extend_from_slice(value);
        };
        let own = self.field.as_ref().and_then(|field| field.name_in(self.sorted_in.as_ref()));
        let mut key_name = self.key_field.as_deref();
        for (name, value) in fields.iter() {
            let is_left_out = (value.is_empty() && !self.keeps_empty)
                || own.as_deref() == Some(name)
                || self.exclude.iter().any(|other| other == name);
            if is_left_out {
                continue;
            }
            if let Some(sorted) = key_name.filter(|sorted| sorted.as_bytes() < name.as_bytes()) {
                push(sorted.as_bytes(), key);
                key_name = None;
            }
            push(&charset.encode(name)?, &charset.encode(value)?);
        }
        if let Some(sorted) = key_name {
            push(sorted.as_bytes(), key);
        }
        Some(())
    }
}

/// The headers of a message.
#[derive(Clone, Copy)]
pub enum Headers<'m> {
    Written(&'m [(HeaderName, HeaderValue)]),
    Came(&'m HeaderMap),
}

impl<'m> Headers<'m> {
    /// The header's text if there is exactly one: of two, which was signed would be a guess.
    pub fn only(self, name: &HeaderName) -> Option<&'m str> {
        match self {
            Self::Came(headers) => only_one(headers.get_all(name).iter()),
            Self::Written(pairs) => {
                only_one(pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value))
            }
        }
    }
}

fn only_one<'m>(mut found: impl Iterator<Item = &'m HeaderValue>) -> Option<&'m str> {
    let value = found.next()?;
    if found.next().is_some() { None } else { value.to_str().ok() }
}

/// The facts of one message that a signature may cover.
pub struct Facts<'m> {
    pub body: &'m [u8],
    pub document: Option<&'m MessageBody>,
    /// The member in which a reply's code stands.
    pub member: Option<&'m Inside>,
    pub headers: Headers<'m>,
    pub timestamp: &'m str,
    pub nonce: &'m str,
    /// Of a request: when and how it is sent.
    pub now: Timestamp,
    pub host: &'m str,
    pub method: &'m str,
    /// With its query.
    pub path: &'m str,
    pub key: &'m [u8],
    pub key_id: &'m str,
    pub signature: &'m str,
}

impl<'m> Facts<'m> {
    /// Those of a message that came, of which nothing was read yet.
    pub fn came(headers: &'m HeaderMap, body: &'m [u8]) -> Self {
        Self {
            body,
            document: None,
            member: None,
            headers: Headers::Came(headers),
            timestamp: "",
            nonce: "",
            now: Timestamp::from_millis(0),
            host: "",
            method: "",
            path: "",
            key: &[],
            key_id: "",
            signature: "",
        }
    }

    /// A part that is a short text; `None` where the message has no such part.
    pub fn text(&self, part: &SignedPart) -> Option<String> {
        let (path_only, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        Some(match part {
            SignedPart::Literal(text) => text.clone(),
            SignedPart::BodyDigest(digest, encoding) => encoding.write(&digest.of(&[self.body])),
            SignedPart::Timestamp => self.timestamp.to_owned(),
            SignedPart::Moment(format, zone) => {
                moment_in(self.now.as_millis(), format, zone.clone()).ok()?
            }
            SignedPart::Nonce => self.nonce.to_owned(),
            SignedPart::Method => self.method.to_owned(),
            SignedPart::Path => self.path.to_owned(),
            SignedPart::PathOnly => path_only.to_owned(),
            SignedPart::Query => query.to_owned(),
            SignedPart::Header(name) if *name == http::header::HOST => self.host.to_owned(),
            SignedPart::Header(name) => self.headers.only(name)?.to_owned(),
            SignedPart::KeyId => self.key_id.to_owned(),
            SignedPart::Signature => self.signature.to_owned(),
            SignedPart::Body
            | SignedPart::SortedFields
            | SignedPart::Element
            | SignedPart::At(_)
            | SignedPart::Key => return None,
        })
    }
}
