//! `/v1/verifications`: an answer for every outcome, given once.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use switchyard::domain::ids::{CallerId, CallerOrderId};
use switchyard::domain::outcome::{Decline, NotSentCause, Outcome, Reason};

use crate::gateway::{CARD, Gateway, pending, unknown};
use crate::unionpay;

const PATH: &str = "/v1/verifications";
const ABLE: &str = "operations = [\"payment\", \"inquiry\", \"reversal\", \"verification\"]";

fn asked(order_id: &str) -> Value {
    json!({
        "order_id": order_id,
        "merchant_id": "m-1",
        "card": {
            "pan": CARD, "holder": "ZHANG SANFENG", "id_type": "01",
            "id_number": "11010519491231002X", "phone": "13800138473",
        },
    })
}

fn declined(reason: Reason) -> Outcome {
    Outcome::Declined(Decline { reason, code: "66".to_owned(), elsewhere: false })
}

async fn able() -> Gateway {
    Gateway::start_able("", ABLE).await
}

#[tokio::test]
async fn every_outcome_is_answered_with_its_verdict() {
    let gateway = able().await;
    let rows = [
        (None, "matches", Value::Null, Value::Null, json!("00")),
        (
            Some(declined(Reason::IdentityMismatch)),
            "differs",
            json!("identity_mismatch"),
            Value::Null,
            json!("66"),
        ),
        (
            Some(declined(Reason::CardRestricted)),
            "refused",
            json!("card_restricted"),
            Value::Null,
            json!("66"),
        ),
        (
            Some(Outcome::NotSent(NotSentCause::NoConnection)),
            "refused",
            json!("channel_unavailable"),
            Value::Null,
            Value::Null,
        ),
        (Some(unknown()), "unknown", Value::Null, json!("timed_out"), Value::Null),
        (Some(pending()), "unknown", Value::Null, json!("channel_unsure"), json!("00")),
    ];
    for (place, (outcome, verdict, reason, cause, code)) in rows.into_iter().enumerate() {
        outcome.into_iter().for_each(|outcome| gateway.bank.will_answer(outcome));
        let answer = gateway.post("core", PATH, &asked(&format!("V-{place}"))).await;
        let body = answer.json();
        assert_eq!(answer.status, StatusCode::OK, "{body}");
        assert_eq!(body["verdict"], verdict, "{body}");
        let found = (&body["reason"], &body["unknown_cause"], &body["code"]);
        assert_eq!(found, (&reason, &cause, &code), "{body}");
        assert_eq!(body["elements"], json!(["pan", "holder", "id_number", "phone"]));
        assert!(body["finished_at"].is_string());
        let id = body["id"].as_str().expect("an id");
        assert_eq!(gateway.get("core", &format!("{PATH}/{id}")).await.json(), body);
        assert_eq!(gateway.get("core", &format!("{PATH}?order_id=V-{place}")).await.json(), body);
    }
    let metrics = gateway.get("", "/metrics").await;
    assert_eq!(metrics.status, StatusCode::OK);
}

