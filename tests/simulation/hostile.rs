//! The store as a process sees it: slow, full at times, and dead at any step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use switchyard::domain::ids::OrderId;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::memory::FailedRows;
use switchyard::store::{CommitError, RowQuery, Store, StoreFuture, StoreRead};
use tokio::sync::Notify;

use crate::world::World;

/// One life of the process: from a start to a crash.
#[derive(Clone, Default)]
pub struct Pulse {
    dead: Arc<AtomicBool>,
    pub stopped: Arc<Notify>,
}

impl Pulse {
    /// A point where the process may be delayed, or die: then nothing after it happens.
    pub async fn step(&self, world: &World) {
        let delay = {
            let mut state = world.state();
            if let Some(left) = &mut state.steps_left {
                if *left == 0 && !self.dead.swap(true, Ordering::SeqCst) {
                    self.stopped.notify_one();
                }
                *left = left.saturating_sub(1);
            }
            if self.dead.load(Ordering::SeqCst) { None } else { Some(state.random.u8(0..16)) }
        };
        match delay {
            None => std::future::pending().await,
            Some(0) => tokio::time::sleep(std::time::Duration::from_millis(15)).await,
            Some(1..=5) => tokio::task::yield_now().await,
            Some(_) => {}
        }
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

pub struct HostileStore {
    pub world: World,
    pub pulse: Pulse,
}

impl HostileStore {
    fn slowly<'a>(&'a self, read: StoreRead<'a, ()>) -> StoreRead<'a, ()> {
        Box::pin(async move {
            self.pulse.step(&self.world).await;
            let found = read.await;
            self.pulse.step(&self.world).await;
            found
        })
    }

    /// Before a write: now and then the queue is full, the store is out of reach, the process has
    /// lost its lease, or the disk is about to fail.
    fn plan_write(&self) -> Result<(), CommitError> {
        let mut state = self.world.state();
        if state.mischief(2) {
            if state.random.bool() {
                self.world.store.faults().unavailable(1);
            } else {
                self.world.store.faults().busy(1);
            }
        }
        if state.failing.is_none() && !state.calm && state.random.u16(0..4_000) == 0 {
            self.world.store.faults().fence();
        }
        if state.failing.is_none() && !state.calm && state.random.u16(0..2_000) == 0 {
            let rows = if state.random.bool() { FailedRows::Lost } else { FailedRows::Written };
            state.failing = Some(rows);
            self.world.store.faults().fail_next_commit(rows);
        }
        Ok(())
    }
}

impl Store for HostileStore {
    fn commit<'a>(&'a self, writes: &'a WriteSet) -> StoreFuture<'a, Result<(), CommitError>> {
        Box::pin(async move {
            self.pulse.step(&self.world).await;
            self.plan_write()?;
            let ended = self.world.store.commit(writes).await;
            if let Err(CommitError::Failed(_)) = &ended {
                let mut state = self.world.state();
                // The first to fail is the one whose rows may be found again.
                if state.failing.take() == Some(FailedRows::Written) {
                    state.written(writes);
                }
            }
            self.pulse.step(&self.world).await;
            ended
        })
    }

    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>> {
        Box::pin(async move {
            self.pulse.step(&self.world).await;
            self.plan_write()?;
            let ended = self.world.store.lease(yymmdd, node, count).await;
            if let Err(CommitError::Failed(_)) = &ended {
                self.world.state().failing = None;
            }
            ended
        })
    }

    fn left_in_flight(&self) -> Arc<[(OrderId, u8)]> {
        self.world.store.left_in_flight()
    }

    fn show<'a>(&'a self, look: RowQuery<'a>) -> StoreRead<'a, ()> {
        self.slowly(self.world.store.show(look))
    }

    fn show_page(&self, look: RowQuery<'static>) -> StoreRead<'_, ()> {
        self.slowly(self.world.store.show_page(look))
    }
}
