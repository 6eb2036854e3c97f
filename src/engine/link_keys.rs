//! The keys that links' sign-ons bring, kept for all nodes that share the books.

use std::sync::{Arc, Weak};

use crate::channel::ChannelFuture;
use crate::channel::transport::tcp::{SharedKeys, SignOnKeys, SignOnRight};
use crate::domain::cluster::Work;
use crate::domain::ids::ChannelId;
use crate::engine::Engine;
use crate::telemetry;

/// The keys in the engine's store, sealed by its vault.
struct StoredKeys(Weak<Engine>);

const STOPPED: &str = "the process ends";

/// The keys of all nodes; `None` where one process has the books to itself.
pub fn shared_keys(engine: &Arc<Engine>) -> Option<Arc<dyn SharedKeys>> {
    engine.store.cluster_state()?;
    Some(Arc::new(StoredKeys(Arc::downgrade(engine))))
}

impl SharedKeys for StoredKeys {
    fn signs_on(&self, channel: &ChannelId) -> Option<SignOnRight> {
        let hold = self.0.upgrade()?.begin_work(&Work::SignOn(channel.clone()))?;
        Some(Box::new(hold))
    }

    fn keep<'a>(
        &'a self,
        channel: &'a ChannelId,
        terminal: &'a str,
        brought: &'a [u8],
    ) -> ChannelFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let engine = self.0.upgrade().ok_or(STOPPED)?;
            let state = engine.store.cluster_state().ok_or(STOPPED)?;
            let sealed = engine.vault.seal_link_key(channel, terminal, brought);
            let sealed = sealed.map_err(|error| telemetry::chain(&error))?;
            let kept = state.keep_link_key(channel, terminal, &sealed).await;
            kept.map_err(|error| telemetry::chain(&error))
        })
    }

    fn in_force<'a>(
        &'a self,
        channel: &'a ChannelId,
    ) -> ChannelFuture<'a, Result<SignOnKeys, String>> {
        Box::pin(async move {
            let engine = self.0.upgrade().ok_or(STOPPED)?;
            let state = engine.store.cluster_state().ok_or(STOPPED)?;
            let sealed = state.link_keys(channel).await;
            let sealed = sealed.map_err(|error| telemetry::chain(&error))?;
            let open = |(terminal, sealed): (String, _)| {
                let brought = engine.vault.open_link_key(channel, &terminal, &sealed)?;
                Some((terminal, brought))
            };
            Ok(sealed.into_iter().filter_map(open).collect())
        })
    }
}
