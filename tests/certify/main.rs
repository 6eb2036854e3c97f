//! The flight check of channel files: every shipped file passes, and a file that is broken fails on
//! the case that shows it.

mod doctor;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use switchyard::certify::{self, CertifyReport};
use switchyard::clock::Clock;
use switchyard::config::raw::Document;
use switchyard::domain::time::Timestamp;
use switchyard::simulator::{Counterpart, KeyTexts, Simulator, SimulatorSettings};

fn shipped(id: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("channels").join(format!("{id}.toml"))
}

fn certify(path: &Path) -> CertifyReport {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let now = Timestamp::from_millis(1_795_334_400_000);
    runtime.expect("a runtime").block_on(certify::certify(path, now)).expect("a right file")
}

/// The report of the shipped UnionPay file, which has the most cases.
fn of_unionpay() -> &'static CertifyReport {
    static REPORT: OnceLock<CertifyReport> = OnceLock::new();
    REPORT.get_or_init(|| certify(&shipped("unionpay")))
}

fn complaints(report: &CertifyReport) -> Vec<String> {
    let failed = report.cases.iter().filter(|case| !case.is_passed());
    failed.map(|case| format!("{}, {}: {:?}", case.group, case.name, case.wrong)).collect()
}

#[test]
fn every_shipped_file_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("channels");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the shipped files") {
        let path = entry.expect("an entry").path();
        let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        files += 1;
        let own;
        let report = match id {
            "unionpay" => of_unionpay(),
            _ => {
                own = certify(&path);
                &own
            }
        };
        assert_eq!(complaints(report), Vec::<String>::new(), "{id}");
        assert!(report.cases.len() > 15, "{id}: {}", report.cases.len());
        println!("{id}: {} cases, left out {:#?}", report.cases.len(), report.left_out);
    }
    assert_eq!(files, 11, "every shipped file");
}

/// The names of the statement cases, with the classes that the reconciliation found.
fn statement_cases(report: &CertifyReport) -> Vec<(String, String)> {
    let of_it = report.cases.iter().filter(|case| case.group == "statement");
    let heard = |case: &certify::CaseReport| {
        let json = case.json();
        let last = json["exchanges"].as_array().and_then(|all| all.last()).cloned();
        last.unwrap_or_default()["heard"].as_str().unwrap_or_default().to_owned()
    };
    of_it.map(|case| (case.name.clone(), heard(case))).collect()
}

#[test]
fn a_statements_differences_are_found_one_by_one() {
    // With a fee, a tolerance, a status and a currency, packed or bare, with each kind of totals.
    let cases = statement_cases(&certify(&shipped("quarry-bank")));
    let found = |name: &str| {
        let case = cases.iter().find(|(one, _)| one == name);
        case.unwrap_or_else(|| panic!("{name} is not played")).1.as_str()
    };
    assert_eq!(found("exact match"), "4 matched");
    for (name, class) in [
        ("a missing line", "3 matched, 1 only_ours"),
        ("a line about an order that is not ours", "4 matched, 1 only_theirs"),
        ("an amount of one unit more", "3 matched, 1 amount_over"),
        ("an amount of one unit less", "3 matched, 1 amount_short"),
        ("a fee beyond the tolerance", "3 matched, 1 fee_differs"),
        ("a line that stands twice", "4 matched, 1 duplicate_theirs"),
        ("a line that says that it failed", "3 matched, 1 status_differs"),
        ("a line in another currency", "3 matched, 1 currency_differs"),
        ("a line that comes a day late", "1 matched_late"),
        ("a line that cannot be read", "3 matched, 1 only_ours, 1 bad_line"),
    ] {
        assert_eq!(found(name), class, "{name}");
    }
    for name in [
        "totals that are not those of the lines",
        "a file that ends before its totals",
        "another day's file",
    ] {
        assert!(found(name).starts_with("the statement is refused"), "{name}: {}", found(name));
    }
    // Totals that stand in a summary beside the file, and lines without a number of ours.
    let unionpay = statement_cases(of_unionpay());
    assert!(unionpay.iter().any(|(_, heard)| heard.contains("settlement_total_differs")));
    let lakeside = statement_cases(&certify(&shipped("lakeside-acquirer")));
    assert!(lakeside.iter().any(|(_, heard)| heard == "4 matched_weak"), "{lakeside:?}");
}

