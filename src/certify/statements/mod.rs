//! Statement cases: the file's layout written the other way round, with each difference that its
//! lines can show, and what the real reconciliation makes of it.
//!
//! What is right follows from what the channel changed in an honest statement of our own records
//! and from I-10: every line and every record is in one class, and what is not agreed is a row.

mod draft;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use draft::{DraftFault, DraftFile, DraftLine, StatementDraft};

use crate::certify::case::CaseReport;
use crate::certify::desk::{CaseDesk, CaseSubject};
use crate::certify::exchange::{CaseExchange, PageShown};
use crate::certify::only::CaseAnswers;
use crate::certify::report::{CertifyReport, LeftOut};
use crate::channel::file::ChannelFile;
use crate::channel::protocol::sample::sample_now;
use crate::channel::statement::StatementTerms;
use crate::channel::{ChannelFuture, ChannelRequest, ReplyMeaning};
use crate::clock::Clock;
use crate::codec::layout::{Layout, OnBad};
use crate::domain::attempt::Operation;
use crate::domain::books::reconcile::{Class, Item, Status};
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::statement::StatementOrigin;
use crate::domain::closed_set;
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::domain::order::{OrderKind, OrderStatus};
use crate::domain::outcome::{Approval, Outcome};
use crate::domain::time::BusinessDate;
use crate::entropy::Entropy;
use crate::reconciliation::incoming::{ImportDesk, Inbox, StatementUpload, UploadContent};
use crate::reconciliation::{ChannelBooks, ReconciliationError, StatementRules};
use crate::telemetry::chain;

/// The group of these cases in a report.
const GROUP: &str = "statement";
/// Payments of the day. One is changed, and the others must not be.
const PAYMENTS: usize = 3;
/// A day after which a file is another day's, whatever window its times have.
const FAR_DAYS: usize = 40;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Plays every difference that the lines of the file's layout can show.
pub async fn play(file: &ChannelFile, subject: &CaseSubject, report: &mut CertifyReport) {
    let layout = file.statement.as_ref().and_then(|terms| terms.layout.as_ref());
    let (Some(terms), Some(layout)) = (&file.statement, layout) else {
        let why = "the file does not say how a statement is read";
        report.leave_out(LeftOut::new(GROUP, "every difference", why));
        return;
    };
    let player = StatementPlayer { file, terms, layout, subject };
    for change in LineChange::ALL {
        match player.why_not(change) {
            Some(why) => report.leave_out(LeftOut::new(GROUP, change.name(), why)),
            None => report.cases.push(player.run(change).await),
        }
    }
}

closed_set! {
    /// What differs from an honest statement.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum LineChange {
        Nothing => "exact match",
        Repeated => "the same file again",
        Missing => "a missing line",
        Extra => "a line about an order that is not ours",
        AmountOver => "an amount of one unit more",
        AmountShort => "an amount of one unit less",
        Fee => "a fee beyond the tolerance",
        FeeTolerated => "a fee within the tolerance",
        Twice => "a line that stands twice",
        Failed => "a line that says that it failed",
        Currency => "a line in another currency",
        DayLate => "a line that comes a day late",
        BadLine => "a line that cannot be read",
        WrongTotals => "totals that are not those of the lines",
        CutOff => "a file that ends before its totals",
        OtherDay => "another day's file",
    }
}

/// What must become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileTruth {
    /// It is taken; one verdict is of this class, and the others agree.
    Taken(Option<Class>),
    /// It is taken, and its problem is told.
    Remarked,
    Refused,
}

impl FileTruth {
    fn words(self) -> String {
        match self {
            Self::Taken(None) => "taken; every line agrees with our books".to_owned(),
            Self::Taken(Some(class)) => {
                format!(
                    "taken; one difference, `{}`, which is a row; the rest agrees",
                    class.name()
                )
            }
            Self::Remarked => "taken, and not agreed: its problem is told".to_owned(),
            Self::Refused => "refused, and nothing of it is in the books".to_owned(),
        }
    }
}

