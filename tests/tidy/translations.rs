//! Documents in two languages say the same: the same headings, blocks and commands, and no section
//! of one changes without the other's.
//!
//! `translations.txt` has a line for each section: the digests of both texts when the translation
//! was last made or looked through. Lines may be broken anew; words may not change.

use std::collections::BTreeMap;
use std::fs;

use super::{read, report, root};

/// The English document and the Chinese one.
const PAIRS: [(&str, &str); 3] = [
    ("README.md", "README.zh-CN.md"),
    ("docs/OPERATIONS.md", "docs/OPERATIONS.zh-CN.md"),
    ("docs/ERRORS.md", "docs/ERRORS.zh-CN.md"),
];
const DIGESTS: &str = "tests/tidy/translations.txt";
/// Set to `both`, it writes the digests of sections that have changed in both languages; set to
/// `one`, also of those where one language was put right and the other had no need.
const RENEW: &str = "SWITCHYARD_TRANSLATIONS";

/// A section: its heading's level, the heading, its text without the blocks, and its blocks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Section {
    level: usize,
    heading: String,
    text: String,
    blocks: Vec<String>,
}

impl Section {
    /// FNV-1a of its words and blocks.
    fn digest(&self) -> String {
        let words = self.heading.split_whitespace().chain(self.text.split_whitespace());
        let words = words.chain(self.blocks.iter().map(String::as_str));
        let mut sum = 0xcbf2_9ce4_8422_2325_u64;
        for byte in words.flat_map(|word| word.bytes().chain([b' '])) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        format!("{sum:016x}")
    }

    /// Its blocks without their comments, which are translated.
    fn bare_blocks(&self) -> Vec<String> {
        let bare = |line: &str| {
            let begin = line.find("# ").filter(|at| *at == 0 || line[..*at].ends_with("  "));
            line[..begin.unwrap_or(line.len())].trim_end().to_owned()
        };
        // A comment of TOML may name the block's file, which stays.
        let keep = |line: &str| if line.ends_with(".toml") { line.to_owned() } else { bare(line) };
        self.blocks
            .iter()
            .map(|block| block.lines().map(keep).collect::<Vec<_>>().join("\n"))
            .collect()
    }

    /// The commands between backticks, in no order: languages build their sentences differently.
    fn commands(&self) -> Vec<String> {
        let spans = self.text.split('`').skip(1).step_by(2);
        let commands = spans.filter(|span| span.starts_with("switchyard "));
        let mut commands: Vec<String> =
            commands.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        commands.sort_unstable();
        commands
    }
}

fn sections(document: &str) -> Vec<Section> {
    let mut found = vec![Section::default()];
    let mut is_block = false;
    for line in document.lines() {
        let last = found.last_mut().expect("there is one from the beginning");
        if let Some(kind) = line.strip_prefix("```") {
            is_block = !is_block;
            if is_block {
                last.blocks.push(format!("{kind}\n"));
            }
        } else if is_block {
            let block = last.blocks.last_mut().expect("it was begun");
            block.push_str(line);
            block.push('\n');
        } else if line.starts_with('#') {
            let heading = line.trim_start_matches('#');
            let level = line.len() - heading.len();
            let heading = heading.trim().to_owned();
            found.push(Section { level, heading, ..Section::default() });
        } else {
            last.text.push_str(line);
            last.text.push('\n');
        }
    }
    // What stands above the first heading is nothing.
    found.remove(0);
    found
}

