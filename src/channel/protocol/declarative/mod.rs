//! The protocol `http`: a bank's JSON or form API, described whole by the channel's file.
//!
//! No code is written for such a bank. Its file says how each request is built (`body`), how both
//! sides sign (`sign`, `verify`), where a reply keeps what (`reply`), and what its codes and states
//! mean. Worked examples are `channels/harbour-bank.toml` (JSON, shared key) and
//! `channels/meadow-bank.toml` (forms, RSA). The reply is final at once or pending; notices are not
//! part of it.
//!
//! A text of a body may hold expressions in `{{ … }}`. One that is a single expression keeps its
//! type, so `"{{ amount }}"` is sent as a number; one for which the request has nothing (a card
//! without a CVV) is left out. The words are:
//!
//! | word | what it stands for |
//! |---|---|
//! | `order_no` | our number of the attempt, 21 digits |
//! | `sent_at`, `now` | moments in milliseconds, for the filter `time` |
//! | `amount` | integer in minor units |
//! | `amount_decimal` | text in major units, `12.30` |
//! | `currency`, `currency_numeric` | `CNY`, `156` |
//! | `core_merchant_id`, `description` | as the payment core gave them |
//! | `reference` | the channel's own number of the attempt |
//! | `card.number` | payments; inquiries and reversals where the terms keep it |
//! | `card.expiry` (`YYMM`), `.cvv`, `.holder` | payments |
//! | `card.id_type`, `.id_number`, `.phone` | payments |
//! | `original.order_no`, `.sent_at`, `.reference` | what an undo takes back |
//! | `original.amount`, `.amount_decimal` | the same |
//! | a name of `[http.values]` or `[http.secrets]` | the file's own constants |
//!
//! `{{ sent_at | time("%Y%m%d%H%M%S", "Asia/Shanghai") }}` writes a moment in a zone; minijinja's
//! filters are there too (`default`, `upper`, slices such as `description[:20]`). Paths and headers
//! are templates without card data. What is signed, `over`, has words of its own: `body`,
//! `timestamp`, `method`, `path` (all of it behind the host), `sorted_fields`.
//!
//! A reply's paths are JSON pointers or form fields; one with `?` at its end may find nothing in an
//! approval. Without `[http.verify]` a reply is believed because TLS brought it. In the replies to
//! inquiries and reversals the shared code table declines nothing, because it speaks of payments;
//! what their own `codes` decline is final.
//!
//! Upholds I-2 (what is not a verified, listed reply about our order and amount is unknown) and
//! I-11 (card data goes into the body and nowhere else). Does no I/O.

mod body;
mod read;
mod read_sign;
mod reply;
mod sign;
mod template;
mod words;

#[cfg(test)]
mod reading_tests;
#[cfg(test)]
mod tests;

pub use read::{read, read_codes};

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use self::body::Body;
use self::reply::{Answer, Format, ReplyMap};
use self::sign::{Message, Place, Signing, Verification};
use self::template::Template;
use self::words::{Constants, Kind, Words, private_texts};
use crate::channel::statement::StatementSource;
use crate::channel::{
    Adapter, ChannelRequest, EncodeError, Notice, NoticeRefusal, Understood, WireNotice, WireReply,
    WireRequest, voucher,
};
use crate::domain::outcome::{Outcome, UnknownCause};
use crate::domain::time::Timestamp;

/// One bank's API, ready to build its requests and to read its replies.
pub struct Declarative {
    /// Scheme, host and port, without a slash at the end.
    origin: String,
    /// The path in front of every call's own path; empty or `/…` without a slash at the end.
    base_path: String,
    format: Format,
    /// Statuses whose body is an ordinary reply.
    accepted_statuses: Vec<u16>,
    constants: Arc<Constants>,
    signing: Option<Signing>,
    verification: Option<Verification>,
    calls: Vec<Call>,
}

/// How one kind of request is made, and its reply read.
struct Call {
    kind: Kind,
    method: Method,
    path: Template,
    headers: Vec<(HeaderName, Template)>,
    /// `None` where the call sends no body.
    body: Option<Body>,
    reply: ReplyMap,
}

