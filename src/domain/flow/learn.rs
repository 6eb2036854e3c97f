//! Evidence about an attempt that is still open.

use std::ops::RangeInclusive;

use crate::domain::attempt::{Attempt, AttemptState, Evidence, Operation, Source};
use crate::domain::books::accounting::{self, Booking, BookingEvent, RequestId};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::books::{Transaction, day_close};
use crate::domain::command::{CardInMemory, Refusal};
use crate::domain::effect::{Alert, Effect};
use crate::domain::event::{EventKind, EventRemark, OrderEvent};
use crate::domain::fee::{Fee, FeeSubject};
use crate::domain::flow::DecisionDraft;
use crate::domain::ids::OrderId;
use crate::domain::order::{Order, OrderKind, OrderStatus, SettlementMode};
use crate::domain::outcome::{Approval, Decline, Outcome, Reason, UnknownCause};
use crate::domain::reversal::{Phase, ReversalEntry};
use crate::domain::terms::Terms;
use crate::domain::time::BusinessDate;

/// How far before and behind an attempt's own clearing date the channel's may lie, in days. A
/// channel that settles on working days only takes the one before or behind a holiday, of which
/// China has nine days in a row at most, and what is carried out late is cleared late. A date
/// written without a year that lies farther off is a mistake: by it money would be expected in
/// another month.
const SETTLES_WITHIN_DAYS: RangeInclusive<i32> = -10..=10;
/// The history's remark on a success that is not believed yet.
const HELD: &str = ", held: a reversal may still undo it";
/// The history's remark on words against the channel's own.
pub(super) const DISOWNED: &str = ", although the channel has said that it has it";

