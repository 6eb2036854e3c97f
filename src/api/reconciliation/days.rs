//! How a channel's clearing dates stand, the newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use super::report::{ClosedBody, StatementBody};
use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::channels::{channel_id, unknown_channel};
use crate::api::dto::{Text, json};
use crate::api::error::ApiError;
use crate::api::input::PathSegment;
use crate::api::input::query::Query;
use crate::codec::word;
use crate::domain::books::day_close::DayClose;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::settlement::SettledAmounts;
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::domain::report::SettlementStanding;
use crate::domain::time::BusinessDate;

/// Dates of a page when nobody says how many, and the most.
const DATES_DEFAULT: u32 = 14;
const DATES_MAX: u32 = 92;

/// Clearing dates.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClearingDates")]
pub struct DaysBody<'row> {
    /// The channel.
    channel: &'row str,
    /// The date that has not ended.
    today: Text<BusinessDate>,
    /// The dates, the newest first.
    days: Vec<DayBody<'row>>,
    /// `through` of the page with earlier dates.
    earlier: Text<BusinessDate>,
}

/// A date.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClearingDate")]
struct DayBody<'row> {
    /// The date.
    date: Text<BusinessDate>,
    /// Its close.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<ClosedBody<'row>>,
    /// The current batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<StatementBody>,
    /// By currency, where money is stated or settled.
    settlement: Vec<DayStandingBody>,
}

/// Its settlement.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DateStanding")]
struct DayStandingBody {
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// How it stands.
    #[schemars(with = "word::StandingWord")]
    state: &'static str,
}

/// One date, as the books have it.
struct DayRows {
    date: BusinessDate,
    close: Option<DayClose>,
    batch: Option<Reconciliation>,
    standings: Vec<(Currency, SettlementStanding)>,
}

impl<'row> From<&'row DayRows> for DayBody<'row> {
    fn from(day: &'row DayRows) -> Self {
        let standing = |(currency, standing): &(Currency, SettlementStanding)| DayStandingBody {
            currency: currency.name(),
            state: standing.name(),
        };
        Self {
            date: Text(day.date),
            closed: day.close.as_ref().map(ClosedBody::from),
            statement: day.batch.as_ref().map(StatementBody::from),
            settlement: day.standings.iter().map(standing).collect(),
        }
    }
}

/// `GET /v1/channels/{id}/days?through=&dates=`
pub async fn of_channel(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let parse = |text: &str| text.is_ascii().then(|| BusinessDate::parse(text)).flatten();
    let through = query.parsed("through", "a date YYYY-MM-DD", parse)?;
    let in_bounds = |text: &str| text.parse().ok().filter(|dates| (1..=DATES_MAX).contains(dates));
    let dates = query.parsed("dates", "a number of 1 to 92", in_bounds)?;
    query.finish()?;
    let channel = channel_id(&state, &id)?;
    let status = state.registry.status(&channel).ok_or_else(unknown_channel)?;
    let terms = state.engine.channels().terms(&channel).ok_or_else(unknown_channel)?;
    let today = terms.calendar.date_of(state.engine.clock().now());
    let currencies: Vec<_> =
        status.currencies.iter().filter_map(|name| Currency::parse(name)).collect();
    let (mut rows, mut date) = (Vec::new(), through.unwrap_or(today).min(today));
    for _ in 0..dates.unwrap_or(DATES_DEFAULT) {
        rows.push(day(&state, &channel, date, &currencies).await?);
        date = date.previous();
    }
    let body = DaysBody {
        channel: channel.as_str(),
        today: Text(today),
        days: rows.iter().map(DayBody::from).collect(),
        earlier: Text(date),
    };
    Ok(json(StatusCode::OK, &body))
}

async fn day(
    state: &ApiState,
    channel: &ChannelId,
    date: BusinessDate,
    currencies: &[Currency],
) -> Result<DayRows, ApiError> {
    let store = state.engine.store();
    let close = store.day_close(channel.clone(), date).await?;
    let batch = store.current_reconciliation(channel.clone(), date).await?;
    let mut standings = Vec::new();
    for currency in currencies {
        let stated = batch.as_ref().map(|batch| batch.report.stated(*currency));
        let stated = stated.as_ref().and_then(SettledAmounts::of);
        let settled = store.settled_date(channel.clone(), date, *currency).await?;
        let settled = settled.map(|row| row.settled);
        if stated.is_some_and(|stated| !stated.is_nothing()) || settled.is_some() {
            standings.push((*currency, SettlementStanding::of(stated, settled)));
        }
    }
    Ok(DayRows { date, close, batch, standings })
}
