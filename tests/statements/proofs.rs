//! What a statement proves of an order whose end nobody knows, and what it does not (I-3): neither
//! by its lines nor by their absence does an order end otherwise than it did at the channel.

use std::sync::Arc;

use switchyard::domain::books::difference::{DifferenceState, Remedy};
use switchyard::domain::books::reconcile::Class;
use switchyard::domain::books::reconciliation::Reconciliation;
use switchyard::domain::command::{Command, Decider};
use switchyard::domain::money::Currency;
use switchyard::domain::order::{Order, OrderStatus};
use switchyard::domain::outcome::Reason;
use switchyard::domain::reversal::Resolution;
use switchyard::reconciliation::ReconciliationError;
use switchyard::store::memory::MemoryStore;

use crate::office::{Line, Office, channel, date, keeping, lost, pending, refusing, statement};

pub fn office(rules: &str) -> Office {
    Office::new(Arc::new(MemoryStore::new()), rules)
}

async fn unknown(office: &Office, amount_minor: i64) -> Order {
    office.bank_says(lost());
    let order = office.pay(amount_minor).await;
    assert!(order.unresolved().is_some());
    order
}

pub async fn is_open(office: &Office, order: &Order) -> bool {
    office.order(order.id).await.unresolved().is_some()
}

pub fn back(line: &Line) -> Line {
    let (amount, fee) = (-line.amount, -line.fee);
    Line { operation: "void", amount, fee, ..line.clone() }
}

pub fn failed(line: &Line) -> Line {
    Line { status: "failed", fee: 0, ..line.clone() }
}

#[tokio::test]
async fn a_line_of_another_amount_or_currency_ends_nothing() {
    let office = office(&refusing(""));
    let mut orders = Vec::new();
    let mut lines = Vec::new();
    for change in 0..6 {
        let order = unknown(&office, 10_000).await;
        let line = office.line(&order, 20).await;
        lines.push(match change {
            0 => Line { amount: 1, ..line },
            1 => Line { amount: 999_999_999, ..line },
            2 => Line { amount: 77, ..failed(&line) },
            3 => Line { currency: "HKD", ..line },
            4 => Line { currency: "HKD", ..failed(&line) },
            _ => Line { operation: "capture", ..line },
        });
        orders.push(order);
    }
    office.at(21, 10);
    let batch = office.take(20, &lines).await;
    assert_eq!((batch.report.proven, batch.report.differences), (0, 6));
    for (order, line) in orders.iter().zip(&lines) {
        assert!(is_open(&office, order).await, "{line:?}");
    }
    assert!(office.found(batch.id).await.iter().all(|(class, _)| *class == Class::OnlyTheirs));
    office.check(20..=20).await;
    // The file is corrected: now they say what was asked for.
    let mut right = Vec::new();
    for order in &orders {
        right.push(office.line(order, 20).await);
    }
    let batch = office.take(20, &right).await;
    assert_eq!((batch.report.proven, batch.report.differences), (6, 0));
    office.check(20..=20).await;
}

