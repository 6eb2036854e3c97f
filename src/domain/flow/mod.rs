//! `decide`: a command and the loaded rows in; rows to write and effects owed out.
//!
//! This is where the promise lives. It upholds I-1 (an attempt's row is in the write set whose
//! commit precedes its `Send`), I-3, I-4, I-5, I-6, I-7 and I-8, and sweeps them over every
//! decision before it leaves. A failed assertion ends one command before its commit, which leaves
//! nothing half-written.

mod contradiction;
mod follow_up;
mod learn;
mod operator;
mod payout;
mod release;
mod reverse;
mod sweep;
mod undo;

use crate::domain::attempt::{Attempt, AttemptState, Operation};
use crate::domain::books::accounting::Delivery;
use crate::domain::command::{CardInMemory, Command, Decision, Refusal, View};
use crate::domain::effect::{Alert, Effect};
use crate::domain::event::{EventKind, OrderEvent};
use crate::domain::ids::{ATTEMPTS_MAX, ChannelId};
use crate::domain::order::{Order, OrderKind, OrderStatus};
use crate::domain::outcome::Reason;
use crate::domain::payment_code::PaymentCode;
use crate::domain::reversal::{Phase, ReversalEntry};
use crate::domain::terms::Terms;
use crate::domain::time::{Present, Timestamp};
use crate::domain::write_set::{CoreNotice, EntryChange, WriteSet};
use reverse::ReversalAnswer;

/// Decides one command. Pure: the same arguments give the same decision.
///
/// `terms` are those of the channel whose attempt the command is about; for `Accept` those of the
/// first candidate, for `Release` and `FollowUp` those of the channel that took the payment.
pub fn decide(
    view: &View,
    terms: &Terms,
    present: Present,
    command: Command,
) -> Result<Decision, Refusal> {
    let mut work = DecisionDraft::on(view, terms, present);
    match command {
        Command::Accept { card, code } => work.accept(&card, code.as_deref())?,
        Command::Learn { evidence, card, spare_id } => work.learn(&evidence, &card, spare_id)?,
        Command::BeginReversal => work.begin_reversal()?,
        Command::LearnReversal {
            attempt,
            outcome,
            objection,
            transcript,
            sent,
            asked_at,
            is_late,
        } => {
            let answer = ReversalAnswer { outcome, objection, transcript, sent };
            work.learn_reversal(attempt, answer, asked_at, is_late)?;
        }
        Command::BeginUndo => work.begin_undo()?,
        Command::Retry { decider } => work.retry(decider)?,
        Command::Resolve { resolution, decider } => work.resolve(resolution, decider)?,
        Command::Release { release } => work.release(*release)?,
        Command::FollowUp { order, card, wanted_by } => work.follow_up(*order, card, wanted_by)?,
        Command::BeginFollowUp { booked } => work.begin_follow_up(*booked)?,
        Command::Withdraw { booked, decider } => work.withdraw(*booked, decider)?,
    }
    Ok(work.finish())
}

/// A decision in the making.
struct DecisionDraft<'a> {
    view: &'a View,
    terms: &'a Terms,
    /// The time for rules of age and of days; `now` is for stamps and waits.
    present: Present,
    now: Timestamp,
    order: Order,
    /// The order that it refers to; written if its claims change.
    original: Option<Order>,
    entry: Option<ReversalEntry>,
    /// A request that was to be booked first may be in accounting's books without an
    /// acknowledgement.
    booked_perhaps: bool,
    /// What happened, in its order; written with the order's next version.
    events: Vec<OrderEvent>,
    writes: WriteSet,
    effects: Vec<Effect>,
}

impl<'a> DecisionDraft<'a> {
    fn on(view: &'a View, terms: &'a Terms, present: Present) -> Self {
        Self {
            view,
            terms,
            present,
            now: present.now(),
            order: view.order.clone(),
            original: view.original.as_ref().map(|original| original.order.clone()),
            entry: view.entry.clone(),
            booked_perhaps: false,
            events: Vec::new(),
            writes: WriteSet::default(),
            effects: Vec::new(),
        }
    }

    fn accept(&mut self, card: &CardInMemory, code: Option<&PaymentCode>) -> Result<(), Refusal> {
        assert_eq!(self.order.version, 0, "an order is accepted once");
        assert!(self.order.attempts.is_empty(), "a new order has not been tried");
        match self.order.instruction.kind {
            OrderKind::Payout => self.accept_payout(card)?,
            _ => self.try_next(card)?,
        }
        if let Some(code) = code {
            self.spend(code);
        }
        Ok(())
    }

    /// Gives the first attempt the number and time under which its code was sent. The commit that
    /// makes it durable spends the code, so that no two payments have one.
    fn spend(&mut self, code: &PaymentCode) {
        let call = code.payable().expect("a payment names a code that may have come");
        assert_eq!(call.order, self.order.id, "the code is bound to the payment's number");
        assert!(self.order.candidates.is_empty(), "no other channel knows the code");
        let attempt = self.order.attempt_mut(1).expect("it was just pushed");
        assert_eq!(attempt.channel, code.channel, "the code is the channel's own");
        attempt.announced_at = Some(call.sent_at);
        self.writes.payment_codes.push(code.spent(self.now));
    }

