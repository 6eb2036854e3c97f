//! Files that change while the program runs: sound ones are taken, others leave what runs, and an
//! order keeps what it was accepted under.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use switchyard::simulator::{DurationRange, Faults};
use tokio::task::JoinSet;

use crate::support::core::{Core, Payment};
use crate::support::daemon::{Daemon, INSTALLED};
use crate::support::installation::{CALLER_KEY, Installation};
use crate::support::simulated::{BANK, QUICK_TIMEOUTS, QUICK_UNKNOWNS, UNIONPAY};
use crate::support::wire::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_sound_files_and_leaves_what_runs_otherwise() {
    let town = Installation::new(|channel| channel).await;
    let daemon = Daemon::installed(&town).await;
    let core = Core::new(daemon.address, CALLER_KEY);
    assert_eq!(core.channel_of("A-1").await, BANK);

    // A mistake in one channel file: every channel stays as it was.
    let sound = town.change_channel(BANK, "unknown.inqire = []");
    daemon.signal("HUP");
    daemon.logged("the channels stay as they were", 1).await;
    daemon.logged("nothing is reloaded", 1).await;
    let bad = std::fs::read_to_string(town.channel_file(BANK)).expect("the file");
    let line = 1 + bad.lines().position(|line| line.starts_with("inqire")).expect("the mistake");
    let place = format!("harbour-bank.toml:{line}: unknown.inqire");
    assert!(daemon.log().contains(&place), "{place}: {}", daemon.log());
    assert_eq!(core.channel_of("A-2").await, BANK);

    // Other routes hold from the next order on.
    std::fs::write(town.channel_file(BANK), sound).expect("a file");
    town.write_routes(ALL_TO_UNIONPAY);
    daemon.signal("HUP");
    daemon.logged("the routes are reloaded", 1).await;
    assert_eq!(core.channel_of("A-3").await, UNIONPAY);

    // A mistake in the routes: those that hold stay.
    town.write_routes(&ALL_TO_UNIONPAY.replace("unionpay", "unionpai"));
    daemon.signal("HUP");
    daemon.logged("the routes stay as they were", 1).await;
    assert_eq!(core.channel_of("A-4").await, UNIONPAY);
}

const ALL_TO_UNIONPAY: &str = r#"
[[rule]]
name = "all goes over UnionPay"
strategy = "priority"
channels = ["unionpay"]
"#;

/// Nobody asks by itself, and the fee is that of the shipped file.
const ASK_IN_TEN_MINUTES: &str = r#"
inquire = ["10m"]
then = "reverse"
reverse = ["0s", "1s", "2s"]
not_found_final_after = "1m"
"#;
const OLD_RATE_PPM: i64 = 3_500;
const NEW_RATE_PPM: i64 = 5_000;
/// Which of two files an order met is not known while they change.
const EITHER: i64 = 0;
const AMOUNT: i64 = 10_000;

/// Shops that pay one order after another while the channel's file changes.
#[derive(Default)]
struct Shops {
    over: AtomicBool,
    /// The rate that an order accepted now must have.
    rate_ppm: AtomicI64,
    /// Orders by id, each with its rate.
    paid: Mutex<BTreeMap<String, i64>>,
}

impl Shops {
    async fn pay(&self, core: &Core, shop: u32) {
        for count in 0.. {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let before = self.rate_ppm.load(Ordering::SeqCst);
            let paid = core.pay(&Payment::instant(&format!("S{shop}-{count}"), AMOUNT)).await;
            let after = self.rate_ppm.load(Ordering::SeqCst);
            assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
            assert_eq!(paid.text("channel"), BANK);
            assert_eq!(paid.body["attempts"].as_array().map(Vec::len), Some(1));
            let rate = if before == after { before } else { EITHER };
            self.paid.lock().expect("no panic").insert(paid.id().to_owned(), rate);
        }
    }

    /// Waits until so many orders more are paid.
    async fn paid_more(&self, count: usize) {
        let paid = || self.paid.lock().expect("no panic").len();
        let enough = paid() + count;
        until("the shops go on paying", async || (paid() >= enough).then_some(())).await;
    }
}

