//! The last of the test programs: it says what the others left out on this machine.
//!
//! A test that has nobody to compare with passes, and what it prints is not shown. So this program
//! has no harness that would swallow its words, and a name behind all others, since cargo runs
//! test programs by name: what it prints stands in the last lines of `cargo test`.

#[path = "support/witnesses.rs"]
mod witnesses;

use std::path::Path;

fn main() {
    // A runner that asks which tests there are is told: none.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let later = programs().into_iter().filter(|name| name.as_str() > "witnesses");
    assert_eq!(later.collect::<Vec<_>>(), [""; 0], "these run after the last words");
    let left_out = witnesses::left_out();
    for one in &left_out {
        println!("left out: {one}");
    }
    if left_out.is_empty() {
        println!("left out: nothing");
    }
}

/// The names of all test programs: files and folders of `tests/` that have a `main`.
fn programs() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let entries = std::fs::read_dir(folder).expect("the tests are there");
    let paths = entries.map(|entry| entry.expect("a name").path());
    let programs = paths.filter(|path| {
        path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists()
    });
    let name = |path: std::path::PathBuf| path.file_stem()?.to_str().map(str::to_owned);
    programs.filter_map(name).collect()
}
