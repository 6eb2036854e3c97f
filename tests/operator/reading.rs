//! What the commands say is so.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use switchyard::app::App;
use switchyard::simulator::Faults;

use crate::support::Scratch;
use crate::support::core::{Core, Payment};
use crate::support::daemon::{Daemon, program, run};
use crate::support::installation::{CALLER_KEY, Installation, metrics};
use crate::support::simulated::BANK_LIMIT_MINOR;
use crate::support::wire::until;

fn text(output: &Output) -> String {
    let (out, errors) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(errors))
}

/// A folder of channels with one that needs no key yet.
pub fn contracted(folder: &Path) {
    let text = include_str!("../../channels/harbour-bank.toml");
    std::fs::create_dir_all(folder.join("channels")).expect("a folder");
    std::fs::write(folder.join("channels/harbour-bank.toml"), text).expect("a file");
}

/// Asks a daemon that runs in this process.
pub async fn ask(app: &App, folder: &Path, words: &[&str]) -> String {
    let mut command = program(folder);
    let url = format!("http://{}", app.address());
    command.args(words).args(["--url", &url, "--key", CALLER_KEY]);
    let output = tokio::task::spawn_blocking(move || command.output().expect("it starts"));
    let output = output.await.expect("no panic");
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_name_what_can_be_shown() {
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let paid = core.pay(&Payment::instant("A-1", 12_345)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    let lost = Faults { drop_before: 10_000, ..Faults::calm() };
    town.channels.bank.set_faults(lost).expect("possible faults");
    let open = core.pay(&Payment::instant("A-2", 200)).await;
    assert_eq!(open.status, 202, "{}", open.body);
    let folder = town.folder();

    let listed = ask(&app, folder, &["reversal", "list"]).await;
    let line = listed.lines().nth(1).expect("an entry under its heading");
    assert!(line.starts_with(open.id()) && line.contains("harbour-bank"), "{listed}");
    let entry = ask(&app, folder, &["reversal", "show", open.id()]).await;
    assert!(entry.contains("\"history\""), "{entry}");
    let none = ask(&app, folder, &["reversal", "list", "--phase", "undo_owed"]).await;
    assert_eq!(none.lines().count(), 1, "a heading: {none}");

    let workers = ask(&app, folder, &["worker", "list"]).await;
    for name in ["accounting", "day_close", "reversals", "bin_table"] {
        let started = town.settings().bin_table.source.is_some() || name != "bin_table";
        let named = workers.lines().any(|line| line.starts_with(name));
        assert_eq!(named, started, "{name}: {workers}");
    }

    let date = paid.text("clearing_date").to_owned();
    for words in [&["transaction", "list"][..], &["transaction", "list", "harbour-bank", &date]] {
        let listed = ask(&app, folder, words).await;
        assert!(listed.lines().nth(1).is_some_and(|line| line.starts_with(paid.id())), "{listed}");
    }
    let shown = ask(&app, folder, &["transaction", "show", paid.id()]).await;
    assert!(shown.contains("\"transcript\""), "{shown}");
    assert_eq!(ask(&app, folder, &["contradiction", "list"]).await.lines().count(), 1);

    let owed = ask(&app, folder, &["accounting", "list"]).await;
    assert!(owed.lines().nth(1).is_some_and(|line| line.contains("instant_payment")), "{owed}");
    assert_eq!(ask(&app, folder, &["audit", "list"]).await.lines().count(), 1, "nothing was done");
    let words = "route explain --daemon --bin 621626 --amount 5.00 --currency CNY";
    let plan = ask(&app, folder, &words.split(' ').collect::<Vec<_>>()).await;
    assert!(plan.contains("plan: harbour-bank"), "{plan}");

    // By our id, by the caller's own, and by another's name for it.
    for words in [
        &["order", "show", paid.id(), "--json"][..],
        &["order", "show", "A-1", "--json"],
        &["order", "show", "A-1", "--caller", "core", "--json"],
    ] {
        let shown: serde_json::Value =
            serde_json::from_str(&ask(&app, folder, words).await).expect("one object");
        assert_eq!(shown["id"], paid.id(), "{words:?}");
    }

    // How a channel does is the daemon's to say.
    let live = ask(&app, folder, &["channel", "list", "--daemon"]).await;
    assert!(live.contains("breaker") && live.contains("closed") && live.contains('%'), "{live}");
    let files = run(folder, &["channel", "list"]);
    let files = text(&files);
    assert!(files.contains("harbour-bank") && !files.contains('%'), "{files}");
    let json = text(&run(folder, &["channel", "list", "--json"]));
    for known_to_daemons in ["breaker", "success_rate", "used_today", "has_room"] {
        assert!(!json.contains(known_to_daemons), "{json}");
    }
    app.stop().await;
}

#[test]
fn a_folder_that_is_not_there_is_a_mistake() {
    let folder = Scratch::new();
    for words in [
        &["check-config"][..],
        &["channel", "list"],
        &["route", "explain", "--bin", "621626", "--amount", "1", "--currency", "CNY"],
    ] {
        let refused = run(folder.path(), words);
        assert_eq!(refused.status.code(), Some(1), "{words:?}: {}", text(&refused));
        assert!(text(&refused).contains("channels: channels.folder: there is no such folder"));
    }
    std::fs::create_dir(folder.path().join("channels")).expect("a folder");
    let empty = run(folder.path(), &["check-config"]);
    assert!(text(&empty).contains("has no channel file"), "{}", text(&empty));
    contracted(folder.path());
    let checked = run(folder.path(), &["check-config"]);
    assert!(text(&checked).contains("no mistakes: 1 channels"), "{}", text(&checked));
}

#[test]
fn a_simulator_plays_the_file_or_says_that_it_cannot() {
    let folder = Scratch::new();
    let shipped = include_str!("../../channels/harbour-bank.toml");
    let own = shipped.replace("path = \"/v1/charges\"", "path = \"/pay\"");
    std::fs::write(folder.path().join("own-bank.toml"), own).expect("a file");
    let refused = run(folder.path(), &["simulate", "own-bank.toml", "--keys", "sandbox"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused);
    assert!(told.contains("http.payment.path") && told.contains("harbour-bank.toml"), "{told}");
    assert!(!folder.path().join("sandbox").exists(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_says_what_a_running_daemon_has() {
    let folder = Scratch::new();
    contracted(folder.path());
    let serve = ["serve", "--data", "data", "--listen", "127.0.0.1:0"];
    let daemon = Daemon::start(folder.path(), &serve).await;
    let key = daemon.printed.iter().find(|line| line.starts_with("sy_")).expect("a key");
    let core = Core::new(daemon.address, key);
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bin/unionpay-2018-06.csv");
    let refresh = ["bin", "refresh", fixture, "--force", "--reason", "a drill", "--data", "data"];
    let refreshed = run(folder.path(), &refresh);
    let told = text(&refreshed);
    assert_eq!(refreshed.status.code(), Some(0), "{told}");
    assert!(told.contains("version 1 is written") && told.contains("kill -HUP"), "{told}");
    assert!(!told.contains("is live"), "{told}");
    assert_eq!(core.get("/v1/bin-table").await.body["version"], 0, "it has the table that it had");
    daemon.signal("HUP");
    let taken = async || (core.get("/v1/bin-table").await.body["version"] == 1).then_some(());
    until("the daemon takes it", taken).await;
    // The table is taken before what else a reload reads, and the line comes last.
    let told = async || daemon.log().contains("reloaded").then_some(());
    until("the log tells of it", told).await;
    assert!(!daemon.log().contains('\u{1b}'), "a log in a file is plain text");
}

/// The story of a declined payment has the messages below its table.
async fn shows_what_was_sent(app: &App, core: &Core, folder: &Path) {
    let declined = core.pay(&Payment::instant("A-3", BANK_LIMIT_MINOR + 1)).await;
    assert_eq!(declined.outcome(), (200, "failed"), "{}", declined.body);
    for (language, sent) in [("en", "What was sent"), ("zh", "发出的报文")] {
        let words = ["order", "story", declined.id(), "--language", language];
        let story = ask(app, folder, &words).await;
        let (_, below) = story.split_once(sent).unwrap_or_else(|| panic!("{sent}: {story}"));
        let request = below.lines().nth(1).expect("a line");
        assert!(request.starts_with("POST http://"), "{story}");
        assert!(below.contains("\"number\":\"621626*********0018\""), "{story}");
        assert!(below.contains("\"expiry\":\"***\"") && below.contains("x-signature: "), "{story}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_listed_found_and_exported() {
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let first = core.pay(&Payment::instant("A-1", 12_345)).await;
    let second = core.pay(&Payment::instant("A-2", 200)).await;
    assert_eq!(second.outcome(), (200, "succeeded"), "{}", second.body);
    let folder = town.folder();

    let listed = ask(&app, folder, &["order", "list"]).await;
    let ids: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ids, [second.id(), first.id()], "{listed}");
    let one = ask(&app, folder, &["order", "list", "--limit", "1", "--json"]).await;
    let one: serde_json::Value = serde_json::from_str(&one).expect("one object");
    assert_eq!(one["id"], second.id());
    let words =
        ["order", "list", "--after", second.id(), "--amount-from", "123.45", "--currency", "CNY"];
    assert!(ask(&app, folder, &words).await.contains(first.id()));
    let words = ["order", "list", "--status", "failed", "--kind", "payment"];
    assert_eq!(ask(&app, folder, &words).await.lines().count(), 1, "a heading");

    let reference = first.text("channel_reference").to_owned();
    for number in ["A-1", first.id(), first.text("channel_order_no"), &reference] {
        let found = ask(&app, folder, &["order", "find", number]).await;
        assert!(found.lines().nth(1).is_some_and(|line| line.starts_with(first.id())), "{found}");
    }

    let csv = ask(&app, folder, &["order", "export", "--amount", "2", "--currency", "CNY"]).await;
    assert!(csv.starts_with("id,order_id,") && csv.lines().count() == 2, "{csv}");
    let lines = ask(&app, folder, &["order", "export", "--json"]).await;
    assert_eq!(lines.lines().count(), 2, "{lines}");

    let story = ask(&app, folder, &["order", "story", first.id()]).await;
    // The table breaks its texts where they do not fit.
    let told = story.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in
        ["asked for this payment", "was sent to harbour-bank", "The order ended: succeeded"]
    {
        assert!(told.contains(words), "{story}");
    }
    let story = ask(&app, folder, &["order", "story", first.id(), "--language", "zh"]).await;
    assert!(story.contains("订单结束：成功"), "{story}");
    let story = ask(&app, folder, &["order", "story", first.id(), "--json"]).await;
    assert!(story.lines().all(|line| line.contains("\"kind\"")), "{story}");
    for more in [&[][..], &["--caller", "core"]] {
        let words = [&["order", "story", "A-1", "--json"], more].concat();
        let told = ask(&app, folder, &words).await;
        assert_eq!(told.lines().next(), story.lines().next(), "the caller's id leads there too");
    }

    shows_what_was_sent(&app, &core, folder).await;

    // A whole card number comes by standard input, and nobody else sees it.
    let mut command = program(folder);
    let url = format!("http://{}", app.address());
    command.args(["order", "list", "--card-from-stdin", "--url", &url, "--key", CALLER_KEY]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("it starts");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(b"6216261000000000018\n").expect("it reads");
        drop(input);
        child.wait_with_output().expect("it ends")
    });
    let found = text(&output.await.expect("no panic"));
    assert!(found.contains(first.id()) && found.contains(second.id()), "{found}");
    assert!(!found.contains("6216261000000000018"), "I-11: {found}");
    app.stop().await;
}
