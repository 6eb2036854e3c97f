//! The arrows: which module imports which.

use std::collections::BTreeSet;

use super::{leading_name, line_at, report, sources};

/// Who imports whom: a module, what its shipped code names, and what its tests name besides. Rows
/// name rows above them only. A room of a module can have a row of its own, above or below the
/// module's. Each arrow is used; a new one is a change of the architecture.
const ARROWS: [(&str, &str, &str); 19] = [
    ("domain", "", ""),
    ("codec", "domain", ""),
    ("clock", "domain", ""),
    ("entropy", "", ""),
    ("telemetry", "domain", ""),
    ("config", "domain codec telemetry", ""),
    ("tables", "domain codec config", ""),
    ("store", "domain clock telemetry", ""),
    ("channel", "domain codec clock entropy telemetry config", ""),
    ("engine", "domain codec clock entropy telemetry tables store channel", ""),
    // The command that compares two files needs no store.
    ("reconciliation::matching", "domain codec", "config"),
    (
        "reconciliation",
        "domain codec clock entropy telemetry store channel engine reconciliation::matching",
        "",
    ),
    (
        "api",
        "domain codec clock entropy telemetry config tables store channel engine \
         reconciliation::matching reconciliation",
        "",
    ),
    // Its pages show what the API's own calls answer, so it reads no store and asks no engine.
    ("console", "domain codec clock entropy config api", ""),
    (
        "workers",
        "domain codec clock telemetry config tables store channel engine reconciliation",
        "",
    ),
    // An error of ours must not be repeated on the channels' side.
    ("simulator", "domain codec config", "channel reconciliation::matching"),
    // It plays a channel file with the real engine, and nothing of it runs in a daemon.
    (
        "certify",
        "domain codec clock entropy telemetry config store channel engine reconciliation \
         simulator",
        "",
    ),
    (
        "app",
        "domain codec clock entropy telemetry config tables store channel engine reconciliation \
         api console workers",
        "",
    ),
    (
        "cli",
        "domain codec clock entropy telemetry config tables store channel engine \
         reconciliation::matching api workers simulator certify app",
        "",
    ),
];

/// The module that a file is: `src/api/mod.rs` and `src/api.rs` are both `api`.
pub fn module_of(path: &str) -> Option<String> {
    let inner = path.strip_prefix("src/")?.trim_end_matches(".rs");
    Some(inner.trim_end_matches("/mod").replace('/', "::"))
}

/// What code names by `crate::`, as whole paths with their lines.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let line = code[..at].lines().count().max(1);
        let paths = paths(&code[at + "crate::".len()..]);
        found.extend(paths.into_iter().map(|path| (line, path)));
    }
    found
}

/// The paths that stand at the start: one, or all of `a::{b, c::d}`.
pub fn paths(text: &str) -> Vec<String> {
    if let Some(group) = text.strip_prefix('{') {
        return parts_of_group(group).into_iter().flat_map(|part| paths(part.trim())).collect();
    }
    let name = leading_name(text);
    match text[name.len()..].strip_prefix("::") {
        Some(inner) => paths(inner).iter().map(|path| format!("{name}::{path}")).collect(),
        None => vec![name.to_owned()],
    }
}

/// What the commas of `{a, b::{c, d}}` part, behind its opening brace.
fn parts_of_group(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                parts.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        if c == '}' && from == at + 1 {
            break;
        }
    }
    parts
}

/// The lines in which a module's code goes by `super` beyond the room that has a row.
fn ways_out(code: &str, module: &str, room: &str) -> Vec<usize> {
    let depth = |path: &str| path.split("::").count();
    let begins = code.match_indices("super::").filter(|(at, _)| !code[..*at].ends_with("super::"));
    let leaves = begins.filter(|(at, _)| {
        let ups = code[*at..].split("super::").take_while(|part| part.is_empty()).count();
        depth(module) < depth(room) + ups
    });
    leaves.map(|(at, _)| line_at(code, at)).collect()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split_whitespace().collect()
}

#[test]
fn imports_are_those_of_the_architecture() {
    let rows: Vec<(&str, [BTreeSet<&str>; 2])> = ARROWS
        .iter()
        .map(|(module, shipped, tests)| (*module, [shipped, tests].map(|row| words(row))))
        .collect();
    let mut complaints = Vec::new();
    let mut unused: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (place, (module, allowed)) in rows.iter().enumerate() {
        for name in allowed.iter().flatten() {
            unused.insert((module, name));
            if !rows[..place].iter().any(|(above, _)| above == name) {
                complaints.push(format!("ARROWS: {module} names {name}, which is not above it"));
            }
        }
    }
    // The innermost room that has a row.
    let row_of = |path: &str| {
        let is_in = |room: &str| {
            path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        rows.iter().filter(|(room, _)| is_in(room)).max_by_key(|(room, _)| room.len())
    };
    for source in sources() {
        let Some(path) = module_of(&source.path) else { continue };
        if ["lib", "main"].contains(&&*path) {
            continue;
        }
        let row = row_of(&path).unwrap_or_else(|| panic!("{path} has no row"));
        let (module, [shipped, tests]) = row;
        for line in ways_out(&source.shipped, &path, module) {
            complaints.push(format!("{}:{line}: `super` leaves {module}", source.path));
        }
        let rooms = |code: &str| -> Vec<(usize, &str)> {
            let room = |(line, path): &(usize, String)| Some((*line, row_of(path)?.0));
            imports(code).iter().filter_map(room).collect()
        };
        let of_shipped = rooms(&source.shipped);
        for (line, name) in rooms(&source.code) {
            if name == *module {
                continue;
            }
            let is_shipped = of_shipped.iter().any(|(_, other)| *other == name);
            let allowed = shipped.get(name).or(tests.get(name).filter(|_| !is_shipped));
            let Some(name) = allowed else {
                complaints.push(format!("{}:{line}: {module} imports {name}", source.path));
                continue;
            };
            // What tests name does not keep an arrow of shipped code alive.
            if is_shipped || tests.contains(name) {
                unused.remove(&(*module, *name));
            }
        }
    }
    let idle = unused.iter().map(|(module, name)| format!("ARROWS: {module} never names {name}"));
    complaints.extend(idle);
    report("the arrows between modules are not those that ARROWS lists", &complaints);
}

#[test]
fn the_reader_of_imports_reads_rust() {
    let found: Vec<String> = imports("use crate::{api::auth, store::{a, b}};\ncrate::clock::now()")
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(found, ["api::auth", "store::a", "store::b", "clock::now"]);
    let ways = "super::a();\nsuper::super::b();";
    assert_eq!(ways_out(ways, "a::b::c", "a::b"), [2]);
    assert_eq!(ways_out(ways, "a::b", "a::b"), [1, 2]);
}
