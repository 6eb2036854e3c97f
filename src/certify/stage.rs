//! The real engine on a store in memory, with a clock that is moved by hand: an hour's wait is over
//! at once, and every row that a case leaves is seen.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::certify::channel::DeskChannel;
use crate::channel::protocol::sample::{sample_card, sample_code};
use crate::channel::{Adapter, AttemptFacts, ChannelRequest, ReplyMeaning, WireNotice};
use crate::clock::{Clock, stopwatch};
use crate::codec::seal::{DigestKey, SealKey, SealKeys};
use crate::domain::books::accounting::{AccountingRequest, DeliveryStatus};
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::card::{CardFacts, CardInput};
use crate::domain::flow::attempt::{Evidence, Operation, Source};
use crate::domain::flow::order::{Candidate, Instruction, Order, OrderKind};
use crate::domain::flow::reversal::ReversalEntry;
use crate::domain::ids::{CallerId, CallerOrderId, MerchantId, OrderId};
use crate::domain::instrument::{Instrument, InstrumentFacts};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::outcome::{Approval, Outcome};
use crate::domain::payer_code::CodeFacts;
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;
use crate::domain::write_set::{Contradiction, ReportedEnd, WriteSet};
use crate::engine::follow_ups::FollowUp;
use crate::engine::{Acceptance, Engine, EngineError, Vault};
use crate::entropy::Entropy;
use crate::store::Store;
use crate::store::memory::MemoryStore;

/// Rounds of work on one order before it counts as one that never ends.
const ROUNDS_MAX: usize = 400;
/// How long a call waits for its order to be durable: in memory it is at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// The rows that a case has written.
#[derive(Default)]
pub struct RowsSeen {
    pub transactions: Vec<OrderId>,
    pub clearing: Vec<ClearingRecord>,
    pub contradictions: Vec<Contradiction>,
    pub accounting: Vec<AccountingRequest>,
    undos: Vec<OrderId>,
}

impl RowsSeen {
    fn see(&mut self, writes: &WriteSet) {
        self.transactions.extend(writes.transactions.iter().map(|one| one.order));
        self.clearing.extend(writes.clearing.iter().cloned());
        self.contradictions.extend(writes.contradictions.iter().cloned());
        for request in &writes.accounting {
            self.accounting.retain(|one| one.id != request.id);
            self.accounting.push(request.clone());
        }
        let undos = writes.orders.iter();
        let undos = undos.filter(|one| matches!(one.instruction.kind, OrderKind::Undo { .. }));
        for undo in undos {
            if !self.undos.contains(&undo.id) {
                self.undos.push(undo.id);
            }
        }
    }
}

/// What the orders of a case are about.
#[derive(Debug, Clone)]
pub struct CaseSubject {
    pub merchant: MerchantId,
    pub amount: AmountMinor,
    pub currency: Currency,
    /// Whether payments are made by a payer's code, since the channel takes no card.
    pub by_code: bool,
}

/// The clock of a rehearsal.
pub enum RehearsalClock {
    /// Moved by hand: waits are over at once. The channel's clock reads the same hand.
    Hand(Arc<AtomicI64>),
    /// The machine's, at a real host; nothing is waited for longer than this.
    Machine { patience: Duration },
}

/// One engine with one channel.
pub struct RehearsalStage {
    engine: Arc<Engine>,
    pub channel: Arc<DeskChannel>,
    terms: Arc<Terms>,
    adapter: Arc<dyn Adapter>,
    clock: RehearsalClock,
    rows: Arc<Mutex<RowsSeen>>,
    card: Arc<CardInput>,
    subject: CaseSubject,
    next: AtomicI64,
}

