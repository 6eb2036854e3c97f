//! Builds the requests: which fields, to which address, signed by whom.
//!
//! Upholds I-2 by asking about an attempt only with its own number and time: `merId`, `orderId` and
//! `txnTime` identify one transaction, so an inquiry or a reversal carries those of the attempt and
//! a follow-up its own. Nothing here is logged; the body may hold card data (I-11).

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, offset};

use crate::channel::protocol::transcript::{MASK, signature_shown};
use crate::channel::{
    AttemptFacts, ChannelRequest, EncodeError, SentStamp, ServiceSubject, StatedFacts, WireRequest,
};
use crate::codec::acp;
use crate::codec::form::Fields;
use crate::domain::attempt::Operation;
use crate::domain::card::{CardInput, CardToken, SmsCode};
use crate::domain::card_service::CardService;
use crate::domain::instrument::Instrument;
use crate::domain::money::Currency;
use crate::domain::payment_code::CodedKind;
use crate::domain::time::Timestamp;

use super::UnionPayAcp;
use super::card_data::{Cardholder, customer_info, encrypt};
use super::identity::{EncryptionIdentity, SigningIdentity};
use super::transcript::sent;

/// The only version of the protocol that is spoken; 5.0.0 signed with SHA-1.
const VERSION: &str = "5.1.0";
const ENCODING: &str = "UTF-8";
pub(super) const FORM: HeaderValue =
    HeaderValue::from_static("application/x-www-form-urlencoded;charset=UTF-8");
/// `accType`: a card.
const ACCOUNT_IS_CARD: &str = "01";

/// `tokenType`: a token for a card.
const CARD_TOKEN: &str = "01";

/// Why the code of a payment is not asked for.
const NO_CHARGE: &str = "what the code is for is missing";

/// Fields that requests set themselves, so that no channel file may.
pub(super) const RESERVED_FIELDS: [&str; 24] = [
    "accNo",
    "accType",
    "accessType",
    "backUrl",
    "bizType",
    "certId",
    "channelType",
    "currencyCode",
    "customerInfo",
    "encoding",
    "encryptCertId",
    "merId",
    "orderId",
    "origOrderId",
    "origQryId",
    "origTxnTime",
    "signMethod",
    "signature",
    "tokenPayData",
    "txnAmt",
    "txnSubType",
    "txnTime",
    "txnType",
    "version",
];

/// The subject of a message: fields `txnType` and `txnSubType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransactionType {
    Payment,
    Preauth,
    Payout,
    Capture,
    Refund,
    /// Taking back a payment, a pre-authorisation or a capture: each has a type of its own.
    VoidPayment,
    VoidPreauth,
    VoidCapture,
    Reversal,
    Inquiry,
    File,
    Verification,
    /// Has a code sent, by which a token is asked for or paid with.
    AgreementCode,
    /// Has the code of a payment or of a pre-authorisation sent.
    PaymentCode,
    PreauthCode,
    /// Opens the card for payments by token.
    Opening,
    OpeningInquiry,
    /// Makes a token void.
    TokenEnd,
}

impl TransactionType {
    /// The type of an operation that begins with a card.
    const fn of_charge(operation: Operation) -> Option<Self> {
        match operation {
            Operation::Payment => Some(Self::Payment),
            Operation::Preauth => Some(Self::Preauth),
            Operation::Payout => Some(Self::Payout),
            Operation::Undo | Operation::Refund | Operation::Void | Operation::Capture => None,
        }
    }

    /// The type of an operation on an original; `None` if there is no such thing, such as the void
    /// of a refund.
    pub(super) const fn of_follow_up(operation: Operation, original: Operation) -> Option<Self> {
        match (operation, original) {
            (Operation::Undo | Operation::Void, Operation::Payment) => Some(Self::VoidPayment),
            (Operation::Undo | Operation::Void, Operation::Preauth) => Some(Self::VoidPreauth),
            (Operation::Undo | Operation::Void, Operation::Capture) => Some(Self::VoidCapture),
            (Operation::Refund, Operation::Payment | Operation::Capture) => Some(Self::Refund),
            (Operation::Capture, Operation::Preauth) => Some(Self::Capture),
            (
                Operation::Payment
                | Operation::Preauth
                | Operation::Undo
                | Operation::Void
                | Operation::Refund
                | Operation::Capture
                | Operation::Payout,
                _,
            ) => None,
        }
    }

