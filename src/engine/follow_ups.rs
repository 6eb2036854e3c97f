//! Takes refunds, voids, captures and releases, and carries them and payouts out: at once, or when
//! accounting has booked them.
//!
//! Upholds I-1 and "booked first": the commit that writes accounting's acknowledgement also begins
//! the order that waited for it, so a crash leaves either both or neither. Upholds I-9: a repeated
//! order id sends nothing.

use std::sync::Arc;

use tokio::time::Instant;

use crate::channel::{ChannelRequest, ReplyMeaning};
use crate::domain::attempt::{Attempt, AttemptState};
use crate::domain::books::accounting::{AccountingRequest, RequestId};
use crate::domain::card::CardInput;
use crate::domain::command::{CardInMemory, Command, Decider, Refusal, RepeatedCard, WantedBy};
use crate::domain::effect::Effect;
use crate::domain::ids::OrderId;
use crate::domain::money::AmountMinor;
use crate::domain::order::{Instruction, Order, OrderKind};
use crate::domain::outcome::{NotSentCause, Outcome};
use crate::domain::write_set::WriteSet;
use crate::engine::acceptance::{Acceptance, AcceptanceSender, run_to_acceptance};
use crate::engine::approvals::Consent;
use crate::engine::{Engine, EngineError, facts};

/// A refund, void, capture or release as the core asked for it, every field checked.
#[derive(Debug, Clone)]
pub struct FollowUp {
    /// The core's instruction, completed from the original ([`Instruction::on`]).
    pub instruction: Instruction,
    /// If absent, the rest of the original; a void is always of the whole.
    pub amount: Option<AmountMinor>,
    pub card: Option<Arc<CardInput>>,
    /// The most that may be given back of the original altogether, in minor units, where an
    /// operator asks for it alone and the settings have a bound.
    pub most_minor: Option<i64>,
    /// Where an operator asked for it and a second one said yes: both, and the request.
    pub approved: Option<(Decider, Consent)>,
}

impl Engine {
    /// Makes a follow-up durable, and begins to carry it as far as one call can: one that must be
    /// booked first is begun when accounting has acknowledged it. Returns as [`Self::accept`] does.
    pub async fn follow_up(
        self: &Arc<Self>,
        asked: FollowUp,
        until: Instant,
    ) -> Result<Acceptance, EngineError> {
        let engine = Arc::clone(self);
        run_to_acceptance(until, move |durable| async move {
            engine.accept_follow_up(asked, durable).await
        })
        .await
    }

    async fn accept_follow_up(
        &self,
        asked: FollowUp,
        durable: AcceptanceSender,
    ) -> Result<Order, EngineError> {
        let FollowUp { mut instruction, amount, card, most_minor, approved } = asked;
        let kind = instruction.kind;
        let original_id = kind.original().expect("a follow-up has an original");
        let original = self.load_order(original_id).await?;
        let kept = self.kept_order(&instruction).await?;
        let repeats = kept.as_ref().filter(|kept| kept.instruction.kind == kind);
        let amount = amount.or(repeats.map(|kept| kept.instruction.amount));
        instruction.amount = amount.unwrap_or_else(|| all_that_is_left(kind, &original));
        complete_fee(&mut instruction, &original);
        if let Some(kept) = kept {
            kept.instruction.same_content(&instruction)?;
            // A call that has gone away needs no answer.
            let _ = durable.send((kept.id, true));
            return Ok(kept);
        }
        let id = self.next_order_id().await?;
        let order = Order::accepted(id, instruction.clone(), self.clock().now());
        let card = match &card {
            Some(card) => Some(RepeatedCard {
                pan_digest: self.vault().digests(card).pan,
                sealed: self.vault().seal(id, &card.pan)?,
            }),
            None => None,
        };
        let (decider, consent) = approved.unzip();
        let consent = consent.map(|consent| Consent { outcome: Some(id.to_string()), ..consent });
        let wanted_by = match (decider, most_minor) {
            (Some(decider), _) => WantedBy::Two(decider),
            (None, Some(most_minor)) => WantedBy::OneUpTo { most_minor },
            (None, None) => WantedBy::One,
        };
        let command = move |_| {
            let (order, card) = (Box::new(order.clone()), card.clone());
            if kind.is_follow_up() {
                Command::FollowUp { order, card, wanted_by: wanted_by.clone() }
            } else {
                Command::Release { release: order }
            }
        };
        match self.run_with(original_id, None, command, consent.as_ref()).await {
            Ok(accepted) => {
                let _ = durable.send((id, false));
                // A follow-up that waits for accounting may have been begun meanwhile by the worker
                // that wrote the acknowledgement, which then sends it.
                let ours = accepted.effects.iter().any(|one| matches!(one, Effect::Send { .. }));
                if ours { self.carry_out(id).await } else { self.load_order(id).await }
            }
            Err(error) => {
                // The same follow-up may have been taken meanwhile: its repeat is no refusal (I-9).
                let kept = self.kept_order(&instruction).await?.ok_or(error)?;
                kept.instruction.same_content(&instruction)?;
                let _ = durable.send((kept.id, true));
                Ok(kept)
            }
        }
    }

