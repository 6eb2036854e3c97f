//! The files that all nodes of the database share: the versions of their settings, the
//! statements that have landed, and the keys that links' sign-ons have brought.

use std::sync::Arc;

use tokio_postgres::{Client, Error};

use crate::domain::books::statement::LandedFile;
use crate::domain::card::SealedPan;
use crate::domain::cluster::{
    ACTIVE_AFTER, Incarnation, LoadReport, Publication, SettingHistory, SettingKind, SettingVersion,
};
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::form::damaged;
use crate::store::sql::read::{
    Parameter, Tables, database_error, field, out_of_reach, parameter, parameters,
};
use crate::store::{ClusterState, PublishError, StoreError, StoreFuture, StoreRead};

use super::PostgresSettings;
use super::connect::Connector;
use super::loss::write_audit;
use super::open::check_schema;
use super::statements;

const NOW: &str = "SELECT date_trunc('milliseconds', now())";
/// BIN tables are large, and most nodes have them.
const AFTER: &str = "SELECT kind, name, version, active_at, sha256, \
     CASE WHEN kind = 'bin_table' THEN ''::bytea ELSE body END, note, made_by, reason \
     FROM setting_versions WHERE version > $1 ORDER BY version";
const BODY: &str =
    "SELECT body FROM setting_versions WHERE kind = $1 AND name = $2 AND version = $3";
/// Whoever publishes holds the head until its end.
const RAISE: &str = "UPDATE setting_head SET last = $2::bigint WHERE last = $1::bigint";
const INSERT: &str = "INSERT INTO setting_versions \
     (kind, name, version, active_at, sha256, body, note, made_by, reason) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const ACTIVE_AT: &str = "SELECT date_trunc('milliseconds', now()) \
     + $1::bigint * interval '1 millisecond'";
const KEEP_KEY: &str = "INSERT INTO link_keys \
     (channel, terminal, sealed_key, sealed_nonce, sealed, signed_on_at) \
     VALUES ($1, $2, $3, $4, $5, now()) ON CONFLICT (channel, terminal) DO UPDATE SET \
     sealed_key = excluded.sealed_key, sealed_nonce = excluded.sealed_nonce, \
     sealed = excluded.sealed, signed_on_at = excluded.signed_on_at";
const KEYS: &str = "SELECT terminal, sealed_key, sealed_nonce, sealed FROM link_keys \
     WHERE channel = $1 ORDER BY terminal";
const LOADED: &str = "UPDATE nodes SET loaded = $3, load_problem = $4 \
     WHERE node = $1 AND incarnation = $2";
const REPORTS: &str = "SELECT node, incarnation, address, loaded, load_problem FROM nodes \
     WHERE fenced_at IS NULL AND lease_until >= now() ORDER BY node";

/// The shared files in a database. To work with them takes no place among its nodes.
#[derive(Clone)]
pub struct PostgresState {
    tables: Arc<Tables>,
    connector: Connector,
}

impl PostgresState {
    /// For commands beside the nodes, which have made the tables.
    pub async fn open(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let connector = Connector::new(settings)?;
        check_schema(&connector).await?;
        let tables = Arc::new(Tables::new(connector.pool(1)?));
        Ok(Self { tables, connector })
    }

    pub(super) const fn of(tables: Arc<Tables>, connector: Connector) -> Self {
        Self { tables, connector }
    }

    async fn client(&self) -> Result<Client, StoreError> {
        let link = self.connector.link().await;
        Ok(link.map_err(|error| out_of_reach(database_error(&error)))?.client)
    }

    async fn publish_version(&self, new: &Publication) -> Result<(u64, Timestamp), PublishError> {
        let away = |error: Error| out_of_reach(database_error(&error));
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(away)?;
        let version = new.after + 1;
        let head = [parameter(new.after), parameter(version)];
        let raised = transaction.execute(RAISE, &[&head[0], &head[1]]).await.map_err(away)?;
        if raised == 0 {
            return Err(PublishError::Overtaken);
        }
        let ahead = parameter(u64::try_from(ACTIVE_AFTER.as_millis()).unwrap_or(u64::MAX));
        let row = transaction.query_one(ACTIVE_AT, &[&ahead]).await.map_err(away)?;
        let active_at: Timestamp = field(&crate::store::sql::read::fields_of(&row), 0)?;
        let row = SettingVersion::of(new, active_at);
        let written = async {
            insert(&transaction, &row).await?;
            write_audit(&transaction, &new.audit_entry()).await?;
            transaction.commit().await
        };
        written.await.map_err(away)?;
        Ok((version, active_at))
    }

    async fn seed_versions(&self, first: &SettingHistory) -> Result<(), StoreError> {
        let away = |error: Error| out_of_reach(database_error(&error));
        let mut client = self.client().await?;
        let seeded = async {
            let transaction = client.transaction().await?;
            let head = [parameter(0_u64), parameter(first.last())];
            if transaction.execute(RAISE, &[&head[0], &head[1]]).await? == 0 {
                return Ok(());
            }
            for version in first.versions() {
                insert(&transaction, version).await?;
            }
            transaction.commit().await
        };
        seeded.await.map_err(away)
    }
}

async fn insert(
    transaction: &tokio_postgres::Transaction<'_>,
    row: &SettingVersion,
) -> Result<(), Error> {
    let [kind, name, version, active_at, sha256, body, note, made_by, reason] = [
        parameter(row.kind.name()),
        parameter(row.name.as_str()),
        parameter(row.version),
        parameter(row.active_at),
        parameter(row.sha256.as_str()),
        parameter(row.body.as_slice()),
        parameter(row.note.as_str()),
        parameter(row.made_by.as_str()),
        parameter(row.reason.as_str()),
    ];
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
        [&kind, &name, &version, &active_at, &sha256, &body, &note, &made_by, &reason];
    transaction.execute(INSERT, &values).await.map(|_| ())
}

