//! What is open, and where its money goes.

use serde_json::{Value, json};

use super::{STATEMENTS, hand_in, paid, planted, text};
use crate::gateway::{Gateway, members};

/// The open differences by class, after the planted statement.
async fn found(gateway: &Gateway) -> Vec<Value> {
    let taken = hand_in(gateway, STATEMENTS, text(&planted(gateway).await)).await;
    assert_eq!(taken.status, 201, "{}", taken.text);
    let open = gateway.get("auditor", "/v1/differences?channel=unionpay").await.json();
    open["differences"].as_array().expect("rows").clone()
}

fn of<'a>(rows: &'a [Value], class: &str) -> &'a str {
    let row = rows.iter().find(|row| row["class"] == class).expect("it was planted");
    row["id"].as_str().expect("an id")
}

#[tokio::test]
async fn what_is_open_is_listed_with_both_sides() {
    let gateway = paid().await;
    let rows = found(&gateway).await;
    assert_eq!(rows.len(), 3);
    let over = rows.iter().find(|row| row["class"] == "amount_over").expect("planted");
    assert_eq!(over["matched_by"], "order_no");
    assert_eq!(members(&over["line"], &["amount", "line"]), json!([12_445, 3]));
    assert_eq!(over["record"]["amount"], 12_345);
    assert!(over["due_at"].is_string() && over["held"] == json!([]), "{over}");
    let path = format!("/v1/differences/{}", of(&rows, "amount_over"));
    assert_eq!(&gateway.get("auditor", &path).await.json(), over);
    let suspended = "/v1/differences?channel=unionpay&state=suspended";
    assert_eq!(gateway.get("auditor", suspended).await.json()["differences"], json!([]));
    for (path, problem) in [
        ("/v1/differences", (400, "invalid_query")),
        ("/v1/differences?channel=unionpay&state=balanced", (400, "invalid_query")),
        ("/v1/differences?channel=none", (404, "channel_unknown")),
        ("/v1/differences/7", (404, "not_found")),
    ] {
        let answer = gateway.get("auditor", path).await;
        assert_eq!(answer.problem(), (problem.0, problem.1.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_person_says_where_the_money_belongs() {
    let gateway = paid().await;
    let rows = found(&gateway).await;
    let path = format!("/v1/differences/{}/resolve", of(&rows, "only_theirs"));
    let body = |remedy: &str| json!({ "remedy": remedy, "reason": "paid at the till" });
    let rows = [
        (json!({ "remedy": "merchant" }), (400, "missing_field")),
        (body("nobody"), (422, "invalid_field")),
        (body("acknowledge"), (422, "remedy_refused")),
        (body("merchant"), (422, "remedy_refused")),
    ];
    for (body, (status, code)) in rows {
        let answer = gateway.post("operator", &path, &body).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{}", answer.text);
    }
    let mut asked = body("merchant");
    asked["merchant_id"] = "m-42".into();
    let forbidden = gateway.post("auditor", &path, &asked).await;
    assert_eq!(forbidden.problem(), (403, "forbidden".to_owned()));
    let balanced = gateway.post("operator", &path, &asked).await;
    assert_eq!(balanced.status, 200, "{}", balanced.text);
    let balanced = balanced.json();
    assert_eq!(
        members(&balanced, &["state", "remedy", "held", "accounting_requests"]),
        json!(["balanced", "merchant", [], 2])
    );
    let again = gateway.post("operator", &path, &asked).await;
    assert_eq!(again.problem(), (409, "wrong_phase".to_owned()));
    let id = balanced["id"].as_str().expect("an id");
    let request = format!("/v1/accounting-requests/{id}-2");
    let request = gateway.get("auditor", &request).await.json();
    assert_eq!(members(&request, &["event", "difference"]), json!(["difference_balanced", id]));
    let entries = request["entries"].as_array().expect("entries");
    let merchant = "merchant:m-42:pending_clearing";
    let to_merchant = entries.iter().filter(|entry| entry["account"] == merchant);
    let net: i64 = to_merchant
        .map(|entry| {
            let amount = entry["amount"].as_i64().expect("an amount");
            if entry["side"] == "credit" { amount } else { -amount }
        })
        .sum();
    assert_eq!(net, 696, "the merchant gets 700 and bears the fee of 4");
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    let entries = audit["entries"].as_array().expect("entries");
    assert!(entries.iter().any(|entry| entry["subject"] == id), "{audit}");
}
