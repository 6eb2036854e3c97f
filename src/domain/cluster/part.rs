//! A node's part of the numbers that all nodes share, and from when on it may be used.
//!
//! Every join, fence and leave raises the store's *epoch* by one, in its own transaction. A node
//! puts the part that its last roster gives it in force, and *announces* that roster's epoch with a
//! later renewal. Who joins has no part until every standing node has announced an epoch in which
//! it stood.
//!
//! Why the parts in use never come to more than the whole: take the nodes that stand and use a
//! part. Each had seen every other standing node announce an epoch of its own time, or was there
//! before the other. So the roster behind each one's part names all of them, and perhaps more. A
//! node's place among more nodes is no earlier, and its part of more nodes no larger, than its
//! place and part among those alone, whose parts come to the whole. Who does not stand uses
//! nothing: its own lease has ended, or it has given it back.

use crate::domain::cluster::{Incarnation, Roster};

/// A part of each number that the nodes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePart {
    /// The node's place among those that share, from 0; none where it has no part.
    place: Option<u32>,
    /// How many share, at least 1.
    nodes: u32,
}

impl NodePart {
    /// Nothing of anything.
    pub const NONE: Self = Self { place: None, nodes: 1 };

    /// The part of a place, from 0, among so many nodes.
    pub fn at(place: u16, nodes: u16) -> Self {
        Self { place: Some(place.into()), nodes: u32::from(nodes.max(1)) }
    }

    /// The part of a whole: its share without the remainder, which goes to the first places.
    pub fn of(self, whole: u32) -> u32 {
        let Some(place) = self.place else { return 0 };
        whole / self.nodes + u32::from(place < whole % self.nodes)
    }

    /// How many nodes share.
    pub const fn nodes(self) -> u32 {
        self.nodes
    }

    /// The node's place among the first `of_these` of those that share, and how many of them there
    /// are. `None` where it is none of them, or has no part.
    pub fn place_among(self, of_these: u32) -> Option<(u32, u32)> {
        let among = self.nodes.min(of_these);
        self.place.filter(|place| *place < among).map(|place| (place, among))
    }
}

/// How a node comes to its part, from its first roster on.
#[derive(Debug, Default)]
pub struct PartInForce {
    /// The epoch of the node's first roster.
    joined: Option<u64>,
    /// The epoch that the node may announce: what its roster gave is in force.
    epoch: u64,
}

impl PartInForce {
    /// The part that a roster gives to `me`. It has to be in force before [`Self::put`] says so.
    pub fn next(&mut self, me: Incarnation, roster: &Roster) -> NodePart {
        let joined = *self.joined.get_or_insert(roster.epoch);
        if roster.standing().any(|member| member.epoch_seen < joined) {
            return NodePart::NONE;
        }
        // A thousand at most: their numbers have three digits.
        let count = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let place = roster.standing().position(|member| member.incarnation == me);
        let nodes = roster.standing().count();
        place.map_or(NodePart::NONE, |place| NodePart::at(count(place), count(nodes)))
    }

    /// What an epoch's roster gave is in force, and nothing of before goes on.
    pub fn put(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }

    /// The epoch to announce.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::cluster::Member;
    use crate::domain::time::Timestamp;

    #[test]
    fn the_parts_of_all_places_come_to_the_whole() {
        for whole in 0..40 {
            for nodes in 1..12 {
                let parts = (0..nodes).map(|place| NodePart::at(place, nodes).of(whole));
                assert_eq!(parts.sum::<u32>(), whole, "{whole} among {nodes}");
            }
        }
        assert_eq!(
            (NodePart::NONE.of(9), NodePart::at(0, 3).of(1), NodePart::at(2, 3).of(2)),
            (0, 1, 0)
        );
        assert_eq!(NodePart::at(0, 2).of(u32::MAX), u32::MAX / 2 + 1);
        assert_eq!(NodePart::at(1, 3).place_among(2), Some((1, 2)));
        assert_eq!(NodePart::at(1, 3).place_among(7), Some((1, 3)));
        assert_eq!(
            (NodePart::at(2, 3).place_among(2), NodePart::NONE.place_among(2)),
            (None, None)
        );
    }