impl DecisionDraft<'_> {
    pub(super) fn learn(
        &mut self,
        evidence: &Evidence,
        card: &CardInMemory,
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
        let held = self.is_held(evidence);
        let absent = matches!(evidence.outcome, Outcome::NotFound { .. });
        let disowned = absent && attempt.acknowledged_at.is_some();
        let is_repeated = self.note(&attempt, evidence, held, disowned);
        if !is_repeated {
            self.tell(evidence, held, disowned);
        }
        match &evidence.outcome {
            Outcome::Approved(approval) => {
                match held {
                    true => self.hold(number, approval, evidence.source),
                    false => self.approve(number, approval, evidence),
                }
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
                    && !disowned
                    && self.absence_is_final(&attempt, evidence) =>
            {
                let decline =
                    Decline { reason: Reason::NeverArrived, code: code.clone(), elsewhere: false };
                self.decline(number, &decline, evidence.source, card)
            }
            // An absence in statements is no word of the channel's.
            Outcome::NotFound { .. } if evidence.source == Source::Statement => Ok(()),
            Outcome::Pending { .. }
            | Outcome::Unknown(_)
            | Outcome::NotSent(_)
            | Outcome::NotFound { .. } => {
                self.stay_open(number, evidence);
                Ok(())
            }
        }
    }

    /// Whether "no such order" is believed (I-3): an inquiry's as of when it was asked, since its
    /// answer tells of no later moment. Absence in statements has its days to be judged by, and an
    /// operator knows.
    fn absence_is_final(&self, attempt: &Attempt, evidence: &Evidence) -> bool {
        let (terms, present) = (self.terms, &self.present);
        match evidence.as_of.filter(|_| evidence.source == Source::Inquiry) {
            Some(asked_at) => terms.not_found_was_final(attempt, asked_at, present),
            None => terms.not_found_is_final(attempt, present),
        }
    }

    /// Whether evidence tells of a success that a reversal may still undo. While one that left
    /// without an answer can be carried out, whoever speaks may speak of the time before; only
    /// words of a moment after that are proof. An operator has been shown it, and decides.
    fn is_held(&self, evidence: &Evidence) -> bool {
        let is_success = matches!(evidence.outcome, Outcome::Approved(_));
        let Some(entry) = self.entry.as_ref().filter(|_| is_success) else { return false };
        match evidence.source {
            Source::Reply
            | Source::Inquiry
            | Source::Notice
            | Source::Statement
            | Source::Reversal
            | Source::Recovery => entry.may_undo(evidence.as_of, self.terms, &self.present),
            Source::Operator => false,
        }
    }

    /// Keeps that a success was seen, and has the channel asked again when it can be believed.
    fn hold(&mut self, number: u8, approval: &Approval, source: Source) {
        let attempt = self.order.attempt_mut(number).expect("the caller looked it up");
        attempt.acknowledge(approval.channel_reference.as_ref(), self.now);
        let entry = self.entry.as_mut().expect("a reversal has left by its entry");
        entry.ask_after_reversal(self.terms, source, &self.present);
    }

    /// Writes it into the entry's history, which has the time of the last one, and counts
    /// inquiries. Returns whether an inquiry has told no more than what was heard last: that is no
    /// event of its own, for an attempt may be asked about for weeks.
    fn note(&mut self, attempt: &Attempt, evidence: &Evidence, held: bool, disowned: bool) -> bool {
        let Some(entry) = &mut self.entry else { return false };
        if evidence.source == Source::Inquiry {
            entry.inquiries += 1;
        }
        let remark = match (held, disowned) {
            (true, _) => HELD,
            (false, true) => DISOWNED,
            (false, false) => "",
        };
        let said = format!("{}: {}{remark}", evidence.source.name(), evidence.words());
        let code = match &evidence.outcome {
            Outcome::Pending { code, .. } | Outcome::NotFound { code } => Some(code),
            Outcome::Approved(_)
            | Outcome::Declined(_)
            | Outcome::Unknown(_)
            | Outcome::NotSent(_) => None,
        };
        let is_repeated = evidence.source == Source::Inquiry
            && entry.history.last().is_some_and(|last| last.what == said)
            && code.is_none_or(|code| attempt.code.as_ref() == Some(code));
        entry.note(self.now, said);
        is_repeated
    }

    /// Keeps what was told, but for a success in the attempt's own reply.
    fn tell(&mut self, evidence: &Evidence, held: bool, disowned: bool) {
        if self.entry.is_none() && OrderEvent::is_plain(evidence) {
            return;
        }
        let Evidence { source, attempt, outcome, objection, .. } = evidence;
        let mut event = self.event(EventKind::Learned, *attempt);
        event = event.telling(*source, outcome, objection.as_ref());
        event.remark = match (held, disowned) {
            (true, _) => Some(EventRemark::Held),
            (false, true) => Some(EventRemark::Disowned),
            (false, false) => None,
        };
        if held || !matches!(outcome, Outcome::Approved(_)) {
            event.transcript.clone_from(&evidence.transcript);
        }
        event.sent.clone_from(&evidence.sent);
        self.events.push(event);
    }

    /// A direct success, an inquiry's, a notice's: one commit, always the same.
    pub(super) fn approve(&mut self, number: u8, approval: &Approval, evidence: &Evidence) {
        let now = self.now;
        let attempt = self.order.attempt_mut(number).expect("the caller looked it up");
        attempt.acknowledge(approval.channel_reference.as_ref(), now);
        attempt.end(AttemptState::Approved, evidence.source, now);
        attempt.code = Some(approval.code.clone());
        let attempt = attempt.clone();
        let own_date = self.clearing_date(&attempt, approval);
        let date = day_close::open_date(own_date, self.view.shut_through);
        self.order.clearing_date = Some(date);
        let transaction = self.transaction(&attempt, date, evidence);
        if self.moves_money() {
            let fee = self.fee(own_date);
            if self.order.instruction.kind.is_paid_in() {
                self.order.charged = Some(fee.clone());
            }
            if let Some(event) =
                event_of_success(attempt.operation, self.order.instruction.settlement_mode)
            {
                self.book(event, &transaction);
            }
            let record = ClearingRecord::of(&transaction, ClearingState::Due, fee);
            self.writes.clearing.push(record);
        }
        self.writes.transactions.push(transaction);
        self.finish_order(OrderStatus::Succeeded, None);
    }

    /// Whether its success changes what the channel owes us: a hold, and what ends one, do not.
    pub(super) fn moves_money(&self) -> bool {
        let of_hold = || {
            let original = self.original.as_ref().expect("the engine loads what it refers to");
            original.instruction.kind == OrderKind::Preauth
        };
        match self.order.instruction.kind {
            OrderKind::Payment
            | OrderKind::Capture { .. }
            | OrderKind::Refund { .. }
            | OrderKind::Payout => true,
            OrderKind::Preauth | OrderKind::Release { .. } => false,
            OrderKind::Void { .. } | OrderKind::Undo { .. } => !of_hold(),
        }
    }

    /// The fee that the channel charges for it on a clearing date, or the part of the charged fee
    /// that it gives back. Undo and void give back all of it: they lie in the clearing day of their
    /// original, where a channel charges for neither.
    pub(super) fn fee(&mut self, date: BusinessDate) -> Fee {
        let back = matches!(
            self.order.instruction.kind,
            OrderKind::Refund { .. } | OrderKind::Void { .. }
        );
        if back && let Some(original) = &mut self.original {
            let charged = original.charged.clone();
            // A fee that was charged before we kept it is computed by the terms of that time.
            let since = original.clearing_date.unwrap_or(date);
            let charged = charged.unwrap_or_else(|| computed_fee(self.terms, original, since));
            return give_fee_back(original, &self.order, charged);
        }
        let kept = self.order.charged.clone();
        let taken_back =
            kept.filter(|_| matches!(self.order.instruction.kind, OrderKind::Undo { .. }));
        taken_back.unwrap_or_else(|| computed_fee(self.terms, &self.order, date))
    }

    /// The channel's date if it gave a plausible one, else its calendar's at the time of sending:
    /// the date that its fee goes by, even where that day is closed and the record goes to the
    /// first open one. A clock that is not borne out moves ours by one day at most. An implausible
    /// date raises an alert; the transcript keeps it.
    pub(super) fn clearing_date(&mut self, attempt: &Attempt, approval: &Approval) -> BusinessDate {
        let ours = self.present.business_date(&self.terms.calendar, attempt.sent_at);
        let Some(mmdd) = approval.settle_mmdd.as_deref() else { return ours };
        let theirs = BusinessDate::from_mmdd(mmdd, ours);
        let is_meant = |date: &BusinessDate| SETTLES_WITHIN_DAYS.contains(&ours.days_until(*date));
        theirs.filter(is_meant).unwrap_or_else(|| {
            self.alert(Alert::ClearingDate);
            ours
        })
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
            movement: attempt.operation,
            channel: attempt.channel.clone(),
            channel_order_no: self.order.channel_order_no(attempt.number),
            channel_reference: attempt.channel_reference.clone(),
            merchant_id: self.order.instruction.merchant_id.clone(),
            amount: self.order.instruction.amount,
            currency: self.order.instruction.currency,
            clearing_date,
            at: self.now,
            source: evidence.source,
            transcript: evidence.transcript.clone(),
        }
    }

    /// Owes accounting the next request of this order's chain.
    fn book(&mut self, event: BookingEvent, source: &Transaction) {
        self.order.accounting_sequence += 1;
        let booking = Booking {
            id: RequestId { chain: self.order.id, sequence: self.order.accounting_sequence },
            order: self.order.id,
            event,
            amount: self.order.instruction.amount,
            from_escrow_minor: 0,
            names: &self.terms.accounts,
            now: self.now,
        };
        self.writes.accounting.push(accounting::request(&booking, source));
        self.effects.push(Effect::Book);
    }

    pub(super) fn decline(
        &mut self,
        number: u8,
        decline: &Decline,
        source: Source,
        card: &CardInMemory,
    ) -> Result<(), Refusal> {
        let now = self.now;
        let attempt = self.order.attempt_mut(number).expect("the caller looked it up");
        attempt.end(AttemptState::Declined, source, now);
        attempt.code = Some(decline.code.clone());
        attempt.reason = Some(decline.reason);
        match self.order.instruction.kind {
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
            | OrderKind::Payout
            | OrderKind::Release { .. } => {
                self.finish_order(OrderStatus::Failed, Some(decline.reason));
            }
        }
        Ok(())
    }

    /// No byte left: another channel may be tried (I-2, I-4).
    fn not_sent(&mut self, number: u8, source: Source, card: &CardInMemory) -> Result<(), Refusal> {
        assert_eq!(source, Source::Reply, "I-2: only the transport says not sent");
        let now = self.now;
        let attempt = self.order.attempt_mut(number).expect("the caller looked it up");
        attempt.end(AttemptState::NotSent, source, now);
        attempt.reason = Some(Reason::ChannelUnavailable);
        match self.order.instruction.kind {
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
            | OrderKind::Payout
            | OrderKind::Release { .. } => {
                self.finish_order(OrderStatus::Failed, Some(Reason::ChannelUnavailable));
            }
        }
        Ok(())
    }

    /// The evidence is not final: the attempt is pending or unknown, and its entry goes on.
    fn stay_open(&mut self, number: u8, evidence: &Evidence) {
        let (now, terms) = (self.now, self.terms);
        let before = self.order.attempt(number).expect("the caller looked it up");
        let fresh = before.state == AttemptState::Sending;
        let was_pending = before.state == AttemptState::Pending;
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
        let none_left = entry.reversals_unanswered == 0;
        if fresh && entry.due_at.is_none() {
            entry.exhaust_inquiry(&attempt, terms, &self.present);
        } else if evidence.source == Source::Inquiry && entry.phase == Phase::Inquiring {
            match evidence.outcome {
                Outcome::NotFound { .. } if was_pending => entry.ask_from_start(terms, now),
                _ => entry.after_inquiry(&attempt, terms, &self.present, evidence.as_of),
            }
        } else if entry.pending && entry.phase == Phase::Reversing && none_left {
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
            Outcome::Pending { code, channel_reference } => {
                attempt.acknowledge(channel_reference.as_ref(), now);
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
        // Its payee was sealed for the call that is over; most inquiries need no number (I-11).
        if attempt.operation == Operation::Payout && !self.terms.keeps_pan {
            attempt.sealed_pan = None;
        }
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
            self.effects.push(Effect::Announce { order: self.order.id });
        }
    }
}

