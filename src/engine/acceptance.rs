//! Makes orders durable, carries them out, and lets calls wait for their ends.
//!
//! Upholds I-1 (a channel is asked only after the commit) and I-9 (a repeated order id sends
//! nothing).

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use crate::channel::ChannelRequest;
use crate::domain::command::{CardInMemory, Command, Refusal, View};
use crate::domain::effect::Effect;
use crate::domain::flow::decide;
use crate::domain::ids::OrderId;
use crate::domain::instrument::Instrument;
use crate::domain::order::{Instruction, Order, OrderStatus};
use crate::domain::payment_code::PaymentCode;
use crate::engine::{Engine, EngineError, facts};
use crate::store::CommitError;

/// How long a call whose wait is over still waits for its order to become durable: until then there
/// is nothing true to answer.
pub(super) const DURABLE_WITHIN: Duration = Duration::from_secs(10);

/// An order that is in the books, and the work on it, which whoever waits for its outcome does, and
/// which goes on by itself when nobody waits any more.
pub struct Acceptance {
    pub id: OrderId,
    /// The order id was used before, with the same content (I-9).
    pub is_repeat: bool,
    work: AcceptedWork,
}

enum AcceptedWork {
    Done(Box<Result<Order, EngineError>>),
    Running(OrderWork),
}

