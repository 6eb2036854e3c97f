//! The temp reversal table: unresolved orders, and an operator's decisions on them.
//!
//! An operator's decision is evidence like any other and goes through the engine (I-3); it needs a
//! reason, which is stored with the operator's name.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::auth::{MayInspect, MayOperate, Seat};
use crate::api::dto::{MomentText, OrderBody, Text, json};
use crate::api::error::ApiError;
use crate::api::held;
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, read_json};
use crate::api::page::page;
use crate::api::{ApiState, run_detached};
use crate::codec::word;
use crate::domain::approval::{HeldAction, HeldResolve};
use crate::domain::command::{Command, Decider};
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::reversal::{HistoryLine, Phase, Resolution, ReversalEntry};
use crate::domain::time::Timestamp;
use crate::store::PAGE_MAX;

/// The most rows that one filtered page looks through; `next` goes on from there.
const LOOKED_THROUGH_MAX: usize = 20 * PAGE_MAX;

/// The filter of a page.
struct Filter {
    channel: Option<ChannelId>,
    phase: Option<Phase>,
}

impl Filter {
    fn is_none(&self) -> bool {
        self.channel.is_none() && self.phase.is_none()
    }

    fn takes(&self, entry: &ReversalEntry) -> bool {
        self.channel.as_ref().is_none_or(|channel| *channel == entry.channel)
            && self.phase.is_none_or(|phase| phase == entry.phase)
    }
}

/// One row of the temp reversal table.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reversal")]
pub struct ReversalBody<'row> {
    /// The order's number.
    id: Text<OrderId>,
    /// The attempt's number; 0 for an undo that has none yet.
    attempt: u8,
    /// The attempt's channel.
    channel: &'row str,
    /// In minor units.
    amount: i64,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// What is done for it.
    #[schemars(with = "word::PhaseWord")]
    phase: &'static str,
    /// How far its schedule is.
    step: u16,
    /// When it is worked next.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<MomentText>,
    /// Since when it has been open.
    opened_at: MomentText,
    /// How long it has been open, in milliseconds.
    age_ms: u128,
    /// Whether the channel has said that it works on it.
    pending: bool,
    /// Whether a reversal that has left may still be carried out, or was, without a word.
    reversal_sent: bool,
    /// How many reversals left and were not answered.
    reversals_unanswered: u32,
    /// When the last one left.
    #[serde(skip_serializing_if = "Option::is_none")]
    reversal_left_at: Option<MomentText>,
    /// Until then a success is not believed: the reversal may undo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reversible_until: Option<MomentText>,
    /// Whether the channel takes no reversal any more.
    reversal_refused: bool,
    /// Whether the schedule of reversals has run out.
    reversals_exhausted: bool,
    /// How many inquiries were sent.
    inquiries: u32,
    /// How many reversals were sent.
    reversals: u32,
    /// What happened, oldest first.
    history: Vec<HistoryBody<'row>>,
}

/// A line of its history.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReversalEvent")]
struct HistoryBody<'row> {
    /// When.
    at: MomentText,
    /// What happened, in a few stable words.
    what: &'row str,
}

impl<'row> ReversalBody<'row> {
    pub fn of(entry: &'row ReversalEntry, now: Timestamp) -> Self {
        let line =
            |line: &'row HistoryLine| HistoryBody { at: MomentText(line.at), what: &line.what };
        Self {
            id: Text(entry.order),
            attempt: entry.attempt,
            channel: entry.channel.as_str(),
            amount: entry.amount.get(),
            currency: entry.currency.name(),
            phase: entry.phase.name(),
            step: entry.step,
            due_at: entry.due_at.map(MomentText),
            opened_at: MomentText(entry.opened_at),
            age_ms: now.since(entry.opened_at).as_millis(),
            pending: entry.pending,
            reversal_sent: entry.reversals_unanswered > 0,
            reversals_unanswered: entry.reversals_unanswered,
            reversal_left_at: entry.reversal_left_at.map(MomentText),
            reversible_until: entry.reversible_until().map(MomentText),
            reversal_refused: entry.reversal_refused,
            reversals_exhausted: entry.reversals_exhausted,
            inquiries: entry.inquiries,
            reversals: entry.reversals,
            history: entry.history.iter().map(line).collect(),
        }
    }
}

