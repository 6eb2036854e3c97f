//! The limits that nodes share, on a real server: no block is drawn twice, and what one node tells
//! arrives at the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use switchyard::channel::shares::ChannelShares;
use switchyard::channel::transport::volume::DayVolumes;
use switchyard::domain::attempt::VolumeKind;
use switchyard::domain::ids::ChannelId;
use switchyard::domain::time::BusinessDate;
use switchyard::engine::StoreShares;
use switchyard::store::postgres::{PostgresSettings, PostgresStore};
use switchyard::store::{SharedLimits, Store};
use tokio::task::JoinSet;

use crate::support::books::moment;
use crate::support::postgres::{Database, database};

const LIMIT: i64 = 200_000;

async fn open(database: &Database, node: u16) -> Arc<PostgresStore> {
    let settings = PostgresSettings { node, ..PostgresSettings::at(&*database.url) };
    Arc::new(PostgresStore::open(&settings).await.expect("it opens"))
}

fn bank() -> ChannelId {
    ChannelId::from_stored("harbour-bank")
}

/// The database's day, since it is asked for days of late.
async fn today(database: &Database) -> BusinessDate {
    let today = "SELECT to_char(current_date, 'YYYYMMDD')::int8";
    let row = database.client().await.query_one(today, &[]).await.expect("a date");
    let number = u32::try_from(row.get::<_, i64>(0)).expect("eight digits");
    BusinessDate::from_yyyymmdd(number).expect("a date")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_13_nodes_take_no_more_of_a_day_than_its_limit() {
    let Some(database) = database().await else { return };
    let today = today(&database).await;
    let mut nodes = Vec::new();
    for node in [1, 2] {
        let store: Arc<dyn Store> = open(&database, node).await;
        let shares = StoreShares::of(&store).expect("it is shared");
        nodes.push(Arc::new((shares, DayVolumes::new(VolumeKind::Charges))));
    }
    let mut orders = JoinSet::new();
    for order in 0..400_i64 {
        let node = Arc::clone(&nodes[usize::from(order % 3 == 0)]);
        let minor = 1 + order * 37 % 1_200;
        orders.spawn(async move {
            let (shares, volumes) = &*node;
            let drawn = volumes.draw(shares, &bank(), [today; 2], minor, Some(LIMIT)).await;
            if drawn.expect("it is in reach") { minor } else { 0 }
        });
    }
    let mut taken = 0;
    while let Some(minor) = orders.join_next().await {
        taken += minor.expect("no panic");
    }
    assert!(taken <= LIMIT && taken > LIMIT - 2 * LIMIT / 200, "{taken}");
    // At a stop nothing is left with a node.
    for node in &nodes {
        let (shares, volumes) = &**node;
        let told = volumes.exchange(shares, &bank(), [today; 2], Some(LIMIT), true).await;
        told.expect("it is in reach");
    }
    let standings = nodes[0].0.standings().await.expect("it is in reach");
    assert_eq!(
        standings.volumes.into_iter().collect::<Vec<_>>(),
        [((bank(), VolumeKind::Charges, today), taken)]
    );
    let (shares, volumes) = &*nodes[1];
    let rest = volumes.draw(shares, &bank(), [today; 2], LIMIT - taken, Some(LIMIT)).await;
    assert!(rest.expect("it is in reach"), "the rest is there for anybody");
    let above = volumes.draw(shares, &bank(), [today; 2], 1, Some(LIMIT)).await;
    assert!(!above.expect("it is in reach"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_tells_arrives_at_the_other() {
    let Some(database) = database().await else { return };
    let (first, second) = (open(&database, 1).await, open(&database, 2).await);
    let standings = async || second.standings().await.expect("it is in reach");
    let (until, next) = (moment(5), moment(5).plus(Duration::from_secs(5)));
    first.set_breaker(&bank(), Some(until)).await.expect("it is in reach");
    first.throw_switch(&bank(), false).await.expect("it is in reach");
    first.throw_switch(&bank(), false).await.expect("a switch that is off stays off");
    let told = standings().await;
    assert_eq!(told.breakers.get(&bank()), Some(&Some(until)));
    assert_eq!(told.off, BTreeSet::from([bank()]));
    let early = second.claim_probe(&bank(), moment(4), next).await;
    assert!(!early.expect("it is in reach"), "it is not open long enough");
    let mut claims = JoinSet::new();
    for node in 0..8 {
        let store = Arc::clone(if node % 2 == 0 { &first } else { &second });
        claims.spawn(async move { store.claim_probe(&bank(), until, next).await });
    }
    let mut probes = 0;
    while let Some(claimed) = claims.join_next().await {
        probes += u8::from(claimed.expect("no panic").expect("it is in reach"));
    }
    assert_eq!(probes, 1, "one node probes");
    first.set_breaker(&bank(), None).await.expect("it is in reach");
    second.throw_switch(&bank(), true).await.expect("it is in reach");
    let told = standings().await;
    assert_eq!((told.breakers.get(&bank()), told.off.len()), (Some(&None), 0));
    let other = ChannelId::from_stored("another");
    let unopened = second.claim_probe(&other, until, next).await;
    assert!(unopened.expect("it is in reach"), "nobody has told of it yet");
}
