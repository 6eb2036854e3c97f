//! A person accepts that the database has lost what it had acknowledged: for this node, and for all
//! that have found a loss, since their machines may be gone.
//!
//! The orders that were lost are told by the channels' statements. Their numbers must never come
//! again, since channels have seen them: all are passed over.

use tokio_postgres::{Error, Transaction};

use crate::domain::write_set::AuditEntry;
use crate::store::StoreError;
use crate::store::sql::read::{database_error, parameter};

use super::PostgresSettings;
use super::connect::Connector;
use super::open::no_connection;
use super::tokens::TokenFile;

/// Numbers of each day that are passed over: more than a node gives out in a lost time.
const PASSED_OVER: &str = "UPDATE order_numbers SET given = given + 1000000 WHERE node IN \
    (SELECT node FROM nodes WHERE node = $1 OR history_lost_at IS NOT NULL)";

/// The days of the time that was lost: from the last one that the database knows, to tomorrow.
const DAYS: &str = "INSERT INTO order_numbers (yymmdd, node, given) \
    SELECT to_char(day, 'YYMMDD')::bigint, n.node, 0 FROM nodes n, generate_series( \
        (SELECT coalesce(to_date(lpad(max(yymmdd)::text, 6, '0'), 'YYMMDD'), current_date - 1) \
            FROM order_numbers WHERE node = n.node), \
        (now() AT TIME ZONE 'UTC')::date + 1, interval '1 day') AS day \
    WHERE n.node = $1 OR n.history_lost_at IS NOT NULL ON CONFLICT DO NOTHING";

const AUDIT_HEAD: &str = "UPDATE audit_head SET next = next + 1";
const AUDIT: &str = "INSERT INTO audit (place, at, actor, action, subject, reason) \
    SELECT next - 1, $1::timestamptz, $2::text, $3::text, $4::text, $5::text FROM audit_head";
/// A process that goes on with what it knew before writes nothing any more.
const ACCEPTED: &str = "UPDATE nodes SET history_lost_at = NULL, incarnation = incarnation + 1 \
    WHERE node = $1 OR history_lost_at IS NOT NULL";

/// Adds a line to the audit trail.
pub(super) async fn write_audit(
    transaction: &Transaction<'_>,
    entry: &AuditEntry,
) -> Result<(), Error> {
    transaction.execute(AUDIT_HEAD, &[]).await?;
    let [at, actor, action, subject, reason] = [
        parameter(entry.at),
        parameter(entry.actor.as_str()),
        parameter(entry.action.as_str()),
        parameter(entry.subject.as_str()),
        parameter(entry.reason.as_str()),
    ];
    transaction.execute(AUDIT, &[&at, &actor, &action, &subject, &reason]).await.map(drop)
}

/// Lets orders be taken again from a database that has lost some, and writes down who said so and
/// why. Numbers of orders leap over all that may have been given out.
pub async fn accept_loss(
    settings: &PostgresSettings,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    let connector = Connector::new(settings)?;
    let mut client = connector.link().await.map_err(|error| no_connection(&error))?.client;
    let node = i32::from(settings.node);
    let accepted = async {
        let transaction = client.transaction().await?;
        transaction.execute(DAYS, &[&node]).await?;
        transaction.execute(PASSED_OVER, &[&node]).await?;
        write_audit(&transaction, entry).await?;
        let nodes = transaction.execute(ACCEPTED, &[&node]).await?;
        transaction.commit().await?;
        Ok(nodes)
    };
    let nodes = accepted.await.map_err(|error: Error| StoreError::Backend {
        context: "the loss cannot be accepted",
        detail: database_error(&error),
    })?;
    if nodes == 0 {
        let detail = "no node of this number has opened them; there is nothing to accept";
        return Err(StoreError::Backend {
            context: "the books in the database",
            detail: detail.to_owned(),
        });
    }
    let tokens = settings.folder.as_deref().map(|folder| TokenFile::of(settings.node, folder));
    tokens.map_or(Ok(()), |tokens| tokens.forget()).map_err(|source| StoreError::Io {
        context: "what the database had acknowledged cannot be forgotten".to_owned(),
        source,
    })
}
