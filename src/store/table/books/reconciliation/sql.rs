//! Reconciliations as a table of SQL, and which one is current of a date.
//!
//! What a write set says to be unchanged is guarded by the channel's lock: whoever writes such rows
//! holds it until the end of its transaction, and reads them behind it.

use std::collections::BTreeSet;

use crate::domain::books::reconciliation::{BatchState, Reconciliation};
use crate::domain::ids::ChannelId;
use crate::domain::write_set::{ReadGuard, WriteSet};
use crate::store::CommitError;
use crate::store::sorted::StoreResult;
use crate::store::sql::step::{Answer, SqlPlan, Step, VersionChange, latest, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::sql::value::{SqlJson, SqlType};

use super::{Reconciliations, ReportRecord};

const LOCK_ROW: usize = 0;
const LOCK: usize = 1;
const UNCHANGED: usize = 2;
const ABSENT: usize = 3;
const ROWS: usize = 4;
const GIVEN_UP: usize = 7;
const TAKEN: usize = 8;

impl SqlTable for Reconciliations {
    type Written<'a> = &'a Reconciliation;
    type Row = Reconciliation;

    sql_columns! {
        row: "reconciliations";
        key { id: row.id, }
        changing {
            version: row.version,
            channel: row.channel.as_str(),
            date: row.date,
            revision: row.revision,
            state: row.state,
            run_by: row.by.as_str(),
            started_at: row.started_at,
            finished_at: row.finished_at,
            reason: row.reason.as_deref(),
            report: SqlJson(ReportRecord::of(&row.report)),
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<Reconciliation> {
        let SqlJson(report): SqlJson<ReportRecord<'static>> = row.get("report")?;
        Ok(Reconciliation {
            id: row.get("id")?,
            version: row.get("version")?,
            channel: row.get("channel")?,
            date: row.get("date")?,
            revision: row.get("revision")?,
            state: row.get("state")?,
            by: row.get("run_by")?,
            started_at: row.get("started_at")?,
            finished_at: row.get("finished_at")?,
            reason: row.get("reason")?,
            report: report.read()?,
        })
    }
}

pub(super) fn steps() -> Vec<Step> {
    let current = [
        ("channel", SqlType::Text),
        ("date", SqlType::Date),
        ("batch", SqlType::Bigint),
        ("version", SqlType::Bigint),
    ];
    let lock_row = "INSERT INTO channel_locks (channel) SELECT u.channel FROM {rows} \
                    ON CONFLICT DO NOTHING";
    let lock = "UPDATE channel_locks t SET taken = t.taken + 1 FROM {rows} \
                WHERE t.channel = u.channel";
    let as_it_was = "SELECT u.channel, u.date FROM {rows} JOIN current_reconciliations t \
                     ON t.channel = u.channel AND t.date = u.date AND t.batch = u.batch \
                     JOIN reconciliations r ON r.id = u.batch AND r.version = u.version";
    let absent = "SELECT u.channel, u.date FROM {rows} JOIN current_reconciliations t \
                  ON t.channel = u.channel AND t.date = u.date";
    let given_up = "DELETE FROM current_reconciliations t USING {rows} WHERE t.batch = u.batch";
    let taken = "INSERT INTO current_reconciliations (channel, date, batch) \
                 SELECT * FROM {rows} ON CONFLICT DO NOTHING RETURNING channel, date";
    let [delete, update, insert] = versioned::<Reconciliations>();
    vec![
        Step::own(lock_row, &current[..1], Answer::Nothing),
        Step::own(lock, &current[..1], Answer::Nothing),
        Step::own(as_it_was, &current, Answer::Held),
        Step::own(absent, &current[..2], Answer::Refused),
        delete,
        update,
        insert,
        Step::own(given_up, &current[2..3], Answer::Nothing),
        Step::own(taken, &current[..3], Answer::Held),
    ]
}

pub(super) fn plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
    for channel in locked(writes) {
        plan.touch("channel_locks", channel.as_str().as_bytes());
        plan.add(LOCK_ROW, &[&channel.as_str()], &[]);
        plan.add(LOCK, &[&channel.as_str()], &[]);
    }
    for unchanged in &writes.unchanged {
        if let ReadGuard::Reconciliation { channel, date, was } = unchanged {
            match was {
                Some((id, version)) => {
                    plan.add(UNCHANGED, &[&channel.as_str(), date], &[id, version]);
                }
                None => plan.add(ABSENT, &[&channel.as_str(), date], &[]),
            }
        }
    }
    let rows = writes.reconciliations.iter().map(|row| (row.version, VersionChange::Put(row)));
    plan.replace::<Reconciliations>(ROWS, rows)?;
    for (row, is_new) in latest(&writes.reconciliations, |row| row.id, |row| row.version) {
        if !is_new {
            plan.add(GIVEN_UP, &[&row.id], &[]);
        }
        if row.state == BatchState::Current {
            plan.claim(TAKEN, "current", &[&row.channel.as_str(), &row.date], &row.id)?;
        }
    }
    Ok(())
}

/// The channels whose reconciliations or settled dates are written, or said to be unchanged.
fn locked(writes: &WriteSet) -> BTreeSet<&ChannelId> {
    let guards = writes.unchanged.iter().map(|guard| match guard {
        ReadGuard::Reconciliation { channel, .. } | ReadGuard::SettledDate { channel, .. } => {
            channel
        }
    });
    let batches = writes.reconciliations.iter().map(|row| &row.channel);
    guards.chain(batches).chain(writes.settled.iter().map(|row| &row.channel)).collect()
}
