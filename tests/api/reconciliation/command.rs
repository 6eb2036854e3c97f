//! The same from the shell: the program against the gateway's API.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use switchyard::domain::money::{Currency, major};

use super::{DATE, agreeing, paid, planted, text};
use crate::gateway::Gateway;
use crate::support::daemon::program;

/// Runs the program as the operator; it ends by itself.
async fn run(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command = program(gateway.scratch.path());
    command.args(arguments).args(["--url", &gateway.url, "--key", "operator-key"]);
    let ended = tokio::task::spawn_blocking(move || command.output());
    ended.await.expect("it is waited for").expect("the program starts")
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a statement where the program finds it.
fn written(gateway: &Gateway, statement: &str) -> PathBuf {
    let path = gateway.scratch.path().join("bill.csv");
    std::fs::write(&path, statement).expect("a file");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_goes_in_and_its_differences_come_out() {
    let gateway = paid().await;
    written(&gateway, &text(&planted(&gateway).await));
    let asked = ["reconcile", "unionpay", DATE, "bill.csv", "--differences", "out.csv"];
    let output = run(&gateway, &asked).await;
    let table = printed(&output);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{table}{errors}");
    assert!(table.starts_with("class        currency  lines"), "{table}");
    assert!(table.lines().any(|line| line.starts_with("amount_over  CNY           1")), "{table}");
    assert!(table.ends_with("there are differences\n"), "{table}");
    let list = std::fs::read_to_string(gateway.scratch.path().join("out.csv")).expect("a list");
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(list.lines().next().is_some_and(|line| line.ends_with("text,difference,state")));
    assert!(!gateway.scratch.path().join("out.csv.part").exists());
    written(&gateway, &text(&agreeing(&gateway).await));
    let output = run(&gateway, &["reconcile", "unionpay", DATE, "bill.csv", "--json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let told: Value = serde_json::from_str(&printed(&output)).expect("one object");
    assert_eq!((&told["agreed"], &told["is_new"]), (&true.into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_its_line_and_leaves_no_list() {
    let gateway = paid().await;
    // Amounts that are none in every line: the file is another layout's.
    let statement = text(&agreeing(&gateway).await).replace(",payment,", ",payment,?");
    written(&gateway, &statement);
    let asked = ["reconcile", "unionpay", DATE, "bill.csv", "--differences", "out.csv"];
    let output = run(&gateway, &asked).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("statement_refused") && errors.contains("line 2: "), "{errors}");
    assert!(!gateway.scratch.path().join("out.csv").exists());
    for mixed in [
        &["reconcile", "unionpay", DATE][..],
        &["reconcile", "unionpay", DATE, "bill.csv", "--layout", "generic-csv"],
        &["reconcile", "--layout", "generic-csv"],
    ] {
        assert_eq!(run(&gateway, mixed).await.status.code(), Some(2), "{mixed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_settlements_and_the_day_are_told_in_tables() {
    let gateway = paid().await;
    written(&gateway, &text(&planted(&gateway).await));
    let output = run(&gateway, &["reconcile", "unionpay", DATE, "bill.csv", "--json"]).await;
    let batch: Value = serde_json::from_str(&printed(&output)).expect("one object");
    let sums = &batch["theirs"][0]["sums"];
    let net = sums["amount"].as_i64().expect("a sum") - sums["fee"].as_i64().expect("a sum");
    let open = run(&gateway, &["difference", "list", "unionpay"]).await;
    let open = printed(&open);
    assert_eq!(open.lines().count(), 4, "{open}");
    let theirs = open.lines().find(|line| line.contains("only_theirs")).expect("it was planted");
    let id = theirs.split_whitespace().next().expect("an id");
    let resolve =
        ["difference", "resolve", id, "--remedy", "profit_or_loss", "--reason", "nobody wants it"];
    let resolved = run(&gateway, &resolve).await;
    assert_eq!(resolved.status.code(), Some(0), "{}", printed(&resolved));
    assert!(printed(&resolved).contains("\"balanced\""));
    let record = |amount: String, reference: &str| {
        let words = ["settlement", "record", "unionpay", DATE, "--amount", &amount];
        let rest = ["--currency", "CNY", "--bank-reference", reference];
        let rest = [&rest[..], &["--received-on", "2026-11-24"]].concat();
        words.iter().chain(&rest).map(|word| (*word).to_owned()).collect::<Vec<String>>()
    };
    let words = record(major((net - 1).into(), Some(Currency::Cny)), "B-1");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let short = run(&gateway, &words).await;
    assert_eq!(short.status.code(), Some(2), "{}", printed(&short));
    assert!(printed(&short).contains("the bank has received 1 less than is expected"));
    let words = record("0.01".to_owned(), "B-2");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(run(&gateway, &words).await.status.code(), Some(0));
    let listed = printed(&run(&gateway, &["settlement", "list", "unionpay"]).await);
    assert!(listed.lines().nth(1).is_some_and(|line| line.contains("agreed")), "{listed}");
    let page = printed(&run(&gateway, &["report", "unionpay", DATE]).await);
    for part in ["orders\n", "fees by rule\n", "open differences\n", "settled", "success rate"] {
        assert!(page.contains(part), "{page}");
    }
}