/// The fee that the terms charge for an order of a clearing date.
fn computed_fee(terms: &Terms, order: &Order, date: BusinessDate) -> Fee {
    terms.fees.fee(&FeeSubject {
        card_type: order.instruction.card().and_then(|card| card.card_type()),
        category: order.instruction.merchant_category,
        amount_minor: order.instruction.amount.get(),
        date,
        is_payout: order.instruction.kind == OrderKind::Payout,
    })
}

/// The part of what was charged for the original that comes back with a refund or void of it.
fn give_fee_back(original: &mut Order, order: &Order, charged: Fee) -> Fee {
    let whole_minor = original.instruction.amount.get();
    let claims = &mut original.claims;
    let before_minor = claims.fee_back_minor;
    // A channel may claim more refunds than there is money: the charged amount is the bound.
    claims.given_back_minor =
        (claims.given_back_minor + order.instruction.amount.get()).min(whole_minor);
    claims.fee_back_minor = match order.instruction.kind {
        OrderKind::Void { .. } => charged.minor,
        _ => charged.returned(whole_minor, claims.given_back_minor),
    };
    let minor = (claims.fee_back_minor - before_minor).max(0);
    claims.fee_back_minor = before_minor + minor;
    Fee { minor, ..charged }
}

/// The event that accounting books when an operation succeeds. Operations that give money back were
/// booked before they were carried out; a hold moves no money.
const fn event_of_success(
    operation: Operation,
    settlement: SettlementMode,
) -> Option<BookingEvent> {
    match (operation, settlement) {
        (Operation::Payment | Operation::Capture, SettlementMode::Instant) => {
            Some(BookingEvent::InstantPayment)
        }
        (Operation::Payment | Operation::Capture, SettlementMode::Escrow) => {
            Some(BookingEvent::EscrowPayment)
        }
        (Operation::Undo, SettlementMode::Instant | SettlementMode::Escrow) => {
            Some(BookingEvent::SuspenseBalanced)
        }
        (Operation::Refund | Operation::Void | Operation::Preauth | Operation::Payout, _) => None,
    }
}
