//! Delivers frames over persistent TCP links, pairs replies with requests, and says honestly
//! whether any byte may have left.
//!
//! A channel has one or more links; each carries many requests at once, and a reply finds its
//! request by a key that the protocol reads from both. Upholds I-2: *not sent* is said only where
//! no byte of the frame was handed to a socket; a link that breaks leaves each of its requests
//! unknown. Nothing is ever sent twice. It knows no protocol: a [`LinkProtocol`] reads frames for
//! it.

mod connect;
mod link;
mod shared_keys;
mod waiting;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use crate::channel::AttemptFacts;
use crate::channel::transport::http::{Timeouts, TransportFailure};
use crate::channel::transport::objections::ObjectionLog;
use crate::codec::iso8583::frame::Framing;
use crate::domain::ids::ChannelId;
use crate::domain::time::Timestamp;
use crate::entropy::Entropy;
use crate::telemetry::begin_links;

pub use self::shared_keys::{SharedKeys, SignOnKeys, SignOnRight};
use self::waiting::{PendingReply, Turn};

/// Frames that wait for one link's writer; past it a request is not sent.
const QUEUE_MAX: usize = 4_096;
/// Late replies that wait to be weighed; past it they are counted only, and found out by reversal.
pub const LATE_MAX: usize = 4_096;

/// The key that a reply shares with its request, and with no other exchange of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PairKey {
    /// The reply's message type.
    pub message_type: u16,
    pub trace: u32,
    /// Terminal, or time: whatever else tells exchanges apart.
    pub place: u64,
}

/// The eight characters or bytes that authenticate a frame, as they stand in it.
pub type FrameMac = [u8; 8];

/// A frame with its length before it, ready to be written.
#[derive(Clone)]
pub struct LinkFrame {
    pub bytes: Vec<u8>,
    pub key: PairKey,
    pub mac: Option<FrameMac>,
}

/// The facts of a request that its answer is read by. Holds no card data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTrace {
    pub kind: TracedRequest,
    pub facts: AttemptFacts,
    /// The fields of the request, by number, that its answer repeats, in their plain form.
    pub echoed: Vec<(u8, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TracedRequest {
    /// To carry out the attempt's operation; the answer has this message type.
    Order { answer: u16 },
    /// To undo the attempt, whose result is unknown.
    Reversal,
}

/// A reply that came after its request had been given up.
pub struct LateReply {
    pub channel: ChannelId,
    pub asked: Arc<RequestTrace>,
    /// When it was asked, or first asked where it was repeated under the same key: the answer may
    /// be that old.
    pub asked_at: Timestamp,
    pub frame: Bytes,
}

/// The kind of a frame that came in.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameClass {
    /// The answer to a request of ours.
    Reply(PairKey),
    /// A request of the other side, and the frame to answer it with.
    Request { answer: Vec<u8> },
    /// Nothing to act on: an empty frame that keeps the line alive.
    Nothing,
    /// Not a message of this protocol, or none that we act on: why, in our own words.
    Unreadable(String),
}

/// Why the other side did not let us on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the sign-on was refused: {0}")]
pub struct SignOnRefused(pub String);

/// The knowledge of frames that a transport needs.
pub trait LinkProtocol: Send + Sync {
    fn framing(&self) -> Framing;

    /// Reads a frame, without its length, as far as pairing needs it.
    fn sort(&self, frame: &[u8]) -> FrameClass;

    /// The frames that a new connection exchanges first, in this order. `draw` is a
    /// number that makes each of them another one.
    fn sign_on(&self, now: Timestamp, draw: u64) -> Vec<LinkFrame>;

    /// Takes the answer to one of them.
    fn take_sign_on(&self, frame: &[u8]) -> Result<(), SignOnRefused>;

    /// A message that only asks whether the line is alive; `None` where there is none.
    fn echo(&self, now: Timestamp, draw: u64) -> Option<LinkFrame>;

    /// Whether sign-ons bring keys that messages are sealed with.
    fn brings_keys(&self) -> bool {
        false
    }

    /// The terminal of a sign-on's answer, and what it has brought; `None` where it is nothing.
    fn key_of(&self, _frame: &[u8]) -> Option<(String, Vec<u8>)> {
        None
    }

    /// Takes what another node's sign-on has brought a terminal.
    fn learn_key(&self, _terminal: &str, _brought: &[u8]) -> Result<(), SignOnRefused> {
        Ok(())
    }
}

/// How the links of one channel behave.
#[derive(Debug, Clone)]
pub struct LinkTerms {
    /// `host:port`, one or more: links are spread over them.
    pub addresses: Vec<String>,
    /// Connections that are kept, at least 1.
    pub links: usize,
    /// The most requests on their way on one link.
    pub in_flight_max: usize,
    /// After so long without a frame the line is tested.
    pub echo_after: Duration,
    /// The wait before the first new connection; it doubles up to the longest, with a jitter.
    pub reconnect_first: Duration,
    pub reconnect_longest: Duration,
}

/// Where late replies go, and what the links are called in counts.
#[derive(Clone)]
pub struct LinkContext {
    pub channel: ChannelId,
    pub late: mpsc::Sender<LateReply>,
    pub clock: crate::clock::Timekeeper,
    /// Set where several nodes share a store.
    pub keys: Arc<OnceLock<Arc<dyn SharedKeys>>>,
}

