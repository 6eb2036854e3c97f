//! The whole daemon over PostgreSQL: payments by HTTP, a kill, a start, and a database that goes
//! away and comes back.

use std::sync::Arc;
use std::time::Duration;

use switchyard::app::App;
use switchyard::clock::Clock;

use crate::support::core::{Core, Payment};
use crate::support::daemon::{Daemon, INSTALLED, run};
use crate::support::installation::{CALLER_KEY, Installation, metrics};
use crate::support::postgres::{Database, Server, database};
use crate::support::simulated::{BANK, UNIONPAY};
use crate::support::wire::{http_client, until};
use switchyard::simulator::{DurationRange, Faults};

/// An installation whose books lie in a database.
pub async fn town(url: &str) -> Installation {
    let town = Installation::new(|channel| channel).await;
    let settings = std::fs::read_to_string(town.settings_file()).expect("the settings");
    let settings = format!("{settings}\n[store]\nurl = \"{url}\"\n");
    std::fs::write(town.settings_file(), settings).expect("a file");
    town
}

pub async fn start(town: &Installation) -> (Daemon, Core) {
    let daemon = Daemon::installed(town).await;
    let core = Core::new(daemon.address, CALLER_KEY);
    (daemon, core)
}

/// The bank books this payment, and the daemon is killed before it hears of it.
pub async fn die_before_the_reply(daemon: Daemon, town: &Installation, lost: Payment) {
    let slow =
        Faults { lose_reply: 10_000, hang_for: DurationRange::millis(900, 950), ..Faults::calm() };
    town.channels.bank.set_faults(slow).expect("possible faults");
    let (asking, amount) = (Core::new(daemon.address, CALLER_KEY), lost.amount);
    let call = tokio::spawn(async move { asking.try_pay(&lost, Duration::from_secs(20)).await });
    let booked = async || {
        let entries = town.channels.entries();
        entries.iter().any(|(_, entry)| entry.amount_minor == amount).then_some(())
    };
    until("the bank books it", booked).await;
    daemon.kill().await;
    if let Ok(answer) = call.await.expect("no panic") {
        assert_eq!(answer.outcome(), (202, "unknown"), "nobody knew its end");
    }
    town.channels.bank.set_faults(Faults::calm()).expect("possible faults");
}