impl RehearsalStage {
    pub fn new(
        channel: DeskChannel,
        adapter: Arc<dyn Adapter>,
        terms: Arc<Terms>,
        clock: RehearsalClock,
        subject: CaseSubject,
    ) -> Self {
        let store = MemoryStore::new();
        let rows: Arc<Mutex<RowsSeen>> = Arc::default();
        let seen = Arc::clone(&rows);
        store.on_commit(Box::new(move |writes| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).see(writes);
        }));
        let keys = SealKey::new("rehearsal", &[7; 32]).expect("32 bytes");
        let vault = Vault::new(
            SealKeys::new(keys, Vec::new()).expect("one key"),
            DigestKey::new(&[9; 32]).expect("32 bytes"),
            Entropy::seeded(1),
        );
        let channel = Arc::new(channel);
        let channels: Arc<DeskChannel> = Arc::clone(&channel);
        let store: Arc<dyn Store> = Arc::new(store);
        let read = match &clock {
            RehearsalClock::Hand(hand) => Clock::Manual(Arc::clone(hand)),
            RehearsalClock::Machine { .. } => Clock::System,
        };
        let engine = Arc::new(Engine::new(store, channels, read, vault, 1));
        let (card, next) = (Arc::new(sample_card()), AtomicI64::new(1));
        Self { engine, channel, terms, adapter, clock, rows, card, subject, next }
    }

    pub fn rows(&self) -> MutexGuard<'_, RowsSeen> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> (CallerId, CallerOrderId) {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        (CallerId::from_stored("core"), CallerOrderId::from_stored(&format!("rehearsal-{number}")))
    }

    /// The sample card, and what an order keeps of it.
    fn by_card(&self) -> (Instrument, InstrumentFacts) {
        let digests = self.engine.vault().digests(&self.card);
        let facts = CardFacts { masked: self.card.pan.masked(), digests, row: None };
        (sample_card().into(), facts.into())
    }

    /// The same of a payer's code.
    fn by_code(&self) -> (Instrument, InstrumentFacts) {
        let code = sample_code();
        let (masked, digest) = (code.masked(), self.engine.vault().code_digest(&code));
        (Instrument::Code(code), InstrumentFacts::Code(CodeFacts { masked, digest }))
    }

    /// Takes an order that begins with an instrument as far as one call does.
    pub async fn charge(&self, kind: OrderKind) -> Result<Order, EngineError> {
        let id = self.engine.next_order_id().await?;
        let (caller, own) = self.name();
        let CaseSubject { merchant, amount, currency, by_code } = self.subject.clone();
        let (instrument, facts) = match by_code && kind != OrderKind::Payout {
            true => self.by_code(),
            false => self.by_card(),
        };
        let instruction = Instruction {
            instrument: Some(facts),
            description: Some("rehearsal".to_owned()),
            ..Instruction::new(caller, own, kind, merchant, amount, currency)
        };
        let mut order = Order::accepted(id, instruction, self.engine.clock().now());
        let (channel, keeps_pan) = (self.terms.channel.clone(), self.terms.keeps_pan);
        order.candidates = vec![Candidate { channel, keeps_pan }];
        let until = tokio::time::Instant::from_std(stopwatch()) + PATIENCE;
        let accepted = self.engine.accept(order, Arc::new(instrument), until).await?;
        Acceptance::outcome(accepted).await
    }

    /// Takes a payout, has it booked, and carries it out.
    pub async fn pay_out(&self) -> Result<Order, EngineError> {
        let order = self.charge(OrderKind::Payout).await?;
        self.book().await?;
        self.order(order.id).await
    }

    /// Takes a follow-up of an order, has it booked where that comes first, and carries it out.
    pub async fn follow_up(&self, of: &Order, kind: OrderKind) -> Result<Order, EngineError> {
        let (caller, own) = self.name();
        let instruction = Instruction::on(of, kind, caller, own);
        let card = self.terms.follow_up_needs_card.then(|| Arc::clone(&self.card));
        let asked = FollowUp { instruction, amount: None, card };
        let until = tokio::time::Instant::from_std(stopwatch()) + PATIENCE;
        let accepted = self.engine.follow_up(asked, until).await?;
        let order = Acceptance::outcome(accepted).await?;
        self.book().await?;
        self.order(order.id).await
    }

    /// The accounting system takes everything that it is owed.
    async fn book(&self) -> Result<(), EngineError> {
        let owed: Vec<AccountingRequest> = {
            let rows = self.rows();
            let owed = |one: &&AccountingRequest| one.delivery.status == DeliveryStatus::Owed;
            rows.accounting.iter().filter(owed).cloned().collect()
        };
        for mut request in owed {
            request.delivery.version += 1;
            request.delivery.tries += 1;
            request.delivery.status = DeliveryStatus::Acknowledged;
            request.delivery.acknowledged_at = Some(self.engine.clock().now());
            if let Some(id) = self.engine.acknowledge(request).await? {
                self.engine.carry_out(id).await?;
            }
        }
        Ok(())
    }

    pub async fn order(&self, id: OrderId) -> Result<Order, EngineError> {
        self.engine.store().order(id).await?.ok_or(EngineError::NoSuchOrder { id })
    }

    pub async fn entry(&self, id: OrderId) -> Result<Option<ReversalEntry>, EngineError> {
        Ok(self.engine.store().reversal(id).await?)
    }

    /// Works an order's entry, each time when it is due, until nothing is due any more.
    pub async fn drain(&self, id: OrderId) -> Result<Order, EngineError> {
        let began = self.now();
        for _ in 0..ROUNDS_MAX {
            let Some(entry) = self.entry(id).await? else { break };
            let Some(due_at) = entry.due_at else { break };
            match &self.clock {
                RehearsalClock::Hand(hand) => {
                    hand.fetch_max(due_at.as_millis(), Ordering::SeqCst);
                }
                RehearsalClock::Machine { patience } if due_at.since(began) > *patience => break,
                RehearsalClock::Machine { .. } => {
                    tokio::time::sleep(due_at.since(self.now())).await;
                }
            }
            self.engine.work(&entry).await?;
        }
        self.order(id).await
    }

    /// Works an order's entry once.
    pub async fn work_once(&self, id: OrderId) -> Result<(), EngineError> {
        if let Some(entry) = self.entry(id).await? {
            self.engine.work(&entry).await?;
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
            operation,
            merchant_id: of.merchant_id.clone(),
            amount: of.amount,
            currency: of.currency,
            description: of.description.clone(),
            channel_reference: attempt.channel_reference.clone(),
        };
        let pan = Some(self.card.pan.clone());
        let original = self.engine.original_facts(order).await.ok()?;
        let request = ChannelRequest::Inquiry { facts, original, pan, now: self.now() };
        self.channel.far.section(&request)?;
        Some(self.channel.ask(request).await)
    }

    /// Takes a notice as the daemon does; the answer is what became of it.
    pub async fn take_notice(&self, wire: &WireNotice) -> Result<String, EngineError> {
        let now = self.engine.clock().now();
        let notice = match self.adapter.decode_notice(wire, now) {
            Ok(notice) => notice,
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
        self.engine.weigh(number.order, evidence).await?;
        Ok(format!("taken: {heard}"))
    }

    /// Word of a success that our books do not have, as a statement or an operator's call brings
    /// it; the undo that is owed for it, if one is.
    pub async fn claim_success(&self, order: &Order) -> Result<Option<OrderId>, EngineError> {
        let approval = Approval {
            channel_reference: Some("CLAIMED".to_owned()),
            code: "claimed".to_owned(),
            settle_mmdd: None,
        };
        let evidence = Evidence {
            source: Source::Notice,
            attempt: 1,
            outcome: Outcome::Approved(approval),
            objection: None,
            as_of: None,
            transcript: "a success that the books do not have".to_owned(),
        };
        self.engine.weigh(order.id, evidence).await?;
        Ok(self.undo_owed())
    }

    /// The undo that the case has brought about.
    pub fn undo_owed(&self) -> Option<OrderId> {
        self.rows().undos.last().copied()
    }

    /// How often a contradiction of this kind was written.
    pub fn contradictions(&self, order: OrderId, reported: ReportedEnd) -> usize {
        let rows = self.rows();
        let like = |one: &&Contradiction| one.order == order && one.reported == reported;
        rows.contradictions.iter().filter(like).count()
    }

    pub fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }
}
