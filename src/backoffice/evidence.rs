//! What a statement's line proves about an order of ours (I-3, I-5), and what our books know of the
//! number that it names.

use crate::domain::batch::Claim;
use crate::domain::books::Movement;
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::books::difference::{Claimed, Difference, RecordSide, days_after};
use crate::domain::books::reconcile::{Class, Item, Status, is_same_operation};
use crate::domain::flow::attempt::{Attempt, AttemptState, Evidence, Source};
use crate::domain::flow::order::{Order, OrderStatus};
use crate::domain::ids::{ChannelOrderNo, OrderId};
use crate::domain::outcome::{Approval, Decline, Outcome, Reason};
use crate::domain::time::{BusinessDate, Timestamp};
use crate::engine::EngineError;

use super::lines::{Told, ToldSide};
use super::{Backoffice, BackofficeError, House};

/// The code that an attempt ends with where a statement ended it.
const CODE: &str = "statement";
/// Days behind a claim in which its record is looked for: it lies on the first open day.
const CLAIM_DAYS: u16 = 31;

/// What came of looking at a line that only they have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weighed {
    /// An order of unknown end has ended by it.
    pub has_ended: bool,
    /// Our record of the number that it names, which was not held against the statement.
    pub record: Option<ClearingRecord>,
}

impl Backoffice {
    /// Weighs a line that only they have, if it names an attempt of ours at this channel and speaks
    /// of the same operation and currency.
    pub(super) async fn weigh(
        &self,
        house: &House,
        date: BusinessDate,
        told: &Told,
    ) -> Result<Weighed, BackofficeError> {
        let nothing = Weighed::default();
        let only_theirs = told.class == Class::OnlyTheirs;
        let Some(line) = told.line.as_ref().filter(|_| only_theirs) else { return Ok(nothing) };
        let Some(number) = ChannelOrderNo::parse(&line.order_no) else { return Ok(nothing) };
        let Some(order) = self.store().order(number.order).await? else {
            self.engine.number_from_outside(number, &house.channel).await?;
            return Ok(nothing);
        };
        let Some(attempt) = fitting(house, &order, number.attempt, &line.item) else {
            return Ok(nothing);
        };
        let was_open = attempt.state.is_unresolved();
        let says_success = line.item.status == Status::Succeeded;
        let tells = was_open || (says_success && attempt.state != AttemptState::Approved);
        if tells {
            match self.engine.weigh(order.id, evidence(date, number.attempt, line)).await {
                Ok(_) => {}
                // Its terms, or what it refers to, are such that nothing can be learnt of it.
                Err(EngineError::Refused(refusal)) => {
                    tracing::warn!(order.id = %order.id, %refusal, "a line could not be weighed");
                    return Ok(nothing);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let record = match says_success {
            true => self.untaken_record(house, date, number).await?,
            false => None,
        };
        Ok(Weighed { has_ended: was_open, record })
    }

    /// Our record of a number, wherever it lies, if no line has it and nobody has decided on it.
    async fn untaken_record(
        &self,
        house: &House,
        date: BusinessDate,
        number: ChannelOrderNo,
    ) -> Result<Option<ClearingRecord>, BackofficeError> {
        let Some(record) = self.record_of(house, date, number).await? else { return Ok(None) };
        let store = self.store();
        let row = store.difference_of_record(house.channel.clone(), record.date, number).await?;
        let row = row.as_ref();
        let is_free = match record.date == date {
            true => row.is_none_or(|row| row.line.is_none() && !row.is_balanced()),
            // One that is carried took part already.
            false => {
                let carried = row.is_some_and(|row| row.state.is_open()) && record.date < date;
                !carried && self.is_unmatched(house, record.date, record.at, row).await?
            }
        };
        Ok(is_free.then_some(record))
    }

    /// Whether no line has a record that appeared at `at`, and nobody has decided on it. `row` is
    /// its difference: one without had matched in its own date's run, if it was there by then.
    pub(super) async fn is_unmatched(
        &self,
        house: &House,
        date: BusinessDate,
        at: Timestamp,
        row: Option<&Difference>,
    ) -> Result<bool, BackofficeError> {
        match row {
            Some(row) if row.line.is_some() || row.is_balanced() => return Ok(false),
            Some(row) if row.state.is_open() => return Ok(true),
            Some(_) | None => {}
        }
        let own = self.store().current_reconciliation(house.channel.clone(), date).await?;
        Ok(own.is_none_or(|batch| batch.finished_at.is_none_or(|finished| at > finished)))
    }

    /// Our clearing record of an attempt. `near` is where a claim's record is looked for.
    pub(super) async fn record_of(
        &self,
        house: &House,
        near: BusinessDate,
        number: ChannelOrderNo,
    ) -> Result<Option<ClearingRecord>, BackofficeError> {
        if let Some(transaction) = self.store().transaction(number.order).await?
            && transaction.channel_order_no == number
        {
            return self.record_at(house, transaction.clearing_date, number).await;
        }
        let claims = self.store().contradictions(number.order).await?;
        let claimed = |claim: Claim| claim == Claim::Success;
        if !claims.iter().any(|kept| kept.attempt == number.attempt && claimed(kept.claim)) {
            return Ok(None);
        }
        for days in 0..=CLAIM_DAYS {
            let found = self.record_at(house, days_after(near, days), number).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn record_at(
        &self,
        house: &House,
        date: BusinessDate,
        number: ChannelOrderNo,
    ) -> Result<Option<ClearingRecord>, BackofficeError> {
        // The page begins behind the number before it.
        let after = match number.attempt {
            0 => (OrderId::from_u64(number.order.as_u64().saturating_sub(1)), u8::MAX),
            attempt => (number.order, attempt - 1),
        };
        let page = self.store().clearing(house.channel.clone(), date, Some(after), 1).await?;
        Ok(page.into_iter().find(|record| record.channel_order_no == number))
    }

    /// What becomes of the money of a record, if our order had ended otherwise.
    pub(super) async fn claimed(&self, record: &RecordSide) -> Result<Claimed, BackofficeError> {
        if record.item.status == Status::Succeeded {
            return Ok(Claimed::Nothing);
        }
        let number = record.channel_order_no;
        let claims = self.store().contradictions(number.order).await?;
        let mut claims = claims.into_iter().filter(|kept| kept.attempt == number.attempt);
        let undo = claims.find(|kept| kept.claim == Claim::Success).and_then(|kept| kept.undo);
        let Some(by) = undo else { return Ok(Claimed::Held) };
        let undo = self.store().order(by).await?;
        let given_up = undo.is_some_and(|undo| undo.status == OrderStatus::Failed);
        Ok(if given_up { Claimed::Held } else { Claimed::Undone { by } })
    }
}

/// The attempt that a line speaks of, if the line can be about it.
fn fitting<'order>(
    house: &House,
    order: &'order Order,
    number: u8,
    line: &Item,
) -> Option<&'order Attempt> {
    let attempt = order.attempt(number)?;
    let fits = attempt.channel == house.channel
        && order.currency == line.currency
        && is_same_operation(line.movement, Movement::of(attempt.operation));
    fits.then_some(attempt)
}

fn evidence(date: BusinessDate, attempt: u8, line: &ToldSide) -> Evidence {
    let item = &line.item;
    let outcome = match item.status {
        Status::Succeeded => Outcome::Approved(Approval {
            channel_reference: Some(line.reference.clone()).filter(|text| !text.is_empty()),
            code: CODE.to_owned(),
            settle_mmdd: Some(format!("{:04}", date.yyyymmdd() % 10_000)),
        }),
        Status::Failed => Outcome::Declined(Decline {
            reason: Reason::ChannelFailure,
            code: CODE.to_owned(),
            elsewhere: false,
        }),
    };
    let (movement, status, currency) =
        (item.movement.name(), item.status.name(), item.currency.code());
    let voucher = format!(
        "statement of {date}, line {}: {movement} {} {currency} {status}",
        line.line, item.amount_minor
    );
    Evidence { source: Source::Statement, attempt, outcome, objection: None, voucher }
}

/// Our record's side as a difference keeps it.
pub(super) fn side_of(record: &ClearingRecord) -> RecordSide {
    let contradicted = record.state == ClearingState::Contradicted;
    let item = Item::of(record);
    assert_eq!(item.status == Status::Failed, contradicted, "a claim is no success of ours");
    RecordSide {
        date: record.date,
        channel_order_no: record.channel_order_no,
        reference: record.channel_reference.clone(),
        item,
    }
}
