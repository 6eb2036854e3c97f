//! A batch as guarded writes of bytes, for the stores that keep sorted bytes.
//!
//! [`Plan::of`] does the work that needs no store (encoding) where the commit is asked for, so that
//! a single writer has only the guards left to check. [`Plan::check`] then says what to write, or
//! why nothing is written; it upholds the guards that [`Batch`] names, and with them I-9.

mod books;

use std::collections::BTreeMap;

use crate::domain::batch::{Batch, EntryChange};
use crate::domain::flow::order::Order;
use crate::domain::ids::OrderId;
use crate::store::keys;
use crate::store::record;
use crate::store::{CommitError, StoreError};

/// Keys and what they are to hold; `None` removes.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A value as the guards see it.
pub(super) type Found = Result<Option<Vec<u8>>, StoreError>;

/// One guarded change.
enum Step {
    Order(OrderStep),
    /// A row that replaces the one of the version before; version 1 is new.
    Put {
        key: Vec<u8>,
        version: u32,
        row: Vec<u8>,
    },
    /// A row that goes if it still has this version.
    Remove {
        key: Vec<u8>,
        version: u32,
    },
    /// A row that must not exist yet.
    New {
        key: Vec<u8>,
        row: Vec<u8>,
    },
    /// A line of the audit trail, at its next place.
    Audit {
        row: Vec<u8>,
    },
    Close(books::Close),
    Open(books::Open),
    /// Rows of the books, which may give up to one another what can be one's only.
    Together(Vec<books::Put>),
}

struct OrderStep {
    id: OrderId,
    version: u32,
    is_final: bool,
    /// Given with version 1 only.
    caller_key: Option<Vec<u8>>,
    /// The same, where it follows up another order.
    follow_up_key: Option<Vec<u8>>,
    row: Vec<u8>,
}

/// A batch, encoded and ready to be checked.
pub(super) struct Plan {
    steps: Vec<Step>,
}

/// What a plan is checked against, and what it has written so far.
struct Check<'a> {
    stored: &'a dyn Fn(&[u8]) -> Found,
    writes: Writes,
    audit_next: u64,
}

impl Plan {
    pub(super) fn of(batch: &Batch) -> Self {
        let mut steps = Vec::with_capacity(8);
        steps.extend(batch.orders.iter().map(|order| Step::Order(OrderStep::of(order))));
        steps.extend(batch.entries.iter().map(|change| match change {
            EntryChange::Put(entry) => Step::Put {
                key: keys::order_key(keys::REVERSAL, entry.order),
                version: entry.version,
                row: record::entry_bytes(entry),
            },
            EntryChange::Remove { order, version } => {
                Step::Remove { key: keys::order_key(keys::REVERSAL, *order), version: *version }
            }
        }));
        steps.extend(batch.transactions.iter().map(|transaction| Step::New {
            key: keys::transaction_key(transaction.order),
            row: record::transaction_bytes(transaction),
        }));
        steps.extend(books::closes(batch));
        steps.extend(books::open_days(batch));
        steps.extend(batch.clearing.iter().map(|line| Step::New {
            key: keys::clearing_key(&line.channel, line.date, line.channel_order_no),
            row: record::clearing_bytes(line),
        }));
        steps.extend(batch.accounting.iter().map(|request| Step::Put {
            key: keys::accounting_key(request.id),
            version: request.delivery.version,
            row: record::accounting_bytes(request),
        }));
        steps.extend(batch.notices.iter().map(|notice| Step::Put {
            key: keys::order_key(keys::NOTICE, notice.order),
            version: notice.delivery.version,
            row: record::notice_bytes(notice),
        }));
        steps.extend(batch.contradictions.iter().map(|kept| Step::New {
            key: keys::contradiction_key(kept.place()),
            row: record::contradiction_bytes(kept),
        }));
        steps.extend(books::new_rows(batch));
        let together = books::puts(batch);
        if !together.is_empty() {
            steps.push(Step::Together(together));
        }
        let audit = |entry| Step::Audit { row: record::audit_bytes(entry) };
        steps.extend(batch.audit.iter().map(audit));
        Self { steps }
    }

    /// The writes of the plan if every guard holds against `stored` and against the plan's own
    /// earlier rows. `audit_next` is the next free place of the audit trail, and moves on.
    pub(super) fn check(
        self,
        audit_next: &mut u64,
        stored: &dyn Fn(&[u8]) -> Found,
    ) -> Result<Writes, CommitError> {
        let mut check = Check { stored, writes: Writes::new(), audit_next: *audit_next };
        for step in self.steps {
            match step {
                Step::Order(step) => check.order(step)?,
                Step::Put { key, version, row } => check.put(key, version, row)?,
                Step::Remove { key, version } => check.remove(key, version)?,
                Step::New { key, row } => check.insert(key, row)?,
                Step::Close(close) => check.close(close)?,
                Step::Open(open) => check.open(&open)?,
                Step::Together(puts) => check.put_together(puts)?,
                Step::Audit { row } => {
                    check.insert(keys::audit_key(check.audit_next), row)?;
                    check.audit_next += 1;
                }
            }
        }
        *audit_next = check.audit_next;
        Ok(check.writes)
    }
}

