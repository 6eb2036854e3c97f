//! Orders as operators look for them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use switchyard::channel::ReplyMeaning;
use switchyard::domain::attempt::{Evidence, Source};
use switchyard::domain::event::{EventKind, OrderEvent};
use switchyard::domain::ids::OrderId;
use switchyard::domain::outcome::{Decline, Outcome, Reason};
use switchyard::domain::write_set::WriteSet;

use crate::gateway::{CARD, Gateway, approved, payment, unknown, with};
use crate::support::books;

fn ids(answer: &Value) -> Vec<String> {
    let orders = answer["orders"].as_array().expect("orders").iter();
    orders.map(|order| order["order_id"].as_str().expect("a text").to_owned()).collect()
}

/// Four orders: two succeeded, one declined, one unknown, each an hour after the one before.
async fn four(gateway: &Gateway) -> Vec<Value> {
    let declined = Outcome::Declined(Decline {
        reason: Reason::InsufficientFunds,
        code: "51".to_owned(),
        elsewhere: false,
    });
    let mut all = Vec::new();
    for (number, outcome) in [approved(), declined, unknown(), approved()].into_iter().enumerate() {
        gateway.bank.will_answer(outcome);
        let body = with(payment(&format!("A-{number}")), "/amount", json!(1_000 + number));
        let body = with(body, "/merchant_id", json!(format!("m-{}", number % 2)));
        all.push(gateway.pay(&body).await.json());
        gateway.later(Duration::from_secs(3_600));
    }
    all
}

