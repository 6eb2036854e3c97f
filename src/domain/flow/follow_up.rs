//! Refunds, voids and captures: follow-ups of an order that succeeded.
//!
//! A follow-up draws on its original (I-8): in one commit it is accepted and its amount claimed, in
//! one commit it ends without success and the claim is given back. Where it gives money back it is
//! booked first: it leaves only when accounting has acknowledged its request, and the commit that
//! keeps the acknowledgement is the one that makes its attempt durable (I-1), so that no crash can
//! come between the two. It goes to its original's channel alone, and is sent once.

use std::time::Duration;

use crate::domain::attempt::{Attempt, Operation, Source};
use crate::domain::books::Transaction;
use crate::domain::books::accounting::{
    self, AccountingRequest, Booking, BookingEvent, DeliveryStatus, RequestId,
};
use crate::domain::card::SealedPan;
use crate::domain::command::{Decider, Refusal, RepeatedCard, WantedBy};
use crate::domain::effect::Effect;
use crate::domain::event::{EventKind, OrderEvent};
use crate::domain::flow::{DecisionDraft, add_attempt};
use crate::domain::order::{Candidate, Order, OrderKind, OrderStatus, SettlementMode};
use crate::domain::outcome::Reason;
use crate::domain::terms::Terms;
use crate::domain::time::Present;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl DecisionDraft<'_> {
    /// Accepts a refund, void or capture of the view's order.
    pub(super) fn follow_up(
        &mut self,
        mut order: Order,
        card: Option<RepeatedCard>,
        wanted_by: WantedBy,
    ) -> Result<(), Refusal> {
        assert_eq!(order.version, 0, "a follow-up is accepted once");
        assert!(order.instruction.kind.is_follow_up(), "no other kind draws on an original");
        assert_eq!(order.instruction.kind.original(), Some(self.order.id), "it names its original");
        let approved = self.check(&order)?;
        let sealed = self.repeated_number(card)?;
        self.require_second_person(&order, &wanted_by)?;
        let operation = order.instruction.kind.operation().expect("only a release has none");
        order.version = 1;
        claim(&mut self.order, &mut order);
        if gives_money_back(&self.order, &order) {
            let event = self.event_of(&order, false);
            let source = self.view.transaction.as_ref().expect("I-7: a success has one");
            let request = book(event, &mut self.order, &order, source, self.terms, &self.present);
            self.writes.accounting.push(request);
            self.effects.push(Effect::Book);
            let keeps_pan = self.terms.keeps_pan;
            order.candidates = vec![Candidate { channel: approved.channel, keeps_pan }];
            order.sealed_pan = sealed;
        } else {
            let number = add_attempt(&mut order, approved.channel, operation, self.now);
            let attempt = order.attempt_mut(number).expect("it was just added");
            attempt.sealed_pan = sealed;
            self.effects.push(Effect::Send { order: order.id, attempt: number });
        }
        if let WantedBy::Two(decider) = wanted_by {
            self.writes.events.push(OrderEvent {
                version: order.version,
                source: Some(Source::Operator),
                actor: Some(decider.actor),
                approver: decider.approver,
                detail: Some(decider.reason),
                ..OrderEvent::new(order.id, self.now, EventKind::Approved, 0)
            });
        }
        self.writes.orders.push(order);
        Ok(())
    }

    /// Checks that `order` may follow the view's order; returns the attempt that it refers to.
    fn check(&self, order: &Order) -> Result<Attempt, Refusal> {
        let (original, terms) = (&self.order, self.terms);
        let hold = original.instruction.kind == OrderKind::Preauth;
        let operation = order.instruction.kind.operation().expect("only a release has none");
        let fits = match operation {
            Operation::Refund => original.instruction.kind.is_paid_in(),
            Operation::Void => original.instruction.kind.is_paid_in() || hold,
            Operation::Capture => hold,
            Operation::Payment | Operation::Undo | Operation::Preauth | Operation::Payout => false,
        };
        if !fits {
            return Err(Refusal::WrongKind);
        }
        if original.status != OrderStatus::Succeeded {
            return Err(Refusal::NotSucceeded);
        }
        if !terms.can(operation) {
            return Err(Refusal::OperationNotSupported { operation });
        }
        let approved = original.approved().expect("I-3: a success has an approved attempt");
        self.require_in_time(operation, approved)?;
        let (wanted_minor, left_minor) = (order.instruction.amount.get(), original.left_minor());
        let whole_minor = original.instruction.amount.get();
        let exceeds = match operation {
            // A hold is charged once, and what is cancelled is cancelled as a whole.
            Operation::Capture => wanted_minor > left_minor || left_minor < whole_minor,
            Operation::Void => wanted_minor != whole_minor || left_minor < whole_minor,
            Operation::Refund
            | Operation::Payment
            | Operation::Undo
            | Operation::Preauth
            | Operation::Payout => wanted_minor > left_minor,
        };
        if exceeds {
            let once = operation == Operation::Capture && left_minor < whole_minor;
            return Err(Refusal::ExceedsLeft { left_minor: if once { 0 } else { left_minor } });
        }
        let is_part = operation == Operation::Refund && wanted_minor < whole_minor;
        if is_part && !terms.partial_refund {
            return Err(Refusal::PartNotSupported);
        }
        if gives_money_back(original, order) && !terms.has_accounting {
            return Err(Refusal::AccountingNotConfigured);
        }
        Ok(approved.clone())
    }

    /// Refuses what gives back more of the view's order than one operator may (I-14), with all that
    /// was given back or is on its way, whoever asked for it.
    fn require_second_person(&self, order: &Order, wanted_by: &WantedBy) -> Result<(), Refusal> {
        let WantedBy::OneUpTo { most_minor } = *wanted_by else { return Ok(()) };
        let original = &self.order;
        let (amount, left_minor) = (order.instruction.amount, original.left_minor());
        let back_minor = original.instruction.amount.get() - left_minor + amount.get();
        if gives_money_back(original, order) && back_minor > most_minor {
            return Err(Refusal::NeedsSecondPerson { amount, left_minor });
        }
        Ok(())
    }

    fn require_in_time(&self, operation: Operation, approved: &Attempt) -> Result<(), Refusal> {
        let (terms, present) = (self.terms, &self.present);
        let within = |days: u32| present.age(approved.sent_at) <= DAY * days;
        if self.order.instruction.kind == OrderKind::Preauth {
            let days = terms.preauth_days;
            return if within(days) { Ok(()) } else { Err(Refusal::PreauthExpired { days }) };
        }
        match operation {
            Operation::Void if !self.is_of_today() => Err(Refusal::NotSameDay),
            Operation::Refund if !within(terms.refund_days) => {
                Err(Refusal::RefundWindowClosed { days: terms.refund_days })
            }
            Operation::Void
            | Operation::Refund
            | Operation::Capture
            | Operation::Payment
            | Operation::Undo
            | Operation::Preauth
            | Operation::Payout => Ok(()),
        }
    }

    /// Whether the view's order is cleared today, as far as it is borne out which day that is.
    fn is_of_today(&self) -> bool {
        let calendar = &self.terms.calendar;
        self.order.clearing_date.is_some_and(|date| {
            !self.present.is_over(calendar, date) && date <= self.present.today(calendar)
        })
    }

    /// The card number given again, where the channel will need it. The number must be the
    /// original's.
    fn repeated_number(&self, card: Option<RepeatedCard>) -> Result<Option<SealedPan>, Refusal> {
        let needed = self.terms.follow_up_needs_card;
        let Some(card) = card else {
            return if needed { Err(Refusal::CardRequired) } else { Ok(None) };
        };
        let ours = self.order.instruction.card().map(|facts| facts.digests.pan);
        if ours != Some(card.pan_digest) {
            return Err(Refusal::CardDiffers);
        }
        Ok((needed || self.terms.keeps_pan).then_some(card.sealed))
    }

    /// The request is acknowledged: the acknowledgement and the attempt become durable together.
    pub(super) fn begin_follow_up(&mut self, booked: AccountingRequest) -> Result<(), Refusal> {
        assert_eq!(booked.order(), Some(self.order.id), "a request begins its own order");
        assert_eq!(booked.delivery.status, DeliveryStatus::Acknowledged, "it is booked");
        let waits = self.order.status == OrderStatus::Accepted;
        if !waits || !booked.event.is_booked_first() || self.order.candidates.is_empty() {
            return Err(Refusal::WrongPhase);
        }
        let channel = self.order.candidates.remove(0).channel;
        let operation = self.order.instruction.kind.operation().expect("only a release has none");
        let sealed = self.order.sealed_pan.take();
        let number = self.push_attempt(channel, operation);
        let attempt = self.order.attempt_mut(number).expect("it was just pushed");
        attempt.sealed_pan = sealed;
        self.writes.accounting.push(booked);
        Ok(())
    }

    /// Nothing was sent: the order ends, and so does the request. Accounting refuses it now, but
    /// may have booked it at a try that it did not answer: then the red letter is owed.
    pub(super) fn withdraw(
        &mut self,
        mut booked: AccountingRequest,
        decider: Decider,
    ) -> Result<(), Refusal> {
        assert_eq!(
            booked.order(),
            Some(self.order.id),
            "a request is withdrawn with its own order"
        );
        let refused = booked.delivery.status == DeliveryStatus::Parked;
        let waits = self.order.status == OrderStatus::Accepted;
        if !(refused && waits && booked.event.is_booked_first()) {
            return Err(Refusal::WrongPhase);
        }
        self.booked_perhaps = booked.delivery.unanswered;
        booked.delivery.status = DeliveryStatus::Withdrawn;
        booked.delivery.version += 1;
        self.writes.accounting.push(booked);
        self.finish_order(OrderStatus::Failed, Some(Reason::OperatorDecision));
        self.decided(EventKind::Withdrawn, None, &decider);
        self.audit("accounting.withdraw", decider);
        // The next request of the chain may go.
        self.effects.push(Effect::Book);
        Ok(())
    }

    /// Gives back the claim of the view's order, which has ended without success, and takes back
    /// what was booked for it.
    pub(super) fn give_back(&mut self) {
        let mut original = self.original.take().expect("the engine loads a follow-up's original");
        let (order, amount_minor) = (&self.order, self.order.instruction.amount.get());
        let claims = &mut original.claims;
        match order.instruction.kind {
            OrderKind::Capture { .. } => claims.captured_minor -= amount_minor,
            _ => claims.refunded_minor -= amount_minor,
        }
        claims.from_escrow_minor -= order.claims.from_escrow_minor;
        // A follow-up that left was booked. One that never left was refused, at every try or only
        // at the last one.
        let is_booked = !order.attempts.is_empty() || self.booked_perhaps;
        if gives_money_back(&original, order) && is_booked {
            let event = self.event_of(order, true);
            let view = self.view.original.as_ref().and_then(|kept| kept.transaction.as_ref());
            let source = view.expect("I-7: a success has its transaction");
            let request = book(event, &mut original, order, source, self.terms, &self.present);
            self.writes.accounting.push(request);
            self.effects.push(Effect::Book);
        }
        self.original = Some(original);
    }

    fn event_of(&self, order: &Order, taken_back: bool) -> BookingEvent {
        match (matches!(order.instruction.kind, OrderKind::Void { .. }), taken_back) {
            (false, false) => BookingEvent::Refund,
            (false, true) => BookingEvent::RefundTakenBack,
            (true, false) => BookingEvent::Void,
            (true, true) => BookingEvent::VoidTakenBack,
        }
    }
}

