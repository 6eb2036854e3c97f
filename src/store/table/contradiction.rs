//! Contradictions, by order, attempt, claim and their place among those. Append-only.

use serde::{Deserialize, Serialize};

use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::OrderId;
use crate::domain::write_set::{Contradiction, ReportedEnd, WriteSet};
use crate::store::form::{StoredFields, decode, encode, millis};
use crate::store::key::{Key, Parts, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, list_rows, plan_new};
use crate::store::sorted::{SortedRows, StoreResult};
use crate::store::sql::read::{page_limit, parameters};
use crate::store::sql::step::{Answer, SqlPlan, Step, insert};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::{CommitError, ContradictionPlace, PAGE_MAX, Store, StoreError, StoreRead};

const CONTRADICTIONS: StoredFields = StoredFields { table: "contradictions" };
const LETTER: u8 = b'X';

pub(in crate::store) struct Contradictions;

impl Table for Contradictions {
    type Row = Contradiction;

    const NAME: &'static str = CONTRADICTIONS.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "contradictions")];

    fn key(contradiction: &Contradiction) -> Vec<u8> {
        key_of(contradiction.place())
    }

    fn encode(contradiction: &Contradiction) -> Vec<u8> {
        contradiction_bytes(contradiction)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<Contradiction> {
        let mut parts = Parts::of(key);
        read_contradiction(parts.order()?, parts.number()?, bytes)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_new::<Self>(&writes.contradictions, plan);
    }

    fn sql_steps() -> Vec<Step> {
        vec![insert::<Self>(Answer::Held)]
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        plan.append::<Self>(0, &writes.contradictions)
    }
}

fn key_of((order, attempt, reported, ordinal): ContradictionPlace) -> Vec<u8> {
    Key::of(LETTER).order(order).number([attempt, reported.number(), ordinal]).0
}

pub(super) fn contradictions_of(
    rows: SortedRows<'_>,
    order: OrderId,
) -> StoreResult<Vec<Contradiction>> {
    list_rows::<Contradictions>(rows, &order_key(LETTER, order), None, PAGE_MAX)
}

impl SqlTable for Contradictions {
    type Written<'a> = &'a Contradiction;
    type Row = Contradiction;

    sql_columns! {
        row: "contradictions";
        key {
            order_id: row.order,
            attempt: row.attempt,
            reported: row.reported,
            ordinal: row.ordinal,
        }
        fixed {
            source: row.source,
            at: row.at,
            transcript: row.transcript.as_str(),
            channel_reference: row.channel_reference.as_deref(),
            undo: row.undo,
            clearing_date: row.clearing_date,
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<Contradiction> {
        Ok(Contradiction {
            order: row.get("order_id")?,
            attempt: row.get("attempt")?,
            reported: row.get("reported")?,
            ordinal: row.get("ordinal")?,
            source: row.get("source")?,
            at: row.get("at")?,
            transcript: row.get("transcript")?,
            channel_reference: row.get("channel_reference")?,
            undo: row.get("undo")?,
            clearing_date: row.get("clearing_date")?,
        })
    }
}

impl dyn Store + '_ {
    pub fn contradictions(&self, order: OrderId) -> StoreRead<'_, Vec<Contradiction>> {
        if let Some(tables) = self.tables() {
            return tables.list::<Contradictions>(
                "WHERE t.order_id = $1 \
                 ORDER BY t.attempt, t.reported = 'failure', t.ordinal LIMIT 1000",
                parameters![order],
            );
        }
        self.list(move |rows| contradictions_of(rows, order))
    }

    /// Contradictions of all orders, by order, attempt and claim.
    pub fn all_contradictions(
        &self,
        after: Option<ContradictionPlace>,
        limit: usize,
    ) -> StoreRead<'_, Vec<Contradiction>> {
        if let Some(tables) = self.tables() {
            let first = (OrderId::from_u64(0), 0, ReportedEnd::Success, 0);
            let (order, attempt, reported, ordinal) = after.unwrap_or(first);
            let is_failure = reported == ReportedEnd::Failure;
            let mut parameters = parameters![order, attempt, is_failure, ordinal];
            parameters.push(page_limit(limit));
            return tables.list::<Contradictions>(
                "WHERE t.order_id >= $1 \
                 AND (t.order_id, t.attempt, t.reported = 'failure', t.ordinal) > ($1, $2, $3, $4) \
                 ORDER BY t.order_id, t.attempt, t.reported = 'failure', t.ordinal LIMIT $5",
                parameters,
            );
        }
        let after = after.map(key_of);
        self.list(move |rows| list_rows::<Contradictions>(rows, &[LETTER], after, limit))
    }
}

#[derive(Serialize, Deserialize)]
struct ContradictionRecord<'a> {
    source: u8,
    at: u64,
    transcript: &'a str,
    #[serde(borrow)]
    channel_reference: Option<&'a str>,
    undo: Option<u64>,
    clearing_date: Option<u32>,
}

fn contradiction_bytes(contradiction: &Contradiction) -> Vec<u8> {
    encode(&ContradictionRecord {
        source: contradiction.source.number(),
        at: millis(contradiction.at),
        transcript: &contradiction.transcript,
        channel_reference: contradiction.channel_reference.as_deref(),
        undo: contradiction.undo.map(OrderId::as_u64),
        clearing_date: contradiction.clearing_date.map(|date| date.yyyymmdd()),
    })
}

fn read_contradiction(
    order: OrderId,
    [attempt, reported, ordinal]: [u8; 3],
    bytes: &[u8],
) -> Result<Contradiction, StoreError> {
    let fields = CONTRADICTIONS;
    let record: ContradictionRecord<'_> = decode(fields.table, bytes)?;
    Ok(Contradiction {
        order,
        attempt,
        reported: fields.code("reported", reported)?,
        ordinal,
        source: fields.code("source", record.source)?,
        at: fields.time(record.at)?,
        transcript: record.transcript.to_owned(),
        channel_reference: record.channel_reference.map(str::to_owned),
        undo: record.undo.map(OrderId::from_u64),
        clearing_date: record.clearing_date.map(|date| fields.date(date)).transpose()?,
    })
}
