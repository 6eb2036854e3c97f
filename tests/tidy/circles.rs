//! No circles: of the files and folders beside each other in a folder, none leads back to itself.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{module_of, paths};
use super::{report, sources};

/// Every module whose code ships, with the modules that it names.
fn names() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources();
    let shipped = sources.iter().filter(|source| !source.is_test);
    let shipped: BTreeMap<String, &str> = shipped
        .filter_map(|source| Some((module_of(&source.path)?, source.shipped.as_str())))
        .collect();
    let nearest = |path: String| {
        let mut path = path.as_str();
        // Each round takes a name off the path's end.
        while !shipped.contains_key(path) {
            path = path.rsplit_once("::")?.0;
        }
        Some(path.to_owned())
    };
    let named = |(module, code): (&String, &&str)| {
        let found = paths_from(code, module).into_iter().filter_map(nearest);
        (module.clone(), found.filter(|other| other != module).collect())
    };
    shipped.iter().map(named).collect()
}

/// What code names, as paths from the crate's root.
fn paths_from(code: &str, module: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, above) in [("crate::", None), ("self::", Some(0)), ("super::", Some(1))] {
        for (at, _) in code.match_indices(start) {
            if code[..at].ends_with("::") {
                continue;
            }
            let mut rest = &code[at + start.len()..];
            let mut base = above.map_or("", |_| module);
            let mut ups = above.unwrap_or(0);
            while let Some(inner) = rest.strip_prefix("super::") {
                (rest, ups) = (inner, ups + 1);
            }
            for _ in 0..ups {
                base = base.rsplit_once("::").map_or("", |(base, _)| base);
            }
            let inner = paths(rest).into_iter();
            found.extend(inner.map(|path| format!("{base}::{path}").trim_matches(':').to_owned()));
        }
    }
    found
}

/// The names of a folder that lead back to themselves, and what lies between them.
fn circle(mut arrows: BTreeSet<(&str, &str)>) -> BTreeSet<String> {
    loop {
        let from: BTreeSet<&str> = arrows.iter().map(|(from, _)| *from).collect();
        let to: BTreeSet<&str> = arrows.iter().map(|(_, to)| *to).collect();
        let left: BTreeSet<_> = arrows
            .iter()
            .filter(|(tail, head)| to.contains(tail) && from.contains(head))
            .copied()
            .collect();
        // Each round but the last leaves an arrow out.
        if left.len() == arrows.len() {
            return from.into_iter().map(str::to_owned).collect();
        }
        arrows = left;
    }
}

#[test]
fn no_folder_has_a_circle() {
    let names = names();
    let folders: BTreeSet<&str> =
        names.keys().filter_map(|module| Some(module.rsplit_once("::")?.0)).collect();
    let mut complaints = Vec::new();
    for folder in folders {
        let inner = |module| {
            let module: &str = module;
            module.strip_prefix(folder)?.strip_prefix("::")?.split("::").next()
        };
        let arrows = names.iter().flat_map(|(module, others)| {
            let others = others.iter().filter_map(|other| inner(other));
            inner(module).into_iter().flat_map(move |from| {
                others.clone().filter(move |to| *to != from).map(move |to| (from, to))
            })
        });
        // A folder's own `mod.rs` stands above its files and does not count.
        let found = circle(arrows.collect());
        if !found.is_empty() {
            complaints.push(format!("{folder}: {found:?}"));
        }
    }
    report("files of a folder lead to each other in a circle", &complaints);
    let arrows = BTreeSet::from([("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]);
    assert_eq!(circle(arrows), BTreeSet::from(["b".to_owned(), "c".to_owned()]));
    let code = "use super::x::{a, b};\nuse crate::c;\nself::d();\nsuper::super::e()";
    assert_eq!(paths_from(code, "m::n"), ["c", "m::n::d", "m::x::a", "m::x::b", "e"]);
}
