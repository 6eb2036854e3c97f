//! Payments and escrow releases: a request becomes one command, and its reply becomes JSON.
//!
//! Upholds I-9 (a repeat gets the same answer, and is told that it is one) and I-12: a call whose
//! wait is over is answered 202 only when the order is found in the store. A caller that hangs up
//! stops nothing that has begun.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use jiff::tz::{TimeZone, offset};
use tokio::time::Instant;

use crate::api::auth::{MayAsk, MaySend, Seat};
use crate::api::dto::{OrderBody, json};
use crate::api::error::{ApiError, Code};
use crate::api::input::query::Query;
use crate::api::input::{Segment, order, read_json};
use crate::api::{ApiState, to_its_end};
use crate::domain::card::CardFacts;
use crate::domain::flow::order::{Differs, Order, OrderKind, OrderStatus};
use crate::domain::ids::{CallerOrderId, OrderId};
use crate::domain::money::AmountMinor;
use crate::domain::time::Timestamp;
use crate::engine::Submitted;
use crate::engine::intake::{PayError, PaymentOrder, StruckChannel};

/// How long a call whose wait is over still waits for its order to become durable.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);
/// The first and the longest pause between two looks for it.
const LOOK_PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// How long a call may take to its answer.
#[derive(Clone, Copy)]
struct Wait {
    until: Instant,
    /// The seconds that were asked for and granted, if any were.
    preferred_s: Option<u64>,
}

impl Wait {
    /// `Prefer: wait=N` (RFC 7240), never above the settings' bound; else the settings' default.
    fn of(headers: &HeaderMap, state: &ApiState) -> Self {
        let preferred = preferred_wait_s(headers).map(Duration::from_secs);
        let granted = preferred.map(|wait| wait.min(state.settings.wait_max));
        let wait = granted.unwrap_or(state.settings.wait_default);
        Self { until: Instant::now() + wait, preferred_s: granted.map(|wait| wait.as_secs()) }
    }

    /// Whether waiting can still change the answer. Without a wish of the caller's own, only an
    /// order that its channel works on is waited for; an unknown one may take hours.
    fn is_worth_it(&self, order: &Order) -> bool {
        let open = match order.status {
            OrderStatus::Accepted | OrderStatus::Processing => true,
            OrderStatus::Unknown => self.preferred_s.is_some(),
            OrderStatus::Succeeded | OrderStatus::Failed | OrderStatus::Reversed => false,
        };
        open && Instant::now() < self.until
    }
}

/// The seconds of a `wait` preference. What cannot be read is ignored, as RFC 7240 says.
fn preferred_wait_s(headers: &HeaderMap) -> Option<u64> {
    let texts = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
    let mut preferences = texts.flat_map(|text| text.split(','));
    preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("wait").then(|| value.parse().ok()).flatten()
    })
}

/// `POST /v1/payments`
pub async fn create(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, &state);
    let body = read_json(&parts.headers, body, state.body_limits()).await?;
    let plain_http_to = &state.settings.plain_http_to;
    let payment = order::read_payment(&body, seat.name(), plain_http_to)?;
    drop(body);
    state.refuse_when_closed()?;
    refuse_expired(&state, &payment).await?;
    let submitted = pay(&state, payment, wait).await?;
    let order = if wait.is_worth_it(&submitted.order) {
        let patience = wait.until.saturating_duration_since(Instant::now());
        state.engine.wait_for_end(submitted.order.id, patience).await?
    } else {
        submitted.order
    };
    Ok(answer(&order, submitted.repeated, wait.preferred_s))
}