/// What the file tolerates is told apart from what it does not.
#[test]
fn a_fee_within_the_files_tolerance_agrees() {
    let report = broken(
        "quarry-bank",
        "layout = \"generic-fixed\"",
        "layout = \"generic-fixed\"\nfee_tolerance_minor = 1\ncarry_days = 0",
    );
    assert_eq!(complaints(&report), Vec::<String>::new());
    let cases = statement_cases(&report);
    let tolerated = cases.iter().find(|(name, _)| name == "a fee within the tolerance");
    assert_eq!(tolerated.map(|(_, heard)| heard.as_str()), Some("4 matched"));
}

/// A shipped file and its samples in a folder of their own, with one thing in the file changed.
fn broken(id: &str, from: &str, to: &str) -> CertifyReport {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path();
    std::fs::create_dir_all(folder.join("samples")).expect("a folder");
    let text = std::fs::read_to_string(shipped(id)).expect("a file");
    assert!(text.contains(from), "{from}");
    let file = folder.join(format!("{id}.toml"));
    std::fs::write(&file, text.replacen(from, to, 1)).expect("a file");
    let samples = shipped(id).with_file_name("samples").join(format!("{id}.toml"));
    std::fs::copy(samples, folder.join("samples").join(format!("{id}.toml"))).expect("a copy");
    certify(&file)
}

#[test]
fn a_broken_file_fails_on_the_case_that_shows_it() {
    let rows = [
        // A code that means another thing.
        (
            "\"1051\" = \"declined insufficient_funds\"",
            "\"1051\" = \"approved\"",
            "an inquiry about",
        ),
        // The signature's parts in another order.
        ("{{ timestamp }}\\n{{ body }}", "{{ body }}\\n{{ timestamp }}", "the number alone"),
        // A state that is taken for another.
        ("FAILED = \"declined\"", "FAILED = \"reversed\"", "an inquiry about a payment"),
    ];
    for (from, to, case) in rows {
        let report = broken("harbour-bank", from, to);
        assert!(!report.is_passed(), "{to}");
        let failed: Vec<String> = complaints(&report);
        assert!(failed.iter().any(|one| one.contains(case)), "{to}: {failed:#?}");
    }
}

#[test]
fn a_report_shows_what_was_exchanged_and_no_card() {
    let report = certify(&shipped("meadow-bank"));
    let (json, markdown) = (report.json().to_string(), report.markdown());
    for text in [&json, &markdown] {
        assert!(!text.contains("4111111111111111"), "a card number is shown");
        assert!(text.contains("411111"), "the card is there, masked");
    }
    assert!(markdown.starts_with("# Flight check of channel `meadow-bank`: PASS\n"));
    let case = report.cases.iter().find(|case| case.name.starts_with("approved"));
    let case = case.expect("an approved payment").json();
    let exchange = &case["exchanges"][0];
    assert_eq!(exchange["sent"]["signed_sha256"].as_str().map(str::len), Some(64));
    assert_eq!(exchange["heard"], "approved");
    assert_eq!(case["books"]["transactions"], 1);
    // A plain digest has the key in its text.
    let text = exchange["sent"]["signed_text"].as_str().expect("a text");
    assert!(text.ends_with("***"), "{text}");
}

#[test]
fn a_file_that_is_none_is_told_with_its_place() {
    let scratch = tempfile::tempdir().expect("a folder");
    let file = scratch.path().join("bank.toml");
    std::fs::write(&file, "protocol = \"http\"\nnonsense = 1\n").expect("a file");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let now = Timestamp::from_millis(1_795_334_400_000);
    let found = runtime.expect("a runtime").block_on(certify::certify(&file, now));
    let found = found.expect_err("mistakes");
    assert!(found.iter().any(|one| one.key == "nonsense"), "{found:?}");
}

