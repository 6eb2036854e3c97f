//! Accounting requests on their way: in the order of their chains, several in one post, through an
//! outage.
//!
//! The accounting system is played by the test. It keeps what it has booked and what it has
//! acknowledged, and complains when a request comes before its turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use switchyard::domain::books::accounting::{
    AccountingRequest, BookingEvent, DeliveryStatus, RequestId,
};
use switchyard::domain::write_set::WriteSet;
use switchyard::store::PAGE_MAX;
use switchyard::workers::StopSignal;
use switchyard::workers::accounting::{AccountingWork, AccountingWorker};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::gateway::{Gateway, payment};
use crate::support::books;
use crate::support::wire::{listen, until};

const SEED: u64 = 20_261_122;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mood {
    #[default]
    Well,
    Down,
    /// Of a hundred, so many requests come to nothing, are booked without an answer, or are left
    /// out of the answer.
    Moody(u8),
    /// A body that holds this request is refused as a whole.
    Poisoned(RequestId),
    /// The same, where the answer names the request.
    Picky(RequestId),
}

#[derive(Default)]
struct Books {
    mood: Mood,
    booked: BTreeMap<RequestId, u32>,
    /// The last number of each chain that was acknowledged.
    acknowledged: BTreeMap<String, u16>,
    under_way: BTreeSet<String>,
    posts: u32,
    largest: usize,
    complaints: Vec<String>,
}

struct Accounting {
    books: Mutex<Books>,
    random: Mutex<fastrand::Rng>,
}

impl Accounting {
    async fn open() -> (Arc<Self>, String) {
        let random = Mutex::new(fastrand::Rng::with_seed(SEED));
        let accounting = Arc::new(Self { books: Mutex::default(), random });
        let router = Router::new().route("/vouchers", post(take));
        let address = listen(router.with_state(Arc::clone(&accounting))).await;
        (accounting, format!("http://{address}/vouchers"))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no panic")
    }

    fn is(&self, mood: Mood) {
        self.books().mood = mood;
    }

    fn fails(&self, percent: u8) -> bool {
        self.random.lock().expect("no panic").u8(..100) < percent
    }

    /// What became of one request; `None` leaves the caller without a word.
    fn take(&self, id: RequestId, mood: Mood) -> Option<&'static str> {
        let percent = if let Mood::Moody(percent) = mood { percent } else { 0 };
        if self.fails(percent) {
            return None;
        }
        if mood == Mood::Picky(id) {
            return Some("refused");
        }
        let lost = self.fails(percent);
        let mut books = self.books();
        let chain = id.chain.to_string();
        let last = books.acknowledged.get(&chain).copied().unwrap_or(0);
        if id.sequence != last + 1 {
            books.complaints.push(format!("{id} came after {last}"));
        }
        let times = books.booked.entry(id).or_default();
        *times += 1;
        let word = if *times == 1 { "booked" } else { "already_booked" };
        if lost {
            return None;
        }
        books.acknowledged.insert(chain, id.sequence);
        Some(word)
    }
}

async fn take(State(accounting): State<Arc<Accounting>>, body: Bytes) -> (StatusCode, String) {
    let body: Value = serde_json::from_slice(&body).expect("we post JSON");
    let one = [body.clone()];
    let vouchers = body["requests"].as_array().map_or(&one[..], Vec::as_slice);
    let text = |voucher: &Value| voucher["id"].as_str().expect("an id").to_owned();
    let ids: Vec<RequestId> =
        vouchers.iter().map(|one| RequestId::parse(&text(one)).expect("an id")).collect();
    let chains: BTreeSet<String> = ids.iter().map(|id| id.chain.to_string()).collect();
    let mood = {
        let mut books = accounting.books();
        books.posts += 1;
        books.largest = books.largest.max(ids.len());
        let twice = chains.len() < ids.len() || !books.under_way.is_disjoint(&chains);
        if twice {
            books.complaints.push(format!("a chain is under way twice: {ids:?}"));
        }
        books.under_way.extend(chains.iter().cloned());
        books.mood
    };
    // Others may come meanwhile.
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    let refuses = matches!(mood, Mood::Poisoned(id) if ids.contains(&id));
    let answer = if mood == Mood::Down {
        (StatusCode::SERVICE_UNAVAILABLE, String::new())
    } else if refuses {
        (StatusCode::BAD_REQUEST, String::new())
    } else {
        let results: Vec<Option<&str>> = ids.iter().map(|id| accounting.take(*id, mood)).collect();
        answer(&body, &ids, &results)
    };
    accounting.books().under_way.retain(|chain| !chains.contains(chain));
    answer
}

