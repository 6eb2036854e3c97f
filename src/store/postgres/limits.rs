//! The limits that nodes share: one statement each, so that the row's lock puts all nodes in order.

use crate::domain::attempt::VolumeKind;
use crate::domain::cluster::ChannelStandings;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::sql::read::{field, parameters};
use crate::store::{SharedLimits, StoreError, StoreRead};

use super::PostgresStore;

const CHANGE_VOLUME: &str = "UPDATE channel_volumes \
     SET used_minor = greatest(used_minor + $4::bigint, 0) \
     WHERE channel = $1 AND kind = $2 AND date = $3 \
     AND ($4::bigint <= 0 OR $5::bigint IS NULL OR used_minor <= $5::bigint - $4::bigint) \
     RETURNING used_minor";
const BEGIN_VOLUME: &str = "INSERT INTO channel_volumes (channel, kind, date, used_minor) \
     SELECT $1::text, $2::text, $3::date, greatest($4::bigint, 0) \
     WHERE $4::bigint <= 0 OR $5::bigint IS NULL OR $4::bigint <= $5::bigint \
     ON CONFLICT DO NOTHING RETURNING used_minor";
const SET_BREAKER: &str = "INSERT INTO channel_breakers (channel, open_until) VALUES ($1, $2) \
     ON CONFLICT (channel) DO UPDATE SET open_until = $2";
const CLAIM_PROBE: &str = "INSERT INTO channel_breakers AS b (channel, open_until) VALUES ($1, $3) \
     ON CONFLICT (channel) DO UPDATE SET open_until = $3 WHERE b.open_until <= $2 \
     RETURNING channel";
const SWITCH_ON: &str = "DELETE FROM channels_off WHERE channel = $1";
pub(super) const SWITCH_OFF: &str =
    "INSERT INTO channels_off (channel) VALUES ($1) ON CONFLICT DO NOTHING";
/// Days of late: clearing days end at other hours than the database's.
const VOLUMES: &str = "SELECT channel, kind, date, used_minor FROM channel_volumes \
     WHERE date >= current_date - 2";
const BREAKERS: &str = "SELECT channel, open_until FROM channel_breakers";
pub(super) const OFF: &str = "SELECT channel FROM channels_off";

impl PostgresStore {
    async fn change_day(
        &self,
        channel: &ChannelId,
        kind: VolumeKind,
        date: BusinessDate,
        minor: i64,
        limit: Option<i64>,
    ) -> Result<Option<i64>, StoreError> {
        // The row is there but for a day's first change, which two nodes may make at once.
        for sql in [CHANGE_VOLUME, BEGIN_VOLUME, CHANGE_VOLUME] {
            let change = parameters![channel.as_str(), kind.name(), date, minor, limit];
            let sum = |values: Vec<Option<&[u8]>>| field::<i64>(&values, 0);
            if let [sum] = self.tables.query(sql, change, sum).await?[..] {
                return Ok(Some(sum));
            }
        }
        Ok(None)
    }

    async fn read_standings(&self) -> Result<ChannelStandings, StoreError> {
        let volume = |values: Vec<Option<&[u8]>>| {
            let day = (field(&values, 0)?, field(&values, 1)?, field(&values, 2)?);
            Ok((day, field(&values, 3)?))
        };
        let breaker = |values: Vec<Option<&[u8]>>| Ok((field(&values, 0)?, field(&values, 1)?));
        let off = |values: Vec<Option<&[u8]>>| field(&values, 0);
        Ok(ChannelStandings {
            volumes: self.tables.query(VOLUMES, Vec::new(), volume).await?.into_iter().collect(),
            breakers: self.tables.query(BREAKERS, Vec::new(), breaker).await?.into_iter().collect(),
            off: self.tables.query(OFF, Vec::new(), off).await?.into_iter().collect(),
        })
    }
}

impl SharedLimits for PostgresStore {
    fn change_volume<'a>(
        &'a self,
        channel: &'a ChannelId,
        kind: VolumeKind,
        date: BusinessDate,
        minor: i64,
        limit: Option<i64>,
    ) -> StoreRead<'a, Option<i64>> {
        Box::pin(self.change_day(channel, kind, date, minor, limit))
    }

    fn set_breaker<'a>(
        &'a self,
        channel: &'a ChannelId,
        open_until: Option<Timestamp>,
    ) -> StoreRead<'a, ()> {
        Box::pin(async move {
            let breaker = parameters![channel.as_str(), open_until];
            self.tables.query(SET_BREAKER, breaker, |_| Ok(())).await.map(drop)
        })
    }

    fn claim_probe<'a>(
        &'a self,
        channel: &'a ChannelId,
        now: Timestamp,
        next: Timestamp,
    ) -> StoreRead<'a, bool> {
        Box::pin(async move {
            let claim = parameters![channel.as_str(), now, next];
            let claimed = self.tables.query(CLAIM_PROBE, claim, |_| Ok(())).await?;
            Ok(!claimed.is_empty())
        })
    }

    fn throw_switch<'a>(&'a self, channel: &'a ChannelId, on: bool) -> StoreRead<'a, ()> {
        Box::pin(async move {
            let sql = if on { SWITCH_ON } else { SWITCH_OFF };
            self.tables.query(sql, parameters![channel.as_str()], |_| Ok(())).await.map(drop)
        })
    }

    fn standings(&self) -> StoreRead<'_, ChannelStandings> {
        Box::pin(self.read_standings())
    }
}
