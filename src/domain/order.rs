//! Orders: their states, and what makes a repeated order the same order (I-9).

use std::sync::Arc;

use crate::domain::attempt::{Attempt, AttemptState, Operation};
use crate::domain::card::{CardFacts, SealedPan};
use crate::domain::closed_set;
use crate::domain::closed_set::ClosedSet;
use crate::domain::fee::Fee;
use crate::domain::ids::{
    CallerId, CallerOrderId, ChannelId, ChannelOrderNo, MerchantCategory, MerchantId, OrderId,
};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::outcome::Reason;
use crate::domain::payee_account::AccountDigests;
use crate::domain::payment_code::{CodePayer, CodedKind, PaymentCodeRequest};
use crate::domain::time::{BusinessDate, Timestamp};

/// The caller name of orders that we owe ourselves (undos).
pub const OWN_CALLER: &str = "switchyard";

/// The kind of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    Payment,
    /// Takes back the success that a channel claims of an attempt that had ended otherwise (I-5).
    Undo {
        of: ChannelOrderNo,
    },
    /// Hands escrowed money of a payment to its merchant; no channel takes part.
    Release {
        of: OrderId,
    },
    /// Holds an amount on the card (预授权).
    Preauth,
    /// Charges what a pre-authorisation holds, or less, once; from then on it is like a payment.
    Capture {
        of: OrderId,
    },
    /// Gives back part or all of a payment or capture.
    Refund {
        of: OrderId,
    },
    /// Cancels a payment, pre-authorisation or capture as a whole.
    Void {
        of: OrderId,
    },
    /// Pays money out to a card or an account (代付).
    Payout,
}

impl ClosedSet for OrderKind {
    const NAMES: &'static [&'static str] = &Self::NAMES;
}

impl OrderKind {
    /// The names of all kinds.
    pub const NAMES: [&'static str; 8] =
        ["payment", "preauth", "capture", "refund", "void", "payout", "release", "undo"];

    pub const fn name(self) -> &'static str {
        match self.operation() {
            Some(operation) => operation.name(),
            None => "release",
        }
    }

    /// The operation of its attempts; `None` for a release, which has none.
    pub const fn operation(self) -> Option<Operation> {
        match self {
            Self::Payment => Some(Operation::Payment),
            Self::Undo { .. } => Some(Operation::Undo),
            Self::Release { .. } => None,
            Self::Preauth => Some(Operation::Preauth),
            Self::Capture { .. } => Some(Operation::Capture),
            Self::Refund { .. } => Some(Operation::Refund),
            Self::Void { .. } => Some(Operation::Void),
            Self::Payout => Some(Operation::Payout),
        }
    }

    /// The order that it refers to.
    pub const fn original(self) -> Option<OrderId> {
        match self {
            Self::Payment | Self::Preauth | Self::Payout => None,
            Self::Undo { of } => Some(of.order),
            Self::Release { of }
            | Self::Capture { of }
            | Self::Refund { of }
            | Self::Void { of } => Some(of),
        }
    }

    /// Whether it draws on what is left of its original until it ends without success (I-8).
    pub const fn is_follow_up(self) -> bool {
        match self {
            Self::Capture { .. } | Self::Refund { .. } | Self::Void { .. } => true,
            Self::Payment
            | Self::Preauth
            | Self::Payout
            | Self::Undo { .. }
            | Self::Release { .. } => false,
        }
    }

    /// The kind of a code by SMS for such an order; `None` where no code goes with it.
    pub const fn coded(self) -> Option<CodedKind> {
        match self {
            Self::Payment => Some(CodedKind::Payment),
            Self::Preauth => Some(CodedKind::Preauth),
            Self::Undo { .. }
            | Self::Release { .. }
            | Self::Capture { .. }
            | Self::Refund { .. }
            | Self::Void { .. }
            | Self::Payout => None,
        }
    }

    /// Whether its success takes money from a card for a merchant: such an order can be refunded.
    pub const fn is_paid_in(self) -> bool {
        match self {
            Self::Payment | Self::Capture { .. } => true,
            Self::Preauth
            | Self::Undo { .. }
            | Self::Release { .. }
            | Self::Refund { .. }
            | Self::Void { .. }
            | Self::Payout => false,
        }
    }
}

