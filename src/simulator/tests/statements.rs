//! Every dialect's statement, read with the layout of the shipped channel file and compared with
//! the simulator's own ledger: exactly the planted differences are found.

use std::collections::BTreeMap;

use super::canyon::CANYON;
use super::*;
use crate::channel::file::ChannelFile;
use crate::codec::layout::Layout;
use crate::config::layout;
use crate::config::mistake::Mistakes;
use crate::config::raw::Document;
use crate::domain::ids::ChannelId;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::terms::CommonTerms;
use crate::reconciliation::matching::{
    Budget, Comparison, FileRows, MEMORY_BYTES, NoWatch, StatementInput, reconcile,
};
use crate::simulator::keys::tests::shared_keys;
use crate::simulator::ledger::{BankOrder, IssuerDecision, ReversalResult};
use crate::simulator::settings::ReversedLines;

const DAY_MS: i64 = 24 * 3_600_000;
const LAKESIDE: &str = include_str!("../../../channels/lakeside-acquirer.toml");
const UNIONPAY: &str = include_str!("../../../channels/unionpay.toml");

/// A shipped file's other side, and the file's layout.
async fn play(id: &str, text: &str, clock: &TestClock, percent: u8) -> (Simulator, Layout) {
    play_listing(id, text, clock, percent, None).await
}

/// The same with a choice of the lines of reversed orders.
async fn play_listing(
    id: &str,
    text: &str,
    clock: &TestClock,
    percent: u8,
    lines: Option<ReversedLines>,
) -> (Simulator, Layout) {
    let document = Document::parse("shipped.toml", text).expect("TOML");
    let settings = if id == "unionpay" {
        SimulatorSettings::unionpay_acp(id, shared_keys(), clock.clock())
    } else {
        let other = Counterpart::read(&document, id, &mut KeyTexts::new());
        let Ok(other) = other else { panic!("{id} has no other side") };
        other.settings(id, clock.clock())
    };
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let id = ChannelId::parse(id).expect("an id");
    let file = ChannelFile::read(&root, id, &CommonTerms::default());
    assert_eq!(mistakes.into_result(), Ok(()));
    let layout = file.statement.and_then(|terms| terms.layout).expect("a layout");
    let mut settings = settings.with_seed(11).with_differences_percent(percent);
    settings.reversed_lines = lines.unwrap_or(settings.reversed_lines);
    (Simulator::start(settings).await.expect("a simulator"), layout)
}

/// Enters a day's work: charges, refunds and captures, an undo, a reversal, a decline, a hold, and
/// payouts where the channel has them.
fn work(simulator: &Simulator, day: u32) {
    let ledger = &simulator.running.ledger;
    let now = simulator.running.now();
    let is_links = matches!(simulator.settings().dialect, DialectSettings::Iso8583(_));
    let number = |index: u32| match is_links {
        true => format!("1234567{day}-{index:06}"),
        false => order_no(day * 1_000 + index),
    };
    let has_undo = simulator.settings().dialect.name() != "canyon-pay";
    let verdict = |approves| IssuerDecision { approves, code: "00", working: Duration::ZERO };
    let asked = |order_no: &'static str, minor| BankOrder {
        order_no,
        sent_at: "",
        amount: AmountMinor::new(minor).expect("an amount"),
        currency: Currency::Cny,
        card: None,
        product: "000301",
    };
    let asked = |index: u32, minor| asked(number(index).leak(), minor);
    let pays_out = ["unionpay", "harbour-bank"].contains(&simulator.settings().id.as_str());
    for index in 0..200 {
        if pays_out && index % 20 == 11 {
            let asked = BankOrder { product: "000401", ..asked(300 + index, 70_000) };
            ledger.pay_out(now, asked, verdict(index != 11), "05");
        }
        let minor = 10_000 + i64::from(index) * 37;
        ledger.charge(now, asked(index, minor), verdict(index % 40 != 7), "05");
        if index % 10 == 3 {
            let _ =
                ledger.refund(now, asked(500 + index, 1_500), &number(index), verdict(true), "");
        }
        if has_undo && index % 25 == 4 {
            let _ = ledger.undo(now, asked(500 + index, minor), &number(index), verdict(true), "");
        }
        if index % 20 == 5 {
            ledger.reverse(now, &number(index), None);
        }
        if has_undo && index % 20 == 9 {
            ledger.preauthorise(now, asked(700 + index, 9_000), verdict(true), "");
            let hold = number(700 + index);
            let _ = ledger.capture(now, asked(900 + index, 8_000), &hold, verdict(true), "");
        }
    }
}

