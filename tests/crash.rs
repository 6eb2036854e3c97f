//! The promise under `kill -9`: the real process is killed at random moments under load and started
//! again on the same data folder, and its books are compared with what the channels believe.
//! Payments, holds, captures, refunds and voids are under way when it dies.
//!
//! - I-12: every answer that a caller got is found again, and a final one is still the same.
//! - I-9: an order that is sent again after a crash is one order; no channel is asked for it twice.
//! - I-6, I-7: once the channels are calm nothing stays open, and orders, clearing records,
//!   vouchers and ledgers agree order by order, red letters included.
//!
//! A payout, which is never reversed, has a test of its own: it leaves once, whatever dies. So do
//! requests for a second person.
//!
//! `SWITCHYARD_CRASH_KILLS` and `SWITCHYARD_CRASH_SEED` choose how often and which history. The
//! seed fixes what the channels do and when the process is killed; threads still race.

#[path = "crash/approvals.rs"]
mod approvals;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use support::core::{Answer, Core, Payment, TEST_CARD};
use support::daemon::{Daemon, Starting};
use support::installation::{CALLER_KEY, Installation, NOTICE_KEY};
use support::simulated::{BANK, PATIENT_TIMEOUTS, QUICK_TIMEOUTS, UNIONPAY};
use support::wire::until;
use switchyard::clock::Clock;
use switchyard::simulator::{DurationRange, EntryKind, EntryState, Faults, LedgerEntry};
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
        delay_for: DurationRange::millis(10, 300),
        hang_for: DurationRange::millis(1_100, 1_500),
        notice_delay_for: DurationRange::millis(50, 1_000),
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

/// One order to send, under an order id of its own.
#[derive(Debug, Clone)]
struct Asked {
    path: String,
    body: Value,
    /// What the order will be about.
    amount: i64,
}

impl Asked {
    fn charge(path: &str, shop: &str, order_id: &str, amount: i64) -> Self {
        let merchant_id = shop.to_owned();
        let payment = Payment { merchant_id, ..Payment::instant(order_id, amount) };
        Self { path: path.to_owned(), body: payment.body(), amount }
    }

    fn follow_up(path: String, order_id: &str, amount: i64, is_whole: bool) -> Self {
        let mut body = json!({ "order_id": order_id });
        if !is_whole {
            body["amount"] = amount.into();
        }
        Self { path, body, amount }
    }
}

/// One order as its sender saw it answered.
#[derive(Debug, Clone)]
struct Answered {
    asked: Asked,
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
            let name = format!("S{sender}-{count}");
            let shop = ["shop-bank", "shop-unionpay"][random.usize(..2)];
            // Only UnionPay holds and gives back.
            let holds = shop == "shop-unionpay" && random.u8(..3) == 0;
            let path = if holds { "/v1/preauths" } else { "/v1/payments" };
            let charge = Asked::charge(path, shop, &name, random.i64(100..50_000));
            let charged = self.send_until_answered(charge).await;
            self.follow(&name, &charged, &mut random).await;
            tokio::time::sleep(Duration::from_millis(random.u64(..40))).await;
        }
    }

    /// What a core may want next of an order that it knows to have succeeded.
    async fn follow(&self, name: &str, order: &Answer, random: &mut fastrand::Rng) {
        if order.outcome() != (200, "succeeded") || order.text("channel") != UNIONPAY {
            return;
        }
        let amount = order.body["amount"].as_i64().expect("an amount");
        // A part, unless there is nothing smaller than the whole.
        let part = random.i64(1..amount.max(2));
        let (id, draw) = (order.id(), random.u8(..4));
        match order.text("kind") {
            "preauth" if draw == 0 => {
                let path = format!("/v1/preauths/{id}/void");
                let void = Asked::follow_up(path, &format!("{name}-void"), amount, true);
                self.send_until_answered(void).await;
            }
            "preauth" => {
                let path = format!("/v1/preauths/{id}/capture");
                let name = format!("{name}-capture");
                let capture = Asked::follow_up(path, &name, part, false);
                let captured = self.send_until_answered(capture).await;
                Box::pin(self.follow(&name, &captured, random)).await;
            }
            _ if amount < 2 || draw == 0 => {}
            _ if draw == 1 => {
                let path = format!("/v1/payments/{id}/void");
                let void = Asked::follow_up(path, &format!("{name}-void"), amount, true);
                self.send_until_answered(void).await;
            }
            // Both parts may be under way at once, and fit together (I-8).
            _ => {
                let refund = |number: u8, amount| {
                    let path = format!("/v1/payments/{id}/refunds");
                    let name = format!("{name}-refund-{number}");
                    self.send_until_answered(Asked::follow_up(path, &name, amount, false))
                };
                tokio::join!(refund(1, part), refund(2, amount - part));
            }
        }
    }

    /// Asks again, under the same order id, after everything that is no answer.
    async fn send_until_answered(&self, asked: Asked) -> Answer {
        let mut daemon = self.daemon.clone();
        loop {
            // Fails only if the test, which holds the sender, is gone.
            let up = daemon.wait_for(Option::is_some).await.ok().and_then(|up| *up);
            let address = up.expect("a daemon that is up has an address");
            match self.core.at(address).try_post(&asked.path, &asked.body, CALL_WITHIN).await {
                Ok(answer) if matches!(answer.status, 200 | 202) => {
                    let answered = Answered { asked, answer: answer.clone() };
                    self.answered.lock().expect("no panic").push(answered);
                    return answer;
                }
                // No room, or no channel at the moment: nothing was written.
                Ok(answer) if matches!(answer.text("code"), "no_route" | "queue_full") => {}
                Ok(answer) => panic!("{} {} is answered {answer:?}", asked.path, asked.body),
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
            let (asked, answer) = (&answered.asked, &answered.answer);
            assert_eq!(found.status, 200, "I-12: answered and lost: {answer:?}");
            assert_eq!(found.text("order_id"), asked.body["order_id"]);
            assert_eq!(found.body["amount"], asked.amount);
            if answer.status == 200 {
                let (now, then) = (apart_from_others(&found.body), apart_from_others(&answer.body));
                assert_eq!(now, then, "I-5, I-12: a final answer stays the same");
            }
            let twice = orders.insert(found.id().to_owned(), found.body);
            assert!(twice.is_none(), "two orders with one id: {twice:?}");
        }
    }
    orders
}

