//! Two requests for one operation, against a channel on a socket that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path as UrlPath;
use axum::routing::post;
use switchyard::channel::Channels;
use switchyard::channel::registry::Registry;
use switchyard::clock::Clock;
use switchyard::domain::ids::ChannelId;
use switchyard::domain::outcome::{NotSentCause, Reason, UnknownCause};
use switchyard::domain::terms::CommonTerms;

use super::support::wire::listen;
use super::*;

const FILE: &str = r#"protocol = "http"
state = "live"
abilities = { operations = ["payment", "inquiry"], currencies = ["CNY"] }
limits = { per_order_max_minor = 100000 }
timeouts = { reply = "400ms" }
clearing = { time_zone = "Asia/Shanghai", cut_off = "23:00" }
[unknown]
inquire = ["1m"]
then = "operator"
reverse = []
not_found_final_after = "10m"
[[fees]]
name = "all"
[codes]
"0000" = "approved"
"0051" = "declined insufficient_funds"
[http]
base_url = "http://HOST"
verify = { none = true }
[http.payment]
path = "/pay/{{ first.session }}"
headers = { X-Token = "{{ first.token }}" }
body = { no = "{{ order_no }}", token = "{{ first.token ~ '' }}" }
reply = { code = "/code" }
[http.payment.first]
path = "/tokens"
body = { no = "{{ order_no }}", card = "{{ card.number }}" }
reply = { code = "/code" }
codes = { "0014" = "declined invalid_card", "0091" = "elsewhere channel_unavailable" }
brings = { token = "/data/token", session = "/data/session" }
[http.inquiry]
path = "/query"
states = { OK = "approved" }
reply = { code = "/code", state = "/state" }
"#;

/// What a request is answered with.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Body(&'static str),
    Status(u16),
    /// Nothing within the channel's time-out.
    Never,
}

