//! Days as an operator lives them: what statements say beside the books, and what becomes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchyard::domain::attempt::Source;
use switchyard::domain::books::accounting::BookingEvent;
use switchyard::domain::books::difference::{DifferenceState, Remedy};
use switchyard::domain::books::reconcile::Class;
use switchyard::domain::books::reconciliation::BatchState;
use switchyard::domain::ids::BatchId;
use switchyard::domain::order::OrderStatus;
use switchyard::domain::terms::ReportedSuccessRule;
use switchyard::reconciliation::incoming::Inbox;
use switchyard::reconciliation::matching::LineSet;
use switchyard::store::Store;
use switchyard::store::embedded::{EmbeddedSettings, EmbeddedStore};
use switchyard::store::memory::{FailedRows, MemoryStore};

use crate::office::{Line, Office, channel, date, keeping, lost, no, refusing, statement, yes};
use crate::support::Scratch;

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

async fn classes(office: &Office, batch: BatchId) -> BTreeMap<Class, usize> {
    let mut counts = BTreeMap::new();
    for (class, _) in office.found(batch).await {
        *counts.entry(class).or_default() += 1;
    }
    counts
}

/// A day with every class: lines of the day's statement.
async fn plant(office: &Office) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut honest = Vec::new();
    for _ in 0..9 {
        let order = office.pay(10_000).await;
        assert_eq!(order.status, OrderStatus::Succeeded);
        honest.push(office.line(&order, 20).await);
    }
    let [same, mut over, mut short, mut fee, mut failed, mut currency, weak, twice, refunded] =
        honest.try_into().expect("nine");
    over.amount += 5;
    short.amount -= 7;
    fee.fee += 3;
    failed.status = "failed";
    currency.currency = "USD";
    let weak = Line { order_no: "77".to_owned(), ..weak };
    lines.extend([same, over, short, fee, failed, currency, weak, twice.clone(), twice, refunded]);
    // One that only we have.
    office.pay(10_000).await;
    // Nobody knows the channel's answer to these two, until its statement.
    office.bank_says(lost());
    let unknown = office.pay(4_000).await;
    lines.push(office.line(&unknown, 20).await);
    office.bank_says(lost());
    let never = office.pay(5_000).await;
    lines.push(Line { status: "failed", ..office.line(&never, 20).await });
    // Declined, says the channel; succeeded, says its statement.
    office.bank_says(no());
    let declined = office.pay(6_000).await;
    lines.push(office.line(&declined, 20).await);
    let foreign = Line { order_no: "X1".to_owned(), ..lines[0].clone() };
    lines.push(Line { reference: "RX1".to_owned(), amount: 1_234, ..foreign });
    // Our day is over, theirs is not.
    office.at(20, 23);
    let shifted = office.pay(3_000).await;
    lines.push(office.line(&shifted, 20).await);
    lines
}

