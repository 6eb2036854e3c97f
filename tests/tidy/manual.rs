//! The manual names what the code has: every metric, and every field of every answer.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, read};

/// Where answers, and what we post to others, have their forms.
const FORMS: [&str; 7] = [
    "src/api",
    "src/codec/clearing.rs",
    "src/reconciliation/matching/form.rs",
    "src/tables/bin",
    "src/reconciliation/incoming/inbox.rs",
    "src/codec/voucher.rs",
    "src/workers/notices.rs",
];

/// A form's fields, and whether each may be left out.
type Fields = BTreeMap<String, bool>;

fn sources_of_forms() -> Vec<String> {
    let all = files("src").into_iter().filter(|path| path.ends_with(".rs"));
    all.filter(|path| FORMS.iter().any(|form| path.starts_with(form))).collect()
}

/// The forms of a file: what derives `Serialize`, by its name.
fn forms(path: &str) -> Vec<(String, Fields)> {
    let text = read(path);
    let place = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let mut found = Vec::new();
    for part in text.split("#[derive(").skip(1) {
        let Some((derived, rest)) = part.split_once(")]") else { continue };
        if !derived.split(", ").any(|name| name.trim().ends_with("Serialize")) {
            continue;
        }
        let Some(begin) = rest.find(" {\n") else { continue };
        let (head, body) = rest.split_at(begin);
        let indent =
            rest[begin..].lines().nth(1).map_or(0, |line| line.len() - line.trim_start().len());
        let end = format!("\n{}}}", " ".repeat(indent.saturating_sub(4)));
        let body = body.find(&end).map_or(body, |end| &body[..end]);
        let name = head.rsplit(['\n']).next().unwrap_or_default();
        let is_enum = name.contains("enum ");
        let name = name.split(['<', '{']).next().unwrap_or_default().trim();
        let name = name.rsplit(' ').next().unwrap_or_default();
        let fields = fields(body);
        // A list of words is told where the field is that has one of them.
        if !is_enum || !fields.is_empty() {
            found.push((format!("{place}::{name}"), fields));
        }
    }
    found
}

fn fields(body: &str) -> Fields {
    let mut found = Fields::new();
    let (mut optional, mut flat) = (false, false);
    for line in body.lines().map(str::trim) {
        // A variant with its fields in one line.
        if let Some((_, inner)) = line.split_once(" { ") {
            let names = inner.split(", ").filter_map(|field| field.split_once(": "));
            found.extend(names.map(|(name, _)| (name.to_owned(), false)));
            continue;
        }
        if line.starts_with("#[serde(") {
            optional |= line.contains("skip_serializing_if");
            flat |= line.contains("flatten") || line.contains("(skip)");
        } else if let Some((name, _)) = line.trim_start_matches("pub ").split_once(": ")
            && !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
        {
            if !flat {
                // Several variants of one form may have the same field.
                *found.entry(name.to_owned()).or_insert(false) |= optional;
            }
            (optional, flat) = (false, false);
        }
    }
    found
}

/// The fields that the manual has for a form: each item of its paragraph begins with their names.
fn documented(manual: &str) -> BTreeMap<String, Fields> {
    let mut found = BTreeMap::new();
    for part in manual.split("<!-- body: ").skip(1) {
        let Some((name, rest)) = part.split_once(" -->") else { continue };
        let paragraph = rest.trim_start().split("\n\n").next().unwrap_or_default();
        let (_, items) = paragraph.split_once("**: ").unwrap_or(("", paragraph));
        let items = items.replace('\n', " ");
        let names = items.split("; ").flat_map(|item| {
            let mut names = Vec::new();
            let mut rest = item.trim_start();
            // Ends with the first word that is no name.
            while let Some(inner) = rest.strip_prefix('`') {
                let Some((name, after)) = inner.split_once('`') else { break };
                let optional = after.starts_with('?');
                names.push((name.to_owned(), optional));
                match after.trim_start_matches('?').strip_prefix(", ") {
                    Some(next) => rest = next,
                    None => break,
                }
            }
            names
        });
        found.insert(name.to_owned(), names.collect());
    }
    found
}

#[test]
fn every_field_of_every_answer_is_in_the_manual_and_no_other() {
    let manual = documented(&read("docs/API.md"));
    let mut wrong = Vec::new();
    let mut known = BTreeSet::new();
    for (name, fields) in sources_of_forms().iter().flat_map(|path| forms(path)) {
        known.insert(name.clone());
        let Some(told) = manual.get(&name) else {
            wrong.push(format!("`{name}` has no paragraph: {fields:?}"));
            continue;
        };
        for (field, optional) in &fields {
            match told.get(field) {
                None => wrong.push(format!("`{name}` has `{field}`, and the manual has not")),
                Some(told) if told != optional => {
                    wrong.push(format!("`{name}`: `{field}` may be left out: {optional}"));
                }
                Some(_) => {}
            }
        }
        let extra = told.keys().filter(|field| !fields.contains_key(*field));
        wrong.extend(extra.map(|field| format!("the manual has `{field}`, and `{name}` has not")));
    }
    wrong.extend(
        manual
            .keys()
            .filter(|name| !known.contains(*name))
            .map(|name| format!("the manual tells of `{name}`, which is not there")),
    );
    assert!(known.len() > 50, "{known:?}");
    assert!(wrong.is_empty(), "docs/API.md, bodies:\n{}", wrong.join("\n"));
}

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
