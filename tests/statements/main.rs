//! A channel's statement from its own books to our inbox, and a developer's two commands.
//!
//! Random histories print their seed when something does not hold, and `SWITCHYARD_STATEMENTS_SEED`
//! takes it.

mod nodes;
mod office;
mod proofs;
mod random;
mod refusals;
mod reply_days;
mod stories;
mod truths;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "one channel of them is used")]
#[path = "../simulation/terms.rs"]
mod terms;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use support::Scratch;
use support::core::{Core, Payment};
use support::daemon::{Daemon, run};
use support::installation::{CALLER_KEY, Installation, metrics};
use support::simulated::{UNIONPAY, cut_off_at, far_cut_off};
use support::wire::http_client;
use switchyard::app::App;
use switchyard::clock::Clock;
use switchyard::codec::sign::sha256_hex;
use switchyard::config::checked::Settings;
use switchyard::config::editor::overlay;
use switchyard::config::raw::Document;
use switchyard::domain::time::{BusinessDate, ClearingCalendar, Timestamp};
use switchyard::simulator::{Counterpart, KeyTexts, Simulator};
use tokio::net::TcpListener;

const DAY_MS: i64 = 24 * 3_600_000;

/// The clearing day, so cut, of a clock that is so late.
fn channel_day(cut_off: jiff::civil::Time, late_ms: i64) -> BusinessDate {
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").expect("a zone");
    let calendar = ClearingCalendar { zone, cut_off };
    calendar.date_of(Timestamp::from_millis(Clock::System.now().as_millis() - late_ms))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_lands_once_and_what_is_missing_can_be_seen() {
    // The channel lives five days ago, beyond what the daemon asks for by itself.
    let late = Arc::new(AtomicI64::new(5 * DAY_MS));
    let behind = Arc::clone(&late);
    let town = Installation::new(move |mut settings| {
        let behind = Arc::clone(&behind);
        settings.clock = Arc::new(move || {
            let now = Clock::System.now().as_millis();
            Timestamp::from_millis(now - behind.load(Ordering::SeqCst))
        });
        settings
    })
    .await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    town.door.lead_to(Some(app.address()));
    let core = Core::new(app.address(), CALLER_KEY);
    let paid = core.pay(&Payment::escrow("S-1", 12_345)).await;
    assert_eq!((paid.outcome(), paid.text("channel")), ((200, "succeeded"), UNIONPAY));
    let number = paid.text("channel_order_no").to_owned();
    let cut_off = town.channels.cut_off;
    let date = channel_day(cut_off, 5 * DAY_MS);

    // The channel's day is not over: it has no file, and that is seen.
    let fetch = format!("/v1/channels/{UNIONPAY}/statements/fetch?date={date}");
    let show = format!("/v1/channels/{UNIONPAY}/statements?date={date}");
    let none = core.post(&fetch, &serde_json::json!({})).await;
    assert_eq!((none.status, none.text("code")), (409, "no_statement"), "{}", none.body);
    assert_eq!(none.text("reason"), "not_yet");
    let missing = core.get(&show).await;
    assert_eq!(missing.body["files"], serde_json::json!([]));
    assert_eq!(missing.body["missing"]["failures"], 1);

    late.store(3 * DAY_MS, Ordering::SeqCst);
    let landed = core.post(&fetch, &serde_json::json!({})).await;
    assert_eq!(landed.status, 200, "{}", landed.body);
    let again = core.post(&fetch, &serde_json::json!({})).await;
    let files = landed.body["files"].as_array().expect("files").clone();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| file["is_new"] == true));
    let known = again.body["files"].as_array().expect("files");
    assert!(known.iter().all(|file| file["is_new"] == false), "{}", again.body);

    let folder = town.data().join("inbox").join(UNIONPAY).join(date.to_string());
    for file in &files {
        let bytes = std::fs::read(folder.join(file["name"].as_str().expect("a name")));
        assert_eq!(sha256_hex(&bytes.expect("it is there")), file["sha256"].as_str().expect("one"));
    }
    let detail = files.iter().find_map(|file| {
        file["name"].as_str().filter(|name| name.contains("88ZM_")).map(str::to_owned)
    });
    let detail = std::fs::read(folder.join(detail.expect("a detail file"))).expect("it is there");
    assert!(String::from_utf8_lossy(&detail).contains(&number), "it has our order number");
    let shown = core.get(&show).await;
    assert_eq!(shown.body["files"].as_array().map(Vec::len), Some(3));
    assert_eq!(shown.body.get("missing"), None);

    let today = channel_day(cut_off, 0);
    let open = format!("/v1/channels/{UNIONPAY}/statements/fetch?date={today}");
    assert_eq!(core.post(&open, &serde_json::json!({})).await.text("reason"), "date_open");
    // The bank had nothing to do on that date, and says so: there is no file, and none is missing.
    let of_bank = format!("/v1/channels/harbour-bank/statements/fetch?date={date}");
    let nothing = core.post(&of_bank, &serde_json::json!({})).await;
    assert_eq!((nothing.status, &nothing.body["files"]), (200, &serde_json::json!([])));
    let shown = core.get(&format!("/v1/channels/harbour-bank/statements?date={date}")).await;
    assert_eq!(shown.body.get("missing"), None);
    app.stop().await;
}

