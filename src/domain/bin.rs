//! What a card number's leading digits say: issuer, product, card type, brand.

/// What kind of card a BIN names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CardType {
    Debit,
    Credit,
    QuasiCredit,
    Prepaid,
}

impl CardType {
    pub const ALL: [Self; 4] = [Self::Debit, Self::Credit, Self::QuasiCredit, Self::Prepaid];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Credit => "credit",
            Self::QuasiCredit => "quasi_credit",
            Self::Prepaid => "prepaid",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Whose network a card belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Brand {
    UnionPay,
    Visa,
    Mastercard,
    Amex,
    Jcb,
    Diners,
}

impl Brand {
    pub const ALL: [Self; 6] =
        [Self::UnionPay, Self::Visa, Self::Mastercard, Self::Amex, Self::Jcb, Self::Diners];

    pub const fn name(self) -> &'static str {
        match self {
            Self::UnionPay => "unionpay",
            Self::Visa => "visa",
            Self::Mastercard => "mastercard",
            Self::Amex => "amex",
            Self::Jcb => "jcb",
            Self::Diners => "diners",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|brand| brand.name() == name)
    }
}

/// One row of the BIN table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinRow {
    /// 2 to 12 digits.
    pub bin: String,
    /// The exact length of the card numbers that it is for.
    pub pan_length: u8,
    /// UnionPay institution code, 8 digits.
    pub issuer_code: String,
    pub issuer_name: String,
    pub card_name: String,
    pub card_type: CardType,
    pub brand: Brand,
}
