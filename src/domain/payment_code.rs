//! Codes of payments (支付验证码): a channel sends a code to the payer's phone, and takes the
//! payment or pre-authorisation only with it. *Payment* stands for both below.
//!
//! The code is bound to what it was sent for: UnionPay's documents want the payment under the
//! number, at the time, for the amount and from the card that the request for the code named; and
//! the code of a payment is not that of a pre-authorisation. So that request takes the number of
//! the payment to come, and rests before it leaves: whatever is lost, the payment finds the number
//! under which its code was sent. Of the card a keyed digest rests, of the phone and the code
//! nothing (I-11). It moves no money, and the books' invariants do not speak of it; what it shares
//! with orders is that a caller's id is answered once (I-9).

use std::time::Duration;

use crate::domain::closed_set;
use crate::domain::ids::{
    AgreementId, CallerId, CallerOrderId, ChannelId, ChannelOrderNo, MerchantId, OrderId,
};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::outcome::{Outcome, Reason, UnknownCause};
use crate::domain::time::{Present, Timestamp};

/// How often the channel is asked for the codes of one payment within [`CODE_LASTS`].
pub const REQUESTS_MAX: u8 = 5;
/// How long a payment can name its code: longer than a code is good anywhere. What is good for less
/// the channel refuses itself. So old can the number of an order be when the order is made, by the
/// clock too: whoever looks for orders by time reckons with it.
pub const CODE_LASTS: Duration = Duration::from_secs(15 * 60);

closed_set! {
    /// What the last request for a code came to. `sending → sent | unknown | refused`; each of
    /// these `→ sending | spent`, and `sending → spent`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum PaymentCodeState {
        /// The channel is being asked to send it.
        Sending = 1 => "sending",
        Sent = 2 => "sent",
        /// The channel has not said whether it sent one.
        Unknown = 3 => "unknown",
        /// No code came of it; one of an earlier request is as good as it was.
        Refused = 4 => "refused",
        /// Its payment has come.
        Spent = 5 => "spent",
    }
}

closed_set! {
    /// The kind of order that a code is for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum CodedKind {
        Payment = 1 => "payment",
        Preauth = 2 => "preauth",
    }
}

/// What a channel is told that a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodedCharge {
    pub kind: CodedKind,
    pub amount: AmountMinor,
    pub currency: Currency,
}

/// What the payment will be by, as far as it rests here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodePayer {
    /// The keyed digest of the card's number.
    Card {
        pan: u128,
    },
    Agreement(AgreementId),
}

impl CodePayer {
    /// Of what an instruction names; `None` where no code by SMS goes with it.
    pub const fn of(instrument: &InstrumentFacts) -> Option<Self> {
        match instrument {
            InstrumentFacts::Card(card) => Some(Self::Card { pan: card.digests.pan }),
            InstrumentFacts::Agreement { id, .. } => Some(Self::Agreement(*id)),
            InstrumentFacts::Code(_) | InstrumentFacts::Account(_) => None,
        }
    }
}

/// What the core asks. The id is that of the payment to come, and unique among the caller's codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentCodeRequest {
    pub caller: CallerId,
    pub caller_order_id: CallerOrderId,
    pub kind: CodedKind,
    pub merchant_id: MerchantId,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub payer: CodePayer,
}

impl PaymentCodeRequest {
    /// What its channel is told that the code is for.
    pub const fn charge(&self) -> CodedCharge {
        CodedCharge { kind: self.kind, amount: self.amount, currency: self.currency }
    }

    /// The first field in which `other`, under the same id, is about something else (I-9).
    pub fn differs_from(&self, other: &Self) -> Option<&'static str> {
        let payer = match (self.payer, other.payer) {
            (CodePayer::Card { .. }, CodePayer::Card { .. }) => "card.pan",
            (CodePayer::Agreement(_), _) | (_, CodePayer::Agreement(_)) => "agreement",
        };
        let fields = [
            ("kind", self.kind == other.kind),
            ("merchant_id", self.merchant_id == other.merchant_id),
            ("amount", self.amount == other.amount),
            ("currency", self.currency == other.currency),
            (payer, self.payer == other.payer),
        ];
        fields.into_iter().find(|(_, is_same)| !is_same).map(|(field, _)| field)
    }
}

