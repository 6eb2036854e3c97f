//! The texts that people read, in both languages: those of the console's pages and of an order's
//! story; and which one a visitor reads.
//!
//! One file has every text: its key, English, Chinese. A stable word of the API has the key
//! `word.<word>`, or `word.<set>.<word>` where it means another thing in that set.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

use crate::domain::closed_set;

const TEXTS: &str = include_str!("texts.csv");

closed_set! {
    /// A language of the texts; its name is its tag.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Language {
        English => "en",
        Chinese => "zh",
    }
}

/// A text in both languages, in the order of [`Language`].
type BothTexts = [String; Language::ALL.len()];

/// What the keys of problems' sentences begin with.
const DETAIL: &str = "detail.";
/// What stands in such a sentence for what each occurrence has there.
const GAP: &str = "{}";

static BY_KEY: LazyLock<HashMap<String, BothTexts>> = LazyLock::new(|| {
    let mut reader = csv::Reader::from_reader(TEXTS.as_bytes());
    let rows = reader.deserialize::<(String, String, String)>();
    let rows = rows.map(|row| row.expect("the file of texts has three columns"));
    rows.map(|(key, english, chinese)| (key, [english, chinese])).collect()
});

/// The sentences of problems, the longest first: of two forms that one has, the one that says more
/// of it is taken.
static DETAILS: LazyLock<Vec<&'static BothTexts>> = LazyLock::new(|| {
    let found = BY_KEY.iter().filter(|(key, _)| key.starts_with(DETAIL));
    let mut found: Vec<&BothTexts> = found.map(|(_, texts)| texts).collect();
    found.sort_by(|one, other| other[0].len().cmp(&one[0].len()).then_with(|| one.cmp(other)));
    found
});

impl Language {
    /// The first of a visitor's languages that there is, or English.
    pub fn of(headers: &HeaderMap) -> Self {
        let wanted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let tags = wanted.unwrap_or_default().split(',');
        let mut known = tags.filter_map(|tag| Self::parse(tag.trim().get(..2)?));
        known.next().unwrap_or(Self::English)
    }

    /// The text of a key; empty where there is none.
    pub fn text(self, key: &str) -> &'static str {
        BY_KEY.get(key).map_or("", |texts| &texts[self as usize])
    }

    /// A stable word of the API as people say it.
    pub fn word(self, set: &str, word: &str) -> String {
        let keys = [format!("word.{set}.{word}"), format!("word.{word}")];
        let found = keys.iter().find_map(|key| BY_KEY.get(key));
        found.map_or_else(|| word.replace('_', " "), |texts| texts[self as usize].clone())
    }

    /// A problem's sentence in this language. One that the table has not stays in English, in which
    /// it is made.
    pub fn detail(self, english: &str) -> Cow<'_, str> {
        if self == Self::English {
            return Cow::Borrowed(english);
        }
        let said = DETAILS.iter().find_map(|texts| {
            let mut found = gaps(&texts[Self::English as usize], english)?.into_iter();
            let mut pieces = texts[self as usize].split(GAP);
            let mut told = pieces.next()?.to_owned();
            for piece in pieces {
                told.extend([found.next().unwrap_or_default(), piece]);
            }
            Some(Cow::Owned(told))
        });
        said.unwrap_or(Cow::Borrowed(english))
    }
}

/// What a sentence has in the gaps of a form; `None` where it is not of that form.
fn gaps<'said>(form: &str, said: &'said str) -> Option<Vec<&'said str>> {
    let mut pieces = form.split(GAP);
    let mut rest = said.strip_prefix(pieces.next()?)?;
    let mut found = Vec::new();
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        let end = match pieces.peek() {
            Some(_) => rest.find(piece)?,
            None => rest.strip_suffix(piece)?.len(),
        };
        found.push(&rest[..end]);
        rest = &rest[end + piece.len()..];
    }
    rest.is_empty().then_some(found)
}

/// Whether there is a text of this key.
pub fn has_text(key: &str) -> bool {
    BY_KEY.contains_key(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::command::Refusal;

    #[test]
    fn a_sentence_is_told_with_what_stands_in_its_gaps() {
        let told = |said| Language::Chinese.detail(said).into_owned();
        assert_eq!(told("the field is required"), "该字段必填");
        assert_eq!(told("only 120 minor units are left"), "只剩 120（最小货币单位）");
        assert_eq!(told("the known fields are: a, b"), "可用字段：a, b");
        assert_eq!(told("reading stopped at line {}, column 3"), "读到第 {} 行第 3 列时出错");
        for strange in ["only 1 is left", "the field is required here", ""] {
            assert_eq!(told(strange), strange);
        }
        assert_eq!(Language::English.detail("the field is required"), "the field is required");
    }

    #[test]
    fn what_an_order_refuses_is_told_in_chinese() {
        let refusals = [
            Refusal::NothingOpen,
            Refusal::WrongPhase,
            Refusal::NothingToResolve,
            Refusal::NotEscrow,
            Refusal::NotSucceeded,
            Refusal::ExceedsLeft { left_minor: 7 },
            Refusal::WrongKind,
            Refusal::PartNotSupported,
            Refusal::NotSameDay,
            Refusal::RefundWindowClosed { days: 7 },
            Refusal::PreauthExpired { days: 7 },
            Refusal::CardRequired,
            Refusal::CardDiffers,
            Refusal::Acknowledged,
            Refusal::Withdrawn,
            Refusal::AccountingNotConfigured,
        ];
        for refusal in refusals {
            let told = Language::Chinese.detail(&refusal.to_string()).into_owned();
            assert!(told.contains(|one: char| one >= '\u{4e00}'), "{told}");
        }
    }

    #[test]
    fn a_form_has_its_gaps_in_order() {
        for (form, said, expected) in [
            ("a", "a", Some(vec![])),
            ("a", "ab", None),
            ("{}", "x", Some(vec!["x"])),
            ("a {} b {}", "a 1 b 2", Some(vec!["1", "2"])),
            ("a {} b", "a  b", Some(vec![""])),
            ("a {} b", "a b", None),
        ] {
            assert_eq!(gaps(form, said), expected, "{form}: {said}");
        }
    }
}
