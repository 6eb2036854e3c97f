//! What a story is told from: every row of the books that is about the order.

use std::collections::BTreeSet;

use crate::domain::books::Transaction;
use crate::domain::books::accounting::{AccountingRequest, SourceDocument};
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::difference::Difference;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::settlement::ChannelSettlement;
use crate::domain::event::OrderEvent;
use crate::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use crate::domain::order::{Order, OrderKind};
use crate::domain::reversal::ReversalEntry;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{Contradiction, CoreNotice};
use crate::store::{PAGE_MAX, Store, StoreError};

/// The most events of a story that are told. An order has a handful; one that a channel tells the
/// same of every minute has more.
const EVENTS_MAX: usize = 5 * PAGE_MAX;

/// All that the books have of one order.
pub(super) struct StoryRows {
    pub order: Order,
    pub events: Vec<OrderEvent>,
    /// Whether there are later events than those.
    pub events_left_out: bool,
    pub entry: Option<ReversalEntry>,
    pub transaction: Option<Transaction>,
    /// Its own, those of its undos, and those of its differences.
    pub requests: Vec<AccountingRequest>,
    pub notice: Option<CoreNotice>,
    pub contradictions: Vec<Contradiction>,
    /// The orders that refer to it: refunds, voids, captures, releases, undos.
    pub follow_ups: Vec<Order>,
    /// Of its success, and of each success that a channel claims against its end.
    pub cleared: Vec<ClearedRows>,
}

/// A clearing record, and what became of it.
pub(super) struct ClearedRows {
    pub record: ClearingRecord,
    pub difference: Option<Difference>,
    pub batch: Option<Reconciliation>,
    pub settlement: Option<ChannelSettlement>,
}

impl StoryRows {
    /// `None` if there is no such order.
    pub(super) async fn of(store: &dyn Store, id: OrderId) -> Result<Option<Self>, StoreError> {
        let Some(order) = store.order(id).await? else { return Ok(None) };
        let transaction = store.transaction(id).await?;
        let contradictions = store.contradictions(id).await?;
        let keys = clearing_keys(&order, transaction.as_ref(), &contradictions);
        let mut cleared = Vec::with_capacity(keys.len());
        for record in store.clearing_records(keys).await? {
            cleared.push(ClearedRows::of(store, record).await?);
        }
        cleared.sort_by_key(|one| (one.record.at, one.record.channel_order_no));
        let (events, events_left_out) = events(store, id).await?;
        let mut follow_ups = store.follow_ups(id, None, PAGE_MAX).await?;
        let undos: Vec<OrderId> = contradictions.iter().filter_map(|claim| claim.undo).collect();
        let mut chains = vec![id];
        chains.extend(order.instruction.kind.original());
        chains.extend(&undos);
        chains.extend(cleared.iter().filter_map(|one| Some(one.difference.as_ref()?.id.chain())));
        let mut requests = store.requests_of_chains(&chains).await?;
        let mut others: BTreeSet<OrderId> = undos.iter().copied().collect();
        // A release is known by its booking in its payment's chain.
        let of_chain = requests.iter().filter(|request| request.id.chain == id);
        others.extend(of_chain.filter_map(AccountingRequest::order).filter(|other| *other != id));
        for other in others {
            if follow_ups.iter().all(|known| known.id != other) {
                follow_ups.extend(store.order(other).await?);
            }
        }
        follow_ups.sort_by_key(|other| (other.created_at, other.id));
        requests.retain(|request| match &request.source {
            SourceDocument::Order { order, .. } => *order == id || undos.contains(order),
            SourceDocument::Difference { .. } => true,
            SourceDocument::Settlement { .. } => false,
        });
        Ok(Some(Self {
            events,
            events_left_out,
            entry: store.reversal(id).await?,
            transaction,
            requests,
            notice: store.notice(id).await?,
            contradictions,
            follow_ups,
            cleared,
            order,
        }))
    }
}

/// The order whose story an order's story begins in: the one that it follows up or undoes.
pub(super) fn original_of(order: &Order) -> Option<OrderId> {
    match order.instruction.kind {
        OrderKind::Undo { of } => Some(of.order),
        kind => kind.original(),
    }
}

/// Under which keys the records of a success and of the claims against an end stand.
fn clearing_keys(
    order: &Order,
    transaction: Option<&Transaction>,
    contradictions: &[Contradiction],
) -> Vec<(ChannelId, BusinessDate, ChannelOrderNo)> {
    let own = transaction.map(|one| (one.channel.clone(), one.clearing_date, one.channel_order_no));
    let mut keys = Vec::from_iter(own);
    for claim in contradictions {
        if let Some(date) = claim.clearing_date
            && let Some(attempt) = order.attempt(claim.attempt)
        {
            keys.push((attempt.channel.clone(), date, order.channel_order_no(claim.attempt)));
        }
    }
    keys
}

/// What happened to it, and whether there is more.
async fn events(store: &dyn Store, id: OrderId) -> Result<(Vec<OrderEvent>, bool), StoreError> {
    let mut all: Vec<OrderEvent> = Vec::new();
    while all.len() < EVENTS_MAX {
        let page = store.order_events(id, all.last().map(OrderEvent::place), PAGE_MAX).await?;
        let is_last = page.len() < PAGE_MAX;
        all.extend(page);
        if is_last {
            return Ok((all, false));
        }
    }
    let more = store.order_events(id, all.last().map(OrderEvent::place), 1).await?;
    Ok((all, !more.is_empty()))
}

impl ClearedRows {
    async fn of(store: &dyn Store, record: ClearingRecord) -> Result<Self, StoreError> {
        let (channel, date) = (record.channel.clone(), record.date);
        let number = record.channel_order_no;
        let difference = store.difference_of_record(channel.clone(), date, number).await?;
        let batch = store.current_reconciliation(channel.clone(), date).await?;
        let settlement = match store.settled_date(channel, date, record.currency).await? {
            Some(settled) => store.settlement(settled.by).await?,
            None => None,
        };
        let batch = batch.filter(|batch| batch.finished_at.is_some());
        Ok(Self { record, difference, batch, settlement })
    }
}
