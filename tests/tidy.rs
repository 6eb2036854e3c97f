//! House rules as a test: it reads the sources and says every line that breaks one.
//!
//! Knows text only: neither the compiler nor the crate. The rules are those of
//! `docs/ARCHITECTURE.md`; an exception stands here by name, with its reason, or not at all.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/manual.rs"]
mod manual;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/requirements.rs"]
mod requirements;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/translations.rs"]
mod translations;

use std::fs;
use std::path::Path;

use source::*;

/// The packages that `domain` may name: values of time, error texts, wiping.
const DOMAIN_PACKAGES: [&str; 3] = ["jiff", "thiserror", "zeroize"];
/// What makes a function impure, or its result depend on more than its arguments.
const IMPURE: [&str; 13] = [
    "std::io",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "std::time::Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "async fn",
    ".await",
    "static mut",
];
/// Packages with a door of their own: the one folder or file whose business they are.
const DOORS: [(&str, &[&str]); 6] = [
    ("sled::", &["src/store/embedded/"]),
    ("tokio_postgres::", &["src/store/sql/", "src/store/postgres/"]),
    ("deadpool_postgres::", &["src/store/sql/", "src/store/postgres/"]),
    // The demo plays the accounting system and the core, which are servers.
    ("axum::", &["src/api/", "src/console/", "src/cli/demo/"]),
    ("fastrand::", &["src/entropy.rs"]),
    ("anyhow::", &["src/main.rs", "src/cli/"]),
];

/// A string that code may not hold outside of some files, with the reason.
struct Ban {
    text: &'static str,
    /// Whether tests and benches may.
    in_tests: bool,
    /// Files or folders that may.
    but_in: &'static [&'static str],
    why: &'static str,
}

const BANS: [Ban; 15] = [
    Ban { text: "todo!(", in_tests: false, but_in: &[], why: "finish it, or leave it out" },
    Ban { text: "unimplemented!(", in_tests: false, but_in: &[], why: "finish it" },
    Ban { text: "dbg!(", in_tests: false, but_in: &[], why: "it could print a card number" },
    Ban { text: "#[ignore", in_tests: false, but_in: &[], why: "a test runs or goes" },
    Ban { text: ".unwrap()", in_tests: true, but_in: &[], why: "`expect` says why it cannot be" },
    Ban {
        text: ".commit(",
        in_tests: true,
        // New orders, verifications, agreements and codes, and `written`. The BIN table has
        // versions of its own.
        but_in: &[
            "src/engine/mod.rs",
            "src/engine/acceptance.rs",
            "src/engine/agreements.rs",
            "src/engine/payment_codes.rs",
            "src/engine/verifications.rs",
            "src/store/",
            "src/tables/bin/live.rs",
        ],
        why: "rows are written by the engine's beats, which decide again on a conflict",
    },
    Ban {
        text: ".sync_data(",
        in_tests: true,
        but_in: &["src/store/embedded/files.rs"],
        why: "the store syncs through its files, so that a test sees it",
    },
    Ban {
        text: "SystemTime::now(",
        in_tests: true,
        but_in: &["src/clock.rs"],
        why: "time comes from clock.rs, so that a simulation owns it",
    },
    Ban {
        text: "Instant::now(",
        in_tests: true,
        // They bound a wait by the runtime's own timer, which a paused runtime pauses too; no such
        // moment is kept or compared with another clock's. The demo times itself.
        but_in: &[
            "src/clock.rs",
            "src/engine/mod.rs",
            "src/engine/acceptance.rs",
            "src/app/mod.rs",
            "src/api/payments/",
            "src/cli/demo",
        ],
        why: "time comes from clock.rs, so that a simulation owns it",
    },
    Ban {
        text: "print!(",
        in_tests: true,
        but_in: &[],
        why: "only commands print, by `say!`: this panics at a closed pipe",
    },
    Ban {
        text: "println!(",
        in_tests: true,
        but_in: &[],
        why: "only commands print, by `say!` and `note!`: this panics at a closed pipe",
    },
    Ban {
        text: "io::stdout()",
        in_tests: true,
        but_in: &["src/cli/output.rs"],
        why: "only commands print, by `say!`",
    },
    Ban {
        text: "env::var",
        in_tests: true,
        but_in: &["src/cli/", "src/config/credential.rs"],
        why: "settings come through config, credentials by reference",
    },
    Ban {
        text: "const ALL:",
        in_tests: true,
        // Sections of a channel file: their names are made of others.
        but_in: &["src/domain/closed_set.rs", "src/channel/protocol/declarative/kind.rs"],
        why: "`closed_set!` declares the values of a set, their names and numbers",
    },
    Ban { text: "unsafe ", in_tests: false, but_in: &[], why: "nothing here needs it" },
];

