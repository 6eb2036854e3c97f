//! The stored forms of closed days and of statement revisions.

use serde::{Deserialize, Serialize};

use crate::domain::books::clearing::ClearingTotals;
use crate::domain::books::day_close::DayClose;
use crate::domain::books::statement::StatementRevision;
use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::store::StoreError;
use crate::store::record::codes::Code;
use crate::store::record::{Fields, decode, encode, millis};

const CLOSES: Fields = Fields { table: "closes" };
const STATEMENTS: Fields = Fields { table: "statements" };

#[derive(Serialize, Deserialize)]
struct CloseRecord<'a> {
    totals: Vec<TotalsRecord>,
    sha256: [u8; 32],
    by: &'a str,
    at: u64,
}

#[derive(Serialize, Deserialize)]
struct TotalsRecord {
    currency: u8,
    records: u64,
    principal_minor: i64,
    fee_minor: i64,
    net_minor: i64,
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

/// The stored form of a close. Its key is channel and date.
pub(in crate::store) fn close_bytes(close: &DayClose) -> Vec<u8> {
    let totals = close.totals.iter().map(|(currency, totals)| TotalsRecord {
        currency: currency.number(),
        records: totals.records,
        principal_minor: totals.principal_minor,
        fee_minor: totals.fee_minor,
        net_minor: totals.net_minor,
    });
    encode(&CloseRecord {
        totals: totals.collect(),
        sha256: close.sha256,
        by: &close.by,
        at: millis(close.at),
    })
}

pub(in crate::store) fn read_close(
    channel: &ChannelId,
    date: BusinessDate,
    bytes: &[u8],
) -> Result<DayClose, StoreError> {
    let record: CloseRecord<'_> = decode(CLOSES.table, bytes)?;
    let totals = record.totals.iter().map(|totals| {
        let currency = CLOSES.currency(totals.currency)?;
        let sums = ClearingTotals {
            records: totals.records,
            principal_minor: totals.principal_minor,
            fee_minor: totals.fee_minor,
            net_minor: totals.net_minor,
        };
        Ok((currency, sums))
    });
    Ok(DayClose {
        channel: channel.clone(),
        date,
        totals: totals.collect::<Result<_, StoreError>>()?,
        sha256: record.sha256,
        by: record.by.to_owned(),
        at: CLOSES.time(record.at)?,
    })
}

/// The stored form of a statement revision. Its key is channel, date and revision.
pub(in crate::store) fn statement_bytes(statement: &StatementRevision) -> Vec<u8> {
    encode(&StatementRecord {
        sha256: statement.sha256,
        name: &statement.name,
        bytes: statement.bytes,
        origin: statement.origin.number(),
        by: &statement.by,
        at: millis(statement.at),
    })
}

pub(in crate::store) fn read_statement(
    channel: &ChannelId,
    date: BusinessDate,
    revision: u16,
    bytes: &[u8],
) -> Result<StatementRevision, StoreError> {
    let record: StatementRecord<'_> = decode(STATEMENTS.table, bytes)?;
    Ok(StatementRevision {
        channel: channel.clone(),
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
