//! Requests that have left, in words: written by the same templates with masks in place of what is
//! secret.
//!
//! Upholds I-11 by what is given to the templates, not by a search in what they make: no expression
//! of a channel's file can reach a secret here, so none can stand in what it writes, however it
//! cuts, turns, encodes or encrypts it.

use http::{HeaderName, HeaderValue};

use super::asked::Subject;
use super::document::MessageBody;
use super::seal::{Facts, Headers, SignedPart};
use super::sign::{Signing, UnsignedRequest};
use super::words::{Surroundings, Words};
use super::{Declarative, Destination, RequestTemplate, UnsignedParts, host_of};
use crate::channel::protocol::transcript::{MASK, cut_words, keep_words, signature_shown};
use crate::channel::{ChannelRequest, SentStamp};

impl Surroundings {
    /// The file's own texts, which are no card's.
    fn own_texts(&self) -> impl Iterator<Item = &str> {
        let merchants = self.merchants.values().flat_map(|names| names.values());
        let constants = self.constants.values().filter(|constant| !constant.is_secret);
        let constants = constants.filter_map(|constant| constant.value.as_str());
        merchants.map(String::as_str).chain(constants)
    }
}

impl Signing {
    /// The headers that [`Self::apply`] adds, and the body with its signature, without a digest of
    /// what is masked.
    fn show(
        &self,
        document: Option<&mut MessageBody>,
        outgoing: &UnsignedRequest<'_>,
        signature: &str,
    ) -> Vec<(HeaderName, String)> {
        let (timestamp, nonce) = (self.timestamp_unit.write(outgoing.now), (outgoing.nonce)());
        let facts = Facts {
            body: &[],
            document: None,
            member: None,
            headers: Headers::Written(outgoing.headers),
            timestamp: &timestamp,
            nonce: &nonce,
            now: outgoing.now,
            host: outgoing.host,
            method: outgoing.method,
            path: outgoing.path,
            key: &[],
            key_id: &self.key_id,
            signature,
        };
        let shown = |part: &SignedPart| match part {
            SignedPart::BodyDigest(..) => MASK.to_owned(),
            part => facts.text(part).unwrap_or_else(|| MASK.to_owned()),
        };
        if let (Some(field), Some(document)) = (&self.seal.field, document) {
            // Where there is no place for it nothing has left.
            let _ = document.set(field, signature);
        }
        let headers = self.seal.headers.iter();
        headers.map(|(name, parts)| (name.clone(), parts.iter().map(shown).collect())).collect()
    }
}

impl Declarative {
    pub(super) fn words_of(&self, request: &ChannelRequest, stamp: &SentStamp) -> String {
        let call = self.call(request);
        let brought = call.and_then(|call| Some(call.first.as_ref()?.sample.clone()));
        let has_first = brought.is_some();
        let words = Words::new(Subject::Attempt(request), stamp.at, &self.surroundings);
        let words = words.with_brought(brought).masked();
        let sending = call.map(|call| &call.sending);
        self.show_request(sending, request, &words, (&stamp.signature, has_first))
    }

    pub(super) fn first_words_of(&self, request: &ChannelRequest, stamp: &SentStamp) -> String {
        let words = Words::new(Subject::Attempt(request), stamp.at, &self.surroundings).masked();
        let sending = self.first_call(request).map(|call| &call.sending);
        self.show_request(sending, request, &words, (&stamp.signature, false))
    }

    /// Whether requests have secrets of the file's or the channel's own.
    fn has_secrets(&self) -> bool {
        let mut constants = self.surroundings.constants.values();
        self.token.is_some() || constants.any(|constant| constant.is_secret)
    }

    fn show_request(
        &self,
        sending: Option<&RequestTemplate>,
        request: &ChannelRequest,
        words: &Words<'_>,
        (signature, has_brought): (&str, bool),
    ) -> String {
        let covers_shown = request.echo().is_none() && !has_brought && !self.has_secrets();
        let signature = signature_shown(signature, covers_shown);
        let shown = sending
            .ok_or_else(|| "this channel file has no such operation".to_owned())
            .and_then(|sending| self.show(sending, &self.destination, words, &signature));
        let lines = match shown {
            Ok(lines) => lines,
            // A template that reckons with what is masked: it names the place, and no value.
            Err(problem) => return format!("not to be shown: {problem}"),
        };
        let stated = request.stated();
        let number = self.surroundings.order_form.write(stated.channel_order_no);
        let references = [request.attempt(), stated.original];
        let references =
            references.into_iter().flatten().filter_map(|facts| facts.channel_reference.as_deref());
        let own = self.surroundings.own_texts();
        let known: Vec<&str> =
            [number.as_str(), &*signature].into_iter().chain(references).chain(own).collect();
        let kept = lines.iter().map(|line| keep_words(line.as_bytes(), request.echo(), &known));
        cut_words(kept.collect::<Vec<_>>().join("\n"))
    }

    /// The lines of a request: method and address, headers, body.
    fn show(
        &self,
        sending: &RequestTemplate,
        to: &Destination,
        words: &Words<'_>,
        signature: &str,
    ) -> Result<Vec<String>, String> {
        let UnsignedParts { path, headers, mut document } = self.unsigned(sending, to, words)?;
        let signing = self.signing.as_ref().filter(|_| to.is_signed);
        let nonce = || words.nonce();
        let outgoing = UnsignedRequest {
            method: sending.method.as_str(),
            path: &path,
            host: host_of(&to.origin),
            headers: &headers,
            nonce: &nonce,
            now: words.now(),
            member: None,
        };
        let signed = signing
            .map(|signing| signing.show(document.as_mut(), &outgoing, signature))
            .unwrap_or_default();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let plain = headers.iter().map(|(name, value)| (name.clone(), text(value)));
        let mut lines = vec![format!("{} {}{path}", sending.method, to.origin)];
        lines.extend(plain.chain(signed).map(|(name, text)| format!("{name}: {text}")));
        if let Some(document) = document {
            lines.push(document.plain_text()?);
        }
        Ok(lines)
    }
}
