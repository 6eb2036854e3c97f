//! ISO 8583 over TCP, in the two dialects of Chinese card links: POS-P (a terminal to its acquirer)
//! and CUPS (an institution to UnionPay's centre).
//!
//! Encodes, decodes and classifies on bytes; `transport/tcp` has the links. Every number that names
//! a transaction at the channel (trace number, terminal, times) is a function of the attempt's own
//! number and time, which are durable before anything leaves (I-1): a reversal after a crash names
//! the same transaction. What is not a verified answer about what was asked is unknown (I-2).
//!
//! Reading order: `settings` (what a channel's file says), `numbering`, `request`, `sent`, `reply`,
//! `codes`, `network` (pairing, sign-on, line test), `section`, `written` (for samples),
//! `rehearsal`.

pub mod section;

mod codes;
mod keys;
mod network;
mod numbering;
mod rehearsal;
mod reply;
mod request;
mod sent;
mod settings;
mod written;

use crate::channel::transport::tcp::{FrameMac, LinkFrame, RequestTrace};
use crate::channel::{ChannelRequest, EncodeError, LinkAdapter, ReplyMeaning};
use crate::domain::time::Timestamp;

pub use self::numbering::Numbering;
pub use self::settings::{Iso8583Terms, Mac, Style, Wire};
pub use self::written::WrittenMessage;

use self::codes::ResponseCodes;
use self::keys::KeyRing;

/// The adapter of one channel.
pub struct Iso8583 {
    settings: Iso8583Terms,
    codes: ResponseCodes,
    keys: KeyRing,
    /// For samples only: see [`Self::without_verification`].
    believes_unproved: bool,
}

impl Iso8583 {
    pub fn new(settings: Iso8583Terms, codes: ResponseCodes) -> Self {
        let keys = KeyRing::new(settings.mac.as_ref());
        Self { settings, codes, keys, believes_unproved: false }
    }
}

impl LinkAdapter for Iso8583 {
    fn encode_frame(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
    ) -> Result<(LinkFrame, RequestTrace), EncodeError> {
        self.write_request(request, now)
            .map_err(|problem| EncodeError { request: request.name(), problem })
    }

    fn sent_words(
        &self,
        request: &ChannelRequest,
        at: Timestamp,
        mac: Option<&FrameMac>,
    ) -> String {
        self.words_of(request, at, mac)
    }

    fn decode_frame(&self, asked: &RequestTrace, frame: &[u8], _: Timestamp) -> ReplyMeaning {
        self.understand(asked, frame)
    }
}

#[cfg(test)]
mod tests;
