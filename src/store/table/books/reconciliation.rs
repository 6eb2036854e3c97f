//! Reconciliation batches, by id. One can be the current one of its channel and date.
//!
//! Sums are kept for the currencies and classes that occur, in their order. What cannot be a sum of
//! so many rows is damage, so that adding up what was read never overflows.

mod sql;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::domain::books::reconcile::{Class, ClassTotals, Sums, Tally, Totals};
use crate::domain::books::reconciliation::{BatchReport, BatchState, FileProblem, Reconciliation};
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{BatchId, ChannelId};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{ReadGuard, WriteSet};
use crate::store::form::{StoredFields, decode, decode_head, encode, millis, text, wrong};
use crate::store::head::{Entries, Head, identity};
use crate::store::key::{Key, Parts, bounds, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{
    Following, Table, Versioned, get, holder, list_indexed, list_rows, plan_put,
};
use crate::store::sorted::{StoreResult, onward};
use crate::store::sql::read::{after_id, page_limit, parameter, parameters};
use crate::store::sql::step::{SqlPlan, Step};
use crate::store::sql::value::Named;
use crate::store::{CommitError, PAGE_MAX, Store, StoreError, StoreRead};

const TABLE: &str = "reconciliations";
const FIELDS: StoredFields = StoredFields { table: TABLE };

const LETTER: u8 = b'B';
const OF_CHANNEL: u8 = b'b';
const OF_DATE: u8 = b'k';
/// The current one of a channel and date.
const CURRENT: u8 = b'c';
const RUNNING: u8 = b'g';

pub(in crate::store) struct Reconciliations;

impl Table for Reconciliations {
    type Row = Reconciliation;

    const NAME: &'static str = TABLE;
    const LETTERS: &'static [(u8, &'static str)] = &[
        (LETTER, "reconciliations"),
        (OF_CHANNEL, "entries of channels' reconciliations"),
        (OF_DATE, "entries of dates' reconciliations"),
        (CURRENT, "entries of current reconciliations"),
        (RUNNING, "entries of running reconciliations"),
    ];

    fn key(batch: &Reconciliation) -> Vec<u8> {
        order_key(LETTER, batch.id.chain())
    }

    fn encode(batch: &Reconciliation) -> Vec<u8> {
        reconciliation_bytes(batch)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<Reconciliation> {
        read_reconciliation(BatchId::of(Parts::of(key).order()?), bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        for unchanged in &writes.unchanged {
            if let ReadGuard::Reconciliation { channel, date, was } = unchanged {
                plan_unchanged(current_key(channel.as_str(), *date), *was, plan);
            }
        }
        plan_put::<Self>(&writes.reconciliations, plan);
    }

    fn sql_steps() -> Vec<Step> {
        sql::steps()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        sql::plan(writes, plan)
    }

    const SQL_FOLLOWING: &'static [Following] = &[Following {
        table: "current_reconciliations",
        columns: "channel, date, batch",
        rows: "SELECT channel, date, id FROM reconciliations WHERE state = 'current'",
    }];
}

impl Versioned for Reconciliations {
    fn version(batch: &Reconciliation) -> u32 {
        batch.version
    }

    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        let head: ReconciliationHeadRecord<'_> = decode_head(TABLE, bytes)?;
        let (channel, date) = (head.channel, FIELDS.date(head.date)?);
        let mut entries = Entries::default();
        entries.add(Key::of(OF_CHANNEL).text(channel).0, key);
        entries.add(Key::of(OF_DATE).text(channel).date(date).0, key);
        match FIELDS.code("state", head.state)? {
            BatchState::Running => entries.add(vec![RUNNING], key),
            BatchState::Current => entries.unique.push(current_key(channel, date)),
            BatchState::Superseded | BatchState::Abandoned => {}
        }
        Ok(Head { version: head.version, entries })
    }
}

/// Guards which reconciliation is current, and its version.
fn plan_unchanged(entry: Vec<u8>, was: Option<(BatchId, u32)>, plan: &mut CommitPlan) {
    let key = was.map(|(id, _)| order_key(LETTER, id.chain()));
    let holder = key.as_deref().map(|key| identity(key).to_vec());
    plan.own(move |check| {
        let as_it_was = check.find(&entry)? == holder;
        if as_it_was { Ok(()) } else { Err(CommitError::Conflict) }
    });
    if let (Some(key), Some((_, version))) = (key, was) {
        plan.unchanged(key, version, Reconciliations::head);
    }
}

fn current_key(channel: &str, date: BusinessDate) -> Vec<u8> {
    Key::of(CURRENT).text(channel).date(date).0
}

