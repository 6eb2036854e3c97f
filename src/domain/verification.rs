//! Card verification (鉴权): whether the card's issuer knows the person that the core names.
//!
//! A verification is no order: it moves no money, has no reversal, no record and no request, and
//! the books' invariants do not speak of it. What it shares with orders is that each try is durable
//! before it leaves, that an id is answered once (I-9), and that its end stays as it is. An end
//! that nobody knows is `unknown`: there is nothing to undo, so the caller may ask anew under
//! another id. Upholds I-11: of the elements nothing stays but their keyed digests.

use crate::domain::card::CardDigests;
use crate::domain::closed_set;
use crate::domain::ids::{
    ATTEMPTS_MAX, CallerId, CallerOrderId, ChannelId, ChannelOrderNo, MerchantId, VerificationId,
};
use crate::domain::outcome::{Outcome, Reason, UnknownCause};
use crate::domain::time::Timestamp;

closed_set! {
    /// What is said of the elements.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum VerificationVerdict {
        /// They belong to the card.
        Matches = 1 => "matches",
        /// At least one of them does not.
        Differs = 2 => "differs",
        /// Nobody has compared them: the reason says why.
        Refused = 3 => "refused",
        /// Whether they were compared, and with which result, is not known.
        Unknown = 4 => "unknown",
    }
}

/// What the core asks. Its caller's id is unique among that caller's verifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationRequest {
    pub caller: CallerId,
    pub caller_order_id: CallerOrderId,
    pub merchant_id: MerchantId,
    /// Zero where an element is absent.
    pub digests: CardDigests,
}

impl VerificationRequest {
    /// The first field in which `repeat`, sent under the same id, asks for something else (I-9).
    pub fn differs_from(&self, repeat: &Self) -> Option<&'static str> {
        let (ours, theirs) = (&self.digests, &repeat.digests);
        let fields = [
            ("merchant_id", self.merchant_id == repeat.merchant_id),
            ("card.pan", ours.pan == theirs.pan),
            ("card.holder", ours.holder == theirs.holder),
            ("card.id_type", ours.id_type == theirs.id_type),
            ("card.id_number", ours.id_number == theirs.id_number),
            ("card.phone", ours.phone == theirs.phone),
        ];
        fields.into_iter().find(|(_, is_same)| !is_same).map(|(field, _)| field)
    }

    /// The elements that the core gave, by the API's names.
    pub fn elements(&self) -> impl Iterator<Item = &'static str> {
        let CardDigests { pan: _, expiry: _, holder, id_type: _, id_number, phone } = self.digests;
        let rest = [("holder", holder), ("id_number", id_number), ("phone", phone)];
        let given = rest.into_iter().filter(|(_, digest)| *digest != 0).map(|(name, _)| name);
        std::iter::once("pan").chain(given)
    }
}

/// How a verification has ended. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationEnd {
    pub verdict: VerificationVerdict,
    /// Why the elements differ, or were not compared.
    pub reason: Option<Reason>,
    pub unknown_cause: Option<UnknownCause>,
    /// The channel's code, as it came.
    pub code: Option<String>,
    pub at: Timestamp,
}

/// A verification, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardVerification {
    pub id: VerificationId,
    /// Counts the writes of the row, from 1.
    pub version: u32,
    pub asked: VerificationRequest,
    /// The channel of the last try.
    pub channel: ChannelId,
    /// The number of the last try, 1 to [`ATTEMPTS_MAX`].
    pub tries: u8,
    /// When that try became durable, just before it was sent.
    pub sent_at: Timestamp,
    pub created_at: Timestamp,
    /// `None` while a call carries the last try out, or until its loss is noticed.
    pub end: Option<VerificationEnd>,
}

impl CardVerification {
    /// A new verification, whose first try goes to this channel once it is durable.
    pub const fn begun(
        id: VerificationId,
        asked: VerificationRequest,
        channel: ChannelId,
        now: Timestamp,
    ) -> Self {
        let (sent_at, created_at) = (now, now);
        Self { id, version: 1, asked, channel, tries: 1, sent_at, created_at, end: None }
    }

    /// The number under which the channel knows the last try.
    pub const fn channel_order_no(&self) -> ChannelOrderNo {
        ChannelOrderNo { order: self.id.chain(), attempt: self.tries }
    }

    /// The row after the last try's outcome: ended, or with a further try at `next`, which is asked
    /// only where nothing was sent or the channel itself is closed to the question.
    #[must_use]
    pub fn learn(&self, outcome: &Outcome, next: Option<ChannelId>, now: Timestamp) -> Self {
        assert!(self.end.is_none(), "I-5: a verification that has ended stays as it is");
        let goes_on = match outcome {
            Outcome::NotSent(_) => true,
            Outcome::Declined(decline) => decline.elsewhere,
            Outcome::Approved(_)
            | Outcome::Pending { .. }
            | Outcome::Unknown(_)
            | Outcome::NotFound { .. } => false,
        };
        let version = self.version + 1;
        match next.filter(|_| goes_on && self.tries < ATTEMPTS_MAX) {
            Some(channel) => {
                Self { version, channel, tries: self.tries + 1, sent_at: now, ..self.clone() }
            }
            None => Self { version, end: Some(end_of(outcome, now)), ..self.clone() },
        }
    }

    /// The row after the loss of the call that carried the last try out.
    #[must_use]
    pub fn lost(&self, now: Timestamp) -> Self {
        self.learn(&Outcome::Unknown(UnknownCause::ProcessDied), None, now)
    }
}

