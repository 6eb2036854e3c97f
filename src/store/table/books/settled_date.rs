//! What is settled of dates, by channel, date and currency.

use serde::{Deserialize, Serialize};

use crate::domain::books::settlement::SettledDate;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{ChannelId, SettlementId};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{ReadGuard, WriteSet};
use crate::store::form::{StoredFields, decode, decode_head, encode};
use crate::store::key::{Key, Parts};
use crate::store::plan::CommitPlan;
use crate::store::row::{Entries, Head, Table, Versioned, get, plan_put};
use crate::store::sorted::StoreResult;
use crate::store::{Store, StoreError, StoreRead};

use super::settlement::SettledRecord;

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

    fn reads_head(key: &[u8], bytes: &[u8]) -> StoreResult<()> {
        Self::head(key, bytes).map(drop)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        for unchanged in &writes.unchanged {
            if let ReadGuard::SettledDate { channel, date, currency, version } = unchanged {
                plan.unchanged(key_of(channel, *date, *currency), *version, Self::head);
            }
        }
        plan_put::<Self>(&writes.settled, plan);
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

impl dyn Store + '_ {
    pub fn settled_date(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        currency: Currency,
    ) -> StoreRead<'_, Option<SettledDate>> {
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