fn answer(body: &Value, ids: &[RequestId], results: &[Option<&str>]) -> (StatusCode, String) {
    if body.get("requests").is_none() {
        let status = match results[0] {
            Some("booked") => StatusCode::CREATED,
            Some("already_booked") => StatusCode::CONFLICT,
            Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
            None => StatusCode::BAD_GATEWAY,
        };
        return (status, String::new());
    }
    let results = ids.iter().zip(results).filter_map(|(id, status)| {
        let status = (*status)?;
        Some(json!({ "id": id.to_string(), "status": status, "detail": "no account" }))
    });
    let body = json!({ "results": results.collect::<Vec<_>>() });
    (StatusCode::OK, body.to_string())
}

/// A gateway whose requests are delivered to an accounting system of the test's.
struct Desk {
    gateway: Gateway,
    accounting: Arc<Accounting>,
    stop: watch::Sender<bool>,
    worker: JoinHandle<()>,
}

impl Desk {
    async fn open(more: &str) -> Self {
        let (accounting, url) = Accounting::open().await;
        let gateway =
            Gateway::start_with(&format!("[accounting]\nurl = \"{url}\"\n{more}\n")).await;
        let settings = &gateway.state.settings;
        let work = AccountingWork {
            delivery: settings.accounting.clone(),
            batch_max: settings.accounting_batch_max,
        };
        let (stop, stopped) = StopSignal::new();
        let worker = AccountingWorker::new(Arc::clone(&gateway.state.engine), work);
        let worker = worker.expect("a client").expect("accounting has a URL");
        let worker = gateway.work(worker, Some(Duration::from_millis(5)), stopped);
        Self { gateway, accounting, stop, worker }
    }

    /// Owes accounting so many requests in each of so many chains.
    async fn owe(&self, chains: u64, requests: u16) {
        for chain in 1..=chains {
            let order = books::succeeded(&books::order(chain));
            let request = |sequence| {
                let id = RequestId { chain: order.id, sequence };
                AccountingRequest { id, ..books::request(&order, 0) }
            };
            // Later ones are due first as often as not.
            let accounting = (1..=requests).rev().map(request).collect();
            let writes = WriteSet { accounting, ..WriteSet::default() };
            self.gateway.store.commit(&writes).await.expect("it is written");
        }
    }

    async fn rows(&self, status: Option<DeliveryStatus>) -> Vec<AccountingRequest> {
        let rows = self.gateway.store.accounting_requests(status, None, PAGE_MAX).await;
        rows.expect("a read")
    }

    /// Waits until nothing is owed, while the clock goes on by so much with each look.
    async fn drained(&self, step: Duration) {
        let owed = async || {
            self.gateway.later(step);
            let owed = self.rows(Some(DeliveryStatus::Owed)).await;
            owed.is_empty().then_some(())
        };
        until("nothing is owed", owed).await;
    }

