//! The calls that wait for an order's end, so that a notice can answer a call that is still open.
//!
//! An end that this process writes is announced at once; those that other nodes write are looked
//! for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::domain::ids::OrderId;
use crate::domain::order::Order;

type OpenWaits = BTreeMap<OrderId, Vec<(u64, oneshot::Sender<Order>)>>;

/// The open waits of this process.
#[derive(Debug, Default)]
pub struct Waiters {
    open: Arc<Mutex<(u64, OpenWaits)>>,
}

fn lock(open: &Mutex<(u64, OpenWaits)>) -> MutexGuard<'_, (u64, OpenWaits)> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Waiters {
    /// Begins to wait. Look at the store after this, not before, so that no end is missed.
    pub fn wait(&self, id: OrderId) -> EndWait {
        let (sender, ended) = oneshot::channel();
        let mut open = lock(&self.open);
        open.0 += 1;
        let ticket = open.0;
        open.1.entry(id).or_default().push((ticket, sender));
        EndWait { id, ticket, ended, open: Arc::clone(&self.open) }
    }

    /// The orders that calls wait for.
    pub fn open(&self) -> Vec<OrderId> {
        lock(&self.open).1.keys().copied().collect()
    }

    /// Gives the order to the calls that wait for it, if it has ended.
    pub fn announce(&self, order: &Order) {
        if !order.status.is_final() {
            return;
        }
        let waiting = lock(&self.open).1.remove(&order.id);
        for (_, sender) in waiting.unwrap_or_default() {
            // A call that has gone away needs no answer.
            let _ = sender.send(order.clone());
        }
    }
}

/// One open wait; dropping it ends it.
#[derive(Debug)]
pub struct EndWait {
    id: OrderId,
    ticket: u64,
    ended: oneshot::Receiver<Order>,
    open: Arc<Mutex<(u64, OpenWaits)>>,
}

impl EndWait {
    /// The order when it has ended.
    pub async fn end(mut self) -> Option<Order> {
        (&mut self.ended).await.ok()
    }
}

impl Drop for EndWait {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(waiting) = open.1.get_mut(&self.id) {
            waiting.retain(|(ticket, _)| *ticket != self.ticket);
            if waiting.is_empty() {
                open.1.remove(&self.id);
            }
        }
    }
}
