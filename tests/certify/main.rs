//! The flight check of channel files: every shipped file passes, and a file that is broken fails on
//! the case that shows it.

mod doctor;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchyard::certify::{self, CertifyReport};
use switchyard::clock::Clock;
use switchyard::domain::time::Timestamp;
use switchyard::simulator::{Simulator, SimulatorSettings};

fn shipped(id: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("channels").join(format!("{id}.toml"))
}

fn certify(path: &Path) -> CertifyReport {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let now = Timestamp::from_millis(1_795_334_400_000);
    runtime.expect("a runtime").block_on(certify::certify(path, now)).expect("a right file")
}

fn complaints(report: &CertifyReport) -> Vec<String> {
    let failed = report.cases.iter().filter(|case| !case.is_passed());
    failed.map(|case| format!("{}, {}: {:?}", case.group, case.name, case.wrong)).collect()
}

#[test]
fn every_shipped_file_passes() {
    for id in ["harbour-bank", "meadow-bank", "canyon-pay", "quarry-bank"] {
        let report = certify(&shipped(id));
        assert_eq!(complaints(&report), Vec::<String>::new(), "{id}");
        assert!(report.cases.len() > 20, "{id}: {}", report.cases.len());
        println!("{id}: {} cases, left out {:#?}", report.cases.len(), report.left_out);
    }
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
