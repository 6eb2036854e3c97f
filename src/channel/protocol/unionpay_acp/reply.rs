//! Reads replies and notices: verifies them, checks that they speak of what was asked, classifies.
//!
//! Upholds I-2: whatever is not a verified answer about this very transaction is unknown. No error
//! and no panic can come out of received bytes.

use std::sync::Arc;

use crate::channel::file::codes::CodeTable;
use crate::channel::protocol::amount::{AmountForm, WrittenAmount};
use crate::channel::{
    ChannelRequest, IssuedToken, Notice, NoticeRefusal, ReplyMeaning, Uncertainty, WireNotice,
    WireReply,
};
use crate::codec::FieldLimits;
use crate::codec::form::Fields;
use crate::domain::attempt::Operation;
use crate::domain::bin::CardType;
use crate::domain::card::CardToken;
use crate::domain::card_service::CardService;
use crate::domain::ids::ChannelOrderNo;
use crate::domain::money::Currency;
use crate::domain::outcome::{Approval, Objection, Outcome, UnknownCause};
use crate::domain::time::Timestamp;

use super::UnionPayAcp;
use super::codes::{CodeTables, InquiryAnswer};
use super::request::{TransactionType, read_txn_time, txn_time};
use super::transcript::{rejected_transcript, transcript};
use super::trust::{Disbelief, Signer};

/// The bizType that stands for no product in particular: answers to inquiries come with it.
const ANY_PRODUCT: &str = "000000";
/// HTTP's word for an answer that may be read; all others may follow after processing.
const STATUS_OK: u16 = 200;
/// Characters of a channel's number (`queryId`, AN21) that are taken at most.
const REFERENCE_LENGTH_MAX: usize = 40;
/// The `payCardType`s that are one of our card types. What else there is (00 not known, 04 debit
/// and credit in one) says nothing.
const CARD_TYPES: [(&str, CardType); 4] = [
    ("01", CardType::Debit),
    ("02", CardType::Credit),
    ("03", CardType::QuasiCredit),
    ("05", CardType::Prepaid),
];

impl UnionPayAcp {
    pub(super) fn understand(
        &self,
        request: &ChannelRequest,
        reply: &WireReply,
        now: Timestamp,
    ) -> ReplyMeaning {
        let unknown = |cause, words: String| Uncertainty::new(cause, &words).into_meaning(words);
        if reply.status != STATUS_OK {
            let words = format!("HTTP status {}", reply.status);
            return unknown(UnknownCause::HttpStatus, words);
        }
        let fields = match Fields::decode_line(&reply.body, FieldLimits::MESSAGE) {
            Ok(fields) if fields.is_empty() => {
                return unknown(UnknownCause::Garbled, "an empty reply".to_owned());
            }
            Ok(fields) => fields,
            Err(error) => {
                return unknown(UnknownCause::Garbled, format!("an unreadable reply: {error}"));
            }
        };
        let signer = match self.signer_of(&fields, now) {
            Ok(signer) => signer,
            Err(disbelief) => {
                let words = disbelief.to_string();
                let objection = Uncertainty::new(UnknownCause::BadSignature, &words);
                return objection.into_meaning(rejected_transcript(&words, &fields));
            }
        };
        let words = transcript(&fields, signer.as_deref().map(|signer| signer.serial.as_str()));
        match self.classify(request, &fields) {
            Ok((outcome, None)) => ReplyMeaning::new(outcome, words),
            Ok((outcome, Some(issued))) => ReplyMeaning::new(outcome, words).with_issued(issued),
            Err(objection) => objection.into_meaning(words),
        }
    }

    /// Who signed a message that is believed; nobody where no signature is looked at.
    pub(super) fn signer_of(
        &self,
        fields: &Fields,
        now: Timestamp,
    ) -> Result<Option<Arc<Signer>>, Disbelief> {
        if self.believes_unsigned {
            return Ok(None);
        }
        self.keys.trust.verify(fields, now.as_millis() / 1_000).map(Some)
    }

    /// The outcome that a believed reply states, and the token that it brings.
    fn classify(
        &self,
        request: &ChannelRequest,
        fields: &Fields,
    ) -> Result<(Outcome, Option<IssuedToken>), Uncertainty> {
        if let Err(field) = self.speaks_of(request, fields) {
            let words = format!("{field} is not what was asked about");
            return Err(Uncertainty::new(UnknownCause::Mismatched, words));
        }
        let without =
            |field: &str| Uncertainty::new(UnknownCause::Garbled, format!("it has no {field}"));
        let Some(code) = fields.get("respCode").filter(|code| !code.is_empty()) else {
            return Err(without("respCode"));
        };
        let outcome = match request {
            ChannelRequest::Service { facts, .. } => {
                return self.classify_service(facts.service, request.phone(), code, fields);
            }
            ChannelRequest::Charge { facts, .. } | ChannelRequest::FollowUp { facts, .. } => {
                outcome_of_code(self.codes.reply(facts.operation), code, fields)
            }
            ChannelRequest::Reversal { .. } => outcome_of_code(self.codes.reversal(), code, fields),
            ChannelRequest::Inquiry { facts, .. } => match CodeTables::inquiry(code) {
                InquiryAnswer::NotFound => Outcome::NotFound { code: code.to_owned() },
                InquiryAnswer::Failed => Outcome::Unknown(UnknownCause::InquiryFailed),
                InquiryAnswer::Answered => match fields.get("origRespCode") {
                    Some(end) if !end.is_empty() => {
                        outcome_of_code(self.codes.end(facts.operation), end, fields)
                    }
                    Some(_) | None => return Err(without("origRespCode")),
                },
            },
        };
        Ok((outcome, None))
    }

