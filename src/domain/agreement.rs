//! Agreements (快捷 / 协议支付): a card is bound once by a code that its holder gets by SMS, and
//! orders name the agreement from then on.
//!
//! The channel gives a token for the card; that is what rests, sealed. Of the card there are its
//! masked number and keyed digests, of the code nothing (I-11). An agreement is no order: it moves
//! no money, and the books' invariants do not speak of it. What it shares with orders holds: each
//! request to a channel is durable before it leaves, a caller's id is answered once (I-9), and what
//! nobody knows is `unknown` until the channel has said what became of it: nothing is guessed.

mod filter;

use crate::domain::card::{CardFacts, SealedPan};
use crate::domain::closed_set;
use crate::domain::ids::{
    AgreementId, CallerId, CallerOrderId, ChannelId, ChannelOrderNo, MerchantId,
};
use crate::domain::outcome::{Outcome, Reason, UnknownCause};
use crate::domain::time::{Present, Timestamp};

pub use filter::AgreementFilter;

/// How many codes one agreement can have sent. Channels count too, and may say no earlier.
pub const CODES_MAX: u8 = 5;
/// How many codes can be refused before the agreement fails.
pub const REFUSED_CODES_MAX: u8 = 5;
/// The last number of a request that sends or confirms a code; those behind it end agreements.
const OPENING_CALLS_MAX: u8 = 79;
/// The last number of any request: two digits of a channel order number.
const CALLS_MAX: u8 = 99;

closed_set! {
    /// `sending_code → code_sent | code_unknown | failed`; these two `→ sending_code | confirming`;
    /// `confirming → active | code_sent | unknown | failed`; `unknown → active | code_sent |
    /// failed`; `active → ending → ended | active`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum AgreementState {
        /// The channel is being asked to send a code.
        SendingCode = 1 => "sending_code",
        CodeSent = 2 => "code_sent",
        /// The channel was asked for a code and has not said that it sent one.
        CodeUnknown = 3 => "code_unknown",
        /// The channel is being asked to take the code.
        Confirming = 4 => "confirming",
        /// Whether the channel took the code is not known.
        Unknown = 5 => "unknown",
        /// Orders can name it.
        Active = 6 => "active",
        Failed = 7 => "failed",
        /// The channel was asked to end it, and has not said that it did: nothing is paid by it.
        Ending = 8 => "ending",
        Ended = 9 => "ended",
    }
}

/// What the core asks. Its caller's id is unique among that caller's agreements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreementRequest {
    pub caller: CallerId,
    pub caller_order_id: CallerOrderId,
    pub merchant_id: MerchantId,
    pub card: CardFacts,
    /// The phone that gets the codes, with its middle masked.
    pub phone: String,
}

impl AgreementRequest {
    /// The first field in which `repeat`, sent under the same id, asks for something else (I-9).
    pub fn differs_from(&self, repeat: &Self) -> Option<&'static str> {
        let (ours, theirs) = (&self.card.digests, &repeat.card.digests);
        let fields = [
            ("merchant_id", self.merchant_id == repeat.merchant_id),
            ("card.pan", ours.pan == theirs.pan),
            ("card.expiry", ours.expiry == theirs.expiry),
            ("card.holder", ours.holder == theirs.holder),
            ("card.id_type", ours.id_type == theirs.id_type),
            ("card.id_number", ours.id_number == theirs.id_number),
            ("card.phone", ours.phone == theirs.phone),
        ];
        fields.into_iter().find(|(_, is_same)| !is_same).map(|(field, _)| field)
    }
}

/// The first three and the last four characters of a phone number, stars between; a short one is
/// hidden whole.
pub fn mask_phone(phone: &str) -> String {
    let length = phone.chars().count();
    let is_kept = |place: usize| length > 9 && (place < 3 || place + 4 >= length);
    let shown = phone.chars().enumerate();
    shown.map(|(place, sign)| if is_kept(place) { sign } else { '*' }).collect()
}

/// One request to the channel about an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgreementCall {
    /// 1 to 99, of the agreement's own.
    pub number: u8,
    /// When it became durable, just before it was sent.
    pub sent_at: Timestamp,
}

/// What a channel gave for a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedToken {
    /// The channel's token and the phone, sealed for the agreement.
    pub sealed: SealedPan,
    /// When the channel lets it end; `None` if it does not say.
    pub ends_at: Option<Timestamp>,
}

