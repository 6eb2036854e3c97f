//! Clearing records and accounting requests, as operators and the books' systems read them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use switchyard::codec::sign::sha256_hex;
use switchyard::domain::attempt::{Evidence, Source};
use switchyard::domain::books::accounting::DeliveryStatus;
use switchyard::domain::command::Decider;
use switchyard::domain::ids::OrderId;
use switchyard::domain::order::OrderStatus;
use switchyard::domain::outcome::{Decline, Outcome, Reason};
use switchyard::domain::write_set::{ReportedEnd, WriteSet};
use switchyard::store::PAGE_MAX;
use switchyard::workers::StopSignal;
use switchyard::workers::backlog::BacklogWorker;
use switchyard::workers::day_close::DayCloseWorker;

use crate::gateway::{Answer, Gateway, approved, members, payment, unknown};
use crate::support::books;
use crate::support::wire::until;

const CLEARING: &str = "/v1/channels/unionpay/clearing";

fn declined() -> Outcome {
    let reason = Reason::DoNotHonour;
    Outcome::Declined(Decline { reason, code: "05".to_owned(), elsewhere: false })
}

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
        let writes = WriteSet { clearing, ..WriteSet::default() };
        gateway.store.commit(&writes).await.expect("it is written");
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

/// Half past four in the afternoon of the 22nd becomes half past midnight of the 23rd in Shanghai:
/// the clearing day has ended.
const PAST_THE_CUT_OFF: Duration = Duration::from_secs(8 * 3_600 + 1_800);

async fn close(gateway: &Gateway, caller: &str, date: &str) -> Answer {
    let reason = json!({ "reason": "month end" });
    gateway.post(caller, &format!("{CLEARING}/close?date={date}"), &reason).await
}

async fn summary(gateway: &Gateway, date: &str) -> Value {
    let path = format!("{CLEARING}/summary?date={date}&verify=true");
    gateway.get("auditor", &path).await.json()
}

#[tokio::test]
async fn a_day_is_closed_once_it_has_ended_and_its_export_is_signed() {
    let gateway = Gateway::start().await;
    for order_id in ["A-1", "A-2"] {
        assert_eq!(gateway.pay(&payment(order_id)).await.status, 200);
    }
    let open = summary(&gateway, "2026-11-22").await;
    assert!(open.get("closed").is_none() && open.get("verified").is_none(), "{open}");
    let early = close(&gateway, "operator", "2026-11-22").await;
    assert_eq!(early.problem(), (409, "day_open".to_owned()));
    gateway.later(PAST_THE_CUT_OFF);
    let forbidden = close(&gateway, "auditor", "2026-11-22").await;
    assert_eq!(forbidden.problem(), (403, "forbidden".to_owned()));
    let closed = close(&gateway, "operator", "2026-11-22").await;
    assert_eq!(closed.status, 200, "{}", closed.text);
    let export = day(&gateway, "text/csv").await;
    let body = closed.json();
    let sha256 = sha256_hex(export.as_bytes());
    assert_eq!(members(&body["closed"], &["by", "sha256"]), json!(["operator", sha256]));
    assert_eq!(body["closed"]["totals"], open["totals"]);
    let after = summary(&gateway, "2026-11-22").await;
    assert_eq!((&after["closed"], &after["verified"]), (&body["closed"], &json!(true)));
    // Again, and for a day before: nothing changes.
    gateway.later(PAST_THE_CUT_OFF);
    assert_eq!(close(&gateway, "operator", "2026-11-22").await.json(), body);
    let before = close(&gateway, "operator", "2026-11-21").await;
    assert_eq!(before.problem(), (409, "wrong_phase".to_owned()));
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    assert_eq!(audit["entries"].as_array().map(Vec::len), Some(1));
    let entry = members(&audit["entries"][0], &["action", "subject", "actor", "reason"]);
    assert_eq!(entry, json!(["clearing.close", "unionpay 2026-11-22", "operator", "month end"]));
}

