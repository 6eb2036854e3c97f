//! Connections that are cut before, in and after a COMMIT: what the store answers is what the
//! database has.
//!
//! `SWITCHYARD_POSTGRES_SEED` and `SWITCHYARD_POSTGRES_CUTS` choose which connections are cut, and
//! how many.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::books::{Answers, are_true, knob, open, pay, payment};
use crate::support::postgres::{Database, database};
use crate::support::postgres_proxy::{Cut, Proxy};
use crate::support::wire::until;
use switchyard::store::postgres::{PostgresSettings, PostgresStore};
use switchyard::store::{CommitError, Store};

const CUTS_DEFAULT: u64 = 60;
const PAYERS: u64 = 12;

async fn proxied() -> Option<(Database, Proxy, Arc<dyn Store>)> {
    let database = database().await?;
    let proxy = Proxy::start(database.port()).await;
    let store = open(&proxy.url(&database.name)).await;
    Some((database, proxy, store))
}

fn draw(random: &mut fastrand::Rng) -> Cut {
    match random.u8(..6) {
        0 => Cut::Before,
        1 => Cut::Inside,
        2 => Cut::After,
        3 => Cut::AnswerLost,
        _ => Cut::Late(Duration::from_millis(random.u64(1..150))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_12_whatever_a_commit_meets_its_answer_is_true() {
    let Some((database, proxy, store)) = proxied().await else { return };
    let seed = knob("SWITCHYARD_POSTGRES_SEED", fastrand::u64(..1 << 32));
    let cuts = knob("SWITCHYARD_POSTGRES_CUTS", CUTS_DEFAULT);
    println!("SWITCHYARD_POSTGRES_SEED={seed} SWITCHYARD_POSTGRES_CUTS={cuts}");
    let mut random = fastrand::Rng::with_seed(seed);
    let made = Arc::new(AtomicU64::new(0));
    let met = Arc::new(Mutex::new(Vec::new()));
    let (counted, seen) = (Arc::clone(&made), Arc::clone(&met));
    proxy.choose(move |_| {
        let is_cut = counted.load(Ordering::Relaxed) < cuts && random.bool();
        let cut = is_cut.then(|| draw(&mut random))?;
        counted.fetch_add(1, Ordering::Relaxed);
        seen.lock().expect("no panic").push(cut);
        Some(cut)
    });
    let payers = (0..PAYERS).map(|payer| {
        let (store, made) = (Arc::clone(&store), Arc::clone(&made));
        tokio::spawn(async move {
            let numbers = (0..).map(|count| count * PAYERS + payer);
            // One more payment after the last cut shows that all is well again.
            let mut last = false;
            let numbers = numbers.take_while(|_| {
                let goes_on = !last;
                last = made.load(Ordering::Relaxed) >= cuts;
                goes_on
            });
            pay(&*store, numbers).await
        })
    });
    let mut answers = Answers::default();
    for payer in payers.collect::<Vec<_>>() {
        answers.extend(payer.await.expect("answers that a caller can live with"));
    }
    let met = met.lock().expect("no panic").clone();
    println!("{met:?}");
    assert_eq!(met.len() as u64, cuts);
    are_true(&database.client().await, &answers).await;
}

/// One write set, whose COMMIT meets this, is written once, and its answer says so.
async fn is_written_once(cut: Cut) {
    let Some((database, proxy, store)) = proxied().await else { return };
    let before = proxy.commits();
    proxy.cut_next(cut);
    let answers = pay(&*store, 1..2).await;
    assert!(proxy.commits() >= before + 2, "it went by the proxy");
    if matches!(cut, Cut::Late(_)) {
        until("the late COMMIT", async || (proxy.late() == 1).then_some(())).await;
    }
    are_true(&database.client().await, &answers).await;
}

#[tokio::test]
async fn a_commit_that_never_arrives_is_made_again() {
    is_written_once(Cut::Before).await;
}

#[tokio::test]
async fn a_commit_of_which_a_half_arrives_is_made_again() {
    is_written_once(Cut::Inside).await;
}

#[tokio::test]
async fn a_commit_that_arrives_and_is_not_answered_is_found() {
    is_written_once(Cut::After).await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found() {
    is_written_once(Cut::AnswerLost).await;
}

#[tokio::test]
async fn a_commit_that_comes_late_is_waited_for() {
    is_written_once(Cut::Late(Duration::from_millis(700))).await;
}

/// The server ends a transaction that is left standing, and what comes then commits nothing.
#[tokio::test]
async fn a_commit_that_comes_when_its_transaction_has_ended_is_nothing() {
    is_written_once(Cut::Late(Duration::from_secs(7))).await;
}

/// A database that is away has every writer in doubt before long.
#[tokio::test]
async fn what_waits_behind_a_doubt_is_told_that_the_database_is_away() {
    let Some(database) = database().await else { return };
    let proxy = Proxy::start(database.port()).await;
    let url = proxy.url(&database.name);
    let settings = PostgresSettings { writers: 1, ..PostgresSettings::at(url) };
    let store = Arc::new(PostgresStore::open(&settings).await.expect("it opens"));
    proxy.cut_next(Cut::AnswerHeld);
    let asked = Arc::clone(&store);
    let doubtful = tokio::spawn(async move { asked.commit(&payment(1, false, "1/false/0")).await });
    let client = database.client().await;
    let is_there =
        async || client.query_opt("SELECT 1 FROM orders", &[]).await.expect("a table").map(drop);
    until("the order in the database", is_there).await;
    proxy.refuse();
    let away = async || match store.commit(&payment(2, false, "2/false/0")).await {
        Err(CommitError::Unavailable(_)) => Some(()),
        other => panic!("the database is away: {other:?}"),
    };
    until("an answer while the first one is in doubt", away).await;
    assert!(!doubtful.is_finished(), "nobody knows yet");
    proxy.listen_again();
    doubtful.await.expect("no panic").expect("it was written");
}

#[tokio::test]
async fn nobody_is_answered_before_the_commit_is() {
    let Some((database, proxy, store)) = proxied().await else { return };
    proxy.cut_next(Cut::AnswerHeld);
    let before = proxy.commits();
    let asked = Arc::clone(&store);
    let writing = tokio::spawn(async move { asked.commit(&payment(1, false, "1/false/0")).await });
    let client = database.client().await;
    let is_there = async || {
        let row = client.query_opt("SELECT 1 FROM orders", &[]).await.expect("a table");
        row.filter(|_| proxy.commits() > before)
    };
    until("the order in the database", is_there).await;
    assert!(!writing.is_finished(), "its COMMIT is not answered");
    proxy.let_answers_go();
    writing.await.expect("no panic").expect("it is written");
}

#[tokio::test]
async fn a_network_that_stands_still_loses_nothing() {
    let Some((database, proxy, store)) = proxied().await else { return };
    let mut answers = pay(&*store, 1..3).await;
    proxy.pause();
    let asked = Arc::clone(&store);
    let paying = tokio::spawn(async move { pay(&*asked, 3..6).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!paying.is_finished());
    proxy.resume();
    answers.extend(paying.await.expect("no panic"));
    are_true(&database.client().await, &answers).await;
}

#[tokio::test]
async fn a_database_out_of_reach_is_found_again() {
    let Some((database, proxy, store)) = proxied().await else { return };
    let mut answers = pay(&*store, 1..3).await;
    proxy.refuse();
    let writes = payment(3, false, "3/false/first");
    let refused = store.commit(&writes).await;
    assert!(matches!(refused, Err(switchyard::store::CommitError::Unavailable(_))), "{refused:?}");
    assert!(store.order(crate::support::books::id(1)).await.is_err(), "reads say so, too");
    proxy.listen_again();
    answers.refused.push("3/false/first".to_owned());
    answers.extend(pay(&*store, 3..6).await);
    are_true(&database.client().await, &answers).await;
    let found = store.order(crate::support::books::id(1)).await;
    assert!(found.expect("it is in reach again").is_some());
}
