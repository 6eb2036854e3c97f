//! HTTP on real sockets and on streams of the test, against a far end that each test scripts.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;

use hyper_util::rt::TokioIo;

use super::*;
use crate::channel::transport::tcp::tests::authority;
use crate::channel::transport::tls;

const PATIENCE: Duration = Duration::from_secs(30);
const KEEPS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn timeouts() -> Timeouts {
    Timeouts { connect: PATIENCE, reply: PATIENCE, idle: PATIENCE }
}

fn transport_with(timeouts: Timeouts, root_pems: &[String]) -> HttpTransport {
    HttpTransport::new(timeouts, tls::client_config(root_pems).expect("roots"))
}

fn transport() -> HttpTransport {
    transport_with(timeouts(), &[])
}

fn post(address: SocketAddr) -> WireRequest {
    WireRequest {
        method: ::http::Method::POST,
        url: format!("http://{address}/pay"),
        headers: Vec::new(),
        body: Bytes::from_static(b"amount=1"),
        signature: String::new(),
    }
}

async fn server() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    (address, listener)
}

/// Reads one request.
async fn request_of(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"amount=1") {
        let more = stream.read_buf(&mut seen).await.expect("readable");
        assert_ne!(more, 0, "the request came to an end: {}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8(seen).expect("text")
}

/// Reads one request and then does what `reply` says: bytes, or silence.
async fn serve_once(listener: TcpListener, reply: Option<&'static str>) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    request_of(&mut stream).await;
    match reply {
        Some(text) => stream.write_all(text.as_bytes()).await.expect("writable"),
        None => tokio::time::sleep(Duration::from_secs(60)).await,
    }
}

#[tokio::test]
async fn i_2_a_refused_connection_is_not_sent() {
    let (address, listener) = server().await;
    drop(listener);
    let failure = transport().send(post(address)).await.err();
    assert_eq!(failure, Some(TransportFailure::NotSent));
}

#[tokio::test]
async fn i_2_what_happens_after_sending_is_unknown() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let rows = [
        (Some(""), PATIENCE, TransportFailure::ConnectionLost),
        (Some("garbage\r\n\r\n"), PATIENCE, TransportFailure::ConnectionLost),
        (Some(half), PATIENCE, TransportFailure::ConnectionLost),
        (None, Duration::from_millis(50), TransportFailure::TimedOut),
    ];
    for (reply, patience, expected) in rows {
        let (address, listener) = server().await;
        let served = tokio::spawn(serve_once(listener, reply));
        let connect = Duration::from_millis(200);
        let transport = transport_with(Timeouts { connect, reply: patience, ..timeouts() }, &[]);
        let failure = transport.send(post(address)).await.err();
        assert_eq!(failure, Some(expected), "{reply:?}");
        served.abort();
    }
}

/// What a status means is for the adapter to say: the transport passes every one on as it is.
#[tokio::test]
async fn i_2_every_status_is_passed_on_as_it_came() {
    let others = [200, 204, 304, 400, 401, 403, 404, 408, 425, 429, 451, 499, 500, 599];
    for status in others.into_iter().chain(501..=530) {
        let text = format!("HTTP/1.1 {status} Word\r\nconnection: close\r\n\r\n");
        let (address, listener) = server().await;
        let served = tokio::spawn(serve_once(listener, Some(text.leak())));
        let reply = transport().send(post(address)).await;
        assert_eq!(reply.map(|reply| reply.status), Ok(status));
        served.await.expect("served once");
    }
}

#[test]
fn i_2_a_failure_after_sending_is_never_an_end() {
    let unknown = [
        (TransportFailure::TimedOut, UnknownCause::TimedOut),
        (TransportFailure::ConnectionLost, UnknownCause::ConnectionLost),
        (TransportFailure::TooLong, UnknownCause::Garbled),
    ];
    for (failure, cause) in unknown {
        assert_eq!(failure.outcome(), Outcome::Unknown(cause), "{failure}");
    }
    let not_sent = TransportFailure::NotSent.outcome();
    assert_eq!(not_sent, Outcome::NotSent(NotSentCause::NoConnection));
}

#[tokio::test]
async fn a_redirect_is_a_reply_and_a_long_body_is_cut_off() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n";
    let (address, listener) = server().await;
    let served = tokio::spawn(serve_once(listener, Some(moved)));
    let reply = transport().send(post(address)).await;
    assert_eq!(reply.map(|reply| reply.status), Ok(302));
    served.await.expect("served once");

    let long = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned()
        + &"x".repeat(REPLY_BYTES_MAX + 1);
    let (address, listener) = server().await;
    let served = tokio::spawn(serve_once(listener, Some(long.leak())));
    let reply = transport().send(post(address)).await;
    assert_eq!(reply.err(), Some(TransportFailure::TooLong));
    served.abort();
}

/// A connection that waits for the next request to an address, over a stream of this test, and the
/// stream's far end, which takes `bytes` that nobody has read.
async fn kept(transport: &HttpTransport, address: SocketAddr, bytes: usize) -> DuplexStream {
    let (near, far) = tokio::io::duplex(bytes);
    let (site, _) = addressed(post(address)).expect("an address");
    let connection = HttpConnection::over(site, TokioIo::new(near)).await.expect("a connection");
    transport.pool.keep(connection);
    far
}

