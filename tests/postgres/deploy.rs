//! What `deploy/` says is tried: its settings are taken, and its roles and server settings make a
//! primary whose commits wait for the standby.

use std::path::Path;

use switchyard::store::postgres::{PostgresSettings, PostgresStore};

use crate::books::pay;
use crate::support::Scratch;
use crate::support::books::{order, paid};
use crate::support::daemon::program;
use crate::support::postgres::{Server, connect};
use crate::support::wire::until;

fn deploy(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text with the folder of secrets in the scratch folder.
fn in_scratch(text: &str, scratch: &Scratch) -> String {
    text.replace("/run/secrets", &scratch.path().display().to_string())
}

#[tokio::test]
async fn the_settings_of_the_nodes_have_no_mistake() {
    let scratch = Scratch::new();
    let channels = scratch.path().join("channels");
    std::fs::create_dir(&channels).expect("a folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("channels");
    for file in std::fs::read_dir(shipped).expect("channel files").flatten() {
        if file.path().is_file() {
            std::fs::copy(file.path(), channels.join(file.file_name())).expect("a copy");
        }
    }
    std::fs::write(scratch.path().join("database_password"), "word").expect("a file");
    let settings = in_scratch(&deploy("switchyard.toml"), &scratch);
    std::fs::write(scratch.path().join("switchyard.toml"), settings).expect("a file");
    for number in ["1", "2"] {
        let mut command = program(scratch.path());
        command.args(["check-config", "--config", "switchyard.toml"]);
        let checked = command.env("SWITCHYARD_NODE__NUMBER", number).output().expect("it starts");
        let told = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{told}");
    }
    let compose = deploy("compose.yaml");
    for part in ["primary", "standby", "node1", "node2", "proxy"] {
        assert!(compose.contains(&format!("\n  {part}:\n")), "{part}");
    }
    for file in ["node.sh", "switchyard.toml", "haproxy.cfg", "postgres/roles.sql"] {
        assert!(compose.contains(&format!("./{file}:")), "nothing mounts {file}");
        assert!(!deploy(file).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_server_settings_make_a_primary_that_waits_for_its_standby() {
    // The tests' server owns its memory and where it listens.
    let own = ["shared_buffers", "listen_addresses", "max_wal_size", "wal_keep_size"];
    let settings: String = deploy("postgres/primary.conf")
        .lines()
        .filter(|line| !own.iter().any(|name| line.starts_with(name)))
        .map(|line| format!("{line}\n"))
        .collect();
    let Some(server) = Server::start(&settings) else { return };
    let client = connect(&server.url("postgres")).await;
    // The tests' owner has the name of the gateway's role.
    let roles = deploy("postgres/roles.sql")
        .replace(":'switchyard_password'", "'one'")
        .replace(":'replicator_password'", "'two'")
        .replace("ROLE switchyard", "ROLE gateway")
        .replace("OWNER switchyard", "OWNER gateway");
    let statements = roles.split(";\n").filter(|statement| !statement.trim().is_empty());
    for statement in statements {
        client.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    let standby = server.standby("standby", &settings);
    client.batch_execute("SELECT pg_reload_conf()").await.expect("the owner may");
    let is_synchronous = async || {
        let states = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
        client.query_opt(states, &[]).await.expect("a view")
    };
    until("the standby is waited for", is_synchronous).await;
    let chosen = |server: &Server| PostgresSettings {
        password: Some("one".to_owned()),
        ..PostgresSettings::at(format!("postgres://gateway@127.0.0.1:{}/switchyard", server.port))
    };
    let store = PostgresStore::open(&chosen(&server)).await.expect("an empty database");
    pay(&store, 1..2).await;
    drop(store);
    server.kill();
    standby.promote();
    // It has no standby of its own yet, and would wait for one.
    let client = connect(&standby.url("postgres")).await;
    client.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.expect("no write");
    client.batch_execute("SELECT pg_reload_conf()").await.expect("the owner may");
    let store = PostgresStore::open(&chosen(&standby)).await.expect("the same books");
    let store: &dyn switchyard::store::Store = &store;
    let found = store.order(order(1).id).await.expect("rows that read back");
    assert_eq!(found.as_ref(), paid(&order(1)).orders.first(), "what was acknowledged is there");
}
