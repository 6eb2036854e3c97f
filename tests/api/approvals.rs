//! Four eyes: what one operator asks and a second person approves.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use switchyard::codec::sign::sha256_hex;
use switchyard::store::memory::FailedRows;

use crate::gateway::{Answer, Gateway, members, payment, unknown};
use crate::payments::follow_ups::{ACCOUNTING, book_all};
use crate::reconciliation::{STATEMENTS, agreeing, hand_in, paid_at, planted, text};

/// `operator` has a second key, and a colleague.
fn settings(held: &str) -> String {
    let caller = |name: &str, person: &str| {
        let hash = sha256_hex(format!("{name}-key").as_bytes());
        format!(
            "[[callers]]\nname = \"{name}\"\nperson = \"{person}\"\nroles = [\"operator\"]\n\
             key_sha256 = \"{hash}\"\n"
        )
    };
    format!("{held}\n{}{}", caller("operator-2", "operator"), caller("second", "second"))
}

async fn start(held: &str) -> Gateway {
    Gateway::start_with(&settings(held)).await
}

const RESOLVES: &str = "[four_eyes.resolves_above]\nCNY = 10000";
const REMEDIES: &str = "[four_eyes]\nremedies = true";
const SWITCH_ON: &str = "[four_eyes]\nchannel_switch = \"on\"";

async fn unknown_payment(gateway: &Gateway, order_id: &str) -> String {
    gateway.bank.will_answer(unknown());
    let body = gateway.pay(&payment(order_id)).await.json();
    body["id"].as_str().expect("an id").to_owned()
}

/// The request that a call was answered with.
fn asked(answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.json()["approval"].clone()
}

async fn decide(gateway: &Gateway, caller: &str, request: &Value, verb: &str) -> Answer {
    let id = request["id"].as_str().expect("an id");
    let body = json!({ "reason": "seen" });
    gateway.post(caller, &format!("/v1/approvals/{id}/{verb}"), &body).await
}

async fn switch(gateway: &Gateway, caller: &str, enabled: bool) -> Answer {
    let request = gateway.request(caller, Method::PATCH, "/v1/channels/unionpay");
    let body = json!({ "enabled": enabled, "reason": "the bank's call" }).to_string();
    gateway.send(request.header("content-type", "application/json").body(body)).await
}

async fn is_on(gateway: &Gateway) -> bool {
    let channel = gateway.get("auditor", "/v1/channels/unionpay").await.json();
    channel["enabled"].as_bool().expect("a switch")
}

async fn audit(gateway: &Gateway) -> Vec<Value> {
    let page = gateway.get("auditor", "/v1/audit").await.json();
    let names = |entry: &Value| members(entry, &["actor", "approver", "action"]);
    page["entries"].as_array().into_iter().flatten().map(names).collect()
}

async fn who_asks_does_not_approve(gateway: &Gateway, path: &str, request: &Value) {
    let body = json!({ "outcome": "failed", "reason": "the bank's letter" });
    // The same again is the same request, whoever asks.
    for caller in ["operator", "second"] {
        assert_eq!(asked(&gateway.post(caller, path, &body).await)["id"], request["id"]);
    }
    let other = json!({ "outcome": "succeeded", "reason": "the bank's letter" });
    let other = gateway.post("second", path, &other).await;
    assert_eq!(other.problem(), (409, "approval_waits".to_owned()));
    assert_eq!(other.json()["approval"], request["id"]);
    // Two keys of one person are one person.
    for caller in ["operator", "operator-2"] {
        for verb in ["approve", "refuse"] {
            let own = decide(gateway, caller, request, verb).await;
            assert_eq!(own.problem(), (403, "wrong_person".to_owned()), "{caller} {verb}");
        }
    }
    let foreign = decide(gateway, "second", request, "withdraw").await;
    assert_eq!(foreign.problem(), (403, "wrong_person".to_owned()));
    for caller in ["core", "auditor"] {
        let forbidden = decide(gateway, caller, request, "approve").await;
        assert_eq!(forbidden.problem(), (403, "forbidden".to_owned()));
    }
}

