//! The store in memory, with commits that the test can hold back: a slow disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use switchyard::domain::batch::{AuditEntry, Batch, Contradiction, CoreNotice};
use switchyard::domain::books::Transaction;
use switchyard::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use switchyard::domain::books::clearing::ClearingRecord;
use switchyard::domain::flow::order::Order;
use switchyard::domain::flow::reversal::ReversalEntry;
use switchyard::domain::ids::{CallerId, CallerOrderId, ChannelId, OrderId};
use switchyard::domain::time::{BusinessDate, Due};
use switchyard::store::memory::MemoryStore;
use switchyard::store::{CommitError, Store, StoreError, StoreFuture};
use tokio::sync::Semaphore;

use crate::passing::books_types::*;
use crate::passing::pass_books_on;

/// Reads pass at once; each commit needs a place.
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

    /// From now on commits wait until they are let go.
    pub fn hold(&self) {
        self.gate.forget_permits(1_000_000);
    }

    /// How many commits wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub fn let_go(&self) {
        self.gate.add_permits(1_000);
    }
}

impl SlowStore {
    fn behind(&self) -> &MemoryStore {
        &self.inner
    }

    fn at_once<'a, T>(&'a self, read: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        read
    }
}

impl Store for SlowStore {
    pass_books_on!(behind, at_once);

    fn commit(&self, batch: Batch) -> StoreFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let place = self.gate.acquire().await;
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            place.expect("the gate is never closed").forget();
            self.inner.commit(batch).await
        })
    }

    fn order(&self, id: OrderId) -> StoreFuture<'_, Result<Option<Order>, StoreError>> {
        self.inner.order(id)
    }

    fn order_by_caller(
        &self,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> StoreFuture<'_, Result<Option<Order>, StoreError>> {
        self.inner.order_by_caller(caller, caller_order_id)
    }

    fn orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.inner.orders(after, limit)
    }

    fn open_orders(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.inner.open_orders(after, limit)
    }

    fn follow_ups(
        &self,
        of: OrderId,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<Order>, StoreError>> {
        self.inner.follow_ups(of, after, limit)
    }

    fn transaction(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<Transaction>, StoreError>> {
        self.inner.transaction(order)
    }

    fn reversal(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Option<ReversalEntry>, StoreError>> {
        self.inner.reversal(order)
    }

    fn reversals(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>> {
        self.inner.reversals(after, limit)
    }

    fn due_reversals(
        &self,
        channel: ChannelId,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ReversalEntry>, StoreError>> {
        self.inner.due_reversals(channel, due, limit)
    }

    fn contradictions(
        &self,
        order: OrderId,
    ) -> StoreFuture<'_, Result<Vec<Contradiction>, StoreError>> {
        self.inner.contradictions(order)
    }

    fn clearing(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<(OrderId, u8)>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<ClearingRecord>, StoreError>> {
        self.inner.clearing(channel, date, after, limit)
    }

    fn accounting_request(
        &self,
        id: RequestId,
    ) -> StoreFuture<'_, Result<Option<AccountingRequest>, StoreError>> {
        self.inner.accounting_request(id)
    }

    fn accounting_requests(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<RequestId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>> {
        self.inner.accounting_requests(status, after, limit)
    }

    fn due_accounting(
        &self,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<AccountingRequest>, StoreError>> {
        self.inner.due_accounting(due, limit)
    }

    fn notice(&self, order: OrderId) -> StoreFuture<'_, Result<Option<CoreNotice>, StoreError>> {
        self.inner.notice(order)
    }

    fn notices(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<CoreNotice>, StoreError>> {
        self.inner.notices(status, after, limit)
    }

    fn due_notices(
        &self,
        due: Due,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<CoreNotice>, StoreError>> {
        self.inner.due_notices(due, limit)
    }

    fn audit(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<(u64, AuditEntry)>, StoreError>> {
        self.inner.audit(after, limit)
    }

    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>> {
        self.inner.lease(yymmdd, node, count)
    }
}
