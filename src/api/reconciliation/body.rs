//! The JSON forms of batches, differences and settlements. They borrow from the rows.

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::dto::{MomentText, Text};
use crate::codec::word;
use crate::domain::books::difference::{Difference, DifferenceEvent, Gap, LineSide, RecordSide};
use crate::domain::books::reconcile::{Class, Item, Side, Verdict};
use crate::domain::books::reconciliation::{BatchState, FileProblem, Reconciliation};
use crate::domain::books::settlement::{BankReceipt, ChannelSettlement, SettledAmounts};
use crate::domain::ids::{BatchId, DifferenceId, SettlementId};
use crate::domain::time::BusinessDate;
use crate::reconciliation::matching::form::SummaryForm;

/// One batch.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reconciliation")]
pub struct BatchBody<'row> {
    /// The batch's number.
    id: Text<BatchId>,
    /// The channel.
    channel: &'row str,
    /// The clearing date.
    date: Text<BusinessDate>,
    /// The revision of the statement.
    revision: u16,
    /// How it stands.
    #[schemars(with = "word::BatchStateWord")]
    state: &'static str,
    /// Whoever ran it.
    by: &'row str,
    /// When it began.
    started_at: MomentText,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<MomentText>,
    /// Why it was abandoned.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'row str>,
    /// Only of a batch that has finished.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    report: Option<BatchReportBody<'row>>,
}

/// What a batch found.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReconciliationReport")]
struct BatchReportBody<'row> {
    /// Whether nothing differs.
    agreed: bool,
    #[serde(flatten)]
    summary: SummaryForm,
    /// How many lines were read.
    lines: u32,
    /// How many differences it found.
    differences: u32,
    /// Orders of unknown end that a line of the statement has ended.
    proven: u32,
    /// Problems of the file as a whole.
    problems: Vec<ProblemBody<'row>>,
}

/// A problem of a file.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FileProblem")]
struct ProblemBody<'row> {
    /// A stable word.
    kind: &'row str,
    /// The line; 0 for the whole file.
    line: u32,
    /// The same for people.
    problem: &'row str,
}

impl<'row> From<&'row FileProblem> for ProblemBody<'row> {
    fn from(found: &'row FileProblem) -> Self {
        Self { kind: &found.kind, line: found.line, problem: &found.detail }
    }
}

impl<'row> From<&'row Reconciliation> for BatchBody<'row> {
    fn from(batch: &'row Reconciliation) -> Self {
        let finished = match batch.state {
            BatchState::Current | BatchState::Superseded => true,
            BatchState::Running | BatchState::Abandoned => false,
        };
        let found = &batch.report;
        let report = || BatchReportBody {
            agreed: found.is_agreed(),
            summary: SummaryForm::of(&found.totals, &found.theirs, &found.ours),
            lines: found.lines,
            differences: found.differences,
            proven: found.proven,
            problems: found.problems.iter().map(ProblemBody::from).collect(),
        };
        Self {
            id: Text(batch.id),
            channel: batch.channel.as_str(),
            date: Text(batch.date),
            revision: batch.revision,
            state: batch.state.name(),
            by: &batch.by,
            started_at: MomentText(batch.started_at),
            finished_at: batch.finished_at.map(MomentText),
            reason: batch.reason.as_deref(),
            report: finished.then(report),
        }
    }
}

/// An item.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ComparedItem")]
struct ItemBody {
    /// What moved the money.
    #[schemars(with = "word::OperationWord")]
    movement: &'static str,
    /// In minor units.
    amount: i64,
    /// The fee, in minor units, where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<i64>,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// What is said of it.
    #[schemars(with = "word::StatusWord")]
    status: &'static str,
    /// The clearing date, where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    clearing_date: Option<Text<BusinessDate>>,
}

impl From<&Item> for ItemBody {
    fn from(item: &Item) -> Self {
        Self {
            movement: item.movement.name(),
            amount: item.amount_minor,
            fee: item.fee_minor,
            currency: item.currency.name(),
            status: item.status.name(),
            clearing_date: item.date.map(Text),
        }
    }
}