#[tokio::test]
async fn i_14_an_unknown_above_the_bound_is_ended_by_two_people() {
    let gateway = start(RESOLVES).await;
    let id = unknown_payment(&gateway, "A-1").await;
    let path = format!("/v1/reversals/{id}/resolve");
    let body = json!({ "outcome": "failed", "reason": "the bank's letter" });
    let before = gateway.commits();
    let request = asked(&gateway.post("operator", &path, &body).await);
    assert_eq!(gateway.commits(), before + 1, "the request alone is written");
    assert_eq!(
        members(&request, &["state", "kind", "words", "asked_by", "asker", "reason", "until"]),
        json!([
            "open",
            "resolve",
            format!("end order {id} (123.45 CNY) as failed"),
            "operator",
            "operator",
            "the bank's letter",
            "2026-11-23T08:00:00.000Z"
        ])
    );
    let data = members(&request["action"], &["order", "outcome", "amount", "currency"]);
    assert_eq!(data, json!([id, "failed", 12_345, "CNY"]));
    let still = gateway.get("auditor", &format!("/v1/payments/{id}")).await.json();
    assert_eq!(still["status"], "unknown");
    who_asks_does_not_approve(&gateway, &path, &request).await;
    let done = decide(&gateway, "second", &request, "approve").await;
    assert_eq!(done.status, 200, "{}", done.text);
    let names = members(&done.json(), &["state", "decided_by", "decider", "decision_reason"]);
    assert_eq!(names, json!(["carried_out", "second", "second", "seen"]));
    let ended = gateway.get("auditor", &format!("/v1/payments/{id}")).await.json();
    assert_eq!(ended["status"], "failed");
    // A lost answer is given again; nobody decides twice.
    assert_eq!(decide(&gateway, "second", &request, "approve").await.status, 200);
    for (caller, verb) in [("operator", "withdraw"), ("second", "refuse")] {
        let late = decide(&gateway, caller, &request, verb).await;
        assert_eq!(late.problem(), (409, "approval_decided".to_owned()), "{verb}");
    }
    assert_eq!(
        audit(&gateway).await,
        [
            json!(["operator", null, "approval.ask"]),
            json!(["operator", "second", "reversal.resolve"]),
            json!(["second", null, "approval.approve"]),
        ]
    );
    let story = gateway.get("auditor", &format!("/v1/orders/{id}/story")).await.json();
    let events = story["events"].as_array().expect("events");
    let decided = events.iter().find(|event| event["kind"] == "resolved").expect("a decision");
    assert_eq!(members(&decided["data"], &["actor", "approver"]), json!(["operator", "second"]));
    let words = decided["words"].as_str().expect("words");
    assert!(words.starts_with("operator decided, approved by second: failed"), "{words}");
}

#[tokio::test]
async fn what_is_small_or_needs_one_person_is_done_at_once() {
    let gateway = start("[four_eyes.resolves_above]\nCNY = 12345").await;
    let id = unknown_payment(&gateway, "A-1").await;
    let body = json!({ "outcome": "failed", "reason": "the bank's letter" });
    let path = format!("/v1/reversals/{id}/resolve");
    assert_eq!(gateway.post("operator", &path, &body).await.status, 200);
    assert_eq!(switch(&gateway, "operator", false).await.status, 200, "no switch is held");
    assert_eq!(switch(&gateway, "operator", true).await.status, 200);
}

#[tokio::test]
async fn evidence_overtakes_a_request() {
    let gateway = start(RESOLVES).await;
    let id = unknown_payment(&gateway, "A-1").await;
    let path = format!("/v1/reversals/{id}/resolve");
    let body = json!({ "outcome": "failed", "reason": "the bank's letter" });
    let request = asked(&gateway.post("operator", &path, &body).await);
    // The channel's own answer ends it meanwhile.
    let order = switchyard::domain::ids::OrderId::parse(&id).expect("an id");
    let evidence = switchyard::domain::attempt::Evidence {
        source: switchyard::domain::attempt::Source::Inquiry,
        attempt: 1,
        outcome: crate::gateway::approved(),
        objection: None,
        as_of: None,
        transcript: String::new(),
        sent: String::new(),
    };
    gateway.state.engine.weigh(order, evidence).await.expect("it is believed");
    let late = decide(&gateway, "second", &request, "approve").await;
    assert_eq!(late.problem(), (409, "approval_overtaken".to_owned()));
    let order = gateway.get("auditor", &format!("/v1/payments/{id}")).await.json();
    assert_eq!(order["status"], "succeeded", "the evidence stands");
    let path = format!("/v1/approvals/{}", request["id"].as_str().expect("an id"));
    let kept = gateway.get("auditor", &path).await.json();
    assert_eq!(kept["state"], "overtaken", "{kept}");
    assert_eq!(decide(&gateway, "second", &request, "approve").await.problem().1, {
        "approval_decided"
    });
    let again = gateway.post("operator", &format!("/v1/reversals/{id}/resolve"), &body).await;
    assert_eq!(again.problem(), (409, "nothing_open".to_owned()));
}

