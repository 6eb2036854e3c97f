//! Carries card verifications out: each try is durable before it leaves, an id is answered once
//! (I-9), and an end that nobody knows is `unknown`.
//!
//! There is no worker for them. A verification whose call has died is ended by whoever asks for it
//! next: until then nothing hangs on it, and nothing is owed.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use crate::channel::{ChannelRequest, ServiceFacts};
use crate::domain::card::CardInput;
use crate::domain::card_service::CardService;
use crate::domain::command::Refusal;
use crate::domain::ids::{ChannelId, VerificationId};
use crate::domain::order::ContentMismatch;
use crate::domain::verification::{CardVerification, VerificationRequest};
use crate::domain::write_set::WriteSet;
use crate::engine::acceptance::DURABLE_WITHIN;
use crate::engine::{Engine, EngineError};
use crate::store::CommitError;
use crate::telemetry;

/// A verification as it is after a call, and whether its id was used before.
#[derive(Debug)]
pub struct VerificationAnswer {
    pub verification: CardVerification,
    pub is_repeat: bool,
}

impl VerificationAnswer {
    const fn new(verification: CardVerification) -> Self {
        Self { verification, is_repeat: false }
    }

    pub(super) const fn repeat(verification: CardVerification) -> Self {
        Self { verification, is_repeat: true }
    }
}

impl Engine {
    /// Asks these channels, best first, until one has compared the elements. Returns the end, or
    /// the verification as it is in the books at `until`; the work goes on then.
    pub async fn verify(
        self: &Arc<Self>,
        asked: VerificationRequest,
        card: CardInput,
        channels: Vec<ChannelId>,
        until: Instant,
    ) -> Result<VerificationAnswer, EngineError> {
        let (engine, card) = (Arc::clone(self), Arc::new(card));
        let (durable, begun) = oneshot::channel();
        // A caller that hangs up stops nothing.
        let work = async move { engine.ask_issuers(asked, &card, channels, durable).await };
        let mut work = pin!(tokio::spawn(work.in_current_span()));
        if let Ok(ended) = timeout_at(until, &mut work).await {
            return ended.unwrap_or(Err(EngineError::Died));
        }
        match timeout_at(until + DURABLE_WITHIN, begun).await {
            Ok(Ok(id)) => {
                let row = self.store.verification(id).await?;
                row.map(VerificationAnswer::new).ok_or(EngineError::Contended)
            }
            // The work has ended without a row of its own: a repeat, or an error.
            Ok(Err(_)) => work.await.unwrap_or(Err(EngineError::Died)),
            Err(_) => Err(EngineError::NotDurable),
        }
    }

    /// The verification with the same caller's id and content, if there is one. One whose call has
    /// died is ended first.
    pub async fn kept_verification(
        &self,
        asked: &VerificationRequest,
    ) -> Result<Option<CardVerification>, EngineError> {
        let (caller, id) = (asked.caller.clone(), asked.caller_order_id.clone());
        let Some(kept) = self.store.verification_by_caller(caller, id).await? else {
            return Ok(None);
        };
        if let Some(field) = kept.asked.differs_from(asked) {
            return Err(ContentMismatch { field }.into());
        }
        self.end_if_lost(kept).await.map(Some)
    }

    /// Ends a verification whose call must have ended long ago without its result.
    pub async fn end_if_lost(
        &self,
        kept: CardVerification,
    ) -> Result<CardVerification, EngineError> {
        let terms = self.channels.terms_at(&kept.channel, kept.sent_at);
        let call_ends = terms.map(|terms| terms.call_ends_after).unwrap_or_default();
        if kept.end.is_some() || self.clock.present().age(kept.sent_at) < call_ends {
            return Ok(kept);
        }
        self.write_verification(kept.lost(self.clock.now())).await
    }

    async fn ask_issuers(
        &self,
        asked: VerificationRequest,
        card: &Arc<CardInput>,
        channels: Vec<ChannelId>,
        durable: oneshot::Sender<VerificationId>,
    ) -> Result<VerificationAnswer, EngineError> {
        let mut channels = channels.into_iter();
        let first = channels.next().ok_or(Refusal::NoCandidate)?;
        let id = VerificationId::of(self.next_order_id().await?);
        let begun = CardVerification::begun(id, asked, first, self.clock.now());
        let writes = WriteSet { verifications: vec![begun.clone()], ..WriteSet::default() };
        match self.store.commit(&writes).await {
            Ok(()) => {
                // A call that has gone away needs no answer.
                let _ = durable.send(id);
            }
            // Its id was used before, or is being used by another call at this moment.
            Err(CommitError::Conflict) => {
                let kept = self.kept_verification(&begun.asked).await?;
                return kept.map(VerificationAnswer::repeat).ok_or(EngineError::Contended);
            }
            Err(error) => return Err(self.commit_error(&error)),
        }
        let mut row = begun;
        // Bounded: each round takes one of the channels.
        while row.end.is_none() {
            let facts = ServiceFacts {
                service: CardService::Verification,
                channel_order_no: row.channel_order_no(),
                sent_at: row.sent_at,
                merchant_id: row.asked.merchant_id.clone(),
            };
            let request = ChannelRequest::Service { facts, subject: Arc::clone(card).into() };
            let understood = self.call_channel(&row.channel, request).await;
            let tries = row.tries;
            let after = row.learn(&understood.outcome, channels.next(), self.clock.now());
            row = self.write_verification(after).await?;
            if row.tries == tries && row.end.is_none() {
                return Err(EngineError::Contended);
            }
        }
        Ok(VerificationAnswer::new(row))
    }

    /// The row as it stands after the write: another's, where that came first.
    async fn write_verification(
        &self,
        row: CardVerification,
    ) -> Result<CardVerification, EngineError> {
        let writes = WriteSet { verifications: vec![row], ..WriteSet::default() };
        let written = self.commit_patiently(&writes).await;
        let row = writes.verifications.into_iter().next().expect("one was given");
        match written {
            Ok(()) => {
                if let Some(end) = &row.end {
                    telemetry::count_verification(end.verdict);
                }
                Ok(row)
            }
            Err(CommitError::Conflict) => {
                let stored = self.store.verification(row.id).await?;
                stored.ok_or(EngineError::Contended)
            }
            Err(error) => Err(self.commit_error(&error)),
        }
    }
}
