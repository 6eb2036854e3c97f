//! What the nodes share of the channels' limits lies in the store of the books.

use std::sync::Arc;

use crate::channel::shares::{ChannelShares, SharesError, SharesFuture};
use crate::domain::attempt::VolumeKind;
use crate::domain::cluster::ChannelStandings;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::{Cluster, Store, StoreRead};
use crate::telemetry;

/// The limits of all nodes, in a store that they share.
pub struct StoreShares(Arc<dyn Store>);

impl StoreShares {
    /// `None` where one process has the books to itself.
    pub fn of(store: &Arc<dyn Store>) -> Option<Self> {
        store.cluster().is_some().then(|| Self(Arc::clone(store)))
    }

    fn ask<'a, T: Send + 'a>(
        &'a self,
        ask: impl FnOnce(&'a dyn Cluster) -> StoreRead<'a, T>,
    ) -> SharesFuture<'a, T> {
        let asked = ask(self.0.cluster().expect("a store stays what it was when it was taken"));
        Box::pin(async move { asked.await.map_err(|error| SharesError(telemetry::chain(&error))) })
    }
}

impl ChannelShares for StoreShares {
    fn change_volume<'a>(
        &'a self,
        channel: &'a ChannelId,
        kind: VolumeKind,
        date: BusinessDate,
        minor: i64,
        limit: Option<i64>,
    ) -> SharesFuture<'a, Option<i64>> {
        self.ask(|limits| limits.change_volume(channel, kind, date, minor, limit))
    }

    fn tell_breaker<'a>(
        &'a self,
        channel: &'a ChannelId,
        open_until: Option<Timestamp>,
    ) -> SharesFuture<'a, ()> {
        self.ask(|limits| limits.set_breaker(channel, open_until))
    }

    fn claim_probe<'a>(
        &'a self,
        channel: &'a ChannelId,
        now: Timestamp,
        next: Timestamp,
    ) -> SharesFuture<'a, bool> {
        self.ask(|limits| limits.claim_probe(channel, now, next))
    }

    fn throw_switch<'a>(&'a self, channel: &'a ChannelId, on: bool) -> SharesFuture<'a, ()> {
        self.ask(|limits| limits.throw_switch(channel, on))
    }

    fn standings(&self) -> SharesFuture<'_, ChannelStandings> {
        self.ask(|limits| limits.standings())
    }
}
