//! The conditions of a rule on an order.

use std::collections::BTreeSet;
use std::fmt;

use crate::domain::attempt::Operation;
use crate::domain::bin::{Brand, CardType};
use crate::domain::card_service::CardService;
use crate::domain::ids::MerchantId;
use crate::domain::instrument::InstrumentKind;
use crate::domain::money::Currency;
use crate::domain::order::SettlementMode;
use crate::domain::route::hours::Hours;
use crate::domain::route::{IssuerTraits, RouteSubject};

/// The most leading digits that a rule can ask for: the longest BIN.
pub const CARD_PREFIX_LENGTH_MAX: usize = 12;

/// Digits of an issuer code that name the institution; the rest name its region (UnionPay).
pub const INSTITUTION_DIGITS: usize = 4;

/// Why a condition on money does not hold of a service to a card.
const NO_MONEY: &str = "it has no money";
/// The words for a condition on cards where the payer shows a code.
const NO_CARD: &str = "the payer shows a code, and there is no card to tell by";
/// The same where the payee has an account.
const NO_PAYEE_CARD: &str = "the payee has an account, and there is no card to tell by";

/// How many values a sentence for people lists.
const LISTED_MAX: usize = 8;

/// Why a text is not the beginning of a card number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    #[error("has a character that is not a digit")]
    NotDigits,
    #[error("has not 1 to 12 digits")]
    Length,
}

/// The leading digits of a card number: at most twelve, none if the card is not known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CardPrefix {
    /// ASCII digits, zero bytes behind them.
    digits: [u8; CARD_PREFIX_LENGTH_MAX],
    length: u8,
}

impl CardPrefix {
    /// Reads 1 to 12 digits, as a rule gives them.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PrefixError::NotDigits);
        }
        if !(1..=CARD_PREFIX_LENGTH_MAX).contains(&text.len()) {
            return Err(PrefixError::Length);
        }
        Ok(Self::leading(text))
    }

    /// The leading digits of a card number, or of a part of one: up to twelve, and none after the
    /// first character that is not a digit.
    pub fn leading(card: &str) -> Self {
        let mut prefix = Self::default();
        let digits = card.bytes().take_while(u8::is_ascii_digit);
        for (place, digit) in prefix.digits.iter_mut().zip(digits) {
            *place = digit;
            prefix.length += 1;
        }
        prefix
    }

    pub fn as_str(&self) -> &str {
        let digits = &self.digits[..usize::from(self.length)];
        std::str::from_utf8(digits).expect("a prefix holds ASCII digits only")
    }

    /// Whether it begins with all of the digits of `other`, and has more.
    pub fn is_longer_than(&self, other: &Self) -> bool {
        self.length > other.length && self.begins_with(other)
    }

    fn begins_with(&self, other: &Self) -> bool {
        // Behind the digits lie zero bytes, which are no digits: too short a prefix differs there.
        let length = usize::from(other.length);
        self.digits[..length] == other.digits[..length]
    }
}

/// Six digits at most: the twelve of a short card number could be all of it (I-11).
impl fmt::Debug for CardPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = usize::from(self.length).min(6);
        write!(formatter, "CardPrefix({}, {} digits)", &self.as_str()[..shown], self.length)
    }
}

/// One condition of a rule. The condition holds if one of its values fits.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    Operations(Vec<Operation>, Vec<CardService>),
    /// In minor units, both ends included.
    Amount {
        from_minor: i64,
        to_minor: i64,
    },
    Currencies(Vec<Currency>),
    Settlements(Vec<SettlementMode>),
    Instruments(Vec<InstrumentKind>),
    CardTypes(Vec<CardType>),
    Brands(Vec<Brand>),
    /// Whole issuer codes, or their first four digits for all regions of an institution.
    IssuerCodes(Vec<String>),
    BinPrefixes(Vec<CardPrefix>),
    Merchants(BTreeSet<MerchantId>),
    Hours(Hours),
}

