//! What reconciliation batches found, by batch and place in its listing. Append-only.

use serde::{Deserialize, Serialize};

use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{BatchId, DifferenceId};
use crate::domain::write_set::{FoundDifference, WriteSet};
use crate::store::form::{StoredFields, damaged, decode, encode};
use crate::store::key::{Key, Parts, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, plan_new};
use crate::store::sorted::{StoreResult, onward, page};
use crate::store::sql::read::{page_limit, parameters};
use crate::store::sql::step::{Answer, SqlPlan, Step, insert};
use crate::store::sql::table::{SqlFields, SqlTable, names, sql_columns};
use crate::store::{CommitError, FoundRow, Store, StoreRead};

use super::difference::{Differences, difference_of};

const FOUND: StoredFields = StoredFields { table: "found_differences" };
const LETTER: u8 = b'F';

pub(in crate::store) struct FoundDifferences;

impl Table for FoundDifferences {
    type Row = FoundDifference;

    const NAME: &'static str = FOUND.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "findings of reconciliations")];

    fn key(found: &FoundDifference) -> Vec<u8> {
        key_of(found.batch, found.ordinal)
    }

    fn encode(found: &FoundDifference) -> Vec<u8> {
        encode(&FoundRecord { class: found.class.number(), difference: found.difference.as_u64() })
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<FoundDifference> {
        let mut parts = Parts::of(key);
        let record: FoundRecord = decode(FOUND.table, bytes)?;
        Ok(FoundDifference {
            batch: BatchId::of(parts.order()?),
            ordinal: parts.number().map(u32::from_be_bytes)?,
            class: FOUND.code("class", record.class)?,
            difference: DifferenceId::from_u64(record.difference),
        })
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_new::<Self>(&writes.found, plan);
    }

    fn sql_steps() -> Vec<Step> {
        vec![insert::<Self>(Answer::Held)]
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        plan.append::<Self>(0, &writes.found)
    }
}

fn key_of(batch: BatchId, ordinal: u32) -> Vec<u8> {
    Key::of(LETTER).order(batch.chain()).number(ordinal.to_be_bytes()).0
}

impl SqlTable for FoundDifferences {
    type Written<'a> = &'a FoundDifference;
    type Row = FoundDifference;

    sql_columns! {
        found: "found_differences";
        key { batch: found.batch, ordinal: found.ordinal, }
        fixed { class: found.class, difference: found.difference, }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<FoundDifference> {
        Ok(FoundDifference {
            batch: row.get("batch")?,
            ordinal: row.get("ordinal")?,
            class: row.get("class")?,
            difference: row.get("difference")?,
        })
    }
}

/// A line of a listing: the columns of its difference, those of the finding behind them.
fn read_found_row(mut values: Vec<Option<&[u8]>>) -> StoreResult<FoundRow> {
    let found = values.split_off(Differences::COLUMNS.len());
    let table = FOUND.table;
    let found = FoundDifferences::read(&SqlFields {
        table,
        columns: FoundDifferences::COLUMNS,
        values: found,
    })?;
    if values.first().is_none_or(Option::is_none) {
        return Err(damaged(table, "its difference is missing"));
    }
    let columns = Differences::COLUMNS;
    let difference =
        Differences::read(&SqlFields { table: Differences::SQL_NAME, columns, values })?;
    Ok((found.ordinal, found.class, difference))
}

impl dyn Store + '_ {
    /// What a batch found, by its place in the listing: the class as it was found, and the
    /// difference as it is now.
    pub fn found_differences(
        &self,
        batch: BatchId,
        after: Option<u32>,
        limit: usize,
    ) -> StoreRead<'_, Vec<FoundRow>> {
        if let Some(tables) = self.tables() {
            return Box::pin(async move {
                let sql = format!(
                    "SELECT {}, {} FROM found_differences f \
                     LEFT JOIN differences t ON t.id = f.difference \
                     WHERE f.batch = $1 AND f.ordinal > $2 ORDER BY f.ordinal LIMIT $3",
                    names(Differences::COLUMNS, "t."),
                    names(FoundDifferences::COLUMNS, "f."),
                );
                let mut parameters = parameters![batch, after.map_or(-1, i64::from)];
                parameters.push(page_limit(limit));
                tables.query(&sql, parameters, read_found_row).await
            });
        }
        self.list(move |rows| {
            let prefix = order_key(LETTER, batch.chain());
            let last = after.map(|ordinal| key_of(batch, ordinal));
            page(rows, onward(&prefix, last), limit, |key, row| {
                let found = FoundDifferences::decode(key, row)?;
                let difference = difference_of(rows, found.difference)?
                    .ok_or_else(|| damaged(FOUND.table, "its difference is missing"))?;
                Ok(Some((found.ordinal, found.class, difference)))
            })
        })
    }
}

#[derive(Serialize, Deserialize)]
struct FoundRecord {
    class: u8,
    difference: u64,
}