/// Pays, or finds the order in the store when the wait is over before the channel has answered.
async fn pay(state: &ApiState, payment: PaymentOrder, wait: Wait) -> Result<Submitted, ApiError> {
    let asked = payment.clone();
    let asked_at = state.engine.clock().now();
    let mut paying = pin!(state.intake.pay(payment));
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
            same_content(state, &order, &asked)?;
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

/// Whether a kept order is what this call asks for: the comparison that the engine makes too, but
/// only after the call's wait.
fn same_content(state: &ApiState, kept: &Order, asked: &PaymentOrder) -> Result<(), Differs> {
    let card = CardFacts {
        masked: asked.card.pan.masked(),
        digests: state.engine.vault().digests(&asked.card),
        row: None,
    };
    kept.same_content(&Order {
        kind: OrderKind::Payment,
        merchant_id: asked.merchant_id.clone(),
        amount: asked.amount,
        currency: asked.currency,
        settlement: asked.settlement,
        card: Some(card),
        description: asked.description.clone(),
        notify_url: asked.notify_url.clone(),
        ..kept.clone()
    })
}

/// Refuses a card whose month is over everywhere on earth. A repeat is let through: what was
/// answered while the card was good is answered again (I-9).
async fn refuse_expired(state: &ApiState, payment: &PaymentOrder) -> Result<(), ApiError> {
    let Some(expiry) = payment.card.expiry else { return Ok(()) };
    let latest = state.engine.clock().now().civil(&TimeZone::fixed(offset(-12)));
    if !expiry.is_before(latest.year(), latest.month()) {
        return Ok(());
    }
    let store = state.engine.store();
    let kept = store.order_by_caller(payment.caller.clone(), payment.caller_order_id.clone());
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

fn answer(order: &Order, repeated: bool, preferred_s: Option<u64>) -> Response {
    let status = if order.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = json(status, &OrderBody::from(order));
    let headers = response.headers_mut();
    if repeated {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    let applied = preferred_s.and_then(|seconds| format!("wait={seconds}").parse().ok());
    if let Some(applied) = applied {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    response
}

/// `GET /v1/payments/{id}`
pub async fn by_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let order = visible_order(&state, &seat, &id).await?;
    Ok(json(StatusCode::OK, &OrderBody::from(&order)))
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
    let caller = caller.unwrap_or_else(|| seat.name().clone());
    let order = state.engine.store().order_by_caller(caller, id).await?;
    let order = order.filter(|order| seat.sees(order)).ok_or_else(no_such_order)?;
    Ok(json(StatusCode::OK, &OrderBody::from(&order)))
}

/// `POST /v1/payments/{id}/release`
pub async fn release(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts.headers, body, state.body_limits()).await?;
    let (caller_order_id, amount) = order::read_release(&body)?;
    state.refuse_when_closed()?;
    let payment = visible_order(&state, &seat, &id).await?;
    let amount = match amount {
        Some(amount) => amount,
        None => all_that_is_left(&state, &seat, &payment, &caller_order_id).await?,
    };
    let release = Order {
        id: state.engine.next_order_id().await?,
        caller: seat.name().clone(),
        caller_order_id,
        kind: OrderKind::Release { of: payment.id },
        amount,
        ..release_of(&payment, state.engine.clock().now())
    };
    let submitted =
        to_its_end(async move { Ok(state.engine.release(payment.id, release).await?) }).await?;
    Ok(answer(&submitted.order, submitted.repeated, None))
}

/// The rest of an escrow; for a repeat, what the first call released.
async fn all_that_is_left(
    state: &ApiState,
    seat: &Seat,
    payment: &Order,
    caller_order_id: &CallerOrderId,
) -> Result<AmountMinor, ApiError> {
    let store = state.engine.store();
    let kept = store.order_by_caller(seat.name().clone(), caller_order_id.clone()).await?;
    let of = OrderKind::Release { of: payment.id };
    if let Some(kept) = kept.filter(|kept| kept.kind == of) {
        return Ok(kept.amount);
    }
    // Nothing left is refused by the rules, with the same words as too much.
    Ok(AmountMinor::new(payment.unreleased_minor()).unwrap_or(payment.amount))
}

/// A release's unchanging fields: no card, no channel, the payment's merchant and currency.
fn release_of(payment: &Order, now: Timestamp) -> Order {
    Order {
        id: payment.id,
        version: 0,
        caller: payment.caller.clone(),
        caller_order_id: payment.caller_order_id.clone(),
        kind: payment.kind,
        merchant_id: payment.merchant_id.clone(),
        amount: payment.amount,
        currency: payment.currency,
        settlement: payment.settlement,
        card: None,
        description: None,
        notify_url: None,
        status: OrderStatus::Accepted,
        reason: None,
        attempts: Vec::new(),
        candidates: Vec::new(),
        released_minor: 0,
        accounting_sequence: 0,
        clearing_date: None,
        created_at: now,
        finished_at: None,
    }
}

/// The order of this id, if the caller may see it: another one's does not exist for it.
async fn visible_order(state: &ApiState, seat: &Seat, id: &str) -> Result<Order, ApiError> {
    let id = OrderId::parse(id).ok_or_else(no_such_order)?;
    let order = state.engine.store().order(id).await?;
    order.filter(|order| seat.sees(order)).ok_or_else(no_such_order)
}

fn no_such_order() -> ApiError {
    ApiError::not_found("there is no such order")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_read_as_rfc_7240_says() {
        let rows: [(&[&str], Option<u64>); 8] = [
            (&["wait=10"], Some(10)),
            (&["respond-async, wait=3"], Some(3)),
            (&["respond-async", "WAIT = \"7\"; foo"], Some(7)),
            (&["wait=0"], Some(0)),
            (&["wait=-1"], None),
            (&["wait"], None),
            (&["waits=1"], None),
            (&[], None),
        ];
        for (values, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(PREFER, HeaderValue::from_static(value));
            }
            assert_eq!(preferred_wait_s(&headers), expected, "{values:?}");
        }
    }
}
