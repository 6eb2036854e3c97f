//! What-if: the orders of a time, planned again under other routes and channel files.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::{MomentText, json as json_answer};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::forms::REPLAYED_MAX as ORDERS_MAX;
use crate::api::input::json::{Json, JsonFields};
use crate::api::input::{BodyLimits, read_json};
use crate::codec::word;
use crate::config::mistake::Mistake;
use crate::config::raw::TEXT_BYTES_MAX;
use crate::domain::ids::ChannelId;
use crate::domain::route::replay::{Expectation, ReplayReport, RouteSet, SideReport};
use crate::domain::time::Timestamp;
use crate::engine::replay::{ReplayPeriod, ReplayRun};
use crate::tables::routes;

/// What mistakes call the candidate's routes.
const ROUTES_NAME: &str = "routes";
/// What is not done with files that have mistakes.
const PLANNED: &str = "planned";
/// The most faults that a problem lists.
const FAULTS_MAX: usize = 100;

/// `POST /v1/routes/replay`: nothing is sent, and nothing is written. One runs at a time; others
/// wait for their turn.
pub async fn replay(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    // Channel files and routes are larger than orders.
    let limits = BodyLimits { bytes_max: TEXT_BYTES_MAX, ..state.body_limits() };
    let body = read_json(&parts, body, limits).await?;
    let rules = state.intake.routes().rules.clone();
    let in_force =
        RouteSet { rules, profiles: state.registry.profiles(), rates: state.registry.rate_terms() };
    let (period, candidate) = read_question(&state, &in_force, &body)?;
    let run = state.engine.replay(&period, &in_force, &candidate).await?;
    Ok(json_answer(StatusCode::OK, &ReplayBody::of(&run)))
}

fn read_question(
    state: &ApiState,
    in_force: &RouteSet,
    body: &[u8],
) -> Result<(ReplayPeriod, RouteSet), ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let (from, to) = (moment(&mut fields, "from")?, moment(&mut fields, "to")?);
    if from >= to {
        return Err(fields.invalid("to", "a time after `from` is expected"));
    }
    let orders_max = match fields.value("orders_max") {
        None => ORDERS_MAX,
        Some(Json::Integer(most)) => u64::try_from(most)
            .ok()
            .filter(|most| (1..=ORDERS_MAX).contains(most))
            .ok_or_else(|| fields.invalid("orders_max", "1 to 5000000 is expected"))?,
        Some(_) => return Err(fields.invalid("orders_max", "1 to 5000000 is expected")),
    };
    let text = fields.text("routes")?;
    let mut files = BTreeMap::new();
    for (name, text) in fields.texts("channels")? {
        let id = ChannelId::parse(&name)
            .map_err(|error| fields.invalid("channels", format!("a channel's id: {error}")))?;
        files.insert(id, text.into_owned());
    }
    if text.is_none() && files.is_empty() {
        return Err(fields.missing("routes"));
    }
    fields.finish()?;
    let profiles =
        state.registry.profiles_with(&files).map_err(|found| refused(&found, PLANNED))?;
    let known: Vec<ChannelId> = profiles.iter().map(|profile| profile.id.clone()).collect();
    let rules = match text {
        None => in_force.rules.clone(),
        Some(text) => {
            routes::read(ROUTES_NAME, &text, &known)
                .map_err(|found| refused(&found, PLANNED))?
                .rules
        }
    };
    let period = ReplayPeriod { created: from..to, orders_max };
    Ok((period, RouteSet { rules, profiles, rates: in_force.rates }))
}

/// A moment, or the beginning of a date in UTC.
fn moment(fields: &mut JsonFields<'_>, name: &'static str) -> Result<Timestamp, ApiError> {
    let text = fields.required_text(name)?;
    let detail = "a time as 2026-11-22T08:00:00Z, or a date, whose beginning in UTC it is";
    Timestamp::parse(&text).ok_or_else(|| fields.invalid(name, detail))
}

/// The mistakes of files; `done` says what was not done with them.
pub fn refused(mistakes: &[Mistake], done: &str) -> ApiError {
    let fault = |mistake: &Mistake| {
        json!({
            "file": mistake.file, "line": mistake.line, "key": mistake.key,
            "problem": mistake.problem, "advice": mistake.advice,
        })
    };
    let first: Vec<_> = mistakes.iter().take(FAULTS_MAX).map(fault).collect();
    let faults = json!({ "first": first, "count": mistakes.len() });
    let detail = format!("the files have {} mistakes; nothing was {done}", mistakes.len());
    ApiError::new(ProblemCode::FilesRefused, detail).with("faults", faults)
}

