//! What the words of request templates stand for in one request.
//!
//! A word is looked up only when a template asks for it, so that card data is copied nowhere but
//! into the body that is sent (I-11). Must not know what a body or a signature looks like.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::Value;
use minijinja::value::Object;

use super::asked::{
    Subject, account_of, card_of, code_of, number_of, operation_of, original_of, payer_code_of,
    token_of, write_decimal,
};
use super::encrypt::{Encryption, Envelope};
use super::word::Word;
use crate::channel::ChannelRequest;
use crate::channel::fetched::FetchedSlot;
use crate::channel::first::Brought;
use crate::channel::protocol::transcript::MASK;
use crate::codec::order_form::OrderForm;
use crate::domain::card::{CardToken, mask};
use crate::domain::payee_account::AccountKind;
use crate::domain::payer_code::MaskedCode;
use crate::domain::time::{BusinessDate, Timestamp};

impl Word {
    /// The value of the word; `None` where the request has none.
    fn value(self, subject: Subject<'_>, now: Timestamp, form: &OrderForm) -> Option<Value> {
        match (self, subject) {
            (Self::Now, _) => Some(now.as_millis().into()),
            (Self::Nonce, _) => Some(subject.nonce(now).into()),
            (Self::Date, Subject::Statement(date)) => Some(date.to_string().into()),
            (Self::DateDigits, Subject::Statement(date)) => {
                Some(format!("{:08}", date.yyyymmdd()).into())
            }
            (word, Subject::Attempt(request)) => word.of_attempt(request, form),
            (_, Subject::Statement(_) | Subject::Credential) => None,
        }
    }

    /// What stands for a secret word; `None` where the request has no such thing.
    fn masked(self, subject: Subject<'_>, now: Timestamp, form: &OrderForm) -> Option<Value> {
        let request = subject.attempt();
        match self {
            Self::CardNumber => number_of(request?).map(|number| mask(number).into()),
            Self::PayerCode => {
                payer_code_of(request?).map(|code| MaskedCode::of(code).as_str().into())
            }
            // These are of the surroundings: a file names them only where it has them.
            Self::Token | Self::EnvelopeKey => Some(MASK.into()),
            word => word.value(subject, now, form).map(|_| MASK.into()),
        }
    }

    fn of_attempt(self, request: &ChannelRequest, form: &OrderForm) -> Option<Value> {
        let (stated, facts) = (request.stated(), request.attempt());
        let original = original_of(request);
        let card = card_of(request);
        match self {
            Self::OrderNo => Some(form.write(stated.channel_order_no).into()),
            Self::SentAt => Some(stated.sent_at.as_millis().into()),
            // These are no attempt's.
            Self::Now
            | Self::Nonce
            | Self::Date
            | Self::DateDigits
            | Self::Token
            | Self::EnvelopeKey => None,
            Self::Operation => operation_of(request).map(|operation| operation.name().into()),
            Self::Amount => stated.money.map(|(amount, _)| amount.get().into()),
            Self::AmountDecimal => {
                stated.money.map(|(amount, currency)| write_decimal(amount, currency).into())
            }
            Self::Currency => stated.money.map(|(_, currency)| currency.name().into()),
            Self::CurrencyNumeric => stated.money.map(|(_, currency)| currency.numeric().into()),
            Self::CoreMerchantId => Some(stated.merchant_id.as_str().into()),
            Self::Description => facts?.description.as_deref().map(Value::from),
            Self::Reference => facts?.channel_reference.as_deref().map(Value::from),
            Self::CardNumber => number_of(request).map(Value::from),
            Self::CardExpiry => card?.expiry.map(|expiry| expiry.yymm().into()),
            Self::CardCvv => card?.cvv.as_ref().map(|cvv| cvv.expose().into()),
            Self::CardHolder => card?.holder.as_deref().map(Value::from),
            Self::CardIdType => card?.id_type.as_deref().map(Value::from),
            Self::CardIdNumber => card?.id_number.as_deref().map(Value::from),
            Self::CardPhone => {
                let of_card = card.and_then(|card| card.phone.as_deref());
                of_card.or_else(|| token_of(request).map(CardToken::phone)).map(Value::from)
            }
            Self::SmsCode => code_of(request).map(|code| code.expose().into()),
            Self::AgreementToken => token_of(request).map(|token| token.expose().into()),
            Self::PayerCode => payer_code_of(request).map(Value::from),
            Self::PayeeAccount => account_of(request).map(|account| account.expose().into()),
            // The channel's own: `Surroundings` knows it.
            Self::PayeeKind => None,
            Self::PayeeName => account_of(request)?.name().map(Value::from),
            Self::OriginalOperation => Some(original?.operation.name().into()),
            Self::OriginalOrderNo => Some(form.write(original?.channel_order_no).into()),
            Self::OriginalSentAt => Some(original?.sent_at.as_millis().into()),
            Self::OriginalReference => original?.channel_reference.as_deref().map(Value::from),
            Self::OriginalAmount => Some(original?.amount.get().into()),
            Self::OriginalAmountDecimal => {
                original.map(|facts| write_decimal(facts.amount, facts.currency).into())
            }
        }
    }
}

