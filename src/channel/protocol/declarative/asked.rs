//! What a request is about, as far as a template may name it.

use crate::channel::{AttemptFacts, ChannelRequest};
use crate::domain::card::{CardInput, CardToken, SmsCode};
use crate::domain::instrument::Instrument;
use crate::domain::payee_account::PayeeAccount;
use crate::domain::payer_code::PayerCode;

pub fn card_of(request: &ChannelRequest) -> Option<&CardInput> {
    match request {
        ChannelRequest::Charge { instrument, .. } => match &**instrument {
            Instrument::Card(card) => Some(card),
            Instrument::Agreement { .. } | Instrument::Code(_) | Instrument::Account(_) => None,
        },
        ChannelRequest::Service { subject, .. } => subject.card.as_deref(),
        ChannelRequest::FollowUp { .. }
        | ChannelRequest::Inquiry { .. }
        | ChannelRequest::Reversal { .. } => None,
    }
}

pub fn token_of(request: &ChannelRequest) -> Option<&CardToken> {
    match request {
        ChannelRequest::Charge { instrument, .. } => match &**instrument {
            Instrument::Card(_) | Instrument::Code(_) | Instrument::Account(_) => None,
            Instrument::Agreement { token, .. } => Some(token),
        },
        ChannelRequest::Service { subject, .. } => subject.token.as_deref(),
        ChannelRequest::FollowUp { .. }
        | ChannelRequest::Inquiry { .. }
        | ChannelRequest::Reversal { .. } => None,
    }
}

pub fn code_of(request: &ChannelRequest) -> Option<&SmsCode> {
    match request {
        ChannelRequest::Charge { instrument, .. } => match &**instrument {
            Instrument::Card(_) | Instrument::Code(_) | Instrument::Account(_) => None,
            Instrument::Agreement { sms_code, .. } => sms_code.as_ref(),
        },
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
