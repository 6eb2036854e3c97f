//! The nodes as the store shows them at one moment, and what a node makes of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::closed_set;
use crate::domain::cluster::{Incarnation, Queue, Work};
use crate::domain::time::Timestamp;

/// A node of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub incarnation: Incarnation,
    /// Where its API listens, for operators.
    pub address: String,
    /// By the store's clock.
    pub lease_until: Timestamp,
    /// Nothing of it is committed any more, and what it held is free.
    pub is_fenced: bool,
    /// The last epoch that it has announced: see [`super::part`]. At first that of its joining,
    /// since it begins with no part.
    pub epoch_seen: u64,
}

closed_set! {
    /// How a node stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum MemberState {
        /// Its lease lasts.
        Alive => "alive",
        /// Its lease has ended, and nobody has fenced it yet: it may only be slow.
        Expired => "expired",
        /// It has stopped or was fenced: nothing of it is committed any more.
        Gone => "gone",
    }
}

/// The nodes and their work at one moment of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The store's clock.
    pub now: Timestamp,
    /// How many joins, fences and leaves there were.
    pub epoch: u64,
    /// The last incarnation of each node, by node.
    pub members: Vec<Member>,
    /// Who has taken which part, alive or not.
    pub holders: BTreeMap<Work, Incarnation>,
}

/// What a node gives up and takes at its next renewal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkTrade {
    pub give_up: Vec<Work>,
    /// Each is taken only if nobody alive holds it.
    pub take: Vec<Work>,
}

impl Roster {
    /// The nodes that are not fenced, whether their lease has ended or not.
    pub fn standing(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.is_fenced)
    }

    pub fn state_of(&self, member: &Member) -> MemberState {
        if member.is_fenced {
            MemberState::Gone
        } else if member.lease_until < self.now {
            MemberState::Expired
        } else {
            MemberState::Alive
        }
    }

    /// The nodes that may be fenced.
    pub fn expired(&self) -> impl Iterator<Item = Incarnation> {
        let expired = |member: &&Member| self.state_of(member) == MemberState::Expired;
        self.standing().filter(expired).map(|member| member.incarnation)
    }

    /// What a node holds.
    pub fn held_by(&self, me: Incarnation) -> impl Iterator<Item = &Work> {
        self.holders.iter().filter(move |(_, holder)| **holder == me).map(|(work, _)| work)
    }

    /// Whether a part of the work is free: nobody has taken it, or its holder is fenced or has
    /// started anew.
    fn is_free(&self, work: &Work) -> bool {
        let holder = self.holders.get(work);
        holder.is_none_or(|holder| self.standing().all(|member| member.incarnation != *holder))
    }

    /// What `me` must give up and may take, so that each standing node comes to an equal part of
    /// each kind of work. `all` is the work that there is; what else is held is given up.
    pub fn trade(&self, me: Incarnation, all: &BTreeSet<Work>) -> WorkTrade {
        let nodes = self.standing().count().max(1);
        let mut trade = WorkTrade::default();
        trade.give_up.extend(self.held_by(me).filter(|work| !all.contains(work)).cloned());
        for kind in kinds(all) {
            let part = kind.len().div_ceil(nodes);
            let held = |work: &&&Work| self.holders.get(**work) == Some(&me);
            let mine: Vec<_> = kind.iter().filter(held).collect();
            if let Some(over) = mine.get(part..) {
                trade.give_up.extend(over.iter().map(|work| (**work).clone()));
            }
            let free = kind.iter().filter(|work| self.is_free(work));
            trade
                .take
                .extend(free.take(part.saturating_sub(mine.len())).map(|work| (*work).clone()));
        }
        trade
    }
}

