//! Asks channels for their statements and lays them into the inbox; the desk shows which dates are
//! missing, and why.
//!
//! The inbox alone tells which files have landed. A restart forgets only the time of the next
//! request: the desk asks at once, which does no harm.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::channel::fetched::ready;
use crate::channel::registry::Registry;
use crate::channel::statement::{FilePointer, StatementFile, StatementLink, StatementReply};
use crate::channel::transport::http::TransportFailure;
use crate::channel::{Channels, EncodeError, WireReply};
use crate::clock::Timekeeper;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::telemetry;

use super::inbox::{Inbox, InboxFile};
use crate::reconciliation::InboxError;

/// Why there is no statement. Asking again is always allowed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("no connected channel has this id")]
    UnknownChannel,
    #[error("the channel's file has no [statement]")]
    NoStatements,
    #[error("the clearing date is not over yet")]
    DateOpen,
    #[error("the channel has no statement of this date yet (code {code})")]
    NotYet { code: String },
    #[error("the channel refuses the statement (code {code})")]
    Refused { code: String },
    #[error("the channel's answer is not believed: {problem}")]
    Unbelieved { problem: String },
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("the channel could not be asked")]
    Transport(#[from] TransportFailure),
    #[error("the statement could not be kept")]
    Land(#[from] InboxError),
    #[error("the download has panicked")]
    Died,
}

impl FetchError {
    /// One word for metrics and the API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::UnknownChannel => "unknown_channel",
            Self::NoStatements => "no_statements",
            Self::DateOpen => "date_open",
            Self::NotYet { .. } => "not_yet",
            Self::Refused { .. } => "refused",
            Self::Unbelieved { .. } => "unbelieved",
            Self::Encode(_) => "not_encodable",
            Self::Transport(_) => "transport",
            Self::Land(_) | Self::Died => "not_kept",
        }
    }
}

/// A statement that is in the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedStatement {
    /// None at all: the channel says that nothing happened on this date.
    pub files: Vec<InboxFile>,
}

/// What one reply says.
enum ReplyContent {
    Files(Vec<StatementFile>),
    Elsewhere(FilePointer),
}

/// The result of one reply.
enum ReplyResult {
    Landed(FetchedStatement),
    Elsewhere(FilePointer),
}

/// A date that was asked for without success, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementStanding {
    pub failures: usize,
    pub last_at: Timestamp,
    pub problem: String,
}

type MissingStatements = BTreeMap<(ChannelId, BusinessDate), StatementStanding>;

/// The statements of all channels.
pub struct StatementDesk {
    registry: Arc<Registry>,
    inbox: Arc<Inbox>,
    clock: Timekeeper,
    missing: Mutex<MissingStatements>,
}

impl StatementDesk {
    pub fn new(registry: Arc<Registry>, inbox: Arc<Inbox>, clock: impl Into<Timekeeper>) -> Self {
        Self { registry, inbox, clock: clock.into(), missing: Mutex::default() }
    }

    /// Asks once, and lays the reply's files into the inbox. A file that is there already is not
    /// written again.
    pub async fn fetch(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
    ) -> Result<FetchedStatement, FetchError> {
        let fetched = self.ask(channel, date).await;
        let result = fetched.as_ref().map_or_else(FetchError::name, |_| "landed");
        telemetry::count_statement(channel, result);
        let key = (channel.clone(), date);
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        match &fetched {
            Ok(_) => {
                missing.remove(&key);
            }
            // A question that cannot be asked says nothing of the statement.
            Err(FetchError::UnknownChannel | FetchError::NoStatements | FetchError::DateOpen) => {}
            Err(error) => {
                let failures = missing.get(&key).map_or(0, |standing| standing.failures) + 1;
                let problem = telemetry::chain(error);
                let last_at = self.clock.now();
                missing.insert(key, StatementStanding { failures, last_at, problem });
            }
        }
        fetched
    }

