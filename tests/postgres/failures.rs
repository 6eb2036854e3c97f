//! The server fails, stands still, moves or goes back in time, with payments under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use switchyard::store::postgres::{PostgresSettings, PostgresStore, accept_loss};
use switchyard::store::{CommitError, Store};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::books::{Answers, are_true, open, pay, payment};
use crate::support::Scratch;
use crate::support::books::{accepted, audit, id, next, order};
use crate::support::postgres::{OWNER, Server, connect, database};
use crate::support::wire::until;

const PAYERS: u64 = 6;

/// Payments that go on until the load is over.
struct Load {
    over: Arc<AtomicBool>,
    payers: Vec<JoinHandle<Answers>>,
}

impl Load {
    fn start(store: &Arc<dyn Store>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let payer = |payer: u64| {
            let (store, over) = (Arc::clone(store), Arc::clone(&over));
            tokio::spawn(async move {
                let numbers = (0..).map(|count| count * PAYERS + payer);
                pay(&*store, numbers.take_while(|_| !over.load(Ordering::Relaxed))).await
            })
        };
        Self { payers: (0..PAYERS).map(payer).collect(), over }
    }

    async fn end(self) -> Answers {
        self.over.store(true, Ordering::Relaxed);
        let mut answers = Answers::default();
        for payer in self.payers {
            answers.extend(payer.await.expect("answers that a caller can live with"));
        }
        answers
    }
}

async fn orders(client: &Client) -> i64 {
    client.query_one("SELECT count(*) FROM orders", &[]).await.expect("a table").get(0)
}

