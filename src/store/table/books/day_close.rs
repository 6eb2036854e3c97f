//! Closed clearing days, by channel and date. Append-only.

use serde::{Deserialize, Serialize};

use crate::domain::books::clearing::ClearingTotals;
use crate::domain::books::day_close::DayClose;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, encode, millis};
use crate::store::key::{Key, Parts};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, get};
use crate::store::sorted::StoreResult;
use crate::store::sql::read::parameters;
use crate::store::sql::step::{Answer, SqlPlan, Step, insert};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::sql::value::{Named, SqlJson};
use crate::store::{CommitError, Store, StoreError, StoreRead};

use super::clearing_days::plan_close;

const CLOSES: StoredFields = StoredFields { table: "closes" };
const LETTER: u8 = b'D';

pub(in crate::store) struct DayCloses;

impl Table for DayCloses {
    type Row = DayClose;

    const NAME: &'static str = CLOSES.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "closed days")];

    fn key(close: &DayClose) -> Vec<u8> {
        key_of(&close.channel, close.date)
    }

    fn encode(close: &DayClose) -> Vec<u8> {
        close_bytes(close)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<DayClose> {
        let mut parts = Parts::of(key);
        read_close(&parts.channel()?, parts.date()?, bytes)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        for close in &writes.closes {
            plan_close(&close.channel, close.date, plan);
            plan.insert(Self::key(close), close_bytes(close));
        }
    }

    fn sql_steps() -> Vec<Step> {
        vec![insert::<Self>(Answer::Held)]
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        plan.append::<Self>(0, &writes.closes)
    }
}

fn key_of(channel: &ChannelId, date: BusinessDate) -> Vec<u8> {
    Key::of(LETTER).channel(channel).date(date).0
}

impl SqlTable for DayCloses {
    type Written<'a> = &'a DayClose;
    type Row = DayClose;

    sql_columns! {
        close: "day_closes";
        key { channel: close.channel.as_str(), date: close.date, }
        fixed {
            totals: totals(close),
            sha256: close.sha256,
            closed_by: close.by.as_str(),
            at: close.at,
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<DayClose> {
        let SqlJson(totals): SqlJson<Vec<SqlTotals>> = row.get("totals")?;
        let sums = |(Named(currency), records, principal_minor, fee_minor, net_minor)| {
            (currency, ClearingTotals { records, principal_minor, fee_minor, net_minor })
        };
        Ok(DayClose {
            channel: row.get("channel")?,
            date: row.get("date")?,
            totals: totals.into_iter().map(sums).collect(),
            sha256: row.get("sha256")?,
            by: row.get("closed_by")?,
            at: row.get("at")?,
        })
    }
}

/// Currency, records, principal, fee, net.
type SqlTotals = (Named<Currency>, u64, i64, i64, i64);

fn totals(close: &DayClose) -> SqlJson<Vec<SqlTotals>> {
    let row = |(currency, totals): &(Currency, ClearingTotals)| {
        let ClearingTotals { records, principal_minor, fee_minor, net_minor } = *totals;
        (Named(*currency), records, principal_minor, fee_minor, net_minor)
    };
    SqlJson(close.totals.iter().map(row).collect())
}

impl dyn Store + '_ {
    pub fn day_close(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreRead<'_, Option<DayClose>> {
        if let Some(tables) = self.tables() {
            return tables.one::<DayCloses>(
                "WHERE t.channel = $1 AND t.date = $2",
                parameters![channel, date],
            );
        }
        self.look(move |rows| get::<DayCloses>(rows, &key_of(&channel, date)))
    }
}

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

fn close_bytes(close: &DayClose) -> Vec<u8> {
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

fn read_close(
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