/// Settings of a daemon whose only channel lies in `channels/`.
fn plain_settings(folder: &Path) -> Settings {
    let hash = sha256_hex(CALLER_KEY.as_bytes());
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[[callers]]\nname = \"core\"\n\
         roles = [\"core\", \"operator\"]\nkey_sha256 = \"{hash}\"\n"
    );
    let read = switchyard::config::settings(Some(("s.toml", &text)), Vec::new(), folder);
    read.expect("settings without mistakes")
}

/// The text of a channel file that ships with the program.
fn shipped(id: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("channels/{id}.toml"));
    std::fs::read_to_string(path).expect("a shipped file")
}

/// Starts a shipped file's other side, `late` behind our clock, and writes a copy of the file that
/// leads there.
async fn settle(id: &str, late: &Arc<AtomicI64>, folder: &Path) -> Simulator {
    let text = overlay(&shipped(id), &cut_off_at(far_cut_off())).expect("TOML");
    let behind = Arc::clone(late);
    let clock = move || {
        let now = Clock::System.now().as_millis();
        Timestamp::from_millis(now - behind.load(Ordering::SeqCst))
    };
    play(id, &text, Arc::new(clock), folder).await
}

/// Starts the other side that a channel's file describes, and writes a copy of the file that leads
/// there.
async fn play(
    id: &str,
    text: &str,
    clock: switchyard::simulator::ChannelClock,
    folder: &Path,
) -> Simulator {
    let document = Document::parse("shipped.toml", text).expect("TOML");
    let other = Counterpart::read(&document, id, &mut KeyTexts::new());
    let Ok(other) = other else { panic!("{id} has no other side") };
    let settings = other.settings(id, clock).with_declines_percent(0);
    let simulator = Simulator::start(settings).await.expect("a simulator");
    let channels = folder.join("channels");
    for credential in &other.credentials {
        let place = credential.reference.replace("env:", "env/").replace("file:", "");
        let place = channels.join(place);
        std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        std::fs::write(place, credential.text.as_bytes()).expect("a file");
    }
    let copy = other.redirect_to_simulator(text, &simulator.base_url(), "http://127.0.0.1:9");
    let copy = copy.expect("TOML");
    std::fs::write(channels.join(format!("{id}.toml")), copy).expect("a file");
    simulator
}

