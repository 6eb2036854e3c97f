//! What a channel can say of an attempt or a service, by its file, and what each of it means: the
//! words of the far sides that files are rehearsed against.

use crate::channel::file::codes::{CodeMeaning, CodeTable};
use crate::domain::outcome::Reason;
use crate::domain::time::BusinessDate;

/// What the channel means by one thing that it can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldMeaning {
    /// What was asked for has happened; of an inquiry: the original has.
    Approved,
    /// A final no, for this reason.
    Declined(Reason),
    Pending,
    /// Nothing is proven by it.
    Unclear,
    NotFound,
    /// The original went through and was taken back.
    TakenBack,
}

/// One thing that a channel can say: a code, and beside it the original's state or its own code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saying {
    pub code: Option<String>,
    pub state: Option<String>,
    pub result: Option<String>,
    /// A list of orders in which none is found.
    pub lists_nothing: bool,
    pub means: ToldMeaning,
}

impl ToldMeaning {
    /// What a code means where it speaks of what was asked for.
    pub const fn of_code(meaning: CodeMeaning) -> Self {
        match meaning {
            CodeMeaning::Approved => Self::Approved,
            CodeMeaning::Pending => Self::Pending,
            CodeMeaning::Unknown => Self::Unclear,
            CodeMeaning::NotFound => Self::NotFound,
            CodeMeaning::Declined(reason) | CodeMeaning::Elsewhere(reason) => {
                Self::Declined(reason)
            }
        }
    }
}

impl Saying {
    pub const fn plain(code: Option<String>, means: ToldMeaning) -> Self {
        Self { code, state: None, result: None, lists_nothing: false, means }
    }

    /// The same in a few words.
    pub fn words(&self) -> String {
        let part = |name: &str, text: &Option<String>| {
            text.as_ref().map(|text| format!("{name} `{text}`"))
        };
        let parts =
            [part("code", &self.code), part("state", &self.state), part("result", &self.result)];
        let mut words: Vec<String> = parts.into_iter().flatten().collect();
        if self.lists_nothing {
            words.push("an empty list".to_owned());
        }
        words.join(", ")
    }
}

/// Every code of a table, yeses first.
pub fn words_of(table: &CodeTable) -> Vec<Saying> {
    let word = |(code, meaning): (&str, _)| {
        Saying::plain(Some(code.to_owned()), ToldMeaning::of_code(meaning))
    };
    yeses_first(table.iter().map(word).collect())
}

/// The same words, those that say yes before all others.
pub fn yeses_first(mut words: Vec<Saying>) -> Vec<Saying> {
    words.sort_by_key(|one| one.means != ToldMeaning::Approved);
    words
}

/// Who signs a message of the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageSigner {
    Channel,
    /// Somebody else, with a key of the same kind.
    Stranger,
}

/// One thing that the channel is to say, and the day on which it books what has happened.
#[derive(Clone, Copy)]
pub struct FarWord<'a> {
    pub saying: &'a Saying,
    pub settle_date: BusinessDate,
    pub signer: MessageSigner,
}
