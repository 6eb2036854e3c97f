//! An outcome's bearing on the health of its channel.
//!
//! Only the channel's own faults count against it: a wrong CVV, an empty account or an order of
//! ours that cannot be encoded never lowers a channel's success rate.

use std::time::Duration;

use crate::domain::attempt::{Attempt, AttemptState};
use crate::domain::outcome::{NotSentCause, Outcome, Reason, UnknownCause};
use crate::domain::time::Timestamp;

/// An outcome's bearing on its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthMark {
    /// The channel carried the request out.
    Success,
    /// The channel answered properly, but the answer depended on the card or the order.
    Answered,
    /// The channel failed by its own fault.
    Fault,
    /// The outcome says nothing about it: nothing was sent, or we lost the reply ourselves.
    Nothing,
}

impl HealthMark {
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Approved(_) => Self::Success,
            Outcome::Declined(decline) if decline.reason.blames_channel() => Self::Fault,
            Outcome::Declined(_) | Outcome::Pending { .. } | Outcome::NotFound { .. } => {
                Self::Answered
            }
            Outcome::Unknown(cause) => Self::of_unknown(*cause),
            Outcome::NotSent(cause) => Self::of_not_sent(*cause),
        }
    }

    /// The bearing of an attempt as it stands now, for looking back on a day.
    ///
    /// An unknown that was the channel's fault stays one, whatever ended it later. Why something
    /// was not sent is not kept, so that it says nothing here.
    pub fn of_attempt(attempt: &Attempt) -> Self {
        let unknown = attempt.unknown_cause.map_or(Self::Nothing, Self::of_unknown);
        match (unknown, attempt.state) {
            (Self::Fault, _) => Self::Fault,
            (_, AttemptState::Approved) => Self::Success,
            (_, AttemptState::Declined) => {
                let blamed = attempt.reason.is_some_and(Reason::blames_channel);
                if blamed { Self::Fault } else { Self::Answered }
            }
            (_, AttemptState::Pending) => Self::Answered,
            (_, AttemptState::Unknown | AttemptState::Reversed) => unknown,
            (_, AttemptState::Sending | AttemptState::NotSent) => Self::Nothing,
        }
    }

    pub(super) const fn of_unknown(cause: UnknownCause) -> Self {
        match cause {
            UnknownCause::TimedOut
            | UnknownCause::ConnectionLost
            | UnknownCause::HttpStatus
            | UnknownCause::Garbled
            | UnknownCause::BadSignature
            | UnknownCause::Mismatched
            | UnknownCause::ChannelUnsure => Self::Fault,
            // A verified reply with a code that our table lacks: it may well be the cardholder's.
            // It answers, and asking it too often is our own doing.
            UnknownCause::UnlistedCode | UnknownCause::InquiryFailed => Self::Answered,
            UnknownCause::ProcessDied => Self::Nothing,
        }
    }

    const fn of_not_sent(cause: NotSentCause) -> Self {
        match cause {
            NotSentCause::NoConnection | NotSentCause::NoCredential | NotSentCause::FirstFailed => {
                Self::Fault
            }
            NotSentCause::BreakerOpen
            | NotSentCause::NoRateLeft
            | NotSentCause::DailyLimit
            | NotSentCause::Disabled
            | NotSentCause::NotEncodable
            | NotSentCause::LeaseEnded
            | NotSentCause::TooLate => Self::Nothing,
        }
    }

    /// Whether it ends a row of consecutive faults, as a breaker counts them.
    pub const fn proves_alive(self) -> bool {
        match self {
            Self::Success | Self::Answered => true,
            Self::Fault | Self::Nothing => false,
        }
    }
}

/// A whole, in millionths: the success rate of a channel that has done nothing wrong.
pub const SUCCESS_RATE_PPM_WHOLE: u32 = 1_000_000;

/// The share of one mark in the rate is 1 / 32: some 70 marks replace what was before.
const MARK_SHARE: u32 = 32;

