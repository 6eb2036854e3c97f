//! One run: a statement's file held against our records, and what is found written as rows.
//!
//! The batch is there before anything else of it; its findings follow in chunks, and the last
//! commit makes it the current one. Until then the batch before it is true. Whatever ends a run
//! leaves it abandoned, by itself or by the next one, and nothing that the next one would not find
//! by its keys.

mod across;
mod cards;
mod carried;
mod chunk;
mod evidence;
mod lines;
mod records;
mod sweep;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
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
use crate::entropy::Entropy;
use crate::reconciliation::books::{ChannelBooks, ChannelContext};
use crate::reconciliation::matching::{
    Budget, Comparison, FileRows, LateRecord, MEMORY_BYTES, MatchError, MatchReport, NoWatch,
    SkippedNumbers, StatementInput, reconcile,
};
use crate::store::StoreError;
use crate::telemetry;

use self::chunk::{BalancedLine, Chunk};
use self::evidence::{NumberLines, VerdictsByNumber};
use self::lines::{Digests, record_side, shortened};
use self::records::{Records, side_of_record};
use crate::reconciliation::{PAGE, ReconciliationError};

/// Where temporary files lie, below the data folder.
const WORK: &str = "work";
/// Differences of one run. Where there are more, the file is another day's or channel's; they are
/// remembered while the run lasts.
const DIFFERENCES_MAX: u64 = 1_000_000;
/// Problems that a report lists.
const PROBLEMS_MAX: usize = 100;

/// The revision to run.
pub struct Job {
    pub revision: StatementRevision,
    /// Whether the revision is not in the books yet.
    pub is_new: bool,
    pub by: String,
}

/// The files that a job reads.
#[derive(Default)]
pub struct JobFiles {
    /// `None`: the channel has said that nothing happened.
    pub statement: Option<PathBuf>,
    /// The file with the totals that lies beside the statement.
    pub summary: Option<PathBuf>,
}

/// A run under way. The files of this folder are its steps, and share its fields.
struct BatchRun<'a> {
    books: &'a ChannelBooks,
    context: &'a ChannelContext,
    date: BusinessDate,
    batch: Reconciliation,
    layout: Layout,
    files: JobFiles,
    digests: Digests,
    /// Lines whose number another date's statement has matched, and that date.
    elsewhere: HashMap<u32, BusinessDate>,
    /// Lines that cancel those of another date's statement.
    netted: BTreeSet<u32>,
    /// Written lines of both kinds: the class by this statement alone, the final class, and the
    /// line.
    moved: Vec<(Class, Class, Item)>,
    found: HashSet<DifferenceId>,
    told: u32,
    unsaid: Vec<BalancedLine>,
}

/// Runs batches.
pub struct BatchRunner {
    books: ChannelBooks,
    folder: PathBuf,
    entropy: Entropy,
}

impl BatchRunner {
    /// `data` is the data folder; temporary files lie in it.
    pub fn new(books: ChannelBooks, data: &Path, entropy: Entropy) -> Self {
        Self { books, folder: data.join(WORK), entropy }
    }

    /// Where temporary files may be written. Creates the folder if it is absent.
    pub fn work_folder(&self) -> Result<&Path, ReconciliationError> {
        let failed = |source| ReconciliationError::Io {
            context: format!("the folder {} cannot be made", self.folder.display()),
            source,
        };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        Ok(&self.folder)
    }