/// The work by kind: each queue, and all that is done by one node at a time.
fn kinds(all: &BTreeSet<Work>) -> impl Iterator<Item = Vec<&Work>> {
    let of_queue = |queue| move |work: &&Work| matches!(work, Work::Shard(of, _) if *of == queue);
    let queues = Queue::ALL.map(|queue| all.iter().filter(of_queue(queue)).collect());
    let single = all.iter().filter(|work| !matches!(work, Work::Shard(..))).collect();
    queues.into_iter().chain([single])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ChannelId, SHARDS};

    fn incarnation(node: u16) -> Incarnation {
        Incarnation { node, number: 1 }
    }

    fn roster(nodes: &[(u16, i64, bool)]) -> Roster {
        let member = |&(node, lease_until, is_fenced): &(u16, i64, bool)| Member {
            incarnation: incarnation(node),
            address: String::new(),
            lease_until: Timestamp::from_millis(lease_until),
            is_fenced,
            epoch_seen: 0,
        };
        let members = nodes.iter().map(member).collect();
        Roster { now: Timestamp::from_millis(1_000), epoch: 0, members, holders: BTreeMap::new() }
    }

    fn work(channels: &[&str]) -> BTreeSet<Work> {
        let shards = Queue::ALL
            .into_iter()
            .flat_map(|queue| (0..SHARDS).map(move |shard| Work::Shard(queue, shard)));
        let closes = channels.iter().map(|name| Work::Close(ChannelId::from_stored(name)));
        shards.chain(closes).chain([Work::Suspense, Work::Recovery]).collect()
    }

    fn carry_out(roster: &mut Roster, me: Incarnation, trade: &WorkTrade) {
        for work in &trade.give_up {
            assert_eq!(roster.holders.remove(work), Some(me), "{work} is its own");
        }
        for work in &trade.take {
            assert!(roster.is_free(work), "{work} is free");
            roster.holders.insert(work.clone(), me);
        }
    }

    /// Lets each node trade until nobody wants to any more.
    fn settle(roster: &mut Roster, nodes: &[u16], all: &BTreeSet<Work>) {
        for _ in 0..4 {
            for node in nodes {
                let me = incarnation(*node);
                let trade = roster.trade(me, all);
                carry_out(roster, me, &trade);
            }
        }
        for node in nodes {
            assert_eq!(roster.trade(incarnation(*node), all), WorkTrade::default(), "node {node}");
        }
    }

    #[test]
    fn who_has_not_renewed_may_be_fenced_once() {
        let roster = roster(&[(1, 999, false), (2, 1_000, false), (3, 5, true)]);
        assert_eq!(roster.expired().collect::<Vec<_>>(), [incarnation(1)]);
    }

    #[test]
    fn nodes_that_come_and_go_share_all_of_the_work() {
        let all = work(&["a", "b", "c"]);
        let mut shared = roster(&[(1, 2_000, false)]);
        settle(&mut shared, &[1], &all);
        assert_eq!(shared.held_by(incarnation(1)).count(), all.len());
        shared.members = roster(&[(1, 2_000, false), (2, 2_000, false), (3, 2_000, false)]).members;
        settle(&mut shared, &[1, 2, 3], &all);
        assert_eq!(shared.holders.len(), all.len(), "nothing is left");
        for node in 1..=3 {
            for queue in Queue::ALL {
                let shards = shared.held_by(incarnation(node));
                let shards =
                    shards.filter(|work| matches!(work, Work::Shard(of, _) if *of == queue));
                assert!((20..=22).contains(&shards.count()), "node {node}, {queue}");
            }
        }
        // A fenced node's part goes to the others, and nothing else moves.
        let before = shared.holders.clone();
        shared.members = roster(&[(1, 2_000, false), (2, 5, true), (3, 2_000, false)]).members;
        settle(&mut shared, &[1, 3], &all);
        for (work, holder) in &shared.holders {
            assert_ne!(*holder, incarnation(2), "{work}");
            assert!(before[work] == *holder || before[work] == incarnation(2), "{work} moved");
        }
        assert_eq!(shared.holders.len(), all.len());
    }

    #[test]
    fn work_of_a_channel_that_is_gone_is_given_up() {
        let mut shared = roster(&[(1, 2_000, false)]);
        settle(&mut shared, &[1], &work(&["a", "b"]));
        let all = work(&["a"]);
        let trade = shared.trade(incarnation(1), &all);
        assert_eq!(trade.give_up, [Work::Close(ChannelId::from_stored("b"))]);
        assert!(trade.take.is_empty());
    }

    #[test]
    fn a_node_that_starts_anew_holds_nothing_of_before() {
        let all = work(&[]);
        let mut shared = roster(&[(1, 2_000, false)]);
        settle(&mut shared, &[1], &all);
        let again = Incarnation { node: 1, number: 2 };
        shared.members[0].incarnation = again;
        assert_eq!(shared.held_by(again).count(), 0);
        let trade = shared.trade(again, &all);
        assert!(trade.give_up.is_empty());
        assert_eq!(trade.take.len(), all.len());
    }
}