const LINE_COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 600;
const TEST_FILE_LINES_MAX: usize = 1_000;
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that may be longer.
const LONG_FUNCTIONS: [(&str, &str, &str); 2] = [
    (
        "src/tables/routes/tests.rs",
        "every_mistake_is_reported_with_line_and_advice",
        "one table with a row for each mistake; apart, its rows could not be compared",
    ),
    (
        "tests/story.rs",
        "from_order_to_clearing",
        "one story from the order to the clearing, read from its top to its bottom",
    ),
];

/// Card numbers that schemes publish for tests; no other one stands anywhere (I-11).
const PUBLISHED_CARDS: [&str; 7] = [
    "4111111111111111",
    "5555555555554444",
    "6216261000000000018",
    "6235240000020757577",
    // Of Stripe: one that pays, one whose charges are declined, one whose holder must confirm.
    "4242424242424242",
    "4000000000000341",
    "4000002760003184",
];
/// Other long numbers whose last digit happens to fit.
const NO_CARDS: [(&str, &str); 8] = [
    ("2600000000000000", "ISO 8583 field 53: a PIN block with the number, double-length key"),
    ("0000010000020601", "ISO 8583 field 61: batch, trace number and date of an original"),
    ("777290058110097", "the merchant number of UnionPay's published examples"),
    ("777000000000001", "a made-up merchant number"),
    ("20250601101600", "a time of day: 2025-06-01 10:16:00"),
    ("20260101120000", "a time of day: 2026-01-01 12:00:00"),
    ("2611220000000009999", "an order id"),
    ("62162610000000000", "the leading digits of a published test card"),
];
/// A made-up number of 13 digits in a test of the BIN table's mistakes.
const CARDS_OF_FILES: [(&str, &str); 1] = [("src/tables/bin/tests/formats.rs", "6216261234567")];

/// A stored order is read back; every other one begins as `Order::accepted` says.
#[test]
fn orders_are_made_in_one_place() {
    let makers = ["src/domain/order.rs", "src/store/table/order"];
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| !lies_in(&source.path, &makers)) {
        for (at, found) in source.shipped.match_indices("Order {") {
            let before = source.shipped[..at].trim_end();
            let is_whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            let is_place = ["->", "impl", "for", "struct"].iter().any(|w| before.ends_with(w));
            let inside = &source.shipped[at + found.len()..];
            let inside = &inside[..inside.find('}').unwrap_or(inside.len())];
            let is_order = inside.contains("instruction") || inside.contains("..");
            if is_whole && !is_place && is_order {
                complaints.push(format!("{}:{}", source.path, line_at(&source.shipped, at)));
            }
        }
    }
    report("an order is made by hand: `Order::accepted` makes them", &complaints);
}

#[test]
fn the_domain_is_pure() {
    let manifest = read("Cargo.toml");
    let packages: Vec<String> = manifest
        .split("\n[dependencies]\n")
        .nth(1)
        .and_then(|rest| rest.split("\n[").next())
        .expect("Cargo.toml has dependencies")
        .lines()
        .filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")))
        .filter(|name| !DOMAIN_PACKAGES.contains(&name.as_str()))
        .collect();
    assert!(packages.iter().any(|name| name == "serde"), "the manifest was not read");
    let mut complaints = Vec::new();
    for source in sources() {
        let pure = source.path.starts_with("src/domain/") || source.path.starts_with("src/codec/");
        if !pure || source.is_test {
            continue;
        }
        for impure in IMPURE {
            let ends = |at: usize| {
                let after = source.shipped[at + impure.len()..].chars().next();
                !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
            };
            let found = source.shipped.match_indices(impure).find(|(at, _)| ends(*at));
            if let Some((at, _)) = found {
                let line = line_at(&source.shipped, at);
                complaints.push(format!("{}:{line}: {impure}", source.path));
            }
        }
        if source.path.starts_with("src/codec/") {
            continue;
        }
        for package in &packages {
            let named = format!("{package}::");
            for (at, _) in source.shipped.match_indices(&named) {
                let before = source.shipped[..at].chars().next_back();
                if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                    let line = line_at(&source.shipped, at);
                    complaints.push(format!("{}:{line}: {package}", source.path));
                }
            }
        }
    }
    report("`domain` and `codec` depend on nothing but their arguments", &complaints);
}

