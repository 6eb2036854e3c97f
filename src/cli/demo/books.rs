//! All that the daemon has in its books, read out of its store once nothing is owed any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::ApiState;
use crate::channel::Channels as _;
use crate::domain::books::Transaction;
use crate::domain::books::accounting::AccountingRequest;
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::ids::{AgreementId, ChannelId, ChannelOrderNo, OrderId};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::order::{Order, OrderKind};
use crate::domain::reversal::ReversalEntry;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{Contradiction, CoreNotice};
use crate::store::{PAGE_MAX, Store, StoreError};

/// The books, whole: the demo is small enough for that.
pub struct Books {
    pub orders: BTreeMap<OrderId, Order>,
    pub entries: Vec<ReversalEntry>,
    pub transactions: BTreeMap<OrderId, Transaction>,
    pub contradictions: BTreeMap<OrderId, Vec<Contradiction>>,
    pub clearing: Vec<ClearingRecord>,
    pub accounting: Vec<AccountingRequest>,
    pub notices: BTreeMap<OrderId, CoreNotice>,
}

impl Books {
    /// Reads everything, page by page.
    pub async fn read(state: &ApiState) -> Result<Self, StoreError> {
        let store = state.engine.store().as_ref();
        let mut books = Self {
            orders: orders(store).await?,
            entries: entries(store).await?,
            transactions: BTreeMap::new(),
            contradictions: BTreeMap::new(),
            clearing: Vec::new(),
            accounting: accounting(store).await?,
            notices: BTreeMap::new(),
        };
        for id in books.orders.keys().copied() {
            books.transactions.extend(store.transaction(id).await?.map(|row| (id, row)));
            books.notices.extend(store.notice(id).await?.map(|row| (id, row)));
            let against = store.contradictions(id).await?;
            if !against.is_empty() {
                books.contradictions.insert(id, against);
            }
        }
        for channel in state.registry.ids() {
            for date in books.dates(state, &channel) {
                books.clearing.extend(clearing(store, &channel, date).await?);
            }
        }
        Ok(books)
    }

    /// Payments, without the orders that we owe ourselves and without releases.
    pub fn payments(&self) -> impl Iterator<Item = &Order> {
        self.all_payments().filter(|order| agreement_of(order).is_none())
    }

    /// Payments by agreement: how many there are depends on which cards could be bound.
    pub fn payments_by_agreement(&self) -> impl Iterator<Item = &Order> {
        self.all_payments().filter(|order| agreement_of(order).is_some())
    }

    fn all_payments(&self) -> impl Iterator<Item = &Order> {
        self.orders.values().filter(|order| order.instruction.kind == OrderKind::Payment)
    }

    /// Everything that the core asked for and a channel had to do.
    pub fn core_orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values().filter(|order| match order.instruction.kind {
            OrderKind::Payment
            | OrderKind::Preauth
            | OrderKind::Capture { .. }
            | OrderKind::Refund { .. }
            | OrderKind::Void { .. }
            | OrderKind::Payout => true,
            OrderKind::Undo { .. } | OrderKind::Release { .. } => false,
        })
    }

    /// The amount that an order moves when it succeeds, in minor units, signed as it touches what
    /// the channel owes us. Holds, and what lets them go, move nothing.
    pub fn moves_minor(&self, order: &Order) -> i64 {
        let of_a_hold = |of: OrderId| {
            self.orders
                .get(&of)
                .is_some_and(|original| original.instruction.kind == OrderKind::Preauth)
        };
        let sign = match order.instruction.kind {
            OrderKind::Payment | OrderKind::Capture { .. } => 1,
            OrderKind::Refund { .. } | OrderKind::Payout => -1,
            OrderKind::Void { of } => -i64::from(!of_a_hold(of)),
            OrderKind::Undo { of } => -i64::from(!of_a_hold(of.order)),
            OrderKind::Preauth | OrderKind::Release { .. } => 0,
        };
        sign * order.instruction.amount.get()
    }

    /// The attempt that a number is about in the end: an undo is about what it takes back.
    pub fn root(&self, number: ChannelOrderNo) -> ChannelOrderNo {
        let mut root = number;
        // Each step goes to an older order, so it ends.
        while let Some(OrderKind::Undo { of }) =
            self.orders.get(&root.order).map(|one| one.instruction.kind)
        {
            root = of;
        }
        root
    }

    /// Every clearing date that a record of this run can have.
    fn dates(&self, state: &ApiState, channel: &ChannelId) -> BTreeSet<BusinessDate> {
        let Some(terms) = state.registry.terms(channel) else { return BTreeSet::new() };
        let ours = self.orders.values().map(|order| terms.calendar.date_of(order.created_at));
        let ended = self.orders.values().filter_map(|order| order.finished_at);
        let ended = ended.map(|at| terms.calendar.date_of(at));
        let theirs = self.orders.values().filter_map(|order| order.clearing_date);
        ours.chain(ended).chain(theirs).collect()
    }
}

async fn orders(store: &dyn Store) -> Result<BTreeMap<OrderId, Order>, StoreError> {
    let mut orders = BTreeMap::new();
    loop {
        let after = orders.last_key_value().map(|(id, _)| *id);
        let page = store.orders(after, PAGE_MAX).await?;
        let is_last = page.len() < PAGE_MAX;
        orders.extend(page.into_iter().map(|order: Order| (order.id, order)));
        if is_last {
            return Ok(orders);
        }
    }
}

/// The temp reversal table.
pub async fn entries(store: &dyn Store) -> Result<Vec<ReversalEntry>, StoreError> {
    let mut entries: Vec<ReversalEntry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| entry.order);
        let page = store.reversals(after, PAGE_MAX).await?;
        let is_last = page.len() < PAGE_MAX;
        entries.extend(page);
        if is_last {
            return Ok(entries);
        }
    }
}

async fn accounting(store: &dyn Store) -> Result<Vec<AccountingRequest>, StoreError> {
    let mut requests: Vec<AccountingRequest> = Vec::new();
    loop {
        let after = requests.last().map(|request| request.id);
        let page = store.accounting_requests(None, after, PAGE_MAX).await?;
        let is_last = page.len() < PAGE_MAX;
        requests.extend(page);
        if is_last {
            return Ok(requests);
        }
    }
}

async fn clearing(
    store: &dyn Store,
    channel: &ChannelId,
    date: BusinessDate,
) -> Result<Vec<ClearingRecord>, StoreError> {
    let mut records: Vec<ClearingRecord> = Vec::new();
    loop {
        let after = records.last().map(|last| (last.order, last.channel_order_no.attempt));
        let page = store.clearing(channel.clone(), date, after, PAGE_MAX).await?;
        let is_last = page.len() < PAGE_MAX;
        records.extend(page);
        if is_last {
            return Ok(records);
        }
    }
}

/// The agreement that an order names.
fn agreement_of(order: &Order) -> Option<AgreementId> {
    order.instruction.instrument.as_ref().and_then(InstrumentFacts::agreement)
}