/// An entry as our books would have it: a line of the clearing export.
fn record(entry: &LedgerEntry, reference: bool) -> Option<String> {
    let movement = match entry.kind {
        EntryKind::Charge => "payment",
        EntryKind::Capture => "capture",
        EntryKind::Refund => "refund",
        EntryKind::Undo => "void",
        EntryKind::Payout => "payout",
        EntryKind::Preauth => return None,
    };
    if !matches!(entry.state, EntryState::Approved | EntryState::Undone) {
        return None;
    }
    let sign = if matches!(movement, "payment" | "capture") { 1 } else { -1 };
    let fee_sign = if movement == "payout" { 1 } else { sign };
    let (amount, fee) = (sign * entry.amount_minor, fee_sign * entry.fee_minor);
    let number = &entry.order_no;
    let reference = match reference {
        true => format!("{:012}-{:06}", entry.trace, entry.trace % 1_000_000),
        false => String::new(),
    };
    let (date, net) = (&entry.settle_date, amount - fee);
    Some(format!("b,{date},1,{number},{reference},{movement},CNY,{amount},{fee},{net},all,due,x\n"))
}

/// The class of a planted difference. The channel's own number alone shows no duplicate.
fn class(kind: DifferenceKind, is_payment: bool, by_reference: bool) -> &'static str {
    match kind {
        DifferenceKind::Missing | DifferenceKind::ShiftedOut => "only_ours",
        DifferenceKind::Foreign | DifferenceKind::ReversalMissing => "only_theirs",
        DifferenceKind::Repeated if by_reference => "only_theirs",
        DifferenceKind::Repeated => "duplicate_theirs",
        DifferenceKind::Amount if is_payment => "amount_over",
        DifferenceKind::Amount => "amount_short",
        DifferenceKind::Fee => "fee_differs",
        DifferenceKind::ShiftedIn => "matched_late",
        DifferenceKind::Status => "status_differs",
        DifferenceKind::Currency => "currency_differs",
    }
}

/// The columns that our records are exported with.
const RECORDS_HEADING: &str = "channel,date,id,channel_order_no,channel_reference,movement,\
    currency,principal,fee,net,fee_rule,state,at\n";

/// Compares the statement of a date, as an operator gets it, with the ledger: the number of
/// differences of each class, and the planted ones.
async fn hold(
    simulator: &Simulator,
    layout: &Layout,
    date: BusinessDate,
) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let url = format!("{}/statements/{date}", simulator.base_url());
    let response = client().get(url).send().await.expect("a response");
    assert_eq!(response.status().as_u16(), 200);
    let bytes = response.bytes().await.expect("a file");
    let by_reference = layout.words.order_no.is_none();
    let ledger = simulator.ledger();
    let mut ours = RECORDS_HEADING.to_owned();
    let planted = simulator.planted_differences(date);
    let of = |number: &str| ledger.get(number);
    let late = planted.iter().filter(|one| one.kind == DifferenceKind::ShiftedIn);
    let late: Vec<_> = late.filter_map(|one| of(&one.order_no)).collect();
    let today = ledger.entries().iter().filter(|one| one.settle_date == date.to_string());
    // An undone hold moved nothing, and what undid it has no line.
    let moved = |one: &&LedgerEntry| {
        let original = one.original.as_deref().and_then(of);
        !(one.kind == EntryKind::Undo && original.is_some_and(|o| o.kind == EntryKind::Preauth))
    };
    ours.extend(today.filter(moved).chain(late).filter_map(|one| record(one, by_reference)));
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path();
    let (statement, records) = (folder.join("statement"), folder.join("records"));
    std::fs::write(&statement, &bytes).expect("written");
    std::fs::write(&records, ours).expect("written");
    let comparison = Comparison {
        date: Some(date),
        tolerance: Default::default(),
        carried: false,
        differences_max: u64::MAX,
        seed: 1,
    };
    let (path, records_layout) = (statement.as_path(), layout::records());
    let file = StatementInput { path, layout, summary: None, date: Some(date) };
    let budget = Budget::new(MEMORY_BYTES, folder);
    let theirs = &mut FileRows::statement(file, &budget, &NoWatch).expect("a file");
    let ours = FileRows::records(&records, &records_layout, &budget, &NoWatch);
    let ours = &mut ours.expect("a file");
    let matched = reconcile(theirs, ours, &comparison, &budget, &NoWatch).expect("read");
    let mut found = BTreeMap::new();
    let told = matched.report(|verdict| {
        let name = verdict.class.name();
        // By the channel's own number, agreement has a class of its own.
        if name != "matched_weak" {
            *found.entry(name.to_owned()).or_insert(0) += 1;
        }
        Ok(())
    });
    let report = told.expect("a report");
    assert_eq!(report.problems, [], "{}", simulator.settings().id);
    assert!(report.is_counted, "{}", simulator.settings().id);
    std::fs::remove_file(&statement).expect("it was written");
    std::fs::remove_file(&records).expect("it was written");
    let mut expected = expected(&planted, &ledger, by_reference);
    let halves = planted.iter().filter(|one| one.kind == DifferenceKind::ReversalMissing).count();
    let reversed = ledger.entries().iter().filter(|one| one.reversed_on == Some(date.to_string()));
    let pairs = reversed.count() - halves;
    if simulator.settings().reversed_lines == ReversedLines::Both && pairs > 0 {
        expected.insert("netted".to_owned(), 2 * pairs);
    }
    (found, expected)
}

