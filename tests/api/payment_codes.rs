//! `/v1/payment-codes`: a code is sent under the number of the payment to come, which brings it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use switchyard::channel::{AttemptFacts, ChannelRequest, IssuedToken, ReplyMeaning, ServiceFacts};
use switchyard::domain::attempt::Operation;
use switchyard::domain::card::CardToken;
use switchyard::domain::ids::{CallerId, CallerOrderId};
use switchyard::domain::outcome::{Decline, Outcome, Reason};
use switchyard::domain::payment_code::{CodedKind, PaymentCode, PaymentCodeState};
use switchyard::domain::write_set::WriteSet;

use crate::gateway::{Answer, CARD, Gateway, approved, payment, unknown, with};

const PATH: &str = "/v1/payment-codes";
const PHONE: &str = "13800138473";
const CODE: &str = "739162";
const ABLE: &str = "operations = [\"payment\", \"preauth\", \"refund\", \"inquiry\", \"reversal\", \
                    \"agreement_code\", \"agreement_confirmation\", \"payment_code\"]\n\
                    instruments = [\"card\", \"agreement\"]";

async fn able() -> Gateway {
    Gateway::start_able("", ABLE).await
}

fn asked(order_id: &str) -> Value {
    json!({
        "order_id": order_id, "merchant_id": "m-42", "amount": 12_345, "currency": "CNY",
        "card": { "pan": CARD, "phone": PHONE },
    })
}

fn again(order_id: &str) -> Value {
    with(asked(order_id), "/resend", true.into())
}

fn coded(order_id: &str) -> Value {
    with(payment(order_id), "/sms_code", CODE.into())
}

fn declined(reason: Reason) -> Outcome {
    Outcome::Declined(Decline { reason, code: "66".to_owned(), elsewhere: false })
}

async fn send(gateway: &Gateway, body: &Value) -> Answer {
    gateway.post("core", PATH, body).await
}

async fn shown(gateway: &Gateway, order_id: &str) -> Value {
    gateway.get("core", &format!("{PATH}?order_id={order_id}")).await.json()
}

async fn kept(gateway: &Gateway, order_id: &str) -> PaymentCode {
    let (caller, id) = (CallerId::from_stored("core"), CallerOrderId::from_stored(order_id));
    gateway.store.payment_code(caller, id).await.expect("a read").expect("a row")
}

fn service(request: &ChannelRequest) -> ServiceFacts {
    let ChannelRequest::Service { facts, .. } = request else { panic!("no service: {request:?}") };
    facts.clone()
}

fn charge(request: &ChannelRequest) -> AttemptFacts {
    let ChannelRequest::Charge { facts, .. } = request else { panic!("no charge: {request:?}") };
    facts.clone()
}

#[tokio::test]
async fn a_payment_has_the_number_and_time_under_which_its_code_was_sent() {
    let gateway = able().await;
    let sent = send(&gateway, &asked("A-1")).await;
    let body = sent.json();
    assert_eq!((sent.status, &body["state"]), (StatusCode::OK, &json!("sent")), "{body}");
    assert_eq!((&body["channel"], &body["requests"]), (&json!("unionpay"), &json!(1)));
    gateway.later(Duration::from_secs(40));
    let paid = gateway.pay(&coded("A-1")).await;
    let order = paid.json();
    assert_eq!((paid.status, &order["status"]), (StatusCode::OK, &json!("succeeded")), "{order}");
    assert_eq!(order["channel_order_no"], body["channel_order_no"]);
    let attempt = &order["attempts"][0];
    assert_eq!(attempt["announced_at"], body["created_at"]);
    assert_ne!(attempt["sent_at"], body["created_at"]);
    let requests = gateway.bank.asked();
    let (code, charge) = (service(&requests[0]), charge(&requests[1]));
    assert_eq!(code.channel_order_no, charge.channel_order_no);
    assert_eq!((charge.announced_at, charge.named_at()), (Some(code.sent_at), code.sent_at));
    assert!(charge.sent_at > code.sent_at, "it ages from when it was sent itself");
    let id = order["id"].as_str().expect("an id");
    let path = format!("/v1/orders/{id}/story?language=en");
    let story = gateway.get("operator", &path).await.json();
    let told = &story["events"][0];
    assert_eq!((&told["kind"], &told["at"]), (&json!("code_sent"), &body["created_at"]), "{story}");
    let words = format!(
        "unionpay was asked to send the payer a code for a payment of 123.45 CNY, under {}",
        body["channel_order_no"].as_str().expect("a number")
    );
    assert_eq!(told["words"].as_str().map(str::to_lowercase), Some(words.to_lowercase()));
    assert_eq!(story["events"][1]["kind"], "asked");
    // Both are spent, and repeats are answered without the channel (I-9).
    let repeat = gateway.pay(&coded("A-1")).await;
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    assert_eq!(repeat.json()["id"], order["id"]);
    let spent = send(&gateway, &asked("A-1")).await;
    assert_eq!(spent.header("idempotent-replayed"), Some("true"));
    assert_eq!(spent.json()["state"], "spent");
    let refused = send(&gateway, &again("A-1")).await;
    assert_eq!(refused.problem(), (409, "code_not_sent".to_owned()));
    assert_eq!(gateway.bank.calls(), 2);
}

