//! The promise under `kill -9`: the real process is killed at random moments under load and started
//! again on the same data folder, and its books are compared with what the channels believe.
//!
//! - I-12: every answer that a caller got is found again, and a final one is still the same.
//! - I-9: an order that is sent again after a crash is one order; no channel is asked for it twice.
//! - I-6, I-7: once the channels are calm nothing stays open, and orders, clearing records,
//!   vouchers and ledgers agree order by order.
//!
//! `SWITCHYARD_CRASH_KILLS` and `SWITCHYARD_CRASH_SEED` choose how often and which history. The
//! seed fixes what the channels do and when the process is killed; threads still race.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use support::core::{Answer, Core, Payment};
use support::daemon::{Daemon, Starting};
use support::installation::{CALLER_KEY, Installation, NOTICE_KEY};
use support::simulated::{BANK, QUICK_TIMEOUTS, UNIONPAY};
use support::wire::until;
use switchyard::clock::Clock;
use switchyard::simulator::{Between, EntryKind, EntryState, Faults, LedgerEntry};
use tokio::sync::watch;
use tokio::task::JoinSet;

const SENDERS: u32 = 16;
const KILLS_DEFAULT: u32 = 6;
/// How long one call may take before its sender asks again: beyond the daemon's own waits.
const CALL_WITHIN: Duration = Duration::from_secs(15);
/// Answers that are asked for at the same time.
const LOOKS_IN_FLIGHT: usize = 16;
const SERVE: [&str; 5] = ["serve", "--config", "switchyard.toml", "--data", "data"];

/// Each channel is the other's second choice, so that a crash between two attempts matters.
const ROUTES: &str = r#"
[[rule]]
name = "some shops prefer UnionPay"
strategy = "priority"
channels = ["unionpay", "harbour-bank"]
[rule.when]
merchants = ["shop-unionpay"]

[[rule]]
name = "the rest prefer the bank"
strategy = "priority"
channels = ["harbour-bank", "unionpay"]
"#;

/// A bad day, but the channels do not lie: what they believe is what our books are measured with.
/// Delays and hangs fit the quick schedules.
fn bad_day() -> Faults {
    Faults {
        delay_for: Between::millis(10, 300),
        hang_for: Between::millis(1_100, 1_500),
        notice_delay_for: Between::millis(50, 1_000),
        notice_contradicting: 0,
        ..Faults::lossy()
    }
}

/// The bank's day is worse, and it is asked so seldom that inquiry often comes to nothing: then a
/// payment is reversed, and the process is killed between and during reversals too.
fn worse_day() -> Faults {
    Faults { lose_reply: 2_000, ..bad_day() }
}

const BANK_UNKNOWNS: &str = r#"
inquire = ["200ms"]
then = "reverse"
reverse = ["0s", "300ms", "1s", "2s", "2s", "2s", "2s", "2s"]
not_found_final_after = "2s"
"#;

/// One order as its sender saw it answered.
#[derive(Debug, Clone)]
struct Answered {
    payment: Payment,
    answer: Answer,
}

/// What the senders share.
struct Load {
    core: Core,
    daemon: watch::Receiver<Option<SocketAddr>>,
    over: AtomicBool,
    answered: Mutex<Vec<Answered>>,
}

impl Load {
    fn answers(&self) -> Vec<Answered> {
        self.answered.lock().expect("no panic").clone()
    }