async fn list(gateway: &Gateway, caller: &str, query: &str) -> Vec<String> {
    let answer = gateway.get(caller, &format!("/v1/orders{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    ids(&answer.json())
}

#[tokio::test]
async fn orders_are_listed_by_what_they_are_newest_first() {
    let gateway = Gateway::start().await;
    let all = four(&gateway).await;
    let rows: [(&str, &[&str]); 19] = [
        ("", &["A-3", "A-2", "A-1", "A-0"]),
        ("?status=succeeded", &["A-3", "A-0"]),
        ("?status=unknown", &["A-2"]),
        ("?reason=insufficient_funds", &["A-1"]),
        ("?kind=refund", &[]),
        ("?kind=payment&merchant_id=m-1", &["A-3", "A-1"]),
        ("?channel=unionpay&currency=CNY&limit=4", &["A-3", "A-2", "A-1", "A-0"]),
        ("?channel=elsewhere", &[]),
        ("?amount=1002", &["A-2"]),
        ("?amount_from=1002", &["A-3", "A-2"]),
        ("?amount_to=1001", &["A-1", "A-0"]),
        ("?first_six=621626&last_four=0018", &["A-3", "A-2", "A-1", "A-0"]),
        ("?last_four=0019", &[]),
        ("?issuer_code=none", &[]),
        ("?from=2026-11-22T09:00:00Z&to=2026-11-22T10:00:00Z", &["A-1"]),
        ("?from=2026-11-22&to=2026-11-23", &["A-3", "A-2", "A-1", "A-0"]),
        ("?to=2026-11-22", &[]),
        ("?from=2026-11-22T12:00:00%2B02:00", &["A-3", "A-2"]),
        ("?caller=core&limit=1000", &["A-3", "A-2", "A-1", "A-0"]),
    ];
    for (query, expected) in rows {
        assert_eq!(list(&gateway, "auditor", query).await, expected, "{query}");
    }
    let page = gateway.get("operator", "/v1/orders?limit=3").await.json();
    assert_eq!(ids(&page), ["A-3", "A-2", "A-1"]);
    assert_eq!(page["next"], all[1]["id"]);
    assert_eq!(page["looked_until"], "2026-11-22T09:00:00.000Z");
    assert_eq!(page["orders"][0]["caller"], "core");
    let next = page["next"].as_str().expect("an id");
    let rest = gateway.get("operator", &format!("/v1/orders?limit=3&after={next}")).await.json();
    assert_eq!((ids(&rest), rest.get("next")), (vec!["A-0".to_owned()], None));
    let mut row = rest["orders"][0].clone();
    row.as_object_mut().expect("an object").remove("caller");
    assert_eq!(row, all[0], "as the payment's own answer");
}

#[tokio::test]
async fn a_core_sees_its_own_orders_alone() {
    let gateway = Gateway::start().await;
    let all = four(&gateway).await;
    assert_eq!(list(&gateway, "core", "").await.len(), 4);
    assert!(list(&gateway, "other", "").await.is_empty());
    let theirs = gateway.get("other", "/v1/orders?caller=core").await;
    assert_eq!(theirs.problem(), (403, "forbidden".to_owned()));
    for number in ["A-1", all[0]["id"].as_str().expect("an id"), "ref-1"] {
        let path = format!("/v1/orders/find?number={number}");
        assert!(ids(&gateway.get("other", &path).await.json()).is_empty(), "{number}");
        assert!(!ids(&gateway.get("core", &path).await.json()).is_empty(), "{number}");
    }
    assert_eq!(gateway.get("", "/v1/orders").await.problem().0, 401);
    let search =
        async |caller: &str, body: Value| gateway.post(caller, "/v1/orders/search", &body).await;
    let card = json!({ "card": { "pan": CARD } });
    assert_eq!(ids(&search("core", card.clone()).await.json()).len(), 4);
    assert!(ids(&search("other", card).await.json()).is_empty());
    let theirs = search("other", json!({ "caller": "core" })).await;
    assert_eq!(theirs.problem(), (403, "forbidden".to_owned()));
    for (accept, lines) in [("text/csv", 1), ("application/x-ndjson", 0)] {
        let request = gateway.request("other", Method::GET, "/v1/orders");
        let answer = gateway.send(request.header("accept", accept)).await;
        assert_eq!((answer.status.as_u16(), answer.text.lines().count()), (200, lines));
    }
    let story = format!("/v1/orders/{}/story", all[0]["id"].as_str().expect("an id"));
    for caller in ["core", "other"] {
        assert_eq!(gateway.get(caller, &story).await.problem(), (403, "forbidden".to_owned()));
    }
}

/// A cursor is a place among the numbers: whoever makes one up sees no more by it.
#[tokio::test]
async fn a_cursor_of_another_question_is_a_place_and_no_more() {
    let gateway = Gateway::start().await;
    let all = four(&gateway).await;
    let id = |number: usize| all[number]["id"].as_str().expect("an id").to_owned();
    for (query, expected) in [
        (format!("?status=succeeded&after={}", id(2)), &["A-0"][..]),
        (format!("?from=2026-11-22T09:30:00Z&after={}", id(1)), &[]),
        ("?after=9999999999999999999".to_owned(), &["A-3", "A-2", "A-1", "A-0"]),
        ("?after=0000000000000000000".to_owned(), &[]),
        ("?from=2026-11-23&to=2026-11-22".to_owned(), &[]),
        ("?from=2026-11-22T08:00:00Z&to=2026-11-22T08:00:00Z".to_owned(), &[]),
        ("?from=2026-11-22T08:00:00.000Z&to=2026-11-22T08:00:00.001Z".to_owned(), &["A-0"]),
    ] {
        assert_eq!(list(&gateway, "auditor", &query).await, expected, "{query}");
        assert!(list(&gateway, "other", &query).await.is_empty(), "{query}");
    }
    for query in [
        "after=261122001000000000",
        "after=26112200100000000011",
        "after=-611220010000000001",
        "after=",
        "limit=-1",
        "limit=1001",
        "limit=99999999999999999999",
        "limit=1e3",
        "limit=",
        "after=2611220010000000001&after=2611220010000000001",
    ] {
        let refused = gateway.get("auditor", &format!("/v1/orders?{query}")).await;
        assert_eq!(refused.problem(), (400, "invalid_query".to_owned()), "{query}");
    }
    for (field, value) in [
        ("limit", json!(0)),
        ("limit", json!(-1)),
        ("limit", json!(1_001)),
        ("limit", json!(1.5)),
        ("after", json!("7")),
        ("after", json!(7)),
        ("after", json!([])),
    ] {
        let body = json!({ field: value });
        let refused = gateway.post("auditor", "/v1/orders/search", &body).await;
        assert_eq!(refused.problem(), (422, "invalid_field".to_owned()), "{body}");
        assert_eq!(refused.json()["field"], field);
    }
}

#[tokio::test]
async fn what_a_caller_has_written_is_no_formula_in_an_export() {
    let gateway = Gateway::start().await;
    gateway.bank.will_answer(approved());
    let body = with(payment("-1"), "/merchant_id", json!("-m"));
    let body = with(body, "/description", json!("=HYPERLINK(\"http://x\",\"a\")"));
    let paid = gateway.pay(&body).await;
    assert_eq!(paid.status, 200, "{}", paid.text);
    let request = gateway.request("auditor", Method::GET, "/v1/orders");
    let csv = gateway.send(request.header("accept", "text/csv")).await.text;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names = reader.headers().expect("a heading").clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 1);
    let cell = |name: &str| &rows[0][names.iter().position(|one| one == name).expect("a column")];
    assert_eq!((cell("order_id"), cell("merchant_id")), ("'-1", "'-m"));
    assert_eq!(cell("description"), "'=HYPERLINK(\"http://x\",\"a\")");
    assert_eq!(cell("amount"), paid.json()["amount"].to_string());
    let request = gateway.request("auditor", Method::GET, "/v1/orders");
    let lines = gateway.send(request.header("accept", "application/x-ndjson")).await.json();
    assert_eq!(lines["order_id"], "-1", "JSON is read by programs");
}

#[tokio::test]
async fn i_11_a_whole_card_number_is_looked_for_in_a_body_alone() {
    let gateway = Gateway::start().await;
    four(&gateway).await;
    let search = async |body: Value| gateway.post("operator", "/v1/orders/search", &body).await;
    let found = search(json!({ "card": { "pan": CARD }, "status": "unknown" })).await;
    assert_eq!(ids(&found.json()), ["A-2"]);
    assert!(!found.text.contains(CARD));
    let another = search(json!({ "card": { "pan": "6222020000000000001" } })).await;
    assert_eq!(another.problem().1, "invalid_card_number", "its check digit does not fit");
    let none = search(json!({ "card": { "pan": "4111111111111111" }, "limit": 5 })).await.json();
    assert_eq!(none, json!({ "orders": [] }));
    let page = search(json!({ "limit": 1, "amount_from": "1001" })).await.json();
    let rest = search(json!({ "after": page["next"], "amount_from": 1_001 })).await.json();
    assert_eq!((ids(&page), ids(&rest)), (vec!["A-3".into()], vec!["A-2".into(), "A-1".into()]));
    for path in ["/v1/orders/find?number=", "/v1/orders?merchant_id=", "/v1/orders?issuer_code="] {
        let refused = gateway.get("operator", &format!("{path}{CARD}")).await;
        assert!(refused.status.is_client_error(), "{path}");
        assert!(!refused.text.contains(CARD), "I-11: {}", refused.text);
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_its_name() {
    let gateway = Gateway::start().await;
    for (query, field) in [
        ("from=yesterday", "from"),
        ("to=2026-13-01", "to"),
        ("status=gone", "status"),
        ("kind=gift", "kind"),
        ("amount=1.5", "amount"),
        ("amount_from=-1", "amount_from"),
        ("amount=5&amount_to=6", "amount"),
        ("currency=XXX", "currency"),
        ("first_six=62162", "first_six"),
        ("last_four=00x8", "last_four"),
        ("reason=weather", "reason"),
        ("after=7", "after"),
        ("limit=0", "limit"),
        ("colour=red", "colour"),
    ] {
        let refused = gateway.get("auditor", &format!("/v1/orders?{query}")).await;
        assert_eq!(refused.problem(), (400, "invalid_query".to_owned()), "{query}");
        assert_eq!(refused.json()["field"], field);
    }
    for (query, field) in
        [("", "number"), ("number=%E8%AE%A2", "number"), ("number=x%20y%20z", "number")]
    {
        let refused = gateway.get("auditor", &format!("/v1/orders/find?{query}")).await;
        assert_eq!(refused.problem(), (400, "invalid_query".to_owned()), "{query}");
        assert_eq!(refused.json()["field"], field);
    }
    let refused = gateway.post("auditor", "/v1/orders/search", &json!({ "kind": "gift" })).await;
    assert_eq!(
        (refused.problem().1.as_str(), &refused.json()["field"]),
        ("invalid_field", &json!("kind"))
    );
}

#[tokio::test]
async fn one_box_finds_an_order_by_any_of_its_numbers() {
    let gateway = Gateway::start().await;
    let all = four(&gateway).await;
    // What a channel has said of a success, with a number of the bank's own.
    let order = books::succeeded(&books::order(900));
    let mut transaction = books::transaction(&order);
    transaction.transcript = "respCode=00&traceNo=778899".to_owned();
    let first = WriteSet { orders: vec![books::order(900)], ..WriteSet::default() };
    gateway.store.commit(&first).await.expect("it is written");
    let transactions = vec![transaction];
    let second = WriteSet { orders: vec![order.clone()], transactions, ..WriteSet::default() };
    gateway.store.commit(&second).await.expect("it is written");
    let find = async |number: &str| {
        let path = format!("/v1/orders/find?number={number}");
        ids(&gateway.get("operator", &path).await.json())
    };
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    assert_eq!(find(&text(&all[1]["id"])).await, ["A-1"]);
    assert_eq!(find("A-2").await, ["A-2"]);
    assert_eq!(find(&text(&all[3]["channel_order_no"])).await, ["A-3"]);
    assert_eq!(find("ref-1").await, ["A-3", "A-0"], "the channel's reference of two");
    let own = order.instruction.caller_order_id.as_str();
    for number in ["778899", "202611220800001234567", own] {
        assert_eq!(find(number).await, [own], "{number}");
    }
    assert!(find("77889").await.is_empty() && find("nothing-has-it").await.is_empty());
}

#[tokio::test]
async fn orders_stream_whole_in_both_forms() {
    let gateway = Gateway::start().await;
    let stream = async |accept: &str, query: &str| {
        let request = gateway.request("auditor", Method::GET, &format!("/v1/orders{query}"));
        let answer = gateway.send(request.header("accept", accept)).await;
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with(accept)));
        answer.text
    };
    assert_eq!(stream("text/csv", "").await.lines().count(), 1, "a heading");
    assert_eq!(stream("application/x-ndjson", "").await, "");
    let all = four(&gateway).await;
    let lines = stream("application/x-ndjson", "?status=succeeded").await;
    let rows: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ids: Vec<&Value> = rows.iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, [&all[3]["id"], &all[0]["id"]]);
    let csv = stream("text/csv", "?limit=1").await;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headings = reader.headers().expect("a heading").clone();
    let records: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!(records.len(), 4, "a stream has no limit");
    for (record, order) in records.iter().zip(all.iter().rev()) {
        for (name, value) in headings.iter().zip(record) {
            let shown = match name {
                "card" => &order["card"]["masked"],
                "issuer_code" | "issuer_name" | "card_type" | "brand" => &order["card"][name],
                "code" => &order["attempts"][0]["code"],
                "caller" => &json!("core"),
                "attempts" => &json!(order["attempts"].as_array().expect("a list").len()),
                name => &order[name],
            };
            let shown = shown.as_str().map_or_else(|| shown.to_string(), str::to_owned);
            assert_eq!(value, shown.trim_start_matches("null"), "{name}");
        }
    }
}

