//! Golden statements of every shipped layout, line by line as our words; and what spoils them.
//!
//! The files are written by hand from what is known of the channels' formats; they are in the
//! channels' own encodings, so an editor that "corrects" them breaks the test.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use switchyard::codec::layout::{DecodedLine, Decoder, Layout, StatementProblem};
use switchyard::codec::order_form::OrderForm;
use switchyard::config::layout::shipped;
use switchyard::domain::time::BusinessDate;

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/statements");
    fs::read(path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn layout(name: &str) -> Layout {
    shipped(name).unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

/// Every line in our words, or the first problem with its line.
fn read(layout: &Layout, bytes: &[u8]) -> Result<Vec<String>, (u32, StatementProblem)> {
    let mut decoder = Decoder::new(layout, BusinessDate::parse("2026-11-20"));
    let whole = bytes.ends_with(b"\n") || bytes.is_empty();
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if whole {
        lines.pop();
    }
    let mut found = Vec::new();
    for (line, text) in (1..).zip(&lines) {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if let DecodedLine::Line(read) =
            decoder.read(text, line).map_err(|problem| (line, problem))?
        {
            let item = read.item;
            let key = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let fee = item.fee_minor.map_or("-".to_owned(), |fee| fee.to_string());
            let date = item.date.map(|date| date.to_string()).unwrap_or_default();
            found.push(format!(
                "{} {} {} {} {} {fee} {} {} {date}",
                read.line,
                key(read.order_no),
                key(read.reference),
                item.movement.name(),
                item.amount_minor,
                item.currency.name(),
                item.status.name(),
            ));
        }
    }
    let last = u32::try_from(lines.len()).expect("a short file");
    decoder.finish(!whole).map_err(|problem| (last, problem))?;
    Ok(found)
}

const DAY: &str = "CNY succeeded 2026-11-20";

#[test]
fn unionpay_zm() {
    let bytes = golden("INN26112088ZM_777290058110097");
    let wanted = [
        format!("1 261120001000000000101 202611201016000417608 payment 476800 2861 {DAY}"),
        format!("2 261120001000000000201 202611201017000417618 payment 10000 60 {DAY}"),
        format!("3 261120001000000000301 202611202230000417628 refund -2500 -15 {DAY}"),
    ];
    let zm = layout("unionpay-zm");
    assert_eq!(read(&zm, &bytes), Ok(wanted.to_vec()));
    // Cut off in the last line, and behind it.
    let cut = read(&zm, &bytes[..bytes.len() - 200]);
    assert!(
        matches!(cut, Err((3, StatementProblem::Cut(_) | StatementProblem::CutOff))),
        "{cut:?}"
    );
    assert_eq!(read(&zm, &bytes[..bytes.len() - 2]), Err((3, StatementProblem::CutOff)));
    // An older file joins the last two columns, and may cut off what is blank.
    let text: Vec<u8> = bytes.split_inclusive(|byte| *byte == b'\n').flat_map(older).collect();
    assert_eq!(read(&zm, &text), Ok(wanted.to_vec()));
    assert_eq!(read(&zm, b""), Ok(Vec::new()), "a day without transactions");
}

fn older(line: &[u8]) -> Vec<u8> {
    let mut line = line[..line.len() - 60].to_vec();
    line.extend_from_slice(b"\r\n");
    line
}

#[test]
fn unionpay_zme() {
    let bytes = golden("INN26112088ZME_777290058110097");
    let wanted = [format!("1   refund -10000 -60 {DAY}"), format!("2   payment 2500 15 {DAY}")];
    assert_eq!(read(&layout("unionpay-zme"), &bytes), Ok(wanted.to_vec()));
}

#[test]
fn wechat_trade() {
    let bytes = golden("wechat-trade.csv");
    let wanted = [
        format!("2 261120001000000000101 4200001234202611201234567890 payment 10000 60 {DAY}"),
        format!("3 261120001000000000201 4200001234202611201234567891 payment 838 5 {DAY}"),
        format!("4 261120001000000000301 50300001232026112012345678901 refund -2500 -15 {DAY}"),
    ];
    let trade = layout("wechat-trade");
    assert_eq!(read(&trade, &bytes), Ok(wanted.to_vec()));
    let text = String::from_utf8(bytes).expect("UTF-8");
    let spoiled = |from: &str, to: &str| {
        assert!(text.contains(from));
        read(&trade, text.replacen(from, to, 1).as_bytes())
    };
    assert_eq!(
        spoiled("`8.38,`0.00,`0,", "`8.39,`0.00,`0,"),
        Err((6, StatementProblem::Sum { place: 1 }))
    );
    assert_eq!(
        spoiled("`3,`108", "`4,`108"),
        Err((6, StatementProblem::Count { said: 4, found: 3 }))
    );
    assert_eq!(spoiled("`0.50028,", "`0.51000,"), Err((6, StatementProblem::Sum { place: 3 })));
    assert_eq!(spoiled("`REFUND", "`OTHER"), Err((4, StatementProblem::Operation)));
    let missing = StatementProblem::NoColumn { name: "手续费".to_owned() };
    assert_eq!(spoiled("手续费,", "费用,"), Err((1, missing)));
    let wanted = StatementProblem::Columns { found: 28, wanted: 27 };
    assert_eq!(spoiled("`茶杯,", "`茶杯,`,"), Err((3, wanted)));
    let end = text.find("总交易单数").expect("the footer");
    assert_eq!(read(&trade, &text.as_bytes()[..end]), Err((4, StatementProblem::NoFooter)));
}

#[test]
fn alipay_trade() {
    let bytes = golden("20881020001_20261120_detail.csv");
    let wanted = [
        format!("6 261120001000000000101 2026112022001400001234567890 payment 10000 60 {DAY}"),
        format!("7 261120001000000000201 2026112022001400001234567891 payment 50 0 {DAY}"),
        format!("8 261120001000000000301  refund -2500 -15 {DAY}"),
    ];
    let trade = layout("alipay-trade");
    assert_eq!(read(&trade, &bytes), Ok(wanted.to_vec()));
    // A payment with a minus is nothing that we know.
    let settled = b",100.00,0.00";
    let at = bytes.windows(settled.len()).position(|some| some == settled).expect("an amount");
    let spoiled = [&bytes[..=at], b"-", &bytes[at + 1..]].concat();
    assert_eq!(read(&trade, &spoiled), Err((6, StatementProblem::Sign)));
    let half = bytes.split_inclusive(|byte| *byte == b'\n').take(8).flatten().copied();
    assert_eq!(read(&trade, &half.collect::<Vec<u8>>()), Err((8, StatementProblem::NoFooter)));
}

/// The golden bill with its refund in this state.
fn wechat_refund(state: &str) -> String {
    let text = String::from_utf8(golden("wechat-trade.csv")).expect("UTF-8");
    text.replace("`ORIGINAL,`SUCCESS", &format!("`ORIGINAL,`{state}"))
}

#[test]
fn a_refund_of_wechat_is_what_its_state_says() {
    let trade = layout("wechat-trade");
    let line = |state: &str| {
        read(&trade, wechat_refund(state).as_bytes()).map(|lines| lines.get(2).cloned())
    };
    let refund = "4 261120001000000000301 50300001232026112012345678901 refund -2500 -15 CNY";
    let wanted = |status: &str| Ok(Some(format!("{refund} {status} 2026-11-20")));
    assert_eq!(line("SUCCESS"), wanted("succeeded"));
    assert_eq!(line("FAIL"), wanted("failed"));
    for undecided in ["PROCESSING", "CHANGE"] {
        assert_eq!(line(undecided), Ok(None), "{undecided} says nothing");
    }
    assert_eq!(line("NEW"), Err((4, StatementProblem::Status)));
    assert_eq!(line(""), Err((4, StatementProblem::Status)), "a refund has a state");
    // What was revoked is given back under the payment's own numbers.
    let revoked = wechat_refund("SUCCESS").replace("`REFUND", "`REVOKED");
    let lines = read(&trade, revoked.as_bytes()).expect("it is read");
    let number = "261120001000000000101 4200001234202611201234567890";
    assert_eq!(lines[2], format!("4 {number} void -2500 -15 {DAY}"));
}

#[test]
fn a_line_of_unionpay_adds_up_or_is_bad() {
    let zm = layout("unionpay-zm");
    let text = golden("INN26112088ZM_777290058110097");
    let spoiled = |from: &str, to: &str| {
        let text = encoding_rs::GBK.decode(&text).0.into_owned();
        assert!(text.contains(from));
        read(&zm, &encoding_rs::GBK.encode(&text.replacen(from, to, 1)).0)
    };
    // What is settled leads: the fee of a refund is given back, or kept once more, by it.
    let kept = spoiled("C000000000015 D000000002485", "C000000000015 D000000002515");
    let number = "261120001000000000301 202611202230000417628";
    assert_eq!(kept.expect("it adds up")[2], format!("3 {number} refund -2500 15 {DAY}"));
    let letter = spoiled("C000000000015", "D000000000015").expect("it adds up");
    assert_eq!(letter[2], format!("3 {number} refund -2500 -15 {DAY}"));
    for (from, to) in [
        ("C000000473939", "C000000473938"),
        ("C000000473939", "D000000473939"),
        ("C000000473939", "000000473939 "),
        ("D000000002861", "D000000002860"),
        ("000000476800", "000000476801"),
    ] {
        assert_eq!(spoiled(from, to), Err((1, StatementProblem::Settlement)), "{from} {to}");
    }
    // So does an error's line.
    let zme = golden("INN26112088ZME_777290058110097");
    let zme = String::from_utf8(zme).expect("ASCII").replacen("D000000009940", "D000000009941", 1);
    assert_eq!(
        read(&layout("unionpay-zme"), zme.as_bytes()),
        Err((1, StatementProblem::Settlement))
    );
}

/// The golden bill of Alipay, one of its texts changed.
fn alipay(from: &str, to: &str) -> Vec<u8> {
    let text = encoding_rs::GBK.decode(&golden("20881020001_20261120_detail.csv")).0.into_owned();
    assert!(text.contains(from), "{from}");
    encoding_rs::GBK.encode(&text.replacen(from, to, 1)).0.into_owned()
}

#[test]
fn alipay_settles_what_the_merchant_receives() {
    let trade = layout("alipay-trade");
    // The merchant's own discount: the order has 100.00, 80.00 are settled.
    let discount = alipay("100.00,100.00,0.00,0.00,0.00,0.00", "100.00,80.00,0.00,0.00,0.00,20.00");
    assert_eq!(read(&trade, &discount), Err((10, StatementProblem::Sum { place: 1 })));
    let text = encoding_rs::GBK.decode(&discount).0.replace("共100.50元", "共80.50元");
    let lines = read(&trade, &encoding_rs::GBK.encode(&text).0).expect("it adds up");
    assert!(lines[0].contains(" payment 8000 60 "), "{lines:?}");
    // What the texts below the table count is held against it, in the words that are known.
    let count = |said, found| Err((10, StatementProblem::Count { said, found }));
    assert_eq!(read(&trade, &alipay("交易合计：2笔", "交易合计：3笔")), count(3, 2));
    let refunds = read(&trade, &alipay("退款共-25.00元", "退款共-25.01元"));
    assert_eq!(refunds, Err((11, StatementProblem::Sum { place: 1 })));
    assert!(read(&trade, &alipay("#交易合计", "#合计交易")).is_ok());
    // Profit sharing takes money that no column of ours has.
    assert_eq!(
        read(&trade, &alipay("-0.60,0.00,", "-0.60,-1.00,")),
        Err((6, StatementProblem::Unknown))
    );
}

/// Whether a total counts the lines of a file, and has their number.
fn is_counted(layout: &Layout, bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new(layout, BusinessDate::parse("2026-11-20"));
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        decoder.read(text, line).expect("a line");
    }
    decoder.finish(false).expect("a file");
    decoder.is_counted()
}

#[test]
fn a_file_is_known_to_be_whole_only_if_something_counts_its_lines() {
    for (name, file) in [
        ("wechat-trade", "wechat-trade.csv"),
        ("generic-csv", "generic.csv"),
        ("generic-pipe", "generic-pipe.txt"),
        ("generic-fixed", "generic-fixed.txt"),
        ("alipay-trade", "20881020001_20261120_detail.csv"),
    ] {
        assert!(is_counted(&layout(name), &golden(file)), "{name}");
        assert!(layout(name).counts_its_lines(), "{name}");
    }
    // The one that counts the refunds says nothing of the payments.
    assert!(!is_counted(&layout("alipay-trade"), &alipay("#交易合计", "#合计交易")));
    let zm = layout("unionpay-zm");
    assert!(zm.counts_its_lines(), "its summary does");
    assert!(!is_counted(&zm, &golden("INN26112088ZM_777290058110097")));
    assert!(!layout("unionpay-zme").counts_its_lines());
}

#[test]
fn a_file_of_another_day_is_known_by_its_lines() {
    let days = |name: &str, bytes: &[u8], date: &str| {
        let layout = layout(name);
        let mut decoder = Decoder::new(&layout, BusinessDate::parse(date));
        for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let _ = decoder.read(text.strip_suffix(b"\r").unwrap_or(text), line);
        }
        (decoder.finish(false).err(), decoder.doubt())
    };
    let other = BusinessDate::parse("2026-11-20").expect("a date");
    let other_day = Some(StatementProblem::OtherDay { date: other });
    for (name, file, dates) in [
        ("wechat-trade", "wechat-trade.csv", ["2026-11-19", "2026-11-21"]),
        ("alipay-trade", "20881020001_20261120_detail.csv", ["2026-11-19", "2026-11-21"]),
        ("generic-csv", "generic.csv", ["2026-11-19", "2026-11-21"]),
        ("generic-pipe", "generic-pipe.txt", ["2026-11-19", "2026-11-21"]),
        ("generic-fixed", "generic-fixed.txt", ["2026-11-19", "2026-11-21"]),
        // Its day begins before midnight, and what is late is settled days behind.
        ("unionpay-zm", "INN26112088ZM_777290058110097", ["2026-11-18", "2026-11-28"]),
    ] {
        let bytes = golden(file);
        assert_eq!(days(name, &bytes, "2026-11-20"), (None, None), "{name}");
        for date in dates {
            let (problem, doubt) = days(name, &bytes, date);
            assert_eq!(problem, other_day, "{name} for {date}");
            assert!(doubt.is_none_or(|doubt| matches!(doubt, StatementProblem::OtherDays { .. })));
        }
    }
    // One line of the day before is the edge of the day; most of them are a doubt.
    let text = String::from_utf8(golden("wechat-trade.csv")).expect("UTF-8");
    let edge = text.replacen("`2026-11-20 10:16", "`2026-11-19 23:59", 1);
    assert_eq!(days("wechat-trade", edge.as_bytes(), "2026-11-20"), (None, None));
    let row = text.lines().nth(1).expect("a row").replace("2026-11-20", "2026-11-19");
    let most = edge.replacen("\n`2026-11-20 10:17", &format!("\n{row}\n`2026-11-20 10:17"), 1);
    let doubt = days("wechat-trade", most.as_bytes(), "2026-11-20").1;
    assert_eq!(doubt, Some(StatementProblem::OtherDays { lines: 2, first: 2 }));
}

