//! Refresh, refusal, rollback, restart, and versions that are damaged on the disk.

use super::*;
use crate::domain::bin::StatedDate;

const NOON: Occasion<'static> = Occasion {
    who: "an operator",
    reason: Some("the bank's new ranges"),
    now_ms: 1_700_000_000_000,
};

fn small() -> RefreshOptions {
    RefreshOptions { min_rows: 1, max_removed_percent: 100, ..RefreshOptions::default() }
}

/// A table of one row whose issuer code tells which it is.
fn table_named(issuer_code: &str) -> String {
    csv_of(&[("621626", 19, issuer_code)])
}

fn take(live: &LiveBinTable, issuer_code: &str) -> RefreshReport {
    let text = table_named(issuer_code);
    live.refresh(text.as_bytes(), "table.csv", NOON, &small()).expect("a good table")
}

/// The issuer code of the one row that the small tables have.
fn live_code(live: &LiveBinTable) -> Option<String> {
    live.lookup(b"6216260000000000000").map(|row| row.issuer_code.clone())
}

fn restarted_code(folder: &Folder) -> Option<String> {
    live_code(&LiveBinTable::load(folder.0.path()).expect("a table"))
}

#[test]
fn a_fresh_folder_has_the_shipped_table_and_stays_empty() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    let current = live.current();
    assert_eq!((current.version, current.table.len()), (SHIPPED_VERSION, 5_616));
    assert_eq!(current.source, SHIPPED_SOURCE);
    assert!(!live.reload_if_newer().expect("nothing to reload"));
    assert!(live.versions().expect("no history").is_empty());
    assert_eq!(std::fs::read_dir(folder.0.path()).expect("the folder").count(), 0);
}

#[test]
fn the_snapshots_refresh_as_their_source_says_and_survive_a_restart() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    let force = RefreshOptions { force: true, ..RefreshOptions::default() };
    let old = fixture("unionpay-2014-10.csv");
    let first = live.refresh(&old, "old.csv", NOON, &force).expect("forced");
    assert_eq!((first.version, first.rows, first.forced), (1, 2_440, true));
    let new = fixture("unionpay-2018-06.csv");
    let secret = "https://user:pass@example.com/new.csv?token=1";
    let report = live.refresh(&new, secret, NOON, &RefreshOptions::default()).expect("good");
    let counts = report.counts;
    assert_eq!((counts.added, counts.removed), (2_456, 47));
    assert_eq!((counts.changed, counts.renamed), (118, 424));
    assert_eq!((report.version, report.previous_version, report.forced), (2, 1, false));

    let again = LiveBinTable::load(folder.0.path()).expect("a table").current();
    assert_eq!((again.version, again.table.len()), (2, 4_849));
    assert_eq!(again.sha256, report.sha256);
    assert_eq!(again.source, "https://example.com/new.csv");
    assert_eq!(again.since_ms, Some(NOON.now_ms));
    assert_eq!(again.by.as_deref(), Some(NOON.who));
    assert_eq!(again.table.rows(), live.current().table.rows());
}

/// A list of changes of issuers' names.
fn changes_of(rows: &[(&str, &str, &str, &str)]) -> String {
    let mut text = String::from("issuer_code,old_name,new_name,date,source,note\n");
    for (code, old, new, date) in rows {
        text.push_str(&format!("{code},{old},{new},{date},a gazette,\n"));
    }
    text
}

fn live_name(live: &LiveBinTable) -> Option<String> {
    live.lookup(b"6216260000000000000").map(|row| row.issuer_name.clone())
}

#[test]
fn names_change_apart_from_the_table_and_go_back_with_it() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    let force = RefreshOptions { force: true, ..small() };
    let refresh = |text: &str, options: &RefreshOptions| {
        live.refresh(text.as_bytes(), "source.csv", NOON, options)
    };
    let table = refresh(&table_named("01020000"), &force).expect("a table");
    assert_eq!((table.rows, table.issuer_changes), (1, 41), "the changes stay as they were");
    assert_eq!(table.as_of.0.to_string(), "2023-11-14", "the day of the refresh");
    let told = changes_of(&[("01020000", "银行", "新银行", "2023-05")]);
    let refused = refresh(&told, &RefreshOptions { max_removed_percent: 10, ..small() });
    assert_eq!(refused.expect_err("41 are gone").code(), "too_many_changes_removed");
    let report = refresh(&told, &force).expect("forced");
    assert_eq!((report.version, report.rows, report.issuer_changes), (2, 1, 1));
    let counts = report.counts;
    assert_eq!((counts.renamed, counts.changed, counts.removed), (1, 0, 0));
    assert_eq!((counts.issuer_changes_added, counts.issuer_changes_removed), (1, 41));
    assert_eq!(live_name(&live).as_deref(), Some("新银行"));
    assert!(refresh(&told, &small()).expect("the same").unchanged);
    // A later table keeps them, and a restart has both.
    let later = refresh(&table_named("01020000").replace("卡", "card"), &small());
    assert_eq!(later.expect("a table").issuer_changes, 1);
    let again = LiveBinTable::load(folder.0.path()).expect("a table");
    assert_eq!(live_name(&again).as_deref(), Some("新银行"));
    assert_eq!(again.current().table.issuers(), live.current().table.issuers());
    live.rollback(RollbackTarget::Version(1), NOON).expect("kept");
    assert_eq!(live_name(&live).as_deref(), Some("银行"));
    assert_eq!(live.current().table.issuers().all().len(), 41);
}

