//! Reads every row in a folder, at rest or while a daemon works in it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::store::StoreError;
use crate::store::table::{check_row, table_name};

use super::catalog::Progress;
use super::files::Files;
use super::segment::{Segment, SegmentEntry};
use super::snapshot::Snapshot;

/// The most damages that are listed one by one.
const TOLD_MAX: usize = 1_000;

/// The result of reading the books' rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The number of stored rows of each kind; a row that was written again may count twice.
    pub tables: Vec<(&'static str, u64)>,
    pub segments: usize,
    /// The number of rows in the journal alone.
    pub journalled: u64,
    /// Descriptions of damaged rows with their places; at most a thousand.
    pub damage: Vec<String>,
    /// The number of all damages.
    pub damaged: u64,
}

/// Reads every row of the books in a folder. `progress` is called with the rows done, and all rows.
///
/// # Errors
/// If the manifest or the journal cannot be read. Damage of a segment is in the report.
pub fn verify(books: &Path, progress: Progress<'_>) -> Result<VerifyReport, StoreError> {
    let files = Files::of(books);
    let mut found = RowTally::default();
    let mut seen: BTreeMap<u64, SegmentEntry> = BTreeMap::new();
    // A segment may be compacted before it is read: its rows are then in a newer one.
    let (snapshot, all) = loop {
        let snapshot = Snapshot::of(&files)?;
        let all: u64 = snapshot.segments.iter().map(|segment| segment.rows).sum();
        let mut whole = true;
        for entry in &snapshot.segments {
            if seen.contains_key(&entry.number) {
                continue;
            }
            match Segment::open(&files, entry, None) {
                Ok(Some(segment)) => found.segment(&segment, &|done| progress(done, all)),
                Ok(None) => found.damage(format!(
                    "`{}` is not the file that was written: its {} rows are lost",
                    entry.name(),
                    entry.rows
                )),
                Err(_) if Snapshot::of(&files)?.manifest != snapshot.manifest => {
                    whole = false;
                    break;
                }
                Err(why) => found.damage(format!(
                    "`{}` cannot be read ({why}): its {} rows are lost",
                    entry.name(),
                    entry.rows
                )),
            }
            seen.insert(entry.number, entry.clone());
        }
        if whole {
            break (snapshot, all);
        }
    };
    for group in snapshot.groups()? {
        for (key, value) in group {
            found.journalled += 1;
            if let Some(value) = value {
                found.row(&key, &value, "the journal");
            }
        }
    }
    progress(all, all);
    let tables = found.tables.into_iter().collect();
    Ok(VerifyReport {
        tables,
        segments: snapshot.segments.len(),
        journalled: found.journalled,
        damage: found.told,
        damaged: found.damaged,
    })
}

#[derive(Default)]
struct RowTally {
    tables: BTreeMap<&'static str, u64>,
    journalled: u64,
    rows: u64,
    told: Vec<String>,
    damaged: u64,
}

impl RowTally {
    fn damage(&mut self, words: String) {
        self.damaged += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(words);
        }
    }

    fn segment(&mut self, segment: &Segment, progress: &dyn Fn(u64)) {
        let name = segment.entry.name();
        let places = match segment.places() {
            Ok(places) => places,
            Err(why) => return self.damage(format!("`{name}`: {why}: no row of it can be found")),
        };
        let rows = self.rows;
        for (nth, place) in places.iter().enumerate() {
            let until = places.get(nth + 1).map(|next| next.first.as_slice());
            let read = segment.read_block(place, until, &mut |key, value| {
                self.rows += 1;
                if let Some(value) = value {
                    self.row(key, value, &name);
                }
            });
            if let Err(why) = read {
                let to = until.map_or_else(|| "its end".to_owned(), named);
                self.damage(format!("{why}: the rows from {} to {to}", named(&place.first)));
            }
            progress(self.rows);
        }
        // A damaged block's rows count as done.
        self.rows = rows + segment.entry.rows;
    }

    fn row(&mut self, key: &[u8], value: &[u8], place: &str) {
        let letter = key.first().copied().unwrap_or_default();
        *self.tables.entry(table_name(letter)).or_default() += 1;
        if let Err(why) = check_row(key, value) {
            self.damage(format!("{} in {place}: {why}", named(key)));
        }
    }
}

/// Describes a key: its table, and the rest of its bytes. No key contains a card number.
fn named(key: &[u8]) -> String {
    let (letter, rest) = key.split_first().map_or((0, key), |(letter, rest)| (*letter, rest));
    format!("`{}` {}", table_name(letter), rest.escape_ascii())
}
