//! The inbox where several nodes share a store: what lands at any node is kept there in parts, and
//! each node that works a channel's statements lays what it lacks into its own folder.
//!
//! A name belongs to one content of its channel and date on all nodes, since the books name files.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::channel::statement::StatementFile;
use crate::codec::crypto::digest::RunningSha256;
use crate::codec::sign::{hex_lower, sha256_hex};
use crate::domain::books::statement::{LandedFile, StatementOrigin};
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::reconciliation::error::InboxError;
use crate::reconciliation::{NOTHING, OWN_NAME};
use crate::store::{ClusterState, StoreError};

use super::inbox::{Inbox, InboxFile, digest_of, free_name};

/// Bytes of one part of a file.
const PART_BYTES: usize = 1024 * 1024;

/// A file that lands.
#[derive(Debug, Clone, Copy)]
pub enum LandingContent<'a> {
    Bytes(&'a [u8]),
    /// A file of this machine, which stays.
    File(&'a Path),
}

/// Where a file comes from, and who brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSource {
    pub origin: StatementOrigin,
    pub by: String,
}

impl Inbox {
    fn state(&self) -> Option<&dyn ClusterState> {
        self.store.as_ref()?.cluster_state()
    }

    /// Whether several nodes share what lands.
    pub fn is_shared(&self) -> bool {
        self.state().is_some()
    }

    /// Lands files that a channel has sent; none of them is a date on which nothing happened.
    pub async fn take(
        self: &Arc<Self>,
        channel: &ChannelId,
        date: BusinessDate,
        files: Vec<StatementFile>,
    ) -> Result<Vec<InboxFile>, InboxError> {
        let source = FileSource { origin: StatementOrigin::Download, by: OWN_NAME.to_owned() };
        if !self.is_shared() {
            let (inbox, channel) = (Arc::clone(self), channel.clone());
            return blocking(move || inbox.land(&channel, date, &files)).await;
        }
        if files.is_empty() {
            let nothing = LandingContent::Bytes(&[]);
            self.put((channel, date), NOTHING, nothing, &source).await?;
        }
        let mut landed = Vec::with_capacity(files.len());
        for file in &files {
            let content = LandingContent::Bytes(&file.bytes);
            landed.push(self.put((channel, date), file.name(), content, &source).await?);
        }
        Ok(landed)
    }

    /// Keeps a file for all nodes, under its name or the first version of it that is free.
    pub async fn put(
        &self,
        (channel, date): (&ChannelId, BusinessDate),
        name: &str,
        content: LandingContent<'_>,
        source: &FileSource,
    ) -> Result<InboxFile, InboxError> {
        let state = self.state().ok_or_else(not_shared)?;
        let (sha256, bytes) = digest(content).await?;
        let mut is_kept = false;
        // Ends with a name of its own, or when there are too many.
        loop {
            let files = state.statement_files(channel).await?;
            let of_date = || files.iter().filter(|one| one.date == date);
            if let Some(known) = of_date().find(|one| one.sha256 == sha256) {
                return Ok(InboxFile { name: known.name.clone(), sha256, is_new: false });
            }
            let taken: BTreeSet<&str> = of_date().map(|one| one.name.as_str()).collect();
            let name = match name {
                NOTHING => NOTHING.to_owned(),
                name => free_name(|free| taken.contains(free), name)?,
            };
            if !is_kept {
                keep_parts(state, &sha256, content).await?;
                is_kept = true;
            }
            let file = LandedFile {
                channel: channel.clone(),
                date,
                name: name.clone(),
                sha256: sha256.clone(),
                bytes,
                landed_at: Timestamp::from_millis(0),
                origin: source.origin,
                by: source.by.clone(),
                refused: String::new(),
            };
            if state.land_statement(&file).await? || name == NOTHING {
                return Ok(InboxFile { name, sha256, is_new: true });
            }
        }
    }

