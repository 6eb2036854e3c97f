//! One run: a statement's file held against our records, and what is found written as rows.
//!
//! The batch is there before anything else of it; its findings follow in chunks, and the last
//! commit makes it the current one. Until then the batch before it is true. Whatever ends a run
//! leaves it abandoned, by itself or by the next one, and nothing that the next one would not find
//! by its keys.

mod across;
mod carried;
mod chunk;
mod evidence;
mod lines;
mod records;
mod sweep;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::codec::layout::{Column, Header, Layout, StatementProblem};
use crate::domain::books::difference::{ContradictedMoney, Finding};
use crate::domain::books::reconcile::{Class, Item, Side, Status, Verdict};
use crate::domain::books::reconciliation::{
    BatchReport, BatchState, FileProblem, REVISION, Reconciliation, UNCOUNTED,
};
use crate::domain::books::statement::StatementRevision;
use crate::domain::ids::{BatchId, ChannelId, DifferenceId};
use crate::domain::time::BusinessDate;
use crate::domain::write_set::WriteSet;
use crate::engine::CommitRounds;
use crate::reconciliation::incoming::LandError;
use crate::reconciliation::matching::{
    Budget, Comparison, FileRows, LateRecord, MEMORY_BYTES, MatchReport, NoWatch, ReconcileError,
    SkippedNumbers, StatementInput, is_of, reconcile,
};
use crate::store::StoreError;
use crate::telemetry;

use self::chunk::{BalancedLine, Chunk};
use self::evidence::{NumberLines, VerdictsByNumber};
use self::lines::{Digests, record_side, shortened};
use self::records::{Records, side_of_record};
use crate::reconciliation::{Backoffice, BackofficeError, ChannelContext, NOTHING, PAGE};

/// Differences of one run. Where there are more, the file is another day's or channel's; they are
/// remembered while the run lasts.
const DIFFERENCES_MAX: u64 = 1_000_000;
/// Problems that a report lists.
const PROBLEMS_MAX: usize = 100;

/// What is run.
pub(in crate::reconciliation) struct Job {
    pub revision: StatementRevision,
    /// Whether the revision is not in the books yet.
    pub is_new: bool,
    pub by: String,
}

/// A run under way.
pub(in crate::reconciliation) struct BatchRun<'a> {
    pub office: &'a Backoffice,
    pub context: &'a ChannelContext,
    pub date: BusinessDate,
    pub batch: Reconciliation,
    layout: Layout,
    file: PathBuf,
    /// The file with the totals that lies beside it.
    summary: Option<PathBuf>,
    /// Without a file the channel has said that nothing happened.
    has_file: bool,
    digests: Digests,
    /// Lines whose number another date's statement has matched, and that date.
    elsewhere: HashMap<u32, BusinessDate>,
    /// Lines that cancel those of another date's statement.
    netted: BTreeSet<u32>,
    /// Those of both that were written, with the class that their own statement gives them, and
    /// theirs.
    moved: Vec<(Class, Class, Item)>,
    found: HashSet<DifferenceId>,
    told: u32,
    unsaid: Vec<BalancedLine>,
}

impl Backoffice {
    /// Runs a job; the caller holds the channel's turn.
    pub(in crate::reconciliation) async fn carry_out(
        &self,
        context: &ChannelContext,
        job: &Job,
    ) -> Result<Reconciliation, BackofficeError> {
        let (channel, date) = (&context.channel, job.revision.date);
        let missing = || BackofficeError::NoLayout { channel: channel.clone() };
        let mut layout = context.statement.layout.clone().ok_or_else(missing)?;
        if !context.present.is_over(&context.terms.calendar, date) {
            return Err(BackofficeError::DateOpen { date });
        }
        self.abandon(channel).await?;
        let batch = Reconciliation {
            id: BatchId::of(self.engine.next_order_id().await?),
            version: 1,
            channel: channel.clone(),
            date,
            revision: job.revision.revision,
            state: BatchState::Running,
            by: job.by.clone(),
            started_at: context.now,
            finished_at: None,
            reason: None,
            report: BatchReport::default(),
        };
        self.put_batch(batch.clone()).await?;
        let mut file = self.inbox.folder(channel, date).join(&job.revision.name);
        let mut summary = self.summary_beside(channel, date, &layout).await?;
        if job.revision.name == NOTHING {
            (file, layout) = self.empty_statement(layout)?;
            summary = None;
        }
        let mut working = BatchRun {
            office: self,
            context,
            date,
            batch: batch.clone(),
            layout,
            file,
            summary,
            has_file: job.revision.name != NOTHING,
            digests: Digests::default(),
            elsewhere: HashMap::new(),
            netted: BTreeSet::new(),
            moved: Vec::new(),
            found: HashSet::new(),
            told: 0,
            unsaid: Vec::new(),
        };
        let ended = working.work(job).await;
        if let Err(error) = &ended {
            self.end_abandoned(batch, telemetry::chain(error)).await?;
        }
        ended
    }