/// One request to the channel: with its number and time the channel knows the payment to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeCall {
    /// The number of the payment's order, which no order had before.
    pub order: OrderId,
    /// When it became durable, just before it was sent.
    pub sent_at: Timestamp,
}

impl CodeCall {
    /// The number of the payment's first attempt.
    pub const fn channel_order_no(self) -> ChannelOrderNo {
        ChannelOrderNo { order: self.order, attempt: 1 }
    }

    /// By what is borne out, and by the clock, which has told the core when it ends: after a
    /// standstill that nobody bears out, too. Another code costs the payer little.
    fn has_ended(self, present: &Present) -> bool {
        present.age(self.sent_at) >= CODE_LASTS || present.now() >= self.sent_at.plus(CODE_LASTS)
    }
}

/// Why no code is asked for, or no payment is taken with one. Nothing was written or sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaymentCodeRefusal {
    #[error("no code was asked for under this order id")]
    NeverAsked,
    #[error("the channel has sent no code for this order id")]
    NoneSent,
    #[error("the code was sent too long ago")]
    Ended,
    #[error("another call is asking for a code at this moment")]
    UnderWay,
    #[error("the payment has had its {REQUESTS_MAX} codes; wait until the last has ended")]
    UsedUp,
    #[error("the order id has its order")]
    Spent,
}

/// The code of a payment, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentCode {
    pub asked: PaymentCodeRequest,
    /// Counts the writes of the row, from 1.
    pub version: u32,
    /// The channel that was asked last, which alone knows the code.
    pub channel: ChannelId,
    pub state: PaymentCodeState,
    /// The last request.
    pub last_call: CodeCall,
    /// The last request of which a code may have come.
    pub standing: Option<CodeCall>,
    /// How often the channel was asked, 1 to [`REQUESTS_MAX`]; counted anew when all had ended.
    pub requests: u8,
    /// Why the last request brought no code.
    pub reason: Option<Reason>,
    pub unknown_cause: Option<UnknownCause>,
    /// The channel's code in its last answer, as it came.
    pub code: Option<String>,
    pub created_at: Timestamp,
    /// When it became what it is.
    pub changed_at: Timestamp,
}

impl PaymentCode {
    /// A new row, whose code is asked for once it is durable.
    pub const fn begun(
        asked: PaymentCodeRequest,
        channel: ChannelId,
        order: OrderId,
        now: Timestamp,
    ) -> Self {
        Self {
            asked,
            version: 1,
            channel,
            state: PaymentCodeState::Sending,
            last_call: CodeCall { order, sent_at: now },
            standing: None,
            requests: 1,
            reason: None,
            unknown_cause: None,
            code: None,
            created_at: now,
            changed_at: now,
        }
    }

    /// Whether a call may be asking the channel at this moment.
    pub const fn is_under_way(&self) -> bool {
        matches!(self.state, PaymentCodeState::Sending)
    }

    /// The request under whose number the payment comes; `None` where no code can have come.
    pub const fn payable(&self) -> Option<CodeCall> {
        match self.state {
            // The phone may be quicker than the channel's answer.
            PaymentCodeState::Sending => Some(self.last_call),
            PaymentCodeState::Sent | PaymentCodeState::Unknown | PaymentCodeState::Refused => {
                self.standing
            }
            PaymentCodeState::Spent => None,
        }
    }

    /// Whether no payment can name it any more for its age.
    pub fn has_ended(&self, present: &Present) -> bool {
        self.state != PaymentCodeState::Spent
            && self.payable().unwrap_or(self.last_call).has_ended(present)
    }

