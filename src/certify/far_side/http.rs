//! What protocols over HTTP share: the exchange itself, at the channel's own side and at a host.

use bytes::Bytes;
use http::HeaderMap;

use crate::certify::exchange::PageShown;
use crate::channel::protocol::said::{FarWord, MessageSigner, Saying};
use crate::channel::transport::http::HttpTransport;
use crate::channel::{
    Adapter, AttemptFacts, ChannelRequest, EncodeError, ReplyMeaning, WireNotice, WireReply,
    WireRequest, fetched,
};
use crate::clock::Timekeeper;
use crate::domain::card::{CardInput, CardToken};
use crate::domain::ids::ChannelOrderNo;
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;

use super::{
    AnswerProof, Exchanged, FarAnswer, FarMoment, FarProblem, FarSide, LateReversalAnswer, Unasked,
};

/// A protocol over HTTP, at both ends of the wire. No default bodies: each says everything.
pub trait HttpSide: Send + Sync {
    fn adapter(&self) -> &dyn Adapter;

    /// See [`FarSide::place`].
    fn place_of(&self, request: &ChannelRequest) -> Option<String>;

    /// See [`FarSide::vocabulary`].
    fn reply_words(&self, request: &ChannelRequest) -> Vec<Saying>;

    /// Everything that a notice can say of an attempt.
    fn notice_words(&self, about: &AttemptFacts) -> Vec<Saying>;

    /// See [`FarSide::tells_apart`].
    fn has_own_notice(&self, about: &AttemptFacts) -> bool;

    /// See [`FarSide::unlisted`].
    fn unlisted_word(&self) -> Saying;

    fn signs_replies(&self) -> bool;

    /// Writes a request, and shows it. `secrets`: texts that may not be seen.
    fn write(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
        secrets: &[&[u8]],
    ) -> Result<(WireRequest, PageShown), EncodeError>;

    /// The channel reads a request, whatever becomes of its answer.
    fn hear(&self, wire: &WireRequest, now: Timestamp) -> Result<(), FarProblem>;

