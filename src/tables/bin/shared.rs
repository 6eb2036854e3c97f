//! The BIN table where all nodes of a store share one: a change is weighed here and published
//! there, and the folder is a copy of what the store says.

use super::live::{LiveBinTable, RefreshReport, RollbackRefusal, RollbackReport, RollbackTarget};
use super::read::{ReadOptions, read_table, write_csv};
use super::refresh::{Occasion, RefreshOptions, RefreshRefusal};
use super::versions::{SHIPPED_VERSION, VersionAction, VersionError, VersionRecord, sha256_hex};

/// A version of the table as it is published: its line of the history, and the table in our own
/// format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTable {
    pub line: String,
    /// Of the table, in lower-case hexadecimal.
    pub sha256: String,
    pub csv: Vec<u8>,
}

impl PublishedTable {
    fn new(record: &VersionRecord, csv: Vec<u8>) -> Self {
        let line = serde_json::to_string(record);
        let line = line.expect("a record has only texts and numbers");
        Self { line, sha256: record.sha256.clone(), csv }
    }
}

impl LiveBinTable {
    /// What a refresh would publish; nothing where the source holds the live table already.
    pub fn weigh(
        &self,
        bytes: &[u8],
        source: &str,
        occasion: Occasion<'_>,
        options: &RefreshOptions,
    ) -> Result<(RefreshReport, Option<PublishedTable>), RefreshRefusal> {
        let _lock = self.folder.lock()?;
        let history = self.folder.history()?;
        let (report, weighed) = self.weigh_refresh(&history, bytes, (source, occasion), options)?;
        let published = weighed.map(|weighed| PublishedTable::new(&weighed.record, weighed.csv));
        Ok((report, published))
    }

    /// What a rollback would publish.
    pub fn weigh_return(
        &self,
        target: RollbackTarget,
        occasion: Occasion<'_>,
    ) -> Result<(RollbackReport, PublishedTable), RollbackRefusal> {
        let _lock = self.folder.lock()?;
        let history = self.folder.history()?;
        let (report, record, table, _) = self.weigh_rollback(&history, target, occasion)?;
        let published = PublishedTable::new(&record, write_csv(&table));
        Ok((report, published))
    }

    /// The live table as its folder has it, with the whole history before it: what a store without
    /// any gets. The tables of versions that are not kept any more are empty.
    pub fn published(&self) -> Result<Vec<PublishedTable>, VersionError> {
        let history = self.folder.history()?;
        let live = self.current();
        let csv_of = |record: &VersionRecord| {
            let is_live = record.version == live.version;
            if is_live {
                return write_csv(&live.table);
            }
            let kept = self.folder.read(record.version, &record.sha256);
            kept.map(|table| write_csv(&table)).unwrap_or_default()
        };
        Ok(history
            .records
            .iter()
            .map(|record| PublishedTable::new(record, csv_of(record)))
            .collect())
    }

    /// Which of these published versions the folder lacks, by their places, newest first: of each
    /// table the live one and so many of the newest.
    pub fn lacks(&self, lines: &[&str], kept_max: usize) -> Result<Vec<usize>, VersionError> {
        let records = records_of(lines);
        let last = records.last().map(|(_, record)| record.version);
        let mut refreshes = 0;
        let mut wanted = Vec::new();
        for (place, record) in records.iter().rev() {
            let is_refresh = record.action == VersionAction::Refresh;
            refreshes += usize::from(is_refresh);
            let is_kept = is_refresh && refreshes <= kept_max;
            let is_wanted =
                (Some(record.version) == last || is_kept) && record.version != SHIPPED_VERSION;
            let is_asked = wanted.iter().any(|(_, version)| *version == record.version);
            if is_wanted && !is_asked {
                wanted.push((*place, record.version));
                if self.folder.read(record.version, &record.sha256).is_ok() {
                    wanted.pop();
                }
            }
        }
        Ok(wanted.into_iter().map(|(place, _)| place).collect())
    }

    /// Whether a published table would run here.
    pub fn check_published(line: &str, csv: &[u8]) -> Result<(), PublishedTableError> {
        let unreadable = || PublishedTableError::Line { line: line.to_owned() };
        let record: VersionRecord = serde_json::from_str(line).map_err(|_| unreadable())?;
        let is_whole = sha256_hex(csv) == record.sha256;
        let options = ReadOptions::default();
        if record.version == SHIPPED_VERSION || (is_whole && read_table(csv, options).is_ok()) {
            return Ok(());
        }
        Err(PublishedTableError::Damaged { version: record.version })
    }

    /// Makes the folder a copy of these published versions, oldest first, and runs the last one.
    /// `csvs` are the tables that the folder lacks, by their lines.
    pub fn run_published(
        &self,
        lines: &[&str],
        csvs: &[(&str, &[u8])],
    ) -> Result<(), PublishedTableError> {
        let lock = self.folder.lock()?;
        self.folder.mark_shared(true)?;
        for (line, csv) in csvs {
            let unreadable = || PublishedTableError::Line { line: (*line).to_owned() };
            let record: VersionRecord = serde_json::from_str(line).map_err(|_| unreadable())?;
            self.folder.write_as(&lock, record.version, csv)?;
        }
        let records: Vec<VersionRecord> =
            records_of(lines).into_iter().map(|(_, record)| record).collect();
        let history = self.folder.history()?;
        if history.records != records {
            self.folder.replace_history(&lock, &records)?;
        }
        let history = self.folder.history()?;
        // Also where the lines are as they were: a table that was damaged may be whole now.
        let live = self.load_again(&history);
        match history.records.last() {
            Some(record) if record.version != live.version => {
                Err(PublishedTableError::Damaged { version: record.version })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The folder is this machine's own.
    pub fn keep_own(&self) -> Result<(), VersionError> {
        self.folder.mark_shared(false)
    }
}

/// Why a published table does not run here.
#[derive(Debug, thiserror::Error)]
pub enum PublishedTableError {
    #[error(
        "the line `{line}` of the BIN table's history cannot be read: a newer program wrote it"
    )]
    Line { line: String },
    #[error("version {version} of the BIN table cannot be read as it was published")]
    Damaged { version: u32 },
    #[error(transparent)]
    Versions(#[from] VersionError),
}

/// The records of published lines, with their places. A line that does not read is passed over.
fn records_of(lines: &[&str]) -> Vec<(usize, VersionRecord)> {
    let read = |(place, line): (usize, &&str)| Some((place, serde_json::from_str(line).ok()?));
    lines.iter().enumerate().filter_map(read).collect()
}
