//! A write set as guarded writes of bytes, for the stores that keep sorted bytes.
//!
//! A plan is made in the committing task, with all the work that needs no store (encoding), so that
//! the single writer has only the guards left to check. [`CommitPlan::check`] then returns the
//! writes or the reason for none; it upholds the guards that
//! [`WriteSet`](crate::domain::write_set::WriteSet) names.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;

use super::head::{Entries, Head, identity};
use super::sorted::StoreResult;
use super::{CommitError, StoreError};

/// Keys and their new values; `None` removes.
pub(super) type Writes = BTreeMap<PrefixedKey, Option<Vec<u8>>>;

/// A key in a map of rows, in the order of its bytes. Its first bytes lie in the map itself: most
/// keys differ in them, and are told apart without a look at the others, which lie elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PrefixedKey {
    /// The first sixteen bytes, with zeros behind a shorter key.
    first: [u64; 2],
    bytes: Vec<u8>,
}

impl From<Vec<u8>> for PrefixedKey {
    fn from(bytes: Vec<u8>) -> Self {
        let mut first = [0; 16];
        let length = bytes.len().min(first.len());
        first[..length].copy_from_slice(&bytes[..length]);
        let first = u128::from_be_bytes(first);
        Self { first: [(first >> 64) as u64, first as u64], bytes }
    }
}

impl From<PrefixedKey> for Vec<u8> {
    fn from(key: PrefixedKey) -> Self {
        key.bytes
    }
}

impl Deref for PrefixedKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Borrow<[u8]> for PrefixedKey {
    fn borrow(&self) -> &[u8] {
        &self.bytes
    }
}

impl Ord for PrefixedKey {
    /// Of two keys that differ in their first bytes, those decide, also where the shorter one has
    /// zeros behind it: it comes first either way.
    fn cmp(&self, other: &Self) -> Ordering {
        self.first.cmp(&other.first).then_with(|| self.bytes.cmp(&other.bytes))
    }
}

impl PartialOrd for PrefixedKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A stored value, for the guards.
pub(super) type StoredValue = Result<Option<Vec<u8>>, StoreError>;

type GuardResult = Result<(), CommitError>;

/// Reads the part of a stored row that guards it: see `Versioned::head`.
type ReadHead = fn(&[u8], &[u8]) -> StoreResult<Head>;

/// One guarded change.
enum PlannedWrite {
    /// A row that must not exist yet.
    New { key: Vec<u8>, row: Vec<u8> },
    /// A row that replaces the previous version; version 1 is new. Without a row, the previous
    /// version is removed.
    Put { key: Vec<u8>, version: u32, row: Option<Vec<u8>>, head: ReadHead },
    /// A line of the audit trail, whose key follows from its place.
    Line { key: fn(u64) -> Vec<u8>, row: Vec<u8> },
    /// Rows that a table checks and writes in its own way.
    Own(Box<dyn FnOnce(&mut PlanCheck<'_>) -> GuardResult + Send>),
}

/// A write set, encoded and ready to be checked.
pub(super) struct CommitPlan {
    steps: Vec<PlannedWrite>,
}

/// The state that a plan is checked against, and its writes so far.
pub(super) struct PlanCheck<'a> {
    stored: &'a dyn Fn(&[u8]) -> StoredValue,
    writes: Writes,
    audit_next: u64,
    /// The unique index entries that each row holds in the end.
    claims: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

impl CommitPlan {
    pub(super) fn new() -> Self {
        Self { steps: Vec::with_capacity(8) }
    }

    pub(super) fn insert(&mut self, key: Vec<u8>, row: Vec<u8>) {
        self.steps.push(PlannedWrite::New { key, row });
    }

    pub(super) fn put(&mut self, key: Vec<u8>, version: u32, row: Vec<u8>, head: ReadHead) {
        self.steps.push(PlannedWrite::Put { key, version, row: Some(row), head });
    }

    /// Removes a row of this version.
    pub(super) fn remove(&mut self, key: Vec<u8>, version: u32, head: ReadHead) {
        self.steps.push(PlannedWrite::Put {
            key,
            version: version.wrapping_add(1),
            row: None,
            head,
        });
    }

    /// Guards a row that is not written: it must exist with this version, or be absent for version
    /// 0.
    pub(super) fn unchanged(&mut self, key: Vec<u8>, version: u32, head: ReadHead) {
        self.own(move |check| {
            let stored = check.find(&key)?.map(|row| head(&key, &row));
            let stored = stored.transpose().map_err(CommitError::Failed)?;
            let as_it_was = stored.map_or(0, |head| head.version) == version;
            if as_it_was { Ok(()) } else { Err(CommitError::Conflict) }
        });
    }

    pub(super) fn append(&mut self, key: fn(u64) -> Vec<u8>, row: Vec<u8>) {
        self.steps.push(PlannedWrite::Line { key, row });
    }

    pub(super) fn own(
        &mut self,
        step: impl FnOnce(&mut PlanCheck<'_>) -> GuardResult + Send + 'static,
    ) {
        self.steps.push(PlannedWrite::Own(Box::new(step)));
    }

    /// The writes of the plan if every guard holds against `stored` and against the plan's own
    /// earlier rows. `audit_next` is the next free place of the audit trail, and is advanced.
    pub(super) fn check(
        self,
        audit_next: &mut u64,
        stored: &dyn Fn(&[u8]) -> StoredValue,
    ) -> Result<Writes, CommitError> {
        let (writes, claims) = (Writes::new(), BTreeMap::new());
        let mut check = PlanCheck { stored, writes, audit_next: *audit_next, claims };
        for step in self.steps {
            match step {
                PlannedWrite::New { key, row } => check.insert(key, row)?,
                PlannedWrite::Put { key, version, row, head } => {
                    check.put(key, version, row, head)?;
                }
                PlannedWrite::Line { key, row } => {
                    check.insert(key(check.audit_next), row)?;
                    check.audit_next += 1;
                }
                PlannedWrite::Own(step) => step(&mut check)?,
            }
        }
        check.claim()?;
        *audit_next = check.audit_next;
        Ok(check.writes)
    }
}

impl PlanCheck<'_> {
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CommitError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => (self.stored)(key).map_err(CommitError::Failed),
        }
    }

