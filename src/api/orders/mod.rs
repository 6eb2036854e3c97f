//! Orders as operators look for them: by what they are, by any number that they have, as pages and
//! as whole streams, the newest first.
//!
//! Upholds I-11: a whole card number comes in a body alone, and is looked for by its digest.

pub(in crate::api) mod asked;
mod export;
pub mod story;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::{MayAsk, Seat};
use crate::api::dto::{MomentText, OrderBody, Text, json};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::query::Query;
use crate::api::input::read_json;
use crate::api::stream::{self, streamed_form};
use crate::domain::card::words::CardEcho;
use crate::domain::ids::{CallerId, CallerOrderId, ChannelOrderNo, OrderId};
use crate::domain::order::{OWN_CALLER, Order};
use crate::domain::order_filter::ForeignNumber;
use crate::store::{OrderPage, Store};
use asked::OrderQuestion;
use export::OrderPages;

/// A page of orders. Without `next` everything that was asked for has been looked at.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OrderPage")]
pub struct OrdersBody<'row> {
    /// The orders.
    orders: Vec<OrderBody<'row>>,
    /// The `after` of the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Text<OrderId>>,
    /// When the last order that was looked at was created; a page may have looked at many and found
    /// few.
    #[serde(skip_serializing_if = "Option::is_none")]
    looked_until: Option<MomentText>,
}

fn page_answer(page: &OrderPage) -> Response {
    let body = OrdersBody {
        orders: page.orders.iter().map(|order| OrderBody::from(order).with_caller(order)).collect(),
        next: page.next.map(Text),
        looked_until: page.looked_until.map(MomentText),
    };
    json(StatusCode::OK, &body)
}

/// `GET /v1/orders?…&after=&limit=`: the orders that a filter takes, the newest first.
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    answer(&state, OrderQuestion::of_query(&state, &seat, &uri)?, &headers).await
}

/// `POST /v1/orders/search`: the same with the question in the body, where a whole card number may
/// stand.
pub async fn search(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    answer(&state, OrderQuestion::of_body(&state, &seat, &body)?, &parts.headers).await
}

async fn answer(
    state: &ApiState,
    asked: OrderQuestion,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let OrderQuestion { filter, after, limit } = asked;
    let store = state.engine.store();
    if let Some(form) = streamed_form(headers) {
        return Ok(stream::answer(OrderPages::of(Arc::clone(store), filter, after), form));
    }
    Ok(page_answer(&store.search_orders(filter, after, limit).await?))
}

/// `GET /v1/orders/find?number=`: the orders that have this number: ours, the caller's, the
/// channel's of an attempt; else the channel's reference, or a number in its words, by pages.
pub async fn find(
    State(state): State<Arc<ApiState>>,
    MayAsk(seat): MayAsk,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let number = query.text("number").ok_or_else(|| {
        Query::invalid("number", "a number of an order is needed, whoever gave it")
    })?;
    state.refuse_card_number("number", &*number, CardEcho::NONE)?;
    let mut asked = OrderQuestion::of_find(&state, &seat, query)?;
    let caller = asked.filter.caller.clone();
    if asked.after.is_none() {
        let orders = named(&state, &number, caller.as_ref()).await?;
        if !orders.is_empty() {
            return Ok(page_answer(&OrderPage { orders, next: None, looked_until: None }));
        }
    }
    asked.filter.number = ForeignNumber::parse(&number);
    if asked.filter.number.is_some() {
        let page = state.engine.store().search_orders(asked.filter, asked.after, asked.limit);
        return Ok(page_answer(&page.await?));
    }
    // A caller's id may be shorter than what is looked for in a channel's words.
    CallerOrderId::parse(&number).map_err(|_| {
        Query::invalid("number", "1 to 64 letters, digits and . _ : / - are expected")
    })?;
    Ok(page_answer(&OrderPage { orders: Vec::new(), next: None, looked_until: None }))
}

/// The orders that a number leads to by itself: one of ours, or one of a caller's.
async fn named(
    state: &ApiState,
    number: &str,
    caller: Option<&CallerId>,
) -> Result<Vec<Order>, ApiError> {
    let store: &dyn Store = &**state.engine.store();
    let ours = ChannelOrderNo::parse(number).map(|number| number.order);
    let is_seen = |order: &Order| caller.is_none_or(|of| order.instruction.caller == *of);
    if let Some(id) = OrderId::parse(number).or(ours)
        && let Some(order) = store.order(id).await?.filter(is_seen)
    {
        return Ok(vec![order]);
    }
    let Ok(id) = CallerOrderId::parse(number) else { return Ok(Vec::new()) };
    let callers = match caller {
        Some(caller) => vec![caller.clone()],
        None => {
            let mut all = state.callers.names();
            all.push(CallerId::from_stored(OWN_CALLER));
            all
        }
    };
    let mut found = Vec::new();
    for caller in callers {
        found.extend(store.order_by_caller(caller, id.clone()).await?);
    }
    Ok(found)
}

/// The caller whose orders, or agreements, alone are shown: an operator or auditor may name one,
/// another caller has its own.
fn shown_caller(seat: &Seat, named: Option<CallerId>) -> Result<Option<CallerId>, ApiError> {
    match named {
        None => Ok(seat.sees_only().cloned()),
        Some(named) if seat.may_see_of(&named) => Ok(Some(named)),
        Some(_) => {
            let detail = "only operators and auditors see what another caller has asked for";
            Err(ApiError::new(ProblemCode::Forbidden, detail))
        }
    }
}
