//! Transactions, by order. Append-only.

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use crate::domain::books::Transaction;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{ChannelId, ChannelOrderNo, MerchantId, OrderId};
use crate::domain::order_filter::ForeignNumber;
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, encode, millis, text};
use crate::store::key::{Parts, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, get, list_rows, plan_new};
use crate::store::sorted::{Scan, SortedRows, StoreResult};
use crate::store::sql::read::{after_id, page_limit, parameter, parameters};
use crate::store::sql::step::{Answer, SqlPlan, Step, insert};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::{CommitError, Store, StoreError, StoreRead};

const TRANSACTIONS: StoredFields = StoredFields { table: "transactions" };
const LETTER: u8 = b'T';

pub(in crate::store) struct Transactions;

impl Table for Transactions {
    type Row = Transaction;

    const NAME: &'static str = TRANSACTIONS.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "transactions")];

    fn key(transaction: &Transaction) -> Vec<u8> {
        order_key(LETTER, transaction.order)
    }

    fn encode(transaction: &Transaction) -> Vec<u8> {
        transaction_bytes(transaction)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<Transaction> {
        read_transaction(Parts::of(key).order()?, bytes)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_new::<Self>(&writes.transactions, plan);
    }

    fn sql_steps() -> Vec<Step> {
        vec![insert::<Self>(Answer::Held)]
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        plan.append::<Self>(0, &writes.transactions)
    }
}

pub(super) fn transaction_of(
    rows: SortedRows<'_>,
    order: OrderId,
) -> StoreResult<Option<Transaction>> {
    get::<Transactions>(rows, &order_key(LETTER, order))
}

/// The orders between two numbers, the second excluded, in the channel's words about whose success
/// a number stands.
pub(super) fn transactions_back(
    rows: SortedRows<'_>,
    (from, to): (OrderId, OrderId),
    number: &ForeignNumber,
) -> StoreResult<Vec<OrderId>> {
    let (mut found, finder) = (Vec::new(), Finder::new(number.as_str()));
    let (from, to) = (order_key(LETTER, from), order_key(LETTER, to));
    rows.scan_back(&from, &to, &mut |key, row| {
        // A row that has not the number somewhere is not read.
        if finder.find(row).is_some() {
            let record: TransactionRecord<'_> = decode(TRANSACTIONS.table, row)?;
            if number.is_in(record.transcript) {
                found.push(Parts::of(key).order()?);
            }
        }
        Ok(Scan::On)
    })?;
    Ok(found)
}

impl SqlTable for Transactions {
    type Written<'a> = &'a Transaction;
    type Row = Transaction;

    sql_columns! {
        transaction: "transactions";
        key { order_id: transaction.order, }
        fixed {
            movement: transaction.movement,
            channel: transaction.channel.as_str(),
            attempt_order: transaction.channel_order_no.order,
            attempt: transaction.channel_order_no.attempt,
            channel_reference: transaction.channel_reference.as_deref(),
            merchant_id: transaction.merchant_id.as_str(),
            amount_minor: transaction.amount,
            currency: transaction.currency,
            clearing_date: transaction.clearing_date,
            at: transaction.at,
            source: transaction.source,
            transcript: transaction.transcript.as_str(),
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<Transaction> {
        Ok(Transaction {
            order: row.get("order_id")?,
            movement: row.get("movement")?,
            channel: row.get("channel")?,
            channel_order_no: ChannelOrderNo {
                order: row.get("attempt_order")?,
                attempt: row.get("attempt")?,
            },
            channel_reference: row.get("channel_reference")?,
            merchant_id: row.get("merchant_id")?,
            amount: row.get("amount_minor")?,
            currency: row.get("currency")?,
            clearing_date: row.get("clearing_date")?,
            at: row.get("at")?,
            source: row.get("source")?,
            transcript: row.get("transcript")?,
        })
    }
}

impl dyn Store + '_ {
    pub fn transaction(&self, order: OrderId) -> StoreRead<'_, Option<Transaction>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Transactions>("WHERE t.order_id = $1", parameters![order]);
        }
        self.look(move |rows| transaction_of(rows, order))
    }

    /// Transactions by order.
    pub fn transactions(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<Transaction>> {
        if let Some(tables) = self.tables() {
            return tables.list::<Transactions>(
                "WHERE t.order_id > $1 ORDER BY t.order_id LIMIT $2",
                vec![parameter(after_id(after)), page_limit(limit)],
            );
        }
        let after = after.map(|order| order_key(LETTER, order));
        self.list(move |rows| list_rows::<Transactions>(rows, &[LETTER], after, limit))
    }
}

#[derive(Serialize, Deserialize)]
struct TransactionRecord<'a> {
    movement: u8,
    channel: &'a str,
    /// `None` where the attempt belongs to the transaction's own order, which the key names.
    attempt_order: Option<u64>,
    attempt: u8,
    channel_reference: Option<&'a str>,
    merchant_id: &'a str,
    amount_minor: i64,
    currency: u8,
    clearing_date: u32,
    at: u64,
    source: u8,
    transcript: &'a str,
}

fn transaction_bytes(transaction: &Transaction) -> Vec<u8> {
    let number = transaction.channel_order_no;
    encode(&TransactionRecord {
        movement: transaction.movement.number(),
        channel: transaction.channel.as_str(),
        attempt_order: (number.order != transaction.order).then(|| number.order.as_u64()),
        attempt: number.attempt,
        channel_reference: transaction.channel_reference.as_deref(),
        merchant_id: transaction.merchant_id.as_str(),
        amount_minor: transaction.amount.get(),
        currency: transaction.currency.number(),
        clearing_date: transaction.clearing_date.yyyymmdd(),
        at: millis(transaction.at),
        source: transaction.source.number(),
        transcript: &transaction.transcript,
    })
}

fn read_transaction(order: OrderId, bytes: &[u8]) -> Result<Transaction, StoreError> {
    let fields = TRANSACTIONS;
    let record: TransactionRecord<'_> = decode(fields.table, bytes)?;
    Ok(Transaction {
        order,
        movement: fields.code("movement", record.movement)?,
        channel: ChannelId::from_stored(record.channel),
        channel_order_no: ChannelOrderNo {
            order: record.attempt_order.map_or(order, OrderId::from_u64),
            attempt: record.attempt,
        },
        channel_reference: text(record.channel_reference),
        merchant_id: MerchantId::from_stored(record.merchant_id),
        amount: fields.amount(record.amount_minor)?,
        currency: fields.currency(record.currency)?,
        clearing_date: fields.date(record.clearing_date)?,
        at: fields.time(record.at)?,
        source: fields.code("source", record.source)?,
        transcript: record.transcript.to_owned(),
    })
}
