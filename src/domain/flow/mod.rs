//! `decide`: a command and the loaded rows in; rows to write and effects owed out.
//!
//! This is where the promise lives. It upholds I-1 (an attempt's row is in the batch whose commit
//! precedes its `Send`), I-3, I-4, I-5, I-6, I-7 and I-8, and sweeps them over every decision
//! before it leaves. A failed assertion ends one command before its commit, which leaves nothing
//! half-written.

pub mod attempt;
pub mod order;
pub mod reversal;

mod contradiction;
mod learn;
mod operator;
mod release;
mod undo;

use crate::domain::batch::{Batch, CoreNotice, EntryChange};
use crate::domain::books::accounting::{Delivery, DeliveryStatus};
use crate::domain::command::{CardAtHand, Command, Decision, Refusal, View};
use crate::domain::effect::{Alert, Effect};
use crate::domain::ids::ATTEMPTS_MAX;
use crate::domain::outcome::Reason;
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;
use attempt::{Attempt, AttemptState, Operation};
use order::{Order, OrderKind, OrderStatus};
use reversal::{Phase, ReversalEntry};

/// Decides one command. Pure: the same arguments give the same decision.
///
/// `terms` are those of the channel whose attempt the command is about; for `Accept` those of the
/// first candidate, for `Release` those of the channel that took the payment.
pub fn decide(
    view: &View,
    terms: &Terms,
    now: Timestamp,
    command: Command,
) -> Result<Decision, Refusal> {
    let mut work = Work::on(view, terms, now);
    match command {
        Command::Accept { card } => work.accept(&card)?,
        Command::Learn { evidence, card, spare_id } => work.learn(&evidence, &card, spare_id)?,
        Command::BeginReversal => work.begin_reversal()?,
        Command::LearnReversal { attempt, outcome, voucher } => {
            work.learn_reversal(attempt, &outcome, &voucher)?;
        }
        Command::BeginUndo => work.begin_undo()?,
        Command::Retry { decider } => work.retry(decider)?,
        Command::Resolve { resolution, decider } => work.resolve(resolution, decider)?,
        Command::Release { release } => work.release(*release)?,
    }
    Ok(work.finish())
}

/// A decision in the making.
struct Work<'a> {
    view: &'a View,
    terms: &'a Terms,
    now: Timestamp,
    order: Order,
    entry: Option<ReversalEntry>,
    batch: Batch,
    effects: Vec<Effect>,
}

impl<'a> Work<'a> {
    fn on(view: &'a View, terms: &'a Terms, now: Timestamp) -> Self {
        Self {
            view,
            terms,
            now,
            order: view.order.clone(),
            entry: view.entry.clone(),
            batch: Batch::default(),
            effects: Vec::new(),
        }
    }

    fn accept(&mut self, card: &CardAtHand) -> Result<(), Refusal> {
        assert_eq!(self.order.version, 0, "an order is accepted once");
        assert!(self.order.attempts.is_empty(), "a new order has not been tried");
        self.try_next(card)
    }

    /// Makes the next candidate's attempt durable and owes its sending (I-1, I-4).
    fn try_next(&mut self, card: &CardAtHand) -> Result<(), Refusal> {
        assert!(self.order.unresolved().is_none(), "I-4: nothing else may have been sent");
        let CardAtHand::Yes { sealed } = card else { return Err(Refusal::NoCandidate) };
        if self.order.candidates.is_empty() || self.order.attempts.len() >= ATTEMPTS_MAX.into() {
            return Err(Refusal::NoCandidate);
        }
        // The last attempt may have been open for a while before its own reply ended it.
        self.entry = None;
        let candidate = self.order.candidates.remove(0);
        let number = self.push_attempt(candidate.channel, Operation::Payment);
        if candidate.keeps_pan {
            let attempt = self.order.attempt_mut(number).expect("it was just pushed");
            attempt.sealed_pan.clone_from(sealed);
        }
        Ok(())
    }

