//! Several daemons over one database: each takes orders, and what one leaves another ends.

use serde_json::json;

use crate::daemon::{die_before_the_reply, order_of, start, town};
use crate::support::core::{Core, Payment};
use crate::support::daemon::Daemon;
use crate::support::installation::{CALLER_KEY, Installation};
use crate::support::postgres::database;
use crate::support::wire::until;

const SECOND: [&str; 5] = ["serve", "--config", "second.toml", "--data", "second"];

/// The data folder of a second node has the first one's keys.
fn folder_of_another_node(town: &Installation) {
    let (from, to) = (town.folder().join("data"), town.folder().join("second"));
    std::fs::create_dir_all(to.join("keys")).expect("a folder");
    for name in ["installation", "database_tokens"] {
        std::fs::copy(from.join(name), to.join(name)).expect("a copy");
    }
    for key in std::fs::read_dir(from.join("keys")).expect("keys").flatten() {
        std::fs::copy(key.path(), to.join("keys").join(key.file_name())).expect("a copy");
    }
    let settings = std::fs::read_to_string(town.settings_file()).expect("the settings");
    let settings = format!("{settings}\n[node]\nnumber = 2\n");
    std::fs::write(town.folder().join("second.toml"), settings).expect("a file");
}

async fn start_second(town: &Installation) -> (Daemon, Core) {
    folder_of_another_node(town);
    let second = Daemon::start(town.folder(), &SECOND).await;
    let core = Core::new(second.address, CALLER_KEY);
    (second, core)
}

/// Waits until each of the nodes that are alive works so many shards of a queue.
async fn is_shared(core: &Core, alive: &[(u16, u64)]) {
    let shared = async || {
        let nodes = core.get("/v1/nodes").await.body["nodes"].clone();
        let nodes = nodes.as_array().expect("a list").clone();
        let alive_now = nodes.iter().filter(|node| node["state"] == "alive");
        let shown =
            alive_now.map(|node| (node["node"].clone(), node["shards"]["reversals"].clone()));
        let wanted = alive.iter().map(|(node, shards)| (json!(node), json!(shards)));
        shown.eq(wanted).then_some(())
    };
    until("the nodes share the work", shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_take_orders_side_by_side_and_one_goes_on_alone() {
    let Some(database) = database().await else { return };
    let town = town(&database.url).await;
    let (mut daemon, core) = start(&town).await;
    let paid = core.pay(&Payment::instant("C-1", 12_345)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"));
    let (second, other) = start_second(&town).await;
    is_shared(&other, &[(0, 32), (2, 32)]).await;
    let again = core.pay(&Payment::instant("C-2", 100)).await;
    assert_eq!(again.outcome(), (200, "succeeded"), "the first one goes on");
    let new = other.pay(&Payment::instant("C-3", 100)).await;
    assert_eq!(new.outcome(), (200, "succeeded"));
    assert_eq!((&again.id()[6..9], &new.id()[6..9]), ("000", "002"), "each has its numbers");
    let repeated = other.pay(&Payment::instant("C-1", 12_345)).await;
    assert_eq!((repeated.outcome(), repeated.id()), ((200, "succeeded"), paid.id()), "it was paid");

    daemon.signal("TERM");
    assert!(daemon.ended().await.success());
    is_shared(&other, &[(2, 64)]).await;
    let refunded = other.refund(again.id(), "C-4", 40).await;
    assert_eq!(refunded.outcome(), (200, "succeeded"), "an order of the first one");
    drop(second);
}

/// A channel's notice comes to whichever node the proxy chooses; the call is open at another.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_hears_of_an_end_on_another_node() {
    let Some(database) = database().await else { return };
    let town = town(&database.url).await;
    let settings = std::fs::read_to_string(town.settings_file()).expect("the settings");
    // Longer than the core waits for an answer.
    let waits = "wait_default = \"5m\"\nwait_max = \"5m\"";
    let settings = settings.replace("wait_default = \"10s\"", waits);
    assert!(settings.contains(waits), "{settings}");
    std::fs::write(town.settings_file(), settings).expect("a file");
    let (daemon, core) = start(&town).await;
    let (second, _) = start_second(&town).await;
    town.door.lead_to(Some(second.address));
    let paid = core.pay(&Payment::escrow("D-1", 50_000)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    drop((daemon, second));
}

/// Nobody touches a payment of a node that may only be slow; behind its fence another one asks.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_had_under_way_is_ended_by_another() {
    let Some(database) = database().await else { return };
    let town = town(&database.url).await;
    let (daemon, _) = start(&town).await;
    let (second, other) = start_second(&town).await;
    die_before_the_reply(daemon, &town, Payment::instant("E-1", 20_000)).await;
    let lost = order_of(&database, "E-1").await.expect("it was accepted durably");
    let succeeded = async || {
        let order = other.payment(&lost).await;
        (order.outcome() == (200, "succeeded")).then_some(order)
    };
    let found = until("another node's inquiry finds the payment", succeeded).await;
    assert_eq!(found.body["attempts"].as_array().map(Vec::len), Some(1), "it was asked once");
    is_shared(&other, &[(2, 64)]).await;
    drop(second);
}