impl OrderStep {
    fn of(order: &Order) -> Self {
        let first = order.version == 1;
        let original = order.kind.original().filter(|_| first && order.kind.is_follow_up());
        Self {
            id: order.id,
            version: order.version,
            is_final: order.status.is_final(),
            caller_key: first.then(|| keys::caller_key(&order.caller, &order.caller_order_id)),
            follow_up_key: original.map(|of| keys::follow_up_key(of, order.id)),
            row: record::order_bytes(order),
        }
    }
}

impl Check<'_> {
    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CommitError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => (self.stored)(key).map_err(CommitError::Failed),
        }
    }

    fn order(&mut self, step: OrderStep) -> Result<(), CommitError> {
        let open = keys::order_key(keys::OPEN, step.id);
        let closed = keys::order_key(keys::FINAL, step.id);
        if let Some(caller_key) = &step.caller_key
            && let Some(stored) = self.find(caller_key)?
        {
            let existing = keys::order_at(&stored, 0).map_err(CommitError::Failed)?;
            // The same order under the same id is a repeated commit, not another order.
            let same = existing == step.id;
            return Err(if same { CommitError::Conflict } else { duplicate(existing) });
        }
        let (was_open, found) = match self.find(&open)? {
            Some(row) => (true, Some(row)),
            None => (false, self.find(&closed)?),
        };
        check_version(&closed, found.as_deref(), step.version)?;
        if found.is_some() && !was_open && !step.is_final {
            // A final order stays final (I-5): whoever writes it as open has not seen its end.
            return Err(CommitError::Conflict);
        }
        if let Some(caller_key) = step.caller_key {
            self.writes.insert(caller_key, Some(step.id.as_u64().to_be_bytes().to_vec()));
        }
        self.writes.extend(step.follow_up_key.map(|index| (index, Some(Vec::new()))));
        if was_open && step.is_final {
            self.writes.insert(open.clone(), None);
        }
        let key = if step.is_final { closed } else { open };
        self.writes.insert(key, Some(step.row));
        Ok(())
    }

    fn put(&mut self, key: Vec<u8>, version: u32, row: Vec<u8>) -> Result<(), CommitError> {
        let found = self.find(&key)?;
        check_version(&key, found.as_deref(), version)?;
        self.reindex(&key, found.as_deref(), Some(&row))?;
        self.writes.insert(key, Some(row));
        Ok(())
    }

    fn remove(&mut self, key: Vec<u8>, version: u32) -> Result<(), CommitError> {
        let found = self.find(&key)?;
        let next = version.checked_add(1).ok_or(CommitError::Conflict)?;
        if found.is_none() {
            return Err(CommitError::Conflict);
        }
        check_version(&key, found.as_deref(), next)?;
        self.reindex(&key, found.as_deref(), None)?;
        self.writes.insert(key, None);
        Ok(())
    }

    fn insert(&mut self, key: Vec<u8>, row: Vec<u8>) -> Result<(), CommitError> {
        if self.find(&key)?.is_some() {
            return Err(CommitError::Conflict);
        }
        self.writes.insert(key, Some(row));
        Ok(())
    }

    /// Moves the index entry of a row along with it.
    fn reindex(
        &mut self,
        key: &[u8],
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<(), CommitError> {
        let due = |row: Option<&[u8]>| match row {
            Some(row) => keys::due_key(key, row).map_err(CommitError::Failed),
            None => Ok(None),
        };
        let (before, now) = (due(old)?, due(new)?);
        if before != now {
            self.writes.extend(before.map(|index| (index, None)));
            self.writes.extend(now.map(|index| (index, Some(Vec::new()))));
        }
        Ok(())
    }
}

fn duplicate(existing: OrderId) -> CommitError {
    CommitError::Duplicate { existing }
}

/// Version 1 needs that no row is found; version n > 1 needs the one of version n - 1.
fn check_version(key: &[u8], found: Option<&[u8]>, version: u32) -> Result<(), CommitError> {
    let holds = match found {
        None => version == 1,
        Some(row) => {
            let stored = keys::version_of(key, row).map_err(CommitError::Failed)?;
            version > 1 && stored == version - 1
        }
    };
    if holds { Ok(()) } else { Err(CommitError::Conflict) }
}

/// The next numbers of a lease: what was given out so far, and what to write for `count` more.
pub(super) fn lease_step(stored: Option<&[u8]>, count: u32) -> Result<(u64, Vec<u8>), StoreError> {
    let given = match stored {
        None => 0,
        Some(bytes) => u64::from_be_bytes(keys::number_at(bytes, 0)?),
    };
    let after = given.saturating_add(u64::from(count));
    Ok((given + 1, after.to_be_bytes().to_vec()))
}