/// Why a change of an agreement is not carried out. Nothing was written or sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AgreementRefusal {
    #[error("the agreement is {}", .0.name())]
    WrongState(AgreementState),
    #[error("another call is at work on the agreement")]
    UnderWay,
    #[error("the agreement has had its {CODES_MAX} codes")]
    CodesUsedUp,
    #[error("the agreement has no numbers left for requests to its channel")]
    CallsUsedUp,
    #[error("the agreement has ended by its own date")]
    Expired,
}

/// An agreement, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    pub id: AgreementId,
    /// Counts the writes of the row, from 1.
    pub version: u32,
    pub asked: AgreementRequest,
    /// Its one channel.
    pub channel: ChannelId,
    pub state: AgreementState,
    pub last_call: AgreementCall,
    /// The request whose end decides whether there is an agreement: the channel is asked about it.
    pub confirmation: Option<AgreementCall>,
    pub codes_sent: u8,
    pub codes_refused: u8,
    /// Why the last request did not go well.
    pub reason: Option<Reason>,
    pub unknown_cause: Option<UnknownCause>,
    /// The channel's code in its last answer, as it came.
    pub code: Option<String>,
    /// The channel's last words, masked.
    pub transcript: String,
    /// There while the agreement is active or ending.
    pub token: Option<SealedPan>,
    /// When the channel lets it end by itself.
    pub ends_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// When it became what it is.
    pub changed_at: Timestamp,
}

