//! What lies in files on one machine, and in the store where several nodes share it.

use crate::domain::books::statement::LandedFile;
use crate::domain::card::SealedPan;
use crate::domain::cluster::{
    Incarnation, LoadReport, Publication, SettingHistory, SettingKind, SettingVersion,
};
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::store::{StoreError, StoreFuture, StoreRead};

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Another publication came between: look at it, and publish again.
    #[error("another version was published meanwhile; look at it, and publish again")]
    Overtaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The files that all nodes of a store share. The store is the truth of them; what lies in a
/// node's folders is the seed of an empty one, or a copy.
pub trait ClusterState: Send + Sync {
    /// The versions behind a publication, without the bodies of BIN tables, and the store's
    /// present.
    fn settings_after(&self, version: u64) -> StoreRead<'_, (Vec<SettingVersion>, Timestamp)>;

    /// The body of one version; `None` where there is no such version.
    fn setting_body<'a>(
        &'a self,
        kind: SettingKind,
        name: &'a str,
        version: u64,
    ) -> StoreRead<'a, Option<Vec<u8>>>;

    /// Publishes a version, with its entry in the audit trail: it takes effect
    /// [`crate::domain::cluster::ACTIVE_AFTER`] from the store's present on. Gives its number and
    /// that moment.
    fn publish<'a>(
        &'a self,
        publication: &'a Publication,
    ) -> StoreFuture<'a, Result<(u64, Timestamp), PublishError>>;

    /// Gives a store without versions its first ones; nothing happens to one that has some.
    fn seed<'a>(&'a self, first: &'a SettingHistory) -> StoreFuture<'a, Result<(), StoreError>>;

    /// Says what this node has loaded.
    fn report_loaded<'a>(
        &'a self,
        who: Incarnation,
        loaded: u64,
        problem: &'a str,
    ) -> StoreFuture<'a, Result<(), StoreError>>;

    /// The statement files of a channel that have landed at any node, in the order in which they
    /// landed.
    fn statement_files<'a>(&'a self, channel: &'a ChannelId) -> StoreRead<'a, Vec<LandedFile>>;

    /// Keeps a part of a content, counted from 0, in place of one that is there: that may be of a
    /// file that changed while it was read.
    fn keep_part<'a>(
        &'a self,
        sha256: &'a str,
        part: u32,
        body: &'a [u8],
    ) -> StoreFuture<'a, Result<(), StoreError>>;

    /// A part of a content; `None` where there is none of this number.
    fn statement_part<'a>(&'a self, sha256: &'a str, part: u32) -> StoreRead<'a, Option<Vec<u8>>>;

    /// Lands a file whose parts are kept, at the store's present. False, and nothing is written,
    /// where its name or its content has landed for this date before.
    fn land_statement<'a>(
        &'a self,
        file: &'a LandedFile,
    ) -> StoreFuture<'a, Result<bool, StoreError>>;

    /// Says why a file's content is refused; an empty text lets it be tried again.
    fn refuse_statement<'a>(
        &'a self,
        channel: &'a ChannelId,
        date: BusinessDate,
        sha256: &'a str,
        problem: &'a str,
    ) -> StoreFuture<'a, Result<(), StoreError>>;

    /// Keeps what a link's sign-on has brought a terminal, sealed.
    fn keep_link_key<'a>(
        &'a self,
        channel: &'a ChannelId,
        terminal: &'a str,
        sealed: &'a SealedPan,
    ) -> StoreFuture<'a, Result<(), StoreError>>;

    /// What the last sign-on of each terminal of a channel has brought, sealed.
    fn link_keys<'a>(&'a self, channel: &'a ChannelId) -> StoreRead<'a, Vec<(String, SealedPan)>>;

    /// What each node that is not fenced has loaded, by node.
    fn load_reports(&self) -> StoreRead<'_, Vec<LoadReport>>;
}