/// Names of the channel file's own (`[http.values]`, `[http.secrets]`).
pub type Constants = BTreeMap<String, Constant>;

/// The value behind a name of the file's own.
pub struct Constant {
    pub value: Value,
    /// A secret may stand in no URL: they are written down along the way.
    pub is_secret: bool,
}

/// For each merchant of the core, the channel's names for it (`[http.merchants]`).
pub type Merchants = BTreeMap<String, BTreeMap<String, String>>;

/// The channel's own word for each kind of account that it pays out to.
pub type AccountKinds = BTreeMap<AccountKind, String>;

/// Stands before one of these names in a template.
pub const MERCHANT: &str = "merchant.";

/// Stands before what the request before this one has brought.
pub const FIRST: &str = "first.";

/// The values that templates may use beside the request.
#[derive(Default)]
pub struct Surroundings {
    pub constants: Constants,
    pub merchants: Merchants,
    /// The channel's words for what an account's id is; empty where ours are its own.
    pub account_kinds: AccountKinds,
    pub order_form: OrderForm,
    /// Where the channel's own credential is kept.
    pub token: FetchedSlot,
    /// The cipher of the filter `encrypted`.
    pub encryption: Option<Encryption>,
}

impl Surroundings {
    /// The value of a word in a request about this subject, which has this envelope.
    fn value(
        &self,
        word: Word,
        subject: Subject<'_>,
        now: Timestamp,
        (envelope, masks): (Option<&RequestEnvelope>, bool),
    ) -> Option<Value> {
        match word {
            word if masks && word.is_secret() => word.masked(subject, now, &self.order_form),
            Word::Token => Some(Value::from(self.token.kept()?.text.as_str())),
            Word::PayeeKind => {
                let kind = subject.attempt()?.attempt()?.payee_kind?;
                let own = self.account_kinds.get(&kind).map(String::as_str);
                let plain = self.account_kinds.is_empty().then_some(kind.name());
                own.or(plain).map(Value::from)
            }
            Word::EnvelopeKey => {
                let sealed = envelope?.open(self.encryption.as_ref()?)?;
                Some(Value::from(sealed.wrapped.as_str()))
            }
            word => word.value(subject, now, &self.order_form),
        }
    }

    fn merchant(&self, subject: Subject<'_>, name: &str) -> Option<&str> {
        let id = subject.attempt()?.stated().merchant_id.as_str();
        self.merchants.get(id)?.get(name).map(String::as_str)
    }
}

/// The one envelope of a request, made when its first word asks for it.
#[derive(Clone, Default)]
struct RequestEnvelope(Arc<OnceLock<Option<Envelope>>>);

impl RequestEnvelope {
    fn open(&self, encryption: &Encryption) -> Option<&Envelope> {
        self.0.get_or_init(|| encryption.seal()).as_ref()
    }
}

/// Everything that the templates of one request may name.
pub struct Words<'r> {
    subject: Subject<'r>,
    now: Timestamp,
    surroundings: &'r Arc<Surroundings>,
    envelope: Option<RequestEnvelope>,
    /// What the request before this one has brought.
    brought: Option<Arc<Brought>>,
    /// A mask stands for everything secret: for words about a request that has left.
    masks: bool,
    /// Made only if an expression is more than a word.
    context: OnceCell<Value>,
}

impl<'r> Words<'r> {
    pub fn new(subject: Subject<'r>, now: Timestamp, surroundings: &'r Arc<Surroundings>) -> Self {
        let seals = surroundings.encryption.as_ref().is_some_and(Encryption::is_envelope);
        let envelope = seals.then(RequestEnvelope::default);
        let (brought, masks, context) = (None, false, OnceCell::new());
        Self { subject, now, surroundings, envelope, brought, masks, context }
    }

    /// The same with masks.
    pub fn masked(self) -> Self {
        Self { masks: true, ..self }
    }

    /// The same with what the request before this one has brought.
    pub fn with_brought(self, brought: Option<Arc<Brought>>) -> Self {
        Self { brought, ..self }
    }

    pub fn value(&self, word: Word) -> Option<Value> {
        let kept = (self.envelope.as_ref(), self.masks);
        self.surroundings.value(word, self.subject, self.now, kept)
    }

    /// One of the channel's names for the merchant of the request.
    pub fn merchant(&self, name: &str) -> Option<&str> {
        self.surroundings.merchant(self.subject, name)
    }

