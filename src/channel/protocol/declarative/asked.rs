//! What a request is about, as far as a template may name it.

use crate::channel::{AttemptFacts, ChannelRequest};
use crate::codec::sign::sha256_hex;
use crate::domain::attempt::Operation;
use crate::domain::card::{CardInput, CardToken, SmsCode};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::payee_account::PayeeAccount;
use crate::domain::payer_code::PayerCode;
use crate::domain::time::{BusinessDate, Timestamp};

/// The attempt or date that a request is about.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'r> {
    Attempt(&'r ChannelRequest),
    Statement(BusinessDate),
    /// Nothing: a credential is asked for.
    Credential,
}

impl<'r> Subject<'r> {
    pub const fn attempt(self) -> Option<&'r ChannelRequest> {
        match self {
            Self::Attempt(request) => Some(request),
            Self::Statement(_) | Self::Credential => None,
        }
    }

    /// New in each request without being random, so that the same request gives the same bytes:
    /// made of the request's name, what it is about and the moment of sending.
    pub fn nonce(self, now: Timestamp) -> String {
        match self {
            Self::Attempt(request) => {
                nonce_of(request.name(), &request.stated().channel_order_no.to_string(), now)
            }
            Self::Statement(date) => nonce_of("statement", &date.to_string(), now),
            Self::Credential => nonce_of("token", "", now),
        }
    }
}

/// 32 hexadecimal digits.
pub fn nonce_of(name: &str, about: &str, now: Timestamp) -> String {
    let mut text = sha256_hex(format!("{name} {about} {}", now.as_millis()).as_bytes());
    text.truncate(32);
    text
}

pub fn card_of(request: &ChannelRequest) -> Option<&CardInput> {
    match request {
        ChannelRequest::Charge { instrument, .. } => instrument.card(),
        ChannelRequest::Service { subject, .. } => subject.card.as_deref(),
        ChannelRequest::FollowUp { .. }
        | ChannelRequest::Inquiry { .. }
        | ChannelRequest::Reversal { .. } => None,
    }
}

pub fn token_of(request: &ChannelRequest) -> Option<&CardToken> {
    match request {
        ChannelRequest::Charge { instrument, .. } => instrument.token(),
        ChannelRequest::Service { subject, .. } => subject.token.as_deref(),
        ChannelRequest::FollowUp { .. }
        | ChannelRequest::Inquiry { .. }
        | ChannelRequest::Reversal { .. } => None,
    }
}

pub fn code_of(request: &ChannelRequest) -> Option<&SmsCode> {
    match request {
        ChannelRequest::Charge { instrument, .. } => instrument.sms_code(),
        ChannelRequest::Service { subject, .. } => subject.sms_code.as_deref(),
        ChannelRequest::FollowUp { .. }
        | ChannelRequest::Inquiry { .. }
        | ChannelRequest::Reversal { .. } => None,
    }
}

/// The code that the payer showed.
pub fn payer_code_of(request: &ChannelRequest) -> Option<&str> {
    let ChannelRequest::Charge { instrument, .. } = request else { return None };
    instrument.code().map(PayerCode::expose)
}

/// The account of a payout's payee.
pub fn account_of(request: &ChannelRequest) -> Option<&PayeeAccount> {
    let ChannelRequest::Charge { instrument, .. } = request else { return None };
    instrument.account()
}

/// The operation that a request is about: its attempt's, or that which a code is for.
pub fn operation_of(request: &ChannelRequest) -> Option<Operation> {
    match request {
        ChannelRequest::Service { subject, .. } => subject.charge.map(|charge| charge.kind.into()),
        request => request.attempt().map(|facts| facts.operation),
    }
}

pub const fn original_of(request: &ChannelRequest) -> Option<&AttemptFacts> {
    match request {
        ChannelRequest::FollowUp { original, .. } => Some(original),
        ChannelRequest::Inquiry { original, .. } | ChannelRequest::Reversal { original, .. } => {
            original.as_ref()
        }
        ChannelRequest::Charge { .. } | ChannelRequest::Service { .. } => None,
    }
}

pub fn number_of(request: &ChannelRequest) -> Option<&str> {
    match request {
        ChannelRequest::Inquiry { pan, .. }
        | ChannelRequest::Reversal { pan, .. }
        | ChannelRequest::FollowUp { pan, .. } => pan.as_ref().map(|pan| pan.expose()),
        ChannelRequest::Charge { .. } | ChannelRequest::Service { .. } => {
            card_of(request).map(|card| card.pan.expose())
        }
    }
}

/// The amount in major units, with as many decimals as the currency has.
pub fn write_decimal(amount: AmountMinor, currency: Currency) -> String {
    let scale = 10_i64.pow(u32::from(currency.exponent()));
    let (major, rest) = (amount.get() / scale, amount.get() % scale);
    match usize::from(currency.exponent()) {
        0 => major.to_string(),
        decimals => format!("{major}.{rest:0decimals$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_amount_has_the_currency_s_decimals() {
        let rows = [
            (1, Currency::Cny, "0.01"),
            (1230, Currency::Cny, "12.30"),
            (999_999_999_999, Currency::Cny, "9999999999.99"),
            (1230, Currency::Jpy, "1230"),
        ];
        for (minor, currency, expected) in rows {
            let amount = AmountMinor::new(minor).expect("an amount");
            assert_eq!(write_decimal(amount, currency), expected);
        }
    }
}
