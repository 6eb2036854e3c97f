//! Statements come in: handed in, downloaded, or laid into the inbox. Each content is one revision
//! of its channel and date; a reissued file is a further one, and leads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::channel::statement::{FILES_BYTES_MAX, StatementFile};
use crate::codec::crypto::digest::RunningSha256;
use crate::codec::sign::{hex_lower, read_hex};
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::statement::{StatementOrigin, StatementRevision};
use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::entropy::Entropy;
use crate::reconciliation::books::{ChannelBooks, ChannelContext};
use crate::reconciliation::matching::{has_rows, is_like, is_of};
use crate::reconciliation::run::{BatchRunner, Job, JobFiles};
use crate::reconciliation::{InboxError, NOTHING, OWN_NAME, ReconciliationError};
use crate::telemetry;

use super::absence::AbsenceCheck;
use super::inbox::{Inbox, InboxFile, digest_of};
use super::shared::FileSource;

/// Dates of a channel whose folders are looked through for what has landed, the newest ones. Older
/// ones are run when they are asked for.
const LOOKED_THROUGH_MAX: usize = 62;
/// The names of packed files: the file inside has the layout's name.
const PACKED: [&str; 2] = [".zip", ".gz"];

/// The content of an uploaded statement.
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

/// The result of an upload.
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

/// Takes statements in, and has the one that leads run.
pub struct ImportDesk {
    pub(super) books: ChannelBooks,
    runner: BatchRunner,
    pub(super) inbox: Arc<Inbox>,
    /// At most one run of a channel at a time.
    turns: Mutex<Turns>,
    /// Files that this process has refused, by SHA-256: they are not tried again by themselves.
    /// Where nodes share what lands, the store knows them.
    refused: Mutex<BTreeSet<(ChannelId, BusinessDate, String)>>,
    /// Channels of which all that has landed here can be fetched by all nodes.
    pub(super) offered: Mutex<BTreeSet<ChannelId>>,
}

impl ImportDesk {
    /// `data` is the data folder; the inbox lies in it.
    pub fn new(books: ChannelBooks, inbox: Arc<Inbox>, data: &Path, entropy: Entropy) -> Self {
        let runner = BatchRunner::new(books.clone(), data, entropy);
        let (turns, refused, offered) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { books, runner, inbox, turns, refused, offered }
    }

    /// Where an upload may be written before [`UploadContent::File`] gives it over.
    pub fn work_folder(&self) -> Result<&Path, ReconciliationError> {
        self.runner.work_folder()
    }