#[test]
fn packages_stay_behind_their_doors() {
    let mut complaints = Vec::new();
    for source in sources() {
        for (package, doors) in DOORS {
            let outside = !source.is_test && !lies_in(&source.path, doors);
            let uses = |at: usize| {
                let before = source.shipped[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            };
            let used = source.shipped.match_indices(package).find(|(at, _)| uses(*at));
            // Inside `store` the word is also our own module's name.
            let own = package == "sled::" && source.path.starts_with("src/store/");
            if let Some((at, _)) = used.filter(|_| outside && !own) {
                let line = line_at(&source.shipped, at);
                complaints.push(format!("{}:{line}: {package}", source.path));
            }
        }
    }
    report("a package is used outside of its door", &complaints);
}

#[test]
fn banned_words_are_absent() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.path != "tests/tidy.rs") {
        for ban in &BANS {
            let code = if ban.in_tests { &source.shipped } else { &source.code };
            if lies_in(&source.path, ban.but_in) {
                continue;
            }
            for (at, _) in code.match_indices(ban.text) {
                let line = line_at(code, at);
                complaints.push(format!("{}:{line}: {}: {}", source.path, ban.text, ban.why));
            }
        }
    }
    report("banned words", &complaints);
}

#[test]
fn lines_and_files_keep_their_size() {
    let mut complaints = Vec::new();
    for source in sources() {
        let path = &source.path;
        for (index, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > LINE_COLUMNS_MAX {
                complaints.push(format!("{path}:{}: {columns} columns", index + 1));
            }
        }
        let max = if source.is_test { TEST_FILE_LINES_MAX } else { FILE_LINES_MAX };
        let lines = source.text.lines().count();
        if lines > max {
            complaints.push(format!("{path}: {lines} lines, {max} are enough"));
        }
    }
    report("too large", &complaints);
}

#[test]
fn functions_fit_on_a_screen() {
    let mut complaints = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.code.lines().collect();
        for (first, line) in lines.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            let long = function_lines(&lines[first..]);
            let excused = LONG_FUNCTIONS.iter().any(|row| row.0 == source.path && row.1 == name);
            if long > FUNCTION_LINES_MAX && !excused {
                complaints.push(format!("{}:{}: {name}: {long} lines", source.path, first + 1));
            }
        }
    }
    report("a function is longer than 70 lines", &complaints);
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words = ["pub", "const", "async", "extern", "unsafe", "default"];
    let is_head = before.split_whitespace().all(|word| {
        words.iter().any(|known| word == *known || word.starts_with("pub(")) || word.ends_with(')')
    });
    Some(leading_name(after)).filter(|name| is_head && !name.is_empty())
}

/// Lines from the head to the brace that closes the body, or to the semicolon of a declaration.
fn function_lines(lines: &[&str]) -> usize {
    let mut depth = 0_i32;
    let mut opened = false;
    for (index, line) in lines.iter().enumerate() {
        for c in line.chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                ';' if depth == 0 && !opened => return index + 1,
                _ => {}
            }
            opened |= c == '{';
            if opened && depth == 0 {
                return index + 1;
            }
        }
    }
    lines.len()
}

#[test]
fn every_source_says_what_it_is() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    let silent: Vec<String> = silent.map(|source| source.path).collect();
    report("a file without a head", &silent);
}

/// Whether the last digit is the Luhn digit of those before it (ISO/IEC 7812-1).
fn passes_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| match (place % 2, u32::from(byte - b'0')) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Digits that stand together. Numbers with `_` between their digits are amounts or moments.
fn long_numbers(line: &str) -> Vec<&str> {
    line.split(|c: char| !c.is_ascii_digit() && c != '_')
        .filter(|run| (13..=19).contains(&run.len()) && run.bytes().all(|b| b.is_ascii_digit()))
        .collect()
}

