//! A bounded number of findings as one commit: rows as they were loaded, and as they are then.
//!
//! No two rows ever have one record, nor one line. A record's row keeps its record for life, and
//! lines come and go; a row whose line another row takes gives it up in the same commit. Balanced
//! rows are only read.

use std::collections::{BTreeMap, HashMap};

use crate::domain::books::accounting::AccountingRequest;
use crate::domain::books::difference::{
    Change, ContradictedMoney, Difference, DifferenceState, Finding, LineSide, RecordSide, Run,
    carried_until,
};
use crate::domain::books::reconcile::{Class, MatchKey};
use crate::domain::ids::{BatchId, DifferenceId};
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{FoundDifference, WriteSet};
use crate::reconciliation::ReconciliationError;
use crate::reconciliation::books::{ChannelBooks, ChannelContext, RecordKey};

type LineKey = (BusinessDate, [u8; 16]);

fn record_key(record: &RecordSide) -> RecordKey {
    (record.date, record.channel_order_no)
}

fn line_key(line: &LineSide) -> LineKey {
    (line.date, line.digest)
}

struct RowChange {
    before: Option<Difference>,
    now: Difference,
}

/// A line of a batch that contradicts a balanced difference.
pub struct BalancedLine {
    pub difference: DifferenceId,
    pub line: u32,
}

/// One commit in the making.
pub struct Chunk<'a> {
    books: &'a ChannelBooks,
    context: &'a ChannelContext,
    batch: BatchId,
    /// The statement's date.
    date: BusinessDate,
    rows: BTreeMap<DifferenceId, RowChange>,
    records: HashMap<RecordKey, Option<DifferenceId>>,
    lines: HashMap<LineKey, Option<DifferenceId>>,
    accounting: Vec<AccountingRequest>,
    found: Vec<FoundDifference>,
    pub unsaid: Vec<BalancedLine>,
}

impl<'a> Chunk<'a> {
    pub fn new(
        books: &'a ChannelBooks,
        context: &'a ChannelContext,
        batch: BatchId,
        date: BusinessDate,
    ) -> Self {
        Self {
            books,
            context,
            batch,
            date,
            rows: BTreeMap::new(),
            records: HashMap::new(),
            lines: HashMap::new(),
            accounting: Vec::new(),
            found: Vec::new(),
            unsaid: Vec::new(),
        }
    }

    /// Takes a finding into its row, and lists it at `ordinal` if it is told.
    pub async fn take(
        &mut self,
        finding: Finding,
        ordinal: Option<u32>,
    ) -> Result<DifferenceId, ReconciliationError> {
        let class = finding.class;
        let difference = match &finding.record {
            Some(_) => self.take_record(finding).await?,
            None => self.take_line(finding).await?,
        };
        if let Some(ordinal) = ordinal {
            self.found.push(FoundDifference { batch: self.batch, ordinal, class, difference });
        }
        Ok(difference)
    }

    async fn take_record(&mut self, finding: Finding) -> Result<DifferenceId, ReconciliationError> {
        let record = finding.record.as_ref().expect("the caller has looked");
        let of_record = self.row_of_record(record_key(record)).await?;
        let of_line = match &finding.line {
            Some(line) => self.row_of_line(line_key(line)).await?,
            None => None,
        };
        let of_line = of_line.filter(|row| of_record.as_ref().is_none_or(|own| own.id != row.id));
        let balanced = |row: &Option<Difference>| {
            row.as_ref().is_some_and(|row| row.state == DifferenceState::Balanced)
        };
        if balanced(&of_record) {
            let own = of_record.expect("it is balanced");
            self.compare_balanced(&own, &finding);
            // A person has decided about the record alone: its line is for itself.
            if own.line.is_none()
                && let Some(line) = finding.line
            {
                let (class, key) = (Class::OnlyTheirs, MatchKey::OrderNo);
                let alone = Finding {
                    class,
                    key,
                    line: Some(line),
                    record: None,
                    claimed: ContradictedMoney::Nothing,
                    elsewhere: None,
                };
                Box::pin(self.take_line(alone)).await?;
            }
            return Ok(own.id);
        }
        let mut finding = finding;
        if balanced(&of_line) {
            // A person has decided about the line: the record is for itself.
            (finding.class, finding.line) = (Class::OnlyOurs, None);
        }
        match (of_record, of_line) {
            (Some(own), Some(other)) if finding.line.is_some() => {
                self.lose_line(&other).await?;
                self.update(own, &finding)
            }
            (Some(own), Some(_) | None) => self.update(own, &finding),
            (None, Some(other)) if finding.line.is_some() && other.record.is_none() => {
                self.update(other, &finding)
            }
            (None, Some(other)) if finding.line.is_some() => {
                self.lose_line(&other).await?;
                self.open(&finding).await
            }
            (None, Some(_) | None) => self.open(&finding).await,
        }
    }

