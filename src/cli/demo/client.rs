//! The daemon's API as the demo's core calls it.
//!
//! Like a real core it repeats a call that was refused for the moment, under the same order id.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use crate::workers;

/// How long a call waits for the end of a follow-up, in seconds: notices tell of the rest.
pub const FOLLOW_UP_WAIT_S: u32 = 2;

/// How often a refusal for the moment is met with another call, and how long it waits before it.
const TRIES_MAX: u32 = 100;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Longer than the daemon lets a call wait.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The daemon's API as its callers reach it.
pub struct ApiClient {
    client: reqwest::Client,
    base: String,
    key: String,
}

/// An answer: its status code, and its body if it is JSON.
#[derive(Debug)]
pub struct ApiAnswer {
    pub status: u16,
    pub replayed: bool,
    pub body: Value,
}

impl ApiAnswer {
    pub fn text(&self, key: &str) -> &str {
        self.body[key].as_str().unwrap_or_default()
    }
}

impl ApiClient {
    pub fn new(base: String, key: String) -> anyhow::Result<Self> {
        let client = workers::client(CALL_TIMEOUT).map_err(|problem| anyhow!(problem))?;
        Ok(Self { client, base, key })
    }

    /// Posts JSON, with a `Prefer: wait=` if one is given, and tries again while it is told to.
    pub async fn post(
        &self,
        path: &str,
        body: &Value,
        wait_s: Option<u32>,
    ) -> anyhow::Result<ApiAnswer> {
        for _ in 0..TRIES_MAX {
            let mut request = self
                .client
                .post(format!("{}{path}", self.base))
                .bearer_auth(&self.key)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body.to_string());
            if let Some(seconds) = wait_s {
                request = request.header("prefer", format!("wait={seconds}"));
            }
            let response = request.send().await.context("the API does not answer")?;
            let status = response.status().as_u16();
            let replayed = response.headers().contains_key("idempotent-replayed");
            let bytes = response.bytes().await.context("the API's answer breaks off")?;
            let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let not_now = matches!(status, 408 | 429 | 503) || body["code"] == "no_route";
            if !not_now {
                return Ok(ApiAnswer { status, replayed, body });
            }
            tokio::time::sleep(TRY_AGAIN_AFTER).await;
        }
        bail!("the API refused a call to {path} {TRIES_MAX} times")
    }
}

/// One further thing that was asked for.
#[derive(Debug, Clone)]
pub struct FollowUpCall {
    /// Its name in the report.
    pub what: &'static str,
    pub outcome: FollowUpOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowUpOutcome {
    /// The call made or changed an order: our order id, and the status of the answer.
    Taken { id: String, status: String },
    /// The error code. Nothing was written.
    Refused { code: String },
}

impl FollowUpCall {
    /// Our order id, if it is there and has succeeded.
    pub fn succeeded(&self) -> Option<&str> {
        match &self.outcome {
            FollowUpOutcome::Taken { id, status } => (status == "succeeded").then_some(id.as_str()),
            FollowUpOutcome::Refused { .. } => None,
        }
    }
}
