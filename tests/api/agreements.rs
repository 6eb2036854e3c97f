//! `/v1/agreements`: a card is bound by a code, and paid by from then on.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use switchyard::channel::{IssuedToken, ReplyMeaning};
use switchyard::domain::card::CardToken;
use switchyard::domain::ids::AgreementId;
use switchyard::domain::outcome::{Decline, NotSentCause, Outcome, Reason};
use switchyard::domain::time::Timestamp;
use switchyard::domain::write_set::WriteSet;

use crate::gateway::{Answer, CARD, Gateway, approved, payment, unknown};
use crate::support::books::moment;

const PATH: &str = "/v1/agreements";
const TOKEN: &str = "6235240000020757577";
const PHONE: &str = "13800138473";
const CODE: &str = "739162";
const ABLE: &str = "operations = [\"payment\", \"refund\", \"inquiry\", \"reversal\", \
                    \"agreement_code\", \"agreement_confirmation\", \"agreement_inquiry\", \
                    \"agreement_end\", \"payment_code\"]\n\
                    instruments = [\"card\", \"agreement\"]";

fn asked(order_id: &str) -> Value {
    json!({
        "order_id": order_id,
        "merchant_id": "m-1",
        "card": { "pan": CARD, "holder": "ZHANG SANFENG", "phone": PHONE },
    })
}

fn declined(reason: Reason) -> Outcome {
    Outcome::Declined(Decline { reason, code: "71".to_owned(), elsewhere: false })
}

fn issued(ends_at: Option<Timestamp>) -> ReplyMeaning {
    let token = CardToken::parse(TOKEN, PHONE).expect("it is plain");
    ReplyMeaning::new(approved(), format!("tokenPayData={TOKEN}"))
        .with_issued(IssuedToken { token, ends_at })
}

async fn able() -> Gateway {
    Gateway::start_able("", ABLE).await
}

async fn open(gateway: &Gateway, order_id: &str) -> String {
    let opened = gateway.post("core", PATH, &asked(order_id)).await;
    let body = opened.json();
    assert_eq!((opened.status, &body["state"]), (StatusCode::OK, &json!("code_sent")), "{body}");
    body["id"].as_str().expect("an id").to_owned()
}

async fn confirm(gateway: &Gateway, id: &str) -> Answer {
    gateway.post("core", &format!("{PATH}/{id}/confirm"), &json!({ "code": CODE })).await
}

async fn active(gateway: &Gateway, order_id: &str) -> String {
    let id = open(gateway, order_id).await;
    gateway.bank.will_be_understood(issued(None));
    let answer = confirm(gateway, &id).await;
    assert_eq!(answer.json()["state"], "active", "{}", answer.text);
    id
}

fn pay_by(id: &str, order_id: &str) -> Value {
    let mut body = payment(order_id);
    body.as_object_mut().expect("an object").remove("card");
    body["merchant_id"] = "m-1".into();
    body["agreement"] = id.into();
    body
}

