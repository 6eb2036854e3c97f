//! The temp reversal table: an entry for each attempt whose end is open, or undo owed (I-6).

use std::time::Duration;

use crate::domain::flow::attempt::Attempt;
use crate::domain::flow::order::Order;
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::terms::{AfterInquiry, Terms};
use crate::domain::time::{Present, Timestamp};

/// The most lines of history an entry keeps; the oldest go first, counts stay.
pub const HISTORY_MAX: usize = 40;
/// The wait between inquiries once the schedule has run out.
pub const DAILY: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest wait before a reversal that could not leave is tried again.
const UNSENT_WAIT_MIN: Duration = Duration::from_secs(1);
/// The waits before an owed undo that could not leave is tried again; the last one repeats.
const UNDO_WAITS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// What is being done about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The channel is asked what became of the attempt.
    Inquiring,
    /// The channel is asked to undo the attempt.
    Reversing,
    /// An undo order waits to be sent.
    UndoOwed,
    /// The schedule is exhausted, or the channel refused: an operator must look. Evidence still
    /// ends it at any time.
    Operator,
}

impl Phase {
    pub const ALL: [Self; 4] = [Self::Inquiring, Self::Reversing, Self::UndoOwed, Self::Operator];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Inquiring => "inquiring",
            Self::Reversing => "reversing",
            Self::UndoOwed => "undo_owed",
            Self::Operator => "operator",
        }
    }
}

/// One line of an entry's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLine {
    pub at: Timestamp,
    /// What happened, in a few stable words: `inquiry: unknown (timed_out)`.
    pub what: String,
}

/// One row of the temp reversal table (冲正临时表).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReversalEntry {
    pub order: OrderId,
    /// The attempt's number; 0 while an undo order has none yet.
    pub attempt: u8,
    /// Counts the writes of the row, from 1.
    pub version: u32,
    pub channel: ChannelId,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub phase: Phase,
    /// The place in the phase's schedule.
    pub step: u16,
    /// When it is worked next; `None` in the operator's hands.
    pub due_at: Option<Timestamp>,
    pub opened_at: Timestamp,
    /// The channel's last word was that it is working on the attempt: it is not reversed then.
    pub pending: bool,
    /// A reversal has left and its end is not known: a success seen now may be undone by it.
    pub reversal_sent: bool,
    /// The channel refused to reverse for good: only what it says of the attempt can end it.
    pub reversal_refused: bool,
    pub inquiries: u32,
    pub reversals: u32,
    pub history: Vec<HistoryLine>,
}

impl ReversalEntry {
    /// The entry of an attempt that just left its call without an end.
    pub fn open(order: &Order, attempt: &Attempt, terms: &Terms, now: Timestamp) -> Self {
        let mut entry = Self::new(order, attempt.number, attempt.channel.clone(), now);
        entry.phase = Phase::Inquiring;
        entry.due_at = terms.inquire.first().map(|wait| now.plus(*wait));
        entry
    }

    /// The entry of an undo order that waits to be sent.
    pub fn owe_undo(order: &Order, channel: ChannelId, now: Timestamp) -> Self {
        let mut entry = Self::new(order, 0, channel, now);
        entry.phase = Phase::UndoOwed;
        entry.due_at = Some(now);
        entry
    }

    fn new(order: &Order, attempt: u8, channel: ChannelId, now: Timestamp) -> Self {
        Self {
            order: order.id,
            attempt,
            version: 0,
            channel,
            amount: order.amount,
            currency: order.currency,
            phase: Phase::Operator,
            step: 0,
            due_at: None,
            opened_at: now,
            pending: false,
            reversal_sent: false,
            reversal_refused: false,
            inquiries: 0,
            reversals: 0,
            history: Vec::new(),
        }
    }

    pub fn note(&mut self, now: Timestamp, what: String) {
        if self.history.len() >= HISTORY_MAX {
            self.history.remove(0);
        }
        self.history.push(HistoryLine { at: now, what });
    }