fn end_of(outcome: &Outcome, at: Timestamp) -> VerificationEnd {
    use VerificationVerdict::{Differs, Matches, Refused, Unknown};
    let end = |verdict, reason, code: Option<&String>| VerificationEnd {
        verdict,
        reason,
        unknown_cause: None,
        code: code.cloned(),
        at,
    };
    let unknown =
        |cause, code| VerificationEnd { unknown_cause: Some(cause), ..end(Unknown, None, code) };
    match outcome {
        Outcome::Approved(approval) => end(Matches, None, Some(&approval.code)),
        Outcome::Declined(decline) => {
            let differs = decline.reason == Reason::IdentityMismatch;
            let verdict = if differs { Differs } else { Refused };
            end(verdict, Some(decline.reason), Some(&decline.code))
        }
        Outcome::NotSent(_) => end(Refused, Some(Reason::ChannelUnavailable), None),
        // Nothing tells of its end later, and there is no inquiry.
        Outcome::Pending { code, .. } | Outcome::NotFound { code } => {
            unknown(UnknownCause::ChannelUnsure, Some(code))
        }
        Outcome::Unknown(cause) => unknown(*cause, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::{Approval, Decline, NotSentCause};

    fn begun() -> CardVerification {
        let asked = VerificationRequest {
            caller: CallerId::from_stored("core"),
            caller_order_id: CallerOrderId::from_stored("V-1"),
            merchant_id: MerchantId::from_stored("m"),
            digests: CardDigests { pan: 1, holder: 2, phone: 3, ..CardDigests::default() },
        };
        let id = VerificationId::from_u64(2_611_220_000_000_000_017);
        CardVerification::begun(id, asked, ChannelId::from_stored("a"), Timestamp::from_millis(5))
    }

    fn declined(reason: Reason, elsewhere: bool) -> Outcome {
        Outcome::Declined(Decline { reason, code: "66".to_owned(), elsewhere })
    }

    #[test]
    fn every_outcome_is_an_answer() {
        use VerificationVerdict::{Differs, Matches, Refused, Unknown};
        let approved = Outcome::Approved(Approval { code: "00".to_owned(), ..Approval::default() });
        let pending = Outcome::Pending { code: "05".to_owned(), channel_reference: None };
        let rows = [
            (approved, Matches, None, None, Some("00")),
            (
                declined(Reason::IdentityMismatch, false),
                Differs,
                Some(Reason::IdentityMismatch),
                None,
                Some("66"),
            ),
            (
                declined(Reason::CardRestricted, false),
                Refused,
                Some(Reason::CardRestricted),
                None,
                Some("66"),
            ),
            (
                Outcome::NotSent(NotSentCause::BreakerOpen),
                Refused,
                Some(Reason::ChannelUnavailable),
                None,
                None,
            ),
            (pending, Unknown, None, Some(UnknownCause::ChannelUnsure), Some("05")),
            (
                Outcome::NotFound { code: "34".to_owned() },
                Unknown,
                None,
                Some(UnknownCause::ChannelUnsure),
                Some("34"),
            ),
            (
                Outcome::Unknown(UnknownCause::BadSignature),
                Unknown,
                None,
                Some(UnknownCause::BadSignature),
                None,
            ),
        ];
        for (outcome, verdict, reason, cause, code) in rows {
            let after = begun().learn(&outcome, None, Timestamp::from_millis(9));
            let end = after.end.as_ref().expect("no channel is left");
            let found = (end.verdict, end.reason, end.unknown_cause, end.code.as_deref());
            assert_eq!(found, (verdict, reason, cause, code), "{outcome:?}");
            assert_eq!((after.version, after.tries), (2, 1));
        }
    }

    #[test]
    fn i_4_another_channel_is_asked_only_where_the_first_has_compared_nothing() {
        let next = || Some(ChannelId::from_stored("b"));
        let now = Timestamp::from_millis(9);
        let rows = [
            (Outcome::NotSent(NotSentCause::NoConnection), true),
            (declined(Reason::ChannelUnavailable, true), true),
            (declined(Reason::IdentityMismatch, false), false),
            (Outcome::Unknown(UnknownCause::TimedOut), false),
        ];
        for (outcome, goes_on) in rows {
            let after = begun().learn(&outcome, next(), now);
            assert_eq!(after.end.is_none(), goes_on, "{outcome:?}");
            let tried = if goes_on { ("b", 2, 9) } else { ("a", 1, 5) };
            assert_eq!((after.channel.as_str(), after.tries, after.sent_at.as_millis()), tried);
        }
        let last = CardVerification { tries: ATTEMPTS_MAX, ..begun() };
        let after = last.learn(&Outcome::NotSent(NotSentCause::NoConnection), next(), now);
        assert!(after.end.is_some(), "its numbers have run out");
    }

    #[test]
    fn i_9_a_repeat_is_compared_element_by_element() {
        let asked = begun().asked;
        assert_eq!(asked.differs_from(&asked), None);
        let with = |change: fn(&mut VerificationRequest)| {
            let mut other = asked.clone();
            change(&mut other);
            asked.differs_from(&other).expect("it differs")
        };
        assert_eq!(with(|other| other.merchant_id = MerchantId::from_stored("n")), "merchant_id");
        assert_eq!(with(|other| other.digests.pan = 9), "card.pan");
        assert_eq!(with(|other| other.digests.holder = 9), "card.holder");
        assert_eq!(with(|other| other.digests.id_type = 9), "card.id_type");
        assert_eq!(with(|other| other.digests.id_number = 9), "card.id_number");
        assert_eq!(with(|other| other.digests.phone = 0), "card.phone");
        assert_eq!(asked.elements().collect::<Vec<_>>(), ["pan", "holder", "phone"]);
    }
}
