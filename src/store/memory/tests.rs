//! The memory store's faults and observers.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;

use super::*;
use crate::domain::time::Timestamp;
use crate::domain::write_set::AuditEntry;
use crate::store::Store;

fn audited(subject: &str) -> WriteSet {
    let audit = AuditEntry {
        at: Timestamp::from_millis(0),
        actor: "ann".to_owned(),
        approver: None,
        action: "test".to_owned(),
        subject: subject.to_owned(),
        reason: "why".to_owned(),
    };
    WriteSet { audit: vec![audit], ..WriteSet::default() }
}

fn commit(store: &MemoryStore, subject: &str) -> Result<(), CommitError> {
    store.commit(&audited(subject)).now_or_never().expect("ready at once")
}

fn subjects(store: &dyn Store) -> Vec<String> {
    let trail = store.audit(None, 100).now_or_never().expect("ready at once");
    trail.expect("rows").into_iter().map(|(_, entry)| entry.subject).collect()
}

#[test]
fn a_failed_store_takes_nothing_until_it_is_opened_again() {
    for (rows, kept) in [(FailedRows::Lost, 1), (FailedRows::Written, 2)] {
        let store = MemoryStore::new();
        store.faults().fail_after(1, rows);
        assert!(commit(&store, "a").is_ok());
        assert!(matches!(commit(&store, "b"), Err(CommitError::Failed(_))));
        assert!(matches!(commit(&store, "c"), Err(CommitError::Failed(_))));
        let lease = store.lease(261_122, 1, 1).now_or_never().expect("ready at once");
        assert!(matches!(lease, Err(CommitError::Failed(_))));
        store.faults().restart();
        assert_eq!(subjects(&store).len(), kept, "{rows:?}");
        assert!(commit(&store, "d").is_ok());
    }
}

#[test]
fn a_busy_store_writes_nothing_and_recovers() {
    let store = MemoryStore::new();
    store.faults().busy(2);
    assert!(matches!(commit(&store, "a"), Err(CommitError::Busy)));
    assert!(matches!(commit(&store, "a"), Err(CommitError::Busy)));
    assert!(commit(&store, "b").is_ok());
    assert_eq!(subjects(&store), ["b"]);
}

#[test]
fn a_store_out_of_reach_writes_nothing_and_a_lost_lease_ends_it() {
    let store = MemoryStore::new();
    store.faults().unavailable(1);
    assert!(matches!(commit(&store, "a"), Err(CommitError::Unavailable(_))));
    assert!(commit(&store, "b").is_ok());
    store.faults().fence();
    for _ in 0..2 {
        assert!(matches!(commit(&store, "c"), Err(CommitError::Fenced)));
    }
    let lease = store.lease(261_122, 1, 1).now_or_never().expect("ready at once");
    assert!(matches!(lease, Err(CommitError::Fenced)));
    assert_eq!(subjects(&store), ["b"]);
    store.faults().restart();
    assert!(commit(&store, "d").is_ok());
}

#[test]
fn observers_see_what_was_written_and_may_read() {
    let store = MemoryStore::new();
    let count = Arc::new(AtomicUsize::new(0));
    let (seen, inner) = (Arc::clone(&count), store.clone());
    store.on_commit(Box::new(move |writes| {
        assert_eq!(subjects(&inner).last(), writes.audit.last().map(|entry| &entry.subject));
        seen.fetch_add(1, Ordering::Relaxed);
    }));
    assert!(commit(&store, "a").is_ok());
    store.faults().busy(1);
    assert!(commit(&store, "b").is_err());
    assert_eq!(count.load(Ordering::Relaxed), 1);
}
