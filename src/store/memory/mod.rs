//! The store of simulations and tests: deterministic, in memory, with faults on request.
//!
//! It upholds the same guards as the others, through the same plan and the same stored forms, so
//! that a simulation also encodes and decodes every row. It has no threads; its futures do their
//! work at their first poll, and are then ready. It must not know its users.

mod limits;
mod nodes;
mod state;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::cluster::{ChannelStandings, Incarnation};
use crate::domain::ids::OrderId;
use crate::domain::write_set::WriteSet;
use crate::store::plan::StoredValue;
use crate::store::sorted::{Scan, SortedBytes, Visit};
use crate::store::table::in_flight;
use crate::store::table::lease::{lease_key, lease_step};
use crate::store::{
    Cluster, ClusterState, CommitError, RowQuery, Store, StoreError, StoreFuture, StoreRead, table,
};

use nodes::Nodes;
pub use nodes::StoreClock;
use state::SharedFiles;

/// Called with each write set right after it is written.
pub type CommitObserver = Box<dyn Fn(&WriteSet) + Send + Sync>;

type MemoryRows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The store in memory. Clones share their rows.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<MemoryShared>,
    /// Whose handle this is, where several nodes share the store.
    me: Option<Incarnation>,
}

#[derive(Default)]
struct MemoryShared {
    state: Mutex<MemoryState>,
    observers: Mutex<Vec<Arc<CommitObserver>>>,
}

#[derive(Default)]
struct MemoryState {
    rows: MemoryRows,
    /// The attempts that were in flight when the store was opened last.
    left: Arc<[(OrderId, u8)]>,
    nodes: Nodes,
    standings: ChannelStandings,
    files: SharedFiles,
    audit_next: u64,
    failed: bool,
    fenced: bool,
    faults: FaultPlan,
}

#[derive(Default)]
struct FaultPlan {
    /// The commits that still succeed before one fails, and whether that one's rows are found
    /// later.
    fail_after: Option<(u64, FailedRows)>,
    busy: u64,
    unavailable: u64,
}

/// The fate of a failed commit's rows. Both happen on a real disk, and the caller who got the error
/// does not know which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedRows {
    Lost,
    Written,
}

/// A handle that makes a [`MemoryStore`] misbehave.
#[derive(Clone)]
pub struct MemoryFaults {
    shared: Arc<MemoryShared>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn faults(&self) -> MemoryFaults {
        MemoryFaults { shared: Arc::clone(&self.shared) }
    }

    /// Calls `observer` with every write set after it is written. The observer may read the store.
    pub fn on_commit(&self, observer: CommitObserver) {
        lock(&self.shared.observers).push(Arc::new(observer));
    }

    fn write(&self, writes: &WriteSet) -> Result<(), CommitError> {
        let mut state = lock(&self.shared.state);
        let fault = state.admit(self.me)?;
        let MemoryState { rows, audit_next, nodes, .. } = &mut *state;
        // Places are counted from 1 in every store; what is lost has taken none.
        let mut next = (*audit_next).max(1);
        let stored = |key: &[u8]| -> StoredValue { Ok(rows.get(key).cloned()) };
        let changes = table::plan(writes).check(&mut next, &stored)?;
        if fault != Some(FailedRows::Lost) {
            *audit_next = next;
            for (key, value) in changes {
                match value {
                    Some(value) => rows.insert(key.into(), value),
                    None => rows.remove(&*key),
                };
            }
            if let Some(me) = self.me {
                nodes.written(me, writes);
            }
        }
        if fault.is_some() {
            state.failed = true;
            return Err(failed());
        }
        drop(state);
        let observers = lock(&self.shared.observers).clone();
        for observer in observers {
            observer(writes);
        }
        Ok(())
    }

    fn take_lease(&self, yymmdd: u32, node: u16, count: u32) -> Result<u64, CommitError> {
        let mut state = lock(&self.shared.state);
        let fault = state.admit(self.me)?;
        let key = lease_key(yymmdd, node);
        let stored = state.rows.get(&key).map(Vec::as_slice);
        let (first, row) = lease_step(stored, count).map_err(CommitError::Failed)?;
        if fault != Some(FailedRows::Lost) {
            state.rows.insert(key, row);
        }
        if fault.is_some() {
            state.failed = true;
            return Err(failed());
        }
        Ok(first)
    }
}

