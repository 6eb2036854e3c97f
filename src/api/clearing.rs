//! Clearing records of a channel and date: pages, whole days as streams, and totals.
//!
//! A stream reads page by page, so that its memory does not grow with the day. When the store fails
//! under way the connection is broken off: a cut body must not look like a whole one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;

use crate::api::auth::{MayInspect, MayOperate};
use crate::api::channels::known;
use crate::api::dto::{ClearingBody, CloseBody, TotalsBody, json};
use crate::api::error::ApiError;
use crate::api::input::json::Fields;
use crate::api::input::query::Query;
use crate::api::input::{Segment, order, read_json};
use crate::api::{ApiState, to_its_end};
use crate::codec::clearing;
use crate::domain::books::clearing::{ClearingRecord, ClearingTotals};
use crate::domain::command::Decider;
use crate::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::engine::day_close::DaySums;
use crate::store::{PAGE_MAX, Store, StoreError};
use crate::telemetry;

/// The forms that a whole day can have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    Lines,
}

type Totals = BTreeMap<Currency, ClearingTotals>;
/// A record's place in its channel and date.
type Place = (OrderId, u8);

#[derive(Serialize)]
struct PageBody<'row> {
    channel: &'row str,
    date: String,
    records: Vec<ClearingBody<'row>>,
    /// Only where the page holds the whole day; else the summary has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<Vec<TotalsBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `GET /v1/channels/{id}/clearing?date=[&after=&limit=]`
pub async fn records(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    Segment(id): Segment,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let date = date(&mut query)?;
    let after =
        query.parsed("after", "a channel order number, 21 digits", ChannelOrderNo::parse)?;
    let limit = query.limit()?;
    query.finish()?;
    let channel = known(&state, &id)?;
    if let Some(form) = streamed_form(&headers) {
        return Ok(stream_day(Arc::clone(state.engine.store()), channel, date, form));
    }
    let start = after.map(|number| (number.order, number.attempt));
    let rows = state.engine.store().clearing(channel.clone(), date, start, limit).await?;
    let next = rows.last().filter(|_| rows.len() == limit);
    let whole = after.is_none() && next.is_none();
    let body = PageBody {
        channel: channel.as_str(),
        date: date.to_string(),
        records: rows.iter().map(ClearingBody::from).collect(),
        totals: whole.then(|| totals_body(&sum(Totals::new(), &rows))),
        next: next.map(|record| record.channel_order_no.to_string()),
    };
    Ok(json(StatusCode::OK, &body))
}

/// `GET /v1/channels/{id}/clearing/summary?date=[&verify=true]`
///
/// `verified` says whether a closed day's records still are what was closed.
pub async fn summary(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Body<'row> {
        channel: &'row str,
        date: String,
        totals: Vec<TotalsBody>,
        #[serde(skip_serializing_if = "Option::is_none")]
        closed: Option<CloseBody<'row>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        verified: Option<bool>,
    }
    let mut query = Query::of(&uri);
    let date = date(&mut query)?;
    let verify = query.parsed("verify", "true or false", |text| text.parse::<bool>().ok())?;
    query.finish()?;
    let channel = known(&state, &id)?;
    let close = state.engine.store().day_close(channel.clone(), date).await?;
    let (totals, verified) = match close.as_ref().filter(|_| verify == Some(true)) {
        Some(close) => {
            let DaySums { totals, sha256 } = state.engine.day_sums(&channel, date).await?;
            let stands = close.sha256 == sha256 && close.totals == totals;
            (totals, Some(stands))
        }
        None => (state.engine.day_totals(&channel, date).await?, None),
    };
    let body = Body {
        channel: channel.as_str(),
        date: date.to_string(),
        totals: totals.iter().map(|(a, b)| TotalsBody::from((a, b))).collect(),
        verified,
        closed: close.as_ref().map(CloseBody::from),
    };
    Ok(json(StatusCode::OK, &body))
}

