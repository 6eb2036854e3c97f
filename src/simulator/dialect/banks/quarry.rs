//! Quarry Bank: XML, signed by SM2, card numbers encrypted by SM4.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::StatusCode;

use crate::codec::crypto::cipher::BlockKey;
use crate::codec::crypto::sm2::Sm2Form;
use crate::codec::xml::Element;
use crate::domain::time::BusinessDate;
use crate::simulator::dialect::bank::{
    BankApi, BankCodes, BankOperation, BankRequest, BankResult, RequestCard,
};
use crate::simulator::dialect::{AnswerCodes, DeclineCode, ReplyForm};
use crate::simulator::keys::quarry::QuarryKeys;
use crate::simulator::message::{HttpReply, HttpRequest};
use crate::simulator::notices::NoticeWriter;
use crate::simulator::state::SimulatorState;

use super::yuan::{decimal, read_decimal};

const CODES: BankCodes = BankCodes {
    pending: "P00001",
    unclear_charge: None,
    busy: "E90091",
    not_found: "E20025",
    refused: "E20001",
    no_original: "E20001",
    undone_before: "E20001",
    other_amount: "E20001",
    is_reversed: "E20001",
    reversed_before: None,
    reverses_undone: None,
    format: "E90001",
    bad_signature: "E90003",
    invalid_card: "E10014",
    expired: "E10054",
    // Its requests have no CVV.
    wrong_cvv: "E10014",
    limit: "E10061",
    dead: "E10001",
    empty: "E20040",
    later: "P00001",
    answers: AnswerCodes {
        approved: "000000",
        declines: &[
            (DeclineCode::later("E10051"), 60),
            (DeclineCode::later("E10001"), 30),
            (DeclineCode::at_once("E90096"), 10),
        ],
    },
};

/// See the head of this file.
pub(super) struct Quarry {
    merchant_id: String,
    keys: Arc<QuarryKeys>,
}

impl Quarry {
    pub fn new(merchant_id: String, keys: &Arc<QuarryKeys>) -> Self {
        Self { merchant_id, keys: Arc::clone(keys) }
    }

    fn prove(&self, received: &HttpRequest) -> Option<Element> {
        let root = Element::parse(&received.body).ok()?;
        let sign = BASE64.decode(root.text_at("/trade/sign").ok()??).ok()?;
        let body = root.child("body", None).ok()??;
        let signed = received.body.get(body.span.clone())?;
        self.keys.merchant.verify(signed, &sign, Sm2Form::Der).ok()?;
        Some(root)
    }
}

impl BankApi for Quarry {
    fn codes(&self) -> &'static BankCodes {
        &CODES
    }

    fn read(
        &self,
        _running: &SimulatorState,
        received: &HttpRequest,
    ) -> Result<BankRequest, &'static str> {
        let root = self.prove(received).ok_or(CODES.bad_signature)?;
        read(&root, &self.merchant_id, &self.keys.cards).ok_or(CODES.format)
    }

    fn write(
        &self,
        _running: &SimulatorState,
        request: Option<&BankRequest>,
        result: &BankResult,
        form: ReplyForm,
    ) -> HttpReply {
        let body = body_of(request, result);
        let spoils = matches!(form, ReplyForm::BadSignature(_));
        let signed: &[u8] = if spoils { b"another" } else { body.as_bytes() };
        let sign = BASE64.encode(self.keys.bank.sign(signed, Sm2Form::Der));
        let text = format!("<?xml version=\"1.0\"?><trade>{body}<sign>{sign}</sign></trade>");
        HttpReply::new(StatusCode::OK, "application/xml; charset=utf-8", text)
    }

    fn notice(&self, _order_no: &str) -> Option<NoticeWriter> {
        None
    }
}

fn read(root: &Element, merchant_id: &str, cards: &BlockKey) -> Option<BankRequest> {
    let text = |path: &str| Some(root.text_at(path).ok()?.unwrap_or_default().to_owned());
    let operation = match text("/trade/body/txn")?.as_str() {
        "payment" => BankOperation::Payment,
        "preauth" => BankOperation::Preauth,
        "capture" => BankOperation::Capture,
        "void" | "undo" => BankOperation::Undo,
        "refund" => BankOperation::Refund,
        "inquiry" => BankOperation::Inquiry,
        "reversal" => BankOperation::Reversal,
        "statement" => BankOperation::Statement,
        _ => return None,
    };
    if text("/trade/body/txn/@merId")? != merchant_id {
        return None;
    }
    let sealed = text("/trade/body/card/number").filter(|text| !text.is_empty());
    let card = match sealed {
        Some(sealed) => {
            let bytes = BASE64.decode(sealed).ok()?;
            let number = cards.decrypt(bytes.get(..16)?, &[], bytes.get(16..)?).ok()?;
            let expiry = text("/trade/body/card/expiry").filter(|text| !text.is_empty());
            Some(RequestCard::new(std::str::from_utf8(&number).ok()?, expiry, None))
        }
        None => None,
    };
    let order_no = if operation == BankOperation::Statement {
        BusinessDate::parse(&text("/trade/body/date")?)?.to_string()
    } else {
        text("/trade/body/orderNo").filter(|text| !text.is_empty())?
    };
    Some(BankRequest {
        original_no: text("/trade/body/origOrderNo")?,
        sent_at: text("/trade/body/time")?,
        amount: read_decimal(&text("/trade/body/amount")?),
        card,
        ..BankRequest::new(operation, order_no)
    })
}

fn body_of(request: Option<&BankRequest>, result: &BankResult) -> String {
    let mut body = format!("<body><code>{}</code>", result.code);
    if let Some(request) = request {
        let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let order_no: String = request.order_no.chars().filter(plain).collect();
        let name = if request.operation == BankOperation::Statement { "date" } else { "orderNo" };
        body.push_str(&format!("<{name}>{order_no}</{name}>"));
    }
    if let Some(file) = &result.file {
        body.push_str(&format!("<file>{}</file>", BASE64.encode(file)));
    }
    if let Some(facts) = &result.facts {
        let date = facts.settle_date.civil();
        body.push_str(&format!(
            "<amount currency=\"CNY\">{}</amount><trace>Q{:012}</trace>\
             <settleDate>{date}</settleDate>",
            decimal(facts.amount),
            facts.trace
        ));
    }
    if let Some(code) = result.original_code {
        body.push_str(&format!("<origCode>{code}</origCode>"));
    }
    body + "</body>"
}
