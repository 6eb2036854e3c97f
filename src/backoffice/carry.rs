//! What waits: lines of earlier dates are tried again, what is due is suspended, and what a person
//! decides is balanced.

use futures_util::future::join_all;

use crate::domain::batch::{AuditEntry, Batch};
use crate::domain::books::difference::{Balancing, Change, Claimed, Difference, Finding, Moment};
use crate::domain::books::reconcile::{Class, Judge, Key, Status};
use crate::domain::ids::{ChannelOrderNo, DifferenceId, MerchantId};
use crate::domain::terms::Terms;
use crate::domain::time::{Due, Timestamp};
use crate::engine::Tries;

use super::chunk::Chunk;
use super::evidence::side_of;
use super::run::Working;
use super::{Backoffice, BackofficeError, PAGE};

/// Differences that are suspended at once: the store writes together what waits.
const SUSPENDED_AT_ONCE: usize = 64;

impl Working<'_> {
    /// Tries the open lines of earlier dates against records that have appeared since.
    pub(super) async fn retry_lines(&mut self) -> Result<(), BackofficeError> {
        let (store, channel) = (self.office.store().clone(), self.house.channel.clone());
        let mut after = None;
        // Bounded by what is open: each page goes on after the last.
        loop {
            let page = store.open_differences(channel.clone(), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for row in &page {
                let alone = row.class == Class::OnlyTheirs && row.record.is_none();
                let earlier = row.line.as_ref().is_some_and(|line| line.date < self.date);
                if alone && earlier {
                    self.retry_line(row.id).await?;
                }
            }
        }
    }

    async fn retry_line(&mut self, id: DifferenceId) -> Result<(), BackofficeError> {
        let mut tries = Tries::default();
        loop {
            let row = self.office.difference(id).await?;
            let Some((line, item)) = row.line.as_ref().and_then(|line| Some((line, line.item?)))
            else {
                return Ok(());
            };
            let Some(number) = ChannelOrderNo::parse(&line.order_no) else { return Ok(()) };
            let record = self.office.record_of(self.house, line.date, number).await?;
            let Some(record) = record else { return Ok(()) };
            let (channel, store) = (self.house.channel.clone(), self.office.store());
            let own = store.difference_of_record(channel, record.date, number).await?;
            let (day, at) = (record.date, record.at);
            let free = self.office.is_unmatched(self.house, day, at, own.as_ref()).await?;
            if !row.state.is_open() || !free {
                return Ok(());
            }
            let record = side_of(&record);
            let judge = Judge::new(self.house.statement.tolerance);
            let class = judge.pair(&item, &record.item, Key::OrderNo);
            let claimed = self.office.claimed(&record).await?;
            let (key, line, record) = (Key::OrderNo, Some(line.clone()), Some(record));
            let finding = Finding { class, key, line, record, claimed, elsewhere: None };
            let mut chunk = Chunk::new(self.office, self.house, self.batch.id, self.date);
            chunk.take(finding, None).await?;
            if self.written(&mut tries, chunk).await? {
                return Ok(());
            }
        }
    }
}

impl Backoffice {
    /// Puts what is due in suspense, at most `limit` differences; gives their number.
    pub async fn expire(&self, due: Due, limit: usize) -> Result<usize, BackofficeError> {
        let rows = self.store().due_differences(due, limit).await?;
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

    async fn expire_one(&self, row: Difference, due: Due) -> Result<(), BackofficeError> {
        let (mut row, mut tries) = (row, Tries::default());
        loop {
            let terms = self.terms_of(&row)?;
            let claimed = self.claimed_of(&row).await?;
            let moment = moment(&terms, due.now());
            let Some(change) = row.expire(claimed, due, &moment) else { return Ok(()) };
            if self.engine.written(&mut tries, rows_of(&row, change)).await? {
                return Ok(());
            }
            row = self.difference(row.id).await?;
        }
    }

    /// A person decides where the money of a difference belongs. It is kept in the audit trail.
    pub async fn balance(
        &self,
        id: DifferenceId,
        asked: Balancing,
    ) -> Result<Difference, BackofficeError> {
        let mut tries = Tries::default();
        loop {
            let row = self.difference(id).await?;
            let terms = self.terms_of(&row)?;
            let claimed = self.claimed_of(&row).await?;
            let owner = self.owner_of(&row).await?;
            let present = self.engine.clock().present();
            let now = present.now();
            let business_date = present.today(&terms.calendar);
            let moment = Moment { business_date, ..moment(&terms, now) };
            let change = row.balance(&asked, owner.as_ref(), claimed, &moment)?;
            let audit = AuditEntry {
                at: now,
                actor: asked.actor.clone(),
                action: "difference.balance".to_owned(),
                subject: id.to_string(),
                reason: format!("{}: {}", asked.remedy.name(), asked.reason),
            };
            let batch = Batch { audit: vec![audit], ..rows_of(&row, change) };
            if self.engine.written(&mut tries, batch).await? {
                return self.difference(id).await;
            }
        }
    }

    fn terms_of(&self, row: &Difference) -> Result<std::sync::Arc<Terms>, BackofficeError> {
        let missing = || BackofficeError::UnknownChannel { channel: row.channel.clone() };
        self.engine.channels().terms(&row.channel).ok_or_else(missing)
    }

    async fn claimed_of(&self, row: &Difference) -> Result<Claimed, BackofficeError> {
        match &row.record {
            Some(record) if record.item.status == Status::Failed => self.claimed(record).await,
            Some(_) | None => Ok(Claimed::Nothing),
        }
    }

    /// The merchant of the order that the difference is about: the record's, or the one that the
    /// line names.
    pub(super) async fn owner_of(
        &self,
        row: &Difference,
    ) -> Result<Option<MerchantId>, BackofficeError> {
        let of_record = row.record.as_ref().map(|record| record.channel_order_no);
        let named = || ChannelOrderNo::parse(&row.line.as_ref()?.order_no);
        let Some(number) = of_record.or_else(named) else { return Ok(None) };
        let order = self.store().order(number.order).await?;
        let ours = order.filter(|order| {
            let attempt = order.attempt(number.attempt);
            attempt.is_some_and(|attempt| attempt.channel == row.channel)
        });
        Ok(ours.map(|order| order.instruction.merchant_id))
    }
}

/// A changed difference, and what is booked for it.
fn rows_of(before: &Difference, change: Change) -> Batch {
    let row = Difference { version: before.version + 1, ..change.difference };
    Batch { differences: vec![row], accounting: change.accounting, ..Batch::default() }
}

fn moment(terms: &Terms, now: Timestamp) -> Moment<'_> {
    Moment { now, business_date: terms.calendar.date_of(now), names: &terms.accounts }
}
