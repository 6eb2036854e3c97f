//! The nodes that share the database: their leases and their work, by the database's clock alone.

use std::sync::atomic::Ordering;

use tokio_postgres::Error;

use crate::domain::cluster::{Incarnation, LEASE, Member, Roster, Work, WorkTrade};
use crate::domain::ids::OrderId;
use crate::domain::time::Timestamp;
use crate::store::form::damaged;
use crate::store::sql::read::{
    STANDS, database_error, field, list_parameter, out_of_reach, parameters,
};
use crate::store::{Cluster, CommitError, StoreError, StoreFuture, StoreRead};

use super::PostgresStore;

const NOW: &str = "SELECT date_trunc('milliseconds', clock_timestamp())";
/// The last that a transaction does to the nodes, so that nobody waits for it for long.
pub(super) const RAISE_EPOCH: &str = "UPDATE cluster_epoch SET epoch = epoch + 1 RETURNING epoch";
const RENEW: &str = "UPDATE nodes SET epoch_seen = greatest(epoch_seen, $4), \
     lease_until = now() + $3::bigint * interval '1 millisecond' \
     WHERE node = $1 AND incarnation = $2 AND fenced_at IS NULL RETURNING incarnation";
const GIVE_UP: &str =
    "DELETE FROM work_leases WHERE name = ANY($3) AND node = $1 AND incarnation = $2";
const ADD: &str = "INSERT INTO work_leases (name, node, incarnation) \
     SELECT name, $1, $2 FROM unnest($3::text[]) AS name ON CONFLICT DO NOTHING";
const MEMBERS: &str = "SELECT node, incarnation, address, \
     date_trunc('milliseconds', coalesce(lease_until, opened_at + interval '30 s')), \
     fenced_at IS NOT NULL, epoch_seen, date_trunc('milliseconds', now()), epoch \
     FROM nodes, cluster_epoch ORDER BY node";
const HOLDERS: &str = "SELECT name, node, incarnation FROM work_leases";
const IN_FLIGHT: &str = "SELECT order_id, attempt FROM in_flight \
     WHERE node = $1 AND incarnation = $2 ORDER BY order_id";
const FENCE: &str = "UPDATE nodes SET fenced_at = now() WHERE node = $1 AND incarnation = $2 \
     AND fenced_at IS NULL AND coalesce(lease_until, opened_at + interval '30 s') < now()";
/// One after the other: each waits for the group that is under way, and shuts out every later one.
const SHUT_OUT: &str =
    "UPDATE writers SET incarnation = incarnation + 1 WHERE node = $1 AND writer = $2";
const LEAVE: &str = "UPDATE nodes SET fenced_at = now() WHERE node = $1 AND incarnation = $2 \
     AND fenced_at IS NULL";
const LAY_DOWN: &str = "DELETE FROM work_leases WHERE node = $1 AND incarnation = $2";

fn incarnation(values: &[Option<&[u8]>], place: usize) -> Result<Incarnation, StoreError> {
    Ok(Incarnation { node: field(values, place)?, number: field(values, place + 1)? })
}

impl PostgresStore {
    fn me(&self) -> (u16, u64) {
        let Incarnation { node, number } = self.incarnation();
        (node, number)
    }

    async fn renew_lease(&self, epoch: u64, trade: &WorkTrade) -> Result<Roster, CommitError> {
        if let Some(ended) = self.shared.ended() {
            return Err(ended);
        }
        let (node, number) = self.me();
        let millis = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        let renewal = parameters![node, number, millis, epoch];
        let renewed = self.tables.query(RENEW, renewal, |_| Ok(())).await;
        if renewed.map_err(CommitError::Unavailable)?.is_empty() {
            self.shared.fenced.store(true, Ordering::Release);
            return Err(CommitError::Fenced);
        }
        self.carry_out(trade).await.map_err(CommitError::Unavailable)
    }