/// A shortfall halves in this time without news: a channel that the plan avoids because of its rate
/// gets no orders, so only time can bring it back to be tried again.
const FORGIVEN_HALF: Duration = Duration::from_secs(300);

/// A channel's recent success rate: successes against its own faults, newer ones weighing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuccessRate {
    /// The part that was missing to a whole at `since`, in millionths.
    shortfall_ppm: u32,
    since: Timestamp,
}

impl SuccessRate {
    /// The rate of a channel that nothing is known about: a whole, or it would never be tried.
    pub const fn initial(now: Timestamp) -> Self {
        Self { shortfall_ppm: 0, since: now }
    }

    /// The rate in millionths at `now`, 0 to 1,000,000.
    pub fn ppm(self, now: Timestamp) -> u32 {
        SUCCESS_RATE_PPM_WHOLE - self.shortfall_at(now)
    }

    /// The rate after one more outcome at `now`.
    #[must_use]
    pub fn after(self, mark: HealthMark, now: Timestamp) -> Self {
        let shortfall_ppm = self.shortfall_at(now);
        let shortfall_ppm = match mark {
            HealthMark::Success => shortfall_ppm - shortfall_ppm.div_ceil(MARK_SHARE),
            HealthMark::Fault => {
                shortfall_ppm + (SUCCESS_RATE_PPM_WHOLE - shortfall_ppm) / MARK_SHARE
            }
            HealthMark::Answered | HealthMark::Nothing => return self,
        };
        assert!(shortfall_ppm <= SUCCESS_RATE_PPM_WHOLE, "a rate between nothing and a whole");
        Self { shortfall_ppm, since: now }
    }