#[tokio::test]
async fn a_pre_authorisation_has_the_number_and_time_under_which_its_code_was_sent() {
    let gateway = able().await;
    let hold = async |order_id: &str| gateway.post("core", "/v1/preauths", &coded(order_id)).await;
    let of_hold = |order_id: &str| with(asked(order_id), "/kind", "preauth".into());
    assert_eq!(hold("H-1").await.problem(), (409, "no_payment_code".to_owned()));
    let sent = send(&gateway, &of_hold("H-1")).await.json();
    assert_eq!((&sent["state"], &sent["kind"]), (&json!("sent"), &json!("preauth")), "{sent}");
    gateway.later(Duration::from_secs(40));
    let held = hold("H-1").await.json();
    assert_eq!((&held["status"], &held["kind"]), (&json!("succeeded"), &json!("preauth")));
    assert_eq!(held["channel_order_no"], sent["channel_order_no"]);
    assert_eq!(held["attempts"][0]["announced_at"], sent["created_at"]);
    let requests = gateway.bank.asked();
    let Some(ChannelRequest::Service { subject, .. }) = requests.first() else { panic!("a code") };
    assert_eq!(subject.charge.map(|charge| charge.kind), Some(CodedKind::Preauth));
    assert_eq!(charge(&requests[1]).operation, Operation::Preauth);
    assert_eq!(shown(&gateway, "H-1").await["state"], "spent");
    assert_eq!(hold("H-1").await.header("idempotent-replayed"), Some("true"));
    assert_eq!(gateway.bank.calls(), 2);
}

#[tokio::test]
async fn a_code_of_one_kind_is_no_order_of_the_other() {
    let gateway = able().await;
    send(&gateway, &asked("A-1")).await;
    send(&gateway, &with(asked("H-1"), "/kind", "preauth".into())).await;
    let held = gateway.post("core", "/v1/preauths", &coded("A-1")).await;
    let paid = gateway.pay(&coded("H-1")).await;
    let resent = send(&gateway, &with(again("A-1"), "/kind", "preauth".into())).await;
    let untold = send(&gateway, &again("H-1")).await;
    for refused in [held, paid, resent, untold] {
        assert_eq!(refused.problem(), (409, "order_id_conflict".to_owned()), "{}", refused.text);
        assert_eq!(refused.json()["field"], "kind");
    }
    assert_eq!(gateway.bank.calls(), 2, "two codes, and nothing by them");
    let told = send(&gateway, &with(asked("A-1"), "/kind", "payment".into())).await;
    assert_eq!(told.header("idempotent-replayed"), Some("true"), "a payment is meant if unsaid");
    assert_eq!(gateway.pay(&coded("A-1")).await.json()["status"], "succeeded");
}