impl From<CodedKind> for OrderKind {
    fn from(kind: CodedKind) -> Self {
        match kind {
            CodedKind::Payment => Self::Payment,
            CodedKind::Preauth => Self::Preauth,
        }
    }
}

/// The amounts that other orders have drawn from an order, in minor units (I-8). Each part is taken
/// in the commit that accepts the other order, and given back in the one that ends it without
/// success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claims {
    /// Refunds and voids.
    pub refunded_minor: i64,
    /// Captures of a pre-authorisation.
    pub captured_minor: i64,
    /// The part of `refunded_minor` that refunds and voids took out of escrow; on a refund or void
    /// itself, its own part.
    pub from_escrow_minor: i64,
    /// The amount of follow-ups that the channel reports as carried out and that our books had
    /// ended without success (I-5). Nobody can draw on it; it is never given back.
    pub contradicted_minor: i64,
    /// The amount that refunds have given back at the channel, reported successes included, but
    /// without those under way. At most the amount.
    pub given_back_minor: i64,
    /// The part of its fee that the channel has given back with them.
    pub fee_back_minor: i64,
}

closed_set! {
    /// When the merchant gets the money: at once, or when the goods have arrived (担保).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum SettlementMode {
        Instant = 1 => "instant",
        Escrow = 2 => "escrow",
    }
}

closed_set! {
    /// `accepted → processing → succeeded | failed | unknown`; `processing, unknown → succeeded |
    /// failed | reversed`. An undo that waits to be sent, and a refund, void or payout that waits
    /// for accounting, are `accepted`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum OrderStatus {
        Accepted = 1 => "accepted",
        Processing = 2 => "processing",
        Unknown = 3 => "unknown",
        Succeeded = 4 => "succeeded",
        Failed = 5 => "failed",
        Reversed = 6 => "reversed",
    }
}

impl OrderStatus {
    pub const fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Reversed => true,
            Self::Accepted | Self::Processing | Self::Unknown => false,
        }
    }
}

/// A channel that the plan still holds in reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub channel: ChannelId,
    /// See [`crate::domain::terms::Terms::keeps_pan`].
    pub keeps_pan: bool,
}

/// How an order was routed, as rules, channels and BIN table were then: for whoever asks why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteVerdict {
    /// The rule that decided.
    pub rule: String,
    /// Its place in the routes, from 1; those before it did not fit, or handed on.
    pub place: u16,
    /// The version of the BIN table that was in force.
    pub bin_table: u32,
    /// The channels that the plan kept, best first.
    pub kept: Vec<ChannelId>,
    /// The channels that could not take it, each with the stable word of the reason.
    pub struck: Vec<(ChannelId, String)>,
}

/// The part of an order that the core states once and that never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    pub caller: CallerId,
    pub caller_order_id: CallerOrderId,
    pub kind: OrderKind,
    pub merchant_id: MerchantId,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub settlement_mode: SettlementMode,
    /// The merchant's category, if the core gave it. A follow-up has its original's.
    pub merchant_category: Option<MerchantCategory>,
    /// The fee that the core charges its merchant, in minor units, 0 to the amount: the income
    /// beside the channel's cost. For payments and captures alone.
    pub merchant_fee_minor: Option<i64>,
    /// `None` for a release, which touches no card, and until intake has looked at it. A
    /// follow-up has its original's.
    pub instrument: Option<InstrumentFacts>,
    pub description: Option<String>,
    pub notify_url: Option<String>,
}

impl Instruction {
    /// An instruction with nothing in it that may be left out, settled at once.
    pub const fn new(
        caller: CallerId,
        caller_order_id: CallerOrderId,
        kind: OrderKind,
        merchant_id: MerchantId,
        amount: AmountMinor,
        currency: Currency,
    ) -> Self {
        Self {
            caller,
            caller_order_id,
            kind,
            merchant_id,
            amount,
            currency,
            settlement_mode: SettlementMode::Instant,
            merchant_category: None,
            merchant_fee_minor: None,
            instrument: None,
            description: None,
            notify_url: None,
        }
    }

