//! A desk with the channel of one case and a clock that is moved by hand: an hour's wait is over at
//! once.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::certify::channel::DeskChannel;
use crate::certify::desk::{CaseDesk, CaseInstrument, CaseSubject};
use crate::certify::far_side::{LateReversalAnswer, Unasked};
use crate::channel::protocol::sample::sample_card;
use crate::channel::{AttemptFacts, ChannelRequest, ReplyMeaning};
use crate::clock::Clock;
use crate::domain::attempt::{Evidence, Operation, Source};
use crate::domain::ids::{ChannelOrderNo, OrderId};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::order::Order;
use crate::domain::outcome::{Approval, Outcome};
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;
use crate::engine::EngineError;

/// Rounds of work on one order before it counts as one that never ends.
const ROUNDS_MAX: usize = 400;

/// The clock of a rehearsal.
pub enum RehearsalClock {
    /// Moved by hand: waits are over at once. The channel's clock reads the same hand.
    Hand(Arc<AtomicI64>),
    /// The machine's, at a real host; nothing is waited for longer than this.
    Machine { patience: Duration },
}

/// A desk whose channel is asked and answers, and whose waits are over at once.
pub struct RehearsalStage {
    desk: CaseDesk,
    pub channel: Arc<DeskChannel>,
    clock: RehearsalClock,
}

impl Deref for RehearsalStage {
    type Target = CaseDesk;

    fn deref(&self) -> &CaseDesk {
        &self.desk
    }
}

impl RehearsalStage {
    pub fn new(
        channel: DeskChannel,
        terms: Arc<Terms>,
        clock: RehearsalClock,
        mut subject: CaseSubject,
    ) -> Self {
        let channel = Arc::new(channel);
        let answers: Arc<DeskChannel> = Arc::clone(&channel);
        let read = match &clock {
            RehearsalClock::Hand(hand) => Clock::Manual(Arc::clone(hand)),
            RehearsalClock::Machine { .. } => Clock::System,
        };
        if let CaseInstrument::Agreement(token) = &mut subject.instrument {
            *token = channel.far.token_for(&sample_card(), read.now());
        }
        Self { desk: CaseDesk::new(answers, terms, read, subject), channel, clock }
    }

    /// Works an order's entry, each time when it is due, until nothing is due any more.
    pub async fn drain(&self, id: OrderId) -> Result<Order, EngineError> {
        let began = self.now();
        for _ in 0..ROUNDS_MAX {
            if !self.work_due(id, began).await? {
                break;
            }
        }
        self.order(id).await
    }

    /// Works an order's entry until a reversal has left.
    pub async fn work_until_reversed(&self, id: OrderId) -> Result<(), EngineError> {
        let began = self.now();
        for _ in 0..ROUNDS_MAX {
            let entry = self.entry(id).await?;
            let has_left = entry.is_none_or(|entry| entry.reversal_left_at.is_some());
            if has_left || !self.work_due(id, began).await? {
                break;
            }
        }
        Ok(())
    }

    /// Works an order's entry when it is due next.
    pub async fn work_next(&self, id: OrderId) -> Result<(), EngineError> {
        self.work_due(id, self.now()).await.map(|_| ())
    }

    /// The same; whether there was anything to do within the patience since `began`.
    async fn work_due(&self, id: OrderId, began: Timestamp) -> Result<bool, EngineError> {
        let Some(entry) = self.entry(id).await? else { return Ok(false) };
        let Some(due_at) = entry.due_at else { return Ok(false) };
        match &self.clock {
            RehearsalClock::Hand(hand) => {
                hand.fetch_max(due_at.as_millis(), Ordering::SeqCst);
            }
            RehearsalClock::Machine { patience } if due_at.since(began) > *patience => {
                return Ok(false);
            }
            RehearsalClock::Machine { .. } => {
                tokio::time::sleep(due_at.since(self.now())).await;
            }
        }
        self.engine().work(&entry).await?;
        Ok(true)
    }

