//! Both ends of the wire to a channel, made from the channel's file alone: the file's adapter asks,
//! and the channel's own side hears it and says what it is told to say.
//!
//! Each protocol has its own module; nothing else of a rehearsal knows which one a file speaks.

mod acp;
mod declarative;
mod http;
mod links;

pub use self::acp::AcpFarSide;
pub use self::declarative::HttpFarSide;
pub use self::http::{HostLine, HttpSide};
pub use self::links::{LinkFarSide, LinkOpening, OwnExchange};

use crate::certify::exchange::PageShown;
use crate::channel::protocol::said::{FarWord, Saying};
use crate::channel::{
    AttemptFacts, ChannelRequest, EncodeError, Notice, NoticeRefusal, ReplyMeaning,
};
use crate::domain::card::{CardInput, CardToken};
use crate::domain::ids::ChannelOrderNo;
use crate::domain::outcome::{Outcome, UnknownCause};
use crate::domain::time::{BusinessDate, Timestamp};

/// What becomes of a request, and of its answer.
#[derive(Debug, Clone)]
pub enum FarAnswer {
    Said(Saying),
    /// The request is lost on its way.
    LostBefore,
    /// The channel acts, and its answer is lost.
    LostAfter,
    /// The channel acts, and a proxy answers with this HTTP status.
    Status(u16),
    /// The channel acts, and somebody else signs the answer.
    Forged(Saying),
}

/// The moment of an exchange, and the clearing day in which the channel books it.
#[derive(Debug, Clone, Copy)]
pub struct FarMoment {
    pub now: Timestamp,
    pub settle_date: BusinessDate,
}

/// One exchange as it went.
pub struct Exchanged {
    pub sent: PageShown,
    pub came: Option<PageShown>,
    pub understood: ReplyMeaning,
    pub problem: Option<FarProblem>,
}

impl Exchanged {
    /// No answer came.
    fn silent(sent: PageShown, problem: Option<FarProblem>) -> Self {
        let timed_out = Outcome::Unknown(UnknownCause::TimedOut);
        let understood = ReplyMeaning::new(timed_out, String::new());
        Self { sent, came: None, understood, problem }
    }
}

/// Why the channel's side says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FarProblem {
    /// The file does not let it say what it is told.
    Unsayable(String),
    /// The request itself is not what the protocol or the file says.
    Refused(String),
}

/// What the channel says without being asked: a notice, or an answer that comes after its call has
/// ended.
pub struct Unasked {
    pub shown: PageShown,
    pub heard: Result<Notice, NoticeRefusal>,
}

/// An answer to a reversal that comes after its call has ended.
pub struct LateReversalAnswer {
    pub shown: PageShown,
    pub understood: ReplyMeaning,
    /// When the reversal was asked for first: the answer may be that old.
    pub asked_at: Timestamp,
}

/// How an answer proves who gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerProof {
    Signature,
    /// A message authentication code, by a key that both sides have.
    Mac,
    /// TLS alone vouches for it.
    Connection,
}

/// See the head of this file. One is good for one case: it remembers what it was asked.
pub trait FarSide: Send + Sync {
    /// Where a file of the protocol has a request's words; `None` where this one has none.
    fn place(&self, request: &ChannelRequest) -> Option<String>;

    /// Everything that the answer to a request can say, yeses first.
    fn vocabulary(&self, request: &ChannelRequest) -> Vec<Saying>;

    /// Everything that the channel can say of an attempt without being asked, yeses first; nothing
    /// where it says none.
    fn unasked_vocabulary(&self, about: &AttemptFacts) -> Vec<Saying>;

    /// Whether words about an attempt that nobody asked for are surely about it, and not about what
    /// it follows up.
    fn tells_apart(&self, about: &AttemptFacts) -> bool;

    /// What such words are called.
    fn unasked(&self) -> &'static str;

    /// A code that no table lists, in the protocol's form.
    fn unlisted(&self) -> Saying;

    fn proof(&self) -> AnswerProof;

    /// The protocol as one that is carried by HTTP.
    fn http(&self) -> Option<&dyn HttpSide>;

    /// Asks the channel, once. `decide` says what becomes of the request, and is asked when it has
    /// been written. The error: nothing left.
    fn exchange(
        &self,
        request: &ChannelRequest,
        at: FarMoment,
        decide: &mut dyn FnMut() -> FarAnswer,
    ) -> Result<Exchanged, EncodeError>;

    /// Everything that can still be said to a reversal when its call has ended, yeses first;
    /// nothing where no answer outlives its call.
    fn late_reversal_vocabulary(&self, reversal: &ChannelRequest) -> Vec<Saying>;

    /// The answer to the first reversal of an attempt.
    fn answer_reversal(
        &self,
        number: ChannelOrderNo,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<LateReversalAnswer, FarProblem>;

    /// Words about an attempt that the channel was asked for.
    fn tell(
        &self,
        about: &AttemptFacts,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<Unasked, FarProblem>;

    /// The channel's own number of an attempt that it was asked for.
    fn reference_of(&self, number: ChannelOrderNo) -> Option<String>;

    /// The token of a card that was bound before the case began.
    fn token_for(&self, card: &CardInput, now: Timestamp) -> CardToken;
}

impl FarAnswer {
    pub fn words(&self) -> String {
        match self {
            Self::Said(saying) => format!("the channel says {}", saying.words()),
            Self::LostBefore => "the request is lost before the channel acts".to_owned(),
            Self::LostAfter => "no answer comes; the channel has acted".to_owned(),
            Self::Status(status) => format!("the channel has acted; HTTP {status} comes"),
            Self::Forged(saying) => format!("{} comes, signed by a stranger", saying.words()),
        }
    }
}
