//! Several nodes on one store: who is alive, and who does which part of the work.
//!
//! No node is a leader. A node holds a lease by the store's clock; everything else that it holds is
//! tied to that lease. Leases only save double work: what decides about money are the versions of
//! rows, and the fence behind which nothing of a dead node is committed any more.

mod part;
mod published;
mod roster;
mod standing;
mod work;

use std::fmt;
use std::time::Duration;

pub use part::{NodePart, PartInForce};
pub use published::{
    ACTIVE_AFTER, LoadReport, Publication, SettingHistory, SettingKind, SettingVersion,
};
pub use roster::{Member, MemberState, Roster, WorkTrade};
pub use standing::ChannelStandings;
pub use work::{ParseWorkError, Queue, Work};

/// How long a node's lease lasts from a renewal on, by the store's clock.
pub const LEASE: Duration = Duration::from_secs(10);
/// How long a node acts on its lease, by its own clocks, counted from before it asked for it: the
/// rest of [`LEASE`] is for clocks that run apart.
pub const ACTS_FOR: Duration = Duration::from_secs(8);
/// The pause between two renewals.
pub const RENEWED_EVERY: Duration = Duration::from_secs(2);

/// One life of a node, from a start to its end. The store counts the starts of each node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// 0 to 999.
    pub node: u16,
    /// From 1.
    pub number: u64,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.node, self.number)
    }
}
