//! Restores the channels' health, success rates and volumes of the day from the books of earlier
//! processes.

use std::collections::BTreeSet;

use crate::api::ApiState;
use crate::channel::Channels as _;
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::time::Timestamp;
use crate::engine::{EngineError, before_day_of, days_before, recent};
use crate::store::{PAGE_MAX, Store, StoreError};

/// How many of the newest order numbers are read for the channels' health and success rates, beside
/// the range of numbers that the last process may have left unused: some tenths of a second. A
/// daily limit needs all orders of the day.
const RECENT_ORDERS: u32 = 10_000;
/// The longest time between an order's number and its sending: it may be of the UTC day before.
const NUMBERED_BEFORE_MS: i64 = 60 * 60 * 1_000;
/// Orders of a clearing day that is under way lie within this many days of numbers behind the
/// newest order's day.
const DAYS_READ_MAX: u32 = 2;

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

/// Gives every channel the results of its last attempts, before any call is served.
pub(super) async fn recall(state: &ApiState) -> Result<(), EngineError> {
    let Some(first) = first_of_interest(state).await? else { return Ok(()) };
    let mut after = Some(first);
    let mut orders = 0_u64;
    // Bounded by the orders since then: each page goes on after the last id.
    loop {
        let page = state.engine.store().orders(after, PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        orders += page.len() as u64;
        for order in &page {
            for attempt in &order.attempts {
                state.registry.recall(attempt, order.instruction.amount);
                state.registry.count_sample(order, attempt);
            }
        }
    }
    tracing::info!(orders, "the channels' health, rates and volumes are restored from the books");
    Ok(())
}

/// The id after which the orders of interest begin; `None` if there is no order at all.
async fn first_of_interest(state: &ApiState) -> Result<Option<OrderId>, StoreError> {
    let Some(newest) = newest_order(&**state.engine.store()).await? else { return Ok(None) };
    let recent = recent(newest, RECENT_ORDERS);
    let Some(limited) = state.registry.limited_since() else { return Ok(Some(recent)) };
    let numbered = Timestamp::from_millis(limited.as_millis() - NUMBERED_BEFORE_MS);
    // Little may be borne out; but the newest order's number is a day ahead of its time at most.
    Ok(Some(recent.min(before_day_of(numbered).max(days_before(newest, DAYS_READ_MAX)))))
}

async fn newest_order(store: &dyn Store) -> Result<Option<OrderId>, StoreError> {
    let first_behind = async |id: Option<u64>| {
        let page = store.orders(id.map(OrderId::from_u64), 1).await?;
        Ok(page.first().map(|order| order.id.as_u64()))
    };
    Ok(greatest(first_behind).await?.map(OrderId::from_u64))
}

/// The greatest of some numbers, found by asking which number follows another. Each question halves
/// the interval that is left, so there is one for each bit.
async fn greatest(
    first_behind: impl AsyncFn(Option<u64>) -> Result<Option<u64>, StoreError>,
) -> Result<Option<u64>, StoreError> {
    let Some(mut known) = first_behind(None).await? else { return Ok(None) };
    let mut bound = u64::MAX;
    // Bounded: each round halves the interval at least.
    while known < bound {
        let middle = known + (bound - known) / 2;
        match first_behind(Some(middle)).await? {
            Some(found) => known = found,
            None => bound = middle,
        }
    }
    Ok(Some(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_greatest_number_is_found_with_a_question_for_each_bit() {
        let asked = std::cell::Cell::new(0);
        for numbers in
            [vec![], vec![0], vec![7], vec![1, 2, 2_611_220_000_000_000_017], vec![5, u64::MAX]]
        {
            asked.set(0);
            let first_behind = async |number: Option<u64>| {
                asked.set(asked.get() + 1);
                let behind = |other: &&u64| number.is_none_or(|number| **other > number);
                Ok(numbers.iter().find(behind).copied())
            };
            let found = greatest(first_behind).await.expect("it reads");
            assert_eq!(found, numbers.last().copied());
            assert!(asked.get() <= 66, "{} questions", asked.get());
        }
    }
}
