//! The limits that nodes share, as each node keeps its part of them, held against the truth.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use switchyard::channel::transport::pace::{Pace, PaceTerms};
use switchyard::domain::cluster::{Incarnation, NodePart};
use switchyard::domain::ids::ChannelId;

use crate::terms;
use crate::world::World;

const WAIT_MAX: Duration = Duration::from_secs(5);

/// Requests that a channel takes at the same time, of all nodes together: of some not every node
/// has a part.
fn in_flight_max(channel: &str) -> NonZeroU32 {
    let number = match channel {
        terms::ACCEPTING => 1,
        terms::DAY_BOUND => 2,
        _ => 4,
    };
    NonZeroU32::new(number).expect("positive")
}

/// The gates of a node.
pub struct NodeLimits {
    world: World,
    node: Incarnation,
    paces: BTreeMap<&'static str, Pace>,
}

impl NodeLimits {
    pub fn new(world: &World, node: Incarnation) -> Self {
        let terms = |name| PaceTerms {
            // The limiter goes by the machine's time, of which a simulation has none.
            requests_per_second: NonZeroU32::MAX,
            burst: NonZeroU32::MAX,
            in_flight: in_flight_max(name),
            wait_max: WAIT_MAX,
        };
        let paces = terms::ALL.map(|name| (name, Pace::new(terms(name)))).into();
        let limits = Self { world: world.clone(), node, paces };
        limits.share(NodePart::NONE);
        limits
    }

    pub fn share(&self, part: NodePart) -> bool {
        self.paces.values().filter(|pace| !pace.enforce(Some(part))).count() == 0
    }

    pub fn nodes_max(&self, channel: &ChannelId) -> u32 {
        self.paces[channel.as_str()].terms().nodes_max()
    }

    pub fn pace(&self, channel: &ChannelId) -> &Pace {
        &self.paces[channel.as_str()]
    }

    /// A request leaves: of all that stand no more are on their way than was agreed.
    pub fn leaves(&self, channel: &ChannelId) -> OnItsWay<'_> {
        let place = (self.node, channel.clone());
        let mut state = self.world.state();
        *state.nodes.on_their_way.entry(place.clone()).or_default() += 1;
        let standing = state
            .nodes
            .on_their_way
            .iter()
            .filter(|((node, of), _)| *of == *channel && !state.nodes.fenced.contains(node));
        let together: u32 = standing.map(|(_, count)| count).sum();
        if together > in_flight_max(channel.as_str()).get() {
            state.violate(format!("{together} requests are on their way to {channel}"));
        }
        OnItsWay { limits: self, place }
    }
}

/// A request that is on its way; gone when dropped, with its process too.
pub struct OnItsWay<'l> {
    limits: &'l NodeLimits,
    place: (Incarnation, ChannelId),
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        let mut state = self.limits.world.state();
        *state.nodes.on_their_way.entry(self.place.clone()).or_default() -= 1;
    }
}
