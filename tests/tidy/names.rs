//! The words: a type name is defined once in what ships.

use std::collections::BTreeMap;

use super::{leading_name, line_at, report, sources};

/// Names that are still defined more than once.
const TWICE: [&str; 125] = [
    "Accounting",
    "Answer",
    "Ask",
    "Asked",
    "Block",
    "Call",
    "Caller",
    "CardBody",
    "Charge",
    "Check",
    "Checked",
    "Chunk",
    "Claim",
    "Clock",
    "Code",
    "Codes",
    "Columns",
    "Command",
    "Content",
    "Day",
    "Days",
    "Decline",
    "Deed",
    "Desk",
    "Document",
    "Draft",
    "Encoding",
    "Ended",
    "Entry",
    "EntryRecord",
    "Facts",
    "Faults",
    "FetchError",
    "Fields",
    "Findings",
    "FollowUp",
    "Form",
    "Format",
    "Found",
    "HeadRecord",
    "Header",
    "Held",
    "History",
    "Incoming",
    "Instruction",
    "Iso8583",
    "Kept",
    "Key",
    "KeyError",
    "Kind",
    "Limits",
    "Line",
    "Lines",
    "Link",
    "Loaded",
    "Look",
    "Mismatch",
    "Moment",
    "Named",
    "Notice",
    "NoticeBody",
    "Notices",
    "Open",
    "Operation",
    "Order",
    "OrderBody",
    "Original",
    "Packed",
    "Packing",
    "Pair",
    "Part",
    "Place",
    "Plan",
    "Problem",
    "Progress",
    "Read",
    "Reader",
    "Reading",
    "Received",
    "RecordKey",
    "Records",
    "Reply",
    "Report",
    "ReportBody",
    "Resolve",
    "Row",
    "Rows",
    "Said",
    "Seen",
    "Segment",
    "Sent",
    "Settings",
    "Shared",
    "SharedKey",
    "Side",
    "Signals",
    "Slot",
    "Span",
    "Spoken",
    "Stage",
    "Standing",
    "State",
    "Statement",
    "StatementBody",
    "StatementFile",
    "StatementLine",
    "Step",
    "Stop",
    "Subject",
    "Sums",
    "Table",
    "Target",
    "Told",
    "Totals",
    "Turn",
    "Turns",
    "UnionPayAcp",
    "Unit",
    "Verdict",
    "Wait",
    "Waiting",
    "Whole",
    "Words",
    "Work",
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
    report("one word, one thing", &complaints);
}
