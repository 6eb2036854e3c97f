//! Order ids are unique across restarts, nodes, days and takers.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::domain::time::Timestamp;
use crate::store::memory::{FailedRows, MemoryStore};

/// 2026-11-22T08:00:00Z.
const START_MS: i64 = 1_795_334_400_000;
const DAY_MS: i64 = 86_400_000;

fn numbers(store: &MemoryStore, node: u16) -> OrderNumbers {
    OrderNumbers::new(Arc::new(store.clone()), node)
}

/// The memory store is always ready, so nothing has to be waited for.
fn take(numbers: &OrderNumbers, millis: i64) -> Result<OrderId, CommitError> {
    let present = Present::certain(Timestamp::from_millis(millis));
    numbers.next(&present).now_or_never().expect("nobody else leases")
}

/// What happens to one process that gives out numbers.
#[derive(Debug, Clone)]
enum Step {
    Take { count: u16 },
    ClockMoves { hours: i64 },
    Restart,
    Busy,
    LeaseFails { rows: FailedRows },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = prop_oneof![Just(FailedRows::Lost), Just(FailedRows::Written)];
    let step = prop_oneof![
        6 => (1..9_000_u16).prop_map(|count| Step::Take { count }),
        2 => (-30..80_i64).prop_map(|hours| Step::ClockMoves { hours }),
        2 => Just(Step::Restart),
        1 => Just(Step::Busy),
        1 => rows.prop_map(|rows| Step::LeaseFails { rows }),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn i_9_no_number_is_given_twice(steps in steps()) {
        let store = MemoryStore::new();
        let mut now = START_MS;
        let mut process = numbers(&store, 7);
        let mut given = BTreeSet::new();
        let mut last = None;
        for step in steps {
            match step {
                Step::Take { count } => {
                    for _ in 0..count {
                        let Ok(id) = take(&process, now) else {
                            // Busy passes; a failed store is opened again by a new process.
                            store.faults().restart();
                            process = numbers(&store, 7);
                            last = None;
                            continue;
                        };
                        prop_assert!(given.insert(id), "{id} was given before");
                        prop_assert!(last < Some(id), "{id} does not follow {last:?}");
                        last = Some(id);
                    }
                }
                Step::ClockMoves { hours } => now += hours * 3_600_000,
                Step::Restart => {
                    process = numbers(&store, 7);
                    last = None;
                }
                Step::Busy => store.faults().busy(1),
                Step::LeaseFails { rows } => store.faults().fail_next_commit(rows),
            }
        }
    }

    #[test]
    fn i_9_nodes_that_share_a_store_share_no_number(
        takes in prop::collection::vec((0..3_u16, 1..400_u16, -1..2_i64), 1..40),
    ) {
        let store = MemoryStore::new();
        let nodes: Vec<OrderNumbers> = [0, 1, 999].iter().map(|n| numbers(&store, *n)).collect();
        let mut given = BTreeSet::new();
        for (node, count, days) in takes {
            for _ in 0..count {
                let id = take(&nodes[usize::from(node)], START_MS + days * DAY_MS);
                let id = id.expect("the store has no faults");
                prop_assert!(given.insert(id), "{id} was given before");
            }
        }
    }
}

#[test]
fn the_date_never_goes_back_within_a_process() {
    let store = MemoryStore::new();
    let process = numbers(&store, 1);
    let ahead = take(&process, START_MS + DAY_MS).expect("no faults");
    let back = take(&process, START_MS).expect("no faults");
    assert_eq!(ahead.to_string(), "2611230010000000001");
    assert_eq!(back.to_string(), "2611230010000000002", "the clock went back, the numbers do not");
    // A new process knows nothing of the other day, and of its own day only what was leased.
    let anew = numbers(&store, 1);
    assert_eq!(take(&anew, START_MS).expect("no faults").to_string(), "2611220010000000001");
    let third = numbers(&store, 1);
    let jumped = take(&third, START_MS).expect("no faults").to_string();
    assert_eq!(jumped, "2611220010000010001", "a crash wastes the rest of a range");
}

#[test]
fn a_segment_is_given_out_whole() {
    let store = MemoryStore::new();
    let process = numbers(&store, 1);
    let first = take(&process, START_MS).expect("no faults").as_u64();
    for place in 1..u64::from(RANGE) * 2 + 5 {
        let id = take(&process, START_MS).expect("no faults");
        assert_eq!(id.as_u64(), first + place);
    }
}

/// Sixteen takers on four threads, so that they meet in the lease and at a range's end.
#[test]
fn i_9_concurrent_takers_share_no_number() {
    let store = MemoryStore::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .expect("a runtime without I/O");
    let process = Arc::new(numbers(&store, 1));
    let ids = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for taker in 0..16_i64 {
            let process = Arc::clone(&process);
            tasks.spawn(async move {
                let mut mine = Vec::new();
                for place in 0..2_000_i64 {
                    // Midnight passes for some takers before it does for others.
                    let after = Duration::from_millis((taker * 10 + place).unsigned_abs());
                    let now = Timestamp::from_millis(START_MS + 57_598_500).plus(after);
                    mine.push(process.next(&Present::certain(now)).await.expect("no faults"));
                }
                mine
            });
        }
        tasks.join_all().await
    });
    for mine in &ids {
        assert!(mine.is_sorted_by(|a, b| a < b), "each taker sees numbers that grow");
    }
    let all: BTreeSet<OrderId> = ids.iter().flatten().copied().collect();
    assert_eq!(all.len(), 32_000);
    let days: BTreeSet<String> = all.iter().map(|id| id.to_string()[..6].to_owned()).collect();
    assert_eq!(days.len(), 2, "{days:?}");
}