    /// Sends one order after another until the load is over, each until it is answered.
    async fn send(&self, sender: u32, mut random: fastrand::Rng) {
        for count in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let shop = ["shop-bank", "shop-unionpay"][random.usize(..2)];
            let payment = Payment {
                merchant_id: shop.to_owned(),
                ..Payment::instant(&format!("S{sender}-{count}"), random.i64(100..50_000))
            };
            let answer = self.send_until_answered(&payment).await;
            self.answered.lock().expect("no panic").push(Answered { payment, answer });
            tokio::time::sleep(Duration::from_millis(random.u64(..40))).await;
        }
    }

    /// Asks again, under the same order id, after everything that is no answer.
    async fn send_until_answered(&self, payment: &Payment) -> Answer {
        let mut daemon = self.daemon.clone();
        loop {
            // Fails only if the test, which holds the sender, is gone.
            let up = daemon.wait_for(Option::is_some).await.ok().and_then(|up| *up);
            let address = up.expect("a daemon that is up has an address");
            match self.core.at(address).try_pay(payment, CALL_WITHIN).await {
                Ok(answer) if matches!(answer.status, 200 | 202) => return answer,
                // No room, or no channel at the moment: nothing was written.
                Ok(answer) if matches!(answer.text("code"), "no_route" | "queue_full") => {}
                Ok(answer) => panic!("{} is answered {answer:?}", payment.order_id),
                // The process is gone, or was while it answered.
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_was_answered_is_lost_and_nothing_is_charged_twice() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seed = number("SWITCHYARD_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let kills = number("SWITCHYARD_CRASH_KILLS").unwrap_or(KILLS_DEFAULT.into());
    println!("SWITCHYARD_CRASH_SEED={seed} SWITCHYARD_CRASH_KILLS={kills}");
    let mut random = fastrand::Rng::with_seed(seed);
    let town = Installation::new(|channel| {
        channel.with_seed(seed).with_declines_percent(10).with_faults(bad_day())
    })
    .await;
    town.channels.bank.set_faults(worse_day()).expect("possible faults");
    town.write_channel(BANK, BANK_UNKNOWNS, QUICK_TIMEOUTS);
    town.write_routes(ROUTES);
    let mut daemon = Daemon::start(town.folder(), &SERVE).await;
    town.door.lead_to(Some(daemon.address));
    let (address, seen) = watch::channel(Some(daemon.address));
    let load = Arc::new(Load {
        core: Core::new(daemon.address, CALLER_KEY),
        daemon: seen,
        over: AtomicBool::new(false),
        answered: Mutex::default(),
    });
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (load, random) = (Arc::clone(&load), random.fork());
        senders.spawn(async move { load.send(sender, random).await });
    }

    let mut checked = 0;
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.u64(50..1_200))).await;
        address.send_replace(None);
        town.door.lead_to(None);
        daemon.kill().await;
        if random.bool() {
            die_while_starting(&town, random.u64(..200)).await;
        }
        daemon = Daemon::start(town.folder(), &SERVE).await;
        address.send_replace(Some(daemon.address));
        town.door.lead_to(Some(daemon.address));
        let answers = load.answers();
        look_again(&load.core.at(daemon.address), &answers[checked..]).await;
        checked = answers.len();
    }
    load.over.store(true, Ordering::Relaxed);
    while let Some(ended) = senders.join_next().await {
        ended.expect("a sender gets an answer to every order");
    }

    town.channels.set_faults(Faults::calm());
    let core = load.core.at(daemon.address);
    drain(&town, &core).await;
    let answers = load.answers();
    println!("{} orders were answered", answers.len());
    assert!(answers.len() >= SENDERS as usize, "there was a load");
    let orders = look_again(&core, &answers).await;
    compare_with_ledgers(&town, &orders);
    compare_with_books(&town, &core, &orders).await;
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(0));
}

/// A process that is killed before it is ready, perhaps while it recovers.
async fn die_while_starting(town: &Installation, after_ms: u64) {
    let starting = Starting::new(town.folder(), &SERVE);
    tokio::time::sleep(Duration::from_millis(after_ms)).await;
    tokio::task::block_in_place(|| starting.kill());
}

/// Asks for every order that was answered, and gives them by our id as they are now (I-9, I-12).
async fn look_again(core: &Core, answers: &[Answered]) -> BTreeMap<String, Value> {
    let mut orders = BTreeMap::new();
    for some in answers.chunks(LOOKS_IN_FLIGHT) {
        let looks = some.iter().map(|answered| core.payment(answered.answer.id()));
        for (answered, found) in some.iter().zip(futures_util::future::join_all(looks).await) {
            let (payment, answer) = (&answered.payment, &answered.answer);
            assert_eq!(found.status, 200, "I-12: answered and lost: {answer:?}");
            assert_eq!(found.text("order_id"), payment.order_id);
            assert_eq!(found.body["amount"], payment.amount);
            if answer.status == 200 {
                assert_eq!(found.body, answer.body, "I-5, I-12: a final answer stays the same");
            }
            let twice = orders.insert(found.id().to_owned(), found.body);
            assert!(twice.is_none(), "two orders with one id: {twice:?}");
        }
    }
    orders
}

/// Waits until nothing is open, on either side.
async fn drain(town: &Installation, core: &Core) {
    let mut looks = 0;
    let drained = async || {
        let open = core.all("/v1/reversals", "reversals").await;
        for entry in &open {
            assert_ne!(entry["phase"], "operator", "calm channels do not end it: {entry}");
            if is_put_off(entry) {
                println!("put off to the daily inquiry: {entry}");
                work_now(core, entry).await;
            }
        }
        let owed = core.all("/v1/accounting-requests?status=owed", "accounting_requests").await;
        let waiting = town.channels.unionpay.notices_waiting();
        looks += 1;
        if looks % 500 == 0 {
            println!("still open: {open:?}, owed: {owed:?}, notices waiting: {waiting}");
        }
        (open.is_empty() && owed.is_empty() && waiting == 0).then_some(())
    };
    until("everything is drained", drained).await;
}

/// Whether the schedule has run out, so that the entry is inquired of once a day. Only a reversal
/// that the channel refused may lead there.
fn is_put_off(entry: &Value) -> bool {
    let due_at: jiff::Timestamp =
        entry["due_at"].as_str().expect("a time").parse().expect("RFC 3339");
    let wait_ms = due_at.as_millisecond() - Clock::System.now().as_millis();
    let put_off = wait_ms > 3_600_000;
    assert!(!put_off || entry["reversal_refused"] == true, "put off too soon: {entry}");
    put_off
}

