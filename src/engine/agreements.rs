//! Carries agreements' requests to their channels: each is durable before it leaves, an id is
//! answered once (I-9), and what nobody knows stays `unknown` until the channel has told it.
//!
//! The card's number never rests (I-11): it is at hand in this process for some minutes, until its
//! agreement is confirmed, and given again after that or at another node. There is no worker: a
//! request whose call has died is ended by whoever asks for the agreement next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::channel::{ChannelRequest, ReplyMeaning, ServiceFacts, ServiceSubject};
use crate::domain::agreement::{
    Agreement, AgreementCall, AgreementRefusal, AgreementRequest, AgreementState, GrantedToken,
};
use crate::domain::card::{CardInput, CardToken, SmsCode};
use crate::domain::card_service::CardService;
use crate::domain::command::Refusal;
use crate::domain::ids::{AgreementId, ChannelId};
use crate::domain::order::ContentMismatch;
use crate::domain::outcome::{NotSentCause, Outcome};
use crate::domain::write_set::WriteSet;
use crate::engine::acceptance::DURABLE_WITHIN;
use crate::engine::{Engine, EngineError};
use crate::store::CommitError;
use crate::telemetry;

/// How long a card is at hand for its code: longer than a code is good anywhere.
const AT_HAND: Duration = Duration::from_secs(15 * 60);
/// How many cards are at hand at most; of one more the number is asked for again.
const AT_HAND_MAX: usize = 100_000;

/// An agreement as it is after a call, and whether its id was used before.
#[derive(Debug)]
pub struct AgreementAnswer {
    pub agreement: Agreement,
    pub is_repeat: bool,
}

impl AgreementAnswer {
    const fn new(agreement: Agreement) -> Self {
        Self { agreement, is_repeat: false }
    }

    pub(super) const fn repeat(agreement: Agreement) -> Self {
        Self { agreement, is_repeat: true }
    }
}

/// The cards whose agreements wait for a code, in memory alone.
#[derive(Default)]
pub(super) struct CardsAtHand {
    cards: Mutex<HashMap<AgreementId, Arc<CardInput>>>,
}

impl CardsAtHand {
    fn cards(&self) -> MutexGuard<'_, HashMap<AgreementId, Arc<CardInput>>> {
        self.cards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a card for as long as its code may come.
    fn keep(self: &Arc<Self>, id: AgreementId, card: &Arc<CardInput>) {
        let mut cards = self.cards();
        if cards.len() >= AT_HAND_MAX && !cards.contains_key(&id) {
            return;
        }
        cards.insert(id, Arc::clone(card));
        let (all, mine) = (Arc::downgrade(self), Arc::downgrade(card));
        tokio::spawn(async move {
            sleep(AT_HAND).await;
            let Some(all) = all.upgrade() else { return };
            let mut cards = all.cards();
            // A card that was given again has its own time.
            if cards.get(&id).is_some_and(|kept| Arc::as_ptr(kept) == mine.as_ptr()) {
                cards.remove(&id);
            }
        });
    }

    fn of(&self, id: AgreementId) -> Option<Arc<CardInput>> {
        self.cards().get(&id).cloned()
    }

    fn forget(&self, id: AgreementId) {
        self.cards().remove(&id);
    }
}

/// What a confirmation brings along.
pub struct GivenCode {
    pub code: SmsCode,
    /// The card again, where its number may not be at hand any more.
    pub card: Option<CardInput>,
}

impl Engine {
    /// Opens an agreement at its channel: a code is sent. Returns what came of it, or the agreement
    /// as it is in the books at `until`; the work goes on then.
    pub async fn open_agreement(
        self: &Arc<Self>,
        asked: AgreementRequest,
        card: CardInput,
        channel: ChannelId,
        until: Instant,
    ) -> Result<AgreementAnswer, EngineError> {
        let (durable, begun) = oneshot::channel();
        let engine = Arc::clone(self);
        let work = async move { engine.begin_agreement(asked, card, channel, durable).await };
        // A caller that hangs up stops nothing.
        let mut work = tokio::spawn(work);
        if let Ok(ended) = timeout_at(until, &mut work).await {
            return ended.unwrap_or(Err(EngineError::Died));
        }
        match timeout_at(until + DURABLE_WITHIN, begun).await {
            Ok(Ok(id)) => self.agreement_as_kept(id).await,
            // The work has ended without a row of its own: a repeat, or an error.
            Ok(Err(_)) => work.await.unwrap_or(Err(EngineError::Died)),
            Err(_) => Err(EngineError::NotDurable),
        }
    }

