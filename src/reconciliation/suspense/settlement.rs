//! Takes the bank's receipts, and checks settlements against what the statements say now.
//!
//! A receipt is known by the bank's own reference: the same one again changes nothing. Settlements
//! are changed one at a time, so that two receipts for the same dates meet in one settlement.

use std::sync::Arc;

use crate::domain::books::settlement::{
    BankReceipt, ChannelSettlement, DateFacts, ReceiptSubmission, SettledAmounts, SettlementChange,
    SettlementRefusal, SettlementState, check, open, receive, same_content,
};
use crate::domain::ids::{ChannelId, SettlementId};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{AuditEntry, ReadGuard, WriteSet};
use crate::engine::{CommitRounds, Engine, EngineError};
use crate::store::{PAGE_MAX, StoreError};

/// Why nothing was recorded or checked.
#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    #[error(transparent)]
    Refused(#[from] SettlementRefusal),
    #[error("no settlement has this id")]
    NoSuchSettlement,
    #[error("no channel has this id")]
    NoSuchChannel,
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<StoreError> for SettlementError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

/// A receipt that is in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedReceipt {
    pub settlement: ChannelSettlement,
    /// The same receipt had been recorded before; nothing was written.
    pub repeated: bool,
}

/// A person's action, for the audit trail.
struct AuditAction {
    actor: String,
    action: &'static str,
    reason: String,
}

fn recorded(received: &ReceiptSubmission) -> AuditAction {
    let BankReceipt { bank_reference, received_minor, received_on, by, .. } = &received.receipt;
    let currency = received.currency.name();
    let reason = format!("{received_minor} {currency} on {received_on}, {bank_reference}");
    AuditAction { actor: by.clone(), action: "settlement.record", reason }
}

/// The one who settles.
pub struct SettlementDesk {
    engine: Arc<Engine>,
    /// One change at a time.
    turn: tokio::sync::Mutex<()>,
}