#[test]
fn generic_csv() {
    let bytes = golden("generic.csv");
    let wanted = [
        format!("2 261120001000000000101 R-1 payment 10000 60 {DAY}"),
        format!("3 261120001000000000201 R,2 refund -2500 -15 {DAY}"),
        "4 261120001000000000301  payment 500 0 HKD failed 2026-11-20".to_owned(),
    ];
    let csv = layout("generic-csv");
    assert_eq!(read(&csv, &bytes), Ok(wanted.to_vec()));
    // The channel has our numbers in a form of its own; one in another form stays what it is.
    let order_form = OrderForm::parse("SW{{ order_no }}000").expect("a form");
    let formed = Layout { order_form, ..layout("generic-csv") };
    let text = String::from_utf8(bytes.clone()).expect("UTF-8");
    let written = text.replace("261120001000000000101", "SW261120001000000000101000");
    let written = written.replace("261120001000000000201", "SW261120001000000000201000");
    assert_eq!(read(&formed, written.as_bytes()), Ok(wanted.to_vec()));
    let text = String::from_utf8(bytes).expect("UTF-8");
    let more = format!("{text}261120001000000000401,,payment,1,0,CNY,succeeded,2026-11-20\n");
    assert_eq!(read(&csv, more.as_bytes()), Err((6, StatementProblem::Behind)));
    let other = text.replacen("2026-11-20", "2026-11-19", 1);
    assert_eq!(read(&csv, other.as_bytes()), Err((2, StatementProblem::WrongDate)));
    let other = text.replacen("HKD", "XXX", 1);
    assert_eq!(read(&csv, other.as_bytes()), Err((4, StatementProblem::Currency)));
    // Columns may stand in any order.
    let columns = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",");
    let lines = text.lines().filter(|line| !line.contains('"') && !line.starts_with("TOTAL"));
    let turned: Vec<String> = lines.map(columns).collect();
    let turned = format!("{}\nTOTAL,2,10500,60\n", turned.join("\n"));
    let wanted = [wanted[0].clone(), wanted[2].replacen('4', "3", 1)];
    assert_eq!(read(&csv, turned.as_bytes()), Ok(wanted.to_vec()));
}

