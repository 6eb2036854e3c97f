//! The changes from an old table to a new one, key by key: one walk, for the rows and their counts.
//!
//! Pure: two tables in, the difference out. Whether it is suspicious is judged in `refresh.rs`.

use std::cmp::Ordering;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::domain::bin::{
    Bin, BinRow, BinTable, IssuerChange, IssuerChanges, PAN_LENGTH_MAX, PAN_LENGTH_MIN, StatedDate,
};

/// The key of a row that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    pub bin: Bin,
    pub pan_length: u8,
}

impl Serialize for RowKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut key = serializer.serialize_struct("RowKey", 2)?;
        key.serialize_field("bin", self.bin.as_str())?;
        key.serialize_field("pan_length", &self.pan_length)?;
        key.end()
    }
}

impl RowKey {
    /// The form of the text of a key.
    pub const FORM: &'static str = "a BIN and a card length, as 621626-19";

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (bin, pan_length) = text.split_once('-')?;
        let bin = Bin::parse(bin).ok()?;
        let is_short = pan_length.bytes().all(|byte| byte.is_ascii_digit());
        let pan_length = pan_length.parse::<u8>().ok().filter(|_| is_short)?;
        let lengths = PAN_LENGTH_MIN..=PAN_LENGTH_MAX;
        lengths.contains(&usize::from(pan_length)).then_some(Self { bin, pan_length })
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.bin, self.pan_length)
    }
}

/// In what a row differs: it is new, or gone; or it is kept, with another issuer code, card type or
/// brand (`changed`), on which routes and fees depend, with another issuer name (`renamed`), with
/// another card name of the same issuer name (`relabelled`), or retired from another date on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum RowChangeKind {
    Added,
    Removed,
    Changed,
    Renamed,
    Relabelled,
    Retired,
}

impl RowChangeKind {
    /// The word of the outer forms.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Renamed => "renamed",
            Self::Relabelled => "relabelled",
            Self::Retired => "retired",
        }
    }
}

/// A key on which two tables differ, with the rows of both.
#[derive(Debug, Clone)]
pub struct BinRowChange<'table> {
    pub key: RowKey,
    /// One at least. A kept row can be both changed and renamed: a bank that is taken over gets
    /// another code and another name.
    pub kinds: Vec<RowChangeKind>,
    /// `None` where it was added.
    pub old: Option<&'table BinRow>,
    /// `None` where it was removed.
    pub new: Option<&'table BinRow>,
}

/// Both lists side by side, each of which is sorted by this key: what has one key stands together.
fn side_by_side<'table, T, K: Ord>(
    olds: &'table [T],
    news: &'table [T],
    key: impl Fn(&'table T) -> K,
) -> impl Iterator<Item = (Option<&'table T>, Option<&'table T>)> {
    let (mut olds, mut news) = (olds.iter().peekable(), news.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(&old), Some(&new)) => key(old).cmp(&key(new)),
        };
        let old = if order.is_le() { olds.next() } else { None };
        let new = if order.is_ge() { news.next() } else { None };
        Some((old, new))
    })
}

/// The rows that differ, in the order of the tables.
pub fn row_changes<'table>(
    old_table: &'table BinTable,
    new_table: &'table BinTable,
) -> impl Iterator<Item = BinRowChange<'table>> {
    let pairs = side_by_side(old_table.rows(), new_table.rows(), |row| row.key());
    pairs.filter_map(move |(old, new)| {
        let (bin, pan_length) = old.or(new)?.key();
        let kinds = match (old, new) {
            (Some(old), Some(new)) => {
                let retired = old_table.marks(old).retired != new_table.marks(new).retired;
                kept_kinds(old, new, retired)
            }
            (Some(_), None) => vec![RowChangeKind::Removed],
            (None, _) => vec![RowChangeKind::Added],
        };
        let key = RowKey { bin, pan_length };
        let (old, new) = (old.map(AsRef::as_ref), new.map(AsRef::as_ref));
        (!kinds.is_empty()).then_some(BinRowChange { key, kinds, old, new })
    })
}

/// In what a kept row differs.
fn kept_kinds(old: &BinRow, new: &BinRow, retired: bool) -> Vec<RowChangeKind> {
    let mut kinds = Vec::new();
    let same_kind = old.card_type == new.card_type && old.brands == new.brands;
    if old.issuer_code != new.issuer_code || !same_kind {
        kinds.push(RowChangeKind::Changed);
    }
    if old.issuer_name != new.issuer_name {
        kinds.push(RowChangeKind::Renamed);
    } else if old.card_name != new.card_name {
        kinds.push(RowChangeKind::Relabelled);
    }
    if retired {
        kinds.push(RowChangeKind::Retired);
    }
    kinds
}

/// In what a change of an issuer's name differs: it is new, or gone; or it is kept, and leads to
/// another name or from another date on. Who says so is no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum NameChangeKind {
    Added,
    Removed,
    Changed,
}

impl NameChangeKind {
    /// The word of the outer forms.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// A change of an issuer's name on which two tables differ, with those of both.
#[derive(Debug, Clone, Copy)]
pub struct NameChange<'table> {
    pub kind: NameChangeKind,
    /// `None` where it was added.
    pub old: Option<&'table IssuerChange>,
    /// `None` where it was removed.
    pub new: Option<&'table IssuerChange>,
}

