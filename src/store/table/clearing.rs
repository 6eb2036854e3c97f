//! Clearing records, by channel, date and channel order number. Append-only; a closed day takes
//! none.

use serde::{Deserialize, Serialize};

use crate::domain::books::Transaction;
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use crate::domain::time::BusinessDate;
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, encode, millis, text};
use crate::store::key::{Key, Parts};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, plan_new};
use crate::store::sorted::{StoreResult, onward, page};
use crate::store::sql::read::{Parameter, after_id, page_limit, parameters};
use crate::store::sql::step::{Answer, SqlPlan, Step, insert};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::{CommitError, Store, StoreError, StoreRead};

use super::books::clearing_days::plan_open;
use super::transaction::{Transactions, transaction_of};

const CLEARING: StoredFields = StoredFields { table: "clearing" };
const LETTER: u8 = b'L';

pub(in crate::store) struct Clearing;

impl Table for Clearing {
    type Row = ClearingRecord;

    const NAME: &'static str = CLEARING.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "clearing records")];

    fn key(record: &ClearingRecord) -> Vec<u8> {
        key_of(&record.channel, record.date, record.channel_order_no)
    }

    fn encode(record: &ClearingRecord) -> Vec<u8> {
        clearing_bytes(record)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<ClearingRecord> {
        let mut parts = Parts::of(key);
        let (channel, date) = (parts.channel()?, parts.date()?);
        read_clearing(&channel, date, parts.channel_order_no()?, bytes)
    }

    /// One guard for each channel: that the earliest of its records' dates is open.
    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        // Mostly one record, so no map.
        let mut first: Vec<(&ChannelId, BusinessDate)> = Vec::new();
        for record in &writes.clearing {
            match first.iter_mut().find(|(channel, _)| *channel == &record.channel) {
                Some((_, date)) => *date = record.date.min(*date),
                None => first.push((&record.channel, record.date)),
            }
        }
        for (channel, date) in first {
            plan_open(channel, date, plan);
        }
        plan_new::<Self>(&writes.clearing, plan);
    }

    fn sql_steps() -> Vec<Step> {
        vec![insert::<Self>(Answer::Held)]
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        plan.append::<Self>(0, &writes.clearing)
    }
}

/// What the keys of a channel's records of one date begin with.
fn prefix_of(channel: &ChannelId, date: BusinessDate) -> Vec<u8> {
    Key::of(LETTER).channel(channel).date(date).0
}

pub(super) fn key_of(channel: &ChannelId, date: BusinessDate, number: ChannelOrderNo) -> Vec<u8> {
    Key(prefix_of(channel, date)).channel_order_no(number).0
}

impl SqlTable for Clearing {
    type Written<'a> = &'a ClearingRecord;
    type Row = ClearingRecord;

    sql_columns! {
        record: "clearing_records";
        key {
            channel: record.channel.as_str(),
            date: record.date,
            attempt_order: record.channel_order_no.order,
            attempt: record.channel_order_no.attempt,
        }
        fixed {
            order_id: record.order,
            channel_reference: record.channel_reference.as_deref(),
            movement: record.movement,
            currency: record.currency,
            principal_minor: record.principal_minor,
            fee_minor: record.fee_minor,
            net_minor: record.net_minor,
            fee_rule: record.fee_rule.as_str(),
            state: record.state,
            at: record.at,
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<ClearingRecord> {
        Ok(ClearingRecord {
            channel: row.get("channel")?,
            date: row.get("date")?,
            order: row.get("order_id")?,
            channel_order_no: ChannelOrderNo {
                order: row.get("attempt_order")?,
                attempt: row.get("attempt")?,
            },
            channel_reference: row.get("channel_reference")?,
            movement: row.get("movement")?,
            currency: row.get("currency")?,
            principal_minor: row.get("principal_minor")?,
            fee_minor: row.get("fee_minor")?,
            net_minor: row.get("net_minor")?,
            fee_rule: row.get("fee_rule")?,
            state: row.get("state")?,
            at: row.get("at")?,
        })
    }
}

/// The parameters of a page of a date's records.
fn page_of(
    channel: &ChannelId,
    date: BusinessDate,
    after: Option<ChannelOrderNo>,
    limit: usize,
) -> Vec<Parameter> {
    let (order, attempt) = after.map_or((after_id(None), 0), |last| (last.order, last.attempt));
    let mut parameters = parameters![channel.clone(), date, order, attempt];
    parameters.push(page_limit(limit));
    parameters
}

impl dyn Store + '_ {
    /// A channel's clearing records of one date, by channel order number.
    pub fn clearing(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<(OrderId, u8)>,
        limit: usize,
    ) -> StoreRead<'_, Vec<ClearingRecord>> {
        if let Some(tables) = self.tables() {
            let number = after.map(|(order, attempt)| ChannelOrderNo { order, attempt });
            return tables.list::<Clearing>(
                "WHERE t.channel = $1 AND t.date = $2 AND (t.attempt_order, t.attempt) > ($3, $4) \
                 ORDER BY t.attempt_order, t.attempt LIMIT $5",
                page_of(&channel, date, number, limit),
            );
        }
        self.list(move |rows| {
            let prefix = prefix_of(&channel, date);
            let number = |(order, attempt)| ChannelOrderNo { order, attempt };
            let last = after.map(|last| key_of(&channel, date, number(last)));
            page(rows, onward(&prefix, last), limit, |key, row| {
                let number = Parts::from(key, prefix.len()).channel_order_no()?;
                read_clearing(&channel, date, number, row).map(Some)
            })
        })
    }

