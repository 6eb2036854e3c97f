//! What must never pass: card data at rest or in a log, and more money than a channel's limit.
//!
//! The daemon of `operations` with its four channels (two protocols over HTTP, one of them signed
//! in XML, and ISO 8583 over links), in this process, with every log of every level kept.

#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../operations/accounting.rs"]
mod accounting;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../operations/lives.rs"]
mod lives;
mod sent;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../operations/terminals.rs"]
mod terminals;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../operations/town.rs"]
mod town;

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};
use switchyard::app::App;
use switchyard::domain::card::luhn_digit;
use switchyard::simulator::Faults;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::core::{Answer, Core};
use crate::support::installation::{CALLER_KEY, Installation, metrics};
use crate::support::wire::until;
use crate::town::{CHANNELS, MEADOW, Town, UNIONPAY};

/// What all threads have logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// The log of this process from now on, every level.
fn log() -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let start = || {
        let log = Log::default();
        let everything = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        tracing::subscriber::set_global_default(everything).expect("nothing else takes logs");
        log
    };
    LOG.get_or_init(start).clone()
}

/// A code that no simulated phone gets: its payments fail.
const SMS_CODE: &str = "739162";

/// A card and what is written on it, made up for one order.
struct Secrets {
    pan: String,
    cvv: &'static str,
    expiry: &'static str,
    id_number: &'static str,
}

impl Secrets {
    fn new(place: usize) -> Self {
        let payload = format!("62162617395{place:07}");
        let pan = format!("{payload}{}", luhn_digit(&payload));
        Self { pan, cvv: "8473", expiry: "4907", id_number: "110101194903077718" }
    }

    fn body(&self, order_id: &str, merchant: &str) -> Value {
        json!({
            "order_id": order_id,
            "merchant_id": merchant,
            "amount": 12_345,
            "currency": "CNY",
            "card": {
                "pan": self.pan, "expiry": self.expiry, "cvv": self.cvv, "holder": "ZHANG SANFENG",
                "id_type": "01", "id_number": self.id_number, "phone": "13800138473",
            },
        })
    }

    /// The question whether the card is that person's.
    fn verification(&self, order_id: &str) -> Value {
        let mut body = self.body(order_id, UNIONPAY.id);
        for key in ["amount", "currency"] {
            body.as_object_mut().expect("an object").remove(key);
        }
        for key in ["expiry", "cvv"] {
            body["card"].as_object_mut().expect("an object").remove(key);
        }
        body
    }

    /// What of it stands in these bytes, however it is grouped.
    fn found_in(&self, bytes: &[u8]) -> Vec<&'static str> {
        let digits: Vec<u8> = bytes.iter().copied().filter(u8::is_ascii_digit).collect();
        let holds = |hay: &[u8], needle: &str| {
            hay.windows(needle.len()).any(|window| window == needle.as_bytes())
        };
        let alone = |needle: &str| {
            let digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphanumeric);
            let mut places = bytes.windows(needle.len()).enumerate();
            places.any(|(at, window)| {
                let before = at.checked_sub(1).and_then(|at| bytes.get(at));
                window == needle.as_bytes()
                    && !digit(before)
                    && !digit(bytes.get(at + needle.len()))
            })
        };
        let checks = [
            ("card number", holds(&digits, &self.pan)),
            ("CVV", alone(self.cvv)),
            ("expiry", alone(self.expiry)),
            ("identity number", holds(bytes, self.id_number)),
            ("holder", holds(bytes, "SANFENG")),
            ("phone", holds(&digits, "13800138473")),
            ("code by SMS", alone(SMS_CODE)),
        ];
        checks.into_iter().filter(|check| check.1).map(|check| check.0).collect()
    }
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    // Bounded by the folders that there are.
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => {
                    found.push((path.display().to_string(), std::fs::read(path).expect("a file")));
                }
            }
        }
    }
    found
}