impl Condition {
    /// The stable word of the routes file and of explanations.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Operations(..) => "operations",
            Self::Amount { .. } => "amount",
            Self::Currencies(_) => "currencies",
            Self::Settlements(_) => "settlements",
            Self::Instruments(_) => "instruments",
            Self::CardTypes(_) => "card_types",
            Self::Brands(_) => "brands",
            Self::IssuerCodes(_) => "issuer_codes",
            Self::BinPrefixes(_) => "bin_prefixes",
            Self::Merchants(_) => "merchants",
            Self::Hours(_) => "hours",
        }
    }

    /// Whether it asks for something of the card: no payer's code and no account fits it.
    const fn is_about_cards(&self) -> bool {
        match self {
            Self::CardTypes(_) | Self::Brands(_) | Self::IssuerCodes(_) | Self::BinPrefixes(_) => {
                true
            }
            Self::Operations(..)
            | Self::Amount { .. }
            | Self::Currencies(_)
            | Self::Settlements(_)
            | Self::Instruments(_)
            | Self::Merchants(_)
            | Self::Hours(_) => false,
        }
    }

    /// Whether it holds. A card without a row of the BIN table fits no issuer, type or brand, and
    /// what has no money no amount, currency or settlement.
    pub(super) fn holds(&self, subject: &RouteSubject<'_>) -> bool {
        match self {
            Self::Operations(operations, services) => subject.is_one_of(operations, services),
            Self::Amount { from_minor, to_minor } => subject
                .order()
                .is_some_and(|order| (*from_minor..=*to_minor).contains(&order.amount.get())),
            Self::Currencies(currencies) => {
                subject.order().is_some_and(|order| currencies.contains(&order.currency))
            }
            Self::Settlements(settlements) => {
                subject.order().is_some_and(|order| settlements.contains(&order.settlement_mode))
            }
            Self::Instruments(instruments) => instruments.contains(&subject.instrument()),
            Self::CardTypes(kinds) => {
                let card_type = subject.card.and_then(|card| card.card_type);
                card_type.is_some_and(|card_type| kinds.contains(&card_type))
            }
            Self::Brands(brands) => subject.card.is_some_and(|card| card.brands.meets(brands)),
            Self::IssuerCodes(codes) => {
                let issuer = subject.card.and_then(|card| card.issuer);
                issuer.is_some_and(|issuer| codes.iter().any(|one| names_issuer(one, issuer.code)))
            }
            Self::BinPrefixes(prefixes) => {
                prefixes.iter().any(|prefix| subject.prefix.begins_with(prefix))
            }
            Self::Merchants(merchants) => merchants.contains(subject.merchant_id()),
            Self::Hours(hours) => hours.contains(subject.now),
        }
    }

    /// What it asks for, as the routes file writes it.
    pub fn values(&self) -> Vec<String> {
        let owned = str::to_owned;
        match self {
            Self::Operations(operations, services) => {
                let services = services.iter().map(|service| owned(service.name()));
                operations.iter().map(|one| owned(one.name())).chain(services).collect()
            }
            Self::Amount { from_minor, to_minor } => vec![format!("{from_minor}-{to_minor}")],
            Self::Currencies(wanted) => wanted.iter().map(|one| owned(one.name())).collect(),
            Self::Settlements(wanted) => wanted.iter().map(|one| owned(one.name())).collect(),
            Self::Instruments(wanted) => wanted.iter().map(|one| owned(one.name())).collect(),
            Self::CardTypes(wanted) => wanted.iter().map(|one| owned(one.name())).collect(),
            Self::Brands(wanted) => wanted.iter().map(|one| owned(one.name())).collect(),
            Self::IssuerCodes(wanted) => wanted.clone(),
            Self::BinPrefixes(wanted) => wanted.iter().map(|one| owned(one.as_str())).collect(),
            Self::Merchants(wanted) => wanted.iter().map(|one| owned(one.as_str())).collect(),
            Self::Hours(wanted) => vec![wanted.to_string()],
        }
    }

    /// Why it does not hold, as a sentence for people.
    pub(super) fn sentence(&self, subject: &RouteSubject<'_>) -> String {
        let card = subject.card;
        if self.is_about_cards() {
            match subject.instrument() {
                InstrumentKind::Code => return NO_CARD.to_owned(),
                InstrumentKind::Account => return NO_PAYEE_CARD.to_owned(),
                InstrumentKind::Card | InstrumentKind::Agreement => {}
            }
        }
        match self {
            Self::Operations(operations, services) => {
                let services = services.iter().map(|service| service.name());
                let wanted = operations.iter().map(|wanted| wanted.name()).chain(services);
                format!("the operation is {}, not {}", subject.asked_name(), listed(wanted))
            }
            Self::Amount { from_minor, to_minor } => match subject.order() {
                Some(order) => format!(
                    "the amount is {} minor units, not {from_minor} to {to_minor}",
                    order.amount
                ),
                None => NO_MONEY.to_owned(),
            },
            Self::Currencies(wanted) => match subject.order() {
                Some(order) => {
                    let wanted = listed(wanted.iter().map(|wanted| wanted.name()));
                    format!("the currency is {}, not {wanted}", order.currency.name())
                }
                None => NO_MONEY.to_owned(),
            },
            Self::Settlements(wanted) => match subject.order() {
                Some(order) => {
                    let wanted = listed(wanted.iter().map(|wanted| wanted.name()));
                    format!("the settlement is {}, not {wanted}", order.settlement_mode.name())
                }
                None => NO_MONEY.to_owned(),
            },
            Self::Instruments(wanted) => {
                let wanted = listed(wanted.iter().map(|wanted| wanted.name()));
                format!("the instrument is {}, not {wanted}", subject.instrument().name())
            }
            Self::CardTypes(wanted) => {
                let wanted = listed(wanted.iter().map(|wanted| wanted.name()));
                let found = card.and_then(|card| card.card_type);
                let found = found.map_or("not known", CardType::name);
                format!("the card type is {found}, not {wanted}")
            }
            Self::Brands(wanted) => {
                let wanted = listed(wanted.iter().map(|wanted| wanted.name()));
                let found =
                    card.map_or_else(|| "not known".to_owned(), |card| card.brands.to_string());
                format!("the brand is {found}, not {wanted}")
            }
            Self::IssuerCodes(wanted) => {
                let wanted = listed(wanted.iter().map(String::as_str));
                let named = |issuer: IssuerTraits<'_>| format!("{} ({})", issuer.code, issuer.name);
                let found = card.and_then(|card| card.issuer);
                let found = found.map_or_else(|| "not known".to_owned(), named);
                format!("the issuer is {found}, not {wanted}")
            }
            Self::BinPrefixes(wanted) => {
                let wanted = listed(wanted.iter().map(CardPrefix::as_str));
                format!("the card does not begin with {wanted}")
            }
            Self::Merchants(wanted) => {
                let wanted = listed(wanted.iter().map(MerchantId::as_str));
                format!("the merchant is {}, not {wanted}", subject.merchant_id())
            }
            Self::Hours(wanted) => format!("the time is outside {wanted}"),
        }
    }
}

