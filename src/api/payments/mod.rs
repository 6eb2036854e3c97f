//! Payments, pre-authorisations and what follows them up: a request becomes one command, and its
//! reply becomes JSON.
//!
//! Upholds I-9 (a repeat gets the same answer, and is told that it is one) and I-12: a call whose
//! wait is over is answered 202 only when the order is found in the store. A caller that hangs up
//! stops nothing that has begun.

pub mod follow_ups;
mod wait;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use jiff::tz::{TimeZone, offset};
use tokio::time::Instant;

use crate::api::ApiState;
use crate::api::auth::{MayAsk, MaySend, Seat};
use crate::api::dto::{OrderBody, json};
use crate::api::error::{ApiError, Code};
use crate::api::input::query::Query;
use crate::api::input::{Segment, order, read_json};
use crate::config::checked::Role;
use crate::domain::card::words::CardEcho;
use crate::domain::card::{CardFacts, CardInput, Expiry};
use crate::domain::flow::order::{Instruction, Order, OrderKind};
use crate::domain::ids::{CallerOrderId, OrderId};
use crate::engine::Submitted;
use crate::engine::intake::{PayError, StruckChannel};
use crate::store::PAGE_MAX;
use wait::Wait;

/// How long a call whose wait is over still waits for its order to become durable.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);
/// The first and the longest pause between two looks for it.
const LOOK_PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

/// `POST /v1/payments`
pub async fn create(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    request: Request,
) -> Result<Response, ApiError> {
    charge(&state, &seat, request, OrderKind::Payment).await
}

/// `POST /v1/preauths`
pub async fn preauth(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    request: Request,
) -> Result<Response, ApiError> {
    charge(&state, &seat, request, OrderKind::Preauth).await
}

/// Takes an order that begins with a card.
async fn charge(
    state: &ApiState,
    seat: &Seat,
    request: Request,
    kind: OrderKind,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, state);
    let body = read_json(&parts.headers, body, state.body_limits()).await?;
    let (asked, card) = order::read_payment(&body, kind, seat.name(), state.field_rules())?;
    drop(body);
    state.refuse_card_numbers(&asked, CardEcho::of(&card))?;
    state.refuse_when_closed()?;
    refuse_expired(state, &asked, card.expiry).await?;
    let submitted = pay(state, asked, card, wait).await?;
    wait.answer(state, submitted).await
}

/// Pays, or finds the order in the store when the wait is over before the channel has answered.
async fn pay(
    state: &ApiState,
    instruction: Instruction,
    card: CardInput,
    wait: Wait,
) -> Result<Submitted, ApiError> {
    let masked = card.pan.masked();
    let digests = state.engine.vault().digests(&card);
    let facts = CardFacts { masked, digests, row: None };
    let asked = Instruction { card: Some(facts), ..instruction.clone() };
    let asked_at = state.engine.clock().now();
    let mut paying = pin!(state.intake.pay(instruction, card));
    if let Ok(paid) = tokio::time::timeout_at(wait.until, &mut paying).await {
        return paid.map_err(refusal);
    }
    let give_up = Instant::now() + DURABLE_WITHIN;
    let mut pause = LOOK_PAUSES.0;
    // Bounded by `give_up`. Until the order is durable there is nothing true to answer.
    while Instant::now() < give_up {
        let store = state.engine.store();
        let kept = store.order_by_caller(asked.caller.clone(), asked.caller_order_id.clone());
        if let Some(order) = kept.await? {
            // It may have been there before this call, with other content even (I-9).
            order.instruction.same_content(&asked)?;
            let repeated = order.created_at < asked_at;
            return Ok(Submitted { order, repeated });
        }
        if let Ok(paid) = tokio::time::timeout(pause, &mut paying).await {
            return paid.map_err(refusal);
        }
        pause = (pause * 2).min(LOOK_PAUSES.1);
    }
    let detail = "the order was not yet durable; repeat it with the same order id";
    Err(ApiError::new(Code::QueueFull, detail))
}

