//! Why something of reconciliation was not done.

use std::io;
use std::path::PathBuf;

use crate::domain::books::difference::BalanceRefusal;
use crate::domain::ids::{BatchId, ChannelId, DifferenceId};
use crate::domain::time::BusinessDate;
use crate::engine::EngineError;
use crate::reconciliation::matching::MatchError;
use crate::store::StoreError;

/// Why a statement could not be written to the inbox. Files that had landed before are unchanged.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    #[error("the inbox file {} cannot be read or written", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the list {} is damaged in line {line}", path.display())]
    Damaged { path: PathBuf, line: usize },
    #[error("a statement file has come in more than {max} versions")]
    TooManyVersions { max: usize },
    /// Its parts in the store are not what its SHA-256 says.
    #[error("the file {name} of {date} is not whole in the store")]
    Missing { name: String, date: BusinessDate },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the work on the inbox has panicked")]
    Died,
}

/// Why reconciliation refused or failed. The books are unchanged, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ReconciliationError {
    #[error("no channel has the id `{channel}`")]
    UnknownChannel { channel: ChannelId },
    #[error("the file of channel `{channel}` has no [statement]")]
    NoStatements { channel: ChannelId },
    #[error("the file of channel `{channel}` does not say how its statements are read")]
    NoLayout { channel: ChannelId },
    #[error("the clearing date {date} is not over yet")]
    DateOpen { date: BusinessDate },
    #[error("no statement of {date} has arrived")]
    NoFile { date: BusinessDate },
    /// Nothing was written.
    #[error(
        "the same content is the statement of {date}; if it belongs to this date, hand in the \
         right statement of {date} first"
    )]
    StandsElsewhere { date: BusinessDate },
    #[error("a statement's name has letters, digits and . _ - only, and begins with none of . -")]
    Name,
    #[error("a channel's date has as many revisions as there can be")]
    TooManyRevisions,
    /// The books have nothing of the statement; the batch records the refusal.
    #[error("the statement is refused")]
    Refused {
        batch: BatchId,
        #[source]
        problem: Box<MatchError>,
    },
    /// The batch is abandoned. The next run finds its rows again.
    #[error("the statement could not be reconciled")]
    Failed(#[source] Box<MatchError>),
    #[error("the statement could not be kept")]
    Land(#[from] InboxError),
    #[error("{context}")]
    Io {
        context: String,
        #[source]
        source: io::Error,
    },
    #[error("no difference has the id {id}")]
    NoSuchDifference { id: DifferenceId },
    #[error(transparent)]
    Balance(#[from] BalanceRefusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Nothing was written here.
    #[error(
        "another node works the statements of channel `{channel}`; what was handed in is kept, \
         and it runs it: look at the date's reconciliations, or ask again"
    )]
    AtAnotherNode { channel: ChannelId },
    /// The books have nothing of the statement.
    #[error("the statement is refused: {problem}")]
    RefusedThere { problem: String },
    #[error("the run has panicked; the next run goes on from its rows")]
    Died,
}

impl ReconciliationError {
    /// One word for the API and for metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::UnknownChannel { .. } => "unknown_channel",
            Self::NoStatements { .. } => "no_statements",
            Self::NoLayout { .. } => "no_layout",
            Self::DateOpen { .. } => "date_open",
            Self::NoFile { .. } => "no_file",
            Self::StandsElsewhere { .. } => "stands_elsewhere",
            Self::Name => "bad_name",
            Self::TooManyRevisions => "too_many_revisions",
            Self::Refused { .. } => "refused",
            Self::Failed(_) => "failed",
            Self::Land(_) | Self::Io { .. } => "not_kept",
            Self::NoSuchDifference { .. } => "no_such_difference",
            Self::Balance(refusal) => refusal.name(),
            Self::Store(_) | Self::Engine(_) => "store",
            Self::AtAnotherNode { .. } => "at_another_node",
            Self::RefusedThere { .. } => "refused",
            Self::Died => "died",
        }
    }

    /// Whether the content itself is refused, now and whenever it comes.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::StandsElsewhere { .. })
    }

    /// The statement's line that it is refused for, if it is one.
    pub fn line(&self) -> Option<u32> {
        match self {
            Self::Refused { problem, .. } => match problem.as_ref() {
                MatchError::Line { line, .. } => Some(*line),
                _ => None,
            },
            _ => None,
        }
    }
}
