//! Instruments (支付工具): what the money of an order moves by, as the core names it.
//!
//! Upholds I-11: an [`Instrument`] is in memory for the call alone, and what rests of it are its
//! [`InstrumentFacts`].

use std::sync::Arc;

use crate::domain::card::{CardFacts, CardInput, CardToken, SmsCode};
use crate::domain::closed_set;
use crate::domain::ids::AgreementId;
use crate::domain::payee_account::{AccountFacts, AccountKind, PayeeAccount};
use crate::domain::payer_code::{CodeFacts, PayerCode};

closed_set! {
    /// What a channel can be asked to take money by, or to pay it to.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum InstrumentKind {
        Card => "card",
        Agreement => "agreement",
        Code => "code",
        Account => "account",
    }
}

impl InstrumentKind {
    /// Whether there is a card behind it: without one, no rule about cards says anything of it.
    pub const fn has_card(self) -> bool {
        match self {
            Self::Card | Self::Agreement => true,
            Self::Code | Self::Account => false,
        }
    }
}

/// What the core named, for the call that carries the order out: whom a payment takes from, or whom
/// a payout pays.
#[derive(Debug)]
pub enum Instrument {
    /// With the code of this one payment, where the card's holder was sent one.
    Card {
        card: CardInput,
        sms_code: Option<SmsCode>,
    },
    /// The same by the channel's token for the card.
    Agreement {
        token: CardToken,
        sms_code: Option<SmsCode>,
    },
    Code(PayerCode),
    /// A payee's, who has no card.
    Account(PayeeAccount),
}

impl Instrument {
    /// The card, where it is one.
    pub const fn card(&self) -> Option<&CardInput> {
        match self {
            Self::Card { card, .. } => Some(card),
            Self::Agreement { .. } | Self::Code(_) | Self::Account(_) => None,
        }
    }

    /// The channel's token for the card, where it is an agreement.
    pub const fn token(&self) -> Option<&CardToken> {
        match self {
            Self::Agreement { token, .. } => Some(token),
            Self::Card { .. } | Self::Code(_) | Self::Account(_) => None,
        }
    }

    /// The code by SMS that comes with it.
    pub const fn sms_code(&self) -> Option<&SmsCode> {
        match self {
            Self::Card { sms_code, .. } | Self::Agreement { sms_code, .. } => sms_code.as_ref(),
            Self::Code(_) | Self::Account(_) => None,
        }
    }

    /// The code, where it is one.
    pub const fn code(&self) -> Option<&PayerCode> {
        match self {
            Self::Card { .. } | Self::Agreement { .. } | Self::Account(_) => None,
            Self::Code(code) => Some(code),
        }
    }

    /// The payee's account, where it is one.
    pub const fn account(&self) -> Option<&PayeeAccount> {
        match self {
            Self::Card { .. } | Self::Agreement { .. } | Self::Code(_) => None,
            Self::Account(account) => Some(account),
        }
    }
}

impl From<CardInput> for Instrument {
    fn from(card: CardInput) -> Self {
        Self::Card { card, sms_code: None }
    }
}

impl From<PayeeAccount> for Instrument {
    fn from(account: PayeeAccount) -> Self {
        Self::Account(account)
    }
}

impl From<CardInput> for Arc<Instrument> {
    fn from(card: CardInput) -> Self {
        Self::new(card.into())
    }
}

/// What an order keeps of its instrument, and a repeat is compared with (I-9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstrumentFacts {
    Card(CardFacts),
    /// The card is the agreement's.
    Agreement {
        id: AgreementId,
        card: CardFacts,
    },
    Code(CodeFacts),
    Account(AccountFacts),
}

impl InstrumentFacts {
    pub const fn kind(&self) -> InstrumentKind {
        match self {
            Self::Card(_) => InstrumentKind::Card,
            Self::Agreement { .. } => InstrumentKind::Agreement,
            Self::Code(_) => InstrumentKind::Code,
            Self::Account(_) => InstrumentKind::Account,
        }
    }

    /// The agreement that was named.
    pub const fn agreement(&self) -> Option<AgreementId> {
        match self {
            Self::Card(_) | Self::Code(_) | Self::Account(_) => None,
            Self::Agreement { id, .. } => Some(*id),
        }
    }

    /// The code that the payer showed, where there was one.
    pub const fn code(&self) -> Option<&CodeFacts> {
        match self {
            Self::Card(_) | Self::Agreement { .. } | Self::Account(_) => None,
            Self::Code(code) => Some(code),
        }
    }

    /// The payee's account, where there was one.
    pub const fn account(&self) -> Option<&AccountFacts> {
        match self {
            Self::Card(_) | Self::Agreement { .. } | Self::Code(_) => None,
            Self::Account(account) => Some(account),
        }
    }

    /// What the payee's account is known by.
    pub fn account_kind(&self) -> Option<AccountKind> {
        self.account().map(|account| account.kind)
    }
}

impl From<CardFacts> for InstrumentFacts {
    fn from(card: CardFacts) -> Self {
        Self::Card(card)
    }
}
