//! Works one entry of the temp reversal table: an inquiry, a reversal, or an owed undo.

use crate::channel::{AttemptFacts, ChannelRequest, ReplyMeaning};
use crate::domain::attempt::{AttemptState, Evidence, Source};
use crate::domain::command::{CardInMemory, Command, Refusal};
use crate::domain::effect::Effect;
use crate::domain::ids::OrderId;
use crate::domain::order::{Order, OrderKind};
use crate::domain::outcome::{Outcome, UnknownCause};
use crate::domain::reversal::{Phase, ReversalEntry};
use crate::domain::time::Timestamp;
use crate::engine::{Engine, EngineError, facts};

/// The result of one round of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkResult {
    /// The order has ended.
    Ended,
    /// The order is still open, and due again later or in an operator's hands.
    Open,
    /// Evidence, an operator or another round had moved it meanwhile.
    Nothing,
}

impl Engine {
    /// Works an entry once, as its phase says.
    pub async fn work(&self, entry: &ReversalEntry) -> Result<WorkResult, EngineError> {
        let order = self.load_order(entry.order).await?;
        let after = match entry.phase {
            Phase::Inquiring => self.inquire(order).await,
            Phase::Reversing => self.reverse(order.id).await,
            Phase::UndoOwed => self.undo(order.id).await,
            Phase::Operator => Ok(None),
        };
        match after {
            Ok(Some(order)) if order.status.is_final() => Ok(WorkResult::Ended),
            Ok(Some(_)) => Ok(WorkResult::Open),
            // Evidence or another worker was there first.
            Ok(None) | Err(EngineError::Refused(Refusal::NothingOpen | Refusal::WrongPhase)) => {
                Ok(WorkResult::Nothing)
            }
            Err(error) => Err(error),
        }
    }

    async fn inquire(&self, order: Order) -> Result<Option<Order>, EngineError> {
        let Some(attempt) = order.unresolved().cloned() else { return Ok(None) };
        let original = self.original_facts(&order).await?;
        let asked_at = self.clock().now();
        let request = ChannelRequest::Inquiry {
            facts: facts(&order, attempt.number),
            original,
            pan: self.open_pan(order.id, &attempt),
            now: asked_at,
        };
        let understood = self.call_channel(&attempt.channel, request).await;
        let said = understood.into_evidence(Source::Inquiry, attempt.number);
        let evidence = Evidence { as_of: Some(asked_at), ..said };
        self.weigh(order.id, evidence).await.map(Some)
    }

    async fn reverse(&self, id: OrderId) -> Result<Option<Order>, EngineError> {
        // From before the commit, which may stand still: what is judged by this moment is judged
        // by an earlier one than that of the first byte.
        let asked_at = self.clock().now();
        let begun = self.run(id, None, |_| Command::BeginReversal).await?;
        let number = begun.effects.iter().find_map(|effect| match effect {
            Effect::SendReversal { attempt, .. } => Some(*attempt),
            Effect::Send { .. }
            | Effect::Announce { .. }
            | Effect::Book
            | Effect::Notify
            | Effect::WorkReversals
            | Effect::Alert { .. } => None,
        });
        let Some(number) = number else { return Ok(Some(begun.order)) };
        let attempt = begun.order.attempt(number).expect("the decision names its attempt").clone();
        let original = self.original_facts(&begun.order).await?;
        let request = ChannelRequest::Reversal {
            facts: facts(&begun.order, number),
            original,
            pan: self.open_pan(id, &attempt),
            now: asked_at,
        };
        let understood = self.call_channel(&attempt.channel, request).await;
        self.learn_reversal(id, (number, asked_at), understood, false).await.map(Some)
    }

    /// Takes the answer to a reversal of an attempt, and when that was asked. `is_late`: its call
    /// had ended without it.
    pub async fn learn_reversal(
        &self,
        id: OrderId,
        (attempt, asked_at): (u8, Timestamp),
        understood: ReplyMeaning,
        is_late: bool,
    ) -> Result<Order, EngineError> {
        let ReplyMeaning { outcome, objection, transcript, issued: _, sent } = understood;
        let command = Command::LearnReversal {
            attempt,
            outcome,
            objection,
            transcript,
            sent,
            asked_at,
            is_late,
        };
        Ok(self.run(id, None, move |_| command.clone()).await?.order)
    }

