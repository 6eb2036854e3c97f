//! Payouts over the API, accounting played by the test.

use serde_json::{Value, json};
use switchyard::domain::attempt::{Evidence, Source};
use switchyard::domain::books::accounting::DeliveryStatus;
use switchyard::domain::ids::OrderId;
use switchyard::domain::outcome::{Decline, Outcome, Reason};

use crate::gateway::{Answer, CARD, Gateway, approved, members, payment, unknown, with};
use crate::payments::follow_ups::{ACCOUNTING, book_all, send};
use crate::unionpay;

/// One that names its payee.
fn payout(order_id: &str) -> Value {
    json!({
        "order_id": order_id, "merchant_id": "m-42", "amount": 12_345, "currency": "CNY",
        "card": { "pan": CARD, "holder": "Ann Payee" },
    })
}

const PHONE: &str = "13800138000";

fn login(account: &str) -> Value {
    json!({ "account": account, "kind": "login" })
}

/// One that names an account in place of a card.
fn with_payee(payee: Value) -> Value {
    let mut body = payout("P-1");
    body.as_object_mut().expect("an object").remove("card");
    with(body, "/payee", payee)
}

async fn start() -> Gateway {
    Gateway::start_with(ACCOUNTING).await
}

async fn pay_out(gateway: &Gateway, body: &Value) -> Answer {
    send(gateway, "/v1/payouts", body).await
}

#[tokio::test]
async fn i_14_no_operator_pays_money_out() {
    let gateway = start().await;
    for caller in ["operator", "auditor"] {
        let refused = gateway.post(caller, "/v1/payouts", &payout("P-1")).await;
        assert_eq!(refused.problem(), (403, "forbidden".to_owned()), "{caller}");
    }
    assert_eq!(pay_out(&gateway, &payout("P-1")).await.status.as_u16(), 202, "the core may");
}

async fn seen(gateway: &Gateway, id: &Value) -> Value {
    let path = format!("/v1/payouts/{}", id.as_str().expect("an id"));
    gateway.get("core", &path).await.json()
}

