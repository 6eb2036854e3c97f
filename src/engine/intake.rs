//! Turns a checked payment into an order (card facts, plan, number) and has it accepted.
//!
//! This is where the BIN table, the routes and the channels' health meet. Nothing is written and
//! nothing is sent for a payment that no channel can take.

use std::sync::Arc;

use tokio::time::Instant;

use crate::channel::registry::Registry;
use crate::domain::agreement::{Agreement, AgreementRequest, mask_phone};
use crate::domain::bin::{BinRow, Brand};
use crate::domain::card::{CardFacts, CardInput, CardToken, SmsCode};
use crate::domain::card_service::CardService;
use crate::domain::command::Refusal;
use crate::domain::ids::{AgreementId, CallerId, CallerOrderId, ChannelId, MerchantId};
use crate::domain::instrument::{Instrument, InstrumentFacts};
use crate::domain::order::{Candidate, Instruction, Order, RouteVerdict};
use crate::domain::payee_account::{AccountFacts, PayeeAccount};
use crate::domain::payer_code::{CodeFacts, PayerCode};
use crate::domain::payment_code::{CodeCall, PaymentCode, PaymentCodeRefusal};
use crate::domain::route::condition::CardPrefix;
use crate::domain::route::explain::{Explanation, explain};
use crate::domain::route::{CardTraits, RouteAsk, RoutePlan, RouteSubject, Rule, plan};
use crate::domain::time::Timestamp;
use crate::domain::verification::VerificationRequest;
use crate::engine::reload::Reloads;
use crate::engine::{
    Acceptance, AgreementAnswer, CodeTarget, Engine, EngineError, PaymentCodeAnswer,
    VerificationAnswer,
};
use crate::entropy::Entropy;
use crate::tables::bin::{LiveBinTable, RowView};
use crate::tables::routes::{LiveRoutes, Routes};

/// A channel that cannot take an order, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRefusal {
    pub channel: ChannelId,
    /// A stable word.
    pub reason: &'static str,
    /// A sentence for people.
    pub detail: String,
}

/// Why a payment was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    #[error("no channel can take this")]
    NoRoute {
        /// The rule that decided; `None` if no rule fitted.
        rule: Option<String>,
        candidates: Vec<ChannelRefusal>,
    },
    /// The last good month of the card is over everywhere on earth, by a clock that is borne out.
    #[error("the last month in which the card is good has passed")]
    ExpiredCard,
    /// The caller has no such agreement for the merchant.
    #[error("no agreement of the order's merchant has this id")]
    NoSuchAgreement,
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What an order is to be paid by, or to pay, as the core named it.
pub enum NamedInstrument {
    Card { card: CardInput, sms_code: Option<SmsCode> },
    Agreement { id: AgreementId, sms_code: Option<SmsCode> },
    Code(PayerCode),
    Account(PayeeAccount),
}

/// The code of a payment to come, as the core asks for it, every field checked.
pub struct NewPaymentCode {
    /// What the payment will say, as far as its code is bound to it; without an instrument.
    pub asked: Instruction,
    pub by: NamedPayer,
    /// Another code is wanted, where one was asked for before.
    pub resend: bool,
}

/// Who gets the code of a payment, as the core named it.
pub enum NamedPayer {
    /// With its phone.
    Card(CardInput),
    /// `phone`: another one than the agreement's.
    Agreement { id: AgreementId, phone: Option<String> },
}

/// An agreement as the core asked for it, every field checked.
pub struct NewAgreement {
    pub caller: CallerId,
    pub caller_order_id: CallerOrderId,
    pub merchant_id: MerchantId,
    /// With its phone.
    pub card: CardInput,
}

/// The channels that can take an order, best first, and what routing says of it.
type Planned = (Vec<Candidate>, RouteVerdict);

/// The row of a payment's code, and the request under whose number the payment comes.
type BoundCode = (Box<PaymentCode>, CodeCall);

/// What routing sees of a card.
struct CardSeen<'a> {
    prefix: CardPrefix,
    traits: Option<CardTraits<'a>>,
    /// The channel of the agreement that was named.
    bound_to: Option<&'a ChannelId>,
}

impl<'a> CardSeen<'a> {
    /// There is no card.
    fn none() -> Self {
        Self { prefix: CardPrefix::default(), traits: None, bound_to: None }
    }

    fn of(card: &CardInput, row: Option<&'a BinRow>) -> Self {
        let number = card.pan.expose();
        let traits = CardTraits::of(row, number.as_bytes());
        Self { prefix: CardPrefix::leading(number), traits, bound_to: None }
    }