impl SettlementDesk {
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, turn: tokio::sync::Mutex::new(()) }
    }

    /// Records a receipt, and books the settlement if it is whole by it.
    pub async fn record(
        &self,
        received: ReceiptSubmission,
    ) -> Result<RecordedReceipt, SettlementError> {
        received.dates()?;
        let _turn = self.turn.lock().await;
        let mut tries = CommitRounds::default();
        loop {
            let reference = received.receipt.bank_reference.clone();
            let kept =
                self.engine.store().settlement_by_receipt(received.channel.clone(), reference);
            if let Some(kept) = kept.await? {
                same_content(&kept, &received)?;
                return Ok(RecordedReceipt { settlement: kept, repeated: true });
            }
            let open_ones = self.open(&received.channel).await?;
            let settlement = match open_ones.iter().find(|one| one.takes(&received)) {
                Some(one) => receive(one.clone(), received.receipt.clone())?,
                None => {
                    let id = SettlementId::of(self.engine.next_order_id().await?);
                    open(id, received.clone())
                }
            };
            let audit = recorded(&received);
            let (writes, settlement) = self.settle(None, settlement, &open_ones, audit).await?;
            if self.engine.write(&mut tries, writes).await? {
                return Ok(RecordedReceipt { settlement, repeated: false });
            }
        }
    }

    /// Checks a settlement against what the statements of its dates say now.
    pub async fn check(
        &self,
        id: SettlementId,
        actor: &str,
    ) -> Result<ChannelSettlement, SettlementError> {
        let _turn = self.turn.lock().await;
        let mut tries = CommitRounds::default();
        loop {
            let kept = self.engine.store().settlement(id).await?;
            let kept = kept.ok_or(SettlementError::NoSuchSettlement)?;
            let open_ones = self.open(&kept.channel).await?;
            let audit = AuditAction {
                actor: actor.to_owned(),
                action: "settlement.check",
                reason: String::new(),
            };
            let before = Some(kept.clone());
            let (writes, settlement) = self.settle(before, kept, &open_ones, audit).await?;
            if self.engine.write(&mut tries, writes).await? {
                return Ok(settlement);
            }
        }
    }

    /// Checks; gives the rows to write, and the settlement as it then is. A check that changes
    /// nothing `before` it has none.
    async fn settle(
        &self,
        before: Option<ChannelSettlement>,
        settlement: ChannelSettlement,
        open_ones: &[ChannelSettlement],
        deed: AuditAction,
    ) -> Result<(WriteSet, ChannelSettlement), SettlementError> {
        let terms = self.engine.channels().terms(&settlement.channel);
        let terms = terms.ok_or(SettlementError::NoSuchChannel)?;
        let (currency, dates) = (settlement.currency, settlement.dates());
        let (facts, read) = self.facts(&settlement.channel, currency, &dates).await?;
        let now = self.engine.clock().now();
        let SettlementChange { settlement, settled, accounting } =
            check(settlement, &facts, open_ones, &terms.accounts, now);
        if let Some(before) = before
            && accounting.is_none()
            && settled.is_empty()
            && before == (ChannelSettlement { version: before.version, ..settlement.clone() })
        {
            return Ok((WriteSet::default(), before));
        }
        let entry = AuditEntry {
            at: now,
            actor: deed.actor,
            approver: None,
            action: deed.action.to_owned(),
            subject: format!("{} {}", settlement.channel, settlement.id),
            reason: deed.reason,
        };
        // Rows that are written are guarded by their version.
        let is_written = |row: &ReadGuard| match row {
            ReadGuard::SettledDate { date, .. } => settled.iter().any(|own| own.date == *date),
            ReadGuard::Reconciliation { .. } => false,
        };
        let unchanged = read.into_iter().filter(|row| !is_written(row)).collect();
        let writes = WriteSet {
            unchanged,
            settlements: vec![settlement.clone()],
            settled,
            accounting: accounting.into_iter().collect(),
            audit: vec![entry],
            ..WriteSet::default()
        };
        Ok((writes, settlement))
    }

    /// The facts about the dates in a currency, and the rows that they were read from.
    async fn facts(
        &self,
        channel: &ChannelId,
        currency: Currency,
        dates: &[BusinessDate],
    ) -> Result<(Vec<DateFacts>, Vec<ReadGuard>), SettlementError> {
        let store = self.engine.store();
        let (mut facts, mut read) = (Vec::with_capacity(dates.len()), Vec::new());
        for &date in dates {
            let batch = store.current_reconciliation(channel.clone(), date).await?;
            let settled = store.settled_date(channel.clone(), date, currency).await?;
            let (channel, was) = (channel.clone(), batch.as_ref().map(|row| (row.id, row.version)));
            read.push(ReadGuard::Reconciliation { channel: channel.clone(), date, was });
            let version = settled.as_ref().map_or(0, |row| row.version);
            read.push(ReadGuard::SettledDate { channel, date, currency, version });
            let mut problems: Vec<String> = batch
                .iter()
                .flat_map(|batch| {
                    batch
                        .report
                        .problems
                        .iter()
                        .filter(|problem| !problem.is_remark())
                        .map(|problem| problem.kind.clone())
                })
                .collect();
            let sums = batch.map(|batch| batch.report.stated(currency));
            let stated = sums.as_ref().and_then(SettledAmounts::of);
            if sums.is_some() && stated.is_none() {
                problems.push("sums_too_large".to_owned());
            }
            facts.push(DateFacts { date, stated, settled, problems });
        }
        Ok((facts, read))
    }

    /// The channel's settlements that are not agreed.
    async fn open(&self, channel: &ChannelId) -> Result<Vec<ChannelSettlement>, SettlementError> {
        let store = self.engine.store();
        let mut found = Vec::new();
        let mut after = None;
        // Ends with the channel's last settlement: each page goes on after the one before.
        loop {
            let page = store.settlements(channel.clone(), after, PAGE_MAX).await?;
            let full = page.len() == PAGE_MAX;
            after = page.last().map(|last| last.id).or(after);
            found.extend(page.into_iter().filter(|one| one.state == SettlementState::Differs));
            if !full {
                return Ok(found);
            }
        }
    }
}