impl MemoryState {
    /// Counts a commit against the faults in force; returns whether this is the one that fails.
    fn admit(&mut self, me: Option<Incarnation>) -> Result<Option<FailedRows>, CommitError> {
        if self.fenced || me.is_some_and(|me| !self.nodes.stands(me)) {
            return Err(CommitError::Fenced);
        }
        if self.failed {
            return Err(failed());
        }
        if self.faults.unavailable > 0 {
            self.faults.unavailable -= 1;
            let detail = "a fault was asked for".to_owned();
            let context = "the memory store is out of reach";
            return Err(CommitError::Unavailable(StoreError::Backend { context, detail }));
        }
        if self.faults.busy > 0 {
            self.faults.busy -= 1;
            return Err(CommitError::Busy);
        }
        match &mut self.faults.fail_after {
            Some((0, rows)) => {
                let rows = *rows;
                self.faults.fail_after = None;
                Ok(Some(rows))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

impl MemoryFaults {
    /// After `commits` further commits, one fails, and the store refuses all later ones until
    /// [`Self::restart`].
    pub fn fail_after(&self, commits: u64, rows: FailedRows) {
        lock(&self.shared.state).faults.fail_after = Some((commits, rows));
    }

    /// The next commit fails, and the store refuses all later ones until [`Self::restart`].
    pub fn fail_next_commit(&self, rows: FailedRows) {
        self.fail_after(0, rows);
    }

    /// The next `commits` commits find the queue full.
    pub fn busy(&self, commits: u64) {
        lock(&self.shared.state).faults.busy = commits;
    }

    /// The next `commits` commits do not reach the store.
    pub fn unavailable(&self, commits: u64) {
        lock(&self.shared.state).faults.unavailable = commits;
    }

    /// The users of the store lose their lease, until [`Self::restart`].
    pub fn fence(&self) {
        lock(&self.shared.state).fenced = true;
    }

    /// Opens the store again with its rows; attempts that were in flight are then left in flight.
    pub fn restart(&self) {
        let mut state = lock(&self.shared.state);
        state.left = in_flight(&state.rows).expect("keys of ours").into();
        state.failed = false;
        state.fenced = false;
        state.faults = FaultPlan::default();
    }
}

fn failed() -> CommitError {
    let detail = "a fault was asked for".to_owned();
    CommitError::Failed(StoreError::Backend { context: "the memory store has failed", detail })
}

/// A panic of an observer leaves the rows whole, so a poisoned lock is still used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SortedBytes for MemoryRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        for (key, value) in self.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
            if visit(key, value)? == Scan::Enough {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let range = self.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        for (key, value) in range.rev() {
            if visit(key, value)? == Scan::Enough {
                break;
            }
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn commit<'a>(&'a self, writes: &'a WriteSet) -> StoreFuture<'a, Result<(), CommitError>> {
        Box::pin(async move { self.write(writes) })
    }

    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>> {
        Box::pin(async move { self.take_lease(yymmdd, node, count) })
    }

    fn left_in_flight(&self) -> Arc<[(OrderId, u8)]> {
        let state = lock(&self.shared.state);
        match self.me {
            Some(_) => state.nodes.left_in_flight().collect(),
            None => Arc::clone(&state.left),
        }
    }

    fn cluster(&self) -> Option<&dyn Cluster> {
        self.me.is_some().then_some(self as &dyn Cluster)
    }

    fn cluster_state(&self) -> Option<&dyn ClusterState> {
        self.me.is_some().then_some(self as &dyn ClusterState)
    }

    fn show<'a>(&'a self, look: RowQuery<'a>) -> StoreRead<'a, ()> {
        Box::pin(async move {
            look(&lock(&self.shared.state).rows);
            Ok(())
        })
    }

    fn show_page(&self, look: RowQuery<'static>) -> StoreRead<'_, ()> {
        self.show(look)
    }
}

#[cfg(test)]
mod tests;