#[tokio::test]
async fn an_agreement_is_opened_paid_by_and_ended() {
    let gateway = able().await;
    let id = open(&gateway, "G-1").await;
    let one = format!("{PATH}/{id}");
    let shown = gateway.get("core", &one).await.json();
    assert_eq!((&shown["phone"], &shown["order_id"]), (&json!("138****8473"), &json!("G-1")));
    assert_eq!(shown["card"]["masked"], "621626*********0018");
    assert_eq!(gateway.get("core", &format!("{PATH}?order_id=G-1")).await.json(), shown);
    // Nothing is paid by it yet.
    let early = gateway.pay(&pay_by(&id, "A-0")).await;
    assert_eq!(early.problem(), (409, "agreement_not_active".to_owned()));
    assert_eq!(early.json()["state"], "code_sent");
    gateway.bank.will_answer(declined(Reason::WrongSmsCode));
    let wrong = confirm(&gateway, &id).await;
    let body = wrong.json();
    assert_eq!((wrong.status, &body["state"]), (StatusCode::OK, &json!("code_sent")), "{body}");
    assert_eq!((&body["reason"], &body["codes_refused"]), (&json!("wrong_sms_code"), &json!(1)));
    let again = gateway.post("core", &format!("{one}/code"), &json!({})).await.json();
    assert_eq!((&again["state"], &again["codes_sent"]), (&json!("code_sent"), &json!(2)));
    gateway.bank.will_be_understood(issued(Some(moment(9_000_000))));
    let confirmed = confirm(&gateway, &id).await.json();
    assert_eq!(confirmed["state"], "active", "{confirmed}");
    assert!(confirmed["ends_at"].is_string());
    let calls = gateway.bank.calls();
    assert_eq!(confirm(&gateway, &id).await.json()["state"], "active", "a repeat is safe");
    assert_eq!(gateway.bank.calls(), calls, "and sends nothing");
    // Orders by it are orders like others.
    let paid = gateway.pay(&pay_by(&id, "A-1")).await;
    let body = paid.json();
    assert_eq!((paid.status, &body["status"]), (StatusCode::OK, &json!("succeeded")), "{body}");
    assert_eq!((&body["agreement"], &body["channel"]), (&json!(id), &json!("unionpay")));
    assert_eq!(body["card"]["masked"], "621626*********0018");
    let repeat = gateway.pay(&pay_by(&id, "A-1")).await;
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    let by_card = gateway.pay(&payment("A-1")).await;
    assert_eq!(by_card.problem(), (409, "order_id_conflict".to_owned()));
    let list = gateway.get("auditor", &format!("{PATH}?merchant_id=m-1")).await.json();
    assert_eq!(list["agreements"][0]["id"], json!(id));
    let none = gateway.get("other", &format!("{PATH}?merchant_id=m-1")).await.json();
    assert_eq!(none["agreements"], json!([]), "another caller's are not shown");
    let ended = gateway.post("core", &format!("{one}/end"), &json!({})).await.json();
    assert_eq!(ended["state"], "ended", "{ended}");
    assert_eq!(gateway.post("core", &format!("{one}/end"), &json!({})).await.json(), ended);
    let late = gateway.pay(&pay_by(&id, "A-3")).await;
    assert_eq!(late.problem(), (409, "agreement_not_active".to_owned()));
    assert_eq!(gateway.pay(&pay_by(&id, "A-1")).await.json()["status"], "succeeded", "a repeat");
}

#[tokio::test]
async fn i_11_neither_code_nor_token_nor_phone_is_shown_or_kept() {
    let gateway = able().await;
    let id = active(&gateway, "G-1").await;
    let shown = gateway.get("auditor", &format!("{PATH}/{id}")).await;
    assert!(shown.json()["transcript"].is_string(), "{}", shown.text);
    let kept = gateway.store.agreement(AgreementId::parse(&id).expect("an id")).await;
    let kept = kept.expect("a read").expect("a row");
    let row = format!("{kept:?}");
    for secret in [TOKEN, CODE, PHONE, CARD, "ZHANG"] {
        assert!(!shown.text.contains(secret), "{secret}: {}", shown.text);
        assert!(!row.contains(secret), "{secret} rests: {row}");
    }
    let sealed = kept.token.expect("a token").bytes;
    assert!(!sealed.windows(6).any(|part| TOKEN.as_bytes().windows(6).any(|one| one == part)));
    // A core does not read the channel's words.
    assert!(gateway.get("core", &format!("{PATH}/{id}")).await.json()["transcript"].is_null());
}