#[tokio::test]
async fn i_9_a_repeat_sends_nothing_and_another_content_is_refused() {
    let gateway = able().await;
    let first = send(&gateway, &asked("A-1")).await;
    let repeat = send(&gateway, &asked("A-1")).await;
    assert_eq!(first.json(), repeat.json());
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    for (field, other) in [
        ("amount", json!(12_346)),
        ("currency", json!("USD")),
        ("merchant_id", json!("m-43")),
        ("card.pan", json!(["621626", "10000000000", "26"].concat())),
    ] {
        let pointer = format!("/{}", field.replace('.', "/"));
        for resend in [false, true] {
            let body = with(with(asked("A-1"), &pointer, other.clone()), "/resend", resend.into());
            let refused = send(&gateway, &body).await;
            assert_eq!(refused.problem(), (409, "order_id_conflict".to_owned()), "{field}");
            assert_eq!(refused.json()["field"], field);
        }
        // No channel takes dollars, which is found out before the code is looked for.
        if field == "currency" {
            continue;
        }
        let refused = gateway.pay(&with(coded("A-1"), &pointer, other)).await;
        assert_eq!(refused.problem(), (409, "order_id_conflict".to_owned()), "{field}");
        assert_eq!(refused.json()["field"], field);
    }
    assert_eq!(gateway.bank.calls(), 1);
    let theirs = gateway.get("other", &format!("{PATH}?order_id=A-1")).await;
    assert_eq!(theirs.problem(), (404, "not_found".to_owned()));
    let theirs = gateway.post("other", "/v1/payments", &coded("A-1")).await;
    assert_eq!(theirs.problem(), (409, "no_payment_code".to_owned()), "it is the caller's own");
    let found = gateway.get("auditor", &format!("{PATH}?order_id=A-1&caller=core")).await;
    assert_eq!(found.json(), first.json());
}

#[tokio::test]
async fn without_a_code_that_can_have_come_nothing_is_paid_by_one() {
    let gateway = able().await;
    let never = gateway.pay(&coded("A-1")).await;
    assert_eq!(never.problem(), (409, "no_payment_code".to_owned()));
    gateway.bank.will_answer(declined(Reason::IdentityMismatch));
    let refused = send(&gateway, &asked("A-2")).await;
    let body = refused.json();
    assert_eq!((refused.status, &body["state"]), (StatusCode::OK, &json!("refused")), "{body}");
    assert_eq!((&body["reason"], &body["code"]), (&json!("identity_mismatch"), &json!("66")));
    assert!(body["channel_order_no"].is_null() && body["ends_at"].is_null(), "{body}");
    let none = gateway.pay(&coded("A-2")).await;
    assert_eq!(none.problem(), (409, "no_payment_code".to_owned()));
    assert_eq!(gateway.bank.calls(), 1, "nothing was charged");
    // The phone may be corrected: it is no part of what the code is bound to.
    let corrected = with(again("A-2"), "/card/phone", "13800138474".into());
    let sent = send(&gateway, &corrected).await.json();
    assert_eq!((&sent["state"], &sent["requests"]), (&json!("sent"), &json!(2)), "{sent}");
    assert_eq!(gateway.pay(&coded("A-2")).await.json()["status"], "succeeded");
}

#[tokio::test]
async fn a_lost_answer_to_a_code_is_no_hindrance() {
    let gateway = able().await;
    gateway.bank.will_answer(unknown());
    let unsure = send(&gateway, &asked("A-1")).await;
    let body = unsure.json();
    assert_eq!((unsure.status, &body["state"]), (StatusCode::ACCEPTED, &json!("unknown")));
    assert_eq!(body["unknown_cause"], "timed_out");
    let order = gateway.pay(&coded("A-1")).await.json();
    assert_eq!(
        (&order["status"], &order["channel_order_no"]),
        (&json!("succeeded"), &body["channel_order_no"])
    );
}

#[tokio::test]
async fn a_refused_resend_leaves_the_code_that_may_have_come() {
    let gateway = able().await;
    let first = send(&gateway, &asked("A-1")).await.json();
    gateway.bank.will_answer(declined(Reason::LimitExceeded));
    let refused = send(&gateway, &again("A-1")).await.json();
    assert_eq!(
        (&refused["state"], &refused["reason"]),
        (&json!("refused"), &json!("limit_exceeded"))
    );
    assert_eq!(refused["channel_order_no"], first["channel_order_no"]);
    let second = send(&gateway, &again("A-1")).await.json();
    assert_ne!(second["channel_order_no"], first["channel_order_no"], "a number of its own");
    let order = gateway.pay(&coded("A-1")).await.json();
    assert_eq!(order["channel_order_no"], second["channel_order_no"]);
    for _ in 0..5 {
        send(&gateway, &again("A-2")).await;
    }
    let sixth = send(&gateway, &again("A-2")).await;
    assert_eq!(sixth.problem(), (409, "code_not_sent".to_owned()));
}

