//! What the nodes that share a store ask of it.

use crate::domain::cluster::{Incarnation, Roster, WorkTrade};
use crate::domain::ids::OrderId;
use crate::domain::time::Timestamp;
use crate::store::{CommitError, SharedLimits, StoreFuture, StoreRead};

/// Why a node cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Another process works as this node, and its lease has not ended.
    #[error(
        "node {node} is at work at {address}; stop that process, wait until its lease ends, or \
         give this one another node.number"
    )]
    Taken { node: u16, address: String },
}

/// The leases of nodes and of their work, by the store's own clock. Once this node is fenced, each
/// call fails with [`CommitError::Fenced`].
pub trait Cluster: SharedLimits + Send + Sync {
    /// The life of this node that the store counts this process as.
    fn incarnation(&self) -> Incarnation;

    /// The store's clock.
    fn now(&self) -> StoreRead<'_, Timestamp>;

    /// Renews this node's lease, for [`crate::domain::cluster::LEASE`] from the store's present on,
    /// announces the epoch whose part is in force here, and carries a trade out. What was taken is
    /// what the roster shows as held. Members and epoch are of one moment.
    fn renew<'a>(
        &'a self,
        epoch: u64,
        trade: &'a WorkTrade,
    ) -> StoreFuture<'a, Result<Roster, CommitError>>;

    /// Fences a node whose lease has ended: returns when nothing of it will be committed any more.
    /// False if it has renewed its lease, or stands no more.
    fn fence(&self, dead: Incarnation) -> StoreFuture<'_, Result<bool, CommitError>>;

    /// The attempts, by order and number, that this process has in flight.
    fn in_flight(&self) -> StoreRead<'_, Vec<(OrderId, u8)>>;

    /// Gives back the lease and the work of this node, at a stop: it need not be waited out.
    fn leave(&self) -> StoreFuture<'_, Result<(), CommitError>>;
}