    /// Lets all nodes have what lies here and landed before they shared it, or was laid in by hand.
    pub async fn offer(self: &Arc<Self>, channel: &ChannelId) -> Result<(), InboxError> {
        let Some(state) = self.state() else { return Ok(()) };
        let shared = state.statement_files(channel).await?;
        let (inbox, looked) = (Arc::clone(self), channel.clone());
        let own = blocking(move || {
            let dates = inbox.dates(&looked)?.into_iter();
            let files = dates.map(|date| Ok((date, inbox.by_age(&looked, date)?)));
            files.collect::<Result<Vec<(BusinessDate, Vec<InboxFile>)>, InboxError>>()
        });
        for (date, files) in own.await? {
            let folder = self.folder(channel, date);
            let of_date = || shared.iter().filter(|one| one.date == date);
            if files.is_empty() && of_date().next().is_none() {
                let is_answered = self.is_answered(channel, date)?;
                if is_answered {
                    self.take(channel, date, Vec::new()).await?;
                }
            }
            for file in files {
                if of_date().any(|one| one.sha256 == file.sha256) {
                    continue;
                }
                let path = folder.join(&file.name);
                let source = FileSource { origin: StatementOrigin::Inbox, by: OWN_NAME.to_owned() };
                let content = LandingContent::File(&path);
                let put = self.put((channel, date), &file.name, content, &source).await?;
                if put.name != file.name {
                    let (inbox, channel) = (Arc::clone(self), channel.clone());
                    blocking(move || inbox.rename(&channel, date, &file.name, &put.name)).await?;
                }
            }
        }
        Ok(())
    }

    /// Lays into this node's folder what it lacks of a channel's files.
    pub async fn bring(self: &Arc<Self>, channel: &ChannelId) -> Result<(), InboxError> {
        let Some(state) = self.state() else { return Ok(()) };
        let shared = state.statement_files(channel).await?;
        let has_all = |files: &[LandedFile]| {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(channel).is_some_and(|known| known == files)
        };
        if has_all(&shared) {
            return Ok(());
        }
        for file in &shared {
            let (inbox, looked) = (Arc::clone(self), file.clone());
            let lacks = blocking(move || inbox.lacks(&looked)).await?;
            if !lacks {
                continue;
            }
            if file.name == NOTHING {
                let (inbox, answered) = (Arc::clone(self), file.clone());
                blocking(move || inbox.land(&answered.channel, answered.date, &[])).await?;
                continue;
            }
            let path = self.fetch_parts(state, file).await?;
            let (inbox, laid) = (Arc::clone(self), file.clone());
            blocking(move || inbox.lay(&laid, &path)).await?;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(channel.clone(), shared);
        Ok(())
    }

    /// Fetches a file's parts into a file beside the inbox's folders.
    async fn fetch_parts(
        self: &Arc<Self>,
        state: &dyn ClusterState,
        file: &LandedFile,
    ) -> Result<std::path::PathBuf, InboxError> {
        let path = self.parts_path(&file.sha256)?;
        let failed = |source| InboxError::Io { path: path.clone(), source };
        let mut fetched = tokio::fs::File::create(&path).await.map_err(failed)?;
        let parts = file.bytes.div_ceil(PART_BYTES as u64);
        for part in 0..u32::try_from(parts).unwrap_or(u32::MAX) {
            let body = state.statement_part(&file.sha256, part).await?;
            let missing = || InboxError::Missing { name: file.name.clone(), date: file.date };
            fetched.write_all(&body.ok_or_else(missing)?).await.map_err(failed)?;
        }
        fetched.sync_all().await.map_err(failed)?;
        let (looked, sha256) = (path.clone(), file.sha256.clone());
        let is_whole = blocking(move || {
            let found = digest_of(&looked);
            found.map_err(|source| InboxError::Io { path: looked, source })
        });
        if is_whole.await? == sha256 {
            return Ok(path);
        }
        Err(InboxError::Missing { name: file.name.clone(), date: file.date })
    }

    /// The files of a date that have landed at any node.
    pub async fn listed(
        self: &Arc<Self>,
        channel: &ChannelId,
        date: BusinessDate,
    ) -> Result<Vec<(String, String)>, InboxError> {
        let Some(state) = self.state() else {
            let (inbox, channel) = (Arc::clone(self), channel.clone());
            let files = blocking(move || inbox.files_of(&channel, date)).await?;
            return Ok(files.into_iter().collect());
        };
        let files = state.statement_files(channel).await?.into_iter();
        let of_date = files.filter(|one| one.date == date && one.name != NOTHING);
        let mut listed: Vec<_> = of_date.map(|one| (one.name, one.sha256)).collect();
        listed.sort_unstable();
        Ok(listed)
    }

    /// What the store has of a content; `None` where nodes share nothing.
    pub async fn landed(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        sha256: &str,
    ) -> Result<Option<LandedFile>, InboxError> {
        let Some(state) = self.state() else { return Ok(None) };
        let files = state.statement_files(channel).await?;
        Ok(files.into_iter().find(|one| one.date == date && one.sha256 == sha256))
    }

    /// What this node knew of a content when it last looked.
    pub fn known(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        sha256: &str,
    ) -> Option<LandedFile> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let files = known.get(channel)?;
        files.iter().find(|one| one.date == date && one.sha256 == sha256).cloned()
    }

