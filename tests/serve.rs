//! The real program as an operator meets it: first start, stop, reload, and its words for mistakes.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use support::core::{Core, Payment};
use support::daemon::{Daemon, INSTALLED, run, run_with_input};
use support::installation::{CALLER_KEY, Installation};
use support::simulated::{BANK, PATIENT_TIMEOUTS, QUICK_TIMEOUTS, QUICK_UNKNOWNS, UNIONPAY};
use support::wire::{http_client, until};
use support::{Scratch, copy_folder};
use switchyard::simulator::{DurationRange, Faults};
use tokio::task::JoinSet;

const BARE: [&str; 5] = ["serve", "--data", "data", "--listen", "127.0.0.1:0"];

/// A schedule for channels whose replies may take ten seconds.
const PATIENT_UNKNOWNS: &str = r#"
inquire = ["1s", "5s"]
then = "reverse"
reverse = ["0s", "1s", "2s"]
not_found_final_after = "1m"
"#;

/// A folder with nothing but the file of a channel that needs no key yet.
fn bare_installation() -> Scratch {
    let folder = Scratch::new();
    write_contracted_channel(folder.path());
    folder
}

fn write_contracted_channel(folder: &std::path::Path) {
    let text = include_str!("../channels/harbour-bank.toml");
    std::fs::create_dir_all(folder.join("channels")).expect("a folder");
    std::fs::write(folder.join("channels/harbour-bank.toml"), text).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_a_key_and_no_later_one_does() {
    let folder = bare_installation();
    let mut first = Daemon::start(folder.path(), &BARE).await;
    assert_eq!(first.printed.len(), 3, "{:?}", first.printed);
    assert!(first.printed[0].contains("shown this once"), "{}", first.printed[0]);
    let key = first.printed[1].clone();
    assert!(key.starts_with("sy_"));
    assert_ready(&first, &key).await;
    first.signal("TERM");
    assert_eq!(first.ended().await.code(), Some(0));

    let mut second = Daemon::start(folder.path(), &BARE).await;
    assert_eq!(second.printed.len(), 1, "only its address: {:?}", second.printed);
    assert_ready(&second, &key).await;
    second.signal("INT");
    assert_eq!(second.ended().await.code(), Some(0));
    assert!(!second.log().contains(&key), "the key is shown, not logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_right_behind_the_address_is_clean() {
    let folder = bare_installation();
    for name in ["TERM", "INT"] {
        let mut daemon = Daemon::start(folder.path(), &BARE).await;
        daemon.signal(name);
        assert_eq!(daemon.ended().await.code(), Some(0), "{name}");
    }
}

async fn assert_ready(daemon: &Daemon, key: &str) {
    let core = Core::new(daemon.address, key);
    let ready = core.get("/readyz").await;
    assert_eq!((ready.status, &ready.body["ready"]), (200, &true.into()), "{}", ready.body);
    assert_eq!(core.get("/v1/channels").await.status, 200, "the key is known");
    assert_eq!(Core::new(daemon.address, "sy_wrong").get("/v1/channels").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_what_is_in_flight_have_its_answer() {
    let town = Installation::new(|channel| channel).await;
    town.write_channel(BANK, PATIENT_UNKNOWNS, PATIENT_TIMEOUTS);
    let slow =
        Faults { delay: 10_000, delay_for: DurationRange::millis(1_500, 1_500), ..Faults::calm() };
    town.channels.bank.set_faults(slow).expect("possible faults");
    let mut daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let core = Core::new(daemon.address, CALLER_KEY);
    let caller = core.clone();
    let paying = tokio::spawn(async move { caller.pay(&Payment::instant("A-1", 500)).await });
    town.bank_is_asked(&core, "charge", "A-1").await;
    daemon.signal("TERM");
    let paid = paying.await.expect("no panic");
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    assert_eq!(daemon.ended().await.code(), Some(0));

    // What it answered is there for the next process, and the bank was asked once.
    let next = Daemon::start(town.folder(), &INSTALLED).await;
    let found = Core::new(next.address, CALLER_KEY).payment(paid.id()).await;
    assert_eq!(found.body, paid.body);
    assert_eq!(town.channels.bank.ledger().entries().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_has_one_daemon() {
    let folder = bare_installation();
    let first = Daemon::start(folder.path(), &BARE).await;
    let second = run(folder.path(), &BARE);
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stdout.is_empty(), "it never listened");
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(text.contains("books"), "{text}");
    assert!(text.contains("another process"), "{text}");
    assert_ready(&first, &first.printed[1]).await;
}

/// Every file and folder below a folder, itself included.
fn everything_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![folder.to_owned()];
    for file in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = file.path();
        if path.is_dir() { found.extend(everything_below(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_lost_a_part_of_itself_is_refused_and_left_alone() {
    let folder = bare_installation();
    let mut first = Daemon::start(folder.path(), &BARE).await;
    first.signal("TERM");
    first.ended().await;
    let data = folder.path().join("data");
    let other_key = "0".repeat(64);
    let parts = ["keys", "keys/seal", "keys/digest", "keys/notice", "books", "installation"];
    let lost = parts.into_iter().map(|part| (part, None));
    for (part, content) in lost.chain([("keys/digest", Some(&other_key))]) {
        let spoilt = Scratch::new();
        copy_folder(&data, &spoilt.path().join("data"));
        let path = spoilt.path().join("data").join(part);
        match content {
            Some(content) => std::fs::write(&path, content).expect("a file"),
            None if path.is_dir() => std::fs::remove_dir_all(&path).expect("a folder"),
            None => std::fs::remove_file(&path).expect("a file"),
        }
        let before = everything_below(&spoilt.path().join("data"));
        let refused = run(spoilt.path(), &BARE);
        assert_eq!(refused.status.code(), Some(1), "{part}");
        assert!(refused.stdout.is_empty(), "{part}: it listened");
        let told = String::from_utf8_lossy(&refused.stderr);
        let named = if part == "keys" { "keys/seal" } else { part };
        assert!(told.contains(named) && told.contains("backup"), "{part}: {told}");
        let is_file = |path: &&std::path::PathBuf| path.is_file();
        let after = everything_below(&spoilt.path().join("data"));
        assert!(after.iter().filter(is_file).eq(before.iter().filter(is_file)), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let town = Installation::new(|channel| channel).await;
    let open_to_others = || {
        let mode = |path: &std::path::PathBuf| {
            std::fs::metadata(path).expect("it is there").permissions().mode()
        };
        let all = everything_below(&town.data());
        all.into_iter().filter(|path| mode(path) & 0o077 != 0).collect::<Vec<_>>()
    };
    let mut daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let core = Core::new(daemon.address, CALLER_KEY);
    core.pay(&Payment::instant("A-1", 500)).await;
    daemon.signal("TERM");
    daemon.ended().await;
    assert!(!open_to_others().contains(&town.data()), "nobody else comes in");
    let before = everything_below(&town.data());
    for path in &before {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        let wide = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, wide).expect("it is ours");
    }
    let mut daemon = Daemon::start(town.folder(), &INSTALLED).await;
    daemon.logged("the data folder was open to others", 1).await;
    daemon.signal("TERM");
    daemon.ended().await;
    // What a running daemon makes or writes anew lies in a folder that nobody else enters.
    let stays =
        |path: &std::path::PathBuf| path.is_dir() || path.starts_with(town.data().join("keys"));
    let mut left = open_to_others();
    left.retain(|path| before.contains(path) && stays(path));
    assert!(left.is_empty(), "{left:?}");
    assert!(before.iter().filter(|path| stays(path)).count() > 3, "{before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i_9_a_restored_data_folder_gives_out_no_number_again() {
    let town = Installation::new(|channel| channel).await;
    let backup = town.folder().join("backup");
    let mut numbers = Vec::new();
    let mut pay = async |order_id: &str, copy: bool| {
        let mut daemon = Daemon::start(town.folder(), &INSTALLED).await;
        town.door.lead_to(Some(daemon.address));
        let paid =
            Core::new(daemon.address, CALLER_KEY).pay(&Payment::instant(order_id, 500)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
        numbers.push(paid.text("channel_order_no").to_owned());
        daemon.signal("TERM");
        daemon.ended().await;
        assert_eq!(daemon.log().contains("copied or restored"), copy, "{}", daemon.log());
    };
    pay("A-1", false).await;
    copy_folder(&town.data(), &backup);
    pay("A-2", false).await;
    // Everything since the backup is lost.
    std::fs::remove_dir_all(town.data()).expect("a folder");
    copy_folder(&backup, &town.data());
    pay("A-3", true).await;
    pay("A-4", true).await;
    let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
    assert_eq!(distinct.len(), 4, "{numbers:?}");
    assert_eq!(town.channels.bank.ledger().entries().len(), 4);
    let log = std::fs::read_to_string(town.folder().join("daemon.log")).expect("the log");
    assert_eq!(log.matches("copied or restored").count(), 1, "the second start knows its place");
}

#[tokio::test(flavor = "multi_thread")]
async fn i_12_a_backup_that_was_made_beside_a_running_daemon_comes_back() {
    let town = Installation::new(|channel| channel).await;
    let data = town.data().display().to_string();
    let store = |command: &[&str]| {
        let done = run(town.folder(), &[&["store", "--data", &data], command].concat());
        let words = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8_lossy(&words).into_owned())
    };
    let start = async || {
        let daemon = Daemon::start(town.folder(), &INSTALLED).await;
        town.door.lead_to(Some(daemon.address));
        daemon
    };
    let pay = async |daemon: &Daemon, order_id: &str| {
        let core = Core::new(daemon.address, CALLER_KEY);
        let paid = core.pay(&Payment::instant(order_id, 500)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
        paid.text("channel_order_no").to_owned()
    };
    let mut daemon = start().await;
    let first = pay(&daemon, "A-1").await;
    for _ in 0..2 {
        let (code, words) = store(&["backup", "backup"]);
        assert!(code == Some(0) && words.contains("segments"), "{words}");
    }
    let (code, words) = store(&["verify"]);
    assert!(code == Some(0) && words.contains("transactions"), "{words}");
    let (code, words) = store(&["rebuild"]);
    assert!(code == Some(1) && words.contains("open in another process"), "{words}");
    let second = pay(&daemon, "A-2").await;
    daemon.signal("TERM");
    daemon.ended().await;
    let (code, words) = store(&["rebuild"]);
    assert!(code == Some(0) && words.contains("rebuilt"), "{words}");
    let (code, words) = store(&["restore", "backup"]);
    assert!(code == Some(1) && words.contains("not empty"), "{words}");

    std::fs::remove_dir_all(town.data()).expect("a folder");
    let (code, words) = store(&["restore", "backup"]);
    assert!(code == Some(0) && words.contains("skips"), "{words}");
    let mut daemon = start().await;
    assert!(daemon.log().contains("copied or restored"), "{}", daemon.log());
    assert_eq!(pay(&daemon, "A-1").await, first, "a repeat is answered, not paid again");
    let third = pay(&daemon, "A-3").await;
    assert!(third != first && third != second, "{third}");
    assert_eq!(town.channels.bank.ledger().entries().len(), 3);
    daemon.signal("TERM");
    daemon.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_12_a_failed_store_ends_the_process_which_starts_anew() {
    let town = Installation::new(|channel| channel).await;
    let mut daemon = Daemon::start_with_little_room(town.folder(), &INSTALLED).await;
    let core = Core::new(daemon.address, CALLER_KEY);
    let refused = core.pay(&Payment::instant("A-1", 500)).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert_eq!(refused.text("code"), "store_failed");
    assert_eq!(daemon.ended().await.code(), Some(4));
    assert!(daemon.log().contains("the store has failed"), "{}", daemon.log());
    assert_eq!(town.channels.bank.ledger().entries().len(), 0, "nothing was sent");

    let next = Daemon::start(town.folder(), &INSTALLED).await;
    let paid = Core::new(next.address, CALLER_KEY).pay(&Payment::instant("A-1", 500)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
}

#[test]
fn every_mistake_in_the_settings_is_told_with_its_line() {
    let folder = Scratch::new();
    let text = "[server]\nlisen = \"127.0.0.1:1\"\n[node]\nnumber = 1000\n";
    std::fs::write(folder.path().join("bad.toml"), text).expect("a file");
    let refused = run(folder.path(), &["serve", "--config", "bad.toml", "--data", "data"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr);
    for place in ["bad.toml:2: server.lisen: ", "bad.toml:4: node.number: ", "2 mistakes"] {
        assert!(told.contains(place), "{place}: {told}");
    }
    assert!(!folder.path().join("data").exists(), "nothing was begun");

    let checked = run(folder.path(), &["check-config", "--config", "bad.toml", "--json"]);
    assert_eq!(checked.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("one object");
    assert_eq!(report["valid"], false);
    let place = |index: usize| {
        let mistake = &report["mistakes"][index];
        (mistake["file"].as_str(), mistake["line"].as_u64(), mistake["key"].as_str())
    };
    let mut places = [place(0), place(1)];
    places.sort();
    let file = Some("bad.toml");
    assert_eq!(
        places,
        [(file, Some(2), Some("server.lisen")), (file, Some(4), Some("node.number"))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_files_have_no_mistakes() {
    let town = Installation::new(|channel| channel).await;
    let arguments = ["check-config", "--config", "switchyard.toml", "--data", "data", "--json"];
    let checked = run(town.folder(), &arguments);
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("one object");
    assert_eq!(report, serde_json::json!({ "valid": true, "mistakes": [] }));
    assert_eq!(checked.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_sound_files_and_leaves_what_runs_otherwise() {
    let town = Installation::new(|channel| channel).await;
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    town.door.lead_to(Some(daemon.address));
    let core = Core::new(daemon.address, CALLER_KEY);
    let channel_of = async |order_id: &str| {
        let paid = core.pay(&Payment::instant(order_id, 700)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
        paid.text("channel").to_owned()
    };
    assert_eq!(channel_of("A-1").await, BANK);

    // A mistake in one channel file: every channel stays as it was.
    let sound = town.change_channel(BANK, "unknown.inqire = []");
    daemon.signal("HUP");
    daemon.logged("the channels stay as they were", 1).await;
    daemon.logged("nothing is reloaded", 1).await;
    let bad = std::fs::read_to_string(town.channel_file(BANK)).expect("the file");
    let line = 1 + bad.lines().position(|line| line.starts_with("inqire")).expect("the mistake");
    let place = format!("harbour-bank.toml:{line}: unknown.inqire");
    assert!(daemon.log().contains(&place), "{place}: {}", daemon.log());
    assert_eq!(channel_of("A-2").await, BANK);

    // Other routes hold from the next order on.
    std::fs::write(town.channel_file(BANK), sound).expect("a file");
    town.write_routes(ALL_TO_UNIONPAY);
    daemon.signal("HUP");
    daemon.logged("the routes are reloaded", 1).await;
    assert_eq!(channel_of("A-3").await, UNIONPAY);

    // A mistake in the routes: those that hold stay.
    town.write_routes(&ALL_TO_UNIONPAY.replace("unionpay", "unionpai"));
    daemon.signal("HUP");
    daemon.logged("the routes stay as they were", 1).await;
    assert_eq!(channel_of("A-4").await, UNIONPAY);
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

#[test]
fn cards_are_looked_up_from_standard_input() {
    let folder = Scratch::new();
    let arguments = ["bin", "lookup", "--json", "--data", "data"];
    let input = "6216261000000000018\n621626\n\n62162\nnonsense\n";
    let (status, output) = run_with_input(folder.path(), &arguments, input);
    assert_eq!(status.code(), Some(1), "one line was no number");
    let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("an object");
    let answers: Vec<_> = output.lines().map(read).collect();
    assert_eq!(answers[0]["input"], "621626*********0018", "a whole number comes out masked");
    for answer in &answers[..2] {
        assert_eq!((&answer["found"], &answer["bin"]), (&true.into(), &"621626".into()));
        assert_eq!(answer["card_type"], "debit");
    }
    let last = answers.last().expect("an answer for each line");
    assert_eq!((&last["found"], &last["problem"]), (&false.into(), &"not digits".into()));
    assert!(!output.contains("nonsense"), "what is no number may be a card number with a slip");
}

/// A trace, and a span of the caller's in it.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_found_by_its_id_and_its_trace_goes_on() {
    let town = Installation::new(|channel| channel).await;
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    town.door.lead_to(Some(daemon.address));
    let url = format!("http://{}/v1/payments", daemon.address);
    let send = async |key: &str, headers: &[(&str, &str)]| {
        let body = Payment::instant("A-1", 500).body().to_string();
        let mut asked = http_client().post(&url).bearer_auth(key).body(body);
        asked = asked.header("content-type", "application/json");
        for (name, value) in headers {
            asked = asked.header(*name, *value);
        }
        let answer = asked.send().await.expect("an answer");
        let id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
        let body = answer.bytes().await.expect("a body");
        (id, serde_json::from_slice::<serde_json::Value>(&body).expect("JSON"))
    };

    // Past the router, and through it: the answer has the id, and so has a problem.
    let told = [("x-request-id", "core-17"), ("traceparent", PARENT), ("tracestate", "core=1")];
    let (id, order) = send(CALLER_KEY, &told).await;
    assert_eq!((id.as_str(), &order["status"]), ("core-17", &"succeeded".into()), "{order}");
    let (id, problem) = send("another key", &[("x-request-id", "lost-1")]).await;
    assert_eq!((id.as_str(), &problem["request_id"]), ("lost-1", &"lost-1".into()), "{problem}");
    daemon.logged("call{request.id=\"lost-1\"}", 1).await;
    // One that may not stand in a log is not taken.
    let card = "6216261000000000018";
    let (drawn, problem) = send("another key", &[("x-request-id", card)]).await;
    assert_eq!((drawn.len(), &problem["request_id"]), (32, &drawn.as_str().into()));
    daemon.logged(&format!("request.id=\"{drawn}\""), 1).await;
    assert!(!daemon.log().contains(card));
    let (other, _) = send("another key", &[]).await;
    assert_ne!(drawn, other);

    // What is posted about the order belongs to its caller's trace, below a span of ours.
    let order = order["id"].as_str().expect("an id");
    let voucher = town.accounting.post_with("order", order).await;
    let notice = town.core_inbox.post_with("id", order).await;
    for post in [&voucher, &notice] {
        let trace = post.header("traceparent");
        assert!(trace.starts_with(&PARENT[..36]) && trace.ends_with("-01"), "{trace}");
        assert_ne!(trace, PARENT);
        assert_eq!(post.header("tracestate"), "core=1");
    }
    assert_eq!(voucher.header("traceparent"), notice.header("traceparent"), "one call, one span");
    assert_eq!(voucher.header("idempotency-key"), voucher.text("id"));
    assert_eq!(notice.header("webhook-id"), order);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_for_notices_is_changed_without_a_notice_that_the_core_cannot_believe() {
    let town = Installation::new(|channel| channel).await;
    // The keys of the data folder.
    let file = town.folder().join("switchyard.toml");
    let text = std::fs::read_to_string(&file).expect("settings");
    let text = text.replace("keys = [\"file:notice.key\"]\n", "");
    std::fs::write(&file, text).expect("settings");
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    town.door.lead_to(Some(daemon.address));
    let core = Core::new(daemon.address, CALLER_KEY);
    let keys = || -> Vec<String> {
        let text = std::fs::read_to_string(town.data().join("keys/notice")).expect("a file");
        text.lines().map(str::to_owned).collect()
    };
    let told = async |order_id: &str| {
        core.pay(&Payment::instant(order_id, 500)).await;
        town.core_inbox.post_with("order_id", order_id).await
    };
    let change = async |command: &str, times: usize| {
        let changed = run(town.folder(), &["notice", command, "--data", "data", "--json"]);
        assert!(changed.status.success(), "{changed:?}");
        let said = String::from_utf8_lossy(&changed.stdout).into_owned();
        assert!(said.contains("keys/notice") && !said.contains("whsec_"), "{said}");
        daemon.signal("HUP");
        daemon.logged("the channels are reloaded", times).await;
    };
    let first = keys();
    assert!(told("A-1").await.is_signed_with(&first[0]));
    change("rotate-key", 1).await;
    let both = keys();
    assert_eq!(both[1..], first[..]);
    let notice = told("A-2").await;
    assert!(both.iter().all(|key| notice.is_signed_with(key)), "either is enough");
    change("retire-key", 2).await;
    let notice = told("A-3").await;
    assert!(notice.is_signed_with(&both[0]) && !notice.is_signed_with(&first[0]));
}
