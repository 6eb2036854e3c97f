//! How far each channel's clearing days are shut, and closed.

use serde::{Deserialize, Serialize};

use crate::domain::books::day_close::ClearingDays;
use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, encode};
use crate::store::key::{Key, Parts};
use crate::store::plan::{CommitPlan, PlanCheck};
use crate::store::row::{Table, get};
use crate::store::sorted::StoreResult;
use crate::store::{CommitError, Store, StoreRead};

const DAYS: StoredFields = StoredFields { table: "clearing_days" };
const LETTER: u8 = b'd';

pub(in crate::store) struct ShutDays;

impl Table for ShutDays {
    type Row = (ChannelId, ClearingDays);

    const NAME: &'static str = DAYS.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "last days of channels")];

    fn key((channel, _): &(ChannelId, ClearingDays)) -> Vec<u8> {
        key_of(channel)
    }

    fn encode((_, days): &(ChannelId, ClearingDays)) -> Vec<u8> {
        days_bytes(*days)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<(ChannelId, ClearingDays)> {
        Ok((Parts::of(key).channel()?, read_days(bytes)?))
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        for (channel, date) in &writes.shut {
            move_on(channel, *date, plan, |days, date| ClearingDays {
                shut_through: days.shut_through.max(Some(date)),
                ..days
            });
        }
    }
}

/// Closes a day, which must be behind the last closed one.
pub(super) fn plan_close(channel: &ChannelId, date: BusinessDate, plan: &mut CommitPlan) {
    move_on(channel, date, plan, |days, date| ClearingDays {
        closed_through: Some(date),
        shut_through: days.shut_through.max(Some(date)),
    });
}

fn move_on(
    channel: &ChannelId,
    date: BusinessDate,
    plan: &mut CommitPlan,
    on: fn(ClearingDays, BusinessDate) -> ClearingDays,
) {
    let key = key_of(channel);
    plan.own(move |check| {
        let days = find(check, &key)?;
        if days.closed_through >= Some(date) {
            return Err(CommitError::Conflict);
        }
        check.write(key, days_bytes(on(days, date)));
        Ok(())
    });
}

/// Guards that a channel's day, and so all later ones, still take clearing records.
pub(in crate::store::table) fn plan_open(
    channel: &ChannelId,
    date: BusinessDate,
    plan: &mut CommitPlan,
) {
    let key = key_of(channel);
    plan.own(move |check| {
        let is_shut = find(check, &key)?.shut_through >= Some(date);
        if is_shut { Err(CommitError::Conflict) } else { Ok(()) }
    });
}

fn find(check: &PlanCheck<'_>, key: &[u8]) -> Result<ClearingDays, CommitError> {
    let days = check.find(key)?.map(|row| read_days(&row)).transpose();
    days.map(Option::unwrap_or_default).map_err(CommitError::Failed)
}

fn key_of(channel: &ChannelId) -> Vec<u8> {
    Key::of(LETTER).channel(channel).0
}

impl dyn Store + '_ {
    /// How far a channel's clearing days are shut, and closed.
    pub fn clearing_days(&self, channel: ChannelId) -> StoreRead<'_, ClearingDays> {
        self.look(move |rows| {
            let days = get::<ShutDays>(rows, &key_of(&channel))?;
            Ok(days.map(|(_, days)| days).unwrap_or_default())
        })
    }
}

#[derive(Serialize, Deserialize)]
struct DaysRecord {
    closed_through: Option<u32>,
    shut_through: Option<u32>,
}

fn days_bytes(days: ClearingDays) -> Vec<u8> {
    encode(&DaysRecord {
        closed_through: days.closed_through.map(|date| date.yyyymmdd()),
        shut_through: days.shut_through.map(|date| date.yyyymmdd()),
    })
}

fn read_days(bytes: &[u8]) -> StoreResult<ClearingDays> {
    let record: DaysRecord = decode(DAYS.table, bytes)?;
    let date = |stored: Option<u32>| stored.map(|date| DAYS.date(date)).transpose();
    Ok(ClearingDays {
        closed_through: date(record.closed_through)?,
        shut_through: date(record.shut_through)?,
    })
}
