//! A credential that the channel hands out for a while, as `[http.token]` describes it: the request
//! that gets it, and where its reply has it and its end. Does no I/O; never panics on what came.

use std::time::Duration;

use zeroize::Zeroizing;

use super::asked::Subject;
use super::document::{ChannelAnswer, MessageBody};
use super::format::BodyForm;
use super::path::Path;
use super::words::Words;
use super::{Declarative, Destination, RequestTemplate};
use crate::channel::fetched::{CredentialSupply, FetchedCredential, FetchedSlot};
use crate::channel::{EncodeError, WireReply, WireRequest};
use crate::domain::time::Timestamp;

/// The longest credential that is taken, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How the credential is got.
pub struct TokenCall {
    pub sending: RequestTemplate,
    pub destination: Destination,
    pub reply_form: BodyForm,
    pub token: Path,
    /// Seconds that it is good for.
    pub expires_in: Option<Path>,
    /// How long it is good where the reply does not say it.
    pub lifetime: Duration,
    /// How long before its end a new one is got.
    pub renew_before: Duration,
    /// Statuses of other replies that say that it is not good.
    pub refused: Vec<u16>,
}

impl TokenCall {
    fn read(&self, reply: &WireReply, now: Timestamp) -> Result<FetchedCredential, String> {
        if !(200..300).contains(&reply.status) {
            return Err(format!("HTTP status {}", reply.status));
        }
        let body = MessageBody::parse(&reply.body, self.reply_form)
            .map_err(|_| "the reply is not of its format")?;
        let answer = ChannelAnswer { body, status: Some(reply.status) };
        let text = answer.text(&self.token).map_err(|_| "the reply's token is no text")?;
        let fits = |text: &str| {
            text.len() <= TOKEN_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let text = text.filter(|text| fits(text)).ok_or("the reply brings no token")?;
        let said = match &self.expires_in {
            Some(path) => answer.text(path).map_err(|_| "the token's end is no text")?,
            None => None,
        };
        let seconds = match said {
            Some(text) => text.parse().map_err(|_| "the token's end is no number of seconds")?,
            None => self.lifetime.as_secs(),
        };
        // One that is shorter than its own notice is used for half of its time.
        let usable = seconds.saturating_sub(self.renew_before.as_secs()).max(seconds / 2);
        let good_for = i64::try_from(usable).unwrap_or(i64::MAX).saturating_mul(1_000);
        Ok(FetchedCredential {
            text: Zeroizing::new(text.into_owned()),
            good_until: Timestamp::from_millis(now.as_millis().saturating_add(good_for)),
        })
    }
}

impl CredentialSupply for Declarative {
    fn slot(&self) -> &FetchedSlot {
        &self.surroundings.token
    }

    fn encode_fetch(&self, now: Timestamp) -> Result<WireRequest, EncodeError> {
        let words = Words::new(Subject::Credential, now, &self.surroundings);
        let written = match &self.token {
            Some(call) => self.write(&call.sending, &call.destination, &words),
            None => Err("this channel file has no [http.token]".to_owned()),
        };
        written.map_err(|problem| EncodeError { request: "token", problem })
    }

    fn decode_fetch(&self, reply: &WireReply, now: Timestamp) -> Result<FetchedCredential, String> {
        self.token.as_ref().ok_or("there is no [http.token]")?.read(reply, now)
    }

    fn is_refusal(&self, reply: &WireReply) -> bool {
        self.token.as_ref().is_some_and(|call| call.refused.contains(&reply.status))
    }
}