#[tokio::test]
async fn a_request_expires_by_proven_time_and_can_be_asked_anew() {
    let gateway = start(SWITCH_ON).await;
    assert_eq!(switch(&gateway, "operator", false).await.status, 200, "off is free");
    let first = asked(&switch(&gateway, "operator", true).await);
    let waiting = async |state: &str| {
        let page = gateway.get("auditor", &format!("/v1/approvals?state={state}")).await.json();
        let rows = page["approvals"].as_array().expect("rows").clone();
        rows.iter().map(|row| row["state"].as_str().expect("a state").to_owned()).collect()
    };
    let waiting_now: Vec<String> = waiting("waiting").await;
    assert_eq!(waiting_now, ["open"]);
    gateway.later(Duration::from_secs(24 * 60 * 60));
    gateway.state.engine.clock().look();
    gateway.state.engine.clock().confirm(gateway.state.engine.clock().now());
    let shown: Vec<String> = waiting("waiting").await;
    assert_eq!(shown, ["expired"]);
    // The first to come late ends it; whoever comes after hears the same, and writes nothing.
    let mut commits = gateway.commits();
    for (written, verb) in [(1, "approve"), (0, "approve"), (0, "refuse")] {
        let late = decide(&gateway, "second", &first, verb).await;
        assert_eq!(late.problem(), (409, "approval_expired".to_owned()), "{verb}");
        assert_eq!(gateway.commits(), commits + written, "{verb}");
        commits += written;
    }
    assert!(!is_on(&gateway).await);
    let none: Vec<String> = waiting("waiting").await;
    assert_eq!(none, Vec::<String>::new());
    let second = asked(&switch(&gateway, "operator", true).await);
    assert_ne!(second["id"], first["id"]);
    let gone = decide(&gateway, "operator-2", &second, "withdraw").await;
    assert_eq!((gone.status.as_u16(), &gone.json()["state"]), (200, &json!("withdrawn")));
    let third = asked(&switch(&gateway, "operator", true).await);
    let id = third["id"].as_str().expect("an id");
    let bare = gateway.post("second", &format!("/v1/approvals/{id}/refuse"), &json!({})).await;
    assert_eq!(bare.problem(), (400, "missing_field".to_owned()));
    let refused = decide(&gateway, "second", &third, "refuse").await;
    assert_eq!(refused.json()["state"], "refused");
    assert!(!is_on(&gateway).await);
    let all: Vec<String> = waiting("all").await;
    assert_eq!(all, ["refused", "withdrawn", "expired"], "the newest first");
}

#[tokio::test]
async fn i_14_a_switch_is_carried_out_once_under_two_approvers_and_after_a_crash() {
    let gateway = start(SWITCH_ON).await;
    switch(&gateway, "operator", false).await;
    let request = asked(&switch(&gateway, "operator", true).await);
    // The approval is durable, and the process dies before it can say that it was carried out.
    gateway.faults.fail_after(1, FailedRows::Lost);
    let lost = decide(&gateway, "second", &request, "approve").await;
    assert_eq!(lost.problem(), (503, "store_failed".to_owned()));
    gateway.faults.restart();
    let path = format!("/v1/approvals/{}", request["id"].as_str().expect("an id"));
    let kept = gateway.get("auditor", &path).await.json();
    assert_eq!(members(&kept, &["state", "decider"]), json!(["approved", "second"]));
    let own = decide(&gateway, "operator", &request, "approve").await;
    assert_eq!(own.problem(), (403, "wrong_person".to_owned()), "not even now");
    let (one, two) = tokio::join!(
        decide(&gateway, "second", &request, "approve"),
        decide(&gateway, "second", &request, "approve")
    );
    for answer in [one, two] {
        let told = members(&answer.json(), &["state", "decider"]);
        assert_eq!(told, json!(["carried_out", "second"]), "{}", answer.text);
    }
    assert!(is_on(&gateway).await);
    let turned = json!(["operator", "second", "channel.enable"]);
    assert_eq!(audit(&gateway).await.iter().filter(|line| **line == turned).count(), 1);
    // On is on: nobody is asked for what is so already.
    assert_eq!(switch(&gateway, "operator", true).await.status, 200);
}