/// The classes in which the planted differences must be found.
fn expected(
    planted: &[PlantedDifference],
    ledger: &LedgerSnapshot,
    by_reference: bool,
) -> BTreeMap<String, usize> {
    let mut expected = BTreeMap::new();
    for one in planted {
        let entry = ledger.get(one.order_no.trim_end_matches('F')).expect("an entry");
        let is_payment = matches!(entry.kind, EntryKind::Charge | EntryKind::Capture);
        let class = class(one.kind, is_payment, by_reference);
        // A match by the channel's own number only is weak, late or not.
        if !(by_reference && class == "matched_late") {
            *expected.entry(class.to_owned()).or_insert(0) += 1;
        }
    }
    expected
}

#[tokio::test]
async fn i_10_a_reconciliation_of_every_dialect_finds_exactly_what_was_planted() {
    let rows = [
        ("unionpay", UNIONPAY, 6),
        ("harbour-bank", include_str!("../../../channels/harbour-bank.toml"), 9),
        ("meadow-bank", include_str!("../../../channels/meadow-bank.toml"), 8),
        ("canyon-pay", CANYON, 8),
        ("quarry-bank", include_str!("../../../channels/quarry-bank.toml"), 9),
        ("lakeside-acquirer", LAKESIDE, 8),
    ];
    for (id, text, kinds) in rows {
        let clock = TestClock::noon();
        let (simulator, layout) = play(id, text, &clock, 40).await;
        let first = BusinessDate::parse("2026-11-22").expect("a date");
        let second = BusinessDate::parse("2026-11-23").expect("a date");
        work(&simulator, 1);
        clock.forward(DAY_MS);
        work(&simulator, 2);
        clock.forward(DAY_MS);
        let (found, expected) = hold(&simulator, &layout, first).await;
        assert_eq!(found, expected, "{id}");
        let seen: std::collections::BTreeSet<_> =
            simulator.planted_differences(first).iter().map(|one| one.kind).collect();
        assert_eq!(seen.len(), kinds, "{id}: seed 11 plants every kind that fits: {seen:?}");
        let (found, expected) = hold(&simulator, &layout, second).await;
        assert_eq!(found, expected, "{id}");
        assert!(
            simulator
                .planted_differences(second)
                .iter()
                .any(|one| one.kind == DifferenceKind::ShiftedIn),
            "{id}"
        );
    }
}

#[tokio::test]
async fn i_10_without_differences_both_sides_agree() {
    let rows = [
        ("unionpay", UNIONPAY),
        ("harbour-bank", include_str!("../../../channels/harbour-bank.toml")),
        ("meadow-bank", include_str!("../../../channels/meadow-bank.toml")),
        ("canyon-pay", CANYON),
        ("quarry-bank", include_str!("../../../channels/quarry-bank.toml")),
        ("lakeside-acquirer", LAKESIDE),
    ];
    for (id, text) in rows {
        let clock = TestClock::noon();
        let (simulator, layout) = play(id, text, &clock, 0).await;
        work(&simulator, 1);
        let get = async |path: &str| {
            let url = format!("{}/{path}", simulator.base_url());
            client().get(url).send().await.expect("a response").status().as_u16()
        };
        assert_eq!(get("ledger").await, 200, "{id}");
        assert_eq!(get("statements/2026-11-22").await, 404, "{id}: the date is not over");
        clock.forward(DAY_MS);
        assert_eq!(get("statements/2026-11-21").await, 404, "{id}: nothing happened");
        assert_eq!(get("statements/yesterday").await, 400, "{id}");
        let first = BusinessDate::parse("2026-11-22").expect("a date");
        let (found, expected) = hold(&simulator, &layout, first).await;
        assert_eq!(found, expected, "{id}");
        assert!(found.keys().all(|class| class == "netted"), "{id}: {found:?}");
        let lists = !matches!(id, "unionpay" | "lakeside-acquirer");
        assert_eq!(found.contains_key("netted"), lists, "{id}: as its real counterpart does");
    }
}

