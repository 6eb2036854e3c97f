//! What is settled of dates, by channel, date and currency.

use serde::{Deserialize, Serialize};

use crate::domain::books::settlement::SettledDate;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{ChannelId, SettlementId};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{ReadGuard, WriteSet};
use crate::store::form::{StoredFields, decode, decode_head, encode};
use crate::store::head::{Entries, Head};
use crate::store::key::{Key, Parts};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, Versioned, get, plan_put};
use crate::store::sorted::StoreResult;
use crate::store::sql::read::parameters;
use crate::store::sql::step::{Answer, SqlPlan, Step, VersionChange, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::sql::value::SqlType;
use crate::store::{CommitError, Store, StoreError, StoreRead};

use super::settlement::{SettledRecord, settled_amounts};

const SETTLED: StoredFields = StoredFields { table: "settled_dates" };
const LETTER: u8 = b'Z';

pub(in crate::store) struct SettledDates;

impl Table for SettledDates {
    type Row = SettledDate;

    const NAME: &'static str = SETTLED.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "settled dates")];

    fn key(date: &SettledDate) -> Vec<u8> {
        key_of(&date.channel, date.date, date.currency)
    }

    fn encode(date: &SettledDate) -> Vec<u8> {
        settled_bytes(date)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<SettledDate> {
        let mut parts = Parts::of(key);
        let (channel, date, [currency]) = (parts.channel()?, parts.date()?, parts.number()?);
        read_settled(channel, date, SETTLED.currency(currency)?, bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        for unchanged in &writes.unchanged {
            if let ReadGuard::SettledDate { channel, date, currency, version } = unchanged {
                plan.unchanged(key_of(channel, *date, *currency), *version, Self::head);
            }
        }
        plan_put::<Self>(&writes.settled, plan);
    }

    fn sql_steps() -> Vec<Step> {
        let read = [
            ("channel", SqlType::Text),
            ("date", SqlType::Date),
            ("currency", SqlType::Text),
            ("version", SqlType::Bigint),
        ];
        let same = "SELECT u.channel, u.date, u.currency FROM settled_dates t JOIN {rows} \
                    ON t.channel = u.channel AND t.date = u.date AND t.currency = u.currency";
        let mut steps = Vec::from(versioned::<Self>());
        let as_it_was = format!("{same} AND t.version = u.version");
        steps.insert(UNCHANGED, Step::own(&as_it_was, &read, Answer::Held));
        steps.insert(ABSENT, Step::own(same, &read, Answer::Refused));
        steps
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        for unchanged in &writes.unchanged {
            if let ReadGuard::SettledDate { channel, date, currency, version } = unchanged {
                let step = if *version == 0 { ABSENT } else { UNCHANGED };
                plan.add(step, &[&channel.as_str(), date, currency], &[version]);
            }
        }
        let rows = writes.settled.iter().map(|row| (row.version, VersionChange::Put(row)));
        plan.replace::<Self>(ROWS, rows)
    }
}

impl Versioned for SettledDates {
    fn version(date: &SettledDate) -> u32 {
        date.version
    }

    fn head(_key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        let version = decode_head(SETTLED.table, bytes)?;
        Ok(Head { version, entries: Entries::default() })
    }
}

fn key_of(channel: &ChannelId, date: BusinessDate, currency: Currency) -> Vec<u8> {
    Key::of(LETTER).channel(channel).date(date).number([currency.number()]).0
}

const UNCHANGED: usize = 0;
const ABSENT: usize = 1;
const ROWS: usize = 2;

impl SqlTable for SettledDates {
    type Written<'a> = &'a SettledDate;
    type Row = SettledDate;

    sql_columns! {
        row: "settled_dates";
        key { channel: row.channel.as_str(), date: row.date, currency: row.currency, }
        changing {
            version: row.version,
            principal_minor: row.settled.principal_minor,
            fee_minor: row.settled.fee_minor,
            net_minor: row.settled.net_minor,
            settled_by: row.by,
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<SettledDate> {
        Ok(SettledDate {
            version: row.get("version")?,
            channel: row.get("channel")?,
            date: row.get("date")?,
            currency: row.get("currency")?,
            settled: settled_amounts(row)?,
            by: row.get("settled_by")?,
        })
    }
}

impl dyn Store + '_ {
    pub fn settled_date(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        currency: Currency,
    ) -> StoreRead<'_, Option<SettledDate>> {
        if let Some(tables) = self.tables() {
            return tables.one::<SettledDates>(
                "WHERE t.channel = $1 AND t.date = $2 AND t.currency = $3",
                parameters![channel, date, currency],
            );
        }
        self.look(move |rows| get::<SettledDates>(rows, &key_of(&channel, date, currency)))
    }
}

#[derive(Serialize, Deserialize)]
struct DateRecord {
    version: u32,
    settled: SettledRecord,
    by: u64,
}

fn settled_bytes(date: &SettledDate) -> Vec<u8> {
    encode(&DateRecord {
        version: date.version,
        settled: SettledRecord::of(&date.settled),
        by: date.by.as_u64(),
    })
}

fn read_settled(
    channel: ChannelId,
    date: BusinessDate,
    currency: Currency,
    bytes: &[u8],
) -> Result<SettledDate, StoreError> {
    let record: DateRecord = decode(SETTLED.table, bytes)?;
    Ok(SettledDate {
        version: record.version,
        channel,
        date,
        currency,
        settled: record.settled.read(),
        by: SettlementId::from_u64(record.by),
    })
}
