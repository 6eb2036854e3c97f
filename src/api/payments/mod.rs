//! Payments, pre-authorisations, payouts and what follows them up: a request becomes one command,
//! and its reply becomes JSON.
//!
//! Upholds I-9 (a repeat gets the same answer, and is told that it is one) and I-12: a call whose
//! wait is over is answered 202 only when the order is found in the store. A caller that hangs up
//! stops nothing that has begun.

pub mod follow_ups;
pub(super) mod wait;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use hyper::body::Incoming;

use crate::api::ApiState;
use crate::api::auth::{MayAsk, MayPayOut, MaySend, Peer, Seat};
use crate::api::call;
use crate::api::dto::{OrderBody, json};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, order, read_json};
use crate::clock::stopwatch;
use crate::domain::card::words::CardEcho;
use crate::domain::ids::OrderId;
use crate::domain::order::{Order, OrderKind};
use crate::engine::intake::{ChannelRefusal, NamedInstrument, PayError};
use crate::store::PAGE_MAX;
use crate::telemetry::RouteMetrics;
use wait::Wait;

/// Where payments are sent.
pub(super) const PAYMENTS: &str = "/v1/payments";

/// `POST /v1/payments`
pub async fn create(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    request: Request,
) -> Result<Response, ApiError> {
    charge(&state, &seat, request, OrderKind::Payment).await
}

/// Answers `POST /v1/payments` as the router would, past the router: its layers cost each call
/// about a dozen allocations, and most calls are of this kind.
pub(super) struct PaymentDoor {
    state: Arc<ApiState>,
    calls: RouteMetrics,
}

impl PaymentDoor {
    pub(super) fn new(state: Arc<ApiState>) -> Self {
        Self { state, calls: RouteMetrics::of(PAYMENTS) }
    }

    pub(super) fn is_for<B>(request: &http::Request<B>) -> bool {
        request.method() == Method::POST && request.uri().path() == PAYMENTS
    }

    pub(super) async fn answer(
        self: Arc<Self>,
        peer: Arc<Peer>,
        request: http::Request<Incoming>,
    ) -> Response {
        let started = stopwatch();
        call::has_route(PAYMENTS);
        let (parts, body) = request.into_parts();
        let response = match MaySend::admit(&self.state, &parts, (&peer, PAYMENTS)) {
            Ok(seat) => {
                let request = Request::from_parts(parts, Body::new(body));
                create(State(Arc::clone(&self.state)), seat, request).await.into_response()
            }
            Err(refused) => refused.into_response(),
        };
        self.calls.count(response.status().as_u16(), started.elapsed());
        response
    }
}

/// `POST /v1/preauths`
pub async fn preauth(
    State(state): State<Arc<ApiState>>,
    MaySend(seat): MaySend,
    request: Request,
) -> Result<Response, ApiError> {
    charge(&state, &seat, request, OrderKind::Preauth).await
}

/// `POST /v1/payouts`
pub async fn pay_out(
    State(state): State<Arc<ApiState>>,
    MayPayOut(seat): MayPayOut,
    request: Request,
) -> Result<Response, ApiError> {
    charge(&state, &seat, request, OrderKind::Payout).await
}

/// Takes an order that begins with an instrument. That of a payout is the payee's.
async fn charge(
    state: &ApiState,
    seat: &Seat,
    request: Request,
    kind: OrderKind,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let wait = Wait::of(&parts.headers, state);
    let body = read_json(&parts, body, state.body_limits()).await?;
    let rules = state.field_rules();
    let (asked, named) = match kind {
        OrderKind::Payout => order::read_payout(&body, seat.name(), rules)?,
        _ => order::read_payment(&body, kind, seat.name(), rules)?,
    };
    drop(body);
    let echo = match &named {
        NamedInstrument::Card { card, .. } => CardEcho::of(card),
        NamedInstrument::Agreement { .. } => CardEcho::NONE,
        NamedInstrument::Code(code) => CardEcho::of_payer_code(code),
        NamedInstrument::Account(account) => CardEcho::of_account(account),
    };
    state.refuse_card_numbers(&asked, echo)?;
    state.refuse_when_closed()?;
    let acceptance =
        state.intake.accept(asked, named, wait.patience.until).await.map_err(refusal)?;
    wait.answer(state, acceptance).await
}

pub(super) fn refusal(error: PayError) -> ApiError {
    match error {
        PayError::Engine(error) => error.into(),
        PayError::NoSuchAgreement => {
            ApiError::of_field(ProblemCode::NoAgreement, "agreement", error.to_string())
        }
        PayError::ExpiredCard => {
            ApiError::of_field(ProblemCode::ExpiredCard, "card.expiry", error.to_string())
        }
        PayError::NoRoute { rule, candidates } => {
            let candidate = |struck: ChannelRefusal| {
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
            let error = ApiError::new(ProblemCode::NoRoute, detail);
            error.with("rule", rule.into()).with("candidates", candidates.into())
        }
    }
}

/// `GET /v1/payments/{id}`: an order of any kind.
pub async fn by_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let order = visible_order(&state, &seat, &id).await?;
    order_answer(&state, &seat, &order).await
}

/// `GET /v1/preauths/{id}`: the same, of pre-authorisations alone.
pub async fn preauth_by_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    by_id_of(&state, &seat, &id, &uri, OrderKind::Preauth).await
}

/// `GET /v1/payouts/{id}`: the same, of payouts alone.
pub async fn payout_by_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    by_id_of(&state, &seat, &id, &uri, OrderKind::Payout).await
}

async fn by_id_of(
    state: &ApiState,
    seat: &Seat,
    id: &str,
    uri: &Uri,
    kind: OrderKind,
) -> Result<Response, ApiError> {
    Query::of(uri).finish()?;
    let order = visible_order(state, seat, id).await?;
    if order.instruction.kind != kind {
        return Err(no_such_order());
    }
    order_answer(state, seat, &order).await
}

/// `GET /v1/payments?order_id=`: the caller's own order of this id.
pub async fn by_order_id(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (id, caller) = Query::of(&uri).callers_id("an id of an order is needed")?;
    let is_named = caller.is_some();
    let caller = seat.asks_of(caller);
    let order = state.engine.store().order_by_caller(caller, id).await?;
    let order = order.filter(|order| seat.may_see(order)).ok_or_else(|| {
        if is_named || !seat.may_see_all() {
            return no_such_order();
        }
        ApiError::not_found("the caller has no order with this id; `caller` names another one")
    })?;
    order_answer(&state, &seat, &order).await
}

/// An order with what refers to it, the first thousand of it.
async fn order_answer(state: &ApiState, seat: &Seat, order: &Order) -> Result<Response, ApiError> {
    let follow_ups =
        if order.instruction.kind.is_paid_in() || order.instruction.kind == OrderKind::Preauth {
            state.engine.store().follow_ups(order.id, None, PAGE_MAX).await?
        } else {
            Vec::new()
        };
    let seen = follow_ups.iter().filter(|one| seat.may_see(one));
    let body = OrderBody::from(order).with_follow_ups(seen);
    let body = if seat.owns(order) { body } else { body.with_caller(order) };
    Ok(json(StatusCode::OK, &body))
}

/// The order of this id, if the caller may see it: another one's does not exist for it.
async fn visible_order(state: &ApiState, seat: &Seat, id: &str) -> Result<Order, ApiError> {
    let id = OrderId::parse(id).ok_or_else(no_such_order)?;
    let order = state.engine.store().order(id).await?;
    order.filter(|order| seat.may_see(order)).ok_or_else(no_such_order)
}

fn no_such_order() -> ApiError {
    ApiError::not_found("no order has this id")
}