/// The names of a group's cases.
fn names(report: &CertifyReport, group: &str) -> Vec<String> {
    let of_it = report.cases.iter().filter(|case| case.group == group);
    of_it.map(|case| case.name.clone()).collect()
}

#[test]
fn each_code_of_a_unionpay_file_has_its_cases() {
    let report = of_unionpay();
    for group in ["payment", "preauth", "payout", "capture", "refund", "void", "undo"] {
        let names = names(report, group);
        // In the reply, and at the end as an inquiry tells it.
        for code in ["00", "05", "12", "34", "64", "A6", "99"] {
            let said = |front: &str| {
                let word = format!("`{code}`");
                names.iter().any(|name| name.starts_with(front) && name.ends_with(&word))
            };
            let words = ["approved", "declined", "pending", "unclear", "not found"];
            assert!(words.into_iter().any(said), "{group}: no reply says {code}");
            assert!(said("an inquiry says"), "{group}: no inquiry says {code}");
        }
        for way in ["time-out before", "time-out after", "HTTP 503", "a notice that comes twice"] {
            assert!(names.iter().any(|name| name.starts_with(way)), "{group}: {way}");
        }
        assert!(names.iter().any(|name| name.contains("wrong signature")), "{group}: {names:?}");
    }
    let reversals = ["payment", "preauth"].map(|group| names(report, group));
    for names in reversals {
        assert!(names.iter().any(|name| name == "a reversal whose answer is lost"));
        let already = "a reversal is answered approved: code `46`";
        assert!(names.iter().any(|name| name == already), "{names:?}");
    }
    assert!(report.left_out.iter().any(|one| one.group == "refund"), "no refund is reversed");
}

#[test]
fn the_links_of_a_file_are_opened_and_lose_their_answers() {
    let report = certify(&shipped("lakeside-acquirer"));
    assert_eq!(names(&report, "link"), ["sign-on", "sign-on", "line test"], "two terminals");
    for group in ["payment", "refund", "void", "preauth", "capture"] {
        let names = names(&report, group);
        for way in ["an unknown ended by a late answer", "approved: code `00`", "time-out after"] {
            assert!(names.iter().any(|name| name.starts_with(way)), "{group}: {way}");
        }
        assert!(names.iter().any(|name| name.contains("wrong MAC")), "{group}: {names:?}");
        let of_it = report.left_out.iter().filter(|one| one.group == group);
        let why: Vec<&str> = of_it.map(|one| one.why.as_str()).collect();
        assert!(why.contains(&"the file has no inquiry about it"), "{group}: {why:?}");
    }
    let payment = names(&report, "payment");
    assert!(payment.iter().any(|name| name == "a reversal is answered not found: code `25`"));
}

/// An answer to a reversal outlives its call on a link, and counts for what it is.
#[test]
fn reversals_of_links_are_answered_late() {
    let report = certify(&shipped("lakeside-acquirer"));
    for group in ["payment", "void", "preauth", "capture"] {
        let status = |name: &str| books(&report, group, name).0;
        for yes in ["approved: code `00`", "when an operator has the order"] {
            assert_eq!(status(&format!("a reversal is answered late, {yes}")), "reversed", "{yes}");
        }
        // None of these proves that anything was taken back: a later reversal does, or nobody.
        assert_eq!(status("a reversal is answered late with a wrong MAC"), "reversed", "{group}");
        let not_found = status("a reversal is answered late, not found: code `25`");
        assert_eq!(not_found, "failed", "{group}");
        let late = names(&report, group);
        let late = late.iter().filter(|name| name.starts_with("a reversal is answered late, "));
        let in_time = names(&report, group);
        let in_time = in_time.iter().filter(|name| name.starts_with("a reversal is answered "));
        let in_time = in_time.filter(|name| !name.starts_with("a reversal is answered late"));
        assert_eq!(late.count(), in_time.count() + 1, "{group}: each word, and one at the end");
    }
}

