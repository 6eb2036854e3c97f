//! The database as one side of a move of the books: nobody else works on it then.
//!
//! A page of rows and the key behind which the next one begins are one transaction. What follows
//! from rows (which reconciliation is current, whose a receipt is) is made of them at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::write_set::{AuditEntry, WriteSet};
use crate::store::row::StoredRow;
use crate::store::sql::read::{Tables, field, parameter};
use crate::store::whole::{GivenNumbers, MoveMark, MoveRole, already_there, kinds, table_of};
use crate::store::{CommitError, RowQuery, Store, StoreError, StoreFuture, StoreRead};

use super::PostgresSettings;
use super::connect::{Connector, DatabaseLink};
use super::limits::{OFF, SWITCH_OFF};
use super::mark::{GATE, MARK, NO_MARK, broken, read_mark, set_mark};
use super::tokens::TokenFile;
use super::{group, loss, open};

const STANDING: &str = "SELECT node, address FROM nodes WHERE fenced_at IS NULL \
     AND lease_until >= now() ORDER BY node LIMIT 1";
/// A process that stands still on the books writes nothing any more.
const SHUT_OUT: [&str; 2] = [
    "UPDATE nodes SET incarnation = incarnation + 1, fenced_at = now()",
    "UPDATE writers SET incarnation = incarnation + 1",
];
const NUMBERS: &str = "INSERT INTO order_numbers (yymmdd, node, given) VALUES ($1, $2, $3) \
     ON CONFLICT (yymmdd, node) DO UPDATE SET given = greatest(order_numbers.given, $3)";
const AUDIT_HEAD: &str =
    "UPDATE audit_head SET next = (SELECT coalesce(max(place), 0) + 1 FROM audit)";
const CONNECTIONS: usize = 1;

/// Books in a database that no node works on.
pub struct DatabaseBooks {
    connector: Connector,
    tables: Tables,
    node: i32,
    tokens: Option<TokenFile>,
}

impl DatabaseBooks {
    /// Connects to the database, and makes the tables in an empty one.
    ///
    /// # Errors
    /// As opening the store, for the same reasons.
    pub async fn connect(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let connector = Connector::new(settings)?;
        open::prepare(&connector).await?;
        let tables = Tables::patient(connector.pool(CONNECTIONS)?);
        let tokens = settings.folder.as_deref();
        let tokens = tokens.map(|folder| TokenFile::of(settings.node, folder));
        Ok(Self { connector, tables, node: settings.node.into(), tokens })
    }

    /// The books as they are at this moment, beside nodes that work on them. They can only be read.
    ///
    /// # Errors
    /// If the database cannot be reached, or has no books.
    pub async fn snapshot(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let connector = Connector::new(settings)?;
        open::check_schema(&connector).await?;
        let tables = Tables::patient(connector.snapshot()?);
        Ok(Self { connector, tables, node: settings.node.into(), tokens: None })
    }

    async fn link(&self) -> Result<DatabaseLink, StoreError> {
        self.connector.link().await.map_err(|error| broken(&error))
    }

    /// The mark of a move that was begun here.
    pub async fn mark(&self) -> Result<Option<MoveMark>, StoreError> {
        Ok(self.tables.query(MARK, Vec::new(), |values| read_mark(&values)).await?.pop())
    }

    /// Refuses books that have lost what was acknowledged of them: a place without that memory
    /// would give out order numbers again that channels have seen.
    pub async fn check_has_all(&self) -> Result<(), StoreError> {
        let mut link = self.link().await?;
        let transaction = link.client.transaction().await.map_err(|error| broken(&error))?;
        open::check_has_all(&transaction, self.node, self.tokens.as_ref()).await.map(drop)
    }

    /// Marks the books, so that no node opens them, unless one works on them. What goes from here
    /// gets a line of the audit trail with it.
    pub async fn begin(&self, mark: &MoveMark, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut link = self.link().await?;
        let begun = async {
            let transaction = link.client.transaction().await?;
            transaction.execute(GATE, &[]).await?;
            transaction.execute("SELECT 1 FROM nodes ORDER BY node FOR UPDATE", &[]).await?;
            if let Some(node) = transaction.query_opt(STANDING, &[]).await? {
                return Ok(Some((node.try_get::<_, i32>(0)?, node.try_get::<_, String>(1)?)));
            }
            for sql in SHUT_OUT {
                transaction.execute(sql, &[]).await?;
            }
            set_mark(&transaction, mark).await?;
            if mark.role == MoveRole::Source {
                loss::write_audit(&transaction, entry).await?;
            }
            transaction.commit().await?;
            Ok(None)
        };
        match begun.await.map_err(|error: Error| broken(&error))? {
            None => Ok(()),
            Some((node, address)) => Err(StoreError::Backend {
                context: "the books are not at rest",
                detail: format!("node {node} at {address} works on them; stop it first"),
            }),
        }
    }

    /// Replaces the mark, or takes it away.
    pub async fn set_mark(&self, mark: Option<&MoveMark>) -> Result<(), StoreError> {
        let mut link = self.link().await?;
        let done = async {
            let transaction = link.client.transaction().await?;
            match mark {
                Some(mark) => set_mark(&transaction, mark).await?,
                None => drop(transaction.execute(NO_MARK, &[]).await?),
            }
            transaction.commit().await
        };
        done.await.map_err(|error: Error| broken(&error))
    }