#[test]
fn a_clock_that_is_not_borne_out_carries_ids_into_the_next_day_at_most() {
    let (store, year_ms) = (MemoryStore::new(), 365 * DAY_MS);
    let process = numbers(&store, 1);
    let proven = Timestamp::from_millis(START_MS);
    let now = Timestamp::from_millis(START_MS + year_ms);
    let doubted = Present::new(now, proven, Duration::ZERO);
    let id = process.next(&doubted).now_or_never().expect("nobody else leases").expect("an id");
    assert!(id.to_string().starts_with("261123"), "{id}");
}

/// The hours after the start at which an older state of the books is restored: also right before
/// and after midnight.
const RESTORED_AFTER_MS: [i64; 5] = [0, 1, 7 * 3_600_000, 16 * 3_600_000 - 1, 16 * 3_600_000 + 1];

#[test]
fn i_9_restored_books_give_out_no_number_again() {
    for after_ms in RESTORED_AFTER_MS {
        // Both begin with the same books; the second one is the backup.
        let (lost, restored) = (MemoryStore::new(), MemoryStore::new());
        let (original, copy) = (numbers(&lost, 7), numbers(&restored, 7));
        let given: BTreeSet<OrderId> = (0..after_ms.min(30_000) + 1)
            .map(|_| take(&original, START_MS).expect("one"))
            .collect();
        // Its clock was ahead of ours.
        let ahead = take(&original, START_MS + after_ms + 59 * 60_000).expect("a number");
        let now = START_MS + after_ms;
        let leap = || {
            let leapt =
                copy.leap(&Present::certain(Timestamp::from_millis(now)), 10).now_or_never();
            leapt.expect("nobody else leases").expect("no faults");
        };
        leap();
        let first = take(&copy, now).expect("a number");
        assert!(!given.contains(&first) && first > ahead || first.yymmdd() < ahead.yymmdd());
        // Done again, after a crash before it was noted, it passes over a lease at most.
        leap();
        let again = take(&copy, now).expect("a number");
        assert!(again > first && again.sequence() - first.sequence() <= u64::from(RANGE) + 1);
    }
}

#[test]
fn a_number_from_outside_is_passed_over_if_it_may_be_true() {
    let store = MemoryStore::new();
    let process = numbers(&store, 7);
    let at = Timestamp::from_millis(START_MS);
    let pass = |sequence, yymmdd| {
        let number = OrderId::compose(yymmdd, 7, sequence);
        let passed = process.pass(number, at).now_or_never();
        passed.expect("nobody else leases").expect("no faults");
        take(&process, START_MS).expect("a number").sequence()
    };
    assert_eq!(pass(50_000, 261_122), 50_001, "it was not given out by these books");
    assert_eq!(pass(50_000, 261_122), 50_002, "it is passed already");
    assert_eq!(pass(50_000_000, 261_121), 50_003, "another day's");
    assert_eq!(pass(9_999_999_999, 261_122), 50_004, "nobody can have come so far");
    assert!(process.are_of_this_node(OrderId::compose(261_122, 7, 1), at));
    assert!(!process.are_of_this_node(OrderId::compose(261_122, 8, 1), at));
    assert!(!process.are_of_this_node(OrderId::compose(261_124, 7, 1), at));
}

#[test]
fn i_9_books_of_days_ago_pass_over_every_day_since() {
    let store = MemoryStore::new();
    let copy = numbers(&store, 7);
    let proven = Timestamp::from_millis(START_MS);
    let now = Timestamp::from_millis(START_MS + 9 * DAY_MS);
    // Nothing but the clock says that it is so late: ids may have the days between.
    let doubted = Present::new(now, proven, Duration::ZERO);
    let leapt = copy.leap(&doubted, 10).now_or_never();
    leapt.expect("nobody else leases").expect("no faults");
    for days in 1..9 {
        let id = take(&copy, START_MS + days * DAY_MS).expect("a number");
        assert!(id.sequence() > DAY_S * 10, "{id}");
    }
    let last = take(&copy, START_MS + 9 * DAY_MS).expect("a number");
    assert!(last.sequence() > second_of_day(now) * 10, "{last}");
}
