//! A channel's response codes and what each of them means to us.

use std::collections::BTreeMap;

use crate::domain::outcome::{Approval, Decline, Outcome, Reason, UnknownCause};

/// The meaning of a code. Channel files write it as `approved`, `pending`, `unknown`, `not_found`,
/// `declined <reason>` or `elsewhere <reason>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeMeaning {
    Approved,
    Pending,
    /// The channel does not know yet, or the code does not prove that no money moved.
    Unknown,
    NotFound,
    Declined(Reason),
    /// Declined because the channel itself is closed to it: another one may be tried.
    Elsewhere(Reason),
}

impl CodeMeaning {
    /// The error says what is allowed in its place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (word, reason) = text.split_once(' ').map_or((text, None), |(w, r)| (w, Some(r)));
        let known = |name: &str| {
            Reason::parse(name.trim()).ok_or_else(|| format!("`{name}` is not one of our reasons"))
        };
        match (word, reason) {
            ("approved", None) => Ok(Self::Approved),
            ("pending", None) => Ok(Self::Pending),
            ("unknown", None) => Ok(Self::Unknown),
            ("not_found", None) => Ok(Self::NotFound),
            ("declined", Some(reason)) => known(reason).map(Self::Declined),
            ("elsewhere", Some(reason)) => known(reason).map(Self::Elsewhere),
            _ => Err("write approved, pending, unknown, not_found, `declined <reason>` or \
                      `elsewhere <reason>`"
                .to_owned()),
        }
    }
}

/// A channel's codes. What is not listed is unknown, never a failure (I-2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodeTable {
    verdicts: BTreeMap<String, CodeMeaning>,
}

impl CodeTable {
    pub fn new(verdicts: impl IntoIterator<Item = (String, CodeMeaning)>) -> Self {
        Self { verdicts: verdicts.into_iter().collect() }
    }

    /// This table with some codes meaning something else, as a channel's file says.
    pub fn overridden(mut self, verdicts: impl IntoIterator<Item = (String, CodeMeaning)>) -> Self {
        self.verdicts.extend(verdicts);
        self
    }

    pub fn verdict(&self, code: &str) -> Option<CodeMeaning> {
        self.verdicts.get(code).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, CodeMeaning)> {
        self.verdicts.iter().map(|(code, verdict)| (code.as_str(), *verdict))
    }

    /// The outcome that a code stands for; `approval` is built only for an approved one, and for
    /// one that is being worked on, which may bring its reference already.
    pub fn outcome(&self, code: &str, approval: impl FnOnce() -> Approval) -> Outcome {
        let code_text = || code.chars().take(32).collect::<String>();
        let declined =
            |reason, elsewhere| Outcome::Declined(Decline { reason, code: code_text(), elsewhere });
        match self.verdict(code) {
            Some(CodeMeaning::Approved) => Outcome::Approved(approval()),
            Some(CodeMeaning::Pending) => Outcome::Pending {
                code: code_text(),
                channel_reference: approval().channel_reference,
            },
            Some(CodeMeaning::Unknown) => Outcome::Unknown(UnknownCause::ChannelUnsure),
            Some(CodeMeaning::NotFound) => Outcome::NotFound { code: code_text() },
            Some(CodeMeaning::Declined(reason)) => declined(reason, false),
            Some(CodeMeaning::Elsewhere(reason)) => declined(reason, true),
            None => Outcome::Unknown(UnknownCause::UnlistedCode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_written_in_words() {
        let funds = Reason::InsufficientFunds;
        assert_eq!(CodeMeaning::parse("approved"), Ok(CodeMeaning::Approved));
        assert_eq!(
            CodeMeaning::parse("declined insufficient_funds"),
            Ok(CodeMeaning::Declined(funds))
        );
        assert_eq!(
            CodeMeaning::parse("elsewhere insufficient_funds"),
            Ok(CodeMeaning::Elsewhere(funds))
        );
        for wrong in ["", "declined", "declined because", "approved now", "failed"] {
            assert!(CodeMeaning::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        /// Whatever its length, and however near it is to one that is listed.
        #[test]
        fn i_2_any_unlisted_code_is_unknown(code in "\\PC{0,8}", listed in "[0-9A-Z]{1,4}") {
            let reason = Reason::InsufficientFunds;
            use CodeMeaning::{Approved, Declined, NotFound};
            for verdict in [Declined(reason), Approved, NotFound] {
                let table = CodeTable::new([(listed.clone(), verdict)]);
                let near = [code.clone(), format!("{listed}{code}"), format!("{code}{listed}")];
                for other in near.iter().filter(|other| **other != listed) {
                    let outcome = table.outcome(other, Approval::default);
                    let unknown = Outcome::Unknown(UnknownCause::UnlistedCode);
                    proptest::prop_assert_eq!(outcome, unknown, "{}", other);
                }
            }
        }
    }

    #[test]
    fn i_2_an_unlisted_code_is_unknown() {
        let table = CodeTable::new([("00".to_owned(), CodeMeaning::Approved)]);
        let outcome = table.outcome("99", Approval::default);
        assert_eq!(outcome, Outcome::Unknown(UnknownCause::UnlistedCode));
        assert_eq!(table.outcome("00", Approval::default), Outcome::Approved(Approval::default()));
    }
}