    /// Says to all nodes why a content is refused; an empty text lets it be tried again.
    pub async fn refuse(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        sha256: &str,
        problem: &str,
    ) -> Result<(), InboxError> {
        let Some(state) = self.state() else { return Ok(()) };
        state.refuse_statement(channel, date, sha256, problem).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let files = known.get_mut(channel).into_iter().flatten();
        for one in files.filter(|one| one.date == date && one.sha256 == sha256) {
            problem.clone_into(&mut one.refused);
        }
        Ok(())
    }
}

fn not_shared() -> InboxError {
    let detail = "it shares no files".to_owned();
    InboxError::Store(StoreError::Unavailable { detail })
}

/// SHA-256 in lower-case hexadecimal, and the length in bytes.
async fn digest(content: LandingContent<'_>) -> Result<(String, u64), InboxError> {
    match content {
        LandingContent::Bytes(bytes) => Ok((sha256_hex(bytes), bytes.len() as u64)),
        LandingContent::File(path) => {
            let path = path.to_owned();
            let digested = blocking(move || {
                let read = || Ok((digest_of(&path)?, path.metadata()?.len()));
                read().map_err(|source| InboxError::Io { path: path.clone(), source })
            });
            digested.await
        }
    }
}

async fn keep_parts(
    state: &dyn ClusterState,
    sha256: &str,
    content: LandingContent<'_>,
) -> Result<(), InboxError> {
    match content {
        LandingContent::Bytes(bytes) => {
            for (part, body) in (0..).zip(bytes.chunks(PART_BYTES)) {
                state.keep_part(sha256, part, body).await?;
            }
        }
        LandingContent::File(path) => {
            let failed = |source| InboxError::Io { path: path.to_owned(), source };
            let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
            let mut kept = RunningSha256::default();
            // Ends with the file.
            for part in 0.. {
                let mut body = Vec::new();
                let mut piece = (&mut file).take(PART_BYTES as u64);
                if piece.read_to_end(&mut body).await.map_err(failed)? == 0 {
                    break;
                }
                kept.update(&body);
                state.keep_part(sha256, part, &body).await?;
            }
            // Whoever laid it in by hand may have written on: what lands is what was digested.
            if hex_lower(&kept.finish()) != sha256 {
                return Err(failed(io::Error::other("it has changed while it was read")));
            }
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InboxError> + Send + 'static,
) -> Result<T, InboxError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(InboxError::Died))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;

    fn inbox(store: &MemoryStore, node: u16) -> (tempfile::TempDir, Arc<Inbox>) {
        let scratch = tempfile::tempdir().expect("a folder");
        let store: Arc<dyn Store> = Arc::new(store.join(node, "127.0.0.1:1").expect("it is free"));
        let inbox = Arc::new(Inbox::of_node(scratch.path(), store));
        (scratch, inbox)
    }

    fn place() -> (ChannelId, BusinessDate) {
        let date = BusinessDate::parse("2026-11-21").expect("a date");
        (ChannelId::parse("unionpay").expect("an id"), date)
    }

    fn file(name: &str, bytes: &[u8]) -> Vec<StatementFile> {
        vec![StatementFile::new(name, bytes.to_vec()).expect("a name")]
    }

    /// Some parts, the last one not full.
    fn large() -> Vec<u8> {
        (0..PART_BYTES * 2 + 77).map(|place| (place % 251) as u8).collect()
    }

    #[tokio::test]
    async fn what_lands_at_one_node_is_laid_down_at_another() {
        let store = MemoryStore::of_nodes(Arc::new(|| Timestamp::from_millis(1_795_334_400_000)));
        let ((_one, one), (_other, other)) = (inbox(&store, 1), inbox(&store, 2));
        let (channel, date) = place();
        let landed = one.take(&channel, date, file("zm", &large())).await.expect("room");
        assert_eq!((landed[0].name.as_str(), landed[0].is_new), ("zm", true));
        // The same name with other content, at the node that has not heard of the first.
        let landed = other.take(&channel, date, file("zm", b"another")).await.expect("room");
        assert_eq!((landed[0].name.as_str(), landed[0].is_new), ("zm.2", true));
        let landed = other.take(&channel, date, file("x", &large())).await.expect("room");
        assert_eq!((landed[0].name.as_str(), landed[0].is_new), ("zm", false));
        let next = date.next();
        other.take(&channel, next, Vec::new()).await.expect("room");
        for inbox in [&one, &other] {
            inbox.bring(&channel).await.expect("room");
            let folder = inbox.folder(&channel, date);
            assert_eq!(std::fs::read(folder.join("zm")).expect("a file"), large());
            assert_eq!(std::fs::read(folder.join("zm.2")).expect("a file"), b"another");
            assert_eq!(inbox.files_of(&channel, date).expect("a list").len(), 2);
            assert!(inbox.is_answered(&channel, next).expect("a list"), "nothing happened");
            assert_eq!(inbox.listed(&channel, date).await.expect("a list").len(), 2);
        }
    }

    /// A file that changed while it was read leaves parts under a digest that is not theirs.
    #[tokio::test]
    async fn a_part_that_was_left_behind_damages_no_file() {
        let store = MemoryStore::of_nodes(Arc::new(|| Timestamp::from_millis(1_795_334_400_000)));
        let ((_one, one), (_other, other)) = (inbox(&store, 1), inbox(&store, 2));
        let (channel, date) = place();
        let state = one.state().expect("nodes share files");
        state.keep_part(&sha256_hex(b"whole"), 0, b"half").await.expect("room");
        one.take(&channel, date, file("zm", b"whole")).await.expect("room");
        other.bring(&channel).await.expect("room");
        let laid = std::fs::read(other.folder(&channel, date).join("zm"));
        assert_eq!(laid.expect("a file"), b"whole");
    }

    /// Files of before, and one that stands in the way.
    #[tokio::test]
    async fn what_landed_before_is_offered_and_nothing_is_written_over() {
        let store = MemoryStore::of_nodes(Arc::new(|| Timestamp::from_millis(1_795_334_400_000)));
        let ((_one, one), (_other, other)) = (inbox(&store, 1), inbox(&store, 2));
        let (channel, date) = place();
        one.land(&channel, date, &file("zm", b"mine")).expect("room");
        other.land(&channel, date, &file("zm", b"yours")).expect("room");
        for inbox in [&one, &other, &one] {
            inbox.offer(&channel).await.expect("room");
            inbox.bring(&channel).await.expect("room");
        }
        let by_hand = other.folder(&channel, date.next());
        std::fs::create_dir_all(&by_hand).expect("a folder");
        std::fs::write(by_hand.join("late"), b"by hand").expect("a file");
        one.take(&channel, date.next(), file("late", b"sent")).await.expect("room");
        other.bring(&channel).await.expect("room");
        for (name, bytes) in [("late", &b"sent"[..]), ("late.2", b"by hand")] {
            assert_eq!(std::fs::read(by_hand.join(name)).expect("a file"), bytes, "{name}");
        }
        for inbox in [&one, &other] {
            let folder = inbox.folder(&channel, date);
            for (name, bytes) in [("zm", &b"mine"[..]), ("zm.2", b"yours")] {
                assert_eq!(std::fs::read(folder.join(name)).expect("a file"), bytes, "{name}");
            }
        }
    }
}