    /// Makes the next candidate's attempt durable and owes its sending (I-1, I-4).
    fn try_next(&mut self, card: &CardInMemory) -> Result<(), Refusal> {
        assert!(self.order.unresolved().is_none(), "I-4: nothing else may have been sent");
        let CardInMemory::Yes { sealed } = card else { return Err(Refusal::NoCandidate) };
        if self.order.candidates.is_empty() || self.order.attempts.len() >= ATTEMPTS_MAX.into() {
            return Err(Refusal::NoCandidate);
        }
        // The last attempt may have been open for a while before its own reply ended it.
        self.entry = None;
        let candidate = self.order.candidates.remove(0);
        let operation = self.order.instruction.kind.operation().expect("only a release has none");
        assert!(operation.begins_with_card(), "I-4: a follow-up has one channel");
        let number = self.push_attempt(candidate.channel, operation);
        if candidate.keeps_pan {
            let attempt = self.order.attempt_mut(number).expect("it was just pushed");
            attempt.sealed_pan.clone_from(sealed);
        }
        Ok(())
    }

    fn push_attempt(&mut self, channel: ChannelId, operation: Operation) -> u8 {
        let number = add_attempt(&mut self.order, channel, operation, self.now);
        self.effects.push(Effect::Send { order: self.order.id, attempt: number });
        number
    }

    /// Ends the order, gives back what it had claimed without coming about, and owes the core its
    /// notice.
    fn finish_order(&mut self, status: OrderStatus, reason: Option<Reason>) {
        self.order.reason = reason;
        // What a payout that never left was booked on is named by its plan, which ends with it.
        if status != OrderStatus::Succeeded && self.order.instruction.kind == OrderKind::Payout {
            self.take_payout_back();
        }
        self.order.finish(status, self.now);
        self.entry = None;
        if status != OrderStatus::Succeeded && self.order.instruction.kind.is_follow_up() {
            self.give_back();
        }
        self.effects.push(Effect::Announce { order: self.order.id });
        let order = self.order.clone();
        self.owe_notice(&order);
    }

    /// Owes the core the news of an order's end. The core did not ask for the orders that we owe
    /// ourselves.
    fn owe_notice(&mut self, order: &Order) {
        if matches!(order.instruction.kind, OrderKind::Undo { .. }) {
            return;
        }
        let Some(url) =
            order.instruction.notify_url.clone().or_else(|| self.terms.notice_url.clone())
        else {
            return;
        };
        let (order, created_at) = (order.id, self.now);
        let delivery = Delivery::owed(self.now);
        self.writes.notices.push(CoreNotice { order, url, created_at, delivery });
        self.effects.push(Effect::Notify);
    }

    /// An event of this order, now.
    fn event(&self, kind: EventKind, attempt: u8) -> OrderEvent {
        OrderEvent::new(self.order.id, self.now, kind, attempt)
    }

    fn alert(&mut self, what: Alert) {
        self.effects.push(Effect::Alert { order: self.order.id, what });
    }

    /// Writes down what changed, and sweeps the invariants.
    fn finish(mut self) -> Decision {
        // The order's version guards its entry too: two decisions on one state of the pair can
        // never both be written, even where one of them would touch the entry alone.
        if self.order != self.view.order || self.entry != self.view.entry {
            self.order.version += 1;
            self.writes.orders.insert(0, self.order.clone());
        }
        let before = self.view.original.as_ref().map(|original| &original.order);
        if self.original.as_ref() != before
            && let Some(original) = &mut self.original
        {
            original.version += 1;
            self.writes.orders.push(original.clone());
        }
        match (&self.view.entry, self.entry.take()) {
            (Some(old), None) => {
                let gone = EntryChange::Remove { order: old.order, version: old.version };
                self.writes.entries.push(gone);
            }
            (old, Some(mut entry)) if old.as_ref() != Some(&entry) => {
                let handed = entry.phase == Phase::Operator
                    && old.as_ref().is_none_or(|old| old.phase != Phase::Operator);
                if handed {
                    self.events.push(self.event(EventKind::HandedOver, entry.attempt));
                    self.effects
                        .push(Effect::Alert { order: self.order.id, what: Alert::OperatorNeeded });
                }
                entry.version += 1;
                self.entry = Some(entry.clone());
                self.writes.entries.push(EntryChange::Put(entry));
                self.effects.push(Effect::WorkReversals);
            }
            (_, unchanged) => self.entry = unchanged,
        }
        self.write_events();
        self.sweep();
        Decision { writes: self.writes, effects: self.effects, order: self.order }
    }

    /// Gives each event its place. Where the order stands as it stood, nothing has happened to it.
    fn write_events(&mut self) {
        let version = self.order.version;
        if version == self.view.order.version {
            return;
        }
        for (ordinal, event) in (0..=u8::MAX).zip(std::mem::take(&mut self.events)) {
            self.writes.events.push(OrderEvent { version, ordinal, ..event });
        }
    }
}

/// Adds an attempt that is about to be sent.
fn add_attempt(order: &mut Order, channel: ChannelId, operation: Operation, now: Timestamp) -> u8 {
    let number = u8::try_from(order.attempts.len() + 1).expect("bounded by ATTEMPTS_MAX");
    order.attempts.push(Attempt {
        number,
        channel,
        operation,
        state: AttemptState::Sending,
        sent_at: now,
        announced_at: None,
        channel_reference: None,
        acknowledged_at: None,
        code: None,
        reason: None,
        unknown_cause: None,
        objection: None,
        unresolved_at: None,
        ended_at: None,
        ended_by: None,
        sealed_pan: None,
    });
    order.status = OrderStatus::Processing;
    number
}