#[tokio::test]
async fn i_9_a_repeat_gets_the_same_answer_and_sends_nothing() {
    let gateway = able().await;
    gateway.bank.will_answer(unknown());
    let first = gateway.post("core", PATH, &asked("V-1")).await;
    let again = gateway.post("core", PATH, &asked("V-1")).await;
    assert_eq!((first.header("idempotent-replayed"), &first.text), (None, &again.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(gateway.bank.calls(), 1);
    for (field, value) in [
        ("pan", json!("4111111111111111")),
        ("holder", json!("ZHANG WUJI")),
        ("id_number", json!("110105194912310011")),
        ("phone", Value::Null),
    ] {
        let mut other = asked("V-1");
        other["card"][field] = value;
        let refused = gateway.post("core", PATH, &other).await;
        assert_eq!(refused.problem(), (409, "order_id_conflict".to_owned()));
        assert_eq!(refused.json()["field"], format!("card.{field}"));
    }
    assert_eq!(gateway.bank.calls(), 1);
    // The unknown one is asked anew under another id, and another caller has ids of its own.
    let anew = gateway.post("core", PATH, &asked("V-2")).await;
    assert_eq!(anew.json()["verdict"], "matches");
    let stranger = gateway.post("other", PATH, &asked("V-1")).await;
    assert_eq!(stranger.json()["verdict"], "matches");
    // An order may have the same id.
    let paid = gateway.pay(&crate::gateway::payment("V-1")).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.text);
}

#[tokio::test]
async fn a_verification_is_its_caller_s_own() {
    let gateway = able().await;
    let id = gateway.post("core", PATH, &asked("V-1")).await.json()["id"].clone();
    let path = format!("{PATH}/{}", id.as_str().expect("an id"));
    assert_eq!(gateway.get("other", &path).await.problem(), (404, "not_found".to_owned()));
    let by_name = format!("{PATH}?order_id=V-1&caller=core");
    assert_eq!(gateway.get("other", &by_name).await.problem(), (404, "not_found".to_owned()));
    for caller in ["operator", "auditor"] {
        assert_eq!(gateway.get(caller, &path).await.status, StatusCode::OK);
        assert_eq!(gateway.get(caller, &by_name).await.status, StatusCode::OK);
    }
    let refused = gateway.post("auditor", PATH, &asked("V-2")).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    let none = gateway.get("core", &format!("{PATH}/{}", "1".repeat(19))).await;
    assert_eq!(none.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn i_1_a_call_that_is_over_is_answered_with_what_is_durable() {
    let gateway = able().await;
    gateway.bank.hold();
    let request = gateway.posting("core", PATH, &asked("V-1")).header("prefer", "wait=0");
    let open = gateway.send(request).await;
    assert_eq!(open.status, StatusCode::ACCEPTED, "{}", open.text);
    let body = open.json();
    assert_eq!((&body["verdict"], &body["channel"]), (&Value::Null, &json!("unionpay")));
    // A repeat while the channel is asked sends nothing either.
    let again = gateway.post("core", PATH, &asked("V-1")).await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    gateway.bank.let_go();
    loop {
        let found = gateway.get("core", &format!("{PATH}?order_id=V-1")).await;
        if found.status == StatusCode::OK {
            assert_eq!(found.json()["verdict"], "matches");
            break;
        }
    }
    assert_eq!(gateway.bank.calls(), 1);
}

#[tokio::test]
async fn i_5_a_verification_whose_call_has_died_ends_unknown_and_stays_so() {
    let gateway = able().await;
    gateway.bank.hold();
    let request = gateway.posting("core", PATH, &asked("V-1")).header("prefer", "wait=0");
    assert_eq!(gateway.send(request).await.status, StatusCode::ACCEPTED);
    gateway.later(Duration::from_secs(3_600));
    let lost = gateway.get("core", &format!("{PATH}?order_id=V-1")).await;
    assert_eq!((lost.status, &lost.json()["verdict"]), (StatusCode::OK, &json!("unknown")));
    assert_eq!(lost.json()["unknown_cause"], "process_died");
    // What the call learns after all comes too late.
    gateway.bank.let_go();
    let (caller, id) = (CallerId::from_stored("core"), CallerOrderId::from_stored("V-1"));
    for _ in 0..100 {
        tokio::task::yield_now().await;
        let kept = gateway.store.verification_by_caller(caller.clone(), id.clone()).await;
        let kept = kept.expect("a read").expect("it is there");
        assert_eq!(kept.version, 2);
    }
    assert_eq!(gateway.post("core", PATH, &asked("V-1")).await.text, lost.text);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_and_nothing_is_sent() {
    let gateway = Gateway::start_able("", unionpay::ALL_OPERATIONS).await;
    let refused = gateway.post("core", PATH, &asked("V-1")).await;
    assert_eq!(refused.problem(), (422, "no_route".to_owned()));
    assert_eq!(refused.json()["candidates"][0]["reason"], "operation");
    let gateway = able().await;
    let mut alone = asked("V-1");
    alone["card"] = json!({ "pan": CARD });
    let mut dated = asked("V-1");
    dated["card"]["expiry"] = "2912".into();
    let mut priced = asked("V-1");
    priced["amount"] = 1.into();
    let mut short = asked("V-1");
    short["card"]["pan"] = "6216261000000000019".into();
    let mut leaky = asked(CARD);
    leaky["merchant_id"] = "m-1".into();
    for (body, problem) in [
        (alone, (400, "missing_field")),
        (dated, (400, "unknown_field")),
        (priced, (400, "unknown_field")),
        (short, (422, "invalid_card_number")),
        (leaky, (422, "card_number_found")),
    ] {
        let refused = gateway.post("core", PATH, &body).await;
        assert_eq!(refused.problem(), (problem.0, problem.1.to_owned()), "{}", refused.text);
        for secret in [CARD, "SANFENG", "11010519491231002X", "13800138473"] {
            assert!(!refused.text.contains(secret), "{}", refused.text);
        }
    }
    assert_eq!((gateway.bank.calls(), gateway.commits()), (0, 0));
    let put = gateway.send(gateway.request("core", Method::PUT, PATH)).await;
    assert_eq!(put.problem(), (405, "method_not_allowed".to_owned()));
}
