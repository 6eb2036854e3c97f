//! The store in memory, with writes that the test can hold back: a slow disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use switchyard::domain::ids::OrderId;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::memory::MemoryStore;
use switchyard::store::{CommitError, RowQuery, Store, StoreFuture, StoreRead};
use tokio::sync::Semaphore;

/// Reads pass at once; each commit and each lease needs a place.
#[derive(Clone)]
pub struct SlowStore {
    inner: MemoryStore,
    /// Those who wait go through in their order.
    gate: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl SlowStore {
    pub fn over(inner: MemoryStore) -> Self {
        let gate = Arc::new(Semaphore::new(1_000_000));
        Self { inner, gate, waiting: Arc::default() }
    }

    /// From now on commits and leases wait until they are let go.
    pub fn hold(&self) {
        self.gate.forget_permits(1_000_000);
    }

    async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let place = self.gate.acquire().await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        place.expect("the gate is never closed").forget();
    }

    /// How many commits and leases wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub fn let_go(&self) {
        self.gate.add_permits(1_000);
    }
}

impl Store for SlowStore {
    fn commit<'a>(&'a self, writes: &'a WriteSet) -> StoreFuture<'a, Result<(), CommitError>> {
        Box::pin(async move {
            self.pass().await;
            self.inner.commit(writes).await
        })
    }

    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>> {
        Box::pin(async move {
            self.pass().await;
            self.inner.lease(yymmdd, node, count).await
        })
    }

    fn left_in_flight(&self) -> Arc<[(OrderId, u8)]> {
        self.inner.left_in_flight()
    }

    fn show<'a>(&'a self, look: RowQuery<'a>) -> StoreRead<'a, ()> {
        self.inner.show(look)
    }

    fn show_page(&self, look: RowQuery<'static>) -> StoreRead<'_, ()> {
        self.inner.show_page(look)
    }
}
