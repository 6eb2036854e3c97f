//! Handing statements in, and reading the batches.

use reqwest::Method;
use serde_json::{Value, json};

use super::{DATE, STATEMENTS, agreeing, hand_in, paid, paid_at, planted, text};
use crate::gateway::{Gateway, members};

async fn listing(gateway: &Gateway, batch: &str, accept: &str) -> String {
    let path = format!("/v1/reconciliations/{batch}/differences");
    let request = gateway.request("auditor", Method::GET, &path).header("accept", accept);
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with(accept)));
    answer.text
}

fn counts(batch: &Value) -> Vec<(&str, u64, u64)> {
    let classes = batch["classes"].as_array().expect("classes").iter();
    let count = |class: &Value, side: &str| class[side]["count"].as_u64().expect("a count");
    let row = |class| (count(class, "theirs"), count(class, "ours"));
    classes.map(|one| (one["class"].as_str().expect("a class"), row(one).0, row(one).1)).collect()
}

#[tokio::test]
async fn a_statement_is_handed_in_once_and_every_row_ends_in_a_class() {
    let gateway = paid().await;
    let statement = text(&planted(&gateway).await);
    let path = format!("{STATEMENTS}&name=bill.csv");
    let answer = hand_in(&gateway, &path, statement.clone()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let taken = answer.json();
    assert_eq!(
        members(&taken, &["channel", "date", "name", "revision", "is_new"]),
        json!(["unionpay", DATE, "bill.csv", 1, true])
    );
    let batch = &taken["batch"];
    assert_eq!(members(batch, &["state", "agreed", "differences"]), json!(["current", false, 3]));
    let wanted =
        [("matched", 1, 1), ("amount_over", 1, 1), ("only_theirs", 1, 0), ("only_ours", 0, 1)];
    assert_eq!(counts(batch), wanted);
    let again = hand_in(&gateway, &path, statement.clone()).await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(again.json()["batch"]["id"], batch["id"], "the same content changes nothing");
    assert_eq!(again.json()["is_new"], false);
    let id = batch["id"].as_str().expect("an id");
    let one = gateway.get("auditor", &format!("/v1/reconciliations/{id}")).await.json();
    assert_eq!(&one, batch);
    let of_date = format!("/v1/reconciliations?channel=unionpay&date={DATE}");
    let all = gateway.get("auditor", &of_date).await.json();
    assert_eq!(all["reconciliations"], json!([batch]));
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    assert_eq!(audit["entries"][0]["action"], "statement.upload");
}

#[tokio::test]
async fn what_a_batch_found_is_read_in_pages_and_as_streams() {
    let gateway = paid().await;
    let taken = hand_in(&gateway, STATEMENTS, text(&planted(&gateway).await)).await.json();
    let id = taken["batch"]["id"].as_str().expect("an id");
    let mut path = format!("/v1/reconciliations/{id}/differences?limit=1");
    let mut found = Vec::new();
    // Ends with the listing, which has three rows.
    loop {
        let page = gateway.get("auditor", &path).await.json();
        found.extend(page["differences"].as_array().expect("rows").clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/reconciliations/{id}/differences?limit=1&after={next}");
    }
    let classes: Vec<&str> = found.iter().filter_map(|row| row["found_as"].as_str()).collect();
    assert_eq!(classes, ["amount_over", "only_theirs", "only_ours"], "theirs first, in order");
    let lines = listing(&gateway, id, "application/x-ndjson").await;
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, found);
    let csv = listing(&gateway, id, "text/csv").await;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let heading = reader.headers().expect("a heading").clone();
    let at = |name: &str| heading.iter().position(|one| one == name).expect("a column");
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("good CSV")).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[0][at("class")], &rows[0][at("amount")]), ("amount_over", "12445"));
    assert_eq!((&rows[0][at("matched_by")], &rows[0][at("our_amount")]), ("order_no", "12345"));
    assert_eq!((&rows[1][at("order_no")], &rows[1][at("our_order_no")]), ("X-1", ""));
    let difference = &found[1]["difference"];
    assert_eq!(json!(rows[1][at("difference")]), difference["id"]);
    assert_eq!(&rows[2][at("state")], "carried");
}

