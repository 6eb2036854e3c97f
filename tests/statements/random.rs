//! Any ledger, any differences in its statements: the classes that are found are those that were
//! made, and the books balance whatever comes after.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use switchyard::domain::books::difference::{DifferenceState, Remedy};
use switchyard::domain::books::reconcile::Class;
use switchyard::store::memory::MemoryStore;

use crate::office::{Line, Office, refusing, statement};
use crate::runner;

/// What is done to a line.
const MUTATIONS: [Class; 8] = [
    Class::Matched,
    Class::AmountOver,
    Class::AmountShort,
    Class::FeeDiffers,
    Class::StatusDiffers,
    Class::OnlyTheirs,
    Class::OnlyOurs,
    Class::DuplicateTheirs,
];

/// The lines of a payment whose line is changed so.
fn mutated(line: &Line, class: Class, by: i64) -> Vec<Line> {
    let mut line = line.clone();
    match class {
        Class::AmountOver => line.amount += by,
        Class::AmountShort => line.amount -= by,
        Class::FeeDiffers => line.fee += by,
        Class::StatusDiffers => line.status = "failed",
        Class::OnlyOurs => return Vec::new(),
        Class::DuplicateTheirs => return vec![line.clone(), line],
        Class::OnlyTheirs => {
            let own = line.clone();
            let foreign =
                Line { order_no: format!("F{}", line.order_no), reference: String::new(), ..line };
            return vec![own, foreign];
        }
        _ => {}
    }
    vec![line]
}

async fn live(days: &[Vec<(i64, Class, i64)>], again: &[(usize, Vec<Class>)], remedies: &[Remedy]) {
    let office = Office::new(Arc::new(MemoryStore::new()), &refusing("carry_days = 1"));
    let mut honest: Vec<Vec<Line>> = Vec::new();
    let (mut last, mut runs) = (20, 0);
    let mut issue = async |day: usize, classes: &[Class]| {
        let number = u32::try_from(day).expect("small") + 20;
        last = last.max(number);
        if honest.len() == day {
            office.at(i64::from(number), 12);
            let mut lines = Vec::new();
            for (amount, _, _) in &days[day] {
                let order = office.pay(*amount).await;
                lines.push(office.line(&order, number).await);
            }
            honest.push(lines);
        }
        office.at(i64::from(last) + 1, 10);
        let rows = honest[day].iter().zip(&days[day]).zip(classes);
        let lines: Vec<Line> =
            rows.flat_map(|((line, (_, _, by)), class)| mutated(line, *class, *by)).collect();
        // Every revision is another content: a foreign line without money tells them apart.
        runs += 1;
        let mark = Line {
            order_no: format!("MARK{runs}"),
            reference: String::new(),
            operation: "payment",
            amount: 0,
            fee: 0,
            currency: "CNY",
            status: "failed",
            date: crate::office::date(number),
        };
        let lines: Vec<Line> = lines.into_iter().chain([mark]).collect();
        let batch = office.hand_in(number, statement(&lines)).await.expect("it is taken").batch;
        let mut wanted: BTreeMap<Class, usize> = BTreeMap::from([(Class::OnlyTheirs, 1)]);
        for class in classes.iter().filter(|class| **class != Class::Matched) {
            *wanted.entry(*class).or_default() += 1;
        }
        let mut found: BTreeMap<Class, usize> = BTreeMap::new();
        for (class, _) in office.found(batch.id).await {
            *found.entry(class).or_default() += 1;
        }
        assert_eq!(found, wanted, "the classes are those that were made");
        office.expire().await;
        office.check(20..=last).await;
    };
    for (day, orders) in days.iter().enumerate() {
        let classes: Vec<Class> = orders.iter().map(|(_, class, _)| *class).collect();
        issue(day, &classes).await;
    }
    for (day, classes) in again {
        let day = day % days.len();
        let classes: Vec<Class> =
            (0..days[day].len()).map(|at| classes[at % classes.len()]).collect();
        issue(day, &classes).await;
    }
    for (row, remedy) in office.differences(20..=last).await.iter().zip(remedies.iter().cycle()) {
        let open = row.state.is_open();
        let done = office.balance(row, *remedy).await;
        assert!(open || done.is_err());
        office.check(20..=last).await;
        if let Ok(done) = done {
            assert_eq!(done.state, DifferenceState::Balanced);
        }
    }
    for day in 20..=last {
        office.run(day).await;
    }
    office.check(20..=last).await;
}

