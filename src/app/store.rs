//! Opens the store that the settings name, and takes this node's place on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::StartError;
use super::folder::BOOKS;
use crate::channel::transport::tls::client_config;
use crate::config::checked::{Settings, StoreSettings};
use crate::config::credential::CredentialSource;
use crate::domain::cluster::RENEWED_EVERY;
use crate::engine::Engine;
use crate::store::embedded::{EmbeddedSettings, EmbeddedStore};
use crate::store::postgres::{PostgresSettings, PostgresStore};
use crate::store::{Store, StoreError};

/// Renewals of a start that come one after the other without a pause.
const UNDELAYED_RENEWALS: u32 = 2;
/// While a start waits, it says so with one in so many renewals.
const ROUNDS_TOLD: u32 = 5;
/// Commits that one transaction of a database makes durable together, at most.
const DATABASE_GROUP_MAX: usize = 256;

/// The store of the settings; beside it the embedded one, if it was copied or restored.
pub(super) async fn open_store(
    data: &Path,
    settings: &Settings,
    fingerprints: &BTreeMap<String, String>,
) -> Result<(Arc<dyn Store>, Option<Arc<EmbeddedStore>>), StoreError> {
    let StoreSettings { queue_max, group_max, cache_bytes, .. } = settings.store;
    if let Some(url) = &settings.store.url {
        let key_prints = fingerprints.clone();
        let chosen = PostgresSettings { key_prints, ..database_settings(url, data, settings)? };
        let store = PostgresStore::open(&chosen).await?;
        return Ok((Arc::new(store), None));
    }
    let chosen =
        EmbeddedSettings { queue_max, group_max, cache_bytes, ..EmbeddedSettings::default() };
    let books = Arc::new(EmbeddedStore::open(&data.join(BOOKS), &chosen)?);
    let copied = books.is_copy().then(|| Arc::clone(&books));
    Ok((books, copied))
}

/// The database of the settings, with what their references stand for.
pub fn database_settings(
    url: &str,
    data: &Path,
    settings: &Settings,
) -> Result<PostgresSettings, StoreError> {
    let StoreSettings { writers, readers, queue_max, group_max, .. } = settings.store;
    let source = CredentialSource::new(&settings.base);
    let resolve = |key, reference: &Option<String>| {
        let text = reference.as_deref().map(|reference| source.resolve(reference)).transpose();
        text.map_err(|detail| StoreError::Backend { context: key, detail })
    };
    let roots = resolve("store.root_certificates", &settings.store.root_certificates)?;
    let roots: Vec<String> = roots.into_iter().collect();
    let tls = client_config(&roots)
        .map_err(|detail| StoreError::Backend { context: "store.root_certificates", detail })?;
    Ok(PostgresSettings {
        password: resolve("store.password", &settings.store.password)?,
        tls: Some(Arc::new(tls)),
        folder: Some(data.to_owned()),
        node: settings.node,
        address: settings.server.api.listen.to_string(),
        writers,
        readers,
        queue_max,
        group_max: group_max.min(DATABASE_GROUP_MAX),
        ..PostgresSettings::at(url)
    })
}

/// Takes this node's lease of the books, where several share them, and waits for its part of the
/// channels' limits: the other nodes make room with their next renewals, and one that is gone is
/// fenced first. Whoever sends an order to a node without a part would be refused.
pub(super) async fn join(engine: &Engine) -> Result<(), StartError> {
    let mut rounds = 0_u32;
    loop {
        engine.renew_lease().await?;
        if engine.has_part() {
            return Ok(());
        }
        // A node that is alone has its part as soon as it has said so.
        if rounds >= UNDELAYED_RENEWALS {
            tokio::time::sleep(RENEWED_EVERY).await;
        }
        rounds += 1;
        if rounds.is_multiple_of(ROUNDS_TOLD) {
            tracing::warn!("waiting for the other nodes to make room: see `switchyard node list`");
        }
    }
}
