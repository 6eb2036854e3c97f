//! Transactions: what has succeeded at a channel, and the channel's own words for it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::channels::known;
use crate::api::dto::{Moment, Text, json};
use crate::api::error::ApiError;
use crate::api::input::Segment;
use crate::api::input::query::Query;
use crate::api::page::{next_of, page};
use crate::domain::books::Transaction;
use crate::domain::ids::{ChannelOrderNo, OrderId};
use crate::domain::time::BusinessDate;

#[derive(Serialize)]
struct TransactionBody<'row> {
    id: Text<OrderId>,
    movement: &'static str,
    channel: &'row str,
    channel_order_no: Text<ChannelOrderNo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_reference: Option<&'row str>,
    merchant_id: &'row str,
    amount: i64,
    currency: &'static str,
    clearing_date: Text<BusinessDate>,
    at: Moment,
    /// How the success became known.
    source: &'static str,
    /// The channel's own words, card data masked; only where one is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    voucher: Option<&'row str>,
}

impl<'row> From<&'row Transaction> for TransactionBody<'row> {
    fn from(row: &'row Transaction) -> Self {
        Self {
            id: Text(row.order),
            movement: row.movement.name(),
            channel: row.channel.as_str(),
            channel_order_no: Text(row.channel_order_no),
            channel_reference: row.channel_reference.as_deref(),
            merchant_id: row.merchant_id.as_str(),
            amount: row.amount.get(),
            currency: row.currency.name(),
            clearing_date: Text(row.clearing_date),
            at: Moment(row.at),
            source: row.source.name(),
            voucher: None,
        }
    }
}

/// `GET /v1/transactions?after=&limit=`, by order; `?channel=&date=&after=&limit=`, those that a
/// channel clears on a date, by channel order number.
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let (channel, date) = (query.text("channel"), query.optional_date()?);
    let store = state.engine.store();
    let (rows, next) = match (channel, date) {
        (None, None) => {
            let after = query.parsed("after", "an id, 19 digits", OrderId::parse)?;
            let limit = query.limit()?;
            query.finish()?;
            let rows = store.transactions(after, limit).await?;
            let next = next_of(&rows, limit, |row| row.order.to_string());
            (rows, next)
        }
        (Some(channel), Some(date)) => {
            let number = "a channel order number, 21 digits";
            let after = query.parsed("after", number, ChannelOrderNo::parse)?;
            let limit = query.limit()?;
            query.finish()?;
            let channel = known(&state, &channel)?;
            let rows = store.transactions_of_day(channel, date, after, limit).await?;
            let next = next_of(&rows, limit, |row| row.channel_order_no.to_string());
            (rows, next)
        }
        (Some(_), None) => return Err(Query::invalid("date", "it goes with `channel`")),
        (None, Some(_)) => return Err(Query::invalid("channel", "it goes with `date`")),
    };
    Ok(page("transactions", rows.iter().map(TransactionBody::from), next))
}

/// `GET /v1/transactions/{id}`: the transaction of an order, with its voucher.
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let missing = || ApiError::not_found("no order of this id has succeeded at a channel");
    let id = OrderId::parse(&id).ok_or_else(missing)?;
    let row = state.engine.store().transaction(id).await?.ok_or_else(missing)?;
    let body = TransactionBody { voucher: Some(&row.voucher), ..TransactionBody::from(&row) };
    Ok(json(StatusCode::OK, &body))
}
