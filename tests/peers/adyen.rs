//! `channels/adyen.toml` against Adyen's own library.

use serde_json::json;

use crate::support::installation::Installation;
use crate::{Peer, ended, lay_out, order, start};

/// The address of Adyen's test side, as the shipped file has it.
const ADYEN: &str = "https://checkout-test.adyen.com/v71";
const API_KEY: &str = "a key for tests";
/// Published in the tests of Adyen's libraries; it protects nothing.
const HMAC_KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const CARD: &str = "4111111111111111";

/// Amounts that the peer knows.
const REFUSED: i64 = 4_004;
const LOST_AND_TOLD: i64 = 5_005;
const LOST_AND_SILENT: i64 = 6_006;

#[tokio::test(flavor = "multi_thread")]
async fn adyen_every_operation_ends_as_its_library_says() {
    let town = Installation::new(|channel| channel).await;
    let notice_url = town.door.notice_url("adyen");
    let arguments = [ADYEN, API_KEY, HMAC_KEY, &notice_url];
    let Some(peer) = Peer::start("adyen_peer.py", "Adyen", &arguments) else { return };
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
    let keys = [("adyen-api-key", API_KEY), ("adyen-hmac-key", HMAC_KEY)];
    lay_out(&town, "adyen", include_str!("../../channels/adyen.toml"), &keys, &over);
    let (app, core) = start(&town).await;

    // A payment ends by its reply; a refusal has the reason of its code.
    let paid = core.post("/v1/payments", &order("P-1", 1_230, "CNY", CARD)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    assert_eq!(paid.text("channel_reference"), "NC6HT9CRT65ZGN82");
    let refused = core.post("/v1/payments", &order("P-2", REFUSED, "CNY", CARD)).await;
    assert_eq!(refused.outcome(), (200, "failed"), "{}", refused.body);
    assert_eq!(refused.text("reason"), "insufficient_funds");

    // What follows up is only received, and a signed notice ends it.
    let refund = core.refund(paid.id(), "R-1", 230).await;
    let refund = ended(&core, refund.id()).await;
    assert_eq!(refund.outcome(), (200, "succeeded"), "{}", refund.body);
    assert_eq!(refund.body["attempts"][0]["ended_by"], "notice");
    let held = core.post("/v1/preauths", &order("H-1", 5_000, "CNY", CARD)).await;
    assert_eq!(held.outcome(), (200, "succeeded"), "{}", held.body);
    let path = format!("/v1/preauths/{}/capture", held.id());
    let capture = core.post(&path, &json!({ "order_id": "C-1", "amount": 4_000 })).await;
    assert_eq!(ended(&core, capture.id()).await.text("status"), "succeeded");
    let held = core.post("/v1/preauths", &order("H-2", 5_000, "CNY", CARD)).await;
    let path = format!("/v1/preauths/{}/void", held.id());
    let void = core.post(&path, &json!({ "order_id": "V-1" })).await;
    assert_eq!(ended(&core, void.id()).await.text("status"), "succeeded");

    // A lost reply is unknown, until the notice of the authorisation, or of our cancellation.
    let told = core.post("/v1/payments", &order("P-3", LOST_AND_TOLD, "CNY", CARD)).await;
    let told = ended(&core, told.id()).await;
    assert_eq!(told.text("status"), "succeeded", "{}", told.body);
    assert_eq!(told.body["attempts"][0]["ended_by"], "notice");
    let silent = core.post("/v1/payments", &order("P-4", LOST_AND_SILENT, "CNY", CARD)).await;
    let silent = ended(&core, silent.id()).await;
    assert_eq!(silent.text("reason"), "reversed_after_unknown", "{}", silent.body);

    let ledger = peer.ledger("/ledger").await;
    assert_eq!(ledger["wrong"], json!([]), "{ledger}");
    let requests = ledger["requests"].as_array().expect("a list");
    let paths: Vec<&str> = requests.iter().filter_map(|one| one["path"].as_str()).collect();
    let follow_up = |what: &str| format!("/payments/NC6HT9CRT65ZGN82/{what}");
    let expected = [follow_up("refunds"), follow_up("captures"), follow_up("cancels")];
    assert!(expected.iter().all(|path| paths.contains(&path.as_str())), "{paths:?}");
    app.stop().await;
}