    /// Of an agreement's card no more than six digits are known.
    fn of_agreement(agreement: &'a Agreement) -> Self {
        let card = &agreement.asked.card;
        let shown = card.masked.as_str();
        Self {
            prefix: CardPrefix::leading(shown),
            traits: CardTraits::of(card.row.as_deref(), shown.as_bytes()),
            bound_to: Some(&agreement.channel),
        }
    }
}

/// What a question to the routing is about.
#[derive(Debug, Clone)]
pub enum QuestionSubject {
    /// Of a kind that begins with a card; another one has its original's channel and no route.
    Order(Box<Instruction>),
    /// One that is routed by its card; the others go to their agreement's channel.
    Service { service: CardService, merchant_id: MerchantId },
}

impl QuestionSubject {
    const fn ask(&self) -> RouteAsk<'_> {
        match self {
            Self::Order(instruction) => RouteAsk::Order(instruction),
            Self::Service { service, merchant_id } => {
                RouteAsk::Service { service: *service, merchant_id }
            }
        }
    }
}

/// A question to the routing without a payment.
#[derive(Debug, Clone)]
pub struct RouteQuestion {
    pub subject: QuestionSubject,
    /// A card number's leading digits, or the whole of it; none where the instruction has a code
    /// or an account.
    pub digits: String,
    /// The card's length, if `digits` are only its beginning.
    pub pan_length: Option<u8>,
}

/// Where payments come in.
pub struct Intake {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    bins: Arc<LiveBinTable>,
    routes: Arc<LiveRoutes>,
    entropy: Entropy,
}

impl Intake {
    pub const fn new(
        engine: Arc<Engine>,
        registry: Arc<Registry>,
        bins: Arc<LiveBinTable>,
        routes: Arc<LiveRoutes>,
        entropy: Entropy,
    ) -> Self {
        Self { engine, registry, bins, routes, entropy }
    }

    /// The routes in force now.
    pub fn routes(&self) -> Arc<Routes> {
        self.routes.current()
    }