    /// What a service came to. An opening is its token; an inquiry about one says nothing by its
    /// own code but that it was answered.
    fn classify_service(
        &self,
        service: CardService,
        phone: &str,
        code: &str,
        fields: &Fields,
    ) -> Result<(Outcome, Option<IssuedToken>), Uncertainty> {
        let table = self.codes.service();
        let outcome = match service {
            CardService::Verification
            | CardService::AgreementCode
            | CardService::AgreementEnd
            | CardService::PaymentCode => return Ok((outcome_of_code(table, code, fields), None)),
            CardService::AgreementConfirmation => outcome_of_code(table, code, fields),
            CardService::AgreementInquiry => match CodeTables::inquiry(code) {
                InquiryAnswer::NotFound => Outcome::NotFound { code: code.to_owned() },
                InquiryAnswer::Failed => Outcome::Unknown(UnknownCause::InquiryFailed),
                InquiryAnswer::Answered => {
                    let end = fields.get("origRespCode").filter(|end| !end.is_empty());
                    outcome_of_code(table, end.unwrap_or(code), fields)
                }
            },
        };
        if !matches!(outcome, Outcome::Approved(_)) {
            return Ok((outcome, None));
        }
        let issued = issued_token(fields, phone);
        let issued = issued.ok_or_else(|| {
            Uncertainty::new(UnknownCause::Garbled, "it has no token in tokenPayData")
        })?;
        Ok((outcome, Some(issued)))
    }

