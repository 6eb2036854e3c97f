//! Seals card numbers for channels that need them again, and digests card data for comparison.
//!
//! Upholds I-11: the store gets ciphertext, or a keyed digest against which nobody without the key
//! can test a guess.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use crate::codec::seal::{DigestKey, SealError, SealKeys};
use crate::domain::card::{CardDigests, CardInput, CardToken, Pan, SealedPan};
use crate::domain::ids::{AgreementId, ChannelId, OrderId};
use crate::domain::instrument::Instrument;
use crate::domain::payee_account::{AccountDigests, AccountKind, PayeeAccount};
use crate::domain::payer_code::PayerCode;
use crate::entropy::Entropy;

/// Stands between the parts of a sealed payee, and between a token and its phone: none of them has
/// a control character.
const PAYEE_GAP: char = '\n';

/// The keys of this installation for card data at rest.
pub struct Vault {
    keys: SealKeys,
    digest: DigestKey,
    entropy: Entropy,
}

impl Vault {
    pub const fn new(keys: SealKeys, digest: DigestKey, entropy: Entropy) -> Self {
        Self { keys, digest, entropy }
    }

    /// Seals a card number for one order; in another order's row it does not open.
    pub fn seal(&self, order: OrderId, pan: &Pan) -> Result<SealedPan, SealError> {
        self.keys.seal(self.entropy.nonce(), &order.as_u64().to_be_bytes(), pan.expose().as_bytes())
    }

    /// Opens the number that was sealed for an order, alone or with its owner. `None` if the key is
    /// gone or the bytes were changed.
    pub fn open(&self, order: OrderId, sealed: &SealedPan) -> Option<Pan> {
        let bytes = self.keys.open(sealed, &order.as_u64().to_be_bytes()).ok()?;
        Pan::of_digits(std::str::from_utf8(&bytes).ok()?.split(PAYEE_GAP).next()?).ok()
    }

    /// Seals the card of a payout's payee for its order: the number, and what a channel is told of
    /// its owner.
    pub fn seal_payee(&self, order: OrderId, card: &CardInput) -> Result<SealedPan, SealError> {
        let owner = [&card.holder, &card.id_type, &card.id_number, &card.phone];
        let [holder, id_type, id_number, phone] =
            owner.map(|part| part.as_deref().unwrap_or_default());
        self.seal_parts(order, &[card.pan.expose(), holder, id_type, id_number, phone])
    }

    /// Seals the account of a payout's payee for its order. It has no number before the first gap,
    /// so that it never opens as a card.
    pub fn seal_account(
        &self,
        order: OrderId,
        account: &PayeeAccount,
    ) -> Result<SealedPan, SealError> {
        let name = account.name().unwrap_or_default();
        self.seal_parts(order, &["", account.kind().name(), account.expose(), name])
    }

