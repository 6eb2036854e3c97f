//! Undo orders: a success that our books do not have is taken back (I-5). An undo is owed until
//! done.

use crate::domain::attempt::Operation;
use crate::domain::command::Refusal;
use crate::domain::effect::Alert;
use crate::domain::flow::DecisionDraft;
use crate::domain::ids::ATTEMPTS_MAX;
use crate::domain::order::OrderKind;
use crate::domain::outcome::Reason;
use crate::domain::reversal::Phase;

impl DecisionDraft<'_> {
    /// Makes the undo's next attempt durable and owes its sending (I-1).
    pub(super) fn begin_undo(&mut self) -> Result<(), Refusal> {
        assert!(
            matches!(self.order.instruction.kind, OrderKind::Undo { .. }),
            "only undo orders are begun"
        );
        if self.order.status.is_final() || self.order.unresolved().is_some() {
            return Err(Refusal::WrongPhase);
        }
        let entry = self.entry.as_mut().ok_or(Refusal::NothingOpen)?;
        if entry.phase != Phase::UndoOwed {
            return Err(Refusal::WrongPhase);
        }
        // The contradicted attempt has wiped its card number, so a channel that needs it again
        // cannot be asked.
        let can = self.terms.can(Operation::Undo) && !self.terms.follow_up_needs_card;
        if self.order.attempts.len() >= ATTEMPTS_MAX.into() || !can {
            entry.hand_to_operator(self.now);
            return Ok(());
        }
        // While the attempt is on its way, recovery makes the entry due again, not the schedule.
        entry.due_at = None;
        let channel = entry.channel.clone();
        let number = self.push_attempt(channel, Operation::Undo);
        let entry = self.entry.as_mut().expect("it was found above");
        entry.attempt = number;
        Ok(())
    }

    /// The attempt is dead but the undo is still owed.
    pub(super) fn undo_unsent(&mut self) {
        let now = self.now;
        let entry = self.entry.as_mut().expect("I-6: an undo has an entry while it is owed");
        entry.after_unsent_undo(now);
    }

    /// An undo that never arrived is sent again; one that the channel refuses needs a person.
    pub(super) fn undo_declined(&mut self, reason: Reason) {
        let now = self.now;
        if reason == Reason::NeverArrived {
            return self.undo_unsent();
        }
        let entry = self.entry.as_mut().expect("I-6: an undo has an entry while it is owed");
        entry.note(now, format!("undo: declined ({})", reason.name()));
        entry.hand_to_operator(now);
        self.alert(Alert::OperatorNeeded);
    }
}
