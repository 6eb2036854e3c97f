//! Four eyes (双人复核): what an operator asks, and a second person approves before it is done.
//!
//! A request keeps the action as it was asked, bound to what its asker saw: so what is approved is
//! what was asked, or nothing. Whether two keys are two people is said by the settings: each key
//! has the name of a person, and one who asks cannot approve. An action on rows of the store ends
//! its request in the commit that carries it out. One on files is `approved` first, durably, and
//! `carried_out` when it is; between them a crash leaves a request that the next approval carries
//! out, which such actions bear any number of times.

use crate::domain::attempt::{Attempt, AttemptState};
use crate::domain::bin::StatedDate;
use crate::domain::books::difference::{Difference, Remedy};
use crate::domain::closed_set;
use crate::domain::ids::{
    ApprovalId, CallerId, CallerOrderId, ChannelId, DifferenceId, MerchantId, OrderId,
};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::order::{Order, OrderKind};
use crate::domain::reversal::{Resolution, ReversalEntry};
use crate::domain::time::{Present, Timestamp};

closed_set! {
    /// What can need a second person.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum HeldKind {
        /// A refund or void that an operator asks for.
        Refund = 1 => "refund",
        /// The end of an unknown by decision.
        Resolve = 2 => "resolve",
        /// The balancing of a difference.
        Remedy = 3 => "remedy",
        /// A BIN table that looks wrong and is taken all the same.
        ForcedBinTable = 4 => "forced_bin_table",
        ChannelSwitch = 5 => "channel_switch",
    }
}

closed_set! {
    /// `open → approved → carried_out`, or `open → carried_out` in one commit; `open → refused |
    /// withdrawn | expired | overtaken`, `approved → overtaken`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum ApprovalState {
        Open = 1 => "open",
        /// A second person has said yes, and it is not known to be done.
        Approved = 2 => "approved",
        CarriedOut = 3 => "carried_out",
        /// A second person has said no.
        Refused = 4 => "refused",
        /// Whoever asked has taken it back.
        Withdrawn = 5 => "withdrawn",
        /// Nobody decided in time.
        Expired = 6 => "expired",
        /// What it was about has changed since, so that it can no longer be done as it was asked.
        Overtaken = 7 => "overtaken",
    }
}

impl ApprovalState {
    /// Whether somebody still has to do something.
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Open | Self::Approved)
    }
}

/// An operator: the key's name, and the person that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorKey {
    pub name: CallerId,
    pub person: CallerId,
}

/// A refund or void of a payment or capture, without a card's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRefund {
    pub of: OrderId,
    pub is_void: bool,
    pub caller_order_id: CallerOrderId,
    pub amount: AmountMinor,
    pub currency: Currency,
    /// What was left of the original: another refund since then overtakes this one.
    pub left_minor: i64,
    pub description: Option<String>,
    pub notify_url: Option<String>,
}

impl HeldRefund {
    pub const fn kind(&self) -> OrderKind {
        match self.is_void {
            true => OrderKind::Void { of: self.of },
            false => OrderKind::Refund { of: self.of },
        }
    }
}

/// The end of an unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldResolve {
    pub order: OrderId,
    pub resolution: Resolution,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub seen: OpenEnd,
}

/// What an operator sees of an open end. A further inquiry without news changes nothing of it; a
/// reversal that leaves does, since it may undo what is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenEnd {
    /// The unresolved attempt's number; 0 for an undo that has none.
    pub attempt: u8,
    /// Whether the channel has said that it works on it.
    pub pending: bool,
    /// How many reversals had left.
    pub reversals: u32,
}

impl OpenEnd {
    /// `None` if nothing is open that a person could end.
    pub fn of(order: &Order, entry: Option<&ReversalEntry>) -> Option<Self> {
        let entry = entry?;
        let open: Option<&Attempt> = order.unresolved();
        let state = open.map(|attempt| attempt.state);
        if state == Some(AttemptState::Sending) {
            return None;
        }
        Some(Self {
            attempt: open.map_or(0, |attempt| attempt.number),
            pending: state == Some(AttemptState::Pending),
            reversals: entry.reversals,
        })
    }
}

/// The balancing of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRemedy {
    pub difference: DifferenceId,
    /// The row's version that was seen.
    pub version: u32,
    pub remedy: Remedy,
    pub merchant_id: Option<MerchantId>,
}

/// A BIN table that looks wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBinTable {
    /// The SHA-256 of the bytes that were checked.
    pub sha256: [u8; 32],
    pub length: u64,
    /// Where they came from, without secrets.
    pub source: String,
    pub as_of: Option<StatedDate>,
    /// The version in force that they were held against.
    pub version: u32,
    /// Why they would be refused without force.
    pub complaint: String,
    /// The bytes, until it is decided.
    pub bytes: Option<Vec<u8>>,
}

/// What is asked, as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldAction {
    Refund(HeldRefund),
    Resolve(HeldResolve),
    Remedy(HeldRemedy),
    BinTable(HeldBinTable),
    Switch { channel: ChannelId, enabled: bool },
}

