//! `channels/alipay.toml` against Alipay's own SDK, PyPI's alipay-sdk-python.

use serde_json::{Value, json};

use crate::support::core::Core;
use crate::support::installation::Installation;
use crate::support::wire::until;
use crate::{Peer, code_order, ended, lay_out, start};

const CODE: &str = "287634438256643941";

/// Amounts that the peer knows.
const REFUSED: i64 = 4_004;
const LOST: i64 = 5_005;
const LOST_AND_UNPAID: i64 = 6_006;
const TOLD: i64 = 7_007;
const LOST_REFUND: i64 = 707;
const NEVER_CAME: i64 = 8_008;
const LOST_TRANSFER: i64 = 606;
const LOST_ANSWER: i64 = 909;
const TOLD_TRANSFER: i64 = 505;

/// The shipped file, led to the peer and in a hurry. The peer has made the key pairs.
fn lay_out_alipay(town: &Installation, peer: &Peer) {
    let over = format!(
        r#"
state = "live"
http.base_url = "http://127.0.0.1:{port}"
http.statement.download_hosts = ["127.0.0.1:{port}"]
unknown.inquire = ["600ms", "300ms"]
unknown.reverse = ["0s", "1s", "5s"]
unknown.not_found_final_after = "5s"
timeouts.reply = "2s"
"#,
        port = peer.port
    );
    lay_out(town, "alipay", include_str!("../../channels/alipay.toml"), &[], &over);
}

#[tokio::test(flavor = "multi_thread")]
async fn alipay_every_operation_ends_as_its_sdk_says() {
    let town = Installation::new(|channel| channel).await;
    let (keys, notice_url) = (town.keys(), town.door.notice_url("alipay"));
    let Some(peer) = Peer::start("alipay_peer.py", "alipay", &[&keys, &notice_url]) else { return };
    lay_out_alipay(&town, &peer);
    let (app, core) = start(&town).await;
    let pay = async |id: &str, amount: i64| {
        core.post("/v1/payments", &code_order(id, amount, CODE)).await
    };

    let paid = pay("P-1", 1_230).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    let refused = pay("P-2", REFUSED).await;
    assert_eq!(refused.text("reason"), "insufficient_funds", "{}", refused.body);
    // A word of the core's that would break out of the JSON text in the form stays a word.
    let mut order = code_order("P-3", 100, CODE);
    order["description"] = json!(r#"红茶 & 100%+","total_amount":"0.01"#);
    let quoted = core.post("/v1/payments", &order).await;
    assert_eq!(quoted.outcome(), (200, "succeeded"), "{}", quoted.body);

    // The payer types, and a notice tells the end, after one of another's signature was refused.
    let told = ended(&core, pay("P-4", TOLD).await.id()).await;
    assert_eq!(told.body["attempts"][0]["ended_by"], "notice", "{}", told.body);
    let lost = ended(&core, pay("P-5", LOST).await.id()).await;
    assert_eq!(lost.body["attempts"][0]["ended_by"], "inquiry", "{}", lost.body);
    let unpaid = ended(&core, pay("P-6", LOST_AND_UNPAID).await.id()).await;
    assert_eq!(unpaid.text("reason"), "reversed_after_unknown", "{}", unpaid.body);

    // A cancellation that finds nothing has taken nothing back.
    let nothing = ended(&core, pay("P-7", NEVER_CAME).await.id()).await;
    assert_eq!(nothing.text("reason"), "never_arrived", "{}", nothing.body);

    let refund = core.refund(paid.id(), "R-1", 230).await;
    assert_eq!(refund.outcome(), (200, "succeeded"), "{}", refund.body);
    // The inquiry about a refund names its payment, without which Alipay finds none.
    let lost = ended(&core, core.refund(paid.id(), "R-2", LOST_REFUND).await.id()).await;
    assert_eq!(lost.text("status"), "succeeded", "{}", lost.body);

    pay_out(&core).await;

    let path = "/v1/channels/alipay/statements/fetch?date=2026-11-27";
    let fetched = core.post(path, &json!({})).await;
    assert_eq!(fetched.status, 200, "{}", fetched.body);
    assert_eq!(fetched.body["files"].as_array().map(Vec::len), Some(1), "{}", fetched.body);

    let ledger = peer.ledger("/ledger").await;
    assert_eq!(ledger["wrong"], json!([]), "{ledger}");
    app.stop().await;
}

fn account(kind: &str, id: &str, name: &str) -> Value {
    json!({ "payee": { "kind": kind, "account": id, "name": name } })
}

/// Transfers to a card and to accounts.
async fn pay_out(core: &Core) {
    let send = async |id: &str, amount: i64, mut order: Value| {
        order["order_id"] = json!(id);
        order["merchant_id"] = json!("shop-1");
        order["amount"] = json!(amount);
        order["currency"] = json!("CNY");
        core.post("/v1/payouts", &order).await
    };
    let card = json!({ "card": { "pan": "6216261000000000018", "holder": "张三" } });

    let to_card = ended(core, send("O-1", 500, card.clone()).await.id()).await;
    assert_eq!(to_card.text("status"), "succeeded", "{}", to_card.body);
    let told = ended(core, send("O-8", TOLD_TRANSFER, card.clone()).await.id()).await;
    assert_eq!(told.body["attempts"][0]["ended_by"], "notice", "{}", told.body);
    let to_account = send("O-2", 500, account("login", "payee@mail.example", "张三")).await;
    assert_eq!(to_account.outcome(), (200, "succeeded"), "{}", to_account.body);
    let by_number = json!({ "payee": { "kind": "user_id", "account": "2088123412341234" } });
    let by_number = send("O-3", 500, by_number).await;
    assert_eq!(by_number.outcome(), (200, "succeeded"), "{}", by_number.body);

    for (id, to, reason) in [
        ("O-4", account("login", "nobody@mail.example", "张三"), "invalid_account"),
        ("O-5", account("user_id", "2088123412341234", "李四"), "identity_mismatch"),
    ] {
        let refused = send(id, 500, to).await;
        assert_eq!(refused.outcome(), (200, "failed"), "{}", refused.body);
        assert_eq!(refused.text("reason"), reason, "{}", refused.body);
    }
    // The inquiry about a transfer to an account says that it went to one, without which Alipay
    // finds none.
    let lost = send("O-6", LOST_ANSWER, account("login", "payee@mail.example", "张三")).await;
    let lost = ended(core, lost.id()).await;
    assert_eq!(lost.text("status"), "succeeded", "{}", lost.body);
    assert_eq!(lost.body["attempts"][0]["ended_by"], "inquiry", "{}", lost.body);

    // A transfer that is not there today may be there tomorrow: it is asked about again, beyond the
    // moment from which a payment that is not there never arrived.
    let lost = send("O-7", LOST_TRANSFER, card).await;
    let asked = until("it is asked about on the next day", async || {
        let open = core.all("/v1/reversals", "reversals").await;
        let of_it = open.into_iter().find(|one| one["id"] == lost.id());
        of_it.filter(|one| one["inquiries"].as_u64() >= Some(3))
    });
    let asked = asked.await;
    assert_eq!(asked["phase"], "inquiring", "{asked}");
    assert_eq!(core.payment(lost.id()).await.text("status"), "unknown");
}