    async fn end(self) -> Vec<RequestId> {
        self.stop.send(true).expect("the worker runs");
        self.worker.await.expect("it does not panic");
        let books = self.accounting.books();
        assert_eq!(books.complaints, Vec::<String>::new());
        books.booked.keys().copied().collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_keep_their_order_whatever_fails() {
    println!("seed {SEED}");
    for batch_max in [1, 7] {
        let desk = Desk::open(&format!("waits = [\"1s\", \"5s\"]\nbatch_max = {batch_max}")).await;
        desk.accounting.is(Mood::Moody(20));
        desk.owe(60, 5).await;
        desk.drained(Duration::from_secs(1)).await;
        let acknowledged = desk.rows(Some(DeliveryStatus::Acknowledged)).await;
        assert_eq!(acknowledged.len(), 300);
        let largest = desk.accounting.books().largest;
        assert!(largest <= batch_max && (batch_max == 1 || largest > 1), "{largest}");
        assert_eq!(desk.end().await.len(), 300);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_without_accounting_loses_nothing_and_drains_at_once() {
    for batch_max in [1, 20] {
        let desk = Desk::open(&format!("batch_max = {batch_max}")).await;
        desk.accounting.is(Mood::Down);
        desk.owe(80, 2).await;
        // An hour and more of virtual time, after which each next try is half an hour away.
        for tries in 1..=6 {
            let tried = async || {
                let rows = desk.rows(Some(DeliveryStatus::Owed)).await;
                let first = rows.iter().filter(|row| row.id.sequence == 1);
                let mut left = first.filter(|row| row.delivery.tries < tries);
                left.next().is_none().then_some(())
            };
            until("everything was tried", tried).await;
            if tries < 6 {
                desk.gateway.later(Duration::from_secs(15 * 60));
            }
        }
        assert!(desk.accounting.books().booked.is_empty());
        desk.accounting.is(Mood::Well);
        // The next payment's request finds out; the clock stands still from here on.
        assert_eq!(desk.gateway.pay(&payment("A-1")).await.status, 200);
        desk.drained(Duration::ZERO).await;
        assert_eq!(desk.end().await.len(), 161);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_request_parks_no_other() {
    let bad = RequestId { chain: books::id(3), sequence: 1 };
    for mood in [Mood::Picky(bad), Mood::Poisoned(bad)] {
        let desk = Desk::open("batch_max = 10\nwaits = [\"1s\"]").await;
        desk.accounting.is(mood);
        desk.owe(10, 2).await;
        let settled = async || {
            desk.gateway.later(Duration::from_secs(1));
            let owed = desk.rows(Some(DeliveryStatus::Owed)).await;
            // What stands behind the refused one waits for a person.
            (owed.len() == 1 && owed[0].id.sequence == 2).then_some(())
        };
        until("only what must wait is owed", settled).await;
        let parked = desk.rows(Some(DeliveryStatus::Parked)).await;
        assert_eq!(parked.iter().map(|row| row.id).collect::<Vec<_>>(), [bad]);
        assert!(parked[0].delivery.last_error.is_some());
        // An operator has it tried again, and what waited goes at once after it.
        desk.accounting.is(Mood::Well);
        let path = format!("/v1/accounting-requests/{bad}/retry");
        let retried = desk.gateway.post("operator", &path, &json!({})).await;
        assert_eq!(retried.status, 200, "{}", retried.text);
        desk.drained(Duration::ZERO).await;
        assert_eq!(desk.end().await.len(), 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i_7_a_try_without_an_answer_is_kept_in_mind() {
    let order = books::succeeded(&books::order(1));
    let id = RequestId { chain: order.id, sequence: 1 };
    for batch_max in [1, 10] {
        for is_down_first in [false, true] {
            let desk = Desk::open(&format!("waits = [\"1s\"]\nbatch_max = {batch_max}")).await;
            let refuses = Mood::Picky(id);
            desk.accounting.is(if is_down_first { Mood::Down } else { refuses });
            let refund =
                AccountingRequest { event: BookingEvent::Refund, ..books::request(&order, 0) };
            let writes = WriteSet { accounting: vec![refund], ..WriteSet::default() };
            desk.gateway.store.commit(&writes).await.expect("it is written");
            if is_down_first {
                let tried = async || {
                    let owed = desk.rows(Some(DeliveryStatus::Owed)).await;
                    (owed.first()?.delivery.tries > 0).then_some(())
                };
                until("a try has no answer", tried).await;
                desk.accounting.is(refuses);
            }
            let parked = async || {
                desk.gateway.later(Duration::from_secs(1));
                desk.rows(Some(DeliveryStatus::Parked)).await.pop()
            };
            let parked = until("it is refused", parked).await;
            assert_eq!(parked.delivery.unanswered, is_down_first, "{parked:?}");
            desk.end().await;
        }
    }
}
