//! Delivers one HTTP request to a channel, and says honestly whether any byte may have left.
//!
//! Upholds I-2: *not sent* is said only where no connection was made for the request, or where it
//! had ended before the first byte of the request was written. The transport never repeats a
//! request that was begun, follows no redirect, and uses no proxy of the environment. It begins
//! none once this node's lease of the books has ended, and none whose time is over: a process that
//! stood still goes on where it was.

mod connection;
mod pool;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, DATE, HOST};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::Full;

use self::connection::{HttpConnection, Silence, Site};
use self::pool::HttpPool;

use crate::channel::{WireReply, WireRequest};
use crate::clock::{Timekeeper, Witness, stopwatch};
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
    #[error("this node's lease of the books has ended: nothing was sent")]
    LeaseEnded,
    #[error("the process stood still until the request's time was over: nothing was sent")]
    TooLate,
}

impl TransportFailure {
    /// The meaning of the failure for the attempt (I-2).
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::NotSent => Outcome::NotSent(NotSentCause::NoConnection),
            Self::TimedOut => Outcome::Unknown(UnknownCause::TimedOut),
            Self::ConnectionLost => Outcome::Unknown(UnknownCause::ConnectionLost),
            Self::TooLong => Outcome::Unknown(UnknownCause::Garbled),
            Self::LeaseEnded => Outcome::NotSent(NotSentCause::LeaseEnded),
            Self::TooLate => Outcome::NotSent(NotSentCause::TooLate),
        }
    }
}

/// An HTTP client of one channel, with its own connections.
pub struct HttpTransport {
    pool: Arc<HttpPool>,
    limit: Duration,
    reply_bytes_max: usize,
    witness: Option<Witness>,
}

impl HttpTransport {
    pub fn new(timeouts: Timeouts, tls: rustls::ClientConfig) -> Self {
        Self::with_replies_up_to(REPLY_BYTES_MAX, timeouts, tls)
    }

    /// The same for replies that carry whole files.
    pub fn with_replies_up_to(
        reply_bytes_max: usize,
        timeouts: Timeouts,
        tls: rustls::ClientConfig,
    ) -> Self {
        let limit = timeouts.connect + timeouts.reply;
        let pool = Arc::new(HttpPool::new(timeouts, tls));
        Self { pool, limit, reply_bytes_max, witness: None }
    }

    /// Its replies' Dates are evidence of what time it is, and this clock says whether the node may
    /// still act.
    pub fn heard_by(self, keeper: Timekeeper) -> Self {
        Self { witness: Some(Witness::of(keeper)), ..self }
    }

    /// Sends the request once and reads the whole reply.
    pub async fn send(&self, request: WireRequest) -> Result<WireReply, TransportFailure> {
        // Past the limit we cannot tell how far it came: that is unknown, never *not sent*.
        tokio::time::timeout(self.limit, self.exchange(request, stopwatch()))
            .await
            .unwrap_or(Err(TransportFailure::TimedOut))
    }

    async fn exchange(
        &self,
        request: WireRequest,
        since: Instant,
    ) -> Result<WireReply, TransportFailure> {
        let (site, mut request) = addressed(request).ok_or(TransportFailure::NotSent)?;
        if let Some(kept) = self.pool.take(&site) {
            match self.ask(kept, request, since).await {
                // It had been closed while it waited, and the request has not left us.
                Err(Silence::Unbegun(unwritten)) => request = *unwritten,
                Err(Silence::Begun(failure)) => return Err(failure),
                Ok(reply) => return Ok(reply),
            }
        }
        // Rare and large: it does not lie in the future of every call.
        let fresh = Box::pin(self.pool.connect(site)).await?;
        Ok(self.ask(fresh, request, since).await?)
    }

    async fn ask(
        &self,
        mut connection: HttpConnection,
        request: Request<Full<Bytes>>,
        since: Instant,
    ) -> Result<WireReply, Silence> {
        if since.elapsed() > self.limit {
            return Err(Silence::Begun(TransportFailure::TooLate));
        }
        if self.witness.as_ref().is_some_and(|witness| !witness.keeper().may_act()) {
            return Err(Silence::Begun(TransportFailure::LeaseEnded));
        }
        let site = connection.site.clone();
        let hear = |headers: &HeaderMap| self.hear(&site, headers);
        let reply = connection.ask(request, self.reply_bytes_max, hear).await?;
        if connection.is_open() {
            self.pool.keep(connection);
        }
        Ok(reply)
    }

    fn hear(&self, site: &Site, headers: &HeaderMap) {
        let Some(witness) = &self.witness else { return };
        if let Some(date) = headers.get(DATE).and_then(|date| date.to_str().ok()) {
            let port = site.authority.port_u16().unwrap_or(site.usual_port());
            witness.hear(|| format!("{}:{port}", site.authority.host()), date);
        }
    }
}

/// Where a request goes, and the request as it is written there. `None` if its URL is none.
fn addressed(request: WireRequest) -> Option<(Site, Request<Full<Bytes>>)> {
    let uri = Uri::try_from(request.url).ok()?.into_parts();
    let scheme = uri.scheme.filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))?;
    let site = Site { scheme, authority: uri.authority? };
    let path = uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut written = Request::new(Full::new(request.body));
    *written.method_mut() = request.method;
    *written.uri_mut() = path.into();
    let headers = written.headers_mut();
    for (name, value) in request.headers {
        headers.append(name, value);
    }
    headers.entry(HOST).or_insert(site.host_header()?);
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    Some((site, written))
}

#[cfg(test)]
mod tests;
