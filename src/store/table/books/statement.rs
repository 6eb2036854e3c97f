//! Statements of channels, by channel, date and revision. Append-only.

use serde::{Deserialize, Serialize};

use crate::domain::books::statement::StatementRevision;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, encode, millis};
use crate::store::key::{Key, Parts};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, list_rows, plan_new};
use crate::store::sorted::StoreResult;
use crate::store::sql::read::parameters;
use crate::store::sql::step::{Answer, SqlPlan, Step, insert};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::{CommitError, PAGE_MAX, Store, StoreError, StoreRead};

const STATEMENTS: StoredFields = StoredFields { table: "statements" };
const LETTER: u8 = b'V';

pub(in crate::store) struct Statements;

impl Table for Statements {
    type Row = StatementRevision;

    const NAME: &'static str = STATEMENTS.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "statements")];

    fn key(statement: &StatementRevision) -> Vec<u8> {
        let prefix = prefix_of(&statement.channel, statement.date);
        Key(prefix).number(statement.revision.to_be_bytes()).0
    }

    fn encode(statement: &StatementRevision) -> Vec<u8> {
        statement_bytes(statement)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<StatementRevision> {
        let mut parts = Parts::of(key);
        let (channel, date) = (parts.channel()?, parts.date()?);
        read_statement(channel, date, parts.number().map(u16::from_be_bytes)?, bytes)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_new::<Self>(&writes.statements, plan);
    }

    fn sql_steps() -> Vec<Step> {
        vec![insert::<Self>(Answer::Held)]
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        plan.append::<Self>(0, &writes.statements)
    }
}

fn prefix_of(channel: &ChannelId, date: BusinessDate) -> Vec<u8> {
    Key::of(LETTER).channel(channel).date(date).0
}

impl SqlTable for Statements {
    type Written<'a> = &'a StatementRevision;
    type Row = StatementRevision;

    sql_columns! {
        statement: "statements";
        key {
            channel: statement.channel.as_str(),
            date: statement.date,
            revision: statement.revision,
        }
        fixed {
            sha256: statement.sha256,
            name: statement.name.as_str(),
            bytes: statement.bytes,
            origin: statement.origin,
            taken_by: statement.by.as_str(),
            at: statement.at,
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<StatementRevision> {
        Ok(StatementRevision {
            channel: row.get("channel")?,
            date: row.get("date")?,
            revision: row.get("revision")?,
            sha256: row.get("sha256")?,
            name: row.get("name")?,
            bytes: row.get("bytes")?,
            origin: row.get("origin")?,
            by: row.get("taken_by")?,
            at: row.get("at")?,
        })
    }
}

impl dyn Store + '_ {
    /// The statements of a channel and date, by revision.
    pub fn statement_revisions(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreRead<'_, Vec<StatementRevision>> {
        if let Some(tables) = self.tables() {
            return tables.list::<Statements>(
                "WHERE t.channel = $1 AND t.date = $2 ORDER BY t.revision LIMIT 1000",
                parameters![channel, date],
            );
        }
        let prefix = prefix_of(&channel, date);
        self.list(move |rows| list_rows::<Statements>(rows, &prefix, None, PAGE_MAX))
    }
}

#[derive(Serialize, Deserialize)]
struct StatementRecord<'a> {
    sha256: [u8; 32],
    name: &'a str,
    bytes: u64,
    origin: u8,
    by: &'a str,
    at: u64,
}

fn statement_bytes(statement: &StatementRevision) -> Vec<u8> {
    encode(&StatementRecord {
        sha256: statement.sha256,
        name: &statement.name,
        bytes: statement.bytes,
        origin: statement.origin.number(),
        by: &statement.by,
        at: millis(statement.at),
    })
}

fn read_statement(
    channel: ChannelId,
    date: BusinessDate,
    revision: u16,
    bytes: &[u8],
) -> Result<StatementRevision, StoreError> {
    let record: StatementRecord<'_> = decode(STATEMENTS.table, bytes)?;
    Ok(StatementRevision {
        channel,
        date,
        revision,
        sha256: record.sha256,
        name: record.name.to_owned(),
        bytes: record.bytes,
        origin: STATEMENTS.code("origin", record.origin)?,
        by: record.by.to_owned(),
        at: STATEMENTS.time(record.at)?,
    })
}
