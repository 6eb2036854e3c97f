//! How far each channel's clearing days are shut, and closed.

use std::collections::BTreeMap;

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
use crate::store::sql::read::parameters;
use crate::store::sql::step::{Answer, SqlPlan, Step};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::sql::value::SqlType;
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

    fn sql_steps() -> Vec<Step> {
        let record = [("channel", SqlType::Text), ("date", SqlType::Date)];
        let open = "SELECT u.channel, u.date FROM clearing_days t JOIN {rows} \
                    ON t.channel = u.channel WHERE t.shut_through >= u.date";
        let days = [
            ("channel", SqlType::Text),
            ("from_day", SqlType::Date),
            ("shut", SqlType::Date),
            ("closed", SqlType::Date),
        ];
        let row = "INSERT INTO clearing_days (channel) SELECT u.channel FROM {rows} \
                   ON CONFLICT DO NOTHING";
        let on = "UPDATE clearing_days t SET shut_through = greatest(t.shut_through, u.shut), \
                  closed_through = coalesce(u.closed, t.closed_through) FROM {rows} \
                  WHERE t.channel = u.channel \
                  AND (t.closed_through IS NULL OR t.closed_through < u.from_day) \
                  RETURNING t.channel";
        vec![
            Step::own(open, &record, Answer::Refused),
            Step::own(row, &record[..1], Answer::Nothing),
            Step::own(on, &days, Answer::Held),
        ]
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        plan_days(writes, plan)
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

const STILL_OPEN: usize = 0;
const ROW: usize = 1;
const MOVED_ON: usize = 2;

impl SqlTable for ShutDays {
    type Written<'a> = &'a (ChannelId, ClearingDays);
    type Row = (ChannelId, ClearingDays);

    sql_columns! {
        row: "clearing_days";
        key { channel: row.0.as_str(), }
        changing { closed_through: row.1.closed_through, shut_through: row.1.shut_through, }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<(ChannelId, ClearingDays)> {
        let days = ClearingDays {
            closed_through: row.get("closed_through")?,
            shut_through: row.get("shut_through")?,
        };
        Ok((row.get("channel")?, days))
    }
}

/// What a write set does to a channel's days.
#[derive(Default)]
struct DaysMoved {
    /// The first day that it shuts or closes: it must be behind the last closed one.
    first: Option<BusinessDate>,
    shut: Option<BusinessDate>,
    closed: Option<BusinessDate>,
}

impl DaysMoved {
    fn note(&mut self, date: BusinessDate) {
        self.first = Some(self.first.map_or(date, |first| first.min(date)));
        self.shut = self.shut.max(Some(date));
    }
}

/// The days that are shut and closed, and those that must still be open for a record: from the
/// earliest of its records' dates on, a channel's days are.
fn plan_days(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
    let mut moved: BTreeMap<&ChannelId, DaysMoved> = BTreeMap::new();
    for (channel, date) in &writes.shut {
        moved.entry(channel).or_default().note(*date);
    }
    for close in &writes.closes {
        let days = moved.entry(&close.channel).or_default();
        if days.closed >= Some(close.date) {
            return Err(CommitError::Conflict);
        }
        days.note(close.date);
        days.closed = Some(close.date);
    }
    let mut first: BTreeMap<&ChannelId, BusinessDate> = BTreeMap::new();
    for record in &writes.clearing {
        let date = first.entry(&record.channel).or_insert(record.date);
        *date = record.date.min(*date);
    }
    for (channel, date) in first {
        if moved.get(channel).is_some_and(|days| days.shut >= Some(date)) {
            return Err(CommitError::Conflict);
        }
        plan.add(STILL_OPEN, &[&channel.as_str(), &date], &[]);
    }
    plan.shuts = !moved.is_empty();
    for (channel, DaysMoved { first, shut, closed }) in moved {
        plan.touch("clearing_days", channel.as_str().as_bytes());
        plan.add(ROW, &[&channel.as_str()], &[]);
        plan.add(MOVED_ON, &[&channel.as_str()], &[&first, &shut, &closed]);
    }
    Ok(())
}

impl dyn Store + '_ {
    /// How far a channel's clearing days are shut, and closed.
    pub fn clearing_days(&self, channel: ChannelId) -> StoreRead<'_, ClearingDays> {
        if let Some(tables) = self.tables() {
            return Box::pin(async move {
                let found = tables.one::<ShutDays>("WHERE t.channel = $1", parameters![channel]);
                Ok(found.await?.map(|(_, days)| days).unwrap_or_default())
            });
        }
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