    /// A statement without lines, and how it is read.
    fn empty_statement(&self, layout: Layout) -> Result<(PathBuf, Layout), BackofficeError> {
        let file = self.work_folder()?.join("nothing");
        let context = || format!("{} cannot be written", file.display());
        let made = std::fs::write(&file, b"");
        made.map_err(|source| BackofficeError::Io { context: context(), source })?;
        // It has no columns to find and no end to miss.
        let header = Header::Skipped(0);
        let layout = Layout { header, footer: None, summary: None, member: None, ..layout };
        Ok((file, layout))
    }

    /// The newest file that has landed and is the layout's summary of the date.
    async fn summary_beside(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        layout: &Layout,
    ) -> Result<Option<PathBuf>, BackofficeError> {
        let Some(summary) = &layout.summary else { return Ok(None) };
        let (inbox, channel) = (Arc::clone(&self.inbox), channel.clone());
        let pattern = summary.member.clone();
        let found = tokio::task::spawn_blocking(move || {
            let landed = inbox.by_age(&channel, date)?;
            let of_date = landed.iter().rfind(|file| is_of(&file.name, &pattern, date));
            Ok::<_, LandError>(of_date.map(|file| inbox.folder(&channel, date).join(&file.name)))
        });
        Ok(found.await.map_err(|_| BackofficeError::Died)??)
    }

    async fn put_batch(&self, row: Reconciliation) -> Result<(), BackofficeError> {
        let writes = WriteSet { reconciliations: vec![row], ..WriteSet::default() };
        Ok(self.engine.record(writes).await?)
    }

    async fn end_abandoned(
        &self,
        batch: Reconciliation,
        reason: String,
    ) -> Result<(), BackofficeError> {
        let row = Reconciliation {
            version: batch.version + 1,
            state: BatchState::Abandoned,
            finished_at: Some(self.engine.clock().now()),
            reason: Some(reason),
            ..batch
        };
        self.put_batch(row).await
    }

    /// Ends the batches of a channel that their process, or their caller, has left running. The
    /// caller holds the channel's turn.
    pub(in crate::reconciliation) async fn abandon(
        &self,
        channel: &ChannelId,
    ) -> Result<(), BackofficeError> {
        let running = self.store().running_reconciliations().await?;
        for batch in running.into_iter().filter(|row| row.channel == *channel) {
            tracing::warn!(
                channel.name = %batch.channel,
                clearing.date = %batch.date,
                "a reconciliation was cut off; it is run again"
            );
            self.end_abandoned(batch, "it was cut off".to_owned()).await?;
        }
        Ok(())
    }
}

