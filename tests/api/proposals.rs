//! What the books teach of the BIN table: proposals, and a person's word on them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchyard::channel::ReplyMeaning;
use switchyard::domain::attempt::Source;
use switchyard::domain::bin::CardType;
use switchyard::domain::card::luhn_digit;
use switchyard::domain::outcome::{Approval, Decline, Outcome, Reason};
use switchyard::workers::StopSignal;
use switchyard::workers::bin_lessons::BinLessonWorker;

use crate::gateway::{Gateway, approved, members, payment, pending, with};
use crate::support::wire::until;

/// Rows of the shipped table for cards of 19 digits.
const DEAD: &str = "621626";
const TAKEN: &str = "622848";

fn no_such_card() -> Outcome {
    let (reason, code) = (Reason::InvalidCard, "14".to_owned());
    Outcome::Declined(Decline { reason, code, elsewhere: false })
}

fn card(bin: &str, number: usize) -> String {
    let payload = format!("{bin}{number:012}");
    let digit = luhn_digit(&payload);
    format!("{payload}{digit}")
}

async fn pay(gateway: &Gateway, bin: &str, number: usize) -> String {
    let body = payment(&format!("{bin}-{number}"));
    let paid = gateway.pay(&with(body, "/card/pan", json!(card(bin, number)))).await;
    assert_eq!(paid.status.as_u16(), 200, "{}", paid.text);
    paid.json()["status"].as_str().expect("a status").to_owned()
}

/// The channel knows none of these cards.
async fn refuse(gateway: &Gateway, bin: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        gateway.bank.will_answer(no_such_card());
        assert_eq!(pay(gateway, bin, number).await, "failed");
    }
}

async fn proposals(gateway: &Gateway, state: &str) -> Vec<Value> {
    let listed = gateway.get("auditor", &format!("/v1/bin-proposals?state={state}")).await;
    assert_eq!(listed.status.as_u16(), 200, "{}", listed.text);
    listed.json()["bin_proposals"].as_array().expect("a list").clone()
}

/// Runs the worker until the only proposal has so many orders.
async fn learnt(gateway: &Gateway, orders: usize) -> Value {
    let engine = Arc::clone(&gateway.state.engine);
    let worker = BinLessonWorker::new(engine, Arc::clone(&gateway.state.bins));
    let (stop, asked) = StopSignal::new();
    let running = gateway.work(worker, Some(Duration::from_millis(20)), asked);
    let shows = async || match &proposals(gateway, "all").await[..] {
        [one] if one["orders"] == orders => Some(one.clone()),
        [] | [_] => None,
        more => panic!("{more:?}"),
    };
    let found = until("the worker proposes it", shows).await;
    stop.send(true).expect("it runs");
    running.await.expect("no panic");
    found
}

#[tokio::test]
async fn many_refused_cards_of_a_row_are_proposed_and_accepted_into_a_new_version() {
    let gateway = Gateway::start().await;
    refuse(&gateway, DEAD, 0..10).await;
    // Of these one was taken, so that they are no dead row's.
    refuse(&gateway, TAKEN, 0..12).await;
    assert_eq!(pay(&gateway, TAKEN, 99).await, "succeeded");
    let found = learnt(&gateway, 10).await;
    let id = "621626-19-retired";
    assert_eq!(
        members(&found, &["id", "bin", "pan_length", "fact", "state", "table_says", "bin_table"]),
        json!([id, DEAD, 19, "retired", "open", "debit", 0])
    );
    let evidence = found["evidence"].as_array().expect("evidence");
    assert_eq!(evidence.len(), 8, "the newest: {found}");
    assert_eq!(members(&evidence[7], &["source", "channel"]), json!(["refusal", "unionpay"]));
    let order = gateway.get("core", "/v1/payments?order_id=621626-9").await.json();
    assert_eq!(evidence[7]["order"], order["id"]);
    assert!(!found.to_string().contains(&card(DEAD, 9)), "I-11");
    assert_eq!(gateway.get("auditor", "/v1/bin-table").await.json()["version"], 0, "nothing yet");

    let path = format!("/v1/bin-proposals/{id}/accept");
    let reason = json!({ "reason": "the issuer's letter" });
    let unsigned = gateway.post("operator", &path, &json!({})).await;
    assert_eq!(unsigned.problem(), (400, "missing_field".to_owned()));
    assert_eq!(gateway.post("core", &path, &reason).await.status.as_u16(), 403);
    let accepted = gateway.post("operator", &path, &reason).await;
    assert_eq!(accepted.status.as_u16(), 200, "{}", accepted.text);
    let names = ["state", "decided_by", "decision_reason", "made_bin_table"];
    let expected = json!(["accepted", "operator", "the issuer's letter", 1]);
    assert_eq!(members(&accepted.json(), &names), expected);
    let row = gateway.get("core", "/v1/bins/621626?length=19").await.json()["rows"][0].clone();
    assert_eq!(members(&row, &["retired", "as_of"]), json!(["2026-11-22", "2026-11-22"]));
    let table = gateway.get("auditor", "/v1/bin-table").await.json();
    let version = &table["versions"][0];
    assert_eq!(members(version, &["source", "by"]), json!([format!("proposal {id}"), "operator"]));
    let changes = gateway.get("auditor", "/v1/bin-table/changes?from=0&to=1").await.json();
    assert_eq!(changes["changes"].as_array().map(Vec::len), Some(1), "{changes}");
    let audit = gateway.get("auditor", "/v1/audit").await.json();
    let actions: Vec<_> = audit["entries"].as_array().expect("lines").iter().collect();
    let actions: Vec<_> = actions.iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["bin_proposal.accept", "bin_table.refresh"]);

    let again = gateway.post("operator", &path, &reason).await;
    assert_eq!(again.problem(), (409, "wrong_phase".to_owned()));
    assert_eq!(proposals(&gateway, "open").await, Vec::<Value>::new());
    let shown = gateway.get("auditor", &format!("/v1/bin-proposals/{id}")).await;
    assert_eq!(shown.json()["state"], "accepted");
    for strange in ["621626-19-gold", "62162x-19-debit", "621626-20-debit", "621626-19-credit"] {
        let none = gateway.get("auditor", &format!("/v1/bin-proposals/{strange}")).await;
        assert_eq!(none.problem(), (404, "not_found".to_owned()), "{strange}");
    }
}

