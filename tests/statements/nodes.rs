//! Statements that come in at any node of several: one works them, and all see what came of it. On
//! a database, and on a store in memory, which has nodes as well.

use std::sync::Arc;
use std::time::Duration;

use switchyard::clock::Clock;
use switchyard::domain::books::statement::StatementOrigin;
use switchyard::domain::cluster::Work;
use switchyard::reconciliation::ReconciliationError;
use switchyard::store::Store;
use switchyard::store::memory::MemoryStore;
use switchyard::store::postgres::{PostgresSettings, PostgresStore};

use crate::office::{Office, channel, date, refusing, statement};
use crate::support::postgres::{Database, database};

fn holds(office: &Office) -> bool {
    office.engine.holds(&Work::Reconciliation(channel()))
}

async fn renew(nodes: [&Office; 2]) {
    for node in nodes {
        node.engine.renew_lease().await.expect("it stands");
    }
}

/// What the worker of the node that has this work does, until something else has ended.
async fn work_until<T>(nodes: [&Office; 2], other: impl Future<Output = T>) -> T {
    let work = async {
        loop {
            renew(nodes).await;
            for node in nodes {
                let landed = node.imports.landed_statements().await.expect("readable");
                for waiting in landed {
                    // A refusal is for whoever handed it in.
                    let _ended = node.imports.import_landed(&waiting).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = other => ended,
        () = work => unreachable!("it goes on"),
    }
}

async fn statements_of_nodes(stores: [Arc<dyn Store>; 2]) {
    let [first, second] = stores;
    let one = Office::new(first, &refusing(""));
    let other = one.beside(second);
    renew([&one, &other]).await;
    let order = one.pay(1_000).await;
    one.at(21, 10);
    renew([&one, &other]).await;
    renew([&one, &other]).await;
    let (worker, asked) = if holds(&one) { (&one, &other) } else { (&other, &one) };
    assert!(holds(worker) && !holds(asked), "one node has the work");
    let nodes = [worker, asked];

    // Handed in at the node that does not have the work.
    let bytes = statement(&[worker.line(&order, 20).await]);
    let taken = work_until(nodes, asked.hand_in(20, bytes.clone())).await.expect("it is run");
    assert_eq!((taken.is_new, taken.batch.report.differences), (true, 0));
    let revision = &taken.revision;
    assert_eq!((revision.origin, revision.by.as_str()), (StatementOrigin::Upload, "ada"));
    let again = work_until(nodes, asked.hand_in(20, bytes)).await.expect("it is there");
    assert_eq!((again.is_new, again.batch.id), (false, taken.batch.id));
    let elsewhere = asked.imports.run(&channel(), date(20), "ada").await;
    assert!(matches!(elsewhere, Err(ReconciliationError::AtAnotherNode { .. })), "{elsewhere:?}");

    // What is refused is refused to all, and not tried again.
    let refused = work_until(nodes, asked.hand_in(20, b"no statement\n".to_vec())).await;
    assert!(matches!(refused, Err(ReconciliationError::RefusedThere { .. })), "{refused:?}");
    assert_eq!(worker.imports.landed_statements().await.expect("readable"), []);

    // Laid by hand into the folder of the node that does not have the work.
    let folder = asked.scratch.path().join("inbox").join(channel().as_str()).join("2026-11-20");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("reissue.csv"), statement(&[])).expect("a file");
    asked.imports.landed_statements().await.expect("readable");
    asked.wait_minutes(1);
    // A look that fails behind the one that has found the file does not lose it.
    let damaged = folder.with_file_name("2026-11-21");
    std::fs::create_dir_all(&damaged).expect("a folder");
    std::fs::write(damaged.join("SHA256SUMS"), "rubbish\n").expect("a file");
    asked.imports.landed_statements().await.expect_err("the list is damaged");
    std::fs::remove_dir_all(&damaged).expect("ours");
    let current = async {
        loop {
            let current = asked.store.current_reconciliation(channel(), date(20)).await;
            let batch = current.expect("readable").expect("there is one");
            if batch.revision == 2 {
                return batch;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let batch = tokio::time::timeout(Duration::from_secs(60), work_until(nodes, current)).await;
    let batch = batch.expect("it is offered, and run");
    assert_eq!(batch.report.differences, 1, "the record is not in it");

    // The work goes to the other node, which lays down what it lacks and goes on.
    worker.engine.leave().await.expect("it leaves");
    while !holds(asked) {
        asked.engine.renew_lease().await.expect("it stands");
    }
    assert_eq!(asked.imports.landed_statements().await.expect("readable"), []);
    let batch = asked.imports.run(&channel(), date(20), "ada").await.expect("it is run here");
    assert_eq!((batch.revision, batch.report.differences), (2, 1));
    let laid = std::fs::read_dir(&folder).expect("the folder").count();
    assert_eq!(laid, 4, "the list, two statements and the refused one");
}

async fn open(database: &Database, node: u16) -> Arc<dyn Store> {
    let settings = PostgresSettings { node, ..PostgresSettings::at(&*database.url) };
    Arc::new(PostgresStore::open(&settings).await.expect("it opens"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_nodes_on_a_database() {
    let Some(database) = database().await else { return };
    statements_of_nodes([open(&database, 1).await, open(&database, 2).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_nodes_on_a_store_in_memory() {
    let store = MemoryStore::of_nodes(Arc::new(|| Clock::System.now()));
    let join =
        |node| -> Arc<dyn Store> { Arc::new(store.join(node, "127.0.0.1:1").expect("it is free")) };
    statements_of_nodes([join(1), join(2)]).await;
}
