//! Every block of the manual is tried: commands are run, settings and channel files are read.

use std::fs;
use std::path::Path;

use switchyard::config;

use crate::shell::Shell;
use crate::support::Scratch;

/// The line above a block of commands that is not run, with the reason.
const NOT_RUN: &str = "*Not run by the tests: ";
/// What a block may be.
const KINDS: [&str; 5] = ["sh", "json", "toml", "sql", "text"];

/// A fenced block.
#[derive(Debug)]
struct Block {
    /// File and line.
    place: String,
    kind: String,
    text: String,
    /// Why it is not run.
    not_run: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Translations have the same blocks, as tests/tidy/translations.rs sees to.
fn manuals() -> Vec<String> {
    let mut manuals = Vec::new();
    for folder in ["docs", "docs/how-to"] {
        let docs = fs::read_dir(root().join(folder)).expect("the manual's folder");
        let names = docs.map(|entry| entry.expect("an entry").file_name());
        let names = names.map(|name| format!("{folder}/{}", name.to_string_lossy()));
        manuals.extend(names.filter(|name| name.ends_with(".md") && !name.ends_with(".zh-CN.md")));
    }
    manuals.sort();
    manuals.insert(0, "README.md".to_owned());
    manuals
}

fn blocks(manual: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(manual)).expect("a manual");
    let mut found: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    let mut above = String::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{manual}:{}", number + 1);
        match (open.take(), line.strip_prefix("```")) {
            (Some(block), Some(_)) => found.push(block),
            (Some(mut block), None) => {
                block.text += line;
                block.text.push('\n');
                open = Some(block);
            }
            (None, Some(kind)) => {
                let reason = above.strip_prefix(NOT_RUN);
                let not_run = reason.map(|reason| reason.trim_end_matches(".*").to_owned());
                let (kind, text) = (kind.to_owned(), String::new());
                open = Some(Block { place, kind, text, not_run });
            }
            (None, None) if !line.is_empty() => above = line.to_owned(),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{manual} closes its blocks");
    found
}

#[test]
fn every_block_says_what_it_is() {
    let all: Vec<Block> = manuals().iter().flat_map(|manual| blocks(manual)).collect();
    assert!(all.len() > 15, "{}", all.len());
    for block in &all {
        let place = &block.place;
        assert!(KINDS.contains(&block.kind.as_str()), "{place}: the block is one of {KINDS:?}");
        if let Some(reason) = &block.not_run {
            assert!(block.kind == "sh" && reason.len() > 10, "{place}: {reason}");
        }
    }
    let run = all.iter().filter(|block| block.kind == "sh" && block.not_run.is_none());
    assert!(run.count() >= 6, "most of what can be run is run");
}

#[test]
fn every_json_block_is_json() {
    for block in manuals().iter().flat_map(|manual| blocks(manual)) {
        if block.kind == "json" {
            let read: Result<serde_json::Value, _> = serde_json::from_str(&block.text);
            assert!(read.is_ok(), "{}: {read:?}", block.place);
        }
    }
}

/// The file that a block of TOML is, as its first line says.
fn name_of(block: &Block) -> String {
    let first = block.text.lines().next().unwrap_or_default();
    let name = first.strip_prefix("# ").filter(|name| name.ends_with(".toml"));
    name.unwrap_or_else(|| panic!("{}: the first line names the file", block.place)).to_owned()
}

/// Runs every block of a manual, one after another, in one folder.
async fn run(manual: &str) {
    let folder = Scratch::new();
    let channels = folder.path().join("channels");
    copy(&root().join("channels"), &channels);
    let mut shell = Shell::new(folder.path());
    for block in blocks(manual) {
        match (block.kind.as_str(), &block.not_run) {
            ("sh", None) => shell.run(&block.place, &block.text).await,
            ("sh", Some(_)) => shell.parse(&block.place, &block.text),
            ("toml", _) => {
                let name = name_of(&block);
                if name == "switchyard.toml" {
                    let given = Some((name.as_str(), block.text.as_str()));
                    let read = config::settings(given, Vec::new(), folder.path());
                    assert!(read.is_ok(), "{}: {:?}", block.place, read.err());
                }
                fs::write(folder.path().join(name), &block.text).expect("a file");
            }
            _ => {}
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_does_what_it_says() {
    run("README.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_manuals_do_what_they_say() {
    for manual in manuals().iter().filter(|manual| *manual != "README.md") {
        run(manual).await;
    }
}

#[test]
fn a_licence_is_there_as_the_package_says() {
    let package = fs::read_to_string(root().join("Cargo.toml")).expect("the package");
    assert!(package.contains("license = \"Apache-2.0\""));
    let text = fs::read_to_string(root().join("LICENSE")).expect("the licence");
    assert!(text.contains("Apache License") && text.contains("END OF TERMS AND CONDITIONS"));
}
