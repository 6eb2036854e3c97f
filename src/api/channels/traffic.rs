//! What a channel was asked in the last 24 hours, and what came of it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use serde::Serialize;

use super::{channel_id, unknown_channel};
use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::{MomentText, json};
use crate::api::error::ApiError;
use crate::api::input::PathSegment;
use crate::api::input::query::Query;
use crate::channel::traffic::{SLOT_SECONDS, TrafficSums, sum};

/// The requests of some time.
#[derive(Serialize)]
pub struct TrafficBody {
    requests: u64,
    done: u64,
    answered: u64,
    faults: u64,
    others: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate_ppm: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ms: Option<u32>,
}

impl From<&TrafficSums> for TrafficBody {
    fn from(sums: &TrafficSums) -> Self {
        Self {
            requests: sums.requests(),
            done: sums.done,
            answered: sums.answered,
            faults: sums.faults,
            others: sums.others,
            success_rate_ppm: sums.success_rate_ppm(),
            mean_ms: sums.mean_ms(),
            p95_ms: sums.p95_ms(),
            max_ms: sums.max_ms(),
        }
    }
}

#[derive(Serialize)]
struct TrafficSlotBody {
    at: MomentText,
    #[serde(flatten)]
    sums: TrafficBody,
}

#[derive(Serialize)]
struct TrafficDayBody<'row> {
    channel: &'row str,
    at: MomentText,
    since: MomentText,
    slot_seconds: i64,
    total: TrafficBody,
    slots: Vec<TrafficSlotBody>,
}

/// `GET /v1/channels/{id}/traffic`
pub async fn of_channel(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let channel = channel_id(&state, &id)?;
    let (since, slots) = state.registry.traffic(&channel).ok_or_else(unknown_channel)?;
    let body = TrafficDayBody {
        channel: channel.as_str(),
        at: MomentText(state.engine.clock().now()),
        since: MomentText(since),
        slot_seconds: SLOT_SECONDS,
        total: TrafficBody::from(&sum(&slots)),
        slots: slots
            .iter()
            .map(|slot| TrafficSlotBody {
                at: MomentText(slot.begins_at()),
                sums: TrafficBody::from(&slot.sums),
            })
            .collect(),
    };
    Ok(json(StatusCode::OK, &body))
}
