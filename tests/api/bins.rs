//! BIN look-ups, and the table's refresh and rollback.

use reqwest::Method;
use serde_json::{Value, json};
use switchyard::tables::bin::shipped_table;

use crate::gateway::{Answer, Gateway, members};

async fn upload(gateway: &Gateway, path: &str, bytes: Vec<u8>) -> Answer {
    let request = gateway.request("operator", Method::POST, path);
    gateway.send(request.header("content-type", "text/csv").body(bytes)).await
}

/// The shipped rows without the last ones. They say nothing of changed names.
fn shorter(rows_gone: usize) -> Vec<u8> {
    let lines: Vec<&str> = include_str!("../../bin-tables/unionpay.csv").lines().collect();
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
    let path = "/v1/bin-table/refresh?reason=the%20bank%27s%20letter";
    let refreshed = upload(&gateway, path, shorter(1)).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    assert_eq!(members(&refreshed.json(), &["version", "rows"]), json!([1, rows - 1]));
    let table = gateway.get("auditor", "/v1/bin-table").await.json();
    assert_eq!(members(&table, &["version", "source"]), json!([1, "uploaded"]));
    assert_eq!(members(&table, &["by", "since"]), json!(["operator", "2026-11-22T08:00:00.000Z"]));
    assert_eq!(table["versions"].as_array().map(Vec::len), Some(1));
    let go_back = async |body| gateway.post("operator", "/v1/bin-table/rollback", &body).await;
    let unsaid = go_back(json!({})).await;
    assert_eq!(unsaid.problem(), (400, "missing_field".to_owned()));
    assert_eq!(unsaid.json()["field"], "reason");
    let back = go_back(json!({ "reason": "a bank is missing" })).await;
    assert_eq!((back.status.as_u16(), &back.json()["version"]), (200, &json!(0)));
    let again = go_back(json!({ "version": 0, "reason": "once more" })).await;
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
    // Why stands in the audit trail and in the table's history.
    let told = |entry: &Value| members(entry, &["subject", "reason"]);
    let bytes = shorter(1).len();
    let subject = format!("version 1 from uploaded, {bytes} bytes");
    assert_eq!(told(&audit["entries"][0]), json!([subject, "the bank's letter"]));
    let subject = "version 0 from version 1";
    assert_eq!(told(&audit["entries"][1]), json!([subject, "a bank is missing"]));
    let table = gateway.get("auditor", "/v1/bin-table").await.json();
    assert_eq!(table["reason"], "a bank is missing");
    assert_eq!(table["versions"][0]["reason"], "the bank's letter");
    assert_eq!(table["versions"][1]["reason"], "a bank is missing");
}

#[tokio::test]
async fn a_forced_table_needs_a_reason_without_a_card_number() {
    let gateway = Gateway::start().await;
    let half = shorter(2_000);
    let upload_for = async |query: &str| {
        upload(&gateway, &format!("/v1/bin-table/refresh?{query}"), half.clone()).await
    };
    let unsaid = upload_for("force=true").await;
    assert_eq!(unsaid.problem(), (400, "invalid_query".to_owned()));
    assert_eq!(unsaid.json()["field"], "reason");
    for empty in ["reason=", "reason=a%0ab"] {
        assert_eq!(upload_for(empty).await.problem(), (400, "invalid_query".to_owned()), "{empty}");
    }
    let card = upload_for("force=true&reason=card%206216261000000000018").await;
    assert_eq!(card.problem(), (422, "card_number_found".to_owned()));
    assert!(!card.text.contains("6216261000000000018"), "I-11: {}", card.text);
    let named = json!({ "source": "table.csv", "force": true });
    let unsaid = gateway.post("operator", "/v1/bin-table/refresh", &named).await;
    assert_eq!(unsaid.problem(), (400, "missing_field".to_owned()));
    assert_eq!(unsaid.json()["field"], "reason");
    let forced = upload_for("force=true&reason=half%20the%20banks%20have%20left").await;
    assert_eq!((forced.status.as_u16(), &forced.json()["forced"]), (200, &json!(true)));
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    let entry = &audit["entries"][0];
    assert_eq!(entry["reason"], "half the banks have left");
    assert!(entry["subject"].as_str().is_some_and(|told| told.ends_with(" bytes, forced")));
}

