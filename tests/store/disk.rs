//! What only a store on a disk can show: opening again, kills, damage, large rows.

use std::sync::Arc;

use switchyard::domain::flow::attempt::{Attempt, AttemptState};
use switchyard::domain::flow::order::Order;
use switchyard::domain::ids::OrderId;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::sled::{SledSettings, SledStore};
use switchyard::store::{CommitError, PAGE_MAX, Store, StoreError};

use crate::queues::put;
use crate::rows::batch_id;
use crate::support::Scratch;
use crate::support::books::{self, accepted, id, moment, next, order, paid};
use crate::{commit, ids, of, open, read, refuse, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_12_what_was_committed_is_there_after_opening_again() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    for sequence in 1..=50 {
        commit(&store, accepted(&order(sequence))).await;
    }
    commit(&store, paid(&order(1))).await;
    commit(&store, WriteSet { audit: vec![books::audit("a")], ..WriteSet::default() }).await;
    assert_eq!(store.lease(261_122, 1, 100).await.expect("numbers"), 1);
    drop(store);
    let store = open(&scratch);
    assert_eq!(read(of(&store).orders(None, 100)).await.len(), 50);
    assert_eq!(read(of(&store).open_orders(None, 100)).await.len(), 49);
    assert_eq!(read(of(&store).transaction(id(1))).await, Some(books::transaction(&order(1))));
    assert_eq!(store.lease(261_122, 1, 1).await.expect("a number"), 101);
    commit(&store, WriteSet { audit: vec![books::audit("b")], ..WriteSet::default() }).await;
    let trail = read(of(&store).audit(None, 10)).await;
    assert_eq!(trail.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2]);
    refuse(&store, accepted(&order(50)), "an order that exists").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_are_what_an_earlier_opening_left_in_flight() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    for sequence in 1..=5 {
        commit(&store, accepted(&order(sequence))).await;
    }
    commit(&store, paid(&order(2))).await;
    let mut unknown = next(&order(3));
    unknown.attempts[0].state = AttemptState::Unknown;
    commit(&store, accepted(&unknown)).await;
    assert!(read(of(&store).orphans(None, 10)).await.is_empty(), "they are its own");
    drop(store);
    let store = open(&scratch);
    commit(&store, accepted(&order(6))).await;
    let orphans = async |after, limit| ids(&read(of(&store).orphans(after, limit)).await);
    assert_eq!(orphans(None, 10).await, [1, 4, 5]);
    assert_eq!(orphans(None, 2).await, [1, 4]);
    assert_eq!(orphans(Some(id(4)), 2).await, [5]);
    // One ends; of another a second attempt is in flight, which is this opening's own.
    commit(&store, paid(&order(1))).await;
    let mut again = next(&order(4));
    again.attempts[0].state = AttemptState::NotSent;
    again.attempts.push(Attempt { number: 2, ..order(4).attempts[0].clone() });
    commit(&store, accepted(&again)).await;
    assert_eq!(orphans(None, 10).await, [5]);
}

#[tokio::test]
async fn a_folder_is_open_once() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let Err(error) = SledStore::open(scratch.path(), &settings()) else { panic!("opened twice") };
    assert!(error.to_string().contains("open in another process"), "{error}");
    commit(&store, accepted(&order(1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_12_whoever_reads_a_row_reads_one_that_stays() {
    // Readers run beside commits; what they saw must be there after opening again.
    let scratch = Scratch::new();
    let store = Arc::new(open(&scratch));
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for sequence in 1..=200 {
                commit(&*store, accepted(&order(sequence))).await;
                commit(&*store, paid(&order(sequence))).await;
            }
        }
    });
    let mut seen: Vec<Order> = Vec::new();
    while seen.len() < 200 {
        let sequence = u64::try_from(seen.len()).expect("a small number") + 1;
        match read(of(&*store).order(id(sequence))).await {
            Some(order) => seen.push(order),
            None => {
                let page = read(of(&*store).orders(None, PAGE_MAX)).await;
                assert!(page.len() >= seen.len(), "a row that was read has gone");
            }
        }
    }
    writer.await.expect("the writer ends");
    drop(store);
    let store = open(&scratch);
    for order in seen {
        let kept = read(of(&store).order(order.id)).await.expect("it was read before");
        assert!(kept.version >= order.version, "a version that was read has gone");
    }
}

/// Names the folder for the process that is killed; unset in every other run.
const VICTIM_FOLDER: &str = "SWITCHYARD_TEST_VICTIM_FOLDER";
/// How many keys the victim lets wait in its journal.
const VICTIM_MERGE_KEYS: &str = "SWITCHYARD_TEST_VICTIM_MERGE_KEYS";
/// How many answers the victim gives before it is killed.
const ANSWERS_BEFORE_KILL: usize = 300;

