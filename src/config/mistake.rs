//! A mistake in a setting: its problem, its place, and what to write instead.
//!
//! This file must not know what any setting means. It upholds I-11 for every message about
//! settings: a run of twelve or more digits never gets through `Mistake::new`, and `quote` keeps
//! the values of secrets back, and what an address may hide.

use std::cell::{Cell, RefCell};
use std::fmt;

use super::keys::KeyRecord;

/// The most mistakes that are kept for one reading; what comes after them is only counted.
pub const MISTAKES_MAX: usize = 1_000;

/// A run of this many digits may be a card number (ISO/IEC 7812-1 begins at 12) and is not shown.
const HIDDEN_DIGITS_MIN: usize = 12;

/// The longest piece of a value that a message quotes, in characters.
const QUOTE_LENGTH_MAX: usize = 40;

/// Values of keys whose path contains one of these words are never quoted.
const SECRET_WORDS: [&str; 5] = ["key", "secret", "password", "token", "credential"];

/// One mistake in one setting.
///
/// The fields are for reading; build one with [`Mistake::new`], which hides long runs of digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The file as the caller named it, or the environment variable that gave the value.
    pub file: String,
    /// 1-based; 0 stands for the whole file and for an environment variable.
    pub line: usize,
    /// Dotted path such as `unknown.inquire[2]`; empty when the mistake belongs to no key.
    pub key: String,
    pub problem: String,
    pub advice: String,
}

impl Mistake {
    /// Long runs of digits in `key`, `problem` and `advice` are replaced (I-11).
    pub fn new(file: &str, line: usize, key: &str, problem: &str, advice: &str) -> Self {
        Self {
            file: file.to_owned(),
            line,
            key: hide_long_digits(key),
            problem: hide_long_digits(problem),
            advice: hide_long_digits(advice),
        }
    }
}

/// `file:line: key: problem; advice`. The line is left out when it is 0, the key when it is empty.
impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(formatter, ": {}", self.key)?;
        }
        write!(formatter, ": {}; {}", self.problem, self.advice)
    }
}

impl std::error::Error for Mistake {}

/// Collects mistakes while reading goes on, and the keys that were asked for. Shared by reference
/// with everything that reads.
#[derive(Debug, Default)]
pub struct Mistakes {
    pub keys: KeyRecord,
    kept: RefCell<Vec<Mistake>>,
    dropped: Cell<usize>,
}

impl Mistakes {
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the mistake, or only counts it once [`MISTAKES_MAX`] are kept.
    pub fn add(&self, mistake: Mistake) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < MISTAKES_MAX {
            kept.push(mistake);
        } else {
            self.dropped.set(self.dropped.get().saturating_add(1));
        }
    }

    pub fn extend(&self, mistakes: impl IntoIterator<Item = Mistake>) {
        for mistake in mistakes {
            self.add(mistake);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.kept.borrow().is_empty()
    }

    /// How many mistakes were made, including those that were only counted.
    pub fn count(&self) -> usize {
        self.kept.borrow().len().saturating_add(self.dropped.get())
    }

    /// `Err` with every mistake in the order of files, lines and keys if there is one.
    ///
    /// Mistakes beyond [`MISTAKES_MAX`] appear as one last entry that gives their number.
    pub fn into_result(self) -> Result<(), Vec<Mistake>> {
        let mut kept = self.kept.into_inner();
        if kept.is_empty() {
            return Ok(());
        }
        kept.sort();
        let dropped = self.dropped.get();
        if let Some(last) = kept.last().filter(|_| dropped > 0) {
            let problem = format!("{dropped} further mistakes are not listed");
            let more = Mistake::new(&last.file, 0, "", &problem, "correct the listed ones first");
            kept.push(more);
        }
        Err(kept)
    }
}

/// Whether the value at this path is a secret by its name, so that no message may show it.
pub(super) fn is_secret(path: &str) -> bool {
    let path = path.to_lowercase();
    SECRET_WORDS.iter().any(|word| path.contains(word))
}

