//! Payments on the PostgreSQL store, made by many at once for some seconds: how many, how long one
//! takes, and what each costs in processor time, WAL and bytes of the database.
//!
//! `benches/postgres/run` starts it beside `pgbench`. Alone:
//! `cargo bench --bench postgres_payments -- URL at-once seconds`. It prints one line of figures,
//! makes no claim, and cannot fail on a slow machine. The server must be this machine's.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::books;
use support::postgres::connect;
use switchyard::domain::write_set::{EntryChange, WriteSet};
use switchyard::store::Store;
use switchyard::store::postgres::{PostgresSettings, PostgresStore};
use tokio_postgres::Client;

/// Not counted: connections are made and statements prepared in it.
const WARM_UP: Duration = Duration::from_secs(1);
/// Sequence numbers that one payer takes at a time.
const NUMBERS_AT_ONCE: u32 = 1_000;
const YYMMDD: u32 = 261_122;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    // Without a server there is nothing to measure.
    let Some(url) = arguments.next() else { return };
    let mut number =
        |otherwise| arguments.next().map_or(otherwise, |text| text.parse().expect("a number"));
    let (at_once, seconds) = (number(64), number(3));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(measure(&url, at_once, Duration::from_secs(seconds)));
}

/// Those of `WRITERS`, or as many as a node has that nobody has told otherwise.
fn writers() -> u16 {
    std::env::var("WRITERS").map_or(1, |text| text.parse().expect("a number of writers"))
}

/// What is used at a moment: µs of processor time of the server and of this program, bytes of WAL
/// and of the database.
struct Usage {
    server_us: i64,
    own_us: i64,
    wal: i64,
    bytes: i64,
}

impl Usage {
    async fn now(client: &Client) -> Self {
        let row = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, \
                   pg_database_size(current_database()), pg_backend_pid()";
        let row = client.query_one(row, &[]).await.expect("a superuser of the server");
        let backend: i32 = row.get(2);
        let server = field(&process(&backend.to_string()), 1);
        Self {
            server_us: server_us(server),
            own_us: used_us(&process("self"), 0),
            wal: row.get(0),
            bytes: row.get(1),
        }
    }
}

/// The fields of a process behind its name.
fn process(number: &str) -> Vec<String> {
    let line = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    let fields = line.rsplit(')').next().unwrap_or_default();
    fields.split_ascii_whitespace().map(str::to_owned).collect()
}

fn field(process: &[String], place: usize) -> i64 {
    process.get(place).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Its own time, and behind it that of children that have ended, in ticks of 10 ms.
fn used_us(process: &[String], children: usize) -> i64 {
    (11..13 + 2 * children).map(|place| field(process, place)).sum::<i64>() * 10_000
}

fn server_us(server: i64) -> i64 {
    let all = std::fs::read_dir("/proc").expect("Linux has it").flatten();
    let numbers = all.filter_map(|entry| entry.file_name().into_string().ok());
    let processes = numbers.map(|number| process(&number));
    let children = processes.filter(|process| field(process, 1) == server);
    let children: i64 = children.map(|child| used_us(&child, 0)).sum();
    children + used_us(&process(&server.to_string()), 1)
}

async fn measure(url: &str, at_once: u64, window: Duration) {
    let client = connect(url).await;
    let settings = PostgresSettings { writers: writers(), ..PostgresSettings::at(url) };
    let store = PostgresStore::open(&settings).await.expect("a store");
    let store: Arc<dyn Store> = Arc::new(store);
    let (counts, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let payers: Vec<_> = (0..at_once)
        .map(|_| tokio::spawn(pay(Arc::clone(&store), Arc::clone(&counts), Arc::clone(&over))))
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (before, started) = (Usage::now(&client).await, Instant::now());
    counts.store(true, Ordering::Relaxed);
    tokio::time::sleep(window).await;
    counts.store(false, Ordering::Relaxed);
    let (after, seconds) = (Usage::now(&client).await, started.elapsed().as_secs_f64());
    over.store(true, Ordering::Relaxed);
    let mut took_us = Vec::new();
    for payer in payers {
        took_us.extend(payer.await.expect("a payer that does not panic"));
    }
    took_us.sort_unstable();
    let payments = i64::try_from(took_us.len().max(1)).expect("fewer than that");
    let percentile = |part: usize| {
        took_us.get(took_us.len() * part / 100).map_or(0.0, |us| *us as f64 / 1_000.0)
    };
    println!(
        "{at_once};{:.0};{:.2};{:.2};{};{};{};{}",
        took_us.len() as f64 / seconds,
        percentile(50),
        percentile(99),
        (after.server_us - before.server_us) / payments,
        (after.own_us - before.own_us) / payments,
        (after.wal - before.wal) / payments,
        (after.bytes - before.bytes) / payments,
    );
}

/// Makes payments one after another: two commits each, with an entry of the reversal table and a
/// notice. Gives how long each took that counts, in µs.
async fn pay(store: Arc<dyn Store>, counts: Arc<AtomicBool>, over: Arc<AtomicBool>) -> Vec<u64> {
    let mut took_us = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let first = store.lease(YYMMDD, 1, NUMBERS_AT_ONCE).await.expect("numbers");
        for sequence in first..first + u64::from(NUMBERS_AT_ONCE) {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let order = books::order(sequence);
            let entry = books::entry(&order, books::CHANNEL, Some(0));
            let accepted =
                WriteSet { entries: vec![EntryChange::Put(entry)], ..books::accepted(&order) };
            let gone = EntryChange::Remove { order: order.id, version: 1 };
            let paid = WriteSet {
                entries: vec![gone],
                notices: vec![books::notice(&order, 0)],
                ..books::paid(&order)
            };
            let started = Instant::now();
            store.commit(&accepted).await.expect("the first commit");
            store.commit(&paid).await.expect("the second commit");
            if counts.load(Ordering::Relaxed) {
                took_us.push(u64::try_from(started.elapsed().as_micros()).expect("not for ever"));
            }
        }
    }
    took_us
}