#[tokio::test]
async fn lines_of_one_number_are_netted_before_they_prove_anything() {
    let office = office(&refusing(""));
    let order = async || unknown(&office, 10_000).await;
    let [first_failed, then_failed, twice, partly, undone] =
        [order().await, order().await, order().await, order().await, order().await];
    let line = async |order: &Order| office.line(order, 20).await;
    let paid = [
        line(&first_failed).await,
        line(&then_failed).await,
        line(&twice).await,
        line(&partly).await,
        line(&undone).await,
    ];
    let part = Line { amount: -4_000, fee: 0, operation: "refund", ..paid[3].clone() };
    office.at(21, 10);
    let lines = [
        failed(&paid[0]),
        paid[0].clone(),
        paid[1].clone(),
        failed(&paid[1]),
        paid[2].clone(),
        paid[2].clone(),
        paid[3].clone(),
        part,
        back(&paid[4]),
        paid[4].clone(),
    ];
    let batch = office.take(20, &lines).await;
    assert_eq!(batch.report.proven, 1, "the one that was taken back as a whole");
    for order in [&first_failed, &then_failed, &twice, &partly] {
        assert!(is_open(&office, order).await, "{}", order.id);
    }
    let ended = office.order(undone.id).await;
    assert_eq!(ended.status, OrderStatus::Failed);
    assert_eq!(ended.attempts[0].reason, Some(Reason::ReversedAfterUnknown));
    // What was not proven is shown; no success is the duplicate of a failure.
    let found = office.found(batch.id).await;
    let classes: Vec<Class> = found.iter().map(|(class, _)| *class).collect();
    use Class::{DuplicateTheirs, Netted, OnlyTheirs};
    let wanted = [
        OnlyTheirs,
        OnlyTheirs,
        OnlyTheirs,
        OnlyTheirs,
        OnlyTheirs,
        DuplicateTheirs,
        OnlyTheirs,
        OnlyTheirs,
        Netted,
        Netted,
    ];
    assert_eq!(classes, wanted);
    let state = |at: usize| found[at].1.state;
    assert_eq!((state(1), state(8), state(9)), {
        (DifferenceState::Carried, DifferenceState::Cleared, DifferenceState::Cleared)
    });
    office.check(20..=20).await;
    // The failure is gone from a corrected file: the success is all that is said.
    let batch = office.take(20, &paid[..2]).await;
    assert_eq!(batch.report.proven, 2);
    office.check(20..=20).await;
}

/// A payment that a person ends as reversed on the morning of the 21st.
async fn reversed_next_morning(office: &Office) -> (Order, Line) {
    let order = unknown(office, 10_000).await;
    let line = office.line(&order, 20).await;
    office.at(21, 9);
    let decider =
        Decider { actor: "ada".to_owned(), approver: None, reason: "they said so".to_owned() };
    let resolution = Resolution::Reversed;
    let ended = office.engine.operate(order.id, Command::Resolve { resolution, decider }).await;
    assert_eq!(ended.expect("it was open").status, OrderStatus::Reversed);
    (order, line)
}

async fn classes(office: &Office, batch: &Reconciliation) -> Vec<(Class, DifferenceState)> {
    office.found(batch.id).await.iter().map(|(class, row)| (*class, row.state)).collect()
}

/// The channel has taken the payment back when its day was over: its line stands in one statement,
/// and what takes it back in the next. Whichever comes first, and however often they are run,
/// nothing is left between both sides.
#[tokio::test]
async fn i_10_a_reversal_in_the_next_statement_takes_its_payment_back() {
    use Class::{Netted, OnlyTheirs};
    use DifferenceState::{Carried, Cleared};
    for payment_first in [true, false] {
        let office = office(&refusing("carry_days = 2"));
        let (order, line) = reversed_next_morning(&office).await;
        let taken_back = Line { date: date(21), ..back(&line) };
        office.at(22, 10);
        let (days, last) = match payment_first {
            true => ([20, 21], 21),
            false => ([21, 20], 20),
        };
        let of = |day: u32| if day == 20 { line.clone() } else { taken_back.clone() };
        let batch = office.take(days[0], &[of(days[0])]).await;
        assert_eq!(classes(&office, &batch).await, [(OnlyTheirs, Carried)]);
        office.check(days[0]..=days[0]).await;
        let batch = office.take(days[1], &[of(days[1])]).await;
        assert_eq!(classes(&office, &batch).await, [(Netted, Cleared)]);
        let (theirs, ours) = batch.report.totals.sides();
        assert_eq!((theirs, ours), (batch.report.theirs, batch.report.ours), "I-10");
        for day in [20, 21, last] {
            office.run(day).await;
            let states = office.differences(20..=21).await;
            let states: Vec<_> = states.iter().map(|row| (row.class, row.state)).collect();
            assert_eq!(states, [(Netted, Cleared); 2], "{day}");
            office.check(20..=21).await;
        }
        assert!(office.requests().await.is_empty(), "nothing was claimed or held");
        assert_eq!(office.order(order.id).await.status, OrderStatus::Reversed);

        // A revision of the later statement is without it: the payment is a difference again, and
        // its money is held until somebody has decided.
        let other = Line { order_no: "X-1".to_owned(), reference: "X-1".to_owned(), ..taken_back };
        office.take(21, &[Line { status: "failed", ..other }]).await;
        let open = async |state| {
            let rows = office.differences(20..=20).await;
            rows.iter().any(|row| (row.class, row.state) == (OnlyTheirs, state))
        };
        assert!(open(Carried).await);
        office.check(20..=21).await;
        office.at(26, 10);
        office.expire().await;
        assert!(open(DifferenceState::Suspended).await);
        office.check(20..=21).await;
    }
}