/// `POST /v1/channels/{id}/clearing/close?date=`: closes a day that has ended before its time, and
/// the open ones before it. A closed day is answered as it is.
pub async fn close(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Body<'row> {
        channel: &'row str,
        date: String,
        closed: CloseBody<'row>,
    }
    let (parts, body) = request.into_parts();
    let mut query = Query::of(&parts.uri);
    let date = date(&mut query)?;
    query.finish()?;
    let body = read_json(&parts.headers, body, state.body_limits()).await?;
    let mut fields = Fields::parse_or_empty(&body)?;
    let reason = order::plain(&mut fields, "reason", order::REASON_LENGTH_MAX, |_| true)?;
    fields.finish()?;
    state.refuse_when_closed()?;
    let channel = known(&state, &id)?;
    let actor = seat.name().to_string();
    let decider = Decider { actor, reason: reason.unwrap_or_default() };
    let asked = channel.clone();
    let work = async move { Ok(state.engine.close_day(&asked, date, &decider).await?) };
    let closed = to_its_end(work).await?;
    let date = date.to_string();
    let body = Body { channel: channel.as_str(), date, closed: CloseBody::from(&closed) };
    Ok(json(StatusCode::OK, &body))
}

fn date(query: &mut Query<'_>) -> Result<BusinessDate, ApiError> {
    // A text of ten bytes may still hold a character of several, which the domain need not see.
    let parse = |text: &str| text.is_ascii().then(|| BusinessDate::parse(text)).flatten();
    let expected = "a date YYYY-MM-DD";
    query.parsed("date", expected, parse)?.ok_or_else(|| Query::invalid("date", expected))
}

fn place(record: &ClearingRecord) -> Place {
    (record.channel_order_no.order, record.channel_order_no.attempt)
}

fn sum(mut totals: Totals, rows: &[ClearingRecord]) -> Totals {
    for record in rows {
        totals.entry(record.currency).or_default().add(record);
    }
    totals
}

fn totals_body(totals: &Totals) -> Vec<TotalsBody> {
    totals.iter().map(TotalsBody::from).collect()
}

/// The form that the caller accepts before JSON, if it names one.
fn streamed_form(headers: &HeaderMap) -> Option<Form> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?.to_ascii_lowercase();
    accept.split(',').find_map(|kind| match kind.split(';').next().unwrap_or_default().trim() {
        "text/csv" => Some(Some(Form::Csv)),
        "application/x-ndjson" => Some(Some(Form::Lines)),
        "application/json" | "*/*" => Some(None),
        _ => None,
    })?
}

/// A stream under way.
struct Day {
    store: Arc<dyn Store>,
    channel: ChannelId,
    date: BusinessDate,
    form: Form,
    after: Option<Place>,
    /// The heading was written.
    begun: bool,
    ended: bool,
}

fn stream_day(
    store: Arc<dyn Store>,
    channel: ChannelId,
    date: BusinessDate,
    form: Form,
) -> Response {
    let day = Day { store, channel, date, form, after: None, begun: false, ended: false };
    let chunks = stream::unfold(day, |mut day| async {
        let chunk = day.next().await?;
        Some((chunk, day))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let kind = match form {
        Form::Csv => "text/csv; charset=utf-8",
        Form::Lines => "application/x-ndjson",
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

impl Day {
    /// The next page in its form; `None` after the last.
    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        if self.ended {
            return None;
        }
        let page = self.store.clearing(self.channel.clone(), self.date, self.after, PAGE_MAX);
        let rows = match page.await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(error = %telemetry::chain(&error), "a clearing stream broke off");
                self.ended = true;
                return Some(Err(error));
            }
        };
        self.ended = rows.len() < PAGE_MAX;
        self.after = rows.last().map(place).or(self.after);
        let with_heading = !std::mem::replace(&mut self.begun, true);
        Some(write(&rows, self.form, with_heading))
    }
}

fn write(rows: &[ClearingRecord], form: Form, with_heading: bool) -> Result<Bytes, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { table: "clearing", detail };
    match form {
        Form::Csv => {
            // An empty day has a heading too, which serialising no row would not write.
            let mut bytes = if with_heading { clearing::csv_heading() } else { Vec::new() };
            bytes.extend(clearing::csv_rows(rows).map_err(|error| damaged(error.to_string()))?);
            Ok(bytes.into())
        }
        Form::Lines => {
            let mut lines = Vec::new();
            for record in rows {
                serde_json::to_writer(&mut lines, &ClearingBody::from(record))
                    .map_err(|error| damaged(error.to_string()))?;
                lines.push(b'\n');
            }
            Ok(lines.into())
        }
    }
}
