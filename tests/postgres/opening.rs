//! What a store refuses to be opened on, and the sentence that tells what to do.

use switchyard::store::postgres::{PostgresSettings, PostgresStore};

use crate::books::{open, pay};
use crate::support::books::{accepted, order, paid};
use crate::support::postgres::{OWNER, STRANGER, Server, connect, database, shared};

/// The sentence of a refusal.
async fn refusal(settings: &PostgresSettings) -> String {
    let opened = PostgresStore::open(settings).await;
    let error = opened.err().unwrap_or_else(|| panic!("{} is opened", settings.url));
    error.to_string()
}

async fn refusal_at(url: &str) -> String {
    refusal(&PostgresSettings::at(url)).await
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
}

#[tokio::test]
async fn an_address_where_nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let url = format!("postgres://{OWNER}@127.0.0.1:{port}/books");
    has(&refusal_at(&url).await, &["cannot be reached", "store.url"]);
}

#[tokio::test]
async fn an_address_that_is_none() {
    has(&refusal_at("postgres://127.0.0.1:none/books").await, &["store.url"]);
    let secret = format!("postgres://{OWNER}:hidden-word@127.0.0.1/books");
    let text = refusal_at(&secret).await;
    has(&text, &["store.password"]);
    assert!(!text.contains("hidden-word"), "{text}");
}

#[tokio::test]
async fn a_database_that_is_not_there() {
    let Some(server) = shared() else { return };
    let text = refusal_at(&server.url("nowhere")).await;
    has(&text, &["\"nowhere\" does not exist", "CREATE DATABASE"]);
}

#[tokio::test]
async fn a_wrong_password_and_missing_rights() {
    let Some(database) = database().await else { return };
    let owner = database.client().await;
    let make = format!("CREATE ROLE {STRANGER} LOGIN PASSWORD 'right'");
    owner.batch_execute(&make).await.expect("no other test makes it");
    let url = database.url.replace(OWNER, STRANGER);
    let password = |word: &str| PostgresSettings {
        password: Some(word.to_owned()),
        ..PostgresSettings::at(url.as_str())
    };
    let text = refusal(&password("wrong-word")).await;
    has(&text, &["password authentication failed", "store.password"]);
    assert!(!text.contains("wrong-word"), "{text}");
    // It may log in, and may make nothing.
    has(&refusal(&password("right")).await, &["tables cannot be made", "GRANT CREATE"]);
    drop(open(&database.url).await);
    has(&refusal(&password("right")).await, &["GRANT SELECT, INSERT", "schema_steps"]);
    let read = format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {STRANGER}");
    owner.batch_execute(&read).await.expect("the owner may");
    has(&refusal(&password("right")).await, &["rights", "GRANT SELECT, INSERT", "orders"]);
    let all = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {STRANGER}"
    );
    owner.batch_execute(&all).await.expect("the owner may");
    let store = PostgresStore::open(&password("right")).await.expect("what it asked for is there");
    pay(&store, 1..3).await;
}

#[tokio::test]
async fn a_server_that_forgets_at_a_loss_of_power() {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let Some(server) = Server::start(&format!("{setting} = off\n")) else { return };
        let text = refusal_at(&server.url("postgres")).await;
        has(&text, &[&format!("{setting} is off"), &format!("set {setting} = on")]);
    }
}

#[tokio::test]
async fn a_schema_of_another_time() {
    let Some(database) = database().await else { return };
    drop(open(&database.url).await);
    let owner = database.client().await;
    let newer = "INSERT INTO schema_steps (step) VALUES (99)";
    owner.batch_execute(newer).await.expect("the owner may");
    has(&refusal_at(&database.url).await, &["newer than this program", "99"]);
    owner.batch_execute("DELETE FROM schema_steps").await.expect("the owner may");
    has(&refusal_at(&database.url).await, &["not whole", "backup"]);
}

#[tokio::test]
async fn a_database_of_another_program() {
    let Some(database) = database().await else { return };
    let client = database.client().await;
    client.batch_execute("CREATE TABLE orders (id int)").await.expect("the owner may");
    has(&refusal_at(&database.url).await, &["in use", "orders"]);
}

#[tokio::test]
async fn a_second_opening_ends_the_first() {
    let Some(database) = database().await else { return };
    let first = open(&database.url).await;
    first.commit(&accepted(&order(1))).await.expect("a new order");
    let second = open(&database.url).await;
    let end = first.commit(&accepted(&order(2))).await;
    assert!(matches!(end, Err(switchyard::store::CommitError::Fenced)), "{end:?}");
    assert_eq!(second.orphans(None, 9).await.expect("rows").len(), 1, "it was in flight");
    second.commit(&paid(&order(1))).await.expect("it goes on");
    assert!(second.orphans(None, 9).await.expect("rows").is_empty());
    let client = connect(&database.url).await;
    let count = client.query_one("SELECT count(*) FROM orders", &[]).await.expect("a table");
    assert_eq!(count.get::<_, i64>(0), 1, "nothing of the first one's came after");
}
