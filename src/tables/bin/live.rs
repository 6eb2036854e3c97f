//! The live BIN table: its lookups, its refresh and its rollback.
//!
//! Lookups are wait-free and see one whole table each; a refresh builds another one beside it and
//! swaps a pointer. The order of a refresh is fixed: parse, check, compare, refuse what looks
//! wrong, make the new version durable, record who did it, and only then swap. So the live table
//! is never one that a restart would not load. All functions but the lookups block on the disk:
//! call them where blocking is allowed. Time comes in as a value.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::Serialize;

use super::diff::{DiffCounts, TableDiff};
use super::fetch::public_source;
use super::history::VersionInfo;
use super::read::{TableFormat, read_source, write_csv};
use super::refresh::{Occasion, RefreshOptions, RefreshRefusal, complete, judge};
use super::versions::{
    FolderLock, History, SHIPPED_VERSION, VersionAction, VersionError, VersionFolder,
    VersionProblem, VersionRecord, sha256_hex,
};
use super::view::{DatedTable, StatedText};
use super::{SHIPPED_SOURCE, shipped_as_of, shipped_table};
use crate::domain::bin::{BinRow, BinTable, StatedDate};
use crate::domain::time::Timestamp;

/// The longest name of a person or a source in the history, in characters.
const RECORDED_LENGTH_MAX: usize = 200;
/// How many versions beside the live one stay in memory once they were looked at.
const LOOKED_AT_MAX: usize = 2;
/// The longest reason there.
const REASON_LENGTH_MAX: usize = 500;

/// A table and where it came from. Immutable: hold it for as long as one answer needs it.
#[derive(Debug)]
pub struct ActiveTable {
    pub table: Arc<BinTable>,
    /// 0 is the shipped table.
    pub version: u32,
    /// Of the table in our own format, in lower-case hexadecimal.
    pub sha256: String,
    pub source: String,
    /// The date of the facts of all rows that state no other.
    pub as_of: StatedDate,
    /// When this version became the live one; `None` for the shipped table of a fresh installation.
    pub since_ms: Option<i64>,
    pub by: Option<String>,
    pub reason: Option<String>,
}

impl ActiveTable {
    /// The table, to be told with the age of its facts.
    pub fn dated(&self, now: Timestamp) -> DatedTable<'_> {
        DatedTable { table: &self.table, as_of: Some(self.as_of), now }
    }
}

/// The result of a refresh.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "BinTableRefresh")]
pub struct RefreshReport {
    /// The live version after it.
    pub version: u32,
    /// The live version before it.
    pub previous_version: u32,
    /// Whether the source held the live table already: then nothing was written.
    pub unchanged: bool,
    /// The format in which it came.
    #[schemars(with = "crate::codec::texts::WordForm<TableFormat>")]
    pub format: TableFormat,
    /// How many rows it has.
    pub rows: usize,
    /// Changes of issuers' names: of the source, or as they were where it has none.
    pub issuer_changes: usize,
    /// The date of the facts of all rows that state no other.
    pub as_of: StatedText,
    /// Rows that the source marks as deleted and that were left out.
    pub deleted: usize,
    /// What differs from the one before.
    pub counts: DiffCounts,
    /// Its SHA-256.
    pub sha256: String,
    /// Whether a suspicion was overruled.
    pub forced: bool,
    #[serde(skip)]
    pub diff: TableDiff,
}

/// The result of a rollback.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "BinTableRollback")]
pub struct RollbackReport {
    /// The version in force now.
    pub version: u32,
    /// The version in force before.
    pub previous_version: u32,
    /// How many rows it has.
    pub rows: usize,
    /// What differs from the one before.
    pub counts: DiffCounts,
    #[serde(skip)]
    pub diff: TableDiff,
}

/// Where a rollback goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollbackTarget {
    /// The version that was live before the live one and is still good.
    Previous,
    /// This version, which must be kept; 0 is the shipped table.
    Version(u32),
}