/// What was reversed on its own day has no business in that day's statement alone.
#[tokio::test]
async fn i_5_a_reversed_payment_without_its_reversal_is_a_difference() {
    let office = office(&refusing("contradiction = \"suspend\""));
    let order = unknown(&office, 10_000).await;
    let line = office.line(&order, 20).await;
    let decider =
        Decider { actor: "ada".to_owned(), approver: None, reason: "they said so".to_owned() };
    let resolution = Resolution::Reversed;
    let ended = office.engine.operate(order.id, Command::Resolve { resolution, decider }).await;
    assert_eq!(ended.expect("it was open").status, OrderStatus::Reversed);
    office.at(21, 10);
    let batch = office.take(20, std::slice::from_ref(&line)).await;
    let found = classes(&office, &batch).await;
    assert_eq!(found, [(Class::StatusDiffers, DifferenceState::Suspended)]);
    office.check(20..=20).await;
    // Both lines: nothing was ever owed.
    let other = self::office(&refusing(""));
    let (_, line) = reversed_next_morning(&other).await;
    other.at(21, 10);
    let batch = other.take(20, &[line.clone(), back(&line)]).await;
    let netted = (Class::Netted, DifferenceState::Cleared);
    assert_eq!(classes(&other, &batch).await, [netted; 2]);
    assert!(other.requests().await.is_empty());
}

/// A reversal has left and nobody has answered it: the payment's line alone is not believed, and
/// with what takes it back in the next statement it has failed.
#[tokio::test]
async fn i_3_an_unknown_with_a_reversal_in_the_next_statement_has_not_succeeded() {
    for payment_first in [true, false] {
        let office = office(&refusing(""));
        let order = unknown(&office, 10_000).await;
        let line = office.line(&order, 20).await;
        office.at(20, 22);
        office.wait_minutes(56);
        // Asked until the schedule has run out, then reversed; all of it in vain.
        for _ in 0..20 {
            let entry = office.store.reversal(order.id).await.expect("readable").expect("open");
            if entry.reversals_unanswered > 0 {
                break;
            }
            office.bank_says(lost());
            office.engine.work(&entry).await.expect("it works");
        }
        let entry = office.store.reversal(order.id).await.expect("readable").expect("open");
        assert_eq!(entry.reversals_unanswered, 1);
        office.at(22, 10);
        let taken_back = Line { date: date(21), ..back(&line) };
        let rows = [(20, line), (21, taken_back)];
        let (first, second) = if payment_first { (0, 1) } else { (1, 0) };
        office.take(rows[first].0, std::slice::from_ref(&rows[first].1)).await;
        assert!(is_open(&office, &order).await, "a reversal may have undone it");
        let batch = office.take(rows[second].0, std::slice::from_ref(&rows[second].1)).await;
        let ended = office.order(order.id).await;
        assert_eq!((batch.report.proven, ended.status), (1, OrderStatus::Failed));
        assert_eq!(ended.attempts[0].reason, Some(Reason::ReversedAfterUnknown));
        let rows = office.differences(20..=21).await;
        assert!(rows.iter().all(|row| row.class == Class::Netted && !row.state.is_open()));
        office.check(20..=21).await;
    }
}