impl Answer {
    async fn give(self) -> (http::StatusCode, &'static str) {
        let status = |status| http::StatusCode::from_u16(status).expect("a status");
        match self {
            Self::Body(body) => (status(200), body),
            Self::Status(code) => (status(code), r#"{"code":"0000"}"#),
            Self::Never => std::future::pending().await,
        }
    }
}

const GOOD: Answer = Answer::Body(r#"{"code":"0000","data":{"token":"tok 1","session":"s/1"}}"#);
const PAID: Answer = Answer::Body(r#"{"code":"0000"}"#);

#[derive(Default)]
struct Counts {
    firsts: AtomicU32,
    payments: AtomicU32,
}

/// One payment by a channel that answers so: its outcome, and how often either request came.
async fn pay(first: Answer, second: Answer) -> (Outcome, u32, u32) {
    let counts = Arc::new(Counts::default());
    let (one, other) = (Arc::clone(&counts), Arc::clone(&counts));
    let router = Router::new()
        .route(
            "/tokens",
            post(move |body: Bytes| async move {
                one.firsts.fetch_add(1, Ordering::SeqCst);
                assert!(String::from_utf8_lossy(&body).contains("4111"), "the card goes first");
                first.give().await
            }),
        )
        .route(
            "/pay/{session}",
            post(move |UrlPath(session): UrlPath<String>, body: Bytes| async move {
                other.payments.fetch_add(1, Ordering::SeqCst);
                let expected = format!(r#"{{"no":"{ORDER}","token":"tok 1"}}"#);
                assert_eq!((session.as_str(), &body[..]), ("s/1", expected.as_bytes()));
                second.give().await
            }),
        );
    let outcome = pay_at(&listen(router).await.to_string()).await;
    let count = |counter: &AtomicU32| counter.load(Ordering::SeqCst);
    (outcome, count(&counts.firsts), count(&counts.payments))
}

async fn pay_at(host: &str) -> Outcome {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path();
    std::fs::write(folder.join("bank.toml"), FILE.replace("HOST", host)).expect("a file");
    let routes = folder.join("routes.toml");
    // The hour at which the sample was decided: a later one sends nothing any more.
    let clock = Clock::Manual(Arc::new(AtomicI64::new(sample_now().as_millis())));
    let loaded = Registry::load(folder, &routes, folder, CommonTerms::default(), clock);
    let registry = loaded.unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let told = registry.call(&ChannelId::parse("bank").expect("an id"), payment()).await;
    // Of the two, what has left last is told, unless it was approved.
    let last = match &told.outcome {
        Outcome::Approved(_) | Outcome::NotSent(NotSentCause::NoConnection) => None,
        Outcome::NotSent(_) | Outcome::Declined(_) => Some("tokens"),
        Outcome::Pending { .. } | Outcome::Unknown(_) | Outcome::NotFound { .. } => {
            Some("pay/%2A%2A%2A")
        }
    };
    let line = last.map(|path| format!("POST http://{host}/{path}")).unwrap_or_default();
    assert_eq!(told.sent.lines().next().unwrap_or_default(), line);
    for secret in ["4111111111111111", "tok 1", "s/1"] {
        assert!(!told.sent.contains(secret), "{}", told.sent);
    }
    told.outcome
}

#[tokio::test]
async fn the_second_request_has_what_the_first_one_brings() {
    let (outcome, firsts, payments) = pay(GOOD, PAID).await;
    assert!(is_approved(&outcome), "{outcome:?}");
    assert_eq!((firsts, payments), (1, 1));
}

#[tokio::test]
async fn i_2_after_a_first_request_that_failed_nothing_is_paid() {
    let failed = Outcome::NotSent(NotSentCause::FirstFailed);
    for first in [
        Answer::Status(500),
        Answer::Never,
        Answer::Body("<html>"),
        Answer::Body("{}"),
        Answer::Body(r#"{"code":"0000"}"#),
        Answer::Body(r#"{"code":"0000","data":{"token":"t"}}"#),
        Answer::Body(r#"{"code":"7777","data":{"token":"t","session":"s"}}"#),
        // It speaks of payments, and none was asked for.
        Answer::Body(r#"{"code":"0051"}"#),
    ] {
        assert_eq!(pay(first, PAID).await, (failed.clone(), 1, 0), "{first:?}");
    }
    let nobody = pay_at("127.0.0.1:1").await;
    assert_eq!(nobody, Outcome::NotSent(NotSentCause::NoConnection));
}

#[tokio::test]
async fn a_first_request_may_decline_for_good() {
    for (body, reason, expected) in [
        (r#"{"code":"0014"}"#, Reason::InvalidCard, false),
        (r#"{"code":"0091"}"#, Reason::ChannelUnavailable, true),
    ] {
        let (outcome, firsts, payments) = pay(Answer::Body(body), PAID).await;
        let Outcome::Declined(decline) = outcome else { panic!("{outcome:?}") };
        assert_eq!((decline.reason, decline.elsewhere), (reason, expected));
        assert_eq!((firsts, payments), (1, 0));
    }
}

#[tokio::test]
async fn i_3_a_second_request_without_an_answer_is_unknown_and_sent_once() {
    for (second, cause) in [
        (Answer::Never, UnknownCause::TimedOut),
        (Answer::Status(500), UnknownCause::HttpStatus),
        (Answer::Body("{}"), UnknownCause::Garbled),
    ] {
        assert_eq!(pay(GOOD, second).await, (Outcome::Unknown(cause), 1, 1), "{second:?}");
    }
}

/// The keys of `[http]` that the file above has.
fn keys() -> String {
    let (_, keys) = FILE.split_once("verify = ").expect("its section");
    format!("verify = {keys}")
}

#[test]
fn what_goes_before_an_operation_is_its_own_affair() {
    let keys = keys();
    let rows = [
        ("{{ first.session }}", "{{ first.other }}", "is nothing that a first request brings here"),
        ("\"{{ card.number }}\"", "\"{{ first.token }}\"", "is nothing that a first request"),
        ("[http.inquiry]", "[http.inquiry]\nfirst = { path = \"/a\" }", "is not a known setting"),
        ("session = \"/data/session\"", "Session = \"/x\"", "cannot be named in a template"),
        ("/tokens\"", "/tokens/{{ card.number }}\"", "is card data"),
    ];
    for (from, to, words) in rows {
        let changed = keys.replacen(from, to, 1);
        assert_ne!(changed, keys, "{from}");
        let found = read(&changed).err().unwrap_or_else(|| panic!("taken: {to}"));
        assert!(found.iter().any(|one| one.contains(words)), "{to}: {found:?}");
    }
    // Samples are written with made-up values.
    let wire = sent(&bank(&keys), &payment());
    assert_eq!(wire.url, "https://api.bank.example/v1/pay/session-for-samples");
    assert_eq!(header(&wire, "x-token"), "token-for-samples");
}

#[test]
fn two_requests_take_twice_as_long() {
    let short = FILE.replace("\"10m\"", "\"4s\"").replace("HOST", "127.0.0.1:1");
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("bank.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).expect("a file");
        switchyard::channel::registry::check_file(&path).map(|_| ()).map_err(|found| words(&found))
    };
    let found = check(&short).expect_err("the second may leave so much later");
    assert!(found[0].contains("unknown.not_found_final_after"), "{found:?}");
    assert_eq!(check(&FILE.replace("\"10m\"", "\"6s\"").replace("HOST", "127.0.0.1:1")), Ok(()));
}
