//! What evidence does to an attempt that is still open.

use crate::domain::books::accounting::{self, Booking, BookingEvent, RequestId};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::books::{Movement, Transaction, day_close};
use crate::domain::command::{CardAtHand, Refusal};
use crate::domain::fee::{Fee, FeeSubject};
use crate::domain::flow::Work;
use crate::domain::flow::attempt::{Attempt, AttemptState, Evidence, Operation, Source, words};
use crate::domain::flow::order::{Order, OrderKind, OrderStatus, Settlement};
use crate::domain::flow::reversal::{Phase, ReversalEntry};
use crate::domain::ids::OrderId;
use crate::domain::outcome::{Approval, Decline, Objection, Outcome, Reason, UnknownCause};
use crate::domain::terms::Terms;
use crate::domain::time::BusinessDate;

impl Work<'_> {
    pub(super) fn learn(
        &mut self,
        evidence: &Evidence,
        card: &CardAtHand,
        spare_id: Option<OrderId>,
    ) -> Result<(), Refusal> {
        let proves_nothing = matches!(evidence.outcome, Outcome::Unknown(_));
        let recovery = evidence.source == Source::Recovery;
        assert!(proves_nothing || !recovery, "I-3: recovery knows only that we do not know");
        let number = evidence.attempt;
        let missing = Refusal::NoSuchAttempt { attempt: number };
        let attempt = self.order.attempt(number).ok_or(missing)?.clone();
        if !attempt.state.is_unresolved() {
            return self.contradict(&attempt, evidence, spare_id);
        }
        self.note(evidence);
        match &evidence.outcome {
            Outcome::Approved(_) if self.held_by_reversal(evidence.source) => Ok(()),
            Outcome::Approved(approval) => {
                self.approve(number, approval, evidence);
                Ok(())
            }
            Outcome::Declined(decline) => self.decline(number, decline, evidence.source, card),
            Outcome::NotSent(_)
                if attempt.state == AttemptState::Sending && evidence.source == Source::Reply =>
            {
                self.not_sent(number, evidence.source, card)
            }
            // Another request's fate says nothing of the call that is under way.
            Outcome::NotSent(_) if attempt.state == AttemptState::Sending => Ok(()),
            Outcome::NotFound { code }
                if evidence.source != Source::Reply
                    && self.terms.not_found_is_final(attempt.sent_at, &self.present) =>
            {
                let decline =
                    Decline { reason: Reason::NeverArrived, code: code.clone(), elsewhere: false };
                self.decline(number, &decline, evidence.source, card)
            }
            Outcome::Pending { .. }
            | Outcome::Unknown(_)
            | Outcome::NotSent(_)
            | Outcome::NotFound { .. } => {
                self.stay_open(number, evidence);
                Ok(())
            }
        }
    }

    /// A success seen while a reversal is on its way may be undone by it: the reversal's own end
    /// decides. An operator and a statement speak after the fact, and are believed.
    fn held_by_reversal(&self, source: Source) -> bool {
        let Some(entry) = &self.entry else { return false };
        match source {
            Source::Reply | Source::Notice => entry.reversal_sent,
            // Once no more reversals are sent, an inquiry tells what the last one left behind; a
            // reply or notice may still be older than that.
            Source::Inquiry => entry.reversal_sent && entry.phase != Phase::Inquiring,
            Source::Reversal | Source::Statement | Source::Operator | Source::Recovery => false,
        }
    }

    fn note(&mut self, evidence: &Evidence) {
        let Some(entry) = &mut self.entry else { return };
        if evidence.source == Source::Inquiry {
            entry.inquiries += 1;
        }
        entry.note(self.now, format!("{}: {}", evidence.source.name(), evidence.words()));
    }

    /// A direct success, an inquiry's, a notice's: one commit, always the same.
    pub(super) fn approve(&mut self, number: u8, approval: &Approval, evidence: &Evidence) {
        let now = self.now;
        let attempt = self.order.attempt_mut(number).expect("the caller looked it up");
        attempt.end(AttemptState::Approved, evidence.source, now);
        attempt.channel_reference.clone_from(&approval.channel_reference);
        attempt.code = Some(approval.code.clone());
        let attempt = attempt.clone();
        let own_date = self.clearing_date(&attempt, approval);
        let date = day_close::open_date(own_date, self.view.closed_through);
        self.order.clearing_date = Some(date);
        let transaction = self.transaction(&attempt, date, evidence);
        if self.moves_money() {
            let fee = self.fee(own_date);
            if self.order.kind.is_paid_in() {
                self.order.charged = Some(fee.clone());
            }
            if let Some(event) = event_of_success(attempt.operation, self.order.settlement) {
                self.book(event, &transaction);
            }
            let record = ClearingRecord::of(&transaction, ClearingState::Due, fee);
            self.batch.clearing.push(record);
        }
        self.batch.transactions.push(transaction);
        self.finish_order(OrderStatus::Succeeded, None);
    }

    /// Whether its success changes what the channel owes us: a hold, and what ends one, do not.
    pub(super) fn moves_money(&self) -> bool {
        let of_hold = || {
            let original = self.original.as_ref().expect("the engine loads what it refers to");
            original.kind == OrderKind::Preauth
        };
        match self.order.kind {
            OrderKind::Payment | OrderKind::Capture { .. } | OrderKind::Refund { .. } => true,
            OrderKind::Preauth | OrderKind::Release { .. } => false,
            OrderKind::Void { .. } | OrderKind::Undo { .. } => !of_hold(),
        }
    }

    /// What the channel charges for it on a clearing date, or gives back of what it has charged.
    /// Undo and void give back all of it: they lie in the clearing day of their original, where a
    /// channel charges for neither.
    pub(super) fn fee(&mut self, date: BusinessDate) -> Fee {
        let back = matches!(self.order.kind, OrderKind::Refund { .. } | OrderKind::Void { .. });
        if back && let Some(original) = &mut self.original {
            let charged = original.charged.clone();
            // What was charged before we kept it is computed as it was then.
            let since = original.clearing_date.unwrap_or(date);
            let charged = charged.unwrap_or_else(|| computed_fee(self.terms, original, since));
            return give_fee_back(original, &self.order, charged);
        }
        let kept = self.order.charged.clone();
        let taken_back = kept.filter(|_| matches!(self.order.kind, OrderKind::Undo { .. }));
        taken_back.unwrap_or_else(|| computed_fee(self.terms, &self.order, date))
    }

    /// The channel's date if it gave one, else its calendar's at the time of sending: the date that
    /// its fee goes by, even where that day is closed and the record goes to the first open one. A
    /// clock that is not borne out moves it by one day at most.
    pub(super) fn clearing_date(&self, attempt: &Attempt, approval: &Approval) -> BusinessDate {
        let ours = self.present.business_date(&self.terms.calendar, attempt.sent_at);
        let theirs = approval.settle_mmdd.as_deref();
        theirs.and_then(|mmdd| BusinessDate::from_mmdd(mmdd, ours)).unwrap_or(ours)
    }

    /// The transaction that an attempt of this order stands for.
    pub(super) fn transaction(
        &self,
        attempt: &Attempt,
        clearing_date: BusinessDate,
        evidence: &Evidence,
    ) -> Transaction {
        Transaction {
            order: self.order.id,
            movement: Movement::of(attempt.operation),
            channel: attempt.channel.clone(),
            channel_order_no: self.order.channel_order_no(attempt.number),
            channel_reference: attempt.channel_reference.clone(),
            merchant_id: self.order.merchant_id.clone(),
            amount: self.order.amount,
            currency: self.order.currency,
            clearing_date,
            at: self.now,
            source: evidence.source,
            voucher: evidence.voucher.clone(),
        }
    }

    /// Owes accounting the next request of this order's chain.
    fn book(&mut self, event: BookingEvent, source: &Transaction) {
        self.order.accounting_sequence += 1;
        let booking = Booking {
            id: RequestId { chain: self.order.id, sequence: self.order.accounting_sequence },
            order: self.order.id,
            event,
            amount: self.order.amount,
            from_escrow_minor: 0,
            names: &self.terms.accounts,
            now: self.now,
        };
        self.batch.accounting.push(accounting::request(&booking, source));
        self.effects.push(crate::domain::effect::Effect::Book);
    }

    pub(super) fn decline(
        &mut self,
        number: u8,
        decline: &Decline,
        source: Source,
        card: &CardAtHand,
    ) -> Result<(), Refusal> {
        let now = self.now;
        let attempt = self.order.attempt_mut(number).expect("the caller looked it up");
        attempt.end(AttemptState::Declined, source, now);
        attempt.code = Some(decline.code.clone());
        attempt.reason = Some(decline.reason);
        match self.order.kind {
            OrderKind::Undo { .. } => self.undo_declined(decline.reason),
            OrderKind::Payment | OrderKind::Preauth => {
                let elsewhere = decline.elsewhere && source == Source::Reply;
                if !(elsewhere && self.try_next(card).is_ok()) {
                    self.finish_order(OrderStatus::Failed, Some(decline.reason));
                }
            }
            OrderKind::Capture { .. }
            | OrderKind::Refund { .. }
            | OrderKind::Void { .. }
            | OrderKind::Release { .. } => {
                self.finish_order(OrderStatus::Failed, Some(decline.reason));
            }
        }
        Ok(())
    }

    /// No byte left: another channel may be tried (I-2, I-4).
    fn not_sent(&mut self, number: u8, source: Source, card: &CardAtHand) -> Result<(), Refusal> {
        assert_eq!(source, Source::Reply, "I-2: only the transport says not sent");
        let now = self.now;
        let attempt = self.order.attempt_mut(number).expect("the caller looked it up");
        attempt.end(AttemptState::NotSent, source, now);
        attempt.reason = Some(Reason::ChannelUnavailable);
        match self.order.kind {
            OrderKind::Undo { .. } => self.undo_unsent(),
            OrderKind::Payment | OrderKind::Preauth => {
                if self.try_next(card).is_err() {
                    self.finish_order(OrderStatus::Failed, Some(Reason::ChannelUnavailable));
                }
            }
            // Its channel is given, and a core that still wants it asks again.
            OrderKind::Capture { .. }
            | OrderKind::Refund { .. }
            | OrderKind::Void { .. }
            | OrderKind::Release { .. } => {
                self.finish_order(OrderStatus::Failed, Some(Reason::ChannelUnavailable));
            }
        }
        Ok(())
    }

    /// Nothing final was learnt: the attempt is pending or unknown, and its entry goes on.
    fn stay_open(&mut self, number: u8, evidence: &Evidence) {
        let (now, terms) = (self.now, self.terms);
        let fresh = self.order.attempt(number).is_some_and(|a| a.state == AttemptState::Sending);
        self.mark_open(number, evidence);
        let attempt = self.order.attempt(number).expect("the caller looked it up").clone();
        let mut entry = match self.entry.take() {
            Some(entry) if !fresh => entry,
            owed => {
                let mut entry = ReversalEntry::open(&self.order, &attempt, terms, now);
                if let Some(owed) = owed {
                    // An undo's entry lives from the moment it is owed: same row, next phase.
                    entry.version = owed.version;
                    entry.opened_at = owed.opened_at;
                    entry.history = owed.history;
                }
                let said = match evidence.objection {
                    Some(_) => evidence.words(),
                    None => attempt.state.name().to_owned(),
                };
                entry.note(now, format!("{}: {said}", evidence.source.name()));
                entry
            }
        };
        entry.pending = attempt.state == AttemptState::Pending;
        if fresh && entry.due_at.is_none() {
            entry.exhaust_inquiry(&attempt, terms, &self.present);
        } else if evidence.source == Source::Inquiry && entry.phase == Phase::Inquiring {
            entry.after_inquiry(&attempt, terms, &self.present);
        } else if entry.pending && entry.phase == Phase::Reversing && !entry.reversal_sent {
            entry.await_pending(terms, now);
        }
        self.entry = Some(entry);
    }

    /// `pending ↔ unknown`. Only the channel's own words move an attempt between the two: an
    /// inquiry that timed out says nothing of the payment.
    fn mark_open(&mut self, number: u8, evidence: &Evidence) {
        let now = self.now;
        let attempt = self.order.attempt_mut(number).expect("the caller looked it up");
        let fresh = attempt.state == AttemptState::Sending;
        let (state, cause) = match &evidence.outcome {
            Outcome::Pending { code } => {
                attempt.code = Some(code.clone());
                (AttemptState::Pending, None)
            }
            Outcome::NotFound { code } => {
                attempt.code = Some(code.clone());
                (AttemptState::Unknown, Some(UnknownCause::ChannelUnsure))
            }
            Outcome::Unknown(cause) => {
                let channel_spoke =
                    matches!(cause, UnknownCause::ChannelUnsure | UnknownCause::UnlistedCode);
                let state =
                    if fresh || channel_spoke { AttemptState::Unknown } else { attempt.state };
                (state, Some(*cause))
            }
            Outcome::NotSent(_) => (attempt.state, None),
            Outcome::Approved(_) | Outcome::Declined(_) => unreachable!("these end an attempt"),
        };
        attempt.state = state;
        if evidence.objection.is_some() {
            attempt.objection.clone_from(&evidence.objection);
        }
        if state == AttemptState::Unknown {
            attempt.unknown_cause = attempt.unknown_cause.or(cause);
            self.order.status = OrderStatus::Unknown;
        }
        let attempt = self.order.attempt_mut(number).expect("the caller looked it up");
        if attempt.unresolved_at.is_none() {
            attempt.unresolved_at = Some(now);
            self.effects.push(crate::domain::effect::Effect::Announce { order: self.order.id });
        }
    }

    /// The reversal leaves only after this commit, so that a crash cannot forget it.
    pub(super) fn begin_reversal(&mut self) -> Result<(), Refusal> {
        let attempt = self.order.unresolved().ok_or(Refusal::NothingOpen)?.clone();
        let (now, terms) = (self.now, self.terms);
        let entry = self.entry.as_mut().ok_or(Refusal::NothingOpen)?;
        if entry.phase != Phase::Reversing {
            return Err(Refusal::WrongPhase);
        }
        if !terms.reversal_window_open(attempt.sent_at, &self.present) {
            entry.note(now, "reversal: the window has closed".to_owned());
            // A reversal that has left without an answer may have done its work before.
            let sent = entry.reversal_sent;
            self.refuse_reversal(sent);
            return Ok(());
        }
        entry.reversal_sent = true;
        entry.reversals += 1;
        // Repeating with the same reference is harmless, so a crash simply makes it due again.
        entry.due_at = Some(now.plus(terms.call_ends_after));
        let (order, attempt) = (self.order.id, attempt.number);
        self.effects.push(crate::domain::effect::Effect::SendReversal { order, attempt });
        Ok(())
    }

    pub(super) fn learn_reversal(
        &mut self,
        number: u8,
        outcome: &Outcome,
        objection: Option<&Objection>,
        voucher: &str,
    ) -> Result<(), Refusal> {
        let missing = Refusal::NoSuchAttempt { attempt: number };
        let attempt = self.order.attempt(number).ok_or(missing)?.clone();
        if !attempt.state.is_unresolved() {
            return self.reversed_after_end(&attempt, outcome, voucher);
        }
        let (now, terms) = (self.now, self.terms);
        let entry = self.entry.as_mut().ok_or(Refusal::NothingOpen)?;
        // The answer of an earlier try may come when the entry has moved on; a yes is a yes.
        if entry.phase != Phase::Reversing && !matches!(outcome, Outcome::Approved(_)) {
            return Err(Refusal::WrongPhase);
        }
        // With an objection, the channel's words are nothing to believe.
        let said = match objection {
            Some(_) => words(outcome, objection),
            None => format!("{} {voucher}", outcome.name()).trim_end().to_owned(),
        };
        entry.note(now, format!("reversal: {said}"));
        if objection.is_some() {
            let attempt = self.order.attempt_mut(attempt.number).expect("it is the open one");
            attempt.objection = objection.cloned();
        }
        let believed_in = terms.not_found_final_in(attempt.sent_at, &self.present);
        match outcome {
            Outcome::Approved(approval) => {
                let attempt = self.order.attempt_mut(attempt.number).expect("it is the open one");
                attempt.end(AttemptState::Reversed, Source::Reversal, now);
                attempt.code = Some(approval.code.clone());
                self.finish_order(OrderStatus::Reversed, Some(Reason::ReversedAfterUnknown));
            }
            Outcome::NotFound { code } if believed_in.is_zero() => {
                let code = code.clone();
                let decline = Decline { reason: Reason::NeverArrived, code, elsewhere: false };
                let source = Source::Reversal;
                self.decline(attempt.number, &decline, source, &CardAtHand::No)?;
            }
            Outcome::NotFound { .. } => {
                entry.after_reversal(terms, Some(now.plus(believed_in)), now);
            }
            Outcome::Declined(_) => self.refuse_reversal(false),
            Outcome::NotSent(cause) => {
                // Nothing has left if no other try did, so no success is held back by it.
                entry.reversals = entry.reversals.saturating_sub(1);
                entry.reversal_sent &= entry.reversals > 0;
                if cause.is_passing() {
                    entry.store_and_forward(terms, now);
                } else {
                    entry.after_reversal(terms, None, now);
                }
            }
            Outcome::Pending { .. } | Outcome::Unknown(_) => {
                entry.after_reversal(terms, None, now);
            }
        }
        Ok(())
    }

    /// A reversal's answer about an attempt that other evidence has ended meanwhile: if the attempt
    /// counts as a success, the channel says that it has taken it back.
    fn reversed_after_end(
        &mut self,
        attempt: &Attempt,
        outcome: &Outcome,
        voucher: &str,
    ) -> Result<(), Refusal> {
        let Outcome::Approved(approval) = outcome else { return Err(Refusal::NothingOpen) };
        let decline = Decline {
            reason: Reason::ReversedAfterUnknown,
            code: approval.code.clone(),
            elsewhere: false,
        };
        let evidence = Evidence {
            source: Source::Reversal,
            attempt: attempt.number,
            outcome: Outcome::Declined(decline),
            objection: None,
            voucher: voucher.to_owned(),
        };
        self.contradict(attempt, &evidence, None)
    }

    /// The channel will not undo it: from here only what it says of the attempt can end it.
    fn refuse_reversal(&mut self, sent: bool) {
        let (now, terms) = (self.now, self.terms);
        let entry = self.entry.as_mut().expect("the caller works an entry");
        entry.reversal_sent = sent;
        entry.reversal_refused = true;
        if terms.inquire.is_empty() {
            entry.hand_to_operator(now);
        } else {
            entry.phase = Phase::Inquiring;
            entry.step = 0;
            entry.due_at = Some(now);
        }
    }
}