#[test]
fn a_change_of_a_name_is_not_taken_before_its_day() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    let force = RefreshOptions { force: true, ..small() };
    for (date, ahead) in [("2023-11-15", true), ("2023-12", true), ("2023-11-14", false)] {
        let told = changes_of(&[("01020000", "工商银行", "新银行", date)]);
        let code = live.refresh(told.as_bytes(), "s", NOON, &force).err().map(|e| e.code());
        assert_eq!(code, ahead.then_some("change_ahead"), "{date}");
    }
}

#[test]
fn a_table_is_as_old_as_it_is_said_to_be() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    let date = |text| StatedDate::parse(text);
    let of = |as_of| RefreshOptions { as_of, force: true, ..small() };
    let text = table_named("01020000");
    let refresh = |as_of| live.refresh(text.as_bytes(), "s", NOON, &of(as_of)).expect("a table");
    assert_eq!(live.current().as_of, shipped_as_of());
    assert_eq!(refresh(date("2023-10")).version, 1);
    assert_eq!(live.current().as_of.to_string(), "2023-10");
    assert!(refresh(None).unchanged, "a timer that reads the same file makes it no younger");
    assert_eq!(live.current().as_of.to_string(), "2023-10");
    assert_eq!(refresh(date("2023-11-01")).version, 2, "the same rows are news of another date");
    let again = LiveBinTable::load(folder.0.path()).expect("a table").current();
    assert_eq!(again.as_of.to_string(), "2023-11-01");
    live.rollback(RollbackTarget::Version(0), NOON).expect("always there");
    assert_eq!(live.current().as_of, shipped_as_of());
}

#[test]
fn a_suspicious_table_is_refused_unless_forced() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    let options = RefreshOptions::default();
    let snapshot = fixture("unionpay-2018-06.csv");
    let refused = live.refresh(&snapshot, "s", NOON, &options).expect_err("767 rows are gone");
    assert_eq!(refused.code(), "too_many_removed");
    let tiny = table_named("01020000");
    let refused = live.refresh(tiny.as_bytes(), "s", NOON, &options).expect_err("one row");
    assert_eq!(refused.code(), "too_few_rows");
    assert_eq!((live.current().version, restarted_code(&folder)), (0, live_code(&live)));
    let force = RefreshOptions { force: true, ..options };
    assert!(live.refresh(tiny.as_bytes(), "s", NOON, &force).expect("forced").forced);
    assert_eq!(live_code(&live).as_deref(), Some("01020000"));
}

#[test]
fn a_bad_table_is_refused_with_its_lines_even_by_force() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    take(&live, "01020000");
    let bad = table_named("0103").replace("debit", "none");
    let force = RefreshOptions { force: true, ..small() };
    let refused = live.refresh(bad.as_bytes(), "s", NOON, &force).expect_err("a bad line");
    let faults = refused.faults().expect("bad lines");
    assert_eq!((faults.count, faults.first[0].line), (2, 2));
    assert_eq!(refused.code(), "invalid_rows");
    assert_eq!(live_code(&live).as_deref(), Some("01020000"));
    assert_eq!(live.versions().expect("a history").len(), 1);
}

#[test]
fn the_same_table_again_writes_nothing() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    take(&live, "01020000");
    let report = take(&live, "01020000");
    assert!(report.unchanged);
    assert_eq!((report.version, live.versions().expect("a history").len()), (1, 1));
}

