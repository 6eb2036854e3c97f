//! The words that a request template may use: which there are, and which request can have them.

use super::kind::{Action, RequestKind};
use crate::domain::card_service::CardService;
use crate::domain::closed_set;

closed_set! {
    /// A fact of the request that a template may name.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Word {
        /// Our number of the attempt at this channel.
        OrderNo => "order_no",
        /// When the attempt became durable, in milliseconds since 1970; written by the filter
        /// `time`.
        SentAt => "sent_at",
        /// The moment of sending, in the same form.
        Now => "now",
        /// 32 hexadecimal digits that are new in each request.
        Nonce => "nonce",
        /// The operation that the attempt is for: `payment`, `refund` and so on; of a code by SMS,
        /// that of the payment or pre-authorisation to come.
        Operation => "operation",
        /// Integer, in minor units.
        Amount => "amount",
        /// Text in major units with the currency's decimals: `12.30`.
        AmountDecimal => "amount_decimal",
        /// Three letters.
        Currency => "currency",
        /// Three digits.
        CurrencyNumeric => "currency_numeric",
        /// The merchant in the core's words; the channel's own name for us is a constant of the
        /// file.
        CoreMerchantId => "core_merchant_id",
        Description => "description",
        /// The channel's own number of the attempt, if it has given one.
        Reference => "reference",
        /// The credential that the channel has handed out (`[http.token]`).
        Token => "access_token",
        /// The key of this request's envelope, under the channel's own (`[http.encrypt]`).
        EnvelopeKey => "envelope_key",
        CardNumber => "card.number",
        /// `YYMM`.
        CardExpiry => "card.expiry",
        CardCvv => "card.cvv",
        CardHolder => "card.holder",
        CardIdType => "card.id_type",
        CardIdNumber => "card.id_number",
        /// Also the phone of an agreement.
        CardPhone => "card.phone",
        /// The code that the cardholder got by SMS.
        SmsCode => "sms_code",
        /// The channel's token for the card, of an agreement.
        AgreementToken => "agreement.token",
        /// The code that the payer showed.
        PayerCode => "payer.code",
        /// The id of the payee's account.
        PayeeAccount => "payee.account",
        /// The channel's word for what that id is.
        PayeeKind => "payee.kind",
        /// The name of the account's holder.
        PayeeName => "payee.name",
        OriginalOperation => "original.operation",
        OriginalOrderNo => "original.order_no",
        OriginalSentAt => "original.sent_at",
        OriginalReference => "original.reference",
        OriginalAmount => "original.amount",
        OriginalAmountDecimal => "original.amount_decimal",
        /// `YYYY-MM-DD`: the clearing date whose statement is asked for.
        Date => "date",
        /// The same as `YYYYMMDD`.
        DateDigits => "date_digits",
    }
}

impl Word {
    /// Whether it is milliseconds since 1970.
    pub const fn is_moment(self) -> bool {
        matches!(self, Self::Now | Self::SentAt | Self::OriginalSentAt)
    }

    /// Whether it is card data, or stands for a card or its owner: it goes nowhere but into a body
    /// (I-11).
    pub fn is_card_data(self) -> bool {
        let others = [
            Self::SmsCode,
            Self::AgreementToken,
            Self::PayerCode,
            Self::PayeeAccount,
            Self::PayeeName,
        ];
        others.contains(&self) || self.name().starts_with("card.")
    }

    /// Whether it is never kept, or only masked.
    pub fn is_secret(self) -> bool {
        self.is_card_data() || matches!(self, Self::CardNumber | Self::Token | Self::EnvelopeKey)
    }

    /// Whether a request of this kind can ever have it.
    pub fn is_known_to(self, kind: RequestKind) -> bool {
        if kind.action == Action::Statement {
            return matches!(
                self,
                Self::Date | Self::DateDigits | Self::Now | Self::Nonce | Self::Token
            );
        }
        if kind.action == Action::Credential {
            return matches!(self, Self::Now | Self::Nonce);
        }
        if let Some(service) = kind.service() {
            return self.is_known_to_service(service);
        }
        match self {
            Self::Date | Self::DateDigits => false,
            Self::CardNumber => true,
            Self::CardExpiry
            | Self::CardCvv
            | Self::CardHolder
            | Self::CardIdType
            | Self::CardIdNumber
            | Self::CardPhone
            | Self::SmsCode
            | Self::AgreementToken
            | Self::PayerCode
            | Self::PayeeAccount
            | Self::PayeeName => kind.action == Action::Charge,
            Self::PayeeKind => kind.may_be_of_payout(),
            Self::OriginalOperation
            | Self::OriginalOrderNo
            | Self::OriginalSentAt
            | Self::OriginalReference
            | Self::OriginalAmount
            | Self::OriginalAmountDecimal => kind.has_original(),
            Self::OrderNo
            | Self::SentAt
            | Self::Now
            | Self::Nonce
            | Self::Operation
            | Self::Amount
            | Self::AmountDecimal
            | Self::Currency
            | Self::CurrencyNumeric
            | Self::CoreMerchantId
            | Self::Description
            | Self::Reference
            | Self::Token
            | Self::EnvelopeKey => true,
        }
    }

    /// Whether a service to a card has it: nothing that speaks of an order, and of money only the
    /// code of a payment.
    const fn is_known_to_service(self, service: CardService) -> bool {
        let takes_card = matches!(
            service,
            CardService::Verification
                | CardService::AgreementCode
                | CardService::AgreementConfirmation
                | CardService::PaymentCode
        );
        let opens = takes_card && !matches!(service, CardService::Verification);
        let is_payment_code = matches!(service, CardService::PaymentCode);
        match self {
            Self::OrderNo
            | Self::SentAt
            | Self::Now
            | Self::Nonce
            | Self::CoreMerchantId
            | Self::Token
            | Self::EnvelopeKey => true,
            Self::CardNumber
            | Self::CardHolder
            | Self::CardIdType
            | Self::CardIdNumber
            | Self::CardPhone => takes_card,
            Self::CardExpiry | Self::CardCvv => opens,
            Self::SmsCode => matches!(service, CardService::AgreementConfirmation),
            Self::AgreementToken => is_payment_code || matches!(service, CardService::AgreementEnd),
            Self::Operation
            | Self::Amount
            | Self::AmountDecimal
            | Self::Currency
            | Self::CurrencyNumeric => is_payment_code,
            Self::Description
            | Self::Reference
            | Self::PayerCode
            | Self::PayeeAccount
            | Self::PayeeKind
            | Self::PayeeName
            | Self::OriginalOperation
            | Self::OriginalOrderNo
            | Self::OriginalSentAt
            | Self::OriginalReference
            | Self::OriginalAmount
            | Self::OriginalAmountDecimal
            | Self::Date
            | Self::DateDigits => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_names_read_back_and_are_distinct() {
        for word in Word::ALL {
            assert_eq!(Word::parse(word.name()), Some(word));
            let apart = [RequestKind::STATEMENT, RequestKind::TOKEN];
            let mut kinds = RequestKind::ALL.into_iter().chain(apart);
            assert!(kinds.any(|kind| word.is_known_to(kind)), "{}", word.name());
        }
        assert_eq!(Word::parse("card"), None);
    }
}