    async fn begin_agreement(
        &self,
        asked: AgreementRequest,
        card: CardInput,
        channel: ChannelId,
        durable: oneshot::Sender<AgreementId>,
    ) -> Result<AgreementAnswer, EngineError> {
        let id = AgreementId::of(self.next_order_id().await?);
        let begun = Agreement::begun(id, asked, channel, self.clock.now());
        let writes = WriteSet { agreements: vec![begun.clone()], ..WriteSet::default() };
        match self.store.commit(&writes).await {
            Ok(()) => {
                // A call that has gone away needs no answer.
                let _ = durable.send(id);
            }
            // Its id was used before, or is being used by another call at this moment.
            Err(CommitError::Conflict) => {
                let kept = self.kept_agreement(&begun.asked).await?;
                return kept.map(AgreementAnswer::repeat).ok_or(EngineError::Contended);
            }
            Err(error) => return Err(self.commit_error(&error)),
        }
        let card = Arc::new(card);
        self.cards.keep(id, &card);
        let subject = ServiceSubject::from(card);
        let service = CardService::AgreementCode;
        self.ask(begun, service, subject).await.map(AgreementAnswer::new)
    }

    /// The agreement with the same caller's id and content, if there is one. One whose call has
    /// died is ended first.
    pub async fn kept_agreement(
        &self,
        asked: &AgreementRequest,
    ) -> Result<Option<Agreement>, EngineError> {
        let (caller, id) = (asked.caller.clone(), asked.caller_order_id.clone());
        let Some(kept) = self.store.agreement_by_caller(caller, id).await? else {
            return Ok(None);
        };
        if let Some(field) = kept.asked.differs_from(asked) {
            return Err(ContentMismatch { field }.into());
        }
        self.settle_agreement(kept).await.map(Some)
    }

    /// Ends a request whose call must have ended long ago without its result.
    pub async fn settle_agreement(&self, kept: Agreement) -> Result<Agreement, EngineError> {
        let sent_at = kept.last_call.sent_at;
        let terms = self.channels.terms_at(&kept.channel, sent_at);
        let call_ends = terms.map(|terms| terms.call_ends_after).unwrap_or_default();
        if !kept.is_under_way() || self.clock.present().age(sent_at) < call_ends {
            return Ok(kept);
        }
        self.write_agreement(kept.lost(self.clock.now())).await
    }

    /// Has the channel send another code. `card` where its number may not be at hand any more.
    pub async fn send_agreement_code(
        self: &Arc<Self>,
        id: AgreementId,
        card: Option<CardInput>,
        until: Instant,
    ) -> Result<AgreementAnswer, EngineError> {
        let engine = Arc::clone(self);
        self.follow(id, until, async move { engine.send_code_again(id, card).await }).await
    }

    async fn send_code_again(
        &self,
        id: AgreementId,
        card: Option<CardInput>,
    ) -> Result<Agreement, EngineError> {
        let row = self.load_agreement(id).await?;
        let next = row.send_code(self.clock.now())?;
        let card = self.card_of(&row, card)?;
        let row = self.begin_call(next).await?;
        self.ask(row, CardService::AgreementCode, card.into()).await
    }

    /// Has the channel take the code. What is unknown is asked about first: a repeat is safe, and
    /// of an agreement that is active nothing is sent.
    pub async fn confirm_agreement(
        self: &Arc<Self>,
        id: AgreementId,
        given: GivenCode,
        until: Instant,
    ) -> Result<AgreementAnswer, EngineError> {
        let engine = Arc::clone(self);
        self.follow(id, until, async move { engine.take_code(id, given).await }).await
    }

    async fn take_code(&self, id: AgreementId, given: GivenCode) -> Result<Agreement, EngineError> {
        let row = self.load_agreement(id).await?;
        let (row, _) = self.ask_what_became(row).await?;
        if matches!(row.state, AgreementState::Active | AgreementState::Unknown) {
            return Ok(row);
        }
        let next = row.confirm(self.clock.now())?;
        let card = self.card_of(&row, given.card)?;
        let row = self.begin_call(next).await?;
        let sms_code = Some(Arc::new(given.code));
        let subject = ServiceSubject { sms_code, ..card.into() };
        let row = self.ask(row, CardService::AgreementConfirmation, subject).await?;
        self.learn_unknown(row).await
    }

