//! Channels as the engine sees them: adapters that speak a protocol on bytes, and what they speak.
//!
//! An adapter encodes, decodes and classifies; it does no I/O, so it is tested on bytes. It must
//! never say *not sent*: only a transport may (I-2). The trait has no default bodies, so a protocol
//! that lacks something says so in words.

pub mod certificates;
pub mod fetched;
pub mod file;
pub mod first;
#[cfg(test)]
mod manual;
pub mod protocol;
pub mod registry;
pub mod samples;
pub mod shares;
pub mod statement;
pub mod traffic;
pub mod transport;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::attempt::{Attempt, Evidence, Operation, Source};
use crate::domain::card::words::{CardEcho, mask_values};
use crate::domain::card::{CardInput, CardToken, Pan, SmsCode};
use crate::domain::card_service::CardService;
use crate::domain::cluster::NodePart;
use crate::domain::ids::{ChannelId, ChannelOrderNo, MerchantId};
use crate::domain::instrument::Instrument;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::order::Order;
use crate::domain::outcome::{Objection, Outcome, UnknownCause};
use crate::domain::payee_account::AccountKind;
use crate::domain::payment_code::CodedCharge;
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;

use self::certificates::CertificateTerm;
use self::fetched::CredentialSupply;
use self::first::FirstRequest;
use self::protocol::amount::WrittenAmount;
use self::statement::StatementSource;
use self::transport::tcp;

/// The facts of an attempt that every request about it states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFacts {
    pub channel_order_no: ChannelOrderNo,
    /// When the attempt became durable.
    pub sent_at: Timestamp,
    /// See [`Attempt::announced_at`].
    pub announced_at: Option<Timestamp>,
    pub operation: Operation,
    pub merchant_id: MerchantId,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub description: Option<String>,
    /// The channel's own number of the attempt, if it has given one.
    pub channel_reference: Option<String>,
    /// Of a payout to an account: what the account is known by.
    pub payee_kind: Option<AccountKind>,
}

impl AttemptFacts {
    /// The time that names the attempt beside its number (UnionPay `txnTime`); see
    /// [`Attempt::named_at`].
    pub fn named_at(&self) -> Timestamp {
        self.announced_at.unwrap_or(self.sent_at)
    }

    fn stated<'r>(&'r self, original: Option<&'r Self>) -> StatedFacts<'r> {
        StatedFacts {
            channel_order_no: self.channel_order_no,
            sent_at: self.sent_at,
            named_at: self.named_at(),
            merchant_id: &self.merchant_id,
            money: Some((self.amount, self.currency)),
            original,
        }
    }
}

/// The facts of a request that is about a card and no order: no money moves by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFacts {
    pub service: CardService,
    /// Of the same sequence as orders' numbers; the code of a payment has that payment's.
    pub channel_order_no: ChannelOrderNo,
    /// When the try became durable.
    pub sent_at: Timestamp,
    pub merchant_id: MerchantId,
}

/// What a service is about: of these, what it needs.
#[derive(Debug, Clone, Default)]
pub struct ServiceSubject {
    /// With what the core gave of it.
    pub card: Option<Arc<CardInput>>,
    /// The code that the cardholder typed.
    pub sms_code: Option<Arc<SmsCode>>,
    pub token: Option<Arc<CardToken>>,
    /// What the code of a payment is for.
    pub charge: Option<CodedCharge>,
}

impl ServiceSubject {
    fn echo(&self) -> CardEcho<'_> {
        let code = self.sms_code.as_deref();
        match (&self.card, &self.token) {
            (Some(card), _) => CardEcho::of(card).with_code(code),
            (None, Some(token)) => CardEcho::of_token(token, code),
            (None, None) => CardEcho::NONE,
        }
    }
}

impl From<Arc<CardInput>> for ServiceSubject {
    fn from(card: Arc<CardInput>) -> Self {
        Self { card: Some(card), ..Self::default() }
    }
}