    async fn take_line(&mut self, finding: Finding) -> Result<DifferenceId, ReconciliationError> {
        let line = finding.line.as_ref().expect("a finding is about something");
        match self.row_of_line(line_key(line)).await? {
            None => self.open(&finding).await,
            Some(row) if row.state == DifferenceState::Balanced => {
                self.compare_balanced(&row, &finding);
                Ok(row.id)
            }
            // The row stays with its record, of which the same batch says more.
            Some(row) if row.record.is_some() => {
                self.lose_line(&row).await?;
                self.open(&finding).await
            }
            Some(row) => self.update(row, &finding),
        }
    }

    /// A balanced difference stays balanced; the batch reports that the statement now says
    /// otherwise.
    fn compare_balanced(&mut self, row: &Difference, finding: &Finding) {
        if row.gaps() != finding.gaps() {
            let line = finding.line.as_ref().map_or(0, |line| line.line);
            self.unsaid.push(BalancedLine { difference: row.id, line });
        }
    }

    fn update(
        &mut self,
        row: Difference,
        finding: &Finding,
    ) -> Result<DifferenceId, ReconciliationError> {
        let id = row.id;
        let change = row.with_finding(finding, self.run_of(finding), &self.context.moment());
        self.put(change);
        Ok(id)
    }

    async fn open(&mut self, finding: &Finding) -> Result<DifferenceId, ReconciliationError> {
        let id = DifferenceId::of(self.books.engine().next_order_id().await?);
        let run = self.run_of(finding);
        let channel = &self.context.channel;
        self.put(Some(Difference::open(id, channel, finding, run, &self.context.moment())));
        Ok(id)
    }

    fn run_of(&self, finding: &Finding) -> Run {
        let date = finding.record.as_ref().map_or(self.date, |record| record.date);
        let days = self.context.statement.carry_days;
        let due_at = carried_until(&self.context.terms.calendar, date, days);
        Run { batch: self.batch, due_at }
    }

    /// A row's line is another's now, or is found no more. A record of another date, which this
    /// line had satisfied, is ours only again if that date has been run.
    pub async fn lose_line(&mut self, row: &Difference) -> Result<(), ReconciliationError> {
        let moment = self.context.moment();
        let elsewhere = row.record.clone().filter(|record| record.date != self.date);
        let Some(record) = elsewhere else {
            self.put(row.without_line(self.batch, &moment));
            return Ok(());
        };
        let store = self.books.store();
        let ran = store.current_reconciliation(self.context.channel.clone(), record.date).await?;
        if ran.is_none() {
            let Some(change) = row.without_line(self.batch, &moment) else { return Ok(()) };
            let gone = change.difference.without_finding(
                self.batch,
                "the record's date is not \
                 reconciled yet",
                &moment,
            );
            self.put(Some(change));
            self.put(gone);
            return Ok(());
        }
        let claimed = self.books.contradicted_money(&record).await?;
        let (class, key) = (Class::OnlyOurs, row.key);
        let record = Some(record);
        let alone = Finding { class, key, line: None, record, claimed, elsewhere: None };
        self.update(row.clone(), &alone)?;
        Ok(())
    }