/// An order without what later ones draw from it.
fn apart_from_others(order: &Value) -> Value {
    let mut order = order.clone();
    for field in ["refunded", "captured", "voided", "follow_ups"] {
        order.as_object_mut().expect("an object").remove(field);
    }
    order
}

/// Waits until nothing is open, on either side.
async fn drain(town: &Installation, core: &Core) {
    let mut looks = 0;
    let drained = async || {
        let open = core.all("/v1/reversals", "reversals").await;
        for entry in &open {
            assert_ne!(entry["phase"], "operator", "calm channels do not end it: {entry}");
            if is_put_off(core, entry).await {
                println!("put off to the daily inquiry: {entry}");
                work_now(core, entry).await;
            }
        }
        let owed = core.all("/v1/accounting-requests?state=owed", "accounting_requests").await;
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
/// that the channel refused may lead there, or an order that is never reversed.
async fn is_put_off(core: &Core, entry: &Value) -> bool {
    let due_at: jiff::Timestamp =
        entry["due_at"].as_str().expect("a time").parse().expect("RFC 3339");
    let wait_ms = due_at.as_millisecond() - Clock::System.now().as_millis();
    if wait_ms <= 3_600_000 {
        return false;
    }
    let order = core.payment(entry["id"].as_str().expect("an id")).await;
    let is_reversible = matches!(order.text("kind"), "payment" | "preauth");
    let rightly = !is_reversible || entry["reversal_refused"] == true;
    assert!(rightly, "put off too soon: {entry}");
    true
}

/// What an operator does who will not wait for a day.
async fn work_now(core: &Core, entry: &Value) {
    let path = format!("/v1/reversals/{}/retry", entry["id"].as_str().expect("an id"));
    let retried = core.post(&path, &json!({ "reason": "the bank is well again" })).await;
    assert!(matches!(retried.status, 200 | 202 | 409), "{retried:?}");
}

/// What a channel's ledger calls an order of this kind.
fn kind_in_ledger(order: &Value) -> EntryKind {
    match order["kind"].as_str().expect("a kind") {
        "payment" => EntryKind::Charge,
        "preauth" => EntryKind::Preauth,
        "capture" => EntryKind::Capture,
        "refund" => EntryKind::Refund,
        "void" => EntryKind::Undo,
        "payout" => EntryKind::Payout,
        other => panic!("nobody asked for a {other}: {order}"),
    }
}

/// Every order against what the channels believe of it, attempt by attempt.
fn compare_with_ledgers(town: &Installation, orders: &BTreeMap<String, Value>) {
    let mut entries: BTreeMap<String, Vec<(&str, LedgerEntry)>> = BTreeMap::new();
    for (channel, entry) in town.channels.entries() {
        assert_eq!(entry.requests, 1, "I-1, I-9: sent twice: {entry:?}");
        assert_ne!(entry.state, EntryState::Working, "drained: {entry:?}");
        let order = orders.get(entry.order_prefix());
        let order = order.unwrap_or_else(|| panic!("I-9: nobody was told of {channel} {entry:?}"));
        assert_eq!(entry.kind, kind_in_ledger(order), "{order}");
        entries.entry(entry.order_prefix().to_owned()).or_default().push((channel, entry));
    }
    let mut ends: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for (id, order) in orders {
        let status = order["status"].as_str().expect("a status");
        *ends.entry((order["kind"].as_str().expect("a kind"), status)).or_default() += 1;
        let entries = entries.remove(id).unwrap_or_default();
        let follows_up = order["of"].is_string();
        assert!(!follows_up || entries.len() <= 1, "I-4: sent twice: {order} {entries:?}");
        // What a void took back had succeeded.
        let stands =
            |entry: &LedgerEntry| matches!(entry.state, EntryState::Approved | EntryState::Undone);
        let standing: Vec<_> = entries.iter().filter(|(_, entry)| stands(entry)).collect();
        match (status, standing.as_slice()) {
            ("succeeded", [(channel, entry)]) => {
                assert_eq!(order["channel"], *channel, "{order}");
                assert_eq!(order["channel_order_no"], entry.order_no, "{order}");
                assert_eq!(order["amount"], entry.amount_minor, "{order}");
            }
            ("failed" | "reversed", []) => {}
            _ => panic!("the channels believe otherwise: {order} {entries:?}"),
        }
    }
    println!("{ends:?}");
}

/// Whether the order lets go of a hold: no money moves by it.
fn is_about_a_hold(orders: &BTreeMap<String, Value>, order: &Value) -> bool {
    let of = order["of"].as_str().and_then(|of| orders.get(of));
    let voids_a_hold = of.is_some_and(|of| order["kind"] == "void" && of["kind"] == "preauth");
    order["kind"] == "preauth" || voids_a_hold
}

/// The events that accounting must have booked for an order (I-7).
fn events_of(orders: &BTreeMap<String, Value>, order: &Value) -> Vec<&'static str> {
    let succeeded = order["status"] == "succeeded";
    if is_about_a_hold(orders, order) {
        return Vec::new();
    }
    match (order["kind"].as_str().expect("a kind"), succeeded) {
        ("refund", true) => vec!["refund"],
        ("refund", false) => vec!["refund", "refund_taken_back"],
        ("void", true) => vec!["void"],
        ("void", false) => vec!["void", "void_taken_back"],
        (_, true) => vec!["instant_payment"],
        (_, false) => Vec::new(),
    }
}

/// Clearing records, vouchers and notices against the orders: one for each success that moved
/// money, what was booked first, and one for each end that is due (I-7).
async fn compare_with_books(town: &Installation, core: &Core, orders: &BTreeMap<String, Value>) {
    let moved = |order: &Value| order["status"] == "succeeded" && !is_about_a_hold(orders, order);
    let expected = orders.iter().filter(|(_, order)| moved(order)).map(|(id, _)| id.as_str());
    let expected: BTreeSet<&str> = expected.collect();

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
            let (_, entry) = ledger.iter().find(of_it).expect("an entry of this number");
            let (amount, fee) = (entry.amount_minor, entry.fee_minor);
            let (principal, fee) = match entry.kind {
                EntryKind::Charge | EntryKind::Capture => (amount, fee),
                EntryKind::Undo => (-amount, -fee),
                EntryKind::Refund => (-amount, 0),
                EntryKind::Payout => (-amount, fee),
                EntryKind::Preauth => panic!("a hold moves nothing: {record}"),
            };
            assert_eq!(record["principal"], principal, "{record}");
            assert_eq!(record["fee"], fee, "{record}");
            let id = record["id"].as_str().expect("an id").to_owned();
            assert!(cleared.insert(id), "I-7: two clearing records: {record}");
        }
    }
    assert!(cleared.iter().map(String::as_str).eq(expected.iter().copied()), "I-7: clearing");

    compare_with_vouchers(town, orders);
    compare_with_notices(town, orders).await;
}

