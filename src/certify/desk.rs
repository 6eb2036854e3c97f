//! The real engine on a store in memory, and orders given to it as a core gives them: every row
//! that a case leaves is seen.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::certify::only::{CaseAnswers, OnlyChannel};
use crate::channel::protocol::sample::{
    SAMPLE_DATE, sample_account, sample_card, sample_code, sample_sms_code,
};
use crate::clock::{Clock, stopwatch};
use crate::codec::seal::{DigestKey, SealKey, SealKeys};
use crate::domain::agreement::{Agreement, AgreementRequest, mask_phone};
use crate::domain::books::accounting::{AccountingRequest, DeliveryStatus};
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::card::{CardFacts, CardInput, CardToken, SmsCode};
use crate::domain::ids::{AgreementId, CallerId, CallerOrderId, MerchantId, OrderId};
use crate::domain::instrument::{Instrument, InstrumentFacts};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::order::{Candidate, Instruction, Order, OrderKind};
use crate::domain::payee_account::{AccountFacts, AccountKind};
use crate::domain::payer_code::CodeFacts;
use crate::domain::payment_code::PaymentCode;
use crate::domain::reversal::ReversalEntry;
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;
use crate::domain::verification::{CardVerification, VerificationRequest};
use crate::domain::write_set::{Contradiction, ReportedEnd, WriteSet};
use crate::engine::agreements::GivenCode;
use crate::engine::follow_ups::FollowUp;
use crate::engine::{Acceptance, CodeTarget, Engine, EngineError, Vault};
use crate::entropy::Entropy;
use crate::store::Store;
use crate::store::memory::MemoryStore;

/// How long a call waits for its order to be durable: in memory it is at once.
const PATIENCE: Duration = Duration::from_secs(10);

fn patience() -> tokio::time::Instant {
    tokio::time::Instant::from_std(stopwatch()) + PATIENCE
}

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
    /// What payments are made by.
    pub instrument: CaseInstrument,
    /// The kind of account that payouts go to; `None` where they go to a card.
    pub payee_kind: Option<AccountKind>,
    /// The node that works the orders: links are divided among nodes.
    pub node: u16,
}

/// What the payments of a case are made by: a card, unless the channel takes none.
#[derive(Debug, Clone)]
pub enum CaseInstrument {
    Card,
    Code,
    Agreement(CardToken),
}

/// The sample card with what an issuer compares: a verification has no expiry and no CVV.
fn verified_card() -> CardInput {
    let mut card = sample_card();
    (card.expiry, card.cvv) = (None, None);
    card
}

/// Who pays with a code that is sent for the payment.
#[derive(Clone, Copy)]
pub enum CodedInstrument<'a> {
    /// The sample card.
    Card,
    Agreement(&'a Agreement),
}

/// The core's side of a case: an engine with one channel, and what it has written.
pub struct CaseDesk {
    engine: Arc<Engine>,
    terms: Arc<Terms>,
    rows: Arc<Mutex<RowsSeen>>,
    card: Arc<CardInput>,
    subject: CaseSubject,
    next: AtomicI64,
}

impl CaseDesk {
    pub fn new(
        answers: Arc<dyn CaseAnswers>,
        terms: Arc<Terms>,
        clock: Clock,
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
        let store: Arc<dyn Store> = Arc::new(store);
        let channels = Arc::new(OnlyChannel { terms: Arc::clone(&terms), answers });
        let engine = Arc::new(Engine::new(store, channels, clock, vault, subject.node));
        let (card, next) = (Arc::new(sample_card()), AtomicI64::new(1));
        Self { engine, terms, rows, card, subject, next }
    }

    pub const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub const fn card(&self) -> &Arc<CardInput> {
        &self.card
    }