/// What an approved confirmation of an agreement brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedToken {
    pub token: CardToken,
    /// Until when it is good, if the channel says so.
    pub ends_at: Option<Timestamp>,
}

/// One thing that a channel is asked. An operation that a protocol or a channel's file does not
/// have is an [`EncodeError`]: nothing is sent then.
#[derive(Debug, Clone)]
pub enum ChannelRequest {
    /// An operation that begins with an instrument: `facts` says whether a payment, a
    /// pre-authorisation or a payout. A payout is made to an account, or to a card with neither
    /// expiry nor CVV.
    Charge { facts: AttemptFacts, instrument: Arc<Instrument> },
    /// Asks for the end of `facts`, by our channel order number. `original` is what it follows up,
    /// where it does: some channels find a refund only beside its payment's number. `pan` where the
    /// terms keep it.
    Inquiry {
        facts: AttemptFacts,
        original: Option<AttemptFacts>,
        pan: Option<Pan>,
        now: Timestamp,
    },
    /// Undo `facts`, an attempt of any operation, whose result we do not know. `original` is what
    /// it follows up, where it does: some channels call the void of a payment otherwise than that
    /// of a pre-authorisation, name the original in it, and want its reversal to say the same.
    Reversal {
        facts: AttemptFacts,
        original: Option<AttemptFacts>,
        pan: Option<Pan>,
        now: Timestamp,
    },
    /// An operation on `original`, which succeeded: `facts` says which (undo, refund, void or
    /// capture), under a number and time of its own. A void's meaning hangs on the original's
    /// operation. `pan` where the core gave the original's card number again; nothing else of the
    /// card is kept while a follow-up waits to be booked (I-11), so nothing else is sent.
    FollowUp { facts: AttemptFacts, original: AttemptFacts, pan: Option<Pan> },
    /// A service to a card.
    Service { facts: ServiceFacts, subject: ServiceSubject },
}

impl ChannelRequest {
    /// One word for logs, metrics and channel files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Charge { facts, .. } | Self::FollowUp { facts, .. } => facts.operation.name(),
            Self::Inquiry { .. } => "inquiry",
            Self::Reversal { .. } => "reversal",
            Self::Service { facts, .. } => facts.service.name(),
        }
    }

    /// The card data of the request, to be taken out of the reply.
    pub fn echo(&self) -> CardEcho<'_> {
        match self {
            Self::Charge { instrument, .. } => match &**instrument {
                Instrument::Card { card, sms_code } => {
                    CardEcho::of(card).with_code(sms_code.as_ref())
                }
                Instrument::Code(code) => CardEcho::of_payer_code(code),
                Instrument::Account(account) => CardEcho::of_account(account),
                Instrument::Agreement { token, sms_code } => {
                    CardEcho::of_token(token, sms_code.as_ref())
                }
            },
            Self::Service { subject, .. } => subject.echo(),
            Self::FollowUp { pan, .. } | Self::Inquiry { pan, .. } | Self::Reversal { pan, .. } => {
                CardEcho::of_number(pan.as_ref())
            }
        }
    }

    /// The same of another merchant, for samples.
    pub fn of_merchant(mut self, merchant: MerchantId) -> Self {
        match &mut self {
            Self::Charge { facts, .. }
            | Self::Inquiry { facts, .. }
            | Self::Reversal { facts, .. }
            | Self::FollowUp { facts, .. } => facts.merchant_id = merchant,
            Self::Service { facts, .. } => facts.merchant_id = merchant,
        }
        self
    }

    /// The phone of the card that a service is about; empty where none is named.
    pub fn phone(&self) -> &str {
        let Self::Service { subject, .. } = self else { return "" };
        subject.card.as_ref().and_then(|card| card.phone.as_deref()).unwrap_or_default()
    }

    /// The attempt that the channel is asked about, or to carry out. A service has none.
    pub const fn attempt(&self) -> Option<&AttemptFacts> {
        match self {
            Self::Charge { facts, .. }
            | Self::Inquiry { facts, .. }
            | Self::Reversal { facts, .. }
            | Self::FollowUp { facts, .. } => Some(facts),
            Self::Service { .. } => None,
        }
    }

    /// When it was decided, of what begins something; `None` of an inquiry, which names the time of
    /// what it asks about.
    pub fn decided_at(&self) -> Option<Timestamp> {
        match self {
            Self::Charge { facts, .. } | Self::FollowUp { facts, .. } => Some(facts.sent_at),
            Self::Reversal { now, .. } => Some(*now),
            Self::Service { facts, .. } => (!facts.service.is_inquiry()).then_some(facts.sent_at),
            Self::Inquiry { .. } => None,
        }
    }

    /// What every request states, and its reply may repeat.
    pub fn stated(&self) -> StatedFacts<'_> {
        match self {
            Self::Charge { facts, .. } => facts.stated(None),
            Self::Inquiry { facts, original, .. } | Self::Reversal { facts, original, .. } => {
                facts.stated(original.as_ref())
            }
            Self::FollowUp { facts, original, .. } => facts.stated(Some(original)),
            Self::Service { facts, subject } => StatedFacts {
                channel_order_no: facts.channel_order_no,
                sent_at: facts.sent_at,
                named_at: facts.sent_at,
                merchant_id: &facts.merchant_id,
                money: subject.charge.map(|charge| (charge.amount, charge.currency)),
                original: None,
            },
        }
    }
}