/// What an operator does who will not wait for a day.
async fn work_now(core: &Core, entry: &Value) {
    let path = format!("/v1/reversals/{}/retry", entry["id"].as_str().expect("an id"));
    let retried =
        core.post(&path, &serde_json::json!({ "reason": "the bank is well again" })).await;
    assert!(matches!(retried.status, 200 | 202 | 409), "{retried:?}");
}

/// Every order against what the channels believe of it, attempt by attempt.
fn compare_with_ledgers(town: &Installation, orders: &BTreeMap<String, Value>) {
    let mut charges: BTreeMap<String, Vec<(&str, LedgerEntry)>> = BTreeMap::new();
    for (channel, entry) in town.channels.entries() {
        assert_eq!(entry.kind, EntryKind::Charge, "nobody asked for an undo: {entry:?}");
        assert_eq!(entry.requests, 1, "I-1, I-9: sent twice: {entry:?}");
        assert_ne!(entry.state, EntryState::Working, "drained: {entry:?}");
        let known = orders.contains_key(entry.order_prefix());
        assert!(known, "I-9: an order that nobody was told of: {channel} {entry:?}");
        charges.entry(entry.order_prefix().to_owned()).or_default().push((channel, entry));
    }
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    for (id, order) in orders {
        let status = order["status"].as_str().expect("a status");
        *ends.entry(status).or_default() += 1;
        let charges = charges.remove(id).unwrap_or_default();
        let standing: Vec<_> =
            charges.iter().filter(|(_, entry)| entry.state == EntryState::Approved).collect();
        match (status, standing.as_slice()) {
            ("succeeded", [(channel, entry)]) => {
                assert_eq!(order["channel"], *channel, "{order}");
                assert_eq!(order["channel_order_no"], entry.order_no, "{order}");
                assert_eq!(order["amount"], entry.amount_minor, "{order}");
            }
            ("failed" | "reversed", []) => {}
            _ => panic!("the channels believe otherwise: {order} {charges:?}"),
        }
    }
    println!("{ends:?}");
}

/// Clearing records, vouchers and notices against the orders: one for each success, one for each
/// end that is due (I-7).
async fn compare_with_books(town: &Installation, core: &Core, orders: &BTreeMap<String, Value>) {
    let succeeded = |order: &Value| order["status"] == "succeeded";
    let expected: BTreeSet<&str> =
        orders.iter().filter(|(_, order)| succeeded(order)).map(|(id, _)| id.as_str()).collect();

    let ledger = town.channels.entries();
    let dates: BTreeSet<String> =
        ledger.iter().map(|(_, entry)| entry.settle_date.clone()).collect();
    let dates = Vec::from_iter(dates);
    let mut cleared = BTreeSet::new();
    for channel in [BANK, UNIONPAY] {
        for record in core.clearing(channel, &dates).await {
            let number = record["channel_order_no"].as_str().expect("a number");
            let of_it =
                |(at, entry): &&(&str, LedgerEntry)| *at == channel && entry.order_no == number;
            let (_, entry) = ledger.iter().find(of_it).expect("a charge of this number");
            assert_eq!(record["principal"], entry.amount_minor, "{record}");
            assert_eq!(record["fee"], entry.fee_minor, "{record}");
            let id = record["id"].as_str().expect("an id").to_owned();
            assert!(cleared.insert(id), "I-7: two clearing records: {record}");
        }
    }
    assert!(cleared.iter().map(String::as_str).eq(expected.iter().copied()), "I-7: clearing");

    // A voucher may be posted again after a crash, but always under the same request id.
    let vouchers = town.accounting.posts();
    let mut booked: BTreeMap<&str, &str> = BTreeMap::new();
    for voucher in &vouchers {
        let (order, request) = (voucher.text("order_id"), voucher.text("request_id"));
        assert_eq!(voucher.header("idempotency-key"), request);
        let other = booked.insert(order, request).filter(|other| *other != request);
        assert!(other.is_none(), "I-7: two requests for {order}");
    }
    assert!(booked.keys().copied().eq(expected.iter().copied()), "I-7: vouchers");

    // Every order that was not answered with its end is told of it, truly.
    for notice in town.core_inbox.posts() {
        assert!(notice.is_signed_with(NOTICE_KEY));
        let order = &orders[notice.text("id")];
        assert_eq!(order["status"], notice.text("status"), "the core was told otherwise");
    }
    let told = async || {
        let posts = town.core_inbox.posts();
        let told: BTreeSet<&str> = posts.iter().map(|post| post.text("id")).collect();
        orders.keys().all(|id| told.contains(id.as_str())).then_some(())
    };
    until("the core is told of every end", told).await;
}
