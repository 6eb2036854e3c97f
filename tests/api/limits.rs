//! The server's limits, its health, and how it stops.

use reqwest::Method;
use serde_json::json;
use switchyard::store::memory::{FailedRows, MemoryFaults};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::gateway::{Gateway, payment};

/// Sends raw bytes and gives everything that comes back until the connection ends.
async fn exchange(gateway: &Gateway, bytes: &[u8]) -> String {
    let address = gateway.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("it is taken");
    let mut answer = Vec::new();
    // A connection that is reset after the answer has still answered.
    let _ended = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_is_bounded_whether_it_says_its_length_or_not() {
    let gateway = Gateway::start_with("[server]\nbody_bytes_max = 1024").await;
    let large = json!({ "order_id": "x".repeat(2_000) }).to_string();
    let request = gateway.request("core", Method::POST, "/v1/payments");
    let request = request.header("content-type", "application/json");
    let announced = gateway.send(request.try_clone().expect("a copy").body(large.clone())).await;
    assert_eq!(announced.problem(), (413, "body_too_large".to_owned()));
    let head = "POST /v1/payments HTTP/1.1\r\nhost: x\r\nauthorization: Bearer core-key\r\n\
                content-type: application/json\r\nconnection: close\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{head}{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let chunked = exchange(&gateway, chunk.as_bytes()).await;
    assert!(chunked.starts_with("HTTP/1.1 413"), "{chunked}");
    assert_eq!((gateway.commits(), gateway.bank.calls()), (0, 0));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let gateway = Gateway::start_with("[server]\nrequest_timeout = \"100ms\"").await;
    let head = "POST /v1/payments HTTP/1.1\r\nhost: x\r\nauthorization: Bearer core-key\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let answer = exchange(&gateway, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"request_timeout\""), "{answer}");
    let nothing = exchange(&gateway, b"POST /v1/pay").await;
    assert!(nothing.is_empty() || nothing.starts_with("HTTP/1.1 408"), "{nothing}");
    assert_eq!((gateway.commits(), gateway.bank.calls()), (0, 0));
}

