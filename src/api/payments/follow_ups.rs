//! What follows up an order: refunds, voids, captures, and escrow releases.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use crate::api::auth::{MaySend, Seat};
use crate::api::error::ApiError;
use crate::api::input::{Segment, order, read_json};
use crate::api::payments::wait::{Wait, answer};
use crate::api::payments::{no_such_order, visible_order};
use crate::api::{ApiState, to_its_end};
use crate::domain::card::words::CardEcho;
use crate::domain::command::Refusal;
use crate::domain::flow::order::{Claims, Order, OrderKind, OrderStatus};
use crate::domain::ids::{CallerOrderId, OrderId};
use crate::domain::money::AmountMinor;
use crate::domain::time::Timestamp;
use crate::engine::follow_ups::FollowUp;

/// Which orders a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Payments,
    Preauths,
}

/// `POST /v1/payments/{id}/refunds`
pub async fn refund(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, ApiError> {
    follow_up(&state, &seat, (Door::Payments, &id), request, |of| OrderKind::Refund { of }).await
}

/// `POST /v1/payments/{id}/void`
pub async fn void(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, ApiError> {
    follow_up(&state, &seat, (Door::Payments, &id), request, |of| OrderKind::Void { of }).await
}

/// `POST /v1/preauths/{id}/capture`
pub async fn capture(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, ApiError> {
    follow_up(&state, &seat, (Door::Preauths, &id), request, |of| OrderKind::Capture { of }).await
}

/// `POST /v1/preauths/{id}/void`
pub async fn preauth_void(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, ApiError> {
    follow_up(&state, &seat, (Door::Preauths, &id), request, |of| OrderKind::Void { of }).await
}

/// Takes a follow-up and waits for its end, within the call's bound. What must be booked first ends
/// when accounting has booked it and the channel has answered.
async fn follow_up(
    state: &ApiState,
    seat: &Seat,
    (door, id): (Door, &str),
    request: Request,
    kind: impl Fn(OrderId) -> OrderKind,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, state);
    let body = read_json(&parts.headers, body, state.body_limits()).await?;
    let original = visible_order(state, seat, id).await?;
    let kind = kind(original.id);
    let asked = order::read_follow_up(&body, &original, kind, state.field_rules())?;
    drop(body);
    let card = asked.card.as_ref().map_or(CardEcho::NONE, CardEcho::of);
    state.refuse_card_number("order_id", asked.caller_order_id.as_str(), card)?;
    state.refuse_card_number("description", asked.description.as_deref(), card)?;
    state.refuse_card_number("notify_url", asked.notify_url.as_deref(), card)?;
    state.refuse_when_closed()?;
    // The rules tell a payment's path from another kind of order; what is no pre-authorisation does
    // not exist below the path of those.
    if door == Door::Preauths && original.kind != OrderKind::Preauth {
        return Err(no_such_order());
    }
    if door == Door::Payments && original.kind == OrderKind::Preauth {
        return Err(Refusal::WrongKind.into());
    }
    let asked = FollowUp {
        caller: seat.name().clone(),
        caller_order_id: asked.caller_order_id,
        kind,
        amount: asked.amount,
        merchant_category: asked.merchant_category,
        merchant_fee_minor: asked.merchant_fee_minor,
        card: asked.card,
        description: asked.description,
        notify_url: asked.notify_url,
    };
    let submitted = state.engine.follow_up(asked).await?;
    wait.answer(state, submitted).await
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
    state.refuse_card_number("order_id", caller_order_id.as_str(), CardEcho::NONE)?;
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
        merchant_category: None,
        merchant_fee_minor: None,
        card: None,
        description: None,
        notify_url: None,
        status: OrderStatus::Accepted,
        reason: None,
        attempts: Vec::new(),
        candidates: Vec::new(),
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