    fn seal_parts(&self, order: OrderId, parts: &[&str]) -> Result<SealedPan, SealError> {
        let length = parts.iter().map(|part| 1 + part.len()).sum();
        let mut text = Zeroizing::new(String::with_capacity(length));
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                text.push(PAYEE_GAP);
            }
            text.push_str(part);
        }
        self.keys.seal(self.entropy.nonce(), &order.as_u64().to_be_bytes(), text.as_bytes())
    }

    /// Opens the payee of a payout, a card or an account. `None` if the key is gone or the bytes
    /// were changed.
    pub fn open_payee(&self, order: OrderId, sealed: &SealedPan) -> Option<Instrument> {
        let bytes = self.keys.open(sealed, &order.as_u64().to_be_bytes()).ok()?;
        let mut parts = std::str::from_utf8(&bytes).ok()?.split(PAYEE_GAP);
        let number = parts.next()?;
        let mut part = || parts.next().filter(|part| !part.is_empty());
        if number.is_empty() {
            let (kind, id, name) = (AccountKind::parse(part()?)?, part()?, part());
            return PayeeAccount::parse(kind, id, name).map(Instrument::Account);
        }
        let pan = Pan::of_digits(number).ok()?;
        let mut part = || part().map(str::to_owned);
        let (holder, id_type, id_number, phone) = (part(), part(), part(), part());
        let card = CardInput { pan, expiry: None, cvv: None, holder, id_type, id_number, phone };
        Some(card.into())
    }

    /// Seals a channel's token, with the phone that goes with it, for one agreement.
    pub fn seal_token(
        &self,
        agreement: AgreementId,
        token: &CardToken,
    ) -> Result<SealedPan, SealError> {
        let length = token.expose().len() + 1 + token.phone().len();
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(token.expose());
        text.push(PAYEE_GAP);
        text.push_str(token.phone());
        self.keys.seal(self.entropy.nonce(), &token_context(agreement), text.as_bytes())
    }

    /// Opens the token of an agreement. `None` if the key is gone or the bytes were changed.
    pub fn open_token(&self, agreement: AgreementId, sealed: &SealedPan) -> Option<CardToken> {
        let bytes = self.keys.open(sealed, &token_context(agreement)).ok()?;
        let (token, phone) = std::str::from_utf8(&bytes).ok()?.split_once(PAYEE_GAP)?;
        CardToken::parse(token, phone)
    }

    /// Seals what a link's sign-on has brought a terminal; for another terminal it does not open.
    pub fn seal_link_key(
        &self,
        channel: &ChannelId,
        terminal: &str,
        brought: &[u8],
    ) -> Result<SealedPan, SealError> {
        self.keys.seal(self.entropy.nonce(), &link_context(channel, terminal), brought)
    }

    /// Opens what was sealed for a terminal. `None` if the key is gone or the bytes were changed.
    pub fn open_link_key(
        &self,
        channel: &ChannelId,
        terminal: &str,
        sealed: &SealedPan,
    ) -> Option<Vec<u8>> {
        let opened = self.keys.open(sealed, &link_context(channel, terminal)).ok()?;
        Some(opened.to_vec())
    }

    /// The digests by which a repeated order is compared (I-9).
    pub fn digests(&self, card: &CardInput) -> CardDigests {
        let part = |field: &str, value: Option<&str>| value.map_or(0, |v| self.short(field, v));
        let expiry = card.expiry.map(crate::domain::card::Expiry::yymm);
        CardDigests {
            pan: u128::from_be_bytes(self.digest("pan", card.pan.expose())),
            expiry: part("expiry", expiry.as_deref()),
            holder: part("holder", card.holder.as_deref()),
            id_type: part("id_type", card.id_type.as_deref()),
            id_number: part("id_number", card.id_number.as_deref()),
            phone: part("phone", card.phone.as_deref()),
        }
    }

    /// The digest by which a repeat of an order with a payer's code is compared (I-9).
    pub fn code_digest(&self, code: &PayerCode) -> u128 {
        u128::from_be_bytes(self.digest("payer.code", code.expose()))
    }

    /// The digests by which a repeat of a payout to an account is compared (I-9), and its orders
    /// are found.
    pub fn account_digests(&self, account: &PayeeAccount) -> AccountDigests {
        AccountDigests {
            id: self.account_digest(account.expose()),
            name: account.name().map_or(0, |name| self.short("payee.name", name)),
        }
    }

    /// The digest of an account's id alone, whatever its kind.
    pub fn account_digest(&self, id: &str) -> u128 {
        u128::from_be_bytes(self.digest("payee.account", id))
    }

    /// The field's name is digested too, so that equal texts in two fields do not look equal.
    fn digest(&self, field: &str, value: &str) -> [u8; 16] {
        let mut text = Zeroizing::new(String::with_capacity(field.len() + value.len() + 1));
        write!(text, "{field}:{value}").expect("writing to a string cannot fail");
        self.digest.digest(&text)
    }

    /// Eight bytes are enough to tell two texts of one order apart; never zero, which means absent.
    fn short(&self, field: &str, value: &str) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.digest(field, value);
        u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
    }
}

/// No order's context, which is eight bytes, is of this length.
fn token_context(agreement: AgreementId) -> Vec<u8> {
    format!("token of {agreement}").into_bytes()
}

