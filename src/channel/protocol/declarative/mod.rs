//! The protocol `http`: a bank's JSON, form or XML API, described whole by the channel's file.
//!
//! No code is written for such a bank. Its file says how each request is built (`path`, `query`,
//! `headers`, `body`), how both sides sign (`sign`, `verify`), which values are encrypted
//! (`encrypt`), where a reply or a notice keeps what (`reply`), and what its codes and states mean.
//! Worked examples are `channels/harbour-bank.toml` (JSON, shared key), `channels/meadow-bank.toml`
//! (forms, MD5), `channels/canyon-pay.toml` (JSON, RSA in headers, notices) and
//! `channels/quarry-bank.toml` (XML, SM2). `docs/CHANNEL-FILE.md` lists every key and word.
//!
//! A text of a body may hold expressions in `{{ … }}`. One that is a single expression keeps its
//! type, so `"{{ amount }}"` is sent as a number; one for which the request has nothing (a card
//! without a CVV) is left out. Paths, queries and headers are templates without card data. What is
//! signed has words of its own (see `sign`), which are put together and never evaluated.
//!
//! A reply's paths are JSON pointers, form fields or XML elements; one with `?` at its end may find
//! nothing in an approval. Without `[http.verify]` a reply is believed because TLS brought it, and
//! notices are not believed at all. In the replies to inquiries and reversals the shared code table
//! declines nothing, because it speaks of payments; what their own `codes` decline is final.
//!
//! `[http.statement]` asks for a clearing date's statement (see `statement`).
//!
//! Upholds I-2 (what is not a verified, listed reply about our order and amount is unknown) and
//! I-11 (card data goes into the body and nowhere else). Does no I/O.

mod asked;
mod body;
pub mod doctor;
mod document;
mod encrypt;
mod escape;
mod examine;
pub mod far_side;
mod filters;
mod first;
mod format;
mod keys;
mod kind;
mod masks;
mod notice;
mod parts;
mod path;
mod read;
mod reply;
mod seal;
mod sign;
mod statement;
mod template;
mod token;
mod word;
mod words;

#[cfg(test)]
mod tests;

pub use examine::{CoveredText, without_keys};
pub use kind::RequestKind;
pub use read::{read, read_codes, read_far_keys};

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use zeroize::Zeroizing;

use self::asked::Subject;
use self::body::Body;
use self::document::{ChannelAnswer, MessageBody};
use self::encrypt::Decryption;
use self::escape::encode_percent;
use self::first::FirstCall;
use self::format::BodyForm;
use self::notice::Notices;
use self::path::Inside;
use self::reply::ReplyMap;
use self::sign::{Received, RequestLine, Signing, UnsignedRequest, Verification};
use self::statement::StatementCall;
use self::template::Template;
use self::token::TokenCall;
use self::words::{Surroundings, Words};
use crate::channel::certificates::CertificateTerm;
use crate::channel::fetched::CredentialSupply;
use crate::channel::first::{Brought, FirstRequest};
use crate::channel::protocol::transcript::keep_words;
use crate::channel::statement::StatementSource;
use crate::channel::{
    Adapter, ChannelRequest, EncodeError, IssuedToken, Notice, NoticeRefusal, ReplyMeaning,
    SentStamp, Uncertainty, WireNotice, WireReply, WireRequest,
};
use crate::domain::attempt::Operation;
use crate::domain::ids::MerchantId;
use crate::domain::outcome::{Outcome, UnknownCause};
use crate::domain::payee_account::AccountKind;
use crate::domain::time::Timestamp;

/// One bank's API, ready to build its requests and to read its replies.
pub struct Declarative {
    destination: Destination,
    reply_form: BodyForm,
    /// How a credential is got that the channel hands out.
    token: Option<TokenCall>,
    /// Statuses whose body is an ordinary reply.
    accepted_statuses: Vec<u16>,
    surroundings: Arc<Surroundings>,
    signing: Option<Signing>,
    verification: Option<Arc<Verification>>,
    calls: Vec<Call>,
    /// Whether any of them has another one before it.
    has_first: bool,
    notices: Option<Notices>,
    statement: Option<StatementCall>,
    /// Where replies are encrypted; paths of a call's reply are the content's then.
    reply_decryption: Option<Arc<Decryption>>,
}

