//! What the nodes that share a store know together of their channels.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::attempt::VolumeKind;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};

/// How the channels stand for all nodes at one moment of the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelStandings {
    /// What is taken of each clearing day of late, in minor units, with what nodes have drawn and
    /// not used yet. Days of which nothing is taken are absent.
    pub volumes: BTreeMap<(ChannelId, VolumeKind, BusinessDate), i64>,
    /// Until when each breaker is open; `None` if it was, and is closed.
    pub breakers: BTreeMap<ChannelId, Option<Timestamp>>,
    /// The channels that operators have switched off.
    pub off: BTreeSet<ChannelId>,
}

impl ChannelStandings {
    /// Adds `minor` to what is taken of a channel's clearing day, or takes it away, not below
    /// nothing. Gives the sum; `None`, and nothing is changed, if it would pass `limit`.
    pub fn change_volume(
        &mut self,
        channel: &ChannelId,
        kind: VolumeKind,
        date: BusinessDate,
        minor: i64,
        limit: Option<i64>,
    ) -> Option<i64> {
        let day = (channel.clone(), kind, date);
        let taken = self.volumes.get(&day).copied().unwrap_or(0);
        let sum = taken.checked_add(minor)?.max(0);
        let fits = minor <= 0 || limit.is_none_or(|limit| sum <= limit);
        fits.then(|| {
            self.volumes.insert(day, sum);
            sum
        })
    }

    /// Keeps the channel's breaker open until `next` if its time has passed `now`: true for one
    /// node, which sends the probe. Also true where nobody has opened it before.
    pub fn claim_probe(&mut self, channel: &ChannelId, now: Timestamp, next: Timestamp) -> bool {
        let known = self.breakers.get(channel);
        let may = known.is_none_or(|until| until.is_some_and(|until| until <= now));
        if may {
            self.breakers.insert(channel.clone(), Some(next));
        }
        may
    }

    /// Switches a channel on or off.
    pub fn throw_switch(&mut self, channel: &ChannelId, on: bool) {
        if on {
            self.off.remove(channel);
        } else {
            self.off.insert(channel.clone());
        }
    }
}