fn link_context(channel: &ChannelId, terminal: &str) -> Vec<u8> {
    format!("link key of {channel}/{terminal}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::seal::SealKey;

    fn vault() -> Vault {
        let key = SealKey::new("k1", &[7; 32]).expect("32 bytes");
        let keys = SealKeys::new(key, Vec::new()).expect("one key");
        Vault::new(keys, DigestKey::new(&[9; 32]).expect("32 bytes"), Entropy::seeded(1))
    }

    fn card(expiry: Option<&str>) -> CardInput {
        CardInput {
            pan: Pan::parse("4111111111111111").expect("a test number"),
            expiry: expiry.and_then(crate::domain::card::Expiry::parse_yymm),
            cvv: None,
            holder: None,
            id_type: None,
            id_number: None,
            phone: None,
        }
    }

    #[test]
    fn i_11_a_sealed_number_opens_for_its_order_only() {
        let (vault, order) = (vault(), OrderId::from_u64(1));
        let pan = card(None).pan.clone();
        let sealed = vault.seal(order, &pan).expect("a short secret");
        assert_eq!(vault.open(order, &sealed), Some(pan.clone()));
        assert_eq!(vault.open(OrderId::from_u64(2), &sealed), None);
        let clear = pan.expose().as_bytes();
        assert!(!sealed.bytes.windows(6).any(|window| clear.windows(6).any(|part| part == window)));
    }

    #[test]
    fn i_11_a_payee_opens_whole_and_as_its_number_for_its_order_only() {
        let (vault, order) = (vault(), OrderId::from_u64(1));
        let owners = [
            (None, None, None, None),
            (Some("张三"), None, Some("110101199003070038"), None),
            (Some("Ann B."), Some("01"), Some("X-1"), Some("+86-13800138000")),
        ];
        for (holder, id_type, id_number, phone) in owners {
            let owned = |part: Option<&str>| part.map(str::to_owned);
            let mut payee = card(None);
            (payee.holder, payee.id_type) = (owned(holder), owned(id_type));
            (payee.id_number, payee.phone) = (owned(id_number), owned(phone));
            let sealed = vault.seal_payee(order, &payee).expect("a short secret");
            let opened = vault.open_payee(order, &sealed).expect("it is the order's own");
            let opened = opened.card().expect("it was a card");
            assert_eq!(opened.pan, payee.pan);
            assert_eq!((&opened.holder, &opened.phone), (&payee.holder, &payee.phone));
            assert_eq!((&opened.id_type, &opened.id_number), (&payee.id_type, &payee.id_number));
            assert_eq!(vault.open(order, &sealed), Some(payee.pan.clone()));
            assert!(vault.open_payee(OrderId::from_u64(2), &sealed).is_none());
        }
    }

    #[test]
    fn i_11_an_account_opens_whole_for_its_order_only_and_never_as_a_card() {
        let (vault, order) = (vault(), OrderId::from_u64(1));
        let payees = [
            (AccountKind::Login, "13800138000", Some("张三")),
            (AccountKind::UserId, "2088102146225135", None),
            (AccountKind::BankAccount, "6216261000000000018", Some("Ann B.")),
        ];
        for (kind, id, name) in payees {
            let account = PayeeAccount::parse(kind, id, name).expect("it fits its kind");
            let sealed = vault.seal_account(order, &account).expect("a short secret");
            let opened = vault.open_payee(order, &sealed).expect("it is the order's own");
            assert_eq!(opened.account(), Some(&account));
            assert_eq!(vault.open(order, &sealed), None, "it has no card's number");
            assert!(vault.open_payee(OrderId::from_u64(2), &sealed).is_none());
            let clear = id.as_bytes();
            assert!(!sealed.bytes.windows(6).any(|part| clear.windows(6).any(|one| one == part)));
        }
        let card = vault.seal_payee(order, &card(None)).expect("a short secret");
        assert!(vault.open_payee(order, &card).expect("its own").account().is_none());
    }

    #[test]
    fn i_11_a_token_opens_for_its_agreement_only() {
        let (vault, id) = (vault(), AgreementId::from_u64(1));
        for phone in ["13800138000", ""] {
            let token = CardToken::parse("6235240000020757577", phone).expect("it is plain");
            let sealed = vault.seal_token(id, &token).expect("a short secret");
            assert_eq!(vault.open_token(id, &sealed), Some(token));
            assert_eq!(vault.open_token(AgreementId::from_u64(2), &sealed), None);
            assert_eq!(vault.open(OrderId::from_u64(1), &sealed), None);
            assert!(!sealed.bytes.windows(6).any(|part| part == b"623524"));
        }
    }

    #[test]
    fn i_9_digests_tell_cards_and_fields_apart() {
        let vault = vault();
        let plain = vault.digests(&card(None));
        assert_eq!(plain, vault.digests(&card(None)));
        assert_eq!(plain.expiry, 0);
        let dated = vault.digests(&card(Some("2912")));
        assert_eq!(dated.pan, plain.pan);
        assert!(dated.expiry != 0 && dated.expiry != vault.digests(&card(Some("3012"))).expiry);
    }
}
