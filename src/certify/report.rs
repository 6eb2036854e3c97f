//! The report of a flight check: JSON for programs, Markdown for the bank.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::certify::case::CaseReport;
use crate::certify::exchange::{CaseExchange, PageShown};

/// A case that was not played, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub group: String,
    pub name: String,
    pub why: String,
}

impl LeftOut {
    pub fn new(group: &str, name: &str, why: &str) -> Self {
        Self { group: group.to_owned(), name: name.to_owned(), why: why.to_owned() }
    }
}

/// Everything that a flight check found.
#[derive(Debug)]
pub struct CertifyReport {
    pub channel: String,
    pub file: String,
    /// What played the other side.
    pub against: String,
    pub cases: Vec<CaseReport>,
    pub left_out: Vec<LeftOut>,
}

impl CertifyReport {
    pub fn new(channel: &str, file: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            file: file.to_owned(),
            against: "the file's own far side".to_owned(),
            cases: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub fn is_passed(&self) -> bool {
        self.cases.iter().all(CaseReport::is_passed)
    }

    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| !case.is_passed()).count()
    }

    pub fn leave_out(&mut self, one: LeftOut) {
        self.left_out.push(one);
    }

    /// A case that fails without being played.
    pub fn fail(&mut self, group: &str, name: &str, problem: String) {
        self.cases.push(CaseReport::unplayed(group, name, vec![problem]));
    }

    pub fn json(&self) -> Json {
        let left_out: Vec<Json> = self
            .left_out
            .iter()
            .map(|one| json!({ "group": one.group, "case": one.name, "why": one.why }))
            .collect();
        let cases: Vec<Json> = self.cases.iter().map(CaseReport::json).collect();
        json!({
            "channel": self.channel, "file": self.file, "against": self.against,
            "verdict": if self.is_passed() { "pass" } else { "fail" },
            "passed": self.cases.len() - self.failed(), "failed": self.failed(),
            "cases": cases, "left_out": left_out,
        })
    }

    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let verdict = if self.is_passed() { "PASS" } else { "FAIL" };
        let (passed, failed) = (self.cases.len() - self.failed(), self.failed());
        line(&mut text, format_args!("# Flight check of channel `{}`: {verdict}", self.channel));
        line(&mut text, format_args!(""));
        let (file, against) = (&self.file, &self.against);
        line(&mut text, format_args!("File `{file}`, played against {against}."));
        let left = self.left_out.len();
        line(&mut text, format_args!("{passed} cases passed, {failed} failed, {left} left out."));
        line(&mut text, format_args!("Card data and keys are masked."));
        line(&mut text, format_args!("\n| group | case | verdict | books at the end |"));
        line(&mut text, format_args!("|---|---|---|---|"));
        for case in &self.cases {
            let books = case.books.as_ref().map_or("–".to_owned(), |books| books.words());
            let (group, name) = (cell(&case.group), cell(&case.name));
            let verdict = case.verdict();
            line(&mut text, format_args!("| {group} | {name} | {verdict} | {} |", cell(&books)));
        }
        if !self.left_out.is_empty() {
            line(&mut text, format_args!("\n## Left out\n"));
        }
        for one in &self.left_out {
            line(&mut text, format_args!("- {}, {}: {}", one.group, one.name, one.why));
        }
        for case in &self.cases {
            write_case(&mut text, case);
        }
        text
    }
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{words}");
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\r', '\n'], " ")
}

fn write_case(text: &mut String, case: &CaseReport) {
    line(text, format_args!("\n## {}: {}\n", case.group, case.name));
    line(text, format_args!("Verdict: **{}**. Expected: {}.", case.verdict(), case.expected));
    for wrong in &case.wrong {
        line(text, format_args!("- failed: {wrong}"));
    }
    for note in &case.notes {
        line(text, format_args!("- note: {note}"));
    }
    if let Some(books) = &case.books {
        line(text, format_args!("\nBooks: {}.", books.words()));
    }
    for exchange in &case.exchanges {
        write_exchange(text, exchange);
    }
}

fn write_exchange(text: &mut String, one: &CaseExchange) {
    let at = one.at_ms;
    line(text, format_args!("\n### +{}.{:03} s: {}\n", at / 1_000, at % 1_000, one.what));
    line(text, format_args!("{}. Heard: {}.", one.happened, one.heard));
    for (title, page) in [("Sent", &one.sent), ("Came", &one.came)] {
        if let Some(page) = page {
            write_page(text, title, page);
        }
    }
}

fn write_page(text: &mut String, title: &str, page: &PageShown) {
    line(text, format_args!("\n{title}:\n\n```text\n{}", page.head));
    for (name, value) in &page.headers {
        line(text, format_args!("{name}: {value}"));
    }
    line(text, format_args!("\n{}\n```", fenced(&page.body)));
    if let (Some(signed), Some(hash)) = (&page.signed_text, &page.signed_sha256) {
        line(text, format_args!("\nSigned text (SHA-256 `{hash}`):\n"));
        line(text, format_args!("```text\n{}\n```", fenced(signed)));
    }
}

/// A text that cannot end its fence.
fn fenced(text: &str) -> String {
    text.replace("```", "'''")
}
