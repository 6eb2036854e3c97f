//! Reversals: their leaving changes the entry, their answer the attempt.

use crate::domain::attempt::{Attempt, AttemptState, Evidence, Source, words};
use crate::domain::command::{CardInMemory, Refusal};
use crate::domain::effect::Effect;
use crate::domain::event::{EventKind, EventRemark, OrderEvent};
use crate::domain::flow::DecisionDraft;
use crate::domain::flow::learn::DISOWNED;
use crate::domain::order::OrderStatus;
use crate::domain::outcome::{Decline, Objection, Outcome, Reason};
use crate::domain::reversal::Phase;
use crate::domain::time::Timestamp;

/// What the call of a reversal has brought.
pub(super) struct ReversalAnswer {
    pub outcome: Outcome,
    pub objection: Option<Objection>,
    pub transcript: String,
    pub sent: String,
}

impl DecisionDraft<'_> {
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
            self.refuse_reversal();
            return Ok(());
        }
        self.events.push(OrderEvent::new(
            self.order.id,
            now,
            EventKind::ReversalSent,
            attempt.number,
        ));
        entry.leave_reversal(terms, now);
        // Repeating with the same reference is harmless, so a crash simply makes it due again.
        entry.due_at = Some(now.plus(terms.call_ends_after));
        let (order, attempt) = (self.order.id, attempt.number);
        self.effects.push(Effect::SendReversal { order, attempt });
        Ok(())
    }

    pub(super) fn learn_reversal(
        &mut self,
        number: u8,
        answer: ReversalAnswer,
        asked_at: Timestamp,
        is_late: bool,
    ) -> Result<(), Refusal> {
        let ReversalAnswer { outcome, objection, transcript, sent } = answer;
        let (outcome, objection) = (&outcome, objection.as_ref());
        let missing = Refusal::NoSuchAttempt { attempt: number };
        let attempt = self.order.attempt(number).ok_or(missing)?.clone();
        if !attempt.state.is_unresolved() {
            return self.reversed_after_end(&attempt, outcome, &transcript);
        }
        let now = self.now;
        let entry = self.entry.as_mut().ok_or(Refusal::NothingOpen)?;
        // The answer of an earlier try may come when the entry has moved on: a yes is a yes, and an
        // end is one reversal less on its way.
        let ends_the_try = match outcome {
            Outcome::Declined(_) | Outcome::NotSent(_) | Outcome::NotFound { .. } => true,
            Outcome::Approved(_) | Outcome::Pending { .. } | Outcome::Unknown(_) => false,
        };
        let moved_on = entry.phase != Phase::Reversing;
        if moved_on && !ends_the_try && !matches!(outcome, Outcome::Approved(_)) {
            return Err(Refusal::WrongPhase);
        }
        let absent = matches!(outcome, Outcome::NotFound { .. });
        let remark = if absent && attempt.acknowledged_at.is_some() { DISOWNED } else { "" };
        // With an objection, the channel's words are nothing to believe.
        let said = match objection {
            Some(_) => words(outcome, objection),
            None => format!("{}{remark} {transcript}", outcome.name()).trim_end().to_owned(),
        };
        let when = if is_late { "late reversal" } else { "reversal" };
        entry.note(now, format!("{when}: {said}"));
        let event = OrderEvent::new(self.order.id, now, EventKind::ReversalAnswered, number);
        let mut event = event.telling(Source::Reversal, outcome, objection);
        event.remark = match (remark.is_empty(), is_late) {
            (false, _) => Some(EventRemark::Disowned),
            (true, true) => Some(EventRemark::Late),
            (true, false) => None,
        };
        (event.transcript, event.sent) = (transcript, sent);
        self.events.push(event);
        if objection.is_some() {
            let attempt = self.order.attempt_mut(attempt.number).expect("it is the open one");
            attempt.objection = objection.cloned();
        }
        if ends_the_try {
            entry.reversals_unanswered = entry.reversals_unanswered.saturating_sub(1);
        }
        if let Outcome::NotSent(_) = outcome {
            entry.reversals = entry.reversals.saturating_sub(1);
        }
        // An answer that was asked for late enough proves in any phase that the order never
        // arrived.
        if moved_on && ends_the_try && !(absent && is_late) {
            return Ok(());
        }
        self.follow_reversal(&attempt, outcome, asked_at, is_late)
    }

    /// Applies the answer of a reversal while reversals are sent; a yes always. The call of a late
    /// answer has set the next step already.
    fn follow_reversal(
        &mut self,
        attempt: &Attempt,
        outcome: &Outcome,
        asked_at: Timestamp,
        is_late: bool,
    ) -> Result<(), Refusal> {
        let (now, terms) = (self.now, self.terms);
        let entry = self.entry.as_mut().ok_or(Refusal::NothingOpen)?;
        let is_believed = terms.not_found_was_final(attempt, asked_at, &self.present);
        let acknowledged = attempt.acknowledged_at.is_some();
        match outcome {
            Outcome::Approved(approval) => {
                let attempt = self.order.attempt_mut(attempt.number).expect("it is the open one");
                attempt.end(AttemptState::Reversed, Source::Reversal, now);
                attempt.code = Some(approval.code.clone());
                let reason = Some(Reason::ReversedAfterUnknown);
                self.finish_order(OrderStatus::Reversed, reason);
            }
            Outcome::NotFound { code } if is_believed && !acknowledged => {
                let code = code.clone();
                let decline = Decline { reason: Reason::NeverArrived, code, elsewhere: false };
                let source = Source::Reversal;
                self.decline(attempt.number, &decline, source, &CardInMemory::No)?;
            }
            Outcome::NotFound { .. } if is_late => {}
            Outcome::NotFound { .. } => {
                let believed_in = terms.not_found_final_in(attempt, &self.present);
                let not_before = Some(now.plus(believed_in)).filter(|_| !acknowledged);
                entry.after_reversal(terms, not_before, &self.present);
            }
            Outcome::Declined(_) => self.refuse_reversal(),
            Outcome::NotSent(cause) if cause.is_passing() => entry.store_and_forward(terms, now),
            Outcome::NotSent(_) | Outcome::Pending { .. } | Outcome::Unknown(_) => {
                entry.after_reversal(terms, None, &self.present);
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
        transcript: &str,
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
            as_of: None,
            transcript: transcript.to_owned(),
            sent: String::new(),
        };
        self.contradict(attempt, &evidence, None)
    }

    /// The channel will not undo it by this reversal, nor by a later one. From here what it says of
    /// the attempt can end it, and those that left before without an answer.
    fn refuse_reversal(&mut self) {
        let (now, terms) = (self.now, self.terms);
        let entry = self.entry.as_mut().expect("the caller works an entry");
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
