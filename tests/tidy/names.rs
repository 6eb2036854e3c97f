//! The words: a type name is defined once in what ships.

use std::collections::BTreeMap;

use super::{leading_name, line_at, report, sources};

/// Names that are still defined more than once.
const TWICE: &[&str] = &[
    "Asked",
    "Block",
    "Checked",
    "Code",
    "Codes",
    "Content",
    "Deed",
    "Document",
    "Encoding",
    "Entry",
    "FetchError",
    "Format",
    "Header",
    "History",
    "Key",
    "KeyError",
    "Kind",
    "Limits",
    "Lines",
    "Link",
    "Loaded",
    "Mismatch",
    "Named",
    "Order",
    "Packed",
    "Packing",
    "Part",
    "Place",
    "Problem",
    "Read",
    "Reader",
    "Reading",
    "RecordKey",
    "Records",
    "Report",
    "ReportBody",
    "Resolve",
    "Row",
    "Said",
    "Seen",
    "Sent",
    "Settings",
    "SharedKey",
    "Side",
    "Slot",
    "Span",
    "Spoken",
    "Standing",
    "State",
    "StatementFile",
    "Stop",
    "Table",
    "Target",
    "Told",
    "Turn",
    "Verdict",
    "Waiting",
    "Whole",
    "Words",
    "Written",
];

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
        if places.len() > 1 && !TWICE.contains(&name.as_str()) {
            complaints.push(format!("{name}: {}", places.join(", ")));
        }
    }
    for name in TWICE {
        if definitions.get(*name).is_none_or(|places| places.len() < 2) {
            complaints.push(format!("{name} is defined once: strike it from the list"));
        }
    }
    report("one word, one thing", &complaints);
}
