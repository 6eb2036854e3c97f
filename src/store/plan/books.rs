//! The part of a plan about closes, statements, reconciliations, differences and settlements.

use std::collections::BTreeMap;

use crate::domain::batch::Batch;
use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::store::CommitError;
use crate::store::keys::books as keys;
use crate::store::record;

use super::{Check, Step, check_version};

/// A row that replaces the one of the version before, and whose index entries move with it.
pub(super) struct Put {
    key: Vec<u8>,
    version: u32,
    row: Vec<u8>,
}

/// The close of a channel's day.
pub(super) struct Close {
    closed_through: Vec<u8>,
    date: BusinessDate,
    key: Vec<u8>,
    row: Vec<u8>,
}

/// That a channel's day still takes clearing records.
pub(super) struct Open {
    closed_through: Vec<u8>,
    date: BusinessDate,
}

/// The closes of a batch. They stand before its clearing records, which they hold for too.
pub(super) fn closes(batch: &Batch) -> impl Iterator<Item = Step> {
    batch.closes.iter().map(|close| {
        Step::Close(Close {
            closed_through: keys::closed_through_key(&close.channel),
            date: close.date,
            key: keys::close_key(&close.channel, close.date),
            row: record::close_bytes(close),
        })
    })
}

/// One guard for each channel that the batch has clearing records of: that the earliest of their
/// dates is open.
pub(super) fn open_days(batch: &Batch) -> impl Iterator<Item = Step> {
    // Mostly one record, so no map.
    let mut first: Vec<(&ChannelId, BusinessDate)> = Vec::new();
    for record in &batch.clearing {
        match first.iter_mut().find(|(channel, _)| *channel == &record.channel) {
            Some((_, date)) => *date = record.date.min(*date),
            None => first.push((&record.channel, record.date)),
        }
    }
    first.into_iter().map(|(channel, date)| {
        Step::Open(Open { closed_through: keys::closed_through_key(channel), date })
    })
}

/// The rows of a batch that only need to be new.
pub(super) fn new_rows(batch: &Batch) -> impl Iterator<Item = Step> {
    let statements = batch.statements.iter().map(|statement| Step::New {
        key: keys::statement_key(&statement.channel, statement.date, statement.revision),
        row: record::statement_bytes(statement),
    });
    let found = batch.found.iter().map(|found| Step::New {
        key: keys::found_key(found.batch, found.ordinal),
        row: record::found_bytes(found),
    });
    let agreed = batch.agreed_lines.iter().flat_map(|(batch, lines)| {
        (0..).zip(record::agreed_parts(lines)).map(|(part, bytes)| Step::New {
            key: keys::agreed_key(*batch, part),
            row: record::agreed_part(bytes),
        })
    });
    statements.chain(found).chain(agreed)
}

/// The rows of a batch that count their versions: one step, since what one of them gives up,
/// another may take.
pub(super) fn puts(batch: &Batch) -> Vec<Put> {
    let reconciliations = batch.reconciliations.iter().map(|row| Put {
        key: keys::reconciliation_key(row.id),
        version: row.version,
        row: record::reconciliation_bytes(row),
    });
    let differences = batch.differences.iter().map(|row| Put {
        key: keys::difference_key(row.id),
        version: row.version,
        row: record::difference_bytes(row),
    });
    let settlements = batch.settlements.iter().map(|row| Put {
        key: keys::settlement_key(row.id),
        version: row.version,
        row: record::settlement_bytes(row),
    });
    let settled = batch.settled.iter().map(|row| Put {
        key: keys::settled_key(&row.channel, row.date, row.currency),
        version: row.version,
        row: record::settled_bytes(row),
    });
    reconciliations.chain(differences).chain(settlements).chain(settled).collect()
}

impl Check<'_> {
    pub(super) fn close(&mut self, close: Close) -> Result<(), CommitError> {
        self.must_be_open(&close.closed_through, close.date)?;
        let date = close.date.yyyymmdd().to_be_bytes();
        self.writes.insert(close.closed_through, Some(date.to_vec()));
        self.insert(close.key, close.row)
    }

    pub(super) fn open(&self, open: &Open) -> Result<(), CommitError> {
        self.must_be_open(&open.closed_through, open.date)
    }

    fn must_be_open(&self, closed_through: &[u8], date: BusinessDate) -> Result<(), CommitError> {
        match self.find(closed_through)? {
            Some(held) if keys::date_in(&held).map_err(CommitError::Failed)? >= date => {
                Err(CommitError::Conflict)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Writes the rows first and lets go of what they give up, then takes what they hold.
    pub(super) fn put_together(&mut self, puts: Vec<Put>) -> Result<(), CommitError> {
        let mut claims = BTreeMap::new();
        for put in puts {
            let claim = self.put_indexed(&put)?;
            // The last version of a row that is written twice decides.
            claims.insert(put.key.clone(), claim);
            self.writes.insert(put.key, Some(put.row));
        }
        for (key, unique) in claims {
            let identity = identity(&key);
            for entry in unique {
                match self.find(&entry)? {
                    Some(holder) if holder != identity => return Err(CommitError::Conflict),
                    Some(_) => {}
                    None => drop(self.writes.insert(entry, Some(identity.to_vec()))),
                }
            }
        }
        Ok(())
    }

    /// Checks a row's version and moves its index entries, but for the unique ones that it is to
    /// take: those are given back.
    fn put_indexed(&mut self, put: &Put) -> Result<Vec<Vec<u8>>, CommitError> {
        let found = self.find(&put.key)?;
        check_version(&put.key, found.as_deref(), put.version)?;
        let entries = |row: &[u8]| keys::entries_of(&put.key, row).map_err(CommitError::Failed);
        let old = found.as_deref().map(entries).transpose()?.unwrap_or_default();
        let new = entries(&put.row)?;
        self.writes.extend(old.plain.difference(&new.plain).map(|entry| (entry.clone(), None)));
        let fresh = new.plain.difference(&old.plain);
        self.writes.extend(fresh.map(|entry| (entry.clone(), Some(Vec::new()))));
        for entry in old.unique.difference(&new.unique) {
            // An earlier version in this same batch may never have taken it.
            if self.find(entry)?.as_deref() == Some(identity(&put.key)) {
                self.writes.insert(entry.clone(), None);
            }
        }
        Ok(new.unique.into_iter().collect())
    }
}

/// What a unique index entry holds of its row's key.
fn identity(key: &[u8]) -> &[u8] {
    &key[1..]
}
