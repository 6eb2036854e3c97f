//! The audit trail, by place from 1 on. Append-only; a store has one counter for it.

use serde::{Deserialize, Serialize};

use crate::domain::write_set::{AuditEntry, WriteSet};
use crate::store::form::{StoredFields, decode, encode, millis};
use crate::store::key::{Key, Parts};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, list_rows};
use crate::store::sorted::StoreResult;
use crate::store::{Store, StoreError, StoreRead};

const AUDIT: StoredFields = StoredFields { table: "audit" };
const LETTER: u8 = b'U';

pub(in crate::store) struct Audit;

impl Table for Audit {
    type Row = (u64, AuditEntry);

    const NAME: &'static str = AUDIT.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "lines of the audit trail")];

    fn key((place, _): &(u64, AuditEntry)) -> Vec<u8> {
        key_of(*place)
    }

    fn encode((_, entry): &(u64, AuditEntry)) -> Vec<u8> {
        audit_bytes(entry)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<(u64, AuditEntry)> {
        Ok((place_of(key)?, read_audit(bytes)?))
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        for entry in &writes.audit {
            plan.append(key_of, audit_bytes(entry));
        }
    }
}

fn key_of(place: u64) -> Vec<u8> {
    Key::of(LETTER).number(place.to_be_bytes()).0
}

/// The place that a key of the trail says.
pub(in crate::store) fn place_of(key: &[u8]) -> StoreResult<u64> {
    Parts::of(key).number().map(u64::from_be_bytes)
}

impl dyn Store + '_ {
    /// The audit trail, oldest first, from the given place on.
    pub fn audit(&self, after: Option<u64>, limit: usize) -> StoreRead<'_, Vec<(u64, AuditEntry)>> {
        let after = after.map(key_of);
        self.list(move |rows| list_rows::<Audit>(rows, &[LETTER], after, limit))
    }
}

#[derive(Serialize, Deserialize)]
struct AuditRecord<'a> {
    at: u64,
    actor: &'a str,
    action: &'a str,
    subject: &'a str,
    reason: &'a str,
}

fn audit_bytes(entry: &AuditEntry) -> Vec<u8> {
    encode(&AuditRecord {
        at: millis(entry.at),
        actor: &entry.actor,
        action: &entry.action,
        subject: &entry.subject,
        reason: &entry.reason,
    })
}

fn read_audit(bytes: &[u8]) -> Result<AuditEntry, StoreError> {
    let record: AuditRecord<'_> = decode(AUDIT.table, bytes)?;
    Ok(AuditEntry {
        at: AUDIT.time(record.at)?,
        actor: record.actor.to_owned(),
        action: record.action.to_owned(),
        subject: record.subject.to_owned(),
        reason: record.reason.to_owned(),
    })
}
