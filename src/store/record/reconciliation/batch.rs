//! The stored forms of reconciliation batches and of the listings of what they found.
//!
//! Sums are kept for the currencies and classes that occur, in their order. What cannot be a sum of
//! so many rows is damage, so that adding up what was read never overflows.

use serde::{Deserialize, Serialize};

use crate::domain::batch::FoundDifference;
use crate::domain::books::reconcile::{Class, ClassTotals, Sums, Tally, Totals};
use crate::domain::books::reconciliation::{BatchReport, BatchState, FileProblem, Reconciliation};
use crate::domain::ids::{BatchId, ChannelId, DifferenceId};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::store::StoreError;
use crate::store::record::codes::Code;
use crate::store::record::{Fields, decode, decode_head, encode, millis, text, wrong};

const TABLE: &str = "reconciliations";
const FIELDS: Fields = Fields { table: TABLE };
const FOUND: Fields = Fields { table: "found_differences" };
/// More rows than any batch has: sums of so many stay far inside 128 bits.
const ROWS_MAX: u64 = 1 << 40;

/// What guards and indexes a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct ReconciliationHead {
    pub version: u32,
    pub state: BatchState,
    pub channel: ChannelId,
    pub date: BusinessDate,
}

#[derive(Serialize, Deserialize)]
struct HeadRecord<'a> {
    version: u32,
    state: u8,
    channel: &'a str,
    date: u32,
}

/// Begins with the fields of [`HeadRecord`].
#[derive(Serialize, Deserialize)]
struct BatchRecord<'a> {
    #[serde(borrow)]
    head: HeadRecord<'a>,
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
    #[serde(borrow)]
    problems: Vec<ProblemRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct RowRecord {
    currency: u8,
    class: u8,
    theirs: SumsRecord,
    ours: SumsRecord,
}

type TallyRecord = Vec<(u8, SumsRecord)>;

#[derive(Serialize, Deserialize)]
struct SumsRecord {
    count: u64,
    amount_minor: i128,
    fee_minor: i128,
}

#[derive(Serialize, Deserialize)]
struct ProblemRecord<'a> {
    kind: &'a str,
    line: u32,
    detail: &'a str,
}

#[derive(Serialize, Deserialize)]
struct FoundRecord {
    class: u8,
    difference: u64,
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
    tally.iter().map(|(currency, sums)| (currency.number(), SumsRecord::of(&sums))).collect()
}

fn read_tally(record: &TallyRecord) -> Result<Tally, StoreError> {
    let row = |(currency, sums): &(u8, SumsRecord)| {
        let sums = sums.read()?;
        if sums.count == 0 {
            return Err(wrong(TABLE, "sums"));
        }
        Ok((FIELDS.currency(*currency)?, sums))
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
            currency: currency.number(),
            class: class.number(),
            theirs: SumsRecord::of(&totals.theirs),
            ours: SumsRecord::of(&totals.ours),
        };
        let problem = |problem: &'a FileProblem| ProblemRecord {
            kind: &problem.kind,
            line: problem.line,
            detail: &problem.detail,
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
            kind: problem.kind.to_owned(),
            line: problem.line,
            detail: problem.detail.to_owned(),
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
            Ok((FIELDS.currency(row.currency)?, FIELDS.code("class", row.class)?, totals))
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

/// The stored form of a batch. Its id is its key.
pub(in crate::store) fn reconciliation_bytes(batch: &Reconciliation) -> Vec<u8> {
    encode(&BatchRecord {
        head: HeadRecord {
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

fn read_head(head: &HeadRecord<'_>) -> Result<ReconciliationHead, StoreError> {
    Ok(ReconciliationHead {
        version: head.version,
        state: FIELDS.code("state", head.state)?,
        channel: ChannelId::from_stored(head.channel),
        date: FIELDS.date(head.date)?,
    })
}

pub(in crate::store) fn read_reconciliation_head(
    bytes: &[u8],
) -> Result<ReconciliationHead, StoreError> {
    read_head(&decode_head(TABLE, bytes)?)
}

pub(in crate::store) fn read_reconciliation(
    id: BatchId,
    bytes: &[u8],
) -> Result<Reconciliation, StoreError> {
    let record: BatchRecord<'_> = decode(TABLE, bytes)?;
    let head = read_head(&record.head)?;
    Ok(Reconciliation {
        id,
        version: head.version,
        channel: head.channel,
        date: head.date,
        revision: record.revision,
        state: head.state,
        by: record.by.to_owned(),
        started_at: FIELDS.time(record.started_at)?,
        finished_at: FIELDS.time_option(record.finished_at)?,
        reason: text(record.reason),
        report: record.report.read()?,
    })
}

/// The stored form of a line of a listing. Its key is the batch and the ordinal.
pub(in crate::store) fn found_bytes(found: &FoundDifference) -> Vec<u8> {
    encode(&FoundRecord { class: found.class.number(), difference: found.difference.as_u64() })
}

pub(in crate::store) fn read_found(
    batch: BatchId,
    ordinal: u32,
    bytes: &[u8],
) -> Result<FoundDifference, StoreError> {
    let record: FoundRecord = decode(FOUND.table, bytes)?;
    Ok(FoundDifference {
        batch,
        ordinal,
        class: FOUND.code("class", record.class)?,
        difference: DifferenceId::from_u64(record.difference),
    })
}
