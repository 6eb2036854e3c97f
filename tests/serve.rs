//! The real program as an operator meets it: first start, stop, reload, and its words for mistakes.

#[path = "serve/rates.rs"]
mod rates;
#[path = "serve/reload.rs"]
mod reload;
mod support;

use support::core::{Core, Payment};
use support::daemon::{Daemon, INSTALLED, run, run_with_input};
use support::installation::{CALLER_KEY, Installation};
use support::simulated::{BANK, PATIENT_TIMEOUTS};
use support::wire::http_client;
use support::{Scratch, copy_folder};
use switchyard::simulator::{DurationRange, Faults};

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
        let mut daemon = Daemon::installed(&town).await;
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
    let start = async || Daemon::installed(&town).await;
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
    let daemon = Daemon::installed(&town).await;
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
    let daemon = Daemon::installed(&town).await;
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
