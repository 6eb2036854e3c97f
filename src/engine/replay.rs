//! What-if on the books: the orders of a time, read in pages and planned again beside payments.
//!
//! It only reads. Pages are small and a turn is given back after each, and one replay runs at a
//! time, however many ask: so replays of months delay no payment by more than one page's planning.

use std::ops::Range;
use std::time::Duration;

use crate::domain::ids::OrderId;
use crate::domain::route::replay::{Replay, ReplayReport, RouteSet};
use crate::domain::time::Timestamp;
use crate::engine::numbers::day_of;
use crate::engine::{Engine, EngineError};
use crate::entropy::Entropy;

/// Orders of one page: planning them twice takes a millisecond or two.
const PAGE: usize = 200;
const DAY: Duration = Duration::from_secs(86_400);
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

impl Engine {
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