/// The three places where a file may be: the reply's body, inside the reply, at an address.
#[tokio::test(flavor = "multi_thread")]
async fn every_bank_that_is_a_file_gives_its_statement() {
    for id in ["harbour-bank", "meadow-bank", "canyon-pay", "quarry-bank"] {
        let scratch = Scratch::new();
        let late = Arc::new(AtomicI64::new(6 * DAY_MS));
        let simulator = settle(id, &late, scratch.path()).await;
        let data = scratch.path().join("data");
        let app = App::start(plain_settings(scratch.path()), &data, metrics()).await;
        let app = app.expect("a daemon");
        let core = Core::new(app.address(), CALLER_KEY);
        let mut paid = core.pay(&Payment::instant("S-1", 12_345)).await;
        for _ in 0..300 {
            if matches!(paid.text("status"), "succeeded" | "failed") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            paid = core.payment(paid.id()).await;
        }
        assert_eq!(paid.outcome(), (200, "succeeded"), "{id}");
        let number = paid.text("channel_order_no").to_owned();
        let date = simulator.ledger().get(&number).expect("its entry").settle_date.clone();
        let fetch = format!("/v1/channels/{id}/statements/fetch?date={date}");
        let none = core.post(&fetch, &serde_json::json!({})).await;
        assert_eq!((none.status, none.text("reason")), (409, "not_yet"), "{id}: {}", none.body);
        late.store(4 * DAY_MS, Ordering::SeqCst);
        let landed = core.post(&fetch, &serde_json::json!({})).await;
        assert_eq!(landed.status, 200, "{id}: {}", landed.body);
        let again = core.post(&fetch, &serde_json::json!({})).await;
        assert_eq!(again.body["files"][0]["is_new"], false, "{id}: {}", again.body);
        let name = landed.body["files"][0]["name"].as_str().expect("a name").to_owned();
        let folder = data.join("inbox").join(id).join(&date);
        let bytes = std::fs::read(folder.join(name)).expect("it is there");
        assert!(String::from_utf8_lossy(&bytes).contains(&number), "{id}");
        // What an operator downloads is the same file.
        let url = format!("{}/statements/{date}", simulator.base_url());
        let given = http_client().get(url).send().await.expect("a reply");
        let given = given.bytes().await.expect("a file");
        assert_eq!(bytes, given, "{id}");
        app.stop().await;
    }
}

/// What the hostile bank says next, and how often each place was asked.
#[derive(Default)]
struct Script {
    bill: Mutex<String>,
    file: Mutex<(u16, Vec<u8>)>,
    asked: AtomicI64,
}

async fn hostile_bank() -> (Arc<Script>, std::net::SocketAddr) {
    let script = Arc::new(Script::default());
    let bill = |State(script): State<Arc<Script>>| async move {
        script.bill.lock().expect("no panic").clone()
    };
    let file = |State(script): State<Arc<Script>>| async move {
        script.asked.fetch_add(1, Ordering::SeqCst);
        let (status, bytes) = script.file.lock().expect("no panic").clone();
        let status = StatusCode::from_u16(status).expect("a status");
        (status, [("location", "http://127.0.0.1:9/elsewhere")], bytes)
    };
    let routes = Router::new().route("/bill", get(bill)).route("/file", get(file));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let served = routes.with_state(Arc::clone(&script));
    tokio::spawn(async move { axum::serve(listener, served).await });
    (script, address)
}

