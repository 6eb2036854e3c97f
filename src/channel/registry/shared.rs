//! The channels where all nodes of a store run the same files: their texts and their history come
//! from the store, and the folder has the credentials that they name.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::source::{ChannelTexts, of_versions};
use super::{LoadedChannel, Registry};
use crate::channel::transport::tcp::{SharedKeys, TcpTransport};
use crate::clock::Timekeeper;
use crate::config::mistake::Mistake;
use crate::domain::ids::ChannelId;
use crate::domain::terms::CommonTerms;
use crate::domain::time::Timestamp;

/// A version of a channel's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelVersion {
    pub id: ChannelId,
    /// Since when it is in force.
    pub since: Timestamp,
    pub text: String,
}

impl Registry {
    /// Loads the channels of these texts, whose credentials lie below `folder`. Orders are judged
    /// by the terms of `versions`, each channel's oldest first.
    pub fn load_shared(
        (folder, routes_file): (&Path, &Path),
        data: &Path,
        common: CommonTerms,
        clock: impl Into<Timekeeper>,
        (texts, versions): (ChannelTexts, Vec<ChannelVersion>),
    ) -> Result<Self, Vec<Mistake>> {
        let unread = Self::unread(folder, routes_file, data, common, clock)?;
        let registry = Self { shared: Mutex::new(Some(texts)), ..unread };
        registry.learn_versions(versions);
        registry.reload()?;
        Ok(registry)
    }

    /// Takes all versions of all channels, also those that are not in force yet: the terms of an
    /// order are those of the version in force when it was accepted, on every node.
    pub fn learn_versions(&self, versions: Vec<ChannelVersion>) {
        self.history.replace(versions, &self.common);
    }

    /// Has links' sign-ons bring keys for all nodes. Once, before the first request.
    pub fn share_link_keys(&self, keys: Arc<dyn SharedKeys>) {
        // A second one is never set: this is called by whoever starts the process.
        let _ = self.link_keys.set(keys);
    }

    /// The channels whose links one node signs on for all.
    pub fn signed_on_for_all(&self) -> Vec<ChannelId> {
        let channels = self.channels.load();
        let shares = |loaded: &LoadedChannel| {
            let links = loaded.connection.as_ref().and_then(|one| one.spoken.links());
            links.is_some_and(TcpTransport::signs_on_for_all)
        };
        let ids = channels.iter().filter(|(_, loaded)| shares(loaded));
        ids.map(|(id, _)| id.clone()).collect()
    }

    /// Connects a channel's links if they are not, so that their sign-on brings the other nodes a
    /// key. False where no link comes up in the time for it.
    pub async fn connect_links(&self, id: &ChannelId) -> bool {
        let loaded = self.channels.load().get(id).cloned();
        let Some(connection) = loaded.and_then(|loaded| loaded.connection.clone()) else {
            return true;
        };
        match connection.spoken.links() {
            Some(links) => links.ready().await.is_ok(),
            None => true,
        }
    }

    /// Copies the versions below this node's data folder, should the books ever move there.
    pub fn copy_versions(&self) {
        if let Err(error) = self.history.write_copies() {
            tracing::warn!(%error, "the versions of channel files cannot be copied to this node");
        }
    }

    /// Every version that has run here, each channel's oldest first.
    pub fn kept_versions(&self) -> Vec<ChannelVersion> {
        self.history.kept()
    }

    /// Every mistake that these texts would have here, credentials included.
    pub fn check(&self, texts: &ChannelTexts) -> Result<(), Vec<Mistake>> {
        self.read(|mistakes| of_versions(texts, mistakes)).map(|_| ())
    }

    /// Runs these texts from now on, or leaves everything as it is.
    pub fn run_shared(&self, texts: ChannelTexts) -> Result<usize, Vec<Mistake>> {
        let shared = || self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shared().replace(texts);
        let ran = self.read_again().and_then(|read| self.put_in_force(read));
        ran.inspect_err(|_| *shared() = before)
    }
}