    /// Whether the reply is about the transaction that the request was about; the error names the
    /// first field that says otherwise.
    ///
    /// UnionPay echoes every field of a request. Number, time, merchant and type must be there;
    /// what else is there must be what was sent. The type matters: a reversal carries the number
    /// and time of the payment, so otherwise an old reply to the payment would pass for the end of
    /// its reversal. The gateway answers an inquiry with the type of the transaction asked about,
    /// or with 00 when it knows none.
    fn speaks_of(&self, request: &ChannelRequest, fields: &Fields) -> Result<(), &'static str> {
        let stated = request.stated();
        let Ok(asked) = TransactionType::of(request) else { return Err("txnType") };
        let found: &[TransactionType] = match request {
            ChannelRequest::Inquiry { facts, .. } => TransactionType::all_of(facts.operation),
            ChannelRequest::Service { facts, .. } if facts.service.is_inquiry() => {
                &[TransactionType::Opening]
            }
            ChannelRequest::Charge { .. }
            | ChannelRequest::Reversal { .. }
            | ChannelRequest::FollowUp { .. }
            | ChannelRequest::Service { .. } => &[],
        };
        let kinds: Vec<_> = std::iter::once(&asked).chain(found).collect();
        let products = [self.product_of(request), ANY_PRODUCT];
        let is_inquiry = !found.is_empty();
        let products = if is_inquiry { &products[..] } else { &products[..1] };
        let there = |name: &str| fields.get(name).filter(|text| !text.is_empty());
        let unless_other = |name, fits: &dyn Fn(&str) -> bool| {
            there(name).is_none_or(fits).then_some(()).ok_or(name)
        };
        let exactly = |name: &'static str, text: &str| {
            (fields.get(name) == Some(text)).then_some(()).ok_or(name)
        };
        let kind = there("txnType").filter(|kind| kinds.iter().any(|one| one.code() == *kind));
        let kind = kind.ok_or("txnType")?;
        exactly("merId", &self.settings.merchant_id)?;
        exactly("orderId", &stated.channel_order_no.to_string())?;
        exactly("txnTime", &txn_time(stated.named_at))?;
        unless_other("txnSubType", &|sub| {
            let mut of_kind = kinds.iter().filter(|one| is_inquiry || one.code() == kind);
            of_kind.any(|one| self.sub_code(**one) == sub)
        })?;
        unless_other("bizType", &|product| products.contains(&product))?;
        let Some((amount, currency)) = stated.money else { return Ok(()) };
        unless_other("txnAmt", &|text| parse_amount_minor(text) == Some(amount.get()))?;
        unless_other("currencyCode", &|code| code == currency.numeric())
    }

    pub(super) fn understand_notice(
        &self,
        notice: &WireNotice,
        now: Timestamp,
    ) -> Result<Notice, NoticeRefusal> {
        let unreadable = NoticeRefusal::Unreadable;
        let fields = Fields::decode_form(&notice.body, FieldLimits::MESSAGE)
            .map_err(|_| unreadable("its body is not a form"))?;
        let signer = self.signer_of(&fields, now).map_err(|disbelief| {
            NoticeRefusal::BadSignature(Objection::new(disbelief.to_string()))
        })?;
        let required = |key: &str, problem: &'static str| {
            fields.get(key).filter(|value| !value.is_empty()).ok_or(unreadable(problem))
        };
        if required("merId", "it has no merId")? != self.settings.merchant_id {
            return Err(NoticeRefusal::UnknownOrder);
        }
        let kind = required("txnType", "it has no txnType")?;
        let sub_kind = fields.get("txnSubType").filter(|sub| !sub.is_empty());
        let is_kind = |operation: &Operation| {
            let mut own = TransactionType::all_of(*operation).iter();
            own.any(|own| {
                let is_sub = |sub| self.sub_code(*own) == sub;
                own.code() == kind && sub_kind.is_none_or(is_sub)
            })
        };
        let operations: Vec<Operation> = Operation::ALL.into_iter().filter(is_kind).collect();
        if operations.is_empty() {
            return Err(unreadable("it is about a kind of transaction that we never send"));
        }
        let order_id = required("orderId", "it has no orderId")?;
        let channel_order_no =
            ChannelOrderNo::parse(order_id).ok_or(NoticeRefusal::UnknownOrder)?;
        let sent_at_text = required("txnTime", "it has no txnTime")?.to_owned();
        let amount = required("txnAmt", "it has no txnAmt")?;
        let amount = WrittenAmount::read(amount, AmountForm::Minor)
            .ok_or(unreadable("its txnAmt is no amount"))?;
        let currency = fields.get("currencyCode").filter(|text| !text.is_empty());
        let currency = currency
            .map(|code| Currency::parse_any(code).ok_or(unreadable("its currency is unknown here")))
            .transpose()?;
        let product = fields.get("bizType").filter(|text| !text.is_empty());
        let is_own = |product: &str| {
            product == ANY_PRODUCT
                || operations.iter().all(|one| self.settings.product(*one) == product)
        };
        if product.is_some_and(|product| !is_own(product)) {
            return Err(unreadable("it is about another product than the channel's"));
        }
        let code = required("respCode", "it has no respCode")?;
        let outcome = self.outcome_of_notice(&operations, code, &fields);
        let serial = signer.as_deref().map(|signer| signer.serial.as_str());
        let transcript = transcript(&fields, serial);
        Ok(Notice {
            channel_order_no,
            amount: Some(amount),
            currency,
            sent_at_text: Some(sent_at_text),
            understood: ReplyMeaning::new(outcome, transcript),
        })
    }
}

impl UnionPayAcp {
    /// The end that a notice tells. A type may stand for several of our operations (a void asked
    /// for, or an undo that we owe): what they read differently is left to the inquiry.
    fn outcome_of_notice(&self, operations: &[Operation], code: &str, fields: &Fields) -> Outcome {
        let mut ends =
            operations.iter().map(|one| outcome_of_code(self.codes.end(*one), code, fields));
        let unsure = Outcome::Unknown(UnknownCause::ChannelUnsure);
        let Some(first) = ends.next() else { return unsure };
        if ends.all(|other| other == first) { first } else { unsure }
    }
}

/// The token in `tokenPayData={token=…&trId=…&tokenEnd=…}`.
fn issued_token(fields: &Fields, phone: &str) -> Option<IssuedToken> {
    let data = fields.get("tokenPayData").filter(|data| data.starts_with('{'))?;
    let data = Fields::decode_line(data.as_bytes(), FieldLimits::MESSAGE).ok()?;
    let token = CardToken::parse(data.get("token")?, phone)?;
    Some(IssuedToken { token, ends_at: data.get("tokenEnd").and_then(read_txn_time) })
}

fn outcome_of_code(table: &CodeTable, code: &str, fields: &Fields) -> Outcome {
    table.outcome(code, || Approval {
        channel_reference: fields.get("queryId").filter(|id| is_reference(id)).map(str::to_owned),
        code: code.to_owned(),
        settle_mmdd: fields.get("settleDate").filter(|date| is_mmdd(date)).map(str::to_owned),
        card_type: fields.get("payCardType").and_then(card_type_of),
    })
}

fn card_type_of(code: &str) -> Option<CardType> {
    CARD_TYPES.iter().find(|(known, _)| *known == code).map(|(_, card_type)| *card_type)
}

fn is_reference(text: &str) -> bool {
    (1..=REFERENCE_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_mmdd(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Fen, with or without leading zeros.
fn parse_amount_minor(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
