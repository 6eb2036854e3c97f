//! Differences as a table of SQL, with a row for the record and the line that each has.

use serde::{Deserialize, Serialize};

use crate::domain::attempt::Operation;
use crate::domain::books::difference::{Difference, DifferenceEvent, Gap, LineSide, RecordSide};
use crate::domain::books::reconcile::{Item, Status};
use crate::domain::ids::ChannelOrderNo;
use crate::domain::money::Currency;
use crate::domain::write_set::WriteSet;
use crate::store::CommitError;
use crate::store::sorted::StoreResult;
use crate::store::sql::step::{Answer, Field, SqlPlan, Step, VersionChange, latest, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, history, read_history, sql_columns};
use crate::store::sql::value::{JsonDate, Named, SqlJson, SqlType};

use super::Differences;

const ROWS: usize = 0;
const GIVEN_UP_RECORD: usize = 3;
const TAKEN_RECORD: usize = 4;
const GIVEN_UP_LINE: usize = 5;
const TAKEN_LINE: usize = 6;

impl SqlTable for Differences {
    type Written<'a> = &'a Difference;
    type Row = Difference;

    sql_columns! {
        row: "differences";
        key { id: row.id, }
        changing {
            version: row.version,
            channel: row.channel.as_str(),
            class: row.class,
            match_key: row.key,
            line_date: row.line.as_ref().map(|line| line.date),
            line_digest: row.line.as_ref().map(|line| line.digest),
            line_number: row.line.as_ref().map(|line| line.line),
            line_order_no: row.line.as_ref().map(|line| line.order_no.as_str()),
            line_reference: row.line.as_ref().map(|line| line.reference.as_str()),
            line_item: row.line.as_ref().and_then(|line| line.item.as_ref()).map(item),
            line_unreadable: row.line.as_ref().and_then(unreadable),
            record_date: row.record.as_ref().map(|record| record.date),
            record_order: row.record.as_ref().map(|record| record.channel_order_no.order),
            record_attempt: row.record.as_ref().map(|record| record.channel_order_no.attempt),
            record_reference: row.record.as_ref().and_then(|record| record.reference.as_deref()),
            record_item: row.record.as_ref().map(|record| item(&record.item)),
            state: row.state,
            found_by: row.found_by,
            changed_by: row.changed_by,
            opened_at: row.opened_at,
            due_at: row.due_at,
            held: held(row),
            accounting_sequence: row.accounting_sequence,
            remedy: row.remedy.as_ref().map(|(remedy, _)| *remedy),
            remedy_reason: row.remedy.as_ref().map(|(_, why)| why.as_str()),
            history: history(row.history.iter().map(|event| (event.at, event.what.as_str()))),
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<Difference> {
        let SqlJson(held): SqlJson<Vec<SqlGap>> = row.get("held")?;
        let gap = |(Named(currency), principal_minor, fee_minor)| Gap {
            currency,
            principal_minor,
            fee_minor,
        };
        let event = |(at, what)| DifferenceEvent { at, what };
        Ok(Difference {
            id: row.get("id")?,
            version: row.get("version")?,
            channel: row.get("channel")?,
            class: row.get("class")?,
            key: row.get("match_key")?,
            line: read_line(row)?,
            record: read_record(row)?,
            state: row.get("state")?,
            found_by: row.get("found_by")?,
            changed_by: row.get("changed_by")?,
            opened_at: row.get("opened_at")?,
            due_at: row.get("due_at")?,
            held: held.into_iter().map(gap).collect(),
            accounting_sequence: row.get("accounting_sequence")?,
            remedy: match row.get("remedy")? {
                Some(remedy) => Some((remedy, row.get("remedy_reason")?)),
                None => None,
            },
            history: read_history(row)?.into_iter().map(event).collect(),
        })
    }
}

/// Currency, principal, fee.
type SqlGap = (Named<Currency>, i64, i64);

fn held(row: &Difference) -> SqlJson<Vec<SqlGap>> {
    let gap = |gap: &Gap| (Named(gap.currency), gap.principal_minor, gap.fee_minor);
    SqlJson(row.held.iter().map(gap).collect())
}

/// What is compared of a line or a record.
#[derive(Serialize, Deserialize)]
struct JsonItem {
    movement: Named<Operation>,
    amount_minor: i64,
    fee_minor: Option<i64>,
    currency: Named<Currency>,
    status: Named<Status>,
    date: Option<JsonDate>,
}

fn item(item: &Item) -> SqlJson<JsonItem> {
    SqlJson(JsonItem {
        movement: Named(item.movement),
        amount_minor: item.amount_minor,
        fee_minor: item.fee_minor,
        currency: Named(item.currency),
        status: Named(item.status),
        date: item.date.map(JsonDate),
    })
}

fn read_item(SqlJson(item): SqlJson<JsonItem>) -> Item {
    Item {
        movement: item.movement.0,
        amount_minor: item.amount_minor,
        fee_minor: item.fee_minor,
        currency: item.currency.0,
        status: item.status.0,
        date: item.date.map(|JsonDate(date)| date),
    }
}

fn unreadable(line: &LineSide) -> Option<SqlJson<(&str, &str)>> {
    line.unreadable.as_ref().map(|(why, text)| SqlJson((why.as_str(), text.as_str())))
}

fn read_line(row: &SqlFields<'_>) -> StoreResult<Option<LineSide>> {
    let Some(date) = row.get("line_date")? else { return Ok(None) };
    let item: Option<SqlJson<JsonItem>> = row.get("line_item")?;
    let unreadable: Option<SqlJson<(String, String)>> = row.get("line_unreadable")?;
    Ok(Some(LineSide {
        date,
        digest: row.get("line_digest")?,
        line: row.get("line_number")?,
        order_no: row.get("line_order_no")?,
        reference: row.get("line_reference")?,
        item: item.map(read_item),
        unreadable: unreadable.map(|SqlJson(both)| both),
    }))
}

fn read_record(row: &SqlFields<'_>) -> StoreResult<Option<RecordSide>> {
    let Some(date) = row.get("record_date")? else { return Ok(None) };
    let (order, attempt) = (row.get("record_order")?, row.get("record_attempt")?);
    Ok(Some(RecordSide {
        date,
        channel_order_no: ChannelOrderNo { order, attempt },
        reference: row.get("record_reference")?,
        item: read_item(row.get("record_item")?),
    }))
}

pub(super) fn steps() -> Vec<Step> {
    let record = [
        ("channel", SqlType::Text),
        ("date", SqlType::Date),
        ("attempt_order", SqlType::Bigint),
        ("attempt", SqlType::Smallint),
        ("difference", SqlType::Bigint),
    ];
    let line = [
        ("channel", SqlType::Text),
        ("date", SqlType::Date),
        ("digest", SqlType::Bytea),
        ("difference", SqlType::Bigint),
    ];
    let mut steps = Vec::from(versioned::<Differences>());
    let key = "channel, date, attempt_order, attempt";
    steps.extend(claims("difference_records", key, &record));
    steps.extend(claims("difference_lines", "channel, date, digest", &line));
    steps
}

/// Gives up what a table's rows say of a difference, and takes it anew.
fn claims(table: &str, key: &str, columns: &[(&str, SqlType)]) -> [Step; 2] {
    let given_up =
        format!("DELETE FROM {table} t USING {{rows}} WHERE t.difference = u.difference");
    let taken = format!(
        "INSERT INTO {table} ({key}, difference) SELECT * FROM {{rows}} \
         ON CONFLICT DO NOTHING RETURNING {key}"
    );
    [
        Step::own(&given_up, &columns[columns.len() - 1..], Answer::Nothing),
        Step::own(&taken, columns, Answer::Held),
    ]
}

pub(super) fn plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
    let rows = writes.differences.iter().map(|row| (row.version, VersionChange::Put(row)));
    plan.replace::<Differences>(ROWS, rows)?;
    for (row, is_new) in latest(&writes.differences, |row| row.id, |row| row.version) {
        if !is_new {
            plan.add(GIVEN_UP_RECORD, &[&row.id], &[]);
            plan.add(GIVEN_UP_LINE, &[&row.id], &[]);
        }
        let channel = row.channel.as_str();
        if let Some(record) = &row.record {
            let ChannelOrderNo { order, attempt } = record.channel_order_no;
            let key: [&dyn Field; 4] = [&channel, &record.date, &order, &attempt];
            plan.claim(TAKEN_RECORD, "difference_records", &key, &row.id)?;
        }
        if let Some(line) = &row.line {
            let key: [&dyn Field; 3] = [&channel, &line.date, &line.digest];
            plan.claim(TAKEN_LINE, "difference_lines", &key, &row.id)?;
        }
    }
    Ok(())
}
