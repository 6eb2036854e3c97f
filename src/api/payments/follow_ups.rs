//! Follow-ups of an order: refunds, voids, captures, and escrow releases.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use crate::api::ApiState;
use crate::api::auth::{MaySend, Seat};
use crate::api::error::ApiError;
use crate::api::input::{PathSegment, order, read_json};
use crate::api::payments::wait::Wait;
use crate::api::payments::{no_such_order, visible_order};
use crate::domain::card::words::CardEcho;
use crate::domain::command::Refusal;
use crate::domain::flow::order::{Instruction, OrderKind};
use crate::domain::ids::OrderId;
use crate::engine::follow_ups::FollowUp;

/// Which orders a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FollowUpPath {
    Payments,
    Preauths,
}

/// `POST /v1/payments/{id}/refunds`
pub async fn refund(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    follow_up(&state, &seat, FollowUpPath::Payments, &id, request, |of| OrderKind::Refund { of })
        .await
}

/// `POST /v1/payments/{id}/void`
pub async fn void(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    follow_up(&state, &seat, FollowUpPath::Payments, &id, request, |of| OrderKind::Void { of })
        .await
}

/// `POST /v1/preauths/{id}/capture`
pub async fn capture(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    follow_up(&state, &seat, FollowUpPath::Preauths, &id, request, |of| OrderKind::Capture { of })
        .await
}

/// `POST /v1/preauths/{id}/void`
pub async fn preauth_void(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    follow_up(&state, &seat, FollowUpPath::Preauths, &id, request, |of| OrderKind::Void { of })
        .await
}

/// Takes a follow-up and waits for its end, within the call's bound. A follow-up that must be
/// booked first ends when accounting has booked it and the channel has answered.
async fn follow_up(
    state: &ApiState,
    seat: &Seat,
    door: FollowUpPath,
    id: &str,
    request: Request,
    kind: impl Fn(OrderId) -> OrderKind,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, state);
    let body = read_json(&parts, body, state.body_limits()).await?;
    let original = visible_order(state, seat, id).await?;
    let kind = kind(original.id);
    let rules = state.field_rules();
    let asked = order::read_follow_up(&body, kind, &original, seat.name(), rules)?;
    drop(body);
    let card = asked.card.as_deref().map_or(CardEcho::NONE, CardEcho::of);
    state.refuse_card_numbers(&asked.instruction, card)?;
    state.refuse_when_closed()?;
    // The rules tell a payment's path from another kind of order; only pre-authorisations exist
    // below their path.
    if door == FollowUpPath::Preauths && original.instruction.kind != OrderKind::Preauth {
        return Err(no_such_order());
    }
    if door == FollowUpPath::Payments && original.instruction.kind == OrderKind::Preauth {
        return Err(Refusal::WrongKind.into());
    }
    let acceptance = state.engine.follow_up(asked, wait.patience.until).await?;
    wait.answer(state, acceptance).await
}

/// `POST /v1/payments/{id}/release`
pub async fn release(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let (caller_order_id, amount) = order::read_release(&body)?;
    state.refuse_card_number("order_id", caller_order_id.as_str(), CardEcho::NONE)?;
    state.refuse_when_closed()?;
    let payment = visible_order(&state, &seat, &id).await?;
    let kind = OrderKind::Release { of: payment.id };
    let instruction = Instruction::on(&payment, kind, seat.name().clone(), caller_order_id);
    let (asked, wait) = (FollowUp { instruction, amount, card: None }, Wait::none());
    let acceptance = state.engine.follow_up(asked, wait.patience.until).await?;
    wait.answer(&state, acceptance).await
}