/// What the books say at the end of a case, and what its report notes.
fn books(report: &CertifyReport, group: &str, name: &str) -> (String, Vec<String>) {
    let is_it = |case: &&certify::CaseReport| case.group == group && case.name == name;
    let case = report.cases.iter().find(is_it).unwrap_or_else(|| panic!("{group}: no {name}"));
    let status = case.json()["books"]["status"].as_str().unwrap_or_default().to_owned();
    (status, case.notes.clone())
}

#[test]
fn a_verification_and_the_code_of_a_payment_have_their_cases() {
    let harbour = certify(&shipped("harbour-bank"));
    let token = certify(&shipped("unionpay-token"));
    let rows = [
        (&harbour, "verification", "1066", "`1005`"),
        (of_unionpay(), "verification", "66", "`64`"),
        (&harbour, "payment_code", "1066", "`1005`"),
        (of_unionpay(), "payment_code", "66", "`64`"),
        (&token, "payment_code", "66", "`64`"),
    ];
    for (report, group, _, refused) in rows {
        let names = names(report, group);
        let ways = ["approved: ", "time-out before", "time-out after", "HTTP 503", "a code that"];
        for way in ways {
            assert!(names.iter().any(|name| name.starts_with(way)), "{group}: {way}");
        }
        assert!(names.iter().any(|name| name.contains("wrong signature")), "{group}: {names:?}");
        assert!(names.iter().any(|name| name.contains(refused)), "{group}: {refused}");
        assert!(!report.left_out.iter().any(|one| one.group == group && one.name == "every case"));
    }
    for (report, group, other, _) in &rows[..2] {
        let verdict = |name: &str| books(report, group, name).0;
        assert_eq!(verdict(&format!("declined (identity_mismatch): code `{other}`")), "differs");
        assert_eq!(verdict("time-out after the channel acted"), "unknown");
        assert_eq!(verdict("a code that no table lists"), "unknown");
    }
    // Whatever was said of the code, its payment comes; where it was refused, by another one.
    for (report, group, _, _) in &rows[2..] {
        for name in names(report, group) {
            let (status, notes) = books(report, group, &name);
            assert_eq!(status, "succeeded", "{name}");
            let is_refused = name.starts_with("declined");
            assert_eq!(
                notes.iter().any(|note| note.contains("another code")),
                is_refused,
                "{name}"
            );
        }
    }
    for name in ["approved: code `0000`, by agreement", "approved: code `0000`"] {
        assert_eq!(books(&harbour, "payment_code", name).0, "succeeded", "{name}");
    }
}

/// Whatever can be said to a payment by card is said to one by agreement too.
#[test]
fn payments_by_agreement_have_the_cases_of_payments_by_card() {
    let report = certify(&shipped("harbour-bank"));
    for group in ["payment", "preauth"] {
        let by_agreement = names(&report, &format!("{group} by agreement"));
        let is_of_request = |name: &&String| {
            let other = ["an inquiry", "a reversal", "a stranger", "a notice"];
            !other.iter().any(|front| name.starts_with(front))
        };
        for name in names(&report, group).iter().filter(is_of_request) {
            assert!(by_agreement.contains(name), "{group}: {name}");
        }
        for way in ["an inquiry says approved", "a reversal whose answer is lost"] {
            assert!(by_agreement.iter().any(|name| name.starts_with(way)), "{group}: {way}");
        }
    }
    let approved = |case: &&certify::CaseReport| {
        case.group == "payment by agreement" && case.name.starts_with("approved")
    };
    let case = report.cases.iter().find(approved).expect("an approved one").json();
    let sent = case["exchanges"][0]["sent"]["body"].as_str().expect("a body");
    assert!(sent.contains("agreementNo") && !sent.contains("number"), "no card: {sent}");
}

