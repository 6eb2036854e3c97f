//! A channel's success rates: what it has shown on orders of each kind, as routing weighs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use super::{channel_id, unknown_channel};
use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::{MomentText, json};
use crate::api::error::ApiError;
use crate::api::input::PathSegment;
use crate::api::input::query::Query;
use crate::codec::word;
use crate::domain::route::condition::INSTITUTION_DIGITS;
use crate::domain::route::rates::{FoundRate, RateRow};

/// The rate that a candidate is ranked by.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CandidateRate")]
pub struct FoundRateBody {
    /// Millionths of those orders that succeeded.
    success_rate_ppm: u32,
    /// Which orders it is drawn from; `health`: the channel's health, for too few were seen.
    #[schemars(with = "word::RateScopeWord")]
    scope: &'static str,
    /// What their samples weigh now.
    samples: u32,
}

impl From<FoundRate> for FoundRateBody {
    fn from(found: FoundRate) -> Self {
        Self { success_rate_ppm: found.ppm, scope: found.scope.name(), samples: found.samples }
    }
}

/// A rate: how a channel does on orders of a kind. What is absent is not told apart.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SuccessRate")]
struct RateBody<'row> {
    /// How wide the group of orders is.
    #[schemars(with = "word::RateScopeWord")]
    scope: &'static str,
    /// The operation.
    #[schemars(with = "word::OperationWord")]
    operation: &'static str,
    /// The first four digits of the issuers' codes: the institution.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'row str>,
    /// Its name of today in the BIN table.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_name: Option<&'row str>,
    /// The type of card.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::CardTypeWord>")]
    card_type: Option<&'static str>,
    /// The smallest amount of the band, in minor units of whatever currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_from: Option<i64>,
    /// The largest amount of the band; the last band has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_to: Option<i64>,
    /// Millionths of these orders that succeeded.
    success_rate_ppm: u32,
    /// What the samples weigh now.
    samples: u32,
    /// Whether that is enough to rank the channel by.
    ranks: bool,
}

/// A channel's success rates.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SuccessRates")]
pub struct RatesBody<'row> {
    /// The channel.
    channel: &'row str,
    /// When it was asked for.
    at: MomentText,
    /// The time in which a sample loses half of its weight, in seconds.
    half_life_seconds: u64,
    /// What the samples of a group must weigh to rank the channel.
    samples_min: u32,
    /// How many rates there are, of this issuer if one was asked for.
    count: usize,
    /// The first of them, the one with the most samples first.
    rates: Vec<RateBody<'row>>,
}

/// `GET /v1/channels/{id}/rates`
pub async fn of_channel(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let digits = |text: &str| {
        let is_code = text.len() == INSTITUTION_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
        is_code.then(|| text.to_owned())
    };
    let issuer = query.parsed("issuer", "the first four digits of an issuer's code", digits)?;
    let limit = query.limit()?;
    query.finish()?;
    let channel = channel_id(&state, &id)?;
    let mut rows = state.registry.rates(&channel).ok_or_else(unknown_channel)?;
    rows.retain(|row| issuer.is_none() || row.situation.issuer() == issuer.as_deref());
    let count = rows.len();
    rows.truncate(limit);
    let table = state.bins.current();
    // One way through the table: every region of an institution has rows of its own.
    let mut names: BTreeMap<&str, Option<&str>> =
        rows.iter().filter_map(|row| Some((row.situation.issuer()?, None))).collect();
    for row in table.table.rows() {
        let code = row.issuer_code.get(..INSTITUTION_DIGITS).unwrap_or_default();
        if let Some(name @ None) = names.get_mut(code) {
            *name = Some(&row.issuer_name);
        }
    }
    let terms = state.registry.rate_terms();
    let body = RatesBody {
        channel: channel.as_str(),
        at: MomentText(state.engine.clock().now()),
        half_life_seconds: terms.half_life.as_secs(),
        samples_min: terms.samples_min,
        count,
        rates: rows.iter().map(|row| rate(row, &names)).collect(),
    };
    Ok(json(StatusCode::OK, &body))
}

fn rate<'row>(
    row: &'row RateRow,
    names: &BTreeMap<&'row str, Option<&'row str>>,
) -> RateBody<'row> {
    let situation = &row.situation;
    let (amount_from, amount_below) = situation.amounts().unzip();
    let issuer = situation.issuer();
    RateBody {
        scope: row.scope.name(),
        operation: situation.operation.name(),
        issuer,
        issuer_name: issuer.and_then(|code| names.get(code).copied().flatten()),
        card_type: situation.card_type.map(|card_type| card_type.name()),
        amount_from,
        amount_to: amount_below.flatten().map(|below| below - 1),
        success_rate_ppm: row.ppm,
        samples: row.weight.round() as u32,
        ranks: row.speaks,
    }
}
