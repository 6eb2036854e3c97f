//! What happened to an order beside its rows: each word about an attempt that did not end it at
//! once, each reversal, and each decision of an operator. Kept as long as the order, since the
//! entry of the temp reversal table goes with its cause (I-6).
//!
//! A payment that its channel approves in its own reply has none: its rows tell all of it.

use crate::domain::attempt::{Evidence, Source};
use crate::domain::closed_set;
use crate::domain::ids::OrderId;
use crate::domain::outcome::{Objection, Outcome};
use crate::domain::time::Timestamp;

closed_set! {
    /// What an event is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum EventKind {
        /// Somebody told something of an attempt.
        Learned = 1 => "learned",
        /// A reversal of an attempt was about to leave.
        ReversalSent = 2 => "reversal_sent",
        /// The end of a reversal's call, or its late answer.
        ReversalAnswered = 3 => "reversal_answered",
        /// The schedules have run out, or the channel refused for good.
        HandedOver = 4 => "handed_to_operator",
        /// An operator had the entry worked again.
        Retried = 5 => "retried",
        /// An operator ended the unknown.
        Resolved = 6 => "resolved",
        /// An operator gave up the request that it waited for.
        Withdrawn = 7 => "withdrawn",
        /// A second person approved that it is sent.
        Approved = 8 => "approved",
    }
}

closed_set! {
    /// Why words about an attempt were not followed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum EventRemark {
        /// A success that a reversal may still undo.
        Held = 1 => "held",
        /// "No such order", although the channel has said that it has it.
        Disowned = 2 => "disowned",
        /// The answer came when its call had ended.
        Late = 3 => "late",
    }
}

/// Something that happened to an order. Append-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEvent {
    pub order: OrderId,
    /// The order's version that was written with it.
    pub version: u32,
    /// Its place among those of one version, from 0.
    pub ordinal: u8,
    pub at: Timestamp,
    pub kind: EventKind,
    /// The attempt that it is about; 0 where it is about none.
    pub attempt: u8,
    /// Who told it, where somebody did.
    pub source: Option<Source>,
    /// What was told, by the name of an [`Outcome`], or what an operator decided.
    pub outcome: Option<String>,
    /// Why, by a stable word: the reason of a decline, the cause of an unknown.
    pub cause: Option<String>,
    /// The channel's code, as it came.
    pub code: Option<String>,
    pub remark: Option<EventRemark>,
    /// Why a message proves nothing, or an operator's reason.
    pub detail: Option<String>,
    /// The operator.
    pub actor: Option<String>,
    /// The second person, where one had to approve it.
    pub approver: Option<String>,
    /// The channel's own words, card data masked. Those of a success are its transaction's.
    pub transcript: String,
    /// The request that they answer, in words without anything secret.
    pub sent: String,
}

/// Where an event stands among those of its order: the order's version that was written with it,
/// and its place among those of that version.
pub type EventPlace = (u32, u8);

impl OrderEvent {
    pub const fn place(&self) -> EventPlace {
        (self.version, self.ordinal)
    }

    /// An event of which nothing more is known. Its version and place are given when it is written.
    pub fn new(order: OrderId, at: Timestamp, kind: EventKind, attempt: u8) -> Self {
        Self {
            order,
            version: 0,
            ordinal: 0,
            at,
            kind,
            attempt,
            source: None,
            outcome: None,
            cause: None,
            code: None,
            remark: None,
            detail: None,
            actor: None,
            approver: None,
            transcript: String::new(),
            sent: String::new(),
        }
    }

    /// With what was told.
    #[must_use]
    pub fn telling(
        mut self,
        source: Source,
        outcome: &Outcome,
        objection: Option<&Objection>,
    ) -> Self {
        let (cause, code) = match outcome {
            Outcome::Approved(approval) => (None, Some(&approval.code)),
            Outcome::Declined(decline) => (Some(decline.reason.name()), Some(&decline.code)),
            Outcome::Pending { code, .. } | Outcome::NotFound { code } => (None, Some(code)),
            Outcome::Unknown(cause) => (Some(cause.name()), None),
            Outcome::NotSent(cause) => (Some(cause.name()), None),
        };
        self.source = Some(source);
        self.outcome = Some(outcome.name().to_owned());
        self.cause = cause.map(str::to_owned);
        self.code = code.cloned();
        self.detail = objection.map(|objection| objection.as_str().to_owned());
        self
    }

    /// Whether evidence about an attempt that had no entry is told whole by its rows.
    pub(super) fn is_plain(evidence: &Evidence) -> bool {
        evidence.source == Source::Reply && matches!(evidence.outcome, Outcome::Approved(_))
    }
}
