//! Turns a checked payment into an order: card facts, plan, number; then submits it.
//!
//! This is where the BIN table, the routes and the channels' health meet. Nothing is written and
//! nothing is sent for a payment that no channel can take.

use std::sync::Arc;

use crate::channel::registry::Registry;
use crate::domain::bin::BinRow;
use crate::domain::card::{CardFacts, CardInput};
use crate::domain::flow::attempt::Operation;
use crate::domain::flow::order::{Candidate, Claims, Order, OrderKind, OrderStatus, Settlement};
use crate::domain::ids::{
    CallerId, CallerOrderId, ChannelId, MerchantCategory, MerchantId, OrderId,
};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::route::condition::CardPrefix;
use crate::domain::route::explain::{Explanation, explain};
use crate::domain::route::{CardTraits, Plan, Rule, Subject, plan};
use crate::domain::time::Timestamp;
use crate::engine::{Engine, EngineError, Submitted};
use crate::entropy::Entropy;
use crate::tables::bin::LiveBinTable;
use crate::tables::routes::LiveRoutes;

/// A payment or pre-authorisation as the core asked for it, every field checked.
#[derive(Debug, Clone)]
pub struct PaymentOrder {
    /// A payment or a pre-authorisation: the kinds that begin with a card.
    pub kind: OrderKind,
    pub caller: CallerId,
    pub caller_order_id: CallerOrderId,
    pub merchant_id: MerchantId,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub settlement: Settlement,
    pub merchant_category: Option<MerchantCategory>,
    /// Minor units, 0 to the amount.
    pub merchant_fee_minor: Option<i64>,
    pub card: CardInput,
    pub description: Option<String>,
    pub notify_url: Option<String>,
}

/// A channel that cannot take an order, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StruckChannel {
    pub channel: ChannelId,
    /// A stable word.
    pub reason: &'static str,
    /// A sentence for people.
    pub detail: String,
}

/// Why a payment was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    #[error("no channel can take this payment")]
    NoRoute {
        /// The rule that decided; `None` if no rule fitted.
        rule: Option<String>,
        candidates: Vec<StruckChannel>,
    },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What routing is asked about without a payment.
#[derive(Debug, Clone)]
pub struct RouteQuestion {
    /// One that begins with a card; another one has its original's channel and no route.
    pub operation: Operation,
    /// A card number's leading digits, or the whole of it.
    pub digits: String,
    /// The card's length, if `digits` are only its beginning.
    pub pan_length: Option<u8>,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub settlement: Settlement,
    pub merchant_id: MerchantId,
    pub merchant_category: Option<MerchantCategory>,
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

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Accepts a payment and carries it as far as one call can. The same order id with the same
    /// content gives the same order again (I-9), even where no channel could take it now.
    pub async fn pay(&self, payment: PaymentOrder) -> Result<Submitted, PayError> {
        let row = self.bins.lookup(payment.card.pan.expose().as_bytes());
        let now = self.engine.clock().now();
        let planned = self.plan(&payment, row.as_deref(), now);
        let refused = match planned {
            Ok(candidates) => {
                let id = self.engine.next_order_id().await?;
                let order = self.order(id, &payment, row, candidates, now);
                return Ok(self.engine.submit(order, payment.card).await?);
            }
            Err(refused) => refused,
        };
        let known = self
            .engine
            .store()
            .order_by_caller(payment.caller.clone(), payment.caller_order_id.clone())
            .await
            .map_err(EngineError::from)?;
        let Some(known) = known else { return Err(refused) };
        let asked = self.order(known.id, &payment, row, Vec::new(), now);
        known.same_content(&asked).map_err(EngineError::from)?;
        Ok(Submitted { order: known, repeated: true })
    }

    fn plan(
        &self,
        payment: &PaymentOrder,
        row: Option<&BinRow>,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, PayError> {
        let routes = self.routes.current();
        let subject = Subject {
            operation: payment.kind.operation().unwrap_or(Operation::Payment),
            prefix: CardPrefix::leading(payment.card.pan.expose()),
            card: row.map(CardTraits::of),
            amount: payment.amount,
            currency: payment.currency,
            settlement: payment.settlement,
            merchant: &payment.merchant_id,
            merchant_category: payment.merchant_category,
            now,
        };
        self.registry.with_channels(now, |channels| {
            let plan = plan(&routes.rules, channels, &subject, self.entropy.draw());
            if plan.kept.is_empty() { Err(no_route(&plan)) } else { Ok(plan.candidates()) }
        })
    }

    fn order(
        &self,
        id: OrderId,
        payment: &PaymentOrder,
        row: Option<Arc<BinRow>>,
        candidates: Vec<Candidate>,
        now: Timestamp,
    ) -> Order {
        let card = CardFacts {
            masked: payment.card.pan.masked(),
            digests: self.engine.vault().digests(&payment.card),
            row,
        };
        Order {
            id,
            version: 0,
            caller: payment.caller.clone(),
            caller_order_id: payment.caller_order_id.clone(),
            kind: payment.kind,
            merchant_id: payment.merchant_id.clone(),
            amount: payment.amount,
            currency: payment.currency,
            settlement: payment.settlement,
            merchant_category: payment.merchant_category,
            merchant_fee_minor: payment.merchant_fee_minor,
            card: Some(card),
            description: payment.description.clone(),
            notify_url: payment.notify_url.clone(),
            status: OrderStatus::Accepted,
            reason: None,
            attempts: Vec::new(),
            candidates,
            released_minor: 0,
            claims: Claims::default(),
            sealed_pan: None,
            accounting_sequence: 0,
            clearing_date: None,
            charged: None,
            created_at: now,
            finished_at: None,
        }
    }

    /// Shows what every rule and channel says of a payment, to `with`. Nothing is sent.
    pub fn explain<T>(
        &self,
        question: &RouteQuestion,
        with: impl FnOnce(&Explanation<'_>, Option<&BinRow>) -> T,
    ) -> T {
        let occasion = (self.entropy.draw(), self.engine.clock().now());
        let routes = self.routes.current();
        explain_route(question, &self.registry, &self.bins, &routes.rules, occasion, with)
    }
}

/// The explanation without a running daemon: `occasion` is a draw and the moment.
pub fn explain_route<T>(
    question: &RouteQuestion,
    registry: &Registry,
    bins: &LiveBinTable,
    rules: &[Rule],
    occasion: (u64, Timestamp),
    with: impl FnOnce(&Explanation<'_>, Option<&BinRow>) -> T,
) -> T {
    let (draw, now) = occasion;
    let active = bins.current();
    let digits = question.digits.as_bytes();
    let row = active.table.lookup(digits).map(Arc::as_ref).or_else(|| {
        let matches = active.table.lookup_prefix(digits, question.pan_length);
        matches.rows().next().map(Arc::as_ref)
    });
    let subject = Subject {
        operation: question.operation,
        prefix: CardPrefix::leading(&question.digits),
        card: row.map(CardTraits::of),
        amount: question.amount,
        currency: question.currency,
        settlement: question.settlement,
        merchant: &question.merchant_id,
        merchant_category: question.merchant_category,
        now,
    };
    registry.with_channels(now, |channels| with(&explain(rules, channels, &subject, draw), row))
}

fn no_route(plan: &Plan<'_>) -> PayError {
    let candidates = plan.struck.iter().map(|struck| StruckChannel {
        channel: struck.channel.clone(),
        reason: struck.strike.name(),
        detail: struck.strike.to_string(),
    });
    PayError::NoRoute {
        rule: plan.rule_name().map(str::to_owned),
        candidates: candidates.collect(),
    }
}