    fn push_attempt(&mut self, channel: crate::domain::ids::ChannelId, operation: Operation) -> u8 {
        let number = u8::try_from(self.order.attempts.len() + 1).expect("bounded by ATTEMPTS_MAX");
        self.order.attempts.push(Attempt {
            number,
            channel,
            operation,
            state: AttemptState::Sending,
            sent_at: self.now,
            channel_reference: None,
            code: None,
            reason: None,
            unknown_cause: None,
            unresolved_at: None,
            ended_at: None,
            ended_by: None,
            sealed_pan: None,
        });
        self.order.status = OrderStatus::Processing;
        self.effects.push(Effect::Send { order: self.order.id, attempt: number });
        number
    }

    /// Ends the order without success, and owes the core its notice.
    fn finish_order(&mut self, status: OrderStatus, reason: Option<Reason>) {
        self.order.reason = reason;
        self.order.finish(status, self.now);
        self.entry = None;
        self.effects.push(Effect::Announce { order: self.order.id });
        if let Some(url) = self.notice_url() {
            let delivery = Delivery::owed(self.now);
            let order = self.order.id;
            self.batch.notices.push(CoreNotice { order, url, created_at: self.now, delivery });
            self.effects.push(Effect::Notify);
        }
    }

    /// Where the core hears of this order's end. It never asked for those that we owe ourselves.
    fn notice_url(&self) -> Option<String> {
        match self.order.kind {
            OrderKind::Payment | OrderKind::Release { .. } => {
                self.order.notify_url.clone().or_else(|| self.terms.notice_url.clone())
            }
            OrderKind::Undo { .. } => None,
        }
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
            self.batch.orders.insert(0, self.order.clone());
        }
        match (&self.view.entry, self.entry.take()) {
            (Some(old), None) => {
                let gone = EntryChange::Remove { order: old.order, version: old.version };
                self.batch.entries.push(gone);
            }
            (old, Some(mut entry)) if old.as_ref() != Some(&entry) => {
                let handed = entry.phase == Phase::Operator
                    && old.as_ref().is_none_or(|old| old.phase != Phase::Operator);
                if handed {
                    self.effects
                        .push(Effect::Alert { order: self.order.id, what: Alert::OperatorNeeded });
                }
                entry.version += 1;
                self.entry = Some(entry.clone());
                self.batch.entries.push(EntryChange::Put(entry));
                self.effects.push(Effect::WorkReversals);
            }
            (_, unchanged) => self.entry = unchanged,
        }
        self.sweep();
        Decision { batch: self.batch, effects: self.effects, order: self.order }
    }

    /// The invariants that one order's rows can show, over everything that leaves `decide`.
    fn sweep(&self) {
        let order = &self.order;
        let open = order.unresolved();
        assert!(!(order.status.is_final() && open.is_some()), "I-3: an end leaves nothing open");
        let undo = matches!(order.kind, OrderKind::Undo { .. });
        let owed = undo && !order.status.is_final();
        let needs_entry = owed || open.is_some_and(|attempt| attempt.state.needs_entry());
        assert_eq!(self.entry.is_some(), needs_entry, "I-6: an entry exactly while unresolved");
        if self.view.order.status.is_final() {
            let (old, new) = (&self.view.order, order);
            assert_eq!(old.status, new.status, "I-5: final is final");
            assert_eq!(old.attempts, new.attempts, "I-5: final is final");
        }
        let sends = |effect: &&Effect| matches!(effect, Effect::Send { .. });
        let sending = open.is_some_and(|attempt| attempt.state == AttemptState::Sending);
        if self.effects.iter().any(|effect| sends(&effect)) {
            assert!(sending && !self.batch.orders.is_empty(), "I-1: durable before it is sent");
        }
        let succeeds = order.status == OrderStatus::Succeeded
            && self.view.order.status != OrderStatus::Succeeded;
        if succeeds {
            assert_eq!(self.batch.transactions.len(), 1, "I-7: one transaction for a success");
            assert_eq!(self.batch.clearing.len(), 1, "I-7: one clearing record for a success");
            assert_eq!(self.batch.accounting.len(), 1, "I-7: one request for the booking event");
        } else {
            assert!(self.batch.transactions.is_empty(), "I-7: no transaction without success");
        }
        for request in &self.batch.accounting {
            assert_eq!(request.imbalance_minor(), 0, "I-7: entries balance");
            assert_eq!(request.delivery.status, DeliveryStatus::Owed, "I-7: nobody booked it yet");
        }
        assert!(
            (0..=order.amount.get()).contains(&order.released_minor),
            "I-8: no more is released than was paid"
        );
    }
}