#[test]
fn i_11_no_card_number_stands_in_the_repository() {
    let folders = ["src", "tests", "benches", "channels", "docs"];
    let mut paths: Vec<String> = folders.iter().flat_map(|folder| files(folder)).collect();
    paths.extend(["README.md", "Cargo.toml", "bin-tables/README.md"].map(str::to_owned));
    let allowed = |path: &str, number: &str| {
        PUBLISHED_CARDS.contains(&number)
            || NO_CARDS.iter().any(|(known, _)| *known == number)
            || CARDS_OF_FILES
                .iter()
                .any(|row| row.1 == number && [row.0, "tests/tidy.rs"].contains(&path))
            || number.bytes().all(|digit| digit == b'0')
    };
    let mut complaints = Vec::new();
    for path in paths.iter().filter(|path| !path.starts_with("tests/fixtures/bin/")) {
        let bytes = fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            for number in long_numbers(line) {
                if passes_luhn(number) && !allowed(path, number) {
                    // The number itself is not repeated.
                    let shown = format!("{}…", &number[..6]);
                    complaints.push(format!("{path}:{}: {shown}", index + 1));
                }
            }
        }
    }
    report("a number could be a card's, and is not a published test card", &complaints);
    assert!(PUBLISHED_CARDS.iter().all(|number| passes_luhn(number)), "a test card is misspelt");
}

fn documents() -> Vec<(String, String)> {
    let paths = files("docs").into_iter().chain(["README.md".to_owned()]);
    paths.filter(|path| path.ends_with(".md")).map(|path| (path.clone(), read(&path))).collect()
}

#[test]
fn documents_name_files_that_exist() {
    let folders = ["src/", "tests/", "docs/", "channels/", "benches/", "bin-tables/", ".ci/"];
    let mut complaints = Vec::new();
    for (path, text) in documents() {
        for (index, line) in text.lines().enumerate() {
            let quoted = line.split('`').skip(1).step_by(2);
            for name in quoted.filter(|name| folders.iter().any(|f| name.starts_with(f))) {
                let name = name.split('#').next().unwrap_or_default();
                // A test is named behind its file.
                let name = name.split("::").next().unwrap_or_default().trim_end_matches('/');
                let is_path = !name.contains(|c: char| "<>*{ …".contains(c));
                if is_path && !root().join(name).exists() {
                    complaints.push(format!("{path}:{}: {name}", index + 1));
                }
            }
            for link in links(line).filter(|link| !link.contains("://")) {
                let target = link.split('#').next().unwrap_or_default();
                let folder = Path::new(&path).parent().expect("a document lies in a folder");
                if !target.is_empty() && !root().join(folder).join(target).exists() {
                    complaints.push(format!("{path}:{}: {link}", index + 1));
                }
            }
        }
    }
    report("a document names a file that is not there", &complaints);
}

/// The targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn texts_name_no_place_of_one_machine() {
    // Written in two halves, so that this file does not find itself.
    let places = [("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/"), ("/wo", "rk/")];
    let folders = ["src", "tests", "benches", "channels", "docs", "bin-tables"];
    let mut paths: Vec<String> = folders.iter().flat_map(|folder| files(folder)).collect();
    paths.extend(["README.md", "Cargo.toml", ".ci/run"].map(str::to_owned));
    let mut complaints = Vec::new();
    for path in paths {
        let bytes = fs::read(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let text = String::from_utf8_lossy(&bytes);
        for (head, tail) in places {
            if let Some(at) = text.find(&format!("{head}{tail}")) {
                complaints.push(format!("{path}:{}", line_at(&text, at)));
            }
        }
    }
    report("a path of one machine", &complaints);
}

#[test]
fn invariants_are_written_down() {
    let manual = read("docs/INVARIANTS.md");
    for number in 1..=14 {
        assert!(manual.contains(&format!("\n## I-{number}: ")), "I-{number} has no section");
    }
    let mut complaints = Vec::new();
    for source in sources() {
        for (index, line) in source.code.lines().enumerate() {
            for name in line.split("fn i_").skip(1) {
                let number = name.split('_').next().and_then(|text| text.parse::<u8>().ok());
                if !number.is_some_and(|number| (1..=14).contains(&number)) {
                    complaints.push(format!("{}:{}", source.path, index + 1));
                }
            }
        }
    }
    report("a test is named after an invariant that there is not", &complaints);
}

#[test]
fn lines_are_read_as_they_mean() {
    assert!(passes_luhn("4111111111111111") && !passes_luhn("4111111111111112"));
    assert_eq!(long_numbers("a 1_795_334_400_000 b6216261000000000018"), ["6216261000000000018"]);
    assert_eq!(function_lines(&["fn a(", ") {", "}", "x"]), 3);
    assert_eq!(function_lines(&["fn a();", "x"]), 1);
}
