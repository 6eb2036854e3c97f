//! Evidence against a final state: it is kept, alerts, and owes an undo; the end stays (I-5).

use crate::domain::attempt::{Attempt, AttemptState, Evidence, Operation, Source};
use crate::domain::books::accounting::{self, Booking, BookingEvent, RequestId};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::books::{Transaction, day_close};
use crate::domain::command::Refusal;
use crate::domain::effect::{Alert, Effect};
use crate::domain::fee::Fee;
use crate::domain::flow::DecisionDraft;
use crate::domain::ids::{CallerId, CallerOrderId, OrderId};
use crate::domain::order::{Instruction, OWN_CALLER, Order, OrderKind};
use crate::domain::outcome::{Approval, Outcome, Reason};
use crate::domain::reversal::ReversalEntry;
use crate::domain::terms::ReportedSuccessRule;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{Contradiction, EntryChange, ReportedEnd};

impl DecisionDraft<'_> {
    /// Weighs evidence about an attempt that has ended. Evidence that agrees with the end, or
    /// proves nothing, changes nothing; neither does a contradiction that is already kept. A
    /// success is never known by a failure, nor by a success under another of the channel's
    /// numbers.
    pub(super) fn contradict(
        &mut self,
        attempt: &Attempt,
        evidence: &Evidence,
        spare_id: Option<OrderId>,
    ) -> Result<(), Refusal> {
        assert!(!attempt.state.is_unresolved(), "an open attempt learns, it is not contradicted");
        if predates_reversal(attempt, evidence) {
            return Ok(());
        }
        let mut channel_reference = None;
        if let Outcome::Approved(approval) = &evidence.outcome {
            channel_reference.clone_from(&approval.channel_reference);
        }
        let Some(reported) = reported_end(attempt, evidence) else { return Ok(()) };
        let kept = self.view.contradictions.iter();
        let kept: Vec<_> = kept
            .filter(|kept| (kept.attempt, kept.reported) == (attempt.number, reported))
            .collect();
        if is_known(&kept, channel_reference.as_ref()) {
            return Ok(());
        }
        let Ok(ordinal) = u8::try_from(kept.len()) else { return Ok(()) };
        let (mut undo, mut clearing_date) = (None, None);
        // The number has one place in the books: of what the channel claims to have done under it
        // besides, a person must find out what it was.
        let has_place = kept.is_empty() && attempt.state != AttemptState::Approved;
        if let Outcome::Approved(approval) = &evidence.outcome
            && has_place
        {
            match attempt.operation {
                Operation::Payment | Operation::Preauth | Operation::Capture
                    if self.is_suspended(evidence.source) =>
                {
                    clearing_date = Some(self.suspend_claimed(attempt, approval, evidence));
                }
                Operation::Payment | Operation::Preauth | Operation::Capture => {
                    let id = spare_id.expect("the engine gives one where an attempt has ended");
                    clearing_date = self.owe_undo(attempt, approval, evidence, id);
                    undo = Some(id);
                }
                Operation::Refund | Operation::Void | Operation::Payout => {
                    clearing_date = self.expect_reported_success(attempt, approval, evidence);
                }
                // Another undo cannot take it back: a person must find out what happened.
                Operation::Undo => {}
            }
            self.claim_reported_amount();
        }
        self.writes.contradictions.push(Contradiction {
            order: self.order.id,
            attempt: attempt.number,
            reported,
            ordinal,
            source: evidence.source,
            at: self.now,
            transcript: evidence.transcript.clone(),
            channel_reference,
            undo,
            clearing_date,
        });
        self.alert(Alert::Contradiction);
        Ok(())
    }

    /// Whether the channel's file leaves a claim of its statement in suspense. A hold has no money
    /// that could be there.
    fn is_suspended(&self, source: Source) -> bool {
        source == Source::Statement
            && self.terms.statement_claims == ReportedSuccessRule::Suspend
            && self.moves_money()
    }

    /// Expects the claimed success on the channel's statement, and puts its money in suspense until
    /// a person balances it.
    fn suspend_claimed(
        &mut self,
        attempt: &Attempt,
        approval: &Approval,
        evidence: &Evidence,
    ) -> BusinessDate {
        let (claimed, _) = self.reported_transaction(attempt, approval, evidence);
        self.order.accounting_sequence += 1;
        let booking = Booking {
            id: RequestId { chain: self.order.id, sequence: self.order.accounting_sequence },
            order: self.order.id,
            event: BookingEvent::SuspenseOpened,
            amount: self.order.instruction.amount,
            from_escrow_minor: 0,
            names: &self.terms.accounts,
            now: self.now,
        };
        self.writes.accounting.push(accounting::request(&booking, &claimed));
        self.effects.push(Effect::Book);
        claimed.clearing_date
    }

    /// Writes the undo order and its entry, expects the claimed success on the channel's statement,
    /// and puts the money in suspense until it is back.
    fn owe_undo(
        &mut self,
        attempt: &Attempt,
        approval: &Approval,
        evidence: &Evidence,
        id: OrderId,
    ) -> Option<BusinessDate> {
        let of = self.order.channel_order_no(attempt.number);
        let caller = CallerId::from_stored(OWN_CALLER);
        // The caller's order id is unique, so one attempt can never owe two undos.
        let caller_order_id = CallerOrderId::from_stored(&format!("undo-{of}"));
        let kind = OrderKind::Undo { of };
        let instruction = Instruction {
            notify_url: None,
            ..Instruction::on(&self.order, kind, caller, caller_order_id)
        };
        let mut undo = Order::accepted(id, instruction, self.now);
        undo.version = 1;
        let mut clearing_date = None;
        // A hold that is undone has no place in the books but its transaction.
        if self.moves_money() {
            let (claimed, fee) = self.reported_transaction(attempt, approval, evidence);
            undo.charged = Some(fee);
            undo.accounting_sequence = 1;
            let booking = Booking {
                id: RequestId { chain: id, sequence: 1 },
                order: id,
                event: BookingEvent::SuspenseOpened,
                amount: self.order.instruction.amount,
                from_escrow_minor: 0,
                names: &self.terms.accounts,
                now: self.now,
            };
            self.writes.accounting.push(accounting::request(&booking, &claimed));
            clearing_date = Some(claimed.clearing_date);
        }
        let mut entry = ReversalEntry::owe_undo(&undo, attempt.channel.clone(), self.now);
        entry.version = 1;
        self.writes.entries.push(EntryChange::Put(entry));
        self.writes.orders.push(undo);
        self.effects.extend([Effect::Book, Effect::WorkReversals]);
        clearing_date
    }

    /// Money that a refund, void or payout gave away although our books had ended it: it is
    /// expected on the channel's statement and booked as a receivable. Taking it from the
    /// cardholder again without being asked would make a dispute of a mistake, so a person decides.
    fn expect_reported_success(
        &mut self,
        attempt: &Attempt,
        approval: &Approval,
        evidence: &Evidence,
    ) -> Option<BusinessDate> {
        if !self.moves_money() {
            return None;
        }
        let (claimed, _) = self.reported_transaction(attempt, approval, evidence);
        // A payout follows nothing up: its chain is its own.
        let root = match self.order.instruction.kind {
            OrderKind::Payout => &mut self.order,
            _ => self.original.as_mut().expect("the engine loads a follow-up's original"),
        };
        root.accounting_sequence += 1;
        let id = RequestId { chain: root.id, sequence: root.accounting_sequence };
        let booking = Booking {
            id,
            order: self.order.id,
            event: BookingEvent::SuspenseReceivable,
            amount: self.order.instruction.amount,
            from_escrow_minor: 0,
            names: &self.terms.accounts,
            now: self.now,
        };
        self.writes.accounting.push(accounting::request(&booking, &claimed));
        self.effects.push(Effect::Book);
        Some(claimed.clearing_date)
    }

    /// The transaction that the channel claims, which its statement will show, and its fee.
    fn reported_transaction(
        &mut self,
        attempt: &Attempt,
        approval: &Approval,
        evidence: &Evidence,
    ) -> (Transaction, Fee) {
        let own_date = self.clearing_date(attempt, approval);
        let date = day_close::open_date(own_date, self.view.shut_through);
        let mut claimed = self.transaction(attempt, date, evidence);
        claimed.channel_reference.clone_from(&approval.channel_reference);
        let state = ClearingState::Contradicted;
        let fee = self.fee(own_date);
        self.writes.clearing.push(ClearingRecord::of(&claimed, state, fee.clone()));
        (claimed, fee)
    }

    /// The amount of a follow-up that succeeded at the channel cannot be claimed again, whatever
    /// its end in our books.
    fn claim_reported_amount(&mut self) {
        if self.order.instruction.kind.is_follow_up() {
            let original = self.original.as_mut().expect("the engine loads a follow-up's original");
            original.claims.contradicted_minor += self.order.instruction.amount.get();
        }
    }
}

