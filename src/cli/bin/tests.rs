//! The command line's answers, as a script reads them.

use serde_json::Value;

use super::*;

/// A number of a BIN with a right check digit.
fn card(bin: &str, pan_length: usize) -> String {
    let payload = format!("{bin:0<width$}", width = pan_length - 1);
    let digit = crate::domain::card::luhn_digit(&payload);
    format!("{payload}{digit}")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn named() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }
}

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: BinArgs,
}

impl Line {
    /// A line as the shell has it, with JSON.
    fn of(folder: &Folder, line: &[&str]) -> Self {
        use clap::Parser as _;
        let data = folder.0.path().to_str().expect("a path in UTF-8");
        let words = [&["bin"], line, &["--json", "--data", data]].concat();
        Self::try_parse_from(words).expect("a good line")
    }
}

/// Runs a line as the shell would; returns whether it was done, and its objects.
fn run_line(folder: &Folder, line: &[&str], input: &str) -> (bool, Vec<Value>) {
    let line = Line::of(folder, line);
    let mut output = Vec::new();
    let done = execute(&line.args, 1_700_000_000_000, input.as_bytes(), &mut output);
    let done = done.expect("no failure of the disk");
    let text = String::from_utf8(output).expect("UTF-8");
    (done, text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect())
}

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/bin/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_lookup_answers_each_line_with_a_masked_number() {
    let folder = Folder::named();
    let (icbc, rural) = (card("622302", 18), card("622302", 16));
    let wrong = format!("{}{}", &icbc[..17], if icbc.ends_with('1') { '2' } else { '1' });
    let input = format!("{icbc}\n\n{}\r\n{wrong}\n000000000000000\n", &rural);
    let (done, answers) = run_line(&folder, &["lookup"], &input);
    assert!(done);
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[0]["input"], format!("622302********{}", &icbc[14..]));
    assert_eq!(answers[0]["pan_length"], 18);
    assert_eq!(answers[0]["card_type"], "debit");
    assert_eq!(answers[0]["brand"], "unionpay");
    assert_eq!(answers[0].get("luhn"), None);
    assert_ne!(answers[0]["issuer_code"], answers[1]["issuer_code"]);
    assert_eq!(answers[1]["pan_length"], 16);
    assert_eq!(answers[2]["luhn"], false);
    assert_eq!(answers[2]["issuer_code"], answers[0]["issuer_code"]);
    assert_eq!(answers[3]["found"], false);
    assert_eq!(answers[3].get("bin"), None);
}

#[test]
fn a_prefix_is_shown_and_answers_for_each_card_length() {
    let folder = Folder::named();
    let (done, answers) = run_line(&folder, &["lookup", "622302"], "");
    assert!(done);
    let lengths: Vec<_> = answers.iter().map(|answer| answer["pan_length"].clone()).collect();
    assert_eq!(lengths, [16, 18]);
    assert!(answers.iter().all(|answer| answer["input"] == "622302"));
    let (_, answers) = run_line(&folder, &["lookup", "622302", "--length", "18"], "");
    assert_eq!(answers.len(), 1);
    let (done, answers) = run_line(&folder, &["lookup", "000000"], "");
    assert!(done && answers[0]["found"] == false);
}

#[test]
fn i_11_no_input_comes_out_whole() {
    let folder = Folder::named();
    let number = card("621626", 19);
    let spaced = format!("{} {}", &number[..6], &number[6..]);
    let long = format!("{number}{number}");
    let huge = number.repeat(100);
    let lettered = format!("{number}x");
    let input = [number.as_str(), &spaced, &long, &huge, &lettered].join("\n");
    let (done, answers) = run_line(&folder, &["lookup"], &input);
    assert!(!done, "three of them are no card numbers");
    assert_eq!(answers.len(), 5);
    for answer in &answers {
        assert!(!answer.to_string().contains(&number[..12]), "{answer}");
    }
    assert_eq!(answers[0]["found"], answers[1]["found"]);
    assert_eq!(answers[4]["problem"], "not digits");
}