    async fn carry_out(&self, trade: &WorkTrade) -> Result<Roster, StoreError> {
        let (node, number) = self.me();
        let take_over = format!(
            "UPDATE work_leases h SET node = $1, incarnation = $2 \
             WHERE name = ANY($3) AND NOT {STANDS}"
        );
        for (sql, work) in
            [(GIVE_UP, &trade.give_up), (&*take_over, &trade.take), (ADD, &trade.take)]
        {
            if work.is_empty() {
                continue;
            }
            let names = list_parameter(work.iter().map(Work::to_string).collect::<Vec<_>>());
            let mut parameters = parameters![node, number];
            parameters.push(names);
            self.tables.query(sql, parameters, |_| Ok(())).await?;
        }
        let held = |values: Vec<Option<&[u8]>>| {
            let name: String = field(&values, 0)?;
            // A part of the work that this version does not know is another one's.
            Ok((name.parse::<Work>().ok(), incarnation(&values, 1)?))
        };
        let holders = self.tables.query(HOLDERS, Vec::new(), held).await?;
        let member = |values: Vec<Option<&[u8]>>| {
            let member = Member {
                incarnation: incarnation(&values, 0)?,
                address: field(&values, 2)?,
                lease_until: field(&values, 3)?,
                is_fenced: field(&values, 4)?,
                epoch_seen: field(&values, 5)?,
            };
            Ok((member, field::<Timestamp>(&values, 6)?, field::<u64>(&values, 7)?))
        };
        let members = self.tables.query(MEMBERS, Vec::new(), member).await?;
        let moment = members.first().map(|(_, now, epoch)| (*now, *epoch));
        let (now, epoch) = moment.ok_or_else(|| damaged("nodes", "it is empty"))?;
        Ok(Roster {
            now,
            epoch,
            members: members.into_iter().map(|(member, ..)| member).collect(),
            holders: holders.into_iter().filter_map(|(work, one)| Some((work?, one))).collect(),
        })
    }

    async fn fence_node(&self, dead: Incarnation) -> Result<bool, CommitError> {
        let away = |error: &Error| CommitError::Unavailable(out_of_reach(database_error(error)));
        let link = self.shared.connector.link().await.map_err(|error| away(&error))?;
        let mut client = link.client;
        let fenced = async {
            let (node, number) = (i32::from(dead.node), dead.number.cast_signed());
            let transaction = client.transaction().await?;
            if transaction.execute(FENCE, &[&node, &number]).await? == 0 {
                return Ok(false);
            }
            let writers = "SELECT writer FROM writers WHERE node = $1 ORDER BY writer";
            for row in transaction.query(writers, &[&node]).await? {
                let writer: i32 = row.try_get(0)?;
                transaction.execute(SHUT_OUT, &[&node, &writer]).await?;
            }
            transaction.execute(RAISE_EPOCH, &[]).await?;
            transaction.commit().await?;
            Ok(true)
        };
        fenced.await.map_err(|error: Error| away(&error))
    }
}

impl Cluster for PostgresStore {
    fn incarnation(&self) -> Incarnation {
        let node = u16::try_from(self.shared.node).unwrap_or(u16::MAX);
        Incarnation { node, number: self.shared.incarnation.cast_unsigned() }
    }

    fn now(&self) -> StoreRead<'_, Timestamp> {
        Box::pin(async move {
            let moments = self.tables.query(NOW, Vec::new(), |values| field(&values, 0)).await?;
            moments.first().copied().ok_or_else(|| damaged("nodes", "it has no clock"))
        })
    }

    fn renew<'a>(
        &'a self,
        epoch: u64,
        trade: &'a WorkTrade,
    ) -> StoreFuture<'a, Result<Roster, CommitError>> {
        Box::pin(self.renew_lease(epoch, trade))
    }

    fn fence(&self, dead: Incarnation) -> StoreFuture<'_, Result<bool, CommitError>> {
        Box::pin(self.fence_node(dead))
    }

    fn in_flight(&self) -> StoreRead<'_, Vec<(OrderId, u8)>> {
        Box::pin(async move {
            let (node, number) = self.me();
            let read = |values: Vec<Option<&[u8]>>| Ok((field(&values, 0)?, field(&values, 1)?));
            self.tables.query(IN_FLIGHT, parameters![node, number], read).await
        })
    }

    fn leave(&self) -> StoreFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let away =
                |error: &Error| CommitError::Unavailable(out_of_reach(database_error(error)));
            let link = self.shared.connector.link().await.map_err(|error| away(&error))?;
            let mut client = link.client;
            let left = async {
                let Incarnation { node, number } = self.incarnation();
                let (node, number) = (i32::from(node), number.cast_signed());
                let transaction = client.transaction().await?;
                transaction.execute(LAY_DOWN, &[&node, &number]).await?;
                if transaction.execute(LEAVE, &[&node, &number]).await? > 0 {
                    transaction.execute(RAISE_EPOCH, &[]).await?;
                }
                transaction.commit().await
            };
            left.await.map_err(|error: Error| away(&error))
        })
    }
}