impl HeldAction {
    pub const fn kind(&self) -> HeldKind {
        match self {
            Self::Refund(_) => HeldKind::Refund,
            Self::Resolve(_) => HeldKind::Resolve,
            Self::Remedy(_) => HeldKind::Remedy,
            Self::BinTable(_) => HeldKind::ForcedBinTable,
            Self::Switch { .. } => HeldKind::ChannelSwitch,
        }
    }

    /// What it acts on: of requests about one thing, one can wait.
    pub fn subject(&self) -> String {
        match self {
            Self::Refund(refund) => refund.of.to_string(),
            Self::Resolve(resolve) => resolve.order.to_string(),
            Self::Remedy(remedy) => remedy.difference.to_string(),
            Self::BinTable(_) => "bin_table".to_owned(),
            Self::Switch { channel, .. } => channel.to_string(),
        }
    }

    /// The same in one sentence, for people.
    pub fn words(&self) -> String {
        match self {
            Self::Refund(HeldRefund { of, is_void, amount, currency, .. }) => {
                let verb = if *is_void { "void" } else { "refund" };
                format!("{verb} {} of order {of}", currency.words(amount.get()))
            }
            Self::Resolve(HeldResolve { order, resolution, amount, currency, .. }) => {
                let money = currency.words(amount.get());
                format!("end order {order} ({money}) as {}", resolution.name())
            }
            Self::Remedy(HeldRemedy { difference, remedy, merchant_id, .. }) => {
                let of = merchant_id.as_ref().map(|id| format!(", merchant {id}"));
                let of = of.unwrap_or_default();
                format!("balance difference {difference} by {}{of}", remedy.name())
            }
            Self::BinTable(HeldBinTable { source, length, version, complaint, .. }) => format!(
                "take the BIN table from {source} ({length} bytes) over version {version}, \
                 although {complaint}"
            ),
            Self::Switch { channel, enabled } => {
                format!("switch channel {channel} {}", if *enabled { "on" } else { "off" })
            }
        }
    }

    /// Whether two people want the same, whatever each of them saw.
    pub fn wants_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refund(one), Self::Refund(two)) => {
                let left_minor = two.left_minor;
                HeldRefund { left_minor, ..one.clone() } == *two
            }
            (Self::Resolve(one), Self::Resolve(two)) => {
                (one.order, one.resolution) == (two.order, two.resolution)
            }
            (Self::Remedy(one), Self::Remedy(two)) => {
                HeldRemedy { version: two.version, ..one.clone() } == *two
            }
            (Self::BinTable(one), Self::BinTable(two)) => {
                (one.sha256, one.as_of) == (two.sha256, two.as_of)
            }
            (one, two) => one == two,
        }
    }

    /// Whether an order, with its open end, still is as it was seen; else what has changed.
    pub fn fits(&self, order: &Order, entry: Option<&ReversalEntry>) -> Result<(), &'static str> {
        match self {
            Self::Resolve(resolve) => match OpenEnd::of(order, entry) {
                None => Err("nothing is open any more"),
                Some(end) if end != resolve.seen => Err("the open end has changed"),
                Some(_) => Ok(()),
            },
            Self::Refund(refund) if order.left_minor() != refund.left_minor => {
                Err("another amount is left of the order")
            }
            Self::Refund(_) => Ok(()),
            Self::Remedy(_) | Self::BinTable(_) | Self::Switch { .. } => {
                Err("no action on an order")
            }
        }
    }

    /// The same of a difference.
    pub fn fits_row(&self, row: &Difference) -> Result<(), &'static str> {
        match self {
            Self::Remedy(remedy) if remedy.version == row.version => Ok(()),
            Self::Remedy(_) => Err("the difference has changed"),
            Self::Refund(_) | Self::Resolve(_) | Self::BinTable(_) | Self::Switch { .. } => {
                Err("no action on a difference")
            }
        }
    }

    /// The action without what is needed only to carry it out.
    fn decided(&self) -> Self {
        match self {
            Self::BinTable(table) => Self::BinTable(HeldBinTable { bytes: None, ..table.clone() }),
            other => other.clone(),
        }
    }
}

/// Who decided about a request, when, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalDecision {
    pub by: OperatorKey,
    pub at: Timestamp,
    pub reason: Option<String>,
}

/// Why a decision about a request is not taken. The request stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalRefusal {
    #[error("`{0}` has asked for it; a second person decides")]
    SamePerson(CallerId),
    #[error("`{0}` has asked for it, and nobody else withdraws it")]
    OtherPerson(CallerId),
    #[error("the request is {}", .0.name())]
    Decided(ApprovalState),
    #[error("the request has expired; ask again")]
    Expired,
    #[error("what it is about has changed since it was asked ({0}); look, and ask again")]
    Overtaken(String),
    #[error("request {0} about the same waits with other content; decide or withdraw it first")]
    OtherWaits(ApprovalId),
}

