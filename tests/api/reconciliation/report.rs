//! The day on one page.

use std::time::Duration;

use serde_json::{Value, json};
use switchyard::domain::outcome::{Decline, Outcome, Reason};

use super::{DATE, STATEMENTS, agreeing, hand_in, planted, text};
use crate::gateway::{Gateway, members, payment, unknown, with};

fn declined(reason: Reason) -> Outcome {
    Outcome::Declined(Decline { reason, code: "51".to_owned(), elsewhere: false })
}

async fn report(gateway: &Gateway, date: &str) -> Value {
    let path = format!("/v1/channels/unionpay/report?date={date}");
    let answer = gateway.get("auditor", &path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_day_is_summed_up_from_orders_records_differences_and_settlements() {
    let gateway = Gateway::start().await;
    for (order_id, fee) in [("A-1", json!(100)), ("A-2", json!(40)), ("A-3", Value::Null)] {
        let paid = gateway.pay(&with(payment(order_id), "/merchant_fee", fee)).await;
        assert_eq!(paid.status, 200, "{}", paid.text);
    }
    gateway.bank.will_answer(declined(Reason::InsufficientFunds));
    gateway.pay(&payment("A-4")).await;
    gateway.bank.will_answer(declined(Reason::ChannelFailure));
    gateway.pay(&payment("A-5")).await;
    gateway.bank.will_answer(unknown());
    assert_eq!(gateway.pay(&payment("A-6")).await.status, 202);
    let day = report(&gateway, DATE).await;
    assert_eq!(
        day["volume"],
        json!([{
            "operation": "payment", "orders": 6, "succeeded": 3, "failed": 2, "reversed": 0,
            "open": 1, "asked": [{ "currency": "CNY", "amount": 6 * 12_345 }],
            "attempts": 6, "approved": 3, "faults": 2, "not_sent": 0,
        }])
    );
    assert_eq!(day["success_rate_ppm"], 600_000, "the cardholder's error does not count");
    let lines = agreeing(&gateway).await;
    let fee: i64 = lines.iter().map(|line| line.fee).sum();
    let cleared = &day["clearing"][0];
    assert_eq!(
        members(cleared, &["movement", "currency", "records", "principal", "fee", "net"]),
        json!(["payment", "CNY", 3, 37_035, fee, 37_035 - fee])
    );
    assert_eq!(members(&day["fees"][0], &["records", "fee"]), json!([3, fee]));
    let cost: i64 = lines[..2].iter().map(|line| line.fee).sum();
    assert_eq!(
        day["profit"],
        json!([{
            "currency": "CNY", "orders": 2, "merchant_fee": 140, "channel_fee": cost,
            "margin": 140 - cost, "without": 1,
        }])
    );
    assert_eq!(day["settlement"][0]["state"], "no_statement");
    assert_eq!((&day["differences"], day.get("statement")), (&json!([]), None));
    assert_eq!(report(&gateway, "2026-11-21").await["volume"], json!([]));

    gateway.later(Duration::from_secs(2 * 86_400));
    let statement = text(&planted(&gateway).await);
    assert_eq!(hand_in(&gateway, STATEMENTS, statement).await.status, 201);
    let day = report(&gateway, DATE).await;
    assert_eq!(
        members(&day["statement"], &["revision", "agreed", "differences"]),
        json!([1, false, 3])
    );
    let carried: Vec<Value> = day["differences"].as_array().expect("rows").clone();
    assert_eq!(carried.len(), 3);
    assert!(carried.iter().all(|row| row["carried"] == 1 && row["suspended"] == 0), "{day}");
    let standing = &day["settlement"][0];
    assert_eq!(standing["state"], "open");
    let stated = standing["stated"]["net"].as_i64().expect("a sum");
    let receipt = json!({
        "from": DATE, "currency": "CNY", "amount": stated,
        "bank_reference": "B-1", "received_on": "2026-11-24",
    });
    let settled = gateway.post("operator", "/v1/channels/unionpay/settlements", &receipt).await;
    assert_eq!(settled.json()["state"], "agreed", "{}", settled.text);
    assert_eq!(report(&gateway, DATE).await["settlement"][0]["state"], "settled");
}

#[tokio::test]
async fn a_report_needs_a_date_and_a_channel() {
    let gateway = Gateway::start().await;
    for (path, problem) in [
        ("/v1/channels/unionpay/report", (400, "invalid_query")),
        ("/v1/channels/none/report?date=2026-11-22", (404, "channel_unknown")),
    ] {
        let answer = gateway.get("auditor", path).await;
        assert_eq!(answer.problem(), (problem.0, problem.1.to_owned()), "{path}");
    }
    let core = gateway.get("core", "/v1/channels/unionpay/report?date=2026-11-22").await;
    assert_eq!(core.problem(), (403, "forbidden".to_owned()));
}