/// Where requests go, and what they are written in.
struct Destination {
    /// Scheme, host and port, without a slash at the end.
    origin: String,
    /// The path in front of every call's own path; empty or `/…` without a slash at the end.
    base_path: String,
    form: BodyForm,
    /// The media type of requests, unless their section says another one.
    content_type: HeaderValue,
    /// Whether `[http.sign]` signs them.
    is_signed: bool,
}

impl Destination {
    fn of((origin, base_path): (String, String), form: BodyForm, is_signed: bool) -> Self {
        let content_type = HeaderValue::from_str(&form.content_type());
        let content_type = content_type.expect("names of formats and encodings are ASCII");
        Self { origin, base_path, form, content_type, is_signed }
    }
}

/// How one kind of request is made, and its reply read.
struct Call {
    kind: RequestKind,
    /// Whom a shared section serves; every operation where it is empty.
    of: Vec<Operation>,
    /// The request that goes before it.
    first: Option<FirstCall>,
    sending: RequestTemplate,
    reply: ReplyMap,
}

/// A request ready to be sent, with the text that its signature covers, where it has one.
struct WrittenRequest {
    wire: WireRequest,
    message: Option<Zeroizing<Vec<u8>>>,
}

/// What a template makes of a request, before it is signed.
struct UnsignedParts {
    /// With its query.
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    document: Option<MessageBody>,
}

/// What signing makes of it: the headers of a signature, the body, and what was signed.
#[derive(Default)]
struct SignedParts {
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    message: Option<Zeroizing<Vec<u8>>>,
    signature: String,
}

/// How one kind of request is written.
struct RequestTemplate {
    method: Method,
    path: Template,
    query: Vec<(String, Template)>,
    headers: Vec<(HeaderName, Template)>,
    /// `None` where the request has no body.
    body: Option<Body>,
}

