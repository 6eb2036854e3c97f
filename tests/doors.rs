//! The daemon's doors as a caller, an operator and an attacker meet them.

mod support;

use support::core::{Core, Payment};
use support::daemon::Daemon;
use support::installation::{CALLER_KEY, Installation};
use support::wire::http_client;

const INSTALLED: [&str; 5] = ["serve", "--config", "switchyard.toml", "--data", "data"];

#[tokio::test(flavor = "multi_thread")]
async fn i_11_refused_callers_are_logged_and_counted_without_key_or_path() {
    let town = Installation::new(|channel| channel).await;
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let stranger = Core::new(daemon.address, "sy_stolen-and-mistyped");
    for order in 0..30 {
        let refused = stranger.pay(&Payment::instant(&format!("A-{order}"), 500)).await;
        assert_eq!(refused.outcome(), (401, ""), "{}", refused.body);
    }
    let no_key = format!("http://{}/v1/bins/62162610", daemon.address);
    let no_key = http_client().get(no_key).send().await.expect("an answer");
    assert_eq!(no_key.status(), 401);
    let known = Core::new(daemon.address, CALLER_KEY);
    assert_eq!(known.get("/v1/channels").await.status, 200);
    daemon.logged("a caller was refused", 11).await;
    let log = daemon.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("was refused")).collect();
    assert_eq!(told.len(), 11, "ten of a flood, and another cause: {told:?}");
    for part in ["cause=\"unknown_key\"", "address=127.0.0.1", "route=\"/v1/payments\""] {
        assert!(told[0].contains(part), "{part}: {}", told[0]);
    }
    for part in ["cause=\"no_key\"", "route=\"/v1/bins/{prefix}\""] {
        assert!(told[10].contains(part), "{part}: {}", told[10]);
    }
    for secret in ["sy_stolen", "mistyped", "62162610", CALLER_KEY] {
        assert!(!log.contains(secret), "{secret}");
    }
    let metrics = http_client().get(format!("http://{}/metrics", daemon.address)).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("a text");
    for (cause, count) in [("unknown_key", 30), ("no_key", 1), ("rate", 0), ("role", 0)] {
        let line = format!("switchyard_callers_refused_total{{cause=\"{cause}\"}} {count}");
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
}
