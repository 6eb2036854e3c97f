//! The servers of the tests do what the other tests rest on.

use std::path::Path;
use std::time::Duration;

use tokio_postgres::Client;

use crate::support::postgres::{Server, connect, database, try_connect};
use crate::support::wire::until;

async fn count(client: &Client) -> i64 {
    client.query_one("SELECT count(*) FROM kept", &[]).await.expect("a table").get(0)
}

#[tokio::test]
async fn a_server_that_is_killed_has_what_was_committed() {
    let Some(server) = Server::start("") else { return };
    let url = server.url("postgres");
    let client = connect(&url).await;
    client.batch_execute("CREATE TABLE kept (n int)").await.expect("a table");
    client.batch_execute("INSERT INTO kept VALUES (1)").await.expect("a row");
    client.batch_execute("BEGIN; INSERT INTO kept VALUES (2)").await.expect("a row");
    server.kill();
    assert!(try_connect(&url).await.is_err(), "nobody listens");
    assert!(client.batch_execute("COMMIT").await.is_err(), "the connection has ended");
    server.start_again();
    assert_eq!(count(&connect(&url).await).await, 1);
    server.stop();
    server.start_again();
    assert_eq!(count(&connect(&url).await).await, 1);
}

#[tokio::test]
async fn a_server_that_is_paused_answers_when_it_is_resumed() {
    let Some(server) = Server::start("") else { return };
    let client = connect(&server.url("postgres")).await;
    server.pause();
    let mut asked = std::pin::pin!(client.query_one("SELECT 1", &[]));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut asked).await;
    assert!(early.is_err(), "it stands still");
    server.resume();
    assert_eq!(asked.await.expect("an answer").get::<_, i32>(0), 1);
}

#[tokio::test]
async fn a_standby_follows_and_is_promoted() {
    let Some(server) = Server::start("") else { return };
    let standby = server.standby("second", "");
    let client = connect(&server.url("postgres")).await;
    client.batch_execute("CREATE TABLE kept (n int)").await.expect("a table");
    let set = "ALTER SYSTEM SET synchronous_standby_names = 'second'";
    client.batch_execute(set).await.expect("the owner may");
    client.batch_execute("SELECT pg_reload_conf()").await.expect("the owner may");
    let is_synchronous = async || {
        let states = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
        client.query_opt(states, &[]).await.expect("a view")
    };
    until("the standby is synchronous", is_synchronous).await;
    client.batch_execute("INSERT INTO kept VALUES (1)").await.expect("a row");
    server.kill();
    standby.promote();
    let promoted = connect(&standby.url("postgres")).await;
    assert_eq!(count(&promoted).await, 1);
    promoted.batch_execute("INSERT INTO kept VALUES (2)").await.expect("it is written to");
}

#[tokio::test]
async fn a_server_goes_with_its_value() {
    let Some(server) = Server::start("") else { return };
    let (process, data) = (server.process(), server.data());
    server.pause();
    drop(server);
    assert!(!Path::new(&format!("/proc/{process}")).exists() && !data.exists());
}

#[tokio::test]
async fn tests_have_databases_of_their_own() {
    let Some(one) = database().await else { return };
    one.client().await.batch_execute("CREATE TABLE kept (n int)").await.expect("a table");
    let other = database().await.expect("there is a server");
    assert!(other.client().await.query("SELECT * FROM kept", &[]).await.is_err());
}