/// Each bank can list reversed orders or leave them out, and both sides agree, also by the
/// channel's own number. UnionPay's layout has no word for it.
#[tokio::test]
async fn i_10_what_was_reversed_has_two_lines_that_come_to_nothing_or_none() {
    let first = BusinessDate::parse("2026-11-22").expect("a date");
    for (id, text) in [
        ("harbour-bank", include_str!("../../../channels/harbour-bank.toml")),
        ("meadow-bank", include_str!("../../../channels/meadow-bank.toml")),
        ("canyon-pay", CANYON),
        ("quarry-bank", include_str!("../../../channels/quarry-bank.toml")),
        ("lakeside-acquirer", LAKESIDE),
    ] {
        for lines in ReversedLines::ALL {
            let clock = TestClock::noon();
            let (simulator, layout) = play_listing(id, text, &clock, 0, Some(lines)).await;
            work(&simulator, 1);
            clock.forward(DAY_MS);
            let (found, expected) = hold(&simulator, &layout, first).await;
            assert_eq!(found, expected, "{id} {lines:?}");
            assert_eq!(found.contains_key("netted"), lines == ReversedLines::Both, "{id}");
        }
    }
    let unionpay = SimulatorSettings::unionpay_acp("u", shared_keys(), TestClock::noon().clock());
    let refused = unionpay.with_reversed_lines(ReversedLines::Both).check();
    assert!(refused.is_err_and(|problem| problem.contains("no line for a reversal")));
}

/// A reversal taken before the cut and carried out after it belongs to the next day's statement.
#[tokio::test]
async fn what_takes_back_after_the_cut_stands_in_the_next_statement() {
    let first = BusinessDate::parse("2026-11-22").expect("a date");
    for lines in ReversedLines::ALL {
        let clock = TestClock::noon();
        let text = include_str!("../../../channels/harbour-bank.toml");
        let (simulator, _) = play_listing("harbour-bank", text, &clock, 0, Some(lines)).await;
        work(&simulator, 1);
        let ledger = &simulator.running.ledger;
        let number = order_no(1_000);
        clock.forward(DAY_MS);
        let now = simulator.running.now();
        assert!(
            matches!(ledger.reverse(now, &number, None), ReversalResult::Refused(_)),
            "too late"
        );
        ledger.reverse_as_of(&number, first);
        assert!(matches!(ledger.reverse(now, &number, None), ReversalResult::Done(_)));
        clock.forward(DAY_MS);
        let of = |date| -> Vec<bool> {
            let statement = simulator.running.statement(date);
            let lines = statement.map(|statement| statement.lines).unwrap_or_default();
            let own = lines.iter().filter(|line| line.entry.order_no == number);
            own.map(|line| line.takes_back).collect()
        };
        let (paid, back): (&[bool], &[bool]) = match lines {
            ReversedLines::Both => (&[false], &[true]),
            ReversedLines::Neither => (&[], &[]),
        };
        assert_eq!((of(first), of(first.next())), (paid.to_vec(), back.to_vec()), "{lines:?}");
    }
}

/// Each file says when the day ends, and its other side ends it then.
#[tokio::test]
async fn the_day_ends_when_the_channel_s_file_says() {
    for (id, text, ends) in [
        ("canyon-pay", CANYON, 24 * 60),
        ("quarry-bank", include_str!("../../../channels/quarry-bank.toml"), 22 * 60 + 30),
        ("harbour-bank", include_str!("../../../channels/harbour-bank.toml"), 23 * 60),
    ] {
        let clock = TestClock::noon();
        let (simulator, _) = play(id, text, &clock, 0).await;
        let settling = || simulator.running.ledger.settling(simulator.running.now()).to_string();
        clock.forward((ends - 12 * 60) * 60_000 - 1);
        assert_eq!(settling(), "2026-11-22", "{id}");
        clock.forward(1);
        assert_eq!(settling(), "2026-11-23", "{id}");
    }
}