    /// An instruction that is never sent: a question to the routing.
    pub fn unsent(
        kind: OrderKind,
        merchant_id: MerchantId,
        amount: AmountMinor,
        currency: Currency,
    ) -> Self {
        let id = CallerOrderId::from_stored("unsent");
        Self::new(CallerId::from_stored(OWN_CALLER), id, kind, merchant_id, amount, currency)
    }

    /// A follow-up of the whole of `original`, completed from it. A release has no card, and tells
    /// nobody its end but where the settings say so.
    pub fn on(
        original: &Order,
        kind: OrderKind,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> Self {
        let of = &original.instruction;
        let (merchant_id, amount) = (of.merchant_id.clone(), of.amount);
        let new = Self::new(caller, caller_order_id, kind, merchant_id, amount, of.currency);
        let new = Self { settlement_mode: of.settlement_mode, ..new };
        if matches!(kind, OrderKind::Release { .. }) {
            return new;
        }
        Self {
            merchant_category: of.merchant_category,
            instrument: of.instrument.clone(),
            notify_url: of.notify_url.clone(),
            ..new
        }
    }

    /// The card that the money moves by, where there is one.
    pub fn card(&self) -> Option<&CardFacts> {
        match self.instrument.as_ref()? {
            InstrumentFacts::Card(card) | InstrumentFacts::Agreement { card, .. } => Some(card),
            InstrumentFacts::Code(_) | InstrumentFacts::Account(_) => None,
        }
    }

    /// What a code by SMS for it is bound to; `None` where no such code goes with its kind, or with
    /// what it names.
    pub fn code_request(&self) -> Option<PaymentCodeRequest> {
        Some(PaymentCodeRequest {
            caller: self.caller.clone(),
            caller_order_id: self.caller_order_id.clone(),
            kind: self.kind.coded()?,
            merchant_id: self.merchant_id.clone(),
            amount: self.amount,
            currency: self.currency,
            payer: CodePayer::of(self.instrument.as_ref()?)?,
        })
    }

    /// Whether `repeat`, sent under the same caller's order id, asks for the same thing (I-9).
    ///
    /// Fields are compared in the order in which the API documents them; CVV and code by SMS are
    /// not kept and so not compared.
    pub fn same_content(&self, repeat: &Self) -> Result<(), ContentMismatch> {
        let same = |field, same: bool| if same { Ok(()) } else { Err(ContentMismatch { field }) };
        same("kind", self.kind == repeat.kind)?;
        same("merchant_id", self.merchant_id == repeat.merchant_id)?;
        same("amount", self.amount == repeat.amount)?;
        same("currency", self.currency == repeat.currency)?;
        same("settlement", self.settlement_mode == repeat.settlement_mode)?;
        same("merchant_category", self.merchant_category == repeat.merchant_category)?;
        same("merchant_fee", self.merchant_fee_minor == repeat.merchant_fee_minor)?;
        let agreement = |one: &Self| one.instrument.as_ref().and_then(InstrumentFacts::agreement);
        same("agreement", agreement(self) == agreement(repeat))?;
        let digests = |one: &Self| one.card().map(|card| card.digests).unwrap_or_default();
        let (ours, theirs) = (digests(self), digests(repeat));
        same("card.pan", ours.pan == theirs.pan)?;
        same("card.expiry", ours.expiry == theirs.expiry)?;
        same("card.holder", ours.holder == theirs.holder)?;
        same("card.id_type", ours.id_type == theirs.id_type)?;
        same("card.id_number", ours.id_number == theirs.id_number)?;
        same("card.phone", ours.phone == theirs.phone)?;
        let code = |one: &Self| Some(one.instrument.as_ref()?.code()?.digest);
        same("payer.code", code(self) == code(repeat))?;
        let account = |one: &Self| {
            let account = one.instrument.as_ref()?.account()?;
            Some((account.kind, account.digests))
        };
        let (ours, theirs) = (account(self).unzip(), account(repeat).unzip());
        let id = |digests: Option<AccountDigests>| digests.map(|digests| digests.id);
        same("payee.account", id(ours.1) == id(theirs.1))?;
        same("payee.kind", ours.0 == theirs.0)?;
        same("payee.name", ours.1 == theirs.1)?;
        same("description", self.description == repeat.description)?;
        same("notify_url", self.notify_url == repeat.notify_url)
    }
}

/// One instruction from the core, written the moment it is accepted, whatever becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    /// Counts the writes of the row, from 1; a commit that expects another count is refused.
    pub version: u32,
    pub instruction: Instruction,
    pub status: OrderStatus,
    pub reason: Option<Reason>,
    pub attempts: Vec<Attempt>,
    /// Why it went where it went. `None` where it was not routed: it follows up another order.
    pub route: Option<Arc<RouteVerdict>>,
    /// Planned channels not tried yet, best first.
    pub candidates: Vec<Candidate>,
    /// Escrowed money handed on so far, in minor units.
    pub released_minor: i64,
    /// The amounts that refunds, voids and captures have drawn from it.
    pub claims: Claims,
    /// The card number that a follow-up needs when it leaves, or the payee of a payout, while it
    /// waits for accounting (I-11).
    pub sealed_pan: Option<SealedPan>,
    /// How many accounting requests its chain has.
    pub accounting_sequence: u16,
    pub clearing_date: Option<BusinessDate>,
    /// The fee that the channel charged when it succeeded, as in its clearing record; fees that
    /// come back later are parts of it. Of an undo: the fee that it takes back.
    pub charged: Option<Fee>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// A field that differs between a repeated order and the one that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this order id was used before with another `{field}`")]
pub struct ContentMismatch {
    pub field: &'static str,
}

impl Order {
    /// A new order: nothing of it is written or sent yet.
    pub fn accepted(id: OrderId, instruction: Instruction, now: Timestamp) -> Self {
        Self {
            id,
            version: 0,
            instruction,
            status: OrderStatus::Accepted,
            reason: None,
            attempts: Vec::new(),
            route: None,
            candidates: Vec::new(),
            released_minor: 0,
            claims: Claims::default(),
            sealed_pan: None,
            accounting_sequence: 0,
            clearing_date: None,
            charged: None,
            created_at: now,
            finished_at: None,
        }
    }

