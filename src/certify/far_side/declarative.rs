//! Files of the protocol `http`: the channel's side reads nothing, and writes by the file.

use std::sync::Arc;

use http::HeaderMap;

use crate::certify::exchange::{PageMasks, PageShown, SignedText};
use crate::channel::protocol::declarative::Declarative;
use crate::channel::protocol::declarative::far_side::{DeclarativeFarSide, reference_of};
use crate::channel::protocol::said::{FarWord, Saying, ToldMeaning};
use crate::channel::protocol::sample::sample_token;
use crate::channel::{
    Adapter, AttemptFacts, ChannelRequest, EncodeError, WireNotice, WireReply, WireRequest,
};
use crate::domain::card::words::CardEcho;
use crate::domain::card::{CardInput, CardToken};
use crate::domain::ids::ChannelOrderNo;
use crate::domain::time::Timestamp;

use super::FarProblem;
use super::http::HttpSide;

/// See the head of this file.
pub struct HttpFarSide {
    pub adapter: Arc<Declarative>,
    pub channel: Arc<DeclarativeFarSide>,
}

impl HttpSide for HttpFarSide {
    fn adapter(&self) -> &dyn Adapter {
        &*self.adapter
    }

    fn place_of(&self, request: &ChannelRequest) -> Option<String> {
        self.channel.section(request).map(|section| format!("[http.{section}]"))
    }

    fn reply_words(&self, request: &ChannelRequest) -> Vec<Saying> {
        self.channel.vocabulary(request)
    }

    fn notice_words(&self, about: &AttemptFacts) -> Vec<Saying> {
        self.channel.notice_vocabulary(about)
    }

    fn has_own_notice(&self, about: &AttemptFacts) -> bool {
        self.channel.has_own_notice(about)
    }

    fn unlisted_word(&self) -> Saying {
        Saying::plain(Some("ZZ-UNLISTED".to_owned()), ToldMeaning::Unclear)
    }

    fn signs_replies(&self) -> bool {
        self.channel.signs_replies()
    }

    fn write(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
        secrets: &[&[u8]],
    ) -> Result<(WireRequest, PageShown), EncodeError> {
        let (wire, text) = self.adapter.encode_with_text(request, now)?;
        let headers = wire.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let head = format!("{} {}", wire.method, wire.url);
        let keys = self.keys(secrets);
        let masks = PageMasks { keys: &keys, echo: request.echo(), known: &[] };
        let page = (headers.collect(), &wire.body[..]);
        let shown = PageShown::new(head, page, text.map(SignedText::from), masks);
        Ok((wire, shown))
    }

    /// Whatever is asked is taken as the file's template has written it.
    fn hear(&self, _: &WireRequest, _: Timestamp) -> Result<(), FarProblem> {
        Ok(())
    }

    fn reply(
        &self,
        request: &ChannelRequest,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<WireReply, FarProblem> {
        self.channel.reply(request, word, now).map_err(FarProblem::Unsayable)
    }

    fn notice(
        &self,
        about: &AttemptFacts,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<WireNotice, FarProblem> {
        self.channel.notice(about, word, now).map_err(FarProblem::Unsayable)
    }

    fn show_reply(
        &self,
        request: &ChannelRequest,
        reply: &WireReply,
        now: Timestamp,
        secrets: &[&[u8]],
    ) -> PageShown {
        let text = self.adapter.reply_text(request, reply, now);
        let head = format!("HTTP {}", reply.status);
        let keys = self.keys(secrets);
        let masks = PageMasks { keys: &keys, echo: request.echo(), known: &[] };
        let page = (texts(&reply.headers), &reply.body[..]);
        PageShown::new(head, page, text.map(SignedText::from), masks)
    }

    fn show_notice(&self, notice: &WireNotice, now: Timestamp) -> PageShown {
        let text = self.adapter.notice_text(notice, now);
        let keys = self.keys(&[]);
        let masks = PageMasks { keys: &keys, echo: CardEcho::NONE, known: &[] };
        let page = (texts(&notice.headers), &notice.body[..]);
        PageShown::new("POST (notice)".to_owned(), page, text.map(SignedText::from), masks)
    }

    fn reference(&self, number: ChannelOrderNo) -> Option<String> {
        Some(reference_of(number))
    }

    fn bound_token(&self, _: &CardInput, _: Timestamp) -> CardToken {
        sample_token()
    }
}

impl HttpFarSide {
    /// The shared keys of the file, and what else may not be seen.
    fn keys<'k>(&'k self, secrets: &[&'k [u8]]) -> Vec<&'k [u8]> {
        let mut keys = self.adapter.shared_keys();
        keys.extend(secrets);
        keys
    }
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
