//! The loop that takes connections and gives each its requests' handlers, within bounds.

mod connections;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Either;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use crate::api::auth::Peer;
use crate::api::payments::PaymentDoor;
use crate::api::{ApiState, router};
use connections::{ConnectionPlace, Connections};

/// The most header lines of a request.
const HEADERS_MAX: usize = 64;
/// The most bytes of a request's head that are buffered.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The pause after a connection could not be accepted, for want of file handles for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` ends, then lets what is in flight finish within the settings' bound.
///
/// Gives the number of connections that were still open when the bound had passed: the next start
/// finds their orders in the store.
pub async fn serve(
    listener: TcpListener,
    state: Arc<ApiState>,
    shutdown: impl Future<Output = ()>,
) -> usize {
    let service = TowerToHyperService::new(router(Arc::clone(&state)));
    let door = Arc::new(PaymentDoor::new(Arc::clone(&state)));
    let server = &state.settings.server;
    let connections = Connections::new(server.connections_max, server.connections_per_address_max);
    let graceful = GracefulShutdown::new();
    let http = connection_builder(state.settings.server.request_timeout);
    let mut shutdown = std::pin::pin!(shutdown);
    // Ends when the shutdown is asked for.
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let (peer, place) = (Arc::new(peer), Arc::new(place));
        let (held, service, door) = (Arc::clone(&place), service.clone(), Arc::clone(&door));
        let watched = service_fn(move |mut request: Request<Incoming>| {
            let busy = held.busy();
            let peer = Arc::clone(&peer);
            let answering = if PaymentDoor::is_for(&request) {
                Either::Left(Arc::clone(&door).answer(peer, request).map(Ok))
            } else {
                request.extensions_mut().insert(peer);
                Either::Right(service.call(request))
            };
            async move { answering.await.map(|answer| answer.map(|body| busy.guard(body))) }
        });
        let connection = http.serve_connection(TokioIo::new(stream), watched);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = connection => ended,
                () = place.closes() => Ok(()),
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    state.stopping.store(true, Ordering::Relaxed);
    let stop_within = state.settings.server.stop_within;
    let _ = tokio::time::timeout(stop_within, graceful.shutdown()).await;
    connections.count()
}

fn connection_builder(head_timeout: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(false);
    builder
}

/// The next connection, once there is a place for it; others wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Connections>,
) -> Option<(TcpStream, Peer, ConnectionPlace)> {
    match listener.accept().await {
        Ok((stream, address)) => {
            let peer = Peer { address: address.ip().to_canonical() };
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