#[tokio::test]
async fn a_row_that_says_nothing_keeps_its_number_from_an_end() {
    let office = office(&keeping(""));
    let (held, broken) = (unknown(&office, 1_000).await, unknown(&office, 2_000).await);
    let clean = unknown(&office, 3_000).await;
    office.at(21, 10);
    let mut lines = Vec::new();
    for order in [&held, &broken, &clean] {
        lines.push(office.line(order, 20).await);
    }
    lines.push(Line { operation: "hold", ..lines[0].clone() });
    lines.push(Line { operation: "dance", ..lines[1].clone() });
    let batch = office.take(20, &lines).await;
    assert_eq!(batch.report.proven, 1);
    assert!(is_open(&office, &held).await && is_open(&office, &broken).await);
    assert_eq!(office.order(clean.id).await.status, OrderStatus::Succeeded);
    office.check(20..=20).await;
}

#[tokio::test]
async fn a_line_of_a_file_that_was_cut_proves_nothing() {
    let office = office(&keeping(""));
    let (twofold, plain) = (unknown(&office, 1_000).await, unknown(&office, 2_000).await);
    office.at(21, 10);
    let paid = [office.line(&twofold, 20).await, office.line(&plain, 20).await];
    let whole = statement(&[failed(&paid[0]), paid[1].clone(), paid[0].clone()]);
    let text = String::from_utf8(whole.clone()).expect("ASCII");
    let rows: Vec<&str> = text.split_inclusive('\n').collect();
    // The success of the first is lost; the total is there, or lost as well.
    for cut in [[&rows[..3].concat(), rows[4]].concat(), rows[..3].concat()] {
        let batch = office.hand_in(20, cut.into_bytes()).await.expect("it is kept").batch;
        assert_eq!(batch.report.proven, 0);
        assert!(is_open(&office, &twofold).await && is_open(&office, &plain).await);
        office.check(20..=20).await;
    }
    office.hand_in(20, whole).await.expect("it is taken");
    assert!(is_open(&office, &twofold).await && !is_open(&office, &plain).await);
    office.check(20..=20).await;
}

const DAYS: &str = "absence_proves_after_days = 0";

#[tokio::test]
async fn a_file_that_is_not_whole_shows_no_absence() {
    let office = office(&keeping(DAYS));
    let order = unknown(&office, 1_000).await;
    office.at(21, 10);
    let whole = String::from_utf8(statement(&[])).expect("ASCII");
    for broken in [
        whole.replace("TOTAL,0", "TOTAL,2"),
        whole.replace("TOTAL,0,0", "TOTAL,0,10"),
        whole[..whole.find("TOTAL").expect("a footer")].to_owned(),
        whole.replace("TOTAL", "x\nTOTAL").replace("TOTAL,0", "TOTAL,1"),
    ] {
        let taken = office.hand_in(20, broken.clone().into_bytes()).await;
        assert!(is_open(&office, &order).await, "{broken}");
        assert!(taken.is_err() || !taken.is_ok_and(|one| one.batch.report.is_agreed()));
    }
    office.hand_in(20, whole.into_bytes()).await.expect("it is taken");
    let ended = office.order(order.id).await;
    assert_eq!(ended.status, OrderStatus::Failed);
    assert_eq!(ended.attempts[0].reason, Some(Reason::NeverArrived));
}

#[tokio::test]
async fn what_any_line_names_is_not_absent() {
    let office = office(&keeping(DAYS));
    let order = unknown(&office, 1_000).await;
    office.at(21, 10);
    let line = office.line(&order, 20).await;
    let foreign = Line { order_no: "X-7".to_owned(), ..line.clone() };
    for named in [
        // Passed over, of another amount, in a column that is not the number's.
        Line { operation: "hold", ..line.clone() },
        Line { amount: 1, ..line.clone() },
        Line { reference: format!("of {}", line.order_no), status: "failed", ..foreign.clone() },
    ] {
        office.take(20, std::slice::from_ref(&named)).await;
        assert!(is_open(&office, &order).await, "{named:?}");
    }
    // A line of that day without a number of ours may be it, until somebody has explained it.
    let unnamed = Line { order_no: String::new(), reference: "T-1".to_owned(), ..line };
    let batch = office.take(20, &[unnamed]).await;
    assert!(is_open(&office, &order).await);
    let row = office.found(batch.id).await.remove(0).1;
    office.balance(&row, Remedy::ProfitOrLoss).await.expect("it is open");
    office.run(20).await;
    assert_eq!(office.order(order.id).await.status, OrderStatus::Failed);
}