/// Waits until there are this many orders more than now.
async fn more_orders(client: &Client, more: i64) {
    let wanted = orders(client).await + more;
    let look = async || (orders(client).await >= wanted).then_some(());
    until("more orders", look).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_12_a_server_that_is_killed_under_load_has_what_was_acknowledged() {
    let Some(server) = Server::start("") else { return };
    let url = server.url("postgres");
    let store = open(&url).await;
    let load = Load::start(&store);
    for _ in 0..2 {
        more_orders(&connect(&url).await, 20).await;
        server.kill();
        server.start_again();
    }
    let client = connect(&url).await;
    more_orders(&client, 20).await;
    are_true(&client, &load.end().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_goes_on_where_it_was() {
    let Some(server) = Server::start("") else { return };
    let url = server.url("postgres");
    let store = open(&url).await;
    let load = Load::start(&store);
    let client = connect(&url).await;
    more_orders(&client, 20).await;
    server.pause();
    // A read does not wait for ever.
    let read = store.order(id(0)).await;
    server.resume();
    assert!(read.is_err(), "{read:?}");
    more_orders(&client, 20).await;
    are_true(&client, &load.end().await).await;
}

/// A server, and a standby that each commit waits for.
async fn synchronous() -> Option<(Server, Server, Client)> {
    let server = Server::start("")?;
    let standby = server.standby("second", "");
    let admin = connect(&server.url("postgres")).await;
    let set = "ALTER SYSTEM SET synchronous_standby_names = 'second'";
    admin.batch_execute(set).await.expect("the owner may");
    admin.batch_execute("SELECT pg_reload_conf()").await.expect("the owner may");
    let states = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
    let look = async || admin.query_opt(states, &[]).await.expect("a view");
    until("the standby is synchronous", look).await;
    Some((server, standby, admin))
}

/// A backend that waits for the standby is told to stop waiting: PostgreSQL answers COMMIT, with a
/// warning or not at all, and nobody is answered before the standby has it.
async fn waits_for_the_standby(stop_waiting: &str) {
    let Some((server, standby, admin)) = synchronous().await else { return };
    let store = open(&server.url("postgres")).await;
    let mut answers = pay(&*store, 1..2).await;
    standby.pause();
    let asked = Arc::clone(&store);
    let paying = tokio::spawn(async move { pay(&*asked, 2..4).await });
    let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid <> $1";
    let mut stopped = 0;
    // The group first, and then what is to confirm it, for which the store waits as well.
    for _ in 0..2 {
        let look = async || admin.query(waiting, &[&stopped]).await.expect("a view").pop();
        stopped = until("a backend that waits", look).await.get(0);
        admin.query_one(stop_waiting, &[&stopped]).await.expect("the owner may");
        let look = async || {
            let rows = admin.query(waiting, &[&0]).await.expect("a view");
            rows.iter().all(|row| row.get::<_, i32>(0) != stopped).then_some(())
        };
        if stop_waiting.contains("terminate") {
            until("its end", look).await;
        } else {
            stopped = 0;
        }
    }
    assert!(!paying.is_finished(), "only the primary has it");
    standby.resume();
    answers.extend(paying.await.expect("no panic"));
    are_true(&admin, &answers).await;
    server.kill();
    standby.promote();
    are_true(&connect(&standby.url("postgres")).await, &answers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warning_at_commit_is_no_success() {
    waits_for_the_standby("SELECT pg_cancel_backend($1)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_ends_while_it_waits_for_the_standby_has_told_nothing() {
    waits_for_the_standby("SELECT pg_terminate_backend($1)").await;
}

fn two_hosts(one: &Server, other: &Server) -> String {
    format!(
        "postgres://{OWNER}@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        one.port, other.port
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_12_a_fail_over_to_a_synchronous_standby_loses_nothing() {
    let Some((server, standby, admin)) = synchronous().await else { return };
    let store = open(&two_hosts(&server, &standby)).await;
    let load = Load::start(&store);
    more_orders(&admin, 30).await;
    server.kill();
    standby.promote();
    let client = connect(&standby.url("postgres")).await;
    more_orders(&client, 30).await;
    are_true(&client, &load.end().await).await;
}

/// The store says that history is lost, goes on saying so, and is not opened again.
async fn is_named(store: &dyn Store, url: &str) {
    let say = async |number| match store.commit(&payment(number, false, "after")).await {
        Err(CommitError::Failed(error)) => error.to_string(),
        other => panic!("history is lost, and: {other:?}"),
    };
    for number in [50, 51] {
        assert!(say(number).await.contains("history_lost"));
    }
    let again = PostgresStore::open(&PostgresSettings::at(url)).await;
    let refused = again.err().expect("it is not opened").to_string();
    assert!(refused.contains("history_lost"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_that_loses_what_was_acknowledged_is_named() {
    let Some(server) = Server::start("") else { return };
    let standby = server.standby("second", "");
    let admin = connect(&server.url("postgres")).await;
    let url = two_hosts(&server, &standby);
    let store = open(&url).await;
    pay(&*store, 1..9).await;
    let caught_up = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()";
    let look = async || admin.query_opt(caught_up, &[]).await.expect("a view");
    until("the standby has it all", look).await;
    standby.stop();
    pay(&*store, 9..20).await;
    server.kill();
    standby.start_again();
    standby.promote();
    let client = connect(&standby.url("postgres")).await;
    assert_eq!(orders(&client).await, 8, "the loss is there");
    // Whichever writers have lost something, the first of them to write names it.
    let named = async || match store.commit(&payment(40, false, "after")).await {
        Err(CommitError::Failed(_)) => Some(()),
        _ => None,
    };
    until("the loss is named", named).await;
    is_named(&*store, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_backup_under_a_running_store_is_named() {
    let Some(server) = Server::start("") else { return };
    let url = server.url("postgres");
    let store = open(&url).await;
    pay(&*store, 1..9).await;
    server.stop();
    server.copy_data("data", "old");
    server.start_again();
    pay(&*store, 9..30).await;
    server.stop();
    server.copy_data("old", "data");
    server.start_again();
    let named = async || match store.commit(&payment(40, false, "after")).await {
        Err(CommitError::Failed(_)) => Some(()),
        _ => None,
    };
    until("the loss is named", named).await;
    is_named(&*store, &url).await;
}

/// The writers' numbers in the database, as the node's folder keeps them.
async fn tokens(client: &Client) -> String {
    let rows = client.query("SELECT last FROM writers ORDER BY writer", &[]).await;
    let rows = rows.expect("a table");
    rows.iter().map(|row| format!("{}\n", row.get::<_, i64>(0))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_9_a_lost_history_is_accepted_by_a_person_and_no_number_comes_again() {
    const YYMMDD: u32 = 261_122;
    let Some(server) = Server::start("") else { return };
    let (folder, url) = (Scratch::new(), server.url("postgres"));
    let settings = PostgresSettings {
        folder: Some(folder.path().to_owned()),
        ..PostgresSettings::at(url.as_str())
    };
    let open = async || PostgresStore::open(&settings).await;
    let store = open().await.expect("an empty database");
    pay(&store, 1..4).await;
    store.lease(YYMMDD, 0, 10).await.expect("numbers");
    drop(store);
    server.stop();
    server.copy_data("data", "old");
    server.start_again();
    let store = open().await.expect("the same books");
    pay(&store, 4..30).await;
    let last = store.lease(YYMMDD, 0, 10).await.expect("numbers") + 9;
    let client = connect(&url).await;
    let kept = async || {
        let text = std::fs::read_to_string(folder.path().join("database_tokens"));
        text.ok()?.ends_with(&tokens(&client).await).then_some(())
    };
    until("the folder knows what was acknowledged", kept).await;
    drop((store, client));
    server.stop();
    server.copy_data("old", "data");
    server.start_again();
    let refused = open().await.err().expect("it is not opened").to_string();
    assert!(refused.contains("history_lost"), "{refused}");
    accept_loss(&settings, &audit("the backup of the evening")).await.expect("a person may");
    let store = open().await.expect("the loss is accepted");
    let first = store.lease(YYMMDD, 0, 10).await.expect("numbers");
    assert!(first > last, "{first} was given out before: {last}");
    let client = connect(&url).await;
    let told = client.query_one("SELECT subject FROM audit ORDER BY place DESC LIMIT 1", &[]).await;
    assert_eq!(told.expect("a line").get::<_, &str>(0), "the backup of the evening");
    pay(&store, 30..33).await;
}

/// Waits until the store waits for what another one holds.
async fn waits_for_a_lock(client: &Client) {
    let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND \
                 wait_event_type = 'Lock' LIMIT 1";
    let look = async || client.query_opt(waits, &[]).await.expect("a view");
    until("the store waits", look).await;
}

/// Another transaction holds what the group wants, and wants what the group holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_tried_again() {
    let Some(database) = database().await else { return };
    let admin = database.client().await;
    // The store's transaction looks for a deadlock once it has waited so long, the other one later:
    // so it is the store's that is ended.
    let wait = format!("ALTER DATABASE {} SET deadlock_timeout = '3s'", database.name);
    admin.batch_execute(&wait).await.expect("the owner may");
    let store = open(&database.url).await;
    for number in 1..3 {
        store.commit(&accepted(&order(number))).await.expect("new orders");
    }
    let other = database.client().await;
    other.batch_execute("SET deadlock_timeout = '1min'; BEGIN").await.expect("the owner may");
    let lock = "SELECT 1 FROM orders WHERE id = $1 FOR UPDATE";
    let sql = |number| id(number).as_u64().cast_signed();
    other.query(lock, &[&sql(2)]).await.expect("nobody has it");
    let asked = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        let mut both = accepted(&next(&order(1)));
        both.orders.push(next(&order(2)));
        asked.commit(&both).await
    });
    waits_for_a_lock(&admin).await;
    other.query(lock, &[&sql(1)]).await.expect("the store's transaction is ended");
    other.batch_execute("COMMIT").await.expect("it holds both");
    writing.await.expect("no panic").expect("it is made again");
    let counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let look = async || {
        let row = admin.query_one(counted, &[]).await.expect("a view");
        (row.get::<_, i64>(0) == 1).then_some(())
    };
    until("the deadlock is counted", look).await;
}

/// Many write sets wait and go as one group, and some of them cannot be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_write_set_in_a_group_spoils_no_other() {
    let Some(database) = database().await else { return };
    let store = open(&database.url).await;
    store.commit(&accepted(&order(1))).await.expect("a new order");
    let admin = database.client().await;
    // Both writers wait for their rows, so the rest gathers.
    admin.batch_execute("BEGIN; LOCK TABLE writers").await.expect("the owner may");
    let commits: Vec<_> = (2..60_u64)
        .map(|number| {
            let writes = match number % 3 {
                // An order that is there, and one whose version cannot be.
                0 => accepted(&order(1)),
                1 => accepted(&next(&order(number))),
                _ => accepted(&order(number)),
            };
            let store = Arc::clone(&store);
            (number, tokio::spawn(async move { store.commit(&writes).await }))
        })
        .collect();
    waits_for_a_lock(&database.client().await).await;
    admin.batch_execute("COMMIT").await.expect("it has the lock");
    for (number, commit) in commits {
        let end = commit.await.expect("no panic");
        match number % 3 {
            2 => assert!(end.is_ok(), "{number}: {end:?}"),
            _ => assert!(matches!(end, Err(CommitError::Conflict)), "{number}: {end:?}"),
        }
    }
    let expected = 1 + (2..60_u64).filter(|number| number % 3 == 2).count() as i64;
    assert_eq!(orders(&admin).await, expected);
}
