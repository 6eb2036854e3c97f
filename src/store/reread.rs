//! Reads stored bytes and writes them again, without a store around them.
//!
//! What lies on a disk is input: any byte string must give a row or [`StoreError::Damaged`]. Here
//! that is asked of every stored form by whoever only has bytes: a check of files, and the tests
//! that feed any bytes to every decoder. Keys are not part of a row, so made-up ones stand in.

use super::{StoreError, record, sled};
use crate::domain::batch::Claim;
use crate::domain::books::accounting::RequestId;
use crate::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use crate::domain::time::BusinessDate;

/// A kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    Order,
    Reversal,
    Transaction,
    Clearing,
    AccountingRequest,
    Notice,
    Contradiction,
    Audit,
}

impl RowKind {
    pub const ALL: [Self; 8] = [
        Self::Order,
        Self::Reversal,
        Self::Transaction,
        Self::Clearing,
        Self::AccountingRequest,
        Self::Notice,
        Self::Contradiction,
        Self::Audit,
    ];
}

/// Reads a row and gives the bytes that it is stored as: those that were read, unless they were
/// written in more bytes than they need.
pub fn reread_row(kind: RowKind, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let order = OrderId::from_u64(1);
    match kind {
        RowKind::Order => {
            record::read_order_version(bytes)?;
            record::read_order(order, bytes).map(|row| record::order_bytes(&row))
        }
        RowKind::Reversal => {
            record::read_entry_head(bytes)?;
            record::read_entry(order, bytes).map(|row| record::entry_bytes(&row))
        }
        RowKind::Transaction => {
            record::read_transaction(order, bytes).map(|row| record::transaction_bytes(&row))
        }
        RowKind::Clearing => {
            let channel = ChannelId::from_stored("channel");
            let date = BusinessDate::new(jiff::civil::date(2026, 1, 1));
            let number = ChannelOrderNo { order, attempt: 1 };
            record::read_clearing(&channel, date, number, bytes)
                .map(|row| record::clearing_bytes(&row))
        }
        RowKind::AccountingRequest => {
            record::read_accounting_head(bytes)?;
            record::read_accounting(RequestId { chain: order, sequence: 1 }, bytes)
                .map(|row| record::accounting_bytes(&row))
        }
        RowKind::Notice => {
            record::read_notice_head(bytes)?;
            record::read_notice(order, bytes).map(|row| record::notice_bytes(&row))
        }
        RowKind::Contradiction => {
            let claim = record::claim_code(Claim::Success);
            record::read_contradiction(order, 1, claim, bytes)
                .map(|row| record::contradiction_bytes(&row))
        }
        RowKind::Audit => record::read_audit(bytes).map(|row| record::audit_bytes(&row)),
    }
}

/// Reads one file of the journal; answers how many rows it would write or remove.
pub fn reread_journal(bytes: &[u8]) -> Result<usize, StoreError> {
    sled::journal_rows(bytes)
}
