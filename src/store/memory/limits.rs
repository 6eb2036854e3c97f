//! The limits that nodes share, in memory.

use crate::domain::cluster::ChannelStandings;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::limits::changed_volume;
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
        date: BusinessDate,
        minor: i64,
        limit: Option<i64>,
    ) -> StoreRead<'a, Option<i64>> {
        self.with_standings(move |standings| {
            let day = (channel.clone(), date);
            let taken = standings.volumes.get(&day).copied().unwrap_or(0);
            let sum = changed_volume(taken, minor, limit)?;
            standings.volumes.insert(day, sum);
            Some(sum)
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
        self.with_standings(move |standings| {
            let known = standings.breakers.get(channel);
            let may = known.is_none_or(|until| until.is_some_and(|until| until <= now));
            if may {
                standings.breakers.insert(channel.clone(), Some(next));
            }
            may
        })
    }

    fn throw_switch<'a>(&'a self, channel: &'a ChannelId, on: bool) -> StoreRead<'a, ()> {
        self.with_standings(move |standings| {
            if on {
                standings.off.remove(channel);
            } else {
                standings.off.insert(channel.clone());
            }
        })
    }

    fn standings(&self) -> StoreRead<'_, ChannelStandings> {
        self.with_standings(|standings| standings.clone())
    }
}