impl Agreement {
    /// A new agreement, whose code is asked for once it is durable.
    pub const fn begun(
        id: AgreementId,
        asked: AgreementRequest,
        channel: ChannelId,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            version: 1,
            asked,
            channel,
            state: AgreementState::SendingCode,
            last_call: AgreementCall { number: 1, sent_at: now },
            confirmation: None,
            codes_sent: 1,
            codes_refused: 0,
            reason: None,
            unknown_cause: None,
            code: None,
            transcript: String::new(),
            token: None,
            ends_at: None,
            created_at: now,
            changed_at: now,
        }
    }

    /// The number under which the channel knows one of its requests.
    pub const fn channel_order_no(&self, call: AgreementCall) -> ChannelOrderNo {
        ChannelOrderNo { order: self.id.chain(), attempt: call.number }
    }

    /// Whether a call may be asking the channel at this moment.
    pub const fn is_under_way(&self) -> bool {
        match self.state {
            AgreementState::SendingCode | AgreementState::Confirming => true,
            // An end that nobody has told stays so until it is asked for again.
            AgreementState::Ending => self.unknown_cause.is_none() && self.reason.is_none(),
            AgreementState::CodeSent
            | AgreementState::CodeUnknown
            | AgreementState::Unknown
            | AgreementState::Active
            | AgreementState::Failed
            | AgreementState::Ended => false,
        }
    }

    /// Whether the card's number is of no use to it any more.
    pub const fn is_past_card(&self) -> bool {
        match self.state {
            AgreementState::Active
            | AgreementState::Failed
            | AgreementState::Ending
            | AgreementState::Ended => true,
            AgreementState::SendingCode
            | AgreementState::CodeSent
            | AgreementState::CodeUnknown
            | AgreementState::Confirming
            | AgreementState::Unknown => false,
        }
    }

    /// Whether the channel has let it end by its date, by the moment that is borne out: a clock
    /// that runs ahead refuses nobody. What the channel has let end it refuses itself.
    pub fn has_expired(&self, present: &Present) -> bool {
        let has_come = |end: Timestamp| end <= present.proven();
        self.state == AgreementState::Active && self.ends_at.is_some_and(has_come)
    }

    /// Whether an order may name it now.
    pub fn check_payable(&self, present: &Present) -> Result<(), AgreementRefusal> {
        match self.state {
            AgreementState::Active if self.has_expired(present) => Err(AgreementRefusal::Expired),
            AgreementState::Active => Ok(()),
            state => Err(AgreementRefusal::WrongState(state)),
        }
    }

    /// The row that asks the channel for another code.
    pub fn send_code(&self, now: Timestamp) -> Result<Self, AgreementRefusal> {
        self.check_opening()?;
        if self.codes_sent >= CODES_MAX {
            return Err(AgreementRefusal::CodesUsedUp);
        }
        let next = self.calls(AgreementState::SendingCode, OPENING_CALLS_MAX, now)?;
        Ok(Self { codes_sent: self.codes_sent + 1, ..next })
    }

    /// The row that asks the channel to take a code.
    pub fn confirm(&self, now: Timestamp) -> Result<Self, AgreementRefusal> {
        self.check_opening()?;
        let next = self.calls(AgreementState::Confirming, OPENING_CALLS_MAX, now)?;
        Ok(Self { confirmation: Some(next.last_call), ..next })
    }

    /// The row that asks the channel to end it.
    pub fn end(&self, now: Timestamp) -> Result<Self, AgreementRefusal> {
        match self.state {
            AgreementState::Active => {}
            AgreementState::Ending if self.is_under_way() => {
                return Err(AgreementRefusal::UnderWay);
            }
            AgreementState::Ending => {}
            state => return Err(AgreementRefusal::WrongState(state)),
        }
        self.calls(AgreementState::Ending, CALLS_MAX, now)
    }

    fn check_opening(&self) -> Result<(), AgreementRefusal> {
        match self.state {
            AgreementState::CodeSent | AgreementState::CodeUnknown => Ok(()),
            AgreementState::SendingCode | AgreementState::Confirming => {
                Err(AgreementRefusal::UnderWay)
            }
            state => Err(AgreementRefusal::WrongState(state)),
        }
    }

    fn calls(
        &self,
        state: AgreementState,
        last: u8,
        now: Timestamp,
    ) -> Result<Self, AgreementRefusal> {
        if self.last_call.number >= last {
            return Err(AgreementRefusal::CallsUsedUp);
        }
        let last_call = AgreementCall { number: self.last_call.number + 1, sent_at: now };
        Ok(Self {
            version: self.version + 1,
            state,
            last_call,
            reason: None,
            unknown_cause: None,
            code: None,
            transcript: String::new(),
            changed_at: now,
            ..self.clone()
        })
    }

    /// The row after the outcome of the request under way. `granted` is what an approved
    /// confirmation brought.
    #[must_use]
    pub fn learn(
        &self,
        outcome: &Outcome,
        granted: Option<GrantedToken>,
        transcript: String,
        now: Timestamp,
    ) -> Self {
        match self.state {
            AgreementState::SendingCode => self.code_asked(outcome, transcript, now),
            AgreementState::Confirming => self.confirmed(outcome, granted, transcript, now),
            AgreementState::Ending => self.end_asked(outcome, transcript, now),
            state => unreachable!("no request is under way for an agreement that is {state}"),
        }
    }

    /// The row after the loss of the call that carried the request out.
    #[must_use]
    pub fn lost(&self, now: Timestamp) -> Self {
        self.learn(&Outcome::Unknown(UnknownCause::ProcessDied), None, String::new(), now)
    }

    fn code_asked(&self, outcome: &Outcome, transcript: String, now: Timestamp) -> Self {
        let state = match outcome {
            Outcome::Approved(_) => AgreementState::CodeSent,
            Outcome::Declined(_) => AgreementState::Failed,
            // An earlier code is as good as it was.
            Outcome::NotSent(_) if self.codes_sent > 1 => AgreementState::CodeUnknown,
            Outcome::NotSent(_) => AgreementState::Failed,
            Outcome::Pending { .. } | Outcome::Unknown(_) | Outcome::NotFound { .. } => {
                AgreementState::CodeUnknown
            }
        };
        self.after(outcome, state, transcript, now)
    }

    fn confirmed(
        &self,
        outcome: &Outcome,
        granted: Option<GrantedToken>,
        transcript: String,
        now: Timestamp,
    ) -> Self {
        match outcome {
            Outcome::Approved(_) => match granted {
                Some(granted) => self.active(granted, outcome, transcript, now),
                // There is an agreement, and we do not know its token.
                None => {
                    let unsure = Outcome::Unknown(UnknownCause::Garbled);
                    self.after(&unsure, AgreementState::Unknown, transcript, now)
                }
            },
            Outcome::Declined(decline) => self.declined(decline.reason, outcome, transcript, now),
            Outcome::NotSent(_) => self.after(outcome, AgreementState::CodeSent, transcript, now),
            Outcome::Pending { .. } | Outcome::Unknown(_) | Outcome::NotFound { .. } => {
                self.after(outcome, AgreementState::Unknown, transcript, now)
            }
        }
    }

    fn active(
        &self,
        granted: GrantedToken,
        outcome: &Outcome,
        transcript: String,
        now: Timestamp,
    ) -> Self {
        let GrantedToken { sealed, ends_at } = granted;
        let row = self.after(outcome, AgreementState::Active, transcript, now);
        Self { token: Some(sealed), ends_at, ..row }
    }

    /// A code that is wrong or too old can be given again, a few times.
    fn declined(
        &self,
        reason: Reason,
        outcome: &Outcome,
        transcript: String,
        now: Timestamp,
    ) -> Self {
        let is_about_code = matches!(reason, Reason::WrongSmsCode | Reason::SmsCodeExpired);
        let codes_refused = self.codes_refused + u8::from(is_about_code);
        let goes_on = is_about_code && codes_refused < REFUSED_CODES_MAX;
        let state = if goes_on { AgreementState::CodeSent } else { AgreementState::Failed };
        Self { codes_refused, ..self.after(outcome, state, transcript, now) }
    }

    /// The row after the channel was asked what became of the confirmation. That it knows of none
    /// is believed only where `not_found_is_final`: until then the request may still arrive (I-3).
    #[must_use]
    pub fn learn_inquiry(
        &self,
        outcome: &Outcome,
        granted: Option<GrantedToken>,
        transcript: String,
        not_found_is_final: bool,
        now: Timestamp,
    ) -> Self {
        assert_eq!(self.state, AgreementState::Unknown, "the channel is asked about an unknown");
        match (outcome, granted) {
            (Outcome::Approved(_), Some(granted)) => self.active(granted, outcome, transcript, now),
            (Outcome::Declined(decline), _) => {
                self.declined(decline.reason, outcome, transcript, now)
            }
            (Outcome::NotFound { code }, _) if not_found_is_final => {
                let row = self.after(outcome, AgreementState::Failed, transcript, now);
                let (reason, code) = (Some(Reason::NeverArrived), Some(code.clone()));
                Self { reason, code, unknown_cause: None, ..row }
            }
            // Nothing was learnt: why it is unknown stays as it was.
            _ => self.clone(),
        }
    }

    fn end_asked(&self, outcome: &Outcome, transcript: String, now: Timestamp) -> Self {
        match outcome {
            Outcome::Approved(_) => self.ended(outcome, transcript, now),
            // The channel has no such token any more, which is what was asked for.
            Outcome::Declined(decline) if decline.reason == Reason::NotEnrolled => {
                self.ended(outcome, transcript, now)
            }
            Outcome::Declined(_) => self.after(outcome, AgreementState::Active, transcript, now),
            // An earlier request may have ended it.
            Outcome::NotSent(_) if self.has_asked_end_before() => {
                self.after(outcome, AgreementState::Ending, transcript, now)
            }
            Outcome::NotSent(_) => self.after(outcome, AgreementState::Active, transcript, now),
            Outcome::Pending { .. } | Outcome::Unknown(_) | Outcome::NotFound { .. } => {
                self.after(outcome, AgreementState::Ending, transcript, now)
            }
        }
    }

    /// Requests behind the confirmation are asked to end it: the second one says that there was one
    /// before, whose end may be open.
    fn has_asked_end_before(&self) -> bool {
        self.confirmation.is_some_and(|call| self.last_call.number > call.number + 1)
    }

    fn ended(&self, outcome: &Outcome, transcript: String, now: Timestamp) -> Self {
        let row = self.after(outcome, AgreementState::Ended, transcript, now);
        Self { token: None, reason: None, ..row }
    }

    fn after(
        &self,
        outcome: &Outcome,
        state: AgreementState,
        transcript: String,
        now: Timestamp,
    ) -> Self {
        let (mut reason, mut unknown_cause, mut code) = (None, None, None);
        match outcome {
            Outcome::Approved(approval) => code = Some(approval.code.clone()),
            Outcome::Declined(decline) => {
                (reason, code) = (Some(decline.reason), Some(decline.code.clone()));
            }
            Outcome::NotSent(_) => reason = Some(Reason::ChannelUnavailable),
            Outcome::Pending { code: said, .. } | Outcome::NotFound { code: said } => {
                unknown_cause = Some(UnknownCause::ChannelUnsure);
                code = Some(said.clone());
            }
            Outcome::Unknown(cause) => unknown_cause = Some(*cause),
        }
        let (version, changed_at) = (self.version + 1, now);
        Self { version, state, reason, unknown_cause, code, transcript, changed_at, ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