#[test]
fn generic_pipe() {
    let bytes = golden("generic-pipe.txt");
    let wanted = [
        format!("1 261120001000000000101 T1 payment 10000 60 {DAY}"),
        format!("2 261120001000000000201 T2 refund -2500 -15 {DAY}"),
        "3 261120001000000000301  void -500 0 CNY failed 2026-11-20".to_owned(),
    ];
    let pipe = layout("generic-pipe");
    assert_eq!(read(&pipe, &bytes), Ok(wanted.to_vec()));
    let at = bytes.windows(5).position(|five| five == b"TOTAL").expect("the footer");
    let mut spoiled = bytes.clone();
    spoiled[at + 6] = b'4';
    assert_eq!(read(&pipe, &spoiled), Err((4, StatementProblem::Count { said: 4, found: 3 })));
    assert_eq!(read(&pipe, &bytes[..at]), Err((3, StatementProblem::NoFooter)));
}

#[test]
fn generic_fixed() {
    let bytes = golden("generic-fixed.txt");
    let wanted = [
        format!("2 261120001000000000101 R1 payment 10001 60 {DAY}"),
        format!("3 261120001000000000201 R2 refund -2500 -13 {DAY}"),
    ];
    let fixed = layout("generic-fixed");
    assert_eq!(read(&fixed, &bytes), Ok(wanted.to_vec()));
    let mut spoiled = bytes.clone();
    let at = bytes.windows(3).position(|three| three == b"T00").expect("the footer");
    spoiled[at + 10] = b'3';
    assert_eq!(read(&fixed, &spoiled), Err((4, StatementProblem::Count { said: 3, found: 2 })));
    assert_eq!(read(&fixed, b""), Err((0, StatementProblem::NoHeader)));
}

