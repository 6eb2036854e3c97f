//! What the nodes that share a store know together of their channels.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};

/// How the channels stand for all nodes at one moment of the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelStandings {
    /// What is taken of each clearing day of late, in minor units, with what nodes have drawn and
    /// not used yet. Days of which nothing is taken are absent.
    pub volumes: BTreeMap<(ChannelId, BusinessDate), i64>,
    /// Until when each breaker is open; `None` if it was, and is closed.
    pub breakers: BTreeMap<ChannelId, Option<Timestamp>>,
    /// The channels that operators have switched off.
    pub off: BTreeSet<ChannelId>,
}