#[test]
fn a_rollback_goes_back_step_by_step_and_can_be_undone() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    for code in ["01020001", "01020002", "01020003"] {
        take(&live, code);
    }
    let back = |target| live.rollback(target, NOON).map(|report| report.version);
    assert_eq!(back(RollbackTarget::Previous).expect("version 2"), 2);
    assert_eq!(restarted_code(&folder).as_deref(), Some("01020002"));
    assert_eq!(back(RollbackTarget::Previous).expect("version 1"), 1);
    assert_eq!(live_code(&live).as_deref(), Some("01020001"));
    assert_eq!(back(RollbackTarget::Version(3)).expect("version 3"), 3);
    assert_eq!(restarted_code(&folder).as_deref(), Some("01020003"));
    assert_eq!(back(RollbackTarget::Version(0)).expect("the shipped table"), 0);
    assert_eq!(live.current().table.len(), 5_616);
    let code = |target| back(target).expect_err("a refusal").code();
    assert_eq!(code(RollbackTarget::Previous), "nothing_earlier");
    assert_eq!(code(RollbackTarget::Version(0)), "already_live");
    assert_eq!(code(RollbackTarget::Version(9)), "unknown_version");
    let history = live.versions().expect("a history");
    assert_eq!(history.len(), 7);
    assert_eq!(history.iter().filter(|info| info.live).count(), 1);
    // A refresh after a rollback gets a number that was never used.
    assert_eq!(take(&live, "01020004").version, 4);
}

#[test]
fn a_corrupt_version_is_told_and_the_one_before_is_used() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    for code in ["01020001", "01020002", "01020003"] {
        take(&live, code);
    }
    let path = folder.file("000003.csv");
    let mut bytes = std::fs::read(&path).expect("version 3");
    *bytes.last_mut().expect("a byte") ^= 1;
    std::fs::write(&path, bytes).expect("a damaged file");
    std::fs::remove_file(folder.file("000002.csv")).expect("version 2");

    let again = LiveBinTable::load(folder.0.path()).expect("a table");
    assert_eq!(live_code(&again).as_deref(), Some("01020001"));
    let expected = [VersionProblem::Digest { version: 3 }, VersionProblem::Missing { version: 2 }];
    assert_eq!(again.problems(), expected);
    let refused = again.rollback(RollbackTarget::Version(3), NOON).expect_err("damaged");
    assert_eq!(refused.code(), "damaged_version");
    // What is live is what the next refresh is compared with, and its number is new.
    let report = take(&again, "01020001");
    assert!(report.unchanged);
    assert_eq!(take(&again, "01020004").version, 4);
    assert!(again.problems().is_empty());
}

#[test]
fn a_version_that_was_rolled_back_from_never_returns_by_itself() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    for code in ["01020001", "01020002", "01020003"] {
        take(&live, code);
    }
    live.rollback(RollbackTarget::Version(2), NOON).expect("version 2");
    std::fs::write(folder.file("000002.csv"), "").expect("a damaged file");
    assert_eq!(restarted_code(&folder).as_deref(), Some("01020001"));
}

#[test]
fn a_history_cut_at_any_byte_gives_a_state_that_was() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    take(&live, "01020001");
    let before = std::fs::read(folder.file("history")).expect("a history").len();
    take(&live, "01020002");
    let whole = std::fs::read(folder.file("history")).expect("a history");
    for end in before..whole.len() {
        std::fs::write(folder.file("history"), &whole[..end]).expect("a cut history");
        let again = LiveBinTable::load(folder.0.path()).expect("a table");
        let complete = end == whole.len() - 1;
        let expected = if complete { "01020002" } else { "01020001" };
        assert_eq!(live_code(&again).as_deref(), Some(expected), "cut at {end}");
        assert_eq!(again.problems().is_empty(), complete || end == before, "cut at {end}");
    }
    // The next change stands on a line of its own, behind the torn one.
    std::fs::write(folder.file("history"), &whole[..whole.len() - 9]).expect("a cut history");
    let again = LiveBinTable::load(folder.0.path()).expect("a table");
    assert_eq!(take(&again, "01020003").version, 3);
    assert_eq!(restarted_code(&folder).as_deref(), Some("01020003"));
}

#[test]
fn another_process_change_is_seen_and_compared_with() {
    let folder = Folder::named();
    let daemon = LiveBinTable::load(folder.0.path()).expect("a table");
    let command = LiveBinTable::load(folder.0.path()).expect("a table");
    take(&command, "01020001");
    assert!(daemon.reload_if_newer().expect("a change"));
    assert_eq!(live_code(&daemon).as_deref(), Some("01020001"));
    assert!(!daemon.reload_if_newer().expect("no change"));
    take(&command, "01020002");
    let report = take(&daemon, "01020002");
    assert!(report.unchanged, "compared with what is on the disk");
    assert_eq!(live_code(&daemon).as_deref(), Some("01020002"));
    command.rollback(RollbackTarget::Previous, NOON).expect("version 1");
    assert!(daemon.reload_if_newer().expect("a change"));
    assert_eq!(daemon.current().version, 1);
}