    /// The attempt whose end is still open. I-4 allows one at most.
    pub fn unresolved(&self) -> Option<&Attempt> {
        let mut open = self.attempts.iter().filter(|attempt| attempt.state.is_unresolved());
        let first = open.next();
        assert!(open.next().is_none(), "I-4: at most one unresolved attempt");
        first
    }

    pub fn attempt(&self, number: u8) -> Option<&Attempt> {
        self.attempts.get(usize::from(number).checked_sub(1)?)
    }

    pub(super) fn attempt_mut(&mut self, number: u8) -> Option<&mut Attempt> {
        self.attempts.get_mut(usize::from(number).checked_sub(1)?)
    }

    /// The number under which the channel knows an attempt of this order.
    pub fn channel_order_no(&self, attempt: u8) -> ChannelOrderNo {
        ChannelOrderNo { order: self.id, attempt }
    }

    /// The attempt that succeeded.
    pub fn approved(&self) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.state == AttemptState::Approved)
    }

    /// The attempt that speaks for the order: the one that succeeded, else the last one.
    pub fn speaking(&self) -> Option<&Attempt> {
        self.approved().or(self.attempts.last())
    }

    /// Escrowed money that has neither been handed on nor given back.
    pub fn unreleased_minor(&self) -> i64 {
        self.instruction.amount.get() - self.released_minor - self.claims.from_escrow_minor
    }

    /// The amount that follow-ups can still draw from it.
    pub fn left_minor(&self) -> i64 {
        let Claims { refunded_minor, captured_minor, contradicted_minor, .. } = self.claims;
        (self.instruction.amount.get() - refunded_minor - captured_minor - contradicted_minor)
            .max(0)
    }

    /// Moves it to a final status (I-5: once).
    pub(super) fn finish(&mut self, status: OrderStatus, now: Timestamp) {
        assert!(!self.status.is_final(), "I-5: a final order stays as it is");
        assert!(status.is_final(), "an order finishes in a final status");
        assert!(self.unresolved().is_none(), "I-3: nothing is open when an order ends");
        self.status = status;
        self.finished_at = Some(now);
        self.candidates.clear();
        self.sealed_pan = None;
    }
}
