//! Runs load ▸ decide ▸ commit ▸ perform for every command.
//!
//! Upholds I-12 (callers get only what is durable). Knows the traits of store and channels alone.

mod acceptance;
pub mod agreements;
pub mod approvals;
pub mod day_close;
mod days;
mod deliveries;
mod entries;
pub mod follow_ups;
pub mod intake;
mod lessons;
pub mod link_keys;
mod numbers;
mod payment_codes;
pub mod reload;
pub mod replay;
pub mod share;
mod shares;
pub mod shared_settings;
mod vault;
mod verifications;
mod waiters;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::channel::{AttemptFacts, ChannelRequest, Channels, ReplyMeaning};
use crate::clock::Timekeeper;
use crate::codec::seal::SealError;
use crate::domain::agreement::AgreementRefusal;
use crate::domain::approval::ApprovalRefusal;
use crate::domain::attempt::{Attempt, AttemptState, Evidence, Source};
use crate::domain::card::{Pan, SealedPan};
use crate::domain::command::{CardInMemory, Command, Decision, Refusal, View};
use crate::domain::effect::{Alert, Effect};
use crate::domain::flow::decide;
use crate::domain::ids::{ApprovalId, ChannelId, OrderId};
use crate::domain::instrument::{Instrument, InstrumentFacts};
use crate::domain::lessons::CardWord;
use crate::domain::order::{ContentMismatch, Order, OrderKind};
use crate::domain::outcome::UnknownCause;
use crate::domain::payment_code::PaymentCodeRefusal;
use crate::domain::route::rates::Sample;
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;
use crate::domain::write_set::{AuditEntry, WriteSet};
use crate::store::{CommitError, Store, StoreError};
use crate::telemetry::trace::{self, TraceBook};
use crate::telemetry::{self, spans};

pub use acceptance::{Acceptance, Patience};
pub use agreements::AgreementAnswer;
use agreements::CardsAtHand;
use approvals::Consent;
use days::ShutDayCache;
pub use entries::WorkResult;
use lessons::CardLessons;
pub use numbers::{OrderNumbers, before_day_of, days_before, recent};
pub use payment_codes::{CodeTarget, PaymentCodeAnswer};
use share::NodeShare;
pub use shares::StoreShares;
pub use vault::Vault;
pub use verifications::VerificationAnswer;
use waiters::Waiters;

