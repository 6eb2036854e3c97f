//! The stable numbers under which our enums are stored.
//!
//! A number is never given to another meaning, and one that is no longer written still reads back.
//! Zero is left free, so that a blank byte is damage and not a value.

use crate::domain::bin::{Brand, CardType};
use crate::domain::books::accounting::{BookingEvent, DeliveryStatus, Side, VoucherType};
use crate::domain::books::clearing::ClearingState;
use crate::domain::books::difference::{DifferenceState, Remedy};
use crate::domain::books::reconcile::{Class, Key, Status};
use crate::domain::books::reconciliation::BatchState;
use crate::domain::books::settlement::SettlementState;
use crate::domain::books::statement::StatementOrigin;
use crate::domain::fee::RefundFee;
use crate::domain::flow::attempt::{AttemptState, Operation, Source};
use crate::domain::flow::order::{OrderStatus, Settlement};
use crate::domain::flow::reversal::Phase;
use crate::domain::money::Currency;
use crate::domain::outcome::{Reason, UnknownCause};
use crate::domain::write_set::Claim;

/// An enum whose values have stable numbers.
pub(super) trait Code: Sized + Copy {
    fn number(self) -> u8;

    /// `None` if no value has this number: the row is damaged or of a newer version.
    fn from_number(number: u8) -> Option<Self>;
}

macro_rules! codes {
    ($($kind:ident { $($value:ident = $code:literal,)* })*) => {
        $(
            impl Code for $kind {
                fn number(self) -> u8 {
                    match self { $(Self::$value => $code,)* }
                }

                fn from_number(number: u8) -> Option<Self> {
                    match number {
                        $($code => Some(Self::$value),)*
                        _ => None,
                    }
                }
            }
        )*

        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn numbers_are_distinct_not_zero_and_read_back() {
                $(
                    let all = [$($kind::$value,)*];
                    for value in all {
                        assert_eq!($kind::from_number(value.number()), Some(value));
                    }
                    assert_eq!($kind::from_number(0), None);
                    assert_eq!($kind::from_number(255), None);
                )*
            }
        }
    };
}

codes! {
    OrderStatus {
        Accepted = 1, Processing = 2, Unknown = 3, Succeeded = 4, Failed = 5, Reversed = 6,
    }
    Settlement { Instant = 1, Escrow = 2, }
    AttemptState {
        Sending = 1, Pending = 2, Unknown = 3, Approved = 4, Declined = 5, NotSent = 6,
        Reversed = 7,
    }
    Operation { Payment = 1, Undo = 2, Refund = 3, Void = 4, Preauth = 5, Capture = 6, }
    Source {
        Reply = 1, Inquiry = 2, Reversal = 3, Notice = 4, Statement = 5, Operator = 6,
        Recovery = 7,
    }
    Phase { Inquiring = 1, Reversing = 2, UndoOwed = 3, Operator = 4, }
    ClearingState { Due = 1, Contradicted = 2, }
    BookingEvent {
        InstantPayment = 1, EscrowPayment = 2, EscrowRelease = 3, SuspenseOpened = 4,
        SuspenseBalanced = 5, Refund = 6, RefundTakenBack = 7, Void = 8, VoidTakenBack = 9,
        SuspenseReceivable = 10, DifferenceSuspended = 11, DifferenceBalanced = 12,
        ChannelSettles = 13,
    }
    VoucherType { Receipt = 1, Payment = 2, Transfer = 3, }
    Side { Debit = 1, Credit = 2, }
    DeliveryStatus { Owed = 1, Acknowledged = 2, Parked = 3, Withdrawn = 4, }
    Claim { Success = 1, Failure = 2, }
    RefundFee { Keep = 1, Return = 2, ReturnWhenWhole = 3, }
    StatementOrigin { Upload = 1, Download = 2, Inbox = 3, }
    BatchState { Running = 1, Current = 2, Superseded = 3, Abandoned = 4, }
    Status { Succeeded = 1, Failed = 2, }
    Key { OrderNo = 1, Reference = 2, }
    Class {
        Matched = 1, MatchedLate = 2, MatchedWeak = 3, AmountOver = 4, AmountShort = 5,
        FeeDiffers = 6, StatusDiffers = 7, CurrencyDiffers = 8, OnlyTheirs = 9, OnlyOurs = 10,
        DuplicateTheirs = 11, DuplicateOurs = 12, Shifted = 13, BadLine = 14,
        Netted = 15, DuplicateElsewhere = 16,
    }
    DifferenceState { Carried = 1, Suspended = 2, Balanced = 3, Cleared = 4, }
    Remedy { Channel = 1, Merchant = 2, FeeCost = 3, ProfitOrLoss = 4, Acknowledge = 5, }
    SettlementState { Agreed = 1, Differs = 2, }
    CardType { Debit = 1, Credit = 2, QuasiCredit = 3, Prepaid = 4, }
    Brand { UnionPay = 1, Visa = 2, Mastercard = 3, Amex = 4, Jcb = 5, Diners = 6, }
    Currency {
        Cny = 1, Hkd = 2, Mop = 3, Twd = 4, Usd = 5, Eur = 6, Gbp = 7, Jpy = 8, Krw = 9, Sgd = 10,
        Thb = 11, Aud = 12, Kwd = 13,
    }
    UnknownCause {
        TimedOut = 1, ConnectionLost = 2, HttpStatus = 3, Garbled = 4, BadSignature = 5,
        Mismatched = 6, ChannelUnsure = 7, UnlistedCode = 8, ProcessDied = 9,
        InquiryFailed = 10,
    }
    Reason {
        InsufficientFunds = 1, ExpiredCard = 2, InvalidCard = 3, CardRestricted = 4,
        WrongCredentials = 5, IdentityMismatch = 6, PinTriesExceeded = 7, NotEnrolled = 8,
        DoNotHonour = 9, LimitExceeded = 10, SuspectedFraud = 11, NotSupported = 12,
        MerchantNotPermitted = 13, InvalidRequest = 14, AuthenticationFailed = 15,
        DuplicateOrder = 16, OriginalNotEligible = 17, OutsideWindow = 18,
        ChannelUnavailable = 19, ChannelFailure = 20, NeverArrived = 21, OperatorDecision = 22,
        ReversedAfterUnknown = 23,
    }
}
