//! Reads stored bytes and writes them again, without a store around them.
//!
//! What lies on a disk is input: any byte string must give a row or [`StoreError::Damaged`]. Here
//! that is asked of every stored form by whoever only has bytes: a check of files, and the tests
//! that feed any bytes to every decoder. Keys are not part of a row, so made-up ones stand in.

use super::{StoreError, record, sled};
use crate::domain::batch::Claim;
use crate::domain::books::accounting::RequestId;
use crate::domain::ids::{BatchId, ChannelId, ChannelOrderNo, DifferenceId, OrderId, SettlementId};
use crate::domain::money::Currency;
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
    Close,
    Statement,
    Reconciliation,
    AgreedLines,
    FoundDifference,
    Difference,
    Settlement,
    SettledDate,
}

impl RowKind {
    pub const ALL: [Self; 16] = [
        Self::Order,
        Self::Reversal,
        Self::Transaction,
        Self::Clearing,
        Self::AccountingRequest,
        Self::Notice,
        Self::Contradiction,
        Self::Audit,
        Self::Close,
        Self::Statement,
        Self::Reconciliation,
        Self::AgreedLines,
        Self::FoundDifference,
        Self::Difference,
        Self::Settlement,
        Self::SettledDate,
    ];
}

/// Reads a row and gives the bytes that it is stored as: those that were read, unless they were
/// written in more bytes than they need.
pub fn reread_row(kind: RowKind, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let order = OrderId::from_u64(1);
    let channel = ChannelId::from_stored("channel");
    let date = BusinessDate::new(jiff::civil::date(2026, 1, 1));
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
            record::read_contradiction(order, [1, claim, 0], bytes)
                .map(|row| record::contradiction_bytes(&row))
        }
        RowKind::Audit => record::read_audit(bytes).map(|row| record::audit_bytes(&row)),
        RowKind::Close => {
            record::read_close(&channel, date, bytes).map(|row| record::close_bytes(&row))
        }
        RowKind::Statement => record::read_statement(&channel, date, 1, bytes)
            .map(|row| record::statement_bytes(&row)),
        RowKind::Reconciliation => {
            record::read_reconciliation_head(bytes)?;
            record::read_reconciliation(BatchId::of(order), bytes)
                .map(|row| record::reconciliation_bytes(&row))
        }
        RowKind::AgreedLines => record::read_agreed_part(bytes).map(record::agreed_part),
        RowKind::FoundDifference => {
            record::read_found(BatchId::of(order), 1, bytes).map(|row| record::found_bytes(&row))
        }
        RowKind::Difference => {
            record::read_difference_head(bytes)?;
            record::read_difference(DifferenceId::of(order), bytes)
                .map(|row| record::difference_bytes(&row))
        }
        RowKind::Settlement => {
            record::read_settlement_head(bytes)?;
            record::read_settlement(SettlementId::of(order), bytes)
                .map(|row| record::settlement_bytes(&row))
        }
        RowKind::SettledDate => record::read_settled(&channel, date, Currency::Cny, bytes)
            .map(|row| record::settled_bytes(&row)),
    }
}

/// Reads one file of the journal; answers how many rows it would write or remove.
pub fn reread_journal(bytes: &[u8]) -> Result<usize, StoreError> {
    sled::journal_rows(bytes)
}
