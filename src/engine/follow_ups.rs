//! Takes refunds, voids and captures, and carries them out: at once, or when accounting has booked
//! them.
//!
//! Upholds I-1 and "booked first": whoever writes accounting's acknowledgement down begins the
//! order that waited for it in the same commit, so a crash leaves either both or neither. Upholds
//! I-9: a repeated order id sends nothing.

use std::sync::Arc;

use crate::channel::ChannelRequest;
use crate::domain::batch::Batch;
use crate::domain::books::accounting::{AccountingRequest, RequestId};
use crate::domain::card::CardInput;
use crate::domain::command::{CardAgain, CardAtHand, Command, Decider, Refusal};
use crate::domain::effect::Effect;
use crate::domain::flow::attempt::{Attempt, AttemptState};
use crate::domain::flow::order::{Claims, Order, OrderKind, OrderStatus};
use crate::domain::ids::{CallerId, CallerOrderId, MerchantCategory, OrderId};
use crate::domain::money::AmountMinor;
use crate::engine::{Engine, EngineError, Submitted, facts};

/// A refund, void or capture as the core asked for it, every field checked.
#[derive(Debug, Clone)]
pub struct FollowUp {
    pub caller: CallerId,
    pub caller_order_id: CallerOrderId,
    /// One of the kinds that follow up an order, with that order's id.
    pub kind: OrderKind,
    /// What is left of the original, if absent; a void is always of the whole.
    pub amount: Option<AmountMinor>,
    /// A capture's own, where it is not what the pre-authorisation said.
    pub merchant_category: Option<MerchantCategory>,
    /// A capture's, in minor units, 0 to its amount.
    pub merchant_fee_minor: Option<i64>,
    pub card: Option<CardInput>,
    pub description: Option<String>,
    /// Where the original told its end, if absent.
    pub notify_url: Option<String>,
}

impl Engine {
    /// Accepts a follow-up, and carries it as far as one call can: one that must be booked first is
    /// only accepted, and begun when accounting has acknowledged it.
    ///
    /// The work runs in a task of its own: whoever waits for it may go away without stopping it.
    pub async fn follow_up(self: &Arc<Self>, asked: FollowUp) -> Result<Submitted, EngineError> {
        let engine = Arc::clone(self);
        let task = tokio::spawn(async move { engine.accept_follow_up(asked).await });
        task.await.unwrap_or(Err(EngineError::Died))
    }

    async fn accept_follow_up(&self, asked: FollowUp) -> Result<Submitted, EngineError> {
        assert!(asked.kind.is_follow_up(), "other kinds come in by other doors");
        let original_id = asked.kind.original().expect("a follow-up has an original");
        let original = self.load_order(original_id).await?;
        let kept = self.kept(&asked).await?;
        let repeats = kept.as_ref().filter(|kept| kept.kind == asked.kind);
        let amount = asked.amount.or(repeats.map(|kept| kept.amount));
        let amount = amount.unwrap_or_else(|| all_that_is_left(asked.kind, &original));
        let id = match &kept {
            Some(kept) => kept.id,
            None => self.next_order_id().await?,
        };
        let order = self.follow_up_order(id, &asked, &original, amount);
        if let Some(kept) = kept {
            kept.same_content(&order)?;
            return Ok(Submitted { order: kept, repeated: true });
        }
        let card = match &asked.card {
            Some(card) => Some(CardAgain {
                pan_digest: self.vault().digests(card).pan,
                sealed: self.vault().seal(id, &card.pan)?,
            }),
            None => None,
        };
        let wanted = order.clone();
        let command =
            move |_| Command::FollowUp { order: Box::new(wanted.clone()), card: card.clone() };
        match self.run(original_id, None, command).await {
            Ok(accepted) => {
                // One that waits for accounting may have been begun meanwhile by whoever wrote the
                // acknowledgement down, and is theirs to send.
                let ours = accepted.effects.iter().any(|one| matches!(one, Effect::Send { .. }));
                let order = if ours { self.carry_out(id).await } else { self.load_order(id).await };
                Ok(Submitted { order: order?, repeated: false })
            }
            Err(error) => {
                // The same follow-up may have been taken meanwhile: its repeat is no refusal (I-9).
                let kept = self.kept(&asked).await?.ok_or(error)?;
                kept.same_content(&order)?;
                Ok(Submitted { order: kept, repeated: true })
            }
        }
    }