/// The changes of issuers' names that differ, by issuer code and old name.
pub fn name_changes<'table>(
    olds: &'table IssuerChanges,
    news: &'table IssuerChanges,
) -> impl Iterator<Item = NameChange<'table>> {
    let pairs = side_by_side(olds.all(), news.all(), IssuerChange::key);
    pairs.filter_map(|(old, new)| {
        let kind = match (old, new) {
            (Some(old), Some(new)) if told(old) == told(new) => return None,
            (Some(_), Some(_)) => NameChangeKind::Changed,
            (Some(_), None) => NameChangeKind::Removed,
            (None, _) => NameChangeKind::Added,
        };
        Some(NameChange { kind, old, new })
    })
}

/// What a change of a name leads to.
fn told(change: &IssuerChange) -> (&str, StatedDate) {
    (&change.new_name, change.date)
}

/// The keys that differ, each list in the order of the table. A kept key can be both changed and
/// renamed: a bank that is taken over gets another code and another name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableDiff {
    pub added: Vec<RowKey>,
    pub removed: Vec<RowKey>,
    /// Kept, with another issuer code, card type or brand: routes and fees depend on these.
    pub changed: Vec<RowKey>,
    /// Kept, with another issuer name.
    pub renamed: Vec<RowKey>,
    /// Kept, with the same issuer name and another card name.
    pub relabelled: Vec<RowKey>,
    /// Kept, and retired from another date on than before.
    pub retired: Vec<RowKey>,
    /// Changes of issuers' names that were not there before.
    pub issuer_changes_added: usize,
    /// Changes of issuers' names that are there no more.
    pub issuer_changes_removed: usize,
    /// Changes of issuers' names that lead to another name, or from another date on.
    pub issuer_changes_changed: usize,
}

/// The sizes of the lists of a `TableDiff`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[schemars(rename = "BinTableDiff")]
pub struct DiffCounts {
    /// Rows that were not there before.
    pub added: usize,
    /// Rows that are there no more.
    pub removed: usize,
    /// Rows with another issuer code, type or brand.
    pub changed: usize,
    /// Rows with another issuer name.
    pub renamed: usize,
    /// Rows with another card name.
    pub relabelled: usize,
    /// Rows with another date of retirement, or none.
    pub retired: usize,
    /// Changes of issuers' names that were not there before.
    pub issuer_changes_added: usize,
    /// Changes of issuers' names that are there no more.
    pub issuer_changes_removed: usize,
    /// Changes of issuers' names that lead to another name, or from another date on.
    pub issuer_changes_changed: usize,
}

impl DiffCounts {
    /// Those of the issuers' names of two tables, and of no row yet.
    pub fn of_names(old_table: &BinTable, new_table: &BinTable) -> Self {
        let mut counts = Self::default();
        for change in name_changes(old_table.issuers(), new_table.issuers()) {
            *match change.kind {
                NameChangeKind::Added => &mut counts.issuer_changes_added,
                NameChangeKind::Removed => &mut counts.issuer_changes_removed,
                NameChangeKind::Changed => &mut counts.issuer_changes_changed,
            } += 1;
        }
        counts
    }

    /// Counts a row that differs in these ways.
    pub fn count(&mut self, kinds: &[RowChangeKind]) {
        for kind in kinds {
            *match kind {
                RowChangeKind::Added => &mut self.added,
                RowChangeKind::Removed => &mut self.removed,
                RowChangeKind::Changed => &mut self.changed,
                RowChangeKind::Renamed => &mut self.renamed,
                RowChangeKind::Relabelled => &mut self.relabelled,
                RowChangeKind::Retired => &mut self.retired,
            } += 1;
        }
    }
}

impl TableDiff {
    /// The keys of the rows that differ, and how many changes of issuers' names do.
    pub fn between(old_table: &BinTable, new_table: &BinTable) -> Self {
        let names = DiffCounts::of_names(old_table, new_table);
        let mut diff = Self {
            issuer_changes_added: names.issuer_changes_added,
            issuer_changes_removed: names.issuer_changes_removed,
            issuer_changes_changed: names.issuer_changes_changed,
            ..Self::default()
        };
        for change in row_changes(old_table, new_table) {
            for kind in change.kinds {
                diff.list(kind).push(change.key);
            }
        }
        diff
    }

    fn list(&mut self, kind: RowChangeKind) -> &mut Vec<RowKey> {
        match kind {
            RowChangeKind::Added => &mut self.added,
            RowChangeKind::Removed => &mut self.removed,
            RowChangeKind::Changed => &mut self.changed,
            RowChangeKind::Renamed => &mut self.renamed,
            RowChangeKind::Relabelled => &mut self.relabelled,
            RowChangeKind::Retired => &mut self.retired,
        }
    }

    pub fn counts(&self) -> DiffCounts {
        DiffCounts {
            added: self.added.len(),
            removed: self.removed.len(),
            changed: self.changed.len(),
            renamed: self.renamed.len(),
            relabelled: self.relabelled.len(),
            retired: self.retired.len(),
            issuer_changes_added: self.issuer_changes_added,
            issuer_changes_removed: self.issuer_changes_removed,
            issuer_changes_changed: self.issuer_changes_changed,
        }
    }
}
