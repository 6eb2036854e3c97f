//! A request that goes before the one that carries an operation out: what its reply brings (a
//! token, a key, a session) stands in the second.
//!
//! Upholds I-2 and I-3: the two have their own truths. While the first has not gone well, no byte
//! of the second has left, so the operation is *not sent*, or declined where the channel says so
//! for good. From the second one on, all is as with a single request. Neither is ever repeated.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::fetched::CredentialInUse;
use super::transport::http::HttpTransport;
use super::{
    ChannelRequest, EncodeError, ReplyMeaning, SentStamp, Uncertainty, WireReply, WireRequest,
};
use crate::clock::Timekeeper;
use crate::domain::outcome::{NotSentCause, Outcome};
use crate::domain::time::Timestamp;

/// What a first request has brought: values by their names. Never shown.
#[derive(Clone, Default)]
pub struct Brought(Vec<(String, Zeroizing<String>)>);

impl Brought {
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(values.into_iter().map(|(name, text)| (name, Zeroizing::new(text))).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, text)| text.as_str())
    }
}

/// How a first request ended.
pub enum FirstEnd {
    /// The second may leave.
    Goes(Arc<Brought>),
    /// The channel has declined the operation for good.
    Declined(ReplyMeaning),
    /// Nothing proves that it went well. With the channel's own words.
    Failed(Uncertainty, String),
}

/// The first request of an operation, and the second with what it brought.
pub trait FirstRequest: Send + Sync {
    fn encode_first(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError>;

    /// The first request in words, as [`super::Adapter::sent_words`] has the second.
    fn first_words(&self, request: &ChannelRequest, stamp: &SentStamp) -> String;

    fn decode_first(&self, request: &ChannelRequest, reply: &WireReply, now: Timestamp)
    -> FirstEnd;

    fn encode_second(
        &self,
        request: &ChannelRequest,
        brought: Arc<Brought>,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError>;
}

/// Sends the first request, once. The inner error is what has become of the whole operation: its
/// second request is not to be sent.
pub async fn bring(
    first: &dyn FirstRequest,
    (transport, clock): (&HttpTransport, &Timekeeper),
    credential: &CredentialInUse<'_>,
    request: &ChannelRequest,
) -> Result<Result<Arc<Brought>, ReplyMeaning>, EncodeError> {
    let at = clock.now();
    let mut wire = first.encode_first(request, at)?;
    let stamp = SentStamp { at, signature: std::mem::take(&mut wire.signature) };
    // Of the two requests this one alone has left, so its words are what was sent.
    let words = || first.first_words(request, &stamp);
    let reply = match transport.send(wire).await {
        Ok(reply) => reply,
        Err(failure) => {
            let (cause, sent) = match failure.outcome() {
                Outcome::NotSent(cause) => (cause, String::new()),
                _ => (NotSentCause::FirstFailed, words()),
            };
            let ended = ReplyMeaning::new(Outcome::NotSent(cause), String::new());
            return Ok(Err(ReplyMeaning { sent, ..ended }));
        }
    };
    credential.heard(&reply);
    Ok(match first.decode_first(request, &reply, clock.now()) {
        FirstEnd::Goes(brought) => Ok(brought),
        FirstEnd::Declined(meaning) => Err(ReplyMeaning { sent: words(), ..meaning }),
        FirstEnd::Failed(Uncertainty { objection, .. }, transcript) => {
            let outcome = Outcome::NotSent(NotSentCause::FirstFailed);
            let ended = ReplyMeaning::new(outcome, transcript);
            Err(ReplyMeaning { objection, sent: words(), ..ended })
        }
    })
}
