//! What only a store on a disk can show: opening again, kills, damage, large rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchyard::domain::attempt::{Attempt, AttemptState};
use switchyard::domain::ids::OrderId;
use switchyard::domain::order::Order;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::embedded::{EmbeddedSettings, EmbeddedStore, back_up, restore, verify};
use switchyard::store::{CommitError, PAGE_MAX, Store, StoreError};

use crate::queues::put;
use crate::rows::batch_id;
use crate::support::Scratch;
use crate::support::books::{self, accepted, id, moment, next, order, paid};
use crate::{commit, ids, of, open, open_at, open_flushing, read, refuse, settings};

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
    let Err(error) = EmbeddedStore::open(scratch.path(), &settings()) else {
        panic!("opened twice")
    };
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
    let layer_keys = std::env::var(VICTIM_MERGE_KEYS).expect("it is set with the folder");
    let layer_keys = layer_keys.parse().expect("a number of keys");
    let settings = EmbeddedSettings { layer_keys, compacted_at_once: 3, ..settings() };
    let store = Arc::new(EmbeddedStore::open(folder.as_ref(), &settings).expect("a new store"));
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

/// The journal's files change places many times, and the kill comes while a layer is flushed.
#[tokio::test]
async fn i_12_what_was_answered_survives_a_kill_while_it_is_flushed() {
    survives_a_kill(64).await;
}

async fn survives_a_kill(layer_keys: usize) {
    let scratch = Scratch::new();
    let answered = killed(&scratch, layer_keys);
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
pub fn killed(scratch: &Scratch, layer_keys: usize) -> Vec<(u64, u32)> {
    use std::io::{BufRead, BufReader};
    let mut victim = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "disk::a_victim_commits_until_it_is_killed", "--nocapture"])
        .env(VICTIM_FOLDER, scratch.path())
        .env(VICTIM_MERGE_KEYS, layer_keys.to_string())
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
    // Its last turn has been flushed.
    let mut frame = (newest + 1).to_be_bytes().to_vec();
    frame.extend_from_slice(&0_u32.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(body.len()).expect("it is short").to_be_bytes());
    let sum = crc32fast::hash(&[frame.as_slice(), &body].concat());
    frame.extend_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&body);
    let file = std::fs::File::options().write(true).open(scratch.path().join("journal-a"));
    file.expect("a journal").write_all_at(&frame, 0).expect("a write");
}