#[tokio::test]
async fn a_wrong_code_fails_its_payment_with_the_channel_s_reason() {
    let gateway = able().await;
    send(&gateway, &asked("A-1")).await;
    gateway.bank.will_answer(declined(Reason::WrongSmsCode));
    let failed = gateway.pay(&coded("A-1")).await.json();
    assert_eq!(
        (&failed["status"], &failed["reason"]),
        (&json!("failed"), &json!("wrong_sms_code"))
    );
    assert_eq!(failed["attempts"].as_array().map(Vec::len), Some(1), "no other channel knows it");
    assert_eq!(shown(&gateway, "A-1").await["state"], "spent");
    let other = gateway.pay(&coded("A-2")).await;
    assert_eq!(other.problem(), (409, "no_payment_code".to_owned()), "another id, another code");
}

#[tokio::test]
async fn a_code_ends_by_its_time_and_another_one_can_be_sent() {
    let gateway = able().await;
    let first = send(&gateway, &asked("A-1")).await.json();
    gateway.later(Duration::from_secs(15 * 60 - 1));
    assert_eq!(shown(&gateway, "A-1").await["state"], "sent");
    gateway.later(Duration::from_secs(2));
    assert_eq!(shown(&gateway, "A-1").await["state"], "ended");
    let late = gateway.pay(&coded("A-1")).await;
    assert_eq!(late.problem(), (409, "no_payment_code".to_owned()));
    assert_eq!(gateway.bank.calls(), 1, "nothing was charged");
    let second = send(&gateway, &again("A-1")).await.json();
    assert_eq!((&second["state"], &second["requests"]), (&json!("sent"), &json!(1)), "anew");
    assert_ne!(second["channel_order_no"], first["channel_order_no"]);
    let order = gateway.pay(&coded("A-1")).await.json();
    assert_eq!(order["channel_order_no"], second["channel_order_no"]);
}

/// By its end the core was told until when it is good, and whoever looks for orders by time reckons
/// with it: so the clock that told it ends the code too, however it came to show that time.
#[tokio::test]
async fn a_code_ends_by_the_clock_that_told_its_end() {
    let gateway = able().await;
    send(&gateway, &asked("A-1")).await;
    gateway.clock_jumps(Duration::from_secs(3_600));
    assert_eq!(shown(&gateway, "A-1").await["state"], "ended");
    let late = gateway.pay(&coded("A-1")).await;
    assert_eq!(late.problem(), (409, "no_payment_code".to_owned()));
    assert_eq!(gateway.bank.calls(), 1, "nothing was charged");
    assert_eq!(send(&gateway, &again("A-1")).await.json()["state"], "sent");
}

#[tokio::test]
async fn a_call_at_the_same_time_sends_no_second_code() {
    let gateway = able().await;
    gateway.bank.hold();
    let waiting = gateway.posting("core", PATH, &asked("A-1")).header("prefer", "wait=0");
    let first = gateway.send(waiting).await;
    assert_eq!(
        (first.status, first.json()["state"].clone()),
        (StatusCode::ACCEPTED, json!("sending"))
    );
    let second = send(&gateway, &asked("A-1")).await;
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(second.json()["channel_order_no"], first.json()["channel_order_no"]);
    let resent = send(&gateway, &again("A-1")).await;
    assert_eq!(resent.problem(), (409, "code_not_sent".to_owned()));
    gateway.bank.let_go();
    while shown(&gateway, "A-1").await["state"] == "sending" {
        tokio::task::yield_now().await;
    }
    assert_eq!(shown(&gateway, "A-1").await["state"], "sent");
    assert_eq!(gateway.bank.calls(), 1);
}