fn kinds(story: &Value) -> Vec<String> {
    let events = story["events"].as_array().expect("events").iter();
    events.map(|event| event["kind"].as_str().expect("a text").to_owned()).collect()
}

fn of_kind<'a>(story: &'a Value, kind: &str) -> &'a Value {
    let mut events = story["events"].as_array().expect("events").iter();
    events.find(|event| event["kind"] == kind).unwrap_or_else(|| panic!("{kind}: {story}"))
}

fn action<'a>(event: &'a Value, name: &str) -> Option<&'a Value> {
    event["actions"].as_array().into_iter().flatten().find(|action| action["name"] == name)
}

async fn story(gateway: &Gateway, id: &Value) -> Value {
    let path = format!("/v1/orders/{}/story", id.as_str().expect("an id"));
    let answer = gateway.get("auditor", &path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!answer.text.contains(CARD), "I-11");
    answer.json()
}

fn evidence(source: Source, outcome: Outcome, words: &str) -> Evidence {
    let (objection, as_of) = (None, None);
    let (transcript, sent) = (words.to_owned(), "POST https://bank/inquiry".to_owned());
    Evidence { source, attempt: 1, outcome, objection, as_of, transcript, sent }
}

/// The claim, where the claimed success stands in the books, and the undo, which leads back.
async fn tells_of_its_contradiction(gateway: &Gateway, id: OrderId, told: &Value) {
    let claim = of_kind(told, "contradicted");
    assert_eq!((&claim["source"], &claim["data"]["claim"]), (&json!("notice"), &json!("success")));
    let undo = claim["data"]["undo"].clone();
    assert_eq!(
        claim["links"][0]["path"],
        format!("/v1/orders/{}/story", undo.as_str().unwrap_or(""))
    );
    // The claimed success stands in the books as the channel will clear it, in suspense.
    let cleared = of_kind(told, "cleared");
    assert_eq!(cleared["data"]["state"], "contradicted");
    assert_eq!(cleared["data"]["date"], claim["data"]["clearing_date"]);
    assert_eq!(of_kind(told, "voucher_owed")["data"]["event"], "suspense_opened");
    let owed = of_kind(told, "followed_up");
    assert_eq!((&owed["data"]["kind"], &owed["data"]["id"]), (&json!("undo"), &undo));
    let undone = story(gateway, &undo).await;
    assert_eq!(kinds(&undone)[0], "asked");
    assert_eq!(undone["events"][0]["links"][0]["path"], format!("/v1/orders/{id}/story"));
    assert_eq!(of_kind(&undone, "unresolved")["data"]["phase"], "undo_owed");
}

