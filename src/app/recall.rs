//! What channels knew of themselves before this process began, from the books: how well they did,
//! and what they have taken of their limits for the day.

use std::collections::BTreeSet;

use crate::api::ApiState;
use crate::domain::ids::{ChannelId, OrderId};
use crate::engine::{EngineError, before_day_of, recent};
use crate::store::{PAGE_MAX, Store, StoreError};

/// How many of the newest order numbers are gone through for the channels' health, beside the
/// segment of numbers that the last process may have left unused: some tenths of a second. A limit
/// for the day needs all orders of the day, as the money counts to the last one.
const RECENT_ORDERS: u32 = 10_000;
/// An order is sent this long after it got its number at most: it may be of the UTC day before.
const NUMBERED_BEFORE_MS: i64 = 60 * 60 * 1_000;

/// The channels that have orders without an end.
pub(super) async fn channels_in_use(store: &dyn Store) -> Result<BTreeSet<ChannelId>, StoreError> {
    let mut in_use = BTreeSet::new();
    let mut after = None;
    // Bounded by the number of open orders: each page goes on after the last id.
    loop {
        let page = store.open_orders(after, PAGE_MAX).await?;
        let Some(last) = page.last() else { return Ok(in_use) };
        after = Some(last.id);
        for order in &page {
            let attempted = order.attempts.last().map(|attempt| &attempt.channel);
            // A follow-up that waits to be booked has its channel, and no attempt yet.
            let planned = order.candidates.first().map(|candidate| &candidate.channel);
            in_use.extend(attempted.or(planned).cloned());
        }
    }
}

/// Tells every channel what its attempts of late say of it. Nobody is served yet.
pub(super) async fn recall(state: &ApiState) -> Result<(), EngineError> {
    let mut after = Some(first_of_interest(state).await?);
    let mut orders = 0_u64;
    // Bounded by the orders since then: each page goes on after the last id.
    loop {
        let page = state.engine.store().orders(after, PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        orders += page.len() as u64;
        for order in &page {
            for attempt in &order.attempts {
                state.registry.recall(attempt, order.amount);
            }
        }
    }
    tracing::info!(orders, "health and volumes of the channels are as the books have them");
    Ok(())
}

/// The id that everything of interest comes after.
async fn first_of_interest(state: &ApiState) -> Result<OrderId, EngineError> {
    let newest = state.engine.next_order_id().await?;
    let recent = recent(newest, RECENT_ORDERS);
    let Some(limited) = state.registry.limited_since() else { return Ok(recent) };
    let numbered =
        crate::domain::time::Timestamp::from_millis(limited.as_millis() - NUMBERED_BEFORE_MS);
    Ok(recent.min(before_day_of(numbered)))
}