pub async fn order_of(database: &Database, order_id: &str) -> Option<String> {
    let find = "SELECT id::text FROM orders WHERE caller_order_id = $1";
    let row = database.client().await.query_opt(find, &[&order_id]).await.expect("a table");
    row.map(|row| row.get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_payment_over_a_crash_to_its_clearing() {
    let Some(database) = database().await else { return };
    let town = town(&database.url).await;
    let (daemon, core) = start(&town).await;
    let paid = core.pay(&Payment::instant("A-1", 12_345)).await;
    assert_eq!((paid.outcome(), paid.text("channel")), ((200, "succeeded"), BANK));
    let escrow = core.pay(&Payment::escrow("A-2", 50_000)).await;
    assert_eq!((escrow.outcome(), escrow.text("channel")), ((200, "succeeded"), UNIONPAY));
    let refunded = core.refund(escrow.id(), "A-3", 8_000).await;
    assert_eq!(refunded.outcome(), (200, "succeeded"));

    die_before_the_reply(daemon, &town, Payment::instant("A-4", 20_000)).await;
    let (daemon, core) = start(&town).await;
    let lost = order_of(&database, "A-4").await.expect("it was accepted durably");
    let succeeded = async || {
        let order = core.payment(&lost).await;
        (order.outcome() == (200, "succeeded")).then_some(order)
    };
    let found = until("an inquiry finds the lost payment", succeeded).await;
    assert_eq!(found.body["attempts"].as_array().map(Vec::len), Some(1), "it was asked once");
    let again = core.pay(&Payment::instant("A-1", 12_345)).await;
    assert_eq!((again.outcome(), again.id()), ((200, "succeeded"), paid.id()), "it was paid");
    let owed = "/v1/accounting-requests?state=owed";
    let none_owed = async || core.all(owed, "accounting_requests").await.is_empty().then_some(());
    until("accounting acknowledges everything", none_owed).await;
    let client = database.client().await;
    let sums = "SELECT channel, sum(principal_minor)::bigint FROM clearing_records GROUP BY 1 \
                ORDER BY 1";
    let sums = client.query(sums, &[]).await.expect("a table");
    let sums: Vec<(&str, i64)> = sums.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(sums, [(BANK, 32_345), (UNIONPAY, 42_000)]);
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_told_and_waited_for() {
    let Some(server) = Server::start("") else { return };
    let town = town(&server.url("postgres")).await;
    let (daemon, core) = start(&town).await;
    let before = core.pay(&Payment::instant("B-1", 100)).await;
    assert_eq!(before.outcome(), (200, "succeeded"));
    server.kill();
    let refused = async || {
        let refused = core.pay(&Payment::instant("B-2", 200)).await;
        (refused.status == 503).then_some(refused)
    };
    let refused = until("a refusal", refused).await;
    assert_eq!(refused.text("type").rsplit('/').next(), Some("store_unavailable"), "{refused:?}");
    server.start_again();
    let paid = async || {
        let paid = core.pay(&Payment::instant("B-2", 200)).await;
        (paid.outcome() == (200, "succeeded")).then_some(())
    };
    until("it goes on by itself", paid).await;
    let read = core.payment(before.id()).await;
    assert_eq!((read.outcome(), read.id()), ((200, "succeeded"), before.id()));
    drop(daemon);
}

/// Stamps, days and due times are one clock's on all nodes, whatever each machine shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_draws_success_rates_from_the_database() {
    let Some(database) = database().await else { return };
    let town = town(&database.url).await;
    let (mut daemon, core) = start(&town).await;
    for (order_id, amount) in [("A-1", 500), ("A-2", 20_000)] {
        let paid = core.pay(&Payment::instant(order_id, amount)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    }
    let path = format!("/v1/channels/{BANK}/rates");
    let learnt = core.get(&path).await.body["rates"].clone();
    assert_eq!(learnt[0]["samples"], 2, "{learnt}");
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(0));
    let (_daemon, core) = start(&town).await;
    assert_eq!(core.get(&path).await.body["rates"], learnt);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_by_the_clock_of_the_database() {
    const HOUR_MS: i64 = 3_600_000;
    let Some(database) = database().await else { return };
    let town = town(&database.url).await;
    let ahead = Clock::Wrong { of: Box::new(Clock::System), by_ms: Arc::new(HOUR_MS.into()) };
    let mut settings = town.settings();
    settings.store.url = Some(database.url.clone());
    let app = App::start_by(ahead, settings, &town.data(), metrics()).await;
    let app = app.expect("a daemon");
    town.door.lead_to(Some(app.address()));
    let paid = Core::new(app.address(), CALLER_KEY).pay(&Payment::instant("E-1", 100)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    let age = "SELECT extract(epoch FROM now() - created_at)::bigint FROM orders";
    let age: i64 = database.client().await.query_one(age, &[]).await.expect("a table").get(0);
    assert!((-1..1_800).contains(&age), "the order is dated {age} s ago by the database's clock");
    app.stop().await;
}

/// Runs the program in the installation's folder to its end, and gives what it has said.
pub async fn told(town: &Installation, arguments: &[&'static str]) -> (Option<i32>, String) {
    let (folder, arguments) = (town.folder().to_owned(), arguments.to_vec());
    let ran = tokio::task::spawn_blocking(move || run(&folder, &arguments)).await;
    let ran = ran.expect("no panic");
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_moves_too_many_orders_publishes_nothing_until_it_is_accepted() {
    let Some(database) = database().await else { return };
    let town = town(&database.url).await;
    let (daemon, core) = start(&town).await;
    let channel_of = async |order_id: &str| {
        let paid = core.pay(&Payment::instant(order_id, 700)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
        paid.text("channel").to_owned()
    };
    for number in 0..20 {
        assert_eq!(channel_of(&format!("P-{number}")).await, BANK);
    }
    let routes = "[[rule]]\nname = \"all\"\nstrategy = \"priority\"\nchannels = [\"unionpay\"]\n";
    std::fs::write(town.folder().join("other.toml"), routes).expect("a file");
    let push = ["route", "push", "other.toml", "--config", "switchyard.toml", "--data", "data"];
    let why = ["--reason", "a new contract"];
    let (code, words) = told(&town, &[&push[..], &why].concat()).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("20 of 20 orders (100.00 %)"), "{words}");
    assert_eq!(channel_of("P-held").await, BANK);
    let (code, words) = told(&town, &[&push[..], &why, &["--accept-moves"]].concat()).await;
    assert_eq!(code, Some(0), "{words}");
    let follows = async || {
        let rules = core.get("/v1/routes").await.body["rules"].clone();
        (rules[0]["name"] == "all").then_some(())
    };
    until("the routes are in force", follows).await;
    assert_eq!(channel_of("P-moved").await, UNIONPAY);
    let audit = core.get("/v1/audit").await.body;
    assert!(audit.to_string().contains("a new contract (accepted: 21 of 21 orders"), "{audit}");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_moves_to_a_database_and_back() {
    let carry = async |town: &Installation, to| {
        let files = ["--config", "switchyard.toml", "--data", "data"];
        told(town, &[&["store", "move", "--to", to][..], &files].concat()).await
    };
    let Some(database) = database().await else { return };
    let town = Installation::new(|channel| channel).await;
    let embedded = std::fs::read_to_string(town.settings_file()).expect("the settings");
    let (mut daemon, core) = start(&town).await;
    let paid = core.pay(&Payment::instant("E-1", 12_345)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"));
    let (code, words) = carry(&town, "database").await;
    assert_eq!(code, Some(1), "store.url names no database yet: {words}");
    let shared = format!("{embedded}\n[store]\nurl = \"{}\"\n", database.url);
    std::fs::write(town.settings_file(), &shared).expect("a file");
    let (code, words) = carry(&town, "database").await;
    assert_eq!(code, Some(1), "the daemon works on the books: {words}");
    daemon.signal("TERM");
    assert!(daemon.ended().await.success());
    std::fs::write(town.data().join("channels-off"), format!("{UNIONPAY}\n")).expect("a file");
    let (code, words) = carry(&town, "database").await;
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("the books are whole in their new place"), "{words}");
    std::fs::write(town.settings_file(), &embedded).expect("a file");
    let (code, words) = told(&town, &INSTALLED).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("were moved to a database"), "{words}");

    std::fs::write(town.settings_file(), &shared).expect("a file");
    let (mut daemon, core) = start(&town).await;
    let repeated = core.pay(&Payment::instant("E-1", 12_345)).await;
    assert_eq!((repeated.outcome(), repeated.id()), ((200, "succeeded"), paid.id()), "it was paid");
    let second = core.pay(&Payment::instant("E-2", 100)).await;
    assert_eq!(second.outcome(), (200, "succeeded"));
    let path = format!("/v1/channels/{UNIONPAY}");
    assert_eq!(core.get(&path).await.body["enabled"], false, "its switch came along");
    let on = http_client().patch(format!("http://{}{path}", daemon.address));
    let on = on.bearer_auth(CALLER_KEY).header("content-type", "application/json");
    let on = on.body(r#"{"enabled": true}"#).send().await.expect("an answer");
    assert_eq!(on.status(), 200);
    daemon.signal("TERM");
    assert!(daemon.ended().await.success());
    let (code, words) = carry(&town, "folder").await;
    assert_eq!(code, Some(0), "{words}");
    let (code, words) = carry(&town, "folder").await;
    assert_eq!(code, Some(1), "it was moved already: {words}");
    std::fs::write(town.settings_file(), &embedded).expect("a file");
    let (daemon, core) = start(&town).await;
    for (name, amount, before) in [("E-1", 12_345, &paid), ("E-2", 100, &second)] {
        let again = core.pay(&Payment::instant(name, amount)).await;
        assert_eq!((again.outcome(), again.id()), ((200, "succeeded"), before.id()), "{name}");
    }
    assert_eq!(core.get(&path).await.body["enabled"], true, "its switch came back");
    drop(daemon);
}

/// Its lease has ended, and it may only be slow: it must not come back beside the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_when_the_last_one_is_fenced() {
    let Some(database) = database().await else { return };
    let town = town(&database.url).await;
    let (mut daemon, _) = start(&town).await;
    daemon.signal("TERM");
    assert!(daemon.ended().await.success());
    let slow = "INSERT INTO nodes (node, incarnation, address, lease_until, epoch_seen) \
                VALUES (9, 1, '127.0.0.1:9', now() - interval '1 ms', 0)";
    let client = database.client().await;
    client.batch_execute(slow).await.expect("it is written");
    let (daemon, core) = start(&town).await;
    let look = "SELECT fenced_at IS NOT NULL FROM nodes WHERE node = 9";
    let fenced = client.query_one(look, &[]).await.expect("a table");
    assert!(fenced.get::<_, bool>(0), "it serves beside a node that stands");
    let paid = core.pay(&Payment::instant("D-1", 100)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"));
    drop(daemon);
}