/// The files of segments, the oldest first.
fn segments(scratch: &Scratch) -> Vec<PathBuf> {
    let files = std::fs::read_dir(scratch.path().join("segments")).expect("a folder");
    let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_segment_that_is_missing_or_another_one_is_a_refusal() {
    type Change = fn(&Path);
    let changes: [(Change, &str); 4] = [
        (|file| std::fs::remove_file(file).expect("a file"), "is missing"),
        (|file| std::fs::write(file, []).expect("a file"), "is not the one that was written"),
        (
            |file| {
                let mut bytes = std::fs::read(file).expect("a file");
                *bytes.last_mut().expect("a trailer") ^= 1;
                std::fs::write(file, bytes).expect("a file");
            },
            "is not the one that was written",
        ),
        (
            |file| {
                let other = file.with_file_name("0000000002");
                std::fs::copy(other, file).expect("a copy");
            },
            "is not the one that was written",
        ),
    ];
    for (change, words) in changes {
        let scratch = Scratch::new();
        for sequence in 1..=2 {
            let store = open(&scratch);
            commit(&store, accepted(&order(sequence))).await;
        }
        let files = segments(&scratch);
        assert_eq!(files.len(), 2, "each life has left one: {files:?}");
        change(&files[0]);
        let refused = EmbeddedStore::open(scratch.path(), &settings()).err();
        let Some(StoreError::NotWhole { what, known }) = refused else { panic!("{refused:?}") };
        assert!(what.contains(words), "{what}");
        assert!(known.contains("rows lay in 2 segments at"), "{known}");
    }
}

#[tokio::test]
async fn a_damaged_block_is_an_error_where_it_is_read_and_nothing_is_absent() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    // Of open orders each start reads all; these are final.
    for sequence in 1..=2_000 {
        let order = order(sequence);
        commit(&store, accepted(&order)).await;
        commit(&store, paid(&order)).await;
    }
    drop(store);
    let file = segments(&scratch).remove(0);
    let mut bytes = std::fs::read(&file).expect("a segment");
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    std::fs::write(&file, bytes).expect("a segment");
    let store = open(&scratch);
    let (mut found, mut damaged) = (0, 0);
    for sequence in 1..=2_000 {
        match of(&store).order(id(sequence)).await {
            Ok(Some(kept)) => {
                assert_eq!(kept.version, 2);
                found += 1;
            }
            Ok(None) => panic!("order {sequence} is absent"),
            Err(StoreError::Damaged { detail, .. }) => {
                assert!(detail.contains("its checksum does not hold"), "{detail}");
                damaged += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(found > 1_000 && damaged > 0, "{found} found, {damaged} damaged");
    drop(store);
    let report = verify(scratch.path(), &|_, _| {}).expect("a manifest that reads");
    assert_eq!(report.damaged, 1, "{:?}", report.damage);
    assert!(report.damage[0].contains("its checksum does not hold: the rows from `"));
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
    let refused = store.commit(&accepted(&next(&order(1)))).await;
    assert!(matches!(refused, Err(CommitError::Failed(StoreError::Damaged { .. }))));
    assert_eq!(read(of(&store).order(id(2))).await, Some(order(2)));
    commit(&store, accepted(&next(&order(2)))).await;
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
    let store = open(&scratch);
    assert_eq!(read(of(&store).reversal(id(1))).await, Some(large));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agreed_lines_come_back_after_opening_again() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let lines = |batch: u8| vec![batch; 1_250_000];
    for batch in 1..=4_u8 {
        let row = (batch_id(batch.into()), lines(batch));
        commit(&store, WriteSet { agreed_lines: vec![row], ..WriteSet::default() }).await;
    }
    drop(store);
    for _ in 0..2 {
        let store = open(&scratch);
        for batch in 1..=4_u8 {
            let kept = read(of(&store).agreed_lines(batch_id(batch.into()))).await;
            assert!(kept == Some(lines(batch)), "batch {batch}");
        }
    }
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

/// An index is worth nothing: gone, emptied, or full of noise, it is made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_damaged_is_made_anew() {
    let scratch = Scratch::new();
    for life in 0..3 {
        let store = open(&scratch);
        for sequence in life * 200 + 1..=life * 200 + 200 {
            commit(&store, accepted(&order(sequence))).await;
        }
        drop(store);
        let index = scratch.path().join("index");
        match life {
            0 => std::fs::remove_dir_all(&index).expect("a folder"),
            1 => std::fs::write(index.join("db"), []).expect("a file"),
            _ => {
                let bytes = std::fs::read(index.join("db")).expect("a file");
                let noise: Vec<u8> = bytes.iter().map(|byte| byte.rotate_left(3) ^ 0x5A).collect();
                std::fs::write(index.join("db"), noise).expect("a file");
            }
        }
        let store = open(&scratch);
        for sequence in 1..=life * 200 + 200 {
            assert_eq!(read(of(&store).order(id(sequence))).await, Some(order(sequence)));
        }
    }
    let all = std::sync::Mutex::new((0, 0));
    let progress = |done: u64, of: u64| *all.lock().expect("no panic") = (done, of);
    let store = EmbeddedStore::rebuild(scratch.path(), &settings(), &progress).expect("a store");
    let (done, of_all) = *all.lock().expect("no panic");
    assert!(done == of_all && done >= 1_200, "{done} of {of_all} rows");
    assert_eq!(read(of(&store).orders(None, PAGE_MAX)).await.len(), 600);
}

/// What was answered before a backup began is in it, and a second one copies little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_made_under_load_is_consistent() {
    let (scratch, backup) = (Scratch::new(), Scratch::new());
    let store = Arc::new(open_flushing(&scratch, 200));
    let answered = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let payer = tokio::spawn({
        let (store, answered, stop) =
            (Arc::clone(&store), Arc::clone(&answered), Arc::clone(&stop));
        async move {
            for sequence in 1.. {
                commit(&*store, accepted(&order(sequence))).await;
                commit(&*store, paid(&order(sequence))).await;
                answered.store(sequence, std::sync::atomic::Ordering::SeqCst);
                if stop.load(std::sync::atomic::Ordering::SeqCst) {
                    return;
                }
            }
        }
    });
    let known = || answered.load(std::sync::atomic::Ordering::SeqCst);
    let mut copies = Vec::new();
    for round in 1..=4_u64 {
        while known() < round * 150 {
            tokio::task::yield_now().await;
        }
        let before = known();
        let (from, to) = (scratch.path().to_owned(), backup.path().to_owned());
        let report = tokio::task::spawn_blocking(move || back_up(&from, &to)).await;
        let report = report.expect("no panic").expect("a backup");
        assert!(report.segments > 0);
        let restored = Scratch::new();
        let books = restored.path().join("books");
        restore(backup.path(), &books).expect("a whole backup");
        let found = verify(&books, &|_, _| {}).expect("a manifest that reads");
        assert_eq!(found.damage, Vec::<String>::new());
        // Its original is at work, so the copy must not be.
        let refused = EmbeddedStore::open(&books, &settings()).err().map(|why| why.to_string());
        assert!(refused.is_some_and(|why| why.contains("the folder is a copy")));
        copies.push((restored, before));
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    payer.await.expect("the payer ends");
    drop(store);
    for (restored, before) in copies {
        let copy = open_at(&restored.path().join("books"));
        for sequence in 1..=before {
            let kept = read(of(&copy).order(id(sequence))).await.expect("it was answered");
            assert_eq!(kept.version, 2, "order {sequence}");
        }
    }
    let last = back_up(scratch.path(), backup.path()).expect("a backup");
    let again = back_up(scratch.path(), backup.path()).expect("a backup");
    assert!(last.segments > 0 && again.copied == 0, "{again:?}");
    let restored = Scratch::new();
    let books = restored.path().join("books");
    restore(backup.path(), &books).expect("a whole backup");
    let (copy, original) = (open_at(&books), open(&scratch));
    assert!(copy.is_copy() && !original.is_copy());
    let all = read(of(&original).orders(None, PAGE_MAX)).await;
    assert_eq!(read(of(&copy).orders(None, PAGE_MAX)).await, all);
    assert!(restore(backup.path(), &books).is_err(), "there are books");
}
