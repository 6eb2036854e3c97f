//! The command line's definition: one flag for one thing, JSON everywhere, and what is made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clap::{ArgAction, Command};

use crate::support::Scratch;
use crate::support::daemon::run;

/// They print no answer: they run until they are stopped, or print what another program reads.
const WITHOUT_JSON: [&str; 4] = ["serve", "simulate", "completions", "man"];
/// Flags that mean another thing in these commands: where the books go, which versions of a table
/// are compared, and why an order has ended.
const OTHER_THINGS: [(&str, &str); 5] = [
    ("to", "store move"),
    ("from", "bin changes"),
    ("to", "bin changes"),
    ("reason", "order list"),
    ("reason", "order export"),
];
/// What stands for a value in the documents' commands.
const PLACES: [(&str, &str); 10] = [
    ("ID", "2611221000000000001"),
    ("CHANNEL", "harbour-bank"),
    ("DATE", "2026-11-22"),
    ("FILE", "a-file"),
    ("DIR", "a-folder"),
    ("DATA", "a-folder"),
    ("NEW", "a-folder"),
    ("TEXT", "because"),
    ("SHELL", "bash"),
    ("…", "value"),
];

/// Every command that does something, with the words that name it.
fn commands() -> Vec<(String, Command)> {
    fn walk(words: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        let inner: Vec<_> =
            command.get_subcommands().filter(|one| one.get_name() != "help").collect();
        if inner.is_empty() {
            found.push((words.to_owned(), command.clone()));
        }
        for one in inner {
            let words = format!("{words} {}", one.get_name());
            walk(words.trim(), one, found);
        }
    }
    let mut whole = switchyard::cli::command();
    whole.build();
    let mut found = Vec::new();
    walk("", &whole, &mut found);
    assert!(found.len() > 40, "{}", found.len());
    found
}

#[test]
fn every_command_has_json() {
    for (words, command) in commands() {
        let has_json = command.get_arguments().any(|one| one.get_long() == Some("json"));
        let needs_none = WITHOUT_JSON.contains(&words.as_str());
        assert_eq!(has_json, !needs_none, "`{words}` and --json");
    }
}

#[test]
fn a_flag_takes_the_same_in_every_command() {
    let mut forms: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for (words, command) in commands() {
        for one in command.get_arguments() {
            let Some(long) = one.get_long() else { continue };
            if OTHER_THINGS.contains(&(long, &words)) {
                continue;
            }
            let takes_value = !matches!(
                one.get_action(),
                ArgAction::SetTrue | ArgAction::Help | ArgAction::Version
            );
            let names = one.get_value_names().unwrap_or_default();
            let form = if takes_value { format!("{names:?}") } else { "nothing".to_owned() };
            let of_form = forms.entry(long.to_owned()).or_default().entry(form).or_default();
            of_form.push(words.clone());
            if long == "url" {
                let variable = one.get_env().and_then(|name| name.to_str());
                assert_eq!(variable, Some("SWITCHYARD_URL"), "`{words}` --url");
            }
        }
    }
    let several: Vec<_> = forms.iter().filter(|(_, forms)| forms.len() > 1).collect();
    assert!(several.is_empty(), "one flag for one thing: {several:#?}");
    assert!(forms.contains_key("url") && forms.contains_key("reason"), "{:?}", forms.keys());
}

#[test]
fn completions_and_pages_have_every_command() {
    let folder = Scratch::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = run(folder.path(), &["completions", shell]);
        let script = String::from_utf8(done.stdout).expect("a text");
        for (words, _) in commands() {
            let last = words.rsplit(' ').next().unwrap_or_default();
            assert!(script.contains(last), "{shell}: {words}");
        }
    }
    let done = run(folder.path(), &["man", "pages/section1"]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let pages = fs::read_dir(folder.path().join("pages/section1")).expect("the pages");
    let pages = pages.map(|page| page.expect("a page").file_name());
    let pages: BTreeSet<String> = pages.map(|name| name.to_string_lossy().into_owned()).collect();
    for (words, _) in commands() {
        let page = format!("switchyard-{}.1", words.replace(' ', "-"));
        assert!(pages.contains(&page), "{page}: {pages:?}");
    }
    let page = fs::read_to_string(folder.path().join("pages/section1/switchyard-reversal-list.1"));
    assert!(
        page.expect("a page").replace('\\', "").contains("SWITCHYARD_URL"),
        "a page tells of the variables"
    );
    // A folder that cannot be made is told.
    fs::write(folder.path().join("taken"), "").expect("a file");
    let refused = run(folder.path(), &["man", "taken"]);
    assert_eq!(refused.status.code(), Some(1));
}

/// The commands in the text of a document, outside of its blocks: what stands between backticks and
/// begins with the program's name, with more than a command's name behind it.
fn commands_of(document: &str) -> Vec<String> {
    let outside: Vec<&str> = document.split("\n```").step_by(2).collect();
    let text = outside.join("\n");
    let spans = text.split('`').skip(1).step_by(2);
    let commands = spans.filter(|span| span.starts_with("switchyard "));
    commands.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_command_in_the_text_of_the_documents_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut tried, mut wrong) = (0, Vec::new());
    for name in ["README.md", "docs/OPERATIONS.md", "docs/METRICS.md", "docs/ERRORS.md"] {
        let text = fs::read_to_string(root.join(name)).expect("a document");
        for line in commands_of(&text) {
            let words = line.split(" | ").next().unwrap_or_default().split(' ').map(|word| {
                let place = PLACES.iter().find(|(place, _)| *place == word);
                place.map_or(word, |(_, value)| *value)
            });
            let found = switchyard::cli::command().try_get_matches_from(words);
            tried += 1;
            // A family of commands (`switchyard bin`) and its help are named too.
            let is_open = |kind| line.contains('…') && kind == clap::error::ErrorKind::InvalidValue;
            if let Err(error) = found
                && !is_open(error.kind())
                && !matches!(
                    error.kind(),
                    clap::error::ErrorKind::DisplayHelp
                        | clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                        | clap::error::ErrorKind::MissingRequiredArgument
                )
            {
                wrong.push(format!("{name}: `{line}`: {error}"));
            }
        }
    }
    assert!(tried > 60, "{tried}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