#[tokio::test]
async fn i_7_a_payout_waits_for_accounting_and_then_leaves_once() {
    let gateway = start().await;
    let taken = pay_out(&gateway, &payout("P-1")).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    assert!(!taken.text.contains(CARD) && !taken.text.contains("Ann"), "I-11");
    let body = taken.json();
    let shown = members(&body, &["kind", "status", "amount", "settlement", "attempts"]);
    assert_eq!(shown, json!(["payout", "accepted", 12_345, "instant", []]));
    assert_eq!(body["card"]["masked"], "621626*********0018");
    assert_eq!(gateway.bank.calls(), 0, "nothing has left");
    // The same again changes nothing; another payee is another order.
    let again = pay_out(&gateway, &payout("P-1")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(), body);
    let other = with(payout("P-1"), "/card/holder", json!("Bob Payee"));
    let other = pay_out(&gateway, &other).await;
    assert_eq!(other.problem(), (409, "order_id_conflict".to_owned()));
    assert_eq!(other.json()["field"], "card.holder");

    book_all(&gateway).await;
    assert_eq!(gateway.bank.calls(), 1);
    let ended = seen(&gateway, &body["id"]).await;
    assert_eq!(members(&ended, &["status", "channel"]), json!(["succeeded", "unionpay"]));
    assert_eq!(ended["attempts"][0]["operation"], "payout");
    let by_own = gateway.get("core", "/v1/payments?order_id=P-1").await.json();
    assert_eq!(by_own, ended, "an order of any kind is found by its order id");
    book_all(&gateway).await;
    assert_eq!(gateway.bank.calls(), 1, "it leaves once");
    let records = gateway.get("auditor", "/v1/channels/unionpay/clearing?date=2026-11-22").await;
    let record = records.json()["records"][0].clone();
    let sums = members(&record, &["movement", "principal", "fee", "net", "fee_rule"]);
    assert_eq!(sums, json!(["payout", -12_345, 100, -12_445, "payouts"]));
    // It is no payment, and nothing follows it up.
    let refund = format!("/v1/payments/{}/refunds", body["id"].as_str().expect("an id"));
    let refused = send(&gateway, &refund, &json!({ "order_id": "R-1" })).await;
    assert_eq!(refused.problem(), (409, "wrong_kind".to_owned()));
    let paid = gateway.pay(&payment("A-1")).await.json();
    let path = format!("/v1/payouts/{}", paid["id"].as_str().expect("an id"));
    assert_eq!(gateway.get("core", &path).await.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_payout_that_the_channel_refuses_is_taken_back() {
    let gateway = start().await;
    let taken = pay_out(&gateway, &payout("P-1")).await.json();
    let reason = Reason::DoNotHonour;
    let code = "05".to_owned();
    gateway.bank.will_answer(Outcome::Declined(Decline { reason, code, elsewhere: true }));
    book_all(&gateway).await;
    let ended = seen(&gateway, &taken["id"]).await;
    assert_eq!(members(&ended, &["status", "reason"]), json!(["failed", "do_not_honour"]));
    let list = gateway.get("auditor", "/v1/accounting-requests?state=owed").await.json();
    let red = &list["accounting_requests"][0];
    assert_eq!(members(red, &["event", "order"]), json!(["payout_taken_back", taken["id"]]));
    let debit = json!({
        "side": "debit", "account": "merchant:m-42:pending_clearing", "amount": -12_345
    });
    assert_eq!(red["entries"][0], debit);
}

/// An unknown one is neither failed nor sent again; an operator or a notice ends it.
#[tokio::test]
async fn i_3_an_unknown_payout_ends_by_evidence() {
    let gateway = start().await;
    for (order_id, is_notice) in [("P-1", false), ("P-2", true)] {
        let taken = pay_out(&gateway, &payout(order_id)).await.json();
        gateway.bank.will_answer(unknown());
        book_all(&gateway).await;
        let calls = gateway.bank.calls();
        let open = pay_out(&gateway, &payout(order_id)).await;
        assert_eq!((open.status.as_u16(), open.json()["status"].as_str()), (202, Some("unknown")));
        assert_eq!(gateway.bank.calls(), calls, "a repeat sends nothing");
        let id = taken["id"].as_str().expect("an id");
        let entry = gateway.get("operator", &format!("/v1/reversals/{id}")).await.json();
        assert_eq!(members(&entry, &["phase", "reversals"]), json!(["inquiring", 0]));
        if is_notice {
            let evidence = Evidence {
                source: Source::Notice,
                attempt: 1,
                outcome: approved(),
                objection: None,
                as_of: None,
                transcript: "respCode=00".to_owned(),
                sent: String::new(),
            };
            let id = OrderId::parse(id).expect("an id");
            gateway.state.engine.weigh(id, evidence).await.expect("it is open");
        } else {
            let path = format!("/v1/reversals/{id}/resolve");
            let decision = json!({ "outcome": "succeeded", "reason": "the bank said so" });
            let ended = gateway.post("operator", &path, &decision).await;
            assert_eq!(ended.status, 200, "{}", ended.text);
        }
        assert_eq!(seen(&gateway, &taken["id"]).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn a_payout_is_refused_before_anything_is_written() {
    let gateway = start().await;
    let with_card = |field: &str, value: &str| {
        let mut body = payout("P-1");
        body["card"][field] = value.into();
        body
    };
    for (body, refusal, field) in [
        (with_card("cvv", "123"), (400, "unknown_field"), "card.cvv"),
        (with_card("expiry", "3012"), (400, "unknown_field"), "card.expiry"),
        (with(payout("P-1"), "/settlement", json!("escrow")), (400, "unknown_field"), "settlement"),
        (with(payout("P-1"), "/merchant_fee", json!(1)), (400, "unknown_field"), "merchant_fee"),
        (with_payee(json!({ "account": PHONE })), (400, "missing_field"), "payee.kind"),
        (with_payee(login("ann")), (422, "invalid_field"), "payee.account"),
        (with_payee(login("ann b@mail.example")), (422, "invalid_field"), "payee.account"),
        (
            with_payee(json!({ "account": PHONE, "kind": "phone" })),
            (422, "invalid_field"),
            "payee.kind",
        ),
        (
            with_payee(json!({ "account": PHONE, "kind": "login", "name": "a\nb" })),
            (422, "invalid_field"),
            "payee.name",
        ),
        (with(payout("P-1"), "/payee", login(PHONE)), (422, "invalid_field"), "card"),
        (
            with(with_payee(login(PHONE)), "/description", json!("for 138-0013-8000")),
            (422, "card_number_found"),
            "description",
        ),
    ] {
        let refused = pay_out(&gateway, &body).await;
        assert_eq!(refused.problem(), (refusal.0, refusal.1.to_owned()), "{field}");
        assert_eq!(refused.json()["field"], field);
    }
    let booked = gateway.store.accounting_requests(Some(DeliveryStatus::Owed), None, 1).await;
    assert!(booked.expect("a read").is_empty());
    // Without an accounting system nothing could be booked first.
    let unbooked = Gateway::start().await;
    let refused = pay_out(&unbooked, &payout("P-1")).await;
    assert_eq!(refused.problem(), (409, "accounting_not_configured".to_owned()));
    // A channel that cannot do it is no candidate, and one without room for it is none either.
    let unable = unionpay::ALL_OPERATIONS.replace("\"payout\", ", "");
    let unable = Gateway::start_able(ACCOUNTING, &unable).await;
    let refused = pay_out(&unable, &payout("P-1")).await;
    assert_eq!(refused.problem(), (422, "no_route".to_owned()));
    assert_eq!(refused.json()["candidates"][0]["reason"], "operation");
    let to_account = pay_out(&gateway, &with_payee(login(PHONE))).await;
    assert_eq!(to_account.problem(), (422, "no_route".to_owned()));
    let struck = &to_account.json()["candidates"][0];
    assert_eq!(struck["reason"], "instrument", "the protocol pays to cards alone: {struck}");
    assert!(!to_account.text.contains(PHONE), "I-11");
    let limited = format!("{}\n[limits]\npayouts_per_day_minor = 12344", unionpay::ALL_OPERATIONS);
    let limited = Gateway::start_able(ACCOUNTING, &limited).await;
    let refused = pay_out(&limited, &payout("P-1")).await;
    assert_eq!(refused.problem(), (422, "no_route".to_owned()));
    assert_eq!(refused.json()["candidates"][0]["reason"], "daily_limit");
    let paid = limited.pay(&payment("A-1")).await;
    assert_eq!(paid.status, 200, "a payment has a limit of its own: {}", paid.text);
    let shown = limited.get("auditor", "/v1/channels/unionpay").await.json();
    let limits = members(&shown["limits"], &["payouts_per_day", "payouts_today"]);
    assert_eq!(limits, json!([12_344, 0]));
}