    /// The type of what a request is to do or to tell; the error says why there is none.
    pub(super) fn of(request: &ChannelRequest) -> Result<Self, &'static str> {
        match request {
            ChannelRequest::Charge { facts, .. } => {
                Self::of_charge(facts.operation).ok_or("it does not begin with a card")
            }
            ChannelRequest::FollowUp { facts, original, .. } => {
                let kind = Self::of_follow_up(facts.operation, original.operation);
                kind.ok_or("the original's operation has no such follow-up")
            }
            // These may only be asked about: their money is not in our hands.
            ChannelRequest::Reversal { facts, .. } if facts.operation == Operation::Refund => {
                Err("a refund is never reversed")
            }
            ChannelRequest::Reversal { facts, .. } if facts.operation == Operation::Payout => {
                Err("a payout is never reversed")
            }
            ChannelRequest::Reversal { .. } => Ok(Self::Reversal),
            ChannelRequest::Inquiry { .. } => Ok(Self::Inquiry),
            ChannelRequest::Service { facts, subject } => match facts.service {
                CardService::Verification => Ok(Self::Verification),
                CardService::AgreementCode => Ok(Self::AgreementCode),
                CardService::AgreementConfirmation => Ok(Self::Opening),
                CardService::AgreementInquiry => Ok(Self::OpeningInquiry),
                CardService::AgreementEnd => Ok(Self::TokenEnd),
                CardService::PaymentCode => match subject.charge.ok_or(NO_CHARGE)?.kind {
                    CodedKind::Payment => Ok(Self::PaymentCode),
                    CodedKind::Preauth => Ok(Self::PreauthCode),
                },
            },
        }
    }

    /// The types that a transaction of this operation may have, as an inquiry finds it.
    pub(super) const fn all_of(operation: Operation) -> &'static [Self] {
        match operation {
            Operation::Payment => &[Self::Payment],
            Operation::Preauth => &[Self::Preauth],
            Operation::Payout => &[Self::Payout],
            Operation::Capture => &[Self::Capture],
            Operation::Refund => &[Self::Refund],
            Operation::Undo | Operation::Void => {
                &[Self::VoidPayment, Self::VoidPreauth, Self::VoidCapture]
            }
        }
    }

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Payment => "01",
            Self::Preauth => "02",
            Self::Capture => "03",
            Self::Refund => "04",
            Self::Payout => "12",
            Self::VoidPayment => "31",
            Self::VoidPreauth => "32",
            Self::VoidCapture => "33",
            Self::Reversal => "99",
            Self::Inquiry => "00",
            Self::File => "76",
            Self::Verification => "72",
            Self::TokenEnd => "74",
            Self::AgreementCode | Self::PaymentCode | Self::PreauthCode => "77",
            Self::OpeningInquiry => "78",
            Self::Opening => "79",
        }
    }

    /// `None` of a verification, whose product has its own.
    const fn sub_code(self) -> Option<&'static str> {
        Some(match self {
            Self::Verification => return None,
            Self::Payment | Self::Preauth | Self::Reversal | Self::File | Self::TokenEnd => "01",
            Self::PaymentCode | Self::OpeningInquiry => "02",
            Self::PreauthCode => "04",
            Self::Capture
            | Self::Refund
            | Self::Payout
            | Self::VoidPayment
            | Self::VoidPreauth
            | Self::VoidCapture
            | Self::Inquiry
            | Self::AgreementCode
            | Self::Opening => "00",
        })
    }
}

/// `YYYYMMDDhhmmss` in Beijing, which has been eight hours ahead of UTC, without summer time, since
/// 1992.
pub(super) fn txn_time(moment: Timestamp) -> String {
    let local = moment.civil(&TimeZone::fixed(offset(8)));
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    )
}

/// The moment of a `YYYYMMDDhhmmss` in Beijing.
pub(super) fn read_txn_time(text: &str) -> Option<Timestamp> {
    let local = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    let moment = TimeZone::fixed(offset(8)).to_timestamp(local).ok()?;
    Some(Timestamp::from_millis(moment.as_millisecond()))
}

/// How what is secret gets into a request.
#[derive(Clone, Copy)]
struct Pen {
    /// The moment of sending, in seconds: it chooses the certificates.
    now_s: i64,
    /// A mask stands in place of it: for words about a request that has left.
    masks: bool,
}

