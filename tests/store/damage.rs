//! A damaged folder opens with everything that was in it, or says of each row that it lacks that
//! it is damaged, or does not open: pages zeroed, bits flipped, files cut, emptied, removed and
//! swapped for older ones, at random places of the folders of a process that closed its store and
//! of one that was killed while it wrote.
//!
//! `SWITCHYARD_DAMAGE_SEED` and `SWITCHYARD_DAMAGE_ROUNDS` choose the history and its length.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use switchyard::domain::books::Transaction;
use switchyard::domain::books::accounting::AccountingRequest;
use switchyard::domain::order::Order;
use switchyard::store::embedded::{EmbeddedSettings, EmbeddedStore, verify};
use switchyard::store::{PAGE_MAX, Store, StoreError};

use crate::disk::killed;
use crate::support::books::{accepted, id, order, paid};
use crate::support::{Scratch, copy_folder};
use crate::{commit, of, open, open_flushing, read, settings};

const ROUNDS_DEFAULT: u64 = 24;
const PAGE_BYTES: usize = 4096;
/// How many keys wait in the journal where layers are to be flushed all the time.
const FEW_KEYS: usize = 64;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// What a store shows of itself.
#[derive(Debug, PartialEq)]
struct Everything {
    orders: Vec<Order>,
    transactions: Vec<Transaction>,
    accounting: Vec<AccountingRequest>,
    numbers_from: u64,
}

async fn everything(store: &dyn Store) -> Result<Everything, StoreError> {
    let mut orders: Vec<Order> = Vec::new();
    loop {
        let page = store.orders(orders.last().map(|order| order.id), PAGE_MAX).await?;
        if page.is_empty() {
            break;
        }
        orders.extend(page);
    }
    let mut transactions = Vec::new();
    for order in &orders {
        transactions.extend(store.transaction(order.id).await?);
    }
    let mut accounting: Vec<AccountingRequest> = Vec::new();
    loop {
        let after = accounting.last().map(|request| request.id);
        let page = store.accounting_requests(None, after, PAGE_MAX).await?;
        if page.is_empty() {
            break;
        }
        accounting.extend(page);
    }
    let numbers_from = store.lease(261_122, 7, 1).await.expect("a store that writes");
    Ok(Everything { orders, transactions, accounting, numbers_from })
}

/// A folder to damage, and an older state of it.
struct Image {
    name: &'static str,
    folder: Scratch,
    older: Scratch,
}

/// Two lives that ended well. Between them its older state was copied.
async fn closed(layer_keys: usize) -> Image {
    let (folder, older) = (Scratch::new(), Scratch::new());
    let store = open_flushing(&folder, layer_keys);
    for sequence in 1..=60 {
        commit(&store, accepted(&order(sequence))).await;
    }
    store.lease(261_122, 7, 100).await.expect("numbers");
    drop(store);
    copy_folder(folder.path(), older.path());
    let store = open_flushing(&folder, layer_keys);
    for sequence in 61..=120 {
        commit(&store, accepted(&order(sequence))).await;
        commit(&store, paid(&order(sequence - 60))).await;
    }
    store.lease(261_122, 7, 100).await.expect("numbers");
    drop(store);
    Image { name: "closed", folder, older }
}

