//! Opening the books: what the database must be, its tables, and this process's place in it. Each
//! refusal says what to do.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Transaction};

use crate::store::StoreError;
use crate::store::cluster::JoinError;
use crate::store::sql::read::database_error;

use super::PostgresSettings;
use super::connect::Connector;
use super::mark::check_not_moving;
use super::nodes::RAISE_EPOCH;
use super::tokens::{TokenFile, Tokens};

/// The tables of an empty database.
const SCHEMA: &str = include_str!("schema.sql");
/// The step that this program needs.
const SCHEMA_STEP: i32 = 1;
/// PostgreSQL 13, as `server_version_num` has it.
const VERSION_MIN: i32 = 130_000;

/// What an opening has found.
pub(super) struct Opened {
    pub incarnation: i64,
    /// Each writer with the last number of its row.
    pub writers: Vec<(i32, i64)>,
}

pub(super) async fn open(
    connector: &Connector,
    settings: &PostgresSettings,
    tokens: Option<&TokenFile>,
) -> Result<Opened, StoreError> {
    let mut client = prepare(connector).await?;
    check_rights(&client).await?;
    let refused = |error: Error| refused("the books cannot be opened", told(&error));
    let node = i32::from(settings.node);
    let transaction = client.transaction().await.map_err(refused)?;
    check_not_moving(&transaction).await?;
    let kept = check_has_all(&transaction, node, tokens).await?;
    check_is_gone(&transaction, node, &kept).await?;
    check_keys(&transaction, settings).await?;
    let (incarnation, writers) =
        become_next(&transaction, node, settings).await.map_err(refused)?;
    transaction.commit().await.map_err(refused)?;
    Ok(Opened { incarnation, writers })
}

/// A connection to a server that keeps what it acknowledges, and to tables of ours.
pub(super) async fn prepare(connector: &Connector) -> Result<Client, StoreError> {
    let mut client = connector.link().await.map_err(|error| no_connection(&error))?.client;
    check_server(&client).await?;
    make_schema(&mut client).await?;
    Ok(client)
}

fn refused(context: &'static str, detail: impl Into<String>) -> StoreError {
    StoreError::Backend { context, detail: detail.into() }
}

/// Why no connection could be made, and what to do about it.
pub(super) fn no_connection(error: &Error) -> StoreError {
    let told = database_error(error);
    let Some(code) = error.code() else {
        let detail = format!("{told}; is the database running, and store.url its address?");
        return refused("the database cannot be reached", detail);
    };
    let advice = if *code == SqlState::INVALID_PASSWORD
        || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
    {
        "look at the user of store.url, at store.password, and at the server's pg_hba.conf"
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        "make it: CREATE DATABASE with the name in store.url, owned by its user"
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        "GRANT CONNECT on the database to the user of store.url"
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        "raise the server's max_connections, or lower store.writers and store.readers"
    } else {
        "come back when the server takes connections"
    };
    refused("the database takes no connection of ours", format!("{told}; {advice}"))
}

/// The database has the tables that this program knows. For commands, which make none.
pub(super) async fn check_schema(connector: &Connector) -> Result<(), StoreError> {
    let client = connector.link().await.map_err(|error| no_connection(&error))?.client;
    let broken = |error: Error| refused("the database's tables", told(&error));
    let look = "SELECT to_regclass('schema_steps') IS NOT NULL";
    let row = client.query_one(look, &[]).await.map_err(broken)?;
    if !row.try_get::<_, bool>(0).map_err(broken)? {
        let detail = "no node has ever started on it; start one, which makes them";
        return Err(refused("the database has no tables of ours", detail));
    }
    check_step(&client).await
}

/// What a server must be so that what it acknowledges survives.
async fn check_server(client: &Client) -> Result<(), StoreError> {
    let look = "SELECT current_setting('server_version_num')::int4, \
                current_setting('server_version'), current_setting('fsync'), \
                current_setting('full_page_writes'), current_setting('synchronous_commit')";
    let broken = |error: Error| refused("the database cannot be asked", database_error(&error));
    let row = client.query_one(look, &[]).await.map_err(broken)?;
    let version: i32 = row.try_get(0).map_err(broken)?;
    if version < VERSION_MIN {
        let own: String = row.try_get(1).map_err(broken)?;
        let detail = format!("it is PostgreSQL {own}; move the database to 13 or later");
        return Err(refused("the server is too old", detail));
    }
    for (place, setting) in [(2, "fsync"), (3, "full_page_writes"), (4, "synchronous_commit")] {
        let value: String = row.try_get(place).map_err(broken)?;
        if value == "off" {
            let detail = format!(
                "{setting} is off, and a loss of power would take back what was acknowledged; \
                 set {setting} = on for the server and the user of store.url"
            );
            return Err(refused("the database does not keep what it acknowledges", detail));
        }
    }
    Ok(())
}