#[test]
fn i_10_any_history_of_statements_leaves_books_that_balance() {
    let class = || prop::sample::select(&MUTATIONS[..]);
    let day = || prop::collection::vec((2_000_i64..100_000, class(), 1_i64..900), 0..8);
    let again = (0_usize..8, prop::collection::vec(class(), 1..8));
    let remedies = prop::collection::vec(prop::sample::select(&Remedy::ALL[..]), 1..8);
    let strategy =
        (prop::collection::vec(day(), 1..4), prop::collection::vec(again, 0..5), remedies);
    let mut runner = runner(40);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let done = runner.run(&strategy, |(days, again, remedies)| {
        runtime.block_on(live(&days, &again, &remedies));
        Ok(())
    });
    // A failure says which history it needs.
    done.unwrap_or_else(|error| panic!("{error}"));
}

/// What the channel says of a payment when it is asked for.
#[derive(Debug, Clone, Copy)]
enum Said {
    Yes,
    No,
    Nothing,
}

/// A payment, and what each issue of its day's statement makes of its line.
#[derive(Debug, Clone)]
struct Planted {
    amount: i64,
    said: Said,
    /// A line that the statement forgets stands in the next day's.
    is_late: bool,
}

fn drawn() -> impl Strategy<Value = Planted> {
    let said = prop_oneof![4 => Just(Said::Yes), 1 => Just(Said::No), 1 => Just(Said::Nothing)];
    (2_000_i64..100_000, said, any::<bool>()).prop_map(|(amount, said, is_late)| Planted {
        amount,
        said,
        is_late,
    })
}

async fn weather(rules: &str, days: &[Vec<Planted>], issues: &[(usize, Vec<Class>)]) {
    let office = Office::new(Arc::new(MemoryStore::new()), &refusing(rules));
    let mut honest: Vec<Vec<Line>> = Vec::new();
    let mut forgotten: Vec<Vec<Line>> = Vec::new();
    let mut last = 19;
    let firsts = (0..days.len()).map(|day| (day, &issues[day % issues.len()].1));
    let all = firsts.chain(issues.iter().map(|(day, classes)| (day % days.len(), classes)));
    for (run, (day, classes)) in all.enumerate() {
        let number = u32::try_from(day).expect("small") + 20;
        if honest.len() == day {
            last = number;
            office.at(i64::from(number), 12);
            let mut lines = Vec::new();
            for planted in &days[day] {
                match planted.said {
                    Said::Yes => {}
                    Said::No => office.bank_says(crate::office::no()),
                    Said::Nothing => office.bank_says(crate::office::lost()),
                }
                let order = office.pay(planted.amount).await;
                lines.push(office.line(&order, number).await);
            }
            honest.push(lines);
            forgotten.push(Vec::new());
        }
        office.at(i64::from(last) + 1, 10);
        let (mut lines, mut late) = (Vec::new(), Vec::new());
        for (place, (line, planted)) in honest[day].iter().zip(&days[day]).enumerate() {
            let class = classes[place % classes.len()];
            let own = mutated(line, class, i64::try_from(run).expect("small") + 1);
            if own.is_empty() && planted.is_late {
                late.push(Line { date: crate::office::date(number + 1), ..line.clone() });
            }
            lines.extend(own);
        }
        forgotten[day] = late;
        if day > 0 {
            lines.extend(forgotten[day - 1].iter().cloned());
        }
        office.hand_in(number, statement(&lines)).await.expect("it is taken");
        office.expire().await;
        office.check(20..=last).await;
    }
    for day in 20..=last {
        office.run(day).await;
        office.check(20..=last).await;
    }
}

#[test]
fn i_7_whatever_orders_and_statements_claim_the_sums_hold() {
    let class = || prop::sample::select(&MUTATIONS[..]);
    let day = || prop::collection::vec(drawn(), 0..6);
    let issue = (0_usize..8, prop::collection::vec(class(), 1..6));
    let strategy = (
        prop::sample::select(&["", "contradiction = \"suspend\"\ncarry_days = 0"][..]),
        prop::collection::vec(day(), 1..4),
        prop::collection::vec(issue, 1..6),
    );
    let mut runner = runner(40);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let done = runner.run(&strategy, |(rules, days, issues)| {
        runtime.block_on(weather(rules, &days, &issues));
        Ok(())
    });
    done.unwrap_or_else(|error| panic!("{error}"));
}