/// What a change would have made of the orders.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Replay")]
pub struct ReplayBody<'run> {
    /// How many orders were planned.
    orders: u64,
    /// How many of them would go to another channel first.
    moved: u64,
    /// Orders of which a rule asks more digits of the card than are kept.
    undecided: u64,
    /// Where `orders_max` left later orders out: the creation of the last one that was planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_at: Option<MomentText>,
    /// What is in force.
    in_force: SideBody<'run>,
    /// What would be.
    candidate: SideBody<'run>,
    /// From where to where orders move.
    moves: Vec<MoveBody<'run>>,
}

/// One side of a replay.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReplaySide")]
struct SideBody<'run> {
    /// The channels' parts.
    channels: Vec<ShareBody<'run>>,
    /// How often channels were struck.
    struck: Vec<StruckBody<'run>>,
    /// Orders that no channel takes.
    without_route: u64,
    /// What is approved, as far as it is known or to be expected.
    approvals: ApprovalsBody,
}

/// A channel's part of a side.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReplayShare")]
struct ShareBody<'run> {
    /// The channel.
    channel: &'run str,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// Orders whose plan begins with it.
    orders: u64,
    /// Their sum, in minor units.
    amount: i64,
    /// The channel's fees for those that succeeded, by the side's schedule.
    fee: i64,
}

/// How often a channel was struck.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReplayStrikes")]
struct StruckBody<'run> {
    /// The channel.
    channel: &'run str,
    /// A stable word, as `daily_limit`.
    reason: &'static str,
    /// How many orders.
    orders: u64,
}

/// Approvals: those that are known, and what is to be expected beside them.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReplayApprovals")]
struct ApprovalsBody {
    /// Approvals of orders that the channel has really seen.
    known: u64,
    /// Orders whose end is open.
    open: u64,
    /// Whole orders, rounded.
    expected: u64,
    /// The interval of `known` and `expected` together, with 95 %.
    low: u64,
    /// At most so many, with 95 %.
    high: u64,
    /// Orders that nothing can be said about.
    without_figures: u64,
}

/// Orders that move.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReplayMove")]
struct MoveBody<'run> {
    /// Their first channel in force; `null`: no channel takes them.
    from: Option<&'run str>,
    /// Their first channel of the candidate, or `null`.
    to: Option<&'run str>,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// How many orders.
    orders: u64,
    /// Their sum, in minor units.
    amount: i64,
}

impl<'run> ReplayBody<'run> {
    fn of(run: &'run ReplayRun) -> Self {
        let report: &ReplayReport = &run.report;
        let moves = report.moves.iter().map(|((from, to, currency), moved)| MoveBody {
            from: from.as_ref().map(ChannelId::as_str),
            to: to.as_ref().map(ChannelId::as_str),
            currency: currency.name(),
            orders: moved.orders,
            amount: moved.amount_minor,
        });
        Self {
            orders: report.orders,
            moved: report.moved(),
            undecided: report.undecided,
            stopped_at: run.stopped_at.map(MomentText),
            in_force: SideBody::of(&report.in_force),
            candidate: SideBody::of(&report.candidate),
            moves: moves.collect(),
        }
    }
}

impl<'run> SideBody<'run> {
    fn of(side: &'run SideReport) -> Self {
        let channels = side.shares.iter().map(|((channel, currency), share)| ShareBody {
            channel: channel.as_str(),
            currency: currency.name(),
            orders: share.orders,
            amount: share.amount_minor,
            fee: share.fee_minor,
        });
        let struck = side.struck.iter().map(|((channel, reason), orders)| StruckBody {
            channel: channel.as_str(),
            reason,
            orders: *orders,
        });
        Self {
            channels: channels.collect(),
            struck: struck.collect(),
            without_route: side.without_route,
            approvals: ApprovalsBody::of(&side.approvals),
        }
    }
}

impl ApprovalsBody {
    fn of(approvals: &Expectation) -> Self {
        let Expectation { known, open, expected, margin, without_figures } = *approvals;
        // Orders are whole; what cannot be below nothing is not shown below it.
        let whole = |orders: f64| orders.round().max(0.0) as u64;
        Self {
            known,
            open,
            expected: whole(expected),
            low: known + whole(expected - margin),
            high: known + whole(expected + margin),
            without_figures,
        }
    }
}