    /// Has the channel make the token void.
    pub async fn end_agreement(
        self: &Arc<Self>,
        id: AgreementId,
        until: Instant,
    ) -> Result<AgreementAnswer, EngineError> {
        let engine = Arc::clone(self);
        self.follow(id, until, async move { engine.void_token(id).await }).await
    }

    async fn void_token(&self, id: AgreementId) -> Result<Agreement, EngineError> {
        let row = self.load_agreement(id).await?;
        if row.state == AgreementState::Ended {
            return Ok(row);
        }
        let next = row.end(self.clock.now())?;
        let token = self.token_of(&row, None)?;
        let row = self.begin_call(next).await?;
        let subject = ServiceSubject { token: Some(token.into()), ..ServiceSubject::default() };
        self.ask(row, CardService::AgreementEnd, subject).await
    }

    /// Asks about an agreement that is unknown, once.
    pub async fn look_at_agreement(&self, kept: Agreement) -> Result<Agreement, EngineError> {
        let row = self.settle_agreement(kept).await?;
        self.ask_what_became(row).await.map(|(row, _)| row)
    }

    /// The token of an agreement that an order may name now; the error says why it may not.
    pub fn payable_token(&self, agreement: &Agreement) -> Result<CardToken, EngineError> {
        agreement.check_payable(&self.clock.present())?;
        self.token_of(agreement, None)
    }

    /// The token of an agreement; `phone` where another one than the agreement's is meant.
    pub(super) fn token_of(
        &self,
        agreement: &Agreement,
        phone: Option<&str>,
    ) -> Result<CardToken, EngineError> {
        let sealed = agreement.token.as_ref().ok_or(EngineError::TokenClosed)?;
        let opened = self.vault.open_token(agreement.id, sealed);
        let token = opened.ok_or(EngineError::TokenClosed)?;
        let Some(phone) = phone else { return Ok(token) };
        CardToken::parse(token.expose(), phone).ok_or(EngineError::TokenClosed)
    }

    /// Lets work on an agreement run in a task of its own: a caller that hangs up stops nothing.
    /// Returns what came of it, or the agreement as it is in the books at `until`.
    async fn follow(
        &self,
        id: AgreementId,
        until: Instant,
        work: impl Future<Output = Result<Agreement, EngineError>> + Send + 'static,
    ) -> Result<AgreementAnswer, EngineError> {
        match timeout_at(until, tokio::spawn(work)).await {
            Ok(ended) => ended.unwrap_or(Err(EngineError::Died)).map(AgreementAnswer::new),
            Err(_) => self.agreement_as_kept(id).await,
        }
    }

    async fn load_agreement(&self, id: AgreementId) -> Result<Agreement, EngineError> {
        let row = self.store.agreement(id).await?.ok_or(EngineError::Contended)?;
        self.settle_agreement(row).await
    }

    async fn agreement_as_kept(&self, id: AgreementId) -> Result<AgreementAnswer, EngineError> {
        let row = self.store.agreement(id).await?;
        row.map(AgreementAnswer::new).ok_or(EngineError::Contended)
    }

    /// The card of an agreement: given again, or at hand.
    fn card_of(
        &self,
        row: &Agreement,
        given: Option<CardInput>,
    ) -> Result<Arc<CardInput>, EngineError> {
        let Some(given) = given else {
            return self.cards.of(row.id).ok_or(EngineError::CardGone);
        };
        let digests = self.vault.digests(&given);
        let kept = row.asked.card.digests;
        if (digests.pan, digests.phone) != (kept.pan, kept.phone) {
            return Err(Refusal::CardDiffers.into());
        }
        let given = Arc::new(given);
        self.cards.keep(row.id, &given);
        Ok(given)
    }

    /// Makes the request durable that is about to be sent.
    async fn begin_call(&self, row: Agreement) -> Result<Agreement, EngineError> {
        let writes = WriteSet { agreements: vec![row.clone()], ..WriteSet::default() };
        match self.store.commit(&writes).await {
            Ok(()) => Ok(row),
            Err(CommitError::Conflict) => Err(AgreementRefusal::UnderWay.into()),
            Err(error) => Err(self.commit_error(&error)),
        }
    }

