//! BIN look-ups, and the table's refresh and rollback.

use reqwest::Method;
use serde_json::json;
use switchyard::tables::bin::{shipped_table, write_csv};

use crate::gateway::{Answer, Gateway, members};

async fn upload(gateway: &Gateway, path: &str, bytes: Vec<u8>) -> Answer {
    let request = gateway.request("operator", Method::POST, path);
    gateway.send(request.header("content-type", "text/csv").body(bytes)).await
}

/// The shipped table without its last rows.
fn shorter(rows_gone: usize) -> Vec<u8> {
    let csv = String::from_utf8(write_csv(&shipped_table())).expect("our CSV is UTF-8");
    let lines: Vec<&str> = csv.lines().collect();
    let mut text = lines[..lines.len() - rows_gone].join("\n");
    text.push('\n');
    text.into_bytes()
}

#[tokio::test]
async fn a_prefix_names_what_its_cards_can_be() {
    let gateway = Gateway::start().await;
    let answer = gateway.get("core", "/v1/bins/621626").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    assert_eq!(members(&body, &["prefix", "version"]), json!(["621626", 0]));
    let rows = body["rows"].as_array().expect("rows");
    assert!(rows.iter().any(|row| row["pan_length"] == 19 && row["bin"] == "621626"), "{body}");
    let of_length = gateway.get("core", "/v1/bins/621626?length=19").await.json();
    assert!(of_length["rows"].as_array().is_some_and(|rows| rows.len() == 1), "{of_length}");
    let length = gateway.get("core", "/v1/bins/621626?length=20").await;
    assert_eq!(length.problem(), (400, "invalid_query".to_owned()));
    assert_eq!(gateway.get("core", "/v1/bins/000000").await.problem(), {
        (404, "not_found".to_owned())
    });
}

#[tokio::test]
async fn a_table_is_refreshed_and_rolled_back_and_both_are_kept_in_the_audit() {
    let gateway = Gateway::start().await;
    let rows = shipped_table().len();
    let refreshed = upload(&gateway, "/v1/bin-table/refresh", shorter(1)).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    assert_eq!(members(&refreshed.json(), &["version", "rows"]), json!([1, rows - 1]));
    let table = gateway.get("auditor", "/v1/bin-table").await.json();
    assert_eq!(members(&table, &["version", "source"]), json!([1, "uploaded"]));
    assert_eq!(members(&table, &["who", "since"]), json!(["operator", "2026-11-22T08:00:00.000Z"]));
    assert_eq!(table["versions"].as_array().map(Vec::len), Some(1));
    let request = gateway.request("operator", Method::POST, "/v1/bin-table/rollback");
    let back = gateway.send(request).await;
    assert_eq!((back.status.as_u16(), &back.json()["version"]), (200, &json!(0)));
    let again = gateway.post("operator", "/v1/bin-table/rollback", &json!({"version": 0})).await;
    assert_eq!(again.problem(), (409, "rollback_refused".to_owned()));
    assert_eq!(again.json()["reason"], "already_live");
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    let actions: Vec<&str> = audit["entries"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["action"].as_str())
        .collect();
    assert_eq!(actions, ["bin_table.refresh", "bin_table.rollback"]);
    assert_eq!(audit["entries"][0]["actor"], "operator");
}

#[tokio::test]
async fn a_bad_table_is_refused_with_its_lines_and_the_live_one_stays() {
    let gateway = Gateway::start().await;
    let mut bad = shorter(0);
    bad.extend_from_slice("621626x,19,03070000,平安银行,,debit,unionpay\n".as_bytes());
    let refused = upload(&gateway, "/v1/bin-table/refresh?force=true", bad).await;
    assert_eq!(refused.problem(), (422, "bin_table_refused".to_owned()), "{}", refused.text);
    let faults = refused.json()["faults"].clone();
    let last_line = format!("\"line\":{}", shipped_table().len() + 2);
    assert!(faults.to_string().contains(&last_line), "{faults}");
    let suspicious = upload(&gateway, "/v1/bin-table/refresh", shorter(2_000)).await;
    assert_eq!(suspicious.problem(), (422, "bin_table_refused".to_owned()));
    let missing = json!({ "source": "no-such-file.csv" });
    let unread = gateway.post("operator", "/v1/bin-table/refresh", &missing).await;
    assert_eq!(unread.problem(), (422, "bin_table_refused".to_owned()));
    let plain = json!({ "source": "http://127.0.0.1/table.csv" });
    let clear = gateway.post("operator", "/v1/bin-table/refresh", &plain).await;
    assert_eq!(clear.json()["reason"], "not_fetched");
    let unnamed = gateway.post("operator", "/v1/bin-table/refresh", &json!({})).await;
    assert_eq!(unnamed.problem(), (400, "missing_field".to_owned()));
    assert_eq!(gateway.get("auditor", "/v1/bin-table").await.json()["version"], 0);
    assert_eq!(gateway.commits(), 0);
}

#[tokio::test]
async fn a_table_comes_from_a_file_beside_the_settings() {
    let gateway = Gateway::start().await;
    std::fs::write(gateway.scratch.path().join("table.csv"), shorter(3)).expect("a file");
    let source = json!({ "source": "table.csv" });
    let refreshed = gateway.post("operator", "/v1/bin-table/refresh", &source).await;
    assert_eq!((refreshed.status.as_u16(), &refreshed.json()["version"]), (200, &json!(1)));
}