/// The part of the victim in the next test: it commits, says so, and goes on until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_victim_commits_until_it_is_killed() {
    let Some(folder) = std::env::var_os(VICTIM_FOLDER) else { return };
    let merge_keys = std::env::var(VICTIM_MERGE_KEYS).expect("it is set with the folder");
    let merge_keys = merge_keys.parse().expect("a number of keys");
    let settings = SledSettings { merge_keys, ..settings() };
    let store = Arc::new(SledStore::open(folder.as_ref(), &settings).expect("a new store"));
    let payers = (0..8_u64).map(|payer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for sequence in (payer..).step_by(8) {
                let order = order(sequence);
                commit(&*store, accepted(&order)).await;
                println!("answered {sequence} 1");
                commit(&*store, paid(&order)).await;
                println!("answered {sequence} 2");
            }
        })
    });
    futures_util::future::join_all(payers).await;
}

/// The journal alone has the answers.
#[tokio::test]
async fn i_12_what_was_answered_survives_a_kill() {
    survives_a_kill(1_000_000).await;
}

/// The journal's files change places many times, and the kill comes while a layer is merged.
#[tokio::test]
async fn i_12_what_was_answered_survives_a_kill_while_it_is_merged() {
    survives_a_kill(64).await;
}

async fn survives_a_kill(merge_keys: usize) {
    let scratch = Scratch::new();
    let answered = killed(&scratch, merge_keys);
    let store = open(&scratch);
    for (sequence, version) in answered {
        let kept = read(of(&store).order(id(sequence))).await.expect("it was answered");
        assert!(kept.version >= version, "order {sequence} lost version {version}");
        let booked = read(of(&store).transaction(id(sequence))).await.is_some();
        assert_eq!(booked, kept.version == 2, "a success is written whole or not at all");
    }
}

/// Leaves the folder of a process that was killed while it wrote, and gives what that process had
/// answered: the sequence of an order, and its version.
pub fn killed(scratch: &Scratch, merge_keys: usize) -> Vec<(u64, u32)> {
    use std::io::{BufRead, BufReader};
    let mut victim = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "disk::a_victim_commits_until_it_is_killed", "--nocapture"])
        .env(VICTIM_FOLDER, scratch.path())
        .env(VICTIM_MERGE_KEYS, merge_keys.to_string())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a process of this test");
    let mut answers = BufReader::new(victim.stdout.take().expect("it is piped")).lines();
    let mut answered = Vec::new();
    let note = |line: &str, answered: &mut Vec<(u64, u32)>| {
        let words: Vec<_> = line.split(' ').collect();
        if let ["answered", sequence, version] = words[..] {
            let read = (sequence.parse().ok(), version.parse().ok());
            answered.extend(read.0.zip(read.1));
        }
    };
    while answered.len() < ANSWERS_BEFORE_KILL {
        let line = answers.next().expect("the victim goes on until it is killed");
        note(&line.expect("a line"), &mut answered);
    }
    victim.kill().expect("it is running");
    // What it had said before the kill but was not read yet counts too; a torn last line does not.
    let rest: Vec<String> = answers.map_while(Result::ok).collect();
    for line in rest.iter().take(rest.len().saturating_sub(1)) {
        note(line, &mut answered);
    }
    victim.wait().expect("it has ended");
    answered
}

/// Writes into the tree of a closed store behind its back, or removes from it.
fn tamper(scratch: &Scratch, key: &[u8], value: Option<&[u8]>) {
    let tree = sled::Config::new().path(scratch.path()).segment_size(4 * 1024 * 1024).open();
    let tree = tree.expect("a closed store");
    let before = match value {
        Some(value) => tree.insert(key, value),
        None => tree.remove(key),
    };
    assert!(before.expect("a write").is_some(), "the key is one of the store's");
    tree.flush().expect("a flush");
    drop(tree);
    // sled's threads may hold its lock a moment longer.
    let log = std::fs::File::open(scratch.path().join("db")).expect("sled's log");
    log.lock().expect("a lock that comes free");
}

fn order_key(table: u8, id: OrderId) -> Vec<u8> {
    [&[table], id.as_u64().to_be_bytes().as_slice()].concat()
}

/// Stands in the place of a value's length in the journal where a key is removed.
const REMOVED: u32 = u32::MAX;

/// Writes a group of one row into the journal of a closed store, as a faulty version might.
fn journal(scratch: &Scratch, key: &[u8], value: Option<&[u8]>) {
    use std::os::unix::fs::FileExt;
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
    let first = |name| std::fs::read(scratch.path().join(name)).expect("a journal");
    let newest = ["journal-a", "journal-b"].map(first).into_iter().filter(|file| !file.is_empty());
    let newest = newest.map(|file| number(&file)).max().expect("there was a commit");
    let length = value.map_or(REMOVED, |value| u32::try_from(value.len()).expect("it is short"));
    let key_length = u32::try_from(key.len()).expect("it is short");
    let mut body = [key_length.to_be_bytes(), length.to_be_bytes()].concat();
    body.extend_from_slice(key);
    body.extend_from_slice(value.unwrap_or_default());
    // Its last turn, and the empty one after it, have been merged.
    let mut frame = (newest + 2).to_be_bytes().to_vec();
    frame.extend_from_slice(&0_u32.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(body.len()).expect("it is short").to_be_bytes());
    let sum = crc32fast::hash(&[frame.as_slice(), &body].concat());
    frame.extend_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&body);
    let file = std::fs::File::options().write(true).open(scratch.path().join("journal-a"));
    file.expect("a journal").write_all_at(&frame, 0).expect("a write");
}