    /// The order that is kept under an instruction's caller and caller's order id.
    pub(super) async fn kept_order(
        &self,
        asked: &Instruction,
    ) -> Result<Option<Order>, EngineError> {
        let (caller, id) = (asked.caller.clone(), asked.caller_order_id.clone());
        Ok(self.store().order_by_caller(caller, id).await?)
    }

    /// Writes an acknowledged request down. If an order waited for it, that is begun in the same
    /// commit, and its id given for [`Self::carry_out`].
    pub async fn acknowledge(
        &self,
        request: AccountingRequest,
    ) -> Result<Option<OrderId>, EngineError> {
        let waiting = request.order().filter(|_| request.event.is_booked_first());
        if let Some(order) = waiting {
            let booked = request.clone();
            let begin = move |_| Command::BeginFollowUp { booked: Box::new(booked.clone()) };
            match self.run(order, None, begin).await {
                Ok(_) => return Ok(Some(order)),
                // The order has begun or ended meanwhile; accounting's answer is stored all the
                // same.
                Err(EngineError::Refused(Refusal::WrongPhase)) => {}
                Err(error) => return Err(error),
            }
        }
        self.record(WriteSet { accounting: vec![request], ..WriteSet::default() }).await?;
        Ok(None)
    }

    /// Ends an order whose request accounting refuses: nothing was booked, nothing was sent.
    pub async fn withdraw(&self, id: RequestId, decider: Decider) -> Result<Order, EngineError> {
        let booked = self.store().accounting_request(id).await?;
        let booked = booked.ok_or(Refusal::NothingOpen)?;
        let order = booked.order().ok_or(Refusal::NothingOpen)?;
        let command = move |_| Command::Withdraw {
            booked: Box::new(booked.clone()),
            decider: decider.clone(),
        };
        Ok(self.run(order, None, command).await?.order)
    }

    /// Sends the attempt of a follow-up or payout that has just become durable. Only whoever made
    /// it durable calls this, once; if that call is lost, the attempt is unknown and is never sent
    /// again.
    pub async fn carry_out(&self, id: OrderId) -> Result<Order, EngineError> {
        let order = self.load_order(id).await?;
        let sending = |attempt: &&Attempt| attempt.state == AttemptState::Sending;
        let Some(attempt) = order.unresolved().filter(sending).cloned() else { return Ok(order) };
        let understood = match self.booked_request(&order, &attempt).await? {
            Some(request) => self.call_channel(&attempt.channel, request).await,
            None => {
                tracing::error!(order.id = %id, "the payee cannot be opened; nothing is sent");
                ReplyMeaning::new(Outcome::NotSent(NotSentCause::NotEncodable), String::new())
            }
        };
        let learnt = self.learn(id, None, attempt.number, understood, CardInMemory::No).await?;
        Ok(learnt.order)
    }

    /// What the channel is asked for an attempt that was made durable without its call; `None` if
    /// the payee of a payout cannot be opened any more.
    async fn booked_request(
        &self,
        order: &Order,
        attempt: &Attempt,
    ) -> Result<Option<ChannelRequest>, EngineError> {
        let facts_of = facts(order, attempt.number);
        if order.instruction.kind == OrderKind::Payout {
            let sealed = attempt.sealed_pan.as_ref();
            let payee = sealed.and_then(|sealed| self.vault().open_payee(order.id, sealed));
            let charge =
                |payee| ChannelRequest::Charge { facts: facts_of, instrument: Arc::new(payee) };
            return Ok(payee.map(charge));
        }
        let of = order.instruction.kind.original().expect("a follow-up has an original");
        let original = self.load_order(of).await?;
        let approved = original.approved().expect("I-3: what is followed up has succeeded");
        Ok(Some(ChannelRequest::FollowUp {
            facts: facts_of,
            original: facts(&original, approved.number),
            pan: self.open_pan(order.id, attempt),
        }))
    }
}

/// The fee that the core charges its merchant for a capture: its own, or the fee of the hold if the
/// whole is captured. We do not guess the fee of a part.
fn complete_fee(instruction: &mut Instruction, original: &Order) {
    let captures = matches!(instruction.kind, OrderKind::Capture { .. });
    if captures && instruction.amount == original.instruction.amount {
        let of_hold = original.instruction.merchant_fee_minor;
        instruction.merchant_fee_minor = instruction.merchant_fee_minor.or(of_hold);
    }
}

/// The amount of a follow-up that names none. The rules refuse an empty rest as they refuse too
/// much.
fn all_that_is_left(kind: OrderKind, original: &Order) -> AmountMinor {
    let whole = original.instruction.amount;
    match kind {
        OrderKind::Refund { .. } => AmountMinor::new(original.left_minor()).unwrap_or(whole),
        OrderKind::Release { .. } => AmountMinor::new(original.unreleased_minor()).unwrap_or(whole),
        OrderKind::Payment
        | OrderKind::Preauth
        | OrderKind::Payout
        | OrderKind::Undo { .. }
        | OrderKind::Capture { .. }
        | OrderKind::Void { .. } => whole,
    }
}
