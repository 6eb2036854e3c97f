//! Every requirement that is cited has its row, and every row that is met has its test.

use std::collections::BTreeSet;

use super::{documents, leading_name, read, sources};

/// What looks like a requirement's number and is none.
const NO_REQUIREMENTS: [(&str, &str); 1] = [("S56", "UnionPay's word for a consume")];

/// The requirements' numbers in a text: `S7`, and `s7_` where a test's name begins with it.
fn cited(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let named = text.match_indices("fn s").map(|(at, _)| at + "fn ".len());
    let written = text.match_indices('S').map(|(at, _)| at);
    let written = written.filter(|at| !text[..*at].ends_with(is_word));
    let numbers = written.chain(named).filter_map(|at| {
        let after = &text[at + 1..];
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let ends = after[digits..].chars().next().is_none_or(|c| !is_word(c) || c == '_');
        ((1..=2).contains(&digits) && ends).then(|| format!("S{}", &after[..digits]))
    });
    numbers.filter(|number| NO_REQUIREMENTS.iter().all(|row| row.0 != number)).collect()
}

#[test]
fn every_requirement_that_is_cited_has_its_row() {
    let mut complaints = Vec::new();
    let mut defined = BTreeSet::new();
    for row in read("docs/REQUIREMENTS.md").lines().filter(|line| line.starts_with("| S")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [number, _, state, _, shown] = cells[..] else { panic!("five cells: {row}") };
        let number = number.trim_start_matches("| ");
        assert!(defined.insert(number.to_owned()), "{number} stands twice");
        let tests: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        match state {
            "met" | "partly" if tests.is_empty() => complaints.push(format!("{number}: no test")),
            "not" if !tests.is_empty() => complaints.push(format!("{number}: not met, and a test")),
            "met" | "partly" | "not" => {}
            _ => complaints.push(format!("{number}: {state} is no state")),
        }
        for test in tests {
            let (file, name) = test.split_once("::").expect("file::name");
            let heads = read(file);
            let mut heads = heads.split("fn ").skip(1).map(leading_name);
            if !heads.any(|head| head == name) {
                complaints.push(format!("{number}: {file} has no test {name}"));
            }
        }
    }
    assert!(defined.len() > 40, "{defined:?}");
    let code = sources().into_iter().map(|source| (source.path, source.text));
    for (path, text) in code.chain(documents()) {
        let missing: Vec<String> = cited(&text).difference(&defined).cloned().collect();
        if !missing.is_empty() {
            complaints.push(format!("{path}: {missing:?} have no row"));
        }
    }
    super::report("docs/REQUIREMENTS.md", &complaints);
    let found = cited("(S7, XS8) S9_ S123 fn s38_new() fn sum1() S4:");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["S38", "S4", "S7", "S9"]);
}