/// Whether a code of a rule, four digits or all eight, is that of an issuer.
fn names_issuer(wanted: &str, issuer_code: &str) -> bool {
    let regions = wanted.len() == INSTITUTION_DIGITS && issuer_code.starts_with(wanted);
    regions || wanted == issuer_code
}

fn listed<'v>(values: impl Iterator<Item = &'v str> + Clone) -> String {
    let shown: Vec<&str> = values.clone().take(LISTED_MAX).collect();
    let more = values.count().saturating_sub(LISTED_MAX);
    let rest = if more > 0 { format!(" or {more} others") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_up_to_twelve_digits() {
        assert_eq!(CardPrefix::parse("622848").map(|p| p.as_str().to_owned()), Ok("622848".into()));
        assert_eq!(CardPrefix::parse(""), Err(PrefixError::Length));
        assert_eq!(CardPrefix::parse("1234567890123"), Err(PrefixError::Length));
        assert_eq!(CardPrefix::parse("62284x"), Err(PrefixError::NotDigits));
        assert_eq!(CardPrefix::leading("6216261000000000018").as_str(), "621626100000");
        assert_eq!(CardPrefix::leading("6216-26").as_str(), "6216");
        assert_eq!(CardPrefix::leading(""), CardPrefix::default());
    }

    #[test]
    fn i_11_debug_shows_six_digits_of_a_prefix() {
        let shown = format!("{:?}", CardPrefix::leading("6216261000000000018"));
        assert_eq!(shown, "CardPrefix(621626, 12 digits)");
    }

    #[test]
    fn a_card_begins_with_a_prefix_of_its_digits() {
        let card = CardPrefix::leading("6216261000000000018");
        for (prefix, expected) in
            [("6", true), ("621626", true), ("621626100000", true), ("62162610001", false)]
        {
            let prefix = CardPrefix::parse(prefix).expect("digits");
            assert_eq!(card.begins_with(&prefix), expected, "{prefix:?}");
        }
        let six = CardPrefix::leading("621626");
        assert!(!six.begins_with(&CardPrefix::leading("6216261")), "too little is known");
        assert!(!CardPrefix::default().begins_with(&six));
    }

    #[test]
    fn four_digits_name_an_institution_in_every_region() {
        let rows = [
            ("0102", "01020000", true),
            ("0102", "01023310", true),
            ("0102", "01030000", false),
            ("01020000", "01020000", true),
            ("01020000", "01023310", false),
            ("010200", "01020000", false),
        ];
        for (wanted, code, expected) in rows {
            assert_eq!(names_issuer(wanted, code), expected, "{wanted} {code}");
        }
    }
}
