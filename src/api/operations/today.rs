//! The day at a glance: what channels were asked, what is open, owed or not closed, and what a
//! person should look at. Sums are of durable rows; the channels' traffic is this process's own.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use super::bars;
use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::channels::traffic::TrafficBody;
use crate::api::dto::{MomentText, Text, TotalsBody, json};
use crate::api::error::ApiError;
use crate::api::input::query::Query;
use crate::channel::certificates::{CertificateState, longest};
use crate::channel::registry::ChannelStatus;
use crate::channel::traffic::{TrafficSlot, sum};
use crate::clock::Doubt;
use crate::domain::books::day_close::{DayTotals, closable_through};
use crate::domain::books::difference::DifferenceState;
use crate::domain::closed_set;
use crate::domain::ids::ChannelId;
use crate::domain::reversal::Phase;
use crate::domain::route::channel::ChannelState;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::{Backlog, PAGE_MAX};
use crate::telemetry::backlog::AgeBand;

/// The most unknowns that are counted; `more` says that there are others.
const UNKNOWNS_MAX: usize = 2 * PAGE_MAX;
/// The most rows of a table that are counted over all channels, which share them; `more` says that
/// a channel has others. A day's sums are for a glance: its report has them whole.
const COUNTED_MAX: usize = 5 * PAGE_MAX;
/// What one channel has of them, however few or many channels there are.
const CHANNEL_COUNTED: RangeInclusive<usize> = 100..=PAGE_MAX / 2;
/// A worker's failure is told for so long.
const FAILURE_TOLD_FOR: Duration = Duration::from_secs(3_600);

closed_set! {
    /// Why a person should look now. It stands for as long as its cause does.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum StandingAlert {
        /// No orders are taken; `about` is a reason of `/readyz`.
        NotReady => "not_ready",
        /// `about` is a doubt of `/readyz`.
        ClockDoubted => "clock_doubted",
        /// Unknowns that only a person can end.
        OperatorNeeded => "operator_needed",
        AccountingParked => "accounting_parked",
        NoticesParked => "notices_parked",
        /// Orders are kept away from the channel `about`.
        BreakerOpen => "breaker_open",
        /// The channel `about` is live by its file, and switched off.
        ChannelOff => "channel_off",
        /// A certificate of the channel `about` ends soon, or does not hold.
        CertificateEnds => "certificate_ends",
        /// Days of the channel `about` should have been closed by themselves.
        DayOverdue => "day_overdue",
        /// A reload waits for a person's yes to the orders that it would move; `about` names its
        /// files.
        ReloadHeld => "reload_held",
        /// The worker `about` has failed within the last hour.
        WorkerFailed => "worker_failed",
    }
}

/// Today.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Today")]
pub struct TodayBody {
    /// When.
    at: MomentText,
    /// Each channel.
    channels: Vec<ChannelTodayBody>,
    /// What is open.
    unknowns: UnknownsBody,
    /// What is owed to the accounting system.
    accounting: BacklogBody,
    /// What is owed to the core.
    notices: BacklogBody,
    /// Days that have ended and are not closed.
    days_open: Vec<DaysOpenBody>,
    /// Open differences by channel.
    differences: Vec<ChannelDifferencesBody>,
    /// What wants a person.
    alerts: Vec<StandingAlertBody>,
}

/// A channel today.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelToday")]
struct ChannelTodayBody {
    /// The channel.
    id: String,
    /// Its name, for people.
    name: String,
    /// How it stands with its owner, as its file says.
    state: &'static str,
    /// Its switch.
    enabled: bool,
    /// Whether orders are kept away from it.
    breaker_open: bool,
    /// Its clearing date.
    date: Text<BusinessDate>,
    /// Successes of the date, by the clearing records that there are.
    cleared: Vec<TotalsBody>,
    /// Whether there are more than were summed up.
    more: bool,
    /// When this node began to count.
    since: MomentText,
    /// This node's requests on that date.
    traffic: TrafficBody,
}

/// Unknowns.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenUnknowns")]
struct UnknownsBody {
    /// How many.
    open: usize,
    /// Whether there are more than were counted.
    more: bool,
    /// How many of each phase.
    by_phase: BTreeMap<&'static str, usize>,
    /// How many of each age.
    by_age: BTreeMap<&'static str, usize>,
    /// Since when the oldest is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_at: Option<MomentText>,
}

/// What is owed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Backlog")]
struct BacklogBody {
    /// Deliveries that are tried again by themselves.
    owed: u64,
    /// Deliveries that wait for an operator.
    parked: u64,
}