/// Why a rollback did not happen; the live table stays.
#[derive(Debug, thiserror::Error)]
pub enum RollbackRefusal {
    #[error("no earlier version is kept")]
    NothingEarlier,
    #[error("version {version} is not in the history")]
    Unknown { version: u32 },
    #[error("version {version} is live already")]
    AlreadyLive { version: u32 },
    #[error(transparent)]
    Damaged(VersionProblem),
    #[error(transparent)]
    Versions(#[from] VersionError),
}

impl RollbackRefusal {
    /// The stable code of the refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingEarlier => "nothing_earlier",
            Self::Unknown { .. } => "unknown_version",
            Self::AlreadyLive { .. } => "already_live",
            Self::Damaged(_) => "damaged_version",
            Self::Versions(_) => "versions",
        }
    }
}

/// Why a version cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableVersion {
    #[error("version {version} of the BIN table is not in the history")]
    Unknown { version: u32 },
    #[error(transparent)]
    Damaged(VersionProblem),
    #[error(transparent)]
    Versions(#[from] VersionError),
}

impl UnreadableVersion {
    /// The stable code of the refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown_version",
            Self::Damaged(_) => "damaged_version",
            Self::Versions(_) => "versions",
        }
    }
}

/// A version that is kept, live or not.
#[derive(Debug, Clone)]
pub struct KeptTable {
    pub version: u32,
    pub table: Arc<BinTable>,
    /// The date of the facts of all rows that state no other.
    pub as_of: StatedDate,
}

impl KeptTable {
    /// The table, to be told with the age of its facts.
    pub fn dated(&self, now: Timestamp) -> DatedTable<'_> {
        DatedTable { table: &self.table, as_of: Some(self.as_of), now }
    }
}

/// A table with what its folder said when it was loaded.
struct LoadedTable {
    active: Arc<ActiveTable>,
    problems: Vec<VersionProblem>,
    history_bytes: u64,
}

/// A table that has passed its checks, with its line of the history.
pub(super) struct WeighedTable {
    pub record: VersionRecord,
    /// The table in our own format.
    pub csv: Vec<u8>,
    pub table: Arc<BinTable>,
}

pub(super) type WeighedRollback =
    (RollbackReport, VersionRecord, Arc<BinTable>, Vec<VersionProblem>);

/// The live table, shared by all who look up.
pub struct LiveBinTable {
    pub(super) folder: VersionFolder,
    loaded: ArcSwap<LoadedTable>,
    /// The versions that were looked at last, by their digests: who compares two goes through them
    /// page by page.
    looked_at: Mutex<VecDeque<(String, KeptTable)>>,
}

impl LiveBinTable {
    /// Loads the newest recorded version whose digest fits, else the shipped table. `problems`
    /// lists the versions that it passed over. Creates nothing on the disk.
    pub fn load(data_dir: &Path) -> Result<Self, VersionError> {
        let folder = VersionFolder::below(data_dir);
        let history = folder.history()?;
        let loaded = load_newest(&folder, &history);
        let loaded = ArcSwap::from_pointee(loaded);
        Ok(Self { folder, loaded, looked_at: Mutex::default() })
    }

    /// The live table. Wait-free; a refresh meanwhile leaves the answer whole.
    pub fn current(&self) -> Arc<ActiveTable> {
        Arc::clone(&self.loaded.load().active)
    }

    /// The row of a whole card number. Wait-free.
    pub fn lookup(&self, digits: &[u8]) -> Option<Arc<BinRow>> {
        self.loaded.load().active.table.lookup(digits).cloned()
    }

    /// Damaged or missing files when the live table was loaded. An operator must repair them.
    pub fn problems(&self) -> Vec<VersionProblem> {
        self.loaded.load().problems.clone()
    }

    /// Takes the table in `bytes`, or says why not and changes nothing. `source` is a path or URL.
    pub fn refresh(
        &self,
        bytes: &[u8],
        source: &str,
        occasion: Occasion<'_>,
        options: &RefreshOptions,
    ) -> Result<RefreshReport, RefreshRefusal> {
        let lock = self.folder.lock_own()?;
        let mut history = self.folder.history()?;
        let (mut report, weighed) =
            self.weigh_refresh(&history, bytes, (source, occasion), options)?;
        let Some(weighed) = weighed else { return Ok(report) };
        report.version = self.folder.write(&lock, &history, &weighed.csv)?;
        history.records.push(VersionRecord { version: report.version, ..weighed.record });
        self.commit(&lock, &mut history, weighed.table, Vec::new())?;
        self.prune(&lock, &history, options.versions_kept);
        Ok(report)
    }

