//! Books that are moved between a data folder and a database: every row arrives as it was, a move
//! that is cut off goes on, and what cannot be right is refused and named.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use switchyard::app::folder::{BOOKS, DataFolder, MOVED};
use switchyard::app::moving::{self, BooksPlace, FolderBooks, MoveError, MovedKind};
use switchyard::domain::bin::proposal::BinFact;
use switchyard::domain::books::reconcile::Class;
use switchyard::domain::books::reconciliation::BatchState;
use switchyard::domain::event::{EventKind, OrderEvent};
use switchyard::domain::money::Currency;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::Store;
use switchyard::store::postgres::{DatabaseBooks, PostgresSettings, PostgresStore};
use switchyard::store::whole::{GivenNumbers, kind_name, kinds};
use tokio::sync::Notify;

use crate::histories::{Seen, random_histories_equal_a_plain_model};
use crate::random_histories_of_differences_equal_a_plain_model;
use crate::rows::{
    close, day, ended, found, neighbour, reconciliation, settled, settlement, statement,
};
use crate::services::{agreement, asked, code, proposal, switch, verification};
use crate::support::Scratch;
use crate::support::books::{accepted, audit, channel, id, moment, order, paid};
use crate::support::postgres::{Database, database};
use crate::{commit, of, open_at, read};

/// An order whose attempt is in flight.
const IN_FLIGHT: u64 = 77;

/// Every row of a store by its kind and key.
type AllRows = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

async fn all_rows(store: &dyn Store) -> AllRows {
    let mut rows = AllRows::new();
    for kind in 0..kinds() {
        let mut after = None;
        loop {
            // A page of any size will do.
            let page = read(store.whole_page(kind, after, 3)).await;
            for row in page.rows {
                let is_new = rows.insert((kind, row.identity().to_vec()), row.bytes).is_none();
                assert!(is_new, "a row of {kind} is shown twice");
            }
            match page.last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
    }
    rows
}

fn prints(print: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("seal".to_owned(), print.repeat(16))])
}

/// A data folder with keys and without books.
fn data(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.path().join(name);
    DataFolder::open(&path, true)
        .and_then(|mut folder| folder.keep(prints("a")))
        .expect("a folder");
    path
}

/// Books with rows of every kind.
async fn fill(store: &dyn Store) {
    random_histories_equal_a_plain_model(store).await;
    random_histories_of_differences_equal_a_plain_model(store).await;
    let current = ended(&reconciliation(9, channel(), day(22)), BatchState::Current);
    commit(
        store,
        WriteSet {
            closes: vec![close(neighbour(), day(22))],
            statements: vec![statement(day(22), 1), statement(day(22), 300)],
            reconciliations: vec![reconciliation(9, channel(), day(22)), current],
            agreed_lines: vec![(crate::rows::batch_id(9), vec![7; 100_000])],
            found: vec![found(9, 0, Class::OnlyTheirs, 1)],
            settlements: vec![settlement(8, channel(), &["R-1", "R-2"])],
            settled: vec![settled(day(22), Currency::Cny, 1), settled(day(22), Currency::Usd, 1)],
            verifications: vec![verification(7, "core", "V-7")],
            events: vec![OrderEvent::new(id(1), moment(5), EventKind::Retried, 0)],
            agreements: vec![agreement(8, "core", "G-8", "m-8")],
            payment_codes: vec![code(8, "core", "A-8")],
            approvals: vec![asked(8, switch("bank", true))],
            bin_proposals: vec![proposal("621626", BinFact::Credit)],
            audit: vec![audit("a NUL is \0")],
            ..WriteSet::default()
        },
    )
    .await;
    commit(store, WriteSet { orders: vec![order(IN_FLIGHT)], ..WriteSet::default() }).await;
    for (node, count) in [(0, 10), (1, 10_000), (999, 1)] {
        store.lease(261_122, node, count).await.expect("numbers");
    }
}

async fn database_of(url: &str) -> BooksPlace {
    let settings = PostgresSettings::at(url);
    let books = DatabaseBooks::connect(&settings).await.expect("a database");
    BooksPlace::Database(Box::new(books), url.to_owned())
}

