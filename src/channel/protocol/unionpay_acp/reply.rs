//! Reads replies and notices: verifies them, checks that they speak of what was asked, classifies.
//!
//! Upholds I-2: whatever is not a verified answer about this very transaction is unknown. No error
//! and no panic can come out of received bytes.

use std::sync::Arc;

use crate::channel::codes::CodeTable;
use crate::channel::{
    AttemptFacts, ChannelRequest, Notice, NoticeRefusal, Understood, WireNotice, WireReply,
};
use crate::codec::FieldLimits;
use crate::codec::form::Fields;
use crate::domain::flow::attempt::Operation;
use crate::domain::ids::ChannelOrderNo;
use crate::domain::money::Currency;
use crate::domain::outcome::{Approval, Outcome, UnknownCause};
use crate::domain::time::Timestamp;

use super::UnionPayAcp;
use super::codes::{Codes, InquiryAnswer};
use super::request::{TransactionType, txn_time};
use super::trust::{Distrust, Signer};
use super::voucher::{unbelieved_voucher, voucher};

/// HTTP's word for an answer that may be read; all others may follow after processing.
const STATUS_OK: u16 = 200;
/// Characters of a channel's number (`queryId`, AN21) that are taken at most.
const REFERENCE_LENGTH_MAX: usize = 40;

impl UnionPayAcp {
    pub(super) fn understand(
        &self,
        request: &ChannelRequest,
        reply: &WireReply,
        now: Timestamp,
    ) -> Understood {
        let unknown = |cause, voucher| Understood { outcome: Outcome::Unknown(cause), voucher };
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
            Err(distrust) => {
                let words = unbelieved_voucher(&distrust.to_string(), &fields);
                return unknown(UnknownCause::BadSignature, words);
            }
        };
        Understood {
            outcome: self.classify(request, &fields),
            voucher: voucher(&fields, signer.as_deref().map(|signer| signer.serial.as_str())),
        }
    }

    /// Who signed a message that is believed; nobody where no signature is looked at.
    pub(super) fn signer_of(
        &self,
        fields: &Fields,
        now: Timestamp,
    ) -> Result<Option<Arc<Signer>>, Distrust> {
        if self.believes_unsigned {
            return Ok(None);
        }
        self.keys.trust.verify(fields, now.as_millis() / 1_000).map(Some)
    }

    /// What a believed reply says.
    fn classify(&self, request: &ChannelRequest, fields: &Fields) -> Outcome {
        if !self.speaks_of(request, fields) {
            return Outcome::Unknown(UnknownCause::Mismatched);
        }
        let Some(code) = fields.get("respCode").filter(|code| !code.is_empty()) else {
            return Outcome::Unknown(UnknownCause::Garbled);
        };
        match request {
            ChannelRequest::Charge { facts, .. } | ChannelRequest::FollowUp { facts, .. } => {
                said(self.codes.reply(facts.operation), code, fields)
            }
            ChannelRequest::Reversal { .. } => said(self.codes.reversal(), code, fields),
            ChannelRequest::Inquiry { facts, .. } => match Codes::inquiry(code) {
                InquiryAnswer::NotFound => Outcome::NotFound { code: code.to_owned() },
                InquiryAnswer::Failed => Outcome::Unknown(UnknownCause::InquiryFailed),
                InquiryAnswer::Answered => match fields.get("origRespCode") {
                    Some(end) if !end.is_empty() => {
                        said(self.codes.end(facts.operation), end, fields)
                    }
                    Some(_) | None => Outcome::Unknown(UnknownCause::Garbled),
                },
            },
        }
    }

    /// Whether the reply is about the transaction that the request was about.
    ///
    /// The type is checked too: a reversal carries the number and time of the payment, so otherwise
    /// an old reply to the payment would pass for the end of its reversal. The gateway answers an
    /// inquiry with the type of the transaction asked about, or with 00 when it knows none.
    fn speaks_of(&self, request: &ChannelRequest, fields: &Fields) -> bool {
        let facts = request.facts();
        let Ok(asked) = TransactionType::of(request) else { return false };
        let found: &[TransactionType] = match request {
            ChannelRequest::Inquiry { .. } => TransactionType::all_of(facts.operation),
            ChannelRequest::Charge { .. }
            | ChannelRequest::Reversal { .. }
            | ChannelRequest::FollowUp { .. } => &[],
        };
        let mut kinds = std::iter::once(&asked).chain(found);
        let kind = fields.get("txnType");
        kinds.any(|allowed| kind == Some(allowed.code()))
            && fields.get("merId") == Some(&self.settings.merchant_id)
            && fields.get("orderId") == Some(&facts.channel_order_no.to_string())
            && fields.get("txnTime") == Some(&txn_time(facts.sent_at))
            && amount_agrees(facts, fields)
    }

    pub(super) fn understand_notice(
        &self,
        notice: &WireNotice,
        now: Timestamp,
    ) -> Result<Notice, NoticeRefusal> {
        let unreadable = NoticeRefusal::Unreadable;
        let fields = Fields::decode_form(&notice.body, FieldLimits::MESSAGE)
            .map_err(|_| unreadable("its body is not a form"))?;
        let signer = self.signer_of(&fields, now).map_err(|_| NoticeRefusal::BadSignature)?;
        let required = |key: &str, problem: &'static str| {
            fields.get(key).filter(|value| !value.is_empty()).ok_or(unreadable(problem))
        };
        if required("merId", "it has no merId")? != self.settings.merchant_id {
            return Err(NoticeRefusal::UnknownOrder);
        }
        let kind = required("txnType", "it has no txnType")?;
        let is_kind = |operation: &Operation| {
            TransactionType::all_of(*operation).iter().any(|own| own.code() == kind)
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
        let amount = parse_amount_minor(amount).ok_or(unreadable("its txnAmt is no amount"))?;
        if !currency_agrees(&fields) {
            return Err(unreadable("its currency is not CNY"));
        }
        let code = required("respCode", "it has no respCode")?;
        let outcome = self.told(&operations, code, &fields);
        let serial = signer.as_deref().map(|signer| signer.serial.as_str());
        let voucher = voucher(&fields, serial);
        Ok(Notice {
            channel_order_no,
            amount_minor: Some(amount),
            sent_at_text: Some(sent_at_text),
            understood: Understood { outcome, voucher },
        })
    }
}

