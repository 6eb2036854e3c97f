//! The manual names what the code has: every metric, and every reason and doubt of readiness.

use std::collections::BTreeSet;

use super::{files, read};

#[test]
fn every_metric_is_in_the_manual_and_no_other() {
    let manual = read("docs/METRICS.md");
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `switchyard_"));
    let told: BTreeSet<String> =
        rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect();
    let mut used = BTreeSet::new();
    for path in files("src").iter().filter(|path| path.ends_with(".rs")) {
        for part in read(path).split("\"switchyard_").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                used.insert(name.to_owned());
            }
        }
    }
    assert_eq!(told, used, "docs/METRICS.md names the metrics that are set");
}

#[test]
fn every_reason_and_doubt_of_readiness_is_in_the_manual_and_no_other() {
    let manual = read("docs/OPERATIONS.md");
    let rows =
        manual.lines().filter(|line| line.contains(" | reason | ") || line.contains(" | doubt | "));
    let told: BTreeSet<String> =
        rows.filter_map(|row| row.split('`').nth(1)).map(str::to_owned).collect();
    let (bars, doubts) = (read("src/api/operations.rs"), read("src/clock/timekeeper.rs"));
    let bars = bars.lines().filter_map(|line| line.trim().strip_suffix("\"),")?.rsplit('"').next());
    let doubts =
        doubts.lines().filter_map(|line| line.split_once("=> \"clock_")?.1.strip_suffix("\","));
    let doubts = doubts.map(|word| format!("clock_{word}"));
    let used: BTreeSet<String> = bars.map(str::to_owned).chain(doubts).collect();
    assert!(used.len() > 6, "{used:?}");
    assert_eq!(told, used, "docs/OPERATIONS.md says why it is not ready, or doubts its clock");
}
