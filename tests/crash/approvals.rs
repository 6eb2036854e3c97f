//! A request for a second person under `kill -9` (I-14): asked, approved and carried out around
//! kills of the real process, it is neither lost nor carried out twice. A refund acts on rows and
//! ends its request in its own commit; a switch acts on a file, and is told of in a commit behind.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use switchyard::codec::sign::sha256_hex;
use switchyard::simulator::EntryKind;
use tokio::sync::watch;

use crate::support::core::{Answer, Core, Payment};
use crate::support::daemon::Daemon;
use crate::support::installation::{CALLER_KEY, Installation};
use crate::support::simulated::{BANK, UNIONPAY};
use crate::support::wire::until;
use crate::{CALL_WITHIN, SERVE};

const SECOND_KEY: &str = "sy_test-only-second-person";
/// Payments that are refunded, each with a kill around its request and one around its approval.
const ROUNDS: u32 = 4;
/// A part of the payment, in minor units.
const PART: i64 = 400;

/// A call that a person makes until it is answered, whichever process answers it.
#[derive(Clone)]
struct Call {
    method: Method,
    path: String,
    body: Value,
}

impl Call {
    fn approve(request: &str) -> Self {
        let path = format!("/v1/approvals/{request}/approve");
        Self { method: Method::POST, path, body: json!({ "reason": "seen" }) }
    }

    fn refund(payment: &str, order_id: &str) -> Self {
        let path = format!("/v1/payments/{payment}/refunds");
        let body = json!({ "order_id": order_id, "amount": PART, "description": "returned" });
        Self { method: Method::POST, path, body }
    }

    fn switch(enabled: bool) -> Self {
        let path = format!("/v1/channels/{BANK}");
        let body = json!({ "enabled": enabled, "reason": "the bank's call" });
        Self { method: Method::PATCH, path, body }
    }
}

/// The daemon, which dies, and the people before it.
struct Office {
    town: Installation,
    /// `None` while it is dead.
    daemon: Option<Daemon>,
    address: watch::Sender<Option<SocketAddr>>,
    asker: Core,
    second: Core,
    random: fastrand::Rng,
}

