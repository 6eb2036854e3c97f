//! The agreement with a channel, as far as decisions need it. The channel's file gives it.

use std::time::Duration;

use crate::domain::attempt::{Attempt, Operation};
use crate::domain::books::accounting::AccountNames;
use crate::domain::fee::FeeSchedule;
use crate::domain::ids::ChannelId;
use crate::domain::time::{ClearingCalendar, Present, Timestamp};

/// The wait between inquiries once their schedule has run out ([`AfterInquiry::InquireDaily`]).
pub const DAILY: Duration = Duration::from_secs(24 * 60 * 60);

/// The next step when the inquiry schedule has run out and the result is still unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterInquiry {
    /// Ask the channel to undo the attempt.
    Reverse,
    /// Ask once a day until a notice, a statement line or an operator ends it.
    InquireDaily,
    /// Show it to an operator.
    Operator,
}

/// Until when a channel takes a reversal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReverseUntil {
    /// At any time.
    Always,
    /// Within the clearing day of the original (UnionPay: 23:00 to 23:00, Beijing time).
    ClearingDay,
}

/// The rule for a success that a statement reports against our books (I-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportedSuccessRule {
    /// The channel is asked to take it back.
    #[default]
    Undo,
    /// Its money stays in suspense until a person decides.
    Suspend,
}

/// How success rates are kept; the settings give it (`[rates]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateTerms {
    /// The time in which a sample loses half of its weight.
    pub half_life: Duration,
    /// What the samples of a cell must weigh for it to speak, at least 1.
    pub samples_min: u32,
}

/// The settings' own defaults, where there are no settings.
impl Default for RateTerms {
    fn default() -> Self {
        Self { half_life: Duration::from_secs(3_600), samples_min: 30 }
    }
}

impl RateTerms {
    /// The part of its weight that a sample of this age has left.
    pub fn left_after(self, age: Duration) -> f64 {
        (-age.as_secs_f64() / self.half_life.as_secs_f64()).exp2()
    }
}

/// The terms that hold for every channel of this installation; the settings give them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommonTerms {
    pub accounts: AccountNames,
    /// Whether an accounting system is set up; without one, money is not given back.
    pub has_accounting: bool,
    pub notice_url: Option<String>,
    /// How success rates are kept.
    pub rates: RateTerms,
}

/// The terms of one channel. Orders in flight keep those they started with.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    pub channel: ChannelId,
    /// Waits before each inquiry; empty if the channel has none.
    pub inquire: Vec<Duration>,
    pub then: AfterInquiry,
    /// Waits before each reversal; empty if the channel has none.
    pub reverse: Vec<Duration>,
    pub reverse_until: ReverseUntil,
    /// From when on, counted from sending, "no such order" proves that it never arrived (I-3): for
    /// so long a request of any kind can be on its way before the channel carries it out.
    pub not_found_final_after: Duration,
    /// The same of the operations that differ, each at most once.
    pub not_found_final_after_of: Vec<(Operation, Duration)>,
    /// The operations that the channel carries out.
    pub operations: Vec<Operation>,
    /// The operations whose attempts a reversal can take back while their result is unknown.
    pub reversible: Vec<Operation>,
    /// Whether a refund may be a part of its original.
    pub partial_refund: bool,
    /// How many days after its original a refund is taken.
    pub refund_days: u32,
    /// How many days after it a pre-authorisation can be captured or voided.
    pub preauth_days: u32,
    /// Whether follow-ups must carry the full card number again; the core then gives it.
    pub follow_up_needs_card: bool,
    /// Whether inquiry or reversal need the full card number again; the number is kept sealed then
    /// (I-11).
    pub keeps_pan: bool,
    /// How long after it was decided a request may still set out. Its commit may stand still for
    /// longer, with the disk or the whole process: then it is not sent, since by its age it would
    /// be taken for a lost call, or for one that has had its time to arrive.
    pub sets_out_within: Duration,
    /// After this long without an end, an attempt in `sending` has lost the call that sent it.
    pub call_ends_after: Duration,
    pub statement_claims: ReportedSuccessRule,
    pub calendar: ClearingCalendar,
    /// How long after its cut-off a clearing day is closed.
    pub close_after: Duration,
    pub fees: FeeSchedule,
    pub accounts: AccountNames,
    /// See [`CommonTerms::has_accounting`].
    pub has_accounting: bool,
    /// Where the core hears of an end when the order itself names no place.
    pub notice_url: Option<String>,
}

impl Terms {
    /// Whether the channel carries out an operation.
    pub fn can(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
    }

    /// Whether a reversal may take back an attempt of this operation. An undo or a payout is never
    /// taken back.
    pub fn can_reverse(&self, operation: Operation) -> bool {
        let never = matches!(operation, Operation::Undo | Operation::Payout);
        !never && !self.reverse.is_empty() && self.reversible.contains(&operation)
    }

    /// The longest wait that any rule sets for an entry: the schedules' own waits, a day, and what
    /// waits until a request or a reversal cannot be on its way any more.
    pub fn longest_wait(&self) -> Duration {
        let own = self.not_found_final_after_of.iter().map(|(_, wait)| *wait);
        let waits = self.inquire.iter().chain(&self.reverse).copied().chain(own);
        waits.fold(DAILY.max(self.reversal_ends_after()), Duration::max)
    }

    /// Whether the channel still takes a reversal of what was sent at `sent_at`: until it is borne
    /// out that its window is over.
    pub fn reversal_window_open(&self, sent_at: Timestamp, present: &Present) -> bool {
        match self.reverse_until {
            ReverseUntil::Always => true,
            ReverseUntil::ClearingDay => {
                let day = present.business_date(&self.calendar, sent_at);
                !present.is_over(&self.calendar, day)
            }
        }
    }

    /// From when on, counted from sending, "no such order" proves that a request of this operation
    /// never arrived (I-3).
    pub fn believes_not_found_after(&self, operation: Operation) -> Duration {
        let mut own = self.not_found_final_after_of.iter();
        own.find(|(one, _)| *one == operation).map_or(self.not_found_final_after, |(_, wait)| *wait)
    }

    /// How long it takes until "no such order" is believed of this attempt; zero where it is
    /// believed now (I-3).
    pub fn not_found_final_in(&self, attempt: &Attempt, present: &Present) -> Duration {
        let after = self.believes_not_found_after(attempt.operation);
        after.saturating_sub(present.age(attempt.sent_at))
    }

    /// Whether "no such order" is believed of this attempt (I-3). `present` is that of the
    /// question, not of its answer, which may have been long on its way.
    pub fn not_found_is_final(&self, attempt: &Attempt, present: &Present) -> bool {
        self.not_found_final_in(attempt, present).is_zero()
    }

    /// The same of a question that was asked at `asked_at`, judged at a later present.
    pub fn not_found_was_final(
        &self,
        attempt: &Attempt,
        asked_at: Timestamp,
        present: &Present,
    ) -> bool {
        let after = self.believes_not_found_after(attempt.operation);
        present.age_at(attempt.sent_at, asked_at) >= after
    }

    /// How long after it was made durable a reversal that was not answered may be carried out: the
    /// reversal leaves before its call ends, and may be on its way for as long as any request, or
    /// as one of those that it can take back.
    pub fn reversal_ends_after(&self) -> Duration {
        let taken_back = self.reversible.iter().map(|one| self.believes_not_found_after(*one));
        self.call_ends_after + taken_back.fold(self.not_found_final_after, Duration::max)
    }
}
