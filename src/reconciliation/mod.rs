//! Statements come into the books, what they say beside our records is carried, suspended and
//! balanced, what the bank has received settles them, and a day is reported.
//!
//! Stands between the engine and those who give it work. What to make of a difference is
//! `domain`'s; `matching` holds both sides together; `incoming` takes statements in, `run` writes
//! what is found in bounded chunks, and `suspense` has what waits for money or a person. After a
//! crash every chunk is known by its rows' keys, so that a run that died is run again and books
//! nothing twice (I-7, I-10). Must not know requests of the API.

pub mod incoming;
pub mod matching;
pub mod report;
pub mod suspense;

mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::channel::registry::Registry;
use crate::channel::statement::StatementTerms;
use crate::domain::books::difference::{BalanceRefusal, Difference, Moment};
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::statement::{StatementOrigin, StatementRevision};
use crate::domain::ids::{BatchId, ChannelId, DifferenceId};
use crate::domain::terms::Terms;
use crate::domain::time::{BusinessDate, Present, Timestamp};
use crate::engine::{Engine, EngineError};
use crate::entropy::Entropy;
use crate::reconciliation::incoming::{Inbox, LandError};
use crate::reconciliation::matching::ReconcileError;
use crate::store::{Store, StoreError};

pub use crate::domain::books::difference::Balancing;

/// Where temporary files lie, below the data folder.
const WORK: &str = "work";
/// Rows that one look into the store brings.
const PAGE: usize = 500;
/// The name of a revision that has no file: the channel says that nothing happened on its date. No
/// file in the inbox can have it.
pub const NOTHING: &str = "(nothing)";
/// Who acts where nobody asked.
pub const OWN_NAME: &str = "switchyard";

/// Where the rules of a channel's statements come from.
pub trait StatementRules: Send + Sync {
    /// Section `[statement]` of the channel's file; `None` if it has none.
    fn statement_terms(&self, channel: &ChannelId) -> Option<StatementTerms>;
}

impl StatementRules for Registry {
    fn statement_terms(&self, channel: &ChannelId) -> Option<StatementTerms> {
        Registry::statement_terms(self, channel)
    }
}

