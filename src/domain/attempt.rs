//! One try of an order on one channel, and the evidence that ends it.

use crate::domain::card::SealedPan;
use crate::domain::closed_set;
use crate::domain::ids::ChannelId;
use crate::domain::outcome::{Objection, Outcome, Reason, UnknownCause};
use crate::domain::payment_code::CodedKind;
use crate::domain::time::Timestamp;

closed_set! {
    /// An attempt's request to a channel, and the movement of money where it succeeds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Operation {
        /// Charge the card.
        Payment = 1 => "payment",
        /// Take back a proven success that our books do not have.
        Undo = 2 => "undo",
        /// Give back part or all of a payment or capture.
        Refund = 3 => "refund",
        /// Cancel a payment, a pre-authorisation or a capture as a whole, on its clearing day.
        Void = 4 => "void",
        /// Hold an amount on the card (预授权).
        Preauth = 5 => "preauth",
        /// Charge a held amount, or less (预授权完成).
        Capture = 6 => "capture",
        /// Pay money out to a card (代付).
        Payout = 7 => "payout",
    }
}

impl From<CodedKind> for Operation {
    fn from(kind: CodedKind) -> Self {
        match kind {
            CodedKind::Payment => Self::Payment,
            CodedKind::Preauth => Self::Preauth,
        }
    }
}

impl Operation {
    /// +1 where the channel owes us more by its success, -1 where less, 0 where no money moves.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Payment | Self::Capture => 1,
            Self::Undo | Self::Refund | Self::Void | Self::Payout => -1,
            Self::Preauth => 0,
        }
    }

    /// +1 where the channel charges its fee for it, -1 where it gives the fee back, 0 where there
    /// is none. What leaves by a payout is charged for, beside the money itself.
    pub const fn fee_sign(self) -> i64 {
        match self {
            Self::Payment | Self::Capture | Self::Payout => 1,
            Self::Undo | Self::Refund | Self::Void => -1,
            Self::Preauth => 0,
        }
    }

    /// Whether it begins with a card and is routed; the others follow up what succeeded.
    pub const fn begins_with_card(self) -> bool {
        match self {
            Self::Payment | Self::Preauth | Self::Payout => true,
            Self::Undo | Self::Refund | Self::Void | Self::Capture => false,
        }
    }
}

closed_set! {
    /// The limits that a channel has for each of its clearing days.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum VolumeKind {
        /// Of payments and pre-authorisations.
        Charges = 1 => "charges",
        /// Of payouts: the money that may leave in a day.
        Payouts = 2 => "payouts",
    }
}

impl VolumeKind {
    /// The limit that an operation takes a part of; the others take none.
    pub const fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::Payment | Operation::Preauth => Some(Self::Charges),
            Operation::Payout => Some(Self::Payouts),
            Operation::Undo | Operation::Refund | Operation::Void | Operation::Capture => None,
        }
    }
}

closed_set! {
    /// `sending → approved | declined | not_sent | pending | unknown`, `pending ↔ unknown`, both
    /// `→ approved | declined | reversed`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum AttemptState {
        /// Durable, and perhaps on its way; held by the call that sends it.
        Sending = 1 => "sending",
        /// The channel accepted it and works on it.
        Pending = 2 => "pending",
        Unknown = 3 => "unknown",
        Approved = 4 => "approved",
        Declined = 5 => "declined",
        NotSent = 6 => "not_sent",
        Reversed = 7 => "reversed",
    }
}

impl AttemptState {
    /// Whether money may still move, or have moved, by it.
    pub const fn is_unresolved(self) -> bool {
        match self {
            Self::Sending | Self::Pending | Self::Unknown => true,
            Self::Approved | Self::Declined | Self::NotSent | Self::Reversed => false,
        }
    }

    /// Whether a reversal entry must exist for it (I-6).
    pub const fn needs_entry(self) -> bool {
        matches!(self, Self::Pending | Self::Unknown)
    }
}

closed_set! {
    /// Where evidence came from.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Source {
        /// The channel's reply to the request itself.
        Reply = 1 => "reply",
        Inquiry = 2 => "inquiry",
        Reversal = 3 => "reversal",
        /// The channel's asynchronous notice, verified.
        Notice = 4 => "notice",
        Statement = 5 => "statement",
        /// An operator's decision, with a reason in the audit trail.
        Operator = 6 => "operator",
        /// Our own recovery after a restart or a lost call: proves nothing but that we do not know.
        Recovery = 7 => "recovery",
    }
}

