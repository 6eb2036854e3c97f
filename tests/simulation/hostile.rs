//! The store as a process sees it: slow, full at times, and dead at any step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use switchyard::domain::batch::{AuditEntry, Batch, Contradiction, CoreNotice};
use switchyard::domain::books::Transaction;
use switchyard::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use switchyard::domain::books::clearing::ClearingRecord;
use switchyard::domain::flow::order::Order;
use switchyard::domain::flow::reversal::ReversalEntry;
use switchyard::domain::ids::{CallerId, CallerOrderId, ChannelId, OrderId};
use switchyard::domain::time::{BusinessDate, Due};
use switchyard::store::memory::{FailedRows, MemoryStore};
use switchyard::store::{CommitError, Store, StoreError, StoreFuture};
use tokio::sync::Notify;

use crate::passing::books_types::*;
use crate::passing::pass_books_on;
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
    fn behind(&self) -> &MemoryStore {
        &self.world.store
    }

    fn slowly<'a, T: Send + 'a>(&'a self, read: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            self.pulse.step(&self.world).await;
            let found = read.await;
            self.pulse.step(&self.world).await;
            found
        })
    }

    /// Before a write: now and then the queue is full, or the disk is about to fail.
    fn plan_write(&self) -> Result<(), CommitError> {
        let mut state = self.world.state();
        if state.mischief(2) {
            return Err(CommitError::Busy);
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
    pass_books_on!(behind, slowly);

    fn commit(&self, batch: Batch) -> StoreFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            self.pulse.step(&self.world).await;
            self.plan_write()?;
            let ended = self.world.store.commit(batch.clone()).await;
            if let Err(CommitError::Failed(_)) = &ended {
                let mut state = self.world.state();
                // The first to fail is the one whose rows may be found again.
                if state.failing.take() == Some(FailedRows::Written) {
                    state.written(&batch);
                }
            }
            self.pulse.step(&self.world).await;
            ended
        })
    }

    fn order(&self, id: OrderId) -> StoreFuture<'_, Result<Option<Order>, StoreError>> {
        self.slowly(self.world.store.order(id))
    }

    fn order_by_caller(
        &self,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> StoreFuture<'_, Result<Option<Order>, StoreError>> {
        self.slowly(self.world.store.order_by_caller(caller, caller_order_id))
    }

    fn orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.slowly(self.world.store.orders(after, limit))
    }

    fn open_orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.slowly(self.world.store.open_orders(after, limit))
    }

    fn follow_ups(
        &self,
        of: OrderId,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.slowly(self.world.store.follow_ups(of, after, limit))
    }

    fn transaction(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<Transaction>, StoreError>> {
        self.slowly(self.world.store.transaction(order))
    }

    fn reversal(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<ReversalEntry>, StoreError>> {
        self.slowly(self.world.store.reversal(order))
    }

    fn reversals(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>> {
        self.slowly(self.world.store.reversals(after, limit))
    }

    fn due_reversals(
        &self,
        channel: ChannelId,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>> {
        self.slowly(self.world.store.due_reversals(channel, due, limit))
    }

    fn contradictions(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Vec<Contradiction>, StoreError>> {
        self.slowly(self.world.store.contradictions(order))
    }

    fn clearing(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<(OrderId, u8)>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ClearingRecord>, StoreError>> {
        self.slowly(self.world.store.clearing(channel, date, after, limit))
    }

    fn accounting_request(
        &self,
        id: RequestId,
    ) -> StoreFuture<'_, Result<Option<AccountingRequest>, StoreError>> {
        self.slowly(self.world.store.accounting_request(id))
    }

    fn accounting_requests(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<RequestId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>> {
        self.slowly(self.world.store.accounting_requests(status, after, limit))
    }

    fn due_accounting(
        &self,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>> {
        self.slowly(self.world.store.due_accounting(due, limit))
    }

    fn notice(&self, order: OrderId) -> StoreFuture<'_, Result<Option<CoreNotice>, StoreError>> {
        self.slowly(self.world.store.notice(order))
    }

    fn notices(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<CoreNotice>, StoreError>> {
        self.slowly(self.world.store.notices(status, after, limit))
    }

    fn due_notices(
        &self,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<CoreNotice>, StoreError>> {
        self.slowly(self.world.store.due_notices(due, limit))
    }

    fn audit(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<(u64, AuditEntry)>, StoreError>> {
        self.slowly(self.world.store.audit(after, limit))
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
}