fn folder_of(data: &Path) -> BooksPlace {
    BooksPlace::Folder(FolderBooks::open(data).expect("nobody works on it"))
}

async fn carry(from: &mut BooksPlace, to: &mut BooksPlace) -> Result<Vec<MovedKind>, MoveError> {
    let id = format!("{:x}", fastrand::u64(..));
    moving::move_books((from, to), &prints("a"), (&audit("moved"), id), &|_, _| {}).await
}

/// Moves until so many steps are done, and is cut off then; tells whether it was whole before.
async fn carry_a_little(from: &mut BooksPlace, to: &mut BooksPlace, steps: u32) -> bool {
    let (done, enough) = (Cell::new(0), Notify::new());
    let progress = |_, _| {
        done.set(done.get() + 1);
        if done.get() == steps {
            enough.notify_one();
        }
    };
    let (entry, id) = (audit("moved"), format!("{:x}", fastrand::u64(..)));
    let prints = prints("a");
    let moved = moving::move_books((from, to), &prints, (&entry, id), &progress);
    tokio::select! {
        biased;
        () = enough.notified() => false,
        moved = moved => moved.map(|_| true).expect("nothing is wrong with the books"),
    }
}

async fn open_database(database: &Database) -> PostgresStore {
    let settings =
        PostgresSettings { key_prints: prints("a"), ..PostgresSettings::at(&*database.url) };
    PostgresStore::open(&settings).await.expect("the books are whole")
}

/// The rows and listings of a folder's books.
async fn shown(data: &Path) -> (AllRows, Seen, Vec<GivenNumbers>) {
    let store = open_at(&data.join(BOOKS));
    let store = of(&store);
    (all_rows(store).await, Seen::by(store).await, read(store.given_numbers()).await)
}