    /// The batch finds the row's difference no more.
    pub fn without_finding(&mut self, row: &Difference, what: &str) {
        let moment = self.context.moment();
        self.put(row.without_finding(self.batch, what, &moment));
    }

    /// The row as this chunk has it; the one that was given, if it has not been loaded.
    pub fn latest(&mut self, row: Difference) -> Difference {
        self.keep(row.clone());
        self.rows.get(&row.id).map_or(row, |slot| slot.now.clone())
    }

    fn keep(&mut self, row: Difference) {
        if self.rows.contains_key(&row.id) {
            return;
        }
        // A key that was looked up, or moved, in this chunk is known better here.
        if let Some(record) = &row.record {
            self.records.entry(record_key(record)).or_insert(Some(row.id));
        }
        if let Some(line) = &row.line {
            self.lines.entry(line_key(line)).or_insert(Some(row.id));
        }
        self.rows.insert(row.id, RowChange { before: Some(row.clone()), now: row });
    }

    async fn row_of_record(
        &mut self,
        key: RecordKey,
    ) -> Result<Option<Difference>, ReconciliationError> {
        if !self.records.contains_key(&key) {
            let (store, channel) = (self.books.store(), self.context.channel.clone());
            let found = store.difference_of_record(channel, key.0, key.1).await?;
            self.records.insert(key, found.as_ref().map(|row| row.id));
            found.into_iter().for_each(|row| self.keep(row));
        }
        let id = self.records.get(&key).copied().flatten();
        Ok(id.and_then(|id| self.rows.get(&id)).map(|slot| slot.now.clone()))
    }

    async fn row_of_line(
        &mut self,
        key: LineKey,
    ) -> Result<Option<Difference>, ReconciliationError> {
        if !self.lines.contains_key(&key) {
            let (store, channel) = (self.books.store(), self.context.channel.clone());
            let found = store.difference_of_line(channel, key.0, key.1).await?;
            // A row that has lost this line in this chunk is stored with it still.
            let found = found.filter(|row| {
                let now = self.rows.get(&row.id).map_or(row, |slot| &slot.now);
                now.line.as_ref().is_some_and(|line| line_key(line) == key)
            });
            self.lines.insert(key, found.as_ref().map(|row| row.id));
            found.into_iter().for_each(|row| self.keep(row));
        }
        let id = self.lines.get(&key).copied().flatten();
        Ok(id.and_then(|id| self.rows.get(&id)).map(|slot| slot.now.clone()))
    }

    fn put(&mut self, change: Option<Change>) {
        let Some(Change { difference: row, accounting }) = change else { return };
        self.accounting.extend(accounting);
        let old = self.rows.get(&row.id).and_then(|slot| slot.now.line.as_ref().map(line_key));
        if let Some(key) = old
            && self.lines.get(&key) == Some(&Some(row.id))
        {
            self.lines.insert(key, None);
        }
        if let Some(line) = &row.line {
            self.lines.insert(line_key(line), Some(row.id));
        }
        if let Some(record) = &row.record {
            self.records.insert(record_key(record), Some(row.id));
        }
        match self.rows.get_mut(&row.id) {
            Some(slot) => slot.now = row,
            None => {
                self.rows.insert(row.id, RowChange { before: None, now: row });
            }
        }
    }

    /// The rows to write: each changed one counts one version.
    pub fn into_writes(self) -> (WriteSet, Vec<BalancedLine>) {
        let changed = self.rows.into_values().filter_map(|slot| {
            let before = slot.before.as_ref().map_or(0, |row| row.version);
            let is_same = slot.before.as_ref() == Some(&slot.now);
            (!is_same).then_some(Difference { version: before + 1, ..slot.now })
        });
        let writes = WriteSet {
            differences: changed.collect(),
            accounting: self.accounting,
            found: self.found,
            ..WriteSet::default()
        };
        (writes, self.unsaid)
    }
}