    /// What the request before this one has brought under this name.
    pub fn brought(&self, name: &str) -> Option<&str> {
        let brought = self.brought.as_ref()?.get(name)?;
        Some(if self.masks { MASK } else { brought })
    }

    /// Refuses a merchant that the channel has no names for, where it has some for others: what
    /// lacked a name would be left out.
    pub fn check_merchant(&self) -> Result<(), String> {
        let merchants = &self.surroundings.merchants;
        let Some(request) = self.subject.attempt().filter(|_| !merchants.is_empty()) else {
            return Ok(());
        };
        if merchants.contains_key(request.stated().merchant_id.as_str()) {
            return Ok(());
        }
        Err("[http.merchants] does not have the order's merchant".to_owned())
    }

    /// The moment of sending.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    pub fn nonce(&self) -> String {
        self.subject.nonce(self.now)
    }

    /// The same words as an object that expressions look things up in.
    pub fn context(&self) -> &Value {
        self.context.get_or_init(|| {
            Value::from_object(Context {
                attempt: self.subject.attempt().cloned(),
                date: match self.subject {
                    Subject::Attempt(_) | Subject::Credential => None,
                    Subject::Statement(date) => Some(date),
                },
                now: self.now,
                surroundings: Arc::clone(self.surroundings),
                envelope: self.envelope.clone(),
                brought: self.brought.clone(),
                masks: self.masks,
            })
        })
    }
}

/// Under this name the filter `encrypted` finds its key; no template may name it.
pub const ENCRYPTER: &str = "encrypter";

/// The key of a request's fields, as the filter sees it.
pub struct Encrypter(Arc<Context>);

impl Encrypter {
    /// `None` without `[http.encrypt]`, or where the key refuses.
    pub fn apply(&self, text: &str) -> Option<String> {
        if self.0.masks {
            return Some(MASK.to_owned());
        }
        let seed = self.0.subject().nonce(self.0.now);
        let encryption = self.0.surroundings.encryption.as_ref()?;
        let envelope = match &self.0.envelope {
            Some(own) => Some(own.open(encryption)?),
            None => None,
        };
        encryption.apply(envelope, &seed, text).ok()
    }
}

impl Object for Encrypter {}

impl fmt::Debug for Encrypter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Encrypter(***)")
    }
}

/// Owns a copy of the request, because an expression's context may not borrow. The copy's card data
/// is wiped when it is dropped.
struct Context {
    /// This, or the date of a statement; neither where a credential is asked for.
    attempt: Option<ChannelRequest>,
    date: Option<BusinessDate>,
    now: Timestamp,
    surroundings: Arc<Surroundings>,
    envelope: Option<RequestEnvelope>,
    brought: Option<Arc<Brought>>,
    masks: bool,
}

impl Context {
    fn subject(&self) -> Subject<'_> {
        let attempt = self.attempt.as_ref().map(Subject::Attempt);
        let dated = || self.date.map(Subject::Statement);
        attempt.or_else(dated).unwrap_or(Subject::Credential)
    }

    fn look_up(&self, name: &str) -> Option<Value> {
        match Word::parse(name) {
            Some(word) => {
                let kept = (self.envelope.as_ref(), self.masks);
                self.surroundings.value(word, self.subject(), self.now, kept)
            }
            None if name.starts_with(MERCHANT) => {
                let name = name.strip_prefix(MERCHANT)?;
                self.surroundings.merchant(self.subject(), name).map(Value::from)
            }
            None if name.starts_with(FIRST) => {
                let brought = self.brought.as_ref()?.get(name.strip_prefix(FIRST)?)?;
                Some(Value::from(if self.masks { MASK } else { brought }))
            }
            None => {
                let constant = self.surroundings.constants.get(name)?;
                let is_masked = self.masks && constant.is_secret;
                Some(if is_masked { Value::from(MASK) } else { constant.value.clone() })
            }
        }
    }
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let group = |prefix| Value::from_object(Group { prefix, context: Arc::clone(self) });
        match key {
            "card" => Some(group("card")),
            "payer" => Some(group("payer")),
            "payee" => Some(group("payee")),
            "original" => Some(group("original")),
            "merchant" => Some(group("merchant")),
            "first" => Some(group("first")),
            ENCRYPTER => Some(Value::from_object(Encrypter(Arc::clone(self)))),
            name => self.look_up(name),
        }
    }
}

/// Shows nothing: it holds card data (I-11).
impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Context(…)")
    }
}

/// The words behind `card.`, `payer.`, `payee.`, `original.`, `merchant.` or `first.`.
struct Group {
    prefix: &'static str,
    context: Arc<Context>,
}

impl Object for Group {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.context.look_up(&format!("{}.{key}", self.prefix))
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Group({})", self.prefix)
    }
}
