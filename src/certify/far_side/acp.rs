//! Files of UnionPay's protocol: the simulated platform reads and proves each request with the
//! file's own merchant and made-up certificates, and says what it is told.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use zeroize::Zeroizing;

use crate::certify::exchange::{PageMasks, PageShown, SignedText};
use crate::channel::protocol::said::{FarWord, MessageSigner, Saying, ToldMeaning};
use crate::channel::protocol::sample::sample_token;
use crate::channel::protocol::unionpay_acp::UnionPayAcp;
use crate::channel::protocol::unionpay_acp::rehearsal::AcpShown;
use crate::channel::{
    Adapter, AttemptFacts, ChannelRequest, EncodeError, WireNotice, WireReply, WireRequest,
};
use crate::domain::card::words::CardEcho;
use crate::domain::card::{CardInput, CardToken};
use crate::domain::ids::ChannelOrderNo;
use crate::domain::time::Timestamp;
use crate::simulator::{AcpHeard, AcpVoice, VoiceWords};

use super::FarProblem;
use super::http::HttpSide;

/// See the head of this file.
pub struct AcpFarSide {
    adapter: Arc<UnionPayAcp>,
    voice: AcpVoice,
    /// The request that waits for its answer.
    heard: Mutex<Option<AcpHeard>>,
}

impl AcpFarSide {
    pub fn new(adapter: Arc<UnionPayAcp>, voice: AcpVoice) -> Self {
        Self { adapter, voice, heard: Mutex::default() }
    }
}

/// A page of a message, which is shown as its bytes are where it is none of UnionPay's.
fn page(
    head: String,
    (shown, bytes): (Option<AcpShown>, &[u8]),
    echo: CardEcho<'_>,
    keys: &[&[u8]],
) -> PageShown {
    let Some(AcpShown { body, signed_text, signed_sha256, identifiers }) = shown else {
        let masks = PageMasks { keys, echo, known: &[] };
        return PageShown::new(head, (Vec::new(), bytes), None, masks);
    };
    let known: Vec<&str> = identifiers.iter().map(String::as_str).collect();
    let text = Zeroizing::new(signed_text.into_bytes());
    let signed = SignedText { text, sha256: signed_sha256 };
    let masks = PageMasks { keys, echo, known: &known };
    PageShown::new(head, (Vec::new(), body.as_bytes()), Some(signed), masks)
}

/// A saying as the platform's voice takes it.
fn words_of<'a>(word: &FarWord<'a>) -> VoiceWords<'a> {
    VoiceWords {
        code: word.saying.code.as_deref().unwrap_or_default(),
        end: word.saying.result.as_deref(),
        settle_date: word.settle_date,
        is_forged: word.signer == MessageSigner::Stranger,
    }
}

impl HttpSide for AcpFarSide {
    fn adapter(&self) -> &dyn Adapter {
        &*self.adapter
    }

    fn place_of(&self, request: &ChannelRequest) -> Option<String> {
        (!self.reply_words(request).is_empty()).then(|| "[unionpay_acp]".to_owned())
    }

    fn reply_words(&self, request: &ChannelRequest) -> Vec<Saying> {
        self.adapter.vocabulary(request)
    }

    fn notice_words(&self, about: &AttemptFacts) -> Vec<Saying> {
        self.adapter.notice_vocabulary(about)
    }

    /// Each kind of transaction has a type, which its notices repeat.
    fn has_own_notice(&self, _: &AttemptFacts) -> bool {
        true
    }

    fn unlisted_word(&self) -> Saying {
        Saying::plain(Some("ZZ".to_owned()), ToldMeaning::Unclear)
    }

    fn signs_replies(&self) -> bool {
        true
    }

    fn write(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
        secrets: &[&[u8]],
    ) -> Result<(WireRequest, PageShown), EncodeError> {
        let wire = self.adapter.encode(request, now)?;
        let head = format!("{} {}", wire.method, wire.url);
        let body = (AcpShown::of_form(&wire.body), &wire.body[..]);
        let shown = page(head, body, request.echo(), secrets);
        Ok((wire, shown))
    }

    fn hear(&self, wire: &WireRequest, now: Timestamp) -> Result<(), FarProblem> {
        let path = wire.url.parse::<http::Uri>().map(|url| url.path().to_owned());
        let heard = self.voice.hear(&path.unwrap_or_default(), &wire.body, now);
        let heard = heard.map_err(|refusal| FarProblem::Refused(refusal.to_string()))?;
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
        Ok(())
    }

    fn reply(
        &self,
        _: &ChannelRequest,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<WireReply, FarProblem> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).take();
        let heard = heard.ok_or_else(|| FarProblem::Unsayable("nothing was asked".to_owned()))?;
        let body = self.voice.reply(&heard, &words_of(word), now);
        Ok(WireReply { status: 200, headers: HeaderMap::new(), body: body.into() })
    }

    fn notice(
        &self,
        about: &AttemptFacts,
        word: &FarWord<'_>,
        _: Timestamp,
    ) -> Result<WireNotice, FarProblem> {
        let number = about.channel_order_no.to_string();
        let notice = self.voice.notice(&number, &words_of(word));
        let notice = notice.ok_or_else(|| {
            FarProblem::Unsayable("the channel never heard of this attempt".to_owned())
        })?;
        Ok(WireNotice { headers: HeaderMap::new(), body: notice.into() })
    }

    fn show_reply(
        &self,
        request: &ChannelRequest,
        reply: &WireReply,
        _: Timestamp,
        secrets: &[&[u8]],
    ) -> PageShown {
        let head = format!("HTTP {}", reply.status);
        page(head, (AcpShown::of_line(&reply.body), &reply.body), request.echo(), secrets)
    }

    fn show_notice(&self, notice: &WireNotice, _: Timestamp) -> PageShown {
        let body = (AcpShown::of_form(&notice.body), &notice.body[..]);
        page("POST (notice)".to_owned(), body, CardEcho::NONE, &[])
    }

    fn reference(&self, number: ChannelOrderNo) -> Option<String> {
        self.voice.reference_of(&number.to_string())
    }

    fn bound_token(&self, card: &CardInput, now: Timestamp) -> CardToken {
        let text = self.voice.token_for(card.pan.expose(), now);
        let phone = card.phone.as_deref().unwrap_or_default();
        CardToken::parse(&text, phone).unwrap_or_else(sample_token)
    }
}
