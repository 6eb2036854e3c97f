//! A channel's own connections: makes them, and keeps those that wait for its next request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tower::Service;

use super::connection::{HttpConnection, Site};
use super::{Timeouts, TransportFailure};
use crate::clock::stopwatch;

/// A connection whose other side has gone without a word is found out after three of these.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

pub(super) struct HttpPool {
    connector: HttpConnector,
    tls: TlsConnector,
    timeouts: Timeouts,
    idle: Mutex<Idle>,
}

/// The connections that wait, the one that waits longest first.
#[derive(Default)]
struct Idle {
    connections: Vec<HttpConnection>,
    /// Whether a task closes those that wait too long.
    is_swept: bool,
}

impl HttpPool {
    pub fn new(timeouts: Timeouts, tls: rustls::ClientConfig) -> Self {
        let mut connector = HttpConnector::new();
        // What is not http gets TLS on top.
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEPALIVE_EVERY));
        connector.set_keepalive_interval(Some(KEEPALIVE_EVERY));
        connector.set_keepalive_retries(Some(3));
        Self { connector, tls: TlsConnector::from(Arc::new(tls)), timeouts, idle: Mutex::default() }
    }

    /// The connection to a site that was used last, so that those that are not needed grow old.
    pub fn take(&self, site: &Site) -> Option<HttpConnection> {
        let connections = &mut self.idle().connections;
        let newest = connections.iter().rposition(|waiting| waiting.site == *site)?;
        let found = connections.remove(newest);
        (found.idle_since.elapsed() < self.timeouts.idle).then_some(found)
    }

    /// Keeps a connection whose last reply was whole.
    pub fn keep(self: &Arc<Self>, connection: HttpConnection) {
        let mut idle = self.idle();
        idle.connections.push(connection);
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(Self::sweep(Arc::downgrade(self), self.timeouts.idle));
        }
    }

    /// Closes what waits too long. Ends with the last connection that waits, or with the channel.
    async fn sweep(pool: Weak<Self>, mut wait: Duration) {
        loop {
            tokio::time::sleep(wait).await;
            let Some(next) = pool.upgrade().and_then(|pool| pool.close_old()) else { return };
            wait = next;
        }
    }

    /// Answers after how long the next one will have waited too long.
    fn close_old(&self) -> Option<Duration> {
        let mut idle = self.idle();
        let now = stopwatch();
        let waited = |waiting: &HttpConnection| now.saturating_duration_since(waiting.idle_since);
        let old = idle.connections.partition_point(|it| waited(it) >= self.timeouts.idle);
        let closed: Vec<_> = idle.connections.drain(..old).collect();
        let oldest = idle.connections.first().map(waited);
        idle.is_swept = oldest.is_some();
        drop(idle);
        drop(closed);
        oldest.map(|waited| self.timeouts.idle.saturating_sub(waited))
    }

    /// A new connection, TLS included, within the channel's time for it. Nothing was sent where
    /// there is none.
    pub async fn connect(&self, site: Site) -> Result<HttpConnection, TransportFailure> {
        let connected = tokio::time::timeout(self.timeouts.connect, self.reach(site)).await;
        connected.ok().flatten().ok_or(TransportFailure::NotSent)
    }

    async fn reach(&self, site: Site) -> Option<HttpConnection> {
        let uri = Uri::builder().scheme(site.scheme.clone()).authority(site.authority.clone());
        let uri = uri.path_and_query(PathAndQuery::from_static("/")).build().ok()?;
        let stream = self.connector.clone().call(uri).await.ok()?;
        if site.scheme == Scheme::HTTP {
            return HttpConnection::over(site, stream).await.ok();
        }
        let host = site.authority.host().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).ok()?;
        let stream = self.tls.connect(name, stream.into_inner()).await.ok()?;
        HttpConnection::over(site, TokioIo::new(stream)).await.ok()
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
