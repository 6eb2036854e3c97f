//! What a statement's way into the books costs: one date of one channel on the embedded store.
//!
//! `cargo bench --bench statement_import -- [rows]`. It fills a store with clearing records, hands
//! in a statement with differences planted in it, runs the date again, and hands in the file again
//! with one line changed. It prints what each took, and fails where a difference is not found, is
//! one too many, or is booked twice. It makes no claim about time.

#[path = "reconcile/day.rs"]
mod day;
#[allow(dead_code, reason = "tests use the rest")]
#[path = "../tests/statements/office.rs"]
mod office;
#[path = "../tests/support/mod.rs"]
mod support;
#[allow(dead_code, reason = "one channel of them is used")]
#[path = "../tests/simulation/terms.rs"]
mod terms;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use day::{DAY, Row, fill, planted, write_statement};
use office::{Office, channel, date, refusing};
use support::Scratch;
use switchyard::domain::books::reconcile::Class;
use switchyard::domain::books::reconciliation::Reconciliation;
use switchyard::domain::books::statement::StatementOrigin;
use switchyard::domain::ids::{BatchId, DifferenceId};
use switchyard::reconciliation::incoming::{StatementUpload, UploadContent};
use switchyard::store::PAGE_MAX;
use switchyard::store::embedded::{EmbeddedSettings, EmbeddedStore};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Found = BTreeMap<String, (Class, DifferenceId)>;

async fn found(office: &Office, batch: BatchId) -> Found {
    let (mut all, mut after) = (Found::new(), None);
    loop {
        let page = office.store.found_differences(batch, after, PAGE_MAX).await.expect("readable");
        let Some(last) = page.last() else { return all };
        after = Some(last.0);
        for (_, class, row) in page {
            let ours = row.record.map(|record| record.channel_order_no.to_string());
            let number = ours.or(row.line.map(|line| line.order_no)).expect("one of both");
            assert!(all.insert(number, (class, row.id)).is_none(), "it is listed once");
        }
    }
}

/// Processor time that this process has had, in seconds: a hundred ticks are one.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// A figure of this process in MiB; `VmHWM` is the most memory that it had since it was last reset.
fn memory_mib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0) / 1_024
}

/// Carries a run out, and says what it took and what it found.
async fn measure(office: &Office, name: &str, changed: Option<(u64, Option<u64>)>) -> Found {
    let folder = office.imports.work_folder().expect("a folder").to_owned();
    let file = folder.join("handed-in.csv");
    if let Some((rows, changed)) = changed {
        write_statement(&file, rows, changed).expect("a statement");
    }
    // Where it may not be reset the figure has the filling of the store in it.
    let _reset = fs::write("/proc/self/clear_refs", "5");
    let (before, busy, started) = (memory_mib("VmRSS"), processor_seconds(), Instant::now());
    let batch = match changed {
        None => office.run(DAY).await,
        Some(_) => import(office, file).await,
    };
    let (whole, busy) = (started.elapsed().as_secs_f64(), processor_seconds() - busy);
    let (rows, found) = (f64::from(batch.report.lines), found(office, batch.id).await);
    println!(
        "{name:8} {whole:7.2} {busy:9.2} {:7.0} {:11} {before:10} {:8}",
        rows / whole,
        found.len(),
        memory_mib("VmHWM")
    );
    found
}

async fn import(office: &Office, file: PathBuf) -> Reconciliation {
    let incoming = StatementUpload {
        channel: channel(),
        date: date(DAY),
        name: "bill.csv".to_owned(),
        content: UploadContent::File(file),
        origin: StatementOrigin::Upload,
        by: "ada".to_owned(),
    };
    office.imports.import(incoming).await.expect("it is taken").batch
}

/// Suspends all that is due; says how many requests accounting is owed then.
async fn suspend(office: &Office) -> usize {
    let started = Instant::now();
    let mut count = 0;
    loop {
        match office.expire().await {
            0 => break,
            some => count += some,
        }
    }
    let requests = office.requests().await.len();
    println!(
        "         {:7.2} suspending {count}: {requests} requests",
        started.elapsed().as_secs_f64()
    );
    requests
}

async fn live(rows: u64) {
    let scratch = Scratch::new();
    let store =
        EmbeddedStore::open(scratch.path(), &EmbeddedSettings::default()).expect("a new store");
    let started = Instant::now();
    fill(&store, rows).await;
    println!("{rows} rows; our side was filled in {:.1} s", started.elapsed().as_secs_f64());
    let office = Office::new(Arc::new(store), &refusing("carry_days = 0"));
    office.at(i64::from(DAY) + 1, 10);
    println!("               s processor  rows/s differences before_MiB peak_MiB");
    let mut wanted = planted(rows);
    let classes = |found: &Found| -> BTreeMap<String, Class> {
        found.iter().map(|(number, (class, _))| (number.clone(), *class)).collect()
    };
    let first = measure(&office, "import", Some((rows, None))).await;
    assert_eq!(classes(&first), wanted, "what was planted is found, and nothing else");
    assert!(office.requests().await.is_empty(), "what is carried is not booked");
    let booked = suspend(&office).await;
    let again = measure(&office, "again", None).await;
    assert_eq!(again, first, "the same rows are found");
    assert_eq!(suspend(&office).await, booked, "nothing is booked twice");
    let plain = (0..rows).find(|place| Row::of(*place).class == Class::Matched);
    let plain = plain.expect("most rows match");
    wanted.insert(Row::of(plain).number.to_string(), Class::AmountOver);
    let reissued = measure(&office, "reissued", Some((rows, Some(plain)))).await;
    assert_eq!(classes(&reissued), wanted, "one line more differs");
    assert!(first.iter().all(|(number, row)| reissued.get(number) == Some(row)), "rows stay");
    assert_eq!(suspend(&office).await, booked + 1, "one more is booked");
}

fn main() {
    let rows = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(live(rows.unwrap_or(200_000)));
}
