//! Whatever became of unknowns at the channel, and whatever its statements make of it: no order
//! ends otherwise than it did (I-3).

use crate::office::{Line, keeping, lost, pending, statement};
use crate::proofs::{back, failed, is_open, office};
use crate::runner;
use proptest::prelude::*;
use switchyard::domain::order::{Order, OrderStatus};

/// How a payment of unknown end did end at the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Succeeded,
    Failed,
    Reversed,
    NeverArrived,
    /// The channel has acknowledged it and still works on it.
    Working,
}

/// What its statement makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Rightly,
    /// As a success, or a failure, of another amount or currency.
    OtherAmount,
    OtherCurrency,
    /// As a failure and a success.
    Twofold,
    /// In a line that the layout passes over.
    PassedOver,
    /// Without our number.
    Unnamed,
    /// In words that the layout does not know.
    Unreadable,
}

/// What becomes of the file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Issue {
    Whole,
    /// Its last lines are lost, its total is not.
    Cut,
    /// It ends before its total.
    Endless,
    /// The file of the day before is handed in for it.
    OtherDay,
}

/// The lines of one payment; the channel lists what it did, and what it says wrongly is a lie.
fn told(line: &Line, truth: Truth, told: Told) -> Vec<Line> {
    let honest = match truth {
        Truth::Succeeded => vec![line.clone()],
        Truth::Failed => vec![failed(line)],
        Truth::Reversed => vec![line.clone(), back(line)],
        Truth::NeverArrived | Truth::Working => Vec::new(),
    };
    let lie = || match truth {
        Truth::Succeeded => failed(line),
        Truth::Failed | Truth::Reversed | Truth::NeverArrived | Truth::Working => line.clone(),
    };
    let each = |change: fn(Line) -> Line| honest.iter().cloned().map(change).collect();
    match told {
        Told::Rightly => honest,
        Told::OtherAmount => vec![Line { amount: line.amount + 1, ..lie() }],
        Told::OtherCurrency => vec![Line { currency: "HKD", ..lie() }],
        Told::Twofold => vec![failed(line), line.clone()],
        Told::PassedOver => each(|line| Line { operation: "hold", ..line }),
        Told::Unnamed => {
            each(|line| Line { order_no: String::new(), reference: String::new(), ..line })
        }
        Told::Unreadable => each(|line| Line { operation: "dance", ..line }),
    }
}

type Planned = (i64, Truth, Told);

fn has_rows(bytes: &[u8]) -> bool {
    bytes.iter().filter(|byte| **byte == b'\n').count() > 2
}

/// Lives some days, and holds every end against the truth.
async fn live(days: &[(Vec<Planned>, Issue)], absence: u32) {
    let rules = keeping(&format!("absence_proves_after_days = {absence}"));
    let office = office(&rules);
    let mut planned: Vec<(Order, Truth, Told)> = Vec::new();
    let mut last: Option<Vec<u8>> = None;
    for (day, (payments, issue)) in (20..).zip(days) {
        office.at(i64::from(day), 12);
        let mut lines = Vec::new();
        for (amount, truth, how) in payments {
            office.bank_says(if *truth == Truth::Working { pending() } else { lost() });
            let order = office.pay(*amount).await;
            let line = office.line(&order, day).await;
            lines.extend(told(&line, *truth, *how));
            planned.push((order, *truth, *how));
        }
        office.at(i64::from(day) + 1, 10);
        let whole = statement(&lines);
        let text = String::from_utf8(whole.clone()).expect("ASCII");
        let rows: Vec<&str> = text.split_inclusive('\n').collect();
        let end = rows.len() - 1;
        let bytes = match issue {
            Issue::Whole => whole.clone(),
            Issue::Cut => {
                let left = end.saturating_sub(2).max(1);
                [&rows[..left].concat(), rows[end]].concat().into_bytes()
            }
            Issue::Endless => rows[..end].concat().into_bytes(),
            // A day without lines looks like any other.
            Issue::OtherDay => {
                last.clone().filter(|last| has_rows(last)).unwrap_or_else(|| whole.clone())
            }
        };
        // What is refused proves nothing either.
        let _taken = office.hand_in(day, bytes).await;
        last = Some(whole);
        for (order, truth, how) in &planned {
            let order = office.order(order.id).await;
            let fits = match order.status {
                OrderStatus::Succeeded => *truth == Truth::Succeeded,
                OrderStatus::Failed | OrderStatus::Reversed => {
                    matches!(truth, Truth::Failed | Truth::Reversed | Truth::NeverArrived)
                }
                OrderStatus::Accepted | OrderStatus::Processing | OrderStatus::Unknown => true,
            };
            assert!(fits, "{truth:?}, told {how:?}, is {:?} after {issue:?}", order.status);
        }
        office.check(20..=day).await;
    }
    // What whole files tell rightly did end, so that the above is no idle check.
    if days.iter().all(|(_, issue)| *issue == Issue::Whole) {
        let ended = |truth: &Truth| matches!(truth, Truth::Succeeded | Truth::Failed);
        for (order, _, _) in
            planned.iter().filter(|(_, truth, how)| ended(truth) && *how == Told::Rightly)
        {
            assert!(!is_open(&office, order).await, "{}", order.id);
        }
    }
}

#[tokio::test]
async fn i_3_a_file_whose_lines_are_all_passed_over_proves_no_absence() {
    // The first day's file lost its line; whole, it is handed in for the second day.
    let held = vec![(2_000, Truth::Succeeded, Told::PassedOver)];
    let paid = vec![(2_000, Truth::Succeeded, Told::Rightly)];
    live(&[(held, Issue::Cut), (paid, Issue::OtherDay)], 0).await;
}

#[test]
fn i_3_no_statement_ends_an_order_otherwise_than_it_did() {
    let truths =
        [Truth::Succeeded, Truth::Failed, Truth::Reversed, Truth::NeverArrived, Truth::Working];
    let truth = prop::sample::select(truths.to_vec());
    let told = prop_oneof![
        2 => Just(Told::Rightly),
        5 => prop::sample::select(&[
            Told::OtherAmount,
            Told::OtherCurrency,
            Told::Twofold,
            Told::PassedOver,
            Told::Unnamed,
            Told::Unreadable,
        ][..]),
    ];
    let issue = prop_oneof![
        3 => Just(Issue::Whole),
        1 => Just(Issue::Cut),
        1 => Just(Issue::Endless),
        1 => Just(Issue::OtherDay),
    ];
    let day = (prop::collection::vec((2_000_i64..100_000, truth, told), 0..5), issue);
    let strategy = (prop::collection::vec(day, 1..4), 0_u32..2);
    let mut runner = runner(60);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let done = runner.run(&strategy, |(days, absence)| {
        runtime.block_on(live(&days, absence));
        Ok(())
    });
    // A failure says which history it needs.
    done.unwrap_or_else(|error| panic!("{error}"));
}
