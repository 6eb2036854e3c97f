//! What a payment's two commits cost on the embedded store, by how many are on their way at once.
//!
//! `cargo bench --bench store_commit -- [payments] [folder]`. It prints payments each second; it
//! makes no claim and cannot fail on a slow machine. The folder decides which disk is measured.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use support::{Scratch, books};
use switchyard::domain::books::accounting::DeliveryStatus;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::embedded::{EmbeddedSettings, EmbeddedStore};
use switchyard::store::{PAGE_MAX, Store};

/// More than any due time of the rows.
const LATER_MS: i64 = 1_000_000;
/// The requests that one answer of the accounting system acknowledges.
const ACKNOWLEDGED_AT_ONCE: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let payments = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let folder = arguments.next().map(PathBuf::from);
    println!("group_max  at_once  payments  payments/s  bytes/payment  acks/s  open_ms");
    for (group_max, at_once) in [(1, 1), (32, 32), (256, 64), (256, 256), (256, 1_024)] {
        let scratch = Scratch::new();
        let folder = folder.as_deref().unwrap_or(scratch.path());
        let count = if at_once == 1 { payments / 10 } else { payments };
        measure(&folder.join(format!("{group_max}-{at_once}")), group_max, at_once, count);
    }
}

fn measure(folder: &Path, group_max: usize, at_once: u64, payments: u64) {
    let settings = EmbeddedSettings { group_max, ..EmbeddedSettings::default() };
    let store = Arc::new(EmbeddedStore::open(folder, &settings).expect("a new store"));
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    let next = Arc::new(AtomicU64::new(1));
    let started = Instant::now();
    runtime.block_on(async {
        let payers: Vec<_> = (0..at_once)
            .map(|_| tokio::spawn(pay(Arc::clone(&store), Arc::clone(&next), payments)))
            .collect();
        for payer in payers {
            payer.await.expect("a payer that does not panic");
        }
    });
    let paid = payments as f64 / started.elapsed().as_secs_f64();
    let bytes = folder_bytes(folder) / payments.max(1);
    let started = Instant::now();
    let count = runtime.block_on(acknowledge(&*store));
    let acknowledged = count as f64 / started.elapsed().as_secs_f64();
    drop(runtime);
    drop(store);
    let started = Instant::now();
    let opened = EmbeddedStore::open(folder, &settings).expect("the same store");
    let open_ms = started.elapsed().as_millis();
    drop(opened);
    println!(
        "{group_max:9} {at_once:8} {payments:9} {paid:11.0} {bytes:14} {acknowledged:7.0} \
         {open_ms:8}"
    );
}

/// Makes payments one after another until their number is reached.
async fn pay(store: Arc<EmbeddedStore>, next: Arc<AtomicU64>, payments: u64) {
    loop {
        let sequence = next.fetch_add(1, Ordering::Relaxed);
        if sequence > payments {
            return;
        }
        let order = books::order(sequence);
        store.commit(&books::accepted(&order)).await.expect("the first commit");
        store.commit(&books::paid(&order)).await.expect("the second commit");
    }
}

/// Works off what accounting is owed, page by page, and counts it.
async fn acknowledge(store: &dyn Store) -> usize {
    let mut count = 0;
    loop {
        let due = store.due_accounting(books::due_by(LATER_MS), PAGE_MAX).await;
        let mut due = due.expect("rows that read back");
        if due.is_empty() {
            return count;
        }
        count += due.len();
        for request in &mut due {
            request.delivery.version += 1;
            request.delivery.status = DeliveryStatus::Acknowledged;
        }
        for accounting in due.chunks(ACKNOWLEDGED_AT_ONCE) {
            let writes = WriteSet { accounting: accounting.to_vec(), ..WriteSet::default() };
            store.commit(&writes).await.expect("a commit of acknowledgements");
        }
    }
}

fn folder_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("the store's folder");
    files.flatten().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}
