//! Refunds, voids, pre-authorisations and captures over the API, accounting played by the test.

use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use switchyard::domain::books::accounting::{AccountingRequest, DeliveryStatus};
use switchyard::domain::ids::OrderId;
use switchyard::domain::order::OrderStatus;
use switchyard::domain::outcome::{Decline, Outcome, Reason};
use switchyard::domain::write_set::WriteSet;

use crate::gateway::{CARD, Gateway, members, payment, unknown, with};

/// An accounting system is set up. Nobody delivers to it in these tests but they themselves.
pub const ACCOUNTING: &str = "[accounting]\nurl = \"http://127.0.0.1:9/vouchers\"";
/// Another published test card.
const OTHER_CARD: &str = "6235240000020757577";

async fn start() -> Gateway {
    Gateway::start_with(ACCOUNTING).await
}

fn declined() -> Outcome {
    let reason = Reason::DoNotHonour;
    Outcome::Declined(Decline { reason, code: "05".to_owned(), elsewhere: false })
}

async fn paid(gateway: &Gateway, order_id: &str) -> String {
    let paid = gateway.pay(&payment(order_id)).await;
    assert_eq!(paid.status, 200, "{}", paid.text);
    paid.json()["id"].as_str().expect("an id").to_owned()
}

async fn held(gateway: &Gateway, order_id: &str) -> String {
    let held = gateway.post("core", "/v1/preauths", &payment(order_id)).await;
    assert_eq!(held.status, 200, "{}", held.text);
    assert_eq!(members(&held.json(), &["kind", "captured"]), json!(["preauth", 0]));
    held.json()["id"].as_str().expect("an id").to_owned()
}

/// Sends without waiting for what takes time.
pub async fn send(gateway: &Gateway, path: &str, body: &Value) -> crate::gateway::Answer {
    gateway.send(gateway.posting("core", path, body).header("prefer", "wait=0")).await
}

/// Accounting acknowledges everything it is owed, in order; what that begins is carried out.
pub async fn book_all(gateway: &Gateway) {
    let store = &gateway.store;
    let owed = Some(DeliveryStatus::Owed);
    for mut request in store.accounting_requests(owed, None, 100).await.expect("a read") {
        request.delivery.status = DeliveryStatus::Acknowledged;
        request.delivery.version += 1;
        let engine = &gateway.state.engine;
        if let Some(id) = engine.acknowledge(request).await.expect("it is written") {
            engine.carry_out(id).await.expect("it leaves");
        }
    }
}

async fn request_of(gateway: &Gateway, order: &str) -> AccountingRequest {
    let all = gateway.store.accounting_requests(None, None, 100).await.expect("a read");
    let id = OrderId::parse(order).expect("an id");
    all.into_iter().find(|request| request.order() == Some(id)).expect("a request of it")
}

#[tokio::test]
async fn i_7_a_refund_waits_for_accounting_and_then_leaves_once() {
    let gateway = start().await;
    let id = paid(&gateway, "A-1").await;
    let path = format!("/v1/payments/{id}/refunds");
    let part = json!({ "order_id": "R-1", "amount": 345, "description": "one cup" });
    let taken = send(&gateway, &path, &part).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    let body = taken.json();
    let shown = members(&body, &["kind", "of", "status", "amount", "attempts"]);
    assert_eq!(shown, json!(["refund", id, "accepted", 345, []]));
    assert_eq!(body["card"]["masked"], "621626*********0018");
    assert_eq!(gateway.bank.calls(), 1, "only the payment has left");
    let seen = gateway.get("core", &format!("/v1/payments/{id}")).await.json();
    assert_eq!(members(&seen, &["refunded", "status"]), json!([345, "succeeded"]));
    // The same again changes nothing; another amount is another order.
    let again = send(&gateway, &path, &part).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(), body);
    let other = send(&gateway, &path, &with(part.clone(), "/amount", json!(1))).await;
    assert_eq!(other.problem(), (409, "order_id_conflict".to_owned()));
    assert_eq!(other.json()["field"], "amount");

    book_all(&gateway).await;
    assert_eq!(gateway.bank.calls(), 2);
    let refund = body["id"].as_str().expect("an id");
    let ended = gateway.get("core", &format!("/v1/payments/{refund}")).await.json();
    assert_eq!(members(&ended, &["status", "channel"]), json!(["succeeded", "unionpay"]));
    assert_eq!(ended["attempts"][0]["operation"], "refund");
    let by_own = gateway.get("core", "/v1/payments?order_id=R-1").await.json();
    assert_eq!(by_own, ended);
    book_all(&gateway).await;
    assert_eq!(gateway.bank.calls(), 2, "it leaves once");

    // Absent, the amount is all that is left; its repeat means what the first call meant.
    let rest = json!({ "order_id": "R-2" });
    assert_eq!(send(&gateway, &path, &rest).await.json()["amount"], 12_000);
    assert_eq!(send(&gateway, &path, &rest).await.json()["amount"], 12_000);
    let more = send(&gateway, &path, &json!({ "order_id": "R-3", "amount": 1 })).await;
    assert_eq!(more.problem(), (422, "exceeds_left".to_owned()));
    assert_eq!(members(&more.json(), &["left", "field"]), json!([0, "amount"]));
}