#[test]
fn a_disk_that_takes_no_version_leaves_the_live_table() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    take(&live, "01020001");
    let refused = |live: &LiveBinTable| {
        let text = table_named("01020002");
        let refused = live.refresh(text.as_bytes(), "s", NOON, &small());
        assert_eq!(refused.expect_err("no room for it").code(), "versions");
        assert_eq!(live_code(live).as_deref(), Some("01020001"));
        assert_eq!(live.current().version, 1);
    };
    // A folder stands where the version would be written, so writing it fails.
    std::fs::create_dir(folder.file("000002.tmp")).expect("a folder");
    refused(&live);
    assert_eq!(restarted_code(&folder).as_deref(), Some("01020001"));
    std::fs::remove_dir(folder.file("000002.tmp")).expect("the folder");
    // The version is written and cannot be recorded: it is not the live one.
    let history = std::fs::read(folder.file("history")).expect("a history");
    std::fs::remove_file(folder.file("history")).expect("the history");
    std::fs::create_dir(folder.file("history")).expect("a folder");
    refused(&live);
    std::fs::remove_dir(folder.file("history")).expect("the folder");
    std::fs::write(folder.file("history"), history).expect("a history");
    assert_eq!(restarted_code(&folder).as_deref(), Some("01020001"));
    assert_eq!(take(&live, "01020003").previous_version, 1);
}

#[test]
fn old_versions_go_and_those_needed_stay() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    let options = RefreshOptions { versions_kept: 3, ..small() };
    for code in 1..=6 {
        let text = table_named(&format!("0102000{code}"));
        live.refresh(text.as_bytes(), "s", NOON, &options).expect("a good table");
    }
    let kept = |live: &LiveBinTable| -> Vec<u32> {
        let infos = live.versions().expect("a history");
        infos.iter().filter(|info| info.kept).map(|info| info.version).collect()
    };
    assert_eq!(kept(&live), [4, 5, 6]);
    let gone = live.rollback(RollbackTarget::Version(2), NOON).expect_err("gone");
    assert_eq!(gone.code(), "damaged_version");
}

#[test]
fn lookups_see_one_whole_table_while_others_are_swapped_in() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    // In each table both rows have one code, so two codes in one table are a torn swap.
    let table = |code: &str| csv_of(&[("621626", 19, code), ("621627", 19, code)]);
    let refresh = |code: &str| {
        let report = live.refresh(table(code).as_bytes(), "s", NOON, &small());
        report.expect("a good table");
    };
    refresh("01020000");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut lookups = 0_u64;
            while !done.load(std::sync::atomic::Ordering::Acquire) || lookups == 0 {
                let current = live.current();
                let code =
                    |card: &[u8]| current.table.lookup(card).map(|row| row.issuer_code.clone());
                let (one, two) = (code(b"6216260000000000000"), code(b"6216270000000000000"));
                assert!(one.is_some());
                assert_eq!(one, two);
                lookups += 1;
            }
        });
        for number in 1..=20 {
            refresh(&format!("010200{number:02}"));
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        reader.join().expect("no lookup failed");
    });
    assert_eq!(live_code(&live).as_deref(), Some("01020020"));
}

#[test]
fn every_kept_version_can_be_looked_at() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a fresh folder");
    take(&live, "01020000");
    take(&live, "01030000");
    let code = |version| {
        let kept = live.kept(version).expect("it is kept");
        (kept.version, kept.table.rows()[0].issuer_code.clone())
    };
    assert_eq!(code(1), (1, "01020000".to_owned()));
    assert_eq!(code(2), (2, "01030000".to_owned()));
    assert_eq!(live.kept(0).expect("the shipped one").table.rows(), shipped_table().rows());
    let unknown = live.kept(3).expect_err("nobody made it");
    assert!(matches!(unknown, UnreadableVersion::Unknown { version: 3 }), "{unknown}");
    std::fs::remove_file(folder.file("000001.csv")).expect("it was there");
    let gone = live.kept(1).expect_err("its file is gone");
    let missing = VersionProblem::Missing { version: 1 };
    assert!(matches!(gone, UnreadableVersion::Damaged(problem) if problem == missing));
}

#[test]
fn versions_that_are_compared_are_read_once() {
    let folder = Folder::named();
    let live = LiveBinTable::load(folder.0.path()).expect("a table");
    for code in ["01020000", "01030000", "01040000", "01050000"] {
        take(&live, code);
    }
    let kept = |version| live.kept(version).expect("it is kept").table;
    let (one, two) = (kept(1), kept(2));
    for _ in 0..3 {
        assert!(Arc::ptr_eq(&one, &kept(1)) && Arc::ptr_eq(&two, &kept(2)), "a page of them");
    }
    // A third one takes the place of the one that was read first, and of no other.
    kept(3);
    assert!(Arc::ptr_eq(&two, &kept(2)));
    assert!(!Arc::ptr_eq(&one, &kept(1)));
    // The live one and the shipped one are in memory anyhow.
    assert!(Arc::ptr_eq(&live.current().table, &kept(4)));
    assert!(Arc::ptr_eq(&shipped_table(), &kept(0)));
}