/// The call dies between its commit and the channel's answer, or before anything has left.
#[tokio::test]
async fn a_code_whose_call_has_died_may_have_come() {
    let gateway = able().await;
    send(&gateway, &asked("A-0")).await;
    let model = kept(&gateway, "A-0").await;
    let number = gateway.state.engine.next_order_id().await.expect("a number");
    let now = gateway.state.engine.clock().now();
    for order_id in ["A-1", "A-2"] {
        let mut request = model.asked.clone();
        request.caller_order_id = CallerOrderId::from_stored(order_id);
        let row = PaymentCode::begun(request, model.channel.clone(), number, now);
        let writes = WriteSet { payment_codes: vec![row], ..WriteSet::default() };
        gateway.store.commit(&writes).await.expect("it is written");
    }
    assert_eq!(shown(&gateway, "A-1").await["state"], "sending", "nobody says that it died yet");
    let order = gateway.pay(&coded("A-1")).await.json();
    assert_eq!((&order["id"], &order["status"]), (&json!(number.to_string()), &json!("succeeded")));
    gateway.later(Duration::from_secs(120));
    let lost = shown(&gateway, "A-2").await;
    assert_eq!(
        (&lost["state"], &lost["unknown_cause"]),
        (&json!("unknown"), &json!("process_died"))
    );
    let resent = send(&gateway, &again("A-2")).await.json();
    assert_eq!(resent["state"], "sent", "{resent}");
}

#[tokio::test]
async fn of_two_calls_with_one_code_one_is_the_payment() {
    let gateway = able().await;
    send(&gateway, &asked("A-1")).await;
    let body = coded("A-1");
    let (one, two) = tokio::join!(gateway.pay(&body), gateway.pay(&body));
    assert_eq!((one.status, two.status), (StatusCode::OK, StatusCode::OK), "{}", two.text);
    assert_eq!(one.json()["id"], two.json()["id"]);
    assert_eq!(gateway.bank.calls(), 2, "one code, one charge");
    assert_eq!(kept(&gateway, "A-1").await.state, PaymentCodeState::Spent);
}

#[tokio::test]
async fn a_payment_without_a_code_looks_for_none() {
    let gateway = able().await;
    let sent = send(&gateway, &asked("A-1")).await.json();
    let paid = gateway.pay(&payment("A-1")).await.json();
    assert_eq!(paid["status"], "succeeded");
    assert_ne!(paid["channel_order_no"], sent["channel_order_no"]);
    assert!(paid["attempts"][0]["announced_at"].is_null());
    assert_eq!(kept(&gateway, "A-1").await.state, PaymentCodeState::Sent, "nobody touched it");
    let refused = send(&gateway, &again("A-1")).await;
    assert_eq!(refused.problem(), (409, "code_not_sent".to_owned()), "the id has its order");
    let repeat = gateway.pay(&coded("A-1")).await;
    assert_eq!(repeat.json()["id"], paid["id"], "the same order, whatever the code");
    gateway.pay(&payment("A-2")).await;
    let late = send(&gateway, &asked("A-2")).await;
    assert_eq!(late.problem(), (409, "code_not_sent".to_owned()));
}

#[tokio::test]
async fn the_code_of_a_payment_by_agreement_is_bound_in_the_same_way() {
    let gateway = able().await;
    let card = json!({ "pan": CARD, "phone": PHONE });
    let agreement = json!({ "order_id": "G-1", "merchant_id": "m-42", "card": card });
    let opened = gateway.post("core", "/v1/agreements", &agreement).await.json();
    let id = opened["id"].as_str().expect("an id");
    let token = CardToken::parse("6235240000020757577", PHONE).expect("it is plain");
    let issued = IssuedToken { token, ends_at: None };
    let bound = ReplyMeaning::new(approved(), String::new()).with_issued(issued);
    gateway.bank.will_be_understood(bound);
    let path = format!("/v1/agreements/{id}/confirm");
    let confirmed = gateway.post("core", &path, &json!({ "code": CODE })).await.json();
    assert_eq!(confirmed["state"], "active", "{confirmed}");
    let by_agreement = |body: Value| {
        let body = with(body, "/card", Value::Null);
        with(body, "/agreement", id.into())
    };
    let unasked = gateway.pay(&by_agreement(coded("A-1"))).await;
    assert_eq!(unasked.problem(), (409, "no_payment_code".to_owned()));
    let sent = send(&gateway, &by_agreement(asked("A-1"))).await.json();
    assert_eq!((&sent["state"], &sent["agreement"]), (&json!("sent"), &json!(id)), "{sent}");
    let by_card = gateway.pay(&coded("A-1")).await;
    assert_eq!(by_card.json()["field"], "agreement", "{}", by_card.text);
    let paid = gateway.pay(&by_agreement(coded("A-1"))).await.json();
    assert_eq!(
        (&paid["status"], &paid["channel_order_no"]),
        (&json!("succeeded"), &sent["channel_order_no"])
    );
    let other = with(by_agreement(asked("A-2")), "/phone", "13800138474".into());
    assert_eq!(send(&gateway, &other).await.json()["state"], "sent");
    let requests = gateway.bank.asked();
    let Some(ChannelRequest::Service { subject, .. }) = requests.last() else { panic!("a code") };
    assert_eq!(subject.token.as_ref().map(|token| token.phone()), Some("13800138474"));
    let unknown = with(by_agreement(asked("A-3")), "/agreement", "2611220000000000917".into());
    let refused = send(&gateway, &unknown).await;
    assert_eq!(refused.problem(), (422, "no_agreement".to_owned()));
    gateway.post("core", &format!("/v1/agreements/{id}/end"), &json!({})).await;
    for body in [asked("A-4"), again("A-2")] {
        let late = send(&gateway, &by_agreement(body)).await;
        assert_eq!(late.problem(), (409, "agreement_not_active".to_owned()));
    }
    let repeat = send(&gateway, &by_agreement(asked("A-2"))).await;
    assert_eq!(repeat.json()["state"], "sent", "a repeat is answered all the same");
}