#[test]
fn a_lookup_says_how_old_its_fact_is_and_what_the_issuer_was_called() {
    let folder = Folder::named();
    let answer = |number: &str| run_line(&folder, &["lookup", number], "").1[0].clone();
    let fresh = answer("62326537");
    assert_eq!(fresh["issuer_name"], "内蒙古农村商业银行");
    assert_eq!(fresh["issuer_former_names"], serde_json::json!(["内蒙古自治区农村信用联合社"]));
    assert_eq!((&fresh["as_of"], &fresh["age_days"]), (&"2020".into(), &1413.into()));
    let retired = answer("621062");
    assert_eq!((&retired["retired"], &retired["as_of"]), (&"2025-08-27".into(), &"2018-06".into()));
    assert_eq!(retired.get("issuer_former_names"), None);
    // Of a range without issuers only the brand is known, whole number or not.
    for number in ["81001234", &card("8171", 16)] {
        let bare = answer(number);
        assert_eq!((&bare["found"], &bare["brand"]), (&false.into(), &"unionpay".into()));
        assert_eq!((bare.get("issuer_name"), bare.get("as_of")), (None, None));
    }
    // Nobody has said how old a file's facts are.
    let file = fixture("unionpay-2018-06.csv");
    let (_, answers) = run_line(&folder, &["lookup", "622302", "--table", &file], "");
    assert_eq!((&answers[0]["found"], answers[0].get("as_of")), (&true.into(), None));
}

#[test]
fn changed_names_are_checked_and_taken_by_the_same_commands() {
    let folder = Folder::named();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/bin-tables/issuer-changes.csv");
    let (done, told) = run_line(&folder, &["check", shipped], "");
    assert!(done && told[0]["issuer_changes"] == 41, "{told:?}");
    let path = folder.0.path().join("changes.csv");
    let rows = std::fs::read_to_string(shipped).expect("a file")
        + "01020000,工商银行,中国工商银行,2020-02,an example,,\n";
    std::fs::write(&path, rows).expect("a file");
    let path = path.to_str().expect("a path in UTF-8");
    let (_, told) = run_line(&folder, &["refresh", path], "");
    assert_eq!(told[0]["refused"], "change_ahead", "the line's clock stands in 2023");
    let own = "issuer_code,old_name,new_name,date,source\n01020000,工商银行,中国工商银行,2020,x\n";
    std::fs::write(path, own).expect("a file");
    let (done, told) = run_line(
        &folder,
        &["refresh", path, "--force", "--reason", "a letter", "--as-of", "2018-07"],
        "",
    );
    assert!(done && told[0]["issuer_changes"] == 1 && told[0]["rows"] == 5_616, "{told:?}");
    assert_eq!(told[0]["as_of"], "2018-07");
    let (_, told) = run_line(&folder, &["check"], "");
    assert_eq!((&told[0]["issuer_changes"], &told[0]["as_of"]), (&1.into(), &"2018-07".into()));
}

#[test]
fn a_check_tells_the_bad_lines() {
    let folder = Folder::named();
    let good = fixture("unionpay-2018-06.csv");
    let (done, told) = run_line(&folder, &["check", &good], "");
    assert!(done && told[0]["ok"] == true && told[0]["rows"] == 4_849);
    let bad = folder.0.path().join("bad.csv");
    let text = "bin,pan_length,issuer_code,issuer_name,card_type\nx,19,01020000,a,debit\n";
    std::fs::write(&bad, text).expect("a file");
    let (done, told) = run_line(&folder, &["check", bad.to_str().expect("a path")], "");
    assert!(!done && told[0]["ok"] == false);
    assert_eq!(told[0]["refused"], "invalid_rows");
    assert_eq!(told[0]["faults"]["first"][0]["line"], 2);
    assert_eq!(told[0]["faults"]["first"][0]["code"], "bin_digits");
    let (done, told) = run_line(&folder, &["check"], "");
    assert!(done && told[0]["version"] == 0 && told[0]["rows"] == 5_616);
}

#[test]
fn a_difference_is_counted_and_listed_on_demand() {
    let folder = Folder::named();
    let (old, new) = (fixture("unionpay-2014-10.csv"), fixture("unionpay-2018-06.csv"));
    let (done, told) = run_line(&folder, &["diff", &old, &new], "");
    assert!(done);
    let expected = serde_json::json!({"added": 2_456, "removed": 47, "changed": 118,
        "renamed": 424, "relabelled": 15, "retired": 0,
        "issuer_changes_added": 0, "issuer_changes_removed": 0, "issuer_changes_changed": 0});
    assert_eq!(told[0], expected);
    let (_, told) = run_line(&folder, &["diff", &old, &new, "--lists"], "");
    assert_eq!(told[0]["lists"]["removed"].as_array().map(Vec::len), Some(47));
    // Against the live table, here the shipped one.
    let (_, told) = run_line(&folder, &["diff", &new], "");
    assert_eq!((&told[0]["added"], &told[0]["removed"]), (&767.into(), &0.into()));
}