impl BatchRun<'_> {
    async fn work(&mut self, job: &Job) -> Result<Reconciliation, BackofficeError> {
        self.retry_lines().await?;
        let (mut news, matcher) = self.start()?;
        let (mut named, mut chunk) = (VerdictsByNumber::new(), Vec::with_capacity(PAGE));
        let mut proven = 0;
        // Ends with the matcher, which closes the channel.
        while let Some(one) = news.recv().await {
            match one {
                MatcherEvent::Stranger(verdict) => {
                    self.office.gather(self.context, verdict, &mut named).await?;
                }
                MatcherEvent::Whole { unread, is_whole, late } => {
                    let named = std::mem::take(&mut named);
                    proven = self.weigh(named, &unread, is_whole, &late).await?;
                }
                MatcherEvent::Verdict(verdict) => {
                    chunk.push(verdict);
                    if chunk.len() == PAGE {
                        self.write_chunk(std::mem::take(&mut chunk)).await?;
                    }
                }
            }
        }
        let report = self.ended(matcher).await?;
        self.write_chunk(chunk).await?;
        let found = std::mem::take(&mut self.found);
        self.sweep(&found).await?;
        self.finish(job, report, proven).await
    }

    /// Weighs the lines that only they have, and gives the records that they lead to to the
    /// matcher; says how many orders have ended by them.
    async fn weigh(
        &mut self,
        named: VerdictsByNumber,
        unread: &SkippedNumbers,
        is_whole: bool,
        late: &mpsc::Sender<LateRecord>,
    ) -> Result<u32, BackofficeError> {
        let numbers = named.keys().copied().collect();
        let across = self.office.lines_of_other_dates(self.context, self.date, &numbers).await?;
        let (mut proven, mut alone) = (0, VerdictsByNumber::new());
        for (number, lines) in named {
            let is_all = is_whole && !unread.names(&number.to_string());
            let others = across.get(&number).map(Vec::as_slice).unwrap_or_default();
            let about = NumberLines { number, lines: &lines, others, is_all };
            let weighed = self.office.weigh(self.context, self.date, about).await?;
            proven += u32::from(weighed.has_ended);
            self.elsewhere.extend(weighed.elsewhere);
            match weighed.record {
                Some(record) => {
                    let late =
                        late.send(LateRecord { lines, record: side_of_record(&record) }).await;
                    late.map_err(|_| BackofficeError::Died)?;
                }
                None if others.is_empty() => {}
                None => {
                    alone.insert(number, lines);
                }
            }
        }
        self.net_across(&alone, &across).await?;
        Ok(proven)
    }

    /// Starts the matcher in a thread of its own. It waits for whoever takes what it tells.
    fn start(&self) -> Result<(mpsc::Receiver<MatcherEvent>, Matcher), BackofficeError> {
        let (sender, receiver) = mpsc::channel(PAGE);
        let (layout, path, date) = (self.layout.clone(), self.file.clone(), self.date);
        let (summary, folder) = (self.summary.clone(), self.office.work_folder()?.to_owned());
        let store = Arc::clone(self.office.store());
        let mut ours = Records::new(store, self.context.channel.clone(), date);
        let comparison = Comparison {
            date: Some(date),
            tolerance: self.context.statement.tolerance,
            carried: true,
            differences_max: DIFFERENCES_MAX,
            seed: self.office.entropy.draw(),
        };
        let ended = tokio::task::spawn_blocking(move || {
            let tell = |news| {
                let gone = |_| std::io::Error::other("nobody takes what is found");
                let told = sender.blocking_send(news).map_err(gone);
                told.map_err(|source| ReconcileError::Write { source })
            };
            let budget = Budget::new(MEMORY_BYTES / 2, &folder);
            let summary = summary.as_deref();
            let file = StatementInput { path: &path, layout: &layout, summary, date: Some(date) };
            let mut theirs = FileRows::statement(file, &budget, &NoWatch)?;
            let mut matched = reconcile(&mut theirs, &mut ours, &comparison, &budget, &NoWatch)?;
            matched
                .each_stranger(|verdict| tell(MatcherEvent::Stranger(verdict.map(shortened))))?;
            // Only when the file is read to its end all is known that it says of a number; what was
            // cut off may have said more.
            let end = matched.statement_end();
            let (unread, is_whole) = (end.unread.clone(), end.problems.is_empty());
            let (late, mut found) = mpsc::channel(PAGE);
            tell(MatcherEvent::Whole { unread, is_whole, late })?;
            // Ends with the lines that are weighed.
            while let Some(late) = found.blocking_recv() {
                matched.add(late);
            }
            matched.report(|verdict| tell(MatcherEvent::Verdict(verdict.map(shortened))))
        });
        Ok((receiver, ended))
    }

    async fn ended(&self, matcher: Matcher) -> Result<MatchReport, BackofficeError> {
        match matcher.await {
            Err(_) => Err(BackofficeError::Died),
            Ok(Ok(report)) => Ok(report),
            Ok(Err(ReconcileError::Records { source })) if source.is::<StoreError>() => {
                let source = source.downcast::<StoreError>().map(|error| (*error).into());
                Err(source.unwrap_or(BackofficeError::Died))
            }
            Ok(Err(problem)) if is_of_file(&problem) => {
                Err(BackofficeError::Refused { batch: self.batch.id, problem: Box::new(problem) })
            }
            Ok(Err(problem)) => Err(BackofficeError::Failed(Box::new(problem))),
        }
    }

    /// Writes some verdicts in one commit, again while their rows change under it.
    async fn write_chunk(&mut self, verdicts: Vec<Verdict<Side>>) -> Result<(), BackofficeError> {
        let mut findings = Vec::with_capacity(verdicts.len());
        let mut moved = Vec::new();
        for verdict in verdicts {
            let elsewhere = self.other_date_of(&verdict);
            let Verdict { class, key, line, record } = verdict;
            let record = record.and_then(|record| record_side(record, self.date));
            let claimed = match &record {
                Some(record) if record.item.status == Status::Failed => {
                    self.office.contradicted_money(record).await?
                }
                Some(_) | None => ContradictedMoney::Nothing,
            };
            let own = class;
            let class = self.class_of(own, elsewhere, line.as_ref().filter(|_| record.is_none()));
            let item = line.as_ref().and_then(|line| line.item).filter(|_| class != own);
            moved.extend(item.map(|item| (own, class, item)));
            let line = line.map(|line| self.digests.line_side(line, self.date));
            findings.push(Finding { class, key, line, record, claimed, elsewhere });
        }
        let mut tries = CommitRounds::default();
        loop {
            let mut chunk = Chunk::new(self.office, self.context, self.batch.id, self.date);
            let mut ids = Vec::with_capacity(findings.len());
            for (ordinal, finding) in (self.told + 1..).zip(&findings) {
                ids.push(chunk.take(finding.clone(), Some(ordinal)).await?);
            }
            if self.commit_chunk(&mut tries, chunk).await? {
                self.told += u32::try_from(findings.len()).expect("a chunk is small");
                self.found.extend(ids);
                self.moved.extend(moved);
                return Ok(());
            }
        }
    }

    /// The date whose statement has matched the number of a line that only they have.
    fn other_date_of(&self, verdict: &Verdict<Side>) -> Option<BusinessDate> {
        let alone = matches!(verdict.class, Class::OnlyTheirs | Class::DuplicateTheirs);
        let line = verdict.line.as_ref().filter(|_| alone && verdict.record.is_none())?;
        self.elsewhere.get(&line.line).copied()
    }

    /// The class of a verdict, beside what other dates' statements say of a line that it is about
    /// alone.
    fn class_of(&self, own: Class, elsewhere: Option<BusinessDate>, alone: Option<&Side>) -> Class {
        match (elsewhere, alone) {
            (Some(_), _) => Class::DuplicateElsewhere,
            (None, Some(line)) if self.netted.contains(&line.line) => Class::Netted,
            (None, _) => own,
        }
    }

    /// Whether the chunk is written; it is built anew if its rows had changed under it.
    pub(in crate::reconciliation) async fn commit_chunk(
        &mut self,
        tries: &mut CommitRounds,
        chunk: Chunk<'_>,
    ) -> Result<bool, BackofficeError> {
        let (writes, unsaid) = chunk.into_writes();
        let is_written = self.office.engine.write(tries, writes).await?;
        if is_written {
            self.unsaid.extend(unsaid);
        }
        Ok(is_written)
    }

    /// The last commit: from now on this batch is the current one of its date.
    async fn finish(
        &mut self,
        job: &Job,
        mut report: MatchReport,
        proven: u32,
    ) -> Result<Reconciliation, BackofficeError> {
        for (own, class, item) in &self.moved {
            report.totals.reclassify(item, *own, *class, None);
        }
        let agreed = report.agreed.to_bytes();
        let store = self.office.store();
        let channel = self.context.channel.clone();
        let before = store.current_reconciliation(channel, self.date).await?;
        let now = self.office.engine.clock().now();
        let done = Reconciliation {
            version: self.batch.version + 1,
            state: BatchState::Current,
            finished_at: Some(now),
            report: BatchReport {
                problems: self.problems(&report, before.as_ref()),
                totals: report.totals,
                theirs: report.theirs,
                ours: report.ours,
                lines: report.lines,
                differences: self.told,
                proven,
            },
            ..self.batch.clone()
        };
        let superseded = before.map(|row| Reconciliation {
            version: row.version + 1,
            state: BatchState::Superseded,
            ..row
        });
        let writes = WriteSet {
            statements: if job.is_new { vec![job.revision.clone()] } else { Vec::new() },
            reconciliations: superseded.into_iter().chain([done.clone()]).collect(),
            agreed_lines: vec![(done.id, agreed)],
            ..WriteSet::default()
        };
        self.office.engine.record(writes).await?;
        Ok(done)
    }

    fn problems(
        &mut self,
        report: &MatchReport,
        before: Option<&Reconciliation>,
    ) -> Vec<FileProblem> {
        let mut problems: Vec<FileProblem> = Vec::new();
        let problem = |kind: &str, line: u32, detail: String| {
            let kind = kind.to_owned();
            FileProblem { kind, line, detail }
        };
        if let Some(before) = before.filter(|before| before.revision != self.batch.revision) {
            let (revision, old) = (self.batch.revision, before.revision);
            let detail = format!("revision {revision} supersedes revision {old}");
            problems.push(problem(REVISION, 0, detail));
        }
        if !report.is_counted && self.has_file {
            let detail = "nothing says how many lines it has, so that none is known to be absent";
            problems.push(problem(UNCOUNTED, 0, detail.to_owned()));
        }
        for (line, said) in &report.problems {
            problems.push(problem(kind_of(said, &self.layout), *line, said.to_string()));
        }
        for unsaid in std::mem::take(&mut self.unsaid) {
            let id = unsaid.difference;
            let detail = format!("difference {id} is balanced, and is another one now");
            problems.push(problem("balanced_differs", unsaid.line, detail));
        }
        problems.truncate(PROBLEMS_MAX);
        problems
    }
}

