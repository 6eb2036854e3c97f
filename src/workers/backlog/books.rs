//! What the books of each channel still need: days to be closed, statements to be run, differences
//! to be decided.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::channel::registry::ChannelStatus;
use crate::domain::books::difference::DifferenceState;
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::domain::report::Suspense;
use crate::domain::time::BusinessDate;
use crate::engine::Engine;
use crate::store::{Store, StoreError};
use crate::telemetry::backlog as gauges;
use crate::workers::PAGE;

/// The closed days of a channel that are looked at.
const DAYS_LOOKED_AT: u32 = 14;
/// A channel's differences are counted up to so many pages, so that a look stays bounded.
const PAGES_MAX: usize = 64;

/// What is known of the books from one look to the next.
#[derive(Default)]
pub(super) struct BookGauges {
    /// Closed days that need no batch any more: they have one, or no record.
    done: BTreeSet<(ChannelId, BusinessDate)>,
    /// A channel's currencies, and those that its suspense has had: a series does not go.
    held: BTreeSet<(ChannelId, Currency)>,
}

impl BookGauges {
    pub(super) async fn look(
        &mut self,
        engine: &Engine,
        status: &ChannelStatus,
    ) -> Result<(), StoreError> {
        let (store, channel) = (engine.store().as_ref(), &status.id);
        let of_file = status.currencies.iter().filter_map(|name| Currency::parse(name));
        self.held.extend(of_file.map(|currency| (channel.clone(), currency)));
        let not_closed = engine.days_not_closed(channel).await?;
        let not_reconciled = self.days_not_reconciled(store, channel).await?;
        gauges::gauge_days(channel, not_closed, not_reconciled);
        self.look_at_differences(engine, channel).await
    }

    async fn days_not_reconciled(
        &mut self,
        store: &dyn Store,
        channel: &ChannelId,
    ) -> Result<u32, StoreError> {
        let closed = store.clearing_days(channel.clone()).await?.closed_through;
        let Some(mut date) = closed else { return Ok(0) };
        let (mut waiting, mut kept) = (0, BTreeSet::new());
        for _ in 0..DAYS_LOOKED_AT {
            let day = (channel.clone(), date);
            if self.done.contains(&day) || is_done(store, channel, date).await? {
                kept.insert(day);
            } else {
                waiting += 1;
            }
            date = date.previous();
        }
        self.done.retain(|(other, _)| other != channel);
        self.done.append(&mut kept);
        Ok(waiting)
    }

    async fn look_at_differences(
        &mut self,
        engine: &Engine,
        channel: &ChannelId,
    ) -> Result<(), StoreError> {
        let now = engine.clock().now();
        let (mut carried, mut suspended, mut oldest) = (0, 0, Duration::ZERO);
        let mut held: BTreeMap<Currency, Suspense> = BTreeMap::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let page = engine.store().open_differences(channel.clone(), after, PAGE).await?;
            for difference in &page {
                match difference.state {
                    DifferenceState::Carried => carried += 1,
                    DifferenceState::Suspended => {
                        suspended += 1;
                        oldest = oldest.max(now.since(difference.opened_at));
                    }
                    DifferenceState::Balanced | DifferenceState::Cleared => {}
                }
                for gap in &difference.held {
                    held.entry(gap.currency).or_default().add(gap);
                }
            }
            match page.last().filter(|_| page.len() == PAGE) {
                Some(last) => after = Some(last.id),
                None => break,
            }
        }
        gauges::gauge_differences(channel, DifferenceState::Carried, carried);
        gauges::gauge_differences(channel, DifferenceState::Suspended, suspended);
        gauges::gauge_oldest_suspense(channel, oldest);
        self.held.extend(held.keys().map(|currency| (channel.clone(), *currency)));
        for (_, currency) in self.held.iter().filter(|(of, _)| of == channel) {
            gauges::gauge_suspense(channel, *currency, &held.remove(currency).unwrap_or_default());
        }
        Ok(())
    }
}

/// Whether a closed day has a batch in force, or nothing to reconcile.
async fn is_done(
    store: &dyn Store,
    channel: &ChannelId,
    date: BusinessDate,
) -> Result<bool, StoreError> {
    let close = store.day_close(channel.clone(), date).await?;
    if close.is_none_or(|close| close.totals.is_empty()) {
        return Ok(true);
    }
    Ok(store.current_reconciliation(channel.clone(), date).await?.is_some())
}