/// What a request states, whatever it asks.
#[derive(Debug, Clone, Copy)]
pub struct StatedFacts<'r> {
    pub channel_order_no: ChannelOrderNo,
    pub sent_at: Timestamp,
    /// The time that names it beside its number.
    pub named_at: Timestamp,
    pub merchant_id: &'r MerchantId,
    /// `None` where no money is spoken of.
    pub money: Option<(AmountMinor, Currency)>,
    /// What is followed up, where the request is about a follow-up.
    pub original: Option<&'r AttemptFacts>,
}

/// An HTTP request, ready to be delivered. Its body may hold card data: it is never logged.
#[derive(Clone)]
pub struct WireRequest {
    pub method: ::http::Method,
    pub url: String,
    pub headers: Vec<(::http::HeaderName, ::http::HeaderValue)>,
    pub body: Bytes,
    /// Its signature as text, which stands in a header or in the body; empty where it is unsigned.
    pub signature: String,
}

/// What stays of a request while its answer is awaited: enough to tell afterwards what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentStamp {
    /// The moment that it was written for.
    pub at: Timestamp,
    /// Its signature as it went; empty where it is unsigned.
    pub signature: String,
}

/// An HTTP reply, whole, as it came.
#[derive(Clone)]
pub struct WireReply {
    pub status: u16,
    pub headers: ::http::HeaderMap,
    pub body: Bytes,
}

/// An asynchronous notice as a channel posted it to us.
#[derive(Clone)]
pub struct WireNotice {
    pub headers: ::http::HeaderMap,
    pub body: Bytes,
}

/// A reply as an adapter understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyMeaning {
    pub outcome: Outcome,
    /// Why the message proves nothing, where it was one that is not believed or not understood.
    pub objection: Option<Objection>,
    /// The channel's own words with card data masked, at most [`TRANSCRIPT_BYTES_MAX`].
    pub transcript: String,
    /// The token that the channel gave for a card, where an agreement was asked about.
    pub issued: Option<IssuedToken>,
    /// The request that it answers, in words without anything secret, at most
    /// [`TRANSCRIPT_BYTES_MAX`]; empty where [`Self::telling_sent`] keeps none.
    pub sent: String,
}

impl ReplyMeaning {
    pub const fn new(outcome: Outcome, transcript: String) -> Self {
        Self { outcome, objection: None, transcript, issued: None, sent: String::new() }
    }