/// Whether the order takes money back from those who were to get it; then it is booked first.
fn gives_money_back(original: &Order, order: &Order) -> bool {
    let back = matches!(order.instruction.kind, OrderKind::Refund { .. } | OrderKind::Void { .. });
    back && original.instruction.kind.is_paid_in()
}

/// Draws the order's amount from its original: out of escrow first, then from the merchant.
fn claim(original: &mut Order, order: &mut Order) {
    let amount_minor = order.instruction.amount.get();
    if let OrderKind::Capture { .. } = order.instruction.kind {
        original.claims.captured_minor += amount_minor;
        return;
    }
    if original.instruction.settlement_mode == SettlementMode::Escrow
        && gives_money_back(original, order)
    {
        let escrow_minor = amount_minor.min(original.unreleased_minor());
        order.claims.from_escrow_minor = escrow_minor;
        original.claims.from_escrow_minor += escrow_minor;
    }
    original.claims.refunded_minor += amount_minor;
}

/// The next request of the original's chain, for a follow-up. The request belongs to today's books,
/// whatever the original's day.
fn book(
    event: BookingEvent,
    original: &mut Order,
    order: &Order,
    source: &Transaction,
    terms: &Terms,
    present: &Present,
) -> AccountingRequest {
    original.accounting_sequence += 1;
    let booking = Booking {
        id: RequestId { chain: original.id, sequence: original.accounting_sequence },
        order: order.id,
        event,
        amount: order.instruction.amount,
        from_escrow_minor: order.claims.from_escrow_minor,
        names: &terms.accounts,
        now: present.now(),
    };
    let mut request = accounting::request(&booking, source);
    request.business_date = present.today(&terms.calendar);
    request
}
