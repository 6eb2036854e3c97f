//! The channels' asynchronous notices: verified, compared with our books, weighed as evidence.
//!
//! Whoever can reach us can post here, so nothing is believed before its signature is (the adapter
//! does that), and then only of an attempt of ours on that very channel, with its amount and its
//! time. A refused notice changes nothing. "Taken" is said only after the commit (I-12).

pub mod outgoing;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use jiff::tz::{TimeZone, offset};
use tracing::Instrument as _;

use crate::api::ApiState;
use crate::api::channels::{channel_id, unknown_channel};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::{BodyLimits, PathSegment, read_body};
use crate::channel::{Notice, NoticeRefusal, WireNotice};
use crate::domain::attempt::{Attempt, Evidence, Source};
use crate::domain::closed_set;
use crate::domain::ids::ChannelId;
use crate::domain::order::Order;
use crate::engine::EngineError;
use crate::telemetry;

/// The largest notice, in bytes.
const NOTICE_BYTES_MAX: usize = 64 * 1024;
/// UnionPay writes its times as Beijing's, which has no summer time.
const BEIJING_HOURS: i8 = 8;

closed_set! {
    /// Why a verified notice is still no evidence for our books.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum NoticeMismatch {
        NoSuchAttempt => "unknown_order",
        OtherChannel => "other_channel",
        Amount => "amount_differs",
        Currency => "currency_differs",
        SentAt => "time_differs",
    }
}

impl NoticeMismatch {
    const fn status(self) -> StatusCode {
        match self {
            Self::NoSuchAttempt | Self::OtherChannel => StatusCode::NOT_FOUND,
            Self::Amount | Self::Currency | Self::SentAt => StatusCode::BAD_REQUEST,
        }
    }
}

/// `POST /notices/{channel}`
pub async fn take(
    State(state): State<Arc<ApiState>>,
    PathSegment(channel): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let channel = channel_id(&state, &channel)?;
    let (parts, body) = request.into_parts();
    let limits = BodyLimits { bytes_max: NOTICE_BYTES_MAX, ..state.body_limits() };
    let body = read_body(&parts.headers, body, limits).await?;
    let wire = WireNotice { headers: parts.headers, body };
    let decoded = state.registry.decode_notice(&channel, &wire).ok_or_else(unknown_channel)?;
    let notice = match decoded {
        Ok(notice) => notice,
        Err(refusal) => return refuse(&state, &channel, &refusal),
    };
    let number = notice.channel_order_no;
    let order = state.engine.store().order(number.order).await?;
    if order.is_none() {
        state.engine.report_foreign_number(number, &channel).await?;
    }
    if let Err(mismatch) = compare(&notice, &channel, order.as_ref()) {
        telemetry::count_notice(&channel, mismatch.name());
        tracing::warn!(
            channel.name = %channel, channel.order_no = %number, reason = mismatch.name(),
            "a verified notice does not fit the books"
        );
        return answer(&state, &channel, false, Some(mismatch.status()));
    }
    let evidence = notice.understood.into_evidence(Source::Notice, number.attempt);
    weigh(&state, &channel, number.order, evidence).await
}

/// Weighs in a task of its own: a channel that hangs up must not leave a commit unannounced.
async fn weigh(
    state: &Arc<ApiState>,
    channel: &ChannelId,
    order: crate::domain::ids::OrderId,
    evidence: Evidence,
) -> Result<Response, ApiError> {
    let engine = Arc::clone(&state.engine);
    let weighing = async move { engine.weigh(order, evidence).await };
    let weighed = tokio::spawn(weighing.in_current_span()).await;
    match weighed.unwrap_or(Err(EngineError::Died)) {
        Ok(_) => {
            telemetry::count_notice(channel, "taken");
            answer(state, channel, true, None)
        }
        Err(error) => {
            telemetry::count_notice(channel, "not_written");
            tracing::warn!(
                channel.name = %channel, order.id = %order, error = %telemetry::chain(&error),
                "a notice could not be written; the channel is told to repeat it"
            );
            answer(state, channel, false, Some(StatusCode::SERVICE_UNAVAILABLE))
        }
    }
}

/// Whether the notice speaks of an attempt of ours as the books have it.
fn compare(
    notice: &Notice,
    channel: &ChannelId,
    order: Option<&Order>,
) -> Result<(), NoticeMismatch> {
    let order = order.ok_or(NoticeMismatch::NoSuchAttempt)?;
    let attempt = order.attempt(notice.channel_order_no.attempt);
    let attempt = attempt.ok_or(NoticeMismatch::NoSuchAttempt)?;
    if attempt.channel != *channel {
        return Err(NoticeMismatch::OtherChannel);
    }
    if notice.currency.is_some_and(|currency| currency != order.instruction.currency) {
        return Err(NoticeMismatch::Currency);
    }
    let amount = notice.amount.as_ref().map(|amount| amount.minor(order.instruction.currency));
    if amount.is_some_and(|minor| minor != Some(order.instruction.amount.get())) {
        return Err(NoticeMismatch::Amount);
    }
    if notice.sent_at_text.as_ref().is_some_and(|text| *text != beijing(attempt)) {
        return Err(NoticeMismatch::SentAt);
    }
    Ok(())
}

/// The time by which a channel names an attempt, as `yyyyMMddHHmmss` in Beijing: the only form of
/// its own that a channel has named so far (UnionPay `txnTime`).
fn beijing(attempt: &Attempt) -> String {
    let local = attempt.named_at().civil(&TimeZone::fixed(offset(BEIJING_HOURS)));
    local.strftime("%Y%m%d%H%M%S").to_string()
}

fn refuse(
    state: &ApiState,
    channel: &ChannelId,
    refusal: &NoticeRefusal,
) -> Result<Response, ApiError> {
    let (result, status) = match refusal {
        NoticeRefusal::Unsupported => ("unsupported", StatusCode::NOT_FOUND),
        NoticeRefusal::Unreadable(_) => ("unreadable", StatusCode::BAD_REQUEST),
        NoticeRefusal::BadSignature(_) => ("bad_signature", StatusCode::BAD_REQUEST),
        NoticeRefusal::UnknownOrder => ("unknown_order", StatusCode::NOT_FOUND),
    };
    telemetry::count_notice(channel, result);
    // Why it is not believed, the registry has said: rarely enough for whoever sends garbage.
    if *refusal == NoticeRefusal::Unsupported {
        return Err(ApiError::new(ProblemCode::NoticeRefused, "this channel sends no notices"));
    }
    answer(state, channel, false, Some(status))
}

/// The answer in the channel's own words, under our status where it is a refusal.
fn answer(
    state: &ApiState,
    channel: &ChannelId,
    taken: bool,
    status: Option<StatusCode>,
) -> Result<Response, ApiError> {
    let wire = state.registry.answer_notice(channel, taken).ok_or_else(unknown_channel)?;
    let mut response = Response::new(Body::from(wire.body));
    *response.headers_mut() = wire.headers;
    let own = StatusCode::from_u16(wire.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.status_mut() = status.unwrap_or(own);
    Ok(response)
}