/// What both digests of each section were, by the English document and its heading.
fn kept() -> BTreeMap<String, (String, String)> {
    let text = fs::read_to_string(root().join(DIGESTS)).unwrap_or_default();
    let line = |line: &str| {
        let mut parts = line.splitn(3, ' ').map(str::to_owned);
        let (english, chinese) = (parts.next()?, parts.next()?);
        Some((parts.next()?, (english, chinese)))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn documents_in_two_languages_say_the_same() {
    let mut wrong = Vec::new();
    for (english, chinese) in PAIRS {
        let texts = [english, chinese].map(read);
        for (text, name, other) in [(&texts[0], english, chinese), (&texts[1], chinese, english)] {
            let other = other.rsplit('/').next().unwrap_or_default();
            if !text.lines().take(4).any(|line| line.contains(&format!("]({other})"))) {
                wrong.push(format!("{name} begins with a link to {other}"));
            }
        }
        let [ours, theirs] = texts.map(|text| sections(&text));
        for (one, other) in ours.iter().zip(&theirs) {
            let place = format!("{english}, `{}`, and {chinese}, `{}`", one.heading, other.heading);
            if one.level != other.level {
                wrong.push(format!("{place} are headings of one level"));
                break;
            }
            if one.bare_blocks() != other.bare_blocks() {
                wrong.push(format!("{place} have the same blocks but for comments"));
            }
            if one.commands() != other.commands() {
                let (one, other) = (one.commands(), other.commands());
                wrong.push(format!("{place} have the same commands: {one:?}, {other:?}"));
            }
        }
        if ours.len() != theirs.len() {
            let (one, other) = (ours.len(), theirs.len());
            wrong.push(format!("{english} has {one} sections and {chinese} {other}"));
        }
    }
    report("a document and its translation differ", &wrong);
}

#[test]
fn no_section_changes_without_its_translation() {
    let renews = std::env::var(RENEW).unwrap_or_default();
    let (kept, mut written, mut wrong) = (kept(), String::new(), Vec::new());
    for (english, chinese) in PAIRS {
        let [ours, theirs] = [english, chinese].map(|name| sections(&read(name)));
        for (one, other) in ours.iter().zip(&theirs) {
            let name = format!("{english} {}", one.heading);
            let (before, now) = (kept.get(&name), (one.digest(), other.digest()));
            // A new section has no digests yet: both of its texts have changed.
            let (moved_one, moved_other) =
                before.map_or((true, true), |was| (was.0 != now.0, was.1 != now.1));
            let may_renew = renews == "one" || (renews == "both" && moved_one == moved_other);
            let problem = match (moved_one, moved_other) {
                (false, false) => None,
                (true, false) => Some(format!(
                    "{english}, `{}`, has changed: translate it in {chinese}, `{}`, then run the \
                     test with {RENEW}=both",
                    one.heading, other.heading
                )),
                (false, true) => Some(format!(
                    "{chinese}, `{}`, has changed and {english}, `{}`, has not: where only the \
                     translation was put right, run the test with {RENEW}=one",
                    other.heading, one.heading
                )),
                (true, true) => Some(format!(
                    "{english}, `{}`, and its translation have changed: run the test with \
                     {RENEW}=both",
                    one.heading
                )),
            };
            let stays = problem.is_some() && !may_renew;
            wrong.extend(problem.filter(|_| stays));
            let digests = before.filter(|_| stays).unwrap_or(&now);
            written += &format!("{} {} {name}\n", digests.0, digests.1);
        }
    }
    if !renews.is_empty() {
        fs::write(root().join(DIGESTS), &written).expect("the digests are written");
    } else if wrong.is_empty() {
        let text = read(DIGESTS);
        let lines = |text: &str| text.lines().count();
        assert_eq!(lines(&text), lines(&written), "{DIGESTS} has a line for each section");
    }
    report("a document was changed without its translation", &wrong);
}

#[test]
fn sections_are_read_with_their_blocks() {
    let text = "# A\n\none `switchyard bin` word\n\n```sh\nls  # all\n# a file.toml\n```\n## B\n";
    let found = sections(text);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].level, &*found[0].heading), (1, "A"));
    assert_eq!(found[0].blocks, ["sh\nls  # all\n# a file.toml\n"]);
    assert_eq!(found[0].bare_blocks(), ["sh\nls\n# a file.toml"]);
    assert_eq!(found[0].commands(), ["switchyard bin"]);
    let broken = sections(&text.replace("one `", "one\n`"));
    assert_eq!(found[0].digest(), broken[0].digest(), "lines may be broken anew");
    let other = sections(&text.replace("word", "words"));
    assert_ne!(found[0].digest(), other[0].digest());
}