/// Whether a statement has the success of what was taken back when its day was over: a later one
/// will have the rest. Until then it is a difference between the books, and no claim.
fn predates_reversal(attempt: &Attempt, evidence: &Evidence) -> bool {
    let is_taken_back = attempt.state == AttemptState::Reversed
        || attempt.reason == Some(Reason::ReversedAfterUnknown);
    let is_earlier = evidence.as_of.zip(attempt.ended_at).is_some_and(|(as_of, end)| as_of < end);
    evidence.source == Source::Statement && is_taken_back && is_earlier
}

/// The end that evidence reports against the end of an attempt; `None` where it agrees or proves
/// nothing.
fn reported_end(attempt: &Attempt, evidence: &Evidence) -> Option<ReportedEnd> {
    let is_approved = attempt.state == AttemptState::Approved;
    match &evidence.outcome {
        Outcome::Approved(approval) => {
            let reference = approval.channel_reference.as_ref();
            let counts = !is_approved || is_another_success(attempt, reference, evidence.source);
            counts.then_some(ReportedEnd::Success)
        }
        Outcome::Declined(_) => is_approved.then_some(ReportedEnd::Failure),
        Outcome::Pending { .. }
        | Outcome::Unknown(_)
        | Outcome::NotSent(_)
        | Outcome::NotFound { .. } => None,
    }
}

/// Whether a success is told of an approved attempt under another of the channel's numbers: the
/// channel may have carried it out twice. A statement's reference may be of another kind than those
/// of messages, and is compared where statements are.
fn is_another_success(attempt: &Attempt, reference: Option<&String>, source: Source) -> bool {
    let differs = match (attempt.channel_reference.as_ref(), reference) {
        (Some(ours), Some(theirs)) => ours != theirs,
        (Some(_) | None, None) | (None, Some(_)) => false,
    };
    let is_message = match source {
        Source::Reply | Source::Inquiry | Source::Notice => true,
        Source::Reversal | Source::Statement | Source::Operator | Source::Recovery => false,
    };
    differs && is_message
}

/// Whether a report adds nothing to those that are kept: it names no number, or a kept one, while
/// some are kept.
fn is_known(kept: &[&Contradiction], reference: Option<&String>) -> bool {
    let Some(reference) = reference else { return !kept.is_empty() };
    let mut named = kept.iter().filter_map(|one| one.channel_reference.as_ref()).peekable();
    if named.peek().is_none() { !kept.is_empty() } else { named.any(|other| other == reference) }
}
