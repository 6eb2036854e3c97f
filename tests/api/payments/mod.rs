//! Payments: their answers, repeats, waits, and who may see them.

pub mod follow_ups;
mod merchant;
mod payouts;

use serde_json::{Value, json};

use crate::gateway::{CARD, Gateway, approved, payment, pending, unknown, with};
use crate::unionpay;

#[tokio::test]
async fn a_payment_is_answered_with_the_whole_order() {
    let gateway = Gateway::start().await;
    let answer = gateway.pay(&payment("A-1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!answer.text.contains(CARD), "I-11");
    let body = answer.json();
    for (pointer, expected) in [
        ("/order_id", json!("A-1")),
        ("/kind", json!("payment")),
        ("/status", json!("succeeded")),
        ("/amount", json!(12_345)),
        ("/currency", json!("CNY")),
        ("/settlement", json!("instant")),
        ("/merchant_id", json!("m-42")),
        ("/card/masked", json!("621626*********0018")),
        ("/card/bin", json!("621626")),
        ("/card/brand", json!("unionpay")),
        ("/channel", json!("unionpay")),
        ("/channel_reference", json!("ref-1")),
        ("/attempts/0/state", json!("approved")),
        ("/attempts/0/code", json!("00")),
        ("/attempts/0/ended_by", json!("reply")),
        ("/clearing_date", json!("2026-11-22")),
        ("/created_at", json!("2026-11-22T08:00:00.000Z")),
        ("/finished_at", json!("2026-11-22T08:00:00.000Z")),
    ] {
        assert_eq!(body.pointer(pointer), Some(&expected), "{pointer} of {body}");
    }
    let id = body["id"].as_str().expect("an id");
    assert_eq!(body["channel_order_no"], format!("{id}01"));
    assert_eq!(body["attempts"][0]["channel_order_no"], format!("{id}01"));
    assert!(body.get("reason").is_none() && body.get("released").is_none());

    let by_id = gateway.get("core", &format!("/v1/payments/{id}")).await;
    assert_eq!((by_id.status.as_u16(), by_id.json()), (200, body.clone()));
    let by_order_id = gateway.get("core", "/v1/payments?order_id=A-1").await;
    assert_eq!((by_order_id.status.as_u16(), by_order_id.json()), (200, body));
}

#[tokio::test]
async fn i_9_a_repeat_gets_the_same_answer_and_sends_nothing() {
    let gateway = Gateway::start().await;
    let first = gateway.pay(&payment("A-1")).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    let commits = gateway.commits();
    let again = gateway.pay(&payment("A-1")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((again.status, again.text), (first.status, first.text));
    assert_eq!((gateway.bank.calls(), gateway.commits()), (1, commits));
}

#[tokio::test]
async fn i_9_other_content_names_the_first_field_that_differs() {
    let gateway = Gateway::start().await;
    gateway.pay(&payment("A-1")).await;
    let commits = gateway.commits();
    let rows = [
        ("/merchant_id", json!("m-43"), "merchant_id"),
        ("/amount", json!(12_346), "amount"),
        ("/currency", json!("USD"), "currency"),
        ("/settlement", json!("escrow"), "settlement"),
        ("/card/expiry", json!("2912"), "card.expiry"),
        ("/card/holder", json!("李四"), "card.holder"),
        ("/description", json!("shoes"), "description"),
    ];
    for (pointer, value, field) in rows {
        let answer = gateway.pay(&with(payment("A-1"), pointer, value)).await;
        assert_eq!(answer.problem(), (409, "order_id_conflict".to_owned()), "{pointer}");
        assert_eq!(answer.json()["field"], field);
    }
    assert_eq!((gateway.bank.calls(), gateway.commits()), (1, commits));
    let other_caller = gateway.post("other", "/v1/payments", &payment("A-1")).await;
    assert_eq!(other_caller.status, 200, "another caller's ids are its own");
}

#[tokio::test]
async fn another_callers_order_does_not_exist() {
    let gateway = Gateway::start().await;
    let body = gateway.pay(&payment("A-1")).await.json();
    let path = format!("/v1/payments/{}", body["id"].as_str().expect("an id"));
    let not_found = (404, "not_found".to_owned());
    assert_eq!(gateway.get("other", &path).await.problem(), not_found);
    let release = json!({ "order_id": "R-1" });
    let released = gateway.post("other", &format!("{path}/release"), &release).await;
    assert_eq!(released.problem(), not_found);
    for path in ["/v1/payments?order_id=A-1", "/v1/payments?order_id=A-1&caller=core"] {
        assert_eq!(gateway.get("other", path).await.problem(), not_found, "{path}");
    }
    for caller in ["operator", "auditor"] {
        assert_eq!(gateway.get(caller, &path).await.status, 200);
        let asked = gateway.get(caller, "/v1/payments?order_id=A-1&caller=core").await;
        let mut asked = asked.json();
        let shown = asked.as_object_mut().expect("an object").remove("caller");
        assert_eq!((asked, shown), (body.clone(), Some(json!("core"))), "whose it is, besides");
    }
    for id in ["2611220000000000099", "x", "261122"] {
        let missing = gateway.get("core", &format!("/v1/payments/{id}")).await;
        assert_eq!(missing.problem(), not_found);
    }
}

#[tokio::test]
async fn i_12_a_202_tells_of_an_order_that_is_durable() {
    let gateway = Gateway::start().await;
    gateway.bank.hold();
    let request = gateway.posting("core", "/v1/payments", &payment("A-1"));
    let answer = gateway.send(request.header("prefer", "wait=0")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (202, &json!("processing")));
    assert_eq!(answer.header("preference-applied"), Some("wait=0"));
    assert_eq!(gateway.get("core", "/v1/payments?order_id=A-1").await.json(), answer.json());
    gateway.bank.let_go();
    gateway.order_when("A-1", |order| order.status.is_final()).await;
    assert_eq!(gateway.bank.calls(), 1);
}

#[tokio::test]
async fn i_12_no_202_leaves_before_the_order_is_durable() {
    let gateway = Gateway::start().await;
    gateway.disk.hold();
    gateway.bank.hold();
    let request = gateway.posting("core", "/v1/payments", &payment("A-1"));
    let call = tokio::spawn(request.header("prefer", "wait=0").send());
    // Other calls are answered meanwhile, which gives this one every chance to be too early.
    for _ in 0..50 {
        assert_eq!(gateway.get("core", "/v1/payments?order_id=A-1").await.status, 404);
        assert!(!call.is_finished(), "nothing is durable yet");
    }
    gateway.disk.let_go();
    let answer = call.await.expect("the call does not panic").expect("an answer");
    assert_eq!(answer.status(), 202);
    assert_eq!(gateway.get("core", "/v1/payments?order_id=A-1").await.status, 200);
}

#[tokio::test]
async fn i_9_a_repeat_that_does_not_wait_is_compared_all_the_same() {
    let gateway = Gateway::start().await;
    let first = gateway.pay(&payment("A-1")).await;
    gateway.later(std::time::Duration::from_secs(1));
    let impatient = |body: Value| {
        let request = gateway.posting("core", "/v1/payments", &body);
        gateway.send(request.header("prefer", "wait=0"))
    };
    // The engine compares at its commit, which does not come within the wait.
    gateway.disk.hold();
    for next_day in [false, true] {
        if next_day {
            // Its first number is leased, which does not come either.
            gateway.later(std::time::Duration::from_secs(86_400));
        }
        let again = impatient(payment("A-1")).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        for (pointer, value) in [("/amount", json!(1)), ("/card/holder", json!("李四"))] {
            let other = impatient(with(payment("A-1"), pointer, value)).await;
            assert_eq!(other.problem(), (409, "order_id_conflict".to_owned()), "{pointer}");
        }
    }
    assert_eq!(gateway.bank.calls(), 1);
}

#[tokio::test]
async fn a_new_order_on_a_disk_that_hangs_is_not_answered_as_if_it_were_kept() {
    let gateway = Gateway::start().await;
    gateway.pay(&payment("A-1")).await;
    gateway.disk.hold();
    let impatient = |id: &str| {
        let request = gateway.posting("core", "/v1/payments", &payment(id));
        gateway.send(request.header("prefer", "wait=0"))
    };
    // One hangs in its commit, the other one in the lease of its number.
    let in_commit = impatient("A-2");
    let in_lease = async {
        gateway.later(std::time::Duration::from_secs(86_400));
        impatient("A-3").await
    };
    let (in_commit, in_lease) = tokio::join!(in_commit, in_lease);
    for answer in [in_commit, in_lease] {
        assert_eq!(answer.problem(), (503, "queue_full".to_owned()));
    }
    gateway.disk.let_go();
    let again = gateway.pay(&payment("A-2")).await;
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn an_open_call_is_answered_when_the_notice_is_durable() {
    let gateway = Gateway::start().await;
    gateway.bank.will_answer(pending());
    let request = gateway.posting("core", "/v1/payments", &payment("A-1"));
    let request = request.header("prefer", "wait=600");
    let call = tokio::spawn(request.send());
    let is_pending = |state: &str| state == "pending";
    let order = gateway.order_when("A-1", |order| is_pending(order.attempts[0].state.name())).await;
    let number = order.channel_order_no(1).to_string();
    let notice = unionpay::notice(&number, "20261122160000", &[]);
    let request = gateway.request("", reqwest::Method::POST, "/notices/unionpay").body(notice);
    let taken = gateway.send(request).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    let answer = call.await.expect("the call does not panic").expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["preference-applied"], "wait=60", "the settings' bound");
    let body: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    assert_eq!(body["status"], "succeeded");
    assert_eq!(body["attempts"][0]["ended_by"], "notice");
}

#[tokio::test]
async fn an_unknown_is_told_at_once_and_never_as_a_failure() {
    let gateway = Gateway::start().await;
    gateway.bank.will_answer(unknown());
    let answer = gateway.pay(&payment("A-1")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (202, &json!("unknown")));
    assert_eq!(answer.json()["attempts"][0]["unknown_cause"], "timed_out");
    assert!(answer.json().get("finished_at").is_none());
}

#[tokio::test]
async fn a_caller_that_hangs_up_stops_nothing() {
    let gateway = Gateway::start().await;
    gateway.bank.hold();
    let request = gateway.posting("core", "/v1/payments", &payment("A-1"));
    let call = tokio::spawn(request.send());
    gateway.order_when("A-1", |order| !order.attempts.is_empty()).await;
    call.abort();
    gateway.bank.will_answer(approved());
    gateway.bank.let_go();
    let order = gateway.order_when("A-1", |order| order.status.is_final()).await;
    assert_eq!(order.status.name(), "succeeded");
}

#[tokio::test]
async fn escrow_is_released_in_parts_and_never_beyond() {
    let gateway = Gateway::start().await;
    let escrow = with(payment("A-1"), "/settlement", json!("escrow"));
    let paid = gateway.pay(&escrow).await.json();
    assert_eq!(paid["released"], 0);
    let path = format!("/v1/payments/{}", paid["id"].as_str().expect("an id"));
    let release = format!("{path}/release");
    let part = json!({ "order_id": "R-1", "amount": 12_000 });
    let first = gateway.post("core", &release, &part).await;
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!((&first.json()["kind"], &first.json()["of"]), (&json!("release"), &paid["id"]));
    assert!(first.json().get("card").is_none() && first.json().get("channel").is_none());
    let beyond = gateway.post("core", &release, &json!({"order_id": "R-2", "amount": 346})).await;
    assert_eq!(beyond.problem(), (422, "exceeds_left".to_owned()));
    assert_eq!(beyond.json()["left"], 345);
    for replayed in [None, Some("true")] {
        let rest = gateway.post("core", &release, &json!({ "order_id": "R-3" })).await;
        assert_eq!((rest.status.as_u16(), &rest.json()["amount"]), (200, &json!(345)));
        assert_eq!(rest.header("idempotent-replayed"), replayed);
    }
    assert_eq!(gateway.get("core", &path).await.json()["released"], 12_345);
    let nothing_left = gateway.post("core", &release, &json!({ "order_id": "R-4" })).await;
    assert_eq!(nothing_left.problem(), (422, "exceeds_left".to_owned()));
    let conflict = gateway.post("core", &release, &json!({"order_id": "R-1", "amount": 1})).await;
    assert_eq!(conflict.problem(), (409, "order_id_conflict".to_owned()));
}

#[tokio::test]
async fn only_a_succeeded_escrow_payment_is_released() {
    let gateway = Gateway::start().await;
    let instant = gateway.pay(&payment("A-1")).await.json();
    gateway.bank.will_answer(unknown());
    let open = gateway.pay(&with(payment("A-2"), "/settlement", json!("escrow"))).await.json();
    for (order, code) in [(instant, "not_escrow"), (open, "not_succeeded")] {
        let path = format!("/v1/payments/{}/release", order["id"].as_str().expect("an id"));
        let refused = gateway.post("core", &path, &json!({ "order_id": "R-1" })).await;
        assert_eq!(refused.problem(), (409, code.to_owned()));
    }
}
