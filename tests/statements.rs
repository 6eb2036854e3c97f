//! A channel's statement from its own books to our inbox, and a developer's two commands.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use support::Scratch;
use support::core::{Core, Payment};
use support::daemon::{Daemon, run};
use support::installation::{CALLER_KEY, Installation, metrics};
use support::simulated::UNIONPAY;
use switchyard::app::App;
use switchyard::clock::Clock;
use switchyard::codec::sign::sha256_hex;
use switchyard::domain::time::{BusinessDate, ClearingCalendar, Timestamp};

const DAY_MS: i64 = 24 * 3_600_000;

/// The day that the channel's clock is in.
fn channel_day(late_ms: i64) -> BusinessDate {
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").expect("a zone");
    let calendar = ClearingCalendar { zone, cut_off: jiff::civil::time(23, 0, 0, 0) };
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
    let before = channel_day(5 * DAY_MS);
    let paid = core.pay(&Payment::escrow("S-1", 12_345)).await;
    assert_eq!((paid.outcome(), paid.text("channel")), ((200, "succeeded"), UNIONPAY));
    let number = paid.text("channel_order_no").to_owned();
    let date = channel_day(5 * DAY_MS);
    assert_eq!(before, date, "the cut fell into this test; run it again");

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

    let today = channel_day(0);
    let open = format!("/v1/channels/{UNIONPAY}/statements/fetch?date={today}");
    assert_eq!(core.post(&open, &serde_json::json!({})).await.text("reason"), "date_open");
    let of_bank = format!("/v1/channels/harbour-bank/statements/fetch?date={date}");
    let refused = core.post(&of_bank, &serde_json::json!({})).await;
    assert_eq!(refused.text("reason"), "no_statements");
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