#[tokio::test]
async fn i_9_a_repeat_gets_the_same_agreement_and_sends_nothing() {
    let gateway = able().await;
    let first = gateway.post("core", PATH, &asked("G-1")).await;
    let again = gateway.post("core", PATH, &asked("G-1")).await;
    assert_eq!(first.json(), again.json());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(gateway.bank.calls(), 1);
    for (field, value) in [("pan", "4111111111111111"), ("phone", "13800138474")] {
        let mut other = asked("G-1");
        other["card"][field] = value.into();
        let refused = gateway.post("core", PATH, &other).await;
        assert_eq!(refused.problem(), (409, "order_id_conflict".to_owned()));
        assert_eq!(refused.json()["field"], format!("card.{field}"));
    }
    assert_eq!(gateway.bank.calls(), 1);
}

#[tokio::test]
async fn i_3_an_unknown_confirmation_is_ended_by_the_channel_s_word() {
    let gateway = able().await;
    let id = open(&gateway, "G-1").await;
    gateway.bank.will_answer(unknown());
    gateway.bank.will_be_understood(issued(None));
    let path = format!("{PATH}/{id}/confirm");
    let asking =
        gateway.posting("core", &path, &json!({ "code": CODE })).header("prefer", "wait=0");
    let open = gateway.send(asking).await;
    assert_eq!(open.status, StatusCode::ACCEPTED, "{}", open.text);
    // Whoever looks at it has the channel asked; else the work that goes on does.
    let looked = loop {
        let body = gateway.get("core", &format!("{PATH}/{id}")).await.json();
        if body["state"] != "confirming" && body["state"] != "unknown" {
            break body;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(looked["state"], "active", "{looked}");
}

/// "No such order" tells of the moment when it was asked: an answer that takes long proves nothing
/// that it would not have proved at once.
#[tokio::test]
async fn i_3_not_found_counts_as_of_when_it_was_asked() {
    let gateway = able().await;
    let id = open(&gateway, "G-1").await;
    let one = format!("{PATH}/{id}");
    // The call that confirms it dies with its process, so that nobody else asks.
    let key = AgreementId::parse(&id).expect("an id");
    let row = gateway.store.agreement(key).await.expect("a read").expect("a row");
    let row = row.confirm(gateway.state.engine.clock().now()).expect("a code was sent");
    let writes = WriteSet { agreements: vec![row], ..WriteSet::default() };
    gateway.store.commit(&writes).await.expect("it is written");
    gateway.later(Duration::from_secs(60));
    let not_found = || Outcome::NotFound { code: "34".to_owned() };
    let before = gateway.bank.calls();
    gateway.bank.hold();
    gateway.bank.will_answer(not_found());
    let looking = gateway.get("core", &one);
    let slow = async {
        while gateway.bank.calls() == before {
            tokio::task::yield_now().await;
        }
        // The answer comes when one that was asked then would be believed.
        gateway.later(Duration::from_secs(541));
        gateway.bank.let_go();
    };
    let (early, ()) = tokio::join!(looking, slow);
    assert_eq!(early.json()["state"], "unknown", "{}", early.text);
    gateway.bank.will_answer(not_found());
    let late = gateway.get("core", &one).await.json();
    assert_eq!((&late["state"], &late["reason"]), (&json!("failed"), &json!("never_arrived")));
}

#[tokio::test]
async fn what_was_lost_is_told_and_can_be_asked_again() {
    let gateway = able().await;
    gateway.bank.will_answer(unknown());
    let unsure = gateway.post("core", PATH, &asked("G-1")).await;
    let body = unsure.json();
    assert_eq!((unsure.status, &body["state"]), (StatusCode::ACCEPTED, &json!("code_unknown")));
    assert_eq!(body["unknown_cause"], "timed_out");
    let one = format!("{PATH}/{}", body["id"].as_str().expect("an id"));
    let again = gateway.post("core", &format!("{one}/code"), &json!({})).await.json();
    assert_eq!(again["state"], "code_sent", "{again}");
    gateway.bank.will_answer(Outcome::NotSent(NotSentCause::NoConnection));
    let unsent = gateway.post("core", &format!("{one}/confirm"), &json!({ "code": CODE })).await;
    let body = unsent.json();
    assert_eq!(
        (&body["state"], &body["reason"]),
        (&json!("code_sent"), &json!("channel_unavailable"))
    );
    // A call that died with its process is unknown, and an end that nobody told is asked for again.
    gateway.bank.will_be_understood(issued(None));
    gateway.post("core", &format!("{one}/confirm"), &json!({ "code": CODE })).await;
    gateway.bank.will_answer(unknown());
    let ending = gateway.post("core", &format!("{one}/end"), &json!({})).await;
    assert_eq!(
        (ending.status, ending.json()["state"].clone()),
        (StatusCode::ACCEPTED, json!("ending"))
    );
    let ended = gateway.post("core", &format!("{one}/end"), &json!({})).await.json();
    assert_eq!(ended["state"], "ended", "{ended}");
}

#[tokio::test]
async fn an_agreement_is_its_caller_s_and_its_merchant_s_own() {
    let gateway = able().await;
    let id = active(&gateway, "G-1").await;
    let one = format!("{PATH}/{id}");
    let code = json!({ "code": CODE });
    for (caller, path) in [("other", one.clone()), ("other", format!("{PATH}?order_id=G-1"))] {
        assert_eq!(gateway.get(caller, &path).await.problem(), (404, "not_found".to_owned()));
    }
    for caller in ["other", "operator"] {
        let answer = gateway.post(caller, &format!("{one}/confirm"), &code).await;
        assert_eq!(answer.problem(), (404, "not_found".to_owned()), "{caller}");
    }
    let mut of_another = pay_by(&id, "A-1");
    of_another["merchant_id"] = "m-2".into();
    let unknown = pay_by("2611220000000000017", "A-2");
    for (caller, body) in [("core", of_another), ("other", pay_by(&id, "A-3")), ("core", unknown)] {
        let refused = gateway.post(caller, "/v1/payments", &body).await;
        assert_eq!(refused.problem(), (422, "no_agreement".to_owned()));
        assert_eq!(refused.json()["field"], "agreement");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let gateway = able().await;
    let mut bare = asked("G-1");
    bare["card"].as_object_mut().expect("an object").remove("phone");
    let refused = gateway.post("core", PATH, &bare).await;
    assert_eq!(refused.json()["field"], "card.phone");
    let id = open(&gateway, "G-2").await;
    let path = format!("{PATH}/{id}/confirm");
    for (body, field) in [
        (json!({}), "code"),
        (json!({ "code": "12" }), "code"),
        (json!({ "code": "12a456" }), "code"),
        (json!({ "code": CODE, "card": { "pan": "1" } }), "card.pan"),
    ] {
        let refused = gateway.post("core", &path, &body).await;
        assert_eq!(refused.json()["field"], field, "{body}");
    }
    let other = json!({ "code": CODE, "card": { "pan": "4111111111111111", "phone": PHONE } });
    let refused = gateway.post("core", &path, &other).await;
    assert_eq!(refused.problem(), (422, "card_differs".to_owned()));
    let mut both = pay_by(&id, "A-1");
    both["card"] = json!({ "pan": CARD });
    assert_eq!(gateway.pay(&both).await.json()["field"], "card");
}

#[tokio::test]
async fn without_a_channel_that_speaks_of_agreements_there_is_none() {
    let gateway = Gateway::start().await;
    let refused = gateway.post("core", PATH, &asked("G-1")).await;
    assert_eq!(refused.problem(), (422, "no_route".to_owned()));
    assert_eq!(refused.json()["candidates"][0]["reason"], "operation");
}

#[tokio::test]
async fn an_agreement_that_has_ended_by_its_date_pays_nothing() {
    let gateway = able().await;
    let id = open(&gateway, "G-1").await;
    gateway.bank.will_be_understood(issued(Some(moment(60_000))));
    assert_eq!(confirm(&gateway, &id).await.json()["state"], "active");
    gateway.later(Duration::from_secs(61));
    assert_eq!(gateway.get("core", &format!("{PATH}/{id}")).await.json()["state"], "expired");
    let list = gateway.get("core", &format!("{PATH}?merchant_id=m-1")).await.json();
    assert_eq!(list["agreements"][0]["state"], "expired");
    let late = gateway.pay(&pay_by(&id, "A-1")).await;
    assert_eq!(late.problem(), (409, "agreement_not_active".to_owned()));
}

/// A clock that runs ahead ends nothing: the date counts by the moment that is borne out.
#[tokio::test]
async fn a_clock_that_jumps_ahead_ends_no_agreement() {
    let gateway = able().await;
    let id = open(&gateway, "G-1").await;
    gateway.bank.will_be_understood(issued(Some(moment(3_600_000))));
    assert_eq!(confirm(&gateway, &id).await.json()["state"], "active");
    gateway.clock_jumps(Duration::from_secs(7_200));
    let one = format!("{PATH}/{id}");
    assert_eq!(gateway.get("core", &one).await.json()["state"], "active");
    let list = gateway.get("core", &format!("{PATH}?merchant_id=m-1")).await.json();
    assert_eq!(list["agreements"][0]["state"], "active");
    assert_eq!(gateway.pay(&pay_by(&id, "A-1")).await.json()["status"], "succeeded");
    let code = |order_id: &str| pay_by(&id, order_id);
    let sent = gateway.post("core", "/v1/payment-codes", &code("A-3")).await;
    assert_eq!(sent.json()["state"], "sent", "{}", sent.text);
    gateway.later(Duration::from_secs(3_601));
    assert_eq!(gateway.get("core", &one).await.json()["state"], "expired");
    let late = gateway.pay(&pay_by(&id, "A-2")).await;
    assert_eq!(late.problem(), (409, "agreement_not_active".to_owned()));
    let late = gateway.post("core", "/v1/payment-codes", &code("A-4")).await;
    assert_eq!(late.problem(), (409, "agreement_not_active".to_owned()));
}

/// Nothing tells a core that another one's agreement is there: neither a row, nor where a page
/// ends, nor another answer than to an id that nobody has.
#[tokio::test]
async fn a_core_sees_nothing_of_another_core_s_agreements() {
    let gateway = able().await;
    let mut ids = Vec::new();
    for (caller, order_id) in [("core", "G-1"), ("other", "G-2"), ("core", "G-3")] {
        let opened = gateway.post(caller, PATH, &asked(order_id)).await;
        ids.push(opened.json()["id"].as_str().expect("an id").to_owned());
    }
    let list = async |caller: &str, limit: usize| {
        let path = format!("{PATH}?merchant_id=m-1&limit={limit}");
        let body = gateway.get(caller, &path).await.json();
        let rows = body["agreements"].as_array().expect("a list").iter();
        (Vec::from_iter(rows.map(|row| row["id"].clone())), body["next"].clone())
    };
    assert_eq!(list("other", 1).await, (vec![json!(ids[1])], json!(ids[1])));
    assert_eq!(list("core", 2).await, (vec![json!(ids[0]), json!(ids[2])], json!(ids[2])));
    assert_eq!(list("core", 3).await.1, Value::Null);
    assert_eq!(list("auditor", 9).await.0, [json!(ids[0]), json!(ids[1]), json!(ids[2])]);
    let absent = "2611220000000000917";
    let (theirs, none) = (&ids[1], absent);
    let code = json!({ "code": CODE });
    let calls = gateway.bank.calls();
    for (step, body) in [("confirm", code), ("code", json!({})), ("end", json!({}))] {
        let of = |id: &str| format!("{PATH}/{id}/{step}");
        let refused = gateway.post("core", &of(theirs), &body).await;
        assert_eq!(refused.problem(), (404, "not_found".to_owned()), "{step}");
        assert_eq!(refused.json()["detail"], {
            let missing = gateway.post("core", &of(none), &body).await;
            missing.json()["detail"].clone()
        });
    }
    let shown = gateway.get("core", &format!("{PATH}/{theirs}")).await;
    let missing = gateway.get("core", &format!("{PATH}/{none}")).await;
    assert_eq!(
        (shown.status, shown.json()["detail"].clone()),
        (StatusCode::NOT_FOUND, missing.json()["detail"].clone(),)
    );
    for path in ["?order_id=G-2", "?order_id=G-2&caller=other"] {
        let refused = gateway.get("core", &format!("{PATH}{path}")).await;
        assert_eq!(refused.problem(), (404, "not_found".to_owned()), "{path}");
    }
    let found = gateway.get("auditor", &format!("{PATH}?order_id=G-2&caller=other")).await;
    assert_eq!(found.json()["id"], json!(theirs));
    assert_eq!(gateway.bank.calls(), calls, "nothing was sent");
}

/// A page of agreements of these fields, asked for in a body.
async fn found(gateway: &Gateway, caller: &str, question: Value) -> Vec<String> {
    let answer = gateway.post(caller, "/v1/agreements/search", &question).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let body = answer.json();
    let rows = body["agreements"].as_array().expect("a list").iter();
    rows.map(|row| row["order_id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn agreements_are_found_by_their_card() {
    let gateway = able().await;
    let second = ["621626", "10000000000", "26"].concat();
    let second = second.as_str();
    for (caller, order_id, merchant, pan) in [
        ("core", "G-1", "m-1", CARD),
        ("core", "G-2", "m-2", second),
        ("other", "G-3", "m-1", CARD),
        ("core", "G-4", "m-2", CARD),
    ] {
        let mut body = asked(order_id);
        body["merchant_id"] = merchant.into();
        body["card"]["pan"] = pan.into();
        let opened = gateway.post(caller, PATH, &body).await;
        assert_eq!(opened.status, StatusCode::OK, "{}", opened.text);
    }
    let by_number = json!({ "card": { "pan": CARD } });
    assert_eq!(found(&gateway, "auditor", by_number.clone()).await, ["G-1", "G-3", "G-4"]);
    assert_eq!(found(&gateway, "core", by_number).await, ["G-1", "G-4"]);
    let of_both = json!({ "card": { "pan": CARD }, "merchant_id": "m-2" });
    assert_eq!(found(&gateway, "core", of_both).await, ["G-4"]);
    let named = json!({ "card": { "pan": CARD }, "caller": "other" });
    assert_eq!(found(&gateway, "operator", named.clone()).await, ["G-3"]);
    let refused = gateway.post("core", "/v1/agreements/search", &named).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    let by_digits = json!({ "first_six": "621626", "last_four": "0026" });
    assert_eq!(found(&gateway, "core", by_digits).await, ["G-2"]);
    let all = found(&gateway, "auditor", json!({ "limit": 3 })).await;
    assert_eq!(all, ["G-1", "G-2", "G-3"]);
    let path = format!("{PATH}?first_six=621626&last_four=0018&limit=1");
    let first = gateway.get("core", &path).await.json();
    assert_eq!(first["agreements"][0]["order_id"], "G-1");
    let next = first["next"].as_str().expect("there is more");
    let rest = gateway.get("core", &format!("{path}&after={next}")).await.json();
    assert_eq!(rest["agreements"][0]["order_id"], "G-4");
    for (body, field) in [
        (json!({ "first_six": "6216" }), "first_six"),
        (json!({ "card": { "pan": "6216261000000000019" } }), "card.pan"),
        (json!({ "merchant_id": CARD }), "merchant_id"),
    ] {
        let refused = gateway.post("core", "/v1/agreements/search", &body).await;
        assert_eq!(refused.json()["field"], field, "{}", refused.text);
        assert!(!refused.text.contains(CARD), "I-11: {}", refused.text);
    }
    let bare = gateway.get("core", PATH).await;
    assert_eq!(bare.json()["field"], "order_id", "{}", bare.text);
}