#[tokio::test]
async fn a_card_type_that_replies_and_notices_name_is_proposed_from_three_orders_on() {
    let gateway = Gateway::start().await;
    let says = |card_type| {
        let Outcome::Approved(approval) = approved() else { unreachable!("it is a yes") };
        Outcome::Approved(Approval { card_type: Some(card_type), ..approval })
    };
    // Of the other row the channel says what the table has.
    for number in 0..4 {
        gateway.bank.will_answer(says(CardType::Debit));
        assert_eq!(pay(&gateway, TAKEN, number).await, "succeeded");
    }
    for number in 0..2 {
        gateway.bank.will_answer(says(CardType::Credit));
        assert_eq!(pay(&gateway, DEAD, number).await, "succeeded");
    }
    let since = gateway.state.engine.clock().now().minus(Duration::from_secs(60));
    assert_eq!(gateway.state.engine.lessons().take(since), [], "two orders are not enough");
    // The third is told by an inquiry or a notice, as it may be.
    gateway.bank.will_answer(pending());
    let body = with(payment(&format!("{DEAD}-2")), "/card/pan", json!(card(DEAD, 2)));
    assert_eq!(gateway.pay(&body).await.status.as_u16(), 202);
    let order = gateway.order_when("621626-2", |_| true).await;
    let understood = ReplyMeaning::new(says(CardType::Credit), "payCardType=02".to_owned());
    let evidence = understood.into_evidence(Source::Notice, 1);
    gateway.state.engine.weigh(order.id, evidence).await.expect("it is weighed");
    let found = learnt(&gateway, 3).await;
    assert_eq!(members(&found, &["id", "table_says"]), json!(["621626-19-credit", "debit"]));
    let told: Vec<_> = found["evidence"].as_array().expect("evidence").iter().collect();
    let told: Vec<_> = told.iter().map(|one| members(one, &["source", "told"])).collect();
    let reply = "the channel's reply names the card credit; the table has debit";
    let notice = reply.replace("reply", "notice");
    assert_eq!(
        told,
        [json!(["message", reply]), json!(["message", reply]), json!(["message", notice])]
    );
}

#[tokio::test]
async fn what_was_refused_is_never_proposed_again() {
    let gateway = Gateway::start().await;
    refuse(&gateway, DEAD, 0..10).await;
    learnt(&gateway, 10).await;
    let path = "/v1/bin-proposals/621626-19-retired/refuse";
    let reason = json!({ "reason": "a test of ours" });
    let refused = gateway.post("operator", path, &reason).await;
    assert_eq!(refused.status.as_u16(), 200, "{}", refused.text);
    assert_eq!(refused.json()["state"], "refused");
    assert!(refused.json().get("made_bin_table").is_none(), "{}", refused.text);
    // More of the same, and something new, by which the worker is seen to have looked.
    refuse(&gateway, DEAD, 10..14).await;
    refuse(&gateway, TAKEN, 0..10).await;
    let engine = Arc::clone(&gateway.state.engine);
    let worker = BinLessonWorker::new(engine, Arc::clone(&gateway.state.bins));
    let (stop, asked) = StopSignal::new();
    let running = gateway.work(worker, Some(Duration::from_millis(20)), asked);
    let open = async || proposals(&gateway, "open").await.first().cloned();
    let other = until("the other row is proposed", open).await;
    stop.send(true).expect("it runs");
    running.await.expect("no panic");
    assert_eq!(other["id"], "622848-19-retired");
    assert_eq!(proposals(&gateway, "open").await.len(), 1);
    let kept = gateway.get("auditor", "/v1/bin-proposals/621626-19-retired").await.json();
    assert_eq!(members(&kept, &["state", "orders"]), json!(["refused", 10]));
    let late = gateway.post("operator", &path.replace("refuse", "accept"), &reason).await;
    assert_eq!(late.problem(), (409, "wrong_phase".to_owned()));
    assert_eq!(gateway.get("auditor", "/v1/bin-table").await.json()["version"], 0);
}
