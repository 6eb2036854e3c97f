//! The engine on files: differences planted at random, with and without spilling.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::row::{key_of, spread};
use super::*;
use crate::codec::layout::Layout;
use crate::config::layout::{parse, records, shipped};
use crate::domain::bin::CardType;
use crate::domain::books::reconcile::planted::{PlantedRow, PlantedSides, planted, statement_date};
use crate::domain::books::reconcile::{Class, Side, Status, Verdict};
use crate::domain::ids::OrderId;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("written");
        path
    }
}

const HEADER: &str = "order_no,reference,operation,amount,fee,currency,status,settle_date\n";

fn statement(rows: &[PlantedRow]) -> String {
    let mut text = HEADER.to_owned();
    let (mut amount, mut fee) = (0, 0);
    for row in rows {
        let item = &row.item;
        let movement = match item.movement {
            crate::domain::attempt::Operation::Undo => "void",
            other => other.name(),
        };
        let date = item.date.expect("planted with a date");
        let kept = item.fee_minor.expect("planted with a fee");
        (amount, fee) = (amount + item.amount_minor, fee + kept);
        let (order, reference, minor) = (&row.order_no, &row.reference, item.amount_minor);
        let (currency, status) = (item.currency.name(), item.status.name());
        writeln!(text, "{order},{reference},{movement},{minor},{kept},{currency},{status},{date}")
            .expect("memory");
    }
    text + &format!("TOTAL,{},{amount},{fee}\n", rows.len())
}

fn export(rows: &[PlantedRow]) -> String {
    let mut text = "channel,date,id,channel_order_no,channel_reference,movement,currency,\
        principal,fee,net,fee_rule,state,at\n"
        .to_owned();
    for row in rows {
        let item = &row.item;
        let fee = item.fee_minor.expect("planted with a fee");
        let date = item.date.expect("planted with a date");
        let state = if item.status == Status::Succeeded { "due" } else { "contradicted" };
        let (order, reference, movement) = (&row.order_no, &row.reference, item.movement.name());
        let (currency, minor, net) =
            (item.currency.name(), item.amount_minor, item.amount_minor - fee);
        writeln!(
            text,
            "a,{date},1,{order},{reference},{movement},{currency},{minor},{fee},{net},\
             \"one, two\",{state},2026-11-20T00:00:00.000Z"
        )
        .expect("memory");
    }
    text
}

type LineVerdict = (Class, Option<u32>, Option<u32>);

struct MatchRun {
    report: MatchReport,
    told: Vec<LineVerdict>,
    texts: Vec<String>,
    unread: SkippedNumbers,
}

fn run(
    folder: &Folder,
    layout: &Layout,
    theirs: &[u8],
    ours: &str,
    date: Option<BusinessDate>,
    memory_bytes: u64,
) -> Result<MatchRun, MatchError> {
    run_with(folder, layout, (theirs, ours), date, memory_bytes, &[])
}

/// The same; each of `late` is brought to the lines of its number, which no record of ours has.
fn run_with(
    folder: &Folder,
    layout: &Layout,
    (theirs, ours): (&[u8], &str),
    date: Option<BusinessDate>,
    memory_bytes: u64,
    late: &[PlantedRow],
) -> Result<MatchRun, MatchError> {
    let (mut told, mut texts) = (Vec::new(), Vec::new());
    let records_layout = records();
    let path = &folder.write("theirs", theirs);
    let file = StatementInput { path, layout, summary: None, date };
    let comparison = Comparison {
        date,
        tolerance: Tolerance::default(),
        carried: false,
        differences_max: u64::MAX,
        seed: 7,
    };
    let budget = Budget::new(memory_bytes, folder.0.path());
    let records = folder.write("ours.csv", ours.as_bytes());
    let mut theirs = FileRows::statement(file, &budget, &NoWatch)?;
    let mut ours = FileRows::records(&records, &records_layout, &budget, &NoWatch)?;
    let mut matched = reconcile(&mut theirs, &mut ours, &comparison, &budget, &NoWatch)?;
    let mut strangers: BTreeMap<String, Vec<Verdict<Side>>> = BTreeMap::new();
    matched.each_stranger(|verdict| {
        let number = verdict.line.as_ref().map(|line| line.order_no.clone());
        strangers.entry(number.expect("it is about a line")).or_default().push(verdict);
        Ok(())
    })?;
    for PlantedRow { order_no, reference, item } in late.iter().cloned() {
        let lines = strangers.remove(&order_no).expect("no record has the number");
        let item = Some(item);
        let record = Side { line: 0, order_no, reference, item, unreadable: None };
        matched.add(LateRecord { lines, record });
    }
    let unread = matched.statement_end().unread.clone();
    let report = matched.report(|verdict| {
        let line = |side: &Option<Side>| side.as_ref().map(|side| side.line);
        told.push((verdict.class, line(&verdict.line), line(&verdict.record)));
        for side in [verdict.line, verdict.record].into_iter().flatten() {
            texts.push(format!("{} {}", side.order_no, side.reference));
            texts.extend(side.unreadable.map(|(problem, text)| format!("{problem} {text}")));
        }
        Ok(())
    })?;
    Ok(MatchRun { report, told, texts, unread })
}