/// A payment that the bank carries out, and whose reply is lost.
async fn pay_unknown(town: &Installation, core: &Core, order_id: &str) -> String {
    let lost =
        Faults { lose_reply: 10_000, hang_for: DurationRange::millis(10, 50), ..Faults::calm() };
    town.channels.bank.set_faults(lost).expect("possible faults");
    let unknown = core.pay(&Payment::instant(order_id, AMOUNT)).await;
    assert_eq!(unknown.outcome(), (202, "unknown"), "{}", unknown.body);
    town.channels.bank.set_faults(Faults::calm()).expect("possible faults");
    unknown.id().to_owned()
}

/// The bank's only fee.
fn fees(rate_ppm: &str) -> String {
    format!("[[fees]]\nname = \"all cards\"\nrate_ppm = {rate_ppm}\ncap_minor = 2000\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_file_changes_under_load_and_orders_keep_what_they_were_accepted_under() {
    let town = Installation::new(|channel| channel).await;
    town.write_channel(BANK, ASK_IN_TEN_MINUTES, QUICK_TIMEOUTS);
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let core = Core::new(daemon.address, CALLER_KEY);
    let early = pay_unknown(&town, &core, "early").await;

    let shops = Arc::new(Shops::default());
    shops.rate_ppm.store(OLD_RATE_PPM, Ordering::SeqCst);
    let mut paying = JoinSet::new();
    for shop in 0..8 {
        let (core, shops) = (core.clone(), Arc::clone(&shops));
        paying.spawn(async move { shops.pay(&core, shop).await });
    }
    shops.paid_more(40).await;

    // Another fee and another schedule.
    town.write_channel(BANK, QUICK_UNKNOWNS, QUICK_TIMEOUTS);
    town.change_channel(BANK, &fees(&NEW_RATE_PPM.to_string()));
    shops.rate_ppm.store(EITHER, Ordering::SeqCst);
    daemon.signal("HUP");
    daemon.logged("the channels are reloaded", 1).await;
    shops.rate_ppm.store(NEW_RATE_PPM, Ordering::SeqCst);
    shops.paid_more(40).await;

    // A broken file: all goes on as it was.
    town.change_channel(BANK, &fees("\"a lot\""));
    daemon.signal("HUP");
    daemon.logged("the channels stay as they were", 1).await;
    shops.paid_more(40).await;
    shops.over.store(true, Ordering::SeqCst);
    while let Some(ended) = paying.join_next().await {
        ended.expect("no order fails because of a reload");
    }

    // What was accepted before goes by the old schedule: it waits, until an operator asks.
    let waiting = core.get(&format!("/v1/reversals/{early}")).await;
    assert_eq!(waiting.body["inquiries"], 0, "{}", waiting.body);
    let late = pay_unknown(&town, &core, "late").await;
    let succeeded = async |id: &str| {
        let ended = async || (core.payment(id).await.text("status") == "succeeded").then_some(());
        until("the bank is asked and says yes", ended).await;
    };
    succeeded(&late).await;
    let retry = format!("/v1/reversals/{early}/retry");
    let retried = core.post(&retry, &serde_json::json!({ "reason": "do not wait" })).await;
    assert!(matches!(retried.status, 200 | 202), "{retried:?}");
    succeeded(&early).await;

    let mut paid = shops.paid.lock().expect("no panic").clone();
    paid.extend([(early, OLD_RATE_PPM), (late, NEW_RATE_PPM)]);
    compare_fees(&town, &core, paid).await;
}

/// Every order's clearing record against the rate that was agreed when it was accepted.
async fn compare_fees(town: &Installation, core: &Core, mut paid: BTreeMap<String, i64>) {
    let ledger = town.channels.bank.ledger();
    let dates = ledger.entries().iter().map(|entry| entry.settle_date.clone());
    let dates = Vec::from_iter(dates.collect::<std::collections::BTreeSet<_>>());
    for record in core.clearing(BANK, &dates).await {
        let id = record["id"].as_str().expect("an id");
        let rate = paid.remove(id).unwrap_or_else(|| panic!("nobody paid {record}"));
        let rates = if rate == EITHER { vec![OLD_RATE_PPM, NEW_RATE_PPM] } else { vec![rate] };
        let fits = |rate: &i64| record["fee"] == AMOUNT * rate / 1_000_000;
        assert!(rates.iter().any(fits), "agreed was {rates:?}: {record}");
    }
    assert!(paid.is_empty(), "without a clearing record: {paid:?}");
}
