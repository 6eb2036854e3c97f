//! Plays a seed: lives of the process, each from a start to a crash, until nothing is owed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use switchyard::clock::{Clock, ClockBaseline, Timekeeper};
use switchyard::codec::seal::{DigestKey, SealKey, SealKeys};
use switchyard::domain::order::SettlementMode;
use switchyard::domain::time::Timestamp;
use switchyard::engine::{Engine, Vault};
use switchyard::entropy::Entropy;
use switchyard::store::Store;
use switchyard::store::memory::MemoryStore;
use tokio::task::JoinSet;

use crate::agreements;
use crate::bank_side::Bank;
use crate::hostile::{HostileStore, Pulse};
use crate::life::Life;
use crate::limits::NodeLimits;
use crate::terms;
use crate::verdict;
use crate::world::{NodeTally, Tally, Wish, World};

/// How long the channels stay hostile, in virtual time.
const HOSTILE_FOR: Duration = Duration::from_secs(2_400);
const CRASHES: u64 = 10;

pub struct Played {
    pub violations: Vec<String>,
    pub history: Vec<String>,
    pub tally: Tally,
    pub nodes: NodeTally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Crashed,
    StoreFailed,
    Settled,
    HostilityOver,
}

/// Plays one seed to its end.
pub fn play(seed: u64, orders: u64) -> Played {
    let world = world_of(seed, orders);
    let calm_at = world.state().now.plus(HOSTILE_FOR);
    // Bounded: crashes are counted, and a store fails only while the world is hostile.
    loop {
        {
            let state = world.state();
            if !state.violations.is_empty() {
                break;
            }
        }
        let end = live(&world, calm_at, seed);
        world.store.faults().restart();
        verdict::compare_shadow(&world);
        let mut state = world.state();
        state.failing = None;
        match end {
            End::Settled => break,
            End::HostilityOver => state.calm = true,
            End::Crashed => state.tally.crashes += 1,
            End::StoreFailed => state.tally.store_failures += 1,
        }
        let down = state.millis(500..60_000);
        state.now = state.now.plus(down);
    }
    judged(&world)
}

/// A world whose core has so many wishes.
pub fn world_of(seed: u64, orders: u64) -> World {
    let world = World::new(seed);
    {
        let mut state = world.state();
        state.wanted = agreements::wanted(&mut state);
    }
    for number in 0..orders {
        let wish = wish(&world, number);
        world.state().wishes.push(wish);
    }
    world
}

/// The last word on a world that has come to rest.
pub fn judged(world: &World) -> Played {
    verdict::judge(world);
    let mut state = world.state();
    Played {
        violations: std::mem::take(&mut state.violations),
        history: std::mem::take(&mut state.history),
        tally: state.tally.clone(),
        nodes: state.nodes.tally.clone(),
    }
}

fn wish(world: &World, number: u64) -> Wish {
    let mut state = world.state();
    let mut channels = terms::ALL.to_vec();
    state.random.shuffle(&mut channels);
    let kept = state.random.usize(1..=channels.len());
    channels.truncate(kept);
    let payout = state.chance(8);
    // A channel that keeps numbers pays to cards alone.
    let keeps_none = !channels.iter().any(|name| terms::terms(name).keeps_pan);
    let to_account = payout && keeps_none && state.chance(50);
    let agreement =
        (!payout && state.chance(30)).then(|| state.random.usize(0..agreements::WANTED));
    if let Some(number) = agreement {
        channels = vec![state.wanted[number].channel];
    }
    let escrow = !payout && state.chance(30);
    Wish {
        caller_order_id: format!("core-{number}"),
        amount_minor: state.random.i64(1..1_000_000),
        settlement_mode: if escrow { SettlementMode::Escrow } else { SettlementMode::Instant },
        channels,
        answered: None,
        agreement,
        is_refused: false,
        releases: 0,
        hold: !payout && state.chance(30),
        payout,
        to_account,
        follow_ups: 0,
        capture: None,
        last_follow_up: None,
    }
}

pub fn live(world: &World, calm_at: Timestamp, seed: u64) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(async {
        let started = world.state().now;
        let clock = Clock::runtime(started);
        let steps = {
            let mut state = world.state();
            let steps = state.random.u64(50..2_500);
            (!state.calm && state.tally.crashes < CRASHES).then_some(steps)
        };
        let pulse = Pulse::new(steps);
        let process = Process { node: 1, store: world.store.clone(), pulse: pulse.clone() };
        let life = process.begin(world, &clock, calm_at, seed);
        let end = tokio::select! {
            biased;
            () = pulse.stopped.notified() => End::Crashed,
            end = life.run() => end,
        };
        world.state().now = clock.now();
        end
    })
}

/// A process that is about to start.
pub struct Process {
    pub node: u16,
    /// The store as this process has it.
    pub store: MemoryStore,
    pub pulse: Pulse,
}

impl Process {
    pub fn begin(self, world: &World, clock: &Clock, calm_at: Timestamp, seed: u64) -> Life {
        let Self { node, store, pulse } = self;
        let keeper = keeper(world, clock);
        let incarnation = store.cluster().map(|cluster| cluster.incarnation());
        if incarnation.is_some() {
            keeper.begin_lease();
        }
        let store: Arc<dyn Store> =
            Arc::new(HostileStore { world: world.clone(), pulse: pulse.clone(), store });
        let limits = incarnation.map(|node| Arc::new(NodeLimits::new(world, node, &store)));
        let bank = Bank {
            world: world.clone(),
            pulse,
            clock: clock.clone(),
            keeper: keeper.clone(),
            node: incarnation,
            limits: limits.clone(),
        };
        let drawn = seed ^ clock.now().as_millis().unsigned_abs() ^ u64::from(node) << 48;
        let engine = Engine::new(store, Arc::new(bank), keeper, vault(drawn), node);
        Life {
            world: world.clone(),
            engine: Arc::new(engine),
            limits,
            clock: clock.clone(),
            tasks: JoinSet::new(),
            calm_at,
        }
    }
}

/// The keys of every process, which outlive it.
pub fn vault(seed: u64) -> Vault {
    let key = SealKey::new("k1", &[7; 32]).expect("32 bytes");
    Vault::new(
        SealKeys::new(key, Vec::new()).expect("one key"),
        DigestKey::new(&[9; 32]).expect("32 bytes"),
        Entropy::seeded(seed),
    )
}

/// The clock of a life, wrong as it may be, held against what the last one knew.
fn keeper(world: &World, truth: &Clock) -> Timekeeper {
    let mut state = world.state();
    if state.calm {
        state.clock_error_ms.store(0, Ordering::SeqCst);
    }
    let by_ms = Arc::clone(&state.clock_error_ms);
    let shown = Clock::Wrong { of: Box::new(truth.clone()), by_ms };
    let first_order_at = state.rows.orders.values().next().map(|order| order.created_at);
    let beginning = ClockBaseline { seen: state.last_seen.clone(), first_order_at };
    let keeper = Timekeeper::start(shown, beginning, 2);
    state.last_seen = Some(keeper.last_seen());
    keeper
}
