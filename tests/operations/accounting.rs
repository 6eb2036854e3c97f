//! An accounting system that keeps accounts of its own and an eye on the channels.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use switchyard::simulator::Simulator;

use crate::support::wire::listen;

/// What it has booked. Debits are positive, credits negative.
#[derive(Debug, Clone, Default)]
pub struct Booked {
    pub accounts: BTreeMap<String, i64>,
    /// By order and account.
    pub lines: BTreeMap<(String, String), i64>,
    /// Requests by id, with how often each was posted.
    pub requests: BTreeMap<String, u32>,
    /// What must not be: in words.
    pub complaints: Vec<String>,
}

pub struct Accounting {
    channels: Arc<Vec<(&'static str, Simulator)>>,
    booked: Mutex<Booked>,
    random: Mutex<fastrand::Rng>,
    failures_percent: u8,
}

impl Accounting {
    /// Opens it, and says where to post. Of a hundred posts, so many fail: half of them before
    /// they are booked, half after.
    pub async fn open(
        channels: Arc<Vec<(&'static str, Simulator)>>,
        seed: u64,
        failures_percent: u8,
    ) -> (Arc<Self>, String) {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let accounting = Self { channels, booked: Mutex::default(), random, failures_percent };
        let accounting = Arc::new(accounting);
        let router = Router::new().route("/requests", post(take));
        let address = listen(router.with_state(Arc::clone(&accounting))).await;
        (accounting, format!("http://{address}/requests"))
    }

    pub fn booked(&self) -> Booked {
        self.books().clone()
    }

    fn books(&self) -> MutexGuard<'_, Booked> {
        self.booked.lock().expect("no panic")
    }

    /// I-7: what gives money back may not have left for its channel before it is acknowledged.
    fn check_unsent(&self, books: &mut Booked, voucher: &Value) {
        let text = |field: &str| voucher[field].as_str().unwrap_or_default();
        if !matches!(text("event"), "refund" | "void") {
            return;
        }
        for (channel, simulator) in self.channels.iter() {
            let ledger = simulator.ledger();
            let asked = ledger.entries().iter().any(|one| one.order_prefix() == text("order"));
            if asked {
                let order = text("order");
                books
                    .complaints
                    .push(format!("{channel} was asked for {order} before its booking"));
            }
        }
    }
}

impl Booked {
    fn book(&mut self, voucher: &Value) {
        let order = voucher["order"].as_str().expect("an order");
        let entries = voucher["entries"].as_array().expect("entries");
        for entry in entries {
            let account = entry["account"].as_str().expect("an account").to_owned();
            let amount = entry["amount"].as_i64().expect("an integer");
            let signed = if entry["side"] == "debit" { amount } else { -amount };
            *self.accounts.entry(account.clone()).or_default() += signed;
            *self.lines.entry((order.to_owned(), account)).or_default() += signed;
        }
    }
}

async fn take(State(accounting): State<Arc<Accounting>>, body: Bytes) -> StatusCode {
    let voucher: Value = serde_json::from_slice(&body).expect("we post JSON");
    let request = voucher["id"].as_str().expect("a request id").to_owned();
    let drawn = accounting.random.lock().expect("no panic").u8(..100);
    let fails = drawn < accounting.failures_percent;
    let mut books = accounting.books();
    if fails && drawn % 2 == 0 {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    // Whether it is the first post or follows answers that failed: it is not acknowledged yet.
    accounting.check_unsent(&mut books, &voucher);
    let times = books.requests.entry(request).or_default();
    *times += 1;
    if *times > 1 {
        return StatusCode::CONFLICT;
    }
    books.book(&voucher);
    if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::CREATED }
}
