//! Channels that say what they are told: for rehearsals of a channel's file, where each word that
//! the file knows has its turn.
//!
//! A voice reads and proves each request as the simulated channel of its protocol does, refuses
//! what that would refuse, and writes its answers. What became of an order, whether an answer is
//! lost, and which code it has is its listener's business. It does no I/O.

mod acp;
mod links;

pub use self::acp::{AcpHeard, AcpVoice};
pub use self::links::{LinkHeard, LinkVoice};

use crate::domain::time::BusinessDate;

/// One thing that a channel is told to say.
#[derive(Debug, Clone, Copy)]
pub struct VoiceWords<'a> {
    pub code: &'a str,
    /// What became of the order that an inquiry asks about; `None` where nothing is told of it.
    pub end: Option<&'a str>,
    /// The clearing day of what has happened.
    pub settle_date: BusinessDate,
    /// Somebody else signs it, who has none of the channel's keys.
    pub is_forged: bool,
}

/// A request that the channel refuses as such, whatever it is about: it is not what the protocol
/// says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the channel's side refuses our request itself: {code} {words}")]
pub struct VoiceRefusal {
    pub code: &'static str,
    pub words: &'static str,
}
