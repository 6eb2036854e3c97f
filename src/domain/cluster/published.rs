//! What all nodes of a shared store run alike: versions of the BIN table, the routes and the
//! channel files. A publication takes effect everywhere at one moment of the store's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::closed_set;
use crate::domain::cluster::{Incarnation, RENEWED_EVERY};
use crate::domain::ids::ChannelId;
use crate::domain::time::Timestamp;
use crate::domain::write_set::AuditEntry;

/// How far ahead of its publication a version takes effect: three renewals of a lease, in which
/// every node that is at work fetches and checks it.
pub const ACTIVE_AFTER: Duration = Duration::from_secs(RENEWED_EVERY.as_secs() * 3);

closed_set! {
    /// The kinds of settings that all nodes share.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum SettingKind {
        BinTable => "bin_table",
        Channel => "channel",
        Routes => "routes",
    }
}

/// One version of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingVersion {
    pub kind: SettingKind,
    /// The channel of a channel file; empty for what there is one of.
    pub name: String,
    /// The number of its publication: versions of all kinds are counted together, from 1.
    pub version: u64,
    /// By the store's clock.
    pub active_at: Timestamp,
    /// Of the body, in lower-case hexadecimal.
    pub sha256: String,
    /// The file as it was read. Empty where only the heads of versions were asked for, which those
    /// of a BIN table always are in a listing.
    pub body: Vec<u8>,
    /// The line of the BIN table's history; empty for the other kinds.
    pub note: String,
    pub made_by: String,
    pub reason: String,
}

/// What one publication brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The last version that whoever publishes has seen: nothing is published over another's head.
    pub after: u64,
    pub kind: SettingKind,
    pub name: String,
    pub sha256: String,
    pub body: Vec<u8>,
    pub note: String,
    pub made_by: String,
    pub reason: String,
    /// By the clock of whoever publishes, for the audit trail.
    pub at: Timestamp,
}

impl Publication {
    /// What the audit trail says of it.
    pub fn audit_entry(&self) -> AuditEntry {
        AuditEntry {
            at: self.at,
            actor: self.made_by.clone(),
            approver: None,
            action: "settings.published".to_owned(),
            subject: self.subject(self.after + 1),
            reason: self.reason.clone(),
        }
    }

    /// What is published, for people.
    pub fn subject(&self, version: u64) -> String {
        match self.kind {
            SettingKind::Channel => format!("version {version}: channel {}", self.name),
            SettingKind::BinTable | SettingKind::Routes => {
                format!("version {version}: {}", self.kind)
            }
        }
    }
}

impl SettingVersion {
    /// The version that a publication becomes.
    pub fn of(new: &Publication, active_at: Timestamp) -> Self {
        Self {
            kind: new.kind,
            name: new.name.clone(),
            version: new.after + 1,
            active_at,
            sha256: new.sha256.clone(),
            body: new.body.clone(),
            note: new.note.clone(),
            made_by: new.made_by.clone(),
            reason: new.reason.clone(),
        }
    }
}

/// What a node says of the versions that it has fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadReport {
    pub incarnation: Incarnation,
    /// Where its API listens, for operators.
    pub address: String,
    /// The last version that it can run, 0 before the first.
    pub loaded: u64,
    /// Why it cannot run a later one; empty where it can.
    pub problem: String,
}

/// The versions that a store has, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingHistory {
    versions: Vec<SettingVersion>,
}

impl SettingHistory {
    /// Adds versions that are later than all before.
    pub fn extend(&mut self, later: Vec<SettingVersion>) {
        let last = self.last();
        self.versions.extend(later.into_iter().filter(|one| one.version > last));
    }

    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// The number of the last publication, 0 where there is none.
    pub fn last(&self) -> u64 {
        self.versions.last().map_or(0, |one| one.version)
    }

    /// The next switch of a node that runs a publication: its moment, and what all nodes run from
    /// then on. Where more moments have passed by now, they are one switch.
    pub fn next_switch(&self, running: u64, now: Timestamp) -> Option<(Timestamp, u64)> {
        let later = self.versions.iter().filter(|one| one.version > running);
        let at = later.map(|one| one.active_at).min()?;
        Some((at, self.last_active(at.max(now))))
    }

    /// The number of the last publication that has taken effect.
    pub fn last_active(&self, now: Timestamp) -> u64 {
        let active = self.versions.iter().filter(|one| one.active_at <= now);
        active.map(|one| one.version).max().unwrap_or(0)
    }

    pub fn versions(&self) -> &[SettingVersion] {
        &self.versions
    }

    /// All versions of a kind up to a publication, oldest first.
    pub fn of_kind(&self, kind: SettingKind, up_to: u64) -> impl Iterator<Item = &SettingVersion> {
        self.versions.iter().filter(move |one| one.kind == kind && one.version <= up_to)
    }

    /// The channel files as they stand after a publication.
    pub fn channels(&self, up_to: u64) -> BTreeMap<ChannelId, &SettingVersion> {
        let files = self.of_kind(SettingKind::Channel, up_to);
        files.filter_map(|one| Some((ChannelId::parse(&one.name).ok()?, one))).collect()
    }

    /// The routes as they stand after a publication; `None` where none were ever published.
    pub fn routes(&self, up_to: u64) -> Option<&SettingVersion> {
        self.of_kind(SettingKind::Routes, up_to).last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(kind: SettingKind, name: &str, version: u64, active_at: i64) -> SettingVersion {
        SettingVersion {
            kind,
            name: name.to_owned(),
            version,
            active_at: Timestamp::from_millis(active_at),
            sha256: String::new(),
            body: Vec::new(),
            note: String::new(),
            made_by: "a person".to_owned(),
            reason: "a test".to_owned(),
        }
    }

    #[test]
    fn each_setting_stands_as_its_last_publication_says() {
        let mut history = SettingHistory::default();
        assert_eq!((history.last(), history.last_active(Timestamp::from_millis(9))), (0, 0));
        history.extend(vec![
            version(SettingKind::Channel, "a", 1, 10),
            version(SettingKind::Channel, "b", 2, 10),
            version(SettingKind::Routes, "", 3, 10),
        ]);
        let later = vec![
            version(SettingKind::Routes, "", 3, 10),
            version(SettingKind::Channel, "a", 4, 20),
        ];
        history.extend(later);
        assert_eq!(history.last(), 4, "what is known is not taken twice");
        assert_eq!(history.of_kind(SettingKind::Routes, 9).count(), 1);
        for (now, active) in [(9, 0), (10, 3), (19, 3), (20, 4)] {
            assert_eq!(history.last_active(Timestamp::from_millis(now)), active, "at {now}");
        }
        for (running, now, switch) in [
            (0, 0, Some((10, 3))),
            (3, 0, Some((20, 4))),
            // A later publication holds no earlier one up.
            (2, 9, Some((10, 3))),
            // Of what was missed only the last is run.
            (2, 20, Some((10, 4))),
            (4, 20, None),
        ] {
            let next = history.next_switch(running, Timestamp::from_millis(now));
            let next = next.map(|(at, version)| (at.as_millis(), version));
            assert_eq!(next, switch, "at {now}, running {running}");
        }
        let files = |up_to| {
            let files = history.channels(up_to).into_values();
            files.map(|one| (one.name.as_str(), one.version)).collect::<Vec<_>>()
        };
        assert_eq!(files(3), [("a", 1), ("b", 2)]);
        assert_eq!(files(4), [("a", 4), ("b", 2)]);
        assert_eq!(history.routes(2), None);
        assert_eq!(history.routes(4).map(|one| one.version), Some(3));
    }
}