/// A request for a second person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRequest {
    pub id: ApprovalId,
    /// Counts the writes of the row, from 1.
    pub version: u32,
    pub action: HeldAction,
    pub asked_by: OperatorKey,
    pub reason: String,
    pub asked_at: Timestamp,
    /// Decided by then, or expired.
    pub until: Timestamp,
    pub state: ApprovalState,
    /// The approval, the refusal or the withdrawal.
    pub decision: Option<ApprovalDecision>,
    /// When it was carried out, expired or overtaken.
    pub ended_at: Option<Timestamp>,
    /// The refund's order; or why it was overtaken.
    pub outcome: Option<String>,
}

impl ApprovalRequest {
    /// A new one.
    pub fn ask(
        id: ApprovalId,
        action: HeldAction,
        (asked_by, reason): (OperatorKey, String),
        (asked_at, until): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            id,
            version: 1,
            action,
            asked_by,
            reason,
            asked_at,
            until,
            state: ApprovalState::Open,
            decision: None,
            ended_at: None,
            outcome: None,
        }
    }

    /// Whether its time is over, by what evidence bears out and no clock alone.
    pub fn is_past(&self, present: &Present) -> bool {
        self.state == ApprovalState::Open
            && present.age(self.asked_at) >= self.until.since(self.asked_at)
    }

    /// The state as it is to be shown: nobody has to touch a request for it to expire.
    pub fn standing(&self, present: &Present) -> ApprovalState {
        if self.is_past(present) { ApprovalState::Expired } else { self.state }
    }

    /// Approved by a second person. One that was approved before and not carried out stays the
    /// first approver's, and needs no second approval of the same: whoever did not ask has it
    /// carried out again.
    pub fn approve(
        &self,
        by: &OperatorKey,
        reason: Option<String>,
        present: &Present,
    ) -> Result<Self, ApprovalRefusal> {
        if self.asked_by.person == by.person {
            return Err(ApprovalRefusal::SamePerson(by.person.clone()));
        }
        if self.state == ApprovalState::Approved {
            return Ok(self.clone());
        }
        self.decide(ApprovalState::Approved, by, reason, present)
    }

    /// Refused by a second person.
    pub fn refuse(
        &self,
        by: &OperatorKey,
        reason: Option<String>,
        present: &Present,
    ) -> Result<Self, ApprovalRefusal> {
        if self.asked_by.person == by.person {
            return Err(ApprovalRefusal::SamePerson(by.person.clone()));
        }
        self.decide(ApprovalState::Refused, by, reason, present)
    }

    /// Taken back by the person who asked, with whichever key.
    pub fn withdraw(
        &self,
        by: &OperatorKey,
        reason: Option<String>,
        present: &Present,
    ) -> Result<Self, ApprovalRefusal> {
        if self.asked_by.person != by.person {
            return Err(ApprovalRefusal::OtherPerson(self.asked_by.person.clone()));
        }
        self.decide(ApprovalState::Withdrawn, by, reason, present)
    }

    fn decide(
        &self,
        state: ApprovalState,
        by: &OperatorKey,
        reason: Option<String>,
        present: &Present,
    ) -> Result<Self, ApprovalRefusal> {
        // Written down by who came late first, or not yet: it is the same to whoever comes next.
        match self.standing(present) {
            ApprovalState::Open => {}
            ApprovalState::Expired => return Err(ApprovalRefusal::Expired),
            ended => return Err(ApprovalRefusal::Decided(ended)),
        }
        let decision = ApprovalDecision { by: by.clone(), at: present.now(), reason };
        // What has to be carried out still needs its bytes.
        let action = match state {
            ApprovalState::Approved => self.action.clone(),
            _ => self.action.decided(),
        };
        Ok(Self {
            version: self.version + 1,
            action,
            state,
            decision: Some(decision),
            ..self.clone()
        })
    }

    /// Done. `self` is approved, as stored or as it is about to be in this very commit.
    #[must_use]
    pub fn carried_out(
        &self,
        stored_version: u32,
        now: Timestamp,
        outcome: Option<String>,
    ) -> Self {
        assert_eq!(self.state, ApprovalState::Approved, "I-14: a second person has approved");
        assert!(self.approver().is_some(), "I-14: both names are kept");
        self.ended(ApprovalState::CarriedOut, stored_version, now, outcome)
    }

    /// Ended since nobody decided in time.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> Self {
        self.ended(ApprovalState::Expired, self.version, now, None)
    }

    /// Ended since it can no longer be done as it was asked. `why` holds no data of outside.
    #[must_use]
    pub fn overtaken(&self, now: Timestamp, why: String) -> Self {
        self.ended(ApprovalState::Overtaken, self.version, now, Some(why))
    }

    fn ended(
        &self,
        state: ApprovalState,
        stored_version: u32,
        now: Timestamp,
        outcome: Option<String>,
    ) -> Self {
        let action = self.action.decided();
        let version = stored_version + 1;
        Self { version, action, state, ended_at: Some(now), outcome, ..self.clone() }
    }

    /// Who has approved it.
    pub fn approver(&self) -> Option<&OperatorKey> {
        let approved = matches!(self.state, ApprovalState::Approved | ApprovalState::CarriedOut);
        self.decision.as_ref().filter(|_| approved).map(|decision| &decision.by)
    }
}
