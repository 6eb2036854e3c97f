//! The keys that sign-ons bring, where several nodes send under them.
//!
//! A sign-on that brings a fresh key ends the one before, on whichever node that is. So one node
//! signs on for a channel's terminals, and each node reads the key in force before it writes a
//! frame, and again before it reads an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::MutexGuard;

use super::{LinkFrame, SignOnRefused, TransportContext};
use crate::channel::ChannelFuture;
use crate::domain::ids::ChannelId;

/// The pause between two looks of a node that waits for another's sign-on.
const LOOKED_FOR_EVERY: Duration = Duration::from_millis(100);

/// What the sign-ons of a channel's terminals have brought, by terminal: keys under the terminals'
/// master key, as the other side sent them.
pub type SignOnKeys = BTreeMap<String, Vec<u8>>;

/// The right to sign on for a channel, while it is held: no other node signs on meanwhile.
pub type SignOnRight = Box<dyn Send>;

/// The keys of all nodes.
pub trait SharedKeys: Send + Sync {
    /// The right to sign on for the channel, where it is this node's now.
    fn signs_on(&self, channel: &ChannelId) -> Option<SignOnRight>;

    /// Keeps what a sign-on has brought a terminal, for all nodes.
    fn keep<'a>(
        &'a self,
        channel: &'a ChannelId,
        terminal: &'a str,
        brought: &'a [u8],
    ) -> ChannelFuture<'a, Result<(), String>>;

    /// What is in force.
    fn in_force<'a>(
        &'a self,
        channel: &'a ChannelId,
    ) -> ChannelFuture<'a, Result<SignOnKeys, String>>;
}

impl TransportContext {
    /// The keys of all nodes; `None` where they are this process's own, or none come by sign-on.
    pub(super) fn shared_keys(&self) -> Option<&dyn SharedKeys> {
        let shared = self.context.keys.get().filter(|_| self.protocol.brings_keys())?;
        Some(&**shared)
    }

    /// One sign-on at a time, with the number of links that are up, where nodes share what it
    /// brings: the last key that was brought is the one in force.
    pub(super) async fn begin_sign_on(&self) -> Option<MutexGuard<'_, usize>> {
        self.shared_keys()?;
        Some(self.signed_on.lock().await)
    }

    /// The frames with which a connection begins at this node, beside `up` links: none where
    /// another node signs on, and has done it, and none where another link has. A further sign-on
    /// would end the key under the requests of all. The right is held until what was brought is
    /// kept: of two sign-ons the later one's key is in force, and must be the last that is kept.
    pub(super) async fn own_sign_on(
        &self,
        frames: Vec<LinkFrame>,
        up: usize,
    ) -> Result<(Vec<LinkFrame>, Option<SignOnRight>), SignOnRefused> {
        let Some(keys) = self.shared_keys() else { return Ok((frames, None)) };
        if up > 0 {
            return self.learn_keys().await.map(|_| (Vec::new(), None));
        }
        // Ended by the caller's time.
        loop {
            if let Some(right) = keys.signs_on(&self.context.channel) {
                return Ok((frames, Some(right)));
            }
            if self.learn_keys().await.is_ok_and(|terminals| terminals >= frames.len()) {
                return Ok((Vec::new(), None));
            }
            tokio::time::sleep(LOOKED_FOR_EVERY).await;
        }
    }

    /// Lets all nodes have the key that a sign-on's answer has brought.
    pub(super) async fn share_key(&self, frame: &[u8]) -> Result<(), SignOnRefused> {
        let Some(keys) = self.shared_keys() else { return Ok(()) };
        let Some((terminal, brought)) = self.protocol.key_of(frame) else { return Ok(()) };
        if !self.context.clock.may_act() {
            let ended = "this node's lease has ended, and another one may have signed on since";
            return Err(SignOnRefused(ended.to_owned()));
        }
        keys.keep(&self.context.channel, &terminal, &brought).await.map_err(SignOnRefused)
    }

    /// Takes the keys in force. Gives of how many terminals there are some.
    pub(super) async fn learn_keys(&self) -> Result<usize, SignOnRefused> {
        let Some(keys) = self.shared_keys() else { return Ok(0) };
        let in_force = keys.in_force(&self.context.channel).await.map_err(SignOnRefused)?;
        for (terminal, brought) in &in_force {
            self.protocol.learn_key(terminal, brought)?;
        }
        Ok(in_force.len())
    }
}
