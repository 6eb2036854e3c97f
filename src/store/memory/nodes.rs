//! Several nodes on one store in memory, as a database would have them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::attempt::AttemptState;
use crate::domain::cluster::{Incarnation, LEASE, Member, Roster, Work, WorkTrade};
use crate::domain::ids::OrderId;
use crate::domain::time::Timestamp;
use crate::domain::write_set::WriteSet;
use crate::store::cluster::JoinError;
use crate::store::memory::{MemoryStore, lock};
use crate::store::{Cluster, CommitError, StoreFuture, StoreRead};

/// The clock of a store that several nodes share.
pub type StoreClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

#[derive(Default)]
pub(super) struct Nodes {
    clock: Option<StoreClock>,
    epoch: u64,
    members: BTreeMap<u16, Member>,
    holders: BTreeMap<Work, Incarnation>,
    /// The attempts in flight, and whose they are.
    in_flight: BTreeMap<(OrderId, u8), Incarnation>,
}

impl Nodes {
    pub(super) fn stands(&self, one: Incarnation) -> bool {
        let member = self.members.get(&one.node);
        member.is_some_and(|member| member.incarnation == one && !member.is_fenced)
    }

    /// Notes whose attempts a write set has put in flight, and which it has ended.
    pub(super) fn written(&mut self, me: Incarnation, writes: &WriteSet) {
        for order in &writes.orders {
            for attempt in &order.attempts {
                let place = (order.id, attempt.number);
                if attempt.state == AttemptState::Sending {
                    self.in_flight.entry(place).or_insert(me);
                } else {
                    self.in_flight.remove(&place);
                }
            }
        }
    }

    pub(super) fn left_in_flight(&self) -> impl Iterator<Item = (OrderId, u8)> {
        let left = self.in_flight.iter().filter(|(_, owner)| !self.stands(**owner));
        left.map(|(place, _)| *place)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(Timestamp::from_millis(0), |clock| clock())
    }

    pub(super) fn roster(&self) -> Roster {
        let members = self.members.values().cloned().collect();
        Roster { now: self.now(), epoch: self.epoch, members, holders: self.holders.clone() }
    }

    fn carry_out(&mut self, me: Incarnation, trade: &WorkTrade) {
        for work in &trade.give_up {
            if self.holders.get(work) == Some(&me) {
                self.holders.remove(work);
            }
        }
        for work in &trade.take {
            let holder = self.holders.get(work);
            if holder.is_none_or(|holder| !self.stands(*holder)) {
                self.holders.insert(work.clone(), me);
            }
        }
    }
}

impl MemoryStore {
    /// A store that several nodes share; each [joins](Self::join) it.
    pub fn of_nodes(clock: StoreClock) -> Self {
        let store = Self::default();
        lock(&store.shared.state).nodes.clock = Some(clock);
        store
    }

    /// The store as the next incarnation of a node has it.
    pub fn join(&self, node: u16, address: &str) -> Result<Self, JoinError> {
        let mut state = lock(&self.shared.state);
        let nodes = &mut state.nodes;
        let (now, before) = (nodes.now(), nodes.members.get(&node));
        if let Some(alive) = before.filter(|one| !one.is_fenced && one.lease_until >= now) {
            return Err(JoinError::Taken { node, address: alive.address.clone() });
        }
        let number = before.map_or(0, |one| one.incarnation.number) + 1;
        let incarnation = Incarnation { node, number };
        let lease_until = now.plus(LEASE);
        let address = address.to_owned();
        nodes.epoch += 1;
        let (is_fenced, epoch_seen) = (false, nodes.epoch);
        let member = Member { incarnation, address, lease_until, is_fenced, epoch_seen };
        nodes.members.insert(node, member);
        Ok(Self { shared: Arc::clone(&self.shared), me: Some(incarnation) })
    }

    /// Does something to the nodes as this one, if it stands.
    fn as_member<T>(
        &self,
        act: impl FnOnce(&mut Nodes, Incarnation) -> T,
    ) -> Result<T, CommitError> {
        let me = self.me.ok_or(CommitError::Fenced)?;
        let nodes = &mut lock(&self.shared.state).nodes;
        if nodes.stands(me) { Ok(act(nodes, me)) } else { Err(CommitError::Fenced) }
    }
}

impl Cluster for MemoryStore {
    fn incarnation(&self) -> Incarnation {
        self.me.unwrap_or(Incarnation { node: 0, number: 0 })
    }

    fn now(&self) -> StoreRead<'_, Timestamp> {
        Box::pin(async move { Ok(lock(&self.shared.state).nodes.now()) })
    }

    fn renew<'a>(
        &'a self,
        epoch: u64,
        trade: &'a WorkTrade,
    ) -> StoreFuture<'a, Result<Roster, CommitError>> {
        Box::pin(async move {
            self.as_member(|nodes, me| {
                let lease_until = nodes.now().plus(LEASE);
                nodes.members.entry(me.node).and_modify(|member| {
                    member.lease_until = lease_until;
                    member.epoch_seen = member.epoch_seen.max(epoch);
                });
                nodes.carry_out(me, trade);
                nodes.roster()
            })
        })
    }

    fn fence(&self, dead: Incarnation) -> StoreFuture<'_, Result<bool, CommitError>> {
        Box::pin(async move {
            self.as_member(|nodes, _| {
                let now = nodes.now();
                let member = nodes.members.get_mut(&dead.node);
                let expired = |member: &&mut Member| {
                    member.incarnation == dead && !member.is_fenced && member.lease_until < now
                };
                let fenced = member.filter(expired).map(|member| member.is_fenced = true);
                nodes.epoch += u64::from(fenced.is_some());
                fenced.is_some()
            })
        })
    }

    fn in_flight(&self) -> StoreRead<'_, Vec<(OrderId, u8)>> {
        Box::pin(async move {
            let state = lock(&self.shared.state);
            let mine = state.nodes.in_flight.iter().filter(|(_, owner)| Some(**owner) == self.me);
            Ok(mine.map(|(place, _)| *place).collect())
        })
    }

    fn leave(&self) -> StoreFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            self.as_member(|nodes, me| {
                nodes.members.entry(me.node).and_modify(|member| member.is_fenced = true);
                nodes.epoch += 1;
                nodes.holders.retain(|_, holder| *holder != me);
            })
        })
    }
}