    pub fn rows(&self) -> MutexGuard<'_, RowsSeen> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> (CallerId, CallerOrderId) {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        (CallerId::from_stored("core"), CallerOrderId::from_stored(&format!("rehearsal-{number}")))
    }

    fn card_facts(&self) -> CardFacts {
        let digests = self.engine.vault().digests(&self.card);
        CardFacts { masked: self.card.pan.masked(), digests, row: None }
    }

    /// The sample card, and what an order keeps of it.
    fn by_card(&self) -> (Instrument, InstrumentFacts) {
        (sample_card().into(), self.card_facts().into())
    }

    /// The same of a payer's code.
    fn by_code(&self) -> (Instrument, InstrumentFacts) {
        let code = sample_code();
        let (masked, digest) = (code.masked(), self.engine.vault().code_digest(&code));
        (Instrument::Code(code), InstrumentFacts::Code(CodeFacts { masked, digest }))
    }

    /// The same of an agreement, which was made before the case began.
    fn by_agreement(&self, token: CardToken) -> (Instrument, InstrumentFacts) {
        let id = AgreementId::of(OrderId::compose(SAMPLE_DATE, 1, 1));
        let facts = InstrumentFacts::Agreement { id, card: self.card_facts() };
        (Instrument::Agreement { token, sms_code: None }, facts)
    }

    /// The same of a payee's account.
    fn by_account(&self, kind: AccountKind) -> (Instrument, InstrumentFacts) {
        let account = sample_account(kind);
        let digests = self.engine.vault().account_digests(&account);
        let facts = AccountFacts { kind, masked: account.masked(), digests };
        (account.into(), InstrumentFacts::Account(facts))
    }

    /// Takes an order that begins with an instrument as far as one call does.
    pub async fn charge(&self, kind: OrderKind) -> Result<Order, EngineError> {
        let CaseSubject { instrument, payee_kind, .. } = self.subject.clone();
        let instrument = match (kind == OrderKind::Payout, payee_kind, instrument) {
            (true, Some(kind), _) => self.by_account(kind),
            (true, None, _) | (false, _, CaseInstrument::Card) => self.by_card(),
            (false, _, CaseInstrument::Code) => self.by_code(),
            (false, _, CaseInstrument::Agreement(token)) => self.by_agreement(token),
        };
        self.take(kind, instrument, None).await
    }

    async fn take(
        &self,
        kind: OrderKind,
        (instrument, facts): (Instrument, InstrumentFacts),
        code: Option<PaymentCode>,
    ) -> Result<Order, EngineError> {
        let mut instruction = self.instruction(kind, facts);
        let id = match code.as_ref().and_then(PaymentCode::payable) {
            Some(call) => call.order,
            None => self.engine.next_order_id().await?,
        };
        if let Some(code) = &code {
            instruction.caller_order_id = code.asked.caller_order_id.clone();
        }
        let code = code.map(Box::new);
        let mut order = Order::accepted(id, instruction, self.engine.clock().now());
        let (channel, keeps_pan) = (self.terms.channel.clone(), self.terms.keeps_pan);
        order.candidates = vec![Candidate { channel, keeps_pan }];
        let until = patience();
        let accepted = self.engine.accept(order, Arc::new(instrument), code, until).await?;
        Acceptance::outcome(accepted).await
    }

    fn instruction(&self, kind: OrderKind, facts: InstrumentFacts) -> Instruction {
        let (caller, own) = self.name();
        let CaseSubject { merchant, amount, currency, .. } = self.subject.clone();
        Instruction {
            instrument: Some(facts),
            description: Some("rehearsal".to_owned()),
            ..Instruction::new(caller, own, kind, merchant, amount, currency)
        }
    }

    /// Takes a payout, has it booked, and carries it out.
    pub async fn pay_out(&self) -> Result<Order, EngineError> {
        let order = self.charge(OrderKind::Payout).await?;
        self.book().await?;
        self.order(order.id).await
    }

    /// Has a code sent that binds the sample card.
    pub async fn open_agreement(&self) -> Result<Agreement, EngineError> {
        let (caller, caller_order_id) = self.name();
        let phone = self.card.phone.as_deref().map(mask_phone).unwrap_or_default();
        let (merchant_id, card) = (self.subject.merchant.clone(), self.card_facts());
        let asked = AgreementRequest { caller, caller_order_id, merchant_id, card, phone };
        let (card, channel) = (sample_card(), self.terms.channel.clone());
        let opened = self.engine.open_agreement(asked, card, channel, patience()).await?;
        Ok(opened.agreement)
    }

    /// Gives the code that its holder got.
    pub async fn confirm_agreement(&self, id: AgreementId) -> Result<Agreement, EngineError> {
        let given = GivenCode { code: sample_sms_code(), card: Some(sample_card()) };
        Ok(self.engine.confirm_agreement(id, given, patience()).await?.agreement)
    }

    pub async fn end_agreement(&self, id: AgreementId) -> Result<Agreement, EngineError> {
        Ok(self.engine.end_agreement(id, patience()).await?.agreement)
    }

    /// Has the sample card verified.
    pub async fn verify(&self) -> Result<CardVerification, EngineError> {
        let (caller, caller_order_id) = self.name();
        let digests = self.engine.vault().digests(&verified_card());
        let merchant_id = self.subject.merchant.clone();
        let asked = VerificationRequest { caller, caller_order_id, merchant_id, digests };
        self.verify_as(asked).await
    }

    /// Asks for the same once more.
    pub async fn verify_again(
        &self,
        kept: &CardVerification,
    ) -> Result<CardVerification, EngineError> {
        self.verify_as(kept.asked.clone()).await
    }

    async fn verify_as(&self, asked: VerificationRequest) -> Result<CardVerification, EngineError> {
        let channels = vec![self.terms.channel.clone()];
        let answer = self.engine.verify(asked, verified_card(), channels, patience()).await?;
        Ok(answer.verification)
    }

    /// Has the code of one payment sent.
    pub async fn send_payment_code(
        &self,
        by: CodedInstrument<'_>,
    ) -> Result<PaymentCode, EngineError> {
        let (_, facts) = self.coded(by, None)?;
        let asked = self.instruction(OrderKind::Payment, facts).code_request();
        let asked = asked.expect("codes by SMS go with cards and agreements");
        let (channel, order) = (self.terms.channel.clone(), self.engine.next_order_id().await?);
        let row = PaymentCode::begun(asked, channel, order, self.engine.clock().now());
        self.send_code(row, by).await
    }

    /// Has another code of the same payment sent.
    pub async fn send_code_again(
        &self,
        kept: &PaymentCode,
        by: CodedInstrument<'_>,
    ) -> Result<PaymentCode, EngineError> {
        let order = self.engine.next_order_id().await?;
        let row = kept.again(order, None, &self.engine.clock().present())?;
        self.send_code(row, by).await
    }

    async fn send_code(
        &self,
        row: PaymentCode,
        by: CodedInstrument<'_>,
    ) -> Result<PaymentCode, EngineError> {
        let target = match by {
            CodedInstrument::Card => CodeTarget::Card(Arc::clone(&self.card)),
            CodedInstrument::Agreement(by) => CodeTarget::Agreement(self.engine.payable_token(by)?),
        };
        Ok(self.engine.send_code(row, target, patience()).await?.code)
    }

    /// What a payment with a code is paid by, and what its order keeps of it.
    fn coded(
        &self,
        by: CodedInstrument<'_>,
        sms_code: Option<SmsCode>,
    ) -> Result<(Instrument, InstrumentFacts), EngineError> {
        Ok(match by {
            CodedInstrument::Card => {
                (Instrument::Card { card: sample_card(), sms_code }, self.card_facts().into())
            }
            CodedInstrument::Agreement(by) => {
                let token = self.engine.payable_token(by)?;
                let facts = InstrumentFacts::Agreement { id: by.id, card: by.asked.card.clone() };
                (Instrument::Agreement { token, sms_code }, facts)
            }
        })
    }

    /// Takes a payment as far as one call does, with the payment's own code where it has one.
    pub async fn pay_by(
        &self,
        by: CodedInstrument<'_>,
        code: Option<PaymentCode>,
    ) -> Result<Order, EngineError> {
        let code = code.filter(|code| code.payable().is_some());
        let payer = self.coded(by, code.is_some().then(sample_sms_code))?;
        self.take(OrderKind::Payment, payer, code).await
    }

    /// Takes a follow-up of an order, has it booked where that comes first, and carries it out.
    pub async fn follow_up(&self, of: &Order, kind: OrderKind) -> Result<Order, EngineError> {
        let (caller, own) = self.name();
        let instruction = Instruction::on(of, kind, caller, own);
        let card = self.terms.follow_up_needs_card.then(|| Arc::clone(&self.card));
        let asked = FollowUp { instruction, amount: None, card, most_minor: None, approved: None };
        let until = patience();
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