/// Makes the tables where there are none, and refuses those of another program.
async fn make_schema(client: &mut Client) -> Result<(), StoreError> {
    let broken = |error: Error| refused("the database's tables", told(&error));
    let look = "SELECT to_regclass('schema_steps') IS NOT NULL, to_regclass('orders') IS NOT NULL";
    let row = client.query_one(look, &[]).await.map_err(broken)?;
    let (has_steps, has_orders): (bool, bool) =
        (row.try_get(0).map_err(broken)?, row.try_get(1).map_err(broken)?);
    if !has_steps && has_orders {
        let detail = "it has a table `orders` that is not ours; give Switchyard a database of its \
                      own";
        return Err(refused("the database is in use", detail));
    }
    if !has_steps {
        let transaction = client.transaction().await.map_err(broken)?;
        transaction.batch_execute(SCHEMA).await.map_err(|error| {
            let told = database_error(&error);
            let advice = "the user of store.url makes them: GRANT CREATE ON SCHEMA public to it";
            refused("the tables cannot be made", format!("{told}; {advice}"))
        })?;
        return transaction.commit().await.map_err(broken);
    }
    check_step(client).await
}

/// The tables are those that this program knows.
async fn check_step(client: &Client) -> Result<(), StoreError> {
    let broken = |error: Error| refused("the database's tables", told(&error));
    let step = client.query_one("SELECT max(step) FROM schema_steps", &[]).await;
    let step: Option<i32> = step.and_then(|row| row.try_get(0)).map_err(broken)?;
    match step {
        Some(SCHEMA_STEP) => Ok(()),
        Some(step) if step > SCHEMA_STEP => {
            let detail = format!(
                "it is at step {step}, and this program knows {SCHEMA_STEP}; start the newer one"
            );
            Err(refused("the database's schema is newer than this program", detail))
        }
        _ => {
            let detail = "schema_steps names no step that this program knows; restore a backup";
            Err(refused("the database's schema is not whole", detail))
        }
    }
}

