//! The files that several nodes on one store in memory share.

use std::collections::BTreeMap;

use crate::domain::books::statement::LandedFile;
use crate::domain::card::SealedPan;
use crate::domain::cluster::{
    ACTIVE_AFTER, Incarnation, LoadReport, Publication, SettingHistory, SettingKind, SettingVersion,
};
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::domain::write_set::WriteSet;
use crate::store::memory::{MemoryStore, lock};
use crate::store::{ClusterState, CommitError, PublishError, StoreError, StoreFuture, StoreRead};

/// What a database has in tables beside the books.
#[derive(Default)]
pub(super) struct SharedFiles {
    settings: SettingHistory,
    loaded: BTreeMap<Incarnation, (u64, String)>,
    statements: Vec<LandedFile>,
    parts: BTreeMap<(String, u32), Vec<u8>>,
    link_keys: BTreeMap<(ChannelId, String), SealedPan>,
}

impl MemoryStore {
    fn publish_version(&self, new: &Publication) -> Result<(u64, Timestamp), PublishError> {
        let active_at = {
            let mut state = lock(&self.shared.state);
            let active_at = state.nodes.now().plus(ACTIVE_AFTER);
            if state.files.settings.last() != new.after {
                return Err(PublishError::Overtaken);
            }
            state.files.settings.extend(vec![SettingVersion::of(new, active_at)]);
            active_at
        };
        let writes = WriteSet { audit: vec![new.audit_entry()], ..WriteSet::default() };
        self.write(&writes).map_err(|error| match error {
            CommitError::Failed(error) | CommitError::Unavailable(error) => error,
            other => StoreError::Unavailable { detail: other.to_string() },
        })?;
        Ok((new.after + 1, active_at))
    }
}

impl ClusterState for MemoryStore {
    fn settings_after(&self, version: u64) -> StoreRead<'_, (Vec<SettingVersion>, Timestamp)> {
        Box::pin(async move {
            let state = lock(&self.shared.state);
            let later = state.files.settings.versions().iter();
            let heads = later.filter(|one| one.version > version).map(|one| {
                let has_body = one.kind != SettingKind::BinTable;
                let body = if has_body { one.body.clone() } else { Vec::new() };
                SettingVersion { body, ..one.clone() }
            });
            Ok((heads.collect(), state.nodes.now()))
        })
    }

    fn setting_body<'a>(
        &'a self,
        kind: SettingKind,
        name: &'a str,
        version: u64,
    ) -> StoreRead<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let state = lock(&self.shared.state);
            let mut all = state.files.settings.versions().iter();
            let found =
                all.find(|one| (one.kind, one.name.as_str(), one.version) == (kind, name, version));
            Ok(found.map(|one| one.body.clone()))
        })
    }

    fn publish<'a>(
        &'a self,
        publication: &'a Publication,
    ) -> StoreFuture<'a, Result<(u64, Timestamp), PublishError>> {
        Box::pin(async move { self.publish_version(publication) })
    }

    fn seed<'a>(&'a self, first: &'a SettingHistory) -> StoreFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = lock(&self.shared.state);
            if state.files.settings.is_empty() {
                state.files.settings = first.clone();
            }
            Ok(())
        })
    }

    fn report_loaded<'a>(
        &'a self,
        who: Incarnation,
        loaded: u64,
        problem: &'a str,
    ) -> StoreFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = lock(&self.shared.state);
            state.files.loaded.insert(who, (loaded, problem.to_owned()));
            Ok(())
        })
    }

    fn statement_files<'a>(&'a self, channel: &'a ChannelId) -> StoreRead<'a, Vec<LandedFile>> {
        Box::pin(async move {
            let state = lock(&self.shared.state);
            let files = state.files.statements.iter().filter(|one| one.channel == *channel);
            Ok(files.cloned().collect())
        })
    }

    fn keep_part<'a>(
        &'a self,
        sha256: &'a str,
        part: u32,
        body: &'a [u8],
    ) -> StoreFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = lock(&self.shared.state);
            let key = (sha256.to_owned(), part);
            state.files.parts.insert(key, body.to_vec());
            Ok(())
        })
    }

    fn statement_part<'a>(&'a self, sha256: &'a str, part: u32) -> StoreRead<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let state = lock(&self.shared.state);
            Ok(state.files.parts.get(&(sha256.to_owned(), part)).cloned())
        })
    }

    fn land_statement<'a>(
        &'a self,
        file: &'a LandedFile,
    ) -> StoreFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut state = lock(&self.shared.state);
            let landed_at = state.nodes.now();
            let same = |one: &LandedFile| {
                (&one.channel, one.date) == (&file.channel, file.date)
                    && (one.name == file.name || one.sha256 == file.sha256)
            };
            let is_new = !state.files.statements.iter().any(same);
            if is_new {
                state.files.statements.push(LandedFile { landed_at, ..file.clone() });
            }
            Ok(is_new)
        })
    }

    fn refuse_statement<'a>(
        &'a self,
        channel: &'a ChannelId,
        date: BusinessDate,
        sha256: &'a str,
        problem: &'a str,
    ) -> StoreFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = lock(&self.shared.state);
            for one in &mut state.files.statements {
                if (&one.channel, one.date, one.sha256.as_str()) == (channel, date, sha256) {
                    problem.clone_into(&mut one.refused);
                }
            }
            Ok(())
        })
    }

    fn keep_link_key<'a>(
        &'a self,
        channel: &'a ChannelId,
        terminal: &'a str,
        sealed: &'a SealedPan,
    ) -> StoreFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = lock(&self.shared.state);
            let key = (channel.clone(), terminal.to_owned());
            state.files.link_keys.insert(key, sealed.clone());
            Ok(())
        })
    }

    fn link_keys<'a>(&'a self, channel: &'a ChannelId) -> StoreRead<'a, Vec<(String, SealedPan)>> {
        Box::pin(async move {
            let state = lock(&self.shared.state);
            let keys = state.files.link_keys.iter().filter(|((of, _), _)| of == channel);
            Ok(keys.map(|((_, terminal), sealed)| (terminal.clone(), sealed.clone())).collect())
        })
    }

    fn load_reports(&self) -> StoreRead<'_, Vec<LoadReport>> {
        Box::pin(async move {
            let state = lock(&self.shared.state);
            let now = state.nodes.now();
            let roster = state.nodes.roster();
            let standing = roster.standing().filter(|one| one.lease_until >= now);
            let report = standing.map(|one| {
                let told = state.files.loaded.get(&one.incarnation).cloned();
                let (loaded, problem) = told.unwrap_or_default();
                let (incarnation, address) = (one.incarnation, one.address.clone());
                LoadReport { incarnation, address, loaded, problem }
            });
            Ok(report.collect())
        })
    }
}