struct StatementPlayer<'f> {
    file: &'f ChannelFile,
    terms: &'f StatementTerms,
    layout: &'f Layout,
    subject: &'f CaseSubject,
}

impl StatementPlayer<'_> {
    /// Why a change cannot be shown in this layout.
    fn why_not(&self, change: LineChange) -> Option<&'static str> {
        let draft = StatementDraft::new(self.layout, self.date_now());
        let tolerance = self.terms.tolerance.fee_minor;
        let words = &self.layout.words;
        match change {
            _ if !self.file.abilities.order_operations().contains(&Operation::Payment) => {
                Some("the channel has no payments")
            }
            _ if !draft.has(Operation::Payment) => Some("the layout has no word for payments"),
            LineChange::Fee if words.fee.is_none() => Some("its lines have no fee"),
            LineChange::FeeTolerated if words.fee.is_none() || tolerance == 0 => {
                Some("no fee may differ")
            }
            LineChange::Failed if !draft.tells_failures() => Some("its lines tell of no failures"),
            LineChange::Currency if words.currency.is_none() => Some("its lines have no currency"),
            LineChange::WrongTotals if !draft.has_totals() => Some("it has no totals"),
            LineChange::CutOff if !draft.has_totals() || self.layout.footer.is_none() => {
                Some("nothing in the file says where it ends")
            }
            LineChange::OtherDay if !draft.tells_days() => Some("its lines do not tell their day"),
            _ => None,
        }
    }

    fn date_now(&self) -> BusinessDate {
        self.file.terms.calendar.date_of(sample_now())
    }

    /// Whether its lines have no number of ours.
    const fn is_weak(&self) -> bool {
        self.layout.words.order_no.is_none()
    }

    const fn verdict(&self, change: LineChange) -> FileTruth {
        match change {
            LineChange::Nothing
            | LineChange::Repeated
            | LineChange::FeeTolerated
            | LineChange::DayLate => FileTruth::Taken(None),
            LineChange::Missing => FileTruth::Taken(Some(Class::OnlyOurs)),
            LineChange::Extra => FileTruth::Taken(Some(Class::OnlyTheirs)),
            LineChange::AmountOver => FileTruth::Taken(Some(Class::AmountOver)),
            LineChange::AmountShort => FileTruth::Taken(Some(Class::AmountShort)),
            LineChange::Fee => FileTruth::Taken(Some(Class::FeeDiffers)),
            // By the channel's number alone a line is brought to its record once.
            LineChange::Twice if self.is_weak() => FileTruth::Taken(Some(Class::OnlyTheirs)),
            LineChange::Twice => FileTruth::Taken(Some(Class::DuplicateTheirs)),
            LineChange::Failed => FileTruth::Taken(Some(Class::StatusDiffers)),
            LineChange::Currency => FileTruth::Taken(Some(Class::CurrencyDiffers)),
            LineChange::BadLine => match self.layout.on_bad_line {
                OnBad::Refuse => FileTruth::Refused,
                OnBad::Keep => FileTruth::Remarked,
            },
            // A summary beside the file refuses nothing.
            LineChange::WrongTotals if self.layout.footer.is_none() => FileTruth::Remarked,
            LineChange::WrongTotals | LineChange::CutOff => match self.layout.on_bad_file {
                OnBad::Refuse => FileTruth::Refused,
                OnBad::Keep => FileTruth::Remarked,
            },
            LineChange::OtherDay => FileTruth::Refused,
        }
    }

    async fn run(&self, change: LineChange) -> CaseReport {
        let verdict = self.verdict(change);
        let mut case = CaseReport::unplayed(GROUP, change.name(), Vec::new());
        case.expected = verdict.words();
        if let Err(problem) = self.perform(change, verdict, &mut case).await {
            case.wrong.push(problem);
        }
        case
    }

    async fn perform(
        &self,
        change: LineChange,
        verdict: FileTruth,
        case: &mut CaseReport,
    ) -> Result<(), String> {
        let office = StatementOffice::new(self.file, self.terms, self.subject)?;
        let date = self.date_now();
        let lines = self.honest_lines(&office, date).await?;
        let later = (0..FAR_DAYS).fold(date, |date, _| date.next());
        let asked = if change == LineChange::OtherDay { later } else { date };
        office.pass(DAY * 2);
        if change == LineChange::OtherDay {
            office.pass(DAY * u32::try_from(FAR_DAYS).unwrap_or(u32::MAX));
        }
        let changed = self.changed(change, &lines);
        let fault = match change {
            LineChange::BadLine => DraftFault::BadLine,
            LineChange::WrongTotals => DraftFault::WrongTotals,
            LineChange::CutOff => DraftFault::CutOff,
            _ => DraftFault::None,
        };
        let draft = StatementDraft::new(self.layout, date);
        let file = draft.write(&changed, fault)?;
        let taken = office.hand_in(asked, &file, case).await;
        let batch = match (taken, verdict) {
            (Err(ReconciliationError::Refused { .. }), FileTruth::Refused) => return Ok(()),
            (Err(error), _) => return Err(format!("it is not taken: {}", chain(&error))),
            (Ok(_), FileTruth::Refused) => return Err("it is taken".to_owned()),
            (Ok(batch), _) => batch,
        };
        let (expected, batch) = match change {
            LineChange::Repeated => {
                let again = office.hand_in(asked, &file, case).await;
                let again = again.map_err(|error| format!("it is not taken: {}", chain(&error)))?;
                if again.id != batch.id {
                    case.wrong.push("the same content is taken twice".to_owned());
                }
                (lines.len(), again)
            }
            LineChange::DayLate => {
                office.pass(DAY);
                judge(&batch, Some(Class::OnlyOurs), lines.len(), case);
                let draft = StatementDraft::new(self.layout, date.next());
                let mut late = lines[0].clone();
                late.item.date = Some(date.next());
                let file = draft.write(&[late], DraftFault::None)?;
                let next = office.hand_in(date.next(), &file, case).await;
                let next = next.map_err(|error| format!("it is not taken: {}", chain(&error)))?;
                let met = if self.is_weak() { Class::MatchedWeak } else { Class::MatchedLate };
                if next.report.totals.count(met) != 1 {
                    case.wrong.push("the late line does not meet its record".to_owned());
                }
                (1, next)
            }
            _ => (lines.len(), batch),
        };
        match verdict {
            FileTruth::Taken(class) => judge(&batch, class, expected, case),
            FileTruth::Remarked if batch.report.is_agreed() => {
                case.wrong.push("it counts as agreed".to_owned());
            }
            FileTruth::Remarked | FileTruth::Refused => {}
        }
        office.tell(&batch, case).await
    }

    /// The day's lines as an honest channel writes them: our own records.
    async fn honest_lines(
        &self,
        office: &StatementOffice,
        date: BusinessDate,
    ) -> Result<Vec<DraftLine>, String> {
        let refused = |error: crate::engine::EngineError| format!("the engine refuses: {error}");
        let mut first = None;
        for _ in 0..PAYMENTS {
            let order = office.desk.charge(OrderKind::Payment).await.map_err(refused)?;
            if order.status != OrderStatus::Succeeded {
                return Err(format!("a payment is {}", order.status.name()));
            }
            first.get_or_insert(order);
        }
        let draft = StatementDraft::new(self.layout, date);
        let refunds = self.file.terms.can(Operation::Refund) && draft.has(Operation::Refund);
        if let Some(of) = first.filter(|_| refunds) {
            let kind = OrderKind::Refund { of: of.id };
            office.desk.follow_up(&of, kind).await.map_err(refused)?;
        }
        let form = &self.layout.order_form;
        let rows = office.desk.rows();
        let mut lines: Vec<DraftLine> = rows
            .clearing
            .iter()
            .map(|record| DraftLine {
                order_no: form.write(record.channel_order_no),
                reference: record.channel_reference.clone().unwrap_or_default(),
                item: Item::of(record),
            })
            .collect();
        // The one that is changed is a payment that nothing follows up.
        lines.rotate_left(1);
        Ok(lines)
    }

    fn changed(&self, change: LineChange, honest: &[DraftLine]) -> Vec<DraftLine> {
        let mut lines = honest.to_vec();
        let first = lines[0].clone();
        let item = &mut lines[0].item;
        let tolerance = self.terms.tolerance.fee_minor;
        match change {
            LineChange::Missing | LineChange::DayLate => {
                lines.remove(0);
            }
            LineChange::Extra => lines.push(DraftLine {
                order_no: first.order_no.replace(char::is_numeric, "9"),
                reference: "999999999999".to_owned(),
                ..first
            }),
            LineChange::AmountOver => item.amount_minor += 1,
            LineChange::AmountShort => item.amount_minor -= 1,
            LineChange::Fee => item.fee_minor = item.fee_minor.map(|fee| fee + tolerance + 1),
            LineChange::FeeTolerated => item.fee_minor = item.fee_minor.map(|fee| fee + tolerance),
            LineChange::Twice => lines.push(first),
            LineChange::Failed => item.status = Status::Failed,
            LineChange::Currency => {
                let other = |one: &Currency| {
                    *one != item.currency && one.exponent() == item.currency.exponent()
                };
                item.currency = Currency::ALL.into_iter().find(other).unwrap_or(item.currency);
            }
            LineChange::Nothing
            | LineChange::Repeated
            | LineChange::BadLine
            | LineChange::WrongTotals
            | LineChange::CutOff
            | LineChange::OtherDay => {}
        }
        lines
    }
}