    /// Runs a job; the caller holds the channel's turn.
    pub async fn carry_out(
        &self,
        context: &ChannelContext,
        job: &Job,
        files: JobFiles,
    ) -> Result<Reconciliation, ReconciliationError> {
        let (channel, date) = (&context.channel, job.revision.date);
        let missing = || ReconciliationError::NoLayout { channel: channel.clone() };
        let mut layout = context.statement.layout.clone().ok_or_else(missing)?;
        if !context.present.is_over(&context.terms.calendar, date) {
            return Err(ReconciliationError::DateOpen { date });
        }
        self.abandon(channel).await?;
        let batch = Reconciliation {
            id: BatchId::of(self.books.engine().next_order_id().await?),
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
        if files.statement.is_none() {
            // An empty file has no columns and no end.
            layout.header = Header::Skipped(0);
            (layout.footer, layout.summary, layout.member) = (None, None, None);
        }
        let mut working = BatchRun {
            books: &self.books,
            context,
            date,
            batch: batch.clone(),
            layout,
            files,
            digests: Digests::default(),
            elsewhere: HashMap::new(),
            netted: BTreeSet::new(),
            moved: Vec::new(),
            found: HashSet::new(),
            told: 0,
            unsaid: Vec::new(),
        };
        let ended = working.work(job, self.work_folder()?, self.entropy.draw()).await;
        if let Err(error) = &ended {
            self.end_abandoned(batch, telemetry::chain(error)).await?;
        }
        ended
    }

    async fn put_batch(&self, row: Reconciliation) -> Result<(), ReconciliationError> {
        let writes = WriteSet { reconciliations: vec![row], ..WriteSet::default() };
        Ok(self.books.engine().record(writes).await?)
    }

    async fn end_abandoned(
        &self,
        batch: Reconciliation,
        reason: String,
    ) -> Result<(), ReconciliationError> {
        let row = Reconciliation {
            version: batch.version + 1,
            state: BatchState::Abandoned,
            finished_at: Some(self.books.engine().clock().now()),
            reason: Some(reason),
            ..batch
        };
        self.put_batch(row).await
    }

    /// Ends the batches of a channel that their process, or their caller, has left running. The
    /// caller holds the channel's turn.
    pub async fn abandon(&self, channel: &ChannelId) -> Result<(), ReconciliationError> {
        let running = self.books.store().running_reconciliations().await?;
        for batch in running.into_iter().filter(|row| row.channel == *channel) {
            tracing::warn!(
                channel.name = %batch.channel,
                clearing.date = %batch.date,
                "a reconciliation was cut off; it is run again"
            );
            self.end_abandoned(batch, "the run was cut off".to_owned()).await?;
        }
        Ok(())
    }
}

impl<'a> BatchRun<'a> {
    /// `folder` is for temporary files, `seed` for the matcher.
    async fn work(
        &mut self,
        job: &Job,
        folder: &Path,
        seed: u64,
    ) -> Result<Reconciliation, ReconciliationError> {
        self.retry_lines().await?;
        let (mut news, matcher) = self.start(folder, seed)?;
        let (mut named, mut chunk) = (VerdictsByNumber::new(), Vec::with_capacity(PAGE));
        let mut proven = 0;
        // Ends with the matcher, which closes the channel.
        while let Some(one) = news.recv().await {
            match one {
                MatcherEvent::Stranger(verdict) => {
                    self.gather(verdict, &mut named).await?;
                }
                MatcherEvent::Whole { unread, is_whole, late } => {
                    let named = std::mem::take(&mut named);
                    proven = self.weigh_strangers(named, &unread, is_whole, &late).await?;
                }
                MatcherEvent::Verdict(verdict) => {
                    chunk.push(verdict);
                    if chunk.len() == PAGE {
                        self.write_chunk(std::mem::take(&mut chunk)).await?;
                    }
                }
            }
        }
        let report = self.join(matcher).await?;
        self.write_chunk(chunk).await?;
        let found = std::mem::take(&mut self.found);
        self.sweep(&found).await?;
        self.look_at_cards(&report.cards).await?;
        self.finish(job, report, proven).await
    }

