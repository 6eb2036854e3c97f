//! Reconciliation batches (对账批次): one run of a statement against our records (S28).

use crate::domain::books::reconcile::{Class, Sums, Tally, Totals};
use crate::domain::closed_set;
use crate::domain::ids::{BatchId, ChannelId};
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, Timestamp};

closed_set! {
    /// Where a batch stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum BatchState {
        /// Begun. One that the process left so by ending is [`Self::Abandoned`] at the next start.
        Running = 1 => "running",
        /// The newest of its channel and date: its report holds.
        Current = 2 => "current",
        /// A later run of the same date has taken its place; its findings are kept.
        Superseded = 3 => "superseded",
        /// The batch ended without a report: the file was refused, or the process died under it.
        Abandoned = 4 => "abandoned",
    }
}

/// A problem of a file as a whole, beside its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// One word: `count_differs`, `amount_total_differs`, `fee_total_differs`,
    /// `settlement_total_differs`, `cut_off`, `other_days`, …
    pub kind: String,
    pub line: u32,
    pub detail: String,
}

/// The kind of a remark: the file supersedes an earlier one.
pub const REVISION: &str = "revision";
/// The kind of a remark: nothing of the channel's says how many lines there are, so that nothing is
/// known to be absent.
pub const UNCOUNTED: &str = "uncounted";

impl FileProblem {
    /// Whether it only remarks on something; nothing is wrong then.
    pub fn is_remark(&self) -> bool {
        self.kind == REVISION || self.kind == UNCOUNTED
    }
}

/// One batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    pub id: BatchId,
    /// Counts the writes of the row, from 1.
    pub version: u32,
    pub channel: ChannelId,
    pub date: BusinessDate,
    /// The revision of the statement that it ran on; from 1.
    pub revision: u16,
    pub state: BatchState,
    pub by: String,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// Why it was abandoned.
    pub reason: Option<String>,
    /// The findings; empty until the batch has finished.
    pub report: BatchReport,
}

/// The findings of a batch: agreement as sums, the rest as counts (differences are rows).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchReport {
    pub totals: Totals,
    /// The rows that were read of each side; equal to the sums of all classes (I-10).
    pub theirs: Tally,
    pub ours: Tally,
    /// Lines of the file, headings included.
    pub lines: u32,
    /// Verdicts that are rows.
    pub differences: u32,
    /// Orders of unknown end that a line of this statement has ended.
    pub proven: u32,
    pub problems: Vec<FileProblem>,
}

impl BatchReport {
    /// Whether nothing is left to do: every verdict is an agreement, and the file is sound.
    pub fn is_agreed(&self) -> bool {
        self.totals.is_agreed() && self.problems.iter().all(FileProblem::is_remark)
    }

    /// Principal and fee of all lines that say success, by currency: the money that the channel
    /// promises to pay. Lines that another date's statement has matched are paid by that one.
    pub fn stated(&self, currency: Currency) -> Sums {
        let said = self.theirs.iter().find(|(one, _)| *one == currency);
        let said = said.map_or_else(Sums::default, |(_, sums)| sums);
        said.less(&self.totals.get(currency, Class::DuplicateElsewhere).theirs)
    }
}
