//! What the books keep beside orders: closes, statements, reconciliations, differences and
//! settlements.

pub(super) mod agreed;
pub(super) mod day_close;
pub(super) mod difference;
pub(super) mod found;
pub(super) mod reconciliation;
pub(super) mod settled_date;
pub(super) mod settlement;
pub(super) mod statement;
