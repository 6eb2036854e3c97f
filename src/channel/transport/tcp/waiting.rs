//! Who waits for which reply on one link, and whose turn to be written it still is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::channel::transport::http::TransportFailure;
use crate::clock::stopwatch;

use super::{PairKey, RequestTrace};

/// How long a request that was given up is remembered for the sake of a late reply.
const GIVEN_UP_KEPT: Duration = Duration::from_secs(15 * 60);
/// How many of them one link remembers.
const GIVEN_UP_MAX: usize = 65_536;

const QUEUED: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Whether a writer has taken a frame. Decided once: taken or withdrawn, never both (I-2).
#[derive(Default)]
pub(super) struct Turn(AtomicU8);

impl Turn {
    fn decide(&self, to: u8) -> bool {
        self.0.compare_exchange(QUEUED, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The writer's side: `false` if the caller has gone.
    pub fn take(&self) -> bool {
        self.decide(TAKEN)
    }

    /// The caller's side: `true` proves that no byte has left and none will.
    pub fn withdraw(&self) -> bool {
        self.decide(WITHDRAWN)
    }

    /// Withdraws when the caller's future is dropped.
    pub fn withdraw_on_drop(self: &Arc<Self>) -> impl Drop + use<> {
        struct OnDrop(Arc<Turn>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.withdraw();
            }
        }
        OnDrop(Arc::clone(self))
    }
}

/// One who waits for a reply.
pub(super) struct PendingReply {
    /// `None` when it has its reply, and one of an earlier request is owed.
    reply: Option<oneshot::Sender<Result<Bytes, TransportFailure>>>,
    /// `None` for what the link itself asks.
    asked: Option<Arc<RequestTrace>>,
    since: Instant,
    /// Replies that are owed to requests of the same key about the same attempt, given up before
    /// this one: a repeated reversal has the name of the first, and nothing tells their replies
    /// apart.
    given_up: u32,
    /// Since when the first of these requests waits.
    first_since: Instant,
}

impl PendingReply {
    pub fn new(
        reply: oneshot::Sender<Result<Bytes, TransportFailure>>,
        asked: Option<Arc<RequestTrace>>,
    ) -> Self {
        let since = stopwatch();
        Self { reply: Some(reply), asked, since, given_up: 0, first_since: since }
    }

    /// Whether it is about an attempt, and not what the link itself asks.
    pub const fn is_of_attempt(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether its time is over; it takes a process that stood still to find one so.
    pub fn has_waited_for(&self, limit: Duration) -> bool {
        self.since.elapsed() > limit
    }

    pub fn fail(self, failure: TransportFailure) {
        // Nobody listens any more where the caller has given up.
        let _ = self.reply.map(|reply| reply.send(Err(failure)));
    }

    fn is_given_up(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Takes the place of one that was given up, and with it the replies that are owed.
    fn take_over(&mut self, before: &Self) {
        let attempt = |waiting: &Self| Some(waiting.asked.as_ref()?.facts.channel_order_no);
        if attempt(self).is_some() && attempt(self) == attempt(before) {
            self.given_up = before.given_up.saturating_add(1);
            self.first_since = before.first_since;
        }
    }
}

/// The fate of a reply.
pub(super) enum ReplyDelivery {
    /// Its request waited for it.
    InTime,
    /// Its request has been given up, and was first made so long ago.
    Late { asked: Arc<RequestTrace>, age: Duration, frame: Bytes },
    /// The frame answers nothing that is remembered.
    Unmatched,
}

/// Everyone who waits on one link.
#[derive(Default)]
pub(super) struct WaitingList {
    by_key: Mutex<HashMap<PairKey, PendingReply>>,
}

impl WaitingList {
    fn lock(&self) -> MutexGuard<'_, HashMap<PairKey, PendingReply>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters several under one lock, before any of their bytes is written.
    pub fn guard(&self, max: usize) -> WaitingListGuard<'_> {
        WaitingListGuard { by_key: self.lock(), max }
    }

    /// Takes one out that was entered and then not written.
    pub fn leave(&self, key: &PairKey) -> Option<PendingReply> {
        self.lock().remove(key)
    }

    pub fn deliver(&self, key: &PairKey, frame: Bytes) -> ReplyDelivery {
        let mut by_key = self.lock();
        let Some(mut waiting) = by_key.remove(key) else { return ReplyDelivery::Unmatched };
        let (asked, age) = (waiting.asked.clone(), waiting.first_since.elapsed());
        let sent = match waiting.reply.take() {
            Some(reply) => reply.send(Ok(frame)),
            None => Err(Ok(frame)),
        };
        if waiting.given_up > 0 {
            waiting.given_up -= 1;
            by_key.insert(*key, waiting);
        }
        match (sent, asked) {
            (Ok(()), _) => ReplyDelivery::InTime,
            (Err(Ok(frame)), Some(asked)) => ReplyDelivery::Late { asked, age, frame },
            // The link's own line test, for which it is enough that something came.
            (Err(_), _) => ReplyDelivery::InTime,
        }
    }

    /// Ends everyone's wait: the link is broken, and their bytes had been handed to it.
    pub fn fail_all(&self, failure: TransportFailure) {
        let all = std::mem::take(&mut *self.lock());
        all.into_values().for_each(|waiting| waiting.fail(failure));
    }

    /// Forgets those who gave up long ago.
    pub fn tidy(&self) {
        self.lock().retain(|_, waiting| {
            !(waiting.is_given_up() && waiting.since.elapsed() > GIVEN_UP_KEPT)
        });
    }
}

/// The list, held while frames are entered.
pub(super) struct WaitingListGuard<'l> {
    by_key: MutexGuard<'l, HashMap<PairKey, PendingReply>>,
    max: usize,
}

impl WaitingListGuard<'_> {
    /// Gives back who has the key of one that still waits, or comes when too many wait: its frame
    /// must not be sent.
    pub fn enter(&mut self, key: PairKey, mut waiting: PendingReply) -> Result<(), PendingReply> {
        if self.by_key.len() >= self.max.saturating_add(GIVEN_UP_MAX) {
            self.by_key.retain(|_, waiting| !waiting.is_given_up());
        }
        let is_busy = self.by_key.get(&key).is_some_and(|before| !before.is_given_up());
        if is_busy || self.by_key.len() >= self.max.saturating_add(GIVEN_UP_MAX) {
            return Err(waiting);
        }
        if let Some(before) = self.by_key.get(&key) {
            waiting.take_over(before);
        }
        self.by_key.insert(key, waiting);
        Ok(())
    }
}