#[test]
fn the_steps_of_an_agreement_have_their_cases() {
    let rows = [("harbour-bank", "1071"), ("unionpay-token", "71")];
    for (id, wrong_code) in rows {
        let report = certify(&shipped(id));
        for step in ["agreement_code", "agreement_confirmation", "agreement_end"] {
            let names = names(&report, step);
            for way in ["approved: ", "time-out before", "time-out after", "HTTP 503"] {
                assert!(names.iter().any(|name| name.starts_with(way)), "{id} {step}: {way}");
            }
            assert!(names.iter().any(|name| name.contains("wrong signature")), "{id} {step}");
        }
        let inquiries = names(&report, "agreement_inquiry");
        assert!(inquiries.iter().any(|name| name.contains("says not found")), "{inquiries:?}");
        // What the row is at the end, and what the cardholder can do.
        let books = |group: &str, name: &str| books(&report, group, name);
        let wrong = format!("declined (wrong_sms_code): code `{wrong_code}`");
        let again = vec!["the code can be given again".to_owned()];
        assert_eq!(books("agreement_confirmation", &wrong), ("active".into(), again), "{id}");
        let lost = books("agreement_confirmation", "time-out after the channel acted");
        assert_eq!(lost.0, "active", "{id}");
        let never = books("agreement_confirmation", "time-out before the channel acted");
        assert_eq!(never.0, "failed", "{id}");
        let unbound = books("agreement_end", "time-out after the channel acted");
        assert_eq!(unbound.0, "ended", "{id}");
        let paid = books("agreement", "a card is bound, pays and is unbound");
        assert_eq!(paid.0, "succeeded", "{id}");
        let shown = report.json().to_string();
        assert!(!shown.contains(r#"smsCode\":\"123456"#), "{id}: a code is shown");
        assert!(!shown.contains("smsCode=123456"), "{id}: a code is shown");
    }
}

#[test]
fn messages_of_every_protocol_are_shown_without_their_card() {
    let lakeside = certify(&shipped("lakeside-acquirer"));
    let rows = [("unionpay", of_unionpay(), "txnTime="), ("links", &lakeside, "\n14: ***\n")];
    for (id, report, text) in rows {
        for shown in [report.json().to_string(), report.markdown()] {
            assert!(!shown.contains("4111111111111111"), "{id}: a card number is shown");
            assert!(shown.contains("411111******1111"), "{id}: the card is there, masked");
        }
        assert!(report.markdown().contains(text), "{id}: {text}");
    }
    let approved = |case: &&certify::CaseReport| case.name == "pending: code `00`";
    let case = of_unionpay().cases.iter().find(approved).expect("an accepted payment").json();
    let sent = &case["exchanges"][0]["sent"];
    assert_eq!(sent["signed_sha256"].as_str().map(str::len), Some(64));
    let text = sent["signed_text"].as_str().expect("a text");
    assert!(text.contains("&customerInfo=***&"), "{text}");
}

/// The simulated platform proves and reads what the adapter writes: a request that it would not
/// take fails, whatever it would be answered.
#[test]
fn a_request_that_the_platform_refuses_fails() {
    let report = broken("unionpay", "payout_biz_type = \"000401\"", "payout_biz_type = \"000402\"");
    let failed: Vec<&certify::CaseReport> =
        report.cases.iter().filter(|case| !case.is_passed()).collect();
    // Its golden sample has the right product.
    let of_it = |case: &&certify::CaseReport| ["payout", "golden samples"].contains(&&*case.group);
    assert!(failed.iter().all(of_it), "{:?}", complaints(&report));
    let refused = |wrong: &String| wrong.contains("refuses our request itself: 32");
    assert!(failed.iter().any(|case| case.wrong.iter().any(refused)), "{:?}", complaints(&report));
}

/// UnionPay's simulated platform as a test host, with the file's credentials in files.
#[test]
fn a_unionpay_host_is_asked_too() {
    let scratch = tempfile::tempdir().expect("a folder");
    let file = scratch.path().join("unionpay.toml");
    let text = std::fs::read_to_string(shipped("unionpay")).expect("a file");
    std::fs::write(&file, &text).expect("a file");
    let document = Document::parse("unionpay.toml", &text).expect("TOML");
    let other = Counterpart::read(&document, "unionpay", &mut KeyTexts::new()).expect("a side");
    std::fs::create_dir(scratch.path().join("keys")).expect("a folder");
    for credential in &other.credentials {
        let name = credential.reference.strip_prefix("file:").expect("a file");
        std::fs::write(scratch.path().join(name), credential.text.as_str()).expect("a file");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let report = runtime.expect("a runtime").block_on(async {
        let settings =
            other.settings("unionpay", Arc::new(|| Clock::System.now())).with_declines_percent(0);
        let host = Simulator::start(settings).await.expect("a simulator");
        let report = certify::certify_at(&file, &host.base_url()).await.expect("a right file");
        host.stop().await;
        report
    });
    let groups: Vec<&str> = report.cases.iter().map(|case| case.group.as_str()).collect();
    for group in ["payment", "preauth", "inquiry"] {
        assert!(groups.contains(&group), "{group}: {groups:?}");
    }
    // The sample card has a telephone number that is none, which the platform sees.
    let declined = |case: &certify::CaseReport| {
        case.notes.iter().any(|note| note == "the host has declined it: identity_mismatch")
    };
    assert!(report.cases.iter().any(declined), "{:?}", complaints(&report));
    assert_eq!(complaints(&report), Vec::<String>::new());
}

#[test]
fn links_are_not_tried_at_a_host() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let file = shipped("lakeside-acquirer");
    let tried = certify::certify_at(&file, "http://127.0.0.1:9");
    let found = runtime.expect("a runtime").block_on(tried).expect_err("a mistake");
    assert!(found[0].to_string().contains("its links cannot be tried at a host"), "{found:?}");
}

/// At a host: a simulated bank that the file did not make.
fn at_host(from: &str, to: &str) -> CertifyReport {
    let scratch = tempfile::tempdir().expect("a folder");
    let file = scratch.path().join("harbour-bank.toml");
    let text = std::fs::read_to_string(shipped("harbour-bank")).expect("a file");
    assert!(text.contains(from), "{from}");
    let text = text.replacen(from, to, 1).replace("env:HARBOUR_BANK_KEY", "file:key");
    std::fs::write(&file, text).expect("a file");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let settings =
            SimulatorSettings::harbour_bank("harbour-bank", Arc::new(|| Clock::System.now()))
                .with_declines_percent(0)
                .with_merchant_id("M00012345");
        let bank = Simulator::start(settings).await.expect("a simulator");
        let key = bank.harbour_key().expect("its key").to_owned();
        std::fs::write(scratch.path().join("key"), key).expect("a file");
        let report = certify::certify_at(&file, &bank.base_url()).await.expect("a right file");
        bank.stop().await;
        report
    })
}