/// What an open database's tables let us do, of each the rights that commits need.
const RIGHTS: &str = "SELECT string_agg(n || ' (' || r || ')', ', ' ORDER BY n) FROM (VALUES \
    ('schema_steps', 'UPDATE'), ('moves', 'SELECT'), \
    ('nodes', 'INSERT'), ('nodes', 'UPDATE'), ('cluster_epoch', 'UPDATE'), \
    ('channel_volumes', 'INSERT'), ('channel_volumes', 'UPDATE'), \
    ('channel_breakers', 'INSERT'), ('channel_breakers', 'UPDATE'), \
    ('channels_off', 'INSERT'), ('channels_off', 'DELETE'), \
    ('writers', 'INSERT'), ('writers', 'UPDATE'), \
    ('order_numbers', 'INSERT'), ('order_numbers', 'UPDATE'), ('channel_locks', 'INSERT'), \
    ('channel_locks', 'UPDATE'), ('key_prints', 'INSERT'), ('orders', 'INSERT'), \
    ('orders', 'UPDATE'), ('attempts', 'INSERT'), ('attempts', 'UPDATE'), \
    ('in_flight', 'INSERT'), ('in_flight', 'DELETE'), ('reversal_entries', 'INSERT'), \
    ('reversal_entries', 'UPDATE'), ('reversal_entries', 'DELETE'), ('transactions', 'INSERT'), \
    ('clearing_days', 'INSERT'), ('clearing_days', 'UPDATE'), ('day_closes', 'INSERT'), \
    ('clearing_records', 'INSERT'), ('accounting_requests', 'INSERT'), \
    ('accounting_requests', 'UPDATE'), ('notices', 'INSERT'), ('notices', 'UPDATE'), \
    ('contradictions', 'INSERT'), ('order_events', 'INSERT'), \
    ('statements', 'INSERT'), ('found_differences', 'INSERT'), \
    ('agreed_lines', 'INSERT'), ('reconciliations', 'INSERT'), ('reconciliations', 'UPDATE'), \
    ('current_reconciliations', 'INSERT'), ('current_reconciliations', 'DELETE'), \
    ('differences', 'INSERT'), ('differences', 'UPDATE'), ('difference_records', 'INSERT'), \
    ('difference_records', 'DELETE'), ('difference_lines', 'INSERT'), \
    ('difference_lines', 'DELETE'), ('settlements', 'INSERT'), ('settlements', 'UPDATE'), \
    ('receipts', 'INSERT'), ('receipts', 'DELETE'), ('settled_dates', 'INSERT'), \
    ('settled_dates', 'UPDATE'), ('verifications', 'INSERT'), \
    ('verifications', 'UPDATE'), ('agreements', 'INSERT'), ('agreements', 'UPDATE'), \
    ('payment_codes', 'INSERT'), ('payment_codes', 'UPDATE'), \
    ('approvals', 'INSERT'), ('approvals', 'UPDATE'), \
    ('bin_proposals', 'INSERT'), ('bin_proposals', 'UPDATE'), \
    ('audit', 'INSERT'), ('audit_head', 'UPDATE'), \
    ('setting_versions', 'INSERT'), ('setting_head', 'UPDATE'), \
    ('statement_files', 'INSERT'), ('statement_files', 'UPDATE'), \
    ('statement_parts', 'INSERT'), \
    ('link_keys', 'INSERT'), ('link_keys', 'UPDATE'), ('work_leases', 'INSERT'), \
    ('work_leases', 'UPDATE'), ('work_leases', 'DELETE') \
    ) AS needed(n, r) WHERE NOT (has_table_privilege(n, 'SELECT') AND has_table_privilege(n, r))";
const RIGHTS_ADVICE: &str = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public \
    to the user of store.url";

/// The rights without which commits would fail later.
async fn check_rights(client: &Client) -> Result<(), StoreError> {
    let broken = |error: Error| refused("the database's rights", told(&error));
    let row = client.query_one(RIGHTS, &[]).await.map_err(broken)?;
    let missing: Option<String> = row.try_get(0).map_err(broken)?;
    missing.map_or(Ok(()), |missing| {
        let detail = format!("{RIGHTS_ADVICE}; without them now: {missing}");
        Err(refused("the user of store.url lacks rights", detail))
    })
}

/// The server's words, and what to do where a right is missing.
fn told(error: &Error) -> String {
    let told = database_error(error);
    match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            format!("{told}; {RIGHTS_ADVICE}")
        }
        _ => told,
    }
}

/// The database has lost nothing that it had acknowledged, as far as anybody knows. Tells what this
/// node's folder remembers.
pub(super) async fn check_has_all(
    transaction: &Transaction<'_>,
    node: i32,
    tokens: Option<&TokenFile>,
) -> Result<Tokens, StoreError> {
    check_one_history(transaction).await?;
    let kept = tokens.map_or(Ok(Tokens::default()), TokenFile::read);
    let kept = kept.map_err(|source| StoreError::Io {
        context: "what the database has acknowledged cannot be read".to_owned(),
        source,
    })?;
    check_history(transaction, node, &kept).await?;
    Ok(kept)
}

/// No node has found that the database has lost what it had acknowledged.
async fn check_one_history(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let look = "SELECT history_lost_at IS NOT NULL FROM nodes ORDER BY node FOR UPDATE";
    let broken = |error: Error| refused("the books cannot be opened", told(&error));
    for row in transaction.query(look, &[]).await.map_err(broken)? {
        if row.try_get(0).map_err(broken)? {
            return Err(super::history_lost());
        }
    }
    Ok(())
}

