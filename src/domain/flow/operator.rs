//! An operator's ways with an unknown: have it worked again, or end it with a reason.

use crate::domain::attempt::{Attempt, AttemptState, Evidence, Source};
use crate::domain::command::{CardInMemory, Decider, Refusal};
use crate::domain::event::EventKind;
use crate::domain::flow::DecisionDraft;
use crate::domain::order::{OrderKind, OrderStatus};
use crate::domain::outcome::{Approval, Decline, Outcome, Reason};
use crate::domain::reversal::{Phase, Resolution};
use crate::domain::write_set::AuditEntry;

/// The code that an operator's decision leaves in the place of a channel's.
const OPERATOR_CODE: &str = "operator";

impl DecisionDraft<'_> {
    /// While a call is under way its own end decides; if it is lost, recovery says so in time.
    fn require_idle(&self) -> Result<(), Refusal> {
        let sending = |attempt: &Attempt| attempt.state == AttemptState::Sending;
        let under_way = self.order.unresolved().is_some_and(sending);
        if under_way { Err(Refusal::WrongPhase) } else { Ok(()) }
    }

    pub(super) fn retry(&mut self, decider: Decider) -> Result<(), Refusal> {
        self.require_idle()?;
        let open = self.order.unresolved().is_some();
        let now = self.now;
        let terms = self.terms;
        let reversible =
            self.order.unresolved().is_some_and(|attempt| terms.can_reverse(attempt.operation));
        let entry = self.entry.as_mut().ok_or(Refusal::NothingOpen)?;
        entry.phase = match (open, entry.phase) {
            (false, _) => Phase::UndoOwed,
            (true, Phase::Reversing) => Phase::Reversing,
            (true, _) if entry.reversals_unanswered > 0 && !entry.reversal_refused => {
                Phase::Reversing
            }
            (true, _) if !terms.inquire.is_empty() => Phase::Inquiring,
            (true, _) if reversible => Phase::Reversing,
            (true, _) => return Err(Refusal::WrongPhase),
        };
        entry.step = 0;
        entry.reversals_exhausted = false;
        entry.due_at = Some(now);
        entry.note(now, "retried by an operator".to_owned());
        self.decided(EventKind::Retried, None, &decider);
        self.audit("reversal.retry", decider);
        Ok(())
    }

    pub(super) fn resolve(
        &mut self,
        resolution: Resolution,
        decider: Decider,
    ) -> Result<(), Refusal> {
        if self.entry.is_none() {
            return Err(Refusal::NothingOpen);
        }
        self.require_idle()?;
        let approved = decider.approver.as_ref().map(|name| format!(", approved by {name}"));
        let approved = approved.unwrap_or_default();
        let transcript = format!("{}{approved}: {}", decider.actor, decider.reason);
        self.decided(EventKind::Resolved, Some(resolution), &decider);
        match (self.order.unresolved().map(|attempt| attempt.number), resolution) {
            (Some(number), _) => self.resolve_attempt(number, resolution, transcript)?,
            (None, Resolution::Failed) => {
                let undo = matches!(self.order.instruction.kind, OrderKind::Undo { .. });
                assert!(undo, "I-6: only an undo is owed without an open attempt");
                self.finish_order(OrderStatus::Failed, Some(Reason::OperatorDecision));
            }
            (None, Resolution::Succeeded | Resolution::Reversed) => {
                return Err(Refusal::NothingToResolve);
            }
        }
        self.audit("reversal.resolve", decider);
        Ok(())
    }

    fn resolve_attempt(
        &mut self,
        number: u8,
        resolution: Resolution,
        transcript: String,
    ) -> Result<(), Refusal> {
        let source = Source::Operator;
        let code = OPERATOR_CODE.to_owned();
        match resolution {
            Resolution::Succeeded => {
                let approval = Approval { code, ..Approval::default() };
                let outcome = Outcome::Approved(approval.clone());
                let evidence = Evidence {
                    source,
                    attempt: number,
                    outcome,
                    objection: None,
                    as_of: None,
                    transcript,
                    sent: String::new(),
                };
                self.approve(number, &approval, &evidence);
            }
            Resolution::Failed => {
                let reason = Reason::OperatorDecision;
                let decline = Decline { reason, code, elsewhere: false };
                self.decline(number, &decline, source, &CardInMemory::No)?;
                if !self.order.status.is_final() {
                    // A refused undo stays owed by itself; the operator decided that it is not.
                    self.finish_order(OrderStatus::Failed, Some(reason));
                }
            }
            Resolution::Reversed => {
                let now = self.now;
                let attempt = self.order.attempt_mut(number).expect("it is the open one");
                attempt.end(AttemptState::Reversed, source, now);
                attempt.code = Some(code);
                self.finish_order(OrderStatus::Reversed, Some(Reason::OperatorDecision));
            }
        }
        Ok(())
    }

    /// Keeps an operator's decision among what happened to the order.
    pub(super) fn decided(
        &mut self,
        kind: EventKind,
        resolution: Option<Resolution>,
        decider: &Decider,
    ) {
        let attempt = self.order.unresolved().map_or(0, |attempt| attempt.number);
        let mut event = self.event(kind, attempt);
        event.source = Some(Source::Operator);
        event.outcome = resolution.map(|resolution| resolution.name().to_owned());
        event.actor = Some(decider.actor.clone());
        event.approver.clone_from(&decider.approver);
        event.detail = Some(decider.reason.clone());
        self.events.push(event);
    }

    pub(super) fn audit(&mut self, action: &str, decider: Decider) {
        self.writes.audit.push(AuditEntry {
            at: self.now,
            actor: decider.actor,
            approver: decider.approver,
            action: action.to_owned(),
            subject: self.order.id.to_string(),
            reason: decider.reason,
        });
    }
}
