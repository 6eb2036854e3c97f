//! The audit trail, by place from 1 on. Append-only; a store has one counter for it.

use serde::{Deserialize, Serialize};

use crate::domain::write_set::{AuditEntry, WriteSet};
use crate::store::form::{StoredFields, decode, encode, millis, text};
use crate::store::key::{Key, Parts};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, list_rows};
use crate::store::sorted::StoreResult;
use crate::store::sql::read::{field, page_limit, parameter};
use crate::store::sql::step::{Answer, SqlPlan, Step};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::sql::value::SqlType;
use crate::store::{CommitError, Store, StoreError, StoreRead};

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

    fn sql_steps() -> Vec<Step> {
        let entry = [
            ("at", SqlType::Moment),
            ("actor", SqlType::Text),
            ("approver", SqlType::Text),
            ("action", SqlType::Text),
            ("subject", SqlType::Text),
            ("reason", SqlType::Text),
        ];
        // The head's row is held from here to the end: places are dense, and in commit order.
        let head = "UPDATE audit_head SET next = next + cardinality($1::timestamptz[])";
        let lines = "INSERT INTO audit (place, at, actor, approver, action, subject, reason) \
                     SELECT h.next - cardinality($1) - 1 + u.n, u.at, u.actor, u.approver, \
                     u.action, u.subject, u.reason FROM audit_head h, {unnest} WITH ORDINALITY \
                     AS u(at, actor, approver, action, subject, reason, n)";
        vec![
            Step::own(head, &entry[..1], Answer::Nothing),
            Step::own(lines, &entry, Answer::Nothing),
        ]
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        for entry in &writes.audit {
            plan.add(HEAD, &[], &[&entry.at]);
            let AuditEntry { at, actor, approver, action, subject, reason } = entry;
            plan.add(LINES, &[], &[at, actor, approver, action, subject, reason]);
        }
        Ok(())
    }
}

fn key_of(place: u64) -> Vec<u8> {
    Key::of(LETTER).number(place.to_be_bytes()).0
}

/// The place that a key of the trail says.
pub(in crate::store) fn place_of(key: &[u8]) -> StoreResult<u64> {
    Parts::of(key).number().map(u64::from_be_bytes)
}

const HEAD: usize = 0;
const LINES: usize = 1;

impl SqlTable for Audit {
    type Written<'a> = &'a (u64, AuditEntry);
    type Row = (u64, AuditEntry);

    sql_columns! {
        line: "audit";
        key { place: line.0, }
        fixed {
            at: line.1.at,
            actor: line.1.actor.as_str(),
            approver: line.1.approver.as_deref(),
            action: line.1.action.as_str(),
            subject: line.1.subject.as_str(),
            reason: line.1.reason.as_str(),
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<(u64, AuditEntry)> {
        let entry = AuditEntry {
            at: row.get("at")?,
            actor: row.get("actor")?,
            approver: row.get("approver")?,
            action: row.get("action")?,
            subject: row.get("subject")?,
            reason: row.get("reason")?,
        };
        Ok((row.get("place")?, entry))
    }
}

impl dyn Store + '_ {
    /// The place of the newest line; 0 where there is none.
    pub fn audit_last(&self) -> StoreRead<'_, u64> {
        if let Some(tables) = self.tables() {
            return Box::pin(async move {
                let read = |values: Vec<Option<&[u8]>>| field::<u64>(&values, 0);
                let head = "SELECT next - 1 FROM audit_head";
                let found = tables.query(head, Vec::new(), read).await?;
                Ok(found.into_iter().next().unwrap_or_default())
            });
        }
        self.look(|rows| {
            // Places are dense: the last one is found by halves.
            let has = |place: u64| Ok::<_, StoreError>(rows.get(&key_of(place))?.is_some());
            let (mut there, mut gone) = (0, 1);
            while has(gone)? {
                (there, gone) = (gone, gone.saturating_mul(2));
            }
            while gone - there > 1 {
                let middle = there + (gone - there) / 2;
                if has(middle)? { there = middle } else { gone = middle }
            }
            Ok(there)
        })
    }

    /// The audit trail, oldest first, from the given place on.
    pub fn audit(&self, after: Option<u64>, limit: usize) -> StoreRead<'_, Vec<(u64, AuditEntry)>> {
        if let Some(tables) = self.tables() {
            return tables.list::<Audit>(
                "WHERE t.place > $1 ORDER BY t.place LIMIT $2",
                vec![parameter(after.unwrap_or(0)), page_limit(limit)],
            );
        }
        let after = after.map(key_of);
        self.list(move |rows| list_rows::<Audit>(rows, &[LETTER], after, limit))
    }
}

#[derive(Serialize, Deserialize)]
struct AuditRecord<'a> {
    at: u64,
    actor: &'a str,
    approver: Option<&'a str>,
    action: &'a str,
    subject: &'a str,
    reason: &'a str,
}

fn audit_bytes(entry: &AuditEntry) -> Vec<u8> {
    encode(&AuditRecord {
        at: millis(entry.at),
        actor: &entry.actor,
        approver: entry.approver.as_deref(),
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
        approver: text(record.approver),
        action: record.action.to_owned(),
        subject: record.subject.to_owned(),
        reason: record.reason.to_owned(),
    })
}