#[tokio::test]
async fn i_8_a_refund_that_the_channel_refuses_is_taken_back_and_makes_room() {
    let gateway = start().await;
    let id = paid(&gateway, "A-1").await;
    let path = format!("/v1/payments/{id}/refunds");
    let taken = send(&gateway, &path, &json!({ "order_id": "R-1" })).await.json();
    gateway.bank.will_answer(declined());
    book_all(&gateway).await;
    let ended = gateway.get("core", "/v1/payments?order_id=R-1").await.json();
    assert_eq!(members(&ended, &["status", "reason"]), json!(["failed", "do_not_honour"]));
    let list = gateway.get("auditor", "/v1/accounting-requests?state=owed").await.json();
    let red = &list["accounting_requests"][0];
    assert_eq!(members(red, &["event", "order"]), json!(["refund_taken_back", taken["id"]]));
    let debit = json!({
        "side": "debit", "account": "merchant:m-42:pending_clearing", "amount": -12_345
    });
    assert_eq!(red["entries"][0], debit);
    assert_eq!(gateway.get("core", &format!("/v1/payments/{id}")).await.json()["refunded"], 0);
    // A void is still possible, and takes the whole.
    let path = format!("/v1/payments/{id}/void");
    let void = send(&gateway, &path, &json!({ "order_id": "V-1" })).await;
    assert_eq!(members(&void.json(), &["kind", "amount"]), json!(["void", 12_345]));
    book_all(&gateway).await;
    let ended = gateway.get("core", "/v1/payments?order_id=V-1").await.json();
    assert_eq!(ended["status"], "succeeded");
    assert!(ended.get("follow_ups").is_none(), "nothing refers to a void");
    // The payment tells of both, in the order in which they were accepted.
    let seen = gateway.get("core", "/v1/payments?order_id=A-1").await.json();
    let told = json!([
        {
            "id": taken["id"], "order_id": "R-1", "kind": "refund", "amount": 12_345,
            "status": "failed", "reason": "do_not_honour"
        },
        {
            "id": ended["id"], "order_id": "V-1", "kind": "void", "amount": 12_345,
            "status": "succeeded"
        },
    ]);
    assert_eq!(seen["follow_ups"], told);
}

#[tokio::test]
async fn an_unknown_refund_is_told_as_such_and_never_sent_twice() {
    let gateway = start().await;
    let id = paid(&gateway, "A-1").await;
    let path = format!("/v1/payments/{id}/refunds");
    send(&gateway, &path, &json!({ "order_id": "R-1" })).await;
    gateway.bank.will_answer(unknown());
    book_all(&gateway).await;
    let seen = gateway.get("core", "/v1/payments?order_id=R-1").await.json();
    assert_eq!(seen["status"], "unknown");
    let entry = format!("/v1/reversals/{}", seen["id"].as_str().expect("an id"));
    assert_eq!(gateway.get("operator", &entry).await.json()["phase"], "inquiring");
    let again = send(&gateway, &path, &json!({ "order_id": "R-1" })).await;
    assert_eq!((again.status.as_u16(), &again.json()["status"]), (202, &json!("unknown")));
    assert_eq!(gateway.bank.calls(), 2);
    let decision = json!({ "outcome": "succeeded", "reason": "the bank's list has it" });
    let ended = gateway.post("operator", &format!("{entry}/resolve"), &decision).await.json();
    assert_eq!(ended["status"], "succeeded");
}