/// No other process works as this node. One that used this data folder is gone: the folder is
/// locked, and this process has the lock.
async fn check_is_gone(
    transaction: &Transaction<'_>,
    node: i32,
    kept: &Tokens,
) -> Result<(), StoreError> {
    let look = "SELECT address FROM nodes WHERE node = $1 AND incarnation <> $2 \
                AND fenced_at IS NULL AND lease_until >= now()";
    let broken = |error: Error| refused("the books cannot be opened", told(&error));
    let alive = transaction.query_opt(look, &[&node, &kept.incarnation]).await.map_err(broken)?;
    let Some(alive) = alive else { return Ok(()) };
    let (node, address) =
        (u16::try_from(node).unwrap_or(u16::MAX), alive.try_get(0).map_err(broken)?);
    let taken = JoinError::Taken { node, address };
    Err(refused("another process works as this node", taken.to_string()))
}

/// The database knows at least what the node's folder remembers that it acknowledged.
async fn check_history(
    transaction: &Transaction<'_>,
    node: i32,
    kept: &Tokens,
) -> Result<(), StoreError> {
    let broken = |error: Error| refused("the books cannot be opened", told(&error));
    let look = "SELECT last FROM writers WHERE node = $1 AND writer = $2";
    for (writer, last) in (0_i32..).zip(kept.lasts.iter().copied()) {
        let row = transaction.query_opt(look, &[&node, &writer]).await.map_err(broken)?;
        let has = row.map_or(Ok(0), |row| row.try_get(0)).map_err(broken)?;
        if last > has {
            return Err(super::history_lost());
        }
    }
    Ok(())
}

/// The keys are those that the books were used with; new ones are written down.
async fn check_keys(
    transaction: &Transaction<'_>,
    settings: &PostgresSettings,
) -> Result<(), StoreError> {
    let broken = |error: Error| refused("the books cannot be opened", told(&error));
    let keep = "INSERT INTO key_prints (name, print) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let look = "SELECT print FROM key_prints WHERE name = $1";
    for (name, print) in &settings.key_prints {
        transaction.execute(keep, &[name, print]).await.map_err(broken)?;
        let row = transaction.query_one(look, &[name]).await.map_err(broken)?;
        let kept: String = row.try_get(0).map_err(broken)?;
        if kept != *print {
            let detail = format!(
                "the key `{name}` is another one than they were used with; put back the folder \
                 `keys` of the data folder that they belong to"
            );
            return Err(refused("the books in the database have other keys", detail));
        }
    }
    Ok(())
}

/// Raises the node's incarnation, then that of each of its writers, one after the other: this waits
/// for a group of the earlier process that is under way, and shuts out every later one.
async fn become_next(
    transaction: &Transaction<'_>,
    node: i32,
    settings: &PostgresSettings,
) -> Result<(i64, Vec<(i32, i64)>), Error> {
    let row = "INSERT INTO nodes (node, incarnation, address, epoch_seen) VALUES ($1, 0, '', 0) \
               ON CONFLICT DO NOTHING";
    transaction.execute(row, &[&node]).await?;
    let raise = "UPDATE nodes SET incarnation = incarnation + 1, address = $2, \
                 lease_until = NULL, opened_at = now(), fenced_at = NULL, \
                 loaded = 0, load_problem = '' WHERE node = $1 RETURNING incarnation";
    let raised = transaction.query_one(raise, &[&node, &settings.address]).await?;
    let incarnation: i64 = raised.try_get(0)?;
    let row = "INSERT INTO writers (node, writer, incarnation, last, void) \
               VALUES ($1, $2, $3, 0, false) ON CONFLICT DO NOTHING";
    let raise = "UPDATE writers SET incarnation = $3 WHERE node = $1 AND writer = $2 \
                 RETURNING last";
    let had = "SELECT coalesce(max(writer) + 1, 0) FROM writers WHERE node = $1";
    let had: i32 = transaction.query_one(had, &[&node]).await?.try_get(0)?;
    let wanted = i32::from(settings.writers.max(1));
    let mut taken = Vec::new();
    for writer in 0..wanted.max(had) {
        transaction.execute(row, &[&node, &writer, &incarnation]).await?;
        let raised = transaction.query_one(raise, &[&node, &writer, &incarnation]).await?;
        if writer < wanted {
            taken.push((writer, raised.try_get(0)?));
        }
    }
    // It begins with no part, which is its part of this epoch until all others know of it.
    let epoch: i64 = transaction.query_one(RAISE_EPOCH, &[]).await?.try_get(0)?;
    let announce = "UPDATE nodes SET epoch_seen = $2 WHERE node = $1";
    transaction.execute(announce, &[&node, &epoch]).await?;
    Ok((incarnation, taken))
}
