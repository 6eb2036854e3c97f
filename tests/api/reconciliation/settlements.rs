//! What the bank has received, beside what the statements say.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use switchyard::domain::books::reconciliation::BatchState;
use switchyard::domain::write_set::WriteSet;

use super::{DATE, STATEMENTS, agreeing, hand_in, paid, text};
use crate::gateway::{Gateway, members, with};
use crate::support::books;

const SETTLEMENTS: &str = "/v1/channels/unionpay/settlements";

fn receipt(reference: &str, amount: i64) -> Value {
    json!({
        "from": DATE, "currency": "CNY", "amount": amount,
        "bank_reference": reference, "received_on": "2026-11-24",
    })
}

async fn net(gateway: &Gateway) -> (i64, i64, i64) {
    let lines = agreeing(gateway).await;
    let principal: i64 = lines.iter().map(|line| line.amount).sum();
    let fee: i64 = lines.iter().map(|line| line.fee).sum();
    (principal, fee, principal - fee)
}

#[tokio::test]
async fn a_settlement_rests_on_the_statement_as_it_is_when_it_is_written() {
    let gateway = paid().await;
    let (_, _, net) = net(&gateway).await;
    assert_eq!(hand_in(&gateway, STATEMENTS, text(&agreeing(&gateway).await)).await.status, 201);
    gateway.disk.hold();
    let takes_it_back = async {
        while gateway.disk.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        // It is decided, and waits for the disk.
        let batch = gateway.store.current_reconciliation(books::channel(), books::date()).await;
        let mut batch = batch.expect("a read").expect("it was run");
        batch.version += 1;
        batch.state = BatchState::Superseded;
        let writes = WriteSet { reconciliations: vec![batch], ..WriteSet::default() };
        gateway.store.commit(&writes).await.expect("it is written");
        gateway.disk.let_go();
    };
    let receipt = receipt("B-1", net);
    let (settled, ()) =
        tokio::join!(gateway.post("operator", SETTLEMENTS, &receipt), takes_it_back);
    assert_eq!((settled.status.as_u16(), &settled.json()["state"]), (201, &json!("differs")));
}

#[tokio::test]
async fn receipts_add_up_until_they_equal_the_statement_and_are_booked_once() {
    let gateway = paid().await;
    let (principal, fee, net) = net(&gateway).await;
    let early = gateway.post("operator", SETTLEMENTS, &receipt("B-1", net - 900)).await;
    assert_eq!(early.status, 201, "{}", early.text);
    let early = early.json();
    assert_eq!(early["state"], "differs");
    assert!(early["reasons"][0].as_str().is_some_and(|why| why.contains(DATE)), "{early}");
    assert_eq!(hand_in(&gateway, STATEMENTS, text(&agreeing(&gateway).await)).await.status, 201);
    let id = early["id"].as_str().expect("an id");
    let checked =
        gateway.post("operator", &format!("/v1/settlements/{id}/check"), &json!({})).await;
    let checked = checked.json();
    assert_eq!(checked["reasons"], json!(["the bank has received 900 less than is expected"]));
    assert_eq!(checked["stated"], json!({ "principal": principal, "fee": fee, "net": net }));
    let whole = gateway.post("operator", SETTLEMENTS, &receipt("B-2", 900)).await;
    assert_eq!(whole.status, 201, "{}", whole.text);
    let whole = whole.json();
    assert_eq!(
        members(&whole, &["id", "state", "received", "reasons", "accounting_requests"]),
        json!([id, "agreed", net, [], 1])
    );
    let request = format!("/v1/accounting-requests/{id}-1");
    let request = gateway.get("auditor", &request).await.json();
    assert_eq!(members(&request, &["event", "settlement"]), json!(["channel_settles", id]));
    let commits = gateway.commits();
    let repeated = gateway.post("operator", SETTLEMENTS, &receipt("B-2", 900)).await;
    assert_eq!((repeated.status.as_u16(), repeated.json()), (200, whole.clone()));
    let unchanged = format!("/v1/settlements/{id}/check");
    let unchanged = gateway.post("operator", &unchanged, &json!({})).await;
    assert_eq!(unchanged.json(), whole);
    assert_eq!(gateway.commits(), commits, "neither writes anything");
    let list = gateway.get("auditor", SETTLEMENTS).await.json();
    assert_eq!(list["settlements"], json!([whole]));
    let one = gateway.get("auditor", &format!("/v1/settlements/{id}")).await.json();
    assert_eq!(one, whole);
    let more = gateway.post("operator", SETTLEMENTS, &receipt("B-3", 5)).await.json();
    assert_eq!(
        members(&more, &["state", "received"]),
        json!(["differs", 5]),
        "a date settles once"
    );
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    let entries = audit["entries"].as_array().expect("entries");
    let recorded = entries.iter().filter(|entry| entry["action"] == "settlement.record").count();
    assert_eq!(recorded, 3);
}

