//! Plays a seed with several nodes on one store: each crashes, stands still and is fenced by
//! itself, while the others go on.

use std::time::Duration;

use switchyard::clock::Clock;
use switchyard::domain::cluster::{LEASE, RENEWED_EVERY};
use switchyard::domain::time::Timestamp;
use switchyard::engine::{Engine, EngineError};
use switchyard::store::Store;
use tokio::task::JoinSet;

use crate::hostile::Pulse;
use crate::life::Life;
use crate::limits::NodeLimits;
use crate::play::{End, Played, Process, judged, live, world_of};
use crate::verdict;
use crate::world::{World, note_error};

const NODES: u16 = 3;
/// How long the nodes live in a hostile world, in virtual time.
const HOSTILE_FOR: Duration = Duration::from_secs(1_200);
/// The last crash of a node comes before it.
const CRASHES: u64 = 12;

/// Plays one seed to its end: several nodes while the world is hostile, then one that settles what
/// they have left.
pub fn play(seed: u64, orders: u64) -> Played {
    let world = world_of(seed, orders);
    together(&world, seed);
    verdict::compare_shadow(&world);
    let calm_at = {
        let mut state = world.state();
        state.calm = true;
        // The leases of the nodes have ended.
        state.now = state.now.plus(LEASE * 2);
        state.now
    };
    let is_whole = world.state().violations.is_empty();
    if is_whole {
        world.store.faults().restart();
        assert_eq!(
            live(&world, calm_at, seed),
            End::Settled,
            "a calm world neither crashes nor fails"
        );
    }
    judged(&world)
}

/// Lives of all nodes, until the hostility is over.
fn together(world: &World, seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(async {
        let clock = Clock::runtime(world.state().now);
        world.goes_by(&clock);
        let calm_at = clock.now().plus(HOSTILE_FOR);
        let mut nodes = JoinSet::new();
        for node in 1..=NODES {
            let (world, clock) = (world.clone(), clock.clone());
            nodes.spawn(async move { lives(&world, &clock, node, calm_at, seed).await });
        }
        while let Some(ended) = nodes.join_next().await {
            ended.expect("a node that ends in order");
        }
        world.state().now = clock.now();
    });
}

/// Lives of one node, one after the other.
async fn lives(world: &World, clock: &Clock, node: u16, calm_at: Timestamp, seed: u64) {
    // Bounded by the time that the world is hostile for.
    while clock.now() < calm_at && world.state().violations.is_empty() {
        let Ok(store) = world.store.join(node, "127.0.0.1:7070") else {
            // It has crashed, and its lease has not ended.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let before = store.cluster().map(|cluster| cluster.incarnation());
        let steps = {
            let mut state = world.state();
            state.nodes.tally.starts += 1;
            let steps = state.random.u64(200..6_000);
            (state.nodes.tally.crashes < CRASHES).then_some(steps)
        };
        let pulse = Pulse::with_pauses(steps);
        let process = Process { node, store, pulse: pulse.clone() };
        let life = process.begin(world, clock, calm_at, seed);
        let end = live_as_a_node(world, &pulse, life).await;
        let down = {
            let mut state = world.state();
            match end {
                End::Crashed => state.nodes.tally.crashes += 1,
                End::StoreFailed => state.nodes.tally.ended_by_fence += 1,
                End::Settled | End::HostilityOver => {}
            }
            // Who starts again before anybody has fenced it fences itself.
            state.nodes.fenced.extend(before);
            state.millis(100..20_000)
        };
        tokio::time::sleep(down).await;
    }
}

async fn live_as_a_node(world: &World, pulse: &Pulse, life: Life) -> End {
    let engine = std::sync::Arc::clone(&life.engine);
    let limits = life.limits.clone().expect("a node's");
    if let Err(error) = engine.renew_lease().await {
        note_error(world, "the first lease", &error);
    }
    tokio::select! {
        biased;
        () = pulse.stopped.notified() => End::Crashed,
        () = renew(world, &engine, &limits) => End::StoreFailed,
        end = life.run() => end,
    }
}

/// Renews the lease until the node is fenced.
async fn renew(world: &World, engine: &Engine, limits: &NodeLimits) {
    loop {
        tokio::time::sleep(RENEWED_EVERY).await;
        match engine.renew_lease().await {
            Ok(_) => {}
            Err(EngineError::StoreFailed) => return,
            Err(error) => note_error(world, "a lease", &error),
        }
        limits.exchange().await;
    }
}