    /// Weighs the lines that only they have, and gives the records that they lead to to the
    /// matcher; says how many orders have ended by them.
    async fn weigh_strangers(
        &mut self,
        named: VerdictsByNumber,
        unread: &SkippedNumbers,
        is_whole: bool,
        late: &mpsc::Sender<LateRecord>,
    ) -> Result<u32, ReconciliationError> {
        let numbers = named.keys().copied().collect();
        let across = self.lines_of_other_dates(&numbers).await?;
        let (mut proven, mut alone) = (0, VerdictsByNumber::new());
        for (number, lines) in named {
            let is_all = is_whole && !unread.names(&number.to_string());
            let others = across.get(&number).map(Vec::as_slice).unwrap_or_default();
            let about = NumberLines { number, lines: &lines, others, is_all };
            let weighed = self.weigh_number(about).await?;
            proven += u32::from(weighed.has_ended);
            self.elsewhere.extend(weighed.elsewhere);
            match weighed.record {
                Some(record) => {
                    let late =
                        late.send(LateRecord { lines, record: side_of_record(&record) }).await;
                    late.map_err(|_| ReconciliationError::Died)?;
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

    /// Starts the matcher in a thread of its own. It waits until its events are taken.
    fn start(
        &self,
        folder: &Path,
        seed: u64,
    ) -> Result<(mpsc::Receiver<MatcherEvent>, Matcher), ReconciliationError> {
        let (sender, receiver) = mpsc::channel(PAGE);
        let (layout, folder, date) = (self.layout.clone(), folder.to_owned(), self.date);
        let (path, summary) = (self.statement(&folder)?, self.files.summary.clone());
        let store = Arc::clone(self.books.store());
        let mut ours = Records::new(store, self.context.channel.clone(), date);
        let comparison = Comparison {
            date: Some(date),
            tolerance: self.context.statement.tolerance,
            carried: true,
            differences_max: DIFFERENCES_MAX,
            seed,
        };
        let ended = tokio::task::spawn_blocking(move || {
            let tell = |news| {
                let gone = |_| std::io::Error::other("the receiver of verdicts is gone");
                let told = sender.blocking_send(news).map_err(gone);
                told.map_err(|source| MatchError::Write { source })
            };
            let budget = Budget::new(MEMORY_BYTES / 2, &folder);
            let summary = summary.as_deref();
            let file = StatementInput { path: &path, layout: &layout, summary, date: Some(date) };
            let mut theirs = FileRows::statement(file, &budget, &NoWatch)?;
            let mut matched = reconcile(&mut theirs, &mut ours, &comparison, &budget, &NoWatch)?;
            matched
                .each_stranger(|verdict| tell(MatcherEvent::Stranger(verdict.map(shortened))))?;
            // Only the end of the file completes the lines of a number; a cut-off part may have had
            // more.
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

    /// The file to read: an empty one where the channel has said that nothing happened.
    fn statement(&self, folder: &Path) -> Result<PathBuf, ReconciliationError> {
        if let Some(file) = &self.files.statement {
            return Ok(file.clone());
        }
        let file = folder.join("nothing");
        let context = || format!("{} cannot be written", file.display());
        let made = std::fs::write(&file, b"");
        made.map_err(|source| ReconciliationError::Io { context: context(), source })?;
        Ok(file)
    }

    fn chunk(&self) -> Chunk<'a> {
        Chunk::new(self.books, self.context, self.batch.id, self.date)
    }

    async fn join(&self, matcher: Matcher) -> Result<MatchReport, ReconciliationError> {
        match matcher.await {
            Err(_) => Err(ReconciliationError::Died),
            Ok(Ok(report)) => Ok(report),
            Ok(Err(MatchError::Records { source })) if source.is::<StoreError>() => {
                let source = source.downcast::<StoreError>().map(|error| (*error).into());
                Err(source.unwrap_or(ReconciliationError::Died))
            }
            Ok(Err(problem)) if is_of_file(&problem) => Err(ReconciliationError::Refused {
                batch: self.batch.id,
                problem: Box::new(problem),
            }),
            Ok(Err(problem)) => Err(ReconciliationError::Failed(Box::new(problem))),
        }
    }

    /// Writes some verdicts in one commit, again while their rows change under it.
    async fn write_chunk(
        &mut self,
        verdicts: Vec<Verdict<Side>>,
    ) -> Result<(), ReconciliationError> {
        let mut findings = Vec::with_capacity(verdicts.len());
        let mut moved = Vec::new();
        for verdict in verdicts {
            let elsewhere = self.other_date_of(&verdict);
            let Verdict { class, key, line, record } = verdict;
            let record = record.and_then(|record| record_side(record, self.date));
            let claimed = match &record {
                Some(record) if record.item.status == Status::Failed => {
                    self.books.contradicted_money(record).await?
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
            let mut chunk = self.chunk();
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

    /// Whether the chunk was written; if its rows had changed meanwhile, the caller builds it anew.
    async fn commit_chunk(
        &mut self,
        tries: &mut CommitRounds,
        chunk: Chunk<'_>,
    ) -> Result<bool, ReconciliationError> {
        let (writes, unsaid) = chunk.into_writes();
        let is_written = self.books.engine().write(tries, writes).await?;
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
    ) -> Result<Reconciliation, ReconciliationError> {
        for (own, class, item) in &self.moved {
            report.totals.reclassify(item, *own, *class, None);
        }
        let agreed = report.agreed.to_bytes();
        let store = self.books.store();
        let channel = self.context.channel.clone();
        let before = store.current_reconciliation(channel, self.date).await?;
        let now = self.books.engine().clock().now();
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
        self.books.engine().record(writes).await?;
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
        if !report.is_counted && self.files.statement.is_some() {
            let detail = "the file does not give the number of its lines, so that an absent line \
             proves nothing";
            problems.push(problem(UNCOUNTED, 0, detail.to_owned()));
        }
        for (line, said) in &report.problems {
            problems.push(problem(kind_of(said, &self.layout), *line, said.to_string()));
        }
        for unsaid in std::mem::take(&mut self.unsaid) {
            let id = unsaid.difference;
            let detail = format!(
                "difference {id} is balanced, and the statement now says \
             otherwise"
            );
            problems.push(problem("balanced_differs", unsaid.line, detail));
        }
        problems.truncate(PROBLEMS_MAX);
        problems
    }
}

type Matcher = tokio::task::JoinHandle<Result<MatchReport, MatchError>>;

/// An event of the matcher.
enum MatcherEvent {
    /// A line whose number none of our records has.
    Stranger(Verdict<Side>),
    /// The last stranger was sent. The matcher waits for the records that they lead to, until the
    /// sender is gone.
    Whole {
        unread: SkippedNumbers,
        is_whole: bool,
        late: mpsc::Sender<LateRecord>,
    },
    Verdict(Verdict<Side>),
}

/// Whether a file of this content would always be refused.
fn is_of_file(problem: &MatchError) -> bool {
    match problem {
        MatchError::Packed { .. }
        | MatchError::Line { .. }
        | MatchError::OtherDay { .. }
        | MatchError::TooManyLines { .. }
        | MatchError::TooManyBadLines { .. }
        | MatchError::TooManyDifferences { .. }
        | MatchError::Skewed => true,
        MatchError::Read { .. }
        | MatchError::Records { .. }
        | MatchError::Spill { .. }
        | MatchError::Write { .. }
        | MatchError::Died => false,
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