impl dyn Store + '_ {
    pub fn reconciliation(&self, id: BatchId) -> StoreRead<'_, Option<Reconciliation>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Reconciliations>("WHERE t.id = $1", parameters![id]);
        }
        self.look(move |rows| get::<Reconciliations>(rows, &order_key(LETTER, id.chain())))
    }

    /// Reconciliations by id, of a channel and date or of all. A date without a channel is not
    /// looked at.
    pub fn reconciliations(
        &self,
        channel: Option<ChannelId>,
        date: Option<BusinessDate>,
        after: Option<BatchId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<Reconciliation>> {
        if let Some(tables) = self.tables() {
            let after = after_id(after.map(BatchId::chain));
            let mut parameters = vec![parameter(after), page_limit(limit)];
            let date = date.filter(|_| channel.is_some());
            parameters.extend(channel.map(parameter).into_iter().chain(date.map(parameter)));
            let which = match parameters.len() {
                2 => "WHERE t.id > $1 ORDER BY t.id LIMIT $2",
                3 => "WHERE t.id > $1 AND t.channel = $3 ORDER BY t.id LIMIT $2",
                _ => "WHERE t.id > $1 AND t.channel = $3 AND t.date = $4 ORDER BY t.id LIMIT $2",
            };
            return tables.list::<Reconciliations>(which, parameters);
        }
        self.list(move |rows| {
            let prefix = match (&channel, date) {
                (Some(channel), Some(date)) => Key::of(OF_DATE).channel(channel).date(date).0,
                (Some(channel), None) => Key::of(OF_CHANNEL).channel(channel).0,
                (None, _) => vec![LETTER],
            };
            let at = prefix.len();
            let last = after.map(|id| Key(prefix.clone()).order(id.chain()).0);
            match &channel {
                Some(_) => list_indexed::<Reconciliations>(rows, onward(&prefix, last), at, limit),
                None => list_rows::<Reconciliations>(rows, &prefix, last, limit),
            }
        })
    }

    pub fn current_reconciliation(
        &self,
        channel: ChannelId,
        date: BusinessDate,
    ) -> StoreRead<'_, Option<Reconciliation>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Reconciliations>(
                "JOIN current_reconciliations c ON c.batch = t.id \
                 WHERE c.channel = $1 AND c.date = $2",
                parameters![channel, date],
            );
        }
        let entry = current_key(channel.as_str(), date);
        self.look(move |rows| holder::<Reconciliations>(rows, &entry))
    }

    /// Reconciliations that have begun and not ended, by id.
    pub fn running_reconciliations(&self) -> StoreRead<'_, Vec<Reconciliation>> {
        if let Some(tables) = self.tables() {
            return tables.list::<Reconciliations>(
                "WHERE t.state = 'running' ORDER BY t.id LIMIT 1000",
                Vec::new(),
            );
        }
        self.list(|rows| list_indexed::<Reconciliations>(rows, bounds(&[RUNNING]), 1, PAGE_MAX))
    }
}

/// More rows than any batch has: sums of so many stay far inside 128 bits.
const ROWS_MAX: u64 = 1 << 40;

#[derive(Serialize, Deserialize)]
struct ReconciliationHeadRecord<'a> {
    version: u32,
    state: u8,
    channel: &'a str,
    date: u32,
}

/// Begins with the fields of [`ReconciliationHeadRecord`].
#[derive(Serialize, Deserialize)]
struct BatchRecord<'a> {
    #[serde(borrow)]
    head: ReconciliationHeadRecord<'a>,
    revision: u16,
    by: &'a str,
    started_at: u64,
    finished_at: Option<u64>,
    reason: Option<&'a str>,
    report: ReportRecord<'a>,
}

#[derive(Serialize, Deserialize)]
struct ReportRecord<'a> {
    rows: Vec<RowRecord>,
    bad_lines: u64,
    not_due: TallyRecord,
    theirs: TallyRecord,
    ours: TallyRecord,
    lines: u32,
    differences: u32,
    proven: u32,
    problems: Vec<ProblemRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct RowRecord {
    currency: Named<Currency>,
    class: Named<Class>,
    theirs: SumsRecord,
    ours: SumsRecord,
}

type TallyRecord = Vec<(Named<Currency>, SumsRecord)>;

#[derive(Serialize, Deserialize)]
struct SumsRecord {
    count: u64,
    amount_minor: i128,
    fee_minor: i128,
}

#[derive(Serialize, Deserialize)]
struct ProblemRecord<'a> {
    kind: Cow<'a, str>,
    line: u32,
    detail: Cow<'a, str>,
}

impl SumsRecord {
    fn of(sums: &Sums) -> Self {
        Self { count: sums.count, amount_minor: sums.amount_minor, fee_minor: sums.fee_minor }
    }

