//! Clearing records of a channel and date: pages, whole days as streams, and totals.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::auth::{MayInspect, MayOperate};
use crate::api::channels::channel_id;
use crate::api::dto::{ClearingBody, CloseBody, TotalsBody, json};
use crate::api::error::ApiError;
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, read_json_body};
use crate::api::stream::{self, Pages, streamed_form};
use crate::api::{ApiState, run_detached};
use crate::codec::clearing;
use crate::domain::books::clearing::{ClearingRecord, ClearingTotals};
use crate::domain::command::Decider;
use crate::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::engine::day_close::DaySums;
use crate::store::{PAGE_MAX, Store, StoreError};

type CurrencyTotals = BTreeMap<Currency, ClearingTotals>;
/// A record's place in its channel and date.
type RecordPlace = (OrderId, u8);

/// A page of a clearing day.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClearingPage")]
pub struct PageBody<'row> {
    /// The channel.
    channel: &'row str,
    /// The clearing date.
    date: String,
    /// The records.
    records: Vec<ClearingBody<'row>>,
    /// Only where the page holds the whole day; else the summary has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<Vec<TotalsBody>>,
    /// The `after` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `GET /v1/channels/{id}/clearing?date=[&after=&limit=]`
pub async fn records(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let date = query.date()?;
    let after =
        query.parsed("after", "a channel order number, 21 digits", ChannelOrderNo::parse)?;
    let limit = query.limit()?;
    query.finish()?;
    let channel = channel_id(&state, &id)?;
    if let Some(form) = streamed_form(&headers) {
        let store = Arc::clone(state.engine.store());
        return Ok(stream::answer(
            ClearingDayPages { store, channel, date, after: None, ended: false },
            form,
        ));
    }
    let start = after.map(|number| (number.order, number.attempt));
    let rows = state.engine.store().clearing(channel.clone(), date, start, limit).await?;
    let next = rows.last().filter(|_| rows.len() == limit);
    let whole = after.is_none() && next.is_none();
    let body = PageBody {
        channel: channel.as_str(),
        date: date.to_string(),
        records: rows.iter().map(ClearingBody::from).collect(),
        totals: whole.then(|| totals_body(&sum(CurrencyTotals::new(), &rows))),
        next: next.map(|record| record.channel_order_no.to_string()),
    };
    Ok(json(StatusCode::OK, &body))
}

/// A day's summary.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClearingSummary")]
pub struct SummaryBody<'row> {
    /// The channel.
    channel: &'row str,
    /// The clearing date.
    date: String,
    /// The sums of each currency.
    totals: Vec<TotalsBody>,
    /// The close, once the day is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<CloseBody<'row>>,
    /// Whether the records still are what was closed, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
}

/// `GET /v1/channels/{id}/clearing/summary?date=[&verify=true]`
///
/// `verified` says whether a closed day's records still are what was closed.
pub async fn summary(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let date = query.date()?;
    let verify = query.parsed("verify", "true or false", |text| text.parse::<bool>().ok())?;
    query.finish()?;
    let channel = channel_id(&state, &id)?;
    let close = state.engine.store().day_close(channel.clone(), date).await?;
    let (totals, verified) = match close.as_ref().filter(|_| verify == Some(true)) {
        Some(close) => {
            let DaySums { totals, sha256 } = state.engine.day_sums(&channel, date).await?;
            let stands = close.sha256 == sha256 && close.totals == totals;
            (totals, Some(stands))
        }
        None => (state.engine.day_totals(&channel, date).await?, None),
    };
    let body = SummaryBody {
        channel: channel.as_str(),
        date: date.to_string(),
        totals: totals.iter().map(|(a, b)| TotalsBody::from((a, b))).collect(),
        verified,
        closed: close.as_ref().map(CloseBody::from),
    };
    Ok(json(StatusCode::OK, &body))
}

/// A day that was closed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClosedDay")]
pub struct ClosedDayBody<'row> {
    /// The channel.
    channel: &'row str,
    /// The clearing date.
    date: String,
    /// Its close.
    closed: CloseBody<'row>,
}

/// `POST /v1/channels/{id}/clearing/close?date=`: closes a day that has ended before its time, and
/// the open ones before it. A closed day is answered as it is.
pub async fn close(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let mut query = Query::of(&parts.uri);
    let date = query.date()?;
    query.finish()?;
    let body = read_json_body(&parts.headers, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse_or_empty(&body)?;
    let reason = state.reason(&mut fields)?;
    fields.finish()?;
    state.refuse_when_closed()?;
    let channel = channel_id(&state, &id)?;
    let actor = seat.name().to_string();
    let decider = Decider { actor, approver: None, reason: reason.unwrap_or_default() };
    let asked = channel.clone();
    let work = async move { Ok(state.engine.close_day(&asked, date, &decider).await?) };
    let closed = run_detached(work).await?;
    let date = date.to_string();
    let body = ClosedDayBody { channel: channel.as_str(), date, closed: CloseBody::from(&closed) };
    Ok(json(StatusCode::OK, &body))
}

fn place(record: &ClearingRecord) -> RecordPlace {
    (record.channel_order_no.order, record.channel_order_no.attempt)
}

fn sum(mut totals: CurrencyTotals, rows: &[ClearingRecord]) -> CurrencyTotals {
    for record in rows {
        totals.entry(record.currency).or_default().add(record);
    }
    totals
}

fn totals_body(totals: &CurrencyTotals) -> Vec<TotalsBody> {
    totals.iter().map(TotalsBody::from).collect()
}

/// A day's records, page by page.
struct ClearingDayPages {
    store: Arc<dyn Store>,
    channel: ChannelId,
    date: BusinessDate,
    after: Option<RecordPlace>,
    ended: bool,
}

impl Pages for ClearingDayPages {
    type Row = ClearingRecord;

    const TABLE: &'static str = "clearing";

    async fn next(&mut self) -> Result<Option<Vec<ClearingRecord>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let page = self.store.clearing(self.channel.clone(), self.date, self.after, PAGE_MAX);
        let rows = page.await?;
        self.ended = rows.len() < PAGE_MAX;
        self.after = rows.last().map(place).or(self.after);
        Ok(Some(rows))
    }

    fn heading() -> Vec<u8> {
        clearing::csv_heading()
    }

    fn csv(rows: &[ClearingRecord]) -> csv::Result<Vec<u8>> {
        clearing::csv_rows(rows)
    }

    fn write_line(row: &ClearingRecord, line: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(line, &ClearingBody::from(row))
    }
}
