//! The rows that one decision writes: all of them, or none.

use crate::domain::agreement::Agreement;
use crate::domain::approval::ApprovalRequest;
use crate::domain::attempt::Source;
use crate::domain::bin::proposal::BinProposal;
use crate::domain::books::Transaction;
use crate::domain::books::accounting::{AccountingRequest, Delivery};
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::day_close::DayClose;
use crate::domain::books::difference::Difference;
use crate::domain::books::reconcile::Class;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::settlement::{ChannelSettlement, SettledDate};
use crate::domain::books::statement::StatementRevision;
use crate::domain::closed_set;
use crate::domain::event::OrderEvent;
use crate::domain::ids::{BatchId, ChannelId, DifferenceId, OrderId};
use crate::domain::money::Currency;
use crate::domain::order::Order;
use crate::domain::payment_code::PaymentCode;
use crate::domain::reversal::ReversalEntry;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::domain::verification::CardVerification;

closed_set! {
    /// The end that a contradiction reports against our books (I-5).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum ReportedEnd {
        /// The channel says success; our attempt had ended otherwise.
        Success = 1 => "success",
        /// The channel says failure; our attempt had succeeded.
        Failure = 2 => "failure",
    }
}

/// Evidence against a final state, kept beside it. Append-only; one for each attempt and claim, and
/// of several successes one for each number that the channel gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    pub order: OrderId,
    pub attempt: u8,
    pub reported: ReportedEnd,
    /// Its place among those of its attempt and claim, from 0.
    pub ordinal: u8,
    pub source: Source,
    pub at: Timestamp,
    pub transcript: String,
    /// The channel's own number of the claimed success; its undo must name it.
    pub channel_reference: Option<String>,
    /// The order that takes the claimed success back.
    pub undo: Option<OrderId>,
    /// The clearing date of the claimed success, under which its clearing record stands; `None`
    /// where it has none, since no money moved.
    pub clearing_date: Option<BusinessDate>,
}

impl Contradiction {
    /// The contradiction's key: order, attempt, claim, and its place among those.
    pub const fn place(&self) -> (OrderId, u8, ReportedEnd, u8) {
        (self.order, self.attempt, self.reported, self.ordinal)
    }
}

/// A signed notice that the core is owed: where an order's end is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreNotice {
    pub order: OrderId,
    pub url: String,
    pub created_at: Timestamp,
    pub delivery: Delivery,
}

/// An operator's action, and the reason. Append-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: Timestamp,
    /// The name of the API key's owner.
    pub actor: String,
    /// The second person's, where one had to approve it.
    pub approver: Option<String>,
    /// A stable word, for instance `reversal.resolve`.
    pub action: String,
    /// The object of the action, for instance an order id.
    pub subject: String,
    pub reason: String,
}

impl AuditEntry {
    /// Something that the program did by itself, or on its machine.
    pub fn own(at: Timestamp, action: &str, subject: String, reason: String) -> Self {
        let (actor, action) = ("switchyard".to_owned(), action.to_owned());
        Self { at, actor, approver: None, action, subject, reason }
    }
}

/// A change to the temp reversal table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryChange {
    /// A new row (version 1), or the row of the version before.
    Put(ReversalEntry),
    /// The row goes, if it still has this version.
    Remove { order: OrderId, version: u32 },
}

/// A line of a reconciliation batch's findings. Append-only: it keeps the class that the batch saw,
/// whatever becomes of the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundDifference {
    pub batch: BatchId,
    /// Its place in the batch's listing.
    pub ordinal: u32,
    pub class: Class,
    pub difference: DifferenceId,
}

/// A row that was read and not written, as it was: a decision rests on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadGuard {
    /// The current reconciliation of a channel's date, with its version; `None` if there was none.
    Reconciliation { channel: ChannelId, date: BusinessDate, was: Option<(BatchId, u32)> },
    /// The settled money of a channel's date; version 0 if there was none.
    SettledDate { channel: ChannelId, date: BusinessDate, currency: Currency, version: u32 },
}

/// Everything that one decision writes. A store writes all of it or nothing, and only if
/// - each row that is said to be unchanged is as it was;
/// - each row that counts its versions (order, entry, delivery, reconciliation, difference,
///   settlement, settled date, verification, agreement, payment code, approval request, proposal)
///   is new with version 1, and with version n > 1 replaces the stored row of version n - 1;
/// - no other order has the same caller and caller's order id, and no other verification or
///   agreement;
/// - each other row is new: transactions, clearing records, contradictions, events, closes,
///   statement revisions, agreed lines and found differences;
/// - each close, and each day that is shut, is later than the channel's last close, and each
///   clearing record later than all days of its channel that are shut, those of this write set too;
/// - no two reconciliations are current for one channel and date, no two differences have one
///   record or one line, no two settlements of a channel one receipt, and no two approval requests
///   that wait are about one thing. Only what stands after the whole write set counts: what one row
///   gives up, another may take in any order (but for requests, of which one at most is written).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteSet {
    pub orders: Vec<Order>,
    pub entries: Vec<EntryChange>,
    pub transactions: Vec<Transaction>,
    pub clearing: Vec<ClearingRecord>,
    pub accounting: Vec<AccountingRequest>,
    pub notices: Vec<CoreNotice>,
    pub contradictions: Vec<Contradiction>,
    pub events: Vec<OrderEvent>,
    pub audit: Vec<AuditEntry>,
    /// From each one on, the channel takes no clearing record of the date or an earlier one.
    pub shut: Vec<(ChannelId, BusinessDate)>,
    /// Each shuts its day too.
    pub closes: Vec<DayClose>,
    pub statements: Vec<StatementRevision>,
    pub reconciliations: Vec<Reconciliation>,
    /// For each batch, which lines agreed, in a form that its reader knows: a megabyte or two.
    pub agreed_lines: Vec<(BatchId, Vec<u8>)>,
    pub found: Vec<FoundDifference>,
    pub differences: Vec<Difference>,
    pub settlements: Vec<ChannelSettlement>,
    pub settled: Vec<SettledDate>,
    pub verifications: Vec<CardVerification>,
    pub agreements: Vec<Agreement>,
    pub payment_codes: Vec<PaymentCode>,
    pub approvals: Vec<ApprovalRequest>,
    pub bin_proposals: Vec<BinProposal>,
    pub unchanged: Vec<ReadGuard>,
}

impl WriteSet {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
