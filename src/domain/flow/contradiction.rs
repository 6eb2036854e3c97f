//! Evidence against a final state: it is kept, alerts, and owes an undo; the end stays (I-5).

use crate::domain::batch::{Claim, Contradiction, EntryChange};
use crate::domain::books::accounting::{self, Booking, BookingEvent, RequestId};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::books::{Transaction, day_close};
use crate::domain::command::Refusal;
use crate::domain::effect::{Alert, Effect};
use crate::domain::fee::Fee;
use crate::domain::flow::Work;
use crate::domain::flow::attempt::{Attempt, AttemptState, Evidence, Operation, Source};
use crate::domain::flow::order::{Claims, OWN_CALLER, Order, OrderKind, OrderStatus};
use crate::domain::flow::reversal::ReversalEntry;
use crate::domain::ids::{CallerId, CallerOrderId, OrderId};
use crate::domain::outcome::{Approval, Outcome};
use crate::domain::terms::ClaimRule;

impl Work<'_> {
    /// Weighs evidence about an attempt that has ended. What agrees with the end, or proves
    /// nothing, changes nothing; so does a claim that is already kept.
    pub(super) fn contradict(
        &mut self,
        attempt: &Attempt,
        evidence: &Evidence,
        spare_id: Option<OrderId>,
    ) -> Result<(), Refusal> {
        assert!(!attempt.state.is_unresolved(), "an open attempt learns, it is not contradicted");
        let claim = match (&evidence.outcome, attempt.state) {
            (Outcome::Approved(_), AttemptState::Approved) => return Ok(()),
            (Outcome::Approved(_), _) => Claim::Success,
            (Outcome::Declined(_), AttemptState::Approved) => Claim::Failure,
            (Outcome::Declined(_), _) => return Ok(()),
            (
                Outcome::Pending { .. }
                | Outcome::Unknown(_)
                | Outcome::NotSent(_)
                | Outcome::NotFound { .. },
                _,
            ) => return Ok(()),
        };
        let known = |kept: &Contradiction| kept.attempt == attempt.number && kept.claim == claim;
        if self.view.contradictions.iter().any(known) {
            return Ok(());
        }
        let mut undo = None;
        let mut channel_reference = None;
        if let Outcome::Approved(approval) = &evidence.outcome {
            channel_reference.clone_from(&approval.channel_reference);
            match attempt.operation {
                Operation::Payment | Operation::Preauth | Operation::Capture
                    if self.is_suspended(evidence.source) =>
                {
                    self.suspend_claimed(attempt, approval, evidence);
                }
                Operation::Payment | Operation::Preauth | Operation::Capture => {
                    let id = spare_id.expect("the engine gives one where an attempt has ended");
                    self.owe_undo(attempt, approval, evidence, id);
                    undo = Some(id);
                }
                Operation::Refund | Operation::Void => {
                    self.expect_claimed(attempt, approval, evidence);
                }
                // It cannot be taken back by another one: a person must find out what happened.
                Operation::Undo => {}
            }
            self.keep_out_of_reach();
        }
        self.batch.contradictions.push(Contradiction {
            order: self.order.id,
            attempt: attempt.number,
            claim,
            source: evidence.source,
            at: self.now,
            voucher: evidence.voucher.clone(),
            channel_reference,
            undo,
        });
        self.alert(Alert::Contradiction);
        Ok(())
    }

    /// Whether the channel's file leaves a claim of its statement in suspense. A hold has no money
    /// that could be there.
    fn is_suspended(&self, source: Source) -> bool {
        source == Source::Statement
            && self.terms.statement_claims == ClaimRule::Suspend
            && self.moves_money()
    }

    /// Expects the claimed success on the channel's statement, and puts its money in suspense until
    /// a person balances it.
    fn suspend_claimed(&mut self, attempt: &Attempt, approval: &Approval, evidence: &Evidence) {
        let (claimed, _) = self.claimed(attempt, approval, evidence);
        self.order.accounting_sequence += 1;
        let booking = Booking {
            id: RequestId { chain: self.order.id, sequence: self.order.accounting_sequence },
            order: self.order.id,
            event: BookingEvent::SuspenseOpened,
            amount: self.order.amount,
            from_escrow_minor: 0,
            names: &self.terms.accounts,
            now: self.now,
        };
        self.batch.accounting.push(accounting::request(&booking, &claimed));
        self.effects.push(Effect::Book);
    }

    /// Writes the undo order and its entry, expects the claimed success on the channel's statement,
    /// and puts the money in suspense until it is back.
    fn owe_undo(
        &mut self,
        attempt: &Attempt,
        approval: &Approval,
        evidence: &Evidence,
        id: OrderId,
    ) {
        let of = self.order.channel_order_no(attempt.number);
        let mut undo = Order {
            id,
            version: 1,
            caller: CallerId::from_stored(OWN_CALLER),
            // The caller's order id is unique, so one attempt can never owe two undos.
            caller_order_id: CallerOrderId::from_stored(&format!("undo-{of}")),
            kind: OrderKind::Undo { of },
            status: OrderStatus::Accepted,
            claims: Claims::default(),
            sealed_pan: None,
            attempts: Vec::new(),
            candidates: Vec::new(),
            reason: None,
            notify_url: None,
            released_minor: 0,
            accounting_sequence: 1,
            merchant_fee_minor: None,
            clearing_date: None,
            charged: None,
            created_at: self.now,
            finished_at: None,
            ..self.order.clone()
        };
        undo.description = None;
        if self.moves_money() {
            let (claimed, fee) = self.claimed(attempt, approval, evidence);
            undo.charged = Some(fee);
            let booking = Booking {
                id: RequestId { chain: id, sequence: 1 },
                order: id,
                event: BookingEvent::SuspenseOpened,
                amount: self.order.amount,
                from_escrow_minor: 0,
                names: &self.terms.accounts,
                now: self.now,
            };
            self.batch.accounting.push(accounting::request(&booking, &claimed));
        } else {
            // A hold that is undone has no place in the books but its transaction.
            undo.accounting_sequence = 0;
        }
        let mut entry = ReversalEntry::owe_undo(&undo, attempt.channel.clone(), self.now);
        entry.version = 1;
        self.batch.entries.push(EntryChange::Put(entry));
        self.batch.orders.push(undo);
        self.effects.extend([Effect::Book, Effect::WorkReversals]);
    }

    /// Money that a refund or void gave back although our books had ended it: it is expected on the
    /// channel's statement and booked as a receivable. Taking it from the cardholder again without
    /// being asked would make a dispute of a mistake, so a person decides.
    fn expect_claimed(&mut self, attempt: &Attempt, approval: &Approval, evidence: &Evidence) {
        if !self.moves_money() {
            return;
        }
        let (claimed, _) = self.claimed(attempt, approval, evidence);
        let original = self.original.as_mut().expect("the engine loads a follow-up's original");
        original.accounting_sequence += 1;
        let booking = Booking {
            id: RequestId { chain: original.id, sequence: original.accounting_sequence },
            order: self.order.id,
            event: BookingEvent::SuspenseReceivable,
            amount: self.order.amount,
            from_escrow_minor: 0,
            names: &self.terms.accounts,
            now: self.now,
        };
        self.batch.accounting.push(accounting::request(&booking, &claimed));
        self.effects.push(Effect::Book);
    }

    /// The transaction that the channel claims, which its statement will show, and its fee.
    fn claimed(
        &mut self,
        attempt: &Attempt,
        approval: &Approval,
        evidence: &Evidence,
    ) -> (Transaction, Fee) {
        let own_date = self.clearing_date(attempt, approval);
        let date = day_close::open_date(own_date, self.view.closed_through);
        let mut claimed = self.transaction(attempt, date, evidence);
        claimed.channel_reference.clone_from(&approval.channel_reference);
        let state = ClearingState::Contradicted;
        let fee = self.fee(own_date);
        self.batch.clearing.push(ClearingRecord::of(&claimed, state, fee.clone()));
        (claimed, fee)
    }

    /// What a follow-up has done at the channel cannot be done again, whatever our books say of it.
    fn keep_out_of_reach(&mut self) {
        if self.order.kind.is_follow_up() {
            let original = self.original.as_mut().expect("the engine loads a follow-up's original");
            original.claims.contradicted_minor += self.order.amount.get();
        }
    }
}
