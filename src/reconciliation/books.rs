//! Our books as reconciliation reads them: the records and rules of a channel.

use std::sync::Arc;

use crate::channel::registry::Registry;
use crate::channel::statement::StatementTerms;
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::difference::{
    ContradictedMoney, Difference, Moment, RecordSide, days_after,
};
use crate::domain::books::reconcile::Status;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::ids::{ChannelId, ChannelOrderNo, DifferenceId, OrderId};
use crate::domain::order::OrderStatus;
use crate::domain::terms::Terms;
use crate::domain::time::{BusinessDate, Present, Timestamp};
use crate::domain::write_set::ReportedEnd;
use crate::engine::Engine;
use crate::reconciliation::ReconciliationError;
use crate::store::Store;

/// Days behind a contradiction in which its record is looked for: the record lies on the first open
/// day.
const CONTRADICTION_DAYS: u16 = 31;

/// A record's clearing date and number.
pub type RecordKey = (BusinessDate, ChannelOrderNo);

/// Where the rules of a channel's statements come from.
pub trait StatementRules: Send + Sync {
    /// Section `[statement]` of the channel's file; `None` if it has none.
    fn statement_terms(&self, channel: &ChannelId) -> Option<StatementTerms>;
}

impl StatementRules for Registry {
    fn statement_terms(&self, channel: &ChannelId) -> Option<StatementTerms> {
        Registry::statement_terms(self, channel)
    }
}

/// The engine's books, and the rules of the channels' statements.
#[derive(Clone)]
pub struct ChannelBooks {
    engine: Arc<Engine>,
    rules: Arc<dyn StatementRules>,
}

/// The terms and the time by which a channel's statements are handled.
#[derive(Clone)]
pub struct ChannelContext {
    pub channel: ChannelId,
    pub terms: Arc<Terms>,
    pub statement: Arc<StatementTerms>,
    pub now: Timestamp,
    pub present: Present,
}

impl ChannelContext {
    pub fn moment(&self) -> Moment<'_> {
        Moment {
            now: self.now,
            business_date: self.present.today(&self.terms.calendar),
            names: &self.terms.accounts,
        }
    }
}

impl ChannelBooks {
    pub fn new(engine: Arc<Engine>, rules: Arc<dyn StatementRules>) -> Self {
        Self { engine, rules }
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        self.engine.store()
    }

    /// The channel's terms of this moment.
    pub fn context(&self, channel: &ChannelId) -> Result<ChannelContext, ReconciliationError> {
        let terms = self.engine.channels().terms(channel);
        let missing = || ReconciliationError::UnknownChannel { channel: channel.clone() };
        let terms = terms.ok_or_else(missing)?;
        let missing = || ReconciliationError::NoStatements { channel: channel.clone() };
        let statement = self.rules.statement_terms(channel).ok_or_else(missing)?;
        let (channel, statement) = (channel.clone(), Arc::new(statement));
        let present = self.engine.clock().present();
        Ok(ChannelContext { channel, terms, statement, now: present.now(), present })
    }

    /// A difference as it stands.
    pub async fn difference(&self, id: DifferenceId) -> Result<Difference, ReconciliationError> {
        let found = self.store().difference(id).await?;
        found.ok_or(ReconciliationError::NoSuchDifference { id })
    }

    /// Whether no line has a record that appeared at `at`, and nobody has decided on it. `row` is
    /// its difference.
    pub async fn is_unmatched(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        at: Timestamp,
        row: Option<&Difference>,
    ) -> Result<bool, ReconciliationError> {
        let own = self.store().current_reconciliation(channel.clone(), date).await?;
        Ok(is_unmatched(row, at, own.as_ref()))
    }

    /// Our clearing record of an attempt. `near` is where a claim's record is looked for.
    pub async fn record_of(
        &self,
        channel: &ChannelId,
        near: BusinessDate,
        number: ChannelOrderNo,
    ) -> Result<Option<ClearingRecord>, ReconciliationError> {
        if let Some(transaction) = self.store().transaction(number.order).await?
            && transaction.channel_order_no == number
        {
            return self.record_at(channel, transaction.clearing_date, number).await;
        }
        let claims = self.store().contradictions(number.order).await?;
        let mut claims = claims.iter().filter(|kept| kept.attempt == number.attempt);
        if !claims.any(|kept| kept.reported == ReportedEnd::Success) {
            return Ok(None);
        }
        for days in 0..=CONTRADICTION_DAYS {
            let found = self.record_at(channel, days_after(near, days), number).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn record_at(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        number: ChannelOrderNo,
    ) -> Result<Option<ClearingRecord>, ReconciliationError> {
        let after = Some(before(number));
        let page = self.store().clearing(channel.clone(), date, after, 1).await?;
        Ok(page.into_iter().find(|record| record.channel_order_no == number))
    }

    /// Where the money of a record goes, if our order had ended otherwise.
    pub async fn contradicted_money(
        &self,
        record: &RecordSide,
    ) -> Result<ContradictedMoney, ReconciliationError> {
        if record.item.status == Status::Succeeded {
            return Ok(ContradictedMoney::Nothing);
        }
        let number = record.channel_order_no;
        let claims = self.store().contradictions(number.order).await?;
        let mut claims = claims.into_iter().filter(|kept| kept.attempt == number.attempt);
        let undo =
            claims.find(|kept| kept.reported == ReportedEnd::Success).and_then(|kept| kept.undo);
        let Some(by) = undo else { return Ok(ContradictedMoney::Held) };
        let undo = self.store().order(by).await?;
        let given_up = undo.is_some_and(|undo| undo.status == OrderStatus::Failed);
        Ok(if given_up { ContradictedMoney::Held } else { ContradictedMoney::Undone { by } })
    }
}

/// Whether no line has a record that appeared at `at`, and nobody has decided on it. `row` is its
/// difference: one without had matched in `own`, the run of its own date, if it was there by then.
pub fn is_unmatched(row: Option<&Difference>, at: Timestamp, own: Option<&Reconciliation>) -> bool {
    match row {
        Some(row) if row.line.is_some() || row.is_balanced() => false,
        Some(row) if row.state.is_open() => true,
        Some(_) | None => {
            own.is_none_or(|batch| batch.finished_at.is_none_or(|finished| at > finished))
        }
    }
}

/// The key behind which a page begins with the record of a number.
pub fn before(number: ChannelOrderNo) -> (OrderId, u8) {
    match number.attempt {
        0 => (OrderId::from_u64(number.order.as_u64().saturating_sub(1)), u8::MAX),
        attempt => (number.order, attempt - 1),
    }
}
