//! Everything that a reply or notice can say by the channel's file, and what each of it means.
//!
//! The rules are those of the manual, written a second time: a rehearsal that took the adapter's
//! own verdict for the truth would never find it wrong.

use std::collections::BTreeMap;

use super::super::kind::Action;
use super::super::reply::{ReplyMap, StateMeaning};
use crate::channel::file::codes::CodeMeaning;
use crate::channel::protocol::said::{Saying, ToldMeaning, yeses_first};
use crate::domain::outcome::Reason;

impl ReplyMap {
    /// Everything that a reply can say, yeses first.
    pub fn vocabulary(&self) -> Vec<Saying> {
        let mut codes: BTreeMap<&str, ToldMeaning> = BTreeMap::new();
        codes.extend(
            self.shared_codes.iter().map(|(code, meaning)| (code, self.of_shared(meaning))),
        );
        codes.extend(
            self.own_codes.iter().map(|(code, meaning)| (code, ToldMeaning::of_code(meaning))),
        );
        let mut said = Vec::new();
        match &self.code {
            // Without a code the request went well.
            None => said.extend(self.good_words(None)),
            Some(path) => {
                if path.is_optional {
                    said.extend(self.good_words(None));
                }
                for (code, means) in codes {
                    let code = Some(code.to_owned());
                    match means {
                        ToldMeaning::Approved => said.extend(self.good_words(code)),
                        other => said.push(Saying::plain(code, other)),
                    }
                }
            }
        }
        yeses_first(said)
    }

    /// What a shared code means in the reply to this kind of request: the table speaks of payments.
    fn of_shared(&self, meaning: CodeMeaning) -> ToldMeaning {
        let means = ToldMeaning::of_code(meaning);
        match (self.action, meaning) {
            (Some(Action::Inquiry), CodeMeaning::Declined(_) | CodeMeaning::Elsewhere(_))
            | (Some(Action::Reversal), CodeMeaning::Declined(_) | CodeMeaning::Elsewhere(_))
            | (Some(Action::FollowUp), CodeMeaning::Elsewhere(_)) => ToldMeaning::Unclear,
            (Some(_) | None, _) => means,
        }
    }

    /// What stands beside a code that says that the request went well.
    fn good_words(&self, code: Option<String>) -> Vec<Saying> {
        let mut said = Vec::new();
        if self.list.is_some() {
            let none = Saying::plain(code.clone(), ToldMeaning::NotFound);
            said.push(Saying { lists_nothing: true, ..none });
        }
        if self.state.is_some() {
            said.extend(self.states.iter().map(|(word, meaning)| Saying {
                state: Some(word.clone()),
                ..Saying::plain(code.clone(), self.of_state(*meaning))
            }));
        } else if self.result_code.is_some() {
            said.extend(self.shared_codes.iter().map(|(result, meaning)| Saying {
                result: Some(result.to_owned()),
                ..Saying::plain(code.clone(), ToldMeaning::of_code(meaning))
            }));
        } else {
            said.push(Saying::plain(code, ToldMeaning::Approved));
        }
        said
    }

    fn of_state(&self, meaning: StateMeaning) -> ToldMeaning {
        match meaning {
            StateMeaning::Approved => ToldMeaning::Approved,
            StateMeaning::Declined => ToldMeaning::Declined(Reason::ChannelFailure),
            StateMeaning::Pending => ToldMeaning::Pending,
            StateMeaning::Reversed if self.action == Some(Action::Reversal) => {
                ToldMeaning::Approved
            }
            StateMeaning::Reversed => ToldMeaning::TakenBack,
            StateMeaning::NotFound => ToldMeaning::NotFound,
            StateMeaning::Unknown => ToldMeaning::Unclear,
        }
    }
}