impl UnionPayAcp {
    pub(super) fn build(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError> {
        let problem = |problem| EncodeError { request: request.name(), problem };
        let pen = Pen { now_s: now.as_millis() / 1_000, masks: false };
        let (url, mut fields) = self.unsigned(request, pen).map_err(problem)?;
        let signing = self.signing_at(pen.now_s).map_err(problem)?;
        let signature = acp::sign_rsa(&mut fields, &signing.cert_id, &signing.signer);
        Ok(WireRequest {
            method: http::Method::POST,
            url: url.to_owned(),
            headers: vec![(CONTENT_TYPE, FORM)],
            body: fields.encode_form().into(),
            signature,
        })
    }

    /// A request that has left, in words: its fields written once more with masks.
    pub(super) fn words_of(&self, request: &ChannelRequest, stamp: &SentStamp) -> String {
        let pen = Pen { now_s: stamp.at.as_millis() / 1_000, masks: true };
        let written = self.unsigned(request, pen).and_then(|(url, mut fields)| {
            acp::prepare_rsa(&mut fields, &self.signing_at(pen.now_s)?.cert_id);
            let shown = signature_shown(&stamp.signature, request.echo().is_none());
            fields.set(acp::SIGNATURE, &shown);
            Ok(sent(url, &fields))
        });
        written.unwrap_or_else(|problem| format!("not to be shown: {problem}"))
    }

    fn signing_at(&self, now_s: i64) -> Result<&SigningIdentity, String> {
        let newest = SigningIdentity::newest_at(&self.keys.signing, now_s);
        newest.ok_or_else(|| "no signing certificate is valid now".to_owned())
    }

    /// Where a request goes, and its fields without what signing adds.
    fn unsigned(&self, request: &ChannelRequest, pen: Pen) -> Result<(&str, Fields), String> {
        let kind = TransactionType::of(request)?;
        let (stated, product) = (request.stated(), self.product_of(request));
        let (url, fields) = match request {
            ChannelRequest::Charge { facts, instrument } => {
                let fields = self.common(kind, stated, product);
                let fields = self.charge(fields, facts, instrument, pen)?;
                (&self.settings.transaction_url, fields)
            }
            // By the number and time of the transaction itself. The demos send no channelType here.
            ChannelRequest::Inquiry { .. } => {
                let fields = self.common(kind, stated, product);
                (&self.settings.query_url, fields)
            }
            ChannelRequest::Reversal { .. } => {
                let own = self.settings.reversal_url.as_ref();
                (own.unwrap_or(&self.settings.transaction_url), self.reversal(stated))
            }
            // The card is not sent again: the original's number stands for it.
            ChannelRequest::FollowUp { facts, original, .. } => {
                let fields = self.common(kind, stated, product);
                let fields = self.follow_up(fields, facts, original)?;
                (&self.settings.transaction_url, fields)
            }
            ChannelRequest::Service { facts, subject } => {
                let mut fields = self.common(kind, stated, product);
                fields.set("channelType", &self.settings.channel_type);
                self.add_subject(&mut fields, facts.service, subject, pen)?;
                (&self.settings.transaction_url, fields)
            }
        };
        Ok((url, fields))
    }

    /// The bizType that a request is sent with, and its reply repeats.
    pub(super) fn product_of(&self, request: &ChannelRequest) -> &str {
        match request {
            ChannelRequest::Reversal { .. } => &self.settings.reversal_biz_type,
            ChannelRequest::Service { facts, .. } => match facts.service {
                CardService::Verification => &self.settings.verification_biz_type,
                CardService::AgreementCode
                | CardService::AgreementConfirmation
                | CardService::AgreementInquiry
                | CardService::AgreementEnd
                | CardService::PaymentCode => &self.settings.biz_type,
            },
            ChannelRequest::Charge { facts, .. }
            | ChannelRequest::Inquiry { facts, .. }
            | ChannelRequest::FollowUp { facts, .. } => self.settings.product(facts.operation),
        }
    }

    /// A consume or a pre-authorisation without redirect, 01/01 or 02/01, or a payout, 12/00.
    fn charge(
        &self,
        mut fields: Fields,
        facts: &AttemptFacts,
        instrument: &Instrument,
        pen: Pen,
    ) -> Result<Fields, String> {
        self.add_money(&mut fields, facts)?;
        for (name, value) in &self.settings.payment_fields {
            fields.set(name, value);
        }
        match instrument {
            Instrument::Code(_) => return Err("the protocol takes no payers' codes".to_owned()),
            Instrument::Account(_) => return Err("the protocol pays to no accounts".to_owned()),
            Instrument::Card { card, sms_code } => {
                self.check_pays_by_card()?;
                self.add_card(&mut fields, card, sms_code.as_ref(), pen)?;
            }
            Instrument::Agreement { token, sms_code } => {
                fields.set("accType", ACCOUNT_IS_CARD);
                fields.set("tokenPayData", &self.token_of(token, pen)?);
                let person = Cardholder { sms_code: sms_code.as_ref(), ..Cardholder::default() };
                self.add_person(&mut fields, &person, pen)?;
            }
        }
        Ok(fields)
    }

    /// What a service is about.
    fn add_subject(
        &self,
        fields: &mut Fields,
        service: CardService,
        subject: &ServiceSubject,
        pen: Pen,
    ) -> Result<(), String> {
        let card = || subject.card.as_deref().ok_or_else(|| "the card is missing".to_owned());
        let token = || subject.token.as_deref().ok_or_else(|| "the token is missing".to_owned());
        match service {
            CardService::Verification => self.add_card(fields, card()?, None, pen)?,
            CardService::AgreementCode => {
                self.requestor()?;
                let card = card()?;
                let phone = card.phone.as_deref();
                self.add_number(fields, card, pen)?;
                let person = Cardholder { phone, ..Cardholder::default() };
                self.add_person(fields, &person, pen)?;
            }
            CardService::AgreementConfirmation => {
                let asked = format!("{{trId={}&tokenType={CARD_TOKEN}}}", self.requestor()?);
                fields.set("tokenPayData", &asked);
                self.add_card(fields, card()?, subject.sms_code.as_deref(), pen)?;
            }
            CardService::AgreementInquiry => {}
            CardService::AgreementEnd => {
                fields.set("tokenPayData", &self.token_of(token()?, pen)?);
            }
            CardService::PaymentCode => {
                let charge = subject.charge.ok_or(NO_CHARGE)?;
                self.check_currency(charge.currency)?;
                fields.set("currencyCode", charge.currency.numeric());
                fields.set("txnAmt", &charge.amount.to_string());
                let phone = if let Some(token) = &subject.token {
                    fields.set("accType", ACCOUNT_IS_CARD);
                    fields.set("tokenPayData", &self.token_of(token, pen)?);
                    Some(token.phone()).filter(|phone| !phone.is_empty())
                } else {
                    self.check_pays_by_card()?;
                    let card = card()?;
                    self.add_number(fields, card, pen)?;
                    card.phone.as_deref()
                };
                let person = Cardholder { phone, ..Cardholder::default() };
                self.add_person(fields, &person, pen)?;
            }
        }
        Ok(())
    }

    fn check_pays_by_card(&self) -> Result<(), String> {
        match self.settings.token_requestor {
            Some(_) => Err("the product pays by tokens, and not by card numbers".to_owned()),
            None => Ok(()),
        }
    }

    fn requestor(&self) -> Result<&str, String> {
        let requestor = self.settings.token_requestor.as_deref();
        requestor.ok_or_else(|| "agreements need the token product, 000902".to_owned())
    }

    /// `tokenPayData` of a token that was given out.
    fn token_of(&self, token: &CardToken, pen: Pen) -> Result<String, String> {
        let requestor = self.requestor()?;
        // A token must not close what it stands in.
        if token.expose().contains(|sign| "&={}[]".contains(sign)) {
            return Err("the token has a character that cannot be sent to this channel".to_owned());
        }
        let token = if pen.masks { MASK } else { token.expose() };
        Ok(format!("{{token={token}&trId={requestor}}}"))
    }

    /// The card and all that the core gave of it.
    fn add_card(
        &self,
        fields: &mut Fields,
        card: &CardInput,
        sms_code: Option<&SmsCode>,
        pen: Pen,
    ) -> Result<(), String> {
        self.add_number(fields, card, pen)?;
        self.add_person(fields, &Cardholder { sms_code, ..Cardholder::of(card) }, pen)
    }

    /// The newest encryption certificate; `None` where the merchant encrypts nothing.
    fn encryption(&self, now_s: i64) -> Result<Option<&EncryptionIdentity>, String> {
        let encryption = EncryptionIdentity::newest_at(&self.keys.encryption, now_s);
        if encryption.is_none() && !self.keys.encryption.is_empty() {
            return Err("no encryption certificate is valid now".to_owned());
        }
        Ok(encryption)
    }

    fn add_number(&self, fields: &mut Fields, card: &CardInput, pen: Pen) -> Result<(), String> {
        fields.set("accType", ACCOUNT_IS_CARD);
        match self.encryption(pen.now_s)? {
            _ if pen.masks => fields.set("accNo", card.pan.masked().as_str()),
            Some(identity) => {
                fields.set("accNo", &encrypt(identity, "accNo", card.pan.expose())?);
                fields.set("encryptCertId", &identity.cert_id);
            }
            None => fields.set("accNo", card.pan.expose()),
        }
        Ok(())
    }

    /// What is told of the cardholder, if anything is.
    fn add_person(
        &self,
        fields: &mut Fields,
        person: &Cardholder<'_>,
        pen: Pen,
    ) -> Result<(), String> {
        if pen.masks {
            if !person.is_empty() {
                fields.set("customerInfo", MASK);
            }
            return Ok(());
        }
        let encryption = self.encryption(pen.now_s)?;
        let Some(info) = customer_info(person, encryption)? else { return Ok(()) };
        if let Some(identity) = encryption.filter(|_| person.has_secrets()) {
            fields.set("encryptCertId", &identity.cert_id);
        }
        fields.set("customerInfo", &info);
        Ok(())
    }

    /// 99/01, with the number and time of the transaction that it takes back.
    fn reversal(&self, stated: StatedFacts<'_>) -> Fields {
        let biz_type = &self.settings.reversal_biz_type;
        let mut fields = self.common(TransactionType::Reversal, stated, biz_type);
        fields.set("channelType", &self.settings.channel_type);
        fields
    }

    /// 03/00, 04/00, 31/00, 32/00 or 33/00: a transaction of its own that names the original by the
    /// channel's number, or by ours where the channel never told its own.
    fn follow_up(
        &self,
        mut fields: Fields,
        facts: &AttemptFacts,
        original: &AttemptFacts,
    ) -> Result<Fields, String> {
        self.add_money(&mut fields, facts)?;
        match &original.channel_reference {
            Some(reference) => fields.set("origQryId", reference),
            None => {
                fields.set("origOrderId", &original.channel_order_no.to_string());
                fields.set("origTxnTime", &txn_time(original.named_at()));
            }
        }
        Ok(fields)
    }

    fn common(&self, kind: TransactionType, stated: StatedFacts<'_>, biz_type: &str) -> Fields {
        let mut fields = self.bare(kind, biz_type);
        fields.set("orderId", &stated.channel_order_no.to_string());
        fields.set("txnTime", &txn_time(stated.named_at));
        fields
    }

    /// The sub-type of a kind of transaction.
    pub(super) fn sub_code(&self, kind: TransactionType) -> &str {
        kind.sub_code().unwrap_or(&self.settings.verification_sub_type)
    }

    /// Fields that every message has.
    pub(super) fn bare(&self, kind: TransactionType, biz_type: &str) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in &self.settings.fields {
            fields.set(name, value);
        }
        fields.set("version", VERSION);
        fields.set("encoding", ENCODING);
        fields.set("accessType", self.settings.access_type.digit());
        fields.set("merId", &self.settings.merchant_id);
        fields.set("bizType", biz_type);
        fields.set("txnType", kind.code());
        fields.set("txnSubType", self.sub_code(kind));
        fields
    }

    fn check_currency(&self, currency: Currency) -> Result<(), String> {
        match currency {
            Currency::Cny => Ok(()),
            other => Err(format!("{} is not CNY, the only currency here", other.name())),
        }
    }

    fn add_money(&self, fields: &mut Fields, facts: &AttemptFacts) -> Result<(), String> {
        self.check_currency(facts.currency)?;
        fields.set("channelType", &self.settings.channel_type);
        fields.set("currencyCode", facts.currency.numeric());
        fields.set("txnAmt", &facts.amount.to_string());
        fields.set("backUrl", &self.settings.notice_url);
        Ok(())
    }
}