/// The command on files, in a folder of its own.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// What it says of a statement beside no records: the exit code and its words.
    fn run(&self, layout: &str, file: &str, bytes: &[u8]) -> (Option<i32>, String) {
        let records = self.folder.path().join("records.csv");
        fs::write(&records, RECORDS.lines().next().expect("a heading")).expect("written");
        fs::write(&records, format!("{}\n", RECORDS.lines().next().expect("a heading")))
            .expect("written");
        let statement = self.folder.path().join(file);
        fs::write(&statement, bytes).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchyard"));
        command.args(["reconcile", "--layout", layout, "--date", "2026-11-20", "--json"]);
        command.arg("--statement").arg(&statement).arg("--records").arg(&records);
        let output = command.output().expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).expect("a file");
        std::io::Write::write_all(&mut writer, bytes).expect("memory");
    }
    writer.finish().expect("an archive").into_inner()
}

/// UnionPay's printed summary with one line of totals.
fn unionpay_summary(total: &str) -> Vec<u8> {
    let text = format!(
        "商户代码:777290058110097    清算日期:20261120\r\n自助消费 9 0.00 1.00\r\n{total}\r\n"
    );
    encoding_rs::GBK.encode(&text).0.into_owned()
}

#[test]
fn an_archive_is_held_against_the_summary_in_it() {
    let desk = Desk::new();
    let zm = golden("INN26112088ZM_777290058110097");
    let first = zm.split_inclusive(|byte| *byte == b'\n').next().expect("a line");
    // 4,768.00 and 100.00 paid, 25.00 taken; fees 28.61, 0.60 and 0.15 back.
    let total = "总计 3 25.00 4868.00 29.21 0.15 24.85 4838.79";
    let of = |detail: &[u8], total: &str, name: &str| {
        let archive = zipped(&[
            ("INN26112088ZM_777290058110097", detail),
            ("INN26112088ZME_777290058110097", b""),
            (name, &unionpay_summary(total)),
        ]);
        let (code, said) = desk.run("unionpay-zm", "a.zip", &archive);
        let told: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|_| {
            panic!("{said}");
        });
        let problems: Vec<String> = told["problems"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["problem"].as_str().expect("a text").to_owned())
            .collect();
        (code, told["is_counted"].as_bool().expect("it is said"), problems)
    };
    let rd = "RD201026112001_777290058110097";
    assert_eq!(of(&zm, total, rd), (Some(2), true, Vec::new()), "none is in our records");
    assert_eq!(of(b"", "总计 0 0.00 0.00 0.00 0.00 0.00 0.00", rd), (Some(0), true, Vec::new()));
    for (what, detail) in [("nothing", &b""[..]), ("a cut file", first)] {
        let (code, counted, problems) = of(detail, total, rd);
        assert_eq!((code, counted, problems.len()), (Some(2), false, 4), "{what}: {problems:?}");
        assert!(problems[0].contains("counts 3 lines"), "{what}: {problems:?}");
    }
    for (from, to, of_what) in [
        ("4868.00", "4868.01", "amount"),
        ("29.21", "29.20", "fee"),
        ("24.85", "24.84", "settlement"),
    ] {
        let (_, counted, problems) = of(&zm, &total.replace(from, to), rd);
        assert!(!counted && problems.len() == 1 && problems[0].contains(of_what), "{problems:?}");
    }
    let (_, counted, problems) = of(&zm, "合计 3", rd);
    assert_eq!((counted, problems.len()), (false, 1), "{problems:?}");
    // A summary of another day is none.
    let (_, counted, problems) = of(&zm, total, "RD201026111901_777290058110097");
    assert_eq!((counted, problems), (false, Vec::new()));
}