/// Its line.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatementLine")]
struct LineBody<'row> {
    /// The date of the statement.
    date: Text<BusinessDate>,
    /// The line's number.
    line: u32,
    /// The order number that it names: ours, unless the channel has another one there.
    channel_order_no: &'row str,
    /// The channel's own number that it names.
    channel_reference: &'row str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    item: Option<ItemBody>,
    /// Why the line cannot be read, and its text, card numbers masked (I-11).
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'row str>,
    /// Its text, card numbers masked, where it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'row str>,
}

impl<'row> From<&'row LineSide> for LineBody<'row> {
    fn from(side: &'row LineSide) -> Self {
        let unreadable = side.unreadable.as_ref();
        Self {
            date: Text(side.date),
            line: side.line,
            channel_order_no: &side.order_no,
            channel_reference: &side.reference,
            item: side.item.as_ref().map(ItemBody::from),
            problem: unreadable.map(|(problem, _)| problem.as_str()),
            text: unreadable.map(|(_, text)| text.as_str()),
        }
    }
}

/// Its record.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OurRecord")]
struct RecordBody<'row> {
    /// The clearing date.
    date: Text<BusinessDate>,
    /// Our number of the attempt.
    channel_order_no: Text<crate::domain::ids::ChannelOrderNo>,
    /// The channel's own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_reference: Option<&'row str>,
    #[serde(flatten)]
    item: ItemBody,
}

impl<'row> From<&'row RecordSide> for RecordBody<'row> {
    fn from(side: &'row RecordSide) -> Self {
        Self {
            date: Text(side.date),
            channel_order_no: Text(side.channel_order_no),
            channel_reference: side.reference.as_deref(),
            item: ItemBody::from(&side.item),
        }
    }
}

/// What is held.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HeldMoney")]
struct GapBody {
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// Their principal less ours, in minor units.
    principal: i64,
    /// Their fee less ours, in minor units.
    fee: i64,
}

impl From<&Gap> for GapBody {
    fn from(gap: &Gap) -> Self {
        let currency = gap.currency.name();
        Self { currency, principal: gap.principal_minor, fee: gap.fee_minor }
    }
}

/// A line of its history.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DifferenceEvent")]
struct EventBody<'row> {
    /// When.
    at: MomentText,
    /// What happened.
    what: &'row str,
}

/// One difference.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Difference")]
pub struct DifferenceBody<'row> {
    /// The difference's number.
    id: Text<DifferenceId>,
    /// The channel.
    channel: &'row str,
    /// What differs.
    #[schemars(with = "word::ClassWord")]
    class: &'static str,
    /// By which number the sides met.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::MatchKeyWord>")]
    matched_by: Option<&'static str>,
    /// How it stands.
    #[schemars(with = "word::DifferenceStateWord")]
    state: &'static str,
    /// The statement's side.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<LineBody<'row>>,
    /// Our side.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<RecordBody<'row>>,
    /// The batch that found it.
    found_by: Text<BatchId>,
    /// The batch that changed it last.
    changed_by: Text<BatchId>,
    /// Since when it has been open.
    opened_at: MomentText,
    /// When it is put in suspense, while it is carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<MomentText>,
    /// The money that suspense holds for the difference: theirs less ours.
    held: Vec<GapBody>,
    /// Where a person said that the money belongs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::RemedyWord>")]
    remedy: Option<&'static str>,
    /// The reason that the person gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'row str>,
    /// The root of the ids of its accounting requests, and how many there are.
    accounting_requests: u16,
    /// What happened, oldest first.
    history: Vec<EventBody<'row>>,
}