    /// The channel answers the request that it has just heard.
    fn reply(
        &self,
        request: &ChannelRequest,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<WireReply, FarProblem>;

    fn notice(
        &self,
        about: &AttemptFacts,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<WireNotice, FarProblem>;

    fn show_reply(
        &self,
        request: &ChannelRequest,
        reply: &WireReply,
        now: Timestamp,
        secrets: &[&[u8]],
    ) -> PageShown;

    fn show_notice(&self, notice: &WireNotice, now: Timestamp) -> PageShown;

    /// See [`FarSide::reference_of`].
    fn reference(&self, number: ChannelOrderNo) -> Option<String>;

    /// See [`FarSide::token_for`].
    fn bound_token(&self, card: &CardInput, now: Timestamp) -> CardToken;
}

impl<S: HttpSide> FarSide for S {
    fn place(&self, request: &ChannelRequest) -> Option<String> {
        self.place_of(request)
    }

    fn vocabulary(&self, request: &ChannelRequest) -> Vec<Saying> {
        self.reply_words(request)
    }

    fn unasked_vocabulary(&self, about: &AttemptFacts) -> Vec<Saying> {
        self.notice_words(about)
    }

    fn tells_apart(&self, about: &AttemptFacts) -> bool {
        self.has_own_notice(about)
    }

    /// An answer ends with its connection.
    fn late_reversal_vocabulary(&self, _: &ChannelRequest) -> Vec<Saying> {
        Vec::new()
    }

    fn answer_reversal(
        &self,
        _: ChannelOrderNo,
        _: &FarWord<'_>,
        _: Timestamp,
    ) -> Result<LateReversalAnswer, FarProblem> {
        Err(FarProblem::Unsayable("an answer ends with its connection".to_owned()))
    }

    fn unasked(&self) -> &'static str {
        "notice"
    }

    fn unlisted(&self) -> Saying {
        self.unlisted_word()
    }

    fn proof(&self) -> AnswerProof {
        if self.signs_replies() { AnswerProof::Signature } else { AnswerProof::Connection }
    }

    fn http(&self) -> Option<&dyn HttpSide> {
        Some(self)
    }

    fn exchange(
        &self,
        request: &ChannelRequest,
        at: FarMoment,
        decide: &mut dyn FnMut() -> FarAnswer,
    ) -> Result<Exchanged, EncodeError> {
        let FarMoment { now, settle_date } = at;
        let (wire, sent) = self.write(request, now, &[])?;
        let answer = decide();
        if matches!(answer, FarAnswer::LostBefore) {
            return Ok(Exchanged::silent(sent, None));
        }
        if let Err(problem) = self.hear(&wire, now) {
            return Ok(Exchanged::silent(sent, Some(problem)));
        }
        let say = |saying: &Saying, signer| {
            let word = FarWord { saying, settle_date, signer };
            self.reply(request, &word, now)
        };
        let reply = match &answer {
            FarAnswer::LostBefore | FarAnswer::LostAfter => None,
            FarAnswer::Status(status) => Some(Ok(proxy_page(*status))),
            FarAnswer::Said(saying) => Some(say(saying, MessageSigner::Channel)),
            FarAnswer::Forged(saying) => Some(say(saying, MessageSigner::Stranger)),
        };
        match reply {
            None => Ok(Exchanged::silent(sent, None)),
            Some(Err(problem)) => Ok(Exchanged::silent(sent, Some(problem))),
            Some(Ok(reply)) => {
                let came = Some(self.show_reply(request, &reply, now, &[]));
                let understood = self.adapter().decode(request, &reply, now);
                Ok(Exchanged { sent, came, understood, problem: None })
            }
        }
    }

    fn tell(
        &self,
        about: &AttemptFacts,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<Unasked, FarProblem> {
        let notice = self.notice(about, word, now)?;
        let shown = self.show_notice(&notice, now);
        let heard = self.adapter().decode_notice(&notice, now);
        Ok(Unasked { shown, heard })
    }

    fn reference_of(&self, number: ChannelOrderNo) -> Option<String> {
        self.reference(number)
    }

    fn token_for(&self, card: &CardInput, now: Timestamp) -> CardToken {
        self.bound_token(card, now)
    }
}

fn proxy_page(status: u16) -> WireReply {
    let body = Bytes::from_static(b"<html><body>upstream error</body></html>");
    WireReply { status, headers: HeaderMap::new(), body }
}

/// The way to a real host.
pub struct HostLine {
    pub transport: HttpTransport,
    pub clock: Timekeeper,
    /// The texts of the credentials, to be masked wherever they stand.
    pub secrets: Vec<Vec<u8>>,
}

impl HostLine {
    /// Sends a request to the host, once. The text says what happened.
    pub async fn exchange(
        &self,
        side: &dyn HttpSide,
        request: &ChannelRequest,
    ) -> Result<(Exchanged, String), EncodeError> {
        let adapter = side.adapter();
        let credential = fetched::ready(adapter, &self.transport, &self.clock).await;
        let fetched = adapter.credential_supply().and_then(|supply| supply.slot().kept());
        let fetched = fetched.map(|kept| kept.text.as_bytes().to_vec());
        let secrets: Vec<&[u8]> = self.secrets.iter().chain(&fetched).map(Vec::as_slice).collect();
        let (wire, sent) = side.write(request, self.clock.now(), &secrets)?;
        let credential = match credential {
            Ok(credential) => credential,
            Err(cause) => {
                let understood = ReplyMeaning::new(Outcome::NotSent(cause), String::new());
                let happened = "nothing is sent without the fetched credential".to_owned();
                return Ok((Exchanged { sent, came: None, understood, problem: None }, happened));
            }
        };
        let reply = self.transport.send(wire).await;
        let now = self.clock.now();
        let (came, understood, happened) = match reply {
            Ok(reply) => {
                credential.heard(&reply);
                let understood = adapter.decode(request, &reply, now);
                let came = side.show_reply(request, &reply, now, &secrets);
                (Some(came), understood, "the host answers".to_owned())
            }
            Err(failure) => {
                let understood = ReplyMeaning::new(failure.outcome(), String::new());
                (None, understood, failure.to_string())
            }
        };
        Ok((Exchanged { sent, came, understood, problem: None }, happened))
    }
}
