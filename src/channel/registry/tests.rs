//! What a reload changes, what it keeps, and what it refuses.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;

use super::*;
use crate::channel::shares::SharedInMemory;
use crate::clock::Clock;
use crate::config::raw::Document;
use crate::domain::attempt::{AttemptState, Operation};
use crate::domain::outcome::UnknownCause;

const CHARGES: VolumeKind = VolumeKind::Charges;

fn attempt(state: AttemptState, operation: Operation, second: i64) -> Attempt {
    Attempt {
        number: 1,
        channel: id(),
        operation,
        state,
        sent_at: at(second),
        announced_at: None,
        channel_reference: None,
        acknowledged_at: None,
        code: None,
        reason: None,
        unknown_cause: (state == AttemptState::Unknown).then_some(UnknownCause::TimedOut),
        objection: None,
        unresolved_at: None,
        ended_at: None,
        ended_by: None,
        sealed_pan: None,
    }
}

/// A channel's file as its sections' keys, so that one of them can be changed. The root's section
/// has no name.
type Sections = BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>;

const KEYS: [(&str, &str, &str); 18] = [
    ("", "protocol", "\"http\""),
    ("", "state", "\"contracted\""),
    ("abilities", "operations", r#"["payment", "preauth", "inquiry", "reversal"]"#),
    ("abilities", "currencies", r#"["CNY"]"#),
    ("limits", "per_order_max_minor", "100000"),
    ("limits", "per_day_minor", "50000"),
    ("pace", "in_flight", "2"),
    ("breaker", "failures", "3"),
    ("unknown", "inquire", r#"["5s"]"#),
    ("unknown", "then", "\"operator\""),
    ("unknown", "reverse", "[\"5s\"]"),
    ("unknown", "not_found_final_after", "\"10m\""),
    ("clearing", "time_zone", "\"Asia/Shanghai\""),
    ("clearing", "cut_off", "\"23:00\""),
    ("statement", "download_at", "\"10:30\""),
    ("statement", "layout", "\"wechat-trade\""),
    ("[fees]", "name", "\"all\""),
    ("codes", "00", "\"approved\""),
];

/// Every key that all protocols share, with another value than in `KEYS` or by default.
const CHANGES: [(&str, &str, &str); 76] = [
    ("", "protocol", "\"iso8583\""),
    ("", "name", "\"Another name\""),
    ("", "like", "\"shared/bank.toml\""),
    ("", "state", "\"closed\""),
    ("", "tls_roots", r#"["file:roots.pem"]"#),
    ("", "tls_identity", "\"file:identity.pem\""),
    ("abilities", "operations", r#"["payment", "preauth", "reversal", "inquiry", "undo"]"#),
    ("abilities", "reversible", r#"["payment"]"#),
    ("abilities", "partial_refund", "false"),
    ("abilities", "follow_up_needs_card", "true"),
    ("abilities", "instruments", r#"["code"]"#),
    ("abilities", "code_beginnings", r#"["10", "11"]"#),
    ("abilities", "payees", r#"["card", "account"]"#),
    ("abilities", "account_kinds", r#"["login"]"#),
    ("abilities", "card_types", r#"["debit"]"#),
    ("abilities", "brands", r#"["unionpay"]"#),
    ("abilities", "currencies", r#"["CNY", "USD"]"#),
    ("limits", "per_order_min_minor", "5"),
    ("limits", "per_order_max_minor", "99999"),
    ("limits", "per_day_minor", "60000"),
    ("limits", "payouts_per_day_minor", "70000"),
    ("limits", "refund_days", "7"),
    ("limits", "preauth_days", "8"),
    ("limits", "hours", r#"["08:00-20:00"]"#),
    ("limits", "maintenance", r#"["2026-12-01 02:00 to 04:00"]"#),
    ("pace", "requests_per_second", "7"),
    ("pace", "burst", "9"),
    ("pace", "in_flight", "3"),
    ("pace", "wait_max", "\"1s\""),
    ("timeouts", "connect", "\"1s\""),
    ("timeouts", "reply", "\"3s\""),
    ("timeouts", "idle", "\"4s\""),
    ("breaker", "failures", "4"),
    ("breaker", "open_for", "\"9s\""),
    ("unknown", "inquire", r#"["6s"]"#),
    ("unknown", "then", "\"inquire_daily\""),
    ("unknown", "reverse", r#"["6s"]"#),
    ("unknown", "reverse_until", "\"always\""),
    ("unknown", "not_found_final_after", "\"20m\""),
    ("unknown", "not_found_final_after_of", "{ preauth = \"30m\" }"),
    ("unknown", "keeps_pan", "true"),
    ("clearing", "time_zone", "\"Asia/Tokyo\""),
    ("clearing", "cut_off", "\"00:00\""),
    ("clearing", "close_after", "\"9h\""),
    ("accounting.accounts", "bank_reserve", "\"reserve of {channel}\""),
    ("accounting.accounts", "channel_pending_clearing", "\"another\""),
    ("accounting.accounts", "merchant_pending_clearing", "\"another\""),
    ("accounting.accounts", "company_transitional", "\"another\""),
    ("accounting.accounts", "suspense_receivable", "\"another\""),
    ("accounting.accounts", "suspense_payable", "\"another\""),
    ("accounting.accounts", "channel_fee_cost", "\"another\""),
    ("accounting.accounts", "difference_profit_or_loss", "\"another\""),
    ("statement", "download_at", "\"11:30\""),
    ("statement", "retry", r#"["20m"]"#),
    ("statement", "look_back_days", "4"),
    ("statement", "timeout", "\"3m\""),
    ("statement", "layout", "\"generic-csv\""),
    ("statement", "fee_tolerance_minor", "1"),
    ("statement", "file", "\"*.csv\""),
    ("statement", "carry_days", "4"),
    ("statement", "contradiction", "\"suspend\""),
    ("statement", "absence_proves_after_days", "2"),
    ("[fees]", "operation", "\"payout\""),
    ("[fees]", "name", "\"other\""),
    ("[fees]", "from", "\"2026-01-01\""),
    ("[fees]", "until", "\"2026-12-31\""),
    ("[fees]", "card_types", r#"["debit"]"#),
    ("[fees]", "merchant_categories", r#"["8062"]"#),
    ("[fees]", "from_minor", "1"),
    ("[fees]", "to_minor", "1000"),
    ("[fees]", "rate_ppm", "3500"),
    ("[fees]", "fixed_minor", "1"),
    ("[fees]", "minimum_minor", "1"),
    ("[fees]", "cap_minor", "1000"),
    ("[fees]", "refund", "\"return\""),
    ("codes", "51", "\"declined insufficient_funds\""),
];

/// The installation: a folder with one channel, and the clock.
struct Installation {
    folder: tempfile::TempDir,
    registry: Registry,
}

impl Installation {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &sections());
        share(folder.path(), "name = \"As a shared file has it\"\n[limits]\nrefund_days = 9\n");
        let registry = load(folder.path()).expect("a channel without mistakes");
        Self { folder, registry }
    }

    fn loaded(&self) -> Arc<LoadedChannel> {
        Arc::clone(self.registry.channels.load().get(&id()).expect("the channel"))
    }

    /// Reloads with keys changed, which must be taken.
    fn reload(&self, changes: &[(&'static str, &'static str, &'static str)]) {
        let mut sections = sections();
        for (section, key, value) in changes {
            let section = sections.entry(section).or_default();
            section.insert(key, value);
            // What the key wants beside it.
            match *key {
                "code_beginnings" => {
                    section.insert("instruments", r#"["card", "code"]"#);
                }
                "payees" | "account_kinds" => {
                    section.insert(
                        "operations",
                        r#"["payment", "preauth", "payout", "inquiry", "reversal"]"#,
                    );
                    section.entry("payees").or_insert(r#"["account"]"#);
                    section.entry("account_kinds").or_insert(r#"["user_id"]"#);
                    sections.entry("limits").or_default().insert("payouts_per_day_minor", "9");
                }
                _ => {}
            }
        }
        write(self.folder.path(), &sections);
        let reloaded = self.registry.reload();
        assert_eq!(reloaded.map_err(|found| format!("{changes:?}: {found:?}")), Ok(1));
    }
}

fn load(folder: &Path) -> Result<Registry, Vec<Mistake>> {
    let clock = Clock::Manual(Arc::new(AtomicI64::new(at(0).as_millis())));
    Registry::load(folder, &folder.join("routes.toml"), folder, CommonTerms::default(), clock)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(1_795_334_400_000 + second * 1_000)
}

fn id() -> ChannelId {
    ChannelId::from_stored("bank")
}

fn sections() -> Sections {
    let mut sections = Sections::new();
    for (section, key, value) in KEYS {
        sections.entry(section).or_default().insert(key, value);
    }
    sections
}

fn write(folder: &Path, sections: &Sections) {
    let mut text = String::new();
    for (section, keys) in sections {
        if !section.is_empty() {
            text.push_str(&format!("[{section}]\n"));
        }
        for (key, value) in keys {
            text.push_str(&format!("\"{key}\" = {value}\n"));
        }
    }
    std::fs::write(folder.join("bank.toml"), text).expect("a file");
}

/// Writes the file that the channel may be like.
fn share(folder: &Path, text: &str) {
    std::fs::create_dir_all(folder.join("shared")).expect("a folder");
    std::fs::write(folder.join("shared/bank.toml"), text).expect("a file");
}

/// Everything that is in force of a channel's file, as text.
fn in_force(loaded: &LoadedChannel) -> String {
    let file = &loaded.file;
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        (&file.name, &file.protocol, &file.tls_roots, &file.tls_identity),
        loaded.profile,
        loaded.terms,
        loaded.pace.terms(),
        file.timeouts,
        file.breaker,
        file.abilities,
        file.limits,
        file.statement,
        file.codes,
        file.state,
    )
}

#[test]
fn every_key_of_a_file_is_in_force_after_a_reload() {
    let installation = Installation::new();
    let before = in_force(&installation.loaded());
    for change in CHANGES {
        installation.reload(&[change]);
        assert_ne!(in_force(&installation.loaded()), before, "{change:?} has changed nothing");
        installation.reload(&[]);
        assert_eq!(in_force(&installation.loaded()), before, "{change:?} is not taken back");
    }
}

#[test]
fn a_file_that_is_like_another_one_has_its_keys_and_names_its_mistakes() {
    let installation = Installation::new();
    let folder = installation.folder.path();
    let own = ("", "like", "\"shared/bank.toml\"");
    installation.reload(&[own]);
    let loaded = installation.loaded();
    let limits = |loaded: &LoadedChannel| {
        (loaded.file.limits.refund_days, loaded.file.limits.per_order_max_minor)
    };
    assert_eq!(
        (loaded.file.name.as_str(), limits(&loaded)),
        ("As a shared file has it", (9, 100_000))
    );
    // What is kept for its orders stands for itself.
    let document = Document::parse("kept.toml", &loaded.text).expect("TOML");
    let kept = ChannelFile::read(&document.root(&Mistakes::new()), id(), &CommonTerms::default());
    assert_eq!((kept.name.as_str(), kept.limits.refund_days), ("As a shared file has it", 9));
    share(folder, "limits = { refund_days = 11 }\n");
    installation.reload(&[own]);
    assert_eq!(limits(&installation.loaded()), (11, 100_000));

    let said = |shared: &str| {
        share(folder, shared);
        let found = installation.registry.reload().expect_err("a mistake");
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let shared = folder.join("shared/bank.toml").display().to_string();
    for (text, expected) in [
        ("\n[limits]\nrefund_days = 0\n", ":3: limits.refund_days: 0 is out of range"),
        ("[limits]\n\nrefund = 5\n", ":3: limits.refund: is not a known setting"),
        ("\nlike = \"x.toml\"\n", ":2: like: another file is like this one"),
        ("name = \n", ":1: "),
    ] {
        let found = said(text);
        assert!(found.starts_with(&format!("{shared}{expected}")), "{found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
    std::fs::remove_file(folder.join("shared/bank.toml")).expect("it is there");
    let found = installation.registry.reload().expect_err("no such file");
    assert!(found[0].file.ends_with("bank.toml") && found[0].line == 1, "{found:?}");
    assert!(found[0].to_string().contains("like: "), "{found:?}");
    assert_eq!(limits(&installation.loaded()), (11, 100_000), "nothing has changed");
}

/// The manual's tables of keys that all protocols share, and the table above, name the same.
#[test]
fn every_key_of_the_manual_is_reloaded() {
    let manual = include_str!("../../../docs/CHANNEL-FILE.md");
    let begins = "## Keys of every protocol";
    let (_, shared) = manual.split_once(begins).expect("the manual has this part");
    let shared = shared.split("\n## ").next().unwrap_or_default();
    let mut section = "";
    for line in shared.lines() {
        if let Some(title) = line.strip_prefix("### `[").and_then(|rest| rest.split_once("]`")) {
            section = title.0;
        }
        // What a code may mean, not which codes there are.
        if section == "codes" {
            continue;
        }
        let Some(cell) = line.strip_prefix("| `").and_then(|rest| rest.split(" |").next()) else {
            continue;
        };
        for key in cell.trim_end_matches('`').split("`, `") {
            let known = |change: &&(&str, &str, &str)| (change.0, change.1) == (section, key);
            assert!(CHANGES.iter().any(|change| known(&change)), "[{section}] {key} has no row");
        }
    }
}

#[tokio::test]
async fn what_a_channel_has_learnt_outlives_every_change() {
    let installation = Installation::new();
    let loaded = installation.loaded();
    let today = loaded.terms.calendar.date_of(at(0));
    assert!(loaded.runtime.volumes(CHARGES).take([today; 2], 40_000, Some(50_000)));
    for _ in 0..2 {
        loaded.runtime.breaker.record(HealthMark::Fault, loaded.file.breaker, at(0));
    }
    let on_its_way = (loaded.pace.turn().await, loaded.pace.turn().await);
    assert!(on_its_way.0.is_some() && on_its_way.1.is_some());
    let rate = loaded.runtime.breaker.success_rate_ppm(at(0));
    for change in CHANGES {
        installation.reload(&[change]);
        let status = installation.registry.status(&id()).expect("the channel");
        let expected = if change.1 == "per_day_minor" { 60_000 } else { 50_000 };
        assert_eq!((status.used_today_minor, status.per_day_minor), (40_000, Some(expected)));
        assert_eq!(status.success_rate_ppm, rate, "{change:?}");
        assert_eq!(status.has_room, change.1 == "in_flight", "two are on their way: {change:?}");
    }
    // The third fault in a row, whatever the file said of it in between.
    installation.reload(&[("breaker", "open_for", "\"1m\"")]);
    let now = installation.loaded();
    now.runtime.breaker.record(HealthMark::Fault, now.file.breaker, at(1));
    assert!(now.runtime.breaker.is_open(at(60)) && !now.runtime.breaker.is_open(at(61)));
}

#[test]
fn no_two_take_the_same_rest_of_a_day() {
    let installation = Installation::new();
    let runtime = &installation.loaded().runtime;
    let today = installation.loaded().terms.calendar.date_of(at(0));
    let taken = std::thread::scope(|scope| {
        let hands: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| runtime.volumes(CHARGES).take([today; 2], 20_000, Some(50_000)))
            })
            .collect();
        hands.into_iter().map(|hand| hand.join().expect("no panic")).filter(|taken| *taken).count()
    });
    assert_eq!((taken, runtime.volumes(CHARGES).volume(today)), (2, 40_000));
    let minor = |minor| AmountMinor::new(minor).expect("an amount");
    let sent = |second| attempt(AttemptState::Declined, Operation::Payment, second);
    installation.registry.give_back(&sent(0), minor(20_000));
    assert_eq!(runtime.volumes(CHARGES).volume(today), 20_000);
    // The day before and the day after are days of their own.
    installation.registry.give_back(&sent(-86_400), minor(20_000));
    assert_eq!(runtime.volumes(CHARGES).volume(today), 20_000);
    assert!(runtime.volumes(CHARGES).take([today.next(); 2], 50_000, Some(50_000)));
    assert!(!runtime.volumes(CHARGES).take([today; 2], 30_001, Some(50_000)));
    assert!(
        runtime.volumes(CHARGES).take([today; 2], 30_000, Some(50_000)),
        "it was named before the cut-off"
    );
    assert_eq!(
        (runtime.volumes(CHARGES).volume(today), runtime.volumes(CHARGES).volume(today.next())),
        (50_000, 50_000)
    );
}

#[test]
fn a_day_that_a_wrong_clock_named_takes_nothing_of_another() {
    let installation = Installation::new();
    let runtime = &installation.loaded().runtime;
    let today = installation.loaded().terms.calendar.date_of(at(0));
    let (tomorrow, limit) = (today.next(), Some(50_000));
    let year = installation.loaded().terms.calendar.date_of(at(400 * 86_400));
    assert!(runtime.volumes(CHARGES).take([today; 2], 20_000, limit));
    // The clock runs ahead, and nothing bears it out: the day goes on behind it.
    for ahead in [tomorrow, year] {
        runtime.volumes(CHARGES).keep_days([ahead, today]);
        assert!(runtime.volumes(CHARGES).take([ahead, today], 10_000, limit));
        assert!(!runtime.volumes(CHARGES).take([ahead, today], 40_001, limit));
        assert_eq!(
            (runtime.volumes(CHARGES).volume(ahead), runtime.volumes(CHARGES).volume(year.next())),
            (10_000, 0)
        );
    }
    // It is set right: all of today is there, and nothing of what is to come.
    runtime.volumes(CHARGES).keep_days([today; 2]);
    assert_eq!(
        [today, tomorrow, year].map(|day| runtime.volumes(CHARGES).volume(day)),
        [40_000, 0, 0]
    );
    assert!(!runtime.volumes(CHARGES).take([today; 2], 10_001, limit));
    assert!(runtime.volumes(CHARGES).take([today; 2], 10_000, limit));
    runtime.volumes(CHARGES).give_back([today; 2], 10_000);
    runtime.volumes(CHARGES).keep_days([tomorrow; 2]);
    assert_eq!(
        (runtime.volumes(CHARGES).volume(today), runtime.volumes(CHARGES).volume(tomorrow)),
        (40_000, 0)
    );
    runtime.volumes(CHARGES).keep_days([tomorrow.next(); 2]);
    assert_eq!(runtime.volumes(CHARGES).volume(today), 0, "it is over");
}

#[test]
fn a_start_goes_on_where_the_books_are() {
    let installation = Installation::new();
    let amount = AmountMinor::new(1_000).expect("an amount");
    let rows = [
        (AttemptState::Approved, Operation::Payment, -86_400, 0),
        (AttemptState::Approved, Operation::Payment, -60, 1_000),
        (AttemptState::Approved, Operation::Preauth, -50, 2_000),
        (AttemptState::Declined, Operation::Payment, -40, 2_000),
        (AttemptState::NotSent, Operation::Payment, -40, 2_000),
        (AttemptState::Reversed, Operation::Payment, -40, 2_000),
        (AttemptState::Approved, Operation::Refund, -30, 2_000),
        (AttemptState::Approved, Operation::Capture, -30, 2_000),
        (AttemptState::Approved, Operation::Payout, -25, 2_000),
        (AttemptState::Pending, Operation::Payment, -20, 3_000),
        (AttemptState::Sending, Operation::Payment, -10, 4_000),
        (AttemptState::Unknown, Operation::Payment, -5, 5_000),
    ];
    for (state, operation, second, used) in rows {
        installation.registry.recall(&attempt(state, operation, second), amount);
        let status = installation.registry.status(&id()).expect("the channel");
        assert_eq!(status.used_today_minor, used, "{state:?} {operation:?}");
    }
    let status = installation.registry.status(&id()).expect("the channel");
    assert_eq!(status.payouts_today_minor, 1_000, "payouts have a limit of their own");
    assert!(status.success_rate_ppm < 1_000_000 && !status.breaker_open);
    for _ in 0..2 {
        installation
            .registry
            .recall(&attempt(AttemptState::Unknown, Operation::Payment, -1), amount);
    }
    let status = installation.registry.status(&id()).expect("the channel");
    assert!(status.breaker_open, "three faults in a row a second ago");
    let since = installation.registry.limited_since().expect("it has a limit for the day");
    assert!(since <= at(0) && at(0).since(since) < std::time::Duration::from_secs(25 * 60 * 60));
}

#[test]
fn a_channel_does_not_vanish_in_silence() {
    let installation = Installation::new();
    let (file, other) = (
        installation.folder.path().join("bank.toml"),
        installation.folder.path().join("bank2.toml"),
    );
    std::fs::rename(&file, &other).expect("it is there");
    let refused =
        installation.registry.reload().expect_err("a channel that runs has lost its file");
    assert!(refused[0].to_string().contains("bank.toml"), "{refused:?}");
    assert_eq!(installation.registry.ids(), [id()], "what ran runs on");
    std::fs::remove_file(&other).expect("it is there");
    assert!(installation.registry.reload().is_err(), "an empty folder");
    assert!(load(installation.folder.path()).is_err(), "an empty folder at a start");
    assert!(load(&installation.folder.path().join("nowhere")).is_err(), "no folder at a start");
    installation.reload(&[]);
    let lacking = |name: &str| {
        let in_use = BTreeSet::from([id(), ChannelId::from_stored(name)]);
        installation.registry.missing_files(&in_use).map_err(|found| found.len())
    };
    assert_eq!((lacking("bank"), lacking("other")), (Ok(()), Err(1)));
}

/// Two nodes with the same channel, and what they share.
#[tokio::test]
async fn nodes_share_breakers_switches_and_volumes() {
    let shared = Arc::new(SharedInMemory::default());
    let nodes = [(); 2].map(|()| {
        let mut sections = sections();
        sections.entry("limits").or_default().insert("per_day_minor", "200000");
        let installation = Installation::new();
        write(installation.folder.path(), &sections);
        installation.registry.reload().expect("no mistakes");
        installation.registry.share_with(Arc::<SharedInMemory>::clone(&shared));
        (Arc::new(installation.registry), installation.folder)
    });
    let [(first, _), (second, _)] = &nodes;
    let status = |node: &Arc<Registry>| node.status(&id()).expect("the channel");
    let exchange = async || {
        for node in [first, second, first] {
            node.exchange(false).await.expect("it is in reach");
        }
    };
    let loaded = |node: &Registry| Arc::clone(node.channels.load().get(&id()).expect("it"));
    // A switch holds everywhere with the next exchange, and over a reload.
    assert!(first.switch(&id(), false).await.expect("it is in reach"));
    assert!(!status(first).enabled && status(second).enabled);
    exchange().await;
    second.reload().expect("no mistakes");
    assert!(!status(second).enabled && !loaded(second).profile.enabled);
    assert!(second.switch(&id(), true).await.expect("it is in reach"));
    exchange().await;
    assert!(status(first).enabled && loaded(first).profile.enabled);
    let other = ChannelId::from_stored("other");
    assert!(!first.switch(&other, false).await.expect("it is in reach"), "no such channel");
    // What is taken is what all have taken.
    let today = loaded(first).terms.calendar.date_of(at(0));
    let takes = async |node: &Registry, minor| {
        node.takes_volume(&loaded(node), CHARGES, [today; 2], minor).await.expect("it is in reach")
    };
    assert!(takes(first, 90_000).await && takes(second, 100_000).await);
    exchange().await;
    exchange().await;
    assert_eq!([first, second].map(|node| status(node).used_today_minor), [190_000; 2]);
    assert!(!takes(first, 10_001).await && takes(second, 10_000).await);
    let ended = attempt(AttemptState::Declined, Operation::Payment, 0);
    first.give_back(&ended, AmountMinor::new(100_000).expect("an amount"));
    exchange().await;
    assert_eq!(status(second).used_today_minor, 100_000);
    // A breaker opens for all, one probes, and all go on.
    let (file, now) = (Arc::clone(&loaded(first).file), at(0));
    while loaded(first).runtime.breaker.record(HealthMark::Fault, file.breaker, now).is_none() {}
    assert!(!status(second).breaker_open);
    exchange().await;
    assert!(status(second).breaker_open);
    let later = now.plus(file.breaker.open_for);
    let admitted = [
        first.is_admitted(&loaded(first), now).await,
        second.is_admitted(&loaded(second), later).await,
        first.is_admitted(&loaded(first), later).await,
    ];
    assert_eq!(admitted, [false, true, false], "one probes");
    loaded(second).runtime.breaker.record(HealthMark::Success, file.breaker, later);
    exchange().await;
    exchange().await;
    assert!(!status(first).breaker_open && first.is_admitted(&loaded(first), later).await);
}

#[test]
fn a_switch_that_is_thrown_while_a_reload_is_weighed_holds_after_it() {
    let installation = Installation::new();
    let read = installation.registry.read_again().expect("no mistakes");
    assert!(installation.registry.set_enabled(&id(), false).expect("it is written"));
    assert_eq!(installation.registry.put_in_force(read), Ok(1));
    assert!(!installation.loaded().profile.enabled);
}

/// Versions come from the store while an operator has the credentials read again.
#[test]
fn a_reload_beside_a_new_version_takes_nothing_back() {
    let installation = Installation::new();
    let folder = installation.folder.path();
    let text = |minor: i64| {
        let mut sections = sections();
        let minor: &'static str = Box::leak(minor.to_string().into_boxed_str());
        sections.entry("limits").or_default().insert("per_day_minor", minor);
        write(folder, &sections);
        let path = folder.join(format!("{}.toml", id()));
        ChannelTexts::from([(id(), std::fs::read_to_string(path).expect("the file"))])
    };
    let versions: Vec<ChannelTexts> = (0..2).map(|number| text(50_000 + number)).collect();
    let clock = Clock::Manual(Arc::new(AtomicI64::new(at(0).as_millis())));
    let files = (folder, &*folder.join("routes.toml"));
    let first = (versions[0].clone(), Vec::new());
    let registry = Registry::load_shared(files, folder, CommonTerms::default(), clock, first);
    let registry = registry.expect("no mistakes");
    let has_ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !has_ended.load(std::sync::atomic::Ordering::Relaxed) {
                registry.reload().expect("no mistakes");
            }
        });
        for round in 0..200 {
            let version = &versions[round % 2];
            registry.run_shared(version.clone()).expect("no mistakes");
            // A reload that had begun before has had its time by now.
            let then = registry.channels.load_full();
            std::thread::sleep(std::time::Duration::from_millis(1));
            for channels in [then, registry.channels.load_full()] {
                assert_eq!(*channels[&id()].text, *version[&id()], "round {round}");
            }
        }
        has_ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
