//! A channel's answer to a request, in a closed set that no channel code enters.

use crate::domain::bin::CardType;
use crate::domain::card::words::mask_cards;
use crate::domain::closed_set;

/// The end, or not yet, of one request to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A verified, final yes.
    Approved(Approval),
    /// A verified, final no.
    Declined(Decline),
    /// The channel has it and is working on it; the result comes by notice or inquiry.
    Pending {
        /// The channel's code, as it came.
        code: String,
        /// The channel's own number of the transaction, where it gives one this early.
        channel_reference: Option<String>,
    },
    /// Anything that is not one of the others. The money may have moved (I-2, I-3).
    Unknown(UnknownCause),
    /// No byte of the request was handed to the socket. Only the transport says so (I-2).
    NotSent(NotSentCause),
    /// An inquiry or reversal was told that the channel knows no such order, or no statement shows
    /// it.
    NotFound { code: String },
}

impl Outcome {
    /// One word for logs, metrics and explanations.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Approved(_) => "approved",
            Self::Declined(_) => "declined",
            Self::Pending { .. } => "pending",
            Self::Unknown(_) => "unknown",
            Self::NotSent(_) => "not_sent",
            Self::NotFound { .. } => "not_found",
        }
    }
}

impl Outcome {
    /// The channel's own number of the transaction, where it brings one.
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Approved(approval) => approval.channel_reference.as_deref(),
            Self::Pending { channel_reference, .. } => channel_reference.as_deref(),
            Self::Declined(_) | Self::Unknown(_) | Self::NotSent(_) | Self::NotFound { .. } => None,
        }
    }

    /// The same with another text for the channel's number.
    #[must_use]
    pub fn with_reference(self, text: String) -> Self {
        match self {
            Self::Approved(approval) => {
                Self::Approved(Approval { channel_reference: Some(text), ..approval })
            }
            Self::Pending { code, .. } => Self::Pending { code, channel_reference: Some(text) },
            other @ (Self::Declined(_)
            | Self::Unknown(_)
            | Self::NotSent(_)
            | Self::NotFound { .. }) => other,
        }
    }
}

/// The data of a channel's approval.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Approval {
    /// The channel's own number of the transaction (UnionPay `queryId`).
    pub channel_reference: Option<String>,
    /// The channel's code, as it came.
    pub code: String,
    /// The channel's clearing date as `MMDD`, if it gives one; a plausible one beats our own
    /// calendar.
    pub settle_mmdd: Option<String>,
    /// The type that the channel gives the card, if it names one. No decision rests on it: where
    /// the BIN table says otherwise, it is evidence for a proposal.
    pub card_type: Option<CardType>,
}

/// The data of a channel's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decline {
    pub reason: Reason,
    /// The channel's code, as it came.
    pub code: String,
    /// The channel itself is closed to this card or at this hour: another one may be tried.
    pub elsewhere: bool,
}

closed_set! {
    /// Why a result is not known.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum UnknownCause {
        /// No reply within the channel's time-out.
        TimedOut = 1 => "timed_out",
        /// The connection ended after bytes had been handed to it.
        ConnectionLost = 2 => "connection_lost",
        /// An HTTP status other than 200: 408, 429 and 5xx may all follow after processing.
        HttpStatus = 3 => "http_status",
        /// The reply could not be read.
        Garbled = 4 => "garbled",
        /// The reply's signature, certificate or MAC did not verify.
        BadSignature = 5 => "bad_signature",
        /// The reply speaks of another order or amount.
        Mismatched = 6 => "mismatched",
        /// The channel said that it does not know yet.
        ChannelUnsure = 7 => "channel_unsure",
        /// The code is not in the channel's code table.
        UnlistedCode = 8 => "unlisted_code",
        /// The process ended while the request was on its way.
        ProcessDied = 9 => "process_died",
        /// The inquiry itself failed (asked too often, not understood): the channel said nothing of
        /// what it was asked about.
        InquiryFailed = 10 => "inquiry_failed",
    }
}

/// The exact fault of a message that proved nothing: which certificate, which field, which value.
/// For people: nothing is decided by it.
///
/// One line of at most [`Objection::CHARACTERS_MAX`]. Its author puts neither card data nor a
/// credential into it (I-11), and of text from outside only short and masked parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection(String);

impl Objection {
    pub const CHARACTERS_MAX: usize = 240;