    pub(super) fn write(&mut self, key: Vec<u8>, row: Vec<u8>) {
        self.writes.insert(key.into(), Some(row));
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.writes.insert(key.into(), None);
    }

    pub(super) fn insert(&mut self, key: Vec<u8>, row: Vec<u8>) -> GuardResult {
        if self.find(&key)?.is_some() {
            return Err(CommitError::Conflict);
        }
        self.write(key, row);
        Ok(())
    }

    /// Writes or removes a row, and updates its index entries. Another row may take a unique entry
    /// that this one gives up, whichever comes first: see [`Self::claim`].
    fn put(
        &mut self,
        key: Vec<u8>,
        version: u32,
        row: Option<Vec<u8>>,
        head: ReadHead,
    ) -> GuardResult {
        let read = |row: &[u8]| head(&key, row).map_err(CommitError::Failed);
        let old = self.find(&key)?.map(|row| read(&row)).transpose()?;
        check_version(old.as_ref().map(|head| head.version), version)?;
        if old.is_none() && row.is_none() {
            return Err(CommitError::Conflict);
        }
        let old = old.map(|head| head.entries).unwrap_or_default();
        let new = row.as_deref().map(read).transpose()?;
        let new = new.map(|head| head.entries).unwrap_or_default();
        self.reindex(&key, old, new)?;
        self.writes.insert(key.into(), row);
        Ok(())
    }

    fn reindex(&mut self, key: &[u8], old: Entries, new: Entries) -> GuardResult {
        for entry in old.unique {
            // An earlier version in this same write set may never have taken the entry.
            if !new.unique.contains(&entry) && self.find(&entry)?.as_deref() == Some(identity(key))
            {
                self.remove(entry);
            }
        }
        // The last version of a row that is written twice decides.
        if !new.unique.is_empty() {
            self.claims.insert(key.to_vec(), new.unique);
        } else if !self.claims.is_empty() {
            self.claims.remove(key);
        }
        let gone = old.plain.iter().filter(|entry| !new.plain.contains(entry));
        self.writes.extend(gone.map(|entry| (entry.clone().into(), None)));
        let fresh = new.plain.into_iter().filter(|entry| !old.plain.contains(entry));
        self.writes.extend(fresh.map(|entry| (entry.into(), Some(Vec::new()))));
        Ok(())
    }

    /// Gives every row the unique entries that it holds in the end.
    fn claim(&mut self) -> GuardResult {
        for (key, unique) in std::mem::take(&mut self.claims) {
            for entry in unique {
                match self.find(&entry)? {
                    Some(holder) if holder != identity(&key) => return Err(CommitError::Conflict),
                    Some(_) => {}
                    None => self.write(entry, identity(&key).to_vec()),
                }
            }
        }
        Ok(())
    }
}

/// Version 1 requires that there is no row; version n > 1 requires version n - 1.
pub(super) fn check_version(stored: Option<u32>, version: u32) -> GuardResult {
    let holds = match stored {
        None => version == 1,
        Some(stored) => version > 1 && stored == version - 1,
    };
    if holds { Ok(()) } else { Err(CommitError::Conflict) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PrefixedKey;

    proptest! {
        #[test]
        fn keys_are_in_the_order_of_their_bytes(
            one in prop::collection::vec(0..3_u8, 0..20),
            other in prop::collection::vec(0..3_u8, 0..20),
            shared in 0..20_usize,
        ) {
            let other = [&one[..shared.min(one.len())], &other].concat();
            for (one, other) in [(&one, &other), (&other, &one), (&one, &one)] {
                let keys = (PrefixedKey::from(one.clone()), PrefixedKey::from(other.clone()));
                prop_assert_eq!(keys.0.cmp(&keys.1), one.cmp(other));
            }
        }
    }
}