#[test]
fn a_refresh_is_refused_forced_and_rolled_back() {
    let folder = Folder::named();
    let source = fixture("unionpay-2018-06.csv");
    let (done, told) = run_line(&folder, &["refresh", &source], "");
    assert!(!done && told[0]["refused"] == "too_many_removed");
    let forced = ["refresh", &source, "--force", "--who", "me", "--reason", "banks have left"];
    let (done, told) = run_line(&folder, &forced, "");
    assert!(done && told[0]["version"] == 1 && told[0]["forced"] == true);
    assert_eq!(told[0]["counts"]["removed"], 767);
    let (_, told) = run_line(&folder, &["versions"], "");
    assert_eq!((&told[0]["by"], &told[0]["live"]), (&"me".into(), &true.into()));
    assert_eq!(told[0]["reason"], "banks have left");
    let back = ["rollback", "--reason", "too early"];
    let (done, told) = run_line(&folder, &back, "");
    assert!(done && told[0]["version"] == 0 && told[0]["rows"] == 5_616);
    let (_, told) = run_line(&folder, &["versions"], "");
    assert_eq!((told.len(), &told[1]["reason"]), (2, &"too early".into()));
    let (done, told) = run_line(&folder, &back, "");
    assert!(!done && told[0]["refused"] == "nothing_earlier");
    // Nobody overrules or goes back without saying why.
    for line in [&["bin", "refresh", "x.csv", "--force"][..], &["bin", "rollback"]] {
        use clap::Parser as _;
        let refused = Line::try_parse_from(line).expect_err("there is no reason");
        assert_eq!(refused.kind(), clap::error::ErrorKind::MissingRequiredArgument, "{line:?}");
    }
}

#[test]
fn a_folder_that_is_a_copy_of_what_nodes_share_is_not_changed_alone() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    live.run_published(&[], &[]).expect("a copy of nothing");
    let source = fixture("unionpay-2018-06.csv");
    for line in [
        &["refresh", &source, "--force", "--reason", "a drill"][..],
        &["rollback", "0", "--reason", "a drill"],
    ] {
        let line = Line::of(&folder, line);
        let refused = execute(&line.args, 0, io::empty(), &mut Vec::new());
        let told = format!("{:#}", refused.expect_err("it is a copy"));
        assert!(told.contains("cannot change the table below"), "{told}");
        assert!(told.contains("of a store which nodes share"), "{told}");
    }
    let (done, told) = run_line(&folder, &["versions"], "");
    assert!(done && told.is_empty(), "{told:?}");
}

/// An output whose reader has gone away.
struct ClosedPipe;

impl Write for ClosedPipe {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_is_an_error_of_that_kind_and_no_panic() {
    for as_json in [false, true] {
        let args = BinArgs {
            command: BinCommand::Lookup { numbers: vec!["622302".to_owned()], length: None },
            json: as_json,
            data: PathBuf::from("never-made"),
            table: None,
        };
        let failed = execute(&args, 0, io::empty(), &mut ClosedPipe).expect_err("a closed pipe");
        let kind = failed.downcast_ref::<io::Error>().map(io::Error::kind);
        assert_eq!(kind, Some(io::ErrorKind::BrokenPipe));
    }
}

#[test]
fn the_rows_between_two_versions_are_told_with_both_sides() {
    let folder = Folder::named();
    let old = fixture("unionpay-2014-10.csv");
    let new = fixture("unionpay-2018-06.csv");
    for source in [&old, &new] {
        let (done, told) =
            run_line(&folder, &["refresh", source, "--force", "--reason", "a drill"], "");
        assert!(done, "{told:?}");
    }
    let (done, told) = run_line(&folder, &["changes", "--from", "1"], "");
    assert!(done);
    assert_eq!((&told[0]["from"], &told[0]["to"]), (&Value::from(1), &Value::from(2)));
    let rows = told[0]["changes"].as_array().expect("rows");
    let of_kind = |kind: &str| {
        let has =
            |row: &&Value| row["kinds"].as_array().is_some_and(|all| all.contains(&kind.into()));
        rows.iter().filter(has).count()
    };
    for kind in ["added", "removed", "changed", "renamed", "relabelled"] {
        assert_eq!(told[0]["counts"][kind], of_kind(kind), "{kind}");
    }
    assert_eq!(told[0]["issuer_changes"], Value::Array(Vec::new()));
    let same = run_line(&folder, &["changes", "--from", "2", "--to", "2"], "").1;
    assert_eq!(same[0]["changes"], Value::Array(Vec::new()));
    let (done, refused) = run_line(&folder, &["changes", "--from", "7"], "");
    assert!(!done);
    assert_eq!(refused[0]["refused"], "unknown_version");
}
