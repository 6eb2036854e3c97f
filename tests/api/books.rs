//! Clearing records and accounting requests, as operators and the books' systems read them.

use reqwest::Method;
use serde_json::{Value, json};
use switchyard::domain::batch::Batch;
use switchyard::domain::books::accounting::DeliveryStatus;
use switchyard::store::{PAGE_MAX, Store};

use crate::gateway::{Gateway, members, payment};
use crate::support::books;

const CLEARING: &str = "/v1/channels/unionpay/clearing";

async fn day(gateway: &Gateway, accept: &str) -> String {
    let path = format!("{CLEARING}?date=2026-11-22");
    let request = gateway.request("auditor", Method::GET, &path).header("accept", accept);
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with(accept)));
    answer.text
}

/// Writes clearing records as if that many payments had succeeded.
async fn write_records(gateway: &Gateway, count: u64) {
    for sequence in 1..=count {
        let order = books::succeeded(&books::order(sequence));
        let clearing = vec![books::clearing(&books::transaction(&order))];
        let batch = Batch { clearing, ..Batch::default() };
        gateway.store.commit(batch).await.expect("it is written");
    }
}

#[tokio::test]
async fn a_day_is_read_in_pages_with_totals() {
    let gateway = Gateway::start().await;
    for order_id in ["A-1", "A-2", "A-3"] {
        assert_eq!(gateway.pay(&payment(order_id)).await.status, 200);
    }
    let whole = gateway.get("auditor", &format!("{CLEARING}?date=2026-11-22")).await.json();
    let records = whole["records"].as_array().expect("records");
    assert_eq!(records.len(), 3);
    let sum = |field: &str| records.iter().filter_map(|row| row[field].as_i64()).sum::<i64>();
    let expected = json!([{
        "currency": "CNY", "records": 3,
        "principal": 37_035, "fee": sum("fee"), "net": sum("net"),
    }]);
    assert_eq!(whole["totals"], expected);
    assert_eq!(sum("principal") - sum("fee"), sum("net"), "I-7");
    let first = gateway.get("auditor", &format!("{CLEARING}?date=2026-11-22&limit=2")).await.json();
    assert!(first.get("totals").is_none());
    let next = first["next"].as_str().expect("a next page");
    let rest = format!("{CLEARING}?date=2026-11-22&limit=2&after={next}");
    let rest = gateway.get("auditor", &rest).await.json();
    assert_eq!(rest["records"], json!([records[2]]));
    assert!(rest.get("next").is_none());
    let summary = gateway.get("auditor", &format!("{CLEARING}/summary?date=2026-11-22")).await;
    assert_eq!(summary.json()["totals"], expected);
    let other_day = gateway.get("auditor", &format!("{CLEARING}/summary?date=2026-11-21")).await;
    assert_eq!(other_day.json()["totals"], json!([]));
}

#[tokio::test]
async fn a_whole_day_streams_in_order_beyond_one_page() {
    let gateway = Gateway::start().await;
    assert!(day(&gateway, "text/csv").await.starts_with("channel,date,id,channel_order_no,"));
    assert_eq!(day(&gateway, "application/x-ndjson").await, "");
    let count = PAGE_MAX as u64 + 5;
    write_records(&gateway, count).await;
    let lines = day(&gateway, "application/x-ndjson").await;
    let rows: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows.len() as u64, count);
    let numbers: Vec<&str> =
        rows.iter().filter_map(|row| row["channel_order_no"].as_str()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
    let csv = day(&gateway, "text/csv").await;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headings = reader.headers().expect("a heading").clone();
    let fields: Vec<&str> =
        rows[0].as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(headings.iter().collect::<Vec<_>>(), fields, "the CSV has the same columns");
    let records: Result<Vec<csv::StringRecord>, csv::Error> = reader.records().collect();
    assert_eq!(records.expect("good CSV").len() as u64, count);
}

#[tokio::test]
async fn an_accounting_request_is_complete_and_can_be_retried_until_it_is_acknowledged() {
    let gateway = Gateway::start().await;
    let paid = gateway.pay(&payment("A-1")).await.json();
    let id = format!("{}-1", paid["id"].as_str().expect("an id"));
    let list = gateway.get("auditor", "/v1/accounting-requests?status=owed").await.json();
    let request = &list["accounting_requests"][0];
    assert_eq!(members(request, &["id", "event"]), json!([id, "instant_payment"]));
    assert_eq!(request["entries"][0], {
        json!({ "side": "debit", "account": "channel:unionpay:pending_clearing", "amount": 12_345 })
    });
    let path = format!("/v1/accounting-requests/{id}");
    assert_eq!(gateway.get("auditor", &path).await.json(), *request);
    let parked = set_status(&gateway, DeliveryStatus::Parked).await;
    let list = gateway.get("auditor", "/v1/accounting-requests?status=owed").await.json();
    assert_eq!(list["accounting_requests"], json!([]));
    let reason = json!({ "reason": "the account exists now" });
    let retried = gateway.post("operator", &format!("{path}/retry"), &reason).await;
    assert_eq!((retried.status.as_u16(), &retried.json()["status"]), (200, &json!("owed")));
    let kept = request_in_store(&gateway).await;
    assert_eq!(kept.delivery.version, parked + 1);
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    assert_eq!(audit["entries"][0]["action"], "accounting.retry");
    assert_eq!(audit["entries"][0]["reason"], "the account exists now");
    set_status(&gateway, DeliveryStatus::Acknowledged).await;
    let late = gateway.post("operator", &format!("{path}/retry"), &reason).await;
    assert_eq!(late.problem(), (409, "wrong_phase".to_owned()));
    let missing = format!("{}-7/retry", &path[..path.len() - 2]);
    let missing = gateway.post("operator", &missing, &reason).await;
    assert_eq!(missing.problem(), (404, "not_found".to_owned()));
}

async fn request_in_store(
    gateway: &Gateway,
) -> switchyard::domain::books::accounting::AccountingRequest {
    let mut all = gateway.store.accounting_requests(None, None, 10).await.expect("a read");
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Does what the delivering worker would, and gives the row's new version.
async fn set_status(gateway: &Gateway, status: DeliveryStatus) -> u32 {
    let mut request = request_in_store(gateway).await;
    request.delivery.status = status;
    request.delivery.version += 1;
    let version = request.delivery.version;
    let batch = Batch { accounting: vec![request], ..Batch::default() };
    gateway.store.commit(batch).await.expect("it is written");
    version
}
