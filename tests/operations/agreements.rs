//! Cards that are bound at a bank of a file of its own: codes, payments by agreement, and answers
//! that are lost.

use serde_json::{Value, json};
use switchyard::app::App;
use switchyard::simulator::{Faults, SimulatorSettings, TEST_SMS_CODE};

use crate::support::core::{Answer, Core, TEST_CARD};
use crate::support::installation::{CALLER_KEY, Installation, metrics};
use crate::support::simulated::{BANK, UNIONPAY};
use crate::support::wire::until;

const PHONE: &str = "13800138473";

fn asked(order_id: &str) -> Value {
    let card = json!({ "pan": TEST_CARD, "holder": "ZHANG SANFENG", "phone": PHONE });
    json!({ "order_id": order_id, "merchant_id": "m-1", "card": card })
}

fn payment(order_id: &str, agreement: &str) -> Value {
    json!({
        "order_id": order_id, "merchant_id": "m-1", "amount": 1_200, "currency": "CNY",
        "agreement": agreement,
    })
}

async fn confirm(core: &Core, id: &str, code: &str) -> Answer {
    core.post(&format!("/v1/agreements/{id}/confirm"), &json!({ "code": code })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_s_file_binds_a_card_pays_by_it_and_ends_it() {
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let opened = core.post("/v1/agreements", &asked("G-1")).await;
    assert_eq!((opened.status, opened.text("state")), (200, "code_sent"), "{}", opened.body);
    assert_eq!(opened.text("channel"), BANK);
    let id = opened.id().to_owned();
    let wrong = confirm(&core, &id, "000000").await;
    assert_eq!((wrong.text("state"), wrong.text("reason")), ("code_sent", "wrong_sms_code"));
    let again = core.post(&format!("/v1/agreements/{id}/code"), &json!({})).await;
    assert_eq!(again.body["codes_sent"], 2, "{}", again.body);
    let bound = confirm(&core, &id, TEST_SMS_CODE).await;
    assert_eq!(bound.text("state"), "active", "{}", bound.body);
    assert!(!bound.text("ends_at").is_empty(), "the file reads its end: {}", bound.body);

    let paid = core.post("/v1/payments", &payment("A-1", &id)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    assert_eq!((paid.text("channel"), paid.text("agreement")), (BANK, id.as_str()));
    let refunded = core.refund(paid.id(), "R-1", 200).await;
    assert!(matches!(refunded.status, 200 | 202), "{}", refunded.body);
    for (order_id, code, outcome) in
        [("A-2", "000000", "failed"), ("A-3", TEST_SMS_CODE, "succeeded")]
    {
        let mut body = payment(order_id, &id);
        let sent = core.post("/v1/payment-codes", &body).await;
        assert_eq!(sent.text("state"), "sent", "{}", sent.body);
        body["sms_code"] = code.into();
        let ended = core.post("/v1/payments", &body).await;
        assert_eq!(ended.outcome(), (200, outcome), "{}", ended.body);
        assert_eq!(ended.text("channel_order_no"), sent.text("channel_order_no"));
    }

    let ended = core.post(&format!("/v1/agreements/{id}/end"), &json!({})).await;
    assert_eq!(ended.text("state"), "ended", "{}", ended.body);
    let late = core.post("/v1/payments", &payment("A-4", &id)).await;
    assert_eq!((late.status, late.text("code")), (409, "agreement_not_active"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_3_a_lost_confirmation_at_a_bank_is_found_by_its_inquiry() {
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let opened = core.post("/v1/agreements", &asked("G-1")).await;
    let id = opened.id().to_owned();
    town.channels.set_faults(Faults { bad_signature: 10_000, ..Faults::calm() });
    let lost = confirm(&core, &id, TEST_SMS_CODE).await;
    assert_eq!((lost.status, lost.text("state")), (202, "unknown"), "{}", lost.body);
    town.channels.set_faults(Faults::calm());
    // The inquiry says what became of it, and brings the number.
    let found = core.get(&format!("/v1/agreements/{id}")).await;
    assert_eq!(found.text("state"), "active", "{}", found.body);
    assert!(!found.text("ends_at").is_empty(), "{}", found.body);
    let paid = core.post("/v1/payments", &payment("A-1", &id)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_by_card_brings_the_code_that_its_holder_was_sent() {
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let paid_by = |order_id: &str| {
        let card = json!({ "pan": TEST_CARD, "phone": PHONE });
        json!({
            "order_id": order_id, "merchant_id": "m-1", "amount": 1_200, "currency": "CNY",
            "card": card,
        })
    };
    let coded = |order_id: &str, code: &str| {
        let mut body = paid_by(order_id);
        body["sms_code"] = code.into();
        body
    };
    let sent = core.post("/v1/payment-codes", &paid_by("A-1")).await;
    assert_eq!((sent.status, sent.text("state")), (200, "sent"), "{}", sent.body);
    let paid = core.post("/v1/payments", &coded("A-1", TEST_SMS_CODE)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    assert_eq!(paid.text("channel"), sent.text("channel"));
    assert_eq!(paid.text("channel_order_no"), sent.text("channel_order_no"));
    core.post("/v1/payment-codes", &paid_by("A-2")).await;
    let wrong = core.post("/v1/payments", &coded("A-2", "000000")).await;
    assert_eq!((wrong.text("status"), wrong.text("reason")), ("failed", "wrong_sms_code"));
    // The phone has got the code, though the channel's answer is lost.
    town.channels.set_faults(Faults { lose_reply: 10_000, ..Faults::calm() });
    let lost = core.post("/v1/payment-codes", &paid_by("A-3")).await;
    assert_eq!((lost.status, lost.text("state")), (202, "unknown"), "{}", lost.body);
    town.channels.set_faults(Faults::calm());
    let paid = core.post("/v1/payments", &coded("A-3", TEST_SMS_CODE)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    app.stop().await;
}

/// UnionPay only accepts at first: the end comes by notice or inquiry, and both go by the time of
/// the code.
#[tokio::test(flavor = "multi_thread")]
async fn unionpay_takes_a_payment_with_its_code_alone() {
    let town = Installation::new(SimulatorSettings::wanting_codes).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let body = |order_id: &str| {
        json!({
            "order_id": order_id, "merchant_id": "m-1", "amount": 1_200, "currency": "CNY",
            "settlement": "escrow", "card": { "pan": TEST_CARD, "phone": PHONE },
        })
    };
    let bare = core.post("/v1/payments", &body("A-1")).await;
    assert_eq!(bare.outcome(), (200, "failed"), "{}", bare.body);
    let sent = core.post("/v1/payment-codes", &body("A-2")).await;
    assert_eq!((sent.text("state"), sent.text("channel")), ("sent", UNIONPAY), "{}", sent.body);
    let mut coded = body("A-2");
    coded["sms_code"] = TEST_SMS_CODE.into();
    let paid = core.post("/v1/payments", &coded).await;
    let paid = until("the end of the payment", async || {
        let order = core.payment(paid.id()).await;
        (order.text("status") != "processing").then_some(order)
    });
    let paid = paid.await;
    assert_eq!(paid.text("status"), "succeeded", "{}", paid.body);
    assert_eq!(paid.text("channel_order_no"), sent.text("channel_order_no"));
    app.stop().await;
}