fn version_of(values: &[Option<&[u8]>]) -> Result<SettingVersion, StoreError> {
    let kind: String = field(values, 0)?;
    let kind = SettingKind::parse(&kind);
    Ok(SettingVersion {
        kind: kind.ok_or_else(|| damaged("setting_versions", "a kind is none of ours"))?,
        name: field(values, 1)?,
        version: field(values, 2)?,
        active_at: field(values, 3)?,
        sha256: field(values, 4)?,
        body: field(values, 5)?,
        note: field(values, 6)?,
        made_by: field(values, 7)?,
        reason: field(values, 8)?,
    })
}

impl ClusterState for PostgresState {
    fn settings_after(&self, version: u64) -> StoreRead<'_, (Vec<SettingVersion>, Timestamp)> {
        Box::pin(async move {
            // The moment is not later than what is listed: nothing is active that is not seen.
            let now = self.tables.query(NOW, Vec::new(), |values| field(&values, 0)).await?;
            let now = now.into_iter().next().ok_or_else(|| damaged("now", "it is nothing"))?;
            let read = |values: Vec<Option<&[u8]>>| version_of(&values);
            Ok((self.tables.query(AFTER, parameters![version], read).await?, now))
        })
    }

    fn setting_body<'a>(
        &'a self,
        kind: SettingKind,
        name: &'a str,
        version: u64,
    ) -> StoreRead<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let key: Vec<Parameter> = parameters![kind.name(), name, version];
            Ok(self.tables.query(BODY, key, |values| field(&values, 0)).await?.pop())
        })
    }

    fn publish<'a>(
        &'a self,
        publication: &'a Publication,
    ) -> StoreFuture<'a, Result<(u64, Timestamp), PublishError>> {
        Box::pin(self.publish_version(publication))
    }

    fn seed<'a>(&'a self, first: &'a SettingHistory) -> StoreFuture<'a, Result<(), StoreError>> {
        Box::pin(self.seed_versions(first))
    }

    fn report_loaded<'a>(
        &'a self,
        who: Incarnation,
        loaded: u64,
        problem: &'a str,
    ) -> StoreFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let told = parameters![who.node, who.number, loaded, problem];
            self.tables.query(LOADED, told, |_| Ok(())).await.map(|_| ())
        })
    }

    fn statement_files<'a>(&'a self, channel: &'a ChannelId) -> StoreRead<'a, Vec<LandedFile>> {
        Box::pin(statements::files(&self.tables, channel))
    }

    fn keep_part<'a>(
        &'a self,
        sha256: &'a str,
        part: u32,
        body: &'a [u8],
    ) -> StoreFuture<'a, Result<(), StoreError>> {
        Box::pin(statements::keep_part(&self.tables, sha256, part, body))
    }

    fn statement_part<'a>(&'a self, sha256: &'a str, part: u32) -> StoreRead<'a, Option<Vec<u8>>> {
        Box::pin(statements::part(&self.tables, sha256, part))
    }

    fn land_statement<'a>(
        &'a self,
        file: &'a LandedFile,
    ) -> StoreFuture<'a, Result<bool, StoreError>> {
        Box::pin(statements::land(&self.tables, file))
    }

    fn refuse_statement<'a>(
        &'a self,
        channel: &'a ChannelId,
        date: BusinessDate,
        sha256: &'a str,
        problem: &'a str,
    ) -> StoreFuture<'a, Result<(), StoreError>> {
        Box::pin(statements::refuse(&self.tables, (channel, date, sha256), problem))
    }

    fn keep_link_key<'a>(
        &'a self,
        channel: &'a ChannelId,
        terminal: &'a str,
        sealed: &'a SealedPan,
    ) -> StoreFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let SealedPan { key_id, nonce, bytes } = sealed;
            let (nonce, bytes) = (nonce.as_slice(), bytes.as_slice());
            let row = parameters![channel.as_str(), terminal, key_id.as_str(), nonce, bytes];
            self.tables.query(KEEP_KEY, row, |_| Ok(())).await.map(|_| ())
        })
    }

    fn link_keys<'a>(&'a self, channel: &'a ChannelId) -> StoreRead<'a, Vec<(String, SealedPan)>> {
        Box::pin(async move {
            let read = |values: Vec<Option<&[u8]>>| {
                let nonce: Vec<u8> = field(&values, 2)?;
                let nonce = nonce.try_into();
                let nonce = nonce.map_err(|_| damaged("link_keys", "a nonce is no nonce"))?;
                let sealed =
                    SealedPan { key_id: field(&values, 1)?, nonce, bytes: field(&values, 3)? };
                Ok((field(&values, 0)?, sealed))
            };
            self.tables.query(KEYS, parameters![channel.as_str()], read).await
        })
    }

    fn load_reports(&self) -> StoreRead<'_, Vec<LoadReport>> {
        Box::pin(async move {
            let read = |values: Vec<Option<&[u8]>>| {
                Ok(LoadReport {
                    incarnation: Incarnation {
                        node: field(&values, 0)?,
                        number: field(&values, 1)?,
                    },
                    address: field(&values, 2)?,
                    loaded: field(&values, 3)?,
                    problem: field(&values, 4)?,
                })
            };
            self.tables.query(REPORTS, Vec::new(), read).await
        })
    }
}
