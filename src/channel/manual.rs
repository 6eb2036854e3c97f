//! The manual's tables of keys and the readers of a channel's file say the same.
//!
//! A table of `docs/CHANNEL-FILE.md` stands under `<!-- keys: SECTION -->`, which may name several.
//! The readers get files that reach every section: a key that only the manual has would show one
//! that they do not.

use std::collections::{BTreeMap, BTreeSet};

use crate::channel::file::{Ability, ChannelFile};
use crate::channel::protocol;
use crate::channel::samples::golden::{Golden, Medium};
use crate::config::keys::{Need, NeedsByHead};
use crate::config::mistake::Mistakes;
use crate::config::raw::Document;
use crate::domain::ids::ChannelId;
use crate::domain::terms::CommonTerms;

const MANUAL: &str = include_str!("../../docs/CHANNEL-FILE.md");
const LAYOUTS: &str = include_str!("../../docs/STATEMENTS.md");

/// The shipped files.
const FILES: [&str; 6] = [
    include_str!("../../channels/unionpay.toml"),
    include_str!("../../channels/lakeside-acquirer.toml"),
    include_str!("../../channels/harbour-bank.toml"),
    include_str!("../../channels/meadow-bank.toml"),
    include_str!("../../channels/canyon-pay.toml"),
    include_str!("../../channels/quarry-bank.toml"),
];
/// Sections that no shipped file has.
const REST: [&str; 2] = [
    "protocol = \"iso8583\"\n[accounting.accounts]\n[iso8583]\nstyle = \"cups\"\nvalues = {}\n\
     fields = {}\nformat = {}\nreversal_codes = {}\nmac = {}\n\
     [statement.layout]\nform = \"fixed\"\ncolumns_of.refund = {}\n\
     footer.texts = [{ sums = [{}] }]\nfooter.sums = [{}]\n\
     summary.sums = [{}]\ntimes = {}\nsettlement = {}\n",
    "protocol = \"http\"\n[http]\nsecrets = {}\nencrypt = {}\ndecrypt = {}\nnotice_answer = {}\n\
     verify.keys = {}\nnotice_verify.over = \"{{ body }}\"\nnotice_verify.key = \"env:X\"\n\
     merchants = {}\ntoken.query = {}\ntoken.headers = {}\ntoken.body = {}\ntoken.reply = {}\n\
     notice_verify.keys = {}\nnotice_verify.headers = {}\nsign.headers = {}\n\
     statement.reply.url = \"/url\"\n\
     payment = { query = {}, headers = {}, body = {}, reply = {}, states = {}, codes = {}, \
     first = { query = {}, headers = {}, body = {}, reply = {}, brings = {}, codes = {} } }\n\
     notice = { when = {}, reply = {} }\n",
];
const SAMPLES: [(Medium, &str); 2] = [
    (Medium::Http, "[[sample]]\nsent.headers = {}\nreply.headers = {}\n"),
    (Medium::Links, "[[sample]]\nsent.fields = {}\nreply.fields = {}\n"),
];

/// All keys that the readers ask for.
fn collect_needs() -> NeedsByHead {
    let mut all = NeedsByHead::new();
    let mut add = |mistakes: &Mistakes| {
        for (head, needs) in mistakes.keys.needs() {
            let section: &mut BTreeMap<String, Need> = all.entry(alike(&head)).or_default();
            for (key, need) in needs {
                let found = section.entry(key).or_default();
                found.is_required |= need.is_required;
                found.is_section |= need.is_section;
                found.defaults.extend(need.defaults);
            }
        }
    };
    for text in FILES.into_iter().chain(REST) {
        let document = Document::parse("a.toml", text).expect("TOML");
        let mistakes = Mistakes::new();
        let root = document.root(&mistakes);
        let id = ChannelId::parse("id").expect("an id");
        let file = ChannelFile::read(&root, id, &CommonTerms::default());
        let _any = protocol::read(&root, &file, &|_| Err("no credential".to_owned()));
        drop(root);
        add(&mistakes);
    }
    for (medium, text) in SAMPLES {
        let document = Document::parse("a.toml", text).expect("TOML");
        let mistakes = Mistakes::new();
        Golden::read_all(document.root(&mistakes), medium);
        add(&mistakes);
    }
    all
}

/// Sections of requests have one table, and so have those of notices.
fn alike(head: &str) -> String {
    let mut parts: Vec<&str> = head.split('.').collect();
    if let ["http", name, ..] = parts[..] {
        if Ability::ALL.iter().any(|ability| name.ends_with(ability.name())) {
            parts[1] = "payment";
        } else if name.ends_with("_notice") {
            parts[1] = "notice";
        }
    }
    parts.join(".")
}