    /// The nodes as their store has them, and each node with the part that it uses.
    struct Town {
        epoch: u64,
        members: BTreeMap<u16, Member>,
        nodes: BTreeMap<u16, Life>,
    }

    struct Life {
        me: Incarnation,
        rule: PartInForce,
        uses: NodePart,
        /// A roster that was read and is not acted on yet.
        read: Option<Roster>,
        /// What was used before a smaller part is still on its way, under the epoch.
        settles: Option<(u64, NodePart)>,
    }

    impl Town {
        fn join(&mut self, node: u16) {
            self.epoch += 1;
            let number = self.members.get(&node).map_or(0, |one| one.incarnation.number) + 1;
            let me = Incarnation { node, number };
            let lease_until = Timestamp::from_millis(0);
            let address = String::new();
            let member = Member {
                incarnation: me,
                address,
                lease_until,
                is_fenced: false,
                epoch_seen: self.epoch,
            };
            self.members.insert(node, member);
            let (rule, uses) = (PartInForce::default(), NodePart::NONE);
            self.nodes.insert(node, Life { me, rule, uses, read: None, settles: None });
        }

        /// It is fenced, or leaves: it uses nothing by then.
        fn go(&mut self, node: u16) {
            self.epoch += 1;
            self.nodes.remove(&node);
            self.members.entry(node).and_modify(|member| member.is_fenced = true);
        }

        fn renew(&mut self, node: u16) {
            let life = self.nodes.get_mut(&node).expect("it stands");
            let seen = life.rule.epoch();
            let member = self.members.get_mut(&node).expect("it has joined");
            member.epoch_seen = member.epoch_seen.max(seen);
            let members = self.members.values().cloned().collect();
            let (now, holders) = (Timestamp::from_millis(0), BTreeMap::new());
            life.read = Some(Roster { now, epoch: self.epoch, members, holders });
        }

        /// The node acts on what it has read; `at_once` if nothing of before is on its way.
        fn act(&mut self, node: u16, at_once: bool) {
            let life = self.nodes.get_mut(&node).expect("it stands");
            let Some(roster) = life.read.take() else { return };
            let next = life.rule.next(life.me, &roster);
            if at_once {
                life.uses = next;
                life.settles = None;
                life.rule.put(roster.epoch);
            } else {
                life.settles = Some((roster.epoch, next));
            }
        }

        fn settle(&mut self, node: u16) {
            let life = self.nodes.get_mut(&node).expect("it stands");
            if let Some((epoch, next)) = life.settles.take() {
                life.uses = next;
                life.rule.put(epoch);
            }
        }

        fn in_use(&self, whole: u32) -> u32 {
            self.nodes.values().map(|life| life.uses.of(whole)).sum()
        }
    }

    /// Joins, leaves, fences and renewals in any order, with nodes that act late.
    #[test]
    fn i_13_parts_in_use_never_come_to_more_than_the_whole() {
        for seed in 0..3_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut town = Town { epoch: 0, members: BTreeMap::new(), nodes: BTreeMap::new() };
            let wholes = [1, 2, 3, 5, 8, 100];
            for step in 0..random.u32(5..150) {
                let node = random.u16(1..6);
                let stands = town.nodes.contains_key(&node);
                match random.u8(0..20) {
                    0..=2 if !stands => town.join(node),
                    0 if stands => town.go(node),
                    1..=8 if stands => town.renew(node),
                    9..=14 if stands => {
                        let at_once = random.u8(0..4) > 0;
                        town.act(node, at_once);
                    }
                    15..=17 if stands => town.settle(node),
                    _ => {}
                }
                for whole in wholes {
                    let used = town.in_use(whole);
                    assert!(used <= whole, "seed {seed}, step {step}: {used} of {whole}");
                }
            }
            let standing: Vec<u16> = town.nodes.keys().copied().collect();
            // One round shows the last change, one announces it, and one shows that all have.
            for _ in 0..3 {
                for node in &standing {
                    town.renew(*node);
                    town.act(*node, true);
                }
            }
            for whole in wholes {
                let used = town.in_use(whole);
                assert!(standing.is_empty() || used == whole, "seed {seed}: {used} of {whole}");
            }
        }
    }
}
