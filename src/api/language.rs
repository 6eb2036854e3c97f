//! The texts that people read, in both languages: those of the console's pages and of an order's
//! story; and which one a visitor reads.
//!
//! One file has every text: its key, English, Chinese. A stable word of the API has the key
//! `word.<word>`, or `word.<set>.<word>` where it means another thing in that set.

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

static BY_KEY: LazyLock<HashMap<String, BothTexts>> = LazyLock::new(|| {
    let mut reader = csv::Reader::from_reader(TEXTS.as_bytes());
    let rows = reader.deserialize::<(String, String, String)>();
    let rows = rows.map(|row| row.expect("the file of texts has three columns"));
    rows.map(|(key, english, chinese)| (key, [english, chinese])).collect()
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
}

/// Whether there is a text of this key.
pub fn has_text(key: &str) -> bool {
    BY_KEY.contains_key(key)
}