impl Declarative {
    /// The kinds of request that the file describes: `payment`, `inquiry`, `reversal`, `undo`.
    pub fn operations(&self) -> impl Iterator<Item = &'static str> {
        self.calls.iter().map(|call| call.kind.name())
    }

    fn call(&self, request: &ChannelRequest) -> Option<&Call> {
        let kind = Kind::of(request)?;
        self.calls.iter().find(|call| call.kind == kind)
    }

    /// The error's text never holds card data.
    fn build(&self, request: &ChannelRequest, now: Timestamp) -> Result<WireRequest, String> {
        let call = self.call(request).ok_or("this channel file has no such operation")?;
        let words = Words::new(request, now, &self.constants);
        let path = call
            .path
            .render_encoded(&words, encode_path_part)
            .map_err(|error| format!("path: {error}"))?;
        let path = format!("{}{path}", self.base_path);
        let mut headers = call.headers(&words)?;
        let body = match (&call.body, self.format) {
            (None, Format::Json | Format::Form) => {
                self.sign(call, &path, &[], &mut headers, now)?;
                Bytes::new()
            }
            (Some(body), Format::Json) => {
                push_content_type(&mut headers, "application/json");
                let value = body.to_json(&words).map_err(|error| format!("body.{error}"))?;
                let bytes = serde_json::to_vec(&value).map_err(|error| error.to_string())?;
                self.sign(call, &path, &bytes, &mut headers, now)?;
                Bytes::from(bytes)
            }
            (Some(body), Format::Form) => {
                push_content_type(&mut headers, "application/x-www-form-urlencoded");
                self.build_form(call, body, &words, &path, &mut headers, now)?
            }
        };
        let url = format!("{}{path}", self.origin);
        Ok(WireRequest { method: call.method.clone(), url, headers, body })
    }

    /// A form may carry its own signature; then it is written only after it was signed.
    fn build_form(
        &self,
        call: &Call,
        body: &Body,
        words: &Words<'_>,
        path: &str,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
        now: Timestamp,
    ) -> Result<Bytes, String> {
        let mut fields = body.to_fields(words).map_err(|error| format!("body.{error}"))?;
        let Some(signing) = &self.signing else { return Ok(fields.encode_form().into()) };
        let timestamp = signing.timestamp_unit.write(now);
        push_timestamp(signing, &timestamp, headers)?;
        let encoded = match signing.place {
            Place::Header(_) => fields.encode_form(),
            // What the signature is part of cannot be signed; the reader has refused `body` here.
            Place::Field(_) => String::new(),
        };
        let signature = signing.sign(&Message {
            body: encoded.as_bytes(),
            timestamp: &timestamp,
            method: call.method.as_str(),
            path,
            fields: Some(&fields),
        });
        match &signing.place {
            Place::Header(name) => {
                headers.push((name.clone(), header_value(&signature)?));
                Ok(encoded.into())
            }
            Place::Field(name) => {
                fields.set(name, &signature);
                Ok(fields.encode_form().into())
            }
        }
    }

    /// Signs a body that is no form; the reader has made sure that the signature is a header.
    fn sign(
        &self,
        call: &Call,
        path: &str,
        body: &[u8],
        headers: &mut Vec<(HeaderName, HeaderValue)>,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some(signing) = &self.signing else { return Ok(()) };
        let Place::Header(name) = &signing.place else {
            return Err("a request without a form has no field for its signature".to_owned());
        };
        let timestamp = signing.timestamp_unit.write(now);
        push_timestamp(signing, &timestamp, headers)?;
        let method = call.method.as_str();
        let signature =
            signing.sign(&Message { body, timestamp: &timestamp, method, path, fields: None });
        headers.push((name.clone(), header_value(&signature)?));
        Ok(())
    }

    /// What the reply proves; every error is a reason not to know.
    fn understand(
        &self,
        request: &ChannelRequest,
        reply: &WireReply,
    ) -> Result<Outcome, UnknownCause> {
        let call = self.call(request).ok_or(UnknownCause::Garbled)?;
        if !self.accepted_statuses.contains(&reply.status) {
            return Err(UnknownCause::HttpStatus);
        }
        let answer = Answer::parse(&reply.body, self.format)?;
        if !self.is_believed(&reply.headers, &reply.body, &answer) {
            return Err(UnknownCause::BadSignature);
        }
        call.reply.outcome(&answer, request.facts())
    }

    fn is_believed(&self, headers: &HeaderMap, body: &[u8], answer: &Answer) -> bool {
        match &self.verification {
            Some(verification) => verification.proves(headers, body, answer.fields()),
            None => true,
        }
    }
}

impl Call {
    fn headers(&self, words: &Words<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let mut headers = Vec::with_capacity(self.headers.len() + 3);
        for (name, template) in &self.headers {
            let text = template.render_text(words).map_err(|e| format!("headers.{name}: {e}"))?;
            if let Some(text) = text {
                headers.push((name.clone(), header_value(&text)?));
            }
        }
        Ok(headers)
    }
}

impl Adapter for Declarative {
    fn encode(&self, request: &ChannelRequest, now: Timestamp) -> Result<WireRequest, EncodeError> {
        self.build(request, now).map_err(|problem| EncodeError { request: request.name(), problem })
    }

    fn decode(&self, request: &ChannelRequest, reply: &WireReply, _now: Timestamp) -> Understood {
        let outcome = self.understand(request, reply).unwrap_or_else(Outcome::Unknown);
        Understood { outcome, voucher: voucher::keep_words(&reply.body, private_texts(request)) }
    }

    fn decode_notice(
        &self,
        _notice: &WireNotice,
        _now: Timestamp,
    ) -> Result<Notice, NoticeRefusal> {
        Err(NoticeRefusal::Unsupported)
    }

    /// Nobody is expected to post one: it is told that there is nothing here.
    fn answer_notice(&self, _taken: bool) -> WireReply {
        WireReply { status: 404, headers: HeaderMap::new(), body: Bytes::new() }
    }

    fn statements(&self) -> Option<&dyn StatementSource> {
        None
    }
}

/// The file's own content type, for instance one with a charset, goes first.
fn push_content_type(headers: &mut Vec<(HeaderName, HeaderValue)>, usual: &'static str) {
    if headers.iter().all(|(name, _)| *name != CONTENT_TYPE) {
        headers.push((CONTENT_TYPE, HeaderValue::from_static(usual)));
    }
}

fn push_timestamp(
    signing: &Signing,
    timestamp: &str,
    headers: &mut Vec<(HeaderName, HeaderValue)>,
) -> Result<(), String> {
    if let Some(name) = &signing.timestamp_header {
        headers.push((name.clone(), header_value(timestamp)?));
    }
    Ok(())
}

/// The error does not quote the value.
fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text)
        .map_err(|_| "a header has a character that none may have".to_owned())
}

/// Percent-encodes all but the unreserved characters (RFC 3986 §2.3), slashes too.
fn encode_path_part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