#[tokio::test]
async fn a_look_up_says_how_old_its_fact_is_and_how_the_issuer_was_called() {
    let gateway = Gateway::start().await;
    let row = async |path: &str| gateway.get("core", path).await.json()["rows"][0].clone();
    let renamed = row("/v1/bins/62326537").await;
    let names = members(&renamed, &["issuer_name", "issuer_former_names"]);
    assert_eq!(names, json!(["内蒙古农村商业银行", ["内蒙古自治区农村信用联合社"]]));
    assert_eq!(members(&renamed, &["as_of", "age_days"]), json!(["2020", 2517]));
    let retired = row("/v1/bins/621062?length=16").await;
    assert_eq!(members(&retired, &["as_of", "retired"]), json!(["2018-06", "2025-08-27"]));
    let bare = gateway.get("core", "/v1/bins/81001234").await;
    assert_eq!(bare.status, 200, "{}", bare.text);
    assert_eq!(members(&bare.json(), &["rows", "brand"]), json!([[], "unionpay"]));
    let beyond = gateway.get("core", "/v1/bins/81720000").await;
    assert_eq!(beyond.problem(), (404, "not_found".to_owned()));
    let question = json!({"card": {"bin": "81001234"}, "amount": 100, "currency": "CNY"});
    let explained = gateway.post("core", "/v1/routes/explain", &question).await.json();
    assert_eq!(members(&explained, &["card", "card_brand"]), json!([null, "unionpay"]));
    let ready = gateway.get("", "/readyz").await.json();
    let age = members(&ready, &["bin_table_as_of", "bin_table_age_days"]);
    assert_eq!(age, json!(["2018-06", 3096]));
}

#[tokio::test]
async fn a_table_and_changed_names_are_refreshed_apart_and_say_their_date() {
    let gateway = Gateway::start().await;
    let dated = upload(&gateway, "/v1/bin-table/refresh?as_of=2026-11-01", shorter(1)).await;
    assert_eq!(members(&dated.json(), &["as_of", "issuer_changes"]), json!(["2026-11-01", 41]));
    let changes = include_str!("../../bin-tables/issuer-changes.csv").to_owned()
        + "01020000,工商银行,中国工商银行,2026-11-20,an example,,\n";
    let taken = upload(&gateway, "/v1/bin-table/refresh", changes.clone().into()).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    let rows = shipped_table().len() - 1;
    let told = members(&taken.json(), &["version", "rows", "issuer_changes", "as_of"]);
    assert_eq!(told, json!([2, rows, 42, "2026-11-01"]));
    let table = gateway.get("auditor", "/v1/bin-table").await.json();
    let told = members(&table, &["issuer_changes", "as_of", "age_days"]);
    assert_eq!(told, json!([42, "2026-11-01", 21]));
    let ahead = changes.replace("2026-11-20", "2026-11-23");
    let refused = upload(&gateway, "/v1/bin-table/refresh", ahead.into()).await;
    assert_eq!(refused.problem(), (422, "bin_table_refused".to_owned()), "{}", refused.text);
    assert_eq!(refused.json()["reason"], "change_ahead");
    let query = upload(&gateway, "/v1/bin-table/refresh?as_of=yesterday", shorter(0)).await;
    assert_eq!(query.problem(), (400, "invalid_query".to_owned()));
}

