//! What a refresh may bring: its bounds, what a source leaves out, and what looks wrong.
//!
//! Pure: tables in, a table or a refusal out. `live.rs` makes it the one in force.

use std::sync::Arc;

use super::check::TableFaults;
use super::diff::TableDiff;
use super::read::{ReadOptions, ReadSource, ReadTable, TableFormat, UnreadableTable};
use super::versions::VersionError;
use crate::domain::bin::{BinTable, IssuerChange, IssuerChanges, StatedDate};
use crate::domain::time::Timestamp;

/// The bounds of a refresh.
#[derive(Debug, Clone, Copy)]
pub struct RefreshOptions {
    pub read: ReadOptions,
    /// Fewer rows than this are suspicious.
    pub min_rows: usize,
    /// More rows gone than this share of the live table, in percent, are suspicious.
    pub max_removed_percent: u8,
    /// Takes a suspicious table all the same. Bad lines are refused even so.
    pub force: bool,
    /// Only over this version: the table was looked at beside it.
    pub over: Option<u32>,
    /// The date of the facts of all rows that state no other; `None`: the day of the refresh.
    pub as_of: Option<StatedDate>,
    /// Version files that are kept.
    pub versions_kept: usize,
}

impl Default for RefreshOptions {
    fn default() -> Self {
        Self {
            read: ReadOptions::default(),
            min_rows: 1_000,
            max_removed_percent: 10,
            force: false,
            over: None,
            as_of: None,
            versions_kept: 12,
        }
    }
}

/// The author and the time of a change, for the history.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'text> {
    pub who: &'text str,
    /// Why, where somebody has said it.
    pub reason: Option<&'text str>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub now_ms: i64,
}

/// Why a table was refused; the live one stays.
#[derive(Debug, thiserror::Error)]
pub enum RefreshRefusal {
    #[error(transparent)]
    Unreadable(#[from] UnreadableTable),
    #[error("{rows} rows are fewer than the {min_rows} a table must have")]
    TooFewRows { rows: usize, min_rows: usize },
    #[error("{removed} of {live} rows would be gone, more than {max_removed_percent} %")]
    TooManyRemoved { removed: usize, live: usize, max_removed_percent: u8 },
    #[error(
        "{removed} of {live} changes of issuers' names would be gone or lead elsewhere, more than \
         {max_removed_percent} %"
    )]
    TooManyChangesRemoved { removed: usize, live: usize, max_removed_percent: u8 },
    #[error("the name of issuer {issuer_code} changes on {date}: load this when that day has come")]
    ChangeAhead { issuer_code: String, date: StatedDate },
    #[error("version {live} is in force, and no longer version {wanted}")]
    OtherVersion { live: u32, wanted: u32 },
    #[error(transparent)]
    Versions(#[from] VersionError),
}

impl RefreshRefusal {
    /// Whether the table only looks wrong, so that somebody who knows better may force it.
    pub const fn yields_to_force(&self) -> bool {
        match self {
            Self::TooFewRows { .. }
            | Self::TooManyRemoved { .. }
            | Self::TooManyChangesRemoved { .. } => true,
            Self::Unreadable(_)
            | Self::ChangeAhead { .. }
            | Self::OtherVersion { .. }
            | Self::Versions(_) => false,
        }
    }

    /// The stable code of the refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(cause) => cause.code(),
            Self::TooFewRows { .. } => "too_few_rows",
            Self::TooManyRemoved { .. } => "too_many_removed",
            Self::TooManyChangesRemoved { .. } => "too_many_changes_removed",
            Self::ChangeAhead { .. } => "change_ahead",
            Self::OtherVersion { .. } => "other_version",
            Self::Versions(_) => "versions",
        }
    }

    /// The bad lines, where they are the reason.
    pub fn faults(&self) -> Option<&TableFaults> {
        match self {
            Self::Unreadable(UnreadableTable::Invalid(faults)) => Some(faults),
            Self::Unreadable(_)
            | Self::TooFewRows { .. }
            | Self::TooManyRemoved { .. }
            | Self::TooManyChangesRemoved { .. }
            | Self::ChangeAhead { .. }
            | Self::OtherVersion { .. }
            | Self::Versions(_) => None,
        }
    }
}

/// Why a table that passed its checks still looks wrong.
pub(super) fn judge(
    new: &BinTable,
    live: &BinTable,
    diff: &TableDiff,
    options: &RefreshOptions,
) -> Option<RefreshRefusal> {
    let (rows, min_rows) = (new.len(), options.min_rows);
    if rows < min_rows {
        return Some(RefreshRefusal::TooFewRows { rows, min_rows });
    }
    let live_changes = live.issuers().all().len();
    let (removed, live) = (diff.removed.len(), live.len());
    let max_removed_percent = options.max_removed_percent;
    let is_suspicious =
        |removed: usize, live: usize| removed * 100 > live * usize::from(max_removed_percent);
    if is_suspicious(removed, live) {
        return Some(RefreshRefusal::TooManyRemoved { removed, live, max_removed_percent });
    }
    let (removed, live) = (diff.issuer_changes_removed + diff.issuer_changes_changed, live_changes);
    is_suspicious(removed, live).then_some(RefreshRefusal::TooManyChangesRemoved {
        removed,
        live,
        max_removed_percent,
    })
}

/// A table with all that a version has.
pub(super) struct CompleteTable {
    pub table: Arc<BinTable>,
    pub as_of: StatedDate,
    pub format: TableFormat,
    pub deleted: usize,
}

/// Adds what a source leaves out: one of BINs the changes of issuers' names, one of changes the
/// BINs, each as it is in force.
pub(super) fn complete(
    source: ReadSource,
    (before, before_as_of): (&BinTable, StatedDate),
    as_of: Option<StatedDate>,
    occasion: Occasion<'_>,
) -> Result<CompleteTable, RefreshRefusal> {
    let today = StatedDate::of(Timestamp::from_millis(occasion.now_ms));
    match source {
        ReadSource::Issuers(changes) => {
            begun(&changes, today)?;
            let table = Arc::new(before.with_issuers(changes));
            let as_of = as_of.unwrap_or(before_as_of);
            Ok(CompleteTable { table, as_of, format: TableFormat::Csv, deleted: 0 })
        }
        ReadSource::Table(ReadTable { table, states_issuers, format, deleted, .. }) => {
            let table = if states_issuers {
                begun(table.issuers(), today)?;
                table
            } else {
                table.with_issuers(before.issuers().clone())
            };
            let as_of = as_of.unwrap_or(today);
            Ok(CompleteTable { table: Arc::new(table), as_of, format, deleted })
        }
    }
}

/// Whether all changes are in force: a name that only will change is not today's.
fn begun(changes: &IssuerChanges, today: StatedDate) -> Result<(), RefreshRefusal> {
    match changes.all().iter().find(|change| change.date.is_after(today)) {
        Some(IssuerChange { issuer_code, date, .. }) => {
            Err(RefreshRefusal::ChangeAhead { issuer_code: issuer_code.clone(), date: *date })
        }
        None => Ok(()),
    }
}