impl From<Backlog> for BacklogBody {
    fn from(backlog: Backlog) -> Self {
        Self { owed: backlog.owed, parked: backlog.parked }
    }
}

/// Days not closed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenDays")]
struct DaysOpenBody {
    /// The channel.
    channel: String,
    /// The first.
    from: Text<BusinessDate>,
    /// The last.
    to: Text<BusinessDate>,
    /// Whether the first should have been closed by itself.
    overdue: bool,
}

/// Open differences of a channel.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelDifferences")]
struct ChannelDifferencesBody {
    /// The channel.
    channel: String,
    /// How many are carried over.
    carried: usize,
    /// How many are in suspense.
    suspended: usize,
    /// Whether there are more than were counted.
    more: bool,
}

/// An alert that stands.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StandingAlert")]
struct StandingAlertBody {
    /// A stable word.
    what: &'static str,
    /// The reason, doubt, channel, worker or files.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    /// How many.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// There may be more than were counted; absent where there are not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// `GET /v1/today`
pub async fn show(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let now = state.engine.clock().now();
    let statuses = state.registry.statuses();
    let unknowns = unknowns(&state, now).await?;
    let accounting = BacklogBody::from(state.engine.store().accounting_backlog().await?);
    let notices = BacklogBody::from(state.engine.store().notice_backlog().await?);
    let (mut days_open, mut differences, mut channels) = (Vec::new(), Vec::new(), Vec::new());
    let share = COUNTED_MAX / statuses.len().max(1);
    let most = share.clamp(*CHANNEL_COUNTED.start(), *CHANNEL_COUNTED.end());
    for status in &statuses {
        channels.extend(channel_today(&state, status, now, most).await?);
        days_open.extend(days_not_closed(&state, &status.id, now).await?);
        differences.extend(open_differences(&state, &status.id, most).await?);
    }
    let mut alerts = readiness_alerts(&state);
    let counted = [
        (StandingAlert::OperatorNeeded, unknowns.by_phase.get(Phase::Operator.name()).copied()),
        (StandingAlert::AccountingParked, usize::try_from(accounting.parked).ok()),
        (StandingAlert::NoticesParked, usize::try_from(notices.parked).ok()),
    ];
    let counted = counted.into_iter().filter_map(|(what, count)| {
        let count = count.filter(|count| *count > 0)?;
        let more = what == StandingAlert::OperatorNeeded && unknowns.more;
        let count = Some(count as u64);
        Some(StandingAlertBody { what: what.name(), about: None, count, more })
    });
    alerts.extend(counted);
    alerts.extend(statuses.iter().flat_map(|status| channel_alerts(status, now)));
    let overdue = days_open.iter().filter(|days| days.overdue);
    alerts.extend(overdue.map(|days| about(StandingAlert::DayOverdue, &days.channel)));
    alerts.extend(state.reloads.held().map(|held| about(StandingAlert::ReloadHeld, &held.files)));
    alerts.extend(worker_alerts(&state, now));
    let at = MomentText(now);
    let body =
        TodayBody { at, channels, unknowns, accounting, notices, days_open, differences, alerts };
    Ok(json(StatusCode::OK, &body))
}

async fn channel_today(
    state: &ApiState,
    status: &ChannelStatus,
    now: Timestamp,
    most: usize,
) -> Result<Option<ChannelTodayBody>, ApiError> {
    let terms = state.engine.channels().terms(&status.id);
    let traffic = state.registry.traffic(&status.id);
    // A reload may just have dropped it.
    let Some((terms, (since, slots))) = terms.zip(traffic) else { return Ok(None) };
    let date = terms.calendar.date_of(now);
    let is_today = |slot: &TrafficSlot| terms.calendar.date_of(slot.begins_at()) == date;
    let slots: Vec<TrafficSlot> = slots.into_iter().filter(is_today).collect();
    let (cleared, more) = cleared(state, &status.id, date, most).await?;
    Ok(Some(ChannelTodayBody {
        id: status.id.to_string(),
        name: status.name.clone(),
        state: status.state.name(),
        enabled: status.enabled,
        breaker_open: status.breaker_open,
        date: Text(date),
        cleared,
        more,
        since: MomentText(since),
        traffic: TrafficBody::from(&sum(&slots)),
    }))
}

async fn cleared(
    state: &ApiState,
    channel: &ChannelId,
    date: BusinessDate,
    most: usize,
) -> Result<(Vec<TotalsBody>, bool), ApiError> {
    let store = state.engine.store();
    // One more says whether there are others.
    let mut page = store.clearing(channel.clone(), date, None, most + 1).await?;
    let more = page.len() > most;
    page.truncate(most);
    let mut totals = DayTotals::default();
    totals.add(&page);
    let totals = totals.into_list();
    Ok((totals.iter().map(|(a, b)| TotalsBody::from((a, b))).collect(), more))
}

async fn unknowns(state: &ApiState, now: Timestamp) -> Result<UnknownsBody, ApiError> {
    let mut by_phase: BTreeMap<_, _> = Phase::ALL.map(|phase| (phase.name(), 0)).into();
    let mut by_age: BTreeMap<_, _> = AgeBand::ALL.map(|age| (age.name(), 0)).into();
    let (mut open, mut oldest, mut after, mut more) = (0, None::<Timestamp>, None, true);
    // Ends with the table, or at the bound.
    while more && open < UNKNOWNS_MAX {
        let page = state.engine.store().reversals(after, PAGE_MAX).await?;
        more = page.len() == PAGE_MAX;
        after = page.last().map(|entry| entry.order).or(after);
        open += page.len();
        for entry in &page {
            *by_phase.entry(entry.phase.name()).or_default() += 1;
            let age = AgeBand::of(now.since(entry.opened_at));
            *by_age.entry(age.name()).or_default() += 1;
            let first = oldest.get_or_insert(entry.opened_at);
            *first = (*first).min(entry.opened_at);
        }
    }
    let more = more && !state.engine.store().reversals(after, 1).await?.is_empty();
    Ok(UnknownsBody { open, more, by_phase, by_age, oldest_at: oldest.map(MomentText) })
}

async fn days_not_closed(
    state: &ApiState,
    channel: &ChannelId,
    now: Timestamp,
) -> Result<Option<DaysOpenBody>, ApiError> {
    let Some((from, to)) = state.engine.ended_days_not_closed(channel).await? else {
        return Ok(None);
    };
    let terms = state.engine.channels().terms(channel);
    let overdue = terms.is_some_and(|terms| {
        // The worker that closes them looks for them every few seconds.
        from <= closable_through(&terms.calendar, terms.close_after + FAILURE_TOLD_FOR, now)
    });
    Ok(Some(DaysOpenBody { channel: channel.to_string(), from: Text(from), to: Text(to), overdue }))
}

async fn open_differences(
    state: &ApiState,
    channel: &ChannelId,
    most: usize,
) -> Result<Option<ChannelDifferencesBody>, ApiError> {
    let store = state.engine.store();
    let mut page = store.open_differences(channel.clone(), None, most + 1).await?;
    let more = page.len() > most;
    page.truncate(most);
    let suspended = page.iter().filter(|row| row.state == DifferenceState::Suspended).count();
    let carried = page.len() - suspended;
    let channel = channel.to_string();
    Ok((!page.is_empty()).then_some(ChannelDifferencesBody { channel, carried, suspended, more }))
}

fn about(what: StandingAlert, about: &str) -> StandingAlertBody {
    StandingAlertBody { what: what.name(), about: Some(about.to_owned()), count: None, more: false }
}

fn readiness_alerts(state: &ApiState) -> Vec<StandingAlertBody> {
    let reasons = bars(state).into_iter().map(|reason| about(StandingAlert::NotReady, reason));
    let doubt = state.engine.clock().doubt().map(Doubt::name);
    reasons.chain(doubt.map(|doubt| about(StandingAlert::ClockDoubted, doubt))).collect()
}

fn channel_alerts(status: &ChannelStatus, now: Timestamp) -> Vec<StandingAlertBody> {
    let ends = longest(&status.certificates)
        .into_iter()
        .any(|term| term.standing(now) != CertificateState::Holds);
    let is_off = status.state == ChannelState::Live && !status.enabled;
    let stand = [
        (status.breaker_open, StandingAlert::BreakerOpen),
        (is_off, StandingAlert::ChannelOff),
        (ends, StandingAlert::CertificateEnds),
    ];
    let stand = stand.into_iter().filter(|one| one.0);
    stand.map(|one| about(one.1, status.id.as_str())).collect()
}

fn worker_alerts(state: &ApiState, now: Timestamp) -> Vec<StandingAlertBody> {
    let reports = state.workers.all();
    let failed = reports.iter().filter(|report| {
        let failure = report.round().last_failure;
        failure.is_some_and(|failure| now.since(failure.at) < FAILURE_TOLD_FOR)
    });
    failed.map(|report| about(StandingAlert::WorkerFailed, report.name)).collect()
}
