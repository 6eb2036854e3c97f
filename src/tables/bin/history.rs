//! A line of the history in the one outer form that API and command line share.

use schemars::JsonSchema;
use serde::Serialize;

use super::diff::DiffCounts;
use super::versions::{VersionAction, VersionRecord};
use super::view::StatedText;
use crate::codec::texts::MomentText;
use crate::domain::time::Timestamp;

/// One recorded change of the table, for operators.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "BinTableVersion")]
pub struct VersionInfo {
    /// The version that became the live one; 0 is the shipped table.
    pub version: u32,
    /// How it came into force.
    pub action: VersionAction,
    /// When.
    pub at: MomentText,
    /// Whoever brought it.
    pub by: String,
    /// Why, where somebody has said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A path or a URL without its query; for a rollback, where that version came from.
    pub source: String,
    /// Of the version file, in lower-case hexadecimal.
    pub sha256: String,
    /// How many rows it has.
    pub rows: usize,
    /// Changes of issuers' names.
    pub issuer_changes: usize,
    /// The date of the facts of all rows that state no other.
    pub as_of: StatedText,
    /// Against the table that was live before.
    pub counts: DiffCounts,
    /// Whether a refusal as suspicious was overruled.
    pub forced: bool,
    /// Whether a rollback could go there.
    pub kept: bool,
    /// Whether this change is the one that made the live table live.
    pub live: bool,
}

impl VersionInfo {
    pub(super) fn of(record: VersionRecord, kept: bool, live: bool) -> Self {
        let VersionRecord {
            version,
            action,
            at_ms,
            by,
            reason,
            source,
            sha256,
            rows,
            issuer_changes,
            as_of,
            counts,
            forced,
        } = record;
        let at = MomentText(Timestamp::from_millis(at_ms));
        Self {
            version,
            action,
            at,
            by,
            reason,
            source,
            sha256,
            rows,
            issuer_changes,
            as_of,
            counts,
            forced,
            kept,
            live,
        }
    }
}
