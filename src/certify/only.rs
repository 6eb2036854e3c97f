//! The only channel of a case, as the engine has it: no limit for the day, no other node, and terms
//! that stay as they are.

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{ChannelFuture, ChannelRequest, Channels, ReplyMeaning};
use crate::domain::attempt::Attempt;
use crate::domain::cluster::NodePart;
use crate::domain::ids::ChannelId;
use crate::domain::money::AmountMinor;
use crate::domain::order::Order;
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;

/// What stands on the channel's side of a case.
pub trait CaseAnswers: Send + Sync {
    /// Carries out a request, and says what is heard of it.
    fn answer(&self, request: ChannelRequest) -> ChannelFuture<'_, ReplyMeaning>;
}

/// See the head of this file.
pub struct OnlyChannel {
    pub terms: Arc<Terms>,
    pub answers: Arc<dyn CaseAnswers>,
}

impl Channels for OnlyChannel {
    fn ids(&self) -> Vec<ChannelId> {
        vec![self.terms.channel.clone()]
    }

    fn terms(&self, channel: &ChannelId) -> Option<Arc<Terms>> {
        (*channel == self.terms.channel).then(|| Arc::clone(&self.terms))
    }

    fn terms_at(&self, channel: &ChannelId, _at: Timestamp) -> Option<Arc<Terms>> {
        self.terms(channel)
    }

    fn longest_wait(&self, _channel: &ChannelId) -> Duration {
        self.terms.longest_wait()
    }

    fn give_back(&self, _attempt: &Attempt, _amount: AmountMinor) {}

    fn count_sample(&self, _order: &Order, _attempt: &Attempt) {}

    fn share(&self, _part: NodePart) -> bool {
        true
    }

    fn nodes_max(&self, _channel: &ChannelId) -> u32 {
        1
    }

    fn call<'a>(
        &'a self,
        _channel: &'a ChannelId,
        request: ChannelRequest,
    ) -> ChannelFuture<'a, ReplyMeaning> {
        self.answers.answer(request)
    }
}