    /// The turn of a channel: only its holder runs the channel's statements.
    pub(super) async fn turn(&self, channel: &ChannelId) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(channel.clone()).or_default())
        };
        turn.lock_owned().await
    }

    /// Takes a file into the inbox and its content into the books. The same content again changes
    /// nothing; if its run had been cut off, it is run. Where another node works the channel's
    /// statements, that one runs it, and this one waits for it.
    pub async fn import(
        &self,
        incoming: StatementUpload,
    ) -> Result<ImportResult, ReconciliationError> {
        let StatementUpload { channel, date, name, content, origin, by } = incoming;
        let context = self.ready(&channel, date)?;
        StatementFile::new(&name, Vec::new()).ok_or(ReconciliationError::Name)?;
        let (content, sha256) = digested(content).await?;
        let Some(_hold) = self.begin(&channel).await else {
            let source = FileSource { origin, by };
            return self.hand_over(&context, date, (name, content), source).await;
        };
        self.inbox.bring(&channel).await?;
        if let Some(other) = self.date_with_content(&context, date, &sha256).await? {
            return Err(ReconciliationError::StandsElsewhere { date: other });
        }
        let source = FileSource { origin, by: by.clone() };
        let landed = self.land(&channel, date, (name, content), &source).await?;
        let revisions = self.books.store().statement_revisions(channel.clone(), date).await?;
        let sha256 = bytes_of(&landed.sha256);
        let known = revisions.iter().find(|revision| revision.sha256 == sha256).cloned();
        let is_new = known.is_none();
        let revision = match known {
            Some(known) => known,
            None => self.revise(&context, date, &landed, &revisions, &source)?,
        };
        if !is_new {
            let current = self.books.store().current_reconciliation(channel, date).await?;
            if let Some(batch) = current {
                return Ok(ImportResult { revision, is_new, batch });
            }
        }
        let job = Job { revision, is_new, by };
        let batch = self.run_job(&context, &job).await?;
        Ok(ImportResult { revision: job.revision, is_new, batch })
    }

    /// Runs a date again, on the newest of its statements: balanced differences stay balanced.
    pub async fn run(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        by: &str,
    ) -> Result<Reconciliation, ReconciliationError> {
        let context = self.ready(channel, date)?;
        let elsewhere = || ReconciliationError::AtAnotherNode { channel: channel.clone() };
        let _hold = self.begin(channel).await.ok_or_else(elsewhere)?;
        self.inbox.bring(channel).await?;
        let bringer = FileSource { origin: StatementOrigin::Inbox, by: by.to_owned() };
        let job = self.newest(&context, date, bringer).await?;
        let job = job.ok_or(ReconciliationError::NoFile { date })?;
        self.run_job(&context, &job).await
    }

    /// Takes what has landed of a date into the books; `None` if it is there already.
    pub async fn import_landed(
        &self,
        waiting: &LandedStatement,
    ) -> Result<Option<Reconciliation>, ReconciliationError> {
        let LandedStatement { channel, date, origin } = waiting;
        let context = self.ready(channel, *date)?;
        let Some(_hold) = self.begin(channel).await else { return Ok(None) };
        let bringer = FileSource { origin: *origin, by: OWN_NAME.to_owned() };
        let Some(job) = self.newest(&context, *date, bringer).await? else { return Ok(None) };
        if !self.is_owed(&context, &job).await? {
            return Ok(None);
        }
        self.run_job(&context, &job).await.map(Some)
    }

    /// Statements that have landed and are not in the books. Files that were laid into the inbox by
    /// hand land now.
    pub async fn landed_statements(&self) -> Result<Vec<LandedStatement>, ReconciliationError> {
        let mut waiting = Vec::new();
        for channel in self.books.engine().channels().ids() {
            let Ok(context) = self.books.context(&channel) else { continue };
            if context.statement.layout.is_none() {
                continue;
            }
            let (present, calendar) = (context.present, context.terms.calendar.clone());
            let (inbox, looked, now) = (Arc::clone(&self.inbox), channel.clone(), context.now);
            let dates = tokio::task::spawn_blocking(move || {
                let dates = inbox.dates(&looked)?;
                let over = dates.into_iter().rev().filter(|date| present.is_over(&calendar, *date));
                let mut newest: Vec<_> = over.take(LOOKED_THROUGH_MAX).collect();
                // Carried records go from a date to the next one.
                newest.reverse();
                let looks =
                    newest.into_iter().map(|date| Ok((date, inbox.register(&looked, date, now)?)));
                looks.collect::<Result<Vec<(BusinessDate, Vec<InboxFile>)>, InboxError>>()
            });
            let dates = dates.await.unwrap_or(Err(InboxError::Died));
            let has_none_new =
                |dates: &Vec<(_, Vec<InboxFile>)>| dates.iter().all(|(_, new)| new.is_empty());
            if !dates.as_ref().is_ok_and(has_none_new) {
                // Until it is offered: a look that fails now does not see it as new again.
                self.offered.lock().unwrap_or_else(PoisonError::into_inner).remove(&channel);
            }
            let dates = dates?;
            if !self.share(&channel).await? {
                continue;
            }
            for (date, registered) in dates {
                let origin = match registered.is_empty() {
                    true => StatementOrigin::Download,
                    false => StatementOrigin::Inbox,
                };
                if self.waits(&context, date).await? {
                    waiting.push(LandedStatement { channel: channel.clone(), date, origin });
                }
            }
        }
        Ok(waiting)
    }

    async fn waits(
        &self,
        context: &ChannelContext,
        date: BusinessDate,
    ) -> Result<bool, ReconciliationError> {
        let bringer = FileSource { origin: StatementOrigin::Inbox, by: OWN_NAME.to_owned() };
        match self.newest(context, date, bringer).await? {
            Some(job) => self.is_owed(context, &job).await,
            None => Ok(false),
        }
    }

    /// Whether a statement must be run: there is no current batch of its revision, or its clearing
    /// day was closed after the batch began, so that the day may have more records.
    async fn is_owed(
        &self,
        context: &ChannelContext,
        job: &Job,
    ) -> Result<bool, ReconciliationError> {
        let (channel, date) = (&context.channel, job.revision.date);
        let current = self.books.store().current_reconciliation(channel.clone(), date).await?;
        let same = current.filter(|batch| batch.revision == job.revision.revision);
        let Some(batch) = same else { return Ok(true) };
        let close = self.books.store().day_close(channel.clone(), date).await?;
        Ok(close.is_some_and(|close| close.at > batch.started_at))
    }

    /// Ends the batches of our channels that an earlier process, or the node that did this work
    /// before, has left running. Their dates are then found by [`Self::landed_statements`].
    pub async fn recover(
        &self,
        is_ours: impl Fn(&ChannelId) -> bool,
    ) -> Result<(), ReconciliationError> {
        let running = self.books.store().running_reconciliations().await?;
        for channel in running.into_iter().map(|batch| batch.channel).filter(is_ours) {
            // The holder of the turn is the only one running: a batch that is still marked as
            // running was cut off.
            let _turn = self.turn(&channel).await;
            self.runner.abandon(&channel).await?;
        }
        Ok(())
    }

    /// The channel's context, if statements of the date can be run.
    fn ready(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
    ) -> Result<ChannelContext, ReconciliationError> {
        let context = self.books.context(channel)?;
        if context.statement.layout.is_none() {
            return Err(ReconciliationError::NoLayout { channel: channel.clone() });
        }
        if !context.present.is_over(&context.terms.calendar, date) {
            return Err(ReconciliationError::DateOpen { date });
        }
        Ok(context)
    }

    /// The statement that leads: the file that landed last, unless it was refused; then the last
    /// one that was taken.
    async fn newest(
        &self,
        context: &ChannelContext,
        date: BusinessDate,
        bringer: FileSource,
    ) -> Result<Option<Job>, ReconciliationError> {
        let (inbox, channel) = (Arc::clone(&self.inbox), context.channel.clone());
        let landed = tokio::task::spawn_blocking(move || {
            Ok::<_, InboxError>((inbox.by_age(&channel, date)?, inbox.is_answered(&channel, date)?))
        });
        let (landed, is_answered) = landed.await.map_err(|_| ReconciliationError::Died)??;
        let revisions =
            self.books.store().statement_revisions(context.channel.clone(), date).await?;
        let by = bringer.by.clone();
        let leads = landed.iter().rfind(|file| {
            let known = bytes_of(&file.sha256);
            let is_taken = revisions.iter().any(|revision| revision.sha256 == known);
            is_taken
                || (self.is_named_as_statement(context, file)
                    && !self.is_refused(context, date, file))
        });
        let Some(file) = leads else {
            let last = revisions.last().cloned();
            let last = last.map(|revision| Job { revision, is_new: false, by });
            // The channel has said that there is nothing: all of ours is ours only.
            let nothing = landed.is_empty() && is_answered;
            return Ok(
                last.or_else(|| nothing.then(|| empty_statement_job(context, date, bringer)))
            );
        };
        let known = bytes_of(&file.sha256);
        if revisions.iter().any(|revision| revision.sha256 == known) {
            // Of those that were taken the highest leads, whatever the disk says of their age.
            let last = revisions.last().cloned();
            return Ok(last.map(|revision| Job { revision, is_new: false, by }));
        }
        let revision = self.revise(context, date, file, &revisions, &bringer)?;
        Ok(Some(Job { revision, is_new: true, by }))
    }

    /// Whether a file that has landed is the channel's statement, by its name.
    fn is_named_as_statement(&self, context: &ChannelContext, file: &InboxFile) -> bool {
        let Some(pattern) = context.statement.leading_name() else { return true };
        // Behind the name stands the number of its version, if it came before.
        let name = match file.name.rsplit_once('.') {
            Some((name, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) | None => &file.name,
        };
        let packed = PACKED.iter().any(|end| name.ends_with(end));
        packed || is_like(name, pattern) || is_like(&file.name, pattern)
    }

    fn is_refused(&self, context: &ChannelContext, date: BusinessDate, file: &InboxFile) -> bool {
        if let Some(known) = self.inbox.known(&context.channel, date, &file.sha256) {
            return !known.refused.is_empty();
        }
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.contains(&(context.channel.clone(), date, file.sha256.clone()))
    }

    /// The next revision of a date.
    fn revise(
        &self,
        context: &ChannelContext,
        date: BusinessDate,
        file: &InboxFile,
        before: &[StatementRevision],
        bringer: &FileSource,
    ) -> Result<StatementRevision, ReconciliationError> {
        let last = before.iter().map(|revision| revision.revision).max().unwrap_or(0);
        let revision = last.checked_add(1).ok_or(ReconciliationError::TooManyRevisions)?;
        let path = self.inbox.folder(&context.channel, date).join(&file.name);
        let metadata = std::fs::metadata(&path).map_err(|source| ReconciliationError::Io {
            context: format!("{} cannot be read", path.display()),
            source,
        })?;
        // It may have come in at another node.
        let known = self.inbox.known(&context.channel, date, &file.sha256);
        let (origin, by) = known
            .map_or_else(|| (bringer.origin, bringer.by.clone()), |known| (known.origin, known.by));
        Ok(StatementRevision {
            channel: context.channel.clone(),
            date,
            revision,
            sha256: bytes_of(&file.sha256),
            name: file.name.clone(),
            bytes: metadata.len(),
            origin,
            by,
            at: context.now,
        })
    }

    async fn land(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        (name, content): (String, UploadContent),
        source: &FileSource,
    ) -> Result<InboxFile, ReconciliationError> {
        if self.inbox.is_shared() {
            let landed = self.put(channel, date, (&name, &content), source).await?;
            self.inbox.bring(channel).await?;
            return Ok(landed);
        }
        let (inbox, channel) = (Arc::clone(&self.inbox), channel.clone());
        let landed = tokio::task::spawn_blocking(move || match content {
            UploadContent::Bytes(bytes) if bytes.len() <= FILES_BYTES_MAX => {
                let file = StatementFile::new(&name, bytes).ok_or(ReconciliationError::Name)?;
                let landed = inbox.land(&channel, date, &[file])?;
                Ok(landed.into_iter().next().expect("one file lands as one"))
            }
            UploadContent::Bytes(_) => Err(ReconciliationError::Io {
                context: "the upload is larger than memory may hold".to_owned(),
                source: std::io::ErrorKind::FileTooLarge.into(),
            }),
            UploadContent::File(path) => Ok(inbox.land_file(&channel, date, &name, &path)?),
        });
        landed.await.map_err(|_| ReconciliationError::Died)?
    }

    /// Another date of the channel whose statement has this content, and lines in it: a day's lines
    /// are those of no other day. Statements of days without lines may well be the same.
    async fn date_with_content(
        &self,
        context: &ChannelContext,
        date: BusinessDate,
        sha256: &[u8; 32],
    ) -> Result<Option<BusinessDate>, ReconciliationError> {
        let (inbox, channel) = (Arc::clone(&self.inbox), context.channel.clone());
        let dates = tokio::task::spawn_blocking(move || inbox.dates(&channel));
        let dates = dates.await.map_err(|_| ReconciliationError::Died)??;
        // Bounded by the dates of which something lies in the inbox.
        for other in dates.into_iter().rev().filter(|other| *other != date) {
            let revisions =
                self.books.store().statement_revisions(context.channel.clone(), other).await?;
            // One that a later revision has corrected stands no more.
            let leads = revisions.iter().max_by_key(|revision| revision.revision);
            if leads.is_none_or(|revision| revision.sha256 != *sha256) {
                continue;
            }
            let Some(name) = leads.map(|revision| &revision.name).filter(|name| *name != NOTHING)
            else {
                continue;
            };
            let file = self.inbox.folder(&context.channel, other).join(name);
            let (layout, folder) =
                (context.statement.layout.clone(), self.work_folder()?.to_owned());
            let rows = tokio::task::spawn_blocking(move || {
                layout.is_none_or(|layout| has_rows(&file, &layout, &folder))
            });
            if rows.await.map_err(|_| ReconciliationError::Died)? {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    /// The file of a revision, and the newest file that has landed and is the layout's summary of
    /// the date.
    async fn files_of(
        &self,
        context: &ChannelContext,
        revision: &StatementRevision,
    ) -> Result<JobFiles, ReconciliationError> {
        if revision.name == NOTHING {
            return Ok(JobFiles::default());
        }
        let (inbox, date) = (Arc::clone(&self.inbox), revision.date);
        let channel = context.channel.clone();
        let statement = Some(inbox.folder(&channel, date).join(&revision.name));
        let layout = context.statement.layout.as_ref();
        let Some(summary) = layout.and_then(|layout| layout.summary.as_ref()) else {
            return Ok(JobFiles { statement, summary: None });
        };
        let pattern = summary.member.clone();
        let found = tokio::task::spawn_blocking(move || {
            let landed = inbox.by_age(&channel, date)?;
            let of_date = landed.iter().rfind(|file| is_of(&file.name, &pattern, date));
            Ok::<_, InboxError>(of_date.map(|file| inbox.folder(&channel, date).join(&file.name)))
        });
        let summary = found.await.map_err(|_| ReconciliationError::Died)??;
        Ok(JobFiles { statement, summary })
    }

    /// Runs a job, and remembers a refused file: the worker does not try that one again.
    async fn run_job(
        &self,
        context: &ChannelContext,
        job: &Job,
    ) -> Result<Reconciliation, ReconciliationError> {
        let Job { revision, is_new, .. } = job;
        let other = match *is_new && revision.name != NOTHING {
            true => self.date_with_content(context, revision.date, &revision.sha256).await?,
            false => None,
        };
        let ended = match other {
            Some(date) => Err(ReconciliationError::StandsElsewhere { date }),
            None => {
                let files = self.files_of(context, revision).await?;
                self.runner.carry_out(context, job, files).await
            }
        };
        if let Err(error) = &ended
            && error.is_refusal()
        {
            let sha256 = hex_lower(&job.revision.sha256);
            let (channel, date) = (&context.channel, job.revision.date);
            self.inbox.refuse(channel, date, &sha256, &telemetry::chain(error)).await?;
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.insert((context.channel.clone(), job.revision.date, sha256));
        }
        if ended.is_ok() {
            let (books, inbox, folder) = (&self.books, &*self.inbox, self.work_folder()?);
            let check = AbsenceCheck { books, inbox, folder, context };
            check.end_absent(job.revision.date).await?;
        }
        ended
    }
}

/// The uploaded content, with its SHA-256.
async fn digested(
    content: UploadContent,
) -> Result<(UploadContent, [u8; 32]), ReconciliationError> {
    let digested = tokio::task::spawn_blocking(move || match content {
        UploadContent::Bytes(bytes) => {
            let mut sha256 = RunningSha256::default();
            sha256.update(&bytes);
            Ok((UploadContent::Bytes(bytes), sha256.finish()))
        }
        UploadContent::File(path) => {
            let sha256 = digest_of(&path).map_err(|source| ReconciliationError::Io {
                context: format!("{} cannot be read", path.display()),
                source,
            })?;
            Ok((UploadContent::File(path), bytes_of(&sha256)))
        }
    });
    digested.await.map_err(|_| ReconciliationError::Died)?
}

/// The revision of a date on which nothing happened.
fn empty_statement_job(context: &ChannelContext, date: BusinessDate, bringer: FileSource) -> Job {
    let revision = StatementRevision {
        channel: context.channel.clone(),
        date,
        revision: 1,
        sha256: RunningSha256::default().finish(),
        name: NOTHING.to_owned(),
        bytes: 0,
        origin: bringer.origin,
        by: bringer.by.clone(),
        at: context.now,
    };
    Job { revision, is_new: true, by: bringer.by }
}

/// The digest that a list of the inbox has as text.
pub(super) fn bytes_of(sha256: &str) -> [u8; 32] {
    let bytes = read_hex(sha256).unwrap_or_default();
    bytes.try_into().unwrap_or([0; 32])
}