/// A voucher may be posted again after a crash, but always under the same request id.
fn compare_with_vouchers(town: &Installation, orders: &BTreeMap<String, Value>) {
    let vouchers = town.accounting.posts();
    let mut booked: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for voucher in &vouchers {
        let (order, request) = (voucher.text("order"), voucher.text("id"));
        assert_eq!(voucher.header("idempotency-key"), request);
        let event = voucher.text("event");
        let other = booked.insert((order, event), request).filter(|other| *other != request);
        assert!(other.is_none(), "I-7: two requests of {event} for {order}");
    }
    let expected = orders.iter().flat_map(|(id, order)| {
        events_of(orders, order).into_iter().map(move |event| (id.as_str(), event))
    });
    assert!(booked.keys().copied().eq(expected), "I-7: vouchers");
}

/// Every order that was not answered with its end is told of it, truly.
async fn compare_with_notices(town: &Installation, orders: &BTreeMap<String, Value>) {
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

/// One that is put off until a person asks again.
const ASK_WHEN_TOLD: &str = r#"
inquire = ["10m"]
then = "reverse"
reverse = ["0s", "1s", "2s"]
not_found_final_after = "1m"
"#;

/// A payout is booked before it leaves. Of one that was on its way when the process died nobody
/// knows whether it arrived.
#[tokio::test(flavor = "multi_thread")]
async fn i_4_a_payout_that_was_on_its_way_is_asked_about_and_not_sent_again() {
    let town = Installation::new(|channel| channel).await;
    let bank = &town.channels.bank;
    town.write_channel(BANK, ASK_WHEN_TOLD, PATIENT_TIMEOUTS);
    // The bank carries it out at once or late, and answers late in any case.
    let slow =
        Faults { delay: 10_000, delay_for: DurationRange::millis(4_000, 4_000), ..Faults::calm() };
    bank.set_faults(slow).expect("possible faults");
    let daemon = Daemon::start(town.folder(), &SERVE).await;
    let core = Core::new(daemon.address, CALLER_KEY);
    let body = json!({
        "order_id": "P-1", "merchant_id": "shop-1", "amount": 10_000, "currency": "CNY",
        "card": { "pan": TEST_CARD, "holder": "Ann Payee" },
    });
    let caller = core.clone();
    let (path, asked) = ("/v1/payouts", body.clone());
    let paying = tokio::spawn(async move { caller.try_post(path, &asked, CALL_WITHIN).await });
    let number = town.bank_is_asked(&core, "payout", "P-1").await;
    daemon.kill().await;
    // The caller has an early answer or none.
    if let Ok(early) = paying.await.expect("no panic") {
        assert_eq!(early.status, 202, "{}", early.body);
    }

    let next = Daemon::start(town.folder(), &SERVE).await;
    let core = core.at(next.address);
    let again = core.post("/v1/payouts", &body).await;
    assert_eq!(again.outcome(), (202, "unknown"), "{}", again.body);
    let attempts = &again.body["attempts"];
    assert_eq!(attempts.as_array().map(Vec::len), Some(1), "{attempts}");
    assert_eq!(attempts[0]["unknown_cause"], "process_died", "{attempts}");
    let carried_out = async || (!bank.ledger().entries().is_empty()).then_some(());
    until("the bank has carried it out", carried_out).await;
    assert_eq!(core.payment(again.id()).await.body, again.body, "nothing is guessed meanwhile");

    // It goes on counting what it is asked for.
    let quick = Faults { delay_for: DurationRange::millis(1, 1), ..slow };
    bank.set_faults(quick).expect("possible faults");
    let retry = format!("/v1/reversals/{}/retry", again.id());
    let retried = core.post(&retry, &json!({ "reason": "the bank answers again" })).await;
    assert_eq!(retried.status, 200, "{}", retried.body);
    let ended = async || {
        let order = core.payment(again.id()).await;
        (order.text("status") != "unknown").then_some(order)
    };
    let ended = until("the inquiry ends it", ended).await;
    assert_eq!(ended.text("status"), "succeeded", "{}", ended.body);
    assert_eq!(ended.body["attempts"].as_array().map(Vec::len), Some(1), "{}", ended.body);
    let ledger = bank.ledger();
    let [paid] = ledger.entries() else { panic!("one payout") };
    assert_eq!((paid.kind, paid.state), (EntryKind::Payout, EntryState::Approved));
    assert_eq!((ended.text("channel_order_no"), &*paid.order_no), (&*number, &*number));
    assert_eq!(bank.times_asked("payout", &number), 1, "it was sent once");
    assert!(bank.times_asked("query", &number) > 0, "and asked about");
    let vouchers = town.accounting.posts();
    let booked: BTreeSet<_> =
        vouchers.iter().map(|one| (one.text("event"), one.text("id"))).collect();
    assert_eq!(booked.len(), 1, "booked once: {booked:?}");
    assert!(booked.iter().all(|(event, _)| *event == "payout"), "{booked:?}");
}