/// `GET /v1/reversals?after=&limit=&channel=&phase=`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let channel = query.parsed("channel", "a channel's id", |text| ChannelId::parse(text).ok())?;
    let phase = query.parsed("phase", "inquiring, reversing, undo_owed or operator", |text| {
        Phase::ALL.into_iter().find(|phase| phase.name() == text)
    })?;
    let (after, limit) = query.page("an id, 19 digits", OrderId::parse)?;
    let (rows, next) = filter_entries(&state, after, limit, &Filter { channel, phase }).await?;
    let now = state.engine.clock().now();
    let reversals = rows.iter().map(|entry| ReversalBody::of(entry, now));
    Ok(page("reversals", reversals, next.map(|id| id.to_string())))
}

/// Rows that the filter takes, and where the next page begins.
async fn filter_entries(
    state: &ApiState,
    mut after: Option<OrderId>,
    limit: usize,
    filter: &Filter,
) -> Result<(Vec<ReversalEntry>, Option<OrderId>), ApiError> {
    let mut taken = Vec::new();
    let mut looked_through = 0;
    let ask = if filter.is_none() { limit } else { PAGE_MAX };
    // Ends with the table, with a full page, or at the bound.
    while looked_through < LOOKED_THROUGH_MAX {
        let rows = state.engine.store().reversals(after, ask).await?;
        let is_last = rows.len() < ask;
        for entry in rows {
            looked_through += 1;
            after = Some(entry.order);
            if filter.takes(&entry) {
                taken.push(entry);
            }
            if taken.len() == limit {
                return Ok((taken, after));
            }
        }
        if is_last {
            return Ok((taken, None));
        }
    }
    Ok((taken, after))
}

/// One entry.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReversalWithOrder")]
pub struct UnknownBody<'row> {
    #[serde(flatten)]
    entry: ReversalBody<'row>,
    /// The order.
    order: OrderBody<'row>,
}

/// `GET /v1/reversals/{id}`: the entry, and the order that it is about.
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let id = parse_id(&id)?;
    let entry = state.engine.store().reversal(id).await?.ok_or_else(no_such_entry)?;
    let order = state.engine.store().order(id).await?.ok_or_else(no_such_entry)?;
    let entry = ReversalBody::of(&entry, state.engine.clock().now());
    Ok(json(StatusCode::OK, &UnknownBody { entry, order: OrderBody::from(&order) }))
}

/// `POST /v1/reversals/{id}/retry`: from the start of its schedule, now.
pub async fn retry(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let id = parse_id(&id)?;
    let body = read_json(&parts, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse(&body)?;
    let decider = decider(&state, &seat, &mut fields)?;
    fields.finish()?;
    operate(state, id, Command::Retry { decider }).await
}

/// `POST /v1/reversals/{id}/resolve`: an operator ends an unknown.
pub async fn resolve(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let id = parse_id(&id)?;
    let body = read_json(&parts, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse(&body)?;
    let outcome = fields.required_text("outcome")?;
    let resolution = match outcome.as_ref() {
        "succeeded" => Resolution::Succeeded,
        "failed" => Resolution::Failed,
        "reversed" => Resolution::Reversed,
        _ => {
            let detail = "\"succeeded\", \"failed\" or \"reversed\" is expected";
            return Err(fields.invalid("outcome", detail));
        }
    };
    let decider = decider(&state, &seat, &mut fields)?;
    fields.finish()?;
    let order = state.engine.store().order(id).await?.ok_or_else(no_such_entry)?;
    let (amount, currency) = (order.instruction.amount, order.instruction.currency);
    if state.settings.four_eyes.resolves_above.are_passed_by(amount, currency) {
        let (_, seen) = state.engine.look_at_end(id, resolution).await?;
        let asked_for = HeldResolve { order: id, resolution, amount, currency, seen };
        return held::ask(state, &seat, HeldAction::Resolve(asked_for), decider.reason).await;
    }
    operate(state, id, Command::Resolve { resolution, decider }).await
}

async fn operate(
    state: Arc<ApiState>,
    id: OrderId,
    command: Command,
) -> Result<Response, ApiError> {
    let order = run_detached(async move { Ok(state.engine.operate(id, command).await?) }).await?;
    Ok(json(StatusCode::OK, &OrderBody::from(&order)))
}

fn decider(
    state: &ApiState,
    seat: &Seat,
    fields: &mut JsonFields<'_>,
) -> Result<Decider, ApiError> {
    let reason = state.reason(fields)?;
    let reason = reason.ok_or_else(|| fields.missing("reason"))?;
    Ok(Decider { actor: seat.name().to_string(), approver: None, reason })
}

fn parse_id(id: &str) -> Result<OrderId, ApiError> {
    OrderId::parse(id).ok_or_else(no_such_entry)
}

fn no_such_entry() -> ApiError {
    ApiError::not_found("the temp reversal table has no entry of this order")
}
