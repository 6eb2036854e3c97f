//! What a channel does with a card beside orders: nothing is charged, held or given back, so none
//! of it is an attempt, and the books have no part in it.

use crate::domain::closed_set;

closed_set! {
    /// A request about a card that moves and holds no money.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum CardService {
        /// Whether name, identity number and phone belong to the card (鉴权).
        Verification => "verification",
        /// Sends the code with which an agreement (协议) is confirmed to the cardholder's phone.
        AgreementCode => "agreement_code",
        /// Takes that code, and gives a token for the card.
        AgreementConfirmation => "agreement_confirmation",
        /// Tells what became of a confirmation.
        AgreementInquiry => "agreement_inquiry",
        /// Makes the token void.
        AgreementEnd => "agreement_end",
        /// Sends the code of one payment, under that payment's number.
        PaymentCode => "payment_code",
    }
}

impl CardService {
    /// Whether it asks what became of an earlier request: such a one is sent to a failing channel
    /// too.
    pub const fn is_inquiry(self) -> bool {
        match self {
            Self::AgreementInquiry => true,
            Self::Verification
            | Self::AgreementCode
            | Self::AgreementConfirmation
            | Self::AgreementEnd
            | Self::PaymentCode => false,
        }
    }
}