#[tokio::test]
async fn i_2_a_request_that_a_closed_connection_did_not_begin_goes_on_a_fresh_one() {
    let transport = transport();
    // Closed, closed in the middle of unasked words, and broken off by them.
    for words in ["", "HTTP/1.1 408", "HTTP/1.1 408 Late\r\ncontent-length: 0\r\n\r\n"] {
        let (address, listener) = server().await;
        let mut far = kept(&transport, address, 1024).await;
        far.write_all(words.as_bytes()).await.expect("writable");
        drop(far);
        let served = tokio::spawn(serve_once(listener, Some(KEEPS)));
        let reply = transport.send(post(address)).await;
        assert_eq!(reply.map(|reply| reply.body), Ok(Bytes::from_static(b"ok")), "{words:?}");
        served.await.expect("served once");
    }
}

#[tokio::test]
async fn i_2_a_request_that_was_begun_is_never_sent_again() {
    let transport = transport();
    for taken in [1, 2, 40, 4096] {
        let (address, listener) = server().await;
        let mut far = kept(&transport, address, taken).await;
        let fate = tokio::spawn(async move {
            far.read_u8().await.expect("the request begins");
            far
        });
        let asking = transport.send(post(address));
        // The far end goes with the first byte in its hands.
        let gone = async { drop(fate.await.expect("it has a byte")) };
        let (failure, ()) = tokio::join!(asking, gone);
        assert_eq!(failure.err(), Some(TransportFailure::ConnectionLost), "{taken}");
        let second = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
        assert!(second.is_err(), "nobody came a second time");
    }
}

#[tokio::test]
async fn a_connection_carries_one_request_after_the_other() {
    let transport = transport();
    let (address, listener) = server().await;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut requests = Vec::new();
        for _ in 0..3 {
            requests.push(request_of(&mut stream).await);
            stream.write_all(KEEPS.as_bytes()).await.expect("writable");
        }
        requests
    });
    for _ in 0..3 {
        assert_eq!(transport.send(post(address)).await.map(|reply| reply.status), Ok(200));
    }
    let requests = served.await.expect("served");
    let head = format!("POST /pay HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\n");
    assert!(requests.iter().all(|request| request.starts_with(&head)), "{requests:#?}");
}

#[tokio::test]
async fn a_connection_that_is_idle_too_long_is_closed() {
    let transport = transport_with(Timeouts { idle: Duration::from_millis(20), ..timeouts() }, &[]);
    // The sweep that has ended begins anew.
    for _ in 0..2 {
        let (address, listener) = server().await;
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            request_of(&mut stream).await;
            stream.write_all(KEEPS.as_bytes()).await.expect("writable");
            stream.read(&mut [0; 16]).await.expect("an end")
        });
        assert_eq!(transport.send(post(address)).await.map(|reply| reply.status), Ok(200));
        assert_eq!(served.await.expect("served"), 0, "it was closed");
    }
}

#[tokio::test]
async fn i_2_nothing_is_sent_to_who_has_not_proved_its_name() {
    let (own_root, acceptor) = authority();
    let (other_root, _) = authority();
    for (root, host, is_believed) in [
        (&own_root, "localhost", true),
        (&own_root, "127.0.0.1", false),
        (&other_root, "localhost", false),
    ] {
        let transport = transport_with(timeouts(), std::slice::from_ref(root));
        let (address, listener) = server().await;
        let acceptor = acceptor.clone();
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            for _ in 0..2 {
                request_of(&mut stream).await;
                stream.write_all(KEEPS.as_bytes()).await.expect("writable");
            }
        });
        for _ in 0..2 {
            let url = format!("https://{host}:{}/pay", address.port());
            let reply = transport.send(WireRequest { url, ..post(address) }).await;
            let expected = if is_believed { Ok(200) } else { Err(TransportFailure::NotSent) };
            assert_eq!(reply.map(|reply| reply.status), expected, "{host}");
        }
        served.await.expect("served");
    }
}

#[tokio::test]
async fn i_2_what_cannot_be_asked_is_not_sent() {
    let (address, listener) = server().await;
    let connect = Duration::from_millis(50);
    let transport = transport_with(Timeouts { connect, ..timeouts() }, &[]);
    // Nobody answers the handshake, and three that lead nowhere.
    let mute = format!("https://{address}/pay");
    for url in [mute.as_str(), "https:///pay", "ftp://127.0.0.1/pay", "/pay"] {
        let request = WireRequest { url: url.to_owned(), ..post(address) };
        let failure = transport.send(request).await.err();
        assert_eq!(failure, Some(TransportFailure::NotSent), "{url}");
    }
    drop(listener);
}

#[test]
fn a_site_is_named_without_its_usual_port() {
    for (url, name) in [
        ("http://bank.test:80/pay", "bank.test"),
        ("https://bank.test:443", "bank.test"),
        ("https://bank.test:80?a=b", "bank.test:80"),
        ("http://[::1]:8080/", "[::1]:8080"),
    ] {
        let request = WireRequest { url: url.to_owned(), ..post(([127, 0, 0, 1], 1).into()) };
        let (_, written) = addressed(request).expect("an address");
        assert_eq!(written.headers()[HOST], name, "{url}");
        assert!(written.uri().path().starts_with('/') && written.uri().host().is_none(), "{url}");
    }
}
