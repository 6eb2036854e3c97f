//! The commands on an order, as one closed set.

use crate::domain::attempt::{Evidence, Operation};
use crate::domain::books::Transaction;
use crate::domain::books::accounting::AccountingRequest;
use crate::domain::card::SealedPan;
use crate::domain::effect::Effect;
use crate::domain::ids::OrderId;
use crate::domain::money::AmountMinor;
use crate::domain::order::Order;
use crate::domain::outcome::{Objection, Outcome};
use crate::domain::payment_code::PaymentCode;
use crate::domain::reversal::{Resolution, ReversalEntry};
use crate::domain::time::{BusinessDate, Timestamp};
use crate::domain::write_set::{Contradiction, WriteSet};

/// The rows that a command is decided on, as they were loaded.
#[derive(Debug, Clone)]
pub struct View {
    pub order: Order,
    pub entry: Option<ReversalEntry>,
    /// Needed where the evidence concerns an attempt that has ended.
    pub contradictions: Vec<Contradiction>,
    /// Needed for a release, and for a follow-up on it.
    pub transaction: Option<Transaction>,
    /// The order that an undo, refund, void or capture refers to.
    pub original: Option<OriginalView>,
    /// The last clearing date of the channel that takes no records any more, if there is one.
    pub shut_through: Option<BusinessDate>,
}

/// The order that the view's order refers to. Its version guards it like the view's own.
#[derive(Debug, Clone)]
pub struct OriginalView {
    pub order: Order,
    pub transaction: Option<Transaction>,
}

impl View {
    /// The view of an order that no other row belongs to yet.
    pub fn of(order: Order) -> Self {
        Self {
            order,
            entry: None,
            contradictions: Vec::new(),
            transaction: None,
            original: None,
            shut_through: None,
        }
    }
}

/// Whether the card is still in memory, so that another channel can be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardInMemory {
    /// The call that accepted the order is still running. The sealed number is given if a planned
    /// channel keeps it.
    Yes {
        sealed: Option<SealedPan>,
    },
    No,
}

/// The card that the core gave again with a follow-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedCard {
    /// The keyed digest of its number, which must be the original's.
    pub pan_digest: u128,
    /// The number, sealed for the follow-up's order.
    pub sealed: SealedPan,
}

/// The person who decided, the second one who approved it where the settings ask for one, and the
/// reason. All go into the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decider {
    pub actor: String,
    pub approver: Option<String>,
    pub reason: String,
}

/// Who wants a follow-up, as far as four eyes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedBy {
    /// A core, whose own affair it is, or an operator where no bound is set.
    One,
    /// An operator, by whom no more than this may be given back of the original altogether, in
    /// minor units: parts of a refund are not smaller than the whole.
    OneUpTo { most_minor: i64 },
    /// Two operators: the settings ask for both.
    Two(Decider),
}

/// One thing that happened, or is asked for.
#[derive(Debug, Clone)]
pub enum Command {
    /// A new order (version 0, with its candidates) is to be written and sent. `code`: its payer
    /// was sent one for it, which was checked against the order's instruction.
    Accept { card: CardInMemory, code: Option<Box<PaymentCode>> },
    /// Evidence about an attempt has arrived. `spare_id` is an unused order id, given where the
    /// attempt has ended, since a contradiction may owe an undo.
    Learn { evidence: Evidence, card: CardInMemory, spare_id: Option<OrderId> },
    /// The entry's reversal is due: make it durable, then send it.
    BeginReversal,
    /// The own result of a reversal of this attempt, which tells of no later moment for certain
    /// than `asked_at`, when the reversal was asked for. `is_late`: it came when its call had ended
    /// without it.
    LearnReversal {
        attempt: u8,
        outcome: Outcome,
        objection: Option<Objection>,
        transcript: String,
        sent: String,
        asked_at: Timestamp,
        is_late: bool,
    },
    /// An owed undo is due: make its attempt durable, then send it.
    BeginUndo,
    /// An operator wants an entry worked again from the start of its schedule.
    Retry { decider: Decider },
    /// An operator ends an unknown.
    Resolve { resolution: Resolution, decider: Decider },
    /// Escrowed money of the view's order goes to the merchant, under a new order (version 0).
    Release { release: Box<Order> },
    /// A refund, void or capture (version 0) of the view's order.
    FollowUp { order: Box<Order>, card: Option<RepeatedCard>, wanted_by: WantedBy },
    /// Accounting has acknowledged the request (with that written in it) which the view's order
    /// waited for: make its attempt durable, then send it.
    BeginFollowUp { booked: Box<AccountingRequest> },
    /// An operator gives up a follow-up whose request accounting refuses.
    Withdraw { booked: Box<AccountingRequest>, decider: Decider },
}

/// The result of a command: rows to commit, then effects to perform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub writes: WriteSet,
    pub effects: Vec<Effect>,
    /// The order that was asked about, as it is after the commit.
    pub order: Order,
}

/// Why a command is not carried out. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no channel can take this order")]
    NoCandidate,
    #[error("the order has no attempt {attempt}")]
    NoSuchAttempt { attempt: u8 },
    #[error("the order has nothing unresolved")]
    NothingOpen,
    #[error("the entry is in another phase than this needs")]
    WrongPhase,
    #[error("the undo has no attempt under way; retry it, or resolve it as failed")]
    NothingToResolve,
    #[error("only an escrow payment can be released")]
    NotEscrow,
    #[error("the order has not succeeded")]
    NotSucceeded,
    #[error("only {left_minor} minor units are left")]
    ExceedsLeft { left_minor: i64 },
    #[error("an order of this kind does not allow the operation")]
    WrongKind,
    #[error("the channel that carried the order out has no {}", operation.name())]
    OperationNotSupported { operation: Operation },
    #[error("the channel refunds an order only as a whole")]
    PartNotSupported,
    #[error("the clearing day of the order has ended: refund it instead")]
    NotSameDay,
    #[error("the channel takes refunds for {days} days only")]
    RefundWindowClosed { days: u32 },
    #[error("a pre-authorisation is good for {days} days only")]
    PreauthExpired { days: u32 },
    #[error("so much is given back of the order only when a second person approves it")]
    NeedsSecondPerson { amount: AmountMinor, left_minor: i64 },
    #[error("the channel needs the card number again")]
    CardRequired,
    #[error("the card is another one than the order's")]
    CardDiffers,
    #[error("accounting has acknowledged the request already")]
    Acknowledged,
    #[error("the request was withdrawn with the order that waited for it")]
    Withdrawn,
    #[error("money leaves only after it was booked, and no accounting system is set up")]
    AccountingNotConfigured,
}