    /// What a refresh would report and make, and nothing changes. No table where the source holds
    /// the live one already.
    pub(super) fn weigh_refresh(
        &self,
        history: &History,
        bytes: &[u8],
        (source, occasion): (&str, Occasion<'_>),
        options: &RefreshOptions,
    ) -> Result<(RefreshReport, Option<WeighedTable>), RefreshRefusal> {
        let source_read = read_source(bytes, options.read)?;
        // Another process may have refreshed since: compare with what is live on the disk.
        let before = self.live_on_disk(history);
        let taken = complete(source_read, (&before.table, before.as_of), options.as_of, occasion)?;
        let diff = TableDiff::between(&before.table, &taken.table);
        let csv = write_csv(&taken.table);
        let sha256 = sha256_hex(&csv);
        // The same rows are news where they are said to be of another date.
        let is_redated = options.as_of.is_some() && taken.as_of != before.as_of;
        let unchanged = sha256 == before.sha256 && !is_redated;
        if let Some(wanted) = options.over.filter(|wanted| *wanted != before.version)
            && !unchanged
        {
            return Err(RefreshRefusal::OtherVersion { live: before.version, wanted });
        }
        let refusal = judge(&taken.table, &before.table, &diff, options);
        let forced = refusal.is_some() && options.force;
        if let (Some(refusal), false, false) = (refusal, forced, unchanged) {
            return Err(refusal);
        }
        let mut report = RefreshReport {
            version: before.version,
            previous_version: before.version,
            unchanged,
            format: taken.format,
            rows: taken.table.len(),
            issuer_changes: taken.table.issuers().all().len(),
            as_of: StatedText(taken.as_of),
            deleted: taken.deleted,
            counts: diff.counts(),
            sha256: sha256.clone(),
            forced,
            diff,
        };
        if unchanged {
            report.as_of = StatedText(before.as_of);
            return Ok((report, None));
        }
        report.version = history.next_version();
        let record = VersionRecord {
            version: report.version,
            action: VersionAction::Refresh,
            at_ms: occasion.now_ms,
            by: recorded(occasion.who, RECORDED_LENGTH_MAX),
            reason: occasion.reason.map(|reason| recorded(reason, REASON_LENGTH_MAX)),
            source: recorded(&public_source(source), RECORDED_LENGTH_MAX),
            sha256,
            rows: report.rows,
            issuer_changes: report.issuer_changes,
            as_of: report.as_of,
            counts: report.counts,
            forced,
        };
        Ok((report, Some(WeighedTable { record, csv, table: taken.table })))
    }

    /// Makes an earlier version the live one. Nothing is deleted, so a further rollback undoes it.
    pub fn rollback(
        &self,
        target: RollbackTarget,
        occasion: Occasion<'_>,
    ) -> Result<RollbackReport, RollbackRefusal> {
        let lock = self.folder.lock_own()?;
        let mut history = self.folder.history()?;
        let (report, record, table, problems) = self.weigh_rollback(&history, target, occasion)?;
        history.records.push(record);
        self.commit(&lock, &mut history, table, problems)?;
        Ok(report)
    }

    /// What a rollback would report and make, and nothing changes; with the damaged versions that
    /// it passes over.
    pub(super) fn weigh_rollback(
        &self,
        history: &History,
        target: RollbackTarget,
        occasion: Occasion<'_>,
    ) -> Result<WeighedRollback, RollbackRefusal> {
        let before = self.live_on_disk(history);
        let (version, table, problems) = match target {
            RollbackTarget::Version(version) if version == before.version => {
                return Err(RollbackRefusal::AlreadyLive { version });
            }
            RollbackTarget::Version(version) => {
                if version != SHIPPED_VERSION && history.origin(version).is_none() {
                    return Err(RollbackRefusal::Unknown { version });
                }
                let table = read_version(&self.folder, history, version);
                (version, table.map_err(RollbackRefusal::Damaged)?, Vec::new())
            }
            RollbackTarget::Previous => {
                let mut earlier = history.succession();
                // The live version may be older than the last one of the history, if that one is
                // damaged.
                let live = earlier.iter().rposition(|version| *version == before.version);
                earlier.truncate(live.unwrap_or(0));
                newest_good(&self.folder, history, &earlier)
                    .ok_or(RollbackRefusal::NothingEarlier)?
            }
        };
        let diff = TableDiff::between(&before.table, &table);
        let origin = history.origin(version);
        let record = VersionRecord {
            version,
            action: VersionAction::Rollback,
            at_ms: occasion.now_ms,
            by: recorded(occasion.who, RECORDED_LENGTH_MAX),
            reason: occasion.reason.map(|reason| recorded(reason, REASON_LENGTH_MAX)),
            source: origin.map_or(SHIPPED_SOURCE, |record| &record.source).to_owned(),
            sha256: origin.map_or_else(|| digest_of(&table), |record| record.sha256.clone()),
            rows: table.len(),
            issuer_changes: table.issuers().all().len(),
            as_of: StatedText(origin.map_or_else(shipped_as_of, |record| record.as_of.0)),
            counts: diff.counts(),
            forced: false,
        };
        let report = RollbackReport {
            version,
            previous_version: before.version,
            rows: table.len(),
            counts: diff.counts(),
            diff,
        };
        Ok((report, record, table, problems))
    }

    /// Loads again if another process changed the table; answers whether it did. Cheap if not.
    pub fn reload_if_newer(&self) -> Result<bool, VersionError> {
        if self.folder.history_bytes()? == self.loaded.load().history_bytes {
            return Ok(false);
        }
        // Under the lock, so that a change which this process is just making is not undone.
        let _lock = self.folder.lock()?;
        let history = self.folder.history()?;
        let before = self.current().version;
        Ok(self.live_on_disk(&history).version != before)
    }

    /// A version that is kept; 0 is the shipped table. One that was looked at just before is not
    /// read again.
    pub fn kept(&self, version: u32) -> Result<KeptTable, UnreadableVersion> {
        let active = self.current();
        if active.version == version {
            let table = Arc::clone(&active.table);
            return Ok(KeptTable { version, table, as_of: active.as_of });
        }
        let history = self.folder.history()?;
        let origin = history.origin(version);
        if version != SHIPPED_VERSION && origin.is_none() {
            return Err(UnreadableVersion::Unknown { version });
        }
        let Some(origin) = origin else {
            return Ok(KeptTable { version, table: shipped_table(), as_of: shipped_as_of() });
        };
        let looked_at = || self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_this = |(sha256, kept): &&(String, KeptTable)| {
            kept.version == version && *sha256 == origin.sha256
        };
        let is_there = self.folder.files()?.contains_key(&version);
        if let Some((_, kept)) = looked_at().iter().find(is_this).filter(|_| is_there) {
            return Ok(kept.clone());
        }
        let table = read_version(&self.folder, &history, version);
        let table = table.map_err(UnreadableVersion::Damaged)?;
        let kept = KeptTable { version, table, as_of: origin.as_of.0 };
        let mut looked_at = looked_at();
        looked_at.truncate(LOOKED_AT_MAX - 1);
        looked_at.push_front((origin.sha256.clone(), kept.clone()));
        Ok(kept)
    }

    /// The recorded changes, the oldest first.
    pub fn versions(&self) -> Result<Vec<VersionInfo>, VersionError> {
        let history = self.folder.history()?;
        let kept = self.folder.files()?;
        let live_version = self.current().version;
        let is_live = |record: &VersionRecord| record.version == live_version;
        let live = history.records.iter().rposition(is_live);
        let infos = history.records.into_iter().enumerate().map(|(place, record)| {
            let is_kept = record.version == SHIPPED_VERSION || kept.contains_key(&record.version);
            VersionInfo::of(record, is_kept, live == Some(place))
        });
        Ok(infos.collect())
    }

    /// The table that a restart would load now. If another process changed it, it becomes the live
    /// one here too, so that the answers of both agree. Called under the lock.
    pub(super) fn live_on_disk(&self, history: &History) -> Arc<ActiveTable> {
        if history.bytes != self.loaded.load().history_bytes {
            return self.load_again(history);
        }
        self.current()
    }

    /// Loads the newest good version of a history, and runs it.
    pub(super) fn load_again(&self, history: &History) -> Arc<ActiveTable> {
        self.loaded.store(Arc::new(load_newest(&self.folder, history)));
        self.current()
    }

    /// Makes the last record durable and its table the live one.
    fn commit(
        &self,
        lock: &FolderLock,
        history: &mut History,
        table: Arc<BinTable>,
        problems: Vec<VersionProblem>,
    ) -> Result<(), VersionError> {
        let record = history.records.last().expect("the caller has just added a record");
        let history_bytes = self.folder.record(lock, record)?;
        let active = Arc::new(activate(record.version, table, Some(record), record.sha256.clone()));
        self.loaded.store(Arc::new(LoadedTable { active, problems, history_bytes }));
        Ok(())
    }

    /// Removes old versions. A failure is no reason to refuse a table that is live already.
    fn prune(&self, lock: &FolderLock, history: &History, kept_max: usize) {
        let succession = history.succession();
        let needed = &succession[succession.len().saturating_sub(2)..];
        if let Err(error) = self.folder.prune(lock, kept_max, needed) {
            tracing::warn!(bin.problem = %error, "old versions of the BIN table cannot be removed");
        }
    }
}

fn load_newest(folder: &VersionFolder, history: &History) -> LoadedTable {
    let mut problems = history.problems.clone();
    let succession = history.succession();
    let (version, table, passed_over) = newest_good(folder, history, &succession)
        .expect("a succession begins with the shipped table, which is always good");
    problems.extend(passed_over);
    for problem in &problems {
        tracing::error!(
            bin.problem = %problem, bin.version = version,
            "a BIN table is damaged; an older one is used"
        );
    }
    let record = history.records.iter().rfind(|record| record.version == version);
    let origin = history.origin(version);
    let sha256 = origin.map_or_else(|| digest_of(&table), |record| record.sha256.clone());
    let active = Arc::new(activate(version, table, record, sha256));
    LoadedTable { active, problems, history_bytes: history.bytes }
}

/// The last version of a succession that can be read, and what was passed over on the way to it.
fn newest_good(
    folder: &VersionFolder,
    history: &History,
    succession: &[u32],
) -> Option<(u32, Arc<BinTable>, Vec<VersionProblem>)> {
    let mut problems = Vec::new();
    for version in succession.iter().rev() {
        match read_version(folder, history, *version) {
            Ok(table) => return Some((*version, table, problems)),
            Err(problem) => problems.push(problem),
        }
    }
    None
}

fn read_version(
    folder: &VersionFolder,
    history: &History,
    version: u32,
) -> Result<Arc<BinTable>, VersionProblem> {
    if version == SHIPPED_VERSION {
        return Ok(shipped_table());
    }
    let origin = history.origin(version).ok_or(VersionProblem::Missing { version })?;
    folder.read(version, &origin.sha256).map(Arc::new)
}

fn activate(
    version: u32,
    table: Arc<BinTable>,
    record: Option<&VersionRecord>,
    sha256: String,
) -> ActiveTable {
    ActiveTable {
        table,
        version,
        sha256,
        source: record.map_or(SHIPPED_SOURCE, |record| &record.source).to_owned(),
        as_of: record.map_or_else(shipped_as_of, |record| record.as_of.0),
        since_ms: record.map(|record| record.at_ms),
        by: record.map(|record| record.by.clone()),
        reason: record.and_then(|record| record.reason.clone()),
    }
}

fn digest_of(table: &BinTable) -> String {
    sha256_hex(&write_csv(table))
}

/// A text as the history keeps it: cut, and on one line.
fn recorded(text: &str, length_max: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(length_max).collect()
}
