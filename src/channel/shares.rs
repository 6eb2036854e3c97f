//! What the channels ask of the nodes that share the books, where several do.

use crate::channel::ChannelFuture;
use crate::domain::attempt::VolumeKind;
use crate::domain::cluster::ChannelStandings;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};

/// What the nodes share cannot be reached. What was asked for may have been carried out.
#[derive(Debug, thiserror::Error)]
#[error("what the nodes share cannot be reached: {0}")]
pub struct SharesError(pub String);

/// The answer of the nodes.
pub type SharesFuture<'a, T> = ChannelFuture<'a, Result<T, SharesError>>;

/// The limits and switches that hold for all nodes together.
pub trait ChannelShares: Send + Sync {
    /// Adds `minor` to what all nodes have taken of a channel's clearing day, or takes it away.
    /// Gives the sum; `None`, and nothing is changed, if it would pass `limit`.
    fn change_volume<'a>(
        &'a self,
        channel: &'a ChannelId,
        kind: VolumeKind,
        date: BusinessDate,
        minor: i64,
        limit: Option<i64>,
    ) -> SharesFuture<'a, Option<i64>>;

    /// Tells the others until when a channel's breaker is open, or that it has closed.
    fn tell_breaker<'a>(
        &'a self,
        channel: &'a ChannelId,
        open_until: Option<Timestamp>,
    ) -> SharesFuture<'a, ()>;

    /// Whether this node alone sends a probe to a channel whose breaker has been open long enough;
    /// the breaker is open until `next` for all others then.
    fn claim_probe<'a>(
        &'a self,
        channel: &'a ChannelId,
        now: Timestamp,
        next: Timestamp,
    ) -> SharesFuture<'a, bool>;

    /// Switches a channel on or off, for all nodes.
    fn throw_switch<'a>(&'a self, channel: &'a ChannelId, on: bool) -> SharesFuture<'a, ()>;

    /// What the nodes know together.
    fn standings(&self) -> SharesFuture<'_, ChannelStandings>;
}

/// What nodes share, in the memory of a test.
#[cfg(test)]
#[derive(Default)]
pub struct SharedInMemory(pub std::sync::Mutex<ChannelStandings>);

#[cfg(test)]
impl SharedInMemory {
    fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut ChannelStandings) -> T,
    ) -> SharesFuture<'_, T> {
        let done = act(&mut self.0.lock().expect("no panic under the lock"));
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(done)
        })
    }
}

#[cfg(test)]
impl ChannelShares for SharedInMemory {
    fn change_volume<'a>(
        &'a self,
        channel: &'a ChannelId,
        kind: VolumeKind,
        date: BusinessDate,
        minor: i64,
        limit: Option<i64>,
    ) -> SharesFuture<'a, Option<i64>> {
        self.with(|standings| standings.change_volume(channel, kind, date, minor, limit))
    }

    fn tell_breaker<'a>(
        &'a self,
        channel: &'a ChannelId,
        open_until: Option<Timestamp>,
    ) -> SharesFuture<'a, ()> {
        self.with(|standings| {
            standings.breakers.insert(channel.clone(), open_until);
        })
    }

    fn claim_probe<'a>(
        &'a self,
        channel: &'a ChannelId,
        now: Timestamp,
        next: Timestamp,
    ) -> SharesFuture<'a, bool> {
        self.with(|standings| standings.claim_probe(channel, now, next))
    }

    fn throw_switch<'a>(&'a self, channel: &'a ChannelId, on: bool) -> SharesFuture<'a, ()> {
        self.with(|standings| standings.throw_switch(channel, on))
    }

    fn standings(&self) -> SharesFuture<'_, ChannelStandings> {
        self.with(|standings| standings.clone())
    }
}