#[tokio::test]
async fn what_succeeds_late_goes_to_the_first_open_day() {
    let gateway = Gateway::start().await;
    gateway.bank.will_answer(unknown());
    let first = gateway.pay(&payment("A-1")).await.json();
    assert_eq!(gateway.pay(&payment("A-2")).await.status, 200);
    gateway.later(PAST_THE_CUT_OFF);
    // Two days at once, of which the second has nothing.
    gateway.later(Duration::from_secs(24 * 3_600));
    assert_eq!(close(&gateway, "operator", "2026-11-23").await.status, 200);
    for (date, records) in [("2026-11-22", 1), ("2026-11-23", 0)] {
        let day = summary(&gateway, date).await;
        let found = day["closed"]["totals"].as_array().map_or(0, |totals| totals.len());
        assert_eq!((found, &day["verified"]), (records, &json!(true)), "{day}");
    }
    let id = OrderId::parse(first["id"].as_str().expect("an id")).expect("digits");
    let evidence = |attempt, outcome| Evidence {
        source: Source::Statement,
        attempt,
        outcome,
        objection: None,
        as_of: None,
        transcript: "a line".to_owned(),
        sent: String::new(),
    };
    let engine = &gateway.state.engine;
    let paid = engine.weigh(id, evidence(1, approved())).await.expect("it is weighed");
    assert_eq!(paid.clearing_date.map(|date| date.to_string()).as_deref(), Some("2026-11-24"));
    for date in ["2026-11-22", "2026-11-23"] {
        assert_eq!(summary(&gateway, date).await["verified"], true, "{date}");
    }
    let records = gateway.get("auditor", &format!("{CLEARING}?date=2026-11-24")).await.json();
    assert_eq!(records["records"][0]["id"], first["id"]);
    // So does what a channel claims against the end of an order.
    gateway.bank.will_answer(declined());
    let failed = gateway.pay(&payment("A-3")).await.json();
    gateway.later(Duration::from_secs(24 * 3_600));
    assert_eq!(close(&gateway, "operator", "2026-11-24").await.status, 200);
    let id = OrderId::parse(failed["id"].as_str().expect("an id")).expect("digits");
    engine.weigh(id, evidence(1, approved())).await.expect("it is weighed");
    let records = gateway.get("auditor", &format!("{CLEARING}?date=2026-11-25")).await.json();
    let claimed = members(&records["records"][0], &["id", "state"]);
    assert_eq!(claimed, json!([failed["id"], "contradicted"]));
    assert_eq!(summary(&gateway, "2026-11-24").await["verified"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_that_races_with_the_close_is_in_the_day_or_in_the_next() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.pay(&payment("A-0")).await.status, 200);
    gateway.bank.hold();
    let names: Vec<String> = (1..=40).map(|number| format!("A-{number}")).collect();
    let bodies: Vec<Value> = names.iter().map(|name| payment(name)).collect();
    let paying = join_all(bodies.iter().map(|body| gateway.pay(body)));
    let closing = async {
        for name in &names {
            gateway.order_when(name, |order| order.status == OrderStatus::Processing).await;
        }
        // All were sent on the 22nd; their answers come with the close of that day.
        gateway.later(PAST_THE_CUT_OFF);
        gateway.bank.let_go();
        close(&gateway, "operator", "2026-11-22").await
    };
    let (paid, closed) = tokio::join!(paying, closing);
    assert!(paid.iter().all(|answer| answer.status == 200));
    assert_eq!(closed.status, 200, "{}", closed.text);
    let day = summary(&gateway, "2026-11-22").await;
    assert_eq!(day["verified"], true, "{day}");
    let next = summary(&gateway, "2026-11-23").await;
    let records = |day: &Value| day["totals"][0]["records"].as_u64().unwrap_or(0);
    assert_eq!(records(&day) + records(&next), 41);
    println!("{} of 41 were in time", records(&day));
}

#[tokio::test]
async fn a_close_waits_for_a_success_that_was_decided_before_it() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.pay(&payment("A-1")).await.status, 200);
    gateway.bank.hold();
    let body = payment("A-2");
    let closing = async {
        gateway.order_when("A-2", |order| order.status == OrderStatus::Processing).await;
        gateway.later(PAST_THE_CUT_OFF);
        gateway.disk.hold();
        gateway.bank.let_go();
        while gateway.disk.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        // The success is decided for the 22nd and waits for the disk, when the day is closed.
        let engine = Arc::clone(&gateway.state.engine);
        let date = books::date();
        let decider = Decider { actor: "ann".to_owned(), approver: None, reason: String::new() };
        let close = async move { engine.close_day(&books::channel(), date, &decider).await };
        let close = tokio::spawn(close);
        // Time enough for a close that does not wait to stand behind it at the disk.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        gateway.disk.let_go();
        close.await.expect("it does not panic").expect("the day has ended")
    };
    let (paid, close) = tokio::join!(gateway.pay(&body), closing);
    assert_eq!(paid.json()["clearing_date"], "2026-11-22", "{}", paid.text);
    assert_eq!(close.totals[0].1.records, 2);
    assert_eq!(summary(&gateway, "2026-11-22").await["verified"], true);
}