#[tokio::test]
async fn what_the_channel_has_acknowledged_did_arrive() {
    let office = office(&refusing(DAYS));
    office.bank_says(pending());
    let order = office.pay(1_000).await;
    office.at(21, 10);
    office.take(20, &[]).await;
    assert!(is_open(&office, &order).await);
}

#[tokio::test]
async fn a_content_stands_under_one_date() {
    let office = office(&refusing(""));
    let order = office.pay(1_000).await;
    office.at(22, 10);
    let bytes = statement(&[office.line(&order, 20).await]);
    office.hand_in(20, bytes.clone()).await.expect("it is taken");
    for _ in 0..2 {
        let refused = office.hand_in(21, bytes.clone()).await.expect_err("another day's");
        assert_eq!(refused.name(), "stands_elsewhere");
        assert!(refused.to_string().contains("2026-11-20"), "{refused}");
    }
    let folder = office.scratch.path().join("inbox").join(channel().as_str()).join("2026-11-21");
    assert!(!folder.exists(), "nothing was written");
    // Laid into the inbox it is refused as well, and not tried again.
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("bill.csv"), &bytes).expect("written");
    for hour in [11, 12] {
        office.at(22, hour);
        office.imports.landed_statements().await.expect("readable");
    }
    let waiting = office.imports.landed_statements().await.expect("readable").remove(0);
    let refused = office.imports.import_landed(&waiting).await.expect_err("another day's");
    assert!(matches!(refused, ReconciliationError::StandsElsewhere { .. }), "{refused}");
    assert_eq!(office.imports.landed_statements().await.expect("readable"), []);
    let revisions = office.store.statement_revisions(channel(), date(21)).await;
    assert_eq!(revisions.expect("readable"), []);
    // Days on which nothing happened look alike.
    for day in [18, 19] {
        office.take(day, &[]).await;
    }
    // It was the 21st's after all: once the 20th has its own, it stands there no more.
    office.take(20, &[]).await;
    let other_day = office.hand_in(21, bytes).await.expect_err("its lines are of the 20th");
    assert_eq!(other_day.name(), "refused");
}

#[tokio::test]
async fn what_another_date_has_matched_is_not_owed_again() {
    let office = office(&refusing("carry_days = 0"));
    let (one, two) = (office.pay(1_000).await, office.pay(2_000).await);
    office.at(22, 10);
    let lines = [office.line(&one, 20).await, office.line(&two, 20).await];
    office.take(20, &lines).await;
    // The next day's file tells one of them again, and gives the other back.
    let again = Line { date: date(21), ..lines[0].clone() };
    let returned = Line { date: date(21), ..back(&lines[1]) };
    let batch = office.take(21, &[again.clone(), returned.clone()]).await;
    let found = office.found(batch.id).await;
    let classes: Vec<Class> = found.iter().map(|(class, _)| *class).collect();
    assert_eq!(classes, [Class::DuplicateElsewhere, Class::OnlyTheirs]);
    let row = &found[0].1;
    assert_eq!((row.state, row.gaps()), (DifferenceState::Carried, Vec::new()));
    assert!(row.history[0].what.contains("2026-11-20"), "{:?}", row.history);
    let stated = batch.report.stated(Currency::Cny);
    assert_eq!((stated.count, stated.amount_minor), (1, -2_000));
    assert!(!batch.report.is_agreed());
    office.expire().await;
    office.check(20..=21).await;
    // Run again, nothing is booked; when the first day loses it, it is the second one's.
    let booked = office.requests().await.len();
    office.run(21).await;
    assert_eq!(office.requests().await.len(), booked);
    office.take(20, &lines[1..]).await;
    let batch = office.run(21).await;
    let found = office.found(batch.id).await;
    assert_eq!(found.iter().map(|one| one.0).collect::<Vec<_>>(), {
        [Class::MatchedLate, Class::OnlyTheirs]
    });
    office.check(20..=21).await;
    let row = office.store.difference(row.id).await.expect("readable").expect("kept");
    assert_eq!(row.state, DifferenceState::Cleared);
}