async fn insist(person: Core, mut at: watch::Receiver<Option<SocketAddr>>, call: Call) -> Answer {
    loop {
        // Fails only if the test, which holds the sender, is gone.
        let up = at.wait_for(Option::is_some).await.ok().and_then(|up| *up);
        let person = person.at(up.expect("a daemon that is up has an address"));
        let Call { method, path, body } = &call;
        match person.try_send(method.clone(), path, body, CALL_WITHIN).await {
            Ok(answer) => return answer,
            // The process is gone, or was while it answered.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

impl Office {
    async fn open(seed: u64) -> Self {
        let town = Installation::new(|channel| channel.with_seed(seed)).await;
        let settings = std::fs::read_to_string(town.settings_file()).expect("the settings");
        let hash = sha256_hex(SECOND_KEY.as_bytes());
        let settings = format!(
            "{settings}[[callers]]\nname = \"second\"\nroles = [\"operator\"]\n\
             key_sha256 = \"{hash}\"\n[four_eyes]\nchannel_switch = \"both\"\n\
             [four_eyes.refunds_above]\nCNY = 0\n"
        );
        std::fs::write(town.settings_file(), settings).expect("a file");
        let daemon = Daemon::start(town.folder(), &SERVE).await;
        town.door.lead_to(Some(daemon.address));
        let (asker, second) =
            (Core::new(daemon.address, CALLER_KEY), Core::new(daemon.address, SECOND_KEY));
        let (address, _) = watch::channel(Some(daemon.address));
        let random = fastrand::Rng::with_seed(seed);
        Self { town, daemon: Some(daemon), address, asker, second, random }
    }

    /// Kills the process and starts it again.
    async fn crash(&mut self) {
        self.address.send_replace(None);
        self.town.door.lead_to(None);
        self.daemon.take().expect("it runs").kill().await;
        let daemon = Daemon::start(self.town.folder(), &SERVE).await;
        let address = daemon.address;
        self.daemon = Some(daemon);
        self.town.door.lead_to(Some(address));
        self.address.send_replace(Some(address));
        self.asker = self.asker.at(address);
        self.second = self.second.at(address);
    }

    /// Has a person make calls at the same time, and the process die meanwhile.
    async fn around_a_crash(&mut self, person: Core, calls: [Call; 2]) -> [Answer; 2] {
        let made =
            calls.map(|call| tokio::spawn(insist(person.clone(), self.address.subscribe(), call)));
        tokio::time::sleep(Duration::from_millis(self.random.u64(0..60))).await;
        self.crash().await;
        let [one, two] = made;
        [one.await.expect("no panic"), two.await.expect("no panic")]
    }

    /// Every request that there ever was.
    async fn requests(&self) -> Vec<Value> {
        self.asker.all("/v1/approvals?state=all", "approvals").await
    }

    async fn refunds_of(&self, payment: &str) -> usize {
        let entries = self.town.channels.entries();
        let order = self.asker.payment(payment).await;
        let refunds = order.body["follow_ups"].as_array().cloned().unwrap_or_default();
        let is_of_it = |prefix: &str| refunds.iter().any(|refund| refund["id"] == prefix);
        let sent = entries.iter().filter(|(channel, entry)| {
            *channel == UNIONPAY
                && entry.kind == EntryKind::Refund
                && is_of_it(entry.order_prefix())
        });
        sent.inspect(|(_, entry)| assert_eq!(entry.requests, 1, "sent twice: {entry:?}")).count()
    }
}

fn request_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.body["approval"]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i_14_a_request_is_neither_lost_nor_carried_out_twice_whenever_the_process_dies() {
    let chosen = std::env::var("SWITCHYARD_CRASH_SEED").ok();
    let chosen = chosen.map(|text| text.parse().expect("a number"));
    let seed: u64 = chosen.unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("SWITCHYARD_CRASH_SEED={seed}");
    let mut office = Office::open(seed).await;
    for round in 0..ROUNDS {
        let paid = office.asker.pay(&Payment::escrow(&format!("A-{round}"), 10_000)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
        let (payment, enabled) = (paid.id().to_owned(), round % 2 == 1);
        let asks = [Call::refund(&payment, &format!("R-{round}")), Call::switch(enabled)];
        let asker = office.asker.clone();
        let asked = office.around_a_crash(asker, asks.clone()).await;
        let requests = asked.each_ref().map(request_of);

        // Each waits, once, and nothing of it is done.
        let all = office.requests().await;
        assert_eq!(all.len(), 2 * (round as usize + 1), "one for each: {all:#?}");
        for request in &requests {
            let state = all.iter().find(|row| row["id"] == **request).map(|row| &row["state"]);
            assert_eq!(state, Some(&json!("open")), "{all:#?}");
        }
        assert_eq!(office.refunds_of(&payment).await, 0);
        let channel = office.asker.get(&format!("/v1/channels/{BANK}")).await;
        assert_eq!(channel.body["enabled"], !enabled);

        let approvals = requests.each_ref().map(|request| Call::approve(request));
        let second = office.second.clone();
        for answer in office.around_a_crash(second, approvals.clone()).await {
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.body["state"], "carried_out", "{}", answer.body);
        }
        let ended = async || {
            let path = format!("/v1/payments?order_id=R-{round}");
            let refund = office.asker.get(&path).await;
            matches!(refund.text("status"), "succeeded" | "failed").then_some(refund)
        };
        let refund = until("the refund's end", ended).await;
        // A kill behind its commit and before its first byte leaves a refund that never arrived.
        let sent = usize::from(refund.text("status") == "succeeded");
        assert!(sent == 1 || refund.text("reason") == "never_arrived", "{}", refund.body);
        assert_eq!(office.refunds_of(&payment).await, sent);
        let channel = office.asker.get(&format!("/v1/channels/{BANK}")).await;
        assert_eq!(channel.body["enabled"], enabled);
        // Asked and approved once more, nothing is done once more.
        for call in approvals {
            let again = insist(office.second.clone(), office.address.subscribe(), call).await;
            assert_eq!(again.body["state"], "carried_out", "{}", again.body);
        }
        let [refund, _] = asks;
        let again = insist(office.asker.clone(), office.address.subscribe(), refund).await;
        assert_eq!((again.status, again.text("kind")), (200, "refund"), "{}", again.body);
        assert_eq!(office.refunds_of(&payment).await, sent);
        let given_back = if sent == 1 { PART } else { 0 };
        assert_eq!(office.asker.payment(&payment).await.body["refunded"], given_back);
    }
    let lines = office.asker.all("/v1/audit", "entries").await;
    let turned = lines.iter().filter(|line| {
        let action = line["action"].as_str().unwrap_or_default();
        matches!(action, "channel.enable" | "channel.disable") && line["approver"] == "second"
    });
    assert_eq!(turned.count(), ROUNDS as usize, "I-14: each turn is told of once");
}
