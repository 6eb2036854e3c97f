//! Contradictions: evidence that came against a final state, kept beside it (I-5).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::Uri;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::{MomentText, Text};
use crate::api::error::ApiError;
use crate::api::input::query::Query;
use crate::api::page::listing;
use crate::codec::word;
use crate::domain::ids::OrderId;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{Contradiction, ReportedEnd};
use crate::store::ContradictionPlace;

/// A contradiction.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Contradiction")]
pub struct ContradictionBody<'row> {
    /// The order that it speaks against.
    id: Text<OrderId>,
    /// The number of the attempt.
    attempt: u8,
    /// What is claimed.
    #[schemars(with = "word::ReportedEndWord")]
    claim: &'static str,
    /// By which evidence.
    #[schemars(with = "word::SourceWord")]
    source: &'static str,
    /// When it came.
    at: MomentText,
    /// The channel's own number of what it claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_reference: Option<&'row str>,
    /// The order that takes the claimed success back.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<Text<OrderId>>,
    /// The clearing date of what is claimed, if money moved by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    clearing_date: Option<Text<BusinessDate>>,
    /// The channel's own words, card data masked.
    transcript: &'row str,
}

impl<'row> From<&'row Contradiction> for ContradictionBody<'row> {
    fn from(row: &'row Contradiction) -> Self {
        Self {
            id: Text(row.order),
            attempt: row.attempt,
            claim: row.reported.name(),
            source: row.source.name(),
            at: MomentText(row.at),
            channel_reference: row.channel_reference.as_deref(),
            undo: row.undo.map(Text),
            clearing_date: row.clearing_date.map(Text),
            transcript: &row.transcript,
        }
    }
}

/// `GET /v1/contradictions?after=&limit=`, by order; `?order=`, all of one order.
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let order = query.parsed("order", "an id, 19 digits", OrderId::parse)?;
    let (after, limit) = query.page("the `next` of a page", parse_place)?;
    let store = state.engine.store();
    let (rows, limit) = match (order, after) {
        (None, after) => (store.all_contradictions(after, limit).await?, limit),
        // One order's come whole.
        (Some(order), None) => (store.contradictions(order).await?, usize::MAX),
        (Some(_), Some(_)) => {
            return Err(Query::invalid(
                "after",
                "the listing of one order has \
         no pages",
            ));
        }
    };
    Ok(listing("contradictions", &rows, limit, place, ContradictionBody::from))
}

/// Where a page goes on: order, attempt, reported end and place of its last row.
fn place(row: &Contradiction) -> String {
    format!("{}-{}-{}-{}", row.order, row.attempt, row.reported.name(), row.ordinal)
}

fn parse_place(text: &str) -> Option<ContradictionPlace> {
    let (order, rest) = text.split_once('-')?;
    let (attempt, rest) = rest.split_once('-')?;
    let (claim, ordinal) = rest.split_once('-')?;
    let reported = ReportedEnd::ALL.into_iter().find(|one| one.name() == claim)?;
    Some((OrderId::parse(order)?, attempt.parse().ok()?, reported, ordinal.parse().ok()?))
}