    /// Works an order's entry once.
    pub async fn work_once(&self, id: OrderId) -> Result<(), EngineError> {
        if let Some(entry) = self.entry(id).await? {
            self.engine().work(&entry).await?;
        }
        Ok(())
    }

    /// Lets time pass on a clock that is moved by hand.
    pub fn pass(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        if let RehearsalClock::Hand(hand) = &self.clock {
            hand.fetch_add(millis, Ordering::SeqCst);
        }
    }

    /// Asks what became of an order's last attempt; `None` where the file has no such inquiry.
    pub async fn inquire(&self, order: &Order, operation: Operation) -> Option<ReplyMeaning> {
        let attempt = order.attempts.last()?;
        let of = &order.instruction;
        let facts = AttemptFacts {
            channel_order_no: order.channel_order_no(attempt.number),
            sent_at: attempt.sent_at,
            announced_at: attempt.announced_at,
            operation,
            merchant_id: of.merchant_id.clone(),
            amount: of.amount,
            currency: of.currency,
            description: of.description.clone(),
            channel_reference: attempt.channel_reference.clone(),
            payee_kind: of.instrument.as_ref().and_then(InstrumentFacts::account_kind),
        };
        let pan = Some(self.card().pan.clone());
        let original = self.engine().original_facts(order).await.ok()?;
        let request = ChannelRequest::Inquiry { facts, original, pan, now: self.now() };
        self.channel.far.place(&request)?;
        Some(self.channel.ask(request).await)
    }

    /// Takes what the channel tells as the daemon does; the answer is what became of it.
    pub async fn take_told(&self, told: &Unasked) -> Result<String, EngineError> {
        let notice = match &told.heard {
            Ok(notice) => notice.clone(),
            Err(refusal) => return Ok(format!("refused: {refusal}")),
        };
        let number = notice.channel_order_no;
        let order = self.order(number.order).await?;
        let amount = notice.amount.as_ref().map(|one| one.minor(order.instruction.currency));
        if amount.is_some_and(|minor| minor != Some(order.instruction.amount.get())) {
            return Ok("refused: its amount is another one".to_owned());
        }
        let heard = notice.understood.outcome.name().to_owned();
        let evidence = notice.understood.into_evidence(Source::Notice, number.attempt);
        self.engine().weigh(number.order, evidence).await?;
        Ok(format!("taken: {heard}"))
    }

    /// Takes the answer to a reversal that comes after its call, as the daemon does.
    pub async fn take_reversal(
        &self,
        number: ChannelOrderNo,
        LateReversalAnswer { understood, asked_at, .. }: LateReversalAnswer,
    ) -> Result<String, EngineError> {
        let heard = understood.outcome.name().to_owned();
        // An unknown outcome adds nothing to what is known.
        if let Outcome::Unknown(_) = understood.outcome {
            return Ok(format!("proves nothing: {heard}"));
        }
        let asked = (number.attempt, asked_at);
        self.engine().learn_reversal(number.order, asked, understood, true).await?;
        Ok(format!("taken: {heard}"))
    }

    /// Word of a success that our books do not have, as a statement or an operator's call brings
    /// it; the undo that is owed for it, if one is.
    pub async fn claim_success(&self, order: &Order) -> Result<Option<OrderId>, EngineError> {
        let number = order.channel_order_no(1);
        let reference = self.channel.far.reference_of(number);
        let approval = Approval {
            channel_reference: reference.or_else(|| Some("CLAIMED".to_owned())),
            code: "claimed".to_owned(),
            settle_mmdd: None,
            card_type: None,
        };
        let evidence = Evidence {
            source: Source::Notice,
            attempt: 1,
            outcome: Outcome::Approved(approval),
            objection: None,
            as_of: None,
            transcript: "a success that the books do not have".to_owned(),
            sent: String::new(),
        };
        self.engine().weigh(order.id, evidence).await?;
        Ok(self.undo_owed())
    }
}
