//! Builds the requests: which fields, to which address, signed by whom.
//!
//! Upholds I-2 by asking about an attempt only with its own number and time: `merId`, `orderId` and
//! `txnTime` identify one transaction, so an inquiry or a reversal carries those of the attempt and
//! a follow-up its own. Nothing here is logged; the body may hold card data (I-11).

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use jiff::tz::{TimeZone, offset};

use crate::channel::{AttemptFacts, ChannelRequest, EncodeError, StatedFacts, WireRequest};
use crate::codec::acp;
use crate::codec::form::Fields;
use crate::domain::card::CardInput;
use crate::domain::card_service::CardService;
use crate::domain::flow::attempt::Operation;
use crate::domain::instrument::Instrument;
use crate::domain::money::Currency;
use crate::domain::time::Timestamp;

use super::UnionPayAcp;
use super::card_data::{customer_info, encrypt};
use super::identity::{EncryptionIdentity, SigningIdentity};

/// The only version of the protocol that is spoken; 5.0.0 signed with SHA-1.
const VERSION: &str = "5.1.0";
const ENCODING: &str = "UTF-8";
pub(super) const FORM: HeaderValue =
    HeaderValue::from_static("application/x-www-form-urlencoded;charset=UTF-8");
/// `accType`: a card.
const ACCOUNT_IS_CARD: &str = "01";

/// Fields that requests set themselves, so that no channel file may.
pub(super) const RESERVED_FIELDS: [&str; 23] = [
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
            ChannelRequest::Service { facts, .. } => match facts.service {
                CardService::Verification => Ok(Self::Verification),
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
        }
    }

    /// `None` of a verification, whose product has its own.
    const fn sub_code(self) -> Option<&'static str> {
        Some(match self {
            Self::Verification => return None,
            Self::Payment | Self::Preauth | Self::Reversal | Self::File => "01",
            Self::Capture
            | Self::Refund
            | Self::Payout
            | Self::VoidPayment
            | Self::VoidPreauth
            | Self::VoidCapture
            | Self::Inquiry => "00",
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

impl UnionPayAcp {
    pub(super) fn build(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError> {
        let problem = |problem| EncodeError { request: request.name(), problem };
        let now_s = now.as_millis() / 1_000;
        let kind = TransactionType::of(request).map_err(|words| problem(words.to_owned()))?;
        let (stated, product) = (request.stated(), self.product_of(request));
        let (url, mut fields) = match request {
            ChannelRequest::Charge { facts, instrument } => {
                let fields = self.common(kind, stated, product);
                let fields = self.charge(fields, facts, instrument, now_s).map_err(problem)?;
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
                let fields = self.follow_up(fields, facts, original).map_err(problem)?;
                (&self.settings.transaction_url, fields)
            }
            ChannelRequest::Service { card, .. } => {
                let mut fields = self.common(kind, stated, product);
                fields.set("channelType", &self.settings.channel_type);
                self.add_card(&mut fields, card, now_s).map_err(problem)?;
                (&self.settings.transaction_url, fields)
            }
        };
        let signing = SigningIdentity::newest_at(&self.keys.signing, now_s)
            .ok_or_else(|| problem("no signing certificate is valid now".to_owned()))?;
        acp::sign_rsa(&mut fields, &signing.cert_id, &signing.signer);
        Ok(WireRequest {
            method: http::Method::POST,
            url: url.clone(),
            headers: vec![(CONTENT_TYPE, FORM)],
            body: fields.encode_form().into(),
        })
    }

    /// The bizType that a request is sent with, and its reply repeats.
    pub(super) fn product_of(&self, request: &ChannelRequest) -> &str {
        match request {
            ChannelRequest::Reversal { .. } => &self.settings.reversal_biz_type,
            ChannelRequest::Service { .. } => &self.settings.verification_biz_type,
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
        now_s: i64,
    ) -> Result<Fields, String> {
        self.add_money(&mut fields, facts)?;
        for (name, value) in &self.settings.payment_fields {
            fields.set(name, value);
        }
        let Instrument::Card(card) = instrument;
        self.add_card(&mut fields, card, now_s)?;
        Ok(fields)
    }

    /// The card and all that the core gave of it.
    fn add_card(&self, fields: &mut Fields, card: &CardInput, now_s: i64) -> Result<(), String> {
        fields.set("accType", ACCOUNT_IS_CARD);
        let encryption = EncryptionIdentity::newest_at(&self.keys.encryption, now_s);
        if encryption.is_none() && !self.keys.encryption.is_empty() {
            return Err("no encryption certificate is valid now".to_owned());
        }
        match encryption {
            Some(identity) => {
                fields.set("accNo", &encrypt(identity, "accNo", card.pan.expose())?);
                fields.set("encryptCertId", &identity.cert_id);
            }
            None => fields.set("accNo", card.pan.expose()),
        }
        if let Some(info) = customer_info(card, encryption)? {
            fields.set("customerInfo", &info);
        }
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
                fields.set("origTxnTime", &txn_time(original.sent_at));
            }
        }
        Ok(fields)
    }

    fn common(&self, kind: TransactionType, stated: StatedFacts<'_>, biz_type: &str) -> Fields {
        let mut fields = self.bare(kind, biz_type);
        fields.set("orderId", &stated.channel_order_no.to_string());
        fields.set("txnTime", &txn_time(stated.sent_at));
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

    fn add_money(&self, fields: &mut Fields, facts: &AttemptFacts) -> Result<(), String> {
        if facts.currency != Currency::Cny {
            return Err(format!("{} is not CNY, the only currency here", facts.currency.name()));
        }
        fields.set("channelType", &self.settings.channel_type);
        fields.set("currencyCode", facts.currency.numeric());
        fields.set("txnAmt", &facts.amount.to_string());
        fields.set("backUrl", &self.settings.notice_url);
        Ok(())
    }
}