impl Declarative {
    /// The sections that the file has: `payment`, `inquiry`, `refund` and so on.
    pub fn sections(&self) -> impl Iterator<Item = &'static str> {
        self.calls.iter().map(|call| call.kind.name)
    }

    /// The same, but replies are believed without a signature: for samples, never for a channel.
    pub fn without_verification(mut self) -> Self {
        self.verification = None;
        self
    }

    /// A sample request, of a merchant that the file knows.
    pub fn of_known_merchant(&self, request: ChannelRequest) -> ChannelRequest {
        match self.surroundings.merchants.keys().next() {
            Some(id) => request.of_merchant(MerchantId::from_stored(id)),
            None => request,
        }
    }

    /// Whether the file has a word for accounts of this kind; without any, ours are the channel's.
    pub fn has_account_kind(&self, kind: AccountKind) -> bool {
        let words = &self.surroundings.account_kinds;
        words.is_empty() || words.contains_key(&kind)
    }

    /// Whether a section describes this request.
    pub fn describes(&self, request: &ChannelRequest) -> bool {
        self.call(request).is_some()
    }

    fn call(&self, request: &ChannelRequest) -> Option<&Call> {
        let (closest, wider) = RequestKind::names_for(request);
        let named = |name: &str| self.calls.iter().find(|call| call.kind.name == name);
        let serves = |call: &&Call| {
            let attempt = request.attempt();
            !call.kind.is_shared || attempt.is_some_and(|facts| call.of.contains(&facts.operation))
        };
        named(closest).or_else(|| named(wider).filter(serves))
    }

    /// `brought` is what the request before it has brought; without it the sample's stands there.
    /// The error's text never holds card data.
    fn build(
        &self,
        request: &ChannelRequest,
        brought: Option<Arc<Brought>>,
        now: Timestamp,
    ) -> Result<WrittenRequest, String> {
        let call = self.call(request).ok_or("this channel file has no such operation")?;
        let brought = brought.or_else(|| Some(Arc::clone(&call.first.as_ref()?.sample)));
        let words = Words::new(Subject::Attempt(request), now, &self.surroundings);
        let words = words.with_brought(brought);
        self.write_signed(&call.sending, &self.destination, &words)
    }

    fn write(
        &self,
        sending: &RequestTemplate,
        to: &Destination,
        words: &Words<'_>,
    ) -> Result<WireRequest, String> {
        self.write_signed(sending, to, words).map(|written| written.wire)
    }

    fn unsigned(
        &self,
        sending: &RequestTemplate,
        to: &Destination,
        words: &Words<'_>,
    ) -> Result<UnsignedParts, String> {
        words.check_merchant()?;
        let path = [&*to.base_path, &*sending.path_and_query(words)?].concat();
        let mut headers = sending.headers(words)?;
        let document = match &sending.body {
            Some(body) => {
                let has_type = headers.iter().any(|(name, _)| *name == CONTENT_TYPE);
                if !has_type {
                    // The file's own content type, for instance one with a charset, goes first.
                    headers.push((CONTENT_TYPE, to.content_type.clone()));
                }
                let built = body.build(words, to.form.format);
                Some(built.map_err(|error| format!("body.{error}"))?)
            }
            None => None,
        };
        Ok(UnsignedParts { path, headers, document })
    }

    fn write_signed(
        &self,
        sending: &RequestTemplate,
        to: &Destination,
        words: &Words<'_>,
    ) -> Result<WrittenRequest, String> {
        let UnsignedParts { path, mut headers, document } = self.unsigned(sending, to, words)?;
        let (method, nonce) = (sending.method.as_str(), || words.nonce());
        let (path, host, now) = (path.as_str(), host_of(&to.origin), words.now());
        let outgoing = UnsignedRequest {
            method,
            path,
            host,
            headers: &headers,
            nonce: &nonce,
            now,
            member: None,
        };
        let signed = self.sign(&outgoing, document, to)?;
        let SignedParts { headers: added, body, message, signature } = signed;
        headers.extend(added);
        let url = [&*to.origin, path].concat();
        let wire = WireRequest { method: sending.method.clone(), url, headers, body, signature };
        Ok(WrittenRequest { wire, message })
    }

    /// The headers that sign the request, the body's bytes, in which the signature may stand, and
    /// what is signed.
    fn sign(
        &self,
        outgoing: &UnsignedRequest<'_>,
        document: Option<MessageBody>,
        to: &Destination,
    ) -> Result<SignedParts, String> {
        let Some(signing) = self.signing.as_ref().filter(|_| to.is_signed) else {
            let charset = to.form.charset;
            let bytes = document.map_or(Ok(Vec::new()), |document| document.encode(charset));
            let unsigned = |bytes| SignedParts { body: Bytes::from(bytes), ..<_>::default() };
            return bytes.map(unsigned);
        };
        let signed = signing.apply(document, outgoing)?;
        let mut headers = Vec::with_capacity(signed.headers.len());
        for (name, text) in signed.headers {
            headers.push((name, header_value(&text)?));
        }
        let (body, message) = (Bytes::from(signed.body), Some(signed.message));
        Ok(SignedParts { headers, body, message, signature: signed.signature })
    }

    /// Reads the proof in a reply; every error is a reason not to know.
    fn understand(
        &self,
        request: &ChannelRequest,
        reply: &WireReply,
        now: Timestamp,
    ) -> Result<(Outcome, Option<IssuedToken>), Uncertainty> {
        let call = self.call(request).ok_or(UnknownCause::Garbled)?;
        let answer = self.answer(call.reply.member.as_ref(), reply, now)?;
        let outcome = call.reply.outcome(&answer, Some(request.stated()))?;
        let issued = match &outcome {
            Outcome::Approved(_) => call.reply.issued(&answer, request.phone())?,
            _ => None,
        };
        Ok((outcome, issued))
    }

    /// A reply that is believed, as far as it is signed; `member` is where its code stands.
    fn answer(
        &self,
        member: Option<&Inside>,
        reply: &WireReply,
        now: Timestamp,
    ) -> Result<ChannelAnswer, Uncertainty> {
        if !self.accepted_statuses.contains(&reply.status) {
            let words = format!("HTTP status {}", reply.status);
            return Err(Uncertainty::new(UnknownCause::HttpStatus, words));
        }
        let body = MessageBody::parse(&reply.body, self.reply_form)
            .map_err(|cause| Uncertainty::new(cause, "it is not of the channel's format"))?;
        if let Some(verification) = &self.verification {
            let received = Received {
                headers: &reply.headers,
                body: &reply.body,
                document: Some(&body),
                member,
                now,
                line: RequestLine::default(),
            };
            verification
                .prove(&received)
                .map_err(|problem| Uncertainty::new(UnknownCause::BadSignature, problem))?;
        }
        let outer = ChannelAnswer { body, status: Some(reply.status) };
        match &self.reply_decryption {
            Some(decryption) => self.open(decryption, outer),
            None => Ok(outer),
        }
    }
}

