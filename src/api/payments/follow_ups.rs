//! Follow-ups of an order: refunds, voids, captures, and escrow releases.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use crate::api::ApiState;
use crate::api::auth::{MaySend, Seat};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::held;
use crate::api::input::{PathSegment, order, read_json};
use crate::api::payments::wait::Wait;
use crate::api::payments::{no_such_order, visible_order};
use crate::config::checked::Role;
use crate::domain::approval::{HeldAction, HeldRefund};
use crate::domain::card::words::CardEcho;
use crate::domain::command::{Decider, Refusal};
use crate::domain::ids::{CallerId, OrderId};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::order::{Instruction, Order, OrderKind};
use crate::engine::EngineError;
use crate::engine::approvals::Consent;
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
    state: &Arc<ApiState>,
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
    let mut asked = order::read_follow_up(&body, kind, &original, seat.name(), rules)?;
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
    asked.most_minor = most_alone(state, seat, asked.instruction.currency);
    // What a second person would be asked, where the rules may say that one is needed.
    let alone = asked.most_minor.map(|_| (asked.instruction.clone(), asked.card.is_some()));
    match (state.engine.follow_up(asked, wait.patience.until).await, alone) {
        (
            Err(EngineError::Refused(Refusal::NeedsSecondPerson { amount, left_minor })),
            Some((instruction, has_card)),
        ) => {
            if has_card {
                let detail = "this needs a second person, and the number cannot wait for one; \
                              leave the card out, or have the core ask for it";
                return Err(ApiError::of_field(ProblemCode::CardNotKept, "card", detail));
            }
            let reason = instruction.description.clone().unwrap_or_default();
            let refund = held_refund(instruction, &original, amount, left_minor);
            held::ask(Arc::clone(state), seat, HeldAction::Refund(refund), reason).await
        }
        (acceptance, _) => wait.answer(state, acceptance?).await,
    }
}

/// What may be given back of a payment when one operator asks for it. A core's own calls are its
/// own affair; one that has the rights of an operator too is an operator's.
fn most_alone(state: &ApiState, seat: &Seat, currency: Currency) -> Option<i64> {
    let bounds = &state.settings.four_eyes.refunds_above;
    seat.has(Role::Operator).then(|| bounds.most_minor(currency)).flatten()
}

fn held_refund(
    asked: Instruction,
    original: &Order,
    amount: AmountMinor,
    left_minor: i64,
) -> HeldRefund {
    HeldRefund {
        of: original.id,
        is_void: matches!(asked.kind, OrderKind::Void { .. }),
        caller_order_id: asked.caller_order_id,
        amount,
        currency: asked.currency,
        left_minor,
        description: asked.description,
        notify_url: asked.notify_url,
    }
}

/// Takes a refund that a second person has approved, as its asker's own.
pub(in crate::api) async fn take_approved(
    state: &ApiState,
    held: &HeldRefund,
    asker: &CallerId,
    approved: (Decider, Consent),
) -> Result<(), EngineError> {
    let original = state.engine.store().order(held.of).await?;
    let original = original.ok_or(EngineError::NoSuchOrder { id: held.of })?;
    let own = held.caller_order_id.clone();
    let instruction = Instruction {
        description: held.description.clone(),
        notify_url: held.notify_url.clone(),
        ..Instruction::on(&original, held.kind(), asker.clone(), own)
    };
    let (amount, approved) = (Some(held.amount), Some(approved));
    let asked = FollowUp { instruction, amount, card: None, most_minor: None, approved };
    let until = Wait::none().patience.until;
    // The order goes on by itself from here: what it comes to is read there.
    state.engine.follow_up(asked, until).await.map(drop)
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
    let asked = FollowUp { instruction, amount, card: None, most_minor: None, approved: None };
    let wait = Wait::none();
    let acceptance = state.engine.follow_up(asked, wait.patience.until).await?;
    wait.answer(&state, acceptance).await
}
