//! Shipped files of public APIs, against the other side that an official library plays.
//!
//! A daemon runs on the file as it is shipped, led to a peer in Python. The peer asks the API's own
//! library what it would have sent, and lets it sign what comes back. Where python has no such
//! package (`.ci/run` fetches them) the last test program says that this was left out; the golden
//! samples beside the files, which these libraries signed once, are played everywhere.

mod adyen;
mod alipay;
mod contract;
mod spans;
mod stripe;
#[path = "../support/mod.rs"]
mod support;
mod wechat_pay;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::core::{Answer, Core};
use support::installation::{CALLER_KEY, Installation, metrics};
use support::wire::{http_client, until};
use support::witnesses;
use switchyard::app::App;
use switchyard::config::editor::overlay;

/// A peer that ends with the test.
struct Peer {
    child: Child,
    port: u16,
}

impl Peer {
    /// `None` where no python has the package, which a test is left out for.
    fn start(script: &str, package: &str, arguments: &[&str]) -> Option<Self> {
        let python = witnesses::python_with(package);
        if witnesses::is_left_out(python.is_none(), package) {
            return None;
        }
        let python = python?;
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

    async fn ledger(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
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

impl Installation {
    /// The folder of channels' keys, made.
    fn keys(&self) -> String {
        let folder = self.folder().join("channels/keys");
        std::fs::create_dir_all(&folder).expect("a folder");
        folder.display().to_string()
    }
}

/// Lays a shipped file out, led to its peer and in a hurry, and sends everything over it.
fn lay_out(town: &Installation, channel: &str, shipped: &str, keys: &[(&str, &str)], over: &str) {
    let folder = town.keys();
    for (name, key) in keys {
        std::fs::write(format!("{folder}/{name}"), key).expect("a file");
    }
    let text = overlay(shipped, over).expect("TOML");
    std::fs::write(town.channel_file(channel), text).expect("a file");
    town.write_routes(&format!(
        "[[rule]]\nname = \"all\"\nstrategy = \"priority\"\nchannels = [\"{channel}\"]\n"
    ));
}

/// A daemon on what was laid out, to which notices are led.
async fn start(town: &Installation) -> (App, Core) {
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    town.door.lead_to(Some(app.address()));
    let core = Core::new(app.address(), CALLER_KEY);
    (app, core)
}

/// The order when it has ended.
async fn ended(core: &Core, id: &str) -> Answer {
    until("the order ends", async || {
        let found = core.payment(id).await;
        matches!(found.text("status"), "succeeded" | "failed" | "reversed").then_some(found)
    })
    .await
}

/// A payment by the code that the payer shows.
fn code_order(order_id: &str, amount: i64, code: &str) -> Value {
    json!({
        "order_id": order_id, "merchant_id": "shop-1", "amount": amount, "currency": "CNY",
        "payer": { "code": code },
    })
}

/// A payment by this card.
fn order(order_id: &str, amount: i64, currency: &str, pan: &str) -> Value {
    json!({
        "order_id": order_id, "merchant_id": "shop-1", "amount": amount, "currency": currency,
        "card": { "pan": pan, "expiry": "4912", "cvv": "737", "holder": "J. Smith" },
    })
}