    /// Sets the next inquiry, or what follows when the schedule has run out.
    ///
    /// While the channel says that it works on the attempt, the last wait repeats: it is not
    /// reversed then. "No such order" that is not final yet gets one more inquiry at the moment
    /// when it is (`I-3`).
    pub fn after_inquiry(&mut self, attempt: &Attempt, terms: &Terms, present: &Present) {
        let now = present.now();
        assert_eq!(self.phase, Phase::Inquiring, "only an inquiring entry is inquired of");
        self.step = self.step.saturating_add(1);
        if let Some(wait) = terms.inquire.get(usize::from(self.step)) {
            self.due_at = Some(now.plus(*wait));
            return;
        }
        let believed_in = terms.not_found_final_in(attempt.sent_at, present);
        if self.pending
            && let Some(wait) = terms.inquire.last()
        {
            self.due_at = Some(now.plus(*wait));
        } else if !believed_in.is_zero() {
            self.due_at = Some(now.plus(believed_in));
        } else {
            self.exhaust_inquiry(attempt, terms, present);
        }
    }

    /// What follows when inquiry can do no more.
    pub fn exhaust_inquiry(&mut self, attempt: &Attempt, terms: &Terms, present: &Present) {
        let now = present.now();
        // A channel that works on it is not asked to undo it, even if it cannot be asked at all.
        let reversible = terms.can_reverse(attempt.operation)
            && !self.pending
            && !self.reversal_refused
            && terms.reversal_window_open(attempt.sent_at, present);
        match terms.then {
            AfterInquiry::Reverse if reversible => self.begin_reversing(terms, now),
            AfterInquiry::Reverse | AfterInquiry::InquireDaily if !terms.inquire.is_empty() => {
                self.inquire_daily(now);
            }
            AfterInquiry::Reverse | AfterInquiry::InquireDaily | AfterInquiry::Operator => {
                self.hand_to_operator(now);
            }
        }
    }

    fn begin_reversing(&mut self, terms: &Terms, now: Timestamp) {
        self.phase = Phase::Reversing;
        self.step = 0;
        self.due_at = terms.reverse.first().map(|wait| now.plus(*wait));
        assert!(self.due_at.is_some(), "a channel without reversals is not reversed");
    }

    /// The channel says that it works on the attempt, and no reversal has left: it is asked again.
    pub fn await_pending(&mut self, terms: &Terms, now: Timestamp) {
        assert!(self.pending && !self.reversal_sent, "nothing under way is called back");
        self.phase = Phase::Inquiring;
        self.step = 0;
        match terms.inquire.first() {
            Some(wait) => self.due_at = Some(now.plus(*wait)),
            None => self.hand_to_operator(now),
        }
    }

    pub fn inquire_daily(&mut self, now: Timestamp) {
        self.phase = Phase::Inquiring;
        self.due_at = Some(now.plus(DAILY));
    }

    /// Sets the next reversal with the same reference, or hands over when the schedule has run out.
    pub fn after_reversal(&mut self, terms: &Terms, not_before: Option<Timestamp>, now: Timestamp) {
        assert_eq!(self.phase, Phase::Reversing, "only a reversing entry is reversed");
        self.step = self.step.saturating_add(1);
        let scheduled = terms.reverse.get(usize::from(self.step)).map(|wait| now.plus(*wait));
        match (scheduled, not_before) {
            (Some(due), Some(bound)) => self.due_at = Some(due.max(bound)),
            (Some(due), None) => self.due_at = Some(due),
            (None, Some(bound)) if now < bound => self.due_at = Some(bound),
            (None, _) => self.hand_to_operator(now),
        }
    }

    /// A reversal that could not leave waits until the channel can be reached again, however long
    /// that takes: its schedule is for the tries that did leave.
    pub fn store_and_forward(&mut self, terms: &Terms, now: Timestamp) {
        assert_eq!(self.phase, Phase::Reversing, "only a reversing entry is reversed");
        let next = terms.reverse.get(usize::from(self.step) + 1).or(terms.reverse.last());
        let wait = next.copied().unwrap_or_default().max(UNSENT_WAIT_MIN);
        self.due_at = Some(now.plus(wait));
    }

    /// Sets the next try of an undo that could not leave. It is owed, so it never runs out.
    pub fn after_unsent_undo(&mut self, now: Timestamp) {
        let wait = UNDO_WAITS[usize::from(self.step).min(UNDO_WAITS.len() - 1)];
        self.phase = Phase::UndoOwed;
        self.step = self.step.saturating_add(1);
        self.due_at = Some(now.plus(wait));
    }

    pub fn hand_to_operator(&mut self, now: Timestamp) {
        self.phase = Phase::Operator;
        self.due_at = None;
        self.note(now, "handed to an operator".to_owned());
    }
}