/// What everything that accounting was asked to book sums up to, by account: debits less credits.
async fn balances(gateway: &Gateway) -> BTreeMap<String, i64> {
    let page = gateway.get("auditor", "/v1/accounting-requests?limit=1000").await.json();
    let requests = page["accounting_requests"].as_array().expect("requests");
    let mut balances = BTreeMap::new();
    for entry in requests.iter().flat_map(|one| one["entries"].as_array().expect("entries")) {
        let amount = entry["amount"].as_i64().expect("an amount");
        let sign = if entry["side"] == "debit" { 1 } else { -1 };
        let account = entry["account"].as_str().expect("an account").to_owned();
        *balances.entry(account).or_default() += sign * amount;
    }
    balances.retain(|_, minor| *minor != 0);
    balances
}

#[tokio::test]
async fn a_revision_leaves_only_its_change_and_the_books_end_even() {
    const PENDING: &str = "channel:unionpay:pending_clearing";
    let gateway = paid().await;
    let (principal, _, net) = net(&gateway).await;
    let mut lines = agreeing(&gateway).await;
    assert_eq!(hand_in(&gateway, STATEMENTS, text(&lines)).await.status, 201);
    assert_eq!(balances(&gateway).await[PENDING], principal, "nothing is settled");
    let settled = gateway.post("operator", SETTLEMENTS, &receipt("B-1", net)).await.json();
    assert_eq!(settled["state"], "agreed");
    assert_eq!(balances(&gateway).await.get(PENDING), None, "all is settled");
    lines[0].amount += 100;
    assert_eq!(hand_in(&gateway, STATEMENTS, text(&lines)).await.status, 201);
    let id = settled["id"].as_str().expect("an id");
    let checked =
        gateway.post("operator", &format!("/v1/settlements/{id}/check"), &json!({})).await;
    let checked = checked.json();
    assert_eq!(checked["state"], "agreed");
    let why = checked["reasons"][0].as_str().unwrap_or_default();
    assert!(why.contains("say 100 more than was settled"), "{checked}");
    let rest = gateway.post("operator", SETTLEMENTS, &receipt("B-2", 100)).await.json();
    assert_eq!(rest["state"], "agreed", "{rest}");
    let open = gateway.get("auditor", "/v1/differences?channel=unionpay").await.json();
    let over = open["differences"][0]["id"].as_str().expect("the revised line");
    let asked = json!({ "remedy": "profit_or_loss", "reason": "they will not have it back" });
    let path = format!("/v1/differences/{over}/resolve");
    assert_eq!(gateway.post("operator", &path, &asked).await.status, 200);
    let balances = balances(&gateway).await;
    assert_eq!(balances.values().sum::<i64>(), 0, "I-7: the trial balance is zero");
    assert_eq!(balances.get(PENDING), None, "nothing is unsettled");
    assert!(balances.keys().all(|account| !account.contains("suspense")), "{balances:?}");
    assert_eq!(balances["company:bank_reserve:unionpay"], net + 100);
    assert_eq!(balances["company:difference_profit_or_loss:unionpay"], -100);
}

#[tokio::test]
async fn a_receipt_that_does_not_fit_is_refused_by_its_field() {
    let gateway = paid().await;
    let good = receipt("B-1", 5);
    assert_eq!(gateway.post("operator", SETTLEMENTS, &good).await.status, 201);
    let rows = [
        (with(good.clone(), "/amount", json!(6)), (409, "bank_reference_conflict"), "amount"),
        (with(good.clone(), "/to", json!("2026-11-23")), (409, "bank_reference_conflict"), "to"),
        (with(good.clone(), "/to", json!("2026-11-21")), (422, "invalid_field"), "to"),
        (with(good.clone(), "/to", json!("2027-11-21")), (422, "invalid_field"), "to"),
        (with(good.clone(), "/from", json!("22/11/2026")), (422, "invalid_field"), "from"),
        (with(good.clone(), "/amount", json!(1.5)), (422, "invalid_amount"), "amount"),
        (
            with(good.clone(), "/amount", json!(1_000_000_000_000_000_i64)),
            (422, "invalid_amount"),
            "amount",
        ),
        (with(good.clone(), "/currency", json!("XXX")), (422, "unknown_currency"), "currency"),
        (
            with(good.clone(), "/bank_reference", json!("")),
            (422, "invalid_field"),
            "bank_reference",
        ),
        (
            with(good.clone(), "/bank_reference", json!("a b")),
            (422, "invalid_field"),
            "bank_reference",
        ),
        (with(good.clone(), "/received_on", Value::Null), (400, "missing_field"), "received_on"),
        (with(good.clone(), "/note", json!("x")), (400, "unknown_field"), "note"),
    ];
    let commits = gateway.commits();
    for (body, (status, code), field) in rows {
        let answer = gateway.post("operator", SETTLEMENTS, &body).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{}", answer.text);
        assert_eq!(answer.json()["field"], field);
    }
    assert_eq!(gateway.commits(), commits);
    let unknown = gateway.post("operator", "/v1/channels/none/settlements", &good).await;
    assert_eq!(unknown.problem(), (404, "channel_unknown".to_owned()));
    let auditor = gateway.post("auditor", SETTLEMENTS, &good).await;
    assert_eq!(auditor.problem(), (403, "forbidden".to_owned()));
    let missing = "/v1/settlements/2611220010000000009/check";
    let missing = gateway.post("operator", missing, &json!({})).await;
    assert_eq!(missing.problem(), (404, "not_found".to_owned()));
}