    /// Reloads of the files that it plans by. `is_shared`: all nodes of the store run the same;
    /// `hold_above_percent`: the share of the orders of late that a reload may move, 100 for any.
    pub fn reloads(&self, is_shared: bool, hold_above_percent: u8) -> Arc<Reloads> {
        let files = (Arc::clone(&self.registry), Arc::clone(&self.routes), Arc::clone(&self.bins));
        Arc::new(Reloads::new(Arc::clone(&self.engine), files, is_shared, hold_above_percent))
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Accepts a payment, pre-authorisation or payout, as [`Engine::accept`] does. The same order
    /// id with the same content gives the same order again (I-9), even where nothing could take it
    /// now.
    pub async fn accept(
        &self,
        mut instruction: Instruction,
        named: NamedInstrument,
        until: Instant,
    ) -> Result<Acceptance, PayError> {
        let now = self.engine.clock().now();
        let planned = match named {
            NamedInstrument::Card { card, sms_code } => {
                let row = self.bins.lookup(card.pan.expose().as_bytes());
                let ask = RouteAsk::Order(&instruction);
                let planned = self.plan(ask, &card, row.as_deref(), now);
                let (masked, digests) = (card.pan.masked(), self.engine.vault().digests(&card));
                instruction.instrument = Some(CardFacts { masked, digests, row }.into());
                planned.map(|planned| (planned, Arc::new(Instrument::Card { card, sms_code })))
            }
            NamedInstrument::Agreement { id, sms_code } => {
                let planned = self.plan_by_agreement(&mut instruction, id, now).await;
                planned.map(|(planned, token)| {
                    (planned, Arc::new(Instrument::Agreement { token, sms_code }))
                })
            }
            NamedInstrument::Code(code) => {
                let (masked, digest) = (code.masked(), self.engine.vault().code_digest(&code));
                instruction.instrument = Some(InstrumentFacts::Code(CodeFacts { masked, digest }));
                let planned = self.plan_of(RouteAsk::Order(&instruction), &CardSeen::none(), now);
                planned.map(|planned| (planned, Arc::new(Instrument::Code(code))))
            }
            NamedInstrument::Account(account) => {
                instruction.instrument = Some(InstrumentFacts::Account(AccountFacts {
                    kind: account.kind(),
                    masked: account.masked(),
                    digests: self.engine.vault().account_digests(&account),
                }));
                let planned = self.plan_of(RouteAsk::Order(&instruction), &CardSeen::none(), now);
                planned.map(|planned| (planned, Arc::new(Instrument::Account(account))))
            }
        };
        let bound = match planned {
            // Boxed: few payments have a code, and the future of every one has room for this.
            Ok((planned, instrument)) if instrument.sms_code().is_some() => {
                let bound = Box::pin(self.bind_to_code(&instruction, planned)).await;
                bound.map(|(planned, code)| (planned, instrument, Some(code)))
            }
            Ok((planned, instrument)) => Ok((planned, instrument, None)),
            Err(refused) => Err(refused),
        };
        let refused = match bound {
            Ok(((candidates, route), instrument, code)) => {
                let id = match &code {
                    Some((_, call)) => Some(call.order),
                    None => self.engine.draw_order_id(&instruction, until).await?,
                };
                match id {
                    Some(id) => {
                        let mut order = Order::accepted(id, instruction, now);
                        order.candidates = candidates;
                        order.route = Some(Arc::new(route));
                        let code = code.map(|(code, _)| code);
                        return Ok(self.engine.accept(order, instrument, code, until).await?);
                    }
                    None => EngineError::NotDurable.into(),
                }
            }
            Err(refused) => refused,
        };
        let Some(kept) = self.engine.kept_order(&instruction).await? else { return Err(refused) };
        kept.instruction.same_content(&instruction).map_err(EngineError::from)?;
        Ok(Acceptance::repeat(kept))
    }

    /// Verifies a card, routed like a payment. The same id with the same elements gives the same
    /// answer again (I-9), even where no channel could be asked now.
    pub async fn verify(
        &self,
        asked: VerificationRequest,
        card: CardInput,
        until: Instant,
    ) -> Result<VerificationAnswer, PayError> {
        let now = self.engine.clock().now();
        let row = self.bins.lookup(card.pan.expose().as_bytes());
        let (service, merchant_id) = (CardService::Verification, &asked.merchant_id);
        let ask = RouteAsk::Service { service, merchant_id };
        match self.plan_of(ask, &CardSeen::of(&card, row.as_deref()), now) {
            Ok((candidates, _)) => {
                let channels = candidates.into_iter().map(|one| one.channel).collect();
                Ok(self.engine.verify(asked, card, channels, until).await?)
            }
            Err(refused) => {
                let kept = self.engine.kept_verification(&asked).await?;
                kept.map(VerificationAnswer::repeat).ok_or(refused)
            }
        }
    }

    /// Finds the code that a payment brings, and leaves the channel alone that has sent it.
    async fn bind_to_code(
        &self,
        asked: &Instruction,
        (mut candidates, route): Planned,
    ) -> Result<(Planned, BoundCode), PayError> {
        let never_asked = || EngineError::from(PaymentCodeRefusal::NeverAsked);
        let asked = asked.code_request().ok_or_else(never_asked)?;
        let kept = self.engine.kept_code(&asked).await?.ok_or_else(never_asked)?;
        let present = self.engine.clock().present();
        let call = kept.check_payment(&asked, &present).map_err(EngineError::from)?;
        candidates.retain(|one| one.channel == kept.channel);
        if candidates.is_empty() {
            return Err(no_route_by_code(kept.channel, route));
        }
        Ok(((candidates, route), (Box::new(kept), call)))
    }

    /// Has the code of a payment to come sent, by a channel that would take the payment. The same
    /// id with the same content gives the same answer again (I-9), unless another code is wanted.
    pub async fn send_payment_code(
        &self,
        new: NewPaymentCode,
        until: Instant,
    ) -> Result<PaymentCodeAnswer, PayError> {
        let NewPaymentCode { mut asked, by, resend } = new;
        let now = self.engine.clock().now();
        let (planned, target) = match by {
            NamedPayer::Card(card) => {
                let row = self.bins.lookup(card.pan.expose().as_bytes());
                let planned = self.plan(RouteAsk::Code(&asked), &card, row.as_deref(), now);
                let (masked, digests) = (card.pan.masked(), self.engine.vault().digests(&card));
                asked.instrument = Some(CardFacts { masked, digests, row }.into());
                (planned, Ok(CodeTarget::Card(card.into())))
            }
            NamedPayer::Agreement { id, phone } => {
                let agreement = self.named_agreement(&mut asked, id).await?;
                let planned = self.plan_code_of(&agreement, &asked, now);
                let token = self.engine.token_of(&agreement, phone.as_deref());
                (planned, token.map(CodeTarget::Agreement))
            }
        };
        let request = asked.code_request().expect("cards and agreements go with codes by SMS");
        let kept = match self.engine.kept_code(&request).await? {
            Some(kept) if !resend => return Ok(PaymentCodeAnswer::repeat(kept)),
            kept => kept,
        };
        if self.engine.kept_order(&asked).await?.is_some() {
            return Err(EngineError::from(PaymentCodeRefusal::Spent).into());
        }
        let first = planned.and_then(|(candidates, _)| {
            let first = candidates.into_iter().next();
            first.ok_or_else(|| EngineError::from(Refusal::NoCandidate).into())
        });
        let number = self.engine.next_order_id().await?;
        let row = match (kept, first) {
            (Some(kept), first @ (Ok(_) | Err(PayError::NoRoute { .. }))) => {
                let planned = first.ok().map(|first| first.channel);
                let present = self.engine.clock().present();
                kept.again(number, planned, &present).map_err(EngineError::from)?
            }
            (None, Ok(first)) => PaymentCode::begun(request, first.channel, number, now),
            (_, Err(refused)) => return Err(refused),
        };
        Ok(self.engine.send_code(row, target?, until).await?)
    }

    fn plan(
        &self,
        ask: RouteAsk<'_>,
        card: &CardInput,
        row: Option<&BinRow>,
        now: Timestamp,
    ) -> Result<Planned, PayError> {
        self.check_expiry(card)?;
        self.plan_of(ask, &CardSeen::of(card, row), now)
    }

    fn plan_code_of(
        &self,
        agreement: &Agreement,
        asked: &Instruction,
        now: Timestamp,
    ) -> Result<Planned, PayError> {
        let present = self.engine.clock().present();
        agreement.check_payable(&present).map_err(EngineError::from)?;
        self.plan_of(RouteAsk::Code(asked), &CardSeen::of_agreement(agreement), now)
    }

    /// The agreement that an order names. The instruction gets the agreement's card.
    async fn named_agreement(
        &self,
        instruction: &mut Instruction,
        id: AgreementId,
    ) -> Result<Agreement, PayError> {
        let found = self.engine.store().agreement(id).await.map_err(EngineError::from)?;
        let is_its_own = |row: &Agreement| {
            (&row.asked.caller, &row.asked.merchant_id)
                == (&instruction.caller, &instruction.merchant_id)
        };
        let agreement = found.filter(is_its_own).ok_or(PayError::NoSuchAgreement)?;
        let card = agreement.asked.card.clone();
        instruction.instrument = Some(InstrumentFacts::Agreement { id, card });
        Ok(agreement)
    }

    /// Plans an order by an agreement, whose channel alone can take it, and opens its token.
    async fn plan_by_agreement(
        &self,
        instruction: &mut Instruction,
        id: AgreementId,
        now: Timestamp,
    ) -> Result<(Planned, CardToken), PayError> {
        let agreement = self.named_agreement(instruction, id).await?;
        let token = self.engine.payable_token(&agreement)?;
        let seen = CardSeen::of_agreement(&agreement);
        Ok((self.plan_of(RouteAsk::Order(instruction), &seen, now)?, token))
    }

    /// Opens an agreement at the best channel for its card, which is its only one. The same id with
    /// the same content gives the same agreement again (I-9), even where none could be opened now.
    pub async fn open_agreement(
        &self,
        new: NewAgreement,
        until: Instant,
    ) -> Result<AgreementAnswer, PayError> {
        let NewAgreement { caller, caller_order_id, merchant_id, card } = new;
        let now = self.engine.clock().now();
        let row = self.bins.lookup(card.pan.expose().as_bytes());
        let service = CardService::AgreementCode;
        let ask = RouteAsk::Service { service, merchant_id: &merchant_id };
        let planned = match self.check_expiry(&card) {
            Ok(()) => self.plan_of(ask, &CardSeen::of(&card, row.as_deref()), now),
            Err(refused) => Err(refused),
        };
        let (masked, digests) = (card.pan.masked(), self.engine.vault().digests(&card));
        let asked = AgreementRequest {
            caller,
            caller_order_id,
            merchant_id,
            card: CardFacts { masked, digests, row },
            phone: mask_phone(card.phone.as_deref().unwrap_or_default()),
        };
        match planned.map(|(candidates, _)| candidates.into_iter().next()) {
            Ok(Some(first)) => {
                Ok(self.engine.open_agreement(asked, card, first.channel, until).await?)
            }
            Ok(None) => Err(EngineError::from(Refusal::NoCandidate).into()),
            Err(refused) => {
                let kept = self.engine.kept_agreement(&asked).await?;
                kept.map(AgreementAnswer::repeat).ok_or(refused)
            }
        }
    }

    fn check_expiry(&self, card: &CardInput) -> Result<(), PayError> {
        let present = self.engine.clock().present();
        match card.expiry {
            Some(expiry) if expiry.has_passed(&present) => Err(PayError::ExpiredCard),
            Some(_) | None => Ok(()),
        }
    }

    fn plan_of(
        &self,
        ask: RouteAsk<'_>,
        seen: &CardSeen<'_>,
        now: Timestamp,
    ) -> Result<Planned, PayError> {
        let routes = self.routes.current();
        let CardSeen { prefix, traits: card, bound_to } = *seen;
        let subject = RouteSubject { ask, prefix, card, bound_to, now };
        self.registry.with_channels(&subject, |channels| {
            let plan = plan(&routes.rules, channels, &subject, self.entropy.draw());
            if plan.kept.is_empty() {
                return Err(no_route(&plan));
            }
            let bin_table = self.bins.current().version;
            Ok((plan.candidates(), verdict(&plan, &routes.rules, bin_table)))
        })
    }

    /// Passes the verdict of every rule and channel on a payment to `with`. Nothing is sent.
    pub fn explain<T>(
        &self,
        question: &RouteQuestion,
        with: impl FnOnce(&Explanation<'_>, ExplainedCard<'_>) -> T,
    ) -> T {
        let occasion = (self.entropy.draw(), self.engine.clock().now());
        let routes = self.routes.current();
        explain_route(question, &self.registry, &self.bins, &routes.rules, occasion, with)
    }
}

/// What is known of the card of an explanation.
pub enum ExplainedCard<'table> {
    Row(RowView<'table>),
    /// No row fits; the brand, where the digits tell it.
    Bare(Option<Brand>),
}

/// The explanation without a running daemon: `occasion` is a draw and the moment.
pub fn explain_route<T>(
    question: &RouteQuestion,
    registry: &Registry,
    bins: &LiveBinTable,
    rules: &[Rule],
    occasion: (u64, Timestamp),
    with: impl FnOnce(&Explanation<'_>, ExplainedCard<'_>) -> T,
) -> T {
    let (draw, now) = occasion;
    let active = bins.current();
    let digits = question.digits.as_bytes();
    let row = active.table.lookup(digits).map(Arc::as_ref).or_else(|| {
        let matches = active.table.lookup_prefix(digits, question.pan_length);
        matches.rows().next().map(Arc::as_ref)
    });
    let subject = RouteSubject {
        ask: question.subject.ask(),
        prefix: CardPrefix::leading(&question.digits),
        card: CardTraits::of(row, digits),
        bound_to: None,
        now,
    };
    let card = match row {
        Some(row) => ExplainedCard::Row(RowView::of(row, active.dated(now))),
        None => ExplainedCard::Bare(Brand::of_bare_range(digits)),
    };
    registry
        .with_channels(&subject, |channels| with(&explain(rules, channels, &subject, draw), card))
}

/// What is kept of a plan.
fn verdict(plan: &RoutePlan<'_>, rules: &[Rule], bin_table: u32) -> RouteVerdict {
    let place = plan.rule.and_then(|rule| rules.iter().position(|one| std::ptr::eq(one, rule)));
    let struck = plan.struck.iter();
    RouteVerdict {
        rule: plan.rule_name().unwrap_or_default().to_owned(),
        place: place.and_then(|place| u16::try_from(place + 1).ok()).unwrap_or(0),
        bin_table,
        kept: plan.kept.iter().map(|kept| kept.channel.id.clone()).collect(),
        struck: struck.map(|one| (one.channel.clone(), one.strike.name().to_owned())).collect(),
    }
}

/// The channel that has sent a payment's code cannot take the payment.
fn no_route_by_code(channel: ChannelId, route: RouteVerdict) -> PayError {
    let struck = route.struck.iter().find(|(struck, _)| *struck == channel);
    let why = struck.map_or("the rule does not name it any more", |(_, reason)| reason);
    let detail = format!("the code is this channel's, which cannot take the payment: {why}");
    let candidates = vec![ChannelRefusal { channel, reason: "payment_code", detail }];
    PayError::NoRoute { rule: Some(route.rule), candidates }
}

fn no_route(plan: &RoutePlan<'_>) -> PayError {
    let candidates = plan.struck.iter().map(|struck| ChannelRefusal {
        channel: struck.channel.clone(),
        reason: struck.strike.name(),
        detail: struck.strike.to_string(),
    });
    PayError::NoRoute {
        rule: plan.rule_name().map(str::to_owned),
        candidates: candidates.collect(),
    }
}