    /// Sends the request that has just become durable, and writes what came of it.
    async fn ask(
        &self,
        row: Agreement,
        service: CardService,
        subject: ServiceSubject,
    ) -> Result<Agreement, EngineError> {
        let understood = self.call_about(&row, service, row.last_call, subject).await;
        let (outcome, transcript) = (understood.outcome.clone(), understood.transcript.clone());
        let granted = self.granted(&row, understood)?;
        let after = row.learn(&outcome, granted, transcript, self.clock.now());
        self.write_agreement(after).await
    }

    async fn call_about(
        &self,
        row: &Agreement,
        service: CardService,
        call: AgreementCall,
        subject: ServiceSubject,
    ) -> ReplyMeaning {
        let facts = ServiceFacts {
            service,
            channel_order_no: row.channel_order_no(call),
            sent_at: call.sent_at,
            merchant_id: row.asked.merchant_id.clone(),
        };
        self.call_channel(&row.channel, ChannelRequest::Service { facts, subject }).await
    }

    fn granted(
        &self,
        row: &Agreement,
        understood: ReplyMeaning,
    ) -> Result<Option<GrantedToken>, EngineError> {
        let Some(issued) = understood.issued else { return Ok(None) };
        let sealed = self.vault.seal_token(row.id, &issued.token)?;
        Ok(Some(GrantedToken { sealed, ends_at: issued.ends_at }))
    }

    /// Asks what became of an unknown confirmation, once; others stay as they are. Returns the row
    /// after it, and whether the channel can be asked at all.
    async fn ask_what_became(&self, row: Agreement) -> Result<(Agreement, bool), EngineError> {
        let Some(confirmation) = row.confirmation.filter(|_| row.state == AgreementState::Unknown)
        else {
            return Ok((row, true));
        };
        let terms = self.channels.terms_at(&row.channel, confirmation.sent_at);
        // As of when it is asked: a slow answer tells of no later moment.
        let age = self.clock.present().age(confirmation.sent_at);
        let is_final = terms.is_some_and(|terms| age >= terms.not_found_final_after);
        let card = self.cards.of(row.id);
        let subject = card.map(ServiceSubject::from).unwrap_or_default();
        let service = CardService::AgreementInquiry;
        let understood = self.call_about(&row, service, confirmation, subject).await;
        let can = understood.outcome != Outcome::NotSent(NotSentCause::NotEncodable);
        let (outcome, transcript) = (understood.outcome.clone(), understood.transcript.clone());
        let granted = self.granted(&row, understood)?;
        let after = row.learn_inquiry(&outcome, granted, transcript, is_final, self.clock.now());
        if after == row {
            return Ok((row, can));
        }
        self.write_agreement(after).await.map(|row| (row, can))
    }

    /// Asks about an unknown confirmation as often as the channel's file says.
    async fn learn_unknown(&self, mut row: Agreement) -> Result<Agreement, EngineError> {
        let terms = self.channels.terms_at(&row.channel, row.last_call.sent_at);
        let waits = terms.map(|terms| terms.inquire.clone()).unwrap_or_default();
        for wait in waits {
            if row.state != AgreementState::Unknown {
                break;
            }
            sleep(wait).await;
            let can;
            (row, can) = self.ask_what_became(row).await?;
            if !can {
                break;
            }
        }
        Ok(row)
    }

    /// The row as it stands after the write: another's, where that came first.
    async fn write_agreement(&self, row: Agreement) -> Result<Agreement, EngineError> {
        let writes = WriteSet { agreements: vec![row], ..WriteSet::default() };
        let written = self.commit_patiently(&writes).await;
        let row = writes.agreements.into_iter().next().expect("one was given");
        match written {
            Ok(()) => {
                telemetry::count_agreement(row.state);
                if row.is_past_card() {
                    self.cards.forget(row.id);
                }
                Ok(row)
            }
            Err(CommitError::Conflict) => {
                let stored = self.store.agreement(row.id).await?;
                stored.ok_or(EngineError::Contended)
            }
            Err(error) => Err(self.commit_error(&error)),
        }
    }
}