#[tokio::test]
async fn a_date_runs_again_and_a_revision_supersedes() {
    let gateway = paid().await;
    let first = hand_in(&gateway, STATEMENTS, text(&planted(&gateway).await)).await.json();
    let again = format!("/v1/channels/unionpay/reconciliations?date={DATE}");
    let run = gateway.post("operator", &again, &json!({ "reason": "a new tolerance" })).await;
    assert_eq!(run.status, 201, "{}", run.text);
    let run = run.json();
    assert_eq!(members(&run, &["state", "revision", "differences"]), json!(["current", 1, 3]));
    assert_ne!(run["id"], first["batch"]["id"]);
    let mended = hand_in(&gateway, STATEMENTS, text(&agreeing(&gateway).await)).await;
    assert_eq!(mended.status, 201, "{}", mended.text);
    let mended = mended.json();
    assert_eq!(members(&mended["batch"], &["revision", "agreed"]), json!([2, true]));
    let of_date = format!("/v1/reconciliations?channel=unionpay&date={DATE}");
    let all = gateway.get("auditor", &of_date).await.json();
    let all = all["reconciliations"].as_array().expect("batches");
    let states: Vec<&str> = all.iter().filter_map(|batch| batch["state"].as_str()).collect();
    assert_eq!(states, ["superseded", "superseded", "current"]);
    let open = gateway.get("auditor", "/v1/differences?channel=unionpay").await.json();
    assert_eq!(open["differences"], json!([]), "the revision has mended all");
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    let reasons = audit["entries"].as_array().expect("entries").iter();
    assert!(reasons.clone().any(|entry| entry["reason"] == "a new tolerance"));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_refused_with_its_line() {
    let gateway = paid().await;
    // Amounts that are none in every line: the file is another layout's.
    let statement = text(&agreeing(&gateway).await).replace(",payment,", ",payment,?");
    let refused = hand_in(&gateway, STATEMENTS, statement).await;
    assert_eq!(refused.problem(), (422, "statement_refused".to_owned()), "{}", refused.text);
    let problem = refused.json();
    assert_eq!(
        (&problem["reason"], &problem["faults"]["first"][0]["line"]),
        (&json!("line"), &json!(2))
    );
    let batch = problem["batch"].as_str().expect("a batch");
    let batch = gateway.get("auditor", &format!("/v1/reconciliations/{batch}")).await.json();
    assert_eq!(batch["state"], "abandoned");
    let open = gateway.get("auditor", "/v1/differences?channel=unionpay").await.json();
    assert_eq!(open["differences"], json!([]), "nothing is half-imported");
    let good = hand_in(&gateway, STATEMENTS, text(&agreeing(&gateway).await)).await;
    assert_eq!(good.json()["batch"]["agreed"], true, "{}", good.text);
}

/// One line of a kind that the layout does not know is a bad line of that date, and the others
/// count.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_foreign_kind_does_not_refuse_the_day() {
    let gateway = paid().await;
    let statement = text(&agreeing(&gateway).await).replacen(",payment,", ",lottery,", 1);
    let taken = hand_in(&gateway, STATEMENTS, statement).await;
    let batch = &taken.json()["batch"];
    let counts = (&batch["bad_lines"], &batch["classes"][0]["theirs"]["count"], &batch["agreed"]);
    assert_eq!(counts, (&json!(1), &json!(2), &json!(false)), "{}", taken.text);
}

#[tokio::test]
async fn what_is_no_statement_is_refused_before_anything_is_kept() {
    let gateway = paid_at(Gateway::start_with("[server]\nstatement_bytes_max = 1024").await).await;
    let rows = [
        ("/v1/channels/none/statements?date=2026-11-22", "x", (404, "channel_unknown")),
        ("/v1/channels/unionpay/statements", "x", (400, "invalid_query")),
        ("/v1/channels/unionpay/statements?date=2026-13-01", "x", (400, "invalid_query")),
        ("/v1/channels/unionpay/statements?date=2026-11-22&name=../x", "x", (400, "invalid_query")),
        ("/v1/channels/unionpay/statements?date=2026-12-24", "x", (409, "no_statement")),
        (STATEMENTS, "", (422, "statement_refused")),
    ];
    for (path, body, (status, code)) in rows {
        let answer = hand_in(&gateway, path, body.to_owned()).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{path}: {}", answer.text);
    }
    let large = hand_in(&gateway, STATEMENTS, "x".repeat(1_025)).await;
    assert_eq!(large.problem(), (413, "body_too_large".to_owned()));
    // The same without an announced length.
    let pieces =
        futures_util::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 500])));
    let request = gateway.request("operator", Method::POST, STATEMENTS);
    let request = request.body(reqwest::Body::wrap_stream(pieces));
    assert_eq!(gateway.send(request).await.problem(), (413, "body_too_large".to_owned()));
    let form = gateway.request("operator", Method::POST, STATEMENTS);
    let form = form.header("content-type", "multipart/form-data; boundary=x").body("--x--");
    assert_eq!(gateway.send(form).await.problem(), (415, "unsupported_media_type".to_owned()));
    let auditor = gateway.request("auditor", Method::POST, STATEMENTS).body("x");
    assert_eq!(gateway.send(auditor).await.problem(), (403, "forbidden".to_owned()));
    let all = gateway.get("auditor", "/v1/reconciliations").await.json();
    assert_eq!(all["reconciliations"], json!([]));
    let missing = gateway.get("auditor", "/v1/reconciliations/2611220010000000001").await;
    assert_eq!(missing.problem(), (404, "not_found".to_owned()));
}