    /// Adds rows as they are, and replaces the mark in the same transaction.
    pub async fn add_whole(
        &self,
        kind: usize,
        rows: &[StoredRow],
        mark: &MoveMark,
    ) -> Result<(), StoreError> {
        let plan = (table_of(kind).plan_whole)(rows)?;
        let steps = (table_of(kind).whole_steps)();
        let group = group::gather(&steps, &[&plan]);
        let mut link = self.link().await?;
        let added = async {
            let transaction = link.client.transaction().await?;
            let mut are_new = true;
            for step in &group {
                let parameters: Vec<&(dyn ToSql + Sync)> =
                    step.parameters.iter().map(|one| one as &(dyn ToSql + Sync)).collect();
                let written = transaction.query(&*steps[step.step].sql, &parameters).await?;
                are_new &= written.len() == step.rows();
            }
            if are_new {
                set_mark(&transaction, mark).await?;
                transaction.commit().await?;
            }
            Ok(are_new)
        };
        match added.await.map_err(|error: Error| broken(&error))? {
            true => Ok(()),
            false => Err(already_there(kind)),
        }
    }

    /// Makes what follows from the rows, passes over order numbers, and keeps the prints of the
    /// keys that the rows were made with.
    pub async fn complete(
        &self,
        numbers: &[GivenNumbers],
        key_prints: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        let mut link = self.link().await?;
        let completed = async {
            let transaction = link.client.transaction().await?;
            for following in (0..kinds()).flat_map(|kind| table_of(kind).following) {
                let (table, columns) = (following.table, following.columns);
                transaction.execute(&format!("DELETE FROM {table}"), &[]).await?;
                let sql = format!("INSERT INTO {table} ({columns}) {}", following.rows);
                transaction.execute(&sql, &[]).await?;
            }
            transaction.execute(AUDIT_HEAD, &[]).await?;
            for GivenNumbers { yymmdd, node, given } in numbers {
                let [day, node, given] = [parameter(*yymmdd), parameter(*node), parameter(*given)];
                transaction.execute(NUMBERS, &[&day, &node, &given]).await?;
            }
            let keep =
                "INSERT INTO key_prints (name, print) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            for (name, print) in key_prints {
                transaction.execute(keep, &[name, print]).await?;
            }
            transaction.commit().await
        };
        completed.await.map_err(|error: Error| broken(&error))?;
        // It remembers what another database has acknowledged, where there was one before.
        self.tokens.as_ref().map_or(Ok(()), TokenFile::forget).map_err(|source| StoreError::Io {
            context: "what an earlier database had acknowledged cannot be forgotten".to_owned(),
            source,
        })
    }

    /// How many rows of all kinds there are.
    pub async fn count_whole(&self) -> Result<u64, StoreError> {
        let link = self.link().await?;
        let mut all = 0;
        for kind in 0..kinds() {
            let sql = format!("SELECT count(*) FROM {}", table_of(kind).sql_name);
            let row = link.client.query_one(&sql, &[]).await;
            let count = row.and_then(|row| row.try_get::<_, i64>(0));
            all += count.map_err(|error| broken(&error))?.cast_unsigned();
        }
        Ok(all)
    }

    /// The channels that are switched off.
    pub async fn switched_off(&self) -> Result<BTreeSet<ChannelId>, StoreError> {
        let off = self.tables.query(OFF, Vec::new(), |values| field(&values, 0)).await?;
        Ok(off.into_iter().collect())
    }

    /// Makes these the channels that are switched off.
    pub async fn switch_off(&self, channels: &BTreeSet<ChannelId>) -> Result<(), StoreError> {
        let mut link = self.link().await?;
        let done = async {
            let transaction = link.client.transaction().await?;
            transaction.execute("DELETE FROM channels_off", &[]).await?;
            for channel in channels {
                transaction.execute(SWITCH_OFF, &[&channel.as_str()]).await?;
            }
            transaction.commit().await
        };
        done.await.map_err(|error: Error| broken(&error))
    }

    /// The prints of the keys that the books were used with.
    pub async fn key_prints(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let read = |values: Vec<Option<&[u8]>>| Ok((field(&values, 0)?, field(&values, 1)?));
        let prints = self.tables.query("SELECT name, print FROM key_prints", Vec::new(), read);
        Ok(prints.await?.into_iter().collect())
    }
}

/// Reads alone: its tables answer all of them.
impl Store for DatabaseBooks {
    fn commit<'a>(&'a self, _: &'a WriteSet) -> StoreFuture<'a, Result<(), CommitError>> {
        Box::pin(async { Err(CommitError::Fenced) })
    }

    fn lease(&self, _: u32, _: u16, _: u32) -> StoreFuture<'_, Result<u64, CommitError>> {
        Box::pin(async { Err(CommitError::Fenced) })
    }

    fn left_in_flight(&self) -> Arc<[(OrderId, u8)]> {
        Arc::default()
    }

    fn tables(&self) -> Option<&Tables> {
        Some(&self.tables)
    }

    fn show<'a>(&'a self, look: RowQuery<'a>) -> StoreRead<'a, ()> {
        drop(look);
        Box::pin(async { Err(super::no_sorted_bytes()) })
    }

    fn show_page(&self, look: RowQuery<'static>) -> StoreRead<'_, ()> {
        self.show(look)
    }
}
