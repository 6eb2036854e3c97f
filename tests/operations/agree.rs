//! Whether we, the channels and the accounting system have written down the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use switchyard::simulator::{EntryKind, EntryState, LedgerEntry, LedgerSnapshot};

use crate::support::core::Core;
use crate::support::wire::until;
use crate::town::Town;

/// Waits until nothing is open, owed, or on its way.
pub async fn drain(core: &Core, town: &Town) {
    let drained = async || {
        let open = core.all("/v1/reversals", "reversals").await;
        let owed = core.all("/v1/accounting-requests?state=owed", "accounting_requests").await;
        (open.is_empty() && owed.is_empty() && town.notices_waiting() == 0).then_some(())
    };
    until("everything is drained", drained).await;
    let parked = core.all("/v1/accounting-requests?state=parked", "accounting_requests").await;
    assert!(parked.is_empty(), "{parked:?}");
}

/// What a ledger says moved, signed as it touches what the channel owes us; `None` if nothing did.
fn moved(ledger: &LedgerSnapshot, entry: &LedgerEntry) -> Option<i64> {
    let stands = match entry.state {
        // What an undo took back has moved, and moved back under the undo's number.
        EntryState::Approved | EntryState::Undone => true,
        EntryState::Declined | EntryState::Reversed => false,
        EntryState::Working => panic!("drained: {entry:?}"),
    };
    let sign = match entry.kind {
        EntryKind::Charge | EntryKind::Capture => 1,
        EntryKind::Refund | EntryKind::Payout => -1,
        EntryKind::Undo => {
            let original = entry.original.as_deref().and_then(|number| ledger.get(number));
            let original = original.expect("an undo names what it takes back");
            if original.kind == EntryKind::Preauth { 0 } else { -1 }
        }
        EntryKind::Preauth => 0,
    };
    (stands && sign != 0).then_some(sign * entry.amount_minor)
}

/// Compares line by line, then account by account.
pub async fn compare(core: &Core, town: &Town) {
    let booked = town.accounting.booked();
    assert!(booked.complaints.is_empty(), "{:?}", booked.complaints);
    // What accounting must have, from the ledgers alone: by account, and by order and account.
    let mut accounts: BTreeMap<String, i64> = BTreeMap::new();
    let mut lines: BTreeMap<(String, String), i64> = BTreeMap::new();
    for (channel, ledger) in town.ledgers() {
        check_asked_once(channel, &ledger);
        let records = records(core, channel, &ledger).await;
        let mut left: BTreeSet<&str> = records.keys().map(String::as_str).collect();
        for entry in ledger.entries() {
            let Some(minor) = moved(&ledger, entry) else { continue };
            left.remove(entry.order_no.as_str());
            let record = records.get(&entry.order_no);
            let record = record.unwrap_or_else(|| panic!("no clearing record of {entry:?}"));
            assert_eq!(record["principal"], minor, "{record} {entry:?}");
            // A refund leaves the channel its fee; what is voided has cost nothing in the end.
            let fee = match entry.kind {
                EntryKind::Refund => 0,
                EntryKind::Undo => -entry.fee_minor,
                EntryKind::Charge | EntryKind::Capture | EntryKind::Preauth | EntryKind::Payout => {
                    entry.fee_minor
                }
            };
            assert_eq!(record["fee"], fee, "{record} {entry:?}");
            assert_eq!((&record["net"], &record["state"]), (&(minor - fee).into(), &"due".into()));
            let sides = [("channel", channel, minor), ("merchant", channel, -minor)];
            for (kind, name, signed) in sides {
                let account = format!("{kind}:{name}:pending_clearing");
                *accounts.entry(account.clone()).or_default() += signed;
                let line = (entry.order_prefix().to_owned(), account);
                *lines.entry(line).or_default() += signed;
            }
        }
        assert!(left.is_empty(), "{channel} knows nothing of {left:?}");
    }
    // A booking that a red letter took back is a line of nothing.
    assert_eq!(without_zeros(booked.lines), without_zeros(lines));
    assert_eq!(booked.accounts.values().sum::<i64>(), 0, "a trial balance");
    assert_eq!(without_zeros(booked.accounts), without_zeros(accounts));
}

fn without_zeros<K: Ord>(sums: BTreeMap<K, i64>) -> BTreeMap<K, i64> {
    sums.into_iter().filter(|(_, minor)| *minor != 0).collect()
}

/// Our clearing records of a channel, by channel order number.
async fn records(core: &Core, channel: &str, ledger: &LedgerSnapshot) -> BTreeMap<String, Value> {
    let dates = ledger.entries().iter().map(|entry| entry.settle_date.clone());
    let dates = Vec::from_iter(dates.collect::<BTreeSet<_>>());
    let mut records = BTreeMap::new();
    for record in core.clearing(channel, &dates).await {
        let number = record["channel_order_no"].as_str().expect("a number").to_owned();
        let twice = records.insert(number, record);
        assert!(twice.is_none(), "I-7: two clearing records: {twice:?}");
    }
    records
}

/// I-1, I-4: no number was asked for twice, no follow-up under two numbers, and no original gives
/// back more than it took.
fn check_asked_once(channel: &str, ledger: &LedgerSnapshot) {
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let mut given_back: BTreeMap<&str, i64> = BTreeMap::new();
    for entry in ledger.entries() {
        assert_eq!(entry.requests, 1, "{channel} was asked twice: {entry:?}");
        let Some(original) = entry.original.as_deref() else { continue };
        *numbers.entry(entry.order_prefix()).or_default() += 1;
        if entry.state == EntryState::Approved {
            *given_back.entry(original).or_default() += entry.amount_minor;
        }
    }
    assert!(numbers.values().all(|times| *times == 1), "{channel}: {numbers:?}");
    for (original, minor) in given_back {
        let entry = ledger.get(original).expect("the original");
        assert!(minor <= entry.amount_minor, "{minor} of {entry:?}");
    }
    assert!(ledger.charged_twice().is_empty());
}