#[tokio::test]
async fn the_worker_closes_days_in_order_when_their_time_has_come() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.pay(&payment("A-1")).await.status, 200);
    let engine = &gateway.state.engine;
    let channel = books::channel();
    // Eight hours after the cut-off, and not before.
    gateway.later(PAST_THE_CUT_OFF + Duration::from_secs(6 * 3_600));
    assert_eq!(engine.close_due_days(&channel).await.expect("it is looked at"), 0);
    let not_closed = async || engine.days_not_closed(&channel).await.expect("it is looked at");
    assert_eq!(not_closed().await, 0);
    gateway.later(Duration::from_secs(2 * 24 * 3_600 + 3_600));
    assert_eq!(not_closed().await, 3, "from the first day with records on");
    let (stop, stopped) = StopSignal::new();
    let worker = gateway.work(
        DayCloseWorker::new(Arc::clone(engine)),
        Some(Duration::from_millis(5)),
        stopped,
    );
    let closed = async || {
        let days = gateway.store.clearing_days(channel.clone()).await.expect("a read");
        days.closed_through.filter(|date| date.yyyymmdd() == 20_261_124)
    };
    until("three days are closed", closed).await;
    stop.send(true).expect("it runs");
    worker.await.expect("it does not panic");
    assert_eq!(not_closed().await, 0);
    days_to_reconcile_are_measured(&gateway).await;
    gateway.later(Duration::from_secs(24 * 3_600));
    assert_eq!(not_closed().await, 1, "after the last closed one");
    let day = summary(&gateway, "2026-11-23").await;
    assert_eq!(members(&day["closed"], &["by", "totals"]), json!(["switchyard", []]));
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    assert_eq!(audit["entries"], json!([]), "nobody did it");
}

/// Of three closed days one has a record, and no statement has been run.
async fn days_to_reconcile_are_measured(gateway: &Gateway) {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let told = recorder.handle();
    let _of_this_thread = metrics::set_default_local_recorder(&recorder);
    let (stop, stopped) = StopSignal::new();
    let state = &gateway.state;
    let worker = BacklogWorker::new(Arc::clone(&state.engine), Arc::clone(&state.registry));
    let worker = gateway.work(worker, Some(Duration::from_millis(5)), stopped);
    let wanted = "switchyard_days_not_reconciled{channel=\"unionpay\"} 1";
    until("the day is measured", async || told.render().contains(wanted).then_some(())).await;
    assert!(told.render().contains("switchyard_days_not_closed{channel=\"unionpay\"} 0"));
    stop.send(true).expect("it runs");
    worker.await.expect("it does not panic");
}

#[tokio::test]
async fn an_accounting_request_is_complete_and_can_be_retried_until_it_is_acknowledged() {
    let gateway = Gateway::start().await;
    let paid = gateway.pay(&payment("A-1")).await.json();
    let id = format!("{}-1", paid["id"].as_str().expect("an id"));
    let list = gateway.get("auditor", "/v1/accounting-requests?state=owed").await.json();
    let request = &list["accounting_requests"][0];
    assert_eq!(members(request, &["id", "event"]), json!([id, "instant_payment"]));
    assert_eq!(request["entries"][0], {
        json!({ "side": "debit", "account": "channel:unionpay:pending_clearing", "amount": 12_345 })
    });
    let path = format!("/v1/accounting-requests/{id}");
    assert_eq!(gateway.get("auditor", &path).await.json(), *request);
    let parked = set_status(&gateway, DeliveryStatus::Parked).await;
    let list = gateway.get("auditor", "/v1/accounting-requests?state=owed").await.json();
    assert_eq!(list["accounting_requests"], json!([]));
    let reason = json!({ "reason": "the account exists now" });
    let retried = gateway.post("operator", &format!("{path}/retry"), &reason).await;
    assert_eq!((retried.status.as_u16(), &retried.json()["state"]), (200, &json!("owed")));
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
    let writes = WriteSet { accounting: vec![request], ..WriteSet::default() };
    gateway.store.commit(&writes).await.expect("it is written");
    version
}

