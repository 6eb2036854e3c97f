//! The loops that take connections and give each its requests' handlers, within bounds.
//!
//! Each listener has a loop, its places and its routes. A TLS handshake is the connection's own
//! business: it keeps no other one from being accepted.

mod connections;
pub mod tls;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::response::IntoResponse as _;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join, join_all};
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::api::auth::Peer;
use crate::api::call::ApiCall;
use crate::api::error::{ApiError, ProblemCode};
use crate::api::payments::PaymentDoor;
use crate::api::{ApiState, ServedPages, router};
use crate::clock::Timekeeper;
use crate::config::server::ListenerKind;
use crate::entropy::Entropy;
use crate::telemetry::begin_handshakes;
use connections::{ConnectionPlace, Connections};
use tls::{Greeting, ListenerTls, certificate_key};

/// The most header lines of a request.
const HEADERS_MAX: usize = 64;
/// The most bytes of a request's head that are buffered.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// What a call's future has fewer bytes than.
const CALL_BYTES_MAX: usize = 2 * 1024;
/// The pause after a connection could not be accepted, for want of file handles for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An address that is listened on, and how.
pub struct Listener {
    kind: ListenerKind,
    socket: TcpListener,
    /// `None`: plain HTTP.
    tls: Option<Arc<ListenerTls>>,
    /// What it serves beside the routes of its kind.
    pages: ServedPages,
}

impl Listener {
    pub async fn bind(
        kind: ListenerKind,
        address: SocketAddr,
        tls: Option<Arc<ListenerTls>>,
    ) -> io::Result<Self> {
        begin_handshakes(kind.name());
        let socket = TcpListener::bind(address).await?;
        Ok(Self { kind, socket, tls, pages: ServedPages::new() })
    }

    /// Serves these pages too.
    pub fn with_pages(self, pages: ServedPages) -> Self {
        Self { pages, ..self }
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Serves until `shutdown` ends, then lets what is in flight finish within the settings' bound.
///
/// Gives the number of connections that were still open when the bound had passed: the next start
/// finds their orders in the store.
pub async fn serve(
    listeners: Vec<Listener>,
    state: Arc<ApiState>,
    shutdown: impl Future<Output = ()>,
) -> usize {
    let (open, closing) = watch::channel(());
    let of_each = listeners.into_iter().map(|Listener { kind, socket, tls, pages }| {
        let server = Arc::new(Server::new(kind, &state, pages));
        server.run(socket, tls, closing.clone())
    });
    let stop = async {
        shutdown.await;
        state.stopping.store(true, Ordering::Relaxed);
        drop(open);
    };
    let (left, ()) = join(join_all(of_each), stop).await;
    left.into_iter().sum()
}

/// What serves the connections of one listener.
struct Server {
    has_payments: bool,
    door: Arc<PaymentDoor>,
    service: TowerToHyperService<axum::Router>,
    entropy: Entropy,
    clock: Timekeeper,
    connections: Arc<Connections>,
    http: http1::Builder,
    /// For the costly step of handshakes: half of the threads may be at it.
    turns: Semaphore,
    request_timeout: Duration,
    stop_within: Duration,
}

impl Server {
    fn new(kind: ListenerKind, state: &Arc<ApiState>, pages: ServedPages) -> Self {
        let settings = &state.settings.server;
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        Self {
            has_payments: kind == ListenerKind::Api,
            door: Arc::new(PaymentDoor::new(Arc::clone(state))),
            service: TowerToHyperService::new(router(Arc::clone(state), kind, pages)),
            entropy: state.entropy.clone(),
            clock: state.engine.clock().clone(),
            connections: Connections::new(
                settings.connections_max,
                settings.connections_per_address_max,
            ),
            http: connection_builder(settings.request_timeout),
            turns: Semaphore::new((threads / 2).max(1)),
            request_timeout: settings.request_timeout,
            stop_within: settings.stop_within,
        }
    }

    /// Ends when `closing` does and what was in flight has; gives what is left open.
    async fn run(
        self: Arc<Self>,
        socket: TcpListener,
        tls: Option<Arc<ListenerTls>>,
        mut closing: watch::Receiver<()>,
    ) -> usize {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = closing.changed() => break,
                accepted = accept(&socket, &self.connections) => accepted,
            };
            let Some((stream, peer, place)) = accepted else { continue };
            let (place, watcher) = (Arc::new(place), graceful.watcher());
            match &tls {
                None => drop(tokio::spawn(self.attend(stream, watcher, peer, place))),
                Some(tls) => {
                    let (server, tls) = (Arc::clone(&self), Arc::clone(tls));
                    let closing = closing.clone();
                    tokio::spawn(async move {
                        server.greet(&tls, stream, (watcher, closing), peer, place).await;
                    });
                }
            }
        }
        drop(socket);
        let _ = tokio::time::timeout(self.stop_within, graceful.shutdown()).await;
        self.connections.count()
    }

