//! The store as a process sees it: slow, full at times, and dead or asleep at any step.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchyard::domain::attempt::VolumeKind;
use switchyard::domain::cluster::{ChannelStandings, Incarnation, Roster, WorkTrade};
use switchyard::domain::ids::{ChannelId, OrderId};
use switchyard::domain::time::{BusinessDate, Timestamp};
use switchyard::domain::write_set::WriteSet;
use switchyard::store::memory::{FailedRows, MemoryStore};
use switchyard::store::{
    Cluster, CommitError, RowQuery, SharedLimits, Store, StoreError, StoreFuture, StoreRead,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::world::World;

/// One life of the process: from a start to a crash.
#[derive(Clone)]
pub struct Pulse {
    dead: Arc<AtomicBool>,
    /// How many more steps this life has.
    steps_left: Arc<Mutex<Option<u64>>>,
    /// Until when the process is paused, where it is one that is paused at times.
    asleep_until: Option<Arc<Mutex<Instant>>>,
    pub stopped: Arc<Notify>,
}

/// The longest pause of a process: four leases.
const ASLEEP_MAX_MS: u64 = 40_000;

impl Pulse {
    /// A life that ends after so many steps.
    pub fn new(steps: Option<u64>) -> Self {
        let steps_left = Arc::new(Mutex::new(steps));
        Self { dead: Arc::default(), steps_left, asleep_until: None, stopped: Arc::default() }
    }

    /// The same of a process that is stopped at times, and goes on later as if nothing had been.
    pub fn with_pauses(steps: Option<u64>) -> Self {
        let asleep_until = Some(Arc::new(Mutex::new(Instant::now())));
        Self { asleep_until, ..Self::new(steps) }
    }

    /// A point where the process may be delayed, or die: then nothing after it happens.
    pub async fn step(&self, world: &World) {
        if let Some(left) = &mut *self.steps_left.lock().expect("no one panics here") {
            if *left == 0 && !self.dead.swap(true, Ordering::SeqCst) {
                self.stopped.notify_one();
            }
            *left = left.saturating_sub(1);
        }
        let delay = {
            let mut state = world.state();
            if self.dead.load(Ordering::SeqCst) { None } else { Some(state.random.u8(0..16)) }
        };
        match delay {
            None => std::future::pending().await,
            Some(0) => tokio::time::sleep(Duration::from_millis(15)).await,
            Some(1..=5) => tokio::task::yield_now().await,
            Some(_) => {}
        }
        self.sleep(world).await;
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    async fn sleep(&self, world: &World) {
        let Some(asleep_until) = &self.asleep_until else { return };
        let until = {
            let mut state = world.state();
            let mut until = asleep_until.lock().expect("no one panics here");
            if !state.calm && *until <= Instant::now() && state.random.u16(0..3_000) == 0 {
                *until = Instant::now() + state.millis(100..ASLEEP_MAX_MS);
                state.nodes.tally.pauses += 1;
            }
            *until
        };
        tokio::time::sleep_until(until).await;
    }
}

pub struct HostileStore {
    pub world: World,
    pub pulse: Pulse,
    /// The store, as this node has it where there are several.
    pub store: MemoryStore,
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
                self.store.faults().unavailable(1);
            } else {
                self.store.faults().busy(1);
            }
        }
        if self.store.cluster().is_some() {
            return Ok(());
        }
        if state.failing.is_none() && !state.calm && state.random.u16(0..4_000) == 0 {
            self.store.faults().fence();
        }
        if state.failing.is_none() && !state.calm && state.random.u16(0..2_000) == 0 {
            let rows = if state.random.bool() { FailedRows::Lost } else { FailedRows::Written };
            state.failing = Some(rows);
            self.store.faults().fail_next_commit(rows);
        }
        Ok(())
    }
}

impl Store for HostileStore {
    fn commit<'a>(&'a self, writes: &'a WriteSet) -> StoreFuture<'a, Result<(), CommitError>> {
        Box::pin(async move {
            self.pulse.step(&self.world).await;
            self.plan_write()?;
            let ended = self.store.commit(writes).await;
            if let (Some(cluster), Ok(())) = (self.store.cluster(), &ended) {
                self.world.state().written_by(cluster.incarnation(), writes);
            }
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
            let ended = self.store.lease(yymmdd, node, count).await;
            if let Err(CommitError::Failed(_)) = &ended {
                self.world.state().failing = None;
            }
            ended
        })
    }

