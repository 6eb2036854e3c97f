//! What one request knew of its card, to be found in the reply.

use super::spelling::{PlainText, units_of};
use super::{CardWords, may_hold_number};
use crate::domain::card::{CardInput, CardToken, Expiry, Pan, SmsCode};
use crate::domain::payee_account::PayeeAccount;
use crate::domain::payer_code::PayerCode;

/// The card data of one request, to be found in its reply.
#[derive(Clone, Copy, Default)]
pub struct CardEcho<'c> {
    pub(super) pan: Option<&'c str>,
    /// CVV, code by SMS.
    pub(super) codes: [Option<&'c str>; 2],
    pub(super) expiry: Option<Expiry>,
    /// Holder, identity number, phone.
    pub(super) owner: [Option<&'c str>; 3],
    /// A payee's account.
    pub(super) account: Option<&'c str>,
}

impl<'c> CardEcho<'c> {
    /// No card data is known: a notice, a statement.
    pub const NONE: Self =
        Self { pan: None, codes: [None; 2], expiry: None, owner: [None; 3], account: None };

    pub fn of(card: &'c CardInput) -> Self {
        Self {
            pan: Some(card.pan.expose()),
            codes: [card.cvv.as_ref().map(|cvv| cvv.expose()), None],
            expiry: card.expiry,
            owner: [card.holder.as_deref(), card.id_number.as_deref(), card.phone.as_deref()],
            account: None,
        }
    }

    pub fn of_number(pan: Option<&'c Pan>) -> Self {
        Self { pan: pan.map(Pan::expose), ..Self::NONE }
    }

    /// The same with a code that was sent to the card's holder.
    #[must_use]
    pub fn with_code(self, code: Option<&'c SmsCode>) -> Self {
        let [cvv, _] = self.codes;
        Self { codes: [cvv, code.map(SmsCode::expose)], ..self }
    }

    /// A token, its phone, and a code that was sent to it.
    pub fn of_token(token: &'c CardToken, code: Option<&'c SmsCode>) -> Self {
        Self {
            codes: [None, code.map(SmsCode::expose)],
            owner: [None, Some(token.expose()), Some(token.phone())],
            ..Self::NONE
        }
    }

    /// A payer's code in place of a card: as a number in any spelling, where it is one, and as a
    /// text.
    pub fn of_payer_code(code: &'c PayerCode) -> Self {
        let text = code.expose();
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        Self { pan: is_number.then_some(text), owner: [Some(text), None, None], ..Self::NONE }
    }

    /// A payee's account in place of a card: its id and the name of its holder, as texts.
    pub fn of_account(account: &'c PayeeAccount) -> Self {
        let owner = [account.name(), None, None];
        Self { owner, account: Some(account.expose()), ..Self::NONE }
    }

    /// Whether no card data is known.
    pub fn is_none(&self) -> bool {
        let Self { pan, codes, expiry, owner, account } = self;
        pan.is_none()
            && expiry.is_none()
            && account.is_none()
            && codes.iter().chain(owner).all(Option::is_none)
    }

    /// The number alone.
    #[must_use]
    pub const fn number(self) -> Self {
        Self { pan: self.pan, ..Self::NONE }
    }

    /// Whether the card's number, or the payee's account, stands in a text, in any spelling that is
    /// read here.
    pub fn has_number_in(&self, text: &str) -> bool {
        if let Some(account) = self.account {
            return CardWords::of(text, units_of(text)).has_text(account);
        }
        let Some(pan) = self.pan.filter(|_| may_hold_number(text)) else { return false };
        match PlainText::of(text) {
            Some(plain) => CardWords::of(text, plain).has_number(pan),
            None => CardWords::of(text, units_of(text)).has_number(pan),
        }
    }
}