/// How often a command is decided again because its rows had changed meanwhile.
const CONFLICTS_MAX: u32 = 16;
/// How long what a channel said waits for a place in the store's queue before it is left to
/// recovery, which finds the attempt in the store.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);
/// The wait between two tries of a commit that found the queue full.
const BUSY_WAIT: Duration = Duration::from_millis(5);

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Agreement(#[from] AgreementRefusal),
    #[error(transparent)]
    PaymentCode(#[from] PaymentCodeRefusal),
    #[error(transparent)]
    Approval(#[from] ApprovalRefusal),
    #[error("no request for a second person has the id {id}")]
    NoSuchApproval { id: ApprovalId },
    /// The number is at hand no more, which it is for some minutes in one process.
    #[error("the card's number is needed again")]
    CardGone,
    #[error("the agreement's token cannot be opened")]
    TokenClosed,
    #[error(transparent)]
    Differs(#[from] ContentMismatch),
    #[error("no order has the id {id}")]
    NoSuchOrder { id: OrderId },
    #[error("channel `{channel}` has no file any more")]
    NoSuchChannel { channel: ChannelId },
    #[error("the store's queue is full")]
    Busy,
    #[error("the order is not durable yet; its work goes on")]
    NotDurable,
    #[error("the store cannot be reached; nothing was written")]
    Unavailable,
    #[error("the store has failed: no orders are taken until it is opened again")]
    StoreFailed,
    #[error("a stored row is damaged: an operator must look")]
    Damaged,
    #[error("the row changed under every try")]
    Contended,
    #[error("the call that carried the command out has panicked; the store has its commits")]
    Died,
    #[error("the card number cannot be sealed")]
    Seal(#[from] SealError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Wakes the workers when something is owed.
#[derive(Debug, Default)]
pub struct WorkerSignals {
    pub accounting: Notify,
    pub notices: Notify,
    pub reversals: Notify,
    /// A node was fenced: what it had in flight is ended.
    pub recovery: Notify,
    /// This node has something to announce to those that share the books.
    pub members: Notify,
}

/// How often one change was decided again because its rows had changed meanwhile. A caller that
/// changes rows loops: load, decide, [`Engine::write`].
#[derive(Debug, Default)]
pub struct CommitRounds(u32);

/// Runs commands on orders.
pub struct Engine {
    store: Arc<dyn Store>,
    channels: Arc<dyn Channels>,
    clock: Timekeeper,
    numbers: OrderNumbers,
    vault: Vault,
    waiters: Waiters,
    signals: WorkerSignals,
    days: ShutDayCache,
    share: NodeShare,
    traces: TraceBook,
    /// What channels say of cards that the BIN table has otherwise.
    lessons: CardLessons,
    /// The cards whose agreements wait for a code.
    cards: Arc<CardsAtHand>,
    /// Held by the replay that runs.
    replaying: tokio::sync::Mutex<()>,
    /// Set when the store has failed: it stays so until the process starts anew.
    failed: AtomicBool,
    failure: Notify,
}

impl Engine {
    pub fn new(
        store: Arc<dyn Store>,
        channels: Arc<dyn Channels>,
        clock: impl Into<Timekeeper>,
        vault: Vault,
        node: u16,
    ) -> Self {
        Self {
            numbers: OrderNumbers::new(Arc::clone(&store), node),
            store,
            channels,
            clock: clock.into(),
            vault,
            waiters: Waiters::default(),
            signals: WorkerSignals::default(),
            days: ShutDayCache::default(),
            share: NodeShare::default(),
            traces: TraceBook::default(),
            lessons: CardLessons::default(),
            cards: Arc::default(),
            replaying: tokio::sync::Mutex::new(()),
            failed: AtomicBool::new(false),
            failure: Notify::new(),
        }
    }

    /// Asks a channel, at the place in a trace of the order that is asked about.
    async fn call_channel(&self, channel: &ChannelId, request: ChannelRequest) -> ReplyMeaning {
        let order = request.stated().channel_order_no.order;
        let asked = self.channels.call(channel, request);
        // Without spans nobody looks where a channel was asked.
        let place = spans::queue().and_then(|_| self.traces.of(order));
        trace::within(place, asked).await
    }

    /// The traces that orders of late belong to.
    pub fn traces(&self) -> &TraceBook {
        &self.traces
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub fn channels(&self) -> &Arc<dyn Channels> {
        &self.channels
    }

    pub fn clock(&self) -> &Timekeeper {
        &self.clock
    }

    /// What channels have said of cards that the BIN table has otherwise.
    pub fn lessons(&self) -> &CardLessons {
        &self.lessons
    }

    pub fn signals(&self) -> &WorkerSignals {
        &self.signals
    }

    /// Whether orders are taken: false once the store has failed.
    pub fn takes_orders(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }

    /// Returns when the store has failed: nothing can be written until the process starts anew.
    /// Only one can wait for it.
    pub async fn store_failure(&self) {
        self.failure.notified().await;
    }

    /// An order id never given out before.
    pub async fn next_order_id(&self) -> Result<OrderId, EngineError> {
        self.numbers.next(&self.clock.present()).await.map_err(|error| self.commit_error(&error))
    }

    /// Applies a channel's reply to an attempt, on the rows as last seen if they are given.
    async fn learn(
        &self,
        id: OrderId,
        seen: Option<Box<View>>,
        attempt: u8,
        understood: ReplyMeaning,
        card: CardInMemory,
    ) -> Result<Decision, EngineError> {
        let evidence = understood.into_evidence(Source::Reply, attempt);
        let word = CardWord::of(&evidence);
        let decision = self
            .run(id, seen, move |spare_id| Command::Learn {
                evidence: evidence.clone(),
                card: card.clone(),
                spare_id,
            })
            .await?;
        self.lessons.hear(id, &decision.order, word, self.clock.now());
        Ok(decision)
    }

    /// Weighs evidence that came from outside a call: a notice, a statement line, recovery.
    pub async fn weigh(&self, id: OrderId, evidence: Evidence) -> Result<Order, EngineError> {
        let word = CardWord::of(&evidence);
        let decision = self
            .run(id, None, move |spare_id| Command::Learn {
                evidence: evidence.clone(),
                card: CardInMemory::No,
                spare_id,
            })
            .await?;
        self.lessons.hear(id, &decision.order, word, self.clock.now());
        Ok(decision.order)
    }

    /// Runs an operator's command on an entry.
    pub async fn operate(&self, id: OrderId, command: Command) -> Result<Order, EngineError> {
        Ok(self.run(id, None, move |_| command.clone()).await?.order)
    }

    /// The same with a second person's yes, in one commit.
    pub async fn operate_approved(
        &self,
        id: OrderId,
        command: Command,
        consent: &Consent,
    ) -> Result<Order, EngineError> {
        Ok(self.run_with(id, None, move |_| command.clone(), Some(consent)).await?.order)
    }

    /// Keeps what an operator did outside of the orders.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), EngineError> {
        self.record(WriteSet { audit: vec![entry], ..WriteSet::default() }).await
    }

    /// Writes rows that need no decision: deliveries and the audit trail.
    pub async fn record(&self, writes: WriteSet) -> Result<(), EngineError> {
        self.commit_patiently(&writes).await.map_err(|error| self.commit_error(&error))
    }

    /// The four beats of a command on an order, ending with what needs no channel. A view is large:
    /// it moves as a pointer, since a future has room for every place that it moves to.
    fn run(
        &self,
        id: OrderId,
        known: Option<Box<View>>,
        command: impl Fn(Option<OrderId>) -> Command,
    ) -> impl Future<Output = Result<Decision, EngineError>> {
        self.run_with(id, known, command, None)
    }

    /// The same; a second person's yes is written in the command's own commit.
    async fn run_with(
        &self,
        id: OrderId,
        mut known: Option<Box<View>>,
        command: impl Fn(Option<OrderId>) -> Command,
        consent: Option<&Consent>,
    ) -> Result<Decision, EngineError> {
        let mut tries = CommitRounds::default();
        loop {
            let mut view = match known.take() {
                Some(view) => view,
                None => Box::new(self.load(id).await?),
            };
            let (mut decision, terms) = self.decide_on(&mut view, &command).await?;
            if decision.writes.is_empty() {
                return Ok(decision);
            }
            if let Some(consent) = consent {
                Box::pin(self.join(consent, &view, &mut decision.writes)).await?;
            }
            if self.try_commit(&mut tries, &decision.writes).await? {
                self.tell_channels(&view.order, &decision.order);
                self.perform(&decision);
                return Ok(decision);
            }
            // The conflict may be a day that was shut meanwhile.
            self.days.forget(&terms.channel);
        }
    }

    /// What a command comes to on the rows as they were loaded.
    async fn decide_on(
        &self,
        view: &mut View,
        command: &impl Fn(Option<OrderId>) -> Command,
    ) -> Result<(Decision, Arc<Terms>), EngineError> {
        let (command, terms) = self.prepare(view, command).await?;
        view.shut_through = self.days.shut_through(&terms.channel, &*self.store).await?;
        Ok((decide(view, &terms, self.clock.present(), command)?, terms))
    }

    /// Writes the rows that a change has decided on, if there are any, and wakes the workers that
    /// deliver them. False if the loaded rows had changed meanwhile: the caller loads and decides
    /// anew.
    pub async fn write(
        &self,
        tries: &mut CommitRounds,
        writes: WriteSet,
    ) -> Result<bool, EngineError> {
        if writes.is_empty() {
            return Ok(true);
        }
        let (books, notices) = (!writes.accounting.is_empty(), !writes.notices.is_empty());
        let is_written = self.try_commit(tries, &writes).await?;
        if is_written && books {
            self.signals.accounting.notify_one();
        }
        if is_written && notices {
            self.signals.notices.notify_one();
        }
        Ok(is_written)
    }

    async fn try_commit(
        &self,
        tries: &mut CommitRounds,
        writes: &WriteSet,
    ) -> Result<bool, EngineError> {
        match self.commit_patiently(writes).await {
            Ok(()) => Ok(true),
            // The caller's id of an undo is unique too: another decision has just owed it.
            Err(CommitError::Conflict | CommitError::Duplicate { .. }) => {
                tries.0 += 1;
                if tries.0 < CONFLICTS_MAX { Ok(false) } else { Err(EngineError::Contended) }
            }
            Err(error) => Err(self.commit_error(&error)),
        }
    }

    /// Gives back what attempts took of their channels' limits for the day that have now ended
    /// without moving money, and counts what attempts say by now of their channels' success. An
    /// attempt that was never sent has given back its part itself.
    fn tell_channels(&self, before: &Order, after: &Order) {
        if before.id != after.id {
            return;
        }
        for (was, is) in before.attempts.iter().zip(&after.attempts) {
            let unsent = is.state == AttemptState::NotSent && is.ended_by == Some(Source::Reply);
            // Whether a process that has died took it is not known where nodes share the limit.
            let died = was.unknown_cause == Some(UnknownCause::ProcessDied)
                && self.store.cluster().is_some();
            let is_free = was.takes_volume().is_some() && is.takes_volume().is_none();
            if is_free && !unsent && !died {
                self.channels.give_back(is, after.instruction.amount);
            }
            if Sample::of(was).is_none() && Sample::of(is).is_some() {
                self.channels.count_sample(after, is);
            }
        }
    }

    /// The command with what it may need beside its rows, and the terms it is decided under.
    async fn prepare(
        &self,
        view: &View,
        command: &impl Fn(Option<OrderId>) -> Command,
    ) -> Result<(Command, Arc<Terms>), EngineError> {
        let mut prepared = command(None);
        let mut channel = view.entry.as_ref().map(|entry| &entry.channel);
        let ended = if let Command::Learn { evidence, spare_id, .. } = &mut prepared {
            let attempt = view.order.attempt(evidence.attempt);
            channel = attempt.map(|attempt| &attempt.channel).or(channel);
            let ended = attempt.is_some_and(|attempt| !attempt.state.is_unresolved());
            ended.then_some(spare_id)
        } else {
            None
        };
        if let Some(spare_id) = ended {
            *spare_id = Some(self.next_order_id().await?);
        }
        let last = view.order.attempts.last().map(|attempt| &attempt.channel);
        // A follow-up that waits to be booked has its channel, and no attempt yet.
        let planned = view.order.candidates.first().map(|candidate| &candidate.channel);
        let channel = channel.or(last).or(planned).ok_or(Refusal::NothingOpen)?;
        // A follow-up begins now, whenever its original began.
        let began = match &prepared {
            Command::FollowUp { order, .. } => order.created_at,
            Command::Release { release } => release.created_at,
            Command::Accept { .. }
            | Command::Learn { .. }
            | Command::BeginReversal
            | Command::LearnReversal { .. }
            | Command::BeginUndo
            | Command::Retry { .. }
            | Command::Resolve { .. }
            | Command::BeginFollowUp { .. }
            | Command::Withdraw { .. } => view.order.created_at,
        };
        Ok((prepared, self.terms(channel, began)?))
    }

    async fn load(&self, id: OrderId) -> Result<View, EngineError> {
        self.store.view(id).await?.ok_or(EngineError::NoSuchOrder { id })
    }

    async fn load_order(&self, id: OrderId) -> Result<Order, EngineError> {
        self.store.order(id).await?.ok_or(EngineError::NoSuchOrder { id })
    }

    /// The terms of an order that began at a moment.
    fn terms(&self, channel: &ChannelId, began: Timestamp) -> Result<Arc<Terms>, EngineError> {
        let missing = || EngineError::NoSuchChannel { channel: channel.clone() };
        self.channels.terms_at(channel, began).ok_or_else(missing)
    }

    /// Waits for a place in a full queue, or for a store that cannot be reached: a channel's answer
    /// must not be dropped for lack of a place.
    async fn commit_patiently(&self, writes: &WriteSet) -> Result<(), CommitError> {
        let deadline = Instant::now() + COMMIT_PATIENCE;
        loop {
            match self.store.commit(writes).await {
                Err(CommitError::Busy | CommitError::Unavailable(_))
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(BUSY_WAIT).await;
                }
                ended => return ended,
            }
        }
    }

    /// Remembers a failed store: its writes are never tried again in this process (I-12).
    fn commit_error(&self, error: &CommitError) -> EngineError {
        match error {
            CommitError::Busy => EngineError::Busy,
            CommitError::Unavailable(source) => {
                tracing::warn!(error = %telemetry::chain(source), "the store cannot be reached");
                EngineError::Unavailable
            }
            CommitError::Conflict | CommitError::Duplicate { .. } => EngineError::Contended,
            // One row does not read back: that is the end of this command, not of the store.
            CommitError::Failed(StoreError::Damaged { .. }) => {
                tracing::error!(
                    error = %telemetry::chain(error),
                    "a stored row is damaged; its command is not carried out"
                );
                EngineError::Damaged
            }
            CommitError::Fenced | CommitError::Failed(_) => {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        error = %telemetry::chain(error),
                        "the store has failed; no orders are taken until the process starts anew"
                    );
                    self.failure.notify_one();
                }
                EngineError::StoreFailed
            }
        }
    }

    /// Performs the effects that need no channel. The calling function has the request, and sends
    /// it.
    fn perform(&self, decision: &Decision) {
        for effect in &decision.effects {
            match effect {
                Effect::Send { .. } | Effect::SendReversal { .. } => {}
                Effect::Announce { .. } => self.waiters.announce(&decision.order),
                Effect::Book => self.signals.accounting.notify_one(),
                Effect::Notify => self.signals.notices.notify_one(),
                Effect::WorkReversals => self.signals.reversals.notify_one(),
                Effect::Alert { order, what } => alert(*order, *what),
            }
        }
        telemetry::count_end(&decision.order);
    }

    /// The card number sealed for this order, if a planned channel will need it again; the payee of
    /// a payout, which waits for accounting.
    fn seal_instrument(
        &self,
        order: &Order,
        instrument: &Instrument,
    ) -> Result<Option<SealedPan>, EngineError> {
        let card = match instrument {
            Instrument::Card { card, .. } => card,
            Instrument::Account(account) => {
                return Ok(Some(self.vault.seal_account(order.id, account)?));
            }
            // A token rests with its agreement, and a code is spent when the call ends.
            Instrument::Agreement { .. } | Instrument::Code(_) => return Ok(None),
        };
        if order.instruction.kind == OrderKind::Payout {
            return Ok(Some(self.vault.seal_payee(order.id, card)?));
        }
        let wanted = order.candidates.iter().any(|candidate| candidate.keeps_pan);
        Ok(wanted.then(|| self.vault.seal(order.id, &card.pan)).transpose()?)
    }

    /// The card number that an attempt has kept.
    fn open_pan(&self, order: OrderId, attempt: &Attempt) -> Option<Pan> {
        attempt.sealed_pan.as_ref().and_then(|sealed| self.vault.open(order, sealed))
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }
}

/// The facts about an attempt of the order that a request to a channel states.
pub(crate) fn facts(order: &Order, number: u8) -> AttemptFacts {
    let attempt = order.attempt(number).expect("the caller holds an attempt of this order");
    AttemptFacts {
        channel_order_no: order.channel_order_no(number),
        sent_at: attempt.sent_at,
        announced_at: attempt.announced_at,
        operation: attempt.operation,
        merchant_id: order.instruction.merchant_id.clone(),
        amount: order.instruction.amount,
        currency: order.instruction.currency,
        description: order.instruction.description.clone(),
        channel_reference: attempt.channel_reference.clone(),
        payee_kind: order.instruction.instrument.as_ref().and_then(InstrumentFacts::account_kind),
    }
}

fn alert(order: OrderId, what: Alert) {
    telemetry::count_alert(what);
    tracing::error!(order.id = %order, alert = what.name(), "{}", what.meaning());
}