    /// The transactions that a channel clears on a date, by channel order number. A clearing record
    /// without a transaction of its number is a contradicted claim.
    pub fn transactions_of_day(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<ChannelOrderNo>,
        limit: usize,
    ) -> StoreRead<'_, Vec<Transaction>> {
        if let Some(tables) = self.tables() {
            return tables.list::<Transactions>(
                "JOIN clearing_records c ON c.attempt_order = t.order_id \
                 AND t.attempt_order = c.attempt_order AND t.attempt = c.attempt \
                 WHERE c.channel = $1 AND c.date = $2 AND (c.attempt_order, c.attempt) > ($3, $4) \
                 ORDER BY c.attempt_order, c.attempt LIMIT $5",
                page_of(&channel, date, after, limit),
            );
        }
        self.list(move |rows| {
            let prefix = prefix_of(&channel, date);
            let last = after.map(|number| key_of(&channel, date, number));
            page(rows, onward(&prefix, last), limit, |key, _| {
                let number = Parts::from(key, prefix.len()).channel_order_no()?;
                let kept = transaction_of(rows, number.order)?;
                Ok(kept.filter(|kept| kept.channel_order_no == number))
            })
        })
    }
}

#[derive(Serialize, Deserialize)]
struct ClearingForm<'a> {
    /// `None` where the record's order is the one its channel order number names.
    order: Option<u64>,
    channel_reference: Option<&'a str>,
    movement: u8,
    currency: u8,
    principal_minor: i64,
    fee_minor: i64,
    net_minor: i64,
    fee_rule: &'a str,
    state: u8,
    at: u64,
}

fn clearing_bytes(record: &ClearingRecord) -> Vec<u8> {
    let other = record.order != record.channel_order_no.order;
    encode(&ClearingForm {
        order: other.then(|| record.order.as_u64()),
        channel_reference: record.channel_reference.as_deref(),
        movement: record.movement.number(),
        currency: record.currency.number(),
        principal_minor: record.principal_minor,
        fee_minor: record.fee_minor,
        net_minor: record.net_minor,
        fee_rule: &record.fee_rule,
        state: record.state.number(),
        at: millis(record.at),
    })
}

fn read_clearing(
    channel: &ChannelId,
    date: BusinessDate,
    channel_order_no: ChannelOrderNo,
    bytes: &[u8],
) -> Result<ClearingRecord, StoreError> {
    let form: ClearingForm<'_> = decode(CLEARING.table, bytes)?;
    Ok(ClearingRecord {
        channel: channel.clone(),
        date,
        order: form.order.map_or(channel_order_no.order, OrderId::from_u64),
        channel_order_no,
        channel_reference: text(form.channel_reference),
        movement: CLEARING.code("movement", form.movement)?,
        currency: CLEARING.currency(form.currency)?,
        principal_minor: form.principal_minor,
        fee_minor: form.fee_minor,
        net_minor: form.net_minor,
        fee_rule: form.fee_rule.to_owned(),
        state: CLEARING.code("state", form.state)?,
        at: CLEARING.time(form.at)?,
    })
}