/// Why something was not done. What had been there is as it was, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum BackofficeError {
    #[error("no channel has the id `{channel}`")]
    UnknownChannel { channel: ChannelId },
    #[error("the file of channel `{channel}` has no [statement]")]
    NoStatements { channel: ChannelId },
    #[error("the file of channel `{channel}` does not say how its statements are read")]
    NoLayout { channel: ChannelId },
    #[error("the clearing date {date} is not over yet")]
    DateOpen { date: BusinessDate },
    #[error("no statement of {date} has come")]
    NoFile { date: BusinessDate },
    /// Nothing was written.
    #[error(
        "this content stands under {date} already, with lines in it; if it belongs here, hand in \
         the statement of {date} first"
    )]
    StandsElsewhere { date: BusinessDate },
    #[error("a statement's name has letters, digits and . _ - only, and begins with none of . -")]
    Name,
    #[error("a channel's date has as many revisions as there can be")]
    TooManyRevisions,
    /// Nothing of it is in the books; the batch tells of the refusal.
    #[error("the statement is refused")]
    Refused {
        batch: BatchId,
        #[source]
        problem: Box<ReconcileError>,
    },
    /// The batch is abandoned. What it had written is found again by the next run.
    #[error("the statement could not be worked through")]
    Failed(#[source] Box<ReconcileError>),
    #[error("the statement could not be kept")]
    Land(#[from] LandError),
    #[error("{context}")]
    Io {
        context: String,
        #[source]
        source: std::io::Error,
    },
    #[error("no difference has the id {id}")]
    NoSuchDifference { id: DifferenceId },
    #[error(transparent)]
    Balance(#[from] BalanceRefusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the run has panicked; the next run goes on from its rows")]
    Died,
}

impl BackofficeError {
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
            Self::Died => "died",
        }
    }

    /// Whether the content itself is refused, now and whenever it comes.
    const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::StandsElsewhere { .. })
    }

    /// The statement's line that it is refused for, if it is one.
    pub fn line(&self) -> Option<u32> {
        match self {
            Self::Refused { problem, .. } => match problem.as_ref() {
                ReconcileError::Line { line, .. } => Some(*line),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What a statement's file holds, as it is handed in.
#[derive(Debug)]
pub enum UploadContent {
    Bytes(Vec<u8>),
    /// A file below the data folder, which is moved into the inbox.
    File(PathBuf),
}

/// A statement's file that is handed in.
#[derive(Debug)]
pub struct StatementUpload {
    pub channel: ChannelId,
    pub date: BusinessDate,
    pub name: String,
    pub content: UploadContent,
    pub origin: StatementOrigin,
    /// The name of the API key's owner.
    pub by: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportResult {
    pub revision: StatementRevision,
    /// Whether this content is new; if not, nothing was written but what had been missing.
    pub is_new: bool,
    pub batch: Reconciliation,
}

/// A statement that has landed and is not in the books yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandedStatement {
    pub channel: ChannelId,
    pub date: BusinessDate,
    pub origin: StatementOrigin,
}

type Turns = BTreeMap<ChannelId, Arc<tokio::sync::Mutex<()>>>;

/// The one who keeps statements, batches and differences.
pub struct Backoffice {
    engine: Arc<Engine>,
    rules: Arc<dyn StatementRules>,
    inbox: Arc<Inbox>,
    folder: PathBuf,
    entropy: Entropy,
    /// At most one run of a channel at a time.
    turns: Mutex<Turns>,
    /// Files that this process has refused, by SHA-256: they are not tried again by themselves.
    refused: Mutex<BTreeSet<(ChannelId, BusinessDate, String)>>,
}

/// What holds for a channel now.
#[derive(Clone)]
struct ChannelContext {
    channel: ChannelId,
    terms: Arc<Terms>,
    statement: Arc<StatementTerms>,
    now: Timestamp,
    present: Present,
}

impl ChannelContext {
    fn moment(&self) -> Moment<'_> {
        Moment {
            now: self.now,
            business_date: self.present.today(&self.terms.calendar),
            names: &self.terms.accounts,
        }
    }
}

impl Backoffice {
    /// `data` is the data folder; the inbox lies in it.
    pub fn new(
        engine: Arc<Engine>,
        rules: Arc<dyn StatementRules>,
        inbox: Arc<Inbox>,
        data: &Path,
        entropy: Entropy,
    ) -> Self {
        Self {
            engine,
            rules,
            inbox,
            folder: data.join(WORK),
            entropy,
            turns: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Where an upload may be written before [`UploadContent::File`] gives it over. It is made
    /// if it is absent.
    pub fn work_folder(&self) -> Result<&Path, BackofficeError> {
        let failed = |source| BackofficeError::Io {
            context: format!("the folder {} cannot be made", self.folder.display()),
            source,
        };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        Ok(&self.folder)
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.engine.store()
    }

    fn context(&self, channel: &ChannelId) -> Result<ChannelContext, BackofficeError> {
        let terms = self.engine.channels().terms(channel);
        let missing = || BackofficeError::UnknownChannel { channel: channel.clone() };
        let terms = terms.ok_or_else(missing)?;
        let missing = || BackofficeError::NoStatements { channel: channel.clone() };
        let statement = self.rules.statement_terms(channel).ok_or_else(missing)?;
        let (channel, statement) = (channel.clone(), Arc::new(statement));
        let present = self.engine.clock().present();
        Ok(ChannelContext { channel, terms, statement, now: present.now(), present })
    }

    /// The turn of a channel: whoever holds it is the only one who runs its statements.
    async fn turn(&self, channel: &ChannelId) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(channel.clone()).or_default())
        };
        turn.lock_owned().await
    }

    /// A difference as it stands.
    async fn difference(&self, id: DifferenceId) -> Result<Difference, BackofficeError> {
        let found = self.store().difference(id).await?;
        found.ok_or(BackofficeError::NoSuchDifference { id })
    }
}