    /// The attempt that an order follows up, as its channel knows it; `None` where the order is no
    /// follow-up.
    pub(crate) async fn original_facts(
        &self,
        order: &Order,
    ) -> Result<Option<AttemptFacts>, EngineError> {
        let Some(of) =
            order.instruction.kind.original().filter(|_| order.instruction.kind.is_follow_up())
        else {
            return Ok(None);
        };
        let original = self.load_order(of).await?;
        Ok(original.approved().map(|approved| facts(&original, approved.number)))
    }

    async fn undo(&self, id: OrderId) -> Result<Option<Order>, EngineError> {
        let begun = self.run(id, None, |_| Command::BeginUndo).await?;
        let OrderKind::Undo { of } = begun.order.instruction.kind else { return Ok(None) };
        let Some(attempt) = begun.order.unresolved().cloned() else {
            return Ok(Some(begun.order));
        };
        let original = self.load_order(of.order).await?;
        let mut original = facts(&original, of.attempt);
        // The contradicted attempt never learnt the channel's number; the contradiction kept it.
        let claimed = self.store().contradictions(of.order).await?;
        let claim = claimed.iter().find(|claim| claim.undo == Some(id));
        if let Some(reference) = claim.and_then(|claim| claim.channel_reference.clone()) {
            original.channel_reference = Some(reference);
        }
        let facts = facts(&begun.order, attempt.number);
        let request = ChannelRequest::FollowUp { facts, original, pan: None };
        let understood = self.call_channel(&attempt.channel, request).await;
        // The undo's entry is among its rows, so they are loaded.
        let learnt = self.learn(id, None, attempt.number, understood, CardInMemory::No).await?;
        Ok(Some(learnt.order))
    }

    /// Calls that died with the process that made them: we do not know what became of them.
    pub async fn recover_orphans(&self, limit: usize) -> Result<usize, EngineError> {
        let (mut after, mut recovered) = (None, 0);
        // Bounded by what was in flight: each page goes on after the last id.
        loop {
            let page = self.store().orphans(after, limit).await?;
            let Some(last) = page.last() else { return Ok(recovered) };
            after = Some(last.id);
            for order in &page {
                recovered += usize::from(self.recover_order(order, true).await?);
            }
        }
    }

    /// Calls of this process that have lost their way, which takes longer than any call does.
    pub async fn recover_lost(&self, limit: usize) -> Result<usize, EngineError> {
        let (mut after, mut recovered) = (None, 0);
        // The calls of other nodes are theirs: only who has stamped an attempt knows its age.
        if let Some(cluster) = self.store().cluster() {
            for (id, _) in cluster.in_flight().await? {
                let order = self.load_order(id).await?;
                recovered += usize::from(self.recover_order(&order, false).await?);
            }
            return Ok(recovered);
        }
        // Bounded by the number of open orders: each page goes on after the last id.
        loop {
            let page = self.store().open_orders(after, limit).await?;
            let Some(last) = page.last() else { return Ok(recovered) };
            after = Some(last.id);
            for order in &page {
                recovered += usize::from(self.recover_order(order, false).await?);
            }
        }
    }

    async fn recover_order(&self, order: &Order, orphaned: bool) -> Result<bool, EngineError> {
        let Some(attempt) = order.unresolved() else { return Ok(false) };
        if attempt.state != AttemptState::Sending {
            return Ok(false);
        }
        let terms = self.channels().terms_at(&attempt.channel, order.created_at);
        let Some(terms) = terms else { return Ok(false) };
        let lost = self.clock().present().age(attempt.sent_at) >= terms.call_ends_after;
        if !(orphaned || lost) {
            return Ok(false);
        }
        let evidence = Evidence {
            source: Source::Recovery,
            attempt: attempt.number,
            outcome: Outcome::Unknown(UnknownCause::ProcessDied),
            objection: None,
            as_of: None,
            transcript: String::new(),
            sent: String::new(),
        };
        self.weigh(order.id, evidence).await?;
        Ok(true)
    }
}
