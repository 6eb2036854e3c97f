//! Statements where several nodes share a store: one node works those of a channel, and the others
//! hand over to it what comes in at them.

use std::sync::PoisonError;
use std::time::Duration;

use crate::domain::cluster::Work;
use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::engine::share::WorkHold;
use crate::reconciliation::ReconciliationError;
use crate::reconciliation::books::ChannelContext;

use super::import::{ImportDesk, ImportResult, UploadContent, bytes_of};
use super::inbox::InboxFile;
use super::shared::{FileSource, LandingContent};

/// How often a statement that was handed over to another node is looked for in the books: until
/// its worker has gone round, and somewhat longer.
const HANDED_OVER_LOOKS_MAX: usize = 120;
const HANDED_OVER_LOOKED_FOR_EVERY: Duration = Duration::from_millis(500);

impl ImportDesk {
    /// The right to run a channel's statements: at one node at a time, one run at a time.
    pub(super) async fn begin(
        &self,
        channel: &ChannelId,
    ) -> Option<(WorkHold, tokio::sync::OwnedMutexGuard<()>)> {
        let work = Work::Reconciliation(channel.clone());
        let hold = self.books.engine().begin_work(&work)?;
        Some((hold, self.turn(channel).await))
    }

    /// Lets all nodes have what has landed here, and lays down what has landed at others. Whether
    /// this node works the channel's statements.
    pub(super) async fn share(&self, channel: &ChannelId) -> Result<bool, ReconciliationError> {
        if !self.inbox.is_shared() {
            return Ok(true);
        }
        let offered = || self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        if !offered().contains(channel) {
            self.inbox.offer(channel).await?;
            offered().insert(channel.clone());
        }
        if !self.books.engine().holds(&Work::Reconciliation(channel.clone())) {
            return Ok(false);
        }
        self.inbox.bring(channel).await?;
        Ok(true)
    }

    /// Keeps a file for the node that works the channel's statements, and waits until that one has
    /// run it, or has refused it.
    pub(super) async fn hand_over(
        &self,
        context: &ChannelContext,
        date: BusinessDate,
        (name, content): (String, UploadContent),
        source: FileSource,
    ) -> Result<ImportResult, ReconciliationError> {
        let channel = &context.channel;
        let landed = self.put(channel, date, (&name, &content), &source).await?;
        let content = bytes_of(&landed.sha256);
        let mut is_new = None;
        for _ in 0..HANDED_OVER_LOOKS_MAX {
            let revisions = self.books.store().statement_revisions(channel.clone(), date).await?;
            let taken = revisions.into_iter().find(|revision| revision.sha256 == content);
            let is_new = *is_new.get_or_insert(taken.is_none());
            if let Some(revision) = taken {
                let current = self.books.store().current_reconciliation(channel.clone(), date);
                if let Some(batch) = current.await? {
                    return Ok(ImportResult { revision, is_new, batch });
                }
            }
            let there = self.inbox.landed(channel, date, &landed.sha256).await?;
            if let Some(problem) = there.map(|one| one.refused).filter(|text| !text.is_empty()) {
                return Err(ReconciliationError::RefusedThere { problem });
            }
            tokio::time::sleep(HANDED_OVER_LOOKED_FOR_EVERY).await;
        }
        Err(ReconciliationError::AtAnotherNode { channel: channel.clone() })
    }

    /// Keeps a file that was handed in for all nodes; one that was refused may be tried again.
    pub(super) async fn put(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        (name, content): (&str, &UploadContent),
        source: &FileSource,
    ) -> Result<InboxFile, ReconciliationError> {
        let of_content = match content {
            UploadContent::Bytes(bytes) => LandingContent::Bytes(bytes),
            UploadContent::File(path) => LandingContent::File(path),
        };
        let landed = self.inbox.put((channel, date), name, of_content, source).await?;
        self.inbox.refuse(channel, date, &landed.sha256, "").await?;
        if let UploadContent::File(path) = content {
            tokio::fs::remove_file(path).await.map_err(|source| ReconciliationError::Io {
                context: format!("{} cannot be removed", path.display()),
                source,
            })?;
        }
        Ok(landed)
    }
}
