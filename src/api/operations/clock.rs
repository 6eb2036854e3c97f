//! How the clock stands, and an operator's word that it is right.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::auth::{MayInspect, MayOperate};
use crate::api::dto::{MomentText, json};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{order, read_json};
use crate::api::{ApiState, run_detached};
use crate::clock::{ClockStanding, Confirmation, Doubt, HostClock};
use crate::codec::texts::WordForm;
use crate::domain::time::Timestamp;
use crate::domain::write_set::AuditEntry;

/// What a host says.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HostClock")]
struct HostClockBody<'row> {
    /// The host.
    host: &'row str,
    /// Its clock less ours, in milliseconds.
    off_by_ms: i64,
    /// Whether it bears ours out.
    agrees: bool,
    /// Whether an operator has said that it is wrong.
    overruled: bool,
}

impl<'row> From<&'row HostClock> for HostClockBody<'row> {
    fn from(heard: &'row HostClock) -> Self {
        Self {
            host: &heard.host,
            off_by_ms: heard.off_by_ms,
            agrees: heard.agrees,
            overruled: heard.is_overruled,
        }
    }
}

/// The clock.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Clock")]
pub struct ClockBody<'row> {
    /// The machine's clock, or the database's where nodes share it.
    clock: MomentText,
    /// The time for stamps and waits.
    now: MomentText,
    /// The time for rules of age and of days.
    borne_out: MomentText,
    /// Why it is doubted, or null.
    #[schemars(with = "Option<WordForm<Doubt>>")]
    doubt: Option<&'static str>,
    /// How many hosts must bear out a clock that is ahead.
    witnesses: usize,
    /// What channels' hosts say.
    heard: Vec<HostClockBody<'row>>,
}

impl<'row> From<&'row ClockStanding> for ClockBody<'row> {
    fn from(standing: &'row ClockStanding) -> Self {
        Self {
            clock: MomentText(standing.clock),
            now: MomentText(standing.present.now()),
            borne_out: MomentText(standing.present.proven()),
            doubt: standing.doubt.map(Doubt::name),
            witnesses: standing.witnesses_min,
            heard: standing.heard.iter().map(HostClockBody::from).collect(),
        }
    }
}

/// `GET /v1/clock`
pub async fn show(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    Ok(json(StatusCode::OK, &ClockBody::from(&state.engine.clock().look())))
}

/// `POST /v1/clock/confirm`: an operator has read `time` off another clock, and says that ours is
/// right. Kept in the audit trail before it takes effect.
pub async fn confirm(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse(&body)?;
    let text = fields.required_text("time")?;
    let time: Result<jiff::Timestamp, _> = text.parse();
    let time = time.map_err(|_| fields.invalid("time", "RFC 3339, as 2026-11-22T08:00:00Z"))?;
    let time = Timestamp::from_millis(time.as_millisecond());
    let reason = order::plain(&mut fields, "reason", order::REASON_LENGTH_MAX, |_| true)?;
    let reason = reason.ok_or_else(|| fields.missing("reason"))?;
    fields.finish()?;
    let actor = seat.name().to_string();
    let taken = run_detached(async move {
        let clock = state.engine.clock();
        if !clock.shows(time) {
            return Err(time_mismatch());
        }
        let subject =
            format!("{} {}", clock.doubt().map_or("no doubt", Doubt::name), time.rfc3339());
        let (at, action) = (clock.now(), "clock.confirm".to_owned());
        state
            .engine
            .audit(AuditEntry { at, actor, approver: None, action, subject, reason })
            .await?;
        match state.engine.clock().confirm(time) {
            Confirmation::Taken(standing) => Ok(standing),
            Confirmation::Differs => Err(time_mismatch()),
        }
    });
    Ok(json(StatusCode::OK, &ClockBody::from(&taken.await?)))
}

fn time_mismatch() -> ApiError {
    let detail = "the machine's clock does not show this time within a minute: set it right first";
    ApiError::of_field(ProblemCode::ClockDiffers, "time", detail)
}
