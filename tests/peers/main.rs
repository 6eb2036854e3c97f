//! Shipped files of public APIs, against the other side that an official library plays.
//!
//! A daemon runs on the file as it is shipped, led to a peer in Python. The peer asks the API's own
//! library what it would have sent, and lets it sign what comes back. Where python has no such
//! package (`.ci/run` fetches them) the last test program says that this was left out; the golden
//! samples beside the files, which these libraries signed once, are played everywhere.

#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::core::{Answer, Core};
use support::installation::{CALLER_KEY, Installation, metrics};
use support::wire::{http_client, until};
use support::witnesses;
use switchyard::app::App;
use switchyard::config::editor::overlay;

/// The address of Adyen's test side, as the shipped file has it.
const ADYEN: &str = "https://checkout-test.adyen.com/v71";
const API_KEY: &str = "a key for tests";
/// Published in the tests of Adyen's libraries; it protects nothing.
const HMAC_KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";

/// Amounts that the peer knows.
const REFUSED: i64 = 4_004;
const LOST_AND_TOLD: i64 = 5_005;
const LOST_AND_SILENT: i64 = 6_006;

/// A peer that ends with the test.
struct Peer {
    child: Child,
    port: u16,
}

impl Peer {
    fn start(script: &str, arguments: &[&str]) -> Option<Self> {
        let python = witnesses::python_with("Adyen")?;
        let path = format!("{}/tests/peers/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(python)
            .arg(path)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python ran a moment ago");
        let said = child.stdout.take().expect("it is piped");
        let line = BufReader::new(said).lines().next();
        let line = line.expect("the peer says its port").expect("text");
        Some(Self { port: line.trim().parse().expect("a port"), child })
    }

    async fn ledger(&self) -> Value {
        let url = format!("http://127.0.0.1:{}/ledger", self.port);
        let answer = http_client().get(url).send().await.expect("the peer answers");
        let bytes = answer.bytes().await.expect("a body");
        serde_json::from_slice(&bytes).expect("the peer speaks JSON")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything goes over the shipped file, which is led to the peer and in a hurry.
fn lay_out(town: &Installation, peer: &Peer) {
    let keys = town.folder().join("channels/keys");
    std::fs::create_dir_all(&keys).expect("a folder");
    for (name, key) in [("adyen-api-key", API_KEY), ("adyen-hmac-key", HMAC_KEY)] {
        std::fs::write(keys.join(name), key).expect("a file");
    }
    let over = format!(
        r#"
state = "live"
http.base_url = "http://127.0.0.1:{port}"
http.secrets = {{ api_key = "file:keys/adyen-api-key" }}
http.notice_verify.key = "file:keys/adyen-hmac-key"
unknown.reverse = ["1s", "5s", "5s"]
"#,
        port = peer.port
    );
    let shipped = include_str!("../../channels/adyen.toml");
    let text = overlay(shipped, &over).expect("TOML");
    std::fs::write(town.channel_file("adyen"), text).expect("a file");
    let routes = "[[rule]]\nname = \"all\"\nstrategy = \"priority\"\nchannels = [\"adyen\"]\n";
    town.write_routes(routes);
}

fn order(order_id: &str, amount: i64) -> Value {
    json!({
        "order_id": order_id, "merchant_id": "shop-1", "amount": amount, "currency": "CNY",
        "card": { "pan": "4111111111111111", "expiry": "4912", "cvv": "737", "holder": "J. Smith" },
    })
}

/// The order when it has ended.
async fn ended(core: &Core, id: &str) -> Answer {
    until("the order ends", async || {
        let found = core.payment(id).await;
        matches!(found.text("status"), "succeeded" | "failed" | "reversed").then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn adyen_every_operation_ends_as_its_library_says() {
    let town = Installation::new(|channel| channel).await;
    let notice_url = town.door.notice_url("adyen");
    let started = Peer::start("adyen_peer.py", &[ADYEN, API_KEY, HMAC_KEY, &notice_url]);
    if witnesses::is_left_out(started.is_none(), "Adyen's library") {
        return;
    }
    let peer = started.expect("it was found");
    lay_out(&town, &peer);
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    town.door.lead_to(Some(app.address()));
    let core = Core::new(app.address(), CALLER_KEY);

    // A payment ends by its reply; a refusal has the reason of its code.
    let paid = core.post("/v1/payments", &order("P-1", 1_230)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    assert_eq!(paid.text("channel_reference"), "NC6HT9CRT65ZGN82");
    let refused = core.post("/v1/payments", &order("P-2", REFUSED)).await;
    assert_eq!(refused.outcome(), (200, "failed"), "{}", refused.body);
    assert_eq!(refused.text("reason"), "insufficient_funds");

    // What follows up is only received, and a signed notice ends it.
    let refund = core.refund(paid.id(), "R-1", 230).await;
    let refund = ended(&core, refund.id()).await;
    assert_eq!(refund.outcome(), (200, "succeeded"), "{}", refund.body);
    assert_eq!(refund.body["attempts"][0]["ended_by"], "notice");
    let held = core.post("/v1/preauths", &order("H-1", 5_000)).await;
    assert_eq!(held.outcome(), (200, "succeeded"), "{}", held.body);
    let path = format!("/v1/preauths/{}/capture", held.id());
    let capture = core.post(&path, &json!({ "order_id": "C-1", "amount": 4_000 })).await;
    assert_eq!(ended(&core, capture.id()).await.text("status"), "succeeded");
    let held = core.post("/v1/preauths", &order("H-2", 5_000)).await;
    let path = format!("/v1/preauths/{}/void", held.id());
    let void = core.post(&path, &json!({ "order_id": "V-1" })).await;
    assert_eq!(ended(&core, void.id()).await.text("status"), "succeeded");

    // A lost reply is unknown, until the notice of the authorisation, or of our cancellation.
    let told = core.post("/v1/payments", &order("P-3", LOST_AND_TOLD)).await;
    let told = ended(&core, told.id()).await;
    assert_eq!(told.text("status"), "succeeded", "{}", told.body);
    assert_eq!(told.body["attempts"][0]["ended_by"], "notice");
    let silent = core.post("/v1/payments", &order("P-4", LOST_AND_SILENT)).await;
    let silent = ended(&core, silent.id()).await;
    assert_eq!(silent.text("reason"), "reversed_after_unknown", "{}", silent.body);

    let ledger = peer.ledger().await;
    assert_eq!(ledger["wrong"], json!([]), "{ledger}");
    let requests = ledger["requests"].as_array().expect("a list");
    let paths: Vec<&str> = requests.iter().filter_map(|one| one["path"].as_str()).collect();
    let follow_up = |what: &str| format!("/payments/NC6HT9CRT65ZGN82/{what}");
    let expected = [follow_up("refunds"), follow_up("captures"), follow_up("cancels")];
    assert!(expected.iter().all(|path| paths.contains(&path.as_str())), "{paths:?}");
    app.stop().await;
}