/// Work on an order. The waiting call does it, without a task of its own; if that call goes away, a
/// task does the rest. Work that panics has [`EngineError::Died`].
struct OrderWork(Option<BoxFuture<'static, Result<Order, EngineError>>>);

impl Future for OrderWork {
    type Output = Result<Order, EngineError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else { return Poll::Ready(Err(EngineError::Died)) };
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let polled = polled.unwrap_or(Poll::Ready(Err(EngineError::Died)));
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Drop for OrderWork {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and recovery finds the order.
        if let (Some(rest), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(rest.in_current_span());
        }
    }
}

impl Acceptance {
    /// A repeat of an order that was kept.
    pub(super) fn repeat(kept: Order) -> Self {
        Self { id: kept.id, is_repeat: true, work: AcceptedWork::Done(Box::new(Ok(kept))) }
    }

    /// The order as its own work leaves it: at its end, or pending, or unknown.
    pub async fn outcome(self) -> Result<Order, EngineError> {
        match self.work {
            AcceptedWork::Done(ended) => *ended,
            AcceptedWork::Running(work) => work.await,
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
    /// repeated ([`EngineError::NotDurable`]). `code` is the row of the code by SMS that the
    /// instrument brings: the same commit spends it.
    pub fn accept(
        self: &Arc<Self>,
        order: Order,
        instrument: Arc<Instrument>,
        code: Option<Box<PaymentCode>>,
        until: Instant,
    ) -> impl Future<Output = Result<Acceptance, EngineError>> + Send + use<> {
        // Boxed for the same reason as a view.
        let (engine, order) = (Arc::clone(self), Box::new(order));
        run_to_acceptance(until, move |durable| async move {
            engine.accept_and_drive(order, (&instrument, code), until, durable).await
        })
    }

    async fn accept_and_drive(
        &self,
        order: Box<Order>,
        (instrument, code): (&Arc<Instrument>, Option<Box<PaymentCode>>),
        until: Instant,
        durable: AcceptanceSender,
    ) -> Result<Order, EngineError> {
        let at_hand = CardInMemory::Yes { sealed: self.seal_instrument(&order, instrument)? };
        let command = Command::Accept { card: at_hand.clone(), code };
        let (order, is_repeat) = self.make_durable(order, command, until).await?;
        // A call that has gone away needs no answer.
        let _ = durable.send((order.id, is_repeat));
        if is_repeat { Ok(*order) } else { self.drive(order, instrument, &at_hand).await }
    }

    /// The order as it was committed, or the kept one of the same content, which it repeats (I-9).
    async fn make_durable(
        &self,
        order: Box<Order>,
        accept: Command,
        until: Instant,
    ) -> Result<(Box<Order>, bool), EngineError> {
        let first = order.candidates.first().ok_or(Refusal::NoCandidate)?;
        let terms = self.terms(&first.channel, order.created_at)?;
        let decision = decide(&View::of(*order), &terms, self.clock.present(), accept)?;
        let (id, asked) = (decision.order.id, &decision.order.instruction);
        let mut commit = pin!(self.store.commit(&decision.writes));
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
            Ok(()) => {
                self.perform(&decision);
                Ok((Box::new(decision.order), false))
            }
            Err(CommitError::Duplicate { existing }) => {
                let kept = self.load_order(existing).await?;
                kept.instruction.same_content(asked)?;
                Ok((Box::new(kept), true))
            }
            // Another call has just spent the order's code, for the same order as a rule.
            Err(CommitError::Conflict) if !decision.writes.payment_codes.is_empty() => {
                let kept = self.kept_order(asked).await?.ok_or(EngineError::Contended)?;
                kept.instruction.same_content(asked)?;
                Ok((Box::new(kept), true))
            }
            Err(error) => Err(self.commit_error(&error)),
        }
    }

    /// Asks channel after channel while the card is at hand and each says that nothing was sent, or
    /// that it must be tried elsewhere.
    async fn drive(
        &self,
        mut order: Box<Order>,
        instrument: &Arc<Instrument>,
        at_hand: &CardInMemory,
    ) -> Result<Order, EngineError> {
        // A payout waits for accounting, and leaves by `carry_out`.
        // Bounded: every round ends an attempt, and an order has at most `ATTEMPTS_MAX` of them.
        loop {
            let Some(attempt) = order.unresolved() else { return Ok(*order) };
            let (number, channel) = (attempt.number, attempt.channel.clone());
            let facts = facts(&order, number);
            let instrument = Arc::clone(instrument);
            let request = ChannelRequest::Charge { facts, instrument };
            let understood = self.call_channel(&channel, request).await;
            let id = order.id;
            // A payment that has just been sent has no entry: its view is its order.
            let view = Some(Box::new(View::of(*order)));
            let decision = self.learn(id, view, number, understood, at_hand.clone()).await?;
            let again = decision.effects.iter().any(|effect| matches!(effect, Effect::Send { .. }));
            if !again {
                return Ok(decision.order);
            }
            *order = decision.order;
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
        // The order may have ended before the wait began.
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

/// Does work on an order until the order is in the books. A call that goes away stops nothing.
pub(super) async fn run_to_acceptance<W>(
    until: Instant,
    work: impl FnOnce(AcceptanceSender) -> W,
) -> Result<Acceptance, EngineError>
where
    W: Future<Output = Result<Order, EngineError>> + Send + 'static,
{
    let (durable, mut word) = oneshot::channel();
    // The future is large: it is made in its place, and moves as a pointer.
    let mut work = OrderWork(Some(Box::pin(work(durable))));
    let working = poll_fn(|context| {
        let ended = work.poll_unpin(context);
        // The word comes from the work, so that it is there as soon as it was sent.
        match (word.try_recv(), ended) {
            (Ok(said), Poll::Ready(ended)) => Poll::Ready(Ok((said, Some(ended)))),
            (Ok(said), Poll::Pending) => Poll::Ready(Ok((said, None))),
            // The work has ended before the order was in the books.
            (Err(_), Poll::Ready(ended)) => {
                Poll::Ready(Err(ended.err().unwrap_or(EngineError::Died)))
            }
            (Err(_), Poll::Pending) => Poll::Pending,
        }
    });
    let taken = timeout_at(until + DURABLE_WITHIN, working).await;
    let ((id, is_repeat), ended) = taken.unwrap_or(Err(EngineError::NotDurable))?;
    let work = match ended {
        Some(ended) => AcceptedWork::Done(Box::new(ended)),
        None => AcceptedWork::Running(work),
    };
    Ok(Acceptance { id, is_repeat, work })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::ChannelId;

    fn late() -> Instant {
        Instant::now() + DURABLE_WITHIN
    }

    fn id() -> OrderId {
        OrderId::compose(261_122, 1, 1)
    }

    /// An end that tells the works of these tests from others.
    fn end() -> EngineError {
        EngineError::NoSuchChannel { channel: ChannelId::from_stored("end") }
    }

    fn is_end(ended: &Result<Order, EngineError>) -> bool {
        matches!(ended, Err(EngineError::NoSuchChannel { .. }))
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_done_by_who_waits_for_it_and_goes_on_without_him() {
        for (waits, goes_on) in [(true, false), (false, true)] {
            let (sender, told) = oneshot::channel();
            let (step, stepped) = oneshot::channel::<()>();
            let caller = tokio::task::try_id();
            let accepted = run_to_acceptance(late(), |durable| async move {
                durable.send((id(), false)).expect("the call waits");
                stepped.await.expect("it is not dropped");
                sender.send(tokio::task::try_id()).expect("the test waits");
                Err(end())
            });
            let acceptance = accepted.await.expect("it is in the books");
            step.send(()).expect("the work waits");
            if waits {
                assert!(is_end(&acceptance.outcome().await));
            } else {
                drop(acceptance);
            }
            let task = told.await.expect("it went on");
            assert_eq!(task != caller, goes_on);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_told_of_an_order_only_when_it_is_in_the_books() {
        let never = run_to_acceptance(Instant::now(), |durable| async move {
            std::future::pending::<()>().await;
            durable.send((id(), false)).map_err(|_| end())?;
            Err(end())
        });
        assert!(matches!(never.await, Err(EngineError::NotDurable)));
        let refused = run_to_acceptance(late(), |_durable| async { Err(end()) }).await;
        assert!(matches!(refused, Err(EngineError::NoSuchChannel { .. })));
        let at_once = run_to_acceptance(late(), |durable| async move {
            durable.send((id(), true)).expect("the call waits");
            Err(end())
        });
        let at_once = at_once.await.expect("it is in the books");
        assert!(at_once.is_repeat && is_end(&at_once.outcome().await));
    }

    #[tokio::test]
    async fn work_that_panics_is_answered() {
        let accepted = run_to_acceptance(late(), |durable| async move {
            durable.send((id(), false)).expect("the call waits");
            tokio::task::yield_now().await;
            panic!("a fault of the test's");
        });
        let acceptance = accepted.await.expect("it is in the books");
        assert!(matches!(acceptance.outcome().await, Err(EngineError::Died)));
        let at_once = run_to_acceptance(late(), |_durable| async { panic!("another one") }).await;
        assert!(matches!(at_once, Err(EngineError::Died)));
    }
}