/// A value as a message may show it: quoted, shortened, without long digits; a secret not at all.
pub(super) fn quote(value: &str, secret: bool) -> String {
    if secret {
        return "the value (not shown)".to_owned();
    }
    // All is hidden first: shortening could otherwise leave the first part of a card number.
    let safe = hide_long_digits(&hide_address_secrets(value));
    let shown: String = safe.chars().take(QUOTE_LENGTH_MAX).collect();
    let rest = if shown.len() < safe.len() { "…" } else { "" };
    format!("\"{}{rest}\"", shown.escape_debug())
}

/// A text as an address that may hold secrets: who signs in there, each value of its query, and its
/// fragment are replaced by "…".
///
/// A password that was not escaped may hold `/`, `?`, `#` and `@` itself, so that all before the
/// last `@` is hidden, at worst a piece of the path.
pub(super) fn hide_address_secrets(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('@') => (format!("{scheme}://"), rest),
        // Without an `@` it is no address: keys and times stand in texts too.
        _ if !text.contains('@') => return text.to_owned(),
        _ => (String::new(), text),
    };
    let (who, place) = match rest.rsplit_once('@') {
        Some((_, place)) => ("\u{2026}@", place),
        None => ("", rest),
    };
    let (place, fragment) = match place.split_once('#') {
        Some((place, _)) => (place, "#\u{2026}"),
        None => (place, ""),
    };
    let Some((place, query)) = place.split_once('?') else {
        return format!("{scheme}{who}{place}{fragment}");
    };
    let values = query.split(['&', ';']).map(|pair| match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() => format!("{name}=\u{2026}"),
        Some(_) => pair.to_owned(),
        None if pair.is_empty() => String::new(),
        None => "\u{2026}".to_owned(),
    });
    format!("{scheme}{who}{place}?{}{fragment}", values.collect::<Vec<_>>().join("&"))
}

/// Replaces each run of twelve or more digits, also one written in groups.
pub(super) fn hide_long_digits(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut safe = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        if !character.is_numeric() {
            safe.push(character);
            at += 1;
            continue;
        }
        let (end, digits) = digit_run(&characters, at);
        if digits >= HIDDEN_DIGITS_MIN {
            safe.push_str("(long number)");
        } else {
            safe.extend(&characters[at..end]);
        }
        at = end;
    }
    safe
}

/// The end of the run of digits that begins at `start`, and how many digits it has.
///
/// Spaces, dashes and underscores between digits belong to the run: cards are written in groups.
fn digit_run(characters: &[char], start: usize) -> (usize, usize) {
    let mut end = start;
    let mut digits = 0;
    for (at, character) in characters.iter().enumerate().skip(start) {
        if character.is_numeric() {
            digits += 1;
            end = at + 1;
        } else if !(character.is_whitespace() || matches!(character, '-' | '_')) {
            break;
        }
    }
    (end, digits)
}