#[tokio::test]
async fn a_story_tells_what_became_of_an_unknown_up_to_its_contradiction() {
    let gateway = Gateway::start().await;
    gateway.bank.will_answer(unknown());
    let order = gateway.pay(&payment("A-1")).await.json();
    let id = OrderId::parse(order["id"].as_str().expect("an id")).expect("19 digits");
    let open = story(&gateway, &order["id"]).await;
    assert_eq!(kinds(&open), ["asked", "routed", "attempt_sent", "learned", "unresolved"]);
    let entry = of_kind(&open, "unresolved");
    let resolve = action(entry, "resolve").expect("an unknown can be resolved");
    assert_eq!(resolve["path"], format!("/v1/reversals/{id}/resolve"));
    assert_eq!(resolve["fields"][0]["one_of"], json!(["succeeded", "failed", "reversed"]));
    assert!(action(entry, "retry").is_some());
    let engine = &gateway.state.engine;
    let minute = Duration::from_secs(60);
    gateway.later(minute);
    let inquiry = evidence(Source::Inquiry, unknown(), "respCode=03");
    engine.weigh(id, inquiry).await.expect("it is weighed");
    gateway.later(minute);
    let yes = ReplyMeaning::new(approved(), "reversed=yes".to_owned());
    engine.learn_reversal(id, (1, engine.clock().now()), yes, false).await.expect("it is learnt");
    gateway.later(minute);
    let notice = evidence(Source::Notice, approved(), "queryId=ref-1&respCode=00");
    engine.weigh(id, notice).await.expect("it is weighed");

    let told = story(&gateway, &order["id"]).await;
    assert_eq!(
        kinds(&told),
        [
            "asked",
            "routed",
            "attempt_sent",
            "learned",
            "learned",
            "reversal_answered",
            "attempt_ended",
            "finished",
            "contradicted",
            "cleared",
            "voucher_owed",
            "followed_up",
        ]
    );
    let events = told["events"].as_array().expect("events");
    let at = |place: usize| events[place]["at"].as_str().expect("a time");
    assert!((1..events.len()).all(|place| at(place - 1) <= at(place)), "in order of time");
    assert!(
        events.iter().all(|event| event["words"].as_str().is_some_and(|words| words.len() > 9))
    );
    let routed = of_kind(&told, "routed");
    assert_eq!(routed["data"]["kept"], json!(["unionpay"]));
    assert!(routed["data"]["rule"].is_string() && routed["data"]["bin_table"].is_number());
    let (reply, inquiry) = (&events[3], &events[4]);
    assert_eq!((&reply["source"], &inquiry["source"]), (&json!("reply"), &json!("inquiry")));
    assert_eq!(reply["data"]["outcome"], "unknown");
    assert_eq!(reply["data"]["unknown_cause"], "timed_out");
    assert_eq!(inquiry["data"]["transcript"], "respCode=03");
    assert_eq!(inquiry["data"]["sent"], "POST https://bank/inquiry");
    assert_eq!(reply["data"].get("sent"), None, "the bank of this test says nothing of it");
    assert_eq!(of_kind(&told, "reversal_answered")["data"]["transcript"], "reversed=yes");
    tells_of_its_contradiction(&gateway, id, &told).await;
    let core = gateway.get("core", &format!("/v1/orders/{id}/story")).await;
    assert_eq!(core.problem(), (403, "forbidden".to_owned()));
    let none = gateway.get("auditor", "/v1/orders/2611220010000009999/story").await;
    assert_eq!(none.problem(), (404, "not_found".to_owned()));
}

