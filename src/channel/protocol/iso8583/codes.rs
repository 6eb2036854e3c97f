//! The meaning of response codes (field 39).
//!
//! The built-in table is the public one of UnionPay's terminals; a channel's file changes what its
//! acquirer reads otherwise. A code that is not listed is unknown. Codes by which a switch says
//! that it lost sight of the transaction (22, 68, 96, 98) are unknown too, and so reversed.

use crate::channel::file::codes::{CodeMeaning, CodeTable};
use crate::domain::outcome::Reason;

/// Built in, before the channel's own.
const CODES: [(&str, CodeMeaning); 70] = {
    use CodeMeaning::{Approved, Declined, Elsewhere, Unknown};
    use Reason as R;
    [
        ("00", Approved),
        ("01", Declined(R::DoNotHonour)),
        ("03", Elsewhere(R::MerchantNotPermitted)),
        ("04", Declined(R::CardRestricted)),
        ("05", Declined(R::DoNotHonour)),
        ("06", Declined(R::ChannelFailure)),
        ("07", Declined(R::CardRestricted)),
        ("09", Unknown),
        // A part only: the amount in the answer is compared, and another one is no approval.
        ("10", Approved),
        ("11", Approved),
        ("12", Declined(R::InvalidRequest)),
        ("13", Declined(R::InvalidRequest)),
        ("14", Declined(R::InvalidCard)),
        ("15", Declined(R::InvalidCard)),
        ("16", Approved),
        ("19", Declined(R::ChannelFailure)),
        ("20", Unknown),
        ("21", Declined(R::NotEnrolled)),
        ("22", Unknown),
        ("23", Declined(R::InvalidRequest)),
        ("25", Declined(R::OriginalNotEligible)),
        ("30", Declined(R::InvalidRequest)),
        ("34", Declined(R::SuspectedFraud)),
        ("36", Declined(R::CardRestricted)),
        ("38", Declined(R::PinTriesExceeded)),
        ("40", Elsewhere(R::NotSupported)),
        ("41", Declined(R::CardRestricted)),
        ("43", Declined(R::CardRestricted)),
        ("45", Declined(R::NotSupported)),
        ("51", Declined(R::InsufficientFunds)),
        ("54", Declined(R::ExpiredCard)),
        ("55", Declined(R::WrongCredentials)),
        ("57", Declined(R::NotSupported)),
        ("58", Elsewhere(R::MerchantNotPermitted)),
        ("59", Declined(R::SuspectedFraud)),
        ("61", Declined(R::LimitExceeded)),
        ("62", Declined(R::CardRestricted)),
        ("64", Declined(R::OriginalNotEligible)),
        ("65", Declined(R::LimitExceeded)),
        ("66", Declined(R::AuthenticationFailed)),
        ("67", Declined(R::CardRestricted)),
        ("68", Unknown),
        ("75", Declined(R::PinTriesExceeded)),
        ("77", Elsewhere(R::ChannelFailure)),
        ("79", Declined(R::InvalidRequest)),
        ("90", Elsewhere(R::ChannelUnavailable)),
        ("91", Declined(R::ChannelUnavailable)),
        ("92", Declined(R::ChannelUnavailable)),
        ("93", Declined(R::NotSupported)),
        // The first of two messages arrived: what became of it is another matter.
        ("94", Unknown),
        ("95", Declined(R::ChannelFailure)),
        ("96", Unknown),
        ("97", Elsewhere(R::MerchantNotPermitted)),
        ("98", Unknown),
        ("99", Elsewhere(R::AuthenticationFailed)),
        ("A0", Elsewhere(R::AuthenticationFailed)),
        ("A1", Declined(R::InvalidRequest)),
        ("A2", Approved),
        ("A3", Declined(R::InvalidRequest)),
        ("A4", Approved),
        ("A5", Approved),
        ("A6", Approved),
        ("A7", Declined(R::AuthenticationFailed)),
        ("B1", Declined(R::InvalidRequest)),
        ("N1", Declined(R::LimitExceeded)),
        ("P1", Declined(R::LimitExceeded)),
        ("Y1", Approved),
        ("Y3", Approved),
        ("Z1", Declined(R::DoNotHonour)),
        ("Z3", Declined(R::DoNotHonour)),
    ]
};

/// The meaning of the answer to a reversal. A code that is not listed leaves it open: it is
/// repeated. 25 and 12: the original never arrived, or there is none to undo.
const REVERSAL_CODES: [(&str, CodeMeaning); 3] =
    [("00", CodeMeaning::Approved), ("25", CodeMeaning::NotFound), ("12", CodeMeaning::NotFound)];

/// A channel's codes, for orders and for reversals.
pub struct ResponseCodes {
    pub(super) orders: CodeTable,
    pub(super) reversals: CodeTable,
}

impl ResponseCodes {
    /// The built-in tables with what the file says otherwise.
    pub fn new(
        orders: impl IntoIterator<Item = (String, CodeMeaning)>,
        reversals: impl IntoIterator<Item = (String, CodeMeaning)>,
    ) -> Self {
        let table = |rows: &[(&str, CodeMeaning)]| {
            CodeTable::new(rows.iter().map(|(code, verdict)| ((*code).to_owned(), *verdict)))
        };
        Self {
            orders: table(&CODES).overridden(orders),
            reversals: table(&REVERSAL_CODES).overridden(reversals),
        }
    }
}
