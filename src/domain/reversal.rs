//! The temp reversal table: an entry for each attempt whose end is open, or undo owed (I-6).

use std::time::Duration;

use crate::domain::attempt::{Attempt, Source};
use crate::domain::closed_set;
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::order::Order;
use crate::domain::terms::{AfterInquiry, DAILY, Terms};
use crate::domain::time::{Present, Timestamp};

/// The most lines of history an entry keeps; the oldest go first, counts stay.
pub const HISTORY_MAX: usize = 40;
/// The shortest wait before a reversal that could not leave is tried again.
const UNSENT_WAIT_MIN: Duration = Duration::from_secs(1);
/// The waits before an owed undo that could not leave is tried again; the last one repeats.
const UNDO_WAITS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

closed_set! {
    /// The stage of the work on an entry.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Phase {
        /// The channel is asked what became of the attempt.
        Inquiring = 1 => "inquiring",
        /// The channel is asked to undo the attempt.
        Reversing = 2 => "reversing",
        /// An undo order waits to be sent.
        UndoOwed = 3 => "undo_owed",
        /// The schedule is exhausted, or the channel refused: an operator must look. Evidence still
        /// ends it at any time.
        Operator = 4 => "operator",
    }
}

closed_set! {
    /// An operator's decision about an unknown.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Resolution {
        Succeeded = 1 => "succeeded",
        Failed = 2 => "failed",
        Reversed = 3 => "reversed",
    }
}

