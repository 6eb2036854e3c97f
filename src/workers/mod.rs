//! The workers: owed rows of the store are worked off, by timer and by signal.
//!
//! Each worker looks through the store for what is due, in bounded pages, and submits it to the
//! engine or delivers it. Nothing it needs to remember lives in memory: after a crash it finds
//! everything again. A round never stops at one failure: that item is due again later.

pub mod accounting;
pub mod backlog;
pub mod bin_lessons;
pub mod bin_table;
pub mod certificates;
pub mod clock;
pub mod day_close;
mod delivery;
pub mod driver;
pub mod ends;
pub mod late_replies;
pub mod members;
pub mod notices;
pub mod reconciliation;
pub mod recovery;
pub mod reversals;
pub mod settings;
pub mod sign_on;
pub mod spans;
pub mod statements;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

pub use delivery::{client, client_with};

/// The most rows that one look into the store brings.
pub const PAGE: usize = 256;

/// Tells workers to stop, and lets them say that they have.
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// A stop that has not been asked for yet, and the sender that asks.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when a stop is asked for.
    pub async fn requested(&mut self) {
        // An error means that the sender is gone with the application: that is a stop too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// The keys that are being worked at the moment, so that two rounds do not work the same thing at
/// once.
#[derive(Debug)]
struct KeysInFlight<K: Ord + Clone> {
    keys: Arc<Mutex<BTreeSet<K>>>,
}

impl<K: Ord + Clone> Default for KeysInFlight<K> {
    fn default() -> Self {
        Self { keys: Arc::default() }
    }
}

impl<K: Ord + Clone> KeysInFlight<K> {
    /// `None` if it is being worked already; else keep the hold for as long as the work takes.
    fn hold(&self, key: &K) -> Option<Hold<K>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let hold = || Hold { key: key.clone(), keys: Arc::clone(&self.keys) };
        keys.insert(key.clone()).then(hold)
    }

    fn len(&self) -> usize {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A hold on one key; dropped with the work, however that ends.
#[derive(Debug)]
struct Hold<K: Ord + Clone> {
    key: K,
    keys: Arc<Mutex<BTreeSet<K>>>,
}

impl<K: Ord + Clone> Drop for Hold<K> {
    fn drop(&mut self) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
