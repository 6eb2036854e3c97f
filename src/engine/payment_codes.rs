//! Has channels send the codes of payments: each request rests before it leaves, under the number
//! of the payment to come, and an id is answered once (I-9).
//!
//! There is no worker: a request whose call has died is unknown to whoever asks next, and what has
//! ended by its time pays nothing, without anybody's doing.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use crate::channel::{ChannelRequest, ServiceFacts, ServiceSubject};
use crate::domain::card::{CardInput, CardToken};
use crate::domain::card_service::CardService;
use crate::domain::order::ContentMismatch;
use crate::domain::payment_code::{PaymentCode, PaymentCodeRefusal, PaymentCodeRequest};
use crate::domain::write_set::WriteSet;
use crate::engine::acceptance::DURABLE_WITHIN;
use crate::engine::{Engine, EngineError};
use crate::store::CommitError;
use crate::telemetry;

/// The code of a payment as it is after a call, and whether its id was used before.
#[derive(Debug)]
pub struct PaymentCodeAnswer {
    pub code: PaymentCode,
    pub is_repeat: bool,
}

impl PaymentCodeAnswer {
    pub(super) const fn repeat(code: PaymentCode) -> Self {
        Self { code, is_repeat: true }
    }
}

/// Whose phone gets the code.
pub enum CodeTarget {
    /// The card's, with its phone.
    Card(Arc<CardInput>),
    /// That of an agreement, by its token.
    Agreement(CardToken),
}

impl From<CodeTarget> for ServiceSubject {
    fn from(target: CodeTarget) -> Self {
        match target {
            CodeTarget::Card(card) => card.into(),
            CodeTarget::Agreement(token) => Self { token: Some(token.into()), ..Self::default() },
        }
    }
}

impl Engine {
    /// The code with the caller's id of this payment, if one was asked for. A request whose call
    /// has died is ended first.
    pub async fn kept_code(
        &self,
        asked: &PaymentCodeRequest,
    ) -> Result<Option<PaymentCode>, EngineError> {
        let (caller, id) = (asked.caller.clone(), asked.caller_order_id.clone());
        let Some(kept) = self.store.payment_code(caller, id).await? else { return Ok(None) };
        if let Some(field) = kept.asked.differs_from(asked) {
            return Err(ContentMismatch { field }.into());
        }
        self.settle_code(kept).await.map(Some)
    }

    /// Ends a request whose call must have ended long ago without its result.
    pub async fn settle_code(&self, kept: PaymentCode) -> Result<PaymentCode, EngineError> {
        let sent_at = kept.last_call.sent_at;
        let terms = self.channels.terms_at(&kept.channel, sent_at);
        let call_ends = terms.map(|terms| terms.call_ends_after).unwrap_or_default();
        if !kept.is_under_way() || self.clock.present().age(sent_at) < call_ends {
            return Ok(kept);
        }
        self.write_code(kept.lost(self.clock.now())).await
    }

    /// Makes the row durable, whose request is about to leave, and has the channel send the code.
    /// Returns what came of it, or the row as it was made durable where that is not known at
    /// `until`; the work goes on then.
    pub async fn send_code(
        self: &Arc<Self>,
        row: PaymentCode,
        target: CodeTarget,
        until: Instant,
    ) -> Result<PaymentCodeAnswer, EngineError> {
        let (durable, begun) = oneshot::channel();
        let engine = Arc::clone(self);
        let work = async move { engine.ask_for_code(row, target, durable).await };
        // A caller that hangs up stops nothing.
        let mut work = pin!(tokio::spawn(work.in_current_span()));
        if let Ok(ended) = timeout_at(until, &mut work).await {
            return ended.unwrap_or(Err(EngineError::Died));
        }
        match timeout_at(until + DURABLE_WITHIN, begun).await {
            Ok(Ok(code)) => Ok(PaymentCodeAnswer { code, is_repeat: false }),
            // The work has ended without a row of its own: a repeat, or an error.
            Ok(Err(_)) => work.await.unwrap_or(Err(EngineError::Died)),
            Err(_) => Err(EngineError::NotDurable),
        }
    }

    async fn ask_for_code(
        &self,
        row: PaymentCode,
        target: CodeTarget,
        durable: oneshot::Sender<PaymentCode>,
    ) -> Result<PaymentCodeAnswer, EngineError> {
        let writes = WriteSet { payment_codes: vec![row.clone()], ..WriteSet::default() };
        match self.store.commit(&writes).await {
            Ok(()) => {
                // A call that has gone away needs no answer.
                let _ = durable.send(row.clone());
            }
            // Another call has asked at this moment. A first one is answered as its repeat.
            Err(CommitError::Conflict) if row.version == 1 => {
                let kept = self.kept_code(&row.asked).await?;
                return kept.map(PaymentCodeAnswer::repeat).ok_or(EngineError::Contended);
            }
            Err(CommitError::Conflict) => return Err(PaymentCodeRefusal::UnderWay.into()),
            Err(error) => return Err(self.commit_error(&error)),
        }
        let facts = ServiceFacts {
            service: CardService::PaymentCode,
            channel_order_no: row.last_call.channel_order_no(),
            sent_at: row.last_call.sent_at,
            merchant_id: row.asked.merchant_id.clone(),
        };
        let charge = Some(row.asked.charge());
        let subject = ServiceSubject { charge, ..target.into() };
        let request = ChannelRequest::Service { facts, subject };
        let said = self.call_channel(&row.channel, request).await;
        let after = row.learn(&said.outcome, self.clock.now());
        let code = self.write_code(after).await?;
        Ok(PaymentCodeAnswer { code, is_repeat: false })
    }

    /// The row as it stands after the write: another's, where that came first.
    async fn write_code(&self, row: PaymentCode) -> Result<PaymentCode, EngineError> {
        let writes = WriteSet { payment_codes: vec![row], ..WriteSet::default() };
        let written = self.commit_patiently(&writes).await;
        let row = writes.payment_codes.into_iter().next().expect("one was given");
        match written {
            Ok(()) => {
                telemetry::count_payment_code(row.state);
                Ok(row)
            }
            // Its payment has come meanwhile.
            Err(CommitError::Conflict) => {
                let asked = row.asked;
                let stored = self.store.payment_code(asked.caller, asked.caller_order_id).await?;
                stored.ok_or(EngineError::Contended)
            }
            Err(error) => Err(self.commit_error(&error)),
        }
    }
}
