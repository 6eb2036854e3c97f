//! What a statement's line proves about an order of ours (I-3, I-5), and the record that our books
//! have of its number.

use std::collections::BTreeMap;

use crate::domain::attempt::{AttemptState, Evidence, Source};
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::difference::Difference;
use crate::domain::books::reconcile::{
    Item, OrderedAmount, Proof, Side, Status, Verdict, is_same_operation, net,
};
use crate::domain::ids::ChannelOrderNo;
use crate::domain::outcome::{Approval, Decline, Outcome, Reason};
use crate::domain::time::BusinessDate;
use crate::engine::EngineError;

use super::BatchRun;
use crate::reconciliation::ReconciliationError;

/// The code that an attempt ends with where a statement ended it.
const CODE: &str = "statement";
/// Lines of one number that a transcript tells.
const LINES_TOLD_MAX: usize = 8;

/// The lines that name one number of ours.
pub(super) struct NumberLines<'v> {
    pub number: ChannelOrderNo,
    pub lines: &'v [Verdict<Side>],
    /// Lines of the statements of other dates that name it.
    pub others: &'v [Difference],
    /// No other line names the number. A row that cannot be read, or is passed over, may name it
    /// too, and so may a part that was cut off.
    pub is_all: bool,
}

/// The result of weighing the lines of a number that only the statement has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvidenceResult {
    /// An order of unknown end has ended by them.
    pub has_ended: bool,
    /// Our record of the number that they name, which was not held against the statement.
    pub record: Option<ClearingRecord>,
    /// Lines that another date's statement has matched, by their place in the file.
    pub elsewhere: Vec<(u32, BusinessDate)>,
}

/// The verdicts on lines that only they have, by the number of ours that they name. Amounts are as
/// they are written.
pub type VerdictsByNumber = BTreeMap<ChannelOrderNo, Vec<Verdict<Side>>>;

/// Where our record of a number is.
enum RecordStanding {
    /// There is none, or it takes part already.
    None,
    /// No line has it, and nobody has decided on it.
    Free(Box<ClearingRecord>),
    /// The statement of another date has a line for it.
    Taken(Box<ClearingRecord>, BusinessDate),
}

