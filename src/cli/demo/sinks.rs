//! The accounting system and the payment core of the demo: they take what the daemon tells them,
//! and are now and then out of order.
//!
//! Independent witnesses: they keep books of their own, which the checks compare with the daemon's.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::codec::webhook::{self, WebhookKey};
use crate::entropy::Entropy;

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The accounting system's books.
#[derive(Debug, Clone, Default)]
pub struct BookingLog {
    /// Each request that was booked, and how often it came in all.
    pub requests: BTreeMap<String, u32>,
    /// Debits less credits of each account, in minor units.
    pub accounts: BTreeMap<String, i64>,
    /// All that was debited, and all that was credited.
    pub debits_minor: i64,
    pub credits_minor: i64,
    /// Answers that said "not now", though some of them had booked.
    pub failures: u32,
    /// Bodies that were no voucher.
    pub unreadable: u32,
}

/// The accounting system.
pub struct AccountingSink {
    booked: Mutex<BookingLog>,
    entropy: Entropy,
}

impl AccountingSink {
    /// Starts it and answers where to post.
    pub async fn start(seed: u64) -> anyhow::Result<(Arc<Self>, String)> {
        let sink = Arc::new(Self { booked: Mutex::default(), entropy: Entropy::seeded(seed) });
        let router = Router::new().route("/vouchers", post(book)).with_state(Arc::clone(&sink));
        let address = serve(router).await?;
        Ok((sink, format!("http://{address}/vouchers")))
    }

    pub fn log(&self) -> BookingLog {
        lock(&self.booked).clone()
    }
}

/// Books a voucher once. Three times of a hundred it cannot now; once it books and then fails.
async fn book(State(sink): State<Arc<AccountingSink>>, body: Bytes) -> StatusCode {
    let fate = sink.entropy.draw() % 100;
    let mut booked = lock(&sink.booked);
    if fate < 3 {
        booked.failures += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let voucher: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (Some(id), Some(entries)) = (voucher["id"].as_str(), voucher["entries"].as_array()) else {
        booked.unreadable += 1;
        return StatusCode::OK;
    };
    if let Some(times) = booked.requests.get_mut(id) {
        *times += 1;
        return StatusCode::CONFLICT;
    }
    booked.requests.insert(id.to_owned(), 1);
    for entry in entries {
        let amount = entry["amount"].as_i64().unwrap_or_default();
        let account = entry["account"].as_str().unwrap_or_default().to_owned();
        let signed = if entry["side"] == "debit" {
            booked.debits_minor += amount;
            amount
        } else {
            booked.credits_minor += amount;
            -amount
        };
        *booked.accounts.entry(account).or_default() += signed;
    }
    if fate == 3 {
        booked.failures += 1;
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::CREATED
}

/// The notices that the payment core received.
#[derive(Debug, Clone, Default)]
pub struct NoticeLog {
    /// By our order id: the statuses in the order in which they came.
    pub orders: BTreeMap<String, Vec<String>>,
    pub forged: u32,
    pub failures: u32,
}

/// The payment core.
pub struct CoreSink {
    told: Mutex<NoticeLog>,
    entropy: Entropy,
    /// Known only once the daemon has made it.
    key: OnceLock<WebhookKey>,
}

impl CoreSink {
    /// Starts it and answers where to post.
    pub async fn start(seed: u64) -> anyhow::Result<(Arc<Self>, String)> {
        let entropy = Entropy::seeded(seed);
        let core = Arc::new(Self { told: Mutex::default(), entropy, key: OnceLock::new() });
        let router = Router::new().route("/notices", post(hear)).with_state(Arc::clone(&core));
        let address = serve(router).await?;
        Ok((core, format!("http://{address}/notices")))
    }

    /// Gives it the key that the daemon signs notices with.
    pub fn believe(&self, key: WebhookKey) {
        // A second key would mean a second start, which the demo has not.
        let _ = self.key.set(key);
    }

    pub fn log(&self) -> NoticeLog {
        lock(&self.told).clone()
    }
}

/// Believes a notice only under the right signature. Twice of a hundred it cannot listen.
async fn hear(State(core): State<Arc<CoreSink>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let proved = core.key.get().is_some_and(|key| is_signed(key, &headers, &body));
    let mut told = lock(&core.told);
    if !proved {
        told.forged += 1;
        return StatusCode::UNAUTHORIZED;
    }
    if core.entropy.draw() % 100 < 2 {
        told.failures += 1;
        return StatusCode::BAD_GATEWAY;
    }
    let notice: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |key: &str| notice[key].as_str().unwrap_or_default().to_owned();
    told.orders.entry(text("id")).or_default().push(text("status"));
    StatusCode::NO_CONTENT
}

fn is_signed(key: &WebhookKey, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, signatures) = (header(webhook::ID_HEADER), header(webhook::SIGNATURE_HEADER));
    let at_s = header(webhook::TIMESTAMP_HEADER).parse();
    at_s.is_ok_and(|at_s| key.has_signed(signatures, id, at_s, body))
}

/// Serves on a free port of loopback until the process ends.
async fn serve(router: Router) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port is free")?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_believed_under_its_own_signature_only() {
        let key = WebhookKey::parse(&WebhookKey::text_of(&[7; 32])).expect("a key");
        let mut headers = HeaderMap::new();
        assert!(!is_signed(&key, &headers, b"{}"));
        let signed = webhook::signatures(std::slice::from_ref(&key), "1", 1_700_000_000, b"{}");
        let told = [
            (webhook::ID_HEADER, "1"),
            (webhook::TIMESTAMP_HEADER, "1700000000"),
            (webhook::SIGNATURE_HEADER, &signed),
        ];
        for (name, value) in told {
            headers.insert(name, value.parse().expect("a header"));
        }
        assert!(is_signed(&key, &headers, b"{}"));
        assert!(!is_signed(&key, &headers, b"{ }"));
    }
}
