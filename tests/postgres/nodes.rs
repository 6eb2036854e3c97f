//! Several nodes on one database: leases by its clock, fences, and who does which work.

use std::collections::BTreeSet;

use switchyard::domain::attempt::AttemptState;
use switchyard::domain::cluster::{Incarnation, PartInForce, Queue, Roster, Work, WorkTrade};
use switchyard::domain::ids::{OrderId, Shards};
use switchyard::domain::write_set::WriteSet;
use switchyard::store::postgres::{PostgresSettings, PostgresStore, accept_loss};
use switchyard::store::{Cluster, CommitError, Store};

use crate::support::Scratch;
use crate::support::books::{accepted, audit, due_by, id, moment, next, notice, order};
use crate::support::postgres::{Database, database};

async fn open(database: &Database, node: u16) -> PostgresStore {
    let address = format!("127.0.0.1:{node}");
    let settings = PostgresSettings { node, address, ..PostgresSettings::at(&*database.url) };
    PostgresStore::open(&settings).await.expect("it opens")
}

fn of(store: &PostgresStore) -> &dyn Store {
    store
}

async fn renew(store: &PostgresStore, trade: &WorkTrade) -> Roster {
    store.renew(0, trade).await.expect("the node stands")
}

/// As if a node had not renewed its lease for long.
async fn let_its_lease_end(database: &Database, node: u16) {
    let sql = format!("UPDATE nodes SET lease_until = now() - interval '1 ms' WHERE node = {node}");
    database.client().await.batch_execute(&sql).await.expect("it is written");
}

async fn orphans(store: &PostgresStore) -> Vec<OrderId> {
    let orders = of(store).orphans(None, 10).await.expect("readable");
    orders.iter().map(|order| order.id).collect()
}