/// Refuses a card of which it is borne out that its month is over everywhere on earth. A repeat is
/// let through: what was answered while the card was good is answered again (I-9).
async fn refuse_expired(
    state: &ApiState,
    asked: &Instruction,
    expiry: Option<Expiry>,
) -> Result<(), ApiError> {
    let Some(expiry) = expiry else { return Ok(()) };
    let proven = state.engine.clock().present().proven();
    let latest = proven.civil(&TimeZone::fixed(offset(-12)));
    if !expiry.is_before(latest.year(), latest.month()) {
        return Ok(());
    }
    let store = state.engine.store();
    let kept = store.order_by_caller(asked.caller.clone(), asked.caller_order_id.clone());
    if kept.await?.is_some() {
        return Ok(());
    }
    let detail = "the last month in which the card is good has passed";
    Err(ApiError::of_field(Code::ExpiredCard, "card.expiry", detail))
}

fn refusal(error: PayError) -> ApiError {
    match error {
        PayError::Engine(error) => error.into(),
        PayError::NoRoute { rule, candidates } => {
            let candidate = |struck: StruckChannel| {
                serde_json::json!({
                    "channel": struck.channel.as_str(),
                    "reason": struck.reason,
                    "detail": struck.detail,
                })
            };
            let candidates: Vec<_> = candidates.into_iter().map(candidate).collect();
            let detail = match &rule {
                Some(rule) => format!("the rule `{rule}` decides, and leaves no channel"),
                None => "no rule fits this order".to_owned(),
            };
            let error = ApiError::new(Code::NoRoute, detail);
            error.with("rule", rule.into()).with("candidates", candidates.into())
        }
    }
}

/// `GET /v1/payments/{id}`: an order of any kind.
pub async fn by_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let order = visible_order(&state, &seat, &id).await?;
    shown(&state, &seat, &order).await
}

/// `GET /v1/preauths/{id}`: the same, of pre-authorisations alone.
pub async fn preauth_by_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let order = visible_order(&state, &seat, &id).await?;
    if order.instruction.kind != OrderKind::Preauth {
        return Err(no_such_order());
    }
    shown(&state, &seat, &order).await
}

/// `GET /v1/payments?order_id=`: the caller's own order of this id.
pub async fn by_order_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let parse = |text: &str| CallerOrderId::parse(text).ok();
    let id = query.parsed("order_id", "1 to 64 letters, digits and . _ : -", parse)?;
    let parse = |text: &str| crate::domain::ids::CallerId::parse(text).ok();
    let caller = query.parsed("caller", "the name of a caller", parse)?;
    query.finish()?;
    let id = id.ok_or_else(|| Query::invalid("order_id", "say which order is meant"))?;
    let is_named = caller.is_some();
    let caller = caller.unwrap_or_else(|| seat.name().clone());
    let order = state.engine.store().order_by_caller(caller, id).await?;
    let order = order.filter(|order| seat.sees(order)).ok_or_else(|| {
        if is_named || !(seat.has(Role::Operator) || seat.has(Role::Auditor)) {
            return no_such_order();
        }
        ApiError::not_found("the caller has no order with this id; `caller` names another one")
    })?;
    shown(&state, &seat, &order).await
}

/// An order with what refers to it, the first thousand of it.
async fn shown(state: &ApiState, seat: &Seat, order: &Order) -> Result<Response, ApiError> {
    let follow_ups =
        if order.instruction.kind.is_paid_in() || order.instruction.kind == OrderKind::Preauth {
            state.engine.store().follow_ups(order.id, None, PAGE_MAX).await?
        } else {
            Vec::new()
        };
    let seen = follow_ups.iter().filter(|one| seat.sees(one));
    Ok(json(StatusCode::OK, &OrderBody::from(order).with_follow_ups(seen)))
}

/// The order of this id, if the caller may see it: another one's does not exist for it.
async fn visible_order(state: &ApiState, seat: &Seat, id: &str) -> Result<Order, ApiError> {
    let id = OrderId::parse(id).ok_or_else(no_such_order)?;
    let order = state.engine.store().order(id).await?;
    order.filter(|order| seat.sees(order)).ok_or_else(no_such_order)
}

fn no_such_order() -> ApiError {
    ApiError::not_found("no order has this id")
}
