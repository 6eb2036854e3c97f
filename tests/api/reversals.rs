//! The temp reversal table, and an operator's say about it.

use serde_json::{Value, json};

use crate::gateway::{Gateway, members, payment, pending, unknown};

/// An unknown payment, and its id.
async fn unknown_payment(gateway: &Gateway, order_id: &str) -> String {
    gateway.bank.will_answer(unknown());
    let body = gateway.pay(&payment(order_id)).await.json();
    body["id"].as_str().expect("an id").to_owned()
}

fn ids(page: &Value) -> Vec<&str> {
    let rows = page["reversals"].as_array().into_iter().flatten();
    rows.filter_map(|row| row["id"].as_str()).collect()
}

#[tokio::test]
async fn the_table_is_shown_in_pages_and_by_phase() {
    let gateway = Gateway::start().await;
    let mut expected = Vec::new();
    for order_id in ["A-1", "A-2", "A-3"] {
        expected.push(unknown_payment(&gateway, order_id).await);
    }
    let first = gateway.get("auditor", "/v1/reversals?limit=2").await.json();
    assert_eq!(ids(&first), expected[..2]);
    let after = first["next"].as_str().expect("a next page");
    let rest = gateway.get("auditor", &format!("/v1/reversals?limit=2&after={after}")).await.json();
    assert_eq!(ids(&rest), expected[2..]);
    assert!(rest.get("next").is_none());
    for (filter, count) in [
        ("phase=inquiring", 3),
        ("phase=operator", 0),
        ("channel=unionpay", 3),
        ("channel=none", 0),
        ("channel=unionpay&phase=inquiring", 3),
    ] {
        let page = gateway.get("auditor", &format!("/v1/reversals?{filter}")).await.json();
        assert_eq!(ids(&page).len(), count, "{filter}");
    }
    let one = gateway.get("auditor", &format!("/v1/reversals/{}", expected[0])).await.json();
    assert_eq!((&one["phase"], &one["order"]["status"]), (&json!("inquiring"), &json!("unknown")));
    assert_eq!(members(&one, &["amount", "age_ms"]), json!([12_345, 0]));
}

#[tokio::test]
async fn i_3_an_operator_ends_an_unknown_with_a_reason_that_is_kept() {
    let gateway = Gateway::start().await;
    for (place, outcome) in ["succeeded", "failed", "reversed"].into_iter().enumerate() {
        let id = unknown_payment(&gateway, &format!("A-{place}")).await;
        let path = format!("/v1/reversals/{id}/resolve");
        let unsigned = gateway.post("operator", &path, &json!({ "outcome": outcome })).await;
        assert_eq!(unsigned.problem(), (400, "missing_field".to_owned()));
        let odd = json!({ "outcome": "lost", "reason": "the bank's letter" });
        let odd = gateway.post("operator", &path, &odd).await;
        assert_eq!(odd.problem(), (422, "invalid_field".to_owned()));
        let body = json!({ "outcome": outcome, "reason": "the bank's letter" });
        let resolved = gateway.post("operator", &path, &body).await;
        assert_eq!((resolved.status.as_u16(), &resolved.json()["status"]), (200, &json!(outcome)));
        assert_eq!(resolved.json()["attempts"][0]["ended_by"], "operator");
        let again = gateway.post("operator", &path, &body).await;
        assert_eq!(again.problem(), (409, "nothing_open".to_owned()));
        let gone = gateway.get("operator", &format!("/v1/reversals/{id}")).await;
        assert_eq!(gone.problem(), (404, "not_found".to_owned()));
        let audit = gateway.get("auditor", &format!("/v1/audit?after={place}")).await.json();
        let entry = &audit["entries"][0];
        assert_eq!(
            members(entry, &["actor", "action", "reason", "subject"]),
            json!(["operator", "reversal.resolve", "the bank's letter", id])
        );
    }
}

#[tokio::test]
async fn a_retry_is_due_at_once() {
    let gateway = Gateway::start().await;
    gateway.bank.will_answer(pending());
    let request = gateway.posting("core", "/v1/payments", &payment("A-1"));
    let answer = gateway.send(request.header("prefer", "wait=0")).await;
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    gateway.order_when("A-1", |order| order.attempts[0].state.needs_entry()).await;
    let path = format!("/v1/reversals/{id}");
    let before = gateway.get("operator", &path).await.json();
    assert_ne!(before["due_at"], before["opened_at"]);
    let retry = json!({ "reason": "the channel is back" });
    let retried = gateway.post("operator", &format!("{path}/retry"), &retry).await;
    assert_eq!(retried.status, 200, "{}", retried.text);
    let after = gateway.get("operator", &path).await.json();
    assert_eq!(after["due_at"], after["opened_at"], "the clock of the tests stands still");
    let missing = gateway.post("operator", "/v1/reversals/2611220000000009999/retry", &retry).await;
    assert_eq!(missing.problem(), (404, "not_found".to_owned()));
}