#[tokio::test]
async fn transactions_are_read_by_order_by_day_and_one_by_one() {
    let gateway = Gateway::start().await;
    let mut ids = Vec::new();
    for order_id in ["A-1", "A-2", "A-3"] {
        let paid = gateway.pay(&payment(order_id)).await.json();
        ids.push(paid["id"].as_str().expect("an id").to_owned());
    }
    let list = async |query: &str| {
        let answer = gateway.get("auditor", &format!("/v1/transactions{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let listed = |page: &Value| -> Vec<String> {
        let rows = page["transactions"].as_array().expect("rows").iter();
        rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(listed(&list("").await), ids);
    let day = "?channel=unionpay&date=2026-11-22";
    assert_eq!(listed(&list(day).await), ids);
    for whole in ["?", &format!("{day}&")] {
        let page = list(&format!("{whole}limit=2")).await;
        assert_eq!(listed(&page), ids[..2]);
        let after = page["next"].as_str().expect("a next page").to_owned();
        let rest = list(&format!("{whole}limit=2&after={after}")).await;
        assert_eq!((listed(&rest), rest.get("next")), (ids[2..].to_vec(), None));
    }
    assert_eq!(listed(&list("?channel=unionpay&date=2026-11-21").await), [] as [String; 0]);
    let one = gateway.get("auditor", &format!("/v1/transactions/{}", ids[0])).await.json();
    assert_eq!(
        members(&one, &["id", "movement", "channel", "amount", "source", "clearing_date"]),
        json!([ids[0], "payment", "unionpay", 12_345, "reply", "2026-11-22"])
    );
    assert!(one["transcript"].is_string(), "the channel's own words: {one}");
    assert!(list("").await["transactions"][0].get("transcript").is_none(), "not in the listing");
    for (path, refused) in [
        ("?channel=unionpay", (400, "invalid_query")),
        ("?date=2026-11-22", (400, "invalid_query")),
        ("?channel=none&date=2026-11-22", (404, "channel_unknown")),
        ("?after=x", (400, "invalid_query")),
        ("/2611220000000009999", (404, "not_found")),
        ("/x", (404, "not_found")),
    ] {
        let answer = gateway.get("operator", &format!("/v1/transactions{path}")).await;
        assert_eq!(answer.problem(), (refused.0, refused.1.to_owned()), "{path}");
    }
    assert_eq!(gateway.get("core", "/v1/transactions").await.problem().0, 403);
}

#[tokio::test]
async fn contradictions_are_read_all_and_of_one_order() {
    let gateway = Gateway::start().await;
    let orders: Vec<_> = (1..=2).map(books::order).collect();
    let contradictions = vec![
        books::contradiction(&orders[0], 1, ReportedEnd::Success),
        books::contradiction(&orders[0], 1, ReportedEnd::Failure),
        books::contradiction(&orders[1], 2, ReportedEnd::Success),
    ];
    let writes = WriteSet { contradictions, ..WriteSet::default() };
    gateway.store.commit(&writes).await.expect("it is written");
    let list = async |query: &str| {
        let answer = gateway.get("auditor", &format!("/v1/contradictions{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let (one, other) = (orders[0].id.to_string(), orders[1].id.to_string());
    let whole = list("").await;
    let rows = whole["contradictions"].as_array().expect("rows");
    let names: Vec<Value> =
        rows.iter().map(|row| members(row, &["id", "attempt", "claim", "source"])).collect();
    assert_eq!(
        json!(names),
        json!([
            [one, 1, "success", "notice"],
            [one, 1, "failure", "notice"],
            [other, 2, "success", "notice"],
        ])
    );
    assert_eq!(rows[0]["transcript"], "respCode=00");
    let mut paged = Vec::new();
    let mut next = Some(String::new());
    while let Some(after) = next {
        let page = list(&format!("?limit=1{after}")).await;
        paged.extend(page["contradictions"].as_array().expect("rows").iter().cloned());
        next = page["next"].as_str().map(|next| format!("&after={next}"));
    }
    assert_eq!(&paged, rows, "a page ends inside of an order, and the next goes on there");
    let of_one = list(&format!("?order={one}")).await;
    assert_eq!(of_one["contradictions"], json!(rows[..2]));
    for wrong in ["?after=1", "?order=x", &format!("?order={one}&after={one}-1-success")] {
        let answer = gateway.get("auditor", &format!("/v1/contradictions{wrong}")).await;
        assert_eq!(answer.problem(), (400, "invalid_query".to_owned()), "{wrong}");
    }
    assert_eq!(gateway.get("core", "/v1/contradictions").await.problem().0, 403);
}