    /// When a payment can name it no more; `None` where none can now.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.payable().map(|call| call.sent_at.plus(CODE_LASTS))
    }

    /// The row that asks for another code, under another number. It goes to the same channel while
    /// a code of that one may be in use, else to `planned`, or where there is no plan, again there.
    pub fn again(
        &self,
        order: OrderId,
        planned: Option<ChannelId>,
        present: &Present,
    ) -> Result<Self, PaymentCodeRefusal> {
        match self.state {
            PaymentCodeState::Sending => return Err(PaymentCodeRefusal::UnderWay),
            PaymentCodeState::Spent => return Err(PaymentCodeRefusal::Spent),
            PaymentCodeState::Sent | PaymentCodeState::Unknown | PaymentCodeState::Refused => {}
        }
        let standing = self.standing.filter(|call| !call.has_ended(present));
        let requests = if self.last_call.has_ended(present) { 0 } else { self.requests };
        if requests >= REQUESTS_MAX {
            return Err(PaymentCodeRefusal::UsedUp);
        }
        let channel = match standing {
            Some(_) => self.channel.clone(),
            None => planned.unwrap_or_else(|| self.channel.clone()),
        };
        let now = present.now();
        Ok(Self {
            version: self.version + 1,
            channel,
            state: PaymentCodeState::Sending,
            last_call: CodeCall { order, sent_at: now },
            standing,
            requests: requests + 1,
            reason: None,
            unknown_cause: None,
            code: None,
            changed_at: now,
            ..self.clone()
        })
    }

    /// The row after the outcome of the request under way.
    #[must_use]
    pub fn learn(&self, outcome: &Outcome, now: Timestamp) -> Self {
        assert_eq!(self.state, PaymentCodeState::Sending, "a request is under way");
        let (mut reason, mut unknown_cause, mut code) = (None, None, None);
        let state = match outcome {
            Outcome::Approved(approval) => {
                code = Some(approval.code.clone());
                PaymentCodeState::Sent
            }
            Outcome::Declined(decline) => {
                (reason, code) = (Some(decline.reason), Some(decline.code.clone()));
                PaymentCodeState::Refused
            }
            Outcome::NotSent(_) => {
                reason = Some(Reason::ChannelUnavailable);
                PaymentCodeState::Refused
            }
            // There is no inquiry about a code: the phone tells, or another one is asked for.
            Outcome::Pending { code: said, .. } | Outcome::NotFound { code: said } => {
                unknown_cause = Some(UnknownCause::ChannelUnsure);
                code = Some(said.clone());
                PaymentCodeState::Unknown
            }
            Outcome::Unknown(cause) => {
                unknown_cause = Some(*cause);
                PaymentCodeState::Unknown
            }
        };
        let standing = match state {
            PaymentCodeState::Refused => self.standing,
            _ => Some(self.last_call),
        };
        let (version, changed_at) = (self.version + 1, now);
        let kept = self.clone();
        Self { version, state, standing, reason, unknown_cause, code, changed_at, ..kept }
    }

    /// The row after the loss of the call that carried the request out.
    #[must_use]
    pub fn lost(&self, now: Timestamp) -> Self {
        self.learn(&Outcome::Unknown(UnknownCause::ProcessDied), now)
    }

    /// Whether this payment may name the code: then the request whose number and time it has.
    pub fn check_payment(
        &self,
        asked: &PaymentCodeRequest,
        present: &Present,
    ) -> Result<CodeCall, PaymentCodeRefusal> {
        assert_eq!(self.asked.differs_from(asked), None, "the caller has compared them");
        if self.state == PaymentCodeState::Spent {
            return Err(PaymentCodeRefusal::Spent);
        }
        let call = self.payable().ok_or(PaymentCodeRefusal::NoneSent)?;
        if call.has_ended(present) { Err(PaymentCodeRefusal::Ended) } else { Ok(call) }
    }

    /// The row after its payment was accepted.
    #[must_use]
    pub fn spent(&self, now: Timestamp) -> Self {
        assert_ne!(self.state, PaymentCodeState::Spent, "a code is for one payment");
        let (version, state) = (self.version + 1, PaymentCodeState::Spent);
        Self { version, state, changed_at: now, ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
