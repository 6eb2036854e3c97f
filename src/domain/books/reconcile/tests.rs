//! Reconciliation as tables, and against differences planted at random.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::planted::{PlantedRow, PlantedSides, date, planted};
use super::*;

fn item(amount_minor: i64) -> Item {
    Item {
        movement: if amount_minor < 0 { Operation::Refund } else { Operation::Payment },
        amount_minor,
        fee_minor: Some(amount_minor / 100),
        currency: Currency::Cny,
        status: Status::Succeeded,
        date: Some(date(20)),
    }
}

#[test]
fn a_pair_is_named_by_its_gravest_difference() {
    let ours = item(10_000);
    let rows = [
        (Item { ..ours }, Class::Matched),
        (Item { fee_minor: None, date: None, ..ours }, Class::Matched),
        (Item { fee_minor: Some(101), ..ours }, Class::Matched),
        (Item { fee_minor: Some(102), ..ours }, Class::FeeDiffers),
        (Item { fee_minor: Some(98), date: Some(date(19)), ..ours }, Class::FeeDiffers),
        (Item { date: Some(date(21)), ..ours }, Class::MatchedLate),
        (Item { date: Some(date(19)), ..ours }, Class::Shifted),
        (Item { amount_minor: 10_001, fee_minor: Some(9), ..ours }, Class::AmountOver),
        (Item { amount_minor: 9_999, date: Some(date(19)), ..ours }, Class::AmountShort),
        (Item { amount_minor: 1, status: Status::Failed, ..ours }, Class::StatusDiffers),
        (Item { movement: Operation::Capture, ..ours }, Class::StatusDiffers),
        (Item { currency: Currency::Usd, amount_minor: 1, ..ours }, Class::CurrencyDiffers),
    ];
    for (line, class) in rows {
        assert_eq!(compare(&line, &ours, Tolerance { fee_minor: 1 }), class, "{line:?}");
    }
    let undo = Item { movement: Operation::Undo, ..item(-500) };
    for movement in [Operation::Void, Operation::Refund, Operation::Undo] {
        let line = Item { movement, ..undo };
        assert_eq!(compare(&line, &undo, Tolerance::default()), Class::Matched);
    }
}

fn judge(
    lines: &[Item],
    records: &[Item],
    key: MatchKey,
) -> Vec<(Class, Option<u32>, Option<u32>)> {
    let mut verdicts = Vec::new();
    Judge::default().judge(lines, records, key, &mut verdicts);
    let mut found: Vec<_> =
        verdicts.iter().map(|verdict| (verdict.class, verdict.line, verdict.record)).collect();
    found.sort_by_key(|(_, line, record)| (line.is_none(), *line, *record));
    found
}

#[test]
fn one_of_ours_satisfies_one_of_theirs() {
    use Class::{
        AmountOver, DuplicateOurs, DuplicateTheirs, Matched, MatchedWeak, OnlyOurs, OnlyTheirs,
    };
    let (a, b, refund) = (item(100), item(200), item(-50));
    let rows = [
        (vec![a, a], vec![a], vec![(Matched, Some(0), Some(0)), (DuplicateTheirs, Some(1), None)]),
        // The one that agrees is the match, wherever it stands.
        (vec![b, a], vec![a], vec![(DuplicateTheirs, Some(0), None), (Matched, Some(1), Some(0))]),
        (
            vec![b, b],
            vec![a],
            vec![(AmountOver, Some(0), Some(0)), (DuplicateTheirs, Some(1), None)],
        ),
        (vec![a], vec![a, a], vec![(Matched, Some(0), Some(0)), (DuplicateOurs, None, Some(1))]),
        (vec![a, a], vec![], vec![(OnlyTheirs, Some(0), None), (DuplicateTheirs, Some(1), None)]),
        (vec![], vec![a, a], vec![(OnlyOurs, None, Some(0)), (DuplicateOurs, None, Some(1))]),
        (vec![a, refund], vec![a], vec![(Matched, Some(0), Some(0)), (OnlyTheirs, Some(1), None)]),
        (
            vec![refund, a],
            vec![a, refund],
            vec![(Matched, Some(0), Some(1)), (Matched, Some(1), Some(0))],
        ),
        (vec![refund], vec![a], vec![(Class::StatusDiffers, Some(0), Some(0))]),
    ];
    for (lines, records, wanted) in rows {
        assert_eq!(judge(&lines, &records, MatchKey::OrderNo), wanted, "{lines:?} {records:?}");
    }
    let weak = judge(&[a, refund, refund], &[refund], MatchKey::Reference);
    assert_eq!(
        weak,
        [(OnlyTheirs, Some(0), None), (MatchedWeak, Some(1), Some(0)), (OnlyTheirs, Some(2), None),]
    );
    assert_eq!(judge(&[a], &[refund], MatchKey::Reference).len(), 2, "a refund is no payment");
}