    fn read(&self) -> Result<Sums, StoreError> {
        let most = u128::from(self.count) << 63;
        let of_rows = |minor: i128| minor.unsigned_abs() <= most;
        if self.count > ROWS_MAX || !of_rows(self.amount_minor) || !of_rows(self.fee_minor) {
            return Err(wrong(TABLE, "sums"));
        }
        let Self { count, amount_minor, fee_minor } = *self;
        Ok(Sums { count, amount_minor, fee_minor })
    }
}

fn tally_record(tally: &Tally) -> TallyRecord {
    tally.iter().map(|(currency, sums)| (Named(currency), SumsRecord::of(&sums))).collect()
}

fn read_tally(record: &TallyRecord) -> Result<Tally, StoreError> {
    let row = |(Named(currency), sums): &(Named<Currency>, SumsRecord)| {
        let sums = sums.read()?;
        if sums.count == 0 {
            return Err(wrong(TABLE, "sums"));
        }
        Ok((*currency, sums))
    };
    let rows: Vec<(Currency, Sums)> = record.iter().map(row).collect::<Result<_, _>>()?;
    if !rows.is_sorted_by(|(first, _), (second, _)| first < second) {
        return Err(wrong(TABLE, "currency"));
    }
    Ok(Tally::from_sums(rows))
}

impl<'a> ReportRecord<'a> {
    fn of(report: &'a BatchReport) -> Self {
        let row = |(currency, class, totals): (Currency, Class, ClassTotals)| RowRecord {
            currency: Named(currency),
            class: Named(class),
            theirs: SumsRecord::of(&totals.theirs),
            ours: SumsRecord::of(&totals.ours),
        };
        let problem = |problem: &'a FileProblem| ProblemRecord {
            kind: problem.kind.as_str().into(),
            line: problem.line,
            detail: problem.detail.as_str().into(),
        };
        Self {
            rows: report.totals.iter().map(row).collect(),
            bad_lines: report.totals.bad_lines,
            not_due: tally_record(&report.totals.not_due),
            theirs: tally_record(&report.theirs),
            ours: tally_record(&report.ours),
            lines: report.lines,
            differences: report.differences,
            proven: report.proven,
            problems: report.problems.iter().map(problem).collect(),
        }
    }

    fn read(&self) -> Result<BatchReport, StoreError> {
        let problem = |problem: &ProblemRecord<'_>| FileProblem {
            kind: problem.kind.clone().into_owned(),
            line: problem.line,
            detail: problem.detail.clone().into_owned(),
        };
        Ok(BatchReport {
            totals: self.read_totals()?,
            theirs: read_tally(&self.theirs)?,
            ours: read_tally(&self.ours)?,
            lines: self.lines,
            differences: self.differences,
            proven: self.proven,
            problems: self.problems.iter().map(problem).collect(),
        })
    }

    fn read_totals(&self) -> Result<Totals, StoreError> {
        let row = |row: &RowRecord| {
            let totals = ClassTotals { theirs: row.theirs.read()?, ours: row.ours.read()? };
            if totals.theirs.count + totals.ours.count == 0 {
                return Err(wrong(TABLE, "sums"));
            }
            Ok((row.currency.0, row.class.0, totals))
        };
        type Row = (Currency, Class, ClassTotals);
        let rows: Vec<Row> = self.rows.iter().map(row).collect::<Result<_, _>>()?;
        let place = |row: &Row| (row.0, row.1.index());
        if !rows.is_sorted_by(|first, second| place(first) < place(second)) {
            return Err(wrong(TABLE, "class"));
        }
        if self.bad_lines > ROWS_MAX {
            return Err(wrong(TABLE, "bad_lines"));
        }
        Ok(Totals::from_rows(rows, self.bad_lines, read_tally(&self.not_due)?))
    }
}

fn reconciliation_bytes(batch: &Reconciliation) -> Vec<u8> {
    encode(&BatchRecord {
        head: ReconciliationHeadRecord {
            version: batch.version,
            state: batch.state.number(),
            channel: batch.channel.as_str(),
            date: batch.date.yyyymmdd(),
        },
        revision: batch.revision,
        by: &batch.by,
        started_at: millis(batch.started_at),
        finished_at: batch.finished_at.map(millis),
        reason: batch.reason.as_deref(),
        report: ReportRecord::of(&batch.report),
    })
}

fn read_reconciliation(id: BatchId, bytes: &[u8]) -> Result<Reconciliation, StoreError> {
    let record: BatchRecord<'_> = decode(TABLE, bytes)?;
    let head = &record.head;
    Ok(Reconciliation {
        id,
        version: head.version,
        channel: ChannelId::from_stored(head.channel),
        date: FIELDS.date(head.date)?,
        revision: record.revision,
        state: FIELDS.code("state", head.state)?,
        by: record.by.to_owned(),
        started_at: FIELDS.time(record.started_at)?,
        finished_at: FIELDS.time_option(record.finished_at)?,
        reason: text(record.reason),
        report: record.report.read()?,
    })
}