impl UnionPayAcp {
    /// The end that a notice tells. A type may stand for several of our operations (a void asked
    /// for, or an undo that we owe): what they read differently is left to the inquiry.
    fn told(&self, operations: &[Operation], code: &str, fields: &Fields) -> Outcome {
        let mut ends = operations.iter().map(|one| said(self.codes.end(*one), code, fields));
        let unsure = Outcome::Unknown(UnknownCause::ChannelUnsure);
        let Some(first) = ends.next() else { return unsure };
        if ends.all(|other| other == first) { first } else { unsure }
    }
}

fn said(table: &CodeTable, code: &str, fields: &Fields) -> Outcome {
    table.outcome(code, || Approval {
        channel_reference: fields.get("queryId").filter(|id| is_reference(id)).map(str::to_owned),
        code: code.to_owned(),
        settle_mmdd: fields.get("settleDate").filter(|date| is_mmdd(date)).map(str::to_owned),
    })
}

fn is_reference(text: &str) -> bool {
    (1..=REFERENCE_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_mmdd(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An amount that is not there says nothing; one that is there must be ours.
fn amount_agrees(facts: &AttemptFacts, fields: &Fields) -> bool {
    let amount = fields.get("txnAmt").filter(|text| !text.is_empty());
    amount.is_none_or(|text| parse_amount_minor(text) == Some(facts.amount.get()))
        && currency_agrees(fields)
}

fn currency_agrees(fields: &Fields) -> bool {
    let currency = fields.get("currencyCode").filter(|text| !text.is_empty());
    currency.is_none_or(|code| code == Currency::Cny.numeric())
}

/// Fen, with or without leading zeros.
fn parse_amount_minor(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
