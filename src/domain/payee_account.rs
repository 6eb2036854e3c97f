//! Payees' accounts (收款账户): what a wallet or a bank knows a payee by, where that is no card.
//!
//! Upholds I-11: an account's id may be a phone number or an e-mail address. A whole one is in
//! memory for the call, is sealed while its payout waits, and cannot be printed.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::domain::closed_set;

closed_set! {
    /// What the id of an account is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum AccountKind {
        /// What its holder signs in with: a phone number or an e-mail address.
        Login = 1 => "login",
        /// What the wallet calls its user.
        UserId = 2 => "user_id",
        /// What the wallet calls its user towards one app or merchant.
        OpenId = 3 => "open_id",
        /// The number of an account at the channel's own bank.
        BankAccount = 4 => "bank_account",
    }
}

/// Where a payout goes that goes to no card, as the core named it. Wiped at its end.
#[derive(PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PayeeAccount {
    #[zeroize(skip)]
    kind: AccountKind,
    id: String,
    name: Option<String>,
}

impl PayeeAccount {
    /// The longest id, in characters: what Alipay takes.
    pub const ID_LENGTH_MAX: usize = 100;
    /// The longest name of a holder, in characters.
    pub const NAME_LENGTH_MAX: usize = 64;

    /// `None` if the id is none of its kind: 3 to 100 letters, digits, `_` and `-`; to sign in
    /// with, a phone number of 5 to 20 digits, perhaps behind a `+` and with `-` inside, or an
    /// e-mail address. Nor if the name is empty, longer than 64 characters or has a control
    /// character.
    pub fn parse(kind: AccountKind, id: &str, name: Option<&str>) -> Option<Self> {
        let is_name = |name: &str| {
            (1..=Self::NAME_LENGTH_MAX).contains(&name.chars().count())
                && !name.chars().any(char::is_control)
        };
        let fits = Self::is_id(kind, id) && name.is_none_or(is_name);
        fits.then(|| Self { kind, id: id.to_owned(), name: name.map(str::to_owned) })
    }

    fn is_id(kind: AccountKind, id: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        match kind {
            AccountKind::Login => is_phone(id) || is_address(id),
            AccountKind::UserId | AccountKind::OpenId | AccountKind::BankAccount => {
                (3..=Self::ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(is_plain)
            }
        }
    }

    pub const fn kind(&self) -> AccountKind {
        self.kind
    }

    /// The whole id, for the one who encodes the channel's request.
    pub fn expose(&self) -> &str {
        &self.id
    }

    /// The holder's name, for the same.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub fn masked(&self) -> MaskedAccount {
        MaskedAccount::of(&self.id)
    }
}

impl fmt::Debug for PayeeAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PayeeAccount({} {})", self.kind.name(), self.masked().as_str())
    }
}

fn is_phone(text: &str) -> bool {
    let number = text.strip_prefix('+').unwrap_or(text);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    (5..=20).contains(&digits)
        && number.len() <= 24
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_part = |part: &str, besides: &[u8]| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || besides.contains(&byte);
        !part.is_empty() && part.bytes().all(fits)
    };
    text.len() <= PayeeAccount::ID_LENGTH_MAX
        && is_part(local, b".!#$%&'*+/=?^_`{|}~-")
        && is_part(domain, b".-")
        && domain.contains('.')
}

/// An account's id of which no more is left than its owner knows it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedAccount(String);

impl MaskedAccount {
    /// The fewest characters of an id that shows its first three and its last four.
    const SHOWN_LENGTH_MIN: usize = 11;

    /// Masks an id, or a text of the store that was masked: nothing more can travel on. Of an
    /// e-mail address the first character and the host are left, of another id of eleven characters
    /// and more the first three and the last four, of a shorter one the first.
    pub fn of(text: &str) -> Self {
        let (id, host) = match text.find('@') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let length = id.chars().count();
        let is_long = host.is_empty() && length >= Self::SHOWN_LENGTH_MIN;
        let is_shown = |place| place == 0 || (is_long && (place < 3 || place + 4 >= length));
        let shown = id.chars().enumerate();
        let shown = shown.map(|(place, character)| if is_shown(place) { character } else { '*' });
        Self(shown.chain(host.chars()).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The facts that an order keeps of its payee's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    pub kind: AccountKind,
    pub masked: MaskedAccount,
    pub digests: AccountDigests,
}

/// Keyed digests of what the core sent of an account, to compare a repeated order with (I-9) and to
/// find its orders by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountDigests {
    pub id: u128,
    /// Zero where no name was given.
    pub name: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_form_of_its_kind() {
        use AccountKind::{BankAccount, Login, OpenId, UserId};
        let rows = [
            (Login, "13800138000", true),
            (Login, "+86-13800138000", true),
            (Login, "ann.b@mail.example", true),
            (Login, "ann", false),
            (Login, "1234", false),
            (Login, "ann@mail", false),
            (Login, "a@b@mail.example", false),
            (Login, "ann b@mail.example", false),
            (UserId, "2088102146225135", true),
            (UserId, "ann@mail.example", false),
            (UserId, "12", false),
            (OpenId, "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5", true),
            (OpenId, "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", true),
            (BankAccount, "6500-1234-0987", true),
            (BankAccount, "账户", false),
        ];
        for (kind, id, fits) in rows {
            assert_eq!(PayeeAccount::parse(kind, id, None).is_some(), fits, "{} {id}", kind.name());
        }
        let long = "1".repeat(PayeeAccount::ID_LENGTH_MAX + 1);
        assert_eq!(PayeeAccount::parse(UserId, &long, None), None);
        for (name, fits) in
            [("张三", true), ("", false), ("a\nb", false), (&"张".repeat(65), false)]
        {
            let account = PayeeAccount::parse(UserId, "2088102146225135", Some(name));
            assert_eq!(account.is_some(), fits, "{name}");
        }
    }

    #[test]
    fn i_11_an_id_shows_no_more_than_its_owner_knows_it_by() {
        let rows = [
            ("13800138000", "138****8000"),
            ("+86-13800138000", "+86********8000"),
            ("2088102146225135", "208*********5135"),
            ("ann.b@mail.example", "a****@mail.example"),
            ("1380013800", "1*********"),
            ("", ""),
        ];
        for (id, expected) in rows {
            let masked = MaskedAccount::of(id);
            assert_eq!(masked.as_str(), expected);
            assert_eq!(MaskedAccount::of(masked.as_str()), masked, "nothing is masked twice");
        }
        let account = PayeeAccount::parse(AccountKind::Login, "13800138000", Some("张三"));
        let account = account.expect("a phone number");
        assert_eq!(format!("{account:?}"), "PayeeAccount(login 138****8000)");
    }
}
