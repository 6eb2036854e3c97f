//! `channels/wechat-pay.toml` against PyPI's wechatpayv3.

use serde_json::json;

use crate::support::installation::Installation;
use crate::{Peer, code_order, ended, lay_out, start};

/// What opens notices; it protects nothing.
const API_V3_KEY: &str = "0123456789abcdef0123456789ABCDEF";
const CODE: &str = "130000000000001234";

/// Amounts that the peer knows.
const REFUSED: i64 = 4_004;
const LOST: i64 = 5_005;
const LOST_AND_UNPAID: i64 = 6_006;
const TYPES: i64 = 7_007;
const SLOW_REFUND: i64 = 707;

/// The shipped file, led to the peer and in a hurry. The peer has made the key pairs.
fn lay_out_wechat_pay(town: &Installation, peer: &Peer) {
    let over = format!(
        r#"
state = "live"
http.base_url = "http://127.0.0.1:{port}"
http.decrypt.key = "file:keys/wechat-pay-api-v3"
unknown.inquire = ["300ms", "300ms"]
unknown.reverse = ["0s", "1s", "5s"]
unknown.not_found_final_after = "5s"
timeouts.reply = "2s"
"#,
        port = peer.port
    );
    let keys = [("wechat-pay-api-v3", API_V3_KEY)];
    lay_out(town, "wechat-pay", include_str!("../../channels/wechat-pay.toml"), &keys, &over);
}

#[tokio::test(flavor = "multi_thread")]
async fn wechat_pay_every_operation_ends_as_its_library_says() {
    let town = Installation::new(|channel| channel).await;
    let (keys, notice_url) = (town.keys(), town.door.notice_url("wechat-pay"));
    let arguments = [&*keys, API_V3_KEY, &notice_url];
    let peer = Peer::start("wechat_pay_peer.py", "wechatpayv3", &arguments);
    let Some(peer) = peer else { return };
    lay_out_wechat_pay(&town, &peer);
    let (app, core) = start(&town).await;
    let pay = async |id: &str, amount: i64| {
        core.post("/v1/payments", &code_order(id, amount, CODE)).await
    };

    let paid = pay("P-1", 1_230).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    // The code was good for one payment, and of it nobody is told more than this.
    assert_eq!(paid.body["payer"]["code"], "13************1234");
    assert!(!paid.body.to_string().contains(CODE));
    let refused = pay("P-2", REFUSED).await;
    assert_eq!(refused.text("reason"), "insufficient_funds", "{}", refused.body);
    // The same order again is the same payment; another code is another order.
    let again = pay("P-1", 1_230).await;
    assert_eq!(again.id(), paid.id());
    let other = code_order("P-1", 1_230, "130000000000004321");
    let other = core.post("/v1/payments", &other).await;
    assert_eq!((other.status, other.text("field")), (409, "payer.code"), "{}", other.body);

    // The payer types a password; a lost reply; nobody has paid, and somebody still may.
    let typed = pay("P-3", TYPES).await;
    let typed = ended(&core, typed.id()).await;
    assert_eq!(typed.body["attempts"][0]["ended_by"], "inquiry", "{}", typed.body);
    let lost = ended(&core, pay("P-4", LOST).await.id()).await;
    assert_eq!(lost.text("status"), "succeeded", "{}", lost.body);
    let unpaid = ended(&core, pay("P-5", LOST_AND_UNPAID).await.id()).await;
    assert_eq!(unpaid.text("reason"), "reversed_after_unknown", "{}", unpaid.body);

    let refund = core.refund(paid.id(), "R-1", 230).await;
    assert_eq!(refund.outcome(), (200, "succeeded"), "{}", refund.body);
    // Its notice comes twice: under another's signature, which is refused, and under its own.
    let slow = ended(&core, core.refund(paid.id(), "R-2", SLOW_REFUND).await.id()).await;
    assert_eq!(slow.text("status"), "succeeded", "{}", slow.body);

    let path = "/v1/channels/wechat-pay/statements/fetch?date=2026-11-21";
    let fetched = core.post(path, &json!({})).await;
    assert_eq!(fetched.status, 200, "{}", fetched.body);
    assert_eq!(fetched.body["files"].as_array().map(Vec::len), Some(1), "{}", fetched.body);

    let ledger = peer.ledger("/ledger").await;
    assert_eq!(ledger["wrong"], json!([]), "{ledger}");
    app.stop().await;
}