/// Holds a batch against what must be in it: one difference at most, and all else agreed. `honest`
/// is how many lines an honest statement has.
fn judge(batch: &Reconciliation, class: Option<Class>, honest: usize, case: &mut CaseReport) {
    let report = &batch.report;
    let agreed: u64 = Class::ALL
        .into_iter()
        .filter(|one| one.is_agreement())
        .map(|one| report.totals.count(one))
        .sum();
    let honest = u64::try_from(honest).unwrap_or(u64::MAX);
    let is_extra = matches!(class, Some(Class::OnlyTheirs | Class::DuplicateTheirs));
    let expected = if class.is_none() || is_extra { honest } else { honest - 1 };
    if agreed != expected {
        case.wrong.push(format!("{agreed} lines agree, not {expected}"));
    }
    // What was matched by the channel's own number only is kept to be looked at.
    let weak = u32::try_from(report.totals.count(Class::MatchedWeak)).unwrap_or(u32::MAX);
    match class {
        Some(class) if report.totals.count(class) != 1 => {
            let found = report.totals.count(class);
            case.wrong.push(format!("`{}` is found {found} times", class.name()));
        }
        Some(_) if report.differences != 1 + weak => {
            case.wrong.push(format!("{} differences are rows", report.differences));
        }
        Some(_) if report.is_agreed() => case.wrong.push("it counts as agreed".to_owned()),
        None if !report.is_agreed() => case.wrong.push("it does not count as agreed".to_owned()),
        Some(_) | None => {}
    }
}