    /// Masks what looks like a card number (I-11), cuts what is too long, and makes one line of it.
    pub fn new(words: impl AsRef<str>) -> Self {
        Self(mask_cards(words.as_ref()).chars().take(Self::CHARACTERS_MAX).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Objection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

closed_set! {
    /// Why no byte of a request left.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum NotSentCause {
        /// No connection could be made: refused, unreachable, name not found, TLS handshake failed.
        NoConnection => "no_connection",
        /// The breaker is open.
        BreakerOpen => "breaker_open",
        /// The channel's pace left no place within the wait that the order allows, or the store by
        /// which nodes share its limits was out of reach for so long.
        NoRateLeft => "no_rate_left",
        /// Others have taken what was left of the channel's limit for the day since the plan.
        DailyLimit => "daily_limit",
        /// The channel was switched off, or taken out, between plan and send.
        Disabled => "disabled",
        /// The request could not be built from the order (a field is missing or does not fit).
        NotEncodable => "not_encodable",
        /// This node's lease of the books had ended when the first byte was to leave: another node
        /// may be at its work.
        LeaseEnded => "lease_ended",
        /// It stood in the books for so long before it could leave that answers of "no such order"
        /// and the search for lost calls would be wrong about it.
        TooLate => "too_late",
        /// The channel did not hand out the credential that the request must carry.
        NoCredential => "no_credential",
        /// The request that goes before the operation's own did not go well.
        FirstFailed => "first_failed",
    }
}

impl NotSentCause {
    /// Whether the same request may leave at another time, with nobody doing anything about it.
    pub const fn is_passing(self) -> bool {
        match self {
            Self::NoConnection
            | Self::BreakerOpen
            | Self::NoRateLeft
            | Self::DailyLimit
            | Self::LeaseEnded
            | Self::TooLate
            | Self::NoCredential
            | Self::FirstFailed => true,
            Self::Disabled | Self::NotEncodable => false,
        }
    }
}

/// Whose refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// The cardholder's, the card's or the order's: every channel would have refused it.
    Asked,
    /// That of the way by this channel to this issuer: what a channel may ask of an issuer, its
    /// limits there, how its requests are judged for risk. Another channel has other terms.
    Way,
    /// The channel's own fault.
    Channel,
}

closed_set! {
    /// Why an order did not succeed: our stable words, whatever the channel's codes are.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Reason: (Blame) {
        /// The balance is too low.
        InsufficientFunds = 1 => "insufficient_funds" (Blame::Asked),
        ExpiredCard = 2 => "expired_card" (Blame::Asked),
        InvalidCard = 3 => "invalid_card" (Blame::Asked),
        /// Lost, stolen, frozen or otherwise not usable; of an account, too.
        CardRestricted = 4 => "card_restricted" (Blame::Asked),
        /// PIN, expiry date or CVV wrong.
        WrongCredentials = 5 => "wrong_credentials" (Blame::Asked),
        /// Name, identity number or phone do not belong to the card, or the name not to the
        /// account.
        IdentityMismatch = 6 => "identity_mismatch" (Blame::Asked),
        PinTriesExceeded = 7 => "pin_tries_exceeded" (Blame::Asked),
        /// The card must first be opened for this kind of payment.
        NotEnrolled = 8 => "not_enrolled" (Blame::Way),
        /// The issuer refuses without saying why.
        DoNotHonour = 9 => "do_not_honour" (Blame::Way),
        LimitExceeded = 10 => "limit_exceeded" (Blame::Way),
        SuspectedFraud = 11 => "suspected_fraud" (Blame::Way),
        /// The issuer or the channel does not serve this card, merchant or business.
        NotSupported = 12 => "not_supported" (Blame::Way),
        /// Our merchant is not allowed to do this there.
        MerchantNotPermitted = 13 => "merchant_not_permitted" (Blame::Channel),
        /// The channel refuses the form of our request: ours or its configuration is wrong.
        InvalidRequest = 14 => "invalid_request" (Blame::Channel),
        /// The channel refuses our signature or key.
        AuthenticationFailed = 15 => "authentication_failed" (Blame::Channel),
        DuplicateOrder = 16 => "duplicate_order" (Blame::Channel),
        /// The original does not exist, or is not in a state that allows this.
        OriginalNotEligible = 17 => "original_not_eligible" (Blame::Asked),
        /// The same day's window for undoing has closed.
        OutsideWindow = 18 => "outside_window" (Blame::Asked),
        /// The channel is closed, or could not be reached.
        ChannelUnavailable = 19 => "channel_unavailable" (Blame::Channel),
        /// The channel says that it failed, and no more.
        ChannelFailure = 20 => "channel_failure" (Blame::Channel),
        /// The channel proved that the request never arrived.
        NeverArrived = 21 => "never_arrived" (Blame::Channel),
        /// An operator decided, with a reason of their own kept in the audit trail.
        OperatorDecision = 22 => "operator_decision" (Blame::Asked),
        /// Undone by a reversal after its result had been unknown.
        ReversedAfterUnknown = 23 => "reversed_after_unknown" (Blame::Channel),
        /// The code that the cardholder got by SMS is another one.
        WrongSmsCode = 24 => "wrong_sms_code" (Blame::Asked),
        /// That code came too late.
        SmsCodeExpired = 25 => "sms_code_expired" (Blame::Asked),
        /// The payee's account does not exist, or is not known so.
        InvalidAccount = 26 => "invalid_account" (Blame::Asked),
    }
}

impl Reason {
    /// Whether the channel, not the cardholder or the order, is at fault: only these lower a
    /// channel's health.
    pub const fn blames_channel(self) -> bool {
        matches!(self.facts().0, Blame::Channel)
    }

    /// Whether another channel might have carried the order out: only these lower a channel's
    /// success rates.
    pub const fn blames_way(self) -> bool {
        matches!(self.facts().0, Blame::Way | Blame::Channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objection_is_one_short_line() {
        let objection = Objection::new(format!("a\nb{}", "成".repeat(Objection::CHARACTERS_MAX)));
        assert!(objection.as_str().starts_with("a b成"));
        assert_eq!(objection.as_str().chars().count(), Objection::CHARACTERS_MAX);
    }

    #[test]
    fn reason_names_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.name()), Some(reason));
        }
        assert_eq!(Reason::parse("because"), None);
    }
}
