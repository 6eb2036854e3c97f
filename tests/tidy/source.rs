//! The reader of sources: files of the repository, and Rust without its comments, texts and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a fuzzing run makes in `tests/fuzz/`: not the repository's.
const LEFT_BY_FUZZING: [&str; 4] = ["Cargo.lock", "target", "artifacts", "coverage"];

/// One source file.
pub struct Source {
    /// From the repository's root, with slashes.
    pub path: String,
    pub text: String,
    /// Comments and the contents of texts are blanks, lines stay where they are.
    pub code: String,
    /// The same without what only tests compile.
    pub shipped: String,
    pub is_test: bool,
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder, sorted, as paths from the repository's root.
pub fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    // Bounded by the folders that there are.
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if LEFT_BY_FUZZING.iter().any(|left| root().join("tests/fuzz").join(left) == path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(name_of(&path));
            }
        }
    }
    found.sort();
    found
}

pub fn name_of(path: &Path) -> String {
    let inner = path.strip_prefix(root()).expect("it was found below the root");
    inner.to_string_lossy().replace('\\', "/")
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn sources() -> Vec<Source> {
    let folders = ["src", "tests", "benches"];
    let paths = folders.iter().flat_map(|folder| files(folder));
    let paths: Vec<String> = paths.filter(|path| path.ends_with(".rs")).collect();
    let codes: BTreeMap<String, (String, String)> = paths
        .into_iter()
        .map(|path| {
            let text = read(&path);
            let code = blank(&text);
            (path, (text, code))
        })
        .collect();
    let test_modules: BTreeSet<String> =
        codes.iter().flat_map(|(path, (_, code))| modules_of_tests(path, code)).collect();
    let in_tests = |path: &str| {
        !path.starts_with("src/")
            || test_modules.iter().any(|module| {
                path == format!("{module}.rs") || path.starts_with(&format!("{module}/"))
            })
    };
    codes
        .into_iter()
        .map(|(path, (text, code))| {
            let is_test = in_tests(&path);
            let shipped = if is_test { String::new() } else { without_tests(&code) };
            Source { path, text, code, shipped, is_test }
        })
        .collect()
}

/// The modules that a file declares for tests only, as paths without their ending.
pub fn modules_of_tests(path: &str, code: &str) -> Vec<String> {
    let folder = match path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix("/lib.rs")) {
        Some(folder) => folder.to_owned(),
        None => path.trim_end_matches(".rs").to_owned(),
    };
    let mut modules = Vec::new();
    for part in code.split("#[cfg(test)]").skip(1) {
        let line = part.trim_start().lines().next().unwrap_or_default();
        if let Some((_, name)) = line.split_once("mod ")
            && let Some(name) = name.strip_suffix(';')
        {
            modules.push(format!("{folder}/{name}"));
        }
    }
    modules
}

/// Blanks comments and the insides of texts and characters; keeps every line break.
pub fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Every round takes at least one character.
    while let Some(first) = rest.chars().next() {
        let raw = raw_text_end(rest, out.chars().next_back());
        let (length, hides) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), true)
        } else if rest.starts_with("/*") {
            (block_comment_end(rest), true)
        } else if let Some(end) = raw {
            (end, true)
        } else if first == '"' {
            (text_end(rest), true)
        } else if first == '\'' {
            (character_end(rest), rest.len() > 1 && character_end(rest) > 1)
        } else {
            (first.len_utf8(), false)
        };
        let (taken, after) = rest.split_at(length);
        if hides {
            out.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(taken);
        }
        rest = after;
    }
    out
}

pub fn block_comment_end(text: &str) -> usize {
    text.find("*/").map_or(text.len(), |end| end + 2)
}

/// The length of a raw text `r#"…"#` at the start, if there is one.
pub fn raw_text_end(text: &str, before: Option<char>) -> Option<usize> {
    let body = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inner = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - inner.len();
    Some(inner.find(&end).map_or(text.len(), |at| start + at + end.len()))
}

pub fn text_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match (escaped, c) {
            (false, '"') => return at + 1,
            (false, '\\') => escaped = true,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of a character such as `'a'` or `'\n'`; 1 for the mark of a lifetime.
pub fn character_end(text: &str) -> usize {
    let inner = &text[1..];
    if let Some(escape) = inner.strip_prefix('\\') {
        let skipped = escape.chars().next().map_or(0, char::len_utf8);
        return escape[skipped..].find('\'').map_or(1, |end| 2 + skipped + end + 1);
    }
    let length = inner.chars().next().map_or(0, char::len_utf8);
    if inner[length..].starts_with('\'') { 1 + length + 1 } else { 1 }
}

/// Blanks what stands behind `#[cfg(test)]`, up to its closing brace or semicolon.
pub fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, tests) = rest.split_at(at);
        out.push_str(before);
        let end = item_end(tests);
        out.extend(tests[..end].chars().filter(|c| *c == '\n'));
        rest = &tests[end..];
    }
    out.push_str(rest);
    out
}

pub fn item_end(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

pub fn leading_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Fails with every complaint, one a line.
pub fn report(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n{}", complaints.join("\n"));
}

pub fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

pub fn lies_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

#[test]
fn the_reader_of_sources_reads_rust() {
    let text =
        "let a = \"// no\\\" \"; // b\nlet c = '\\''; let d: &'a str = r#\"x\"y\"#; /* e */ f";
    let code = blank(text);
    assert_eq!(code.lines().count(), 2);
    for gone in ["no", "b\n", "x", "e */"] {
        assert!(!code.contains(gone), "{gone}: {code}");
    }
    assert!(code.contains("let d: &'a str =") && code.trim_end().ends_with('f'), "{code}");
    let tests = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { {} }\n}\nfn c() {}";
    let shipped = without_tests(tests);
    assert!(!shipped.contains("fn b") && shipped.contains("fn c"), "{shipped}");
    assert_eq!(shipped.lines().count(), tests.lines().count());
}