    /// The same with the words of the request that it answers. None are made where nothing has
    /// left, of an approval of the operation itself, whose rows tell what was asked, and of a
    /// service, which is no part of an order's story.
    #[must_use]
    pub fn telling_sent(self, request: &ChannelRequest, words: impl FnOnce() -> String) -> Self {
        let is_told = match (request, &self.outcome) {
            (_, Outcome::NotSent(_)) | (ChannelRequest::Service { .. }, _) => false,
            (ChannelRequest::Charge { .. } | ChannelRequest::FollowUp { .. }, outcome) => {
                !matches!(outcome, Outcome::Approved(_))
            }
            (ChannelRequest::Inquiry { .. } | ChannelRequest::Reversal { .. }, _) => true,
        };
        if is_told { Self { sent: words(), ..self } } else { self }
    }

    /// The same with a token that the channel has given: it stands in its words no more (I-11).
    #[must_use]
    pub fn with_issued(self, issued: IssuedToken) -> Self {
        let transcript = mask_values(&self.transcript, CardEcho::of_token(&issued.token, None));
        Self { transcript, issued: Some(issued), ..self }
    }

    /// The same as evidence about an attempt.
    pub fn into_evidence(self, source: Source, attempt: u8) -> Evidence {
        let Self { outcome, objection, transcript, issued: _, sent } = self;
        Evidence { source, attempt, outcome, objection, as_of: None, transcript, sent }
    }
}

/// Why a message leaves us not knowing, and what exactly was wrong with it, where that can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncertainty {
    pub cause: UnknownCause,
    pub objection: Option<Objection>,
}

impl Uncertainty {
    pub fn new(cause: UnknownCause, words: impl AsRef<str>) -> Self {
        Self { cause, objection: Some(Objection::new(words)) }
    }

    pub fn into_meaning(self, transcript: String) -> ReplyMeaning {
        ReplyMeaning {
            outcome: Outcome::Unknown(self.cause),
            objection: self.objection,
            transcript,
            issued: None,
            sent: String::new(),
        }
    }
}

impl From<UnknownCause> for Uncertainty {
    fn from(cause: UnknownCause) -> Self {
        Self { cause, objection: None }
    }
}

/// The most that is kept of a channel's words, and of a request's.
pub const TRANSCRIPT_BYTES_MAX: usize = 4_096;

/// A verified notice: which attempt it speaks of, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub channel_order_no: ChannelOrderNo,
    /// The amount that the channel speaks of, if it says one; another one is no evidence.
    pub amount: Option<WrittenAmount>,
    /// The amount's currency, if the channel says it; another one is no evidence. Where it says
    /// none, the amount is in the order's.
    pub currency: Option<Currency>,
    /// The sending time that the channel speaks of, in the channel's own form, if it says one.
    pub sent_at_text: Option<String>,
    pub understood: ReplyMeaning,
}

/// Why a notice is not believed. Nothing changes then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoticeRefusal {
    #[error("this channel sends no notices")]
    Unsupported,
    #[error("the notice could not be read: {0}")]
    Unreadable(&'static str),
    #[error("the notice is not believed: {0}")]
    BadSignature(Objection),
    #[error("the notice names no order of ours")]
    UnknownOrder,
}

/// Why a request could not be built. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {request} request cannot be built: {problem}")]
pub struct EncodeError {
    pub request: &'static str,
    /// Never holds card data.
    pub problem: String,
}

/// One channel's protocol, with its credentials and code table inside.
pub trait Adapter: Send + Sync {
    /// Builds the bytes to send. `now` is the moment of sending. A request that another one goes
    /// before is written with made-up values in place of what that one brings: for samples.
    fn encode(&self, request: &ChannelRequest, now: Timestamp) -> Result<WireRequest, EncodeError>;

    /// Verifies and classifies a reply. Whatever is not a verified, decoded, listed answer is
    /// `Outcome::Unknown`; it never panics and never says `NotSent`.
    fn decode(&self, request: &ChannelRequest, reply: &WireReply, now: Timestamp) -> ReplyMeaning;