    async fn kept(&self, asked: &FollowUp) -> Result<Option<Order>, EngineError> {
        let (caller, id) = (asked.caller.clone(), asked.caller_order_id.clone());
        Ok(self.store().order_by_caller(caller, id).await?)
    }

    fn follow_up_order(
        &self,
        id: OrderId,
        asked: &FollowUp,
        original: &Order,
        amount: AmountMinor,
    ) -> Order {
        Order {
            id,
            version: 0,
            caller: asked.caller.clone(),
            caller_order_id: asked.caller_order_id.clone(),
            kind: asked.kind,
            amount,
            merchant_category: asked.merchant_category.or(original.merchant_category),
            merchant_fee_minor: merchant_fee(asked, original, amount),
            description: asked.description.clone(),
            notify_url: asked.notify_url.clone().or_else(|| original.notify_url.clone()),
            status: OrderStatus::Accepted,
            reason: None,
            attempts: Vec::new(),
            candidates: Vec::new(),
            released_minor: 0,
            claims: Claims::default(),
            sealed_pan: None,
            accounting_sequence: 0,
            clearing_date: None,
            charged: None,
            created_at: self.clock().now(),
            finished_at: None,
            ..original.clone()
        }
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
                // It has begun or ended meanwhile; what accounting said is kept all the same.
                Err(EngineError::Refused(Refusal::WrongPhase)) => {}
                Err(error) => return Err(error),
            }
        }
        self.record(Batch { accounting: vec![request], ..Batch::default() }).await?;
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

    /// Sends the attempt of a follow-up that has just become durable. Only whoever made it durable
    /// calls this, once; if that call is lost, the attempt is unknown and never sent again.
    pub async fn carry_out(&self, id: OrderId) -> Result<Order, EngineError> {
        let order = self.load_order(id).await?;
        let sending = |attempt: &&Attempt| attempt.state == AttemptState::Sending;
        let Some(attempt) = order.unresolved().filter(sending).cloned() else { return Ok(order) };
        let of = order.kind.original().expect("a follow-up has an original");
        let original = self.load_order(of).await?;
        let approved = original.approved().expect("I-3: what is followed up has succeeded");
        let request = ChannelRequest::FollowUp {
            facts: facts(&order, attempt.number),
            original: facts(&original, approved.number),
            pan: self.opened_pan(id, &attempt),
        };
        let understood = self.channels().call(&attempt.channel, request).await;
        let learnt = self.learn(id, None, attempt.number, understood, CardAtHand::No).await?;
        Ok(learnt.order)
    }
}

/// What the core charges its merchant for a capture: what it says, or what it said of the hold if
/// that is charged as a whole. A part of it is not ours to guess.
fn merchant_fee(asked: &FollowUp, original: &Order, amount: AmountMinor) -> Option<i64> {
    let captures = matches!(asked.kind, OrderKind::Capture { .. });
    let of_hold = original.merchant_fee_minor.filter(|_| captures && amount == original.amount);
    asked.merchant_fee_minor.or(of_hold)
}

/// The amount of a follow-up that names none. Nothing left is refused by the rules, with the same
/// words as too much.
fn all_that_is_left(kind: OrderKind, original: &Order) -> AmountMinor {
    match kind {
        OrderKind::Refund { .. } => {
            AmountMinor::new(original.left_minor()).unwrap_or(original.amount)
        }
        OrderKind::Payment
        | OrderKind::Preauth
        | OrderKind::Undo { .. }
        | OrderKind::Release { .. }
        | OrderKind::Capture { .. }
        | OrderKind::Void { .. } => original.amount,
    }
}