impl BatchRun<'_> {
    /// Keeps a line that only they have, if it names an attempt of ours at this channel.
    pub(super) async fn gather(
        &self,
        verdict: Verdict<Side>,
        named: &mut VerdictsByNumber,
    ) -> Result<(), ReconciliationError> {
        let number = verdict.line.as_ref().and_then(|line| ChannelOrderNo::parse(&line.order_no));
        let Some(number) = number else { return Ok(()) };
        if !named.contains_key(&number) {
            let Some(order) = self.books.store().order(number.order).await? else {
                self.books.engine().report_foreign_number(number, &self.context.channel).await?;
                return Ok(());
            };
            let attempt = order.attempt(number.attempt);
            if attempt.is_none_or(|attempt| attempt.channel != self.context.channel) {
                return Ok(());
            }
        }
        named.entry(number).or_default().push(verdict);
        Ok(())
    }

    /// Weighs the lines of one number, netted with those of other dates.
    pub(super) async fn weigh_number(
        &self,
        named: NumberLines<'_>,
    ) -> Result<EvidenceResult, ReconciliationError> {
        let NumberLines { number, lines, others, is_all } = named;
        let mut weighed = EvidenceResult::default();
        let Some(order) = self.books.store().order(number.order).await? else { return Ok(weighed) };
        let Some(attempt) = order.attempt(number.attempt) else { return Ok(weighed) };
        let (movement, of) = (attempt.operation, &order.instruction);
        let (amount_minor, currency) = (of.amount.get(), of.currency);
        let asked = OrderedAmount { movement, amount_minor, currency };
        let lines: Vec<(&Side, Item)> = lines.iter().filter_map(line_of).collect();
        let others = others.iter().filter_map(|row| row.line.as_ref()?.item);
        let items: Vec<Item> = lines.iter().map(|(_, item)| *item).chain(others).collect();
        let proof = if is_all { net(&items, &asked) } else { Proof::Nothing };
        let was_open = attempt.state.is_unresolved();
        let tells = match proof {
            Proof::Succeeded => was_open || attempt.state != AttemptState::Approved,
            Proof::Failed | Proof::TakenBack => was_open,
            Proof::Nothing => false,
        };
        if was_open && proof == Proof::Nothing {
            tracing::warn!(
                order.id = %order.id,
                clearing.date = %self.date,
                lines = lines.len(),
                "lines of a statement name an unknown order and prove nothing; it stays unknown"
            );
        }
        if let Some(said) = evidence(self.date, number.attempt, &lines, proof).filter(|_| tells) {
            // A statement is true as of the end of its day, whenever it is handed in.
            let as_of = self.context.terms.calendar.beginning_of(self.date.next());
            match self.books.engine().weigh(order.id, Evidence { as_of, ..said }).await {
                // A success that a reversal may still undo is held.
                Ok(order) => {
                    let ended = order.attempt(number.attempt);
                    let ended = ended.is_some_and(|attempt| !attempt.state.is_unresolved());
                    weighed.has_ended = was_open && ended;
                }
                // Its terms, or what it refers to, are such that nothing can be learnt of it.
                Err(EngineError::Refused(refusal)) => {
                    tracing::warn!(
                        order.id = %order.id, %refusal,
                        "a statement's line is refused as evidence; the order stays as it is"
                    );
                    return Ok(weighed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut speaking = lines;
        speaking.retain(|(_, item)| {
            item.status == Status::Succeeded
                && item.currency == currency
                && is_same_operation(item.movement, movement)
        });
        if !speaking.is_empty() && proof != Proof::TakenBack {
            match self.standing(number).await? {
                RecordStanding::None => {}
                RecordStanding::Free(record) => weighed.record = Some(*record),
                RecordStanding::Taken(record, other) => {
                    speaking.retain(|(_, item)| item.amount_minor == record.principal_minor);
                    weighed.elsewhere.extend(speaking.iter().map(|(line, _)| (line.line, other)));
                }
            }
        }
        Ok(weighed)
    }

    /// Where our record of a number stands, wherever it lies.
    async fn standing(
        &self,
        number: ChannelOrderNo,
    ) -> Result<RecordStanding, ReconciliationError> {
        let Some(record) = self.books.record_of(&self.context.channel, self.date, number).await?
        else {
            return Ok(RecordStanding::None);
        };
        let store = self.books.store();
        let row =
            store.difference_of_record(self.context.channel.clone(), record.date, number).await?;
        let row = row.as_ref();
        let other = row.and_then(|row| row.line.as_ref()).map(|line| line.date);
        if let Some(other) = other.filter(|other| *other != self.date) {
            return Ok(RecordStanding::Taken(Box::new(record), other));
        }
        if record.date == self.date {
            let is_free = row.is_none_or(|row| row.line.is_none() && !row.is_balanced());
            return Ok(if is_free {
                RecordStanding::Free(Box::new(record))
            } else {
                RecordStanding::None
            });
        }
        // A carried record took part already; a person's decision stands.
        let is_decided = row.is_some_and(|row| {
            row.is_balanced() || (row.state.is_open() && record.date < self.date)
        });
        if is_decided || other.is_some() {
            return Ok(RecordStanding::None);
        }
        Ok(
            match self
                .books
                .is_unmatched(&self.context.channel, record.date, record.at, row)
                .await?
            {
                true => RecordStanding::Free(Box::new(record)),
                false => {
                    let other = record.date;
                    RecordStanding::Taken(Box::new(record), other)
                }
            },
        )
    }
}

/// The line that a verdict is about, with what it says.
pub(super) fn line_of(verdict: &Verdict<Side>) -> Option<(&Side, Item)> {
    verdict.line.as_ref().and_then(|line| Some((line, line.item?)))
}

/// The evidence that the lines of a number are about its attempt; their text is its transcript.
fn evidence(
    date: BusinessDate,
    attempt: u8,
    lines: &[(&Side, Item)],
    proof: Proof,
) -> Option<Evidence> {
    let declined = |reason: Reason| {
        Outcome::Declined(Decline { reason, code: CODE.to_owned(), elsewhere: false })
    };
    let outcome = match proof {
        Proof::Nothing => return None,
        Proof::Failed => declined(Reason::ChannelFailure),
        Proof::TakenBack => declined(Reason::ReversedAfterUnknown),
        Proof::Succeeded => {
            let reference = lines.first().map(|(line, _)| line.reference.clone());
            Outcome::Approved(Approval {
                channel_reference: reference.filter(|text| !text.is_empty()),
                code: CODE.to_owned(),
                settle_mmdd: Some(format!("{:04}", date.yyyymmdd() % 10_000)),
                card_type: None,
            })
        }
    };
    let told = lines.iter().take(LINES_TOLD_MAX).map(|(line, item)| {
        let (movement, status, currency) =
            (item.movement.name(), item.status.name(), item.currency.name());
        format!("line {}: {movement} {} {currency} {status}", line.line, item.amount_minor)
    });
    let transcript = format!("statement of {date}, {}", told.collect::<Vec<_>>().join("; "));
    Some(Evidence {
        source: Source::Statement,
        attempt,
        outcome,
        objection: None,
        as_of: None,
        transcript,
        sent: String::new(),
    })
}