impl<'row> From<&'row Difference> for DifferenceBody<'row> {
    fn from(row: &'row Difference) -> Self {
        let event = |event: &'row DifferenceEvent| EventBody {
            at: MomentText(event.at),
            what: &event.what,
        };
        Self {
            id: Text(row.id),
            channel: row.channel.as_str(),
            class: row.class.name(),
            matched_by: (row.line.is_some() && row.record.is_some()).then(|| row.key.name()),
            state: row.state.name(),
            line: row.line.as_ref().map(LineBody::from),
            record: row.record.as_ref().map(RecordBody::from),
            found_by: Text(row.found_by),
            changed_by: Text(row.changed_by),
            opened_at: MomentText(row.opened_at),
            due_at: row.due_at.map(MomentText),
            held: row.held.iter().map(GapBody::from).collect(),
            remedy: row.remedy.as_ref().map(|(remedy, _)| remedy.name()),
            reason: row.remedy.as_ref().map(|(_, why)| why.as_str()),
            accounting_requests: row.accounting_sequence,
            history: row.history.iter().map(event).collect(),
        }
    }
}

/// A difference as the list of a batch has it, with the class that it had there.
pub fn listed(row: &Difference, class: Class) -> Verdict<Side> {
    let line = row.line.as_ref().map(|line| Side {
        line: line.line,
        order_no: line.order_no.clone(),
        reference: line.reference.clone(),
        item: line.item,
        unreadable: line.unreadable.clone(),
    });
    let record = row.record.as_ref().map(|record| Side {
        line: 0,
        order_no: record.channel_order_no.to_string(),
        reference: record.reference.clone().unwrap_or_default(),
        item: Some(record.item),
        unreadable: None,
    });
    Verdict { class, key: row.key, line, record }
}

/// What is expected.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SettledAmounts")]
pub struct SettledBody {
    /// In minor units.
    principal: i64,
    /// In minor units.
    fee: i64,
    /// Principal less fee, in minor units.
    net: i64,
}

impl From<&SettledAmounts> for SettledBody {
    fn from(settled: &SettledAmounts) -> Self {
        let SettledAmounts { principal_minor, fee_minor, net_minor } = *settled;
        Self { principal: principal_minor, fee: fee_minor, net: net_minor }
    }
}

/// A receipt.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BankReceipt")]
struct ReceiptBody<'row> {
    /// The bank's reference.
    bank_reference: &'row str,
    /// In minor units.
    amount: i64,
    /// When the bank received it.
    received_on: Text<BusinessDate>,
    /// When it was recorded.
    recorded_at: MomentText,
    /// Whoever recorded it.
    by: &'row str,
}

impl<'row> From<&'row BankReceipt> for ReceiptBody<'row> {
    fn from(receipt: &'row BankReceipt) -> Self {
        Self {
            bank_reference: &receipt.bank_reference,
            amount: receipt.received_minor,
            received_on: Text(receipt.received_on),
            recorded_at: MomentText(receipt.at),
            by: &receipt.by,
        }
    }
}

/// One settlement.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Settlement")]
pub struct SettlementBody<'row> {
    /// The settlement's number.
    id: Text<SettlementId>,
    /// The channel.
    channel: &'row str,
    /// The first clearing date.
    from: Text<BusinessDate>,
    /// The last clearing date.
    to: Text<BusinessDate>,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// Whether both sides agree.
    #[schemars(with = "word::SettlementStateWord")]
    state: &'static str,
    /// What the bank has received, in minor units.
    received: i64,
    /// What the statements say.
    stated: SettledBody,
    /// Why it differs, or what has changed since it was booked; for people.
    reasons: &'row [String],
    /// The bank's receipts.
    receipts: Vec<ReceiptBody<'row>>,
    /// When the first receipt came.
    opened_at: MomentText,
    /// When it agreed, and was booked.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreed_at: Option<MomentText>,
    /// How many accounting requests it has.
    accounting_requests: u16,
}

impl<'row> From<&'row ChannelSettlement> for SettlementBody<'row> {
    fn from(row: &'row ChannelSettlement) -> Self {
        Self {
            id: Text(row.id),
            channel: row.channel.as_str(),
            from: Text(row.from),
            to: Text(row.to),
            currency: row.currency.name(),
            state: row.state.name(),
            received: row.received_minor(),
            stated: SettledBody::from(&row.expected),
            reasons: &row.reasons,
            receipts: row.receipts.iter().map(ReceiptBody::from).collect(),
            opened_at: MomentText(row.opened_at),
            agreed_at: row.agreed_at.map(MomentText),
            accounting_requests: row.accounting_sequence,
        }
    }
}
