//! What a collector of traces is posted, and that nobody waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::any;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use crate::support::core::{Core, Payment};
use crate::support::daemon::{Daemon, INSTALLED};
use crate::support::installation::{CALLER_KEY, Installation};
use crate::support::wire::{Inbox, http_client, listen, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// An installation whose daemon posts its spans there.
async fn town(collector: &str) -> (Installation, Daemon) {
    town_with(collector, &[]).await
}

/// The same, with variables of the daemon's environment.
async fn town_with(collector: &str, variables: &[(String, String)]) -> (Installation, Daemon) {
    let town = Installation::new(|channel| channel).await;
    let file = town.settings_file();
    let text = std::fs::read_to_string(&file).expect("settings");
    let otlp = format!("\n[telemetry.otlp]\nendpoint = \"{collector}/v1/traces\"\n");
    std::fs::write(&file, text + &otlp).expect("settings");
    let daemon = Daemon::start_with(town.folder(), &INSTALLED, variables).await;
    town.door.lead_to(Some(daemon.address));
    (town, daemon)
}

/// Pays, as a part of this trace.
async fn pay(daemon: &Daemon, order_id: &str, traceparent: &str) -> Value {
    let url = format!("http://{}/v1/payments", daemon.address);
    let body = Payment::instant(order_id, 500).body();
    let request = http_client().post(url).bearer_auth(CALLER_KEY);
    let request = request.header("content-type", "application/json");
    let request = request.header("traceparent", traceparent).header("x-request-id", order_id);
    let answer = request.body(body.to_string()).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON")
}

/// Every span that has come.
fn spans(collector: &Inbox) -> Vec<Value> {
    let mut all = Vec::new();
    for post in collector.posts() {
        for of_one in post.body["resourceSpans"].as_array().expect("a list") {
            let said = facts(&of_one["resource"]);
            assert_eq!(said["service.name"], "switchyard");
            for scope in of_one["scopeSpans"].as_array().expect("a list") {
                all.extend(scope["spans"].as_array().expect("a list").iter().cloned());
            }
        }
    }
    all
}

fn facts(of: &Value) -> BTreeMap<String, String> {
    let all = of["attributes"].as_array().expect("a list").iter().map(|fact| {
        let value = &fact["value"];
        let text = value["stringValue"].as_str().or_else(|| value["intValue"].as_str());
        let key = fact["key"].as_str().expect("a key").to_owned();
        (key, text.expect("a text, or a number as one").to_owned())
    });
    all.collect()
}

fn named<'s>(spans: &'s [Value], trace: &str, name: &str, fact: (&str, &str)) -> Option<&'s Value> {
    let fits = |span: &&Value| {
        let told = facts(span);
        span["traceId"] == trace
            && span["name"] == name
            && told.get(fact.0).is_some_and(|text| text == fact.1)
    };
    spans.iter().find(fits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_one_trace_from_its_call_to_its_deliveries() {
    let collector = Inbox::open().await;
    let (town, daemon) = town(&collector.url).await;
    let paid = pay(&daemon, "A-1", &format!("00-{TRACE}-{PARENT}-01")).await;
    // Whoever began this one does not want it.
    let other = TRACE.replace('4', "5");
    pay(&daemon, "A-2", &format!("00-{other}-{PARENT}-00")).await;
    town.core_inbox.post_with("order_id", "A-2").await;
    let whole = async || {
        let all = spans(&collector);
        let delivered = |to| named(&all, TRACE, "delivery", ("switchyard.to", to)).is_some();
        (delivered("core") && delivered("accounting")).then_some(all)
    };
    let all = until("both deliveries of the order", whole).await;

    let call = named(&all, TRACE, "POST /v1/payments", ("switchyard.request.id", "A-1"));
    let call = call.expect("its call");
    assert_eq!((&call["kind"], &call["parentSpanId"]), (&2.into(), &PARENT.into()));
    let told = facts(call);
    assert_eq!(told["http.response.status_code"], "200");
    assert_eq!((&*told["http.route"], &*told["switchyard.caller"]), ("/v1/payments", "core"));
    let channel = paid["channel"].as_str().expect("a channel");
    let asked = named(&all, TRACE, "payment", ("switchyard.channel", channel)).expect("an attempt");
    assert_eq!((&asked["kind"], &asked["parentSpanId"]), (&3.into(), &call["spanId"]));
    let told = facts(asked);
    assert_eq!(told["switchyard.outcome"], "approved");
    assert_eq!(told["switchyard.channel_order_no"], paid["channel_order_no"]);
    // The receiver goes on below the very post that it was sent.
    for (to, inbox) in [("core", &town.core_inbox), ("accounting", &town.accounting)] {
        let sent = named(&all, TRACE, "delivery", ("switchyard.to", to)).expect("a delivery");
        assert_eq!(sent["parentSpanId"], call["spanId"]);
        assert_eq!(facts(sent)["switchyard.result"], "acknowledged");
        let place = format!("00-{TRACE}-{}-01", sent["spanId"].as_str().expect("an id"));
        let posts = inbox.posts();
        assert!(posts.iter().any(|post| post.header("traceparent") == place), "{to}: {place}");
    }
    let ns = |span: &Value, name: &str| -> u64 {
        span[name].as_str().expect("a text").parse().expect("a number")
    };
    for span in &all {
        assert!(ns(span, "startTimeUnixNano") <= ns(span, "endTimeUnixNano"), "{span}");
        assert_eq!(span["spanId"].as_str().map(str::len), Some(16), "{span}");
        assert_ne!(span["traceId"], *other, "it was not to be recorded");
    }
    let text = collector.posts().iter().map(|post| post.body.to_string()).collect::<String>();
    let card = Payment::instant("A-1", 500).body()["card"]["pan"].as_str().map(str::to_owned);
    assert!(!text.contains(&card.expect("a card")), "I-11");
}

/// The posts of an accounting system that books several vouchers at once, from a moment on.
#[derive(Clone)]
struct SlowBooks {
    may_book: Arc<Semaphore>,
    posts: Arc<Mutex<Vec<BookedPost>>>,
}

/// How many vouchers a post had, and its `traceparent`.
type BookedPost = (usize, Option<String>);

impl SlowBooks {
    async fn open() -> (Self, String) {
        let (may_book, posts) = (Arc::new(Semaphore::new(0)), Arc::default());
        let books = Self { may_book, posts };
        let own = books.clone();
        let take = move |headers: HeaderMap, body: Bytes| {
            let own = own.clone();
            async move { own.book(&headers, &body).await }
        };
        let url = format!("http://{}/requests", listen(Router::new().fallback(any(take))).await);
        (books, url)
    }

    async fn book(&self, headers: &HeaderMap, body: &[u8]) -> String {
        let asked: Value = serde_json::from_slice(body).expect("JSON");
        let vouchers = asked["requests"].as_array().expect("a list");
        let place =
            headers.get("traceparent").map(|place| place.to_str().expect("text").to_owned());
        self.posts.lock().expect("no panic").push((vouchers.len(), place));
        self.may_book.acquire().await.expect("it stays open").forget();
        let booked = |one: &Value| json!({ "id": one["id"], "status": "booked" });
        json!({ "results": vouchers.iter().map(booked).collect::<Vec<_>>() }).to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_of_several_vouchers_has_a_span_in_the_trace_of_each() {
    let collector = Inbox::open().await;
    let (books, url) = SlowBooks::open().await;
    let variables = [("URL", url.as_str()), ("BATCH_MAX", "8"), ("IN_FLIGHT", "1")]
        .map(|(name, value)| (format!("SWITCHYARD_ACCOUNTING__{name}"), value.to_owned()));
    let (_town, daemon) = town_with(&collector.url, &variables).await;
    let traces = ["4", "5", "6"].map(|digit| TRACE.replace('4', digit));
    for (place, trace) in traces.iter().enumerate() {
        let paid = pay(&daemon, &format!("A-{place}"), &format!("00-{trace}-{PARENT}-01")).await;
        assert_eq!(paid["status"], "succeeded");
        // The first is on its way alone before there are others.
        let begun = async || (!books.posts.lock().expect("no panic").is_empty()).then_some(());
        until("the first post", begun).await;
    }
    books.may_book.add_permits(10);
    let each = async || {
        let all = spans(&collector);
        let told = traces
            .each_ref()
            .map(|trace| named(&all, trace, "delivery", ("switchyard.to", "accounting")).cloned());
        told.iter().all(Option::is_some).then_some((all, told.map(Option::unwrap_or_default)))
    };
    let (all, told) = until("a span of each", each).await;
    let counts = told.each_ref().map(|span| facts(span).get("switchyard.vouchers").cloned());
    assert_eq!(counts, [None, Some("2".to_owned()), Some("2".to_owned())]);
    for (span, trace) in told.iter().zip(&traces) {
        let called = |other: &&Value| other["spanId"] == span["parentSpanId"];
        let call = all.iter().find(called).expect("it is below its order's call");
        assert_eq!((&call["traceId"], &call["kind"]), (&json!(trace), &json!(2)));
        assert_eq!(facts(span)["switchyard.result"], "acknowledged");
    }
    let posts = books.posts.lock().expect("no panic").clone();
    let own = format!("00-{}-{}-01", traces[0], told[0]["spanId"].as_str().expect("an id"));
    assert_eq!(posts, [(1, Some(own)), (2, None)], "one place can be named, of two none");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_collector_that_is_gone() {
    let (_town, daemon) = town("http://127.0.0.1:1").await;
    let core = Core::new(daemon.address, CALLER_KEY);
    for n in 1..=3 {
        let paid = core.pay(&Payment::instant(&format!("A-{n}"), 500)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    }
    let lost = async || {
        let url = format!("http://{}/metrics", daemon.address);
        let text = http_client().get(url).send().await.expect("an answer").text().await;
        let text = text.expect("a text");
        let mut lines = text.lines();
        let line = lines.find_map(|line| {
            line.strip_prefix("switchyard_spans_total{result=\"refused\"} ")?.parse::<u64>().ok()
        });
        line.filter(|lost| *lost >= 3)
    };
    until("lost spans are counted", lost).await;
    let told = "spans are lost: the collector of traces does not take them";
    assert_eq!(daemon.log().matches(told).count(), 1, "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_the_daemon_stops_is_told_too() {
    let (collector, asked, may_answer) = (Inbox::open().await, Notify::new(), Notify::new());
    let (asked, may_answer) = (Arc::new(asked), Arc::new(may_answer));
    let core = {
        let (asked, may_answer) = (Arc::clone(&asked), Arc::clone(&may_answer));
        Router::new().fallback(any(async move || {
            asked.notify_one();
            may_answer.notified().await;
        }))
    };
    let url = format!("http://{}/notices", listen(core).await);
    let variables = [("SWITCHYARD_NOTICES__URL".to_owned(), url)];
    let (_town, mut daemon) = town_with(&collector.url, &variables).await;
    pay(&daemon, "A-1", &format!("00-{TRACE}-{PARENT}-01")).await;
    asked.notified().await;
    daemon.signal("TERM");
    // From here on the workers are asked to stop.
    let is_closed = async || TcpStream::connect(daemon.address).await.is_err().then_some(());
    until("nobody listens", is_closed).await;
    may_answer.notify_one();
    assert!(daemon.ended().await.success(), "{}", daemon.log());
    let all = spans(&collector);
    let told = named(&all, TRACE, "delivery", ("switchyard.to", "core"));
    assert_eq!(facts(told.expect("the notice's post"))["switchyard.result"], "acknowledged");
}

/// A collector that takes posts and never answers: a stop gives it what time is left, and the
/// daemon has ended by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_does_not_keep_a_stop() {
    let silent = Router::new().fallback(any(std::future::pending::<()>));
    let variables = [
        ("SWITCHYARD_TELEMETRY__OTLP__TIMEOUT".to_owned(), "60s".to_owned()),
        ("SWITCHYARD_SERVER__STOP_WITHIN".to_owned(), "1s".to_owned()),
    ];
    let collector = format!("http://{}", listen(silent).await);
    let (_town, mut daemon) = town_with(&collector, &variables).await;
    pay(&daemon, "A-1", &format!("00-{TRACE}-{PARENT}-01")).await;
    daemon.signal("TERM");
    assert!(daemon.ended().await.success(), "{}", daemon.log());
}