impl Declarative {
    /// What was encrypted in a reply. One that hides nothing, where the file says that it may, is
    /// read as it is: a refusal seldom hides anything.
    fn open(
        &self,
        decryption: &Decryption,
        outer: ChannelAnswer,
    ) -> Result<ChannelAnswer, Uncertainty> {
        let hidden = outer.text(&decryption.cipher_text)?;
        if hidden.is_none() && decryption.cipher_text.is_optional {
            return Ok(outer);
        }
        let unsure = |words| Uncertainty::new(UnknownCause::Garbled, words);
        let text = decryption.open_in(&outer);
        let text = text.ok_or_else(|| unsure("what is encrypted in it cannot be opened"))?;
        let body = MessageBody::parse(&text, self.reply_form)
            .map_err(|_| unsure("what was encrypted is not of the channel's format"))?;
        Ok(ChannelAnswer { body, status: outer.status })
    }
}

impl RequestTemplate {
    fn path_and_query(&self, words: &Words<'_>) -> Result<String, String> {
        let path = self.path.render_encoded(words, encode_percent);
        let mut path = path.map_err(|error| format!("path: {error}"))?;
        let mut joint = '?';
        for (name, template) in &self.query {
            let text = template.render_text(words).map_err(|e| format!("query.{name}: {e}"))?;
            if let Some(text) = text {
                path.push(joint);
                path.push_str(&encode_percent(name));
                path.push('=');
                path.push_str(&encode_percent(&text));
                joint = '&';
            }
        }
        Ok(path)
    }

    fn headers(&self, words: &Words<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let mut headers = Vec::with_capacity(self.headers.len() + 4);
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
        let written = self.build(request, None, now).map(|written| written.wire);
        written.map_err(|problem| EncodeError { request: request.name(), problem })
    }

    fn decode(&self, request: &ChannelRequest, reply: &WireReply, now: Timestamp) -> ReplyMeaning {
        let understood = self.understand(request, reply, now);
        let reference = understood.as_ref().ok().and_then(|(outcome, _)| outcome.reference());
        let attempt = request.attempt();
        let known = [reference, attempt.and_then(|facts| facts.channel_reference.as_deref())];
        let known: Vec<&str> = known.into_iter().flatten().collect();
        let words = keep_words(&reply.body, request.echo(), &known);
        match understood {
            Ok((outcome, None)) => ReplyMeaning::new(outcome, words),
            Ok((outcome, Some(issued))) => ReplyMeaning::new(outcome, words).with_issued(issued),
            Err(objection) => objection.into_meaning(words),
        }
    }

    fn sent_words(&self, request: &ChannelRequest, stamp: &SentStamp) -> String {
        self.words_of(request, stamp)
    }

    fn decode_notice(&self, notice: &WireNotice, now: Timestamp) -> Result<Notice, NoticeRefusal> {
        self.notices.as_ref().ok_or(NoticeRefusal::Unsupported)?.read(notice, now)
    }

    /// Where nobody is expected to post one, he is told that there is nothing here.
    fn answer_notice(&self, taken: bool) -> WireReply {
        match &self.notices {
            Some(notices) => notices.answer.write(taken),
            None => WireReply { status: 404, headers: HeaderMap::new(), body: Bytes::new() },
        }
    }

    /// A key that the file gives inside a certificate is pinned: its dates prove nothing, and its
    /// end ends nothing.
    fn certificates(&self) -> Vec<CertificateTerm> {
        Vec::new()
    }

    fn credential_supply(&self) -> Option<&dyn CredentialSupply> {
        self.token.as_ref().map(|_| self as &dyn CredentialSupply)
    }

    fn first_request(&self, request: &ChannelRequest) -> Option<&dyn FirstRequest> {
        let is_there = self.has_first && self.first_call(request).is_some();
        is_there.then_some(self as &dyn FirstRequest)
    }

    fn statements(&self) -> Option<&dyn StatementSource> {
        self.statement.as_ref().map(|_| self as &dyn StatementSource)
    }
}

/// Host and port of an origin.
fn host_of(origin: &str) -> &str {
    origin.split_once("://").map_or("", |(_, host)| host)
}

/// The error does not quote the value.
fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text)
        .map_err(|_| "a header has a character that none may have".to_owned())
}
