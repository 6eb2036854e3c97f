//! Delivers one HTTP request to a channel, and says honestly whether any byte may have left.
//!
//! Upholds I-2: *not sent* is said only where no connection was ever made for the request. It never
//! retries by itself, follows no redirect, and uses no proxy of the environment.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Method, redirect};

use crate::channel::{WireReply, WireRequest};
use crate::clock::{Timekeeper, Witness};
use crate::domain::outcome::{NotSentCause, Outcome, UnknownCause};

/// The most bytes of an ordinary reply that are read; a longer one is cut off and so unreadable.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// How long one channel may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For making a connection, TLS included.
    pub connect: Duration,
    /// For everything from the first byte sent to the last byte received.
    pub reply: Duration,
    /// Connections unused for longer are closed: below what the channel's side allows, so that a
    /// request does not meet a connection that is just being closed.
    pub idle: Duration,
}

/// Why no whole reply came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportFailure {
    #[error("no connection could be made: nothing was sent")]
    NotSent,
    #[error("no reply came in time")]
    TimedOut,
    #[error("the connection ended before the whole reply had come")]
    ConnectionLost,
    #[error("the reply is longer than a channel's reply may be")]
    TooLong,
}

impl TransportFailure {
    /// What the failure means for the attempt (I-2).
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::NotSent => Outcome::NotSent(NotSentCause::NoConnection),
            Self::TimedOut => Outcome::Unknown(UnknownCause::TimedOut),
            Self::ConnectionLost => Outcome::Unknown(UnknownCause::ConnectionLost),
            Self::TooLong => Outcome::Unknown(UnknownCause::Garbled),
        }
    }
}

/// An HTTP client of one channel, with its own connections.
pub struct HttpTransport {
    client: Client,
    timeouts: Timeouts,
    reply_bytes_max: usize,
    witness: Option<Witness>,
}

impl HttpTransport {
    /// The error is a sentence for whoever configured the channel.
    pub fn new(timeouts: Timeouts, tls: rustls::ClientConfig) -> Result<Self, String> {
        Self::with_replies_up_to(REPLY_BYTES_MAX, timeouts, tls)
    }

    /// The same for replies that carry whole files.
    pub fn with_replies_up_to(
        reply_bytes_max: usize,
        timeouts: Timeouts,
        tls: rustls::ClientConfig,
    ) -> Result<Self, String> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(timeouts.connect)
            .pool_idle_timeout(timeouts.idle)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| crate::telemetry::chain(&error))?;
        Ok(Self { client, timeouts, reply_bytes_max, witness: None })
    }

    /// Its replies' Dates are evidence of what time it is.
    pub fn heard_by(self, keeper: Timekeeper) -> Self {
        Self { witness: Some(Witness::of(keeper)), ..self }
    }

    /// Sends the request once and reads the whole reply.
    pub async fn send(&self, request: WireRequest) -> Result<WireReply, TransportFailure> {
        let limit = self.timeouts.connect + self.timeouts.reply;
        // Past the limit we cannot tell how far it came: that is unknown, never *not sent*.
        tokio::time::timeout(limit, self.exchange(request))
            .await
            .unwrap_or(Err(TransportFailure::TimedOut))
    }

    async fn exchange(&self, request: WireRequest) -> Result<WireReply, TransportFailure> {
        let method = Method::from_bytes(request.method.as_str().as_bytes())
            .map_err(|_| TransportFailure::NotSent)?;
        let mut builder = self.client.request(method, &request.url).body(request.body);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        let mut response = builder.send().await.map_err(|error| classify(&error))?;
        let status = response.status().as_u16();
        self.hear(&response);
        let headers = std::mem::take(response.headers_mut());
        let body = read_whole(response, self.reply_bytes_max).await?;
        Ok(WireReply { status, headers, body })
    }

    fn hear(&self, response: &reqwest::Response) {
        let Some(witness) = &self.witness else { return };
        let date = response.headers().get(reqwest::header::DATE);
        if let Some(date) = date.and_then(|date| date.to_str().ok()) {
            let url = response.url();
            let port = url.port_or_known_default().unwrap_or_default();
            witness.hear(|| format!("{}:{port}", url.host_str().unwrap_or_default()), date);
        }
    }
}

