//! Effects of a decision, performed only after its rows are durable.
//!
//! A lost effect is no loss: a crash leaves the rows, and workers find the owed work in them.

use crate::domain::closed_set;
use crate::domain::ids::OrderId;

/// One thing to do after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this attempt to its channel; I-1 holds because the commit came first.
    Send { order: OrderId, attempt: u8 },
    /// Ask the channel to undo this attempt.
    SendReversal { order: OrderId, attempt: u8 },
    /// Tell those who wait for the order that it has changed.
    Announce { order: OrderId },
    /// An accounting request is due.
    Book,
    /// A notice to the core is due.
    Notify,
    /// An entry of the temp reversal table was written.
    WorkReversals,
    /// A person should look.
    Alert { order: OrderId, what: Alert },
}

closed_set! {
    /// A matter that a person should look at.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Alert {
        /// Evidence speaks against a final state.
        Contradiction => "contradiction",
        /// An unknown has run out of schedule.
        OperatorNeeded => "operator_needed",
        /// A channel knows a number of ours that the books do not have.
        BooksBehind => "books_behind",
        /// The channel named a clearing date that cannot be meant; our own calendar's is in the
        /// books.
        ClearingDate => "clearing_date",
    }
}

impl Alert {
    /// The alert's text in the log. `docs/OPERATIONS.md` has its cause and remedy.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Contradiction => {
                "evidence contradicts the end of an order; the end stays, and the evidence is kept \
                 for manual review"
            }
            Self::OperatorNeeded => {
                "an entry of the temp reversal table needs manual review; evidence still ends it"
            }
            Self::BooksBehind => {
                "a channel knows an order of this node that the books do not have: they are older \
                 than the channel, or another daemon works as this node; its number is skipped"
            }
            Self::ClearingDate => {
                "a channel named an impossible clearing date, or one too far from its attempt; \
                 the date of our calendar is booked"
            }
        }
    }
}