type Matcher = tokio::task::JoinHandle<Result<MatchReport, ReconcileError>>;

/// What the matcher tells.
enum MatcherEvent {
    /// A line whose number none of our records has.
    Stranger(Verdict<Side>),
    /// All of these were told. What they lead to is waited for, until the sender is gone.
    Whole {
        unread: SkippedNumbers,
        is_whole: bool,
        late: mpsc::Sender<LateRecord>,
    },
    Verdict(Verdict<Side>),
}

/// Whether a file of this content would always be refused.
fn is_of_file(problem: &ReconcileError) -> bool {
    match problem {
        ReconcileError::Packed { .. }
        | ReconcileError::Line { .. }
        | ReconcileError::OtherDay { .. }
        | ReconcileError::TooManyLines { .. }
        | ReconcileError::TooManyBadLines { .. }
        | ReconcileError::TooManyDifferences { .. }
        | ReconcileError::Skewed => true,
        ReconcileError::Read { .. }
        | ReconcileError::Records { .. }
        | ReconcileError::Spill { .. }
        | ReconcileError::Write { .. }
        | ReconcileError::Died => false,
    }
}

/// The word for what is wrong with a file as a whole.
fn kind_of(problem: &StatementProblem, layout: &Layout) -> &'static str {
    let total = |place: usize| {
        let sums = layout.footer.as_ref().map(|footer| &footer.sums);
        let of = sums.and_then(|sums| sums.get(place - 1)).map(|(_, of)| of);
        let is = |word: &Option<Column>| word.is_some() && word.as_ref() == of;
        match (is(&layout.words.amount), is(&layout.words.fee)) {
            (true, _) => "amount_total_differs",
            (false, true) => "fee_total_differs",
            (false, false) => "total_differs",
        }
    };
    match problem {
        StatementProblem::Count { .. } | StatementProblem::SummaryCount { .. } => "count_differs",
        StatementProblem::SummarySum { of: "amount", .. } => "amount_total_differs",
        StatementProblem::SummarySum { of: "fee", .. } => "fee_total_differs",
        StatementProblem::SummarySum { .. } => "settlement_total_differs",
        StatementProblem::Summary => "summary",
        StatementProblem::OtherDays { .. } => "other_days",
        StatementProblem::Sum { place } => total(*place),
        StatementProblem::NoFooter | StatementProblem::CutOff => "cut_off",
        StatementProblem::Behind => "behind_the_end",
        StatementProblem::Footer => "footer",
        _ => "unreadable",
    }
}