    fn shortfall_at(self, now: Timestamp) -> u32 {
        let halvings = now.since(self.since).as_secs() / FORGIVEN_HALF.as_secs();
        let halvings = u32::try_from(halvings).unwrap_or(u32::MAX);
        self.shortfall_ppm.checked_shr(halvings).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::{Approval, Decline, Reason};

    fn declined(reason: Reason) -> Outcome {
        Outcome::Declined(Decline { reason, code: "51".to_owned(), elsewhere: false })
    }

    #[test]
    fn only_the_channels_own_faults_count_against_it() {
        let code = || "00".to_owned();
        let rows = [
            (Outcome::Approved(Approval::default()), HealthMark::Success),
            (Outcome::Pending { code: code(), channel_reference: None }, HealthMark::Answered),
            (Outcome::NotFound { code: code() }, HealthMark::Answered),
            (declined(Reason::InsufficientFunds), HealthMark::Answered),
            (declined(Reason::WrongCredentials), HealthMark::Answered),
            (declined(Reason::NotSupported), HealthMark::Answered),
            (declined(Reason::ChannelUnavailable), HealthMark::Fault),
            (declined(Reason::AuthenticationFailed), HealthMark::Fault),
            (Outcome::Unknown(UnknownCause::TimedOut), HealthMark::Fault),
            (Outcome::Unknown(UnknownCause::BadSignature), HealthMark::Fault),
            (Outcome::Unknown(UnknownCause::UnlistedCode), HealthMark::Answered),
            (Outcome::Unknown(UnknownCause::ProcessDied), HealthMark::Nothing),
            (Outcome::NotSent(NotSentCause::NoConnection), HealthMark::Fault),
            (Outcome::NotSent(NotSentCause::NoRateLeft), HealthMark::Nothing),
            (Outcome::NotSent(NotSentCause::BreakerOpen), HealthMark::Nothing),
            (Outcome::NotSent(NotSentCause::DailyLimit), HealthMark::Nothing),
            (Outcome::NotSent(NotSentCause::Disabled), HealthMark::Nothing),
            (Outcome::NotSent(NotSentCause::NotEncodable), HealthMark::Nothing),
            (Outcome::NotSent(NotSentCause::LeaseEnded), HealthMark::Nothing),
            (Outcome::NotSent(NotSentCause::TooLate), HealthMark::Nothing),
            (Outcome::NotSent(NotSentCause::NoCredential), HealthMark::Fault),
            (Outcome::NotSent(NotSentCause::FirstFailed), HealthMark::Fault),
        ];
        for (outcome, expected) in rows {
            assert_eq!(HealthMark::of(&outcome), expected, "{outcome:?}");
        }
        for reason in Reason::ALL {
            let is_fault = HealthMark::of(&declined(reason)) == HealthMark::Fault;
            assert_eq!(is_fault, reason.blames_channel(), "{}", reason.name());
        }
    }

    #[test]
    fn looking_back_a_fault_stays_one_and_what_was_not_sent_says_nothing() {
        let attempt = |state, reason, unknown_cause| Attempt {
            number: 1,
            channel: crate::domain::ids::ChannelId::from_stored("unionpay"),
            operation: crate::domain::attempt::Operation::Payment,
            state,
            sent_at: Timestamp::from_millis(0),
            announced_at: None,
            channel_reference: None,
            acknowledged_at: None,
            code: None,
            reason,
            unknown_cause,
            objection: None,
            unresolved_at: None,
            ended_at: None,
            ended_by: None,
            sealed_pan: None,
        };
        let (funds, failure) = (Some(Reason::InsufficientFunds), Some(Reason::ChannelFailure));
        let (late, died) = (Some(UnknownCause::TimedOut), Some(UnknownCause::ProcessDied));
        let rows = [
            (attempt(AttemptState::Approved, None, None), HealthMark::Success),
            (attempt(AttemptState::Approved, None, late), HealthMark::Fault),
            (attempt(AttemptState::Approved, None, died), HealthMark::Success),
            (attempt(AttemptState::Declined, funds, None), HealthMark::Answered),
            (attempt(AttemptState::Declined, failure, None), HealthMark::Fault),
            (attempt(AttemptState::Pending, None, None), HealthMark::Answered),
            (attempt(AttemptState::Unknown, None, late), HealthMark::Fault),
            (attempt(AttemptState::Reversed, None, died), HealthMark::Nothing),
            (attempt(AttemptState::Sending, None, None), HealthMark::Nothing),
            (attempt(AttemptState::NotSent, failure, None), HealthMark::Nothing),
        ];
        for (attempt, expected) in rows {
            assert_eq!(HealthMark::of_attempt(&attempt), expected, "{attempt:?}");
        }
    }

    #[test]
    fn a_cardholders_error_leaves_the_rate_as_it_is() {
        let now = Timestamp::from_millis(1_000_000);
        let worn = SuccessRate::initial(now).after(HealthMark::Fault, now);
        let cardholder = HealthMark::of(&declined(Reason::InsufficientFunds));
        assert_eq!(worn.after(cardholder, now), worn);
        assert!(cardholder.proves_alive());
        assert!(!HealthMark::Nothing.proves_alive());
    }

    #[test]
    fn a_rate_falls_by_faults_rises_by_successes_and_is_forgiven_in_time() {
        let start = Timestamp::from_millis(1_000_000);
        let mut rate = SuccessRate::initial(start);
        assert_eq!(rate.ppm(start), 1_000_000);
        rate = rate.after(HealthMark::Fault, start);
        assert_eq!(rate.ppm(start), 968_750);
        assert_eq!(rate.ppm(start.plus(FORGIVEN_HALF)), 984_375);
        assert_eq!(rate.ppm(start.plus(Duration::from_secs(86_400 * 400))), 1_000_000);
        for _ in 0..1_000 {
            rate = rate.after(HealthMark::Fault, start);
        }
        assert!(rate.ppm(start) < 100, "{}", rate.ppm(start));
        for _ in 0..1_000 {
            rate = rate.after(HealthMark::Success, start);
        }
        assert_eq!(rate.ppm(start), 1_000_000, "successes alone make it whole again");
    }
}