    fn left_in_flight(&self) -> Arc<[(OrderId, u8)]> {
        self.store.left_in_flight()
    }

    fn cluster(&self) -> Option<&dyn Cluster> {
        self.store.cluster().map(|_| self as &dyn Cluster)
    }

    fn show<'a>(&'a self, look: RowQuery<'a>) -> StoreRead<'a, ()> {
        self.slowly(self.store.show(look))
    }

    fn show_page(&self, look: RowQuery<'static>) -> StoreRead<'_, ()> {
        self.slowly(self.store.show_page(look))
    }
}

impl HostileStore {
    fn members(&self) -> &dyn Cluster {
        self.store.cluster().expect("only nodes ask")
    }

    /// A step in which the store may be out of reach.
    async fn ask_limits(&self) -> Result<(), StoreError> {
        self.pulse.step(&self.world).await;
        let detail = "a fault was asked for".to_owned();
        self.reach().map_err(|_| StoreError::Unavailable { detail })
    }

    /// Now and then the store is out of reach.
    fn reach(&self) -> Result<(), CommitError> {
        if !self.world.state().mischief(5) {
            return Ok(());
        }
        let (context, detail) = ("the store is out of reach", "a fault was asked for".to_owned());
        Err(CommitError::Unavailable(StoreError::Backend { context, detail }))
    }
}

impl SharedLimits for HostileStore {
    fn change_volume<'a>(
        &'a self,
        channel: &'a ChannelId,
        kind: VolumeKind,
        date: BusinessDate,
        minor: i64,
        limit: Option<i64>,
    ) -> StoreRead<'a, Option<i64>> {
        Box::pin(async move {
            self.ask_limits().await?;
            let sum = self.store.change_volume(channel, kind, date, minor, limit).await;
            // The answer may be lost.
            self.ask_limits().await?;
            sum
        })
    }

    fn set_breaker<'a>(
        &'a self,
        channel: &'a ChannelId,
        open_until: Option<Timestamp>,
    ) -> StoreRead<'a, ()> {
        self.store.set_breaker(channel, open_until)
    }

    fn claim_probe<'a>(
        &'a self,
        channel: &'a ChannelId,
        now: Timestamp,
        next: Timestamp,
    ) -> StoreRead<'a, bool> {
        self.store.claim_probe(channel, now, next)
    }

    fn throw_switch<'a>(&'a self, channel: &'a ChannelId, on: bool) -> StoreRead<'a, ()> {
        self.store.throw_switch(channel, on)
    }

    fn standings(&self) -> StoreRead<'_, ChannelStandings> {
        Box::pin(async move {
            self.ask_limits().await?;
            self.store.standings().await
        })
    }
}

impl Cluster for HostileStore {
    fn incarnation(&self) -> Incarnation {
        self.members().incarnation()
    }

    fn now(&self) -> StoreRead<'_, Timestamp> {
        self.members().now()
    }

    fn renew<'a>(
        &'a self,
        epoch: u64,
        trade: &'a WorkTrade,
    ) -> StoreFuture<'a, Result<Roster, CommitError>> {
        Box::pin(async move {
            self.pulse.step(&self.world).await;
            self.reach()?;
            let roster = self.members().renew(epoch, trade).await;
            self.pulse.step(&self.world).await;
            roster
        })
    }

    fn fence(&self, dead: Incarnation) -> StoreFuture<'_, Result<bool, CommitError>> {
        Box::pin(async move {
            self.pulse.step(&self.world).await;
            self.reach()?;
            let is_fenced = self.members().fence(dead).await?;
            if is_fenced {
                self.world.state().fenced(dead);
            }
            self.pulse.step(&self.world).await;
            Ok(is_fenced)
        })
    }

    fn in_flight(&self) -> StoreRead<'_, Vec<(OrderId, u8)>> {
        Box::pin(async move {
            self.pulse.step(&self.world).await;
            self.members().in_flight().await
        })
    }

    fn leave(&self) -> StoreFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            self.pulse.step(&self.world).await;
            self.members().leave().await
        })
    }
}