#[test]
fn a_group_of_many_costs_its_sorting() {
    let lines: Vec<Item> = (0..50_000).map(|at| item(at % 7 - 3)).collect();
    let records: Vec<Item> = (0..50_000).map(|at| item(at % 5 - 2)).collect();
    let found = judge(&lines, &records, MatchKey::OrderNo);
    assert_eq!(found.len(), 50_000, "every line has its own record");
}

type LineVerdict = (Class, Option<usize>, Option<usize>);

/// What the engine does on files, on rows in memory: the first key, then the second one.
fn reconcile(planted: &PlantedSides) -> (Vec<LineVerdict>, Totals) {
    let mut found = Vec::new();
    let by = |key: MatchKey, row: &PlantedRow| match key {
        MatchKey::OrderNo => row.order_no.clone(),
        MatchKey::Reference => row.reference.clone(),
    };
    let mut lines: Vec<usize> = (0..planted.lines.len()).collect();
    let mut records: Vec<usize> = (0..planted.records.len()).collect();
    for key in [MatchKey::OrderNo, MatchKey::Reference] {
        let mut groups: BTreeMap<String, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        let (mut left_lines, mut left_records) = (Vec::new(), Vec::new());
        for at in lines.drain(..) {
            match by(key, &planted.lines[at]) {
                name if name.is_empty() => left_lines.push(at),
                name => groups.entry(name).or_default().0.push(at),
            }
        }
        for at in records.drain(..) {
            groups.entry(by(key, &planted.records[at])).or_default().1.push(at);
        }
        for (theirs, ours) in groups.values() {
            let items = |rows: &[PlantedRow], places: &[usize]| -> Vec<Item> {
                places.iter().map(|at| rows[*at].item).collect()
            };
            let mut verdicts = Vec::new();
            let (lines, records) = (items(&planted.lines, theirs), items(&planted.records, ours));
            Judge::default().judge(&lines, &records, key, &mut verdicts);
            for verdict in verdicts {
                let line = verdict.line.map(|at| theirs[at as usize]);
                let record = verdict.record.map(|at| ours[at as usize]);
                match verdict.class {
                    Class::OnlyTheirs => left_lines.extend(line),
                    Class::OnlyOurs => left_records.extend(record),
                    class => found.push((class, line, record)),
                }
            }
        }
        left_lines.sort_unstable();
        left_records.sort_unstable();
        (lines, records) = (left_lines, left_records);
    }
    found.extend(lines.into_iter().map(|at| (Class::OnlyTheirs, Some(at), None)));
    found.extend(records.into_iter().map(|at| (Class::OnlyOurs, None, Some(at))));
    let mut totals = Totals::default();
    for (class, line, record) in &found {
        let line = line.map(|at| &planted.lines[at].item);
        totals.add(*class, line, record.map(|at| &planted.records[at].item));
    }
    found.sort_by_key(|(_, line, record)| (line.is_none(), *line, *record));
    (found, totals)
}

proptest! {
    #[test]
    fn i_10_what_was_planted_is_found_and_the_sums_balance(planted in planted(60)) {
        let (found, totals) = reconcile(&planted);
        prop_assert_eq!(&found, &planted.wanted);
        let tally = |rows: &[PlantedRow]| {
            let mut tally = Tally::default();
            rows.iter().for_each(|row| tally.add(&row.item));
            tally
        };
        prop_assert_eq!(totals.sides(), (tally(&planted.lines), tally(&planted.records)));
        for class in Class::ALL {
            let count = found.iter().filter(|row| row.0 == class).count();
            prop_assert_eq!(totals.count(class), count as u64);
        }
        let agrees = planted.wanted.iter().all(|(class, _, _)| class.is_agreement());
        prop_assert_eq!(totals.is_agreed(), agrees);
        let not_due = Tally::from_sums(totals.not_due.iter());
        prop_assert_eq!(Totals::from_rows(totals.iter(), totals.bad_lines, not_due), totals);
    }
}
