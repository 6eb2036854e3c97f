//! What the nodes that share a store agree on of their channels: how much of a day's limit is
//! taken, whose breaker is open, and which are switched off.

use crate::domain::attempt::VolumeKind;
use crate::domain::cluster::ChannelStandings;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::StoreRead;

/// The limits that nodes share. Each call is durable when it returns; after an error it may have
/// been carried out.
pub trait SharedLimits: Send + Sync {
    /// Adds `minor` to what is taken of a channel's clearing day, or takes it away, not below
    /// nothing. Gives the sum; `None`, and nothing is changed, if it would pass `limit`.
    fn change_volume<'a>(
        &'a self,
        channel: &'a ChannelId,
        kind: VolumeKind,
        date: BusinessDate,
        minor: i64,
        limit: Option<i64>,
    ) -> StoreRead<'a, Option<i64>>;

    /// A channel's breaker was opened until then, or has closed.
    fn set_breaker<'a>(
        &'a self,
        channel: &'a ChannelId,
        open_until: Option<Timestamp>,
    ) -> StoreRead<'a, ()>;

    /// Keeps the channel's breaker open until `next` if its time has passed `now`: true for one
    /// node, which sends the probe. Also true where nobody has opened it before.
    fn claim_probe<'a>(
        &'a self,
        channel: &'a ChannelId,
        now: Timestamp,
        next: Timestamp,
    ) -> StoreRead<'a, bool>;

    /// Switches a channel on or off.
    fn throw_switch<'a>(&'a self, channel: &'a ChannelId, on: bool) -> StoreRead<'a, ()>;

    /// What the nodes know together.
    fn standings(&self) -> StoreRead<'_, ChannelStandings>;
}
