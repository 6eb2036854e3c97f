//! One HTTP/1.1 connection, read and written by whoever waits for its reply.
//!
//! It has no task of its own, so a request costs no hop between tasks. While nobody asks, nobody
//! looks at it: the next request finds out whether the other side has closed it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::rt::{Read, Write};

use super::TransportFailure;
use crate::channel::WireReply;
use crate::clock::stopwatch;

/// Where a connection leads. Two are the same whatever the case of their letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    pub scheme: Scheme,
    pub authority: Authority,
}

impl Site {
    pub fn usual_port(&self) -> u16 {
        if self.scheme == Scheme::HTTP { 80 } else { 443 }
    }

    /// What a request calls it: the port goes without saying where it is the usual one.
    pub fn host_header(&self) -> Option<HeaderValue> {
        let is_usual = self.authority.port_u16() == Some(self.usual_port());
        let name = if is_usual { self.authority.host() } else { self.authority.as_str() };
        HeaderValue::from_str(name).ok()
    }
}

/// Why a connection brought no whole reply.
pub(super) enum Silence {
    /// It had ended before the first byte of the request was written: here is the request again.
    Unbegun(Box<Request<Full<Bytes>>>),
    /// The request may have left (I-2).
    Begun(TransportFailure),
}

impl From<Silence> for TransportFailure {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Unbegun(_) => Self::NotSent,
            Silence::Begun(failure) => failure,
        }
    }
}

pub(super) struct HttpConnection {
    pub site: Site,
    /// When its last reply was whole.
    pub idle_since: Instant,
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// What reads and writes; `None` when the connection has ended.
struct Driver(Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>);

impl Driver {
    /// Keeps the connection going until what it is to bring is there.
    async fn bring<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = pin!(wanted);
        poll_fn(|context| {
            if let Poll::Ready(brought) = wanted.as_mut().poll(context) {
                return Poll::Ready(brought);
            }
            if let Some(running) = &mut self.0
                && running.as_mut().poll(context).is_ready()
            {
                // What it still held is answered as it goes, so that nobody waits for it.
                self.0 = None;
            }
            wanted.as_mut().poll(context)
        })
        .await
    }
}

impl HttpConnection {
    /// Speaks HTTP/1.1 over a stream. Nothing is written yet.
    pub async fn over<S>(site: Site, stream: S) -> hyper::Result<Self>
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        // A request is small: to copy it behind its head costs less than to send two pieces.
        let (sender, connection) = Builder::new().writev(false).handshake(stream).await?;
        let driver = Driver(Some(Box::pin(connection)));
        Ok(Self { site, idle_since: stopwatch(), sender, driver })
    }

    /// Whether it can carry one more request, as far as is known.
    pub fn is_open(&self) -> bool {
        self.driver.0.is_some() && self.sender.is_ready()
    }

    /// Sends the request and reads the whole reply. `hear` is told of its headers as they come.
    pub async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
        hear: impl FnOnce(&HeaderMap),
    ) -> Result<WireReply, Silence> {
        let answer = self.sender.try_send_request(request);
        let answer = self.driver.bring(answer).await.map_err(|mut error| {
            error.take_message().map_or(
                Silence::Begun(TransportFailure::ConnectionLost),
                // hyper gives a request back only if it never began to write it.
                |request| Silence::Unbegun(Box::new(request)),
            )
        })?;
        let (head, body) = answer.into_parts();
        hear(&head.headers);
        let body = self.read_whole(body, bytes_max).await.map_err(Silence::Begun)?;
        self.idle_since = stopwatch();
        Ok(WireReply { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Reads a body of bounded length; usually it comes in one piece, which is not copied.
    async fn read_whole(
        &mut self,
        mut body: Incoming,
        bytes_max: usize,
    ) -> Result<Bytes, TransportFailure> {
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        // Bounded by `bytes_max`, and in time by the caller.
        while !body.is_end_stream() {
            let Some(frame) = self.driver.bring(body.frame()).await else { break };
            let frame = frame.map_err(|_| TransportFailure::ConnectionLost)?;
            let Ok(piece) = frame.into_data() else { continue };
            if first.len().max(whole.len()) + piece.len() > bytes_max {
                return Err(TransportFailure::TooLong);
            }
            if first.is_empty() {
                first = piece;
                continue;
            }
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }
}
