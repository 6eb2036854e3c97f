//! Requests that stood still, with the disk or the whole process, between their commit and their
//! first byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use switchyard::channel::Channels;
use switchyard::channel::protocol::sample::sample_service;
use switchyard::channel::registry::Registry;
use switchyard::channel::transport::http::{HttpTransport, Timeouts, TransportFailure};
use switchyard::channel::transport::tls::client_config;
use switchyard::clock::Clock;
use switchyard::domain::card_service::CardService;
use switchyard::domain::ids::ChannelId;
use switchyard::domain::outcome::NotSentCause;
use switchyard::domain::terms::CommonTerms;

use super::support::wire::listen;
use super::*;

const FILE: &str = r#"protocol = "http"
state = "live"
abilities = { operations = ["payment", "refund", "inquiry", "reversal"], currencies = ["CNY"] }
limits = { per_order_max_minor = 100000 }
clearing = { time_zone = "Asia/Shanghai", cut_off = "23:00" }
[unknown]
inquire = ["1m"]
then = "reverse"
reverse = ["1m"]
not_found_final_after = "10m"
not_found_final_after_of = { refund = "FINAL" }
[[fees]]
name = "all"
[codes]
"00" = "approved"
[http]
base_url = "http://HOST"
verify = { none = true }
payment = { path = "/pay", body = { no = "{{ order_no }}" }, reply = { code = "/code" } }
refund = { like = "payment" }
reversal = { like = "payment" }
[http.inquiry]
like = "payment"
states = { OK = "approved" }
reply = { code = "/code", state = "/state" }
"#;

fn not_sent(outcome: &Outcome) -> Option<NotSentCause> {
    match outcome {
        Outcome::NotSent(cause) => Some(*cause),
        _ => None,
    }
}

/// What may still leave `late` after it was decided, by a channel whose refunds' "no such order" is
/// final after `soonest`: a payment, a refund, a reversal and an inquiry.
async fn leaves(soonest: &str, late: Duration) -> [bool; 4] {
    let heard = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&heard);
    let router = Router::new().fallback(move || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        r#"{"code":"00","state":"OK"}"#
    });
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path();
    let text = FILE.replace("HOST", &listen(router).await.to_string()).replace("FINAL", soonest);
    std::fs::write(folder.join("bank.toml"), text).expect("a file");
    let millis = Arc::new(AtomicI64::new(sample_now().as_millis()));
    let clock = Clock::Manual(Arc::clone(&millis));
    let routes = folder.join("routes.toml");
    let loaded = Registry::load(folder, &routes, folder, CommonTerms::default(), clock);
    let registry = loaded.unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let facts = |operation| sample_facts(operation, 2);
    let (original, now) = (Some(sample_facts(Operation::Payment, 1)), sample_now());
    let asked = [
        payment(),
        ChannelRequest::FollowUp {
            facts: facts(Operation::Refund),
            original: sample_facts(Operation::Payment, 1),
            pan: None,
        },
        ChannelRequest::Reversal {
            facts: facts(Operation::Payment),
            original: original.clone(),
            pan: None,
            now,
        },
        ChannelRequest::Inquiry { facts: facts(Operation::Payment), original, pan: None, now },
    ];
    millis.fetch_add(i64::try_from(late.as_millis()).expect("small"), Ordering::SeqCst);
    let mut left = [false; 4];
    for (request, left) in asked.into_iter().zip(&mut left) {
        let before = heard.load(Ordering::SeqCst);
        let name = request.name();
        let told = registry.call(&ChannelId::parse("bank").expect("an id"), request).await;
        *left = heard.load(Ordering::SeqCst) > before;
        let expected = (!*left).then_some(NotSentCause::TooLate);
        assert_eq!(not_sent(&told.outcome), expected, "{name}: {:?}", told.outcome);
    }
    left
}

/// Else "no such order" would be believed of it while it is on its way, and money would move of an
/// order that has failed: its age counts from before its commit, which may stand still for minutes.
#[tokio::test]
async fn i_3_what_stood_still_before_its_first_byte_is_not_sent() {
    let seconds = Duration::from_secs;
    let (all, only_the_inquiry) = ([true; 4], [false, false, false, true]);
    // A call takes 12.5 s at most, and may begin 10 s later than that.
    assert_eq!(leaves("10m", seconds(22)).await, all);
    assert_eq!(leaves("10m", seconds(23)).await, only_the_inquiry);
    assert_eq!(leaves("10m", seconds(11 * 60)).await, only_the_inquiry);
    // Half of the time in which it may arrive is left to it.
    assert_eq!(leaves("30s", seconds(15)).await, all);
    assert_eq!(leaves("30s", seconds(16)).await, only_the_inquiry);
}

/// An inquiry about a confirmation has that one's time, which may be days ago.
#[test]
fn only_what_begins_something_can_be_too_late() {
    for service in CardService::ALL {
        let request = sample_service(service, sample_card());
        let expected = (!service.is_inquiry()).then_some(sample_now());
        assert_eq!(request.decided_at(), expected, "{}", service.name());
    }
}

/// The runtime goes on where it stood: what has become possible meanwhile comes before the time
/// that has run out.
#[tokio::test]
async fn i_3_a_process_that_stood_still_writes_nothing_when_it_goes_on() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let patience = Duration::from_millis(100);
    let timeouts = Timeouts { connect: patience, reply: patience, idle: patience };
    let transport = HttpTransport::new(timeouts, client_config(&[]).expect("roots"));
    let wire = WireRequest {
        method: http::Method::POST,
        url: format!("http://{address}/pay"),
        headers: Vec::new(),
        body: Bytes::from_static(b"amount=1"),
        signature: String::new(),
    };
    let sending = tokio::spawn(async move { transport.send(wire).await });
    // It connects, and no more.
    tokio::task::yield_now().await;
    assert!(!sending.is_finished());
    std::thread::sleep(patience * 3);
    let failure = sending.await.expect("no panic").err();
    assert_eq!(failure, Some(TransportFailure::TooLate));
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut seen = [0; 64];
    assert_eq!(stream.try_read(&mut seen).ok().filter(|count| *count > 0), None);
}