/// A channel that carries out whatever it is asked for, under numbers of its own.
struct WillingChannel;

impl CaseAnswers for WillingChannel {
    fn answer(&self, request: ChannelRequest) -> ChannelFuture<'_, ReplyMeaning> {
        let number = request.stated().channel_order_no.to_string();
        // Twelve digits fit into every channel's column.
        let reference = number[number.len().saturating_sub(12)..].to_owned();
        let approval = Approval {
            channel_reference: Some(reference),
            code: "approved".to_owned(),
            settle_mmdd: None,
            card_type: None,
        };
        let meaning = ReplyMeaning::new(Outcome::Approved(approval), String::new());
        Box::pin(async move { meaning })
    }
}

struct StatementSection(ChannelId, StatementTerms);

impl StatementRules for StatementSection {
    fn statement_terms(&self, channel: &ChannelId) -> Option<StatementTerms> {
        (*channel == self.0).then(|| self.1.clone())
    }
}

/// The books of one case, and the reconciliation over them.
struct StatementOffice {
    desk: CaseDesk,
    imports: ImportDesk,
    hand: Arc<AtomicI64>,
    channel: ChannelId,
    /// The inbox lies there.
    _folder: tempfile::TempDir,
}

impl StatementOffice {
    fn new(
        file: &ChannelFile,
        terms: &StatementTerms,
        subject: &CaseSubject,
    ) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no folder: {error}"))?;
        let hand = Arc::new(AtomicI64::new(sample_now().as_millis()));
        let flow = Arc::new(file.terms.clone());
        let clock = Clock::Manual(Arc::clone(&hand));
        let desk = CaseDesk::new(Arc::new(WillingChannel), flow, clock, subject.clone());
        let rules = Arc::new(StatementSection(file.id.clone(), terms.clone()));
        let books = ChannelBooks::new(Arc::clone(desk.engine()), rules);
        let inbox = Arc::new(Inbox::new(folder.path()));
        let imports = ImportDesk::new(books, inbox, folder.path(), Entropy::seeded(1));
        Ok(Self { desk, imports, hand, channel: file.id.clone(), _folder: folder })
    }

    fn pass(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.hand.fetch_add(millis, Ordering::SeqCst);
    }

    async fn hand_in(
        &self,
        date: BusinessDate,
        file: &DraftFile,
        case: &mut CaseReport,
    ) -> Result<Reconciliation, ReconciliationError> {
        let upload = StatementUpload {
            channel: self.channel.clone(),
            date,
            name: file.name.clone(),
            content: UploadContent::Bytes(file.bytes.clone()),
            origin: StatementOrigin::Upload,
            by: "rehearsal".to_owned(),
        };
        let taken = self.imports.import(upload).await.map(|result| result.batch);
        let heard = match &taken {
            Ok(batch) => found(batch),
            Err(error) => chain(error),
        };
        let shown = PageShown::of_statement(&format!("the statement of {date}"), &file.text);
        let at = self.desk.now().since(sample_now());
        let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        case.exchanges.push(CaseExchange::statement(at_ms, shown, heard));
        taken
    }

    /// What the books have of the batch, for people.
    async fn tell(&self, batch: &Reconciliation, case: &mut CaseReport) -> Result<(), String> {
        let store = self.desk.engine().store();
        let rows = store.found_differences(batch.id, None, 100).await;
        let rows = rows.map_err(|error| error.to_string())?;
        case.notes.push(format!("batch {}: {}", batch.state.name(), found(batch)));
        for (_, class, difference) in &rows {
            let state = difference.state.name();
            case.notes.push(format!("difference `{}`: {state}", class.name()));
        }
        if rows.len() != usize::try_from(batch.report.differences).unwrap_or(usize::MAX) {
            case.wrong.push(format!("{} differences have rows", rows.len()));
        }
        Ok(())
    }
}

/// The classes of a batch, with how often each was found, and what is wrong with its file.
fn found(batch: &Reconciliation) -> String {
    let report = &batch.report;
    let counted = Class::ALL.into_iter().map(|class| (class, report.totals.count(class)));
    let mut words: Vec<String> = counted
        .filter(|(_, count)| *count > 0)
        .map(|(class, count)| format!("{count} {}", class.name()))
        .collect();
    words.extend(report.problems.iter().map(|problem| problem.kind.clone()));
    words.join(", ")
}