    async fn ask(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
    ) -> Result<FetchedStatement, FetchError> {
        let terms = self.registry.terms(channel).ok_or(FetchError::UnknownChannel)?;
        let link = self.registry.statement_link(channel).ok_or(FetchError::NoStatements)?;
        let source = link.adapter.statements().ok_or(FetchError::NoStatements)?;
        let present = self.clock.present();
        // "Nothing happened" of a day that is not over would be kept as its statement.
        if !present.is_over(&terms.calendar, date) {
            return Err(FetchError::DateOpen);
        }
        let now = present.now();
        let credential = ready(&*link.adapter, &link.transport, &self.clock).await;
        let credential = credential.map_err(|_| {
            let problem = "it hands out no credential to ask with".to_owned();
            FetchError::Unbelieved { problem }
        })?;
        let request = source.encode_statement(date, now)?;
        let reply = link.transport.send(request).await?;
        credential.heard(&reply);
        let pointer = match self.take(&link, channel, date, None, reply).await? {
            ReplyResult::Landed(fetched) => return Ok(fetched),
            ReplyResult::Elsewhere(pointer) => pointer,
        };
        let request = source.encode_file(date, &pointer, self.clock.now())?;
        let reply = link.transport.send(request).await?;
        match self.take(&link, channel, date, Some(pointer), reply).await? {
            ReplyResult::Landed(fetched) => Ok(fetched),
            ReplyResult::Elsewhere(_) => {
                let problem = "the file names another one to fetch".to_owned();
                Err(FetchError::Unbelieved { problem })
            }
        }
    }

    /// Understands one reply, and lays the files in it into the inbox. `pointer` is what led to it.
    async fn take(
        &self,
        link: &StatementLink,
        channel: &ChannelId,
        date: BusinessDate,
        pointer: Option<FilePointer>,
        reply: WireReply,
    ) -> Result<ReplyResult, FetchError> {
        // Verifying and unpacking a busy day takes longer than a task may hold its thread.
        let (now, adapter) = (self.clock.now(), Arc::clone(&link.adapter));
        let asked = channel.clone();
        let work = tokio::task::spawn_blocking(move || {
            let source = adapter.statements().ok_or(FetchError::NoStatements)?;
            let understood = match &pointer {
                None => source.decode_statement(date, &reply, now),
                Some(pointer) => source.decode_file(date, pointer, &reply, now),
            };
            match understood {
                StatementReply::Files(files) => Ok(ReplyContent::Files(files)),
                StatementReply::Empty { code } => {
                    tracing::info!(
                        channel.name = %asked,
                        clearing.date = %date,
                        code,
                        "the channel says that nothing happened on this date"
                    );
                    Ok(ReplyContent::Files(Vec::new()))
                }
                StatementReply::Elsewhere(pointer) => Ok(ReplyContent::Elsewhere(pointer)),
                StatementReply::NotYet { code } => Err(FetchError::NotYet { code }),
                StatementReply::Refused { code } => Err(FetchError::Refused { code }),
                StatementReply::Unbelieved { problem } => Err(FetchError::Unbelieved { problem }),
            }
        });
        match work.await.unwrap_or(Err(FetchError::Died))? {
            ReplyContent::Files(files) => {
                let files = self.inbox.take(channel, date, files).await?;
                Ok(ReplyResult::Landed(FetchedStatement { files }))
            }
            ReplyContent::Elsewhere(pointer) => Ok(ReplyResult::Elsewhere(pointer)),
        }
    }

    /// The statements to ask for now: those that should be there, have not landed, and whose last
    /// failure is long enough ago.
    pub fn due(&self) -> Vec<(ChannelId, BusinessDate)> {
        let present = self.clock.present();
        let now = present.now();
        let mut due = Vec::new();
        for channel in self.registry.ids() {
            let link = self.registry.statement_link(&channel);
            let terms = self.registry.terms(&channel);
            let (Some(link), Some(terms)) = (link, terms) else { continue };
            for date in link.terms.dates_due(&terms.calendar, present.proven()) {
                // A list that cannot be read is reported by the landing, which reads it again.
                if self.inbox.is_answered(&channel, date).unwrap_or(false) {
                    continue;
                }
                let waits = self.standing(&channel, date).is_some_and(|standing| {
                    let wait = link.terms.wait_after(standing.failures);
                    // A failure ahead of us was dated by a clock that has been set back since.
                    standing.last_at <= now && now < standing.last_at.plus(wait)
                });
                if !waits {
                    due.push((channel.clone(), date));
                }
            }
        }
        due
    }

    /// Why a date's statement is missing, if it was asked for without success.
    pub fn standing(&self, channel: &ChannelId, date: BusinessDate) -> Option<StatementStanding> {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.get(&(channel.clone(), date)).cloned()
    }

    /// The files of a date that have landed, by name, with their SHA-256. Reads the disk.
    pub async fn files_of(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
    ) -> Result<Vec<(String, String)>, InboxError> {
        self.inbox.listed(channel, date).await
    }

    /// Lays what has landed at other nodes into this node's inbox.
    pub async fn bring(&self, channel: &ChannelId) -> Result<(), InboxError> {
        self.inbox.bring(channel).await
    }
}