/// As it comes back from a database, which holds no NUL.
fn with_visible_nul(
    (rows, seen, numbers): (AllRows, Seen, Vec<GivenNumbers>),
) -> (AllRows, Seen, Vec<GivenNumbers>) {
    let rows = rows.into_iter().map(|((kind, key), bytes)| {
        let row = switchyard::store::StoredRow { key: [&b"?"[..], &key].concat(), bytes };
        let row = switchyard::store::whole::in_columns(kind, row).expect("a row that reads back");
        ((kind, key), row.bytes)
    });
    (rows.collect(), seen.with_visible_nul(), numbers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_go_to_a_database_and_back_row_by_row() {
    let Some(database) = database().await else { return };
    let scratch = Scratch::new();
    let (here, there) = (data(&scratch, "here"), data(&scratch, "there"));
    fill(of(&open_at(&here.join(BOOKS)))).await;
    let moved = carry(&mut folder_of(&here), &mut database_of(&database.url).await).await;
    let moved = moved.expect("the sides agree");
    assert!(moved.iter().all(|kind| kind.rows > 0), "rows of every kind: {moved:?}");
    // What was moved lies aside, as it was.
    std::fs::rename(here.join(MOVED), here.join(BOOKS)).expect("a folder");
    let (rows, seen, numbers) = with_visible_nul(shown(&here).await);
    {
        let store = open_database(&database).await;
        assert!(all_rows(&store).await == rows, "every row is there as it was");
        assert_eq!(Seen::by(&store).await, seen);
        for GivenNumbers { yymmdd, node, given } in &numbers {
            let next = store.lease(*yymmdd, *node, 1).await.expect("a number");
            assert!(next > *given, "{next} was given before: {given}");
        }
        let orphans = read(of(&store).orphans(None, 99)).await;
        let is_orphan = orphans.iter().any(|order| order.id == id(IN_FLIGHT));
        assert!(is_orphan, "an attempt in flight belongs to nobody");
    }
    let moved = carry(&mut database_of(&database.url).await, &mut folder_of(&there)).await;
    moved.expect("the sides agree");
    let (mut back, seen_back, numbers_back) = shown(&there).await;
    // The line of the audit trail that says so, and nothing else.
    back.retain(|key, _| rows.contains_key(key) || kind_name(key.0) != "audit");
    assert!(back == rows, "every row is back as it was");
    assert_eq!(seen_back.without_last_audit(), seen);
    for (one, before) in numbers_back.iter().zip(&numbers) {
        assert!(one.given > before.given && one.node == before.node, "{one:?}, {before:?}");
    }
    let refusal = PostgresStore::open(&PostgresSettings::at(&*database.url)).await.err();
    let refusal = refusal.map(|error| error.to_string()).unwrap_or_default();
    assert!(refusal.contains("were moved from here to the data folder"), "{refusal}");
}

/// A move is cut off while rows go, and while both sides are compared; then it may end.
fn steps_before(cuts: u32) -> u32 {
    if cuts < 12 { 1 + cuts } else { u32::MAX }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_cut_off_goes_on() {
    let Some(database) = database().await else { return };
    let scratch = Scratch::new();
    let (here, there) = (data(&scratch, "here"), data(&scratch, "there"));
    fill(of(&open_at(&here.join(BOOKS)))).await;
    let before = with_visible_nul(shown(&here).await);
    let mut cuts = 0;
    while !carry_a_little(
        &mut folder_of(&here),
        &mut database_of(&database.url).await,
        steps_before(cuts),
    )
    .await
    {
        cuts += 1;
        let closed = DataFolder::open(&here, false).err().map(|error| error.to_string());
        let closed = closed.expect("no daemon starts on what goes");
        assert!(closed.contains("`switchyard store move` again"), "{closed}");
        let target = PostgresStore::open(&PostgresSettings::at(&*database.url)).await.err();
        let target = target.map(|error| error.to_string()).unwrap_or_default();
        assert!(target.contains("are being moved here"), "{target}");
        assert!(cuts < 60, "each run goes on");
    }
    assert!(cuts > 5, "it was cut off {cuts} times");
    drop(open_database(&database).await);
    cuts = 0;
    while !carry_a_little(
        &mut database_of(&database.url).await,
        &mut folder_of(&there),
        steps_before(cuts),
    )
    .await
    {
        cuts += 1;
        assert!(DataFolder::open(&there, false).is_err(), "no daemon starts on what comes");
        assert!(cuts < 60, "each run goes on");
    }
    assert!(cuts > 5, "it was cut off {cuts} times");
    DataFolder::open(&there, false).expect("it is whole");
    let (mut rows, ..) = shown(&there).await;
    rows.retain(|key, _| before.0.contains_key(key) || kind_name(key.0) != "audit");
    assert!(rows == before.0, "every row is back as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_differ_are_named_and_nothing_is_opened() {
    let Some(database) = database().await else { return };
    let scratch = Scratch::new();
    let here = data(&scratch, "here");
    fill(of(&open_at(&here.join(BOOKS)))).await;
    let (mut from, mut to) = (folder_of(&here), database_of(&database.url).await);
    let mut copied = false;
    for _ in 0..60 {
        if !copied {
            assert!(!carry_a_little(&mut from, &mut to, 1).await, "it is cut off");
            let client = database.client().await;
            let row = client.query_one("SELECT kind FROM moves", &[]).await.expect("a mark");
            copied = row.get::<_, i64>(0) == i64::try_from(kinds()).expect("few");
        }
    }
    assert!(copied, "all pages are there");
    let client = database.client().await;
    let order = "UPDATE orders SET merchant_id = 'another' \
                 WHERE id = (SELECT max(id) FROM orders) RETURNING id";
    let order: i64 = client.query_one(order, &[]).await.expect("an order").get(0);
    let attempt =
        "UPDATE attempts SET code = 'XX' WHERE order_id = (SELECT min(order_id) FROM attempts)";
    client.execute(attempt, &[]).await.expect("an attempt");
    let gone = "DELETE FROM audit WHERE place = 1";
    assert_eq!(client.execute(gone, &[]).await.expect("a line"), 1);
    let more = "INSERT INTO agreed_lines (batch, part, lines) VALUES (77, 1, '')";
    client.execute(more, &[]).await.expect("a row");
    let Err(MoveError::Differences { count, named }) = carry(&mut from, &mut to).await else {
        panic!("the sides differ")
    };
    assert_eq!((count, named.len()), (4, 4), "{named:?}");
    for words in [
        format!("orders id {order}: it differs"),
        "audit place 1: it is missing in the database".to_owned(),
        "agreed_lines batch 77, part 1: it is in the database".to_owned(),
    ] {
        assert!(named.iter().any(|name| name.contains(&words)), "{words}: {named:?}");
    }
    drop((from, to));
    assert!(PostgresStore::open(&PostgresSettings::at(&*database.url)).await.is_err());
    assert!(DataFolder::open(&here, false).is_err());
    let abandon = async || {
        moving::abandon(&folder_of(&here), &database_of(&database.url).await)
            .await
            .map_err(|error| error.to_string())
    };
    abandon().await.expect("a move that is not whole is given up");
    DataFolder::open(&here, false).expect("the books are where they were");
    assert!(abandon().await.is_err_and(|words| words.contains("no move goes from")));
}

/// The words of a refusal. Nothing is marked by it.
async fn refused(from: &mut BooksPlace, to: &mut BooksPlace) -> String {
    carry(from, to).await.err().map(|error| format!("{error}")).expect("it is refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_in_use_and_places_with_books_are_refused() {
    let Some(database) = database().await else { return };
    let scratch = Scratch::new();
    let (here, there) = (data(&scratch, "here"), data(&scratch, "there"));
    drop(open_at(&there.join(BOOKS)));
    let words =
        refused(&mut folder_of(&data(&scratch, "none")), &mut database_of(&database.url).await)
            .await;
    assert!(words.contains("has no books"), "{words}");
    let store = open_at(&here.join(BOOKS));
    commit(&store, WriteSet { audit: vec![audit("one")], ..WriteSet::default() }).await;
    let locked = FolderBooks::open(&here).err().map(|error| error.to_string());
    assert!(locked.is_some(), "a daemon works on them");
    drop(store);

    let node = open_database(&database).await;
    commit(&node, WriteSet { audit: vec![audit("two")], ..WriteSet::default() }).await;
    let words = refused(&mut folder_of(&here), &mut database_of(&database.url).await).await;
    assert!(words.contains("has books of its own, 1 rows"), "{words}");
    let client = database.client().await;
    let lost = "UPDATE nodes SET history_lost_at = now()";
    client.execute(lost, &[]).await.expect("a node");
    let words = refused(&mut database_of(&database.url).await, &mut folder_of(&there)).await;
    assert!(words.contains("history_lost"), "numbers would come again: {words}");
    let found = "UPDATE nodes SET history_lost_at = NULL";
    client.execute(found, &[]).await.expect("a node");
    let cluster = of(&node).cluster().expect("a database has nodes");
    cluster.renew(0, &switchyard::domain::cluster::WorkTrade::default()).await.expect("a lease");
    let words = refused(&mut database_of(&database.url).await, &mut folder_of(&there)).await;
    assert!(words.contains("works on them; stop it first"), "{words}");
    cluster.leave().await.expect("it goes");
    let mut other = (database_of(&database.url).await, folder_of(&there));
    let foreign = prints("b");
    let entry = audit("moved");
    let moved = moving::move_books(
        (&mut other.0, &mut other.1),
        &foreign,
        (&entry, "1".to_owned()),
        &|_, _| {},
    );
    let words = moved.await.err().map(|error| error.to_string()).expect("it is refused");
    assert!(words.contains("another key `seal`"), "{words}");
    carry(&mut other.0, &mut other.1).await.expect("nothing was marked by a refusal");
    let late = node.commit(&WriteSet { audit: vec![audit("late")], ..WriteSet::default() }).await;
    assert!(late.is_err(), "a process that stood still writes nothing any more");
}

/// Books of one row.
async fn small(data: &Path) {
    let store = open_at(&data.join(BOOKS));
    commit(&store, WriteSet { audit: vec![audit("one")], ..WriteSet::default() }).await;
}

/// A move is killed as soon as the target is known to be whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_whole_is_opened_in_one_place_alone() {
    let Some(database) = database().await else { return };
    let scratch = Scratch::new();
    let here = data(&scratch, "here");
    small(&here).await;
    let mark = here.join("move");
    assert!(!carry_a_little(&mut folder_of(&here), &mut database_of(&database.url).await, 1).await);
    let whole = "UPDATE moves SET state = 'whole'";
    let client = database.client().await;
    assert_eq!(client.execute(whole, &[]).await.expect("a mark"), 1);
    let given_up = moving::abandon(&folder_of(&here), &database_of(&database.url).await).await;
    let words = given_up.err().map(|error| error.to_string()).expect("it cannot be given up");
    assert!(words.contains("has all of the books"), "{words}");

    let kept = std::fs::read(&mark).expect("a mark");
    std::fs::remove_file(&mark).expect("a mark that somebody takes away");
    let words = refused(&mut folder_of(&here), &mut database_of(&database.url).await).await;
    assert!(words.contains("are being moved here"), "{words}");
    assert!(PostgresStore::open(&PostgresSettings::at(&*database.url)).await.is_err());
    std::fs::write(&mark, kept).expect("a mark");
    let moved = carry(&mut folder_of(&here), &mut database_of(&database.url).await).await;
    assert_eq!(moved.expect("only marks were left"), []);
    assert!(!here.join(BOOKS).exists() && !mark.exists(), "the source is closed");
    drop(open_database(&database).await);
}

/// A move that was cut off goes to another place; the first one has a half of the books.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_have_gone_to_one_place_go_to_no_second_one() {
    let Some(database) = database().await else { return };
    let scratch = Scratch::new();
    let (first, second) = (data(&scratch, "first"), data(&scratch, "second"));
    let node = open_database(&database).await;
    commit(&node, WriteSet { audit: vec![audit("one")], ..WriteSet::default() }).await;
    drop(node);
    let mut from = database_of(&database.url).await;
    assert!(!carry_a_little(&mut from, &mut folder_of(&first), 1).await);
    carry(&mut from, &mut folder_of(&second)).await.expect("the sides agree");
    let words = refused(&mut from, &mut folder_of(&first)).await;
    assert!(words.contains("were moved from here to"), "{words}");
    assert!(words.contains("second"), "{words}");
    // Nor if the first one was whole when it was cut off.
    let mark = first.join("move");
    let text = std::fs::read_to_string(&mark).expect("a mark");
    std::fs::write(&mark, text.replace("under_way", "whole")).expect("a mark");
    refused(&mut from, &mut folder_of(&first)).await;
    assert!(DataFolder::open(&first, false).is_err(), "nothing was opened");
    DataFolder::open(&second, false).expect("the books are here");
}

/// An order that a damaged folder has as an open one and as one that has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_there_twice_is_a_difference() {
    let Some(database) = database().await else { return };
    let scratch = Scratch::new();
    let there = data(&scratch, "there");
    let node = open_database(&database).await;
    for number in [1, 2] {
        commit(&node, accepted(&order(number))).await;
    }
    commit(&node, paid(&order(2))).await;
    drop(node);
    let mut from = database_of(&database.url).await;
    assert!(!carry_a_little(&mut from, &mut folder_of(&there), 1).await);
    {
        let store = open_at(&there.join(BOOKS));
        let page = read(of(&store).whole_page(0, None, 9)).await;
        let [open, ended] = page.rows.as_slice() else { panic!("two orders") };
        let mut twin = ended.clone();
        assert_ne!(twin.key[0], open.key[0], "they lie under letters of their own");
        twin.key[0] = open.key[0];
        store.add_whole(0, &[twin]).await.expect("it is written");
    }
    let moved = carry(&mut from, &mut folder_of(&there)).await;
    let Err(MoveError::Differences { named, .. }) = moved else { panic!("the sides differ") };
    assert_eq!(named, ["orders: a row is there twice"]);
}