/// What the terms charge for an order of a clearing date.
fn computed_fee(terms: &Terms, order: &Order, date: BusinessDate) -> Fee {
    terms.fees.fee(&FeeSubject {
        card_type: order.card.as_ref().and_then(|card| card.card_type()),
        category: order.merchant_category,
        amount_minor: order.amount.get(),
        date,
    })
}

/// The part of what was charged for the original that comes back with a refund or void of it.
fn give_fee_back(original: &mut Order, order: &Order, charged: Fee) -> Fee {
    let whole_minor = original.amount.get();
    let claims = &mut original.claims;
    let before_minor = claims.fee_back_minor;
    // A channel may claim more refunds than there is money: what it has charged is the bound.
    claims.given_back_minor = (claims.given_back_minor + order.amount.get()).min(whole_minor);
    claims.fee_back_minor = match order.kind {
        OrderKind::Void { .. } => charged.minor,
        _ => charged.returned(whole_minor, claims.given_back_minor),
    };
    let minor = (claims.fee_back_minor - before_minor).max(0);
    claims.fee_back_minor = before_minor + minor;
    Fee { minor, ..charged }
}

/// What accounting books when an operation succeeds. What gives money back was booked before it was
/// carried out; what holds money moves none.
const fn event_of_success(operation: Operation, settlement: Settlement) -> Option<BookingEvent> {
    match (operation, settlement) {
        (Operation::Payment | Operation::Capture, Settlement::Instant) => {
            Some(BookingEvent::InstantPayment)
        }
        (Operation::Payment | Operation::Capture, Settlement::Escrow) => {
            Some(BookingEvent::EscrowPayment)
        }
        (Operation::Undo, Settlement::Instant | Settlement::Escrow) => {
            Some(BookingEvent::SuspenseBalanced)
        }
        (Operation::Refund | Operation::Void | Operation::Preauth, _) => None,
    }
}
