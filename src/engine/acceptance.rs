//! Makes orders durable, carries them out, and lets calls wait for their ends.
//!
//! Upholds I-1 (a channel is asked only after the commit) and I-9 (a repeated order id sends
//! nothing).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::channel::ChannelRequest;
use crate::domain::card::CardInput;
use crate::domain::command::{CardInMemory, Command, Refusal, View};
use crate::domain::effect::Effect;
use crate::domain::flow::decide;
use crate::domain::flow::order::{Instruction, Order, OrderStatus};
use crate::domain::ids::OrderId;
use crate::engine::{Engine, EngineError, facts};
use crate::store::CommitError;

/// How long a call whose wait is over still waits for its order to become durable: until then there
/// is nothing true to answer.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);

/// An order that is in the books, and the work on it, which goes on if no call waits for it.
#[derive(Debug)]
pub struct Acceptance {
    pub id: OrderId,
    /// The order id was used before, with the same content (I-9).
    pub is_repeat: bool,
    work: AcceptedWork,
}

#[derive(Debug)]
enum AcceptedWork {
    /// Nothing is left to do for the call that repeats it.
    Done(Box<Order>),
    Running(JoinHandle<Result<Order, EngineError>>),
}

impl Acceptance {
    /// A repeat of an order that was kept.
    pub(super) fn repeat(kept: Order) -> Self {
        Self { id: kept.id, is_repeat: true, work: AcceptedWork::Done(Box::new(kept)) }
    }

    /// The order as its own work leaves it: at its end, or pending, or unknown.
    pub async fn outcome(self) -> Result<Order, EngineError> {
        match self.work {
            AcceptedWork::Done(order) => Ok(*order),
            AcceptedWork::Running(task) => task.await.unwrap_or(Err(EngineError::Died)),
        }
    }
}

/// How long a call waits for its order's end.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub until: Instant,
    /// Whether an unknown order is waited for too: its end may take hours.
    pub with_unknown: bool,
}

/// Takes word that an order is in the books: its id, and whether its order id repeats.
pub(super) type AcceptanceSender = oneshot::Sender<(OrderId, bool)>;

impl Engine {
    /// Draws the id of a new order. `None` if that has to wait for the disk, the call's wait is
    /// over, and the order id that the caller gave stands in the books: then it may be a repeat.
    pub(super) async fn draw_order_id(
        &self,
        asked: &Instruction,
        until: Instant,
    ) -> Result<Option<OrderId>, EngineError> {
        let mut drawing = pin!(self.next_order_id());
        if let Ok(drawn) = timeout_at(until, &mut drawing).await {
            return drawn.map(Some);
        }
        if let Ok(Some(_)) = self.kept_order(asked).await {
            return Ok(None);
        }
        let drawn = timeout_at(until + DURABLE_WITHIN, drawing).await;
        drawn.unwrap_or(Err(EngineError::NotDurable)).map(Some)
    }

    /// Makes an order (version 0, with its candidates) durable, and begins to carry it as far as
    /// one call can. Returns when it is in the books, or when its order id is found there with the
    /// same content; if neither is known soon after `until`, the work goes on and the call is to be
    /// repeated ([`EngineError::NotDurable`]).
    pub async fn accept(
        self: &Arc<Self>,
        order: Order,
        card: Arc<CardInput>,
        until: Instant,
    ) -> Result<Acceptance, EngineError> {
        let engine = Arc::clone(self);
        run_to_acceptance(until, move |durable| async move {
            engine.accept_and_drive(order, &card, until, durable).await
        })
        .await
    }

