//! Differences that were carried too long are suspended, and a person's decision balances them.

use futures_util::future::join_all;

use crate::domain::books::difference::{Balancing, Change, ContradictedMoney, Difference, Moment};
use crate::domain::books::reconcile::Status;
use crate::domain::ids::{ChannelOrderNo, DifferenceId, MerchantId};
use crate::domain::terms::Terms;
use crate::domain::time::{DueWindow, Timestamp};
use crate::domain::write_set::{AuditEntry, WriteSet};
use crate::engine::CommitRounds;
use crate::engine::approvals::Consent;

use crate::clock::Timekeeper;
use crate::reconciliation::{ChannelBooks, ReconciliationError};

/// Differences that are suspended at once: the store writes together what waits.
const SUSPENDED_AT_ONCE: usize = 64;

/// Suspends differences, and balances them.
pub struct DifferenceDesk {
    books: ChannelBooks,
}

impl DifferenceDesk {
    pub const fn new(books: ChannelBooks) -> Self {
        Self { books }
    }

    /// By which the worker knows what is due.
    pub fn clock(&self) -> &Timekeeper {
        self.books.engine().clock()
    }

    /// Puts what is due in suspense, at most `limit` differences; gives their number.
    pub async fn expire(&self, due: DueWindow, limit: usize) -> Result<usize, ReconciliationError> {
        let rows = self.books.store().due_differences(due, limit).await?;
        let mut suspended = 0;
        for some in rows.chunks(SUSPENDED_AT_ONCE) {
            let ends = join_all(some.iter().map(|row| self.expire_one(row.clone(), due))).await;
            for (row, end) in some.iter().zip(ends) {
                match end {
                    Ok(()) => suspended += 1,
                    // The next round finds it again; the others need not wait for it.
                    Err(error) => {
                        let (id, error) = (row.id, crate::telemetry::chain(&error));
                        tracing::error!(
                            difference.id = %id, error,
                            "a difference could not be suspended; it is tried again"
                        );
                    }
                }
            }
        }
        Ok(suspended)
    }

    async fn expire_one(&self, row: Difference, due: DueWindow) -> Result<(), ReconciliationError> {
        let (mut row, mut tries) = (row, CommitRounds::default());
        loop {
            let terms = self.terms_of(&row)?;
            let claimed = self.contradicted_money_of(&row).await?;
            let moment = moment(&terms, due.now());
            let Some(change) = row.expire(claimed, due, &moment) else { return Ok(()) };
            if self.books.engine().write(&mut tries, rows_of(&row, change)).await? {
                return Ok(());
            }
            row = self.books.difference(row.id).await?;
        }
    }

    /// A person decides where the money of a difference belongs. The decision goes into the audit
    /// trail; a second person's yes is written in the same commit.
    pub async fn balance(
        &self,
        id: DifferenceId,
        asked: Balancing,
        consent: Option<&Consent>,
    ) -> Result<Difference, ReconciliationError> {
        let mut tries = CommitRounds::default();
        loop {
            let row = self.books.difference(id).await?;
            let joined = match consent {
                Some(consent) => {
                    self.books.engine().consent(consent, |one| one.fits_row(&row)).await?
                }
                None => WriteSet::default(),
            };
            let (change, now) = self.weigh(&row, &asked).await?;
            let entry = AuditEntry {
                at: now,
                actor: asked.actor.clone(),
                approver: asked.approver.clone(),
                action: "difference.balance".to_owned(),
                subject: id.to_string(),
                reason: format!("{}: {}", asked.remedy.name(), asked.reason),
            };
            let mut writes = rows_of(&row, change);
            writes.audit = joined.audit.into_iter().chain([entry]).collect();
            writes.approvals = joined.approvals;
            if self.books.engine().write(&mut tries, writes).await? {
                return self.books.difference(id).await;
            }
        }
    }

    /// The difference that a decision would balance, if it would be taken now.
    pub async fn look(
        &self,
        id: DifferenceId,
        asked: &Balancing,
    ) -> Result<Difference, ReconciliationError> {
        let row = self.books.difference(id).await?;
        self.weigh(&row, asked).await?;
        Ok(row)
    }

    async fn weigh(
        &self,
        row: &Difference,
        asked: &Balancing,
    ) -> Result<(Change, Timestamp), ReconciliationError> {
        let terms = self.terms_of(row)?;
        let claimed = self.contradicted_money_of(row).await?;
        let owner = self.owner_of(row).await?;
        let present = self.books.engine().clock().present();
        let now = present.now();
        let business_date = present.today(&terms.calendar);
        let moment = Moment { business_date, ..moment(&terms, now) };
        Ok((row.balance(asked, owner.as_ref(), claimed, &moment)?, now))
    }

    fn terms_of(&self, row: &Difference) -> Result<std::sync::Arc<Terms>, ReconciliationError> {
        let missing = || ReconciliationError::UnknownChannel { channel: row.channel.clone() };
        self.books.engine().channels().terms(&row.channel).ok_or_else(missing)
    }

    async fn contradicted_money_of(
        &self,
        row: &Difference,
    ) -> Result<ContradictedMoney, ReconciliationError> {
        match &row.record {
            Some(record) if record.item.status == Status::Failed => {
                self.books.contradicted_money(record).await
            }
            Some(_) | None => Ok(ContradictedMoney::Nothing),
        }
    }

    /// The merchant of the order that the difference is about: the record's, or the one that the
    /// line names.
    async fn owner_of(&self, row: &Difference) -> Result<Option<MerchantId>, ReconciliationError> {
        let of_record = row.record.as_ref().map(|record| record.channel_order_no);
        let named = || ChannelOrderNo::parse(&row.line.as_ref()?.order_no);
        let Some(number) = of_record.or_else(named) else { return Ok(None) };
        let order = self.books.store().order(number.order).await?;
        let ours = order.filter(|order| {
            let attempt = order.attempt(number.attempt);
            attempt.is_some_and(|attempt| attempt.channel == row.channel)
        });
        Ok(ours.map(|order| order.instruction.merchant_id))
    }
}

/// A changed difference, and what is booked for it.
fn rows_of(before: &Difference, change: Change) -> WriteSet {
    let row = Difference { version: before.version + 1, ..change.difference };
    WriteSet { differences: vec![row], accounting: change.accounting, ..WriteSet::default() }
}

fn moment(terms: &Terms, now: Timestamp) -> Moment<'_> {
    Moment { now, business_date: terms.calendar.date_of(now), names: &terms.accounts }
}
