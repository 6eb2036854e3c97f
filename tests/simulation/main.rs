//! Seeded runs of the real engine against hostile channels, a hostile store and crashes.
//!
//! Each seed gives one history. The books are audited after every commit, and at the end, when the
//! channels are calm and nothing is owed, they must agree line by line with the channels' ledgers.
//! `SWITCHYARD_SIM_SEED` plays one seed, `SWITCHYARD_SIM_SEEDS` and, with several nodes,
//! `SWITCHYARD_SIM_NODE_SEEDS` so many, `SWITCHYARD_SIM_ORDERS` payments in each.

#[path = "../support/auditor.rs"]
mod auditor;

mod accounting_side;
mod agreement_verdict;
mod agreements;
mod bank;
mod bank_side;
mod binding_side;
mod bindings;
mod chores;
mod core_side;
mod hostile;
mod life;
mod limits;
mod nodes;
mod play;
mod terms;
mod verdict;
mod world;

use play::play;

/// Seeds that a run without settings plays: some twenty seconds of a debug build.
const SEEDS: u64 = 120;
/// The same with several nodes, whose histories take longer.
const NODE_SEEDS: u64 = 12;
const ORDERS: u64 = 50;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("the setting is a number"))
}

fn orders() -> u64 {
    setting("SWITCHYARD_SIM_ORDERS").unwrap_or(ORDERS)
}

#[test]
fn books_and_channels_agree_whatever_happens() {
    let seeds = match setting("SWITCHYARD_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("SWITCHYARD_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let mut sum = world::Tally::default();
    for seed in seeds.clone() {
        let played = play(seed, orders());
        assert!(
            played.violations.is_empty(),
            "SWITCHYARD_SIM_SEED={seed} SWITCHYARD_SIM_ORDERS={}:\n{}",
            orders(),
            played.violations.join("\n")
        );
        sum.add(&played.tally);
    }
    println!("{} seeds: {sum:?}", seeds.end - seeds.start);
    if seeds.end - seeds.start >= SEEDS && orders() >= ORDERS {
        // A simulation in which something never happens proves nothing about it.
        assert!(sum.all_seen(), "the seeds leave something untried: {sum:?}");
    }
}

#[test]
fn several_nodes_keep_one_truth() {
    let seeds = match setting("SWITCHYARD_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("SWITCHYARD_SIM_NODE_SEEDS").unwrap_or(NODE_SEEDS),
    };
    let mut sum = world::NodeTally::default();
    for seed in seeds.clone() {
        let played = nodes::play(seed, orders());
        assert!(
            played.violations.is_empty(),
            "SWITCHYARD_SIM_SEED={seed} SWITCHYARD_SIM_ORDERS={}:\n{}",
            orders(),
            played.violations.join("\n")
        );
        sum.add(&played.nodes);
    }
    println!("{} seeds: {sum:?}", seeds.end - seeds.start);
    if seeds.end - seeds.start >= NODE_SEEDS && orders() >= ORDERS {
        assert!(sum.all_seen(), "the seeds leave something untried: {sum:?}");
    }
}

#[test]
fn one_seed_is_one_history() {
    let seed = setting("SWITCHYARD_SIM_SEED").unwrap_or(7);
    let (first, second) = (play(seed, orders()), play(seed, orders()));
    assert!(!first.history.is_empty(), "seed {seed} wrote nothing");
    let place = first.history.iter().zip(&second.history).position(|(a, b)| a != b);
    assert_eq!(place, None, "seed {seed}: the histories part at this commit");
    assert_eq!(first.history.len(), second.history.len(), "seed {seed}");
}
