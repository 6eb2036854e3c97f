//! An operator's hand on what is owed outside: accounting requests and notices to the core.
//!
//! Upholds I-7: a retry changes when a delivery is tried, never what is delivered, and is kept in
//! the audit trail with who wanted it and why.

use crate::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use crate::domain::command::{Decider, Refusal};
use crate::domain::ids::OrderId;
use crate::domain::time::Timestamp;
use crate::domain::write_set::{AuditEntry, CoreNotice, WriteSet};
use crate::engine::{CommitRounds, Engine, EngineError};

impl Engine {
    /// Makes an accounting request due now, parked or not; `None` if there is none of this id. One
    /// that accounting has acknowledged, or that was withdrawn, is refused.
    pub async fn retry_accounting(
        &self,
        id: RequestId,
        decider: &Decider,
    ) -> Result<Option<AccountingRequest>, EngineError> {
        let mut tries = CommitRounds::default();
        loop {
            let Some(mut request) = self.store().accounting_request(id).await? else {
                return Ok(None);
            };
            let now = self.clock().now();
            match request.delivery.status {
                DeliveryStatus::Owed | DeliveryStatus::Parked => request.delivery.retry(now),
                DeliveryStatus::Acknowledged => return Err(Refusal::Acknowledged.into()),
                DeliveryStatus::Withdrawn => return Err(Refusal::Withdrawn.into()),
            }
            let audit = audit("accounting.retry", id.to_string(), decider, now);
            let accounting = vec![request.clone()];
            let writes = WriteSet { accounting, audit: vec![audit], ..WriteSet::default() };
            if self.write(&mut tries, writes).await? {
                return Ok(Some(request));
            }
        }
    }

    /// Makes the notice of an order's end due now; `None` if there is none. One that was
    /// acknowledged is sent again too: a core that lost it may ask for it.
    pub async fn retry_notice(
        &self,
        order: OrderId,
        decider: &Decider,
    ) -> Result<Option<CoreNotice>, EngineError> {
        let mut tries = CommitRounds::default();
        loop {
            let Some(mut notice) = self.store().notice(order).await? else { return Ok(None) };
            let now = self.clock().now();
            notice.delivery.retry(now);
            let audit = audit("notice.retry", order.to_string(), decider, now);
            let notices = vec![notice.clone()];
            let writes = WriteSet { notices, audit: vec![audit], ..WriteSet::default() };
            if self.write(&mut tries, writes).await? {
                return Ok(Some(notice));
            }
        }
    }
}

fn audit(action: &str, subject: String, decider: &Decider, at: Timestamp) -> AuditEntry {
    let Decider { actor, approver, reason } = decider.clone();
    AuditEntry { at, actor, approver, action: action.to_owned(), subject, reason }
}