#[tokio::test]
async fn a_bad_table_is_refused_with_its_lines_and_the_live_one_stays() {
    let gateway = Gateway::start().await;
    let mut bad = shorter(0);
    bad.extend_from_slice("621626x,7,19,03070000,平安银行,,debit,test,,\n".as_bytes());
    let refused = upload(&gateway, "/v1/bin-table/refresh?force=true&reason=drill", bad).await;
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
async fn changes_of_issuers_names_are_told_one_by_one() {
    let gateway = Gateway::start().await;
    let shipped = include_str!("../../bin-tables/issuer-changes.csv");
    let last = shipped.trim_end().lines().last().expect("a change").to_owned();
    let cells: Vec<&str> = last.split(',').collect();
    // One is new, one is gone, and one leads elsewhere; who says so is no difference.
    let kept: Vec<&str> = shipped.trim_end().lines().filter(|line| *line != last).collect();
    let added = "01020000,工商银行,中国工商银行,2020,an example,,";
    let first = kept[1];
    let mut other: Vec<&str> = first.split(',').collect();
    let (code, old_name, was) = (other[0], other[1], other[2]);
    other[2] = "另一银行";
    let other = other.join(",");
    let lines = kept.iter().map(|line| if *line == first { other.as_str() } else { *line });
    let list = lines.chain([added]).collect::<Vec<_>>().join("\n");
    let path = "/v1/bin-table/refresh?force=true&reason=a%20drill";
    let taken = upload(&gateway, path, list.into_bytes()).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    let named = ["issuer_changes_added", "issuer_changes_removed", "issuer_changes_changed"];
    assert_eq!(members(&taken.json()["counts"], &named), json!([1, 1, 1]));
    let path = "/v1/bin-table/issuer-changes?from=0";
    let told = gateway.get("auditor", path).await;
    assert_eq!(told.status, 200, "{}", told.text);
    let told = told.json();
    assert_eq!(members(&told, &["from", "to", "next"]), json!([0, 1, null]));
    let rows = told["issuer_changes"].as_array().expect("rows");
    let of_kind = |kind: &str| rows.iter().find(|row| row["kind"] == kind).expect("there is one");
    let new = of_kind("added");
    assert_eq!(members(new, &["issuer_code", "old_name", "before"]), {
        json!(["01020000", "工商银行", null])
    });
    assert_eq!(members(&new["after"], &["new_name", "date", "source"]), {
        json!(["中国工商银行", "2020", "an example"])
    });
    let gone = of_kind("removed");
    assert_eq!(members(gone, &["issuer_code", "old_name", "after"]), {
        json!([cells[0], cells[1], null])
    });
    let kept = of_kind("changed");
    assert_eq!(members(kept, &["issuer_code", "old_name"]), json!([code, old_name]));
    assert_eq!(json!([kept["before"]["new_name"], kept["after"]["new_name"]]), {
        json!([was, "另一银行"])
    });
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = gateway.get("auditor", &format!("{path}&limit=2{after}")).await.json();
        seen.extend(page["issuer_changes"].as_array().expect("rows").clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(json!(seen), told["issuer_changes"]);
    for (query, problem) in [
        ("", (400, "invalid_query")),
        ("?from=0&after=x", (400, "invalid_query")),
        ("?from=7", (404, "not_found")),
    ] {
        let path = format!("/v1/bin-table/issuer-changes{query}");
        let refused = gateway.get("auditor", &path).await.problem();
        assert_eq!((refused.0, refused.1.as_str()), problem, "{query}");
    }
}

#[tokio::test]
async fn a_table_comes_from_a_file_beside_the_settings() {
    let gateway = Gateway::start().await;
    std::fs::write(gateway.scratch.path().join("table.csv"), shorter(3)).expect("a file");
    let source = json!({ "source": "table.csv" });
    let refreshed = gateway.post("operator", "/v1/bin-table/refresh", &source).await;
    assert_eq!((refreshed.status.as_u16(), &refreshed.json()["version"]), (200, &json!(1)));
}

#[tokio::test]
async fn the_rows_between_two_versions_come_in_pages_with_both_sides() {
    let gateway = Gateway::start().await;
    upload(&gateway, "/v1/bin-table/refresh", shorter(5)).await;
    let renamed = String::from_utf8(shorter(2)).expect("UTF-8").replacen(",平安银行,", ",平安,", 1);
    let taken = upload(&gateway, "/v1/bin-table/refresh", renamed.into()).await;
    assert_eq!(taken.json()["version"], 2, "{}", taken.text);
    let path = "/v1/bin-table/changes?from=1&to=2";
    let whole = gateway.get("auditor", path).await;
    assert_eq!(whole.status, 200, "{}", whole.text);
    let whole = whole.json();
    assert_eq!(members(&whole, &["from", "to", "next"]), json!([1, 2, null]));
    assert_eq!(members(&whole["counts"], &["added", "removed", "renamed"]), json!([3, 0, 1]));
    let rows = whole["changes"].as_array().expect("rows");
    assert_eq!(rows.len(), 4);
    for row in rows {
        let is_new = row["kinds"] == json!(["added"]);
        assert_eq!((row.get("before").is_none(), row["after"].is_object()), (is_new, true));
    }
    let kept = rows.iter().find(|row| row["kinds"] == json!(["renamed"])).expect("one is renamed");
    let names = (&kept["before"]["issuer_name"], &kept["after"]["issuer_name"]);
    assert_eq!(names, (&json!("平安银行"), &json!("平安")));
    // Backwards, what came goes, and the live version is meant where none is named.
    let back = gateway.get("auditor", "/v1/bin-table/changes?from=2&to=1").await.json();
    assert_eq!(members(&back["counts"], &["added", "removed"]), json!([0, 3]));
    let live = gateway.get("operator", "/v1/bin-table/changes?from=1").await.json();
    assert_eq!(live, whole);
    // The pages put together are the whole, and the last one leads nowhere.
    for limit in 1..=4 {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = gateway.get("auditor", &format!("{path}&limit={limit}{after}")).await.json();
            assert_eq!(page["counts"], whole["counts"]);
            let rows = page["changes"].as_array().expect("rows");
            assert!((1..=limit).contains(&rows.len()), "{page}");
            seen.extend(rows.clone());
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(json!(seen), whole["changes"], "{limit}");
    }
    for (query, problem) in [
        ("", (400, "invalid_query")),
        ("?from=x", (400, "invalid_query")),
        ("?from=1&after=621626", (400, "invalid_query")),
        ("?from=1&since=2", (400, "invalid_query")),
        ("?from=1&to=3", (404, "not_found")),
        ("?from=4294967295", (404, "not_found")),
    ] {
        let refused = gateway.get("auditor", &format!("/v1/bin-table/changes{query}")).await;
        assert_eq!(refused.problem(), (problem.0, problem.1.to_owned()), "{query}");
    }
}
