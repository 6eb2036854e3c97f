//! What is refused, whole: it leaves no revision and no difference, and says why.

use std::sync::Arc;

use switchyard::domain::books::reconciliation::BatchState;
use switchyard::domain::books::statement::StatementOrigin;
use switchyard::reconciliation::ReconciliationError;
use switchyard::store::memory::MemoryStore;

use crate::office::{Line, Office, channel, date, keeping, refusing, statement};

fn office(rules: &str) -> Office {
    Office::new(Arc::new(MemoryStore::new()), rules)
}

#[tokio::test]
async fn a_file_that_is_not_whole_leaves_nothing_behind() {
    let office = office(&refusing(""));
    let order = office.pay(1_000).await;
    office.at(21, 10);
    let line = office.line(&order, 20).await;
    let good = String::from_utf8(statement(&[line.clone(), line.clone()])).expect("ASCII");
    let other_date = Line { date: date(19), ..line };
    let cut = good.rfind("TOTAL").expect("a footer");
    let rows = [
        ("a total", good.replace("TOTAL,2,2000", "TOTAL,2,2001"), Some(4), "total 1"),
        ("a count", good.replace("TOTAL,2", "TOTAL,3"), Some(4), "counts 3 lines"),
        ("the end", good[..cut].to_owned(), Some(3), "cut off"),
        (
            "the date",
            String::from_utf8(statement(&[other_date])).expect("ASCII"),
            Some(3),
            "its lines are of 2026-11-19",
        ),
        ("the columns", good.replace(",succeeded", ""), Some(2), "7 columns"),
        ("a ZIP", "PK\u{3}\u{4}".to_owned(), None, "not whole"),
    ];
    for (number, (what, text, line, why)) in rows.into_iter().enumerate() {
        let error = office.hand_in(20, text.into_bytes()).await.expect_err(what);
        assert_eq!((error.name(), error.line()), ("refused", line), "{what}");
        let batches = office.store.reconciliations(Some(channel()), Some(date(20)), None, 100);
        let batches = batches.await.expect("readable");
        assert_eq!(batches.len(), number + 1);
        let last = batches.last().expect("one");
        assert_eq!(last.state, BatchState::Abandoned);
        assert!(last.reason.as_deref().is_some_and(|reason| reason.contains(why)), "{last:?}");
        let revisions = office.store.statement_revisions(channel(), date(20)).await;
        assert_eq!(revisions.expect("readable"), []);
        assert_eq!(office.differences(19..=21).await, []);
        // What was refused is not tried again by itself.
        assert_eq!(office.imports.landed_statements().await.expect("readable"), [], "{what}");
    }
    let taken = office.hand_in(20, good.into_bytes()).await.expect("it is whole");
    assert_eq!((taken.is_new, taken.revision.revision), (true, 1));
}

#[tokio::test]
async fn a_layout_may_keep_what_is_wrong_and_say_so() {
    let office = office(&keeping(""));
    let order = office.pay(1_000).await;
    office.at(21, 10);
    let good = statement(&[office.line(&order, 20).await]);
    let good = String::from_utf8(good).expect("ASCII");
    let cut = good.rfind("TOTAL").expect("a footer");
    let rows = [
        (good.replace("TOTAL,1,1000", "TOTAL,1,1001"), "amount_total_differs"),
        (good.replace("TOTAL,1,1000,6", "TOTAL,1,1000,7"), "fee_total_differs"),
        (good.replace("TOTAL,1", "TOTAL,2"), "count_differs"),
        (good[..cut].to_owned(), "cut_off"),
    ];
    for (text, kind) in rows {
        let batch = office.hand_in(20, text.into_bytes()).await.expect("it is kept").batch;
        let kinds: Vec<&str> = batch.report.problems.iter().map(|one| &*one.kind).collect();
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    office.check(20..=20).await;
}

#[tokio::test]
async fn what_cannot_be_run_has_a_name() {
    let without_layout = office("[statement]\ndownload_at = \"09:30\"\n");
    let office = office(&refusing(""));
    let order = office.pay(1_000).await;
    let good = statement(&[office.line(&order, 20).await]);
    let open = office.hand_in(20, good.clone()).await.expect_err("the day is not over");
    assert_eq!(open.name(), "date_open");
    office.at(21, 10);
    let none = office.imports.run(&channel(), date(20), "ada").await.expect_err("no file");
    assert_eq!(none.name(), "no_file");
    without_layout.at(21, 10);
    let unread = without_layout.hand_in(20, good).await.expect_err("no layout");
    assert!(matches!(unread, ReconciliationError::NoLayout { .. }), "{unread}");
}

#[tokio::test]
async fn a_file_laid_in_by_hand_is_taken_once_it_rests() {
    let office = office(&refusing(""));
    let order = office.pay(1_000).await;
    office.at(21, 10);
    let folder = office.scratch.path().join("inbox").join(channel().as_str()).join("2026-11-20");
    std::fs::create_dir_all(&folder).expect("a folder");
    let good = statement(&[office.line(&order, 20).await]);
    std::fs::write(folder.join("bill.csv"), &good[..10]).expect("written");
    std::fs::write(folder.join(".bill.csv"), b"half").expect("written");
    assert_eq!(office.imports.landed_statements().await.expect("readable"), []);
    std::fs::write(folder.join("bill.csv"), &good).expect("written");
    office.at(21, 11);
    let waiting = office.imports.landed_statements().await.expect("readable");
    assert_eq!(waiting, [], "it has changed since it was seen");
    office.at(21, 12);
    let waiting = office.imports.landed_statements().await.expect("readable");
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].origin, StatementOrigin::Inbox);
    let batch = office.imports.import_landed(&waiting[0]).await.expect("it runs");
    assert_eq!(batch.expect("it was waiting").report.differences, 0);
    let revisions = office.store.statement_revisions(channel(), date(20)).await;
    let revisions = revisions.expect("readable");
    assert_eq!((revisions.len(), revisions[0].name.as_str()), (1, "bill.csv"));
    assert_eq!(office.imports.landed_statements().await.expect("readable"), []);
    // The same content under another name is nothing new.
    std::fs::write(folder.join("copy.csv"), &good).expect("written");
    for hour in [13, 14, 15] {
        office.at(21, hour);
        assert_eq!(office.imports.landed_statements().await.expect("readable"), []);
    }
}