#[tokio::test]
async fn a_row_that_was_written_or_removed_past_the_store_is_a_refusal() {
    for (value, words) in [(None, "1 of 2 open orders"), (Some(&[1, 2][..]), "not as they were")] {
        let scratch = Scratch::new();
        let store = open(&scratch);
        commit(&store, accepted(&order(1))).await;
        commit(&store, accepted(&order(2))).await;
        drop(store);
        tamper(&scratch, &order_key(b'o', id(1)), value);
        let refused = SledStore::open(scratch.path(), &settings()).err();
        let Some(StoreError::NotWhole { what, known }) = refused else { panic!("{refused:?}") };
        assert!(what.contains(words), "{what}");
        assert!(known.contains("rows were merged at"), "{known}");
    }
}

#[tokio::test]
async fn a_damaged_row_is_an_error_and_the_others_live_on() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    commit(&store, accepted(&order(1))).await;
    commit(&store, accepted(&order(2))).await;
    drop(store);
    journal(&scratch, &order_key(b'o', id(1)), Some(&[99, 1, 2, 3]));
    let store = open(&scratch);
    let damaged = of(&store).order(id(1)).await;
    assert!(matches!(damaged, Err(StoreError::Damaged { table: "orders", .. })), "{damaged:?}");
    let found = of(&store).order_by_caller(books::caller(), books::caller_order_id(1)).await;
    assert!(matches!(found, Err(StoreError::Damaged { .. })));
    assert!(matches!(of(&store).orders(None, 10).await, Err(StoreError::Damaged { .. })));
    assert!(matches!(of(&store).orphans(None, 10).await, Err(StoreError::Damaged { .. })));
    let refused = store.commit(accepted(&next(&order(1)))).await;
    assert!(matches!(refused, Err(CommitError::Failed(StoreError::Damaged { .. }))));
    assert_eq!(read(of(&store).order(id(2))).await, Some(order(2)));
    commit(&store, accepted(&next(&order(2)))).await;
}

#[tokio::test]
async fn a_layout_of_another_version_is_refused() {
    let scratch = Scratch::new();
    drop(open(&scratch));
    tamper(&scratch, b"!layout", Some(&[2]));
    let refused = SledStore::open(scratch.path(), &settings());
    assert!(matches!(refused.err(), Some(StoreError::Damaged { table: "layout", .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_row_comes_back_after_opening_again() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let mut large = books::entry(&order(1), books::CHANNEL, Some(0));
    let what = "x".repeat(60_000);
    for _ in 0..40 {
        large.note(moment(0), what.clone());
    }
    commit(&store, put(&large)).await;
    commit(&store, put(&books::entry(&order(2), books::CHANNEL, Some(0)))).await;
    drop(store);
    let blobs = std::fs::read_dir(scratch.path().join("blobs")).expect("sled's folder").count();
    assert!(blobs > 0, "it is too small to lie in a file of its own");
    let store = open(&scratch);
    assert_eq!(read(of(&store).reversal(id(1))).await, Some(large));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agreed_lines_lie_in_no_file_of_their_own() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let lines = |batch: u8| vec![batch; 1_250_000];
    for batch in 1..=4_u8 {
        let row = (batch_id(batch.into()), lines(batch));
        commit(&store, WriteSet { agreed_lines: vec![row], ..WriteSet::default() }).await;
    }
    drop(store);
    // From the journal's copy and from the tree's.
    for _ in 0..2 {
        let store = open(&scratch);
        for batch in 1..=4_u8 {
            let kept = read(of(&store).agreed_lines(batch_id(batch.into()))).await;
            assert!(kept == Some(lines(batch)), "batch {batch}");
        }
    }
    let blobs = std::fs::read_dir(scratch.path().join("blobs")).expect("sled's folder").count();
    assert_eq!(blobs, 0, "a page of the tree is too large for its log");
}

#[tokio::test]
async fn a_missing_part_of_agreed_lines_is_damage() {
    let part = |part: u32| [&order_key(b'z', id(1))[..], &part.to_be_bytes()].concat();
    for missing in 0..3 {
        let scratch = Scratch::new();
        let store = open(&scratch);
        let row = (batch_id(1), vec![7; 70_000]);
        commit(&store, WriteSet { agreed_lines: vec![row], ..WriteSet::default() }).await;
        drop(store);
        journal(&scratch, &part(missing), None);
        let store = open(&scratch);
        let kept = of(&store).agreed_lines(batch_id(1)).await;
        let damaged = matches!(kept, Err(StoreError::Damaged { table: "agreed_lines", .. }));
        assert!(damaged, "part {missing}");
    }
}