/// A channel that says the same every minute for days fills no memory, and nothing goes unsaid.
#[tokio::test]
async fn a_story_of_thousands_of_events_says_that_some_are_left_out() {
    let gateway = Gateway::start().await;
    gateway.bank.will_answer(unknown());
    let order = gateway.pay(&payment("A-1")).await.json();
    let id = OrderId::parse(order["id"].as_str().expect("an id")).expect("19 digits");
    let short = story(&gateway, &order["id"]).await;
    assert_eq!(short.get("events_left_out"), None);
    let at = books::moment(3_600_000);
    for first in (10..5_010_u32).step_by(1_000) {
        let events = (first..first + 1_000).map(|version| {
            let event = OrderEvent::new(id, at, EventKind::Learned, 1);
            OrderEvent { version, outcome: Some("pending".to_owned()), ..event }
        });
        let writes = WriteSet { events: events.collect(), ..WriteSet::default() };
        gateway.store.commit(&writes).await.expect("they are written");
    }
    let long = story(&gateway, &order["id"]).await;
    assert_eq!(long["events_left_out"], true);
    let events = long["events"].as_array().expect("events").len();
    let others = short["events"].as_array().expect("events").len();
    // One of the five thousand was there before.
    assert_eq!(events, 5_000 + others - 1);
}

