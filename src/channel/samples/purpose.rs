//! The purpose of a sample's request, and the words for its outcome.

use crate::channel::first::FirstEnd;
use crate::channel::statement::StatementReply;
use crate::domain::card_service::CardService;
use crate::domain::outcome::Outcome;

/// The purpose of a sample's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The operation itself.
    Operation,
    /// What goes before it.
    First,
    Inquiry,
    Reversal,
    /// A service to a card; there is no order.
    Service(CardService),
    /// Nothing: the channel posts a notice.
    Notice,
    /// The statement of a clearing date; there is no order.
    Statement,
    /// To be let on, with which a link begins.
    SignOn,
    /// Whether the line is alive.
    LineTest,
}

/// The reply to the request for a statement in one word, or why the reply is not believed.
pub fn describe_statement(reply: &StatementReply) -> String {
    match reply {
        StatementReply::Files(_) => "files".to_owned(),
        StatementReply::Elsewhere(_) => "elsewhere".to_owned(),
        StatementReply::NotYet { .. } => "not_yet".to_owned(),
        StatementReply::Empty { .. } => "empty".to_owned(),
        StatementReply::Refused { .. } => "refused".to_owned(),
        StatementReply::Unbelieved { problem } => format!("unbelieved: {problem}"),
    }
}

/// The end of a first request: `approved` lets the second one leave.
pub fn describe_first(end: &FirstEnd) -> String {
    match end {
        FirstEnd::Goes(_) => "approved".to_owned(),
        FirstEnd::Declined(meaning) => describe(&meaning.outcome),
        FirstEnd::Failed(..) => "not_sent".to_owned(),
    }
}

/// An outcome in the words of code tables.
pub fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Approved(_) => "approved".to_owned(),
        Outcome::Declined(decline) => {
            let word = if decline.elsewhere { "elsewhere" } else { "declined" };
            format!("{word} {}", decline.reason.name())
        }
        Outcome::Pending { .. } => "pending".to_owned(),
        Outcome::NotFound { .. } => "not_found".to_owned(),
        Outcome::Unknown(_) => "unknown".to_owned(),
        Outcome::NotSent(_) => "not_sent".to_owned(),
    }
}