    async fn accept_and_drive(
        &self,
        order: Order,
        card: &Arc<CardInput>,
        until: Instant,
        durable: AcceptanceSender,
    ) -> Result<Order, EngineError> {
        let at_hand = CardInMemory::Yes { sealed: self.seal_pan(&order, &card.pan)? };
        let first = order.candidates.first().ok_or(Refusal::NoCandidate)?;
        let terms = self.terms(&first.channel, order.created_at)?;
        let view = View::of(order);
        let (id, asked) = (view.order.id, &view.order.instruction);
        let command = Command::Accept { card: at_hand.clone() };
        let decision = decide(&view, &terms, self.clock.present(), command)?;
        let mut commit = pin!(self.store.commit(decision.writes));
        let written = match timeout_at(until, &mut commit).await {
            Ok(written) => written,
            // A repeat is answered without the disk. Its commit would end as a duplicate.
            Err(_) => match self.kept_order(asked).await {
                Ok(Some(kept)) if kept.id != id => {
                    Err(CommitError::Duplicate { existing: kept.id })
                }
                Ok(_) | Err(_) => commit.await,
            },
        };
        match written {
            Ok(()) => {}
            Err(CommitError::Duplicate { existing }) => {
                let kept = self.load_order(existing).await?;
                kept.instruction.same_content(asked)?;
                // A call that has gone away needs no answer.
                let _ = durable.send((kept.id, true));
                return Ok(kept);
            }
            Err(error) => return Err(self.commit_error(&error)),
        }
        let _ = durable.send((id, false));
        self.drive(decision.order, card, &at_hand).await
    }

    /// Asks channel after channel while the card is at hand and each says that nothing was sent, or
    /// that it must be tried elsewhere.
    async fn drive(
        &self,
        mut order: Order,
        card: &Arc<CardInput>,
        at_hand: &CardInMemory,
    ) -> Result<Order, EngineError> {
        // Bounded: every round ends an attempt, and an order has at most `ATTEMPTS_MAX` of them.
        loop {
            let Some(attempt) = order.unresolved() else { return Ok(order) };
            let (number, channel) = (attempt.number, attempt.channel.clone());
            let facts = facts(&order, number);
            let request = ChannelRequest::Charge { facts, card: Arc::clone(card) };
            let understood = self.channels.call(&channel, request).await;
            let id = order.id;
            // A payment that has just been sent has no entry: its view is its order.
            let view = Some(View::of(order));
            let decision = self.learn(id, view, number, understood, at_hand.clone()).await?;
            let again = decision.effects.iter().any(|effect| matches!(effect, Effect::Send { .. }));
            order = decision.order;
            if !again {
                return Ok(order);
            }
        }
    }

    /// The order at its end, or as it is when the patience is over or waiting cannot change it.
    pub async fn end_of(
        &self,
        acceptance: Acceptance,
        patience: Patience,
    ) -> Result<Order, EngineError> {
        let id = acceptance.id;
        let Ok(order) = timeout_at(patience.until, acceptance.outcome()).await else {
            return self.load_order(id).await;
        };
        let order = order?;
        let is_open = match order.status {
            OrderStatus::Accepted | OrderStatus::Processing => true,
            OrderStatus::Unknown => patience.with_unknown,
            OrderStatus::Succeeded | OrderStatus::Failed | OrderStatus::Reversed => false,
        };
        if !is_open || Instant::now() >= patience.until {
            return Ok(order);
        }
        let waiting = self.waiters.wait(id);
        // It may have ended before the wait began.
        let order = self.load_order(id).await?;
        if order.status.is_final() {
            return Ok(order);
        }
        match timeout_at(patience.until, waiting.end()).await {
            Ok(Some(order)) => Ok(order),
            Ok(None) | Err(_) => self.load_order(id).await,
        }
    }
}

/// Runs work on an order in a task of its own, so that a call that goes away stops nothing, and
/// returns when the order is in the books.
pub(super) async fn run_to_acceptance<W>(
    until: Instant,
    work: impl FnOnce(AcceptanceSender) -> W,
) -> Result<Acceptance, EngineError>
where
    W: Future<Output = Result<Order, EngineError>> + Send + 'static,
{
    let (durable, word) = oneshot::channel();
    // The future is large, and a spawned one is moved several times: it moves as a pointer.
    let task = tokio::spawn(Box::pin(work(durable)));
    match timeout_at(until + DURABLE_WITHIN, word).await {
        Ok(Ok((id, is_repeat))) => {
            Ok(Acceptance { id, is_repeat, work: AcceptedWork::Running(task) })
        }
        // The work has ended before the order was in the books.
        Ok(Err(_)) => Err(task.await.ok().and_then(Result::err).unwrap_or(EngineError::Died)),
        Err(_) => Err(EngineError::NotDurable),
    }
}