/// By the query, or by what the caller accepts; the query counts for more.
async fn tells_it_in_chinese(gateway: &Gateway, id: &Value) {
    let path = format!("/v1/orders/{}/story", id.as_str().expect("an id"));
    for (query, accepted, tag) in [
        ("?language=zh", "en", "zh"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("?language=en", "zh-CN", "en"),
        ("", "fr", "en"),
    ] {
        let request = gateway.request("auditor", Method::GET, &format!("{path}{query}"));
        let answer = gateway.send(request.header("accept-language", accepted)).await;
        assert_eq!(answer.header("content-language"), Some(tag), "{query} {accepted}");
        let told = answer.json();
        let words = of_kind(&told, "learned")["words"].as_str().expect("a text").to_owned();
        assert_eq!(words.contains("余额不足"), tag == "zh", "{words}");
        assert!(
            of_kind(&told, "asked")["words"]
                .as_str()
                .is_some_and(|words| { words.contains("10.01 CNY") })
        );
    }
    let refused = gateway.get("auditor", &format!("{path}?language=fr")).await;
    assert_eq!(refused.problem(), (400, "invalid_query".to_owned()));
}

#[tokio::test]
async fn a_success_and_a_decline_have_their_stories_and_what_may_follow() {
    let gateway = Gateway::start().await;
    let all = four(&gateway).await;
    let paid = story(&gateway, &all[0]["id"]).await;
    let expected = [
        "asked",
        "routed",
        "attempt_sent",
        "attempt_ended",
        "transaction",
        "finished",
        "cleared",
        "voucher_owed",
    ];
    assert_eq!(kinds(&paid), expected);
    let end = of_kind(&paid, "finished");
    let refund = action(end, "refund").expect("a payment can be refunded");
    assert_eq!(
        refund["path"],
        format!("/v1/payments/{}/refunds", all[0]["id"].as_str().unwrap_or(""))
    );
    assert_eq!(refund["fields"][1], json!({ "name": "amount", "required": false, "most": 1_000 }));
    assert!(action(end, "void").is_some() && action(end, "release").is_none());
    assert!(action(of_kind(&paid, "voucher_owed"), "retry_voucher").is_some());
    let declined = story(&gateway, &all[1]["id"]).await;
    let learned = of_kind(&declined, "learned");
    assert_eq!(learned["data"]["code"], "51");
    assert_eq!(learned["data"]["reason"], "insufficient_funds");
    assert!(learned["words"].as_str().is_some_and(|words| words.contains("insufficient funds")));
    assert!(of_kind(&declined, "finished").get("actions").is_none());
    tells_it_in_chinese(&gateway, &all[1]["id"]).await;
}
