//! The words: a type name is defined once in what ships.

use std::collections::BTreeMap;

use super::{leading_name, line_at, report, sources};

/// Every type that shipped code defines, with its places. Associated types are their traits'.
fn definitions() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for kind in ["struct ", "enum ", "trait ", "type "] {
            for (at, _) in source.shipped.match_indices(kind) {
                let line = source.shipped[..at].rfind('\n').map_or(0, |end| end + 1);
                let before = &source.shipped[line..at];
                // A closed set is an enum within its macro's braces.
                let before = if kind == "enum " { before.trim_start() } else { before };
                let is_head = before.is_empty() || before.starts_with("pub");
                let name = leading_name(&source.shipped[at + kind.len()..]);
                if is_head && name.starts_with(|c: char| c.is_ascii_uppercase()) {
                    let place = format!("{}:{}", source.path, line_at(&source.shipped, at));
                    found.entry(name.to_owned()).or_default().push(place);
                }
            }
        }
    }
    found
}

#[test]
fn type_names_are_defined_once() {
    let definitions = definitions();
    let mut complaints = Vec::new();
    for (name, places) in &definitions {
        if places.len() > 1 {
            complaints.push(format!("{name}: {}", places.join(", ")));
        }
    }
    report("one word, one thing", &complaints);
}
