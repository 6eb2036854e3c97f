//! The first of the two commands that a newcomer runs, whole: it must end well and say so.

use std::process::Command;

/// Enough for every kind of fault to happen, few enough for a test.
const ORDERS: u64 = 150;
const SEED: &str = "20261122";

#[test]
fn the_demo_ends_with_nothing_owed_and_no_difference() {
    let run = Command::new(env!("CARGO_BIN_EXE_switchyard"))
        .args(["demo", "--json", "--orders", &ORDERS.to_string(), "--seed", SEED])
        .output()
        .expect("the program starts");
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "seed {SEED}: {:?}\n{out}{err}", run.status);
    let last = out.lines().last().unwrap_or_default();
    let told: serde_json::Value = serde_json::from_str(last).expect("the last line is JSON");
    let count = |key: &str| told[key].as_u64().unwrap_or_else(|| panic!("{key} in {told}"));
    assert_eq!(count("orders"), ORDERS, "{told}");
    assert_eq!(count("succeeded") + count("failed") + count("reversed"), ORDERS, "{told}");
    assert_eq!(count("unknown_open"), 0, "I-3: {told}");
    assert_eq!(count("ledger_differences"), 0, "I-10: {told}");
    assert!(count("succeeded") > 0 && count("ever_unknown") > 0, "a bad day shows: {told}");
    assert!(count("accounting_acknowledged") >= count("succeeded"), "I-7: {told}");
    assert!(count("clearing_records") >= count("succeeded"), "I-7: {told}");
    assert!(count("notices_acknowledged") >= ORDERS, "each end is told, a release too: {told}");
    assert!(told["elapsed_ms"].is_u64(), "{told}");
    assert!(count("refunded") > 0 && count("voided") > 0 && count("captured") > 0, "{told}");
}
