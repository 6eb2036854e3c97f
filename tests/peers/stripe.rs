//! `channels/stripe.toml` against localstripe, which is run for real.

use serde_json::{Value, json};

use crate::support::core::{Answer, Core};
use crate::support::installation::Installation;
use crate::support::wire::http_client;
use crate::{Peer, ended, lay_out, order, start};

/// What localstripe takes for a secret key, and a webhook's secret; they protect nothing.
const API_KEY: &str = "sk_test_12345";
const SECRET: &str = "whsec_test-only";

/// Stripe's published test cards.
const CARD: &str = "4242424242424242";
const DECLINED: &str = "4000000000000341";
const WANTS_ITS_HOLDER: &str = "4000002760003184";

/// Amounts that the peer knows.
const LOST: i64 = 5_005;
const LOST_AND_SILENT: i64 = 6_006;
const SLOW_REFUND: i64 = 707;

async fn pay(core: &Core, id: &str, amount: i64, card: &str) -> Answer {
    core.post("/v1/payments", &order(id, amount, "USD", card)).await
}

async fn preauth(core: &Core, id: &str) -> Answer {
    let held = core.post("/v1/preauths", &order(id, 5_000, "USD", CARD)).await;
    assert_eq!(held.outcome(), (200, "succeeded"), "{}", held.body);
    held
}

/// The shipped file, led to the peer and in a hurry.
fn lay_out_stripe(town: &Installation, peer: &Peer) {
    let over = format!(
        r#"
state = "live"
http.base_url = "http://127.0.0.1:{port}"
http.secrets = {{ api_key = "file:keys/stripe-api-key" }}
http.notice_verify.key = "file:keys/stripe-secret"
unknown.inquire = ["300ms", "300ms", "1s", "2s", "5s"]
"#,
        port = peer.port
    );
    let keys = [("stripe-api-key", API_KEY), ("stripe-secret", SECRET)];
    lay_out(town, "stripe", include_str!("../../channels/stripe.toml"), &keys, &over);
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_every_operation_ends_as_localstripe_says() {
    let town = Installation::new(|channel| channel).await;
    let notice_url = town.door.notice_url("stripe");
    let arguments = [&*notice_url, SECRET];
    let Some(peer) = Peer::start("stripe_peer.py", "localstripe", &arguments) else { return };
    lay_out_stripe(&town, &peer);
    let (app, core) = start(&town).await;

    // A payment ends by the reply to its second request; a refusal has the reason of its code.
    let paid = pay(&core, "P-1", 1_230, CARD).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    assert!(paid.text("channel_reference").starts_with("pi_"), "{}", paid.body);
    let refused = pay(&core, "P-2", 1_230, DECLINED).await;
    assert_eq!(refused.outcome(), (200, "failed"), "{}", refused.body);
    assert_eq!(refused.text("reason"), "do_not_honour");
    let absent = pay(&core, "P-3", 1_230, WANTS_ITS_HOLDER).await;
    assert_eq!(absent.text("reason"), "authentication_failed", "{}", absent.body);

    // A refund ends by its reply, or by a signed event.
    let refund = core.refund(paid.id(), "R-1", 230).await;
    assert_eq!(refund.outcome(), (200, "succeeded"), "{}", refund.body);
    let slow = core.refund(paid.id(), "R-2", SLOW_REFUND).await;
    let slow = ended(&core, slow.id()).await;
    assert_eq!(slow.text("status"), "succeeded", "{}", slow.body);

    let held = preauth(&core, "H-1").await;
    let path = format!("/v1/preauths/{}/capture", held.id());
    let capture = core.post(&path, &json!({ "order_id": "C-1", "amount": 4_000 })).await;
    assert_eq!(capture.outcome(), (200, "succeeded"), "{}", capture.body);
    let held = preauth(&core, "H-2").await;
    let path = format!("/v1/preauths/{}/void", held.id());
    let void = core.post(&path, &json!({ "order_id": "V-1" })).await;
    assert_eq!(void.outcome(), (200, "succeeded"), "{}", void.body);

    // A lost reply is unknown, until an event tells its end, or the search finds it.
    let told = pay(&core, "P-4", LOST, CARD).await;
    let told = ended(&core, told.id()).await;
    assert_eq!(told.text("status"), "succeeded", "{}", told.body);
    assert_eq!(told.body["attempts"][0]["ended_by"], "notice");
    let silent = pay(&core, "P-5", LOST_AND_SILENT, CARD).await;
    let silent = ended(&core, silent.id()).await;
    assert_eq!(silent.text("status"), "succeeded", "{}", silent.body);
    assert_eq!(silent.body["attempts"][0]["ended_by"], "inquiry");

    // An event that another secret signs is refused.
    let event = json!({ "type": "payment_intent.succeeded" }).to_string();
    let sent = http_client()
        .post(&notice_url)
        .header("Stripe-Signature", format!("t=1795334400,v1={}", "0".repeat(64)))
        .body(event)
        .send()
        .await
        .expect("an answer");
    assert_eq!(sent.status(), 400);

    let ledger = peer.ledger("/_ledger").await;
    assert_eq!(ledger["wrong"], json!([]), "{ledger}");
    let requests = ledger["requests"].as_array().expect("a list");
    let count = |path: &str| {
        requests.iter().filter(|one: &&Value| one["path"].as_str() == Some(path)).count()
    };
    // Each payment and pre-authorisation took two requests, and none was sent twice.
    assert_eq!((count("/v1/payment_methods"), count("/v1/payment_intents")), (7, 7));
    app.stop().await;
}