/// The known name that is closest to `given`, if one is at most two edits away.
///
/// Case and dashes do not count as edits. Names of up to three characters may differ by one edit
/// only, because with two almost every short name would be near.
pub(super) fn nearest<'n>(
    given: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let given = plain(given);
    let limit = if given.len() <= 3 { 1 } else { 2 };
    known
        .into_iter()
        .map(|name| (edit_distance(&given, &plain(name)), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Long names are cut: no name we know is this long, and the distance is quadratic.
fn plain(name: &str) -> Vec<char> {
    const COMPARED_LENGTH_MAX: usize = 64;
    let same = |character: char| if character == '-' { '_' } else { character };
    name.to_lowercase().chars().map(same).take(COMPARED_LENGTH_MAX).collect()
}

/// Levenshtein's distance: insertions, deletions and replacements.
fn edit_distance(left: &[char], right: &[char]) -> usize {
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let replaced = previous[column] + usize::from(from != to);
            let removed = previous[column + 1] + 1;
            let inserted = current[column] + 1;
            current.push(replaced.min(removed).min(inserted));
        }
        previous = current;
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i_11_long_digits_are_hidden_however_they_are_grouped() {
        for (text, shown) in [
            ("pan 6222021234567890 here", "pan (long number) here"),
            ("6222 0212-3456_7890", "(long number)"),
            ("6222\t0212\n3456 7890", "(long number)"),
            ("６２２２０２１２３４５６７８９０", "(long number)"),
            ("2026-11-22 10:20:30", "2026-11-22 10:20:30"),
            ("12345678901", "12345678901"),
            ("1, 2, 3", "1, 2, 3"),
            ("- 12 -", "- 12 -"),
            ("", ""),
        ] {
            assert_eq!(hide_long_digits(text), shown, "{text:?}");
        }
    }

    #[test]
    fn i_11_an_address_shows_neither_who_signs_in_nor_what_its_query_says() {
        for (text, shown) in [
            ("postgres://user:pa/ss@host/db", "postgres://\u{2026}@host/db"),
            ("postgres://user:p?a#s@s@host:5432/db", "postgres://\u{2026}@host:5432/db"),
            ("postgres://user:%40%2F@host", "postgres://\u{2026}@host"),
            ("https://token@host/a", "https://\u{2026}@host/a"),
            (
                "postgres://host/db?user=u&password=a:b&sslpassword=&sslmode=disable",
                "postgres://host/db?user=\u{2026}&password=\u{2026}&sslpassword=&sslmode=\u{2026}",
            ),
            ("https://host/hook?token=a@b", "https://\u{2026}@b"),
            ("https://host/hook?abc;d=e#token", "https://host/hook?\u{2026}&d=\u{2026}#\u{2026}"),
            ("user:word@host", "\u{2026}@host"),
            ("a@b://word@host", "\u{2026}@host"),
            ("https://host/path", "https://host/path"),
            ("10s", "10s"),
            ("file:key?", "file:key?"),
        ] {
            assert_eq!(hide_address_secrets(text), shown, "{text:?}");
        }
        let quoted = quote("postgres://user:pa/ss@host/db", false);
        assert_eq!(quoted, "\"postgres://\u{2026}@host/db\"");
    }

    #[test]
    fn i_11_a_quote_that_is_cut_shows_no_part_of_a_long_number() {
        let text = format!("{}6222021234567890", "x".repeat(30));
        assert_eq!(quote(&text, false), format!("\"{}(long numb…\"", "x".repeat(30)));
        assert_eq!(quote("hunter2", true), "the value (not shown)");
        assert_eq!(quote("a\n\u{1b}[1m", false), r#""a\n\u{1b}[1m""#);
    }

    #[test]
    fn the_nearest_name_is_at_most_two_edits_away() {
        let known = ["per_second", "burst", "id"];
        assert_eq!(nearest("per_secnd", known), Some("per_second"));
        assert_eq!(nearest("Per-Second", known), Some("per_second"));
        assert_eq!(nearest("brust", known), Some("burst"));
        assert_eq!(nearest("ids", known), Some("id"));
        assert_eq!(nearest("at", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn mistakes_are_sorted_and_bounded() {
        let mistakes = Mistakes::new();
        assert!(mistakes.is_empty());
        for line in (1..=MISTAKES_MAX + 2).rev() {
            mistakes.add(Mistake::new("a.toml", line, "x", "is wrong", "correct it"));
        }
        assert_eq!(mistakes.count(), MISTAKES_MAX + 2);
        let listed = mistakes.into_result().unwrap_err();
        assert_eq!(listed.len(), MISTAKES_MAX + 1);
        assert_eq!(listed[0].to_string(), "a.toml:3: x: is wrong; correct it");
        assert_eq!(
            listed[MISTAKES_MAX].to_string(),
            "a.toml: 2 further mistakes are not listed; correct the listed ones first"
        );
    }

    #[test]
    fn secrets_are_known_by_name() {
        for path in ["api.key", "signing.Private_Key", "db.password", "x.tokens[2]", "credentials"]
        {
            assert!(is_secret(path), "{path}");
        }
        assert!(!is_secret("pace.per_second"));
    }
}
