//! The limits that nodes share, as each node keeps its part of them, held against the truth.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use switchyard::channel::transport::pace::{Pace, PaceTerms};
use switchyard::channel::transport::volume::DayVolumes;
use switchyard::domain::attempt::VolumeKind;
use switchyard::domain::cluster::{Incarnation, NodePart};
use switchyard::domain::ids::ChannelId;
use switchyard::domain::time::{BusinessDate, Timestamp};
use switchyard::engine::StoreShares;
use switchyard::store::Store;

use crate::terms;
use crate::world::World;

const WAIT_MAX: Duration = Duration::from_secs(5);
/// A day's limit of each channel, which some days reach.
const PER_DAY_MINOR: i64 = 5_000_000;

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
    volumes: BTreeMap<&'static str, [DayVolumes; VolumeKind::ALL.len()]>,
    shares: StoreShares,
}

impl NodeLimits {
    pub fn new(world: &World, node: Incarnation, store: &Arc<dyn Store>) -> Self {
        let terms = |name| PaceTerms {
            // The limiter goes by the machine's time, of which a simulation has none.
            requests_per_second: NonZeroU32::MAX,
            burst: NonZeroU32::MAX,
            in_flight: in_flight_max(name),
            wait_max: WAIT_MAX,
        };
        let paces = terms::ALL.map(|name| (name, Pace::new(terms(name)))).into();
        let volumes = terms::ALL.map(|name| (name, VolumeKind::ALL.map(DayVolumes::new))).into();
        let shares = StoreShares::of(store).expect("a store of nodes");
        let limits = Self { world: world.clone(), node, paces, volumes, shares };
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

    /// Takes an order's part of the day's limit: of all nodes together no more is taken.
    pub async fn takes_volume(&self, channel: &ChannelId, kind: VolumeKind, minor: i64) -> bool {
        let today = self.today(channel);
        let volumes = &self.volumes[channel.as_str()][kind as usize];
        let limit = Some(PER_DAY_MINOR);
        let drawn = volumes.draw(&self.shares, channel, [today; 2], minor, limit).await;
        let is_taken = drawn.unwrap_or(false);
        if is_taken {
            let mut state = self.world.state();
            let taken = state.nodes.taken.entry((channel.clone(), kind, today)).or_default();
            *taken += minor;
            if *taken > PER_DAY_MINOR {
                let text = format!("{taken} of {} of a day of {channel} are taken", kind.name());
                state.violate(text);
            }
        } else {
            self.world.state().nodes.tally.no_volume += 1;
        }
        is_taken
    }

    /// An order that was sent then has moved no money.
    pub fn gives_back(
        &self,
        channel: &ChannelId,
        kind: VolumeKind,
        sent_at: Timestamp,
        minor: i64,
    ) {
        let date = terms::terms(channel.as_str()).calendar.date_of(sent_at);
        self.volumes[channel.as_str()][kind as usize].return_to_all([date; 2], minor);
        let mut state = self.world.state();
        *state.nodes.taken.entry((channel.clone(), kind, date)).or_default() -= minor;
    }

    /// With each renewal of the lease.
    pub async fn exchange(&self) {
        let kinds = |(name, all)| std::iter::repeat(name).zip(all);
        for (name, volumes) in self.volumes.iter().flat_map(kinds) {
            let channel = ChannelId::from_stored(name);
            let today = [self.today(&channel); 2];
            let limit = Some(PER_DAY_MINOR);
            let told = volumes.exchange(&self.shares, &channel, today, limit, false).await;
            if told.is_err() {
                return;
            }
        }
    }

    /// The true date, since a clock that jumps has stories of its own.
    fn today(&self, channel: &ChannelId) -> BusinessDate {
        terms::terms(channel.as_str()).calendar.date_of(self.world.state().now)
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