    /// A request that has left, in words: written once more for the moment of its stamp, with masks
    /// in place of what is secret before anything is made of it. So nothing secret can be in them,
    /// whatever the protocol or the channel's file does with it (I-11). At most
    /// [`TRANSCRIPT_BYTES_MAX`].
    fn sent_words(&self, request: &ChannelRequest, stamp: &SentStamp) -> String;

    /// Verifies and reads an asynchronous notice.
    fn decode_notice(&self, notice: &WireNotice, now: Timestamp) -> Result<Notice, NoticeRefusal>;

    /// The answer to the channel: its notice was taken, or refused (then the channel repeats it).
    fn answer_notice(&self, taken: bool) -> WireReply;

    /// Every certificate that this channel works with, ours and theirs, as far as it is known now.
    fn certificates(&self) -> Vec<CertificateTerm>;

    /// Where the channel hands out a credential that its requests carry: how it is got.
    fn credential_supply(&self) -> Option<&dyn CredentialSupply>;

    /// Where another request goes before this one: how it is made.
    fn first_request(&self, request: &ChannelRequest) -> Option<&dyn FirstRequest>;

    /// The protocol's way to statements, where it has one and the channel's file uses it.
    fn statements(&self) -> Option<&dyn StatementSource>;
}

/// A protocol whose messages travel over persistent links instead of HTTP. It has no notices.
pub trait LinkAdapter: tcp::LinkProtocol {
    /// Builds the frame to send, and what its answer will be understood by. `now` is the moment of
    /// sending; what names the attempt comes from the attempt alone, so that a repetition names it
    /// the same.
    fn encode_frame(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
    ) -> Result<(tcp::LinkFrame, tcp::RequestTrace), EncodeError>;

    /// A request that has left, in words, as [`Adapter::sent_words`] does: `at` is the moment that
    /// it was written for, `mac` as it stood in the frame.
    fn sent_words(
        &self,
        request: &ChannelRequest,
        at: Timestamp,
        mac: Option<&tcp::FrameMac>,
    ) -> String;

    /// Verifies and classifies the answer, as [`Adapter::decode`] does.
    fn decode_frame(&self, asked: &tcp::RequestTrace, frame: &[u8], now: Timestamp)
    -> ReplyMeaning;
}

/// A future that a set of channels returns.
pub type ChannelFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The channels as the engine uses them: their terms, and a way to ask them.
pub trait Channels: Send + Sync {
    /// Every channel that has a file, in the order of their ids.
    fn ids(&self) -> Vec<ChannelId>;

    /// A channel's terms now; `None` if it has no file any more.
    fn terms(&self, channel: &ChannelId) -> Option<Arc<Terms>>;

    /// A channel's terms at a moment: an order keeps the terms that it was accepted under.
    fn terms_at(&self, channel: &ChannelId, at: Timestamp) -> Option<Arc<Terms>>;

    /// The longest wait that a schedule sets for an entry of the channel, whenever its order was
    /// accepted.
    fn longest_wait(&self, channel: &ChannelId) -> Duration;

    /// An attempt that was sent has ended without moving money: what it took of the channel's limit
    /// for the day is free again. Once for each attempt.
    fn give_back(&self, attempt: &Attempt, amount: AmountMinor);

    /// An attempt of the order says something of its channel's success by now ([`Sample::of`]): it
    /// counts in the channel's rates. Once for each attempt.
    ///
    /// [`Sample::of`]: crate::domain::route::rates::Sample::of
    fn count_sample(&self, order: &Order, attempt: &Attempt);

    /// From now on this node has that part of each channel's pace, which all nodes share. Tells
    /// whether it is in force: not while more is on its way than the part allows.
    fn share(&self, part: NodePart) -> bool;

    /// How many nodes can have a part of a channel's pace at the same time.
    fn nodes_max(&self, channel: &ChannelId) -> u32;

    /// Asks a channel, within its pace and time-outs. Never fails: what goes wrong is an outcome.
    fn call<'a>(
        &'a self,
        channel: &'a ChannelId,
        request: ChannelRequest,
    ) -> ChannelFuture<'a, ReplyMeaning>;
}