async fn paid(gateway: &Gateway, order_id: &str) -> String {
    let paid = gateway.pay(&payment(order_id)).await;
    paid.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn i_14_an_operators_refund_above_the_bound_is_one_order_of_two_people() {
    let held = format!("{ACCOUNTING}\n[four_eyes.refunds_above]\nCNY = 10000");
    let gateway = start(&held).await;
    let id = paid(&gateway, "A-1").await;
    let path = format!("/v1/payments/{id}/refunds");
    let small = json!({ "order_id": "R-0", "amount": 345 });
    let free = gateway.send(gateway.posting("operator", &path, &small).header("prefer", "wait=0"));
    assert_eq!(free.await.json()["status"], "accepted", "below the bound");
    book_all(&gateway).await;
    // Parts are no smaller than their sum.
    let part = json!({ "order_id": "R-1", "amount": 9_700 });
    let part = asked(&gateway.post("operator", &path, &part).await);
    assert_eq!(part["action"]["amount"], 9_700);
    assert_eq!(decide(&gateway, "operator", &part, "withdraw").await.status, 200);
    let body = json!({ "order_id": "R-1", "description": "returned" });
    let much = json!({ "order_id": "R-1", "amount": 12_345 });
    let much = gateway.post("operator", &path, &much).await;
    assert_eq!(much.problem(), (422, "exceeds_left".to_owned()), "no request for the impossible");
    let card = json!({ "order_id": "R-1", "card": { "pan": crate::gateway::CARD } });
    let card = gateway.post("operator", &path, &card).await;
    assert_eq!(card.problem(), (422, "card_not_kept".to_owned()));
    let request = asked(&gateway.post("operator", &path, &body).await);
    let told = members(&request["action"], &["operation", "order", "order_id", "amount"]);
    assert_eq!(told, json!(["refund", id, "R-1", 12_000]), "all that was left");
    assert_eq!(request["reason"], "returned");
    let calls = gateway.bank.calls();
    let done = decide(&gateway, "second", &request, "approve").await;
    assert_eq!(done.status, 200, "{}", done.text);
    let refund = done.json()["outcome"].as_str().expect("the refund's order").to_owned();
    book_all(&gateway).await;
    assert_eq!(gateway.bank.calls(), calls + 1, "one refund has left");
    let order = gateway.get("auditor", &format!("/v1/payments/{refund}")).await.json();
    let told = members(&order, &["kind", "caller", "order_id", "amount", "status"]);
    assert_eq!(told, json!(["refund", "operator", "R-1", 12_000, "succeeded"]));
    // The asker's call, repeated, is answered by the order.
    let again = gateway.post("operator", &path, &body).await;
    assert_eq!((again.status.as_u16(), &again.json()["id"]), (200, &json!(refund)));
    let story = gateway.get("auditor", &format!("/v1/orders/{refund}/story")).await.json();
    let events = story["events"].as_array().expect("events");
    let both = events.iter().find(|event| event["kind"] == "approved").expect("both names");
    assert_eq!(both["words"], "operator asked for it, and second approved it");
}

#[tokio::test]
async fn i_14_a_core_refunds_by_itself_and_a_void_is_a_refund() {
    let held = format!("{ACCOUNTING}\n[four_eyes.refunds_above]\nCNY = 0");
    let gateway = start(&held).await;
    let id = paid(&gateway, "A-1").await;
    let part = json!({ "order_id": "R-1", "amount": 45 });
    let path = format!("/v1/payments/{id}/refunds");
    let request = asked(&gateway.post("operator", &path, &part).await);
    // The core refunds meanwhile: what was left when it was asked is left no more.
    let core = gateway.send(gateway.posting("core", &path, &part).header("prefer", "wait=0")).await;
    assert_eq!(core.json()["status"], "accepted", "{}", core.text);
    let late = decide(&gateway, "second", &request, "approve").await;
    assert_eq!(late.problem(), (409, "approval_overtaken".to_owned()));
    let id = paid(&gateway, "A-2").await;
    let void = json!({ "order_id": "V-1" });
    let request = asked(&gateway.post("operator", &format!("/v1/payments/{id}/void"), &void).await);
    assert_eq!(members(&request["action"], &["operation", "amount"]), json!(["void", 12_345]));
    // Two approvers at once: one refund.
    let (one, two) = tokio::join!(
        decide(&gateway, "second", &request, "approve"),
        decide(&gateway, "second", &request, "approve")
    );
    for answer in [one, two] {
        assert_eq!(answer.json()["state"], "carried_out", "{}", answer.text);
    }
    let seen = gateway.get("core", &format!("/v1/payments/{id}")).await.json();
    assert_eq!(seen["refunded"], 12_345, "{seen}");
}

/// What the statement has planted, as the remedies of all are asked for at once.
async fn asked_of_each(gateway: &Gateway, remedy: &str) -> Vec<(String, Value)> {
    let taken = hand_in(gateway, STATEMENTS, text(&planted(gateway).await)).await;
    assert_eq!(taken.status, 201, "{}", taken.text);
    let open = gateway.get("auditor", "/v1/differences?channel=unionpay").await.json();
    let rows = open["differences"].as_array().expect("rows").clone();
    let body = json!({ "remedy": remedy, "reason": "too small to ask" });
    let mut asked_for = Vec::new();
    for row in &rows {
        let id = row["id"].as_str().expect("an id").to_owned();
        let path = format!("/v1/differences/{id}/resolve");
        asked_for.push((id, asked(&gateway.post("operator", &path, &body).await)));
    }
    asked_for
}

async fn state_of(gateway: &Gateway, difference: &str) -> Value {
    gateway.get("auditor", &format!("/v1/differences/{difference}")).await.json()["state"].clone()
}

#[tokio::test]
async fn i_14_each_of_many_remedies_is_a_request_of_its_own_for_two_people() {
    let gateway = paid_at(start(REMEDIES).await).await;
    let bad = json!({ "remedy": "merchant", "reason": "whose?" });
    let all = asked_of_each(&gateway, "profit_or_loss").await;
    assert_eq!(all.len(), 3);
    let (difference, request) = &all[0];
    let told = members(&request["action"], &["difference", "remedy"]);
    assert_eq!(told, json!([difference, "profit_or_loss"]));
    for (difference, request) in &all {
        assert_eq!(state_of(&gateway, difference).await, "carried", "nothing is done yet");
        // What could not be done is refused at once, and another remedy waits for the first.
        let path = format!("/v1/differences/{difference}/resolve");
        let other = gateway.post("second", &path, &bad).await;
        let problem = other.problem();
        assert!(
            problem == (409, "approval_waits".to_owned())
                || problem == (422, "remedy_refused".to_owned()),
            "{}",
            other.text
        );
        for caller in ["operator", "operator-2"] {
            let own = decide(&gateway, caller, request, "approve").await;
            assert_eq!(own.problem(), (403, "wrong_person".to_owned()), "{caller}");
        }
    }
    // One is refused, one approved by two at once, one approved.
    let refused = decide(&gateway, "second", &all[0].1, "refuse").await;
    assert_eq!(refused.json()["state"], "refused", "{}", refused.text);
    let (one, two) = tokio::join!(
        decide(&gateway, "second", &all[1].1, "approve"),
        decide(&gateway, "second", &all[1].1, "approve")
    );
    let third = decide(&gateway, "second", &all[2].1, "approve").await;
    for answer in [one, two, third] {
        assert_eq!(answer.json()["state"], "carried_out", "{}", answer.text);
    }
    let mut states = Vec::new();
    for (difference, _) in &all {
        states.push(state_of(&gateway, difference).await);
    }
    assert_eq!(states, ["carried", "balanced", "balanced"]);
    let both = json!(["operator", "second", "difference.balance"]);
    let lines = audit(&gateway).await;
    assert_eq!(lines.iter().filter(|line| **line == both).count(), 2, "{lines:?}");
}

#[tokio::test]
async fn a_remedy_of_a_difference_that_a_new_statement_has_cleared_is_overtaken() {
    let gateway = paid_at(start(REMEDIES).await).await;
    let all = asked_of_each(&gateway, "profit_or_loss").await;
    let mended = hand_in(&gateway, STATEMENTS, text(&agreeing(&gateway).await)).await;
    assert_eq!(mended.status, 201, "{}", mended.text);
    for (difference, request) in &all {
        let state = state_of(&gateway, difference).await;
        assert_ne!(state, "carried", "the new statement has none of them");
        let late = decide(&gateway, "second", request, "approve").await;
        assert_eq!(late.problem(), (409, "approval_overtaken".to_owned()), "{}", late.text);
        assert_eq!(state_of(&gateway, difference).await, state);
    }
}

/// A key that is a core's and an operator's asks as an operator, and is one person all the same.
#[tokio::test]
async fn i_14_a_key_of_both_roles_does_not_approve_its_own_request() {
    let hash = sha256_hex(b"both-key");
    let both = format!(
        "{ACCOUNTING}\n[four_eyes.refunds_above]\nCNY = 0\n[[callers]]\nname = \"both\"\n\
         roles = [\"core\", \"operator\"]\nkey_sha256 = \"{hash}\"\n"
    );
    let gateway = start(&both).await;
    let paid = gateway.send(gateway.posting("both", "/v1/payments", &payment("A-1"))).await;
    let id = paid.json()["id"].as_str().expect("an id").to_owned();
    let refund = json!({ "order_id": "R-1", "amount": 45, "description": "returned" });
    let path = format!("/v1/payments/{id}/refunds");
    let request = asked(&gateway.post("both", &path, &refund).await);
    assert_eq!(members(&request, &["asked_by", "asker"]), json!(["both", "both"]));
    let own = decide(&gateway, "both", &request, "approve").await;
    assert_eq!(own.problem(), (403, "wrong_person".to_owned()));
    let order = gateway.get("both", &format!("/v1/payments/{id}")).await.json();
    assert_eq!(order.get("refunded").cloned().unwrap_or_default(), json!(0), "{order}");
    let done = decide(&gateway, "operator", &request, "approve").await;
    assert_eq!(done.json()["state"], "carried_out", "{}", done.text);
}

/// The shipped rows without the last ones.
fn shorter(rows_gone: usize) -> Vec<u8> {
    let lines: Vec<&str> = include_str!("../../bin-tables/unionpay.csv").lines().collect();
    (lines[..lines.len() - rows_gone].join("\n") + "\n").into_bytes()
}

async fn force(gateway: &Gateway, bytes: Vec<u8>) -> Answer {
    let request = gateway.request(
        "operator",
        Method::POST,
        "/v1/bin-table/refresh?force=true&reason=new%20ranges",
    );
    gateway.send(request.header("content-type", "text/csv").body(bytes)).await
}

#[tokio::test]
async fn i_14_a_table_that_looks_wrong_is_forced_by_two_people_and_is_the_one_that_was_seen() {
    let gateway = start("[four_eyes]\nforced_bin_table = true").await;
    let version = async || gateway.get("auditor", "/v1/bin-table").await.json()["version"].clone();
    let sound = force(&gateway, shorter(1)).await;
    assert_eq!((sound.status.as_u16(), &sound.json()["forced"]), (200, &json!(false)));
    let broken = force(&gateway, b"bin\n1\n".to_vec()).await;
    assert_eq!(broken.problem().1, "bin_table_refused", "nobody forces a broken one");
    let half = shorter(shorter(0).iter().filter(|byte| **byte == b'\n').count() / 2);
    let request = asked(&force(&gateway, half.clone()).await);
    assert_eq!(version().await, 1, "the live one stays");
    assert_eq!(request["action"]["sha256"], sha256_hex(&half));
    let complaint = request["action"]["complaint"].as_str().expect("a complaint");
    assert!(complaint.contains("rows would be gone"), "{complaint}");
    assert_eq!(asked(&force(&gateway, half.clone()).await)["id"], request["id"]);
    // Another table comes in between: what was seen is no more.
    let upload = gateway.request("operator", Method::POST, "/v1/bin-table/refresh");
    gateway.send(upload.header("content-type", "text/csv").body(shorter(2))).await;
    let late = decide(&gateway, "second", &request, "approve").await;
    assert_eq!(late.problem(), (409, "approval_overtaken".to_owned()));
    let request = asked(&force(&gateway, half).await);
    gateway.faults.fail_after(1, FailedRows::Lost);
    let lost = decide(&gateway, "second", &request, "approve").await;
    assert_eq!(lost.problem(), (503, "store_failed".to_owned()));
    gateway.faults.restart();
    let done = decide(&gateway, "second", &request, "approve").await;
    assert_eq!(done.json()["state"], "carried_out", "{}", done.text);
    assert_eq!(version().await, 3, "the second time changed nothing");
    let table = gateway.get("auditor", "/v1/bin-table").await.json();
    assert_eq!(table["by"], "operator, approved by second");
    assert_eq!(table["reason"], "new ranges");
    let told = members(&done.json(), &["asker", "reason", "decider"]);
    assert_eq!(told, json!(["operator", "new ranges", "second"]));
}
