//! The JSON forms of batches, differences and settlements. They borrow from the rows.

use serde::Serialize;

use crate::api::dto::{MomentText, Text};
use crate::domain::books::difference::{Difference, DifferenceEvent, Gap, LineSide, RecordSide};
use crate::domain::books::reconcile::{Class, Item, Side, Verdict};
use crate::domain::books::reconciliation::{BatchState, FileProblem, Reconciliation};
use crate::domain::books::settlement::{BankReceipt, ChannelSettlement, SettledAmounts};
use crate::domain::ids::{BatchId, DifferenceId, SettlementId};
use crate::domain::time::BusinessDate;
use crate::reconciliation::matching::form::SummaryForm;

/// One batch.
#[derive(Serialize)]
pub struct BatchBody<'row> {
    id: Text<BatchId>,
    channel: &'row str,
    date: Text<BusinessDate>,
    revision: u16,
    state: &'static str,
    by: &'row str,
    started_at: MomentText,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<MomentText>,
    /// Why it was abandoned.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'row str>,
    /// Only of a batch that has finished.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    report: Option<BatchReportBody<'row>>,
}

#[derive(Serialize)]
struct BatchReportBody<'row> {
    agreed: bool,
    #[serde(flatten)]
    summary: SummaryForm,
    lines: u32,
    differences: u32,
    /// Orders of unknown end that a line of the statement has ended.
    proven: u32,
    problems: Vec<ProblemBody<'row>>,
}

#[derive(Serialize)]
struct ProblemBody<'row> {
    kind: &'row str,
    line: u32,
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

#[derive(Serialize)]
struct ItemBody {
    operation: &'static str,
    amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<i64>,
    currency: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    settle_date: Option<Text<BusinessDate>>,
}

impl From<&Item> for ItemBody {
    fn from(item: &Item) -> Self {
        Self {
            operation: item.movement.name(),
            amount: item.amount_minor,
            fee: item.fee_minor,
            currency: item.currency.name(),
            status: item.status.name(),
            settle_date: item.date.map(Text),
        }
    }
}

#[derive(Serialize)]
struct LineBody<'row> {
    date: Text<BusinessDate>,
    line: u32,
    order_no: &'row str,
    reference: &'row str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    item: Option<ItemBody>,
    /// Why the line cannot be read, and its text, card numbers masked (I-11).
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'row str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'row str>,
}

impl<'row> From<&'row LineSide> for LineBody<'row> {
    fn from(side: &'row LineSide) -> Self {
        let unreadable = side.unreadable.as_ref();
        Self {
            date: Text(side.date),
            line: side.line,
            order_no: &side.order_no,
            reference: &side.reference,
            item: side.item.as_ref().map(ItemBody::from),
            problem: unreadable.map(|(problem, _)| problem.as_str()),
            text: unreadable.map(|(_, text)| text.as_str()),
        }
    }
}

#[derive(Serialize)]
struct RecordBody<'row> {
    date: Text<BusinessDate>,
    channel_order_no: Text<crate::domain::ids::ChannelOrderNo>,
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

#[derive(Serialize)]
struct GapBody {
    currency: &'static str,
    principal: i64,
    fee: i64,
}

impl From<&Gap> for GapBody {
    fn from(gap: &Gap) -> Self {
        let currency = gap.currency.name();
        Self { currency, principal: gap.principal_minor, fee: gap.fee_minor }
    }
}

#[derive(Serialize)]
struct EventBody<'row> {
    at: MomentText,
    what: &'row str,
}

/// One difference.
#[derive(Serialize)]
pub struct DifferenceBody<'row> {
    id: Text<DifferenceId>,
    channel: &'row str,
    class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_by: Option<&'static str>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<LineBody<'row>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<RecordBody<'row>>,
    found_by: Text<BatchId>,
    changed_by: Text<BatchId>,
    opened_at: MomentText,
    /// When it is put in suspense, while it is carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<MomentText>,
    /// The money that suspense holds for the difference: theirs less ours.
    held: Vec<GapBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<&'row str>,
    /// The root of the ids of its accounting requests, and how many there are.
    accounting_requests: u16,
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
            resolution: row.remedy.as_ref().map(|(_, why)| why.as_str()),
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

#[derive(Serialize)]
pub struct SettledBody {
    principal: i64,
    fee: i64,
    net: i64,
}

impl From<&SettledAmounts> for SettledBody {
    fn from(settled: &SettledAmounts) -> Self {
        let SettledAmounts { principal_minor, fee_minor, net_minor } = *settled;
        Self { principal: principal_minor, fee: fee_minor, net: net_minor }
    }
}

#[derive(Serialize)]
struct ReceiptBody<'row> {
    bank_reference: &'row str,
    amount: i64,
    received_on: Text<BusinessDate>,
    recorded_at: MomentText,
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
#[derive(Serialize)]
pub struct SettlementBody<'row> {
    id: Text<SettlementId>,
    channel: &'row str,
    from: Text<BusinessDate>,
    to: Text<BusinessDate>,
    currency: &'static str,
    state: &'static str,
    received: i64,
    expected: SettledBody,
    /// Why it differs, or what has changed since it was booked; for people.
    reasons: &'row [String],
    receipts: Vec<ReceiptBody<'row>>,
    opened_at: MomentText,
    #[serde(skip_serializing_if = "Option::is_none")]
    agreed_at: Option<MomentText>,
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
            expected: SettledBody::from(&row.expected),
            reasons: &row.reasons,
            receipts: row.receipts.iter().map(ReceiptBody::from).collect(),
            opened_at: MomentText(row.opened_at),
            agreed_at: row.agreed_at.map(MomentText),
            accounting_requests: row.accounting_sequence,
        }
    }
}
