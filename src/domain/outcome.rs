//! What a channel said of a request, in a closed set that no channel code enters.

use crate::domain::card::words::mask_cards;

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

/// What comes with a channel's yes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Approval {
    /// The channel's own number of the transaction (UnionPay `queryId`).
    pub channel_reference: Option<String>,
    /// The channel's code, as it came.
    pub code: String,
    /// The channel's clearing date as `MMDD`, when it says one; it beats our own calendar where it
    /// is near it.
    pub settle_mmdd: Option<String>,
}

/// What comes with a channel's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decline {
    pub reason: Reason,
    /// The channel's code, as it came.
    pub code: String,
    /// The channel itself is closed to this card or at this hour: another one may be tried.
    pub elsewhere: bool,
}

/// Why a result is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnknownCause {
    /// No reply within the channel's time-out.
    TimedOut,
    /// The connection ended after bytes had been handed to it.
    ConnectionLost,
    /// An HTTP status other than 200: 408, 429 and 5xx may all follow after processing.
    HttpStatus,
    /// The reply could not be read.
    Garbled,
    /// The reply's signature, certificate or MAC did not verify.
    BadSignature,
    /// The reply speaks of another order or amount.
    Mismatched,
    /// The channel said that it does not know yet.
    ChannelUnsure,
    /// The code is not in the channel's code table.
    UnlistedCode,
    /// The process ended while the request was on its way.
    ProcessDied,
    /// The inquiry itself failed (asked too often, not understood): the channel said nothing of
    /// what it was asked about.
    InquiryFailed,
}

impl UnknownCause {
    pub const fn name(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::ConnectionLost => "connection_lost",
            Self::HttpStatus => "http_status",
            Self::Garbled => "garbled",
            Self::BadSignature => "bad_signature",
            Self::Mismatched => "mismatched",
            Self::ChannelUnsure => "channel_unsure",
            Self::UnlistedCode => "unlisted_code",
            Self::ProcessDied => "process_died",
            Self::InquiryFailed => "inquiry_failed",
        }
    }
}

/// What exactly was wrong with a message that proved nothing: which certificate, which field, which
/// value. For people: nothing is decided by it.
///
/// One line of at most [`Objection::CHARACTERS_MAX`]. Whoever makes one puts neither card data nor
/// a credential into it (I-11), and of what came from outside only what is short and masked.
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

/// Why no byte of a request left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotSentCause {
    /// No connection could be made: refused, unreachable, name not found, TLS handshake failed.
    NoConnection,
    /// The breaker is open.
    BreakerOpen,
    /// The channel's pace left no place within the wait that the order allows.
    NoRateLeft,
    /// Others have taken what was left of the channel's limit for the day since the plan.
    DailyLimit,
    /// The channel was switched off, or taken out, between plan and send.
    Disabled,
    /// The request could not be built from the order (a field is missing or does not fit).
    NotEncodable,
}

impl NotSentCause {
    /// Whether the same request may leave at another time, with nobody doing anything about it.
    pub const fn is_passing(self) -> bool {
        match self {
            Self::NoConnection | Self::BreakerOpen | Self::NoRateLeft | Self::DailyLimit => true,
            Self::Disabled | Self::NotEncodable => false,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::NoConnection => "no_connection",
            Self::BreakerOpen => "breaker_open",
            Self::NoRateLeft => "no_rate_left",
            Self::DailyLimit => "daily_limit",
            Self::Disabled => "disabled",
            Self::NotEncodable => "not_encodable",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal, $blames_channel:literal;)*) => {
        /// Why an order did not succeed: our stable words, whatever the channel's codes are.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable word of the API and of channel files.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether the channel, not the cardholder or the order, is at fault: only these lower
            /// a channel's health.
            pub const fn blames_channel(self) -> bool {
                match self { $(Self::$name => $blames_channel,)* }
            }

            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.name() == name)
            }
        }
    };
}

reasons! {
    /// The balance is too low.
    InsufficientFunds => "insufficient_funds", false;
    ExpiredCard => "expired_card", false;
    InvalidCard => "invalid_card", false;
    /// Lost, stolen, frozen or otherwise not usable.
    CardRestricted => "card_restricted", false;
    /// PIN, expiry date or CVV wrong.
    WrongCredentials => "wrong_credentials", false;
    /// Name, identity number or phone do not belong to the card.
    IdentityMismatch => "identity_mismatch", false;
    PinTriesExceeded => "pin_tries_exceeded", false;
    /// The card must first be opened for this kind of payment.
    NotEnrolled => "not_enrolled", false;
    /// The issuer refuses without saying why.
    DoNotHonour => "do_not_honour", false;
    LimitExceeded => "limit_exceeded", false;
    SuspectedFraud => "suspected_fraud", false;
    /// The issuer or the channel does not serve this card, merchant or business.
    NotSupported => "not_supported", false;
    /// Our merchant is not allowed to do this there.
    MerchantNotPermitted => "merchant_not_permitted", true;
    /// The channel refuses the form of our request: ours or its configuration is wrong.
    InvalidRequest => "invalid_request", true;
    /// The channel refuses our signature or key.
    AuthenticationFailed => "authentication_failed", true;
    DuplicateOrder => "duplicate_order", true;
    /// The original does not exist, or is not in a state that allows this.
    OriginalNotEligible => "original_not_eligible", false;
    /// The same day's window for undoing has closed.
    OutsideWindow => "outside_window", false;
    /// The channel is closed, or could not be reached.
    ChannelUnavailable => "channel_unavailable", true;
    /// The channel says that it failed, and no more.
    ChannelFailure => "channel_failure", true;
    /// The channel proved that the request never arrived.
    NeverArrived => "never_arrived", true;
    /// An operator decided, with a reason of their own kept in the audit trail.
    OperatorDecision => "operator_decision", false;
    /// Undone by a reversal after its result had been unknown.
    ReversedAfterUnknown => "reversed_after_unknown", true;
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
            assert_eq!(Reason::parse(reason.name()), Some(*reason));
        }
        assert_eq!(Reason::parse("because"), None);
    }
}
