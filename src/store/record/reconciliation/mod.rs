//! The stored forms of what the books keep beside orders: closes, statements, reconciliations,
//! differences and settlements.

mod agreed;
mod batch;
mod day;
mod difference;
mod settlement;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::domain::books::reconcile::Item;
use crate::domain::money::Currency;
use crate::store::StoreError;

use super::Fields;
use super::codes::Code;

pub(in crate::store) use agreed::{
    agreed_part, agreed_parts, is_last_agreed_part, read_agreed_part,
};
pub(in crate::store) use batch::{
    found_bytes, read_found, read_reconciliation, read_reconciliation_head, reconciliation_bytes,
};
pub(in crate::store) use day::{close_bytes, read_close, read_statement, statement_bytes};
pub(in crate::store) use difference::{difference_bytes, read_difference, read_difference_head};
pub(in crate::store) use settlement::{
    read_settled, read_settled_version, read_settlement, read_settlement_head, settled_bytes,
    settlement_bytes,
};

/// The number that stands for a currency in a settled date's key.
pub(in crate::store) fn currency_code(currency: Currency) -> u8 {
    currency.number()
}

/// What is compared of a line or a record.
#[derive(Serialize, Deserialize)]
struct ItemRecord {
    movement: u8,
    amount_minor: i64,
    fee_minor: Option<i64>,
    currency: u8,
    status: u8,
    date: Option<u32>,
}

impl ItemRecord {
    fn of(item: &Item) -> Self {
        Self {
            movement: item.movement.number(),
            amount_minor: item.amount_minor,
            fee_minor: item.fee_minor,
            currency: item.currency.number(),
            status: item.status.number(),
            date: item.date.map(|date| date.yyyymmdd()),
        }
    }

    fn read(&self, fields: Fields) -> Result<Item, StoreError> {
        Ok(Item {
            movement: fields.code("movement", self.movement)?,
            amount_minor: self.amount_minor,
            fee_minor: self.fee_minor,
            currency: fields.currency(self.currency)?,
            status: fields.code("status", self.status)?,
            date: self.date.map(|date| fields.date(date)).transpose()?,
        })
    }
}