/// What must be told: all but plain matches, with the lines that the rows have in their files.
fn wanted(planted: &PlantedSides) -> Vec<LineVerdict> {
    let line = |place: &Option<usize>| place.map(|at| u32::try_from(at).expect("small") + 2);
    let rows = planted.wanted.iter().filter(|row| row.0 != Class::Matched);
    rows.map(|(class, theirs, ours)| (*class, line(theirs), line(ours))).collect()
}

#[test]
fn i_10_the_engine_finds_what_was_planted_within_any_budget() {
    let folder = Folder::new();
    let layout = shipped("generic-csv").expect("shipped");
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    let done = runner.run(&planted(3_000), |planted| {
        let (theirs, ours) = (statement(&planted.lines), export(&planted.records));
        for memory_bytes in [0, MEMORY_BYTES] {
            // Without memory every block is written; a partition may still be joined.
            let memory_bytes = memory_bytes.max(64 * 1024);
            let date = Some(statement_date());
            let ended = run(&folder, &layout, theirs.as_bytes(), &ours, date, memory_bytes);
            let ended = ended.map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&ended.told, &wanted(&planted));
            let agreed = planted.wanted.iter().filter(|row| row.0.is_agreement());
            prop_assert_eq!(ended.report.agreed.count(), agreed.count() as u64);
            prop_assert_eq!(ended.report.theirs.count(), planted.lines.len() as u64);
            prop_assert_eq!(ended.report.ours.count(), planted.records.len() as u64);
        }
        Ok(())
    });
    // A failure says which rows it needs, and their seed.
    done.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn i_10_a_late_record_counts_as_if_it_had_been_among_ours() {
    let folder = Folder::new();
    let layout = shipped("generic-csv").expect("shipped");
    let mut runner = TestRunner::new(Config { cases: 48, ..Config::default() });
    let done = runner.run(&(planted(400), any::<u64>()), |(planted, seed)| {
        let count = |rows: &[PlantedRow], number: &str| {
            rows.iter().filter(|row| row.order_no == number).count()
        };
        let is_late = |row: &PlantedRow| {
            let number = row.order_no.as_str();
            let is_drawn = spread(key_of(number.as_bytes()), seed) & 1 == 1;
            is_drawn && count(&planted.records, number) == 1 && count(&planted.lines, number) > 0
        };
        let (late, early): (Vec<PlantedRow>, Vec<PlantedRow>) =
            planted.records.iter().cloned().partition(is_late);
        let theirs = statement(&planted.lines);
        let run = |ours: &[PlantedRow], late: &[PlantedRow]| {
            let (ours, date) = (export(ours), Some(statement_date()));
            let sides = (theirs.as_bytes(), ours.as_str());
            let ended = run_with(&folder, &layout, sides, date, 1 << 20, late);
            ended.map_err(|error| TestCaseError::fail(error.to_string()))
        };
        let (all, later) = (run(&planted.records, &[])?, run(&early, &late)?);
        let lines = |ended: &MatchRun| -> Vec<(Class, Option<u32>, bool)> {
            let rows = ended.told.iter();
            rows.map(|(class, line, record)| (*class, *line, record.is_some())).collect()
        };
        // What only we have has another place among fewer records.
        prop_assert_eq!(lines(&later), lines(&all));
        prop_assert_eq!(later.report.totals, all.report.totals);
        prop_assert_eq!(later.report.agreed, all.report.agreed);
        prop_assert_eq!(
            (later.report.theirs, later.report.ours, later.report.differences),
            (all.report.theirs, all.report.ours, all.report.differences)
        );
        Ok(())
    });
    done.unwrap_or_else(|error| panic!("{error}"));
}

const ONE: &str = "261120001000000000101,R1,payment,100,1,CNY,succeeded,2026-11-20\n";

