//! A daemon whose clock is wrong for a while: nothing ends early, no day is closed, nothing is
//! dated where nobody finds it again, and everything goes on when the clock is right.

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use support::core::{Core, Payment};
use support::installation::{CALLER_KEY, Installation, metrics};
use support::simulated::{BANK, QUICK_TIMEOUTS};
use support::wire::until;
use switchyard::app::App;
use switchyard::clock::Clock;
use switchyard::domain::time::{BusinessDate, Timestamp};
use switchyard::simulator::Faults;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const YEAR_MS: i64 = 400 * 24 * HOUR_MS;

/// "No such order" is believed an hour after sending; what has run out is asked for once a day.
const UNKNOWNS: &str = r#"
inquire = ["100ms", "200ms", "300ms"]
then = "inquire_daily"
reverse = ["0s"]
not_found_final_after = "1h"
"#;

/// A daemon in this process, by a clock that a hand sets.
struct Daemon {
    town: Installation,
    error_ms: Arc<AtomicI64>,
    app: Option<App>,
}

impl Daemon {
    /// With channels whose replies say what time it is, or without.
    async fn open(with_dates: bool) -> Self {
        let town = Installation::new(|channel| match with_dates {
            true => channel.with_dates(Arc::new(|| Clock::System.now())),
            false => channel,
        })
        .await;
        town.write_channel(BANK, UNKNOWNS, QUICK_TIMEOUTS);
        let mut daemon = Self { town, error_ms: Arc::default(), app: None };
        daemon.start().await;
        daemon
    }

    fn clock(&self) -> Clock {
        Clock::Wrong { of: Box::new(Clock::System), by_ms: Arc::clone(&self.error_ms) }
    }

    async fn start(&mut self) {
        let (settings, data) = (self.town.settings(), self.town.data());
        let app = App::start_by(self.clock(), settings, &data, metrics()).await;
        let app = app.expect("a daemon");
        self.town.door.lead_to(Some(app.address()));
        self.app = Some(app);
    }

    async fn stop(&mut self) {
        self.app.take().expect("it runs").stop().await;
    }

    /// The clock shows so much more from now on.
    fn set(&self, error_ms: i64) {
        self.error_ms.store(error_ms, Ordering::SeqCst);
    }

    fn core(&self) -> Core {
        Core::new(self.app.as_ref().expect("it runs").address(), CALLER_KEY)
    }

    fn bank_has(&self, faults: Faults) {
        self.town.channels.bank.set_faults(faults).expect("possible faults");
    }

