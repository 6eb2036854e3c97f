//! The workers: what is owed in the store is worked off, by timer and by signal.
//!
//! Each worker looks through the store for what is due, in bounded pages, and submits it to the
//! engine or delivers it. Nothing it needs to remember lives in memory: after a crash it finds
//! everything again. A round never stops at one failure: that item is due again later.

pub mod accounting;
pub mod backlog;
pub mod bin_table;
pub mod certificates;
pub mod clock;
pub mod day_close;
mod delivery;
pub mod late_replies;
pub mod notices;
pub mod reconciliation;
pub mod recovery;
pub mod reversals;
pub mod statements;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub use delivery::client;

/// The most rows that one look into the store brings.
pub const PAGE: usize = 256;

/// Tells workers to stop, and lets them say that they have.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A stop that has not been asked for yet, and the sender that asks.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when a stop is asked for.
    pub async fn asked(&mut self) {
        // An error means that the sender is gone with the application: that is a stop too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Waits for the next round: a signal, the timer, or a stop. Signals that came meanwhile count.
async fn next_round(signal: &Notify, every: Duration, stop: &mut Stop) {
    tokio::select! {
        biased;
        () = stop.asked() => {}
        () = signal.notified() => {}
        () = tokio::time::sleep(every) => {}
    }
}

/// What is being worked at the moment, so that two rounds do not work the same thing at once.
#[derive(Debug)]
struct InFlight<K: Ord + Clone> {
    keys: Arc<Mutex<BTreeSet<K>>>,
}

impl<K: Ord + Clone> Default for InFlight<K> {
    fn default() -> Self {
        Self { keys: Arc::default() }
    }
}

impl<K: Ord + Clone> InFlight<K> {
    /// `None` if it is being worked already; else hold the claim for as long as the work takes.
    fn claim(&self, key: &K) -> Option<Claim<K>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = || Claim { key: key.clone(), keys: Arc::clone(&self.keys) };
        keys.insert(key.clone()).then(claim)
    }

    fn len(&self) -> usize {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A claim on one key; dropped with the work, however that ends.
#[derive(Debug)]
struct Claim<K: Ord + Clone> {
    key: K,
    keys: Arc<Mutex<BTreeSet<K>>>,
}

impl<K: Ord + Clone> Drop for Claim<K> {
    fn drop(&mut self) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Takes the results of tasks that have ended; a panic in one ends that one alone.
fn reap(tasks: &mut JoinSet<()>, what: &str) {
    while let Some(ended) = tasks.try_join_next() {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(
                worker = what,
                "a task of a worker has panicked; its row is due again later"
            );
        }
    }
}