const HOSTILE: &str = r#"
protocol = "http"
state = "testing"
limits = { per_order_max_minor = 1000 }
clearing = { time_zone = "Asia/Shanghai", cut_off = "00:00" }
abilities = { operations = ["payment"], currencies = ["CNY"] }
statement = { layout = "generic-csv" }
[unknown]
inquire = []
then = "operator"
reverse = []
not_found_final_after = "10m"
[codes]
0 = "approved"
[http]
base_url = "http://ADDRESS"
[http.payment]
path = "/pay"
body = { no = "{{ order_no }}" }
reply = { code = "/code" }
[http.statement]
method = "GET"
path = "/bill"
query = { date = "{{ date }}" }
reply = { url = "/url", hash = "/hash" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_bank_leads_nowhere_and_leaves_no_file() {
    let (script, address) = hostile_bank().await;
    let (other, elsewhere) = hostile_bank().await;
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path().join("channels")).expect("a folder");
    let text = HOSTILE.replace("ADDRESS", &address.to_string());
    std::fs::write(scratch.path().join("channels/hostile.toml"), text).expect("a file");
    let data = scratch.path().join("data");
    let app = App::start(plain_settings(scratch.path()), &data, metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let date = channel_day(jiff::civil::Time::midnight(), 3 * DAY_MS);
    let fetch = format!("/v1/channels/hostile/statements/fetch?date={date}");
    let file = b"order_no\n1\n".to_vec();
    let hash = sha256_hex(&file);
    let bill = |to: &str, hash: &str| format!(r#"{{"url":"http://{to}","hash":"{hash}"}}"#);
    let here = format!("{address}/file");
    let too_large = vec![b'x'; 64 * 1024 * 1024 + 1];
    let rows = [
        ("garbage".to_owned(), 200, file.clone(), "unbelieved", "not of the channel's format"),
        (bill(&here, &hash.replace('1', "2")), 200, file.clone(), "unbelieved", "not the hash"),
        (bill(&format!("{elsewhere}/file"), &hash), 200, file.clone(), "unbelieved", "not allow"),
        (bill(&here, &hash), 302, file.clone(), "unbelieved", "HTTP status 302"),
        (bill(&here, &hash), 200, Vec::new(), "unbelieved", "brings no file"),
        (bill(&here, &hash), 200, vec![0x1F, 0x8B, 8], "unbelieved", "whole gzip file"),
        (bill(&here, &hash), 200, too_large, "transport", "longer than"),
    ];
    for (bill, status, bytes, reason, detail) in rows {
        *script.bill.lock().expect("no panic") = bill;
        *script.file.lock().expect("no panic") = (status, bytes);
        let refused = core.post(&fetch, &serde_json::json!({})).await;
        assert_eq!((refused.status, refused.text("reason")), (409, reason), "{}", refused.body);
        assert!(refused.text("detail").contains(detail), "{}", refused.body);
    }
    assert_eq!(other.asked.load(Ordering::SeqCst), 0, "another host was gone to");
    let shown = core.get(&format!("/v1/channels/hostile/statements?date={date}")).await;
    assert_eq!(shown.body["files"], serde_json::json!([]));
    assert_eq!(shown.body["missing"]["failures"], 7);
    *script.bill.lock().expect("no panic") = bill(&here, &hash);
    *script.file.lock().expect("no panic") = (200, file);
    let landed = core.post(&fetch, &serde_json::json!({})).await;
    assert_eq!((landed.status, &landed.body["files"][0]["is_new"]), (200, &true.into()));
    app.stop().await;
}

fn copy_channels(to: &Path, name: &str) {
    std::fs::create_dir_all(to).expect("a folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("channels").join(name);
    std::fs::copy(shipped, to.join(name)).expect("a copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commands_are_enough_for_each_bank_that_is_a_file() {
    for id in ["harbour-bank", "meadow-bank", "canyon-pay", "quarry-bank"] {
        let folder = Scratch::new();
        let name = format!("{id}.toml");
        copy_channels(&folder.path().join("channels"), &name);
        let file = format!("channels/{name}");
        let simulate = ["simulate", &file, "--keys", "sandbox", "--declines-percent", "0"];
        let simulator = Daemon::start(folder.path(), &simulate).await;
        let settings = "[channels]\nfolder = \"sandbox\"\n";
        std::fs::write(folder.path().join("switchyard.toml"), settings).expect("settings");
        let serve =
            ["serve", "--config", "switchyard.toml", "--data", "data", "--listen", "127.0.0.1:0"];
        let daemon = Daemon::start(folder.path(), &serve).await;
        let key = daemon.printed.iter().find(|line| line.starts_with("sy_")).expect("a key");
        let core = Core::new(daemon.address, key);
        let mut paid = core.pay(&Payment::instant("B-1", 12_345)).await;
        // Canyon Pay decides some later, and its notices do not get here: an inquiry ends it.
        for _ in 0..300 {
            if matches!(paid.text("status"), "succeeded" | "failed") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            paid = core.payment(paid.id()).await;
        }
        assert_eq!((paid.outcome(), paid.text("channel")), ((200, "succeeded"), id));
        daemon.kill().await;
        simulator.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commands_bring_the_shipped_file_and_its_other_side_together() {
    let folder = Scratch::new();
    copy_channels(&folder.path().join("channels"), "unionpay.toml");
    let simulate = [
        "simulate",
        "channels/unionpay.toml",
        "--keys",
        "sandbox",
        "--declines-percent",
        "0",
        "--notices",
        "http://127.0.0.1:9",
    ];
    let mut simulator = Daemon::start(folder.path(), &simulate).await;
    assert!(simulator.printed.iter().any(|line| line.contains("switchyard serve")));
    let checked = run(folder.path(), &["channel", "check", "sandbox/unionpay.toml"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    std::fs::write(folder.path().join("switchyard.toml"), "[channels]\nfolder = \"sandbox\"\n")
        .expect("settings");
    let serve =
        ["serve", "--config", "switchyard.toml", "--data", "data", "--listen", "127.0.0.1:0"];
    let mut daemon = Daemon::start(folder.path(), &serve).await;
    let key = daemon.printed.iter().find(|line| line.starts_with("sy_")).expect("a key").clone();
    let core = Core::new(daemon.address, &key);
    // No notice gets through, so that the end comes by inquiry.
    let paid = core.pay(&Payment::instant("T-1", 12_345)).await;
    assert_eq!((paid.outcome(), paid.text("channel")), ((200, "succeeded"), UNIONPAY));
    assert_eq!(paid.body["attempts"][0]["ended_by"], "inquiry");

    // Started anew it has the same keys; a folder with other keys is left alone.
    let root = std::fs::read(folder.path().join("sandbox/keys/root.pem")).expect("a root");
    simulator.signal("INT");
    assert_eq!(simulator.ended().await.code(), Some(0));
    let again = Daemon::start(folder.path(), &simulate).await;
    assert_eq!(std::fs::read(folder.path().join("sandbox/keys/root.pem")).expect("one"), root);
    again.kill().await;
    std::fs::create_dir_all(folder.path().join("real/keys")).expect("a folder");
    std::fs::write(folder.path().join("real/keys/sign.key"), "a real key").expect("a file");
    let refused = run(folder.path(), &["simulate", "channels/unionpay.toml", "--keys", "real"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("could be a real key"));
    let kept = std::fs::read_to_string(folder.path().join("real/keys/sign.key"));
    assert_eq!(kept.expect("it is there"), "a real key");
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(0));
}

/// What an operator tries first, before any credential is there.
#[test]
fn the_shipped_files_are_checked_and_listed_without_any_credential() {
    let ids = [
        "adyen",
        "alipay",
        "canyon-pay",
        "harbour-bank",
        "lakeside-acquirer",
        "meadow-bank",
        "quarry-bank",
        "stripe",
        "unionpay",
        "wechat-pay",
    ];
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ids.map(|id| format!("channels/{id}.toml"));
    let arguments = ["channel", "check"].into_iter().chain(files.iter().map(String::as_str));
    let checked = run(shipped, &Vec::from_iter(arguments));
    let (out, err) =
        (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success(), "{out}{err}");
    for file in &files {
        let told = format!("{file}: no mistakes; the channel is contracted; samples: ");
        assert!(out.contains(&told), "{out}");
        assert!(out.contains(&format!("missing: {file}:")), "{out}");
    }
    // One that is wrong is told from the others by the exit code.
    let wrong = run(shipped, &["channel", "check", &files[0], "channels/none.toml", &files[1]]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stdout).contains(&files[1]), "it goes on");

    let folder = Scratch::new();
    for id in ids {
        copy_channels(&folder.path().join("channels"), &format!("{id}.toml"));
    }
    let listed = run(folder.path(), &["channel", "list"]);
    let out = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success(), "{out}{}", String::from_utf8_lossy(&listed.stderr));
    for id in ids {
        assert!(out.lines().any(|line| line.starts_with(&format!("{id} "))), "{out}");
    }
    assert!(!folder.path().join("data").exists(), "a look keeps no terms for orders");
}

/// Runs so many random cases, of a seed of the environment or of any.
fn runner(cases: u32) -> TestRunner {
    let taken = std::env::var("SWITCHYARD_STATEMENTS_SEED").ok();
    let seed = taken.map(|text| text.parse().expect("a number"));
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("SWITCHYARD_STATEMENTS_SEED={seed}");
    TestRunner::new(Config { cases, rng_seed: RngSeed::Fixed(seed), ..Config::default() })
}
