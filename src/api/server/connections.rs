//! The connections that are open: how many, from where, and which of them has long been idle.
//!
//! One address has a part of the places only, so that it never keeps the others out. Where a
//! connection finds no place, the oldest that has never had an answer makes room, then the one that
//! has been idle longest: it has no request under way, and its client may connect again. A head or
//! a handshake that trickles in is idleness too.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::telemetry;

/// How long a connection waits for the place of an idle one before another one is looked for.
const ROOM_WITHIN: Duration = Duration::from_millis(20);
/// Nothing was answered yet: before every tick.
const NEW: u64 = 0;
/// A request of the connection is under way; stands in place of the tick since when it is idle.
const BUSY: u64 = u64::MAX;
/// The connection was asked to close while it was idle.
const CLOSING: u64 = u64::MAX - 1;

/// All connections of a server.
pub(super) struct Connections {
    places: Arc<Semaphore>,
    places_max: usize,
    of_one_address_max: usize,
    open: Mutex<OpenConnections>,
    /// Counts the times that a connection became idle: an order of them, without a clock.
    ticks: AtomicU64,
}

#[derive(Default)]
struct OpenConnections {
    next: u64,
    all: BTreeMap<u64, Arc<ConnectionState>>,
    of_address: BTreeMap<IpAddr, usize>,
}

/// One connection that is open.
struct ConnectionState {
    address: IpAddr,
    /// A tick of the server's, or [`NEW`], [`BUSY`] or [`CLOSING`].
    idle_since: AtomicU64,
    close: Notify,
}

/// A connection's place, held while it is open.
pub(super) struct ConnectionPlace {
    connections: Arc<Connections>,
    number: u64,
    state: Arc<ConnectionState>,
    _permit: OwnedSemaphorePermit,
}

/// Held while a request of a connection is under way, and its answer is being written.
pub(super) struct RequestGuard {
    connections: Arc<Connections>,
    state: Arc<ConnectionState>,
}

/// An answer's body that keeps its connection busy until it is written.
pub(super) struct BusyBody {
    body: Body,
    _busy: RequestGuard,
}

impl Connections {
    pub(super) fn new(places_max: usize, of_one_address_max: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
            of_one_address_max,
            open: Mutex::default(),
            ticks: AtomicU64::new(NEW + 1),
        })
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    /// A place for a connection from an address, once there is one. `None` where its address has
    /// all that it may have, and none of them is idle.
    pub(super) async fn admit(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionPlace> {
        let address = address_block(address);
        let of_address = self.lock().of_address.get(&address).copied().unwrap_or_default();
        if of_address >= self.of_one_address_max && !self.close_longest_idle(Some(address)) {
            telemetry::count_connection("refused");
            return None;
        }
        // Ends when one of those that are open ends: each has a bound of its own.
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
                break permit;
            }
            self.close_longest_idle(None);
            let free = Arc::clone(&self.places).acquire_owned();
            if let Ok(permit) = tokio::time::timeout(ROOM_WITHIN, free).await {
                break permit.ok()?;
            }
        };
        let state = Arc::new(ConnectionState {
            address,
            idle_since: AtomicU64::new(NEW),
            close: Notify::new(),
        });
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.all.insert(number, Arc::clone(&state));
        *open.of_address.entry(address).or_default() += 1;
        drop(open);
        Some(ConnectionPlace { connections: Arc::clone(self), number, state, _permit: permit })
    }

    /// Asks the connection that has been idle longest to close. The search goes through all
    /// connections, and runs only when places have run out.
    fn close_longest_idle(&self, of: Option<IpAddr>) -> bool {
        // Bounded: each round meets one that has just become busy, and there are few of them.
        loop {
            let open = self.lock();
            let asked = open.all.values().filter(|state| of.is_none_or(|of| of == state.address));
            let idle = asked.map(|state| (state.idle_since.load(Ordering::Acquire), state));
            let longest = idle.filter(|(since, _)| *since < CLOSING).min_by_key(|idle| idle.0);
            let Some((since, state)) = longest else { return false };
            let chosen = state.idle_since.compare_exchange(
                since,
                CLOSING,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if chosen.is_ok() {
                state.close.notify_one();
                telemetry::count_connection("idle_closed");
                return true;
            }
        }
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPlace {
    /// Marks a request of it as under way.
    pub(super) fn busy(&self) -> RequestGuard {
        self.state.idle_since.store(BUSY, Ordering::Release);
        RequestGuard { connections: Arc::clone(&self.connections), state: Arc::clone(&self.state) }
    }

    /// Waits until it is to make room for another one.
    pub(super) async fn closes(&self) {
        // Ends when it was asked to close and has begun nothing since.
        loop {
            self.state.close.notified().await;
            if self.state.idle_since.load(Ordering::Acquire) == CLOSING {
                return;
            }
        }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.all.remove(&self.number);
        if let Some(count) = open.of_address.get_mut(&self.state.address) {
            *count -= 1;
            if *count == 0 {
                open.of_address.remove(&self.state.address);
            }
        }
    }
}

impl RequestGuard {
    pub(super) fn guard(self, body: Body) -> BusyBody {
        BusyBody { body, _busy: self }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.state.idle_since.store(self.connections.tick(), Ordering::Release);
    }
}

impl hyper::body::Body for BusyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An IPv6 site has a block of 64 bits to itself; an IPv4 address may come as an IPv6 one.
fn address_block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_has_its_part_and_the_longest_idle_makes_room() {
        let connections = Connections::new(3, 2);
        let (hers, his) = (address("192.0.2.1"), address("192.0.2.2"));
        let first = connections.admit(hers).await.expect("a place");
        let second = connections.admit(hers).await.expect("a place");
        let (under_way, other) = (first.busy(), second.busy());
        assert!(connections.admit(hers).await.is_none(), "both are busy");
        drop(other);
        drop(under_way);
        // The second has been idle longer.
        let third = connections.admit(hers).await.expect("a place that becomes free");
        second.closes().await;
        drop(second);
        let mut places = Vec::new();
        let fourth = connections.admit(his).await.expect("the last place");
        assert_eq!(connections.count(), 3);
        // All are taken. Who has never had an answer goes first, then the longest idle of all,
        // whoever has it.
        drop(fourth.busy());
        for goes in [third, first] {
            let waiting = tokio::spawn({
                let connections = Arc::clone(&connections);
                async move { connections.admit(address("192.0.2.3")).await }
            });
            goes.closes().await;
            drop(goes);
            let place = waiting.await.expect("no panic").expect("a place");
            drop(place.busy());
            places.push(place);
        }
        drop(fourth);
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_a_request_is_not_closed() {
        let connections = Connections::new(1, 1);
        let only = connections.admit(address("192.0.2.1")).await.expect("a place");
        let waiting = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.admit(address("192.0.2.2")).await }
        });
        tokio::task::yield_now().await;
        let under_way = only.busy();
        let closes = tokio::time::timeout(ROOM_WITHIN * 4, only.closes()).await;
        assert!(closes.is_err(), "it has a request under way");
        drop(under_way);
        only.closes().await;
        drop(only);
        assert!(waiting.await.expect("no panic").is_some());
    }

    #[test]
    fn a_house_of_many_addresses_is_one() {
        let rows = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ];
        for (text, expected) in rows {
            assert_eq!(address_block(address(text)), address(expected), "{text}");
        }
    }
}