    /// Has the handshake of a connection, and then answers its requests.
    async fn greet(
        &self,
        tls: &ListenerTls,
        stream: TcpStream,
        (watcher, mut closing): (Watcher, watch::Receiver<()>),
        peer: Peer,
        place: Arc<ConnectionPlace>,
    ) {
        let greeting = tokio::select! {
            greeting = tls.greet(stream, &self.turns, self.request_timeout) => greeting,
            () = place.closes() => return,
            _ = closing.changed() => return,
        };
        match greeting {
            Greeting::Tls(stream) => {
                let peer = Peer { certificate_key: certificate_key(&stream), ..peer };
                self.attend(*stream, watcher, peer, place).await;
            }
            Greeting::PlainHttp(stream) => self.turn_away(stream, watcher, place).await,
            Greeting::Nothing => {}
        }
    }

    /// Answers the requests of a connection, until it ends or makes room.
    fn attend<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        watcher: Watcher,
        peer: Peer,
        place: Arc<ConnectionPlace>,
    ) -> impl Future<Output = ()> + Send + use<S> {
        let (peer, held) = (Arc::new(peer), Arc::clone(&place));
        let (entropy, clock) = (self.entropy.clone(), self.clock.clone());
        let (has_payments, service, door) =
            (self.has_payments, self.service.clone(), Arc::clone(&self.door));
        let answer = service_fn(move |mut request: Request<Incoming>| {
            let busy = held.busy();
            let peer = Arc::clone(&peer);
            let call = ApiCall::begin(&request, &entropy, &clock);
            // On the heap: a payment's work takes several kilobytes.
            let answering: BoxFuture<'static, _> = if has_payments && PaymentDoor::is_for(&request)
            {
                Box::pin(Arc::clone(&door).answer(peer, request).map(Ok))
            } else {
                request.extensions_mut().insert(peer);
                Box::pin(service.call(request))
            };
            light(async move {
                let answered = call.answer(answering).await;
                answered.map(|answer| answer.map(|body| busy.guard(body)))
            })
        });
        let connection = watcher.watch(self.http.serve_connection(TokioIo::new(stream), answer));
        end(connection, place)
    }

    /// Tells a client that speaks plain HTTP to a port of TLS what to do.
    async fn turn_away(&self, stream: TcpStream, watcher: Watcher, place: Arc<ConnectionPlace>) {
        let (entropy, clock) = (&self.entropy, &self.clock);
        let answer = service_fn(async |request: Request<Incoming>| {
            let call = ApiCall::begin(&request, entropy, clock);
            call.answer(async {
                let detail = "nothing of the request was looked at; call https://";
                let mut answer = ApiError::new(ProblemCode::TlsRequired, detail).into_response();
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
                Ok::<_, Infallible>(answer)
            })
            .await
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), answer);
        end(watcher.watch(connection), place).await;
    }
}

/// A call as hyper gets it. Hyper moves it several times before its first step, so that each
/// kilobyte of it costs every call: what is large belongs on the heap. A larger one does not
/// compile, and the error tells its bytes.
fn light<F: Future>(call: F) -> F {
    const { [(); CALL_BYTES_MAX][size_of::<F>()] };
    call
}

/// Waits for a connection's end, or until it is to make room. Its place is free before it counts as
/// ended: a stop counts the places.
async fn end(connection: impl Future<Output = hyper::Result<()>>, place: Arc<ConnectionPlace>) {
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = place.closes() => Ok(()),
    };
    drop(place);
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn connection_builder(head_timeout: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        // An answer is small: to copy it behind its head costs less than to send two pieces.
        .writev(false)
        .half_close(false);
    builder
}

/// The next connection, once there is a place for it; others wait in the kernel's queue.
async fn accept(
    socket: &TcpListener,
    connections: &Arc<Connections>,
) -> Option<(TcpStream, Peer, ConnectionPlace)> {
    match socket.accept().await {
        Ok((stream, address)) => {
            let peer = Peer { address: address.ip().to_canonical(), certificate_key: None };
            let place = connections.admit(peer.address).await?;
            // Answers are small and whole; waiting for more to send only delays them.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection ended before it was used");
                return None;
            }
            Some((stream, peer, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