/// One try of an order on one channel, under its own channel order number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// 1 to 99, its place in the order's list.
    pub number: u8,
    pub channel: ChannelId,
    pub operation: Operation,
    pub state: AttemptState,
    /// When it became durable, just before it was sent.
    pub sent_at: Timestamp,
    /// When the channel was first told of its number, to send the code that it is paid with; `None`
    /// where it was sent without one.
    pub announced_at: Option<Timestamp>,
    /// The channel's own number of it, as soon as a verified word has named one.
    pub channel_reference: Option<String>,
    /// When a verified word first showed that the channel has it: no later word can prove then that
    /// it never arrived (I-3).
    pub acknowledged_at: Option<Timestamp>,
    /// The channel's last code, as it came.
    pub code: Option<String>,
    pub reason: Option<Reason>,
    /// Why its result was unknown, the first time that it was.
    pub unknown_cause: Option<UnknownCause>,
    /// Why the last message about it was not believed or not understood.
    pub objection: Option<Objection>,
    /// When it first left the call that sent it without an end (pending or unknown).
    pub unresolved_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub ended_by: Option<Source>,
    /// Kept only where the channel's terms say so, and only while unresolved (I-11).
    pub sealed_pan: Option<SealedPan>,
}

impl Attempt {
    /// The time by which channels name it, beside its number: that of the first they heard of it.
    pub const fn named_at(&self) -> Timestamp {
        match self.announced_at {
            Some(announced_at) => announced_at,
            None => self.sent_at,
        }
    }

    /// The limit of its channel for the day that it takes a part of: it is a payment,
    /// pre-authorisation or payout that has moved or held money, or may have.
    pub const fn takes_volume(&self) -> Option<VolumeKind> {
        let may_have = matches!(
            self.state,
            AttemptState::Sending
                | AttemptState::Pending
                | AttemptState::Unknown
                | AttemptState::Approved
        );
        if may_have { VolumeKind::of(self.operation) } else { None }
    }

    /// Keeps that the channel has it, and the number that it gives it.
    pub(super) fn acknowledge(&mut self, reference: Option<&String>, now: Timestamp) {
        self.acknowledged_at = self.acknowledged_at.or(Some(now));
        if let Some(reference) = reference {
            self.channel_reference = Some(reference.clone());
        }
    }

    /// Moves it to a final state; the data that was sealed for it is wiped (I-11).
    pub(super) fn end(&mut self, state: AttemptState, source: Source, now: Timestamp) {
        assert!(self.state.is_unresolved(), "I-5: a final attempt stays as it is");
        assert!(!state.is_unresolved(), "I-3: an end is a final state");
        self.state = state;
        self.ended_at = Some(now);
        self.ended_by = Some(source);
        self.sealed_pan = None;
    }
}

/// A word about one attempt, from a channel, a statement or an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub source: Source,
    /// The attempt's number.
    pub attempt: u8,
    pub outcome: Outcome,
    /// Why it proves nothing, where somebody can tell.
    pub objection: Option<Objection>,
    /// The moment whose truth it tells, or an earlier one: when an inquiry was asked, when a
    /// statement's day ended. `None` where nobody knows how old the words are, as those of a reply
    /// or a notice, which may have been long on their way.
    pub as_of: Option<Timestamp>,
    /// The channel's own words, card data masked, at most a few KB; empty where there are none.
    pub transcript: String,
    /// The request that they answer, in words without anything secret; empty where there was none,
    /// or its attempt's rows tell of it.
    pub sent: String,
}

impl Evidence {
    /// The outcome in the few stable words of a history: `unknown (bad_signature: the …)`.
    pub fn words(&self) -> String {
        words(&self.outcome, self.objection.as_ref())
    }
}

/// The same for an outcome that is no evidence about an attempt: a reversal's.
pub fn words(outcome: &Outcome, objection: Option<&Objection>) -> String {
    let cause = match outcome {
        Outcome::Unknown(cause) => cause.name(),
        Outcome::NotSent(cause) => cause.name(),
        Outcome::Approved(_)
        | Outcome::Declined(_)
        | Outcome::Pending { .. }
        | Outcome::NotFound { .. } => return outcome.name().to_owned(),
    };
    match objection {
        Some(objection) => format!("{} ({cause}: {objection})", outcome.name()),
        None => format!("{} ({cause})", outcome.name()),
    }
}