/// The manual's tables: a section's keys, each with the cell of its default.
fn documented() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut tables: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for part in MANUAL.split("<!-- keys: ").skip(1) {
        let (heads, rest) = part.split_once(" -->\n").expect("the mark has an end");
        let mut rows = rest.lines().take_while(|line| line.starts_with('|')).map(cells);
        let has_default = rows.next().expect("a table").len() > 2;
        let mut keys = BTreeMap::new();
        for row in rows.skip(1) {
            let named: Vec<&str> = row[0].split('`').skip(1).step_by(2).collect();
            let cell = if has_default { row[1].as_str() } else { "" };
            let defaults: Vec<&str> = cell.split(", ").collect();
            for (place, key) in named.iter().enumerate() {
                let own = if defaults.len() == named.len() { defaults[place] } else { cell };
                keys.insert((*key).to_owned(), (own.to_owned(), only(&row)));
            }
        }
        for head in heads.split(", ") {
            let own = keys.iter().filter(|(_, (_, only))| {
                only.as_ref().is_none_or(|one| head.ends_with(one.as_str()))
            });
            let own = own.map(|(key, (cell, _))| (key.clone(), cell.clone()));
            let head = if head == "top" { "" } else { head };
            tables.entry(head.to_owned()).or_default().extend(own);
        }
    }
    tables
}

/// The section that has the key alone of those of its table: the meaning begins "`sign` only:".
fn only(row: &[String]) -> Option<String> {
    let (section, _) = row.last()?.strip_prefix('`')?.split_once("` only:")?;
    (!section.contains('`')).then(|| section.to_owned())
}

fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
}

/// The difference between a key's cell and its reader, if the table has a column of defaults.
fn differs(need: &Need, cell: &str, others: &BTreeSet<&str>) -> Option<String> {
    if cell.is_empty() || cell == "as above" || need.is_section {
        return None;
    }
    if cell.contains("required") != need.is_required {
        return Some(format!("the reader requires it: {}", need.is_required));
    }
    let plain = cell.replace(['`', '"', '[', ']'], "");
    let words: BTreeSet<&str> = plain.split([' ', ',', ';']).collect();
    if words.iter().any(|word| others.contains(word)) {
        return None;
    }
    // A style's own default follows its name, as in `[38, 61]`; cups `[38]`.
    let values: BTreeSet<&str> = plain
        .split("; ")
        .flat_map(|one| [one, one.split_once(' ').map_or("", |(_, value)| value)])
        .chain([plain.as_str()])
        .collect();
    let mut defaults = need.defaults.iter().map(String::as_str).filter(|text| !text.is_empty());
    let has_none = defaults.clone().next().is_none();
    if let Some(default) = defaults.find(|text| !values.contains(text) && !words.contains(text)) {
        return Some(format!("the reader's default is {default}"));
    }
    let has_value = cell.starts_with(|first: char| first == '`' || first.is_ascii_digit());
    (has_value && has_none && !need.is_required).then(|| "the reader has no default".to_owned())
}

#[test]
fn every_key_of_a_channel_file_is_in_the_manual_and_no_other() {
    let (asked, tables) = (collect_needs(), documented());
    let mut wrong = Vec::new();
    let none = BTreeMap::new();
    for (head, needs) in asked.iter().filter(|(head, _)| !head.starts_with("statement.layout")) {
        let table = tables.get(head).unwrap_or(&none);
        let others: BTreeSet<&str> = table.keys().map(String::as_str).collect();
        for (key, need) in needs {
            let path = if head.is_empty() { key.clone() } else { format!("{head}.{key}") };
            let has_text = [']', '.'].iter().any(|end| MANUAL.contains(&format!("[{path}{end}")));
            match table.get(key) {
                Some(cell) => wrong.extend(
                    differs(need, cell, &others)
                        .map(|what| format!("`{path}`, `{cell}` in the manual: {what}")),
                ),
                None if need.is_section && has_text => {}
                None => wrong.push(format!("`{path}` is read, and the manual has it not")),
            }
        }
    }
    for (head, table) in &tables {
        let needs = asked.get(head);
        let is_read = |key: &str| needs.is_some_and(|needs| needs.contains_key(key));
        let extra = table.keys().filter(|key| !is_read(key));
        wrong.extend(extra.map(|key| format!("the manual has `{head}.{key}`, and no reader")));
    }
    assert!(wrong.is_empty(), "docs/CHANNEL-FILE.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_key_of_a_layout_is_in_the_manual() {
    let (_, text) = LAYOUTS.split_once("\n## Layouts\n").expect("the chapter");
    let words: BTreeSet<&str> = text.split(['`', '.', '[', ']']).collect();
    let asked = collect_needs();
    let layouts = asked.iter().filter(|(head, _)| head.starts_with("statement.layout"));
    let layouts = layouts.filter(|(head, _)| !head.ends_with("columns_of"));
    let keys: BTreeSet<&String> = layouts.flat_map(|(_, needs)| needs.keys()).collect();
    assert!(keys.len() > 40, "{keys:?}");
    let missing: Vec<_> = keys.into_iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "docs/STATEMENTS.md, Layouts: {missing:?}");
}
