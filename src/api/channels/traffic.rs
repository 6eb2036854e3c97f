//! What a channel was asked in the last 24 hours, and what came of it.

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
use crate::channel::traffic::{SLOT_SECONDS, TrafficSums, sum};

/// The requests of some time.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Traffic")]
pub struct TrafficBody {
    /// Requests that the channel answered for.
    requests: u64,
    /// Those that were carried out.
    done: u64,
    /// Those that were answered properly, as the card or the order deserved.
    answered: u64,
    /// Faults of its own.
    faults: u64,
    /// Those not sent, or of no bearing.
    others: u64,
    /// Millionths that are no faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate_ppm: Option<u64>,
    /// How long they took in the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_ms: Option<u64>,
    /// A time within which 95 of 100 ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_ms: Option<u32>,
    /// The longest.
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

/// A slot.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TrafficSlot")]
struct TrafficSlotBody {
    /// When it began.
    at: MomentText,
    #[serde(flatten)]
    sums: TrafficBody,
}

/// A channel's traffic.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelTraffic")]
pub struct TrafficDayBody<'row> {
    /// The channel.
    channel: &'row str,
    /// When it was asked for.
    at: MomentText,
    /// When this node began to count.
    since: MomentText,
    /// The length of a slot.
    slot_seconds: i64,
    /// The sums of all slots.
    total: TrafficBody,
    /// Those in which something was asked.
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
