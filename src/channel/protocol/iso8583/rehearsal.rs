//! What a rehearsal needs of the protocol: everything that the other side can answer.
//!
//! The tables of codes are the adapter's; to what they speak is written a second time.

use super::Iso8583;
use super::request::TransactionCodes;
use crate::channel::ChannelRequest;
use crate::channel::protocol::said::{Saying, words_of};
use crate::domain::attempt::Operation;

impl Iso8583 {
    /// Everything that the answer to a request can say, yeses first; nothing where the protocol has
    /// no such request.
    pub fn vocabulary(&self, request: &ChannelRequest) -> Vec<Saying> {
        let is_spoken = |operation, original| TransactionCodes::of(operation, original).is_some();
        match request {
            ChannelRequest::Charge { facts, .. } if is_spoken(facts.operation, None) => {
                words_of(&self.codes.orders)
            }
            ChannelRequest::FollowUp { facts, original, .. }
                if is_spoken(facts.operation, Some(original.operation)) =>
            {
                words_of(&self.codes.orders)
            }
            ChannelRequest::Reversal { facts, .. } if facts.operation != Operation::Undo => {
                words_of(&self.codes.reversals)
            }
            ChannelRequest::Charge { .. }
            | ChannelRequest::FollowUp { .. }
            | ChannelRequest::Reversal { .. }
            | ChannelRequest::Inquiry { .. }
            | ChannelRequest::Service { .. } => Vec::new(),
        }
    }

    /// Everything that an answer can say that comes after its call has ended.
    pub fn late_vocabulary(&self) -> Vec<Saying> {
        words_of(&self.codes.orders)
    }
}
