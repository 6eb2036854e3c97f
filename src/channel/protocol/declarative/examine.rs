//! Shows what a signature covers, for people who look for the fault in one. Made by the very code
//! that signs and verifies, so that the text shown is the text signed.

use zeroize::Zeroizing;

use super::Declarative;
use super::document::MessageBody;
use super::sign::{Received, RequestLine};
use crate::channel::{ChannelRequest, EncodeError, WireNotice, WireReply, WireRequest};
use crate::domain::time::Timestamp;

/// The text that a signature covers. It may hold card data and a shared key: it is never shown
/// before both are masked.
pub type CoveredText = Zeroizing<Vec<u8>>;

impl Declarative {
    /// A request ready to be sent, with the text that its signature covers; `None` where requests
    /// are unsigned.
    pub fn encode_with_text(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
    ) -> Result<(WireRequest, Option<CoveredText>), EncodeError> {
        let written = self.build(request, None, now).map(|written| (written.wire, written.message));
        written.map_err(|problem| EncodeError { request: request.name(), problem })
    }

    /// The text that must have been signed for a reply to be believed; `None` where replies are
    /// unsigned or this one has not what is signed.
    pub fn reply_text(
        &self,
        request: &ChannelRequest,
        reply: &WireReply,
        now: Timestamp,
    ) -> Option<CoveredText> {
        let verification = self.verification.as_ref()?;
        let body = MessageBody::parse(&reply.body, self.reply_form).ok()?;
        let member = self.call(request).and_then(|call| call.reply.member.as_ref());
        let (headers, bytes, document) = (&reply.headers, &reply.body[..], Some(&body));
        verification.message(&Received {
            headers,
            body: bytes,
            document,
            member,
            now,
            line: RequestLine::default(),
        })
    }

    /// The same of a notice.
    pub fn notice_text(&self, notice: &WireNotice, now: Timestamp) -> Option<CoveredText> {
        let notices = self.notices.as_ref()?;
        let body = MessageBody::parse(&notice.body, notices.form).ok()?;
        let (headers, bytes, document) = (&notice.headers, &notice.body[..], Some(&body));
        let received = Received {
            headers,
            body: bytes,
            document,
            member: None,
            now,
            line: RequestLine::default(),
        };
        notices.verification.message(&received)
    }

    /// The shared keys that stand in such texts, to be masked in them.
    pub fn shared_keys(&self) -> Vec<&[u8]> {
        let signing = self.signing.as_ref().map(|signing| signing.key.bytes());
        let proofs = self.verification.iter().chain(self.notices.iter().map(|n| &n.verification));
        let proving = proofs.flat_map(|proof| proof.keys.iter().map(|(_, key)| key.bytes()));
        signing.into_iter().chain(proving).filter(|key| !key.is_empty()).collect()
    }
}

/// Bytes in which no shared key stands any more.
pub fn without_keys(bytes: &[u8], keys: &[&[u8]]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for key in keys.iter().filter(|key| key.len() >= 4) {
        let mut from = 0;
        while let Some(at) = out[from..].windows(key.len()).position(|part| part == *key) {
            let at = from + at;
            out.splice(at..at + key.len(), *b"***");
            from = at + 3;
        }
    }
    out
}