#[test]
fn what_spills_comes_back() {
    let folder = Folder::new();
    let layout = shipped("generic-csv").expect("shipped");
    let mut planted = PlantedSides::default();
    for number in 0..60_000 {
        let row = PlantedRow {
            order_no: format!("26112000{number:011}01"),
            reference: format!("R{number}"),
            item: crate::domain::books::reconcile::Item {
                movement: crate::domain::attempt::Operation::Payment,
                amount_minor: number,
                fee_minor: Some(0),
                currency: crate::domain::money::Currency::Cny,
                status: Status::Succeeded,
                date: Some(statement_date()),
            },
        };
        planted.lines.push(row.clone());
        planted.records.push(row);
    }
    let (theirs, ours) = (statement(&planted.lines), export(&planted.records));
    let ended = run(&folder, &layout, theirs.as_bytes(), &ours, None, 1 << 20).expect("a report");
    assert!(ended.report.spilled_bytes > 1 << 20, "{}", ended.report.spilled_bytes);
    assert!(ended.report.is_agreed() && ended.told.is_empty());
    assert_eq!(ended.report.agreed.count(), 60_000);
    let left = fs::read_dir(folder.0.path()).expect("the folder").count();
    assert_eq!(left, 2, "temporary files are gone");
}

#[test]
fn a_key_that_all_rows_have_is_refused_rather_than_held() {
    let folder = Folder::new();
    let layout = shipped("generic-csv").expect("shipped");
    let rows = 2_000;
    let theirs = format!("{HEADER}{}TOTAL,{rows},{},{rows}\n", ONE.repeat(rows), rows * 100);
    let ended = run(&folder, &layout, theirs.as_bytes(), &export(&[]), None, 1 << 16);
    assert!(matches!(ended, Err(MatchError::Skewed)));
    let ended = run(&folder, &layout, theirs.as_bytes(), &export(&[]), None, 1 << 30);
    let ended = ended.expect("a report");
    let count = |class| ended.told.iter().filter(|row| row.0 == class).count();
    assert_eq!((count(Class::OnlyTheirs), count(Class::DuplicateTheirs)), (1, rows - 1));
}

#[test]
fn records_of_a_later_date_are_not_due() {
    let folder = Folder::new();
    let layout = shipped("generic-csv").expect("shipped");
    let theirs = format!("{HEADER}{ONE}TOTAL,1,100,1\n");
    let later = |number: u32, date: &str| {
        format!("a,{date},1,26112000100000000{number:02}01,,payment,CNY,100,1,99,r,due,x\n")
    };
    let ours = format!("{}{}{}", export(&[]), later(1, "2026-11-20"), later(2, "2026-11-21"));
    let ended = run(&folder, &layout, theirs.as_bytes(), &ours, None, 1 << 20).expect("a report");
    assert_eq!(ended.report.totals.not_due.count(), 1);
    assert!(ended.report.is_agreed(), "{:?}", ended.told);
}

fn layout_with(keys: &str) -> Layout {
    let text = crate::config::layout::SHIPPED.iter().find(|row| row.0 == "generic-csv");
    parse("a", &format!("{keys}{}", text.expect("shipped").1)).expect("a layout")
}

#[test]
fn a_file_that_is_not_whole_is_refused_or_kept_as_the_layout_says() {
    let folder = Folder::new();
    let keeps = layout_with("on_bad_file = \"keep\"\n");
    let refuses = shipped("generic-csv").expect("shipped");
    let date = BusinessDate::parse("2026-11-20");
    let rows = [
        ("a total", format!("{HEADER}{ONE}TOTAL,1,101,1\n"), "total 1 of the footer"),
        ("a count", format!("{HEADER}{ONE}TOTAL,2,100,1\n"), "counts 2 lines, there are 1"),
        ("the end", format!("{HEADER}{ONE}"), "before its footer"),
        ("the names", ONE.to_owned(), "does not name the column"),
        ("nothing", String::new(), "the header is missing"),
        (
            "another day",
            format!("{HEADER}{}TOTAL,1,100,1\n", ONE.replace("-20", "-19")),
            "its lines are of 2026-11-19",
        ),
        (
            "another layout",
            format!("{HEADER}a,b\nTOTAL,1,100,1\n"),
            "line 2: the line has 2 columns, not the 8 of the header",
        ),
    ];
    for (what, theirs, problem) in &rows {
        let error = run(&folder, &refuses, theirs.as_bytes(), &export(&[]), date, 1 << 20).err();
        let error = error.unwrap_or_else(|| panic!("{what} was taken")).to_string();
        assert!(error.contains(problem), "{what}: {error}");
    }
    for (what, theirs, problem) in &rows[..3] {
        let ended = run(&folder, &keeps, theirs.as_bytes(), &export(&[]), date, 1 << 20);
        let ended = ended.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!ended.report.is_agreed() && !ended.report.is_counted, "{what}");
        let (_, said) = &ended.report.problems[0];
        assert!(said.to_string().contains(problem), "{what}: {said}");
    }
    for (what, theirs, problem) in &rows[3..] {
        let ended = run(&folder, &keeps, theirs.as_bytes(), &export(&[]), date, 1 << 20);
        let error = ended.err().unwrap_or_else(|| panic!("{what} was taken")).to_string();
        assert!(error.contains(problem), "{what}: {error}");
    }
}

