//! How long a call waits for its order's end, and how it is then answered.

use std::time::Duration;

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::api::ApiState;
use crate::api::dto::{OrderBody, json};
use crate::api::error::ApiError;
use crate::engine::{Acceptance, Patience};
use crate::telemetry::trace;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// How long a call may take to its answer.
#[derive(Clone, Copy)]
pub(in crate::api) struct Wait {
    pub(in crate::api) patience: Patience,
    /// The seconds that were asked for and granted, if any were.
    preferred_s: Option<u64>,
}

impl Wait {
    /// `Prefer: wait=N` (RFC 7240), never above the settings' bound; else the settings' default.
    /// Without a wish of the caller's own an unknown order is not waited for.
    pub(in crate::api) fn of(headers: &HeaderMap, state: &ApiState) -> Self {
        let preferred = preferred_wait_s(headers).map(Duration::from_secs);
        let granted = preferred.map(|wait| wait.min(state.settings.wait_max));
        let wait = granted.unwrap_or(state.settings.wait_default);
        let until = Instant::now() + wait;
        let patience = Patience { until, with_unknown: granted.is_some() };
        Self { patience, preferred_s: granted.map(|wait| wait.as_secs()) }
    }

    /// A call that answers once its order is in the books.
    pub(super) fn none() -> Self {
        let patience = Patience { until: Instant::now(), with_unknown: false };
        Self { patience, preferred_s: None }
    }

    /// Waits for the order's end: 200 with what is final, 202 with what is not.
    pub(super) async fn answer(
        self,
        state: &ApiState,
        acceptance: Acceptance,
    ) -> Result<Response, ApiError> {
        let is_repeat = acceptance.is_repeat;
        if let Some(trace) = trace::current().filter(|_| !is_repeat) {
            state.engine.traces().keep(acceptance.id, trace);
        }
        let order = state.engine.end_of(acceptance, self.patience).await?;
        let status = if order.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
        Ok(self.dress(json(status, &OrderBody::from(&order)), is_repeat))
    }

    /// Says in the headers of an answer what it repeats, and how long it was waited for.
    pub(in crate::api) fn dress(self, mut response: Response, is_repeat: bool) -> Response {
        let headers = response.headers_mut();
        if is_repeat {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        let applied = self.preferred_s.and_then(|seconds| format!("wait={seconds}").parse().ok());
        if let Some(applied) = applied {
            headers.insert(PREFERENCE_APPLIED, applied);
        }
        response
    }
}

/// The seconds of a `wait` preference. An unreadable one is ignored, as RFC 7240 says.
fn preferred_wait_s(headers: &HeaderMap) -> Option<u64> {
    let texts = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
    let mut preferences = texts.flat_map(|text| text.split(','));
    preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("wait").then(|| value.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_read_as_rfc_7240_says() {
        let rows: [(&[&str], Option<u64>); 8] = [
            (&["wait=10"], Some(10)),
            (&["respond-async, wait=3"], Some(3)),
            (&["respond-async", "WAIT = \"7\"; foo"], Some(7)),
            (&["wait=0"], Some(0)),
            (&["wait=-1"], None),
            (&["wait"], None),
            (&["waits=1"], None),
            (&[], None),
        ];
        for (values, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(PREFER, HeaderValue::from_static(value));
            }
            assert_eq!(preferred_wait_s(&headers), expected, "{values:?}");
        }
    }
}
