//! Golden statements of every shipped layout, line by line as our words; and what spoils them.
//!
//! The files are written by hand from what is known of the channels' formats; they are in the
//! channels' own encodings, so an editor that "corrects" them breaks the test.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use switchyard::codec::layout::{Decoder, Layout, Problem, Read};
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
fn read(layout: &Layout, bytes: &[u8]) -> Result<Vec<String>, (u32, Problem)> {
    let mut decoder = Decoder::new(layout, BusinessDate::parse("2026-11-20"));
    let whole = bytes.ends_with(b"\n") || bytes.is_empty();
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if whole {
        lines.pop();
    }
    let mut found = Vec::new();
    for (line, text) in (1..).zip(&lines) {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if let Read::Line(read) = decoder.read(text, line).map_err(|problem| (line, problem))? {
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
                item.currency.code(),
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
    assert!(matches!(cut, Err((3, Problem::Cut(_) | Problem::CutOff))), "{cut:?}");
    assert_eq!(read(&zm, &bytes[..bytes.len() - 2]), Err((3, Problem::CutOff)));
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
    assert_eq!(spoiled("`8.38,`0.00,`0,", "`8.39,`0.00,`0,"), Err((6, Problem::Sum { place: 1 })));
    assert_eq!(spoiled("`3,`108", "`4,`108"), Err((6, Problem::Count { said: 4, found: 3 })));
    assert_eq!(spoiled("`0.50028,", "`0.51000,"), Err((6, Problem::Sum { place: 3 })));
    assert_eq!(spoiled("`REFUND", "`REVOKED"), Err((4, Problem::Operation)));
    let missing = Problem::NoColumn { name: "手续费".to_owned() };
    assert_eq!(spoiled("手续费,", "费用,"), Err((1, missing)));
    let wanted = Problem::Columns { found: 28, wanted: 27 };
    assert_eq!(spoiled("`茶杯,", "`茶杯,`,"), Err((3, wanted)));
    let end = text.find("总交易单数").expect("the footer");
    assert_eq!(read(&trade, &text.as_bytes()[..end]), Err((4, Problem::NoFooter)));
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
    let at = bytes.windows(7).position(|seven| seven == b",100.00").expect("the first amount");
    let spoiled = [&bytes[..=at], b"-", &bytes[at + 1..]].concat();
    assert_eq!(read(&trade, &spoiled), Err((6, Problem::Sign)));
    let half = bytes.split_inclusive(|byte| *byte == b'\n').take(8).flatten().copied();
    assert_eq!(read(&trade, &half.collect::<Vec<u8>>()), Err((8, Problem::NoFooter)));
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
    let text = String::from_utf8(bytes).expect("UTF-8");
    let more = format!("{text}261120001000000000401,,payment,1,0,CNY,succeeded,2026-11-20\n");
    assert_eq!(read(&csv, more.as_bytes()), Err((6, Problem::Behind)));
    let other = text.replacen("2026-11-20", "2026-11-19", 1);
    assert_eq!(read(&csv, other.as_bytes()), Err((2, Problem::WrongDate)));
    let other = text.replacen("HKD", "XXX", 1);
    assert_eq!(read(&csv, other.as_bytes()), Err((4, Problem::Currency)));
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
    assert_eq!(read(&pipe, &spoiled), Err((4, Problem::Count { said: 4, found: 3 })));
    assert_eq!(read(&pipe, &bytes[..at]), Err((3, Problem::NoFooter)));
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
    assert_eq!(read(&fixed, &spoiled), Err((4, Problem::Count { said: 3, found: 2 })));
    assert_eq!(read(&fixed, b""), Err((0, Problem::NoHeader)));
}

const RECORDS: &str = "channel,date,id,channel_order_no,channel_reference,movement,currency,\
    principal,fee,net,fee_rule,state,at\n\
    b,2026-11-20,1,261120001000000000101,R-1,payment,CNY,10000,60,9940,all,due,x\n\
    b,2026-11-20,2,261120001000000000201,,refund,CNY,-2500,-15,-2485,all,due,x\n\
    b,2026-11-20,3,261120001000000000301,,payment,HKD,0,0,0,all,contradicted,x\n";

#[test]
fn the_command_says_by_its_exit_code_whether_both_sides_agree() {
    let folder = std::env::temp_dir().join(format!("switchyard-command-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
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
    fs::remove_dir_all(&folder).expect("it was made");
}
