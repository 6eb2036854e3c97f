//! The texts: both languages have every key that is used, and no template has words of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console")
}

/// The rows of the file of texts: key, English, Chinese.
fn texts() -> Vec<(String, String, String)> {
    let text = fs::read_to_string(folder().join("../api/texts.csv")).expect("the file of texts");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.expect("three columns")).collect()
}

fn templates() -> Vec<(String, String)> {
    let entries = fs::read_dir(folder().join("pages")).expect("the folder of templates");
    let paths = entries.map(|entry| entry.expect("a name").path());
    let templates = paths.filter(|path| path.extension().is_some_and(|end| end == "html"));
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        (name, fs::read_to_string(path).expect("a template"))
    };
    templates.map(read).collect()
}

#[test]
fn both_languages_have_every_key_once() {
    let mut keys = BTreeSet::new();
    for (key, english, chinese) in texts() {
        assert!(!english.trim().is_empty() && !chinese.trim().is_empty(), "{key}");
        let names = |text: &str| {
            let parts = text.split('{').skip(1).filter_map(|part| part.split('}').next());
            parts.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        assert_eq!(names(&english), names(&chinese), "{key}");
        assert!(keys.insert(key.clone()), "{key} stands twice");
    }
    assert!(keys.len() > 100);
}

/// A problem's sentence that was changed in the program alone would be told in Chinese no more.
#[test]
fn every_sentence_of_a_problem_is_made_somewhere() {
    let mut source = String::new();
    gather(&folder().join(".."), &mut source);
    let mut pieces = 0;
    for (key, english, _) in texts().iter().filter(|(key, _, _)| key.starts_with("detail.")) {
        for piece in english.split("{}").map(str::trim).filter(|piece| piece.len() > 3) {
            assert!(source.contains(piece), "{key}: nothing says {piece:?}");
            pieces += 1;
        }
    }
    assert!(pieces > 50, "{pieces}");
}

/// The text of every source file, with strings that go over lines made whole.
fn gather(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("a name").path();
        if path.is_dir() {
            gather(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let mut parts = text.split("\\\n");
            into.push_str(parts.next().unwrap_or_default());
            parts.for_each(|part| into.push_str(part.trim_start()));
        }
    }
}

#[test]
fn every_key_that_is_used_is_there() {
    let keys: BTreeSet<_> = texts().into_iter().map(|row| row.0).collect();
    let mut sources = templates();
    for name in [
        "pages/actions.rs",
        "desk.rs",
        "views.rs",
        "once.rs",
        "sign_in.rs",
        "chart.rs",
        "pages/mod.rs",
    ] {
        let text = fs::read_to_string(folder().join(name)).expect("a source");
        sources.push((name.to_owned(), text));
    }
    let mut used = 0;
    for (name, text) in &sources {
        for begin in ["t(\"", ".text(\""] {
            for (at, _) in text.match_indices(begin) {
                let is_whole = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                let rest = &text[at + begin.len()..];
                let (key, rest) = rest.split_once('"').expect("a text ends");
                // A key that is put together from a word of the API is tried by the pages' tests.
                let is_prefix = rest.trim_start().starts_with('~');
                if is_whole && !is_prefix {
                    used += 1;
                    assert!(keys.contains(key), "{name} asks for the text {key}");
                }
            }
        }
    }
    let (_, sign_in) = &sources[sources.len() - 2 - 1];
    let literals = sign_in.split('"').filter(|part| {
        let known = ["login.", "problem."].iter().any(|begin| part.starts_with(begin));
        known && !part.contains(".html")
    });
    for key in literals {
        assert!(keys.contains(key), "sign_in.rs asks for the text {key}");
    }
    assert!(used > 60, "{used}");
}

/// What stands outside of tags and braces, and in the attributes that are read out.
fn bare_words(template: &str) -> Vec<String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '<']) {
        text.push_str(&rest[..at]);
        let (end, skip) = match &rest[at..] {
            block if block.starts_with("{%") => ("%}", true),
            block if block.starts_with("{{") => ("}}", true),
            block if block.starts_with("{#") => ("#}", true),
            _ => (">", false),
        };
        let closed = tag_end(&rest[at..], end);
        text.push(' ');
        if !skip {
            for name in ["title=\"", "aria-label=\"", "placeholder=\"", "alt=\""] {
                if let Some((_, value)) = rest[at..at + closed].split_once(name)
                    && !value.starts_with('{')
                {
                    text.push_str(value.split('"').next().unwrap_or_default());
                }
            }
        }
        rest = &rest[at + closed..];
    }
    text.push_str(rest);
    let words = text.split_whitespace().map(str::to_owned);
    words.filter(|word| word.chars().any(char::is_alphabetic)).collect()
}

/// Where a tag or block ends; braces within a tag are skipped.
fn tag_end(text: &str, end: &str) -> usize {
    let mut at = 0;
    while at < text.len() {
        if end == ">" && text[at..].starts_with("{{") {
            at += text[at..].find("}}").map_or(text.len(), |inner| inner + 2);
        } else if end == ">" && text[at..].starts_with("{%") {
            at += text[at..].find("%}").map_or(text.len(), |inner| inner + 2);
        } else if text[at..].starts_with(end) {
            return at + end.len();
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

#[test]
fn no_template_has_words_of_its_own() {
    // Units are the same in both languages, and so are the names of a method and a format.
    let known = ["ms", "GET", "CSV"];
    for (name, text) in templates() {
        let mut words = bare_words(&text);
        words.retain(|word| !known.contains(&word.as_str()));
        assert!(words.is_empty(), "{name}: {words:?}");
    }
    let template = "<p title=\"Bare\">{{ t(\"x\") }} words \
                    <a href=\"/{{ id }}\">{% if x %}here{% endif %}</a>";
    assert_eq!(bare_words(template), ["Bare", "words", "here"].map(str::to_owned).to_vec());
}