#[test]
fn a_host_is_asked_for_what_needs_no_control_of_it() {
    let report = at_host("protocol", "protocol");
    assert_eq!(complaints(&report), Vec::<String>::new());
    let groups: Vec<&str> = report.cases.iter().map(|case| case.group.as_str()).collect();
    for group in ["payment", "refund", "void", "preauth", "capture", "inquiry"] {
        assert!(groups.contains(&group), "{group}: {groups:?}");
    }
    assert!(report.left_out.iter().any(|one| one.name.contains("wrong signature")));
    let text = report.markdown();
    assert!(!text.contains("4111111111111111"), "a card number is shown");
}

#[test]
fn a_host_shows_what_a_file_misreads() {
    let rows = [
        ("{{ timestamp }}\\n{{ body }}", "{{ body }}\\n{{ timestamp }}", "payment", ""),
        (
            "SUCCESS = \"approved\", FAILED = \"declined\"",
            "SUCCESS = \"declined\", FAILED = \
          \"approved\"",
            "payment",
            "an inquiry about the order, which is succeeded, tells",
        ),
    ];
    for (from, to, group, why) in rows {
        let report = at_host(from, to);
        let failed = report.cases.iter().find(|case| !case.is_passed());
        let failed = failed.unwrap_or_else(|| panic!("{to} passes"));
        assert_eq!(failed.group, group, "{to}");
        assert!(failed.wrong.iter().any(|one| one.contains(why)), "{to}: {:?}", failed.wrong);
    }
}