#[tokio::test]
async fn a_statement_that_stops_coming_is_let_go_with_its_place() {
    let gateway = Gateway::start_with("[server]\nrequest_timeout = \"100ms\"").await;
    let head = "POST /v1/channels/unionpay/statements?date=2026-11-20 HTTP/1.1\r\nhost: x\r\n\
                authorization: Bearer operator-key\r\ncontent-length: 100\r\n\r\nhalf";
    // More than there are places.
    for _ in 0..6 {
        let answer = exchange(&gateway, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    let work = std::fs::read_dir(gateway.scratch.path().join("work")).expect("a folder");
    assert_eq!(work.count(), 0, "nothing is left of them");
    assert_eq!(gateway.commits(), 0);
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let gateway = Gateway::start().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "text/json"] {
        let request = gateway.request("core", Method::POST, "/v1/payments");
        let request = request.header("content-type", kind).body(payment("A-1").to_string());
        let answer = gateway.send(request).await;
        assert_eq!(answer.problem(), (415, "unsupported_media_type".to_owned()), "{kind}");
    }
    let bare = gateway.request("core", Method::POST, "/v1/payments").body("{}".to_owned());
    assert_eq!(gateway.send(bare).await.problem(), (415, "unsupported_media_type".to_owned()));
    assert_eq!((gateway.commits(), gateway.bank.calls()), (0, 0));
    let request = gateway.request("core", Method::POST, "/v1/payments");
    let request = request.header("content-type", "Application/JSON; charset=utf-8");
    let taken = gateway.send(request.body(payment("A-1").to_string())).await;
    assert_eq!(taken.status, 200);
}

#[tokio::test]
async fn each_caller_has_a_rate_of_its_own() {
    let limits = "[caller_limits]\nrequests_per_second = 1\nburst = 1";
    let gateway = Gateway::start_with(limits).await;
    // The second call may find the rate refilled on a slow machine; a later one then does not.
    let refused = loop {
        let answer = gateway.get("core", "/v1/payments?order_id=A-1").await;
        if answer.status == 429 {
            break answer;
        }
    };
    assert_eq!(refused.problem(), (429, "too_many_requests".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let other = gateway.get("other", "/v1/payments?order_id=A-1").await;
    assert_eq!(other.problem(), (404, "not_found".to_owned()));
    assert_eq!((gateway.commits(), gateway.bank.calls()), (0, 0));
}

#[tokio::test]
async fn a_full_queue_writes_and_sends_nothing() {
    let gateway = Gateway::start().await;
    gateway.faults.busy(1);
    let refused = gateway.pay(&payment("A-1")).await;
    assert_eq!(refused.problem(), (503, "queue_full".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!((gateway.commits(), gateway.bank.calls()), (0, 0));
    assert!(gateway.store.orders(None, 1).await.expect("a read").is_empty());
    assert_eq!(gateway.pay(&payment("A-1")).await.status, 200, "the same id may come again");
}

#[tokio::test]
async fn a_store_out_of_reach_is_come_back_to() {
    let gateway = Gateway::start().await;
    gateway.faults.unavailable(1);
    let refused = gateway.pay(&payment("A-1")).await;
    assert_eq!(refused.problem(), (503, "store_unavailable".to_owned()));
    assert!(refused.header("retry-after").is_some());
    assert_eq!((gateway.commits(), gateway.bank.calls()), (0, 0));
    assert_eq!(gateway.get("", "/readyz").await.status, 200, "it goes on by itself");
    assert_eq!(gateway.pay(&payment("A-1")).await.status, 200, "the same id may come again");
}

#[tokio::test]
async fn i_12_after_a_failed_write_no_orders_are_taken() {
    ends(|faults| faults.fail_next_commit(FailedRows::Lost)).await;
}

#[tokio::test]
async fn a_process_that_has_lost_its_lease_takes_no_orders() {
    ends(MemoryFaults::fence).await;
}

async fn ends(fault: impl Fn(&MemoryFaults)) {
    let gateway = Gateway::start().await;
    fault(&gateway.faults);
    let failed = gateway.pay(&payment("A-1")).await;
    assert_eq!(failed.problem(), (503, "store_failed".to_owned()));
    gateway.faults.restart();
    let refused = gateway.pay(&payment("A-2")).await;
    assert_eq!(refused.problem(), (503, "store_failed".to_owned()));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(gateway.bank.calls(), 0);
    let ready = gateway.get("", "/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["reasons"], json!(["store_failed"]));
    assert_eq!(gateway.get("", "/healthz").await.status, 503);
    gateway.state.engine.store_failure().await;
}

#[tokio::test]
async fn health_needs_no_key() {
    let gateway = Gateway::start().await;
    let ready = gateway.get("", "/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.json()["ready"].clone()), (200, json!(true)));
    gateway.state.ready.store(false, std::sync::atomic::Ordering::SeqCst);
    let starting = gateway.get("", "/readyz").await;
    let told = starting.json();
    let told = ["ready", "reasons", "doubts"].map(|name| told[name].clone());
    assert_eq!(told, [json!(false), json!(["starting"]), json!([])]);
    gateway.state.stopping.store(true, std::sync::atomic::Ordering::SeqCst);
    let refused = gateway.pay(&payment("A-1")).await;
    assert_eq!(refused.problem(), (503, "stopping".to_owned()));
    let metrics = gateway.get("", "/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
}

#[tokio::test]
async fn what_is_in_flight_at_a_stop_is_answered() {
    let mut gateway = Gateway::start().await;
    gateway.bank.hold();
    let request = gateway.posting("core", "/v1/payments", &payment("A-1"));
    let call = tokio::spawn(request.send());
    gateway.order_when("A-1", |order| !order.attempts.is_empty()).await;
    gateway.stop();
    while !gateway.state.stopping.load(std::sync::atomic::Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    gateway.bank.let_go();
    let answer = call.await.expect("the call does not panic").expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(gateway.stopped().await, 0, "no connection is left open");
    assert!(gateway.client.get(format!("{}/healthz", gateway.url)).send().await.is_err());
}

/// A connection from one of loopback's addresses.
async fn connected_from(gateway: &Gateway, address: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{address}:0").parse().expect("an address")).expect("a port");
    let to = gateway.url.trim_start_matches("http://").parse().expect("an address");
    socket.connect(to).await.expect("a connection")
}

/// Asks for the health on a connection that stays open.
async fn is_answered(stream: &mut TcpStream) -> bool {
    let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut answer = Vec::new();
    // Ends with the answer's body, or with the connection.
    while asked.is_ok() && !answer.ends_with(b"ok\n") {
        if !matches!(stream.read_buf(&mut answer).await, Ok(1..)) {
            return false;
        }
    }
    answer.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn idle_connections_of_one_address_keep_nobody_out() {
    let settings = "[server]\nconnections_max = 6\nconnections_per_address_max = 4\n\
                    request_timeout = \"60s\"";
    let gateway = Gateway::start_with(settings).await;
    let mut hers = Vec::new();
    for _ in 0..10 {
        // The head of a request that never ends is idleness too.
        let mut stream = connected_from(&gateway, "127.0.0.2").await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.expect("it is taken");
        hers.push(stream);
    }
    // The longest idle ones have made room for the later ones.
    for stream in hers.iter_mut().take(6) {
        let ended = stream.read(&mut [0; 16]).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    let mut his = connected_from(&gateway, "127.0.0.3").await;
    let mut another = connected_from(&gateway, "127.0.0.4").await;
    assert!(is_answered(&mut his).await && is_answered(&mut another).await, "they have places");
    // All are taken now, and a further caller gets the place of the longest idle one.
    let mut last = connected_from(&gateway, "127.0.0.5").await;
    assert!(is_answered(&mut last).await);
    assert!(
        is_answered(&mut his).await && is_answered(&mut another).await,
        "they were idle shorter"
    );
}
