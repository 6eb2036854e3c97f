//! The channel's side of a channel file: replies and notices written as the file says that the
//! channel writes and signs them, so that any file can be rehearsed before there is a bank.
//!
//! It can say only what the file knows. A file that misunderstands its bank is rehearsed with the
//! same misunderstanding: that is found by golden samples and at the bank's test host.

mod draft;
mod vocabulary;

pub use draft::MessageDraft;

use std::sync::Arc;

use http::HeaderMap;

use super::asked::write_decimal;
use super::document::MessageBody;
use super::encrypt::Decryption;
use super::format::BodyForm;
use super::notice::NoticeMap;
use super::path::Inside;
use super::reply::ReplyMap;
use super::sign::{Signing, UnsignedRequest};
use super::{Call, Declarative};
use crate::channel::protocol::amount::AmountForm;
use crate::channel::protocol::said::{FarWord, MessageSigner, Saying, ToldMeaning};
use crate::channel::{AttemptFacts, ChannelRequest, StatedFacts, WireNotice, WireReply};
use crate::domain::ids::ChannelOrderNo;
use crate::domain::time::Timestamp;

/// Keys of both signers of one kind of message.
pub struct SignerPair {
    pub channel: Signing,
    pub stranger: Signing,
}

impl SignerPair {
    const fn of(&self, signer: MessageSigner) -> &Signing {
        match signer {
            MessageSigner::Channel => &self.channel,
            MessageSigner::Stranger => &self.stranger,
        }
    }
}

/// The keys by which the channel signs what it says, and those of a stranger.
pub struct FarKeys {
    /// `None` where replies are unsigned.
    pub replies: Option<SignerPair>,
    /// `None` where there are no notices, or nothing proves them.
    pub notices: Option<SignerPair>,
}

/// The channel's side of one file.
pub struct DeclarativeFarSide {
    adapter: Arc<Declarative>,
    keys: FarKeys,
}

impl DeclarativeFarSide {
    pub const fn new(adapter: Arc<Declarative>, keys: FarKeys) -> Self {
        Self { adapter, keys }
    }