#[test]
fn a_file_that_is_another_day_s_by_its_name_is_refused() {
    let desk = Desk::new();
    let zm = golden("INN26112088ZM_777290058110097");
    let archive = zipped(&[("INN26112188ZM_777290058110097", &zm)]);
    for (file, bytes) in [("a.zip", &archive), ("INN26112188ZM_777290058110097", &zm)] {
        let (code, said) = desk.run("unionpay-zm", file, bytes);
        assert_eq!((code, said.contains("another day, 2026-11-21")), (Some(1), true), "{said}");
    }
    let (code, said) = desk.run("unionpay-zm", "INN26112088ZM_777290058110097", &zm);
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn one_line_of_a_foreign_kind_refuses_no_day() {
    let desk = Desk::new();
    let gbk = |text: &str| encoding_rs::GBK.encode(text).0.into_owned();
    for (layout, file, from, to) in [
        ("unionpay-zm", "INN26112088ZM_777290058110097", gbk(" 04 00 "), gbk(" 77 00 ")),
        ("wechat-trade", "wechat-trade.csv", b"`REFUND".to_vec(), b"`NEWKIND".to_vec()),
        ("alipay-trade", "20881020001_20261120_detail.csv", gbk("退款   "), gbk("转账   ")),
        ("generic-csv", "generic.csv", b",refund,".to_vec(), b",gift,".to_vec()),
        ("generic-pipe", "generic-pipe.txt", b"|REFUND|".to_vec(), b"|GIFT|".to_vec()),
        ("generic-fixed", "generic-fixed.txt", b"R-0".to_vec(), b"X-0".to_vec()),
    ] {
        let bytes = golden(file);
        let at = bytes.windows(from.len()).position(|some| some == from).expect("a place");
        let foreign = [&bytes[..at], &to, &bytes[at + from.len()..]].concat();
        let (code, said) = desk.run(layout, file, &foreign);
        assert_eq!(
            (code, said.contains("\"bad_lines\": 1") || said.contains("\"bad_lines\":1")),
            (Some(2), true),
            "{layout}: {said}"
        );
    }
}

const RECORDS: &str = "channel,date,id,channel_order_no,channel_reference,movement,currency,\
    principal,fee,net,fee_rule,state,at\n\
    b,2026-11-20,1,261120001000000000101,R-1,payment,CNY,10000,60,9940,all,due,x\n\
    b,2026-11-20,2,261120001000000000201,,refund,CNY,-2500,-15,-2485,all,due,x\n\
    b,2026-11-20,3,261120001000000000301,,payment,HKD,0,0,0,all,contradicted,x\n";

#[test]
fn the_command_says_by_its_exit_code_whether_both_sides_agree() {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path();
    let (statement, records) = (folder.join("statement.csv"), folder.join("records.csv"));
    let differences = folder.join("differences.csv");
    let run = |theirs: &[u8], ours: &str| {
        fs::write(&statement, theirs).expect("written");
        fs::write(&records, ours).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchyard"));
        command.args(["reconcile", "--layout", "generic-csv", "--date", "2026-11-20"]);
        command.arg("--statement").arg(&statement).arg("--records").arg(&records);
        command.arg("--differences").arg(&differences);
        let output = command.output().expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let golden = golden("generic.csv");
    let (code, said) = run(&golden, RECORDS);
    assert_eq!((code, said.contains("both sides agree")), (Some(0), true), "{said}");
    let (code, said) = run(&golden, &RECORDS.replace(",10000,", ",10001,"));
    assert_eq!((code, said.contains("amount_short")), (Some(2), true), "{said}");
    let rows = fs::read_to_string(&differences).expect("it was written");
    let row = "amount_short,order_no,2,261120001000000000101,R-1,payment,10000,60,CNY,succeeded,\
        2026-11-20,2,261120001000000000101,R-1,payment,10001,60,CNY,succeeded,2026-11-20,,";
    assert_eq!(rows.lines().nth(1), Some(row));
    let (code, said) = run(&golden[..golden.len() - 16], RECORDS);
    assert_eq!((code, said.contains("cut off")), (Some(1), true), "{said}");
    let kept = fs::read_to_string(&differences).expect("the former one stays");
    assert_eq!(kept, rows);
}