#[tokio::test]
async fn the_channel_that_has_sent_the_code_is_the_only_one_for_its_payment() {
    let gateway = able().await;
    send(&gateway, &asked("A-1")).await;
    let switch = json!({ "enabled": false, "reason": "the bank's call" });
    let patch = gateway.request("operator", Method::PATCH, "/v1/channels/unionpay");
    let patch = patch.header("content-type", "application/json").body(switch.to_string());
    let off = gateway.send(patch).await;
    assert!(off.status.is_success(), "{}", off.text);
    let refused = gateway.pay(&coded("A-1")).await;
    assert_eq!(refused.problem(), (422, "no_route".to_owned()));
    let none = Gateway::start().await;
    let refused = send(&none, &asked("A-1")).await;
    assert_eq!(refused.problem(), (422, "no_route".to_owned()));
    assert_eq!(refused.json()["candidates"][0]["reason"], "operation");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let gateway = able().await;
    let no_phone = with(asked("A-1"), "/card/phone", Value::Null);
    assert_eq!(send(&gateway, &no_phone).await.json()["field"], "card.phone");
    for (pointer, value, field) in [
        ("/amount", json!("1"), "amount"),
        ("/resend", json!("yes"), "resend"),
        ("/kind", json!("refund"), "kind"),
        ("/card/pan", json!("1"), "card.pan"),
        ("/agreement", json!("2611220000000000917"), "card"),
        ("/sms_code", json!(CODE), "sms_code"),
        ("/order_id", json!(CARD), "order_id"),
    ] {
        let refused = send(&gateway, &with(asked("A-1"), pointer, value)).await;
        assert_eq!(refused.json()["field"], field, "{}", refused.text);
    }
    let short = gateway.pay(&with(coded("A-1"), "/sms_code", "12".into())).await;
    assert_eq!(short.json()["field"], "sms_code");
    let expired = with(asked("A-1"), "/card/expiry", "2001".into());
    assert_eq!(send(&gateway, &expired).await.problem(), (422, "expired_card".to_owned()));
    assert_eq!(gateway.bank.calls(), 0);
}

#[tokio::test]
async fn i_11_neither_code_nor_card_nor_phone_is_shown_or_kept() {
    let gateway = able().await;
    let sent = send(&gateway, &asked("A-1")).await;
    let row = format!("{:?}", kept(&gateway, "A-1").await);
    let paid = gateway.pay(&coded("A-1")).await;
    let shown = gateway.get("auditor", &format!("{PATH}?order_id=A-1&caller=core")).await;
    for secret in [CARD, CODE, PHONE, "621626"] {
        assert!(!sent.text.contains(secret) && !shown.text.contains(secret), "{secret}");
        assert!(!row.contains(secret), "{secret} rests: {row}");
    }
    assert!(!paid.text.contains(CODE) && !paid.text.contains(PHONE), "{}", paid.text);
}
