//! The embedded store alone, as it grows: payments each second, memory and bytes as millions come
//! in, and how long the store takes to open then, closed or killed, and to make its index anew.
//!
//! `cargo bench --bench store_fill -- [payments] [folder]`, 1,000,000 payments unless it is said.
//! Callers' order ids are drawn at random, 1,024 payments are on their way at once, each is two
//! commits, and its accounting request is acknowledged with the second one. Each part is a process
//! of its own, so that memory is that part's. It makes no claim and cannot fail on a slow machine.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fastrand::Rng;
use support::{Scratch, books};
use switchyard::domain::books::accounting::DeliveryStatus;
use switchyard::domain::card::{CardDigests, MaskedPan};
use switchyard::domain::ids::{CallerOrderId, MerchantId};
use switchyard::domain::instrument::InstrumentFacts;
use switchyard::domain::money::AmountMinor;
use switchyard::domain::order::Order;
use switchyard::store::Store;
use switchyard::store::embedded::{EmbeddedSettings, EmbeddedStore};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AT_ONCE: u64 = 1_024;
/// How often a filling tells how far it is.
const WINDOWS: u64 = 20;
/// So many payments are on the way in when the process is killed.
const BEFORE_KILL: u64 = 60_000;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    match arguments.first().map(String::as_str) {
        Some("fill") => fill(
            Path::new(&arguments[1]),
            number(2).expect("the first payment"),
            number(3).expect("how many payments"),
        ),
        Some("open") => open(Path::new(&arguments[1]), false),
        Some("rebuild") => open(Path::new(&arguments[1]), true),
        _ => {
            let scratch = Scratch::new();
            let folder = arguments.get(1).map_or_else(|| scratch.path(), Path::new).join("books");
            all(&folder, number(0).unwrap_or(1_000_000));
        }
    }
}

/// All parts, one after another.
fn all(folder: &Path, payments: u64) {
    let folder = folder.to_str().expect("a path in UTF-8");
    println!("payments   payments/s  us CPU  MiB resident  bytes/payment");
    part(&["fill", folder, "1", &payments.to_string()], None);
    println!("opened after a clean stop:");
    part(&["open", folder], None);
    let more = payments.max(BEFORE_KILL) * 2;
    part(&["fill", folder, &(payments + 1).to_string(), &more.to_string()], Some(BEFORE_KILL));
    println!("opened after a kill:");
    part(&["open", folder], None);
    println!("index made anew:");
    part(&["rebuild", folder], None);
}

/// A part as a process; killed once it has told of so many payments.
fn part(arguments: &[&str], kill_at: Option<u64>) {
    let mut child = Command::new(std::env::current_exe().expect("this bench"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process of this bench");
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let line = line.expect("a line");
        match kill_at {
            None => println!("{line}"),
            Some(count) if first_number(&line) >= count => {
                child.kill().expect("it is running");
                break;
            }
            Some(_) => {}
        }
    }
    child.wait().expect("it has ended");
}

fn first_number(line: &str) -> u64 {
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn fill(folder: &Path, first: u64, payments: u64) {
    let store = EmbeddedStore::open(folder, &EmbeddedSettings::default()).expect("a store");
    let store = Arc::new(store);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.expect("a runtime");
    let window = (payments / WINDOWS).clamp(1, BEFORE_KILL.max(payments / WINDOWS));
    let next = Arc::new(AtomicU64::new(first));
    let (mut done, mut before) = (0, processor_seconds());
    while done < payments {
        let until = first + (done + window).min(payments);
        let count = until - first - done;
        let started = Instant::now();
        next.store(first + done, Ordering::Relaxed);
        runtime.block_on(async {
            let payers: Vec<_> = (0..AT_ONCE)
                .map(|_| tokio::spawn(pay(Arc::clone(&store), Arc::clone(&next), until)))
                .collect();
            for payer in payers {
                payer.await.expect("a payer that does not panic");
            }
        });
        done += count;
        let rate = count as f64 / started.elapsed().as_secs_f64();
        let busy = processor_seconds();
        let each = (busy - before) * 1e6 / count as f64;
        before = busy;
        let bytes = folder_bytes(folder) / (first - 1 + done);
        println!("{done:9} {rate:12.0} {each:7.1} {:13.0} {bytes:14}", memory_mib());
    }
    drop(runtime);
    let started = Instant::now();
    drop(store);
    let bytes = folder_bytes(folder) / (first - 1 + payments);
    println!("closed in {} ms; {bytes} bytes a payment", started.elapsed().as_millis());
}

async fn pay(store: Arc<EmbeddedStore>, next: Arc<AtomicU64>, until: u64) {
    loop {
        let sequence = next.fetch_add(1, Ordering::Relaxed);
        if sequence >= until {
            return;
        }
        let order = order(sequence);
        store.commit(&books::accepted(&order)).await.expect("the first commit");
        let mut paid = books::paid(&order);
        let reference = reference(sequence);
        for request in &mut paid.accounting {
            request.delivery.status = DeliveryStatus::Acknowledged;
        }
        for order in &mut paid.orders {
            order.attempts[0].channel_reference = Some(reference.clone());
        }
        for transaction in &mut paid.transactions {
            transaction.transcript = format!("respCode=00&respMsg=success&queryId={reference}");
            transaction.channel_reference = Some(reference.clone());
        }
        for record in &mut paid.clearing {
            record.channel_reference = Some(reference.clone());
        }
        store.commit(&paid).await.expect("the second commit");
    }
}

/// An order whose parts are as different from the others' as those of real ones.
fn order(sequence: u64) -> Order {
    let mut random = Rng::with_seed(sequence);
    let mut order = books::order(sequence);
    let asked = &mut order.instruction;
    asked.caller_order_id = CallerOrderId::from_stored(&format!("{:032x}", random.u128(..)));
    asked.merchant_id = MerchantId::from_stored(&format!("merchant-{}", random.u32(..10_000)));
    asked.amount = AmountMinor::new(random.i64(100..1_000_000)).expect("an amount");
    if let Some(InstrumentFacts::Card(card)) = &mut asked.instrument {
        let last = random.u32(..10_000);
        card.masked = MaskedPan::from_stored(&format!("621626*********{last:04}"));
        card.digests =
            CardDigests { pan: random.u128(..), expiry: random.u64(..), ..CardDigests::default() };
    }
    order
}

/// What the channel calls a payment.
fn reference(sequence: u64) -> String {
    format!("20261122{:013}", Rng::with_seed(!sequence).u64(..10_000_000_000_000))
}

fn open(folder: &Path, anew: bool) {
    let settings = EmbeddedSettings::default();
    let started = Instant::now();
    let store = if anew {
        EmbeddedStore::rebuild(folder, &settings, &|_, _| {})
    } else {
        EmbeddedStore::open(folder, &settings)
    };
    let store = store.expect("the same store");
    println!("  {} ms, {:.0} MiB resident", started.elapsed().as_millis(), memory_mib());
    drop(store);
}

/// The processor time of this process so far, in seconds.
fn processor_seconds() -> f64 {
    /// The kernel's clock ticks a second, as every Linux of today shows them.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

fn memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn folder_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("the store's folder");
    let size = |file: std::fs::DirEntry| match file.metadata() {
        Ok(about) if about.is_dir() => folder_bytes(&file.path()),
        Ok(about) => about.len(),
        // It was compacted away meanwhile.
        Err(_) => 0,
    };
    files.flatten().map(size).sum()
}
