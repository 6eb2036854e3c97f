//! Transactions: the successes at channels, each with its transcript.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::channels::channel_id;
use crate::api::dto::{MomentText, Text, json};
use crate::api::error::ApiError;
use crate::api::input::PathSegment;
use crate::api::input::query::Query;
use crate::api::page::listing;
use crate::codec::word;
use crate::domain::books::Transaction;
use crate::domain::ids::{ChannelOrderNo, OrderId};
use crate::domain::time::BusinessDate;

/// A transaction.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Transaction")]
pub struct TransactionBody<'row> {
    /// The order's number.
    id: Text<OrderId>,
    /// What moved the money.
    #[schemars(with = "word::OperationWord")]
    movement: &'static str,
    /// The channel where it did.
    channel: &'row str,
    /// Our number of the attempt.
    channel_order_no: Text<ChannelOrderNo>,
    /// The channel's own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_reference: Option<&'row str>,
    /// The order's merchant.
    merchant_id: &'row str,
    /// In minor units.
    amount: i64,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// The channel's day.
    clearing_date: Text<BusinessDate>,
    /// When it was written.
    at: MomentText,
    /// How the success became known.
    #[schemars(with = "word::SourceWord")]
    source: &'static str,
    /// The channel's own words, card data masked; only where one is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<&'row str>,
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
            at: MomentText(row.at),
            source: row.source.name(),
            transcript: None,
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
    let (name, store) = ("transactions", state.engine.store());
    match (channel, date) {
        (None, None) => {
            let (after, limit) = query.page("an id, 19 digits", OrderId::parse)?;
            let rows = store.transactions(after, limit).await?;
            let place = |row: &Transaction| row.order.to_string();
            Ok(listing(name, &rows, limit, place, TransactionBody::from))
        }
        (Some(channel), Some(date)) => {
            let number = "a channel order number, 21 digits";
            let (after, limit) = query.page(number, ChannelOrderNo::parse)?;
            let channel = channel_id(&state, &channel)?;
            let rows = store.transactions_of_day(channel, date, after, limit).await?;
            let place = |row: &Transaction| row.channel_order_no.to_string();
            Ok(listing(name, &rows, limit, place, TransactionBody::from))
        }
        (Some(_), None) => Err(Query::invalid("date", "`channel` needs a date")),
        (None, Some(_)) => Err(Query::invalid("channel", "`date` needs a channel")),
    }
}

/// `GET /v1/transactions/{id}`: the transaction of an order, with its transcript.
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let missing = || ApiError::not_found("no order of this id has succeeded at a channel");
    let id = OrderId::parse(&id).ok_or_else(missing)?;
    let row = state.engine.store().transaction(id).await?.ok_or_else(missing)?;
    let body = TransactionBody { transcript: Some(&row.transcript), ..TransactionBody::from(&row) };
    Ok(json(StatusCode::OK, &body))
}