/// A verification, and one whose reply is not believed.
async fn verify(town: &Town, core: &Core) -> Vec<(Secrets, Answer)> {
    let mut verified = Vec::new();
    for (place, unsigned) in [0, 10_000].into_iter().enumerate() {
        town.set_faults(Faults { bad_signature: unsigned, ..Faults::calm() });
        let card = Secrets::new(80 + place);
        let body = card.verification(&format!("verified-{place}"));
        let answer = core.post("/v1/verifications", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        verified.push((card, answer));
    }
    town.set_faults(Faults::calm());
    verified
}

/// A reply that does not approve the payment at once stands in its story, with the request.
fn check_what_was_sent(story: &Answer, is_lost: bool, channel: &str) {
    let events = story.body["events"].as_array().expect("events").iter();
    let replies = events.filter(|event| event["kind"] == "learned" && event["source"] == "reply");
    let sent: Vec<&str> =
        replies.map(|event| event["data"]["sent"].as_str().unwrap_or_default()).collect();
    assert!(sent.iter().all(|words| words.contains("***")), "{sent:?}");
    // UnionPay's notice may be there before the reply has come, or is lost.
    assert!(sent.is_empty() != is_lost || channel == UNIONPAY.id, "{}", story.body);
}

/// A payment with a code by SMS, and one whose answers are not believed.
async fn pay_with_codes(town: &Town, core: &Core) -> Vec<(Secrets, Answer)> {
    let mut paid = Vec::new();
    for (place, unsigned) in [0, 10_000].into_iter().enumerate() {
        town.set_faults(Faults { bad_signature: unsigned, ..Faults::calm() });
        let card = Secrets::new(84 + place);
        let mut body = card.body(&format!("coded-{place}"), UNIONPAY.id);
        let sent = core.post("/v1/payment-codes", &body).await;
        assert!(matches!(sent.text("state"), "sent" | "unknown"), "{}", sent.body);
        body["sms_code"] = SMS_CODE.into();
        let answer = core.post("/v1/payments", &body).await;
        assert!(matches!(answer.status, 200 | 202), "{}", answer.body);
        paid.extend([(Secrets::new(84 + place), sent), (card, answer)]);
    }
    town.set_faults(Faults::calm());
    paid
}

#[tokio::test(flavor = "multi_thread")]
async fn i_11_no_card_data_stays_anywhere_after_payments_of_every_protocol() {
    let log = log();
    let town = Town::build(7, 0).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    town.door.lead_to(Some(app.address()));
    let core = Core::new(app.address(), CALLER_KEY);
    let mut answers: Vec<(String, Vec<u8>)> = Vec::new();
    let mut cards = Vec::new();
    let kept = |answer: &Answer| ("an answer".to_owned(), answer.body.to_string().into_bytes());
    // A calm payment, and one whose reply is lost, on each channel.
    for (place, channel) in CHANNELS.into_iter().enumerate() {
        for (lost, name) in [(0, "calm"), (10_000, "lost")] {
            town.set_faults(Faults { lose_reply: lost, ..Faults::calm() });
            let card = Secrets::new(place * 2 + usize::from(lost > 0));
            let body = card.body(&format!("{name}-{}", channel.id), channel.id);
            let paid = core.post("/v1/payments", &body).await;
            assert!(matches!(paid.status, 200 | 202), "{}", paid.body);
            town.set_faults(Faults::calm());
            let ended = async || {
                let order = core.payment(paid.id()).await;
                let is_final = matches!(order.text("status"), "succeeded" | "failed" | "reversed");
                is_final.then_some(order)
            };
            answers.extend([kept(&paid), kept(&until("an end", ended).await)]);
            answers.push(kept(&core.get(&format!("/v1/reversals/{}", paid.id())).await));
            let story = core.get(&format!("/v1/orders/{}/story", paid.id())).await;
            check_what_was_sent(&story, lost > 0, channel.id);
            answers.push(kept(&story));
            cards.push(card);
        }
    }
    let coded = pay_with_codes(&town, &core).await;
    for (card, answer) in verify(&town, &core).await.into_iter().chain(coded) {
        answers.push(kept(&answer));
        cards.push(card);
    }
    // What is refused is not kept either.
    let card = Secrets::new(90);
    for (field, value) in [
        ("order_id", card.pan.clone()),
        ("merchant_id", format!("m-{}", card.pan)),
        ("description", format!("card {} {}", &card.pan[..10], &card.pan[10..])),
        ("notify_url", format!("https://core.test/{}", card.pan)),
    ] {
        let mut body = card.body("refused", MEADOW.id);
        body[field] = value.into();
        let refused = core.post("/v1/payments", &body).await;
        let (code, told) = (refused.text("code"), refused.text("field"));
        assert_eq!((refused.status, code, told), (422, "card_number_found", field));
        answers.push(kept(&refused));
    }
    cards.push(card);
    for path in ["/v1/audit", "/v1/reversals", "/v1/accounting-requests", "/v1/channels"] {
        answers.push(kept(&core.get(path).await));
    }
    app.stop().await;
    let mut rest = files(&town.data());
    assert!(rest.iter().any(|(name, _)| name.contains("books")), "the books are there");
    let logged = log.0.lock().expect("no panic under the lock").clone();
    let text = String::from_utf8_lossy(&logged);
    assert!(text.contains("TRACE") && text.contains("DEBUG"), "every level is kept");
    rest.push(("the log".to_owned(), logged));
    rest.extend(answers);
    for (name, bytes) in &rest {
        for card in &cards {
            let found = card.found_in(bytes);
            assert!(found.is_empty(), "{found:?} in {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i_11_no_account_of_a_payee_stays_anywhere_after_payouts() {
    const ACCOUNT: &str = "65007391846205";
    const NAME: &str = "OUYANG KE";
    let log = log();
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let payout = |order_id: &str, description: &str| {
        json!({
            "order_id": order_id, "merchant_id": "m-1", "amount": 500, "currency": "CNY",
            "description": description,
            "payee": { "account": ACCOUNT, "kind": "bank_account", "name": NAME },
        })
    };
    let mut kept: Vec<(String, Vec<u8>)> = Vec::new();
    for (lost, name) in [(0, "calm"), (10_000, "lost")] {
        town.channels.set_faults(Faults { lose_reply: lost, ..Faults::calm() });
        let asking = {
            let (core, body) = (core.clone(), payout(name, "wages"));
            tokio::spawn(async move { core.post("/v1/payouts", &body).await })
        };
        let seen = if lost > 0 { "unknown" } else { "succeeded" };
        let is_seen = async || {
            let order = core.get(&format!("/v1/payments?order_id={name}")).await;
            (order.text("status") == seen).then_some(())
        };
        until("its reply has come, or is lost", is_seen).await;
        town.channels.set_faults(Faults::calm());
        let taken = asking.await.expect("no panic");
        assert!(matches!(taken.status, 200 | 202), "{}", taken.body);
        let ended = async || {
            let order = core.payment(taken.id()).await;
            (order.text("status") == "succeeded").then_some(order)
        };
        for answer in [taken.body.clone(), until("it is paid", ended).await.body] {
            kept.push(("an answer".to_owned(), answer.to_string().into_bytes()));
        }
    }
    let refused = core.post("/v1/payouts", &payout("refused", &format!("to {ACCOUNT}"))).await;
    assert_eq!((refused.status, refused.text("code")), (422, "card_number_found"));
    kept.push(("a refusal".to_owned(), refused.body.to_string().into_bytes()));
    app.stop().await;
    kept.extend(files(&town.data()));
    assert!(kept.iter().any(|(name, _)| name.contains("books")), "the books are there");
    kept.push(("the log".to_owned(), log.0.lock().expect("no panic under the lock").clone()));
    for (name, bytes) in &kept {
        for secret in [ACCOUNT, NAME] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {name}");
        }
    }
}

/// Changes a channel's file of the town.
fn change_file(town: &Town, from: &str, to: &str) {
    let file = town.data().with_file_name("channels").join(format!("{}.toml", MEADOW.id));
    let text = std::fs::read_to_string(&file).expect("a channel's file");
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).expect("it is written");
}

/// What the channel has taken today.
async fn used(core: &Core) -> i64 {
    let channel = core.get(&format!("/v1/channels/{}", MEADOW.id)).await;
    channel.body["limits"]["used_today"].as_i64().expect("a sum")
}

/// The channel's books: what was charged, whoever knows of it.
fn charged(town: &Town) -> i64 {
    let ledgers = town.ledgers();
    let (_, ledger) = ledgers.iter().find(|(id, _)| *id == MEADOW.id).expect("a ledger");
    ledger.entries().iter().map(|entry| entry.amount_minor).sum()
}

async fn pay(core: &Core, order_id: &str, amount: i64) -> Answer {
    let mut body = Secrets::new(0).body(order_id, MEADOW.id);
    body["amount"] = amount.into();
    core.post("/v1/payments", &body).await
}

fn is_over_the_limit(answer: &Answer) -> bool {
    let reason = &answer.body["candidates"][0]["reason"];
    answer.text("code") == "no_route" && reason == "daily_limit"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_for_the_day_outlives_reloads_and_restarts_and_holds_at_once() {
    let town = Town::build(8, 0).await;
    change_file(&town, "per_order_min_minor", "per_day_minor = 60000\nper_order_min_minor");
    let start = async || {
        let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
        town.door.lead_to(Some(app.address()));
        let core = Core::new(app.address(), CALLER_KEY);
        (app, core)
    };
    let (app, core) = start().await;
    assert_eq!(pay(&core, "A-1", 20_000).await.outcome(), (200, "succeeded"));
    town.set_faults(Faults { lose_reply: 10_000, ..Faults::calm() });
    assert_eq!(pay(&core, "A-2", 20_000).await.outcome(), (202, "unknown"));
    assert_eq!(used(&core).await, 40_000, "what may have been charged counts");
    change_file(&town, "requests_per_second = 50", "requests_per_second = 49");
    app.reload().await.expect("no panic");
    assert_eq!(used(&core).await, 40_000, "another pace forgets nothing");
    assert!(is_over_the_limit(&pay(&core, "A-3", 20_001).await));
    // The call that is under way when the process ends counts after it.
    app.stop().await;
    let (app, core) = start().await;
    assert_eq!(used(&core).await, 40_000, "a restart forgets nothing");
    let channel = core.get(&format!("/v1/channels/{}", MEADOW.id)).await;
    let rate = channel.body["health"]["success_rate_ppm"].as_u64().expect("a rate");
    assert!(rate < 1_000_000, "the lost reply counts against it still");
    assert!(is_over_the_limit(&pay(&core, "A-4", 20_001).await));
    town.set_faults(Faults::calm());
    // Twenty at once where two have room.
    let many = (0..20).map(|place| {
        let core = core.clone();
        async move { pay(&core, &format!("B-{place}"), 10_000).await }
    });
    let answers = futures_util::future::join_all(many).await;
    let paid = answers.iter().filter(|answer| answer.outcome() == (200, "succeeded")).count();
    assert_eq!(paid, 2);
    assert!(charged(&town) <= 60_000, "{} were charged", charged(&town));
    for refused in answers.iter().filter(|answer| answer.outcome() != (200, "succeeded")) {
        let unsent = refused.outcome() == (200, "failed");
        assert!(unsent || is_over_the_limit(refused), "{}", refused.body);
    }
    app.stop().await;
}