/// One line of an entry's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLine {
    pub at: Timestamp,
    /// The event in a few stable words: `inquiry: unknown (timed_out)`.
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
    /// The channel's last word was that it is working on the attempt: such an attempt is not
    /// reversed.
    pub pending: bool,
    /// When a reversal left last. The time is kept in every phase.
    pub reversal_left_at: Option<Timestamp>,
    /// Until when by the clock that one may be carried out ([`Terms::reversal_ends_after`]).
    pub reversal_ends_at: Option<Timestamp>,
    /// Reversals that left and whose own end nobody has told: each may still be carried out.
    pub reversals_unanswered: u32,
    /// The channel refused to reverse for good: only what it says of the attempt can end it.
    pub reversal_refused: bool,
    /// The reversals' schedule has run out: after one more inquiry a person looks.
    pub reversals_exhausted: bool,
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
            amount: order.instruction.amount,
            currency: order.instruction.currency,
            phase: Phase::Operator,
            step: 0,
            due_at: None,
            opened_at: now,
            pending: false,
            reversal_left_at: None,
            reversal_ends_at: None,
            reversals_unanswered: 0,
            reversal_refused: false,
            reversals_exhausted: false,
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

    /// Until when by the clock a reversal that left without an answer may still be carried out, so
    /// that a success seen before may be undone by it; `None` where none is on its way. The bound
    /// counts from the last reversal that left: the channel's word about one tells nothing of
    /// another.
    pub fn reversible_until(&self) -> Option<Timestamp> {
        self.reversal_ends_at.filter(|_| self.reversals_unanswered > 0)
    }

    /// How long it takes until it is borne out that no reversal can be carried out any more, zero
    /// where it is; `None` where none is on its way.
    pub fn reversal_ends_in(&self, terms: &Terms, present: &Present) -> Option<Duration> {
        let left_at = self.reversal_left_at.filter(|_| self.reversals_unanswered > 0)?;
        Some(terms.reversal_ends_after().saturating_sub(present.age(left_at)))
    }

    /// Whether a success that was true as of a moment may be undone by a reversal; of words whose
    /// age nobody knows it may as long as one has not been answered.
    pub fn may_undo(&self, as_of: Option<Timestamp>, terms: &Terms, present: &Present) -> bool {
        let Some(left_at) = self.reversal_left_at.filter(|_| self.reversals_unanswered > 0) else {
            return false;
        };
        let ends_after = terms.reversal_ends_after();
        as_of.is_none_or(|as_of| present.age_at(left_at, as_of) < ends_after)
    }

    /// A reversal leaves. Until its answer is kept it counts as one that may be carried out, so
    /// that a crash cannot forget it.
    pub fn leave_reversal(&mut self, terms: &Terms, now: Timestamp) {
        self.reversals += 1;
        self.reversals_unanswered += 1;
        self.reversal_left_at = Some(now);
        self.reversal_ends_at = Some(now.plus(terms.reversal_ends_after()));
    }

    /// A success was seen that a reversal may undo: the channel is asked again when none can be
    /// carried out any more, at the latest. While reversals are sent, their own end decides first.
    pub fn ask_after_reversal(&mut self, terms: &Terms, source: Source, present: &Present) {
        if terms.inquire.is_empty() {
            return;
        }
        let now = present.now();
        let last = now.plus(self.reversal_ends_in(terms, present).unwrap_or_default());
        match self.phase {
            Phase::Inquiring => {
                let is_answer = source == Source::Inquiry;
                let scheduled = if is_answer { self.next_inquiry(terms, now) } else { self.due_at };
                self.due_at = Some(scheduled.map_or(last, |due| due.min(last)));
            }
            Phase::Operator => self.inquire_at(last, terms),
            Phase::Reversing | Phase::UndoOwed => {}
        }
    }

    /// One inquiry at a moment, after which the schedule has run out.
    fn inquire_at(&mut self, moment: Timestamp, terms: &Terms) {
        self.phase = Phase::Inquiring;
        self.step = u16::try_from(terms.inquire.len()).unwrap_or(u16::MAX);
        self.due_at = Some(moment);
    }

    /// Goes one step on in the schedule of inquiries.
    fn next_inquiry(&mut self, terms: &Terms, now: Timestamp) -> Option<Timestamp> {
        self.step = self.step.saturating_add(1);
        terms.inquire.get(usize::from(self.step)).map(|wait| now.plus(*wait))
    }

    /// Sets the next inquiry, or the next phase when the schedule has run out.
    ///
    /// While the channel says that it works on the attempt, the last wait repeats: it is not
    /// reversed then. "No such order" that is not final yet gets one more inquiry at the moment
    /// when it is, and so does a success when no reversal can undo it any more (`I-3`). What was
    /// asked before that moment (`asked_at`) and answered after it is asked again at once.
    pub fn after_inquiry(
        &mut self,
        attempt: &Attempt,
        terms: &Terms,
        present: &Present,
        asked_at: Option<Timestamp>,
    ) {
        let now = present.now();
        assert_eq!(self.phase, Phase::Inquiring, "only an inquiring entry is inquired of");
        if let Some(due) = self.next_inquiry(terms, now) {
            self.due_at = Some(due);
            return;
        }
        let never_arrived_in = terms.not_found_final_in(attempt, present);
        let believed_in = [Some(never_arrived_in), self.reversal_ends_in(terms, present)];
        let next = believed_in.into_iter().flatten().filter(|wait| !wait.is_zero()).min();
        if self.pending
            && let Some(wait) = terms.inquire.last()
        {
            self.due_at = Some(now.plus(*wait));
        } else if asked_at.is_some_and(|asked_at| {
            never_arrived_in.is_zero() && !terms.not_found_was_final(attempt, asked_at, present)
        }) {
            self.due_at = Some(now);
        } else if let Some(wait) = next {
            self.due_at = Some(now.plus(wait));
        } else {
            self.exhaust_inquiry(attempt, terms, present);
        }
    }

    /// The channel knows no such order, and has said before that it has it: the channel is asked
    /// again from the start of the schedule, whose end then leads to a person.
    pub fn ask_from_start(&mut self, terms: &Terms, now: Timestamp) {
        assert_eq!(self.phase, Phase::Inquiring, "only an inquiring entry is inquired of");
        self.step = 0;
        self.due_at = terms.inquire.first().map(|wait| now.plus(*wait));
    }

    /// Sets the next phase when inquiry can do no more.
    pub fn exhaust_inquiry(&mut self, attempt: &Attempt, terms: &Terms, present: &Present) {
        let now = present.now();
        // A channel that works on it is not asked to undo it, even if it cannot be asked at all.
        let reversible = terms.can_reverse(attempt.operation)
            && !self.pending
            && !self.reversal_refused
            && !self.reversals_exhausted
            && terms.reversal_window_open(attempt.sent_at, present);
        // Days do not help where the channel has lost what it said it has.
        let disowned = attempt.acknowledged_at.is_some() && !self.pending;
        let asks_daily = !(terms.inquire.is_empty() || self.reversals_exhausted || disowned);
        match terms.then {
            AfterInquiry::Reverse if reversible => self.begin_reversing(terms, now),
            AfterInquiry::Reverse | AfterInquiry::InquireDaily if asks_daily => {
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

    /// The channel says that it works on the attempt, and no reversal has left: the channel is
    /// asked again.
    pub fn await_pending(&mut self, terms: &Terms, now: Timestamp) {
        assert!(self.pending && self.reversals_unanswered == 0, "what has left has left");
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

    /// Sets the next reversal with the same reference, or ends them when the schedule has run out.
    /// `not_before`: the last answer was "no such order", which is believed of what is asked then.
    pub fn after_reversal(
        &mut self,
        terms: &Terms,
        not_before: Option<Timestamp>,
        present: &Present,
    ) {
        let now = present.now();
        assert_eq!(self.phase, Phase::Reversing, "only a reversing entry is reversed");
        self.step = self.step.saturating_add(1);
        let scheduled = terms.reverse.get(usize::from(self.step)).map(|wait| now.plus(*wait));
        match (scheduled, not_before) {
            (Some(due), Some(bound)) => self.due_at = Some(due.max(bound)),
            (Some(due), None) => self.due_at = Some(due),
            (None, Some(bound)) => self.due_at = Some(bound),
            (None, None) => self.exhaust_reversals(terms, present),
        }
    }

    /// No more reversals are sent. The channel is asked about the attempt when none of them can be
    /// carried out any more; then, or where the channel cannot be asked, a person looks.
    fn exhaust_reversals(&mut self, terms: &Terms, present: &Present) {
        self.reversals_exhausted = true;
        let ends_in = self.reversal_ends_in(terms, present);
        match ends_in.filter(|_| !terms.inquire.is_empty()) {
            Some(wait) => self.inquire_at(present.now().plus(wait), terms),
            None => self.hand_to_operator(present.now()),
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

    /// Sets the next try of an undo that could not leave. An undo is owed, so its tries never run
    /// out.
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