/// TLS for links: settings, and the name that the certificate must have.
pub type LinkTls = (Arc<rustls::ClientConfig>, rustls::pki_types::ServerName<'static>);

/// Everything that the tasks of one transport share.
struct TransportContext {
    protocol: Arc<dyn LinkProtocol>,
    terms: LinkTerms,
    timeouts: Timeouts,
    tls: Option<LinkTls>,
    context: LinkContext,
    entropy: Entropy,
    /// What came in and could not be read, on all links of the channel.
    objections: ObjectionLog,
    /// How many links are up, where nodes share what a sign-on brings.
    signed_on: tokio::sync::Mutex<usize>,
}

/// One request on its way to a writer.
struct Outbound {
    bytes: Vec<u8>,
    turn: Arc<Turn>,
    /// Who waits for the reply, by its key; nobody where we answer the other side.
    waits: Option<(PairKey, PendingReply)>,
}

/// One link as a caller sees it.
struct Port {
    queue: mpsc::Sender<Outbound>,
    up: watch::Receiver<bool>,
}

/// The links of one channel. They are connected at the first request, and end with this value.
pub struct TcpTransport {
    shared: Arc<TransportContext>,
    ports: OnceLock<Vec<Port>>,
    next: AtomicUsize,
}

impl TcpTransport {
    pub fn new(
        protocol: Arc<dyn LinkProtocol>,
        terms: LinkTerms,
        timeouts: Timeouts,
        tls: Option<LinkTls>,
        context: LinkContext,
    ) -> Self {
        assert!(terms.links > 0 && !terms.addresses.is_empty(), "the file's reader checks both");
        begin_links(&context.channel);
        let entropy = Entropy::System;
        let objections = ObjectionLog::default();
        let shared = Arc::new(TransportContext {
            protocol,
            terms,
            timeouts,
            tls,
            context,
            entropy,
            objections,
            signed_on: tokio::sync::Mutex::default(),
        });
        Self { shared, ports: OnceLock::new(), next: AtomicUsize::new(0) }
    }

    /// Where its links lead.
    pub fn addresses(&self) -> &[String] {
        &self.shared.terms.addresses
    }

    /// Connects if that has not begun, and waits for a link that is up in the time for it.
    pub async fn ready(&self) -> Result<(), TransportFailure> {
        self.port().await?;
        self.learn_keys().await
    }

    /// Takes the keys that any node's sign-on has brought last.
    pub async fn learn_keys(&self) -> Result<(), TransportFailure> {
        self.shared.learn_keys().await.map(|_| ()).map_err(|refused| {
            let channel = &self.shared.context.channel;
            self.shared.objections.warn(channel, "the keys of the nodes' sign-ons", &refused.0);
            TransportFailure::NotSent
        })
    }

    /// Whether its links begin with a sign-on that brings keys for all nodes.
    pub fn signs_on_for_all(&self) -> bool {
        self.shared.shared_keys().is_some()
    }

    /// Sends a frame once and waits for the reply that has its key.
    pub async fn send(
        &self,
        frame: LinkFrame,
        asked: Arc<RequestTrace>,
    ) -> Result<Bytes, TransportFailure> {
        let port = self.port().await?;
        let (reply, answered) = oneshot::channel();
        let turn = Arc::new(Turn::default());
        let waiting = PendingReply::new(reply, Some(asked));
        let LinkFrame { bytes, key, mac: _ } = frame;
        let outbound = Outbound { bytes, turn: Arc::clone(&turn), waits: Some((key, waiting)) };
        port.queue.try_send(outbound).map_err(|_| TransportFailure::NotSent)?;
        // A caller that goes away, or runs out of time, takes back what no writer has taken yet.
        let _withdraw = turn.withdraw_on_drop();
        match tokio::time::timeout(self.shared.timeouts.reply, answered).await {
            Ok(Ok(reply)) => reply,
            // The writer's task is gone; what it had not taken has not left.
            Ok(Err(_)) if turn.withdraw() => Err(TransportFailure::NotSent),
            Ok(Err(_)) => Err(TransportFailure::ConnectionLost),
            Err(_) if turn.withdraw() => Err(TransportFailure::NotSent),
            Err(_) => Err(TransportFailure::TimedOut),
        }
    }

    /// A link that is up, in turn; else the first that comes up in the time for a connection.
    async fn port(&self) -> Result<&Port, TransportFailure> {
        let ports = self.ports.get_or_init(|| self.start());
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..ports.len()).map(|step| &ports[(first + step) % ports.len()]);
        if let Some(port) = in_turn().find(|port| *port.up.borrow()) {
            return Ok(port);
        }
        let waits = in_turn().map(|port| {
            let mut up = port.up.clone();
            Box::pin(async move {
                // An error means that the link's task is gone: it will not come up any more.
                if up.wait_for(|up| *up).await.is_err() {
                    std::future::pending::<()>().await;
                }
                port
            })
        });
        let any = futures_util::future::select_all(waits);
        match tokio::time::timeout(self.shared.timeouts.connect, any).await {
            Ok((port, ..)) => Ok(port),
            Err(_) => Err(TransportFailure::NotSent),
        }
    }

    fn start(&self) -> Vec<Port> {
        let start_one = |index| {
            let (queue, outbound) = mpsc::channel(QUEUE_MAX);
            let (is_up, up) = watch::channel(false);
            let answers = queue.downgrade();
            let link = link::Link::new(Arc::clone(&self.shared), index, answers);
            tokio::spawn(link.run(outbound, is_up));
            Port { queue, up }
        };
        (0..self.shared.terms.links).map(start_one).collect()
    }
}

#[cfg(test)]
pub(super) mod tests;
