//! The limits that nodes share, in memory.

use crate::domain::attempt::VolumeKind;
use crate::domain::cluster::ChannelStandings;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::memory::{MemoryStore, lock};
use crate::store::{SharedLimits, StoreRead};

impl MemoryStore {
    fn with_standings<'a, T: Send + 'a>(
        &'a self,
        act: impl FnOnce(&mut ChannelStandings) -> T + Send + 'a,
    ) -> StoreRead<'a, T> {
        Box::pin(async move { Ok(act(&mut lock(&self.shared.state).standings)) })
    }
}

impl SharedLimits for MemoryStore {
    fn change_volume<'a>(
        &'a self,
        channel: &'a ChannelId,
        kind: VolumeKind,
        date: BusinessDate,
        minor: i64,
        limit: Option<i64>,
    ) -> StoreRead<'a, Option<i64>> {
        self.with_standings(move |standings| {
            standings.change_volume(channel, kind, date, minor, limit)
        })
    }

    fn set_breaker<'a>(
        &'a self,
        channel: &'a ChannelId,
        open_until: Option<Timestamp>,
    ) -> StoreRead<'a, ()> {
        self.with_standings(move |standings| {
            standings.breakers.insert(channel.clone(), open_until);
        })
    }

    fn claim_probe<'a>(
        &'a self,
        channel: &'a ChannelId,
        now: Timestamp,
        next: Timestamp,
    ) -> StoreRead<'a, bool> {
        self.with_standings(move |standings| standings.claim_probe(channel, now, next))
    }

    fn throw_switch<'a>(&'a self, channel: &'a ChannelId, on: bool) -> StoreRead<'a, ()> {
        self.with_standings(move |standings| standings.throw_switch(channel, on))
    }

    fn standings(&self) -> StoreRead<'_, ChannelStandings> {
        self.with_standings(|standings| standings.clone())
    }
}