/// Reads a body of bounded length; usually it comes in one piece, which is not copied.
async fn read_whole(
    mut response: reqwest::Response,
    bytes_max: usize,
) -> Result<Bytes, TransportFailure> {
    let first = response.chunk().await.map_err(|error| classify(&error))?;
    let Some(first) = first else { return Ok(Bytes::new()) };
    let mut whole: Option<BytesMut> = None;
    // Bounded by `bytes_max`, and in time by the caller.
    while let Some(more) = response.chunk().await.map_err(|error| classify(&error))? {
        let whole = whole.get_or_insert_with(|| BytesMut::from(first.as_ref()));
        whole.extend_from_slice(&more);
        if whole.len() > bytes_max {
            return Err(TransportFailure::TooLong);
        }
    }
    Ok(whole.map_or(first, BytesMut::freeze))
}

/// A failure to connect is the one failure that proves that nothing was sent; so is a request that
/// could not be built. Everything else may have come after bytes had left.
fn classify(error: &reqwest::Error) -> TransportFailure {
    if error.is_connect() || error.is_builder() {
        TransportFailure::NotSent
    } else if error.is_timeout() {
        TransportFailure::TimedOut
    } else {
        TransportFailure::ConnectionLost
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn transport(reply: Duration) -> HttpTransport {
        let idle = Duration::from_secs(5);
        let timeouts = Timeouts { connect: Duration::from_secs(2), reply, idle };
        HttpTransport::new(
            timeouts,
            crate::channel::transport::tls::client_config(&[]).expect("no roots"),
        )
        .expect("a client")
    }

    fn post(address: std::net::SocketAddr) -> WireRequest {
        WireRequest {
            method: ::http::Method::POST,
            url: format!("http://{address}/pay"),
            headers: Vec::new(),
            body: Bytes::from_static(b"amount=1"),
        }
    }

    /// A server that reads each request and then does what `reply` says: bytes, or silence.
    async fn server(reply: Option<&'static str>) -> (std::net::SocketAddr, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let _ = reply;
        (address, listener)
    }

    async fn serve_once(listener: TcpListener, reply: Option<&'static str>) -> usize {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut buffer = [0; 4096];
        let mut seen = 0;
        while !String::from_utf8_lossy(&buffer[..seen]).ends_with("amount=1") {
            seen += stream.read(&mut buffer[seen..]).await.expect("readable");
        }
        match reply {
            Some(text) => stream.write_all(text.as_bytes()).await.expect("writable"),
            None => tokio::time::sleep(Duration::from_secs(60)).await,
        }
        drop(stream);
        seen
    }

    #[tokio::test]
    async fn i_2_a_refused_connection_is_not_sent() {
        let (address, listener) = server(None).await;
        drop(listener);
        let failure = transport(Duration::from_secs(5)).send(post(address)).await.err();
        assert_eq!(failure, Some(TransportFailure::NotSent));
    }

    #[tokio::test]
    async fn i_2_what_happens_after_sending_is_unknown() {
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        let rows = [
            (Some(""), Duration::from_secs(30), TransportFailure::ConnectionLost),
            (Some("garbage\r\n\r\n"), Duration::from_secs(30), TransportFailure::ConnectionLost),
            (Some(half), Duration::from_secs(30), TransportFailure::ConnectionLost),
            (None, Duration::from_millis(50), TransportFailure::TimedOut),
        ];
        for (reply, patience, expected) in rows {
            let (address, listener) = server(reply).await;
            let served = tokio::spawn(serve_once(listener, reply));
            let mut transport = transport(patience);
            transport.timeouts.connect = Duration::from_millis(200);
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
            let (address, listener) = server(None).await;
            let served = tokio::spawn(serve_once(listener, Some(text.leak())));
            let reply = transport(Duration::from_secs(30)).send(post(address)).await;
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
        let (address, listener) = server(None).await;
        let served = tokio::spawn(serve_once(listener, Some(moved)));
        let reply = transport(Duration::from_secs(30)).send(post(address)).await;
        assert_eq!(reply.map(|reply| reply.status), Ok(302));
        served.await.expect("served once");

        let long = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned()
            + &"x".repeat(REPLY_BYTES_MAX + 1);
        let (address, listener) = server(None).await;
        let served = tokio::spawn(serve_once(listener, Some(long.leak())));
        let reply = transport(Duration::from_secs(30)).send(post(address)).await;
        assert_eq!(reply.err(), Some(TransportFailure::TooLong));
        served.abort();
    }
}