/// An order with an attempt in flight.
async fn send(store: &PostgresStore, sequence: u64) -> OrderId {
    let order = order(sequence);
    assert_eq!(order.attempts[0].state, AttemptState::Sending);
    store.commit(&accepted(&order)).await.expect("a new order");
    order.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_gone_is_fenced_and_leaves_its_attempts() {
    let Some(database) = database().await else { return };
    let (first, second) = (open(&database, 1).await, open(&database, 2).await);
    let nothing = WorkTrade::default();
    renew(&first, &nothing).await;
    renew(&second, &nothing).await;
    let sent = send(&first, 1).await;
    send(&second, 2).await;
    assert_eq!(first.in_flight().await.expect("readable"), [(sent, 1)]);
    assert_eq!(orphans(&second).await, [], "the first one stands");
    assert!(!second.fence(first.incarnation()).await.expect("it is asked"), "its lease lasts");
    let_its_lease_end(&database, 1).await;
    let roster = renew(&second, &nothing).await;
    assert_eq!(roster.expired().collect::<Vec<_>>(), [first.incarnation()]);
    assert_eq!(orphans(&second).await, [], "it may be slow, and still stands");
    assert!(second.fence(first.incarnation()).await.expect("it is asked"));
    assert!(!second.fence(first.incarnation()).await.expect("it is asked"), "once");
    assert_eq!(orphans(&second).await, [sent]);
    let late = first.commit(&accepted(&order(3))).await;
    assert!(matches!(late, Err(CommitError::Fenced)), "{late:?}");
    let late = first.renew(0, &nothing).await;
    assert!(matches!(late, Err(CommitError::Fenced)), "{late:?}");
    assert_eq!(of(&second).order(id(3)).await.expect("readable"), None);
    // Its next life goes on, and finds what the last one left.
    let again = open(&database, 1).await;
    assert_eq!(again.incarnation(), Incarnation { node: 1, number: 2 });
    assert_eq!(orphans(&again).await, [sent]);
    let mut ended = next(&of(&again).order(sent).await.expect("readable").expect("it is there"));
    ended.attempts[0].state = AttemptState::Unknown;
    let writes = WriteSet { orders: vec![ended], ..WriteSet::default() };
    again.commit(&writes).await.expect("it is its own now");
    assert_eq!(orphans(&again).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_is_not_taken_for_one_that_is_gone() {
    let Some(database) = database().await else { return };
    let (first, second) = (open(&database, 1).await, open(&database, 2).await);
    let starting = second.incarnation();
    let expired = async || {
        let roster = renew(&first, &WorkTrade::default()).await;
        roster.expired().collect::<Vec<_>>()
    };
    assert_eq!(expired().await, [], "it has not come to its first renewal");
    assert!(!first.fence(starting).await.expect("it is asked"));
    let long_ago = "UPDATE nodes SET opened_at = now() - interval '31 s' WHERE node = 2";
    database.client().await.batch_execute(long_ago).await.expect("it is written");
    assert_eq!(expired().await, [starting], "it never came to it");
    assert!(first.fence(starting).await.expect("it is asked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_never_work_as_one_node() {
    let Some(database) = database().await else { return };
    let first = open(&database, 1).await;
    renew(&first, &WorkTrade::default()).await;
    let settings = PostgresSettings { node: 1, ..PostgresSettings::at(&*database.url) };
    let refused = PostgresStore::open(&settings).await.err().expect("it is refused").to_string();
    assert!(refused.contains("node 1 is at work at 127.0.0.1:1"), "{refused}");
    send(&first, 1).await;
    // At a stop the lease is given back, and nobody has to wait.
    first.leave().await.expect("it leaves");
    let again = PostgresStore::open(&settings).await.expect("the lease is given back");
    assert_eq!(again.incarnation().number, 2);
}

/// The folder's lock proves that the process that had it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_crashed_starts_at_once_in_its_folder() {
    let Some(database) = database().await else { return };
    let scratch = Scratch::new();
    let folder = Some(scratch.path().to_owned());
    let settings = PostgresSettings { folder, node: 1, ..PostgresSettings::at(&*database.url) };
    let first = PostgresStore::open(&settings).await.expect("it opens");
    renew(&first, &WorkTrade::default()).await;
    let sent = send(&first, 1).await;
    let again = PostgresStore::open(&settings).await.expect("it does not wait for its own lease");
    assert_eq!(orphans(&again).await, [sent]);
    let late = first.commit(&accepted(&order(2))).await;
    assert!(matches!(late, Err(CommitError::Fenced)), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_is_held_by_one_node_and_free_behind_the_fence() {
    let Some(database) = database().await else { return };
    let (first, second) = (open(&database, 1).await, open(&database, 2).await);
    let all: BTreeSet<Work> =
        (0..4).map(|shard| Work::Shard(Queue::Notices, shard)).chain([Work::Recovery]).collect();
    let take = WorkTrade { take: all.iter().cloned().collect(), ..WorkTrade::default() };
    let held = |roster: &Roster, store: &PostgresStore| {
        roster.held_by(store.incarnation()).cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(held(&renew(&first, &take).await, &first), all);
    assert!(held(&renew(&second, &take).await, &second).is_empty(), "it is taken");
    // Each comes to its part by what the roster says.
    for _ in 0..2 {
        for store in [&first, &second] {
            let roster = renew(store, &WorkTrade::default()).await;
            renew(store, &roster.trade(store.incarnation(), &all)).await;
        }
    }
    let roster = renew(&first, &WorkTrade::default()).await;
    assert_eq!(held(&roster, &first).len() + held(&roster, &second).len(), all.len());
    assert_eq!(held(&roster, &first).len(), 3, "two shards, and what one node does");
    let_its_lease_end(&database, 2).await;
    assert!(first.fence(second.incarnation()).await.expect("it is asked"));
    assert_eq!(held(&renew(&first, &take).await, &first), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_sees_what_is_due_in_its_shards() {
    let Some(database) = database().await else { return };
    let store = open(&database, 1).await;
    let orders: Vec<_> = (1..=8).map(order).collect();
    for order in &orders {
        let notices = vec![notice(order, 0)];
        let writes = WriteSet { notices, ..accepted(order) };
        store.commit(&writes).await.expect("a new order");
    }
    let mine = Shards::NONE.with(Shards::of(id(3))).with(Shards::of(id(8)));
    for (shards, due) in [(mine, vec![id(3), id(8)]), (Shards::NONE, vec![])] {
        let window = due_by(0).of_shards(shards);
        let found = of(&store).due_notices(window, 10).await.expect("readable");
        assert_eq!(found.iter().map(|one| one.order).collect::<Vec<_>>(), due);
    }
    let all = of(&store).due_notices(due_by(0), 10).await.expect("readable");
    assert_eq!(all.len(), orders.len());
    assert!(all.iter().all(|one| one.delivery.due_at <= moment(0)));
}

/// A fail-over may lose the lease of numbers that this process still gives out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_9_numbers_do_not_come_again_where_the_database_went_back() {
    const YYMMDD: u32 = 261_122;
    let Some(database) = database().await else { return };
    let store = open(&database, 1).await;
    assert_eq!(store.lease(YYMMDD, 1, 10).await.expect("numbers"), 1);
    let back = "UPDATE order_numbers SET given = 0";
    database.client().await.batch_execute(back).await.expect("it is written");
    assert_eq!(store.lease(YYMMDD, 1, 5).await.expect("numbers"), 11);
    assert_eq!(store.lease(YYMMDD, 1, 5).await.expect("numbers"), 16);
}

/// The machine of a node that has found a loss may be gone with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_that_one_node_has_found_is_accepted_on_another() {
    const YYMMDD: u32 = 261_122;
    let Some(database) = database().await else { return };
    let (first, second) = (open(&database, 1).await, open(&database, 2).await);
    let given = first.lease(YYMMDD, 1, 10).await.expect("numbers") + 9;
    drop((first, second));
    let found = "UPDATE nodes SET history_lost_at = now() WHERE node = 1";
    database.client().await.batch_execute(found).await.expect("it is written");
    let settings = PostgresSettings { node: 2, ..PostgresSettings::at(&*database.url) };
    let refused = PostgresStore::open(&settings).await.err().expect("it is refused").to_string();
    assert!(refused.contains("history_lost"), "{refused}");
    accept_loss(&settings, &audit("node 1 is gone")).await.expect("a person may");
    let again = open(&database, 1).await;
    let first = again.lease(YYMMDD, 1, 10).await.expect("numbers");
    assert!(first > given + 900_000, "{first} of the lost node's numbers");
}

/// One renewal of a node, which puts its part in force; gives that part of ten.
async fn part_of_ten(store: &PostgresStore, rule: &mut PartInForce) -> u32 {
    let roster = store.renew(rule.epoch(), &WorkTrade::default()).await.expect("the node stands");
    let part = rule.next(store.incarnation(), &roster);
    rule.put(roster.epoch);
    part.of(10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_have_parts_of_what_they_share() {
    let Some(database) = database().await else { return };
    let (first, mut of_first) = (open(&database, 1).await, PartInForce::default());
    assert_eq!(part_of_ten(&first, &mut of_first).await, 10, "it is alone");
    let (second, mut of_second) = (open(&database, 2).await, PartInForce::default());
    assert_eq!(part_of_ten(&second, &mut of_second).await, 0, "the first knows nothing of it");
    assert_eq!(part_of_ten(&first, &mut of_first).await, 5);
    assert_eq!(part_of_ten(&second, &mut of_second).await, 0, "the first has not said so");
    assert_eq!(part_of_ten(&first, &mut of_first).await, 5);
    assert_eq!(part_of_ten(&second, &mut of_second).await, 5);
    let (third, mut of_third) = (open(&database, 3).await, PartInForce::default());
    for _ in 0..3 {
        part_of_ten(&first, &mut of_first).await;
        part_of_ten(&second, &mut of_second).await;
        part_of_ten(&third, &mut of_third).await;
    }
    let thirds = [
        part_of_ten(&first, &mut of_first).await,
        part_of_ten(&second, &mut of_second).await,
        part_of_ten(&third, &mut of_third).await,
    ];
    assert_eq!(thirds, [4, 3, 3]);
    // Who leaves or is fenced uses nothing any more.
    first.leave().await.expect("it leaves");
    assert_eq!(part_of_ten(&second, &mut of_second).await, 5);
    let_its_lease_end(&database, 3).await;
    assert_eq!(part_of_ten(&second, &mut of_second).await, 5, "it may be slow");
    assert!(second.fence(third.incarnation()).await.expect("it is asked"));
    assert_eq!(part_of_ten(&second, &mut of_second).await, 10);
}