async fn every_class(store: Arc<dyn Store>) {
    let office = Office::new(store, &keeping(""));
    let mut lines = plant(&office).await;
    office.at(21, 10);
    let mut broken = lines[0].clone();
    broken.order_no = "4111111111111111".to_owned();
    broken.operation = "dance";
    lines.push(broken);
    let batch = office.take(20, &lines).await;
    assert_eq!((batch.state, batch.revision, batch.report.proven), (BatchState::Current, 1, 2));
    let wanted = [
        (Class::MatchedWeak, 1),
        (Class::AmountOver, 1),
        (Class::AmountShort, 1),
        (Class::FeeDiffers, 1),
        (Class::StatusDiffers, 2),
        (Class::CurrencyDiffers, 1),
        (Class::OnlyTheirs, 2),
        (Class::OnlyOurs, 1),
        (Class::DuplicateTheirs, 1),
        (Class::Shifted, 1),
        (Class::BadLine, 1),
    ];
    assert_eq!(classes(&office, batch.id).await, BTreeMap::from(wanted));
    assert_eq!(batch.report.differences, 13);
    let totals = &batch.report.totals;
    let cny = switchyard::domain::money::Currency::Cny;
    // The proven one, the two honest ones, and the first of the pair that came twice.
    assert_eq!(totals.get(cny, Class::Matched).theirs.count, 4);
    let problems: Vec<&str> = batch.report.problems.iter().map(|one| &*one.kind).collect();
    assert!(problems.is_empty(), "{problems:?}");
    let bad = office.found(batch.id).await.into_iter().find(|(class, _)| *class == Class::BadLine);
    let text = bad.expect("it is told").1.line.and_then(|line| line.unreadable).expect("kept").1;
    assert!(!text.contains("4111111111111111") && text.contains("dance"), "I-11: {text}");
    office.check(20..=20).await;

    // Run again: the same rows, and nothing is booked.
    let (before, booked) = (office.differences(20..=21).await, office.requests().await.len());
    let again = office.run(20).await;
    let stored = office.store.reconciliation(batch.id).await.expect("readable").expect("kept");
    assert_eq!((again.state, stored.state), (BatchState::Current, BatchState::Superseded));
    assert_eq!(office.differences(20..=21).await, before);
    assert_eq!(office.requests().await.len(), booked);
    assert_eq!(office.found(again.id).await.len(), office.found(batch.id).await.len());
    let agreed = office.store.agreed_lines(again.id).await.expect("readable").expect("kept");
    assert_eq!(LineSet::from_bytes(&agreed).count(), 5, "those, and the weak one");

    // Handed in again: no new revision, and no new batch.
    let same = office.hand_in(20, statement(&lines)).await.expect("it is known");
    assert_eq!((same.is_new, same.revision.revision, same.batch.id), (false, 1, again.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_every_class_of_difference() {
    every_class(memory()).await;
    let scratch = Scratch::new();
    let store = EmbeddedStore::open(&scratch.path().join("books"), &EmbeddedSettings::default());
    every_class(Arc::new(store.expect("a store"))).await;
}

#[tokio::test]
async fn what_is_carried_is_matched_late_or_suspended_and_balanced() {
    let office = Office::new(memory(), &refusing("carry_days = 2"));
    let (late, lost, kept) =
        (office.pay(1_000).await, office.pay(2_000).await, office.pay(3_000).await);
    office.at(21, 10);
    let kept_line = office.line(&kept, 20).await;
    office.take(20, &[kept_line]).await;
    office.check(20..=20).await;
    // The next day's statement has the one that the first one forgot.
    office.at(22, 10);
    let batch = office.take(21, &[office.line(&late, 21).await]).await;
    assert_eq!(classes(&office, batch.id).await, BTreeMap::from([(Class::MatchedLate, 1)]));
    let rows = office.differences(20..=21).await;
    let of = |order_no: String| {
        let of = |row: &&switchyard::domain::books::difference::Difference| {
            row.record.as_ref().is_some_and(|one| one.channel_order_no.to_string() == order_no)
        };
        rows.iter().find(of).expect("it has a row").clone()
    };
    assert_eq!(of(late.channel_order_no(1).to_string()).state, DifferenceState::Cleared);
    let open = of(lost.channel_order_no(1).to_string());
    assert_eq!(open.state, DifferenceState::Carried);
    office.check(20..=21).await;
    // The end of the second day behind it.
    office.at(22, 22);
    assert_eq!(office.expire().await, 0);
    office.at(22, 23);
    assert_eq!(office.expire().await, 1);
    assert_eq!(office.expire().await, 0, "once");
    let row = office.differences(20..=20).await.into_iter().find(|row| row.id == open.id);
    let row = row.expect("it is there");
    assert_eq!((row.state, row.held[0].principal_minor), (DifferenceState::Suspended, -2_000));
    office.check(20..=21).await;

    // It comes after all, with another amount: suspense follows.
    office.at(23, 10);
    let short = Line { amount: 1_900, ..office.line(&lost, 22).await };
    office.take(22, &[short]).await;
    let row = office.store.difference(open.id).await.expect("readable").expect("kept");
    assert_eq!((row.class, row.held[0].principal_minor), (Class::AmountShort, -100));
    office.check(20..=22).await;
    let done = office.balance(&row, Remedy::Merchant).await.expect("it is open");
    assert_eq!((done.state, done.held.len()), (DifferenceState::Balanced, 0));
    office.check(20..=22).await;
    assert!(office.balance(&done, Remedy::Merchant).await.is_err());
    // Nothing that is run again touches it.
    for day in [20, 21, 22] {
        let before = office.requests().await.len();
        office.run(day).await;
        assert_eq!(office.requests().await.len(), before, "day {day}");
        let same = office.store.difference(open.id).await.expect("readable");
        assert_eq!(same.as_ref(), Some(&done));
    }
    let audit = office.store.audit(None, 10).await.expect("readable");
    assert!(audit.iter().any(|(_, entry)| entry.action == "difference.balance"));
}

#[tokio::test]
async fn a_reissued_file_books_only_what_has_changed() {
    let office = Office::new(memory(), &refusing("carry_days = 0"));
    let orders = [office.pay(1_000).await, office.pay(2_000).await, office.pay(3_000).await];
    office.at(21, 10);
    let mut lines = Vec::new();
    for order in &orders {
        lines.push(office.line(order, 20).await);
    }
    let wrong =
        [Line { amount: 1_010, ..lines[0].clone() }, Line { amount: 1_980, ..lines[1].clone() }];
    office.take(20, &wrong).await;
    assert_eq!(office.expire().await, 3);
    office.check(20..=20).await;
    let booked = office.requests().await.len();
    // One is corrected, one is wrong in another way, one is still missing.
    let mended = [lines[0].clone(), Line { amount: 2_005, ..lines[1].clone() }];
    let batch = office.take(20, &mended).await;
    assert_eq!(batch.revision, 2);
    assert!(batch.report.problems.iter().any(|problem| problem.kind == "revision"));
    assert_eq!(office.requests().await.len(), booked + 2, "two have changed");
    office.check(20..=20).await;
    let batch = office.take(20, &lines).await;
    assert_eq!((batch.revision, batch.report.differences), (3, 0));
    office.check(20..=20).await;
    let accounts = office.accounts().await;
    let left = accounts.iter().filter(|(name, sum)| name.contains("suspense") && **sum != 0);
    assert_eq!(left.count(), 0, "{accounts:?}");
    let revisions = office.store.statement_revisions(channel(), date(20)).await;
    assert_eq!(revisions.expect("readable").len(), 3);
}

#[tokio::test]
async fn a_line_that_disappears_gives_its_record_back() {
    let office = Office::new(memory(), &refusing(""));
    let (early, own) = (office.pay(1_000).await, office.pay(1_500).await);
    office.at(21, 10);
    office.take(20, &[office.line(&own, 20).await]).await;
    office.at(22, 10);
    let late = office.line(&early, 21).await;
    office.take(21, std::slice::from_ref(&late)).await;
    office.check(20..=21).await;
    // The second day's statement is reissued without it: the first day's record is ours only again.
    let other = Line { order_no: "Y".to_owned(), reference: "RY".to_owned(), ..late };
    office.take(21, &[other]).await;
    let rows = office.differences(20..=21).await;
    let row = rows.iter().find(|row| row.record.is_some()).expect("it has a row");
    assert_eq!((row.state, row.class), (DifferenceState::Carried, Class::OnlyOurs));
    office.check(20..=21).await;
}

#[tokio::test]
async fn a_late_success_takes_the_line_that_waited_for_it() {
    let office = Office::new(memory(), &refusing(""));
    office.bank_says(lost());
    let unknown = office.pay(1_000).await;
    office.at(21, 10);
    // It names the order and another operation, so it proves nothing.
    let line = office.line(&unknown, 20).await;
    let odd = Line { operation: "capture", ..line.clone() };
    let batch = office.take(20, &[odd]).await;
    assert_eq!((batch.report.proven, batch.report.differences), (0, 1));
    // Then an inquiry says that it succeeded.
    office.at(21, 11);
    office.bank_says(yes());
    let entry = office.store.reversal(unknown.id).await.expect("readable").expect("it is open");
    office.engine.work(&entry).await.expect("it is asked");
    assert_eq!(office.order(unknown.id).await.status, OrderStatus::Succeeded);
    office.at(22, 10);
    office.take(21, &[]).await;
    let rows = office.differences(20..=21).await;
    let row = rows.iter().find(|row| row.line.is_some()).expect("it has a row");
    assert_eq!((row.class, row.record.is_some()), (Class::StatusDiffers, true));
    office.run(20).await;
    office.check(20..=21).await;
}

#[tokio::test]
async fn a_statement_ends_unknown_payments_and_refunds() {
    let office = Office::new(memory(), &refusing(""));
    let paid = office.pay(9_000).await;
    office.bank_says(lost());
    let refund = office.refund(&paid, 4_000).await;
    office.bank_says(lost());
    let unknown = office.pay(1_000).await;
    assert!(refund.unresolved().is_some() && unknown.unresolved().is_some());
    office.at(21, 10);
    let lines = [
        office.line(&paid, 20).await,
        office.line(&refund, 20).await,
        Line { status: "failed", ..office.line(&unknown, 20).await },
    ];
    let batch = office.take(20, &lines).await;
    assert_eq!((batch.report.proven, batch.report.differences), (2, 1));
    let refund = office.order(refund.id).await;
    assert_eq!(refund.status, OrderStatus::Succeeded);
    assert_eq!(refund.attempts[0].ended_by, Some(Source::Statement));
    assert_eq!(office.order(unknown.id).await.status, OrderStatus::Failed);
    let found = office.found(batch.id).await;
    assert_eq!(found[0].1.state, DifferenceState::Cleared, "both say that it failed");
    office.check(20..=20).await;
}

#[tokio::test]
async fn a_claim_against_our_books_is_undone_or_held_as_the_file_says() {
    for (word, rule) in
        [("undo", ReportedSuccessRule::Undo), ("suspend", ReportedSuccessRule::Suspend)]
    {
        let office = Office::new(memory(), &refusing(&format!("contradiction = \"{word}\"")));
        assert_eq!(office.claims(), rule);
        office.bank_says(no());
        let declined = office.pay(1_000).await;
        assert_eq!(declined.status, OrderStatus::Failed);
        office.at(21, 10);
        let line = office.line(&declined, 20).await;
        let batch = office.take(20, &[line]).await;
        let found = office.found(batch.id).await;
        assert_eq!((found.len(), found[0].0), (1, Class::StatusDiffers));
        let claims = office.store.contradictions(declined.id).await.expect("readable");
        let undo = claims[0].undo;
        assert_eq!(undo.is_some(), rule == ReportedSuccessRule::Undo);
        let events: Vec<BookingEvent> =
            office.requests().await.iter().map(|request| request.event).collect();
        assert_eq!(events, [BookingEvent::SuspenseOpened]);
        let row = &found[0].1;
        match undo {
            Some(undo) => {
                assert_eq!(row.state, DifferenceState::Cleared);
                assert!(row.history[0].what.contains(&undo.to_string()));
            }
            None => {
                assert_eq!(row.state, DifferenceState::Suspended);
                let done = office.balance(row, Remedy::Merchant).await.expect("it is held");
                assert_eq!(done.state, DifferenceState::Balanced);
            }
        }
        office.check(20..=20).await;
        let before = office.requests().await.len();
        office.run(20).await;
        assert_eq!(office.requests().await.len(), before);
    }
}

#[tokio::test]
async fn what_no_whole_statement_shows_never_arrived_where_the_file_says_so() {
    for days in [None, Some(1)] {
        let more = days.map(|days: u32| format!("absence_proves_after_days = {days}"));
        let office = Office::new(memory(), &refusing(&more.unwrap_or_default()));
        office.bank_says(lost());
        let unknown = office.pay(1_000).await;
        office.at(21, 10);
        office.take(20, &[]).await;
        assert!(office.order(unknown.id).await.unresolved().is_some(), "one day is not enough");
        office.at(22, 10);
        office.take(21, &[]).await;
        let order = office.order(unknown.id).await;
        assert_eq!(order.unresolved().is_none(), days.is_some());
        assert_eq!(order.status == OrderStatus::Failed, days.is_some());
    }
}

#[tokio::test]
async fn a_run_that_dies_anywhere_is_run_again_and_books_nothing_twice() {
    for (commits, rows) in
        (0..14).flat_map(|at| [(at, FailedRows::Lost), (at, FailedRows::Written)])
    {
        let store = MemoryStore::new();
        let office = Office::new(Arc::new(store.clone()), &keeping("carry_days = 0"));
        let lines = plant(&office).await;
        office.at(21, 10);
        let first: Vec<Line> = lines.iter().skip(2).cloned().collect();
        office.take(20, &first).await;
        office.expire().await;
        store.faults().fail_after(commits, rows);
        let died = office.hand_in(20, statement(&lines)).await.is_err();
        store.faults().restart();
        let office = office.again(Arc::new(store));
        office.imports.recover(|_| true).await.expect("it recovers");
        let running = office.store.running_reconciliations().await.expect("readable");
        assert_eq!(running, []);
        for waiting in office.imports.landed_statements().await.expect("readable") {
            office.imports.import_landed(&waiting).await.expect("it is run");
        }
        let current = office.store.current_reconciliation(channel(), date(20)).await;
        let current = current.expect("readable").expect("there is one");
        assert_eq!(current.revision, 2, "after {commits} commits");
        assert_eq!(current.report.differences, 12, "after {commits} commits");
        office.check(20..=20).await;
        let rest = office.imports.landed_statements().await.expect("readable");
        assert_eq!(rest, [], "after {commits} commits");
        if !died {
            return;
        }
    }
    panic!("a run has fewer commits");
}

#[tokio::test]
async fn a_day_that_the_channel_says_was_empty_is_held_against_our_records() {
    let office = Office::new(memory(), &refusing(""));
    let order = office.pay(1_000).await;
    office.at(21, 10);
    Inbox::new(office.scratch.path()).land(&channel(), date(20), &[]).expect("it is answered");
    let waiting = office.imports.landed_statements().await.expect("readable");
    assert_eq!(waiting.len(), 1);
    let batch = office.imports.import_landed(&waiting[0]).await.expect("it runs");
    let batch = batch.expect("it was waiting");
    assert_eq!(classes(&office, batch.id).await, BTreeMap::from([(Class::OnlyOurs, 1)]));
    office.check(20..=20).await;
    assert_eq!(office.imports.landed_statements().await.expect("readable"), []);
    assert_eq!(office.run(20).await.revision, 1);
    // It was wrong: a file has come after all.
    let batch = office.take(20, &[office.line(&order, 20).await]).await;
    assert_eq!((batch.revision, batch.report.differences), (2, 0));
    office.check(20..=20).await;
}