/// A life that was killed. Its older state is that of the same folder, opened and closed before.
async fn died(name: &'static str, layer_keys: usize) -> Image {
    let (folder, older) = (Scratch::new(), Scratch::new());
    let store = open(&folder);
    commit(&store, accepted(&order(1_000_000))).await;
    drop(store);
    copy_folder(folder.path(), older.path());
    killed(&folder, layer_keys);
    Image { name, folder, older }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).expect("a folder").flatten() {
        let path = file.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Damages a folder somewhere, and says how.
fn damage(folder: &Path, older: &Path, random: &mut Rng) -> String {
    let file = random.choice(files(folder)).expect("a store has files");
    let name = file.strip_prefix(folder).expect("it is below").display().to_string();
    let mut bytes = fs::read(&file).expect("a file");
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let place = random.choice(places).unwrap_or(0);
    let what = match random.u32(0..7) {
        0 => {
            fs::remove_file(&file).expect("a file");
            return format!("{name} removed");
        }
        1 => {
            bytes.clear();
            "emptied".to_owned()
        }
        2 => {
            bytes.truncate(place);
            format!("cut at {place}")
        }
        3 => {
            bytes[place..].fill(0);
            format!("zero from {place}")
        }
        4 if !bytes.is_empty() => {
            let bit = random.u32(0..8);
            bytes[place] ^= 1 << bit;
            format!("bit {bit} at {place} flipped")
        }
        5 => {
            let older = files(older);
            let alike = |path: &&PathBuf| {
                let stem = |path: &Path| path.file_stem().map(std::ffi::OsStr::to_owned);
                stem(path) == stem(&file)
            };
            let Some(other) = older.iter().find(alike) else { return "nothing".to_owned() };
            // A snapshot's name says how old it is.
            fs::remove_file(&file).expect("a file");
            let back = file.with_file_name(other.file_name().expect("it has a name"));
            fs::copy(other, back).expect("a copy");
            return format!("{name} swapped for an older one");
        }
        _ => {
            let page = place / PAGE_BYTES * PAGE_BYTES;
            let end = bytes.len().min(page + PAGE_BYTES);
            bytes[page..end].fill(0);
            format!("page at {page} zeroed")
        }
    };
    fs::write(&file, bytes).expect("a file");
    format!("{name} {what}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_12_a_damaged_folder_never_shows_less_than_it_had() {
    let seed = number("SWITCHYARD_DAMAGE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let rounds = number("SWITCHYARD_DAMAGE_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    println!("SWITCHYARD_DAMAGE_SEED={seed} SWITCHYARD_DAMAGE_ROUNDS={rounds}");
    let mut random = Rng::with_seed(seed);
    let many = EmbeddedSettings::default().layer_keys;
    let images = [
        closed(FEW_KEYS).await,
        closed(many).await,
        died("killed, with all of it in the journal", many).await,
        died("killed while layers are flushed", FEW_KEYS).await,
    ];
    for image in images {
        let whole = Scratch::new();
        copy_folder(image.folder.path(), whole.path());
        let store = open(&whole);
        let expected = everything(&store).await.expect("rows that read");
        drop(store);
        let (mut refused, mut opened) = (0, 0);
        for round in 0..rounds {
            let spoilt = Scratch::new();
            copy_folder(image.folder.path(), spoilt.path());
            let how = damage(spoilt.path(), image.older.path(), &mut random);
            match EmbeddedStore::open(spoilt.path(), &settings()) {
                Err(error) => {
                    println!("{}: {how}: {error}", image.name);
                    refused += 1;
                }
                Ok(store) => {
                    let place = format!("{}, round {round}: {how}", image.name);
                    match everything(&store).await {
                        Ok(found) => assert!(found == expected, "{place}: it has less"),
                        Err(StoreError::Damaged { .. }) => {
                            let report = verify(spoilt.path(), &|_, _| {}).expect("a manifest");
                            assert!(report.damaged > 0, "{place}: not found");
                        }
                        Err(other) => panic!("{place}: {other}"),
                    }
                    opened += 1;
                }
            }
        }
        println!("{}: {refused} refused, {opened} opened", image.name);
        assert!(refused > 0, "no damage was seen");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_12_a_folder_that_has_lost_a_file_is_never_an_empty_one() {
    let image = died("killed", EmbeddedSettings::default().layer_keys).await;
    for file in files(image.folder.path()) {
        for emptied in [false, true] {
            let spoilt = Scratch::new();
            copy_folder(image.folder.path(), spoilt.path());
            let name = file.strip_prefix(image.folder.path()).expect("it is below");
            let path = spoilt.path().join(name);
            if emptied {
                fs::write(&path, []).expect("a file");
            } else {
                fs::remove_file(&path).expect("a file");
            }
            // An older mark, or none that reads, takes nothing away.
            if let Ok(store) = EmbeddedStore::open(spoilt.path(), &settings()) {
                let kept = read(of(&store).order(id(1_000_000))).await;
                assert!(kept.is_some(), "{} emptied: {emptied}", name.display());
                assert!(
                    read(of(&store).orders(None, PAGE_MAX)).await.len() > 100,
                    "{}",
                    name.display()
                );
            }
        }
    }
}

/// The process is killed when a segment has been written and no manifest names it yet: the journal
/// has the same rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_12_a_segment_that_no_manifest_names_is_passed_over() {
    let (folder, image) = (Scratch::new(), Scratch::new());
    let store = open(&folder);
    commit(&store, accepted(&order(1))).await;
    copy_folder(folder.path(), image.path());
    drop(store);
    let segments = |scratch: &Scratch| files(&scratch.path().join("segments"));
    assert_eq!((segments(&folder).len(), segments(&image).len()), (1, 0));
    copy_folder(&folder.path().join("segments"), &image.path().join("segments"));
    let store = open(&image);
    assert_eq!(read(of(&store).orders(None, PAGE_MAX)).await.len(), 1);
    commit(&store, paid(&order(1))).await;
    drop(store);
    let store = open(&image);
    assert_eq!(read(of(&store).order(id(1))).await.expect("it is there").version, 2);
    assert_eq!(segments(&image).len(), 2, "and it has gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_says_so_until_its_numbers_have_leapt() {
    let (original, copied) = (Scratch::new(), Scratch::new());
    let store = open(&original);
    commit(&store, accepted(&order(1))).await;
    assert!(!store.is_copy());
    copy_folder(original.path(), copied.path());
    let refused = EmbeddedStore::open(copied.path(), &settings()).err();
    let told = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("the folder is a copy"), "its original is at work: {told}");
    drop(store);
    for _ in 0..2 {
        let store = open(&copied);
        assert!(store.is_copy(), "nobody has dealt with it");
    }
    let store = open(&copied);
    store.numbers_have_leapt();
    drop(store);
    assert!(!open(&copied).is_copy());
    assert!(!open(&original).is_copy());
}