#[tokio::test]
async fn a_call_waits_until_its_refund_has_been_booked_and_has_ended() {
    let gateway = start().await;
    let id = paid(&gateway, "A-1").await;
    let path = format!("/v1/payments/{id}/refunds");
    let body = json!({ "order_id": "R-1", "amount": 5 });
    let call = gateway.post("core", &path, &body);
    let accounting = async {
        gateway.order_when("R-1", |order| order.status == OrderStatus::Accepted).await;
        book_all(&gateway).await;
    };
    let (answer, ()) = tokio::join!(call, accounting);
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!("succeeded")));
}

#[tokio::test]
async fn a_hold_is_captured_once_and_the_capture_refunded() {
    let gateway = start().await;
    let id = held(&gateway, "H-1").await;
    let path = format!("/v1/preauths/{id}");
    let seen = gateway.get("core", &path).await.json();
    assert_eq!(members(&seen, &["status", "voided"]), json!(["succeeded", false]));
    assert!(seen.get("refunded").is_none(), "nothing was paid yet");
    let requests = gateway.store.accounting_requests(None, None, 10).await.expect("a read");
    assert!(requests.is_empty(), "a hold moves no money");
    let capture = format!("{path}/capture");
    let beyond = json!({ "order_id": "C-0", "amount": 12_346 });
    let beyond = gateway.post("core", &capture, &beyond).await;
    assert_eq!(beyond.problem(), (422, "exceeds_left".to_owned()));
    let part = json!({ "order_id": "C-1", "amount": 12_000 });
    let taken = gateway.post("core", &capture, &part).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    let shown = members(&taken.json(), &["kind", "of", "status", "amount", "refunded"]);
    assert_eq!(shown, json!(["capture", id, "succeeded", 12_000, 0]));
    assert_eq!(gateway.get("core", &path).await.json()["captured"], 12_000);
    let twice = gateway.post("core", &capture, &json!({ "order_id": "C-2", "amount": 1 })).await;
    assert_eq!(twice.problem(), (422, "exceeds_left".to_owned()));
    let void = gateway.post("core", &format!("{path}/void"), &json!({ "order_id": "V-1" })).await;
    assert_eq!(void.problem(), (422, "exceeds_left".to_owned()));
    // The capture is the payment: it is refunded below its own id.
    let paid = taken.json()["id"].as_str().expect("an id").to_owned();
    let refund = format!("/v1/payments/{paid}/refunds");
    let refunded = send(&gateway, &refund, &json!({ "order_id": "R-1", "amount": 7 })).await;
    assert_eq!(refunded.status, 202, "{}", refunded.text);
    book_all(&gateway).await;
    let seen = gateway.get("core", &format!("/v1/payments/{paid}")).await.json();
    assert_eq!(seen["refunded"], 7);
    // No path leads to the wrong kind.
    for (path, problem) in [
        (format!("/v1/payments/{id}/refunds"), (409, "wrong_kind")),
        (format!("/v1/payments/{id}/void"), (409, "wrong_kind")),
        (format!("/v1/preauths/{paid}/capture"), (404, "not_found")),
        (format!("/v1/preauths/{paid}/void"), (404, "not_found")),
    ] {
        let answer = gateway.post("core", &path, &json!({ "order_id": "W-1" })).await;
        assert_eq!(answer.problem(), (problem.0, problem.1.to_owned()), "{path}");
    }
    let other = gateway.get("core", &format!("/v1/preauths/{paid}")).await;
    assert_eq!(other.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_hold_is_let_go_without_accounting() {
    let gateway = Gateway::start().await;
    let id = held(&gateway, "H-1").await;
    let path = format!("/v1/preauths/{id}/void");
    let void = gateway.post("core", &path, &json!({ "order_id": "V-1" })).await;
    assert_eq!(members(&void.json(), &["kind", "status"]), json!(["void", "succeeded"]));
    let seen = gateway.get("core", &format!("/v1/preauths/{id}")).await.json();
    assert_eq!(members(&seen, &["voided", "captured"]), json!([true, 0]));
    // Money is another matter.
    let paid = paid(&gateway, "A-1").await;
    for path in ["refunds", "void"] {
        let path = format!("/v1/payments/{paid}/{path}");
        let refused = gateway.post("core", &path, &json!({ "order_id": "R-1" })).await;
        assert_eq!(refused.problem(), (409, "accounting_not_configured".to_owned()));
    }
}

#[tokio::test]
async fn what_is_too_late_or_not_agreed_is_refused_and_nothing_is_sent() {
    let gateway = start().await;
    let id = paid(&gateway, "A-1").await;
    let hold = held(&gateway, "H-1").await;
    gateway.bank.will_answer(declined());
    let failed = gateway.pay(&payment("A-2")).await.json();
    let failed = failed["id"].as_str().expect("an id");
    let (calls, commits) = (gateway.bank.calls(), gateway.commits());
    let body = json!({ "order_id": "R-1" });
    let refuse = async |path: String, problem: (u16, &str)| {
        let answer = gateway.post("core", &path, &body).await;
        assert_eq!(answer.problem(), (problem.0, problem.1.to_owned()), "{path}");
        answer.json()
    };
    refuse(format!("/v1/payments/{failed}/refunds"), (409, "not_succeeded")).await;
    refuse("/v1/payments/2611220000000009999/refunds".to_owned(), (404, "not_found")).await;
    let path = format!("/v1/payments/{id}/refunds");
    let foreign = gateway.post("other", &path, &body).await;
    assert_eq!(foreign.problem(), (404, "not_found".to_owned()));
    let audits = gateway.post("auditor", &path, &body).await;
    assert_eq!(audits.problem(), (403, "forbidden".to_owned()));
    gateway.later(Duration::from_secs(24 * 3_600));
    let late = refuse(format!("/v1/payments/{id}/void"), (409, "not_same_day")).await;
    assert_eq!(late["instead"], "refund");
    gateway.later(Duration::from_secs(30 * 24 * 3_600));
    let late = refuse(format!("/v1/preauths/{hold}/capture"), (409, "preauth_expired")).await;
    assert_eq!(late["days"], 30);
    gateway.later(Duration::from_secs(400 * 24 * 3_600));
    let late = refuse(format!("/v1/payments/{id}/refunds"), (409, "refund_window_closed")).await;
    assert!(late["days"].as_u64().is_some_and(|days| days <= 400));
    let unknown_field = json!({ "order_id": "V-1", "amount": 5 });
    let void = gateway.post("core", &format!("/v1/payments/{id}/void"), &unknown_field).await;
    assert_eq!(void.problem(), (400, "unknown_field".to_owned()));
    assert_eq!(gateway.bank.calls(), calls, "something was sent");
    // Ids are leased in the store by the thousand, so a refused order may cost at most one write.
    assert_eq!(gateway.commits(), commits, "something was written");
}

#[tokio::test]
async fn a_channel_that_cannot_says_so() {
    let only = "operations = [\"payment\", \"preauth\", \"inquiry\", \"reversal\"]";
    let gateway = Gateway::start_able(ACCOUNTING, only).await;
    let (id, hold) = (paid(&gateway, "A-1").await, held(&gateway, "H-1").await);
    for path in [
        format!("/v1/payments/{id}/refunds"),
        format!("/v1/payments/{id}/void"),
        format!("/v1/preauths/{hold}/capture"),
        format!("/v1/preauths/{hold}/void"),
    ] {
        let refused = gateway.post("core", &path, &json!({ "order_id": "R-1" })).await;
        assert_eq!(refused.problem(), (422, "operation_not_supported".to_owned()), "{path}");
    }
    let whole = "operations = [\"payment\", \"refund\", \"inquiry\", \"reversal\"]\n\
                 partial_refund = false";
    let gateway = Gateway::start_able(ACCOUNTING, whole).await;
    let id = paid(&gateway, "A-1").await;
    let path = format!("/v1/payments/{id}/refunds");
    let part = gateway.post("core", &path, &json!({ "order_id": "R-1", "amount": 5 })).await;
    assert_eq!(part.problem(), (422, "operation_not_supported".to_owned()));
    assert_eq!(part.json()["field"], "amount");
    let refused = gateway.post("core", "/v1/preauths", &payment("H-1")).await;
    assert_eq!(refused.problem(), (422, "no_route".to_owned()));
}

#[tokio::test]
async fn i_11_a_card_that_is_needed_again_must_be_the_same_and_is_not_kept() {
    let needy = format!("{}\nfollow_up_needs_card = true", crate::unionpay::ALL_OPERATIONS);
    let gateway = Gateway::start_able(ACCOUNTING, &needy).await;
    let id = paid(&gateway, "A-1").await;
    let path = format!("/v1/payments/{id}/refunds");
    let body = json!({ "order_id": "R-1", "amount": 5 });
    let without = send(&gateway, &path, &body).await;
    assert_eq!(without.problem(), (422, "card_required".to_owned()));
    let other = with(body.clone(), "/card", json!({ "pan": OTHER_CARD }));
    let other = send(&gateway, &path, &other).await;
    assert_eq!(other.problem(), (422, "card_differs".to_owned()));
    assert!(!other.text.contains(&OTHER_CARD[6..]), "I-11: {}", other.text);
    let same = with(body, "/card", json!({ "pan": CARD }));
    let taken = send(&gateway, &path, &same).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    let kept = gateway.order_when("R-1", |order| order.sealed_pan.is_some()).await;
    assert!(kept.attempts.is_empty());
    book_all(&gateway).await;
    let ended = gateway.order_when("R-1", |order| order.status.is_final()).await;
    assert!(ended.sealed_pan.is_none() && ended.attempts[0].sealed_pan.is_none());
}

#[tokio::test]
async fn an_operator_withdraws_what_accounting_refuses() {
    let gateway = start().await;
    let id = paid(&gateway, "A-1").await;
    book_all(&gateway).await;
    let path = format!("/v1/payments/{id}/refunds");
    let refund = send(&gateway, &path, &json!({ "order_id": "R-1" })).await.json();
    let mut request = request_of(&gateway, refund["id"].as_str().expect("an id")).await;
    let path = format!("/v1/accounting-requests/{}/withdraw", request.id);
    let why = json!({ "reason": "the merchant has no balance" });
    let early = gateway.post("operator", &path, &why).await;
    assert_eq!(early.problem(), (409, "wrong_phase".to_owned()));
    request.delivery.status = DeliveryStatus::Parked;
    request.delivery.version += 1;
    let writes = WriteSet { accounting: vec![request], ..WriteSet::default() };
    gateway.store.commit(&writes).await.expect("it is written");
    let core = gateway.post("core", &path, &why).await;
    assert_eq!(core.problem(), (403, "forbidden".to_owned()));
    let no_reason = gateway.post("operator", &path, &json!({})).await;
    assert_eq!(no_reason.problem(), (400, "missing_field".to_owned()));
    let ended = gateway.post("operator", &path, &why).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    let shown = members(&ended.json(), &["id", "status", "reason"]);
    assert_eq!(shown, json!([refund["id"], "failed", "operator_decision"]));
    assert_eq!(gateway.bank.calls(), 1, "nothing was sent");
    let list = gateway.request("auditor", Method::GET, "/v1/accounting-requests?state=withdrawn");
    let list = gateway.send(list).await.json();
    assert_eq!(list["accounting_requests"][0]["order"], refund["id"]);
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    assert_eq!(audit["entries"][0]["action"], "accounting.withdraw");
}
