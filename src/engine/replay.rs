//! What-if on the books: the orders of a time, read in pages and planned again beside payments.
//!
//! It only reads. Pages are small and a turn is given back after each, and one replay runs at a
//! time, however many ask: so replays of months delay no payment by more than one page's planning.

use std::ops::Range;
use std::time::Duration;

use crate::domain::ids::OrderId;
use crate::domain::order::Order;
use crate::domain::order_filter::OrderFilter;
use crate::domain::route::replay::moves::PlanMoves;
use crate::domain::route::replay::{Replay, ReplayReport, RouteSet};
use crate::domain::time::Timestamp;
use crate::engine::numbers::day_of;
use crate::engine::{Engine, EngineError};
use crate::entropy::Entropy;
use crate::store::{PAGE_MAX, Store, StoreError};

/// Orders of one page: planning them twice takes a millisecond or two.
const PAGE: usize = 200;
const DAY: Duration = Duration::from_secs(86_400);
/// The newest order that a change is judged by is not older than this.
const JUDGED_WITHIN: Duration = Duration::from_secs(7 * 86_400);
/// The most orders that a change is judged by: the newest of their day.
pub const JUDGED_MAX: usize = 10_000;
/// Weighted rules draw from this seed, so that the same question has the same answer.
const SEED: u64 = 1;

/// The orders that are looked at.
#[derive(Debug, Clone)]
pub struct ReplayPeriod {
    /// Their creation: from the first moment on, and before the second.
    pub created: Range<Timestamp>,
    /// The most orders that are planned.
    pub orders_max: u64,
}

/// What was found.
#[derive(Debug)]
pub struct ReplayRun {
    pub report: ReplayReport,
    /// The creation of the last order that was planned, if `orders_max` left a later one out.
    pub stopped_at: Option<Timestamp>,
}

/// The orders of late that a change of the routes is judged by, oldest first: of the 24 hours up to
/// the newest one, if that is not older than [`JUDGED_WITHIN`], and [`JUDGED_MAX`] of them at most.
pub async fn orders_of_late(store: &dyn Store, now: Timestamp) -> Result<Vec<Order>, StoreError> {
    let mut filter = OrderFilter { from: Some(now.minus(JUDGED_WITHIN)), ..OrderFilter::default() };
    let (mut orders, mut before): (Vec<Order>, _) = (Vec::new(), None);
    let mut since = None;
    while orders.len() < JUDGED_MAX {
        let page = store.search_orders(filter.clone(), before, PAGE_MAX).await?;
        for order in page.orders.into_iter().filter(Replay::is_planned) {
            let begin = *since.get_or_insert_with(|| order.created_at.minus(DAY));
            if order.created_at > begin && orders.len() < JUDGED_MAX {
                orders.push(order);
            }
        }
        filter.from = since.or(filter.from);
        let Some(next) = page.next else { break };
        before = Some(next);
        tokio::task::yield_now().await;
    }
    orders.sort_by_key(|order| order.created_at);
    Ok(orders)
}

/// What a change would make of the orders of late.
pub async fn judge(
    store: &dyn Store,
    now: Timestamp,
    in_force: &RouteSet,
    candidate: &RouteSet,
) -> Result<PlanMoves, StoreError> {
    let orders = orders_of_late(store, now).await?;
    let (mut replay, draws) = (Replay::new(in_force, candidate), Entropy::seeded(SEED));
    for page in orders.chunks(PAGE) {
        page.iter().for_each(|order| replay.take(order, draws.draw()));
        tokio::task::yield_now().await;
    }
    Ok(PlanMoves::of(&replay.finish()))
}

impl Engine {
    /// What a change would make of the orders of late, when its turn has come; see [`judge`].
    pub async fn judge(
        &self,
        in_force: &RouteSet,
        candidate: &RouteSet,
    ) -> Result<PlanMoves, EngineError> {
        let _one_at_a_time = self.replaying.lock().await;
        Ok(judge(&**self.store(), self.clock().now(), in_force, candidate).await?)
    }

    /// Plans the orders of a period again, under what is in force and under a candidate, when its
    /// turn has come. A damaged row ends it with an error.
    pub async fn replay(
        &self,
        period: &ReplayPeriod,
        in_force: &RouteSet,
        candidate: &RouteSet,
    ) -> Result<ReplayRun, EngineError> {
        let _one_at_a_time = self.replaying.lock().await;
        let mut replay = Replay::new(in_force, candidate);
        let draws = Entropy::seeded(SEED);
        // An id has the date of its making, which is a day off its creation where a clock was.
        let first = OrderId::compose(day_of(period.created.start.minus(DAY)), 0, 0);
        let end = OrderId::compose(day_of(period.created.end.plus(DAY * 2)), 0, 0);
        let mut after = Some(OrderId::from_u64(first.as_u64().saturating_sub(1)));
        let (mut planned, mut last, mut stopped_at) = (0, None, None);
        'pages: loop {
            let page = self.store().orders(after, PAGE).await?;
            let Some(newest) = page.last().map(|order| order.id) else { break };
            for order in page.iter().filter(|order| Replay::is_planned(order)) {
                if order.id >= end {
                    break 'pages;
                }
                if !period.created.contains(&order.created_at) {
                    continue;
                }
                if planned == period.orders_max {
                    stopped_at = last;
                    break 'pages;
                }
                replay.take(order, draws.draw());
                planned += 1;
                last = Some(order.created_at);
            }
            after = Some(newest);
            tokio::task::yield_now().await;
        }
        Ok(ReplayRun { report: replay.finish(), stopped_at })
    }
}