    /// The section that describes a request; `None` where the file has none for it.
    pub fn section(&self, request: &ChannelRequest) -> Option<&'static str> {
        self.adapter.call(request).map(|call| call.kind.name)
    }

    /// Everything that the reply to a request can say, yeses first.
    pub fn vocabulary(&self, request: &ChannelRequest) -> Vec<Saying> {
        self.adapter.call(request).map(|call| call.reply.vocabulary()).unwrap_or_default()
    }

    /// Everything that a notice can say of an attempt; nothing where the channel sends none of it.
    pub fn notice_vocabulary(&self, about: &AttemptFacts) -> Vec<Saying> {
        self.notice_kind(about).map(|kind| kind.map.vocabulary()).unwrap_or_default()
    }

    /// Whether a notice of an attempt says what it is about. The kind for all may speak of the
    /// original where a follow-up has none of its own.
    pub fn has_own_notice(&self, about: &AttemptFacts) -> bool {
        let own =
            |kind: &NoticeMap| kind.section.strip_suffix("_notice") == Some(about.operation.name());
        about.operation.begins_with_card() || self.notice_kind(about).is_some_and(own)
    }

    pub const fn signs_replies(&self) -> bool {
        self.keys.replies.is_some()
    }

    fn notice_kind(&self, about: &AttemptFacts) -> Option<&NoticeMap> {
        self.adapter.notices.as_ref()?.kind_for(about.operation.name())
    }

    /// A reply. The error says what the file does not let the channel write.
    pub fn reply(
        &self,
        request: &ChannelRequest,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<WireReply, String> {
        let call: &Call =
            self.adapter.call(request).ok_or("the file has no section for this request")?;
        let form = self.adapter.reply_form;
        let inner = self.draft(&call.reply, form, word, &request.stated())?;
        let draft = match &self.adapter.reply_decryption {
            Some(decryption) => hidden(decryption, form, &inner)?,
            None => inner,
        };
        let status = draft.status;
        let signing = self.keys.replies.as_ref().map(|pair| pair.of(word.signer));
        let member = call.reply.member.as_ref();
        let (headers, body) = sealed(signing, draft, member, now)?;
        Ok(WireReply { status, headers, body: body.into() })
    }

    /// A notice about an attempt. The error says what the file does not let the channel write.
    pub fn notice(
        &self,
        about: &AttemptFacts,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<WireNotice, String> {
        let notices = self.adapter.notices.as_ref().ok_or("the file describes no notices")?;
        let kind = self.notice_kind(about).ok_or("the file describes no such notice")?;
        let inner = self.draft(&kind.map, notices.form, word, &about.stated(None))?;
        let mut draft = match &notices.decryption {
            Some(decryption) => hidden(decryption, notices.form, &inner)?,
            None => inner,
        };
        for (path, texts) in &kind.when {
            if let Some(text) = texts.first() {
                draft.set(path, text);
            }
        }
        let signing = self.keys.notices.as_ref().map(|pair| pair.of(word.signer));
        let (headers, body) = sealed(signing, draft, None, now)?;
        Ok(WireNotice { headers, body: body.into() })
    }

    /// Every value that the file reads, laid where it reads it. A refusal names the order and no
    /// more, as refusals do.
    fn draft(
        &self,
        map: &ReplyMap,
        form: BodyForm,
        word: &FarWord<'_>,
        about: &StatedFacts<'_>,
    ) -> Result<MessageDraft, String> {
        let mut draft = MessageDraft::new(form);
        let FarWord { saying, settle_date, .. } = word;
        if let (Some(path), true) = (&map.list, saying.lists_nothing) {
            draft.set_empty_list(path);
        }
        let texts = [
            (&map.code, &saying.code),
            (&map.state, &saying.state),
            (&map.result_code, &saying.result),
        ];
        for (path, text) in texts {
            match (path, text) {
                (Some(path), Some(text)) => draft.set(path, text),
                (None, Some(_)) => return Err("the file has no place for this word".to_owned()),
                (_, None) => {}
            }
        }
        if saying.lists_nothing {
            return Ok(draft);
        }
        let mut lay = |path: &Option<_>, text: &str| {
            if let Some(path) = path {
                draft.set(path, text);
            }
        };
        lay(&map.order_no, &map.order_form.write(about.channel_order_no));
        if matches!(saying.means, ToldMeaning::Approved | ToldMeaning::TakenBack) {
            if let Some((amount, currency)) = about.money {
                let written = match map.amount_form {
                    AmountForm::Minor => amount.get().to_string(),
                    AmountForm::Decimal => write_decimal(amount, currency),
                };
                lay(&map.amount, &written);
                lay(&map.currency, currency.name());
            }
            lay(&map.reference, &reference_of(about.channel_order_no));
            lay(&map.token, &token_of(about.channel_order_no));
            lay(&map.card_type, map.card_types.keys().next().map_or("", String::as_str));
            lay(&map.settle_date, &format!("{:04}", settle_date.yyyymmdd() % 10_000));
        }
        if let Some(original) = about.original {
            lay(&map.original_no, &map.order_form.write(original.channel_order_no));
            let reference = original.channel_reference.as_deref();
            lay(&map.original_reference, reference.unwrap_or_default());
        }
        Ok(draft)
    }
}

/// The channel's own number of what it was asked for.
pub fn reference_of(number: ChannelOrderNo) -> String {
    format!("CH{number}")
}

/// The token of a card that was bound under this number.
fn token_of(number: ChannelOrderNo) -> String {
    format!("token-{number}")
}

fn hidden(
    decryption: &Decryption,
    form: BodyForm,
    inner: &MessageDraft,
) -> Result<MessageDraft, String> {
    let mut outer = MessageDraft::new(form);
    outer.status = inner.status;
    outer.hide(decryption, &inner.encode()?)?;
    Ok(outer)
}

/// The headers and bytes of a message, signed where the channel signs.
fn sealed(
    signing: Option<&Signing>,
    draft: MessageDraft,
    member: Option<&Inside>,
    now: Timestamp,
) -> Result<(HeaderMap, Vec<u8>), String> {
    let Some(signing) = signing else { return Ok((HeaderMap::new(), draft.encode()?)) };
    let nonce = || "0123456789abcdef0123456789abcdef".to_owned();
    let outgoing = UnsignedRequest {
        method: "",
        path: "",
        host: "",
        headers: &[],
        nonce: &nonce,
        now,
        member,
    };
    let body = match draft.body {
        MessageBody::Nothing => None,
        body => Some(body),
    };
    let signed = signing.apply(body, &outgoing)?;
    let mut headers = HeaderMap::new();
    for (name, text) in signed.headers {
        let value = super::header_value(&text)?;
        headers.insert(name, value);
    }
    Ok((headers, signed.body))
}
