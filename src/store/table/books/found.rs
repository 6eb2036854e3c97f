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
use crate::store::{FoundRow, Store, StoreRead};

use super::difference::difference_of;

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
}

fn key_of(batch: BatchId, ordinal: u32) -> Vec<u8> {
    Key::of(LETTER).order(batch.chain()).number(ordinal.to_be_bytes()).0
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