#[test]
fn one_line_that_cannot_be_read_is_one_bad_line() {
    let folder = Folder::new();
    let (keeps, refuses) =
        (shipped("generic-csv").expect("shipped"), layout_with("on_bad_line = \"refuse\"\n"));
    let date = BusinessDate::parse("2026-11-20");
    let card = ONE.replace("R1", "4111111111111111");
    // The last two are in no sum, so that the total of the others cannot be held against it.
    let rows = [
        (ONE.replace("payment", "dance"), "the operation is none"),
        (ONE.replace("succeeded", "perhaps"), "the status is none"),
        (ONE.replace("CNY", "XXX"), "the currency is none"),
        (ONE.replace("-20", "-19"), "the date is not the statement's"),
        (card.replace(",100,", ",1x0,"), "a column that is summed"),
        (card.replace(",CNY", ",CNY,"), "9 columns"),
    ];
    for (broken, problem) in &rows {
        let theirs = format!("{HEADER}{ONE}{broken}TOTAL,2,200,2\n");
        let ended = run(&folder, &keeps, theirs.as_bytes(), &export(&[]), date, 1 << 20);
        let ended = ended.unwrap_or_else(|error| panic!("{problem}: {error}"));
        assert_eq!((ended.report.totals.bad_lines, &ended.report.problems[..]), (1, &[][..]));
        let said = ended.texts.join("; ");
        assert!(said.contains(problem), "{problem}: {said}");
        assert!(!said.contains("4111111111111111"), "I-11: {said}");
        // Its number is known all the same, so that no other line of it is all that is said.
        assert!(ended.unread.names("261120001000000000101"));
        assert!(!ended.unread.names("261120001000000000102"));
        let error = run(&folder, &refuses, theirs.as_bytes(), &export(&[]), date, 1 << 20);
        let error = error.err().unwrap_or_else(|| panic!("{problem} was taken")).to_string();
        assert!(error.contains(problem) && error.contains("line 3"), "{error}");
    }
}

#[test]
fn a_number_is_found_in_whatever_line_names_it() {
    let folder = Folder::new();
    let layout = shipped("generic-csv").expect("shipped");
    let number = |text: &str| crate::domain::ids::ChannelOrderNo::parse(text).expect("a number");
    let [one, two, three, four] =
        ["01", "02", "03", "04"].map(|end| number(&format!("2611200010000000001{end}")));
    let text = format!(
        "{HEADER}{one},,payment,1,0,CNY,succeeded,2026-11-20\nx\n,,20261120{two}00,of {three}.\n"
    );
    let path = folder.write("named.csv", text.as_bytes());
    let wanted = [one, two, three, four].into();
    let found = numbers_named(&path, &layout, folder.0.path(), &wanted).expect("readable");
    assert_eq!(found, [one, two, three].into());
}

/// A statement of many lines is looked at evenly, and only where a line names a type that is ours.
#[test]
fn lines_that_name_a_card_s_type_are_sampled() {
    let folder = Folder::new();
    let text = "encoding = \"utf-8\"\nform = \"delimited\"\ndelimiter = \",\"\n\
        amount = { unit = \"fen\" }\nfee = { unit = \"fen\" }\n\
        columns = { order_no = 1, amount = 2, card_type = 3 }\n\
        card_types = { C = \"credit\", \"04\" = \"pass\" }\n";
    let layout = parse("cards.toml", text).expect("a layout");
    let sampled = |lines: u64| {
        let mut theirs = String::new();
        for line in 0..lines {
            let card = ["C", "04", "?", ""][usize::try_from(line % 4).expect("small")];
            writeln!(theirs, "261122001{line:010}01,100,{card}").expect("memory");
        }
        let run = run(&folder, &layout, theirs.as_bytes(), &export(&[]), None, MEMORY_BYTES);
        run.expect("it runs").report.cards
    };
    let few = sampled(8);
    assert_eq!(few.lines().len(), 2);
    assert!(few.lines().iter().all(|(_, card_type)| *card_type == CardType::Credit));
    let many = sampled(40_000);
    let kept = many.lines().len();
    assert!((2_048..4_096).contains(&kept), "{kept}");
    let is_early = |place: u64| place < OrderId::compose(261_122, 1, 20_000).as_u64();
    let early = many.lines().iter().filter(|(number, _)| is_early(number.order.as_u64())).count();
    assert!((kept * 9 / 20..=kept * 11 / 20).contains(&early), "{early} of {kept}");
}
