//! The request that goes before an operation's own, as its section's `first` describes it, and what
//! its reply brings. Does no I/O; never panics on what came.

use std::sync::Arc;

use super::asked::Subject;
use super::document::ChannelAnswer;
use super::path::{Inside, Path};
use super::words::Words;
use super::{Declarative, RequestTemplate};
use crate::channel::file::codes::{CodeMeaning, CodeTable};
use crate::channel::first::{Brought, FirstEnd, FirstRequest};
use crate::channel::protocol::transcript::keep_words;
use crate::channel::{
    ChannelRequest, EncodeError, ReplyMeaning, SentStamp, Uncertainty, WireReply, WireRequest,
};
use crate::domain::outcome::{Decline, Outcome, UnknownCause};
use crate::domain::time::Timestamp;

/// The longest value that is taken, in bytes.
const VALUE_BYTES_MAX: usize = 16 * 1024;
/// The most characters of a code that are kept.
const CODE_LENGTH_MAX: usize = 32;

/// How the first of two requests is written, and its reply read.
pub struct FirstCall {
    pub sending: RequestTemplate,
    /// Where it is optional and absent, the request went well.
    pub code: Path,
    /// The member at the top of the body in which the code stands.
    pub member: Option<Inside>,
    /// Names that the second request may use, and where their values stand.
    pub brings: Vec<(String, Path)>,
    /// The channel's codes, which speak of the operation itself: here they approve only.
    pub shared_codes: CodeTable,
    pub own_codes: CodeTable,
    /// Made-up values, with which samples of the second request are written.
    pub sample: Arc<Brought>,
}

/// What a reply that is believed says.
enum FirstVerdict {
    Goes(Brought),
    Declined(Decline),
}

impl FirstCall {
    /// `begins` tells a charge, which alone may go to another channel.
    fn read(&self, answer: &ChannelAnswer, begins: bool) -> Result<FirstVerdict, Uncertainty> {
        let garbled = |words: String| Uncertainty::new(UnknownCause::Garbled, words);
        let code = answer.text(&self.code)?;
        let verdict = match &code {
            None if self.code.is_optional => Some(CodeMeaning::Approved),
            None => return Err(garbled("the first reply has no code".to_owned())),
            Some(code) => self.own_codes.verdict(code).or_else(|| {
                let shared = self.shared_codes.verdict(code);
                shared.filter(|verdict| *verdict == CodeMeaning::Approved)
            }),
        };
        let code = code.unwrap_or_default().chars().take(CODE_LENGTH_MAX).collect::<String>();
        match verdict {
            Some(CodeMeaning::Approved) => {}
            Some(CodeMeaning::Declined(reason)) => {
                return Ok(FirstVerdict::Declined(Decline { reason, code, elsewhere: false }));
            }
            Some(CodeMeaning::Elsewhere(reason)) if begins => {
                return Ok(FirstVerdict::Declined(Decline { reason, code, elsewhere: true }));
            }
            Some(
                CodeMeaning::Elsewhere(_)
                | CodeMeaning::Pending
                | CodeMeaning::Unknown
                | CodeMeaning::NotFound,
            )
            | None => {
                let words = format!("the first reply's code is {code}");
                return Err(Uncertainty::new(UnknownCause::UnlistedCode, words));
            }
        }
        let mut values = Vec::with_capacity(self.brings.len());
        for (name, path) in &self.brings {
            match answer.text(path)? {
                Some(text) if text.len() <= VALUE_BYTES_MAX && !text.contains(char::is_control) => {
                    values.push((name.clone(), text.into_owned()));
                }
                None if path.is_optional => {}
                Some(_) | None => {
                    return Err(garbled(format!("the first reply brings no `{name}`")));
                }
            }
        }
        Ok(FirstVerdict::Goes(Brought::new(values)))
    }
}

impl Declarative {
    /// The first request that the file describes for this one.
    pub(super) fn first_call(&self, request: &ChannelRequest) -> Option<&FirstCall> {
        self.call(request)?.first.as_ref()
    }
}

impl FirstRequest for Declarative {
    fn encode_first(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError> {
        let words = Words::new(Subject::Attempt(request), now, &self.surroundings);
        let first = self.first_call(request).ok_or("this channel file has no first request");
        let written = first
            .map_err(str::to_owned)
            .and_then(|first| self.write(&first.sending, &self.destination, &words));
        written.map_err(|problem| EncodeError { request: request.name(), problem })
    }

    fn first_words(&self, request: &ChannelRequest, stamp: &SentStamp) -> String {
        self.first_words_of(request, stamp)
    }

    fn decode_first(
        &self,
        request: &ChannelRequest,
        reply: &WireReply,
        now: Timestamp,
    ) -> FirstEnd {
        let begins = matches!(request, ChannelRequest::Charge { .. });
        let understood = match self.first_call(request) {
            Some(first) => self
                .answer(first.member.as_ref(), reply, now)
                .and_then(|answer| first.read(&answer, begins)),
            None => Err(UnknownCause::Garbled.into()),
        };
        let words = || keep_words(&reply.body, request.echo(), &[]);
        match understood {
            Ok(FirstVerdict::Goes(brought)) => FirstEnd::Goes(Arc::new(brought)),
            Ok(FirstVerdict::Declined(decline)) => {
                FirstEnd::Declined(ReplyMeaning::new(Outcome::Declined(decline), words()))
            }
            Err(objection) => FirstEnd::Failed(objection, words()),
        }
    }

    fn encode_second(
        &self,
        request: &ChannelRequest,
        brought: Arc<Brought>,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError> {
        self.build(request, Some(brought), now)
            .map(|written| written.wire)
            .map_err(|problem| EncodeError { request: request.name(), problem })
    }
}