    async fn doubts(&self) -> Vec<String> {
        let ready = self.core().get("/readyz").await;
        assert_eq!((ready.status, &ready.body["ready"]), (200, &json!(true)), "{}", ready.body);
        let doubts = ready.body["doubts"].as_array().cloned().expect("a list");
        doubts.iter().map(|doubt| doubt.as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn is_doubted(&self, why: &str) {
        let doubted = async || (self.doubts().await == [why]).then_some(());
        until(&format!("the clock is doubted: {why}"), doubted).await;
    }

    async fn is_believed(&self) {
        let believed = async || self.doubts().await.is_empty().then_some(());
        until("the clock is believed", believed).await;
    }
}

fn date_of(order: &Value) -> BusinessDate {
    BusinessDate::parse(order["clearing_date"].as_str().expect("it is cleared")).expect("a date")
}

#[tokio::test(flavor = "multi_thread")]
async fn i_3_a_wrong_clock_does_no_lasting_harm() {
    let mut daemon = Daemon::open(true).await;
    let core = daemon.core();
    let paid = core.pay(&Payment::instant("A", 500)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    let today = date_of(&paid.body);
    assert_eq!(daemon.doubts().await, Vec::<String>::new());

    // A request that never arrives, and then a clock that says that this was two hours ago.
    daemon.bank_has(Faults { drop_before: 10_000, ..Faults::calm() });
    let lost = core.pay(&Payment::instant("LOST", 600)).await;
    assert_eq!(lost.outcome(), (202, "unknown"), "{}", lost.body);
    daemon.set(2 * HOUR_MS);
    daemon.is_doubted("clock_ahead").await;
    daemon.bank_has(Faults::calm());
    let why = json!({ "reason": "the bank may know by now" });
    core.post(&format!("/v1/reversals/{}/retry", lost.id()), &why).await;
    knows_nothing(&core, lost.id()).await;
    assert_eq!(core.payment(lost.id()).await.text("status"), "unknown");

    // A year ahead: payments are taken; a lost reply is inquired of until the schedule is over.
    daemon.set(YEAR_MS);
    let late = core.pay(&Payment::instant("LATE", 700)).await;
    assert_eq!(late.outcome(), (200, "succeeded"), "{}", late.body);
    assert!(date_of(&late.body) <= today.next(), "{}", late.body);
    daemon.bank_has(Faults { lose_reply: 10_000, ..Faults::calm() });
    let unheard = core.pay(&Payment::instant("UNHEARD", 800)).await;
    assert_eq!(unheard.outcome(), (202, "unknown"), "{}", unheard.body);
    let run_out = async || {
        let entry = core.get(&format!("/v1/reversals/{}", unheard.id())).await;
        (entry.body["inquiries"].as_u64() >= Some(3)).then_some(())
    };
    until("its schedule has run out", run_out).await;

    // No day is over, whoever asks; and nobody can say that such a clock is right.
    let close = format!("/v1/channels/{BANK}/clearing/close?date={today}");
    let refused = core.post(&close, &json!({ "reason": "the clock says so" })).await;
    assert_eq!((refused.status, refused.text("code")), (409, "day_open"), "{}", refused.body);
    let now = Clock::System.now().rfc3339();
    let word = json!({ "time": now, "reason": "my watch says so" });
    let refused = core.post("/v1/clock/confirm", &word).await;
    assert_eq!((refused.status, refused.text("code")), (409, "clock_differs"), "{}", refused.body);

    // A start by that clock knows that the last moment of the books was another one.
    daemon.stop().await;
    daemon.start().await;
    daemon.is_doubted("clock_ahead").await;
    let shown = daemon.core().get("/v1/clock").await;
    assert_eq!(shown.text("doubt"), "clock_ahead", "{}", shown.body);
    assert!(shown.text("borne_out") < shown.text("clock"), "{}", shown.body);

    goes_on(&daemon, today, lost.id(), unheard.id()).await;
    daemon.stop().await;
}

/// The clock is right again: it goes on by itself, and what the wrong clock has dated is found.
async fn goes_on(daemon: &Daemon, today: BusinessDate, lost: &str, unheard: &str) {
    daemon.bank_has(Faults::calm());
    daemon.set(0);
    daemon.is_believed().await;
    let core = daemon.core();
    let found = async || {
        let order = core.payment(unheard).await;
        (order.text("status") == "succeeded").then_some(())
    };
    until("the order of which nobody heard is inquired of", found).await;
    for order_id in ["A", "LATE", "UNHEARD"] {
        daemon.town.core_inbox.post_with("order_id", order_id).await;
    }
    let next = core.pay(&Payment::instant("B", 900)).await;
    assert_eq!(date_of(&next.body), today, "{}", next.body);
    let summary = format!("/v1/channels/{BANK}/clearing/summary?date={today}");
    let summary = core.get(&summary).await;
    assert!(summary.body["closed"].is_null(), "{}", summary.body);
    assert_eq!(core.payment(lost).await.text("status"), "unknown", "an hour has not passed");
}

/// Until the bank has said that it has no such order.
async fn knows_nothing(core: &Core, id: &str) {
    let asked = async || {
        let entry = core.get(&format!("/v1/reversals/{id}")).await;
        let lines = entry.body["history"].as_array().cloned().unwrap_or_default();
        lines.iter().any(|line| line.to_string().contains("not_found")).then_some(())
    };
    until("the bank says that there is no such order", asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_bears_out_a_start_after_a_night() {
    let mut daemon = Daemon::open(false).await;
    assert_eq!(daemon.core().pay(&Payment::instant("A", 500)).await.status, 200);
    daemon.stop().await;

    // A clock twenty hours on: a night, for all that the daemon knows.
    daemon.set(20 * HOUR_MS);
    daemon.start().await;
    daemon.is_doubted("clock_ahead").await;
    let shown = Timestamp::from_millis(Clock::System.now().as_millis() + 20 * HOUR_MS);
    let word = json!({ "time": shown.rfc3339(), "reason": "the machine was off over night" });
    let core = daemon.core();
    let taken = core.post("/v1/clock/confirm", &word).await;
    assert_eq!((taken.status, &taken.body["doubt"]), (200, &Value::Null), "{}", taken.body);
    daemon.is_believed().await;
    let kept = core.all("/v1/audit", "entries").await;
    let actions: BTreeMap<String, String> = kept
        .iter()
        .map(|entry| (entry["action"].to_string(), entry["reason"].to_string()))
        .collect();
    let reason = actions.get("\"clock.confirm\"").expect("it is in the trail");
    assert!(reason.contains("off over night"), "{reason}");
    daemon.stop().await;
}
