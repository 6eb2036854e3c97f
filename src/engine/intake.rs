//! Turns a checked payment into an order (card facts, plan, number) and has it accepted.
//!
//! This is where the BIN table, the routes and the channels' health meet. Nothing is written and
//! nothing is sent for a payment that no channel can take.

use std::sync::Arc;

use tokio::time::Instant;

use crate::channel::registry::Registry;
use crate::domain::bin::{BinRow, Brand};
use crate::domain::card::{CardFacts, CardInput};
use crate::domain::card_service::CardService;
use crate::domain::flow::order::{Candidate, Instruction, Order, RouteVerdict};
use crate::domain::ids::ChannelId;
use crate::domain::route::condition::CardPrefix;
use crate::domain::route::explain::{Explanation, explain};
use crate::domain::route::{CardTraits, RouteAsk, RoutePlan, RouteSubject, Rule, plan};
use crate::domain::time::Timestamp;
use crate::domain::verification::VerificationRequest;
use crate::engine::{Acceptance, Engine, EngineError, VerificationAnswer};
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
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A question to the routing without a payment.
#[derive(Debug, Clone)]
pub struct RouteQuestion {
    /// Of a kind that begins with a card; another one has its original's channel and no route.
    pub instruction: Instruction,
    /// A card number's leading digits, or the whole of it.
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

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The rules in force.
    pub fn rules(&self) -> Vec<Rule> {
        self.routes.current().rules.clone()
    }

    /// Accepts a payment or pre-authorisation, as [`Engine::accept`] does. The same order id with
    /// the same content gives the same order again (I-9), even where nothing could take it now.
    pub async fn accept(
        &self,
        mut instruction: Instruction,
        card: CardInput,
        until: Instant,
    ) -> Result<Acceptance, PayError> {
        let now = self.engine.clock().now();
        let row = self.bins.lookup(card.pan.expose().as_bytes());
        let planned = self.plan(&instruction, &card, row.as_deref(), now);
        let (masked, digests) = (card.pan.masked(), self.engine.vault().digests(&card));
        instruction.instrument = Some(CardFacts { masked, digests, row }.into());
        let refused = match planned {
            Ok((candidates, route)) => {
                match self.engine.draw_order_id(&instruction, until).await? {
                    Some(id) => {
                        let mut order = Order::accepted(id, instruction, now);
                        order.candidates = candidates;
                        order.route = Some(Arc::new(route));
                        return Ok(self.engine.accept(order, card.into(), until).await?);
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
        match self.plan_of(ask, &card, row.as_deref(), now) {
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

    fn plan(
        &self,
        instruction: &Instruction,
        card: &CardInput,
        row: Option<&BinRow>,
        now: Timestamp,
    ) -> Result<(Vec<Candidate>, RouteVerdict), PayError> {
        let proven = self.engine.clock().present().proven();
        if card.expiry.is_some_and(|expiry| expiry.has_passed(proven)) {
            return Err(PayError::ExpiredCard);
        }
        self.plan_of(RouteAsk::Order(instruction), card, row, now)
    }

    fn plan_of(
        &self,
        ask: RouteAsk<'_>,
        card: &CardInput,
        row: Option<&BinRow>,
        now: Timestamp,
    ) -> Result<(Vec<Candidate>, RouteVerdict), PayError> {
        let routes = self.routes.current();
        let prefix = CardPrefix::leading(card.pan.expose());
        let traits = CardTraits::of(row, card.pan.expose().as_bytes());
        let subject = RouteSubject { ask, prefix, card: traits, now };
        self.registry.with_channels(now, |channels| {
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
        ask: RouteAsk::Order(&question.instruction),
        prefix: CardPrefix::leading(&question.digits),
        card: CardTraits::of(row, digits),
        now,
    };
    let card = match row {
        Some(row) => ExplainedCard::Row(RowView::of(row, active.dated(now))),
        None => ExplainedCard::Bare(Brand::of_bare_range(digits)),
    };
    registry.with_channels(now, |channels| with(&explain(rules, channels, &subject, draw), card))
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
